//! The file beside the log with all rule states, replaced as a whole once it is complete.
//!
//! A header names the oldest position in it, so that what the log must keep is known without reading on. Behind it come
//! blocks of rows, each with its length and checksum, then an empty block that tells how many rows there are: what has
//! no end is not complete and was never given its name. The first version, one JSON list, is still read.

mod writing;

use crate::{StoreError, disk::Disk, rows::RuleStateRow};
use andon_model::{AssetName, Name, Position};
use std::path::Path;

pub use writing::StatesFile;
pub(crate) use writing::{Kept, Target, path};

/// The first bytes of the file.
const MAGIC: [u8; 8] = *b"andonsta";

/// The version of the file.
const VERSION: u32 = 2;

/// Magic, version, and a checksum: in version 1 of what follows, since then of the position behind it.
const HEADER_BYTES: usize = 16;

/// Epoch and offset.
const POSITION_BYTES: usize = 12;

/// Length and checksum before each block.
const BLOCK_HEADER_BYTES: usize = 8;

/// The state of a rule for an asset as the file keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    /// The rule.
    pub rule: Name,
    /// The asset.
    pub asset: AssetName,
    /// Version of the rule that made the state.
    pub version: String,
    /// The state has read every entry before this place.
    pub position: Position,
    /// The state as JSON, in the form of its kind of rule.
    pub state: Vec<u8>,
}

impl KeptState {
    /// Whether it is the state of a rule that is gone: JSON `null`.
    pub fn is_empty(&self) -> bool {
        self.state == b"null"
    }

    /// As the database keeps it.
    pub fn into_row(self) -> Result<RuleStateRow, serde_json::Error> {
        let Self { rule, asset, version, position, state } = self;
        Ok(RuleStateRow { rule, asset, version, position, state: serde_json::from_slice(&state)? })
    }
}

impl From<RuleStateRow> for KeptState {
    fn from(row: RuleStateRow) -> Self {
        let RuleStateRow { rule, asset, version, position, state } = row;
        Self { rule, asset, version, position, state: state.to_string().into_bytes() }
    }
}

/// A row where it lies in the file.
pub(crate) struct Row<'a> {
    pub(crate) rule: &'a str,
    pub(crate) asset: &'a str,
    version: &'a str,
    pub(crate) position: Position,
    state: &'a [u8],
}

/// The bytes of a file of states, each of its blocks found whole.
pub(crate) struct Image {
    bytes: Vec<u8>,
    form: Form,
}

enum Form {
    Nothing,
    First(Vec<RuleStateRow>),
    Blocks(Vec<std::ops::Range<usize>>),
}

impl Image {
    /// Reads a file; nothing where there is none.
    pub(crate) fn read(disk: &Disk, path: &Path) -> Result<Self, StoreError> {
        match disk.read(path, u64::MAX) {
            Ok(bytes) => Self::of(path, bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { bytes: Vec::new(), form: Form::Nothing })
            }
            Err(error) => Err(StoreError::io(path, "read", error)),
        }
    }

    /// The image in these bytes, which are whole or damaged.
    pub(crate) fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, StoreError> {
        let (version, sum) = header(path, &bytes)?;
        let form = if version == 1 {
            let json = bytes.get(HEADER_BYTES..).unwrap_or_default();
            if crc32fast::hash(json) != sum {
                return Err(StoreError::corrupt(path, HEADER_BYTES as u64, "its checksum does not fit"));
            }
            let rows = serde_json::from_slice(json);
            Form::First(rows.map_err(|e| StoreError::corrupt(path, HEADER_BYTES as u64, e.to_string()))?)
        } else {
            Form::Blocks(blocks(path, &bytes, sum)?)
        };
        Ok(Self { bytes, form })
    }

    /// Calls with every row, in their order.
    pub(crate) fn each(
        &self,
        path: &Path,
        mut row: impl FnMut(Row<'_>) -> Result<(), String>,
    ) -> Result<(), StoreError> {
        match &self.form {
            Form::Nothing => Ok(()),
            Form::First(rows) => rows.iter().try_for_each(|kept| {
                let state = kept.state.to_string();
                let (rule, asset) = (kept.rule.as_str(), kept.asset.as_str());
                let of = Row { rule, asset, version: &kept.version, position: kept.position, state: state.as_bytes() };
                row(of).map_err(|what| StoreError::corrupt(path, HEADER_BYTES as u64, what))
            }),
            Form::Blocks(blocks) => blocks.iter().try_for_each(|block| {
                let mut rest = self.bytes.get(block.clone()).unwrap_or_default();
                while !rest.is_empty() {
                    let place = block.end.saturating_sub(rest.len());
                    let damaged = |what| StoreError::corrupt(path, place as u64, what);
                    let of = take_row(&mut rest).ok_or_else(|| damaged("a state is cut short".to_owned()))?;
                    row(of).map_err(damaged)?;
                }
                Ok(())
            }),
        }
    }

    /// All of them.
    pub(crate) fn states(&self, path: &Path) -> Result<Vec<KeptState>, StoreError> {
        let mut all = Vec::new();
        let mut last: Option<(Name, String)> = None;
        self.each(path, |row| {
            // Rules stand behind one another: their names and versions are shared.
            let (rule, version) = match last.take().filter(|(rule, _)| rule.as_str() == row.rule) {
                Some((rule, version)) if version == row.version => (rule, version),
                Some((rule, _)) => (rule, row.version.to_owned()),
                None => (Name::new(row.rule).map_err(|e| e.to_string())?, row.version.to_owned()),
            };
            all.push(KeptState {
                rule: rule.clone(),
                asset: AssetName::new(row.asset).map_err(|e| e.to_string())?,
                version: version.clone(),
                position: row.position,
                state: row.state.to_vec(),
            });
            last = Some((rule, version));
            Ok(())
        })?;
        Ok(all)
    }
}

/// Reads bytes as a file of states, and as rows of one; whatever is accepted must read back the same. For fuzzing.
pub fn fuzz(data: &[u8]) {
    let path = Path::new("states");
    let mut rest = data;
    while take_row(&mut rest).is_some() {}
    let Ok(states) = Image::of(path, data.to_vec()).and_then(|image| image.states(path)) else { return };
    let Some(from) = states.iter().map(|kept| kept.position).min() else { return };
    let kept = Kept::default();
    let mut file = StatesFile::begin(Target::Memory(kept.clone()), from).expect("memory has room");
    for KeptState { rule, asset, version, position, state } in &states {
        file.put(rule, asset, version, *position, |to| to.extend_from_slice(state));
    }
    file.finish().expect("memory has room");
    let bytes = kept.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let again = Image::of(path, bytes).and_then(|image| image.states(path));
    assert_eq!(again.expect("what was written reads back"), states, "a file of states changes when it is read back");
}

/// The oldest position in a file of states, without reading all of it; `None` where there are no states.
pub(crate) fn oldest(disk: &Disk, path: &Path) -> Result<Option<Position>, StoreError> {
    let head = match disk.read(path, (HEADER_BYTES + POSITION_BYTES) as u64) {
        Ok(head) => head,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path, "read", error)),
    };
    let (version, sum) = header(path, &head)?;
    if version > 1 {
        return from(path, &head, sum).map(Some);
    }
    let mut least: Option<Position> = None;
    Image::read(disk, path)?.each(path, |row| {
        least = Some(least.map_or(row.position, |least| least.min(row.position)));
        Ok(())
    })?;
    Ok(least)
}

/// The version, and the checksum behind it.
fn header(path: &Path, bytes: &[u8]) -> Result<(u32, u32), StoreError> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(StoreError::corrupt(path, 0, "it is cut short"));
    };
    let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3, m4, m5, m6, m7] != MAGIC {
        return Err(StoreError::corrupt(path, 0, "it does not begin as a file of states"));
    }
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok((version, u32::from_le_bytes([c0, c1, c2, c3])))
}

/// The oldest position behind the header.
fn from(path: &Path, bytes: &[u8], sum: u32) -> Result<Position, StoreError> {
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let place = rest.get(..POSITION_BYTES).is_some_and(|place| crc32fast::hash(place) == sum);
    let found = take_position(&mut rest).filter(|_| place);
    found.ok_or_else(|| StoreError::corrupt(path, HEADER_BYTES as u64, "its checksum does not fit"))
}

/// Where the blocks lie; the end must be there and nothing behind it.
fn blocks(path: &Path, bytes: &[u8], sum: u32) -> Result<Vec<std::ops::Range<usize>>, StoreError> {
    from(path, bytes, sum)?;
    let mut found = Vec::new();
    let mut at = HEADER_BYTES + POSITION_BYTES;
    let damaged = |at: usize, what: &str| StoreError::corrupt(path, at as u64, what);
    loop {
        let mut rest = bytes.get(at..).unwrap_or_default();
        let (Some(length), Some(sum)) = (take_u32(&mut rest), take_u32(&mut rest)) else {
            return Err(damaged(at, "it has no end"));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(block) = rest.get(..length).filter(|block| crc32fast::hash(block) == sum) else {
            return Err(damaged(at, "a checksum does not fit"));
        };
        if block.is_empty() {
            return if rest.is_empty() { Ok(found) } else { Err(damaged(at, "something stands behind its end")) };
        }
        at += BLOCK_HEADER_BYTES;
        found.push(at..at + length);
        at += length;
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn take_position(rest: &mut &[u8]) -> Option<Position> {
    let epoch = take_u32(rest)?;
    let offset = take(rest, 8)?.try_into().ok().map(u64::from_le_bytes)?;
    Some(Position { epoch, offset })
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = take(rest, 2)?.try_into().ok().map(u16::from_le_bytes)?;
    std::str::from_utf8(take(rest, usize::from(length))?).ok()
}

fn take_row<'a>(rest: &mut &'a [u8]) -> Option<Row<'a>> {
    let (rule, asset, version) = (take_text(rest)?, take_text(rest)?, take_text(rest)?);
    let position = take_position(rest)?;
    let length = usize::try_from(take_u32(rest)?).ok()?;
    Some(Row { rule, asset, version, position, state: take(rest, length)? })
}

#[cfg(test)]
mod tests;
