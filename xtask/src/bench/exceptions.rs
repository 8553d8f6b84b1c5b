//! `cargo xtask bench exceptions`: what a hundred thousand open exceptions cost whoever looks at them, and what it
//! costs to retry a group of ten thousand, beside the same calls made the first time.
//!
//! The measurement stands in `crates/node/tests/exceptions.rs`: an instance over a data folder on disk, asked through
//! its API. This runs it as it is shipped and shows the medians beside their targets.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::figure;
use super::report::median;
use super::rules::read;
use crate::command;

/// The measurement.
const MEASUREMENT: &str = "a_hundred_thousand_exceptions_are_listed_and_ten_thousand_retried";

/// What is asked for: the figure, and the most it may be.
const TARGETS: [(&str, f64); 3] = [
    ("100,000 open: list of groups, ms", 50.0),
    ("100,000 open: a page of one group, ms", 50.0),
    // As much as the calls, but for what two runs of the same thing differ by.
    ("retry against the first time", 1.1),
];

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut order: Vec<String> = Vec::new();
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in 0..arguments.runs {
        eprintln!("run {} of {}", run + 1, arguments.runs);
        let mut cargo = command::cargo();
        cargo.args(["test", "--quiet", "--release", "--package", "andon-node", "--test", "exceptions"]);
        cargo.args(["--", "--exact", MEASUREMENT, "--ignored", "--nocapture"]);
        let status = command::stream(cargo, |line| {
            if let Some(figure) = read(line) {
                if !found.contains_key(&figure.figure) {
                    order.push(figure.figure.clone());
                }
                found.entry(figure.figure).or_default().push(figure.value);
            }
        })?;
        ensure!(status.success() && !order.is_empty(), "the measurement failed");
    }
    let medians: Vec<(String, f64)> =
        order.into_iter().map(|name| (name.clone(), median(found.remove(&name).unwrap_or_default()))).collect();
    println!("\n{}", table(&medians));
    figure::tell(&medians.iter().map(|(name, value)| told(name, *value)).collect::<Vec<_>>())?;
    let json: BTreeMap<&str, f64> = medians.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    println!("{}", serde_json::to_string(&json)?);
    Ok(())
}

fn target(name: &str) -> Option<f64> {
    TARGETS.iter().find(|(of, _)| *of == name).map(|(_, most)| *most)
}

/// A figure as it stands beside those of other measurements.
fn told(name: &str, value: f64) -> figure::Figure {
    let figure = figure::Figure::less("exceptions", name, value);
    match target(name) {
        Some(most) => figure.held_to(most),
        None => figure,
    }
}

fn table(medians: &[(String, f64)]) -> String {
    let rows = medians.iter().map(|(name, value)| {
        let target = target(name).map(|most| format!("<= {most:<8}{}", if *value <= most { "met" } else { "MISSED" }));
        format!("  {name:<50}{value:>12.2}  {}", target.unwrap_or_default()).trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_its_target_where_it_has_one() {
        let of = |name: &str, value| (name.to_owned(), value);
        let told = table(&[
            of("100,000 open: list of groups, ms", 51.0),
            of("retry against the first time", 1.0),
            of("x", 1.0),
        ]);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].ends_with("MISSED") && lines[1].ends_with("met") && lines[2].ends_with("1.00"), "{told}");
    }
}
