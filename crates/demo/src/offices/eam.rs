//! Maintenance of a kind of its own: takes requests, also twice, and finds them by reference.

use super::{
    Documents, Line, Reply, Request,
    fields::{self, Field, Shape, is_digits, needed, possible},
    format::short,
    life::Stage,
};
use andon_model::Time;
use serde_json::{Value as Json, json};

/// Rows of one answer to `GET /requests`.
const PAGE_MAX: usize = 1_000;
/// Rows of one answer when the caller names no limit.
const PAGE_DEFAULT: usize = 100;

const KIND: &str = "maintenance-request";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[KIND];
const PRIORITIES: [&str; 3] = ["high", "medium", "low"];
const FIELDS: [Field; 7] = [
    possible("reference", Shape::Text(20)),
    needed("description", Shape::Line(200)),
    possible("longDescription", Shape::Long(20_000)),
    needed("equipment", Shape::Form(is_equipment, "an equipment of this office, EQ- and six digits")),
    needed("plant", Shape::Form(|text| is_digits(text, 4), "a plant of four digits")),
    possible("priority", Shape::OneOf(&PRIORITIES)),
    possible("reportedAt", Shape::Moment),
];

fn is_equipment(text: &str) -> bool {
    text.strip_prefix("EQ-").is_some_and(|rest| is_digits(rest, 6))
}

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    match (request.method.as_str(), &request.target().1[..]) {
        ("POST", ["requests"]) => create(kept, request, now),
        ("GET", ["requests"]) => search(kept, &request.query, now),
        ("GET", ["requests", number]) => match kept.document(number) {
            Some(line) => Reply::new(200, row(line, now)),
            None => Reply::problem(404, "Not Found", &format!("there is no request {}", short(number))),
        },
        (method, ["requests", ..]) => {
            Reply::problem(405, "Method Not Allowed", &format!("{} is not possible here", short(method)))
        }
        _ => Reply::nothing_at(request),
    }
}

/// A request as it is answered.
fn row(line: &Line, now: Time) -> Json {
    let status = match Stage::of(line.at, now).0 {
        Stage::New | Stage::Queued => "WAPPR",
        Stage::InProgress => "INPRG",
        Stage::Done => "COMP",
    };
    let field = |name: &str| line.fields.get(name).cloned().unwrap_or_default();
    json!({
        "number": line.document,
        "status": status,
        "reference": line.reference,
        "description": field("description"),
        "longDescription": field("longDescription"),
        "equipment": field("equipment"),
        "plant": field("plant"),
        "priority": field("priority"),
        "reportedAt": field("reportedAt"),
        "receivedAt": line.at,
        "startedAt": Stage::InProgress.reached(line.at, now),
        "completedAt": Stage::Done.reached(line.at, now),
        "changedAt": changed(line, now),
    })
}

fn create(kept: &Documents, request: &Request, now: Time) -> Reply {
    let mut asked = match fields::of(request, &FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.problem(),
    };
    let reference = asked.shift_remove("reference");
    asked.entry("priority").or_insert_with(|| "medium".into());
    asked.entry("reportedAt").or_insert_with(|| now.to_string().into());
    let line = Line::new(now, KIND, kept.next("MR-", 6), reference.as_ref().and_then(Json::as_str), asked);
    Reply::new(201, row(&line, now)).writing(line)
}

fn search(kept: &Documents, query: &[(String, String)], now: Time) -> Reply {
    let (mut limit, mut offset) = (PAGE_DEFAULT, 0);
    let (mut reference, mut since) = (None, None);
    for (name, value) in query {
        match (name.as_str(), value.parse::<usize>(), Time::parse(value)) {
            ("reference", ..) => reference = Some(value),
            ("changedSince", _, Ok(time)) => since = Some(time),
            ("limit", Ok(n), _) if (1..=PAGE_MAX).contains(&n) => limit = n,
            ("offset", Ok(n), _) => offset = n,
            _ => {
                let detail = format!(
                    "the query knows reference, changedSince (a time), limit (1 to {PAGE_MAX}) and offset, not {}={}",
                    short(name),
                    short(value)
                );
                return Reply::problem(400, "Bad Request", &detail);
            }
        }
    }
    let mut found: Vec<&Line> = match reference {
        Some(reference) => kept.references(reference).collect(),
        None => kept.lines().iter().collect(),
    };
    if let Some(since) = since {
        found.retain(|line| changed(line, now) >= since);
        found.sort_by_key(|line| changed(line, now));
    }
    let page: Vec<Json> = found.iter().skip(offset).take(limit).map(|line| row(line, now)).collect();
    Reply::new(200, json!({ "requests": page, "total": found.len() }))
}

/// When a request last changed. That it is planned shows nowhere, so it is no change.
fn changed(line: &Line, now: Time) -> Time {
    match Stage::of(line.at, now) {
        (Stage::New | Stage::Queued, _) => line.at,
        (Stage::InProgress | Stage::Done, since) => since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind, Offices, tests::Asked};

    fn now() -> Time {
        Time::parse("2026-03-02T10:00:00Z").unwrap()
    }

    fn post(offices: &mut Offices, body: &str) -> Reply {
        offices.ask(OfficeKind::Eam, "POST", "/requests", body, now())
    }

    fn get(offices: &mut Offices, target: &str) -> Reply {
        offices.ask(OfficeKind::Eam, "GET", target, "", now())
    }

    const GOOD: &str = r#"{"reference":"7K3QF0ZT9M2RX4B8","description":"too hot","equipment":"EQ-100042",
        "plant":"1010","priority":"high","reportedAt":"2026-03-02T09:00:00+01:00"}"#;

    #[test]
    fn a_request_gets_the_next_number_and_is_found_by_it_and_by_its_reference() {
        let mut offices = Offices::new(Time(0));
        let first = post(&mut offices, GOOD);
        assert_eq!((first.status, &first.body["number"]), (201, &json!("MR-000001")));
        assert_eq!(first.body["status"], "WAPPR");
        assert_eq!(first.body["reportedAt"], "2026-03-02T08:00:00Z");
        assert_eq!(get(&mut offices, "/requests/MR-000001").body, first.body);
        let found = get(&mut offices, "/requests?reference=7K3QF0ZT9M2RX4B8");
        assert_eq!(found.body["requests"][0], first.body);
        assert_eq!(get(&mut offices, "/requests?reference=other").body["requests"], json!([]));
        assert_eq!(get(&mut offices, "/requests/MR-000002").status, 404);
    }

    #[test]
    fn the_same_reference_twice_makes_two_requests() {
        let mut offices = Offices::new(Time(0));
        post(&mut offices, GOOD);
        assert_eq!(post(&mut offices, GOOD).body["number"], "MR-000002");
        assert_eq!(get(&mut offices, "/requests?reference=7K3QF0ZT9M2RX4B8").body["total"], 2);
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let mut offices = Offices::new(Time(0));
        let refused = post(
            &mut offices,
            r#"{"description":"a\nb","equipment":"machine-01","priority":1,"colour":"red","reference":""}"#,
        );
        assert_eq!(refused.status, 422);
        let places: Vec<&str> =
            refused.body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(places, ["/description", "/equipment", "/priority", "/colour", "/reference", "/plant"]);
        assert!(refused.body["detail"].as_str().unwrap().contains("equipment must be an equipment of this office"));
        assert!(offices.kept(OfficeKind::Eam).lines().is_empty());
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_status() {
        let mut offices = Offices::new(Time(0));
        assert_eq!(post(&mut offices, "{").status, 400);
        assert_eq!(post(&mut offices, "[]").status, 422);
        assert_eq!(get(&mut offices, "/requests?limit=0").status, 400);
        assert_eq!(get(&mut offices, "/requests?changedSince=yesterday").status, 400);
        assert_eq!(get(&mut offices, "/requests?refrence=x").status, 400);
        assert_eq!(get(&mut offices, "/").status, 404);
        assert_eq!(offices.ask(OfficeKind::Eam, "DELETE", "/requests/MR-000001", "", now()).status, 405);
    }

    #[test]
    fn pages_are_cut_and_say_how_many_there_are() {
        let mut offices = Offices::new(Time(0));
        for _ in 0..5 {
            post(&mut offices, GOOD);
        }
        let page = get(&mut offices, "/requests?limit=2&offset=3");
        assert_eq!(page.body["total"], 5);
        assert_eq!(page.body["requests"][0]["number"], "MR-000004");
        assert_eq!(page.body["requests"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_request_lives_and_its_changes_are_found_in_their_order() {
        let mut offices = Offices::new(Time(0));
        post(&mut offices, GOOD);
        let at = |minute: i64| now().plus(andon_model::span::Span::from_secs(60 * minute));
        offices.ask(OfficeKind::Eam, "POST", "/requests", GOOD, at(10));
        let mut seen = |minute, target: &str| {
            let found = offices.ask(OfficeKind::Eam, "GET", target, "", at(minute)).body;
            let rows = found["requests"].as_array().unwrap().clone();
            rows.iter().map(|r| format!("{} {}", r["number"], r["status"]).replace('"', "")).collect::<Vec<_>>()
        };
        assert_eq!(seen(10, "/requests?changedSince=2026-03-02T10:00:00Z"), ["MR-000001 INPRG", "MR-000002 WAPPR"]);
        assert_eq!(seen(17, "/requests?changedSince=2026-03-02T10:16:00Z"), ["MR-000002 INPRG"]);
        assert_eq!(seen(18, "/requests?changedSince=2026-03-02T10:16:00Z"), ["MR-000002 INPRG", "MR-000001 COMP"]);
        assert_eq!(seen(60, "/requests?changedSince=2026-03-02T10:28:00Z"), ["MR-000002 COMP"]);
        assert!(seen(60, "/requests?changedSince=2026-03-02T10:28:01Z").is_empty());
        let done = offices.ask(OfficeKind::Eam, "GET", "/requests/MR-000001", "", at(20)).body;
        assert_eq!((&done["startedAt"], &done["completedAt"]), (&json!(at(6)), &json!(at(18))));
    }
}
