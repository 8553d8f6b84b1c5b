//! A workflow after checking: the Serverless Workflow DSL 1.0.3 as far as it runs here, with every expression compiled
//! and every reference into `use` put in its place, so that whoever runs it needs nothing else.

use crate::expr::Program;
use andon_model::{Name, SiteName, span::Span};
use serde_json::Value as Json;
use std::{fmt, sync::Arc};

/// Reads one workflow (YAML or JSON) as a project does, for tests: capabilities, events, teams and other workflows that
/// it names are taken as they are, and values are not followed. `name` is that of its file. The error tells all
/// problems.
#[doc(hidden)]
pub fn read(name: &str, text: &str) -> Result<Definition, String> {
    crate::checks::alone(name, text, false)
}

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
    /// What starts a run by itself; `None`: only started by hand or by another workflow.
    pub schedule: Option<Schedule>,
    /// Filter of the workflow's input: `input.from`.
    pub input: Option<Mapping>,
    /// Filter of the workflow's output: `output.as`.
    pub output: Option<Mapping>,
    /// What its input and output must be.
    pub schemas: Schemas,
    /// The whole run's time at most: `timeout.after`.
    pub timeout: Option<Delay>,
    /// What stands under `metadata` and is no part of the DSL.
    pub settings: Settings,
    /// The tasks, in order.
    pub tasks: Vec<Task>,
}

/// What a workflow says of itself beside the DSL, under `metadata`.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The team that owns its exceptions; `None`: as `policies/ownership.yaml` says.
    pub owner: Option<Name>,
    /// Runs under way at once at most; events wait in their log meanwhile. `None`: no limit.
    pub runs: Option<u32>,
    /// Completed tasks of a run at most; `None`: the limit of all.
    pub history: Option<u32>,
    /// Bytes of one output at most; `None`: the limit of all.
    pub payload: Option<u64>,
    /// Where its runs live.
    pub placement: Placement,
    /// Why no run of it goes on; `None`: it is not revoked.
    pub revoked: Option<String>,
    /// Whether a fault that nothing caught undoes what the run has done.
    pub compensate: bool,
    /// Which planned instants that were missed are made up for.
    pub catchup: Catchup,
    /// The sites at which its planned runs begin; empty: at each site there is.
    pub sites: Vec<SiteName>,
}

/// Which planned instants of a schedule that were missed are made up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Catchup {
    /// The last one.
    #[default]
    Last,
    /// All of them, in their order.
    All,
    /// None.
    None,
}

/// Where the runs of a workflow live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Placement {
    /// On the hub, or on the one instance there is.
    #[default]
    Hub,
    /// On the instance that owns the asset of the event.
    Edge,
}

/// What starts runs by itself.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// Events: `schedule.on`.
    On(Consumption),
    /// Again and again, this long after the last planned instant: `schedule.every`.
    Every(Span),
    /// This long after the last run has ended: `schedule.after`.
    After(Span),
    /// At the instants of a cron expression, in the zone of the run's site: `schedule.cron`.
    Cron(String),
}

/// Which events are consumed: an event consumption strategy.
#[derive(Debug, Clone)]
pub enum Consumption {
    /// One event.
    One(EventFilter),
    /// The first that passes one of the filters; with `until` each of them until then.
    Any {
        /// The filters; without any, every event.
        filters: Vec<EventFilter>,
        /// When it has enough.
        until: Option<Until>,
    },
    /// One event for each filter, in whichever order they come.
    All(Vec<EventFilter>),
}

/// When a listener has enough.
#[derive(Debug, Clone)]
pub enum Until {
    /// Once this holds over the event just consumed; it sees the variables around the `listen`.
    Condition(Program),
    /// Once these events have come.
    Events(Box<Consumption>),
    /// Never: only a timeout ends it.
    Never,
}

/// Which event is meant.
#[derive(Debug, Clone)]
pub struct EventFilter {
    /// Its type.
    pub kind: String,
    /// Other attributes that must be equal, in order; the values may be expressions where there is a run.
    pub attributes: Vec<(String, Mapping)>,
    /// What its `data` must be.
    pub data: Option<DataFilter>,
    /// By what it belongs to a run, or events belong together.
    pub correlate: Vec<Correlation>,
}

/// What the `data` of an event must be.
#[derive(Debug, Clone)]
pub enum DataFilter {
    /// This must hold over it; compiled without variables.
    Holds(Program),
    /// These fields of it must be equal.
    Equals(Mapping),
}

/// A value of an event that must fit.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// Its name.
    pub name: String,
    /// Takes the value from the event; compiled without variables.
    pub from: Program,
    /// What it must be, of the run; `None`: the value of the first event counts for those that follow.
    pub expect: Option<Mapping>,
}

/// A length of time, known now or made by the run.
#[derive(Debug, Clone)]
pub enum Delay {
    /// As written.
    Fixed(Span),
    /// The result of an expression: ISO 8601, or an object of the DSL.
    Expression(Program),
}

/// What values must be at a place.
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    /// `input.schema`, of the value before `input.from`.
    pub input: Option<ValueSchema>,
    /// `output.schema`, of the value after `output.as`.
    pub output: Option<ValueSchema>,
    /// `export.schema`, of the value after `export.as`.
    pub export: Option<ValueSchema>,
}

/// A compiled JSON Schema.
#[derive(Clone)]
pub struct ValueSchema {
    /// As written.
    pub document: Json,
    validator: Arc<jsonschema::Validator>,
}

impl ValueSchema {
    /// Compiles a schema (2020-12); the error says what is wrong with it.
    pub fn compile(document: Json) -> Result<Self, String> {
        let validator = jsonschema::draft202012::new(&document).map_err(|e| e.to_string())?;
        Ok(Self { document, validator: Arc::new(validator) })
    }

    /// Whether a value fits; the error names the place and what is wrong there.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        match self.validator.iter_errors(value).next() {
            None => Ok(()),
            Some(error) => Err(format!("at `{}`: {error}", error.instance_path())),
        }
    }
}

impl fmt::Debug for ValueSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueSchema").field(&self.document).finish()
    }
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
/// at a place are null. Behind them follow, the outermost first, the variables of what stands around the place: of a
/// `catch` its error, of a `for` its item and index, of a `listen` with `foreach` its event and index.
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
    /// What its input, output and the new context must be.
    pub schemas: Schemas,
    /// Its time at most: `timeout.after`; then it is ended by an error of the type `timeout`.
    pub timeout: Option<Delay>,
    /// What undoes it: `metadata.compensate`, run with `{ input, output }` of the task as its input.
    pub compensate: Vec<Task>,
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
        /// Its name, with its major from 2 on: `name@2`.
        capability: String,
        /// Its input; `None`: the task's input.
        with: Option<Mapping>,
    },
    /// Calls a function of `use.functions`: its task, with what `with` gives as its input.
    Function {
        /// Its input; `None`: the task's input.
        with: Option<Mapping>,
        /// Its one task.
        tasks: Vec<Task>,
    },
    /// Sends a request to a host that a file in `systems/` declares.
    Http(Box<HttpCall>),
    /// Sends the request that an OpenAPI document describes.
    Openapi(Box<OpenapiCall>),
    /// Emits a canonical event.
    Emit(Emit),
    /// Runs tasks for each item of a list.
    For(Box<For>),
    /// Runs branches side by side.
    Fork {
        /// The branches: lists of one task each.
        branches: Vec<Task>,
        /// Whether the first that completes wins, and the others are given up.
        compete: bool,
    },
    /// Waits for events.
    Listen(Box<Listen>),
    /// Starts a run of another workflow.
    Run(RunWorkflow),
    /// Waits.
    Wait(Delay),
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
    /// Its source; `None`: the workflow.
    pub source: Option<Mapping>,
    /// Its time; `None`: now.
    pub time: Option<Mapping>,
    /// Its subject; `None`: what the starting event was about.
    pub subject: Option<Mapping>,
    /// Its data; `None`: an empty object.
    pub data: Option<Mapping>,
}

/// A loop over a list.
#[derive(Debug, Clone)]
pub struct For {
    /// The name of the item's variable: `each`, default `item`.
    pub each: String,
    /// The name of the index's variable: `at`, default `index`.
    pub at: String,
    /// The list: `in`.
    pub list: Program,
    /// Looked at before each item, whose variables it sees: `while`; the loop ends when it does not hold.
    pub condition: Option<Program>,
    /// What is done for each item; its output is the input of the next item.
    pub tasks: Vec<Task>,
}

/// Waits for events.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Which events.
    pub to: Consumption,
    /// What of an event is given.
    pub read: ReadAs,
    /// What is done for each event.
    pub foreach: Option<Foreach>,
    /// What a person is asked, where the event is the decision of one.
    pub decision: Option<Box<Decision>>,
}

/// The type of the events by which people decide.
pub const HUMAN_DECISION: &str = "human.decision";

/// What a person is asked: `metadata` of a `listen` on [`HUMAN_DECISION`].
#[derive(Debug, Clone)]
pub struct Decision {
    /// The team that decides.
    pub owner: Name,
    /// The question; `None`: the name of the task says it.
    pub question: Option<Mapping>,
    /// What the answer must be.
    pub form: ValueSchema,
    /// How long they have; `None`: as long as they like.
    pub due: Option<Delay>,
    /// When it passes to which team.
    pub escalate: Option<(Delay, Name)>,
}

/// What of an event a `listen` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAs {
    /// Its data.
    Data,
    /// The whole event.
    Envelope,
    /// The whole event as it was stored.
    Raw,
}

/// What a `listen` does for each event.
#[derive(Debug, Clone)]
pub struct Foreach {
    /// The name of the event's variable, default `item`.
    pub item: String,
    /// The name of the index's variable, default `index`.
    pub at: String,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// `output.as` of each pass.
    pub output: Option<Mapping>,
    /// `export.as` of each pass.
    pub export: Option<Mapping>,
}

/// Starts a run of another workflow.
#[derive(Debug, Clone)]
pub struct RunWorkflow {
    /// Its name.
    pub name: String,
    /// The version it must have; `None`: the one in force.
    pub version: Option<String>,
    /// Its input; `None`: the task's input.
    pub input: Option<Mapping>,
    /// Whether the task waits for its end and gives its output.
    pub wait: bool,
}

/// A request over HTTP.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// The method, in capitals.
    pub method: String,
    /// Where it goes: a template `https://host/path/{name}`, or an expression.
    pub endpoint: Mapping,
    /// How we identify ourselves; `None`: as the system says.
    pub authentication: Option<Authentication>,
    /// Its headers.
    pub headers: Option<Mapping>,
    /// Its query.
    pub query: Option<Mapping>,
    /// Its body.
    pub body: Option<Mapping>,
    /// What of the answer is given.
    pub output: HttpOutput,
    /// Whether a redirect counts as success.
    pub redirect: bool,
    /// What repeats do, where the task says so.
    pub idempotency: Option<String>,
}

/// A request that an OpenAPI document describes.
#[derive(Debug, Clone)]
pub struct OpenapiCall {
    /// Where the document stands.
    pub document: Mapping,
    /// The operation.
    pub operation: String,
    /// Its parameters.
    pub parameters: Option<Mapping>,
    /// How we identify ourselves; `None`: as the system says.
    pub authentication: Option<Authentication>,
    /// What of the answer is given.
    pub output: HttpOutput,
    /// Whether a redirect counts as success.
    pub redirect: bool,
    /// What repeats do, where the task says so.
    pub idempotency: Option<String>,
}

/// What of an answer a call over HTTP gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpOutput {
    /// The body, in base64.
    Raw,
    /// The body, read by its content type.
    #[default]
    Content,
    /// Status, headers, body and the request.
    Response,
}

/// How a call over HTTP identifies itself. The parts are references to secrets, or expressions over the input.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: Mapping,
        /// The password.
        password: Mapping,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Mapping,
    },
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
    pub delay: Option<Delay>,
    /// How the pause grows.
    pub backoff: Backoff,
    /// What chance adds to the pause: from, to.
    pub jitter: Option<(Delay, Delay)>,
    /// Passes of the block at most, the first included; `None`: no limit by count.
    pub attempts: Option<u32>,
    /// The time of one pass at most; then it is ended by an error of the type `timeout`.
    pub attempt: Option<Delay>,
    /// The block's whole time at most.
    pub duration: Option<Delay>,
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
