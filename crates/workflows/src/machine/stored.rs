//! Reads the memory of a run as it is stored, also as it was stored before.

use super::listen::Consumed;
use super::memory::{Frame, Memory, Phase, Strand, Waiting};
use super::undo::Ledger;
use andon_model::Time;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A memory as it is stored, also as it was before a run could do several things at once.
#[derive(Deserialize)]
pub(super) struct Stored {
    context: Json,
    #[serde(default)]
    strands: Vec<Strand>,
    #[serde(default)]
    phase: Option<Phase>,
    tasks: u32,
    #[serde(default)]
    frames: Vec<Frame>,
    #[serde(default)]
    waiting: Option<OldWaiting>,
    #[serde(default)]
    since: u64,
    #[serde(default)]
    consumed: BTreeMap<String, Consumed>,
    #[serde(default)]
    deaf: bool,
    #[serde(default)]
    ledger: Ledger,
    #[serde(default)]
    edits: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OldWaiting {
    Start,
    Nothing,
    Call,
    Until(Time),
    Retry(Time),
    Ended,
}

impl From<Stored> for Memory {
    fn from(stored: Stored) -> Self {
        let Stored { context, mut strands, phase, tasks, frames, waiting, since, consumed, deaf, ledger, edits } =
            stored;
        let (old_phase, waiting) = match waiting {
            None => (phase.unwrap_or(Phase::Going), None),
            Some(OldWaiting::Start) => (Phase::Start, None),
            Some(OldWaiting::Ended) => (Phase::Ended, Some(Waiting::Nothing)),
            Some(OldWaiting::Nothing) => (Phase::Going, Some(Waiting::Nothing)),
            Some(OldWaiting::Call) => (Phase::Going, Some(Waiting::Call)),
            Some(OldWaiting::Until(time)) => (Phase::Going, Some(Waiting::Until(time))),
            Some(OldWaiting::Retry(time)) => (Phase::Going, Some(Waiting::Retry(time))),
        };
        if let Some(waiting) = waiting
            && strands.is_empty()
        {
            strands.push(Strand { of: None, frames, waiting, output: None });
        }
        Self { context, strands, phase: old_phase, tasks, since, consumed, deaf, ledger, edits }
    }
}
