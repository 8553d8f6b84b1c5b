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
    /// Its names by kind and our name: `asset: { machine-01: EQ-100042 }`. A name that holds for a time is
    /// `{ name: EQ-100042, from: 2026-01-01, until: 2027-01-01 }`, several of them are a list. What is too much for
    /// this file stands in `identifiers/<system>.csv`.
    #[serde(default)]
    pub(crate) names: NamesFile,
    /// Its values by map (`unit`, `state`, `reason`, `priority`, ...) and our value, `else` for all others; or, where
    /// the way back is another, `{ to: { ... }, from: { ... } }`.
    #[serde(default)]
    pub(crate) values: Entries<String, Entries<String, Raw>>,
}

/// Its names by kind of thing.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamesFile {
    /// Assets.
    #[serde(default)]
    pub(crate) asset: Entries<String, Raw>,
    /// Sites.
    #[serde(default)]
    pub(crate) site: Entries<String, Raw>,
    /// Materials.
    #[serde(default)]
    pub(crate) material: Entries<String, Raw>,
    /// Locations.
    #[serde(default)]
    pub(crate) location: Entries<String, Raw>,
    /// Customers, suppliers, carriers.
    #[serde(default)]
    pub(crate) party: Entries<String, Raw>,
}

/// A name and when it holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameFile {
    /// The name there.
    pub(crate) name: At<Word>,
    /// The first day it holds, from midnight on at the site of the thing, or in UTC.
    #[serde(default)]
    pub(crate) from: Option<At<String>>,
    /// The first day it holds no more.
    #[serde(default)]
    pub(crate) until: Option<At<String>>,
}
