//! A copy of a data folder that is made while everything goes on, looked through, and put back.
//!
//! A backup is a folder that holds what a data folder holds, and `backup.json`: what belongs to it, with the hash of
//! each file. The order makes it whole: the states of rules first, since a start may find them older than everything
//! else; then the database, in steps between its commits; at its last step the end of the log is noted, so that the
//! numbers of all signals before that end are in the copied database; then the files that it lists, and the log up to
//! that end. Meanwhile the keeper removes and merges nothing.
//!
//! A restore copies it back under an epoch that no folder of this instance has had, and notes what may be lost.

mod copy;
mod lost;
mod manifest;
mod restore;
mod take;
#[cfg(test)]
mod tests;

pub use lost::{Restored, next_epoch, next_epoch_of};
pub use manifest::{FILES_MAX, Held, MANIFEST, MANIFEST_BYTES_MAX, Manifest, fuzz};
pub use restore::{Outcome, Target, restore, verify};
pub use take::{back_up_simulated, back_up_stopped};

use crate::{Ailment, StoreError};
use std::path::PathBuf;

/// How far a backup or a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done at the moment: `database`, `files`, `checking`.
    pub step: &'static str,
    /// Bytes that are done of this step.
    pub done: u64,
    /// Bytes of this step, as far as they are known.
    pub total: u64,
}

/// Who is told how far it has come.
pub type Told<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place of the backup is taken.
    #[error("A7120: {} is there already, and is not empty", .0.display())]
    Taken(PathBuf),
    /// Another backup of the instance is being made.
    #[error("A7121: another backup of this instance is being made")]
    Busy,
    /// The copy is not what was copied, or what was copied is not whole.
    #[error("A7122: {what}: there is no backup at {}", to.display())]
    NotGood {
        /// Where it should have been.
        to: PathBuf,
        /// The first thing that is wrong.
        what: String,
        /// All that is wrong with the folder.
        ailments: Vec<Ailment>,
    },
    /// There is no backup in the folder.
    #[error("A7123: {} is no backup: {what}", from.display())]
    NoBackup {
        /// The folder.
        from: PathBuf,
        /// Why.
        what: String,
    },
    /// A file of the backup is not the one that was copied.
    #[error("A7124: {} is not what it was when the backup was made: {what}", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// How it differs.
        what: String,
    },
    /// What was copied back is not whole; nothing was touched.
    #[error("A7126: what would be restored to {} is not whole: {what}", dir.display())]
    Unwell {
        /// The data folder.
        dir: PathBuf,
        /// The first thing that is wrong.
        what: String,
    },
    /// There is something where the backup is to go.
    #[error("A7125: {} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The store refused.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl BackupError {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Taken(_) => "name a folder that does not exist, one for each backup: with the date in its name",
            Self::Busy => "wait until it is done",
            Self::NotGood { .. } => "andon doctor on the data folder says what is wrong with it; then back it up again",
            Self::NoBackup { .. } => "name the folder that `andon backup` has written",
            Self::Unwell { .. } | Self::Differs { .. } => {
                "restore another backup, and find out what has changed or lost this one"
            }
            Self::NotEmpty(_) => "restore into an empty folder, or say --replace: what is there is moved aside",
            // The store's own words say what to do.
            Self::Store(_) => "",
        }
    }
}
