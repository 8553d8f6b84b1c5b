//! What the log holds of a source from earlier: the window of duplicates, and how far it came.

use crate::duplicates::{Duplicates, WINDOW};
use andon_model::{Entry, Name, Time};
use andon_store::{Store, StoreError};

/// The window of duplicates and the newest receive time of a source, from its newest samples: those of the log, and
/// those that are kept beside it when their segments go.
pub(crate) fn read(store: &Store, source: &Name, key: [u64; 4]) -> Result<(Duplicates, Option<Time>), StoreError> {
    let mut window = Duplicates::new(key);
    let mut last = None;
    for batch in store.newest(source, WINDOW as u64)? {
        window.remember_batch(&batch);
        last = batch.part.entries.iter().filter_map(received).chain(last).max();
    }
    Ok((window, last))
}

fn received(entry: &Entry) -> Option<Time> {
    match entry {
        Entry::Sample(sample) => Some(sample.received),
        Entry::Mark(_) => None,
    }
}
