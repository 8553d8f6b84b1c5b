//! The semantics of counters: a timeline in, counts out.

use crate::floor::{apply, check, counter, edited, guarded, line};
use andon_contract::contract::RuleKind;
use std::sync::Arc;

fn counts(settings: &str, entries: &str, expected: &[&str]) {
    check(RuleKind::Counter(Arc::new(counter(settings))), entries, expected);
}

#[test]
fn a_step_is_told_and_where_counting_begins_is_none() {
    counts(
        "",
        "0 100\n1 101\n2 101\n3 104",
        &["1 counted good 1 of 1, 100 to 101 since 0", "3 counted good 3 of 4, 101 to 104 since 2"],
    );
}

#[test]
fn each_counter_counts_by_itself() {
    counts(
        "",
        "0 1\n0 a=5\n1 2\n2 a=6\n3 3",
        &[
            "1 counted good 1 of 1, 1 to 2 since 0",
            "2 counted reject 1 of 1, 5 to 6 since 0",
            "3 counted good 1 of 2, 2 to 3 since 1",
        ],
    );
}

#[test]
fn only_good_whole_numbers_count() {
    counts("", "0 1\n1 9!\n2 9?\n3 nine\n4 2", &["4 counted good 1 of 1, 1 to 2 since 0"]);
}

#[test]
fn late_and_equal_samples_are_skipped() {
    counts("", "10 5\n9 6\n10 5\n11 6", &["11 counted good 1 of 1, 5 to 6 since 10"]);
    counts("", "10 5\n10 6\n10 6", &["10 counted good 1 of 1, 5 to 6 since 10"]);
}

#[test]
fn a_counter_that_goes_round_goes_on() {
    counts(
        "rollover 100",
        "0 98\n1 99\n2 1",
        &["1 counted good 1 of 1, 98 to 99 since 0", "2 rollover good 2 of 3, 99 to 1 since 1"],
    );
    // The way over the end is long: it began again. With max-step the bound is that.
    counts("rollover 100", "0 40\n1 0", &["1 reset good 0 of 0, 40 to 0 since 0"]);
    counts("rollover 100, max-step 5", "0 97\n1 3", &["1 reset good 3 of 3, 97 to 3 since 0"]);
    counts("rollover 100, max-step 6", "0 97\n1 3", &["1 rollover good 6 of 6, 97 to 3 since 0"]);
    // A value that the counter cannot have did not go round.
    counts("rollover 100", "0 200\n1 199", &["1 reset good 0 of 0, 200 to 199 since 0"]);
}

#[test]
fn a_counter_that_falls_began_again() {
    counts("", "0 7\n1 0\n2 1", &["1 reset good 0 of 0, 7 to 0 since 0", "2 counted good 1 of 1, 0 to 1 since 1"]);
    // What it shows was counted since, where that is plausible; else nothing is invented.
    counts("", "0 7\n1 3", &["1 reset good 0 of 0, 7 to 3 since 0"]);
    counts("max-step 5", "0 7\n1 3", &["1 reset good 3 of 3, 7 to 3 since 0"]);
    counts("max-step 5", "0 70\n1 60", &["1 reset good 0 of 0, 70 to 60 since 0"]);
    counts(
        "max-step 5",
        "0 7\n1 -3\n2 0",
        &["1 reset good 0 of 0, 7 to -3 since 0", "2 counted good 3 of 3, -3 to 0 since 1"],
    );
}

#[test]
fn a_step_that_cannot_be_is_none() {
    counts(
        "max-step 5",
        "0 1\n1 6\n2 12\n3 13",
        &[
            "1 counted good 5 of 5, 1 to 6 since 0",
            "2 reset good 0 of 5, 6 to 12 since 1, not believed",
            "3 counted good 1 of 6, 12 to 13 since 2",
        ],
    );
}

#[test]
fn a_step_over_a_gap_is_marked() {
    counts(
        "",
        "0 1\n5 2\naway\nback\n90 4\n91 5",
        &[
            "5 counted good 1 of 1, 1 to 2 since 0",
            "90 gap good 2 of 3, 2 to 4 since 5, over a gap",
            "91 counted good 1 of 4, 4 to 5 since 90",
        ],
    );
    // The same value after the gap: nothing happened in it.
    counts("", "0 1\naway\nback\n90 1\n91 2", &["91 counted good 1 of 1, 1 to 2 since 90"]);
    counts("", "0 7\naway\nback\n90 0", &["90 reset good 0 of 0, 7 to 0 since 0, over a gap"]);
    counts("rollover 10", "0 9\naway\nback\n90 1", &["90 rollover good 2 of 2, 9 to 1 since 0, over a gap"]);
    // No bound holds over a gap, and late samples end none.
    counts("max-step 5", "50 1\naway\nback\n40 2\n90 100", &["90 gap good 99 of 99, 1 to 100 since 50, over a gap"]);
    counts(
        "gap 60 s",
        "0 1\n60 2\n121 3",
        &["60 counted good 1 of 1, 1 to 2 since 0", "121 gap good 1 of 2, 2 to 3 since 60, over a gap"],
    );
}

#[test]
fn many_steps_are_told_together() {
    counts(
        "every 5, within 60 s",
        "0 0\n1 2\n2 4\n3 6\n4 7\n5 20",
        &["3 counted good 6 of 6, 0 to 6 since 0", "5 counted good 14 of 20, 6 to 20 since 3"],
    );
    // The rest is told by its timer, counted from the first step of it.
    counts(
        "every 5, within 60 s",
        "0 0\n1 2\n50 3\n61 other=1\n62 other=1",
        &["61 counted good 3 of 3, 0 to 3 since 0"],
    );
    counts(
        "every 10 s",
        "0 0\n1 1\n5 9\n11 10\n12 11\ntick 30",
        &["11 counted good 10 of 10, 0 to 10 since 0", "22 counted good 1 of 11, 10 to 11 since 11"],
    );
}

#[test]
fn what_is_not_told_yet_is_told_before_anything_else() {
    counts(
        "every 10 s",
        "0 0\n1 1\n2 0\n3 1\ntick 20",
        &[
            "1 counted good 1 of 1, 0 to 1 since 0",
            "2 reset good 0 of 1, 1 to 0 since 1",
            "13 counted good 1 of 2, 0 to 1 since 2",
        ],
    );
    counts(
        "every 10 s",
        "0 0\n1 1\naway\nback\n3 4",
        &["1 counted good 1 of 1, 0 to 1 since 0", "3 gap good 3 of 4, 1 to 4 since 1, over a gap"],
    );
}

#[test]
fn while_a_condition_fails_nothing_is_counted() {
    let mut engine = guarded(RuleKind::Counter(Arc::new(counter(""))));
    let found: Vec<String> = apply(&mut engine, "0 other=0\n0 1\n1 3\n2 other=1\n3 4").iter().map(line).collect();
    assert_eq!(found, ["3 counted good 1 of 1, 3 to 4 since 1"]);
}

#[test]
fn what_a_rule_that_is_gone_has_counted_is_told() {
    let kind = || RuleKind::Counter(Arc::new(counter("every 10 s")));
    let (before, after) = edited(kind(), "0 0\n1 3\n2 4", None);
    assert!(before.is_empty());
    assert_eq!(after, ["2 counted good 4 of 4, 0 to 4 since 0"]);
    // A rule that counts otherwise from now on keeps what it knows, and tells it by its timer.
    let (_, after) = edited(kind(), "0 0\n1 3\n2 4", Some(RuleKind::Counter(Arc::new(counter("every 99 s")))));
    assert_eq!(after, Vec::<String>::new());
}
