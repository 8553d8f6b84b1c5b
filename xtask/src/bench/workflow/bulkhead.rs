//! `cargo xtask bench bulkhead`: one system of six hangs; what the runs that call the other five notice of it.
//!
//! Each pair is two runs over fresh folders, in alternating order: in the one all six answer, in the other the sixth
//! takes connections and says nothing. In both, runs that call the sixth are started at the same pace beside a closed
//! loop of runs that call the other five.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use super::load::Connection;
use super::{Bench, project};
use crate::bench::figure::{self, Figure};
use crate::bench::report::median;
use crate::bench::{signal, subject};
use crate::clock::Stopwatch;

/// The first number of a folder, behind those of the other measurements.
const FIRST_RUN: u32 = 800;
/// Runs under way at once that call the five.
const LOOPS: u32 = 8;
/// Between two runs that call the sixth.
const PACE: Duration = Duration::from_millis(20);
/// Between two looks at the queues.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What must be reached: the queue wait of the others in milliseconds, and their p99 beside that without the one that
/// hangs.
const WAIT_MS: f64 = 5.0;
const P99_RATIO: f64 = 1.5;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Pairs of runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pairs: u32,
    /// Length of a run in seconds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..=120))]
    secs: u32,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
    /// One line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// What the runs noticed that call the five.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Noticed {
    runs_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// The longest of the five middle waits for a place.
    wait_ms: f64,
}

/// Medians over the pairs.
#[derive(Debug, Serialize)]
struct Report {
    pairs: u32,
    secs: u32,
    /// All six answer.
    well: Noticed,
    /// The sixth hangs.
    hanging: Noticed,
    /// The p99 with the one that hangs over the one without, of each pair.
    p99_ratio: f64,
    /// Where the breaker of the one that hangs stood at the end, of the last pair.
    breaker: String,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let bench = Bench::prepare_without_wrk(arguments.andon.as_deref())?;
    let (mut well, mut hanging, mut ratios, mut breaker) = (Vec::new(), Vec::new(), Vec::new(), String::new());
    for pair in 0..arguments.pairs {
        let mut of_pair = [Noticed::default(); 2];
        // Which comes first alternates, so that what changes with time meets both alike.
        for hangs in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            let number = FIRST_RUN + 2 * pair + u32::from(hangs);
            let (noticed, state) = measure(&bench, number, hangs, arguments.secs)?;
            eprintln!(
                "pair {}, the sixth {}: {:.0} runs/s, p50 {:.2} ms, p99 {:.2} ms, queue {:.3} ms",
                pair + 1,
                if hangs { "hangs" } else { "answers" },
                noticed.runs_per_s,
                noticed.p50_ms,
                noticed.p99_ms,
                noticed.wait_ms
            );
            if hangs {
                breaker = state;
            }
            *of_pair.get_mut(usize::from(hangs)).context("there are two")? = noticed;
        }
        let [first, second] = of_pair;
        ratios.push(second.p99_ms / first.p99_ms.max(f64::EPSILON));
        well.push(first);
        hanging.push(second);
    }
    let report = Report {
        pairs: arguments.pairs,
        secs: arguments.secs,
        well: medians(&well),
        hanging: medians(&hanging),
        p99_ratio: median(ratios),
        breaker,
    };
    let figure = |name: &str, value: f64, target: f64| Figure::less("bulkhead", name, value).held_to(target);
    figure::tell(&[
        figure("queue wait of five systems while the sixth hangs, ms", report.hanging.wait_ms, WAIT_MS),
        figure("their p99 while it hangs, beside without", report.p99_ratio, P99_RATIO),
    ])?;
    println!("{}", if arguments.json { serde_json::to_string(&report)? } else { table(&report) });
    Ok(())
}

fn table(report: &Report) -> String {
    let line = |name: &str, of: &Noticed| {
        format!("{name:<18} {:>10.0} {:>10.2} {:>10.2} {:>12.3}", of.runs_per_s, of.p50_ms, of.p99_ms, of.wait_ms)
    };
    format!(
        "{:<18} {:>10} {:>10} {:>10} {:>12}\n{}\n{}\n\np99 {:.2} times that without (at most {P99_RATIO}); queue wait \
         {:.3} ms (below {WAIT_MS}); the breaker of the sixth: {}\nmedians of {} pairs of {} s",
        "the sixth",
        "runs/s",
        "p50 ms",
        "p99 ms",
        "queue ms",
        line("answers", &report.well),
        line("hangs", &report.hanging),
        report.p99_ratio,
        report.hanging.wait_ms,
        report.breaker,
        report.pairs,
        report.secs
    )
}

fn medians(of: &[Noticed]) -> Noticed {
    let middle = |value: fn(&Noticed) -> f64| median(of.iter().map(value).collect());
    Noticed {
        runs_per_s: middle(|of| of.runs_per_s),
        p50_ms: middle(|of| of.p50_ms),
        p99_ms: middle(|of| of.p99_ms),
        wait_ms: middle(|of| of.wait_ms),
    }
}

/// One run; with where the breaker of the sixth stood at its end.
fn measure(bench: &Bench, number: u32, hangs: bool, secs: u32) -> Result<(Noticed, String)> {
    let stub = super::Stub::start(&bench.stub)?;
    let sixth = if hangs { silent()? } else { stub.port };
    let folder = subject::folder(&bench.folder, FIRST_RUN + number, &project::six(stub.port, sixth))?;
    let subject = bench.andon_in(&folder)?;
    let api = subject.api;
    let length = Duration::from_secs(u64::from(secs));
    // Connections and prepared statements are made before it counts.
    closed_loop(api, "warm", Duration::from_secs(1))?;
    let (found, waits, state) = thread::scope(|scope| {
        let to_sixth = scope.spawn(move || pace(api, length));
        let looks = scope.spawn(move || look(api, length));
        let found = closed_loop(api, "run", length);
        to_sixth.join().unwrap_or_else(|_| bail!("a thread failed"))?;
        let (waits, state) = looks.join().unwrap_or_else(|_| bail!("a thread failed"))?;
        Ok::<_, anyhow::Error>((found?, waits, state))
    })?;
    ensure!(!hangs || state != "closed" || secs < 5, "the breaker of the system that hangs is closed at the end");
    subject.stop()?;
    signal::clear(&folder);
    let mut times = found;
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get((times.len() * part / 1_000).min(times.len().saturating_sub(1))).copied();
    Ok((
        Noticed {
            runs_per_s: f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX)) / f64::from(secs),
            p50_ms: at(500).context("no run has ended")?,
            p99_ms: at(990).context("no run has ended")?,
            wait_ms: median(waits),
        },
        state,
    ))
}

/// A system that takes connections, reads, and says nothing; its port.
fn silent() -> Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut some = [0; 4096];
                while stream.read(&mut some).is_ok_and(|read| read > 0) {}
            });
        }
    });
    Ok(port)
}

/// Runs that call the five, each started when the one before has ended; how long each took, in milliseconds.
fn closed_loop(api: SocketAddr, name: &str, length: Duration) -> Result<Vec<f64>> {
    let stopwatch = Stopwatch::start();
    let one = |of: u32| -> Result<Vec<f64>> {
        let (mut connection, mut times) = (Connection::open(api)?, Vec::new());
        for number in 0_u64.. {
            let begun = stopwatch.elapsed();
            if begun >= length {
                break;
            }
            let (status, body) = connection.post(&format!("{}/{name}-{of}-{number}?wait=30s", project::FIVE))?;
            ensure!(status == 200, "a run of the five ended with {status}: {body}");
            times.push((stopwatch.elapsed().saturating_sub(begun)).as_secs_f64() * 1_000.0);
        }
        Ok(times)
    };
    let one = &one;
    let all: Vec<Result<Vec<f64>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..LOOPS).map(|of| scope.spawn(move || one(of))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread failed"))).collect()
    });
    Ok(all.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Starts runs that call the sixth, at a pace; nobody waits for them.
fn pace(api: SocketAddr, length: Duration) -> Result<()> {
    let (stopwatch, mut connection) = (Stopwatch::start(), Connection::open(api)?);
    for number in 0_u32.. {
        let due = PACE * number;
        if due >= length {
            break;
        }
        thread::sleep(due.saturating_sub(stopwatch.elapsed()));
        let (status, body) = connection.post(&format!("{}/sixth-{number}", project::SIXTH))?;
        ensure!(status == 201, "a start is answered with {status}: {body}");
    }
    Ok(())
}

/// Looks at the queues from time to time: the longest middle wait of the five, in milliseconds; and where the breaker
/// of the sixth stands at the end.
fn look(api: SocketAddr, length: Duration) -> Result<(Vec<f64>, String)> {
    let (stopwatch, mut waits, mut state) = (Stopwatch::start(), Vec::new(), String::new());
    while stopwatch.elapsed() < length {
        thread::sleep(LOOK_EVERY);
        let (status, text) = Connection::open(api)?.get("/metrics")?;
        ensure!(status == 200, "/metrics is answered with {status}");
        let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        let five = text.lines().filter(|line| line.starts_with("andon_system_wait_microseconds{"));
        let five = five.filter(|line| !line.contains("\"sixth\"")).filter_map(value);
        waits.push(five.fold(0.0, f64::max) / 1_000.0);
        let is = |line: &&str| line.starts_with("andon_system_breaker{system=\"sixth\"") && line.ends_with("} 1");
        let found = text.lines().find(is).and_then(|line| line.split("state=\"").nth(1)?.split('"').next());
        found.context("/metrics tells no breaker of the sixth")?.clone_into(&mut state);
    }
    Ok((waits, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_both_and_how_they_compare() {
        let well = Noticed { runs_per_s: 400.0, p50_ms: 12.0, p99_ms: 30.0, wait_ms: 0.0 };
        let hanging = Noticed { p99_ms: 36.0, ..well };
        let report = Report { pairs: 5, secs: 15, well, hanging, p99_ratio: 1.2, breaker: "open".into() };
        let told = table(&report);
        assert!(told.contains("p99 1.20 times that without (at most 1.5)"), "{told}");
        assert!(told.lines().nth(2).unwrap().starts_with("hangs"), "{told}");
    }
}
