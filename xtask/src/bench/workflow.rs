//! `cargo xtask bench workflow`: runs of four journaled HTTP tasks, closed loop; beside them what rivals reached and
//! what this machine allows.
//!
//! A stub plays the four systems and counts the calls it gets for each key. `wrk` starts a run for each request and
//! waits for its end, so that its latency is that of a whole run.

pub(crate) mod bulkhead;
mod crash;
mod load;
mod project;
mod stub;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use super::figure;
use super::report::median;
use super::signal;
use super::subject::{self, Start, Subject};
use crate::{command, process, root, setup};
use load::Wrk;
use stub::Stub;

/// Runs under way at once.
const CONCURRENCY: [u32; 4] = [1, 16, 64, 128];
/// Runs that only wait.
const WAITING: u32 = 100_000;
/// The first number of a folder.
const FIRST_RUN: u32 = 11_000;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Length of a run at each concurrency in seconds.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=60))]
    secs: u32,
    /// Runs that only wait.
    #[arg(long, default_value_t = WAITING)]
    waiting: u32,
    /// Only the closed loop: no waiting runs, no kill, no expressions.
    #[arg(long)]
    only_load: bool,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
    /// One line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// What was measured; medians.
#[derive(Debug, Serialize)]
struct Report {
    runs: u32,
    secs: u32,
    cores: usize,
    load_before: f64,
    load: Vec<Figures>,
    waiting: Option<Waiting>,
    crash: Option<crash::Crash>,
    /// Microseconds of the slowest and the middle mapping of the examples.
    expression_us: Option<(f64, f64)>,
    limits: Limits,
}

/// A closed loop.
#[derive(Debug, Clone, Default, Serialize)]
struct Figures {
    concurrency: u32,
    runs_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_ms: f64,
    rss_mib: f64,
    /// Answers that were no end of a run, over all runs.
    errors: u64,
    /// Calls beyond the first of a key, over all runs.
    repeated: u64,
}

/// Runs that only wait.
#[derive(Debug, Serialize)]
struct Waiting {
    runs: u64,
    rss_mib: f64,
    idle_rss_mib: f64,
    starts_per_s: f64,
    ready_again_s: f64,
}

/// What this machine allows.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "each is a number in a second, and the table says so")]
struct Limits {
    /// Commits of one row a second, and rows a second in commits of 100: `SQLite`, WAL, `synchronous=FULL`.
    commits_per_s: f64,
    rows_per_s: f64,
    /// Requests a second that the stub answers.
    requests_per_s: f64,
}

/// What stays the same in all runs.
struct Bench {
    andon: PathBuf,
    folder: PathBuf,
    tools: PathBuf,
    stub: PathBuf,
    wrk: PathBuf,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let bench = Bench::prepare(arguments.andon.as_deref())?;
    let load_before = signal::load_of_machine();
    if load_before > 0.5 {
        eprintln!("note: the machine is busy (load {load_before:.1}); the figures will be worse than they are");
    }
    let limits = bench.limits()?;
    let mut found: Vec<Vec<Figures>> = CONCURRENCY.map(|_| Vec::new()).to_vec();
    for run in 1..=arguments.runs {
        for (of, figures) in found.iter_mut().zip(bench.closed_loop(run, arguments.secs)?) {
            eprintln!(
                "run {run}, {} under way: {:.0} runs/s, p50 {:.1} ms, p99 {:.1} ms, {:.2} ms CPU",
                figures.concurrency, figures.runs_per_s, figures.p50_ms, figures.p99_ms, figures.cpu_ms
            );
            of.push(figures);
        }
    }
    let whole = !arguments.only_load;
    let report = Report {
        runs: arguments.runs,
        secs: arguments.secs,
        cores: thread::available_parallelism().map_or(1, usize::from),
        load_before,
        load: found.iter().map(|of| medians(of)).collect(),
        waiting: if whole { Some(bench.waiting(arguments.waiting)?) } else { None },
        crash: if whole { Some(crash::measure(&bench)?) } else { None },
        expression_us: if whole { Some(expressions()?) } else { None },
        limits,
    };
    figure::tell(&table::figures(&report))?;
    println!("{}", if arguments.json { serde_json::to_string(&report)? } else { table::of(&report) });
    Ok(())
}

impl Bench {
    fn prepare(built: Option<&Path>) -> Result<Self> {
        let Some(wrk) = command::find("wrk") else {
            bail!("wrk is missing, which drives the bench of workflows; on Debian: sudo apt-get install wrk");
        };
        Ok(Self { wrk, ..Self::prepare_without_wrk(built)? })
    }

    /// The same for what drives its runs itself.
    fn prepare_without_wrk(built: Option<&Path>) -> Result<Self> {
        setup::ensure()?;
        let tools = signal::material()?.join("tools");
        let source = tools.join("sysstub.c");
        ensure!(source.is_file(), "{} is missing: ANDON_BENCH names the folder that holds it", source.display());
        let folder = root::target()?.join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let andon = signal::andon(built)?;
        let stub = stub::build(&source, &folder)?;
        Ok(Self { andon, folder, tools, stub, wrk: PathBuf::new() })
    }

    /// A new data folder, the systems, and an instance over them.
    fn start(&self, number: u32) -> Result<(Stub, PathBuf, Subject)> {
        let stub = Stub::start(&self.stub)?;
        let folder = subject::folder(&self.folder, FIRST_RUN + number, &project::files(stub.port))?;
        let subject = self.andon_in(&folder)?;
        Ok((stub, folder, subject))
    }

    fn andon_in(&self, folder: &Path) -> Result<Subject> {
        Start { program: &self.andon, folder, trace: None }.run()
    }

    fn closed_loop(&self, run: u32, secs: u32) -> Result<Vec<Figures>> {
        let (stub, folder, subject) = self.start(run)?;
        let api = subject.api;
        let wrk = Wrk { program: &self.wrk, script: self.tools.join("wf.lua") };
        // What is made once, connections and prepared statements, is not measured.
        wrk.run(&format!("http://{api}{}", project::HANDLE), "warm", 16, 1)?;
        let mut all = Vec::new();
        for concurrency in CONCURRENCY {
            let (before, cpu) = (stub.stats()?, process::cpu_us(subject.pid)?);
            let name = format!("{run}-{concurrency}");
            let found = wrk.run(&format!("http://{api}{}", project::HANDLE), &name, concurrency, secs)?;
            // Runs that nobody waited for any more end all the same.
            stub.wait_quiet()?;
            let (after, used) = (stub.stats()?, process::cpu_us(subject.pid)? - cpu);
            let ended = after.last() - before.last();
            all.push(Figures {
                concurrency,
                runs_per_s: found.rate,
                p50_ms: found.p50_ms,
                p99_ms: found.p99_ms,
                cpu_ms: signal::per(used, ended) / 1_000.0,
                rss_mib: process::rss_mib(subject.pid)?,
                errors: found.errors,
                repeated: after.repeated() - before.repeated(),
            });
        }
        subject.stop()?;
        signal::clear(&folder);
        Ok(all)
    }

    fn waiting(&self, runs: u32) -> Result<Waiting> {
        let (_stub, folder, subject) = self.start(900)?;
        let idle_rss_mib = process::rss_mib(subject.pid)?;
        let started = load::start_all(subject.api, project::REST, "w", runs, 16)?;
        let rss_mib = process::rss_mib(subject.pid)?;
        subject.kill()?;
        let subject = self.andon_in(&folder)?;
        let ready_again_s = subject.ready_after.as_secs_f64();
        let waiting = load::waiting(subject.api)?;
        let again = process::rss_mib(subject.pid)?;
        subject.stop()?;
        signal::clear(&folder);
        let starts_per_s = f64::from(runs) / started.as_secs_f64();
        Ok(Waiting { runs: waiting, rss_mib: rss_mib.max(again), idle_rss_mib, starts_per_s, ready_again_s })
    }

    fn limits(&self) -> Result<Limits> {
        let stub = Stub::start(&self.stub)?;
        let wrk = Wrk { program: &self.wrk, script: self.tools.join("post.lua") };
        let requests_per_s = wrk.run(&format!("http://127.0.0.1:{}/eam/workorders", stub.port), "raw", 32, 3)?.rate;
        let raw = self.tools.join("../raw/rawdb.py");
        let mut python = std::process::Command::new("python3");
        let aside = self.folder.join("raw");
        python.arg(&raw).arg(&aside).arg("1");
        let printed = command::output(python).context("measuring the database alone")?;
        signal::clear(&aside);
        let figure = |batch: u32, of: &str| {
            let test = format!("sqlite WAL synchronous=FULL batch={batch}");
            let lines = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let line = lines.into_iter().find(|line| line.get("test").and_then(|name| name.as_str()) == Some(&test));
            line.and_then(|line| line.get(of)?.as_f64()).unwrap_or(0.0)
        };
        let (commits_per_s, rows_per_s) = (figure(1, "commits_per_s"), figure(100, "rows_per_s"));
        Ok(Limits { commits_per_s, rows_per_s, requests_per_s })
    }
}

fn medians(of: &[Figures]) -> Figures {
    let middle = |value: fn(&Figures) -> f64| median(of.iter().map(value).collect());
    Figures {
        concurrency: of.first().map_or(0, |figures| figures.concurrency),
        runs_per_s: middle(|f| f.runs_per_s),
        p50_ms: middle(|f| f.p50_ms),
        p99_ms: middle(|f| f.p99_ms),
        cpu_ms: middle(|f| f.cpu_ms),
        rss_mib: middle(|f| f.rss_mib),
        errors: of.iter().map(|f| f.errors).sum(),
        repeated: of.iter().map(|f| f.repeated).sum(),
    }
}

/// What the mappings of the examples cost: the slowest, and the middle one, in microseconds.
fn expressions() -> Result<(f64, f64)> {
    let mut cargo = command::cargo();
    cargo.args(["test", "--quiet", "--release", "--package", "andon-contract", "--test", "cost"]);
    cargo.args(["--", "--ignored", "--nocapture"]);
    let mut all = Vec::new();
    let status = command::stream(cargo, |line| {
        let json = line.find("{\"expression\"").and_then(|at| line.get(at..));
        let value = json.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
        all.extend(value.and_then(|value| value.get("us")?.as_f64()));
    })?;
    ensure!(status.success() && !all.is_empty(), "the measurement of expressions failed");
    Ok((all.iter().copied().fold(0.0, f64::max), median(all)))
}
