//! Windows: a number of all good samples of a stretch of plant time, judged by four levels.
//!
//! - Windows are as long as `over`, and one ends at every whole multiple of `every` since 1970 (UTC). With `every`
//!   equal to `over` they tumble, else they slide. A window holds the times from its beginning up to, and without, its
//!   end.
//! - A window closes as a timer does, `lateness` after its end: just before the first sample of the clock that is
//!   later, or by a tick. Until then it takes late samples too. Its number has the time of its end, and so has whatever
//!   that decides; the delays of the levels run in the same time, `lateness` behind the clock.
//! - An empty window has no timer: it is open until a newer sample of the signal, or a window behind it that closes.
//! - A window with fewer good samples than `at-least` has no number: like a bad value it never starts, ends or
//!   delays anything. An empty one has none either, but for `count`: there it is 0, told once until the next sample
//!   comes.
//! - The statistics of a stretch of `every` are carried on sample by sample; samples themselves are kept for
//!   percentiles and for the evidence, the newest [`SAMPLES_MAX`] of the open windows.

pub mod stats;
mod why;

use super::{
    Armed, Bench, Condition, alarms_are, is_sooner,
    judge::{self, Made, Phase},
    limit::good,
};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::Cause,
};
use andon_contract::contract::{WindowFunction, WindowSettings};
use andon_model::{Position, Quality, Sample, Time, Value, span::Span};
use serde::{Deserialize, Serialize};
use stats::{Stats, percentile};
use std::collections::VecDeque;

/// Samples that a rule keeps at most for an asset. Beyond that percentiles and evidence are those of the newest ones;
/// every other function counts all samples however many there are.
pub const SAMPLES_MAX: usize = 10_000;

/// Its states; behind the first window they are those of a limit, and what moves them is the number of a window.
pub const DIAGRAM: Diagram = Diagram {
    kind: "window",
    begins: "Normal",
    steps: &[
        ("Normal", "Pending", "a window beyond a limit, with OnDelay"),
        ("Normal", "Active", "a window beyond a limit, without OnDelay (activated)"),
        ("Pending", "Normal", "a window at or inside the limit, or a condition of when fails"),
        ("Pending", "Active", "OnDelay has passed (activated)"),
        ("Active", "Active", "another level (level), or ReAlarmTime has passed (realarmed)"),
        ("Active", "Leaving", "a window back by the deadband, with OffDelay"),
        ("Active", "Normal", "a window back by the deadband, without OffDelay, or an edit (returned)"),
        ("Leaving", "Active", "a window that is not back by the deadband"),
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
    pub fn new(settings: &WindowSettings) -> Self {
        let every = settings.every.nanos().max(1);
        let shape = Shape {
            function: settings.function,
            every,
            parts: (settings.over.nanos() / every).max(1),
            lateness: settings.lateness,
            at_least: settings.at_least,
        };
        Self { shape, levels: judge::Settings::new(&settings.levels) }
    }
}

/// What numbers belong to: of other settings they mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Shape {
    function: WindowFunction,
    /// In ns.
    every: i64,
    /// Stretches of `every` in a window.
    parts: i64,
    lateness: Span,
    at_least: u64,
}

impl Shape {
    /// The stretch of a time: it begins at this multiple of `every`.
    fn stretch(&self, time: Time) -> i64 {
        time.0.div_euclid(self.every)
    }

    /// When a stretch begins, which is when the one before it ends.
    fn begins(&self, stretch: i64) -> Time {
        Time(stretch.saturating_mul(self.every))
    }

    fn seconds(&self, stretches: i64) -> f64 {
        seconds(stretches.saturating_mul(self.every))
    }
}

/// The number of a sample that is kept, where it is good.
fn good_raw(raw: &Raw) -> Option<f64> {
    raw.value.number().filter(|number| raw.quality.is_good() && number.is_finite())
}

#[expect(clippy::cast_precision_loss, reason = "a part of a window needs no 64 bits")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// What a window remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    shape: Shape,
    /// The stretches of open windows that have good samples, in order.
    stretches: VecDeque<(i64, Stats)>,
    /// Good samples of open windows in the order of the log, and always the newest one.
    kept: VecDeque<Raw>,
    /// The newest window that is closed: the number of the stretch before which it ends.
    closed: i64,
    /// Whether the window behind the newest closed one tells a count of 0 where it is empty.
    zero_waits: bool,
    pub(super) phase: Phase,
}

impl State {
    /// One that has seen nothing.
    pub fn new(set: &Settings) -> Self {
        Self {
            shape: set.shape,
            stretches: VecDeque::new(),
            kept: VecDeque::new(),
            closed: i64::MIN,
            zero_waits: false,
            phase: Phase::Normal,
        }
    }

    /// Whether what it remembers means the same under these settings.
    pub fn fits(&self, set: &Settings) -> bool {
        self.shape == set.shape
    }

    /// The next sample of the signal, a late one too.
    pub fn sample(&mut self, set: &Settings, at: Position, sample: &Sample, late: bool, bench: &mut Bench) -> Armed {
        let before = self.deadline(set);
        if !late {
            // Another source may have taken over, whose clock has fired nothing here.
            self.fire(set, sample.time, bench);
            // Windows that were empty had no timer; what is older than they reach comes too late for them as well.
            let passed = sample.time.minus(self.shape.lateness).0.saturating_sub(1).div_euclid(self.shape.every);
            self.closed = self.closed.max(passed);
        }
        let stretch = self.shape.stretch(sample.time);
        let open = stretch.saturating_add(self.shape.parts) > self.closed;
        if late && !open {
            return false;
        }
        let raw = Raw::new(at, sample);
        self.phase.note(&raw);
        let Some(value) = good(sample).filter(|_| open) else { return is_sooner(before, self.deadline(set)) };
        let one = Stats::of(value, seconds(sample.time.0.saturating_sub(self.shape.begins(stretch).0)));
        let place = self.stretches.partition_point(|(number, _)| *number < stretch);
        match self.stretches.get_mut(place) {
            Some((number, stats)) if *number == stretch => *stats = stats.join(&one, 0.0),
            _ => self.stretches.insert(place, (stretch, one)),
        }
        if self.kept.len() >= SAMPLES_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(raw);
        is_sooner(before, self.deadline(set))
    }

    /// The window that closes next: the number of the stretch before which it ends.
    fn next(&self) -> Option<i64> {
        let after = self.closed.saturating_add(1);
        match self.stretches.front() {
            _ if self.zero_waits => Some(after),
            Some((first, _)) => Some(after.max(first.saturating_add(1))),
            None => None,
        }
    }

    /// Closes a window and judges its number.
    fn close(&mut self, set: &Settings, window: i64, bench: &mut Bench) {
        let (shape, from) = (self.shape, window.saturating_sub(self.shape.parts));
        let mut whole: Option<Stats> = None;
        for (number, stats) in self.stretches.iter().filter(|(number, _)| (from..window).contains(number)) {
            let later = shape.seconds(number.saturating_sub(from));
            whole = Some(match whole {
                None => stats.after(later),
                Some(whole) => whole.join(stats, later),
            });
        }
        let (begins, ends) = (shape.begins(from), shape.begins(window));
        let within = |raw: &&Raw| (begins..ends).contains(&raw.time);
        let number = match whole {
            Some(stats) if stats.count >= shape.at_least => self.number(&stats, &within),
            None if self.zero_waits => Some(0.0),
            Some(_) | None => None,
        };
        self.zero_waits = whole.is_some() && shape.function == WindowFunction::Count && shape.at_least == 0;
        let kept = &self.kept;
        // Of an empty window the newest sample before it speaks.
        let newest = kept.iter().rev().find(within).or_else(|| kept.back());
        if let (Some(number), Some(newest)) = (number.filter(|number| number.is_finite()), newest) {
            let samples = || {
                let mut all = kept.iter().filter(within);
                let mut gather = Gather::from(all.next().unwrap_or(newest).clone());
                all.for_each(|raw| gather.push(raw.clone()));
                gather
            };
            let deadline = ends.plus(shape.lateness);
            let cause = Cause::Timer { start: newest.position, deadline };
            let raw = Raw { time: ends, quality: Quality::GOOD, value: Value::F64(number), ..newest.clone() };
            let phase = &mut self.phase;
            alarms_are(Condition::Window, bench, |bench| {
                phase.number(&set.levels, number, raw, cause, &Made::From(&samples), bench)
            });
        }
        self.closed = window;
        self.forget();
    }

    fn number(&self, stats: &Stats, within: &dyn Fn(&&Raw) -> bool) -> Option<f64> {
        match self.shape.function {
            WindowFunction::Mean => Some(stats.mean()),
            WindowFunction::Rms => Some(stats.rms()),
            WindowFunction::Min => Some(stats.min),
            WindowFunction::Max => Some(stats.max),
            WindowFunction::Stddev => stats.stddev(),
            WindowFunction::Slope(per) => Some(stats.slope()? * seconds(per.nanos())),
            #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^53 samples")]
            WindowFunction::Count => Some(stats.count as f64),
            WindowFunction::Percentile(percent) => {
                let values = self.kept.iter().filter(|raw| within(raw)).filter_map(|raw| raw.value.number());
                percentile(values.collect(), percent)
            }
        }
    }

    /// Forgets what no open window holds.
    fn forget(&mut self) {
        let first = self.closed.saturating_add(1).saturating_sub(self.shape.parts);
        while self.stretches.front().is_some_and(|(number, _)| *number < first) {
            self.stretches.pop_front();
        }
        let begins = self.shape.begins(first);
        while self.kept.len() > 1 && self.kept.front().is_some_and(|raw| raw.time < begins) {
            self.kept.pop_front();
        }
    }

    /// What else must hold does not any more.
    pub fn guard(&mut self, bench: &Bench) -> Armed {
        self.phase.guard(bench)
    }

    /// The plant time at which its next window closes or its next timer runs out.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        let window = self.next().map(|window| self.shape.begins(window));
        let next = [window, self.phase.deadline(&set.levels)].into_iter().flatten().min();
        next.map(|time| time.plus(self.shape.lateness))
    }

    /// Closes every window and lets every timer fire whose deadline lies before `clock`, in the order of their times.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        let clock = clock.minus(self.shape.lateness);
        while let Some(window) = self.next() {
            let ends = self.shape.begins(window);
            if ends >= clock {
                break;
            }
            // A timer that ends with a window ends after it.
            alarms_are(Condition::Window, bench, |bench| self.phase.fire(&set.levels, ends, bench));
            self.close(set, window, bench);
        }
        alarms_are(Condition::Window, bench, |bench| self.phase.fire(&set.levels, clock, bench));
    }

    /// Ends an active alarm that these settings no longer hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        alarms_are(Condition::Window, bench, |bench| self.phase.after_edit(&set.levels, at, reason, bench));
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        alarms_are(Condition::Window, bench, |bench| self.phase.end(at, reason, bench));
    }
}
