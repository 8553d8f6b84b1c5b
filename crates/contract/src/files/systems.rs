//! `systems/<system>.yaml`: systems of record and what they can do.

use super::{
    policy::{BreakerWord, LimitsFile, RetryFile},
    reach::{OAuth2File, ProxyWord, SystemTlsFile},
    reads::{PagingFile, ReadFile},
    sources::UserPasswordFile,
    words::{Duration, Named},
};
use crate::{
    contract::Maturity,
    read::{At, Entries, Raw},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A system of record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "systems/<system>.yaml")]
pub(crate) struct SystemFile {
    /// What it speaks: `rest`.
    #[expect(dead_code, reason = "there is one protocol; the key is read so that others are refused")]
    pub(crate) protocol: At<ProtocolWord>,
    /// Where it stands.
    pub(crate) zone: At<Named>,
    /// Whether it is a test system, where nothing counts: it may shadow calls that have an effect; default false.
    #[serde(default)]
    pub(crate) test: Option<At<bool>>,
    /// How far this file has come: `simulated` (tried against an office of ours), `tested` (against a system of its
    /// kind), `proven` (it is in use). Without it nobody says.
    #[serde(default)]
    pub(crate) maturity: Option<Maturity>,
    /// The base of its addresses: `https://host/path`, or `env:NAME else https://host/path`.
    pub(crate) base: At<String>,
    /// Where connections go in place of the host of `base`: `HOST:PORT`, or `env:NAME else HOST:PORT`. The name in
    /// requests and in TLS stays that of `base`.
    #[serde(default)]
    pub(crate) connect: Option<At<String>>,
    /// How TLS is spoken.
    #[serde(default)]
    pub(crate) tls: Option<SystemTlsFile>,
    /// Connections go through this proxy: `http://host:port`, or with `credentials`. None of the environment is used.
    #[serde(default)]
    #[schemars(with = "Option<ProxyWord>")]
    pub(crate) proxy: Option<Raw>,
    /// How we identify ourselves; without it not at all.
    #[serde(default)]
    pub(crate) credentials: Option<At<CredentialsFile>>,
    /// An attempt that takes longer has an unknown outcome; default 30 s.
    #[serde(default)]
    pub(crate) timeout: Option<At<Duration>>,
    /// When failed attempts are repeated.
    #[serde(default)]
    pub(crate) retry: Option<RetryFile>,
    /// What the system can bear.
    #[serde(default)]
    pub(crate) limits: Option<LimitsFile>,
    /// When calls are held back because the system fails, and how it is tried; or `off`.
    #[serde(default)]
    #[schemars(with = "Option<BreakerWord>")]
    pub(crate) breaker: Option<Raw>,
    /// What it can do, by name.
    #[serde(default)]
    pub(crate) operations: Entries<Named, OperationFile>,
    /// What is taken from it, by name.
    #[serde(default)]
    pub(crate) reads: Entries<Named, ReadFile>,
}

/// What a system speaks.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProtocolWord {
    /// JSON over HTTP.
    Rest,
}

/// One of these ways to identify ourselves.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialsFile {
    /// `Authorization: Bearer`: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) bearer: Option<At<String>>,
    /// `Authorization: Basic`.
    #[serde(default)]
    pub(crate) basic: Option<UserPasswordFile>,
    /// A header with a key.
    #[serde(default, rename = "api-key")]
    pub(crate) api_key: Option<ApiKeyFile>,
    /// `Authorization: Bearer` with a token of OAuth 2.0, got before and renewed in time.
    #[serde(default)]
    pub(crate) oauth2: Option<OAuth2File>,
}

/// A header with a key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyFile {
    /// The header's name.
    pub(crate) header: At<String>,
    /// The key: `env:NAME` or `file:PATH`.
    pub(crate) key: At<String>,
}

/// What a system can do, bound to a capability.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperationFile {
    /// The capability it implements.
    pub(crate) implements: At<String>,
    /// What repeats do: `key`, `upsert`, `none` or `lookup: { ... }`; an operation that only reads needs none.
    #[serde(default)]
    #[schemars(with = "IdempotencyWord")]
    pub(crate) idempotency: Option<Raw>,
    /// An attempt at it takes at most this; not longer than its system says.
    #[serde(default)]
    pub(crate) timeout: Option<At<Duration>>,
    /// When its failed attempts are repeated, where otherwise than at its system.
    #[serde(default)]
    pub(crate) retry: Option<RetryFile>,
    /// A breaker of its own, beside that of its system: it holds back the calls of this operation only.
    #[serde(default)]
    #[schemars(with = "Option<BreakerWord>")]
    pub(crate) breaker: Option<Raw>,
    /// The request.
    pub(crate) request: RequestFile,
    /// How the answer is read.
    pub(crate) response: ResponseFile,
    /// How an answer in pages is read, of an operation that only reads: `output` sees the list of all items.
    #[serde(default)]
    pub(crate) paging: Option<At<PagingFile>>,
}

/// The words of idempotency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClassWord {
    /// It only reads.
    Read,
    /// The system takes our key.
    Key,
    /// A natural key: repeats write the same.
    Upsert,
    /// Repeats do it again; an unknown outcome needs a person.
    None,
}

/// `lookup` with its settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupClass {
    /// How the system is searched by our reference.
    pub(crate) lookup: LookupFile,
}

/// How a system is searched by our reference.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupFile {
    /// The field that holds the reference.
    pub(crate) by: At<String>,
    /// How long the system may need until the search sees what was sent; default 60 s.
    #[serde(default)]
    pub(crate) settle: Option<At<Duration>>,
    /// The request that searches.
    pub(crate) request: RequestFile,
    /// Over the answer: the document found, or null.
    pub(crate) found: At<String>,
    /// How an answer in pages is read: until the document is found.
    #[serde(default)]
    pub(crate) paging: Option<At<PagingFile>>,
}

/// A word, or `lookup` with its settings.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum IdempotencyWord {
    /// A class without settings.
    Word(ClassWord),
    /// Search by our reference.
    Lookup(Box<LookupClass>),
}

/// A request; texts `${ ... }` are expressions over the capability's input and `$key`, `$reference`, `$site`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFile {
    /// The method.
    pub(crate) method: At<MethodWord>,
    /// The path below the base; each `${ ... }` in it becomes one segment.
    pub(crate) path: At<String>,
    /// The query: names and values.
    #[serde(default)]
    pub(crate) query: Entries<String, Raw>,
    /// Headers: names and values.
    #[serde(default)]
    pub(crate) headers: Entries<String, Raw>,
    /// The body: a map of fields; a list of one value for each item of another is `{ each: ${ ... }, as: ... }`.
    #[serde(default)]
    pub(crate) body: Option<Raw>,
    /// How the body is written: `json` (default), `form`, `text`, or a media type such as `text/xml`.
    #[serde(default)]
    pub(crate) content: Option<At<String>>,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum MethodWord {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl MethodWord {
    /// As it stands in a request.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// How an answer is read; texts `${ ... }` are expressions over its body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponseFile {
    /// The number of the document; none for reads.
    #[serde(default)]
    pub(crate) document: Option<At<String>>,
    /// The capability's output.
    pub(crate) output: Raw,
    /// What the body is: `json` (default), `text`, or `none`, which is not read.
    #[serde(default)]
    pub(crate) content: Option<At<BodyWord>>,
}

/// What the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodyWord {
    /// JSON.
    Json,
    /// A text.
    Text,
    /// Nothing that is read.
    None,
}
