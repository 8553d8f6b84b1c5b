//! What a message says together counts together, whatever the order of its fields: conditions are told of all of a
//! message before any of it is evaluated.

use super::Engine;
use crate::{engine::Output, slot::Slot};
use andon_model::{Entry, Position, Sample, Time};

impl Engine {
    /// Tells conditions of the samples of one message: those of the same time and receipt that stand together, from
    /// this place on. What ended before them is fired first, by what conditions knew before. Gives the place behind
    /// the message.
    pub(super) fn foresee(
        &mut self,
        at: Position,
        source: u32,
        rest: &[Entry],
        now: Time,
        out: &mut Vec<Output>,
    ) -> Position {
        let mut place = at;
        let Some(Entry::Sample(first)) = rest.first() else {
            place.offset += 1;
            return place;
        };
        let together = |sample: &Sample| sample.time == first.time && sample.received == first.received;
        let message = rest.iter().map_while(|entry| match entry {
            Entry::Sample(sample) if together(sample) => Some(sample),
            Entry::Sample(_) | Entry::Mark(_) => None,
        });
        for sample in message {
            self.foresee_one((at, place), source, sample, now, out);
            place.offset += 1;
        }
        place
    }

    fn foresee_one(
        &mut self,
        (at, place): (Position, Position),
        source: u32,
        sample: &Sample,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let Some(Some(signal)) = self.signals.get(sample.signal.0 as usize) else { return };
        if sample.origin.is_untimed() || sample.time < signal.newest {
            return;
        }
        let is_guarded = |index: u32| self.states.get(index as usize).is_some_and(Slot::is_guarded);
        if !signal.readers.all().iter().any(|(index, _)| is_guarded(*index)) {
            return;
        }
        let asset_no = signal.asset as usize;
        let Some(asset) = self.assets.get(asset_no) else { return };
        let clock = asset.clocks.iter().find(|of| of.source == source);
        if clock.is_some_and(|of| sample.time > of.plant.next()) || sample.received > asset.utc.next() {
            self.fire(asset_no, source, at, sample.time, sample.received, now, out);
        }
        let Some(Some(signal)) = self.signals.get(sample.signal.0 as usize) else { return };
        for (index, input) in signal.readers.all() {
            if let Some(slot) = self.states.get_mut(*index as usize).filter(|slot| place >= slot.position) {
                slot.foresee(*input, place, sample);
            }
        }
    }
}
