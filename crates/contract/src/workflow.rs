//! A workflow after checking: the subset of the Serverless Workflow DSL 1.0.3 that runs, with
//! every expression compiled.

use crate::expr::Program;
use andon_model::span::Span;
use serde_json::Value as Json;

/// A workflow definition.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name: `document.name`, equal to the file's name.
    pub name: String,
    /// Its version as its author counts: `document.version`.
    pub version: String,
    /// Hash of the resolved meaning; a comment changes none.
    pub hash: String,
    /// The document as JSON, for `$workflow.definition`.
    pub document: Json,
    /// The events that start a run; `None`: only started by hand.
    pub schedule: Option<Schedule>,
    /// Filter of the workflow's input: `input.from`.
    pub input: Option<Mapping>,
    /// Filter of the workflow's output: `output.as`.
    pub output: Option<Mapping>,
    /// The tasks, in order.
    pub tasks: Vec<Task>,
}

/// Which events start a run: `schedule.on.one`.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The event's type.
    pub kind: String,
    /// A filter over the event's `data`, compiled without variables; `None`: every event of the type.
    pub data: Option<Program>,
}

/// A JSON value in which every text `${ ... }` is an expression.
#[derive(Debug, Clone)]
pub enum Mapping {
    /// As written.
    Constant(Json),
    /// The result of an expression.
    Expression(Program),
    /// A list.
    List(Vec<Mapping>),
    /// An object, in order.
    Object(Vec<(String, Mapping)>),
}

/// The variables every expression of a workflow may read, in this order; those that have no value
/// at a place are null. Inside a `catch` the variables of the enclosing `catch.as` follow, the
/// outermost first.
pub const VARIABLES: [&str; 6] = ["context", "input", "output", "task", "workflow", "runtime"];

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name, unique in its list.
    pub name: String,
    /// Its JSON pointer in the document: `/do/0/request`.
    pub pointer: String,
    /// Runs only when true: `if`.
    pub condition: Option<Program>,
    /// `input.from`.
    pub input: Option<Mapping>,
    /// `output.as`.
    pub output: Option<Mapping>,
    /// `export.as`: the new context.
    pub export: Option<Mapping>,
    /// Where the flow goes on.
    pub then: Then,
    /// What it does.
    pub kind: TaskKind,
}

/// Where the flow goes on after a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// With the next task of the list.
    Continue,
    /// Behind the list it stands in.
    Exit,
    /// At the end of the workflow.
    End,
    /// At the task of this name in the same list.
    Task(String),
}

/// What a task does.
#[derive(Debug, Clone)]
pub enum TaskKind {
    /// Runs tasks in order.
    Do(Vec<Task>),
    /// Makes a value.
    Set(Mapping),
    /// Chooses where to go: the first case whose condition holds, or has none.
    Switch(Vec<Case>),
    /// Calls a capability.
    Call {
        /// Its name without major.
        capability: String,
        /// Its input; `None`: the task's input.
        with: Option<Mapping>,
    },
    /// Emits a canonical event.
    Emit(Emit),
    /// Waits.
    Wait(Span),
    /// Raises an error.
    Raise(ErrorMapping),
    /// Runs tasks and handles their errors.
    Try(Box<Try>),
}

/// A case of a switch.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// `when`; `None`: always.
    pub when: Option<Program>,
    /// Where to go.
    pub then: Then,
}

/// An event a workflow emits: `emit.event.with`.
#[derive(Debug, Clone)]
pub struct Emit {
    /// Its type.
    pub kind: String,
    /// Its subject.
    pub subject: Option<Mapping>,
    /// Its data.
    pub data: Mapping,
}

/// An error a workflow raises: `raise.error`.
#[derive(Debug, Clone)]
pub struct ErrorMapping {
    /// The type's address.
    pub kind: Mapping,
    /// The status.
    pub status: Mapping,
    /// The title.
    pub title: Option<Mapping>,
    /// The detail.
    pub detail: Option<Mapping>,
}

/// A guarded block.
#[derive(Debug, Clone)]
pub struct Try {
    /// The guarded tasks.
    pub tasks: Vec<Task>,
    /// Which errors are caught: `catch.errors.with`; fields that are set must be equal.
    pub errors: ErrorFilter,
    /// The name of the error's variable; default `error`.
    pub variable: String,
    /// `catch.when`, with the error under its variable.
    pub when: Option<Program>,
    /// `catch.exceptWhen`.
    pub except_when: Option<Program>,
    /// Whether and how the block is repeated.
    pub retry: Option<RetryPolicy>,
    /// What is done when the error is caught and not repeated: `catch.do`.
    pub handler: Vec<Task>,
}

/// Which errors are caught.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorFilter {
    /// The type's address, as written.
    pub kind: Option<String>,
    /// The status.
    pub status: Option<u16>,
    /// The title.
    pub title: Option<String>,
    /// The detail.
    pub detail: Option<String>,
    /// The pointer of the task that raised it.
    pub instance: Option<String>,
}

/// How often and when a block is repeated.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Repeats only when true.
    pub when: Option<Program>,
    /// Does not repeat when true.
    pub except_when: Option<Program>,
    /// The first pause.
    pub delay: Span,
    /// How the pause grows.
    pub backoff: Backoff,
    /// Passes of the block at most, the first included; `None`: no limit by count.
    pub attempts: Option<u32>,
    /// The block's whole time at most.
    pub duration: Option<Span>,
}

/// How a pause grows from pass to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// It stays.
    Constant,
    /// By itself each time.
    Linear,
    /// Twice as long each time.
    Exponential,
}
