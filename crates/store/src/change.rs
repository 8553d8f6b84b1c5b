//! Counters that rise with every change, and the waiting for them.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Rises with every append and every commit that tells others something. Those who read rows alone are not woken by the
/// log, which changes a hundred times as often; nobody is woken by the journal of runs, which only its writer reads.
#[derive(Default)]
pub(crate) struct Change {
    counts: Mutex<Counts>,
    any_risen: Condvar,
    rows_risen: Condvar,
    runs_risen: Condvar,
}

#[derive(Default)]
struct Counts {
    any: u64,
    rows: u64,
    runs: u64,
}

impl Change {
    /// How often something has changed.
    pub(crate) fn count(&self) -> u64 {
        self.lock().any
    }

    /// How often rows have changed.
    pub(crate) fn rows(&self) -> u64 {
        self.lock().rows
    }

    /// How often there was something for runs: rows have changed, or somebody asks for it.
    pub(crate) fn runs(&self) -> u64 {
        self.lock().runs
    }

    /// The log has grown.
    pub(crate) fn rise(&self) {
        self.lock().any += 1;
        self.any_risen.notify_all();
    }

    /// Rows have changed.
    pub(crate) fn rise_rows(&self) {
        let mut counts = self.lock();
        counts.any += 1;
        counts.rows += 1;
        counts.runs += 1;
        drop(counts);
        self.any_risen.notify_all();
        self.rows_risen.notify_all();
        self.runs_risen.notify_all();
    }

    /// There is something for runs, and for nobody else.
    pub(crate) fn rise_runs(&self) {
        self.lock().runs += 1;
        self.runs_risen.notify_all();
    }

    /// Waits until [`Change::count`] is no longer `seen`, at most for `timeout`; the count then.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.any_risen.wait_timeout_while(self.lock(), timeout, |counts| counts.any == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.any
    }

    /// Waits until [`Change::rows`] is no longer `seen`, at most for `timeout`; the count then.
    pub(crate) fn wait_rows(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.rows_risen.wait_timeout_while(self.lock(), timeout, |counts| counts.rows == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.rows
    }

    /// Waits until [`Change::runs`] is no longer `seen`, at most for `timeout`; the count then.
    pub(crate) fn wait_runs(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.runs_risen.wait_timeout_while(self.lock(), timeout, |counts| counts.runs == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.runs
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
