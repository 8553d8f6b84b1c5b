//! What is on a simulated disk, and what befalls it.

use super::{
    Ended, Trouble,
    chance::Chance,
    content::{Change, Content},
    names::{Entry, Names, Naming},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

/// `EIO`.
const FAILED: i32 = 5;

/// Everything but the database.
pub(super) struct State {
    names: Names,
    files: BTreeMap<u64, Content>,
    /// The numbers of files that are open, with how often.
    open: BTreeMap<u64, u32>,
    next: u64,
    /// The process that may use the disk; those before have ended.
    pub(super) process: u64,
    /// Whether the process holds the lock of the folder.
    pub(super) locked: bool,
    /// Operations so far.
    pub(super) operations: u64,
    /// What befalls operations that are still to come, by their number.
    pub(super) planned: BTreeMap<u64, Trouble>,
    pub(super) capacity: Option<u64>,
    /// Bytes of the database.
    pub(super) database: u64,
    pub(super) holds: bool,
}

/// What changes the disk.
pub(super) enum Operation {
    File(u64, Change),
    Sync(u64),
    Name(Naming),
    SyncFolder(PathBuf),
    /// The database is about to make a transaction durable.
    Commit,
    /// A transaction is durable, and nobody was told.
    Committed,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            names: Names::new(),
            files: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            process: 0,
            locked: false,
            operations: 0,
            planned: BTreeMap::new(),
            capacity: None,
            database: 0,
            holds: false,
        }
    }

    /// What is durable, as a disk of its own.
    pub(super) fn kept(&self) -> Self {
        let names = self.names.kept();
        let files = names.files().filter_map(|number| Some((number, self.files.get(&number)?.kept())));
        let files = files.collect();
        let (next, capacity, database) = (self.next, self.capacity, self.database);
        Self { names, files, next, capacity, database, ..Self::new() }
    }

    /// Refuses what has ended.
    pub(super) fn alive(&self, process: u64) -> io::Result<()> {
        if process == self.process { Ok(()) } else { Err(io::Error::other(Ended)) }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn file(&self, number: u64) -> io::Result<&Content> {
        self.files.get(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The file of a name.
    pub(super) fn named(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(Entry::File(number)) => Ok(number),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Makes an empty file.
    pub(super) fn make(&mut self, process: u64, path: &Path) -> io::Result<u64> {
        let number = self.next;
        self.files.insert(number, Content::default());
        let made = self.operate(process, Operation::Name(Naming::Made(path.to_owned(), Entry::File(number))));
        self.next += 1;
        made.map(|()| number)
    }

    pub(super) fn opened(&mut self, number: u64) {
        *self.open.entry(number).or_default() += 1;
    }

    pub(super) fn closed(&mut self, number: u64) {
        if let Some(times) = self.open.get_mut(&number) {
            *times -= 1;
            if *times == 0 {
                self.open.remove(&number);
            }
        }
    }

    /// Bytes that files and the database may still take.
    pub(super) fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    /// Bytes that they take.
    pub(super) fn used(&self) -> u64 {
        let taken: BTreeSet<u64> = self.names.named().chain(self.open.keys().copied()).collect();
        let bytes = taken.iter().filter_map(|number| self.files.get(number)).map(|file| file.now().length());
        bytes.sum::<u64>() + self.database
    }

    /// Does something, unless it is its turn to go wrong.
    pub(super) fn operate(&mut self, process: u64, operation: Operation) -> io::Result<()> {
        self.alive(process)?;
        let number = self.operations;
        self.operations += 1;
        let Some(trouble) = self.planned.remove(&number) else { return self.perform(operation) };
        match trouble {
            Trouble::Kill(seed) => {
                let mut chance = Chance::new(seed);
                if chance.coin() {
                    drop(self.perform(operation));
                } else if let Operation::File(file, Change::Write { at, bytes }) = operation {
                    let count = chance.below(bytes.len() as u64);
                    self.write_some(file, at, &bytes, count);
                }
                self.end();
                Err(io::Error::other(Ended))
            }
            Trouble::PowerCut(seed) => {
                let is_sync = matches!(operation, Operation::Sync(_) | Operation::SyncFolder(_));
                if !is_sync || seed & 1 == 1 {
                    drop(self.perform(operation));
                }
                self.lose(seed);
                Err(io::Error::other(Ended))
            }
            Trouble::Error(seed) => self.refuse(operation, seed, io::Error::from_raw_os_error(FAILED)),
            Trouble::Full(seed) => self.refuse(operation, seed, io::ErrorKind::StorageFull.into()),
        }
    }

    fn perform(&mut self, operation: Operation) -> io::Result<()> {
        match operation {
            Operation::File(number, change) => {
                let free = self.free();
                if self.file(number)?.growth(&change) > free {
                    if let Change::Write { at, bytes } = change {
                        let fits = self.file(number)?.now().length().saturating_sub(at) + free;
                        self.write_some(number, at, &bytes, fits);
                    }
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.files.entry(number).or_default().change(change);
            }
            Operation::Sync(number) => self.files.entry(number).or_default().sync(),
            Operation::Name(naming) => {
                self.names.check(&naming)?;
                self.names.change(naming);
                self.forget();
            }
            Operation::SyncFolder(dir) => {
                if self.names.get(&dir) != Some(Entry::Folder) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                self.names.sync(&dir);
                self.forget();
            }
            Operation::Commit | Operation::Committed => {}
        }
        Ok(())
    }

    /// An operation fails; what it leaves.
    fn refuse(&mut self, operation: Operation, seed: u64, error: io::Error) -> io::Result<()> {
        let mut chance = Chance::new(seed);
        match operation {
            Operation::File(number, Change::Write { at, bytes }) => {
                let count = chance.below(bytes.len() as u64);
                self.write_some(number, at, &bytes, count);
            }
            Operation::Sync(number) => self.files.entry(number).or_default().fail(&mut chance),
            Operation::File(..) | Operation::Name(_) | Operation::SyncFolder(_) | Operation::Commit => {}
            // It is done: what fails is the next thing.
            Operation::Committed => {
                let error = if error.kind() == io::ErrorKind::StorageFull { Trouble::Full } else { Trouble::Error };
                self.planned.entry(self.operations).or_insert_with(|| error(seed));
                return Ok(());
            }
        }
        Err(error)
    }

    fn write_some(&mut self, number: u64, at: u64, bytes: &[u8], count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(..count).unwrap_or_default().to_vec();
        if !bytes.is_empty() {
            self.files.entry(number).or_default().change(Change::Write { at, bytes });
        }
    }

    /// What is durable is seen from now on, where nothing waits to become so.
    pub(super) fn forget_memory(&mut self, number: u64) {
        if let Some(file) = self.files.get_mut(&number) {
            file.forget_memory();
        }
    }

    /// The process ends. What it wrote stays.
    pub(super) fn end(&mut self) {
        self.process += 1;
        self.locked = false;
        self.open.clear();
        self.planned.clear();
        self.forget();
    }

    /// The power fails.
    pub(super) fn lose(&mut self, seed: u64) {
        let mut chance = Chance::new(seed);
        self.names.lose(&mut chance);
        self.files.values_mut().for_each(|file| file.lose(&mut chance));
        self.end();
    }

    /// Files without a name, which nobody has open, are gone.
    fn forget(&mut self) {
        if self.files.len() > self.open.len() {
            let named: BTreeSet<u64> = self.names.files().collect();
            let open = &self.open;
            self.files.retain(|number, _| named.contains(number) || open.contains_key(number));
        }
    }
}
