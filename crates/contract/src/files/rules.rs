//! `rules/<rule>.yaml`: samples become events.

pub(crate) mod common;
pub(crate) mod counter;
pub(crate) mod state;
pub(crate) mod table;

pub(crate) mod measures;
pub(crate) mod spc;
pub(crate) mod spectrum;

use super::words::Duration;
use crate::read::{At, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// An alarm when a value is beyond a limit. A key that is not set here is the class's parameter `<signal>.<key>`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitRuleFile {
    /// `limit`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: LimitWord,
    /// 1 to 1000, or one number for each level: `{ High: 700, Low: 500 }`.
    #[schemars(with = "SeverityWord")]
    pub(crate) severity: Raw,
    /// Above this.
    #[serde(default, rename = "HighHigh")]
    pub(crate) high_high: Option<At<f64>>,
    /// Above this.
    #[serde(default, rename = "High")]
    pub(crate) high: Option<At<f64>>,
    /// Below this.
    #[serde(default, rename = "Low")]
    pub(crate) low: Option<At<f64>>,
    /// Below this.
    #[serde(default, rename = "LowLow")]
    pub(crate) low_low: Option<At<f64>>,
    /// The alarm ends when the value is back by this much; default 0.
    #[serde(default, rename = "Deadband")]
    pub(crate) deadband: Option<At<f64>>,
    /// The value must be beyond the limit this long; default 0 s.
    #[serde(default, rename = "OnDelay")]
    pub(crate) on_delay: Option<At<Duration>>,
    /// The value must be back this long; default 0 s.
    #[serde(default, rename = "OffDelay")]
    pub(crate) off_delay: Option<At<Duration>>,
    /// An alarm that stays is told again after this long; default never.
    #[serde(default, rename = "ReAlarmTime")]
    pub(crate) realarm: Option<At<Duration>>,
}

/// An alarm when a source is silent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StaleRuleFile {
    /// `stale`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: StaleWord,
    /// Without a sample for this long.
    pub(crate) after: At<Duration>,
    /// 1 to 1000.
    pub(crate) severity: At<u16>,
}

/// The word `limit`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum LimitWord {
    /// A limit rule.
    Limit,
}

/// The word `stale`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum StaleWord {
    /// A stale rule.
    Stale,
}

/// Severities by level.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LevelSeverities {
    /// Of `HighHigh`.
    #[serde(default, rename = "HighHigh")]
    pub(crate) high_high: Option<At<u16>>,
    /// Of High.
    #[serde(default, rename = "High")]
    pub(crate) high: Option<At<u16>>,
    /// Of Low.
    #[serde(default, rename = "Low")]
    pub(crate) low: Option<At<u16>>,
    /// Of `LowLow`.
    #[serde(default, rename = "LowLow")]
    pub(crate) low_low: Option<At<u16>>,
}

/// One severity for all levels, or one for each.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
pub(crate) enum SeverityWord {
    /// 1 to 1000 for every level.
    One(u16),
    /// 1 to 1000 by level.
    Each(LevelSeverities),
}

/// What `kind` may be.
pub(crate) const KINDS: [&str; 10] =
    ["limit", "stale", "state", "counter", "spc", "spectrum", "deviation", "rate-of-change", "window", "table"];
