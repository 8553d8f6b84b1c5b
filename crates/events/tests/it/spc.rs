//! Control charts: textbook sequences, a naive reference on random series, and what learned lines are.

use crate::{
    common::{SECOND, apply, contract, engine, instance, part, sample, signal, signals, timeline},
    properties::{cuts, drain, entries, neither_cut_nor_crash, steps, store},
};
use andon_contract::contract::{
    Clock, Condition, Learn, Lines, RuleKind, RunPattern, RunRule, SigmaFrom, SpcSettings, Test, What,
};
use andon_events::{
    Engine, Loop, Saved,
    rules::spc::{Learning, run},
};
use andon_model::{Entry, Event, Quality, Time, span::Span};
use andon_store::rows::Evidence;
use proptest::prelude::*;
use std::sync::Arc;

/// A chart of these run rules with the centre 0 and the sigma 1.
fn chart(rules: &[RunRule]) -> SpcSettings {
    SpcSettings {
        rules: rules.iter().map(|rule| (*rule, 500)).collect(),
        subgroup: 1,
        given: Some(Lines { centre: 0.0, sigma: 1.0 }),
        learn: None,
        unit: "mm/s".into(),
    }
}

fn learning(samples: u32, sigma: SigmaFrom) -> SpcSettings {
    SpcSettings { given: None, learn: Some(Learn { samples, sigma }), ..chart(&[RunRule::Nelson1]) }
}

/// `second change outcome value setting`.
fn line(event: &Event) -> String {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
    let of = if event.kind == "asset.condition" { "/lines/sigma/value" } else { "/setting/value" };
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
    let at = event.time.0 as f64 / 1e9;
    format!("{at} {} {} {} {}", text("/change"), text("/outcome"), text("/value/value"), text(of))
}

fn lines(events: &[(Event, Evidence)]) -> Vec<String> {
    events.iter().map(|(event, _)| line(event)).collect()
}

fn check(set: &SpcSettings, text: &str, expected: &[&str]) {
    let mut engine = engine(RuleKind::Spc(set.clone()));
    assert_eq!(lines(&apply(&mut engine, timeline(text))), expected, "{set:?}\n{text}");
}

fn points(values: &[f64]) -> Vec<Entry> {
    let at = |(second, value): (i64, &f64)| sample(1, second * SECOND, second * SECOND, Quality::GOOD, *value);
    (0..).zip(values).map(|pair| Entry::Sample(at(pair))).collect()
}

/// 20 samples, 10 and 12 in turn.
fn twenty() -> String {
    let lines: Vec<String> = (0..20).map(|i| format!("{i} {}", 10 + 2 * (i % 2))).collect();
    lines.join("\n")
}

/// The numbers of the points at which a run rule is violated.
fn violated(rule: RunRule, values: &[f64]) -> Vec<usize> {
    let lines = Lines { centre: 0.0, sigma: 1.0 };
    (1..=values.len()).filter(|end| run(rule.pattern(), lines, &values[..*end]).is_some()).collect()
}

#[test]
fn the_textbook_sequences() {
    use RunRule::*;
    // Nelson 1984, the eight figures; the points are counted from 1.
    assert_eq!(violated(Nelson1, &[0.0, 3.0, 3.1, 0.0, -3.1]), [3, 5]);
    assert_eq!(violated(Nelson2, &[0.1; 10]), [9, 10]);
    assert_eq!(violated(Nelson2, &[-0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0]), Vec::<usize>::new());
    assert_eq!(violated(Nelson3, &[-1.0, -0.8, -0.5, 0.0, 0.2, 0.3, 0.3]), [6]);
    assert_eq!(violated(Nelson3, &[1.0, 0.8, 0.8, 0.5, 0.0, -0.2, -0.3]), Vec::<usize>::new());
    let turns: Vec<f64> = (0..15).map(|i| if i % 2 == 0 { 0.2 } else { -0.2 }).collect();
    assert_eq!(violated(Nelson4, &turns), [14, 15]);
    assert_eq!(violated(Nelson5, &[2.1, 0.0, 2.2]), [3]);
    assert_eq!(violated(Nelson5, &[2.1, 2.1]), [2]);
    // On either side, or with the newest point back: no pattern.
    assert_eq!(violated(Nelson5, &[2.1, 0.0, -2.2, 0.0, 0.0, 2.1]), Vec::<usize>::new());
    assert_eq!(violated(Nelson5, &[2.1, 2.2, 0.0]), [2]);
    assert_eq!(violated(Nelson6, &[1.1, 1.2, 0.9, 1.3, 1.4, 0.5]), [5]);
    assert_eq!(violated(Nelson7, &[1.0; 16]), [15, 16]);
    assert_eq!(violated(Nelson8, &[1.1, -1.1, 1.1, -1.1, 1.1, 1.1, 1.1, 1.1, 1.0]), [8]);
    assert_eq!(violated(Nelson8, &[1.1; 9]), Vec::<usize>::new());
    // Western Electric, Statistical Quality Control Handbook 1956, pages 25 to 28.
    assert_eq!(violated(WesternElectric1, &[3.0, -3.1]), [2]);
    assert_eq!(violated(WesternElectric2, &[-2.1, -0.5, -2.1]), [3]);
    assert_eq!(violated(WesternElectric3, &[-1.1, -1.1, 0.0, -1.1, -1.1]), [5]);
    assert_eq!(violated(WesternElectric4, &[-0.1; 9]), [8, 9]);
}

/// Each pattern as its author says it, over a window that is looked at as a whole.
fn naive(pattern: RunPattern, points: &[f64]) -> bool {
    let window = |count: usize| points.len().checked_sub(count).map(|from| &points[from..]);
    let newest = *points.last().unwrap();
    match pattern {
        RunPattern::Beyond { points: wanted, of, sigma } => [1.0, -1.0].iter().any(|side| {
            let beyond = points.iter().rev().take(of).filter(|x| **x * side > sigma).count();
            newest * side > sigma && beyond >= wanted
        }),
        RunPattern::Trend(count) => window(count).is_some_and(|w| {
            let mut up = w.to_vec();
            up.sort_by(f64::total_cmp);
            up.dedup();
            let down: Vec<f64> = up.iter().rev().copied().collect();
            w == up || w == down
        }),
        RunPattern::Alternating(count) => window(count).is_some_and(|w| {
            let sign = |p: &[f64]| f64::from(i8::from(p[1] > p[0]) - i8::from(p[1] < p[0]));
            let signs: Vec<f64> = w.windows(2).map(sign).collect();
            signs.windows(2).all(|p| p[0] * p[1] < 0.0)
        }),
        RunPattern::Within(count) => window(count).is_some_and(|w| w.iter().all(|x| x.abs() <= 1.0)),
        RunPattern::Without(count) => window(count).is_some_and(|w| {
            w.iter().all(|x| x.abs() > 1.0) && w.iter().any(|x| *x > 0.0) && w.iter().any(|x| *x < 0.0)
        }),
    }
}

/// Points that make patterns often: few values, runs of one side, trends.
fn series() -> impl Strategy<Value = Vec<f64>> {
    let any = (-14_i32..15).prop_map(|x| f64::from(x) / 4.0);
    let piece = prop_oneof![
        4 => prop::collection::vec(any.clone(), 1..12),
        1 => prop::collection::vec((1_i32..5).prop_map(|x| f64::from(x) / 4.0), 1..20),
        1 => prop::collection::vec(prop_oneof![Just(1.25), Just(-1.5)], 1..12),
        1 => (any, 1_u8..9).prop_map(|(from, n)| (0..n).map(|i| from + f64::from(i) / 8.0).collect()),
        1 => (1_usize..20).prop_map(|n| (0..n).map(|i| if i % 2 == 0 { 0.5 } else { -0.25 }).collect()),
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_agrees(values in series()) {
        let mut engine = engine(RuleKind::Spc(chart(&RunRule::ALL)));
        let found: Vec<String> = apply(&mut engine, points(&values)).iter()
            .map(|(event, _)| format!("{} {} {}", event.time.0 / SECOND, event.data["change"], event.data["outcome"]))
            .collect();
        let mut expected = Vec::new();
        let mut active = [false; RunRule::ALL.len()];
        for end in 1..=values.len() {
            for (rule, active) in RunRule::ALL.iter().zip(&mut active) {
                let now = naive(rule.pattern(), &values[..end]);
                if now != *active {
                    let change = if now { "activated" } else { "returned" };
                    expected.push(format!("{} {change:?} {:?}", end - 1, rule.word()));
                }
                *active = now;
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn neither_cut_nor_crash_changes_a_chart(
        steps in steps(),
        cuts in cuts(),
        subgroup in 1_usize..4,
        learn in prop::option::of(20_u32..40),
        given in prop::bool::ANY,
    ) {
        let learn = learn.map(|samples| Learn { samples, sigma: SigmaFrom::Range });
        let given = (given || learn.is_none()).then_some(Lines { centre: 60.0, sigma: 20.0 });
        let set = SpcSettings { subgroup, given, learn, ..chart(&RunRule::ALL) };
        let contract = Arc::new(contract(&["m"], &[("chart", RuleKind::Spc(set))], Clock::Recorded));
        neither_cut_nor_crash(&contract, &entries(&steps), &cuts)?;
    }
}

#[test]
fn an_alarm_lasts_as_long_as_its_pattern() {
    let set = chart(&[RunRule::Nelson1, RunRule::Nelson5]);
    check(
        &set,
        "0 0\n1 2.5\n2 3.5\n3 2.5\n4 0\n5 -4",
        &[
            "2 activated nelson-1 3.5 3",
            "2 activated nelson-5 3.5 2",
            "3 returned nelson-1 2.5 3",
            "4 returned nelson-5 0 2",
            "5 activated nelson-1 -4 -3",
        ],
    );
}

#[test]
fn only_good_samples_that_are_not_late_are_points() {
    let set = chart(&[RunRule::Nelson1]);
    check(&set, "0 4!\n1 4?\n2 4u\n3 0", &[]);
    check(&set, "10 0\n9 4\n11 0", &[]);
    // What is not good ends nothing, and neither does a late one.
    check(&set, "10 4\n11 0!\n12 0?\n9 0\n13 0", &["10 activated nelson-1 4 3", "13 returned nelson-1 0 3"]);
    // Of the same time both are points, in the order of the log.
    check(&set, "10 4\n10 0", &["10 activated nelson-1 4 3", "10 returned nelson-1 0 3"]);
    // Time alone changes nothing: a chart has no timers.
    check(&set, "0 4\ntick 1000\n2000 other", &["0 activated nelson-1 4 3"]);
    // A run goes on over what is no point.
    let two = chart(&[RunRule::WesternElectric2]);
    check(&two, "0 2.5\n1 9!\n2 2.5", &["2 activated western-electric-2 2.5 2"]);
}

#[test]
fn what_is_taken_while_a_condition_does_not_hold_is_no_point() {
    let mut contract = contract(&["m"], &[("chart", RuleKind::Spc(chart(&[RunRule::Nelson5])))], Clock::Recorded);
    for settings in contract.rules.values_mut().flat_map(|rule| rule.assets.values_mut()) {
        let runs = Condition { what: What::Signal(signal("other")), test: Test::Above(0.0) };
        Arc::make_mut(settings).guard.when = vec![runs];
    }
    let mut engine =
        Engine::new(Arc::new(contract), instance(), &signals(), Saved::default(), Time(0), &mut Vec::new());
    let of = |number, second: i64, value| {
        Entry::Sample(sample(number, second * SECOND, second * SECOND, Quality::GOOD, value))
    };
    let entries = vec![
        // Nothing is known of the condition yet.
        of(1, 0, 2.5),
        of(2, 1, 1.0),
        of(1, 2, 2.5),
        // The asset stands: what it says then neither fills nor breaks the run, and the alarm behind it stays.
        of(2, 3, 0.0),
        of(1, 4, -9.0),
        of(2, 5, 1.0),
        of(1, 6, 2.5),
        of(2, 7, 0.0),
        of(1, 8, 0.0),
        of(2, 9, 1.0),
        of(1, 10, 0.0),
    ];
    let expected = ["6 activated nelson-5 2.5 2", "10 returned nelson-5 0 2"];
    assert_eq!(lines(&apply(&mut engine, entries)), expected);
}

#[test]
fn the_evidence_is_the_run() {
    let mut engine = engine(RuleKind::Spc(chart(&[RunRule::Nelson6])));
    let events = apply(&mut engine, timeline("0 0\n1 1.5\n2 0\n3 1.5\n4 9!\n5 1.5\n6 1.5\n7 0"));
    let found: Vec<(u64, u64, u64)> = events.iter().map(|(_, e)| (e.from.offset, e.to.offset, e.count)).collect();
    assert_eq!(found, [(1, 6, 5), (6, 7, 2)]);
    let (first, evidence) = &events[0];
    assert_eq!(first.data["since"], "1970-01-01T00:00:01Z");
    assert_eq!(first.data["severity"], 500);
    assert_eq!(first.data["condition"], "spc");
    assert_eq!(first.data["setting"]["unit"], "mm/s");
    assert_eq!(
        evidence.samples.iter().map(|s| s.value.as_f64().unwrap()).collect::<Vec<_>>(),
        [1.5, 0.0, 1.5, 1.5, 1.5]
    );
    let (second, _) = &events[1];
    assert_eq!((second.correlation, second.causation.clone()), (first.id, Some(first.id.to_string())));
}

#[test]
fn a_subgroup_is_a_point_when_it_is_whole() {
    let mut set = chart(&[RunRule::Nelson1]);
    set.subgroup = 3;
    check(
        &set,
        "0 3\n1 3\n2 3\n3 4\n4 4\n5 99!\n6 4\n7 0\n8 0\n9 0.3",
        &["6 activated nelson-1 4 3", "9 returned nelson-1 0.09999999999999999 3"],
    );
    let mut engine = engine(RuleKind::Spc(set));
    let events = apply(&mut engine, timeline("0 3\n1 3\n2 3\n3 4\n4 4\n5 5"));
    assert_eq!((events[0].1.from.offset, events[0].1.to.offset, events[0].1.count), (3, 5, 3));
}

#[test]
fn lines_are_learned_and_told() {
    // The moving range is 2 everywhere, so sigma is 2 / 1.128.
    let text = twenty();
    let mut engine = engine(RuleKind::Spc(learning(20, SigmaFrom::Range)));
    let events = apply(&mut engine, timeline(&text));
    let [(event, evidence)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind.as_str(), event.data["change"].as_str()), ("asset.condition", Some("learned")));
    assert_eq!(event.time, Time(19 * SECOND));
    assert_eq!((event.data["samples"].as_u64(), evidence.count), (Some(20), 1));
    assert_eq!(event.data["lines"]["centre"]["value"], "11");
    let sigma: f64 = event.data["lines"]["sigma"]["value"].as_str().unwrap().parse().unwrap();
    assert!((sigma - 2.0 / 1.128).abs() < 1e-12);
    let ucl = event.data["lines"]["UCL"]["value"].as_str().unwrap().to_owned();
    assert!((ucl.parse::<f64>().unwrap() - (11.0 + 6.0 / 1.128)).abs() < 1e-12);
    // From then on they are in force, and the alarm says so.
    let events = apply(&mut engine, timeline("20 16\n21 17\n22 11"));
    assert_eq!(lines(&events), [format!("21 activated nelson-1 17 {ucl}"), format!("22 returned nelson-1 11 {ucl}")]);
    // Of all samples: the standard deviation of ten 10 and ten 12 is sqrt(20 / 19).
    let mut engine = crate::common::engine(RuleKind::Spc(learning(20, SigmaFrom::Sample)));
    let events = apply(&mut engine, timeline(&text));
    let sigma: f64 = events[0].0.data["lines"]["sigma"]["value"].as_str().unwrap().parse().unwrap();
    assert!((sigma - (20.0_f64 / 19.0).sqrt()).abs() < 1e-12);
}

#[test]
fn lines_of_means_are_learned_from_the_ranges_of_subgroups() {
    // Subgroups of 1, 2, 3 and 3, 4, 5 in turn: the mean is 3, the range 2, and d2 of three is 1.693.
    let values: Vec<f64> = (0..30).map(|i| f64::from(i % 3 + 1 + 2 * ((i / 3) % 2))).collect();
    let mut set = learning(30, SigmaFrom::Range);
    set.subgroup = 3;
    let events = apply(&mut engine(RuleKind::Spc(set)), points(&values));
    let told = |name: &str| events[0].0.data["lines"][name]["value"].as_str().unwrap().parse::<f64>().unwrap();
    assert!((told("centre") - 3.0).abs() < 1e-12);
    assert!((told("sigma") - 2.0 / 1.693 / 3.0_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn until_lines_are_learned_the_given_ones_hold() {
    let text = twenty();
    let mut set = learning(20, SigmaFrom::Range);
    set.given = Some(Lines { centre: 0.0, sigma: 1.0 });
    let found = lines(&apply(&mut engine(RuleKind::Spc(set)), timeline(&text)));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "0 activated nelson-1 10 3");
    assert!(found[1].starts_with("19 learned") && found[2].starts_with("19 returned nelson-1 12"), "{found:?}");
}

#[test]
fn nothing_is_learned_from_equal_samples() {
    let flat: Vec<f64> = vec![0.1; 50];
    let mut engine = engine(RuleKind::Spc(learning(20, SigmaFrom::Range)));
    assert!(apply(&mut engine, points(&flat)).is_empty());
    let at = |second: i64, value| Entry::Sample(sample(1, second * SECOND, 0, Quality::GOOD, value));
    // The first that differs ends the learning, and is judged by what was learned.
    let found: Vec<String> =
        apply(&mut engine, vec![at(60, 0.2)]).iter().map(|(event, _)| event.kind.clone()).collect();
    assert_eq!(found, ["asset.condition", "asset.alarm"]);
    // Values at the end of what f64 holds never end the learning, and never panic.
    let mut engine = crate::common::engine(RuleKind::Spc(learning(20, SigmaFrom::Sample)));
    let huge: Vec<f64> = (0..60).map(|i| if i % 2 == 0 { f64::MAX } else { f64::MIN }).collect();
    assert!(apply(&mut engine, points(&huge)).is_empty());
    // Nor do they cost the state what was learned: JSON has no infinity.
    let mut learned = Learning::default();
    for value in [f64::MAX, f64::MIN, f64::MAX] {
        learned.point(Learn { samples: 20, sigma: SigmaFrom::Sample }, std::iter::once(value));
        let stored = serde_json::to_string(&learned).unwrap();
        assert_eq!(serde_json::from_str::<Learning>(&stored).unwrap(), learned);
    }
}

/// What is told when a chart is edited between two series.
fn edited(before: &SpcSettings, first: &str, after: &[(&str, RuleKind)], second: &str) -> Vec<String> {
    let store = store();
    let start = |rules: &[(&str, RuleKind)]| {
        let contract = Arc::new(contract(&["m"], rules, Clock::Recorded));
        Loop::new(store.clone(), contract, Time(0)).unwrap()
    };
    let mut rules = start(&[("chart", RuleKind::Spc(before.clone()))]);
    store.append(vec![part(timeline(first))]).unwrap();
    drain(&mut rules, Span::ZERO);
    rules.stop().unwrap();
    let mut rules = start(after);
    store.append(vec![part(timeline(second))]).unwrap();
    drain(&mut rules, Span::ZERO);
    store.events_after(0, 1_000).unwrap().iter().map(|stored| line(&stored.event)).collect()
}

#[test]
fn an_edit_keeps_what_it_does_not_concern() {
    let of = |set: &SpcSettings| [("chart", RuleKind::Spc(set.clone()))];
    let one = chart(&[RunRule::Nelson1]);
    // Another severity, another run rule beside it: the alarm goes on.
    let mut two = chart(&[RunRule::Nelson1, RunRule::Nelson2]);
    two.rules[0].1 = 900;
    let story = ["0 activated nelson-1 4 3", "1 returned nelson-1 0 3"];
    assert_eq!(edited(&one, "0 4", &of(&two), "1 0"), story);
    // Wider lines, without the run rule, or without the rule: it ends where it stood.
    let wide = SpcSettings { given: Some(Lines { centre: 0.0, sigma: 2.0 }), ..one.clone() };
    let story = ["0 activated nelson-1 4 3", "0 returned nelson-1 4 3"];
    assert_eq!(edited(&one, "0 4", &of(&wide), "1 5"), story);
    assert_eq!(edited(&one, "0 4", &of(&chart(&[RunRule::Nelson2])), "1 0"), story);
    assert_eq!(edited(&one, "0 4", &[], "1 0"), story);
    // Other subgroups are other points.
    let grouped = SpcSettings { subgroup: 2, ..one.clone() };
    assert_eq!(edited(&one, "0 4", &of(&grouped), "1 4\n2 4")[2..], ["2 activated nelson-1 4 3"]);
}

#[test]
fn learned_lines_outlive_a_start_and_end_with_the_edit_of_the_learning() {
    let text = twenty();
    let set = learning(20, SigmaFrom::Range);
    let mut other = set.clone();
    other.rules[0].1 = 900;
    let of = |set: &SpcSettings| [("chart", RuleKind::Spc(set.clone()))];
    let found = edited(&set, &text, &of(&other), "20 17");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("20 activated nelson-1 17 16.3"), "{found:?}");
    assert_eq!(edited(&set, &text, &of(&learning(21, SigmaFrom::Range)), "20 17").len(), 1);
}

#[test]
#[ignore = "it measures; only a release build on a quiet machine says something"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn a_point_is_cheap() {
    let rules = RunRule::ALL.into_iter().filter(|rule| rule.word().starts_with("nelson"));
    let mut engine = engine(RuleKind::Spc(chart(&rules.collect::<Vec<_>>())));
    let values: Vec<f64> = (0..1_000_000_u32).map(|i| f64::from(i * 7_919 % 1_999) / 1_000.0 - 1.0).collect();
    let entries = points(&values);
    let start = std::time::Instant::now();
    let told = apply(&mut engine, entries).len();
    println!("a million points under Nelson's eight: {:?}, {told} events", start.elapsed());
}
