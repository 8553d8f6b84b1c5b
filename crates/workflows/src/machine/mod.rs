//! The interpreter of workflows: `step(given, memory, input)` is the whole machine.
//!
//! Data flows as the DSL says: the raw input of a task passes `input.from`, what the task gives
//! passes `output.as` and becomes the raw input of the next one, `export.as` gives the new context.
//! Where the DSL leaves a choice, this one is made:
//! - A task that `if` skips hands its raw input on and its `then` is not followed.
//! - `end` inside nested lists completes the lists around it, with their `output.as` and `export.as`; in a branch of a
//!   `fork` it ends the branch. `exit` in the list of a `for` ends the loop.
//! - A `try` whose error was caught, and that has neither `catch.do` nor `retry`, gives its input. With
//!   `retry` and without `catch.do`, the error goes on outwards once the passes are used up: nothing
//!   is swallowed that was meant to succeed.
//! - The branches of a `fork` share the context. One that fails ends the `fork` with its error; with `compete` it drops
//!   out, and only the error of the last one counts.
//! - The output of a pass of a `for` is the input of the next; of none, the input is the output.

mod again;
mod catch;
mod emit;
mod eval;
mod fits;
mod flow;
mod fork;
mod http;
pub mod listen;
pub mod memory;
mod stored;
#[cfg(test)]
mod tests;
mod timers;
mod undo;

use crate::fault::{Fault, Standard};
pub use again::{Blamed, TakeUp, reopen, take_up};
use andon_contract::expr::Lookup;
use andon_contract::http::{HTTP, OPENAPI};
use andon_contract::workflow::{Case, Definition, ErrorMapping, RunWorkflow, Task, TaskKind, Then};
use andon_model::{Event, EventId, ExceptionId, Key, Name, RunId, Schemas, Time};
use andon_store::rows::{RunRow, StoredEvent};
use eval::Scene;
pub use fits::fits;
pub use listen::Ask;
use memory::{Block, Frame, MEMORY_MAX_BYTES, Memory, Phase, Strand, Turns, Waiting};
use serde_json::Value as Json;
use undo::Awaited;
pub use undo::Undo;

/// Tasks entered in one step at most; then other runs get their turn.
pub const STEP_TASKS_MAX: u32 = 1_000;
/// Entries of one task in one pass of its list at most: a loop by `then` that goes on longer faults the run.
pub const ENTRIES_MAX: u32 = 10_000;
/// Tasks of one run at most, whatever its loops look like; `metadata.limits.history` may say less.
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
    /// What a completed task of the run had and gave, by its pointer and iteration: `{ input, output }`.
    pub journal: &'a dyn Fn(&str, &str) -> Option<Json>,
    /// The present time.
    pub now: Time,
}

/// What a call gave: its output with a note where nothing was done, or an error.
pub type Called = Result<(Json, Option<String>), Fault>;

/// What makes a run go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// It is its turn: at its start, after a step that used up its tasks, or because a time has come.
    Turn,
    /// Events, in order, and the order number up to which they are all that may be meant.
    Events(Vec<StoredEvent>, u64),
    /// What the call of this key gave. A key that nothing waits for changes nothing.
    Called(Key, Called),
    /// How the run of this id, started by a task, ended; of one that nobody waits for, that it was started.
    Ended(RunId, Result<Json, Fault>),
    /// It is to end; where this is true, what it has done is undone first.
    Cancel(bool),
}

/// What is to be done outside. When the run goes on by itself says [`Memory::wake`].
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A task completed.
    Task(Done),
    /// An event was emitted.
    Emit(Box<Event>),
    /// A capability is to be called; a strand waits for its result.
    Call(MakeCall),
    /// A person is to be asked; a strand waits for the decision.
    Ask(Box<Ask>),
    /// Nobody has decided: the question of this exception passes to this team.
    Escalate(ExceptionId, Name),
    /// Nobody knows whether this event, of this type, is meant, and why; it is passed over.
    Doubt(EventId, String, String),
    /// Nothing waits for the result of this call any more.
    GiveUp(Key),
    /// Another run is to be started; a strand waits for its end, or that it was started.
    Start(StartRun),
    /// Nothing waits for the end of this run any more.
    GiveUpRun(RunId),
    /// A compensation failed with this error: what the task has done is not undone.
    NotUndone(Undo, Fault),
    /// The run ended because it was to end.
    Cancelled,
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
    /// The path of entries by `then`, indexes of `for` and passes of `retry`; empty for the first.
    pub iteration: String,
    /// Its input, where something may have to undo it.
    pub input: Option<Json>,
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
    /// The path of entries and indexes, without passes of `retry`.
    pub iteration: String,
    /// Whether a pass of `retry`, or the run before it faulted, may have made the same call before.
    pub repeated: bool,
    /// Which edit of the call it is; 0: nobody has edited its input.
    pub edit: u32,
    /// The capability.
    pub capability: String,
    /// Its input.
    pub input: Json,
}

/// A run to start.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRun {
    /// Derived from this run, the task and its iteration without passes of `retry`.
    pub id: RunId,
    /// The task's JSON pointer.
    pub pointer: String,
    /// The path of entries and indexes, without passes of `retry`.
    pub iteration: String,
    /// The workflow.
    pub workflow: String,
    /// The version it must have.
    pub version: Option<String>,
    /// Its input.
    pub input: Json,
    /// Whether the strand waits for its end.
    pub wait: bool,
}

/// Goes on with a run until it waits, ends or has had its turn, and says what is to be done.
/// The same arguments give the same actions. `memory` must be stored together with what they say.
pub fn step(given: &Given<'_>, memory: &mut Memory, input: Input) -> Vec<Action> {
    let mut machine = Machine::new(given, memory);
    machine.take(input);
    let mut left = STEP_TASKS_MAX;
    while left > 0 && machine.turn_to_ready() {
        machine.enter();
        left -= 1;
    }
    machine.bound();
    machine.actions
}

struct Machine<'a> {
    given: &'a Given<'a>,
    memory: &'a mut Memory,
    /// The strand that goes on.
    strand: usize,
    actions: Vec<Action>,
    /// The call, or the run, whose error is being raised.
    blamed: Option<Awaited>,
}

/// A memory that was not made by this definition; says so instead of guessing.
fn stranger() -> Fault {
    Fault::of(Standard::Runtime, "the stored memory of the run does not fit its definition")
}

impl<'a> Machine<'a> {
    fn new(given: &'a Given<'a>, memory: &'a mut Memory) -> Self {
        Machine { given, memory, strand: 0, actions: Vec::new(), blamed: None }
    }

    fn take(&mut self, input: Input) {
        match (self.memory.phase, input) {
            (_, Input::Cancel(compensate)) => self.cancel(compensate),
            (Phase::Start, _) => self.start(),
            (Phase::Ended, _) => {}
            (Phase::Going, Input::Turn) => self.ring(),
            (Phase::Going, Input::Events(events, to)) => {
                self.ring();
                self.hear(&events, to);
            }
            (Phase::Going, input) => {
                if let Some((of, result)) = input.awaited() {
                    self.take_result(&of, result);
                }
                self.ring();
            }
        }
    }

    /// What a strand waits for has come to its end, or what was given up has.
    fn take_result(&mut self, of: &Awaited, result: Called) {
        let waiting = self.memory.awaited(self.given.run.id, self.given.definition);
        let Some((strand, _)) = waiting.into_iter().find(|(_, other)| other == of) else {
            return self.settle_owed(of, result);
        };
        self.strand = strand;
        self.set_waiting(Waiting::Nothing);
        self.forgive(of);
        match result {
            Ok((output, note)) => {
                let detached = matches!(self.task().map(|task| &task.kind), Some(TaskKind::Run(run)) if !run.wait);
                let output =
                    if detached { self.frames().last().map(|frame| frame.input().clone()) } else { Some(output) };
                self.finish(output.unwrap_or_default(), None, note);
            }
            Err(fault) => {
                self.blamed = Some(of.clone());
                self.raise(fault);
                self.blamed = None;
            }
        }
    }

    fn start(&mut self) {
        let raw = &self.given.run.input;
        let definition = self.given.definition;
        let scene = Scene::workflow(self.given, self.memory);
        let checked = conforms(definition.schemas.input.as_ref(), raw, "the input of the workflow");
        let input = checked.map_err(|fault| fault.at("/input/schema")).and_then(|()| match &definition.input {
            Some(from) => scene.map(from, raw).map_err(|fault| fault.at("/input/from")),
            None => Ok(raw.clone()),
        });
        let limit = definition.timeout.as_ref().map(|delay| scene.span(delay, raw)).transpose();
        let limit = limit.map_err(|fault| fault.at("/timeout/after"));
        match input.and_then(|input| Ok((input, limit?))) {
            Ok((input, limit)) => {
                let mut frame = Frame::new(Block::Root, input, self.given.now);
                frame.limit = limit.map(|span| self.given.now.plus(span));
                self.memory.strands = vec![Strand::new(None, frame)];
                self.memory.phase = Phase::Going;
            }
            Err(fault) => self.fault(fault),
        }
    }

    /// Turns to the first strand that can go on.
    fn turn_to_ready(&mut self) -> bool {
        self.settle_ledger();
        if self.memory.phase != Phase::Going {
            return false;
        }
        let waits_for_nothing =
            |(place, strand): (usize, &Strand)| strand.waiting == Waiting::Nothing && self.memory.is_live(place);
        let ready = self.memory.strands.iter().enumerate().position(waits_for_nothing);
        self.strand = ready.unwrap_or(0);
        ready.is_some()
    }

    fn set_waiting(&mut self, waiting: Waiting) {
        if let Some(strand) = self.memory.strands.get_mut(self.strand) {
            strand.waiting = waiting;
        }
    }

    fn frames(&self) -> &[Frame] {
        self.memory.strands.get(self.strand).map_or(&[], |strand| strand.frames.as_slice())
    }

    /// The innermost frame of the strand; there is one whenever it waits for nothing.
    fn top(&mut self) -> Option<&mut Frame> {
        self.memory.strands.get_mut(self.strand)?.frames.last_mut()
    }

    fn depth(&self) -> usize {
        self.frames().len().saturating_sub(1)
    }

    fn scene(&self) -> Scene<'_> {
        Scene::task(self.given, self.memory, self.strand, self.depth())
    }

    /// The list the innermost frame runs.
    fn list(&self) -> Option<&'a [Task]> {
        self.memory.list_of(self.given.definition, self.strand, self.depth())
    }

    /// The current task.
    fn task(&self) -> Option<&'a Task> {
        self.memory.task_of(self.given.definition, self.strand, self.depth())
    }

    fn iteration(&self) -> String {
        self.memory.iteration(self.strand, self.depth())
    }

    /// Enters the current task of the innermost list, or leaves the list when it has no more.
    fn enter(&mut self) {
        if self.complete_again() {
            return;
        }
        let Some(list) = self.list() else { return self.fault(stranger()) };
        let now = self.given.now;
        let Some(frame) = self.top() else { return self.fault(stranger()) };
        let Some(task) = list.get(frame.at) else {
            // Only an empty list has no task to enter: it gives its input.
            let raw = std::mem::take(&mut frame.raw);
            return self.leave(raw, &Then::Continue);
        };
        let before = frame.enter(now);
        self.count_turned(task);
        self.memory.tasks = self.memory.tasks.saturating_add(1);
        let most = self.given.definition.settings.history.unwrap_or(TASKS_MAX).min(TASKS_MAX);
        if before >= ENTRIES_MAX || self.memory.tasks > most {
            let limit = if before >= ENTRIES_MAX { ENTRIES_MAX } else { most };
            let text = format!("`{}` was entered again and again: more than {limit} entries end the run", task.name);
            // A loop that does not end must not be caught by a `try` inside it and go on.
            return self.fault(Fault::of(Standard::Runtime, text).at(&task.pointer));
        }
        if let Err(fault) = self.execute(task) {
            self.raise(fault);
        }
    }

    fn execute(&mut self, task: &'a Task) -> Result<(), Fault> {
        let raw = &self.frames().last().ok_or_else(stranger)?.raw;
        conforms(task.schemas.input.as_ref(), raw, "the input of the task")?;
        if let Some(from) = &task.input {
            let input = self.scene().map(from, raw)?;
            self.top().ok_or_else(stranger)?.input = Some(input);
        }
        let input = self.frames().last().ok_or_else(stranger)?.input();
        let scene = self.scene();
        if let Some(condition) = &task.condition
            && !scene.holds(condition, input)?
        {
            self.skip();
            return Ok(());
        }
        if let Some(timeout) = &task.timeout {
            let deadline = self.given.now.plus(scene.span(timeout, input)?);
            self.top().ok_or_else(stranger)?.deadline = Some(deadline);
        }
        let input = self.frames().last().ok_or_else(stranger)?.input();
        let scene = self.scene();
        match &task.kind {
            TaskKind::Do(_) => self.push(Block::Do),
            TaskKind::Try(_) => self.guard()?,
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
                self.call(task, capability.clone(), input);
            }
            TaskKind::Function { with, .. } => {
                let raw = with.as_ref().map(|with| scene.map(with, input)).transpose()?;
                self.push_with(Block::Function, raw);
            }
            TaskKind::Http(call) => {
                let input = http::request(&scene, call, input)?;
                self.call(task, HTTP.to_owned(), input);
            }
            TaskKind::Openapi(call) => {
                let input = http::described(&scene, call, input)?;
                self.call(task, OPENAPI.to_owned(), input);
            }
            TaskKind::Listen(listen) => {
                let input = input.clone();
                self.listen(task, listen, &input)?;
            }
            TaskKind::Run(run) => {
                let input = run.input.as_ref().map_or_else(|| Ok(input.clone()), |with| scene.map(with, input))?;
                self.start_run(task, run, input);
            }
            TaskKind::Emit(emit) => {
                let event = self.event(task, emit, input)?;
                let output = event.to_json(None);
                self.actions.push(Action::Emit(Box::new(event)));
                self.finish(output, None, None);
            }
            TaskKind::For(of) => {
                let items = match scene.eval(&of.list, input)? {
                    Json::Array(items) => items,
                    Json::Null => Vec::new(),
                    other => {
                        let text = format!("`in` must give a list, it gave {}", eval::short(&other));
                        return Err(Fault::of(Standard::Expression, text));
                    }
                };
                let raw = input.clone();
                self.top().ok_or_else(stranger)?.turns = Some(Box::new(Turns { items, index: 0 }));
                self.next_turn(of, raw);
            }
            TaskKind::Fork { branches, .. } => self.fork(branches.len())?,
            TaskKind::Wait(delay) => {
                let until = self.given.now.plus(scene.span(delay, input)?);
                self.set_waiting(Waiting::Until(until));
            }
            TaskKind::Raise(error) => return Err(raised(&scene, error, input)?),
        }
        Ok(())
    }

    /// The current task calls a capability and waits for its result.
    fn call(&mut self, task: &Task, capability: String, input: Json) {
        let iteration = self.memory.key_iteration(self.strand, self.depth());
        self.actions.push(Action::Call(MakeCall {
            pointer: task.pointer.clone(),
            repeated: iteration != self.iteration() || self.memory.ledger.taken_up,
            edit: self.memory.edited(&task.pointer, &iteration),
            iteration,
            capability,
            input,
        }));
        self.set_waiting(Waiting::Call);
    }

    /// The current task starts a run of another workflow.
    fn start_run(&mut self, task: &Task, run: &RunWorkflow, input: Json) {
        let iteration = self.memory.key_iteration(self.strand, self.depth());
        let id = child_id(self.given.run.id, &task.pointer, &iteration);
        self.forgive(&Awaited::Run(id));
        self.actions.push(Action::Start(StartRun {
            id,
            pointer: task.pointer.clone(),
            iteration,
            workflow: run.name.clone(),
            version: run.version.clone(),
            input,
            wait: run.wait,
        }));
        self.set_waiting(Waiting::Run);
    }

    /// Begins the list of the current task with the task's input.
    fn push(&mut self, block: Block) {
        self.push_with(block, None);
    }

    /// Begins the list of the current task with this, or the task's input.
    fn push_with(&mut self, block: Block, raw: Option<Json>) {
        let now = self.given.now;
        let Some(strand) = self.memory.strands.get_mut(self.strand) else { return self.fault(stranger()) };
        let Some(frame) = strand.frames.last() else { return self.fault(stranger()) };
        let raw = raw.unwrap_or_else(|| frame.input().clone());
        strand.frames.push(Frame::new(block, raw, now));
    }

    /// Ends the run. Its strands stay, so that a person can let it go on where it stands.
    fn fault(&mut self, fault: Fault) {
        self.end_by_fault(fault);
    }

    /// A run whose memory has grown too big ends here, before it is stored.
    fn bound(&mut self) {
        if self.memory.phase == Phase::Ended {
            return;
        }
        let bytes = self.memory.bytes();
        if bytes <= MEMORY_MAX_BYTES {
            return;
        }
        let pointer = self.task().map(|task| task.pointer.clone());
        let ledger = self.memory.ledger.rescued();
        *self.memory = Memory { tasks: self.memory.tasks, phase: Phase::Going, ledger, ..Memory::default() };
        self.actions.retain(|action| !matches!(action, Action::Call(_) | Action::Start(_)));
        let text = format!(
            "what the run would have to remember takes {bytes} bytes, and {MEMORY_MAX_BYTES} are allowed; \
             keep less in outputs and context, for example by `output.as`"
        );
        self.fault(Fault::of(Standard::Runtime, text).at(pointer.as_deref().unwrap_or("/do")));
    }
}

/// The id of the run that a task starts.
pub fn child_id(run: RunId, pointer: &str, iteration: &str) -> RunId {
    RunId::derived(&[b"child", run.to_string().as_bytes(), pointer.as_bytes(), iteration.as_bytes()])
}

/// Whether a value is what a schema wants; `what` names it.
fn conforms(schema: Option<&andon_contract::workflow::ValueSchema>, value: &Json, what: &str) -> Result<(), Fault> {
    let Some(schema) = schema else { return Ok(()) };
    schema.check(value).map_err(|why| Fault::of(Standard::Validation, format!("{what} does not fit its schema: {why}")))
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
