//! Events that a task listens for: each is considered once, in the order of the event log, and consumed or passed over.
//!
//! What a `listen` needs to go on stands in its frame. While it does something for an event (`foreach`), it hears
//! nothing: what comes meanwhile waits in the event log, behind the order number it has come to.

use super::eval::Scene;
use super::memory::{Block, Memory, Phase, Turns, Waiting};
use super::{Action, Machine, stranger};
use crate::fault::Fault;
use crate::filter::{Bound, Fixed, Seen, filters, found_by, passes};
use andon_contract::workflow::{
    Consumption, Decision, Definition, EventFilter, Foreach, Listen, ReadAs, Task, TaskKind, Then, Until,
};
use andon_model::{EventId, ExceptionId, Name, SiteName, Time};
use andon_store::rows::RunRow;
use andon_store::{ANY_TYPE, ListenRow, StoredEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Range;

/// Events that a listening task has consumed and that it remembers for when it is entered again; of more, the oldest
/// and all before them are not considered again.
const CONSUMED_MAX: usize = 256;

/// What a `listen` needs to go on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ear {
    /// The order number of the last event it has considered.
    pub(crate) at: u64,
    /// The values of its filters.
    pub(crate) fixed: Vec<Fixed>,
    /// What the first event says that those that follow must say too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) bound: Bound,
    /// The filters, those of `until` behind its own, that have had their event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filled: Vec<usize>,
    /// What it gives: what was read of the events, or what was made of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    read: Vec<Json>,
    /// What a person is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<Asked>,
}

/// A question that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The exception by which it is asked.
    pub(crate) exception: ExceptionId,
    /// When it passes to which team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) escalate: Option<(Time, Name)>,
}

/// The events that a task has consumed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Consumed {
    /// Up to here nothing is considered again.
    #[serde(default)]
    floor: u64,
    /// Behind it, these.
    #[serde(default)]
    numbers: Vec<u64>,
}

impl Consumed {
    fn add(&mut self, number: u64) {
        if let Err(place) = self.numbers.binary_search(&number) {
            self.numbers.insert(place, number);
        }
        if self.numbers.len() > CONSUMED_MAX {
            self.floor = self.numbers.remove(0);
        }
    }
}

/// What a person is to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The exception by which it is asked; derived from the run, the task and its iteration.
    pub exception: ExceptionId,
    /// JSON pointer of the task.
    pub pointer: String,
    /// The team that decides.
    pub owner: Name,
    /// What is asked.
    pub question: String,
    /// The JSON Schema of the answer.
    pub form: Json,
    /// By when.
    pub due: Option<Time>,
    /// When it passes to which team.
    pub escalate: Option<(Time, Name)>,
}

/// What a run listens for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listening {
    /// Events up to this order number are of no interest; `None`: nothing listens.
    pub(crate) after: Option<u64>,
    /// By what it is found.
    pub(crate) rows: Vec<ListenRow>,
}

/// What became of an event.
enum Heard {
    /// It is not meant.
    Passed,
    /// It was consumed, and ends the `listen` by itself where this is true.
    Consumed(Bound, bool),
    /// It ends the `listen` and is not given.
    Enough,
}

impl Memory {
    /// For which events the strands listen.
    pub(crate) fn listening(&self, run: &RunRow, definition: &Definition) -> Listening {
        let mut found = Listening::default();
        if self.phase != Phase::Going {
            return found;
        }
        for (place, strand) in self.strands.iter().enumerate().filter(|(_, of)| of.waiting == Waiting::Events) {
            let depth = strand.frames.len().saturating_sub(1);
            let ear = strand.frames.last().and_then(|frame| frame.ear.as_deref());
            let task = self.task_of(definition, place, depth).and_then(listens);
            let (Some(ear), Some(listen)) = (ear, task) else { continue };
            found.after = Some(found.after.map_or(ear.at, |after| after.min(ear.at)));
            let of = filters(&listen.to);
            if own_filters(&listen.to) == 0 {
                let any = ListenRow {
                    site: run.site.clone(),
                    kind: ANY_TYPE.to_owned(),
                    by: String::new(),
                    value: String::new(),
                };
                found.rows.push(any);
            }
            for (_, (filter, fixed)) in
                of.into_iter().zip(&ear.fixed).enumerate().filter(|(number, _)| !ear.filled.contains(number))
            {
                let (by, value) = found_by(filter, fixed, &ear.bound);
                let site = site_of(filter, fixed).unwrap_or_else(|| run.site.clone());
                found.rows.push(ListenRow { site, kind: filter.kind.clone(), by, value });
            }
        }
        found.rows.sort();
        found.rows.dedup();
        found
    }

    /// Events up to this order number that are not meant have been passed over without looking at them.
    pub(crate) fn settle(&mut self, to: u64) {
        for strand in self.strands.iter_mut().filter(|strand| strand.waiting == Waiting::Events) {
            if let Some(ear) = strand.frames.last_mut().and_then(|frame| frame.ear.as_deref_mut()) {
                ear.at = ear.at.max(to);
            }
        }
    }

    /// The exceptions by which the run asks for decisions.
    pub(crate) fn asked(&self) -> Vec<ExceptionId> {
        if self.phase != Phase::Going {
            return Vec::new();
        }
        let waits = self.strands.iter().filter(|strand| strand.waiting == Waiting::Events);
        waits.filter_map(|strand| Some(strand.frames.last()?.ear.as_ref()?.asked.as_ref()?.exception)).collect()
    }
}

impl Machine<'_> {
    /// The current task begins to listen.
    pub(super) fn listen(&mut self, task: &Task, listen: &Listen, input: &Json) -> Result<(), Fault> {
        let scene = self.scene();
        let mut fixed = Vec::new();
        for filter in filters(&listen.to) {
            fixed.push(Fixed::of(filter, |mapping| scene.map(mapping, input))?);
        }
        let ask = listen.decision.as_deref().map(|decision| self.ask(task, decision, &scene, input)).transpose()?;
        let mut asked = None;
        if let Some(ask) = ask {
            if let Some(fixed) = fixed.first_mut() {
                fixed.data = Some(json!({ "exception": ask.exception }));
            }
            asked = Some(Asked { exception: ask.exception, escalate: ask.escalate.clone() });
            self.actions.push(Action::Ask(Box::new(ask)));
        }
        let floor = self.memory.consumed.get(&task.pointer).map_or(0, |consumed| consumed.floor);
        let at = self.memory.since.max(floor);
        let ear = Ear { at, fixed, asked, ..Ear::default() };
        self.top().ok_or_else(stranger)?.ear = Some(Box::new(ear));
        self.set_waiting(Waiting::Events);
        Ok(())
    }

    fn ask(&self, task: &Task, decision: &Decision, scene: &Scene<'_>, input: &Json) -> Result<Ask, Fault> {
        let run = self.given.run.id.to_string();
        let iteration = self.iteration();
        let exception =
            ExceptionId::derived(&[b"decision", run.as_bytes(), task.pointer.as_bytes(), iteration.as_bytes()]);
        let now = self.given.now;
        let question = match &decision.question {
            Some(question) => scene.text(question, input, "question")?,
            None => format!("{} of {} waits for a decision", task.name, self.given.run.workflow),
        };
        let due = decision.due.as_ref().map(|due| scene.span(due, input)).transpose()?;
        let escalate = decision.escalate.as_ref().map(|(after, to)| Ok((scene.span(after, input)?, to.clone())));
        let escalate = escalate.transpose()?;
        Ok(Ask {
            exception,
            pointer: task.pointer.clone(),
            owner: decision.owner.clone(),
            question,
            form: decision.form.document.clone(),
            due: due.map(|span| now.plus(span)),
            escalate: escalate.map(|(after, to)| (now.plus(after), to)),
        })
    }

    /// What the strands ask people is asked again, after the run had ended.
    pub(super) fn ask_again(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        for place in 0..self.memory.strands.len() {
            self.strand = place;
            if self.memory.strands.get(place).is_none_or(|strand| strand.waiting != Waiting::Events) {
                continue;
            }
            let Some((task, decision)) = self.task().and_then(|task| Some((task, listens(task)?.decision.as_deref()?)))
            else {
                continue;
            };
            let input = self.frames().last().map(|frame| frame.input().clone()).unwrap_or_default();
            let ask = self.ask(task, decision, &self.scene(), &input);
            let (Ok(ask), Some(asked)) = (ask, self.ear_mut().and_then(|ear| ear.asked.as_mut())) else { continue };
            asked.escalate.clone_from(&ask.escalate);
            asks.push(ask);
        }
        self.strand = 0;
        asks
    }

    /// Nobody has decided in time: the question passes on.
    pub(super) fn escalate(&mut self) {
        let asked = self.top().and_then(|frame| frame.ear.as_mut()).and_then(|ear| ear.asked.as_mut());
        let Some(asked) = asked else { return self.fault(stranger()) };
        let exception = asked.exception;
        if let Some((_, to)) = asked.escalate.take() {
            self.actions.push(Action::Escalate(exception, to));
        }
    }

    /// Considers events, which are all that were stored up to the order number `to` and that may be meant.
    pub(super) fn hear(&mut self, events: &[StoredEvent], to: u64) {
        for stored in events {
            let seen = Seen::new(stored);
            // One by one for all strands, so that of branches that compete the one wins whose event came first.
            while self.turn_to_listening(stored.sequence) {
                if let Some(ear) = self.ear_mut() {
                    ear.at = stored.sequence;
                }
                self.consider(&seen);
            }
        }
        while self.turn_to_listening(to) {
            if let Some(ear) = self.ear_mut() {
                ear.at = to;
            }
        }
    }

    /// Turns to the first strand that listens and has not considered all events up to this order number.
    fn turn_to_listening(&mut self, to: u64) -> bool {
        if self.memory.phase != Phase::Going {
            return false;
        }
        let listening = self.memory.strands.iter().position(|strand| {
            strand.waiting == Waiting::Events
                && strand.frames.last().and_then(|frame| frame.ear.as_ref()).is_some_and(|ear| ear.at < to)
        });
        self.strand = listening.unwrap_or(0);
        listening.is_some()
    }

    fn ear(&self) -> Option<&Ear> {
        self.frames().last()?.ear.as_deref()
    }

    fn ear_mut(&mut self) -> Option<&mut Ear> {
        self.top()?.ear.as_deref_mut()
    }

    /// Looks at one event; the `listen` consumes it, or passes it over.
    fn consider(&mut self, seen: &Seen<'_>) {
        let Some(task) = self.task() else { return self.fault(stranger()) };
        let Some(listen) = listens(task) else { return self.fault(stranger()) };
        let number = seen.stored.sequence;
        if self.memory.consumed.get(&task.pointer).is_some_and(|of| of.numbers.binary_search(&number).is_ok()) {
            return;
        }
        let event = seen.event();
        let (is_over, common) = match self.match_event(listen, seen) {
            Ok(Heard::Passed) => return,
            Ok(Heard::Consumed(common, is_over)) => (is_over, common),
            Ok(Heard::Enough) => return self.enough(None),
            Err(why) => {
                self.actions.push(Action::Doubt(event.id, event.kind.clone(), why));
                return;
            }
        };
        self.memory.consumed.entry(task.pointer.clone()).or_default().add(number);
        let item = match listen.read {
            ReadAs::Data => event.data.clone(),
            ReadAs::Envelope => seen.envelope().clone(),
            ReadAs::Raw => event.to_json(None),
        };
        let Some(ear) = self.ear_mut() else { return self.fault(stranger()) };
        ear.bound.extend(common);
        let index = ear.read.len();
        match &listen.foreach {
            Some(_) => {
                if let Some(frame) = self.top() {
                    frame.turns = Some(Box::new(Turns { items: vec![item.clone()], index }));
                }
                self.wake_up();
                self.push_with(Block::Foreach, Some(item));
            }
            None => self.over(listen, item.clone(), &item, is_over),
        }
    }

    /// Which of the filters an event passes.
    fn match_event(&mut self, listen: &Listen, seen: &Seen<'_>) -> Result<Heard, String> {
        let (given, site) = (self.given, &self.given.run.site);
        let Some(ear) = self.ear_mut() else { return Ok(Heard::Passed) };
        let own = own_filters(&listen.to);
        let all = filters(&listen.to);
        let first = |ear: &Ear, numbers: Range<usize>, once: bool| -> Result<Option<(usize, Bound)>, String> {
            for (number, (filter, fixed)) in all.iter().zip(&ear.fixed).enumerate() {
                let at = site_of(filter, fixed);
                let is_here = at.as_ref().unwrap_or(site) == &seen.event().site;
                if !numbers.contains(&number) || !is_here || (once && ear.filled.contains(&number)) {
                    continue;
                }
                if let Some(common) = passes(filter, fixed, &ear.bound, seen, given.lookup)? {
                    return Ok(Some((number, common)));
                }
            }
            Ok(None)
        };
        let consumed = |found: Option<(usize, Bound)>, is_over| {
            found.map_or(Heard::Passed, |(_, common)| Heard::Consumed(common, is_over))
        };
        match &listen.to {
            Consumption::One(_) => {
                let found = first(ear, 0..own, false)?;
                // An answer may also come from elsewhere than the API, which looks at the form.
                if let (Some(_), Some(decision)) = (&found, listen.decision.as_deref()) {
                    let answer = seen.event().data.get("answer").unwrap_or(&Json::Null);
                    decision.form.check(answer).map_err(|why| format!("the answer does not fit the form: {why}"))?;
                }
                Ok(consumed(found, true))
            }
            Consumption::All(_) => {
                let Some((number, common)) = first(ear, 0..own, true)? else { return Ok(Heard::Passed) };
                ear.filled.push(number);
                Ok(Heard::Consumed(common, ear.filled.len() >= own))
            }
            Consumption::Any { until, .. } => {
                if let Some(Until::Events(events)) = until {
                    let needs_all = matches!(**events, Consumption::All(_));
                    if let Some((number, common)) = first(ear, own..all.len(), needs_all)? {
                        ear.filled.push(number);
                        ear.bound.extend(common);
                        if !needs_all || ear.filled.len() >= all.len() - own {
                            return Ok(Heard::Enough);
                        }
                    }
                }
                let is_over = until.is_none();
                if own == 0 && seen.event().site == *site {
                    return Ok(Heard::Consumed(Bound::new(), is_over));
                }
                Ok(consumed(first(ear, 0..own, false)?, is_over))
            }
        }
    }

    /// What was done for an event gave `raw`; the frame of the pass is still there.
    pub(super) fn pass_ended(&mut self, raw: &Json, how: &Then) {
        let outer = self
            .depth()
            .checked_sub(1)
            .and_then(|depth| self.memory.task_of(self.given.definition, self.strand, depth).and_then(listens));
        let made = outer.and_then(|listen| listen.foreach.as_ref()).map(|of| self.made(of, raw));
        let popped = self.memory.strands.get_mut(self.strand).and_then(|strand| strand.frames.pop());
        let (Some(listen), Some(made), Some(_)) = (outer, made, popped) else { return self.fault(stranger()) };
        let output = match made {
            Ok(output) => output,
            Err(fault) => return self.raise(fault),
        };
        let item = self.frames().last().and_then(|frame| frame.turns.as_ref()).and_then(|turns| turns.items.first());
        let item = item.cloned().unwrap_or(Json::Null);
        match how {
            Then::Exit | Then::End => {
                if let Some(ear) = self.ear_mut() {
                    ear.read.push(output);
                }
                let end = (*how == Then::End).then_some(&Then::End);
                self.enough(end);
            }
            Then::Continue | Then::Task(_) => {
                let is_over = match (&listen.to, self.ear()) {
                    (Consumption::One(_) | Consumption::Any { until: None, .. }, _) => true,
                    (Consumption::All(filters), Some(ear)) => ear.filled.len() >= filters.len(),
                    _ => false,
                };
                self.over(listen, output, &item, is_over);
            }
        }
    }

    /// `output.as`, then `export.as` of a pass.
    fn made(&mut self, of: &Foreach, raw: &Json) -> Result<Json, Fault> {
        let output = match &of.output {
            Some(mapping) => self.scene().after(raw).map(mapping, raw)?,
            None => raw.clone(),
        };
        if let Some(export) = &of.export {
            let context = self.scene().after(raw).with_output(&output).map(export, &output)?;
            self.memory.context = context;
        }
        Ok(output)
    }

    /// An event is done with: it gave `output`. The task has enough, or listens on.
    fn over(&mut self, listen: &Listen, output: Json, item: &Json, is_over: bool) {
        if let Some(ear) = self.ear_mut() {
            ear.read.push(output);
        }
        if let Some(frame) = self.top() {
            frame.turns = None;
        }
        let holds = match &listen.to {
            Consumption::Any { until: Some(Until::Condition(condition)), .. } => self.scene().holds(condition, item),
            _ => Ok(false),
        };
        match holds {
            Ok(holds) if holds || is_over => self.enough(None),
            Ok(_) => self.set_waiting(Waiting::Events),
            Err(fault) => {
                self.wake_up();
                self.raise(fault);
            }
        }
    }

    /// The current `listen` has what it wants.
    fn enough(&mut self, then: Option<&Then>) {
        self.wake_up();
        let Some(frame) = self.top() else { return self.fault(stranger()) };
        frame.turns = None;
        let Some(ear) = frame.ear.take() else { return self.fault(stranger()) };
        self.finish(Json::Array(ear.read), then, None);
    }
}

fn listens(task: &Task) -> Option<&Listen> {
    match &task.kind {
        TaskKind::Listen(listen) => Some(listen),
        _ => None,
    }
}

/// The filters of a consumption without those of its `until`.
fn own_filters(to: &Consumption) -> usize {
    match to {
        Consumption::One(_) => 1,
        Consumption::All(filters) | Consumption::Any { filters, .. } => filters.len(),
    }
}

/// The site that a filter names.
fn site_of(filter: &EventFilter, fixed: &Fixed) -> Option<SiteName> {
    let at = filter.attributes.iter().position(|(name, _)| name == "site")?;
    SiteName::new(fixed.attributes.get(at)?.as_str()?).ok()
}

/// Whether a `listen` stands anywhere in these tasks, or in what undoes them.
pub(crate) fn any_listens(tasks: &[Task]) -> bool {
    let inside = |task: &Task| match &task.kind {
        TaskKind::Listen(_) => true,
        TaskKind::Do(tasks) | TaskKind::Function { tasks, .. } => any_listens(tasks),
        TaskKind::For(of) => any_listens(&of.tasks),
        TaskKind::Fork { branches, .. } => any_listens(branches),
        TaskKind::Try(guarded) => any_listens(&guarded.tasks) || any_listens(&guarded.handler),
        _ => false,
    };
    tasks.iter().any(|task| inside(task) || any_listens(&task.compensate))
}

/// The event by which a person decides, from the exception by which it was asked: a second decision is the same event.
pub fn decision_event(exception: ExceptionId) -> EventId {
    EventId::derived(&[b"decided", exception.to_string().as_bytes()])
}

#[cfg(test)]
mod tests;
