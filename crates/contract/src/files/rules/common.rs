//! What every kind of rule has beside its own keys: the signal it stands on, and its conditions.

use crate::{
    contract::LimitLevel,
    files::words::{Comparand, Duration, Staleness},
    read::{At, Items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The keys of [`CommonRuleFile`].
pub(crate) const COMMON_KEYS: [&str; 6] = ["on", "description", "when", "suppress", "when-stale", "max-age"];

/// The keys that every kind of rule has.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommonRuleFile {
    /// `<class>.<signal>`.
    pub(crate) on: At<String>,
    /// What it is for, in words for people.
    #[serde(default)]
    #[expect(dead_code, reason = "it is for who reads the file")]
    pub(crate) description: Option<String>,
    /// Conditions that must all hold for something to begin: `- { signal: state, is: Execute }`.
    #[serde(default)]
    pub(crate) when: Items<ConditionFile>,
    /// While all of these hold, alarms are recorded and not raised.
    #[serde(default)]
    pub(crate) suppress: Items<ConditionFile>,
    /// What is done with context whose system has been silent for longer than `max-age`; default `use`.
    #[serde(default, rename = "when-stale")]
    pub(crate) when_stale: Option<At<Staleness>>,
    /// Context is stale when its system has been silent for longer; default two polls.
    #[serde(default, rename = "max-age")]
    pub(crate) max_age: Option<At<Duration>>,
}

/// A condition: what is looked at, and one test of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionFile {
    /// A signal of the same asset: its newest good value.
    #[serde(default)]
    pub(crate) signal: Option<At<String>>,
    /// A field of what is valid for the asset at the time: `order.state`, `batch.number`.
    #[serde(default)]
    pub(crate) context: Option<At<String>>,
    /// Equal to this.
    #[serde(default)]
    pub(crate) is: Option<At<Comparand>>,
    /// Known, and not equal to this.
    #[serde(default)]
    pub(crate) not: Option<At<Comparand>>,
    /// Equal to one of these.
    #[serde(default, rename = "in")]
    pub(crate) one_of: Option<At<Vec<At<Comparand>>>>,
    /// A number above this, in the unit of the signal.
    #[serde(default)]
    pub(crate) above: Option<At<f64>>,
    /// A number below this, in the unit of the signal.
    #[serde(default)]
    pub(crate) below: Option<At<f64>>,
    /// Whether it is known at all.
    #[serde(default)]
    pub(crate) exists: Option<At<bool>>,
}

/// A line of a table of severities; the first whose conditions hold counts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeverityLineFile {
    /// The level it is for; default: every one.
    #[serde(default)]
    pub(crate) limit: Option<At<LevelWord>>,
    /// Conditions that must all hold.
    #[serde(default)]
    pub(crate) when: Items<ConditionFile>,
    /// 1 to 1000.
    pub(crate) severity: At<u16>,
    /// The priority in words: `low`, `medium`, `high`, `urgent`.
    #[serde(default)]
    pub(crate) priority: Option<At<String>>,
}

/// The word of a level.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum LevelWord {
    /// Above the highest limit.
    HighHigh,
    /// Above the high limit.
    High,
    /// Below the low limit.
    Low,
    /// Below the lowest limit.
    LowLow,
}

impl From<LevelWord> for LimitLevel {
    fn from(word: LevelWord) -> Self {
        match word {
            LevelWord::HighHigh => Self::HighHigh,
            LevelWord::High => Self::High,
            LevelWord::Low => Self::Low,
            LevelWord::LowLow => Self::LowLow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_keys_are_those_of_the_type() {
        let schema = schemars::schema_for!(CommonRuleFile).to_value();
        let keys: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, COMMON_KEYS.into());
    }
}
