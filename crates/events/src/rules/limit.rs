//! Limits: the good samples of a signal, judged by four exclusive levels.
//!
//! What is judged and when is said in [`super::judge`]. Only good values decide. Uncertain and bad ones never start,
//! end or delay anything; they move the clock like every sample, and lie in the evidence of what they fall into.

mod why;

pub use super::judge::{REALARMS_AT_ONCE_MAX, Settings};

use super::{
    Armed, Bench,
    judge::{Made, Phase},
};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::Cause,
};
use andon_model::{Position, Sample, Time};
use serde::{Deserialize, Serialize};

/// Its states; `Leaving` is active with `OffDelay` running.
pub const DIAGRAM: Diagram = Diagram {
    kind: "limit",
    begins: "Normal",
    steps: &[
        ("Normal", "Pending", "a good value beyond a limit, with OnDelay"),
        ("Normal", "Active", "a good value beyond a limit, without OnDelay (activated)"),
        ("Normal", "Pending", "the conditions of when hold again over a value beyond, with OnDelay"),
        ("Normal", "Active", "the conditions of when hold again over a value beyond, without OnDelay (activated)"),
        ("Pending", "Normal", "a good value at or inside the limit, or a condition of when fails"),
        ("Pending", "Pending", "a good value beyond a limit of the other side, and OnDelay begins anew"),
        ("Pending", "Active", "OnDelay has passed (activated)"),
        ("Active", "Active", "another level (level), or ReAlarmTime has passed (realarmed)"),
        ("Active", "Leaving", "a good value back by the deadband, with OffDelay"),
        ("Active", "Normal", "a good value back by the deadband, without OffDelay, or an edit (returned)"),
        ("Leaving", "Active", "a good value that is not back by the deadband"),
        ("Leaving", "Leaving", "ReAlarmTime has passed (realarmed)"),
        ("Leaving", "Normal", "OffDelay has passed, or an edit (returned)"),
    ],
};

/// What a limit remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The newest sample: where the evidence of a condition begins.
    newest: Option<Raw>,
    pub(super) phase: Phase,
}

impl State {
    /// Reads where it lies in memory.
    #[inline]
    pub(super) fn look(&self) -> f64 {
        self.newest.as_ref().and_then(|newest| newest.value.number()).unwrap_or_default()
    }

    /// The next sample of the signal that is not late.
    #[inline]
    pub fn sample(&mut self, set: &Settings, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let raw = Raw::new(at, sample);
        let Some(value) = good(sample) else {
            self.phase.note(&raw);
            self.newest = Some(raw);
            return false;
        };
        if self.phase.stays_normal(set, value) {
            self.newest = Some(raw);
            return false;
        }
        let before = self.newest.replace(raw.clone());
        self.phase.number(set, value, raw, Cause::Sample(at), &Made::Itself(before.as_ref()), bench)
    }

    /// What else must hold does not any more: a condition that has not become an alarm ends. When it holds again, a
    /// value that is beyond a limit begins anew, at the time of what made it hold.
    pub fn guard(&mut self, set: &Settings, by: Option<(Position, Time)>, bench: &mut Bench) -> Armed {
        let armed = self.phase.guard(bench);
        let (true, Phase::Normal, Some((at, time)), Some(newest)) = (bench.holds, &self.phase, by, &self.newest) else {
            return armed;
        };
        let newest = newest.clone();
        let Some(value) = newest.value.number().filter(|v| v.is_finite() && newest.quality.is_good()) else {
            return armed;
        };
        // The value stands since before; what lasts begins when all of it is true.
        let raw = Raw { time: time.max(newest.time), position: at, ..newest.clone() };
        let samples = || Gather::from(newest.clone());
        self.phase.number(set, value, raw, Cause::Sample(at), &Made::From(&samples), bench) | armed
    }

    /// The plant time at which its next timer runs out.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        self.phase.deadline(set)
    }

    /// Lets every timer fire whose deadline lies before `clock`, in the order of their deadlines.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        self.phase.fire(set, clock, bench);
    }

    /// Ends an active alarm that these settings no longer hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        self.phase.after_edit(set, at, reason, bench);
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        self.phase.end(at, reason, bench);
    }
}

/// The number of a good sample.
#[inline]
pub(super) fn good(sample: &Sample) -> Option<f64> {
    if sample.quality.is_good() { sample.value.number().filter(|number| number.is_finite()) } else { None }
}
