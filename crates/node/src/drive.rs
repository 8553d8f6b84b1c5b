//! Drives a loop on a thread of its own: step after step while there is work, asleep until the store changes otherwise.

use crate::clock;
use andon_model::span::Span;
use andon_store::{Store, StoreError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The longest sleep of a loop: so late does it notice what nobody told it.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// Steps that find work begin at least this far apart where a loop is paced: what comes meanwhile shares one commit.
/// The first step after a rest is never held up.
const PACE: Duration = Duration::from_millis(20);
/// The pause after a failed step; it is then tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a loop reads, and so what wakes it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reads {
    /// The log and rows.
    Log,
    /// Rows alone.
    Rows,
    /// Rows, and what comes for runs: outcomes, starts.
    Runs,
}

impl Reads {
    fn seen(self, store: &Store) -> u64 {
        match self {
            Self::Log => store.change(),
            Self::Rows => store.change_of_rows(),
            Self::Runs => store.change_of_runs(),
        }
    }

    /// Telemetry comes by the thousand a second and each commit costs a sync; rows come one story at a time.
    fn pace(self) -> Duration {
        match self {
            Self::Log => PACE,
            Self::Rows | Self::Runs => Duration::ZERO,
        }
    }

    fn wait(self, store: &Store, seen: u64, timeout: Duration) {
        match self {
            Self::Log => store.wait_change(seen, timeout),
            Self::Rows => store.wait_rows(seen, timeout),
            Self::Runs => store.wait_runs(seen, timeout),
        };
    }
}

/// What a step did.
pub(crate) enum Turn {
    /// Something; there may be more at once.
    Worked,
    /// Nothing; there may be something after this span although the store does not change.
    Idle(Option<Span>),
}

/// A loop at work.
pub(crate) struct Worker {
    name: &'static str,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a loop. `step` is repeated; `end` runs once after the last step of a clean stop.
    pub(crate) fn start(
        name: &'static str,
        (store, reads): (Store, Reads),
        step: impl FnMut() -> Result<Turn, StoreError> + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let this = asked.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut step = step;
            let mut failing = false;
            while !this.load(Ordering::Acquire) {
                let begun = clock::monotonic().std();
                let seen = reads.seen(&store);
                let (sleep, failed) = match step() {
                    Ok(Turn::Worked) => (None, false),
                    Ok(Turn::Idle(until)) => (Some(until.map_or(SLEEP_MAX, |s| s.std().min(SLEEP_MAX))), false),
                    Err(error) => {
                        // The same failure every second is told once.
                        if !failing {
                            tracing::error!(part = name, error = %error, "a step failed and is tried again");
                        }
                        (Some(PAUSE), true)
                    }
                };
                if failing && !failed {
                    tracing::info!(part = name, "works again");
                }
                failing = failed;
                match sleep {
                    None => thread::sleep((begun + reads.pace()).saturating_sub(clock::monotonic().std())),
                    Some(pause) if failed => thread::park_timeout(pause),
                    Some(sleep) => {
                        reads.wait(&store, seen, sleep);
                    }
                }
            }
            end();
        })?;
        Ok(Self { name, stop: asked, thread })
    }

    /// Whether its thread is alive. A loop ends only by a stop or by a fault of ours.
    pub(crate) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// What it does.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Asks it to stop after the step it is in; [`Store::wake`] must follow.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    /// Waits for its end; whether it was none by a fault.
    pub(crate) fn join(self) -> bool {
        let ended = self.thread.join();
        if ended.is_err() {
            tracing::error!(part = self.name, "ended by a fault");
        }
        ended.is_ok()
    }
}
