//! `policies/ownership.yaml`: who answers for what.

use super::words::Named;
use crate::read::{At, Entries, Items};
use schemars::JsonSchema;
use serde::Deserialize;

/// Teams and what they own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "policies/ownership.yaml")]
pub(crate) struct OwnershipFile {
    /// The teams, by name.
    pub(crate) teams: Entries<Named, TeamFile>,
    /// Who owns an exception; the first that matches wins, the last matches everything.
    pub(crate) rules: Items<At<OwnerFile>>,
}

/// A team.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamFile {
    /// Its mail address.
    #[serde(default)]
    pub(crate) mail: Option<At<String>>,
    /// Its webhook.
    #[serde(default)]
    pub(crate) webhook: Option<At<String>>,
    /// Its hours, for people to read.
    #[serde(default)]
    pub(crate) hours: Option<String>,
}

/// Who owns what matches; a key that is left out matches everything.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnerFile {
    /// The domain of the capability, or `ingest` for messages.
    #[serde(default)]
    pub(crate) domain: Option<At<Named>>,
    /// The site.
    #[serde(default)]
    pub(crate) site: Option<At<Named>>,
    /// The kind of exception.
    #[serde(default)]
    pub(crate) kind: Option<At<ExceptionWord>>,
    /// The team.
    pub(crate) owner: At<Named>,
}

/// A kind of exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExceptionWord {
    /// A message that could not be read.
    Input,
    /// A call that could not be made.
    Output,
    /// A decision that a person takes.
    Decision,
    /// Two systems that differ.
    Drift,
    /// A promise about time that is missed.
    Objective,
}

impl ExceptionWord {
    /// The word of the rows.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Decision => "decision",
            Self::Drift => "drift",
            Self::Objective => "objective",
        }
    }
}
