//! Rates of change: the step between two good samples by the time between them, judged by four levels (Part 9,
//! `ExclusiveRateOfChange`).
//!
//! - A number is made of every good sample but the first: against the good sample before it, or, with `over`, against
//!   the newest good one that is at least so much older; until there is one there is no number.
//! - Of samples of one time the later in the log counts, and stands for both; no time ever divides by nothing.
//! - Bad and uncertain samples are left out. So a gap or a disconnection makes no jump: the rate over it is the mean.
//! - With `over` good samples closer than a 128th of it are thinned: the time between the two may be up to a
//!   64th longer, and what is kept is bounded whatever comes. The rate is exact for the two that made it.

mod why;

use super::{
    Armed, Bench, Condition, alarms_are,
    judge::{self, Made, Phase},
    limit::good,
};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::Cause,
};
use andon_contract::contract::RateSettings;
use andon_model::{Position, Quality, Sample, Time, Value, span::Span};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Samples kept for `over` lie this part of it apart at least.
const PARTS: i64 = 128;

/// Its states; behind the first number they are those of a limit.
pub const DIAGRAM: Diagram = Diagram {
    kind: "rate-of-change",
    begins: "Unknown",
    steps: &[
        ("Unknown", "Normal", "a first rate inside the limits"),
        ("Unknown", "Pending", "a first rate beyond a limit, with OnDelay"),
        ("Unknown", "Active", "a first rate beyond a limit, without OnDelay (activated)"),
        ("Normal", "Pending", "a rate beyond a limit, with OnDelay"),
        ("Normal", "Active", "a rate beyond a limit, without OnDelay (activated)"),
        ("Pending", "Normal", "a rate at or inside the limit, or a condition of when fails"),
        ("Pending", "Active", "OnDelay has passed (activated)"),
        ("Active", "Active", "another level (level), or ReAlarmTime has passed (realarmed)"),
        ("Active", "Leaving", "a rate back by the deadband, with OffDelay"),
        ("Active", "Normal", "a rate back by the deadband, without OffDelay, or an edit (returned)"),
        ("Leaving", "Active", "a rate that is not back by the deadband"),
        ("Leaving", "Normal", "OffDelay has passed, or an edit (returned)"),
    ],
};

/// The settings of the contract.
#[derive(Debug, Clone)]
pub struct Settings {
    shape: Shape,
    pub(super) levels: judge::Settings,
}

impl Settings {
    /// From the contract.
    pub fn new(settings: &RateSettings) -> Self {
        let shape = Shape { per: settings.per, over: settings.over.filter(|over| *over > Span::ZERO) };
        Self { shape, levels: judge::Settings::new(&settings.levels) }
    }
}

/// What numbers belong to: of other settings they mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Shape {
    per: Span,
    over: Option<Span>,
}

/// What a rate remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    shape: Shape,
    /// Good samples, the newest last; the first is the one that the next is held against, or may become it.
    kept: VecDeque<Raw>,
    pub(super) phase: Phase,
}

impl State {
    /// One that has seen nothing.
    pub fn new(set: &Settings) -> Self {
        Self { shape: set.shape, kept: VecDeque::new(), phase: Phase::Normal }
    }

    /// Whether what it remembers means the same under these settings.
    pub fn fits(&self, set: &Settings) -> bool {
        self.shape == set.shape
    }

    /// The next sample of the signal that is not late.
    pub fn sample(&mut self, set: &Settings, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let raw = Raw::new(at, sample);
        self.phase.note(&raw);
        if good(sample).is_none() {
            return false;
        }
        self.keep(raw);
        let Some((number, raw)) = self.number() else { return false };
        if self.phase.stays_normal(&set.levels, number) {
            return false;
        }
        let (Some(first), Some(last)) = (self.kept.front(), self.kept.back()) else { return false };
        let samples = || {
            let mut gather = Gather::from(first.clone());
            gather.push(last.clone());
            gather
        };
        let phase = &mut self.phase;
        alarms_are(Condition::RateOfChange, bench, |bench| {
            phase.number(&set.levels, number, raw, Cause::Sample(at), &Made::From(&samples), bench)
        })
    }

    fn keep(&mut self, raw: Raw) {
        if self.kept.back().is_some_and(|last| last.time >= raw.time) {
            self.kept.pop_back();
        }
        let Some(over) = self.shape.over else {
            while self.kept.len() > 1 {
                self.kept.pop_front();
            }
            self.kept.push_back(raw);
            return;
        };
        let mut newest = self.kept.iter().rev().map(|kept| kept.time);
        if let (Some(last), Some(before)) = (newest.next(), newest.next())
            && last.since(before).nanos() < over.nanos() / PARTS
        {
            self.kept.pop_back();
        }
        let old = |kept: Option<&Raw>| kept.is_some_and(|kept| raw.time.since(kept.time) >= over);
        while old(self.kept.get(1)) {
            self.kept.pop_front();
        }
        self.kept.push_back(raw);
    }

    /// The rate of now, with the time and place of the newest sample.
    #[expect(clippy::cast_precision_loss, reason = "a time between samples needs no 64 bits")]
    fn number(&self) -> Option<(f64, Raw)> {
        let (first, last) = (self.kept.front()?, self.kept.back()?);
        let between = last.time.since(first.time);
        if between <= Span::ZERO || self.shape.over.is_some_and(|over| between < over) {
            return None;
        }
        let step = last.value.number()? - first.value.number()?;
        let number = step * (self.shape.per.nanos() as f64) / (between.nanos() as f64);
        let raw = Raw { value: Value::F64(number), quality: Quality::GOOD, ..last.clone() };
        number.is_finite().then_some((number, raw))
    }

    /// What else must hold does not any more.
    pub fn guard(&mut self, bench: &Bench) -> Armed {
        self.phase.guard(bench)
    }

    /// The plant time at which its next timer runs out.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        self.phase.deadline(&set.levels)
    }

    /// Lets every timer fire whose deadline lies before `clock`.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        alarms_are(Condition::RateOfChange, bench, |bench| self.phase.fire(&set.levels, clock, bench));
    }

    /// Ends an active alarm that these settings no longer hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        alarms_are(Condition::RateOfChange, bench, |bench| self.phase.after_edit(&set.levels, at, reason, bench));
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        alarms_are(Condition::RateOfChange, bench, |bench| self.phase.end(at, reason, bench));
    }
}
