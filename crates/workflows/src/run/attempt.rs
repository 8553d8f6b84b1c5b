//! Attempts begin, and their outcomes are judged; what a breaker keeps away is held until it moves.

use super::lines::When;
use super::{ATTEMPTS_STEP_MAX, Held, Loop, Ready};
use crate::calls::{Answered, Decision, Verdict, decide, drift, end_of_waiting, give_up, settle};
use crate::exceptions;
use crate::http;
use crate::machine::Called;
use crate::resilience::breaker::Moved;
use crate::resilience::{Ended, Gate, exception_of, opened};
use andon_contract::contract::{OperationRef, Route};
use andon_model::call::{CallRequest, Prepared, Step};
use andon_model::span::Span;
use andon_model::{CallId, Name, Outcome, OutcomeClass, Time};
use andon_store::StoreError;
use andon_store::rows::{AttemptRow, CallRow, CallState, ExceptionChange, ExceptionState, Write};
use serde_json::Value as Json;

/// When a call that nobody answers looks again whether somebody does.
const NOBODY_AGAIN: Span = Span::from_secs(60);
/// Calls that a breaker keeps away and that are looked at in one step at most: others are not held up by them.
const AWAY_STEP_MAX: usize = 64;
/// The most bytes of a request's body that an attempt's row keeps.
const BODY_MAX_BYTES: usize = 16 << 10;

impl Loop {
    /// Begins the attempts that are due and have a place at their system; whether some are left only because this
    /// step has begun enough.
    pub(super) fn dispatch(&mut self, now: Time) -> Result<bool, StoreError> {
        self.lines.ripen(now);
        let (mut left, mut away) = (ATTEMPTS_STEP_MAX, AWAY_STEP_MAX);
        loop {
            let (mut any, mut more) = (false, false);
            self.call_probes(now);
            for system in self.lines.systems() {
                let places = self.guards.places(&self.contract, &system);
                loop {
                    // What no breaker lets through needs no place.
                    let shut = self.guards.is_shut(&self.contract, &system, now);
                    let free = shut || self.lines.under_way(&system) < places;
                    let Some(call) = self.lines.next(&system).filter(|_| free) else { break };
                    if left == 0 {
                        return Ok(true);
                    }
                    if shut && away == 0 {
                        more = true;
                        break;
                    }
                    left -= 1;
                    away = away.saturating_sub(usize::from(shut));
                    any = true;
                    self.attempt(call, &system, now)?;
                }
            }
            if !any {
                return Ok(more);
            }
        }
    }

    /// Breakers that want to know whether their systems answer again call those that are to try it.
    fn call_probes(&mut self, now: Time) {
        let wanted = |gate: &&Gate| {
            let places = self.contract.systems.get(&gate.system).map_or(1, |of| of.concurrent.max(1));
            self.lines.under_way(&gate.system) < places && self.guards.wants_probe(&self.contract, gate, now)
        };
        let gates: Vec<Gate> = self.lines.gates().filter(wanted).cloned().collect();
        for gate in gates {
            self.lines.call_probe(&gate, now);
        }
    }

    /// Whether breakers let nothing go to a target at this moment.
    fn away(&self, now: Time) -> impl Fn(&OperationRef) -> bool {
        move |to| self.guards.is_away(&self.contract, to, now)
    }

    /// What is to be done next for a call, by the contract in force and the breakers of its systems.
    pub(super) fn decide(&self, held: &Held, now: Time) -> Decision {
        decide(&self.contract, &held.row, &held.memory, &self.away(now), now)
    }

    /// When a call is attempted whose pause ends at `due`: a breaker that is not closed decides in place of its pause.
    pub(super) fn when(&self, held: &Held, due: Time, now: Time) -> When {
        let floor = held.memory.floor;
        if due > now
            && let Decision::Attempt { target, .. } = self.decide(held, now)
            && self.guards.decides(&target, held.row.updated)
        {
            return When { due: floor.map_or(now, |floor| floor.max(now)).min(due), floor };
        }
        When { due, floor }
    }

    fn attempt(&mut self, call: CallId, system: &Name, now: Time) -> Result<(), StoreError> {
        let Some(mut held) = self.take_held(call)? else {
            self.lines.leave(call, now);
            return Ok(());
        };
        if let Some(why) = self.poison_of_call(call)? {
            self.park(held, &why, now);
            return Ok(());
        }
        if let Some(what) = self.doubt_lost_time(&mut held, now)? {
            self.park(held, &what, now);
            return Ok(());
        }
        match self.decide(&held, now) {
            Decision::Attempt { target, .. } if target.system != *system => {
                // The route leads elsewhere by now.
                self.lines.again(call, When { due: now, floor: None }, target.system, now);
                self.keep(held);
            }
            Decision::Attempt { step, target, shares } => {
                return match self.guards.admit(&self.contract, &target, now) {
                    Ok(tries) => self.begin(held, (step, target, shares), tries, now),
                    Err(gate) => self.hold_back(held, &target, gate, now),
                };
            }
            Decision::Wait(until) => {
                held.memory.floor = Some(until);
                self.due_again(&mut held, until, now);
                self.keep(held);
            }
            Decision::Skip(reason) => {
                let row = self.skip(&mut held, &reason, now);
                return self.finish(row, Ok((Json::Null, held.memory.note)), now);
            }
            Decision::Nobody(why) => {
                if !std::mem::replace(&mut held.memory.told, true) {
                    held.memory.excepted = true;
                    self.batch.exception(exceptions::nobody(&self.contract, &held.row, &why, now));
                }
                let due = now.plus(NOBODY_AGAIN);
                held.memory.floor = Some(due);
                self.due_again(&mut held, due, now);
                self.keep(held);
            }
            Decision::Park(what) => self.park(held, &what, now),
        }
        Ok(())
    }

    /// A breaker keeps a call away: it waits for it, at most until its time is used up or another line answers for it.
    fn hold_back(&mut self, mut held: Held, target: &OperationRef, gate: Gate, now: Time) -> Result<(), StoreError> {
        let is_first = held.memory.first.is_none();
        held.memory.first.get_or_insert(now);
        let end = end_of_waiting(&self.contract, &held.row, &held.memory, target, now);
        if now >= end {
            let why = format!("the breaker of {gate} was open until the time of the call was up");
            let (outcome, verdict) = give_up(&held.row, &held.memory, why);
            held.row.system = Some(target.system.clone());
            held.row.operation = Some(target.operation.clone());
            return self.follow(held, &outcome, verdict, now);
        }
        let change = self.contract.next_route(&held.row.capability, &held.row.site, now).map(|(at, _)| at);
        self.lines.hold(held.row.id, gate, change.map_or(end, |change| change.min(end)));
        if is_first {
            // Its time runs from here.
            held.row.updated = now;
            self.write_call(&mut held);
        }
        self.keep(held);
        Ok(())
    }

    fn begin(
        &mut self,
        mut held: Held,
        (step, target, shares): (Step, OperationRef, bool),
        tries: Vec<Gate>,
        now: Time,
    ) -> Result<(), StoreError> {
        let Held { row, memory } = &mut held;
        let number = row.attempts.saturating_add(1);
        row.attempts = number;
        row.system = Some(target.system.clone());
        row.operation = Some(target.operation.clone());
        row.updated = now;
        memory.first.get_or_insert(now);
        let request = CallRequest {
            call: row.id,
            attempt: number,
            step,
            site: row.site.clone(),
            system: target.system.clone(),
            operation: target.operation.clone(),
            input: http::input(row, memory),
            key: row.key.clone(),
            at: now,
        };
        let mut attempt = new_attempt(&request, now);
        match self.prepare.prepare(&request) {
            Ok(prepared) => {
                describe(&mut attempt, &prepared, self.prepare.kept(&request, &prepared));
                row.state = CallState::InFlight;
                row.due = None;
                row.memory = serde_json::to_value(memory).expect("a memory is made of texts and numbers");
                let batch = if shares { &mut self.batch } else { &mut self.second };
                batch.call(row.clone());
                batch.attempt(attempt.clone());
                self.lines.fly(row.id, &target.system);
                let under_way = self.lines.under_way(&target.system);
                if self.guards.begin(&self.contract, (row.id, &target.system), tries, under_way, now) {
                    self.batch.system(self.guards.row(&target.system, now));
                }
                self.under_way.insert(row.id, attempt);
                self.next.push(Ready { request, prepared });
                self.keep(held);
                Ok(())
            }
            Err(outcome) => {
                attempt.ended = Some(now);
                attempt.outcome = Some(outcome.clone());
                self.batch.attempt(attempt);
                let answered = Answered { attempt: number, step, target, outcome: &outcome, lost: false };
                self.judge(held, &answered, now)
            }
        }
    }

    /// The outcome of an attempt has come.
    pub(super) fn answer(&mut self, call: CallId, number: u32, outcome: &Outcome, now: Time) -> Result<(), StoreError> {
        self.answer_to(call, number, outcome, false, now)
    }

    /// The same; with `lost` it says nothing about the system, and the attempt is made again as if it had not been.
    pub(super) fn answer_to(
        &mut self,
        call: CallId,
        number: u32,
        outcome: &Outcome,
        lost: bool,
        now: Time,
    ) -> Result<(), StoreError> {
        if self.answer_shadow(call, number, outcome, now) {
            return Ok(());
        }
        if self.under_way.get(&call).is_none_or(|attempt| attempt.number != number) {
            tracing::debug!(%call, number, "an answer to an attempt that is not under way was left aside");
            return Ok(());
        }
        let Some(mut attempt) = self.under_way.remove(&call) else { return Ok(()) };
        let Some(held) = self.take_held(call)? else { return Ok(()) };
        attempt.ended = Some(now);
        attempt.outcome = Some(outcome.clone());
        let target = OperationRef { system: attempt.system.clone(), operation: attempt.operation.clone() };
        let started = attempt.started;
        self.heed(&held.row, &Ended { call, target: &target, outcome, lost, started }, now);
        let answered = Answered { attempt: number, step: attempt.step, target, outcome, lost };
        self.batch.attempt(attempt);
        self.judge(held, &answered, now)
    }

    /// What an outcome says about the system: its breakers move in the commit of the outcome that moved them.
    fn heed(&mut self, row: &CallRow, ended: &Ended<'_>, now: Time) {
        for (gate, moved) in self.guards.settle(&self.contract, ended, now) {
            self.batch.system(self.guards.row(&gate.system, now));
            match moved {
                Moved::Opened => {
                    tracing::warn!(%gate, detail = %ended.outcome.detail, "its breaker opens: calls wait");
                    self.batch.exception(opened(&self.contract, &gate, row, ended.outcome, now));
                    if gate.operation.is_none() {
                        self.lines.hasten(&gate.system, now);
                    }
                }
                Moved::Closed => {
                    tracing::info!(%gate, "its breaker closes: calls go on");
                    self.gate_closed(&gate, now);
                }
                Moved::No | Moved::Counted | Moved::OpenedAgain => {}
            }
        }
    }

    /// A breaker has closed: what it kept away goes on, and whoever was told need not look any more.
    pub(super) fn gate_closed(&mut self, gate: &Gate, now: Time) {
        let change = ExceptionChange {
            reason: Some(format!("{gate} answers again")),
            ..ExceptionChange::of(exception_of(gate), now).to(ExceptionState::Resolved)
        };
        self.batch.also(Write::ExceptionChange(Box::new(change)));
        // Who waits for another system may go to this one in its place.
        let stands_in = |route: &Route| route.fallback.iter().any(|to| to.system == gate.system);
        let all = self.contract.routes.iter().any(stands_in);
        self.lines.release_from(gate, all, now);
        if gate.operation.is_none() {
            self.lines.hasten(&gate.system, now);
        }
        self.closed.push(gate.system.clone());
    }

    /// What an outcome means for the call, and for its run.
    pub(super) fn judge(&mut self, mut held: Held, answered: &Answered<'_>, now: Time) -> Result<(), StoreError> {
        let outcome = answered.outcome;
        if let Some(why) = self.poison_of_call(held.row.id)? {
            self.park(held, &why, now);
            return Ok(());
        }
        held.row.class = Some(outcome.class);
        held.row.detail = Some(outcome.detail.clone());
        held.row.updated = now;
        let verdict = settle(&self.contract, &held.row, &mut held.memory, answered, &self.away(now), now);
        self.follow(held, outcome, verdict, now)
    }

    /// What a verdict means for the call, and for its run.
    fn follow(&mut self, mut held: Held, outcome: &Outcome, verdict: Verdict, now: Time) -> Result<(), StoreError> {
        match verdict {
            Verdict::Deliver => self.deliver(held, outcome, now),
            Verdict::Again(due) => {
                self.due_again(&mut held, due, now);
                self.keep(held);
                Ok(())
            }
            Verdict::Refuse(fault) => {
                let fault = fault.at(&held.row.pointer);
                // Where a search went well and found nothing, what failed is the call.
                let found_nothing = outcome.class == OutcomeClass::Ok;
                held.row.class = Some(if found_nothing { OutcomeClass::Transient } else { outcome.class });
                if found_nothing {
                    held.row.detail.clone_from(&fault.detail);
                } else {
                    held.row.detail = Some(outcome.detail.clone());
                }
                held.row.state = CallState::Refused;
                held.row.updated = now;
                held.row.due = None;
                held.memory.error = Some(fault.clone());
                let row = self.write_call(&mut held);
                self.finish(row, Err(fault), now)
            }
            Verdict::Park(what) => {
                self.park(held, &what, now);
                Ok(())
            }
        }
    }

    fn deliver(&mut self, mut held: Held, outcome: &Outcome, now: Time) -> Result<(), StoreError> {
        held.row.state = CallState::Delivered;
        held.row.due = None;
        held.row.output = Some(outcome.output.clone());
        held.row.document.clone_from(&outcome.document);
        held.memory.doubt = None;
        self.is_settled(&mut held, now);
        self.shadow(&mut held.row, now);
        let row = self.write_call(&mut held);
        let pinned = self.open.get(&row.run).map_or(&self.contract, |open| &open.pinned);
        let declared = pinned.capabilities.get(&row.capability);
        if let Some(what) = declared.and_then(|declared| drift(declared, &pinned.schemas, &outcome.output)) {
            self.batch.exception(exceptions::drifted(&self.contract, &row, &what, now));
        }
        self.finish(row, Ok((outcome.output.clone(), None)), now)
    }

    pub(super) fn finish(&mut self, row: CallRow, called: Called, now: Time) -> Result<(), StoreError> {
        self.lines.leave(row.id, now);
        self.resume(row, called, now)
    }

    fn park(&mut self, mut held: Held, what: &str, now: Time) {
        held.memory.excepted = true;
        held.row.state = CallState::Parked;
        held.row.due = None;
        held.row.updated = now;
        self.batch.exception(exceptions::unknown(&self.contract, &held.row, what, now));
        let row = self.write_call(&mut held);
        self.lines.leave(row.id, now);
    }

    /// A call waits for its next attempt.
    pub(super) fn due_again(&mut self, held: &mut Held, due: Time, now: Time) {
        held.row.state = CallState::Waiting;
        held.row.due = Some(due);
        held.row.updated = now;
        self.write_call(held);
        let (system, _) = self.line_of(held, due);
        let when = self.when(held, due, now);
        self.lines.again(held.row.id, when, system, now);
    }

    fn take_held(&mut self, call: CallId) -> Result<Option<Held>, StoreError> {
        if let Some(held) = self.calls.remove(&call) {
            return Ok(Some(held));
        }
        if let Some(row) = self.batch.find_call(call) {
            return Ok(Some(Held::read(row.clone())));
        }
        Ok(self.store.call(call)?.map(Held::read))
    }
}

pub(super) fn new_attempt(request: &CallRequest, now: Time) -> AttemptRow {
    AttemptRow {
        call: request.call,
        number: request.attempt,
        step: request.step,
        system: request.system.clone(),
        operation: request.operation.clone(),
        hash: String::new(),
        request: String::new(),
        headers: std::collections::BTreeMap::new(),
        body: String::new(),
        started: now,
        ended: None,
        outcome: None,
        shadow: false,
    }
}

pub(super) fn describe(attempt: &mut AttemptRow, prepared: &Prepared, kept: Prepared) {
    attempt.hash = prepared.hash();
    attempt.request = format!("{} {}", kept.method, kept.url);
    attempt.headers = kept.headers;
    attempt.body = kept.body;
    attempt.body.truncate(attempt.body.floor_char_boundary(BODY_MAX_BYTES));
}
