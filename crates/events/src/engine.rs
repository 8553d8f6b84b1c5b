//! Leads the entries of the log to the rules that read them.
//!
//! Everything a sample needs is found by its signal's number: the newest time of the signal (for
//! lateness), its asset (whose timers it may fire) and the states that read it. Nothing is
//! allocated and no name is compared on that way.

mod start;
mod ticks;

use crate::{
    birth,
    clock::PlantClock,
    context::Context,
    rules::Change,
    slot::Slot,
    states::{Clocks, SavedState, encode},
};
use ahash::AHashMap;
use andon_contract::{Contract, contract::Clock};
use andon_model::{
    AssetName, Entry, Event, Mark, Name, Position, Sample, SignalName, SignalNo, Time, sample::Batch, sample::Control,
    span::Span,
};
use andon_store::rows::{Evidence, ExceptionRow, RuleStateRow, Write};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What became of the samples that rules have read since the log exists: together with those that
/// wait they are those that were stored. One that is kept but never evaluated (retained, without a
/// time of its source) counts as evaluated: no rule will look at it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Given to the rules of their signal, be there any or none.
    pub evaluated: u64,
    /// Older than the newest of their signal.
    pub late: u64,
}

/// The present moment, as the loop was told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UTC.
    pub now: Time,
    /// Monotonic time, from any beginning; `None` for entries from before the start, whose
    /// clocks stand.
    pub monotonic: Option<Span>,
}

/// Something to commit together with the states that made it.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// An event with its evidence.
    Event(Box<Event>, Box<Evidence>),
    /// An event that did not fit its own schema, or a state that could not be read.
    Exception(Box<ExceptionRow>),
}

impl Output {
    /// As a write of the store.
    pub fn into_write(self) -> Write {
        match self {
            Self::Event(event, evidence) => Write::Event(event, Some(evidence)),
            Self::Exception(row) => Write::Exception(row),
        }
    }
}

/// No source, asset or state.
const NONE: u32 = u32::MAX;

/// The hot part of a signal.
#[derive(Debug, Clone)]
struct Signal {
    newest: Time,
    asset: u32,
    /// The states that read it, each with the number of its input.
    readers: Box<[(u32, u8)]>,
}

#[derive(Debug)]
struct Asset {
    name: AssetName,
    states: Vec<u32>,
    /// One for each source that has delivered a sample.
    clocks: Vec<(u32, PlantClock)>,
    /// No plant timer ends before this; raised only when it is looked at closely.
    plant_next: Time,
    /// No silence is too long before this receive time; likewise.
    utc_next: Time,
    /// Whether it stands in [`Engine::armed`].
    armed: bool,
}

#[derive(Debug)]
struct Source {
    name: Name,
    live: bool,
    connected: bool,
}

/// All rules of a contract with their states.
pub struct Engine {
    contract: Arc<Contract>,
    position: Position,
    counts: Counts,
    signals: Vec<Option<Signal>>,
    assets: Vec<Asset>,
    by_name: AHashMap<AssetName, u32>,
    sources: Vec<Source>,
    states: Vec<Slot>,
    /// Assets with a plant timer.
    armed: Vec<u32>,
    /// No silence of any asset is too long before this.
    utc_next: Time,
    touched: Vec<u32>,
    /// Rows of rules that are gone, to be committed once.
    gone: Vec<RuleStateRow>,
    changes: Vec<Change>,
    context: Context,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("position", &self.position)
            .field("states", &self.states.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The place up to which the log was read.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What became of the samples before [`Engine::position`].
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The contract whose rules these are.
    pub fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    /// Whether every signal of the batch is known; [`Engine::learn`] before [`Engine::apply`] otherwise.
    pub fn knows(&self, batch: &Batch) -> bool {
        batch.part.entries.iter().all(|entry| match entry {
            Entry::Sample(sample) => matches!(self.signals.get(sample.signal.0 as usize), Some(Some(_))),
            Entry::Mark(_) => true,
        })
    }

    /// Takes in the numbers of signals; those that are known are left as they are.
    pub fn learn(&mut self, signals: &[(SignalNo, AssetName, SignalName)]) {
        for (number, asset, signal) in signals {
            let at = number.0 as usize;
            if at >= self.signals.len() {
                self.signals.resize(at + 1, None);
            }
            let known = self.by_name.get(asset).copied().unwrap_or(NONE);
            let states = self.assets.get(known as usize).map_or(&[][..], |asset| &asset.states);
            let mut readers = Vec::new();
            for index in states {
                let inputs = self.states.get(*index as usize).map_or(&[][..], |slot| &slot.inputs);
                let reading = inputs.iter().zip(0_u8..).filter(|(input, _)| *input == signal);
                // What a guard reads it reads before the machine does.
                readers.extend(reading.map(|(_, number)| (*index, number)).collect::<Vec<_>>().into_iter().rev());
            }
            if let Some(slot @ None) = self.signals.get_mut(at) {
                *slot = Some(Signal { newest: Time::MIN, asset: known, readers: readers.into() });
            }
        }
    }

    /// Reads the entries of a batch that lie at or behind [`Engine::position`].
    pub fn apply(&mut self, batch: &Batch, moment: Moment, out: &mut Vec<Output>) {
        let source = self.source(&batch.part.source);
        let mut goes = self.going(source, moment);
        let mut at = batch.first;
        for entry in &batch.part.entries {
            if at >= self.position {
                match entry {
                    Entry::Sample(sample) => self.sample(at, source, sample, goes, moment.now, out),
                    Entry::Mark(mark) => {
                        self.mark(at, source, mark, moment, out);
                        goes = self.going(source, moment);
                    }
                }
            }
            at.offset += 1;
        }
        self.position = self.position.max(batch.end());
    }

    /// The monotonic time at which clocks of the source go on; `None`: they stand.
    fn going(&self, source: u32, moment: Moment) -> Option<Span> {
        let goes = self.sources.get(source as usize).is_some_and(|s| s.live && s.connected);
        moment.monotonic.filter(|_| goes)
    }

    #[inline]
    fn sample(
        &mut self,
        at: Position,
        source: u32,
        sample: &Sample,
        goes: Option<Span>,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let number = sample.signal.0 as usize;
        let Some(Some(signal)) = self.signals.get_mut(number) else {
            // Nobody has told its name: no rule can read it.
            self.counts.evaluated += 1;
            return;
        };
        let untimed = sample.origin.is_untimed();
        let late = !untimed && sample.time < signal.newest;
        self.counts.late += u64::from(late);
        self.counts.evaluated += u64::from(!late);
        let moves = !late && !untimed;
        if moves {
            signal.newest = sample.time;
        }
        let asset_no = signal.asset as usize;
        let Some(asset) = self.assets.get(asset_no) else { return };
        if (moves && sample.time > asset.plant_next) || sample.received > asset.utc_next {
            let plant = if moves { sample.time } else { Time::MIN };
            self.fire(asset_no, source, at, plant, sample.received, now, out);
        }
        if untimed {
            return;
        }
        let Some(Some(signal)) = self.signals.get(number) else { return };
        let mut armed = false;
        for (index, input) in &signal.readers {
            let Some(slot) = self.states.get_mut(*index as usize) else { continue };
            if at < slot.position {
                continue;
            }
            if *input == 0 {
                slot.source = source;
            }
            armed |= slot.sample(*input, at, sample, late, &self.context, &mut self.changes);
            if !self.changes.is_empty() || slot.take_moved() {
                birth_all(&self.contract, slot, &mut self.changes, now, out);
                if !slot.touched {
                    slot.touched = true;
                    self.touched.push(*index);
                }
            }
        }
        if moves && let Some(asset) = self.assets.get_mut(asset_no) {
            if let Some((_, clock)) = asset.clocks.iter_mut().find(|(of, _)| *of == source) {
                clock.sample(sample.time, goes);
            } else {
                let mut clock = PlantClock::standing(sample.time);
                clock.sample(sample.time, goes);
                asset.clocks.push((source, clock));
            }
        }
        if armed {
            self.look_closely(asset_no);
        }
    }

    fn mark(&mut self, at: Position, source: u32, mark: &Mark, moment: Moment, out: &mut Vec<Output>) {
        match mark {
            Mark::Tick { asset, plant, utc } => {
                if let Some(index) = self.by_name.get(asset) {
                    self.fire(*index as usize, source, at, *plant, *utc, moment.now, out);
                }
            }
            Mark::Connected | Mark::Disconnected(_) => {
                let connected = *mark == Mark::Connected;
                if let Some(slot) = self.sources.get_mut(source as usize) {
                    slot.connected = connected;
                }
                let Some(monotonic) = moment.monotonic.filter(|_| !connected) else { return };
                let clocks = self.assets.iter_mut().flat_map(|asset| &mut asset.clocks);
                for (_, clock) in clocks.filter(|(of, _)| *of == source) {
                    clock.stop(monotonic);
                }
            }
            Mark::Control(done) => self.control(at, done, moment.now, out),
            // The engine is made anew for another contract; the mark says from where on in the log.
            Mark::Contract(_) | Mark::Context(_) | Mark::Rows { .. } => {}
        }
    }

    /// A person did something to the alarms of a rule for an asset. A rule that is gone by now has none.
    fn control(&mut self, at: Position, done: &Control, now: Time, out: &mut Vec<Output>) {
        let Some(asset) = self.by_name.get(&done.asset).copied() else { return };
        let states = self.assets.get(asset as usize).map_or(&[][..], |asset| &asset.states);
        let of = |index: &&u32| self.states.get(**index as usize).is_some_and(|slot| slot.identity.rule == done.rule);
        let Some(index) = states.iter().find(of).copied() else { return };
        let Some(slot) = self.states.get_mut(index as usize).filter(|slot| at >= slot.position) else { return };
        slot.control(at, done, &mut self.changes);
        self.touch(index);
        self.bear(index, now, out);
        self.look_closely(asset as usize);
    }

    /// Fires what ended before these times on the clock of a source.
    #[expect(clippy::too_many_arguments, reason = "the slow way of one sample or tick, all of it needed")]
    fn fire(
        &mut self,
        asset: usize,
        source: u32,
        at: Position,
        plant: Time,
        utc: Time,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let Some(states) = self.assets.get_mut(asset).map(|asset| std::mem::take(&mut asset.states)) else { return };
        for index in &states {
            let Some(slot) = self.states.get_mut(*index as usize) else { continue };
            if at < slot.position {
                continue;
            }
            slot.expire(utc, &mut self.changes);
            if slot.source == source {
                slot.fire(plant, utc, &self.context, &mut self.changes);
            }
            if !self.changes.is_empty() || slot.take_moved() {
                self.touch(*index);
                self.bear(*index, now, out);
            }
        }
        if let Some(asset) = self.assets.get_mut(asset) {
            asset.states = states;
        }
        self.look_closely(asset);
    }

    /// Makes outputs of the changes of a state.
    fn bear(&mut self, index: u32, now: Time, out: &mut Vec<Output>) {
        if let Some(slot) = self.states.get(index as usize) {
            birth_all(&self.contract, slot, &mut self.changes, now, out);
        }
    }

    fn touch(&mut self, index: u32) {
        if let Some(slot) = self.states.get_mut(index as usize)
            && !slot.touched
        {
            slot.touched = true;
            self.touched.push(index);
        }
    }

    /// Works out when the next timer of an asset ends.
    fn look_closely(&mut self, index: usize) {
        let Some(asset) = self.assets.get_mut(index) else { return };
        let slots = || asset.states.iter().filter_map(|state| self.states.get(*state as usize));
        let plant = slots().filter_map(|slot| slot.machine.plant_deadline()).min();
        let utc = slots().filter_map(|slot| slot.utc_deadline()).min();
        asset.plant_next = plant.unwrap_or(Time::MAX);
        asset.utc_next = utc.unwrap_or(Time::MAX);
        self.utc_next = self.utc_next.min(asset.utc_next);
        if plant.is_some() && !asset.armed {
            asset.armed = true;
            self.armed.push(u32::try_from(index).unwrap_or(NONE));
        }
    }

    /// The rows of the states that made outputs since the last time, with their positions.
    pub fn take_touched(&mut self) -> Vec<RuleStateRow> {
        let mut rows = std::mem::take(&mut self.gone);
        for index in std::mem::take(&mut self.touched) {
            if let Some(slot) = self.states.get_mut(index as usize) {
                slot.touched = false;
            }
            rows.extend(self.row(index));
        }
        rows
    }

    /// The rows of all states and the clocks, for the file beside the log.
    pub fn all_rows(&self) -> Vec<RuleStateRow> {
        let count = u32::try_from(self.states.len()).unwrap_or(NONE);
        let mut rows: Vec<_> = (0..count).filter_map(|index| self.row(index)).collect();
        rows.push(self.clocks().row(self.position));
        rows
    }

    fn row(&self, index: u32) -> Option<RuleStateRow> {
        let slot = self.states.get(index as usize)?;
        let source = self.sources.get(slot.source as usize).map(|source| source.name.clone());
        let state = encode(&SavedState { source, ..slot.saved() });
        Some(RuleStateRow {
            rule: slot.identity.rule.clone(),
            asset: slot.identity.asset.clone(),
            version: slot.identity.version.clone(),
            position: slot.position.max(self.position),
            state,
        })
    }

    fn clocks(&self) -> Clocks {
        let newest = self.signals.iter().enumerate().filter_map(|(number, signal)| {
            let signal = signal.as_ref().filter(|s| s.newest != Time::MIN)?;
            Some((u32::try_from(number).ok()?, signal.newest.0))
        });
        let mut plant = Vec::new();
        for asset in &self.assets {
            for (source, clock) in &asset.clocks {
                if let Some(source) = self.sources.get(*source as usize) {
                    plant.push((asset.name.clone(), source.name.clone(), clock.newest().0));
                }
            }
        }
        Clocks { revision: self.contract.revision.clone(), counts: self.counts, newest: newest.collect(), plant }
    }

    fn asset(&mut self, name: &AssetName) -> u32 {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = u32::try_from(self.assets.len()).unwrap_or(NONE);
        self.assets.push(Asset {
            name: name.clone(),
            states: Vec::new(),
            clocks: Vec::new(),
            plant_next: Time::MAX,
            utc_next: Time::MAX,
            armed: false,
        });
        self.by_name.insert(name.clone(), index);
        index
    }

    fn source(&mut self, name: &Name) -> u32 {
        if let Some(index) = self.sources.iter().position(|source| source.name == *name) {
            return u32::try_from(index).unwrap_or(NONE);
        }
        let live = self.contract.sources.get(name).is_some_and(|source| source.clock == Clock::Live);
        self.sources.push(Source { name: name.clone(), live, connected: true });
        u32::try_from(self.sources.len() - 1).unwrap_or(NONE)
    }
}

fn birth_all(contract: &Contract, slot: &Slot, changes: &mut Vec<Change>, now: Time, out: &mut Vec<Output>) {
    for change in changes.drain(..) {
        out.push(birth::dress(contract, &slot.identity, &slot.dress, change, now));
    }
}
