//! What rules cost, by the clock of whoever drives them: one of so many batches is timed, evaluation by evaluation, and
//! the others are taken to be like it.

use super::Engine;
use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

/// One batch of so many is timed.
const EVERY: u64 = 256;
/// And the first ones are, so that a small plant need not wait.
const FIRST: u64 = 64;
/// Times that the clock is read to find out how long it takes to read it.
const READS: u32 = 32;

/// A clock that never jumps. The core has none.
pub type Clock = fn() -> Span;

/// What was measured, by the number of the state.
#[derive(Debug, Default)]
pub(super) struct Meter {
    clock: Option<Clock>,
    /// How long the clock is read, in ns.
    read: i64,
    begun: Span,
    batches: u64,
    /// Entries read in all, and in batches that were timed.
    entries: u64,
    timed: u64,
    of: Vec<Cost>,
}

/// What the timed evaluations of a state, or of a rule, took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Evaluations, as if all batches were like the timed ones.
    pub evaluations: u64,
    /// Their time in ns, likewise.
    pub nanos: u64,
}

/// What rules cost since they were started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Costs {
    /// By rule.
    pub rules: BTreeMap<Name, Cost>,
    /// Since when it is measured.
    pub span: Span,
}

impl Meter {
    /// The clock, where this batch is timed.
    #[inline]
    pub(super) fn begin(&mut self, entries: usize) -> Option<Clock> {
        let clock = self.clock?;
        let timed = self.batches < FIRST || self.batches.is_multiple_of(EVERY);
        self.batches += 1;
        self.entries += entries as u64;
        if !timed {
            return None;
        }
        self.timed += entries as u64;
        Some(clock)
    }

    /// An evaluation of a state that began at this time.
    #[cold]
    pub(super) fn add(&mut self, state: u32, clock: Clock, began: Span) {
        let took = clock().nanos().saturating_sub(began.nanos()).saturating_sub(self.read).max(0);
        let index = state as usize;
        if self.of.len() <= index {
            self.of.resize(index + 1, Cost::default());
        }
        if let Some(cost) = self.of.get_mut(index) {
            cost.evaluations += 1;
            cost.nanos = cost.nanos.saturating_add(u64::try_from(took).unwrap_or(0));
        }
    }

    /// A number of timed batches as one of all.
    fn whole(&self, timed: u64) -> u64 {
        let whole = u128::from(timed) * u128::from(self.entries) / u128::from(self.timed.max(1));
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

impl Engine {
    /// Measures from here on what rules cost.
    pub fn measure(&mut self, clock: Clock) {
        let reads = (0..READS).map(|_| clock()).collect::<Vec<_>>();
        let steps = reads.windows(2).filter_map(|two| Some(two.last()?.nanos().saturating_sub(two.first()?.nanos())));
        let read = steps.min().unwrap_or(0).max(0);
        self.meter = Meter { clock: Some(clock), read, begun: clock(), ..Meter::default() };
    }

    /// What they cost since then; `None` where nobody measures.
    pub fn costs(&self) -> Option<Costs> {
        let meter = &self.meter;
        let clock = meter.clock?;
        let mut rules: BTreeMap<Name, Cost> = BTreeMap::new();
        for (slot, cost) in self.states.iter().zip(&meter.of).filter(|(_, cost)| cost.evaluations > 0) {
            let of = match rules.get_mut(&slot.identity.rule) {
                Some(of) => of,
                None => rules.entry(slot.identity.rule.clone()).or_default(),
            };
            of.evaluations += cost.evaluations;
            of.nanos = of.nanos.saturating_add(cost.nanos);
        }
        for cost in rules.values_mut() {
            *cost = Cost { evaluations: meter.whole(cost.evaluations), nanos: meter.whole(cost.nanos) };
        }
        Some(Costs { rules, span: Span::from_nanos(clock().nanos().saturating_sub(meter.begun.nanos())) })
    }
}
