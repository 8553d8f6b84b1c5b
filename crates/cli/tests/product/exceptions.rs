//! What people do about exceptions: one by one and in groups, with exact counts, each act in the audit.

use crate::support::*;
use serde_json::{Value as Json, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A request whose title the office refuses where it has more than one line.
const BOOK: &str = r"document: { dsl: 1.0.3, namespace: foundry, name: book, version: 1.0.0 }
do:
  - request:
      call: maintenance.request-work
      with:
        title: ${ $workflow.input.title }
        description: ${ $workflow.input.what }
        asset: machine-01
        site: foundry
        priority: 2
";

struct Plant {
    world: World,
    project: PathBuf,
    data: PathBuf,
    office: PathBuf,
}

impl Plant {
    fn andon(&self, args: &[&str]) -> Output {
        let data = self.data.to_str().unwrap();
        self.world.command(&[args, &["--data", data]].concat()).env("USER", "mia").output().expect("the program starts")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.andon(args);
        assert!(output.status.success(), "andon {args:?}\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn rows(&self, args: &[&str]) -> Vec<Json> {
        self.ok(&[args, &["--json"]].concat()).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn list(&self, kind: &str, filters: &[&str]) -> Vec<Json> {
        self.world.list(kind, &self.data, filters)
    }

    fn unfinished(&self) -> Vec<Json> {
        let mut rows = self.rows(&["exceptions"]);
        rows.reverse();
        rows
    }

    /// What was booked, in the order of the office.
    fn booked(&self) -> Vec<String> {
        let lines = office_requests(&self.office);
        lines.iter().filter_map(|line| line.get("longDescription")?.as_str().map(str::to_owned)).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status and body.
fn post(api: &str, path: &str, body: &str) -> (u16, Json) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-X", "POST", "-w", "\n%{http_code}", &format!("http://{api}{path}")]);
    let output = curl.args(["-H", "Content-Type: application/json", "-d", body]).output().expect("curl is installed");
    let text = text(&output.stdout);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Json::Null))
}

fn plant(dir: &Path) -> (Plant, Mosquitto, Running) {
    let broker = Mosquitto::start(&dir.join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let plant = Plant { world, project: dir.join("project"), data: dir.join("data"), office: dir.join("eam.jsonl") };
    copy_project(&example(), &plant.project);
    fs::write(plant.project.join("workflows/book.yaml"), BOOK).unwrap();
    let office = start_office(&plant.world, port, &plant.office);
    (plant, broker, office)
}

/// Starts a run for each name.
fn book(api: &str, names: &[String], title: &str) {
    for name in names {
        let body = json!({ "title": title, "what": name }).to_string();
        let (status, answer) = post(api, &format!("/v1/workflows/book/runs/{name}"), &body);
        assert_eq!(status, 201, "{answer}");
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n:02}")).collect()
}

#[test]
fn a_group_is_retried_in_order_once_its_cause_is_mended() {
    const MANY: usize = 12;
    let dir = tempfile::tempdir().unwrap();
    let (plant, _broker, _office) = plant(dir.path());
    let mut running = start_instance(&plant.world, &plant.project, &plant.data);
    let api = api_of(&running);
    let all = names("one", MANY);
    book(&api, &all, "belt\nloose");
    wait_until("all are refused", || plant.unfinished().len() == MANY);

    // One cause is one group, whatever differs from call to call.
    let groups = plant.rows(&["exceptions", "groups"]);
    assert_eq!(groups.len(), 1, "{groups:#?}");
    assert_eq!(
        (&groups[0]["unfinished"], &groups[0]["open"], &groups[0]["count"]),
        (&json!(12), &json!(12), &json!(12))
    );
    let group = groups[0]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(plant.list("exception-groups", &["state=open"]), groups);

    // The same again is refused again: it opens again, and is counted.
    let first = plant.unfinished()[0]["id"].as_str().unwrap().to_owned();
    let said = plant.ok(&["exceptions", "retry", &first, "--reason", "perhaps"]);
    assert!(said.starts_with(&format!("{first} is tried again: the call ca_")), "{said}");
    wait_until("it is refused again", || {
        let row = &plant.list("exceptions", &[&format!("id={first}")])[0];
        (&row["state"], &row["count"]) == (&json!("open"), &json!(2))
    });

    let one = plant.unfinished()[3]["id"].as_str().unwrap().to_owned();
    let said = plant.ok(&["exceptions", "assign", &one, "--to", "integration"]);
    assert_eq!(said.trim(), format!("{one} is with the team integration"));
    plant.ok(&["exceptions", "assign", &one, "--to", "Ann Berg", "--by", "jo"]);
    let row = &plant.list("exceptions", &[&format!("id={one}")])[0];
    assert_eq!(
        (&row["owner"], &row["assignee"], &row["state"]),
        (&json!("integration"), &json!("Ann Berg"), &json!("assigned"))
    );

    // Mended, where the system is described; the runs are those of before.
    running.stop();
    let system = plant.project.join("systems/eam.yaml");
    let mended = fs::read_to_string(&system)
        .unwrap()
        .replace("concurrent: 4", "concurrent: 1")
        .replace("${ .title }", "'${ .title | split(\"\\n\") | join(\" \") }'");
    fs::write(&system, mended).unwrap();
    let running = start_instance(&plant.world, &plant.project, &plant.data);
    let api = api_of(&running);

    let order: Vec<String> = plant.unfinished().iter().map(|row| row["run"].as_str().unwrap().to_owned()).collect();
    let told = plant.ok(&["exceptions", "retry", "--group", &group, "--dry-run"]);
    assert_eq!(told.trim(), "12 exceptions match: 12 would be tried again, 0 would be refused; nothing was changed");
    let told = plant.ok(&["exceptions", "retry", "--group", &group]);
    assert_eq!(told.trim(), "12 exceptions: 12 tried again, 0 refused");
    wait_until("all are booked", || plant.booked().len() == MANY);
    wait_until("nothing is left", || plant.unfinished().is_empty());
    let runs = plant.list("runs", &["workflow=book"]);
    assert!(runs.iter().all(|run| run["state"] == "completed"), "{runs:#?}");
    let name_of = |id: &String| runs.iter().find(|run| run["id"] == **id).unwrap()["key"].as_str().unwrap().to_owned();
    assert_eq!(plant.booked(), order.iter().map(name_of).collect::<Vec<_>>(), "in the order in which they failed");

    // What has ended is not looked at again.
    let total = plant.rows(&["exceptions", "retry", "--group", &group]).remove(0);
    assert_eq!((&total["matched"], &total["done"], &total["refused"]), (&json!(0), &json!(0), &json!(0)));
    let (status, problem) = post(&api, &format!("/v1/exceptions/{first}/retry"), "");
    assert_eq!((status, problem["remedy"].is_string()), (409, true), "{problem}");
    let groups = plant.list("exception-groups", &[]);
    assert_eq!((&groups[0]["state"], &groups[0]["resolved"]), (&json!("ended"), &json!(12)));

    // Every act stands in the chain, with who and why.
    let acts = plant.list("audit", &[&format!("subject={first}")]);
    let told: Vec<_> = acts.iter().map(|act| (act["act"].as_str().unwrap(), act["actor"].as_str().unwrap())).collect();
    assert_eq!(told, [("exception.retry", "mia"), ("exception.retry", "mia")]);
    assert_eq!(acts[0]["detail"]["reason"], "perhaps");
    let acts = plant.list("audit", &[&format!("subject={one}")]);
    let told: Vec<_> = acts.iter().map(|act| (act["act"].as_str().unwrap(), act["actor"].as_str().unwrap())).collect();
    assert_eq!(told, [("exception.assign", "mia"), ("exception.assign", "jo"), ("exception.retry", "mia")]);
    assert_eq!(plant.list("audit", &["act=contract.activate"]).len(), 2);
}

#[test]
fn a_call_is_edited_skipped_discarded_and_shown_with_all_that_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let (plant, _broker, _office) = plant(dir.path());
    let running = start_instance(&plant.world, &plant.project, &plant.data);
    let api = api_of(&running);
    book(&api, &names("one", 6), "belt\nloose");
    wait_until("all are refused", || plant.unfinished().len() == 6);
    let ids: Vec<String> = plant.unfinished().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let state = |id: &str| plant.list("exceptions", &[&format!("id={id}")])[0]["state"].as_str().unwrap().to_owned();
    let run_of = |id: &str| {
        let row = plant.list("exceptions", &[&format!("id={id}")]).remove(0);
        plant.list("runs", &[&format!("id={}", row["run"].as_str().unwrap())]).remove(0)
    };

    // An input that does not fit is refused, and nothing has changed.
    let vain = plant.andon(&["exceptions", "edit", &ids[0], "--set", "priority=9"]);
    assert!(!vain.status.success() && text(&vain.stderr).contains("priority"), "{}", text(&vain.stderr));
    let vain = plant.andon(&["exceptions", "edit", &ids[0], "--set", "titel.x=9"]);
    assert!(!vain.status.success(), "{}", text(&vain.stdout));
    assert_eq!((state(&ids[0]).as_str(), run_of(&ids[0])["state"].as_str()), ("open", Some("faulted")));

    let said = plant.ok(&["exceptions", "edit", &ids[0], "--set", "title=belt loose", "--set", "description=7"]);
    assert!(said.contains("is tried again with the other input"), "{said}");
    wait_until("the edited one is resolved", || state(&ids[0]) == "resolved");
    assert_eq!(run_of(&ids[0])["state"], "completed");
    assert_eq!(plant.booked(), ["7"], "a text stays a text");
    let shown = plant.ok(&["show", &ids[0]]);
    assert!(shown.contains("/title: \"belt\\nloose\" becomes \"belt loose\""), "{shown}");
    let whole: Json = serde_json::from_str(&plant.ok(&["show", &ids[0], "--json"])).unwrap();
    assert_eq!((&whole["call"]["edit"], &whole["call"]["state"]), (&json!(1), &json!("delivered")), "{whole:#}");
    assert_eq!(whole["superseded"][0]["call"]["state"], "refused");
    let attempt = &whole["superseded"][0]["attempts"][0];
    assert_eq!(attempt["outcome"]["status"], 422, "{attempt:#}");
    assert!(attempt["body"].as_str().unwrap().contains("belt\\nloose"), "what was sent: {attempt:#}");
    assert!(attempt["outcome"]["response"].as_str().unwrap().contains("description"), "what came back: {attempt:#}");
    assert_eq!(whole["history"][0]["act"], "exception.edit");

    // The whole input, in an editor.
    let editor = dir.path().join("editor.sh");
    fs::write(&editor, "#!/bin/sh\nsed -i 's/belt.nloose/the belt/' \"$1\"\n").unwrap();
    let mut edit = plant.world.command(&["exceptions", "edit", &ids[1], "--data", plant.data.to_str().unwrap()]);
    let edited = edit.env("VISUAL", format!("sh {}", editor.display())).output().unwrap();
    assert!(edited.status.success(), "{}", text(&edited.stderr));
    wait_until("the edited one is resolved", || state(&ids[1]) == "resolved");

    // Without a reason nothing is given up.
    let vain = plant.andon(&["exceptions", "discard", &ids[2]]);
    assert!(text(&vain.stderr).contains("has no reason"), "{}", text(&vain.stderr));
    let said = plant.ok(&["exceptions", "discard", &ids[2], "--reason", "nobody needs it"]);
    assert!(said.starts_with(&format!("{} is discarded", ids[2])), "{said}");
    assert_eq!((state(&ids[2]).as_str(), run_of(&ids[2])["state"].as_str()), ("discarded", Some("faulted")));
    let vain = plant.andon(&["exceptions", "retry", &ids[2]]);
    assert!(text(&vain.stderr).contains("it is discarded"), "{}", text(&vain.stderr));

    let output = r#"{"document": "MR-4711", "state": "requested"}"#;
    let why = ["--reason", "booked by telephone"];
    plant.ok(&[&["exceptions", "skip", &ids[3], "--output", output, "--document", "MR-4711"], &why[..]].concat());
    wait_until("the skipped one is resolved", || state(&ids[3]) == "resolved");
    let run = run_of(&ids[3]);
    assert_eq!((&run["state"], &run["output"]["document"]), (&json!("completed"), &json!("MR-4711")));

    let vain = plant.andon(&["exceptions", "reroute", &ids[4], "--to", "eam.nothing"]);
    assert!(text(&vain.stderr).contains("no operation eam.nothing"), "{}", text(&vain.stderr));

    // All that match: each refusal is told, and the sum is right.
    let total = plant.andon(&["exceptions", "edit", "--where", "outcome=validation", "--set", "priority=9", "--json"]);
    assert_eq!(total.status.code(), Some(1));
    let total: Json = serde_json::from_slice(&total.stdout).unwrap();
    assert_eq!((&total["matched"], &total["done"], &total["refused"]), (&json!(2), &json!(0), &json!(2)), "{total:#}");
    assert_eq!(total["problems"].as_array().unwrap().len(), 2);
    let total = plant.ok(&["exceptions", "edit", "--where", "outcome=validation", "--set", "title=belt"]);
    assert_eq!(total.trim(), "2 exceptions: 2 edited, 0 refused");
    wait_until("nothing is left", || plant.unfinished().is_empty());
    assert_eq!(plant.booked().len(), 4);
    assert_eq!(plant.ok(&["exceptions"]).trim(), "no exception is unfinished");
}

#[test]
fn two_people_agree_on_an_edit_where_the_project_asks_for_two() {
    let dir = tempfile::tempdir().unwrap();
    let (plant, _broker, _office) = plant(dir.path());
    let policy = "agree:\n  - { action: edit, domain: maintenance }\n";
    fs::write(plant.project.join("policies/exceptions.yaml"), policy).unwrap();
    let mut running = start_instance(&plant.world, &plant.project, &plant.data);
    book(&api_of(&running), &names("one", 2), "belt\nloose");
    wait_until("all are refused", || plant.unfinished().len() == 2);
    let ids: Vec<String> = plant.unfinished().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let state = |id: &str| plant.list("exceptions", &[&format!("id={id}")])[0]["state"].as_str().unwrap().to_owned();

    let vain = plant.andon(&["exceptions", "agree", &ids[0], "--by", "jo"]);
    assert!(text(&vain.stderr).contains("nobody has proposed an edit"), "{}", text(&vain.stderr));
    let vain = plant.andon(&["exceptions", "edit", &ids[0], "--set", "priority=9"]);
    assert!(!vain.status.success() && text(&vain.stderr).contains("priority"), "{}", text(&vain.stderr));
    let said = plant.ok(&["exceptions", "edit", &ids[0], "--set", "title=belt loose", "--reason", "one line"]);
    assert!(said.contains("is proposed and nothing is sent yet"), "{said}");
    assert_eq!((state(&ids[0]).as_str(), plant.booked().len()), ("open", 0));
    let shown = plant.ok(&["show", &ids[0]]);
    assert!(shown.contains("edit proposed by mia at ") && shown.contains(": one line"), "{shown}");

    // The same person does not count twice; the proposal outlives `kill -9`.
    let vain = plant.andon(&["exceptions", "agree", &ids[0], "--by", " MIA"]);
    assert!(text(&vain.stderr).contains("another person must agree"), "{}", text(&vain.stderr));
    running.kill();
    let _running = start_instance(&plant.world, &plant.project, &plant.data);
    plant.ok(&["exceptions", "agree", &ids[0], "--by", "jo"]);
    wait_until("the edited one is resolved", || state(&ids[0]) == "resolved");
    assert_eq!(plant.booked(), ["one-00"]);
    let acts = plant.list("audit", &[&format!("subject={}", ids[0])]);
    let told: Vec<_> = acts.iter().map(|act| (act["act"].as_str().unwrap(), act["actor"].as_str().unwrap())).collect();
    assert_eq!(told, [("exception.propose", "mia"), ("exception.edit", "mia")]);
    assert_eq!((&acts[1]["detail"]["agreed_by"], &acts[1]["detail"]["reason"]), (&json!("jo"), &json!("one line")));
    assert_eq!(state(&ids[1]), "open");
}
