//! Counters that rise with every change, and the waiting for them.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Rises with every commit and append. Those who read rows alone are not woken by the log, which changes a hundred
/// times as often.
#[derive(Default)]
pub(crate) struct Change {
    counts: Mutex<Counts>,
    any_risen: Condvar,
    rows_risen: Condvar,
}

#[derive(Default)]
struct Counts {
    any: u64,
    rows: u64,
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
        drop(counts);
        self.any_risen.notify_all();
        self.rows_risen.notify_all();
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

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
