//! Decision tables: several signals of one asset, and what they mean together.
//!
//! - What one moment says counts together: the table is judged when the newest good values of all its signals are of
//!   one time, else when the clock has passed the time of the newest. Between, nothing flickers.
//! - A signal that says nothing at a moment keeps its newest good value. A row whose signal or value is not known does
//!   not hold, unless it tests just that.
//! - Each outcome is an alarm of its own: after `OnDelay` in which one of its rows held, until no row held for
//!   `OffDelay`.
//! - Late samples and those that are not good decide nothing. Where the conditions of the rule do not hold, nothing
//!   begins.

mod why;

use super::{Alarm, Armed, Bench, Change, Condition, Fact, is_sooner};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    guard,
    identity::{Cause, ChangeKind, EventType},
};
use andon_contract::contract::{TableForm, TableSettings, TableValue, TableWhat};
use andon_model::{EventId, Position, Sample, Time, Value};
use andon_store::rows::Evidence;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Its states, of each outcome by itself.
pub const DIAGRAM: Diagram = Diagram {
    kind: "table",
    begins: "Normal",
    steps: &[
        ("Normal", "Active", "a row of the outcome holds, without OnDelay (activated)"),
        ("Normal", "Pending", "a row of the outcome holds"),
        ("Pending", "Normal", "no row of it holds, or a condition of when fails"),
        ("Pending", "Active", "OnDelay has passed (activated)"),
        ("Active", "Normal", "no row of it holds, without OffDelay, or an edit (returned)"),
        ("Active", "Leaving", "no row of it holds"),
        ("Leaving", "Active", "a row of it holds again"),
        ("Leaving", "Normal", "OffDelay has passed (returned)"),
    ],
};

/// The settings of the contract.
pub type Settings = Arc<TableSettings>;

/// What a table remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The newest good sample of each input.
    inputs: Vec<Option<Raw>>,
    /// What a moment says is not whole yet: the table is judged when the clock has passed it.
    waits: Option<Time>,
    /// The outcomes that are not normal.
    outcomes: BTreeMap<String, Outcome>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    severity: u16,
    /// The time of the first judgement at which it held.
    since: Time,
    /// The place of the newest sample of that judgement.
    start: Position,
    /// Its alarm, once there is one.
    activation: Option<EventId>,
    /// Since when, and from which place on, no row of it holds.
    off: Option<(Time, Position)>,
}

/// A judgement: when, and by which place of the log.
#[derive(Clone, Copy)]
struct Moment {
    time: Time,
    position: Position,
}

impl State {
    /// One that has seen nothing.
    pub fn new(set: &TableSettings) -> Self {
        Self { inputs: vec![None; inputs(set)], ..Self::default() }
    }

    /// Whether it reads as many signals.
    pub fn fits(&self, set: &TableSettings) -> bool {
        self.inputs.len() == inputs(set)
    }

    /// The next sample of an input that is not late.
    pub fn sample(&mut self, set: &Settings, input: u8, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let before = self.deadline(set);
        // An input may come from a source with another clock: what ended before it ends first.
        self.fire(set, sample.time, bench);
        let known = !matches!(sample.value.number(), Some(number) if !number.is_finite());
        if sample.quality.is_good() && known {
            if let Some(slot) = self.inputs.get_mut(usize::from(input)) {
                *slot = Some(Raw::of(input, at, sample));
            }
            let whole = self.inputs.iter().all(|raw| raw.as_ref().is_some_and(|raw| raw.time == sample.time));
            if whole {
                self.waits = None;
                self.judge(set, Moment { time: sample.time, position: at }, bench);
            } else {
                self.waits = Some(self.waits.map_or(sample.time, |waits| waits.max(sample.time)));
            }
        }
        is_sooner(before, self.deadline(set))
    }

    /// The conditions of the rule hold, or do not any more: what has not become an alarm ends, or begins.
    pub fn guard(&mut self, set: &Settings, by: Option<(Position, Time)>, bench: &mut Bench) -> Armed {
        let before = self.deadline(set);
        if !bench.holds {
            self.outcomes.retain(|_, outcome| outcome.activation.is_some());
        } else if let Some((position, time)) = by.filter(|_| self.waits.is_none()) {
            self.judge(set, Moment { time, position }, bench);
        }
        is_sooner(before, self.deadline(set))
    }

    /// The plant time at which its next timer runs out, or a moment is whole.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        let timers = self.outcomes.values().filter_map(|outcome| outcome.deadline(set));
        timers.chain(self.waits).min()
    }

    /// Lets every timer fire whose deadline lies before `clock`, and judges a moment that the clock has passed.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        loop {
            let timer = self.outcomes.iter().filter_map(|(name, of)| Some((of.deadline(set)?, name.clone()))).min();
            let waits = self.waits.filter(|waits| *waits < clock);
            match timer.filter(|(deadline, _)| *deadline < clock) {
                // A timer that ends at the time of a moment ends after what the moment says.
                Some((deadline, name)) if waits.is_none_or(|waits| deadline < waits) => {
                    self.passed(&name, deadline, bench);
                }
                _ => {
                    let Some(time) = waits else { return };
                    self.waits = None;
                    if let Some(position) = self.newest() {
                        self.judge(set, Moment { time, position }, bench);
                    }
                }
            }
        }
    }

    /// The place of the newest sample of all inputs.
    fn newest(&self) -> Option<Position> {
        self.inputs.iter().flatten().map(|raw| raw.position).max()
    }

    /// A delay of an outcome has passed.
    fn passed(&mut self, name: &str, deadline: Time, bench: &mut Bench) {
        let Some(outcome) = self.outcomes.get_mut(name) else { return };
        match (outcome.activation, outcome.off) {
            (Some(_), Some((_, start))) => {
                let cause = Cause::Timer { start, deadline };
                self.returned(name, deadline, cause, None, bench);
            }
            (None, _) => {
                let cause = Cause::Timer { start: outcome.start, deadline };
                self.activated(name, deadline, cause, bench);
            }
            (Some(_), None) => {}
        }
    }

    /// Judges the rows by what is known now; where nothing is known yet there is nothing to tell of.
    fn judge(&mut self, set: &Settings, moment: Moment, bench: &mut Bench) {
        if self.newest().is_none() {
            return;
        }
        let held = held(set, &self.inputs);
        for row in &set.rows {
            let name = row.outcome.as_str();
            let holds = held.contains(&name);
            match (self.outcomes.get_mut(name), holds) {
                (None, true) if bench.holds => {
                    let begun = Outcome {
                        severity: row.severity,
                        since: moment.time,
                        start: moment.position,
                        activation: None,
                        off: None,
                    };
                    self.outcomes.insert(name.to_owned(), begun);
                    if set.on_delay.nanos() <= 0 {
                        self.activated(name, moment.time, Cause::Sample(moment.position), bench);
                    }
                }
                (Some(outcome), true) => outcome.off = None,
                (Some(outcome), false) if outcome.activation.is_none() => {
                    self.outcomes.remove(name);
                }
                (Some(_), false) if set.off_delay.nanos() <= 0 => {
                    self.returned(name, moment.time, Cause::Sample(moment.position), None, bench);
                }
                (Some(outcome), false) => {
                    outcome.off.get_or_insert((moment.time, moment.position));
                }
                (None, _) => {}
            }
        }
    }

    fn activated(&mut self, name: &str, time: Time, cause: Cause, bench: &mut Bench) {
        let id = bench.identity.event_id(EventType::Alarm, ChangeKind::Activated, name, cause);
        let Some(evidence) = self.evidence(bench) else { return };
        let Some(outcome) = self.outcomes.get_mut(name) else { return };
        outcome.activation = Some(id);
        bench.out.push(outcome.change(name, ChangeKind::Activated, (id, id), time, evidence));
    }

    fn returned(&mut self, name: &str, time: Time, cause: Cause, reason: Option<&str>, bench: &mut Bench) {
        let Some(outcome) = self.outcomes.remove(name) else { return };
        let Some(activation) = outcome.activation else { return };
        let id = bench.identity.event_id(EventType::Alarm, ChangeKind::Returned, name, cause);
        let Some(evidence) = self.evidence(bench) else { return };
        let change = outcome.change(name, ChangeKind::Returned, (id, activation), time, evidence);
        bench.out.push(change.because(reason));
    }

    /// What the table saw: the newest good sample of each input, in the order of the log.
    fn evidence(&self, bench: &Bench) -> Option<Evidence> {
        let mut raws: Vec<&Raw> = self.inputs.iter().flatten().collect();
        raws.sort_by_key(|raw| raw.position);
        Some(Gather::of(raws)?.finish_all(bench.signals))
    }

    /// Takes up other settings: ends the alarms whose outcome is gone or does not hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        let held: Vec<String> = held(set, &self.inputs).into_iter().map(str::to_owned).collect();
        for name in self.outcomes.keys().cloned().collect::<Vec<_>>() {
            let severity = set.rows.iter().find(|row| row.outcome == name).map(|row| row.severity);
            match (self.outcomes.get_mut(&name), severity) {
                (Some(outcome), Some(severity)) if held.contains(&name) || outcome.off.is_some() => {
                    outcome.severity = severity;
                }
                _ => self.end_one(&name, at, reason, bench),
            }
        }
    }

    /// Ends its alarms because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        for name in self.outcomes.keys().cloned().collect::<Vec<_>>() {
            self.end_one(&name, at, reason, bench);
        }
    }

    fn end_one(&mut self, name: &str, at: Position, reason: &str, bench: &mut Bench) {
        let newest = self.inputs.iter().flatten().map(|raw| raw.time).max().unwrap_or_default();
        let time = self.outcomes.get(name).map_or(newest, |outcome| newest.max(outcome.since));
        self.returned(name, time, Cause::Edit(at), Some(reason), bench);
    }
}

impl Outcome {
    fn deadline(&self, set: &TableSettings) -> Option<Time> {
        match (self.activation, self.off) {
            (None, _) => Some(self.since.plus(set.on_delay)),
            (Some(_), Some((since, _))) => Some(since.plus(set.off_delay)),
            (Some(_), None) => None,
        }
    }

    fn change(
        &self,
        name: &str,
        kind: ChangeKind,
        (id, story): (EventId, EventId),
        time: Time,
        evidence: Evidence,
    ) -> Change {
        let alarm = Alarm {
            condition: Condition::Table,
            level: None,
            outcome: Some(name.to_owned()),
            severity: self.severity,
            priority: None,
            since: self.since,
            value: None,
            setting: None,
            reason: None,
        };
        Change { kind, id, story, time, fact: Fact::Alarm(alarm), evidence }
    }
}

/// How many inputs a table has: the one it stands on, and those it mentions.
fn inputs(set: &TableSettings) -> usize {
    let of_rows = set.rows.iter().flat_map(|row| &row.when).filter_map(|test| match test.what {
        TableWhat::Input(number) => Some(number),
        TableWhat::Value(_) => None,
    });
    let of_values = set.values.iter().flat_map(|value| value.of.iter().copied());
    of_rows.chain(of_values).max().map_or(1, |most| usize::from(most) + 1)
}

/// The outcomes that hold.
fn held<'a>(set: &'a TableSettings, inputs: &[Option<Raw>]) -> Vec<&'a str> {
    let input = |number: u8| inputs.get(usize::from(number)).and_then(Option::as_ref).map(|raw| &raw.value);
    let values: Vec<Option<Value>> = set.values.iter().map(|value| number(value, &input)).collect();
    let mut outcomes: Vec<&str> = Vec::new();
    for row in &set.rows {
        let holds = row.when.iter().all(|test| {
            let value = match test.what {
                TableWhat::Input(number) => input(number),
                TableWhat::Value(place) => values.get(usize::from(place)).and_then(Option::as_ref),
            };
            guard::test(&test.test, value)
        });
        if holds && !outcomes.contains(&row.outcome.as_str()) {
            outcomes.push(&row.outcome);
            if set.first_only {
                break;
            }
        }
    }
    outcomes
}

/// A number made of inputs; `None` where one is not known, or it is no number.
fn number<'a>(value: &TableValue, input: &impl Fn(u8) -> Option<&'a Value>) -> Option<Value> {
    let mut numbers = value.of.iter().map(|number| input(*number).and_then(Value::number));
    let mut made = numbers.next()??;
    for number in numbers {
        let number = number?;
        made = match value.form {
            TableForm::Difference => made - number,
            TableForm::Sum => made + number,
            TableForm::Product => made * number,
            TableForm::Ratio => made / number,
        };
    }
    let made = made * value.factor;
    made.is_finite().then_some(Value::F64(made))
}
