//! People are answered while data floods: many more posts than are taken, rules and workflows with more to do than they
//! can, and one who asks.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Connections that post without a pause; a source takes eight posts at once.
const FLOOD: usize = 96;
/// Samples of a post.
const SAMPLES: usize = 40;
/// Assets, each of which goes over its limit and back all the time.
const ASSETS: usize = 20;
/// So long an answer may take in a test on a machine that does much else; one that is starved never comes.
const STARVED: Duration = Duration::from_secs(30);

fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    let mut assets = "site: plant\nzone: plant\ntimezone: UTC\nassets:\n".to_owned();
    for number in 0..ASSETS {
        let _ = writeln!(assets, "  asset-{number:03}: {{ class: machine }}");
    }
    for (path, text) in [
        (
            "andon.yaml",
            "name: flood\nformat: 1\ninstances:\n  one: { role: both, zone: plant, api: '127.0.0.1:8730' }\n",
        ),
        ("policies/ownership.yaml", "teams:\n  plant: { mail: plant@plant.example }\nrules:\n  - { owner: plant }\n"),
        (
            "classes/machine.yaml",
            "signals:\n  vibration: { kind: f64, unit: mm/s }\nparameters:\n  vibration.High: 10\n",
        ),
        ("rules/vibration.yaml", "kind: limit\non: machine.vibration\nseverity: { High: 700 }\n"),
        ("sources/posts.yaml", "kind: http\n"),
        ("assets/plant.yaml", assets.as_str()),
        (
            "workflows/note.yaml",
            "document: { dsl: 1.0.3, namespace: flood, name: note, version: 1.0.0 }\nschedule:\n  on:\n    one:\n      \
             with: { type: asset.alarm }\ndo:\n  - note:\n      set: { noted: true }\n",
        ),
    ] {
        let path = project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    project
}

/// Sends a request and reads the answer; `None`: the connection is over.
fn ask(stream: &mut BufReader<TcpStream>, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let request = format!("{head} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    let request = format!("{request}content-type: application/json\r\n\r\n");
    stream.get_mut().write_all(&[request.as_bytes(), body].concat()).ok()?;
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first.split_whitespace().nth(1)?.parse().ok()?, body))
}

fn connect(api: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(api).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(STARVED)).unwrap();
    BufReader::new(stream)
}

/// What became of the flood.
#[derive(Default)]
struct Flood {
    stop: AtomicBool,
    stored: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// Posts without a pause until it is stopped: samples that go up and down, without a time, so that none is a repeat.
fn flood(api: &str, flood: &Flood) {
    let mut stream = connect(api);
    let samples = (0..SAMPLES).map(|sample| {
        let (asset, value) = (sample % ASSETS, if (sample / ASSETS).is_multiple_of(2) { 20 } else { 5 });
        format!("{{\"asset\":\"asset-{asset:03}\",\"signal\":\"vibration\",\"value\":{value}}}")
    });
    let body = format!("[{}]", samples.collect::<Vec<_>>().join(","));
    while !flood.stop.load(Ordering::Acquire) {
        match ask(&mut stream, "POST /v1/sources/posts/samples", body.as_bytes()) {
            Some((202, answer)) => {
                let answer: Json = serde_json::from_slice(&answer).unwrap();
                flood.stored.fetch_add(answer["stored"].as_u64().unwrap(), Ordering::AcqRel);
                flood.taken.fetch_add(1, Ordering::AcqRel);
            }
            Some((429 | 503, _)) => {
                flood.refused.fetch_add(1, Ordering::AcqRel);
            }
            Some((status, answer)) => panic!("{status}: {}", String::from_utf8_lossy(&answer)),
            None => stream = connect(api),
        }
    }
}

#[test]
fn people_are_answered_while_posts_rules_and_workflows_are_saturated() {
    let dir = tempfile::tempdir().unwrap();
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let world = World { mqtt: String::new(), eam: String::new() };
    let mut running = start_instance(&world, &project, &data);
    let api = api_of(&running);

    let flooding = Arc::new(Flood::default());
    let threads: Vec<_> = (0..FLOOD)
        .map(|_| {
            let (api, flooding) = (api.clone(), flooding.clone());
            thread::spawn(move || flood(&api, &flooding))
        })
        .collect();
    wait_until("more is posted than is taken", || {
        flooding.taken.load(Ordering::Acquire) > 20 && flooding.refused.load(Ordering::Acquire) > 0
    });
    let before = flooding.taken.load(Ordering::Acquire);
    let mut person = connect(&api);
    let mut rounds = 0;
    while rounds < 10 || flooding.taken.load(Ordering::Acquire) < before + 50 {
        for path in ["/readyz", "/v1/status", "/v1/exceptions", "/v1/exception-groups", "/metrics"] {
            let (status, body) = ask(&mut person, &format!("GET {path}"), b"")
                .unwrap_or_else(|| panic!("{path} is not answered within {} s", STARVED.as_secs()));
            assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        }
        rounds += 1;
    }
    flooding.stop.store(true, Ordering::Release);
    for thread in threads {
        thread.join().unwrap();
    }
    let runs = world.list("runs", &data, &["state=completed"]).len();
    assert!(runs > 0, "workflows work meanwhile");
    running.stop();
    let sources = world.list("sources", &data, &[]);
    assert_eq!(sources[0]["stored"].as_u64(), Some(flooding.stored.load(Ordering::Acquire)), "what was taken is there");
}
