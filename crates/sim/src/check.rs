//! What must hold at the end of every world.

use crate::world::World;
use andon_events::{Engine, Output, Saved, engine::Moment};
use andon_model::{Entry, Event, EventId};
use andon_store::{
    Store,
    rows::{Evidence, RunState},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// How much happened: a world in which nothing does proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Samples in the log.
    pub samples: u64,
    /// Ticks in the log.
    pub ticks: u64,
    /// Events.
    pub events: u64,
    /// Activations, each with a run and a request.
    pub activations: u64,
    /// Requests the office took, answered or not.
    pub requests: u64,
    /// Ends of the process.
    pub crashes: u64,
    /// Writes that were made to fail.
    pub faults: u64,
}

impl Seen {
    /// Adds another world.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.ticks += other.ticks;
        self.events += other.events;
        self.activations += other.activations;
        self.requests += other.requests;
        self.crashes += other.crashes;
        self.faults += other.faults;
    }
}

/// All promises; the first that is broken.
pub fn all(world: &World) -> Result<Seen, String> {
    let stored = events(&world.store)?;
    each_event_once(world, &stored)?;
    stories(&stored)?;
    nothing_lost(world)?;
    every_event_has_its_runs(&world.store)?;
    let activations = each_request_once(world, &stored)?;
    let (samples, ticks) = log(&world.store)?;
    Ok(Seen {
        samples,
        ticks,
        events: stored.len() as u64,
        activations,
        requests: world.office.served,
        crashes: world.crashes.into(),
        faults: world.faults.into(),
    })
}

fn events(store: &Store) -> Result<Vec<(Event, Evidence)>, String> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = store.events_after(after, 1_000).map_err(|e| e.to_string())?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.sequence;
        for stored in page {
            let evidence = store.event(stored.event.id).map_err(|e| e.to_string())?.and_then(|(_, evidence)| evidence);
            all.push((stored.event, evidence.ok_or("an alarm has no evidence")?));
        }
    }
}

/// The events are those of one evaluation of the whole log that never stopped.
fn each_event_once(world: &World, stored: &[(Event, Evidence)]) -> Result<(), String> {
    let store = &world.store;
    let signals = store.signals().map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let start = Saved::at(store.log_start());
    let now = andon_model::Time(0);
    let mut engine =
        Engine::new(std::sync::Arc::clone(&world.contract), store.instance(), &signals, start, now, &mut out);
    while let Some(batch) = store.read(engine.position()).map_err(|e| e.to_string())? {
        engine.apply(&batch, Moment { now, monotonic: None }, &mut out);
    }
    let mut expected = BTreeMap::new();
    for output in out {
        match output {
            Output::Event(event, evidence) => {
                if expected.insert(event.id, (*event, *evidence)).is_some() {
                    return Err("one evaluation makes the same event twice".to_owned());
                }
            }
            Output::Exception(row) => return Err(format!("an exception: {} {}", row.cause, row.detail)),
        }
    }
    for (event, evidence) in stored {
        let Some((mut same, proof)) = expected.remove(&event.id) else {
            return Err(format!("an event that an undisturbed evaluation does not make: {}", event.to_json(None)));
        };
        same.recorded = event.recorded;
        if same != *event || proof != *evidence {
            return Err(format!("an event says something else: {}\nnot: {}", event.to_json(None), same.to_json(None)));
        }
    }
    if let Some((event, _)) = expected.values().next() {
        return Err(format!("{} events are missing, the first: {}", expected.len(), event.to_json(None)));
    }
    if engine.counts() != world.events.counts() {
        return Err(format!("counted {:?}, there are {:?}", world.events.counts(), engine.counts()));
    }
    Ok(())
}

/// In the order of their numbers, an alarm begins, changes and ends, and never begins twice.
fn stories(stored: &[(Event, Evidence)]) -> Result<(), String> {
    let mut active: BTreeMap<(&str, &str), EventId> = BTreeMap::new();
    for (event, _) in stored {
        let key = (event.source.as_str(), event.subject.as_str());
        let change = event.data.get("change").and_then(serde_json::Value::as_str).unwrap_or_default();
        let holds = match change {
            "activated" => active.insert(key, event.id).is_none() && event.correlation == event.id,
            "returned" => active.remove(&key) == Some(event.correlation),
            _ => active.get(&key) == Some(&event.correlation),
        };
        if !holds {
            return Err(format!("out of its story: {}", event.to_json(None)));
        }
    }
    Ok(())
}

/// stored = evaluated + late + waiting, from rows and positions.
fn nothing_lost(world: &World) -> Result<(), String> {
    let stored: u64 = world.store.source_counts().values().map(|counts| counts.stored).sum();
    let counts = world.events.counts();
    let waiting = world.events.waiting().map_err(|e| e.to_string())?;
    if stored != counts.evaluated + counts.late + waiting {
        return Err(format!("{stored} samples are stored, but {counts:?} and {waiting} wait"));
    }
    Ok(())
}

/// events = matching + others + waiting, and matched = runs + what became of the others: from rows, whatever was
/// killed.
fn every_event_has_its_runs(store: &Store) -> Result<(), String> {
    let passed = store.passed().map_err(|e| e.to_string())?;
    let row = |of: &str| passed.cursors.get(&format!("workflows{of}")).copied().unwrap_or(0);
    let told = row("/wanted") + row("/unwanted") + row("/aside") + passed.last.saturating_sub(row(""));
    let ended = row("/already") + row("/together") + row("/refused") + row("/forgotten") + passed.gathered;
    let (events, runs) = (passed.last - row("/from"), passed.runs - row("/before"));
    let calls: u64 = passed.calls.values().sum();
    if events == told && row("/matched") == runs + ended && passed.made == calls {
        return Ok(());
    }
    Err(format!("what matched and was made is not what is there: {passed:?}"))
}

/// Every activation has one run that completed, and one effect at one system of record.
fn each_request_once(world: &World, stored: &[(Event, Evidence)]) -> Result<u64, String> {
    let mut effects: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (reference, list) in world.office.effects() {
        for effect in list {
            let text = format!("{reference} at {} by {}", effect.at, effect.system);
            effects.entry(effect.event.as_str()).or_default().push(text);
        }
    }
    let mut activations = 0;
    for (event, _) in stored.iter().filter(|(event, _)| event.correlation == event.id) {
        activations += 1;
        let id = event.id.to_string();
        let runs = world.store.runs_of_event(event.id).map_err(|e| e.to_string())?;
        let states: Vec<RunState> = runs.iter().map(|run| run.state).collect();
        if states != [RunState::Completed] {
            return Err(format!("the activation {id} has the runs {runs:?}"));
        }
        match effects.remove(id.as_str()).as_deref() {
            Some([_]) => {}
            other => {
                return Err(format!("the activation {id} has the effects {other:#?}\n{}", attempts(world, &runs)?));
            }
        }
    }
    if let Some((event, list)) = effects.iter().next() {
        return Err(format!("effects without an activation: {event} {list:?}"));
    }
    Ok(activations)
}

/// What was tried for these runs, for whoever looks for the mistake.
fn attempts(world: &World, runs: &[andon_store::RunRow]) -> Result<String, String> {
    let mut text = String::new();
    for run in runs {
        for call in world.store.calls_of(run.id).map_err(|e| e.to_string())? {
            let _ = writeln!(text, "call {} made at {} is {:?}", call.reference, call.created, call.state);
            for attempt in world.store.attempts(call.id).map_err(|e| e.to_string())? {
                let said = attempt.outcome.as_ref().map(|o| format!("{} {} {}", o.class, o.detail, o.output));
                let (number, step, to) = (attempt.number, attempt.step, &attempt.system);
                let _ = writeln!(text, "{number} {step:?} {to} {} to {:?}: {said:?}", attempt.started, attempt.ended);
            }
        }
    }
    Ok(text)
}

fn log(store: &Store) -> Result<(u64, u64), String> {
    let (mut samples, mut ticks) = (0, 0);
    let mut at = store.log_start();
    while let Some(batch) = store.read(at).map_err(|e| e.to_string())? {
        for entry in &batch.part.entries {
            match entry {
                Entry::Sample(_) => samples += 1,
                Entry::Mark(andon_model::Mark::Tick { .. }) => ticks += 1,
                Entry::Mark(_) => {}
            }
        }
        at = batch.end();
    }
    Ok((samples, ticks))
}
