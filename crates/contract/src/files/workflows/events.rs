//! Which events a workflow consumes, and those it emits.

use crate::read::{At, Entries, Items, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which events are consumed: one of `one`, `any` and `all`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StrategyFile {
    /// One event that passes this filter.
    #[serde(default)]
    pub(crate) one: Option<EventFilterFile>,
    /// Events that pass one of these filters; without any filter, every event.
    #[serde(default)]
    pub(crate) any: Option<Items<EventFilterFile>>,
    /// One event for each of these filters, in whichever order they come.
    #[serde(default)]
    pub(crate) all: Option<At<Items<EventFilterFile>>>,
    /// Beside `any`: when it has enough: an expression over the event, a strategy of its own, or `false`, never.
    #[serde(default)]
    pub(crate) until: Option<Raw>,
}

/// Which event is meant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFilterFile {
    /// Its attributes.
    pub(crate) with: EventAttributesFile,
    /// By what it belongs to a run, or events belong together: by name.
    #[serde(default)]
    pub(crate) correlate: Option<Entries<String, CorrelateFile>>,
}

/// The attributes of an event that is meant: those that are written must be equal.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventAttributesFile {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: At<String>,
    /// A filter `${ ... }` over its data, or fields of it that must be equal.
    #[serde(default)]
    pub(crate) data: Option<Raw>,
    /// Its id.
    #[serde(default)]
    pub(crate) id: Option<Raw>,
    /// Its source.
    #[serde(default)]
    pub(crate) source: Option<Raw>,
    /// What it is about.
    #[serde(default)]
    pub(crate) subject: Option<Raw>,
    /// Its time.
    #[serde(default)]
    pub(crate) time: Option<Raw>,
    /// Its schema: `andon:<type>/<version>`.
    #[serde(default)]
    pub(crate) dataschema: Option<Raw>,
    /// The site it belongs to.
    #[serde(default)]
    pub(crate) site: Option<Raw>,
    /// Its key.
    #[serde(default)]
    pub(crate) partitionkey: Option<Raw>,
    /// The first event of its story.
    #[serde(default)]
    pub(crate) correlationid: Option<Raw>,
    /// What caused it.
    #[serde(default)]
    pub(crate) causationid: Option<Raw>,
}

/// A value by which events belong to a run, or together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorrelateFile {
    /// Takes the value from the event: an expression.
    pub(crate) from: At<String>,
    /// What it must be: a text, or an expression; without it the value of the first event counts.
    #[serde(default)]
    pub(crate) expect: Option<At<String>>,
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
    /// Its source, an address or an expression; without it the workflow.
    #[serde(default)]
    pub(crate) source: Option<Raw>,
    /// Its time, RFC 3339 or an expression; without it the moment of the task.
    #[serde(default)]
    pub(crate) time: Option<Raw>,
    /// What it is about; without it what the starting event was about.
    #[serde(default)]
    pub(crate) subject: Option<Raw>,
    /// Its data: an object whose texts may be expressions, or an expression; without it an empty object.
    #[serde(default)]
    pub(crate) data: Option<Raw>,
}
