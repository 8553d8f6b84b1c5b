//! How a system is reached: other places, TLS, proxies, tokens, pace, kept connections, and the end of Andon.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use andon_contract::contract::{
    Address, ClientTls, Credentials, Grant, Idempotency, OAuth2, Proxy, Rate, Reach, Secret, System, TlsIdentity,
    TokenPlace, UserPassword,
};
use andon_model::{Outcome, OutcomeClass, call::Step, span::Span};
use andon_systems::Connectors;
use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use common::{attempt, changed, contract};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const LIMIT: Span = Span::from_secs(20);

fn with(base: &str, credentials: Credentials, change: impl FnOnce(&mut System)) -> Arc<Connectors> {
    let env = |name: &str| matches!(name, "SECRET" | "PASSWORD").then(|| format!("s3cret-{name}"));
    Arc::new(Connectors::new(changed(base, LIMIT, credentials, change), env))
}

fn reached(base: &str, reach: Reach) -> Arc<Connectors> {
    with(base, Credentials::None, |system| system.reach = reach)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    (listener, place)
}

async fn serve(router: Router) -> String {
    let (listener, place) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    place
}

fn echo() -> Router {
    Router::new().fallback(|headers: HeaderMap| async move {
        Json(json!({ "host": headers.get("host").unwrap().to_str().unwrap() }))
    })
}

fn address(text: &str) -> Address {
    Address { env: None, default: text.into() }
}

#[tokio::test]
async fn a_connection_goes_elsewhere_and_the_name_stays() {
    let to = serve(echo()).await;
    let straight = Connectors::new(contract(&format!("http://{to}"), LIMIT, Credentials::None), |_| None);
    assert_eq!(attempt(&straight, "fetch", Step::Send).await.output["host"], to.as_str());
    let connect = Some(address(&to));
    for (base, plain, host) in [
        ("https://petstore.example/v2", true, "petstore.example"),
        ("https://petstore.example:8443/v2", true, "petstore.example:8443"),
        ("http://petstore.example/v2", false, "petstore.example"),
    ] {
        let reach = Reach { connect: connect.clone(), plain_on_loopback: plain, ..Reach::default() };
        let outcome = attempt(&reached(base, reach), "fetch", Step::Send).await;
        assert_eq!((outcome.class, &outcome.output["host"]), (OutcomeClass::Ok, &json!(host)), "{}", outcome.detail);
    }
    let reach = Reach { connect, ..Reach::default() };
    let outcome = attempt(&reached("https://petstore.example", reach), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Transient, false), "{}", outcome.detail);
}

/// Authority, certificates and keys of a plant.
struct Papers {
    authority: String,
    server: (String, String),
    client: (String, String),
    _folder: tempfile::TempDir,
}

fn papers() -> Papers {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of the plant");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let of = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let cert = params.signed_by(&key, &ca).unwrap();
        (write(&format!("{name}.pem"), &cert.pem()), write(&format!("{name}.key"), &key.serialize_pem()))
    };
    let (server, client) = (of("eam.plant"), of("andon"));
    Papers { authority: write("ca.pem", &ca.pem()), server, client, _folder: folder }
}

/// A server of OpenSSL; ended when dropped.
struct OpenSsl(tokio::process::Child);

async fn openssl(papers: &Papers, wants_ours: bool) -> Option<(OpenSsl, String)> {
    let (listener, place) = listen().await;
    drop(listener);
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &place]);
    command.args(["-cert", &papers.server.0, "-key", &papers.server.1]);
    if wants_ours {
        command.args(["-Verify", "1", "-verify_return_error", "-CAfile", &papers.authority]);
    }
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = command.kill_on_drop(true).spawn().ok()?;
    while TcpStream::connect(&place).await.is_err() {
        tokio::task::yield_now().await;
    }
    Some((OpenSsl(child), place))
}

fn tls(place: &str, authority: Option<&str>, identity: Option<(&str, &str)>) -> Reach {
    let identity = identity
        .map(|(certificate, key)| TlsIdentity { certificate: certificate.into(), key: Secret::File(key.into()) });
    let tls = ClientTls { authority: authority.map(str::to_owned), identity };
    Reach { connect: Some(address(place)), tls, ..Reach::default() }
}

#[tokio::test]
async fn tls_believes_its_authority_and_shows_its_certificate() {
    let papers = papers();
    let Some((mut server, place)) = openssl(&papers, true).await else { return };
    let ours = Some((papers.client.0.as_str(), papers.client.1.as_str()));
    let good = reached("https://eam.plant", tls(&place, Some(&papers.authority), ours));
    let outcome = attempt(&good, "fetch", Step::Send).await;
    // It answers with a page of its own: what matters is that it answers.
    assert_eq!((outcome.sent, outcome.status), (true, Some(200)), "{}", outcome.detail);

    for (base, reach, class, says) in [
        (
            "https://other.plant",
            tls(&place, Some(&papers.authority), ours),
            OutcomeClass::Transient,
            "for another name",
        ),
        ("https://eam.plant", tls(&place, None, ours), OutcomeClass::Transient, "authority that is not believed here"),
        (
            "https://eam.plant",
            tls(&place, Some("/nonexistent/ca.pem"), ours),
            OutcomeClass::Transient,
            "cannot be read",
        ),
        (
            "https://eam.plant",
            tls(&place, Some(&papers.authority), Some((&papers.client.0, &papers.server.1))),
            OutcomeClass::Transient,
            "cannot be used with its key",
        ),
    ] {
        let outcome = attempt(&reached(base, reach), "fetch", Step::Send).await;
        assert_eq!((outcome.class, outcome.sent), (class, false), "{}", outcome.detail);
        assert!(outcome.detail.contains(says), "{}", outcome.detail);
    }
    // It says only after the handshake that it wants a certificate, and its closing can overtake that.
    let none = reached("https://eam.plant", tls(&place, Some(&papers.authority), None));
    let none = attempt(&none, "fetch", Step::Send).await;
    let named = none.class == OutcomeClass::Auth && !none.sent && none.detail.contains("wants a certificate of ours");
    assert!(named || (none.class == OutcomeClass::Transient && none.sent), "{}", none.detail);
    server.0.kill().await.unwrap();
}

#[tokio::test]
async fn a_renewed_authority_counts_without_a_new_start() {
    let (papers, others) = (papers(), papers());
    let Some((_server, place)) = openssl(&papers, false).await else { return };
    let file = others.authority.clone();
    let connectors = reached("https://eam.plant", tls(&place, Some(&file), None));
    assert!(!attempt(&connectors, "fetch", Step::Send).await.sent);
    std::fs::copy(&papers.authority, Path::new(&file)).unwrap();
    let outcome = attempt(&connectors, "fetch", Step::Send).await;
    assert!(outcome.sent, "{}", outcome.detail);
}

/// A proxy that keeps the first lines it is told, and leads on or refuses.
async fn proxy(to: String, refuses: Option<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let (listener, place) = listen().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            told.lock().unwrap().push(text.clone());
            if let Some(answer) = refuses {
                let _ = stream.write_all(answer.as_bytes()).await;
                continue;
            }
            let mut onward = TcpStream::connect(&to).await.unwrap();
            if text.starts_with("CONNECT ") {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            } else {
                onward.write_all(&head).await.unwrap();
            }
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut onward).await });
        }
    });
    (place, seen)
}

fn through(place: &str) -> Reach {
    let pair = UserPassword { user: "andon".into(), password: Secret::Env("PASSWORD".into()) };
    let proxy = Proxy { address: address(&format!("http://{place}")), credentials: Some(pair) };
    Reach { proxy: Some(proxy), ..Reach::default() }
}

#[tokio::test]
async fn a_proxy_leads_on_and_what_it_refuses_was_not_sent() {
    let to = serve(echo()).await;
    let (place, seen) = proxy(to.clone(), None).await;
    let outcome = attempt(&reached("http://eam.plant", through(&place)), "fetch", Step::Send).await;
    assert_eq!(outcome.output["host"], "eam.plant", "{}", outcome.detail);
    let first = seen.lock().unwrap()[0].to_lowercase();
    assert!(first.starts_with("get http://eam.plant/requests http/1.1\r\n"), "{first}");
    assert!(first.contains("proxy-authorization: basic "), "{first}");

    let papers = papers();
    if let Some((_server, to)) = openssl(&papers, false).await {
        let (place, seen) = proxy(to, None).await;
        let mut reach = through(&place);
        reach.tls.authority = Some(papers.authority.clone());
        let outcome = attempt(&reached("https://eam.plant", reach), "fetch", Step::Send).await;
        assert_eq!((outcome.sent, outcome.status), (true, Some(200)), "{}", outcome.detail);
        assert!(seen.lock().unwrap()[0].starts_with("CONNECT eam.plant:443 HTTP/1.1\r\n"));
    }
    for (answer, class, says) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", OutcomeClass::Auth, "does not accept who we are"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", OutcomeClass::Transient, "403 Forbidden"),
        ("HTTP/1.1 403 not s3cret-PASSWORD\r\n\r\n", OutcomeClass::Transient, "403 not [redacted]"),
        ("", OutcomeClass::Transient, "leads nowhere"),
    ] {
        let (place, _) = proxy(to.clone(), Some(answer)).await;
        let outcome = attempt(&reached("https://eam.plant", through(&place)), "create", Step::Send).await;
        assert_eq!((outcome.class, outcome.sent), (class, false), "{}", outcome.detail);
        assert!(outcome.detail.contains(says) && !outcome.detail.contains("s3cret"), "{}", outcome.detail);
    }
}

/// A system with a server of tokens beside it, which believes only the newest token.
#[derive(Clone, Default)]
struct Guarded {
    tokens: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    forms: Arc<Mutex<Vec<String>>>,
}

impl Guarded {
    fn router(&self, life: u64, refuses: bool) -> Router {
        let (this, other) = (self.clone(), self.clone());
        let token = move |headers: HeaderMap, form: String| async move {
            let who = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
            this.forms.lock().unwrap().push(format!("{who} {form}"));
            if refuses {
                let body = json!({ "error": "invalid_client", "error_description": "s3cret-SECRET is wrong" });
                return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
            }
            let number = this.tokens.fetch_add(1, Ordering::SeqCst) + 1;
            Json(json!({
                "access_token": format!("t0ken-{number}"), "token_type": "Bearer", "expires_in": life,
                "refresh_token": format!("r3fresh-{number}"),
            }))
            .into_response()
        };
        let answer = move |headers: HeaderMap| async move {
            other.calls.fetch_add(1, Ordering::SeqCst);
            let newest = format!("Bearer t0ken-{}", other.tokens.load(Ordering::SeqCst));
            let told = headers.get("authorization").unwrap().to_str().unwrap().to_owned();
            let status = if told == newest { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            (status, Json(json!({ "number": "MR-1", "told": told }))).into_response() as Response
        };
        Router::new().route("/oauth/token", post(token)).fallback(any(answer))
    }
}

fn oauth(grant: Grant) -> Credentials {
    Credentials::OAuth2(Box::new(OAuth2 {
        token: TokenPlace::Path("/oauth/token".into()),
        grant,
        client: "andon".into(),
        secret: Some(Secret::Env("SECRET".into())),
        in_form: false,
        scopes: vec!["work".into()],
        audience: None,
    }))
}

#[tokio::test]
async fn a_token_is_got_once_renewed_once_and_shown_never() {
    let system = Guarded::default();
    let base = format!("http://{}", serve(system.router(3_600, false)).await);
    let connectors = with(&base, oauth(Grant::ClientCredentials), |_| {});
    let many: Vec<_> = (0..8)
        .map(|_| {
            let connectors = connectors.clone();
            tokio::spawn(async move { attempt(&connectors, "create", Step::Send).await })
        })
        .collect();
    for one in many {
        let outcome: Outcome = one.await.unwrap();
        assert_eq!(
            (outcome.class, outcome.document.as_deref()),
            (OutcomeClass::Ok, Some("MR-1")),
            "{}",
            outcome.detail
        );
        assert!(!format!("{outcome:?}").contains("t0ken-"), "{outcome:?}");
    }
    assert_eq!(system.tokens.load(Ordering::SeqCst), 1, "one for all who waited");
    assert!(system.forms.lock().unwrap()[0].ends_with("grant_type=client_credentials&scope=work"));

    // Taken back: got anew with the refresh token, and the request sent again.
    system.tokens.fetch_add(1, Ordering::SeqCst);
    let outcome = attempt(&connectors, "create", Step::Send).await;
    assert_eq!(outcome.class, OutcomeClass::Ok);
    let [noted] = &outcome.exchanges[..] else { panic!("{:?}", outcome.exchanges) };
    let found = (noted.what.as_str(), noted.status, noted.request.as_str(), noted.response.as_str());
    assert_eq!(found, ("token", Some(200), format!("POST {base}/oauth/token").as_str(), ""));
    assert_eq!(system.calls.load(Ordering::SeqCst), 8 + 2);
    assert!(system.forms.lock().unwrap()[1].ends_with("grant_type=refresh_token&refresh_token=r3fresh-1"));
}

#[tokio::test]
async fn a_second_401_is_the_outcome_and_no_token_was_not_sent() {
    // Every token is refused: another one is asked for once.
    let forms = Arc::new(AtomicUsize::new(0));
    let (asked, calls) = (forms.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = calls.clone();
    let router = Router::new()
        .route(
            "/oauth/token",
            post(move || {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Json(json!({ "access_token": format!("t0ken-{number}") })))
            }),
        )
        .fallback(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready((StatusCode::UNAUTHORIZED, "no"))
        });
    let base = format!("http://{}", serve(router).await);
    let pair = UserPassword { user: "u".into(), password: Secret::Env("PASSWORD".into()) };
    let outcome = attempt(&with(&base, oauth(Grant::Password(pair)), |_| {}), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.status), (OutcomeClass::Auth, Some(401)));
    assert_eq!((forms.load(Ordering::SeqCst), calls.load(Ordering::SeqCst)), (2, 2));

    let refusing = Guarded::default();
    let base = format!("http://{}", serve(refusing.router(1, true)).await);
    let outcome = attempt(&with(&base, oauth(Grant::ClientCredentials), |_| {}), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Auth, false), "{}", outcome.detail);
    assert!(outcome.detail.contains("invalid_client: [redacted] is wrong"), "{}", outcome.detail);
    assert_eq!(refusing.calls.load(Ordering::SeqCst), 0);

    let outcome =
        attempt(&with("http://127.0.0.1:1", oauth(Grant::ClientCredentials), |_| {}), "create", Step::Send).await;
    assert_eq!((outcome.class, outcome.sent), (OutcomeClass::Transient, false), "{}", outcome.detail);
    assert!(outcome.detail.contains("no token from"), "{}", outcome.detail);
}

#[tokio::test]
async fn who_waits_when_andon_stops_is_told_that_nothing_was_sent() {
    let (listener, place) = listen().await;
    let base = format!("http://{place}");
    let slow = Rate { number: 1, per: Span::from_secs(3_600), burst: 1 };
    let connectors = with(&base, Credentials::None, |system| (system.concurrent, system.rate) = (2, Some(slow)));
    let one = |step| {
        let connectors = connectors.clone();
        tokio::spawn(async move { attempt(&connectors, "create", step).await })
    };
    // The first is under way, the second waits for its turn, the third for a place.
    let first = one(Step::Send);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut part = [0; 4096];
    assert!(stream.read(&mut part).await.unwrap() > 0);
    let (second, third) = (one(Step::Send), one(Step::Send));
    tokio::task::yield_now().await;
    connectors.stop();
    for waited in [second.await.unwrap(), third.await.unwrap()] {
        assert_eq!((waited.class, waited.sent), (OutcomeClass::Transient, false), "{}", waited.detail);
        assert!(waited.detail.contains("Andon stops"), "{}", waited.detail);
    }
    let body = "{\"number\":\"MR-1\"}";
    let answer = format!(
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(first.await.unwrap().class, OutcomeClass::Ok);
}

/// A system that counts connections, and closes each one without an answer to its second request when `fickle`.
async fn counting(fickle: bool) -> (String, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (listener, place) = listen().await;
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (connected, requested) = (connections.clone(), requests.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connected.fetch_add(1, Ordering::SeqCst);
            let requested = requested.clone();
            tokio::spawn(async move {
                let mut served = 0;
                loop {
                    let mut seen = Vec::new();
                    while !(seen.ends_with(b"}") || seen.starts_with(b"GET") && seen.ends_with(b"\r\n\r\n")) {
                        match stream.read_u8().await {
                            Ok(byte) => seen.push(byte),
                            Err(_) => return,
                        }
                    }
                    requested.fetch_add(1, Ordering::SeqCst);
                    served += 1;
                    if fickle && served == 2 {
                        return;
                    }
                    let body = "{\"number\":\"MR-1\"}";
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n";
                    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                }
            });
        }
    });
    (format!("http://{place}"), connections, requests)
}

#[tokio::test]
async fn only_harmless_requests_share_a_connection() {
    let (base, connections, requests) = counting(false).await;
    let connectors = with(&base, Credentials::None, |_| {});
    for _ in 0..3 {
        assert_eq!(attempt(&connectors, "fetch", Step::Send).await.class, OutcomeClass::Ok);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "reads share one");
    for _ in 0..2 {
        assert_eq!(attempt(&connectors, "create", Step::Send).await.class, OutcomeClass::Ok);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3, "what is found by a search gets its own");
    assert_eq!(requests.load(Ordering::SeqCst), 5);

    let by_key = with(&base, Credentials::None, |system| {
        system.operations.get_mut("create").unwrap().idempotency = Idempotency::Key;
    });
    for _ in 0..2 {
        assert_eq!(attempt(&by_key, "create", Step::Send).await.class, OutcomeClass::Ok);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 4, "what the system knows by our key may be repeated");
}

#[tokio::test]
async fn a_kept_connection_that_closes_is_replaced_once() {
    let (base, connections, requests) = counting(true).await;
    let connectors = with(&base, Credentials::None, |_| {});
    for _ in 0..2 {
        let outcome = attempt(&connectors, "fetch", Step::Send).await;
        assert_eq!(outcome.class, OutcomeClass::Ok, "{}", outcome.detail);
    }
    assert_eq!((connections.load(Ordering::SeqCst), requests.load(Ordering::SeqCst)), (2, 3));
}

/// How many attempts a second go through one system; run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures and proves nothing"]
async fn attempts_in_a_second() {
    let base =
        format!("http://{}", serve(Router::new().fallback(|| async { Json(json!({ "number": "MR-1" })) })).await);
    for (class, idempotency) in [("kept", Some(Idempotency::Key)), ("fresh", None)] {
        let connectors = with(&base, Credentials::None, |system| {
            system.concurrent = 64;
            let create = system.operations.get_mut("create").unwrap();
            create.idempotency = idempotency.unwrap_or_else(|| create.idempotency.clone());
        });
        let start = tokio::time::Instant::now();
        let workers: Vec<_> = (0..64)
            .map(|_| {
                let connectors = connectors.clone();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        assert_eq!(attempt(&connectors, "create", Step::Send).await.class, OutcomeClass::Ok);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        println!("{class} connections: {:.0} attempts/s", 6_400.0 / start.elapsed().as_secs_f64());
    }
}
