//! What a spectrum says of itself.

use super::{Settings, State};
use crate::why::{Finding, Look, Reason};

impl State {
    /// Why it has not fired.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let mut all = Vec::new();
        if let Some(told) = &self.unreadable {
            let text = format!("{} good blocks in a row could not be judged, the newest: {}", told.blocks, told.reason);
            all.push(Finding::new(Reason::Unreadable, text).with("blocks", told.blocks));
        }
        let what = format!("{} of {}", set.feature.word(), look.name(0));
        all.extend(self.judge.why(&set.limit, look, &what, self.judge.judged()));
        all
    }
}
