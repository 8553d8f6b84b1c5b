//! Quality incidents: opened with an idempotency key, closed with the verdict of the lab.

use super::{
    Documents, Line, Reply, Request,
    documents::Again,
    fields::{self, Field, Shape, is_digits, needed, possible},
    format::short,
};
use andon_model::Time;
use serde_json::{Value as Json, json};

/// The kind of lines that open an incident.
pub(super) const INCIDENT: &str = "incident";
const CLOSURE: &str = "closure";

const EVIDENCE: [Field; 5] = [
    needed("event", Shape::Text(64)),
    possible("from", Shape::Moment),
    possible("to", Shape::Moment),
    possible("count", Shape::Whole(0, i64::MAX)),
    possible("hash", Shape::Text(128)),
];
const INCIDENT_FIELDS: [Field; 10] = [
    needed("plant", Shape::Form(|text| is_digits(text, 4), "a plant of four digits")),
    needed("batch", Shape::Text(20)),
    possible("material", Shape::Text(40)),
    needed("asset", Shape::Text(40)),
    needed("characteristic", Shape::Text(40)),
    needed("value", Shape::Decimal),
    possible("limit", Shape::Decimal),
    possible("unit", Shape::Text(12)),
    possible("text", Shape::Long(2_000)),
    needed("evidence", Shape::Object(&EVIDENCE)),
];
const CLOSURE_FIELDS: [Field; 3] = [
    needed("reference", Shape::Text(40)),
    needed("result", Shape::Text(20)),
    needed("verdict", Shape::OneOf(&["accepted", "rejected"])),
];

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    match (request.method.as_str(), &request.target().1[..]) {
        ("POST", ["api", "incidents"]) => open(kept, request, now),
        ("GET", ["api", "incidents"]) => search(kept, request),
        ("GET", ["api", "incidents", id]) => match incident(kept, id) {
            Ok(line) => Reply::new(200, row(line, closure(kept, id))),
            Err(reply) => *reply,
        },
        ("PUT", ["api", "incidents", id, "closure"]) => close(kept, id, request, now),
        _ => Reply::nothing_at(request),
    }
}

fn incident<'a>(kept: &'a Documents, id: &str) -> Result<&'a Line, Box<Reply>> {
    kept.document(id)
        .filter(|line| line.kind == INCIDENT)
        .ok_or_else(|| Box::new(Reply::problem(404, "Not Found", &format!("there is no incident {}", short(id)))))
}

fn closure<'a>(kept: &'a Documents, id: &str) -> Option<&'a Line> {
    kept.document(&format!("{id}/1"))
}

/// An incident as it is answered.
fn row(line: &Line, closure: Option<&Line>) -> Json {
    let mut row = json!({ "id": line.document, "state": "open", "opened": line.at, "reference": line.reference });
    if let Some(row) = row.as_object_mut() {
        row.extend(line.fields.clone());
        if let Some(closure) = closure {
            row.insert("state".into(), "closed".into());
            row.insert("closed".into(), json!(closure.at));
            row.extend(closure.fields.clone());
        }
    }
    row
}

fn open(kept: &Documents, request: &Request, now: Time) -> Reply {
    let key = match request.key() {
        Ok(key) => key,
        Err(reply) => return *reply,
    };
    let asked = match fields::of(request, &INCIDENT_FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.problem(),
    };
    match kept.again(INCIDENT, key, &asked) {
        Again::Same(line) => Reply::new(201, row(line, closure(kept, &line.document))),
        Again::Other(_) => Reply::key_used(),
        Again::New => {
            let line = Line::new(now, INCIDENT, kept.next("QI-", 6), Some(key), asked);
            Reply::new(201, row(&line, None)).writing(line)
        }
    }
}

fn search(kept: &Documents, request: &Request) -> Reply {
    let rows = kept.of(INCIDENT).map(|line| row(line, closure(kept, &line.document)));
    let is_asked = |row: &Json| {
        ["state", "reference", "batch"].iter().all(|name| request.asked(name).is_none_or(|value| row[name] == value))
    };
    Reply::new(200, json!({ "incidents": rows.filter(is_asked).collect::<Vec<_>>() }))
}

fn close(kept: &Documents, id: &str, request: &Request, now: Time) -> Reply {
    let line = match incident(kept, id) {
        Ok(line) => line,
        Err(reply) => return *reply,
    };
    let mut asked = match fields::of(request, &CLOSURE_FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.problem(),
    };
    let reference = asked.shift_remove("reference");
    let reference = reference.as_ref().and_then(Json::as_str).unwrap_or_default();
    if let Some(closed) = closure(kept, id) {
        let is_same = closed.reference.as_deref() == Some(reference)
            && asked.iter().all(|(name, value)| closed.fields.get(name) == Some(value));
        if is_same {
            return Reply::new(200, row(line, Some(closed)));
        }
        return Reply::problem(409, "Conflict", &format!("the incident {id} is closed already"));
    }
    let closing = Line::new(now, CLOSURE, format!("{id}/1"), Some(reference), asked);
    Reply::new(200, row(line, Some(&closing))).writing(closing)
}
