//! Who did what: a chain in which each row holds the hash of the one before.

use andon_model::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What somebody, or a policy, has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// When.
    pub at: Time,
    /// Who: as they say, or `policy`.
    pub actor: String,
    /// What, as `thing.act`: `exception.retry`, `run.cancel`.
    pub act: String,
    /// To what: its id.
    pub subject: String,
    /// The particulars: the reason, what was before and after.
    pub detail: Json,
}

/// A row of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// Its number, from 1, without holes.
    pub number: u64,
    /// What was done.
    pub row: AuditRow,
    /// The hash of the row before; of the first one 64 zeros.
    pub previous: String,
    /// SHA-256 over the hash before, the number and the row as it is stored, hexadecimal.
    pub hash: String,
}

/// The end of the chain, as it is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// The number of the last row.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

/// What became of a check of the whole chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    /// Rows that were looked at.
    pub rows: u64,
    /// The end of the chain; `None`: nothing was ever done.
    pub head: Option<AuditHead>,
    /// The first place that does not fit; `None`: the chain is whole.
    pub broken: Option<Broken>,
}

/// A place of the chain that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The number of the row.
    pub number: u64,
    /// What is wrong with it.
    pub what: String,
}
