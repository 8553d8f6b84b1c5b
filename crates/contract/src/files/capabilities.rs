//! `capabilities/<domain>.<verb>.yaml`: canonical functions.

use super::words::{Duration, Named, Percent};
use crate::read::{At, Entries};
use schemars::JsonSchema;
use serde::Deserialize;

/// A function that workflows call and systems implement.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "capabilities/<name>.yaml")]
pub(crate) struct CapabilityFile {
    /// Its major version, from 1.
    pub(crate) version: At<u32>,
    /// Who answers for its kind: production, inventory, quality, maintenance, logistics, ...
    pub(crate) domain: At<Named>,
    /// The team that answers for it, declared in `policies/ownership.yaml`.
    pub(crate) owner: At<Named>,
    /// `reads`, or what it changes: `creates MaintenanceRequest`.
    pub(crate) effect: At<String>,
    /// Its input.
    pub(crate) input: InputFile,
    /// The fields of its output with their types.
    pub(crate) output: Entries<String, At<TypeWord>>,
    /// How quickly it is to be done.
    #[serde(default)]
    pub(crate) objective: Option<ObjectiveFile>,
}

/// The input of a capability.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputFile {
    /// The schema, `name/major`.
    pub(crate) schema: At<String>,
}

/// A promise about time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectiveFile {
    /// Done within this.
    pub(crate) within: At<Duration>,
    /// For so many of a hundred: `99 %`.
    pub(crate) of: At<Percent>,
}

/// A type of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TypeWord {
    /// A text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// An object.
    Object,
    /// A list.
    Array,
}

impl TypeWord {
    /// The word of JSON Schema.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}
