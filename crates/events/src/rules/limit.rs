//! Limits: four exclusive levels with `OnDelay`, `OffDelay`, Deadband and `ReAlarmTime` (OPC UA Part 9).
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

use super::{Alarm, Armed, Bench, Change, Condition, Fact};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind},
};
use andon_contract::contract::{LimitLevel, LimitSettings};
use andon_model::{EventId, Position, Sample, Time, span::Span};
use serde::{Deserialize, Serialize};

/// Tellings of one alarm at one place of the log at most; after a longer jump of plant time the
/// older ones are left out, since nobody could have acted on them.
pub const REALARMS_AT_ONCE_MAX: u32 = 100;

/// Its states; `Leaving` is active with `OffDelay` running.
pub const DIAGRAM: Diagram = Diagram {
    kind: "limit",
    begins: "Normal",
    steps: &[
        ("Normal", "Pending", "a good value beyond a limit, with OnDelay"),
        ("Normal", "Active", "a good value beyond a limit, without OnDelay (activated)"),
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

/// What a limit remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The newest sample while nothing is wrong: where the evidence of a condition begins.
    newest: Option<Raw>,
    phase: Phase,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    #[default]
    Normal,
    Pending(Box<Pending>),
    Active(Box<Active>),
}

/// Beyond a limit; `OnDelay` runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    /// Of the newest good value.
    level: LimitLevel,
    since: Time,
    start: Position,
    /// From the last sample without the condition.
    gather: Gather,
    /// From the newest good sample, which is beyond.
    tail: Gather,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Active {
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
    /// From the last good sample beyond the deadband.
    gather: Gather,
    /// The newest good sample.
    good: Raw,
    /// Runs while the value is back by the deadband.
    off: Option<Off>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Off {
    since: Time,
    start: Position,
}

impl State {
    /// The next sample of the signal that is not late.
    #[inline]
    pub fn sample(&mut self, set: &Settings, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let raw = Raw::new(at, sample);
        let good = if sample.quality.is_good() { sample.value.number().filter(|v| v.is_finite()) } else { None };
        match (&mut self.phase, good) {
            (Phase::Normal, Some(value)) => match set.level(value) {
                Some(level) if bench.holds => return self.begin(set, level, raw, bench),
                _ => self.newest = Some(raw),
            },
            (Phase::Normal, None) => self.newest = Some(raw),
            (Phase::Pending(_), Some(value)) => return self.pending(set, value, raw, bench),
            (Phase::Active(_), Some(value)) => return self.active(set, value, raw, bench),
            (Phase::Pending(pending), None) => {
                pending.gather.push(raw.clone());
                pending.tail.push(raw);
            }
            (Phase::Active(active), None) => active.gather.push(raw),
        }
        false
    }

    fn begin(&mut self, set: &Settings, level: LimitLevel, raw: Raw, bench: &mut Bench) -> Armed {
        let gather = match self.newest.take() {
            Some(newest) => {
                let mut gather = Gather::from(newest);
                gather.push(raw.clone());
                gather
            }
            None => Gather::from(raw.clone()),
        };
        let (since, start) = (raw.time, raw.position);
        let pending = Pending { level, since, start, gather, tail: Gather::from(raw) };
        if set.on_delay <= Span::ZERO {
            self.activate(set, pending, since, Cause::Sample(start), bench);
        } else {
            self.phase = Phase::Pending(Box::new(pending));
        }
        true
    }

    fn pending(&mut self, set: &Settings, value: f64, raw: Raw, bench: &mut Bench) -> Armed {
        let Phase::Pending(pending) = &mut self.phase else { return false };
        match set.level(value) {
            Some(level) if is_high(level) == is_high(pending.level) => {
                pending.level = level;
                pending.gather.push(raw.clone());
                pending.tail.restart(raw);
                false
            }
            Some(level) => {
                self.newest = Some(pending.gather.last().clone());
                self.phase = Phase::Normal;
                self.begin(set, level, raw, bench)
            }
            None => {
                self.newest = Some(raw);
                self.phase = Phase::Normal;
                false
            }
        }
    }

    fn activate(&mut self, set: &Settings, pending: Pending, time: Time, cause: Cause, bench: &mut Bench) {
        let Pending { level, since, start, gather, tail } = pending;
        let id = bench.alarm_id(ChangeKind::Activated, Some(level), cause);
        let active = Active {
            level,
            severity: set.severity(level),
            setting: set.limit(level),
            since,
            start,
            activation: id,
            told: time,
            good: tail.first().clone(),
            gather: tail,
            off: None,
        };
        bench.out.push(active.change(ChangeKind::Activated, id, time, gather.finish(bench.signal())));
        self.phase = Phase::Active(Box::new(active));
    }

    fn active(&mut self, set: &Settings, value: f64, raw: Raw, bench: &mut Bench) -> Armed {
        let Phase::Active(active) = &mut self.phase else { return false };
        active.good = raw.clone();
        if let Some(level) = set.held(value, active.level) {
            let (time, at) = (raw.time, raw.position);
            active.off = None;
            active.gather.restart(raw);
            if level != active.level {
                active.level = level;
                active.severity = set.severity(level);
                active.setting = set.limit(level);
                let id = bench.alarm_id(ChangeKind::Level, Some(level), Cause::Sample(at));
                let evidence = active.gather.finish(bench.signal());
                bench.out.push(active.change(ChangeKind::Level, id, time, evidence));
            }
            return false;
        }
        let (since, start) = (raw.time, raw.position);
        active.gather.push(raw);
        if set.off_delay <= Span::ZERO {
            self.return_to_normal(since, Cause::Sample(start), None, bench);
            return false;
        }
        if active.off.is_some() {
            return false;
        }
        active.off = Some(Off { since, start });
        true
    }

    fn return_to_normal(&mut self, time: Time, cause: Cause, reason: Option<&str>, bench: &mut Bench) {
        let Phase::Active(active) = std::mem::take(&mut self.phase) else { return };
        let id = bench.alarm_id(ChangeKind::Returned, Some(active.level), cause);
        let change = active.change(ChangeKind::Returned, id, time, active.gather.finish(bench.signal()));
        bench.out.push(change.because(reason));
        self.newest = Some(active.gather.last().clone());
    }

    /// What else must hold does not any more: a condition that has not become an alarm ends. When it holds again, the
    /// next good sample begins anew.
    pub fn guard(&mut self, bench: &Bench) -> Armed {
        if let (Phase::Pending(pending), false) = (&self.phase, bench.holds) {
            self.newest = Some(pending.gather.last().clone());
            self.phase = Phase::Normal;
        }
        false
    }

    /// The plant time at which its next timer runs out.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        match &self.phase {
            Phase::Normal => None,
            Phase::Pending(pending) => Some(pending.since.plus(set.on_delay)),
            Phase::Active(active) => {
                let off = active.off.map(|off| off.since.plus(set.off_delay));
                let again = set.realarm.map(|span| active.told.plus(span));
                [off, again].into_iter().flatten().min()
            }
        }
    }

    /// Lets every timer fire whose deadline lies before `clock`, in the order of their deadlines.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        while let Some(deadline) = self.deadline(set).filter(|deadline| *deadline < clock) {
            match &mut self.phase {
                Phase::Normal => return,
                Phase::Pending(_) => {
                    let Phase::Pending(pending) = std::mem::take(&mut self.phase) else { return };
                    let cause = Cause::Timer { start: pending.start, deadline };
                    self.activate(set, *pending, deadline, cause, bench);
                }
                Phase::Active(active) => match active.off.filter(|off| off.since.plus(set.off_delay) == deadline) {
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
        match &mut self.phase {
            Phase::Active(active) => {
                let held = active.good.value.number().and_then(|v| set.held(v, active.level));
                if held.is_some() {
                    active.off = None;
                    if set.limit(active.level).is_finite() {
                        active.setting = set.limit(active.level);
                        active.severity = set.severity(active.level);
                    }
                } else if active.off.is_none() {
                    // With OffDelay running the value was back before the edit, and the timer goes on.
                    self.end(at, reason, bench);
                }
            }
            Phase::Pending(pending) => {
                let value = pending.tail.first().value.number();
                match value.and_then(|v| set.level(v)) {
                    Some(level) if is_high(level) == is_high(pending.level) => {}
                    _ => {
                        self.newest = Some(pending.gather.last().clone());
                        self.phase = Phase::Normal;
                    }
                }
            }
            Phase::Normal => {}
        }
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        if let Phase::Active(active) = &self.phase {
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
                since: self.since,
                value: Some(self.good.value.clone()),
                setting: Some(self.setting),
                reason: None,
            }),
            evidence,
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
            let evidence = Gather::from(self.gather.last().clone()).finish(bench.signal());
            bench.out.push(self.change(ChangeKind::Realarmed, id, deadline, evidence));
        }
    }
}
