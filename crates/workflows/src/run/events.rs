//! Events become runs; and where everything stands is read at a start.

use super::lines::Place;
use super::tally::Tally;
use super::{CALLS_UNFINISHED_MAX, CURSOR, EVENTS_STEP_MAX, Held, Loop, Open, RUNS_STEP_MAX, WAKES_KEPT_MAX};
use crate::calls::Answered;
use crate::filter::filters;
use crate::http;
use crate::machine::memory::Memory;
use andon_contract::Contract;
use andon_contract::contract::{OperationRef, Role};
use andon_contract::http::Repeats;
use andon_contract::workflow::{Definition, Schedule};
use andon_model::{EventId, Name, Outcome, OutcomeClass, RunId, SiteName, Time};
use andon_store::StoreError;
use andon_store::rows::{AttemptRow, CallRow, RunRow, RunState};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The definitions by the type of event that starts them.
pub(super) fn triggers(contract: &Contract, role: Role) -> BTreeMap<String, Vec<Arc<Definition>>> {
    let mut triggers: BTreeMap<String, Vec<Arc<Definition>>> = BTreeMap::new();
    for definition in super::places::here(contract, role) {
        let Some(Schedule::On(consumption)) = &definition.schedule else { continue };
        let kinds: BTreeSet<&str> = filters(consumption).iter().map(|filter| filter.kind.as_str()).collect();
        for kind in kinds {
            triggers.entry(kind.to_owned()).or_default().push(Arc::clone(definition));
        }
    }
    triggers
}

/// What has started a run.
pub(super) struct Origin {
    pub(super) event: Option<EventId>,
    /// The first event of the story.
    pub(super) correlation: Option<EventId>,
    /// The key of one that was started by hand, and who did so.
    pub(super) key: Option<String>,
    pub(super) by: Option<String>,
}

impl Loop {
    /// Starts the runs of new events; whether there may be more events.
    pub(super) fn read_events(&mut self, now: Time) -> Result<bool, StoreError> {
        if self.lines.len() >= CALLS_UNFINISHED_MAX {
            return Ok(false);
        }
        if self.triggers.is_empty() && self.ears.is_empty() {
            // No event can start anything: all that are there are passed over unread.
            let last = self.store.last_sequence()?;
            if last > self.cursor {
                self.pass_over(last - self.cursor);
                self.cursor = last;
                self.ears.told = last;
                self.batch.cursor(last);
            }
            return Ok(false);
        }
        let events = self.store.events_after(self.cursor, EVENTS_STEP_MAX)?;
        let more = events.len() == EVENTS_STEP_MAX;
        let Some(last) = events.last() else { return Ok(false) };
        // What begins to listen from here on looks back as far as this page goes.
        self.cursor = last.sequence;
        self.batch.cursor(last.sequence);
        for stored in &events {
            self.ears.told = stored.sequence - 1;
            if self.is_poison_event(stored, now)? {
                self.tally.now.aside += 1;
                continue;
            }
            self.tell(stored, now)?;
            let matched = self.tally.now.matched;
            let triggers = self.triggers.get(&stored.event.kind).cloned().unwrap_or_default();
            for definition in triggers {
                self.consider(&definition, stored, now)?;
            }
            self.told_of(matched);
        }
        self.ears.told = self.cursor;
        Ok(more)
    }

    /// A run begins, under the contract in force.
    pub(super) fn begin_run(
        &mut self,
        definition: &Arc<Definition>,
        (id, site): (RunId, SiteName),
        Origin { event, correlation, key, by }: Origin,
        input: Json,
        now: Time,
    ) -> Result<(), StoreError> {
        let since = self.begins_after(definition, event, &input)?;
        let row = RunRow {
            id,
            site,
            workflow: definition.name.clone(),
            definition: definition.hash.clone(),
            revision: self.contract.revision.clone(),
            event,
            correlation,
            key,
            by,
            parent: None,
            cancel: None,
            taken_up: 0,
            state: RunState::Running,
            started: now,
            updated: now,
            wake: None,
            input,
            memory: Json::Null,
            output: None,
            error: None,
        };
        if self.must_queue(definition, &row.site, now) {
            self.queue(row);
            return Ok(());
        }
        let open = Open {
            row,
            memory: Memory { since, ..Memory::default() },
            pinned: Arc::clone(&self.contract),
            definition: Arc::clone(definition),
            is_new: true,
            told: VecDeque::new(),
        };
        self.places.enter(&definition.name);
        self.advance(open, Vec::new(), now)
    }

    /// Gives their turn to runs that can go on, and to those whose time has come.
    pub(super) fn take_turns(&mut self, now: Time) -> Result<(), StoreError> {
        if self.wakes.is_empty() && !self.wakes_whole {
            self.read_runs()?;
        }
        while let Some((time, run)) = self.wakes.first().copied()
            && time <= now
        {
            self.wakes.pop_first();
            self.turns.push_back(run);
        }
        for _ in 0..self.turns.len().min(RUNS_STEP_MAX) {
            let Some(run) = self.turns.pop_front() else { break };
            self.turn(run, now)?;
        }
        Ok(())
    }

    /// Reads where everything stands. Attempts without outcome that nobody here has under way are unknown.
    pub(super) fn recover(&mut self, now: Time) -> Result<(), StoreError> {
        self.forget();
        self.cursor = self.store.cursor(CURSOR)?.unwrap_or(0);
        (self.cursor_durable, self.cursor_held) = (self.cursor, None);
        self.tally = Tally::read(&self.store)?;
        self.restored = self.store.restored()?;
        self.ears = self.listened()?;
        self.lines = super::lines::Lines::default();
        self.guards.recover(self.store.system_rows()?);
        if self.setting.begun.is_none() {
            for system in self.guards.found(now) {
                self.batch.system(self.guards.row(&system, now));
            }
        }
        for gate in self.guards.close_forgotten(&self.contract, now) {
            self.batch.system(self.guards.row(&gate.system, now));
            self.gate_closed(&gate, now);
        }
        self.under_way.clear();
        let mut in_flight = self.store.calls_in_flight()?;
        let mut waiting = self.waiting()?;
        if self.setting.begun.is_none() {
            in_flight = in_flight.into_iter().map(|row| self.found(row, now)).collect();
            waiting = waiting.into_iter().map(|row| self.found(row, now)).collect();
        }
        for row in in_flight.iter().chain(&waiting) {
            self.join(&Held::read(row.clone()), now);
        }
        for row in in_flight {
            self.recover_attempt(row, now)?;
        }
        self.given_out.retain(|call, _| self.under_way.contains_key(call));
        self.read_places()?;
        self.read_schedules(now)?;
        self.read_replays(now)?;
        self.read_runs()
    }

    /// Calls that wait, as far as they are kept in memory.
    pub(super) fn waiting(&mut self) -> Result<Vec<CallRow>, StoreError> {
        let limit = 2 * CALLS_UNFINISHED_MAX;
        let waiting = self.store.calls_due(Time::MAX, limit)?;
        self.lines_whole = waiting.len() < limit;
        Ok(waiting)
    }

    fn read_runs(&mut self) -> Result<(), StoreError> {
        self.turns.clear();
        self.wakes.clear();
        let rows = self.store.runs_due(Time::MAX, WAKES_KEPT_MAX)?;
        self.wakes_whole = rows.len() < WAKES_KEPT_MAX;
        for row in rows {
            match row.wake {
                Some(wake) => {
                    self.wakes.insert((wake, row.id));
                }
                None => self.turns.push_back(row.id),
            }
        }
        Ok(())
    }

    fn recover_attempt(&mut self, row: CallRow, now: Time) -> Result<(), StoreError> {
        let attempt = self.store.attempts(row.id)?.into_iter().rfind(|attempt| attempt.outcome.is_none());
        let Some(attempt) = attempt else {
            // Rows of a call and its attempt are written together; without the attempt nothing was sent.
            let mut held = Held::read(row);
            self.due_again(&mut held, now, now);
            self.keep(held);
            return Ok(());
        };
        if self.given_out.get(&row.id) == Some(&attempt.number) {
            self.lines.fly(row.id, &attempt.system);
            let target = OperationRef { system: attempt.system.clone(), operation: attempt.operation.clone() };
            self.guards.fly(&self.contract, row.id, &target, attempt.started);
            self.under_way.insert(row.id, attempt);
            return Ok(());
        }
        self.lost(row, attempt, now)
    }

    /// An attempt whose outcome a crash has swallowed.
    fn lost(&mut self, row: CallRow, mut attempt: AttemptRow, now: Time) -> Result<(), StoreError> {
        let outcome = Outcome {
            sent: true,
            ..Outcome::not_sent(OutcomeClass::Unknown, "the process ended before the answer came")
        };
        attempt.ended = Some(now);
        attempt.outcome = Some(outcome.clone());
        let answered = Answered {
            attempt: attempt.number,
            step: attempt.step,
            target: OperationRef { system: attempt.system.clone(), operation: attempt.operation.clone() },
            outcome: &outcome,
            lost: true,
        };
        self.batch.attempt(attempt);
        self.judge(Held::read(row), &answered, now)
    }

    /// A call takes its place in the lines.
    pub(super) fn join(&mut self, held: &Held, now: Time) {
        let Held { row, memory } = held;
        let place = Place { created: row.created, number: memory.place, id: row.id };
        let (system, lane) = self.line_of(held, now);
        let when = self.when(held, row.due.unwrap_or(now), now);
        self.lines.join(place, when, lane.as_ref(), system, now);
    }

    /// The system a call waits for, and its lane there.
    pub(super) fn line_of(&self, held: &Held, now: Time) -> (Name, Option<super::lines::Lane>) {
        use crate::calls::Decision;
        use andon_contract::contract::{Idempotency, Target};
        let Held { row, memory } = held;
        let route = self.contract.route(&row.capability, &row.site, now).and_then(|route| match &route.target {
            Target::Operation(first) => Some(first),
            Target::None { .. } => None,
        });
        let asked = match self.decide(held, now) {
            Decision::Attempt { target, .. } => Some(target.system),
            _ => None,
        };
        let nobody = || Name::new("nobody").expect("lower-case letters are a name");
        if http::is_over_http(row) {
            let found = http::target(&self.contract, row, memory).ok();
            let reads = found.as_ref().is_some_and(|(_, repeats)| *repeats == Repeats::Read);
            let home = found.map(|(target, _)| target.system).or_else(|| row.system.clone()).unwrap_or_else(nobody);
            let lane = (!reads && !memory.lane.is_empty()).then(|| (home.clone(), memory.lane.clone()));
            return (home, lane);
        }
        let home = route.map(|first| first.system.clone()).or_else(|| row.system.clone()).unwrap_or_else(nobody);
        let reads = route
            .and_then(|first| self.contract.operation(first))
            .is_some_and(|(_, operation)| matches!(operation.idempotency, Idempotency::Read));
        let lane = (!reads && !memory.lane.is_empty()).then(|| (home.clone(), memory.lane.clone()));
        (asked.unwrap_or(home), lane)
    }
}
