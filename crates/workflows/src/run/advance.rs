//! A run goes on: its actions become rows, its calls take their place in the lines.

use super::recall::Recall;
use super::{Held, Loop, Open};
use crate::calls::{CallMemory, Decision};
use crate::exceptions;
use crate::fault::{Fault, Standard};
use crate::http;
use crate::machine::memory::Memory;
use crate::machine::{Action, Called, Done, Given, Input, MakeCall, step};
use andon_contract::Contract;
use andon_contract::workflow::Definition;
use andon_model::span::Span;
use andon_model::{CallId, Key, Name, OutcomeClass, RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{
    CallRow, CallState, ExceptionChange, ExceptionRow, ExceptionState, RunRow, RunState, StoredEvent, TaskRow,
};
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::sync::Arc;

/// Calls of one run that may be finished at once in one step; then other runs get their turn.
const AT_ONCE_MAX: usize = 100;
/// When a run whose contract cannot be read tries again.
const UNREADABLE_AGAIN: Span = Span::from_secs(600);

/// What is pinned to a run, or why it cannot be read.
type Pinned = Result<(Arc<Contract>, Arc<Definition>), String>;

impl Loop {
    /// A run goes on by itself.
    pub(super) fn turn(&mut self, run: RunId, now: Time) -> Result<(), StoreError> {
        let Some(mut open) = self.open_run(run, now)? else { return Ok(()) };
        // Results that came while it waited for its contract, or that were left for this turn.
        let found = self.find_results(&open)?;
        let children = self.find_children(&open)?;
        open.told.extend(children);
        self.advance(open, found, now)
    }

    /// A call of a run is finished.
    pub(super) fn resume(&mut self, call: CallRow, called: Called, now: Time) -> Result<(), StoreError> {
        match self.open_run(call.run, now)? {
            Some(open) => self.advance(open, vec![(called, call)], now),
            None => Ok(()),
        }
    }

    /// The run with what is pinned to it; `None`: it has ended, or waits for its contract.
    pub(super) fn open_run(&mut self, id: RunId, now: Time) -> Result<Option<Open>, StoreError> {
        if let Some(open) = self.open.remove(&id) {
            return Ok(Some(open));
        }
        let found = match self.batch.find_run(id) {
            Some(row) => Some(row.clone()),
            None => self.store.run(id)?,
        };
        let Some(row) = found else { return Ok(None) };
        if row.state.has_ended() {
            return Ok(None);
        }
        let (found, is_news) = self.pinned_of(&row)?;
        let (pinned, definition) = match found {
            Ok(found) => found,
            Err(why) => {
                self.wait_for_contract(row, &why, is_news, now);
                return Ok(None);
            }
        };
        match serde_json::from_value::<Memory>(row.memory.clone()) {
            Ok(memory) => Ok(Some(Open { row, memory, pinned, definition, is_new: false, told: VecDeque::new() })),
            Err(error) => {
                let detail = format!("the stored memory of the run cannot be read: {error}");
                self.end_faulted(row, &Fault::of(Standard::Runtime, detail), now)?;
                Ok(None)
            }
        }
    }

    /// The contract and the definition that a run began with, or why they cannot be read; and whether that was just
    /// found out.
    pub(super) fn pinned_of(&mut self, row: &RunRow) -> Result<(Pinned, bool), StoreError> {
        let (pinned, is_news) = if row.revision == self.contract.revision {
            (Ok(Arc::clone(&self.contract)), false)
        } else {
            self.pins.get(&self.store, &row.revision)?
        };
        let found = pinned.and_then(|pinned| {
            let definition = pinned.workflows.get(row.workflow.as_str()).cloned();
            definition.map(|d| (pinned, d)).ok_or_else(|| format!("it has no workflow {}", row.workflow))
        });
        Ok((found, is_news))
    }

    fn wait_for_contract(&mut self, mut row: RunRow, why: &str, is_news: bool, now: Time) {
        if is_news {
            self.batch.exception(exceptions::unreadable(&self.contract, &row, why, now));
        }
        let wake = now.plus(UNREADABLE_AGAIN);
        row.state = RunState::Waiting;
        row.wake = Some(wake);
        row.updated = now;
        if let Some(memory) = row.memory.as_object_mut() {
            memory.insert("deaf".to_owned(), true.into());
        }
        self.wakes.insert((wake, row.id));
        self.batch.run(row, false);
    }

    /// The run goes on with what its calls gave until it waits, ends, or has had its turn.
    pub(super) fn advance(&mut self, open: Open, results: Vec<(Called, CallRow)>, now: Time) -> Result<(), StoreError> {
        self.advance_with(open, results, None, now)
    }

    /// The same, with an event that may be meant for it.
    pub(super) fn advance_with(
        &mut self,
        mut open: Open,
        results: Vec<(Called, CallRow)>,
        heard: Option<StoredEvent>,
        now: Time,
    ) -> Result<(), StoreError> {
        if let Some(reason) = self.revoked(&open) {
            self.hold(open, &reason, now);
            return Ok(());
        }
        if let Some(fault) = self.poison_of_run(&open)? {
            return self.end_faulted_new(open, &fault, now);
        }
        let mut results = VecDeque::from(results);
        if let Some(wake) = open.row.wake.take() {
            self.wakes.remove(&(wake, open.row.id));
        }
        let ear = self.ear(&mut open, heard.as_ref());
        let mut heard = heard.map(|stored| (vec![stored.clone()], stored.sequence));
        for nth in 0..AT_ONCE_MAX {
            let input = match results.pop_front() {
                Some((called, call)) => Input::Called(call.key.clone(), called),
                None if !open.told.is_empty() => open.told.pop_front().unwrap_or(Input::Turn),
                None => match heard.take().map_or_else(|| self.look_back(&open, &ear), |heard| Ok(Some(heard)))? {
                    Some((events, to)) => Input::Events(events, to),
                    None if nth > 0 => break,
                    None => Input::Turn,
                },
            };
            let contract = Arc::clone(&self.contract);
            let recall = Recall::new(&self.store, &self.batch, open.row.id);
            let given = Given {
                definition: &open.definition,
                run: &open.row,
                schemas: &open.pinned.schemas,
                lookup: &contract.identifiers.at(now),
                journal: &|pointer, iteration| recall.of(pointer, iteration),
                now,
            };
            let actions = step(&given, &mut open.memory, input);
            recall.end()?;
            let mut gave_up = false;
            for action in actions {
                match action {
                    Action::Task(done) => self.batch.task(task_row(open.row.id, done, now)),
                    Action::Emit(event) => self.batch.event(*event),
                    Action::Call(call) => results.extend(self.make_call(&open, call, now)?),
                    Action::Ask(ask) => self.ask(&open, &ask, now),
                    Action::Escalate(exception, to) => self.escalate(exception, to, now)?,
                    Action::Doubt(event, kind, why) => self.doubt(&open, event, &kind, &why, now),
                    Action::GiveUp(key) => {
                        results.retain(|(_, call)| call.key != key);
                        self.give_up(&key, now)?;
                        gave_up = true;
                    }
                    Action::Start(start) => {
                        let told = self.start_child(&open, start, now)?;
                        open.told.extend(told);
                    }
                    Action::GiveUpRun(run) => self.give_up_child(&open.row, run),
                    Action::NotUndone(undo, fault) => {
                        open.memory.ledger.told = true;
                        self.batch.exception(exceptions::not_undone(&self.contract, &open.row, &undo, &fault, now));
                    }
                    Action::Cancelled => open.row.state = RunState::Cancelled,
                    Action::Complete(output) => {
                        open.row.state = RunState::Completed;
                        open.row.output = Some(output);
                    }
                    Action::Fault(fault) => {
                        self.note_ear(&open, &ear);
                        open.memory.ledger.told |= !is_waited_for(&open.row);
                        open.row.memory = to_json(&open.memory);
                        return self.end_faulted_new(open, &fault, now);
                    }
                }
            }
            if open.memory.has_ended() {
                break;
            }
            if gave_up {
                // What was withdrawn, or had ended in this step, has no later end that could be waited for.
                results.extend(self.find_owed(&open)?);
            }
        }
        self.note_ear(&open, &ear);
        if !open.memory.has_ended() {
            open.row.state = RunState::Waiting;
            open.row.wake = open.memory.wake();
            // Results that are left are found by the next turn.
            if open.memory.is_ready() || !results.is_empty() || !open.told.is_empty() || self.is_behind(&open, &ear) {
                self.take_another_turn(&mut open);
            }
        }
        self.save_run(open, now);
        Ok(())
    }

    pub(super) fn take_another_turn(&mut self, open: &mut Open) {
        open.row.state = RunState::Running;
        self.turns.push_back(open.row.id);
    }

    /// Writes a run as it stands and keeps it at hand while it has not ended.
    pub(super) fn save_run(&mut self, mut open: Open, now: Time) {
        open.row.updated = now;
        // The row at hand is kept without the memory that stands beside it.
        open.row.memory = Json::Null;
        let row = RunRow { memory: to_json(&open.memory), ..open.row.clone() };
        self.batch.run(row, open.is_new);
        if let Some(wake) = open.row.wake {
            self.wakes.insert((wake, open.row.id));
        }
        open.is_new = false;
        if open.row.state.has_ended() {
            self.over(&open.row, open.memory.ledger.told);
        } else {
            self.open.insert(open.row.id, open);
        }
    }

    fn end_faulted_new(&mut self, open: Open, fault: &Fault, now: Time) -> Result<(), StoreError> {
        let is_new = open.is_new;
        let row = open.row;
        if is_new {
            self.batch.run(row.clone(), true);
        }
        self.end_faulted(row, fault, now)
    }

    fn end_faulted(&mut self, mut row: RunRow, fault: &Fault, now: Time) -> Result<(), StoreError> {
        row.state = RunState::Faulted;
        row.updated = now;
        row.wake = None;
        row.error = Some(fault.to_json());
        self.batch.run(row.clone(), false);
        // A parent that waits is told instead, and may catch the error.
        if !is_waited_for(&row) {
            self.tell_of_fault(&row, fault, now)?;
        }
        self.over(&row, false);
        Ok(())
    }

    /// A run has faulted and nobody else is told: people are. A call that is to blame, be it of a run that this one
    /// waited for, is held by the exception.
    pub(super) fn tell_of_fault(&mut self, row: &RunRow, fault: &Fault, now: Time) -> Result<(), StoreError> {
        let exception = match self.blamed_by(row)?.1 {
            Some(call) => ExceptionRow { run: Some(row.id), ..exceptions::refused(&self.contract, &call, fault, now) },
            None => exceptions::faulted(&self.contract, row, fault, now),
        };
        self.batch.exception(exception);
        Ok(())
    }

    /// What the calls a run waits for have given, as far as they are finished.
    pub(super) fn find_results(&self, open: &Open) -> Result<Vec<(Called, CallRow)>, StoreError> {
        let mut found = Vec::new();
        let waiting = open.memory.calls(open.row.id, &open.definition).into_iter().map(|(_, key)| key);
        for key in waiting.chain(open.memory.owed_calls().cloned()) {
            found.extend(self.find_result(&key)?);
        }
        Ok(found)
    }

    /// What calls have given that were given up, where their end still counts and nobody waits for them again.
    fn find_owed(&self, open: &Open) -> Result<Vec<(Called, CallRow)>, StoreError> {
        let awaited: Vec<Key> =
            open.memory.calls(open.row.id, &open.definition).into_iter().map(|(_, key)| key).collect();
        let mut found = Vec::new();
        for key in open.memory.owed_calls().filter(|key| !awaited.contains(key)) {
            found.extend(self.find_result(key)?);
        }
        Ok(found)
    }

    fn find_result(&self, key: &Key) -> Result<Option<(Called, CallRow)>, StoreError> {
        let Some(call) = self.find_call(key)? else { return Ok(None) };
        let memory = Held::read(call.clone()).memory;
        let called = match call.state {
            CallState::Delivered => Ok((call.output.clone().unwrap_or(Json::Null), None)),
            CallState::Skipped => Ok((call.output.clone().unwrap_or(Json::Null), memory.note)),
            CallState::Refused => Err(memory
                .error
                .unwrap_or_else(|| Fault::of(Standard::Communication, call.detail.clone().unwrap_or_default()))),
            CallState::Waiting | CallState::InFlight | CallState::Parked => return Ok(None),
        };
        Ok(Some((called, call)))
    }

    pub(super) fn find_call(&self, key: &Key) -> Result<Option<CallRow>, StoreError> {
        self.find_call_by_id(key.call_id())
    }

    /// A call as it stands in this step.
    pub(super) fn find_call_by_id(&self, id: CallId) -> Result<Option<CallRow>, StoreError> {
        // An attempt that this step has begun stands in its second commit.
        match self.second.find_call(id).or_else(|| self.batch.find_call(id)) {
            Some(row) => Ok(Some(row.clone())),
            None => self.store.call(id),
        }
    }

    /// A run makes a call; `Some` when it is finished at once.
    fn make_call(&mut self, open: &Open, made: MakeCall, now: Time) -> Result<Option<(Called, CallRow)>, StoreError> {
        let of_edit = |edit| Key::of_task(open.row.id, &made.pointer, &made.iteration, edit);
        let key = of_edit(made.edit);
        let earlier = if made.repeated || made.edit > 0 { self.find_call(&key)? } else { None };
        if let Some(call) = &earlier
            && call.state == CallState::Delivered
        {
            // The effect is there; a repeated pass gets the same output and nothing is sent.
            return Ok(Some((Ok((call.output.clone().unwrap_or(Json::Null), None)), call.clone())));
        }
        if earlier.as_ref().is_some_and(|call| call.state == CallState::InFlight) {
            // An earlier pass has run out of time while it was under way: this one waits for the same attempt.
            return Ok(None);
        }
        let is_new = earlier.is_none();
        let before = if is_new && made.edit > 0 { self.find_call(&of_edit(made.edit - 1))? } else { None };
        let mut held = new_call(open, made, key, earlier, now);
        if is_new {
            let (_, lane) = self.line_of(&held, now);
            held.row.created = self.lines.last_made(lane.as_ref(), now);
        }
        if let Some(before) = before {
            held.stands_for(&before);
        }
        if let Err(fault) = self.check_call(&open.pinned, &held) {
            held.row.state = CallState::Refused;
            held.row.class = Some(OutcomeClass::Validation);
            held.row.detail.clone_from(&fault.detail);
            held.row.due = None;
            held.memory.error = Some(fault.clone());
            let row = self.write_call(&mut held);
            return Ok(Some((Err(fault), row)));
        }
        if held.memory.doubt.is_none()
            && let Decision::Skip(reason) = self.decide(&held, now)
        {
            let row = self.skip(&mut held, &reason, now);
            return Ok(Some((Ok((Json::Null, held.memory.note)), row)));
        }
        self.write_call(&mut held);
        self.join(&held, now);
        self.keep(held);
        Ok(None)
    }

    /// Nobody waits for a call any more. One that surely had no effect so far is withdrawn; what is under way, or has
    /// had an outcome that nobody knows, is brought to its end, and its result changes nothing.
    pub(super) fn give_up(&mut self, key: &Key, now: Time) -> Result<(), StoreError> {
        let Some(call) = self.find_call(key)? else { return Ok(()) };
        if call.state != CallState::Waiting {
            return Ok(());
        }
        let mut held = self.calls.remove(&call.id).unwrap_or_else(|| Held::read(call));
        if self.is_suspect(&held.row, &held.memory)?
            || held.memory.doubt.is_some()
            || (held.row.attempts > 0 && held.memory.damaged)
        {
            self.keep(held);
            return Ok(());
        }
        held.memory.note = Some(match held.row.attempts {
            0 => "given up before it was sent: its run went on without it".to_owned(),
            _ => "given up before its next attempt, none before having had an effect: its run went on without it"
                .to_owned(),
        });
        held.row.state = CallState::Skipped;
        held.row.due = None;
        held.row.updated = now;
        self.is_settled(&mut held, now);
        let row = self.write_call(&mut held);
        self.lines.leave(row.id, now);
        Ok(())
    }

    /// Whether a call may be made as it is: its input fits, and where it goes is declared.
    pub(super) fn check_call(&self, pinned: &Contract, held: &Held) -> Result<(), Fault> {
        if http::is_over_http(&held.row) {
            let place = http::target(&self.contract, &held.row, &held.memory);
            place.map(drop).map_err(|cause| Fault::of(Standard::Validation, cause).at(&held.row.pointer))
        } else {
            check_input(pinned, &held.row)
        }
    }

    /// A call has come to its end: so has the exception about it.
    pub(super) fn is_settled(&mut self, held: &mut Held, now: Time) {
        if std::mem::take(&mut held.memory.excepted) {
            let of = exceptions::of_call_id(held.row.run, &held.row.pointer, &held.row.iteration);
            self.batch.change(ExceptionChange::of(of, now).to(ExceptionState::Resolved));
        }
    }

    /// The site has nobody who answers: nothing is done, and the reason stays.
    pub(super) fn skip(&mut self, held: &mut Held, reason: &str, now: Time) -> CallRow {
        held.memory.note = Some(format!("nobody answers for {} at {}: {reason}", held.row.capability, held.row.site));
        held.row.state = CallState::Skipped;
        held.row.due = None;
        held.row.updated = now;
        self.is_settled(held, now);
        self.write_call(held)
    }

    /// Puts a call as it stands into the commit of this step.
    pub(super) fn write_call(&mut self, held: &mut Held) -> CallRow {
        held.row.memory = to_json(&held.memory);
        self.batch.call(held.row.clone());
        held.row.clone()
    }

    pub(super) fn keep(&mut self, held: Held) {
        self.calls.insert(held.row.id, held);
    }
}

impl Held {
    /// A call from its row. One whose memory cannot be read is parked before anything is sent again.
    pub(super) fn read(row: CallRow) -> Self {
        let memory = serde_json::from_value(row.memory.clone())
            .unwrap_or_else(|_| CallMemory { damaged: true, ..CallMemory::default() });
        Self { row, memory }
    }

    /// It stands for another call, which surely had no effect, and has its place in line.
    pub(super) fn stands_for(&mut self, before: &CallRow) {
        let was = Self::read(before.clone()).memory;
        self.row.supersedes = Some(before.id);
        self.row.created = before.created;
        self.memory.rerouted = was.rerouted;
        self.memory.excepted |= was.excepted;
    }
}

/// Whether the run that has started this one waits for its end.
pub(super) fn is_waited_for(row: &RunRow) -> bool {
    row.parent.as_ref().is_some_and(|parent| parent.wait)
}

pub(super) fn to_json<T: serde::Serialize>(memory: &T) -> Json {
    serde_json::to_value(memory).expect("a memory is made of JSON, texts and numbers")
}

fn task_row(run: RunId, done: Done, now: Time) -> TaskRow {
    TaskRow {
        run,
        pointer: done.pointer,
        iteration: done.iteration,
        completed: now,
        input: done.input,
        output: done.output,
        context: done.context,
        next: done.next,
        note: done.note,
    }
}

/// A call as it is made, or made again by a later pass of `retry`.
fn new_call(open: &Open, made: MakeCall, key: Key, earlier: Option<CallRow>, now: Time) -> Held {
    let cause = open.row.input.get(0);
    let text = |name: &str| cause.and_then(|event| event.get(name)).and_then(Json::as_str);
    let mut memory = CallMemory {
        lane: text("partitionkey").unwrap_or_default().to_owned(),
        place: text("sequence").and_then(|number| number.parse().ok()).unwrap_or(0),
        ..CallMemory::default()
    };
    let (created, attempts, document): (Time, u32, Option<String>) = match &earlier {
        Some(call) => (call.created, call.attempts, None),
        None => (now, 0, None),
    };
    let supersedes = earlier.as_ref().and_then(|call| call.supersedes);
    let (system, operation): (Option<Name>, Option<Name>) = match earlier {
        Some(call) => {
            // What a search has found out about an earlier attempt stays true.
            let before = Held::read(call.clone()).memory;
            // So does the request that a document gave, as long as it may have had its effect; else it is made anew.
            memory.described = before.described.filter(|_| before.doubt.is_some());
            (memory.doubt, memory.restored, memory.suspected) = (before.doubt, before.restored, before.suspected);
            (memory.rerouted, memory.excepted) = (before.rerouted, before.excepted);
            (call.system, call.operation)
        }
        None => (None, None),
    };
    let row = CallRow {
        id: key.call_id(),
        site: open.row.site.clone(),
        run: open.row.id,
        pointer: made.pointer,
        iteration: made.iteration,
        reference: key.reference(),
        edit: made.edit,
        supersedes,
        key,
        capability: made.capability,
        system,
        operation,
        state: CallState::Waiting,
        input: made.input,
        output: None,
        document,
        created,
        updated: now,
        due: Some(now),
        attempts,
        class: None,
        detail: None,
        memory: Json::Null,
    };
    Held { row, memory }
}

/// Whether a call's input is what its capability takes, by the contract its run began with.
fn check_input(pinned: &Contract, call: &CallRow) -> Result<(), Fault> {
    let invalid = |text: String| Fault::of(Standard::Validation, text).at(&call.pointer);
    let Some(capability) = pinned.capabilities.get(&call.capability) else {
        return Err(invalid(format!("there is no capability {}", call.capability)));
    };
    pinned
        .schemas
        .check(&capability.input, &call.input)
        .map_err(|e| invalid(format!("the input of {} {e}", call.capability)))
}
