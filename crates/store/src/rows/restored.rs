//! What a folder knows of having been restored.

use andon_model::{Position, Time};
use serde::{Deserialize, Serialize};

/// The folder was restored from a backup: what came after the backup is lost here, and may have been done elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRow {
    /// The epoch that began with it.
    pub epoch: u32,
    /// When the folder was restored. No earlier process sent anything later than this.
    pub at: Time,
    /// When the backup was taken.
    pub taken: Time,
    /// The order number of the last event in the backup.
    pub sequence: u64,
    /// The end of the log in the backup.
    pub end: Position,
    /// Numbers of revisions of the context go on from here: none that the lost time may have used is given again.
    pub revision: u64,
}
