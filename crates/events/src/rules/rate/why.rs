//! What a rate of change says of itself.

use super::{Settings, State};
use crate::why::{Finding, Look, Reason};

impl State {
    /// Why it has not fired.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let per = self.shape.per;
        let Some((number, raw)) = self.number() else {
            let text = match (self.kept.len(), self.shape.over) {
                (0, _) => "there is no rate yet: no good sample was there".to_owned(),
                (_, Some(over)) => format!("there is no rate yet: no good sample is {over} older than the newest"),
                (_, None) => "there is no rate yet: it takes two good samples of different times".to_owned(),
            };
            return vec![Finding::new(Reason::Learning, text).with("samples", self.kept.len())];
        };
        let first = self.kept.front().map_or(raw.time, |raw| raw.time);
        let what = format!("the rate of {} per {per}, from {first} on,", look.name(0));
        self.phase.why(&set.levels, look, &what, Some((number, raw.time)))
    }
}
