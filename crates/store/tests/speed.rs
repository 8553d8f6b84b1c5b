//! What the store costs; run by hand in release: `cargo test -p andon-store --release --test speed -- --ignored
//! --nocapture --test-threads=1`.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a measurement reads the clock and divides"
)]

use andon_model::{
    Entry, Name, Position, Quality, Sample, SignalNo, SiteName, Time, Value,
    sample::{Counts, Origin, Part},
};
use andon_store::{
    Store, Write,
    conformance::{call, event, run, task},
};
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

fn numbers(samples: i64, from: i64) -> Part {
    let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new("line-1").unwrap());
    let count = u64::try_from(samples).unwrap();
    part.counts = Counts { received: count, stored: count, ..Counts::default() };
    part.entries = (from..from + samples)
        .map(|n| {
            Entry::Sample(Sample {
                signal: SignalNo(u32::try_from(n % 500).unwrap()),
                time: Time(1_700_000_000_000_000_000 + n * 1_000_000),
                received: Time(1_700_000_000_000_000_000 + n / 64 * 1_000_000),
                quality: Quality::GOOD,
                value: Value::F64(n as f64 * 0.37),
                origin: Origin::Live,
            })
        })
        .collect();
    part
}

/// CPU time of this process in microseconds.
fn cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000).unwrap()
}

/// Memory of this process in MiB: now, and at most.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "a measurement"]
fn samples() {
    for per_part in [1, 10, 100, 1_000] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &mut chance).unwrap();
        let total: i64 = if per_part == 1 { 1_000_000 } else { 4_000_000 };
        let done = Arc::new(AtomicU64::new(0));
        let parts: Vec<Part> = (0..64).map(|n| numbers(per_part, n * per_part)).collect();
        // What making the parts costs is measured apart.
        let making = cpu();
        for n in 0..total / per_part {
            std::hint::black_box(parts[usize::try_from(n).unwrap() % parts.len()].clone());
        }
        let making = cpu() - making;
        let (began, busy) = (Instant::now(), cpu());
        for n in 0..total / per_part {
            let done = Arc::clone(&done);
            let part = parts[usize::try_from(n).unwrap() % parts.len()].clone();
            store.submit(
                part,
                Box::new(move |batch| {
                    done.fetch_add(batch.unwrap().part.entries.len() as u64, Ordering::Relaxed);
                }),
            );
        }
        while done.load(Ordering::Relaxed) < total.cast_unsigned() {
            std::thread::yield_now();
        }
        let (took, busy) = (began.elapsed().as_secs_f64(), cpu() - busy - making);
        let bytes: u64 =
            std::fs::read_dir(dir.path().join("log")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        println!(
            "submit, {per_part} a part: {:.0} samples/s, {:.3} us of CPU each, about {} bytes each; {}",
            total as f64 / took,
            busy as f64 / total as f64,
            bytes / total.cast_unsigned(),
            memory()
        );
        let (began, mut at, mut read) = (Instant::now(), store.log_start(), 0);
        while let Some(batch) = store.read(at).unwrap() {
            read += batch.part.entries.len();
            at = batch.end();
        }
        println!("  read back: {:.0} samples/s; {}", read as f64 / began.elapsed().as_secs_f64(), memory());
        let began = Instant::now();
        drop(store);
        let store = Store::open(dir.path(), &mut chance).unwrap();
        println!("  stop and start: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
        assert_eq!(store.log_end(), at);
    }
}

#[test]
#[ignore = "a measurement"]
fn appends_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &mut chance).unwrap();
    let part = numbers(10, 0);
    let count = 3_000;
    let began = Instant::now();
    for _ in 0..count {
        store.append(vec![part.clone()]).unwrap();
    }
    println!("append and wait: {:.0} us each", began.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    let newest = Position { offset: store.log_end().offset - 1, ..store.log_end() };
    let began = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(store.read(newest).unwrap());
    }
    println!("read of the newest batch: {:.2} us", began.elapsed().as_secs_f64());
}

#[test]
#[ignore = "a measurement"]
fn commits() {
    for threads in [1, 4, 16, 64] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &mut chance).unwrap();
        let each = 4_000 / threads;
        let barrier = Barrier::new(usize::try_from(threads).unwrap() + 1);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for n in 0..each {
                        let n = thread * each + n;
                        let writes = vec![
                            Write::Event(Box::new(event(n)), None),
                            Write::StartRun(Box::new(run(n, None))),
                            Write::Task(Box::new(task(n, "/do/0/a"))),
                            Write::Call(Box::new(call(n, andon_store::CallState::InFlight, None))),
                        ];
                        store.commit(writes).unwrap();
                    }
                    barrier.wait();
                });
            }
            barrier.wait();
            let (began, busy) = (Instant::now(), cpu());
            barrier.wait();
            let took = began.elapsed().as_secs_f64();
            let count = f64::from(threads * each);
            println!(
                "commit of 4 rows, {threads} threads: {:.0}/s, {:.0} us of CPU each",
                count / took,
                (cpu() - busy) as f64 / count
            );
        });
        let began = Instant::now();
        let counts = store.counts().unwrap();
        println!("  counts: {:.1} ms {counts:?}", began.elapsed().as_secs_f64() * 1e3);
    }
}
