//! A contract with one system, and the calls to it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use andon_contract::{
    Contract,
    contract::{
        Address, Body, Content, Credentials, FieldMap, Idempotency, Lookup, Narrow, Operation, PathPiece, Reach,
        Request, Response, Retry, System,
    },
    expr::Program,
};
use andon_model::{
    Key, Name, Outcome, RunId, Time,
    call::{CallRequest, Prepare, Step},
    span::Span,
};
use andon_systems::Connectors;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// A system `eam` at this address with the operations `create` (found by `lookup`) and `fetch` (only reads).
pub(crate) fn contract(base: &str, timeout: Span, credentials: Credentials) -> Arc<Contract> {
    changed(base, timeout, credentials, |_| {})
}

/// The same, with a change of the system.
pub(crate) fn changed(
    base: &str,
    timeout: Span,
    credentials: Credentials,
    change: impl FnOnce(&mut System),
) -> Arc<Contract> {
    let eam: Name = "eam".parse().unwrap();
    let mut system = System {
        zone: "plant".parse().unwrap(),
        test: false,
        maturity: None,
        base: Address { env: Some("EAM".into()), default: base.into() },
        reach: Reach::default(),
        credentials,
        timeout,
        retry: Retry {
            first: Span::from_secs(1),
            max: Span::from_secs(1),
            within: Span::from_secs(1),
            ..Retry::DEFAULT
        },
        concurrent: 4,
        adaptive: true,
        breaker: None,
        rate: None,
        operations: BTreeMap::from([("create".parse().unwrap(), create()), ("fetch".parse().unwrap(), fetch())]),
        reads: BTreeMap::new(),
    };
    change(&mut system);
    Arc::new(Contract { systems: BTreeMap::from([(eam, system)]), ..Contract::empty() })
}

fn field(text: &str) -> FieldMap {
    FieldMap::Expression(Program::compile(text, &["key", "reference", "site"]).unwrap())
}

fn program(text: &str) -> Program {
    Program::compile(text, &["key", "reference", "site"]).unwrap()
}

fn create() -> Operation {
    Operation {
        implements: "maintenance.request-work".into(),
        narrow: Narrow::default(),
        idempotency: Idempotency::Lookup(Box::new(Lookup {
            by: "reference".into(),
            settle: Span::from_secs(1),
            request: get("/requests", vec![("reference".into(), field("$reference"))]),
            found: program(".requests[0]"),
            paging: None,
        })),
        request: Request {
            method: "POST".into(),
            body: Some(FieldMap::Object(vec![
                ("reference".into(), field("$reference")),
                ("description".into(), field(".title")),
            ])),
            ..get("/requests", Vec::new())
        },
        response: Response {
            document: Some(program(".number")),
            output: FieldMap::Object(vec![("document".into(), field(".number"))]),
            content: Body::Json,
        },
        paging: None,
    }
}

fn fetch() -> Operation {
    Operation {
        implements: "maintenance.read-work".into(),
        narrow: Narrow::default(),
        idempotency: Idempotency::Read,
        request: get("/requests", Vec::new()),
        response: Response { document: None, output: field("."), content: Body::Json },
        paging: None,
    }
}

fn get(path: &str, query: Vec<(String, FieldMap)>) -> Request {
    let (path, headers, content) = (vec![PathPiece::Text(path.into())], Vec::new(), Content::default());
    Request { method: "GET".into(), path, query, headers, body: None, content }
}

/// An attempt of an operation of the system.
pub(crate) fn call(operation: &str, step: Step) -> CallRequest {
    let key = Key::of_task(RunId::derived(&[b"run"]), "/do/0/request", "", 0);
    CallRequest {
        call: key.call_id(),
        attempt: 1,
        step,
        site: "foundry".parse().unwrap(),
        system: "eam".parse().unwrap(),
        operation: operation.parse().unwrap(),
        input: json!({ "title": "too hot" }),
        key,
        at: Time(0),
    }
}

/// Prepares and sends.
pub(crate) async fn attempt(connectors: &Connectors, operation: &str, step: Step) -> Outcome {
    let request = call(operation, step);
    match connectors.prepare(&request) {
        Ok(prepared) => connectors.send(&request, &prepared).await,
        Err(outcome) => outcome,
    }
}
