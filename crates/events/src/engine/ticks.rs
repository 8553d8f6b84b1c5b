//! Ticks: marks that let timers fire although no sample comes.

use super::{Engine, NONE};
use andon_model::{Entry, Mark, Name, SiteName, Time, sample::Part, span::Span};
use std::{collections::BTreeMap, sync::LazyLock};

/// The source of what the instance itself writes into its log.
static OURS: LazyLock<Name> = LazyLock::new(|| Name::new("andon").expect("it is a name"));

/// Ticks written at once at most; the others follow when these are read.
const TICKS_MAX: usize = 10_000;

impl Engine {
    /// The ticks that must be written now, because plant time or UTC has passed a deadline and no
    /// sample came; and the span after which the next may have to be. Only when the whole log is read.
    pub fn ticks(&mut self, now: Time, monotonic: Span) -> (Vec<Part>, Option<Span>) {
        let mut due = Vec::new();
        let passed = self.passed(monotonic, TICKS_MAX, &mut due);
        let silent = self.silent(now, TICKS_MAX, &mut due);
        due.sort_unstable();
        due.dedup();
        let mut parts: BTreeMap<(u32, &SiteName), Vec<Entry>> = BTreeMap::new();
        for (number, by) in due {
            let Some(asset) = self.assets.get(number as usize) else { continue };
            let state = asset.states.first().and_then(|index| self.states.get(*index as usize));
            let Some(site) = state.map(|slot| &slot.dress.site) else { continue };
            let clock = asset.clocks.iter().find(|of| of.source == by);
            let plant = clock.map_or(Time::MIN, |of| of.clock.plant(monotonic));
            let tick = Mark::Tick { asset: asset.name.clone(), plant, utc: now };
            // A silence is of a source; a shelving ends by the tick of any.
            let by = if (by as usize) < self.sources.len() { by } else { NONE };
            parts.entry((by, site)).or_default().push(Entry::Mark(tick));
        }
        let part = |((by, site), entries): ((u32, &SiteName), _)| {
            let source = self.sources.get(by as usize).map_or(&*OURS, |source| &source.name);
            Part { entries, ..Part::new(site.clone(), source.clone()) }
        };
        (parts.into_iter().map(part).collect(), [passed, silent].into_iter().flatten().min())
    }
}
