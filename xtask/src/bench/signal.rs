//! `cargo xtask bench signal`: machines speak, events come back; beside it the broker alone, in the same run.
//!
//! 200 assets publish a pattern that must give two events in 50 messages. The load generator knows which, and
//! measures from the intended time of sending until the event is back. First the broker's own highest rate is
//! found, then Andon is offered nine tenths of it, in turns with the broker alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::broker::Broker;
use super::figure;
use super::load::{Found, Load, Plan};
use super::project;
use super::report::{Durable, Figures, Fresh, P99_MS_MAX, Report, SHARE, Setting, Signals, median};
use super::subject::{self, Start};
use crate::{command, process, root, setup};

/// The step in which the broker's highest rate is looked for, messages a second.
const RATE_STEP: u32 = 5_000;

/// Beyond this nobody looks, messages a second.
const RATE_MAX: u32 = 400_000;

/// How long the broker is tried at each step.
const STEP_SECONDS: u32 = 6;

/// How long an instance is left alone before its idle memory is read.
const IDLE_REST: Duration = Duration::from_secs(3);

/// How many fresh instances are started for the idle figures.
const FRESH_STARTS: u32 = 3;

/// The run that counts the calls which make data durable.
const TRACED: Plan = Plan { run: 0, qos: 1, rate: 2_000, seconds: 3 };

/// The first number of a run; the load generator takes 0 for "choose one".
const FIRST_RUN: u32 = 1_000;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each, the broker alone and Andon, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Length of a run in seconds.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(3..=120))]
    secs: u32,
    /// The quality of service.
    #[arg(long, default_value = "both", value_parser = ["0", "1", "both"])]
    qos: String,
    /// The broker's highest rate, where it is known: it is not looked for.
    #[arg(long)]
    broker_max: Option<u32>,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
    /// One line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// What stays the same in all runs.
struct Bench {
    andon: PathBuf,
    folder: PathBuf,
    broker: Broker,
    load: Load,
    next_run: u32,
}

/// What one run of Andon gave.
struct Run {
    found: Found,
    cpu_us: f64,
    peak_rss_mib: f64,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let mut bench = Bench::prepare(arguments.andon.as_deref())?;
    let setting = Setting {
        runs: usize::try_from(arguments.runs).unwrap_or(usize::MAX),
        seconds: arguments.secs,
        cores: thread::available_parallelism().map_or(1, usize::from),
        load_before: load_of_machine(),
    };
    if setting.load_before > 0.5 {
        eprintln!(
            "note: the machine is busy (load {:.1}); the figures will be worse than they are",
            setting.load_before
        );
    }
    let fresh = bench.fresh()?;
    let mut signals = Vec::new();
    for (qos, start) in [(0, 45_000), (1, 25_000)] {
        if arguments.qos == "both" || arguments.qos == qos.to_string() {
            signals.push(bench.signals(qos, start, arguments)?);
        }
    }
    let durable = bench.durable()?;
    let report = Report { setting, fresh, signals, durable };
    figure::tell(&report.figures())?;
    println!("{}", if arguments.json { report.json()? } else { report.table() });
    Ok(())
}

impl Bench {
    fn prepare(built: Option<&Path>) -> Result<Self> {
        let (andon, folder, broker) = subjects(built)?;
        let load = Load::build(&material()?.join("tools/mqload.c"), &folder, broker.port)?;
        Ok(Self { andon, folder, broker, load, next_run: FIRST_RUN })
    }

    /// Starts fresh instances and looks at them at rest.
    fn fresh(&mut self) -> Result<Fresh> {
        let (mut ready, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..FRESH_STARTS {
            let (folder, _) = self.folder_of_run(0)?;
            let subject = self.start(&folder, None).run()?;
            thread::sleep(IDLE_REST);
            ready.push(subject.ready_after.as_secs_f64());
            idle.push(process::rss_mib(subject.pid)?);
            subject.stop()?;
            clear(&folder);
        }
        Ok(Fresh { ready_s: median(ready), idle_rss_mib: median(idle) })
    }

    /// Finds the broker's highest rate, then lets it and Andon take turns below it.
    fn signals(&mut self, qos: u8, start: u32, arguments: &Arguments) -> Result<Signals> {
        let broker_max = match arguments.broker_max {
            Some(known) => known,
            None => highest(start, |rate| self.broker_holds(qos, rate))?,
        };
        if broker_max == 0 {
            bail!("the broker alone holds not even {RATE_STEP}/s at QoS {qos}; is the machine busy?");
        }
        let offered = share(broker_max);
        let (mut raw, mut andon) = (Vec::new(), Vec::new());
        for turn in 1..=arguments.runs {
            let plan = Plan { run: self.number(), qos, rate: offered, seconds: arguments.secs };
            raw.push(Run { found: self.load.raw(plan)?, cpu_us: 0.0, peak_rss_mib: 0.0 });
            andon.push(self.measure(Plan { run: 0, ..plan })?);
            if let (Some(raw), Some(andon)) = (raw.last(), andon.last()) {
                eprintln!("QoS {qos}, run {turn} at {offered}/s: broker {}; andon {}", told(raw), told(andon));
            }
        }
        Ok(Signals { qos, broker_max, offered, raw: figures(&raw), andon: figures(&andon) })
    }

    /// Whether the broker alone holds a rate; a failure is tried once more, because the machine is not ours alone.
    fn broker_holds(&mut self, qos: u8, rate: u32) -> Result<bool> {
        for _ in 0..2 {
            let run = self.number();
            let found = self.load.raw(Plan { run, qos, rate, seconds: STEP_SECONDS })?;
            eprintln!("QoS {qos}, the broker alone at {rate}/s: lost {}, p99 {:.1} ms", found.lost, found.p99_ms);
            if found.lost == 0 && found.p99_ms <= P99_MS_MAX {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One run of Andon with a new data folder.
    fn measure(&mut self, plan: Plan) -> Result<Run> {
        let (folder, run) = self.folder_of_run(plan.qos)?;
        let subject = self.start(&folder, None).run()?;
        let before = process::cpu_us(subject.pid)?;
        let found = self.load.signals(Plan { run, ..plan })?;
        let used = process::cpu_us(subject.pid)? - before;
        let peak_rss_mib = process::peak_rss_mib(subject.pid)?;
        subject.stop()?;
        clear(&folder);
        let cpu_us = per(used, found.sent);
        Ok(Run { found, cpu_us, peak_rss_mib })
    }

    /// Counts the calls that make data durable.
    fn durable(&mut self) -> Result<Durable> {
        let (folder, run) = self.folder_of_run(TRACED.qos)?;
        let trace = folder.join("strace");
        let subject = self.start(&folder, Some(&trace)).run()?;
        let found = self.load.signals(Plan { run, ..TRACED })?;
        subject.stop()?;
        let counts = fs::read_to_string(&trace).with_context(|| format!("reading {}", trace.display()))?;
        clear(&folder);
        Ok(Durable { fdatasync: calls(&counts, "fdatasync"), fsync: calls(&counts, "fsync"), messages: found.sent })
    }

    fn start<'a>(&'a self, folder: &'a Path, trace: Option<&'a Path>) -> Start<'a> {
        Start { program: &self.andon, folder, trace }
    }

    fn number(&mut self) -> u32 {
        self.next_run += 1;
        self.next_run
    }

    fn folder_of_run(&mut self, qos: u8) -> Result<(PathBuf, u32)> {
        let run = self.number();
        Ok((subject::folder(&self.folder, run, &project::files(run, qos, self.broker.port))?, run))
    }
}

/// Andon, given or built as it is shipped, a folder for its runs, and a broker beside it.
pub(super) fn subjects(built: Option<&Path>) -> Result<(PathBuf, PathBuf, Broker)> {
    let material = material()?;
    let folder = root::target()?.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let andon = andon(built)?;
    let broker = Broker::start(&material.join("mosquitto/mosquitto.conf"), &folder)?;
    Ok((andon, folder, broker))
}

/// Andon, given or built as it is shipped.
pub(super) fn andon(built: Option<&Path>) -> Result<PathBuf> {
    match built {
        Some(program) => program.canonicalize().with_context(|| format!("looking for {}", program.display())),
        None => build(&root::target()?),
    }
}

/// Builds Andon as it is shipped.
fn build(target: &Path) -> Result<PathBuf> {
    let mut build = command::cargo();
    build.args(["build", "--release", "--package", "andon"]);
    if !build.status().context("starting cargo")?.success() {
        bail!("andon does not build");
    }
    Ok(target.join("release/andon"))
}

/// The folder with the load generator and the broker's configuration.
pub(super) fn material() -> Result<PathBuf> {
    let folder = root::outside("ANDON_BENCH", "../shared/bench");
    for file in ["tools/mqload.c", "mosquitto/mosquitto.conf"] {
        if !folder.join(file).is_file() {
            bail!(
                "{} is missing; the load generator is not part of this repository: set ANDON_BENCH to the folder that \
                 holds tools/mqload.c and mosquitto/mosquitto.conf",
                folder.join(file).display()
            );
        }
    }
    Ok(folder)
}

/// The highest rate that holds, looked for in steps from a start; 0 when none does.
pub(super) fn highest(start: u32, mut holds: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let mut rate = start;
    if holds(rate)? {
        while rate + RATE_STEP <= RATE_MAX && holds(rate + RATE_STEP)? {
            rate += RATE_STEP;
        }
        return Ok(rate);
    }
    while rate > RATE_STEP {
        rate -= RATE_STEP;
        if holds(rate)? {
            return Ok(rate);
        }
    }
    Ok(0)
}

/// The part of the broker's highest rate that is offered.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is far below 2^32 and positive")]
pub(super) fn share(rate: u32) -> u32 {
    (f64::from(rate) * SHARE).round() as u32
}

/// Microseconds for each message.
#[expect(clippy::cast_precision_loss, reason = "microseconds and messages of a run are far below 2^52")]
pub(super) fn per(used: u64, messages: u64) -> f64 {
    if messages == 0 { 0.0 } else { used as f64 / messages as f64 }
}

fn figures(runs: &[Run]) -> Figures {
    let middle = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
    Figures {
        rate: middle(|run| run.found.achieved_rate),
        expected: runs.iter().map(|run| run.found.expected).sum(),
        lost: runs.iter().map(|run| run.found.lost.abs()).sum(),
        bad_order: runs.iter().map(|run| run.found.bad_order).sum(),
        p50_ms: middle(|run| run.found.p50_ms),
        p99_ms: middle(|run| run.found.p99_ms),
        cpu_us: middle(|run| run.cpu_us),
        peak_rss_mib: middle(|run| run.peak_rss_mib),
    }
}

fn told(run: &Run) -> String {
    let found = &run.found;
    let cost = if run.cpu_us > 0.0 {
        format!(", {:.2} us a message, {:.0} MiB", run.cpu_us, run.peak_rss_mib)
    } else {
        String::new()
    };
    format!("{:.0}/s, lost {}, p99 {:.1} ms{cost}", found.achieved_rate, found.lost, found.p99_ms)
}

/// How often a call was made, from the summary of strace.
fn calls(summary: &str, name: &str) -> u64 {
    let line = summary.lines().find(|line| line.split_whitespace().next_back() == Some(name));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0)
}

/// The mean number of processes that wanted to run in the last minute.
pub(super) fn load_of_machine() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Takes away what a good run leaves; a bad one ends earlier and keeps its folder.
pub(super) fn clear(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(limit: u32, start: u32) -> (u32, Vec<u32>) {
        let mut asked = Vec::new();
        let found = highest(start, |rate| {
            asked.push(rate);
            Ok(rate <= limit)
        });
        (found.unwrap(), asked)
    }

    #[test]
    fn the_highest_rate_is_walked_to_from_either_side() {
        assert_eq!(searched(57_000, 45_000), (55_000, vec![45_000, 50_000, 55_000, 60_000]));
        assert_eq!(searched(36_000, 45_000), (35_000, vec![45_000, 40_000, 35_000]));
        assert_eq!(searched(1_000, 10_000), (0, vec![10_000, 5_000]));
    }

    #[test]
    fn a_search_ends_at_a_failure_of_the_load_generator() {
        assert!(highest(45_000, |_| bail!("connect")).is_err());
    }

    #[test]
    fn nine_tenths_are_offered() {
        assert_eq!(share(55_000), 49_500);
    }

    #[test]
    fn calls_are_read_from_the_summary() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
                       ------ ----------- ----------- --------- --------- ----------------\n \
                       99.01    0.071000         142       500           fdatasync\n  \
                       0.99    0.000710         355         2         1 fsync\n\
                       100.00    0.071710         142       502         1 total\n";
        assert_eq!(calls(summary, "fdatasync"), 500);
        assert_eq!(calls(summary, "fsync"), 2);
        assert_eq!(calls("", "fsync"), 0);
    }

    #[test]
    fn losses_are_added_and_the_rest_are_medians() {
        let run = |lost, p99_ms| Run {
            found: Found { sent: 10, achieved_rate: 10.0, expected: 4, lost, bad_order: 1, p50_ms: 1.0, p99_ms },
            cpu_us: p99_ms,
            peak_rss_mib: 1.0,
        };
        let figures = figures(&[run(0, 1.0), run(2, 9.0), run(-1, 3.0)]);
        assert_eq!((figures.lost, figures.bad_order, figures.expected), (3, 3, 12));
        assert!((figures.p99_ms - 3.0).abs() < f64::EPSILON);
    }
}
