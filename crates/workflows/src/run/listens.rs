//! Runs that listen: an event finds those that it may be meant for, by an index, and touches no other.
//!
//! A run that begins to listen looks back at the events between its start and the place the event log has been read to.
//! From then on it is found by its rows in the store, and nothing of it stays in memory. Its rows, its memory and the
//! cursor over the event log go in one commit, so that nothing is consumed twice and nothing is missed.

use super::{Loop, Open};
use crate::exceptions;
use crate::filter::{Seen, token};
use crate::machine::Ask;
use crate::machine::listen::any_listens;
use andon_contract::expr::Program;
use andon_contract::workflow::Definition;
use andon_model::{EventId, ExceptionId, Name, SiteName, Time};
use andon_store::rows::{ExceptionState, RunState, StoredEvent, Write};
use andon_store::{ANY_TYPE, ListenRow, StoreError};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// Events of a type that a run looks back at in one go.
const LOOK_BACK_MAX: usize = 64;

/// The ways in which events find listening runs, and how far they have been told.
#[derive(Default)]
pub(super) struct Ears {
    /// By site and type: the expressions over an event that give the value by which runs are found; `None`: by the type
    /// alone. There are as many as there are `listen` tasks in use, not as many as runs.
    ways: BTreeMap<(SiteName, String), BTreeMap<String, Option<Program>>>,
    /// Up to here every event has been told to the runs that wait.
    pub(super) told: u64,
}

impl Ears {
    /// Whether no run listens.
    pub(super) fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    fn add(&mut self, site: SiteName, kind: String, by: String) {
        let ways = self.ways.entry((site, kind)).or_default();
        ways.entry(by).or_insert_with_key(|by| Program::compile(by, &[]).ok().filter(|_| !by.is_empty()));
    }
}

/// How a run listens when it begins to go on.
pub(super) struct Ear {
    rows: Vec<ListenRow>,
    asked: Vec<ExceptionId>,
    /// Up to here it has been told of every event that its rows find.
    told: u64,
}

impl Loop {
    /// The ways in which events find listening runs, as the store has them.
    pub(super) fn listened(&self) -> Result<Ears, StoreError> {
        let mut ears = Ears { told: self.cursor, ..Ears::default() };
        for (site, kind, by) in self.store.listened()? {
            ears.add(site, kind, by);
        }
        Ok(ears)
    }

    /// The order number behind which a new run listens.
    pub(super) fn begins_after(
        &self,
        definition: &Definition,
        event: Option<EventId>,
        input: &Json,
    ) -> Result<u64, StoreError> {
        if !any_listens(&definition.tasks) {
            return Ok(0);
        }
        let number = |event: &Json| event.get("sequence")?.as_str()?.parse::<u64>().ok();
        let started = input.as_array().into_iter().flatten().filter_map(number).max().filter(|_| event.is_some());
        started.map_or_else(|| self.store.last_sequence(), Ok)
    }

    /// Tells an event to the runs that it may be meant for.
    pub(super) fn tell(&mut self, stored: &StoredEvent, now: Time) -> Result<(), StoreError> {
        let seen = Seen::new(stored);
        let mut runs = BTreeSet::new();
        for kind in [stored.event.kind.as_str(), ANY_TYPE] {
            let Some(ways) = self.ears.ways.get(&(stored.event.site.clone(), kind.to_owned())) else { continue };
            for (by, program) in ways {
                let value = match program {
                    None => String::new(),
                    Some(program) => {
                        let found = program.eval(seen.envelope(), &[], &self.contract.identifiers.at(now));
                        // An event that has no such value is meant for nobody who waits for one.
                        let Some(found) = found.ok().filter(|found| !found.is_null()) else { continue };
                        token(&found)
                    }
                };
                let row = ListenRow { site: stored.event.site.clone(), kind: kind.to_owned(), by: by.clone(), value };
                runs.extend(self.store.listeners(&row)?);
            }
        }
        for run in runs {
            let Some(open) = self.open_run(run, now)? else { continue };
            if open.row.state == RunState::Waiting && !open.memory.deaf {
                self.advance_with(open, Vec::new(), Some(stored.clone()), now)?;
            } else {
                // It looks back by itself at its next turn.
                self.open.insert(run, open);
            }
        }
        Ok(())
    }

    /// How a run listens before it goes on. One that waits has been told of all that came.
    pub(super) fn ear(&self, open: &mut Open, heard: Option<&StoredEvent>) -> Ear {
        let waits = open.row.state == RunState::Waiting && !open.memory.deaf && !open.is_new;
        open.memory.deaf = false;
        let told = heard.map_or(self.ears.told, |stored| stored.sequence);
        if waits {
            open.memory.settle(heard.map_or(told, |stored| stored.sequence - 1));
        }
        Ear {
            rows: open.memory.listening(&open.row, &open.definition).rows,
            asked: open.memory.asked(),
            told: if waits { told } else { u64::MAX },
        }
    }

    /// Whether events may be meant for the run that came before it listened as it does.
    pub(super) fn is_behind(&self, open: &Open, ear: &Ear) -> bool {
        let listening = open.memory.listening(&open.row, &open.definition);
        listening.after.is_some_and(|after| after < self.cursor && (after < ear.told || listening.rows != ear.rows))
    }

    /// Events that came before the run listened as it does, and the order number up to which they are all.
    pub(super) fn look_back(&self, open: &Open, ear: &Ear) -> Result<Option<(Vec<StoredEvent>, u64)>, StoreError> {
        if !self.is_behind(open, ear) {
            return Ok(None);
        }
        let listening = open.memory.listening(&open.row, &open.definition);
        let after = listening.after.unwrap_or(self.cursor);
        let of: BTreeSet<(&SiteName, &str)> = listening.rows.iter().map(|row| (&row.site, row.kind.as_str())).collect();
        let (mut found, mut to) = (Vec::new(), self.cursor);
        for (site, kind) in of {
            let kind = Some(kind).filter(|kind| *kind != ANY_TYPE);
            let events = self.store.events_of((site, kind), (after, self.cursor), LOOK_BACK_MAX)?;
            if events.len() == LOOK_BACK_MAX
                && let Some(last) = events.last()
            {
                to = to.min(last.sequence);
            }
            found.extend(events);
        }
        found.retain(|stored| stored.sequence <= to);
        found.sort_by_key(|stored| stored.sequence);
        found.dedup_by_key(|stored| stored.sequence);
        Ok(Some((found, to)))
    }

    /// Writes for what the run listens now, and closes the questions that it asks no more.
    pub(super) fn note_ear(&mut self, open: &Open, before: &Ear) {
        let rows = open.memory.listening(&open.row, &open.definition).rows;
        let asked = open.memory.asked();
        for gone in before.asked.iter().filter(|exception| !asked.contains(exception)) {
            self.batch.also(Write::ExceptionState(*gone, ExceptionState::Resolved));
        }
        if rows == before.rows {
            return;
        }
        self.hears(&rows);
        self.batch.also(Write::Listen(open.row.id, rows));
    }

    /// Events find runs by these rows from now on.
    pub(super) fn hears(&mut self, rows: &[ListenRow]) {
        for row in rows {
            self.ears.add(row.site.clone(), row.kind.clone(), row.by.clone());
        }
    }

    /// A person is asked.
    pub(super) fn ask(&mut self, open: &Open, ask: &Ask, now: Time) {
        self.batch.exception(exceptions::decision(&open.row, ask, now));
    }

    /// Nobody has decided in time: another team is asked.
    pub(super) fn escalate(&mut self, exception: ExceptionId, to: Name, now: Time) -> Result<(), StoreError> {
        if let Some(row) = self.batch.find_exception(exception) {
            exceptions::pass_on(row, to, now);
            return Ok(());
        }
        if let Some(mut row) = self.store.exception(exception)? {
            exceptions::pass_on(&mut row, to, now);
            self.batch.also(Write::ExceptionEdit(Box::new(row)));
        }
        Ok(())
    }

    /// Nobody knows whether an event is meant for a run.
    pub(super) fn doubt(&mut self, open: &Open, event: EventId, kind: &str, why: &str, now: Time) {
        self.batch.exception(exceptions::doubt(&self.contract, &open.row, (event, kind), why, now));
    }
}

#[cfg(test)]
mod tests;
