//! Events that wait for newer context, in the state of their rule: in order, and each until its own time.

use crate::context::Refs;
use andon_contract::contract::{Guard, WhenStale};
use andon_model::{Event, Time};
use andon_store::rows::Evidence;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value as Json;
use std::collections::VecDeque;

/// Events of one rule for an asset that wait at most; where there are more, the first goes out as it is.
pub(crate) const WAITING_MAX: usize = 1_000;

/// An event that is made, and of which only the context is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiting {
    /// It waits until this time has passed, UTC.
    pub(crate) until: Time,
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub(crate) event: Event,
    pub(crate) evidence: Evidence,
}

/// Until when an event waits that says this of its context; `None`: it goes out at once.
pub(crate) fn until(guard: &Guard, refs: &Refs, utc: Time, others: &VecDeque<Waiting>) -> Option<Time> {
    match guard.when_stale {
        WhenStale::Wait(most) if refs.stale.is_some() => Some(utc.plus(most)),
        // It does not overtake those that wait.
        _ => (!others.is_empty()).then_some(Time::MIN),
    }
}

fn write<S: Serializer>(event: &Event, to: S) -> Result<S::Ok, S::Error> {
    event.to_json(None).serialize(to)
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Event, D::Error> {
    Event::from_json(&Json::deserialize(from)?).map_err(D::Error::custom)
}
