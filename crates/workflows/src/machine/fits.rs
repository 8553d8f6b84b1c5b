//! Whether a run can go over to another version of its definition without doing anything twice, or losing its place.

use super::memory::{Memory, Phase, Waiting};
use super::undo::find;
use andon_contract::workflow::{Definition, Task, TaskKind};

/// Why a run does not fit another definition, with the first place that does not; `Ok`: it fits. `completed` are the
/// pointers of the tasks that it has completed.
pub fn fits<'p>(
    old: &Definition,
    new: &Definition,
    memory: &Memory,
    completed: impl IntoIterator<Item = &'p str>,
) -> Result<(), String> {
    if memory.ledger.is_turning_back() {
        return Err("it is undoing what it has done".to_owned());
    }
    if memory.phase == Phase::Start {
        return Ok(());
    }
    for (place, strand) in memory.strands.iter().enumerate() {
        for depth in 0..strand.frames.len() {
            let Some(before) = memory.task_of(old, place, depth) else { continue };
            let is_last = depth + 1 == strand.frames.len();
            let after = memory.task_of(new, place, depth).filter(|task| task.pointer == before.pointer);
            let waits = is_last && !matches!(strand.waiting, Waiting::Nothing | Waiting::Done);
            same(before, after, waits.then_some((old, new)))?;
        }
    }
    for pointer in completed {
        if let Some(before) = find(&old.tasks, pointer) {
            same(before, find(&new.tasks, pointer), None)?;
        }
    }
    Ok(())
}

/// Whether a task is there in the other definition, of the same kind; where the run waits at it, also for the same.
fn same(before: &Task, after: Option<&Task>, waits: Option<(&Definition, &Definition)>) -> Result<(), String> {
    let pointer = &before.pointer;
    let Some(after) = after else { return Err(format!("there is no task {pointer} in it")) };
    let (old, new) = (kind(&before.kind), kind(&after.kind));
    if old != new {
        return Err(format!("the task {pointer} is `{new}` in it, and was `{old}`"));
    }
    let Some((from, to)) = waits else { return Ok(()) };
    match (&before.kind, &after.kind) {
        (TaskKind::Call { capability: old, .. }, TaskKind::Call { capability: new, .. }) if old != new => {
            Err(format!("the task {pointer} calls {new} in it, and the run waits for {old}"))
        }
        (TaskKind::Run(old), TaskKind::Run(new)) if (&old.name, old.wait) != (&new.name, new.wait) => {
            Err(format!("the task {pointer} runs {} in it, and the run waits for {}", new.name, old.name))
        }
        (TaskKind::Listen(_), TaskKind::Listen(_))
            if from.document.pointer(pointer) != to.document.pointer(pointer) =>
        {
            Err(format!("the task {pointer} listens otherwise in it, and the run waits there"))
        }
        (TaskKind::Fork { branches: old, .. }, TaskKind::Fork { branches: new, .. }) if old.len() != new.len() => {
            Err(format!("the task {pointer} has {} branches in it, and the run goes on in {}", new.len(), old.len()))
        }
        _ => Ok(()),
    }
}

/// The word by which the DSL names what a task does.
fn kind(kind: &TaskKind) -> &'static str {
    match kind {
        TaskKind::Do(_) => "do",
        TaskKind::Set(_) => "set",
        TaskKind::Switch(_) => "switch",
        TaskKind::Call { .. } => "call",
        TaskKind::Function { .. } => "call of a function",
        TaskKind::Http(_) => "call: http",
        TaskKind::Openapi(_) => "call: openapi",
        TaskKind::Emit(_) => "emit",
        TaskKind::For(_) => "for",
        TaskKind::Fork { .. } => "fork",
        TaskKind::Listen(_) => "listen",
        TaskKind::Run(_) => "run",
        TaskKind::Wait(_) => "wait",
        TaskKind::Raise(_) => "raise",
        TaskKind::Try(_) => "try",
    }
}
