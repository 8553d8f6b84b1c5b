//! States: what an asset does, as classes of time, downtimes and completed cycles.
//!
//! - A good value that names another state than before is a change; the same state again is none.
//!   Uncertain and bad values are no states.
//! - The time of a state is plant time from its first sample to the first of the next one. What of
//!   it nobody saw (the source was away, or the value bad) is its gap: nothing is invented for it,
//!   and the state holds until another one is told.
//! - A downtime begins with the first state of a class that counts as down, and ends with the first
//!   of one that does not. Planned and unplanned ones are different downtimes. One that is not longer
//!   than `at-least` is a short stop and never told; a longer one is told at the moment it is.
//! - Its reason is what the reason's signal says at its beginning, or what it says within
//!   `reason-within` of it. The empty text and the number 0 are no reasons.
//! - A cycle begins with the first state in which it runs, goes on through every other, and ends with
//!   one that completes it, which is told, or gives it up, which is not.

mod why;

use super::{Armed, Bench, Change, Fact};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind, EventType},
};
use andon_contract::contract::{ReasonSettings, StateSettings, TimeClass};
use andon_model::{EventId, Position, Quantity, Sample, Time, Value, span::Span};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// The settings of the contract.
pub type Settings = Arc<StateSettings>;

/// The states of a downtime. The states of the asset are its own, and a cycle is open or not.
pub const DIAGRAM: Diagram = Diagram {
    kind: "state",
    begins: "Up",
    steps: &[
        ("Up", "Stopped", "a state that counts as down, with at-least"),
        ("Up", "Down", "a state that counts as down, without at-least (started)"),
        ("Stopped", "Up", "a state that does not count as down, or a condition of when fails"),
        ("Stopped", "Stopped", "from planned to unplanned or back, and at-least begins anew"),
        ("Stopped", "Down", "at-least has passed (started)"),
        (
            "Down",
            "Down",
            "its reason comes within reason-within (reason), or from planned to unplanned or back (ended, started)",
        ),
        ("Down", "Stopped", "from planned to unplanned or back, with at-least (ended)"),
        ("Down", "Up", "a state that does not count as down, or an edit (ended)"),
    ],
};

/// What a rule for states remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    now: Option<Now>,
    /// Since when nobody sees what it does.
    blind: Option<Blind>,
    down: Option<Box<Down>>,
    cycle: Option<Box<Cycle>>,
    /// Cycles that were completed.
    cycles: u64,
    /// The newest good values of the inputs behind the first.
    told: Vec<(u8, Raw)>,
}

/// The state an asset is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Now {
    state: String,
    class: TimeClass,
    /// The sample that began it.
    raw: Raw,
    gap: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Blind {
    from: Time,
    /// Whether the value was bad: then only a good one ends it, else any sample of the source.
    bad: bool,
}

/// A downtime, or what may become one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Down {
    from: Time,
    /// Where it began.
    start: Position,
    planned: bool,
    /// Its first event, once it is told.
    told: Option<EventId>,
    reason: Option<Reason>,
    gap: Span,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reason {
    code: String,
    text: Option<String>,
}

/// A cycle that runs or is interrupted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cycle {
    from: Time,
    /// How long it ran before the present state.
    running: Span,
    gap: Span,
    program: Option<String>,
    part: Option<String>,
}

/// A span as a quantity in seconds, to the last digit.
fn seconds(span: Span) -> Json {
    let nanos = span.nanos().max(0);
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let text =
        if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:09}").trim_end_matches('0').to_owned() };
    json!(Quantity { value: text, unit: "s".to_owned() })
}

fn sum(a: Span, b: Span) -> Span {
    Span::from_nanos(a.nanos().saturating_add(b.nanos()))
}

/// What a value is called; `None` where it is no state: an empty text, or bytes.
fn called<'a>(value: &'a Value, names: Option<&'a Arc<BTreeMap<i64, String>>>) -> Option<Cow<'a, str>> {
    match value {
        Value::I64(number) => Some(match names.and_then(|names| names.get(number)) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(number.to_string()),
        }),
        Value::Text(text) => (!text.is_empty()).then(|| Cow::Borrowed(&**text)),
        Value::Bool(_) | Value::F64(_) => Some(Cow::Owned(value.to_string())),
        Value::Bytes(_) => None,
    }
}

fn reason(set: &ReasonSettings, value: &Value) -> Option<Reason> {
    let code = match value {
        Value::Bytes(_) => return None,
        Value::Text(text) if text.is_empty() => return None,
        value if value.number() == Some(0.0) => return None,
        value => value.to_string(),
    };
    let text = match value {
        Value::I64(number) => set.names.as_ref().and_then(|names| names.get(number)).cloned(),
        _ => None,
    };
    Some(Reason { code, text })
}

impl State {
    /// The next sample of one of its signals that is not late.
    pub fn sample(&mut self, set: &Settings, input: u8, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let good = sample.quality.is_good();
        if input > 0 {
            if good {
                self.tell(set, input, Raw::new(at, sample), bench);
            }
            return false;
        }
        if !good {
            if sample.quality.is_bad() {
                let from = self.blind.map_or(sample.time, |blind| blind.from);
                self.blind = Some(Blind { from, bad: true });
            }
            return false;
        }
        self.see_again(sample.time);
        match &self.now {
            Some(now) if now.raw.value == sample.value => self.begin_again(set, &Raw::new(at, sample), bench),
            _ => self.change(set, &Raw::new(at, sample), bench),
        }
    }

    /// The source is away; what it said last was of this time.
    pub fn away(&mut self, from: Time) {
        if self.now.is_some() && self.blind.is_none() {
            self.blind = Some(Blind { from, bad: false });
        }
    }

    /// Whether a sample of another signal of its source lets it see again.
    pub fn is_away(&self) -> bool {
        self.blind.is_some_and(|blind| !blind.bad)
    }

    /// The source is there again, and says something of this time.
    pub fn back(&mut self, to: Time) {
        // What came later than it happened says nothing of now.
        if self.blind.is_some_and(|blind| !blind.bad && to >= blind.from) {
            self.see_again(to);
        }
    }

    fn see_again(&mut self, to: Time) {
        let Some(blind) = self.blind.take() else { return };
        let gap = to.since(blind.from).max(Span::ZERO);
        let now = self.now.as_mut().map(|now| &mut now.gap);
        let down = self.down.as_mut().map(|down| &mut down.gap);
        let cycle = self.cycle.as_mut().map(|cycle| &mut cycle.gap);
        for of in [now, down, cycle].into_iter().flatten() {
            *of = sum(*of, gap);
        }
    }

    /// The same state again: only a downtime that could not begin before may now.
    fn begin_again(&mut self, set: &Settings, raw: &Raw, bench: &mut Bench) -> Armed {
        let planned = self.now.as_ref().and_then(|now| now.class.down());
        match planned {
            Some(planned) if self.down.is_none() => self.begin(set, planned, (raw.time, raw.position), bench),
            _ => false,
        }
    }

    fn change(&mut self, set: &Settings, raw: &Raw, bench: &mut Bench) -> Armed {
        let Some(name) = called(&raw.value, set.names.as_ref()) else { return false };
        let state = name.into_owned();
        if self.now.as_ref().is_some_and(|now| now.state == state) {
            return self.begin_again(set, raw, bench);
        }
        let class = set.classes.get(&state).copied().unwrap_or(TimeClass::Unknown);
        let before = self.now.replace(Now { state, class, raw: raw.clone(), gap: Span::ZERO });
        let id = bench.identity.event_id(EventType::State, ChangeKind::Changed, "", Cause::Sample(raw.position));
        let mut fields = self.fields(bench);
        if let Some(before) = &before {
            fields.insert("previous".to_owned(), json!(before.state));
            fields.insert("previousclass".to_owned(), json!(before.class));
            fields.insert("since".to_owned(), json!(before.raw.time));
            put_times(&mut fields, raw.time.since(before.raw.time), before.gap);
        }
        fields.insert("class".to_owned(), json!(class));
        let fact = Fact::Other(EventType::State, fields);
        bench.out.push(change(ChangeKind::Changed, (id, id), raw.time, fact, raw, bench.signal()));
        self.cycle(set, before.as_ref(), raw, bench);
        let planned = class.down();
        if self.down.as_ref().is_some_and(|down| Some(down.planned) != planned) {
            self.end(raw.time, Cause::Sample(raw.position), None, before.as_ref(), bench);
        }
        match planned {
            Some(planned) if self.down.is_none() => self.begin(set, planned, (raw.time, raw.position), bench),
            _ => false,
        }
    }

    /// What every event says of the state.
    fn fields(&self, bench: &Bench) -> Map<String, Json> {
        let mut fields = Map::new();
        fields.insert("signal".to_owned(), json!(bench.name(0)));
        if let Some(now) = &self.now {
            fields.insert("state".to_owned(), json!(now.state));
        }
        fields
    }

    fn begin(&mut self, set: &Settings, planned: bool, (from, start): (Time, Position), bench: &mut Bench) -> Armed {
        if !bench.holds {
            return false;
        }
        let reason = set.reason.as_ref().and_then(|set| reason(set, &self.told(set.input)?.value));
        self.down = Some(Box::new(Down { from, start, planned, told: None, reason, gap: Span::ZERO }));
        if set.at_least > Span::ZERO {
            return true;
        }
        self.start(from, Cause::Sample(start), bench);
        false
    }

    /// A downtime is told.
    fn start(&mut self, time: Time, cause: Cause, bench: &mut Bench) {
        let mut fields = self.fields(bench);
        let (Some(down), Some(now)) = (&mut self.down, &self.now) else { return };
        let id = bench.identity.event_id(EventType::Downtime, ChangeKind::Started, "", cause);
        down.told = Some(id);
        down.put(&mut fields);
        let fact = Fact::Other(EventType::Downtime, fields);
        bench.out.push(change(ChangeKind::Started, (id, id), time, fact, &now.raw, bench.signal()));
    }

    /// A downtime ends; `last` is the state it ends in, where that is not the present one.
    fn end(&mut self, to: Time, cause: Cause, edit: Option<&str>, last: Option<&Now>, bench: &mut Bench) {
        let (Some(down), Some(now)) = (self.down.take(), &self.now) else { return };
        let Some(story) = down.told else { return };
        let id = bench.identity.event_id(EventType::Downtime, ChangeKind::Ended, "", cause);
        let mut fields = self.fields(bench);
        if let Some(last) = last {
            fields.insert("state".to_owned(), json!(last.state));
        }
        down.put(&mut fields);
        fields.insert("to".to_owned(), json!(to));
        put_times(&mut fields, to.since(down.from), down.gap);
        if let Some(edit) = edit {
            fields.insert("edit".to_owned(), json!(edit));
        }
        let fact = Fact::Other(EventType::Downtime, fields);
        bench.out.push(change(ChangeKind::Ended, (id, story), to, fact, &now.raw, bench.signal()));
    }

    /// A signal beside that of the state says something.
    fn tell(&mut self, set: &Settings, input: u8, raw: Raw, bench: &mut Bench) {
        if let (Some(of), Some(down)) = (set.reason.as_ref().filter(|of| of.input == input), &mut self.down)
            && raw.time <= down.from.plus(of.within)
            && let Some(new) = reason(of, &raw.value)
            && down.reason.as_ref() != Some(&new)
        {
            down.reason = Some(new);
            if let Some(story) = down.told {
                let cause = Cause::Sample(raw.position);
                let id = bench.identity.event_id(EventType::Downtime, ChangeKind::Reason, "", cause);
                let mut fields = self.fields(bench);
                if let Some(down) = &self.down {
                    down.put(&mut fields);
                }
                let fact = Fact::Other(EventType::Downtime, fields);
                let signal = bench.signals.get(usize::from(input)).map_or("", String::as_str);
                bench.out.push(change(ChangeKind::Reason, (id, story), raw.time, fact, &raw, signal));
            }
        }
        match self.told.iter_mut().find(|(known, _)| *known == input) {
            Some((_, newest)) => *newest = raw,
            None => self.told.push((input, raw)),
        }
    }

    /// The newest good value of an input behind the first.
    fn told(&self, input: u8) -> Option<&Raw> {
        self.told.iter().find(|(known, _)| *known == input).map(|(_, raw)| raw)
    }

    fn cycle(&mut self, set: &Settings, before: Option<&Now>, raw: &Raw, bench: &mut Bench) {
        let (Some(of), Some(now)) = (&set.cycle, &self.now) else { return };
        let told = |input: Option<u8>| {
            let raw = self.told.iter().find(|(known, _)| Some(*known) == input);
            called(&raw?.1.value, None).map(Cow::into_owned)
        };
        if let (Some(cycle), Some(before)) = (&mut self.cycle, before)
            && of.runs.contains(&before.state)
        {
            let ran = raw.time.since(before.raw.time).nanos().saturating_sub(before.gap.nanos());
            cycle.running = sum(cycle.running, Span::from_nanos(ran.max(0)));
        }
        if of.runs.contains(&now.state) {
            if self.cycle.is_none() {
                let (program, part) = (told(of.program), told(of.part));
                let cycle = Cycle { from: raw.time, running: Span::ZERO, gap: Span::ZERO, program, part };
                self.cycle = Some(Box::new(cycle));
            }
        } else if of.given_up.contains(&now.state) {
            self.cycle = None;
        } else if of.completed.contains(&now.state)
            && let Some(cycle) = self.cycle.take()
        {
            self.cycles = self.cycles.saturating_add(1);
            let cause = Cause::Sample(raw.position);
            let id = bench.identity.event_id(EventType::Cycle, ChangeKind::Completed, "", cause);
            let mut fields = Map::new();
            fields.insert("signal".to_owned(), json!(bench.name(0)));
            fields.insert("from".to_owned(), json!(cycle.from));
            fields.insert("to".to_owned(), json!(raw.time));
            put_times(&mut fields, raw.time.since(cycle.from), cycle.gap);
            fields.insert("running".to_owned(), seconds(cycle.running));
            fields.insert("number".to_owned(), json!(self.cycles));
            // A name that was not told at the beginning is taken from the end.
            for (key, first, input) in [("program", cycle.program, of.program), ("part", cycle.part, of.part)] {
                if let Some(name) = first.or_else(|| told(input)) {
                    fields.insert(key.to_owned(), json!(name));
                }
            }
            let fact = Fact::Other(EventType::Cycle, fields);
            bench.out.push(change(ChangeKind::Completed, (id, id), raw.time, fact, raw, bench.signal()));
        }
    }

    /// What else must hold does not any more: what has not become a downtime never does. When it holds again, by what
    /// stands at this place, a state that counts as down begins one.
    pub fn guard(&mut self, set: &Settings, by: Option<(Position, Time)>, bench: &mut Bench) -> Armed {
        if !bench.holds {
            if self.down.as_ref().is_some_and(|down| down.told.is_none()) {
                self.down = None;
            }
            return false;
        }
        let planned = self.now.as_ref().and_then(|now| now.class.down());
        match (planned, by) {
            (Some(planned), Some((at, time))) if self.down.is_none() => self.begin(set, planned, (time, at), bench),
            _ => false,
        }
    }

    /// The plant time at which a stop is no short one any more.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        let down = self.down.as_ref().filter(|down| down.told.is_none())?;
        Some(down.from.plus(set.at_least))
    }

    /// Tells a downtime whose deadline lies before `clock`.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        let Some(deadline) = self.deadline(set).filter(|deadline| *deadline < clock) else { return };
        let Some(start) = self.down.as_ref().map(|down| down.start) else { return };
        self.start(deadline, Cause::Timer { start, deadline }, bench);
    }

    /// Takes the classes of these settings, and ends a downtime that is none by them, where its clock stands.
    pub fn after_edit(&mut self, set: &Settings, at: Position, clock: Time, edit: &str, bench: &mut Bench) {
        let Some(now) = &mut self.now else { return };
        now.class = set.classes.get(&now.state).copied().unwrap_or(TimeClass::Unknown);
        let planned = now.class.down();
        if self.down.as_ref().is_some_and(|down| Some(down.planned) != planned) {
            self.removed(at, clock, edit, bench);
        }
        if set.cycle.is_none() {
            self.cycle = None;
        }
    }

    /// Ends a downtime because of an edit, where its clock stands.
    pub fn removed(&mut self, at: Position, clock: Time, edit: &str, bench: &mut Bench) {
        let Some(to) = self.now.as_ref().map(|now| now.raw.time.max(clock)) else { return };
        self.end(to, Cause::Edit(at), Some(edit), None, bench);
    }
}

impl Down {
    fn put(&self, fields: &mut Map<String, Json>) {
        fields.insert("from".to_owned(), json!(self.from));
        fields.insert("planned".to_owned(), json!(self.planned));
        let category = if self.planned { TimeClass::PlannedDown } else { TimeClass::Delay };
        fields.insert("category".to_owned(), json!(category));
        if let Some(reason) = &self.reason {
            let mut said = Map::new();
            said.insert("code".to_owned(), json!(reason.code));
            if let Some(text) = &reason.text {
                said.insert("text".to_owned(), json!(text));
            }
            fields.insert("reason".to_owned(), Json::Object(said));
        }
    }
}

/// Puts how long something lasted and what of that nobody saw. The source may have been heard again by the time of
/// another signal that is ahead, so the gap may reach beyond the end.
fn put_times(fields: &mut Map<String, Json>, duration: Span, gap: Span) {
    fields.insert("duration".to_owned(), seconds(duration));
    let gap = gap.min(duration);
    if gap > Span::ZERO {
        fields.insert("gap".to_owned(), seconds(gap));
    }
}

/// A change with its id and that of its story; its evidence is the newest sample.
fn change(kind: ChangeKind, ids: (EventId, EventId), time: Time, fact: Fact, raw: &Raw, signal: &str) -> Change {
    let evidence = Gather::from(raw.clone()).finish(signal);
    Change { kind, id: ids.0, story: ids.1, time, fact, evidence }
}
