//! How long alarms may be shelved.

use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

/// `policies/shelving.yaml`: the longest time for which a person may shelve alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelving {
    /// Of every rule that is not named.
    pub max: Span,
    /// Of single rules.
    pub rules: BTreeMap<Name, Span>,
}

impl Shelving {
    /// A day, unless told.
    pub const MAX: Span = Span::from_secs(86_400);

    /// The longest time for which the alarms of a rule may be shelved (`MaxTimeShelved`).
    pub fn max_of(&self, rule: &Name) -> Span {
        self.rules.get(rule).copied().unwrap_or(self.max)
    }
}

impl Default for Shelving {
    fn default() -> Self {
        Self { max: Self::MAX, rules: BTreeMap::new() }
    }
}
