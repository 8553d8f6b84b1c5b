//! What rules cost: evaluations and times by the clock of whoever drives them, taken from a part of the batches.

use crate::common::{SECOND, contract, instance, limit, part, sample, signals, stale};
use andon_contract::contract::{Clock, RuleKind};
use andon_events::{Engine, Saved, engine::Moment};
use andon_model::{Entry, Quality, Time, sample::Batch, span::Span};
use std::{cell::Cell, sync::Arc};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// A clock that goes on by 100 ns whenever it is read.
fn clock() -> Span {
    NOW.with(|now| {
        now.set(now.get() + 100);
        Span::from_nanos(now.get())
    })
}

fn run(batches: i64, samples: i64, measured: bool) -> Engine {
    let rules = [("hot", RuleKind::Limit(limit("High 100"))), ("silent", RuleKind::Stale(stale("60 s")))];
    let contract = Arc::new(contract(&["m"], &rules, Clock::Recorded));
    let mut engine = Engine::new(contract, instance(), &signals(), Saved::default(), Time(0), &mut Vec::new());
    if measured {
        engine.measure(clock);
    }
    for number in 0..batches {
        let one = |n: i64| {
            let time = (number * samples + n) * SECOND;
            Entry::Sample(sample(1, time, time, Quality::GOOD, 50.0))
        };
        let batch = Batch { first: engine.position(), part: part((0..samples).map(one).collect()) };
        engine.apply(&batch, Moment { now: Time(0), monotonic: None }, &mut Vec::new());
    }
    engine
}

#[test]
fn evaluations_are_those_of_the_batches_that_were_timed() {
    // All of a few batches are timed, then one of many; the others count as they do.
    for (batches, samples) in [(1, 10), (64, 10), (1_000, 3), (5_000, 1)] {
        let costs = run(batches, samples, true).costs().unwrap();
        let names: Vec<&str> = costs.rules.keys().map(andon_model::Name::as_str).collect();
        assert_eq!(names, ["hot", "silent"]);
        for (rule, cost) in &costs.rules {
            assert_eq!(cost.evaluations, u64::try_from(batches * samples).unwrap(), "{rule}, {batches} x {samples}");
            // To read the clock is no part of what is measured.
            assert_eq!(cost.nanos, 0, "{rule}");
        }
        assert!(costs.span > Span::ZERO);
    }
}

#[test]
fn where_nobody_measures_nothing_is_told() {
    assert_eq!(run(10, 10, false).costs(), None);
}
