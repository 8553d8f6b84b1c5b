//! What can go wrong with a store, each with its cause and what to do.

use crate::disk::Ended;
use andon_model::Position;
use std::{io, path::Path, path::PathBuf, sync::Arc};

/// A failure of the store. It can be cloned, because all commits and parts of a group share one outcome.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk has reached its limit; nothing is acknowledged any more.
    #[error(
        "the disk that holds {} is full: nothing was stored and nothing is acknowledged. \
         Free at least 128 MiB there; intake then goes on by itself",
        path.display()
    )]
    Full {
        /// The file or folder that could not grow.
        path: PathBuf,
    },
    /// Bytes that were durable once are not what they were.
    #[error(
        "{} is damaged at byte {place}: {what}. Keep a copy of the folder, then put back a copy from before the damage",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The byte at which it stops to make sense; 0 where there is no single place.
        place: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// The folder was written by a newer version.
    #[error(
        "{} has format {found}, this version knows up to {known}. \
         Start the newer version again, or restore a backup made with this one",
        path.display()
    )]
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// Another process holds the folder.
    #[error(
        "{} is in use by a running instance{}. Stop it first, or give this one a data folder of its own",
        dir.display(),
        announced.as_deref().map(|text| format!(" ({})", text.trim())).unwrap_or_default()
    )]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// What the running instance says of itself.
        announced: Option<String>,
    },
    /// Something has read further than the log reaches.
    #[error(
        "{what} has read up to {position}, but the log ends at {end}: the log lost its end or the database comes from \
         elsewhere. Put back a copy of the folder in which both belong together"
    )]
    Beyond {
        /// Whose position it is.
        what: String,
        /// The position.
        position: Position,
        /// The end of the log.
        end: Position,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// The database refused.
    #[error("the database failed: {0}")]
    Db(Arc<rusqlite::Error>),
    /// What was asked for is not possible; the text says why and what is.
    #[error("{0}")]
    Refused(String),
    /// The store failed before in a way after which it cannot know what is durable.
    #[error(
        "the store stopped after an earlier failure: {0}. Restart the instance; it then reads what is really there"
    )]
    Stopped(String),
}

/// Whether a disk has refused for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl StoreError {
    /// An error of the operating system; a full disk becomes [`StoreError::Full`].
    pub(crate) fn io(path: &Path, doing: &'static str, cause: io::Error) -> Self {
        if is_full(&cause) {
            Self::Full { path: path.to_owned() }
        } else if let Some(ended) = cause.get_ref().and_then(|cause| cause.downcast_ref::<Ended>()) {
            Self::Stopped(ended.to_string())
        } else {
            Self::Io { path: path.to_owned(), doing, cause: Arc::new(cause) }
        }
    }

    /// Damage at a byte of a file.
    pub(crate) fn corrupt(path: &Path, place: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), place, what: what.into() }
    }

    /// Whether a file is not there: it went since it was seen.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the disk has reached its limit.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full { path: "andon.db".into() },
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Corrupt { path: "andon.db".into(), place: 0, what: error.to_string() }
            }
            _ => Self::Db(Arc::new(error)),
        }
    }
}
