//! The surface over a backend of a few lines.

use andon_api::{
    Accepted, Backend, Ingest, Kind, Page, Problem, Query,
    routes::router,
    types::{Readiness, Status},
};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tower::ServiceExt;

struct Few;

impl Backend for Few {
    fn readiness(&self) -> Readiness {
        Readiness { ready: false, waiting_for: vec!["the source machines is not connected".into()] }
    }
    fn list(&self, kind: Kind, query: &Query) -> Result<Page, Problem> {
        Ok(Page { rows: vec![json!({"kind": kind.word(), "filters": query.filters.len()})], next: Some(9) })
    }
    fn show(&self, id: &str) -> Result<Json, Problem> {
        assert_ne!(id, "panic", "a fault of ours");
        Err(Problem::not_found(format!("nothing is called {id}")).remedy("andon list events"))
    }
    fn explain(&self, id: &str) -> Result<Json, Problem> {
        Ok(json!({ "id": id }))
    }
    fn status(&self) -> Result<Status, Problem> {
        Err(Problem::unavailable("starting"))
    }
    fn metrics(&self) -> Result<String, Problem> {
        Ok("andon_up 1\n".into())
    }
    fn ingest(&self, ingest: Ingest) -> Result<Accepted, Problem> {
        Ok(Accepted { stored: ingest.body.len() as u64, duplicate: 0 })
    }
}

async fn ask(method: &str, path: &str, host: &str, body: Vec<u8>) -> (StatusCode, String, Json) {
    let request =
        Request::builder().method(method).uri(path).header("host", host).body(Body::from(body)).expect("a request");
    let response = router(Arc::new(Few)).oneshot(request).await.expect("an answer");
    let status = response.status();
    let form = response.headers().get("content-type").map(|v| v.to_str().expect("text").to_owned()).unwrap_or_default();
    let bytes = to_bytes(response.into_body(), 1 << 24).await.expect("a body");
    let json = serde_json::from_slice(&bytes).unwrap_or_else(|_| Json::String(String::from_utf8_lossy(&bytes).into()));
    (status, form, json)
}

#[tokio::test]
async fn answers_are_json_and_problems_say_what_to_do_next() {
    let (status, _, body) = ask("GET", "/v1/events?where=type=asset.alarm", "localhost", vec![]).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"rows": [{"kind": "events", "filters": 1}], "next": 9})));
    let (status, form, body) = ask("GET", "/v1/show/ev_1", "127.0.0.1:8730", vec![]).await;
    assert_eq!((status, form.as_str()), (StatusCode::NOT_FOUND, "application/problem+json"));
    assert_eq!(body["remedy"], "andon list events");
    let (status, _, body) = ask("GET", "/v1/nothing", "localhost", vec![]).await;
    assert_eq!((status, body["type"].as_str()), (StatusCode::NOT_FOUND, Some("andon:not-found")));
    let (status, _, _) = ask("GET", "/readyz", "localhost", vec![]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _, _) = ask("GET", "/v1/show/panic", "localhost", vec![]).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_body_that_is_too_large_and_a_foreign_host_are_refused() {
    let (status, _, body) = ask("POST", "/v1/sources/a/samples", "localhost", vec![b' '; 10]).await;
    assert_eq!((status, body["stored"].as_u64()), (StatusCode::ACCEPTED, Some(10)));
    let (status, _, body) = ask("POST", "/v1/sources/a/samples", "localhost", vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    let (status, _, _) = ask("GET", "/healthz", "plant.example.org", vec![]).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
}

/// The document is checked in where users look for it; `ANDON_REGENERATE=1` writes it anew.
#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let made = serde_json::to_string_pretty(&andon_api::openapi::document()).unwrap() + "\n";
    if std::env::var_os("ANDON_REGENERATE").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference")).unwrap();
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == made, "docs/reference/openapi.json is not what the types say: run with ANDON_REGENERATE=1");
}
