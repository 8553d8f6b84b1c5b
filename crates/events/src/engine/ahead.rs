//! Asks memory for what the next samples need, for all of them at once.
//!
//! Where there are many states the time of a sample is the time until its own come from memory, one look after the
//! other since each says where the next one goes. Of several samples together these looks wait beside each other.
//! Nothing is decided here: what is read is thrown away.

use super::{AHEAD, Engine};
use crate::slot::Slot;
use andon_model::{Entry, Time};
use std::hint::black_box;

/// Looks at the first of these states.
pub(super) fn look(states: &[Slot], readers: &[(u32, u8)]) {
    let states = readers.iter().take(AHEAD).filter_map(|(index, _)| states.get(*index as usize));
    black_box(states.map(Slot::look).sum::<usize>());
}

impl Engine {
    /// Looks at what the first of these entries need.
    pub(super) fn look_ahead(&self, entries: &[Entry], source: u32) {
        let mut found = [None; AHEAD];
        for (entry, found) in entries.iter().zip(&mut found) {
            let Entry::Sample(sample) = entry else { continue };
            let Some(Some(signal)) = self.signals.get(sample.signal.0 as usize) else { continue };
            // Where many states read one signal they lie in a row, and one sample is work enough.
            let [(state, _)] = signal.readers.all() else { continue };
            *found = Some((signal.asset as usize, *state as usize));
        }
        let mut seen = 0;
        for (asset, state) in found.iter().flatten() {
            let clocks = self.assets.get(*asset).map_or(0, |asset| asset.clocks.len() + usize::from(asset.away));
            seen += clocks;
            seen += self.states.get(*state).map_or(0, Slot::look);
        }
        let mut next = Time::default();
        for (asset, _) in found.iter().flatten() {
            let clocks = self.assets.get(*asset).map_or(&[][..], |asset| &asset.clocks);
            for of in clocks.iter().filter(|of| of.source == source) {
                next = next.max(of.plant.next()).max(of.clock.newest());
            }
        }
        black_box((seen, next));
    }
}
