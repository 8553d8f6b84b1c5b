//! A copy of the database: in steps between commits, on the connection that writes, so that no reader holds up the
//! write-ahead log and no commit waits for long.

use super::connect;
use crate::{
    StoreError,
    backup::{Progress, Told},
};
use andon_model::Position;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use std::{path::Path, path::PathBuf, sync::mpsc::SyncSender};

/// Pages in one step: a megabyte. Commits wait for one at most.
const STEP_PAGES: i32 = 128;

/// What is called when the copy holds all that was committed, before anything else is.
pub(crate) type End = Box<dyn FnOnce() -> Position + Send>;

/// A copy that is asked for.
pub(crate) struct CopyJob {
    pub(crate) to: PathBuf,
    pub(crate) end: End,
    pub(crate) steps: SyncSender<Step>,
}

/// How far a copy has come.
#[derive(Debug)]
pub(crate) enum Step {
    /// Bytes that are copied, and those of the whole database.
    Copied(u64, u64),
    /// It is done, or has failed.
    Done(Result<Position, StoreError>),
}

impl CopyJob {
    /// Makes the copy; `between` is called between steps.
    pub(crate) fn run(self, from: &Connection, between: &mut dyn FnMut()) {
        let Self { to, end, steps } = self;
        let told = |done, total| {
            // Who asked reads what it can; how far it came is of no use to anybody later.
            let _ = steps.try_send(Step::Copied(done, total));
        };
        let copied = copy(from, &to, &told, between).map(|()| end());
        let _ = steps.send(Step::Done(copied));
    }
}

/// Copies a database that nobody writes to.
pub(crate) fn copy_file(from: &Path, to: &Path, told: Told<'_>) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let told = |done, total| told(Progress { step: "database", done, total });
    copy(&connect(from, flags)?, to, &told, &mut || {})
}

fn copy(from: &Connection, to: &Path, told: &dyn Fn(u64, u64), between: &mut dyn FnMut()) -> Result<(), StoreError> {
    let page: u64 = from.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = connect(to, flags)?;
    // One that is cut short is thrown away: nothing need be undone.
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    target.pragma_update(None, "synchronous", "OFF")?;
    {
        let pages: u64 = from.pragma_query_value(None, "page_count", |row| row.get(0))?;
        told(0, pages.saturating_mul(page));
        let backup = Backup::new(from, &mut target)?;
        loop {
            match backup.step(STEP_PAGES)? {
                StepResult::Done => break,
                StepResult::More => {}
                other => return Err(StoreError::Stopped(format!("the database cannot be copied: {other:?}"))),
            }
            let progress = backup.progress();
            let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0).saturating_mul(page);
            told(bytes(progress.pagecount - progress.remaining), bytes(progress.pagecount));
            between();
        }
    }
    // A copy is one file, which may be looked at where nothing can be written.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    target.close().map_err(|(_, error)| error)?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(|e| StoreError::io(to, "sync", e))
}

/// The order number of the last event of a database that lies alone, and the version of its schema.
pub(crate) fn facts(path: &Path) -> Result<(u64, u32), StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((super::last_sequence(&connection)?, version))
}
