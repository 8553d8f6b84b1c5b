//! A lineage as people read it: what was seen or who began, what it meant, what was done.

use crate::{
    confirmed::Confirmed,
    lineage::{ActNode, CallNode, EventNode, Lineage, RunNode},
};
use andon_model::{Quantity, RunId};
use andon_store::rows::CallState;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// Samples shown of an evidence; the others are counted.
const SAMPLES_SHOWN: usize = 6;
/// Characters shown of an input.
const INPUT_SHOWN: usize = 300;

/// The story as indented text, oldest first.
pub fn narrate(lineage: &Lineage) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", lineage.kind.word(), lineage.asked);
    for node in &lineage.runs {
        begun(&mut out, node);
    }
    for node in &lineage.events {
        event(&mut out, node);
    }
    for row in &lineage.exceptions {
        let _ = writeln!(out, "\nexception {} ({}, {} times), owner {}", row.id, row.kind.word(), row.count, row.owner);
        let _ = writeln!(out, "  {}", row.cause);
        let _ = writeln!(out, "  {}", row.detail);
        for act in lineage.acts.iter().filter(|act| act.subject == row.id.to_string()) {
            done(&mut out, act);
        }
        let _ = if row.state.has_ended() {
            writeln!(out, "  it is {}", row.state.word())
        } else {
            writeln!(out, "  next: {}", row.remedy)
        };
    }
    let runs: Vec<String> = lineage.all_runs().iter().map(|node| node.run.id.to_string()).collect();
    for act in lineage.acts.iter().filter(|act| runs.contains(&act.subject)) {
        let _ = writeln!(out, "\nrun {}", act.subject);
        done(&mut out, act);
    }
    out
}

/// What somebody has done.
fn done(out: &mut String, act: &ActNode) {
    let why = act.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let _ = writeln!(out, "  {} by {} at {}{why}", act.act, act.actor, act.at);
}

fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

/// A run that began the story.
fn begun(out: &mut String, node: &RunNode) {
    let run = &node.run;
    let how = match (&run.key, &run.parent, run.event) {
        (Some(key), ..) => match &run.by {
            Some(who) => format!("by hand by {who}, with the key {key}"),
            None => format!("by hand, with the key {key}"),
        },
        (None, Some(parent), _) => format!("by the run {}, which is not kept any more", parent.run),
        (None, None, Some(event)) => format!("by the event {event}, which is not kept any more"),
        (None, None, None) => match text(&run.input, "/planned") {
            "" => "by its schedule".to_owned(),
            planned => format!("by its schedule, for {planned}"),
        },
    };
    let _ = writeln!(out, "\nstarted {how}, at {} ({})", run.started, run.site);
    let input = run.input.to_string();
    let shown: String = input.chars().take(INPUT_SHOWN).collect();
    let more = if shown.len() < input.len() { "..." } else { "" };
    let _ = writeln!(out, "  input {shown}{more}");
    self::run(out, node, 0);
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
    let cause = text(event, "/causationid");
    if cause.starts_with(RunId::KIND) {
        let _ = writeln!(out, "    emitted by the run {cause}");
    }
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
    if let Some(evidence) = &node.evidence {
        saw(out, &evidence.saw);
    }
    for confirmed in &node.confirmations {
        self::confirmed(out, event, confirmed);
    }
    for run in &node.runs {
        self::run(out, run, 0);
    }
}

/// Who else told an event, what differs, and what only they say.
fn confirmed(out: &mut String, event: &Json, confirmed: &Confirmed) {
    let _ = write!(out, "    confirmed by {} at {}, report {}", confirmed.origin, confirmed.recorded, confirmed.report);
    let ends = confirmed.differs.as_ref().and_then(|differs| differs.to.as_ref());
    for (what, by) in [("begins", confirmed.differs.as_ref().map(|differs| &differs.from)), ("ends", ends)] {
        let Some(Quantity { value, unit }) = by else { continue };
        let _ = match value.strip_prefix('-') {
            Some(value) => write!(out, ", {what} {value} {unit} earlier"),
            None if value.bytes().all(|b| matches!(b, b'0' | b'.')) => write!(out, ", {what} at the same time"),
            None => write!(out, ", {what} {value} {unit} later"),
        };
    }
    out.push('\n');
    let known = |field: &str| event.get("data").is_some_and(|data| data.get(field).is_some());
    for (field, value) in confirmed.says.as_object().into_iter().flatten().filter(|(field, _)| !known(field)) {
        let _ = writeln!(out, "      says besides: {field} {}", words(value));
    }
}

/// What the rule looked at beside its samples.
fn saw(out: &mut String, saw: &Json) {
    let list = |name: &str| saw.get(name).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(settings) = saw.get("settings").and_then(Json::as_object) {
        let parts = settings.iter().map(|(name, value)| match name.as_str() {
            "rows" | "rules" | "values" => format!("{name} [{}]", words(value)),
            _ => format!("{name} {}", words(value)),
        });
        let _ = writeln!(out, "    settings {}", parts.collect::<Vec<_>>().join(", "));
    }
    for timer in list("timers") {
        let _ = writeln!(
            out,
            "    timer {} {}, {} to {}: {}",
            text(timer, "/timer"),
            text(timer, "/lasts"),
            text(timer, "/from"),
            text(timer, "/to"),
            text(timer, "/state")
        );
    }
    for condition in list("conditions") {
        let held = condition.get("held").and_then(Json::as_bool).unwrap_or(false);
        let value = match (condition.get("value"), text(condition, "/object")) {
            (Some(value), "") => format!("it was {}", words(value)),
            (Some(value), object) => format!("it was {} in {object}", words(value)),
            (None, "") => "it was not known".to_owned(),
            (None, object) => format!("{object} does not say it"),
        };
        let since = text(condition, "/time");
        let since = if since.is_empty() { String::new() } else { format!(" since {since}") };
        let _ = writeln!(
            out,
            "    {} {}: {}, {value}{since}",
            text(condition, "/of"),
            text(condition, "/condition"),
            if held { "held" } else { "did not hold" }
        );
    }
    if let Some(gate) = saw.get("gate") {
        let _ = writeln!(out, "    alarms kept quiet: {}", words(gate));
    }
    if let Some(context) = saw.get("context") {
        context_of(out, context);
    }
}

fn context_of(out: &mut String, context: &Json) {
    let revision = context.get("revision").map_or_else(String::new, words);
    let _ = writeln!(out, "    context revision {revision}, told at {}", text(context, "/told"));
    for object in context.get("objects").and_then(Json::as_array).into_iter().flatten() {
        let (from, to) = (text(object, "/from"), text(object, "/to"));
        let valid = match (from, to) {
            ("", "") => "always valid".to_owned(),
            (from, "") => format!("valid from {from}"),
            ("", to) => format!("valid to {to}"),
            (from, to) => format!("valid from {from} to {to}"),
        };
        let age = text(object, "/age");
        let age = if age.is_empty() { String::new() } else { format!(", {age} before") };
        let most = text(object, "/max-age");
        let stale = match (object.get("stale").and_then(Json::as_bool), most) {
            (Some(true), most) => format!(": stale, it counts for {most}"),
            (_, "") => String::new(),
            (_, most) => format!(", counts for {most}"),
        };
        let _ = writeln!(
            out,
            "      {} {}: {valid}; told by {} at {}{age}{stale}",
            text(object, "/name"),
            text(object, "/object"),
            text(object, "/origin"),
            text(object, "/told")
        );
    }
}

/// JSON as people read it.
fn words(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Array(list) => list.iter().map(words).collect::<Vec<_>>().join("; "),
        // A quantity.
        Json::Object(map) if map.contains_key("value") && map.contains_key("unit") => {
            format!("{} {}", text(json, "/value"), text(json, "/unit"))
        }
        // A limit.
        Json::Object(map) if map.contains_key("value") && map.contains_key("severity") => {
            let of = |name: &str| map.get(name).map_or_else(String::new, words);
            format!("{} (severity {})", of("value"), of("severity"))
        }
        Json::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        Json::Object(map) => {
            map.iter().map(|(name, value)| format!("{name} {}", words(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A run with its calls, and under it the runs it has started; `above` says how many of the story stand above it.
fn run(out: &mut String, node: &RunNode, above: usize) {
    let run = &node.run;
    let margin = "  ".repeat(2 + above);
    let by = match &run.parent {
        Some(parent) if above > 0 && parent.iteration.is_empty() => format!(", started by {}", parent.pointer),
        Some(parent) if above > 0 => format!(", started by {} {}", parent.pointer, parent.iteration),
        _ => String::new(),
    };
    let _ = writeln!(
        out,
        "{margin}run {} of {} {} ({}){by}",
        run.id,
        run.workflow,
        run.state.word(),
        run.definition.get(..8).unwrap_or(&run.definition)
    );
    for task in node.tasks.iter().filter(|t| t.note.is_some()) {
        let _ = writeln!(out, "{margin}  task {}: {}", task.pointer, task.note.as_deref().unwrap_or(""));
    }
    if let Some(error) = &run.error {
        let _ = writeln!(out, "{margin}  error: {error}");
    }
    if let Some(cancel) = &run.cancel {
        let _ = writeln!(out, "{margin}  cancelled by {} at {}: {}", cancel.by, cancel.at, cancel.reason);
    }
    for node in &node.calls {
        call(out, node, &margin);
    }
    for child in &node.children {
        self::run(out, child, above + 1);
    }
    if node.untold > 0 {
        let _ = writeln!(out, "{margin}  and {} more runs that it has started", node.untold);
    }
}

fn call(out: &mut String, node: &CallNode, margin: &str) {
    let call = &node.call;
    let target = match (&call.system, &call.operation) {
        (Some(system), Some(operation)) => format!("{system}.{operation}"),
        _ if call.state == CallState::Skipped => "nobody".to_owned(),
        _ => "nobody yet".to_owned(),
    };
    let _ = writeln!(
        out,
        "{margin}  call {} {} at {target}: {} (reference {})",
        call.id,
        call.capability,
        call.state.word(),
        call.reference
    );
    if let Some(waits) = &node.waits {
        let _ = writeln!(out, "{margin}    {waits}");
    }
    for attempt in &node.attempts {
        let (class, detail) = match (&attempt.outcome, attempt.shadow) {
            (Some(outcome), _) => (outcome.class.word(), outcome.detail.as_str()),
            (None, true) => ("no answer", "is known"),
            (None, false) => ("under way", ""),
        };
        let word = if attempt.shadow { "shadow" } else { "attempt" };
        let _ = writeln!(out, "{margin}    {word} {} {}: {class} {detail}", attempt.number, attempt.request);
        for exchange in attempt.outcome.iter().flat_map(|outcome| &outcome.exchanges) {
            let answered = exchange.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let _ = writeln!(out, "{margin}      {}: {}: {answered}", exchange.what, exchange.request);
        }
        // What a failed one said stands there already.
        let compared = node.shadows.iter().filter(|of| of.attempt == attempt.number);
        for compared in compared.filter(|of| matches!(of.verdict.as_str(), "same" | "differs")) {
            let _ = writeln!(out, "{margin}      compared: {}", compared.verdict);
            for difference in &compared.differences {
                let _ = writeln!(out, "{margin}        {difference}");
            }
        }
    }
    if let Some(document) = &call.document {
        let _ = writeln!(out, "{margin}    document {document}");
    }
}
