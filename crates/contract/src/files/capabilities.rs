//! `capabilities/<domain>.<verb>.yaml`, and `capabilities/<domain>.<verb>@<major>.yaml` from the second major on:
//! canonical functions.

use super::words::{Duration, Named, Percent, Word};
use crate::read::{At, Entries, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// A function that workflows call and systems implement.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "capabilities/<name>.yaml")]
pub(crate) struct CapabilityFile {
    /// Its major version, from 1; the file's name has it too, from the second on: `name@2.yaml`.
    pub(crate) version: At<u32>,
    /// Who answers for its kind: production, inventory, quality, maintenance, logistics, ...
    pub(crate) domain: At<Named>,
    /// The team that answers for it, declared in `policies/ownership.yaml`.
    pub(crate) owner: At<Named>,
    /// `reads`, or what it changes: `creates MaintenanceRequest`.
    pub(crate) effect: At<String>,
    /// Its input.
    pub(crate) input: InputFile,
    /// Its output: the fields with their types, or `{ schema: Name/1 }`.
    #[schemars(with = "Entries<String, At<Word>>")]
    pub(crate) output: Entries<String, Raw>,
    /// How quickly it is to be done.
    #[serde(default)]
    pub(crate) objective: Option<ObjectiveFile>,
    /// Since when it should not be called any more.
    #[serde(default)]
    pub(crate) deprecated: Option<DeprecatedFile>,
}

/// A capability that goes away (RFC 9745, RFC 8594).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeprecatedFile {
    /// The day since when it should not be called any more, `2026-01-31`.
    pub(crate) since: At<String>,
    /// The day from which on nobody need answer it.
    #[serde(default)]
    pub(crate) sunset: Option<At<String>>,
    /// What is called instead: `name` or `name@major`.
    #[serde(rename = "use")]
    pub(crate) instead: At<String>,
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
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::String, Self::Number, Self::Integer, Self::Boolean, Self::Object, Self::Array];

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
