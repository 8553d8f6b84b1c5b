//! Many rules and many assets: none disturbs another, and the states of all are kept slice by slice.

use crate::common::{SECOND, asset, contract, instance, limit, line, name, part, sample, signal, stale};
use andon_contract::{
    Contract,
    contract::{Clock, RuleKind},
};
use andon_events::{Engine, Loop, Output, Progress, Saved, engine::Moment};
use andon_model::{
    Entry, Mark, Position, Quality, SignalNo, Time,
    sample::{Batch, Part},
    span::Span,
};
use andon_store::Store;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Numbers that look like chance and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn at(seconds: i64) -> Time {
    Time(seconds * SECOND)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

/// Rules of every timer there is, no two alike.
fn rules(count: u64) -> Vec<(String, RuleKind)> {
    let of = |n: u64| {
        let (high, on, off, again) = (60 + n % 37, n % 23, n * 7 % 31, 5 + n % 41);
        let again = if n.is_multiple_of(3) { format!(", ReAlarmTime {again} s") } else { String::new() };
        let kind = if n % 5 == 4 {
            RuleKind::Stale(stale(&format!("{} s", 3 + n % 29)))
        } else {
            RuleKind::Limit(limit(&format!("High {high}, Deadband 5, OnDelay {on} s, OffDelay {off} s{again}")))
        };
        (format!("rule-{n:04}"), kind)
    };
    (0..count).map(of).collect()
}

/// A series of two signals from two sources, with ticks, late samples and long pauses.
fn series(length: u64) -> Vec<Part> {
    let mut numbers = Numbers(7);
    let mut time = 1_000;
    let mut received = 1_000;
    let of = |_| {
        let forward = match numbers.below(12) {
            0 => whole(numbers.below(70)),
            1 => -whole(numbers.below(4)),
            _ => whole(numbers.below(5)),
        };
        received += forward.max(0);
        let now = time + forward;
        time = time.max(now);
        let from = if numbers.below(9) == 0 { "scada" } else { "plc" };
        let entry = match numbers.below(10) {
            0 => Entry::Mark(Mark::Tick { asset: asset("m"), plant: at(now), utc: at(received) }),
            1 => Entry::Sample(sample(2, now * SECOND, received * SECOND, Quality::GOOD, 1.0)),
            _ => {
                let value = f64::from(u32::try_from(numbers.below(110)).unwrap());
                Entry::Sample(sample(1, now * SECOND, received * SECOND, Quality::GOOD, value))
            }
        };
        Part { entries: vec![entry], ..Part::new(crate::common::site(), name(from)) }
    };
    (0..length).map(of).collect()
}

fn told_by(contract: Contract, series: &[Part]) -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    let signals = crate::common::signals();
    let mut engine = Engine::new(Arc::new(contract), instance(), &signals, Saved::default(), Time(0), &mut out);
    for (offset, part) in (0..).zip(series) {
        let batch = Batch { first: Position { epoch: 0, offset }, part: part.clone() };
        engine.apply(&batch, Moment { now: Time(0), monotonic: None }, &mut out);
    }
    let said = |output| match output {
        Output::Event(event, evidence) => (event.id.to_string(), line(&event), evidence.hash.clone()),
        Output::Exception(row) => panic!("{row:?}"),
    };
    out.into_iter().map(said).collect()
}

#[test]
fn a_rule_among_many_of_an_asset_says_what_it_says_alone() {
    let (all, series) = (rules(150), series(900));
    let listed: Vec<_> = all.iter().map(|(name, kind)| (name.as_str(), kind.clone())).collect();
    let mut together = told_by(contract(&["m"], &listed, Clock::Recorded), &series);
    let mut alone: Vec<_> = listed
        .iter()
        .flat_map(|rule| told_by(contract(&["m"], std::slice::from_ref(rule), Clock::Recorded), &series))
        .collect();
    together.sort();
    alone.sort();
    assert!(together.len() > 2_000, "{}", together.len());
    assert_eq!(together, alone);
}

fn plant(assets: u32) -> Arc<Contract> {
    let names: Vec<String> = (0..assets).map(|n| format!("m-{n:03}")).collect();
    let assets: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = [
        ("hot", RuleKind::Limit(limit("High 100, Deadband 5, OnDelay 7 s, OffDelay 3 s, ReAlarmTime 20 s"))),
        ("silent", RuleKind::Stale(stale("90 s"))),
    ];
    Arc::new(contract(&assets, &rules, Clock::Recorded))
}

fn store(assets: u32, dir: Option<&Path>) -> Store {
    let store = match dir {
        Some(dir) => Store::open(dir, &mut |bytes| bytes.fill(7)).unwrap(),
        None => Store::memory(&mut |bytes| bytes.fill(7)),
    };
    for n in 0..assets {
        store.signal(&asset(&format!("m-{n:03}")), &signal("t")).unwrap();
    }
    store
}

/// What the machines say in one second.
fn second(assets: u32, second: i64) -> Part {
    let of = |n: u32| {
        // Each keeps its value for nine seconds.
        let value = f64::from((n * 13 + u32::try_from(second / 9).unwrap() * 7) % 31 * 4);
        Entry::Sample(sample(n + 1, second * SECOND, second * SECOND, Quality::GOOD, value))
    };
    part((0..assets).map(of).collect())
}

fn events(store: &Store) -> BTreeMap<String, (String, String)> {
    let told = store.events_after(0, 1_000_000).unwrap();
    let hash = |stored: &andon_store::StoredEvent| store.event(stored.event.id).unwrap().unwrap().1.unwrap().hash;
    told.iter().map(|stored| (stored.event.id.to_string(), (line(&stored.event), hash(stored)))).collect()
}

#[test]
fn a_crash_in_the_middle_of_a_file_of_states_changes_no_event() {
    const ASSETS: u32 = 40;
    const SECONDS: i64 = 60;
    let contract = plant(ASSETS);
    let expected = {
        let store = store(ASSETS, None);
        let mut rules = Loop::new(store.clone(), Arc::clone(&contract), Time(0)).unwrap();
        for n in 0..SECONDS {
            store.append(vec![second(ASSETS, n)]).unwrap();
        }
        while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
        events(&store)
    };
    assert!(expected.len() > 50, "{}", expected.len());
    // A file takes some twenty steps: each of them is the last one of some life.
    for life in 1..40 {
        let store = store(ASSETS, None);
        let open = || Loop::new(store.clone(), Arc::clone(&contract), Time(0)).unwrap().with_slice(4);
        let mut rules = open();
        let mut steps = 0;
        for n in 0..SECONDS {
            store.append(vec![second(ASSETS, n)]).unwrap();
            rules.step(Time(0), Span::from_secs(n * 2)).unwrap();
            steps += 1;
            if steps == life {
                rules = open();
                steps = 0;
            }
        }
        while rules.step(Time(0), Span::from_secs(SECONDS * 2)).unwrap() == Progress::Worked {}
        assert_eq!(events(&store), expected, "a crash after every {life} steps");
    }
}

/// Found by `cargo xtask torture --seed 2`: no life was as long as the time between two files, and each start read all
/// that had come since the first.
#[test]
fn lives_that_are_always_short_read_only_what_came_in_the_last_ones_again() {
    const ASSETS: u32 = 30;
    const SECONDS: i64 = 50;
    let contract = plant(ASSETS);
    let store = store(ASSETS, None);
    for life in 0..8 {
        let mut rules = Loop::new(store.clone(), Arc::clone(&contract), Time(0)).unwrap();
        let again = store.log_end().offset - rules.position().offset;
        let of_a_life = u64::from(ASSETS) * u64::try_from(SECONDS).unwrap();
        assert!(again <= 2 * of_a_life, "the start {life} reads {again} entries again");
        for n in 0..SECONDS {
            store.append(vec![second(ASSETS, life * SECONDS + n)]).unwrap();
        }
        // Hardly any time passes before it is ended.
        while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
        assert_eq!(rules.position(), store.log_end());
    }
}

#[test]
fn what_is_kept_goes_on_from_the_place_at_which_it_was_begun() {
    const ASSETS: u32 = 30;
    let contract = plant(ASSETS);
    let dir = tempfile::tempdir().unwrap();
    let kept = |store: &Store| {
        let all = store.kept_states().unwrap();
        let least = all.iter().map(|kept| kept.position).min().unwrap();
        (least, all.iter().map(|kept| kept.position).max().unwrap())
    };
    let (begun, end) = {
        let store = store(ASSETS, Some(dir.path()));
        let mut rules = Loop::new(store.clone(), Arc::clone(&contract), Time(0)).unwrap().with_slice(4);
        let before = kept(&store);
        assert_eq!(before.0, before.1, "a start keeps all states at one place");
        store.append(vec![second(ASSETS, 0)]).unwrap();
        rules.step(Time(0), Span::ZERO).unwrap();
        let mut n = 1;
        while kept(&store) == before {
            store.append(vec![second(ASSETS, n)]).unwrap();
            rules.step(Time(0), Span::from_secs(11)).unwrap();
            n += 1;
        }
        let (least, most) = kept(&store);
        assert!(least > before.0 && most > least, "{least} {most}");
        assert!(n > 15, "it took {n} steps");
        (least, store.log_end())
    };
    let store = store(ASSETS, Some(dir.path()));
    let mut rules = Loop::new(store, contract, Time(0)).unwrap();
    assert_eq!(rules.position(), begun);
    while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
    assert_eq!(rules.position(), end);
    let counts = rules.counts();
    assert_eq!(counts.evaluated + counts.late + rules.waiting().unwrap(), end.offset - 1);
}

#[test]
fn many_clocks_are_told_when_each_has_passed_its_own_deadline() {
    const ASSETS: u32 = 200;
    let names: Vec<String> = (0..ASSETS).map(|n| format!("m-{n:03}")).collect();
    let assets: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = [("hot", RuleKind::Limit(limit("High 100, OnDelay 60 s")))];
    let contract = Arc::new(contract(&assets, &rules, Clock::Live));
    let signals: Vec<_> = (0..ASSETS).map(|n| (SignalNo(n), asset(&names[n as usize]), signal("t"))).collect();
    let mut engine = Engine::new(contract, instance(), &signals, Saved::default(), Time(0), &mut Vec::new());
    let mut offset = 0;
    let mut apply = |engine: &mut Engine, entries: Vec<Entry>, seconds: i64| {
        let mut out = Vec::new();
        let batch = Batch { first: Position { epoch: 0, offset }, part: part(entries) };
        offset = batch.end().offset;
        engine.apply(&batch, Moment { now: at(seconds), monotonic: Some(Span::from_secs(seconds)) }, &mut out);
        out.len()
    };
    // One machine a second begins to be hot; every tenth cools down again.
    for n in 0..ASSETS {
        let seconds = i64::from(n);
        let hot = Entry::Sample(sample(n, seconds * SECOND, seconds * SECOND, Quality::GOOD, 101.0));
        apply(&mut engine, vec![hot], 0);
        if n.is_multiple_of(10) {
            let cold = Entry::Sample(sample(n, seconds * SECOND + 1, seconds * SECOND, Quality::GOOD, 1.0));
            apply(&mut engine, vec![cold], 0);
        }
    }
    // All clocks were set at monotonic time 0: the deadline of each is 60 s of its own time away.
    let (ticks, wait) = engine.ticks(at(0), Span::from_secs(60));
    assert!(ticks.is_empty());
    assert_eq!(wait, Some(Span::from_nanos(1)));
    let (ticks, _) = engine.ticks(at(0), Span::from_nanos(60 * SECOND + 1));
    let entries: Vec<Entry> = ticks.into_iter().flat_map(|part| part.entries).collect();
    assert_eq!(entries.len(), 180, "none for those that have cooled down");
    let (again, _) = engine.ticks(at(0), Span::from_nanos(60 * SECOND + 1));
    assert_eq!(again.iter().map(|part| part.entries.len()).sum::<usize>(), 180, "until they are read");
    assert_eq!(apply(&mut engine, entries, 61), 180);
    assert_eq!(engine.ticks(at(0), Span::from_secs(9_000)), (Vec::new(), None));
}

#[test]
fn what_many_pending_rules_have_alike_is_kept_once_also_over_crashes() {
    const SECONDS: i64 = 400;
    let kinds: Vec<(String, RuleKind)> = (0..60)
        .map(|n| {
            let text = format!("High {}, OnDelay {} s, OffDelay 4 s", 20 + n % 3, SECONDS - 70 + n);
            (format!("rule-{n:02}"), RuleKind::Limit(limit(&text)))
        })
        .collect();
    let listed: Vec<_> = kinds.iter().map(|(name, kind)| (name.as_str(), kind.clone())).collect();
    let contract = Arc::new(contract(&["m-000"], &listed, Clock::Recorded));
    let value = |n: i64| {
        if n < 3 { f64::from(i32::try_from(n).unwrap()) } else { 30.0 + f64::from(i32::try_from(n % 9).unwrap()) }
    };
    let say = |n: i64| part(vec![Entry::Sample(sample(1, n * SECOND, n * SECOND, Quality::GOOD, value(n)))]);
    let live = |every: Option<i64>| {
        let store = store(1, None);
        let open = || Loop::new(store.clone(), Arc::clone(&contract), Time(0)).unwrap().with_slice(20);
        let mut rules = open();
        let mut bytes = 0;
        for n in 0..SECONDS {
            store.append(vec![say(n)]).unwrap();
            rules.step(Time(0), Span::from_secs(n * 3)).unwrap();
            if n == SECONDS / 2 && every.is_some() {
                rules.stop().unwrap();
                bytes = store.kept_states().unwrap().iter().map(|kept| kept.state.len()).sum();
            }
            if every.is_some_and(|every| n % every == every - 1) {
                rules = open();
            }
        }
        while rules.step(Time(0), Span::from_secs(SECONDS * 3)).unwrap() == Progress::Worked {}
        (events(&store), bytes)
    };
    let (expected, _) = live(None);
    assert_eq!(expected.len(), 60);
    for every in [5, 31, 97] {
        let (told, bytes) = live(Some(every));
        assert_eq!(told, expected, "a crash after every {every} steps");
        // A range of two hundred samples has some ten thousand bytes; of a crash it is left in three slices.
        assert!(bytes > 10_000 && bytes < 200_000, "{bytes} bytes of 60 states");
    }
}

#[test]
fn a_realarm_time_that_is_new_does_not_tell_of_the_time_before_the_edit() {
    let rules = |text: &str| {
        let kind = RuleKind::Limit(limit(text));
        Arc::new(contract(&["m"], &[("hot", kind)], Clock::Recorded))
    };
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    for of in ["t", "other"] {
        store.signal(&asset("m"), &signal(of)).unwrap();
    }
    let say = |number, seconds: i64, value| {
        let of = sample(number, seconds * SECOND, seconds * SECOND, Quality::GOOD, value);
        store.append(vec![part(vec![Entry::Sample(of)])]).unwrap();
    };
    let run = |rules: &mut Loop| while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {};
    let mut before = Loop::new(store.clone(), rules("High 100"), Time(0)).unwrap();
    say(1, 1, 120.0);
    // Another signal of the machine has come an hour further.
    say(2, 3_600, 0.0);
    run(&mut before);
    before.stop().unwrap();
    let mut after = Loop::new(store.clone(), rules("High 100, ReAlarmTime 60 s"), Time(0)).unwrap();
    say(2, 3_630, 0.0);
    run(&mut after);
    assert_eq!(events(&store).len(), 1, "{:?}", events(&store));
    say(2, 3_661, 0.0);
    run(&mut after);
    let told: Vec<String> = store.events_after(1, 10).unwrap().iter().map(|stored| line(&stored.event)).collect();
    assert_eq!(told, ["3660 realarmed High 120"]);
}
