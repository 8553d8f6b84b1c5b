//! The flow from task to task: what a task gave is transformed, noted, and goes where `then` leads.

use super::eval::Scene;
use super::memory::{Block, Frame, Gave, Waiting};
use super::{Action, Done, Machine, conforms, stranger};
use crate::fault::{Fault, Standard};
use andon_contract::workflow::{For, Task, TaskKind, Then};
use serde::Serialize;
use serde_json::Value as Json;

impl Machine<'_> {
    /// `if` said no: the raw input goes on to the next task of the list.
    pub(super) fn skip(&mut self) {
        let Some(frame) = self.top() else { return self.fault(stranger()) };
        let raw = frame.raw.clone();
        self.go(raw, &Then::Continue, Some("skipped: its `if` is not true".to_owned()));
    }

    /// The current task gave `raw`: transforms it and goes where `then`, or the task, says.
    pub(super) fn finish(&mut self, raw: Json, then: Option<&Then>, note: Option<String>) {
        let Some(task) = self.task() else { return self.fault(stranger()) };
        // What a choice leads to is chosen again where it fails.
        let kept = match then {
            None => Some(false),
            Some(Then::End) => Some(true),
            Some(_) => None,
        };
        let kept = kept.filter(|_| task.output.is_some() || task.export.is_some() || task.schemas.output.is_some());
        let kept = kept.map(|end| Gave { raw: raw.clone(), end, note: note.clone(), is_whole: false, ready: false });
        match self.transform(task, raw) {
            Ok(output) => {
                // A call that nobody answers for has done nothing.
                let nothing = note.is_some() && matches!(task.kind, TaskKind::Call { .. });
                if !task.compensate.is_empty() && !nothing {
                    self.note_done(task);
                }
                self.go(output, then.unwrap_or(&task.then), note);
            }
            Err(fault) => {
                if let Some(frame) = self.top() {
                    frame.gave = kept.map(Box::new);
                }
                self.raise(fault);
            }
        }
    }

    /// A run that was taken up: the current task, or the run, had its output and completes with it now. Whether it was
    /// so.
    pub(super) fn complete_again(&mut self) -> bool {
        if self.frames().is_empty() {
            let output = self.memory.strands.get_mut(self.strand).and_then(|strand| strand.output.take());
            return output.map(|output| self.complete(output)).is_some();
        }
        let Some(gave) = self.top().and_then(|frame| frame.gave.take_if(|gave| gave.ready)) else { return false };
        let Gave { raw, end, note, is_whole, .. } = *gave;
        let end = end.then_some(&Then::End);
        if is_whole {
            let Some(task) = self.task() else { return false };
            self.go(raw, end.unwrap_or(&task.then), note);
        } else {
            self.finish(raw, end, note);
        }
        true
    }

    /// `output.as`, then `export.as`.
    fn transform(&mut self, task: &Task, raw: Json) -> Result<Json, Fault> {
        if task.output.is_none() && task.export.is_none() && task.schemas.output.is_none() {
            return self.within_payload(&raw).map(|()| raw);
        }
        let output = match &task.output {
            Some(mapping) => self.scene().after(&raw).map(mapping, &raw)?,
            None => raw.clone(),
        };
        conforms(task.schemas.output.as_ref(), &output, "the output of the task")?;
        self.within_payload(&output)?;
        if let Some(export) = &task.export {
            let context = self.scene().after(&raw).with_output(&output).map(export, &output)?;
            conforms(task.schemas.export.as_ref(), &context, "the new context")?;
            self.memory.context = context;
        }
        Ok(output)
    }

    fn within_payload(&self, output: &Json) -> Result<(), Fault> {
        let Some(most) = self.given.definition.settings.payload else { return Ok(()) };
        let size = bytes(output) as u64;
        if size <= most {
            return Ok(());
        }
        let text = format!("the output of the task has {size} bytes, and `metadata.limits.payload` allows {most}");
        Err(Fault::of(Standard::Runtime, text))
    }

    /// Notes the current task as completed and goes on in its list, or leaves it.
    fn go(&mut self, output: Json, then: &Then, note: Option<String>) {
        let Some(list) = self.list() else { return self.fault(stranger()) };
        let iteration = self.iteration();
        let context = self.memory.context.clone();
        let Some(frame) = self.top() else { return self.fault(stranger()) };
        let next = match then {
            Then::Continue => Some(frame.at + 1),
            Then::Exit | Then::End => None,
            Then::Task(name) => match list.iter().position(|task| task.name == *name) {
                Some(at) => Some(at),
                None => return self.fault(stranger()),
            },
        };
        let next = next.and_then(|at| Some((at, list.get(at)?)));
        let Some(task) = list.get(frame.at) else { return self.fault(stranger()) };
        frame.deadline = None;
        let input = (!task.compensate.is_empty()).then(|| frame.input().clone());
        if let Some((at, _)) = next {
            frame.at = at;
            frame.raw = output.clone();
            frame.input = None;
        }
        self.actions.push(Action::Task(Done {
            pointer: task.pointer.clone(),
            iteration,
            input,
            output: output.clone(),
            context,
            next: next.map(|(_, task)| task.pointer.clone()),
            note,
        }));
        if self.strand == 0 && self.depth() == 0 {
            self.forget_turned();
        }
        if next.is_none() {
            self.leave(output, then);
        }
    }

    /// The innermost list gave `output`; with `end`, so do all around it, and `exit` leaves a loop.
    pub(super) fn leave(&mut self, output: Json, how: &Then) {
        if self.frames().last().is_some_and(|frame| frame.block == Block::Foreach) {
            return self.pass_ended(&output, how);
        }
        let Some(strand) = self.memory.strands.get_mut(self.strand) else { return self.fault(stranger()) };
        let Some(left) = strand.frames.pop() else { return self.fault(stranger()) };
        let end = (*how == Then::End).then_some(&Then::End);
        match left.block {
            Block::Root => self.complete(output),
            Block::Undo => self.undone(),
            Block::Branch => self.join(output, left),
            Block::For if *how == Then::Continue => {
                let Some(TaskKind::For(of)) = self.task().map(|task| &task.kind) else {
                    return self.fault(stranger());
                };
                if let Some(turns) = self.top().and_then(|frame| frame.turns.as_mut()) {
                    turns.index = turns.index.saturating_add(1);
                }
                self.next_turn(of, output);
            }
            _ => self.finish(output, end, None),
        }
    }

    /// The next item of a loop, with what the last one gave; or the loop is done.
    pub(super) fn next_turn(&mut self, of: &For, raw: Json) {
        let left = self.frames().last().and_then(|frame| frame.turns.as_ref()).is_some_and(|t| t.index < t.items.len());
        if !left {
            return self.finish(raw, None, None);
        }
        self.push_with(Block::For, Some(raw));
        let Some(condition) = &of.condition else { return };
        // Looked at from inside, where the variables of the loop stand.
        let holds = self.frames().last().map(|frame| self.scene().holds(condition, &frame.raw));
        match holds {
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                let frame = self.memory.strands.get_mut(self.strand).and_then(|strand| strand.frames.pop());
                self.finish(frame.map_or(Json::Null, |frame: Frame| frame.raw), None, None);
            }
            Some(Err(fault)) => {
                let _ = self.memory.strands.get_mut(self.strand).and_then(|strand| strand.frames.pop());
                self.raise(fault);
            }
            None => self.fault(stranger()),
        }
    }

    fn complete(&mut self, raw: Json) {
        let definition = self.given.definition;
        let output = match &definition.output {
            Some(mapping) => {
                let mapped = Scene::workflow(self.given, self.memory).map(mapping, &raw);
                mapped.map_err(|fault| fault.at("/output/as"))
            }
            None => Ok(raw.clone()),
        };
        let checked = output.and_then(|output| {
            let fits = conforms(definition.schemas.output.as_ref(), &output, "the output of the workflow");
            fits.map(|()| output).map_err(|fault| fault.at("/output/schema"))
        });
        match checked {
            Ok(output) => {
                self.set_waiting(Waiting::Done);
                self.end_complete(output);
            }
            Err(fault) => {
                // So that it is there when the run is taken up.
                if let Some(strand) = self.memory.strands.get_mut(self.strand) {
                    strand.output = Some(raw);
                }
                self.fault(fault);
            }
        }
    }

    /// The current strand can go on.
    pub(super) fn wake_up(&mut self) {
        self.set_waiting(Waiting::Nothing);
    }
}

/// The bytes a value takes as JSON.
pub(crate) fn bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a value of JSON is written and counting does not fail");
    count.0
}
