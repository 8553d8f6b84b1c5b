//! What the surface asks of the product.

use crate::{
    alarms::{Control, ControlQuery},
    backups::{BackUp, BackupStand},
    cancel::{CancelRun, CancelledRun},
    decisions::{Decide, Decided},
    exceptions::{Asked, BulkAsked, BulkDone, ExceptionDone},
    kind::Kind,
    migrate::{MigrateRun, MigratedRun},
    objects::{ObjectGiven, ObjectHistory, ObjectPut, ObjectRef},
    oee::{OeePage, OeeQuery},
    posts::{Admission, Post, Taken},
    problem::Problem,
    runs::{Pending, RunStart, StartedRun},
    samples::{
        CountQuery, Historian, LastPage, LastQuery, RangeQuery, Replay, ReplayQuery, SampleCount, SamplePage, Series,
        SeriesQuery,
    },
    types::{Readiness, Status},
    why::{WhyNot, WhyQuery},
};
use bytes::Bytes;
use serde_json::Value as Json;

/// Rows of a page where nothing else is asked for.
pub const LIMIT_DEFAULT: usize = 100;
/// Rows of a page at most.
pub const LIMIT_MAX: usize = 1_000;

/// Answers for the surface. Every method but [`Backend::start_run`] may block; it is asked on a thread of its own.
pub trait Backend: Send + Sync + 'static {
    /// Whether the instance does its work: contract active, loops running, sources subscribed.
    fn readiness(&self) -> Readiness;
    /// Rows of a kind.
    fn list(&self, kind: Kind, query: &Query) -> Result<Page, Problem>;
    /// One thing, whole, by its id, reference or document number.
    fn show(&self, id: &str) -> Result<Json, Problem>;
    /// The lineage of a thing, backwards to the samples and forwards to every effect.
    fn explain(&self, id: &str) -> Result<Json, Problem>;
    /// Health with reasons and what to do next.
    fn status(&self) -> Result<Status, Problem>;
    /// Metrics in the text format of Prometheus.
    fn metrics(&self) -> Result<String, Problem>;
    /// Samples of an asset in the order of time, from the log and the historian as one.
    fn range(&self, query: &RangeQuery) -> Result<SamplePage, Problem>;
    /// The newest value of each signal.
    fn last(&self, query: &LastQuery) -> Result<LastPage, Problem>;
    /// A range of a signal in few buckets that keep its extremes.
    fn series(&self, query: &SeriesQuery) -> Result<Series, Problem>;
    /// Why a rule had not fired for an asset at a time.
    fn why_not(&self, query: &WhyQuery) -> Result<WhyNot, Problem>;
    /// How many samples are kept.
    fn count(&self, query: &CountQuery) -> Result<SampleCount, Problem>;
    /// Overall equipment effectiveness of an asset, with its parts.
    fn oee(&self, query: &OeeQuery) -> Result<OeePage, Problem>;
    /// Writes everything that is in the log to files of the historian now.
    fn seal(&self) -> Result<Historian, Problem>;
    /// Tries messages of an exception again that were set aside.
    fn replay(&self, exception: &str, query: &ReplayQuery) -> Result<Replay, Problem>;
    /// Answers what an exception asks; returns once it is durable.
    fn decide(&self, exception: &str, decide: &Decide) -> Result<Decided, Problem>;
    /// Does something with an exception; returns once it is durable.
    fn act(&self, exception: &str, asked: &Asked) -> Result<ExceptionDone, Problem>;
    /// Does something with a page of the exceptions that match; returns once it is durable.
    fn act_all(&self, asked: &BulkAsked) -> Result<BulkDone, Problem>;
    /// Ends a run; returns once that is durable.
    fn cancel_run(&self, run: &str, cancel: &CancelRun) -> Result<CancelledRun, Problem>;
    /// Takes a run to the definition in force, or says whether it can; returns once that is durable.
    fn migrate_run(&self, run: &str, migrate: &MigrateRun) -> Result<MigratedRun, Problem>;
    /// An object with its versions.
    fn object(&self, of: &ObjectRef) -> Result<ObjectHistory, Problem>;
    /// Takes an object that is given; returns once it is durable.
    fn put_object(&self, put: &ObjectPut) -> Result<ObjectGiven, Problem>;
    /// Shelves alarms, disables their rule, or takes that back; returns once it is durable.
    fn control(&self, query: &ControlQuery) -> Result<Control, Problem>;
    /// Lets a post in before its body is read, or says why not.
    fn admit(&self, post: &Post) -> Result<Admission, Problem>;
    /// Takes what was posted; returns once it is durable.
    fn take(&self, post: &Post, admission: Admission, body: Bytes) -> Result<Taken, Problem>;
    /// Begins a backup of the data folder.
    fn back_up(&self, asked: &BackUp) -> Result<BackupStand, Problem>;
    /// How the backup stands that was asked for last.
    fn backup(&self) -> Result<BackupStand, Problem>;
    /// Starts a run; the answer comes once that is durable, or at the end of the run where it waits for it.
    fn start_run(&self, start: RunStart) -> Pending<StartedRun>;
}

/// Which rows are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Fields and the values they must have; a path into an object is written with dots.
    pub filters: Vec<(String, String)>,
    /// Only rows behind this one; `next` of the page before.
    pub after: Option<u64>,
    /// Rows at most, up to [`LIMIT_MAX`].
    pub limit: usize,
    /// Oldest first; otherwise newest first.
    pub ascending: bool,
}

/// Some rows, and where the next page begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Json>,
    /// `after` of the next page; `None`: there is none.
    pub next: Option<u64>,
}
