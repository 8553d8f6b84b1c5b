//! How many runs of a workflow may be in flight, and whether they may go on at all.
//!
//! `metadata.limits.runs` counts the runs of a workflow, of all sites of the instance together. What comes on top is a
//! row in the state `queued`: durable and visible, and nothing of it is in memory. It begins in its order once a place
//! is free, under the definition in force then.
//!
//! In the same way runs wait that would call a system which has its share of unfinished calls already: a system that
//! is down for long fills its own share of the memory, and runs that call others begin.

use super::{CALLS_UNFINISHED_MAX, Loop, Open, RUNS_STEP_MAX};
use crate::exceptions;
use crate::machine::memory::Memory;
use andon_contract::Contract;
use andon_contract::contract::{Role, Target, capability_key};
use andon_contract::workflow::{Definition, Placement};
use andon_model::{SiteName, Time};
use andon_store::StoreError;
use andon_store::rows::{RunRow, RunState};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The share of unfinished calls that each system has at least, from which on runs that call it wait; otherwise it is
/// its part of all there may be.
const CALLS_OF_SYSTEM_MIN: usize = 1_000;
/// Held runs that are looked at again in one step at most, after the contract was changed.
const HELD_STEP_MAX: usize = 1_024;

/// The places of workflows.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Runs in flight of the workflows that have a limit.
    taken: BTreeMap<String, u64>,
    /// Workflows of which runs may wait for a place.
    queued: BTreeSet<String>,
    /// Workflows of which runs may be held although nothing holds them any more.
    released: BTreeSet<String>,
}

impl Places {
    /// Whether a new run of this workflow has to wait: behind others, or for a place.
    pub(super) fn queues(&self, definition: &Definition) -> bool {
        let taken = self.taken.get(&definition.name).copied().unwrap_or(0);
        self.queued.contains(&definition.name) || definition.settings.runs.is_some_and(|most| taken >= u64::from(most))
    }

    /// A run takes a place.
    pub(super) fn enter(&mut self, workflow: &str) {
        if let Some(taken) = self.taken.get_mut(workflow) {
            *taken += 1;
        }
    }

    /// A run leaves its place.
    pub(super) fn leave(&mut self, workflow: &str) {
        if let Some(taken) = self.taken.get_mut(workflow) {
            *taken = taken.saturating_sub(1);
        }
    }
}

/// So many unfinished calls each system of a contract may have before runs that call it wait.
pub(super) fn share(contract: &Contract) -> usize {
    (CALLS_UNFINISHED_MAX / contract.systems.len().max(2)).max(CALLS_OF_SYSTEM_MIN)
}

/// The capabilities that a definition calls, by its document.
fn called<'d>(document: &'d Json, found: &mut BTreeSet<&'d str>) {
    match document {
        Json::Object(fields) => {
            found.extend(fields.get("call").and_then(Json::as_str));
            fields.values().for_each(|inner| called(inner, found));
        }
        Json::Array(items) => items.iter().for_each(|inner| called(inner, found)),
        _ => {}
    }
}

impl Loop {
    /// Whether a new run of this workflow at a site has to wait: for a place, or since a system that it calls has its
    /// share of unfinished calls.
    pub(super) fn must_queue(&self, definition: &Definition, site: &SiteName, now: Time) -> bool {
        self.places.queues(definition) || self.is_crowded(definition, site, now)
    }

    fn is_crowded(&self, definition: &Definition, site: &SiteName, now: Time) -> bool {
        if !self.lines.is_crowded(self.share) {
            return false;
        }
        let mut capabilities = BTreeSet::new();
        called(&definition.document, &mut capabilities);
        capabilities.into_iter().any(|capability| {
            let route = self.contract.route(capability_key(capability), site, now);
            route.is_some_and(|route| match &route.target {
                Target::Operation(first) => self.lines.unfinished(&first.system) >= self.share,
                Target::None { .. } => false,
            })
        })
    }

    /// Reads how many places are taken, and what waits for one.
    pub(super) fn read_places(&mut self) -> Result<(), StoreError> {
        let limited = self.contract.workflows.values().filter(|definition| definition.settings.runs.is_some());
        let mut taken: BTreeMap<String, u64> = limited.map(|definition| (definition.name.clone(), 0)).collect();
        if !taken.is_empty() {
            for state in [RunState::Running, RunState::Waiting, RunState::Held] {
                for (workflow, count) in self.store.runs_in(state)? {
                    if let Some(taken) = taken.get_mut(&workflow) {
                        *taken += count;
                    }
                }
            }
        }
        let queued = self.store.runs_in(RunState::Queued)?.into_iter().map(|(workflow, _)| workflow).collect();
        let held = self.store.runs_in(RunState::Held)?.into_iter().map(|(workflow, _)| workflow);
        let released = held.filter(|workflow| !self.is_revoked_somehow(workflow)).collect();
        self.places = Places { taken, queued, released };
        Ok(())
    }

    /// A run waits for its place.
    pub(super) fn queue(&mut self, mut row: RunRow) {
        row.state = RunState::Queued;
        row.memory = Json::Null;
        self.places.queued.insert(row.workflow.clone());
        self.batch.run(row, true);
    }

    /// Begins runs for which places are free, and looks at those again that nothing holds any more.
    pub(super) fn take_queued(&mut self, now: Time) -> Result<(), StoreError> {
        for workflow in self.places.queued.clone() {
            let definition = self.contract.workflows.get(workflow.as_str());
            // The first in order decides: those behind it wait for it anyway.
            if self.lines.is_crowded(self.share)
                && let Some(definition) = definition
                && let Some(first) = self.store.runs_queued(&workflow, 1)?.first()
                && self.is_crowded(definition, &first.site, now)
            {
                continue;
            }
            let limit = definition.and_then(|definition| definition.settings.runs);
            let taken = self.places.taken.get(&workflow).copied().unwrap_or(0);
            let free = limit.map_or(usize::MAX, |most| {
                usize::try_from(u64::from(most).saturating_sub(taken)).unwrap_or(usize::MAX)
            });
            let asked = free.min(RUNS_STEP_MAX);
            if asked == 0 {
                continue;
            }
            let rows = self.store.runs_queued(&workflow, asked)?;
            if rows.len() < asked {
                self.places.queued.remove(&workflow);
            }
            for row in rows {
                self.begin_queued(row, now)?;
            }
        }
        let Some(workflow) = self.places.released.first().cloned() else { return Ok(()) };
        let held = self.store.runs_held(&workflow, HELD_STEP_MAX)?;
        if held.len() < HELD_STEP_MAX {
            self.places.released.remove(&workflow);
        }
        for run in held {
            self.turn(run, now)?;
        }
        Ok(())
    }

    fn begin_queued(&mut self, mut row: RunRow, now: Time) -> Result<(), StoreError> {
        // A child belongs to the definition of its parent; every other run begins under the contract in force.
        if row.parent.is_none()
            && let Some(definition) = self.contract.workflows.get(row.workflow.as_str())
        {
            row.revision.clone_from(&self.contract.revision);
            row.definition.clone_from(&definition.hash);
        }
        let since = self.ears.told;
        row.state = RunState::Running;
        row.started = now;
        row.memory = serde_json::to_value(Memory { since, ..Memory::default() }).unwrap_or_default();
        self.places.enter(&row.workflow);
        let id = row.id;
        self.batch.run(row, false);
        self.turn(id, now)
    }

    fn is_revoked_somehow(&self, workflow: &str) -> bool {
        self.contract.workflows.get(workflow).is_some_and(|definition| definition.settings.revoked.is_some())
    }

    /// Why a run may not go on: the contract in force has revoked its workflow in the version that it runs.
    pub(super) fn revoked(&self, open: &Open) -> Option<String> {
        let definition = self.contract.workflows.get(open.row.workflow.as_str())?;
        let reason = definition.settings.revoked.as_ref()?;
        (definition.version == open.definition.version && open.row.cancel.is_none()).then(|| reason.clone())
    }

    /// A run stops before its next task, until its workflow is no longer revoked or somebody cancels it.
    pub(super) fn hold(&mut self, mut open: Open, reason: &str, now: Time) {
        if open.row.state == RunState::Held {
            self.open.insert(open.row.id, open);
        } else {
            self.batch.exception(exceptions::revoked(&self.contract, &open.row, &open.definition.version, reason, now));
            // Events that come meanwhile are not told to it.
            open.memory.deaf = true;
            open.row.state = RunState::Held;
            open.row.wake = None;
            self.save_run(open, now);
        }
    }

    /// Whether a workflow runs on this instance.
    pub(super) fn is_placed_here(&self, definition: &Definition) -> bool {
        placed(self.role, definition)
    }
}

/// Whether an instance of a role runs a workflow.
pub fn placed(role: Role, definition: &Definition) -> bool {
    match (role, definition.settings.placement) {
        (Role::Both, _) | (Role::Edge, Placement::Edge) | (Role::Hub, Placement::Hub) => true,
        (Role::Edge, Placement::Hub) | (Role::Hub, Placement::Edge) => false,
    }
}

/// The workflows of a contract that an instance of a role runs.
pub(super) fn here(contract: &Contract, role: Role) -> impl Iterator<Item = &Arc<Definition>> {
    contract.workflows.values().filter(move |definition| placed(role, definition))
}
