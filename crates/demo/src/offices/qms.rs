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
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[INCIDENT, CLOSURE];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::Qms, Offices, tests::Asked};

    fn now() -> Time {
        Time::parse("2026-11-26T08:20:00Z").unwrap()
    }

    const GOOD: &str = r#"{"plant":"1010","batch":"B001000123","asset":"cartoner-07","characteristic":"vibration",
        "value":4.9,"limit":"4.5","unit":"mm/s","evidence":{"event":"ev_7K3QF0ZT9M2RX4B8","count":24}}"#;

    fn open(offices: &mut Offices, key: &str, body: &str) -> Reply {
        offices.ask_with(Qms, "POST", "/api/incidents", body, &[("idempotency-key", key)], now())
    }

    fn close(offices: &mut Offices, id: &str, body: &str) -> Reply {
        offices.ask(Qms, "PUT", &format!("/api/incidents/{id}/closure"), body, now())
    }

    #[test]
    fn an_incident_is_opened_once_and_closed_once() {
        let mut offices = Offices::new(now());
        let first = open(&mut offices, "K1", GOOD);
        assert_eq!((first.status, &first.body["id"], &first.body["state"]), (201, &json!("QI-000001"), &json!("open")));
        assert_eq!((&first.body["value"], &first.body["evidence"]["count"]), (&json!("4.9"), &json!(24)));
        let again = open(&mut offices, "K1", GOOD);
        assert_eq!((again.status, again.body), (201, first.body));
        let closure = r#"{"reference":"R2","result":"LR-000001","verdict":"accepted"}"#;
        let closed = close(&mut offices, "QI-000001", closure);
        assert_eq!(
            (closed.status, &closed.body["state"], &closed.body["result"]),
            (200, &json!("closed"), &json!("LR-000001"))
        );
        let again = close(&mut offices, "QI-000001", closure);
        assert_eq!((again.status, again.body), (200, closed.body));
        assert_eq!(close(&mut offices, "QI-000001", &closure.replace("R2", "R3")).status, 409);
        assert_eq!(close(&mut offices, "QI-000001", &closure.replace("accepted", "rejected")).status, 409);
        let documents: Vec<&str> = offices.kept(Qms).lines().iter().map(|line| line.document.as_str()).collect();
        assert_eq!(documents, ["QI-000001", "QI-000001/1"]);
        // A key that was used stays used when the incident is closed.
        assert_eq!(open(&mut offices, "K1", GOOD).body["state"], "closed");
    }

    #[test]
    fn incidents_are_found() {
        let mut offices = Offices::new(now());
        open(&mut offices, "K1", GOOD);
        open(&mut offices, "K2", GOOD);
        close(&mut offices, "QI-000001", r#"{"reference":"R2","result":"LR-000001","verdict":"accepted"}"#);
        let mut found = |query: &str| {
            let body = offices.ask(Qms, "GET", &format!("/api/incidents{query}"), "", now()).body;
            body["incidents"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("?state=open"), ["QI-000002"]);
        assert_eq!(found("?reference=K1"), ["QI-000001"]);
        assert_eq!(found("?batch=B1").len(), 0);
        assert_eq!(offices.ask(Qms, "GET", "/api/incidents/QI-000001", "", now()).body["verdict"], "accepted");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut offices = Offices::new(now());
        assert_eq!(offices.ask(Qms, "POST", "/api/incidents", GOOD, now()).status, 400);
        let wrong = open(&mut offices, "K1", &GOOD.replace("ev_7K3QF0ZT9M2RX4B8", "").replace("1010", "10"));
        assert_eq!(wrong.status, 422);
        let places: Vec<&Json> = wrong.body["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
        assert_eq!(places, [&json!("/plant"), &json!("/evidence/event")]);
        open(&mut offices, "K1", GOOD);
        assert_eq!(open(&mut offices, "K1", &GOOD.replace("4.9", "5.1")).status, 422);
        let closure = r#"{"reference":"R2","result":"LR-000001","verdict":"accepted"}"#;
        assert_eq!(close(&mut offices, "QI-000009", closure).status, 404);
        assert_eq!(close(&mut offices, "QI-000001", &closure.replace("accepted", "good")).status, 422);
        assert_eq!(offices.kept(Qms).lines().len(), 1);
    }
}
