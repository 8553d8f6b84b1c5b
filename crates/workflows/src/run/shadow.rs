//! Shadows: what a delivered call would have got elsewhere. They never touch the call or its run: they are recorded
//! beside the call's attempts and sent once at most.

use super::attempt::{describe, new_attempt};
use super::{Loop, Ready};
use andon_contract::contract::OperationRef;
use andon_model::call::{CallRequest, Step};
use andon_model::{CallId, Outcome, OutcomeClass, Time};
use andon_store::rows::{AttemptRow, CallRow};

/// Shadows under way at most; what comes on top is recorded and not sent.
const SHADOWS_MAX: usize = 1_000;
/// Those of one system at most, so that one that hangs takes nobody else's.
const SHADOWS_OF_SYSTEM_MAX: usize = 100;

impl Loop {
    /// A call was delivered: the same is sent to the shadows of the route in force.
    pub(super) fn shadow(&mut self, row: &mut CallRow, now: Time) {
        let Some(route) = self.contract.route(&row.capability, &row.site, now) else { return };
        if route.shadow.is_empty() {
            return;
        }
        for target in route.shadow.clone() {
            row.attempts = row.attempts.saturating_add(1);
            let request = CallRequest {
                call: row.id,
                attempt: row.attempts,
                step: Step::Send,
                site: row.site.clone(),
                system: target.system,
                operation: target.operation,
                input: row.input.clone(),
                key: row.key.clone(),
                at: now,
            };
            let mut attempt = AttemptRow { shadow: true, ..new_attempt(&request, now) };
            let refused = match self.prepare.prepare(&request) {
                Ok(prepared) => {
                    describe(&mut attempt, &prepared, self.prepare.kept(&request, &prepared));
                    let target = OperationRef { system: request.system.clone(), operation: request.operation.clone() };
                    let of_system = self.shadows.values().filter(|of| of.system == request.system).count();
                    if self.guards.is_away(&self.contract, &target, now) {
                        let detail = format!("the breaker of {} is open; a shadow is not sent", request.system);
                        Some(Outcome::not_sent(OutcomeClass::Limit, detail))
                    } else if self.shadows.len() < SHADOWS_MAX && of_system < SHADOWS_OF_SYSTEM_MAX {
                        self.shadows.insert((row.id, row.attempts), attempt.clone());
                        self.next.push(Ready { request, prepared });
                        None
                    } else {
                        let detail = format!(
                            "{} shadows are under way already, {of_system} of them at {}; this one was not sent",
                            self.shadows.len(),
                            request.system
                        );
                        Some(Outcome::not_sent(OutcomeClass::Limit, detail))
                    }
                }
                Err(outcome) => Some(outcome),
            };
            if refused.is_some() {
                (attempt.ended, attempt.outcome) = (Some(now), refused);
            }
            self.batch.attempt(attempt);
        }
    }

    /// Whether an outcome is that of a shadow; it is recorded, and nothing follows from it.
    pub(super) fn answer_shadow(&mut self, call: CallId, number: u32, outcome: &Outcome, now: Time) -> bool {
        let Some(attempt) = self.shadows.get(&(call, number)) else { return false };
        let (ended, outcome) = (Some(now), Some(outcome.clone()));
        self.batch.attempt(AttemptRow { ended, outcome, ..attempt.clone() });
        true
    }
}
