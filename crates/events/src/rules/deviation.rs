//! Deviations: the value minus the newest setpoint of the same asset, judged by four levels (Part 9,
//! `ExclusiveDeviation`).
//!
//! - A number is made of every good value and of every good setpoint, as soon as both are known; before the first
//!   setpoint nothing is judged. A setpoint that is not good leaves the last good one in force.
//! - Value and setpoint of one time belong together, in whatever order they stand in the log. A number that would
//!   change something waits until the clock has passed its time, as a timer does; the last one of that time decides.
//! - A number has the later of the two times. A late sample, of the value or the setpoint, is skipped.

mod why;

use super::{
    Armed, Bench, Condition, alarms_are, is_sooner,
    judge::{Made, Phase, Settings},
    limit::good,
};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::Cause,
};
use andon_model::{Position, Quality, Sample, Time, Value};
use serde::{Deserialize, Serialize};

/// Its states; behind the setpoint they are those of a limit.
pub const DIAGRAM: Diagram = Diagram {
    kind: "deviation",
    begins: "Unknown",
    steps: &[
        ("Unknown", "Normal", "the first good value and the first good setpoint are known"),
        ("Normal", "Waiting", "a deviation that begins something"),
        ("Pending", "Waiting", "a deviation that ends OnDelay"),
        ("Active", "Waiting", "a deviation of another level, or back by the deadband"),
        ("Leaving", "Waiting", "a deviation that is not back by the deadband"),
        ("Waiting", "Normal", "the deviation of that time is inside, or ends the alarm (returned)"),
        ("Waiting", "Pending", "the deviation of that time is beyond a limit, with OnDelay"),
        ("Waiting", "Active", "the deviation of that time is beyond a limit (activated or level)"),
        ("Waiting", "Leaving", "the deviation of that time is back by the deadband, with OffDelay"),
        ("Pending", "Active", "OnDelay has passed (activated)"),
        ("Pending", "Normal", "a condition of when fails"),
        ("Leaving", "Normal", "OffDelay has passed (returned)"),
    ],
};

/// What a deviation remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The newest good value.
    value: Option<Raw>,
    /// The newest good setpoint.
    setpoint: Option<Raw>,
    /// A number of this time waits for the clock to pass it.
    waits: Option<Time>,
    pub(super) phase: Phase,
}

/// The number of the input that is the setpoint.
const SETPOINT: u8 = 1;

impl State {
    /// The next sample of the value (0) or the setpoint (1) that is not late.
    pub fn sample(&mut self, set: &Settings, input: u8, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let before = self.deadline(set);
        // A setpoint may come from a source with another clock: what ended before it ends first.
        self.fire(set, sample.time, bench);
        let raw = Raw::of(input, at, sample);
        self.phase.note(&raw);
        if good(sample).is_some() {
            *(if input == SETPOINT { &mut self.setpoint } else { &mut self.value }) = Some(raw);
            match self.number() {
                Some((number, raw)) if self.phase.is_moved_by(set, number, bench.holds) => self.waits = Some(raw.time),
                Some(_) => {
                    self.waits = None;
                    self.judge(set, None, bench);
                }
                None => {}
            }
        }
        is_sooner(before, self.deadline(set))
    }

    /// The deviation of now, with its time and the place of the newer sample.
    fn number(&self) -> Option<(f64, Raw)> {
        let (value, setpoint) = (self.value.as_ref()?, self.setpoint.as_ref()?);
        let number = value.value.number()? - setpoint.value.number()?;
        if !number.is_finite() {
            return None;
        }
        let raw = Raw {
            position: value.position.max(setpoint.position),
            time: value.time.max(setpoint.time),
            received: value.received.max(setpoint.received),
            quality: Quality::GOOD,
            value: Value::F64(number),
            input: 0,
        };
        Some((number, raw))
    }

    /// Judges the deviation of now; `by` is what made it count, where that was neither value nor setpoint.
    fn judge(&mut self, set: &Settings, by: Option<(Position, Time)>, bench: &mut Bench) {
        let Some((number, mut raw)) = self.number() else { return };
        if let Some((position, time)) = by {
            (raw.position, raw.time) = (position, raw.time.max(time));
        }
        let Self { value: Some(value), setpoint: Some(setpoint), phase, .. } = self else { return };
        let samples = || {
            let in_order = value.position < setpoint.position;
            let (first, second) = if in_order { (&*value, &*setpoint) } else { (&*setpoint, &*value) };
            let mut gather = Gather::from(first.clone());
            gather.push(second.clone());
            gather
        };
        let cause = Cause::Sample(raw.position);
        alarms_are(Condition::Deviation, bench, |bench| {
            phase.number(set, number, raw, cause, &Made::From(&samples), bench)
        });
    }

    /// What else must hold does not any more, or holds again: then a deviation that stands beyond a limit begins, at
    /// the time of what made it hold. One that waits for the clock begins with it.
    pub fn guard(&mut self, set: &Settings, by: Option<(Position, Time)>, bench: &mut Bench) -> Armed {
        let before = self.deadline(set);
        self.phase.guard(bench);
        if bench.holds && by.is_some() && self.waits.is_none() && matches!(self.phase, Phase::Normal) {
            self.judge(set, by, bench);
        }
        is_sooner(before, self.deadline(set))
    }

    /// The plant time at which its next timer runs out, or a number has waited long enough.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        [self.waits, self.phase.deadline(set)].into_iter().flatten().min()
    }

    /// Lets every timer fire whose deadline lies before `clock`, and judges a number that waits for it.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        if let Some(waits) = self.waits.filter(|waits| *waits < clock) {
            // A timer that ends at the time of a number ends after it.
            alarms_are(Condition::Deviation, bench, |bench| self.phase.fire(set, waits, bench));
            self.waits = None;
            self.judge(set, None, bench);
        }
        alarms_are(Condition::Deviation, bench, |bench| self.phase.fire(set, clock, bench));
    }

    /// Ends an active alarm that these settings no longer hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        alarms_are(Condition::Deviation, bench, |bench| self.phase.after_edit(set, at, reason, bench));
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        alarms_are(Condition::Deviation, bench, |bench| self.phase.end(at, reason, bench));
    }
}
