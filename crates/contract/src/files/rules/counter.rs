//! `kind: counter`: counters become counts.

use crate::{
    files::words::Duration,
    read::{At, Raw},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Tells what an asset has counted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CounterRuleFile {
    /// `counter`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: CounterWord,
    /// What it counts; default `produced`.
    #[serde(default)]
    pub(crate) counts: Option<At<CountsWord>>,
    /// Another signal of the class, which counts the good ones.
    #[serde(default)]
    pub(crate) good: Option<At<String>>,
    /// Another signal of the class, which counts the rejects.
    #[serde(default)]
    pub(crate) reject: Option<At<String>>,
    /// How many values the counters have: `65536` where 0 comes behind 65535. Default: they never go round.
    #[serde(default)]
    pub(crate) rollover: Option<At<i64>>,
    /// A step of more is none; default: every step is believed.
    #[serde(default, rename = "max-step")]
    pub(crate) max_step: Option<At<i64>>,
    /// A step after a longer silence of the counter is one over a gap; default: only where the source was away.
    #[serde(default)]
    pub(crate) gap: Option<At<Duration>>,
    /// When counts are told: after so many (`100`) or after a time (`1 min`); default 1, each step.
    #[serde(default)]
    #[schemars(with = "Option<EveryWord>")]
    pub(crate) every: Option<Raw>,
    /// The planned run time of one item, for OEE; default none.
    #[serde(default, rename = "run-time")]
    pub(crate) run_time: Option<At<Duration>>,
    /// What is counted is told at the latest after this, where `every` is a number; default 1 min.
    #[serde(default)]
    pub(crate) within: Option<At<Duration>>,
}

/// The word `counter`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum CounterWord {
    /// A rule that follows counters.
    Counter,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum CountsWord {
    /// Everything that was made.
    Produced,
    /// What was made well.
    Good,
    /// What was not.
    Reject,
}

/// A number of counts, or a length of time.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum EveryWord {
    /// So many.
    Count(u32),
    /// So long.
    Time(Duration),
}
