//! `tests/<scenario>.yaml`: what happens when.

use super::words::{Duration, Named};
use crate::read::{At, Entries, Items, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// Samples and answers by time, and what must come of them. It is played on a time of its own; nothing is connected.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tests/<scenario>.yaml")]
pub(crate) struct ScenarioFile {
    /// What it shows, in a sentence.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// When it begins, RFC 3339; default 2026-01-01T00:00:00Z. All other times are told from here.
    #[serde(default)]
    pub(crate) start: Option<At<String>>,
    /// How long the plant goes on; default to the last thing given. Systems may answer later.
    #[serde(default)]
    pub(crate) until: Option<At<Duration>>,
    /// What happens at the plant.
    pub(crate) given: Items<GivenFile>,
    /// How systems answer.
    #[serde(default)]
    pub(crate) answers: Items<AnswerFile>,
    /// What must come of it.
    pub(crate) expect: ExpectFile,
}

/// One thing that happens: samples of a signal, a source that is connected or disconnected, a business object that is
/// told, or what a person does to alarms.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenFile {
    /// When, from the start.
    pub(crate) at: At<Duration>,
    /// Samples of this signal: `<asset>/<signal>`.
    #[serde(default)]
    pub(crate) signal: Option<At<String>>,
    /// One value.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) value: Option<Raw>,
    /// Several values, one each `every`.
    #[serde(default)]
    pub(crate) values: Option<Items<Raw>>,
    /// The time between values.
    #[serde(default)]
    pub(crate) every: Option<At<Duration>>,
    /// One value is repeated each `every` up to here, from the start; an object is valid before this moment.
    #[serde(default)]
    pub(crate) to: Option<At<Duration>>,
    /// `good` (default), `uncertain` or `bad`.
    #[serde(default)]
    pub(crate) quality: Option<At<QualityWord>>,
    /// The times of the samples are earlier than their receipt by this; default 0 s.
    #[serde(default)]
    pub(crate) delayed: Option<At<Duration>>,
    /// The source that delivers them; default the first that delivers their asset.
    #[serde(default)]
    pub(crate) source: Option<At<Named>>,
    /// This source is disconnected.
    #[serde(default)]
    pub(crate) disconnect: Option<At<Named>>,
    /// This source is connected again.
    #[serde(default)]
    pub(crate) connect: Option<At<Named>>,
    /// This business object is told: `<Type>/<site>/<number>`.
    #[serde(default)]
    pub(crate) object: Option<At<String>>,
    /// The object is valid from this moment on, from the start; without it always before `to`.
    #[serde(default)]
    pub(crate) from: Option<At<Duration>>,
    /// The assets it is valid for; default those of its `data`.
    #[serde(default)]
    pub(crate) assets: Option<Items<At<String>>>,
    /// The line for whose assets it is valid besides.
    #[serde(default)]
    pub(crate) line: Option<At<String>>,
    /// Its fields; number and site are added.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) data: Option<Raw>,
    /// A person shelves the alarms of a rule for an asset.
    #[serde(default)]
    pub(crate) shelve: Option<At<ShelveFile>>,
    /// A person ends that.
    #[serde(default)]
    pub(crate) unshelve: Option<At<ActFile>>,
    /// A person disables a rule for an asset.
    #[serde(default)]
    pub(crate) disable: Option<At<ActFile>>,
    /// A person enables it again.
    #[serde(default)]
    pub(crate) enable: Option<At<ActFile>>,
}

/// What a person does to the alarms of a rule for an asset.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActFile {
    /// The rule.
    pub(crate) rule: At<String>,
    /// The asset.
    pub(crate) asset: At<String>,
    /// Why.
    #[serde(default)]
    pub(crate) reason: Option<At<String>>,
}

/// How a person shelves the alarms of a rule for an asset.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShelveFile {
    /// The rule.
    pub(crate) rule: At<String>,
    /// The asset.
    pub(crate) asset: At<String>,
    /// How long; default `MaxTimeShelved`, which is also the most.
    #[serde(default, rename = "for")]
    pub(crate) within: Option<At<Duration>>,
    /// And only until an alarm returns.
    #[serde(default)]
    pub(crate) once: bool,
    /// Why.
    #[serde(default)]
    pub(crate) reason: Option<At<String>>,
}

/// The quality of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum QualityWord {
    /// To be relied on.
    Good,
    /// Perhaps.
    Uncertain,
    /// Not at all.
    Bad,
}

/// How an operation answers. Several of one operation are given one after the other; the last one stays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerFile {
    /// `<system>.<operation>`.
    pub(crate) operation: At<String>,
    /// What is answered when the system is searched for the document, not when it is sent.
    #[serde(default)]
    pub(crate) search: bool,
    /// The status code.
    #[serde(default)]
    pub(crate) status: Option<At<u16>>,
    /// The headers.
    #[serde(default)]
    pub(crate) headers: Entries<String, At<String>>,
    /// The body.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) body: Option<Raw>,
    /// `lost`: it was sent and nothing comes back; `refused`: there is no connection.
    #[serde(default)]
    pub(crate) failure: Option<At<FailureWord>>,
    /// How long it takes; default 100 ms.
    #[serde(default)]
    pub(crate) after: Option<At<Duration>>,
    /// How often it is given; default once.
    #[serde(default)]
    pub(crate) times: Option<At<u32>>,
}

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum FailureWord {
    /// It was sent, and nothing comes back.
    Lost,
    /// There is no connection.
    Refused,
}

/// What must come of it. What is named is compared; what is not named may be anything.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectFile {
    /// Types of events that are left out of the comparison.
    #[serde(default)]
    pub(crate) ignore: Items<At<String>>,
    /// All other events, in their order; without this key events are not compared.
    #[serde(default)]
    pub(crate) events: Option<Items<ExpectedEventFile>>,
    /// All calls, in their order; without this key calls are not compared.
    #[serde(default)]
    pub(crate) calls: Option<Items<ExpectedCallFile>>,
    /// All exceptions, in their order; without this key there must be none.
    #[serde(default)]
    pub(crate) exceptions: Items<ExpectedExceptionFile>,
}

/// An event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedEventFile {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: At<String>,
    /// Its time, from the start.
    #[serde(default)]
    pub(crate) at: Option<At<Duration>>,
    /// What it is about.
    #[serde(default)]
    pub(crate) subject: Option<At<String>>,
    /// Fields of its data with their values; others may be there too.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) data: Option<Raw>,
}

/// A call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedCallFile {
    /// The capability.
    pub(crate) capability: At<String>,
    /// The operation that answered last: `<system>.<operation>`.
    #[serde(default)]
    pub(crate) operation: Option<At<String>>,
    /// Where it stands at the end: `delivered`, `refused`, `parked`, `waiting`, `in-flight`, `skipped`.
    #[serde(default)]
    pub(crate) state: Option<At<String>>,
    /// Attempts, searches included.
    #[serde(default)]
    pub(crate) attempts: Option<At<u32>>,
    /// The number of the document.
    #[serde(default)]
    pub(crate) document: Option<At<String>>,
    /// Fields of its input with their values; others may be there too.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) input: Option<Raw>,
}

/// An exception.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedExceptionFile {
    /// Its kind: `input`, `output`, `decision`, `drift`, `objective`.
    pub(crate) kind: At<String>,
    /// The team that owns it.
    #[serde(default)]
    pub(crate) owner: Option<At<Named>>,
    /// A part of what is wrong.
    #[serde(default)]
    pub(crate) cause: Option<At<String>>,
}
