//! One-minute summaries of samples: lowest, highest, mean and count of each signal, in Parquet.

use super::parquet::Row;
use crate::StoreError;
use andon_model::Time;
use std::{ops::ControlFlow, path::Path, sync::Arc};

/// A minute of a signal: of its samples whose value is a number and not bad.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minute {
    /// The signal: `asset/signal`.
    pub(crate) signal: Arc<str>,
    /// Where the minute of source time begins.
    pub(crate) time: Time,
    /// Samples in it; never 0.
    pub(crate) count: u64,
    /// The lowest value.
    pub(crate) min: f64,
    /// The highest value.
    pub(crate) max: f64,
    /// The mean of the values.
    pub(crate) mean: f64,
}

/// What a file of minutes holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MinuteFacts {
    /// Minutes.
    pub(crate) rows: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// Sums rows up while they pass by on their way into a file; sorted as they are.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    done: Vec<Minute>,
}

impl Summing {
    /// The next row.
    pub(crate) fn take(&mut self, row: &Row) {
        let _ = row;
    }

    /// The minutes, by signal and time.
    pub(crate) fn finish(self) -> Vec<Minute> {
        self.done
    }
}

/// The minutes of rows that are sorted by signal and time.
pub(crate) fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Minute> {
    let mut summing = Summing::default();
    rows.into_iter().for_each(|row| summing.take(row));
    summing.finish()
}

/// Writes minutes, sorted by signal and time, into a new file and closes it.
pub(crate) fn write(path: &Path, minutes: impl IntoIterator<Item = Minute>) -> Result<MinuteFacts, StoreError> {
    let _ = (path, minutes.into_iter().count());
    Ok(MinuteFacts::default())
}

/// Merges sorted files into a new one; the same minute of several files becomes one.
pub(crate) fn merge(inputs: &[&Path], out: &Path) -> Result<MinuteFacts, StoreError> {
    let _ = (inputs, out);
    Ok(MinuteFacts::default())
}

/// Reads the minutes of a signal (`None`: of all) that begin at or after `from` and before `to`, in their order, until
/// `take` has enough.
pub(crate) fn read(
    path: &Path,
    signal: Option<&str>,
    from: Time,
    to: Time,
    take: &mut dyn FnMut(Minute) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let _ = (path, signal, from, to, take);
    Ok(())
}
