//! What rules keep, from their stored states: how many, and how many bytes.

use crate::{run::StartError, states::Saved};
use andon_model::Name;
use andon_store::Store;
use std::collections::BTreeMap;

/// The stored states of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Assets that have a state.
    pub states: u64,
    /// Their bytes, as they are stored.
    pub bytes: u64,
}

/// By rule; one without a state has none.
pub fn kept(store: &Store) -> Result<BTreeMap<Name, Kept>, StartError> {
    let saved =
        Saved::merge(store.kept_states()?, store.rule_states()?, store.log_start()).map_err(StartError::States)?;
    let mut all: BTreeMap<Name, Kept> = BTreeMap::new();
    for ((rule, _), row) in saved.rows {
        let kept = all.entry(rule).or_default();
        kept.states += 1;
        kept.bytes += row.state.len() as u64;
    }
    Ok(all)
}
