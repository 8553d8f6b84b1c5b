//! The doctor over folders of real instances: one that runs, one that was tampered with, one that a crash left.

use crate::support::*;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn examined(world: &World, data: &Path, more: &[&str]) -> (Output, String) {
    let mut args = vec!["doctor", "--data", data.to_str().unwrap()];
    args.extend(more);
    let output = world.run(&args);
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    (output, told)
}

/// Replaces a text in the database by one of the same length, as an editor of bytes would: no page and no index of it
/// is damaged by that.
fn tamper(data: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = data.join("andon.db");
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "it is there");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    fs::write(&path, bytes).unwrap();
}

#[test]
fn one_row_of_what_people_did_that_was_tampered_with_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (dir.path().join("project"), dir.path().join("data"));
    copy_project(&example(), &project);
    let mut instance = start_instance(&world, &project, &data);
    let (topic, port) = ("machines/machine-01/temperature", broker.port().to_string());
    let publish = |payload: &str| {
        let args = ["-p", &port, "-q", "1", "-t", topic, "-m", payload];
        assert!(Command::new("mosquitto_pub").args(args).status().unwrap().success());
    };
    publish("{\"value\": 71.5, \"timestamp\": \"2026-03-02 09:00:00\"}");
    publish("{\"value\": \"warm\"}");
    wait_until("the broken one is set aside", || world.list("exceptions", &data, &["kind=input"]).len() == 1);
    let exception = world.list("exceptions", &data, &[])[0]["id"].as_str().unwrap().to_owned();
    let at = ["--data", data.to_str().unwrap()];
    for (person, reason) in [("mia", "she knows it"), ("jonas", "he is on duty"), ("mia", "she is back")] {
        let act = ["exceptions", "assign", &exception, "--to", person, "--reason", reason];
        world.ok(&[act.as_slice(), &at].concat());
    }

    // Beside the running instance, and with nothing to mend.
    let (output, told) = examined(&world, &data, &["--repair"]);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("looked at beside the running instance"), "{told}");
    assert!(told.contains("everything is as it should be"), "{told}");
    instance.stop();
    let (output, told) = examined(&world, &data, &[]);
    assert!(output.status.success(), "{told}");
    let rows = world.list("audit", &data, &[]);
    assert!(rows.len() >= 4, "{rows:#?}");

    let whole = fs::read(data.join("andon.db")).unwrap();
    tamper(&data, "he is on duty", "he was absent");
    let (output, told) = examined(&world, &data, &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let number = rows.iter().position(|row| row.to_string().contains("on duty")).unwrap() + 1;
    let wanted = format!("error A7110: audit row {number}: its text is not the one that was written");
    assert!(told.contains(&wanted), "{told}");
    assert!(told.contains("1 thing is wrong"), "every other check passes: {told}");
    let (output, told) = examined(&world, &data, &["--repair", "--json"]);
    assert_eq!(output.status.code(), Some(1), "nobody makes the chain anew: {told}");
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["ailments"][0]["code"], "A7110", "{report:#}");
    assert_eq!(report["repaired"].as_array().unwrap().len(), 0);

    fs::write(data.join("andon.db"), whole).unwrap();
    let (output, told) = examined(&world, &data, &[]);
    assert!(output.status.success(), "{told}");
}

#[test]
fn what_a_crash_left_is_mended_and_the_instance_starts() {
    let dir = tempfile::tempdir().unwrap();
    let world = World { mqtt: "mqtt://127.0.0.1:1".into(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (dir.path().join("project"), dir.path().join("data"));
    copy_project(&example(), &project);
    let run = |world: &World| {
        let args = ["run", project.to_str().unwrap(), "--data", data.to_str().unwrap(), "--api", "127.0.0.1:0"];
        let running = Running::start(world.command(&args));
        wait_until("it has started", || running.text().contains("\"started\""));
        running
    };
    let mut instance = run(&world);
    instance.kill();
    let (output, told) = examined(&world, &data, &[]);
    assert!(output.status.success(), "a kill damages nothing: {told}");
    fs::write(data.join("log/00000000000000000099.seg.new"), "half").unwrap();
    fs::remove_file(data.join("reserve")).unwrap();
    fs::remove_file(data.join("format")).unwrap();
    let (output, told) = examined(&world, &data, &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for code in ["A7102", "A7106", "A7116"] {
        assert!(told.contains(code), "{code}: {told}");
    }
    let (output, told) = examined(&world, &data, &["--repair"]);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("repaired A7102") && told.contains("everything is as it should be"), "{told}");
    run(&world).stop();
    let (output, told) = examined(&world, &data, &[]);
    assert!(output.status.success(), "{told}");
    let nothing = world.run(&["doctor", "--data", dir.path().to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("is no data folder"));
}
