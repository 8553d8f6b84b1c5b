//! What only files can show: another start, torn ends, damage, killed processes, two at once.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use andon_model::{Entry, Event, Interval, Name, Position, Time, Value, sample::Batch, span::Span};
use andon_store::{
    Limits, ObjectRow, RevisionRow, RuleStateRow, Store, StoreError, Write, announced,
    conformance::{event, part, read_all},
    historian::{Keeper, Kept, Policy, Progress, Range},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open_with(dir, &Limits { segment_bytes: 64 << 10, ring_bytes: 0 }, &mut chance)
}

fn start(store: &Store) -> Position {
    Position { epoch: store.epoch(), offset: 0 }
}

fn insert(number: u32) -> Write {
    Write::Event(Box::new(event(number)), None)
}

/// A report by an origin of a fact that lasts a moment; all origins tell the same one.
fn report(number: u32, origin: &str) -> Write {
    let interval = Interval { from: Time(0), to: Some(Time(9)) };
    Write::event(Box::new(Event { source: origin.into(), ..event(number) }), None, Some(interval))
}

fn state(offset: u64) -> RuleStateRow {
    RuleStateRow {
        rule: Name::new("vibration").unwrap(),
        asset: "cartoner-07".parse().unwrap(),
        version: "v1".into(),
        position: Position { epoch: 1, offset },
        state: serde_json::json!({}),
    }
}

/// The segments of a folder, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("log")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    files.sort();
    files
}

/// The places of the frames in a segment, found by their magic.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 12 <= bytes.len() {
        if bytes[at..].starts_with(&[0xA5, b'a', b'n', 0xD0]) {
            let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
            found.push(at..at + 12 + length);
            at += 12 + length;
        } else {
            at += 1;
        }
    }
    found
}

/// A folder with three groups in its log, copied while the instance runs: as a crash leaves it.
fn crashed() -> (TempDir, Vec<Arc<Batch>>, Vec<u8>) {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).unwrap();
    let mut batches = store.append(vec![part("line-1", 2, 1), part("line-2", 1, 2)]).unwrap();
    batches.extend(store.append(vec![part("line-1", 2, 3)]).unwrap());
    batches.extend(store.append(vec![part("line-2", 1, 4)]).unwrap());
    fs::copy(dir.path().join("format"), copy.path().join("format")).unwrap();
    fs::create_dir(copy.path().join("log")).unwrap();
    let [segment] = &segments(dir.path())[..] else { panic!("one segment is expected") };
    let bytes = fs::read(segment).unwrap();
    fs::write(copy.path().join("log").join(segment.file_name().unwrap()), &bytes).unwrap();
    (copy, batches, bytes)
}

#[test]
fn everything_is_there_again_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "not ours").unwrap();
    let store = open(dir.path()).unwrap();
    let (instance, epoch) = (store.instance(), store.epoch());
    store.commit((0..10).map(insert).collect()).unwrap();
    let number = store.signal(&"a".parse().unwrap(), &"temp".parse().unwrap()).unwrap();
    let mut batches = Vec::new();
    for n in 0..200 {
        batches.extend(store.append(vec![part("line-1", 50, n), part("line-2", n % 3, n)]).unwrap());
    }
    store.write_states(&[state(9)]).unwrap();
    let counts = store.source_counts();
    drop(store);
    assert!(segments(dir.path()).len() > 3, "the log fills several segments");

    let store = Store::open(dir.path(), &mut |_| panic!("the instance has its id")).unwrap();
    assert_eq!((store.instance(), store.epoch()), (instance, epoch));
    assert_eq!(store.last_sequence().unwrap(), 10);
    assert_eq!(store.commit(vec![insert(3), insert(10)]).unwrap().events[1].1, 11);
    assert_eq!(store.signal(&"a".parse().unwrap(), &"temp".parse().unwrap()).unwrap(), number);
    batches.retain(|batch| !batch.part.entries.is_empty());
    assert_eq!(read_all(&store, start(&store)), batches);
    assert_eq!(store.source_counts(), counts);
    assert_eq!(store.read_states().unwrap(), [state(9)]);
    assert_eq!(fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "not ours");
    drop(store);

    // What was received is known although the segments it came in are gone.
    for old in segments(dir.path()).iter().rev().skip(1) {
        fs::remove_file(old).unwrap();
    }
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("nothing was sealed"), "{refused}");
    let store = Store::look(dir.path()).unwrap();
    assert_eq!(store.source_counts(), counts);
    assert!(store.log_start().offset > 0);
    let first = store.read(start(&store)).unwrap().unwrap();
    assert_eq!(first.first, store.log_start());
}

#[test]
fn a_torn_end_is_left_out_and_nothing_before_it() {
    let (dir, batches, bytes) = crashed();
    let [.., last] = &frames(&bytes)[..] else { panic!("there are frames") };
    let segment = &segments(dir.path())[0];
    for cut in last.clone() {
        for zeros in [true, false] {
            let mut torn = bytes[..cut].to_vec();
            if zeros {
                torn.resize(bytes.len(), 0);
            }
            fs::write(segment, &torn).unwrap();
            let store = open(dir.path()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert_eq!(read_all(&store, start(&store)), batches[..3], "cut at {cut}");
            let again = store.append(vec![part("line-2", 1, 5)]).unwrap();
            assert_eq!(again[0].first, batches[3].first);
            drop(store);
            let store = open(dir.path()).unwrap();
            assert_eq!(read_all(&store, start(&store))[3], again[0]);
        }
    }
}

#[test]
fn a_torn_group_is_left_out_as_a_whole() {
    // The first frame of a group did not reach the disk, the second did: nobody was told of either.
    let (dir, batches, mut bytes) = crashed();
    let store = open(dir.path()).unwrap();
    let group = store.append(vec![part("line-1", 3, 6), part("line-1", 3, 7)]).unwrap();
    assert_eq!(group.len(), 2);
    bytes.clone_from(&fs::read(&segments(dir.path())[0]).unwrap());
    drop(store);
    let torn = frames(&bytes)[4].clone();
    bytes[torn.start + 20..torn.end].fill(0);
    fs::write(&segments(dir.path())[0], &bytes).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(read_all(&store, start(&store)), batches);
}

#[test]
fn a_start_cuts_a_torn_end_off_before_anybody_reads() {
    let (dir, batches, bytes) = crashed();
    let [.., last] = &frames(&bytes)[..] else { panic!("there are frames") };
    let segment = &segments(dir.path())[0];
    fs::write(segment, &bytes[..last.end - 1]).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(fs::metadata(segment).unwrap().len(), last.start as u64);
    assert_eq!(store.log_end(), batches[3].first);
}

#[test]
fn what_a_crash_left_unnamed_is_removed_and_other_files_are_left_alone() {
    let (dir, batches, _) = crashed();
    let log = dir.path().join("log");
    let left = log.join("00000000000000000099.seg.new");
    let foreign = ["+0000000000000000001.seg", "notes.seg", "notes.seg.new"].map(|name| log.join(name));
    for file in foreign.iter().chain([&left]) {
        fs::write(file, "not a segment").unwrap();
    }
    let store = open(dir.path()).unwrap();
    assert_eq!(read_all(&store, start(&store)), batches);
    assert!(!left.exists(), "it would take the room of a segment for ever");
    assert!(foreign.iter().all(|file| file.exists()));
}

#[test]
fn a_frame_within_a_sample_proves_nothing() {
    // A frame of another log: its group began far behind the first bytes of a segment.
    let other = tempfile::tempdir().unwrap();
    let store = open(other.path()).unwrap();
    for n in 0..40 {
        store.append(vec![part("line-1", 1, n)]).unwrap();
    }
    let bytes = fs::read(&segments(other.path())[0]).unwrap();
    let foreign = &bytes[frames(&bytes)[30].clone()];

    for (before, padding) in [(0, 0), (70, 4_096)] {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(dir.path()).unwrap();
        let kept = store.append(vec![part("line-1", before, 1)]).unwrap();
        let mut payload = part("line-1", 1, 2);
        let Some(Entry::Sample(sample)) = payload.entries.last_mut() else { panic!("it is a sample") };
        let value = [vec![0; padding], foreign.to_vec(), vec![1; 9]].concat();
        sample.value = Value::Bytes(value.into());
        store.append(vec![payload]).unwrap();
        // The last byte of the last group does not reach the disk.
        let path = &segments(dir.path())[0];
        let mut torn = fs::read(path).unwrap();
        let last = torn.iter().rposition(|byte| *byte != 0).unwrap();
        torn.truncate(last);
        fs::create_dir(copy.path().join("log")).unwrap();
        fs::copy(dir.path().join("format"), copy.path().join("format")).unwrap();
        fs::write(copy.path().join("log").join(path.file_name().unwrap()), &torn).unwrap();
        let again = open(copy.path()).unwrap();
        assert_eq!(again.log_end(), kept[0].end(), "{before} entries before, {padding} bytes of padding");
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_a_sample() {
    let (dir, batches, bytes) = crashed();
    let frames = frames(&bytes);
    let segment = &segments(dir.path())[0];
    for at in 0..frames[3].end {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(segment, &flipped).unwrap();
        match open(dir.path()) {
            // Only the last group may be taken for a torn end: nothing behind it proves that it was durable.
            Ok(store) => {
                assert!(at >= frames[3].start, "a flip at {at} was not seen");
                assert_eq!(read_all(&store, start(&store)), batches[..3]);
            }
            Err(StoreError::Corrupt { path, place, .. }) => {
                assert_eq!(&path, segment);
                assert!(place <= at as u64, "damage at {at} is reported at {place}");
            }
            Err(StoreError::Newer { .. }) if (8..12).contains(&at) => {}
            Err(other) => panic!("a flip at {at}: {other}"),
        }
    }
}

#[test]
fn damage_in_a_closed_log_is_always_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for n in 0..200 {
        store.append(vec![part("line-1", 40, n)]).unwrap();
    }
    drop(store);
    let files = segments(dir.path());
    assert!(files.len() > 2);
    // In the segment that is taken up: the last frame before the frame that ends it.
    let (last, bytes) = (files.last().unwrap(), fs::read(files.last().unwrap()).unwrap());
    let places = frames(&bytes);
    assert_eq!(places.last().unwrap().len(), 32, "a closed segment ends with an end frame");
    let mut flipped = bytes.clone();
    flipped[places[places.len() - 2].end - 1] ^= 1;
    fs::write(last, &flipped).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Corrupt { .. })));
    fs::write(last, &bytes).unwrap();
    // In a sealed one: where it is read.
    let mut old = fs::read(&files[0]).unwrap();
    let hit = frames(&old)[1].clone();
    old[hit.end - 1] ^= 1;
    fs::write(&files[0], &old).unwrap();
    let store = open(dir.path()).unwrap();
    let first = store.read(start(&store)).unwrap().unwrap();
    match store.read(first.end()) {
        Err(StoreError::Corrupt { path, place, .. }) => assert_eq!((path, place), (files[0].clone(), hit.start as u64)),
        other => panic!("the damage was not seen: {other:?}"),
    }
}

#[test]
fn a_state_that_has_read_further_than_the_log_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let end = store.append(vec![part("line-1", 5, 1)]).unwrap()[0].end();
    store.commit(vec![Write::RuleState(state(end.offset))]).unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    store.write_states(&[state(end.offset + 1)]).unwrap();
    drop(store);
    let refused = open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Beyond { .. }), "{refused}");
    assert!(refused.to_string().contains("the rule vibration of cartoner-07"), "{refused}");
}

#[test]
fn a_refused_start_leaves_the_end_of_the_log_as_it_lies() {
    let (dir, batches, bytes) = crashed();
    let [.., last] = &frames(&bytes)[..] else { panic!("there are frames") };
    let segment = &segments(dir.path())[0];
    let store = open(dir.path()).unwrap();
    store.write_states(&[state(batches[3].end().offset)]).unwrap();
    drop(store);
    // The last group is damaged, and a state has read it.
    let mut damaged = bytes[..last.end].to_vec();
    damaged[last.end - 1] ^= 1;
    fs::write(segment, &damaged).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Beyond { .. })));
    assert!(fs::read(segment).unwrap() == damaged, "it is what a person needs to save");
}

#[test]
fn a_raised_epoch_gives_new_places_and_keeps_the_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let old = store.append(vec![part("line-1", 5, 1)]).unwrap();
    let counts = store.source_counts();
    drop(store);
    let format = fs::read_to_string(dir.path().join("format")).unwrap();
    fs::write(dir.path().join("format"), format.replace("\"epoch\": 1", "\"epoch\": 2")).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!((store.epoch(), store.source_counts()), (2, counts));
    assert_eq!(store.log_end(), Position { epoch: 2, offset: old[0].end().offset });
    let new = store.append(vec![part("line-1", 2, 2)]).unwrap();
    assert_eq!(read_all(&store, start(&store)), [old, new].concat());
    drop(store);
    fs::write(dir.path().join("format"), format).unwrap();
    let refused = open(dir.path()).err().unwrap();
    assert!(refused.to_string().contains("do not belong together"), "{refused}");
}

#[test]
fn newer_and_damaged_files_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let refused = |file: &str, change: &dyn Fn(&Path)| {
        let path = dir.path().join(file);
        let good = fs::read(&path).unwrap();
        change(&path);
        let error = open(dir.path()).err().unwrap_or_else(|| panic!("{file} was accepted"));
        fs::write(&path, good).unwrap();
        error
    };
    let newer = refused("format", &|path| {
        let text = fs::read_to_string(path).unwrap().replace("\"version\": 3", "\"version\": 4, \"shape\": \"new\"");
        fs::write(path, text).unwrap();
    });
    assert!(matches!(newer, StoreError::Newer { found: 4, known: 3, .. }), "{newer}");
    let gone = refused("format", &|path| fs::remove_file(path).unwrap());
    assert!(gone.to_string().contains("the file is missing"), "{gone}");
    let foreign = refused("andon.db", &|path| fs::write(path, [b'x'; 9_000]).unwrap());
    assert!(matches!(foreign, StoreError::Corrupt { .. }), "{foreign}");
    open(dir.path()).unwrap().write_states(&[state(0)]).unwrap();
    let states = refused("states", &|path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(matches!(states, StoreError::Corrupt { .. }), "{states}");
    open(dir.path()).unwrap();
}

#[test]
fn the_database_has_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.commit(vec![insert(1)]).unwrap();
    drop(store);
    assert!(!dir.path().join("andon.db-wal").exists(), "a stop leaves one whole file");
    let database = fs::read(dir.path().join("andon.db")).unwrap();
    assert_eq!(u16::from_be_bytes([database[16], database[17]]), 8_192, "page size");
    assert_eq!(database[18..20], [2, 2], "write-ahead log");
    assert_ne!(u32::from_be_bytes(database[64..68].try_into().unwrap()), 0, "incremental vacuum");
    assert_eq!(&database[68..72], b"Ando", "application id");
}

#[test]
fn a_look_sees_what_is_written_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.append(vec![part("line-1", 5, 1)]).unwrap();
    let look = Store::look(dir.path()).unwrap();
    assert_eq!(look.instance(), store.instance());
    for n in 0..300 {
        store.append(vec![part("line-1", 20, n)]).unwrap();
        if n % 50 == 0 {
            store.commit(vec![insert(n)]).unwrap();
            assert_eq!(look.log_end(), store.log_end());
            assert_eq!(look.last_sequence().unwrap(), store.last_sequence().unwrap());
        }
    }
    assert!(segments(dir.path()).len() > 1);
    assert_eq!(read_all(&look, start(&look)), read_all(&store, start(&store)));
    assert_eq!(look.source_counts(), store.source_counts());
    for refused in [
        look.commit(vec![insert(900)]).err(),
        look.append(vec![part("line-1", 1, 1)]).err(),
        look.signal(&"a".parse().unwrap(), &"temp".parse().unwrap()).err(),
        look.write_states(&[]).err(),
        look.announce("me").err(),
    ] {
        assert!(matches!(refused, Some(StoreError::Refused(_))), "{refused:?}");
    }
    let expected = read_all(&store, start(&store));
    drop((store, look));
    let look = Store::look(dir.path()).unwrap();
    assert_eq!(read_all(&look, start(&look)), expected);
    assert_eq!(look.last_sequence().unwrap(), 6);
    let nothing = tempfile::tempdir().unwrap();
    assert!(Store::look(nothing.path()).err().unwrap().to_string().contains("no data folder"));
    assert_eq!(fs::read_dir(nothing.path()).unwrap().count(), 0);
}

/// Runs one of the ignored tests of this file as a process of its own, on a folder.
fn child(name: &str, dir: &Path, seed: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env("STORE_TEST_DIR", dir)
        .env("STORE_TEST_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn child_dir() -> Option<(PathBuf, u32)> {
    Some((std::env::var_os("STORE_TEST_DIR")?.into(), std::env::var("STORE_TEST_SEED").ok()?.parse().ok()?))
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(announced(dir.path()), None);
    let mut holder = child("child_holds_the_folder", dir.path(), 0);
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")), "the child did not open the folder");
    let refused = open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("http://127.0.0.1:8730"), "{refused}");
    assert!(refused.to_string().contains("Stop it first"), "{refused}");
    assert_eq!(announced(dir.path()).as_deref(), Some("http://127.0.0.1:8730"));
    assert_eq!(Store::look(dir.path()).unwrap().last_sequence().unwrap(), 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(announced(dir.path()), None);
    assert_eq!(open(dir.path()).unwrap().last_sequence().unwrap(), 1);
}

#[test]
#[ignore = "the other process of the test above"]
fn child_holds_the_folder() {
    let Some((dir, _)) = child_dir() else { return };
    let store = open(&dir).unwrap();
    store.commit(vec![insert(1)]).unwrap();
    store.announce("http://127.0.0.1:8730").unwrap();
    println!("held");
    // Until the other side is gone or kills this.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    for seed in 1..=6 {
        let dir = tempfile::tempdir().unwrap();
        let mut acknowledged: Vec<(u32, u64)> = Vec::new();
        let mut events = Vec::new();
        for round in 0..3_u32 {
            let mut writer = child("child_writes_until_it_is_killed", dir.path(), seed * 1_000_000 + round * 100_000);
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            let enough = 40 + seed * 37 + round * 11;
            let mut count = 0;
            let mut killed = false;
            for line in lines {
                // The last line may be cut short: then nobody was told.
                let Ok(line) = line else { break };
                let words: Vec<&str> = line.split(' ').collect();
                match words[..] {
                    ["part", n, first, "."] => acknowledged.push((n.parse().unwrap(), first.parse().unwrap())),
                    ["event", n, "."] => events.push(n.parse::<u32>().unwrap()),
                    _ => continue,
                }
                count += 1;
                if count >= enough && !killed {
                    // SIGKILL; what it had said until then is still in the pipe.
                    writer.kill().unwrap();
                    killed = true;
                }
            }
            assert!(killed, "the writer ended by itself");
            writer.wait().unwrap();

            let look = Store::look(dir.path()).unwrap();
            let seen = read_all(&look, start(&look));
            assert!(events.iter().all(|n| look.event(event(*n).id).unwrap().is_some()), "a look sees what is durable");
            drop(look);
            let store = open(dir.path()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(read_all(&store, start(&store)), seen);
            let batches = read_all(&store, start(&store));
            let mut place = 0;
            for batch in &batches {
                assert_eq!(batch.first.offset, place, "seed {seed}: a hole in the log");
                place = batch.end().offset;
            }
            for (n, first) in &acknowledged {
                let at = batches.partition_point(|batch| batch.first.offset < *first);
                let found = batches.get(at).unwrap_or_else(|| panic!("seed {seed}: part {n} at {first} is lost"));
                assert_eq!(found.part, part("line-1", 1 + n % 30, *n), "seed {seed}: part {n} is another");
            }
            for n in &events {
                assert!(store.event(event(*n).id).unwrap().is_some(), "seed {seed}: event {n} is lost");
            }
            let last = store.last_sequence().unwrap();
            assert_eq!(store.counts().unwrap()["events"], last, "seed {seed}: holes in the order numbers");
            let stored: u64 = batches.iter().map(|batch| batch.part.counts.stored).sum();
            assert_eq!(store.source_counts().values().map(|counts| counts.stored).sum::<u64>(), stored);
        }
        assert!(!acknowledged.is_empty() && !events.is_empty());
    }
}

#[test]
#[ignore = "the other process of the test above"]
fn child_writes_until_it_is_killed() {
    let Some((dir, seed)) = child_dir() else { return };
    let store = open(&dir).unwrap();
    let say = |text: String| {
        // One write a line, so that a killed process cuts at most the last one.
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in seed..seed + 100_000 {
                store.commit(vec![insert(n)]).unwrap();
                assert!(say(format!("event {n} .\n")));
            }
        });
        for n in seed..seed + 100_000 {
            // An append stands for its whole group, a submission for itself.
            if n % 4 == 0 {
                let batches = store.append(vec![part("line-1", 1 + n % 30, n)]).unwrap();
                assert!(say(format!("part {n} {} .\n", batches[0].first.offset)));
            } else {
                let done = move |batch: Result<Arc<Batch>, StoreError>| {
                    assert!(say(format!("part {n} {} .\n", batch.unwrap().first.offset)));
                };
                store.submit(part("line-1", 1 + n % 30, n), Box::new(done));
            }
        }
    });
}

#[test]
fn a_full_disk_stops_intake_and_not_control() {
    let dir = tempfile::tempdir().unwrap();
    // A small disk that only the other process sees.
    let script = "mount -t tmpfs -o size=300m none \"$STORE_TEST_DIR\" && exec \"$0\" \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_fills_its_disk", "--ignored", "--nocapture", "--test-threads=1"])
        .env("STORE_TEST_DIR", dir.path())
        .env("STORE_TEST_SEED", "0")
        .output();
    let output = match output {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => output,
        other => {
            eprintln!(
                "no small disk can be mounted here; the simulated one in the store's own tests has to do: {other:?}"
            );
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("the disk was full and has room again"), "{said}");
}

#[test]
#[ignore = "the other process of the test above"]
fn child_fills_its_disk() {
    let Some((dir, _)) = child_dir() else { return };
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 150 << 20]).unwrap();
    let limits = Limits { segment_bytes: 8 << 20, ring_bytes: 0 };
    let store = Store::open_with(&dir, &limits, &mut chance).unwrap();
    assert!(dir.join("reserve").exists());
    let large = || {
        let mut part = part("line-1", 4, 1);
        for entry in &mut part.entries {
            if let andon_model::Entry::Sample(sample) = entry {
                sample.value = andon_model::Value::Bytes(vec![9; 1 << 20].into());
            }
        }
        part
    };
    let mut written = Vec::new();
    let refused = loop {
        match store.append(vec![large()]) {
            Ok(batches) => written.extend(batches),
            Err(error) => break error,
        }
        assert!(written.len() < 100, "the disk never gets full");
    };
    assert!(refused.is_full(), "{refused}");
    let end = store.log_end();
    assert_eq!(end, written.last().unwrap().end());
    for n in 0..200 {
        store.commit(vec![insert(n)]).unwrap();
        assert!(store.append(vec![part("line-1", 1, 1)]).unwrap_err().is_full(), "samples took the reserve");
    }
    store.write_states(&[state(1)]).unwrap();
    assert!(!dir.join("reserve").exists(), "the reserve is there for control writes");
    fs::remove_file(&ballast).unwrap();
    written.extend(store.append(vec![part("line-1", 1, 1)]).unwrap());
    assert!(dir.join("reserve").exists());
    assert_eq!(written.last().unwrap().first, end);
    drop(store);
    let store = Store::open_with(&dir, &limits, &mut chance).unwrap();
    assert_eq!(read_all(&store, start(&store)), written);
    assert_eq!(store.last_sequence().unwrap(), 200);
    println!("the disk was full and has room again");
}

/// The folders as earlier versions and this one write them, with the database packed.
const FOLDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");

/// What is not part of a folder that is kept: it says who holds it, or takes room.
const NOT_KEPT: [&str; 4] = ["lock", "reserve", "andon.db-wal", "andon.db-shm"];

/// Copies a folder; the database is packed or unpacked on the way.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let (path, bytes) = (entry.path(), || fs::read(entry.path()).unwrap());
        match name.as_str() {
            name if NOT_KEPT.contains(&name) => {}
            "andon.db" => {
                let packed = fs::File::create(to.join("andon.db.gz")).unwrap();
                let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
                packed.write_all(&bytes()).unwrap();
                packed.finish().unwrap();
            }
            "andon.db.gz" => {
                let mut database = fs::File::create(to.join("andon.db")).unwrap();
                std::io::copy(&mut flate2::read::GzDecoder::new(&bytes()[..]), &mut database).unwrap();
            }
            _ if path.is_dir() => copy_folder(&path, &to.join(&name)),
            _ => fs::write(to.join(&name), bytes()).unwrap(),
        }
    }
}

/// What every folder that is kept holds, whatever version wrote it.
fn is_whole(store: &Store) {
    assert_eq!(store.instance().to_string(), "in_0W3GE1R70W3GE1R7");
    for n in 0..7 {
        assert_eq!(store.event(event(n).id).unwrap().unwrap().0.event, event(n));
    }
    assert_eq!(store.read_states().unwrap(), [state(11)]);
    assert_eq!(store.rule_states().unwrap(), [state(12)]);
}

/// What was appended to them; the first version knew signals that have no names.
fn parts(version: &str) -> Vec<andon_model::sample::Part> {
    let first = u32::from(version != "v1");
    (0..12).map(|n| part("line-1", 5, first + n * 9)).collect()
}

/// An order that becomes released.
fn order(step: i64) -> ObjectRow {
    ObjectRow {
        site: "hamburg".parse().unwrap(),
        kind: "ProductionOrder".into(),
        number: "1000123".into(),
        revision: 0,
        known: Time::default(),
        from: Some(Time(100)),
        to: None,
        assets: vec!["cartoner-07".parse().unwrap()],
        line: Some("packaging-2".into()),
        origin: "maximo/orders".into(),
        data: serde_json::json!({ "status": if step == 0 { "Waiting" } else { "Released" } }),
    }
}

/// Seals what is there, merges nothing and lets the segments go that are not needed.
fn keep(store: &Store) {
    let policy = Policy {
        seal_after: Span::from_secs(3_600),
        samples: Arc::new(|_| Kept::default()),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    };
    let mut keeper = Keeper::new(store.clone(), policy);
    keeper.seal_now().ask();
    while keeper.step(Time(0)).unwrap() == Progress::Worked {}
}

/// The samples of all signals that have names, wherever they are.
fn samples(store: &Store) -> usize {
    let of = |(_, asset, signal)| {
        let range = Range { asset, signal, from: Time::MIN, to: Time::MAX, after: None, limit: 1_000 };
        store.range(&range).unwrap().0.len()
    };
    store.signals().unwrap().into_iter().map(of).sum()
}

#[test]
fn an_end_without_a_stop_is_seen_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), &mut chance).unwrap();
    let store = open();
    assert!(!store.ended_uncleanly(), "nobody was there before");
    drop(store);
    let store = open();
    assert!(store.ended_uncleanly(), "it came to no stop");
    store.end_cleanly().unwrap();
    drop(store);
    assert!(!open().ended_uncleanly());
}

#[test]
fn a_link_of_the_chain_that_was_changed_moved_or_removed_is_found() {
    use andon_store::AuditRow;
    let tampered = [
        ("UPDATE audit SET row = replace(row, 'Ada', 'Bob') WHERE no = 2", 2, "its text is not the one"),
        ("UPDATE audit SET actor = 'Bob' WHERE no = 3", 3, "its columns"),
        ("DELETE FROM audit WHERE no = 2", 2, "row 2 is missing"),
        ("DELETE FROM audit WHERE no = 4", 4, "the chain ends at row 3"),
        ("UPDATE audit SET previous = hash WHERE no = 3", 3, "it does not follow"),
        ("DELETE FROM audit", 1, "the chain ends at row 0"),
    ];
    for (sql, number, what) in tampered {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &mut chance).unwrap();
        for n in 1..=4 {
            let (actor, act, subject) = ("Ada".into(), "exception.assign".into(), "ex_A".into());
            let row = AuditRow { at: Time(n), actor, act, subject, detail: serde_json::json!({ "n": n }) };
            store.commit(vec![Write::Audit(Box::new(row))]).unwrap();
        }
        assert_eq!(store.verify_audit().unwrap().broken, None);
        drop(store);
        let path = dir.path().join("andon.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        rusqlite::Connection::open_with_flags(path, flags).unwrap().execute_batch(sql).unwrap();
        let broken = Store::look(dir.path()).unwrap().verify_audit().unwrap().broken.unwrap();
        assert!(broken.number == number && broken.what.starts_with(what), "{sql}: {broken:?}");
    }
}

/// A run that waits for a call which is parked, and what people see of it.
fn stuck() -> Vec<Write> {
    use andon_store::conformance::{call, exception, run, task};
    use andon_store::rows::{CallState, ExceptionRow, ExceptionState};
    let made = call(1, CallState::Parked, None);
    let of_call = ExceptionRow { run: Some(made.run), call: Some(made.id), ..exception("parked", 7) };
    let ended = ExceptionRow { state: ExceptionState::Resolved, ..exception("mended", 8) };
    vec![
        Write::Run(Box::new(run(1, None))),
        Write::Task(Box::new(task(1, "/do/0/first"))),
        Write::Call(Box::new(made)),
        Write::Exception(Box::new(of_call)),
        Write::Exception(Box::new(ended)),
    ]
}

/// What people did and are told, how a system fares, a gap, what was set aside, and what is processed alone.
fn watched() -> Vec<Write> {
    use andon_store::rows::{AuditRow, GapRow, InProcessRow, NoticeRow, SystemRow};
    let act = |n: i64| {
        let (actor, act, subject) = ("Ada".into(), "exception.retry".into(), "ex_A".into());
        let detail = serde_json::json!({ "reason": "we looked", "n": n });
        Write::Audit(Box::new(AuditRow { at: Time(n), actor, act, subject, detail }))
    };
    let name = |name: &str| Name::new(name).unwrap();
    let notice = NoticeRow {
        id: "no_1".into(),
        team: name("maintenance"),
        by: "mail".into(),
        what: "exception".into(),
        state: "waiting".into(),
        created: Time(1),
        due: Some(Time(5)),
        attempts: 2,
        sent: None,
        detail: Some("nobody answers".into()),
        body: serde_json::json!({ "subject": "look" }),
    };
    let system = SystemRow { system: name("eam"), changed: Time(3), state: serde_json::json!({ "open": true }) };
    let alone = InProcessRow { part: "rules".into(), item: "press-1".into(), ends: 1, at: Time(4) };
    let gap = GapRow { source: name("line-1"), from: Time(10), to: Time(20), reason: "nothing was kept".into() };
    vec![
        act(1),
        act(2),
        act(3),
        Write::Gap(gap),
        Write::Notice(Box::new(notice)),
        Write::System(Box::new(system)),
        Write::InProcess(Box::new(alone)),
    ]
}

#[test]
fn folders_of_every_version_are_read_and_go_on() {
    for version in ["v1", "v2", "v3", "v4", "v5"] {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(&Path::new(FOLDERS).join(version), dir.path());
        let store = Store::open(dir.path(), &mut |_| panic!("the instance has its id")).unwrap();
        is_whole(&store);
        let batches = read_all(&store, start(&store));
        assert_eq!(batches.iter().map(|batch| batch.part.clone()).collect::<Vec<_>>(), parts(version));
        let before = store.holdings().unwrap();
        assert_eq!((before.samples, before.missing.len()), if version == "v1" { (0, 0) } else { (30, 0) });
        let known: Vec<_> = store.objects_known(9, 0, 9).unwrap().into_iter().map(|(_, row)| row).collect();
        let revisions = store.context_revisions(0, 9, 9).unwrap();
        if version >= "v3" {
            assert_eq!(known, [ObjectRow { revision: 2, known: Time(2), ..order(1) }]);
            assert_eq!(revisions.iter().map(|row| row.changed).collect::<Vec<_>>(), [true, true, false]);
            let row = store.confirmation(event(26).id).unwrap().unwrap();
            assert_eq!((row.confirms, row.origin.as_str()), (event(20).id, "/hamburg/sources/mes"));
        } else {
            assert_eq!((known.len(), revisions.len()), (0, 0));
        }
        if version >= "v4" {
            // Their groups are counted on the way to the present version.
            let groups = store.list("exception-groups", &andon_store::Query::default()).unwrap().rows;
            let found = |row: &serde_json::Value| (row["fingerprint"].clone(), row["unfinished"].clone());
            let wanted = [("mended", 0), ("parked", 1)].map(|(name, count)| (name.into(), count.into()));
            assert_eq!(groups.iter().map(found).collect::<Vec<_>>(), wanted);
            assert_eq!(store.exceptions_of_group("parked", 0, 9).unwrap().len(), 1);
        }
        if version >= "v5" {
            let chain = store.verify_audit().unwrap();
            assert_eq!((chain.rows, chain.broken), (3, None));
            let listed = |kind| store.list(kind, &andon_store::Query::default()).unwrap().rows.len();
            assert_eq!(["gaps", "notices", "systems"].map(listed), [1, 1, 1]);
            assert_eq!(store.in_process().unwrap().len(), 1);
        }
        store.append(vec![part("line-1", 1, 1)]).unwrap();
        store.commit(vec![insert(7)]).unwrap();
        if version == "v1" {
            assert_eq!(store.signals().unwrap().len(), 1);
            continue;
        }
        assert_eq!(samples(&store), 61);
        store.write_states(&[state(60)]).unwrap();
        keep(&store);
        assert_eq!((store.holdings().unwrap().samples, samples(&store)), (61, 61));
        assert!(store.log_start().offset > 0);
    }
}

#[test]
#[ignore = "writes testdata/v5; only before a version is released"]
fn write_version_5() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes: 1 << 10, ring_bytes: 0 };
    let store = Store::open_with(dir.path(), &limits, &mut chance).unwrap();
    for n in 1..120 {
        store.signal(&"cartoner-07".parse().unwrap(), &format!("temp-{n}").parse().unwrap()).unwrap();
    }
    // Rules have read nothing when half is sealed: all segments stay.
    for (n, part) in (0..).zip(parts("v5")) {
        store.append(vec![part]).unwrap();
        if n == 5 {
            keep(&store);
        }
    }
    store.commit((0..7).map(insert).chain([Write::RuleState(state(12))]).collect()).unwrap();
    for revision in 1..4 {
        let row = RevisionRow::new(Time(revision), "maximo/orders", Some(Span::from_secs(60)));
        store.commit(vec![Write::ContextRevision(row), Write::Object(Box::new(order(revision / 2)))]).unwrap();
    }
    let (first, second) = (report(20, "/hamburg/rules/press"), report(26, "/hamburg/sources/mes"));
    store.commit(vec![first, second]).unwrap();
    store.commit(stuck()).unwrap();
    store.commit(watched()).unwrap();
    store.write_states(&[state(11)]).unwrap();
    drop(store);
    let to = Path::new(FOLDERS).join("v5");
    if to.exists() {
        fs::remove_dir_all(&to).unwrap();
    }
    copy_folder(dir.path(), &to);
}
