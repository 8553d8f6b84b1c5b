//! Settings of rules that follow the states of an asset.

use andon_model::span::Span;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What the time of a state counts as: the time elements of ISO 22400-2, by plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeClass {
    /// It produces: actual production time (APT).
    Production,
    /// It is set up for the next order: actual unit setup time (AUST).
    Setup,
    /// It is interrupted: actual unit delay time (ADET).
    Delay,
    /// It could run and does not: actual unit down time (ADOT).
    Idle,
    /// It stands as planned, for maintenance or a break: planned down time (PDOT).
    PlannedDown,
    /// Nobody knows.
    Unknown,
}

impl TimeClass {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Production, Self::Setup, Self::Delay, Self::Idle, Self::PlannedDown, Self::Unknown];

    /// The word of `data.class` and of the key `classes`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Setup => "setup",
            Self::Delay => "delay",
            Self::Idle => "idle",
            Self::PlannedDown => "planned-down",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is a downtime, and then whether a planned one.
    pub fn down(self) -> Option<bool> {
        match self {
            Self::Delay => Some(false),
            Self::PlannedDown => Some(true),
            Self::Production | Self::Setup | Self::Idle | Self::Unknown => None,
        }
    }
}

/// What a state is in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CyclePart {
    /// The cycle runs; it begins one where none is open.
    Runs,
    /// The cycle is completed.
    Completed,
    /// The cycle is given up.
    GivenUp,
}

/// A state by its name, what its time counts as, and what it is in a cycle.
pub type StandardState = (&'static str, TimeClass, Option<CyclePart>);

/// What the states of the standards count as where a rule does not say otherwise: `PackML` (ISA-TR88.00.02), the item
/// state of OPC UA for Machinery (OPC 40001-1, read as OPC 40501-1 annex C reads it), and Execution of `MTConnect`. No
/// two of them mean different things by one name.
pub const STANDARD_STATES: &[StandardState] = &[
    ("Undefined", TimeClass::Unknown, None),
    ("Clearing", TimeClass::Delay, Some(CyclePart::GivenUp)),
    ("Stopped", TimeClass::Delay, Some(CyclePart::GivenUp)),
    ("Starting", TimeClass::Idle, None),
    ("Idle", TimeClass::Idle, Some(CyclePart::GivenUp)),
    ("Suspended", TimeClass::Idle, None),
    ("Execute", TimeClass::Production, Some(CyclePart::Runs)),
    ("Stopping", TimeClass::Delay, Some(CyclePart::GivenUp)),
    ("Aborting", TimeClass::Delay, Some(CyclePart::GivenUp)),
    ("Aborted", TimeClass::Delay, Some(CyclePart::GivenUp)),
    ("Holding", TimeClass::Delay, None),
    ("Held", TimeClass::Delay, None),
    ("Unholding", TimeClass::Delay, None),
    ("Suspending", TimeClass::Idle, None),
    ("Unsuspending", TimeClass::Idle, None),
    ("Resetting", TimeClass::Idle, Some(CyclePart::GivenUp)),
    ("Completing", TimeClass::Idle, None),
    ("Complete", TimeClass::Idle, Some(CyclePart::Completed)),
    ("NotAvailable", TimeClass::Idle, None),
    ("OutOfService", TimeClass::Delay, None),
    ("NotExecuting", TimeClass::Idle, None),
    ("Executing", TimeClass::Production, None),
    ("READY", TimeClass::Idle, Some(CyclePart::GivenUp)),
    ("ACTIVE", TimeClass::Production, Some(CyclePart::Runs)),
    ("INTERRUPTED", TimeClass::Delay, None),
    ("FEED_HOLD", TimeClass::Delay, None),
    ("STOPPED", TimeClass::Delay, None),
    ("OPTIONAL_STOP", TimeClass::Delay, None),
    ("PROGRAM_STOPPED", TimeClass::Delay, None),
    ("PROGRAM_COMPLETED", TimeClass::Idle, Some(CyclePart::Completed)),
    ("WAIT", TimeClass::Idle, None),
    ("UNAVAILABLE", TimeClass::Unknown, None),
];

/// How the states of an asset are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// What the numbers of the signal are called; `None`: a value is its own name.
    pub names: Option<Arc<BTreeMap<i64, String>>>,
    /// What the time of each state counts as; a state that is not here is unknown.
    pub classes: BTreeMap<String, TimeClass>,
    /// A downtime that is not longer than this in plant time is a short stop and is not told.
    pub at_least: Span,
    /// Where the reason of a downtime comes from.
    pub reason: Option<ReasonSettings>,
    /// What a cycle is; `None`: none are told.
    pub cycle: Option<CycleSettings>,
}

/// Where the reason of a downtime comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonSettings {
    /// The number of its signal among the inputs of the rule.
    pub input: u8,
    /// What its numbers are called.
    pub names: Option<Arc<BTreeMap<i64, String>>>,
    /// A reason that comes so long after the beginning still counts.
    pub within: Span,
}

/// What a cycle is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleSettings {
    /// The states in which it runs; the first of them begins it.
    pub runs: Vec<String>,
    /// The states that complete it.
    pub completed: Vec<String>,
    /// The states that end it uncompleted.
    pub given_up: Vec<String>,
    /// The number of the signal that tells the program.
    pub program: Option<u8>,
    /// The number of the signal that tells the part.
    pub part: Option<u8>,
}
