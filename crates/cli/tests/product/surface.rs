//! The API of a running instance, held against the document it serves; and what users see of commands.

use crate::support::*;
use serde_json::{Value as Json, json};
use std::process::Command;

struct Api {
    base: String,
}

impl Api {
    fn request(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Json) {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "-", "-w", "\n%{http_code}", "-X", method, &format!("http://{}{path}", self.base)]);
        if let Some(body) = body {
            command.args(["-H", "content-type: application/json", "--data-binary", body]);
        }
        let output = command.output().expect("curl is installed");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| Json::String(body.to_owned())))
    }

    fn get(&self, path: &str) -> Json {
        let (status, body) = self.request("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

/// A schema of the document with the document's definitions beside it, so that references resolve.
fn validator(document: &Json, schema: &Json) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).expect("a schema of the document")
}

fn assert_fits(document: &Json, schema: &Json, value: &Json, what: &str) {
    let validator = validator(document, schema);
    let problems: Vec<String> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(problems.is_empty(), "{what} does not fit the document: {problems:#?}\n{value:#}");
}

#[test]
fn every_answer_fits_the_document() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let (project, data) = (dir.path().join("project"), dir.path().join("data"));
    copy_project(&example(), &project);
    let http = "kind: http\nclock: recorded\n";
    std::fs::write(project.join("sources/posted.yaml"), http).unwrap();
    let asset = project.join("assets/foundry.yaml");
    let text = std::fs::read_to_string(&asset).unwrap() + "  machine-02: { class: machine }\n";
    std::fs::write(&asset, text).unwrap();
    let names = project.join("identifiers/eam.yaml");
    let text = std::fs::read_to_string(&names).unwrap().replace("EQ-100042", "EQ-100042, machine-02: EQ-100043");
    std::fs::write(&names, text).unwrap();
    let _office = start_office(&world, port, &dir.path().join("requests.jsonl"));
    let instance = start_instance(&world, &project, &data);
    let api = Api { base: api_of(&instance) };
    let (project, data) = (project.to_str().unwrap(), data.to_str().unwrap());
    let topic = "machines/machine-01/temperature";
    world.ok(&["feed", synthetic().to_str().unwrap(), "--project", project, "--data", data, "--topic", topic]);
    let sent = Command::new("mosquitto_pub")
        .args(["-p", &broker.port().to_string(), "-q", "1", "-t", topic, "-m", "{\"value\": tru"])
        .status();
    assert!(sent.unwrap().success());

    let (status, body) = api.request(
        "POST",
        "/v1/sources/posted/samples",
        Some(r#"[{"asset":"machine-02","signal":"temperature","value":71.5,"time":"2026-03-02T08:00:00Z"}]"#),
    );
    assert_eq!((status, body), (202, json!({"stored": 1, "duplicate": 0})));
    let (status, body) = api.request(
        "POST",
        "/v1/sources/posted/samples",
        Some(
            r#"[{"asset":"machine-02","signal":"temprature","value":71.5},
                {"asset":"nobody","signal":"temperature","value":"x"}]"#,
        ),
    );
    assert_eq!(status, 422, "{body}");
    assert!(body["problems"].as_array().unwrap().len() >= 2, "{body}");
    for (path, body, wanted) in [
        ("/v1/sources/nobody/samples", "[]", 404),
        ("/v1/sources/posted/samples", "[{", 400),
        ("/v1/sources/machines/samples", "[]", 404),
    ] {
        let (status, answer) = api.request("POST", path, Some(body));
        assert_eq!(status, wanted, "{path} {body}: {answer}");
        assert!(answer["detail"].is_string(), "{answer}");
    }

    wait_until("both requests are made", || {
        api.get("/v1/calls?where=state=delivered")["rows"].as_array().unwrap().len() == 2
    });
    wait_until("the broken message is set aside", || !api.get("/v1/quarantine")["rows"].as_array().unwrap().is_empty());
    let document = api.get("/openapi.json");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(schema) = item.pointer("/get/responses/200/content/application~1json/schema") else { continue };
        let path = match path.as_str() {
            "/v1/samples/series" => format!("{path}?asset=machine-01&signal=temperature&from=2026-01-01T00:00:00Z"),
            "/v1/oee" => format!("{path}?asset=machine-01&from=-30d"),
            "/v1/why-not" => format!("{path}?rule=machine-temperature&asset=machine-01"),
            // Of the example nobody has told an object; the answer to one is looked at where objects are given.
            "/v1/objects/{type}/{site}/{number}" => continue,
            _ => path.replace("{id}", "MR-000001"),
        };
        let answer = api.get(&path);
        assert_fits(&document, schema, &answer, &path);
        seen += answer["rows"].as_array().map_or(1, Vec::len);
    }
    assert!(seen > 100, "the lists are not empty: {seen}");
    let problem = document["components"]["schemas"]["Problem"].clone();
    assert_fits(&document, &problem, &api.request("GET", "/v1/show/nobody", None).1, "a problem");
    let metrics = api.get("/metrics");
    assert!(metrics.as_str().unwrap().contains("andon_ready 1"), "{metrics}");

    let range = "/v1/samples?asset=machine-01&signal=temperature&from=2026-01-01T00:00:00Z&limit=7";
    let page = api.get(range);
    let schema = json!({"$ref": "#/components/schemas/SamplePage"});
    assert_fits(&document, &schema, &page, "a range");
    let behind = api.get(&format!("{range}&after={}", page["next"].as_str().unwrap()));
    assert_ne!(page["rows"][6], behind["rows"][0]);
    let (status, problem) = api.request("GET", "/v1/samples?asset=machine-1", None);
    assert_eq!((status, problem["remedy"].as_str()), (404, Some("did you mean machine-01?")), "{problem}");

    // Pages follow each other without a hole and without a repetition.
    let mut after = String::new();
    let mut positions = Vec::new();
    loop {
        let page = api.get(&format!("/v1/samples?limit=700&order=asc{after}"));
        positions.extend(page["rows"].as_array().unwrap().iter().map(|r| r["position"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_u64() else { break };
        after = format!("&after={next}");
    }
    let stored: u64 =
        api.get("/v1/sources")["rows"].as_array().unwrap().iter().map(|s| s["stored"].as_u64().unwrap()).sum();
    assert_eq!(positions.len() as u64, stored);
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len() as u64, stored);
}

#[test]
fn commands_say_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let world = World { mqtt: "mqtt://127.0.0.1:1".into(), eam: "http://127.0.0.1:1".into() };
    let missing = dir.path().join("missing");
    let run = |args: &[&str]| {
        let output = world.run(args);
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .replace(dir.path().to_str().unwrap(), "DIR")
                .replace(env!("CARGO_PKG_VERSION"), "VERSION")
        };
        format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    };
    insta::assert_snapshot!("help", run(&["--help"]));
    insta::assert_snapshot!("no-folder", run(&["status", "--data", missing.to_str().unwrap()]));
    insta::assert_snapshot!("no-instance", run(&["list", "events", "--api", "127.0.0.1:1"]));
    insta::assert_snapshot!("no-kind", run(&["list", "event"]));
    insta::assert_snapshot!("no-office", run(&["office", "erp"]));
    insta::assert_snapshot!("no-project", run(&["check", missing.to_str().unwrap()]));
    insta::assert_snapshot!("not-a-where", run(&["list", "events", "--where", "type"]));
    let fresh = dir.path().join("fresh");
    insta::assert_snapshot!("init", run(&["init", fresh.to_str().unwrap()]));
    insta::assert_snapshot!("init-again", run(&["init", fresh.to_str().unwrap()]));
    insta::assert_snapshot!("check", run(&["check", fresh.to_str().unwrap()]));
    let rule = std::fs::read_dir(fresh.join("rules")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&rule).unwrap().replace("kind: limit", "kind: limt");
    std::fs::write(&rule, text).unwrap();
    insta::assert_snapshot!("check-refuses", run(&["check", fresh.to_str().unwrap()]));
    let json = run(&["check", fresh.to_str().unwrap(), "--json"]);
    assert!(json.lines().nth(2).unwrap().starts_with('{'), "{json}");
}

#[test]
fn a_start_that_fails_activates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (project, data) = (example(), data.to_str().unwrap());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let api = taken.local_addr().unwrap().to_string();
    let world = World { mqtt: "mqtt://127.0.0.1:1".into(), eam: "http://127.0.0.1:1".into() };
    let refused = world.run(&["run", project.to_str().unwrap(), "--data", data, "--api", &api]);
    assert_eq!(refused.status.code(), Some(1));
    let looked = world.run(&["status", "--data", data]);
    let said = String::from_utf8(looked.stderr).unwrap();
    assert_eq!(looked.status.code(), Some(3), "{said}");
    assert!(said.contains("no contract was ever activated") && said.contains("help: start an instance"), "{said}");
}
