//! What the store tells of runs, of their tasks and calls, and of what they wait for.

use super::Store;
use crate::{
    StoreError, db,
    rows::{AttemptRow, CallRow, DueRun, RunRow, RunState, TaskRow},
    waits::{GatherKey, ListenRow, ScheduleRow},
};
use andon_model::{CallId, EventId, Reference, RunId, SiteName, Time};

impl Store {
    /// The runs that listen for exactly this.
    pub fn listeners(&self, row: &ListenRow) -> Result<Vec<RunId>, StoreError> {
        self.0.db.read(|c| db::listeners(c, row))
    }

    /// In which ways listening runs are found: site, type and `by`, each once.
    pub fn listened(&self) -> Result<Vec<(SiteName, String, String)>, StoreError> {
        self.0.db.read(db::listened)
    }

    /// The order numbers of the events that wait in a slot for others of their key, oldest first.
    pub fn gathered(&self, key: &GatherKey, slot: u32, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.0.db.read(|c| db::gathered(c, key, slot, limit))
    }

    /// Events that wait for others, as key, slot and order number, in this order, those behind `after`; `None` is
    /// before the first.
    pub fn gathers_after(
        &self,
        after: Option<&(GatherKey, u32, u64)>,
        limit: usize,
    ) -> Result<Vec<(GatherKey, u32, u64)>, StoreError> {
        self.0.db.read(|c| db::gathers_after(c, after, limit))
    }

    /// How far all schedules are done.
    pub fn schedules(&self) -> Result<Vec<ScheduleRow>, StoreError> {
        self.0.db.read(db::schedules)
    }

    /// A run.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        self.0.db.read(|c| db::run(c, id))
    }

    /// Runs that are running, then those that wait with a wake at or before `now`, the oldest wake first; at most
    /// `limit`. Their rows are not read.
    pub fn runs_due(&self, now: Time, limit: usize) -> Result<Vec<DueRun>, StoreError> {
        self.0.db.read(|c| db::runs_due(c, now, limit))
    }

    /// The earliest of the wakes of waiting runs and the dues of waiting calls.
    pub fn next_wake(&self) -> Result<Option<Time>, StoreError> {
        self.0.db.read(db::next_wake)
    }

    /// The completed tasks of a run, in the order of their completion.
    pub fn tasks(&self, run: RunId) -> Result<Vec<TaskRow>, StoreError> {
        self.0.db.read(|c| db::tasks(c, run))
    }

    /// A call.
    pub fn call(&self, id: CallId) -> Result<Option<CallRow>, StoreError> {
        self.0.db.read(|c| db::call(c, id))
    }

    /// The calls of a run, in the order in which they were made.
    pub fn calls_of(&self, run: RunId) -> Result<Vec<CallRow>, StoreError> {
        self.0.db.read(|c| db::calls_of(c, run))
    }

    /// The call with a reference.
    pub fn call_by_reference(&self, reference: &Reference) -> Result<Option<CallRow>, StoreError> {
        self.call(reference.call_id())
    }

    /// The calls that made a document of this number, at whatever system.
    pub fn calls_by_document(&self, document: &str) -> Result<Vec<CallRow>, StoreError> {
        self.0.db.read(|c| db::calls_by_document(c, document))
    }

    /// Waiting calls that are due at or before `now`, oldest first.
    pub fn calls_due(&self, now: Time, limit: usize) -> Result<Vec<CallRow>, StoreError> {
        self.0.db.read(|c| db::calls_due(c, now, limit))
    }

    /// Calls with an attempt under way, or one whose outcome a crash has swallowed.
    pub fn calls_in_flight(&self) -> Result<Vec<CallRow>, StoreError> {
        self.0.db.read(db::calls_in_flight)
    }

    /// The attempts of a call by number.
    pub fn attempts(&self, call: CallId) -> Result<Vec<AttemptRow>, StoreError> {
        self.0.db.read(|c| db::attempts(c, call))
    }

    /// The runs that an event has started.
    pub fn runs_of_event(&self, event: EventId) -> Result<Vec<RunRow>, StoreError> {
        self.0.db.read(|c| db::runs_of_event(c, event))
    }

    /// The runs that a run has started by `run`, in their order.
    pub fn runs_of_parent(&self, parent: RunId) -> Result<Vec<RunRow>, StoreError> {
        self.0.db.read(|c| db::runs_of_parent(c, parent))
    }

    /// The runs of a workflow that wait for a place, in their order.
    pub fn runs_queued(&self, workflow: &str, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.0.db.read(|c| db::runs_queued(c, workflow, limit))
    }

    /// The runs of a workflow that are held, in their order.
    pub fn runs_held(&self, workflow: &str, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.0.db.read(|c| db::runs_held(c, workflow, limit))
    }

    /// How many runs of each workflow are in a state; workflows without any are left out.
    pub fn runs_in(&self, state: RunState) -> Result<Vec<(String, u64)>, StoreError> {
        self.0.db.read(|c| db::runs_in(c, state))
    }

    /// A completed task of a run, by its pointer and iteration.
    pub fn task(&self, run: RunId, pointer: &str, iteration: &str) -> Result<Option<TaskRow>, StoreError> {
        self.0.db.read(|c| db::task(c, run, (pointer, iteration)))
    }
}
