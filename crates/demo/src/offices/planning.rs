//! Production planning: what a disruption does to an order, and what becomes of it after the repair.

use super::{
    Documents, Line, Plan, Reply, Request,
    documents::Again,
    fields::{self, Field, Shape, needed},
    format::short,
    plan::Order,
};
use andon_model::{Time, span::Span};
use serde_json::{Map, Value as Json, json};

const DISRUPTION: &str = "disruption";
const RESCHEDULE: &str = "reschedule";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[DISRUPTION, RESCHEDULE];
/// So much of a disruption the line can make up for, by working through a change-over.
const MADE_UP: Span = Span::from_secs(20 * 60);
/// The numbers of the sites here.
const SITES: [&str; 2] = ["HAM", "MTY"];
const DISRUPTED: [Field; 5] = [
    needed("site", Shape::OneOf(&SITES)),
    needed("order", Shape::Text(20)),
    needed("asset", Shape::Text(40)),
    needed("from", Shape::Moment),
    needed("minutes", Shape::Whole(1, 10_000)),
];
const MOVED: [Field; 2] = [needed("site", Shape::OneOf(&SITES)), needed("order", Shape::Text(20))];

/// The answer to a request.
pub(super) fn decide(kept: &Documents, plan: Plan, request: &Request, now: Time) -> Reply {
    match (request.method.as_str(), &request.target().1[..]) {
        ("PUT", ["api", "disruptions", reference]) => take(kept, plan, DISRUPTION, reference, request, now),
        ("PUT", ["api", "reschedules", reference]) => take(kept, plan, RESCHEDULE, reference, request, now),
        ("GET", ["api", "disruptions" | "reschedules", document]) => match kept.document(document) {
            Some(line) => Reply::new(200, row(line)),
            None => Reply::problem(404, "Not Found", &format!("there is no {}", short(document))),
        },
        _ => Reply::nothing_at(request),
    }
}

/// How long an order is disrupted by all that was told so far.
fn disrupted(kept: &Documents, order: &Order) -> Span {
    let of_order = kept.of(DISRUPTION).filter(|line| line.text("order") == order.number);
    Span::from_secs(of_order.map(|line| 60 * line.whole("minutes")).sum())
}

fn take(kept: &Documents, plan: Plan, kind: &str, reference: &str, request: &Request, now: Time) -> Reply {
    let known: &[Field] = if kind == DISRUPTION { &DISRUPTED } else { &MOVED };
    let mut asked: Map<String, Json> = match fields::of(request, known) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.problem(),
    };
    if reference.chars().count() > 32 {
        return Reply::problem(422, "Unprocessable Content", "the reference has more than 32 characters");
    }
    match kept.again(kind, reference, &asked) {
        Again::Same(line) => return Reply::new(200, row(line)),
        Again::Other(_) => return Reply::problem(409, "Conflict", "the reference came before with another body"),
        Again::New => {}
    }
    let number = asked.get("order").and_then(Json::as_str).unwrap_or_default();
    let Some(order) = plan.order(number, now) else {
        return Reply::problem(404, "Not Found", &format!("there is no order {}", short(number)));
    };
    let lost = disrupted(kept, &order);
    let finish = if kind == DISRUPTION {
        let minutes = asked.get("minutes").and_then(Json::as_i64).unwrap_or_default();
        order.planned.plus(lost).plus(Span::from_secs(60 * minutes))
    } else {
        order.planned.max(order.planned.plus(lost).minus(MADE_UP))
    };
    let late = finish.since(order.promised).max(Span::ZERO);
    asked.insert("finish".into(), json!(finish));
    asked.insert("promised".into(), json!(order.promised));
    asked.insert("late".into(), (late > Span::ZERO).into());
    asked.insert("minutesLate".into(), (late.millis() / 60_000).into());
    asked.insert("customer".into(), order.making.customer.0.into());
    let prefix = if kind == DISRUPTION { "DIS-" } else { "RSC-" };
    let line = Line::new(now, kind, kept.next(prefix, 6), Some(reference), asked);
    Reply::new(201, row(&line)).writing(line)
}

fn row(line: &Line) -> Json {
    let mut row = json!({ "document": line.document });
    if let Some(row) = row.as_object_mut() {
        row.extend(line.fields.clone());
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::Planning, Offices, tests::Asked};

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn put(offices: &mut Offices, target: &str, body: &str) -> Reply {
        offices.ask(Planning, "PUT", target, body, at(20))
    }

    fn disruption(order: &str, minutes: i64) -> String {
        json!({ "site": "HAM", "order": order, "asset": "cartoner-07", "from": at(20), "minutes": minutes }).to_string()
    }

    #[test]
    fn disruptions_add_up_and_a_reschedule_makes_up_for_some_of_it() {
        let mut offices = Offices::new(at(0));
        let first = put(&mut offices, "/api/disruptions/R1", &disruption("1000123", 10));
        assert_eq!(
            (first.status, &first.body["document"], &first.body["late"]),
            (201, &json!("DIS-000001"), &json!(false))
        );
        assert_eq!((&first.body["finish"], &first.body["promised"]), (&json!(at(170)), &json!(at(175))));
        let second = put(&mut offices, "/api/disruptions/R2", &disruption("1000123", 35));
        assert_eq!((&second.body["finish"], &second.body["minutesLate"]), (&json!(at(205)), &json!(30)));
        // Told again, nothing is added.
        let again = put(&mut offices, "/api/disruptions/R2", &disruption("1000123", 35));
        assert_eq!((again.status, again.body), (200, second.body));
        let body = r#"{"site":"HAM","order":"1000123"}"#;
        let moved = put(&mut offices, "/api/reschedules/R3", body);
        assert_eq!((&moved.body["document"], &moved.body["finish"]), (&json!("RSC-000001"), &json!(at(185))));
        assert_eq!((&moved.body["late"], &moved.body["customer"]), (&json!(true), &json!("C-1001")));
        assert_eq!(put(&mut offices, "/api/reschedules/R3", body).status, 200);
        assert_eq!(offices.kept(Planning).lines().len(), 3);
        assert_eq!(offices.ask(Planning, "GET", "/api/reschedules/RSC-000001", "", at(30)).body, moved.body);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut offices = Offices::new(at(0));
        assert_eq!(put(&mut offices, "/api/disruptions/R1", &disruption("4711", 10)).status, 404);
        assert_eq!(put(&mut offices, "/api/disruptions/R1", &disruption("1000123", 0)).status, 422);
        assert_eq!(
            put(&mut offices, &format!("/api/disruptions/{}", "x".repeat(33)), &disruption("1000123", 1)).status,
            422
        );
        put(&mut offices, "/api/disruptions/R1", &disruption("1000123", 10));
        assert_eq!(put(&mut offices, "/api/disruptions/R1", &disruption("1000123", 11)).status, 409);
        assert_eq!(put(&mut offices, "/api/disruption/R1", "{}").status, 404);
        assert_eq!(offices.kept(Planning).lines().len(), 1);
    }
}
