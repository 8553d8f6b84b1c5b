//! A disk in memory that loses what a real one may lose; for simulations and tests.

mod chance;
mod content;
mod names;
mod state;
#[cfg(test)]
mod tests;

use super::Mode;
use crate::StoreError;
use content::Change;
use names::{Entry, Naming};
use rusqlite::Connection;
use state::{Operation, State};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The data folder of a simulated disk.
pub(crate) const FOLDER: &str = "/data";

/// What befalls one operation of a simulated disk. The numbers are seeds: the same one does the same harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The process ends in it: what it wrote stays, its handles are dead.
    Kill(u64),
    /// The power fails in it: what was not synced is kept, lost, or torn.
    PowerCut(u64),
    /// It fails, and the process goes on. What a failed sync was to make durable may be lost, and later syncs do not
    /// tell.
    Error(u64),
    /// It finds no room.
    Full(u64),
}

/// A disk in memory with one data folder and its database, for simulations and tests. Clones are the same disk.
///
/// Bytes are seen at once and durable only once their file is synced; names only once their folder is. A commit of the
/// database is durable at once. Everything happens in the caller's thread, and the same calls do the same.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    database: Mutex<Connection>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk, as large as it must be.
    pub fn new() -> Self {
        let database = crate::db::in_memory().expect("a database in memory can be made");
        Self(Arc::new(Shared { state: Mutex::new(State::new()), database: Mutex::new(database) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operations so far: each write, sync, change of names and of lengths is one, a commit of the database is two
    /// (before and after it is durable). Reading is none.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Something befalls the operation after `skipped` further ones. A crash takes all that is planned with it.
    pub fn plan(&self, skipped: u64, trouble: Trouble) {
        let mut state = self.state();
        let number = state.operations.saturating_add(skipped);
        state.planned.insert(number, trouble);
    }

    /// Nothing is planned any more.
    pub fn forget_plans(&self) {
        self.state().planned.clear();
    }

    /// The process ends: what was written stays, what it has open is dead. The next [`Store::simulated`] is another
    /// process.
    ///
    /// [`Store::simulated`]: crate::Store::simulated
    pub fn kill(&self) {
        self.state().end();
    }

    /// The power fails: of what was not synced, chance decides out of the seed.
    pub fn power_cut(&self, seed: u64) {
        self.state().lose(seed);
    }

    /// The crashes so far, planned ones and others.
    pub fn crashes(&self) -> u64 {
        self.state().process
    }

    /// The bytes that fit: files with the room they take ahead, and the database. `None`: as many as come.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes that are free; the largest number where there is no limit.
    pub fn free_bytes(&self) -> u64 {
        self.state().free()
    }

    /// Bytes that files take, with the room they have taken ahead, and the database.
    pub fn used_bytes(&self) -> u64 {
        self.state().used()
    }

    /// From now on [`Store::submit`] only takes parts in; they become durable, as one group, with the next
    /// [`Store::settle`] or append. `false`: at once, as before.
    ///
    /// [`Store::submit`]: crate::Store::submit
    /// [`Store::settle`]: crate::Store::settle
    pub fn hold_submissions(&self, holds: bool) {
        self.state().holds = holds;
    }

    /// What is durable at this moment, with the database, as a disk of its own: a copy that somebody keeps.
    pub fn snapshot(&self) -> Result<Self, StoreError> {
        let state = self.state().kept();
        let database = crate::db::copied(&self.database())?;
        Ok(Self(Arc::new(Shared { state: Mutex::new(state), database: Mutex::new(database) })))
    }

    /// The files of the data folder with their bytes, by their paths in it, as they are seen now.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let mut found = Vec::new();
        let mut ahead = vec![PathBuf::from(FOLDER)];
        while let Some(dir) = ahead.pop() {
            for name in state.names().list(&dir).unwrap_or_default() {
                let path = dir.join(name);
                match state.names().get(&path) {
                    Some(Entry::File(number)) => found.push((path, number)),
                    Some(Entry::Folder) => ahead.push(path),
                    None => {}
                }
            }
        }
        let bytes = |(path, number): (PathBuf, u64)| {
            Some((path.strip_prefix(FOLDER).ok()?.to_owned(), state.file(number).ok()?.now().whole()))
        };
        let mut files: Vec<_> = found.into_iter().filter_map(bytes).collect();
        files.sort();
        files
    }

    /// The bytes of one file of the data folder, by its path in it, as they are seen now.
    pub(crate) fn file(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let number = state.named(&Path::new(FOLDER).join(path)).ok()?;
        Some(state.file(number).ok()?.now().whole())
    }

    /// Whether a process has the folder.
    pub(crate) fn is_in_use(&self) -> bool {
        self.state().locked
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Connection> {
        self.0.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as a process has it that begins now.
    pub(crate) fn process(&self) -> Process {
        Process { disk: self.clone(), number: self.state().process }
    }
}

/// Why an operation fails: the process that asks has ended.
#[derive(Debug)]
pub(crate) struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process has ended in a crash that was planned")
    }
}

impl std::error::Error for Ended {}

/// A disk as one process has it.
#[derive(Clone)]
pub(crate) struct Process {
    disk: SimDisk,
    number: u64,
}

impl Process {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.alive(self.number)?;
        Ok(state)
    }

    fn operate(&self, operation: Operation) -> io::Result<()> {
        self.disk.state().operate(self.number, operation)
    }

    pub(crate) fn open(&self, path: &Path, mode: Mode) -> io::Result<Open> {
        let mut state = self.alive()?;
        let number = match (state.named(path), mode) {
            (Ok(_), Mode::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(number), Mode::Anew) => {
                state.operate(self.number, Operation::File(number, Change::Length(0)))?;
                number
            }
            (Ok(number), Mode::Read | Mode::Write | Mode::Keep) => number,
            (Err(error), Mode::New | Mode::Anew | Mode::Keep) if error.kind() == io::ErrorKind::NotFound => {
                state.make(self.number, path)?
            }
            (Err(error), _) => return Err(error),
        };
        state.opened(number);
        drop(state);
        Ok(Open { process: self.clone(), number, at: 0, has_lock: AtomicBool::new(false) })
    }

    pub(crate) fn length(&self, path: &Path) -> io::Result<u64> {
        let state = self.alive()?;
        let number = state.named(path)?;
        Ok(state.file(number)?.now().length())
    }

    pub(crate) fn is_folder(&self, path: &Path) -> bool {
        self.alive().is_ok_and(|state| state.names().get(path) == Some(Entry::Folder))
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.alive().is_ok_and(|state| state.names().get(path).is_some())
    }

    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.alive()?.names().list(dir)
    }

    pub(crate) fn make_folder(&self, dir: &Path) -> io::Result<()> {
        self.operate(Operation::Name(Naming::Made(dir.to_owned(), Entry::Folder)))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let entry = Entry::File(self.alive()?.named(from)?);
        self.operate(Operation::Name(Naming::Renamed { from: from.to_owned(), to: to.to_owned(), entry }))
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let entry = Entry::File(self.alive()?.named(path)?);
        self.operate(Operation::Name(Naming::Removed(path.to_owned(), entry)))
    }

    pub(crate) fn remove_folder(&self, dir: &Path) -> io::Result<()> {
        if !self.is_folder(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.operate(Operation::Name(Naming::Removed(dir.to_owned(), Entry::Folder)))
    }

    pub(crate) fn sync_folder(&self, dir: &Path) -> io::Result<()> {
        self.operate(Operation::SyncFolder(dir.to_owned()))
    }

    pub(crate) fn free(&self) -> u64 {
        self.alive().map_or(0, |state| state.free())
    }

    /// Whether what is submitted waits until it is asked for.
    pub(crate) fn holds(&self) -> bool {
        self.alive().is_ok_and(|state| state.holds)
    }

    /// The database, for a process that has not ended.
    pub(crate) fn database(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        drop(self.alive().map_err(|e| StoreError::io(Path::new("andon.db"), "use", e))?);
        Ok(self.disk.database())
    }

    /// Bytes that the database may have: it has `bytes` now.
    pub(crate) fn database_room(&self, bytes: u64) -> u64 {
        let mut state = self.disk.state();
        state.database = bytes;
        if state.capacity.is_some() { bytes.saturating_add(state.free()) } else { u64::MAX }
    }

    /// A transaction is about to be durable.
    pub(crate) fn commit(&self) -> io::Result<()> {
        self.operate(Operation::Commit)
    }

    /// A transaction is durable.
    pub(crate) fn committed(&self) -> io::Result<()> {
        self.operate(Operation::Committed)
    }
}

/// A file that is open.
pub(crate) struct Open {
    process: Process,
    number: u64,
    /// Where the next byte goes that is written in a row.
    at: u64,
    has_lock: AtomicBool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Ok(mut state) = self.process.alive() {
            state.closed(self.number);
            if self.has_lock.load(Ordering::Relaxed) {
                state.locked = false;
            }
        }
    }
}

impl Open {
    pub(crate) fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(self.process.alive()?.file(self.number)?.now().read(at, to))
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.process.operate(Operation::File(self.number, Change::Write { at, bytes: bytes.to_vec() }))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    pub(crate) fn set_length(&self, length: u64) -> io::Result<()> {
        self.process.operate(Operation::File(self.number, Change::Length(length)))
    }

    pub(crate) fn take_room(&self, length: u64) -> io::Result<()> {
        self.process.operate(Operation::File(self.number, Change::Room(length)))
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.process.alive()?.file(self.number)?.now().length())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.process.operate(Operation::Sync(self.number))
    }

    pub(crate) fn forget_memory(&self) {
        if let Ok(mut state) = self.process.alive() {
            state.forget_memory(self.number);
        }
    }

    /// Takes the lock of the folder, unless somebody has it.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        let mut state = self.process.alive()?;
        let is_free = !std::mem::replace(&mut state.locked, true);
        self.has_lock.fetch_or(is_free, Ordering::Relaxed);
        Ok(is_free)
    }
}
