//! Capabilities: what workflows call and systems implement, major by major.

use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

/// The name under which a capability is kept, called and routed: `name` is its first major, and `name@1` the same.
///
/// ```
/// assert_eq!(andon_contract::contract::capability_key("service.open-case@1"), "service.open-case");
/// assert_eq!(andon_contract::contract::capability_key("service.open-case@2"), "service.open-case@2");
/// ```
pub fn capability_key(name: &str) -> &str {
    name.strip_suffix("@1").unwrap_or(name)
}

/// A canonical function.
#[derive(Debug, Clone)]
pub struct Capability {
    /// Its major version.
    pub version: u32,
    /// Who answers for its kind.
    pub domain: String,
    /// The team that answers for it.
    pub owner: Name,
    /// What it changes, in words; `None`: it only reads.
    pub effect: Option<String>,
    /// The schema of its input: `name/major`.
    pub input: String,
    /// The fields that its output must have, with their JSON types.
    pub output: BTreeMap<String, String>,
    /// The schema of its output, `name/major`, where it names one.
    pub output_schema: Option<String>,
    /// How quickly it is to be done.
    pub objective: Option<Objective>,
    /// That it should not be called any more; `None`: it may.
    pub deprecated: Option<Deprecated>,
}

/// A promise about time.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Done within this span.
    pub within: Span,
    /// For so many of a hundred.
    pub percent: f64,
}

/// A capability that goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecated {
    /// The day since when it should not be called, as written.
    pub since: String,
    /// The day from which on nobody need answer it, as written.
    pub sunset: Option<String>,
    /// What is called instead.
    pub instead: String,
}
