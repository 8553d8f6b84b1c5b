//! Plays the scenarios of a project: the real rules and workflows over a store in memory, on a time of their own, with
//! the answers that the scenario tells. Nothing is connected and nothing is waited for.

mod compare;
mod stage;

pub use compare::{Line, LineKind, Part};

use andon_contract::{Contract, contract::Scenario};
use serde::Serialize;
use std::sync::Arc;

/// What came of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name.
    pub scenario: String,
    /// What it shows.
    pub description: Option<String>,
    /// Its file.
    pub file: String,
    /// Whether everything is as expected.
    pub passed: bool,
    /// The time that passed in it: hours, minutes, seconds.
    pub played: String,
    /// Samples given.
    pub samples: usize,
    /// What is compared, part by part.
    pub parts: Vec<Part>,
    /// What stopped it, where it could not be played to its end.
    pub stopped: Option<String>,
}

/// Plays a scenario and compares what came of it with what it expects.
pub fn play(contract: &Arc<Contract>, name: &str, scenario: &Scenario) -> Report {
    let played = stage::play(contract, scenario);
    let (parts, stopped) = match &played.found {
        Ok(found) => (compare::compare(scenario, found), None),
        Err(cause) => (Vec::new(), Some(cause.clone())),
    };
    let passed = stopped.is_none() && parts.iter().all(Part::passed);
    Report {
        scenario: name.to_owned(),
        description: scenario.description.clone(),
        file: scenario.file.clone(),
        passed,
        played: compare::offset(played.now, scenario.start),
        samples: played.samples,
        parts,
        stopped,
    }
}
