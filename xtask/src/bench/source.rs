//! `cargo xtask bench source`: an MQTT source alone, in a project without rules: machines publish to Mosquitto, and
//! every message must lie in the log. Beside it, in the same run, the broker alone, whose own highest rate is found
//! first.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::broker::Broker;
use super::figure::{self, Figure};
use super::load::{Found, Load, Plan};
use super::report::{P99_MS_MAX, line, median};
use super::subject::{self, Start};
use super::{listener, project, signal};
use crate::clock::Stopwatch;
use crate::{process, setup};

/// The most CPU time for a message by quality of service, in microseconds.
const CPU_US_MAX: [f64; 2] = [3.0, 5.0];

/// How long the broker is tried at each step of the search.
const STEP_SECONDS: u32 = 6;

/// A source is done when it has used less than this in [`QUIET_FOR`], in microseconds of CPU time.
const QUIET_US: u64 = 20_000;

/// See there.
const QUIET_FOR: Duration = Duration::from_millis(500);

/// How long the last messages are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// The first number of a run.
const FIRST_RUN: u32 = 7_000;

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

/// What was measured at one quality of service; medians, what was lost is a sum.
#[derive(Debug, Serialize)]
struct Measured {
    qos: u8,
    broker_max: u32,
    offered: u32,
    raw_rate: f64,
    raw_p99_ms: f64,
    raw_lost: i64,
    rate: f64,
    stored: u64,
    lost: i64,
    cpu_us: f64,
    cpu_us_min: f64,
    cpu_us_max: f64,
    peak_rss_mib: f64,
    runs: u32,
    seconds: u32,
}

/// One run of Andon.
struct Run {
    rate: f64,
    stored: u64,
    lost: i64,
    cpu_us: f64,
    peak_rss_mib: f64,
}

struct Bench {
    andon: PathBuf,
    folder: PathBuf,
    broker: Broker,
    load: Load,
    next_run: u32,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let (andon, folder, broker) = signal::subjects(arguments.andon.as_deref())?;
    let load = Load::build(&signal::material()?.join("tools/mqload.c"), &folder, broker.port)?;
    let mut bench = Bench { andon, folder, broker, load, next_run: FIRST_RUN };
    let mut measured = Vec::new();
    for (qos, start) in [(0, 45_000), (1, 25_000)] {
        if arguments.qos == "both" || arguments.qos == qos.to_string() {
            measured.push(bench.measured(qos, start, arguments)?);
        }
    }
    figure::tell(&measured.iter().map(Measured::figure).collect::<Vec<_>>())?;
    if arguments.json {
        println!("{}", serde_json::to_string(&measured)?);
    } else {
        for one in &measured {
            println!("{}", one.table());
        }
    }
    Ok(())
}

impl Bench {
    fn measured(&mut self, qos: u8, start: u32, arguments: &Arguments) -> Result<Measured> {
        let broker_max = match arguments.broker_max {
            Some(known) => known,
            None => signal::highest(start, |rate| {
                let found = self.raw(qos, rate, STEP_SECONDS)?;
                eprintln!("QoS {qos}, the broker alone at {rate}/s: lost {}, p99 {:.1} ms", found.lost, found.p99_ms);
                Ok(found.lost == 0 && found.p99_ms <= P99_MS_MAX)
            })?,
        };
        if broker_max == 0 {
            bail!("the broker alone holds no rate at QoS {qos}; is the machine busy?");
        }
        let offered = signal::share(broker_max);
        let (mut raw, mut andon) = (Vec::new(), Vec::new());
        for turn in 1..=arguments.runs {
            let alone = self.raw(qos, offered, arguments.secs)?;
            let run = self.source(qos, offered, arguments.secs)?;
            eprintln!(
                "QoS {qos}, run {turn} at {offered}/s: broker {:.0}/s, lost {}, p99 {:.1} ms; andon {:.0}/s, lost {}, \
                 {:.2} us a message, {:.0} MiB",
                alone.achieved_rate, alone.lost, alone.p99_ms, run.rate, run.lost, run.cpu_us, run.peak_rss_mib
            );
            raw.push(alone);
            andon.push(run);
        }
        let of = |value: fn(&Run) -> f64| andon.iter().map(value).collect::<Vec<f64>>();
        let cpu = of(|run| run.cpu_us);
        Ok(Measured {
            qos,
            broker_max,
            offered,
            raw_rate: median(raw.iter().map(|found| found.achieved_rate).collect()),
            raw_p99_ms: median(raw.iter().map(|found| found.p99_ms).collect()),
            raw_lost: raw.iter().map(|found| found.lost.abs()).sum(),
            rate: median(of(|run| run.rate)),
            stored: andon.iter().map(|run| run.stored).sum(),
            lost: andon.iter().map(|run| run.lost.abs()).sum(),
            cpu_us_min: cpu.iter().copied().fold(f64::INFINITY, f64::min),
            cpu_us_max: cpu.iter().copied().fold(0.0, f64::max),
            cpu_us: median(cpu),
            peak_rss_mib: median(of(|run| run.peak_rss_mib)),
            runs: arguments.runs,
            seconds: arguments.secs,
        })
    }

    fn raw(&mut self, qos: u8, rate: u32, seconds: u32) -> Result<Found> {
        self.next_run += 1;
        self.load.raw(Plan { run: self.next_run, qos, rate, seconds })
    }

    /// One run with a new data folder; what was published must be stored.
    fn source(&mut self, qos: u8, rate: u32, seconds: u32) -> Result<Run> {
        self.next_run += 1;
        let files = project::reading(self.next_run, qos, self.broker.port);
        let folder = subject::folder(&self.folder, self.next_run, &files)?;
        let subject = Start { program: &self.andon, folder: &folder, trace: None }.run()?;
        let before = process::cpu_us(subject.pid)?;
        let found = self.load.publish(Plan { run: self.next_run, qos, rate, seconds })?;
        let stopwatch = Stopwatch::start();
        let mut used = process::cpu_us(subject.pid)?;
        loop {
            thread::sleep(QUIET_FOR);
            let now = process::cpu_us(subject.pid)?;
            if now - used < QUIET_US || stopwatch.elapsed() > DRAIN_MAX {
                break;
            }
            used = now;
        }
        let cpu_us = signal::per(process::cpu_us(subject.pid)? - before, found.sent);
        let peak_rss_mib = process::peak_rss_mib(subject.pid)?;
        subject.stop()?;
        let stored = listener::stored(&self.andon, &folder)?;
        let lost = i64::try_from(found.sent)? - i64::try_from(stored)?;
        signal::clear(&folder);
        Ok(Run { rate: found.achieved_rate, stored, lost, cpu_us, peak_rss_mib })
    }
}

impl Measured {
    fn figure(&self) -> Figure {
        let most = CPU_US_MAX.get(usize::from(self.qos)).copied().unwrap_or_default();
        Figure::less("source", &format!("CPU per message, us, QoS {}", self.qos), self.cpu_us).held_to(most)
    }

    fn table(&self) -> String {
        let mut text = format!(
            "The MQTT source at QoS {}: the broker alone holds {}/s; offered {}/s; medians of {} runs of {} s, \
             fsync on\n",
            self.qos, self.broker_max, self.offered, self.runs, self.seconds
        );
        let blank = || (String::new(), "");
        let met = |is: bool| if is { "met" } else { "MISSED" };
        line(&mut text, "", "broker alone", "andon", ("target".to_owned(), ""));
        line(&mut text, "messages/s", &format!("{:.0}", self.raw_rate), &format!("{:.0}", self.rate), blank());
        let lost = ("0".to_owned(), met(self.lost == 0));
        line(
            &mut text,
            "lost, all runs",
            &self.raw_lost.to_string(),
            &format!("{} of {}", self.lost, self.stored),
            lost,
        );
        line(&mut text, "p99, ms", &format!("{:.1}", self.raw_p99_ms), "", blank());
        let most = CPU_US_MAX.get(usize::from(self.qos)).copied().unwrap_or_default();
        let cost = (format!("<= {most}"), met(self.cpu_us <= most));
        line(&mut text, "CPU per message, us", "", &format!("{:.2}", self.cpu_us), cost);
        let spread = format!("{:.2} to {:.2}", self.cpu_us_min, self.cpu_us_max);
        line(&mut text, "  least and most", "", &spread, blank());
        line(&mut text, "peak RSS, MiB", "", &format!("{:.1}", self.peak_rss_mib), blank());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_stands_beside_its_target_of_the_quality_of_service() {
        let mut measured = Measured {
            qos: 0,
            broker_max: 50_000,
            offered: 45_000,
            raw_rate: 45_000.0,
            raw_p99_ms: 9.0,
            raw_lost: 0,
            rate: 44_999.0,
            stored: 360_000,
            lost: 0,
            cpu_us: 3.5,
            cpu_us_min: 3.0,
            cpu_us_max: 4.0,
            peak_rss_mib: 30.0,
            runs: 5,
            seconds: 8,
        };
        let cost = |measured: &Measured| {
            measured.table().lines().find(|line| line.contains("CPU per message")).unwrap_or_default().to_owned()
        };
        assert!(cost(&measured).ends_with("3.50  <= 3    MISSED"), "{}", cost(&measured));
        measured.qos = 1;
        assert!(cost(&measured).ends_with("3.50  <= 5    met"), "{}", cost(&measured));
    }
}
