//! What the expressions of the examples cost; `cargo xtask bench workflow` reads the lines.

use andon_contract::expr::{NoNames, Program};
use andon_contract::workflow::VARIABLES;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Evaluations of each expression.
const TIMES: u32 = 20_000;

/// The texts `${ ... }` in the files of a folder.
fn expressions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        for rest in text.split("${ ").skip(1) {
            let inner = rest.split(" }").next().unwrap_or_default();
            found.insert(inner.replace("\\\"", "\""));
        }
    }
}

/// What a mapping of the examples sees: an event, what a task has made of it, and an answer of a system.
fn seen() -> Json {
    let event = json!({
        "id": "ev_7K3QF0ZT9M2RX4B8", "type": "asset.alarm", "source": "/foundry/rules/machine-temperature",
        "subject": "machine-01", "site": "foundry", "time": "2013-12-16T17:25:00Z", "data": {
            "change": "activated", "state": "active", "limit": "High", "severity": 500, "signal": "temperature",
            "since": "2013-12-16T16:25:00Z", "value": {"value": "106.2", "unit": "Cel"},
            "setting": {"value": "105", "unit": "Cel"}
        }
    });
    let mut seen = event.clone();
    let more = json!({
        "event": event, "what": "too hot", "priority": 1, "title": "Temperature of machine-01 too hot",
        "description": "Temperature 106.2 Cel", "asset": "machine-01", "change": "activated",
        "reportedAt": "2013-12-16T17:25:00Z", "reportedBy": "/foundry/rules/machine-temperature",
        "number": "4711", "status": "open", "requests": [{"number": "4711", "status": "open"}]
    });
    if let (Some(seen), Json::Object(more)) = (seen.as_object_mut(), more) {
        seen.extend(more);
    }
    seen
}

#[test]
#[ignore = "a measurement: the bench asks for it"]
fn the_expressions_of_the_examples() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut texts = BTreeSet::new();
    for example in std::fs::read_dir(&examples).unwrap().flatten() {
        for folder in ["workflows", "systems", "subscribers"] {
            expressions(&example.path().join(folder), &mut texts);
        }
    }
    let names: Vec<&str> = VARIABLES.into_iter().chain(["key", "reference", "site"]).collect();
    let input = seen();
    let values: Vec<Json> = names
        .iter()
        .map(|name| match *name {
            "workflow" => json!({"id": "ru_7K3QF0ZT9M2RX4B8", "input": [input.clone()]}),
            "context" | "input" | "output" => input.clone(),
            _ => json!("7K3QF0ZT9M2RX4B8"),
        })
        .collect();
    let mut measured = 0;
    for text in &texts {
        let Ok(program) = Program::compile(text, &names) else { continue };
        // Names of other systems come from the project; what asks for one is as fast as its look into a map.
        if program.eval(&input, &values, &NoNames).is_err() {
            continue;
        }
        #[expect(clippy::disallowed_methods, reason = "a measurement has a clock")]
        let start = std::time::Instant::now();
        for _ in 0..TIMES {
            let _ = std::hint::black_box(program.eval(&input, &values, &NoNames));
        }
        let us = start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
        println!("{}", json!({"expression": text, "us": us}));
        measured += 1;
    }
    assert!(measured >= 10, "only {measured} of {} expressions could be evaluated", texts.len());
}
