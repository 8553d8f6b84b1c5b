//! The tasks of a workflow: the keys of each kind, and those that every task has.

use super::{
    ExportFile, InputFile, OrName, OutputFile,
    events::{EmitFile, StrategyFile},
    policies::{ErrorFile, ErrorsFile, RetryPolicyFile, TimeoutFile},
};
use crate::{
    files::words::Named,
    read::{At, Entries, Items, Raw},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// A list of tasks, each `- name: { ... }`; read task by task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tasks(pub(crate) Raw);

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Raw::deserialize(from).map(Self)
    }
}

impl JsonSchema for Tasks {
    fn schema_name() -> Cow<'static, str> {
        "Tasks".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = [
            generator.subschema_for::<CallTask>(),
            generator.subschema_for::<DoTask>(),
            generator.subschema_for::<EmitTask>(),
            generator.subschema_for::<ForTask>(),
            generator.subschema_for::<ForkTask>(),
            generator.subschema_for::<ListenTask>(),
            generator.subschema_for::<RaiseTask>(),
            generator.subschema_for::<RunTask>(),
            generator.subschema_for::<SetTask>(),
            generator.subschema_for::<SwitchTask>(),
            generator.subschema_for::<TryTask>(),
            generator.subschema_for::<WaitTask>(),
        ];
        json_schema!({
            "type": "array",
            "items": {
                "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": { "anyOf": kinds }
            }
        })
    }
}

/// The keys of every task: whether, input, output, export, timeout, where the flow goes on, what is said beside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    pub(crate) condition: Option<At<String>>,
    pub(crate) input: Option<InputFile>,
    pub(crate) output: Option<OutputFile>,
    pub(crate) export: Option<ExportFile>,
    pub(crate) timeout: Option<OrName<TimeoutFile>>,
    pub(crate) then: Option<At<String>>,
    pub(crate) metadata: Option<Raw>,
}

/// What is said of a task beside the DSL; other keys are notes of the author.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct TaskMetadataFile {
    /// What undoes the task: tasks whose input is `{ input, output }` of it.
    #[serde(default)]
    pub(crate) compensate: Option<Tasks>,
    /// Of a call over HTTP: what repeats do.
    #[serde(default)]
    pub(crate) idempotency: Option<At<String>>,
    /// Of a `listen` on `human.decision`: the team that decides.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) owner: Option<Raw>,
    /// Of a `listen` on `human.decision`: the JSON Schema of the answer, or the name of a schema of the project.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) form: Option<Raw>,
    /// Of a `listen` on `human.decision`: what is asked, a text or an expression.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) question: Option<Raw>,
    /// Of a `listen` on `human.decision`: how long they have.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) due: Option<Raw>,
    /// Of a `listen` on `human.decision`: when it passes to whom.
    #[serde(default)]
    #[schemars(with = "Option<EscalateFile>")]
    pub(crate) escalate: Option<Raw>,
}

/// When a decision passes to whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscalateFile {
    /// How long after it was asked.
    pub(crate) after: Raw,
    /// The team.
    pub(crate) to: At<Named>,
}

/// The keys of [`TaskMetadataFile`].
pub(crate) const TASK_METADATA: [&str; 7] =
    ["compensate", "idempotency", "owner", "form", "question", "due", "escalate"];

/// Makes a kind of task: its own keys and those of every task.
macro_rules! task {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: $type,)+
            /// Runs only when this expression is true.
            #[serde(default, rename = "if")]
            condition: Option<At<String>>,
            /// Filter and schema of the task's input.
            #[serde(default)]
            input: Option<InputFile>,
            /// Filter and schema of the task's output.
            #[serde(default)]
            output: Option<OutputFile>,
            /// The new context, and its schema.
            #[serde(default)]
            export: Option<ExportFile>,
            /// The task's time at most: `{ after: PT30S }`, or a name of `use.timeouts`.
            #[serde(default)]
            timeout: Option<OrName<TimeoutFile>>,
            /// Where the flow goes on: `continue`, `exit`, `end` or a task of the same list.
            #[serde(default)]
            then: Option<At<String>>,
            /// What is said of the task beside the DSL.
            #[serde(default)]
            #[schemars(with = "Option<TaskMetadataFile>")]
            metadata: Option<Raw>,
        }

        impl $name {
            /// Takes out the keys of every task.
            pub(crate) fn common(&mut self) -> Common {
                Common {
                    condition: self.condition.take(),
                    input: self.input.take(),
                    output: self.output.take(),
                    export: self.export.take(),
                    timeout: self.timeout.take(),
                    then: self.then.take(),
                    metadata: self.metadata.take(),
                }
            }
        }
    };
}

task! {
    /// Runs tasks in order.
    DoTask {
        /// The tasks.
        #[serde(rename = "do")]
        tasks: Tasks
    }
}

task! {
    /// Makes a value.
    SetTask {
        /// The value: an object whose texts may be expressions, or an expression.
        set: Raw
    }
}

task! {
    /// Chooses where to go.
    SwitchTask {
        /// The cases in order, each `- name: { when: ${ ... }, then: ... }`.
        switch: Items<At<Entries<String, CaseFile>>>
    }
}

task! {
    /// Calls a capability, a function of `use.functions`, or a host over HTTP.
    CallTask {
        /// The capability, the function, `http` or `openapi`.
        call: At<String>,
        /// Its input; without it the task's input.
        #[serde(default)]
        with: Option<Raw>
    }
}

task! {
    /// Emits an event.
    EmitTask {
        /// The event.
        emit: EmitFile
    }
}

task! {
    /// Runs tasks for each item of a list.
    ForTask {
        /// The list.
        #[serde(rename = "for")]
        list: ForFile,
        /// Looked at before each item: the loop ends when this expression is not true.
        #[serde(default, rename = "while")]
        holds: Option<At<String>>,
        /// What is done for each item; its output is the input of the next.
        #[serde(rename = "do")]
        tasks: Tasks
    }
}

/// The list of a loop.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForFile {
    /// The name of the item's variable; default `item`.
    #[serde(default)]
    pub(crate) each: Option<At<String>>,
    /// The list: an expression.
    #[serde(rename = "in")]
    pub(crate) list: At<String>,
    /// The name of the index's variable; default `index`.
    #[serde(default)]
    pub(crate) at: Option<At<String>>,
}

task! {
    /// Runs branches side by side.
    ForkTask {
        /// The branches.
        fork: ForkFile
    }
}

/// Branches side by side.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForkFile {
    /// The branches: each of these tasks is one.
    pub(crate) branches: Tasks,
    /// Whether the first that completes wins, and the others are given up; default false.
    #[serde(default)]
    pub(crate) compete: bool,
}

task! {
    /// Waits for events.
    ListenTask {
        /// Which events.
        listen: ListenFile,
        /// What is done for each event.
        #[serde(default)]
        foreach: Option<ForeachFile>
    }
}

/// Which events a task waits for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenFile {
    /// The events.
    pub(crate) to: At<StrategyFile>,
    /// What of an event is given: `data` (default), `envelope` or `raw`.
    #[serde(default)]
    pub(crate) read: Option<ReadWord>,
}

/// What of an event is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReadWord {
    /// Its data.
    Data,
    /// The whole event.
    Envelope,
    /// The whole event as it was stored.
    Raw,
}

/// What is done for each event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeachFile {
    /// The name of the event's variable; default `item`.
    #[serde(default)]
    pub(crate) item: Option<At<String>>,
    /// The name of the index's variable; default `index`.
    #[serde(default)]
    pub(crate) at: Option<At<String>>,
    /// The tasks.
    #[serde(default, rename = "do")]
    pub(crate) tasks: Option<Tasks>,
    /// Filter of each pass's output.
    #[serde(default)]
    pub(crate) output: Option<OutputFile>,
    /// The new context of each pass.
    #[serde(default)]
    pub(crate) export: Option<ExportFile>,
}

task! {
    /// Starts a run of another workflow.
    RunTask {
        /// What is run.
        run: At<RunFile>
    }
}

/// What is run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunFile {
    /// Another workflow.
    #[serde(default)]
    pub(crate) workflow: Option<SubflowFile>,
    /// Whether the task waits for its end; default true.
    #[serde(default, rename = "await")]
    pub(crate) wait: Option<bool>,
    /// `none`: the task gives null; without it the output of the workflow.
    #[serde(default, rename = "return")]
    pub(crate) give: Option<At<String>>,
}

/// Another workflow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubflowFile {
    /// Its namespace.
    pub(crate) namespace: At<String>,
    /// Its name.
    pub(crate) name: At<String>,
    /// The version it must have, or `latest` (default), the one in force.
    #[serde(default)]
    pub(crate) version: Option<At<String>>,
    /// Its input: an object whose texts may be expressions, or an expression; without it the task's input.
    #[serde(default)]
    pub(crate) input: Option<Raw>,
}

task! {
    /// Waits.
    WaitTask {
        /// How long: `30 s`, `PT30S`, `{ seconds: 30 }` or an expression.
        wait: Raw
    }
}

task! {
    /// Raises an error.
    RaiseTask {
        /// The error.
        raise: RaiseFile
    }
}

/// A raised error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RaiseFile {
    /// The error: `{ type, status, title, detail }`, or a name of `use.errors`.
    pub(crate) error: OrName<ErrorFile>,
}

task! {
    /// Runs tasks and handles their errors.
    TryTask {
        /// The tasks.
        #[serde(rename = "try")]
        tasks: Tasks,
        /// What is done with an error.
        catch: CatchFile
    }
}

/// The keys that say which kind a task is; a task with `for` has `do` too.
pub(crate) const KINDS: [&str; 12] =
    ["call", "do", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait"];

/// A case of a switch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// The condition; without it always.
    #[serde(default)]
    pub(crate) when: Option<At<String>>,
    /// Where to go.
    pub(crate) then: At<String>,
}

/// What is done with an error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatchFile {
    /// Which errors; without it all.
    #[serde(default)]
    pub(crate) errors: Option<ErrorsFile>,
    /// The name of the error's variable; default `error`.
    #[serde(default, rename = "as")]
    pub(crate) variable: Option<At<String>>,
    /// Caught only when this expression is true.
    #[serde(default)]
    pub(crate) when: Option<At<String>>,
    /// Not caught when this expression is true.
    #[serde(default, rename = "exceptWhen")]
    pub(crate) except_when: Option<At<String>>,
    /// Whether and how the tasks are repeated: a policy, or a name of `use.retries`.
    #[serde(default)]
    pub(crate) retry: Option<OrName<RetryPolicyFile>>,
    /// What is done when the error is caught and the tasks are not repeated.
    #[serde(default, rename = "do")]
    pub(crate) handler: Option<Tasks>,
}
