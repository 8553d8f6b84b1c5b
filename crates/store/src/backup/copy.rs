//! Copies of files, with their hashes.

use super::{BackupError, Held, Progress, Told};
use crate::StoreError;
use sha2::{Digest as _, Sha256};
use std::{
    fmt::Write as _,
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Counts the bytes of a step, and tells of them.
pub(super) struct Count<'a> {
    told: Told<'a>,
    step: &'static str,
    done: u64,
    total: u64,
}

impl<'a> Count<'a> {
    pub(super) fn new(told: Told<'a>, step: &'static str, total: u64) -> Self {
        let count = Self { told, step, done: 0, total };
        count.tell();
        count
    }

    fn add(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes as u64);
        self.tell();
    }

    fn tell(&self) {
        (self.told)(Progress { step: self.step, done: self.done, total: self.total.max(self.done) });
    }
}

/// Copies the first `most` bytes of a file to a new one, durably; its size and hash.
pub(super) fn copy(from: &Path, to: &Path, most: u64, count: &mut Count<'_>) -> Result<(u64, String), StoreError> {
    if let Some(dir) = to.parent() {
        std::fs::create_dir_all(dir).map_err(|e| StoreError::io(dir, "make", e))?;
    }
    let mut target = File::create_new(to).map_err(|e| StoreError::io(to, "make", e))?;
    let found = read(from, most, count, |bytes| target.write_all(bytes).map_err(|e| StoreError::io(to, "write", e)))?;
    target.sync_all().map_err(|e| StoreError::io(to, "sync", e))?;
    Ok(found)
}

/// The size and the hash of a file.
pub(super) fn hash(path: &Path, count: &mut Count<'_>) -> Result<(u64, String), StoreError> {
    read(path, u64::MAX, count, |_| Ok(()))
}

/// Reads a file and hands on what it holds.
fn read(
    from: &Path,
    most: u64,
    count: &mut Count<'_>,
    mut on: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(u64, String), StoreError> {
    let io = |doing| move |e| StoreError::io(from, doing, e);
    let mut source = File::open(from).map_err(io("open"))?.take(most);
    let (mut sum, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0; COPY_BYTES]);
    loop {
        let read = source.read(&mut buffer).map_err(io("read"))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        sum.update(bytes);
        on(bytes)?;
        size += read as u64;
        count.add(read);
    }
    let hex = sum.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok((size, hex))
}

/// Refuses a file that is not the one that is named.
pub(super) fn same(file: &Held, path: &Path, found: &(u64, String)) -> Result<(), BackupError> {
    let differs = |what: String| Err(BackupError::Differs { path: path.to_owned(), what });
    if found.0 != file.bytes {
        return differs(format!("it has {} bytes, {} are named", found.0, file.bytes));
    }
    if found.1 != file.sha256 {
        return differs(format!("its SHA-256 is {}, {} is named", found.1, file.sha256));
    }
    Ok(())
}

/// Makes the names in a folder and in all below it durable.
pub(super) fn sync_tree(dir: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(dir).map_err(|e| StoreError::io(dir, "list", e))? {
        let path = entry.map_err(|e| StoreError::io(dir, "list", e))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| StoreError::io(dir, "sync", e))
}
