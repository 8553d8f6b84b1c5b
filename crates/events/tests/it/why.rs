//! Why a rule had not fired: every answer of every kind of rule, and what an event says its rule looked at.

use crate::{
    common::{SECOND, asset, contract, limit, name, part, signal, stale, timeline},
    context::{plant, store},
    gate::act,
};
use andon_contract::{
    Contract,
    contract::{
        Clock, Condition, CountKind, CounterSettings, Every, Guard, Learn, Lines, RateSettings, RuleKind, RunRule,
        SigmaFrom, SpcSettings, StateSettings, TableRow, TableSettings, TableTest, TableWhat, Test, TimeClass, What,
        WhenStale, WindowFunction, WindowSettings, Word,
    },
};
use andon_events::{
    Loop, Progress,
    why::{Answer, why_not},
};
use andon_model::{Entry, Mark, Time, span::Span};
use andon_store::{ObjectRow, RevisionRow, Store, Write};
use serde_json::Value as Json;
use std::sync::Arc;

fn at(seconds: i64) -> Time {
    Time(seconds * SECOND)
}

fn of(kind: RuleKind) -> Arc<Contract> {
    Arc::new(contract(&["m"], &[("hot", kind)], Clock::Recorded))
}

fn limits(text: &str) -> Arc<Contract> {
    of(RuleKind::Limit(limit(text)))
}

fn other(test: Test) -> Condition {
    Condition { what: What::Signal(signal("other")), test }
}

/// A timeline with acts of persons, `connected` and `disconnected`.
fn entries(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "shelve" | "once" | "unshelve" | "disable" | "enable" => act(&words),
            "connected" => Entry::Mark(Mark::Connected),
            "disconnected" => Entry::Mark(Mark::Disconnected("the cable".into())),
            _ => timeline(line).remove(0),
        }
    };
    text.split(';').map(str::trim).map(entry).collect()
}

fn run(store: &Store, contract: &Arc<Contract>) {
    let mut rules = Loop::new(store.clone(), Arc::clone(contract), Time(0)).unwrap();
    while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
}

fn asked(contract: &Arc<Contract>, text: &str, second: i64) -> Answer {
    let store = store();
    for entry in entries(text) {
        store.append(vec![part(vec![entry])]).unwrap();
    }
    run(&store, contract);
    why_not(&store, contract, &name("hot"), &asset("m"), at(second)).unwrap()
}

fn word(answer: &Answer, number: usize) -> String {
    let finding = &answer.findings[number];
    format!("{}: {}", serde_json::to_value(finding.reason).unwrap().as_str().unwrap(), finding.text)
}

/// The answers begin with these; times are of 1970-01-01.
fn check(contract: &Arc<Contract>, text: &str, second: i64, expected: &[&str]) {
    let answer = asked(contract, text, second);
    let found: Vec<String> =
        (0..answer.findings.len()).map(|n| word(&answer, n).replace("1970-01-01T00:", "")).collect();
    for (number, wanted) in expected.iter().enumerate() {
        let there = found.get(number).is_some_and(|line| line.starts_with(wanted));
        assert!(there, "{text}: at {number} is no {wanted:?} in\n{}", found.join("\n"));
    }
}

#[test]
fn a_value_inside_its_limits_and_one_whose_delay_runs() {
    check(
        &limits("HighHigh 120, High 100"),
        "0 90; 5 95; 9 130",
        6,
        &["not-beyond: t was 95 mm/s at 00:05Z: not beyond HighHigh 120, High 100"],
    );
    check(
        &limits("High 100, OnDelay 60 s"),
        "0 90; 10 110; 20 111; 30 99",
        25,
        &["delay-runs: t 111 mm/s was above High 100 mm/s since 00:10Z; OnDelay 1 min had not passed: it would have \
         fired at 01:10Z"],
    );
    check(
        &limits("Low 10, OnDelay 60 s"),
        "0 90; 10 5",
        25,
        &["delay-runs: t 5 mm/s was below Low 10 mm/s since 00:10Z"],
    );
}

#[test]
fn what_had_fired_is_named() {
    let contract = limits("High 100, Deadband 20, OnDelay 10 s");
    let text = "0 90; 10 110; 25 111; 40 90; 100 50";
    let answer = asked(&contract, text, 50);
    assert_eq!(answer.findings[0].event, answer.fired);
    assert!(answer.fired.is_some());
    check(&contract, text, 50, &["fired: it had fired: activated High at 00:20Z, and the alarm had not returned"]);
    // Before it, and after its return.
    check(&contract, text, 19, &["delay-runs: "]);
    check(&contract, text, 100, &["not-beyond: t was 50 mm/s at 01:40Z: not beyond High 100"]);
    assert_eq!(asked(&contract, text, 19).fired, None);
    // An alarm of long ago, held by the deadband alone.
    let mut long = String::from("0 90; 10 110; 25 111");
    for second in 1..200 {
        long = format!("{long}; {} 90", second * 60);
    }
    check(&contract, &long, 199 * 60, &["fired: "]);
}

#[test]
fn samples_that_decide_nothing() {
    let contract = limits("High 100");
    check(
        &contract,
        "0 90; 5 130!",
        6,
        &[
            "bad-quality: the newest sample of m/t, at 00:05Z, is bad and decides nothing; the last good value was 90 \
             at 00:00Z",
            "not-beyond: t was 90 mm/s",
        ],
    );
    check(
        &contract,
        "0 90; 20 90; 10 130; 30 90",
        25,
        &[
            "late: the sample of m/t at 00:10Z (130) came late and was skipped: one of 00:20Z had come before it",
            "not-beyond: t was 90 mm/s at 00:20Z",
        ],
    );
    check(&contract, "0 other 1", 6, &["no-sample: m/t has no sample up to 00:06Z"]);
    check(
        &contract,
        "0 90; 1 90; 2 90; 3 90",
        3000,
        &[
            "not-beyond: t was 90 mm/s at 00:03Z",
            "silent: m/t has no sample since 00:03Z; it usually has one every 1 s",
        ],
    );
    check(
        &limits("High 100, OnDelay 10 s"),
        "connected; 0 90; 5 130; disconnected",
        600,
        &[
            "disconnected: the source plc is away: its clock stands at 00:05Z, and so do all delays",
            "delay-runs: t 130 mm/s was above High 100 mm/s since 00:05Z; OnDelay 10 s had not passed: it would have \
             fired at 00:15Z, but the clock of its source had not passed that",
        ],
    );
}

#[test]
fn persons_and_conditions_that_keep_it_quiet() {
    let contract = limits("High 100");
    check(
        &contract,
        "0 90; shelve 2 50; 5 130; 60 90",
        6,
        &[
            "shelved: ann had shelved its alarms at 00:02Z until 00:50Z: the belt is changed",
            "shelved: it was recorded at 00:05Z and not raised: shelved by ann (the belt is changed)",
        ],
    );
    check(
        &contract,
        "0 90; disable 2; 5 130",
        6,
        &["disabled: ann had disabled it for this asset at 00:02Z: the belt is changed"],
    );
    check(&contract, "0 90; disable 2; 5 130; enable 7; 8 90; 9 80", 9, &["not-beyond: "]);
    let suppressed = Arc::new(crate::gate::guarded(RuleKind::Limit(limit("High 100"))));
    check(
        &suppressed,
        "0 other 1; 5 130",
        6,
        &[
            "suppressed: it was recorded at 00:05Z and not raised: suppressed (other)",
            "suppressed: its alarms are suppressed: other is 1: it was 1 since 00:00Z",
        ],
    );
}

#[test]
fn conditions_on_signals() {
    let guard = Guard { when: vec![other(Test::Is(Word::Number(6.0)))], ..Guard::default() };
    let contract = plant("High 100", &guard);
    check(
        &contract,
        "0 other 1; 5 130",
        6,
        &[
            "condition-failed: when other is 6: it was 1 since 00:00Z did not hold",
            "not-beyond: t 130 mm/s at 00:05Z is beyond High 100, and nothing began by it",
        ],
    );
    check(
        &contract,
        "5 130",
        6,
        &[
            "no-sample: m/other has no sample",
            "condition-unknown: when other is 6 did not hold: other has no good sample",
        ],
    );
    // What was said long before is known.
    let mut long = String::from("0 other 6");
    for second in 1..100 {
        long = format!("{long}; {} 90", second * 3_600);
    }
    check(&contract, &long, 99 * 3_600, &["not-beyond: t was 90 mm/s"]);
}

#[test]
fn conditions_on_the_context() {
    let field = |name: &str, field: &str| What::Context { name: name.into(), field: vec![field.into()] };
    let when = vec![Condition { what: field("order", "state"), test: Test::Is(Word::Text("Running".into())) }];
    let guard = Guard { when, when_stale: WhenStale::Ignore, max_age: Some(Span::from_secs(60)), ..Guard::default() };
    let contract = plant("High 100", &guard);
    let told = |objects: Vec<ObjectRow>, text: &str, second: i64| {
        let store = store();
        if !objects.is_empty() {
            let mut writes = vec![Write::ContextRevision(RevisionRow::new(at(0), "erp/objects", None))];
            writes.extend(objects.into_iter().map(|row| Write::Object(Box::new(row))));
            store.commit(writes).unwrap();
            store.mark_context(&crate::common::site(), 1).unwrap();
        }
        store.append(vec![part(entries(text))]).unwrap();
        run(&store, &contract);
        why_not(&store, &contract, &name("hot"), &asset("m"), at(second)).unwrap()
    };
    let order = |text: &str| vec![crate::context::object(text)];
    assert_eq!(
        word(&told(Vec::new(), "5 130", 6), 0),
        "context-unknown: when order.state is Running did not hold: no order is known for m at 1970-01-01T00:00:06Z \
         (revision 0)"
    );
    assert!(word(&told(order("order 7 0 100 Held"), "5 130", 6), 0).starts_with(
        "condition-failed: when order.state is Running: it was Held in ProductionOrder/hamburg/7 since 1970"
    ));
    assert!(word(&told(order("order 7 0 - Running"), "500 130", 506), 0).starts_with(
        "context-stale: when order.state is Running did not hold: erp/objects is silent since 1970-01-01T00:00:00Z"
    ));
}

#[test]
fn numbers_that_are_made_of_samples() {
    let deviation = of(RuleKind::Deviation(limit("High 10")));
    check(&deviation, "5 130", 6, &["no-sample: m/other", "no-setpoint: no good setpoint was known: other"]);
    check(
        &deviation,
        "0 other 100; 5 105; 9 104",
        7,
        &["not-beyond: t 105 less other 100, the deviation, was 5 mm/s at 00:05Z: not beyond High 10"],
    );
    let rate =
        of(RuleKind::RateOfChange(RateSettings { per: Span::from_secs(1), over: None, levels: limit("High 10") }));
    check(&rate, "5 130", 6, &["learning: there is no rate yet: it takes two good samples"]);
    check(&rate, "0 0; 5 10; 9 90", 6, &["not-beyond: the rate of t per 1 s, from 00:00Z on, was 2 mm/s at 00:05Z"]);
    let window = of(RuleKind::Window(WindowSettings {
        function: WindowFunction::Mean,
        over: Span::from_secs(10),
        every: Span::from_secs(10),
        lateness: Span::ZERO,
        at_least: 2,
        levels: limit("High 100"),
    }));
    check(
        &window,
        "0 90; 5 100; 11 500; 12 500",
        12,
        &[
            "waits: the window from 00:10Z to 00:20Z was open with 2 samples; it is judged at 00:20Z",
            "not-beyond: mean of t over the window from 00:00Z to 00:10Z, 2 good samples, was 95 mm/s at 00:10Z",
        ],
    );
    check(
        &window,
        "0 90; 11 500; 12 1",
        12,
        &["waits: ", "not-beyond: the window from 00:00Z to 00:10Z had 1 good samples, fewer than 2"],
    );
    check(&window, "1 90", 2, &["waits: "]);
}

#[test]
fn charts() {
    let set = SpcSettings {
        rules: vec![(RunRule::Nelson1, 500), (RunRule::Nelson3, 300)],
        subgroup: 1,
        given: Some(Lines { centre: 0.0, sigma: 1.0 }),
        learn: None,
        unit: "mm/s".into(),
    };
    check(
        &of(RuleKind::Spc(set.clone())),
        "0 1; 1 2",
        2,
        &[
            "not-beyond: nelson-1 (a point beyond 3 sigma) is not made by the newest points of t: 2; centre 0, sigma 1",
            "not-beyond: nelson-3 looks at 6 points, and there are 2",
        ],
    );
    let learn = Some(Learn { samples: 20, sigma: SigmaFrom::Range });
    check(
        &of(RuleKind::Spc(SpcSettings { given: None, learn, ..set })),
        "0 1; 1 2",
        2,
        &["learning: the lines are not learned: 2 of 20 good samples so far"],
    );
}

#[test]
fn silences() {
    let contract = of(RuleKind::Stale(stale("60 s")));
    check(
        &contract,
        "0 90; 5 91",
        20,
        &["delay-runs: t was heard at 00:05Z (receive time), its newest time is 00:05Z; silent for 1 min it would \
             have fired at 01:05Z"],
    );
    check(&contract, "5 91; tick 70 @ 70", 80, &["fired: it had fired: activated"]);
    check(&contract, "5 91r", 20, &["no-sample: t was never heard"]);
}

#[test]
fn states_and_counters() {
    let set = StateSettings {
        names: None,
        classes: [("1".to_owned(), TimeClass::Production), ("2".to_owned(), TimeClass::Delay)].into(),
        at_least: Span::from_secs(60),
        reason: None,
        cycle: None,
    };
    let states = of(RuleKind::State(Arc::new(set)));
    check(&states, "0 1; 5 1", 6, &["not-beyond: t is 1 since 00:00Z: it counts as production, which is no downtime"]);
    check(
        &states,
        "0 1; 5 2; 8 2",
        9,
        &["delay-runs: t is 2, which counts as down (delay), since 00:05Z; at-least 1 min"],
    );
    check(&states, "0 1; 5 2; 80 2; 90 1", 85, &["fired: "]);
    let set = CounterSettings {
        counts: vec![CountKind::Produced],
        rollover: None,
        max_step: None,
        gap: None,
        every: Every::Count(10, Span::from_secs(60)),
        run_time: None,
    };
    let counters = of(RuleKind::Counter(Arc::new(set)));
    check(
        &counters,
        "0 1; 5 3",
        6,
        &["delay-runs: t counted 2 since 00:05Z; every is 10, or 1 min: it would be told at 01:05Z"],
    );
    check(&counters, "0 1", 6, &["not-beyond: t was 1 at 00:00Z, and no step came"]);
    check(&counters, "0 other 1", 6, &["no-sample: m/t", "learning: t (produced) has no good whole number yet"]);
}

#[test]
fn tables_row_by_row() {
    let above = |input, limit| TableTest { what: TableWhat::Input(input), test: Test::Above(limit) };
    let row = |outcome: &str, when| TableRow { outcome: outcome.into(), when, severity: 500 };
    let set = TableSettings {
        values: Vec::new(),
        rows: vec![row("both", vec![above(0, 100.0), above(1, 100.0)]), row("one", vec![above(0, 200.0)])],
        first_only: false,
        on_delay: Span::from_secs(10),
        off_delay: Span::ZERO,
    };
    let table = of(RuleKind::Table(Arc::new(set)));
    check(
        &table,
        "0 110; 0 other 5; 3 110",
        2,
        &[
            "not-beyond: row 1 (both) does not hold: other is above 100, and it was 5",
            "not-beyond: row 2 (one) does not hold: t is above 200, and it was 110",
        ],
    );
    check(&table, "0 110; 0 other 105; 3 110", 2, &["delay-runs: a row of both held since 00:00Z; OnDelay 10 s"]);
}

#[test]
fn a_rule_that_did_not_hold() {
    let contract = limits("High 100");
    let store = store();
    let answer = why_not(&store, &contract, &name("cold"), &asset("m"), at(5)).unwrap();
    assert!(word(&answer, 0).starts_with("no-rule: there was no rule cold under the contract"));
    let answer = why_not(&store, &contract, &name("hot"), &asset("n"), at(5)).unwrap();
    assert!(word(&answer, 0).starts_with("no-rule: the rule hot did not hold for n"));
}

#[test]
fn an_event_says_what_its_rule_looked_at() {
    let what = What::Context { name: "order".into(), field: vec!["state".into()] };
    let guard = Guard {
        when: vec![other(Test::Is(Word::Number(6.0)))],
        suppress: vec![Condition { what, test: Test::Is(Word::Text("Held".into())) }],
        ..Guard::default()
    };
    let contract = plant("High 100, Deadband 5, OnDelay 10 s, OffDelay 5 s, ReAlarmTime 60 s", &guard);
    let store = store();
    let order = crate::context::object("order 7 0 - Running");
    let told = RevisionRow::new(at(0), "erp/objects", Some(Span::from_secs(120)));
    store.commit(vec![Write::ContextRevision(told), Write::Object(Box::new(order))]).unwrap();
    store.mark_context(&crate::common::site(), 1).unwrap();
    store.append(vec![part(entries("2 other 6; 5 90; 10 110; 25 112; 30 90; 40 90"))]).unwrap();
    run(&store, &contract);
    let events = store.events_after(0, 10).unwrap();
    let saw = |number: usize| -> Json {
        let (_, evidence) = store.event(events[number].event.id).unwrap().unwrap();
        evidence.unwrap().saw
    };
    let activated = saw(0);
    assert_eq!(activated["settings"]["High"]["value"], 100.0);
    assert_eq!(activated["settings"]["OnDelay"], "10 s");
    assert_eq!(activated["timers"][0]["timer"], "OnDelay");
    assert_eq!(activated["timers"][0]["from"], "1970-01-01T00:00:10Z");
    assert_eq!(activated["timers"][0]["to"], "1970-01-01T00:00:20Z");
    assert_eq!(activated["timers"][1]["state"], "runs");
    assert_eq!(activated["conditions"][0]["condition"], "other is 6");
    assert_eq!(
        (&activated["conditions"][0]["value"], &activated["conditions"][0]["held"]),
        (&6.0.into(), &true.into())
    );
    assert_eq!(activated["conditions"][1]["of"], "suppress");
    assert_eq!(
        (&activated["conditions"][1]["value"], &activated["conditions"][1]["held"]),
        (&"Running".into(), &false.into())
    );
    let object = &activated["context"]["objects"][0];
    assert_eq!(object["object"], "ProductionOrder/hamburg/7");
    assert_eq!(
        (&object["origin"], &object["age"], &object["stale"]),
        (&"erp/objects".into(), &"25 s".into(), &false.into())
    );
    let returned = saw(1);
    assert_eq!(returned["timers"][0]["timer"], "OffDelay");
    assert_eq!(returned["timers"][0]["from"], "1970-01-01T00:00:30Z");
}
