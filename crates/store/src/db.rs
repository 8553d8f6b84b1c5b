//! Business state: one `SQLite` database with one writer, which takes all waiting commits as one transaction.

mod audit;
mod confirmations;
mod copy;
mod examine;
mod exceptions;
mod files;
mod list;
mod objects;
mod read;
mod restores;
mod retained;
mod schema;
mod waits;
mod watch;
mod write;
mod writer;

pub use list::{Page, Query};

pub(crate) use audit::{Check as AuditCheck, after as audit_after, head as audit_head, of as audit_of};
pub(crate) use confirmations::{confirmation, confirmations};
pub(crate) use copy::{copy_file, facts};
#[cfg(test)]
pub(crate) use examine::spoil;
pub(crate) use examine::{Column, Rows, integrity, recount, reindex, rewrite, rows, sealed_of as rows_sealed, untold};
pub(crate) use exceptions::{
    due as exceptions_due, due_behind as exceptions_due_behind, exception, exceptions_of_call, exceptions_of_run,
    group as exception_group, of_group as exceptions_of_group,
};
pub(crate) use files::{holdings, missed, place, sealed};
pub(crate) use objects::{
    context_revision, context_revisions, context_tellers, events_about, has_old_revisions, last_event_about, object,
    object_versions, objects, objects_at, objects_known, objects_since,
};
pub(crate) use read::*;
pub(crate) use restores::last as restored;
pub(crate) use retained::retained;
pub(crate) use schema::migrate;
pub(crate) use waits::{events_of, gathered, gathers_after, listened, listeners, schedules};
pub(crate) use watch::{notice_of, notices_due, processed_alone, systems};

use crate::{StoreError, backup::Told, change::Change, disk::Process, historian::catalog::Changes, rows::Write};
use andon_model::{AssetName, EventId, ExceptionId, Position, RunId, SignalName, SignalNo};
use list::Listing;
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::{
    cmp::Ordering,
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{self, AtomicU32},
    },
    time::Duration,
};
use writer::{Done, Work, Writer};

/// Size of the database's pages: rows are JSON of some kilobytes.
const PAGE_BYTES: u32 = 8 << 10;

/// The write-ahead log is cut back to this size.
pub(crate) const WAL_BYTES_MAX: u64 = 64 << 20;

/// Pages in the write-ahead log after which `SQLite` copies them into the database: 48 MiB. A page that many commits
/// touch is copied once.
const CHECKPOINT_PAGES: u32 = 6_000;

/// What the writer keeps of the database in memory, in KiB: rows of runs and calls are found by ids that lie anywhere.
const CACHE_KIB: i64 = 32 << 10;

/// Connections that read beside the writer: more than the questions that the API answers at once, so that the loops
/// find one.
pub const READERS_MAX: usize = 8;

/// Statements a connection keeps prepared.
const STATEMENTS_MAX: usize = 96;

/// How long a connection waits for another process (a look, a backup) to let go.
const BUSY: Duration = Duration::from_secs(5);

/// What a commit made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The events of the commit in order: id, order number, and whether it is new.
    pub events: Vec<(EventId, u64, bool)>,
    /// The reports of the commit that confirm an event, in order: id, the event, and whether it is new.
    pub confirmations: Vec<(EventId, EventId, bool)>,
    /// The runs that were to be started, in order: id, and whether it is new.
    pub runs: Vec<(RunId, bool)>,
    /// The revision of the context that the commit made last.
    pub context: Option<u64>,
    /// The exceptions of the commit that were to change, in order: id, and whether it did; one that had ended did not.
    pub changed: Vec<(ExceptionId, bool)>,
}

/// Told that the disk is full; whether that made room.
pub(crate) type Full = dyn Fn() -> bool + Send + Sync;

/// The database of a store.
pub(crate) enum Db {
    /// In memory: writes and reads take turns on one connection, in the caller's thread.
    Memory(Mutex<Connection>),
    /// On a simulated disk: in memory as well, and gone or not with a crash.
    Simulated { process: Process, change: Arc<Change>, full: Box<Full> },
    /// In a file: one writing thread, some readers. The readers go first: who closes last tidies up, and must write.
    File { readers: Readers, writer: Writer },
    /// In a file of somebody else; one of an older version is read from a copy that was brought to the present one.
    Look(Readers, #[expect(dead_code, reason = "it is removed when nobody reads it any more")] Option<Copy>),
}

impl Db {
    /// A database that is gone with the process.
    pub(crate) fn memory() -> Result<Self, StoreError> {
        in_memory().map(|connection| Self::Memory(Mutex::new(connection)))
    }

    /// The database of a simulated disk.
    pub(crate) fn simulated(process: Process, change: Arc<Change>, full: Box<Full>) -> Self {
        Self::Simulated { process, change, full }
    }

    /// Opens or makes the database of a data folder. `full` is called when the disk is full, once per failed group;
    /// when it says that it made room the group is tried again.
    pub(crate) fn open(path: &Path, change: Arc<Change>, full: Box<Full>) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = connect(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // The order matters: page size and vacuum mode hold only before the first table.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What undoes one commit of a group is needed only while this process lives.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_MAX, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
        migrate(&mut connection, Some(path))?;
        let readers = Readers::new(path, false);
        Ok(Self::File { writer: Writer::start(connection, path, change, full), readers })
    }

    /// Looks at the database of a data folder without changing it.
    pub(crate) fn look(path: &Path) -> Result<Self, StoreError> {
        let readers = Readers::new(path, true);
        let version: u32 = readers.with(|c| Ok(c.pragma_query_value(None, "user_version", |row| row.get(0))?))?;
        match version.cmp(&schema::VERSION) {
            Ordering::Greater => {
                Err(StoreError::Newer { path: path.to_owned(), found: version, known: schema::VERSION })
            }
            Ordering::Equal => Ok(Self::Look(readers, None)),
            Ordering::Less => {
                let copy = Copy::new()?;
                readers.with(|c| schema::copy(c, &copy.0))?;
                migrate(&mut connect(&copy.0, OpenFlags::SQLITE_OPEN_READ_WRITE)?, None)?;
                Ok(Self::Look(Readers::new(&copy.0, false), Some(copy)))
            }
        }
    }

    /// Applies the writes, all or nothing; returns when they are durable.
    pub(crate) fn commit(&self, writes: Vec<Write>) -> Result<Committed, StoreError> {
        match self.work(Work::Writes(writes))? {
            Done::Committed(committed) => Ok(committed),
            Done::Signals(_) => unreachable!("writes make commits"),
        }
    }

    /// The numbers of signals in their order, given now where they have none: all of them or none.
    pub(crate) fn numbers(&self, signals: Vec<(AssetName, SignalName)>) -> Result<Vec<SignalNo>, StoreError> {
        match self.work(Work::Signals(signals))? {
            Done::Signals(numbers) => Ok(numbers),
            Done::Committed(_) => unreachable!("signals make numbers"),
        }
    }

    /// Applies what a step of the historian changed, all or nothing; returns when it is durable.
    pub(crate) fn change_files(&self, changes: Changes) -> Result<(), StoreError> {
        self.work(Work::Files(Box::new(changes))).map(|_| ())
    }

    /// Copies the database to a file while it is written to. `end` is asked when the copy holds all that was committed
    /// and before anything else is.
    pub(crate) fn copy_to(
        &self,
        to: &Path,
        told: Told<'_>,
        end: impl FnOnce() -> Position + Send + 'static,
    ) -> Result<Position, StoreError> {
        match self {
            Self::File { writer, .. } => writer.copy(to, told, Box::new(end)),
            Self::Memory(_) | Self::Simulated { .. } | Self::Look(..) => {
                Err(StoreError::Refused("only the database of a running instance is copied so".into()))
            }
        }
    }

    fn work(&self, work: Work) -> Result<Done, StoreError> {
        match self {
            Self::Memory(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                writer::group(&connection, &[work], &writer::commit).pop().expect("one work has one outcome")
            }
            Self::Simulated { process, change, full } => writer::simulated(process, work, change, full),
            Self::File { writer, .. } => writer.work(work),
            Self::Look(..) => Err(crate::store::looking()),
        }
    }

    /// Asks a question; it sees every commit that has returned.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self {
            Self::Memory(connection) => ask(&connection.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Simulated { process, .. } => ask(&*process.database()?),
            Self::File { readers, .. } | Self::Look(readers, _) => readers.with(ask),
        }
    }

    /// A page of rows for people; no read transaction lasts longer than one window.
    pub(crate) fn list(&self, kind: &str, query: &Query) -> Result<Page, StoreError> {
        let mut listing = Listing::new(kind, query)?;
        loop {
            if let Some(page) = self.read(|c| listing.step(c))? {
                return Ok(page);
            }
        }
    }

    /// Rows by kind and state.
    pub(crate) fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.read(list::counts)
    }
}

/// An empty database in memory.
pub(crate) fn in_memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    migrate(&mut connection, None)?;
    Ok(connection)
}

/// A copy of a database, in memory.
pub(crate) fn copied(connection: &Connection) -> Result<Connection, StoreError> {
    let mut copy = Connection::open_in_memory()?;
    Backup::new(connection, &mut copy)?.step(-1)?;
    copy.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(copy)
}

/// A database that is gone with the one who reads it.
pub(crate) struct Copy(PathBuf);

impl Copy {
    fn new() -> Result<Self, StoreError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, atomic::Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("andon-look-{process}-{number}"));
        // Rows of a plant are nobody else's business: the folder is for its owner alone, and never one that is there.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|e| StoreError::io(&dir, "create", e))?;
        Ok(Self(dir.join("andon.db")))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(dir) = self.0.parent() {
            // What is left lies in the folder for what is temporary.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// A small pool of connections that read.
pub(crate) struct Readers {
    path: PathBuf,
    foreign: bool,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

/// A connection that goes back to the pool, also when who asks ends by a fault.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.readers.pool.lock().unwrap_or_else(PoisonError::into_inner).idle.extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}

impl Readers {
    fn new(path: &Path, foreign: bool) -> Self {
        Self { path: path.to_owned(), foreign, pool: Mutex::default(), returned: Condvar::new() }
    }

    fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let lent = Lent { readers: self, connection: Some(self.take()?) };
        ask(lent.connection.as_ref().expect("it is taken back when this ends"))
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(connection);
            }
            if pool.open < READERS_MAX {
                pool.open += 1;
                break;
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        drop(pool);
        let opened = self.open();
        if opened.is_err() {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
            self.returned.notify_one();
        }
        opened
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_ONLY;
        let opened = connect(&self.path, flags);
        if !self.foreign {
            return opened;
        }
        // In a folder that cannot be written to, a stopped database is read as it lies there.
        let readable = |c: &Connection| c.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
        match opened.and_then(|c| readable(&c).map(|_| ()).map(|()| c).map_err(StoreError::from)) {
            Ok(connection) => Ok(connection),
            Err(error) if self.path.with_extension("db-wal").exists() => Err(error),
            Err(error) => {
                let uri = format!("file:{}?immutable=1", escape(&self.path.to_string_lossy()));
                connect(Path::new(&uri), flags | OpenFlags::SQLITE_OPEN_URI).map_err(|_| error)
            }
        }
    }
}

/// A path within a URI.
fn escape(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
