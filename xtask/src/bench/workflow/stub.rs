//! The program that plays the four systems, and what it has counted.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

use super::super::broker::free_port;
use crate::clock::Stopwatch;
use crate::command;

/// How long the stub may take to listen, and to come to rest.
const PATIENCE: Duration = Duration::from_mins(1);
/// What does not change for so long is at rest.
const QUIET: Duration = Duration::from_millis(200);
/// The last system of a run.
const LAST: &str = "/qms/notifications";

/// A running stub; it ends with this value.
pub(super) struct Stub {
    child: Child,
    pub(super) port: u16,
}

/// What one system has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Counted {
    /// Calls.
    pub(super) calls: u64,
    /// Keys.
    pub(super) distinct: u64,
    /// Calls beyond the first of a key.
    pub(super) repeated: u64,
}

/// What all have counted, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stats(pub(super) BTreeMap<String, Counted>);

impl Stats {
    /// Calls at the last system.
    pub(super) fn last(&self) -> u64 {
        self.0.get(LAST).map_or(0, |of| of.distinct)
    }

    pub(super) fn repeated(&self) -> u64 {
        self.0.values().map(|of| of.repeated).sum()
    }

    /// The fewest and the most keys that a system has seen.
    pub(super) fn distinct(&self) -> (u64, u64) {
        let all = || self.0.values().map(|of| of.distinct);
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }
}

/// Compiles the stub.
pub(super) fn build(source: &Path, folder: &Path) -> Result<PathBuf> {
    let program = folder.join("sysstub");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-w", "-o"]).arg(&program).arg(source);
    command::output(gcc).context("compiling the stub of the systems")?;
    Ok(program)
}

impl Stub {
    pub(super) fn start(program: &Path) -> Result<Self> {
        let port = free_port()?;
        let child = Command::new(program)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .spawn()
            .context("starting the stub of the systems")?;
        let mut stub = Self { child, port };
        let stopwatch = Stopwatch::start();
        while stub.stats().is_err() {
            if let Some(status) = stub.child.try_wait()? {
                bail!("the stub of the systems ended with {status}");
            }
            if stopwatch.elapsed() > PATIENCE {
                bail!("the stub of the systems does not listen at port {port}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(stub)
    }

    /// What it has counted.
    pub(super) fn stats(&self) -> Result<Stats> {
        stats(self.port)
    }

    /// Waits until no call comes any more; what was counted then.
    pub(super) fn wait_quiet(&self) -> Result<Stats> {
        let stopwatch = Stopwatch::start();
        let mut seen = self.stats()?;
        while stopwatch.elapsed() < PATIENCE {
            thread::sleep(QUIET);
            let now = self.stats()?;
            if now == seen {
                return Ok(now);
            }
            seen = now;
        }
        bail!("the systems do not come to rest within {} s", PATIENCE.as_secs())
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the stub at a port has counted.
pub(super) fn stats(port: u16) -> Result<Stats> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /stats HTTP/1.1\r\nHost: stub\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut some = [0; 4096];
    // The connection stays open: the answer is whole when its JSON is.
    loop {
        let read = stream.read(&mut some)?;
        answer.extend_from_slice(some.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if let Ok(found) = serde_json::from_str(body) {
            return Ok(Stats(found));
        }
        if read == 0 {
            bail!("the stub of the systems did not answer");
        }
    }
}
