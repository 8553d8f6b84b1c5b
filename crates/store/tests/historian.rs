//! Questions of the historian give the same answers wherever the samples lie: in the log, in files, in both, in memory,
//! and to somebody who only looks.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its verdict")]

use andon_model::{Name, Position, Time, span::Span};
use andon_store::{
    Limits, RuleStateRow, Store,
    conformance::history::{Chance, Told, agrees, some_samples, tell},
    historian::{Keeper, Kept, Policy, Progress},
};
use proptest::prelude::*;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

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

/// A folder in memory where there is one: nothing here asks what only a disk keeps.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    // The reserve of a full disk takes no room here: it has the size and no pages.
    std::fs::File::create(dir.path().join("reserve")).unwrap().set_len(64 << 20).unwrap();
    dir
}

/// Plays the steps, asking as they say and at the end; the samples in files.
fn played(steps: &[Step], seed: u64) -> u64 {
    let dir = scratch();
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

/// Seals, merges and removes without pause while questions are asked, also by somebody who only looks.
#[test]
fn a_question_beside_the_keeper_misses_and_doubles_nothing() {
    for seed in 1..3 {
        let dir = scratch();
        let store = open(dir.path());
        let look = Store::look(dir.path()).unwrap();
        let stop = AtomicBool::new(false);
        let mut chance = Chance::new(seed);
        let mut told: Vec<Told> = Vec::new();
        std::thread::scope(|scope| {
            let _stops = Stops(&stop);
            scope.spawn(|| {
                let mut keeper = Keeper::new(store.clone(), policy());
                keeper.set_chunk(40);
                let later = Time::parse("2025-12-26T00:00:00Z").unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let position = store.log_end();
                    store.write_states(&[read_to(position)]).unwrap();
                    keeper.step(later).unwrap();
                }
            });
            for _ in 0..4 {
                let (part, signals) = some_samples(&store, 60, &mut chance);
                tell(&mut told, &store.append(vec![part]).unwrap(), signals);
                agrees(&store, &told, &mut chance);
                agrees(&look, &told, &mut chance);
                for store in [&store, &look] {
                    let found = ["line-1", "line-2"].map(|source| {
                        let batches = store.newest(&Name::new(source).unwrap(), 65_536).unwrap();
                        batches.iter().map(|batch| batch.part.counts.stored).sum::<u64>()
                    });
                    assert_eq!(found.iter().sum::<u64>(), told.len() as u64);
                }
            }
        });
        assert!(store.log_start().offset > 0 && store.holdings().unwrap().files > 0, "there was something to miss");
    }
}

/// Ends the other thread also where this one fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn read_to(position: Position) -> RuleStateRow {
    RuleStateRow {
        rule: Name::new("vibration").unwrap(),
        asset: "press-01".parse().unwrap(),
        version: "v1".into(),
        position,
        state: serde_json::json!({}),
    }
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
