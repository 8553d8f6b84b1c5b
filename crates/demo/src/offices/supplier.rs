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
