//! What people are told of a breaker: one exception for each, from its opening to its closing.

use super::Gate;
use andon_contract::Contract;
use andon_contract::contract::{About, Matter, matter};
use andon_model::{ExceptionId, Outcome, Time};
use andon_store::rows::{Action, CallRow, ExceptionKind, ExceptionRow, ExceptionState};

/// The exception of a breaker.
pub(crate) fn exception_of(gate: &Gate) -> ExceptionId {
    ExceptionId::derived(&[fingerprint(gate).as_bytes()])
}

fn fingerprint(gate: &Gate) -> String {
    format!("breaker/{gate}")
}

/// A breaker has opened because of this call among others: whoever answers for the call is told, once.
pub(crate) fn opened(contract: &Contract, gate: &Gate, call: &CallRow, outcome: &Outcome, now: Time) -> ExceptionRow {
    let domain = contract.capabilities.get(&call.capability).map(|of| of.domain.clone());
    let kind = ExceptionKind::Output;
    let content = matter(&Matter {
        site: Some(&call.site),
        capability: Some(&call.capability),
        system: Some(&gate.system),
        outcome: Some(outcome.class),
        detail: Some(&outcome.detail),
        ..Matter::default()
    });
    let about = About {
        kind: kind.word(),
        domain: domain.as_deref(),
        site: Some(&call.site),
        outcome: Some(outcome.class),
        content: &content,
    };
    let answerable = contract.answerable(&about, now);
    let row = ExceptionRow::new(exception_of(gate), kind, answerable.owner, fingerprint(gate), now);
    ExceptionRow {
        state: ExceptionState::Waiting,
        system: Some(gate.system.clone()),
        domain,
        outcome: Some(outcome.class),
        due: answerable.due,
        action: Some(Action::Look),
        cause: format!("calls to {gate} wait: its breaker is open"),
        detail: outcome.detail.clone(),
        remedy: format!(
            "bring {} back; one call tries it from time to time, and once it is answered all go on by themselves",
            gate.system
        ),
        ..row
    }
}
