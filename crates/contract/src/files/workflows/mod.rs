//! `workflows/<workflow>.yaml`: the Serverless Workflow DSL 1.0.3 as far as it runs here.

mod events;
mod http;
mod policies;
mod tasks;

pub(crate) use events::{CorrelateFile, EventFilterFile, StrategyFile};
pub(crate) use http::{AuthenticationFile, EndpointFile, HttpFile, OpenapiFile, OutputWord};
pub(crate) use policies::{DurationFile, ErrorFile, ErrorsFile, RetryPolicyFile, TimeoutFile, UseFile};
pub(crate) use tasks::{
    CallTask, CaseFile, CatchFile, Common, DoTask, EmitTask, EscalateFile, ForTask, ForeachFile, ForkTask, KINDS,
    ListenTask, RaiseTask, ReadWord, RunTask, SetTask, SubflowFile, SwitchTask, TASK_METADATA, TaskMetadataFile, Tasks,
    TryTask, WaitTask,
};

use super::words::{Named, Size};
use crate::read::{At, Raw};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, marker::PhantomData};

/// A workflow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "workflows/<workflow>.yaml")]
pub(crate) struct WorkflowFile {
    /// What the workflow is.
    pub(crate) document: DocumentFile,
    /// What starts a run by itself; without it a run is started by hand or by another workflow.
    #[serde(default)]
    pub(crate) schedule: Option<At<ScheduleFile>>,
    /// Filter and schema of the workflow's input; where events start it, the list of the consumed events.
    #[serde(default)]
    pub(crate) input: Option<InputFile>,
    /// Filter and schema of the workflow's output.
    #[serde(default)]
    pub(crate) output: Option<OutputFile>,
    /// The whole run's time at most: `{ after: PT1H }`, or a name of `use.timeouts`.
    #[serde(default)]
    pub(crate) timeout: Option<OrName<TimeoutFile>>,
    /// What is used in several places, by name.
    #[serde(default, rename = "use")]
    pub(crate) uses: Option<UseFile>,
    /// The tasks, in order.
    #[serde(rename = "do")]
    pub(crate) tasks: Tasks,
    /// What is said of the workflow beside the DSL; other keys are notes of the author.
    #[serde(default)]
    #[schemars(with = "Option<MetadataFile>")]
    pub(crate) metadata: Option<Raw>,
}

/// What a workflow is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentFile {
    /// The version of the DSL: 1.0.3.
    pub(crate) dsl: At<String>,
    /// Its namespace; names are unique in a project without it.
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
    pub(crate) metadata: Option<Raw>,
}

/// What starts runs by itself: one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleFile {
    /// Events.
    #[serde(default)]
    pub(crate) on: Option<At<StrategyFile>>,
    /// This long after the last planned instant: `PT15M`, `15 min` or `{ minutes: 15 }`.
    #[serde(default)]
    pub(crate) every: Option<Raw>,
    /// This long after the last run has ended: `PT15M`, `15 min` or `{ minutes: 15 }`.
    #[serde(default)]
    pub(crate) after: Option<Raw>,
    /// The instants of a cron expression, `0 2 * * *` or `@daily`, in the zone of the run's site.
    #[serde(default)]
    pub(crate) cron: Option<At<String>>,
}

/// A thing that is written where it is used, or the name of one of `use`.
#[derive(Debug)]
pub(crate) struct OrName<T>(pub(crate) Raw, pub(crate) PhantomData<T>);

impl<T> Clone for OrName<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OrName<T> {}

impl<'de, T> Deserialize<'de> for OrName<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Raw::deserialize(from).map(|raw| Self(raw, PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OrName<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}_or_name", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let written = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [written, { "type": "string" }] })
    }
}

/// What is said of a workflow beside the DSL.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct MetadataFile {
    /// The team that owns its exceptions; without it as `policies/ownership.yaml` says.
    #[serde(default)]
    pub(crate) owner: Option<At<Named>>,
    /// How much of it there may be.
    #[serde(default)]
    pub(crate) limits: Option<WorkflowLimitsFile>,
    /// Where its runs live: `hub` (default), or `edge`, the instance that owns the asset of the event.
    #[serde(default)]
    pub(crate) placement: Option<At<PlacementWord>>,
    /// Why no run of it goes on; without it, it is not revoked.
    #[serde(default)]
    pub(crate) revoked: Option<At<String>>,
    /// `compensate`: a fault that nothing caught undoes what the run has done.
    #[serde(default, rename = "on-fault")]
    pub(crate) on_fault: Option<OnFaultWord>,
    /// Which planned instants that were missed are made up for: the `last` (default), `all` or `none`.
    #[serde(default)]
    pub(crate) catchup: Option<At<CatchupWord>>,
    /// The sites at which planned runs begin, one run at each; without them at each site there is.
    #[serde(default)]
    pub(crate) sites: Option<At<Vec<At<Named>>>>,
}

/// The keys of [`MetadataFile`].
pub(crate) const METADATA: [&str; 7] = ["owner", "limits", "placement", "revoked", "on-fault", "catchup", "sites"];

/// How much there may be of a workflow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowLimitsFile {
    /// Runs under way at once at most; what starts more waits.
    #[serde(default)]
    pub(crate) runs: Option<At<u32>>,
    /// Completed tasks of a run at most.
    #[serde(default)]
    pub(crate) history: Option<At<u32>>,
    /// The largest output of a task: `1 MiB`.
    #[serde(default)]
    pub(crate) payload: Option<At<Size>>,
}

/// Where runs live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlacementWord {
    /// On the hub.
    Hub,
    /// On the instance that owns the asset of the event.
    Edge,
}

/// What a fault does beside ending the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFaultWord {
    /// What the run has done is undone.
    Compensate,
}

/// Which missed instants are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CatchupWord {
    /// The last one.
    Last,
    /// All of them, in their order.
    All,
    /// None.
    None,
}

/// Filter and schema of an input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputFile {
    /// What the input must be, before the filter.
    #[serde(default)]
    pub(crate) schema: Option<SchemaFile>,
    /// The new input: an expression, or a mapping that holds expressions.
    #[serde(default)]
    pub(crate) from: Option<Raw>,
}

/// Filter and schema of an output.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputFile {
    /// What the output must be, behind the filter.
    #[serde(default)]
    pub(crate) schema: Option<SchemaFile>,
    /// The new output: an expression, or a mapping that holds expressions.
    #[serde(default, rename = "as")]
    pub(crate) value: Option<Raw>,
}

/// The new context, and its schema.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportFile {
    /// What the new context must be.
    #[serde(default)]
    pub(crate) schema: Option<SchemaFile>,
    /// The new context: an expression, or a mapping that holds expressions.
    #[serde(default, rename = "as")]
    pub(crate) value: Option<Raw>,
}

/// What a value must be: `document` or `resource`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaFile {
    /// The format: `json`.
    #[serde(default)]
    pub(crate) format: Option<At<String>>,
    /// A JSON Schema (2020-12).
    #[serde(default)]
    pub(crate) document: Option<Raw>,
    /// A schema of the project.
    #[serde(default)]
    pub(crate) resource: Option<At<ResourceFile>>,
}

/// Something that stands elsewhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceFile {
    /// A name for people.
    #[serde(default)]
    #[expect(dead_code, reason = "for people; the whole document is kept as JSON")]
    pub(crate) name: Option<String>,
    /// Where it stands: `andon:Name/1`, a schema of the project; also `{ uri: ... }`.
    pub(crate) endpoint: Raw,
}
