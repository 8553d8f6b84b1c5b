//! The one writer: all commits that wait become one transaction and share one sync.

use super::{
    Committed, Full,
    copy::{CopyJob, End, Step},
    files, write,
};
use crate::{
    StoreError,
    backup::{Progress, Told},
    change::Change,
    disk::Process,
    historian::catalog::Changes,
    rows::Write,
};
use andon_model::{AssetName, Position, SignalName, SignalNo};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Commits that may wait for the writer; further ones block their callers.
const WAITING_MAX: usize = 1_024;

/// Commits that share one transaction at most.
const GROUP_MAX: usize = 256;

/// Steps of a copy that may wait to be told; of more some are left out.
const STEPS_TOLD_MAX: usize = 16;

/// How long a copy of the database waits between two steps: the disk is there for others, too.
const STEP_PAUSE: Duration = Duration::from_millis(1);

/// How long cutting back the write-ahead log waits for readers.
const CUT_WAIT: Duration = Duration::from_millis(50);

/// Pages of the largest database there can be.
const PAGES: u64 = 4_294_967_294;

/// What is asked of the writer.
pub(crate) enum Work {
    /// A list of writes.
    Writes(Vec<Write>),
    /// The numbers of signals.
    Signals(Vec<(AssetName, SignalName)>),
    /// What the historian changed.
    Files(Box<Changes>),
}

impl Work {
    /// Whether others than its writer read it.
    fn tells(&self) -> bool {
        match self {
            Self::Writes(writes) => !writes.iter().all(Write::is_journal),
            Self::Signals(_) | Self::Files(_) => true,
        }
    }
}

/// What the writer answers.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    Committed(Committed),
    Signals(Vec<SignalNo>),
}

struct Job {
    work: Work,
    reply: SyncSender<Result<Done, StoreError>>,
}

/// The copy of the database that is asked for.
type Asked = Mutex<Option<CopyJob>>;

/// The thread that owns the writing connection.
pub(crate) struct Writer {
    queue: Mutex<Option<SyncSender<Job>>>,
    copies: Arc<Asked>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(connection: Connection, path: &Path, change: Arc<Change>, full: Box<Full>) -> Self {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let wal = PathBuf::from(format!("{}-wal", path.display()));
        let copies = Arc::new(Asked::default());
        let asked = Arc::clone(&copies);
        let thread = thread::Builder::new()
            .name("store-db".into())
            .spawn(move || serve(&connection, &waiting, &wal, &change, &*full, &asked))
            .expect("a thread can be started");
        Self { queue: Mutex::new(Some(queue)), copies, thread: Mutex::new(Some(thread)) }
    }

    /// Hands work to the thread and waits until it is durable.
    pub(crate) fn work(&self, work: Work) -> Result<Done, StoreError> {
        let stopped = || StoreError::Stopped("the thread that writes the database has ended".into());
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)?;
        let (reply, outcome) = sync_channel(1);
        queue.send(Job { work, reply }).map_err(|_| stopped())?;
        outcome.recv().map_err(|_| stopped())?
    }
}

impl Writer {
    /// Lets the thread copy the database between its commits.
    pub(crate) fn copy(&self, to: &Path, told: Told<'_>, end: End) -> Result<Position, StoreError> {
        let (steps, come) = sync_channel(STEPS_TOLD_MAX);
        let job = CopyJob { to: to.to_owned(), end, steps };
        *self.copies.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        // It looks for a copy after each group.
        self.work(Work::Writes(Vec::new()))?;
        loop {
            match come.recv() {
                Ok(Step::Copied(done, total)) => told(Progress { step: "database", done, total }),
                Ok(Step::Done(copied)) => return copied,
                Err(_) => return Err(StoreError::Stopped("the thread that writes the database has ended".into())),
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread was printed already, and nothing is left to save.
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, waiting: &Receiver<Job>, wal: &Path, change: &Change, full: &Full, copies: &Asked) {
    while let Ok(first) = waiting.recv() {
        serve_group(connection, first, waiting, change, full);
        bound(connection, wal);
        let asked = copies.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(copy) = asked {
            copy.run(connection, &mut || {
                if let Ok(first) = waiting.recv_timeout(STEP_PAUSE) {
                    serve_group(connection, first, waiting, change, full);
                    bound(connection, wal);
                }
            });
        }
    }
}

/// Makes one transaction of all that waits.
fn serve_group(connection: &Connection, first: Job, waiting: &Receiver<Job>, change: &Change, full: &Full) {
    let mut works = vec![first.work];
    let mut replies = vec![first.reply];
    while works.len() < GROUP_MAX
        && let Ok(job) = waiting.try_recv()
    {
        works.push(job.work);
        replies.push(job.reply);
    }
    let outcomes = tried(connection, &works, change, full, &commit);
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // A caller that no longer waits has no use for the answer.
        let _ = reply.send(outcome);
    }
}

/// Runs all works; those that find no room on the disk a second time where room was made.
fn tried(
    connection: &Connection,
    works: &[Work],
    change: &Change,
    full: &dyn Fn() -> bool,
    commit: &Commit<'_>,
) -> Vec<Result<Done, StoreError>> {
    let mut outcomes = group(connection, works, commit);
    if outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(StoreError::is_full)) && full() {
        outcomes = retried(connection, works, outcomes, commit);
    }
    if works.iter().any(Work::tells) {
        change.rise_rows();
    }
    outcomes
}

/// Works in the caller's thread on the database of a simulated disk.
pub(crate) fn simulated(process: &Process, work: Work, change: &Change, full: &Full) -> Result<Done, StoreError> {
    let connection = process.database()?;
    let fail = |error: std::io::Error| StoreError::io(Path::new("andon.db"), "write", error);
    let commit = |connection: &Connection| {
        process.commit().map_err(fail)?;
        commit(connection)?;
        process.committed().map_err(fail)
    };
    let bound = || bound_pages(&connection, process);
    bound()?;
    let full = || full() && bound().is_ok();
    let outcome = tried(&connection, &[work], change, &full, &commit).pop().expect("one work has one outcome");
    bound().and(outcome)
}

/// Lets the database of a simulated disk grow as far as the disk has room.
fn bound_pages(connection: &Connection, process: &Process) -> Result<(), StoreError> {
    let ask = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0));
    let (page, pages) = (ask("PRAGMA page_size")?, ask("PRAGMA page_count")?);
    let most = (process.database_room(page * pages) / page.max(1)).min(PAGES);
    ask(&format!("PRAGMA max_page_count = {most}"))?;
    Ok(())
}

/// Makes a transaction durable.
pub(crate) type Commit<'a> = dyn Fn(&Connection) -> Result<(), StoreError> + 'a;

/// As the database does it.
pub(crate) fn commit(connection: &Connection) -> Result<(), StoreError> {
    execute(connection, "COMMIT")
}

/// Tries those again that found no room on the disk.
fn retried(
    connection: &Connection,
    works: &[Work],
    outcomes: Vec<Result<Done, StoreError>>,
    commit: &Commit<'_>,
) -> Vec<Result<Done, StoreError>> {
    let again = |(work, outcome): (&Work, Result<Done, StoreError>)| match outcome {
        Err(StoreError::Full { .. }) => {
            group(connection, std::slice::from_ref(work), commit).pop().expect("one work has one outcome")
        }
        outcome => outcome,
    };
    works.iter().zip(outcomes).map(again).collect()
}

/// Cuts the write-ahead log back when readers kept `SQLite` from doing so itself.
fn bound(connection: &Connection, wal: &Path) {
    if std::fs::metadata(wal).is_ok_and(|file| file.len() > super::WAL_BYTES_MAX) {
        // Commits wait meanwhile: a reader that stays longer is asked again after the next group.
        let cut = connection
            .busy_timeout(CUT_WAIT)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
        let again = connection.busy_timeout(super::BUSY);
        debug_assert!(again.is_ok(), "a time is always accepted");
        if !matches!(cut, Ok(0)) {
            tracing::warn!(?cut, "the write-ahead log of the database is over its limit; a long reader keeps it");
        }
    }
}

/// Runs all works in one transaction; one that fails is undone alone. When the transaction itself fails all do.
pub(crate) fn group(connection: &Connection, works: &[Work], commit: &Commit<'_>) -> Vec<Result<Done, StoreError>> {
    let run = || -> Result<Vec<Result<Done, StoreError>>, StoreError> {
        execute(connection, "BEGIN IMMEDIATE")?;
        // One that is alone is undone with the transaction: a savepoint would copy every page it touches.
        if let [work] = works {
            let done = perform(connection, work)?;
            commit(connection)?;
            return Ok(vec![Ok(done)]);
        }
        let outcomes = works.iter().map(|work| alone(connection, work)).collect::<Result<_, _>>()?;
        commit(connection)?;
        Ok(outcomes)
    };
    run().unwrap_or_else(|error| {
        if !connection.is_autocommit()
            && let Err(undo) = execute(connection, "ROLLBACK")
        {
            tracing::error!(%undo, "a failed transaction could not be undone");
        }
        works.iter().map(|_| Err(error.clone())).collect()
    })
}

/// Runs one work inside a savepoint. The outer error is one of the whole transaction.
fn alone(connection: &Connection, work: &Work) -> Result<Result<Done, StoreError>, StoreError> {
    execute(connection, "SAVEPOINT one")?;
    let outcome = perform(connection, work);
    if let Err(error) = &outcome {
        if connection.is_autocommit() {
            // `SQLite` has undone the whole transaction by itself: full disk, error of the disk.
            return Err(error.clone());
        }
        execute(connection, "ROLLBACK TO one")?;
    }
    execute(connection, "RELEASE one")?;
    Ok(outcome)
}

fn perform(connection: &Connection, work: &Work) -> Result<Done, StoreError> {
    match work {
        Work::Writes(writes) => write::apply(connection, writes).map(Done::Committed),
        Work::Signals(names) => {
            let numbers = names.iter().map(|(asset, signal)| write::signal(connection, asset, signal));
            numbers.collect::<Result<_, _>>().map(Done::Signals)
        }
        Work::Files(changes) => files::change(connection, changes).map(|()| Done::Committed(Committed::default())),
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
