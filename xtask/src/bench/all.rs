//! `cargo xtask bench all`: every measurement, one after the other, so that all figures are of one run.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::signal;
use crate::command;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
}

/// The command. One measurement that fails keeps no other from being made.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (andon, ..) = signal::subjects(arguments.andon.as_deref())?;
    let runs = arguments.runs.to_string();
    let mut failed = Vec::new();
    for name in ["signal", "source", "listener", "http", "start", "historian", "rules", "workflow"] {
        println!("\n== {name}");
        let mut bench = command::cargo();
        bench.args(["xtask", "bench", name]);
        match name {
            "historian" => {}
            "rules" => {
                bench.args(["--runs", &runs]);
            }
            "start" => {
                bench.arg("--andon").arg(&andon);
            }
            _ => {
                bench.arg("--andon").arg(&andon).args(["--runs", &runs]);
            }
        }
        if !bench.status().with_context(|| format!("starting the measurement {name}"))?.success() {
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("these measurements failed: {}", failed.join(", ")) }
}
