//! `cargo xtask bench historian`: bytes a sample on disk by encoding, and how long a month of one signal takes to
//! answer.
//!
//! The measurements stand in the store, beside what they measure; this runs them as they are shipped.

use anyhow::{Result, ensure};

use crate::command;

/// The measurements of the store: the program and the test in it.
const MEASUREMENTS: [(&[&str], &str); 2] =
    [(&["--lib"], "all_encodings"), (&["--test", "historian_speed"], "thirty_days_of_one_signal")];

/// The command.
pub(crate) fn run() -> Result<()> {
    for (program, test) in MEASUREMENTS {
        let mut cargo = command::cargo();
        cargo.args(["test", "--quiet", "--release", "--package", "andon-store"]).args(program);
        cargo.args(["--", test, "--ignored", "--nocapture", "--test-threads=1"]);
        let status = command::stream(cargo, |_| ())?;
        ensure!(status.success(), "the measurement {test} failed");
    }
    Ok(())
}
