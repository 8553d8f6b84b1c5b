//! Leads the entries of the log to the rules that read them.
//!
//! Everything a sample needs is found by its signal's number: the newest time of the signal (for
//! lateness), its asset (whose timers it may fire) and the states that read it. Nothing is
//! allocated and no name is compared on that way.

mod ahead;
mod alone;
mod away;
mod foresee;
mod keep;
mod knowing;
mod meter;
mod start;
mod ticks;
mod timers;

pub(crate) use keep::Stood;
pub use meter::{Clock as MeterClock, Cost, Costs};

use crate::{
    birth,
    context::{Context, Known},
    corrections::Correction,
    rules::Change,
    slot::Slot,
    states::{SavedState, encode},
};
use ahash::AHashMap;
use andon_contract::{Contract, contract::Clock};
use andon_model::{
    AssetName, Entry, Event, Mark, Name, Position, Sample, Schemas, SignalName, SignalNo, Time, sample::Batch,
    sample::Control, span::Span,
};
use andon_store::rows::{Evidence, ExceptionRow, RuleStateRow, Write};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};
use timers::{ClockOf, Timers, Wakes};

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
    /// As a write of the store; `schemas` say which types of events name a match.
    pub fn into_write(self, schemas: &Schemas) -> Write {
        match self {
            Self::Event(event, evidence) => {
                let fact = schemas.interval(&event.schema, &event.data);
                Write::event(event, Some(evidence), fact)
            }
            Self::Exception(row) => Write::Exception(row),
        }
    }
}

/// So many states are more than the nearest memory holds: then it is asked for those of the next samples at once.
const STATES_NEAR: usize = 2_048;

/// Samples whose states are asked for at once.
const AHEAD: usize = 32;

/// No source, asset or state.
const NONE: u32 = u32::MAX;

/// The hot part of a signal.
#[derive(Debug, Clone)]
struct Signal {
    newest: Time,
    asset: u32,
    /// The states that read it, each with the number of its input. One stands here, so that it needs no further look
    /// into memory: of most signals it is the only one.
    readers: Readers,
}

#[derive(Debug, Clone)]
enum Readers {
    One([(u32, u8); 1]),
    Any(Box<[(u32, u8)]>),
}

impl Readers {
    fn new(all: Vec<(u32, u8)>) -> Self {
        <[_; 1]>::try_from(all).map_or_else(|all| Self::Any(all.into()), Self::One)
    }

    #[inline]
    fn all(&self) -> &[(u32, u8)] {
        match self {
            Self::One(one) => one,
            Self::Any(all) => all,
        }
    }
}

#[derive(Debug)]
struct Asset {
    name: AssetName,
    states: Vec<u32>,
    /// One for each source that has delivered a sample.
    clocks: Vec<ClockOf>,
    /// Deadlines by receive time.
    utc: Timers,
    /// The receive time at which it is to be looked at, as it stands in [`Wakes`].
    hush: Time,
    /// Whether a rule of it waits for its source to be back.
    away: bool,
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
    wakes: Wakes,
    /// States whose timers may end earlier, or have ended; empty between two entries.
    due: Vec<u32>,
    /// What was done since the engine was made: evaluations of states, and entries.
    work: u64,
    touched: Vec<u32>,
    /// Rows of rules that are gone, to be committed once.
    gone: Vec<RuleStateRow>,
    changes: Vec<Change>,
    context: Context,
    /// What it corrects and is not told yet.
    corrections: VecDeque<Correction>,
    /// Whether any state has conditions.
    guarded: bool,
    meter: meter::Meter,
    /// The clock, while a batch is read that is timed.
    timing: Option<MeterClock>,
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
        self.unknown(batch).is_none()
    }

    /// The lowest number of a signal of the batch that is not known.
    pub fn unknown(&self, batch: &Batch) -> Option<SignalNo> {
        let numbers = batch.part.entries.iter().filter_map(|entry| match entry {
            Entry::Sample(sample) => Some(sample.signal),
            Entry::Mark(_) => None,
        });
        let unknown = |no: &SignalNo| !matches!(self.signals.get(no.0 as usize), Some(Some(_)));
        numbers.filter(unknown).min_by_key(|no| no.0)
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
                *slot = Some(Signal { newest: Time::MIN, asset: known, readers: Readers::new(readers) });
            }
        }
    }

    /// Reads the entries of a batch that lie at or behind [`Engine::position`].
    pub fn apply(&mut self, batch: &Batch, moment: Moment, out: &mut Vec<Output>) {
        self.apply_some(batch, moment, usize::MAX, u64::MAX, out);
    }

    /// The same, as far as the place where there are so many outputs or so much was done; what was done.
    pub(crate) fn apply_some(
        &mut self,
        batch: &Batch,
        moment: Moment,
        outputs: usize,
        most: u64,
        out: &mut Vec<Output>,
    ) -> u64 {
        let source = self.source(&batch.part.source);
        let mut goes = self.going(source, moment);
        let before = self.work;
        self.timing = self.meter.begin(batch.part.entries.len());
        let skip = if batch.first >= self.position {
            0
        } else if batch.first.epoch == self.position.epoch {
            usize::try_from(self.position.offset - batch.first.offset).unwrap_or(usize::MAX)
        } else {
            usize::MAX
        };
        let mut at = batch.first;
        at.offset = at.offset.saturating_add(skip as u64);
        let mut foreseen = at;
        let far = self.states.len() > STATES_NEAR;
        for (number, entry) in batch.part.entries.iter().enumerate().skip(skip) {
            if far && (number - skip).is_multiple_of(AHEAD) {
                self.look_ahead(batch.part.entries.get(number..).unwrap_or_default(), source);
            }
            if out.len() >= outputs || self.work - before >= most {
                self.position = self.position.max(at);
                return self.work - before;
            }
            if self.guarded && at >= foreseen {
                let rest = batch.part.entries.get(number..).unwrap_or_default();
                foreseen = self.foresee(at, source, rest, moment.now, out);
            }
            match entry {
                Entry::Sample(sample) => self.sample(at, source, sample, goes, moment.now, out),
                Entry::Mark(mark) => {
                    self.mark(at, source, mark, moment, out);
                    goes = self.going(source, moment);
                }
            }
            self.work += 1;
            at.offset += 1;
        }
        self.position = self.position.max(batch.end());
        self.work - before
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
        let waits = asset.away && moves;
        let clock = asset.clocks.iter().find(|of| of.source == source);
        let passes = moves && clock.is_some_and(|of| sample.time > of.plant.next());
        if passes || sample.received > asset.utc.next() {
            let plant = if moves { sample.time } else { Time::MIN };
            self.fire(asset_no, source, at, plant, sample.received, now, out);
        }
        if untimed {
            return;
        }
        if waits {
            self.back(asset_no, source, at, sample.time);
        }
        let Some(Some(signal)) = self.signals.get(number) else { return };
        let readers = signal.readers.all();
        self.work += readers.len() as u64;
        let far = readers.len() > STATES_NEAR;
        for (number, (index, input)) in readers.iter().enumerate() {
            if far && number.is_multiple_of(AHEAD) {
                ahead::look(&self.states, readers.get(number..).unwrap_or_default());
            }
            let Some(slot) = self.states.get_mut(*index as usize) else { continue };
            if at < slot.position {
                continue;
            }
            let mut armed = false;
            if *input == 0 && slot.source != source {
                // Its timers run by another clock from now on.
                slot.source = source;
                slot.noted.plant = Time::MAX;
                armed = true;
            }
            let known = Known { context: &self.context, utc: sample.received };
            let began = self.timing.map(|clock| (clock, clock()));
            armed |= slot.sample(*input, at, sample, late, known, &mut self.changes);
            if let Some((clock, began)) = began {
                self.meter.add(*index, clock, began);
            }
            if !self.changes.is_empty() || slot.take_moved() {
                armed |= birth_all(&self.contract, slot, &mut self.changes, known, now, out);
                if !slot.touched {
                    slot.touched = true;
                    self.touched.push(*index);
                }
            }
            if armed {
                self.due.push(*index);
            }
        }
        if moves && let Some(asset) = self.assets.get_mut(asset_no) {
            let of = asset.clock(source);
            of.clock.sample(sample.time, goes);
            if let Some(source) = self.sources.get(source as usize) {
                self.wakes.clock(asset_no, of, source);
            }
        }
        while let Some(index) = self.due.pop() {
            self.arm(index);
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
                self.away(at, source);
                if let Some(slot) = self.sources.get_mut(source as usize) {
                    slot.connected = connected;
                }
                let Some(monotonic) = moment.monotonic.filter(|_| !connected) else { return };
                let clocks = self.assets.iter_mut().flat_map(|asset| &mut asset.clocks);
                for of in clocks.filter(|of| of.source == source) {
                    of.clock.stop(monotonic);
                }
            }
            Mark::Context(revision) => self.reach(at, *revision, moment.now, out),
            Mark::Control(done) => self.control(at, done, moment.now, out),
            // The engine is made anew for another contract; the mark says from where on in the log.
            Mark::Contract(_) | Mark::Rows { .. } => {}
        }
    }

    /// A person did something to the alarms of a rule for an asset. A rule that is gone by now has none.
    fn control(&mut self, at: Position, done: &Control, now: Time, out: &mut Vec<Output>) {
        let Some(asset) = self.by_name.get(&done.asset).copied() else { return };
        let states = self.assets.get(asset as usize).map_or(&[][..], |asset| &asset.states);
        let of = |index: &&u32| self.states.get(**index as usize).is_some_and(|slot| slot.identity.rule == done.rule);
        let Some(index) = states.iter().find(of).copied() else { return };
        let Some(slot) = self.states.get_mut(index as usize).filter(|slot| at >= slot.position) else { return };
        let clocks = self.assets.get(slot.asset as usize).map_or(&[][..], |asset| &asset.clocks);
        let clock = clocks.iter().find(|of| of.source == slot.source).map_or(Time::MIN, |of| of.clock.newest());
        slot.control(at, clock, done, &mut self.changes);
        self.touch(index);
        self.bear(index, now, out);
        self.arm(index);
    }

    /// Makes outputs of the changes of a state.
    fn bear(&mut self, index: u32, now: Time, out: &mut Vec<Output>) {
        if let Some(slot) = self.states.get_mut(index as usize) {
            // What persons do and edits do is told at once, whoever is silent.
            let known = Known { context: &self.context, utc: Time::MIN };
            birth_all(&self.contract, slot, &mut self.changes, known, now, out);
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

    fn asset(&mut self, name: &AssetName) -> u32 {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = u32::try_from(self.assets.len()).unwrap_or(NONE);
        self.assets.push(Asset {
            name: name.clone(),
            states: Vec::new(),
            clocks: Vec::new(),
            utc: Timers::default(),
            hush: Time::MAX,
            away: false,
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

/// Makes outputs of changes, or lets them wait for newer context; says whether one waits.
fn birth_all(
    contract: &Contract,
    slot: &mut Slot,
    changes: &mut Vec<Change>,
    known: Known,
    now: Time,
    out: &mut Vec<Output>,
) -> bool {
    for mut change in changes.drain(..) {
        slot.rank(&mut change);
        change.evidence.saw = slot.saw(&change, known);
        let dressed = birth::dress(contract, &slot.identity, &slot.dress, change, now);
        slot.bear(contract, dressed, known, now, out);
    }
    slot.waits()
}
