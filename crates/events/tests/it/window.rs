//! The semantics of windows: a timeline in, events out.

use crate::common::{SECOND, apply, engine, limit, lines, timeline};
use andon_contract::contract::{RuleKind, WindowFunction, WindowSettings};
use andon_model::span::Span;

/// `mean over 1 min every 20 s lateness 10 s at-least 3`.
pub(crate) fn window(text: &str, levels: &str) -> RuleKind {
    let (word, rest) = text.split_once(" over ").unwrap();
    let function = match word {
        "mean" => WindowFunction::Mean,
        "rms" => WindowFunction::Rms,
        "min" => WindowFunction::Min,
        "max" => WindowFunction::Max,
        "stddev" => WindowFunction::Stddev,
        "slope" => WindowFunction::Slope(Span::from_secs(60)),
        "count" => WindowFunction::Count,
        percentile => WindowFunction::Percentile(percentile.strip_prefix('p').unwrap().parse().unwrap()),
    };
    let (rest, at_least) = rest.split_once(" at-least ").unwrap_or((rest, ""));
    let (rest, lateness) = rest.split_once(" lateness ").unwrap_or((rest, "0 s"));
    let (over, every) = rest.split_once(" every ").unwrap_or((rest, rest));
    let least = u64::from(function != WindowFunction::Count);
    RuleKind::Window(WindowSettings {
        function,
        over: Span::parse(over).unwrap(),
        every: Span::parse(every).unwrap(),
        lateness: Span::parse(lateness).unwrap(),
        at_least: at_least.parse().unwrap_or(least),
        levels: limit(levels),
    })
}

fn check(text: &str, levels: &str, entries: &str, expected: &[&str]) {
    let mut engine = engine(window(text, levels));
    let found = lines(&apply(&mut engine, timeline(entries)));
    assert_eq!(found, expected, "{text} {levels}\n{entries}");
}

#[test]
fn a_window_closes_just_before_the_first_later_sample() {
    check(
        "mean over 1 min",
        "High 10",
        "0 8\n30 14\n60 0\n61 0\n120 0\n121 0",
        &["60 activated High 11", "120 returned High 0"],
    );
    // At its end it is still open, and what has that time belongs to the next.
    check("mean over 1 min", "High 10", "0 20\n60 0", &[]);
    check("mean over 1 min", "High 10", "0 20\n60 0\n50 0\n61 0", &[]);
    check("max over 1 min", "High 10", "0 20\ntick 60", &[]);
    check("max over 1 min", "High 10", "0 20\ntick 60.1", &["60 activated High 20"]);
    check("max over 1 min", "High 10", "0 20\n61 other", &["60 activated High 20"]);
}

#[test]
fn windows_lie_on_multiples_of_their_length() {
    check("max over 1 min", "High 10", "59 20\n61 1\n119 1\n121 1", &["60 activated High 20", "120 returned High 1"]);
    check("max over 1 h", "High 10", "100 20\n3599 1\n3601 1", &["3600 activated High 20"]);
}

#[test]
fn late_samples_are_taken_while_the_window_is_open() {
    check("mean over 1 min", "High 10", "0 8\n50 8\n20 20\n61 0", &["60 activated High 12"]);
    check("mean over 1 min", "High 10", "0 8\n61 0\n20 100\n121 0", &[]);
    check("mean over 1 min lateness 10 s", "High 10", "0 8\n61 0\n20 100\n71 0", &["60 activated High 54"]);
    check("mean over 1 min lateness 10 s", "High 10", "0 8\n71 0\n20 100\n131 0", &[]);
    // The delays run in the time of the windows, not in that of their closing.
    check(
        "mean over 10 s lateness 10 s",
        "High 10, OnDelay 10 s",
        "0 20\n10 20\n25 20\n31 20\n31.1 20",
        &["20 activated High 20"],
    );
    check("mean over 10 s lateness 10 s", "High 10, OnDelay 10 s", "0 20\n10 20\n25 20\n12 0\n13 0\n14 0\n31 20", &[]);
}

#[test]
fn a_window_with_too_few_samples_says_nothing() {
    check(
        "mean over 1 min at-least 3",
        "High 10",
        "0 20\n1 20\n61 0\n62 20\n63 30\n121 0",
        &["120 activated High 16.666666666666668"],
    );
    // An empty one neither ends nor delays what lasts.
    check("mean over 1 min", "High 10", "0 20\n61 20\n300 0\n400 0", &["60 activated High 20", "360 returned High 0"]);
    check("mean over 10 s", "High 10, OnDelay 1 min", "0 20\n100 0", &["70 activated High 20"]);
    check("stddev over 1 min", "High -1", "0 20\n61 0", &[]);
    check("slope over 1 min", "High -1", "0 20\n0 30\n61 0", &[]);
}

#[test]
fn a_count_of_nothing_is_a_number() {
    check(
        "count over 1 min",
        "Low 2",
        "0 1\n10 1\n20 1\n61 1\n70 1\n200 1\n241 1\n242 1\n301 1",
        &["180 activated Low 0", "300 returned Low 2"],
    );
    check(
        "count over 1 min",
        "Low 2, ReAlarmTime 1 h",
        "0 1\n1 1\ntick 7000",
        &["120 activated Low 0", "3720 realarmed Low 0"],
    );
    check("count over 1 min at-least 1", "Low 2", "0 1\n10 1\n1000 1\n1001 1\n1021 0", &[]);
    // Without any sample nobody knows whether there should have been some.
    check("count over 1 min", "Low 2", "tick 1000\n1001 other", &[]);
}

#[test]
fn only_good_samples_are_in_a_window() {
    check("max over 1 min", "High 10", "0 1\n10 20!\n20 20?\n30 20u\n61 1", &[]);
    check("count over 1 min", "Low 2", "0 1\n10 1!\n20 1?\n61 1", &["60 activated Low 1"]);
}

#[test]
fn sliding_windows_overlap() {
    check(
        "max over 1 min every 20 s",
        "High 10",
        "5 20\n25 1\n45 1\n65 1\n85 1",
        &["20 activated High 20", "80 returned High 1"],
    );
    // They close until nothing of them is left, without a further sample.
    check(
        "mean over 1 min every 20 s",
        "High 10, OffDelay 20 s",
        "5 20\n25 -40\ntick 100",
        &["20 activated High 20", "60 returned High -10"],
    );
    // A late sample counts in those that are still open.
    check("max over 1 min every 20 s", "High 10", "5 1\n45 1\n10 20\n65 1", &["60 activated High 20"]);
}

#[test]
fn every_function_is_the_one_of_the_books() {
    let values = "0 2\n1 4\n2 4\n3 4\n4 5\n5 5\n6 7\n7 9\n61 0";
    for (function, value) in [
        ("mean", "5"),
        ("min", "2"),
        ("max", "9"),
        ("count", "8"),
        ("stddev", "2.138089935299395"),
        ("rms", "5.385164807134504"),
        ("p50", "4.5"),
        ("p0", "2"),
        ("p100", "9"),
        ("p90", "7.6"),
        // 0.8095 in a second, by the minute.
        ("slope", "48.57142857142857"),
    ] {
        let mut engine = engine(window(&format!("{function} over 1 min"), "High 1"));
        let events = apply(&mut engine, timeline(values));
        let found: f64 = events[0].0.data["value"]["value"].as_str().unwrap().parse().unwrap();
        let expected: f64 = value.parse().unwrap();
        assert!((found - expected).abs() < 1e-9, "{function}: {found} {expected}");
    }
}

#[test]
fn its_evidence_are_the_samples_of_its_windows() {
    let mut engine = engine(window("mean over 1 min", "High 10"));
    // offsets:                            0     1      2       3      4     5      6      7      8
    let events = apply(&mut engine, timeline("0 20\n10 0!\n20 20\n61 20\n70 2\n80 30\n121 1\n130 1\n181 1"));
    let found: Vec<String> = events
        .iter()
        .map(|(event, e)| {
            let offsets: Vec<u64> = e.samples.iter().map(|s| s.position.offset).collect();
            format!("{} {} of {}: {offsets:?}", event.data["change"], event.data["value"]["value"], e.count)
        })
        .collect();
    // The bad one made nothing; of a return it lies between what decided before and what decides now.
    assert_eq!(found, [r#""activated" "20" of 2: [0, 2]"#, r#""returned" "1" of 5: [3, 4, 5, 6, 7]"#]);
    assert_eq!(events[0].0.data["condition"], "window");
}

#[test]
fn many_samples_cost_no_more_than_is_promised() {
    let mut engine = engine(window("max over 1 h", "High 10"));
    let samples: Vec<String> = (0..30_000).map(|i| format!("{} {}", f64::from(i) / 10.0, i % 10)).collect();
    assert!(apply(&mut engine, timeline(&format!("0 50\n{}", samples.join("\n")))).is_empty());
    // The highest is the first of all although it is no longer kept.
    let events = apply(&mut engine, timeline("3601 0"));
    assert_eq!(lines(&events), ["3600 activated High 50"]);
    assert_eq!(events[0].1.count, 10_000);
    assert_eq!(events[0].0.time.0, 3_600 * SECOND);
    let rows = engine.take_touched();
    let bytes: usize = rows.iter().map(|row| row.state.to_string().len()).sum();
    assert!(bytes > 0 && bytes < 1_000_000, "{bytes} bytes");
}

#[test]
fn an_empty_count_between_two_windows_is_told() {
    check("count over 10 s", "Low 1", "16 1\n24 other\n30 1\n35 1\n41 1", &["30 activated Low 0", "40 returned Low 2"]);
}
