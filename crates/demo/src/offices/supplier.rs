//! The supplier of the packaging material: takes notices, each once.

use super::{
    Documents, Line, Reply, Request,
    documents::Again,
    fields::{self, Field, Shape, needed, possible},
    format::short,
};
use andon_model::Time;
use serde_json::{Value as Json, json};

const KIND: &str = "notice";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[KIND];
const FIELDS: [Field; 5] = [
    needed("site", Shape::Text(20)),
    needed("material", Shape::Text(40)),
    possible("order", Shape::Text(20)),
    possible("finish", Shape::Moment),
    needed("text", Shape::Line(500)),
];

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    match (request.method.as_str(), &request.target().1[..]) {
        ("POST", ["api", "notices"]) => notice(kept, request, now),
        ("GET", ["api", "notices", number]) => match kept.document(number) {
            Some(line) => Reply::new(200, row(line)),
            None => Reply::problem(404, "Not Found", &format!("there is no notice {}", short(number))),
        },
        _ => Reply::nothing_at(request),
    }
}

fn notice(kept: &Documents, request: &Request, now: Time) -> Reply {
    let key = match request.key() {
        Ok(key) => key,
        Err(reply) => return *reply,
    };
    let asked = match fields::of(request, &FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.problem(),
    };
    match kept.again(KIND, key, &asked) {
        Again::Same(line) => Reply::new(202, row(line)),
        Again::Other(_) => Reply::key_used(),
        Again::New => {
            let line = Line::new(now, KIND, kept.next("N-", 6), Some(key), asked);
            Reply::new(202, row(&line)).writing(line)
        }
    }
}

fn row(line: &Line) -> Json {
    json!({ "notice": line.document, "state": "accepted", "received": line.at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::Supplier, Offices, tests::Asked};

    const GOOD: &str = r#"{"site":"hamburg","material":"SF-2117","order":"1000123","text":"ends later"}"#;

    fn post(offices: &mut Offices, key: &str, body: &str) -> Reply {
        offices.ask_with(Supplier, "POST", "/api/notices", body, &[("idempotency-key", key)], Time(0))
    }

    #[test]
    fn a_notice_is_taken_once_for_its_key() {
        let mut offices = Offices::new(Time(0));
        let first = post(&mut offices, "K1", GOOD);
        assert_eq!((first.status, &first.body["notice"]), (202, &json!("N-000001")));
        let again = post(&mut offices, "K1", GOOD);
        assert_eq!((again.status, again.body), (202, first.body));
        assert_eq!(post(&mut offices, "K2", GOOD).body["notice"], "N-000002");
        assert_eq!(offices.ask(Supplier, "GET", "/api/notices/N-000001", "", Time(0)).status, 200);
        assert_eq!(offices.kept(Supplier).lines().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut offices = Offices::new(Time(0));
        assert_eq!(offices.ask(Supplier, "POST", "/api/notices", GOOD, Time(0)).status, 400);
        assert_eq!(post(&mut offices, &"K".repeat(65), GOOD).status, 400);
        assert_eq!(post(&mut offices, "K1", r#"{"site":"hamburg"}"#).status, 422);
        post(&mut offices, "K1", GOOD);
        assert_eq!(post(&mut offices, "K1", &GOOD.replace("later", "sooner")).status, 422);
        assert_eq!(offices.ask(Supplier, "GET", "/api/notices/N-000002", "", Time(0)).status, 404);
        assert_eq!(offices.ask(Supplier, "GET", "/api/notes", "", Time(0)).status, 404);
        assert_eq!(offices.kept(Supplier).lines().len(), 1);
    }
}
