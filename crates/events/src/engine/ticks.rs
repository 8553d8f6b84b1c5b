//! Ticks: marks that let timers fire although no sample comes.

use super::{Asset, Engine};
use crate::slot::Slot;
use andon_model::{Entry, Mark, Name, SiteName, Time, sample::Part, span::Span};
use std::sync::LazyLock;

/// The source of what the instance itself writes into its log.
static OURS: LazyLock<Name> = LazyLock::new(|| Name::new("andon").expect("it is a name"));

impl Engine {
    /// The ticks that must be written now, because plant time or UTC has passed a deadline and no
    /// sample came; and the span after which the next may have to be. Only when the whole log is read.
    pub fn ticks(&mut self, now: Time, monotonic: Span) -> (Vec<Part>, Option<Span>) {
        let mut parts: Vec<Part> = Vec::new();
        let mut wait: Option<Span> = None;
        let mut sooner = |span: Span| wait = Some(wait.map_or(span, |w: Span| w.min(span)));
        let mut still = Vec::with_capacity(self.armed.len());
        for index in std::mem::take(&mut self.armed) {
            let Some(asset) = self.assets.get_mut(index as usize) else { continue };
            let mut any = false;
            for slot in asset.states.iter().filter_map(|state| self.states.get(*state as usize)) {
                let Some(deadline) = slot.machine.plant_deadline() else { continue };
                any = true;
                let Some(source) = self.sources.get(slot.source as usize).filter(|source| source.live) else {
                    continue;
                };
                let Some((_, clock)) = asset.clocks.iter().find(|(of, _)| *of == slot.source) else { continue };
                let plant = clock.plant(monotonic);
                if plant > deadline {
                    tick(&mut parts, slot, asset, &source.name, plant, now);
                } else if clock.is_going() {
                    sooner(Span::from_nanos(deadline.since(plant).nanos().saturating_add(1)));
                }
            }
            asset.armed = any;
            if any {
                still.push(index);
            }
        }
        self.armed = still;
        if now > self.utc_next {
            self.silences(now, monotonic, &mut parts);
        }
        if self.utc_next != Time::MAX {
            sooner(Span::from_nanos(self.utc_next.since(now).nanos().saturating_add(1).max(1)));
        }
        (parts, wait)
    }

    fn silences(&mut self, now: Time, monotonic: Span, parts: &mut Vec<Part>) {
        let mut next = Time::MAX;
        for asset in &mut self.assets {
            if asset.utc_next == Time::MAX {
                continue;
            }
            asset.utc_next = Time::MAX;
            for slot in asset.states.iter().filter_map(|state| self.states.get(*state as usize)) {
                let Some(deadline) = slot.utc_deadline() else { continue };
                // Every state that has heard something knows its source; a shelving ends by the tick of any.
                let source = self.sources.get(slot.source as usize).map_or(&*OURS, |source| &source.name);
                asset.utc_next = asset.utc_next.min(deadline);
                if now > deadline {
                    let clock = asset.clocks.iter().find(|(of, _)| *of == slot.source);
                    let plant = clock.map_or(Time::MIN, |(_, clock)| clock.plant(monotonic));
                    tick(parts, slot, asset, source, plant, now);
                }
            }
            next = next.min(asset.utc_next);
        }
        self.utc_next = next;
    }
}

/// Adds a tick of an asset's clock for a source, once.
fn tick(parts: &mut Vec<Part>, slot: &Slot, asset: &Asset, source: &Name, plant: Time, utc: Time) {
    let site: &SiteName = &slot.dress.site;
    let mark = Entry::Mark(Mark::Tick { asset: asset.name.clone(), plant, utc });
    match parts.iter_mut().find(|part| part.source == *source && part.site == *site) {
        Some(part) if part.entries.contains(&mark) => {}
        Some(part) => part.entries.push(mark),
        None => {
            let mut part = Part::new(site.clone(), source.clone());
            part.entries.push(mark);
            parts.push(part);
        }
    }
}
