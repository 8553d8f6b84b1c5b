//! A crash after every single operation on files: nothing is lost, nothing is doubled, and what is left is tidied up.

mod killed;

use super::{Keeper, Kept, Policy, Progress, Reduce, catalog::Which, parquet};
use crate::{Limits, RuleStateRow, SimDisk, Store, StoreError, Trouble, Write, conformance::read_all, disk::Disk};
use andon_model::{
    Entry, Name, Position, Quality, Sample, SignalNo, SiteName, Time, Value,
    sample::{Counts, Mark, Origin, Part},
    span::Span,
};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

const HOUR: Span = Span::from_secs(3_600);
const BEGIN: Time = Time(1_750_000_000_000_000_000);

fn open(dir: &Path) -> Result<Store, StoreError> {
    let limits = Limits { segment_bytes: 1 << 10, ring_bytes: 0 };
    Store::open_with(dir, &limits, &mut |bytes| bytes.fill(5))
}

fn simulated(disk: &SimDisk) -> Result<Store, StoreError> {
    let limits = Limits { segment_bytes: 1 << 10, ring_bytes: 0 };
    Store::simulated(disk, &limits, &mut |bytes| bytes.fill(5))
}

/// A disk on which so much was stored and nothing sealed.
fn filled(parts: i64) -> SimDisk {
    let disk = SimDisk::new();
    fill(&simulated(&disk).unwrap(), parts);
    disk
}

/// A folder in memory where there is one: these tests sync thousands of times, and nothing here reads what only a disk
/// keeps.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    // The reserve of a full disk takes no room here: it has the size and no pages.
    std::fs::File::create(dir.path().join("reserve")).unwrap().set_len(64 << 20).unwrap();
    dir
}

fn policy(age: Option<Span>, reduce: Option<Reduce>) -> Policy {
    Policy {
        seal_after: HOUR,
        samples: Arc::new(move |_| Kept { age, bytes: None }),
        minutes: Kept { age, bytes: None },
        reduce: Arc::new(move |_, _| reduce),
    }
}

fn number(store: &Store, signal: u32) -> SignalNo {
    store.signal(&format!("press-{}", signal % 2).parse().unwrap(), &format!("s{signal}").parse().unwrap()).unwrap()
}

/// Samples of two sites and sources, mostly of one day, some of one site late, of the day before.
fn fill(store: &Store, parts: i64) {
    for n in 0..parts {
        let site = SiteName::new(if n % 3 == 0 { "monterrey" } else { "hamburg" }).unwrap();
        let mut part = Part::new(site, Name::new(if n % 2 == 0 { "line-1" } else { "line-2" }).unwrap());
        for m in 0..10 {
            let received = BEGIN.plus(Span::from_secs(n * 60 + m));
            let late = m == 9 && n % 3 > 0;
            let time = if late { received.minus(Span::from_secs(26 * 3_600)) } else { received };
            part.entries.push(Entry::Sample(Sample {
                signal: number(store, u32::try_from((n + m) % 4).unwrap()),
                time,
                received,
                quality: if m == 5 { Quality::UNCERTAIN } else { Quality::GOOD },
                value: if m == 7 {
                    Value::Text("running".into())
                } else {
                    Value::F64(f64::from(u32::try_from(n / 5).unwrap()))
                },
                origin: Origin::Live,
            }));
        }
        part.entries.push(Entry::Mark(Mark::Context(1)));
        part.counts = Counts { received: 10, stored: 10, ..Counts::default() };
        store.append(vec![part]).unwrap();
    }
    read_to(store, store.log_end());
}

/// Rules have read up to here.
fn read_to(store: &Store, position: Position) {
    let state = RuleStateRow {
        rule: Name::new("vibration").unwrap(),
        asset: "press-1".parse().unwrap(),
        version: "v1".into(),
        position,
        state: serde_json::json!({}),
    };
    store.write_states(&[state]).unwrap();
}

type Found = BTreeMap<Position, (Time, Time, Value)>;

/// All samples of the log.
fn hot(store: &Store, from: Position) -> Found {
    let mut found = Found::new();
    for batch in read_all(store, from) {
        for (ahead, entry) in (0..).zip(&batch.part.entries) {
            let position = Position { offset: batch.first.offset + ahead, ..batch.first };
            if let Entry::Sample(sample) = entry
                && position >= from
            {
                found.insert(position, (sample.time, sample.received, sample.value.clone()));
            }
        }
    }
    found
}

/// All samples that the historian and the log hold together; each exactly once.
fn all(store: &Store) -> Found {
    let sealed = store.sealed(&Which { kind: Some(super::catalog::Kind::Samples), ..Which::default() }).unwrap();
    let mut found = hot(store, sealed.place.unwrap_or_else(|| store.log_start()));
    for row in &sealed.files {
        let mut rows = 0;
        let (disk, dir) = store.data().unwrap();
        parquet::read(disk, &row.path(dir), &parquet::Filter::default(), &mut |row| {
            let known = found.insert(row.position, (row.time, row.received, row.value));
            assert!(known.is_none(), "the sample at {} is there twice", row.position);
            rows += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(rows, row.facts.rows);
    }
    found
}

fn files(disk: &Disk, dir: &Path, found: &mut Vec<PathBuf>) {
    for path in disk.list(dir).unwrap_or_default().iter().map(|name| dir.join(name)) {
        if disk.is_dir(&path) { files(disk, &path, found) } else { found.push(path) }
    }
}

/// What lies in the folders is what is listed, and nothing else.
fn is_tidy(store: &Store) {
    let (disk, dir) = store.data().unwrap();
    let mut there = Vec::new();
    for kind in ["historian", "minutes"] {
        files(disk, &dir.join(kind), &mut there);
    }
    let sealed = store.sealed(&Which::default()).unwrap();
    let mut listed: Vec<PathBuf> = sealed.files.iter().map(|row| row.path(dir)).collect();
    there.sort();
    listed.sort();
    assert_eq!(there, listed);
    assert!(!disk.exists(&dir.join("log/window.new")));
}

/// The samples of a source that are found as its newest.
fn newest(store: &Store, source: &str) -> Vec<Position> {
    let batches = store.newest(&Name::new(source).unwrap(), 65_536).unwrap();
    batches.iter().map(|batch| batch.first).collect()
}

/// Lets a keeper work, an hour a step, until there is nothing to do; the steps it took.
fn keep(store: &Store, policy: &Policy, hours: i64) -> Result<(), StoreError> {
    let mut keeper = Keeper::new(store.clone(), policy.clone());
    keeper.set_chunk(150);
    for hour in 0..hours {
        let now = BEGIN.plus(Span::from_secs((30 + hour) * 3_600));
        for steps in 0.. {
            assert!(steps < 1_000, "it never ends");
            if keeper.step(now)? != Progress::Worked {
                break;
            }
        }
    }
    Ok(())
}

/// Crashes in every operation, mostly as a machine without power: it loses all that a killed process loses, and more.
fn crash_everywhere(policy: &Policy, parts: i64, hours: i64, check: &dyn Fn(&Store, &Found)) {
    let prepared = filled(parts);
    let store = simulated(&prepared).unwrap();
    let expected = hot(&store, store.log_start());
    let (one, two) = (newest(&store, "line-1"), newest(&store, "line-2"));
    assert!(store.ground().unwrap().log.segments().unwrap().len() > 3, "there are segments to remove");
    drop(store);
    let check = |store: &Store, when: &str| {
        assert_eq!(store.holdings().unwrap().missing, Vec::<PathBuf>::new(), "{when}");
        check(store, &expected);
        is_tidy(store);
        assert_eq!((newest(store, "line-1"), newest(store, "line-2")), (one.clone(), two.clone()), "{when}");
    };
    let mut crashed = true;
    let mut step = 0;
    while crashed {
        for seed in [4 * step, 4 * step + 1, 4 * step + 2] {
            let trouble = if seed % 4 == 2 { Trouble::Kill(seed) } else { Trouble::PowerCut(seed) };
            let disk = prepared.snapshot().unwrap();
            let store = simulated(&disk).unwrap();
            let before = disk.crashes();
            disk.plan(step, trouble);
            let kept = keep(&store, policy, hours);
            crashed = disk.crashes() > before;
            assert_eq!(kept.is_err(), crashed, "step {step}: {kept:?}");
            drop(store);

            let when = format!("step {step}, {trouble:?}");
            let store = simulated(&disk).unwrap_or_else(|error| panic!("{when}: {error}"));
            check(&store, &when);
            keep(&store, policy, hours).unwrap();
            check(&store, &when);
            assert!(store.log_start().offset > 0, "segments went");
        }
        step += 1;
    }
    assert!(step > 40, "there was something to crash in");
}

#[test]
fn sealing_and_compaction_lose_and_double_nothing_wherever_they_crash() {
    crash_everywhere(&policy(None, None), 18, 3, &|store, expected| assert_eq!(&all(store), expected));
}

#[test]
fn retention_removes_what_it_counts_wherever_it_crashes() {
    let age = Span::from_secs(31 * 3_600);
    crash_everywhere(&policy(Some(age), None), 18, 4, &|store, expected| {
        let found = all(store);
        let expired: u64 = store.holdings().unwrap().expired.values().sum();
        assert_eq!(found.len() as u64 + expired, expected.len() as u64);
        assert!(found.iter().all(|(position, sample)| expected.get(position) == Some(sample)));
    });
}

#[test]
fn a_step_that_fails_is_taken_again_and_loses_nothing() {
    let prepared = filled(18);
    let store = simulated(&prepared).unwrap();
    let expected = hot(&store, store.log_start());
    drop(store);
    let mut failed = 0;
    let mut is_reached = true;
    for step in 0.. {
        if !is_reached {
            break;
        }
        for trouble in [Trouble::Error(2 * step), Trouble::Error(2 * step + 1), Trouble::Full(step)] {
            let when = format!("step {step}, {trouble:?}");
            let disk = prepared.snapshot().unwrap();
            let store = simulated(&disk).unwrap();
            let begun = disk.operations();
            disk.plan(step, trouble);
            let mut keeper = Keeper::new(store.clone(), policy(None, None));
            keeper.set_chunk(150);
            let mut errors = 0;
            for hour in 0..3 {
                let now = BEGIN.plus(Span::from_secs((30 + hour) * 3_600));
                loop {
                    match keeper.step(now) {
                        Ok(Progress::Worked) => {}
                        Ok(Progress::Idle { .. }) => break,
                        Err(error) => errors += u64::from(!matches!(error, StoreError::Corrupt { .. })),
                    }
                    assert!(errors < 3, "{when}");
                }
            }
            failed += errors;
            is_reached = disk.operations() > begun + step;
            assert_eq!(all(&store), expected, "{when}");
            disk.power_cut(step);
            drop((keeper, store));
            let store = simulated(&disk).unwrap();
            assert_eq!(all(&store), expected, "{when}");
            is_tidy(&store);
        }
    }
    assert!(failed > 100, "{failed}");
}

#[test]
fn what_is_reduced_is_counted_and_summed_up_before() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    fill(&store, 40);
    let expected = hot(&store, store.log_start());
    let by = Reduce { deadband: Some(0.5), door: None, heartbeat: None };
    keep(&store, &policy(None, Some(by)), 3).unwrap();
    let found = all(&store);
    let holdings = store.holdings().unwrap();
    let reduced: u64 = holdings.reduced.values().sum();
    assert!(reduced > 50, "{reduced} of {} samples were reduced", expected.len());
    assert_eq!(holdings.reduced.len(), 2);
    assert_eq!(found.len() as u64 + reduced, expected.len() as u64);
    assert_eq!(holdings.samples, found.len() as u64);
    // The summaries know all numbers that were not bad.
    let sealed = store.sealed(&Which { kind: Some(super::catalog::Kind::Minutes), ..Which::default() }).unwrap();
    let mut counted = 0;
    for row in &sealed.files {
        super::minutes::read(&Disk::System, &row.path(dir.path()), None, Time::MIN, Time::MAX, &mut |minute| {
            counted += minute.count;
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    let numbers = expected.values().filter(|(.., value)| matches!(value, Value::F64(_))).count();
    assert_eq!(counted, numbers as u64);
}

#[test]
fn segments_stay_while_rules_or_intakes_need_them() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    fill(&store, 40);
    let (start, end) = (store.log_start(), store.log_end());
    let middle = Position { offset: end.offset / 2, ..end };
    let all_segments = store.ground().unwrap().log.segments().unwrap().len();
    let segments = |store: &Store| store.ground().unwrap().log.segments().unwrap().len();
    let policy = policy(None, None);
    // Rules that have never run begin at the start.
    std::fs::remove_file(dir.path().join("states")).unwrap();
    keep(&store, &policy, 1).unwrap();
    assert_eq!((store.holdings().unwrap().sealed, segments(&store), store.log_start()), (end, all_segments, start));
    read_to(&store, middle);
    keep(&store, &policy, 1).unwrap();
    let half = segments(&store);
    assert!(half > 1 && half < all_segments, "{half} of {all_segments}");
    assert!(store.log_start() <= middle);
    let intake = |open| crate::IntakeRow {
        source: Name::new("drop").unwrap(),
        of: "a.csv".into(),
        position: middle,
        open,
        updated: BEGIN,
        state: serde_json::json!(null),
    };
    store.commit(vec![Write::Intake(Box::new(intake(true)))]).unwrap();
    read_to(&store, end);
    keep(&store, &policy, 1).unwrap();
    assert_eq!(segments(&store), half);
    store.commit(vec![Write::Intake(Box::new(intake(false)))]).unwrap();
    keep(&store, &policy, 1).unwrap();
    assert_eq!(segments(&store), 1);
    // What is appended goes on in the one that grows, and reading from before finds the first that is left.
    let before = store.log_end();
    fill(&store, 2);
    assert_eq!(store.read(before).unwrap().unwrap().first, before);
    assert_eq!(store.read(start).unwrap().unwrap().first, store.log_start());
}

#[test]
fn young_samples_are_sealed_when_asked_for_or_when_their_segment_is_full() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    fill(&store, 1);
    let mut keeper = Keeper::new(store.clone(), policy(None, None));
    let now = BEGIN.plus(Span::from_secs(60));
    assert_eq!(keeper.step(now).unwrap(), Progress::Idle { until: Some(now.plus(Span::from_secs(10))) });
    let shortly = BEGIN.plus(HOUR).minus(Span::from_secs(1));
    assert_eq!(keeper.step(shortly).unwrap(), Progress::Idle { until: Some(BEGIN.plus(HOUR)) });
    keeper.seal_now().ask();
    assert_eq!(keeper.step(now).unwrap(), Progress::Worked);
    assert_eq!(store.holdings().unwrap().sealed, store.log_end());
    fill(&store, 30);
    let whole = *store.ground().unwrap().log.segments().unwrap().last().unwrap();
    while keeper.step(now).unwrap() == Progress::Worked {}
    assert_eq!(store.holdings().unwrap().sealed.offset, whole);
    assert!(whole < store.log_end().offset);
    while keeper.step(BEGIN.plus(Span::from_secs(9 * 3_600))).unwrap() == Progress::Worked {}
    assert_eq!(store.holdings().unwrap().sealed, store.log_end());
}

#[test]
fn a_missing_file_is_named_and_what_belongs_to_its_day_is_left() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    fill(&store, 20);
    keep(&store, &policy(None, None), 3).unwrap();
    let sealed = store.sealed(&Which::default()).unwrap();
    let gone = sealed.files[0].path(dir.path());
    std::fs::remove_file(&gone).unwrap();
    assert_eq!(store.holdings().unwrap().missing, std::slice::from_ref(&gone));
    let question = |store: &Store| {
        let (asset, signal) = ("press-0".parse().unwrap(), "s0".parse().unwrap());
        store.downsample(&asset, &signal, Time::MIN, Time::MAX, 10).unwrap_err().to_string()
    };
    assert!(question(&store).contains(gone.to_str().unwrap()), "{}", question(&store));
    drop(store);
    let look = Store::look(dir.path()).unwrap();
    assert_eq!(look.holdings().unwrap().missing, std::slice::from_ref(&gone));
    assert!(question(&look).contains(gone.to_str().unwrap()));
    drop(look);
    let (leftover, foreign) = (gone.with_file_name("1-0-999999.parquet"), gone.with_file_name("notes.parquet"));
    std::fs::write(&leftover, "what a crash may have left").unwrap();
    std::fs::write(&foreign, "somebody else's").unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.holdings().unwrap().missing, std::slice::from_ref(&gone));
    assert!(leftover.exists() && foreign.exists());
    keep(&store, &policy(None, None), 3).unwrap();
    drop(store);
    std::fs::write(&gone, vec![0; usize::try_from(sealed.files[0].facts.bytes).unwrap()]).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.holdings().unwrap().missing, Vec::<PathBuf>::new());
    assert!(!leftover.exists() && foreign.exists());
}

#[test]
fn a_database_that_does_not_fit_the_log_refuses_the_start() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    fill(&store, 40);
    keep(&store, &policy(None, None), 1).unwrap();
    assert!(store.log_start().offset > 0);
    drop(store);
    let change = |sql: &str| {
        #[expect(clippy::disallowed_methods, reason = "the database is changed from outside")]
        let database = rusqlite::Connection::open(dir.path().join("andon.db")).unwrap();
        database.execute(sql, []).unwrap();
    };
    let set = |place: i64| change(&format!("UPDATE sealed SET place = {place}"));
    set(3);
    let refused = open(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("only what is before 1/3 was sealed"), "{refused}");
    set(1_000_000);
    let refused = open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Beyond { .. }), "{refused}");
    // From before the first sealing: nothing is listed, and what nobody lists would be removed.
    change("DELETE FROM files");
    change("DELETE FROM sealed");
    let there = |dir: &Path| {
        let mut found = Vec::new();
        files(&Disk::System, &dir.join("historian"), &mut found);
        found
    };
    let before = there(dir.path());
    assert!(!before.is_empty());
    let refused = open(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("nothing was sealed"), "{refused}");
    assert_eq!(there(dir.path()), before);
}

/// Rules have read half, all is sealed, and the disk is full.
fn fill_the_disk(disk: &SimDisk, store: &Store, middle: Position) {
    read_to(store, middle);
    keep(store, &policy(None, None), 1).unwrap();
    disk.set_capacity(Some(0));
    let site = SiteName::new("hamburg").unwrap();
    let mut part = Part::new(site, Name::new("line-1").unwrap());
    part.entries = vec![Entry::Mark(Mark::Context(1)); 1_000];
    let refused = store.append(vec![part]).unwrap_err();
    assert!(refused.is_full(), "{refused}");
    // What the reserve has left is room for the rows that follow.
    disk.set_capacity(Some(64 << 20));
}

#[test]
fn a_full_disk_takes_what_rules_have_not_read_and_counts_it_once_wherever_it_crashes() {
    let prepared = filled(20);
    let store = simulated(&prepared).unwrap();
    let expected = hot(&store, store.log_start());
    let middle = Position { offset: store.log_end().offset / 2, ..store.log_end() };
    drop(store);
    let dropped = |store: &Store| store.holdings().unwrap().dropped.values().sum::<u64>();
    let mut crashed = true;
    let mut step = 0;
    while crashed {
        let disk = prepared.snapshot().unwrap();
        let store = simulated(&disk).unwrap();
        fill_the_disk(&disk, &store, middle);
        let before = disk.crashes();
        disk.plan(step, Trouble::PowerCut(step));
        let kept = keep(&store, &policy(None, None), 1);
        crashed = disk.crashes() > before;
        assert_eq!(kept.is_err(), crashed, "step {step}: {kept:?}");
        drop(store);
        disk.set_capacity(None);
        let store = simulated(&disk).unwrap();
        fill_the_disk(&disk, &store, middle);
        keep(&store, &policy(None, None), 1).unwrap();
        assert_eq!(all(&store), expected, "what rules did not read is in the files");
        let segments = store.ground().unwrap().log.segments().unwrap();
        assert_eq!(segments.len(), 1, "only the one that grows is left");
        let last = Position { offset: segments[0], ..middle };
        let unread = expected.range(middle..last).count() as u64;
        assert!(unread > 50);
        assert_eq!(dropped(&store), unread, "step {step}");
        let gaps = store.list("gaps", &crate::Query::default()).unwrap();
        assert!(gaps.rows.len() >= 2, "{gaps:?}");
        step += 1;
    }
    assert!(step > 20, "there was something to crash in");
}

#[test]
fn a_full_disk_takes_nothing_that_an_open_intake_needs() {
    let disk = filled(20);
    let store = simulated(&disk).unwrap();
    let (start, end) = (store.log_start(), store.log_end());
    let intake = crate::IntakeRow {
        source: Name::new("drop").unwrap(),
        of: "a.csv".into(),
        position: start,
        open: true,
        updated: BEGIN,
        state: serde_json::json!(null),
    };
    store.commit(vec![Write::Intake(Box::new(intake))]).unwrap();
    fill_the_disk(&disk, &store, end);
    keep(&store, &policy(None, None), 1).unwrap();
    assert_eq!((store.log_start(), store.holdings().unwrap().dropped.len()), (start, 0));
}

#[test]
fn a_file_that_cannot_be_merged_or_removed_holds_up_no_others() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    fill(&store, 40);
    let mut keeper = Keeper::new(store.clone(), policy(None, None));
    keeper.set_chunk(150);
    keeper.seal_now().ask();
    while keeper.step(BEGIN).unwrap() == Progress::Worked {}
    let listed = store.sealed(&Which::default()).unwrap().files;
    let spoiled = listed[0].path(dir.path());
    let mut bytes = std::fs::read(&spoiled).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&spoiled, bytes).unwrap();
    let later = BEGIN.plus(Span::from_secs(60 * 3_600));
    let mut errors = Vec::new();
    let idle = |keeper: &mut Keeper, now: Time, errors: &mut Vec<String>| {
        for _ in 0..1_000 {
            match keeper.step(now) {
                Ok(Progress::Idle { .. }) => return,
                Ok(Progress::Worked) => {}
                Err(error) => errors.push(error.to_string()),
            }
        }
        panic!("it never ends: {errors:?}");
    };
    idle(&mut keeper, later, &mut errors);
    assert_eq!(errors.len(), 1, "it is told once: {errors:?}");
    assert!(errors[0].contains(spoiled.to_str().unwrap()), "{errors:?}");
    let mut days = BTreeMap::new();
    for row in store.sealed(&Which::default()).unwrap().files {
        *days.entry((row.kind, row.site, row.day)).or_insert(0) += 1;
    }
    let of = (listed[0].kind, listed[0].site.clone(), listed[0].day.clone());
    assert!(days.iter().all(|(day, files)| *files == if *day == of { 2 } else { 1 }), "{days:?}");
    // All expire; one of the files is a folder now, which cannot be removed as one.
    std::fs::remove_file(&spoiled).unwrap();
    std::fs::create_dir(&spoiled).unwrap();
    std::fs::write(spoiled.join("within"), "").unwrap();
    keeper.set_policy(policy(Some(HOUR), None));
    assert!(keeper.step(later).unwrap_err().to_string().contains(spoiled.to_str().unwrap()));
    let mut left = Vec::new();
    for kind in ["historian", "minutes"] {
        files(&Disk::System, &dir.path().join(kind), &mut left);
    }
    assert_eq!(left, [spoiled.join("within")]);
    std::fs::remove_dir_all(&spoiled).unwrap();
    idle(&mut keeper, later, &mut errors);
    assert_eq!(store.holdings().unwrap().files, 0);
}
