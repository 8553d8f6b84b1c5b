//! Files of samples in Parquet, a row a sample, sorted by signal, time and place: written, merged and read.

use crate::StoreError;
use andon_model::{Position, Quality, Time, Value, sample::Origin};
use std::{ops::ControlFlow, path::Path, sync::Arc};

/// A sample as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Its signal: `asset/signal`.
    pub(crate) signal: Arc<str>,
    /// Source time.
    pub(crate) time: Time,
    /// When it was received; whole milliseconds.
    pub(crate) received: Time,
    /// Quality.
    pub(crate) quality: Quality,
    /// Value.
    pub(crate) value: Value,
    /// Its place in the log when it was received.
    pub(crate) position: Position,
    /// What is known of its time.
    pub(crate) origin: Origin,
}

impl Row {
    /// By which the rows of a file are sorted.
    pub(crate) fn key(&self) -> (&str, Time, Position) {
        (&self.signal, self.time, self.position)
    }
}

/// What a file holds, as the database remembers it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Samples.
    pub(crate) rows: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// The earliest source time.
    pub(crate) first_time: Time,
    /// The latest source time.
    pub(crate) last_time: Time,
    /// The newest receive time.
    pub(crate) newest_received: Time,
    /// The first signal by its text.
    pub(crate) first_signal: Arc<str>,
    /// The last signal by its text.
    pub(crate) last_signal: Arc<str>,
    /// The lowest place.
    pub(crate) first_position: Position,
    /// The highest place.
    pub(crate) last_position: Position,
}

/// Which rows are read. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter<'a> {
    /// Only of this signal, `asset/signal`.
    pub(crate) signal: Option<&'a str>,
    /// Only from this source time on.
    pub(crate) from: Option<Time>,
    /// Only before this source time.
    pub(crate) to: Option<Time>,
    /// Only the sample at this place.
    pub(crate) position: Option<Position>,
}

/// Writes rows, sorted by [`Row::key`], into a new file and closes it. To make it durable is left to the caller. Rows
/// out of order are refused; no rows make a file without rows.
pub(crate) fn write(path: &Path, rows: impl IntoIterator<Item = Row>) -> Result<Facts, StoreError> {
    let _ = (path, rows.into_iter().count());
    Ok(Facts::default())
}

/// Merges sorted files into a new one, in memory that is bounded by the number of inputs. Each input may be missing
/// nothing: rows that stand in two of them, place for place, are written once.
pub(crate) fn merge(inputs: &[&Path], out: &Path) -> Result<Facts, StoreError> {
    let _ = (inputs, out);
    Ok(Facts::default())
}

/// Reads the rows that pass the filter, in their order, until `take` has enough. What the statistics of the file rule
/// out is not read.
pub(crate) fn read(
    path: &Path,
    filter: &Filter<'_>,
    take: &mut dyn FnMut(Row) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let _ = (path, filter, take);
    Ok(())
}
