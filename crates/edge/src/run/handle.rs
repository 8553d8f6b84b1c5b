//! The handle of a running source, and what it shares with the loop.

use crate::mqtt::Waker;
use andon_model::{
    Time,
    sample::{Batch, Counts},
};
use andon_store::StoreError;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// The condition of a running source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// Connected and subscribed.
    pub connected: bool,
    /// Since when.
    pub since: Time,
    /// Why not, or what is odd; empty when all is well.
    pub reason: String,
    /// Messages that were received and are durable, since the loop began.
    pub messages: u64,
    /// What became of their samples, since the loop began.
    pub counts: Counts,
}

/// A running source; dropping it stops it.
#[derive(Debug)]
pub struct SourceHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl SourceHandle {
    /// The condition at the moment.
    pub fn status(&self) -> SourceStatus {
        self.shared.status()
    }

    /// Ends the loop: what was received becomes durable and is acknowledged, then the broker is told. Returns when
    /// it is over.
    pub fn stop(&mut self) {
        self.shared.ask_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a source ended by a defect");
        }
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Wakes the thread of the loop, where it has one.
    waker: Option<Waker>,
    stop: AtomicBool,
    /// The thread blocks and must be woken when a part is durable.
    blocked: AtomicBool,
    /// Parts that are over, with the number of their flight.
    pub(super) done: Mutex<Vec<(u64, Result<(), StoreError>)>>,
    pub(crate) status: Mutex<SourceStatus>,
}

impl Shared {
    pub(crate) fn new(waker: Option<Waker>, since: Time) -> Self {
        let status = SourceStatus { since, reason: "starting".into(), ..SourceStatus::default() };
        Self {
            waker,
            stop: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            done: Mutex::default(),
            status: Mutex::new(status),
        }
    }

    /// The condition at the moment.
    pub(crate) fn status(&self) -> SourceStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for the end.
    pub(crate) fn ask_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits for a stop, or so long.
    pub(crate) fn wait(&self, timeout: Duration) {
        if let Some(waker) = &self.waker {
            waker.wait(Some(timeout));
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    /// Waits such that a part that becomes durable, or a stop, ends the wait.
    pub(super) fn block(&self, wait: impl FnOnce()) {
        self.blocked.store(true, Ordering::SeqCst);
        let nothing_done = self.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if nothing_done && !self.stopped() {
            wait();
        }
        self.blocked.store(false, Ordering::SeqCst);
    }

    /// Whether somebody asks for the end.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// A part of a flight is over.
    pub(super) fn part_done(&self, flight: u64, result: Result<Arc<Batch>, StoreError>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((flight, result.map(drop)));
        if self.blocked.load(Ordering::SeqCst) {
            self.wake();
        }
    }
}
