//! Conditions of rules: what must hold for something to begin, whatever the order of what a message says, over late,
//! bad and missing samples, restarts, crashes and edits.

use crate::common::{SECOND, apply, asset, contract, instance, limit, lines, part, sample, signal, signals};
use andon_contract::{
    Contract,
    contract::{Clock, Condition, LimitLevel, RuleKind, SeverityLine, Test, What, Word},
};
use andon_events::{Engine, Loop, Progress, Saved};
use andon_model::{Entry, Quality, Time, span::Span};
use andon_store::{Store, StoredEvent};
use proptest::prelude::*;
use std::sync::Arc;

const RUNNING: f64 = 6.0;

fn other(test: Test) -> Condition {
    Condition { what: What::Signal(signal("other")), test }
}

fn running() -> Condition {
    other(Test::Is(Word::Number(RUNNING)))
}

/// The rule `hot` over `t`, with conditions on `other`; its version is made of both.
fn guarded(settings: &str, when: &[Condition], table: &[SeverityLine]) -> Arc<Contract> {
    let mut contract = contract(&["m"], &[("hot", RuleKind::Limit(limit(settings)))], Clock::Recorded);
    contract.revision = format!("{settings}{when:?}{table:?}");
    for settings in contract.rules.values_mut().flat_map(|rule| rule.assets.values_mut()) {
        let settings = Arc::make_mut(settings);
        settings.guard.when = when.to_vec();
        settings.guard.severities = table.to_vec();
        settings.version = format!("{} {when:?} {table:?}", settings.version);
    }
    Arc::new(contract)
}

/// `5 t=101 other=6!`: a message of second 5 with its fields in this order; `!` is bad, `?` uncertain, `l` makes a
/// sample that is two seconds older.
fn message(line: &str) -> Vec<Entry> {
    let mut words = line.split_whitespace();
    let time: i64 = words.next().unwrap().parse().unwrap();
    let field = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        let number = value.trim_end_matches(['!', '?', 'l']);
        let quality = match value {
            value if value.ends_with('!') => Quality::BAD,
            value if value.ends_with('?') => Quality::UNCERTAIN,
            _ => Quality::GOOD,
        };
        let time = if value.ends_with('l') { time - 2 } else { time };
        let signal = if name == "t" { 1 } else { 2 };
        Entry::Sample(sample(signal, time * SECOND, time.max(0) * SECOND, quality, number.parse().unwrap()))
    };
    words.map(field).collect()
}

fn messages(text: &str) -> Vec<Entry> {
    text.split(';').flat_map(message).collect()
}

fn engine(contract: Arc<Contract>) -> Engine {
    Engine::new(contract, instance(), &signals(), Saved::default(), Time(0), &mut Vec::new())
}

fn check(settings: &str, entries: &str, expected: &[&str]) {
    let mut whole = engine(guarded(settings, &[running()], &[]));
    assert_eq!(lines(&apply(&mut whole, messages(entries))), expected, "{settings}: {entries}");
    // Message by message it is the same.
    let mut cut = engine(guarded(settings, &[running()], &[]));
    let found: Vec<_> = entries.split(';').flat_map(|line| lines(&apply(&mut cut, message(line)))).collect();
    assert_eq!(found, expected, "{settings}, one by one: {entries}");
}

#[test]
fn nothing_begins_while_a_condition_does_not_hold() {
    check("High 100", "0 other=1; 1 t=101; 2 t=102; 3 t=90", &[]);
    // What was never told does not hold.
    check("High 100", "0 t=101; 1 t=102", &[]);
    check("High 100", "0 other=6; 1 t=101; 2 t=90", &["1 activated High 101", "2 returned High 90"]);
}

#[test]
fn it_begins_when_the_condition_holds_and_the_value_stands() {
    check("High 100", "0 t=101; 1 other=6; 2 t=90", &["1 activated High 101", "2 returned High 90"]);
    check("High 100, OnDelay 10 s", "0 t=101; 5 other=6; 14 t=102; 16 t=102", &["15 activated High 102"]);
    // A value that is not good stands for nothing.
    check("High 100", "0 t=101; 1 t=101!; 2 other=6; 3 t=90", &[]);
    check("High 100", "0 t=90; 1 other=6", &[]);
}

#[test]
fn what_a_message_says_together_counts_together() {
    for beyond in ["1 t=101 other=6", "1 other=6 t=101"] {
        check("High 100", &format!("0 other=1 t=90; {beyond}"), &["1 activated High 101"]);
        check("High 100, OnDelay 10 s", &format!("0 other=1 t=90; {beyond}; 12 t=101"), &["11 activated High 101"]);
    }
    for stopped in ["1 t=101 other=1", "1 other=1 t=101"] {
        check("High 100", &format!("0 other=6 t=90; {stopped}; 2 t=102"), &[]);
    }
    // The value of the message counts, not the one before it.
    for cold in ["1 t=90 other=6", "1 other=6 t=90"] {
        check("High 100", &format!("0 other=1 t=101; {cold}; 2 t=90"), &[]);
    }
    // Of two values in a message the later counts.
    check("High 100", "0 other=1 t=90; 1 other=6 other=1 t=101", &[]);
    check("High 100", "0 other=1 t=90; 1 other=1 t=101 other=6", &["1 activated High 101"]);
}

#[test]
fn a_delay_stops_when_the_condition_does_not_hold_any_more() {
    check("High 100, OnDelay 10 s", "0 other=6 t=101; 5 other=1; 20 t=102", &[]);
    check(
        "High 100, OnDelay 10 s",
        "0 other=6 t=101; 5 other=1; 6 other=6; 11 t=102; 17 t=103",
        &["16 activated High 102"],
    );
    // What ended before a message is decided by what was known before it, at its deadline itself by the message.
    for late in ["11 t=102 other=1", "11 other=1 t=102"] {
        check("High 100, OnDelay 10 s", &format!("0 other=6 t=101; {late}"), &["10 activated High 101"]);
    }
    check("High 100, OnDelay 10 s", "0 other=6 t=101; 10 t=102 other=1; 12 t=103", &[]);
}

#[test]
fn an_alarm_that_is_active_goes_on_by_its_own_value() {
    check(
        "HighHigh 120, High 100, ReAlarmTime 10 s",
        "0 other=6 t=101; 1 other=1; 2 t=121; 12 t=121; 13 t=90; 14 t=101",
        &["0 activated High 101", "2 level HighHigh 121", "10 realarmed HighHigh 121", "13 returned HighHigh 90"],
    );
}

#[test]
fn only_good_samples_that_are_not_late_change_a_condition() {
    check("High 100", "0 other=6!; 1 t=101", &[]);
    check("High 100", "0 other=6?; 1 t=101", &[]);
    check("High 100", "0 other=6; 1 other=1!; 2 t=101", &["2 activated High 101"]);
    check("High 100", "5 other=6; 6 other=1l; 7 t=101", &["7 activated High 101"]);
    check("High 100", "5 other=1; 6 other=6l t=101; 7 t=101", &[]);
    // An equal sample changes nothing.
    check("High 100, OnDelay 10 s", "0 other=6 t=101; 5 other=6; 6 other=6; 11 t=101", &["10 activated High 101"]);
}

#[test]
fn every_test_asks_what_it_says() {
    let number = |n| Word::Number(n);
    let cases = [
        (Test::Is(number(6.0)), [false, true, false]),
        (Test::Not(number(6.0)), [false, false, true]),
        (Test::In(vec![number(1.0), number(6.0)]), [false, true, false]),
        (Test::Above(6.0), [false, false, true]),
        (Test::Below(7.0), [false, true, false]),
        (Test::Exists(true), [false, true, true]),
        (Test::Exists(false), [true, false, false]),
        (Test::Is(Word::Text("6".into())), [false, false, false]),
        (Test::Is(Word::Bool(true)), [false, false, false]),
    ];
    for (test, expected) in cases {
        for (before, holds) in ["0 t=90", "0 other=6", "0 other=7"].into_iter().zip(expected) {
            let mut engine = engine(guarded("High 100", &[other(test.clone())], &[]));
            let found = apply(&mut engine, messages(&format!("{before}; 1 t=101")));
            assert_eq!(!found.is_empty(), holds, "{test:?} after {before}");
        }
    }
}

#[test]
fn the_first_line_of_a_table_that_fits_says_how_bad_it_is() {
    let line = |limit, when: &[Condition], severity, priority: Option<&str>| SeverityLine {
        limit,
        when: when.to_vec(),
        severity,
        priority: priority.map(str::to_owned),
    };
    let table = [
        line(Some(LimitLevel::HighHigh), &[running()], 990, Some("urgent")),
        line(None, &[running()], 550, None),
        line(None, &[], 111, Some("low")),
    ];
    let mut engine = engine(guarded("HighHigh 120, High 100", &[], &table));
    let found = apply(&mut engine, messages("0 t=101; 1 other=6 t=121; 2 t=101; 3 other=1 t=90; 4 t=121 other=6"));
    let told: Vec<String> = found
        .iter()
        .map(|(event, _)| format!("{} {} {}", event.data["change"], event.data["severity"], event.data["priority"]))
        .collect();
    assert_eq!(
        told,
        [
            r#""activated" 111 "low""#,
            r#""level" 990 "urgent""#,
            r#""level" 550 null"#,
            r#""returned" 111 "low""#,
            r#""activated" 990 "urgent""#
        ]
    );
}

/// A store whose instance is always the same, so that ids can be compared.
fn store() -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    assert_eq!(store.signal(&asset("m"), &signal("t")).unwrap().0, 1);
    assert_eq!(store.signal(&asset("m"), &signal("other")).unwrap().0, 2);
    store
}

fn drain(rules: &mut Loop) {
    while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
}

fn told(store: &Store) -> Vec<StoredEvent> {
    let mut all = store.events_after(0, usize::MAX >> 1).unwrap();
    all.sort_by_key(|stored| stored.event.id);
    for stored in &mut all {
        stored.sequence = 0;
    }
    all
}

/// What was told, in its order.
fn in_order(store: &Store) -> Vec<String> {
    let all = store.events_after(0, usize::MAX >> 1).unwrap();
    all.iter().map(|stored| crate::common::line(&stored.event)).collect()
}

fn edited(before: &Arc<Contract>, first: &str, after: &Arc<Contract>, then: &str) -> Vec<String> {
    let store = store();
    for (contract, entries) in [(before, first), (after, then)] {
        let mut rules = Loop::new(store.clone(), Arc::clone(contract), Time(0)).unwrap();
        for line in entries.split(';') {
            store.append(vec![part(message(line))]).unwrap();
        }
        drain(&mut rules);
        rules.stop().unwrap();
    }
    in_order(&store)
}

#[test]
fn an_edit_of_conditions_keeps_the_state() {
    let (free, when) = (guarded("High 100", &[], &[]), guarded("High 100", &[running()], &[]));
    let stopped = guarded("High 100", &[other(Test::Not(Word::Number(RUNNING)))], &[]);
    // An alarm that is active goes on, whatever the new conditions say.
    let expected = ["0 activated High 101", "3 returned High 90"];
    assert_eq!(edited(&free, "0 t=101", &when, "2 t=102; 3 t=90"), expected);
    assert_eq!(edited(&when, "0 t=101 other=6", &stopped, "2 t=102; 3 t=90"), expected);
    assert_eq!(edited(&when, "0 t=101 other=6", &free, "2 t=102; 3 t=90"), expected);
    // What the old conditions knew the new ones know.
    assert_eq!(edited(&when, "0 other=1 t=101", &stopped, "2 t=102"), ["2 activated High 102"]);
    assert_eq!(edited(&when, "0 other=6 t=90", &stopped, "2 t=102"), [""; 0]);
    // Without conditions the next good sample begins what none of them keeps back any more.
    assert_eq!(edited(&when, "0 other=1 t=101", &free, "2 other=1; 3 t=101"), ["3 activated High 101"]);
}

#[test]
fn a_delay_stops_by_conditions_that_an_edit_brings() {
    let slow = "High 100, OnDelay 10 s";
    let (free, when) = (guarded(slow, &[], &[]), guarded(slow, &[running()], &[]));
    assert_eq!(edited(&free, "0 t=101", &when, "5 t=102; 20 t=103"), [""; 0]);
    assert_eq!(edited(&free, "0 t=101", &when, "20 t=103"), [""; 0]);
    assert_eq!(edited(&free, "0 t=101", &when, "5 other=6; 16 t=103"), ["15 activated High 101"]);
    assert_eq!(edited(&when, "0 t=101 other=6", &free, "5 other=1; 12 t=103"), ["10 activated High 101"]);
}

/// What happens between two messages.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Step,
    Crash,
    StepAndCrash,
    Stop,
}

fn random_message() -> impl Strategy<Value = (i64, Vec<(bool, u8)>)> {
    (prop_oneof![6 => 1_i64..6, 1 => 10_i64..40], prop::collection::vec((prop::bool::ANY, 0_u8..12), 1..4))
}

fn between() -> impl Strategy<Value = Between> {
    use Between::{Crash, Nothing, Step, StepAndCrash, Stop};
    prop_oneof![Just(Nothing), Just(Step), Just(Crash), Just(StepAndCrash), Just(Stop)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_cut_nor_crash_changes_what_conditions_let_through(
        steps in prop::collection::vec((random_message(), between()), 1..60),
        delay in prop_oneof![Just("0 s"), Just("7 s")],
    ) {
        let limits = format!("HighHigh 120, High 100, OnDelay {delay}, OffDelay {delay}");
        let contract = guarded(&limits, &[running()], &[]);
        let mut time = 1_000;
        let mut all = Vec::new();
        for ((forward, fields), between) in &steps {
            time += forward;
            let entry = |(own, what): &(bool, u8)| {
                let quality = if *what == 0 { Quality::BAD } else { Quality::GOOD };
                let value = if *own { f64::from(*what) * 12.0 } else { f64::from(*what % 2) * RUNNING };
                let at = if *what == 1 { time - 3 } else { time };
                Entry::Sample(sample(if *own { 1 } else { 2 }, at * SECOND, time * SECOND, quality, value))
            };
            all.push((fields.iter().map(entry).collect::<Vec<_>>(), *between));
        }
        let whole = store();
        let mut once = Loop::new(whole.clone(), Arc::clone(&contract), Time(0)).unwrap();
        whole.append(vec![part(all.iter().flat_map(|(entries, _)| entries.clone()).collect())]).unwrap();
        drain(&mut once);

        let cut = store();
        let mut rules = Loop::new(cut.clone(), Arc::clone(&contract), Time(0)).unwrap();
        for (entries, between) in all {
            cut.append(vec![part(entries)]).unwrap();
            match between {
                Between::Nothing | Between::Crash => {}
                Between::Step | Between::StepAndCrash => {
                    rules.step(Time(0), Span::ZERO).unwrap();
                }
                Between::Stop => rules.stop().unwrap(),
            }
            if matches!(between, Between::Crash | Between::StepAndCrash | Between::Stop) {
                rules = Loop::new(cut.clone(), Arc::clone(&contract), Time(0)).unwrap();
            }
        }
        drain(&mut rules);
        prop_assert_eq!(told(&whole), told(&cut));
    }

    #[test]
    fn the_order_of_the_fields_of_a_message_changes_nothing(
        steps in {
            let (value, runs) = (prop::option::of(70_i64..130), prop::option::of(prop::bool::ANY));
            prop::collection::vec((1_i64..9, value, runs), 1..60)
        },
        delay in prop_oneof![Just("0 s"), Just("7 s")],
    ) {
        let contract = guarded(&format!("High 100, OnDelay {delay}"), &[running()], &[]);
        let mut time = 0;
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (forward, value, runs) in &steps {
            time += forward;
            let at = time * SECOND;
            let field = |signal, value| Entry::Sample(sample(signal, at, at, Quality::GOOD, value));
            #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
            let t = value.map(|value| field(1, value as f64));
            let state = runs.map(|runs| field(2, if runs { RUNNING } else { 1.0 }));
            one.extend(t.iter().chain(&state).cloned());
            other.extend(state.iter().chain(&t).cloned());
        }
        let of = |entries| lines(&apply(&mut engine(Arc::clone(&contract)), entries));
        prop_assert_eq!(of(one), of(other));
    }
}
