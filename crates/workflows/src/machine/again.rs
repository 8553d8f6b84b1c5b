//! A run that has faulted goes on where it stands, as the same run: what it has done stays done.
//!
//! The memory of a faulted run still stands at the task that the error came from. A task that had its output, and whose
//! `output.as` failed, completes with that output. One whose call or child failed waits for it again. Any other is
//! entered again; where it runs others, as one more pass of `retry` would: their calls give what they gave.

use super::memory::{Gave, Memory, Phase, Waiting};
use super::undo::Awaited;
use super::{Ask, Given, Machine};
use andon_contract::workflow::TaskKind;
use andon_model::Key;
use andon_model::span::Span;
use serde_json::Value as Json;

/// How a run goes on at the task that its fault came from.
#[derive(Debug, Clone, PartialEq)]
pub enum TakeUp {
    /// It waits again for the call, or the run, that failed; without one the task is entered again.
    Wait,
    /// The task is entered again, and makes its call, if any, with this edit number.
    Anew(u32),
    /// It waits for the call with this edit number instead.
    Edited(u32),
    /// The task counts as completed with this output, for this reason.
    Skip(Json, String),
}

/// What a run had failed at.
#[derive(Debug, Clone, PartialEq)]
pub enum Blamed {
    /// A call.
    Call(Key),
    /// A run that its task had started.
    Run(andon_model::RunId),
}

impl Memory {
    /// What the fault of the run came from, beside the task itself.
    pub fn blamed(&self) -> Option<Blamed> {
        self.ledger.cause.as_ref().map(|of| match of {
            Awaited::Call(key) => Blamed::Call(key.clone()),
            Awaited::Run(run) => Blamed::Run(*run),
        })
    }

    /// Why a run that has faulted cannot go on; `Ok`: it can.
    pub fn can_be_taken_up(&self) -> Result<(), &'static str> {
        if self.phase != Phase::Ended {
            // It was stopped where it stands, by no fault of its own.
            return Ok(());
        }
        let Some(place) = self.ledger.faulted else {
            return Err("it has undone what it had done, so that there is nothing left to go on with");
        };
        // Before its first task there is nothing that could be done twice.
        if self.strands.get(place).is_none() && self.tasks > 0 {
            return Err("what it had to remember had grown too big, and is gone");
        }
        Ok(())
    }

    /// The call of a task has this edit number from now on.
    pub(super) fn edit(&mut self, pointer: &str, iteration: &str, edit: u32) {
        if edit > 0 {
            self.edits.insert(edit_of(pointer, iteration), edit);
        }
    }

    /// A strand that waits for this call waits for it with another edit number; whether one does.
    pub fn edit_awaited(&mut self, given: &Given<'_>, key: &Key, edit: u32) -> bool {
        let found = self.calls(given.run.id, given.definition).into_iter().find(|(_, other)| other == key);
        let place = found.and_then(|(place, _)| Some((place, self.strands.get(place)?.frames.len().checked_sub(1)?)));
        let Some((place, depth)) = place else { return false };
        let Some(task) = self.task_of(given.definition, place, depth) else { return false };
        let iteration = self.key_iteration(place, depth);
        self.edit(&task.pointer, &iteration, edit);
        true
    }
}

/// By what an edit of a call is found.
pub(super) fn edit_of(pointer: &str, iteration: &str) -> String {
    format!("{pointer}#{iteration}")
}

/// A run that has faulted goes on; so long it has stood still, and its timeouts with it. What its branches ask people
/// is asked again.
pub fn take_up(given: &Given<'_>, memory: &mut Memory, how: TakeUp, stood: Span) -> Result<Vec<Ask>, &'static str> {
    memory.can_be_taken_up()?;
    if memory.phase != Phase::Ended {
        let skips = matches!(how, TakeUp::Skip(..));
        return if skips { Err("it was stopped, and did not fail at a task") } else { Ok(Vec::new()) };
    }
    let place = memory.ledger.faulted.unwrap_or(0);
    if memory.strands.get(place).is_none() {
        if matches!(how, TakeUp::Skip(..)) {
            return Err("it has not come to a task yet");
        }
        (memory.phase, memory.ledger) = (Phase::Start, super::undo::Ledger::default());
        return Ok(Vec::new());
    }
    let has_branches = memory.strands.iter().any(|strand| strand.of.is_some_and(|of| of.strand == place));
    let depth = memory.strands.get(place).and_then(|strand| strand.frames.len().checked_sub(1));
    let task = depth.and_then(|depth| memory.task_of(given.definition, place, depth));
    let listens = task.is_some_and(|task| matches!(task.kind, TaskKind::Listen(_)));
    let at = depth.zip(task).map(|(depth, task)| (task.pointer.clone(), memory.key_iteration(place, depth)));
    let waits = memory.strands.get(place).map_or(Waiting::Nothing, |strand| strand.waiting);
    let stands = waits == Waiting::Nothing || (waits == Waiting::Branches && !has_branches);
    if !stands && matches!(how, TakeUp::Skip(..)) {
        return Err("it has used up its time, not failed at a task: retry it");
    }
    let runs_others = task.is_some_and(|task| {
        matches!(
            task.kind,
            TaskKind::Do(_) | TaskKind::For(_) | TaskKind::Fork { .. } | TaskKind::Try(_) | TaskKind::Function { .. }
        )
    });
    let has_output = depth.and_then(|depth| memory.strands.get(place)?.frames.get(depth)?.gave.as_ref()).is_some();
    if runs_others && stands && !has_output && memory.ledger.forgot && !matches!(how, TakeUp::Skip(..)) {
        return Err("too much inside its task was undone for doing that task again");
    }
    let cause = memory.ledger.cause.take();
    memory.phase = Phase::Going;
    memory.ledger.faulted = None;
    memory.ledger.taken_up = true;
    memory.ledger.migrated = false;
    if let (Some((pointer, iteration)), TakeUp::Anew(edit) | TakeUp::Edited(edit)) = (&at, &how) {
        memory.edit(pointer, iteration, *edit);
    }
    let Some(strand) = memory.strands.get_mut(place) else { return Ok(Vec::new()) };
    if stands {
        strand.waiting = match (&how, &cause) {
            (TakeUp::Wait | TakeUp::Edited(_), Some(Awaited::Call(_))) => Waiting::Call,
            (TakeUp::Wait, Some(Awaited::Run(_))) => Waiting::Run,
            _ => Waiting::Nothing,
        };
    }
    if stands
        && strand.waiting == Waiting::Nothing
        && let Some(frame) = strand.frames.last_mut()
    {
        match how {
            TakeUp::Skip(raw, note) => {
                frame.gave = Some(Box::new(Gave { raw, end: false, note: Some(note), is_whole: true, ready: true }));
            }
            _ if frame.gave.is_some() => {
                if let Some(gave) = &mut frame.gave {
                    gave.ready = true;
                }
            }
            // The event that it failed at counts as consumed.
            _ if listens && frame.ear.is_some() => strand.waiting = Waiting::Events,
            _ => frame.enter_again(),
        }
    }
    stand_still(memory, given, stood);
    let mut machine = Machine::new(given, memory);
    Ok(machine.ask_again())
}

/// A run that has faulted is about to be cancelled, so that what it has done is undone.
pub fn reopen(memory: &mut Memory) -> Result<(), &'static str> {
    memory.can_be_taken_up()?;
    (memory.phase, memory.ledger.faulted, memory.ledger.cause) = (Phase::Going, None, None);
    Ok(())
}

/// Timeouts did not run while the run stood still; one that is used up for good binds it no more.
fn stand_still(memory: &mut Memory, given: &Given<'_>, stood: Span) {
    let later = |time: Option<andon_model::Time>| time.map(|t| t.plus(stood)).filter(|t| *t > given.now);
    for frame in memory.strands.iter_mut().flat_map(|strand| &mut strand.frames) {
        frame.limit = later(frame.limit);
        frame.deadline = later(frame.deadline);
    }
}
