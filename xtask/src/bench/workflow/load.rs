//! Who starts runs: `wrk` for the closed loop, threads of our own where their number is fixed.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::clock::Stopwatch;
use crate::command;

/// The input of every run.
pub(super) const INPUT: &str = r#"{"asset":"asset017","state":"ALARM","v":85.0}"#;
/// How long an answer waits for the end of its run.
const WAIT: &str = "?wait=30s";

/// The load generator with its script.
pub(super) struct Wrk<'a> {
    pub(super) program: &'a Path,
    pub(super) script: PathBuf,
}

/// What it found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) rate: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) errors: u64,
}

impl Wrk<'_> {
    /// A closed loop: each connection starts its next run when its last one has ended.
    pub(super) fn run(&self, url: &str, name: &str, connections: u32, secs: u32) -> Result<Found> {
        let mut wrk = Command::new(self.program);
        wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{secs}s"), "--timeout", "30s", "--latency", "-s"]);
        wrk.arg(&self.script).arg(url).env("RUN", name).env("PATH_TAIL", WAIT);
        found(&command::output(wrk).context("running wrk")?)
    }
}

fn found(printed: &str) -> Result<Found> {
    let after = |name: &str| printed.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let rate = after("Requests/sec:").and_then(|text| text.parse().ok());
    let Some(rate) = rate else { bail!("wrk printed no result:\n{printed}") };
    let of_errors = after("Non-2xx or 3xx responses:").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let of_sockets = after("Socket errors:")
        .map_or(0, |text| text.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum());
    Ok(Found {
        rate,
        p50_ms: after("50%").and_then(millis).unwrap_or(0.0),
        p99_ms: after("99%").and_then(millis).unwrap_or(0.0),
        errors: of_errors + of_sockets,
    })
}

/// `1.23ms`, `456.00us`, `1.02s` in milliseconds.
fn millis(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// Starts so many runs without waiting for their ends; how long that took.
pub(super) fn start_all(api: SocketAddr, path: &str, name: &str, runs: u32, connections: u32) -> Result<Duration> {
    let (next, stopwatch) = (AtomicU32::new(0), Stopwatch::start());
    let outcomes: Vec<Result<()>> = thread::scope(|scope| {
        let work = || -> Result<()> {
            let mut connection = Connection::open(api)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= runs {
                    return Ok(());
                }
                let (status, body) = connection.post(&format!("{path}/{name}-{number}"))?;
                ensure!(status == 201, "a start is answered with {status}: {body}");
            }
        };
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread failed"))).collect()
    });
    outcomes.into_iter().collect::<Result<()>>()?;
    Ok(stopwatch.elapsed())
}

/// How many runs wait, as the instance says.
pub(super) fn waiting(api: SocketAddr) -> Result<u64> {
    let (_, body) = Connection::open(api)?.ask("GET", "/v1/status", "")?;
    let status: serde_json::Value = serde_json::from_str(&body).context("reading the status")?;
    Ok(status.pointer("/counts/runs.waiting").and_then(serde_json::Value::as_u64).unwrap_or(0))
}

/// A connection to the API that stays.
pub(super) struct Connection {
    to: SocketAddr,
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let answers = BufReader::new(stream.try_clone()?);
        Ok(Self { to, stream, answers })
    }

    /// Starts a run.
    pub(super) fn post(&mut self, path: &str) -> Result<(u16, String)> {
        self.ask("POST", path, INPUT)
    }

    /// Asks for something.
    pub(super) fn get(&mut self, path: &str) -> Result<(u16, String)> {
        self.ask("GET", path, "")
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: \
            {}\r\n\r\n{body}",
            self.to,
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "the connection was closed");
        let status = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut length = 0;
        loop {
            let mut header = String::new();
            ensure!(self.answers.read_line(&mut header)? > 0, "the connection was closed");
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().context("reading a length")?;
            }
        }
        let mut body = vec![0; length];
        self.answers.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let printed = "\
Running 8s test @ http://127.0.0.1:1/v1
  1 threads and 64 connections
  Latency Distribution
     50%  812.00us
     75%    2.00ms
     90%    3.00ms
     99%    1.05s
  100 requests in 8.00s, 1.00MB read
  Socket errors: connect 0, read 3, write 0, timeout 1
  Non-2xx or 3xx responses: 2
Requests/sec:   1234.50
Transfer/sec:      1.00MB
";
        let found = found(printed).unwrap();
        assert_eq!(found, Found { rate: 1_234.5, p50_ms: 0.812, p99_ms: 1_050.0, errors: 6 });
        assert!(super::found("unable to connect").is_err());
    }
}
