//! Attempts against real HTTP servers.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use andon_contract::contract::{Credentials, Secret, UserPassword};
use andon_model::{
    OutcomeClass,
    call::{Prepare, Step},
    span::Span,
};
use andon_systems::Connectors;
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use common::{attempt, call, contract};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

const LIMIT: Span = Span::from_secs(20);

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

fn connectors(base: &str, credentials: Credentials) -> Connectors {
    Connectors::new(contract(base, LIMIT, credentials), |name| (name == "TOKEN").then(|| "s3cret".to_owned()))
}

/// A system that answers every request in one way.
async fn always(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> String {
    serve(Router::new().fallback(move || std::future::ready(answer.clone().into_response()))).await
}

type Taken = Arc<Mutex<Vec<Value>>>;

/// A system that keeps what it is sent and finds it by reference.
fn office(taken: Taken) -> Router {
    async fn create(State(taken): State<Taken>, Json(mut body): Json<Value>) -> Response {
        let mut taken = taken.lock().unwrap();
        body.as_object_mut().unwrap().insert("number".into(), format!("MR-{}", taken.len() + 1).into());
        taken.push(body.clone());
        (StatusCode::CREATED, Json(body)).into_response()
    }
    async fn search(State(taken): State<Taken>, Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
        let all = taken.lock().unwrap().clone();
        let wanted = query.get("reference");
        let found: Vec<Value> =
            all.into_iter().filter(|row| wanted.is_none_or(|w| row["reference"] == w.as_str())).collect();
        Json(json!({ "requests": found }))
    }
    Router::new().route("/base/requests", get(search).post(create)).with_state(taken)
}

#[tokio::test]
async fn a_call_is_made_once_and_found_by_its_reference() {
    let taken = Taken::default();
    let base = serve(office(taken.clone())).await;
    let connectors = connectors(&format!("{base}/base/"), Credentials::None);

    let before = attempt(&connectors, "create", Step::Search).await;
    assert_eq!((before.class, &before.output, before.sent), (OutcomeClass::Ok, &Value::Null, true));

    let made = attempt(&connectors, "create", Step::Send).await;
    assert_eq!((made.class, made.document.as_deref(), made.status), (OutcomeClass::Ok, Some("MR-1"), Some(201)));
    assert_eq!(made.output, json!({ "document": "MR-1" }));
    let reference = call("create", Step::Send).key.reference();
    assert_eq!(taken.lock().unwrap()[0], json!({ "reference": reference, "description": "too hot", "number": "MR-1" }));

    let found = attempt(&connectors, "create", Step::Search).await;
    assert_eq!((found.class, found.document.as_deref()), (OutcomeClass::Ok, Some("MR-1")));
    let read = attempt(&connectors, "fetch", Step::Send).await;
    assert_eq!(read.output["requests"][0]["number"], "MR-1");
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn credentials_are_added_to_the_request_and_shown_nowhere() {
    async fn echo(headers: HeaderMap) -> Response {
        let told = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let body = json!({ "message": told("authorization"), "key": told("x-key"), "agent": told("user-agent") });
        (StatusCode::FORBIDDEN, Json(body)).into_response()
    }
    let base = serve(Router::new().fallback(echo)).await;
    let token = || Secret::Env("TOKEN".into());
    let basic = UserPassword { user: "u".into(), password: token() };
    let key = Credentials::ApiKey { header: "X-Key".into(), key: token() };
    for (credentials, sign) in [
        (Credentials::Bearer(token()), "Bearer [redacted]"),
        (Credentials::Basic(basic), "Basic [redacted]"),
        (key, r#""key":"[redacted]""#),
    ] {
        let connectors = connectors(&base, credentials);
        let request = call("create", Step::Send);
        let prepared = connectors.prepare(&request).unwrap();
        assert!(!format!("{prepared:?}").contains("s3cret"));
        let outcome = connectors.send(&request, &prepared).await;
        assert_eq!(outcome.class, OutcomeClass::Permission);
        assert!(outcome.response.contains(sign), "{}", outcome.response);
        assert!(!format!("{outcome:?}").contains("s3cret") && !format!("{outcome:?}").contains("czNjcmV0"));
    }
}

#[tokio::test]
async fn a_missing_secret_sends_nothing() {
    let taken = Taken::default();
    let base = serve(office(taken.clone())).await;
    let connectors = connectors(&format!("{base}/base"), Credentials::Bearer(Secret::Env("NONE".into())));
    let outcome = attempt(&connectors, "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Auth, false));
    assert!(outcome.detail.contains("NONE is not set; set it"), "{}", outcome.detail);
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_there_is_not_sent() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let plain = always("x").await.replace("http://", "https://");
    for base in [format!("http://{closed}"), plain, "http://no-such-host.invalid".into()] {
        let connectors = connectors(&base, Credentials::None);
        let outcome = attempt(&connectors, "create", Step::Send).await;
        assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Transient, false), "{base}: {}", outcome.detail);
        assert!(outcome.detail.contains("no connection to "), "{}", outcome.detail);
    }
}

#[tokio::test]
async fn answers_are_classified_by_status_and_words() {
    let problem =
        json!({ "type": "about:blank", "title": "Unprocessable", "status": 422, "detail": "plant is missing" });
    let limit =
        json!([{ "message": "ConcurrentPerOrgLongTxn Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED" }]);
    let html = "<html><title>Bad Gateway</title></html>";
    for (status, body, class, words) in [
        (422, problem.to_string(), OutcomeClass::Validation, "plant is missing"),
        (403, limit.to_string(), OutcomeClass::Limit, "ConcurrentPerOrgLongTxn"),
        (502, html.to_string(), OutcomeClass::Unknown, "502 Bad Gateway: a page of HTML: Bad Gateway"),
        (503, String::new(), OutcomeClass::Transient, "503 Service Unavailable"),
        (201, html.to_string(), OutcomeClass::Unknown, "a page of HTML and no JSON"),
        (204, String::new(), OutcomeClass::Unknown, "response.document"),
    ] {
        let base = always((StatusCode::from_u16(status).unwrap(), body)).await;
        let outcome = attempt(&connectors(&base, Credentials::None), "create", Step::Send).await;
        assert_eq!((outcome.class, outcome.status, outcome.sent), (class, Some(status), true), "{}", outcome.detail);
        assert!(outcome.detail.contains(words), "{}", outcome.detail);
    }
    let base = always((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down")).await;
    let outcome = attempt(&connectors(&base, Credentials::None), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.retry_after), (OutcomeClass::Limit, Some(Span::from_secs(7))));
    let waits = [("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let base = always((StatusCode::SERVICE_UNAVAILABLE, waits, "later")).await;
    let outcome = attempt(&connectors(&base, Credentials::None), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.retry_after), (OutcomeClass::Limit, Some(Span::from_secs(30))));
}

#[tokio::test]
async fn redirects_are_followed_only_where_they_are_safe() {
    let taken = Taken::default();
    let moved = Router::new()
        .route(
            "/kept/requests",
            get(|| async { Redirect::temporary("/base/requests") })
                .post(|| async { Redirect::permanent("/base/requests") }),
        )
        .route(
            "/seen/requests",
            get(|| async { Redirect::to("/base/requests") }).post(|| async { Redirect::to("/base/requests") }),
        )
        .route("/circle/requests", get(|| async { Redirect::temporary("/circle/requests") }))
        .merge(office(taken.clone()));
    let base = serve(moved).await;
    let at = |path: &str| connectors(&format!("{base}/{path}"), Credentials::None);

    assert_eq!(attempt(&at("kept"), "create", Step::Send).await.document.as_deref(), Some("MR-1"));
    assert_eq!(attempt(&at("seen"), "create", Step::Search).await.document.as_deref(), Some("MR-1"));
    let form = attempt(&at("seen"), "create", Step::Send).await;
    assert_eq!(form.class, OutcomeClass::Unknown, "{}", form.detail);
    let circle = attempt(&at("circle"), "fetch", Step::Send).await;
    assert!(circle.detail.contains("redirects more than 3 times"), "{}", circle.detail);
    assert_eq!(taken.lock().unwrap().len(), 1);

    let elsewhere = serve(Router::new().fallback({
        let to = format!("{base}/base/requests");
        move || std::future::ready(Redirect::temporary(&to))
    }))
    .await;
    let refused = attempt(&connectors(&elsewhere, Credentials::None), "create", Step::Send).await;
    assert_eq!(refused.class, OutcomeClass::NotFound);
    assert!(refused.detail.contains("another host, which is not followed"), "{}", refused.detail);
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_prepared_for_another_address_is_not_sent() {
    let base = always("x").await;
    let request = call("create", Step::Send);
    let prepared = connectors("http://127.0.0.1:1", Credentials::None).prepare(&request).unwrap();
    let outcome = connectors(&base, Credentials::None).send(&request, &prepared).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Validation, false));
    assert!(outcome.detail.contains("prepare it again"), "{}", outcome.detail);
}

#[tokio::test]
async fn an_address_of_the_environment_wins_and_a_wrong_one_is_refused() {
    let base = serve(office(Taken::default())).await;
    let at = |address: String| {
        Connectors::new(contract("http://127.0.0.1:1", LIMIT, Credentials::None), move |name| {
            (name == "EAM").then(|| address.clone())
        })
    };
    let right = attempt(&at(format!("{base}/base")), "create", Step::Send).await;
    assert_eq!(right.class, OutcomeClass::Ok, "{}", right.detail);
    let wrong = attempt(&at("eam:8741".into()), "create", Step::Send).await;
    assert_eq!((wrong.class, wrong.sent), (OutcomeClass::Validation, false));
    assert!(wrong.detail.contains("eam.create: base: the base address"), "{}", wrong.detail);
    let gone = attempt(&at(base), "delete", Step::Send).await;
    assert!(gone.detail.contains("no operation eam.delete any more"), "{}", gone.detail);
}

/// A system that answers four at once, and remembers how many it had at once at most.
#[tokio::test]
async fn no_more_requests_are_under_way_than_the_system_has_places() {
    let (under_way, four) = (Arc::new(Mutex::new((0_u32, 0_u32))), Arc::new(tokio::sync::Barrier::new(4)));
    let seen = under_way.clone();
    let answer = move || {
        let (under_way, four) = (under_way.clone(), four.clone());
        async move {
            {
                let mut count = under_way.lock().unwrap();
                count.0 += 1;
                count.1 = count.1.max(count.0);
            }
            four.wait().await;
            under_way.lock().unwrap().0 -= 1;
            Json(json!({ "requests": [] }))
        }
    };
    let base = serve(Router::new().fallback(answer)).await;
    let connectors = Arc::new(connectors(&base, Credentials::None));
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let connectors = connectors.clone();
            tokio::spawn(async move { attempt(&connectors, "fetch", Step::Send).await })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.unwrap().class, OutcomeClass::Ok);
    }
    assert_eq!(seen.lock().unwrap().1, 4, "the places of its `concurrent`");
}
