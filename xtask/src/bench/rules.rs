//! `cargo xtask bench rules`: what rules cost when there are very many.
//!
//! The measurements stand in `crates/events/tests/it/scale.rs`, beside what they measure: the loop of the product over
//! a data folder on disk, every group and every commit synced, in a process of its own for each. This runs them as they
//! are shipped and shows the medians beside their targets.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::figure;
use super::report::median;
use crate::command;

/// The measurements, each in a process of its own.
const MEASUREMENTS: [&str; 4] = [
    "ten_thousand_rules_on_one_stream",
    "a_sample_costs_the_same_among_many_signals",
    "states_of_many_signals_are_kept_and_found",
    "events_come_soon",
];

/// What is asked for: the figure, and the number it is held against.
const TARGETS: [(&str, Target); 8] = [
    ("quiet: million evaluations/s", Target::AtLeast(10.0)),
    ("all rules pending: million evaluations/s", Target::AtLeast(10.0)),
    ("memory of a rule, bytes", Target::AtMost(2_048.0)),
    ("200000 signals: ns a sample", Target::AtMost(25_000.0)),
    ("10,000 rules at 500/s: p99 from sample to event, ms", Target::AtMost(25.0)),
    ("200,000 signals at 20,000/s: p99 from sample to event, ms", Target::AtMost(25.0)),
    ("checkpoint of 200,000 states, s", Target::AtMost(2.0)),
    ("recovery of 200,000 states, s", Target::AtMost(2.0)),
];

/// What a figure is held against.
#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each.
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

/// A line of a measurement.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) figure: String,
    pub(super) value: f64,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut order: Vec<String> = Vec::new();
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in 0..arguments.runs {
        for test in MEASUREMENTS {
            eprintln!("run {} of {}: {test}", run + 1, arguments.runs);
            let mut cargo = command::cargo();
            cargo.args(["test", "--quiet", "--release", "--package", "andon-events", "--test", "it"]);
            cargo.args(["--", "--exact", &format!("scale::{test}"), "--ignored", "--nocapture"]);
            let status = command::stream(cargo, |line| {
                if let Some(figure) = read(line) {
                    if !found.contains_key(&figure.figure) {
                        order.push(figure.figure.clone());
                    }
                    found.entry(figure.figure).or_default().push(figure.value);
                }
            })?;
            ensure!(status.success(), "the measurement {test} failed");
        }
    }
    let medians: Vec<(String, f64)> =
        order.into_iter().map(|name| (name.clone(), median(found.remove(&name).unwrap_or_default()))).collect();
    println!("\n{}", table(&medians));
    figure::tell(&medians.iter().map(|(name, value)| told(name, *value)).collect::<Vec<_>>())?;
    let json: BTreeMap<&str, f64> = medians.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    println!("{}", serde_json::to_string(&json)?);
    Ok(())
}

/// A figure as it stands beside those of other measurements.
fn told(name: &str, value: f64) -> figure::Figure {
    match TARGETS.iter().find(|(of, _)| *of == name).map(|(_, target)| target) {
        Some(Target::AtLeast(least)) => figure::Figure::more("rules", name, value).held_to(*least),
        Some(Target::AtMost(most)) => figure::Figure::less("rules", name, value).held_to(*most),
        None => figure::Figure::less("rules", name, value),
    }
}

/// A figure that stands in a line, whatever stands before it.
pub(super) fn read(line: &str) -> Option<Line> {
    serde_json::from_str(line.get(line.find("{\"figure\"")?..)?).ok()
}

fn table(medians: &[(String, f64)]) -> String {
    let rows = medians.iter().map(|(name, value)| {
        let target = TARGETS.iter().find(|(of, _)| of == name).map(|(_, target)| match target {
            Target::AtLeast(least) => format!(">= {least:<8}{}", if value >= least { "met" } else { "MISSED" }),
            Target::AtMost(most) => format!("<= {most:<8}{}", if value <= most { "met" } else { "MISSED" }),
        });
        format!("  {name:<66}{value:>12.2}  {}", target.unwrap_or_default()).trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_behind_the_name_of_its_test() {
        let line = r#"test scale::x ... {"figure":"quiet: million evaluations/s","value":71.5}"#;
        let found = read(line).unwrap();
        assert_eq!(found.figure, "quiet: million evaluations/s");
        assert!(read("test scale::x ... ok").is_none());
        assert!(read(r#"{"figure": "#).is_none());
    }

    #[test]
    fn a_figure_stands_beside_its_target_where_it_has_one() {
        let of = |name: &str, value| (name.to_owned(), value);
        let table =
            table(&[of("memory of a rule, bytes", 2_100.0), of("quiet: million evaluations/s", 12.0), of("x", 1.0)]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].ends_with("MISSED") && lines[1].ends_with("met") && lines[2].ends_with("1.00"), "{table}");
    }
}
