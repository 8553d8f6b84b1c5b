//! `sources/<source>.yaml` with `kind: http`: samples and events that are posted.

use super::{
    sources::HttpWord,
    words::{Duration, Named, Silence},
};
use crate::{
    contract::Clock,
    read::{At, Entries, Items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Samples and events that are posted to the API: `POST /v1/sources/<name>/samples` and `.../events`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSourceFile {
    /// `http`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: HttpWord,
    /// The token that callers must show: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) token: Option<At<String>>,
    /// Keys of callers by name, each `env:NAME` or `file:PATH`; any of them lets in.
    #[serde(default)]
    pub(crate) keys: Entries<Named, At<String>>,
    /// Webhooks that are signed as Standard Webhooks say; a right signature lets in.
    #[serde(default)]
    pub(crate) signature: Option<SignatureFile>,
    /// Posts under way at once, 1 to 64; default 8. One more is told to come again later.
    #[serde(default)]
    pub(crate) posts: Option<At<u32>>,
    /// How what is posted to `.../events` becomes events; the first whose `when` holds is taken.
    #[serde(default)]
    pub(crate) events: Items<EventMappingFile>,
    /// `live` (default), or `recorded` for a replay: no time passes between its samples.
    #[serde(default)]
    pub(crate) clock: Option<Clock>,
    /// The zone of times that name none, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
    /// A time this much later than the receive time is not believed; default 5 min.
    #[serde(default)]
    pub(crate) ahead: Option<At<Duration>>,
    /// Connected and without a sample for so long, the source is silent; `never`: it may say nothing for ever. Default
    /// 10 min, and `never` with a recorded clock.
    #[serde(default)]
    pub(crate) silence: Option<At<Silence>>,
}

/// How webhooks are signed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureFile {
    /// The secret: `env:NAME` or `file:PATH`; what stands there is `whsec_` and base64, or any other text.
    pub(crate) secret: At<String>,
    /// The beginning of the headers; default `webhook`: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    #[serde(default)]
    pub(crate) header: Option<At<String>>,
    /// A time that differs from ours by more is refused; default 5 min.
    #[serde(default)]
    pub(crate) tolerance: Option<At<Duration>>,
}

/// How what somebody else has found becomes an event.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventMappingFile {
    /// Which posts it takes, an expression `${ ... }` over the body; without it every one.
    #[serde(default)]
    pub(crate) when: Option<At<String>>,
    /// Nothing is made of these posts, for the reason given here.
    #[serde(default)]
    pub(crate) ignore: Option<At<String>>,
    /// The type of the event.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<At<String>>,
    /// What the source calls the asset: an expression `${ ... }`.
    #[serde(default)]
    pub(crate) subject: Option<At<String>>,
    /// When it happened: an expression that gives a text, or milliseconds since 1970; default the receive time.
    #[serde(default)]
    pub(crate) time: Option<At<String>>,
    /// What the source calls the event, by which a repeat is known: an expression; default the bytes of the body.
    #[serde(default)]
    pub(crate) id: Option<At<String>>,
    /// Its data: an expression `${ ... }`.
    #[serde(default)]
    pub(crate) data: Option<At<String>>,
}
