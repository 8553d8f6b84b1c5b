//! Folders that are broken on purpose: what is found, what is mended, and that nothing else changes.

use super::*;
use crate::{
    Limits, RuleStateRow, Store, Write,
    conformance::{call, event, exception, read_all, run, task},
    db::spoil,
    historian::{Keeper, Kept, Policy, Progress, catalog::Which},
    rows::{AuditRow, CallState, ExceptionRow, RunRow, RunState},
};
use andon_model::{
    Entry, Name, Quality, Sample, SiteName, Time, Value,
    sample::{Counts, Origin, Part},
    span::Span,
};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

const BEGIN: Time = Time(1_750_000_000_000_000_000);

fn open(dir: &Path) -> Store {
    let limits = Limits { segment_bytes: 1 << 10, ring_bytes: 0 };
    Store::open_with(dir, &limits, &mut |bytes| bytes.fill(5)).unwrap()
}

/// A folder with something of everything: samples in files and in several segments, events, a run whose call is
/// parked, what people are told of it and what they did.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..30 {
        let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new("line-1").unwrap());
        let signal = store.signal(&"press-1".parse().unwrap(), &format!("s{}", n % 3).parse().unwrap()).unwrap();
        for m in 0..10 {
            let received = BEGIN.plus(Span::from_secs(n * 60 + m));
            let (quality, value) = (Quality::GOOD, Value::F64(7.5));
            part.entries.push(Entry::Sample(Sample {
                signal,
                time: received,
                received,
                quality,
                value,
                origin: Origin::Live,
            }));
        }
        part.counts = Counts { received: 10, stored: 10, ..Counts::default() };
        store.append(vec![part]).unwrap();
        if n == 14 {
            seal(&store);
        }
    }
    let parked = call(1, CallState::Parked, None);
    let told = ExceptionRow { run: Some(parked.run), call: Some(parked.id), ..exception("parked", 7) };
    let act = |act: &str| {
        let (at, detail) = (BEGIN, json!({"reason": "we looked"}));
        Write::Audit(Box::new(AuditRow {
            at,
            actor: "mia".into(),
            act: act.into(),
            subject: told.id.to_string(),
            detail,
        }))
    };
    let mut writes: Vec<Write> = (0..5).map(|n| Write::Event(Box::new(event(n)), None)).collect();
    writes.extend([act("exception.assign"), act("exception.retry"), act("exception.edit")]);
    writes.extend([
        Write::Run(Box::new(RunRow { state: RunState::Waiting, ..run(1, None) })),
        Write::Task(Box::new(task(1, "/do/0/first"))),
        Write::Call(Box::new(parked)),
        Write::Exception(Box::new(told)),
        Write::Exception(Box::new(exception("other", 8))),
    ]);
    store.commit(writes).unwrap();
    let position = store.log_end();
    let rule = |rule: &str| RuleStateRow {
        rule: Name::new(rule).unwrap(),
        asset: "press-1".parse().unwrap(),
        version: "v1".into(),
        position,
        state: json!({"since": 12}),
    };
    store.write_states(&[rule("heat"), rule("vibration")]).unwrap();
    drop(store);
    dir
}

fn seal(store: &Store) {
    let kept = Kept { age: None, bytes: None };
    let policy = Policy {
        seal_after: Span::from_secs(3_600),
        samples: Arc::new(move |_| kept),
        minutes: kept,
        reduce: Arc::new(|_, _| None),
    };
    let mut keeper = Keeper::new(store.clone(), policy);
    keeper.seal_now().ask();
    while keeper.step(BEGIN.plus(Span::from_secs(900))).unwrap() == Progress::Worked {}
}

/// What the store holds, to the byte of every row.
fn held(dir: &Path) -> (usize, Vec<String>) {
    let store = Store::look(dir).unwrap();
    let samples = read_all(&store, store.log_start()).iter().map(|batch| batch.part.entries.len()).sum();
    let mut rows = Vec::new();
    for kind in ["events", "runs", "tasks", "calls", "exceptions", "exception-groups", "audit", "historian"] {
        let query = crate::Query { limit: 100, ..crate::Query::default() };
        rows.extend(store.list(kind, &query).unwrap().rows.iter().map(|row| format!("{kind} {row}")));
    }
    (samples, rows)
}

fn codes(seen: &Examination) -> Vec<&'static str> {
    seen.ailments.iter().map(|of| of.code).collect()
}

fn found(dir: &Path) -> Vec<String> {
    let seen = examine(dir).unwrap();
    seen.ailments.iter().map(|of| format!("{} {}: {}", of.code, of.subject, of.detail)).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("log")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    files.sort();
    files
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
}

/// The first file of samples that is listed.
fn listed(dir: &Path) -> PathBuf {
    Store::look(dir).unwrap().sealed(&Which::default()).unwrap().files[0].path(dir)
}

/// The page of a table or an index, counted from 0, and the bytes of a page.
fn root_page(dir: &Path, name: &str) -> (u64, u64) {
    let sql = format!(
        "SELECT rootpage - 1, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = '{name}'"
    );
    let store = Store::look(dir).unwrap();
    store.ask(|c| Ok(c.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)).unwrap()
}

#[test]
fn a_folder_that_is_well_is_told_what_was_looked_at() {
    let dir = folder();
    assert!(segments(dir.path()).len() > 3);
    let seen = examine(dir.path()).unwrap();
    assert!(seen.is_well() && seen.ailments.is_empty(), "{:#?}", seen.ailments);
    let told: Vec<String> = seen.looked.iter().map(|of| format!("{}: {}", of.part, of.told)).collect();
    let told = told.join("\n");
    for part in [
        "format: version",
        "states of rules: 2 states",
        "database: version 6",
        "chain of what people did: 3 rows",
        "groups of exceptions: 2 exceptions",
        "waiting runs: 1 wait",
        "historian: 2 files, 150 samples",
        "reserve: 64 MiB",
        "leftovers: no file",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn nothing_is_no_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "ours").unwrap();
    let refused = examine(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("is no data folder"), "{refused}");
}

/// Breaks a folder, looks, mends it, looks again: it is well, and everything is held that was held before.
fn mended(code: &str, breaks: impl FnOnce(&Path)) {
    let dir = folder();
    let before = held(dir.path());
    breaks(dir.path());
    let mut seen = examine(dir.path()).unwrap();
    assert_eq!(codes(&seen), [code], "{:#?}", seen.ailments);
    assert!(seen.ailments[0].can_repair, "{:?}", seen.ailments);
    repair(&mut seen).unwrap();
    assert!(seen.is_well(), "{:?}", seen.ailments);
    assert_eq!(found(dir.path()), Vec::<String>::new(), "{code}: it is well afterwards");
    assert_eq!(held(dir.path()), before, "{code}: nothing is lost");
    // An instance starts on it, and goes on.
    let store = open(dir.path());
    store.commit(vec![Write::Event(Box::new(event(99)), None)]).unwrap();
}

#[test]
fn the_format_comes_back_from_the_log() {
    let dir = folder();
    let before = fs::read_to_string(dir.path().join("format")).unwrap();
    for broken in [None, Some("{\"version\": 3"), Some("")] {
        match broken {
            None => fs::remove_file(dir.path().join("format")).unwrap(),
            Some(text) => fs::write(dir.path().join("format"), text).unwrap(),
        }
        let mut seen = examine(dir.path()).unwrap();
        assert_eq!(codes(&seen), ["A7102"], "{:?}", seen.ailments);
        repair(&mut seen).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), before);
        assert!(examine(dir.path()).unwrap().is_well());
    }
    drop(open(dir.path()));
}

#[test]
fn indexes_are_made_anew_from_the_rows() {
    mended("A7103", |dir| {
        let (page, bytes) = root_page(dir, "runs_state");
        let file = fs::File::options().write(true).open(dir.join("andon.db")).unwrap();
        // An index of which nothing is left: the page of an empty one.
        let mut empty = vec![0; usize::try_from(bytes).unwrap()];
        empty[0] = 0x0A;
        empty[5..7].copy_from_slice(&u16::try_from(bytes).unwrap().to_be_bytes());
        file.write_all_at(&empty, page * bytes).unwrap();
    });
}

#[test]
fn what_a_crash_left_is_removed() {
    mended("A7106", |dir| {
        fs::write(dir.join("log/00000000000000000099.seg.new"), "half").unwrap();
        fs::write(dir.join("states.new"), "half").unwrap();
        fs::write(listed(dir).with_file_name("1-0-99999.parquet"), "half").unwrap();
        fs::write(listed(dir).with_file_name("notes.parquet"), "somebody else's").unwrap();
    });
}

#[test]
fn groups_are_counted_anew() {
    mended("A7111", |dir| {
        let row = "json_set(row, '$.open', 9, '$.unfinished', 9)";
        spoil(&dir.join("andon.db"), &format!("UPDATE exception_groups SET row = {row} WHERE fingerprint = 'parked'"));
    });
    mended("A7111", |dir| spoil(&dir.join("andon.db"), "DELETE FROM exception_groups WHERE fingerprint = 'other'"));
}

#[test]
fn columns_are_written_anew_from_their_rows() {
    mended("A7112", |dir| spoil(&dir.join("andon.db"), "UPDATE calls SET state = 'delivered'"));
    mended("A7112", |dir| spoil(&dir.join("andon.db"), "UPDATE exceptions SET owner = 'nobody' WHERE id LIKE 'ex_%'"));
}

#[test]
fn the_reserve_is_taken_again() {
    mended("A7116", |dir| fs::remove_file(dir.join("reserve")).unwrap());
}

/// Breaks a folder in a way that no repair can mend without losing something: it is told, and left as it is.
fn told(code: &str, about: &str, breaks: impl FnOnce(&Path)) {
    let dir = folder();
    breaks(dir.path());
    let all = |dir: &Path| {
        let mut bytes: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if !path.to_str().unwrap().contains("andon.db-") && !path.ends_with("reserve") {
                    // Beside the database lies what every reader leaves.
                    bytes.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        bytes.sort();
        bytes
    };
    let before = all(dir.path());
    let mut seen = examine(dir.path()).unwrap();
    let said = found(dir.path());
    assert!(codes(&seen).contains(&code), "{code}: {said:#?}");
    assert!(said.iter().any(|line| line.contains(about)), "{code} tells of {about}: {said:#?}");
    assert!(seen.ailments.iter().all(|of| !of.remedy.is_empty()));
    repair(&mut seen).unwrap();
    assert!(!seen.is_well());
    assert!(codes(&examine(dir.path()).unwrap()).contains(&code));
    assert!(all(dir.path()) == before, "{code}: nothing was changed");
}

#[test]
fn damage_of_the_log_is_told_with_its_place() {
    told("A7104", "hidden", |dir| flip(&segments(dir)[2], 700));
    told("A7104", "header", |dir| flip(&segments(dir)[1], 30));
    told("A7105", "the segment before it ends at", |dir| fs::remove_file(&segments(dir)[2]).unwrap());
    told("A7117", "the log ends at", |dir| {
        for path in segments(dir).iter().rev().take(2) {
            fs::remove_file(path).unwrap();
        }
    });
    told("A7117", "it belongs to the instance", |dir| {
        let format = fs::read_to_string(dir.join("format")).unwrap();
        let other = andon_model::InstanceId::from_bits([9; 10]).to_string();
        let instance = Store::look(dir).unwrap().instance().to_string();
        fs::write(dir.join("format"), format.replace(&instance, &other)).unwrap();
    });
}

#[test]
fn damage_in_what_is_sealed_is_told_as_such() {
    told("A7104", "What was in it is in files of the historian", |dir| flip(&segments(dir)[0], 500));
}

#[test]
fn damage_of_the_database_is_told() {
    told("A7103", "places", |dir| {
        let (page, bytes) = root_page(dir, "events");
        let file = fs::File::options().write(true).open(dir.join("andon.db")).unwrap();
        file.write_all_at(&vec![0xEE; usize::try_from(bytes).unwrap()], page * bytes).unwrap();
    });
    told("A7103", "andon.db", |dir| fs::remove_file(dir.join("andon.db")).unwrap());
    told("A7103", "andon.db", |dir| fs::write(dir.join("andon.db"), "no database").unwrap());
}

#[test]
fn a_file_of_samples_that_is_gone_or_damaged_is_named() {
    told("A7107", "is not there", |dir| fs::remove_file(listed(dir)).unwrap());
    told("A7107", "are listed", |dir| fs::write(listed(dir), "short").unwrap());
    told("A7108", ".parquet", |dir| flip(&listed(dir), 20));
}

#[test]
fn damaged_states_are_told() {
    let middle = |dir: &Path| fs::metadata(dir.join("states")).unwrap().len() / 2;
    told("A7109", "states", |dir| flip(&dir.join("states"), middle(dir)));
}

#[test]
fn who_changes_what_people_did_is_found_out() {
    let database = |sql: &'static str| move |dir: &Path| spoil(&dir.join("andon.db"), sql);
    let text = "its text is not the one that was written";
    told("A7110", text, database("UPDATE audit SET row = replace(row, 'mia', 'max') WHERE no = 2"));
    told("A7110", "its columns", database("UPDATE audit SET actor = 'max' WHERE no = 2"));
    told("A7110", "row 2 is missing", database("DELETE FROM audit WHERE no = 2"));
    told("A7110", "the chain ends at row 2", database("DELETE FROM audit WHERE no = 3"));
    told("A7110", "the chain ends at row 3", database("UPDATE audit_head SET hash = 'x'"));
    told("A7110", "audit row 2", |dir| {
        // Also who counts the hash of the row anew, but not of those behind it.
        spoil(&dir.join("andon.db"), "UPDATE audit SET row = replace(row, 'mia', 'max'), hash = 'x' WHERE no = 2");
    });
}

#[test]
fn rows_that_belong_to_nothing_are_named() {
    told("A7114", "calls whose run is not there", |dir| spoil(&dir.join("andon.db"), "DELETE FROM runs"));
    told("A7114", "attempts whose call is not there", |dir| {
        let sql = "INSERT INTO attempts (site, call, number, system, row) VALUES ('hamburg', 77, 1, 'erp', '{}')";
        spoil(&dir.join("andon.db"), sql);
    });
}

#[test]
fn a_run_that_waits_for_nothing_is_named() {
    let dir = folder();
    let path = dir.path().join("andon.db");
    spoil(&path, "UPDATE calls SET state = 'delivered', row = json_set(row, '$.state', 'delivered')");
    spoil(&path, "UPDATE exceptions SET state = 'resolved', row = json_set(row, '$.state', 'resolved')");
    let said = found(dir.path());
    let stranded = said.iter().find(|line| line.starts_with("A7118 ru_")).expect("it is named");
    assert!(stranded.contains("nothing that is there can wake it"), "{stranded}");
    // A time, an event, another run: each is enough.
    for sql in [
        "UPDATE runs SET due = 5",
        "INSERT INTO listens SELECT site, 'asset.alarm', '', '', id FROM runs",
        "INSERT INTO runs (site, id, workflow, state, parent, row)
             SELECT site, 'ru_child', workflow, 'running', id, json_set(row, '$.state', 'running') FROM runs",
    ] {
        let copy = tempfile::tempdir().unwrap();
        for name in ["format", "andon.db"] {
            fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        spoil(&copy.path().join("andon.db"), sql);
        assert!(!found(copy.path()).iter().any(|line| line.starts_with("A7118")), "{sql}");
    }
}

#[test]
fn parked_calls_that_nobody_is_told_of_are_found() {
    let dir = folder();
    let untold = |dir: &Path| Store::look(dir).unwrap().untold_calls().unwrap().len();
    assert_eq!(untold(dir.path()), 0);
    spoil(&dir.path().join("andon.db"), "UPDATE exceptions SET state = 'resolved' WHERE call IS NOT NULL");
    assert_eq!(untold(dir.path()), 1);
}

#[test]
fn a_running_instance_is_looked_at_and_left_alone() {
    let dir = folder();
    let store = open(dir.path());
    let writing = store.clone();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut n = 100;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writing.append(vec![crate::conformance::part("line-2", 5, n)]).unwrap();
            writing.commit(vec![Write::Event(Box::new(event(n)), None)]).unwrap();
            n += 1;
        }
    });
    for _ in 0..20 {
        let mut seen = examine(dir.path()).unwrap();
        assert!(seen.running);
        assert!(seen.ailments.is_empty(), "{:#?}", seen.ailments);
        let refused = repair(&mut seen).unwrap_err();
        assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}
