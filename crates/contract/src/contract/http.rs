//! Sources that are posted to.

use super::Secret;
use crate::expr::Program;
use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

/// An HTTP source: samples and events are posted to it. Where it has neither a token nor keys nor a signature,
/// anybody who reaches the API may post.
#[derive(Debug, Clone)]
pub struct HttpSource {
    /// The token that callers must show, where one is asked for.
    pub token: Option<Secret>,
    /// Keys of callers by name, beside the token: whose key it was stands in the log of the instance.
    pub keys: BTreeMap<Name, Secret>,
    /// The signature of webhooks, the third way in.
    pub signature: Option<Signature>,
    /// Posts under way at once, 1 to [`HttpSource::POSTS_MAX`]; one more is answered with 429.
    pub posts: usize,
    /// How what is posted to `/events` becomes events; the first whose `when` holds is taken.
    pub events: Vec<EventMapping>,
}

impl HttpSource {
    /// Posts under way at once unless told.
    pub const POSTS: usize = 8;
    /// Posts under way at once at most: each may hold a body in memory.
    pub const POSTS_MAX: usize = 64;

    /// A source that asks nobody who he is.
    pub fn open() -> Self {
        Self { token: None, keys: BTreeMap::new(), signature: None, posts: Self::POSTS, events: Vec::new() }
    }
}

/// The signature of webhooks as in Standard Webhooks: HMAC-SHA256 over id, time and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The secret: `whsec_` and base64, or any other text as it is.
    pub secret: Secret,
    /// The beginning of the three headers, in lower case: `webhook` stands for `webhook-id`, `webhook-timestamp` and
    /// `webhook-signature`.
    pub header: String,
    /// A time that differs from ours by more is refused.
    pub tolerance: Span,
}

impl Signature {
    /// The tolerance unless told.
    pub const TOLERANCE: Span = Span::from_secs(300);
    /// The longest tolerance: as long as the id of a webhook is remembered.
    pub const TOLERANCE_MAX: Span = Span::from_secs(86_400);
}

/// How what somebody else has found becomes an event.
#[derive(Debug, Clone)]
pub struct EventMapping {
    /// Which posts it takes; `None`: every one.
    pub when: Option<Program>,
    /// What it makes of them.
    pub to: MappedTo,
}

/// What a mapping makes of a post.
#[derive(Debug, Clone)]
pub enum MappedTo {
    /// An event.
    Event(Box<MappedEvent>),
    /// Nothing, for this reason.
    Nothing(String),
}

/// An event over what was posted; each expression is compiled without variables.
#[derive(Debug, Clone)]
pub struct MappedEvent {
    /// Its type, one that has a schema.
    pub kind: String,
    /// What the source calls the asset it is about.
    pub subject: Program,
    /// When it happened: a text, or a number of milliseconds since 1970; `None`: the receive time.
    pub time: Option<Program>,
    /// What the source calls it, by which a repeat is known; `None`: what was posted, byte by byte.
    pub id: Option<Program>,
    /// Its data.
    pub data: Program,
}
