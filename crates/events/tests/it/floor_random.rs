//! What must hold for every series of states and counts: neither the cut into batches nor a crash at any place changes
//! an event, no time is lost between states, and nothing is counted twice.

use crate::{
    common::{SECOND, asset, contract, signal},
    floor::{counter, sample, state},
    properties::{cuts, neither_cut_nor_crash},
};
use andon_contract::{
    Contract,
    contract::{Clock, RuleKind, RuleSettings},
};
use andon_events::{Engine, Output, Saved, engine::Moment};
use andon_model::{
    Entry, Event, Mark, Position, Quality, SignalNo, Time,
    sample::{Batch, Part},
};
use proptest::prelude::*;
use std::sync::Arc;

/// Rules that stand on `t` and also read `other`.
fn rules(states: &str, counts: &str) -> Arc<Contract> {
    let kinds = [
        ("states", RuleKind::State(Arc::new(state(states)))),
        ("counts", RuleKind::Counter(Arc::new(counter(counts)))),
    ];
    let mut all = contract(&["m"], &kinds, Clock::Recorded);
    for rule in all.rules.values_mut() {
        for settings in rule.assets.values_mut() {
            let inputs = vec![signal("other")];
            *settings = Arc::new(RuleSettings { inputs, ..RuleSettings::clone(settings) });
        }
    }
    Arc::new(all)
}

fn contracts() -> impl Strategy<Value = Arc<Contract>> {
    let states = prop::sample::select(vec![
        "",
        "at-least 10 s",
        "reason-within 10 s, Held planned-down",
        "at-least 5 s, reason-within 20 s, cycle",
    ]);
    let counts = prop::sample::select(vec![
        "",
        "every 5, within 20 s",
        "every 10 s, rollover 20, max-step 8",
        "gap 20 s, max-step 3",
    ]);
    (states, counts).prop_map(|(states, counts)| rules(states, counts))
}

/// Seconds forward (late when negative), what, and a value.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let step = (prop_oneof![8 => 0_i64..8, 1 => 20_i64..90, 1 => -6_i64..0], 0_u8..20, 0_usize..9);
    prop::collection::vec(step, 1..120).prop_map(|steps| {
        let mut clock = 1_000;
        let entry = |(forward, what, value): (i64, u8, usize)| {
            let time = clock + forward;
            clock = clock.max(time);
            let time = Time(time * SECOND);
            let value = ["2", "4", "6", "11", "17", "7", "18", "jam", "0"][value];
            match what {
                0 => Entry::Mark(Mark::Disconnected("gone".into())),
                1 => Entry::Mark(Mark::Connected),
                2 => Entry::Mark(Mark::Tick { asset: asset("m"), plant: time, utc: time }),
                3 => Entry::Sample(sample(SignalNo(1), time, Quality::BAD, value)),
                4 => Entry::Sample(sample(SignalNo(1), time, Quality::UNCERTAIN, value)),
                5..8 => Entry::Sample(sample(SignalNo(2), time, Quality::GOOD, value)),
                _ => Entry::Sample(sample(SignalNo(1), time, Quality::GOOD, value)),
            }
        };
        steps.into_iter().map(entry).collect()
    })
}

fn told(contract: &Arc<Contract>, entries: Vec<Entry>) -> Vec<Event> {
    let signals = [(1, "t"), (2, "other")].map(|(number, name)| (SignalNo(number), asset("m"), signal(name)));
    let instance = crate::common::instance();
    let mut engine = Engine::new(Arc::clone(contract), instance, &signals, Saved::default(), Time(0), &mut Vec::new());
    let mut out = Vec::new();
    let part = Part { entries, ..crate::common::part(Vec::new()) };
    let batch = Batch { first: Position::default(), part };
    engine.apply(&batch, Moment { now: Time(0), monotonic: None }, &mut out);
    let event = |output| match output {
        Output::Event(event, _) => *event,
        other @ Output::Exception(_) => panic!("{other:?}"),
    };
    out.into_iter().map(event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_cut_nor_crash_changes_a_state_or_a_count(rules in contracts(), entries in entries(), cuts in cuts()) {
        neither_cut_nor_crash(&rules, &entries, &cuts)?;
    }

    #[test]
    fn states_follow_each_other_without_a_hole(rules in contracts(), entries in entries()) {
        let events = told(&rules, entries);
        let states: Vec<_> = events.iter().filter(|event| event.kind == "asset.state").collect();
        for pair in states.windows(2) {
            prop_assert_eq!(&pair[1].data["previous"], &pair[0].data["state"]);
            prop_assert_eq!(&pair[1].data["previousclass"], &pair[0].data["class"]);
            prop_assert_eq!(Time::parse(pair[1].data["since"].as_str().unwrap()).unwrap(), pair[0].time);
            let long = |key: &str| pair[1].data[key]["value"].as_str().map_or(0, |text| text.parse::<i64>().unwrap());
            prop_assert_eq!(long("duration"), (pair[1].time.0 - pair[0].time.0) / SECOND);
            prop_assert!(long("gap") <= long("duration"));
        }
        // Downtimes are told one after the other, each with its end.
        let mut open = None;
        for event in events.iter().filter(|event| event.kind == "asset.downtime") {
            match event.data["change"].as_str().unwrap() {
                "started" => prop_assert!(open.replace(event.id).is_none()),
                "reason" => prop_assert_eq!(open, Some(event.correlation)),
                _ => prop_assert_eq!(open.take(), Some(event.correlation)),
            }
        }
    }

    #[test]
    fn the_total_is_the_sum_of_all_that_was_told(rules in contracts(), entries in entries()) {
        let mut sums = std::collections::BTreeMap::new();
        for event in told(&rules, entries).iter().filter(|event| event.kind == "asset.count") {
            let sum: &mut i64 = sums.entry(event.data["kind"].to_string()).or_default();
            let (delta, live) = (event.data["delta"].as_i64().unwrap(), event.data["live"] == true);
            *sum += delta;
            prop_assert_eq!(event.data["total"].as_i64(), Some(*sum));
            let change = event.data["change"].as_str().unwrap();
            prop_assert!(delta > 0 || change == "reset");
            prop_assert!(live || change != "counted");
            prop_assert!(!live || change != "gap");
        }
    }
}
