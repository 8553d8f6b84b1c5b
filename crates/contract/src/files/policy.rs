//! `timeout`, `retry`, `limits` and `breaker` of `systems/<system>.yaml`: what a system can bear, and what is done when
//! it fails.

use super::{
    reach::PerTime,
    words::{Duration, Percent},
};
use crate::read::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// When failed attempts are repeated: after `first`, then longer by `factor`, never longer than `max`; once a call has
/// failed for long, by the clock of an outage.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryFile {
    /// The first pause; default 1 s.
    #[serde(default)]
    pub(crate) first: Option<At<Duration>>,
    /// How much longer each pause is; default 2.
    #[serde(default)]
    pub(crate) factor: Option<At<f64>>,
    /// The longest pause; default 5 min.
    #[serde(default)]
    pub(crate) max: Option<At<Duration>>,
    /// After this long the call is given up; default 24 h.
    #[serde(default)]
    pub(crate) within: Option<At<Duration>>,
    /// The second clock, of an outage.
    #[serde(default)]
    pub(crate) outage: Option<At<OutageFile>>,
}

/// Once a call has failed for `after`, its pauses are `every`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutageFile {
    /// From so long after the first attempt on; default 1 h.
    #[serde(default)]
    pub(crate) after: Option<At<Duration>>,
    /// The pauses then; default 15 min, or `max` where that is longer.
    #[serde(default)]
    pub(crate) every: Option<At<Duration>>,
}

/// What the system can bear.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// Attempts under way at once, at most; default 4.
    #[serde(default)]
    pub(crate) concurrent: Option<At<u32>>,
    /// Whether fewer are under way while the system answers more slowly than usual, or refuses for load; default true.
    #[serde(default)]
    pub(crate) adaptive: Option<At<bool>>,
    /// Requests in a time, those of calls and reads together: `10 / s`, `600 / min`, `5000 / h`; what comes sooner
    /// waits.
    #[serde(default)]
    pub(crate) rate: Option<At<PerTime>>,
    /// Requests at once after a pause; default 1, which spaces them evenly.
    #[serde(default)]
    pub(crate) burst: Option<At<u32>>,
}

/// When calls to a system that fails are held back, and how it is tried.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakerFile {
    /// Attempts of so long a time are looked at; default 1 min.
    #[serde(default)]
    pub(crate) window: Option<At<Duration>>,
    /// With fewer attempts in the window it never opens; default 5.
    #[serde(default)]
    pub(crate) calls: Option<At<u32>>,
    /// So many of them must have failed; default 50 %.
    #[serde(default)]
    pub(crate) failures: Option<At<Percent>>,
    /// How long it is open before the system is tried; twice as long each time it opens again; default 10 s.
    #[serde(default)]
    pub(crate) open: Option<At<Duration>>,
    /// The longest that it is open before the next try; default 5 min.
    #[serde(default)]
    pub(crate) max: Option<At<Duration>>,
    /// So many attempts try the system, one after the other, and all must be answered for it to close; default 1.
    #[serde(default)]
    pub(crate) probes: Option<At<u32>>,
}

/// That there is no breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OffWord {
    /// None.
    Off,
}

/// `off`, or a breaker with its settings.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
pub(crate) enum BreakerWord {
    /// No breaker.
    Off(OffWord),
    /// Its settings.
    Breaker(BreakerFile),
}
