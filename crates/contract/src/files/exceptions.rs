//! `policies/exceptions.yaml`: what is tried again by itself, and what needs two people.

use super::{
    ownership::OutcomeWord,
    words::{Duration, Named},
};
use crate::read::{At, Items, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is done about exceptions without, or only with, further people. Without this file people do everything, alone.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "policies/exceptions.yaml")]
pub(crate) struct ExceptionsFile {
    /// Which exceptions are retried by themselves, and when.
    #[serde(default)]
    pub(crate) replay: Items<At<ReplayFile>>,
    /// What two people must agree on.
    #[serde(default)]
    pub(crate) agree: Items<At<AgreeFile>>,
}

/// Exceptions that are retried by themselves; what is not named matches everything.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayFile {
    /// Of calls at this system.
    #[serde(default)]
    pub(crate) system: Option<At<Named>>,
    /// Of calls of this capability.
    #[serde(default)]
    pub(crate) capability: Option<At<String>>,
    /// At this site.
    #[serde(default)]
    pub(crate) site: Option<At<Named>>,
    /// With this outcome, or one of these; without it limit and transient.
    #[serde(default)]
    #[schemars(with = "Option<OutcomeWords>")]
    pub(crate) outcome: Option<Raw>,
    /// `breaker-closes`: once the breaker of the system closes, in the order of each key; or every so often.
    #[schemars(with = "WhenFile")]
    pub(crate) when: Raw,
}

/// An outcome or a list of them.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is wanted")]
enum OutcomeWords {
    /// One.
    One(OutcomeWord),
    /// Several.
    Several(Vec<OutcomeWord>),
}

/// When exceptions are retried.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is wanted")]
enum WhenFile {
    /// At a moment with a name.
    Word(WhenWord),
    /// Again and again.
    Every(EveryFile),
}

/// A moment with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhenWord {
    /// The breaker of the system has closed.
    BreakerCloses,
}

/// Again and again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EveryFile {
    /// So long after it failed last, from 10 s to 7 d.
    pub(crate) every: At<Duration>,
    /// So often, from 1 to 100; then it waits for a person.
    pub(crate) times: At<u32>,
}

/// What two people must agree on; what is not named matches everything.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgreeFile {
    /// The act.
    pub(crate) action: At<AgreeWord>,
    /// Of exceptions about capabilities of this domain.
    #[serde(default)]
    pub(crate) domain: Option<At<String>>,
    /// At this site.
    #[serde(default)]
    pub(crate) site: Option<At<Named>>,
}

/// An act that two people may have to agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgreeWord {
    /// Another input is sent.
    Edit,
}
