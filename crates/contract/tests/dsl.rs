//! The workflow language beside its own schema: what we show fits it, what it refuses we refuse, and the page on the
//! language has a row for every construct. The schema and the scenarios of the language lie where recorded data lies:
//! `ANDON_TESTDATA`, by default `../shared/data` beside the workspace.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]
#![expect(clippy::print_stdout, reason = "a test says that it was skipped")]

use andon_contract::{workflow::read, yaml};
use serde_json::Value as Json;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of the language; `None` where it is not at hand.
fn language() -> Option<PathBuf> {
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root().join("../shared/data"), |d| root().join(d));
    let folder = data.join("workflow-dsl-1.0.3");
    if !folder.exists() {
        println!("skipped: no workflow-dsl-1.0.3 under ANDON_TESTDATA");
        return None;
    }
    Some(folder)
}

fn schema() -> Option<Json> {
    Some(yaml(&fs::read_to_string(language()?.join("workflow.schema.yaml")).unwrap()).unwrap())
}

fn problems(validator: &jsonschema::Validator, text: &str) -> Vec<String> {
    let document = yaml(text).unwrap_or_else(|told| panic!("{told}\n{text}"));
    validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The files of a folder and those below it.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every workflow of the examples and of the pages, with its place.
fn shown() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut found = Vec::new();
    files(&root().join("examples"), &mut found);
    files(&root().join("docs"), &mut found);
    for path in found {
        let name = path.display().to_string();
        let is = |ending: &str| path.extension().is_some_and(|of| of == ending);
        if name.contains("/workflows/") && is("yaml") {
            all.push((name, fs::read_to_string(&path).unwrap()));
        } else if is("md") && !name.contains("/errors/") {
            let text = fs::read_to_string(&path).unwrap();
            let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
            let workflows = blocks.filter(|block| block.starts_with("# workflows/"));
            all.extend(workflows.map(|block| (name.clone(), block.to_owned())));
        }
    }
    all
}

/// The definitions of the conformance scenarios of the language.
fn scenarios() -> Vec<(String, String)> {
    let Some(folder) = language() else { return Vec::new() };
    let mut found = Vec::new();
    files(&folder.join("features"), &mut found);
    let mut all = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for part in text.split("Given a workflow with definition:").skip(1) {
            let block = part.split("\"\"\"").nth(1).unwrap().trim_start_matches("yaml");
            let least =
                block.lines().filter(|line| !line.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min();
            let lines = block.lines().map(|line| line.get(least.unwrap_or(0)..).unwrap_or_default());
            all.push((path.display().to_string(), lines.collect::<Vec<_>>().join("\n")));
        }
    }
    all
}

fn name_of(text: &str) -> String {
    yaml(text).unwrap().pointer("/document/name").and_then(Json::as_str).unwrap().to_owned()
}

#[test]
fn what_we_show_fits_the_schema_of_the_language() {
    let shown = shown();
    assert!(shown.len() >= 3, "only {} workflows were found", shown.len());
    let Some(schema) = schema() else { return };
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = shown
        .iter()
        .flat_map(|(name, text)| problems(&validator, text).into_iter().map(move |told| format!("{name}{told}")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_scenario_of_the_language_is_read() {
    let scenarios = scenarios();
    assert!(language().is_none() || scenarios.len() == 21, "{} scenarios were found", scenarios.len());
    for (name, text) in scenarios {
        if let Err(told) = read(&name_of(&text), &text) {
            panic!("{name}\n{told}");
        }
    }
}

#[test]
fn what_the_schema_of_the_language_refuses_is_refused() {
    let head = "document: { dsl: 1.0.3, namespace: plant, name: it, version: 1.0.0 }\n";
    let cases = [
        ("do: []\n", true, false),
        ("do: [{ a: { set: { x: 1 } } }]\n", true, true),
        ("do: [{ a: { set: { x: 1 }, colour: red } }]\n", false, false),
        ("do: [{ a: { wait: { seconds: 1 } } }]\n", true, true),
        ("do: [{ a: { wait: soon } }]\n", false, false),
        ("do: [{ a: { for: { each: x }, do: [] } }]\n", false, false),
        ("do: [{ a: { fork: { compete: true } } }]\n", false, false),
        ("do: [{ a: { listen: { to: { one: { with: { type: a.b } }, any: [] } } } }]\n", false, false),
        ("do: [{ a: { listen: { to: { any: [{ with: { type: a.b } }], until: .n } } } }]\n", true, true),
        ("do: [{ a: { run: {} } }]\n", false, false),
        ("do: [{ a: { try: [{ b: { wait: PT1S } }] } }]\n", false, false),
        ("do: [{ a: { switch: [] } }]\n", false, false),
        ("do: [{ a: { switch: [{ b: { when: .x } }] } }]\n", false, false),
        ("do: [{ a: { raise: { error: { status: 500 } } } }]\n", false, false),
        ("do: [{ a: { raise: { error: { type: 'https://x.example/e', status: 500 } } } }]\n", true, true),
        ("schedule: { every: PT1H }\ndo: [{ a: { wait: PT1S } }]\n", true, true),
        ("schedule: { at: noon }\ndo: [{ a: { wait: PT1S } }]\n", false, false),
        (
            "use: { retries: { r: { delay: PT1S, backoff: { linear: {} } } } }\ndo: [{ a: { wait: PT1S } }]\n",
            true,
            true,
        ),
        ("use: { things: {} }\ndo: [{ a: { wait: PT1S } }]\n", false, false),
        // Parts of the language that do not run here.
        ("do: [{ a: { run: { shell: { command: ls } } } }]\n", true, false),
        ("use: { catalogs: {} }\ndo: [{ a: { wait: PT1S } }]\n", true, false),
    ];
    let schema = schema();
    let validator = schema.map(|schema| jsonschema::draft202012::new(&schema).unwrap());
    for (text, by_schema, by_us) in cases {
        let text = format!("{head}{text}");
        let found = read("it", &text);
        assert_eq!(found.is_ok(), by_us, "{text}");
        // What is refused is never left out without a word.
        assert!(found.err().is_none_or(|told| !told.is_empty()), "{text}");
        if let Some(validator) = &validator {
            let told = problems(validator, &text);
            assert_eq!(told.is_empty(), by_schema, "{text}{told:?}");
        }
    }
}

/// Where the schema names constructs, and how the page calls them.
const CONSTRUCTS: [(&str, &str); 24] = [
    ("/properties", ""),
    ("/properties/document/properties", "document."),
    ("/properties/use/properties", "use."),
    ("/properties/schedule/properties", "schedule."),
    ("/$defs/taskBase/properties", "taskBase."),
    ("/$defs/input/properties", "input."),
    ("/$defs/output/properties", "output."),
    ("/$defs/export/properties", "export."),
    ("/$defs/schema/properties", "schema."),
    ("/$defs/schema/oneOf/0/properties", "schema."),
    ("/$defs/schema/oneOf/1/properties", "schema."),
    ("/$defs/retryPolicy/properties", "retryPolicy."),
    ("/$defs/timeout/properties", "timeout."),
    ("/$defs/eventFilter/properties", "eventFilter."),
    ("/$defs/eventProperties/properties", "eventProperties."),
    ("/$defs/eventConsumptionStrategy/oneOf/0/properties", "eventConsumptionStrategy."),
    ("/$defs/eventConsumptionStrategy/oneOf/1/properties", "eventConsumptionStrategy."),
    ("/$defs/eventConsumptionStrategy/oneOf/2/properties", "eventConsumptionStrategy."),
    ("/$defs/forkTask/allOf/1/properties/fork/properties", "fork."),
    ("/$defs/forTask/allOf/1/properties/for/properties", "for."),
    ("/$defs/listenTask/allOf/1/properties/listen/properties", "listen."),
    ("/$defs/runTask/allOf/1/properties/run/properties", "run."),
    ("/$defs/runTask/allOf/1/properties/run/oneOf/0/properties", "run."),
    ("/$defs/runTask/allOf/1/properties/run/oneOf/3/properties", "run."),
];

#[test]
fn the_page_has_a_row_for_every_construct_of_the_language() {
    let page = fs::read_to_string(root().join("docs/workflows-dsl.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let has = |construct: &str| {
        let first = |row: &&str| row.split(" | ").next().is_some_and(|cell| cell.contains(&format!("`{construct}`")));
        rows.iter().any(first)
    };
    let Some(schema) = schema() else { return };
    let mut missing: Vec<String> = Vec::new();
    for (pointer, prefix) in CONSTRUCTS {
        let named = schema.pointer(pointer).and_then(Json::as_object).unwrap_or_else(|| panic!("no {pointer}"));
        // `from` and `as` stand in the row of the thing itself.
        let constructs = named.keys().filter(|key| !matches!(key.as_str(), "from" | "as"));
        missing.extend(constructs.map(|key| format!("{prefix}{key}")).filter(|construct| !has(construct)));
    }
    // Each kind of task, and each kind of call.
    let tasks = schema.pointer("/$defs/task/oneOf").and_then(Json::as_array).unwrap();
    for task in
        tasks.iter().filter_map(|task| task.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?.strip_suffix("Task"))
    {
        let is_there = rows.iter().any(|row| {
            let cell = row.split(" | ").next().unwrap_or_default();
            cell.contains(&format!("`{task}")) || cell.contains(&format!("`{task}."))
        });
        missing.extend((!is_there).then(|| task.to_owned()));
    }
    let calls = schema.pointer("/$defs/callTask/oneOf").and_then(Json::as_array).unwrap();
    for call in calls.iter().filter_map(|call| call.pointer("/allOf/1/properties/call/const")?.as_str()) {
        missing.extend((!has(&format!("call: {call}"))).then(|| format!("call: {call}")));
    }
    for run in ["container", "script", "shell", "workflow"] {
        missing.extend((!has(&format!("run.{run}"))).then(|| format!("run.{run}")));
    }
    assert!(missing.is_empty(), "docs/workflows-dsl.md has no row for {missing:?}");
}
