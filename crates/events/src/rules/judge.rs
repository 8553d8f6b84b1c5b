//! The judge of numbers: four exclusive levels with `OnDelay`, `OffDelay`, Deadband and `ReAlarmTime` (OPC UA Part 9).
//!
//! A limit gives it its good samples; a deviation, a rate of change or a window the numbers they derive. What
//! is judged is the same, and only the samples of the evidence are gathered in another way: [`Made`].
//!
//! - A good value strictly beyond a limit begins a condition. After `OnDelay` in plant time it is an
//!   alarm, at the level of the newest good value: `OnDelay` belongs to the alarm, not to a level, so
//!   a value that climbs from High to `HighHigh` does not wait twice. A value on the other side of
//!   the normal range is another condition: `OnDelay` begins anew.
//! - While `OnDelay` runs, a good value at or inside the limit ends the condition, the deadband or not.
//! - While the alarm is active its level follows the value at once. A value inside the limit but
//!   not yet back by the deadband holds the alarm at the innermost level of its side.
//! - A good value back by the deadband starts `OffDelay`; one that is not stops it.
//! - Only good values decide. Uncertain and bad ones never start, end or delay anything; they move
//!   the clock like every sample, and lie in the evidence of a condition they fall into.
//! - `ReAlarmTime` counts from the activation, then from the last telling; levels do not restart it.

mod why;

use super::{Alarm, Armed, Bench, Change, Condition, Fact};
use crate::{
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind},
};
use andon_contract::contract::{LimitLevel, LimitSettings};
use andon_model::{EventId, Position, Time, span::Span};
use serde::{Deserialize, Serialize};

/// Tellings of one alarm at one place of the log at most; after a longer jump of plant time the
/// older ones are left out, since nobody could have acted on them.
pub const REALARMS_AT_ONCE_MAX: u32 = 100;

/// The settings of the contract, made ready for comparing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// By level; infinite where not set.
    high_high: f64,
    high: f64,
    low: f64,
    low_low: f64,
    /// The value must be at or below this to leave the high side, at or above to leave the low.
    back_high: f64,
    back_low: f64,
    on_delay: Span,
    off_delay: Span,
    realarm: Option<Span>,
    /// In the order of the levels.
    severities: [u16; 4],
}

impl Settings {
    /// From the contract.
    pub fn new(settings: &LimitSettings) -> Self {
        let limit = |level, none| settings.limits.get(&level).map_or(none, |l| l.value);
        let severity = |level| settings.limits.get(&level).map_or(1, |l| l.severity);
        let high_high = limit(LimitLevel::HighHigh, f64::INFINITY);
        let high = limit(LimitLevel::High, f64::INFINITY);
        let low = limit(LimitLevel::Low, f64::NEG_INFINITY);
        let low_low = limit(LimitLevel::LowLow, f64::NEG_INFINITY);
        Self {
            high_high,
            high,
            low,
            low_low,
            back_high: high.min(high_high) - settings.deadband,
            back_low: low.max(low_low) + settings.deadband,
            on_delay: settings.on_delay,
            off_delay: settings.off_delay,
            realarm: settings.realarm.filter(|span| *span > Span::ZERO),
            severities: [LimitLevel::HighHigh, LimitLevel::High, LimitLevel::Low, LimitLevel::LowLow].map(severity),
        }
    }

    /// Reads where they lie in memory.
    #[inline]
    pub(super) fn look(&self) -> f64 {
        self.high
    }

    /// The level of a value: strictly beyond a limit.
    #[inline]
    fn level(&self, value: f64) -> Option<LimitLevel> {
        if value > self.high_high {
            Some(LimitLevel::HighHigh)
        } else if value > self.high {
            Some(LimitLevel::High)
        } else if value < self.low_low {
            Some(LimitLevel::LowLow)
        } else if value < self.low {
            Some(LimitLevel::Low)
        } else {
            None
        }
    }

    /// The level of a value while an alarm is active; `None`: back by the deadband.
    fn held(&self, value: f64, active: LimitLevel) -> Option<LimitLevel> {
        self.level(value).or_else(|| match active {
            LimitLevel::HighHigh | LimitLevel::High if value > self.back_high => {
                Some(if self.high.is_finite() { LimitLevel::High } else { LimitLevel::HighHigh })
            }
            LimitLevel::Low | LimitLevel::LowLow if value < self.back_low => {
                Some(if self.low.is_finite() { LimitLevel::Low } else { LimitLevel::LowLow })
            }
            _ => None,
        })
    }

    fn limit(&self, level: LimitLevel) -> f64 {
        match level {
            LimitLevel::HighHigh => self.high_high,
            LimitLevel::High => self.high,
            LimitLevel::Low => self.low,
            LimitLevel::LowLow => self.low_low,
        }
    }

    fn severity(&self, level: LimitLevel) -> u16 {
        let [high_high, high, low, low_low] = self.severities;
        match level {
            LimitLevel::HighHigh => high_high,
            LimitLevel::High => high,
            LimitLevel::Low => low,
            LimitLevel::LowLow => low_low,
        }
    }
}

fn is_high(level: LimitLevel) -> bool {
    matches!(level, LimitLevel::HighHigh | LimitLevel::High)
}

/// What the evidence of a number is made of.
pub enum Made<'a> {
    /// The number is a sample itself, and before it came this one.
    Itself(Option<&'a Raw>),
    /// It was made from these samples. Those that came since the number before were told to [`Phase::note`].
    From(&'a dyn Fn() -> Gather),
}

/// Where a judge is with what it judges.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing is wrong.
    #[default]
    Normal,
    /// Beyond a limit; `OnDelay` runs.
    Pending(Box<Pending>),
    /// An alarm.
    Active(Box<Active>),
}

/// What is kept while `OnDelay` runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Of the newest number.
    level: LimitLevel,
    since: Time,
    start: Position,
    /// From the last sample without the condition.
    gather: Gather,
    /// From the samples of the newest number, which is beyond; `None`: that is the last sample of `gather` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tail: Option<Box<Gather>>,
    /// The newest number, where it is no sample itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<Box<Raw>>,
}

/// What is kept of an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Active {
    level: LimitLevel,
    /// Of the level; kept here for the end of a rule that is removed.
    severity: u16,
    setting: f64,
    since: Time,
    /// Where the condition began.
    start: Position,
    activation: EventId,
    /// The activation, or the last telling.
    told: Time,
    /// From the samples of the last number beyond the deadband.
    gather: Gather,
    /// The newest number.
    good: Raw,
    /// Runs while the value is back by the deadband.
    off: Option<Off>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Off {
    since: Time,
    start: Position,
}

impl Phase {
    /// Reads where it lies in memory, and nothing of what it means.
    #[inline]
    pub(super) fn look(&self) -> usize {
        match self {
            Self::Normal => 0,
            Self::Pending(pending) => usize::from(is_high(pending.level)),
            Self::Active(active) => usize::from(is_high(active.level)) + usize::from(active.good.input),
        }
    }

    /// Whether nothing is wrong, and nothing becomes wrong by this number.
    #[inline]
    pub fn stays_normal(&self, set: &Settings, number: f64) -> bool {
        matches!(self, Self::Normal) && set.level(number).is_none()
    }

    /// Whether this number leads to another state; a level that changes while `OnDelay` runs does not.
    pub fn is_moved_by(&self, set: &Settings, number: f64, holds: bool) -> bool {
        match self {
            Self::Normal => holds && set.level(number).is_some(),
            Self::Pending(pending) => set.level(number).is_none_or(|level| is_high(level) != is_high(pending.level)),
            Self::Active(active) => match set.held(number, active.level) {
                Some(level) => level != active.level || active.off.is_some(),
                None => active.off.is_none(),
            },
        }
    }

    /// A sample that lies in the evidence of whatever lasts, and is no number by itself.
    pub fn note(&mut self, raw: &Raw) {
        match self {
            Self::Normal => {}
            Self::Pending(pending) => {
                let last = pending.gather.last();
                pending.tail.get_or_insert_with(|| Box::new(Gather::from(last.clone()))).push(raw.clone());
                pending.gather.push(raw.clone());
            }
            Self::Active(active) => active.gather.push(raw.clone()),
        }
    }

    /// The next number, which is never older than the one before; `raw` is the number with its time and the place
    /// of the sample that completed it, `cause` what makes a change that it decides at once.
    pub fn number(
        &mut self,
        set: &Settings,
        number: f64,
        raw: Raw,
        cause: Cause,
        made: &Made,
        bench: &mut Bench,
    ) -> Armed {
        match self {
            Self::Normal => match set.level(number) {
                Some(level) if bench.holds => self.begin(set, level, raw, cause, made, bench),
                _ => false,
            },
            Self::Pending(_) => self.pending(set, number, raw, cause, made, bench),
            Self::Active(_) => self.active(set, number, raw, cause, made, bench),
        }
    }

    fn begin(
        &mut self,
        set: &Settings,
        level: LimitLevel,
        raw: Raw,
        cause: Cause,
        made: &Made,
        bench: &mut Bench,
    ) -> Armed {
        let (since, start) = (raw.time, raw.position);
        let pending = match made {
            Made::Itself(before) => {
                let mut gather = Gather::from(before.map_or_else(|| raw.clone(), Raw::clone));
                if before.is_some() {
                    gather.push(raw);
                }
                Pending { level, since, start, gather, tail: None, number: None }
            }
            Made::From(samples) => {
                let gather = samples();
                Pending {
                    level,
                    since,
                    start,
                    tail: Some(Box::new(gather.clone())),
                    gather,
                    number: Some(Box::new(raw)),
                }
            }
        };
        if set.on_delay <= Span::ZERO {
            self.activate(set, pending, since, cause, bench);
        } else {
            *self = Self::Pending(Box::new(pending));
        }
        true
    }

    fn pending(
        &mut self,
        set: &Settings,
        number: f64,
        raw: Raw,
        cause: Cause,
        made: &Made,
        bench: &mut Bench,
    ) -> Armed {
        let Self::Pending(pending) = self else { return false };
        match set.level(number) {
            Some(level) if is_high(level) == is_high(pending.level) => {
                pending.level = level;
                match made {
                    Made::Itself(_) => {
                        pending.gather.push(raw);
                        (pending.tail, pending.number) = (None, None);
                    }
                    Made::From(samples) => {
                        pending.tail = Some(Box::new(samples()));
                        pending.number = Some(Box::new(raw));
                    }
                }
                false
            }
            Some(level) => {
                *self = Self::Normal;
                self.begin(set, level, raw, cause, made, bench)
            }
            None => {
                *self = Self::Normal;
                false
            }
        }
    }

    fn activate(&mut self, set: &Settings, pending: Pending, time: Time, cause: Cause, bench: &mut Bench) {
        let Pending { level, since, start, gather, tail, number } = pending;
        let tail = tail.map_or_else(|| Gather::from(gather.last().clone()), |tail| *tail);
        let id = bench.alarm_id(ChangeKind::Activated, Some(level), cause);
        let active = Active {
            level,
            severity: set.severity(level),
            setting: set.limit(level),
            since,
            start,
            activation: id,
            told: time,
            good: number.map_or_else(|| tail.first().clone(), |number| *number),
            gather: tail,
            off: None,
        };
        bench.out.push(active.change(ChangeKind::Activated, id, time, gather.finish_all(bench.signals)));
        *self = Self::Active(Box::new(active));
    }

    fn active(&mut self, set: &Settings, number: f64, raw: Raw, cause: Cause, made: &Made, bench: &mut Bench) -> Armed {
        let Self::Active(active) = self else { return false };
        active.good = raw.clone();
        let (since, start) = (raw.time, raw.position);
        if let Some(level) = set.held(number, active.level) {
            active.off = None;
            match made {
                Made::Itself(_) => active.gather.restart(raw),
                Made::From(samples) => active.gather = samples(),
            }
            if level != active.level {
                active.level = level;
                active.severity = set.severity(level);
                active.setting = set.limit(level);
                let id = bench.alarm_id(ChangeKind::Level, Some(level), cause);
                let evidence = active.gather.finish_all(bench.signals);
                bench.out.push(active.change(ChangeKind::Level, id, since, evidence));
            }
            return false;
        }
        if let Made::Itself(_) = made {
            active.gather.push(raw);
        }
        if set.off_delay <= Span::ZERO {
            self.return_to_normal(since, cause, None, bench);
            return false;
        }
        if active.off.is_some() {
            return false;
        }
        active.off = Some(Off { since, start });
        true
    }

    fn return_to_normal(&mut self, time: Time, cause: Cause, reason: Option<&str>, bench: &mut Bench) {
        let Self::Active(active) = std::mem::take(self) else { return };
        let id = bench.alarm_id(ChangeKind::Returned, Some(active.level), cause);
        let change = active.change(ChangeKind::Returned, id, time, active.gather.finish_all(bench.signals));
        bench.out.push(change.because(reason));
    }

    /// What else must hold does not any more: a condition that has not become an alarm ends. When it holds again, the
    /// next number begins anew.
    pub fn guard(&mut self, bench: &Bench) -> Armed {
        if let (Self::Pending(_), false) = (&*self, bench.holds) {
            *self = Self::Normal;
        }
        false
    }

    /// The plant time at which its next timer runs out.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        match self {
            Self::Normal => None,
            Self::Pending(pending) => Some(pending.since.plus(set.on_delay)),
            Self::Active(active) => {
                let off = active.off.map(|off| off.since.plus(set.off_delay));
                let again = set.realarm.map(|span| active.told.plus(span));
                [off, again].into_iter().flatten().min()
            }
        }
    }

    /// Lets every timer fire whose deadline lies before `clock`, in the order of their deadlines.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        while let Some(deadline) = self.deadline(set).filter(|deadline| *deadline < clock) {
            match self {
                Self::Normal => return,
                Self::Pending(_) => {
                    let Self::Pending(pending) = std::mem::take(self) else { return };
                    let cause = Cause::Timer { start: pending.start, deadline };
                    self.activate(set, *pending, deadline, cause, bench);
                }
                Self::Active(active) => match active.off.filter(|off| off.since.plus(set.off_delay) == deadline) {
                    Some(off) => {
                        let cause = Cause::Timer { start: off.start, deadline };
                        self.return_to_normal(deadline, cause, None, bench);
                    }
                    None => active.tell_again(set, clock, bench),
                },
            }
        }
    }

    /// Ends an active alarm that these settings no longer hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        match self {
            Self::Active(active) => {
                let held = active.good.value.number().and_then(|v| set.held(v, active.level));
                if held.is_some() {
                    active.off = None;
                    active.count_from(set, active.gather.last().time);
                    if set.limit(active.level).is_finite() {
                        active.setting = set.limit(active.level);
                        active.severity = set.severity(active.level);
                    }
                } else if active.off.is_none() {
                    // With OffDelay running the value was back before the edit, and the timer goes on.
                    self.end(at, reason, bench);
                }
            }
            Self::Pending(pending) => {
                let tail = || pending.tail.as_deref().map_or_else(|| pending.gather.last(), Gather::first);
                let value = pending.number.as_deref().unwrap_or_else(tail).value.number();
                match value.and_then(|v| set.level(v)) {
                    Some(level) if is_high(level) == is_high(pending.level) => {}
                    _ => {
                        *self = Self::Normal;
                    }
                }
            }
            Self::Normal => {}
        }
    }

    /// Where its clock stood at an edit: what was not told again by then counts from there.
    pub fn edited_at(&mut self, set: &Settings, clock: Time) {
        if let Self::Active(active) = self {
            active.count_from(set, clock);
        }
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        if let Self::Active(active) = self {
            let time = active.gather.last().time.max(active.told);
            self.return_to_normal(time, Cause::Edit(at), Some(reason), bench);
        }
    }
}

impl Active {
    fn change(&self, kind: ChangeKind, id: EventId, time: Time, evidence: andon_store::rows::Evidence) -> Change {
        Change {
            kind,
            id,
            story: self.activation,
            time,
            fact: Fact::Alarm(Alarm {
                condition: Condition::Limit,
                level: Some(self.level),
                outcome: None,
                severity: self.severity,
                priority: None,
                since: self.since,
                value: Some(self.good.value.clone()),
                setting: Some(self.setting),
                reason: None,
            }),
            evidence,
        }
    }

    /// It was not to be told again so far: a `ReAlarmTime` that is new counts from the edit.
    fn count_from(&mut self, set: &Settings, edit: Time) {
        if set.realarm.is_some_and(|span| self.told.plus(span) < edit) {
            self.told = edit;
        }
    }

    /// Tells the alarm again for every `ReAlarmTime` that has passed before `clock`.
    fn tell_again(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        let Some(span) = set.realarm else { return };
        let end = self.off.map_or(clock, |off| clock.min(off.since.plus(set.off_delay)));
        // The passed deadlines are told + span * 1 ..= passed.
        let passed = end.since(self.told).nanos().saturating_sub(1) / span.nanos();
        let left_out = passed.saturating_sub(i64::from(REALARMS_AT_ONCE_MAX)).max(0);
        self.told = self.told.plus(Span::from_nanos(left_out.saturating_mul(span.nanos())));
        for _ in left_out..passed {
            let deadline = self.told.plus(span);
            let cause = Cause::Timer { start: self.start, deadline };
            let id = bench.alarm_id(ChangeKind::Realarmed, Some(self.level), cause);
            self.told = deadline;
            let evidence = Gather::from(self.gather.last().clone()).finish_all(bench.signals);
            bench.out.push(self.change(ChangeKind::Realarmed, id, deadline, evidence));
        }
    }
}
