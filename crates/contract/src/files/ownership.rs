//! `policies/ownership.yaml`: who answers for what, until when, and how the teams are told.

use super::{
    sources::UserPasswordFile,
    words::{Comparand, Duration, Named, Silence},
};
use crate::{
    contract::MailTls,
    read::{At, Entries, Items, Raw},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Teams, what they own, and how they are told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "policies/ownership.yaml")]
pub(crate) struct OwnershipFile {
    /// The teams, by name.
    pub(crate) teams: Entries<Named, TeamFile>,
    /// Who owns an exception; the first that matches wins, the last matches everything.
    pub(crate) rules: Items<At<OwnerFile>>,
    /// How teams are told; without it no mail is sent.
    #[serde(default)]
    pub(crate) notify: Option<NotifyFile>,
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
    #[schemars(with = "Option<HookFile>")]
    pub(crate) webhook: Option<Raw>,
    /// Its hours: `always` (default), `06:00 to 22:00`, `Mon-Fri 06:00 to 22:00`, several with commas between. Times to
    /// answer are counted in them.
    #[serde(default)]
    pub(crate) hours: Option<At<String>>,
    /// The zone of its clock, such as `Europe/Berlin`; needed where the hours are not `always`.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
}

/// Where a team's notices are posted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookFile {
    /// `https://host/path`, or `env:NAME else https://host/path`.
    pub(crate) url: At<String>,
    /// What they are signed with, by Standard Webhooks: `env:NAME` or `file:PATH` of a secret `whsec_...`.
    #[serde(default)]
    pub(crate) secret: Option<At<String>>,
    /// `false`: they are not signed, and whoever gets them cannot know whom they are from.
    #[serde(default)]
    pub(crate) signed: Option<At<bool>>,
    /// File of the authorities that are believed, PEM; without it those of the operating system.
    #[serde(default)]
    pub(crate) authority: Option<At<String>>,
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
    /// The outcome of the call, or a list of them.
    #[serde(default)]
    #[schemars(with = "Option<OutcomesWord>")]
    pub(crate) outcome: Option<Raw>,
    /// What stands at places of what it is about, by dotted path: `input.material: [4711, 4712]`. A path begins with
    /// `input`, `site`, `capability`, `system`, `outcome`, `key` or `detail`.
    #[serde(default)]
    #[schemars(with = "Entries<String, ValuesWord>")]
    pub(crate) content: Entries<String, Raw>,
    /// The team.
    pub(crate) owner: At<Named>,
    /// In how much of the team's hours it is to be dealt with; default 8 h. `never`: it is never due.
    #[serde(default)]
    pub(crate) within: Option<At<Silence>>,
    /// Whom it passes to when nobody has dealt with it.
    #[serde(default)]
    pub(crate) escalate: Option<EscalateFile>,
}

/// A word or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
pub(crate) enum OutcomesWord {
    /// One outcome.
    One(OutcomeWord),
    /// Any of these.
    Any(Vec<OutcomeWord>),
}

/// A value or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
pub(crate) enum ValuesWord {
    /// One value.
    One(Comparand),
    /// Any of these.
    Any(Vec<Comparand>),
}

/// That it passes to another team.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscalateFile {
    /// So long after it was due, in the hours of the team that had it; default at once.
    #[serde(default)]
    pub(crate) after: Option<At<Duration>>,
    /// The team.
    pub(crate) to: At<Named>,
}

/// How teams are told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyFile {
    /// The mail server; without it no mail is sent.
    #[serde(default)]
    pub(crate) smtp: Option<SmtpFile>,
    /// A team gets at most one mail in this time, from 1 min to 1 d; default 10 min.
    #[serde(default)]
    pub(crate) every: Option<At<Duration>>,
    /// Where people find this instance, `https://host`; notices link to it.
    #[serde(default)]
    pub(crate) link: Option<At<String>>,
}

/// A mail server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpFile {
    /// `HOST:PORT`, or `env:NAME else HOST:PORT`.
    pub(crate) address: At<String>,
    /// Whom mails come from.
    pub(crate) from: At<String>,
    /// `starttls` (default, usually port 587), `tls` (usually port 465), or `none`.
    #[serde(default)]
    pub(crate) tls: Option<At<MailTls>>,
    /// File of the authorities that are believed, PEM; without it those of the operating system.
    #[serde(default)]
    pub(crate) authority: Option<At<String>>,
    /// User and password, where the server wants them.
    #[serde(default)]
    pub(crate) credentials: Option<UserPasswordFile>,
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

/// An outcome of a call that did not do what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutcomeWord {
    /// The credentials are not accepted.
    Auth,
    /// The credentials may not do this.
    Permission,
    /// Too many requests.
    Limit,
    /// The object changed or is locked.
    Conflict,
    /// The content is refused.
    Validation,
    /// What the request names does not exist.
    NotFound,
    /// Failed without effect until the time for it was up.
    Transient,
    /// Sent, and nobody knows whether it had its effect.
    Unknown,
}

impl OutcomeWord {
    /// The outcome.
    pub(crate) fn class(self) -> andon_model::OutcomeClass {
        use andon_model::OutcomeClass as Class;
        match self {
            Self::Auth => Class::Auth,
            Self::Permission => Class::Permission,
            Self::Limit => Class::Limit,
            Self::Conflict => Class::Conflict,
            Self::Validation => Class::Validation,
            Self::NotFound => Class::NotFound,
            Self::Transient => Class::Transient,
            Self::Unknown => Class::Unknown,
        }
    }
}
