//! `kind: state`: states become classes of time, downtimes and completed cycles.

use crate::{
    files::words::Duration,
    read::{At, Entries},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Tells the states of an asset, its downtimes, and the cycles that it completes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateRuleFile {
    /// `state`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: StateWord,
    /// What the time of a state counts as; default: what its standard says.
    #[serde(default)]
    pub(crate) classes: Entries<String, At<ClassWord>>,
    /// A downtime that is not longer is a short stop and is not told; default 0 s.
    #[serde(default, rename = "at-least")]
    pub(crate) at_least: Option<At<Duration>>,
    /// The signal of the class that tells why it stands still.
    #[serde(default)]
    pub(crate) reason: Option<At<String>>,
    /// A reason that comes so long after the beginning still counts; default 30 s.
    #[serde(default, rename = "reason-within")]
    pub(crate) reason_within: Option<At<Duration>>,
    /// What a cycle is; without it none are told.
    #[serde(default)]
    pub(crate) cycle: Option<At<CycleFile>>,
}

/// What a cycle is; the states are by default those of their standard.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CycleFile {
    /// The states in which it runs; the first of them begins it.
    #[serde(default)]
    pub(crate) runs: Vec<At<String>>,
    /// The states that complete it.
    #[serde(default)]
    pub(crate) completed: Vec<At<String>>,
    /// The states that end it uncompleted.
    #[serde(default, rename = "given-up")]
    pub(crate) given_up: Vec<At<String>>,
    /// The signal of the class that tells the program.
    #[serde(default)]
    pub(crate) program: Option<At<String>>,
    /// The signal of the class that tells the part.
    #[serde(default)]
    pub(crate) part: Option<At<String>>,
}

/// The word `state`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum StateWord {
    /// A rule that follows states.
    State,
}

/// What time counts as.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum ClassWord {
    /// It produces (APT).
    Production,
    /// It is set up (AUST).
    Setup,
    /// It is interrupted (ADET): a downtime.
    Delay,
    /// It could run and does not (ADOT).
    Idle,
    /// It stands as planned (PDOT): a planned downtime.
    PlannedDown,
    /// Nobody knows.
    Unknown,
}
