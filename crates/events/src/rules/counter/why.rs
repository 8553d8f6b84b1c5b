//! What a rule for counters says of itself.

use super::{Settings, State};
use crate::why::{Finding, Look, Reason};
use andon_contract::contract::Every;

impl State {
    /// Why it has told nothing.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let mut all = Vec::new();
        for (number, kind) in (0_u8..).zip(&set.counts) {
            let name = look.name(number);
            let counter = self.counters.get(usize::from(number));
            let Some(last) = counter.and_then(|counter| counter.last.as_ref()) else {
                let text = format!("{name} ({}) has no good whole number yet", kind.word());
                all.push(Finding::new(Reason::Learning, text));
                continue;
            };
            let value = last.value.to_string();
            if let Some(pending) = counter.and_then(|counter| counter.pending.as_ref()) {
                let every = match set.every {
                    Every::Count(count, after) => format!("{count}, or {after}"),
                    Every::Time(after) => after.to_string(),
                };
                let text = format!(
                    "{name} counted {} since {}; every is {every}: it would be told at {}",
                    pending.delta, pending.since, pending.deadline
                );
                all.push(Finding::new(Reason::DelayRuns, text).at(pending.deadline).with("delta", pending.delta));
            } else {
                let text =
                    format!("{name} was {value} at {}, and no step came after the last that was told", last.time);
                all.push(Finding::new(Reason::NotBeyond, text).at(last.time).with("value", last.value.to_json()));
            }
        }
        all
    }
}
