//! What completed tasks of a run had and gave, from the step that is being made and from the store.

use super::batch::Batch;
use andon_model::RunId;
use andon_store::{Store, StoreError};
use serde_json::{Value as Json, json};
use std::cell::Cell;

/// Looks into the journal of a run while its machine goes on.
pub(super) struct Recall<'a> {
    store: &'a Store,
    batch: &'a Batch,
    run: RunId,
    failed: Cell<Option<StoreError>>,
}

impl<'a> Recall<'a> {
    pub(super) fn new(store: &'a Store, batch: &'a Batch, run: RunId) -> Self {
        Self { store, batch, run, failed: Cell::new(None) }
    }

    /// What a task had and gave: `{ input, output }`; `None`: it has not completed, or cannot be read.
    pub(super) fn of(&self, pointer: &str, iteration: &str) -> Option<Json> {
        let row = match self.batch.find_task(self.run, pointer, iteration) {
            Some(row) => Ok(Some(row.clone())),
            None => self.store.task(self.run, pointer, iteration),
        };
        match row {
            Ok(row) => row.map(|row| json!({"input": row.input, "output": row.output})),
            Err(error) => {
                self.failed.set(Some(error));
                None
            }
        }
    }

    /// The machine has gone on; what it looked for and could not be read undoes the step.
    pub(super) fn end(self) -> Result<(), StoreError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }
}
