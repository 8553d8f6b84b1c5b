//! What has been done is undone: the compensations of completed tasks run one after the other, the last completed
//! first.
//!
//! A completed task with `metadata.compensate` is noted in the *ledger*. Its compensation begins when a branch of a
//! `fork` that competes has lost, when a fault that nothing caught ends a run that says so, or when a person cancels
//! the run and asks for it. Compensations run in a strand of their own beside the others, one at a time, as tasks of
//! the same journal: what they have done is done once, whatever crashes. One that fails is told, and the others go on.

use super::memory::{Block, Frame, Memory, Phase, Strand};
use super::{Action, Called, Done, Input, Machine, stranger};
use crate::fault::{Fault, Standard};
use andon_contract::workflow::{Definition, Task, TaskKind};
use andon_model::{Key, RunId};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Tasks that were undone and that a run remembers in case a block is entered again for which it was not made.
const TURNED_MAX: usize = 1_000;

/// What a run has to remember of what it has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, stored by its name")]
pub(crate) struct Ledger {
    /// Completed tasks that something undoes, in the order of completion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    done: Vec<Undo>,
    /// Those that are to be undone, the next one last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undo: Vec<Undo>,
    /// The one that is being undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<Undo>,
    /// What was given up while it was under way, and may turn out to be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owed: Vec<Owed>,
    /// How the run ends once everything is undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    /// The strand whose error has ended the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) faulted: Option<usize>,
    /// The call, or the run, whose error that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Awaited>,
    /// Whether people were told of something about the run that its end settles.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) told: bool,
    /// Whether the run went over to another definition after it had faulted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) migrated: bool,
    /// Whether the run has gone on after it had faulted: the task it came from may have made its call before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) taken_up: bool,
    /// Tasks inside a block that may be entered again that were undone, or are to be: done again they are others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turned: Vec<Turned>,
    /// Whether there were more of them than are remembered: then the block is not entered again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) forgot: bool,
}

/// A task that was undone, or is to be, and may be done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Turned {
    pointer: String,
    /// Its iteration without passes and without how often the task itself was undone.
    iteration: String,
    times: u32,
}

/// A completed task that something undoes. Its input and output stand in its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Its JSON pointer.
    pub pointer: String,
    /// Its iteration.
    pub iteration: String,
    /// Tasks that the run had entered when it completed.
    number: u32,
}

/// A task that was given up while its call, or the run it waited for, was under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Owed {
    of: Awaited,
    pointer: String,
    iteration: String,
    input: Json,
    /// Whether it is undone at once if it turns out to be done.
    undo: bool,
}

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Awaited {
    /// A call.
    Call(Key),
    /// A run.
    Run(RunId),
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Complete(Json),
    Fault(Fault),
    Cancel,
}

impl Ledger {
    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the run only undoes what it has done.
    pub(super) fn ends(&self) -> bool {
        self.end.is_some()
    }

    /// Whether something is being undone, or will be, or came to its end after it was given up.
    pub(super) fn is_turning_back(&self) -> bool {
        self.ends() || self.current.is_some() || !self.undo.is_empty() || !self.owed.is_empty()
    }

    /// Whether a compensation can begin, or the run end.
    fn can_go_on(&self) -> bool {
        self.current.is_none() && (!self.undo.is_empty() || (self.ends() && !self.waits()))
    }

    /// Whether something that was given up must come to its end before the run may.
    fn waits(&self) -> bool {
        self.owed.iter().any(|owed| owed.undo)
    }

    fn note(&mut self, undo: Undo, at_once: bool) {
        // A task repeated by `retry` has done the same thing again, not a second one.
        let same = |other: &Undo| {
            other.pointer == undo.pointer && without_passes(&other.iteration) == without_passes(&undo.iteration)
        };
        self.done.retain(|other| !same(other));
        if at_once { self.undo.push(undo) } else { self.done.push(undo) }
    }

    /// Moves what is chosen to what is to be undone, the last completed on top.
    fn turn_back(&mut self, chosen: impl Fn(&Undo) -> bool) {
        self.undo.extend(self.done.extract_if(.., |undo| chosen(undo)));
        self.undo.sort_by_key(|undo| undo.number);
    }

    /// What stays when the rest of a memory has grown too big.
    pub(super) fn rescued(&mut self) -> Self {
        let (done, undo) = (std::mem::take(&mut self.done), std::mem::take(&mut self.undo));
        Self { done, undo, told: self.told, ..Self::default() }
    }
}

/// An iteration without passes of `retry`, and without how often the run was taken up there.
pub(super) fn without_passes(iteration: &str) -> String {
    joined(&iteration.split('/').map(|part| part.split(['a', 'r']).next().unwrap_or(part)).collect::<Vec<_>>())
}

/// The same without how often the task itself was undone.
fn as_at_first(iteration: &str) -> String {
    let without = without_passes(iteration);
    let mut parts: Vec<&str> = without.split('/').collect();
    if let Some(last) = parts.last_mut() {
        *last = last.split('u').next().unwrap_or(last);
    }
    joined(&parts)
}

fn joined(parts: &[&str]) -> String {
    if parts.iter().all(|part| matches!(*part, "0" | "")) { String::new() } else { parts.join("/") }
}

impl Memory {
    /// Whether a strand belongs to a compensation.
    pub(super) fn undoes(&self, strand: usize) -> bool {
        let root = self.line(strand).and_then(|line| self.strands.get(*line.first()?));
        root.and_then(|root| root.frames.first()).is_some_and(|frame| frame.block == Block::Undo)
    }

    /// Whether a strand goes on at all: once the run only undoes, no other does.
    pub(super) fn is_live(&self, strand: usize) -> bool {
        !self.ledger.ends() || self.undoes(strand)
    }

    /// Whether a compensation, or the end, is due.
    pub(super) fn turns_back(&self) -> bool {
        self.ledger.can_go_on()
    }

    /// The list that undoes the present task of the ledger.
    pub(super) fn undo_list<'d>(&self, definition: &'d Definition) -> Option<&'d [Task]> {
        let current = self.ledger.current.as_ref()?;
        Some(find(&definition.tasks, &current.pointer)?.compensate.as_slice())
    }

    /// The calls that were given up while they were under way, and whose end still counts.
    pub fn owed_calls(&self) -> impl Iterator<Item = &Key> {
        self.ledger.owed.iter().filter_map(|owed| match &owed.of {
            Awaited::Call(key) => Some(key),
            Awaited::Run(_) => None,
        })
    }

    /// The runs that were given up while they were under way, and whose end still counts.
    pub fn owed_runs(&self) -> impl Iterator<Item = RunId> {
        self.ledger.owed.iter().filter_map(|owed| match &owed.of {
            Awaited::Run(run) => Some(*run),
            Awaited::Call(_) => None,
        })
    }
}

/// The task of a pointer, wherever it stands.
pub(super) fn find<'d>(tasks: &'d [Task], pointer: &str) -> Option<&'d Task> {
    way_to(tasks, pointer).pop()
}

/// The tasks around the task of a pointer, the outermost first, and the task itself; empty: there is none.
fn way_to<'d>(tasks: &'d [Task], pointer: &str) -> Vec<&'d Task> {
    let mut way = Vec::new();
    let mut inside: [&[Task]; 2] = [tasks, &[]];
    loop {
        let around = |task: &&Task| {
            pointer.strip_prefix(task.pointer.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Some(task) = inside.into_iter().flatten().find(around) else { return Vec::new() };
        way.push(task);
        if task.pointer == pointer {
            return way;
        }
        inside = match &task.kind {
            TaskKind::Do(tasks) | TaskKind::Function { tasks, .. } => [tasks, &[]],
            TaskKind::For(of) => [&of.tasks, &[]],
            TaskKind::Fork { branches, .. } => [branches, &[]],
            TaskKind::Try(guarded) => [&guarded.tasks, &guarded.handler],
            TaskKind::Listen(listen) => [listen.foreach.as_ref().map_or(&[][..], |each| &each.tasks), &[]],
            _ => return Vec::new(),
        };
    }
}

/// Whether a task repeats what stands in it.
fn repeats(task: &Task) -> bool {
    matches!(&task.kind, TaskKind::Try(guarded) if guarded.retry.is_some())
}

impl Machine<'_> {
    /// The current task has completed and something undoes it.
    pub(super) fn note_done(&mut self, task: &Task) {
        if self.memory.undoes(self.strand) {
            return;
        }
        let number = self.memory.tasks;
        let undo = Undo { pointer: task.pointer.clone(), iteration: self.iteration(), number };
        self.memory.ledger.note(undo, false);
    }

    /// The tasks of the branches at the chosen places, with what the run had entered when they began.
    pub(super) fn branches(&self, chosen: impl Fn(usize) -> bool) -> Vec<(String, u32)> {
        let (memory, definition) = (&*self.memory, self.given.definition);
        memory
            .strands
            .iter()
            .enumerate()
            .filter(|(place, _)| chosen(*place))
            .filter_map(|(place, strand)| {
                let root = memory.list_of(definition, place, 0)?.first()?;
                Some((root.pointer.clone(), strand.of?.since))
            })
            .collect()
    }

    /// These branches of a `fork` have lost: what they have completed is undone.
    pub(super) fn undo_branches(&mut self, lost: &[(String, u32)]) {
        let within = |pointer: &str| {
            lost.iter().find(|(root, _)| {
                pointer.strip_prefix(root.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let chosen = |undo: &Undo| within(&undo.pointer).is_some_and(|(_, since)| undo.number >= *since);
        let turned: Vec<Undo> = self.memory.ledger.done.iter().filter(|undo| chosen(undo)).cloned().collect();
        self.memory.ledger.turn_back(chosen);
        for undo in &turned {
            self.note_turned(undo);
        }
        for owed in &mut self.memory.ledger.owed {
            owed.undo |= within(&owed.pointer).is_some();
        }
    }

    /// What a strand waits for is given up; where something would have to undo it, its end still counts.
    pub(super) fn owe(&mut self, place: usize, of: Awaited) {
        let Some(depth) = self.memory.strands.get(place).and_then(|strand| strand.frames.len().checked_sub(1)) else {
            return;
        };
        let Some(task) = self.memory.task_of(self.given.definition, place, depth) else { return };
        if task.compensate.is_empty() || self.memory.undoes(place) {
            return;
        }
        let (pointer, iteration) = (task.pointer.clone(), self.memory.iteration(place, depth));
        let frame = self.memory.strands.get(place).and_then(|strand| strand.frames.last());
        let input = frame.map_or(Json::Null, |frame| frame.input().clone());
        // A task repeated by `retry` is owed once, and comes to its end once.
        self.forgive(&of);
        self.memory.ledger.owed.push(Owed { of, pointer, iteration, input, undo: false });
    }

    /// What was given up has come to its end: if it is done, it counts as completed.
    pub(super) fn settle_owed(&mut self, of: &Awaited, result: Result<(Json, Option<String>), Fault>) {
        let ledger = &mut self.memory.ledger;
        let Some(place) = ledger.owed.iter().position(|owed| owed.of == *of) else { return };
        let owed = ledger.owed.remove(place);
        let Ok((output, None)) = result else { return };
        let undo = Undo { pointer: owed.pointer, iteration: owed.iteration, number: self.memory.tasks };
        self.actions.push(Action::Task(Done {
            pointer: undo.pointer.clone(),
            iteration: undo.iteration.clone(),
            input: Some(owed.input),
            output,
            context: self.memory.context.clone(),
            next: None,
            note: Some("completed after the run had gone on without it".to_owned()),
        }));
        if owed.undo {
            self.note_turned(&undo);
        }
        self.memory.ledger.note(undo, owed.undo);
    }

    /// A task is undone while the run goes on: where it can be entered again, by `retry` or because somebody takes the
    /// run up at what stands around it, it is then another one, whose call, or run, has not been made yet.
    fn note_turned(&mut self, undo: &Undo) {
        let way = way_to(&self.given.definition.tasks, &undo.pointer);
        if way.len() < 2 {
            return;
        }
        if !way.into_iter().any(repeats) && self.memory.ledger.turned.len() >= TURNED_MAX {
            self.memory.ledger.forgot = true;
            return;
        }
        let (pointer, iteration) = (undo.pointer.clone(), as_at_first(&undo.iteration));
        let turned = &mut self.memory.ledger.turned;
        match turned.iter_mut().find(|turned| turned.pointer == pointer && turned.iteration == iteration) {
            Some(turned) => turned.times = turned.times.saturating_add(1),
            None => turned.push(Turned { pointer, iteration, times: 1 }),
        }
    }

    /// A task of the run's own list has completed: what was undone inside it is not entered again.
    pub(super) fn forget_turned(&mut self) {
        self.memory.ledger.turned.clear();
        self.memory.ledger.forgot = false;
    }

    /// How often the current task, which has just been entered, was undone before.
    pub(super) fn count_turned(&mut self, task: &Task) {
        if self.memory.ledger.turned.is_empty() {
            return;
        }
        // A run that was taken up may enter the same entry again.
        if !self.memory.ledger.taken_up
            && repeats(task)
            && way_to(&self.given.definition.tasks, &task.pointer).into_iter().filter(|t| repeats(t)).count() == 1
        {
            // What was undone in earlier entries is not entered again.
            let inside = |pointer: &str| pointer.strip_prefix(&task.pointer).is_some_and(|rest| rest.starts_with('/'));
            self.memory.ledger.turned.retain(|turned| !inside(&turned.pointer));
        }
        let iteration = self.memory.key_iteration(self.strand, self.depth());
        let turned = self.memory.ledger.turned.iter();
        let times =
            turned.filter(|of| of.pointer == task.pointer && of.iteration == iteration).map(|of| of.times).next();
        if let (Some(times), Some(frame)) = (times, self.top()) {
            frame.undone = times;
        }
    }

    /// What a strand waits for again is no longer owed.
    pub(super) fn forgive(&mut self, of: &Awaited) {
        self.memory.ledger.owed.retain(|owed| owed.of != *of);
    }

    /// A person, or the run that had started this one, wants it to end.
    pub(super) fn cancel(&mut self, compensate: bool) {
        match self.memory.phase {
            Phase::Ended => {}
            Phase::Start => {
                self.memory.phase = Phase::Ended;
                self.actions.push(Action::Cancelled);
            }
            Phase::Going => self.turn_back(End::Cancel, compensate),
        }
    }

    /// An error has ended the run: at once, or after what is to be undone.
    pub(super) fn end_by_fault(&mut self, fault: Fault) {
        self.memory.ledger.faulted = Some(self.strand);
        let here = self.task().map(|task| task.pointer.as_str());
        let is_here = here.is_some() && here == fault.instance.as_deref();
        self.memory.ledger.cause = self.blamed.take().filter(|_| is_here);
        if self.memory.ledger.ends() {
            // Only a memory that does not fit its definition fails while it undoes.
            self.memory.phase = Phase::Ended;
            self.actions.push(Action::Fault(fault));
        } else if self.given.definition.settings.compensate && self.memory.phase == Phase::Going {
            (self.memory.ledger.faulted, self.memory.ledger.cause) = (None, None);
            self.turn_back(End::Fault(fault), true);
        } else if self.memory.ledger.current.is_some() || self.memory.ledger.waits() || self.memory.turns_back() {
            self.memory.ledger.end = Some(End::Fault(fault));
        } else {
            self.memory.phase = Phase::Ended;
            self.actions.push(Action::Fault(fault));
        }
    }

    /// The run's own list gave its output.
    pub(super) fn end_complete(&mut self, output: Json) {
        self.memory.ledger.end = Some(End::Complete(output));
    }

    /// Everything but what is being undone is given up, and the run ends once all is undone.
    fn turn_back(&mut self, end: End, compensate: bool) {
        let gone: Vec<bool> = (0..self.memory.strands.len()).map(|place| !self.memory.undoes(place)).collect();
        self.remove(&gone);
        if compensate {
            self.memory.ledger.turn_back(|_| true);
            self.memory.ledger.owed.iter_mut().for_each(|owed| owed.undo = true);
        }
        self.memory.ledger.done.clear();
        self.memory.ledger.owed.retain(|owed| owed.undo);
        self.memory.ledger.end = Some(end);
    }

    /// Begins the next compensation, or ends the run when there is none and it was to end.
    pub(super) fn settle_ledger(&mut self) {
        while self.memory.phase == Phase::Going && self.memory.turns_back() {
            if let Some(undo) = self.memory.ledger.undo.pop() {
                self.begin_undo(undo);
                continue;
            }
            let Some(end) = self.memory.ledger.end.take() else { return };
            self.memory.phase = Phase::Ended;
            self.actions.push(match end {
                End::Complete(output) => Action::Complete(output),
                End::Fault(fault) => Action::Fault(fault),
                End::Cancel => Action::Cancelled,
            });
        }
    }

    fn begin_undo(&mut self, undo: Undo) {
        let here = self.actions.iter().find_map(|action| match action {
            Action::Task(done) if done.pointer == undo.pointer && done.iteration == undo.iteration => {
                Some(json!({"input": done.input, "output": done.output}))
            }
            _ => None,
        });
        let raw = here.or_else(|| (self.given.journal)(&undo.pointer, &undo.iteration));
        let Some(raw) = raw else {
            let text = "what the task had done does not stand in the journal";
            return self.actions.push(Action::NotUndone(undo, Fault::of(Standard::Runtime, text)));
        };
        self.memory.ledger.current = Some(undo);
        let frame = Frame::new(Block::Undo, raw, self.given.now);
        self.memory.strands.push(Strand::new(None, frame));
    }

    /// The compensation has come to its end.
    pub(super) fn undone(&mut self) {
        self.memory.ledger.current = None;
        self.drop_out();
    }

    /// A compensation failed: somebody must look, and the others go on.
    pub(super) fn not_undone(&mut self, fault: Fault) {
        let root = self.memory.line(self.strand).and_then(|line| line.first().copied());
        let (Some(root), Some(undo)) = (root, self.memory.ledger.current.take()) else {
            return self.end_by_fault(stranger());
        };
        self.actions.push(Action::NotUndone(undo, fault));
        self.strand = root;
        self.drop_out();
    }
}

impl Input {
    /// What a run gave that a task waits for, or owes.
    pub(super) fn awaited(self) -> Option<(Awaited, Called)> {
        match self {
            Self::Called(key, called) => Some((Awaited::Call(key), called)),
            Self::Ended(run, result) => Some((Awaited::Run(run), result.map(|output| (output, None)))),
            _ => None,
        }
    }
}
