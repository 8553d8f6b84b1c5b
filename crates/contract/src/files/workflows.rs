//! `workflows/<workflow>.yaml`: the subset of the Serverless Workflow DSL 1.0.3 that runs.

use crate::read::{At, Entries, Items, Raw};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// A workflow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "workflows/<workflow>.yaml")]
pub(crate) struct WorkflowFile {
    /// What the workflow is.
    pub(crate) document: DocumentFile,
    /// Which event starts a run; without it a run is started by hand.
    #[serde(default)]
    pub(crate) schedule: Option<ScheduleFile>,
    /// Filter of the workflow's input, the list of the consumed events.
    #[serde(default)]
    pub(crate) input: Option<FilterFile>,
    /// Filter of the workflow's output.
    #[serde(default)]
    pub(crate) output: Option<OutputFile>,
    /// The tasks, in order.
    #[serde(rename = "do")]
    pub(crate) tasks: Tasks,
    /// Notes of the author; not read.
    #[serde(default)]
    #[expect(dead_code, reason = "the DSL allows it; nobody reads it")]
    pub(crate) metadata: Option<Raw>,
}

/// What a workflow is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentFile {
    /// The version of the DSL: 1.0.3.
    pub(crate) dsl: At<String>,
    /// Its namespace.
    #[expect(dead_code, reason = "the DSL demands it; names are unique in a project without it")]
    pub(crate) namespace: At<String>,
    /// Its name, the same as the file's.
    pub(crate) name: At<String>,
    /// Its version, as its author counts.
    pub(crate) version: At<String>,
    /// What it is for, in one line.
    #[serde(default)]
    #[expect(dead_code, reason = "for people; the whole document is kept as JSON")]
    pub(crate) title: Option<String>,
    /// What it is for.
    #[serde(default)]
    #[expect(dead_code, reason = "for people; the whole document is kept as JSON")]
    pub(crate) summary: Option<String>,
    /// Notes of the author.
    #[serde(default)]
    #[expect(dead_code, reason = "for people; the whole document is kept as JSON")]
    pub(crate) tags: Option<Raw>,
    /// Notes of the author.
    #[serde(default)]
    #[expect(dead_code, reason = "for people; the whole document is kept as JSON")]
    pub(crate) metadata: Option<Raw>,
}

/// What starts a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleFile {
    /// An event.
    pub(crate) on: OnFile,
}

/// Which events start a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnFile {
    /// Each event that matches.
    pub(crate) one: OneFile,
}

/// An event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneFile {
    /// Its attributes.
    pub(crate) with: EventFilterFile,
}

/// The attributes of an event that starts a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFilterFile {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: At<String>,
    /// A filter `${ ... }` over its data.
    #[serde(default)]
    pub(crate) data: Option<At<String>>,
}

/// A filter of an input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterFile {
    /// The new input: an expression, or a value that holds expressions.
    pub(crate) from: Raw,
}

/// A filter of an output.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputFile {
    /// The new output: an expression, or a value that holds expressions.
    #[serde(rename = "as")]
    pub(crate) value: Raw,
}

/// The new context.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportFile {
    /// The new context: an expression, or a value that holds expressions.
    #[serde(rename = "as")]
    pub(crate) value: Raw,
}

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
            generator.subschema_for::<DoTask>(),
            generator.subschema_for::<SetTask>(),
            generator.subschema_for::<SwitchTask>(),
            generator.subschema_for::<CallTask>(),
            generator.subschema_for::<EmitTask>(),
            generator.subschema_for::<WaitTask>(),
            generator.subschema_for::<RaiseTask>(),
            generator.subschema_for::<TryTask>(),
        ];
        json_schema!({
            "type": "array",
            "items": {
                "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": { "anyOf": kinds }
            }
        })
    }
}

/// Where the flow goes on, if, input, output, export: the keys of every task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    pub(crate) condition: Option<At<String>>,
    pub(crate) input: Option<FilterFile>,
    pub(crate) output: Option<OutputFile>,
    pub(crate) export: Option<ExportFile>,
    pub(crate) then: Option<At<String>>,
}

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
            /// Filter of the task's input.
            #[serde(default)]
            input: Option<FilterFile>,
            /// Filter of the task's output.
            #[serde(default)]
            output: Option<OutputFile>,
            /// The new context.
            #[serde(default)]
            export: Option<ExportFile>,
            /// Where the flow goes on: `continue`, `exit`, `end` or a task of the same list.
            #[serde(default)]
            then: Option<At<String>>,
            /// Notes of the author; not read.
            #[serde(default)]
            #[expect(dead_code, reason = "the DSL allows it; nobody reads it")]
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
                    then: self.then.take(),
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
    /// Calls a capability.
    CallTask {
        /// The capability.
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
    /// Waits.
    WaitTask {
        /// How long: `30 s`, `PT30S`, or `{ seconds: 30 }`.
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

/// The keys that say which kind a task is, and those the DSL has beside them.
pub(crate) const KINDS: [&str; 8] = ["call", "do", "emit", "raise", "set", "switch", "try", "wait"];

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

/// An emitted event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmitFile {
    /// The event.
    pub(crate) event: EventFile,
}

/// An emitted event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFile {
    /// Its attributes.
    pub(crate) with: EmittedFile,
}

/// The attributes of an emitted event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmittedFile {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: At<String>,
    /// What it is about; without it what the starting event was about.
    #[serde(default)]
    pub(crate) subject: Option<Raw>,
    /// Its data: an object whose texts may be expressions, or an expression.
    pub(crate) data: Raw,
}

/// A raised error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RaiseFile {
    /// The error.
    pub(crate) error: ErrorFile,
}

/// An error (RFC 9457).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFile {
    /// The address of its type, or an expression.
    #[serde(rename = "type")]
    pub(crate) kind: Raw,
    /// Its status, or an expression.
    pub(crate) status: Raw,
    /// Its title, or an expression.
    #[serde(default)]
    pub(crate) title: Option<Raw>,
    /// More about it, or an expression.
    #[serde(default)]
    pub(crate) detail: Option<Raw>,
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
    /// Whether and how the tasks are repeated.
    #[serde(default)]
    pub(crate) retry: Option<RetryPolicyFile>,
    /// What is done when the error is caught and the tasks are not repeated.
    #[serde(default, rename = "do")]
    pub(crate) handler: Option<Tasks>,
}

/// Which errors are caught.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorsFile {
    /// Their fields.
    pub(crate) with: ErrorFilterFile,
}

/// Fields of an error; those that are set must be equal.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFilterFile {
    /// The address of its type.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    /// Its status.
    #[serde(default)]
    pub(crate) status: Option<At<u16>>,
    /// Its title.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// More about it.
    #[serde(default)]
    pub(crate) detail: Option<String>,
    /// The pointer of the task that raised it.
    #[serde(default)]
    pub(crate) instance: Option<String>,
}

/// How often and when tasks are repeated.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryPolicyFile {
    /// Repeated only when this expression is true.
    #[serde(default)]
    pub(crate) when: Option<At<String>>,
    /// Not repeated when this expression is true.
    #[serde(default, rename = "exceptWhen")]
    pub(crate) except_when: Option<At<String>>,
    /// The first pause: `30 s`, `PT30S`, or `{ seconds: 30 }`; default none.
    #[serde(default)]
    pub(crate) delay: Option<Raw>,
    /// How the pause grows: `constant: {}` (default), `linear: {}` or `exponential: {}`.
    #[serde(default)]
    pub(crate) backoff: Option<At<BackoffFile>>,
    /// When it is given up.
    #[serde(default)]
    pub(crate) limit: Option<RetryLimitFile>,
}

/// How a pause grows: one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "which key it is decides; the check looks at the keys")]
pub(crate) struct BackoffFile {
    /// It stays.
    #[serde(default)]
    pub(crate) constant: Option<NoSettings>,
    /// By itself each time.
    #[serde(default)]
    pub(crate) linear: Option<NoSettings>,
    /// Twice as long each time.
    #[serde(default)]
    pub(crate) exponential: Option<NoSettings>,
}

/// `{}`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoSettings {}

/// When repeating is given up.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryLimitFile {
    /// By count.
    #[serde(default)]
    pub(crate) attempt: Option<AttemptFile>,
    /// By the time of all together: `30 min`, `PT30M`, or `{ minutes: 30 }`.
    #[serde(default)]
    pub(crate) duration: Option<Raw>,
}

/// A limit by count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptFile {
    /// Passes at most, the first included.
    pub(crate) count: At<u32>,
}

/// A duration of the DSL as an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DurationFile {
    /// Days.
    #[serde(default)]
    pub(crate) days: Option<u32>,
    /// Hours.
    #[serde(default)]
    pub(crate) hours: Option<u32>,
    /// Minutes.
    #[serde(default)]
    pub(crate) minutes: Option<u32>,
    /// Seconds.
    #[serde(default)]
    pub(crate) seconds: Option<u32>,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) milliseconds: Option<u32>,
}
