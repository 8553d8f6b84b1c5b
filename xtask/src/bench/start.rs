//! `cargo xtask bench start`: how long an instance takes to be ready again after `kill -9`, with many samples behind
//! it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::broker::free_port;
use super::figure::{self, Figure};
use super::publisher::{self, Plan};
use super::subject::{self, Start};
use super::{listener, process, project, signal};
use crate::setup;

/// The longest time until it is ready, seconds.
const READY_S_MAX: f64 = 2.0;

/// Messages a second with which the samples are brought in.
const RATE: u32 = 200_000;

/// The number of the run.
const RUN: u32 = 9_001;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Samples before the kill, in millions.
    #[arg(long, default_value_t = 50)]
    millions: u32,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let (andon, folder, _broker) = signal::subjects(arguments.andon.as_deref())?;
    let port = free_port()?;
    let folder = subject::folder(&folder, RUN, &project::listening(RUN, port))?;
    let start = Start { program: &andon, folder: &folder, broker: port, trace: None };
    let subject = start.run()?;
    let length = Duration::from_secs(u64::from(arguments.millions) * 1_000_000 / u64::from(RATE));
    let published = publisher::publish(Plan { port, run: RUN, rate: RATE, length, connections: 4 })?;
    subject.kill()?;
    let subject = start.run()?;
    let (ready, rss) = (subject.ready_after.as_secs_f64(), process::rss_mib(subject.pid)?);
    subject.stop()?;
    let stored = listener::stored(&andon, &folder)?;
    let verdict = if ready < READY_S_MAX { "met" } else { "MISSED" };
    println!("{stored} samples; kill -9; ready after {ready:.2} s (target < {READY_S_MAX}: {verdict}), {rss:.0} MiB");
    let name = format!("ready after kill -9 with {} M samples, s", arguments.millions);
    figure::tell(&[Figure::less("start", &name, ready).held_to(READY_S_MAX)])?;
    ensure!(stored >= published.acknowledged, "{} were acknowledged, {stored} are there", published.acknowledged);
    signal::clear(&folder);
    Ok(())
}
