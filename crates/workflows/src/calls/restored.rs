//! What a restore of the data folder leaves in doubt: a call may have been made in the time that is lost.

use super::{Asked, CallMemory, Doubt, asked, parse_target};
use crate::http;
use andon_contract::Contract;
use andon_contract::contract::{Idempotency, OperationRef, Target};
use andon_model::Time;
use andon_store::rows::{CallRow, RestoreRow};

/// Where a call may have been made besides its target: everywhere its route leads to, and where it was asked last.
fn others(contract: &Contract, call: &CallRow, target: &OperationRef, now: Time) -> Vec<OperationRef> {
    if http::is_over_http(call) {
        return Vec::new();
    }
    let mut others: Vec<OperationRef> = Vec::new();
    if let (Some(system), Some(operation)) = (&call.system, &call.operation) {
        others.push(OperationRef { system: system.clone(), operation: operation.clone() });
    }
    if let Some(route) = contract.route(&call.capability, &call.site, now) {
        if let Target::Operation(first) = &route.target {
            others.push(first.clone());
        }
        others.extend(route.fallback.iter().cloned());
    }
    others.retain(|other| other != target);
    others.sort();
    others.dedup();
    others
}

/// What is not known of a call that is about to be made at a target for the first time since the restore, by a process
/// that has begun at this moment. The error says why nobody can find it out.
pub fn doubt_restored(
    contract: &Contract,
    call: &CallRow,
    memory: &mut CallMemory,
    target: &OperationRef,
    restored: &RestoreRow,
    (begun, now): (Time, Time),
) -> Result<(), String> {
    memory.restored = restored.epoch;
    // The time of the call begins anew: that it is late is nobody's refusal.
    (memory.first, memory.failures) = (None, 0);
    memory.passed.clear();
    let class = |memory: &CallMemory, to: &OperationRef| {
        asked(contract, call, memory, to).map(|Asked { idempotency, .. }| idempotency)
    };
    if matches!(class(memory, target), Some(Idempotency::Read)) {
        return Ok(());
    }
    // What was asked last comes last: what is nowhere is sent to it.
    let asked_last = memory.doubt.as_ref().and_then(|doubt| parse_target(&doubt.target));
    let last = asked_last.unwrap_or_else(|| target.clone());
    let mut suspected = others(contract, call, &last, now);
    if *target != last && !suspected.contains(target) {
        suspected.push(target.clone());
    }
    if let Some(other) = suspected.iter().find(|to| !matches!(class(memory, to), Some(Idempotency::Lookup(_)))) {
        return Err(format!(
            "it is unknown whether it was done in the time after the backup of {}, which is lost: it may have gone to \
             {other}, which cannot be searched",
            restored.taken
        ));
    }
    suspected.push(last);
    suspected.reverse();
    let first = suspected.pop().unwrap_or_else(|| target.clone()).to_string();
    memory.suspected = suspected.iter().map(ToString::to_string).collect();
    let detail =
        format!("the data folder was restored from a backup of {}, and what was done after it is lost", restored.taken);
    let new = Doubt { attempt: 0, target: String::new(), last_byte: begun, detail, not_found: None };
    let doubt = memory.doubt.take().unwrap_or(new);
    // What was found out before the backup may have changed since.
    let last_byte = doubt.last_byte.max(begun);
    memory.doubt = Some(Doubt { target: first, last_byte, not_found: None, ..doubt });
    Ok(())
}

/// A search has found nothing: the next place where the call may have been made. Whether there is one.
pub(super) fn suspect_next(memory: &mut CallMemory) -> bool {
    let Some(next) = memory.suspected.pop() else { return false };
    if let Some(doubt) = &mut memory.doubt {
        doubt.target = next;
        doubt.not_found = None;
    }
    true
}
