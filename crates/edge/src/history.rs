//! What the log holds of a source from earlier: the window of duplicates, and how far it came.

use crate::duplicates::{Duplicates, WINDOW};
use andon_model::{Entry, Name, Position, Time};
use andon_store::{Store, StoreError};

/// Entries of the log that are read at most to fill the window of duplicates.
const REBUILD_ENTRIES_MAX: u64 = 4_194_304;

/// The window of duplicates and the newest receive time of a source, from the end of the log.
pub(crate) fn read(store: &Store, source: &Name, key: [u64; 4]) -> Result<(Duplicates, Option<Time>), StoreError> {
    let (start, end) = (store.log_start(), store.log_end());
    let mut span = WINDOW as u64;
    loop {
        let from = Position { epoch: end.epoch, offset: end.offset.saturating_sub(span).max(start.offset) };
        let mut window = Duplicates::new(key);
        let mut last = None;
        let mut at = from;
        while let Some(batch) = store.read(at)? {
            if batch.part.source == *source {
                window.remember_batch(&batch);
                last = batch.part.entries.iter().filter_map(received).chain(last).max();
            }
            if batch.end() <= at {
                break;
            }
            at = batch.end();
        }
        if window.len() >= WINDOW || from.offset <= start.offset || span >= REBUILD_ENTRIES_MAX {
            return Ok((window, last));
        }
        span *= 4;
    }
}

fn received(entry: &Entry) -> Option<Time> {
    match entry {
        Entry::Sample(sample) => Some(sample.received),
        Entry::Mark(_) => None,
    }
}
