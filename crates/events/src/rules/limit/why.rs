//! What a limit says of itself.

use super::{Settings, State};
use crate::why::{Finding, Look};
use andon_model::Time;

impl State {
    /// Why it has not fired, by the newest good number.
    pub(crate) fn why(&self, set: &Settings, look: &Look, what: &str, newest: Option<(f64, Time)>) -> Vec<Finding> {
        self.phase.why(set, look, what, newest)
    }

    /// The newest good number that it has judged.
    pub(crate) fn judged(&self) -> Option<(f64, Time)> {
        let newest = self.newest.as_ref().filter(|raw| raw.quality.is_good())?;
        Some((newest.value.number()?, newest.time))
    }
}
