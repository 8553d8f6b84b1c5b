//! Decisions that runs wait for: asked by an exception, answered by the command and by the API, once.

use crate::support::*;
use serde_json::Value as Json;
use std::{fs, path::Path, process::Command};

const WORKFLOW: &str = r#"document: { dsl: 1.0.3, namespace: foundry, name: release, version: 1.0.0 }
do:
  - approve:
      metadata:
        owner: integration
        question: ${ "May batch " + $workflow.input.batch + " go on?" }
        form:
          type: object
          required: [approve]
          additionalProperties: false
          properties: { approve: { type: boolean }, note: { type: string } }
        due: 4 h
      listen: { to: { one: { with: { type: human.decision } } } }
      output: { as: "${ .[0] | {approve: .answer.approve, note: .answer.note, by} }" }
"#;

/// Status and body.
fn post(api: &str, path: &str, body: &str) -> (u16, Json) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-X", "POST", "-w", "\n%{http_code}", &format!("http://{api}{path}")]);
    let output = curl.args(["-H", "Content-Type: application/json", "-d", body]).output().expect("curl is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Json::Null))
}

fn asked(world: &World, data: &Path, batch: &str) -> String {
    let of = |row: &&Json| row["cause"].as_str().is_some_and(|cause| cause.contains(batch));
    wait_until("the question", || world.list("exceptions", data, &["kind=decision"]).iter().any(|row| of(&row)));
    let rows = world.list("exceptions", data, &["kind=decision"]);
    rows.iter().find(of).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_person_decides_once_and_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (project, data) = (dir.path().join("project"), dir.path().join("data"));
    copy_project(&example(), &project);
    fs::write(project.join("workflows/release.yaml"), WORKFLOW).unwrap();
    let folder = data.display().to_string();
    let with_data =
        |args: &[&str]| [args, &["--data", &folder]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let run = |args: &[&str]| {
        let args = with_data(args);
        world.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let mut running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    for key in ["one", "two"] {
        let body = format!(r#"{{"batch": "B-{key}"}}"#);
        assert_eq!(post(&api, &format!("/v1/workflows/release/runs/{key}"), &body).0, 201);
    }
    let (one, two) = (asked(&world, &data, "B-one"), asked(&world, &data, "B-two"));
    let listed = run(&["exceptions"]);
    let listed = text(&listed.stdout);
    assert!(listed.contains(&one) && listed.contains("integration  due "), "{listed}");
    assert!(text(&run(&["show", &one]).stdout).contains("additionalProperties"), "the form is shown");

    let refused = run(&["exceptions", "decide", &one, "--field", "approve=perhaps"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("/approve"), "{}", text(&refused.stderr));
    let done = run(&["exceptions", "decide", &one, "--field", "approve=true", "--field", "note=7", "--by", "mia"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let path = format!("/v1/exceptions/{one}/decide");
    let (status, problem) = post(&api, &path, r#"{"answer": {"approve": false}}"#);
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("by mia"), "{problem}");
    let output = |key: &str| {
        let rows = world.list("runs", &data, &[&format!("key={key}"), "workflow=release"]);
        rows.first().map_or(Json::Null, |row| row["output"].clone())
    };
    wait_until("the end of the run", || output("one") != Json::Null);
    assert_eq!(output("one"), serde_json::json!({"approve": true, "note": "7", "by": "mia"}));
    let vain = run(&["exceptions", "retry", &two]);
    assert!(text(&vain.stderr).contains("decide it"), "{}", text(&vain.stderr));
    let acts = world.list("audit", &data, &["act=exception.decide"]);
    assert_eq!((acts.len(), acts[0]["actor"].as_str()), (1, Some("mia")), "{acts:#?}");

    // The question outlives `kill -9`, and is answered by the API.
    running.kill();
    let running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    let path = format!("/v1/exceptions/{two}/decide");
    let (status, problem) = post(&api, &path, r#"{"answer": {}}"#);
    assert_eq!(status, 422, "{problem}");
    let (status, done) = post(&api, &path, r#"{"answer": {"approve": false}}"#);
    assert_eq!(status, 200, "{done}");
    wait_until("the end of the run", || output("two") != Json::Null);
    assert_eq!(output("two")["approve"], false);
    assert_eq!(world.list("events", &data, &["type=human.decision"]).len(), 2);
    assert_eq!(world.list("exceptions", &data, &["kind=decision", "state=open"]).len(), 0);
}
