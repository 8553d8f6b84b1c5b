//! Ranges that grow alike are kept, and hashed, once.
//!
//! Of many rules on one stream the conditions begin with few different samples: from there on their ranges are the
//! same. So they hold the same rest, and what one of them has made of it with the next sample the others take. What was
//! made with the newest sample is remembered by the thread that evaluates; a range depends on its samples alone.

use super::{Raw, Rest, chain};
use ahash::AHashMap;
use andon_model::Position;
use std::{
    cell::RefCell,
    sync::{Arc, Weak},
};

/// With so few holders it is cheaper that each goes on alone than that the rest is copied for every sample.
const HOLDERS_MIN: usize = 16;

/// What was made with the newest sample.
#[derive(Default)]
struct Newest {
    /// The place of the sample.
    position: Position,
    /// By the place of the first sample: from a range of one sample to one of two.
    begun: AHashMap<u64, Begun>,
    /// The step that was made or taken last: that of most others.
    last: Option<Step>,
    /// The others by the address of the rest before.
    stepped: AHashMap<usize, Step>,
}

struct Begun {
    first: Raw,
    raw: Raw,
    rest: Weak<Rest>,
}

/// While a step is remembered, no other rest takes the place of the one before in memory.
struct Step {
    before: Weak<Rest>,
    raw: Raw,
    /// Held until the next sample: then whoever has it, has it.
    after: Arc<Rest>,
}

impl Newest {
    fn remember(&mut self, step: Step) {
        if let Some(step) = self.last.replace(step) {
            self.stepped.insert(step.before.as_ptr().addr(), step);
        }
    }

    fn turn(&mut self, position: Position) {
        if self.position != position {
            self.position = position;
            self.begun.clear();
            self.last = None;
            self.stepped.clear();
        }
    }
}

thread_local! {
    static NEWEST: RefCell<Newest> = RefCell::default();
}

/// The rest of a range that has its second sample.
pub(super) fn begin(first: &Raw, raw: Raw) -> Arc<Rest> {
    NEWEST.with_borrow_mut(|newest| {
        newest.turn(raw.position);
        let begun = newest.begun.get(&first.position.offset);
        let begun = begun.filter(|begun| begun.first == *first && begun.raw == raw);
        if let Some(rest) = begun.and_then(|begun| begun.rest.upgrade()) {
            return rest;
        }
        let hash = chain(chain([0; 32], first), &raw);
        let stretches = Vec::new();
        let rest = Arc::new(Rest { last: raw.clone(), count: 2, hash, stretch: 2, fill: 0, stretches });
        let begun = Begun { first: first.clone(), raw, rest: Arc::downgrade(&rest) };
        newest.begun.insert(first.position.offset, begun);
        rest
    })
}

/// Adds the next sample.
pub(super) fn push(rest: &mut Arc<Rest>, raw: Raw) {
    NEWEST.with_borrow_mut(|newest| {
        newest.turn(raw.position);
        let before = Arc::as_ptr(rest);
        let is_of = |step: &&Step| step.before.as_ptr() == before && step.raw == raw;
        if let Some(step) = newest.last.as_ref().filter(is_of) {
            *rest = Arc::clone(&step.after);
            return;
        }
        if let Some(step) = newest.stepped.remove(&before.addr()) {
            if is_of(&&step) {
                *rest = Arc::clone(&step.after);
            }
            newest.remember(step);
            if Arc::as_ptr(rest) != before {
                return;
            }
        }
        if Arc::strong_count(rest) < HOLDERS_MIN {
            Arc::make_mut(rest).push(raw);
            return;
        }
        let mut after = Rest::clone(rest);
        after.push(raw.clone());
        let after = Arc::new(after);
        let step = Step { before: Arc::downgrade(rest), raw, after: Arc::clone(&after) };
        newest.remember(step);
        *rest = after;
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Gather, tests::raw};
    use std::sync::Arc;

    #[test]
    fn ranges_that_grow_alike_are_one_and_others_are_not() {
        let value = |n: u64| f64::from(u32::try_from(n * 7 % 101).unwrap());
        let grown = |from: u64, to: u64| {
            let mut gather = Gather::from(raw(from, value(from)));
            (from + 1..to).for_each(|n| gather.push(raw(n, value(n))));
            gather
        };
        let mut all: Vec<(u64, Gather)> = (0..120).map(|n| (n % 3, Gather::from(raw(n % 3, value(n % 3))))).collect();
        for n in 1..2_000 {
            for (from, gather) in &mut all {
                if n > *from {
                    gather.push(raw(n, value(n)));
                }
            }
            // Now and then one begins anew, and is alone from then on.
            if n.is_multiple_of(97) {
                let at = usize::try_from(n).unwrap() % 120;
                all[at] = (n, Gather::from(raw(n, value(n))));
            }
        }
        for (from, gather) in &all {
            assert_eq!(*gather, grown(*from, 2_000), "from {from}");
        }
        let rests: std::collections::BTreeSet<_> =
            all.iter().map(|(_, gather)| Arc::as_ptr(gather.rest.as_ref().unwrap())).collect();
        assert!(rests.len() <= 3 + 20, "{} different rests of 120 ranges", rests.len());
    }
}
