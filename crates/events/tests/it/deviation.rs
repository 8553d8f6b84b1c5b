//! The semantics of deviations: a timeline of the value and its setpoint (`other`) in, events out.

use crate::common::{apply, engine, limit, lines, timeline};
use andon_contract::contract::RuleKind;

fn check(settings: &str, entries: &str, expected: &[&str]) {
    let mut engine = engine(RuleKind::Deviation(limit(settings)));
    let found = lines(&apply(&mut engine, timeline(entries)));
    assert_eq!(found, expected, "{settings}\n{entries}");
}

#[test]
fn before_a_setpoint_is_known_nothing_is_judged() {
    check("High 5, Low -5", "0 100\n1 200\n2 -300\n3 0", &[]);
    check("High 5", "0 other 50\n1 other 60\n2 other 70", &[]);
    // The first setpoint judges the value that is there.
    check("High 5", "0 100\n1 other 50\n2 100", &["1 activated High 50"]);
}

#[test]
fn the_value_minus_the_newest_setpoint_is_judged() {
    check(
        "High 5, Low -5",
        "0 other 50\n1 52\n2 56\n3 54\n4 44\n5 50\n6 50",
        &["2 activated High 6", "3 returned High 4", "4 activated Low -6", "5 returned Low 0"],
    );
    check("High 5", "0 other 50\n1 55\n2 55", &[]);
    check(
        "HighHigh 10, High 5, Deadband 2",
        "0 other 50\n1 56\n2 61\n3 54\n4 53\n5 50",
        &["1 activated High 6", "2 level HighHigh 11", "3 level High 4", "4 returned High 3"],
    );
}

#[test]
fn another_setpoint_judges_the_same_value_again() {
    check(
        "High 5",
        "0 other 50\n1 54\n2 other 45\n3 other 52\n4 other 52",
        &["2 activated High 9", "3 returned High 2"],
    );
    check("High 5, OnDelay 10 s", "0 other 50\n0 60\n5 other 58\n11 60\n20 60", &[]);
    check("High 5, OnDelay 10 s", "0 other 50\n0 60\n5 other 51\n9 60\n11 60", &["10 activated High 9"]);
}

#[test]
fn a_message_that_carries_both_does_not_flicker() {
    for entries in ["0 other 50\n0 50\n1 80\n1 other 80\n2 80", "0 other 50\n0 50\n1 other 80\n1 80\n2 80"] {
        check("High 5, Low -5", entries, &[]);
        check("High 5, Low -5, OnDelay 10 s", entries, &[]);
    }
    // While an alarm is active neither its level nor a running delay is disturbed.
    check("High 5, Low -5", "0 other 50\n0 60\n1 other 80\n1 90\n2 90", &["0 activated High 10"]);
    check(
        "High 5, OffDelay 10 s",
        "0 other 50\n0 60\n1 50\n5 90\n5 other 90\n12 90",
        &["0 activated High 10", "11 returned High 0"],
    );
    // What is still so when the time is over counts, with that time.
    check("High 5", "0 other 50\n0 50\n1 80\n1 other 60\n2 80", &["1 activated High 20"]);
}

#[test]
fn a_number_that_waits_is_judged_by_a_tick_too() {
    check("High 5", "0 other 50\n1 60\ntick 1", &[]);
    check("High 5", "0 other 50\n1 60\ntick 1.5", &["1 activated High 10"]);
    // Just before a timer of the same time, as a sample would.
    check("High 5, OnDelay 10 s", "0 other 50\n0 60\n10 50\n11 60", &[]);
}

#[test]
fn a_setpoint_that_is_not_good_leaves_the_last_good_one() {
    check("High 5", "0 other 50\n1 other 90!\n2 other 90?\n3 53\n4 56\n5 56", &["4 activated High 6"]);
    check("High 5", "0 other 50!\n1 100\n2 100", &[]);
    check("High 5", "0 other 50\n1 60!\n2 60?\n3 60u\n4 51\n5 51", &[]);
}

#[test]
fn late_samples_of_both_are_skipped() {
    check("High 5", "10 other 50\n10 50\n5 other 10\n9 90\n11 50\n12 50", &[]);
    // A setpoint that is older than the value and not late for itself counts from the value's time on.
    check("High 5", "0 other 50\n10 54\n5 other 40\n11 54", &["10 activated High 14"]);
    check("High 5", "0 other 50\n1 60\n1 51\n2 51", &[]);
}

#[test]
fn its_events_say_what_they_were_made_of() {
    let mut engine = engine(RuleKind::Deviation(limit("HighHigh 20, High 5, OffDelay 3 s")));
    // offsets:           0         1     2     3     4          5     6     7
    let entries = timeline("0 other 50\n1 51\n2 60\n3 80\n4 other 79\n5 81!\n8 80\n9 80");
    let events = apply(&mut engine, entries);
    let found: Vec<String> = events
        .iter()
        .map(|(event, evidence)| {
            let samples: Vec<String> =
                evidence.samples.iter().map(|s| format!("{}@{}", s.signal, s.position.offset)).collect();
            format!("{} {}", event.data["change"], samples.join(" "))
        })
        .collect();
    assert_eq!(
        found,
        [
            r#""activated" m/other@0 m/t@2"#,
            r#""level" m/other@0 m/t@3"#,
            r#""returned" m/other@0 m/t@3 m/other@4 m/t@5"#,
        ]
    );
    let (event, _) = &events[0];
    assert_eq!(event.data["condition"], "deviation");
    assert_eq!(event.data["setting"]["value"], "5");
    assert_eq!(event.data["since"], "1970-01-01T00:00:02Z");
    assert_eq!(events[2].0.correlation, event.id);
}
