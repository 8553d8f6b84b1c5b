//! Compares what came of a scenario with what it expects, so that a person sees the difference at a glance.

use super::stage::Found;
use andon_contract::contract::{Expected, Scenario};
use andon_model::{Event, Time};
use andon_store::rows::{CallRow, ExceptionRow};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// Rows of one kind are compared up to so many; longer lists are compared one by one in their order.
const ALIGN_MAX: usize = 2_000;

/// What is compared of one kind: events, calls, exceptions.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its word.
    pub of: &'static str,
    /// Expected and found, in order.
    pub lines: Vec<Line>,
}

/// One thing that was expected, or found, or both.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// How it stands.
    pub kind: LineKind,
    /// In words: what was found, or what is missing.
    pub what: String,
    /// The line in the scenario's file, of what is expected.
    pub line: Option<usize>,
    /// Each field that differs: its path, what is expected, what was found.
    pub differences: Vec<(String, Json, Json)>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    /// Expected and found.
    Ok,
    /// Found, but not as expected.
    Differs,
    /// Expected and not found.
    Missing,
    /// Found and not expected.
    Unexpected,
}

impl Part {
    /// Whether everything is as expected.
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|line| line.kind == LineKind::Ok)
    }
}

/// A thing as it is compared and as it is told.
struct Row {
    json: Json,
    told: String,
}

pub(super) fn compare(scenario: &Scenario, found: &Found) -> Vec<Part> {
    let expect = &scenario.expect;
    let start = scenario.start;
    let mut parts = Vec::new();
    if let Some(events) = &expect.events {
        let rows = found.events.iter().filter(|event| !expect.ignore.contains(&event.kind));
        parts.push(align("events", events, &rows.map(|event| of_event(event, start)).collect::<Vec<_>>(), start));
    }
    if let Some(calls) = &expect.calls {
        parts.push(align("calls", calls, &found.calls.iter().map(of_call).collect::<Vec<_>>(), start));
    }
    let rows: Vec<Row> = found.exceptions.iter().map(of_exception).collect();
    parts.push(align("exceptions", &expect.exceptions, &rows, start));
    if !found.unanswered.is_empty() {
        let lines = found.unanswered.iter().map(|asked| Line {
            kind: LineKind::Missing,
            what: format!("an answer of {asked}: add one under `answers`"),
            line: None,
            differences: Vec::new(),
        });
        parts.push(Part { of: "answers", lines: lines.collect() });
    }
    parts
}

fn of_event(event: &Event, start: Time) -> Row {
    let mut told = format!("{} {} {}", offset(event.time, start), event.kind, event.subject);
    for field in ["change", "limit", "outcome"] {
        if let Some(text) = event.data.get(field).and_then(Json::as_str) {
            told.push(' ');
            told.push_str(text);
        }
    }
    let (kind, subject, data) = (&event.kind, &event.subject, &event.data);
    Row { json: json!({ "type": kind, "time": event.time, "subject": subject, "data": data }), told }
}

fn of_call(call: &CallRow) -> Row {
    let operation = match (&call.system, &call.operation) {
        (Some(system), Some(operation)) => Some(format!("{system}.{operation}")),
        _ => None,
    };
    let mut told = format!("{} {}", call.capability, call.state.word());
    if let Some(operation) = &operation {
        let _ = write!(told, " by {operation}");
    }
    if let Some(document) = &call.document {
        let _ = write!(told, " as {document}");
    }
    let json = json!({
        "capability": call.capability, "operation": operation, "state": call.state.word(),
        "attempts": call.attempts, "document": call.document, "input": call.input,
    });
    Row { json, told }
}

fn of_exception(row: &ExceptionRow) -> Row {
    let told = format!("{} of {}: {}", row.kind.word(), row.owner, row.cause);
    Row { json: json!({ "kind": row.kind.word(), "owner": row.owner, "cause": row.cause }), told }
}

/// A moment as people count in a scenario: from its start, to the millisecond.
pub(super) fn offset(time: Time, start: Time) -> String {
    let millis = time.since(start).millis();
    let (sign, millis) = if millis < 0 { ("-", -millis) } else { ("", millis) };
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let part = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    format!("{sign}{:02}:{:02}:{:02}{part}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Brings expected and found together: as many as possible that fit, in the order of both; what stands between two
/// that fit is compared in pairs.
fn align(of: &'static str, expected: &[Expected], found: &[Row], start: Time) -> Part {
    let mut lines = Vec::new();
    let (mut e, mut f) = (0, 0);
    for (next_e, next_f) in pairs(expected, found).into_iter().chain([(expected.len(), found.len())]) {
        between(
            &mut lines,
            expected.get(e..next_e).unwrap_or_default(),
            found.get(f..next_f).unwrap_or_default(),
            start,
        );
        if let (Some(want), Some(row)) = (expected.get(next_e), found.get(next_f)) {
            lines.push(Line {
                kind: LineKind::Ok,
                what: row.told.clone(),
                line: Some(want.line),
                differences: Vec::new(),
            });
        }
        (e, f) = (next_e + 1, next_f + 1);
    }
    Part { of, lines }
}

/// What does not fit: paired where both sides have something of the same kind, else missing or unexpected.
fn between(lines: &mut Vec<Line>, expected: &[Expected], found: &[Row], start: Time) {
    let mut left: Vec<&Row> = found.iter().collect();
    for want in expected {
        let alike = |row: &&&Row| {
            ["type", "capability", "kind"].iter().all(|key| match want.fields.get(*key) {
                Some(value) => row.json.get(*key) == Some(value),
                None => true,
            })
        };
        let place = left.iter().position(|row| alike(&row));
        match place.map(|place| left.remove(place)) {
            Some(row) => {
                let mut differences = Vec::new();
                differ("", &want.fields, &row.json, &mut differences);
                lines.push(Line {
                    kind: LineKind::Differs,
                    what: row.told.clone(),
                    line: Some(want.line),
                    differences,
                });
            }
            None => lines.push(Line {
                kind: LineKind::Missing,
                what: wanted(&want.fields, start),
                line: Some(want.line),
                differences: Vec::new(),
            }),
        }
    }
    lines.extend(left.into_iter().map(|row| Line {
        kind: LineKind::Unexpected,
        what: row.told.clone(),
        line: None,
        differences: Vec::new(),
    }));
}

/// What is expected, in words.
fn wanted(fields: &Json, start: Time) -> String {
    let mut told = Vec::new();
    for (key, value) in fields.as_object().into_iter().flatten() {
        let text = value.as_str();
        told.push(match (key.as_str(), text.and_then(|text| Time::parse(text).ok())) {
            ("time", Some(time)) => format!("at {}", offset(time, start)),
            _ => format!("{key} {}", text.map_or_else(|| value.to_string(), str::to_owned)),
        });
    }
    told.join(", ")
}

/// The longest list of pairs that fit, in the order of both.
fn pairs(expected: &[Expected], found: &[Row]) -> Vec<(usize, usize)> {
    let fit = |e: usize, f: usize| match (expected.get(e), found.get(f)) {
        (Some(want), Some(row)) => fits(&want.fields, &row.json),
        _ => false,
    };
    if expected.len().saturating_mul(found.len()) > ALIGN_MAX * ALIGN_MAX {
        return (0..expected.len().min(found.len())).filter(|at| fit(*at, *at)).map(|at| (at, at)).collect();
    }
    // `best[e][f]`: how many pairs the rests from e and f on have.
    let width = found.len() + 1;
    let mut best = vec![0_u32; (expected.len() + 1) * width];
    let at = |best: &Vec<u32>, e: usize, f: usize| best.get(e * width + f).copied().unwrap_or(0);
    for e in (0..expected.len()).rev() {
        for f in (0..found.len()).rev() {
            let both = if fit(e, f) { at(&best, e + 1, f + 1) + 1 } else { 0 };
            let most = both.max(at(&best, e + 1, f)).max(at(&best, e, f + 1));
            if let Some(cell) = best.get_mut(e * width + f) {
                *cell = most;
            }
        }
    }
    let (mut e, mut f) = (0, 0);
    let mut pairs = Vec::new();
    while e < expected.len() && f < found.len() {
        if fit(e, f) && at(&best, e, f) == at(&best, e + 1, f + 1) + 1 {
            pairs.push((e, f));
            (e, f) = (e + 1, f + 1);
        } else if at(&best, e + 1, f) >= at(&best, e, f + 1) {
            e += 1;
        } else {
            f += 1;
        }
    }
    pairs
}

/// Whether everything that is expected is there: objects are parts, everything else is equal. A cause is a part of the
/// text that is there.
fn fits(expected: &Json, found: &Json) -> bool {
    let mut differences = Vec::new();
    differ("", expected, found, &mut differences);
    differences.is_empty()
}

fn differ(path: &str, expected: &Json, found: &Json, out: &mut Vec<(String, Json, Json)>) {
    match (expected, found) {
        (Json::Object(want), Json::Object(have)) => {
            for (key, value) in want {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differ(&path, value, have.get(key).unwrap_or(&Json::Null), out);
            }
        }
        (Json::Number(want), Json::Number(have)) if want.as_f64() == have.as_f64() => {}
        (Json::String(part), Json::String(whole)) if path == "cause" && whole.contains(part.as_str()) => {}
        _ if expected == found => {}
        _ => out.push((path.to_owned(), expected.clone(), found.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(fields: Json) -> Expected {
        Expected { fields, line: 1 }
    }

    fn row(json: Json) -> Row {
        Row { told: json.to_string(), json }
    }

    fn kinds(expected: &[Expected], found: &[Row]) -> Vec<LineKind> {
        align("events", expected, found, Time(0)).lines.iter().map(|line| line.kind).collect()
    }

    #[test]
    fn what_is_named_is_compared_and_what_is_not_may_be_anything() {
        assert!(fits(&json!({"a": 1, "b": {"c": "x"}}), &json!({"a": 1.0, "b": {"c": "x", "d": 2}, "e": 3})));
        assert!(!fits(&json!({"a": [1, 2]}), &json!({"a": [1, 2, 3]})));
        assert!(!fits(&json!({"a": null}), &json!({"a": 1})));
        assert!(fits(&json!({"a": null}), &json!({})), "null is what is not there");
        assert!(fits(&json!({"cause": "down"}), &json!({"cause": "the system is down"})));
    }

    #[test]
    fn one_that_is_missing_shifts_nothing() {
        use LineKind::{Missing, Ok, Unexpected};
        let all = |names: &[&str]| names.iter().map(|n| row(json!({"type": n}))).collect::<Vec<_>>();
        let wanted = |names: &[&str]| names.iter().map(|n| want(json!({"type": n}))).collect::<Vec<_>>();
        assert_eq!(kinds(&wanted(&["a", "b", "c"]), &all(&["a", "c"])), [Ok, Missing, Ok]);
        assert_eq!(kinds(&wanted(&["a", "c"]), &all(&["a", "b", "c"])), [Ok, Unexpected, Ok]);
        assert_eq!(kinds(&wanted(&[]), &all(&["a"])), [Unexpected]);
        assert_eq!(kinds(&wanted(&["a"]), &all(&[])), [Missing]);
    }

    #[test]
    fn what_is_almost_right_tells_the_field() {
        let expected = [want(json!({"type": "asset.alarm", "data": {"limit": "High", "severity": 700}}))];
        let found = [row(json!({"type": "asset.alarm", "data": {"limit": "HighHigh", "severity": 700}}))];
        let part = align("events", &expected, &found, Time(0));
        let [line] = &part.lines[..] else { panic!("{part:?}") };
        assert_eq!(line.kind, LineKind::Differs);
        assert_eq!(line.differences, [("data.limit".to_owned(), json!("High"), json!("HighHigh"))]);
    }

    #[test]
    fn a_moment_is_told_from_the_start() {
        assert_eq!(offset(Time(3_661_500_000_000), Time(0)), "01:01:01.500");
        assert_eq!(offset(Time(0), Time(60_000_000_000)), "-00:01:00");
    }
}
