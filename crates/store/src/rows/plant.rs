//! Rows of the side of the plant: sources, what was taken in and retained, and the newest values.

use andon_model::{Name, Position, Quality, SiteName, Time, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// An interval in which samples of a source may be missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GapRow {
    /// The source.
    pub source: Name,
    /// From here.
    pub from: Time,
    /// To here.
    pub to: Time,
    /// Why.
    pub reason: String,
}

/// The condition of a source as it was last recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// The source.
    pub source: Name,
    /// Connected and subscribed.
    pub connected: bool,
    /// Since when.
    pub since: Time,
    /// Why not, or what is odd.
    pub reason: String,
    /// The reason code of MQTT 5 that the other side ended it with; those of 3.1.1 as the code that means the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The broker was asked for our session and may have kept none, or the folder was restored since, and no gap tells
    /// of that yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// The topic filters that a broker may hold for it: a session outlives an edit of the project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
}

/// How far a file was taken in, or what a request with a key was answered: so that each is taken exactly once.
#[derive(Debug, Clone, PartialEq)]
pub struct IntakeRow {
    /// The source.
    pub source: Name,
    /// Which file or request, in the words of its source; the same as in [`Mark::Rows`](andon_model::sample::Mark).
    pub of: String,
    /// Everything that the log says of it before this place is in `state`.
    pub position: Position,
    /// Whether the log is still needed from `position` on: its entries are kept until this is false.
    pub open: bool,
    /// When this was written.
    pub updated: Time,
    /// What the source needs to go on.
    pub state: Json,
}

/// The last retained message of a topic of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedRow {
    /// The listener.
    pub listener: Name,
    /// The topic.
    pub topic: String,
    /// The payload; empty only in a write, where it forgets the topic.
    pub payload: Vec<u8>,
    /// The properties that go on to subscribers, as MQTT 5 writes them.
    pub properties: Vec<u8>,
    /// When it was published.
    pub received: Time,
    /// When nobody wants it any more, where its publisher said so.
    pub expires: Option<Time>,
    /// The site that it belongs to, where it is known.
    pub site: Option<SiteName>,
}

/// The newest value of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct LastValue {
    /// `<asset>/<signal>`.
    pub signal: String,
    /// Its place in the log.
    pub position: Position,
    /// Time of the source.
    pub time: Time,
    /// Quality.
    pub quality: Quality,
    /// Value.
    pub value: Value,
}
