//! The semantics of rates of change: a timeline in, events out.

use crate::common::{apply, engine, limit, lines, timeline};
use andon_contract::contract::{RateSettings, RuleKind};
use andon_model::span::Span;

pub(crate) fn rate(per: &str, over: Option<&str>, levels: &str) -> RuleKind {
    let (per, over) = (Span::parse(per).unwrap(), over.map(|over| Span::parse(over).unwrap()));
    RuleKind::RateOfChange(RateSettings { per, over, levels: limit(levels) })
}

fn check(kind: &RuleKind, entries: &str, expected: &[&str]) {
    let mut engine = engine(kind.clone());
    let found = lines(&apply(&mut engine, timeline(entries)));
    assert_eq!(found, expected, "{kind:?}\n{entries}");
}

#[test]
fn the_step_between_two_good_samples_counts_by_its_time() {
    let kind = rate("1 min", None, "High 5, Low -5");
    check(&kind, "0 100", &[]);
    check(
        &kind,
        "0 0\n10 1\n20 1\n30 0\n50 0",
        &["10 activated High 6", "20 returned High 0", "30 activated Low -6", "50 returned Low 0"],
    );
    check(&rate("1 h", None, "High 360"), "0 0\n10 1\n20 2.5", &["20 activated High 540"]);
    check(&rate("1 s", None, "HighHigh 10, High 1"), "0 0\n1 2\n2 22", &["1 activated High 2", "2 level HighHigh 20"]);
}

#[test]
fn of_equal_times_the_later_in_the_log_counts() {
    let kind = rate("1 s", None, "High 5");
    check(&kind, "0 0\n0 100\n10 100\n20 100", &[]);
    check(&kind, "0 0\n10 0\n10 100\n20 100", &["10 activated High 10", "20 returned High 0"]);
}

#[test]
fn over_a_gap_the_rate_is_the_mean() {
    check(&rate("1 s", None, "High 1"), "0 0\n3600 1800\n3601 1800", &[]);
    check(
        &rate("1 s", None, "High 1"),
        "0 0\n3600 7200\n3601 7200",
        &["3600 activated High 2", "3601 returned High 0"],
    );
}

#[test]
fn bad_and_late_samples_make_no_number() {
    let kind = rate("1 min", None, "High 5");
    check(&kind, "0 0\n10 100!\n15 100?\n16 100u\n20 1\n30 1", &[]);
    check(&kind, "0 0\n10 0\n5 100\n20 0", &[]);
    // They neither end nor delay what lasts.
    check(
        &rate("1 min", None, "High 5, OnDelay 10 s"),
        "0 0\n10 10\n15 0!\n19 20\n21 30",
        &["20 activated High 66.66666666666667"],
    );
}

#[test]
fn over_a_span_the_newest_sample_that_is_old_enough_is_the_other() {
    let kind = rate("1 s", Some("10 s"), "High 1");
    check(&kind, "0 0\n1 5\n2 0\n9 100", &[]);
    check(&kind, "0 0\n1 5\n2 0\n10 5\n11 20\n12 5", &["11 activated High 1.5", "12 returned High 0.5"]);
    check(&kind, "0 0\n100 50\n105 100\n110 50", &[]);
    check(&kind, "0 0\n100 0\n100 200\n120 200", &["100 activated High 2", "120 returned High 0"]);
}

#[test]
fn the_delays_are_those_of_a_limit() {
    check(
        &rate("1 s", None, "High 1, OnDelay 10 s, OffDelay 5 s"),
        "0 0\n1 2\n6 12\n12 24\n13 24\n19 24",
        &["11 activated High 2", "18 returned High 0"],
    );
}

#[test]
fn its_events_say_what_they_were_made_of() {
    let mut engine = engine(rate("1 s", None, "High 1, OnDelay 2 s"));
    let events = apply(&mut engine, timeline("0 0\n1 0\n2 10\n3 7!\n4 30\n5 30\n6 30"));
    let found: Vec<_> = events.iter().map(|(_, e)| (e.from.offset, e.to.offset, e.count)).collect();
    assert_eq!(found, [(1, 4, 4), (2, 5, 3)]);
    assert_eq!(events[0].0.data["condition"], "rate-of-change");
    assert_eq!(events[0].0.data["since"], "1970-01-01T00:00:02Z");
}
