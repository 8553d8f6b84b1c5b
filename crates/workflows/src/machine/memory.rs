//! What a run remembers between two steps: a stack of task lists, each with the task it has come to.

use crate::fault::Fault;
use andon_contract::workflow::{Definition, Task, TaskKind};
use andon_model::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The most bytes the memory of a run may take as JSON; a run that needs more faults.
pub const MEMORY_MAX_BYTES: usize = 1 << 20;

/// What the interpreter needs to go on with a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The context as the last `export.as` left it; an empty object at first.
    pub(crate) context: Json,
    /// The lists being run, the outermost first.
    pub(crate) frames: Vec<Frame>,
    /// What it waits for.
    pub(crate) waiting: Waiting,
    /// Tasks entered so far.
    pub(crate) tasks: u32,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// Its first step.
    Start,
    /// Nothing: it can go on.
    Nothing,
    /// The result of the call of the current task.
    Call,
    /// A moment: a `wait` task.
    Until(Time),
    /// The moment of the next pass of a `retry`.
    Retry(Time),
    /// Nothing any more: it has completed or faulted.
    Ended,
}

/// Which list of its task a frame runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Block {
    /// The workflow's own list.
    Root,
    /// The list of a `do`.
    Do,
    /// The guarded list of a `try`.
    Try,
    /// The list of a `catch`.
    Catch,
}

/// A list of tasks and the one it has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Which list.
    pub(crate) block: Block,
    /// The current task.
    pub(crate) at: usize,
    /// How often each task of the list was entered.
    pub(crate) entries: Vec<u32>,
    /// Raw input of the current task.
    pub(crate) raw: Json,
    /// Its transformed input, once entered and where it differs from the raw one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) input: Option<Json>,
    /// When it was entered.
    pub(crate) started: Time,
    /// Passes of a `try` before the present one.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) pass: u32,
    /// The error a `try` is handling.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) error: Option<Fault>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Frame {
    pub(crate) fn new(block: Block, raw: Json, now: Time) -> Self {
        Self { block, at: 0, entries: Vec::new(), raw, input: None, started: now, pass: 0, error: None }
    }

    /// The transformed input of the current task.
    pub(crate) fn input(&self) -> &Json {
        self.input.as_ref().unwrap_or(&self.raw)
    }

    /// Counts an entry of the current task and gives how many there were before it.
    pub(crate) fn enter(&mut self) -> u32 {
        if self.entries.len() <= self.at {
            self.entries.resize(self.at + 1, 0);
        }
        let entries = self.entries.get_mut(self.at).expect("just made long enough");
        *entries = entries.saturating_add(1);
        *entries - 1
    }

    /// Entries of the current task before the present one.
    fn entry(&self) -> u32 {
        self.entries.get(self.at).copied().unwrap_or(0).saturating_sub(1)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { context: Json::Object(serde_json::Map::new()), frames: Vec::new(), waiting: Waiting::Start, tasks: 0 }
    }
}

impl Memory {
    /// What the run waits for.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// The list the innermost frame runs; `None` when the memory does not fit the definition.
    pub(crate) fn list<'d>(&self, definition: &'d Definition) -> Option<&'d [Task]> {
        self.list_of(definition, self.frames.len().checked_sub(1)?)
    }

    /// The list that the frame at `depth` runs.
    pub(crate) fn list_of<'d>(&self, definition: &'d Definition, depth: usize) -> Option<&'d [Task]> {
        let mut list = definition.tasks.as_slice();
        let frames = self.frames.get(..=depth)?;
        if frames.first()?.block != Block::Root {
            return None;
        }
        for pair in frames.windows(2) {
            let [outer, inner] = pair else { return None };
            list = match (&list.get(outer.at)?.kind, inner.block) {
                (TaskKind::Do(tasks), Block::Do) => tasks,
                (TaskKind::Try(guarded), Block::Try) => &guarded.tasks,
                (TaskKind::Try(guarded), Block::Catch) => &guarded.handler,
                _ => return None,
            };
        }
        Some(list)
    }

    /// The task that the frame at `depth` has come to.
    pub(crate) fn task_of<'d>(&self, definition: &'d Definition, depth: usize) -> Option<&'d Task> {
        self.list_of(definition, depth)?.get(self.frames.get(depth)?.at)
    }

    /// The current task.
    pub fn task<'d>(&self, definition: &'d Definition) -> Option<&'d Task> {
        self.task_of(definition, self.frames.len().checked_sub(1)?)
    }

    /// The key of the call that the run waits for; `None` when it waits for none.
    pub fn call_key(&self, run: andon_model::RunId, definition: &Definition) -> Option<andon_model::Key> {
        let task = self.task(definition).filter(|_| self.waiting == Waiting::Call)?;
        let depth = self.frames.len().checked_sub(1)?;
        Some(andon_model::Key::of_task(run, &task.pointer, &self.key_iteration(depth), 0))
    }

    /// The iteration of the current task of the frame at `depth`: entries by `then` from the
    /// outermost list inwards, behind each the passes of its `retry`; empty when all are the first.
    pub(crate) fn iteration(&self, depth: usize) -> String {
        self.path(depth, true)
    }

    /// The same without passes of `retry`: a task repeated by `retry` makes the same call.
    pub(crate) fn key_iteration(&self, depth: usize) -> String {
        self.path(depth, false)
    }

    fn path(&self, depth: usize, passes: bool) -> String {
        let mut text = String::new();
        let mut any = false;
        for (i, frame) in self.frames.iter().enumerate().take(depth + 1) {
            let entry = frame.entry();
            // The pass of a `try` belongs to what stands inside it, not to the `try` itself.
            let pass = if passes && i < depth { frame.pass } else { 0 };
            any |= entry > 0 || pass > 0;
            if i > 0 {
                text.push('/');
            }
            text.push_str(&entry.to_string());
            if pass > 0 {
                text.push('r');
                text.push_str(&pass.to_string());
            }
        }
        if any { text } else { String::new() }
    }

    /// The bytes it takes as JSON.
    pub fn bytes(&self) -> usize {
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
        serde_json::to_writer(&mut count, self).expect("the memory of a run is JSON and counting does not fail");
        count.0
    }
}
