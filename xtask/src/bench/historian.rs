//! `cargo xtask bench historian`: bytes a sample on disk by encoding, and how long a month of one signal takes to
//! answer.
//!
//! The measurements stand in the store, beside what they measure; this runs them as they are shipped.

use anyhow::{Result, ensure};

use super::figure::{self, Figure};
use super::rules;
use crate::command;

/// The measurements of the store: the program and the test in it.
const MEASUREMENTS: [(&[&str], &str); 2] =
    [(&["--lib"], "all_encodings"), (&["--test", "historian_speed"], "thirty_days_of_one_signal")];

/// The longest time of that question, ms, and the most bytes a sample.
const DAYS_MS_MAX: f64 = 200.0;
const BYTES_MAX: f64 = 8.0;

/// The command.
pub(crate) fn run() -> Result<()> {
    let mut found = Vec::new();
    for (program, test) in MEASUREMENTS {
        let mut cargo = command::cargo();
        cargo.args(["test", "--quiet", "--release", "--package", "andon-store"]).args(program);
        cargo.args(["--", test, "--ignored", "--nocapture", "--test-threads=1"]);
        let status = command::stream(cargo, |line| found.extend(rules::read(line)))?;
        ensure!(status.success(), "the measurement {test} failed");
    }
    // What each may take; the others are shown without.
    let most = |name: &str| match name {
        "30 days of a signal in 1,000 points, cold, ms" => Some(DAYS_MS_MAX),
        "bytes a sample on disk, with minutes" => Some(BYTES_MAX),
        _ => None,
    };
    let figures: Vec<Figure> = found
        .iter()
        .map(|line| {
            let figure = Figure::less("historian", &line.figure, line.value);
            most(&line.figure).map_or(figure.clone(), |most| figure.held_to(most))
        })
        .collect();
    figure::tell(&figures)
}
