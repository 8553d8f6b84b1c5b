//! Teams are told: by a real mail server and by a receiver that believes only what is signed. A mail server that is
//! away, or says nothing, holds up nothing else.

use crate::support::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value as Json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A workflow that ends with an error nobody catches.
fn failing(name: &str) -> String {
    format!(
        "document: {{ dsl: 1.0.3, namespace: foundry, name: {name}, version: 1.0.0 }}\ndo:\n  \
         - weigh:\n      raise:\n        \
         error: {{ type: https://foundry.example/scale, status: 500, title: the scale is empty }}\n"
    )
}

fn ownership(mail: u16, webhook: u16, tls: &str) -> String {
    let hook = format!("webhook: {{ url: 'http://127.0.0.1:{webhook}/PLACE', secret: env:HOOK_SECRET }}");
    format!(
        "teams:\n  planning: {{ mail: planning@plant.example, {} }}\n  shift-lead: {{ {} }}\n  maintenance-planning: \
         {{ mail: maintenance@plant.example }}\n  integration: {{ mail: integration@plant.example }}\nrules:\n  - \
         {{ content: {{ input.urgent: true }}, owner: planning, within: 2 s, escalate: {{ after: 1 s, to: shift-lead \
         }} }}\n  - {{ owner: planning }}\nnotify:\n  smtp: {{ address: 'env:NONE else 127.0.0.1:{mail}', from: \
         andon@plant.example, {tls} }}\n  link: https://andon.plant.example\n",
        hook.replace("PLACE", "planning"),
        hook.replace("PLACE", "shift-lead"),
    )
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
    let paths = ["authority.pem", "certificate.pem", "key.pem"].map(|name| dir.join(name));
    for (path, text) in paths.iter().zip([authority.pem(), leaf.pem(), own.serialize_pem()]) {
        fs::write(path, text).unwrap();
    }
    paths
}

fn receiver(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers").join(name)
}

/// Starts a receiver and waits until it listens.
fn start(mut command: Command) -> Running {
    command.stdin(Stdio::null());
    let running = Running::start(command);
    wait_until("the receiver", || running.log.lock().unwrap().iter().any(|line| line.contains("listening")));
    running
}

fn mail_server(port: u16, mails: &Path, more: &[&str]) -> Running {
    // The Python of the system, for which Debian's package is.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(receiver("mail_server.py")).arg(port.to_string()).arg(mails).args(more);
    start(command)
}

fn webhook(port: u16, posts: &Path) -> Running {
    let mut command = Command::new("node");
    command.arg(receiver("webhook.cjs")).arg(port.to_string()).arg(posts).arg(SECRET);
    start(command)
}

/// The lines that a receiver has written.
fn rows(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn told(path: &Path, what: &str) -> Vec<Json> {
    rows(path).into_iter().filter(|row| row["body"]["type"] == format!("exceptions.{what}")).collect()
}

/// Starts a run by the API; its status.
fn run(api: &str, workflow: &str, key: &str, body: &str) -> String {
    let url = format!("http://{api}/v1/workflows/{workflow}/runs/{key}");
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", &url]);
    let output = curl.args(["-H", "Content-Type: application/json", "-d", body]).output().expect("curl is installed");
    String::from_utf8(output.stdout).unwrap()
}

struct Plant {
    dir: tempfile::TempDir,
    world: World,
    _broker: Mosquitto,
}

impl Plant {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
        let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
        copy_project(&example(), &dir.path().join("project"));
        for name in ["weigh", "hurry"] {
            fs::write(dir.path().join(format!("project/workflows/{name}.yaml")), failing(name)).unwrap();
        }
        Self { dir, world, _broker: broker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, policy: &str) -> Running {
        fs::write(self.path("project/policies/ownership.yaml"), policy).unwrap();
        let (project, data) = (self.path("project"), self.path("data"));
        let args = ["run", project.to_str().unwrap(), "--data", data.to_str().unwrap(), "--api", "127.0.0.1:0"];
        let mut command = self.world.command(&args);
        command.env("HOOK_SECRET", SECRET).env("MAIL_PASSWORD", "geheim");
        let running = Running::start(command);
        wait_ready(&running);
        running
    }

    fn list(&self, kind: &str, filters: &[&str]) -> Vec<Json> {
        self.world.list(kind, &self.path("data"), filters)
    }

    fn status(&self) -> String {
        let data = self.path("data");
        String::from_utf8(self.world.run(&["status", "--data", data.to_str().unwrap()]).stdout).unwrap()
    }
}

#[test]
fn teams_are_told_by_mail_and_by_webhook_once_for_each_group() {
    let plant = Plant::new();
    let [authority, certificate, key] = certificates(plant.dir.path());
    let (mails, posts) = (plant.path("mails"), plant.path("posts"));
    let (mail, hook) = (free_port(), free_port());
    let _hook = webhook(hook, &posts);
    let tls = format!(
        "tls: starttls, authority: {}, credentials: {{ user: andon, password: env:MAIL_PASSWORD }}",
        authority.display()
    );
    let instance = plant.start(&ownership(mail, hook, &tls));
    let api = api_of(&instance);
    for n in 0..40 {
        assert_eq!(run(&api, "weigh", &format!("weigh-{n}"), "{}"), "201");
    }
    wait_until("the webhook", || told(&posts, "assigned").len() == 1);
    let first = told(&posts, "assigned").remove(0);
    let data = &first["body"]["data"];
    assert_eq!((first["path"].as_str(), data["team"].as_str()), (Some("/planning"), Some("planning")));
    assert_eq!(first["id"], data["id"]);
    assert!(data["due"].is_string() && data["link"].as_str().unwrap().starts_with("https://andon.plant.example/v1/"));

    // Nobody is there for mail: that is said, and holds up nothing.
    wait_until("the finding", || plant.status().contains("notices of planning by mail"));
    assert!(plant.status().contains("Connection refused"), "{}", plant.status());
    assert_eq!(run(&api, "hurry", "hurry-1", r#"{"urgent": true}"#), "201");
    wait_until("the second group", || told(&posts, "assigned").len() == 2);

    // What nobody has dealt with in time is overdue, and passes to another team.
    wait_until("overdue", || told(&posts, "overdue").len() == 1);
    wait_until("escalated", || told(&posts, "escalated").len() == 1);
    let passed = told(&posts, "escalated").remove(0);
    assert_eq!(
        (passed["path"].as_str(), passed["body"]["data"]["from"].as_str()),
        (Some("/shift-lead"), Some("planning"))
    );
    let row = plant.list("exceptions", &["owner=shift-lead"]).remove(0);
    assert!(row["escalated"].is_string() && row["due"].is_string(), "{row}");
    let audit = plant.list("audit", &["act=exception.escalate"]);
    assert_eq!((audit.len(), audit[0]["actor"].as_str(), &audit[0]["subject"]), (1, Some("policy"), &row["id"]));

    // The mail server comes: one mail holds all of it.
    let secure = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let _mail = mail_server(mail, &mails, &secure);
    wait_until("the mail", || !rows(&mails).is_empty());
    let letter = rows(&mails).remove(0);
    assert_eq!((letter["to"][0].as_str(), letter["tls"].as_bool()), (Some("planning@plant.example"), Some(true)));
    assert_eq!((letter["user"].as_str(), letter["auto"].as_str()), (Some("andon"), Some("auto-generated")));
    let text = letter["text"].as_str().unwrap();
    assert!(text.contains("40 open") && text.contains("/v1/show/ex_"), "{text}");
    assert!(letter["subject"].as_str().unwrap().contains("overdue"), "{letter}");
    let of_planning = || plant.list("notices", &["team=planning", "by=mail", "state=sent"]).len();
    wait_until("the rows", || of_planning() >= 3);
    assert_eq!(rows(&mails).len(), 1);
    wait_until("the end of the finding", || !plant.status().contains("notices of planning"));
    let all: Vec<String> = rows(&posts).iter().map(|row| row["id"].as_str().unwrap_or("refused").to_owned()).collect();
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "each is told once: {all:?}");
    assert_eq!(told(&posts, "assigned").len(), 2);
}

#[test]
fn a_mail_server_that_says_nothing_holds_up_no_webhook_and_no_run() {
    let plant = Plant::new();
    let (mail, hook) = (free_port(), free_port());
    let posts = plant.path("posts");
    let _mail = mail_server(mail, &plant.path("mails"), &["slow"]);
    let mut instance = plant.start(&ownership(mail, hook, "tls: none"));
    let api = api_of(&instance);
    assert_eq!(run(&api, "weigh", "weigh-1", "{}"), "201");
    wait_until("the notices", || plant.list("notices", &[]).len() == 2);
    // The webhook is not there yet either: what is kept is told after the next start, too.
    wait_until("the finding", || plant.status().contains("notices of planning by webhook"));
    instance.kill();
    let _hook = webhook(hook, &posts);
    let instance = plant.start(&ownership(mail, hook, "tls: none"));
    wait_until("the webhook", || told(&posts, "assigned").len() == 1);
    let api = api_of(&instance);
    assert_eq!(run(&api, "hurry", "hurry-1", "{}"), "201");
    wait_until("the second one", || told(&posts, "assigned").len() == 2);
    assert!(plant.list("notices", &["by=mail"]).iter().all(|row| row["state"] == "waiting"));
}
