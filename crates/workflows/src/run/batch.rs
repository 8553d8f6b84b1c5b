//! The writes of a step, each row once, in the order in which they came about.

use andon_model::{CallId, Event, ExceptionId, Name, RunId, Schemas, Time};
use andon_store::rows::{AttemptRow, CallRow, ExceptionChange, ExceptionRow, RunRow, SystemRow, TaskRow, Write};
use std::collections::HashMap;
use std::hash::Hash;

/// What a step wants to have durable, as one commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Rows of runs with whether they are new.
    runs: Rows<RunId, (bool, RunRow)>,
    tasks: Vec<TaskRow>,
    calls: Rows<CallId, CallRow>,
    attempts: Rows<(CallId, u32), AttemptRow>,
    events: Vec<Event>,
    /// Exceptions and what changes about them, in the order in which it came about.
    exceptions: Vec<Write>,
    systems: Rows<Name, SystemRow>,
    /// What follows from the rows before.
    others: Vec<Write>,
    cursor: Option<u64>,
}

/// Rows of which the last version counts, at the place of the first.
#[derive(Debug)]
struct Rows<K, R> {
    places: HashMap<K, usize>,
    rows: Vec<R>,
}

impl<K, R> Default for Rows<K, R> {
    fn default() -> Self {
        Self { places: HashMap::new(), rows: Vec::new() }
    }
}

impl<K: Hash + Eq, R> Rows<K, R> {
    fn get(&self, key: &K) -> Option<&R> {
        self.rows.get(*self.places.get(key)?)
    }

    fn put(&mut self, key: K, row: R) {
        if let Some(old) = self.places.get(&key).and_then(|place| self.rows.get_mut(*place)) {
            *old = row;
        } else {
            self.places.insert(key, self.rows.len());
            self.rows.push(row);
        }
    }
}

impl Batch {
    /// A run as it stands now.
    pub(crate) fn run(&mut self, row: RunRow, is_new: bool) {
        let was_new = self.runs.get(&row.id).is_some_and(|(new, _)| *new);
        self.runs.put(row.id, (is_new || was_new, row));
    }

    /// A run as this step leaves it.
    pub(crate) fn find_run(&self, id: RunId) -> Option<&RunRow> {
        self.runs.get(&id).map(|(_, row)| row)
    }

    /// Whether a run is written by this step.
    pub(crate) fn has_run(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some()
    }

    /// The runs that were started by hand and are begun, or have ended, by this step.
    pub(crate) fn by_hand(&self) -> impl Iterator<Item = &RunRow> {
        self.runs.rows.iter().map(|(_, row)| row).filter(|row| row.key.is_some())
    }

    /// A completed task of this step.
    pub(crate) fn find_task(&self, run: RunId, pointer: &str, iteration: &str) -> Option<&TaskRow> {
        self.tasks.iter().rev().find(|row| row.run == run && row.pointer == pointer && row.iteration == iteration)
    }

    /// The runs of this step that a run has started.
    pub(crate) fn children_of(&self, parent: RunId) -> impl Iterator<Item = RunId> {
        let rows = self.runs.rows.iter().map(|(_, row)| row);
        rows.filter(move |row| row.parent.as_ref().is_some_and(|of| of.run == parent)).map(|row| row.id)
    }

    /// A completed task.
    pub(crate) fn task(&mut self, row: TaskRow) {
        self.tasks.push(row);
    }

    /// A call as it stands now.
    pub(crate) fn call(&mut self, row: CallRow) {
        self.calls.put(row.id, row);
    }

    /// A call of this step.
    pub(crate) fn find_call(&self, id: CallId) -> Option<&CallRow> {
        self.calls.get(&id)
    }

    /// An attempt as it stands now.
    pub(crate) fn attempt(&mut self, row: AttemptRow) {
        self.attempts.put((row.call, row.number), row);
    }

    /// An emitted event.
    pub(crate) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// How a system fares now.
    pub(crate) fn system(&mut self, row: SystemRow) {
        self.systems.put(row.system.clone(), row);
    }

    /// Something that needs a person.
    pub(crate) fn exception(&mut self, row: ExceptionRow) {
        self.exceptions.push(Write::Exception(Box::new(row)));
    }

    /// What changes about an exception.
    pub(crate) fn change(&mut self, change: ExceptionChange) {
        self.exceptions.push(Write::ExceptionChange(Box::new(change)));
    }

    /// An exception that is new in this step.
    pub(crate) fn find_exception(&mut self, id: ExceptionId) -> Option<&mut ExceptionRow> {
        self.exceptions.iter_mut().find_map(|write| match write {
            Write::Exception(row) if row.id == id => Some(&mut **row),
            _ => None,
        })
    }

    /// Whether exceptions are told, or told again, by this step.
    pub(crate) fn tells(&self) -> bool {
        self.exceptions.iter().any(|write| matches!(write, Write::Exception(_)))
    }

    /// The exceptions that are told, or told again, of a run by this step.
    pub(crate) fn told_of(&self, run: RunId) -> impl Iterator<Item = &ExceptionRow> {
        self.exceptions.iter().filter_map(move |write| match write {
            Write::Exception(row) if row.run == Some(run) => Some(&**row),
            _ => None,
        })
    }

    /// An exception as this step leaves it, from how it was before.
    pub(crate) fn exception_now(&self, id: ExceptionId, before: Option<ExceptionRow>) -> Option<ExceptionRow> {
        let mut now = before;
        for write in &self.exceptions {
            match write {
                Write::Exception(row) if row.id == id => now = Some((**row).clone()),
                Write::ExceptionChange(change) if change.id == id => {
                    if let Some(row) = &mut now
                        && !row.state.has_ended()
                    {
                        row.state = change.state.unwrap_or(row.state);
                        row.reason = change.reason.clone().or_else(|| row.reason.take());
                    }
                }
                _ => {}
            }
        }
        now
    }

    /// When a run ends by this step.
    pub(crate) fn ended(&self, id: RunId) -> Option<Time> {
        self.find_run(id).filter(|row| row.state.has_ended()).map(|row| row.updated)
    }

    /// What follows from the other rows so far.
    pub(crate) fn others(&self) -> &[Write] {
        &self.others
    }

    /// Something that follows from the other rows.
    pub(crate) fn also(&mut self, write: Write) {
        self.others.push(write);
    }

    /// How far the event log has been read.
    pub(crate) fn cursor(&mut self, place: u64) {
        self.cursor = Some(place);
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.cursor.is_none() && self.has_no_rows()
    }

    /// Whether there is nothing to write but how far the event log has been read.
    pub(crate) fn is_cursor(&self) -> bool {
        self.cursor.is_some() && self.has_no_rows()
    }

    fn has_no_rows(&self) -> bool {
        self.runs.rows.is_empty()
            && self.tasks.is_empty()
            && self.calls.rows.is_empty()
            && self.attempts.rows.is_empty()
            && self.events.is_empty()
            && self.exceptions.is_empty()
            && self.systems.rows.is_empty()
            && self.others.is_empty()
    }

    /// The writes in an order in which what a row belongs to comes first.
    pub(crate) fn writes(self, cursor: &str, schemas: &Schemas) -> Vec<Write> {
        let runs = self
            .runs
            .rows
            .into_iter()
            .map(|(is_new, row)| if is_new { Write::StartRun(Box::new(row)) } else { Write::Run(Box::new(row)) });
        runs.chain(self.tasks.into_iter().map(|row| Write::Task(Box::new(row))))
            .chain(self.calls.rows.into_iter().map(|row| Write::Call(Box::new(row))))
            .chain(self.attempts.rows.into_iter().map(|row| Write::Attempt(Box::new(row))))
            .chain(self.events.into_iter().map(|event| {
                let fact = schemas.interval(&event.schema, &event.data);
                Write::event(Box::new(event), None, fact)
            }))
            .chain(self.exceptions)
            .chain(self.systems.rows.into_iter().map(|row| Write::System(Box::new(row))))
            .chain(self.others)
            .chain(self.cursor.map(|place| Write::Cursor(cursor.to_owned(), place)))
            .collect()
    }
}
