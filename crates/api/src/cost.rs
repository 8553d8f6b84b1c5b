//! What rules cost.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a rule costs, or all rules of a class together.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleCost {
    /// `rule`, or `class`: the sum of its rules.
    pub of: String,
    /// The rule.
    pub rule: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// The class it holds for.
    pub class: String,
    /// The signal it stands on.
    pub signal: Option<String>,
    /// Assets it holds for.
    pub assets: u64,
    /// Alarms that stand.
    pub active: u64,
    /// Evaluations since the start, by those of the batches that were timed; only of a running instance.
    pub evaluations: Option<u64>,
    /// The time of one in ns.
    pub ns_per_evaluation: Option<f64>,
    /// Its part of the time of all rules, in percent.
    pub share_percent: Option<f64>,
    /// Its part of one core since the start, in percent.
    pub core_percent: Option<f64>,
    /// What its states take where they are stored, in bytes.
    pub state_bytes: u64,
}
