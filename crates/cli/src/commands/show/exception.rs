//! An exception as its owner reads it: what is wrong, what to do, what came in, what went out, what was done about it.

use super::{pretty, tell_call};
use crate::commands::exceptions::told::{due, who};
use andon_model::Time;
use serde_json::Value as Json;

/// Bytes of a message that are told where it is no text.
const BYTES_SHOWN: usize = 120;

/// The lines; `None`: it is no exception.
pub(super) fn told(json: &Json, now: Time) -> Option<Vec<String>> {
    let row = json.get("exception")?;
    let text = |name: &str| row.get(name).and_then(Json::as_str);
    let of = |name: &str| text(name).unwrap_or("-");
    let at = text("due").and_then(|due| Time::parse(due).ok());
    let mut lines = vec![format!("exception {} {}: {}", of("id"), of("kind"), of("state"))];
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<10} {value}"));
        }
    };
    say("cause", of("cause").to_owned());
    say("detail", of("detail").to_owned());
    say("owner", format!("{}, {}", who(row), due(at, now)));
    say("escalated", text("escalated").map(|at| format!("at {at}")).unwrap_or_default());
    let place: Vec<String> = ["site", "system", "capability", "outcome", "source"]
        .iter()
        .filter_map(|name| text(name).map(|value| format!("{name} {value}")))
        .collect();
    say("about", place.join(", "));
    say("key", text("key").unwrap_or_default().to_owned());
    let count = row.get("count").and_then(Json::as_u64).unwrap_or(1);
    say(
        "seen",
        format!("{count} {}, first {}, last {}", if count == 1 { "time" } else { "times" }, of("first"), of("last")),
    );
    say("group", group(json));
    say("reason", text("reason").unwrap_or_default().to_owned());
    say("do", advice(row));
    if let Some(decision) = row.get("decision").filter(|decision| !decision.is_null()) {
        lines.push(String::new());
        lines.push("asked:".to_owned());
        lines.extend(pretty(decision).lines().map(|line| format!("  {line}")));
    }
    proposal(json, &mut lines);
    if let Some(run) = json.get("run") {
        let text = |name: &str| run.get(name).and_then(Json::as_str).unwrap_or("-");
        lines.push(String::new());
        lines.push(format!("run {} {} ({}): {}", text("id"), text("workflow"), text("site"), text("state")));
        let error = run.get("error").filter(|error| !error.is_null());
        lines.extend(error.map(|error| format!("  error      {error}")));
    }
    if let Some(event) = json.get("event") {
        lines.push(String::new());
        lines.push("what came in, the event that began it:".to_owned());
        lines.extend(pretty(event).lines().map(|line| format!("  {line}")));
    }
    for message in json.get("quarantine").and_then(Json::as_array).into_iter().flatten() {
        lines.push(String::new());
        tell_set_aside(message, &mut lines);
    }
    if let Some(call) = tell_call(json) {
        lines.push(String::new());
        lines.extend(call);
    }
    for before in json.get("superseded").and_then(Json::as_array).into_iter().flatten() {
        lines.push(String::new());
        lines.push("before its input was edited:".to_owned());
        lines.extend(tell_call(before).into_iter().flatten().map(|line| format!("  {line}").trim_end().to_owned()));
    }
    history(json, &mut lines);
    Some(lines)
}

fn group(json: &Json) -> String {
    let Some(group) = json.get("group") else { return String::new() };
    let number = |name: &str| group.get(name).and_then(Json::as_u64).unwrap_or_default();
    let ended = number("resolved") + number("discarded");
    let fingerprint = group.get("fingerprint").and_then(Json::as_str).unwrap_or_default();
    format!("{fingerprint} ({} unfinished, {ended} ended)", number("unfinished"))
}

fn advice(row: &Json) -> String {
    let text = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default();
    match text("action") {
        "" => text("remedy").to_owned(),
        action => format!("{action}: {}", text("remedy")),
    }
}

/// An edit that waits for a second person.
fn proposal(json: &Json, lines: &mut Vec<String>) {
    let Some(of) = json.pointer("/exception/proposal").filter(|of| !of.is_null()) else { return };
    let text = |name: &str| of.get(name).and_then(Json::as_str).unwrap_or("-");
    lines.push(String::new());
    let why = match text("reason") {
        "" | "-" => String::new(),
        reason => format!(": {reason}"),
    };
    lines.push(format!("edit proposed by {} at {}{why}", text("by"), text("at")));
    for one in json.get("proposed").and_then(Json::as_array).into_iter().flatten() {
        lines.push(format!("  {}", difference(one)));
    }
}

/// A place of an edit.
fn difference(one: &Json) -> String {
    let at = one.get("at").and_then(Json::as_str).unwrap_or_default();
    let side = |name: &str| one.get(name).filter(|value| !value.is_null());
    match (side("from"), side("to")) {
        (Some(from), Some(to)) => format!("{at}: {from} becomes {to}"),
        (None, Some(to)) => format!("{at}: {to} is new"),
        (Some(from), None) => format!("{at}: {from} is gone"),
        (None, None) => at.to_owned(),
    }
}

/// A message with its bytes.
fn tell_set_aside(message: &Json, lines: &mut Vec<String>) {
    let text = |name: &str| message.get(name).and_then(Json::as_str);
    let of = |name: &str| text(name).unwrap_or("-");
    let size = message.get("size").and_then(Json::as_u64).unwrap_or_default();
    lines.push(format!("set aside {} from {} ({}), {size} bytes", of("received"), of("source"), of("topic")));
    lines.push(format!("  {}", of("detail")));
    if let Some(text) = text("text") {
        lines.extend(text.lines().map(|line| format!("  < {line}")));
        return;
    }
    let bytes = of("bytes");
    let more = if bytes.len() > BYTES_SHOWN { "... (--json tells all)" } else { "" };
    lines.push(format!("  < base64 {}{more}", bytes.get(..BYTES_SHOWN).unwrap_or(bytes)));
}

/// What was done about it.
fn history(json: &Json, lines: &mut Vec<String>) {
    let acts = json.get("history").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if acts.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("what was done about it:".to_owned());
    for act in acts {
        let text = |name: &str| act.get(name).and_then(Json::as_str).unwrap_or("-");
        lines.push(format!("  {} {} {}", text("at"), text("actor"), text("act")));
        for (name, value) in act.get("detail").and_then(Json::as_object).into_iter().flatten() {
            match (name.as_str(), value) {
                ("changes", Json::Array(all)) => {
                    lines.extend(all.iter().map(|one| format!("    {}", difference(one))));
                }
                (_, nothing) if nothing.is_null() || nothing == "" => {}
                (_, Json::String(text)) => lines.push(format!("    {name}: {text}")),
                (_, other) => lines.push(format!("    {name}: {other}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_exception_reads_as_a_whole() {
        let shown = json!({
            "exception": {
                "id": "ex_0123456789ABCDEF", "site": "hamburg", "kind": "output", "owner": "maintenance",
                "fingerprint": "refused/hamburg/maintenance.request-work/eam/validation/#",
                "cause": "maintenance.request-work was refused by eam (validation), and its run has ended",
                "detail": "422 Unprocessable: unknown unit; reference 0123456789ABCDEF, task /do/0/request",
                "remedy": "correct what is sent", "count": 2, "first": "2026-11-22T06:00:00Z",
                "last": "2026-11-22T07:00:00Z", "state": "assigned", "source": null, "run": "ru_0123456789ABCDEF",
                "call": "ca_0123456789ABCDEF", "due": "2026-11-22T14:00:00Z", "system": "eam",
                "capability": "maintenance.request-work", "domain": "maintenance", "outcome": "validation",
                "key": "cartoner-07", "action": "edit", "assignee": "mia", "reason": "she knows the unit",
                "proposal": {"input": {"unit": "KG"}, "by": "mia", "at": "2026-11-22T07:30:00Z", "reason": "the unit"},
            },
            "quarantine": [],
            "group": {
                "fingerprint": "refused/hamburg/maintenance.request-work/eam/validation/#", "unfinished": 9,
                "resolved": 2, "discarded": 1,
            },
            "run": {
                "id": "ru_0123456789ABCDEF", "workflow": "request-maintenance", "site": "hamburg", "state": "faulted",
                "error": {"status": 422, "title": "unknown unit"},
            },
            "event": {"id": "ev_0123456789ABCDEF", "type": "asset.alarm", "data": {"change": "activated"}},
            "call": {
                "id": "ca_0123456789ABCDEF", "site": "hamburg", "run": "ru_0123456789ABCDEF",
                "pointer": "/do/0/request",
                "iteration": "", "key": "ru_0123456789ABCDEF/do/0/request//0", "reference": "0123456789ABCDEF",
                "capability": "maintenance.request-work", "system": "eam", "operation": "create-request",
                "state": "refused", "input": {"unit": "kg"}, "output": null, "document": null,
                "created": "2026-11-22T06:00:00Z", "updated": "2026-11-22T06:00:02Z", "due": null, "attempts": 1,
                "class": "validation", "detail": "422 Unprocessable: unknown unit",
            },
            "attempts": [],
            "proposed": [{"at": "/unit", "from": "kg", "to": "KG"}, {"at": "/note", "to": 1}, {"at": "/x", "from": 2}],
            "history": [
                {"number": 3, "at": "2026-11-22T06:30:00Z", "actor": "jo", "act": "exception.assign",
                 "subject": "ex_0123456789ABCDEF", "detail": {"to": "mia", "is": "person", "reason": ""}},
                {"number": 4, "at": "2026-11-22T07:30:00Z", "actor": "mia", "act": "exception.propose",
                 "subject": "ex_0123456789ABCDEF",
                 "detail": {"changes": [{"at": "/unit", "from": "kg", "to": "KG"}], "reason": "the unit"}},
            ],
        });
        let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
        insta::assert_snapshot!(told(&shown, now).unwrap().join("\n"));
        assert_eq!(told(&json!({ "event": {} }), now), None);
    }

    #[test]
    fn messages_that_were_set_aside_are_shown_with_their_bytes() {
        let shown = json!({
            "exception": {
                "id": "ex_0123456789ABCDEF", "kind": "input", "owner": "integration", "state": "open", "count": 1,
                "cause": "a message is no JSON", "detail": "at byte 3", "remedy": "correct the sender",
                "first": "2026-11-22T06:00:00Z", "last": "2026-11-22T06:00:00Z", "source": "machines",
                "action": "replay", "due": "2026-11-22T07:00:00Z",
            },
            "quarantine": [
                {"received": "2026-11-22T06:00:00Z", "source": "machines", "topic": "plant/m-1", "detail": "at byte 3",
                 "size": 5, "text": "{\"a\":\n", "bytes": "eyJhIjo="},
                {"received": "2026-11-22T05:00:00Z", "source": "machines", "topic": "plant/m-1", "detail": "no UTF-8",
                 "size": 2, "text": null, "bytes": "//8="},
            ],
            "history": [],
        });
        let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
        insta::assert_snapshot!(told(&shown, now).unwrap().join("\n"));
    }
}
