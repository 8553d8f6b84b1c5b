//! The files of the log up to a place: what of each belongs to it.

use super::{
    segment::{self, Segment},
    window,
};
use crate::{
    StoreError,
    disk::{Disk, Mode},
};
use andon_model::{Offset, Position};
use std::path::{Path, PathBuf};

/// The files that hold everything before `end`, each with the bytes from its beginning that do. The log may grow
/// meanwhile; none of its segments may go. `end` is behind a group that is durable.
pub(crate) fn up_to(log: &Path, end: Position) -> Result<Vec<(PathBuf, u64)>, StoreError> {
    let firsts = if log.is_dir() { segment::list(&Disk::System, log)? } else { Vec::new() };
    let mut files = Vec::new();
    for (number, first) in firsts.iter().enumerate() {
        if number > 0 && *first > end.offset {
            break;
        }
        // One that is followed by another within the place is closed.
        let is_closed = firsts.get(number + 1).is_some_and(|next| *next <= end.offset);
        let bytes = if is_closed { u64::MAX } else { bytes_before(log, *first, end.offset)? };
        files.push((segment::path(log, *first), bytes));
    }
    files.extend(Some(window::path(log)).filter(|path| path.exists()).map(|path| (path, u64::MAX)));
    Ok(files)
}

/// The bytes of a segment before an entry, with the frames that tell only what was counted.
fn bytes_before(log: &Path, first: Offset, end: Offset) -> Result<u64, StoreError> {
    let mut segment = Segment::open(&Disk::System, log, first, Mode::Read)?;
    let (mut at, mut offset) = (segment.begin, first);
    while offset < end {
        let head = segment.head(at)?.map_err(|wrong| {
            let what = format!("the frame with entry {offset} is expected here and not there: {}", wrong.0);
            StoreError::corrupt(&segment.path, at, what)
        })?;
        at += head.bytes() as u64;
        offset = head.end();
    }
    Ok(at)
}
