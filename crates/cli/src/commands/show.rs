//! `andon show`: one thing, whole; a call as its conversation with the system, an exception as its owner reads it.

mod exception;

use crate::{args::Show, output, target::Target};
use andon_model::call::{Exchange, Outcome, Step};
use andon_store::rows::{AttemptRow, CallRow};
use serde_json::Value as Json;
use std::{collections::BTreeMap, process::ExitCode};

pub(super) fn run(args: &Show) -> anyhow::Result<ExitCode> {
    let json = Target::find(&args.instance)?.show(&args.id)?;
    if args.instance.json {
        output::line(json.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    match exception::told(&json, andon_node::clock::now()).or_else(|| tell_call(&json)) {
        Some(lines) => lines.into_iter().for_each(output::line),
        None => output::line(serde_json::to_string_pretty(&json)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// A call as people read it; `None`: it is no call, or one that this program cannot read.
fn tell_call(json: &Json) -> Option<Vec<String>> {
    let call: CallRow = serde_json::from_value(with_memory(json.get("call")?)).ok()?;
    let attempts: Vec<AttemptRow> = serde_json::from_value(json.get("attempts")?.clone()).ok()?;
    let at = match (&call.system, &call.operation) {
        (Some(system), Some(operation)) => format!("{system}.{operation}"),
        _ => "nobody yet".to_owned(),
    };
    let mut lines = vec![
        format!("call {} {} at {at}: {}", call.id, call.capability, call.state.word()),
        format!("  reference  {}", call.reference),
        format!("  run        {} {} ({})", call.run, call.pointer, call.site),
        format!("  made       {}, last changed {}", call.created, call.updated),
    ];
    lines.extend(call.document.iter().map(|document| format!("  document   {document}")));
    lines.extend(call.due.iter().map(|due| format!("  due        {due}")));
    lines.push(format!("  input      {}", call.input));
    lines.extend(call.output.iter().map(|output| format!("  output     {output}")));
    for attempt in &attempts {
        lines.push(String::new());
        tell_attempt(attempt, &mut lines);
    }
    for shadow in json.get("shadows").and_then(Json::as_array).into_iter().flatten() {
        let text = |name: &str| shadow.get(name).and_then(Json::as_str).unwrap_or_default();
        lines.push(String::new());
        lines.push(format!("compared with {}: {}", text("operation"), text("verdict")));
        let differences = shadow.get("differences").and_then(Json::as_array).into_iter().flatten();
        lines.extend(differences.filter_map(Json::as_str).map(|difference| format!("  {difference}")));
    }
    Some(lines)
}

/// JSON set out over lines.
fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap_or_else(|_| json.to_string())
}

/// What the layers need of a call is not shown, and not read here.
fn with_memory(call: &Json) -> Json {
    let mut call = call.clone();
    if let Some(fields) = call.as_object_mut() {
        fields.entry("memory").or_insert(Json::Null);
    }
    call
}

fn tell_attempt(attempt: &AttemptRow, lines: &mut Vec<String>) {
    let AttemptRow { number, system, operation, started, .. } = attempt;
    let word = match (attempt.shadow, attempt.step) {
        (true, _) => "shadow",
        (false, Step::Send) => "attempt",
        (false, Step::Search) => "search",
    };
    let took = match attempt.ended {
        Some(ended) => format!("took {} ms", ended.since(*started).millis()),
        None => "no outcome yet".to_owned(),
    };
    lines.push(format!("{word} {number} at {system}.{operation}, {started}, {took}"));
    let exchanges = attempt.outcome.as_ref().map_or(&[][..], |outcome| &outcome.exchanges);
    // Nothing is kept of a token but that it was got.
    let (tokens, pages): (Vec<&Exchange>, Vec<&Exchange>) = exchanges.iter().partition(|of| of.what == "token");
    lines.extend(tokens.iter().map(|of| format!("  {}: {}: {}", of.what, of.request, status(of.status))));
    lines.push(format!("  > {}", attempt.request));
    tell_message('>', &attempt.headers, &attempt.body, lines);
    let Some(outcome) = &attempt.outcome else { return };
    tell_answer(outcome, lines);
    for of in pages {
        tell_exchange(of, lines);
    }
    lines.push(format!("  {}: {}", outcome.class, outcome.detail));
    lines.extend(outcome.retry_after.iter().map(|pause| format!("  asks to be left alone for {pause}")));
}

fn status(status: Option<u16>) -> String {
    status.map_or_else(|| "no answer".to_owned(), |status| status.to_string())
}

fn tell_answer(outcome: &Outcome, lines: &mut Vec<String>) {
    if outcome.sent {
        lines.push(format!("  < {}", status(outcome.status)));
    } else {
        lines.push("  not sent".to_owned());
    }
    tell_message('<', &outcome.headers, &outcome.response, lines);
}

fn tell_exchange(exchange: &Exchange, lines: &mut Vec<String>) {
    lines.push(format!("  {}:", exchange.what));
    lines.push(format!("  > {}", exchange.request));
    tell_message('>', &BTreeMap::new(), &exchange.body, lines);
    lines.push(format!("  < {}", status(exchange.status)));
    tell_message('<', &BTreeMap::new(), &exchange.response, lines);
}

/// Headers and body of one side; a body of JSON is set out.
fn tell_message(side: char, headers: &BTreeMap<String, String>, body: &str, lines: &mut Vec<String>) {
    lines.extend(headers.iter().map(|(name, value)| format!("  {side} {name}: {value}")));
    if body.is_empty() {
        return;
    }
    lines.push(format!("  {side}"));
    let json = serde_json::from_str::<Json>(body).ok().filter(|json| json.is_object() || json.is_array());
    let set_out = json.and_then(|json| serde_json::to_string_pretty(&json).ok());
    lines.extend(set_out.as_deref().unwrap_or(body).lines().map(|line| format!("  {side} {line}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_reads_as_its_conversation() {
        let shown = json!({
            "call": {
                "id": "ca_0123456789ABCDEF", "site": "home", "run": "ru_0123456789ABCDEF", "pointer": "/do/0/request",
                "iteration": "", "key": "ru_0123456789ABCDEF/do/0/request//0", "reference": "0123456789ABCDEF",
                "capability": "maintenance.request-work", "system": "eam", "operation": "create-request",
                "state": "delivered", "input": {"title": "Bearing"}, "output": {"document": "MR-7"}, "document": "MR-7",
                "created": "2026-11-22T06:00:00Z", "updated": "2026-11-22T06:00:02Z", "due": null, "attempts": 2,
                "class": "ok", "detail": "201 Created",
            },
            "attempts": [
                {
                    "call": "ca_0123456789ABCDEF", "number": 1, "step": "send", "system": "eam",
                    "operation": "create-request", "hash": "0123456789ABCDEF", "request": "POST https://eam/requests",
                    "headers": {"accept": "application/json", "x-session-token": "[redacted]"},
                    "body": "{\"title\":\"Bearing\",\"password\":\"[redacted]\"}", "started": "2026-11-22T06:00:00Z",
                    "ended": "2026-11-22T06:00:01.25Z",
                    "outcome": {
                        "class": "limit", "sent": true, "status": 429, "detail": "429 Too Many Requests: slow down",
                        "output": null, "document": null, "retry_after": null, "response": "slow down",
                        "headers": {"retry-after": "1"},
                        "exchanges": [
                            {"what": "token", "request": "POST https://login/token", "status": 200},
                            {"what": "page 2", "request": "GET https://eam/requests?skip=1", "status": 200,
                             "response": "[]"},
                        ],
                    },
                },
                {
                    "call": "ca_0123456789ABCDEF", "number": 2, "step": "search", "system": "eam",
                    "operation": "create-request", "hash": "0123456789ABCDEF", "request": "GET https://eam/requests",
                    "body": "", "started": "2026-11-22T06:00:02Z", "ended": null, "outcome": null,
                },
            ],
            "shadows": [{"operation": "s4.create", "verdict": "differs", "differences": ["/state: NEW, OPEN"]}],
        });
        let lines = tell_call(&shown).expect("it is a call");
        insta::assert_snapshot!(lines.join("\n"));
        assert_eq!(tell_call(&json!({ "event": {} })), None);
    }
}
