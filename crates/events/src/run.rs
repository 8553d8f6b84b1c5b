//! The loop: reads the log, lets the engine work, commits its outputs with the states that made them.

use crate::{
    engine::{Counts, Engine, Moment, Output},
    states::Saved,
};
use andon_contract::Contract;
use andon_model::{Entry, Mark, Name, Position, Time, sample::Part, span::Span};
use andon_store::{Store, StoreError, rows::Write};
use std::sync::Arc;

/// Entries read in one step at most: so often a loop that is far behind looks up.
pub const STEP_ENTRIES_MAX: usize = 65_536;
/// Outputs committed at once at most, give or take those of one batch.
pub const STEP_OUTPUTS_MAX: usize = 1_000;
/// The file of states is written at least so often while samples come.
pub const STATES_EVERY: Span = Span::from_secs(10);
/// Likewise, counted in entries.
pub const STATES_EVERY_ENTRIES: u64 = 1_000_000;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something; there may be more at once.
    Worked,
    /// Nothing: the log is read.
    Idle {
        /// After this span there may be something to do although the store does not change.
        until: Option<Span>,
    },
}

/// Why rules cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store refused, or a state has read further than the log reaches.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of states cannot be read.
    #[error("{0}; restore a backup, or move the file of rule states aside to start all rules empty")]
    States(String),
}

/// The loop of layer 2. Dropping it at any moment loses nothing.
#[derive(Debug)]
pub struct Loop {
    store: Store,
    engine: Engine,
    /// Made and not yet committed; committed before anything else.
    outputs: Vec<Output>,
    writes: Vec<Write>,
    /// Entries from here on came after the start: their clocks go.
    live_from: Position,
    states_at: Option<Span>,
    states_position: Position,
}

impl Loop {
    /// Takes up the rules where they were left. Refuses when a state has read further than the log
    /// reaches. What an edit of the rules ends is committed before this returns.
    pub fn new(store: Store, contract: Arc<Contract>, now: Time) -> Result<Self, StartError> {
        let file = store.read_states()?;
        let database = store.rule_states()?;
        let positions: Vec<(String, Position)> = file
            .iter()
            .chain(&database)
            .map(|row| (format!("the rule {} for {}", row.rule, row.asset), row.position))
            .collect();
        store.check_positions(&positions)?;
        let saved = Saved::merge(file, database, store.log_start()).map_err(StartError::States)?;
        if saved.clocks.revision != contract.revision {
            mark_contract(&store, &contract)?;
        }
        let mut outputs = Vec::new();
        let signals = store.signals()?;
        let engine = Engine::new(contract, store.instance(), &signals, saved, now, &mut outputs);
        let live_from = store.log_end();
        let states_position = engine.position();
        let mut this = Self { store, engine, outputs, writes: Vec::new(), live_from, states_at: None, states_position };
        this.commit()?;
        this.store.write_states(&this.engine.all_rows())?;
        Ok(this)
    }

    /// One step: `now` is UTC, `monotonic` any clock that never jumps. After an error nothing is
    /// lost and the same step can be tried again.
    pub fn step(&mut self, now: Time, monotonic: Span) -> Result<Progress, StoreError> {
        let mut worked = self.commit()?;
        worked |= self.read(now, monotonic)?;
        self.commit()?;
        self.save_states(monotonic)?;
        if worked {
            return Ok(Progress::Worked);
        }
        let (ticks, until) = self.engine.ticks(now, monotonic);
        if ticks.is_empty() {
            let unsaved = self.engine.position() != self.states_position;
            let save = self.states_at.filter(|_| unsaved).map(|at| remaining(at, monotonic));
            return Ok(Progress::Idle { until: [until, save].into_iter().flatten().min() });
        }
        self.store.append(ticks)?;
        Ok(Progress::Worked)
    }

    /// Commits what waits and writes all states: a clean stop. The next start repeats nothing.
    pub fn stop(&mut self) -> Result<(), StoreError> {
        self.commit()?;
        self.write_states()
    }

    /// The place up to which the log was read.
    pub fn position(&self) -> Position {
        self.engine.position()
    }

    /// What became of the samples before [`Loop::position`].
    pub fn counts(&self) -> Counts {
        self.engine.counts()
    }

    /// Samples that are stored and not yet read: counted from the log itself.
    pub fn waiting(&self) -> Result<u64, StoreError> {
        waiting(&self.store, self.engine.position())
    }

    fn read(&mut self, now: Time, monotonic: Span) -> Result<bool, StoreError> {
        let mut entries = 0;
        while entries < STEP_ENTRIES_MAX && self.outputs.len() < STEP_OUTPUTS_MAX {
            let Some(batch) = self.store.read(self.engine.position())? else { break };
            if !self.engine.knows(&batch) {
                self.engine.learn(&self.store.signals()?);
            }
            let live = batch.first >= self.live_from;
            let moment = Moment { now, monotonic: live.then_some(monotonic) };
            self.engine.apply(&batch, moment, &mut self.outputs);
            entries += batch.part.entries.len();
        }
        Ok(entries > 0)
    }

    /// One transaction: the outputs and the states that made them. What fails stays and is tried again.
    fn commit(&mut self) -> Result<bool, StoreError> {
        self.writes.extend(self.outputs.drain(..).map(Output::into_write));
        self.writes.extend(self.engine.take_touched().into_iter().map(Write::RuleState));
        if self.writes.is_empty() {
            return Ok(false);
        }
        self.store.commit(self.writes.clone())?;
        self.writes.clear();
        Ok(true)
    }

    fn save_states(&mut self, monotonic: Span) -> Result<(), StoreError> {
        let at = *self.states_at.get_or_insert(monotonic);
        let position = self.engine.position();
        if position == self.states_position {
            return Ok(());
        }
        let entries = position.offset.saturating_sub(self.states_position.offset);
        if remaining(at, monotonic) > Span::ZERO && entries < STATES_EVERY_ENTRIES {
            return Ok(());
        }
        self.write_states()?;
        self.states_at = Some(monotonic);
        Ok(())
    }

    fn write_states(&mut self) -> Result<(), StoreError> {
        self.store.write_states(&self.engine.all_rows())?;
        self.states_position = self.engine.position();
        Ok(())
    }
}

/// What became of the samples of a stopped store, and how many wait: from the saved states and the log.
pub fn conservation(store: &Store) -> Result<(Counts, u64), StartError> {
    let saved =
        Saved::merge(store.read_states()?, store.rule_states()?, store.log_start()).map_err(StartError::States)?;
    Ok((saved.clocks.counts, waiting(store, saved.position)?))
}

/// Samples behind a position: what rules have not read yet.
pub fn waiting(store: &Store, from: Position) -> Result<u64, StoreError> {
    let mut at = from;
    let mut count = 0;
    while let Some(batch) = store.read(at)? {
        let skip = usize::try_from(at.offset.saturating_sub(batch.first.offset)).unwrap_or(usize::MAX);
        let samples = batch.part.entries.iter().skip(skip).filter(|e| matches!(e, Entry::Sample(_))).count();
        count += samples as u64;
        at = batch.end();
    }
    Ok(count)
}

fn remaining(since: Span, monotonic: Span) -> Span {
    let left = since.nanos().saturating_add(STATES_EVERY.nanos()).saturating_sub(monotonic.nanos());
    Span::from_nanos(left.max(0))
}

/// The mark from which on this contract holds. It belongs to the instance and stands under the
/// first site, since every batch names one.
fn mark_contract(store: &Store, contract: &Contract) -> Result<(), StoreError> {
    let Some(site) = contract.sites.keys().next() else { return Ok(()) };
    let mut part = Part::new(site.clone(), Name::new("andon").expect("it is a name"));
    part.entries.push(Entry::Mark(Mark::Contract(contract.revision.clone())));
    store.append(vec![part])?;
    Ok(())
}
