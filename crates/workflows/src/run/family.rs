//! Runs that start others: a child begins in the commit of its parent's step, and its end wakes the parent in its own.
//!
//! A child's id derives from its parent, the task and its iteration without passes of `retry`: a task repeated by
//! `retry` means the same run. One that has completed gives its output again, and one that has faulted goes on at the
//! task it came from, so that nothing it has done is done a second time.

use super::advance::to_json;
use super::taken_up::Up;
use super::{Loop, Open};
use crate::fault::{Fault, Standard};
use crate::machine::memory::Memory;
use crate::machine::{Input, StartRun, TakeUp};
use andon_model::{RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{Cancel, Parent, RunRow, RunState};
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::sync::Arc;

/// Runs that may stand above a run. `check` refuses workflows that start themselves; this holds whatever was checked.
pub(super) const RUNS_DEEP_MAX: u32 = 16;
/// Beginnings and ends of children in one step at most; then other runs get their turn.
const FAMILY_STEP_MAX: usize = 1_024;
/// Who cancels a child.
const BY_PARENT: &str = "andon";

/// What parents and children have to tell each other within a step.
#[derive(Debug, Default)]
pub(super) struct Family {
    born: VecDeque<RunId>,
    /// Parents whose child has ended.
    woken: VecDeque<(RunId, RunId)>,
    /// Runs that have ended, with whether their end settles what people were told.
    over: VecDeque<(RunRow, bool)>,
    /// Children that nobody waits for any more, with whether what they did is undone.
    given_up: VecDeque<(RunId, bool, &'static str)>,
}

impl Loop {
    /// A run as it stands in this step.
    pub(super) fn find_run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        match self.batch.find_run(id) {
            Some(row) => Ok(Some(row.clone())),
            None => self.store.run(id),
        }
    }

    /// A task starts a run; what the task is told at once, if anything.
    pub(super) fn start_child(&mut self, open: &Open, start: StartRun, now: Time) -> Result<Option<Input>, StoreError> {
        let id = start.id;
        let refused = |text: String| Some(Input::Ended(id, Err(Fault::of(Standard::Runtime, text).at(&start.pointer))));
        let depth = open.row.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        if depth > RUNS_DEEP_MAX {
            let text = format!("{RUNS_DEEP_MAX} runs stand above this one: `{}` is not started", start.workflow);
            return Ok(refused(text));
        }
        let Some(definition) = open.pinned.workflows.get(start.workflow.as_str()).cloned() else {
            return Ok(refused(format!("there is no workflow `{}`", start.workflow)));
        };
        if let Some(version) = start.version.as_ref().filter(|version| **version != definition.version) {
            let text = format!("`{}` has the version {}, not {version}", start.workflow, definition.version);
            return Ok(refused(text));
        }
        if let Some(row) = self.find_run(id)? {
            return self.meet_again(row, start.wait, now);
        }
        let row = RunRow {
            id,
            site: open.row.site.clone(),
            workflow: definition.name.clone(),
            definition: definition.hash.clone(),
            revision: open.row.revision.clone(),
            event: None,
            correlation: open.row.correlation,
            key: None,
            by: None,
            parent: Some(Parent {
                run: open.row.id,
                pointer: start.pointer,
                iteration: start.iteration,
                wait: start.wait,
                depth,
            }),
            cancel: None,
            taken_up: 0,
            state: RunState::Running,
            started: now,
            updated: now,
            wake: None,
            input: start.input,
            memory: Json::Null,
            output: None,
            error: None,
        };
        if open.is_new {
            // Whoever reads the rows in their order meets the parent first.
            self.batch.run(open.row.clone(), true);
        }
        if self.must_queue(&definition, &row.site, now) {
            self.queue(row);
        } else {
            let since = self.ears.told;
            let memory = Memory { since, ..Memory::default() };
            self.places.enter(&definition.name);
            let child =
                Open { row, memory, pinned: Arc::clone(&open.pinned), definition, is_new: true, told: VecDeque::new() };
            self.save_run(child, now);
            self.family.born.push_back(id);
        }
        Ok((!start.wait).then_some(Input::Ended(id, Ok(Json::Null))))
    }

    /// A pass of `retry` starts a run that is there already.
    fn meet_again(&mut self, row: RunRow, wait: bool, now: Time) -> Result<Option<Input>, StoreError> {
        if row.state == RunState::Faulted && wait {
            self.take_up(row.id, now)?;
        }
        let row = self.find_run(row.id)?.unwrap_or(row);
        Ok(if wait { ended_as(&row) } else { Some(Input::Ended(row.id, Ok(Json::Null))) })
    }

    /// A faulted run goes on at the task it came from, where that can be; it gets its turn in this step.
    fn take_up(&mut self, id: RunId, now: Time) -> Result<(), StoreError> {
        let Ok(open) = self.faulted(id)? else { return Ok(()) };
        // The call that failed is made again by the task itself, as a pass of `retry` does.
        let Ok(Up { open, .. }) = self.raise_up(open, TakeUp::Anew(0), now)? else { return Ok(()) };
        self.places.enter(&open.row.workflow);
        self.save_run(open, now);
        self.family.born.push_back(id);
        Ok(())
    }

    /// What the runs that this one waits for, or owes, have come to.
    pub(super) fn find_children(&self, open: &Open) -> Result<Vec<Input>, StoreError> {
        let mut found = Vec::new();
        let waiting = open.memory.children(open.row.id, &open.definition);
        for child in waiting.into_iter().chain(open.memory.owed_runs()) {
            let Some(row) = self.find_run(child)? else { continue };
            let waits = row.parent.as_ref().is_none_or(|parent| parent.wait);
            found.extend(if waits { ended_as(&row) } else { Some(Input::Ended(child, Ok(Json::Null))) });
        }
        Ok(found)
    }

    /// Nobody waits for the end of a child any more.
    pub(super) fn give_up_child(&mut self, parent: &RunRow, child: RunId) {
        let undo = parent.cancel.as_ref().is_none_or(|cancel| cancel.compensate);
        self.family.given_up.push_back((child, undo, "the run that had started it gave it up"));
    }

    /// A run has ended; what follows is done in this step.
    pub(super) fn over(&mut self, row: &RunRow, told: bool) {
        let row = RunRow { input: Json::Null, memory: Json::Null, output: None, ..row.clone() };
        self.family.over.push_back((row, told));
    }

    /// A child has faulted, and its parent, which would have been told, has ended before.
    fn tell_of_orphan(&mut self, child: RunId, now: Time) -> Result<(), StoreError> {
        let Some(mut row) = self.find_run(child)?.filter(|row| row.state == RunState::Faulted) else { return Ok(()) };
        self.tell_of_fault(&row, &fault_of(&row), now)?;
        if let Ok(mut memory) = serde_json::from_value::<Memory>(row.memory.clone()) {
            memory.ledger.told = true;
            row.memory = to_json(&memory);
            self.batch.run(row, false);
        }
        Ok(())
    }

    /// A run has ended: its place is free, its parent goes on, and where it was cancelled so are its children.
    fn run_ended(&mut self, row: &RunRow, told: bool, now: Time) -> Result<(), StoreError> {
        if told && row.state != RunState::Faulted {
            self.settle_told(row.id, now)?;
        }
        self.places.leave(&row.workflow);
        if let Some(parent) = row.parent.as_ref().filter(|parent| parent.wait) {
            self.family.woken.push_back((parent.run, row.id));
        }
        if row.state == RunState::Cancelled {
            self.cancel_children(row)?;
        }
        Ok(())
    }

    fn cancel_children(&mut self, row: &RunRow) -> Result<(), StoreError> {
        let undo = row.cancel.as_ref().is_some_and(|cancel| cancel.compensate);
        let mut children: Vec<RunId> = self.batch.children_of(row.id).collect();
        children.extend(self.store.runs_of_parent(row.id)?.into_iter().map(|row| row.id));
        children.sort();
        children.dedup();
        let why = "the run that had started it was cancelled";
        self.family.given_up.extend(children.into_iter().map(|child| (child, undo, why)));
        Ok(())
    }

    /// Children begin, parents go on, and what nobody waits for is cancelled.
    pub(super) fn settle_families(&mut self, now: Time) -> Result<(), StoreError> {
        for _ in 0..FAMILY_STEP_MAX {
            if !self.settle_one(now)? {
                return Ok(());
            }
        }
        // The rest gets its turn in the next step; that it is due is as durable as what it is due to.
        while !self.family.given_up.is_empty() || !self.family.over.is_empty() {
            self.settle_one(now)?;
        }
        self.turns.extend(self.family.born.drain(..));
        while let Some((parent, _)) = self.family.woken.pop_front() {
            if let Some(mut open) = self.open_run(parent, now)? {
                self.take_another_turn(&mut open);
                self.save_run(open, now);
            }
        }
        Ok(())
    }

    fn settle_one(&mut self, now: Time) -> Result<bool, StoreError> {
        if let Some((child, compensate, reason)) = self.family.given_up.pop_front() {
            let cancel = Cancel { at: now, by: BY_PARENT.to_owned(), reason: reason.to_owned(), compensate };
            self.cancel_run(child, &cancel, now)?;
            return Ok(true);
        }
        if let Some((row, told)) = self.family.over.pop_front() {
            self.run_ended(&row, told, now)?;
            return Ok(true);
        }
        if let Some(child) = self.family.born.pop_front() {
            self.turn(child, now)?;
            return Ok(true);
        }
        if let Some((parent, child)) = self.family.woken.pop_front() {
            let Some(mut open) = self.open_run(parent, now)? else {
                self.tell_of_orphan(child, now)?;
                return Ok(true);
            };
            if let Some(input) = self.find_run(child)?.and_then(|row| ended_as(&row)) {
                open.told.push_back(input);
            }
            self.advance(open, Vec::new(), now)?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// What the end of a child means for the task that waits for it; `None`: it has not ended.
fn ended_as(row: &RunRow) -> Option<Input> {
    let result = match row.state {
        RunState::Completed => Ok(row.output.clone().unwrap_or_default()),
        RunState::Faulted => Err(fault_of(row)),
        RunState::Cancelled => {
            let why = row.cancel.as_ref().map_or("", |cancel| cancel.reason.as_str());
            Err(Fault::of(Standard::Runtime, format!("the run {} was cancelled: {why}", row.id)))
        }
        RunState::Running | RunState::Waiting | RunState::Queued | RunState::Held => return None,
    };
    Some(Input::Ended(row.id, result))
}

/// The error with which a run has ended, as its parent sees it: it says from which run it comes.
fn fault_of(row: &RunRow) -> Fault {
    let fault = row.error.clone().and_then(|error| serde_json::from_value::<Fault>(error).ok());
    let Some(mut fault) = fault else {
        return Fault::of(Standard::Runtime, format!("the run {} has faulted", row.id));
    };
    let place = fault.instance.take().unwrap_or_default();
    let detail = fault.detail.take().or_else(|| fault.title.clone()).unwrap_or_default();
    fault.detail = Some(format!("{detail} (run {} of {}, at {place})", row.id, row.workflow));
    fault
}
