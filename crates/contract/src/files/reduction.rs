//! `reduce` of a signal: which of its samples need not be kept for long.

use super::words::Duration;
use crate::read::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which samples the historian need not keep once a later one is durable. Rules see all of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReduceFile {
    /// Values that differ by no more than this from the last one that was kept, in the unit of the signal.
    #[serde(default)]
    pub(crate) deadband: Option<At<f64>>,
    /// Values that lie within this of the line between their kept neighbours, in the unit of the signal.
    #[serde(default, rename = "swinging-door")]
    pub(crate) swinging_door: Option<At<f64>>,
    /// One sample at least is kept in each such stretch of source time.
    #[serde(default)]
    pub(crate) heartbeat: Option<At<Duration>>,
}
