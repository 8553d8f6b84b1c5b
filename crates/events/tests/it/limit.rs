//! The semantics of limits: a timeline in, events out.

use crate::common::{apply, engine, limit, lines, timeline};
use andon_contract::contract::RuleKind;

fn check(settings: &str, entries: &str, expected: &[&str]) {
    let mut engine = engine(RuleKind::Limit(limit(settings)));
    let found = lines(&apply(&mut engine, timeline(entries)));
    assert_eq!(found, expected, "{settings}\n{entries}");
}

#[test]
fn without_delays_a_limit_is_strictly_exceeded_and_returns_at_it() {
    check(
        "High 100",
        "0 100\n1 100.1\n2 101\n3 100\n4 101",
        &["1 activated High 100.1", "3 returned High 100", "4 activated High 101"],
    );
    check("Low 10", "0 10\n1 9\n2 10", &["1 activated Low 9", "2 returned Low 10"]);
}

#[test]
fn on_delay_ends_just_before_the_first_later_sample() {
    check("High 100, OnDelay 10 s", "0 101\n10 102\n11 90", &["10 activated High 102", "11 returned High 90"]);
    // At the deadline itself the sample still decides.
    check("High 100, OnDelay 10 s", "0 101\n10 100\n11 101", &[]);
    // A silent signal fires at its deadline as soon as the clock is later, by another signal too.
    check("High 100, OnDelay 10 s", "0 101\n10 other\n11 other", &["10 activated High 101"]);
    check("High 100, OnDelay 10 s", "0 101\ntick 10\ntick 10.5\n12 102", &["10 activated High 101"]);
}

#[test]
fn on_delay_is_stopped_at_the_limit_also_inside_the_deadband() {
    check(
        "High 100, Deadband 5, OnDelay 10 s",
        "0 101\n5 98\n6 101\n15 101\n16 101\n17 101",
        &["16 activated High 101"],
    );
    check("High 100, Deadband 5, OnDelay 10 s", "0 101\n5 100\n20 100", &[]);
}

#[test]
fn the_deadband_only_delays_the_return() {
    check("High 100, Deadband 5", "0 101\n1 96\n2 95.1\n3 95\n4 99", &["0 activated High 101", "3 returned High 95"]);
    check("Low 10, Deadband 5", "0 9\n1 14\n2 15", &["0 activated Low 9", "2 returned Low 15"]);
}

#[test]
fn off_delay_runs_while_the_value_is_back_by_the_deadband() {
    check(
        "High 100, Deadband 5, OffDelay 10 s",
        "0 101\n1 95\n5 96\n6 94\n16 94\n17 94",
        &["0 activated High 101", "16 returned High 94"],
    );
    check(
        "High 100, OffDelay 10 s",
        "0 101\n1 90\n5 101\n30 101\n31 90\ntick 42",
        &["0 activated High 101", "41 returned High 90"],
    );
}

#[test]
fn levels_are_exclusive_and_change_at_once() {
    let four = "HighHigh 120, High 100, Low 10, LowLow 0";
    check(
        four,
        "0 101\n1 121\n2 119\n3 50\n4 -1\n5 5\n6 50",
        &[
            "0 activated High 101",
            "1 level HighHigh 121",
            "2 level High 119",
            "3 returned High 50",
            "4 activated LowLow -1",
            "5 level Low 5",
            "6 returned Low 50",
        ],
    );
    // From one side to the other without a sample between: still the same alarm.
    check(four, "0 121\n1 5\n2 50", &["0 activated HighHigh 121", "1 level Low 5", "2 returned Low 50"]);
}

#[test]
fn on_delay_belongs_to_the_alarm_and_not_to_a_level() {
    check("HighHigh 120, High 100, OnDelay 10 s", "0 101\n8 125\n11 126", &["10 activated HighHigh 125"]);
    check(
        "HighHigh 120, High 100, OnDelay 10 s",
        "0 125\n8 101\n11 126",
        &["10 activated High 101", "11 level HighHigh 126"],
    );
    // The other side is another condition.
    check("High 100, Low 10, OnDelay 10 s", "0 101\n8 5\n11 5\n17 5\n19 5", &["18 activated Low 5"]);
}

#[test]
fn inside_the_deadband_the_innermost_level_holds() {
    check(
        "HighHigh 120, High 100, Deadband 5",
        "0 121\n1 97\n2 95",
        &["0 activated HighHigh 121", "1 level High 97", "2 returned High 95"],
    );
    check("HighHigh 120, Deadband 5", "0 121\n1 117\n2 115", &["0 activated HighHigh 121", "2 returned HighHigh 115"]);
}

#[test]
fn an_alarm_that_stays_is_told_again() {
    check(
        "High 100, ReAlarmTime 10 s",
        "0 101\n5 105\n25 106\n26 90",
        &["0 activated High 101", "10 realarmed High 105", "20 realarmed High 105", "26 returned High 90"],
    );
    // At the same moment the end comes first, and nothing is told after it.
    check(
        "High 100, OffDelay 10 s, ReAlarmTime 15 s",
        "0 101\n5 90\n40 90",
        &["0 activated High 101", "15 returned High 90"],
    );
    check(
        "High 100, OnDelay 10 s, OffDelay 10 s, ReAlarmTime 7 s",
        "0 101\n40 other\n41 90\n60 other",
        &[
            "10 activated High 101",
            "17 realarmed High 101",
            "24 realarmed High 101",
            "31 realarmed High 101",
            "38 realarmed High 101",
            "45 realarmed High 90",
            "51 returned High 90",
        ],
    );
}

#[test]
fn a_long_jump_is_not_a_flood() {
    let mut engine = engine(RuleKind::Limit(limit("High 100, ReAlarmTime 1 s")));
    let found = lines(&apply(&mut engine, timeline("0 101\n1000000 101")));
    assert_eq!(found.len(), 101);
    assert_eq!(found.last().unwrap(), "999999 realarmed High 101");
}

#[test]
fn only_good_values_decide() {
    check("High 100", "0 101!\n1 101?\n2 90", &[]);
    check("High 100", "0 101\n1 90!\n2 90?\n3 90", &["0 activated High 101", "3 returned High 90"]);
    // A bad one neither stops nor delays a timer, and it moves the clock.
    check("High 100, OnDelay 10 s", "0 101\n5 0!\n11 0!", &["10 activated High 101"]);
    check("High 100, OffDelay 10 s", "0 101\n1 90\n5 200!\n12 200?", &["0 activated High 101", "11 returned High 90"]);
}

#[test]
fn late_samples_are_skipped_and_move_no_clock() {
    check("High 100, OnDelay 10 s", "100 101\n99 90\n105 101\n104 0\n111 101", &["110 activated High 101"]);
    // Of the same time the later in the log counts.
    check("High 100, OnDelay 10 s", "0 101\n5 101\n5 99\n20 99", &[]);
    // The other signal is late for itself: it moves nothing.
    check("High 100, OnDelay 10 s", "50 other\n0 101\n40 other\n9 101\n10 101", &[]);
}

#[test]
fn a_retained_message_without_time_is_never_evaluated() {
    check("High 100", "0 101u\n1 90", &[]);
    check("High 100", "0 101r\n1 90", &["0 activated High 101", "1 returned High 90"]);
}

#[test]
fn a_story_names_its_first_event() {
    let mut engine = engine(RuleKind::Limit(limit("HighHigh 120, High 100, ReAlarmTime 10 s")));
    let events = apply(&mut engine, timeline("0 101\n5 121\n15 121\n16 50\n17 101"));
    let (first, _) = &events[0];
    assert_eq!((first.correlation, first.causation.as_deref()), (first.id, None));
    for (event, _) in &events[1..4] {
        assert_eq!(event.correlation, first.id);
        assert_eq!(event.causation, Some(first.id.to_string()));
    }
    let (second, _) = &events[4];
    assert_eq!(second.correlation, second.id);
    assert_ne!(second.id, first.id);
    assert_eq!(first.source, "/hamburg/rules/hot");
    assert_eq!(first.data["value"]["unit"], "mm/s");
    assert_eq!(first.data["setting"]["value"], "100");
    assert_eq!(first.data["severity"], 700);
    assert_eq!(events[1].0.data["severity"], 900);
    assert_eq!(first.schema, "andon:asset.alarm/1.2");
}

#[test]
fn evidence_reaches_from_before_the_condition_to_the_decision() {
    let mut engine = engine(RuleKind::Limit(limit("HighHigh 120, High 100, Deadband 5, OnDelay 10 s, OffDelay 3 s")));
    // offsets:               0     1     2      3       4       5      6      7      8     9      10
    let entries = "0 80\n1 90\n2 101\n3 other\n4 110!\n5 102\n13 130\n14 97\n15 90\n16 91!\n19 90";
    let events = apply(&mut engine, timeline(entries));
    let found: Vec<String> = events
        .iter()
        .map(|(event, e)| format!("{} {}..{} of {}", event.data["change"], e.from.offset, e.to.offset, e.count))
        .collect();
    assert_eq!(
        found,
        [r#""activated" 1..5 of 4"#, r#""level" 6..6 of 1"#, r#""level" 7..7 of 1"#, r#""returned" 7..9 of 3"#,]
    );
    let (event, evidence) = &events[0];
    let offsets: Vec<u64> = evidence.samples.iter().map(|s| s.position.offset).collect();
    assert_eq!(offsets, [1, 2, 4, 5]);
    assert_eq!(event.data["evidence"]["samples"]["count"], 4);
    assert_eq!(event.data["evidence"]["samples"]["hash"], evidence.hash.as_str());
    assert_eq!(evidence.samples[0].signal, "m/t");
    assert_eq!(event.data["since"], "1970-01-01T00:00:02Z");
}
