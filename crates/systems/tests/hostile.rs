//! Attempts against a server that does everything a server must not do.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use andon_contract::contract::Credentials;
use andon_model::{Outcome, OutcomeClass, call::Step, span::Span};
use andon_systems::Connectors;
use common::{attempt, contract};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a server does after it has read a request.
enum Deed {
    /// Sends these bytes and closes.
    Say(Vec<u8>),
    /// Sends the first bytes, then the others again and again, until nobody reads any more.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends these bytes and never closes.
    Stall(Vec<u8>),
}

/// Runs the server for one call and says how often a request came in.
async fn meet(deed: Deed, operation: &str, step: Step, limit: Span) -> (Outcome, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn({
        let requests = requests.clone();
        async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &deed, &requests).await;
            }
        }
    });
    let connectors = Connectors::new(contract(&base, limit, Credentials::None), |_| None);
    let outcome = attempt(&connectors, operation, step).await;
    server.abort();
    (outcome, requests.load(Ordering::SeqCst))
}

async fn answer(mut stream: TcpStream, deed: &Deed, requests: &AtomicUsize) {
    let mut seen = Vec::new();
    let mut part = [0_u8; 4096];
    loop {
        let count = stream.read(&mut part).await.unwrap_or(0);
        seen.extend_from_slice(part.get(..count).unwrap());
        let text = String::from_utf8_lossy(&seen);
        let whole =
            text.split_once("\r\n\r\n").is_some_and(|(head, body)| head.starts_with("GET") || body.ends_with('}'));
        if whole {
            break;
        }
        if count == 0 {
            return;
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    match deed {
        Deed::Say(bytes) => {
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
        Deed::Endless(first, again) => {
            let _ = stream.write_all(first).await;
            while stream.write_all(again).await.is_ok() {}
        }
        Deed::Stall(bytes) => {
            let _ = stream.write_all(bytes).await;
            // Until the other side gives up.
            while stream.read(&mut part).await.is_ok_and(|count| count > 0) {}
        }
    }
}

const LIMIT: Span = Span::from_secs(20);
const SHORT: Span = Span::from_millis(300);

fn say(text: &str) -> Deed {
    Deed::Say(text.as_bytes().to_vec())
}

#[tokio::test]
async fn no_readable_answer_is_unknown_for_an_effect_and_transient_for_a_read() {
    let garbage = "\u{0}\u{1}garbage\r\n\r\n";
    let headers = format!("HTTP/1.1 201 Created\r\n{}\r\n", "x-a: b\r\n".repeat(1_000));
    let long = format!("HTTP/1.1 201 Created\r\nx-a: {}\r\n\r\n", "b".repeat(1 << 20));
    for text in [
        "",
        garbage,
        "HTTP/1.1",
        "HTTP/1.1 999999 X\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        headers.as_str(),
        long.as_str(),
    ] {
        let (outcome, requests) = meet(say(text), "create", Step::Send, LIMIT).await;
        let start: String = text.chars().take(30).collect();
        assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Unknown, true), "{start:?}: {}", outcome.detail);
        assert!(outcome.detail.contains("nobody knows whether it had its effect"), "{}", outcome.detail);
        assert_eq!(requests, 1, "{start:?}");
        for (operation, step) in [("create", Step::Search), ("fetch", Step::Send)] {
            let (outcome, _) = meet(say(text), operation, step, LIMIT).await;
            assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Transient, true), "{start:?}");
        }
    }
}

#[tokio::test]
async fn half_an_answer_of_success_is_unknown() {
    for text in [
        "HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"number\":\"MR-1\"}",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"num",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n\u{e4}",
    ] {
        let (outcome, _) = meet(say(text), "create", Step::Send, LIMIT).await;
        assert_eq!((outcome.class, outcome.status), (OutcomeClass::Unknown, Some(201)), "{text}: {}", outcome.detail);
        assert!(outcome.detail.contains("the answer cannot be read"), "{}", outcome.detail);
        let (read, _) = meet(say(text), "create", Step::Search, LIMIT).await;
        assert!(read.class == OutcomeClass::Transient || text.contains("length: 0"), "{text}: {}", read.detail);
    }
}

#[tokio::test]
async fn half_an_answer_of_refusal_is_still_a_refusal() {
    let text = "HTTP/1.1 422 No\r\ncontent-length: 100\r\n\r\nplant is miss";
    let (outcome, _) = meet(say(text), "create", Step::Send, LIMIT).await;
    assert_eq!(outcome.class, OutcomeClass::Validation);
    assert!(outcome.detail.contains("plant is miss"), "{}", outcome.detail);
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_its_limit() {
    let head = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).into_bytes();
    let (outcome, _) = meet(Deed::Endless(head, chunk), "create", Step::Send, LIMIT).await;
    assert_eq!(outcome.class, OutcomeClass::Unknown);
    assert!(outcome.detail.contains("longer than 1048576 bytes"), "{}", outcome.detail);
    assert!(outcome.response.len() <= andon_systems::rest::RESPONSE_MAX_BYTES);

    let huge = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
    let (outcome, _) = meet(Deed::Endless(huge, vec![b'['; 1 << 16]), "create", Step::Search, LIMIT).await;
    assert_eq!(outcome.class, OutcomeClass::Transient, "{}", outcome.detail);

    let endless_head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let (outcome, _) = meet(Deed::Endless(endless_head, b"x-a: b\r\n".to_vec()), "create", Step::Send, LIMIT).await;
    assert_eq!(outcome.class, OutcomeClass::Unknown, "{}", outcome.detail);
}

#[tokio::test]
async fn a_server_that_stops_is_given_up_after_the_limit() {
    let (outcome, _) = meet(Deed::Stall(Vec::new()), "create", Step::Send, SHORT).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Unknown, true));
    assert!(outcome.detail.contains("no answer within 300 ms"), "{}", outcome.detail);
    let (outcome, _) = meet(Deed::Stall(Vec::new()), "fetch", Step::Send, SHORT).await;
    assert_eq!(outcome.class, OutcomeClass::Transient);

    let head = b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"number\":".to_vec();
    let (outcome, _) = meet(Deed::Stall(head), "create", Step::Send, SHORT).await;
    assert_eq!((outcome.class, outcome.status), (OutcomeClass::Unknown, Some(201)));
    assert!(outcome.detail.contains("did not end within 300 ms"), "{}", outcome.detail);

    let refusal = b"HTTP/1.1 409 Conflict\r\ncontent-length: 100\r\n\r\nchanged by somebody".to_vec();
    let (outcome, _) = meet(Deed::Stall(refusal), "create", Step::Send, SHORT).await;
    assert_eq!(outcome.class, OutcomeClass::Conflict, "{}", outcome.detail);
}

#[tokio::test]
async fn deep_and_strange_bodies_are_no_answers() {
    for body in ["[".repeat(100_000), "{\"a\":".repeat(10_000), "\u{0}".repeat(100), "1e999".into()] {
        let text = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (outcome, _) = meet(say(&text), "create", Step::Send, LIMIT).await;
        assert_eq!(outcome.class, OutcomeClass::Unknown, "{}", outcome.detail);
        assert!(!outcome.detail.contains('\u{0}') && outcome.detail.chars().count() <= 500);
    }
}

#[tokio::test]
async fn a_server_that_never_speaks_tls_was_never_sent_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let connectors = Connectors::new(contract(&base, SHORT, Credentials::None), |_| None);
    let outcome = attempt(&connectors, "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Transient, false), "{}", outcome.detail);
    assert!(outcome.detail.contains("no connection to https://127.0.0.1"), "{}", outcome.detail);
}

#[tokio::test]
async fn random_answers_have_outcomes() {
    let mut state = 7_u64;
    for _ in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        for start in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            let said = [start.as_bytes(), bytes.as_slice()].concat();
            let (outcome, requests) = meet(Deed::Say(said), "create", Step::Send, LIMIT).await;
            assert_eq!((outcome.class, requests), (OutcomeClass::Unknown, 1), "{}", outcome.detail);
        }
    }
}
