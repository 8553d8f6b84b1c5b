//! Writing a file of states slice by slice, beside the one that counts until it is complete.
//!
//! A slice is made by whoever has the states and written and synced by a thread of its own: nobody waits for the disk
//! in the middle of other work. On a simulated disk there is no thread. The name is given at the end, when everything
//! is durable.

use super::{BLOCK_HEADER_BYTES, HEADER_BYTES, MAGIC, POSITION_BYTES, VERSION};
use crate::{
    StoreError,
    disk::{Disk, File, Mode},
    folder::Folder,
};
use andon_model::{AssetName, Name, Position};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

/// Slices that wait for the disk at most, beside the one that is being written.
const WAITING_MAX: usize = 1;

/// The states of a store in memory: the bytes a file would have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<u8>>>);

/// Where states are written.
pub(crate) enum Target {
    Memory(Kept),
    Folder(Arc<Folder>),
}

/// A file of states that is being written; the one before counts until [`Store::finish_states`] says otherwise. One
/// that is dropped is as if it had never been begun.
///
/// [`Store::finish_states`]: crate::Store::finish_states
pub struct StatesFile {
    /// The slice that is being made, behind room for its header.
    slice: Vec<u8>,
    from: Position,
    closed: bool,
    kind: Kind,
}

enum Kind {
    Memory {
        bytes: Vec<u8>,
        kept: Kept,
    },
    /// Written by a thread.
    Thread(Writer),
    /// Written by whoever makes the states.
    Caller(Pen),
}

/// What writes into the folder.
struct Pen {
    folder: Arc<Folder>,
    aside: PathBuf,
    file: File,
    /// Where the next byte goes.
    at: u64,
}

/// The thread that writes.
struct Writer {
    slices: Option<SyncSender<Job>>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

enum Job {
    /// To write and sync.
    Slice(Vec<u8>),
    /// To write, and then to give the file its name.
    End(Vec<u8>),
}

impl std::fmt::Debug for StatesFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatesFile").field("from", &self.from).finish_non_exhaustive()
    }
}

impl StatesFile {
    pub(crate) fn begin(target: Target, from: Position) -> Result<Self, StoreError> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        let mut place = Vec::with_capacity(POSITION_BYTES);
        put_position(&mut place, from);
        head.extend_from_slice(&crc32fast::hash(&place).to_le_bytes());
        debug_assert_eq!(head.len(), HEADER_BYTES);
        head.extend_from_slice(&place);
        let kind = match target {
            Target::Memory(kept) => Kind::Memory { bytes: head, kept },
            Target::Folder(folder) => match &folder.disk {
                Disk::System => Kind::Thread(Writer::begin(folder, head)?),
                Disk::Simulated(_) => Kind::Caller(Pen::begin(folder, &head)?),
            },
        };
        Ok(Self { slice: vec![0; BLOCK_HEADER_BYTES], from, closed: false, kind })
    }

    /// Whether everything was handed over.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds a state to the slice; `state` appends its JSON. Its position is not before the one the file began with.
    pub fn put(
        &mut self,
        rule: &Name,
        asset: &AssetName,
        version: &str,
        position: Position,
        state: impl FnOnce(&mut Vec<u8>),
    ) {
        debug_assert!(position >= self.from, "a state at {position} in a file from {}", self.from);
        for text in [rule.as_str(), asset.as_str(), version] {
            put_text(&mut self.slice, text);
        }
        put_position(&mut self.slice, position);
        let length_at = self.slice.len();
        self.slice.extend_from_slice(&[0; 4]);
        state(&mut self.slice);
        let length = u32::try_from(self.slice.len() - length_at - 4).expect("a state has less than 4 GiB");
        self.slice.iter_mut().skip(length_at).zip(length.to_le_bytes()).for_each(|(to, from)| *to = from);
    }

    /// The place it began with: no state in it has read less.
    pub fn from(&self) -> Position {
        self.from
    }

    /// Bytes in the slice so far.
    pub fn slice_bytes(&self) -> usize {
        self.slice.len() - BLOCK_HEADER_BYTES
    }

    /// Whether the slice can be handed over without waiting for the disk.
    pub fn is_ready(&self) -> bool {
        match &self.kind {
            Kind::Memory { .. } | Kind::Caller(_) => true,
            Kind::Thread(writer) => !writer.busy.load(Ordering::SeqCst),
        }
    }

    /// Hands the slice over and begins the next one; one without states stays. Waits where the disk is behind.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.slice_bytes() == 0 {
            return Ok(());
        }
        let slice = std::mem::replace(&mut self.slice, vec![0; BLOCK_HEADER_BYTES]);
        self.send(Job::Slice(sealed(slice)))
    }

    /// Hands over what is left: once it [`is_ready`](Self::is_ready), finishing it does not wait.
    pub fn close(&mut self) -> Result<(), StoreError> {
        if self.closed {
            return Ok(());
        }
        self.flush()?;
        self.closed = true;
        self.send(Job::End(sealed(vec![0; BLOCK_HEADER_BYTES])))
    }

    fn send(&mut self, job: Job) -> Result<(), StoreError> {
        match (&mut self.kind, job) {
            (Kind::Memory { bytes, .. }, Job::Slice(block) | Job::End(block)) => {
                bytes.extend_from_slice(&block);
                Ok(())
            }
            (Kind::Thread(writer), job) => writer.send(job),
            (Kind::Caller(pen), job) => pen.write(job),
        }
    }

    /// Writes what is left and the end, and gives the file its name; durable when it returns.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        self.close()?;
        match self.kind {
            Kind::Memory { bytes, kept } => {
                *kept.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
                Ok(())
            }
            Kind::Thread(mut writer) => writer.end(),
            Kind::Caller(_) => Ok(()),
        }
    }
}

impl Writer {
    fn begin(folder: Arc<Folder>, head: Vec<u8>) -> Result<Self, StoreError> {
        let (slices, waiting) = sync_channel(WAITING_MAX);
        let busy = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&busy);
        let dir = folder.dir.clone();
        let work = move || {
            let outcome = write(folder, &head, &waiting, &told);
            told.store(false, Ordering::SeqCst);
            outcome
        };
        let thread = std::thread::Builder::new()
            .name("states".to_owned())
            .spawn(work)
            .map_err(|e| StoreError::io(&dir, "start the thread that keeps states in", e))?;
        Ok(Self { slices: Some(slices), busy, thread: Some(thread) })
    }

    fn send(&mut self, job: Job) -> Result<(), StoreError> {
        self.busy.store(true, Ordering::SeqCst);
        match self.slices.as_ref().map(|slices| slices.send(job)) {
            Some(Ok(())) => Ok(()),
            // The thread has ended: it says why.
            Some(Err(_)) | None => self.end().and(Err(ended())),
        }
    }

    /// Lets the thread do what waits, and end.
    fn end(&mut self) -> Result<(), StoreError> {
        self.slices = None;
        let outcome = self.thread.take().map(JoinHandle::join);
        outcome.and_then(Result::ok).unwrap_or_else(|| Err(ended()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.thread.is_some() {
            drop(self.end());
        }
    }
}

/// The work of the thread: everything it is given. Without an end nothing gets its name.
fn write(folder: Arc<Folder>, head: &[u8], jobs: &Receiver<Job>, busy: &AtomicBool) -> Result<(), StoreError> {
    let mut pen = Pen::begin(folder, head)?;
    while let Ok(job) = jobs.recv() {
        pen.write(job)?;
        busy.store(false, Ordering::SeqCst);
    }
    Ok(())
}

impl Pen {
    fn begin(folder: Arc<Folder>, head: &[u8]) -> Result<Self, StoreError> {
        let aside = aside(&folder.dir);
        let file = folder.disk.open(&aside, Mode::Anew).map_err(|e| StoreError::io(&aside, "write", e))?;
        let mut pen = Self { folder, aside, file, at: 0 };
        pen.put(head)?;
        Ok(pen)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, self.at).map_err(|e| StoreError::io(&self.aside, "write", e))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes a slice, which is durable before the next one; the end gives the file its name.
    fn write(&mut self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Slice(slice) => {
                self.put(&slice)?;
                self.file.sync_data().map_err(|e| StoreError::io(&self.aside, "write", e))
            }
            Job::End(end) => {
                self.put(&end)?;
                self.folder.disk.publish(&self.aside, &path(&self.folder.dir))
            }
        }
    }
}

fn ended() -> StoreError {
    StoreError::Stopped("the thread that keeps the states of rules has ended".into())
}

/// The file of states in a data folder.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("states")
}

fn aside(dir: &Path) -> PathBuf {
    dir.join("states.new")
}

/// A block with its header filled in.
fn sealed(mut block: Vec<u8>) -> Vec<u8> {
    let body = block.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
    let length = u32::try_from(body.len()).expect("a slice has less than 4 GiB").to_le_bytes();
    let sum = crc32fast::hash(body).to_le_bytes();
    block.iter_mut().zip(length.into_iter().chain(sum)).for_each(|(to, from)| *to = from);
    block
}

fn put_position(bytes: &mut Vec<u8>, at: Position) {
    bytes.extend_from_slice(&at.epoch.to_le_bytes());
    bytes.extend_from_slice(&at.offset.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("names and versions are shorter than 64 KiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}
