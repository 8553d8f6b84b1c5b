//! Timers of states: which of them wants to be asked at which time, the soonest first.
//!
//! A note may be out of date, since deadlines move with every sample; it is then too early and never too late. So a
//! sample looks at one note, and only a state whose note has come is asked. Each state keeps the earliest time that is
//! noted for it: nothing is noted twice, and what else is found of it is old.

use super::{Asset, Engine, NONE, Output, Source, birth_all};
use crate::{clock::PlantClock, context::Known, slot::Slot};
use andon_model::{Position, Time, span::Span};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Notes beyond two for each state before old ones are thrown away.
const SPARE: usize = 64;

/// The end of all monotonic time.
const NEVER: Span = Span::from_nanos(i64::MAX);

/// Times with the states that wait for them, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Time, u32)>>);

impl Timers {
    /// Nobody needs to be asked before this.
    #[inline]
    pub(super) fn next(&self) -> Time {
        self.0.peek().map_or(Time::MAX, |Reverse((time, _))| *time)
    }

    fn pop_before(&mut self, time: Time) -> Option<(Time, u32)> {
        if self.next() < time { self.0.pop().map(|Reverse(note)| note) } else { None }
    }

    /// The soonest deadline that still stands, with its state; what is out of date goes or is noted anew.
    pub(super) fn settle(&mut self, states: &mut [Slot], of: Of) -> Option<(Time, u32)> {
        loop {
            let Reverse((time, index)) = *self.0.peek()?;
            let Some(slot) = states.get_mut(index as usize).filter(|slot| of.is_for(slot)) else {
                self.0.pop();
                continue;
            };
            let actual = of.deadline(slot);
            let noted = of.noted(slot);
            if *noted == time && actual == Some(time) {
                return Some((time, index));
            }
            self.0.pop();
            if *noted == time {
                *noted = actual.unwrap_or(Time::MAX);
                self.0.extend(actual.map(|actual| Reverse((actual, index))));
            }
        }
    }

    /// Throws away what is old when there is too much of it.
    fn clear_up(&mut self, states: &mut [Slot], all: &[u32], of: Of) {
        if self.0.len() <= 2 * all.len() + SPARE {
            return;
        }
        self.0.clear();
        for index in all {
            let Some(slot) = states.get_mut(*index as usize).filter(|slot| of.is_for(slot)) else { continue };
            let actual = of.deadline(slot);
            *of.noted(slot) = actual.unwrap_or(Time::MAX);
            self.0.extend(actual.map(|actual| Reverse((actual, *index))));
        }
    }
}

/// Which deadlines are noted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// Those in plant time, by the clock of this source.
    Plant(u32),
    /// Those by receive time.
    Utc,
}

impl Of {
    fn is_for(self, slot: &Slot) -> bool {
        match self {
            Self::Plant(source) => slot.source == source,
            Self::Utc => true,
        }
    }

    fn deadline(self, slot: &Slot) -> Option<Time> {
        match self {
            Self::Plant(_) => slot.machine.plant_deadline(),
            Self::Utc => slot.utc_deadline(),
        }
    }

    fn noted(self, slot: &mut Slot) -> &mut Time {
        match self {
            Self::Plant(_) => &mut slot.noted.plant,
            Self::Utc => &mut slot.noted.utc,
        }
    }
}

/// The clock of an asset for a source, with the timers that run by it.
#[derive(Debug)]
pub(super) struct ClockOf {
    pub(super) source: u32,
    pub(super) clock: PlantClock,
    pub(super) plant: Timers,
    /// The monotonic time at which it is to be looked at, as it stands in [`Wakes`].
    wake: Span,
}

impl ClockOf {
    pub(super) fn new(source: u32, clock: PlantClock) -> Self {
        Self { source, clock, plant: Timers::default(), wake: NEVER }
    }
}

impl Asset {
    /// The clock for a source; one that no sample has moved yet where there is none.
    pub(super) fn clock(&mut self, source: u32) -> &mut ClockOf {
        let at = self.clocks.iter().position(|of| of.source == source).unwrap_or(self.clocks.len());
        if at == self.clocks.len() {
            self.clocks.push(ClockOf::new(source, PlantClock::standing(Time::MIN)));
        }
        self.clocks.get_mut(at).expect("it was found or made")
    }
}

/// When clocks and silences are to be looked at, the soonest first; old notes are found out when their time comes.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    /// Monotonic time, asset, source.
    pub(super) clocks: BinaryHeap<Reverse<(Span, u32, u32)>>,
    /// UTC, asset.
    pub(super) silences: BinaryHeap<Reverse<(Time, u32)>>,
}

impl Wakes {
    /// Notes when a clock will pass its next deadline, where that is sooner than what is noted. Only live ones do.
    #[inline]
    pub(super) fn clock(&mut self, asset: usize, of: &mut ClockOf, source: &Source) {
        let next = of.plant.next();
        if next == Time::MAX || !source.live {
            return;
        }
        if let Some(reached) = of.clock.reaches(next).filter(|reached| *reached < of.wake) {
            of.wake = reached;
            self.clocks.push(Reverse((reached, u32::try_from(asset).unwrap_or(NONE), of.source)));
        }
    }

    fn silence(&mut self, index: u32, asset: &mut Asset) {
        let next = asset.utc.next();
        if next < asset.hush {
            asset.hush = next;
            self.silences.push(Reverse((next, index)));
        }
    }
}

impl Engine {
    /// Notes when a state wants to be asked again, where that is sooner than what is noted of it.
    pub(super) fn arm(&mut self, index: u32) {
        let Some(slot) = self.states.get_mut(index as usize) else { return };
        let (number, by) = (slot.asset, slot.source);
        let Some(asset) = self.assets.get_mut(number as usize) else { return };
        if let Some(utc) = slot.utc_deadline().filter(|utc| *utc < slot.noted.utc) {
            slot.noted.utc = utc;
            asset.utc.0.push(Reverse((utc, index)));
            asset.utc.clear_up(&mut self.states, &asset.states, Of::Utc);
            self.wakes.silence(number, asset);
        }
        let Some(slot) = self.states.get_mut(index as usize) else { return };
        let Some(source) = self.sources.get(by as usize) else { return };
        let Some(plant) = slot.machine.plant_deadline().filter(|plant| *plant < slot.noted.plant) else { return };
        slot.noted.plant = plant;
        // Its states are needed beside its clock.
        let states = std::mem::take(&mut asset.states);
        let clock = asset.clock(by);
        clock.plant.0.push(Reverse((plant, index)));
        clock.plant.clear_up(&mut self.states, &states, Of::Plant(by));
        self.wakes.clock(number as usize, clock, source);
        asset.states = states;
        self.clear_up_wakes();
    }

    /// Throws away old wakes when there are too many of them.
    #[inline]
    pub(super) fn clear_up_wakes(&mut self) {
        if self.wakes.clocks.len() > 4 * self.assets.len() + SPARE {
            self.wakes.clocks.clear();
            for (number, asset) in self.assets.iter_mut().enumerate() {
                for clock in &mut asset.clocks {
                    clock.wake = NEVER;
                    if let Some(source) = self.sources.get(clock.source as usize) {
                        self.wakes.clock(number, clock, source);
                    }
                }
            }
        }
        if self.wakes.silences.len() > 2 * self.assets.len() + SPARE {
            self.wakes.silences.clear();
            for (number, asset) in (0..).zip(&mut self.assets) {
                asset.hush = Time::MAX;
                self.wakes.silence(number, asset);
            }
        }
    }

    /// Fires what ended before these times on the clock of a source.
    #[expect(clippy::too_many_arguments, reason = "the slow way of one sample or tick, all of it needed")]
    pub(super) fn fire(
        &mut self,
        asset: usize,
        source: u32,
        at: Position,
        plant: Time,
        utc: Time,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let Some(asset) = self.assets.get_mut(asset) else { return };
        let mut due = std::mem::take(&mut self.due);
        while let Some((time, index)) = asset.utc.pop_before(utc) {
            if let Some(slot) = self.states.get_mut(index as usize).filter(|slot| slot.noted.utc == time) {
                slot.noted.utc = Time::MAX;
                due.push(index);
            }
        }
        if let Some(clock) = asset.clocks.iter_mut().find(|of| of.source == source) {
            while let Some((time, index)) = clock.plant.pop_before(plant) {
                let slot = self.states.get_mut(index as usize).filter(|slot| slot.source == source);
                if let Some(slot) = slot.filter(|slot| slot.noted.plant == time) {
                    slot.noted.plant = Time::MAX;
                    due.push(index);
                }
            }
        }
        // In the order of the states, whatever their timers were.
        due.sort_unstable();
        due.dedup();
        for index in &due {
            let Some(slot) = self.states.get_mut(*index as usize) else { continue };
            if at >= slot.position {
                let known = Known { context: &self.context, utc };
                let gone = slot.let_go(&self.contract, known, now, out);
                slot.expire(utc, &mut self.changes);
                if slot.source == source {
                    slot.fire(plant, utc, known, &mut self.changes);
                }
                if !self.changes.is_empty() || slot.take_moved() || gone {
                    birth_all(&self.contract, slot, &mut self.changes, known, now, out);
                    self.touch(*index);
                }
            }
            self.arm(*index);
        }
        due.clear();
        self.due = due;
    }

    /// Clocks that have passed a deadline at this monotonic time, at most so many; else the span after which the next
    /// one will have.
    pub(super) fn passed(&mut self, monotonic: Span, most: usize, due: &mut Vec<(u32, u32)>) -> Option<Span> {
        let mut again = Vec::new();
        let mut wait = None;
        while let Some(Reverse((at, number, by))) = self.wakes.clocks.peek().copied() {
            let asset = self.assets.get_mut(number as usize);
            let clock = asset.and_then(|asset| asset.clocks.iter_mut().find(|of| of.source == by && of.wake == at));
            let Some(clock) = clock else {
                self.wakes.clocks.pop();
                continue;
            };
            let next = clock.plant.settle(&mut self.states, Of::Plant(by));
            let actual = next.and_then(|(next, _)| clock.clock.reaches(next));
            if actual == Some(at) {
                if at >= monotonic {
                    wait = Some(Span::from_nanos(at.nanos().saturating_sub(monotonic.nanos()).saturating_add(1)));
                    break;
                }
                if again.len() >= most {
                    break;
                }
                due.push((number, by));
                again.extend(self.wakes.clocks.pop());
            } else {
                self.wakes.clocks.pop();
                clock.wake = actual.unwrap_or(NEVER);
                self.wakes.clocks.extend(actual.map(|actual| Reverse((actual, number, by))));
            }
        }
        self.wakes.clocks.extend(again);
        wait
    }

    /// The same for deadlines by receive time; the source is [`NONE`] where any tick will do.
    pub(super) fn silent(&mut self, now: Time, most: usize, due: &mut Vec<(u32, u32)>) -> Option<Span> {
        let mut again = Vec::new();
        let mut wait = None;
        while let Some(Reverse((at, number))) = self.wakes.silences.peek().copied() {
            let Some(asset) = self.assets.get_mut(number as usize).filter(|asset| asset.hush == at) else {
                self.wakes.silences.pop();
                continue;
            };
            let actual = asset.utc.settle(&mut self.states, Of::Utc);
            match actual.filter(|(actual, _)| *actual == at) {
                Some(_) if at >= now => {
                    wait = Some(Span::from_nanos(at.since(now).nanos().saturating_add(1)));
                    break;
                }
                Some(_) if again.len() >= most => break,
                Some((_, index)) => {
                    due.push((number, self.states.get(index as usize).map_or(NONE, |slot| slot.source)));
                    again.extend(self.wakes.silences.pop());
                }
                None => {
                    self.wakes.silences.pop();
                    asset.hush = actual.map_or(Time::MAX, |(actual, _)| actual);
                    self.wakes.silences.extend(actual.map(|(actual, _)| Reverse((actual, number))));
                }
            }
        }
        self.wakes.silences.extend(again);
        wait
    }
}
