//! What a silence says of itself.

use super::{Settings, State};
use crate::why::{Finding, Look, Reason};

impl State {
    /// Why it has not fired.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let signal = look.name(0);
        if let Some(active) = &self.active {
            let text = format!("the alarm stands: {signal} is silent since {}", active.since);
            let mut finding = Finding::new(Reason::Fired, text).at(active.since);
            finding.event = Some(active.activation);
            return vec![finding];
        }
        let Some(heard) = &self.heard else {
            let text = format!("{signal} was never heard: what was never there is never stale");
            return vec![Finding::new(Reason::NoSample, text)];
        };
        let (received, to) = (heard.last.received, heard.last.received.plus(set.after));
        let text = format!(
            "{signal} was heard at {received} (receive time), its newest time is {}; silent for {} it would have fired \
             at {to}",
            heard.newest, set.after
        );
        let reason = if look.utc < to { Reason::DelayRuns } else { Reason::Waits };
        vec![Finding::new(reason, text).at(to).with("received", received.to_string())]
    }
}
