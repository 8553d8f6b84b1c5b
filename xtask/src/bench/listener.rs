//! `cargo xtask bench listener`: four machines publish to the listener at QoS 1 and count their acknowledgements;
//! beside it, in the same run, a server that keeps nothing (the limit of this machine) and Mosquitto, which syncs
//! nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::broker::{Broker, free_port};
use super::figure::{self, Figure, Kind};
use super::publisher::{self, Plan, Published};
use super::report::{line, median};
use super::subject::{self, Start};
use super::{project, signal};
use crate::{command, process, setup};

/// Machines that publish.
const CONNECTIONS: u32 = 4;

/// Messages a second that must be held.
const RATE_MIN: u32 = 150_000;

/// Messages a second that are aimed at.
const RATE_AIM: u32 = 300_000;

/// The rates that are tried, highest first.
const RATES: [u32; 7] = [350_000, RATE_AIM, 250_000, 200_000, RATE_MIN, 100_000, 50_000];

/// CPU time for a message that is aimed at, microseconds.
const CPU_US_AIM: f64 = 2.0;

/// The longest time until a message is acknowledged at half of the least rate, for 99 of 100, milliseconds.
const P99_MS_MAX: f64 = 20.0;

/// The part of an offered rate that must be reached to count as held.
const HELD: f64 = 0.98;

/// The first number of a run.
const FIRST_RUN: u32 = 5_000;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Length of a run in seconds.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(3..=120))]
    secs: u32,
    /// The rate that is offered, where it is known: the highest that holds is not looked for.
    #[arg(long)]
    rate: Option<u32>,
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
    seconds: u32,
    /// The highest rate that the listener held.
    offered: u32,
    bare: Figures,
    mosquitto: Figures,
    andon: Figures,
    /// The listener at half of the least rate.
    half: Figures,
    /// Acknowledged and not stored, over all runs.
    lost: i64,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    peak_rss_mib: f64,
}

struct Run {
    published: Published,
    cpu_us: f64,
    peak_rss_mib: f64,
    lost: i64,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let mut bench = Bench::prepare(arguments)?;
    let length = Duration::from_secs(u64::from(arguments.secs));
    let offered = match arguments.rate {
        Some(rate) => rate,
        None => bench.highest(length)?,
    };
    let (mut bare, mut mosquitto, mut andon, mut half) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=arguments.runs {
        bare.push(plain(publisher::publish(bench.plan(bench.bare, offered, length))?));
        mosquitto.push(plain(publisher::publish(bench.plan(bench.broker.port, offered, length))?));
        andon.push(bench.measure(offered, length)?);
        half.push(bench.measure(RATE_MIN / 2, length)?);
        let told = |runs: &[Run]| runs.last().map_or_else(String::new, Run::told);
        eprintln!(
            "run {turn} at {offered}/s: bare {}; mosquitto {}; andon {}; at {}/s {}",
            told(&bare),
            told(&mosquitto),
            told(&andon),
            RATE_MIN / 2,
            told(&half)
        );
    }
    let lost = andon.iter().chain(&half).map(|run| run.lost).sum();
    let report = Report {
        runs: arguments.runs,
        seconds: arguments.secs,
        offered,
        bare: figures(&bare),
        mosquitto: figures(&mosquitto),
        andon: figures(&andon),
        half: figures(&half),
        lost,
    };
    figure::tell(&report.figures())?;
    println!("{}", if arguments.json { serde_json::to_string(&report)? } else { report.table() });
    Ok(())
}

struct Bench {
    andon: PathBuf,
    folder: PathBuf,
    broker: Broker,
    bare: u16,
    next_run: u32,
}

impl Bench {
    fn prepare(arguments: &Arguments) -> Result<Self> {
        let (andon, folder, broker) = signal::subjects(arguments.andon.as_deref())?;
        Ok(Self { andon, folder, broker, bare: publisher::bare::serve()?, next_run: FIRST_RUN })
    }

    fn plan(&self, port: u16, rate: u32, length: Duration) -> Plan {
        Plan { port, run: self.next_run, rate, length, connections: CONNECTIONS }
    }

    /// The highest of the rates that is held without loss.
    fn highest(&mut self, length: Duration) -> Result<u32> {
        for rate in RATES {
            let run = self.measure(rate, length)?;
            eprintln!("the listener at {rate}/s: {}", run.told());
            if run.lost == 0 && run.published.rate >= f64::from(rate) * HELD {
                return Ok(rate);
            }
        }
        Ok(*RATES.last().unwrap_or(&RATE_MIN))
    }

    /// One run with a new data folder; what was acknowledged must be stored.
    fn measure(&mut self, rate: u32, length: Duration) -> Result<Run> {
        self.next_run += 1;
        let port = free_port()?;
        let folder = subject::folder(&self.folder, self.next_run, &project::listening(self.next_run, port))?;
        let subject = Start { program: &self.andon, folder: &folder, trace: None }.run()?;
        let before = process::cpu_us(subject.pid)?;
        let published = publisher::publish(self.plan(port, rate, length))?;
        let cpu_us = signal::per(process::cpu_us(subject.pid)? - before, published.sent);
        let peak_rss_mib = process::peak_rss_mib(subject.pid)?;
        subject.stop()?;
        let lost = i64::try_from(published.acknowledged)? - i64::try_from(stored(&self.andon, &folder)?)?;
        signal::clear(&folder);
        Ok(Run { published, cpu_us, peak_rss_mib, lost })
    }
}

/// What a stopped data folder says it has stored and seen before.
pub(super) fn stored(andon: &Path, folder: &Path) -> Result<u64> {
    let mut list = std::process::Command::new(andon);
    list.args(["list", "sources", "--json", "--data"]).arg(folder.join("data"));
    let text = command::output(list).context("asking for what is stored")?;
    let row: serde_json::Value = serde_json::from_str(text.lines().next().unwrap_or_default())
        .with_context(|| format!("reading the sources: {text}"))?;
    let count = |name: &str| row.get(name).and_then(serde_json::Value::as_u64);
    ensure!(count("stored").is_some(), "the sources do not say what is stored: {text}");
    Ok(count("stored").unwrap_or(0) + count("duplicate").unwrap_or(0))
}

fn plain(published: Published) -> Run {
    Run { published, cpu_us: 0.0, peak_rss_mib: 0.0, lost: 0 }
}

fn figures(runs: &[Run]) -> Figures {
    let middle = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
    Figures {
        rate: middle(|run| run.published.rate),
        p50_ms: middle(|run| run.published.p50_ms),
        p99_ms: middle(|run| run.published.p99_ms),
        cpu_us: middle(|run| run.cpu_us),
        peak_rss_mib: middle(|run| run.peak_rss_mib),
    }
}

impl Run {
    fn told(&self) -> String {
        let Published { rate, p99_ms, sent, acknowledged, .. } = self.published;
        let cost = if self.cpu_us > 0.0 {
            format!(", {:.2} us, {:.0} MiB, lost {}", self.cpu_us, self.peak_rss_mib, self.lost)
        } else {
            String::new()
        };
        format!("{rate:.0}/s ({acknowledged} of {sent}), p99 {p99_ms:.1} ms{cost}")
    }
}

impl Report {
    fn figures(&self) -> [Figure; 3] {
        let Self { bare, mosquitto, andon, half, .. } = self;
        [
            Figure::more("listener", "acknowledged/s, QoS 1, durable", andon.rate)
                .held_to(f64::from(RATE_MIN) * HELD)
                .beside(Kind::Limit, "a server that keeps nothing", bare.rate)
                .beside(Kind::Rival, "Mosquitto, which keeps nothing on disk", mosquitto.rate),
            Figure::less("listener", "CPU per message, us", andon.cpu_us).held_to(CPU_US_AIM),
            Figure::less("listener", &format!("acknowledged at {}/s, p99 ms", RATE_MIN / 2), half.p99_ms)
                .held_to(P99_MS_MAX),
        ]
    }

    fn table(&self) -> String {
        let mut text = format!(
            "The listener at QoS 1 from {CONNECTIONS} connections, offered {}/s; medians of {} runs of {} s, fsync \
             on\n",
            self.offered, self.runs, self.seconds
        );
        let blank = || (String::new(), "");
        line(&mut text, "", "bare / mosquitto", "andon", ("target".to_owned(), ""));
        let both = |value: fn(&Figures) -> f64, digits: usize| {
            format!("{:.digits$} / {:.digits$}", value(&self.bare), value(&self.mosquitto))
        };
        let met = |is: bool| if is { "met" } else { "MISSED" };
        let andon = &self.andon;
        let rate = (format!(">= {RATE_MIN}"), met(andon.rate >= f64::from(RATE_MIN) * HELD && self.lost == 0));
        line(&mut text, "acknowledged/s", &both(|f| f.rate, 0), &format!("{:.0}", andon.rate), rate);
        line(&mut text, "ratio to the bare limit", "", &format!("{:.2}", andon.rate / self.bare.rate), blank());
        line(&mut text, "lost, all runs", "", &self.lost.to_string(), ("0".to_owned(), met(self.lost == 0)));
        line(&mut text, "p50, ms", &both(|f| f.p50_ms, 1), &format!("{:.1}", andon.p50_ms), blank());
        line(&mut text, "p99, ms", &both(|f| f.p99_ms, 1), &format!("{:.1}", andon.p99_ms), blank());
        let cost = (format!("aim {CPU_US_AIM}"), met(andon.cpu_us <= CPU_US_AIM));
        line(&mut text, "CPU per message, us", "", &format!("{:.2}", andon.cpu_us), cost);
        line(&mut text, "peak RSS, MiB", "", &format!("{:.1}", andon.peak_rss_mib), blank());
        let half = RATE_MIN / 2;
        let p99 = (format!("< {P99_MS_MAX}"), met(self.half.p99_ms < P99_MS_MAX));
        line(&mut text, &format!("p99 at {half}/s, ms"), "", &format!("{:.1}", self.half.p99_ms), p99);
        let _ = writeln!(text, "  bare: a server that reads, acknowledges at once and keeps nothing");
        text
    }
}
