//! The surface over a backend of a few lines.

use andon_api::{
    Backend, Kind, Page, Problem, Query,
    alarms::{Control, ControlQuery},
    backups::{BackUp, BackupStand},
    cancel::{CancelRun, CancelledRun},
    decisions::{Decide, Decided},
    exceptions::{Asked, BulkAsked, BulkDone, ExceptionDone},
    migrate::{MigrateRun, MigratedRun},
    objects::{ObjectGiven, ObjectHistory, ObjectPut, ObjectRef},
    oee::{OeePage, OeeQuery},
    posts::{Admission, POST_MAX_BYTES, Post, Taken, What},
    routes::router,
    runs::{Pending, RunStart, StartedRun},
    samples::{
        CountQuery, Historian, LastPage, LastQuery, RangeQuery, Replay, ReplayQuery, SampleCount, SamplePage, Series,
        SeriesQuery,
    },
    types::{Readiness, Status},
    why::{WhyNot, WhyQuery},
};
use axum::{
    body::{Body, Bytes, to_bytes},
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
    fn range(&self, query: &RangeQuery) -> Result<SamplePage, Problem> {
        Ok(SamplePage { rows: vec![], next: Some(format!("{}/{:?}", query.asset, query.signal)) })
    }
    fn last(&self, query: &LastQuery) -> Result<LastPage, Problem> {
        Ok(LastPage { rows: vec![], next: query.site.clone() })
    }
    fn oee(&self, query: &OeeQuery) -> Result<OeePage, Problem> {
        Ok(OeePage { asset: query.asset.clone(), by: query.by.clone(), parts: Vec::new() })
    }
    fn why_not(&self, query: &WhyQuery) -> Result<WhyNot, Problem> {
        Err(Problem::not_found(format!("there is no rule {:?} at {}", query.rule, query.at)))
    }
    fn series(&self, query: &SeriesQuery) -> Result<Series, Problem> {
        let (signal, from) = (query.signal.clone(), query.points.to_string());
        Ok(Series { signal, unit: None, from, to: String::new(), buckets: vec![] })
    }
    fn count(&self, _: &CountQuery) -> Result<SampleCount, Problem> {
        Ok(SampleCount { samples: 3, cold: Some(2), hot: Some(1), ..SampleCount::default() })
    }
    fn seal(&self) -> Result<Historian, Problem> {
        Ok(Historian { files: 1, ..Historian::default() })
    }
    fn object(&self, of: &ObjectRef) -> Result<ObjectHistory, Problem> {
        let name = format!("{}/{}/{}", of.kind, of.site, of.number);
        Ok(ObjectHistory { name, object: json!({"revision": 7}), versions: Vec::new() })
    }
    fn put_object(&self, put: &ObjectPut) -> Result<ObjectGiven, Problem> {
        if put.expected.is_some_and(|expected| expected != 7) {
            return Err(Problem::precondition("it has the revision 7"));
        }
        Ok(ObjectGiven { name: put.of.number.clone(), revision: 8, changed: !put.body.is_null(), event: None })
    }
    fn control(&self, query: &ControlQuery) -> Result<Control, Problem> {
        let (rule, asset, act) = (query.rule.clone(), query.asset.clone(), query.act.word().to_owned());
        let (actor, reason) = (query.actor.clone(), query.reason.clone());
        let (at, position) = ("2026-11-22T08:00:00Z".to_owned(), "1/4".to_owned());
        Ok(Control { rule, asset, act, actor, reason, at, until: None, once: false, position })
    }
    fn decide(&self, exception: &str, decide: &Decide) -> Result<Decided, Problem> {
        if exception == "ex_decided" {
            return Err(Problem::conflict("it was decided before"));
        }
        Ok(Decided {
            exception: exception.to_owned(),
            run: None,
            answer: decide.answer.clone(),
            by: decide.by.clone(),
            at: "2026-11-22T08:00:00Z".to_owned(),
            event: "ev_0000000000000000".to_owned(),
        })
    }

    fn act(&self, exception: &str, asked: &Asked) -> Result<ExceptionDone, Problem> {
        if exception == "ex_ended" {
            return Err(Problem::conflict("it has ended"));
        }
        Ok(ExceptionDone {
            exception: exception.to_owned(),
            action: asked.wanted.word().to_owned(),
            state: "resubmitted".to_owned(),
            owner: "maintenance".to_owned(),
            assignee: asked.by.clone(),
            run: None,
            call: None,
            stands: None,
            proposed: false,
        })
    }

    fn act_all(&self, asked: &BulkAsked) -> Result<BulkDone, Problem> {
        let action = asked.asked.wanted.word().to_owned();
        let matched = asked.limit as u64;
        Ok(BulkDone { action, matched, done: matched, dry_run: asked.dry_run, ..BulkDone::default() })
    }

    fn replay(&self, exception: &str, query: &ReplayQuery) -> Result<Replay, Problem> {
        Ok(Replay {
            dry_run: query.dry_run,
            messages: query.limit as u64,
            problems: vec![exception.into()],
            ..Replay::default()
        })
    }
    fn admit(&self, post: &Post) -> Result<Admission, Problem> {
        if post.headers.iter().any(|(name, value)| name == "x-api-key" && value == "wrong") {
            return Err(Problem::unauthorised("who are you?").header("www-authenticate", "Bearer"));
        }
        Ok(Admission(Box::new(post.what)))
    }
    fn take(&self, post: &Post, admission: Admission, body: Bytes) -> Result<Taken, Problem> {
        assert_eq!(admission.0.downcast_ref::<What>(), Some(&post.what));
        Ok(Taken { answer: json!({"stored": body.len(), "duplicate": 0}), replayed: post.what == What::Events })
    }
    fn cancel_run(&self, run: &str, cancel: &CancelRun) -> Result<CancelledRun, Problem> {
        if run == "ru_ended" {
            return Err(Problem::conflict("the run has ended"));
        }
        let state = if cancel.compensate { "waiting" } else { "cancelled" };
        Ok(CancelledRun { id: run.to_owned(), state: state.to_owned() })
    }
    fn migrate_run(&self, run: &str, migrate: &MigrateRun) -> Result<MigratedRun, Problem> {
        if run == "ru_ended" {
            return Err(Problem::conflict("the run has ended"));
        }
        let (id, dry_run) = (run.to_owned(), migrate.dry_run);
        Ok(MigratedRun { id, state: "waiting".into(), from: "r1".into(), to: "r2".into(), dry_run })
    }
    fn back_up(&self, asked: &BackUp) -> Result<BackupStand, Problem> {
        Ok(BackupStand { state: "running".into(), to: asked.to.clone(), ..BackupStand::default() })
    }
    fn backup(&self) -> Result<BackupStand, Problem> {
        Ok(BackupStand { state: "none".into(), ..BackupStand::default() })
    }
    fn start_run(&self, start: RunStart) -> Pending<StartedRun> {
        let state = if start.wait.is_some_and(|wait| wait.as_secs() > 1) { "completed" } else { "waiting" };
        let at = "2026-11-22T08:00:00Z".to_owned();
        Box::pin(std::future::ready(Ok(StartedRun {
            id: "ru_0000000000000001".to_owned(),
            workflow: start.workflow,
            key: start.key,
            site: start.site.unwrap_or_else(|| "home".to_owned()),
            state: state.to_owned(),
            started: at.clone(),
            updated: at,
            output: start.input,
            error: Json::Null,
        })))
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
    let (status, form, body) = ask("DELETE", "/v1/status", "localhost", vec![]).await;
    assert_eq!((status, form.as_str()), (StatusCode::METHOD_NOT_ALLOWED, "application/problem+json"));
    assert!(body["remedy"].is_string(), "{body}");
    let (status, _, _) = ask("GET", "/readyz", "localhost", vec![]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _, _) = ask("GET", "/v1/show/panic", "localhost", vec![]).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_run_goes_over_to_another_definition_for_a_reason() {
    let migrate = |id: &str, body: &str| {
        let (path, body) = (format!("/v1/runs/{id}/migrate"), body.as_bytes().to_vec());
        async move { ask("POST", &path, "localhost", body).await }
    };
    let (status, _, body) = migrate("ru_1", r#"{"reason": "corrected", "dry_run": true}"#).await;
    let wanted = json!({"id": "ru_1", "state": "waiting", "from": "r1", "to": "r2", "dry_run": true});
    assert_eq!((status, body), (StatusCode::OK, wanted));
    assert_eq!(migrate("ru_ended", r#"{"reason": "corrected"}"#).await.0, StatusCode::CONFLICT);
    for wrong in ["{}", r#"{"reason": " "}"#, "corrected"] {
        let (status, _, body) = migrate("ru_1", wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(body["remedy"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn samples_are_asked_for_in_four_ways() {
    let get = |path| ask("GET", path, "localhost", vec![]);
    let (_, _, body) = get("/v1/samples?limit=5").await;
    assert_eq!(body["rows"][0]["kind"], "samples");
    let (_, _, body) = get("/v1/samples?asset=m-1&signal=heat&from=-1d").await;
    assert_eq!(body, json!({"rows": [], "next": "m-1/Some(\"heat\")"}));
    let (_, _, body) = get("/v1/samples/last?site=home").await;
    assert_eq!(body["next"], "home");
    let (_, _, body) = get("/v1/samples/series?asset=m-1&signal=heat&points=7").await;
    assert_eq!(body["from"], "7");
    let (status, _, body) = get("/v1/samples/series?asset=m-1").await;
    assert_eq!((status, body["detail"].as_str()), (StatusCode::BAD_REQUEST, Some("`signal` is missing")));
    let (_, _, body) = get("/v1/oee?asset=m-1&by=shift&from=-8h").await;
    assert_eq!((body["asset"].as_str(), body["by"].as_str()), (Some("m-1"), Some("shift")));
    let (status, _, body) = get("/v1/oee?asset=m-1&by=moon").await;
    assert_eq!((status, body["detail"].as_str()), (StatusCode::BAD_REQUEST, Some("`by=moon` divides nothing")));
    let (_, _, body) = get("/v1/samples/count").await;
    assert_eq!(body["samples"], 3);
}

#[tokio::test]
async fn what_changes_something_is_posted_and_not_by_a_foreign_page() {
    let (status, _, body) = ask("POST", "/v1/exceptions/ex_1/replay?dry-run=true&limit=2", "localhost", vec![]).await;
    assert_eq!((status, &body["problems"][0], &body["dry_run"]), (StatusCode::OK, &json!("ex_1"), &json!(true)));
    let (status, _, body) = ask("POST", "/v1/exceptions/ex_1/retry", "localhost", br#"{"by": "mia"}"#.to_vec()).await;
    assert_eq!((status, &body["action"], &body["assignee"]), (StatusCode::OK, &json!("retry"), &json!("mia")));
    let (status, ..) = ask("POST", "/v1/exceptions/ex_ended/retry", "localhost", vec![]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let many = br#"{"group": "refused/x", "limit": 7, "dry_run": true, "reason": "a test"}"#;
    let (status, _, body) = ask("POST", "/v1/exceptions/discard", "localhost", many.to_vec()).await;
    assert_eq!((status, &body["done"], &body["dry_run"]), (StatusCode::OK, &json!(7), &json!(true)));
    let (status, _, body) = ask("POST", "/v1/exceptions/discard", "localhost", vec![]).await;
    assert_eq!((status, body["remedy"].is_string()), (StatusCode::BAD_REQUEST, true));
    let (status, ..) = ask("GET", "/v1/historian/seal", "localhost", vec![]).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    for (origin, wanted) in [("https://example.org", 421), ("null", 421), ("http://127.0.0.1:8730", 200)] {
        let request = Request::builder().method("POST").uri("/v1/historian/seal").header("host", "localhost");
        let request = request.header("origin", origin).body(Body::empty()).expect("a request");
        let response = router(Arc::new(Few)).oneshot(request).await.expect("an answer");
        assert_eq!(response.status().as_u16(), wanted, "{origin}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_and_a_foreign_host_are_refused() {
    let (status, _, body) = ask("POST", "/v1/sources/a/samples", "localhost", vec![b' '; 10]).await;
    assert_eq!((status, body["stored"].as_u64()), (StatusCode::ACCEPTED, Some(10)));
    let (status, _, body) = ask("POST", "/v1/sources/a/samples", "localhost", vec![b' '; POST_MAX_BYTES + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    let (status, _, _) = ask("GET", "/healthz", "plant.example.org", vec![]).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_post_is_refused_before_its_body_is_read_and_a_repeat_is_told() {
    let post = |path: &str, key: &str, body: Body| {
        let request = Request::builder().method("POST").uri(path).header("host", "localhost").header("x-api-key", key);
        router(Arc::new(Few)).oneshot(request.body(body).expect("a request"))
    };
    // More than is taken: who read it would say so.
    let large = Body::from(vec![b' '; POST_MAX_BYTES + 1]);
    let answer = post("/v1/sources/a/samples", "wrong", large).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers().get("www-authenticate").expect("a header"), "Bearer");
    let answer = post("/v1/sources/a/events", "right", Body::from("{}")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(answer.headers().get("idempotent-replayed").expect("a header"), "true");
    let answer = post("/v1/sources/a/samples", "right", Body::from("{}")).await.expect("an answer");
    assert!(answer.headers().get("idempotent-replayed").is_none());
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

#[tokio::test]
async fn an_object_is_asked_for_and_given_with_its_entity_tag() {
    let (status, _, body) = ask("GET", "/v1/objects/ProductionOrder/home/10%2F7", "localhost", vec![]).await;
    assert_eq!((status, body["name"].as_str()), (StatusCode::OK, Some("ProductionOrder/home/10/7")));
    let put = async |tag: &str, body: &str| {
        let request =
            Request::builder().method("PUT").uri("/v1/objects/ProductionOrder/home/1").header("host", "localhost");
        let request = if tag.is_empty() { request } else { request.header("if-match", tag) };
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = router(Arc::new(Few)).oneshot(request).await.expect("an answer");
        let tag = response.headers().get("etag").map(|tag| tag.to_str().expect("text").to_owned());
        (response.status().as_u16(), tag)
    };
    assert_eq!(put("", "{}").await, (200, Some("\"8\"".to_owned())));
    assert_eq!(put("\"7\"", "{}").await.0, 200);
    assert_eq!(put("\"6\"", "{}").await.0, 412);
    assert_eq!(put("6", "{}").await.0, 400);
    assert_eq!(put("", "{").await.0, 400);
}

#[tokio::test]
async fn a_run_is_started_by_its_key_and_waited_for() {
    let post = |path, body: &'static str| ask("POST", path, "localhost", body.as_bytes().to_vec());
    let (status, _, run) = post("/v1/workflows/repair/runs/order%2010%2F7", "{\"n\": 1}").await;
    assert_eq!((status, &run["key"], &run["output"]), (StatusCode::CREATED, &json!("order 10/7"), &json!({"n": 1})));
    let (status, _, run) = post("/v1/workflows/repair/runs/1?wait=2s&site=hamburg", "").await;
    assert_eq!((status, &run["site"], &run["output"]), (StatusCode::OK, &json!("hamburg"), &json!({})));
    let (status, ..) = post("/v1/workflows/repair/runs/1?wait=1s", "").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, form, body) = post("/v1/workflows/repair/runs/1?wait=1h", "").await;
    assert_eq!((status, form.as_str()), (StatusCode::BAD_REQUEST, "application/problem+json"), "{body}");
    let (status, ..) = ask("POST", "/v1/workflows/repair/runs/1", "localhost", vec![b' '; 2 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
