//! `reads` of `systems/<system>.yaml`: objects that are taken from a system of record.

use super::{
    http::SignatureFile,
    systems::MethodWord,
    words::{Duration, Named},
};
use crate::read::{At, Entries, Items, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// Objects that are taken from a system, again and again. Texts `${ ... }` are expressions: those of the request over
/// `{cursor, delta, since, site, now, page, skip, token}`, those of `number`, `site`, `from`, `to`, `assets`, `line`,
/// `gone` and `mapping` over one item of the answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// The schema of the objects: `ProductionOrder/1`.
    pub(crate) object: At<String>,
    /// How often it is asked: `30 s`. Left out where the system only posts.
    #[serde(default)]
    pub(crate) every: Option<At<Duration>>,
    /// After this long without an answer what was read is stale; default twice `every`.
    #[serde(default, rename = "max-age")]
    pub(crate) max_age: Option<At<Duration>>,
    /// The sites it serves; default all.
    #[serde(default)]
    pub(crate) sites: Option<Items<At<String>>>,
    /// The request. Left out where the system only posts.
    #[serde(default)]
    pub(crate) request: Option<ReadRequestFile>,
    /// What the system posts to `/v1/systems/<system>/reads/<read>`.
    #[serde(default)]
    pub(crate) webhook: Option<At<WebhookFile>>,
    /// The list of items in the answer: `${ .value }`; default the answer itself.
    #[serde(default)]
    pub(crate) items: Option<At<String>>,
    /// What the next request shall know, over `{answer, last, cursor}`; null leaves the cursor where it is.
    #[serde(default)]
    pub(crate) cursor: Option<At<String>>,
    /// How the system is asked for changes only, where it keeps count of them.
    #[serde(default)]
    pub(crate) delta: Option<At<DeltaFile>>,
    /// How an answer in pages is read.
    #[serde(default)]
    pub(crate) paging: Option<At<PagingFile>>,
    /// What becomes of an object that a whole answer does not hold any more: `keep` (default) or `close`.
    #[serde(default)]
    pub(crate) absent: Option<At<AbsentWord>>,
    /// Whether an item says that its object is gone.
    #[serde(default)]
    pub(crate) gone: Option<At<String>>,
    /// The time zone of times that name none, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
    /// The object's number in the system.
    pub(crate) number: At<String>,
    /// Our name of the object's site; without it the system is asked once for each site.
    #[serde(default)]
    pub(crate) site: Option<At<String>>,
    /// From when the object is valid for its assets; null: not yet. Without this key it always is.
    #[serde(default)]
    pub(crate) from: Option<At<String>>,
    /// Until when it is valid; null: it is open.
    #[serde(default)]
    pub(crate) to: Option<At<String>>,
    /// Our names of the assets it is for: a list, or one.
    #[serde(default)]
    pub(crate) assets: Option<At<String>>,
    /// The line for whose assets it is besides.
    #[serde(default)]
    pub(crate) line: Option<At<String>>,
    /// The fields of the object; `number`, `site` and `assets` are added where the schema has them.
    pub(crate) mapping: Raw,
}

/// The request of a read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRequestFile {
    /// The method; default GET.
    #[serde(default)]
    pub(crate) method: Option<At<MethodWord>>,
    /// The path below the base; each `${ ... }` in it becomes one segment.
    pub(crate) path: At<String>,
    /// The query: names and values.
    #[serde(default)]
    pub(crate) query: Entries<String, Raw>,
    /// Headers: names and values.
    #[serde(default)]
    pub(crate) headers: Entries<String, Raw>,
    /// The body, of a POST that searches.
    #[serde(default)]
    pub(crate) body: Option<Raw>,
    /// How the body is written: `json` (default), `form`, `text`, or a media type.
    #[serde(default)]
    pub(crate) content: Option<At<String>>,
}

/// How a system that keeps count of changes is asked for those since the last answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeltaFile {
    /// Over the last page of an answer: the address of the changes since, `${ .["@odata.deltaLink"] }`.
    #[serde(default)]
    pub(crate) link: Option<At<String>>,
    /// Over the last page of an answer: a token, which the request sees as `.delta`; null there: all is asked for.
    #[serde(default)]
    pub(crate) token: Option<At<String>>,
    /// The status codes by which the system says that it does not know them any more; default 410.
    #[serde(default)]
    pub(crate) expired: Option<Items<At<u16>>>,
}

/// What a system posts of objects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookFile {
    /// The token that the system must show: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) token: Option<At<String>>,
    /// Keys of callers by name, each `env:NAME` or `file:PATH`; any of them lets in.
    #[serde(default)]
    pub(crate) keys: Entries<Named, At<String>>,
    /// Posts that are signed as Standard Webhooks say; a right signature lets in.
    #[serde(default)]
    pub(crate) signature: Option<SignatureFile>,
    /// Posts under way at once, 1 to 64; default 8. One more is told to come again later.
    #[serde(default)]
    pub(crate) posts: Option<At<u32>>,
    /// Which posts tell something, over the body; default every one.
    #[serde(default)]
    pub(crate) when: Option<At<String>>,
    /// The list of items in the body, or the one item: `${ .data }`; default the body itself.
    #[serde(default)]
    pub(crate) items: Option<At<String>>,
}

/// How an answer in pages is read: by an address, a header, a token, or by numbers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PagingFile {
    /// Over the answer: the address of the next page, or null.
    #[serde(default)]
    pub(crate) next: Option<At<String>>,
    /// The relation by which the header `Link` names the next page: `next`.
    #[serde(default)]
    pub(crate) link: Option<At<String>>,
    /// Over the answer: the token of the next page, which its request sees, or null.
    #[serde(default)]
    pub(crate) token: Option<At<String>>,
    /// Items of a full page: after it the next is asked for, with `.page` one and `.skip` so many higher.
    #[serde(default)]
    pub(crate) size: Option<At<u32>>,
    /// Pages read of one answer at most; default 100.
    #[serde(default)]
    pub(crate) pages: Option<At<u32>>,
    /// Of an operation: the list of items in an answer; default the answer itself.
    #[serde(default)]
    pub(crate) items: Option<At<String>>,
}

/// What becomes of an object that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AbsentWord {
    /// It stays as it was.
    Keep,
    /// It is closed.
    Close,
}
