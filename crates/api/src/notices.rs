//! What teams are told, as it is listed.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// What a team is told of a group of exceptions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Its id, the same in every repetition; a webhook gets it as `webhook-id`.
    pub id: String,
    /// The team.
    pub team: String,
    /// The way: `mail` or `webhook`.
    pub by: String,
    /// `assigned`, `due`, `overdue` or `escalated`.
    pub what: String,
    /// `waiting`, `sent` or `failed`.
    pub state: String,
    /// When it became due to be told.
    pub created: String,
    /// When it is tried next; null: not any more.
    pub due: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// When the mail server or the webhook took it.
    pub sent: Option<String>,
    /// What the last try said.
    pub detail: Option<String>,
    /// What a webhook gets: `type`, `timestamp` and `data`.
    pub body: Json,
}
