//! What the store tells of exceptions, of what was done about them, and of what else is watched.

use super::Store;
use crate::{
    StoreError, db,
    rows::{AuditHead, AuditVerdict, Audited, ExceptionRow, GroupRow, InProcessRow, NoticeRow, SystemRow},
};
use andon_model::{CallId, ExceptionId, RunId, Time};

/// Rows of the chain that are looked at in one read transaction, so that none lasts long.
const AUDIT_ROWS_AT_ONCE: usize = 5_000;

impl Store {
    /// An exception.
    pub fn exception(&self, id: ExceptionId) -> Result<Option<ExceptionRow>, StoreError> {
        self.0.db.read(|c| db::exception(c, id))
    }

    /// The exceptions of a run.
    pub fn exceptions_of_run(&self, run: RunId) -> Result<Vec<ExceptionRow>, StoreError> {
        self.0.db.read(|c| db::exceptions_of_run(c, run))
    }

    /// The exceptions of a call.
    pub fn exceptions_of_call(&self, call: CallId) -> Result<Vec<ExceptionRow>, StoreError> {
        self.0.db.read(|c| db::exceptions_of_call(c, call))
    }

    /// The exceptions of one cause, counted.
    pub fn exception_group(&self, fingerprint: &str) -> Result<Option<GroupRow>, StoreError> {
        self.0.db.read(|c| db::exception_group(c, fingerprint))
    }

    /// The exceptions of one cause that have not ended, with their row numbers, oldest first, those behind `after`; 0
    /// is before the first.
    pub fn exceptions_of_group(
        &self,
        fingerprint: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ExceptionRow)>, StoreError> {
        self.0.db.read(|c| db::exceptions_of_group(c, fingerprint, after, limit))
    }

    /// Exceptions that have not ended and are due at or before `now`, the oldest due first.
    pub fn exceptions_due(&self, now: Time, limit: usize) -> Result<Vec<ExceptionRow>, StoreError> {
        self.0.db.read(|c| db::exceptions_due(c, now, limit))
    }

    /// Exceptions that have not ended and are due behind a place, which is a time and a row number, and at or before
    /// `until`, with their row numbers, the oldest due first.
    pub fn exceptions_due_behind(
        &self,
        place: (Time, u64),
        until: Time,
        limit: usize,
    ) -> Result<Vec<(u64, ExceptionRow)>, StoreError> {
        self.0.db.read(|c| db::exceptions_due_behind(c, place, until, limit))
    }

    /// Rows of the chain behind a number, oldest first; 0 is before the first.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<Audited>, StoreError> {
        self.0.db.read(|c| db::audit_after(c, after, limit))
    }

    /// What was done to one thing, oldest first.
    pub fn audit_of(&self, subject: &str, limit: usize) -> Result<Vec<Audited>, StoreError> {
        self.0.db.read(|c| db::audit_of(c, subject, limit))
    }

    /// The end of the chain; `None`: nothing was ever done.
    pub fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        self.0.db.read(db::audit_head)
    }

    /// Looks whether the chain is whole. While others write, what they add is looked at, too.
    pub fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let mut check = db::AuditCheck::begin();
        loop {
            if let Some(verdict) = self.0.db.read(|c| check.step(c, AUDIT_ROWS_AT_ONCE))? {
                return Ok(verdict);
            }
        }
    }

    /// A notice.
    pub fn notice(&self, id: &str) -> Result<Option<NoticeRow>, StoreError> {
        self.0.db.read(|c| db::notice_of(c, id))
    }

    /// Notices that are to be tried at or before `now`, the oldest first.
    pub fn notices_due(&self, now: Time, limit: usize) -> Result<Vec<NoticeRow>, StoreError> {
        self.0.db.read(|c| db::notices_due(c, now, limit))
    }

    /// How systems fare.
    pub fn system_rows(&self) -> Result<Vec<SystemRow>, StoreError> {
        self.0.db.read(db::systems)
    }

    /// What is processed alone after an unclean end.
    pub fn in_process(&self) -> Result<Vec<InProcessRow>, StoreError> {
        self.0.db.read(db::processed_alone)
    }
}
