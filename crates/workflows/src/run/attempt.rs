//! Attempts begin, and their outcomes are judged.

use super::{ATTEMPTS_STEP_MAX, Held, Loop, Ready};
use crate::calls::{Answered, Decision, Verdict, decide, drift, settle};
use crate::exceptions;
use crate::http;
use crate::machine::Called;
use andon_contract::contract::OperationRef;
use andon_model::call::{CallRequest, Prepared, Step};
use andon_model::span::Span;
use andon_model::{CallId, Name, Outcome, OutcomeClass, Time};
use andon_store::StoreError;
use andon_store::rows::{AttemptRow, CallRow, CallState};
use serde_json::Value as Json;

/// When a call that nobody answers looks again whether somebody does.
const NOBODY_AGAIN: Span = Span::from_secs(60);
/// The most bytes of a request's body that an attempt's row keeps.
const BODY_MAX_BYTES: usize = 16 << 10;

impl Loop {
    /// Begins the attempts that are due and have a place at their system; whether some are left only because this
    /// step has begun enough.
    pub(super) fn dispatch(&mut self, now: Time) -> Result<bool, StoreError> {
        self.lines.ripen(now);
        let mut left = ATTEMPTS_STEP_MAX;
        loop {
            let mut any = false;
            for system in self.lines.systems() {
                let places = self.contract.systems.get(&system).map_or(1, |system| system.concurrent.max(1));
                while self.lines.under_way(&system) < places
                    && let Some(call) = self.lines.next(&system)
                {
                    if left == 0 {
                        return Ok(true);
                    }
                    left -= 1;
                    any = true;
                    self.attempt(call, &system, now)?;
                }
            }
            if !any {
                return Ok(false);
            }
        }
    }

    fn attempt(&mut self, call: CallId, system: &Name, now: Time) -> Result<(), StoreError> {
        let Some(mut held) = self.take_held(call)? else {
            self.lines.leave(call, now);
            return Ok(());
        };
        match decide(&self.contract, &held.row, &held.memory, now) {
            Decision::Attempt { target, .. } if target.system != *system => {
                // The route leads elsewhere by now.
                self.lines.again(call, now, target.system, now);
                self.keep(held);
            }
            Decision::Attempt { step, target, shares } => return self.begin(held, step, target, shares, now),
            Decision::Wait(until) => {
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
                self.due_again(&mut held, now.plus(NOBODY_AGAIN), now);
                self.keep(held);
            }
            Decision::Park(what) => self.park(held, &what, now),
        }
        Ok(())
    }

    fn begin(
        &mut self,
        mut held: Held,
        step: Step,
        target: OperationRef,
        shares: bool,
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
                self.under_way.insert(row.id, attempt);
                self.next.push(Ready { request, prepared });
                self.keep(held);
                Ok(())
            }
            Err(outcome) => {
                attempt.ended = Some(now);
                attempt.outcome = Some(outcome.clone());
                self.batch.attempt(attempt);
                let answered =
                    Answered { attempt: number, step, target, outcome: &outcome, last_byte: now, lost: false };
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
        let answered = Answered {
            attempt: number,
            step: attempt.step,
            target: OperationRef { system: attempt.system.clone(), operation: attempt.operation.clone() },
            outcome,
            last_byte: now,
            lost,
        };
        self.batch.attempt(attempt);
        self.judge(held, &answered, now)
    }

    /// What an outcome means for the call, and for its run.
    pub(super) fn judge(&mut self, mut held: Held, answered: &Answered<'_>, now: Time) -> Result<(), StoreError> {
        let outcome = answered.outcome;
        held.row.class = Some(outcome.class);
        held.row.detail = Some(outcome.detail.clone());
        held.row.updated = now;
        match settle(&self.contract, &held.row, &mut held.memory, answered, now) {
            Verdict::Deliver => self.deliver(held, outcome, now),
            Verdict::Again(due) => {
                self.due_again(&mut held, due, now);
                self.keep(held);
                Ok(())
            }
            Verdict::Refuse(fault) => {
                let fault = fault.at(&held.row.pointer);
                if outcome.class == OutcomeClass::Ok {
                    // A search went well and found nothing; what failed is the call.
                    held.row.class = Some(OutcomeClass::Transient);
                    held.row.detail.clone_from(&fault.detail);
                }
                held.row.state = CallState::Refused;
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
        self.lines.again(held.row.id, due, system, now);
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
