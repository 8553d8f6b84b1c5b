//! `kill -9` in the middle: what is lost, what is repeated, and how soon it goes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::load::Connection;
use super::stub;
use super::{Bench, project};
use crate::clock::Stopwatch;

/// Runs that are started, each with a key of its own; a start that failed is repeated.
const RUNS: u32 = 6_000;
/// Who starts them.
const CONNECTIONS: u32 = 32;
/// Progress before the kill, in ended runs.
const BEFORE: u64 = 2_000;
/// How often the systems are asked whether it goes on.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// When everything must have ended.
const PATIENCE: Duration = Duration::from_mins(2);

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Crash {
    runs: u32,
    /// Ended before the kill.
    pub(super) ended_before: u64,
    /// From the start of the process until a system got a call.
    pub(super) progress_s: f64,
    /// From the start of the process until it was ready.
    pub(super) ready_s: f64,
    /// Runs that never reached the last system.
    pub(super) lost: u64,
    /// Effects beyond one for each run and system: calls under another key.
    pub(super) effects_repeated: u64,
    /// Calls that were sent again under the key of the first, of which a system of class `key` makes one.
    pub(super) resent: u64,
}

/// One kill in the middle of [`RUNS`] runs.
pub(super) fn measure(bench: &Bench) -> Result<Crash> {
    let (stub, folder, subject) = bench.start(901)?;
    let port = stub.port;
    let address = Mutex::new(subject.api);
    let (next, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| start_some(&address, &next, &over));
        }
        let measured = || -> Result<Crash> {
            wait("runs end", || Ok(stub.stats()?.last() >= BEFORE))?;
            subject.kill()?;
            // What was on its way is counted before the restart.
            let before = stub.wait_quiet()?;
            let stopwatch = Stopwatch::start();
            let progress = scope.spawn(move || {
                let made = |of: &stub::Stats| of.0.values().map(|of| of.calls).sum::<u64>();
                let calls = made(&before);
                while stopwatch.elapsed() < PATIENCE {
                    if stub::stats(port).is_ok_and(|now| made(&now) > calls) {
                        break;
                    }
                    thread::sleep(LOOK_EVERY);
                }
                (stopwatch.elapsed(), before.last())
            });
            let subject = bench.andon_in(&folder)?;
            let ready_s = subject.ready_after.as_secs_f64();
            *address.lock().unwrap_or_else(PoisonError::into_inner) = subject.api;
            let (progress, ended_before) = progress.join().map_err(|_| anyhow::anyhow!("a thread failed"))?;
            let all = u64::from(RUNS);
            let waited = wait("all runs end", || Ok(stub.stats()?.distinct().0 >= all));
            let after = stub.wait_quiet()?;
            if waited.is_err() {
                eprintln!("note: not all runs have ended: {after:?}");
            }
            subject.stop()?;
            let (fewest, most) = after.distinct();
            Ok(Crash {
                runs: RUNS,
                ended_before,
                progress_s: progress.as_secs_f64(),
                ready_s,
                lost: all.saturating_sub(fewest),
                effects_repeated: most.saturating_sub(all),
                resent: after.repeated(),
            })
        };
        let measured = measured();
        over.store(true, Ordering::Release);
        super::signal::clear(&folder);
        measured
    })
}

/// Starts the next run until there are no more; one whose answer did not come is asked for again with its key.
fn start_some(address: &Mutex<SocketAddr>, next: &AtomicU32, over: &AtomicBool) {
    let at = || *address.lock().unwrap_or_else(PoisonError::into_inner);
    let mut connection = Connection::open(at());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= RUNS {
            return;
        }
        let path = format!("{}/crash-{number}", project::HANDLE);
        while !over.load(Ordering::Acquire) {
            let answer = connection.as_mut().map_err(|_| ()).and_then(|open| open.post(&path).map_err(|_| ()));
            // 409: it was started before the kill, and only the answer was lost.
            if matches!(answer, Ok((201 | 409, _))) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
            connection = Connection::open(at());
        }
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let stopwatch = Stopwatch::start();
    while !holds().context("asking the systems")? {
        if stopwatch.elapsed() > PATIENCE {
            bail!("gave up waiting until {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
