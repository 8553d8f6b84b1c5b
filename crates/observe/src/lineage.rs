//! Lineage: from any id to the whole story it belongs to, samples first, documents last.

use crate::{
    confirmed::{self, Confirmed},
    shadow::{Compared, compared},
};
use andon_model::{CallId, Event, EventId, ExceptionId, Position, Reference, RunId};
use andon_store::{
    Store, StoreError,
    rows::{AttemptRow, CallRow, Evidence, ExceptionRow, RunRow, StoredEvent, TaskRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Events of one story at most; a story that is longer is told from its beginning.
pub const EVENTS_MAX: usize = 1_000;
/// Events looked through for one whose evidence holds a sample.
const SEARCH_MAX: usize = 100_000;
const PAGE: usize = 1_000;

/// A story: what was seen, what was concluded, what was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lineage {
    /// What was asked for.
    pub asked: String,
    /// What that is.
    pub kind: Asked,
    /// The events of the story in their order.
    pub events: Vec<EventNode>,
    /// Exceptions of the story.
    pub exceptions: Vec<ExceptionRow>,
}

/// What a lineage was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// An event by its id.
    Event,
    /// A run by its id.
    Run,
    /// A call by its id or reference.
    Call,
    /// A document by its number at the system of record.
    Document,
    /// An exception by its id.
    Exception,
    /// A sample by its position.
    Sample,
}

impl Asked {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Run => "run",
            Self::Call => "call",
            Self::Document => "document",
            Self::Exception => "exception",
            Self::Sample => "sample",
        }
    }
}

/// An event with what led to it and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventNode {
    /// The event as it is stored.
    pub event: Json,
    /// The samples it was made from; absent where it was made from none.
    pub evidence: Option<Evidence>,
    /// Who else told it; of the first event of a story.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmations: Vec<Confirmed>,
    /// The runs it started.
    pub runs: Vec<RunNode>,
}

/// A run with its tasks and calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunNode {
    /// The run.
    pub run: RunRow,
    /// Its completed tasks in order.
    pub tasks: Vec<TaskRow>,
    /// Its calls.
    pub calls: Vec<CallNode>,
}

/// A call with its attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallNode {
    /// The call; its document is what the system made of it.
    pub call: CallRow,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRow>,
    /// Its shadows, each compared with what the call gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<Compared>,
}

/// The story of an event, run, call, exception, reference, document or sample (`epoch/offset`);
/// `None` when nothing of this name is kept.
pub fn explain(store: &Store, asked: &str) -> Result<Option<Lineage>, StoreError> {
    let Some((kind, origin)) = find(store, asked.trim())? else { return Ok(None) };
    let mut lineage = Lineage { asked: asked.trim().to_owned(), kind, events: Vec::new(), exceptions: Vec::new() };
    match origin {
        Origin::Event(event) => {
            for stored in store.story(event.correlation, EVENTS_MAX)? {
                lineage.events.push(node(store, &stored)?);
            }
        }
        Origin::Exception(row) => lineage.exceptions.push(*row),
    }
    let runs = lineage.events.iter().flat_map(|e| &e.runs).map(|r| r.run.id);
    for run in runs.collect::<Vec<_>>() {
        for row in store.exceptions_of_run(run)? {
            if !lineage.exceptions.iter().any(|known| known.id == row.id) {
                lineage.exceptions.push(row);
            }
        }
    }
    Ok(Some(lineage))
}

enum Origin {
    Event(Box<Event>),
    Exception(Box<ExceptionRow>),
}

fn find(store: &Store, asked: &str) -> Result<Option<(Asked, Origin)>, StoreError> {
    if let Ok(id) = EventId::parse(asked) {
        return Ok(of_event(store, id)?.map(|o| (Asked::Event, o)));
    }
    if let Ok(id) = RunId::parse(asked) {
        return Ok(of_run(store, id)?.map(|o| (Asked::Run, o)));
    }
    if let Ok(id) = CallId::parse(asked) {
        let Some(call) = store.call(id)? else { return Ok(None) };
        return Ok(of_run(store, call.run)?.map(|o| (Asked::Call, o)));
    }
    if let Ok(id) = ExceptionId::parse(asked) {
        let Some(row) = store.exception(id)? else { return Ok(None) };
        let run = match row.run {
            Some(run) => of_run(store, run)?,
            None => None,
        };
        return Ok(Some((Asked::Exception, run.unwrap_or_else(|| Origin::Exception(Box::new(row))))));
    }
    // Documents may be numbered so too, as in `INV/2026/00012`.
    if let Some(offset) = sample_offset(asked)
        && let Some(origin) = of_sample(store, offset)?
    {
        return Ok(Some((Asked::Sample, origin)));
    }
    if let Some(reference) = Reference::parse(asked)
        && let Some(call) = store.calls_by_reference(&reference)?.into_iter().next()
    {
        return Ok(of_run(store, call.run)?.map(|o| (Asked::Call, o)));
    }
    let Some(call) = store.calls_by_document(asked)?.into_iter().next() else { return Ok(None) };
    Ok(of_run(store, call.run)?.map(|o| (Asked::Document, o)))
}

fn of_event(store: &Store, id: EventId) -> Result<Option<Origin>, StoreError> {
    if let Some((stored, _)) = store.event(id)? {
        return Ok(Some(Origin::Event(Box::new(stored.event))));
    }
    // A report that confirms an event belongs to its story.
    let Some(row) = store.confirmation(id)? else { return Ok(None) };
    Ok(store.event(row.confirms)?.map(|(stored, _)| Origin::Event(Box::new(stored.event))))
}

fn of_run(store: &Store, id: RunId) -> Result<Option<Origin>, StoreError> {
    match store.run(id)?.and_then(|run| run.event) {
        Some(event) => of_event(store, event),
        None => Ok(None),
    }
}

/// Reads `epoch/offset`, with or without the instance before it.
pub fn sample_offset(asked: &str) -> Option<(u32, u64)> {
    let mut parts = asked.rsplit('/');
    let offset = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    Some((epoch, offset))
}

/// The first event whose evidence holds the sample.
fn of_sample(store: &Store, (epoch, offset): (u32, u64)) -> Result<Option<Origin>, StoreError> {
    let mut after = 0;
    for _ in 0..SEARCH_MAX / PAGE {
        let page = store.events_after(after, PAGE)?;
        for stored in &page {
            after = stored.sequence;
            let samples = stored.event.data.pointer("/evidence/samples");
            let end = |name| samples.and_then(|s| s.get(name)).and_then(Json::as_str).and_then(sample_offset);
            if let (Some(from), Some(to)) = (end("from"), end("to"))
                && from <= (epoch, offset)
                && (epoch, offset) <= to
                && is_evidence(store, stored.event.id, (epoch, offset))?
            {
                return Ok(Some(Origin::Event(Box::new(stored.event.clone()))));
            }
        }
        if page.len() < PAGE {
            break;
        }
    }
    Ok(None)
}

/// Whether a sample in the range of an event's evidence is part of it: signals share the log, so the range holds
/// samples of others too.
fn is_evidence(store: &Store, event: EventId, (epoch, offset): (u32, u64)) -> Result<bool, StoreError> {
    let Some((_, Some(evidence))) = store.event(event)? else { return Ok(false) };
    let place = Position { epoch, offset };
    if evidence.samples.iter().any(|sample| sample.position == place) {
        return Ok(true);
    }
    // It may lie in the log or in a file.
    let Some(found) = store.sample_at(place)?.filter(|found| found.sample.position == place) else { return Ok(false) };
    let name = format!("{}/{}", found.asset, found.signal);
    Ok(evidence.samples.iter().any(|copied| copied.signal == name))
}

fn node(store: &Store, stored: &StoredEvent) -> Result<EventNode, StoreError> {
    let id = stored.event.id;
    let evidence = store.event(id)?.and_then(|(_, evidence)| evidence);
    let mut runs = Vec::new();
    for run in store.runs_of_event(id)? {
        let mut calls = Vec::new();
        for call in store.calls_of(run.id)? {
            let attempts = store.attempts(call.id)?;
            let shadows = compared(&call, &attempts);
            calls.push(CallNode { call, attempts, shadows });
        }
        runs.push(RunNode { tasks: store.tasks(run.id)?, calls, run });
    }
    let confirmations = confirmed::join(store.confirmations(id)?);
    Ok(EventNode { event: stored.event.to_json(Some(stored.sequence)), evidence, confirmations, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_named_by_epoch_and_offset() {
        assert_eq!(sample_offset("0/17"), Some((0, 17)));
        assert_eq!(sample_offset("in_7K3QF0ZT9M2RX4B8/2/17"), Some((2, 17)));
        assert_eq!(sample_offset("MR-000001"), None);
        assert_eq!(sample_offset("17"), None);
    }
}
