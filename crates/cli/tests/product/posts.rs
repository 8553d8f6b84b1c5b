//! What is posted to sources, by curl and across `kill -9`: every example of the page about it is run as it stands.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

const KEY: &str = "key of gateway a";
const SECRET: &str = "secret of the platform";

fn page() -> String {
    fs::read_to_string(root().join("docs/http.md")).unwrap()
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let parts = page.split("\n```");
    parts.skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

/// The example's project with the source of the page.
fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    let page = page();
    let (_, source) = blocks(&page).into_iter().find(|(language, _)| *language == "yaml").unwrap();
    let secret = dir.join("gateway-b");
    fs::write(&secret, "key of gateway b\n").unwrap();
    let source = source.replace("/run/secrets/gateway-b", secret.to_str().unwrap());
    fs::write(project.join("sources/platform.yaml"), source).unwrap();
    project
}

fn start(world: &World, project: &Path, data: &Path) -> (Running, String) {
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    command.args(["--api", "127.0.0.1:0"]).env("GATEWAY_A_KEY", KEY).env("PLATFORM_SECRET", SECRET);
    let running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);
    (running, api)
}

fn curl(api: &str, path: &str, headers: &[&str], body: &[u8]) -> (u16, Json) {
    let mut command = Command::new("curl");
    command.args(["-s", "-w", "\n%{http_code}", &format!("http://{api}{path}"), "--data-binary", "@-"]);
    for header in headers {
        command.args(["-H", header]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl is installed");
    child.stdin.take().unwrap().write_all(body).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| Json::String(body.to_owned())))
}

/// Ids are what they are.
fn without_ids(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"ev_").or_else(|| rest.find("\"ex_")) {
        let (before, id) = rest.split_at(at + 4);
        plain.push_str(before);
        plain.push_str("ID");
        rest = id.get(16..).unwrap_or_default();
    }
    plain + rest
}

#[test]
fn every_example_of_the_page_gives_what_it_says_and_an_anomaly_starts_the_workflow() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let requests = dir.path().join("requests.jsonl");
    let _office = start_office(&world, port, &requests);
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let (running, api) = start(&world, &project, &data);

    let page = page();
    let blocks = blocks(&page);
    let mut ran = 0;
    for pair in blocks.windows(2) {
        let [("sh", command), ("json", wanted)] = pair else { continue };
        let mut bash = Command::new("bash");
        bash.args(["-ec", command]).env("API", format!("http://{api}"));
        let output = bash.env("GATEWAY_A_KEY", KEY).env("PLATFORM_SECRET", SECRET).output().unwrap();
        let answer = without_ids(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(answer.trim(), wanted.trim(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        ran += 1;
    }
    assert_eq!(ran, blocks.iter().filter(|(language, _)| *language == "sh").count(), "an example has no answer");
    assert!(ran >= 8, "only {ran} examples");

    // The anomaly is an event like those of rules: the workflow calls the office, and lineage goes back to it.
    wait_until("the office has the request", || office_requests(&requests).len() == 1);
    wait_until("the call is delivered", || !world.list("calls", &data, &["state=delivered"]).is_empty());
    let [event] = world.list("events", &data, &[]).try_into().unwrap();
    assert_eq!(event["source"], "/foundry/sources/platform");
    assert_eq!(event["time"], "2025-11-24T16:00:05Z");
    let [request] = office_requests(&requests).try_into().unwrap();
    assert!(request.to_string().contains("108.5 [degF]"), "{request}");
    let document = world.list("calls", &data, &[])[0]["document"].as_str().unwrap().to_owned();
    let told = world.ok(&["explain", &document, "--data", data.to_str().unwrap()]);
    assert!(told.contains(event["id"].as_str().unwrap()), "{told}");
    // Who posted stands in the log.
    assert!(running.text().contains("key gateway-a"), "{}", running.text());
    assert!(!running.text().contains(KEY) && !running.text().contains(SECRET));
    let [exception] = world.list("exceptions", &data, &[]).try_into().unwrap();
    assert!(exception["detail"].as_str().unwrap().contains("machine-99"), "{exception}");
}

#[test]
fn compressions_keys_and_bombs_by_curl() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (_running, api) = start(&world, &project(dir.path()), &dir.path().join("data"));
    let path = "/v1/sources/platform/samples";
    let key = format!("X-Api-Key: {KEY}");
    let json = "Content-Type: application/json";
    let body = br#"{"asset":"machine-01","signal":"temperature","value":70}"#;
    let zstd = zstd::encode_all(&body[..], 3).unwrap();
    let (status, answer) = curl(&api, path, &[json, &key, "Content-Encoding: zstd"], &zstd);
    assert_eq!((status, answer["stored"].as_u64()), (202, Some(1)), "{answer}");
    let (status, answer) = curl(&api, path, &[json, "X-Api-Key: key of gateway b"], body);
    assert_eq!(status, 202, "{answer}");
    for headers in [vec![json], vec![json, "X-Api-Key: wrong"], vec![json, "Authorization: Basic x"]] {
        let (status, answer) = curl(&api, path, &headers, body);
        assert_eq!((status, answer["type"].as_str()), (401, Some("andon:unauthorised")), "{headers:?}");
    }
    // 100 MiB of spaces in a few kilobytes.
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(100 << 20), 3).unwrap();
    assert!(bomb.len() < 100_000);
    let (status, answer) = curl(&api, path, &[json, &key, "Content-Encoding: zstd"], &bomb);
    assert_eq!(status, 413, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("250 times"), "{answer}");
    let (status, answer) = curl(&api, path, &[json, &key], &vec![b' '; (16 << 20) + 1]);
    assert_eq!(status, 413, "{answer}");
    let (status, answer) = curl(&api, path, &[json, &key, "Content-Encoding: br"], body);
    assert_eq!(status, 415, "{answer}");
    let (status, answer) = curl(&api, "/v1/sources/nobody/samples", &[json, &key], body);
    assert_eq!(status, 404, "{answer}");
}

#[test]
fn a_request_with_a_key_is_stored_once_across_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    // Samples without a time: only the key tells that they are the same.
    let count = 20_000_u64;
    let mut body = String::new();
    for n in 0..count {
        writeln!(body, "{{\"asset\":\"machine-01\",\"signal\":\"temperature\",\"value\":{n}}}").unwrap();
    }
    let mut interrupted = 0;
    for (round, pause_ms) in [0, 5, 15, 30, 45, 60, 90, 150].into_iter().enumerate() {
        let (mut running, api) = start(&world, &project, &data);
        let request = format!(
            "POST /v1/sources/platform/samples HTTP/1.1\r\nHost: {api}\r\nX-Api-Key: {KEY}\r\n\
             Idempotency-Key: {round}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(&api).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Wherever this ends it: before the row, between row, samples and answer, or behind them.
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        running.kill();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        interrupted += u32::from(answer.is_empty());
    }
    let (_running, api) = start(&world, &project, &data);
    let key = format!("X-Api-Key: {KEY}");
    for round in 0..8 {
        let repeat = format!("Idempotency-Key: {round}");
        let headers = ["Content-Type: application/x-ndjson", key.as_str(), &repeat];
        let (status, answer) = curl(&api, "/v1/sources/platform/samples", &headers, body.as_bytes());
        assert_eq!((status, answer["stored"].as_u64()), (202, Some(count)), "round {round}: {answer}");
    }
    let sources = world.list("sources", &data, &["source=platform"]);
    assert_eq!(sources[0]["stored"], 8 * count, "{sources:?}");
    eprintln!("{interrupted} of 8 requests had no answer when the instance was killed");
}
