//! A lineage as people read it: what was seen, what it meant, what was done.

use crate::lineage::{CallNode, EventNode, Lineage, RunNode};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// Samples shown of an evidence; the others are counted.
const SAMPLES_SHOWN: usize = 6;

/// The story as indented text, oldest first.
pub fn narrate(lineage: &Lineage) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", lineage.kind.word(), lineage.asked);
    for node in &lineage.events {
        event(&mut out, node);
    }
    for row in &lineage.exceptions {
        let _ = writeln!(out, "\nexception {} ({}, {} times), owner {}", row.id, row.kind.word(), row.count, row.owner);
        let _ = writeln!(out, "  {}", row.cause);
        let _ = writeln!(out, "  {}", row.detail);
        let _ = writeln!(out, "  next: {}", row.remedy);
    }
    out
}

fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

fn event(out: &mut String, node: &EventNode) {
    let event = &node.event;
    out.push('\n');
    if let Some(evidence) = &node.evidence {
        let _ = writeln!(
            out,
            "samples {} to {}: {} in the range, hash {}",
            evidence.from,
            evidence.to,
            evidence.count,
            evidence.hash.get(..16).unwrap_or(&evidence.hash)
        );
        let shown = evidence.samples.len();
        for (i, sample) in evidence.samples.iter().enumerate() {
            let middle = shown > SAMPLES_SHOWN && i >= SAMPLES_SHOWN / 2 && i < shown - SAMPLES_SHOWN / 2;
            if middle {
                if i == SAMPLES_SHOWN / 2 {
                    let _ = writeln!(out, "  ... {} more copied", shown - SAMPLES_SHOWN);
                }
                continue;
            }
            let _ = writeln!(out, "  {}  {} = {}  [{}]", sample.time, sample.signal, sample.value, sample.position);
        }
    }
    let _ = writeln!(
        out,
        "  event {} {} {} {} at {}",
        text(event, "/id"),
        text(event, "/type"),
        text(event, "/subject"),
        text(event, "/data/change"),
        text(event, "/time")
    );
    let limit = text(event, "/data/limit");
    if !limit.is_empty() {
        let _ = writeln!(
            out,
            "    {} {} {}: limit {} {}, since {}",
            text(event, "/data/signal"),
            text(event, "/data/value/value"),
            text(event, "/data/value/unit"),
            limit,
            text(event, "/data/setting/value"),
            text(event, "/data/since")
        );
    }
    let rule = text(event, "/data/evidence/rule");
    if !rule.is_empty() {
        let version = text(event, "/data/evidence/version");
        let _ = writeln!(out, "    rule {rule}, version {}", version.get(..8).unwrap_or(version));
    }
    for run in &node.runs {
        self::run(out, run);
    }
}

fn run(out: &mut String, node: &RunNode) {
    let run = &node.run;
    let _ = writeln!(
        out,
        "    run {} of {} {} ({})",
        run.id,
        run.workflow,
        run.state.word(),
        run.definition.get(..8).unwrap_or(&run.definition)
    );
    for task in node.tasks.iter().filter(|t| t.note.is_some()) {
        let _ = writeln!(out, "      task {}: {}", task.pointer, task.note.as_deref().unwrap_or(""));
    }
    if let Some(error) = &run.error {
        let _ = writeln!(out, "      error: {error}");
    }
    for node in &node.calls {
        call(out, node);
    }
}

fn call(out: &mut String, node: &CallNode) {
    let call = &node.call;
    let target = match (&call.system, &call.operation) {
        (Some(system), Some(operation)) => format!("{system}.{operation}"),
        _ => "nobody yet".to_owned(),
    };
    let _ = writeln!(
        out,
        "      call {} {} at {target}: {} (reference {})",
        call.id,
        call.capability,
        call.state.word(),
        call.reference
    );
    for attempt in &node.attempts {
        let (class, detail) = attempt
            .outcome
            .as_ref()
            .map_or(("under way", ""), |outcome| (outcome.class.word(), outcome.detail.as_str()));
        let _ = writeln!(out, "        attempt {} {}: {class} {detail}", attempt.number, attempt.request);
    }
    if let Some(document) = &call.document {
        let _ = writeln!(out, "        document {document}");
    }
}
