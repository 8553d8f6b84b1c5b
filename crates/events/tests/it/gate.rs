//! The gate of alarms: what is shelved, suppressed or disabled, in every order, and over restarts and edits.

use crate::common::{SECOND, apply, asset, contract, instance, limit, name, part, sample, signal, signals, timeline};
use andon_contract::{
    Contract,
    contract::{Clock, Condition, RuleKind, Test, What, Word},
};
use andon_events::{Engine, Loop, Progress, Saved};
use andon_model::{
    Entry, Event, Mark, Quality, Time, Value,
    sample::{Control, ControlAct},
    span::Span,
};
use andon_store::Store;
use std::sync::Arc;

/// `hot` looks for `t`; while `other` is 1 it is suppressed.
pub(crate) fn guarded(kind: RuleKind) -> Contract {
    let mut contract = contract(&["m"], &[("hot", kind)], Clock::Recorded);
    let rule = contract.rules.values_mut().next().unwrap();
    for settings in rule.assets.values_mut() {
        Arc::make_mut(settings).guard.suppress =
            vec![Condition { what: What::Signal(signal("other")), test: Test::Is(Word::Number(1.0)) }];
    }
    contract
}

/// What a person did: `shelve AT UNTIL`, `once AT UNTIL`, `unshelve AT`, `disable AT`, `enable AT`.
pub(crate) fn act(words: &[&str]) -> Entry {
    let time = |word: &str| Time(word.parse::<i64>().unwrap() * SECOND);
    let act = match words[0] {
        "shelve" => ControlAct::Shelve { until: time(words[2]), once: false },
        "once" => ControlAct::Shelve { until: time(words[2]), once: true },
        "unshelve" => ControlAct::Unshelve,
        "disable" => ControlAct::Disable,
        "enable" => ControlAct::Enable,
        other => panic!("{other}"),
    };
    let (actor, reason) = ("ann".to_owned(), "the belt is changed".to_owned());
    let control = Control { rule: name("hot"), asset: asset("m"), act, at: time(words[1]), actor, reason };
    Entry::Mark(Mark::Control(Box::new(control)))
}

/// A timeline with acts, and with `AT idle` and `AT busy`, which suppress and do not.
fn entries(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [at, what @ ("idle" | "busy")] => {
                let at = at.parse::<i64>().unwrap() * SECOND;
                let mut made = sample(2, at, at, Quality::GOOD, 0.0);
                made.value = Value::F64(if what == "idle" { 1.0 } else { 0.0 });
                Entry::Sample(made)
            }
            ["shelve" | "once" | "unshelve" | "disable" | "enable", ..] => act(&words),
            _ => timeline(line).remove(0),
        }
    };
    text.split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()).map(entry).collect()
}

/// `second change limit value`; what is not raised in brackets, what a person did with its `by`.
pub(crate) fn told(event: &Event) -> String {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
    let at = event.time.0 as f64 / 1e9;
    let change = text("/change");
    match event.kind.as_str() {
        "asset.alarm" => {
            let late = if text("/reason").contains("raised late") { " late" } else { "" };
            format!("{at} {change} {} {}{late}", text("/limit"), text("/value/value"))
        }
        "asset.alarm.suppressed" => {
            format!("{at} ({change} {} {}) {}", text("/limit"), text("/value/value"), text("/suppression/kind"))
        }
        _ => format!("{at} {change} by {}", text("/by")),
    }
}

fn engine(settings: &str) -> Engine {
    let contract = Arc::new(guarded(RuleKind::Limit(limit(settings))));
    Engine::new(contract, instance(), &signals(), Saved::default(), Time(0), &mut Vec::new())
}

fn check(settings: &str, text: &str, expected: &[&str]) {
    let mut engine = engine(settings);
    let found: Vec<String> = apply(&mut engine, entries(text)).iter().map(|(event, _)| told(event)).collect();
    assert_eq!(found, expected, "{settings}\n{text}");
}

#[test]
fn a_shelved_alarm_is_recorded_and_not_raised() {
    check(
        "HighHigh 120, High 100, ReAlarmTime 2 s",
        "shelve 0 900; 1 101; 4 130; 5 101; 6 99; 7 99",
        &[
            "0 shelved by person",
            "1 (activated High 101) shelved",
            "4 (level HighHigh 130) shelved",
            "5 (level High 101) shelved",
            "6 (returned High 99) shelved",
        ],
    );
}

#[test]
fn an_alarm_that_still_stands_is_raised_when_the_gate_opens() {
    let shelved = ["0 shelved by person", "1 (activated High 101) shelved"];
    let cases: [(&str, &[&str]); 6] = [
        (
            "shelve 0 900; 1 101; unshelve 9; 10 99",
            &["9 unshelved by person", "9 activated High 101 late", "10 returned High 99"],
        ),
        (
            "shelve 0 5; 1 101; 9 102; 10 99",
            &["5 unshelved by time", "5 activated High 101 late", "10 returned High 99"],
        ),
        // A sample of another signal of the asset ends it too, and a tick.
        (
            "shelve 0 5; 1 101; 9 busy; 10 99",
            &["5 unshelved by time", "5 activated High 101 late", "10 returned High 99"],
        ),
        (
            "shelve 0 5; 1 101; tick 2 @9; 10 99",
            &["5 unshelved by time", "5 activated High 101 late", "10 returned High 99"],
        ),
        // The end itself is not yet later.
        ("shelve 0 5; 1 101; 5 99; 9 99", &["5 (returned High 99) shelved", "5 unshelved by time"]),
        // What has returned is not raised; what comes then is.
        (
            "shelve 0 900; 1 101; 2 99; unshelve 9; 10 101",
            &["2 (returned High 99) shelved", "9 unshelved by person", "10 activated High 101"],
        ),
    ];
    for (text, expected) in cases {
        check("High 100", text, &[&shelved, expected].concat());
    }
    check(
        "HighHigh 120, High 100",
        "shelve 0 900; 1 101; 2 130; unshelve 9",
        &[
            "0 shelved by person",
            "1 (activated High 101) shelved",
            "2 (level HighHigh 130) shelved",
            "9 unshelved by person",
            "9 activated HighHigh 130 late",
        ],
    );
}

#[test]
fn an_alarm_that_was_raised_before_returns_as_ever() {
    check(
        "HighHigh 120, High 100, ReAlarmTime 2 s",
        "1 101; shelve 2 900; 3.5 130; 6 130; 7 99; 8 101",
        &[
            "1 activated High 101",
            "2 shelved by person",
            "3.5 (level HighHigh 130) shelved",
            "7 returned HighHigh 99",
            "8 (activated High 101) shelved",
        ],
    );
    // Opening changes nothing for it.
    check(
        "High 100",
        "1 101; shelve 2 900; unshelve 3; 4 99",
        &["1 activated High 101", "2 shelved by person", "3 unshelved by person", "4 returned High 99"],
    );
}

#[test]
fn once_ends_with_the_return() {
    check(
        "High 100",
        "1 101; once 2 900; 3 99; 4 101",
        &[
            "1 activated High 101",
            "2 shelved by person",
            "3 returned High 99",
            "3 unshelved by return",
            "4 activated High 101",
        ],
    );
    check(
        "High 100",
        "once 0 900; 1 101; 3 99; 4 101",
        &[
            "0 shelved by person",
            "1 (activated High 101) shelved",
            "3 (returned High 99) shelved",
            "3 unshelved by return",
            "4 activated High 101",
        ],
    );
    // And by its time, when nothing returns before.
    check(
        "High 100",
        "once 0 5; 1 101; 9 101; 10 99",
        &[
            "0 shelved by person",
            "1 (activated High 101) shelved",
            "5 unshelved by time",
            "5 activated High 101 late",
            "10 returned High 99",
        ],
    );
}

#[test]
fn a_later_shelving_takes_the_place_of_an_earlier_one() {
    check(
        "High 100",
        "shelve 0 5; shelve 1 20; 2 101; 9 101; 21 101",
        &[
            "0 shelved by person",
            "1 shelved by person",
            "2 (activated High 101) shelved",
            "20 unshelved by time",
            "20 activated High 101 late",
        ],
    );
}

#[test]
fn conditions_suppress_while_all_hold() {
    check(
        "HighHigh 120, High 100",
        "0 idle; 1 101; 2 130; 3 busy; 4 99",
        &[
            "1 (activated High 101) suppressed",
            "2 (level HighHigh 130) suppressed",
            "3 activated HighHigh 130 late",
            "4 returned HighHigh 99",
        ],
    );
    check(
        "High 100",
        "0 idle; 1 101; 2 99; 3 busy; 4 101",
        &["1 (activated High 101) suppressed", "2 (returned High 99) suppressed", "4 activated High 101"],
    );
    // Raised before: it returns as ever.
    check("High 100", "1 101; 2 idle; 3 99", &["1 activated High 101", "3 returned High 99"]);
    // What a message says together counts together.
    check("High 100", "1 101; 1 idle; 2 busy", &["1 (activated High 101) suppressed", "2 activated High 101 late"]);
    // By a timer of the rule.
    check(
        "High 100, OnDelay 5 s",
        "0 idle; 1 101; 9 101; 10 busy",
        &["6 (activated High 101) suppressed", "10 activated High 101 late"],
    );
}

#[test]
fn conditions_suppress_a_silence_too() {
    let mut engine = Engine::new(
        Arc::new(guarded(RuleKind::Stale(crate::common::stale("10 s")))),
        instance(),
        &signals(),
        Saved::default(),
        Time(0),
        &mut Vec::new(),
    );
    let all = apply(&mut engine, entries("0 1; 1 idle; tick 1 @20; 30 busy; 31 1"));
    let found: Vec<String> = all.iter().map(|(event, _)| told(event)).collect();
    assert_eq!(found, ["10 (activated - -) suppressed", "30 activated - - late", "31 returned - -"]);
}

#[test]
fn the_gate_opens_when_neither_a_person_nor_a_condition_keeps_it_closed() {
    check(
        "High 100",
        "0 idle; shelve 1 900; 2 101; 3 busy; unshelve 4; 5 99",
        &[
            "1 shelved by person",
            "2 (activated High 101) shelved",
            "4 unshelved by person",
            "4 activated High 101 late",
            "5 returned High 99",
        ],
    );
    check(
        "High 100",
        "0 idle; shelve 1 900; 2 101; unshelve 3; 4 busy; 5 99",
        &[
            "1 shelved by person",
            "2 (activated High 101) shelved",
            "3 unshelved by person",
            "4 activated High 101 late",
            "5 returned High 99",
        ],
    );
}

#[test]
fn a_disabled_rule_looks_at_nothing_and_begins_empty() {
    check(
        "High 100, OnDelay 2 s",
        "0 101; 3 101; disable 4; 5 130; enable 6; 7 101; 8 101; 10 101; 11 99",
        &[
            "2 activated High 101",
            "4 disabled by person",
            "3 returned High 101",
            "6 enabled by person",
            "9 activated High 101",
            "11 returned High 99",
        ],
    );
    // What was shelved and not raised ends without being raised.
    check(
        "High 100",
        "shelve 0 900; 1 101; disable 2; 3 101; enable 4; unshelve 5; 6 101",
        &[
            "0 shelved by person",
            "1 (activated High 101) shelved",
            "2 disabled by person",
            "1 (returned High 101) shelved",
            "4 enabled by person",
            "5 unshelved by person",
            "6 activated High 101",
        ],
    );
    // A timer that ran does not fire.
    check(
        "High 100, OnDelay 5 s",
        "0 101; disable 1; 9 101; enable 10; 11 99",
        &["1 disabled by person", "10 enabled by person"],
    );
}

#[test]
fn what_is_told_says_who_why_and_until_when() {
    let mut engine = engine("High 100");
    let all = apply(&mut engine, entries("shelve 0 900; 1 101; 2 102; unshelve 9; 10 99"));
    let [(shelved, _), (recorded, _), (_, _), (late, evidence), (returned, _)] = &all[..] else { panic!("{all:#?}") };
    assert_eq!(shelved.kind, "asset.alarm.control");
    assert_eq!(shelved.data["actor"], "ann");
    assert_eq!(shelved.data["until"], "1970-01-01T00:15:00Z");
    assert_eq!(shelved.data["once"], false);
    let suppression = &recorded.data["suppression"];
    assert_eq!((&suppression["by"], &suppression["reason"]), (&"ann".into(), &"the belt is changed".into()));
    assert_eq!(suppression["until"], "1970-01-01T00:15:00Z");
    assert_eq!(late.data["since"], "1970-01-01T00:00:01Z");
    assert_eq!(
        late.data["reason"],
        "raised late: it was shelved by ann (the belt is changed), and ann ended that (the belt is changed)"
    );
    assert_eq!(evidence.count, 1, "the newest sample at that moment");
    assert_eq!(evidence.samples[0].value, 102.0);
    // One story: what was recorded, what was raised, and the return.
    assert_eq!((late.correlation, returned.correlation), (recorded.id, recorded.id));
    assert_eq!(late.causation.as_deref(), Some(recorded.id.to_string().as_str()));
    assert_eq!(returned.kind, "asset.alarm");
}

#[test]
fn acts_on_other_rules_and_assets_pass_by() {
    let mut engine = engine("High 100");
    let mut shelve = entries("shelve 0 900");
    let Entry::Mark(Mark::Control(control)) = &mut shelve[0] else { panic!() };
    control.rule = name("gone");
    assert_eq!(apply(&mut engine, shelve.clone()).len(), 0);
    let Entry::Mark(Mark::Control(control)) = &mut shelve[0] else { panic!() };
    (control.rule, control.asset) = (name("hot"), asset("gone"));
    assert_eq!(apply(&mut engine, shelve).len(), 0);
    assert_eq!(apply(&mut engine, entries("1 101")).len(), 1);
}

fn store() -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    store.signal(&asset("m"), &signal("t")).unwrap();
    store.signal(&asset("m"), &signal("other")).unwrap();
    store
}

fn run(store: &Store, contract: &Arc<Contract>, utc: i64) -> Loop {
    let mut rules = Loop::new(store.clone(), Arc::clone(contract), Time(utc * SECOND)).unwrap();
    steps(&mut rules, utc);
    rules
}

fn steps(rules: &mut Loop, utc: i64) -> Option<Span> {
    loop {
        match rules.step(Time(utc * SECOND), Span::ZERO).unwrap() {
            Progress::Worked => {}
            Progress::Idle { until } => return until,
        }
    }
}

fn all(store: &Store) -> Vec<String> {
    store.events_after(0, 1_000).unwrap().iter().map(|stored| told(&stored.event)).collect()
}

#[test]
fn a_shelving_ends_by_a_tick_though_no_sample_ever_came() {
    let store = store();
    let contract = Arc::new(guarded(RuleKind::Limit(limit("High 100"))));
    let mut rules = run(&store, &contract, 0);
    store.append(vec![part(entries("shelve 0 500"))]).unwrap();
    assert!(steps(&mut rules, 100).is_some_and(|until| until <= Span::from_secs(400)));
    drop(rules);
    let mut rules = run(&store, &contract, 500);
    assert_eq!(all(&store), ["0 shelved by person"], "the end itself is not yet later");
    steps(&mut rules, 501);
    assert_eq!(all(&store), ["0 shelved by person", "500 unshelved by time"]);
}

#[test]
fn a_shelving_ends_in_utc_also_over_a_restart() {
    let store = store();
    let contract = Arc::new(guarded(RuleKind::Limit(limit("High 100"))));
    let rules = run(&store, &contract, 0);
    store.append(vec![part(entries("shelve 0 500; 1 101"))]).unwrap();
    drop(rules);
    drop(run(&store, &contract, 100));
    let mut rules = run(&store, &contract, 600);
    let expected = [
        "0 shelved by person",
        "1 (activated High 101) shelved",
        "500 unshelved by time",
        "500 activated High 101 late",
    ];
    assert_eq!(all(&store), expected);
    rules.stop().unwrap();
    store.append(vec![part(entries("700 99"))]).unwrap();
    run(&store, &contract, 700);
    assert_eq!(all(&store)[4..], ["700 returned High 99"]);
}

#[test]
fn an_edited_rule_keeps_its_gate_and_a_removed_one_is_told() {
    let store = store();
    let limits = |text: &str| Arc::new(guarded(RuleKind::Limit(limit(text))));
    store.append(vec![part(entries("shelve 0 900; 1 101"))]).unwrap();
    drop(run(&store, &limits("High 100"), 2));
    // Still beyond: nothing changes. No longer beyond: what was not raised ends without being raised.
    drop(run(&store, &limits("High 99"), 3));
    drop(run(&store, &limits("High 200"), 4));
    store.append(vec![part(entries("5 201"))]).unwrap();
    drop(run(&store, &limits("High 200"), 5));
    // Another kind begins empty, and is as shelved as before.
    let stale = Arc::new(guarded(RuleKind::Stale(crate::common::stale("10 s"))));
    drop(run(&store, &stale, 6));
    store.append(vec![part(entries("6 1; tick 7 @30"))]).unwrap();
    drop(run(&store, &stale, 30));
    let none = Arc::new(contract(&["m"], &[], Clock::Recorded));
    drop(run(&store, &none, 40));
    let expected = [
        "0 shelved by person",
        "1 (activated High 101) shelved",
        "1 (returned High 101) shelved",
        "5 (activated High 201) shelved",
        "5 (returned High 201) shelved",
        "16 (activated - -) shelved",
        "16 (returned - -) shelved",
        "40 unshelved by rule",
    ];
    assert_eq!(all(&store), expected);
    // The rule comes back: nothing is left of what was done to it.
    store.append(vec![part(entries("50 101"))]).unwrap();
    drop(run(&store, &limits("High 100"), 50));
    assert_eq!(all(&store)[8..], ["50 activated High 101"]);
}

#[test]
fn a_rule_whose_conditions_are_taken_away_raises_what_it_withheld() {
    let store = store();
    let kind = RuleKind::Limit(limit("High 100"));
    store.append(vec![part(entries("0 idle; 1 101"))]).unwrap();
    drop(run(&store, &Arc::new(guarded(kind.clone())), 1));
    let plain = Arc::new(contract(&["m"], &[("hot", kind)], Clock::Recorded));
    store.append(vec![part(entries("2 102"))]).unwrap();
    drop(run(&store, &plain, 2));
    assert_eq!(all(&store), ["1 (activated High 101) suppressed", "2 activated High 101 late"]);
}
