//! Sources that are away: rules that follow states and counters must know what they did not see.

use super::Engine;
use andon_model::{Position, Time};

impl Engine {
    /// A source is away, or connected anew: what stands on its signals has seen them up to now.
    pub(super) fn away(&mut self, at: Position, source: u32) {
        for asset in &mut self.assets {
            let Some(of) = asset.clocks.iter().find(|of| of.source == source) else { continue };
            for index in &asset.states {
                let Some(slot) = self.states.get_mut(*index as usize) else { continue };
                if slot.source == source && at >= slot.position {
                    slot.machine.away(of.clock.newest());
                    asset.away |= slot.machine.is_away();
                }
            }
        }
    }

    /// A source says something of an asset again.
    pub(super) fn back(&mut self, asset: usize, source: u32, at: Position, time: Time) {
        let Some(asset) = self.assets.get_mut(asset) else { return };
        asset.away = false;
        for index in &asset.states {
            let Some(slot) = self.states.get_mut(*index as usize) else { continue };
            if slot.source == source && at >= slot.position {
                slot.machine.back(time);
            }
            asset.away |= slot.machine.is_away();
        }
    }

    /// Which assets have rules that waited for their source at the place up to which the log was read.
    pub(super) fn look_for_sources(&mut self) {
        for asset in &mut self.assets {
            let mut slots = asset.states.iter().filter_map(|state| self.states.get(*state as usize));
            asset.away = slots.any(|slot| slot.machine.is_away());
        }
    }
}
