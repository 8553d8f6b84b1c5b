//! What rules cost when there are very many: `cargo xtask bench rules`.
//!
//! Each measurement is a process of its own, runs the loop of the product in it over a data folder on disk (every group
//! of samples and every commit synced) and prints one line of JSON for each figure. The projects are files as a user
//! writes them, read by the loader of the product.

use crate::common::{SECOND, asset, instance, limit, name, part, sample, signal};
use andon_contract::{
    Contract,
    contract::{Clock, RuleKind},
    from_files,
};
use andon_events::{Engine, Loop, Progress, Saved};
use andon_model::{Entry, Quality, Sample, SignalNo, Time, Value, sample::Origin, sample::Part, span::Span};
use andon_store::Store;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Rules on one signal.
const RULES: u32 = 10_000;
/// Signals with one rule each.
const SIGNALS: u32 = 200_000;
/// Samples in a batch where throughput is measured.
const BATCH: u32 = 1_000;

fn say(figure: &str, value: f64) {
    println!("{}", serde_json::json!({ "figure": figure, "value": value }));
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}

/// Memory of this process, in bytes.
fn memory() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 4_096.0
}

/// What one more of something takes in memory, when it is not the first: what was needed only to make it is used again.
/// All are given back, so that nothing is made in the room that one has left.
fn one_more<T>(mut make: impl FnMut() -> T) -> (f64, [T; 3]) {
    let (first, second) = (make(), make());
    let before = memory();
    let third = make();
    (memory() - before, [first, second, third])
}

/// Each file of a project, without its rules and assets.
fn project(parts: Vec<(String, String)>) -> BTreeMap<String, String> {
    let base = [
        (
            "andon.yaml",
            "name: bench\nformat: 1\ninstances:\n  bench: { role: both, zone: plant, api: '127.0.0.1:8730' }\n",
        ),
        ("policies/ownership.yaml", "teams:\n  bench: { mail: bench@plant.example }\nrules:\n  - { owner: bench }\n"),
        ("classes/machine.yaml", "signals:\n  t: { kind: f64, unit: mm/s }\n"),
        ("sources/plc.yaml", "kind: http\n"),
    ];
    base.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).chain(parts).collect()
}

/// One machine, and so many rules on its one signal, each with a limit of its own.
fn one_stream(rules: u32, delay: &str) -> BTreeMap<String, String> {
    let mut parts = vec![(
        "assets/hamburg.yaml".to_owned(),
        "site: hamburg\nzone: plant\ntimezone: UTC\nassets:\n  m-0: { class: machine }\n".to_owned(),
    )];
    for n in 0..rules {
        let high = 100.0 + f64::from(n) / 100.0;
        let text = format!("kind: limit\non: machine.t\nseverity: 500\nHigh: {high}\nDeadband: 1\nOnDelay: {delay}\n");
        parts.push((format!("rules/vibration-{n}.yaml"), text));
    }
    project(parts)
}

/// So many machines with one rule.
fn many_signals(signals: u32) -> BTreeMap<String, String> {
    let mut assets = "site: hamburg\nzone: plant\ntimezone: UTC\nassets:\n".to_owned();
    for n in 0..signals {
        writeln!(assets, "  m-{n}: {{ class: machine }}").unwrap();
    }
    let rule = "kind: limit\non: machine.t\nseverity: 500\nHigh: 100\nDeadband: 1\nOnDelay: 60 s\n";
    project(vec![("assets/hamburg.yaml".to_owned(), assets), ("rules/vibration.yaml".to_owned(), rule.to_owned())])
}

fn load(files: BTreeMap<String, String>) -> Arc<Contract> {
    let loaded = from_files(files).unwrap_or_else(|problems| panic!("{}", problems[0].render(false)));
    Arc::new(loaded.contract)
}

/// The same contract without files: for what is not about loading.
fn many(signals: u32) -> Arc<Contract> {
    let names: Vec<String> = (0..signals).map(|n| format!("m-{n}")).collect();
    let assets: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = [("vibration", RuleKind::Limit(limit("High 100, Deadband 1, OnDelay 60 s")))];
    Arc::new(crate::common::contract(&assets, &rules, Clock::Live))
}

struct Bench {
    store: Store,
    numbers: Vec<SignalNo>,
    time: i64,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(signals: u32) -> Self {
        let dir = tempfile::tempdir_in(std::env::var("ANDON_BENCH_DIR").unwrap_or_else(|_| ".".into())).unwrap();
        let store = Store::open(dir.path(), &mut |bytes| bytes.fill(7)).unwrap();
        let numbers = numbered(&store, signals);
        Self { store, numbers, time: 1_800_000_000 * SECOND, _dir: dir }
    }

    /// Samples of the signals in turn, each a millisecond later than the one before.
    fn batch(&mut self, first: u32, value: impl Fn(u32) -> f64) -> Part {
        let count = u32::try_from(self.numbers.len()).unwrap();
        let entry = |n: u32| {
            let number = self.numbers[((first + n) % count) as usize];
            Entry::Sample(sample(number.0, self.time + i64::from(n) * 1_000_000, self.time, Quality::GOOD, value(n)))
        };
        let part = part((0..BATCH).map(entry).collect());
        self.time += i64::from(BATCH) * 1_000_000;
        part
    }
}

/// The numbers of the signals, all made durable together.
fn numbered(store: &Store, signals: u32) -> Vec<SignalNo> {
    let names: Vec<_> = (0..signals).map(|n| (asset(&format!("m-{n}")), signal("t"))).collect();
    store.numbers(&names).unwrap()
}

fn drain(rules: &mut Loop, utc: Time, monotonic: Span) -> f64 {
    let mut longest = 0.0_f64;
    loop {
        let (progress, spent) = timed(|| rules.step(utc, monotonic).unwrap());
        longest = longest.max(spent);
        if progress != Progress::Worked {
            return longest;
        }
    }
}

/// A comparison of two numbers with the limits that lie in memory in one row: nothing is faster.
fn raw_limit() -> f64 {
    let limits: Vec<f64> = (0..RULES).map(|n| 100.0 + f64::from(n) / 100.0).collect();
    let mut states = vec![0_u8; limits.len()];
    let ((), spent) = timed(|| {
        for n in 0..1_000 {
            let value = std::hint::black_box(90.0 + f64::from(n % 7));
            for (limit, state) in limits.iter().zip(&mut states) {
                *state = u8::from(value > *limit);
            }
            std::hint::black_box(&mut states);
        }
    });
    spent * 1e9 / (1_000.0 * f64::from(RULES))
}

#[test]
#[ignore = "it measures; only a release build on a quiet machine says something"]
fn ten_thousand_rules_on_one_stream() {
    let files = one_stream(RULES, "60 s");
    let before = memory();
    let (contract, spent) = timed(|| load(files.clone()));
    say("load of 10,000 rule files, s", spent);
    say("memory of a rule after a first load, bytes", (memory() - before) / f64::from(RULES));
    let (of_contract, _contracts) = one_more(|| load(files.clone()));
    let signals = [(SignalNo(1), asset("m-0"), signal("t"))];
    let engine = || {
        let contract = Arc::clone(&contract);
        Engine::new(contract, instance(), &signals, Saved::default(), Time(0), &mut Vec::new())
    };
    let (of_state, _engines) = one_more(engine);
    let (of_contract, of_state) = (of_contract / f64::from(RULES), of_state / f64::from(RULES));
    say("memory of a rule: its file and contract, bytes", of_contract);
    say("memory of a rule: its state, bytes", of_state);
    say("memory of a rule, bytes", of_contract + of_state);
    let mut bench = Bench::new(1);
    let opened = memory();
    let mut rules = Loop::new(bench.store.clone(), Arc::clone(&contract), Time(0)).unwrap();

    let raw = raw_limit();
    say("raw limit: one comparison, ns", raw);
    let run = |rules: &mut Loop, bench: &mut Bench, figure: &str, batches: u32, value: &dyn Fn(u32) -> f64| {
        let mut spent = 0.0;
        let mut longest = 0.0_f64;
        for n in 0..batches {
            let part = bench.batch(0, value);
            bench.store.append(vec![part]).unwrap();
            let (worst, took) = timed(|| drain(rules, Time(0), Span::from_secs(i64::from(n))));
            spent += took;
            longest = longest.max(worst);
        }
        let evaluations = f64::from(batches) * f64::from(BATCH) * f64::from(RULES);
        say(&format!("{figure}: million evaluations/s"), evaluations / spent / 1e6);
        say(&format!("{figure}: longest step, ms"), longest * 1e3);
        spent * 1e9 / evaluations
    };
    let quiet = run(&mut rules, &mut bench, "quiet", 10, &|n| 80.0 + f64::from(n % 7));
    say("quiet: times the raw limit", quiet / raw);
    // Between two samples ten rules begin a condition, or end it.
    let changing = |n| 100.0 + f64::from(n % 100) / 10.0;
    run(&mut rules, &mut bench, "ten conditions begin and end a sample", 5, &changing);
    run(&mut rules, &mut bench, "all rules pending", 5, &|_| 300.0);
    say("all rules pending: what it grew by for a rule, bytes", (memory() - opened) / f64::from(RULES));
    say("all rules pending: clean stop, s", timed(|| rules.stop().unwrap()).1);
    let size = std::fs::metadata(bench.store.dir().unwrap().join("states")).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    say("all rules pending: bytes a state in the file", size as f64 / f64::from(RULES));
    drop(rules);
    let (mut rules, spent) = timed(|| Loop::new(bench.store.clone(), contract, Time(0)).unwrap());
    say("all rules pending: recovery, s", spent);
    run(&mut rules, &mut bench, "all rules pending, after a restart", 5, &|_| 300.0);
}

#[test]
#[ignore = "it measures; only a release build on a quiet machine says something"]
fn a_sample_costs_the_same_among_many_signals() {
    for signals in [1_000, 10_000, 100_000, SIGNALS] {
        let contract = many(signals);
        let mut bench = Bench::new(signals);
        let mut rules = Loop::new(bench.store.clone(), contract, Time(0)).unwrap();
        drain(&mut rules, Time(0), Span::ZERO);
        let (mut stored, mut spent) = (0.0, 0.0);
        let rounds = 400;
        for round in 0..2 * rounds {
            let part = bench.batch(round * BATCH, |n| 80.0 + f64::from(n % 7));
            let took = timed(|| bench.store.append(vec![part]).unwrap()).1;
            let read = timed(|| drain(&mut rules, Time(0), Span::ZERO)).1;
            // The first round of each signal finds its state cold, and is not what a plant does all day.
            if round >= rounds {
                (stored, spent) = (stored + took, spent + read);
            }
        }
        let samples = f64::from(rounds) * f64::from(BATCH);
        say(&format!("{signals} signals: ns a sample"), spent * 1e9 / samples);
        say(&format!("{signals} signals: ns a sample to store it (raw)"), stored * 1e9 / samples);
    }
}

#[test]
#[ignore = "it measures; only a release build on a quiet machine says something"]
fn states_of_many_signals_are_kept_and_found() {
    let before = memory();
    let files = many_signals(SIGNALS);
    let (contract, spent) = timed(|| load(files));
    say("load of 200,000 assets, s", spent);
    let loaded = memory();
    let mut bench = Bench::new(SIGNALS);
    let opened = memory();
    let (mut rules, spent) = timed(|| Loop::new(bench.store.clone(), Arc::clone(&contract), Time(0)).unwrap());
    say("first start of 200,000 states, s", spent);
    say("memory of an asset with a rule, bytes", (loaded - before + memory() - opened) / f64::from(SIGNALS));
    let rounds = SIGNALS / BATCH;
    for round in 0..rounds {
        let part = bench.batch(round * BATCH, |n| 80.0 + f64::from(n % 30));
        bench.store.append(vec![part]).unwrap();
    }
    let ((), spent) = timed(|| {
        while rules.waiting().unwrap() > 0 {
            rules.step(Time(0), Span::ZERO).unwrap();
        }
    });
    say("all signals once, s", spent);
    // A file of states while samples come.
    let (mut longest, mut steps) = (0.0_f64, 0_u32);
    let ((), spent) = timed(|| {
        loop {
            let (progress, spent) = timed(|| rules.step(Time(0), Span::from_secs(20)).unwrap());
            longest = longest.max(spent);
            steps += 1;
            match progress {
                Progress::Idle { until: Some(until) } if until < Span::from_secs(1) => {
                    thread::sleep(Duration::from_micros(300));
                }
                Progress::Idle { .. } => break,
                Progress::Worked => {}
            }
        }
    });
    say("checkpoint of 200,000 states, s", spent);
    say("checkpoint: longest step, ms", longest * 1e3);
    let size = std::fs::metadata(bench.store.dir().unwrap().join("states")).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    say("checkpoint: bytes a state", size as f64 / f64::from(SIGNALS));
    say("clean stop, s", timed(|| rules.stop().unwrap()).1);
    drop(rules);
    let path = bench.store.dir().unwrap().to_owned();
    drop(bench.store);
    let (store, open) = timed(|| Store::open(&path, &mut |bytes| bytes.fill(7)).unwrap());
    let (again, spent) = timed(|| Loop::new(store, contract, Time(0)).unwrap());
    say("recovery: opening the store, s", open);
    say("recovery of 200,000 states, s", spent);
    assert_eq!(again.waiting().unwrap(), 0);
}

/// From a sample to its event, both durable: samples come one by one at half of what is asked for.
fn latency(figure: &str, contract: Arc<Contract>, signals: u32, rate: u32, seconds: u32) {
    let mut bench = Bench::new(signals);
    let mut rules = Loop::new(bench.store.clone(), contract, Time(0)).unwrap();
    let start = now();
    let monotonic = move || Span::from_nanos(i64::try_from(start.elapsed().as_nanos()).unwrap());
    let over = AtomicBool::new(false);
    let sent: Mutex<BTreeMap<i64, Instant>> = Mutex::default();
    let (store, numbers) = (bench.store.clone(), std::mem::take(&mut bench.numbers));
    let (mut waits, mut longest) = (Vec::new(), 0.0_f64);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A group every two milliseconds, as a reader of a broker makes them.
            let each = Duration::from_millis(2);
            let group = (rate / 500).max(1);
            let mut number = 0_u32;
            for tick in 0..seconds * 500 {
                let due = start + each * tick;
                thread::sleep(due.saturating_duration_since(now()));
                let mut entries = Vec::new();
                for _ in 0..group {
                    let time = 1_800_000_000 * SECOND + i64::from(number) * 10_000;
                    let of = numbers[(number % signals) as usize];
                    // Now and then a machine is beyond the limit, and then no more.
                    let round = number / signals;
                    let hot = (number % signals).is_multiple_of((signals / 400).max(1))
                        && if signals == 1 { number.is_multiple_of(20) } else { round.is_multiple_of(2) };
                    let value = Value::F64(if hot { 100.005 } else { 50.0 });
                    if hot {
                        sent.lock().unwrap().insert(time, now());
                    }
                    entries.push(Entry::Sample(Sample {
                        signal: of,
                        time: Time(time),
                        received: Time(time / 1_000_000 * 1_000_000),
                        quality: Quality::GOOD,
                        value,
                        origin: Origin::Live,
                    }));
                    number = number.wrapping_add(1);
                }
                store.submit(Part { entries, ..Part::new(crate::common::site(), name("plc")) }, Box::new(|_| {}));
            }
            over.store(true, Ordering::SeqCst);
        });
        let mut sequence = 0;
        loop {
            let ended = over.load(Ordering::SeqCst);
            let before = bench.store.change();
            let (progress, took) = timed(|| rules.step(Time(0), monotonic()).unwrap());
            longest = longest.max(took);
            for told in bench.store.events_after(sequence, 10_000).unwrap() {
                sequence = told.sequence;
                if told.event.data["change"] == "activated" {
                    let at = sent.lock().unwrap().get(&told.event.time.0).copied().unwrap();
                    waits.push(at.elapsed().as_secs_f64() * 1e3);
                }
            }
            if progress != Progress::Worked {
                if ended {
                    break;
                }
                bench.store.wait_change(before, Duration::from_millis(20));
            }
        }
    });
    waits.sort_by(f64::total_cmp);
    let of = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
    say(&format!("{figure}: events"), f64::from(u32::try_from(waits.len()).unwrap()));
    say(&format!("{figure}: p50 from sample to event, ms"), of(50));
    say(&format!("{figure}: p99 from sample to event, ms"), of(99));
    say(&format!("{figure}: longest step, ms"), longest * 1e3);
}

#[test]
#[ignore = "it measures; only a release build on a quiet machine says something"]
fn events_come_soon() {
    latency("10,000 rules at 500/s", load(one_stream(RULES, "0 s")), 1, 500, 24);
    let files =
        many_signals(SIGNALS).into_iter().map(|(path, text)| (path, text.replace("OnDelay: 60 s", "OnDelay: 0 s")));
    latency("200,000 signals at 20,000/s", load(files.collect()), SIGNALS, 20_000, 24);
}
