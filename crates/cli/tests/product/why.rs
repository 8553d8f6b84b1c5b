//! What a rule saw, why it did not fire and what it costs: by commands, of a running instance and of a stopped folder.

use crate::{
    alarms::{post, project, start},
    support::*,
};
use serde_json::Value as Json;

fn ask(world: &World, data: &str, at: &str) -> (bool, Json) {
    let args =
        ["why-not", "--rule", "machine-temperature", "--asset", "machine-01", "--at", at, "--data", data, "--json"];
    let output = world.run(&args);
    let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{error}")))
}

/// Before the delay, after it, and after the return.
fn answers(world: &World, data: &str) -> Vec<Json> {
    let (not_yet, before) = ask(world, data, "2025-11-24T13:30:00Z");
    let (not, fired) = ask(world, data, "2025-11-24T14:30:00Z");
    let (still, after) = ask(world, data, "2025-11-24T16:30:00Z");
    assert!(not_yet && !not && still, "{before}\n{fired}\n{after}");
    assert_eq!(before["findings"][0]["reason"], "delay-runs", "{before}");
    let told = before["findings"][0]["text"].as_str().unwrap();
    assert!(told.contains("since 2025-11-24T13:00:00Z") && told.contains("fired at 2025-11-24T14:00:00Z"), "{told}");
    assert_eq!(fired["findings"][0]["reason"], "fired", "{fired}");
    assert_eq!(after["findings"][0]["reason"], "not-beyond", "{after}");
    assert!(after["findings"][0]["next"].as_str().unwrap().starts_with("andon list samples --asset machine-01"));
    vec![before["findings"][0].clone(), fired["fired"].clone(), after["findings"][0].clone()]
}

#[test]
fn a_rule_says_what_it_saw_and_why_it_did_not_fire() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let project = project(dir.path());
    let folder = dir.path().join("data");
    let data = folder.to_str().unwrap();
    let (mut running, api) = start(&world, &project, &folder);
    post(
        &api,
        &[("12:00", 70.0), ("13:00", 110.0), ("14:01", 111.0), ("15:00", 70.0), ("16:10", 70.0), ("17:00", 71.0)],
    );
    wait_until("the alarm has returned", || {
        !world.list("events", &folder, &["type=asset.alarm", "data.change=returned"]).is_empty()
    });

    // Why not, running; the event that it names is the one that is explained.
    let found = answers(&world, data);
    let [activated] = world.list("events", &folder, &["type=asset.alarm", "data.change=activated"]).try_into().unwrap();
    assert_eq!(found[1], activated["id"]);
    let told = world.ok(&["explain", found[1].as_str().unwrap(), "--data", data]);
    for part in ["settings kind limit, signal temperature", "OnDelay 1 h", "timer OnDelay 1 h, 2025-11-24T13:00:00Z to"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let shown: Json = serde_json::from_str(&world.ok(&["show", found[1].as_str().unwrap(), "--data", data])).unwrap();
    assert_eq!(shown["evidence"]["saw"]["settings"]["kind"], "limit");
    let text = world.ok(&[
        "why-not",
        "--rule",
        "machine-temperature",
        "--asset",
        "machine-01",
        "--at",
        "2025-11-24T13:30:00Z",
        "--data",
        data,
    ]);
    assert!(text.starts_with("machine-temperature had not fired for machine-01 at 2025-11-24T13:30:00Z:"), "{text}");
    let wrong = world.run(&["why-not", "--rule", "machine-temperatur", "--asset", "machine-01", "--data", data]);
    let wrong = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.contains("there is no rule") && wrong.contains("did you mean machine-temperature?"), "{wrong}");

    // What it costs, running: measured.
    let row = |rows: Vec<Json>, of: &str| rows.into_iter().find(|row| row["of"] == of).unwrap();
    wait_until("its cost is measured", || {
        row(world.list("rules", &folder, &[]), "rule")["evaluations"].as_u64().is_some_and(|count| count > 0)
    });
    let rule = row(world.list("rules", &folder, &["rule=machine-temperature"]), "rule");
    assert_eq!(
        (&rule["kind"], &rule["class"], &rule["assets"]),
        (&"limit".into(), &"machine".into(), &1.into()),
        "{rule}"
    );
    assert!(rule["ns_per_evaluation"].as_f64().unwrap() > 0.0, "{rule}");
    let class = row(world.list("rules", &folder, &["class=machine"]), "class");
    assert_eq!(class["state_bytes"], rule["state_bytes"]);

    // The same of the stopped folder, but for the time.
    running.stop();
    assert_eq!(answers(&world, data), found);
    let rule = row(world.list("rules", &folder, &["of=rule"]), "rule");
    assert_eq!(rule["evaluations"], Json::Null);
    assert!(rule["state_bytes"].as_u64().unwrap() > 0, "{rule}");
}
