//! A counter that rises with every change, and the waiting for it.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Rises with every commit and append.
#[derive(Default)]
pub(crate) struct Change {
    count: Mutex<u64>,
    risen: Condvar,
}

impl Change {
    /// How often something has changed.
    pub(crate) fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has changed.
    pub(crate) fn rise(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.risen.notify_all();
    }

    /// Waits until the count is no longer `seen`, at most for `timeout`; the count then.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .risen
            .wait_timeout_while(count, timeout, |count| *count == seen)
            .unwrap_or_else(PoisonError::into_inner);
        *count
    }
}
