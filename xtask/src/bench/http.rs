//! `cargo xtask bench http`: batches of samples are posted over connections that stay; beside them, in the same run, a
//! server that reads the bodies and drops them (the limit of this machine).

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::figure::{self, Figure, Kind};
use super::report::{line, median};
use super::signal;
use super::subject::{self, Start};
use crate::clock::{Stopwatch, unix_us};
use crate::{process, setup};

/// Connections that post.
const CONNECTIONS: u32 = 4;

/// Assets that the samples are of, all on one site.
pub(super) const ASSETS: u32 = 200;

/// Samples a second that must be reached.
const RATE_MIN: f64 = 200_000.0;

/// The first number of a run.
const FIRST_RUN: u32 = 7_000;

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Samples of a run.
    #[arg(long, default_value_t = 1_600_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    samples: u32,
    /// Samples of a request.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// The form of a body.
    #[arg(long, default_value = "json", value_parser = ["json", "ndjson"])]
    form: String,
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
    samples: u32,
    batch: u32,
    form: String,
    bare: Figures,
    andon: Figures,
    /// Posted and not stored, over all runs.
    lost: i64,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    rate: f64,
    mib_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    peak_rss_mib: f64,
}

/// What was found when everything was posted.
struct Posted {
    seconds: f64,
    bytes: u64,
    stored: u64,
    /// How long each request took, in milliseconds.
    took_ms: Vec<f64>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let (andon, folder, _broker) = signal::subjects(arguments.andon.as_deref())?;
    let bare = drop_bodies()?;
    let (mut raw, mut own, mut lost) = (Vec::new(), Vec::new(), 0);
    for turn in 1..=arguments.runs {
        let posted = post(bare, &batches(arguments, turn), &arguments.form)?;
        raw.push(figures(&posted, arguments.samples, 0, 0.0));
        let (posted, cpu_us, rss) = measure(arguments, &andon, &folder, turn)?;
        own.push(figures(&posted, arguments.samples, cpu_us, rss));
        lost += i64::from(arguments.samples) - i64::try_from(posted.stored).unwrap_or(i64::MAX);
        if let (Some(raw), Some(own)) = (raw.last(), own.last()) {
            eprintln!(
                "run {turn}: dropped {:.0}/s; andon {:.0}/s, {:.2} us CPU, p99 {:.1} ms",
                raw.rate, own.rate, own.cpu_us, own.p99_ms
            );
        }
    }
    let report = Report {
        runs: arguments.runs,
        samples: arguments.samples,
        batch: arguments.batch,
        form: arguments.form.clone(),
        bare: medians(&raw),
        andon: medians(&own),
        lost,
    };
    figure::tell(&[Figure::more("http", "samples/s posted, durable", report.andon.rate).held_to(RATE_MIN).beside(
        Kind::Limit,
        "a server that drops them",
        report.bare.rate,
    )])?;
    println!("{}", if arguments.json { serde_json::to_string(&report)? } else { report.table() });
    Ok(())
}

/// One run of Andon with a new data folder.
fn measure(arguments: &Arguments, andon: &Path, base: &Path, turn: u32) -> Result<(Posted, u64, f64)> {
    let folder = subject::folder(base, FIRST_RUN + turn, &project())?;
    let subject = Start { program: andon, folder: &folder, trace: None }.run()?;
    let api = subject.api;
    let batches = batches(arguments, turn);
    let before = process::cpu_us(subject.pid)?;
    let posted = post(api, &batches, &arguments.form)?;
    let used = process::cpu_us(subject.pid)? - before;
    let rss = process::peak_rss_mib(subject.pid)?;
    subject.stop()?;
    let _ = std::fs::remove_dir_all(&folder);
    Ok((posted, used, rss))
}

/// The bodies of so many samples, for a measurement that does not look at the posts themselves.
pub(super) fn bodies(samples: u32, turn: u32) -> Vec<Vec<Vec<u8>>> {
    let (form, runs) = ("json".to_owned(), 1);
    batches(&Arguments { runs, samples, batch: 10_000, form, andon: None, json: false }, turn)
}

/// Posts them; how many samples were stored.
pub(super) fn post_all(to: SocketAddr, bodies: &[Vec<Vec<u8>>]) -> Result<u64> {
    post(to, bodies, "json").map(|posted| posted.stored)
}

/// The bodies of a run, made before the clock starts: for each connection those that it posts. Every sample is another.
fn batches(arguments: &Arguments, turn: u32) -> Vec<Vec<Vec<u8>>> {
    let start = unix_us() / 1_000_000 - 3_600;
    let mut all: Vec<Vec<Vec<u8>>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    let lines = arguments.form == "ndjson";
    for (number, first) in (0..arguments.samples).step_by(arguments.batch as usize).enumerate() {
        let mut body = String::new();
        let last = arguments.samples.min(first + arguments.batch);
        for sample in first..last {
            let separator = match (lines, sample == first) {
                (true, _) => "",
                (false, true) => "[",
                (false, false) => ",",
            };
            let (asset, at) = (sample % ASSETS, sample / ASSETS);
            let time = time(start + u128::from(at / 1_000), at % 1_000);
            let value = f64::from((sample * 7 + turn) % 1_000) / 16.0;
            let end = if lines { "\n" } else { "" };
            let _ = write!(
                body,
                "{separator}{{\"asset\":\"asset-{asset:03}\",\"signal\":\"vibration\",\"value\":{value},\
                 \"time\":\"{time}\"}}{end}"
            );
        }
        if !lines {
            body.push(']');
        }
        if let Some(of) = all.get_mut(number % CONNECTIONS as usize) {
            of.push(body.into_bytes());
        }
    }
    all
}

/// RFC 3339 of seconds since 1970 and milliseconds.
fn time(seconds: u128, millis: u32) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since the first of March of the year 0, in cycles of 400 years.
    let days = days + 719_468;
    let of_cycle = days % 146_097;
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + days / 146_097 * 400 + u128::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Posts everything and waits for the answers.
fn post(to: SocketAddr, batches: &[Vec<Vec<u8>>], form: &str) -> Result<Posted> {
    let media = if form == "ndjson" { "application/x-ndjson" } else { "application/json" };
    let stopwatch = Stopwatch::start();
    let outcomes: Vec<Result<(u64, Vec<f64>)>> = thread::scope(|scope| {
        let threads: Vec<_> = batches.iter().map(|bodies| scope.spawn(move || one(to, bodies, media))).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|outcome| outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("a connection failed")))).collect()
    });
    let seconds = stopwatch.elapsed().as_secs_f64();
    let (mut stored, mut took_ms) = (0, Vec::new());
    for outcome in outcomes {
        let (of, took) = outcome?;
        stored += of;
        took_ms.extend(took);
    }
    let bytes = batches.iter().flatten().map(|body| body.len() as u64).sum();
    Ok(Posted { seconds, bytes, stored, took_ms })
}

/// Posts bodies over one connection, one after the other.
fn one(to: SocketAddr, bodies: &[Vec<u8>], media: &str) -> Result<(u64, Vec<f64>)> {
    let mut stream = TcpStream::connect(to).context("connecting")?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let (mut stored, mut took) = (0, Vec::new());
    for body in bodies {
        let stopwatch = Stopwatch::start();
        let head = format!(
            "POST /v1/sources/posts/samples HTTP/1.1\r\nHost: {to}\r\nContent-Type: {media}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let answer = read(&mut answers)?;
        took.push(stopwatch.elapsed().as_secs_f64() * 1_000.0);
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 202, "the answer is {}: {text}", answer.status);
        let answer: serde_json::Value = serde_json::from_str(&text).context("reading the answer")?;
        stored += answer.get("stored").and_then(serde_json::Value::as_u64).unwrap_or(0);
    }
    Ok((stored, took))
}

/// A request or an answer.
pub(super) struct Message {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Reads a request or an answer, whose body has a length.
pub(super) fn read(from: &mut impl std::io::BufRead) -> Result<Message> {
    let mut first = String::new();
    ensure!(from.read_line(&mut first)? > 0, "the connection was closed");
    let status = first.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut length = 0;
    loop {
        let mut text = String::new();
        from.read_line(&mut text)?;
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().context("reading a length")?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Message { status, body })
}

/// A server that reads bodies and drops them, for as long as this process lives.
fn drop_bodies() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || -> Result<()> {
                stream.set_nodelay(true)?;
                let mut to = stream.try_clone()?;
                let mut from = BufReader::new(stream);
                while read(&mut from).is_ok() {
                    to.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 14\r\n\r\n{\"stored\":  0}")?;
                }
                Ok(())
            });
        }
    });
    Ok(address)
}

/// A project with one source that is posted to, and a rule that reads what is stored.
pub(super) fn project() -> Vec<(String, String)> {
    let mut assets = "site: plant\nzone: plant\ntimezone: UTC\nassets:\n".to_owned();
    for number in 0..ASSETS {
        let _ = writeln!(assets, "  asset-{number:03}: {{ class: machine }}");
    }
    let files = [
        (
            "andon.yaml",
            "name: bench\nformat: 1\ninstances:\n  bench: { role: both, zone: plant, api: '127.0.0.1:8730' }\n",
        ),
        ("policies/ownership.yaml", "teams:\n  bench: { mail: bench@plant.example }\nrules:\n  - { owner: bench }\n"),
        (
            "classes/machine.yaml",
            "signals:\n  vibration: { kind: f64, unit: mm/s }\nparameters:\n  vibration.High: 1000\n",
        ),
        ("rules/vibration.yaml", "kind: limit\non: machine.vibration\nseverity: { High: 700 }\n"),
        ("sources/posts.yaml", "kind: http\n"),
        ("assets/plant.yaml", assets.as_str()),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn figures(posted: &Posted, samples: u32, cpu_us: u64, peak_rss_mib: f64) -> Figures {
    let mut took = posted.took_ms.clone();
    took.sort_by(f64::total_cmp);
    let at =
        |part: usize| took.get((took.len() * part / 100).min(took.len().saturating_sub(1))).copied().unwrap_or(0.0);
    Figures {
        rate: f64::from(samples) / posted.seconds,
        mib_per_s: posted.bytes as f64 / posted.seconds / f64::from(1 << 20),
        p50_ms: at(50),
        p99_ms: at(99),
        cpu_us: cpu_us as f64 / f64::from(samples),
        peak_rss_mib,
    }
}

fn medians(runs: &[Figures]) -> Figures {
    let of = |get: fn(&Figures) -> f64| median(runs.iter().map(get).collect());
    Figures {
        rate: of(|run| run.rate),
        mib_per_s: of(|run| run.mib_per_s),
        p50_ms: of(|run| run.p50_ms),
        p99_ms: of(|run| run.p99_ms),
        cpu_us: of(|run| run.cpu_us),
        peak_rss_mib: of(|run| run.peak_rss_mib),
    }
}

impl Report {
    fn table(&self) -> String {
        let (bare, andon) = (&self.bare, &self.andon);
        let mut text = format!(
            "{} samples in requests of {} ({}), {CONNECTIONS} connections; medians of {} runs, fsync on\n",
            self.samples, self.batch, self.form, self.runs
        );
        let none = || (String::new(), "");
        line(&mut text, "", "dropped", "andon", ("target".to_owned(), ""));
        let verdict = if andon.rate >= RATE_MIN && self.lost == 0 { "met" } else { "MISSED" };
        let rate = (format!(">= {:.0}k", RATE_MIN / 1_000.0), verdict);
        line(&mut text, "samples/s", &format!("{:.0}", bare.rate), &format!("{:.0}", andon.rate), rate);
        let row = |text: &mut String, name: &str, bare: f64, andon: f64| {
            line(text, name, &format!("{bare:.2}"), &format!("{andon:.2}"), none());
        };
        row(&mut text, "MiB/s", bare.mib_per_s, andon.mib_per_s);
        row(&mut text, "p50 of a request, ms", bare.p50_ms, andon.p50_ms);
        row(&mut text, "p99 of a request, ms", bare.p99_ms, andon.p99_ms);
        line(&mut text, "CPU per sample, us", "", &format!("{:.2}", andon.cpu_us), none());
        line(&mut text, "peak RSS, MiB", "", &format!("{:.1}", andon.peak_rss_mib), none());
        let lost = ("0".to_owned(), if self.lost == 0 { "met" } else { "MISSED" });
        line(&mut text, "not stored, all runs", "", &self.lost.to_string(), lost);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are() {
        assert_eq!(time(1_764_000_000, 7), "2025-11-24T16:00:00.007Z");
        assert_eq!(time(1_709_164_800, 0), "2024-02-29T00:00:00.000Z");
    }

    #[test]
    fn what_is_dropped_is_answered() {
        let server = drop_bodies().unwrap();
        let batches = vec![vec![b"{}".to_vec(), b"[]".to_vec()]];
        let posted = post(server, &batches, "json").unwrap();
        assert_eq!((posted.bytes, posted.stored, posted.took_ms.len()), (4, 0, 2));
    }
}
