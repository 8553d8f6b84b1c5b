//! Every outcome of a call, provoked at an office: where it ends, who owns what is stuck, what is kept of it, and what
//! its owner is advised to do.

use crate::support::*;
use serde_json::Value as Json;
use std::{fmt::Write as _, fs, path::Path, process::Command};

/// Short clocks, so that time is soon up; nothing is held back because others failed.
const POLICY: &str = "zone: plant
timeout: 1 s
retry: { first: 100 ms, factor: 2, max: 400 ms, within: 3 s }
breaker: off
";

/// What a repeat does there: at the first two it makes a second document; the last one is not there.
const SYSTEMS: [(&str, &str, &str, &str); 4] = [
    (
        "searched",
        "eam",
        "{ lookup: { by: reference, settle: 100 ms, request: { method: GET, path: /requests, \
         query: { reference: \"${ $reference }\" } }, found: \"${ .requests[0] }\" } }",
        "maintenance",
    ),
    ("asked-once", "eam", "none", "maintenance"),
    ("keyed", "planning", "key", "production"),
    ("away", "nowhere", "none", "production"),
];

struct Plant {
    world: World,
    api: String,
    office: String,
    data: std::path::PathBuf,
    files: std::path::PathBuf,
    runs: u32,
    told: String,
}

/// What an office is told, and the system at which it is provoked.
struct Provoked {
    what: &'static str,
    /// Kind, how often, milliseconds; none: the office does what it is asked.
    fault: Option<(&'static str, u32, Option<u64>)>,
    /// What stands in place of the priority.
    priority: &'static str,
    systems: &'static [&'static str],
}

const ALL: &[&str] = &["searched", "asked-once", "keyed"];
/// More often than anybody asks.
const ALWAYS: u32 = 1_000;

const PROVOKED: [Provoked; 17] = [
    plain("answered", None, ALL),
    plain("401", Some(("fail-401", 1, None)), &["searched"]),
    plain("403", Some(("fail-403", 1, None)), &["searched"]),
    plain("404", Some(("fail-404", 1, None)), &["searched"]),
    plain("409", Some(("fail-409", 1, None)), &["searched"]),
    plain("422", Some(("fail-422", 1, None)), &["searched"]),
    plain("429 once, Retry-After 1 s", Some(("fail-429", 1, Some(1_000))), &["searched"]),
    plain("429 always", Some(("fail-429", ALWAYS, None)), &["searched"]),
    plain("503 once, Retry-After 1 s", Some(("fail-503", 1, Some(1_000))), ALL),
    plain("503 always", Some(("fail-503", ALWAYS, None)), ALL),
    plain("no connection", None, &["away"]),
    plain("500 once", Some(("fail-500", 1, None)), ALL),
    plain("never answered", Some(("hang", 1, None)), ALL),
    plain("done, answer lost", Some(("lose-answer", 1, None)), ALL),
    plain("done, answer too late", Some(("late", 1, Some(2_500))), ALL),
    plain("done, answer garbage", Some(("garbage", 1, None)), ALL),
    Provoked { what: "input of another shape", fault: None, priority: "\"high\"", systems: &["searched"] },
];

const fn plain(
    what: &'static str,
    fault: Option<(&'static str, u32, Option<u64>)>,
    systems: &'static [&'static str],
) -> Provoked {
    Provoked { what, fault, priority: "2", systems }
}

fn curl(method: &str, url: &str, body: &str) -> Json {
    let output = Command::new("curl")
        .args(["-s", "-X", method, url, "-H", "content-type: application/json", "-d", body])
        .output()
        .expect("curl is installed");
    serde_json::from_slice(&output.stdout).unwrap_or(Json::Null)
}

fn project(dir: &Path) -> std::path::PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    fs::remove_dir_all(project.join("workflows")).unwrap();
    fs::remove_dir_all(project.join("tests")).unwrap();
    let mut routes = fs::read_to_string(project.join("routes.yaml")).unwrap();
    let write = |path: String, text: String| {
        fs::create_dir_all(project.join(&path).parent().unwrap()).unwrap();
        fs::write(project.join(path), text).unwrap();
    };
    for (name, office, class, domain) in SYSTEMS {
        write(
            format!("capabilities/{name}.tell.yaml"),
            format!(
                "version: 1\ndomain: {domain}\nowner: integration\neffect: creates MaintenanceRequest\n\
                 input: {{ schema: Told/1 }}\noutput: {{ document: string }}\n"
            ),
        );
        let (method, path, body, document) = if office == "eam" {
            (
                "POST",
                "/requests",
                "{ reference: \"${ $reference }\", description: \"${ .what }\", equipment: EQ-100071, plant: \"1010\", \
                 priority: medium }",
                ".number",
            )
        } else {
            (
                "PUT",
                "/api/disruptions/${ $reference }",
                "{ site: HAM, order: \"1000123\", asset: filler-07, from: \"2026-11-26T08:20:00Z\", minutes: 45 }",
                ".document",
            )
        };
        write(
            format!("systems/{name}.yaml"),
            format!(
                "protocol: rest\nbase: env:ANDON_{} else http://127.0.0.1:9\n{POLICY}operations:\n  tell:\n    implements: {name}.tell\n    \
                 idempotency: {class}\n    request:\n      method: {method}\n      path: {path}\n      \
                 body: {body}\n    response: {{ document: \"${{ {document} }}\", output: {{ document: \"${{ {document} \
                 }}\" }} }}\n",
                office.to_uppercase()
            ),
        );
        write(
            format!("workflows/{name}.yaml"),
            format!(
                "document: {{ dsl: 1.0.3, namespace: foundry, name: {name}, version: 1.0.0 }}\ndo:\n  - tell:\n      \
                 call: {name}.tell\n      with: \"${{ $workflow.input }}\"\n"
            ),
        );
        let _ = writeln!(routes, "- {{ capability: {name}.tell, site: '*', use: {name}.tell }}");
    }
    fs::write(project.join("routes.yaml"), routes).unwrap();
    write(
        "schemas/Told-1.0.yaml".to_owned(),
        "$schema: https://json-schema.org/draft/2020-12/schema\ntitle: Told\ndescription: Something is told.\n\
         type: object\nrequired: [what, priority]\nadditionalProperties: false\nproperties:\n  \
         what: { type: string }\n  priority: { type: integer }\n"
            .to_owned(),
    );
    write(
        "policies/ownership.yaml".to_owned(),
        "teams:\n  maintenance-planning: { mail: maintenance@foundry.example }\n  \
         planning: { mail: planning@foundry.example }\n  integration: { mail: integration@foundry.example }\n  \
         desk: { mail: desk@foundry.example }\nrules:\n  \
         - { outcome: [auth, permission], owner: integration }\n  - { outcome: unknown, owner: desk }\n  \
         - { domain: maintenance, owner: maintenance-planning }\n  - { domain: production, owner: planning }\n  \
         - { owner: integration }\n"
            .to_owned(),
    );
    project
}

impl Plant {
    /// Provokes one outcome, waits for where it ends, and notes it.
    fn provoke(&mut self, provoked: &Provoked, system: &str) {
        self.runs += 1;
        let office = SYSTEMS.iter().find(|(name, ..)| *name == system).unwrap().1;
        let faults = format!("http://{}/{office}/office/faults", self.office);
        curl("DELETE", &faults, "");
        if let Some((kind, next, ms)) = provoked.fault {
            let ms = ms.map_or_else(String::new, |ms| format!(", \"ms\": {ms}"));
            // Searches are answered.
            let method = if office == "eam" { "POST" } else { "PUT" };
            let fault = format!("{{\"next\": {next}, \"kind\": \"{kind}\", \"method\": \"{method}\"{ms}}}");
            let told = curl("POST", &faults, &fault);
            assert!(told["waiting"].is_array(), "{told}");
        }
        let input = format!("{{\"what\": \"number {}\", \"priority\": {}}}", self.runs, provoked.priority);
        let url = format!("http://{}/v1/workflows/{system}/runs/{}", self.api, self.runs);
        let run = curl("POST", &url, &input)["id"].as_str().expect("a run begins").to_owned();
        let of_run = format!("run={run}");
        let state = |plant: &Self| plant.world.list("runs", &plant.data, &[&format!("id={run}")])[0]["state"].clone();
        let mut found = Vec::new();
        wait_until(&format!("{} at {system} ends somewhere", provoked.what), || {
            found = self.world.list("exceptions", &self.data, &[&of_run]);
            let ended = ["completed", "faulted"].contains(&state(self).as_str().unwrap());
            // An exception stands in the commit that parks a call or ends its run.
            ended || !found.is_empty()
        });
        curl("DELETE", &faults, "");
        found = self.world.list("exceptions", &self.data, &[&of_run]);
        let call = self.world.list("calls", &self.data, &[&of_run])[0].clone();
        let reference = call["reference"].as_str().unwrap();
        let file = fs::read_to_string(self.files.join(format!("{office}.jsonl"))).unwrap_or_default();
        let documents = file.lines().filter(|line| line.contains(&format!("\"reference\":\"{reference}\""))).count();
        let text = |row: &Json, field: &str| row[field].as_str().unwrap_or("-").to_owned();
        let mut line = format!(
            "{:<26} {system:<11} call {:<10} run {:<10} documents {documents}",
            provoked.what,
            text(&call, "state"),
            state(self).as_str().unwrap()
        );
        assert!(found.len() <= 1, "one call, one exception: {found:?}");
        if let Some(row) = found.first() {
            let shown: Json = serde_json::from_str(&self.world.ok(&[
                "show",
                row["id"].as_str().unwrap(),
                "--data",
                self.data.to_str().unwrap(),
                "--json",
            ]))
            .unwrap();
            let attempts = shown["attempts"].as_array().map_or(&[][..], Vec::as_slice);
            let sent = attempts.iter().filter(|attempt| attempt["body"].as_str().is_some_and(|body| !body.is_empty()));
            let came_in =
                shown.pointer("/call/input/what").and_then(Json::as_str) == Some(&format!("number {}", self.runs));
            let _ = write!(
                line,
                "  {} of {}: {} ({}), do: {}; its input is {}, sent {}",
                text(row, "kind"),
                text(row, "owner"),
                text(row, "state"),
                text(row, "outcome"),
                text(row, "action"),
                if came_in { "kept" } else { "LOST" },
                if attempts.is_empty() {
                    "nothing"
                } else if sent.count() > 0 {
                    "bytes kept"
                } else {
                    "LOST"
                },
            );
        }
        self.told += line.trim_end();
        self.told.push('\n');
    }
}

#[test]
fn every_outcome_ends_where_it_should_with_its_owner_its_bytes_and_advice() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let office = format!("127.0.0.1:{}", free_port());
    let files = dir.path().join("offices");
    let world = World { mqtt: broker.address(), eam: format!("http://{office}/eam") };
    let arguments = ["office", "--all", "--story", "--listen", &office, "--dir", files.to_str().unwrap()];
    let _offices = Running::start(world.command(&arguments));
    wait_until("the offices listen", || std::net::TcpStream::connect(&office).is_ok());
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    world.ok(&["check", project.to_str().unwrap()]);
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    command.args(["--api", "127.0.0.1:0"]).env("ANDON_PLANNING", format!("http://{office}/planning"));
    let running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);
    let mut plant = Plant { world, api, office, data, files, runs: 0, told: String::new() };
    for provoked in &PROVOKED {
        for system in provoked.systems {
            plant.provoke(provoked, system);
        }
    }
    insta::assert_snapshot!("taxonomy", plant.told);
}
