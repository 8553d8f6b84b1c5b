//! A system that is down: its breaker opens, is open across `kill -9`, and closes once the system answers; what waited
//! is there once, in order.

use crate::support::*;
use serde_json::Value as Json;
use std::{fs, path::Path, process::Command};

/// A request, of the asset that its key names.
const REPAIR: &str = r#"document: { dsl: 1.0.3, namespace: foundry, name: repair, version: 1.0.0 }
do:
  - request:
      call: maintenance.request-work
      with:
        title: "${ $workflow.input.what }"
        description: it is loose
        asset: machine-01
        site: foundry
        priority: 2
        reportedAt: "2026-11-22T06:00:00Z"
        reportedBy: somebody
"#;

/// The example, with a breaker that opens and closes while a test waits.
fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    fs::write(project.join("workflows/repair.yaml"), REPAIR).unwrap();
    let file = project.join("systems/eam.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("retry:") && !line.starts_with("timeout:"));
    let policy = "timeout: 5 s\nretry: { first: 100 ms, factor: 2, max: 1 s, within: 1 h }\n\
        breaker: { calls: 3, failures: 60 %, open: 2 s, max: 2 s }\n";
    let head: Vec<&str> = lines.collect();
    let text = head.join("\n").replacen("operations:\n", &format!("{policy}operations:\n"), 1);
    fs::write(&file, text).unwrap();
    project
}

fn start_runs(api: &str, names: &[&str]) {
    for name in names {
        let url = format!("http://{api}/v1/workflows/repair/runs/{name}");
        let body = format!(r#"{{"what": "{name}"}}"#);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-f", "-o", "/dev/null", "-X", "POST", "-H", "Content-Type: application/json", "-d", &body]);
        assert!(curl.arg(&url).status().unwrap().success(), "{name}");
    }
}

fn breaker(world: &World, data: &Path) -> Json {
    world.list("systems", data, &["system=eam"]).remove(0)
}

#[test]
fn the_breaker_of_a_system_that_is_down_opens_survives_kill_9_and_closes_when_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let mut running = start_instance(&world, &project, &data);
    start_runs(&api_of(&running), &["one", "two", "three"]);
    wait_until("the breaker is open", || breaker(&world, &data)["breaker"] == "open");
    let of = data.to_str().unwrap();
    let status = world.run(&["status", "--data", of, "--json"]);
    let status: Json = serde_json::from_slice(&status.stdout).unwrap();
    let findings = status["findings"].as_array().unwrap();
    let told = findings.iter().find(|finding| finding["subject"] == "system eam").unwrap_or_else(|| panic!("{status}"));
    assert!(told["detail"].as_str().unwrap().contains("its breaker is"), "{told}");
    let metrics = Command::new("curl").args(["-s", &format!("http://{}/metrics", api_of(&running))]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    assert!(metrics.contains("andon_system_breaker{system=\"eam\",state=\"closed\"} 0"), "{metrics}");

    // As a power cut would.
    running.kill();
    let kept = breaker(&world, &data);
    assert_ne!(kept["breaker"], "closed", "{kept}");
    assert_eq!(kept["now"], Json::Null, "a folder knows no places");
    let exceptions = world.list("exceptions", &data, &["fingerprint=breaker/eam"]);
    assert_eq!((exceptions.len(), exceptions[0]["state"].as_str()), (1, Some("waiting")), "{exceptions:?}");
    let call = world.list("calls", &data, &[])[0]["id"].as_str().unwrap().to_owned();
    let told = world.ok(&["explain", &call, "--data", of]);
    assert!(told.contains("waits: the breaker of eam is"), "{told}");

    let running = start_instance(&world, &project, &data);
    let again = breaker(&world, &data);
    assert_ne!(again["breaker"], "closed", "{again}");
    start_runs(&api_of(&running), &["four"]);
    let file = dir.path().join("requests.jsonl");
    let _office = start_office(&world, port, &file);
    wait_until("the breaker is closed", || breaker(&world, &data)["breaker"] == "closed");
    wait_until("all is done", || world.list("runs", &data, &["workflow=repair", "state=completed"]).len() == 4);
    let exceptions = world.list("exceptions", &data, &["fingerprint=breaker/eam"]);
    assert_eq!((exceptions.len(), exceptions[0]["state"].as_str()), (1, Some("resolved")), "{exceptions:?}");
    assert_eq!(exceptions[0]["count"], 1, "one for the whole outage");
    let made = office_requests(&file);
    assert_eq!(made.len(), 4, "each is there once: {made:?}");
    let fares = breaker(&world, &data);
    assert_eq!(fares["now"]["held"], 0, "{fares}");
}
