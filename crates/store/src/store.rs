//! The store as its users see it.

mod exceptions;
mod kept;
mod numbers;
mod runs;

use crate::{
    Committed, Page, Query, StoreError,
    change::Change,
    db::{self, Db},
    disk::{self, Disk, SimDisk},
    fault::{Fault, Faults},
    folder::{FIRST_EPOCH, Folder},
    hand::Hands,
    historian::{
        self, Holdings,
        catalog::{Sealed, Which},
        keeper::Ground,
        last::Follower,
    },
    log::Log,
    rows::{ContractRow, Evidence, IntakeRow, QuarantineRow, RetainedRow, RuleStateRow, SourceRow, StoredEvent, Write},
    states::Kept,
};
use ahash::AHashMap;
use andon_model::{
    AssetName, EventId, ExceptionId, InstanceId, Name, Position, SignalName, SignalNo, SiteName,
    sample::{Batch, Counts, Part},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

/// The store of one instance. Clones are the same store; the last one closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    instance: InstanceId,
    epoch: u32,
    log: Log,
    db: Db,
    change: Arc<Change>,
    signals: RwLock<AHashMap<AssetName, AHashMap<SignalName, SignalNo>>>,
    follower: Follower,
    /// Files of the historian that are listed and were not there, or not whole, at the start.
    missing: Vec<PathBuf>,
    hands: Arc<Hands>,
    place: Place,
}

/// Where the store is. The last field of the store, so that the lock goes last.
enum Place {
    /// In memory, with the bytes that a file for the states of rules would have.
    Memory(Kept, Faults),
    /// In a folder of ours.
    Folder(Arc<Folder>),
    /// In a folder of somebody else.
    Look(PathBuf),
}

/// Sizes that differ between a product and a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a segment of the log after which the next one begins.
    pub segment_bytes: u64,
    /// Bytes of recent batches that are kept in memory.
    pub ring_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, ring_bytes: 16 << 20 }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("instance", &self.instance()).field("dir", &self.dir()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a data folder, or makes one of an empty or foreign folder; files in it that are not ours are left alone.
    /// The folder is locked until the last clone is gone. `chance` gives random bytes for the id of a new instance.
    /// States of rules that have read further than the log reaches refuse the start.
    pub fn open(dir: &Path, chance: &mut dyn FnMut(&mut [u8])) -> Result<Self, StoreError> {
        Self::open_with(dir, &Limits::default(), chance)
    }

    /// The same with other sizes.
    pub fn open_with(dir: &Path, limits: &Limits, chance: &mut dyn FnMut(&mut [u8])) -> Result<Self, StoreError> {
        Self::opened(Disk::System, dir, limits, chance)
    }

    /// Opens the data folder of a simulated disk, or makes it: as another process than the one before, once that has
    /// crashed or let go. There are no threads: who submits or commits does the work. Small segments make starts fast.
    pub fn simulated(disk: &SimDisk, limits: &Limits, chance: &mut dyn FnMut(&mut [u8])) -> Result<Self, StoreError> {
        Self::opened(Disk::Simulated(disk.process()), Path::new(disk::FOLDER), limits, chance)
    }

    fn opened(disk: Disk, dir: &Path, limits: &Limits, chance: &mut dyn FnMut(&mut [u8])) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::open(disk, dir, chance)?);
        let disk = &folder.disk;
        let counter = Arc::new(Change::default());
        let held = Arc::clone(&folder);
        let full = Box::new(move || held.room.exhausted());
        let db = match disk {
            Disk::System => Db::open(&dir.join("andon.db"), Arc::clone(&counter), full)?,
            Disk::Simulated(process) => Db::simulated(process.clone(), Arc::clone(&counter), full),
        };
        let mut read = kept::read_so_far(&db.read(db::rule_states)?, disk, dir)?;
        let sealed = db.read(|c| db::sealed(c, &Which::default()))?;
        read.extend(sealed.place.map(|place| ("the historian".to_owned(), place)));
        let accept = |end| beyond(&read, end, folder.format.epoch);
        let log = Log::open(&dir.join("log"), limits, Arc::clone(&folder), Arc::clone(&counter), accept)?;
        let missing = historian::recover::recover(disk, dir, &sealed, log.start())?;
        for path in &missing {
            let path = path.display();
            tracing::error!(%path, "a file of the historian is missing or cut short: put it back and start again");
        }
        Ok(Self(Arc::new(Inner {
            instance: folder.format.instance,
            epoch: folder.format.epoch,
            log,
            db,
            change: counter,
            signals: RwLock::default(),
            follower: Follower::default(),
            missing,
            hands: Hands::open(disk, dir)?,
            place: Place::Folder(Arc::clone(&folder)),
        })))
    }

    /// Looks at a data folder without changing it: that of a stopped instance, or beside a running one. What is
    /// written meanwhile becomes visible. Commits, appends and new signals are refused.
    pub fn look(dir: &Path) -> Result<Self, StoreError> {
        let format = Folder::look(dir)?;
        Ok(Self(Arc::new(Inner {
            instance: format.instance,
            epoch: format.epoch,
            log: Log::look(&Disk::System, &dir.join("log"), format.epoch)?,
            db: Db::look(&dir.join("andon.db"))?,
            change: Arc::default(),
            signals: RwLock::default(),
            follower: Follower::default(),
            missing: Vec::new(),
            hands: Hands::memory(),
            place: Place::Look(dir.to_owned()),
        })))
    }

    /// A store in memory: the same rows and entries, gone with it. Everything happens in the caller's thread.
    pub fn memory(chance: &mut dyn FnMut(&mut [u8])) -> Self {
        let counter = Arc::new(Change::default());
        Self(Arc::new(Inner {
            instance: drawn(chance),
            epoch: FIRST_EPOCH,
            log: Log::memory(FIRST_EPOCH, Arc::clone(&counter)),
            db: Db::memory().expect("a database in memory can be made"),
            change: counter,
            signals: RwLock::default(),
            follower: Follower::default(),
            missing: Vec::new(),
            hands: Hands::memory(),
            place: Place::Memory(Kept::default(), Faults::default()),
        }))
    }

    /// In memory, for tests and simulations: the commit, append or writing of states after `skipped` further ones
    /// fails. Other providers fail by themselves.
    pub fn plan_fault(&self, skipped: u64, fault: Fault) {
        if let Place::Memory(_, faults) = &self.0.place {
            faults.plan(skipped, fault);
        }
    }

    fn faulty<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.0.place {
            Place::Memory(_, faults) => faults.write(write),
            Place::Folder(_) | Place::Look(_) => write(),
        }
    }

    /// The instance; drawn when the data folder was made.
    pub fn instance(&self) -> InstanceId {
        self.0.instance
    }

    /// The epoch of the data folder; rises with every restore.
    pub fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// The data folder; `None` in memory and on a simulated disk.
    pub fn dir(&self) -> Option<&Path> {
        match self.data() {
            Some((Disk::System, dir)) => Some(dir),
            Some((Disk::Simulated(_), _)) | None => None,
        }
    }

    /// The data folder, with the disk it is on; `None` in memory.
    pub(crate) fn data(&self) -> Option<(&Disk, &Path)> {
        match &self.0.place {
            Place::Memory(..) => None,
            Place::Folder(folder) => Some((&folder.disk, &folder.dir)),
            Place::Look(dir) => Some((&Disk::System, dir)),
        }
    }

    /// The disk that files of the store are on.
    pub(crate) fn disk(&self) -> &Disk {
        self.data().map_or(&Disk::System, |(disk, _)| disk)
    }

    pub(crate) fn hands(&self) -> &Arc<Hands> {
        &self.0.hands
    }

    /// Whether the disk was full and has no room again yet: nothing more is acknowledged until then.
    pub fn is_full(&self) -> bool {
        matches!(&self.0.place, Place::Folder(folder) if folder.room.is_full())
    }

    /// Why the log is written no more, where that is so: a sync has failed, and nobody knows what is on the disk until
    /// another process reads it.
    pub fn stopped(&self) -> Option<String> {
        self.0.log.stopped()
    }

    /// Whether the process that held the folder before did not come to a clean stop.
    pub fn ended_uncleanly(&self) -> bool {
        matches!(&self.0.place, Place::Folder(folder) if folder.ended_uncleanly)
    }

    /// A clean stop: what was at hand is done or written down.
    pub fn end_cleanly(&self) -> Result<(), StoreError> {
        match &self.0.place {
            Place::Memory(..) => Ok(()),
            Place::Folder(folder) => folder.end_cleanly(),
            Place::Look(_) => Err(looking()),
        }
    }

    /// Writes into the folder's lock what others shall know of this instance: its address and process. It is gone
    /// with the lock. [`announced`](crate::announced) reads it.
    pub fn announce(&self, text: &str) -> Result<(), StoreError> {
        match &self.0.place {
            Place::Memory(..) => Ok(()),
            Place::Folder(folder) => folder.announce(text),
            Place::Look(_) => Err(looking()),
        }
    }

    /// Applies the writes in order, all or nothing; returns when they are durable. Commits of several threads share
    /// one sync, and one that fails fails alone.
    pub fn commit(&self, writes: Vec<Write>) -> Result<Committed, StoreError> {
        let tells = matches!(self.0.db, Db::Memory(_)) && !writes.iter().all(Write::is_journal);
        let committed = self.faulty(|| self.0.db.commit(writes))?;
        if tells {
            self.0.change.rise_rows();
        }
        Ok(committed)
    }

    /// Events with a higher order number, in order, at most `limit`.
    pub fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.db.read(|c| db::events_after(c, sequence, limit))
    }

    /// The events of the story that is named after its first event, in their order, at most `limit`. Of an event that
    /// belongs to another's story, only itself.
    pub fn story(&self, correlation: EventId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.db.read(|c| db::story(c, correlation, limit))
    }

    /// An event with its evidence.
    pub fn event(&self, id: EventId) -> Result<Option<(StoredEvent, Option<Evidence>)>, StoreError> {
        self.0.db.read(|c| db::event(c, id))
    }

    /// The highest order number of an event; 0 before the first.
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        self.0.db.read(db::last_sequence)
    }

    /// Events of a site and type (`None`: of any) with an order number above the first and up to the second of
    /// `within`, in order, at most `limit`.
    pub fn events_of(
        &self,
        of: (&SiteName, Option<&str>),
        within: (u64, u64),
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.db.read(|c| db::events_of(c, of, within, limit))
    }

    /// How far a reader has come.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.0.db.read(|c| db::cursor(c, name))
    }

    /// All readers by name.
    pub fn cursors(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.0.db.read(db::cursors)
    }

    /// The states of rules that were committed with outputs, by rule and asset.
    pub fn rule_states(&self) -> Result<Vec<RuleStateRow>, StoreError> {
        self.0.db.read(db::rule_states)
    }

    /// The messages set aside under an exception, newest first.
    pub fn quarantine(&self, exception: ExceptionId, limit: usize) -> Result<Vec<QuarantineRow>, StoreError> {
        self.0.db.read(|c| db::quarantine(c, exception, limit))
    }

    /// Messages set aside under an exception (`None`: under any) with their numbers, oldest first, those behind the
    /// number `after`; 0 is before the first.
    pub fn quarantined(
        &self,
        exception: Option<ExceptionId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, QuarantineRow)>, StoreError> {
        self.0.db.read(|c| db::quarantined(c, exception, after, limit))
    }

    /// A message set aside, by its number.
    pub fn quarantined_message(&self, number: u64) -> Result<Option<QuarantineRow>, StoreError> {
        self.0.db.read(|c| db::quarantined_message(c, number))
    }

    /// How far a file was taken in, or what a request was answered.
    pub fn intake(&self, source: &Name, of: &str) -> Result<Option<IntakeRow>, StoreError> {
        self.0.db.read(|c| db::intake(c, source, of))
    }

    /// All intakes of a source, in the order in which they began.
    pub fn intakes(&self, source: &Name) -> Result<Vec<IntakeRow>, StoreError> {
        self.0.db.read(|c| db::intakes(c, source))
    }

    /// The retained messages of a listener, by topic.
    pub fn retained(&self, listener: &Name) -> Result<Vec<RetainedRow>, StoreError> {
        self.0.db.read(|c| db::retained(c, listener))
    }

    /// A contract by its revision.
    pub fn contract(&self, revision: &str) -> Result<Option<ContractRow>, StoreError> {
        self.0.db.read(|c| db::contract(c, revision))
    }

    /// The contract that was activated last.
    pub fn active_contract(&self) -> Result<Option<ContractRow>, StoreError> {
        self.0.db.read(db::active_contract)
    }

    /// The condition of every source.
    pub fn source_rows(&self) -> Result<Vec<SourceRow>, StoreError> {
        self.0.db.read(db::source_rows)
    }

    /// Rows for people, newest first unless asked otherwise. Kinds: events, runs, tasks, calls, attempts, exceptions,
    /// quarantine, gaps, contracts, cursors, sources, historian, rule-states, objects, object-versions,
    /// context-revisions, confirmations, exception-groups, audit, notices, systems.
    pub fn list(&self, kind: &str, query: &Query) -> Result<Page, StoreError> {
        self.0.db.list(kind, query)
    }

    /// Rows by kind and state, such as `events`, `runs.completed`, `calls.waiting`, `exceptions.open`. A state without
    /// rows is absent.
    pub fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.0.db.counts()
    }

    /// All signals by number.
    pub fn signals(&self) -> Result<Vec<(SignalNo, AssetName, SignalName)>, StoreError> {
        self.0.db.read(db::signals)
    }

    /// The signals with this number or a higher one, by number.
    pub fn signals_from(&self, from: SignalNo) -> Result<Vec<(SignalNo, AssetName, SignalName)>, StoreError> {
        self.0.db.read(|c| db::signals_from(c, from))
    }

    /// Appends parts in order as one group; returns with their places when they are durable.
    pub fn append(&self, parts: Vec<Part>) -> Result<Vec<Arc<Batch>>, StoreError> {
        self.faulty(|| self.0.log.append(parts))
    }

    /// The same for a loop that does not wait: all parts that wait become one group. `done` is called from the writing
    /// thread once the part is durable, in the order of submission; in memory it is called at once. Blocks while the
    /// queue is full; therefore `done` must not append or submit itself.
    pub fn submit(&self, part: Part, done: Box<dyn FnOnce(Result<Arc<Batch>, StoreError>) + Send>) {
        let Place::Memory(_, faults) = &self.0.place else { return self.0.log.submit(part, done) };
        let appended = faults.write(|| self.0.log.append(vec![part]));
        done(appended.map(|batches| batches.into_iter().next().expect("one part makes one batch")));
    }

    /// Lets what was submitted become durable as one group and tells of it, where a simulated disk holds it back;
    /// elsewhere nothing is held. After a crash it tells that nothing was stored.
    pub fn settle(&self) {
        self.0.log.settle();
    }

    /// The batch that holds the entry at `from`, or the first one behind it; `None` at the end. Batches without
    /// entries have no place and are never returned, so that `batch.end()` always leads on.
    pub fn read(&self, from: Position) -> Result<Option<Arc<Batch>>, StoreError> {
        self.0.log.read(from)
    }

    /// The newest batches of a source that hold at least so many samples together, oldest first; fewer where there are
    /// no more. The last 65,536 samples of a source are known also when their segments are gone.
    pub fn newest(&self, source: &Name, samples: u64) -> Result<Vec<Arc<Batch>>, StoreError> {
        self.0.log.newest(source, samples)
    }

    /// The parts of a store that has files of its own.
    pub(crate) fn ground(&self) -> Option<Ground<'_>> {
        match &self.0.place {
            Place::Folder(folder) => Some(Ground { folder, log: &self.0.log, db: &self.0.db }),
            Place::Memory(..) | Place::Look(_) => None,
        }
    }

    /// Files of the historian that are listed and were not there, or not whole, at the start.
    pub(crate) fn missing_files(&self) -> &[PathBuf] {
        &self.0.missing
    }

    /// The place of the next entry: everything before it is durable.
    pub fn log_end(&self) -> Position {
        self.0.log.end()
    }

    /// The place of the oldest entry that is still there.
    pub fn log_start(&self) -> Position {
        self.0.log.start()
    }

    /// How the historian stands: files, what is sealed, and what is no longer kept.
    pub fn holdings(&self) -> Result<Holdings, StoreError> {
        let start = self.log_start();
        let holdings = self.0.db.read(|c| db::holdings(c, start))?;
        let missing = match self.data() {
            Some((disk, dir)) => historian::recover::missing(disk, dir, || self.sealed(&Which::default()))?,
            None => Vec::new(),
        };
        Ok(Holdings { missing, ..holdings })
    }

    /// What is sealed at one instant: the place, and the files that the question does not rule out. Entries of the log
    /// before the place are in the files. A file may go and the log may lose its start while they are read: then the
    /// question is asked again.
    pub(crate) fn sealed(&self, which: &Which<'_>) -> Result<Sealed, StoreError> {
        self.0.db.read(|c| db::sealed(c, which))
    }

    /// Asks the database; the question must be short.
    pub(crate) fn ask<T>(
        &self,
        ask: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0.db.read(ask)
    }

    /// Whether this is a look at a folder of somebody else.
    pub(crate) fn is_look(&self) -> bool {
        matches!(self.0.place, Place::Look(_))
    }

    /// Who follows the log for what is newest.
    pub(crate) fn follower(&self) -> &Follower {
        &self.0.follower
    }

    /// What was received per source since the folder exists, from the stored batches; it outlives their deletion.
    pub fn source_counts(&self) -> BTreeMap<Name, Counts> {
        self.0.log.counts()
    }

    /// Refuses positions behind the durable end of the log, or of a later epoch than the folder's; each with the name
    /// of what has read so far.
    pub fn check_positions(&self, positions: &[(String, Position)]) -> Result<(), StoreError> {
        beyond(positions, self.log_end(), self.epoch())
    }

    /// A counter that rises with every append and every commit that holds more than the journal of runs.
    pub fn change(&self) -> u64 {
        self.0.change.count()
    }

    /// Blocks until the counter differs from `seen`, at most for `timeout`; the counter then.
    pub fn wait_change(&self, seen: u64, timeout: Duration) -> u64 {
        self.0.change.wait(seen, timeout)
    }

    /// A counter that rises with every commit that holds more than the journal of runs, and not with the log.
    pub fn change_of_rows(&self) -> u64 {
        self.0.change.rows()
    }

    /// Blocks until the counter of rows differs from `seen`, at most for `timeout`; the counter then.
    pub fn wait_rows(&self, seen: u64, timeout: Duration) -> u64 {
        self.0.change.wait_rows(seen, timeout)
    }

    /// A counter that rises with that of rows, and when runs are woken.
    pub fn change_of_runs(&self) -> u64 {
        self.0.change.runs()
    }

    /// Blocks until the counter of runs differs from `seen`, at most for `timeout`; the counter then.
    pub fn wait_runs(&self, seen: u64, timeout: Duration) -> u64 {
        self.0.change.wait_runs(seen, timeout)
    }

    /// Wakes who waits for runs, and nobody else: an outcome has come, a run is asked for.
    pub fn wake_runs(&self) {
        self.0.change.rise_runs();
    }

    /// Wakes everybody who waits, for requests that are not in the store.
    pub fn wake(&self) {
        self.0.change.rise_rows();
    }
}

/// Refuses positions behind the end of the log, or of a later epoch than the folder's.
fn beyond(positions: &[(String, Position)], end: Position, epoch: u32) -> Result<(), StoreError> {
    match positions.iter().find(|(_, at)| at.offset > end.offset || at.epoch > epoch) {
        None => Ok(()),
        Some((what, at)) => Err(StoreError::Beyond { what: what.clone(), position: *at, end }),
    }
}

/// The id of a new instance.
pub(crate) fn drawn(chance: &mut dyn FnMut(&mut [u8])) -> InstanceId {
    let mut bits = [0; 10];
    chance(&mut bits);
    InstanceId::from_bits(bits)
}

/// A look changes nothing.
pub(crate) fn looking() -> StoreError {
    StoreError::Refused("this is a look at a data folder; it changes nothing. Open the folder to write".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::part;

    #[test]
    fn the_last_clone_may_go_with_a_reply() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let store = Store::open(dir.path(), &mut |bytes| bytes.fill(1)).unwrap();
            let clone = store.clone();
            store.submit(part("line-1", 1, 1), Box::new(move |_| drop(clone)));
            drop(store);
            // The lock goes only once the log is closed.
            while crate::announced(dir.path()).is_some() {
                std::thread::yield_now();
            }
        }
        let store = Store::open(dir.path(), &mut |bytes| bytes.fill(1)).unwrap();
        assert_eq!(store.source_counts().values().map(|counts| counts.stored).sum::<u64>(), 20);
    }
}
