//! Decision tables: what one moment says counts together, and the three failures of the AI4I 2020 data whose formulas
//! are known.

use crate::{
    common::{SECOND, apply, asset, contract, engine, instance, name, sample, signal, signals, timeline},
    properties::{cuts, drain, entries, neither_cut_nor_crash, steps},
};
use andon_contract::{
    Contract,
    contract::{
        Clock, Condition, RuleKind, TableForm, TableRow, TableSettings, TableTest, TableValue, TableWhat, Test as Is,
        What,
    },
};
use andon_events::{Engine, Loop, Saved};
use andon_model::{Entry, Event, Quality, SignalNo, Time, Value, sample::Part, span::Span};
use andon_store::{Store, rows::Evidence};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

/// `both` where t and other are above 100, `sum` where together they are above 150; delays in seconds.
fn table(on: i64, off: i64) -> TableSettings {
    let above = |what, limit| TableTest { what, test: Is::Above(limit) };
    TableSettings {
        values: vec![TableValue { name: "total".into(), form: TableForm::Sum, of: vec![0, 1], factor: 1.0 }],
        rows: vec![
            TableRow {
                outcome: "both".into(),
                when: vec![above(TableWhat::Input(0), 100.0), above(TableWhat::Input(1), 100.0)],
                severity: 800,
            },
            TableRow { outcome: "sum".into(), when: vec![above(TableWhat::Value(0), 150.0)], severity: 300 },
        ],
        first_only: false,
        on_delay: Span::from_secs(on),
        off_delay: Span::from_secs(off),
    }
}

fn lines(events: &[(Event, Evidence)]) -> Vec<String> {
    let text = |event: &Event, field: &str| event.data[field].as_str().unwrap_or("-").to_owned();
    let line = |event: &Event| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
        let at = event.time.0 as f64 / 1e9;
        format!("{at} {} {} {}", text(event, "change"), text(event, "outcome"), event.data["severity"])
    };
    events.iter().map(|(event, _)| line(event)).collect()
}

fn check(set: TableSettings, text: &str, expected: &[&str]) {
    let mut engine = engine(RuleKind::Table(Arc::new(set)));
    assert_eq!(lines(&apply(&mut engine, timeline(text))), expected, "{text}");
}

#[test]
fn what_one_moment_says_counts_together() {
    // At 10 the first half alone would be `sum`; its other half denies it.
    check(table(0, 0), "0 10\n0 other 120\n10 60\n10 other 20\n11 50", &[]);
    // Whole at once, whichever half comes first.
    check(table(0, 0), "10 110\n10 other 105", &["10 activated both 800", "10 activated sum 300"]);
    check(table(0, 0), "10 other 105\n10 110", &["10 activated both 800", "10 activated sum 300"]);
}

#[test]
fn a_moment_that_is_never_whole_is_judged_when_the_clock_has_passed_it() {
    let text = "0 110\n0 other 0\n10 other 105\n12 110";
    check(table(0, 0), text, &["10 activated both 800", "10 activated sum 300"]);
    check(table(0, 0), "0 110\n0 other 0\n10 other 105\ntick 11", &["10 activated both 800", "10 activated sum 300"]);
    check(table(0, 0), "0 110\n0 other 0\n10 other 105\ntick 10", &[]);
}

#[test]
fn a_signal_that_is_not_known_holds_no_row() {
    check(table(0, 0), "0 110\n10 110\n20 110", &[]);
    let mut set = table(0, 0);
    set.rows[1].when = vec![TableTest { what: TableWhat::Input(1), test: Is::Exists(false) }];
    check(set, "0 110\n10 110\n10 other 0\n20 110\n30 0", &["0 activated sum 300", "10 returned sum 300"]);
}

#[test]
fn what_is_not_there_begins_nothing_before_anything_is_known() {
    for delay in [0, 5] {
        let mut set = table(delay, 0);
        set.values = Vec::new();
        set.rows = vec![TableRow {
            outcome: "silent".into(),
            when: vec![TableTest { what: TableWhat::Input(0), test: Is::Exists(false) }],
            severity: 300,
        }];
        let mut contract = contract(&["m"], &[("hot", RuleKind::Table(Arc::new(set)))], Clock::Recorded);
        for settings in contract.rules.values_mut().flat_map(|rule| rule.assets.values_mut()) {
            let settings = Arc::make_mut(settings);
            settings.inputs = Vec::new();
            settings.guard.when = vec![Condition { what: What::Signal(signal("other")), test: Is::Exists(true) }];
        }
        let mut engine =
            Engine::new(Arc::new(contract), instance(), &signals(), Saved::default(), Time(0), &mut Vec::new());
        // The condition holds from 0 on, when the table has no sample to show yet.
        assert!(apply(&mut engine, timeline("0 other 6\ntick 20\n30 110\n40 110")).is_empty());
    }
}

#[test]
fn each_outcome_is_an_alarm_of_its_own() {
    let text = "0 110\n0 other 110\n5 90\n5 other 90\n9 60\n9 other 60";
    let expected = ["0 activated both 800", "0 activated sum 300", "5 returned both 800", "9 returned sum 300"];
    check(table(0, 0), text, &expected);
    let first = TableSettings { first_only: true, ..table(0, 0) };
    let expected = ["0 activated both 800", "5 returned both 800", "5 activated sum 300", "9 returned sum 300"];
    check(first, text, &expected);
}

#[test]
fn delays_run_by_the_clock_of_the_source() {
    let beyond = "0 110\n0 other 0\n10 other 90\n10 90";
    check(table(5, 0), &format!("{beyond}\n14 90\n14 other 90\n16 90"), &["15 activated sum 300"]);
    // The condition ends before the delay has passed.
    check(table(5, 0), &format!("{beyond}\n14 0\n14 other 0\n30 90"), &[]);
    check(table(5, 0), &format!("{beyond}\ntick 15\ntick 16"), &["15 activated sum 300"]);
    let back = "0 110\n0 other 90\n10 0\n10 other 0\n12 110\n12 other 90\n20 0\n20 other 0";
    check(table(0, 5), &format!("{back}\n26 0"), &["0 activated sum 300", "25 returned sum 300"]);
}

#[test]
fn what_is_bad_or_late_decides_nothing() {
    let text = "0 110\n0 other 0\n10 other 105!\n11 110\n11 other 105?\n12 110\n13 110";
    check(table(0, 0), text, &[]);
    check(table(0, 0), "10 110\n10 other 0\n20 0\n20 other 0\n15 110\n15 other 110\n21 0", &[]);
}

#[test]
fn the_evidence_is_what_the_table_saw() {
    let mut engine = engine(RuleKind::Table(Arc::new(table(0, 0))));
    let found = apply(&mut engine, timeline("0 110\n0 other 10\n10 other 105\n10 110"));
    let evidence = &found[0].1;
    let seen: Vec<(&str, i64)> = evidence.samples.iter().map(|s| (s.signal.as_str(), s.time.0 / SECOND)).collect();
    assert_eq!(seen, [("m/other", 10), ("m/t", 10)]);
    assert_eq!(evidence.count, 2);
}

/// The newest values at each moment, judged when the moment is over.
fn naive(set: &TableSettings, entries: &[Entry]) -> Vec<(i64, &'static str, String)> {
    let mut known: [Option<f64>; 2] = [None, None];
    let mut newest = [Time::MIN; 2];
    let mut active: BTreeSet<String> = BTreeSet::new();
    let mut out = Vec::new();
    let mut waits: Option<Time> = None;
    let mut judge = |known: &[Option<f64>; 2], time: Time, active: &mut BTreeSet<String>| {
        for row in &set.rows {
            let holds = row.when.iter().all(|test| {
                let value = match test.what {
                    TableWhat::Input(number) => known[usize::from(number)],
                    TableWhat::Value(_) => known[0].zip(known[1]).map(|(a, b)| a + b),
                };
                matches!((&test.test, value), (Is::Above(limit), Some(value)) if value > *limit)
            });
            if holds && active.insert(row.outcome.clone()) {
                out.push((time.0, "activated", row.outcome.clone()));
            } else if !holds && active.remove(&row.outcome) {
                out.push((time.0, "returned", row.outcome.clone()));
            }
        }
    };
    let mut times = [None, None];
    for entry in entries {
        match entry {
            Entry::Sample(sample) => {
                let number = usize::try_from(sample.signal.0 - 1).unwrap();
                if sample.origin.is_untimed() || sample.time < newest[number] {
                    continue;
                }
                newest[number] = sample.time;
                if let Some(time) = waits.filter(|waits| *waits < sample.time) {
                    judge(&known, time, &mut active);
                    waits = None;
                }
                if !sample.quality.is_good() {
                    continue;
                }
                known[number] = sample.value.number();
                times[number] = Some(sample.time);
                if times.iter().all(|time| *time == Some(sample.time)) {
                    judge(&known, sample.time, &mut active);
                    waits = None;
                } else {
                    waits = Some(waits.map_or(sample.time, |waits| waits.max(sample.time)));
                }
            }
            Entry::Mark(andon_model::Mark::Tick { plant, .. }) => {
                if let Some(time) = waits.filter(|waits| *waits < *plant) {
                    judge(&known, time, &mut active);
                    waits = None;
                }
            }
            Entry::Mark(_) => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_finds_what_a_naive_one_finds(steps in steps()) {
        let set = table(0, 0);
        let entries = entries(&steps);
        let expected = naive(&set, &entries);
        let mut engine = engine(RuleKind::Table(Arc::new(set)));
        let found: Vec<(i64, &str, String)> = apply(&mut engine, entries)
            .iter()
            .map(|(event, _)| {
                let change = if event.data["change"] == "activated" { "activated" } else { "returned" };
                (event.time.0, change, event.data["outcome"].as_str().unwrap().to_owned())
            })
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_table_is_neither_cut_nor_crashed(steps in steps(), cuts in cuts(), on in 0_i64..9, off in 0_i64..9) {
        let rules = [("hot", RuleKind::Table(Arc::new(table(on, off))))];
        let contract = Arc::new(contract(&["m"], &rules, Clock::Recorded));
        neither_cut_nor_crash(&contract, &entries(&steps), &cuts)?;
    }
}

const PROJECT: [(&str, &str); 6] = [
    ("andon.yaml", "name: mill\nformat: 1\ninstances:\n  one: { role: both, zone: plant }\n"),
    ("policies/ownership.yaml", "teams:\n  all: { mail: all@works.example }\nrules:\n  - { owner: all }\n"),
    ("assets/works.yaml", "site: works\nzone: plant\nassets:\n  mill-01: { class: mill }\n"),
    ("sources/tests.yaml", "kind: http\nclock: recorded\n"),
    (
        "classes/mill.yaml",
        concat!(
            "signals:\n",
            "  product-type: { kind: text }\n",
            "  air: { kind: f64, unit: K }\n",
            "  process: { kind: f64, unit: K }\n",
            "  speed: { kind: f64, unit: '{rev}/min' }\n",
            "  torque: { kind: f64, unit: N.m }\n",
            "  wear: { kind: f64, unit: min }\n",
        ),
    ),
    (
        "rules/failures.yaml",
        concat!(
            "kind: table\n",
            "on: mill.torque\n",
            "values:\n",
            "  spread: { difference: [process, air] }\n",
            "  power: { product: [torque, speed], factor: 0.10471975511965977 }\n",
            "  strain: { product: [wear, torque] }\n",
            "rows:\n",
            "  - { outcome: HDF, when: [{ value: spread, below: 8.6 }, { signal: speed, below: 1380 }] }\n",
            "  - { outcome: PWF, when: [{ value: power, below: 3500 }] }\n",
            "  - { outcome: PWF, when: [{ value: power, above: 9000 }] }\n",
            "  - { outcome: OSF, when: [{ signal: product-type, is: L }, { value: strain, above: 11000 }] }\n",
            "  - { outcome: OSF, when: [{ signal: product-type, is: M }, { value: strain, above: 12000 }] }\n",
            "  - { outcome: OSF, when: [{ signal: product-type, is: H }, { value: strain, above: 13000 }] }\n",
        ),
    ),
];

/// A row of the data: type, then air, process, speed, torque, wear; and the failures that it is labelled with.
struct Row {
    kind: String,
    numbers: [f64; 5],
    failures: BTreeSet<&'static str>,
}

/// The data where they lie (10,000 rows), else a few rows made up on both sides of every limit.
fn rows() -> Vec<Row> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root.join("../shared/data"), |d| root.join(d));
    let path = data.join("ai4i2020/ai4i2020.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("no data under ANDON_TESTDATA; made-up rows are used");
        return made_up();
    };
    println!("used {}", path.display());
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().unwrap();
        let failures = [("HDF", 10), ("PWF", 11), ("OSF", 12)];
        Row {
            kind: cells[2].to_owned(),
            numbers: [number(3), number(4), number(5), number(6), number(7)],
            failures: failures.into_iter().filter(|(_, at)| cells[*at] == "1").map(|(name, _)| name).collect(),
        }
    };
    text.lines().skip(1).map(row).collect()
}

fn made_up() -> Vec<Row> {
    let row = |kind: &str, numbers, failures: &[&'static str]| Row {
        kind: kind.to_owned(),
        numbers,
        failures: failures.iter().copied().collect(),
    };
    vec![
        row("M", [298.1, 308.6, 1551.0, 42.8, 0.0], &[]),
        row("M", [300.0, 308.5, 1379.0, 45.0, 10.0], &["HDF"]),
        row("M", [300.0, 308.5, 1380.0, 45.0, 10.0], &[]),
        row("L", [298.0, 308.5, 2800.0, 11.0, 5.0], &["PWF"]),
        row("H", [298.0, 308.5, 1500.0, 58.0, 5.0], &["PWF"]),
        row("L", [298.0, 308.5, 1500.0, 50.0, 230.0], &["OSF"]),
        row("H", [298.0, 308.5, 1500.0, 50.0, 230.0], &[]),
        row("L", [300.0, 308.5, 1300.0, 70.0, 230.0], &["HDF", "PWF", "OSF"]),
    ]
}

#[test]
fn the_failures_whose_formulas_are_known_are_found_and_no_others() {
    let files: BTreeMap<String, String> =
        PROJECT.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let contract: Contract = andon_contract::from_files(files)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<String>()))
        .contract;
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    let mill = asset("mill-01");
    let names = ["product-type", "air", "process", "speed", "torque", "wear"];
    let numbers: Vec<SignalNo> = names.map(|name| store.signal(&mill, &signal(name)).unwrap()).into();
    let mut rules = Loop::new(store.clone(), Arc::new(contract), Time(0)).unwrap();
    let rows = rows();
    let at = |row: usize| 1_600_000_000 * SECOND + i64::try_from(row).unwrap() * 60 * SECOND;
    for (number, row) in rows.iter().enumerate() {
        let time = at(number);
        let mut values = vec![Value::Text(row.kind.as_str().into())];
        values.extend(row.numbers.map(Value::F64));
        let entries = numbers.iter().zip(values).map(|(signal, value)| {
            let mut made = sample(signal.0, time, time, Quality::GOOD, 0.0);
            made.value = value;
            Entry::Sample(made)
        });
        let site = andon_model::SiteName::new("works").unwrap();
        let entries: Vec<Entry> = entries.collect();
        store.append(vec![Part { entries, ..Part::new(site, name("tests")) }]).unwrap();
        if number % 500 == 499 {
            drain(&mut rules, Span::ZERO);
        }
    }
    drain(&mut rules, Span::ZERO);

    // An outcome that lasts is one alarm: it is active at each of its rows, and at no other.
    let mut active: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let mut now: BTreeSet<String> = BTreeSet::new();
    for stored in store.events_after(0, 100_000).unwrap() {
        let outcome = stored.event.data["outcome"].as_str().unwrap().to_owned();
        if stored.event.data["change"] == "activated" {
            assert!(now.insert(outcome), "it was active already");
        } else {
            assert!(now.remove(&outcome), "it was not active");
        }
        active.insert(stored.event.time.0, now.clone());
    }
    let mut found: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let told = active.range(..=at(number)).next_back().map(|(_, told)| told.clone()).unwrap_or_default();
        for failure in ["HDF", "PWF", "OSF"] {
            let (hit, missed, wrong) = found.entry(failure).or_default();
            match (told.contains(failure), row.failures.contains(failure)) {
                (true, true) => *hit += 1,
                (false, true) => *missed += 1,
                (true, false) => *wrong += 1,
                (false, false) => {}
            }
        }
    }
    for (failure, (hit, missed, wrong)) in found {
        println!("{failure}: {hit} found, {missed} missed, {wrong} wrong");
        assert!(hit > 0 && missed == 0 && wrong == 0, "{failure}: {hit} found, {missed} missed, {wrong} wrong");
    }
}
