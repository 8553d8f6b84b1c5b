//! Runs that are started by hand, by curl and across `kill -9`: where, how many at once, how large, and how they are
//! told.

use crate::support::*;
use serde_json::Value as Json;
use std::{fs, path::Path, process::Command, thread};

/// A request, and a part that goes on by itself.
const REPAIR: &str = r#"do:
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
  - part:
      run: { workflow: { namespace: foundry, name: rest, version: 1.0.0 } }
"#;

fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    let workflow = |name: &str, rest: &str| {
        let head = format!("document: {{ dsl: 1.0.3, namespace: foundry, name: {name}, version: 1.0.0 }}\n");
        fs::write(project.join(format!("workflows/{name}.yaml")), head + rest).unwrap();
    };
    workflow("add", "do:\n  - sum: { set: { sum: \"${ $workflow.input.a + $workflow.input.b }\" } }\n");
    workflow("rest", "do:\n  - rest: { wait: { hours: 1 } }\n");
    workflow("few", "metadata: { limits: { runs: 1, payload: 100 B } }\ndo:\n  - rest: { wait: { hours: 1 } }\n");
    workflow("repair", REPAIR);
    workflow(
        "near",
        "schedule: { on: { one: { with: { type: asset.state } } } }\nmetadata: { placement: edge }\n\
        do:\n  - give: { set: { given: true } }\n",
    );
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

#[test]
fn a_run_by_hand_is_explained_from_each_end_and_shown_with_what_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let folder = data.to_str().unwrap();
    let _office = start_office(&world, port, &dir.path().join("requests.jsonl"));
    let mut running = start_instance(&world, &project, &data);
    let (status, _, run) =
        post(&api_of(&running), "/v1/workflows/repair/runs/order%2010%2F4711?by=ann%20lee", r#"{"what": "a screw"}"#);
    assert_eq!(status, 201, "{run}");
    let run = run["id"].as_str().unwrap().to_owned();
    wait_until("its part waits", || world.list("runs", &data, &["workflow=rest", "state=waiting"]).len() == 1);
    let rest = world.list("runs", &data, &["workflow=rest"]).remove(0);
    let call = world.list("calls", &data, &[]).remove(0);
    let text = |of: &Json, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let ends = [
        "order 10/4711".to_owned(),
        run.clone(),
        text(&rest, "id"),
        text(&call, "id"),
        text(&call, "reference"),
        text(&call, "document"),
    ];
    for stopped in [false, true] {
        if stopped {
            running.stop();
        }
        for end in &ends {
            let json = world.ok(&["explain", end, "--data", folder, "--json"]);
            let lineage: Json = serde_json::from_str(&json).unwrap();
            let begun = &lineage["runs"][0];
            assert_eq!(begun["run"]["id"], run.as_str(), "{end}: {lineage}");
            assert_eq!(begun["calls"][0]["call"]["document"], call["document"], "{end}");
            assert_eq!(begun["children"][0]["run"]["state"], "waiting", "{end}");
        }
        let told = world.ok(&["explain", &text(&call, "document"), "--data", folder]);
        let lines: Vec<&str> = told.lines().map(str::trim_start).collect();
        let begins = |of: &str| lines.iter().any(|line| line.starts_with(of));
        assert!(begins("started by hand by ann lee, with the key order 10/4711, at "), "{told}");
        assert!(begins(r#"input {"what":"a screw"}"#) && begins(&format!("run {run} of repair waiting")), "{told}");
        assert!(begins(&format!("run {} of rest waiting", text(&rest, "id"))), "{told}");
        assert!(told.contains(", started by /do/1/part"), "{told}");
        for name in [&run, &ends[0]] {
            let shown: Json = serde_json::from_str(&world.ok(&["show", name, "--data", folder])).unwrap();
            assert_eq!(shown["run"]["id"], run.as_str());
            let child = &shown["children"][0];
            assert_eq!((&child["id"], &child["state"]), (&rest["id"], &"waiting".into()), "{shown}");
            assert_eq!((&child["pointer"], &child["wait"]), (&"/do/1/part".into(), &true.into()), "{shown}");
        }
    }
    let nothing = world.run(&["explain", "order 10/4712", "--data", folder]);
    assert!(!nothing.status.success() && String::from_utf8_lossy(&nothing.stderr).contains("the key of a run"));
}

#[test]
fn a_start_by_hand_waits_for_a_place_and_is_refused_where_it_is_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let mut running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    let (status, _, first) = post(&api, "/v1/workflows/few/runs/one?wait=1s", "");
    assert_eq!((status, first["state"].as_str()), (202, Some("waiting")), "{first}");
    let (status, location, second) = post(&api, "/v1/workflows/few/runs/two", "");
    assert_eq!((status, second["state"].as_str()), (201, Some("queued")), "{second}");
    let (status, _, third) = post(&api, "/v1/workflows/few/runs/three?wait=1s", "");
    assert_eq!((status, third["state"].as_str()), (202, Some("queued")), "{third}");
    assert_eq!(post(&api, "/v1/workflows/few/runs/two", "").0, 409, "it is there although it has not begun");

    // 100 bytes are allowed: exactly that many are taken, one more is refused with both numbers.
    let input = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let (status, _, problem) = post(&api, "/v1/workflows/few/runs/large", &input(101));
    assert_eq!(status, 413, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("101 bytes") && detail.contains("allows 100"), "{problem}");
    assert!(problem["remedy"].is_string(), "{problem}");
    assert!(world.list("runs", &data, &["key=large"]).is_empty(), "nothing was started");
    assert_eq!(post(&api, "/v1/workflows/few/runs/large", &input(100)).0, 201);

    // What waits for a place outlives `kill -9`, and begins in its order.
    running.kill();
    let running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    let queued = world.list("runs", &data, &["state=queued"]);
    let keys: Vec<&str> = queued.iter().map(|run| run["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["two", "three", "large"]);
    let cancel = format!("/v1/runs/{}/cancel", first["id"].as_str().unwrap());
    assert_eq!(post(&api, &cancel, r#"{"reason": "enough"}"#).0, 200);
    wait_until("the second has begun", || world.list("runs", &data, &["state=waiting", "key=two"]).len() == 1);
    assert_eq!(world.list("runs", &data, &["state=queued"]).len(), 2);
    assert_eq!(location, format!("/v1/show/{}", second["id"].as_str().unwrap()));
}

#[test]
fn a_workflow_that_is_placed_elsewhere_says_where_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let project = project(dir.path());
    let instances = "name: machine-temperature\nformat: 1\ninstances:\n  \
        beside: { role: edge, zone: plant, api: \"127.0.0.1:8731\" }\n  \
        centre: { role: hub, zone: plant, api: \"127.0.0.1:8732\" }\n";
    fs::write(project.join("andon.yaml"), instances).unwrap();
    for (instance, here, elsewhere, words) in [
        ("beside", "near", "add", ["at the hub", "of the role edge", "centre (http://127.0.0.1:8732)"]),
        ("centre", "add", "near", ["at the edge", "of the role hub", "beside (http://127.0.0.1:8731)"]),
    ] {
        let data = dir.path().join(instance);
        let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
        command.args(["--api", "127.0.0.1:0", "--instance", instance]);
        let running = Running::start(command);
        wait_ready(&running);
        let api = api_of(&running);
        let (status, _, problem) = post(&api, &format!("/v1/workflows/{elsewhere}/runs/one"), r#"{"a": 1, "b": 2}"#);
        assert_eq!((status, problem["type"].as_str()), (421, Some("andon:misdirected")), "{problem}");
        let told = format!("{} {}", problem["detail"], problem["remedy"]);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert!(world.list("runs", &data, &[]).is_empty(), "nothing was started");
        let path = format!("/v1/workflows/{here}/runs/one?wait=30s");
        let (status, _, run) = post(&api, &path, r#"{"a": 1, "b": 2}"#);
        assert_eq!((status, run["state"].as_str()), (200, Some("completed")), "{run}");
    }
}

#[test]
fn a_run_that_its_workflow_has_failed_goes_over_to_the_corrected_one() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:9".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let mut running = start_instance(&world, &project, &data);
    let body = r#"{"a": 1, "b": {}}"#;
    let (status, _, run) = post(&api_of(&running), "/v1/workflows/add/runs/two?wait=30s", body);
    assert_eq!((status, run["state"].as_str()), (200, Some("faulted")), "{run}");
    let id = run["id"].as_str().unwrap();
    running.stop();

    let file = project.join("workflows/add.yaml");
    let mended = fs::read_to_string(&file).unwrap().replace("$workflow.input.b", "($workflow.input.b | length)");
    fs::write(&file, mended).unwrap();
    let _running = start_instance(&world, &project, &data);
    let of_run = format!("run={id}");
    let exception = world.list("exceptions", &data, &[&of_run]).pop().unwrap();
    let place = data.to_str().unwrap();
    let migrate = ["runs", "migrate", id, "--reason", "it takes a list", "--data", place];
    let told = world.ok(&[&migrate[..], &["--dry-run"]].concat());
    assert_eq!(told.trim(), format!("{id} fits (faulted)"));
    let told = world.ok(&migrate);
    assert!(told.contains("has gone over; retry its exception"), "{told}");
    assert!(!world.run(&migrate).status.success(), "it has the definition in force already");
    world.ok(&["exceptions", "retry", exception["id"].as_str().unwrap(), "--reason", "mended", "--data", place]);
    let completed = || world.list("runs", &data, &["state=completed", "key=two"]).pop();
    wait_until("the run has gone on", || completed().is_some());
    let run = completed().unwrap();
    assert_eq!((&run["output"]["sum"], run["taken_up"].as_u64()), (&Json::from(1), Some(1)), "{run}");
    let exception = world.list("exceptions", &data, &[&of_run]).pop().unwrap();
    assert_eq!(exception["state"], "resolved");
    let acts: Vec<_> = world.list("audit", &data, &[]).into_iter().map(|row| row["act"].clone()).collect();
    assert!(["run.migrate", "exception.retry"].iter().all(|act| acts.contains(&Json::from(*act))), "{acts:?}");
}
