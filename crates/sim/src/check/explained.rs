//! Every document explains back to its samples: what the event was made from is what lies in the log.

use crate::{
    floor::ledger::Says,
    world::{Broken, World, fault},
};
use andon_model::{Entry, EventId, Name, Sample};
use std::collections::{BTreeMap, BTreeSet};

/// Documents of a world that are explained; each costs what a person's question costs.
const EXPLAINED_MAX: usize = 12;

/// Looks up documents, and compares the samples of their events with the log.
pub(super) fn every_document(world: &World) -> Result<(), Broken> {
    let log = log(world)?;
    let said: BTreeSet<(&str, Option<u64>)> = world
        .floor
        .ledger()
        .messages
        .iter()
        .filter_map(|message| match &message.says {
            Says::Sample(said) => Some((said.signal.as_str(), Some(said.value.to_bits()))),
            Says::Nothing => None,
        })
        .collect();
    let effects = world.office.effects();
    let every = effects.len().div_ceil(EXPLAINED_MAX).max(1);
    for effect in effects.iter().step_by(every) {
        let document = format!("D-{}", effect.reference);
        let is_known = world.store.event(EventId::parse(&effect.event).map_err(fault)?).map_err(fault)?.is_some();
        if !is_known && world.lost.calls.contains(&effect.reference) {
            // A restore has lost its event: nothing but the office knows it any more.
            continue;
        }
        let wrong = |what: String| Broken::new("explained", format!("{document} for {}: {what}", effect.event));
        let asked = effect.reference.to_string();
        let story = andon_observe::lineage::explain(&world.store, &world.contract, &asked).map_err(fault)?;
        if story.is_none() && world.lost.calls.contains(&effect.reference) {
            // Likewise, where somebody had edited the call in the lost time.
            continue;
        }
        let Some(story) = story else { return Err(wrong("nobody knows it".to_owned())) };
        let of = |node: &&andon_observe::lineage::EventNode| {
            node.event.get("id").and_then(serde_json::Value::as_str) == Some(effect.event.as_str())
        };
        let Some(event) = story.events.iter().find(of) else {
            return Err(wrong("its event is not in its story".to_owned()));
        };
        let calls: Vec<String> =
            story.all_runs().iter().flat_map(|run| &run.calls).map(|call| call.call.reference.to_string()).collect();
        if !calls.contains(&asked) {
            return Err(wrong(format!("its call is not among those of its story: {calls:?}")));
        }
        let samples = event.evidence.as_ref().map(|evidence| evidence.samples.as_slice()).unwrap_or_default();
        if samples.is_empty() {
            return Err(wrong("its event has no samples".to_owned()));
        }
        for sample in samples {
            let there = log.get(&sample.position.offset);
            let same = there.is_some_and(|(signal, time, value)| {
                (signal, time, value) == (&sample.signal, &sample.time.0, &sample.value)
            });
            if !same {
                return Err(wrong(format!("{sample:?} is not what lies in the log: {there:?}")));
            }
            if !said.contains(&(sample.signal.as_str(), sample.value.as_f64().map(f64::to_bits))) {
                return Err(wrong(format!("no machine has said {sample:?}")));
            }
        }
    }
    Ok(())
}

/// All samples of a source that were ever durable, with `<asset>/<signal>`.
pub(super) fn samples(world: &World, source: &Name) -> Result<Vec<(String, Sample)>, Broken> {
    let signals = world.store.signals().map_err(fault)?;
    let names: BTreeMap<_, _> =
        signals.into_iter().map(|(number, asset, signal)| (number, format!("{asset}/{signal}"))).collect();
    let ours = world.archive.iter().filter(|batch| batch.part.source == *source);
    let entries = ours.flat_map(|batch| &batch.part.entries);
    let samples = entries.filter_map(|entry| match entry {
        Entry::Sample(sample) => Some((names.get(&sample.signal).cloned().unwrap_or_default(), sample.clone())),
        Entry::Mark(_) => None,
    });
    Ok(samples.collect())
}

/// Signal, time and value of every sample, by its place.
type Log = BTreeMap<u64, (String, i64, serde_json::Value)>;

fn log(world: &World) -> Result<Log, Broken> {
    let signals = world.store.signals().map_err(fault)?;
    let names: BTreeMap<_, _> =
        signals.into_iter().map(|(number, asset, signal)| (number, format!("{asset}/{signal}"))).collect();
    let mut log = BTreeMap::new();
    for batch in &world.archive {
        for (place, entry) in (batch.first.offset..).zip(&batch.part.entries) {
            if let Entry::Sample(sample) = entry {
                let name = names.get(&sample.signal).cloned().unwrap_or_default();
                log.insert(place, (name, sample.time.0, sample.value.to_json()));
            }
        }
    }
    Ok(log)
}
