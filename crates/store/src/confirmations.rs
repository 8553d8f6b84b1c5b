//! Confirmations: a fact that another origin has told before is told once, and confirmed.
//!
//! - Two reports tell one fact when their type names a match, they are about the same subject at the same site, come
//!   from different origins (the event's `source`), and their intervals overlap. Intervals that touch do not.
//! - Which comes first is the event; the other becomes a confirmation of it, whole and with its evidence. It is decided
//!   once, at the first report of a fact by an origin, and holds for all that this origin tells of it later: reports of
//!   the same story, or with the same beginning.
//! - An origin tells one such fact of a subject at a time: one without an end ends, at the latest, where the same
//!   origin tells the next, or where the last of those that confirm it tells an end. So an end that somebody forgets to
//!   tell swallows nothing that happens later.
//! - Of several facts that overlap, the one with the longest overlap is confirmed; where the report has no end yet, the
//!   one whose beginning is nearest; then the one that was told first.
//! - What follows from an event is no report of its own: reports of the story of a fact never confirm it.
//! - Facts that began more than [`BACK`] before a report are not looked at, and of each other origin the 1,000 that
//!   began last before its end.

use crate::{
    Store, StoreError, db,
    rows::{Evidence, Write},
};
use andon_model::{Event, EventId, Interval, Quantity, SiteName, Time, span::Span};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How long before a report a fact may have begun that it confirms.
pub const BACK: Span = Span::from_secs(30 * 86_400);

/// Confirmations of one event that are given at most.
pub const CONFIRMATIONS_MAX: usize = 1_000;

/// A report that confirms an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfirmationRow {
    /// The id that it would have as an event.
    pub id: EventId,
    /// The event that it confirms: the first of its fact.
    pub confirms: EventId,
    /// The first report of this fact by the same origin; itself where it is the first.
    pub report: EventId,
    /// Its site.
    pub site: SiteName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Who told it: the `source` of the event.
    pub origin: String,
    /// When the fact began, as this report says.
    pub from: Time,
    /// When it ended, as this report says; absent where it says no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// When it was recorded here.
    pub recorded: Time,
    /// How much later (or, negative, earlier) than the confirmed event this origin says; found when it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<Differs>,
    /// The report as it would be an event.
    pub event: Json,
    /// The samples it was made from; absent where it was made from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// How much later than the confirmed event an origin says, in seconds; negative: earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differs {
    /// That it began.
    pub from: Quantity,
    /// That it ended; absent until both have told an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Quantity>,
}

impl Write {
    /// An event; with the interval of its fact, where its type names a match.
    pub fn event(event: Box<Event>, evidence: Option<Box<Evidence>>, fact: Option<Interval>) -> Self {
        match fact {
            Some(interval) => Self::Report(event, evidence, interval),
            None => Self::Event(event, evidence),
        }
    }
}

impl Store {
    /// The confirmations of an event, in the order in which they came, at most [`CONFIRMATIONS_MAX`].
    pub fn confirmations(&self, event: EventId) -> Result<Vec<ConfirmationRow>, StoreError> {
        self.ask(|c| db::confirmations(c, event))
    }

    /// A report that became a confirmation, by its own id.
    pub fn confirmation(&self, id: EventId) -> Result<Option<ConfirmationRow>, StoreError> {
        self.ask(|c| db::confirmation(c, id))
    }
}
