//! The log: samples and marks in the order in which they became durable.

mod ring;

use crate::{StoreError, change::Change};
use andon_model::{
    Name, Position,
    sample::{Batch, Counts, Part},
};
use ring::Ring;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is called once a part is durable, or has failed.
pub(crate) type Done = Box<dyn FnOnce(Result<Arc<Batch>, StoreError>) + Send>;

/// The log of a store.
pub(crate) struct Log {
    state: Mutex<State>,
    change: Arc<Change>,
}

/// What is known of the durable part of the log.
struct State {
    ring: Ring,
    start: Position,
    end: Position,
    counts: BTreeMap<Name, Counts>,
}

impl Log {
    /// A log that is gone with the process.
    pub(crate) fn memory(epoch: u32, change: Arc<Change>) -> Self {
        let place = Position { epoch, offset: 0 };
        let state = State { ring: Ring::new(usize::MAX), start: place, end: place, counts: BTreeMap::new() };
        Self { state: Mutex::new(state), change }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the parts as one group; returns when they are durable.
    #[expect(clippy::unnecessary_wraps, reason = "a file can fail")]
    pub(crate) fn append(&self, parts: Vec<Part>) -> Result<Vec<Arc<Batch>>, StoreError> {
        let batches = {
            let mut state = self.state();
            let batches = placed(parts, state.end);
            state.keep(&batches);
            batches
        };
        self.change.rise();
        Ok(batches)
    }

    /// Appends a part; `done` is called once it is durable.
    pub(crate) fn submit(&self, part: Part, done: Done) {
        let outcome = self.append(vec![part]);
        done(outcome.map(|mut batches| batches.pop().expect("one part makes one batch")));
    }

    /// The batch that holds the entry at `from`, or the first one behind it.
    #[expect(clippy::unnecessary_wraps, reason = "a file can fail")]
    pub(crate) fn read(&self, from: Position) -> Result<Option<Arc<Batch>>, StoreError> {
        Ok(self.state().ring.find(from.offset))
    }

    /// The place of the next entry.
    pub(crate) fn end(&self) -> Position {
        self.state().end
    }

    /// The place of the oldest entry.
    pub(crate) fn start(&self) -> Position {
        self.state().start
    }

    /// What was received per source since the folder exists.
    pub(crate) fn counts(&self) -> BTreeMap<Name, Counts> {
        self.state().counts.clone()
    }
}

impl State {
    /// Takes over batches that are durable now.
    fn keep(&mut self, batches: &[Arc<Batch>]) {
        for batch in batches {
            self.end = batch.end();
            add(&mut self.counts, &batch.part);
            self.ring.push(Arc::clone(batch));
        }
    }
}

fn add(counts: &mut BTreeMap<Name, Counts>, part: &Part) {
    if let Some(known) = counts.get_mut(&part.source) {
        known.add(&part.counts);
    } else {
        counts.insert(part.source.clone(), part.counts);
    }
}

/// Gives the parts their places.
fn placed(parts: Vec<Part>, end: Position) -> Vec<Arc<Batch>> {
    let mut first = end;
    let place = |part: Part| {
        let batch = Batch { first, part };
        first = batch.end();
        Arc::new(batch)
    };
    parts.into_iter().map(place).collect()
}
