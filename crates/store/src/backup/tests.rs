//! Backups of folders at work, put back and gone on with; and what is refused.

use super::*;
use crate::{
    Limits, Store, Write, announced,
    conformance::{event, part, read_all},
    examine,
    historian::{Keeper, Kept, Policy, Progress as Kept_, Range},
    rows::RuleStateRow,
};
use andon_model::{Name, Position, Time, span::Span};
use serde_json::json;
use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};
use tempfile::TempDir;

const NOW: Time = Time(1_800_000_000_500_000_000);

fn open(dir: &Path) -> Store {
    let limits = Limits { segment_bytes: 8 << 10, ring_bytes: 0 };
    Store::open_with(dir, &limits, &mut |bytes| bytes.fill(5)).unwrap()
}

fn nobody(_: Progress) {}

fn back_up(store: &Store, to: &Path) -> Result<Manifest, BackupError> {
    store.back_up(to, &|| NOW, &nobody)
}

fn target(dir: &Path, replace: bool) -> Target<'_> {
    Target { dir, replace, at: NOW.plus(Span::from_secs(60)), actor: "Ada" }
}

fn insert(number: u32) -> Write {
    Write::Event(Box::new(event(number)), None)
}

fn state(store: &Store) -> RuleStateRow {
    RuleStateRow {
        rule: Name::new("vibration").unwrap(),
        asset: "cartoner-07".parse().unwrap(),
        version: "v1".into(),
        position: store.log_end(),
        state: json!({}),
    }
}

fn keeper(store: &Store) -> Keeper {
    let policy = Policy {
        seal_after: Span::from_secs(3_600),
        samples: Arc::new(|_| Kept::default()),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    };
    Keeper::new(store.clone(), policy)
}

fn seal(store: &Store) {
    let mut keeper = keeper(store);
    keeper.seal_now().ask();
    while keeper.step(Time(0)).unwrap() == Kept_::Worked {}
}

/// All samples of signals that have names, in files and in the log.
fn samples(store: &Store) -> Vec<crate::historian::Stored> {
    let of = |(_, asset, signal)| {
        let range = Range { asset, signal, from: Time::MIN, to: Time::MAX, after: None, limit: 100_000 };
        store.range(&range).unwrap().0
    };
    store.signals().unwrap().into_iter().flat_map(of).collect()
}

/// A folder with samples in files and in segments, events, and states.
fn folder(dir: &Path) -> Store {
    let store = open(dir);
    for n in 1..120 {
        store.signal(&"cartoner-07".parse().unwrap(), &format!("temp-{n}").parse().unwrap()).unwrap();
    }
    for n in 0..40 {
        store.append(vec![part("line-1", 9, 1 + n % 5 * 9)]).unwrap();
        if n == 20 {
            store.write_states(&[state(&store)]).unwrap();
            seal(&store);
        }
    }
    store.commit((0..5).map(insert).chain([Write::RuleState(state(&store))]).collect()).unwrap();
    store
}

#[test]
fn a_backup_is_put_back_under_an_epoch_of_its_own_with_a_gap_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to, back) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("back"));
    let store = folder(&data);
    let manifest = back_up(&store, &to).unwrap();
    assert_eq!((manifest.sequence, manifest.end, manifest.epoch), (5, store.log_end(), 1));
    let (held, held_samples) = (read_all(&store, store.log_start()), samples(&store));
    // What comes later is not in it.
    store.append(vec![part("line-1", 9, 3)]).unwrap();
    store.commit(vec![insert(9)]).unwrap();
    let names = |dir: &Path| fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert!(!names(dir.path()).iter().any(|name| name.to_string_lossy().contains("unfinished")));
    assert!(!["lock", "reserve", "at-work"].iter().any(|name| to.join(name).exists()));

    let done = restore(&to, &target(&back, false), &nobody).unwrap();
    assert_eq!(done.row.epoch, 1_800_000_060, "the second of the restore");
    assert!(examine(&back).unwrap().is_well() && announced(&back).is_none());
    let again = open(&back);
    assert_eq!((again.epoch(), again.instance()), (done.row.epoch, store.instance()));
    assert!(!again.ended_uncleanly());
    assert_eq!(again.last_sequence().unwrap(), 5);
    assert_eq!(read_all(&again, again.log_start()), held);
    assert_eq!(samples(&again), held_samples);
    assert_eq!(again.restored().unwrap(), Some(done.row));
    assert_eq!((done.row.sequence, done.row.taken, done.row.at), (5, NOW, NOW.plus(Span::from_secs(60))));
    let gaps = again.list("gaps", &crate::Query::default()).unwrap().rows;
    let told = |row: &serde_json::Value| (row["source"].clone(), row["from"].clone(), row["to"].clone());
    let wanted = (json!("line-1"), json!(NOW), json!(NOW.plus(Span::from_secs(60))));
    assert_eq!(gaps.iter().map(told).collect::<Vec<_>>(), [wanted]);
    let audit = again.audit(0, 9).unwrap();
    assert_eq!((audit[0].row.actor.as_str(), audit[0].row.act.as_str()), ("Ada", "folder.restore"));
    // It goes on, at places that none before had.
    let new = again.append(vec![part("line-1", 2, 1)]).unwrap();
    assert_eq!(new[0].first, Position { epoch: done.row.epoch, offset: manifest.end.offset });
    again.commit(vec![insert(9)]).unwrap();
    seal(&again);
    drop(again);
    assert!(examine(&back).unwrap().is_well());
}

#[test]
fn a_backup_is_whole_while_everything_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(&dir.path().join("data"));
    let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(100)));
    let rows = {
        let (store, stop, number) = (store.clone(), Arc::clone(&stop), Arc::clone(&number));
        thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let n = number.fetch_add(1, Ordering::SeqCst);
                // A signal is new, its sample comes at once, and a rule has read it.
                let signal = store.signal(&"press-1".parse().unwrap(), &format!("s{n}").parse().unwrap()).unwrap();
                let mut part = part("line-2", 3, n);
                for entry in &mut part.entries {
                    if let andon_model::Entry::Sample(sample) = entry {
                        sample.signal = signal;
                    }
                }
                store.append(vec![part]).unwrap();
                store.commit(vec![insert(n), Write::RuleState(state(&store))]).unwrap();
            }
        })
    };
    let kept = {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut keeper = keeper(&store);
            while !stop.load(Ordering::SeqCst) {
                store.write_states(&[state(&store)]).unwrap();
                keeper.seal_now().ask();
                keeper.step(Time(0)).unwrap();
            }
        })
    };
    for n in 0..6 {
        let (to, back) = (dir.path().join(format!("backup-{n}")), dir.path().join(format!("back-{n}")));
        let before = (store.last_sequence().unwrap(), store.log_end());
        let manifest = back_up(&store, &to).unwrap();
        assert!(manifest.sequence >= before.0 && manifest.end.offset >= before.1.offset);
        restore(&to, &target(&back, false), &nobody).unwrap();
        let again = open(&back);
        assert_eq!(again.last_sequence().unwrap(), manifest.sequence);
        let known = again.signals().unwrap().len();
        for batch in read_all(&again, again.log_start()) {
            for entry in &batch.part.entries {
                if let andon_model::Entry::Sample(sample) = entry {
                    assert!(sample.signal.0 as usize <= known, "a sample of a signal that has no name");
                }
            }
        }
        let counted: u64 = again.source_counts().values().map(|counts| counts.stored).sum();
        assert_eq!(samples(&again).len() as u64, counted, "each sample once");
    }
    stop.store(true, Ordering::SeqCst);
    rows.join().unwrap();
    kept.join().unwrap();
}

#[test]
fn only_one_is_made_at_a_time_and_the_keeper_rests() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(&dir.path().join("data"));
    let seen = Mutex::new(Vec::new());
    let told = |progress: Progress| {
        seen.lock().unwrap().push(progress.step);
        if progress.step == "files" {
            let busy = back_up(&store, &dir.path().join("other")).unwrap_err();
            assert!(matches!(busy, BackupError::Busy), "{busy}");
            let mut keeper = keeper(&store);
            keeper.seal_now().ask();
            assert!(matches!(keeper.step(Time(0)).unwrap(), Kept_::Idle { until: Some(_) }));
        }
    };
    store.back_up(&dir.path().join("backup"), &|| NOW, &told).unwrap();
    let mut steps = seen.into_inner().unwrap();
    steps.dedup();
    assert_eq!(steps, ["database", "files", "checking"]);
    let other = back_up(&store, &dir.path().join("other")).unwrap();
    assert!(!other.files.is_empty());
}

#[test]
fn a_stopped_folder_is_backed_up_and_one_at_work_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to, back) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("back"));
    let store = folder(&data);
    let refused = back_up_stopped(&data, &to, NOW, &nobody).unwrap_err();
    assert!(matches!(refused, BackupError::Store(StoreError::Locked { .. })), "{refused}");
    let (held, end) = (read_all(&store, store.log_start()), store.log_end());
    drop(store);
    let manifest = back_up_stopped(&data, &to, NOW, &nobody).unwrap();
    assert_eq!((manifest.end, manifest.sequence), (end, 5));
    let store = open(&data);
    let into = restore(&to, &target(&data, true), &nobody).unwrap_err();
    assert!(matches!(into, BackupError::Store(StoreError::Locked { .. })), "{into}");
    drop(store);
    restore(&to, &target(&back, false), &nobody).unwrap();
    let again = open(&back);
    assert_eq!(read_all(&again, again.log_start()), held);
}

#[test]
fn what_is_there_is_moved_aside_and_never_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let store = folder(&data);
    back_up(&store, &to).unwrap();
    store.commit(vec![insert(50), insert(51)]).unwrap();
    drop(store);
    fs::write(data.join("of-somebody-else"), "kept").unwrap();
    let refused = restore(&to, &target(&data, false), &nobody).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty(_)), "{refused}");
    let first = restore(&to, &target(&data, true), &nobody).unwrap();
    let aside = first.replaced.unwrap();
    assert_eq!(Store::look(&aside).unwrap().last_sequence().unwrap(), 7, "it is as it was");
    assert!(data.join("of-somebody-else").exists() && !data.join("restoring").exists());
    assert_eq!(open(&data).last_sequence().unwrap(), 5);
    // Another one, at the same second by the clock, over the first.
    let second = restore(&to, &Target { at: NOW, ..target(&data, true) }, &nobody).unwrap();
    assert_eq!(second.row.epoch, first.row.epoch + 1, "above that of the folder it replaces");
    assert!(aside.join("andon.db").exists());
    open(&data);
}

#[test]
fn a_restore_that_ends_anywhere_leaves_no_half_folder_that_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    back_up(&folder(&data), &to).unwrap();
    // As the end of the process leaves it: moved in part.
    fs::rename(data.join("format"), dir.path().join("format")).unwrap();
    let refused = Store::open(&data, &mut |_| {}).err().unwrap();
    assert!(refused.to_string().contains("the file is missing"), "{refused}");
    fs::create_dir(data.join("restoring")).unwrap();
    fs::write(data.join("restoring/andon.db"), "half").unwrap();
    restore(&to, &target(&data, true), &nobody).unwrap();
    assert_eq!(open(&data).last_sequence().unwrap(), 5);
}

#[test]
fn no_backup_that_was_changed_or_is_not_whole_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to, back) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("back"));
    let manifest = back_up(&folder(&data), &to).unwrap();
    for file in &manifest.files {
        let path = to.join(&file.path);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for change in [bad.as_slice(), &good[..good.len() - 1]] {
            fs::write(&path, change).unwrap();
            let refused = restore(&to, &target(&back, false), &nobody).unwrap_err();
            assert!(matches!(&refused, BackupError::Differs { path: told, .. } if *told == path), "{refused}");
        }
        fs::remove_file(&path).unwrap();
        let refused = restore(&to, &target(&back, false), &nobody).unwrap_err();
        assert!(refused.to_string().contains("missing"), "{refused}");
        fs::write(&path, &good).unwrap();
    }
    assert!(!back.exists(), "nothing was made");
    let text = fs::read_to_string(to.join(MANIFEST)).unwrap();
    fs::write(to.join(MANIFEST), text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let newer = restore(&to, &target(&back, false), &nobody).unwrap_err();
    assert!(matches!(newer, BackupError::NoBackup { .. }), "{newer}");
    fs::remove_file(to.join(MANIFEST)).unwrap();
    assert!(matches!(restore(&to, &target(&back, false), &nobody), Err(BackupError::NoBackup { .. })));
}

#[test]
fn a_damaged_folder_gives_no_backup_and_no_folder_that_looks_like_one() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let store = folder(&data);
    let segment = fs::read_dir(data.join("log")).unwrap().map(|e| e.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = back_up(&store, &to).unwrap_err();
    assert!(matches!(&refused, BackupError::NotGood { ailments, .. } if !ailments.is_empty()), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the data folder is there");
    let taken = back_up(&store, &data).unwrap_err();
    assert!(matches!(taken, BackupError::Taken(_)), "{taken}");
}

#[test]
fn an_empty_folder_is_backed_up_and_restored() {
    let dir = TempDir::new().unwrap();
    let (data, to, back) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("back"));
    let manifest = back_up(&open(&data), &to).unwrap();
    assert_eq!((manifest.sequence, manifest.end.offset), (0, 0));
    restore(&to, &target(&back, false), &nobody).unwrap();
    let again = open(&back);
    assert_eq!(again.log_end(), Position { epoch: 1_800_000_060, offset: 0 });
    again.append(vec![part("line-1", 2, 1)]).unwrap();
    drop(again);
    assert!(examine(&back).unwrap().is_well());
}

#[test]
fn a_backup_of_a_simulated_disk_has_the_states_of_its_beginning() {
    let disk = crate::SimDisk::new();
    let store = Store::simulated(&disk, &Limits::default(), &mut |bytes| bytes.fill(5)).unwrap();
    let of = |backup: &crate::SimDisk| {
        let store = Store::simulated(backup, &Limits::default(), &mut |bytes| bytes.fill(5)).unwrap();
        let states = store.kept_states().unwrap();
        (store.log_end().offset, states.into_iter().map(|state| state.position.offset).collect::<Vec<_>>())
    };
    let none = disk.snapshot().unwrap();
    store.append(vec![part("line-1", 4, 1)]).unwrap();
    store.write_states(&[state(&store)]).unwrap();
    let begun = disk.snapshot().unwrap();
    store.append(vec![part("line-1", 3, 1)]).unwrap();
    store.write_states(&[state(&store)]).unwrap();
    assert_eq!(of(&disk.snapshot().unwrap()), (7, vec![7]));
    assert_eq!(of(&back_up_simulated(&disk, &begun).unwrap()), (7, vec![4]));
    assert_eq!(of(&back_up_simulated(&disk, &none).unwrap()), (7, vec![]));
}

/// One that was away while the backup was taken has what it had not delivered by then in its gap, one that was quiet
/// what was on its way; and one that had never sent anything has a gap as well.
#[test]
fn a_gap_begins_where_a_source_was_heard_of_last() {
    use crate::rows::{ContractRow, SourceRow};
    let disk = crate::SimDisk::new();
    let open = |disk: &crate::SimDisk| Store::simulated(disk, &Limits::default(), &mut |bytes| bytes.fill(5)).unwrap();
    let before = |seconds: i64| NOW.minus(Span::from_secs(seconds));
    let source = |name: &str, connected: bool, since: Time| {
        let (source, reason) = (Name::new(name).unwrap(), String::new());
        Write::Source(SourceRow { source, connected, since, reason, code: None, in_doubt: false, filters: Vec::new() })
    };
    let store = open(&disk);
    let files = [("andon.yaml", ""), ("sources/new.yaml", ""), ("sources/away.yaml", "")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let contract = ContractRow { revision: "r1".into(), activated: before(900), files };
    for n in 0..6 {
        store.signal(&"cartoner-07".parse().unwrap(), &format!("temp-{n}").parse().unwrap()).unwrap();
    }
    store.append(vec![part("line-1", 1, 4)]).unwrap();
    let batch = store.read(store.log_start()).unwrap().unwrap();
    let andon_model::Entry::Sample(sample) = &batch.part.entries[0] else { panic!("{batch:?}") };
    let heard = sample.received;
    let rows = [Write::Contract(Box::new(contract)), source("away", false, before(600))];
    store.commit(rows.into_iter().chain([source("line-1", true, heard.minus(Span::from_secs(9)))]).collect()).unwrap();
    let kept = disk.snapshot().unwrap();
    drop(store);
    let at = NOW.plus(Span::from_secs(60));
    next_epoch_of(&kept, 1, at).unwrap();
    let again = open(&kept);
    again.mark_restored(&Restored { at, taken: NOW, actor: "Ada".into(), detail: json!({}) }).unwrap();
    let gaps = again.list("gaps", &crate::Query::default()).unwrap().rows;
    let mut told: Vec<_> =
        gaps.iter().map(|row| (row["source"].clone(), row["from"].clone(), row["to"].clone())).collect();
    told.sort_by_key(|(source, ..)| source.to_string());
    let gap = |source: &str, from: Time| (json!(source), json!(from), json!(at));
    assert_eq!(told, [gap("away", before(600)), gap("line-1", heard.min(NOW)), gap("new", NOW)]);
    // Whether the broker has the session that the backup knows of, or any, nobody knows.
    let mut rows = again.source_rows().unwrap();
    rows.sort_by_key(|row| row.source.clone());
    let rows: Vec<_> = rows.iter().map(|row| (row.source.as_str(), row.connected, row.in_doubt)).collect();
    assert_eq!(rows, [("away", false, true), ("line-1", true, true), ("new", false, true)]);
}

#[test]
fn a_simulated_disk_is_put_back_as_a_folder_is() {
    let disk = crate::SimDisk::new();
    let limits = Limits::default();
    let open = |disk: &crate::SimDisk| Store::simulated(disk, &limits, &mut |bytes| bytes.fill(5)).unwrap();
    let store = open(&disk);
    store.append(vec![part("line-1", 9, 1)]).unwrap();
    store.commit((0..5).map(insert).collect()).unwrap();
    let kept = disk.snapshot().unwrap();
    store.append(vec![part("line-1", 9, 1)]).unwrap();
    store.commit(vec![insert(9)]).unwrap();
    let at = NOW.plus(Span::from_secs(60));
    let epoch = next_epoch_of(&kept, store.epoch(), at).unwrap();
    drop(store);
    let again = open(&kept);
    let restored = Restored { at, taken: NOW, actor: "Ada".into(), detail: json!({}) };
    let row = again.mark_restored(&restored).unwrap();
    assert_eq!((row.epoch, row.sequence, again.epoch()), (epoch, 5, epoch));
    assert_eq!(again.list("gaps", &crate::Query::default()).unwrap().rows.len(), 1);
    assert_eq!(again.append(vec![part("line-1", 1, 1)]).unwrap()[0].first, Position { epoch, offset: 9 });
}
