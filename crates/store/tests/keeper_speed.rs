//! What sealing costs and how long a start takes; run by hand in release: `cargo test -p andon-store --release --test
//! keeper_speed -- --ignored --nocapture --test-threads=1`.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement reads the clock and divides"
)]

use andon_model::{
    Entry, Name, Quality, Sample, SignalNo, SiteName, Time, Value,
    sample::{Counts, Origin, Part},
    span::Span,
};
use andon_store::{
    RuleStateRow, Store,
    historian::{Keeper, Kept, Policy, Progress},
};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const BEGIN: i64 = 1_764_000_000_000_000_000;
const SIGNALS: i64 = 500;
const PER_PART: i64 = 500;

fn open(dir: &Path) -> Store {
    Store::open(dir, &mut |bytes| bytes.fill(7)).unwrap()
}

fn signals(store: &Store) -> Vec<SignalNo> {
    let number = |n| store.signal(&format!("press-{:02}", n / 10).parse().unwrap(), &format!("s{n}").parse().unwrap());
    (0..SIGNALS).map(|n| number(n).unwrap()).collect()
}

/// A part of a source; every signal ten times a second or so, with some noise.
fn numbers(signals: &[SignalNo], source: &str, from: i64) -> Part {
    let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new(source).unwrap());
    let count = u64::try_from(PER_PART).unwrap();
    part.counts = Counts { received: count, stored: count, ..Counts::default() };
    let sample = |n: i64| {
        Entry::Sample(Sample {
            signal: signals[usize::try_from(n % SIGNALS).unwrap()],
            time: Time(BEGIN + n * 200_000),
            received: Time(BEGIN + n / 5_000 * 1_000_000_000),
            quality: Quality::GOOD,
            value: Value::F64((n * 7_919 % 1_000) as f64 / 10.0),
            origin: Origin::Live,
        })
    };
    part.entries = (from..from + PER_PART).map(sample).collect();
    part
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

/// Rules have read everything.
fn read_all(store: &Store) {
    let state = RuleStateRow {
        rule: "vibration".parse().unwrap(),
        asset: "press-01".parse().unwrap(),
        version: "v1".into(),
        position: store.log_end(),
        state: serde_json::json!({}),
    };
    store.write_states(&[state]).unwrap();
}

fn write(store: &Store, signals: &[SignalNo], samples: i64) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    for n in 0..samples / PER_PART {
        // A busy source and some that say little.
        let source = if n % 500 == 0 { format!("quiet-{}", n / 500 % 20) } else { "line-1".to_owned() };
        let done = Arc::clone(&done);
        store.submit(
            numbers(signals, &source, n * PER_PART),
            Box::new(move |batch| {
                done.fetch_add(batch.unwrap().part.entries.len() as u64, Ordering::Relaxed);
            }),
        );
    }
    while done.load(Ordering::Relaxed) < samples.cast_unsigned() {
        std::thread::sleep(Duration::from_millis(1));
    }
    samples as f64 / began.elapsed().as_secs_f64()
}

fn samples() -> i64 {
    std::env::var("STORE_SAMPLES").map_or(50_000_000, |text| text.parse().unwrap())
}

#[test]
#[ignore = "a measurement"]
fn a_start_after_kill_9() {
    for seal in ["no", "yes"] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_fills_a_store", "--ignored", "--nocapture"])
            .env("STORE_TEST_DIR", dir.path())
            .env("STORE_TEST_SEAL", seal)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("filled")));
        child.kill().unwrap();
        child.wait().unwrap();
        let began = Instant::now();
        let store = open(dir.path());
        let opened = began.elapsed();
        let began = Instant::now();
        let busy = store.newest(&"line-1".parse().unwrap(), 65_536).unwrap().len();
        let one = began.elapsed();
        for n in 0..20 {
            store.newest(&format!("quiet-{n}").parse().unwrap(), 65_536).unwrap();
        }
        println!(
            "{} samples, sealed: {seal} ({:?}): open {opened:?}; newest of the busy source {one:?} ({busy} batches), \
             of 20 more {:?}",
            store.log_end().offset,
            store.holdings().unwrap().sealed,
            began.elapsed().saturating_sub(one)
        );
    }
}

#[test]
#[ignore = "the other process of the measurement above"]
fn child_fills_a_store() {
    let Some(dir) = std::env::var_os("STORE_TEST_DIR") else { return };
    let store = open(Path::new(&dir));
    let signals = signals(&store);
    write(&store, &signals, samples());
    read_all(&store);
    if std::env::var("STORE_TEST_SEAL").unwrap() == "yes" {
        let mut keeper = keeper(&store);
        while keeper.step(Time(BEGIN)).unwrap() == Progress::Worked {}
    }
    println!("filled");
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
#[ignore = "a measurement"]
fn intake_while_sealing() {
    let total = samples() / 5;
    for sealing in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let signals = signals(&store);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if sealing {
                scope.spawn(|| {
                    let mut keeper = keeper(&store);
                    while !stop.load(Ordering::Relaxed) {
                        read_all(&store);
                        if keeper.step(Time(BEGIN)).unwrap() != Progress::Worked {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                });
            }
            let rate = write(&store, &signals, total);
            stop.store(true, Ordering::Relaxed);
            println!("sealing: {sealing}: {rate:.0} samples/s taken in");
        });
        let mut keeper = keeper(&store);
        keeper.seal_now().ask();
        let (before, began) = (store.holdings().unwrap().samples, Instant::now());
        while keeper.step(Time(BEGIN)).unwrap() == Progress::Worked {}
        let after = store.holdings().unwrap();
        let sealed = (after.samples - before) as f64;
        println!(
            "  sealed by then {before}, the rest at {:.0} samples/s; {:.2} bytes a sample in {} files",
            sealed / began.elapsed().as_secs_f64(),
            after.bytes as f64 / after.samples as f64,
            after.files
        );
    }
}
