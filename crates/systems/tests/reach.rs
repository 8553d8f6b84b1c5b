//! How the host of a system is reached.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use andon_contract::contract::{Address, Credentials, Reach};
use andon_model::{OutcomeClass, call::Step, span::Span};
use andon_systems::Connectors;
use axum::{Json, Router, http::HeaderMap};
use common::{attempt, changed, contract};
use serde_json::json;
use tokio::net::TcpListener;

const LIMIT: Span = Span::from_secs(20);

fn reached(base: &str, reach: Reach) -> Connectors {
    Connectors::new(changed(base, LIMIT, Credentials::None, |system| system.reach = reach), |_| None)
}

#[tokio::test]
async fn a_connection_goes_elsewhere_and_the_name_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let echo = Router::new().fallback(|headers: HeaderMap| async move {
        Json(json!({ "host": headers.get("host").unwrap().to_str().unwrap() }))
    });
    tokio::spawn(async move { axum::serve(listener, echo).await });
    let straight = Connectors::new(contract(&format!("http://{to}"), LIMIT, Credentials::None), |_| None);
    assert_eq!(attempt(&straight, "fetch", Step::Send).await.output["host"], to.as_str());
    let connect = Some(Address { env: None, default: to });
    for (base, plain, host) in [
        ("https://petstore.example/v2", true, "petstore.example"),
        ("https://petstore.example:8443/v2", true, "petstore.example:8443"),
        ("http://petstore.example/v2", false, "petstore.example"),
    ] {
        let reach = Reach { connect: connect.clone(), plain_on_loopback: plain };
        let outcome = attempt(&reached(base, reach), "fetch", Step::Send).await;
        assert_eq!((outcome.class, &outcome.output["host"]), (OutcomeClass::Ok, &json!(host)), "{}", outcome.detail);
    }
    let reach = Reach { connect, plain_on_loopback: false };
    let outcome = attempt(&reached("https://petstore.example", reach), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Transient, false), "{}", outcome.detail);
}
