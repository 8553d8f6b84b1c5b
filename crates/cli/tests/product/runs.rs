//! Runs that are started by hand, by curl and across `kill -9`.

use crate::support::*;
use serde_json::Value as Json;
use std::{fs, path::Path, process::Command, thread};

fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    let workflow = |name: &str, rest: &str| {
        let head = format!("document: {{ dsl: 1.0.3, namespace: foundry, name: {name}, version: 1.0.0 }}\n");
        fs::write(project.join(format!("workflows/{name}.yaml")), head + rest).unwrap();
    };
    workflow("add", "do:\n  - sum: { set: { sum: \"${ $workflow.input.a + $workflow.input.b }\" } }\n");
    workflow("rest", "do:\n  - rest: { wait: { hours: 1 } }\n");
    project
}

/// Status, `Location` and body.
fn post(api: &str, path: &str, body: &str) -> (u16, String, Json) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-X", "POST", "-w", "\n%{header_json}\n%{http_code}", &format!("http://{api}{path}")]);
    let output = curl.args(["-H", "Content-Type: application/json", "-d", body]).output().expect("curl is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (text, status) = text.rsplit_once('\n').unwrap();
    let (body, headers) = text.split_once("\n{").unwrap_or((text, "}"));
    let headers: Json = serde_json::from_str(&format!("{{{headers}")).unwrap_or_default();
    let location = headers["location"][0].as_str().unwrap_or_default().to_owned();
    (status.parse().unwrap(), location, serde_json::from_str(body).unwrap_or(Json::Null))
}

#[test]
fn a_key_starts_one_run_whose_end_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let mut running = start_instance(&world, &project, &data);
    let api = api_of(&running);

    let (status, location, run) = post(&api, "/v1/workflows/add/runs/one?wait=30s", r#"{"a": 1, "b": 2}"#);
    assert_eq!((status, run["state"].as_str()), (200, Some("completed")), "{run}");
    assert_eq!((&run["output"]["sum"], run["site"].as_str()), (&Json::from(3), Some("foundry")));
    assert_eq!(location, format!("/v1/show/{}", run["id"].as_str().unwrap()));
    let (status, again, problem) = post(&api, "/v1/workflows/add/runs/one?wait=30s", r#"{"a": 1, "b": 2}"#);
    assert_eq!((status, &again), (409, &location), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(run["id"].as_str().unwrap()), "{problem}");

    let (status, _, run) = post(&api, "/v1/workflows/add/runs/two?wait=30s", r#"{"a": 1, "b": {}}"#);
    assert_eq!((status, run["state"].as_str()), (200, Some("faulted")), "{run}");
    assert!(run["error"]["detail"].as_str().is_some(), "{run}");
    let (status, _, run) = post(&api, "/v1/workflows/rest/runs/one?wait=1s", "");
    assert_eq!((status, run["state"].as_str()), (202, Some("waiting")), "{run}");
    let (status, _, run) = post(&api, "/v1/workflows/rest/runs/two", "");
    assert_eq!((status, run["key"].as_str()), (201, Some("two")), "{run}");

    for (path, body, wanted) in [
        ("/v1/workflows/ad/runs/one", "", 404),
        ("/v1/workflows/add/runs/three", "{", 400),
        ("/v1/workflows/add/runs/three?site=nowhere", "{}", 400),
        ("/v1/workflows/add/runs/three?wait=1h", "{}", 400),
        ("/v1/workflows/add/runs/%20", "{}", 400),
    ] {
        let (status, _, problem) = post(&api, path, body);
        assert_eq!(status, wanted, "{path}: {problem}");
        assert!(problem["remedy"].as_str().is_some(), "{path}: {problem}");
    }
    let large = format!("\"{}\"", "x".repeat(300 << 10));
    let file = dir.path().join("large.json");
    fs::write(&file, large).unwrap();
    let (status, ..) = post(&api, "/v1/workflows/add/runs/three", &format!("@{}", file.display()));
    assert_eq!(status, 413);
    assert_eq!(world.list("runs", &data, &["key=two", "workflow=rest"]).len(), 1);

    running.kill();
    let running = start_instance(&world, &project, &data);
    let (status, again, _) = post(&api_of(&running), "/v1/workflows/add/runs/one", "");
    assert_eq!((status, again), (409, location), "the key is known after `kill -9`");
    assert_eq!(world.list("runs", &data, &["state=waiting"]).len(), 2, "what waits still waits");
}

#[test]
fn starts_that_are_repeated_across_a_kill_are_one_run_each() {
    const STARTS: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let mut running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    let path = |n: usize| format!("/v1/workflows/add/runs/{n}");
    let body = r#"{"a": 1, "b": 2}"#;
    let asking = thread::spawn({
        let api = api.clone();
        move || {
            (0..STARTS)
                .map(|n| {
                    Command::new("curl")
                        .args(["-s", "-o", "/dev/null", "-X", "POST", "-d", body])
                        .arg(format!("http://{api}/v1/workflows/add/runs/{n}"))
                        .status()
                        .is_ok_and(|s| s.success())
                })
                .collect::<Vec<_>>()
        }
    });
    wait_until("some runs have ended", || world.list("runs", &data, &["state=completed"]).len() > 20);
    running.kill();
    let answered = asking.join().unwrap();
    let running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    for (n, answered) in answered.iter().enumerate() {
        let (status, ..) = post(&api, &path(n), body);
        // One that was answered exists; of the others some may, too: their answer was lost.
        assert!(status == 409 || (status == 201 && !answered), "run {n} was answered: {answered}, and now {status}");
    }
    wait_until("all runs have ended", || {
        let runs = Command::new("curl").args(["-s", &format!("http://{api}/v1/status")]).output().unwrap();
        let status: Json = serde_json::from_slice(&runs.stdout).unwrap();
        status["counts"]["runs.completed"].as_u64() == Some(STARTS as u64)
    });
}
