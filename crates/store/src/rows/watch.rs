//! How systems fare, what was told to teams, and what is processed alone after an unclean end.

use andon_model::{Name, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How a system fares, in the form of who drives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemRow {
    /// The system.
    pub system: Name,
    /// Since when.
    pub changed: Time,
    /// Its breaker, and what belongs to it.
    pub state: Json,
}

/// Something a team is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeRow {
    /// Its id: the same in every repetition.
    pub id: String,
    /// The team.
    pub team: Name,
    /// The way: `mail` or `webhook`.
    pub by: String,
    /// What it is about, in a word.
    pub what: String,
    /// `waiting`, `sent` or `failed`.
    pub state: String,
    /// When it became due to be told.
    pub created: Time,
    /// When it is tried next; `None`: not any more.
    pub due: Option<Time>,
    /// Tries so far.
    pub attempts: u32,
    /// When it was taken by the other side.
    pub sent: Option<Time>,
    /// What the last try said.
    pub detail: Option<String>,
    /// What is told.
    pub body: Json,
}

/// Something that is processed alone, because the process has ended uncleanly with it at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProcessRow {
    /// Which loop: `workflows`, `rules`, `source/<name>`.
    pub part: String,
    /// What, in the words of that loop.
    pub item: String,
    /// Unclean ends with it alone at hand.
    pub ends: u32,
    /// When it was last begun.
    pub at: Time,
}
