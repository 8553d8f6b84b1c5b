//! What a run remembers between two steps: *strands* that go on side by side, each a stack of task lists with the task
//! it has come to.
//!
//! The first strand is the run's own. A `fork` makes one for each of its branches; they stand behind the strand they
//! come from, and are gone when the `fork` is.

use super::again::edit_of;
use super::flow::bytes;
use super::listen::{Consumed, Ear};
use super::stored::Stored;
use super::undo::{Awaited, Ledger, without_passes};
use crate::fault::Fault;
use andon_contract::workflow::{Definition, Task, TaskKind};
use andon_model::{Key, RunId, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most bytes the memory of a run may take as JSON; a run that needs more faults.
pub const MEMORY_MAX_BYTES: usize = 1 << 20;
/// Strands of one run at most; a `fork` that would make more faults the run.
pub const STRANDS_MAX: usize = 256;

/// What the interpreter needs to go on with a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Memory {
    /// The context as the last `export.as` left it; an empty object at first.
    pub(crate) context: Json,
    /// What goes on side by side, each behind the one it comes from.
    pub(crate) strands: Vec<Strand>,
    /// Where the run as a whole stands.
    pub(crate) phase: Phase,
    /// Tasks entered so far.
    pub(crate) tasks: u32,
    /// The order number of the last event before the run, or of the one that has started it: it listens for later ones.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) since: u64,
    /// The events that listening tasks have consumed, by their pointers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) consumed: BTreeMap<String, Consumed>,
    /// Whether events may have come that were not told to it, because its definition could not be read.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) deaf: bool,
    /// What the run has done and may have to undo.
    #[serde(skip_serializing_if = "Ledger::is_empty")]
    pub(crate) ledger: Ledger,
    /// The calls whose inputs people have edited, by pointer and iteration, with the number of the last edit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) edits: BTreeMap<String, u32>,
}

/// Where a run as a whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Before its first step.
    Start,
    /// Under way.
    Going,
    /// It has completed or faulted.
    Ended,
}

/// One of the things a run does side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Strand {
    /// The `fork` it is a branch of; `None`: the run's own strand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) of: Option<Branch>,
    /// The lists being run, the outermost first.
    pub(crate) frames: Vec<Frame>,
    /// What it waits for.
    pub(crate) waiting: Waiting,
    /// What a branch gave, once it is done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) output: Option<Json>,
}

/// A branch of a `fork`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Branch {
    /// The place of the strand whose current task is the `fork`.
    pub(crate) strand: usize,
    /// Which branch.
    pub(crate) number: usize,
    /// Tasks that the run had entered when it began.
    #[serde(default)]
    pub(crate) since: u32,
}

/// What a strand waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// Nothing: it can go on.
    Nothing,
    /// The result of the call of the current task.
    Call,
    /// A moment: a `wait` task.
    Until(Time),
    /// The moment of the next pass of a `retry`.
    Retry(Time),
    /// The branches of its `fork`.
    Branches,
    /// Events that its `listen` is to consume.
    Events,
    /// The end of the run its `run` has started.
    Run,
    /// Nothing any more: a branch that is done.
    Done,
}

/// Which list of its task a frame runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Block {
    /// The workflow's own list.
    Root,
    /// The one task of a branch of a `fork`.
    Branch,
    /// The list of a `do`.
    Do,
    /// The guarded list of a `try`.
    Try,
    /// The list of a `catch`.
    Catch,
    /// The list of a `for`.
    For,
    /// The list of `foreach` in a `listen`.
    Foreach,
    /// The one task of a function.
    Function,
    /// What undoes a task.
    Undo,
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
    /// When the current task has no time left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) deadline: Option<Time>,
    /// When the whole list has no time left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) limit: Option<Time>,
    /// Passes of a `try` before the present one.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) pass: u32,
    /// How often the current task was undone before it was entered.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) undone: u32,
    /// The error a `try` is handling.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) error: Option<Fault>,
    /// Where a `for`, or a `foreach`, has come to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) turns: Option<Box<Turns>>,
    /// Where a `listen` has come to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) ear: Option<Box<Ear>>,
    /// How often the current task was entered again because the run was taken up there.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) again: u32,
    /// Whether the next entry is such a one.
    #[serde(skip_serializing_if = "is_false", default)]
    pub(crate) reenters: bool,
    /// What the current task gave, where it did not complete with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) gave: Option<Box<Gave>>,
}

/// What a task gave that has not completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gave {
    /// What it gave.
    pub(crate) raw: Json,
    /// Whether the lists around it end too.
    #[serde(skip_serializing_if = "is_false", default)]
    pub(crate) end: bool,
    /// In words, where nothing was done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) note: Option<String>,
    /// Whether it is the task's output as it stands: a person has given it.
    #[serde(skip_serializing_if = "is_false", default)]
    pub(crate) is_whole: bool,
    /// Whether the task completes with it when the strand goes on.
    #[serde(skip_serializing_if = "is_false", default)]
    pub(crate) ready: bool,
}

/// Where a loop has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turns {
    /// Its items.
    pub(crate) items: Vec<Json>,
    /// The index of the present one.
    pub(crate) index: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Frame {
    pub(crate) fn new(block: Block, raw: Json, now: Time) -> Self {
        Self {
            block,
            at: 0,
            entries: Vec::new(),
            raw,
            input: None,
            started: now,
            deadline: None,
            limit: None,
            pass: 0,
            undone: 0,
            error: None,
            turns: None,
            ear: None,
            again: 0,
            reenters: false,
            gave: None,
        }
    }

    /// The transformed input of the current task.
    pub(crate) fn input(&self) -> &Json {
        self.input.as_ref().unwrap_or(&self.raw)
    }

    /// Counts an entry of the current task and gives how many there were before it.
    pub(crate) fn enter(&mut self, now: Time) -> u32 {
        if self.entries.len() <= self.at {
            self.entries.resize(self.at + 1, 0);
        }
        self.input = None;
        self.started = now;
        self.deadline = None;
        self.pass = 0;
        self.undone = 0;
        self.error = None;
        self.turns = None;
        self.ear = None;
        self.gave = None;
        if !std::mem::take(&mut self.reenters) {
            self.again = 0;
        }
        let entries = self.entries.get_mut(self.at).expect("just made long enough");
        *entries = entries.saturating_add(1);
        *entries - 1
    }

    /// The current task is entered again as if it had not been entered yet; what stands inside it is done in a pass of
    /// its own.
    pub(crate) fn enter_again(&mut self) {
        (self.reenters, self.again) = (true, self.again.saturating_add(1));
        if let Some(entries) = self.entries.get_mut(self.at) {
            *entries = entries.saturating_sub(1);
        }
    }

    /// Entries of the current task before the present one.
    fn entry(&self) -> u32 {
        self.entries.get(self.at).copied().unwrap_or(0).saturating_sub(1)
    }
}

impl Strand {
    pub(crate) fn new(of: Option<Branch>, frame: Frame) -> Self {
        Self { of, frames: vec![frame], waiting: Waiting::Nothing, output: None }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            context: Json::Object(serde_json::Map::new()),
            strands: Vec::new(),
            phase: Phase::Start,
            tasks: 0,
            since: 0,
            consumed: BTreeMap::new(),
            deaf: false,
            ledger: Ledger::default(),
            edits: BTreeMap::new(),
        }
    }
}

/// A moment at which a run goes on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    /// When.
    pub(crate) time: Time,
    /// The strand.
    pub(crate) strand: usize,
    /// The frame.
    pub(crate) depth: usize,
    /// What happens then; the order is that of equal moments.
    pub(crate) rings: Rings,
}

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rings {
    /// The list of the frame has no time left.
    Limit,
    /// The task of the frame has no time left.
    Deadline,
    /// What the strand waits for is over.
    Waited,
    /// Nobody has decided in time.
    Escalate,
}

impl Memory {
    /// Whether the run can go on at once.
    pub fn is_ready(&self) -> bool {
        match self.phase {
            Phase::Start => true,
            Phase::Going => {
                let ready =
                    |(place, strand): (usize, &Strand)| strand.waiting == Waiting::Nothing && self.is_live(place);
                self.turns_back() || self.strands.iter().enumerate().any(ready)
            }
            Phase::Ended => false,
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// When the run goes on by itself, at the earliest.
    pub fn wake(&self) -> Option<Time> {
        self.alarm().map(|alarm| alarm.time).filter(|_| self.phase == Phase::Going)
    }

    /// The next moment at which something happens by itself; of equal ones that of what stands further out.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let mut next: Option<Alarm> = None;
        for (strand, of) in self.strands.iter().enumerate() {
            let mut offer = |time: Option<Time>, depth: usize, rings: Rings| {
                if let Some(time) = time {
                    let alarm = Alarm { time, strand, depth, rings };
                    next = Some(next.map_or(alarm, |other| other.min(alarm)));
                }
            };
            if of.waiting == Waiting::Done || !self.is_live(strand) {
                continue;
            }
            for (depth, frame) in of.frames.iter().enumerate() {
                offer(frame.limit, depth, Rings::Limit);
                offer(frame.deadline, depth, Rings::Deadline);
            }
            if let Waiting::Until(time) | Waiting::Retry(time) = of.waiting {
                offer(Some(time), of.frames.len(), Rings::Waited);
            }
            if of.waiting == Waiting::Events {
                let asked = of.frames.last().and_then(|frame| frame.ear.as_ref()?.asked.as_ref());
                let passes_on = asked.and_then(|asked| asked.escalate.as_ref()).map(|(time, _)| *time);
                offer(passes_on, of.frames.len(), Rings::Escalate);
            }
        }
        next
    }

    /// The keys of the calls that the run waits for, with the places of their strands.
    pub fn calls(&self, run: RunId, definition: &Definition) -> Vec<(usize, Key)> {
        let is_call = |(strand, of)| match of {
            Awaited::Call(key) => Some((strand, key)),
            Awaited::Run(_) => None,
        };
        self.awaited(run, definition).into_iter().filter_map(is_call).collect()
    }

    /// The runs whose ends the run waits for.
    pub fn children(&self, run: RunId, definition: &Definition) -> Vec<RunId> {
        let is_run = |(_, of)| match of {
            Awaited::Run(run) => Some(run),
            Awaited::Call(_) => None,
        };
        self.awaited(run, definition).into_iter().filter_map(is_run).collect()
    }

    /// What the strands wait for that comes from outside and has a name, with their places.
    pub(super) fn awaited(&self, run: RunId, definition: &Definition) -> Vec<(usize, Awaited)> {
        (0..self.strands.len())
            .filter(|place| self.is_live(*place))
            .filter_map(|place| Some((place, self.awaited_by(run, definition, place)?)))
            .collect()
    }

    /// What a strand waits for that comes from outside and has a name.
    pub(super) fn awaited_by(&self, run: RunId, definition: &Definition, strand: usize) -> Option<Awaited> {
        match self.strands.get(strand)?.waiting {
            Waiting::Call => self.key(run, definition, strand).map(Awaited::Call),
            Waiting::Run => {
                let depth = self.strands.get(strand)?.frames.len().checked_sub(1)?;
                let task = self.task_of(definition, strand, depth)?;
                Some(Awaited::Run(super::child_id(run, &task.pointer, &self.key_iteration(strand, depth))))
            }
            _ => None,
        }
    }

    /// The key of the call that the current task of a strand makes.
    pub(crate) fn key(&self, run: RunId, definition: &Definition, strand: usize) -> Option<Key> {
        let depth = self.strands.get(strand)?.frames.len().checked_sub(1)?;
        let task = self.task_of(definition, strand, depth)?;
        let iteration = self.key_iteration(strand, depth);
        Some(Key::of_task(run, &task.pointer, &iteration, self.edited(&task.pointer, &iteration)))
    }

    /// The number of the last edit of the call of a task; 0: nobody has edited it.
    pub(super) fn edited(&self, pointer: &str, iteration: &str) -> u32 {
        if self.edits.is_empty() { 0 } else { self.edits.get(&edit_of(pointer, iteration)).copied().unwrap_or(0) }
    }

    /// The strands from the run's own to this one; `None` when they do not hang together.
    pub(crate) fn line(&self, strand: usize) -> Option<Vec<usize>> {
        let mut line = vec![strand];
        let mut at = strand;
        while let Some(branch) = self.strands.get(at)?.of {
            // What a strand comes from stands before it, so that this ends whatever was stored.
            if branch.strand >= at {
                return None;
            }
            at = branch.strand;
            line.push(at);
        }
        line.reverse();
        Some(line)
    }

    /// The list that the frame at `depth` of a strand runs; `None` when the memory does not fit the definition.
    pub(crate) fn list_of<'d>(&self, definition: &'d Definition, strand: usize, depth: usize) -> Option<&'d [Task]> {
        let of = self.strands.get(strand)?;
        let frames = of.frames.get(..=depth)?;
        let first = frames.first()?.block;
        let mut list = match of.of {
            None if first == Block::Root => definition.tasks.as_slice(),
            None if first == Block::Undo => self.undo_list(definition)?,
            Some(branch) if first == Block::Branch && branch.strand < strand => {
                let outer = self.strands.get(branch.strand)?.frames.len().checked_sub(1)?;
                match &self.task_of(definition, branch.strand, outer)?.kind {
                    TaskKind::Fork { branches, .. } => branches.get(branch.number..=branch.number)?,
                    _ => return None,
                }
            }
            _ => return None,
        };
        for pair in frames.windows(2) {
            let [outer, inner] = pair else { return None };
            list = inner_list(&list.get(outer.at)?.kind, inner.block)?;
        }
        Some(list)
    }

    /// The task that the frame at `depth` of a strand has come to.
    pub(crate) fn task_of<'d>(&self, definition: &'d Definition, strand: usize, depth: usize) -> Option<&'d Task> {
        self.list_of(definition, strand, depth)?.get(self.strands.get(strand)?.frames.get(depth)?.at)
    }

    /// The iteration of the current task of the frame at `depth`: entries by `then` from the outermost list inwards,
    /// behind each how often the task was undone before, the index of its `for`, how often the run was taken up there
    /// and the passes of its `retry`; empty when all are the first.
    pub(crate) fn iteration(&self, strand: usize, depth: usize) -> String {
        self.path(strand, depth, true)
    }

    /// The same without passes of `retry` and without how often the run was taken up: a repeated task makes the same
    /// call.
    pub(crate) fn key_iteration(&self, strand: usize, depth: usize) -> String {
        self.path(strand, depth, false)
    }

    fn path(&self, strand: usize, depth: usize, passes: bool) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let mut any = false;
        let line = self.line(strand).unwrap_or_default();
        if self.undoes(strand)
            && let Some(of) = &self.ledger.current
        {
            // What undoes a task belongs to the iteration in which the task was done.
            text = without_passes(&of.iteration);
            any = !text.is_empty();
        }
        for (place, of) in line.iter().filter_map(|place| Some((*place, self.strands.get(*place)?))) {
            let last = if place == strand { depth + 1 } else { of.frames.len() };
            for (i, frame) in of.frames.iter().enumerate().take(last) {
                // Passes and indexes belong to what stands inside the task, not to the task itself.
                let inside = place != strand || i < depth;
                let entry = frame.entry();
                let index = frame.turns.as_ref().filter(|_| inside).map_or(0, |turns| turns.index);
                let (again, pass) = if passes && inside { (frame.again, frame.pass) } else { (0, 0) };
                any |= entry > 0 || again > 0 || pass > 0 || index > 0 || frame.undone > 0;
                if !text.is_empty() {
                    text.push('/');
                }
                let _ = write!(text, "{entry}");
                if frame.undone > 0 {
                    let _ = write!(text, "u{}", frame.undone);
                }
                if index > 0 {
                    let _ = write!(text, "i{index}");
                }
                if again > 0 {
                    let _ = write!(text, "a{again}");
                }
                if pass > 0 {
                    let _ = write!(text, "r{pass}");
                }
            }
        }
        if any { text } else { String::new() }
    }

    /// What the variables hold that the places around a task bring, the outermost first: of a `catch` its error, of a
    /// loop its item and index.
    pub(crate) fn scoped(&self, strand: usize, depth: usize) -> Vec<Cow<'_, Json>> {
        let mut found = Vec::new();
        for place in self.line(strand).unwrap_or_default() {
            let Some(of) = self.strands.get(place) else { continue };
            let last = if place == strand { depth } else { of.frames.len().saturating_sub(1) };
            for (frame, inner) in of.frames.iter().zip(of.frames.iter().skip(1)).take(last) {
                match inner.block {
                    Block::Catch => found.push(Cow::Owned(frame.error.as_ref().map_or(Json::Null, Fault::to_json))),
                    Block::For | Block::Foreach => {
                        let turns = frame.turns.as_deref();
                        // A `foreach` keeps no event but the present one.
                        let at = |turns: &Turns| if inner.block == Block::For { turns.index } else { 0 };
                        let item = turns.and_then(|turns| turns.items.get(at(turns)));
                        found.push(item.map_or(Cow::Owned(Json::Null), Cow::Borrowed));
                        found.push(Cow::Owned(Json::from(turns.map_or(0, |turns| turns.index))));
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// The bytes it takes as JSON.
    pub fn bytes(&self) -> usize {
        bytes(self)
    }
}

/// The list of a task that a block runs.
fn inner_list(kind: &TaskKind, block: Block) -> Option<&[Task]> {
    match (kind, block) {
        (TaskKind::Do(tasks), Block::Do) | (TaskKind::Function { tasks, .. }, Block::Function) => Some(tasks),
        (TaskKind::Try(guarded), Block::Try) => Some(&guarded.tasks),
        (TaskKind::Try(guarded), Block::Catch) => Some(&guarded.handler),
        (TaskKind::For(of), Block::For) => Some(&of.tasks),
        (TaskKind::Listen(listen), Block::Foreach) => listen.foreach.as_ref().map(|each| each.tasks.as_slice()),
        _ => None,
    }
}
