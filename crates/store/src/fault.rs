//! Writes that fail on purpose: for tests and simulations of what stands on the store.

use crate::StoreError;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is changed, as by a full disk.
    Before,
    /// Everything is changed and nobody is told, as when the connection to a database breaks.
    After,
}

/// The faults that are to come.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Planned>);

#[derive(Default)]
struct Planned {
    written: u64,
    faults: BTreeMap<u64, Fault>,
}

impl Faults {
    /// Lets the write after `skipped` further ones fail.
    pub(crate) fn plan(&self, skipped: u64, fault: Fault) {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = planned.written.saturating_add(skipped);
        planned.faults.insert(number, fault);
    }

    /// Writes, or fails as planned.
    pub(crate) fn write<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = {
            let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let number = planned.written;
            planned.written += 1;
            planned.faults.remove(&number)
        };
        match fault {
            None => write(),
            Some(Fault::Before) => Err(StoreError::Full { path: "the store in memory".into() }),
            Some(Fault::After) => {
                write()?;
                Err(StoreError::Stopped("a fault that was planned, after the write".into()))
            }
        }
    }
}
