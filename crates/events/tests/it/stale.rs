//! The semantics of silences: a timeline in, events out.

use crate::common::{apply, engine, lines, stale, timeline};
use andon_contract::contract::RuleKind;

fn check(after: &str, entries: &str, expected: &[&str]) {
    let mut engine = engine(RuleKind::Stale(stale(after)));
    assert_eq!(lines(&apply(&mut engine, timeline(entries))), expected, "{after}\n{entries}");
}

#[test]
fn it_runs_by_receive_time_and_says_plant_time() {
    // Sampled at 0, received at 100: silent for 10 s at 110, said as of 10.
    check("10 s", "0 1 @100\n5 other @110\n6 other @110.001\n7 1 @111", &["10 activated - -", "7 returned - -"]);
    check("10 s", "0 1 @100\ntick 0 @110\ntick 0 @111", &["10 activated - -"]);
    check("10 s", "0 1 @100\n1 1 @109\n2 1 @118\n3 1 @127", &[]);
}

#[test]
fn what_is_received_is_heard_but_not_what_is_bad_or_history() {
    check("10 s", "0 1 @0\n8 1! @8\n12 1! @12", &["10 activated - -"]);
    check("10 s", "0 1 @0\n8 1r @8\n12 1u @12", &["10 activated - -"]);
    check("10 s", "0 1 @0\n8 1? @8\n12 1? @12", &[]);
    // A late one was received; the newest time stays.
    check("10 s", "5 1 @5\n2 1 @12\n6 other @22.5", &["15 activated - -"]);
}

#[test]
fn what_was_never_heard_is_never_stale() {
    check("10 s", "tick 100\n200 other\n300 other", &[]);
}

#[test]
fn a_clock_that_was_set_back_brings_the_silence_sooner() {
    // Received at 100, then at 20: silent at 30, although it was to be looked at at 110 only.
    check("10 s", "0 1 @100\n1 1 @20\ntick 0 @31", &["11 activated - -"]);
}

#[test]
fn its_evidence_is_the_last_sample_and_the_one_that_ends_it() {
    let mut engine = engine(RuleKind::Stale(stale("10 s")));
    let events = apply(&mut engine, timeline("0 1\n1 1\n20 1\n25 1"));
    let found: Vec<_> = events.iter().map(|(_, e)| (e.from.offset, e.to.offset, e.count)).collect();
    assert_eq!(found, [(1, 1, 1), (1, 2, 2)]);
    assert_eq!(events[1].0.correlation, events[0].0.id);
    assert_eq!(events[0].0.data["condition"], "stale");
}
