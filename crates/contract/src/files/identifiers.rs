//! `identifiers/<system>.yaml`: what a system calls our things.

use super::words::{Named, Word};
use crate::read::{At, Entries, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a system calls our things, and what its words mean.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "identifiers/<system>.yaml")]
pub(crate) struct IdentifiersFile {
    /// The system, declared in `systems/`.
    pub(crate) system: At<Named>,
    /// Its names by kind and our name: `asset: { machine-01: EQ-100042 }`.
    #[serde(default)]
    pub(crate) names: NamesFile,
    /// Its values by map (`unit`, `state`, `reason`, `priority`, ...) and our value.
    #[serde(default)]
    pub(crate) values: Entries<String, Entries<String, Raw>>,
}

/// Its names by kind of thing.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamesFile {
    /// Assets.
    #[serde(default)]
    pub(crate) asset: Entries<String, At<Word>>,
    /// Sites.
    #[serde(default)]
    pub(crate) site: Entries<String, At<Word>>,
    /// Materials.
    #[serde(default)]
    pub(crate) material: Entries<String, At<Word>>,
    /// Locations.
    #[serde(default)]
    pub(crate) location: Entries<String, At<Word>>,
    /// Customers, suppliers, carriers.
    #[serde(default)]
    pub(crate) party: Entries<String, At<Word>>,
}
