//! How much happened in a world: one in which nothing does proves nothing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts by what was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seen(BTreeMap<String, u64>);

impl Seen {
    /// One more of this.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// So many more of this.
    pub fn add(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.0.entry(what.to_owned()).or_default() += count;
        }
    }

    /// How many of this.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// How many of all that begin so.
    pub fn all_of(&self, begin: &str) -> u64 {
        self.0.iter().filter(|(what, _)| what.starts_with(begin)).map(|(_, count)| count).sum()
    }

    /// Everything that was counted.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// With another world.
    pub fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, count)| self.add(what, *count));
    }
}
