//! Who would answer, asked of a project, an instance and its stopped folder; and a shadow beside a call.

use crate::support::*;
use serde_json::{Value as Json, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

/// A system that makes what it is asked for, and remembers of each request its first line.
fn office() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let of = seen.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut text = Vec::new();
            let mut byte = [0];
            while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                text.push(byte[0]);
            }
            let head = String::from_utf8(text).unwrap();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = stream.read_exact(&mut body);
            let line = head.lines().next().unwrap_or_default().to_owned();
            let body = if line.starts_with("PUT") {
                json!({ "id": "9001", "state": "open", "planner": "kim" })
            } else {
                json!({ "number": "MR-000001", "status": "WAPPR", "planner": "kim" })
            };
            of.lock().unwrap().push(line);
            let body = body.to_string();
            let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    (port, seen)
}

/// The plant that moves, on a day that no test sees.
fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    copy_project(&root().join("examples/moving-a-plant"), &project);
    for file in ["routes.yaml", "identifiers/eam-next.csv"] {
        let text = fs::read_to_string(project.join(file)).unwrap().replace("2027-", "2200-");
        fs::write(project.join(file), text).unwrap();
    }
    project
}

fn start(world: &World, project: &Path, data: &Path) -> Running {
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    command.args(["--api", "127.0.0.1:0"]).env("ANDON_EAM_TRIAL", &world.eam);
    let running = Running::start(command);
    wait_ready(&running);
    running
}

#[test]
fn an_instance_its_folder_and_the_project_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let told = |of: &Path| {
        let of = of.to_str().unwrap();
        let routes = world.ok(&["list", "routes", "--where", "site=hamburg", "--data", of]);
        let nowhere = world.ok(&["list", "routes", "--where", "site=hambrug", "--data", of, "--json"]);
        assert_eq!(nowhere, "", "no rows");
        let rows = ["routes", "capabilities", "systems"].map(|kind| world.ok(&["list", kind, "--data", of, "--json"]));
        // Only who runs knows how many are under way.
        let running = r#""now":{"under_way":0,"places":4,"queued":0,"held":0,"wait_ms":null}"#;
        let rows = rows.map(|rows| rows.replace(running, r#""now":null"#));
        (routes, world.ok(&["list", "capabilities", "--data", of]), rows)
    };
    let before = told(&project);
    insta::assert_snapshot!("routes", before.0);
    insta::assert_snapshot!("capabilities", before.1);
    insta::assert_snapshot!("systems", world.ok(&["list", "systems", "--data", project.to_str().unwrap()]));
    let mut running = start(&world, &project, &data);
    assert_eq!(told(&data), before, "a running instance");
    let url = format!("http://{}/v1/routes?where=site=hamburg", api_of(&running));
    let answer: Json =
        serde_json::from_slice(&Command::new("curl").args(["-s", &url]).output().unwrap().stdout).unwrap();
    let rows: Vec<Json> = before.2[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answer["rows"], Json::from(rows));
    running.stop();
    assert_eq!(told(&data), before, "its folder");

    // A project that does not pass says so.
    fs::write(project.join("routes.yaml"), "- { capability: nothing }\n").unwrap();
    let refused = world.run(&["list", "routes", "--data", project.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).replace(dir.path().to_str().unwrap(), "DIR");
    assert_eq!(refused.status.code(), Some(1));
    insta::assert_snapshot!("routes-refused", said);
}

#[test]
fn a_shadow_hears_each_call_once_and_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (port, seen) = office();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let mut running = start(&world, &project, &data);
    let event = json!([{ "id": "ev_1", "subject": "press-01", "site": "hamburg", "time": "2026-11-22T08:00:00Z" }]);
    let url = format!("http://{}/v1/workflows/request-maintenance/runs/one?wait=30s", api_of(&running));
    let mut curl = Command::new("curl");
    curl.args(["-s", "-X", "POST", "-H", "content-type: application/json", "-d", &event.to_string(), &url]);
    let run: Json = serde_json::from_slice(&curl.output().unwrap().stdout).unwrap();
    assert_eq!(run["output"], json!({ "document": "MR-000001", "state": "WAPPR", "planner": "kim" }), "{run}");

    let attempts = || world.list("attempts", &data, &[]);
    wait_until("the shadow has answered", || attempts().len() == 2 && !attempts()[1]["outcome"].is_null());
    let data_dir = data.to_str().unwrap();
    let shown =
        || -> Json { serde_json::from_str(&world.ok(&["show", "MR-000001", "--data", data_dir, "--json"])).unwrap() };
    let first = shown();
    assert_eq!(first["shadows"][0]["verdict"], "differs", "{first}");
    assert_eq!(first["shadows"][0]["differences"], json!([".state: \"WAPPR\" / \"open\""]), "{first}");

    // Neither a kill nor the folder without its instance changes that, and nothing is sent again.
    running.kill();
    assert_eq!(shown(), first);
    let mut running = start(&world, &project, &data);
    assert_eq!(shown(), first);
    running.stop();
    let seen = seen.lock().unwrap();
    let (real, shadow): (Vec<&String>, Vec<&String>) = seen.iter().partition(|line| line.starts_with("POST"));
    assert_eq!((real.len(), shadow.len()), (1, 1), "{seen:?}");
}
