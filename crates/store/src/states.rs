//! The file beside the log with all rule states, replaced as a whole.

use crate::{StoreError, folder, rows::RuleStateRow};
use std::path::Path;

/// The first bytes of the file.
const MAGIC: [u8; 8] = *b"andonsta";

/// The version of the file.
const VERSION: u32 = 1;

/// Magic, version, checksum of what follows.
const HEADER_BYTES: usize = 16;

/// Writes the states aside, syncs and renames.
pub(crate) fn write(path: &Path, states: &[RuleStateRow]) -> Result<(), StoreError> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut bytes, states)
        .map_err(|e| StoreError::Refused(format!("the states of rules cannot be written as JSON: {e}")))?;
    let crc = crc32fast::hash(bytes.get(HEADER_BYTES..).unwrap_or_default());
    bytes.iter_mut().skip(12).zip(crc.to_le_bytes()).for_each(|(to, from)| *to = from);
    folder::replace(path, &bytes)
}

/// Reads the states; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Vec<RuleStateRow>, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(path, "read", error)),
    };
    let damaged = |place, what: String| StoreError::corrupt(path, place, what);
    let Some((header, json)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(damaged(0, "it is cut short".into()));
    };
    let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3, m4, m5, m6, m7] != MAGIC {
        return Err(damaged(0, "it does not begin as a file of states".into()));
    }
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    if crc32fast::hash(json) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(damaged(HEADER_BYTES as u64, "its checksum does not fit".into()));
    }
    serde_json::from_slice(json).map_err(|e| damaged(HEADER_BYTES as u64, e.to_string()))
}
