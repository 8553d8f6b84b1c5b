//! Where a story began: from whatever a person holds in hand back to the first event, or to the run that no event
//! had started.

use crate::lineage::{Asked, sample_offset};
use andon_contract::Contract;
use andon_model::{CallId, Event, EventId, ExceptionId, Position, Reference, RunId};
use andon_store::{
    Store, StoreError,
    rows::{ExceptionRow, RunRow, RunState},
};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Events looked through for one whose evidence holds a sample.
const SEARCH_MAX: usize = 100_000;
const PAGE: usize = 1_000;
/// The states of runs.
const STATES: [RunState; 7] = [
    RunState::Running,
    RunState::Waiting,
    RunState::Completed,
    RunState::Faulted,
    RunState::Queued,
    RunState::Held,
    RunState::Cancelled,
];

/// What a search for the beginning of a story has found.
pub(crate) struct Search<'a> {
    store: &'a Store,
    contract: &'a Contract,
    /// The runs that began the story.
    pub(crate) begun: Vec<RunRow>,
    /// The stories of events that belong to it, each by its first event.
    pub(crate) stories: BTreeSet<EventId>,
    /// An exception that belongs to no run.
    pub(crate) exception: Option<ExceptionRow>,
    /// The runs from what was asked for up to the beginning: they are told whatever else is not.
    pub(crate) path: BTreeSet<RunId>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(store: &'a Store, contract: &'a Contract) -> Self {
        let (begun, stories, path) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { store, contract, begun, stories, exception: None, path }
    }

    /// What was asked for; `None` when nothing of this name is kept.
    pub(crate) fn find(&mut self, asked: &str) -> Result<Option<Asked>, StoreError> {
        if let Ok(id) = EventId::parse(asked) {
            return Ok(self.event(id)?.then_some(Asked::Event));
        }
        if let Ok(id) = RunId::parse(asked) {
            return Ok(self.run(id)?.then_some(Asked::Run));
        }
        if let Ok(id) = CallId::parse(asked) {
            let Some(call) = self.store.call(id)? else { return Ok(None) };
            return Ok(self.run(call.run)?.then_some(Asked::Call));
        }
        if let Ok(id) = ExceptionId::parse(asked) {
            let Some(row) = self.store.exception(id)? else { return Ok(None) };
            let told = match row.run {
                Some(run) => self.run(run)?,
                None => false,
            };
            self.exception = (!told).then_some(row);
            return Ok(Some(Asked::Exception));
        }
        // Documents may be numbered so too, as in `INV/2026/00012`.
        if let Some(offset) = sample_offset(asked)
            && self.sample(offset)?
        {
            return Ok(Some(Asked::Sample));
        }
        if let Some(reference) = Reference::parse(asked)
            && let Some(call) = self.store.call_by_reference(&reference)?
        {
            return Ok(self.run(call.run)?.then_some(Asked::Call));
        }
        if let Some(call) = self.store.calls_by_document(asked)?.into_iter().next() {
            return Ok(self.run(call.run)?.then_some(Asked::Document));
        }
        let runs = runs_of_key(self.store, self.contract, asked)?;
        for run in &runs {
            self.run(run.id)?;
        }
        Ok((!runs.is_empty()).then_some(Asked::Key))
    }

    /// The story of an event, or of the event that it confirms; whether it is kept.
    fn event(&mut self, id: EventId) -> Result<bool, StoreError> {
        let event = match self.kept(id)? {
            Some(event) => event,
            // A report that confirms an event belongs to its story.
            None => match self.store.confirmation(id)? {
                Some(row) => match self.kept(row.confirms)? {
                    Some(event) => event,
                    None => return Ok(false),
                },
                None => return Ok(false),
            },
        };
        if !self.stories.insert(event.correlation) {
            return Ok(true);
        }
        let first = if event.correlation == event.id { Some(event) } else { self.kept(event.correlation)? };
        // The first event of a story may come from a run that no event had started.
        let run = first.and_then(|first| first.causation).and_then(|cause| RunId::parse(&cause).ok());
        if let Some(run) = run {
            self.run(run)?;
        }
        Ok(true)
    }

    fn kept(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        Ok(self.store.event(id)?.map(|(stored, _)| stored.event))
    }

    /// The story of a run: of the event that started it or one of those above it, else of the uppermost run itself;
    /// whether the run is kept.
    fn run(&mut self, id: RunId) -> Result<bool, StoreError> {
        let Some(mut top) = self.store.run(id)? else { return Ok(false) };
        if !self.path.insert(id) {
            return Ok(true);
        }
        while let Some(parent) = top.parent.as_ref().map(|parent| parent.run)
            && let Some(row) = self.store.run(parent)?
        {
            if !self.path.insert(parent) {
                return Ok(true);
            }
            top = row;
        }
        if let Some(event) = top.event
            && self.event(event)?
        {
            return Ok(true);
        }
        self.stories.extend(top.correlation);
        self.begun.push(top);
        Ok(true)
    }

    /// The story of the first event whose evidence holds the sample.
    fn sample(&mut self, (epoch, offset): (u32, u64)) -> Result<bool, StoreError> {
        let mut after = 0;
        for _ in 0..SEARCH_MAX / PAGE {
            let page = self.store.events_after(after, PAGE)?;
            for stored in &page {
                after = stored.sequence;
                let samples = stored.event.data.pointer("/evidence/samples");
                let end = |name| samples.and_then(|s| s.get(name)).and_then(Json::as_str).and_then(sample_offset);
                if let (Some(from), Some(to)) = (end("from"), end("to"))
                    && from <= (epoch, offset)
                    && (epoch, offset) <= to
                    && is_evidence(self.store, stored.event.id, (epoch, offset))?
                {
                    return self.event(stored.event.id);
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        Ok(false)
    }
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

/// The runs that were started by hand under a key, one of each workflow at most: of the workflows of the contract, else
/// of those that have runs and are gone from it.
pub fn runs_of_key(store: &Store, contract: &Contract, key: &str) -> Result<Vec<RunRow>, StoreError> {
    let mut found = Vec::new();
    for workflow in contract.workflows.keys() {
        found.extend(store.run(RunId::of_key(workflow.as_str(), key))?);
    }
    if !found.is_empty() || key.is_empty() {
        return Ok(found);
    }
    let mut gone = BTreeSet::new();
    for state in STATES {
        gone.extend(store.runs_in(state)?.into_iter().map(|(workflow, _)| workflow));
    }
    for workflow in gone.iter().filter(|workflow| !contract.workflows.contains_key(workflow.as_str())) {
        found.extend(store.run(RunId::of_key(workflow, key))?);
    }
    Ok(found)
}
