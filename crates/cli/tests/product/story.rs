//! From a recorded machine to a work request, as a user runs it: real broker, real processes, real HTTP.

use crate::support::*;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// What a series must give under the example's rule.
struct Expected {
    file: PathBuf,
    activations: usize,
    without_on_delay: usize,
    /// Windows in which an anomaly is labelled, as text that compares like the times.
    windows: Vec<(String, String)>,
}

/// The recorded series where it is at hand, else the synthetic one.
fn series() -> Expected {
    if let Some(file) = recorded() {
        eprintln!("data: recorded, {}", file.display());
        let labels = fs::read_to_string(file.parent().unwrap().join("labels.json")).unwrap();
        let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
        let windows = labels["combined_windows"].as_object().unwrap().values().next().unwrap().as_array().unwrap();
        let time = |v: &serde_json::Value| v.as_str().unwrap().get(..19).unwrap().replace(' ', "T");
        let windows = windows.iter().map(|w| (time(&w[0]), time(&w[1]))).collect();
        return Expected { file, activations: 9, without_on_delay: 12, windows };
    }
    eprintln!("data: synthetic");
    Expected { file: synthetic(), activations: 2, without_on_delay: 3, windows: Vec::new() }
}

struct Plant {
    _dir: tempfile::TempDir,
    broker: Mosquitto,
    world: World,
    office_port: u16,
    requests: PathBuf,
    data: PathBuf,
    project: PathBuf,
}

fn plant() -> Plant {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let office_port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{office_port}") };
    let project = dir.path().join("project");
    copy_project(&example(), &project);
    Plant {
        broker,
        world,
        office_port,
        requests: dir.path().join("requests.jsonl"),
        data: dir.path().join("data"),
        project,
        _dir: dir,
    }
}

impl Plant {
    fn feed_args<'a>(&'a self, file: &'a Path) -> Vec<&'a str> {
        vec![
            "feed",
            file.to_str().unwrap(),
            "--project",
            self.project.to_str().unwrap(),
            "--data",
            self.data.to_str().unwrap(),
            "--speed",
            "max",
        ]
    }

    /// Waits until every sample has been read by the rules and every call has its effect.
    fn wait_done(&self, rows: usize, activations: usize) {
        wait_until("all samples are stored", || {
            let sources = self.world.list("sources", &self.data, &[]);
            sources
                .first()
                .is_some_and(|s| s["stored"].as_u64().unwrap() + s["duplicate"].as_u64().unwrap() >= rows as u64)
        });
        wait_until("all calls are delivered", || {
            self.world.list("calls", &self.data, &["state=delivered"]).len() >= activations
        });
    }

    /// Exactly one request per activation, each explained back to its samples.
    fn check(&self, expected: &Expected) {
        let activations = self.world.activations(&self.data);
        assert_eq!(activations.len(), expected.activations, "{activations:#?}");
        let inside =
            expected.windows.iter().filter(|(from, to)| activations.iter().any(|t| t >= from && t <= to)).count();
        assert_eq!(inside, expected.windows.len(), "every labelled window has an activation: {activations:#?}");
        let outside = activations.iter().filter(|t| !expected.windows.iter().any(|(from, to)| *t >= from && *t <= to));
        assert!(expected.windows.is_empty() || outside.count() <= 6);
        let requests = office_requests(&self.requests);
        let references: BTreeSet<&str> = requests.iter().map(|r| r["reference"].as_str().unwrap()).collect();
        assert_eq!(requests.len(), expected.activations, "one request per activation: {requests:#?}");
        assert_eq!(references.len(), requests.len(), "each with a reference of its own");
        for reference in references {
            let explained = self.world.ok(&["explain", reference, "--data", self.data.to_str().unwrap(), "--json"]);
            let lineage: serde_json::Value = serde_json::from_str(&explained).unwrap();
            let events = lineage["events"].as_array().unwrap();
            let activated = events.iter().find(|e| e["event"]["data"]["change"] == "activated").unwrap();
            assert!(activated["evidence"]["samples"].as_array().unwrap().len() > 1, "{explained}");
            assert_eq!(activated["runs"][0]["calls"][0]["call"]["reference"], reference);
        }
        let status: serde_json::Value = serde_json::from_slice(
            &self.world.run(&["status", "--data", self.data.to_str().unwrap(), "--json"]).stdout,
        )
        .unwrap();
        for seam in status["seams"].as_array().unwrap() {
            assert_eq!(seam["holds"], true, "{seam}");
        }
    }
}

fn rows(file: &Path) -> usize {
    fs::read_to_string(file).unwrap().lines().count() - 1
}

#[test]
fn a_recorded_machine_opens_one_request_per_activation() {
    let plant = plant();
    let expected = series();
    let _office = start_office(&plant.world, plant.office_port, &plant.requests);
    let mut instance = start_instance(&plant.world, &plant.project, &plant.data);
    plant.world.ok(&plant.feed_args(&expected.file));
    plant.wait_done(rows(&expected.file), expected.activations);
    plant.check(&expected);
    // The same answers come from the stopped folder.
    instance.stop();
    plant.check(&expected);
}

#[test]
fn the_same_after_kill_9_in_the_middle_and_a_restart() {
    let plant = plant();
    let expected = series();
    let _office = start_office(&plant.world, plant.office_port, &plant.requests);
    let mut instance = start_instance(&plant.world, &plant.project, &plant.data);
    let mut feed = plant.world.command(&plant.feed_args(&expected.file)).stderr(Stdio::null()).spawn().unwrap();
    for part in [3, 2] {
        let wanted = rows(&expected.file) as u64 / part;
        wait_until("a part has been stored", || {
            let sources = plant.world.list("sources", &plant.data, &[]);
            sources.first().is_some_and(|s| s["stored"].as_u64().unwrap() >= wanted)
        });
        instance.kill();
        instance = start_instance(&plant.world, &plant.project, &plant.data);
    }
    assert!(feed.wait().unwrap().success());
    plant.wait_done(rows(&expected.file), expected.activations);
    plant.check(&expected);
    instance.stop();
}

#[test]
fn a_clean_stop_waits_for_the_answer_that_is_on_its_way() {
    let plant = plant();
    let office = TcpListener::bind(("127.0.0.1", plant.office_port)).unwrap();
    let mut instance = start_instance(&plant.world, &plant.project, &plant.data);
    plant.world.ok(&plant.feed_args(&synthetic()));
    let (mut asked, _) = office.accept().unwrap();
    let mut request = [0; 4096];
    assert!(asked.read(&mut request).unwrap() > 0);
    let log = instance.log.clone();
    let answer = thread::spawn(move || {
        wait_until("the instance stops", || log.lock().unwrap().iter().any(|line| line.contains("\"stopping\"")));
        let body = r#"{"number":"MR-000001","status":"open"}"#;
        let length = body.len();
        write!(asked, "HTTP/1.1 201 Created\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
    });
    instance.stop();
    answer.join().unwrap();
    let delivered = plant.world.list("calls", &plant.data, &["state=delivered"]);
    assert_eq!(delivered.len(), 1, "the answer is kept: {:?}", plant.world.list("calls", &plant.data, &[]));
    assert_eq!(delivered[0]["document"], "MR-000001");
    assert_eq!(plant.world.list("attempts", &plant.data, &[]).len(), 1, "and nothing was begun at the end");
}

#[test]
fn without_on_delay_short_excursions_alarm_too() {
    let plant = plant();
    let expected = series();
    let class = plant.project.join("classes/machine.yaml");
    let text = fs::read_to_string(&class).unwrap().replace("  temperature.OnDelay: 60 min\n", "");
    fs::write(&class, text).unwrap();
    let _office = start_office(&plant.world, plant.office_port, &plant.requests);
    let _instance = start_instance(&plant.world, &plant.project, &plant.data);
    plant.world.ok(&plant.feed_args(&expected.file));
    plant.wait_done(rows(&expected.file), expected.without_on_delay);
    assert_eq!(plant.world.activations(&plant.data).len(), expected.without_on_delay);
}

#[test]
fn without_a_route_the_project_is_refused() {
    let plant = plant();
    fs::write(plant.project.join("routes.yaml"), "[]\n").unwrap();
    let output = plant.world.run(&["check", plant.project.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("maintenance.request-work"), "{text}");
    let output = plant.world.run(&["run", plant.project.to_str().unwrap(), "--data", plant.data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "it does not run either");
}

#[test]
fn while_the_office_is_down_calls_wait_and_are_made_once_when_it_is_back() {
    let plant = plant();
    let expected = Expected { file: synthetic(), activations: 2, without_on_delay: 3, windows: Vec::new() };
    let mut instance = start_instance(&plant.world, &plant.project, &plant.data);
    plant.world.ok(&plant.feed_args(&expected.file));
    // Both are about the same machine: the second keeps its place behind the first, which is attempted.
    wait_until("the first call was attempted", || {
        let calls = plant.world.list("calls", &plant.data, &[]);
        calls.len() == 2 && calls.iter().any(|c| c["attempts"].as_u64() >= Some(1))
    });
    for call in plant.world.list("calls", &plant.data, &[]) {
        assert!(["waiting", "in-flight"].contains(&call["state"].as_str().unwrap()), "{call}");
    }
    // A restart in the meantime loses none.
    instance.kill();
    let _instance = start_instance(&plant.world, &plant.project, &plant.data);
    let _office = start_office(&plant.world, plant.office_port, &plant.requests);
    plant.wait_done(rows(&expected.file), expected.activations);
    plant.check(&expected);
}

#[test]
fn a_broker_that_dies_and_comes_back_loses_nothing() {
    let mut plant = plant();
    let expected = Expected { file: synthetic(), activations: 2, without_on_delay: 3, windows: Vec::new() };
    let _office = start_office(&plant.world, plant.office_port, &plant.requests);
    let _instance = start_instance(&plant.world, &plant.project, &plant.data);
    let since = |plant: &Plant| plant.world.list("sources", &plant.data, &[])[0]["connected_since"].clone();
    let first = since(&plant);
    assert!(first.is_string(), "it is connected: {first}");
    plant.broker.restart().unwrap();
    // Until the end of the first connection is seen it still counts: only another one has another time, and it has one
    // once the new broker has taken the subscription, which is what it passes messages on by.
    wait_until("the source is connected and subscribed anew", || {
        let now = since(&plant);
        now.is_string() && now != first
    });
    plant.world.ok(&plant.feed_args(&expected.file));
    plant.wait_done(rows(&expected.file), expected.activations);
    plant.check(&expected);
}

#[test]
fn after_a_crash_a_source_is_connected_only_once_it_is_so_again() {
    let mut plant = plant();
    let mut instance = start_instance(&plant.world, &plant.project, &plant.data);
    // Its row goes on saying that it is connected: nobody was there to say otherwise.
    instance.kill();
    plant.broker.kill();
    let (project, data) = (plant.project.to_str().unwrap(), plant.data.to_str().unwrap());
    let instance = Running::start(plant.world.command(&["run", project, "--data", data, "--api", "127.0.0.1:0"]));
    wait_until("it has started", || instance.text().contains("\"started\""));
    let source = |plant: &Plant| plant.world.list("sources", &plant.data, &[]).remove(0);
    let told = source(&plant);
    assert_eq!((&told["connected"], &told["state"]), (&false.into(), &"disconnected".into()), "{told}");
    assert!(told["connected_since"].is_null() && told["remedy"].is_string(), "{told}");
    plant.broker.restart().unwrap();
    wait_until("it is connected", || source(&plant)["connected"] == true);
    assert!(source(&plant)["connected_since"].is_string());
}

#[test]
fn an_answer_that_is_lost_is_searched_for_and_nothing_is_requested_twice() {
    let plant = plant();
    let expected = Expected { file: synthetic(), activations: 2, without_on_delay: 3, windows: Vec::new() };
    let _office = start_office(&plant.world, plant.office_port, &plant.requests);
    let fault = r#"{"next":1,"kind":"lose-answer","method":"POST"}"#;
    let told = Command::new("curl")
        .args(["-sf", "-H", "content-type: application/json", "-d", fault])
        .arg(format!("http://127.0.0.1:{}/office/faults", plant.office_port))
        .output()
        .expect("curl is installed");
    assert!(told.status.success(), "{told:?}");
    let _instance = start_instance(&plant.world, &plant.project, &plant.data);
    plant.world.ok(&plant.feed_args(&expected.file));
    plant.wait_done(rows(&expected.file), expected.activations);
    plant.check(&expected);
    let attempts = plant.world.list("attempts", &plant.data, &[]);
    let of = |step: &str, class: &str| {
        attempts.iter().filter(|a| a["step"] == step && a["outcome"]["class"] == class).count()
    };
    assert_eq!((of("send", "unknown"), of("search", "ok"), of("send", "ok")), (1, 1, 1), "{attempts:#?}");
}
