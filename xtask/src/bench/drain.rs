//! `cargo xtask bench drain`: how fast the rules read what was stored while they did not run, and what machines and
//! people notice of it meanwhile.
//!
//! Samples are posted as fast as they are taken, and Andon is killed before its rules have put their states into their
//! file: everything is stored, and after the next start the rules begin at the first sample again. While they read, a
//! machine publishes to the listener, one message after the other, and the status is asked for.

use std::fmt::Write as _;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::broker::free_port;
use super::figure::{self, Figure};
use super::report::median;
use super::subject::{self, Start};
use super::{http, signal};
use crate::clock::{Stopwatch, unix_us};
use crate::setup;

/// Samples a second that rules must read.
const RATE_MIN: f64 = 20_000.0;
/// The longest time of live traffic and of a question meanwhile, for 99 of 100, in milliseconds.
const LIVE_MS_MAX: f64 = 100.0;
/// The seam at which samples wait for the rules.
const RULES: &str = "historian -> rules";
/// The first number of a run.
const FIRST_RUN: u32 = 9_500;
/// How much of what is posted must wait after the start, in percent: otherwise the kill came too late.
const WAITS_MIN: u64 = 50;
/// The pause of the machine between two messages, and of who asks between two questions.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the rules may take at most.
const DRAIN_MAX: Duration = Duration::from_mins(5);

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Samples that are stored before the kill.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=20_000_000))]
    samples: u32,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
}

/// What one run found.
struct Drained {
    rate: f64,
    live_p99_ms: f64,
    asked_p99_ms: f64,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let (andon, folder, _broker) = signal::subjects(arguments.andon.as_deref())?;
    let mut runs = Vec::new();
    for turn in 1..=arguments.runs {
        let drained = measure(arguments.samples, &andon, &folder, turn)?;
        eprintln!(
            "run {turn}: {:.0} samples/s; p99 from publish to PUBACK {:.1} ms, of the status {:.1} ms",
            drained.rate, drained.live_p99_ms, drained.asked_p99_ms
        );
        runs.push(drained);
    }
    let of = |get: fn(&Drained) -> f64| median(runs.iter().map(get).collect());
    let (rate, live, asked) = (of(|run| run.rate), of(|run| run.live_p99_ms), of(|run| run.asked_p99_ms));
    let figures = [
        Figure::more("drain", "samples/s that rules read of a backlog", rate).held_to(RATE_MIN),
        Figure::less("drain", "p99 from publish to PUBACK meanwhile, ms", live).held_to(LIVE_MS_MAX),
        Figure::less("drain", "p99 of the status meanwhile, ms", asked).held_to(LIVE_MS_MAX),
    ];
    for figure in &figures {
        let verdict = if figure.is_met() == Some(true) { "met" } else { "MISSED" };
        println!("  {:<48}{:>12.1}  {verdict}", figure.name, figure.value);
    }
    figure::tell(&figures)
}

fn measure(samples: u32, andon: &Path, base: &Path, turn: u32) -> Result<Drained> {
    let port = free_port()?;
    let folder = subject::folder(base, FIRST_RUN + turn, &project(port))?;
    let start = Start { program: andon, folder: &folder, trace: None };
    let bodies = http::bodies(samples, turn);
    let subject = start.run()?;
    let stored = http::post_all(subject.api, &bodies)?;
    subject.kill()?;
    ensure!(stored == u64::from(samples), "{samples} were posted, {stored} were stored");

    let subject = start.run()?;
    let api = subject.api;
    let over = Arc::new(AtomicBool::new(false));
    let machine = thread::spawn({
        let over = Arc::clone(&over);
        move || live(port, &over)
    });
    let watched = watch(api, stored);
    over.store(true, Ordering::Release);
    let published = machine.join().map_err(|_| anyhow::anyhow!("the machine ended by a defect"))?;
    let (rate, asked) = watched?;
    subject.stop()?;
    signal::clear(&folder);
    Ok(Drained { rate, live_p99_ms: p99(published?)?, asked_p99_ms: p99(asked)? })
}

/// Asks for the status until nothing waits; samples a second, and how long each question took.
fn watch(api: SocketAddr, stored: u64) -> Result<(f64, Vec<f64>)> {
    let stopwatch = Stopwatch::start();
    let mut took = Vec::new();
    let mut first: Option<(Duration, u64)> = None;
    loop {
        let asked = stopwatch.elapsed();
        let status = get(api, "/v1/status")?;
        took.push(stopwatch.elapsed().saturating_sub(asked).as_secs_f64() * 1_000.0);
        if let Some(waiting) = waiting(&status, RULES) {
            let (since, begun) = *first.get_or_insert((asked, waiting));
            ensure!(
                begun * 100 >= stored * WAITS_MIN,
                "only {begun} of {stored} waited after the start: the rules were too far when andon was killed"
            );
            // What comes meanwhile waits for some milliseconds, too.
            if waiting * 1_000 <= begun {
                #[expect(clippy::cast_precision_loss, reason = "samples of a run are far below 2^52")]
                let rate = (begun - waiting) as f64 / asked.saturating_sub(since).as_secs_f64().max(f64::EPSILON);
                return Ok((rate, took));
            }
        }
        if stopwatch.elapsed() > DRAIN_MAX {
            bail!("the rules have not read everything after {} s", DRAIN_MAX.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

/// Waits until rules have read all that is stored.
pub(super) fn read_all(api: SocketAddr) -> Result<()> {
    let stopwatch = Stopwatch::start();
    while waiting(&get(api, "/v1/status")?, RULES) != Some(0) {
        if stopwatch.elapsed() > DRAIN_MAX {
            bail!("the rules have not read everything after {} s", DRAIN_MAX.as_secs());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// What waits at a seam; `None`: it could not be counted while more came.
pub(super) fn waiting(status: &Value, at: &str) -> Option<u64> {
    let seams = status.get("seams")?.as_array()?;
    let seam = seams.iter().find(|seam| seam.get("seam").and_then(Value::as_str) == Some(at))?;
    let terms = seam.get("terms")?.as_array()?;
    let term = terms.iter().find(|term| term.get("name").and_then(Value::as_str) == Some("waiting"))?;
    term.get("count")?.as_u64()
}

pub(super) fn get(api: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(api).context("connecting")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let answer = http::read(&mut BufReader::new(stream))?;
    ensure!(answer.status == 200, "{path} is answered with {}", answer.status);
    serde_json::from_slice(&answer.body).with_context(|| format!("reading {path}"))
}

/// A machine that publishes one message after the other at QoS 1; how long each acknowledgement took, in milliseconds.
fn live(port: u16, over: &AtomicBool) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting to the listener")?;
    stream.set_nodelay(true)?;
    stream.write_all(b"\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05drain")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).context("reading CONNACK")?;
    ensure!(answer == [0x20, 2, 0, 0], "the listener answered {answer:02x?} to CONNECT");
    let mut took = Vec::new();
    let mut id = 0_u16;
    while !over.load(Ordering::Acquire) {
        id = id.checked_add(1).unwrap_or(1);
        let topic = format!("live/asset-{:03}/vibration", id % 200);
        let payload = format!("{{\"ts\":{},\"v\":1}}", unix_us());
        let rest = u8::try_from(2 + topic.len() + 2 + payload.len()).context("the message is short")?;
        let mut publish = vec![0x32, rest];
        publish.extend_from_slice(&u16::try_from(topic.len())?.to_be_bytes());
        publish.extend_from_slice(topic.as_bytes());
        publish.extend_from_slice(&id.to_be_bytes());
        publish.extend_from_slice(payload.as_bytes());
        let stopwatch = Stopwatch::start();
        stream.write_all(&publish)?;
        stream.read_exact(&mut answer).context("reading PUBACK")?;
        took.push(stopwatch.elapsed().as_secs_f64() * 1_000.0);
        ensure!(answer.get(..2) == Some(&[0x40, 2]), "the listener answered {answer:02x?} to PUBLISH");
        thread::sleep(PAUSE);
    }
    Ok(took)
}

fn p99(mut took: Vec<f64>) -> Result<f64> {
    took.sort_by(f64::total_cmp);
    took.get(took.len().saturating_sub(1) * 99 / 100).copied().context("nothing was measured: use more samples")
}

/// A source that is posted to, one that listens, and a rule that reads both.
fn project(port: u16) -> Vec<(String, String)> {
    let mut assets = "site: plant\nzone: plant\ntimezone: UTC\nassets:\n".to_owned();
    for number in 0..http::ASSETS {
        let _ = writeln!(assets, "  asset-{number:03}: {{ class: machine }}");
    }
    let instance = format!(
        "name: bench\nformat: 1\ninstances:\n  bench:\n    role: both\n    zone: plant\n    api: '127.0.0.1:8730'\n    \
         listeners:\n      plant: {{ address: '127.0.0.1:{port}' }}\n"
    );
    let source = "kind: mqtt\nlistener: plant\ntopics:\n  - topic: live/{asset}/vibration\n    signals:\n      \
                  vibration:\n        value: /v\n        time: { at: /ts, form: us }\n";
    let mut files = http::project();
    files.retain(|(path, _)| path != "andon.yaml" && path != "assets/plant.yaml");
    let own = [("andon.yaml", instance.as_str()), ("assets/plant.yaml", &assets), ("sources/machines.yaml", source)];
    files.extend(own.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_read_from_the_status() {
        let status = serde_json::json!({"seams": [
            {"seam": "log -> files", "terms": [{"name": "waiting", "count": 1}]},
            {"seam": "historian -> rules", "terms": [{"name": "stored", "count": 9}, {"name": "waiting", "count": 7}]},
        ]});
        assert_eq!(waiting(&status, RULES), Some(7));
        assert_eq!(waiting(&serde_json::json!({"seams": []}), RULES), None);
    }

    #[test]
    fn the_slowest_of_a_hundred_is_left_out() {
        let took = (0..101).map(f64::from).collect();
        assert!((p99(took).unwrap() - 99.0).abs() < f64::EPSILON);
        assert!(p99(Vec::new()).is_err());
    }
}
