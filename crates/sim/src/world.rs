//! The world: plant, store, loops and office under one clock, one chance and many mishaps.

use crate::{
    chance::Chance,
    check,
    office::{Dialect, Office},
    plant::Plant,
    project,
};
use andon_contract::Contract;
use andon_events::{Progress, StartError};
use andon_model::{Time, span::Span};
use andon_store::{Fault, Store, StoreError};
use std::{fmt, sync::Arc};

/// Mishaps and progress of one world; then everything is healed and must come to its end.
const STEPS: u32 = 1_500;
/// Rounds in which a healed world must come to rest.
const ROUNDS_MAX: u32 = 20_000;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The seed of the world.
    pub seed: u64,
    /// The promise, and what is there instead.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        write!(f, "{}\nagain with: ANDON_SIM_FROM={seed} ANDON_SIM_SEEDS=1 cargo test -p andon-sim", self.what)
    }
}

/// Everything there is.
pub struct World {
    /// Where all of it ends.
    pub store: Store,
    /// The project.
    pub contract: Arc<Contract>,
    /// The systems of record.
    pub office: Office,
    /// The rules.
    pub events: andon_events::Loop,
    /// How often the process ended.
    pub crashes: u32,
    /// How many writes were made to fail.
    pub faults: u32,
    workflows: andon_workflows::Loop,
    plant: Plant,
    chance: Chance,
    now: Time,
    monotonic: Span,
}

/// Lives one world to its end and checks it; the counts say that something happened at all.
pub fn run(seed: u64) -> Result<check::Seen, Broken> {
    let broken = |what: String| Broken { seed, what };
    let mut world = World::new(seed).map_err(broken)?;
    for _ in 0..STEPS {
        world.act().map_err(broken)?;
    }
    world.finish().map_err(broken)?;
    check::all(&world).map_err(broken)
}

impl World {
    /// A world at its beginning.
    pub fn new(seed: u64) -> Result<Self, String> {
        let mut chance = Chance::new(seed);
        let mut bytes = || chance.draw().to_le_bytes()[0];
        let store = Store::memory(&mut |buffer| buffer.fill_with(&mut bytes));
        let contract = project::contract()?;
        let now = Time::parse("2026-11-22T08:00:00Z").map_err(|e| e.to_string())?;
        let plant = Plant::new(&store).map_err(|e| e.to_string())?;
        let events = rules(&store, &contract, now).map_err(|e| e.to_string())?;
        let workflows = runs(&store, &contract);
        let office = Office::default();
        let monotonic = Span::ZERO;
        Ok(Self { store, contract, office, events, crashes: 0, faults: 0, workflows, plant, chance, now, monotonic })
    }

    /// One thing happens, by chance.
    pub fn act(&mut self) -> Result<(), String> {
        match self.chance.below(100) {
            0..30 => {
                if let Some(part) = self.plant.speak(&mut self.chance, self.now) {
                    self.append(part)?;
                }
            }
            30..50 => self.step_events().map(drop)?,
            50..68 => self.step_workflows().map(drop)?,
            68..80 => self.bring_answers(),
            80..94 => {
                let span = self.chance.millis(1, 4_000);
                self.pass(span);
            }
            94 => {
                let span = self.chance.millis(1_000, 400_000);
                self.pass(span);
            }
            95..97 => self.crash()?,
            97 => {
                if self.events.stop().is_ok() {
                    self.crash()?;
                }
            }
            _ => {
                self.faults += 1;
                let fault = *self.chance.one(&[Fault::Before, Fault::After]);
                let skipped = self.chance.below(4);
                self.store.plan_fault(skipped, fault);
            }
        }
        Ok(())
    }

    fn append(&self, part: andon_model::sample::Part) -> Result<(), String> {
        // What fails here is not acknowledged; the broker brings it again, and what was stored
        // unacknowledged is then a duplicate. Both are the edge's business: here it is just lost.
        match self.store.append(vec![part]) {
            Ok(_) => Ok(()),
            Err(error) => mishap(&error),
        }
    }

    fn step_events(&mut self) -> Result<bool, String> {
        match self.events.step(self.now, self.monotonic) {
            Ok(progress) => Ok(progress == Progress::Worked),
            Err(error) => {
                mishap(&error)?;
                if self.chance.percent(50) {
                    self.crash()?;
                }
                Ok(true)
            }
        }
    }

    fn step_workflows(&mut self) -> Result<(bool, Option<Time>), String> {
        match self.workflows.step(self.now) {
            Ok(progress) => {
                let requests = self.workflows.take_requests();
                let more = progress.worked || !requests.is_empty();
                for request in requests {
                    self.office.take(&request, &mut self.chance, self.now);
                }
                Ok((more, progress.wake))
            }
            Err(error) => {
                mishap(&error)?;
                if self.chance.percent(50) {
                    self.crash()?;
                }
                Ok((true, None))
            }
        }
    }

    fn bring_answers(&mut self) {
        for (call, attempt, outcome) in self.office.pass(self.now) {
            self.workflows.complete(call, attempt, outcome);
        }
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.monotonic = Span::from_nanos(self.monotonic.nanos() + span.nanos());
    }

    /// The process ends without a word and starts again; its store is what it was.
    fn crash(&mut self) -> Result<(), String> {
        self.crashes += 1;
        // Of the late effects nobody knows, and the answers on their way reach nobody.
        self.office.hang_up();
        self.workflows = runs(&self.store, &self.contract);
        // A start may fail like every write; it is then tried again.
        for _ in 0..10 {
            match rules(&self.store, &self.contract, self.now) {
                Ok(events) => {
                    self.events = events;
                    return Ok(());
                }
                Err(StartError::Store(error)) => mishap(&error)?,
                Err(error) => return Err(format!("the rules do not start: {error}")),
            }
        }
        Err("the rules do not start".to_owned())
    }

    /// Heals everything and lets the world come to rest.
    pub fn finish(&mut self) -> Result<(), String> {
        self.office.healed = true;
        self.workflows.plan_no_more();
        for _ in 0..ROUNDS_MAX {
            self.bring_answers();
            let events = self.step_events()?;
            let (workflows, wake) = self.step_workflows()?;
            if events || workflows {
                continue;
            }
            let Some(next) = [wake, self.office.next()].into_iter().flatten().min() else { return Ok(()) };
            self.pass(Span::from_nanos(next.since(self.now).nanos().max(1)));
        }
        Err("a healed world does not come to rest".to_owned())
    }
}

fn rules(store: &Store, contract: &Arc<Contract>, now: Time) -> Result<andon_events::Loop, StartError> {
    andon_events::Loop::new(store.clone(), Arc::clone(contract), now)
}

fn runs(store: &Store, contract: &Arc<Contract>) -> andon_workflows::Loop {
    let load = Box::new(|_: &std::collections::BTreeMap<String, String>| Err("there is one contract only".to_owned()));
    andon_workflows::Loop::new(store.clone(), Arc::clone(contract), Arc::new(Dialect), load)
}

/// A failure that was planned is part of the world; every other breaks it.
fn mishap(error: &StoreError) -> Result<(), String> {
    match error {
        StoreError::Full { .. } | StoreError::Stopped(_) => Ok(()),
        other => Err(format!("the store fails: {other}")),
    }
}
