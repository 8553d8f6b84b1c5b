//! What people do about exceptions: the call is made again, with another input, elsewhere or not at all, and its run
//! goes on; or the run is given up.
//!
//! First everything is looked at, so that an act that is refused has changed nothing. Then the change of the exception
//! and the link of the chain go before what follows from the act: a call that fails again at once opens it again.

use super::taken_up::Up;
use super::{Act, Acted, Held, Loop, Standing, What};
use crate::calls::{CallMemory, drift};
use crate::exceptions;
use crate::http;
use crate::machine::{Given, Input, TakeUp, reopen};
use andon_contract::contract::OperationRef;
use andon_model::{ExceptionId, Key, RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{
    CallRow, CallState, Cancel, ExceptionChange, ExceptionKind, ExceptionRow, ExceptionState, RunState,
};
use serde_json::{Map, Value as Json, json};

/// Edits of one call at most.
const EDITS_MAX: u32 = 1_000;
/// Changed places that the chain names for one edit.
const CHANGES_MAX: usize = 100;

/// What an exception is about.
enum Stuck {
    /// A call, in its last edit.
    Call(Box<Held>),
    /// A run that has faulted, and no call is to blame.
    Run(RunId),
    /// A decision that this run waits for.
    Decision(RunId),
    /// Nothing that could go on.
    Nothing,
}

/// Either way nothing has failed: what was done, or why nothing was.
type Done = Result<Acted, StoreError>;

#[expect(clippy::unnecessary_wraps, reason = "an act that is refused is an answer, not an error of the store")]
fn refused(why: impl Into<String>) -> Done {
    Ok(Acted::Refused(why.into()))
}

impl Loop {
    /// Does what a person wants done about an exception.
    pub(super) fn remedy(&mut self, act: &Act, id: ExceptionId, tried: bool, now: Time) -> Done {
        let before = self.store.exception(id)?;
        let Some(row) = self.batch.exception_now(id, before) else { return Ok(Acted::Unknown) };
        let on_its_way = row.state == ExceptionState::Resubmitted;
        // A commit that seemed to fail may be durable after all.
        if tried && (on_its_way || row.state.has_ended()) && row.reason.as_deref() == Some(act.reason.as_str()) {
            return self.standing(&row);
        }
        if row.state.has_ended() {
            return refused(format!("the exception is {} already", row.state.word()));
        }
        match &act.what {
            What::Retry { not_there, .. } => self.retry(act, &row, *not_there, now),
            What::Edit { input, agreed_by, .. } => self.edit(act, &row, input, agreed_by.as_deref(), now),
            What::Skip { output, document, .. } => self.skip_task(act, &row, output, document.as_deref(), now),
            What::Reroute { operation, .. } => self.reroute(act, &row, operation, now),
            What::Discard { .. } => self.discard(act, &row, now),
            What::Compensate { .. } => self.compensate(act, &row, now),
            What::Cancel { .. } | What::Migrate { .. } => Ok(Acted::Unknown),
        }
    }

    fn stuck(&self, row: &ExceptionRow) -> Result<Stuck, StoreError> {
        if let (Some(call), ExceptionKind::Output) = (row.call, row.kind) {
            let Some(mut call) = self.find_call_by_id(call)? else { return Ok(Stuck::Nothing) };
            while call.edit < EDITS_MAX {
                let next = Key::of_task(call.run, &call.pointer, &call.iteration, call.edit + 1);
                match self.find_call(&next)? {
                    Some(edited) => call = edited,
                    None => break,
                }
            }
            return Ok(Stuck::Call(Box::new(Held::read(call))));
        }
        Ok(match row.run {
            Some(run) if row.decision.is_some() => Stuck::Decision(run),
            Some(run) if row.id == exceptions::of_run_id(run) => Stuck::Run(run),
            _ => Stuck::Nothing,
        })
    }

    /// Where that stands which an exception is about.
    fn standing(&self, row: &ExceptionRow) -> Done {
        let run = row.run.map(|run| self.find_run(run)).transpose()?.flatten();
        let call = match self.stuck(row)? {
            Stuck::Call(held) => Some(held.row),
            _ => None,
        };
        let state = match (&call, &run) {
            (Some(call), _) => call.state.word(),
            (None, Some(run)) => run.state.word(),
            (None, None) => row.state.word(),
        };
        let state = state.to_owned();
        Ok(Acted::Done(Standing { run: row.run, call: call.map(|call| call.id), state }))
    }

    /// Writes what was done: about the exception, and into the chain.
    fn note(&mut self, act: &Act, row: &ExceptionRow, to: Option<ExceptionState>, detail: Json, now: Time) {
        let word = match &act.what {
            What::Cancel { .. } | What::Migrate { .. } => "act",
            What::Retry { .. } => "retry",
            What::Edit { .. } => "edit",
            What::Skip { .. } => "skip",
            What::Reroute { .. } => "reroute",
            What::Discard { .. } => "discard",
            What::Compensate { .. } => "compensate",
        };
        let mut change = ExceptionChange { state: to, ..ExceptionChange::of(row.id, now) };
        change.reason = Some(act.reason.clone());
        change.proposal = matches!(act.what, What::Edit { .. }).then_some(None);
        self.batch.change(change);
        let mut all = Map::new();
        all.insert("reason".to_owned(), act.reason.clone().into());
        for (name, id) in [("run", row.run.map(|id| id.to_string())), ("call", row.call.map(|id| id.to_string()))] {
            all.extend(id.map(|id| (name.to_owned(), Json::from(id))));
        }
        if let Json::Object(detail) = detail {
            all.extend(detail);
        }
        self.audit(&act.by, &format!("exception.{word}"), row.id.to_string(), Json::Object(all), now);
    }

    /// The runs of a refused call, ready to go on; `Err`: why they cannot.
    fn raise_for(
        &mut self,
        row: &ExceptionRow,
        call: &CallRow,
        how: TakeUp,
        now: Time,
    ) -> Result<Result<Vec<Up>, String>, StoreError> {
        let top = row.run.unwrap_or(call.run);
        let Some(run) = self.find_run(top)? else { return Ok(Err(format!("there is no run {top}"))) };
        let (path, blamed) = self.blamed_by(&run)?;
        if run.state != RunState::Faulted || blamed.is_none_or(|other| other.id != call.id) {
            return Ok(Err(format!("the run {top} is {} and waits no more for this call", run.state.word())));
        }
        self.raise_path(&path, how, now)
    }

    fn retry(&mut self, act: &Act, row: &ExceptionRow, not_there: bool, now: Time) -> Done {
        let mut held = match self.stuck(row)? {
            Stuck::Call(held) => *held,
            Stuck::Run(run) => return self.retry_run(act, row, run, now),
            other => return refused(not_that(&other)),
        };
        match held.row.state {
            CallState::Refused => self.resubmit(act, row, held, json!({}), now),
            CallState::Parked if !not_there => refused(format!(
                "whether the call was done is unknown: look for the reference {} at {}; retry it as not there if it is \
                 not, or skip it with its document if it is",
                held.row.reference,
                held.row.system.as_ref().map_or("its system", |system| system.as_str()),
            )),
            CallState::Parked => {
                if let Some(why) = self.has_gone_on(&held.row)? {
                    return refused(why);
                }
                held.memory.doubt = None;
                held.memory.suspected.clear();
                // Somebody has looked: what a restore has lost is not in doubt any more.
                held.memory.restored = self.restored.map_or(0, |restored| restored.epoch);
                self.note(act, row, Some(ExceptionState::Resubmitted), json!({"not_there": true}), now);
                self.line_up(held, now);
                self.standing(row)
            }
            CallState::Waiting => {
                self.note(act, row, None, json!({}), now);
                self.due_now(held, now);
                self.standing(row)
            }
            CallState::InFlight | CallState::Delivered | CallState::Skipped => refused(is_on_its_way(&held.row)),
        }
    }

    /// A refused call is made again, with the same key, and its runs wait for it again.
    fn resubmit(&mut self, act: &Act, row: &ExceptionRow, held: Held, detail: Json, now: Time) -> Done {
        // A run that went over to another definition makes the call as that says: with an input of its own.
        if self.has_migrated(&held.row)? {
            let how = TakeUp::Anew(held.row.edit + 1);
            let ups = match self.raise_for(row, &held.row, how, now)? {
                Ok(ups) => ups,
                Err(why) => return refused(why),
            };
            self.note(act, row, Some(ExceptionState::Resubmitted), detail, now);
            let mut held = held;
            held.memory.excepted = true;
            self.write_call(&mut held);
            self.go_on(ups, now)?;
            return self.standing(row);
        }
        let ups = match self.raise_for(row, &held.row, TakeUp::Wait, now)? {
            Ok(ups) => ups,
            Err(why) => return refused(why),
        };
        let pinned = ups.first().map_or(&self.contract, |up| &up.open.pinned);
        if let Err(fault) = self.check_call(pinned, &held) {
            let why = fault.detail.unwrap_or_default();
            return refused(format!("{why}: edit the input, or take the run to a corrected workflow and retry it"));
        }
        self.note(act, row, Some(ExceptionState::Resubmitted), detail, now);
        self.line_up(held, now);
        self.go_on(ups, now)?;
        self.standing(row)
    }

    fn retry_run(&mut self, act: &Act, row: &ExceptionRow, run: RunId, now: Time) -> Done {
        let ups = match self.raise_run(run, TakeUp::Anew(0), now)? {
            Ok(ups) => ups,
            Err(why) => return refused(why),
        };
        self.note(act, row, Some(ExceptionState::Resubmitted), json!({}), now);
        self.go_on(ups, now)?;
        self.standing(row)
    }

    fn raise_run(&mut self, run: RunId, how: TakeUp, now: Time) -> Result<Result<Vec<Up>, String>, StoreError> {
        let Some(top) = self.find_run(run)? else { return Ok(Err(format!("there is no run {run}"))) };
        let (path, _) = self.blamed_by(&top)?;
        self.raise_path(&path, how, now)
    }

    /// A call waits for its next attempt, as if it had not failed so far.
    fn line_up(&mut self, mut held: Held, now: Time) {
        let CallMemory { lane, place, doubt, described, rerouted, restored, suspected, .. } =
            std::mem::take(&mut held.memory);
        held.memory = CallMemory {
            lane,
            place,
            doubt,
            described,
            rerouted,
            restored,
            suspected,
            excepted: true,
            ..CallMemory::default()
        };
        held.row.state = CallState::Waiting;
        held.row.due = Some(now);
        held.row.updated = now;
        self.write_call(&mut held);
        self.join(&held, now);
        self.keep(held);
    }

    /// A call that waits is attempted as soon as it may be.
    fn due_now(&mut self, mut held: Held, now: Time) {
        held.memory.failures = 0;
        held.memory.passed.clear();
        held.memory.told = false;
        self.due_again(&mut held, now, now);
        self.keep(held);
    }

    /// Why a call must not be made any more: its run has ended without it.
    fn has_gone_on(&self, call: &CallRow) -> Result<Option<String>, StoreError> {
        let run = self.find_run(call.run)?.filter(|run| run.state.has_ended() && run.state != RunState::Faulted);
        Ok(run.map(|run| {
            format!("its run {} is {}: say what is there by `skip`, or discard it", run.id, run.state.word())
        }))
    }

    fn has_migrated(&self, call: &CallRow) -> Result<bool, StoreError> {
        let run = self.find_run(call.run)?.filter(|run| run.state == RunState::Faulted);
        let memory = run.and_then(|run| serde_json::from_value::<crate::machine::memory::Memory>(run.memory).ok());
        Ok(memory.is_some_and(|memory| memory.ledger.migrated))
    }

    fn edit(&mut self, act: &Act, row: &ExceptionRow, input: &Json, agreed_by: Option<&str>, now: Time) -> Done {
        let Stuck::Call(old) = self.stuck(row)? else {
            return refused(
                "there is no call whose input could be edited: correct the workflow, take the run to it with \
                            `andon runs migrate`, and retry it",
            );
        };
        let old = *old;
        let may_be_done = self.is_suspect(&old.row, &old.memory)?;
        match old.row.state {
            CallState::Refused if !may_be_done => {}
            CallState::Waiting if !may_be_done && old.memory.doubt.is_none() && !old.memory.damaged => {}
            CallState::Refused | CallState::Parked | CallState::Waiting => {
                return refused(
                    "it may have been done as it is, and an edited call would be a second one: look, then \
                                retry it as not there, or skip it with its document",
                );
            }
            CallState::InFlight | CallState::Delivered | CallState::Skipped => return refused(is_on_its_way(&old.row)),
        }
        if old.row.input == *input {
            return refused("the input is what it was: retry it");
        }
        if old.row.edit >= EDITS_MAX {
            return refused(format!("it was edited {EDITS_MAX} times"));
        }
        let new = edited(&old, input, now);
        let edit = new.row.edit;
        let is_refused = old.row.state == CallState::Refused;
        let ups = if is_refused {
            match self.raise_for(row, &old.row, TakeUp::Edited(edit), now)? {
                Ok(ups) => ups,
                Err(why) => return refused(why),
            }
        } else {
            Vec::new()
        };
        let waiting = if is_refused { None } else { self.edit_waiting(&old.row, edit, now)? };
        if !is_refused && waiting.is_none() {
            return refused("its run waits no more for this call");
        }
        let open = ups.first().map(|up| &up.open).or(waiting.as_ref());
        let pinned = open.map_or(&self.contract, |open| &open.pinned);
        if let Err(fault) = self.check_call(pinned, &new) {
            return refused(fault.detail.unwrap_or_default());
        }
        let mut detail = json!({
            "call": new.row.id, "supersedes": old.row.id, "edit": edit, "changes": changes(&old.row.input, input),
        });
        if let (Some(agreed), Some(detail)) = (agreed_by, detail.as_object_mut()) {
            detail.insert("agreed_by".to_owned(), agreed.into());
        }
        self.note(act, row, Some(ExceptionState::Resubmitted), detail, now);
        if let Some(open) = waiting {
            let mut old = old;
            old.row.state = CallState::Skipped;
            (old.row.due, old.row.updated, old.memory.excepted) = (None, now, false);
            old.memory.note = Some(format!("its input was edited: {} stands for it", new.row.id));
            self.write_call(&mut old);
            self.calls.remove(&old.row.id);
            self.lines.leave(old.row.id, now);
            self.save_run(open, now);
        }
        self.line_up(new, now);
        self.go_on(ups, now)?;
        self.standing(row)
    }

    /// The run that waits for a call, as it waits for an edit of it instead.
    fn edit_waiting(&mut self, call: &CallRow, edit: u32, now: Time) -> Result<Option<super::Open>, StoreError> {
        let Some(mut open) = self.open_run(call.run, now)? else { return Ok(None) };
        let contract = std::sync::Arc::clone(&self.contract);
        let given = Given {
            definition: &open.definition,
            run: &open.row,
            schemas: &open.pinned.schemas,
            lookup: &contract.identifiers.at(now),
            journal: &|_, _| None,
            now,
        };
        let mut memory = open.memory.clone();
        if memory.edit_awaited(&given, &call.key, edit) {
            open.memory = memory;
            return Ok(Some(open));
        }
        self.open.insert(open.row.id, open);
        Ok(None)
    }

    fn skip_task(&mut self, act: &Act, row: &ExceptionRow, output: &Json, document: Option<&str>, now: Time) -> Done {
        let note = format!("skipped by {}: {}", act.by, act.reason);
        let mut held = match self.stuck(row)? {
            Stuck::Call(held) => *held,
            Stuck::Run(run) => {
                let ups = match self.raise_run(run, TakeUp::Skip(output.clone(), note), now)? {
                    Ok(ups) => ups,
                    Err(why) => return refused(why),
                };
                self.note(act, row, Some(ExceptionState::Resolved), json!({"output": output}), now);
                self.go_on(ups, now)?;
                return self.standing(row);
            }
            other => return refused(not_that(&other)),
        };
        let is_doubted = held.memory.doubt.is_some() || self.is_suspect(&held.row, &held.memory)?;
        let ups = match held.row.state {
            CallState::Refused => match self.raise_for(row, &held.row, TakeUp::Wait, now)? {
                Ok(ups) => ups,
                Err(why) => return refused(why),
            },
            CallState::Parked => Vec::new(),
            CallState::Waiting if !is_doubted || document.is_some() => Vec::new(),
            CallState::Waiting => return refused("it may have been done: say its document, or wait until it is known"),
            CallState::InFlight | CallState::Delivered | CallState::Skipped => {
                return refused(is_on_its_way(&held.row));
            }
        };
        let declared = self.contract.capabilities.get(&held.row.capability).filter(|_| !output.is_null());
        if let Some(what) = declared.and_then(|declared| drift(declared, &self.contract.schemas, output)) {
            return refused(format!("the output is not what {} gives: {what}", held.row.capability));
        }
        let detail = json!({"output": output, "document": document});
        self.note(act, row, Some(ExceptionState::Resolved), detail, now);
        held.row.output = Some(output.clone());
        (held.row.due, held.row.updated, held.memory.excepted) = (None, now, false);
        // With its document it is there after all; else nothing was done.
        let note = document.is_none().then_some(note);
        held.row.state = if document.is_some() { CallState::Delivered } else { CallState::Skipped };
        held.row.document = document.map(str::to_owned);
        held.memory.doubt = held.memory.doubt.take().filter(|_| document.is_none());
        held.memory.note.clone_from(&note);
        let called = Ok((output.clone(), note));
        self.calls.remove(&held.row.id);
        let call = self.write_call(&mut held);
        if ups.is_empty() {
            self.finish(call, called, now)?;
        } else {
            self.go_on(ups, now)?;
        }
        self.standing(row)
    }

    fn reroute(&mut self, act: &Act, row: &ExceptionRow, to: &OperationRef, now: Time) -> Done {
        let Stuck::Call(held) = self.stuck(row)? else { return refused("there is no call that could go elsewhere") };
        let mut held = *held;
        if http::is_over_http(&held.row) {
            return refused("a request of the workflow itself goes where it says: edit it");
        }
        let Some((_, operation)) = self.contract.operation(to) else {
            return refused(format!("there is no operation {to} in the project"));
        };
        if operation.implements != held.row.capability {
            return refused(format!("{to} implements {}, not {}", operation.implements, held.row.capability));
        }
        let detail =
            json!({"from": held.memory.rerouted.clone().or_else(|| asked_last(&held.row)), "to": to.to_string()});
        match held.row.state {
            CallState::Refused => {
                held.memory.rerouted = Some(to.to_string());
                self.resubmit(act, row, held, detail, now)
            }
            CallState::Waiting if held.memory.doubt.is_none() && !held.memory.damaged => {
                held.memory.rerouted = Some(to.to_string());
                self.note(act, row, Some(ExceptionState::Resubmitted), detail, now);
                self.due_now(held, now);
                self.standing(row)
            }
            CallState::Parked | CallState::Waiting => {
                refused("it may have been done where it went, and elsewhere it would be a second one: look first")
            }
            CallState::InFlight | CallState::Delivered | CallState::Skipped => refused(is_on_its_way(&held.row)),
        }
    }

    fn discard(&mut self, act: &Act, row: &ExceptionRow, now: Time) -> Done {
        let stuck = self.stuck(row)?;
        let waits = match &stuck {
            Stuck::Call(held) if held.row.state != CallState::Refused => Some(held.row.run),
            Stuck::Decision(run) => Some(*run),
            _ => None,
        };
        self.note(act, row, Some(ExceptionState::Discarded), json!({"cancelled": waits}), now);
        if let Stuck::Call(mut held) = stuck
            && held.row.state == CallState::Parked
        {
            // Nobody is asked about it any more, and nothing is sent.
            held.row.state = CallState::Skipped;
            held.row.updated = now;
            let note = format!("given up by {}: {}; whether it was done stays unknown", act.by, act.reason);
            (held.memory.note, held.memory.excepted) = (Some(note), false);
            self.calls.remove(&held.row.id);
            self.write_call(&mut held);
        }
        if let Some(run) = waits {
            let cancel = Cancel { at: now, by: act.by.clone(), reason: act.reason.clone(), compensate: false };
            self.cancel_run(run, &cancel, now)?;
        }
        self.standing(row)
    }

    fn compensate(&mut self, act: &Act, row: &ExceptionRow, now: Time) -> Done {
        let Some(id) = row.run else { return refused("it is about no run, so that there is nothing to undo") };
        let Some(run) = self.find_run(id)? else { return Ok(Acted::Unknown) };
        let cancel = Cancel { at: now, by: act.by.clone(), reason: act.reason.clone(), compensate: true };
        if run.state != RunState::Faulted {
            if run.state.has_ended() {
                return Ok(Acted::Ended(run.state));
            }
            // Whether a parked call was done must be known before it can be undone.
            let is_parked = matches!(self.stuck(row)?, Stuck::Call(held) if held.row.state == CallState::Parked);
            if let Acted::Refused(why) = self.can_undo(id)? {
                return refused(why);
            }
            self.note(act, row, (!is_parked).then_some(ExceptionState::Resubmitted), json!({}), now);
            self.cancel_run(id, &cancel, now)?;
            return self.standing(row);
        }
        let (path, _) = self.blamed_by(&run)?;
        let mut opens = Vec::new();
        for id in path.iter().rev() {
            match self.faulted(*id)? {
                Ok(mut open) => match reopen(&mut open.memory) {
                    Ok(()) => opens.push(open),
                    Err(why) => return refused(why),
                },
                Err(why) => return refused(why),
            }
        }
        self.note(act, row, Some(ExceptionState::Resubmitted), json!({}), now);
        for mut open in opens {
            (open.row.state, open.row.error, open.row.wake) = (RunState::Running, None, None);
            open.row.cancel.get_or_insert_with(|| cancel.clone());
            open.told.push_front(Input::Cancel(true));
            self.places.enter(&open.row.workflow);
            self.advance(open, Vec::new(), now)?;
        }
        self.standing(row)
    }

    /// Whether a run can be undone: its definition must be readable.
    fn can_undo(&mut self, id: RunId) -> Done {
        let Some(run) = self.find_run(id)? else { return Ok(Acted::Unknown) };
        if run.state != RunState::Queued
            && let Err(why) = self.pinned_of(&run)?.0
        {
            return refused(format!("its definition cannot be read, so that nothing can be undone: {why}"));
        }
        Ok(Acted::run(id, run.state))
    }
}

/// The same call with another input: another key, and the place in line that it had.
fn edited(old: &Held, input: &Json, now: Time) -> Held {
    let edit = old.row.edit + 1;
    let key = Key::of_task(old.row.run, &old.row.pointer, &old.row.iteration, edit);
    let row = CallRow {
        id: key.call_id(),
        reference: key.reference(),
        key,
        edit,
        state: CallState::Waiting,
        input: input.clone(),
        output: None,
        document: None,
        updated: now,
        due: Some(now),
        attempts: 0,
        class: None,
        detail: None,
        memory: Json::Null,
        ..old.row.clone()
    };
    let mut memory = CallMemory { lane: old.memory.lane.clone(), place: old.memory.place, ..CallMemory::default() };
    memory.excepted = true;
    let mut held = Held { row, memory };
    held.stands_for(&old.row);
    held
}

fn asked_last(call: &CallRow) -> Option<String> {
    Some(format!("{}.{}", call.system.as_ref()?, call.operation.as_ref()?))
}

fn is_on_its_way(call: &CallRow) -> String {
    match call.state {
        CallState::InFlight => "an attempt of the call is under way: wait for its end".to_owned(),
        state => format!("the call is {} already", state.word()),
    }
}

fn not_that(stuck: &Stuck) -> &'static str {
    match stuck {
        Stuck::Decision(_) => "a run waits for an answer: decide it",
        _ => "nothing waits because of it that could go on: mend the cause, then discard it",
    }
}

/// What differs between two inputs: by JSON pointer, what was there and what is.
fn changes(from: &Json, to: &Json) -> Vec<Json> {
    let mut found = Vec::new();
    differ("", Some(from), Some(to), &mut found);
    found
}

fn differ(at: &str, from: Option<&Json>, to: Option<&Json>, found: &mut Vec<Json>) {
    if from == to || found.len() >= CHANGES_MAX {
        return;
    }
    let inside = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    match (from, to) {
        (Some(Json::Object(old)), Some(Json::Object(new))) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
            for name in names {
                differ(&inside(name), old.get(name), new.get(name), found);
            }
        }
        (Some(Json::Array(old)), Some(Json::Array(new))) => {
            for place in 0..old.len().max(new.len()) {
                differ(&inside(&place.to_string()), old.get(place), new.get(place), found);
            }
        }
        _ => found.push(json!({"at": at, "from": from, "to": to})),
    }
}
