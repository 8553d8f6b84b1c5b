//! A machine and an MES report the same downtime, in both orders and across `kill -9`: one event, one run, one
//! confirmation.

use crate::support::*;
use serde_json::{Value as Json, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const FILES: [(&str, &str); 5] = [
    ("sources/cell.yaml", "kind: http\nkeys: { a: env:CELL_KEY }\n"),
    (
        "sources/mes.yaml",
        r#"kind: http
keys: { a: env:CELL_KEY }
zone: UTC
events:
  - type: asset.downtime
    subject: ${ .machine }
    time: ${ .until // .from }
    id: ${ .number + (if .until then "/end" else "/begin" end) }
    data: >-
      ${ { from: .from, planned: false, category: "breakdown" }
         + (if .until then { change: "ended", to: .until, duration: { value: .seconds, unit: "s" } }
            else { change: "started" } end)
         + (if .why then { reason: { code: .why } } else {} end) }
"#,
    ),
    ("rules/stops.yaml", "kind: state\non: machine.execution\n"),
    ("classes/machine.yaml", "signals:\n  execution: { kind: text }\n"),
    (
        "workflows/stops.yaml",
        r#"document: { dsl: 1.0.3, namespace: foundry, name: stops, version: 1.0.0, title: A stop is looked at }
schedule:
  on:
    one:
      with: { type: asset.downtime, data: '${ .change == "started" }' }
input:
  from: ${ .[0] }
do:
  - look:
      set: { stop: "${ .id }" }
"#,
    ),
];

/// The example's project with a machine that tells its execution, and an MES that tells of stops.
fn project(dir: &Path) -> PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    for (path, text) in FILES {
        let path = project.join(path);
        // What the class of the example has stays.
        let before =
            if path.ends_with("classes/machine.yaml") { fs::read_to_string(&path).unwrap() } else { String::new() };
        let text = if before.is_empty() { text.to_owned() } else { before.replacen("signals:\n", text, 1) };
        fs::write(path, text).unwrap();
    }
    project
}

struct Plant {
    world: World,
    project: PathBuf,
    data: PathBuf,
}

impl Plant {
    fn start(&self) -> (Running, String) {
        let data = self.data.to_str().unwrap();
        let mut command = self.world.command(&["run", self.project.to_str().unwrap(), "--data", data]);
        command.args(["--api", "127.0.0.1:0"]).env("CELL_KEY", "secret");
        let running = Running::start(command);
        wait_ready(&running);
        let api = api_of(&running);
        (running, api)
    }

    fn list(&self, kind: &str, filters: &[&str]) -> Vec<Json> {
        self.world.list(kind, &self.data, filters)
    }

    fn downtimes(&self) -> Vec<Json> {
        self.list("events", &["type=asset.downtime"])
    }

    fn show(&self, id: &str) -> Json {
        serde_json::from_str(&self.world.ok(&["show", id, "--data", self.data.to_str().unwrap(), "--json"])).unwrap()
    }

    fn explain(&self, id: &str) -> String {
        self.world.ok(&["explain", id, "--data", self.data.to_str().unwrap()])
    }
}

fn post(api: &str, path: &str, body: &Json) -> Json {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-f", &format!("http://{api}/v1/sources/{path}"), "-H", "X-Api-Key: secret"]);
    curl.args(["-H", "Content-Type: application/json", "--data-binary", &body.to_string()]);
    let output = curl.output().expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The machine tells its execution; the times are long ago.
fn machine(api: &str, time: &str, execution: &str) {
    let time = format!("2025-11-24T{time}Z");
    let sample = json!({ "asset": "machine-01", "signal": "execution", "value": execution, "time": time });
    post(api, "cell/samples", &sample);
}

#[test]
fn a_stop_that_two_report_is_one_event_with_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let plant = Plant { world, project: project(dir.path()), data: dir.path().join("data") };
    let (mut running, api) = plant.start();

    // The machine is first. The MES tells the whole stop once it is over, and sends it twice.
    machine(&api, "08:00:00", "ACTIVE");
    machine(&api, "08:10:00", "INTERRUPTED");
    wait_until("the stop is told", || plant.downtimes().len() == 1);
    let stop = json!({ "machine": "machine-01", "number": "S-1", "from": "2025-11-24T08:10:12Z",
                       "until": "2025-11-24T08:20:00Z", "seconds": "588", "why": "jam" });
    let told = post(&api, "mes/events", &stop);
    assert_eq!(told["duplicate"], 0, "{told}");
    let again = post(&api, "mes/events", &stop);
    assert_eq!((&again["duplicate"], &again["events"]), (&json!(1), &told["events"]));
    let report = told["events"][0].as_str().unwrap().to_owned();

    let [event] = plant.downtimes().try_into().unwrap();
    assert_eq!(event["source"], "/foundry/rules/stops");
    let first = event["id"].as_str().unwrap().to_owned();
    let [row] = plant.list("confirmations", &[&format!("confirms={first}")]).try_into().unwrap();
    assert_eq!((&row["id"], &row["origin"]), (&json!(report), &json!("/foundry/sources/mes")));
    assert_eq!(row["differs"], json!({ "from": { "value": "12.000", "unit": "s" } }));

    // The machine goes on: the end of the event is an event, and now both ends can be compared.
    machine(&api, "08:20:30", "ACTIVE");
    wait_until("its end is told", || plant.downtimes().len() == 2);
    let shown = plant.show(&first);
    assert_eq!(shown["confirmations"].as_array().unwrap().len(), 1, "{shown}");
    // The rows are what the document of the API says.
    for row in plant.list("confirmations", &[]) {
        serde_json::from_value::<andon_api::types::Confirmation>(row).unwrap();
    }
    let confirmation = &shown["confirmations"][0];
    assert_eq!(confirmation["says"]["reason"], json!({ "code": "jam" }));
    assert_eq!(confirmation["differs"]["to"], json!({ "value": "-30.000", "unit": "s" }));
    assert_eq!(plant.show(&report)["confirmation"]["confirms"], json!(first));
    for id in [&first, &report] {
        let told = plant.explain(id);
        assert!(told.contains("confirmed by /foundry/sources/mes at "), "{told}");
        assert!(told.contains(", begins 12.000 s later, ends 30.000 s earlier"), "{told}");
        assert!(told.contains("says besides: reason"), "{told}");
    }

    // The MES is first, and tells beginning and end; the power fails in between.
    let begin = json!({ "machine": "machine-01", "number": "S-2", "from": "2025-11-24T09:00:00Z" });
    let told = post(&api, "mes/events", &begin);
    let second = told["events"][0].as_str().unwrap().to_owned();
    machine(&api, "09:00:05", "INTERRUPTED");
    wait_until("the machine confirms it", || plant.list("confirmations", &[&format!("confirms={second}")]).len() == 1);
    running.kill();
    let (_running, api) = plant.start();
    machine(&api, "09:30:00", "ACTIVE");
    wait_until("its end confirms it too", || plant.list("confirmations", &[&format!("confirms={second}")]).len() == 2);
    let end = json!({ "machine": "machine-01", "number": "S-2", "from": "2025-11-24T09:00:00Z",
                      "until": "2025-11-24T09:30:00Z", "seconds": "1800" });
    post(&api, "mes/events", &end);
    wait_until("the end is an event", || plant.downtimes().len() == 4);

    let shown = plant.show(&second);
    assert_eq!(shown["event"]["source"], "/foundry/sources/mes");
    let [confirmation] = shown["confirmations"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!(confirmation["origin"], "/foundry/rules/stops");
    assert_eq!(confirmation["reports"].as_array().unwrap().len(), 2);
    assert!(confirmation["reports"][0]["evidence"]["samples"].is_array(), "{confirmation}");
    assert_eq!(confirmation["differs"]["from"]["value"], "5.000");
    assert_eq!(confirmation["differs"]["to"]["value"], "0.000");
    assert!(plant.explain(&second).contains(", ends at the same time"));

    // One run for each stop, whoever told it first.
    let started = || plant.list("runs", &["workflow=stops"]);
    wait_until("both runs are there", || {
        started().len() == 2 && started().iter().all(|run| run["state"] == "completed")
    });
    let events: Vec<Json> = started().iter().map(|run| run["event"].clone()).collect();
    assert_eq!(events, [json!(first), json!(second)]);
}
