//! Calls over HTTP as the machine of calls sees them: who is asked, what repeats do, what an answer means for the run.
//!
//! A call of `http` is its request. A call of `openapi` asks twice: first for the document, a read, whose outcome is
//! the request that the call is; from there on it is the same as one of `http`.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{Answered, Decision, Verdict, decide, settle};
    use crate::testing::plant::contract;
    use andon_model::call::Step;
    use andon_model::{Key, OutcomeClass, RunId, Time};
    use serde_json::json;

    const NOW: Time = Time(1_800_000_000_000_000_000);

    fn call(capability: &str, input: &Json) -> CallRow {
        let key = Key::of_task(RunId::derived(&[b"r"]), "/do/0/ask", "", 0);
        let row = json!({
            "id": key.call_id(), "site": "home", "run": RunId::derived(&[b"r"]), "pointer": "/do/0/ask",
            "iteration": "", "reference": key.reference(), "key": key, "capability": capability,
            "state": "in-flight", "input": input, "created": NOW, "updated": NOW, "attempts": 1, "memory": {},
        });
        serde_json::from_value(row).unwrap()
    }

    fn request(repeats: &str) -> Json {
        json!({ "method": "POST", "url": "http://office/work", "repeats": repeats })
    }

    /// What comes next, and what an outcome means.
    fn judged(call: &CallRow, memory: &mut CallMemory, outcome: &Outcome) -> (String, Verdict) {
        let contract = contract(&[]);
        let Decision::Attempt { step, target, shares } = decide(&contract, call, memory, &|_| false, NOW) else {
            return ("nobody".into(), Verdict::Again(NOW));
        };
        let asked = format!("{target} {}", if shares { "shares" } else { "alone" });
        let answered = Answered { attempt: 1, step, target, outcome, lost: false };
        assert_eq!(step, Step::Send, "nothing is searched");
        (asked, settle(&contract, call, memory, &answered, &|_| false, NOW))
    }

    fn outcome(class: OutcomeClass, status: Option<u16>) -> Outcome {
        Outcome { sent: true, status, ..Outcome::not_sent(class, "as it came") }
    }

    #[test]
    fn an_unknown_outcome_is_never_raised_and_only_repeated_where_that_does_no_harm() {
        let unknown = outcome(OutcomeClass::Unknown, Some(500));
        for (repeats, asked, again) in [
            ("none", "eam.call-http alone", false),
            ("upsert", "eam.call-http shares", true),
            ("key", "eam.call-http shares", true),
            ("read", "eam.call-http shares", true),
        ] {
            let mut memory = CallMemory { first: Some(NOW), ..CallMemory::default() };
            let (of, verdict) = judged(&call(HTTP, &request(repeats)), &mut memory, &unknown);
            assert_eq!(of, asked);
            match verdict {
                Verdict::Again(_) => assert!(again, "{repeats}"),
                Verdict::Park(what) => assert!(!again && what.contains("eam.call-http"), "{repeats}: {what}"),
                other => panic!("{repeats}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_is_an_error_of_communication_with_its_status() {
        for (class, status) in
            [(OutcomeClass::Auth, 401), (OutcomeClass::NotFound, 404), (OutcomeClass::Validation, 422)]
        {
            let answer = outcome(class, Some(status));
            let (_, verdict) = judged(&call(HTTP, &request("none")), &mut CallMemory::default(), &answer);
            let Verdict::Refuse(fault) = verdict else { panic!("{verdict:?}") };
            assert!(fault.kind.ends_with("/communication") && fault.status == status, "{fault:?}");
        }
        let senseless = outcome(OutcomeClass::Validation, None);
        let (_, verdict) = judged(&call(HTTP, &request("none")), &mut CallMemory::default(), &senseless);
        let Verdict::Refuse(fault) = verdict else { panic!("{verdict:?}") };
        assert!(fault.kind.ends_with("/validation"), "{fault:?}");
    }

    #[test]
    fn a_described_call_asks_for_the_document_and_then_is_its_request() {
        let row = call(OPENAPI, &json!({ "document": "http://office/openapi.json", "operation": "make" }));
        let mut memory = CallMemory::default();
        let read = Outcome { output: request("none"), ..outcome(OutcomeClass::Ok, Some(200)) };
        let (asked, verdict) = judged(&row, &mut memory, &read);
        assert_eq!((asked.as_str(), verdict), ("eam.read-openapi shares", Verdict::Again(NOW)));
        assert_eq!(input(&row, &memory), request("none"), "from here on it is that request");
        let stored = serde_json::to_value(&memory).unwrap();
        let mut memory: CallMemory = serde_json::from_value(stored).unwrap();
        let (asked, verdict) = judged(&row, &mut memory, &outcome(OutcomeClass::Ok, Some(201)));
        assert_eq!((asked.as_str(), verdict), ("eam.call-http alone", Verdict::Deliver));
    }

    #[test]
    fn nobody_is_asked_where_no_system_is_declared() {
        for url in ["http://elsewhere/work", "ftp://office", "office"] {
            let row = call(HTTP, &json!({ "method": "GET", "url": url, "repeats": "read" }));
            assert_eq!(judged(&row, &mut CallMemory::default(), &outcome(OutcomeClass::Ok, None)).0, "nobody", "{url}");
        }
    }
}
