//! Requests that workflows make themselves, against a real HTTP server: where they go, who they say we are, and what an
//! answer gives.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{
    from_files,
    http::{DOCUMENT, SEND},
};
use andon_model::{
    Key, Outcome, OutcomeClass, RunId, Time,
    call::{CallRequest, Prepare, Step},
};
use andon_systems::Connectors;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// How often the document was read.
type Reads = Arc<AtomicU32>;

async fn start() -> (SocketAddr, Reads) {
    let reads = Reads::default();
    let routes = Router::new()
        .route("/api/json", get(async || Json(json!({ "a": 1 }))))
        .route("/api/text", get(async || "plain"))
        .route("/api/bytes", get(async || ([(header::CONTENT_TYPE, "image/png")], vec![0xff_u8, 0xd8])))
        .route("/api/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/api/cookie", get(async || ([(header::SET_COOKIE, "session=s3cret")], Json(json!({})))))
        .route("/api/echo", post(echo))
        .route("/api/who", get(async |headers: HeaderMap| Json(told(&headers))))
        .route("/api/status/{code}", any(async |Path(code): Path<u16>| StatusCode::from_u16(code).unwrap()))
        .route("/api/near", get(async || Redirect::to("/api/json")))
        .route("/api/far", get(async || Redirect::to("https://elsewhere.example/x")))
        .route("/api/openapi.json", get(document))
        .with_state(reads.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (at, reads)
}

fn told(headers: &HeaderMap) -> Value {
    headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect()
}

async fn echo(headers: HeaderMap, body: String) -> impl IntoResponse {
    Json(json!({ "headers": told(&headers), "body": body }))
}

async fn document(State(reads): State<Reads>) -> Json<Value> {
    reads.fetch_add(1, Ordering::SeqCst);
    Json(json!({
        "openapi": "3.0.3",
        "servers": [{ "url": "." }],
        "paths": { "/status/{code}": { "get": { "operationId": "status", "parameters": [
            { "name": "code", "in": "path", "required": true } ] } } },
    }))
}

fn connectors(at: SocketAddr) -> Connectors {
    let files = BTreeMap::from([
        ("andon.yaml", "name: x\nformat: 1\ninstances: { plant: { role: both, zone: plant } }\n".to_owned()),
        ("assets/plant.yaml", "site: plant\nzone: plant\ntimezone: UTC\nassets: {}\n".to_owned()),
        ("policies/ownership.yaml", "teams: { integration: {} }\nrules:\n  - { owner: integration }\n".to_owned()),
        (
            "systems/mes.yaml",
            format!(
                "protocol: rest\nzone: plant\nbase: https://mes.example/api\nconnect: {at}\ntls: {{ loopback: plain }}\n\
                 credentials: {{ bearer: \"env:TOKEN\" }}\ntimeout: 5 s\n"
            ),
        ),
    ]);
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect();
    let contract = Arc::new(from_files(files).unwrap().contract);
    Connectors::new(contract, |name| matches!(name, "TOKEN" | "OTHER").then(|| format!("value-of-{name}")))
}

fn request(operation: &str, input: Value) -> CallRequest {
    let key = Key::of_task(RunId::derived(&[b"run"]), "/do/0/ask", "", 0);
    CallRequest {
        call: key.call_id(),
        attempt: 1,
        step: Step::Send,
        site: "plant".parse().unwrap(),
        system: "mes".parse().unwrap(),
        operation: operation.parse().unwrap(),
        input,
        key,
        at: Time(0),
    }
}

async fn attempt(connectors: &Connectors, operation: &str, input: Value) -> Outcome {
    let request = request(operation, input);
    match connectors.prepare(&request) {
        Ok(prepared) => connectors.send(&request, &prepared).await,
        Err(outcome) => outcome,
    }
}

fn get_of(path: &str) -> Value {
    json!({ "method": "GET", "url": format!("https://mes.example/api{path}"), "repeats": "read" })
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request.as_object_mut().unwrap().insert(key.to_owned(), value);
    request
}

#[tokio::test]
async fn an_answer_is_given_as_the_task_says() {
    let connectors = connectors(start().await.0);
    for (path, content, raw) in [
        ("/json", json!({ "a": 1 }), json!("eyJhIjoxfQ==")),
        ("/text", json!("plain"), json!("cGxhaW4=")),
        ("/bytes", json!("/9g="), json!("/9g=")),
        ("/nothing", json!(null), json!("")),
    ] {
        let outcome = attempt(&connectors, SEND, get_of(path)).await;
        assert_eq!((outcome.class, outcome.output), (OutcomeClass::Ok, content), "{path}: {}", outcome.detail);
        let outcome = attempt(&connectors, SEND, with(get_of(path), "output", json!("raw"))).await;
        assert_eq!(outcome.output, raw, "{path}");
    }
    let output = attempt(&connectors, SEND, with(get_of("/cookie"), "output", json!("response"))).await.output;
    assert_eq!(output["statusCode"], 200);
    assert_eq!(output["request"]["method"], "GET");
    assert_eq!(output["request"]["uri"], "https://mes.example/api/cookie");
    assert_eq!(output["headers"]["content-type"], "application/json");
    assert!(!output.to_string().contains("s3cret") && !output.to_string().contains("value-of"), "{output}");
}

#[tokio::test]
async fn a_request_carries_its_body_its_key_and_who_we_are() {
    let connectors = connectors(start().await.0);
    let post = json!({
        "method": "POST", "url": "https://mes.example/api/echo", "headers": { "x-plant": "hamburg" },
        "body": { "order": 7 }, "repeats": "key",
    });
    let echo = attempt(&connectors, SEND, post.clone()).await.output;
    assert_eq!(echo["body"], r#"{"order":7}"#);
    assert_eq!(echo["headers"]["x-plant"], "hamburg");
    assert_eq!(echo["headers"]["host"], "mes.example");
    assert_eq!(echo["headers"]["authorization"], "Bearer value-of-TOKEN");
    assert_eq!(echo["headers"]["idempotency-key"], request(SEND, json!({})).key.reference().as_str());
    let text = with(with(post, "body", json!("a=b")), "headers", json!({ "content-type": "text/plain" }));
    assert_eq!(attempt(&connectors, SEND, text).await.output["body"], "a=b");

    let basic = json!({ "basic": { "username": { "text": "u" }, "password": { "env": "OTHER" } } });
    let who = attempt(&connectors, SEND, with(get_of("/who"), "identity", basic)).await.output;
    assert_eq!(who["authorization"], "Basic dTp2YWx1ZS1vZi1PVEhFUg==");
    let missing = json!({ "bearer": { "token": { "env": "NONE" } } });
    let outcome = attempt(&connectors, SEND, with(get_of("/who"), "identity", missing)).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Auth, false), "{}", outcome.detail);
}

#[tokio::test]
async fn what_is_no_success_keeps_its_status_and_its_class() {
    let connectors = connectors(start().await.0);
    for (method, code, class) in [
        ("GET", 404, OutcomeClass::NotFound),
        ("GET", 500, OutcomeClass::Transient),
        ("POST", 500, OutcomeClass::Unknown),
        ("POST", 409, OutcomeClass::Conflict),
        ("GET", 304, OutcomeClass::NotFound),
    ] {
        let repeats = if method == "GET" { "read" } else { "none" };
        let url = format!("https://mes.example/api/status/{code}");
        let outcome = attempt(&connectors, SEND, json!({ "method": method, "url": url, "repeats": repeats })).await;
        assert_eq!((outcome.class, outcome.status), (class, Some(code)), "{method} {code}: {}", outcome.detail);
    }
}

#[tokio::test]
async fn a_redirect_is_an_error_unless_it_is_wanted_and_never_leaves_the_host() {
    let connectors = connectors(start().await.0);
    let outcome = attempt(&connectors, SEND, get_of("/near")).await;
    assert_eq!((outcome.class, outcome.status), (OutcomeClass::NotFound, Some(303)));
    let wanted = |path: &str| with(with(get_of(path), "redirect", json!(true)), "output", json!("response"));
    let near = attempt(&connectors, SEND, wanted("/near")).await;
    assert_eq!(near.output["content"], json!({ "a": 1 }), "{}", near.detail);
    let far = attempt(&connectors, SEND, wanted("/far")).await;
    assert_eq!((far.class, &far.output["statusCode"]), (OutcomeClass::Ok, &json!(303)));
}

#[tokio::test]
async fn nothing_goes_where_no_system_is_declared() {
    let connectors = connectors(start().await.0);
    for url in ["https://elsewhere.example/", "https://mes.example/other", "http://mes.example/api/json", "nonsense"] {
        let outcome = attempt(&connectors, SEND, json!({ "method": "GET", "url": url, "repeats": "read" })).await;
        assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Validation, false), "{url}: {}", outcome.detail);
    }
    let broken = attempt(&connectors, SEND, json!({ "method": 1 })).await;
    assert_eq!(broken.class, OutcomeClass::Validation);
}

#[tokio::test]
async fn a_document_is_read_once_and_says_what_the_request_is() {
    let (at, reads) = start().await;
    let connectors = connectors(at);
    let call = |operation: &str, parameters: Value| {
        json!({
            "document": "https://mes.example/api/openapi.json", "operation": operation, "parameters": parameters,
            "output": "response",
        })
    };
    for code in [204, 404] {
        let outcome = attempt(&connectors, DOCUMENT, call("status", json!({ "code": code }))).await;
        assert_eq!(outcome.class, OutcomeClass::Ok, "{}", outcome.detail);
        assert_eq!(outcome.output["url"], format!("https://mes.example/api/status/{code}"));
        assert_eq!(outcome.output["repeats"], "read");
        let done = attempt(&connectors, SEND, outcome.output).await;
        assert_eq!(done.status, Some(code));
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1, "the second was answered by what was read");
    let unknown = attempt(&connectors, DOCUMENT, call("state", json!({}))).await;
    assert_eq!((unknown.class, unknown.status), (OutcomeClass::Validation, None), "{}", unknown.detail);
    assert_eq!(reads.load(Ordering::SeqCst), 2, "a document that lacks it may have changed");
    let elsewhere = json!({ "document": "https://mes.example/api/status/404", "operation": "x" });
    assert_eq!(attempt(&connectors, DOCUMENT, elsewhere).await.class, OutcomeClass::NotFound);
}
