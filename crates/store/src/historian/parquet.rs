//! Files of samples in Parquet, a row a sample, sorted by signal, time and place: written, merged and read.

pub(crate) mod column;
mod columns;
mod rows;
#[cfg(test)]
mod size;
pub(crate) mod sums;

pub(crate) use rows::{Rows, signals};

use crate::{StoreError, disk::Disk};
use ::parquet::{errors::ParquetError, file::writer::SerializedFileWriter};
use andon_model::{Position, Quality, Time, Value, sample::Origin};
use columns::{Group, Tuning};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};
use sums::{Checked, Summing, failed};

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
pub(crate) fn write(disk: &Disk, path: &Path, rows: impl IntoIterator<Item = Row>) -> Result<Facts, StoreError> {
    let mut writer = Writer::create(disk, path, Tuning::default())?;
    rows.into_iter().try_for_each(|row| writer.push(&row))?;
    writer.finish()
}

/// Merges sorted files into a new one, in memory that is bounded by the number of inputs. A row that stands in two of
/// them, with the same signal, time and place, is written once.
pub(crate) fn merge(disk: &Disk, inputs: &[&Path], out: &Path) -> Result<Facts, StoreError> {
    let mut writer = Writer::create(disk, out, Tuning::default())?;
    let mut files = Vec::new();
    for path in inputs {
        files.push(Rows::open(disk, path, &Filter::default())?);
    }
    // The next row of each file, the first one on top.
    let mut next = BinaryHeap::new();
    for (number, file) in files.iter_mut().enumerate() {
        next.extend(file.next()?.map(|row| Reverse(Next { row, number })));
    }
    while let Some(Reverse(Next { row, number })) = next.pop() {
        if writer.last.as_ref().is_none_or(|last| last.key() != row.key()) {
            writer.push(&row)?;
        }
        let file = files.get_mut(number).expect("the number is of one of the files");
        next.extend(file.next()?.map(|row| Reverse(Next { row, number })));
    }
    writer.finish()
}

/// Reads the rows that pass the filter, in their order, until `take` has enough. What the statistics of the file rule
/// out is not read.
pub(crate) fn read(
    disk: &Disk,
    path: &Path,
    filter: &Filter<'_>,
    take: &mut dyn FnMut(Row) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut rows = Rows::open(disk, path, filter)?;
    while let Some(row) = rows.next()? {
        if take(row).is_break() {
            break;
        }
    }
    Ok(())
}

/// The next row of a file, ordered by its key.
struct Next {
    row: Row,
    number: usize,
}

impl Next {
    fn key(&self) -> ((&str, Time, Position), usize) {
        (self.row.key(), self.number)
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A file that is being written, a group of rows after the other.
struct Writer {
    path: PathBuf,
    tuning: Tuning,
    file: SerializedFileWriter<Summing>,
    group: Group,
    facts: Facts,
    last: Option<Row>,
}

impl Writer {
    fn create(disk: &Disk, path: &Path, tuning: Tuning) -> Result<Self, StoreError> {
        let file = Summing::create(disk, path)?;
        let file = SerializedFileWriter::new(file, columns::schema(), columns::properties(&tuning));
        Ok(Self {
            path: path.to_owned(),
            tuning,
            file: file.map_err(|e| failed(path, "write", e))?,
            group: Group::default(),
            facts: Facts::default(),
            last: None,
        })
    }

    fn push(&mut self, row: &Row) -> Result<(), StoreError> {
        if let Some(last) = &self.last {
            if row.key() < last.key() {
                return Err(StoreError::Refused(format!(
                    "the rows of {} are not sorted: {} at {} after {} at {}",
                    self.path.display(),
                    row.signal,
                    row.time,
                    last.signal,
                    last.time
                )));
            }
            let facts = &mut self.facts;
            facts.first_time = facts.first_time.min(row.time);
            facts.last_time = facts.last_time.max(row.time);
            facts.newest_received = facts.newest_received.max(row.received);
            facts.first_position = facts.first_position.min(row.position);
            facts.last_position = facts.last_position.max(row.position);
        } else {
            self.facts.first_signal = Arc::clone(&row.signal);
            (self.facts.first_time, self.facts.last_time) = (row.time, row.time);
            (self.facts.first_position, self.facts.last_position) = (row.position, row.position);
            self.facts.newest_received = row.received;
        }
        self.facts.rows += 1;
        self.group.push(row);
        self.last = Some(row.clone());
        if self.group.is_full(&self.tuning) { self.close_group() } else { Ok(()) }
    }

    fn close_group(&mut self) -> Result<(), StoreError> {
        let write = self.file.next_row_group().and_then(|to| self.group.write(to));
        write.map_err(|e| failed(&self.path, "write", e))
    }

    fn finish(mut self) -> Result<Facts, StoreError> {
        if !self.group.is_empty() {
            self.close_group()?;
        }
        let closed = self.file.into_inner().and_then(|file| file.finish().map_err(ParquetError::from));
        self.facts.bytes = closed.map_err(|e| failed(&self.path, "write", e))?;
        self.facts.last_signal = self.last.map_or_else(|| "".into(), |last| last.signal);
        Ok(self.facts)
    }
}

/// Reads any bytes as a file of samples: what is none is refused, and nothing else happens. Bytes without their
/// checksums never reach the library, which may panic on them; that such a panic is caught is a test of its own.
pub(crate) fn fuzz(data: &[u8]) {
    let file = Checked::memory(data.to_vec().into());
    let rows = file.and_then(|file| Rows::of(Path::new("memory"), file, &Filter::default()));
    let Ok(mut rows) = rows else { return };
    while let Ok(Some(row)) = rows.next() {
        assert!(!row.signal.is_empty(), "a sample is of a signal");
    }
}

#[cfg(test)]
mod tests;
