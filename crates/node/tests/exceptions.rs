//! Very many exceptions: how long their groups take to be listed, and what it costs to retry a large one.
//!
//! An instance runs over a data folder on disk, and is asked through its API. `cargo xtask bench exceptions` runs this
//! as it is shipped, with the numbers of the bench; the test beside it does the same with few, for the order.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

use andon_model::{Event, EventId, ExceptionId, Name, SiteName, Time};
use andon_node::{Node, Options, given::chance};
use andon_store::{
    Store,
    rows::{Action, ExceptionKind, ExceptionRow, Write},
};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Keys of the events: calls of one key keep their order.
const KEYS: usize = 97;
/// Exceptions of a page of a bulk action.
const PAGE: usize = 500;
/// Questions of which the middle one counts.
const QUESTIONS: usize = 21;
/// A condition that does not come within this time is a failure.
const PATIENCE: Duration = Duration::from_mins(20);

const FILES: [(&str, &str); 7] = [
    ("andon.yaml", "format: 1\nname: p\ninstances: { plant: { role: both, zone: z, api: '127.0.0.1:8730' } }\n"),
    ("assets/home.yaml", "site: home\nzone: z\ntimezone: UTC\nassets: { m-1: { class: machine } }\n"),
    ("classes/machine.yaml", "signals: { heat: { kind: f64, unit: Cel } }\n"),
    ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
    (
        "schemas/Job-1.0.yaml",
        "$schema: https://json-schema.org/draft/2020-12/schema\ntype: object\nrequired: [key, n]\n\
         additionalProperties: false\nproperties: { key: { type: string }, n: { type: integer } }\n",
    ),
    (
        "capabilities/jobs.do.yaml",
        "version: 1\ndomain: jobs\nowner: people\neffect: creates Document\ninput: { schema: Job/1 }\n\
         output: { document: string }\n",
    ),
    ("routes.yaml", "- { capability: jobs.do, site: '*', use: office.write }\n"),
];

const WORKFLOW: &str = "document: { dsl: 1.0.3, namespace: p, name: handle, version: 1.0.0 }
schedule: { on: { one: { with: { type: asset.alarm } } } }
do:
  - write:
      call: jobs.do
      with: { key: \"${ $workflow.input[0].subject }\", n: \"${ $workflow.input[0].data.severity }\" }
";

fn project(dir: &Path, port: u16) {
    let system = format!(
        "protocol: rest\nbase: http://127.0.0.1:{port}\nzone: z\ntimeout: 10 s\nbreaker: off\n\
         limits: {{ concurrent: 16 }}\noperations:\n  write:\n    implements: jobs.do\n    idempotency: key\n    \
         request:\n      method: POST\n      path: /jobs\n      headers: {{ idempotency-key: \"${{ $key }}\" }}\n      \
         body: {{ key: \"${{ .key }}\", n: \"${{ .n }}\" }}\n    response:\n      document: ${{ .id }}\n      \
         output: {{ document: \"${{ .id }}\" }}\n"
    );
    let files = FILES.iter().map(|(path, text)| (*path, (*text).to_owned()));
    for (path, text) in files.chain([("systems/office.yaml", system), ("workflows/handle.yaml", WORKFLOW.to_owned())]) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// An office that refuses everything, or takes everything; what it was asked, in order.
struct Office {
    port: u16,
    refuses: Arc<AtomicBool>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    /// Number of each job that was taken, by key.
    by_key: BTreeMap<String, Vec<u64>>,
    count: usize,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Office {
    fn open(refuses: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let office = Self { port, refuses: Arc::new(refuses.into()), taken: Arc::default() };
        let (refuses, taken) = (office.refuses.clone(), office.taken.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (refuses, taken) = (refuses.clone(), taken.clone());
                thread::spawn(move || served(stream, &refuses, &taken));
            }
        });
        office
    }

    fn count(&self) -> usize {
        self.taken.lock().unwrap().count
    }

    /// Seconds from the first job that was taken to the last.
    fn took(&self) -> f64 {
        let taken = self.taken.lock().unwrap();
        (taken.last.unwrap() - taken.first.unwrap()).as_secs_f64()
    }

    /// Whether each key was served in its order, each job once.
    fn keeps_order(&self) -> bool {
        self.taken.lock().unwrap().by_key.values().all(|of| of.windows(2).all(|pair| pair[0] < pair[1]))
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]
fn served(mut stream: TcpStream, refuses: &AtomicBool, taken: &Mutex<Taken>) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let job: Json = serde_json::from_slice(&body).unwrap();
        let (status, answer) = if refuses.load(Ordering::SeqCst) {
            ("422 Unprocessable Content", json!({ "detail": "the office is being rebuilt" }))
        } else {
            let mut taken = taken.lock().unwrap();
            let now = Instant::now();
            taken.first.get_or_insert(now);
            taken.last = Some(now);
            taken.count += 1;
            let of = taken.by_key.entry(job["key"].as_str().unwrap().to_owned()).or_default();
            of.push(job["n"].as_u64().unwrap());
            ("201 Created", json!({ "id": format!("J-{}", job["n"]) }))
        };
        let answer = answer.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        if stream.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

/// Events that each start a run.
fn events(count: usize) -> Vec<Write> {
    let event = |number: usize| {
        let key = format!("m-{:02}", number % KEYS);
        let id = EventId::derived(&[b"bench", &number.to_le_bytes()]);
        Write::Event(
            Box::new(Event {
                id,
                kind: "asset.alarm".into(),
                source: "/home/rules/heat".into(),
                time: Time::from_millis(1_760_000_000_000),
                subject: key.clone(),
                schema: "andon:asset.alarm/1.2".into(),
                site: SiteName::new("home").unwrap(),
                key,
                correlation: id,
                causation: None,
                recorded: Time::from_millis(1_760_000_000_000),
                data: json!({ "change": "activated", "severity": number }),
            }),
            None,
        )
    };
    (0..count).map(event).collect()
}

/// Exceptions of nothing that could be taken up, of as many causes as there are hundreds of them.
fn exceptions(count: usize) -> Vec<Write> {
    let row = |number: usize| {
        let fingerprint = format!("drift/home/jobs.do/office/{:04}", number % (count / 100).max(1));
        let id = ExceptionId::derived(&[b"bench", &number.to_le_bytes()]);
        let at = Time::from_millis(1_760_000_000_000 + i64::try_from(number).unwrap());
        let owner = Name::new("people").unwrap();
        Write::Exception(Box::new(ExceptionRow {
            site: Some(SiteName::new("home").unwrap()),
            cause: "the answer of office is not what jobs.do declares; the call is delivered".into(),
            detail: format!("number {number}: the document is no text"),
            remedy: "correct the `response` of the operation at office".into(),
            system: Name::new("office").ok(),
            capability: Some("jobs.do".into()),
            domain: Some("jobs".into()),
            key: Some(format!("m-{:02}", number % KEYS)),
            action: Some(Action::Look),
            ..ExceptionRow::new(id, ExceptionKind::Drift, owner, fingerprint, at)
        }))
    };
    (0..count).map(row).collect()
}

fn filled(data: &Path, writes: Vec<Write>) {
    let store = Store::open(data, &mut chance).unwrap();
    let mut writes = writes.into_iter().peekable();
    while writes.peek().is_some() {
        store.commit(writes.by_ref().take(1_000).collect()).unwrap();
    }
}

fn started(dir: &Path) -> Node {
    let (project, data) = (dir.join("project"), dir.join("data"));
    let options = Options { project, data, api: Some("127.0.0.1:0".into()), instance: None };
    Node::start(&options).unwrap_or_else(|error| panic!("{error}"))
}

fn ask(api: SocketAddr, method: &str, path: &str, body: &Json) -> Json {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(api).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {text}");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}"))
}

#[expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The middle of the times that a question takes, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]
fn middle_ms(api: SocketAddr, path: &str) -> f64 {
    let mut times: Vec<f64> = (0..QUESTIONS)
        .map(|_| {
            let start = Instant::now();
            let answer = ask(api, "GET", path, &Json::Null);
            assert!(!answer["rows"].as_array().unwrap().is_empty(), "{path}");
            start.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[QUESTIONS / 2]
}

/// What was found.
struct Found {
    groups_ms: f64,
    page_ms: f64,
    retry_ms_of_page: f64,
    first_s: f64,
    again_s: f64,
}

#[expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]
fn measured(open: usize, many: usize) -> Found {
    // The same calls, made the first time.
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(false);
    project(&dir.path().join("project"), office.port);
    filled(&dir.path().join("data"), events(many));
    let node = started(dir.path());
    wait_until("all calls are made", || office.count() == many);
    let first_s = office.took();
    assert!(office.keeps_order(), "also the first time");
    node.stop();

    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(true);
    project(&dir.path().join("project"), office.port);
    let mut writes = exceptions(open);
    writes.extend(events(many));
    filled(&dir.path().join("data"), writes);
    let node = started(dir.path());
    let api = node.api();
    let group = || {
        let groups = ask(api, "GET", "/v1/exception-groups?where=kind=output", &Json::Null);
        groups["rows"].get(0).cloned().unwrap_or_default()
    };
    wait_until("all calls are refused", || group()["unfinished"].as_u64() == Some(many as u64));
    let fingerprint = group()["fingerprint"].as_str().unwrap().to_owned();
    let groups_ms = middle_ms(api, "/v1/exception-groups?where=state=open&limit=100");
    let encoded = fingerprint.bytes().fold(String::new(), |all, byte| all + &format!("%{byte:02X}"));
    let page_ms = middle_ms(api, &format!("/v1/exceptions?where=fingerprint={encoded}&where=unfinished=yes&limit=100"));

    office.refuses.store(false, Ordering::SeqCst);
    let (mut after, mut until) = (Json::Null, Json::Null);
    let (mut matched, mut done, mut pages) = (0, 0, Vec::new());
    let begun = Instant::now();
    loop {
        let body = json!({ "group": fingerprint, "limit": PAGE, "after": after, "until": until, "by": "bench" });
        let start = Instant::now();
        let page = ask(api, "POST", "/v1/exceptions/retry", &body);
        pages.push(start.elapsed().as_secs_f64() * 1_000.0);
        matched += page["matched"].as_u64().unwrap();
        done += page["done"].as_u64().unwrap();
        assert_eq!(page["refused"], 0, "{page}");
        (after, until) = (page["next"].clone(), page["until"].clone());
        if after.is_null() {
            break;
        }
    }
    assert_eq!((matched, done), (many as u64, many as u64), "each once");
    wait_until("all calls are made", || office.count() == many);
    let again_s = begun.elapsed().as_secs_f64();
    assert!(office.keeps_order(), "calls of a key are made in their order");
    wait_until("nothing is left of the group", || group()["resolved"].as_u64() == Some(many as u64));
    node.stop();
    pages.sort_by(f64::total_cmp);
    Found { groups_ms, page_ms, retry_ms_of_page: pages[pages.len() / 2], first_s, again_s }
}

#[test]
fn a_group_is_retried_in_the_order_of_each_key_and_each_call_once() {
    measured(1_000, 300);
}

#[test]
#[ignore = "a measurement: cargo xtask bench exceptions"]
fn a_hundred_thousand_exceptions_are_listed_and_ten_thousand_retried() {
    let found = measured(100_000, 10_000);
    let figures = [
        ("100,000 open: list of groups, ms", found.groups_ms),
        ("100,000 open: a page of one group, ms", found.page_ms),
        ("retry of 500: until it is durable, ms", found.retry_ms_of_page),
        ("10,000 calls the first time, s", found.first_s),
        ("10,000 calls by a retry of their group, s", found.again_s),
        ("retry against the first time", found.again_s / found.first_s),
    ];
    for (figure, value) in figures {
        println!("{}", json!({ "figure": figure, "value": value }));
    }
}
