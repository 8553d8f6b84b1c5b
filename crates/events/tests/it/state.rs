//! The semantics of states: a timeline in, states, downtimes and cycles out.

use crate::floor::{apply, check, engine, guarded, line, state};
use andon_contract::contract::RuleKind;
use std::sync::Arc;

fn states(settings: &str, entries: &str, expected: &[&str]) {
    check(RuleKind::State(Arc::new(state(settings))), entries, expected);
}

/// Only what is told of downtimes.
fn downs(settings: &str, entries: &str, expected: &[&str]) {
    let mut engine = engine(RuleKind::State(Arc::new(state(settings))));
    let events = apply(&mut engine, entries);
    let found: Vec<String> = events.iter().filter(|event| event.kind == "asset.downtime").map(line).collect();
    assert_eq!(found, expected, "{settings}\n{entries}");
}

#[test]
fn a_state_is_told_when_it_changes_with_what_was_before() {
    states(
        "",
        "0 4\n10 6\n20 6\n25.5 17",
        &[
            "0 Idle idle",
            "10 Execute production, Idle idle since 0 duration 10",
            "25.5 Complete idle, Execute production since 10 duration 15.5",
        ],
    );
    // A text is its own name; one that nobody knows counts as unknown.
    states("", "0 ACTIVE\n1 Lunch", &["0 ACTIVE production", "1 Lunch unknown, ACTIVE production since 0 duration 1"]);
    // A number without a name is called as it is written; a name in the text form is the same state.
    states(
        "",
        "0 6\n1 Execute\n2 99",
        &["0 Execute production", "2 99 unknown, Execute production since 0 duration 2"],
    );
}

#[test]
fn only_good_values_are_states() {
    states("", "0 6!\n1 6?\n2 6", &["2 Execute production"]);
    states("", "0 6\n1 4!\n2 4?\n3 6", &["0 Execute production"]);
    // An empty text is none.
    states("", "0 ACTIVE\n1 ", &["0 ACTIVE production"]);
}

#[test]
fn late_and_equal_samples_are_skipped() {
    states(
        "",
        "10 6\n5 4\n10 6\n12 4",
        &["10 Execute production", "12 Idle idle, Execute production since 10 duration 2"],
    );
    // Of the same time the later in the log counts; a state of no time is one.
    states("", "10 6\n10 4", &["10 Execute production", "10 Idle idle, Execute production since 10 duration 0"]);
}

#[test]
fn what_nobody_saw_is_a_gap_of_the_state_that_was_known() {
    // From the newest sample before the source was away to the first one after: of whatever signal of the asset.
    states(
        "",
        "0 6\n20 other=1\naway\nback\n50 other=2\n60 4",
        &["0 Execute production", "60 Idle idle, Execute production since 0 duration 60 gap 30"],
    );
    states(
        "",
        "0 6\naway\nback\n50 6\n60 4",
        &["0 Execute production", "60 Idle idle, Execute production since 0 duration 60 gap 50"],
    );
    // Late samples end no gap, and a second mark begins none anew.
    states(
        "",
        "10 6\n20 other=1\naway\nback\n5 4\n6 other=2\naway\nback\n50 4",
        &["10 Execute production", "50 Idle idle, Execute production since 10 duration 40 gap 30"],
    );
    // The value itself was bad: only a good one of the signal ends that.
    states(
        "",
        "0 6\n10 6!\n20 other=1\n30 6\n40 4",
        &["0 Execute production", "40 Idle idle, Execute production since 0 duration 40 gap 20"],
    );
    states(
        "",
        "0 6\n10 6!\naway\nback\n20 other=1\n30 4",
        &["0 Execute production", "30 Idle idle, Execute production since 0 duration 30 gap 20"],
    );
}

#[test]
fn a_downtime_lasts_as_long_as_its_class() {
    downs("", "0 6\n10 11\n12 2\n30 6\n40 6", &["10 down started from 10", "30 down ended from 10 duration 20"]);
    // It also begins with the first state that is seen.
    downs("", "0 11\n5 4", &["0 down started from 0", "5 down ended from 0 duration 5"]);
    // Idle and unknown states are none.
    downs("", "0 4\n10 99\n20 6", &[]);
}

#[test]
fn planned_and_unplanned_downtimes_are_different_ones() {
    downs(
        "Held planned-down",
        "0 2\n10 11\n30 6",
        &[
            "0 down started from 0",
            "10 down ended from 0 duration 10",
            "10 planned down started from 10",
            "30 planned down ended from 10 duration 20",
        ],
    );
}

#[test]
fn short_stops_are_not_told() {
    downs("at-least 30 s", "0 6\n10 11\n40 6", &[]);
    downs("at-least 30 s", "0 6\n10 11\n40.5 6", &["40 down started from 10", "40.5 down ended from 10 duration 30.5"]);
    // Through several states of the same kind, by another signal's sample, by a tick.
    downs("at-least 30 s", "0 11\n20 2\n31 other=1", &["30 down started from 0"]);
    downs("at-least 30 s", "0 11\ntick 30\ntick 30.1\ntick 99", &["30 down started from 0"]);
}

#[test]
fn while_the_source_is_away_the_clock_stands() {
    // What the backlog says decides: it went on before the stop was a long one.
    downs("at-least 30 s", "0 11\naway\nback\n20 6\n100 6", &[]);
    downs(
        "at-least 30 s",
        "0 11\naway\nback\n100 6",
        &["30 down started from 0", "100 down ended from 0 duration 100 gap 100"],
    );
}

#[test]
fn a_reason_is_known_at_the_start_or_comes_soon_after() {
    let within = "reason-within 10 s";
    downs(
        within,
        "0 6\n5 a=7\n10 11\n20 6",
        &["10 down started from 10 because 7 no material", "20 down ended from 10 duration 10 because 7 no material"],
    );
    downs(
        within,
        "0 6\n10 11\n20 a=7\n25 a=8\n30 6",
        &[
            "10 down started from 10",
            "20 down reason from 10 because 7 no material",
            "30 down ended from 10 duration 20 because 7 no material",
        ],
    );
    // Too late, none, bad, or the same again.
    downs(within, "0 6\n10 11\n21 a=7\n30 6", &["10 down started from 10", "30 down ended from 10 duration 20"]);
    downs(
        within,
        "10 11\n11 a=0\n12 a=7!\n13 a=jam\n14 a=jam\n15 6",
        &[
            "10 down started from 10",
            "13 down reason from 10 because jam",
            "15 down ended from 10 duration 5 because jam",
        ],
    );
    // Before the stop is told it is no event of its own.
    downs(
        "at-least 5 s, reason-within 10 s",
        "10 11\n12 a=7\n16 a=8\n30 6",
        &[
            "15 down started from 10 because 7 no material",
            "16 down reason from 10 because 8",
            "30 down ended from 10 duration 20 because 8",
        ],
    );
}

#[test]
fn a_downtime_is_one_story() {
    let mut engine = engine(RuleKind::State(Arc::new(state("reason-within 10 s"))));
    let events = apply(&mut engine, "0 11\n1 a=7\n2 6\n3 11");
    let downs: Vec<_> = events.iter().filter(|event| event.kind == "asset.downtime").collect();
    let [first, reason, end, second] = downs[..] else { panic!("{downs:#?}") };
    assert_eq!((first.correlation, first.causation.as_deref()), (first.id, None));
    assert_eq!(reason.correlation, first.id);
    assert_eq!((end.correlation, end.causation.clone()), (first.id, Some(first.id.to_string())));
    assert_eq!(second.correlation, second.id);
    assert_eq!(end.data["state"], "Held");
    assert_eq!(end.data["category"], "delay");
    assert_eq!(end.schema, "andon:asset.downtime/1.0");
}

#[test]
fn a_cycle_is_told_when_it_is_completed() {
    states(
        "cycle",
        "0 b=O1000\n1 4\n10 6\n20 11\n25 6\n26 b=O2000\n40 17\n50 17\n60 4",
        &[
            "1 Idle idle",
            "10 Execute production, Idle idle since 1 duration 9",
            "20 Held delay, Execute production since 10 duration 10",
            "20 down started from 20",
            "25 Execute production, Held delay since 20 duration 5",
            "25 down ended from 20 duration 5",
            "40 Complete idle, Execute production since 25 duration 15",
            "40 cycle 1 from 10 duration 30 running 25 of O1000",
            "60 Idle idle, Complete idle since 40 duration 20",
        ],
    );
}

#[test]
fn only_what_began_is_completed() {
    let cycles = |entries: &str| {
        let mut engine = engine(RuleKind::State(Arc::new(state("cycle"))));
        let events = apply(&mut engine, entries);
        events.iter().filter(|event| event.kind == "asset.cycle").map(line).collect::<Vec<_>>()
    };
    // Given up, or never seen to begin.
    assert_eq!(cycles("0 6\n5 2\n6 17"), Vec::<String>::new());
    assert_eq!(cycles("0 17\n5 4"), Vec::<String>::new());
    assert_eq!(
        cycles("0 6\n5 17\n6 17\n7 6\n9 17"),
        ["5 cycle 1 from 0 duration 5 running 5", "9 cycle 2 from 7 duration 2 running 2",]
    );
    // Over a gap it is said that it may have been more than one.
    assert_eq!(cycles("0 6\naway\nback\n50 17"), ["50 cycle 1 from 0 duration 50 running 0 gap 50"]);
}

#[test]
fn while_a_condition_fails_no_downtime_begins() {
    let downs = |settings: &str, entries: &str| {
        let mut engine = guarded(RuleKind::State(Arc::new(state(settings))));
        let events = apply(&mut engine, entries);
        events.iter().filter(|event| event.kind == "asset.downtime").map(line).collect::<Vec<_>>()
    };
    assert_eq!(downs("", "0 other=0\n1 6\n2 11\n9 6"), Vec::<String>::new());
    // It begins when the condition holds, and goes on whatever becomes of it then.
    assert_eq!(
        downs("", "0 other=0\n2 11\n5 other=1\n6 other=0\n9 6"),
        ["5 down started from 5", "9 down ended from 5 duration 4",]
    );
    // What has not become a downtime ends with it.
    assert_eq!(downs("at-least 5 s", "0 other=1\n2 11\n4 other=0\n20 6"), Vec::<String>::new());
}

#[test]
fn a_downtime_of_a_rule_that_is_gone_ends() {
    let ends = |settings: &str, entries: &str, edited: Option<&str>| {
        let (before, after) = crate::floor::edited(
            RuleKind::State(Arc::new(state(settings))),
            entries,
            edited.map(|text| RuleKind::State(Arc::new(state(text)))),
        );
        assert!(!before.is_empty());
        after
    };
    // It ends where the clock of its source stands.
    assert_eq!(ends("", "0 6\n10 11\n15 other=1", None), ["15 down ended from 10 duration 5 by an edit"]);
    assert_eq!(ends("", "0 6\n10 11", Some("Held idle")), ["10 down ended from 10 duration 0 by an edit"]);
    assert_eq!(ends("", "0 6\n10 11", Some("at-least 5 s")), Vec::<String>::new());
}
