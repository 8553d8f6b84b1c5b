//! Calls over HTTP as the machine of calls sees them: who is asked, what repeats do, what an answer means for the run.
//!
//! A call of `http` is its request. A call of `openapi` asks twice: first for the document, a read, whose outcome is the
//! request that the call is; from there on it is the same as one of `http`.

use crate::calls::CallMemory;
use crate::fault::{Fault, Standard};
use andon_contract::Contract;
use andon_contract::contract::{Idempotency, OperationRef};
use andon_contract::http::{DOCUMENT, Described, HTTP, HttpRequest, OPENAPI, Repeats, SEND, Web, find};
use andon_model::{Name, Outcome};
use andon_store::rows::CallRow;
use serde_json::Value as Json;

/// Whether a call is a request that its workflow makes itself.
pub(crate) fn is_over_http(call: &CallRow) -> bool {
    matches!(call.capability.as_str(), HTTP | OPENAPI)
}

/// What is asked next: the system, what stands for the operation, and what repeats do. `Err` says that nobody is.
pub(crate) fn target(
    contract: &Contract,
    call: &CallRow,
    memory: &CallMemory,
) -> Result<(OperationRef, Repeats), String> {
    let broken = |e: serde_json::Error| format!("the stored request cannot be read: {e}");
    let (url, operation, repeats) = match (call.capability.as_str(), &memory.described) {
        (OPENAPI, None) => {
            let described: Described = serde_json::from_value(call.input.clone()).map_err(broken)?;
            (described.document, DOCUMENT, Repeats::Read)
        }
        (_, described) => {
            let request = described.as_ref().unwrap_or(&call.input).clone();
            let request: HttpRequest = serde_json::from_value(request).map_err(broken)?;
            (request.url, SEND, request.repeats)
        }
    };
    let system = find(&contract.systems, &Web::split(&url)?)?.name.clone();
    let operation = Name::new(operation).map_err(|_| "no name of an operation".to_owned())?;
    Ok((OperationRef { system, operation }, repeats))
}

/// What an attempt of the call is given: its request as far as it is known.
pub(crate) fn input(call: &CallRow, memory: &CallMemory) -> Json {
    memory.described.as_ref().unwrap_or(&call.input).clone()
}

/// The class of an operation whose repeats do this.
pub(crate) fn class(repeats: Repeats) -> &'static Idempotency {
    match repeats {
        Repeats::Read => &Idempotency::Read,
        Repeats::Key => &Idempotency::Key,
        Repeats::Upsert => &Idempotency::Upsert,
        Repeats::None => &Idempotency::None,
    }
}

/// The error of a request that was refused: an answer is one of communication with its status.
pub(crate) fn fault(outcome: &Outcome) -> Fault {
    match outcome.status {
        Some(status) => Fault { status, ..Fault::of(Standard::Communication, outcome.detail.clone()) },
        None => Fault::of_outcome(outcome),
    }
}
