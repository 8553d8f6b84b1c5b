//! What a simulated disk shows and a real one hides: everything that was acknowledged survives whatever befalls the
//! disk in any operation.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use andon_model::{
    Name, Position,
    sample::{Batch, Part},
};
use andon_store::{
    Gravity, Limits, RuleStateRow, SimDisk, Store, StoreError, Trouble, Write,
    conformance::{event, part, read_all},
};
use std::sync::{Arc, Mutex};

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

fn small() -> Limits {
    Limits { segment_bytes: 4 << 10, ring_bytes: 0 }
}

fn open(disk: &SimDisk) -> Result<Store, StoreError> {
    Store::simulated(disk, &small(), &mut chance)
}

fn state(position: Position, n: u64) -> RuleStateRow {
    RuleStateRow {
        rule: Name::new("vibration").unwrap(),
        asset: "cartoner-07".parse().unwrap(),
        version: format!("v{n}"),
        position,
        state: serde_json::json!({ "n": n }),
    }
}

/// What the world knows of a store without asking it.
#[derive(Default)]
struct Model {
    /// Batches that were acknowledged, or seen since.
    batches: Vec<Arc<Batch>>,
    /// Groups that failed since: a prefix of one of them may be there after a crash.
    failed: Vec<Vec<Part>>,
    /// Events that were acknowledged, or seen since.
    events: u64,
    /// An event that may be there or not.
    event_failed: bool,
    states: Vec<RuleStateRow>,
    states_failed: Vec<Vec<RuleStateRow>>,
}

impl Model {
    /// Compares with what a start finds; what it finds is there from then on.
    fn check(&mut self, store: &Store, when: &str) {
        let found: Vec<_> = read_all(store, Position { epoch: 1, offset: 0 });
        let known = self.batches.len();
        assert!(found.len() >= known, "{when}: {} batches of {known} are left", found.len());
        assert!(found[..known] == self.batches[..], "{when}: an acknowledged batch is another one now");
        let more: Vec<_> = found[known..].iter().map(|batch| batch.part.clone()).collect();
        let is_of = |(n, part)| self.failed.iter().any(|group| group.get(n) == Some(part));
        assert!(more.iter().enumerate().all(is_of), "{when}: something is there that nobody wrote");
        self.batches = found;
        self.failed.clear();
        let events = store.last_sequence().unwrap();
        let most = self.events + u64::from(self.event_failed);
        assert!((self.events..=most).contains(&events), "{when}: {events} events, {} acknowledged", self.events);
        (self.events, self.event_failed) = (events, false);
        let states = store.read_states().unwrap();
        assert!(states == self.states || self.states_failed.contains(&states), "{when}: the states are others");
        (self.states, self.states_failed) = (states, Vec::new());
        let stored: u64 = self.batches.iter().map(|batch| batch.part.counts.stored).sum();
        let counted: u64 = store.source_counts().values().map(|counts| counts.stored).sum();
        assert_eq!(counted, stored, "{when}");
    }

    /// One of several things that a process does; whether it can go on.
    fn act(&mut self, store: &Store, draw: &mut Draw) -> Result<(), StoreError> {
        match draw.below(8) {
            0..=3 => {
                let parts: Vec<_> =
                    (0..=draw.below(3)).map(|_| part("line-1", 1 + draw.few(30), draw.few(97))).collect();
                match store.append(parts.clone()) {
                    Ok(batches) => {
                        self.batches.extend(batches);
                        self.failed.clear();
                        Ok(())
                    }
                    Err(error) => {
                        self.failed.push(parts);
                        Err(error)
                    }
                }
            }
            4 | 5 => {
                let number = u32::try_from(self.events).unwrap();
                let committed = store.commit(vec![Write::Event(Box::new(event(number)), None)]);
                match committed {
                    Ok(_) => {
                        self.events += 1;
                        self.event_failed = false;
                    }
                    Err(_) => self.event_failed = true,
                }
                committed.map(drop)
            }
            6 => {
                let states = vec![state(store.log_end(), draw.below(1_000))];
                let written = store.write_states(&states);
                match written {
                    Ok(()) => (self.states, self.states_failed) = (states, Vec::new()),
                    Err(_) => self.states_failed.push(states),
                }
                written
            }
            _ => {
                let told = Arc::new(Mutex::new(Vec::new()));
                let parts: Vec<_> = (0..3).map(|n| part("line-2", 1 + draw.few(9), n)).collect();
                for part in &parts {
                    let told = Arc::clone(&told);
                    store.submit(part.clone(), Box::new(move |outcome| told.lock().unwrap().push(outcome)));
                }
                store.settle();
                let told = std::mem::take(&mut *told.lock().unwrap());
                assert_eq!(told.len(), 3, "everybody is told, in order");
                self.batches.extend(told.iter().flatten().cloned());
                let behind = told.iter().rposition(Result::is_ok).map_or(0, |last| last + 1);
                if behind > 0 {
                    self.failed.clear();
                }
                // Together, or each by itself.
                self.failed.push(parts[behind..].to_vec());
                self.failed.extend(parts[behind..].iter().map(|part| vec![part.clone()]));
                told.into_iter().find_map(Result::err).map_or(Ok(()), Err)
            }
        }
    }
}

/// Numbers out of a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn few(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(end.into())).unwrap()
    }
}

/// Lives through a world out of a seed; the disk at its end.
fn live(seed: u64) -> (SimDisk, u64) {
    let mut draw = Draw(seed);
    let disk = SimDisk::new();
    let mut model = Model::default();
    for round in 0..8 {
        disk.hold_submissions(draw.below(2) == 0);
        let trouble = [Trouble::Kill, Trouble::PowerCut, Trouble::PowerCut, Trouble::Error, Trouble::Full];
        for _ in 0..=draw.below(2) {
            let trouble = trouble[usize::try_from(draw.below(5)).unwrap()];
            disk.plan(draw.below(60), trouble(draw.below(u64::MAX >> 31)));
        }
        let when = format!("seed {seed}, round {round}");
        let crashes = disk.crashes();
        let Ok(store) = open(&disk) else {
            disk.forget_plans();
            continue;
        };
        // What has crashed while it started may have found half of it.
        if disk.crashes() == crashes {
            model.check(&store, &when);
        }
        for _ in 0..draw.below(40) {
            if let Err(StoreError::Stopped(_)) = model.act(&store, &mut draw) {
                break;
            }
        }
        match draw.below(3) {
            0 => disk.kill(),
            1 => disk.power_cut(draw.below(1 << 30)),
            _ => disk.forget_plans(),
        }
        drop(store);
    }
    disk.forget_plans();
    disk.set_capacity(None);
    model.check(&open(&disk).unwrap(), &format!("seed {seed}, the end"));
    let looked = disk.examine().unwrap();
    let is_harmless = looked.ailments.iter().all(|ailment| ailment.gravity == Gravity::Warning);
    assert!(is_harmless && !looked.running, "seed {seed}: {:?}", looked.ailments);
    (disk.clone(), disk.crashes())
}

#[test]
fn what_was_acknowledged_survives_whatever_befalls_the_disk() {
    let crashes: u64 = (0..400).map(|seed| live(seed).1).sum();
    assert!(crashes > 1_000, "{crashes} crashes");
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    for seed in 0..10 {
        let ((one, crashes), (two, again)) = (live(seed), live(seed));
        assert_eq!(crashes, again);
        assert!(one.files() == two.files(), "seed {seed}");
    }
}

#[test]
fn every_operation_may_be_the_last() {
    let mut step = 0;
    loop {
        let mut is_over = false;
        for seed in 0..6 {
            let disk = SimDisk::new();
            let trouble = if seed == 0 { Trouble::Kill(step) } else { Trouble::PowerCut(step * 31 + seed) };
            disk.plan(step, trouble);
            let mut model = Model::default();
            let mut draw = Draw(9);
            if let Ok(store) = open(&disk) {
                while disk.crashes() == 0 && model.batches.len() < 30 {
                    drop(model.act(&store, &mut draw));
                }
                // A clean stop is crashed into as well.
                drop(store);
            }
            is_over |= disk.crashes() == 0;
            disk.forget_plans();
            let when = format!("step {step}, {trouble:?}");
            model.check(&open(&disk).unwrap(), &when);
            // What was found once stays.
            disk.power_cut(seed);
            model.check(&open(&disk).unwrap(), &when);
        }
        if is_over {
            break;
        }
        step += 1;
    }
    assert!(step > 100, "there was something to crash in: {step}");
}

/// Acts until there are so many batches; a store that has stopped is opened again.
fn go_on(disk: &SimDisk, model: &mut Model, draw: &mut Draw, batches: usize, when: &str) {
    // A start that fails is tried again.
    let open = || open(disk).or_else(|_| open(disk)).unwrap_or_else(|error| panic!("{when}: {error}"));
    let mut store = open();
    model.check(&store, when);
    while model.batches.len() < batches {
        if let Err(StoreError::Stopped(_)) = model.act(&store, draw) {
            drop(store);
            store = open();
            model.check(&store, when);
        }
    }
}

#[test]
fn after_an_error_in_any_operation_all_goes_on() {
    let mut step = 0;
    let mut is_over = false;
    while !is_over {
        for trouble in [Trouble::Error(3 * step), Trouble::Error(3 * step + 1), Trouble::Full(step)] {
            let when = format!("step {step}, {trouble:?}");
            let (disk, mut model, mut draw) = (SimDisk::new(), Model::default(), Draw(9));
            drop(open(&disk).unwrap());
            let begun = disk.operations();
            disk.plan(step, trouble);
            go_on(&disk, &mut model, &mut draw, 30, &when);
            is_over = disk.operations() < begun + step;
            disk.power_cut(step);
            go_on(&disk, &mut model, &mut draw, 40, &when);
        }
        step += 1;
    }
    assert!(step > 100, "there was something to fail in: {step}");
}

#[test]
fn a_start_that_fails_is_tried_again_and_takes_for_durable_only_what_is() {
    for killed in (0..110).step_by(3) {
        let mut failed = 0;
        loop {
            let when = format!("killed in {killed}, an error in {failed} of the start");
            let (disk, mut model, mut draw) = (SimDisk::new(), Model::default(), Draw(killed));
            disk.plan(killed, Trouble::Kill(killed));
            if let Ok(store) = open(&disk) {
                while disk.crashes() == 0 {
                    drop(model.act(&store, &mut draw));
                }
            }
            let begun = disk.operations();
            disk.plan(failed, Trouble::Error(killed + failed));
            drop(open(&disk));
            let is_over = disk.operations() < begun + failed;
            disk.forget_plans();
            let batches = model.batches.len();
            go_on(&disk, &mut model, &mut draw, batches + 8, &when);
            disk.power_cut(failed);
            go_on(&disk, &mut model, &mut draw, batches + 12, &when);
            if is_over {
                break;
            }
            failed += 1;
        }
        assert!(failed > 5, "there was something to fail in: {failed}");
    }
}

#[test]
fn a_group_that_finds_no_room_is_not_there_and_the_next_one_is() {
    let disk = SimDisk::new();
    let mut store = open(&disk).unwrap();
    let start = store.log_end();
    let mut written = Vec::new();
    let mut stopped = 0;
    // Wherever the disk gets full: in a frame, in an end frame, in the room for the next segment or in its header.
    for step in 0..60 {
        disk.plan(step, Trouble::Full(step));
        let refused = loop {
            match store.append(vec![part("line-1", 9, 1), part("line-2", 3, 2)]) {
                Ok(batches) => written.extend(batches),
                Err(refused) => break refused,
            }
        };
        match &refused {
            StoreError::Full { .. } => {}
            // Room that is missing only when it is synced leaves nobody knowing what is there.
            StoreError::Stopped(_) => {
                stopped += 1;
                drop(store);
                store = open(&disk).unwrap();
                // Of a group that nobody was told of the first frames may be there.
                let found = read_all(&store, start);
                assert!(found.starts_with(&written) && found.len() <= written.len() + 2);
                written = found;
            }
            other => panic!("{other}"),
        }
        assert_eq!(store.log_end(), written.last().map_or(start, |batch| batch.end()));
        let event = event(u32::try_from(step).unwrap());
        store.commit(vec![Write::Event(Box::new(event), None)]).unwrap();
        written.extend(store.append(vec![part("line-1", 2, 3)]).unwrap());
        assert_eq!(read_all(&store, start), written);
    }
    assert!((5..40).contains(&stopped), "{stopped}");
}

#[test]
fn what_a_write_that_failed_has_left_is_never_read_for_what_came_in_its_place() {
    let mut whole = 0;
    for seed in 0..300 {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        let first = store.append(vec![part("line-1", 2, 1)]).unwrap();
        disk.plan(0, Trouble::Full(seed));
        let failed = vec![part("line-1", 3, 2), part("line-2", 3, 3), part("line-1", 9, 4)];
        assert!(matches!(store.append(failed), Err(StoreError::Full { .. })), "{seed}");
        // Whoever reads here looks ahead, and sees what lies behind the end.
        assert_eq!(store.read(first[0].first).unwrap().unwrap(), first[0]);
        let left = disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|of| of == "seg"));
        whole += left.map_or(0, |(_, bytes)| memchr::memmem::find_iter(&bytes, &[0xA5, b'a', b'n', 0xD0]).count() - 1);
        let mut written = first;
        written.extend(store.append(vec![part("line-1", 3, 5), part("line-2", 2, 6)]).unwrap());
        written.extend(store.append(vec![part("line-2", 4, 7)]).unwrap());
        assert_eq!(read_all(&store, written[0].first), written, "{seed}");
    }
    assert!(whole > 300, "of three frames one at least begins mostly: {whole}");
}

#[test]
fn on_a_full_disk_control_goes_on_with_the_reserve() {
    const RESERVE: u64 = 64 << 20;
    for room in (0..40_000).step_by(911) {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        let start = store.log_end();
        disk.set_capacity(Some(disk.used_bytes() + room));
        let mut written = Vec::new();
        let refused = loop {
            match store.append(vec![part("line-1", 20, 1)]) {
                Ok(batches) => written.extend(batches),
                Err(refused) => break refused,
            }
        };
        assert!(refused.is_full() && store.is_full(), "{refused}");
        // The reserve is there for what people and systems are told.
        for number in 0..300 {
            store.commit(vec![Write::Event(Box::new(event(number)), None)]).unwrap();
        }
        store.write_states(&[state(store.log_end(), 1)]).unwrap();
        assert!(store.append(vec![part("line-1", 1, 1)]).unwrap_err().is_full());
        disk.set_capacity(Some(disk.used_bytes() + 3 * RESERVE));
        written.extend(store.append(vec![part("line-1", 1, 2)]).unwrap());
        assert!(!store.is_full());
        disk.power_cut(room);
        drop(store);
        let store = open(&disk).unwrap();
        assert_eq!((read_all(&store, start), store.last_sequence().unwrap()), (written, 300));
    }
}

/// Found by `cargo xtask torture --seed 102`: an instance that starts takes its reserve back, and nothing is left for
/// what it says of itself.
#[test]
fn on_a_full_disk_an_instance_says_where_it_answers() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let has = |name: &str| disk.files().iter().any(|(path, bytes)| path.ends_with(name) && !bytes.is_empty());
    assert!(has("reserve"));
    disk.set_capacity(Some(disk.used_bytes()));
    store.announce("127.0.0.1:8080").unwrap();
    assert!(has("lock") && !has("reserve") && store.is_full());
    disk.set_capacity(Some(0));
    store.announce("127.0.0.1:8080, and a text that needs more room than there is").unwrap();
}

#[test]
fn the_database_finds_no_room_where_there_is_none() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    disk.set_capacity(Some(0));
    let write = |number| store.commit(vec![Write::Event(Box::new(event(number)), None)]);
    let mut number = 0;
    let refused = loop {
        match write(number) {
            Ok(_) => number += 1,
            Err(refused) => break refused,
        }
    };
    assert!(refused.is_full(), "{refused}");
    assert_eq!(store.last_sequence().unwrap(), u64::from(number), "nothing of it is there");
    disk.set_capacity(None);
    write(number).unwrap();
}

#[test]
fn what_is_held_lands_as_one_group_or_not_at_all() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let me = std::thread::current().id();
    let told = Arc::new(Mutex::new(Vec::new()));
    let submit = |store: &Store, n| {
        let told = Arc::clone(&told);
        let done = move |outcome: Result<Arc<Batch>, StoreError>| {
            assert_eq!(std::thread::current().id(), me, "there is no other thread");
            told.lock().unwrap().push(outcome.map_err(|error| error.to_string()));
        };
        store.submit(part("line-1", 2, n), Box::new(done));
    };
    submit(&store, 0);
    assert_eq!(told.lock().unwrap().len(), 1);
    disk.hold_submissions(true);
    (1..4).for_each(|n| submit(&store, n));
    assert_eq!((told.lock().unwrap().len(), store.source_counts().values().next().unwrap().stored), (1, 2));
    let before = disk.operations();
    store.settle();
    assert_eq!(disk.operations() - before, 2, "one write and one sync");
    assert_eq!(told.lock().unwrap().len(), 4);
    // What comes behind them does not pass them by.
    submit(&store, 4);
    let batches = store.append(vec![part("line-2", 1, 5)]).unwrap();
    assert_eq!(told.lock().unwrap()[4].as_ref().unwrap().end(), batches[0].first);
    submit(&store, 6);
    disk.kill();
    drop(store);
    assert!(told.lock().unwrap()[5].is_err(), "who waits is told that nothing was stored");
    let store = open(&disk).unwrap();
    assert_eq!(store.log_end(), batches[0].end());
}

#[test]
fn what_has_crashed_writes_and_reads_no_more() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Locked { .. })));
    let kept = store.append(vec![part("line-1", 5, 1)]).unwrap();
    let copy = disk.snapshot().unwrap();
    disk.kill();
    let is_stopped =
        |outcome: Option<StoreError>| assert!(matches!(outcome, Some(StoreError::Stopped(_))), "{outcome:?}");
    is_stopped(store.append(vec![part("line-1", 1, 1)]).err());
    is_stopped(store.commit(vec![Write::Event(Box::new(event(1)), None)]).err());
    is_stopped(store.write_states(&[state(kept[0].first, 1)]).err());
    is_stopped(store.last_sequence().err());
    is_stopped(store.read(kept[0].first).err());
    is_stopped(store.announce("me").err());
    let next = open(&disk).unwrap();
    assert!(next.ended_uncleanly());
    drop(store);
    next.append(vec![part("line-1", 2, 2)]).unwrap();
    next.end_cleanly().unwrap();
    drop(next);
    assert!(!open(&disk).unwrap().ended_uncleanly());
    // The copy knows nothing of all that.
    let copied = open(&copy).unwrap();
    assert_eq!(read_all(&copied, kept[0].first), kept);
    copied.commit(vec![Write::Event(Box::new(event(1)), None)]).unwrap();
    assert_eq!((copied.last_sequence().unwrap(), open(&disk).unwrap().last_sequence().unwrap()), (1, 0));
}

#[test]
fn a_commit_that_is_crashed_into_is_there_or_not() {
    for (step, is_there) in [(0, false), (1, true)] {
        for trouble in [Trouble::Kill(1), Trouble::PowerCut(2)] {
            let disk = SimDisk::new();
            let store = open(&disk).unwrap();
            disk.plan(step, trouble);
            let told = store.commit(vec![Write::Event(Box::new(event(1)), None)]);
            assert!(matches!(told, Err(StoreError::Stopped(_))), "{told:?}");
            drop(store);
            assert_eq!(open(&disk).unwrap().last_sequence().unwrap(), u64::from(is_there));
        }
    }
}
