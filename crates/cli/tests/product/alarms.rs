//! Alarms that people keep quiet: by commands, across `kill -9`, and on a stopped data folder.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) fn project(dir: &Path) -> PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    fs::write(project.join("sources/platform.yaml"), "kind: http\nkeys: { a: env:ALARM_KEY }\n").unwrap();
    fs::write(project.join("policies/shelving.yaml"), "rules:\n  machine-temperature: { MaxTimeShelved: 4 h }\n")
        .unwrap();
    project
}

pub(crate) fn start(world: &World, project: &Path, data: &Path) -> (Running, String) {
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    command.args(["--api", "127.0.0.1:0"]).env("ALARM_KEY", "secret");
    let running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);
    (running, api)
}

/// Posts temperatures: minute of an hour long ago, and value.
pub(crate) fn post(api: &str, samples: &[(&str, f64)]) {
    let rows: Vec<Json> = samples
        .iter()
        .map(|(time, value)| {
            let time = format!("2025-11-24T{time}:00Z");
            serde_json::json!({ "asset": "machine-01", "signal": "temperature", "value": value, "time": time })
        })
        .collect();
    let mut curl = Command::new("curl");
    curl.args(["-s", "-f", &format!("http://{api}/v1/sources/platform/samples"), "-H", "X-Api-Key: secret"]);
    curl.args(["-H", "Content-Type: application/json", "--data-binary", &Json::Array(rows).to_string()]);
    assert!(curl.output().expect("curl is installed").status.success());
}

struct Plant {
    world: World,
    data: PathBuf,
}

impl Plant {
    fn alarms(&self, act: &str, more: &[&str]) -> (bool, String) {
        let mut args = vec!["alarms", act, "--rule", "machine-temperature", "--asset", "machine-01"];
        args.extend(["--actor", "Jürgen", "--reason", "the bearing is ordered", "--json"]);
        args.extend(["--data", self.data.to_str().unwrap()]);
        args.extend(more);
        let output = self.world.run(&args);
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn events(&self, filters: &[&str]) -> Vec<Json> {
        self.world.list("events", &self.data, filters)
    }

    /// The one row of the list of alarms.
    fn row(&self) -> Option<Json> {
        let mut rows = self.world.list("alarms", &self.data, &[]);
        assert!(rows.len() < 2, "{rows:#?}");
        rows.pop()
    }

    fn row_is(&self, gate: &str, raised: bool) -> bool {
        self.row().is_some_and(|row| row["gate"] == gate && row["raised"] == raised)
    }
}

#[test]
fn an_alarm_is_shelved_raised_late_and_its_rule_disabled() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let project = project(dir.path());
    let plant = Plant { world, data: dir.path().join("data") };
    let (mut running, api) = start(&plant.world, &project, &plant.data);

    // What makes no sense is refused, with what would.
    for (act, more, part) in [
        ("shelve", &["--for", "5 h"][..], "4 h at most"),
        ("shelve", &["--for", "soon"], "no time"),
        ("shelve", &["--for", "1h", "--rule", "gone"], "cannot be used multiple times"),
    ] {
        let (done, told) = plant.alarms(act, more);
        assert!(!done && told.contains(part), "{told}");
    }
    let gone = ["alarms", "disable", "--rule", "gone", "--asset", "machine-01", "--reason", "x", "--actor", "a"];
    let output = plant.world.run(&[&gone[..], &["--data", plant.data.to_str().unwrap()]].concat());
    assert!(String::from_utf8(output.stderr).unwrap().contains("there is no rule \"gone\""));

    // Shelved: recorded, and nothing starts.
    let (done, told) = plant.alarms("shelve", &["--for", "2h"]);
    assert!(done, "{told}");
    let answer: Json = serde_json::from_str(&told).unwrap();
    assert_eq!((&answer["actor"], &answer["once"]), (&"Jürgen".into(), &false.into()));
    post(&api, &[("12:00", 70.0), ("13:00", 110.0), ("14:01", 111.0)]);
    wait_until("the alarm is recorded", || plant.row_is("shelved", false));
    let row = plant.row().unwrap();
    assert_eq!((&row["actor"], &row["until"], &row["limit"]), (&"Jürgen".into(), &answer["until"], &"High".into()));
    let [recorded] = plant.events(&["type=asset.alarm.suppressed"]).try_into().unwrap();
    assert_eq!(recorded["data"]["suppression"]["reason"], "the bearing is ordered");
    assert_eq!(plant.events(&["type=asset.alarm"]), Vec::<Json>::new());

    // It is so after a crash, too.
    running.kill();
    assert!(plant.row_is("shelved", false), "of the stopped folder: {:?}", plant.row());
    let (mut running, _) = start(&plant.world, &project, &plant.data);
    assert!(plant.row_is("shelved", false));

    // Raised late; now the workflow starts.
    assert!(plant.alarms("unshelve", &[]).0);
    wait_until("the alarm is raised", || plant.row_is("open", true));
    let [late] = plant.events(&["type=asset.alarm"]).try_into().unwrap();
    assert_eq!(
        (&late["data"]["change"], &late["data"]["since"]),
        (&"activated".into(), &"2025-11-24T13:00:00Z".into())
    );
    assert!(late["data"]["reason"].as_str().unwrap().starts_with("raised late: it was shelved by Jürgen"), "{late}");
    assert_eq!(late["causationid"], recorded["id"]);
    wait_until("its workflow starts", || !plant.world.list("runs", &plant.data, &[]).is_empty());
    let acts = plant.events(&["type=asset.alarm.control"]);
    let changes: Vec<&str> = acts.iter().map(|event| event["data"]["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["shelved", "unshelved"]);
    let told = plant.world.ok(&["explain", late["id"].as_str().unwrap(), "--data", plant.data.to_str().unwrap()]);
    assert!(told.contains("asset.alarm"), "{told}");

    // Disabled while it stands still: the next start ends the alarm.
    running.stop();
    let (done, told) = plant.alarms("disable", &[]);
    assert!(done, "{told}");
    let (_running, api) = start(&plant.world, &project, &plant.data);
    wait_until("the rule is disabled", || plant.row_is("disabled", false));
    let [returned] = plant.events(&["type=asset.alarm", "data.change=returned"]).try_into().unwrap();
    assert!(returned["data"]["reason"].as_str().unwrap().contains("disabled the rule"), "{returned}");
    let status = plant.world.run(&["status", "--json", "--data", plant.data.to_str().unwrap()]).stdout;
    let status: Json = serde_json::from_slice(&status).unwrap();
    assert_eq!((&status["counts"]["alarms.disabled"], &status["counts"]["alarms.active"]), (&1.into(), &0.into()));
    assert!(plant.alarms("enable", &[]).0);
    wait_until("the rule is enabled", || plant.row().is_none());
    post(&api, &[("15:00", 110.0), ("16:01", 111.0)]);
    wait_until("it looks for alarms again", || plant.row_is("open", true));
}
