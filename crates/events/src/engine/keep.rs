//! What is kept of an engine in the file beside the log: a slice of its states at a time, and its clocks as they stood
//! at one place.

use super::Engine;
use crate::{
    evidence::Sharing,
    states::{Clocks, SavedState, put_shared, write_state},
};
use andon_model::Time;
use andon_store::StatesFile;

/// Signals or clocks in a row of clocks at most.
const ROW_CLOCKS_MAX: usize = 2_000;

/// The clocks as they stood at a place, without the names.
#[derive(Debug)]
pub(crate) struct Stood {
    /// What goes into every row of them.
    head: Clocks,
    newest: Vec<(u32, i64)>,
    /// Asset, source, time.
    plant: Vec<(u32, u32, i64)>,
}

impl Stood {
    /// How many rows they make; at least one, which names the revision and the counts.
    pub(crate) fn rows(&self) -> usize {
        self.newest.len().max(self.plant.len()).div_ceil(ROW_CLOCKS_MAX).max(1)
    }
}

impl Engine {
    /// How many states there are.
    pub(crate) fn state_count(&self) -> usize {
        self.states.len()
    }

    /// The clocks as they stand now.
    pub(crate) fn stand(&self) -> Stood {
        let newest = (0_u32..).zip(&self.signals).filter_map(|(number, signal)| {
            let signal = signal.as_ref().filter(|signal| signal.newest != Time::MIN)?;
            Some((number, signal.newest.0))
        });
        let mut plant = Vec::with_capacity(self.assets.len());
        for (number, asset) in (0_u32..).zip(&self.assets) {
            let clocks = asset.clocks.iter().filter(|of| of.clock.newest() != Time::MIN);
            plant.extend(clocks.map(|of| (number, of.source, of.clock.newest().0)));
        }
        let head = Clocks {
            revision: self.contract.revision.clone(),
            counts: self.counts,
            context: self.context.revision(),
            forgotten: self.context.floors(),
            ..Clocks::default()
        };
        Stood { head, newest: newest.collect(), plant }
    }

    /// Puts one of their rows into a file.
    pub(crate) fn put_clocks(&self, stood: &Stood, row: usize, file: &mut StatesFile) {
        let newest = stood.newest.chunks(ROW_CLOCKS_MAX).nth(row).unwrap_or_default().to_vec();
        let plant = stood.plant.chunks(ROW_CLOCKS_MAX).nth(row).unwrap_or_default().iter();
        let named = plant.filter_map(|(asset, source, newest)| {
            let (asset, source) = (self.assets.get(*asset as usize)?, self.sources.get(*source as usize)?);
            Some((asset.name.clone(), source.name.clone(), *newest))
        });
        Clocks { newest, plant: named.collect(), ..stood.head.clone() }.put(file);
    }

    /// Puts a state into a file, with the place up to which it has read.
    pub(crate) fn put_state(&self, index: usize, sharing: &mut Sharing, file: &mut StatesFile) {
        let Some(slot) = self.states.get(index) else { return };
        let source = self.sources.get(slot.source as usize).map(|source| source.name.clone());
        let saved = SavedState { source, ..slot.saved() };
        let position = slot.position.max(self.position);
        let identity = &slot.identity;
        let (rule, asset, version) = (&identity.rule, &identity.asset, &identity.version);
        file.put(rule, asset, version, position, |bytes| write_state(&saved, sharing, bytes));
        put_shared(sharing, file);
    }
}
