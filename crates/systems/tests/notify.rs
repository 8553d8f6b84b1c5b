//! Notices meet a real mail server and receivers that answer as they like: what was taken, what was not, what helps.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use andon_contract::contract::{Address, Hook, MailTls, Secret, Smtp, UserPassword};
use andon_model::{Name, Time};
use andon_systems::notify::{Mail, Notifier, Post, Told};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value as Json;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// The mail server; it ends with this value.
struct Server {
    child: Child,
    port: u16,
    mails: PathBuf,
}

impl Server {
    /// With TLS where it gets the files of a certificate and its key.
    fn start(dir: &Path, tls: &[&Path]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mails = dir.join("mails");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/receivers/mail_server.py");
        // The Python of the system, for which Debian's package is.
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(port.to_string()).arg(&mails).args(tls);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("Python and aiosmtpd are installed");
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "{line}");
        Self { child, port, mails }
    }

    fn mails(&self) -> Vec<Json> {
        let text = fs::read_to_string(&self.mails).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate authority and a certificate of this machine by it: their files.
fn certificates(dir: &Path) -> [PathBuf; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    fs::create_dir_all(dir).unwrap();
    let paths = ["authority.pem", "certificate.pem", "key.pem"].map(|name| dir.join(name));
    for (path, text) in paths.iter().zip([authority.pem(), leaf.pem(), own.serialize_pem()]) {
        fs::write(path, text).unwrap();
    }
    paths
}

fn notifier() -> Notifier {
    Notifier::new(|name| match name {
        "RIGHT" => Some("geheim".to_owned()),
        "WRONG" => Some("falsch".to_owned()),
        "HOOK" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        _ => None,
    })
}

fn address(text: String) -> Address {
    Address { env: None, default: text }
}

fn smtp(port: u16, tls: MailTls, authority: Option<&Path>, password: Option<&str>) -> Smtp {
    Smtp {
        address: address(format!("127.0.0.1:{port}")),
        from: "andon@plant.example".into(),
        tls,
        authority: authority.map(|path| path.display().to_string()),
        credentials: password.map(|name| UserPassword { user: "andon".into(), password: Secret::Env(name.to_owned()) }),
    }
}

fn mail() -> Mail {
    Mail {
        id: "no_0123".into(),
        at: Time::parse("2026-11-26T14:00:00Z").unwrap(),
        to: "planung@plant.example".into(),
        subject: "Überfällig: 2\r\nBcc: evil@plant.example".into(),
        text: format!("Zwei Aufträge.\n.\nEin Punkt allein, und eine lange Zeile: {}\n", "ä".repeat(2_000)),
    }
}

fn said(told: Told) -> (String, bool) {
    match told {
        Told::Failed { what, for_good } => (what, for_good),
        Told::Taken => ("taken".to_owned(), false),
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written_over_tls_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [authority, certificate, key] = certificates(&dir.path().join("one"));
    let [stranger, ..] = certificates(&dir.path().join("two"));
    let server = Server::start(dir.path(), &[&certificate, &key]);
    let notifier = notifier();
    let starttls = |authority: &Path, password| smtp(server.port, MailTls::Starttls, Some(authority), Some(password));
    assert_eq!(notifier.mail(&starttls(&authority, "RIGHT"), &mail()).await, Told::Taken);
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    let of = |name: &str| mails[0][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (mails[0]["tls"].as_bool(), of("user"), of("hello")),
        (Some(true), "andon".into(), "plant.example".into())
    );
    assert_eq!((of("id"), of("date")), ("<no_0123@plant.example>".into(), "Thu, 26 Nov 2026 14:00:00 +0000".into()));
    assert_eq!(of("text").replace("\r\n", "\n"), mail().text);
    assert!(of("subject").starts_with("Überfällig: 2") && mails[0]["to"].as_array().unwrap().len() == 1, "{mails:?}");

    let (what, for_good) = said(notifier.mail(&starttls(&authority, "WRONG"), &mail()).await);
    assert!(what.contains("does not accept who we are") && !what.contains("falsch") && !for_good, "{what}");
    let (what, _) = said(notifier.mail(&starttls(&authority, "NONE"), &mail()).await);
    assert!(what.contains("the environment variable NONE is not set"), "{what}");
    let (what, _) = said(notifier.mail(&starttls(&stranger, "RIGHT"), &mail()).await);
    assert!(what.contains("TLS") && what.contains("authority"), "{what}");
    let gone = dir.path().join("gone.pem");
    let (what, _) = said(notifier.mail(&starttls(&gone, "RIGHT"), &mail()).await);
    assert!(what.contains("gone.pem"), "{what}");
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_server_without_tls_gets_a_mail_only_where_the_project_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let notifier = notifier();
    let (what, _) = said(notifier.mail(&smtp(server.port, MailTls::Starttls, None, Some("RIGHT")), &mail()).await);
    assert!(what.starts_with("the mail server 127.0.0.1:") && what != "taken", "{what}");
    assert_eq!(server.mails().len(), 0);
    assert_eq!(notifier.mail(&smtp(server.port, MailTls::None, None, None), &mail()).await, Told::Taken);
    assert_eq!(server.mails().len(), 1);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (what, _) = said(notifier.mail(&smtp(nobody, MailTls::None, None, None), &mail()).await);
    assert!(what.contains("Connection refused"), "{what}");
}

#[tokio::test]
async fn a_webhook_is_signed_and_its_answer_is_understood() {
    type Seen = Arc<Mutex<Vec<(HeaderMap, String)>>>;
    let seen: Seen = Arc::default();
    let kept = seen.clone();
    let take = move |headers: HeaderMap, body: String| async move {
        kept.lock().unwrap().push((headers, body));
        StatusCode::ACCEPTED
    };
    let away = || async { (StatusCode::FOUND, [("location", "http://elsewhere.example/")]) };
    let router = Router::new()
        .route("/taken", post(take))
        .route("/gone", post(|| async { StatusCode::GONE }))
        .route("/away", post(away))
        .route("/broken", post(|| async { StatusCode::INTERNAL_SERVER_ERROR }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (notifier, team) = (notifier(), Name::new("integration").unwrap());
    let tell = async |path: &str, secret: Option<&str>| {
        let hook = Hook {
            url: address(format!("http://{at}{path}")),
            secret: secret.map(|name| Secret::Env(name.to_owned())),
            authority: None,
        };
        let at = Time(1_614_265_330_000_000_000);
        let post = Post { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(), at, body: "{\"test\": 2432232314}".into() };
        said(notifier.post(&team, &hook, &post).await)
    };
    assert_eq!(tell("/taken", Some("HOOK")).await.0, "taken");
    assert_eq!(tell("/taken", None).await.0, "taken");
    let (what, for_good) = tell("/gone", Some("HOOK")).await;
    assert!(what.contains("is gone (410)") && for_good, "{what}");
    for (path, says) in
        [("/away", "a redirect is not followed"), ("/broken", "answered 500"), ("/none", "answered 404")]
    {
        let (what, for_good) = tell(path, Some("HOOK")).await;
        assert!(what.contains(says) && !for_good && !what.contains("/none"), "{what}");
    }
    let (what, _) = tell("/taken", Some("NONE")).await;
    assert!(what.contains("the secret of the webhook of integration is missing"), "{what}");
    let seen = seen.lock().unwrap();
    let header = |n: usize, name: &str| seen[n].0.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header(0, "webhook-signature").unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!((header(0, "webhook-timestamp").unwrap(), header(1, "webhook-signature")), ("1614265330".into(), None));
    assert_eq!(
        (header(0, "content-type").unwrap(), seen[0].1.as_str()),
        ("application/json".into(), "{\"test\": 2432232314}")
    );
    assert_eq!(seen.len(), 2);
}
