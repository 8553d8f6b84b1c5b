//! The laboratory: takes a sample of the lot of each incident, and tells the result a quarter of an hour later.

use super::{
    Documents, Line, Post, Reply, Request,
    documents::Again,
    fields::{self, Field, Shape, is_digits, needed, possible},
    format::short,
    qms::INCIDENT,
};
use andon_model::{Time, span::Span};
use serde_json::{Value as Json, json};

/// The secret with which the lab signs what it posts: `whsec_` and the base64 of the key.
pub const HOOK_SECRET: &str = "whsec_YW5kb24tZGVtby1sYWItaG9vay1zZWNyZXQ=";

const KIND: &str = "sample";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[KIND];
/// How long a test takes.
const TESTING: Span = Span::from_secs(15 * 60);
/// What is tested, in which unit, and from which value in tenths on it is good.
const TEST: (&str, &str, i64) = ("seal-strength", "N", 150);
const PATH: &str = "/v1/systems/lab/reads/results";
const FIELDS: [Field; 4] = [
    needed("site", Shape::Form(|text| is_digits(text, 4), "a plant of four digits")),
    needed("lot", Shape::Text(20)),
    possible("material", Shape::Text(40)),
    possible("incident", Shape::Text(20)),
];

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    match (request.method.as_str(), &request.target().1[..]) {
        ("PUT", ["api", "samples", reference]) => take(kept, reference, request, now),
        ("GET", ["api", "results"]) => search(kept, request, now),
        ("GET", ["api", "results", id]) => {
            match kept.of(KIND).filter_map(|line| result(line, now)).find(|r| r["id"] == **id) {
                Some(result) => Reply::new(200, result),
                None => Reply::problem(404, "Not Found", &format!("there is no result {}", short(id))),
            }
        }
        _ => Reply::nothing_at(request),
    }
}

fn take(kept: &Documents, reference: &str, request: &Request, now: Time) -> Reply {
    let asked = match fields::of(request, &FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.problem(),
    };
    let answer = |line: &Line| json!({ "sample": line.document, "due": line.at.plus(TESTING) });
    match kept.again(KIND, reference, &asked) {
        Again::Same(line) => Reply::new(200, answer(line)),
        Again::Other(_) => Reply::problem(409, "Conflict", "the reference stands for another sample"),
        Again::New => {
            let line = Line::new(now, KIND, kept.next("LS-", 6), Some(reference), asked);
            Reply::new(201, answer(&line)).writing(line)
        }
    }
}

fn search(kept: &Documents, request: &Request, now: Time) -> Reply {
    let since = match request.asked("since").map(Time::parse) {
        None => Time::MIN,
        Some(Ok(since)) => since,
        Some(Err(wrong)) => return Reply::problem(400, "Bad Request", &format!("since: {wrong}")),
    };
    let released = kept.of(KIND).filter(|line| line.at.plus(TESTING) >= since);
    Reply::new(200, json!({ "results": released.filter_map(|line| result(line, now)).collect::<Vec<_>>() }))
}

/// The samples that incidents without one need, each with the reference of its incident.
pub(super) fn samples(kept: &Documents, qms: &Documents, now: Time) -> Vec<Line> {
    let missing = qms.of(INCIDENT).filter(|incident| {
        incident.reference.as_deref().is_none_or(|reference| kept.reference(KIND, reference).is_none())
    });
    let sample = |(nth, incident): (u64, &Line)| {
        let fields = [
            ("site", incident.text("plant")),
            ("lot", incident.text("batch")),
            ("material", incident.text("material")),
            ("incident", incident.document.as_str()),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Line::new(now, KIND, kept.coming("LS-", 6, nth), incident.reference.as_deref(), fields)
    };
    (1..).zip(missing).map(sample).collect()
}

/// The result of a sample, once it is released.
fn result(sample: &Line, now: Time) -> Option<Json> {
    let released = sample.at.plus(TESTING);
    if released > now {
        return None;
    }
    let (characteristic, unit, good) = TEST;
    let count: i64 = sample.document.trim_start_matches("LS-").parse().unwrap_or_default();
    // A little different each time, and always good: what the machine did has not harmed the packages.
    let tenths = 171 + count * 37 % 40;
    Some(json!({
        "id": number(sample),
        "site": sample.text("site"),
        "lot": sample.text("lot"),
        "material": sample.text("material"),
        "characteristic": characteristic,
        "value": format!("{}.{}", tenths / 10, tenths % 10),
        "unit": unit,
        "verdict": if tenths >= good { "accepted" } else { "rejected" },
        "released": released,
    }))
}

/// What is to be posted of all results that are released.
pub(super) fn posts(kept: &Documents, now: Time) -> Vec<Post> {
    let post = |sample: &Line| {
        let result = result(sample, now)?;
        let body = json!({ "type": "result.released", "data": result }).to_string();
        Some(Post { id: format!("lab_{}", number(sample)), path: PATH, body })
    };
    kept.of(KIND).filter_map(post).collect()
}

/// The number of the result of a sample: `LR-000001` of `LS-000001`.
fn number(sample: &Line) -> String {
    sample.document.replace("LS-", "LR-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{
        OfficeKind::{Lab, Qms},
        Offices,
        tests::Asked,
    };

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:20:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn incident(offices: &mut Offices, key: &str) {
        let body = r#"{"plant":"1010","batch":"B001000123","material":"FG-200-20","asset":"cartoner-07",
            "characteristic":"vibration","value":4.9,"evidence":{"event":"ev_7K3QF0ZT9M2RX4B8"}}"#;
        assert_eq!(
            offices.ask_with(Qms, "POST", "/api/incidents", body, &[("idempotency-key", key)], at(0)).status,
            201
        );
    }

    #[test]
    fn each_incident_gets_one_sample_and_its_result_is_posted_until_it_is_taken() {
        let mut offices = Offices::new(at(0));
        incident(&mut offices, "K1");
        incident(&mut offices, "K2");
        offices.pass(at(1));
        offices.pass(at(2));
        let samples: Vec<(&str, Option<&str>)> =
            offices.kept(Lab).lines().iter().map(|line| (line.document.as_str(), line.reference.as_deref())).collect();
        assert_eq!(samples, [("LS-000001", Some("K1")), ("LS-000002", Some("K2"))]);
        assert!(offices.posts(at(15)).is_empty());
        let posts = offices.posts(at(16));
        assert_eq!(posts.len(), 2);
        assert_eq!((posts[0].id.as_str(), posts[0].path), ("lab_LR-000001", "/v1/systems/lab/reads/results"));
        let body: Json = serde_json::from_str(&posts[0].body).unwrap();
        assert_eq!((&body["type"], &body["data"]["id"]), (&json!("result.released"), &json!("LR-000001")));
        assert_eq!((&body["data"]["lot"], &body["data"]["verdict"]), (&json!("B001000123"), &json!("accepted")));
        assert_eq!(offices.posts(at(30)), posts);
        offices.posted("lab_LR-000001");
        assert_eq!(offices.posts(at(30)), posts[1..]);
    }

    #[test]
    fn results_are_found_once_they_are_released() {
        let mut offices = Offices::new(at(0));
        let body = r#"{"site":"2020","lot":"L70411"}"#;
        let taken = offices.ask(Lab, "PUT", "/api/samples/R1", body, at(0));
        assert_eq!((taken.status, &taken.body["sample"]), (201, &json!("LS-000001")));
        assert_eq!(offices.ask(Lab, "PUT", "/api/samples/R1", body, at(1)).status, 200);
        assert_eq!(offices.ask(Lab, "PUT", "/api/samples/R1", r#"{"site":"2020","lot":"L1"}"#, at(1)).status, 409);
        assert_eq!(offices.ask(Lab, "PUT", "/api/samples/R2", r#"{"lot":"L1"}"#, at(1)).status, 422);
        let mut count = |target: &str, minute| {
            let found = offices.ask(Lab, "GET", target, "", at(minute)).body;
            found["results"].as_array().unwrap().len()
        };
        assert_eq!(count("/api/results", 14), 0);
        assert_eq!(count("/api/results", 15), 1);
        assert_eq!(count("/api/results?since=2026-11-26T08:35:00Z", 20), 1);
        assert_eq!(count("/api/results?since=2026-11-26T08:35:01Z", 20), 0);
        assert_eq!(offices.ask(Lab, "GET", "/api/results/LR-000001", "", at(20)).body["lot"], "L70411");
        assert_eq!(offices.ask(Lab, "GET", "/api/results/LR-000002", "", at(20)).status, 404);
        assert_eq!(offices.ask(Lab, "GET", "/api/results?since=x", "", at(20)).status, 400);
    }
}
