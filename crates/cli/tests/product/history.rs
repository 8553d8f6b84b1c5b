//! What machines said, and what became of it: samples over log and files, sources that fall silent, messages set aside.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A broker, a project of the example with one change, and a data folder.
struct Plant {
    dir: tempfile::TempDir,
    broker: Mosquitto,
    world: World,
    project: PathBuf,
    data: PathBuf,
}

impl Plant {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(&dir.path().join("broker"), "max_queued_messages 0\n").unwrap();
        let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:1".into() };
        let (project, data) = (dir.path().join("project"), dir.path().join("data"));
        copy_project(&example(), &project);
        Self { dir, broker, world, project, data }
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.project.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    fn start(&self) -> Running {
        start_instance(&self.world, &self.project, &self.data)
    }

    /// Runs a command about the data folder that must succeed.
    fn ok(&self, args: &[&str]) -> String {
        self.world.ok(&[args, &["--data", self.data.to_str().unwrap()]].concat())
    }

    fn json(&self, args: &[&str]) -> Vec<Json> {
        self.ok(&[args, &["--json"]].concat()).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Publishes one message a line.
    fn publish(&self, lines: &Path) {
        let file = fs::File::open(lines).unwrap();
        let status = Command::new("mosquitto_pub")
            .args(["-p", &self.broker.port().to_string(), "-q", "1", "-t", TOPIC, "-l"])
            .stdin(Stdio::from(file))
            .status();
        assert!(status.expect("mosquitto_pub is installed").success());
    }

    fn lines(&self, name: &str, lines: impl Iterator<Item = String>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, lines.fold(String::new(), |text, line| text + &line + "\n")).unwrap();
        path
    }
}

const TOPIC: &str = "machines/machine-01/temperature";

fn message(field: &str, second: u32) -> String {
    let (hour, minute, rest) = (second / 3_600, second / 60 % 60, second % 60);
    format!(r#"{{"{field}": {}.5, "timestamp": "2026-03-02 {hour:02}:{minute:02}:{rest:02}"}}"#, 60 + second % 20)
}

const SIGNAL: [&str; 4] = ["--asset", "machine-01", "--signal", "temperature"];
const MARCH: [&str; 4] = ["--from", "2026-03-02T00:00:00Z", "--to", "2026-03-03T00:00:00Z"];

#[test]
fn samples_are_answered_from_log_and_files_by_a_running_and_a_stopped_instance() {
    let plant = Plant::new();
    let mut instance = plant.start();
    let first = plant.lines("first", (0..3_000).map(|second| message("value", second)));
    plant.publish(&first);
    let count = |wanted: &str| plant.ok(&["list", "samples", "--count"]).trim() == wanted;
    wait_until("all are stored", || count("3000"));

    // Everything goes to files, and nothing is counted twice.
    let sealed = plant.json(&["historian", "seal"]).remove(0);
    assert_eq!((sealed["samples"].as_u64(), sealed["hot"].as_u64()), (Some(3_000), Some(0)), "{sealed}");
    let files = plant.json(&["list", "historian"]);
    assert_eq!(files.iter().map(|file| file["samples"].as_u64().unwrap()).sum::<u64>(), 3_000, "{files:#?}");
    for file in &files {
        assert!(plant.data.join(file["path"].as_str().unwrap()).is_file(), "{file}");
    }
    assert!(count("3000"));

    // What comes now is in the log only; a question is about both.
    let second = plant.lines("second", (3_000..3_600).map(|second| message("value", second)));
    plant.publish(&second);
    wait_until("these are stored", || count("3600"));
    check_answers(&plant);
    let metrics = metrics(&instance);
    for line in
        ["andon_historian_samples 3000", "andon_source_heard_seconds{source=\"machines\"}", "term=\"in the log\"} 600"]
    {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    instance.stop();
    check_answers(&plant);
    // A stopped folder is not written to.
    let refused = plant.world.run(&["historian", "seal", "--data", plant.data.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("start it with `andon run`"));

    // A file that is gone is told, and what needs it is refused by name.
    let gone = files[0]["path"].as_str().unwrap();
    fs::remove_file(plant.data.join(gone)).unwrap();
    let status = plant.world.run(&["status", "--data", plant.data.to_str().unwrap()]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(gone) && status.contains("bring it back from a copy"), "{status}");
    let range =
        plant.world.run(&[&["list", "samples", "--data", plant.data.to_str().unwrap()], &SIGNAL[..], &MARCH].concat());
    assert!(!range.status.success() && String::from_utf8_lossy(&range.stderr).contains(gone));
}

/// The answers of 3,600 samples, one a second.
fn check_answers(plant: &Plant) {
    let range = plant.json(&[&["list", "samples"][..], &SIGNAL, &MARCH].concat());
    assert_eq!(range.len(), 3_600);
    let times: Vec<&str> = range.iter().map(|row| row["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times[0] == "2026-03-02T00:00:00Z" && times[3_599] == "2026-03-02T00:59:59Z");
    let shown = plant.ok(&["show", range[7]["position"].as_str().unwrap(), "--json"]);
    let shown: Json = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["sample"]["value"], &shown["sample"]["time"]), (&range[7]["value"], &range[7]["time"]));
    let last = plant.json(&["list", "last", "--site", "foundry"]);
    assert_eq!((&last[0]["signal"], &last[0]["time"]), (&"machine-01/temperature".into(), &range[3_599]["time"]));
    let series = plant.json(&[&["list", "series"][..], &SIGNAL, &MARCH, &["--points", "100"]].concat());
    assert!(series.len() <= 100 && !series.is_empty());
    assert_eq!(series.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum::<u64>(), 3_600);
    let extreme = |field: &'static str| series.iter().map(move |bucket| bucket[field].as_f64().unwrap());
    assert_eq!((extreme("min").fold(f64::MAX, f64::min), extreme("max").fold(f64::MIN, f64::max)), (60.5, 79.5));
    let chart = plant.ok(&[&["list", "series"][..], &SIGNAL, &MARCH].concat());
    assert!(chart.starts_with("machine-01/temperature: 3600 samples, 60.5 to 79.5"), "{chart}");
    let braille = chart.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
    assert!(chart.lines().count() == 10 && braille > 100, "{chart}");
    assert_eq!(plant.json(&["list", "samples", "--count"])[0]["samples"], 3_600);
    let status: Json =
        serde_json::from_slice(&plant.world.run(&["status", "--json", "--data", plant.data.to_str().unwrap()]).stdout)
            .unwrap();
    let seams = status["seams"].as_array().unwrap();
    assert!(seams.iter().any(|seam| seam["seam"] == "log -> files"), "{seams:#?}");
    assert!(seams.iter().all(|seam| seam["holds"] == true), "{seams:#?}");
}

fn metrics(instance: &Running) -> String {
    let output = Command::new("curl").args(["-sf", &format!("http://{}/metrics", api_of(instance))]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_source_that_is_connected_and_says_nothing_is_silent() {
    let plant = Plant::new();
    plant.edit("sources/machines.yaml", "clock: recorded", "clock: live\nsilence: 2 s");
    let mut instance = plant.start();
    let source = || plant.json(&["list", "sources"]).remove(0);
    wait_until("it is silent", || source()["state"] == "silent");
    let said = source();
    assert_eq!((&said["reason"], &said["connected"]), (&"never-heard".into(), &true.into()), "{said}");
    // Questions without a time are about the last hour.
    assert_eq!(plant.json(&["list", "samples", "--asset", "machine-01"]), Vec::<Json>::new());
    assert_eq!(plant.json(&[&["list", "series"], &SIGNAL[..]].concat()), Vec::<Json>::new());
    let page = plant.ok(&["status"]);
    assert!(page.contains("  source machines: silent (never-heard)"), "{page}");
    assert!(page.contains("    next: look whether the machine publishes: `mosquitto_sub -t 'machines/+/temperature'"));
    assert!(metrics(&instance).contains("source=\"machines\",state=\"silent\",reason=\"never-heard\"} 1"));
    let one = plant.lines("one", std::iter::once(message("value", 1)));
    wait_until("it speaks", || {
        plant.publish(&one);
        source()["state"] == "connected"
    });
    wait_until("it is silent again", || source()["reason"] == "silent");
    assert!(source()["last"].is_string());

    instance.stop();
    assert_eq!(
        (source()["state"].as_str(), source()["reason"].as_str()),
        (Some("disconnected"), Some("instance-stopped"))
    );
}

#[test]
fn a_broker_that_does_not_know_us_is_told_as_that_in_both_versions() {
    for version in ["3.1.1", "5"] {
        let mut plant = Plant::new();
        let passwords = plant.dir.path().join("passwords");
        fs::write(&passwords, "").unwrap();
        let settings = format!("allow_anonymous false\npassword_file {}\n", passwords.display());
        plant.broker = Mosquitto::start(&plant.dir.path().join("strict"), &settings).unwrap();
        plant.world.mqtt = plant.broker.address();
        plant.edit("sources/machines.yaml", "version: 5\nsession: { expiry: 1 h }", &format!("version: {version}"));
        let (project, data) = (plant.project.to_str().unwrap(), plant.data.to_str().unwrap());
        let mut instance =
            Running::start(plant.world.command(&["run", project, "--data", data, "--api", "127.0.0.1:0"]));
        wait_until("it has started", || instance.text().contains("\"started\""));
        let source = || plant.json(&["list", "sources"]).remove(0);
        wait_until("it is told", || source()["reason"] == "refused-credentials");
        assert!(plant.world.run(&["status", "--data", data]).status.code() != Some(0));
        instance.stop();
    }
}

#[test]
fn messages_set_aside_come_in_once_the_mapping_is_mended_each_once_across_kill_9() {
    const MESSAGES: u32 = 2_000;
    let plant = Plant::new();
    let mut instance = plant.start();
    // The machine was updated: its value has another name now.
    let lines = plant.lines("lines", (0..MESSAGES).map(|second| message("celsius", second)));
    plant.publish(&lines);
    let set_aside = || plant.json(&["list", "sources"]).remove(0)["quarantined"].as_u64().unwrap();
    wait_until("all are set aside", || set_aside() == u64::from(MESSAGES));
    let source = plant.json(&["list", "sources"]).remove(0);
    assert_eq!((source["state"].as_str(), source["reason"].as_str()), (Some("degraded"), Some("quarantining")));
    let exceptions = plant.json(&["list", "exceptions", "--where", "state=open", "--where", "source=machines"]);
    let id = exceptions[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(exceptions.len(), 1, "{exceptions:#?}");

    // As long as nothing is mended, nothing changes.
    let data = plant.data.to_str().unwrap();
    let vain = plant.world.run(&["exceptions", "replay", &id, "--dry-run", "--data", data]);
    let text = String::from_utf8_lossy(&vain.stdout).into_owned();
    assert!(
        vain.status.code() == Some(1) && text.contains("0 would be mended") && text.contains("2000 still wrong"),
        "{text}"
    );
    instance.stop();
    plant.edit("sources/machines.yaml", "value: /value", "value: /celsius");
    instance = plant.start();
    let dry = plant.json(&["exceptions", "replay", "--source", "machines", "--dry-run"]).remove(0);
    assert_eq!((dry["mended"].as_u64(), dry["wrong"].as_u64()), (Some(u64::from(MESSAGES)), Some(0)), "{dry}");
    assert_eq!(plant.ok(&["list", "samples", "--count"]).trim(), "0");

    // Killed in the middle, it is simply started again.
    let mut replay = plant
        .world
        .command(&["exceptions", "replay", &id, "--data", data])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("a part came in", || plant.ok(&["list", "samples", "--count"]).trim() != "0");
    instance.kill();
    let _ = replay.wait();
    let mut instance = plant.start();
    let done = plant.json(&["exceptions", "replay", "--source", "machines"]);
    assert_eq!(done[0]["wrong"], 0, "{done:#?}");
    assert_eq!(plant.ok(&["list", "samples", "--count"]).trim(), MESSAGES.to_string());
    assert!(plant.json(&["list", "quarantine"]).is_empty());
    let exception = &plant.json(&["list", "exceptions", "--where", "source=machines"])[0];
    assert_eq!(exception["state"], "resolved", "{exception}");
    instance.stop();
    assert_eq!(plant.ok(&["list", "samples", "--count"]).trim(), MESSAGES.to_string());
}

#[test]
fn questions_that_are_half_asked_are_refused_with_what_to_say() {
    let dir = tempfile::tempdir().unwrap();
    let world = World { mqtt: "mqtt://127.0.0.1:1".into(), eam: "http://127.0.0.1:1".into() };
    let mut said = String::new();
    for args in [
        &["list", "events", "--points", "10"][..],
        &["list", "samples", "--signal", "heat"],
        &["list", "samples", "--asset", "m-1", "--where", "quality=good"],
        &["list", "series", "--asset", "m-1"],
        &["list", "series", "--asset", "m-1", "--signal", "heat", "--from", "yesterday"],
        &["exceptions", "replay"],
    ] {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        write!(said, "$ andon {}\n{}", args.join(" "), String::from_utf8_lossy(&output.stderr)).unwrap();
    }
    drop(dir);
    insta::assert_snapshot!("half-asked", said);
}
