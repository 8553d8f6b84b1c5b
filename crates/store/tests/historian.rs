//! Questions of the historian give the same answers wherever the samples lie: in the log, in files, in both, in memory,
//! and to somebody who only looks.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its verdict")]

use andon_model::{Time, span::Span};
use andon_store::{
    Limits, Store,
    conformance::history::{Chance, Told, agrees, some_samples, tell},
    historian::{Keeper, Kept, Policy, Progress},
};
use proptest::prelude::*;
use std::{path::Path, sync::Arc};

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

fn policy() -> Policy {
    Policy {
        seal_after: Span::from_secs(3_600),
        samples: Arc::new(|_| Kept::default()),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    }
}

/// What happens between two questions.
#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Seal(usize),
    /// Long after: the files of a day are merged.
    Wait,
    Reopen,
    Ask,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1usize..120).prop_map(Step::Append),
        3 => (1usize..300).prop_map(Step::Seal),
        1 => Just(Step::Wait),
        1 => Just(Step::Reopen),
        2 => Just(Step::Ask),
    ]
}

fn settle(keeper: &mut Keeper, now: Time) {
    for _ in 0..10_000 {
        if matches!(keeper.step(now).unwrap(), Progress::Idle { .. }) {
            return;
        }
    }
    panic!("the keeper never rests");
}

fn open(dir: &Path) -> Store {
    let limits = Limits { segment_bytes: 4 << 10, ring_bytes: 2 << 10 };
    Store::open_with(dir, &limits, &mut chance).unwrap()
}

/// Plays the steps, asking as they say and at the end; the samples in files.
fn played(steps: &[Step], seed: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let memory = Store::memory(&mut chance);
    let (mut one, mut other) = (Chance::new(seed), Chance::new(seed));
    let (mut told, mut remembered): (Vec<Told>, Vec<Told>) = (Vec::new(), Vec::new());
    let now = Time::parse("2025-11-26T00:00:00Z").unwrap();
    let later = Time::parse("2025-12-26T00:00:00Z").unwrap();
    for step in steps {
        match step {
            Step::Append(count) => {
                let (part, signals) = some_samples(&store, *count, &mut one);
                tell(&mut told, &store.append(vec![part]).unwrap(), signals);
                let (part, signals) = some_samples(&memory, *count, &mut other);
                tell(&mut remembered, &memory.append(vec![part]).unwrap(), signals);
            }
            Step::Seal(chunk) => {
                let mut keeper = Keeper::new(store.clone(), policy());
                keeper.set_chunk(*chunk);
                keeper.seal_now().ask();
                settle(&mut keeper, now);
            }
            Step::Wait => settle(&mut Keeper::new(store.clone(), policy()), later),
            Step::Reopen => {
                drop(store);
                store = open(dir.path());
            }
            Step::Ask => agrees(&store, &told, &mut Chance::new(seed)),
        }
    }
    agrees(&store, &told, &mut Chance::new(seed));
    agrees(&memory, &remembered, &mut Chance::new(seed));
    let look = Store::look(dir.path()).unwrap();
    agrees(&look, &told, &mut Chance::new(seed));
    let holdings = store.holdings().unwrap();
    let sealed = told.iter().filter(|one| one.position < holdings.sealed).count();
    assert_eq!(holdings.samples, sealed as u64);
    drop(store);
    agrees(&Store::look(dir.path()).unwrap(), &told, &mut Chance::new(seed));
    holdings.samples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_do_not_depend_on_where_samples_lie(
        steps in proptest::collection::vec(step(), 1..14),
        seed in any::<u64>(),
    ) {
        played(&steps, seed);
    }
}

#[test]
fn all_in_files_and_merged() {
    let steps = [Step::Append(119), Step::Seal(50), Step::Append(119), Step::Seal(300), Step::Wait, Step::Ask];
    assert_eq!(played(&steps, 7), 238);
}
