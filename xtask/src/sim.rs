//! `cargo xtask sim`: lives simulated worlds, one for each seed; a failure is told by its shortest story and the seed
//! that repeats it.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::clock::{Stopwatch, spoken};
use crate::command;

/// Where nobody looks at a terminal, progress is told so often.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Which seeds.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Worlds that are lived beside each other; by default as many as there are cores.
    #[arg(long)]
    jobs: Option<usize>,
    /// Print what happens in each world, line by line.
    #[arg(long)]
    trace: bool,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
    /// Build with optimisation: worth it from some thousand seeds on.
    #[arg(long)]
    release: bool,
}

/// What is told of a world.
#[derive(Deserialize)]
struct Told {
    seed: u64,
    #[serde(default)]
    seen: BTreeMap<String, u64>,
    #[serde(default)]
    broken: Option<String>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let mut command = command::cargo();
    command.args(["run", "--quiet", "--package", "andon-sim"]);
    if arguments.release {
        command.arg("--release");
    }
    command.arg("--").args([arguments.from.to_string(), arguments.seeds.to_string(), jobs.to_string()]);
    if arguments.trace {
        command.arg("trace");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting the simulation")?;
    let output = child.stdout.take().context("the simulation has no output")?;
    let mut progress = Progress::new(arguments.seeds);
    let (mut lived, mut seen, mut broken) = (0_u64, BTreeMap::<String, u64>::new(), Vec::new());
    for line in BufReader::new(output).lines() {
        let line = line.context("reading what the simulation tells")?;
        let Ok(told) = serde_json::from_str::<Told>(&line) else {
            println!("{line}");
            continue;
        };
        if let Some(what) = told.broken {
            broken.push((told.seed, what));
            continue;
        }
        lived += 1;
        told.seen.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
        progress.tell(lived);
    }
    progress.end();
    let status = child.wait().context("waiting for the simulation")?;
    let time = progress.watch.elapsed();
    if arguments.json {
        let seeds: Vec<u64> = broken.iter().map(|(seed, _)| *seed).collect();
        println!("{}", json!({"from": arguments.from, "lived": lived, "seen": seen, "broken": seeds}));
    } else {
        println!("{}", table(&seen));
    }
    for (_, what) in &broken {
        println!("{what}\n");
    }
    if !broken.is_empty() {
        bail!("{} of {} worlds break a promise: each is told in full above", broken.len(), lived + broken.len() as u64);
    }
    if !status.success() {
        bail!("the simulation ended with {status}");
    }
    if !arguments.json {
        println!("{lived} worlds from the seed {} on keep every promise ({})", arguments.from, spoken(time));
    }
    Ok(())
}

/// What was seen, each count in a line.
fn table(seen: &BTreeMap<String, u64>) -> String {
    let lines: Vec<String> = seen.iter().map(|(what, count)| format!("{what:<44} {count:>12}")).collect();
    lines.join("\n")
}

/// How far it is, on standard error: a line that changes on a terminal, one from time to time elsewhere.
struct Progress {
    all: u64,
    watch: Stopwatch,
    told: Duration,
    live: bool,
}

impl Progress {
    fn new(all: u64) -> Self {
        Self { all, watch: Stopwatch::start(), told: Duration::ZERO, live: io::stderr().is_terminal() }
    }

    fn tell(&mut self, lived: u64) {
        let now = self.watch.elapsed();
        if !self.live && now < self.told + TOLD_EVERY {
            return;
        }
        self.told = now;
        let (begin, end) = if self.live { ("\r", "\u{1b}[K") } else { ("", "\n") };
        let all = self.all;
        let _ = write!(io::stderr(), "{begin}{lived} of {all} worlds in {}{end}", spoken(now));
    }

    fn end(&self) {
        if self.live {
            let _ = writeln!(io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_a_table() {
        let seen = BTreeMap::from([("samples".to_owned(), 12), ("crash: killed".to_owned(), 3)]);
        let lines: Vec<String> =
            table(&seen).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines, ["crash: killed 3", "samples 12"]);
    }

    #[test]
    fn a_line_of_a_world_is_read() {
        let told: Told = serde_json::from_str(r#"{"seed":4,"seen":{"events":2},"hash":"ab"}"#).unwrap();
        assert_eq!((told.seed, told.seen.get("events"), told.broken), (4, Some(&2), None));
    }
}
