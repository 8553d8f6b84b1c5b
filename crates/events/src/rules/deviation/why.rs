//! What a deviation says of itself.

use super::{SETPOINT, State};
use crate::{
    rules::judge::Settings,
    why::{Finding, Look, Reason},
};
use andon_model::quantity::decimal;

impl State {
    /// Why it has not fired.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let (value, setpoint) = (look.name(0), look.name(SETPOINT));
        let mut all = Vec::new();
        if self.setpoint.is_none() {
            let text = format!("no good setpoint was known: {setpoint} had no good sample, and nothing is judged");
            all.push(Finding::new(Reason::NoSetpoint, text));
        }
        let Some((number, raw)) = self.number() else { return all };
        if let Some(waits) = self.waits {
            let text = format!("the deviation of {waits} waits for the clock to pass that time");
            all.push(Finding::new(Reason::Waits, text).at(waits).with("deviation", number));
        }
        let of = |raw: Option<&crate::evidence::Raw>| {
            raw.and_then(|raw| raw.value.number()).map_or_else(String::new, decimal)
        };
        let what = format!(
            "{value} {} less {setpoint} {}, the deviation,",
            of(self.value.as_ref()),
            of(self.setpoint.as_ref())
        );
        all.extend(self.phase.why(set, look, &what, Some((number, raw.time))));
        all
    }
}
