//! The file of states while it is made: a slice a step, so that no sample waits for all states.
//!
//! The clocks stand first, as they stood at the place the file begins with; each state follows with the place it has
//! read up to by then. A start reads the log from the first place on, and each state takes it up at its own.

use crate::{
    engine::{Engine, Stood},
    evidence::Sharing,
};
use andon_model::{Position, span::Span};
use andon_store::{StatesFile, Store, StoreError};

/// Bytes for each state of a slice after which it is handed over; small ones have less.
const STATE_BYTES: usize = 512;
/// Bytes that every slice may have.
const SLICE_BYTES: usize = 256 << 10;

/// A file of states in the making.
#[derive(Debug)]
pub(crate) struct Rotation {
    file: StatesFile,
    clocks: Stood,
    next_clocks: usize,
    next_state: usize,
    /// What its rows share.
    sharing: Sharing,
    /// The place at which the last slice was made.
    shared_at: Position,
    begun: Span,
}

impl Rotation {
    /// Begins one at the place the engine has come to.
    pub(crate) fn begin(store: &Store, engine: &Engine, monotonic: Span) -> Result<Self, StoreError> {
        let file = store.begin_states(engine.position())?;
        Ok(Self {
            file,
            clocks: engine.stand(),
            next_clocks: 0,
            next_state: 0,
            sharing: Sharing::default(),
            shared_at: engine.position(),
            begun: monotonic,
        })
    }

    /// When it was begun.
    pub(crate) fn begun(&self) -> Span {
        self.begun
    }

    /// The place it begins with.
    pub(crate) fn from(&self) -> Position {
        self.file.from()
    }

    /// Whether the disk has what it was given.
    pub(crate) fn is_ready(&self) -> bool {
        self.file.is_ready()
    }

    /// Whether everything was given.
    pub(crate) fn is_whole(&self) -> bool {
        self.file.is_closed()
    }

    /// The next slice: a row of clocks, or at most so many states as they are now.
    pub(crate) fn advance(&mut self, store: &Store, engine: &Engine, most: usize) -> Result<(), StoreError> {
        if self.next_clocks < self.clocks.rows() {
            engine.put_clocks(&self.clocks, self.next_clocks, &mut self.file);
            self.next_clocks += 1;
            return store.add_states(&mut self.file);
        }
        let end = self.next_state.saturating_add(most).min(engine.state_count());
        let bytes = SLICE_BYTES.max(most.saturating_mul(STATE_BYTES));
        if self.shared_at != engine.position() {
            // What was read since then has made other evidence of it.
            self.sharing.clear();
            self.shared_at = engine.position();
        }
        while self.next_state < end && self.file.slice_bytes() < bytes {
            engine.put_state(self.next_state, &mut self.sharing, &mut self.file);
            self.next_state += 1;
        }
        if self.next_state < engine.state_count() {
            return store.add_states(&mut self.file);
        }
        store.close_states(&mut self.file)
    }

    /// Gives the file its name.
    pub(crate) fn finish(self, store: &Store) -> Result<(), StoreError> {
        store.finish_states(self.file)
    }
}
