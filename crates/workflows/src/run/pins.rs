//! The contracts that runs under way began with.

use super::Load;
use andon_contract::Contract;
use andon_store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Contracts of earlier revisions kept in memory at most.
const CONTRACTS_KEPT_MAX: usize = 16;

pub(crate) struct Pins {
    load: Load,
    kept: BTreeMap<String, Result<Arc<Contract>, String>>,
}

impl Pins {
    pub(crate) fn new(load: Load) -> Self {
        Self { load, kept: BTreeMap::new() }
    }

    /// Keeps a contract that was in force: its runs go on.
    pub(crate) fn keep(&mut self, contract: &Arc<Contract>) {
        self.put(&contract.revision, Ok(Arc::clone(contract)));
    }

    /// The contract of a revision, or why it cannot be read; and whether that was just found out.
    pub(crate) fn get(
        &mut self,
        store: &Store,
        revision: &str,
    ) -> Result<(Result<Arc<Contract>, String>, bool), StoreError> {
        if let Some(kept) = self.kept.get(revision) {
            return Ok((kept.clone(), false));
        }
        let read = match store.contract(revision)? {
            Some(row) => (self.load)(&row.files).map(Arc::new),
            None => Err("it is not in the data folder".to_owned()),
        };
        self.put(revision, read.clone());
        Ok((read, true))
    }

    fn put(&mut self, revision: &str, contract: Result<Arc<Contract>, String>) {
        if self.kept.len() >= CONTRACTS_KEPT_MAX {
            self.kept.pop_first();
        }
        self.kept.insert(revision.to_owned(), contract);
    }
}
