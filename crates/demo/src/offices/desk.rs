//! Offices at work: what they keep in memory and in their files, shared by everybody who asks them.

use super::{Line, OfficeKind, Offices, Post, Repair, Reply, Request, file::Book, offices};
use crate::OfficeError;
use andon_model::Time;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Offices with their files. A clone is the same desk.
#[derive(Debug, Clone)]
pub struct Desk(Arc<Mutex<Open>>);

/// What changes together: the offices and the files of those that are open.
#[derive(Debug)]
struct Open {
    offices: Offices,
    books: BTreeMap<OfficeKind, Book>,
    /// The latest time that anybody has come with. Whoever comes later with an earlier one had read it before: then it
    /// is this time, so that lines are in the order of time and nobody who asks for changes misses one.
    latest: Time,
}

impl Desk {
    /// Opens all offices, each with `<dir>/<name>.jsonl`; the folder is made where it is missing. The first order of
    /// each line runs at `start`, which must be the same at each opening of the folder.
    pub fn all(dir: &Path, start: Time) -> Result<Self, OfficeError> {
        std::fs::create_dir_all(dir).map_err(|cause| OfficeError::File { path: dir.to_owned(), cause })?;
        let mut open = Open::new(start);
        for office in offices() {
            open.open(office, &dir.join(format!("{}.jsonl", office.name())))?;
        }
        Ok(Self(Arc::new(Mutex::new(open))))
    }

    /// Opens one office with its file.
    pub fn one(office: OfficeKind, file: &Path, start: Time) -> Result<Self, OfficeError> {
        let mut open = Open::new(start);
        open.open(office, file)?;
        Ok(Self(Arc::new(Mutex::new(open))))
    }

    /// The offices that are open.
    pub fn opened(&self) -> Vec<OfficeKind> {
        self.lock().books.keys().copied().collect()
    }

    /// Decides, writes, syncs, and only then answers. Waits for the disk.
    pub fn answer(&self, office: OfficeKind, request: &Request, now: Time) -> Reply {
        let mut open = self.lock();
        let now = open.not_before(now);
        let reply = open.offices.decide(office, request, now);
        match open.write(office, &reply.lines) {
            Ok(()) => reply,
            Err(cause) => {
                tracing::error!(%cause, office = office.name(), "a document could not be written");
                Reply::problem(503, "Service Unavailable", "the office cannot write its file")
            }
        }
    }

    /// Lets the offices do by themselves what is due at `now`. Waits for the disk.
    pub fn pass(&self, now: Time) -> Result<(), OfficeError> {
        let mut open = self.lock();
        let now = open.not_before(now);
        for (office, line) in open.offices.due(now) {
            open.write(office, &[line])?;
        }
        Ok(())
    }

    /// How far the repair of an asset is; see [`Offices::repair`].
    pub fn repair(&self, asset: &str, now: Time) -> Repair {
        self.lock().offices.repair(asset, now)
    }

    /// What has to be posted; see [`Offices::posts`].
    pub fn posts(&self, now: Time) -> Vec<Post> {
        self.lock().offices.posts(now)
    }

    /// A post was answered with 2xx.
    pub fn posted(&self, id: &str) {
        self.lock().offices.posted(id);
    }

    /// What an office keeps, in the order of writing.
    pub fn lines(&self, office: OfficeKind) -> Vec<Line> {
        self.lock().offices.kept(office).lines().to_vec()
    }

    /// A panic while the lock was held leaves both whole: memory changes only after the file did.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(start: Time) -> Self {
        Self { offices: Offices::new(start), books: BTreeMap::new(), latest: Time::MIN }
    }

    fn not_before(&mut self, now: Time) -> Time {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn open(&mut self, office: OfficeKind, file: &Path) -> Result<(), OfficeError> {
        let book = Book::open(file, |line| self.offices.keep(office, line))?;
        self.books.insert(office, book);
        Ok(())
    }

    /// Writes lines to the office's file and keeps them. An office that is not open keeps nothing.
    fn write(&mut self, office: OfficeKind, lines: &[Line]) -> Result<(), OfficeError> {
        let Some(book) = self.books.get_mut(&office).filter(|_| !lines.is_empty()) else { return Ok(()) };
        book.append(lines)?;
        for line in lines {
            // A document that `decide` gave is new, so it is never refused.
            let _ = self.offices.keep(office, line.clone());
        }
        Ok(())
    }
}
