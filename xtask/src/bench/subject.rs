//! Andon as the subject of a measurement: a fresh data folder, started, watched until ready, stopped.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::clock::Stopwatch;
use crate::process;

/// How long a start may take before it counts as failed.
const START_MAX: Duration = Duration::from_secs(30);

/// How long a clean stop may take.
const STOP_MAX: Duration = Duration::from_secs(20);

/// How often a start is looked at; the error of the time to ready.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running `andon run`; it ends with this value.
pub(super) struct Subject {
    child: Child,
    /// Andon itself, also where another program has started it.
    pub(super) pid: Pid,
    /// The address of its API.
    pub(super) api: SocketAddr,
    /// From the start of the process until `/readyz` said yes.
    pub(super) ready_after: Duration,
}

/// How Andon is started.
pub(super) struct Start<'a> {
    /// The binary.
    pub(super) program: &'a Path,
    /// A folder with `project`; `data` and `log` are made in it.
    pub(super) folder: &'a Path,
    /// Counts the calls that make data durable, into this file.
    pub(super) trace: Option<&'a Path>,
}

impl Start<'_> {
    /// Starts Andon and returns when it is ready.
    pub(super) fn run(&self) -> Result<Subject> {
        let log = self.folder.join("log");
        let mut command = self.command();
        let to = File::create(&log).context("making the log")?;
        // What a project is refused for stands in the output.
        command.stdin(Stdio::null()).stdout(to.try_clone().context("sharing the log")?).stderr(to);
        let stopwatch = Stopwatch::start();
        let child = command.spawn().context("starting andon")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut subject = Subject { child, pid, api: nowhere, ready_after: Duration::ZERO };
        loop {
            if let Some(status) = subject.child.try_wait()? {
                bail!("andon ended with {status} before it was ready:\n{}", tail(&log));
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            if let Some(api) = api_address(&said).filter(|api| answers(*api, "/readyz")) {
                subject.api = api;
                break;
            }
            if stopwatch.elapsed() > START_MAX {
                bail!("andon is not ready after {} s:\n{}", START_MAX.as_secs(), tail(&log));
            }
            thread::sleep(LOOK_EVERY);
        }
        subject.ready_after = stopwatch.elapsed();
        if self.trace.is_some() {
            subject.pid = process::child(subject.pid).context("looking for andon below strace")?;
        }
        Ok(subject)
    }

    fn command(&self) -> Command {
        let mut command = match self.trace {
            None => Command::new(self.program),
            Some(file) => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-c", "-e", "trace=fdatasync,fsync", "-o"]).arg(file).arg(self.program);
                strace
            }
        };
        command.arg("run").arg(self.folder.join("project"));
        command.arg("--data").arg(self.folder.join("data")).args(["--api", "127.0.0.1:0"]);
        command
    }
}

impl Subject {
    /// Ends Andon without a word.
    pub(super) fn kill(mut self) -> Result<()> {
        rustix::process::kill_process(self.pid, Signal::KILL).context("killing andon")?;
        self.child.wait().context("waiting for the end of andon")?;
        Ok(())
    }

    /// Asks Andon to stop and waits until it has.
    pub(super) fn stop(mut self) -> Result<()> {
        rustix::process::kill_process(self.pid, Signal::TERM).context("stopping andon")?;
        let stopwatch = Stopwatch::start();
        while self.child.try_wait()?.is_none() {
            if stopwatch.elapsed() > STOP_MAX {
                bail!("andon has not stopped {} s after it was asked to", STOP_MAX.as_secs());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A new folder for one start, with the project in it.
pub(super) fn folder(base: &Path, run: u32, project: &[(String, String)]) -> Result<PathBuf> {
    let folder = base.join(format!("run-{run}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    for (file, text) in project {
        let path = folder.join("project").join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(folder)
}

/// The address of the API in a log of JSON lines, where it says that it is ready.
fn api_address(log: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.into_iter().find_map(|line| line.get("api")?.as_str()?.parse().ok())
}

/// Whether a GET is answered with 200.
fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        // In one piece: a server may answer, and close, when it has read the first one.
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.split_whitespace().nth(1) == Some("200"))
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_address_of_the_api_is_that_of_no_other() {
        let log = concat!(
            "starting\n",
            "{\"message\":\"connected\",\"broker\":\"mqtt://127.0.0.1:1884\"}\n",
            "{\"message\":\"ready\",\"api\":\"127.0.0.1:40123\"}\n",
        );
        assert_eq!(api_address(log), Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 40123))));
        assert_eq!(api_address("{\"message\":\"starting\"}\n"), None);
    }

    #[test]
    fn only_200_is_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        assert!(!answers(address, "/readyz"));
        assert!(answers(address, "/readyz"));
        server.join().unwrap();
    }
}
