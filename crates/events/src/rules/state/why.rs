//! What a rule for states says of itself.

use super::{Settings, State};
use crate::why::{Finding, Look, Reason};

impl State {
    /// Why it has told nothing.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let signal = look.name(0);
        let Some(now) = &self.now else {
            return vec![Finding::new(Reason::Learning, format!("{signal} has named no state yet by a good sample"))];
        };
        let (state, class, since) = (&now.state, now.class.word(), now.raw.time);
        let mut all = Vec::new();
        match &self.down {
            Some(down) if down.told.is_none() => {
                let what = format!("{signal} is {state}, which counts as down ({class}),");
                all.push(look.runs("at-least", &what, down.from, down.from.plus(set.at_least)));
            }
            Some(down) => {
                let text = format!("a downtime was told that began at {}, in the state {state}", down.from);
                let mut finding = Finding::new(Reason::Fired, text).at(down.from);
                finding.event = down.told;
                all.push(finding);
            }
            None if now.class.down().is_some() => {
                let text = format!("{signal} is {state} since {since} ({class}), and no downtime began by it");
                all.push(Finding::new(Reason::NotBeyond, text).at(since));
            }
            None => {
                let text = format!("{signal} is {state} since {since}: it counts as {class}, which is no downtime");
                all.push(Finding::new(Reason::NotBeyond, text).at(since).with("state", state.as_str()));
            }
        }
        let text = format!("{signal} named no other state than {state} since {since}");
        all.push(Finding::new(Reason::NotBeyond, text).at(since).with("state", state.as_str()));
        if let (Some(_), None) = (&set.cycle, &self.cycle) {
            all.push(Finding::new(Reason::NotBeyond, "no cycle is open".to_owned()));
        }
        if let Some(cycle) = &self.cycle {
            let text = format!("a cycle is open since {}, and no state completed it", cycle.from);
            all.push(Finding::new(Reason::Waits, text).at(cycle.from));
        }
        all
    }
}
