//! Counters: steps of a number that counts up, as counts of parts.
//!
//! - The first good value is where counting begins. A greater one is a step of the difference; the
//!   same again is none. Uncertain and bad values, and numbers that are not whole, count nothing.
//! - A smaller value has gone round where `rollover` is set and the way over it is short enough: at
//!   most `max-step`, or half of `rollover` where there is none. Else the counter began again: a
//!   reset. What it shows then was counted since, if it is at most `max-step`; without one nothing
//!   is invented.
//! - A step of more than `max-step` is none: the counter was set. It is told as a reset of 0.
//! - The first step after its source was away, or after a silence of more than `gap`, is one over a
//!   gap: told at once, by itself, and not as live. `max-step` does not bound it.
//! - Steps are told when `every` is reached, at the latest by its timer in plant time. What is not
//!   told yet lies in the state, and is told before anything else is.
//! - The sum of all deltas is what was counted.

mod why;

use super::{Armed, Bench, Change, Fact};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind, EventType},
};
use andon_contract::contract::{CountKind, CounterSettings, Every};
use andon_model::{Position, Quantity, Sample, Time, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use std::sync::Arc;

/// The settings of the contract.
pub type Settings = Arc<CounterSettings>;

/// The states of one counter.
pub const DIAGRAM: Diagram = Diagram {
    kind: "counter",
    begins: "New",
    steps: &[
        ("New", "Told", "the first good value"),
        (
            "Told",
            "Told",
            "a step that reaches every (counted), or one that goes round (rollover), begins again (reset)",
        ),
        ("Told", "Pending", "a step that does not reach every"),
        ("Pending", "Pending", "a step that does not reach every"),
        ("Pending", "Told", "every is reached, or its time has passed (counted)"),
        ("Pending", "Told", "the counter goes round or begins again (counted, then rollover or reset)"),
        ("Told", "Away", "the source is away, or silent for longer than gap"),
        ("Pending", "Away", "the source is away, or silent for longer than gap"),
        ("Away", "Told", "the next step (what was pending as counted, then gap, rollover or reset)"),
        ("Away", "Told", "the same value again, with nothing pending"),
        ("Away", "Pending", "the same value again"),
        ("Away", "Away", "its time has passed (counted)"),
    ],
};

/// What a rule for counters remembers: one counter for each of its signals, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    counters: Vec<Counter>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    /// The newest good value.
    last: Option<Raw>,
    total: i64,
    /// Whether the source was away since then.
    away: bool,
    pending: Option<Box<Pending>>,
}

/// Steps that are not told yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    kind: CountKind,
    delta: i64,
    /// The value before the first step.
    previous: i64,
    /// When it was last shown.
    from: Time,
    /// The time and place of the first step.
    since: Time,
    start: Position,
    /// When it must be told.
    deadline: Time,
}

/// What a value means after the one before it.
enum Step {
    Same,
    Counted(i64),
    Rollover(i64),
    Reset(i64, Option<String>),
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::I64(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and far from the ends")]
        Value::F64(number) => (number.fract() == 0.0 && number.abs() < 9e15).then_some(*number as i64),
        Value::Bool(_) | Value::Text(_) | Value::Bytes(_) => None,
    }
}

/// The step from one value to the next; over a gap any step forward may be.
fn step(set: &CounterSettings, last: i64, now: i64, live: bool) -> Step {
    let delta = now.saturating_sub(last);
    let most = set.max_step.unwrap_or(i64::MAX);
    if delta == 0 {
        return Step::Same;
    }
    if delta > 0 {
        if live && delta > most {
            let reason = format!("a step of {delta} is more than max-step, {most}");
            return Step::Reset(0, Some(reason));
        }
        return Step::Counted(delta);
    }
    if let Some(rollover) = set.rollover
        && now >= 0
        && last < rollover
    {
        let over = now.saturating_add(rollover.saturating_sub(last));
        if over <= set.max_step.unwrap_or(rollover / 2) {
            return Step::Rollover(over);
        }
    }
    let since = if set.max_step.is_some() && (0..=most).contains(&now) { now } else { 0 };
    Step::Reset(since, None)
}

/// Lets a counter work, and says in what it tells the planned run time of one item, where the rule has one.
pub(super) fn telling_run_time<T>(set: &CounterSettings, bench: &mut Bench, work: impl FnOnce(&mut Bench) -> T) -> T {
    let before = bench.out.len();
    let found = work(bench);
    if let Some(span) = set.run_time {
        #[expect(clippy::cast_precision_loss, reason = "a run time is far below 2^53 ns")]
        let seconds = Quantity::from_f64(span.nanos() as f64 / 1e9, "s");
        for change in bench.out.iter_mut().skip(before) {
            if let Fact::Other(EventType::Count, fields) = &mut change.fact {
                fields.insert("runtime".to_owned(), json!(seconds));
            }
        }
    }
    found
}

impl State {
    /// The next sample of one of its signals that is not late.
    #[inline]
    pub fn sample(&mut self, set: &Settings, input: u8, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let index = usize::from(input);
        let (Some(kind), true) = (set.counts.get(index).copied(), sample.quality.is_good()) else { return false };
        let Some(now) = whole(&sample.value) else { return false };
        if self.counters.len() <= index {
            self.counters.resize(set.counts.len(), Counter::default());
        }
        let Some(counter) = self.counters.get_mut(index) else { return false };
        let raw = Raw::new(at, sample);
        let Some(last) = counter.last.replace(raw.clone()) else {
            counter.away = false;
            return false;
        };
        let before = whole(&last.value).unwrap_or(now);
        let silent = set.gap.is_some_and(|gap| raw.time.since(last.time) > gap);
        let live = !(std::mem::take(&mut counter.away) || silent);
        let found = step(set, before, now, live);
        if let Step::Same = found {
            return false;
        }
        if !bench.holds {
            return false;
        }
        let told = Told { input, kind, previous: before, from: last.time, raw: &raw, live };
        match found {
            Step::Same => false,
            Step::Counted(delta) if live => counter.count(set, delta, &told, bench),
            Step::Counted(delta) => {
                counter.tell_pending(input, &last, Cause::Sample(at), bench);
                counter.tell(ChangeKind::Gap, delta, &told, None, bench);
                false
            }
            Step::Rollover(delta) => {
                counter.tell_pending(input, &last, Cause::Sample(at), bench);
                counter.tell(ChangeKind::Rollover, delta, &told, None, bench);
                false
            }
            Step::Reset(delta, reason) => {
                counter.tell_pending(input, &last, Cause::Sample(at), bench);
                counter.tell(ChangeKind::Reset, delta, &told, reason, bench);
                false
            }
        }
    }

    /// The source is away: the next step of each counter is one over a gap.
    pub fn away(&mut self) {
        for counter in &mut self.counters {
            counter.away = counter.last.is_some();
        }
    }

    /// The plant time at which the next counts must be told.
    pub fn deadline(&self) -> Option<Time> {
        self.counters.iter().filter_map(|counter| counter.pending.as_ref()).map(|pending| pending.deadline).min()
    }

    /// Tells the counts whose deadline lies before `clock`, in the order of their deadlines.
    pub fn fire(&mut self, clock: Time, bench: &mut Bench) {
        while let Some(deadline) = self.deadline().filter(|deadline| *deadline < clock) {
            let due = |counter: &Counter| counter.pending.as_ref().is_some_and(|of| of.deadline == deadline);
            let Some((counter, input)) = self.counters.iter_mut().zip(0_u8..).find(|(counter, _)| due(counter)) else {
                return;
            };
            let (Some(pending), Some(last)) = (&counter.pending, counter.last.clone()) else { return };
            let cause = Cause::Timer { start: pending.start, deadline };
            counter.tell_pending_at(input, deadline, &last, cause, bench);
        }
    }

    /// Tells what is not told yet because the rule is gone.
    pub fn removed(&mut self, at: Position, bench: &mut Bench) {
        for (counter, input) in self.counters.iter_mut().zip(0_u8..) {
            if let Some(last) = counter.last.clone() {
                counter.tell_pending(input, &last, Cause::Edit(at), bench);
            }
        }
    }
}

/// What an event says of a step.
struct Told<'a> {
    input: u8,
    kind: CountKind,
    previous: i64,
    from: Time,
    raw: &'a Raw,
    live: bool,
}

impl Counter {
    fn count(&mut self, set: &CounterSettings, delta: i64, told: &Told, bench: &mut Bench) -> Armed {
        let (most, after) = match set.every {
            Every::Count(most, after) => (most, after),
            Every::Time(after) => (i64::MAX, after),
        };
        let (since, start) = (told.raw.time, told.raw.position);
        let began = self.pending.is_none();
        if began && delta >= most {
            self.tell(ChangeKind::Counted, delta, told, None, bench);
            return false;
        }
        let (kind, previous, from) = (told.kind, told.previous, told.from);
        let new = || Box::new(Pending { kind, delta: 0, previous, from, since, start, deadline: since.plus(after) });
        let pending = self.pending.get_or_insert_with(new);
        pending.delta = pending.delta.saturating_add(delta);
        if pending.delta >= most {
            self.tell_pending(told.input, told.raw, Cause::Sample(told.raw.position), bench);
            return false;
        }
        began
    }

    /// Tells the steps that are not told yet, up to the value that they led to.
    fn tell_pending(&mut self, input: u8, last: &Raw, cause: Cause, bench: &mut Bench) {
        self.tell_pending_at(input, last.time, last, cause, bench);
    }

    fn tell_pending_at(&mut self, input: u8, time: Time, last: &Raw, cause: Cause, bench: &mut Bench) {
        let Some(pending) = self.pending.take() else { return };
        let Pending { kind, delta, previous, from, .. } = *pending;
        let told = Told { input, kind, previous, from, raw: last, live: true };
        self.tell_at(ChangeKind::Counted, delta, &told, None, (time, cause), bench);
    }

    fn tell(&mut self, change: ChangeKind, delta: i64, told: &Told, reason: Option<String>, bench: &mut Bench) {
        let place = (told.raw.time, Cause::Sample(told.raw.position));
        self.tell_at(change, delta, told, reason, place, bench);
    }

    fn tell_at(
        &mut self,
        kind: ChangeKind,
        delta: i64,
        told: &Told,
        reason: Option<String>,
        (time, cause): (Time, Cause),
        bench: &mut Bench,
    ) {
        self.total = self.total.saturating_add(delta);
        let id = bench.identity.event_id(EventType::Count, kind, told.kind.word(), cause);
        let mut fields = Map::new();
        let mut put = |name: &str, value| fields.insert(name.to_owned(), value);
        put("signal", json!(bench.name(told.input)));
        put("kind", json!(told.kind));
        put("delta", json!(delta));
        put("total", json!(self.total));
        put("previous", json!(told.previous));
        put("value", json!(whole(&told.raw.value)));
        put("from", json!(told.from));
        put("to", json!(told.raw.time));
        put("live", json!(told.live));
        if let Some(reason) = reason {
            put("reason", json!(reason));
        }
        let signal = bench.signals.get(usize::from(told.input)).map_or("", String::as_str);
        let evidence = Gather::from(told.raw.clone()).finish(signal);
        bench.out.push(Change { kind, id, story: id, time, fact: Fact::Other(EventType::Count, fields), evidence });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::span::Span;

    #[test]
    fn only_whole_numbers_count() {
        assert_eq!(whole(&Value::F64(3.0)), Some(3));
        assert_eq!(whole(&Value::F64(3.5)), None);
        assert_eq!(whole(&Value::F64(1e300)), None);
        assert_eq!(whole(&Value::I64(i64::MIN)), Some(i64::MIN));
        assert_eq!(whole(&Value::Bool(true)), None);
    }

    #[test]
    fn no_step_overflows() {
        let every = Every::Count(1, Span::from_secs(60));
        let set = CounterSettings {
            counts: vec![],
            rollover: Some(i64::MAX),
            max_step: None,
            gap: None,
            every,
            run_time: None,
        };
        for last in [i64::MIN, -1, 0, i64::MAX - 1, i64::MAX] {
            for now in [i64::MIN, -1, 0, i64::MAX] {
                let (Step::Same | Step::Counted(0..) | Step::Rollover(0..) | Step::Reset(0.., _)) =
                    step(&set, last, now, true)
                else {
                    panic!("a step from {last} to {now} is negative");
                };
            }
        }
    }
}
