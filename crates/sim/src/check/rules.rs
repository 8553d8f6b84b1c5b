//! Events are those of an evaluation that nothing disturbed.

use super::{Told, set_aside};
use crate::world::{Broken, World, fault};
use andon_contract::Contract;
use andon_events::{Engine, Output, Saved, context::Context, engine::Moment};
use andon_model::{Entry, EventId, Mark, Name, Position, SignalNo, Time, sample::Batch};
use andon_store::{Store, rows::Evidence};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Revisions of the context of a world at most: one comes with each restore.
const REVISIONS_MAX: usize = 1_000;

/// From one edit of the project to the next: what the rules went on from.
#[derive(Debug, Clone)]
pub struct Era {
    saved: Saved,
    contract: Option<Arc<Contract>>,
    /// The last event before it.
    sequence: u64,
    /// Where the log ended before it.
    end: Position,
    /// When the process tried to begin.
    begun: Vec<Time>,
}

impl Era {
    /// The beginning of everything.
    pub fn first(store: &Store, contract: &Arc<Contract>) -> Self {
        let (saved, end) = (Saved::at(store.log_start()), store.log_start());
        Self { saved, contract: Some(Arc::clone(contract)), sequence: 0, end, begun: Vec::new() }
    }

    /// What the next start will find.
    pub(crate) fn next(store: &Store) -> Result<Self, Broken> {
        let (file, database) = (store.kept_states().map_err(fault)?, store.rule_states().map_err(fault)?);
        let saved = Saved::merge(file, database, store.log_start()).map_err(fault)?;
        let sequence = store.last_sequence().map_err(fault)?;
        Ok(Self { saved, contract: None, sequence, end: store.log_end(), begun: Vec::new() })
    }

    /// It goes by this contract.
    #[must_use]
    pub(crate) fn under(self, contract: &Arc<Contract>, begun: Vec<Time>) -> Self {
        Self { contract: Some(Arc::clone(contract)), begun, ..self }
    }
}

type Expected = BTreeMap<EventId, (andon_model::Event, Evidence)>;

/// What one evaluation of an era makes that nothing disturbs, up to this place; of these sources it passes over what
/// the rules of this world have passed over.
fn evaluate(
    world: &World,
    era: &Era,
    until: Option<Position>,
    passed_over: &BTreeSet<&Name>,
) -> Result<(Engine, Expected), Broken> {
    let store = &world.store;
    let signals = store.signals().map_err(fault)?;
    let mut out = Vec::new();
    let now = era.begun.first().copied().unwrap_or(Time(0));
    let contract = era.contract.clone().ok_or_else(|| fault("an era has no contract"))?;
    let mut saved = era.saved.clone();
    saved.context = known(store, &contract, saved.clocks.context)?;
    let mut engine = Engine::new(contract, store.instance(), &signals, saved, now, &mut out);
    for batch in world.archive.iter().filter(|batch| until.is_none_or(|until| batch.first < until)) {
        if batch.end() > engine.position() {
            let passes = passed_over.contains(&batch.part.source);
            let batch = &if passes { without(store, batch)? } else { Arc::clone(batch) };
            if let Some(revision) = engine.asks_for(batch) {
                let known = engine.context().revision();
                let rows = store.context_revisions(known, revision, REVISIONS_MAX).map_err(fault)?;
                engine.bring(revision, rows, Vec::new());
            }
            engine.apply(batch, Moment { now, monotonic: None }, &mut out);
        }
    }
    let mut expected = BTreeMap::new();
    for output in out {
        match output {
            Output::Event(event, evidence) => {
                if expected.insert(event.id, (*event, *evidence)).is_some() {
                    return Err(Broken::new("events", "one evaluation makes the same event twice"));
                }
            }
            Output::Exception(row) => {
                return Err(Broken::new("events", format!("an exception: {} {}", row.cause, row.detail)));
            }
        }
    }
    Ok((engine, expected))
}

/// The sources of which rules have passed something over.
fn passed_over(world: &World) -> Result<BTreeSet<&Name>, Broken> {
    let mut sources: BTreeSet<&Name> = world.archive.iter().map(|batch| &batch.part.source).collect();
    for source in sources.clone() {
        if world.store.exception_group(&format!("poison/rules/{source}")).map_err(fault)?.is_none() {
            sources.remove(source);
        }
    }
    Ok(sources)
}

/// A batch as rules read it: processes that ended again and again with one entry alone at hand have made it suspect,
/// though it was not to blame here, and whoever looks after it was told that rules pass it over.
fn without(store: &Store, batch: &Batch) -> Result<Arc<Batch>, Broken> {
    let mut read = Batch::clone(batch);
    for (offset, entry) in (batch.first.offset..).zip(&mut read.part.entries) {
        let at = Position { offset, ..batch.first };
        if set_aside(store, &at.to_string())?.is_some() {
            match entry {
                Entry::Sample(sample) => sample.signal = SignalNo(u32::MAX),
                Entry::Mark(mark) => *mark = Mark::Rows { of: String::new(), from: 0, to: 0 },
            }
        }
    }
    Ok(Arc::new(read))
}

/// What was known of the context at a revision. No object is told of in these worlds: revisions come with restores.
fn known(store: &Store, contract: &Contract, revision: u64) -> Result<Option<Context>, Broken> {
    if revision == 0 {
        return Ok(None);
    }
    let mut context = Context::of(contract);
    context.load(revision, store.context_tellers(revision).map_err(fault)?, Vec::new());
    Ok(Some(context))
}

/// The events are those of one evaluation of the whole log that never stopped; with edits, of each era that of its own.
pub(super) fn each_event_once(world: &World, told: &[Told]) -> Result<(), Broken> {
    let passed_over = passed_over(world)?;
    for (number, era) in world.eras.iter().enumerate() {
        let next = world.eras.get(number + 1);
        let until = next.map(|next| next.end);
        let (engine, mut expected) = evaluate(world, era, until, &passed_over)?;
        // What rules pass over they may have read before, and told what came of it.
        let mut whole = expected.clone();
        if !passed_over.is_empty() {
            whole = evaluate(world, era, until, &BTreeSet::new())?.1;
        }
        let up_to = next.map_or(u64::MAX, |next| next.sequence);
        for told in told.iter().filter(|told| told.sequence > era.sequence && told.sequence <= up_to) {
            let event = &told.event;
            let both = [expected.remove(&event.id), whole.remove(&event.id)];
            let is_it = |(same, proof): &(andon_model::Event, Evidence)| {
                *proof == told.evidence && *event == andon_model::Event { recorded: event.recorded, ..same.clone() }
            };
            if both.iter().flatten().any(is_it) {
                continue;
            }
            let Some((same, _)) = both.into_iter().flatten().next() else {
                let like = expected
                    .values()
                    .filter(|(other, _)| (&other.source, &other.subject) == (&event.source, &event.subject));
                let like: Vec<String> = like.map(|(other, _)| other.to_json(None).to_string()).collect();
                let text = format!(
                    "an undisturbed evaluation does not make {}\nbut: {}",
                    event.to_json(None),
                    like.join("\n     ")
                );
                return Err(Broken::new("events", text));
            };
            let text = format!("an event says {}\nnot {}", event.to_json(None), same.to_json(None));
            return Err(Broken::new("events", text));
        }
        // What was not read before an edit is read after it.
        if next.is_some() {
            continue;
        }
        expected.retain(|id, _| whole.contains_key(id));
        if let Some((event, _)) = expected.values().next() {
            let text = format!("{} events are missing, the first: {}", expected.len(), event.to_json(None));
            return Err(Broken::new("events", text));
        }
        if engine.counts() != world.events.counts() {
            let text = format!("counted {:?}, there are {:?}", world.events.counts(), engine.counts());
            return Err(Broken::new("seams", text));
        }
    }
    Ok(())
}

/// In the order of their numbers, an alarm begins, changes and ends, and never begins twice.
pub(super) fn stories(told: &[Told]) -> Result<(), Broken> {
    let mut active: BTreeMap<(&str, &str), EventId> = BTreeMap::new();
    for Told { event, .. } in told {
        let key = (event.source.as_str(), event.subject.as_str());
        let change = event.data.get("change").and_then(serde_json::Value::as_str).unwrap_or_default();
        let holds = match change {
            "activated" => active.insert(key, event.id).is_none() && event.correlation == event.id,
            "returned" => active.remove(&key) == Some(event.correlation),
            _ => active.get(&key) == Some(&event.correlation),
        };
        if !holds {
            return Err(Broken::new("stories", format!("out of its story: {}", event.to_json(None))));
        }
    }
    Ok(())
}

/// stored = evaluated + late + waiting, from rows and positions.
pub(super) fn nothing_lost(world: &World) -> Result<(), Broken> {
    let stored: u64 = world.store.source_counts().values().map(|counts| counts.stored).sum();
    let counts = world.events.counts();
    let waiting = world.events.waiting().map_err(fault)?;
    if stored != counts.evaluated + counts.late + waiting {
        let text = format!("{stored} samples are stored, but {counts:?} and {waiting} wait");
        return Err(Broken::new("seams", text));
    }
    Ok(())
}
