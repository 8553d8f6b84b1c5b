//! The interpreter of workflows: `step(given, memory, input)` is the whole machine.
//!
//! Data flows as the DSL says: the raw input of a task passes `input.from`, what the task gives
//! passes `output.as` and becomes the raw input of the next one, `export.as` gives the new context.
//! Where the DSL leaves a choice, this one is made:
//! - A task that `if` skips hands its raw input on and its `then` is not followed.
//! - `end` inside nested lists completes the lists around it, with their `output.as` and `export.as`.
//! - A `try` whose error was caught, and that has neither `catch.do` nor `retry`, gives its input. With
//!   `retry` and without `catch.do`, the error goes on outwards once the passes are used up: nothing
//!   is swallowed that was meant to succeed.

mod catch;
mod eval;
pub mod memory;
#[cfg(test)]
mod tests;

use crate::fault::{Fault, Standard};
use andon_contract::expr::Lookup;
use andon_contract::workflow::{Case, Definition, Emit, ErrorMapping, Task, TaskKind, Then};
use andon_model::{Event, EventId, Schemas, Time};
use andon_store::rows::RunRow;
use eval::Scene;
use memory::{Block, Frame, MEMORY_MAX_BYTES, Memory, Waiting};
use serde_json::Value as Json;

/// Tasks entered in one step at most; then other runs get their turn.
pub const STEP_TASKS_MAX: u32 = 1_000;
/// Entries of one task in one pass of its list at most: a loop by `then` that goes on longer faults the run.
pub const ENTRIES_MAX: u32 = 10_000;
/// Tasks of one run at most, whatever its loops look like.
pub const TASKS_MAX: u32 = 100_000;

/// What a step may look at beside the memory of the run.
pub struct Given<'a> {
    /// The definition pinned to the run.
    pub definition: &'a Definition,
    /// The run's row: its id, site, input and story.
    pub run: &'a RunRow,
    /// The schemas pinned to the run.
    pub schemas: &'a Schemas,
    /// The names of other systems.
    pub lookup: &'a dyn Lookup,
    /// The present time.
    pub now: Time,
}

/// What makes a run go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// It is its turn: at its start, after a step that used up its tasks, or because a time has come.
    Turn,
    /// What its call gave, with a note where nothing was done.
    Called(Result<(Json, Option<String>), Fault>),
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A task completed.
    Task(Done),
    /// An event was emitted.
    Emit(Box<Event>),
    /// A capability is to be called; the run waits for its result.
    Call(MakeCall),
    /// The run waits for a time.
    Wait(Time),
    /// The run completed with this output.
    Complete(Json),
    /// The run faulted with this error; its memory still stands at the task it came from.
    Fault(Fault),
}

/// A completed task.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its JSON pointer.
    pub pointer: String,
    /// The path of entries by `then` and passes of `retry`; empty for the first.
    pub iteration: String,
    /// Its output after `output.as`.
    pub output: Json,
    /// The context after `export.as`.
    pub context: Json,
    /// The pointer of the next task of its list.
    pub next: Option<String>,
    /// In words, where nothing was done.
    pub note: Option<String>,
}

/// A call to make.
#[derive(Debug, Clone, PartialEq)]
pub struct MakeCall {
    /// The task's JSON pointer.
    pub pointer: String,
    /// The path of entries without passes of `retry`.
    pub iteration: String,
    /// Whether a pass of `retry` may have made the same call before.
    pub repeated: bool,
    /// The capability.
    pub capability: String,
    /// Its input.
    pub input: Json,
}

/// Goes on with a run until it waits, ends or has had its turn, and says what is to be done.
/// The same arguments give the same actions. `memory` must be stored together with what they say.
pub fn step(given: &Given<'_>, memory: &mut Memory, input: Input) -> Vec<Action> {
    let mut machine = Machine { given, memory, actions: Vec::new() };
    machine.take(input);
    let mut left = STEP_TASKS_MAX;
    while machine.memory.waiting == Waiting::Nothing && left > 0 {
        machine.enter();
        left -= 1;
    }
    machine.bound();
    machine.actions
}

struct Machine<'a> {
    given: &'a Given<'a>,
    memory: &'a mut Memory,
    actions: Vec<Action>,
}

/// A memory that was not made by this definition; says so instead of guessing.
fn stranger() -> Fault {
    Fault::of(Standard::Runtime, "the stored memory of the run does not fit its definition")
}

impl<'a> Machine<'a> {
    fn take(&mut self, input: Input) {
        match (self.memory.waiting, input) {
            (Waiting::Start, _) => self.start(),
            (Waiting::Call, Input::Called(Ok((output, note)))) => {
                self.memory.waiting = Waiting::Nothing;
                self.finish(output, None, note);
            }
            (Waiting::Call, Input::Called(Err(fault))) => {
                self.memory.waiting = Waiting::Nothing;
                self.raise(fault);
            }
            (Waiting::Until(until), _) if until <= self.given.now => {
                self.memory.waiting = Waiting::Nothing;
                let input = self.memory.frames.last().map(|frame| frame.input().clone());
                self.finish(input.unwrap_or(Json::Null), None, None);
            }
            (Waiting::Retry(until), _) if until <= self.given.now => self.guard(),
            (Waiting::Until(until) | Waiting::Retry(until), _) => self.actions.push(Action::Wait(until)),
            (Waiting::Nothing | Waiting::Call | Waiting::Ended, _) => {}
        }
    }

    fn start(&mut self) {
        let raw = &self.given.run.input;
        let input = match &self.given.definition.input {
            Some(from) => Scene::workflow(self.given, self.memory).map(from, raw),
            None => Ok(raw.clone()),
        };
        match input {
            Ok(input) => {
                self.memory.frames = vec![Frame::new(Block::Root, input, self.given.now)];
                self.memory.waiting = Waiting::Nothing;
            }
            Err(fault) => self.fault(fault.at("/input/from")),
        }
    }

    /// The innermost frame; there is one whenever the run waits for nothing.
    fn top(&mut self) -> Option<&mut Frame> {
        self.memory.frames.last_mut()
    }

    fn depth(&self) -> usize {
        self.memory.frames.len().saturating_sub(1)
    }

    fn scene(&self) -> Scene<'_> {
        Scene::task(self.given, self.memory, self.depth())
    }

    /// Enters the current task of the innermost list, or leaves the list when it has no more.
    fn enter(&mut self) {
        let Some(list) = self.memory.list(self.given.definition) else { return self.fault(stranger()) };
        let now = self.given.now;
        let Some(frame) = self.memory.frames.last_mut() else { return self.fault(stranger()) };
        let Some(task) = list.get(frame.at) else {
            // Only an empty list has no task to enter: it gives its input.
            let raw = std::mem::take(&mut frame.raw);
            return self.leave(raw, None);
        };
        let before = frame.enter();
        frame.input = None;
        frame.started = now;
        frame.pass = 0;
        frame.error = None;
        self.memory.tasks = self.memory.tasks.saturating_add(1);
        if before >= ENTRIES_MAX || self.memory.tasks > TASKS_MAX {
            let limit = if before >= ENTRIES_MAX { ENTRIES_MAX } else { TASKS_MAX };
            let text = format!("`{}` was entered again and again: more than {limit} entries end the run", task.name);
            // A loop that does not end must not be caught by a `try` inside it and go on.
            return self.fault(Fault::of(Standard::Runtime, text).at(&task.pointer));
        }
        if let Err(fault) = self.execute(task) {
            self.raise(fault);
        }
    }

    fn execute(&mut self, task: &'a Task) -> Result<(), Fault> {
        let raw = &self.memory.frames.last().ok_or_else(stranger)?.raw;
        if let Some(from) = &task.input {
            let input = self.scene().map(from, raw)?;
            self.top().ok_or_else(stranger)?.input = Some(input);
        }
        let input = self.memory.frames.last().ok_or_else(stranger)?.input();
        let scene = self.scene();
        if let Some(condition) = &task.condition
            && !scene.holds(condition, input)?
        {
            self.skip();
            return Ok(());
        }
        match &task.kind {
            TaskKind::Do(_) => self.push(Block::Do),
            TaskKind::Try(_) => self.guard(),
            TaskKind::Set(mapping) => {
                let output = scene.map(mapping, input)?;
                self.finish(output, None, None);
            }
            TaskKind::Switch(cases) => {
                let then = choose(&scene, cases, input)?;
                let output = input.clone();
                self.finish(output, then, None);
            }
            TaskKind::Call { capability, with } => {
                let input = match with {
                    Some(with) => scene.map(with, input)?,
                    None => input.clone(),
                };
                let iteration = self.memory.key_iteration(self.depth());
                self.actions.push(Action::Call(MakeCall {
                    pointer: task.pointer.clone(),
                    repeated: iteration != self.memory.iteration(self.depth()),
                    iteration,
                    capability: capability.clone(),
                    input,
                }));
                self.memory.waiting = Waiting::Call;
            }
            TaskKind::Emit(emit) => {
                let event = self.event(task, emit, input)?;
                let output = event.to_json(None);
                self.actions.push(Action::Emit(Box::new(event)));
                self.finish(output, None, None);
            }
            TaskKind::Wait(span) => {
                let until = self.given.now.plus(*span);
                self.actions.push(Action::Wait(until));
                self.memory.waiting = Waiting::Until(until);
            }
            TaskKind::Raise(error) => return Err(raised(&scene, error, input)?),
        }
        Ok(())
    }

    /// Begins the list of the current task with the task's input.
    fn push(&mut self, block: Block) {
        let now = self.given.now;
        let Some(frame) = self.memory.frames.last() else { return self.fault(stranger()) };
        let raw = frame.input().clone();
        self.memory.frames.push(Frame::new(block, raw, now));
    }

    /// Begins the next pass of the current `try`.
    fn guard(&mut self) {
        self.memory.waiting = Waiting::Nothing;
        self.push(Block::Try);
    }

    /// `if` said no: the raw input goes on to the next task of the list.
    fn skip(&mut self) {
        let Some(frame) = self.top() else { return self.fault(stranger()) };
        let raw = frame.raw.clone();
        self.go(raw, &Then::Continue, Some("skipped: its `if` is not true".to_owned()));
    }

    /// The current task gave `raw`: transforms it and goes where `then`, or the task, says.
    fn finish(&mut self, raw: Json, then: Option<&Then>, note: Option<String>) {
        let Some(task) = self.memory.task(self.given.definition) else { return self.fault(stranger()) };
        match self.transform(task, raw) {
            Ok(output) => self.go(output, then.unwrap_or(&task.then), note),
            Err(fault) => self.raise(fault),
        }
    }

    /// `output.as`, then `export.as`.
    fn transform(&mut self, task: &Task, raw: Json) -> Result<Json, Fault> {
        let output = match &task.output {
            Some(mapping) => self.scene().after(&raw).map(mapping, &raw)?,
            None if task.export.is_none() => return Ok(raw),
            None => raw.clone(),
        };
        if let Some(export) = &task.export {
            let context = self.scene().after(&raw).with_output(&output).map(export, &output)?;
            self.memory.context = context;
        }
        Ok(output)
    }

    /// Notes the current task as completed and goes on in its list, or leaves it.
    fn go(&mut self, output: Json, then: &Then, note: Option<String>) {
        let Some(list) = self.memory.list(self.given.definition) else { return self.fault(stranger()) };
        let depth = self.depth();
        let iteration = self.memory.iteration(depth);
        let Some(frame) = self.memory.frames.last_mut() else { return self.fault(stranger()) };
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
        self.actions.push(Action::Task(Done {
            pointer: task.pointer.clone(),
            iteration,
            output: output.clone(),
            context: self.memory.context.clone(),
            next: next.map(|(_, task)| task.pointer.clone()),
            note,
        }));
        if let Some((at, _)) = next {
            frame.at = at;
            frame.raw = output;
            frame.input = None;
        } else {
            let end = (*then == Then::End).then_some(&Then::End);
            self.leave(output, end);
        }
    }

    /// The innermost list gave `output`; with `end`, so do all around it.
    fn leave(&mut self, output: Json, end: Option<&Then>) {
        self.memory.frames.pop();
        if !self.memory.frames.is_empty() {
            return self.finish(output, end, None);
        }
        let output = match &self.given.definition.output {
            Some(mapping) => Scene::workflow(self.given, self.memory).map(mapping, &output),
            None => Ok(output),
        };
        match output {
            Ok(output) => {
                self.memory.waiting = Waiting::Ended;
                self.actions.push(Action::Complete(output));
            }
            Err(fault) => self.fault(fault.at("/output/as")),
        }
    }

    fn event(&self, task: &Task, emit: &Emit, input: &Json) -> Result<Event, Fault> {
        let (run, now, scene) = (self.given.run, self.given.now, self.scene());
        let cause = run.input.get(0);
        let of_cause = |name: &str| cause.and_then(|event| event.get(name)).and_then(Json::as_str).map(str::to_owned);
        let subject = emit.subject.as_ref().map(|text| scene.text(text, input, "subject")).transpose()?;
        let key = subject.clone().or_else(|| of_cause("partitionkey"));
        let subject = subject.or_else(|| of_cause("subject")).unwrap_or_else(|| run.site.as_str().to_owned());
        let iteration = self.memory.iteration(self.depth());
        let id = run.id.to_string();
        let id = EventId::derived(&[b"emit", id.as_bytes(), task.pointer.as_bytes(), iteration.as_bytes()]);
        let event = Event {
            id,
            kind: emit.kind.clone(),
            source: format!("/{}/workflows/{}", run.site, run.workflow),
            time: now,
            key: key.unwrap_or_else(|| subject.clone()),
            subject,
            schema: schema_of(&emit.kind, self.given.schemas)?,
            site: run.site.clone(),
            correlation: run.correlation.unwrap_or(id),
            causation: Some(run.id.to_string()),
            recorded: now,
            data: scene.map(&emit.data, input)?,
        };
        self.given
            .schemas
            .check_event(&event)
            .map_err(|e| Fault::of(Standard::Validation, format!("the event {} {e}", emit.kind)))?;
        Ok(event)
    }

    /// Ends the run. Its frames stay, so that a person can let it go on where it stands.
    fn fault(&mut self, fault: Fault) {
        self.memory.waiting = Waiting::Ended;
        self.actions.push(Action::Fault(fault));
    }

    /// A run whose memory has grown too big ends here, before it is stored.
    fn bound(&mut self) {
        if self.memory.waiting == Waiting::Ended {
            return;
        }
        let bytes = self.memory.bytes();
        if bytes <= MEMORY_MAX_BYTES {
            return;
        }
        let pointer = self.memory.task(self.given.definition).map(|task| task.pointer.clone());
        *self.memory = Memory { tasks: self.memory.tasks, ..Memory::default() };
        self.actions.retain(|action| !matches!(action, Action::Call(_) | Action::Wait(_)));
        let text = format!(
            "what the run would have to remember takes {bytes} bytes, and {MEMORY_MAX_BYTES} are allowed; \
             keep less in outputs and context, for example by `output.as`"
        );
        self.fault(Fault::of(Standard::Runtime, text).at(pointer.as_deref().unwrap_or("/do")));
    }
}

/// Where the first case that holds leads; `None`: no case holds and the task's own `then` counts.
fn choose<'c>(scene: &Scene<'_>, cases: &'c [Case], input: &Json) -> Result<Option<&'c Then>, Fault> {
    for case in cases {
        let holds = case.when.as_ref().map_or(Ok(true), |when| scene.holds(when, input))?;
        if holds {
            return Ok(Some(&case.then));
        }
    }
    Ok(None)
}

/// The error that a `raise` task describes.
fn raised(scene: &Scene<'_>, error: &ErrorMapping, input: &Json) -> Result<Fault, Fault> {
    let status = scene.map(&error.status, input)?;
    let number = status.as_u64().or_else(|| status.as_str()?.trim().parse().ok()).and_then(|n| u16::try_from(n).ok());
    Ok(Fault {
        kind: scene.text(&error.kind, input, "type")?,
        status: number.ok_or_else(|| {
            Fault::of(Standard::Expression, format!("`status` must be a number from 0 to 65535, it is {status}"))
        })?,
        title: error.title.as_ref().map(|text| scene.text(text, input, "title")).transpose()?,
        detail: error.detail.as_ref().map(|text| scene.text(text, input, "detail")).transpose()?,
        instance: None,
    })
}

/// The schema of an event type: later majors of a type end in `.v2`.
fn schema_of(kind: &str, schemas: &Schemas) -> Result<String, Fault> {
    let (name, major) = match kind.rsplit_once(".v") {
        Some((name, major)) if major.parse::<u32>().is_ok() => (name, major),
        _ => (kind, "1"),
    };
    schemas
        .full_name(&format!("{name}/{major}"))
        .ok_or_else(|| Fault::of(Standard::Validation, format!("there is no schema for events of the type {kind}")))
}
