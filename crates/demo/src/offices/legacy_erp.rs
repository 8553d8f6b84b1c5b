//! Production orders of an older ERP that somebody gave a REST interface: terse names, codes for states, local times
//! without a zone.

use super::{
    Documents, Line, Plan, Reply, Request,
    documents::Again,
    fields::{self, Field, Refusal, Shape, needed},
    format::{local, read_local, short},
    plan::{MONTERREY, Moved, Order, State},
};
use andon_model::Time;
use serde_json::{Map, Value as Json, json};

const FLAG: &str = "order-flag";
const SCHEDULE: &str = "order-schedule";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[FLAG, SCHEDULE];
const FLAG_FIELDS: [Field; 2] = [needed("flag", Shape::OneOf(&["RISK", "OK"])), needed("reason", Shape::Line(30))];
const SCHEDULE_FIELDS: [Field; 1] =
    [needed("finish", Shape::Form(|text| read_local(text).is_some(), "a local time like 2026-11-26 14:05:00"))];
const REFERENCE_MAX_CHARS: usize = 16;

/// The answer to a request.
pub(super) fn decide(kept: &Documents, plan: Plan, request: &Request, now: Time) -> Reply {
    let (method, path) = request.target();
    match (method, &path[..]) {
        ("GET", ["api", "orders"]) => search(kept, plan, request, now),
        ("GET", ["api", "orders", number]) => match order(kept, plan, number, now) {
            Ok(order) => Reply::new(200, row(kept, &order, now)),
            Err(reply) => *reply,
        },
        ("PUT", ["api", "orders", number, what @ ("flags" | "schedule"), reference]) => {
            match order(kept, plan, number, now) {
                Ok(order) => change(kept, &order, what, reference, request, now),
                Err(reply) => *reply,
            }
        }
        _ => error(404, "E404", "NO SUCH FUNCTION"),
    }
}

/// An error as it writes it: short, in capitals, with a code.
fn error(status: u16, code: &str, text: &str) -> Reply {
    Reply::new(status, json!({ "error": code, "message": text }))
}

fn refused(refusal: &Refusal) -> Reply {
    error(400, "E010", &format!("INVALID INPUT: {}", refusal.text()))
}

/// The changes of an order, oldest first.
fn changes<'a>(kept: &'a Documents, number: &'a str) -> impl DoubleEndedIterator<Item = &'a Line> {
    kept.lines().iter().filter(move |line| line.text("order") == number)
}

fn orders(kept: &Documents, plan: Plan, now: Time) -> Vec<Order> {
    let moved = |number: &str| {
        changes(kept, number).rev().find_map(|line| Some(Moved { at: line.at, end: read_local(line.text("finish"))? }))
    };
    plan.orders(&MONTERREY, now, moved)
}

fn order(kept: &Documents, plan: Plan, number: &str, now: Time) -> Result<Order, Box<Reply>> {
    let found = orders(kept, plan, now).into_iter().find(|order| order.number == number);
    found.ok_or_else(|| Box::new(error(404, "E020", &format!("ORDER {} NOT FOUND", short(number)))))
}

fn changed(kept: &Documents, order: &Order, now: Time) -> Time {
    order.changed(changes(kept, &order.number).next_back().map(|line| line.at), now)
}

/// An order as it is answered. `stat`: P planned, L released, F running, T done.
fn row(kept: &Documents, order: &Order, now: Time) -> Json {
    let (state, _) = order.state(now);
    let stat = match state {
        State::Created => "P",
        State::Released => "L",
        State::Running => "F",
        State::Completed => "T",
    };
    let flag = changes(kept, &order.number).rev().find(|line| line.kind == FLAG);
    json!({
        "order_no": order.number,
        "plant": order.making.plant,
        "line": order.making.line,
        "item": order.making.material,
        "lot": order.batch,
        "qty": order.making.quantity,
        "uom": "PZA",
        "stat": stat,
        "start": local(order.begin),
        "finish": local(order.end),
        "flag": flag.map_or("OK", |line| line.text("flag")),
        "flag_reason": flag.map_or("", |line| line.text("reason")),
        "customer": order.making.customer.1,
        "changed_at": local(changed(kept, order, now)),
    })
}

fn search(kept: &Documents, plan: Plan, request: &Request, now: Time) -> Reply {
    let from = match request.asked("changed_from").map(|text| (text, read_local(text))) {
        None => Time::MIN,
        Some((_, Some(from))) => from,
        Some((text, None)) => return error(400, "E011", &format!("INVALID DATE {}", short(text))),
    };
    let mut found = orders(kept, plan, now);
    found.retain(|order| Time::from_millis(changed(kept, order, now).millis() / 1_000 * 1_000) >= from);
    found.sort_by_key(|order| changed(kept, order, now));
    let rows: Vec<Json> = found.iter().map(|order| row(kept, order, now)).collect();
    Reply::new(200, json!({ "orders": rows }))
}

/// A flag or a new finish of an order, once for each reference.
fn change(kept: &Documents, order: &Order, what: &str, reference: &str, request: &Request, now: Time) -> Reply {
    let (kind, known): (&str, &[Field]) = match what {
        "flags" => (FLAG, &FLAG_FIELDS),
        _ => (SCHEDULE, &SCHEDULE_FIELDS),
    };
    if reference.chars().count() > REFERENCE_MAX_CHARS {
        return error(400, "E012", &format!("REFERENCE LONGER THAN {REFERENCE_MAX_CHARS}"));
    }
    let mut asked: Map<String, Json> = match fields::of(request, known) {
        Ok(asked) => asked,
        Err(refusal) => return refused(&refusal),
    };
    asked.insert("order".into(), order.number.clone().into());
    let finish = asked.get("finish").and_then(Json::as_str).and_then(read_local);
    if finish.is_some_and(|finish| finish <= order.begin) {
        return error(400, "E021", "FINISH BEFORE START");
    }
    match kept.again(kind, reference, &asked) {
        Again::Same(line) => Reply::new(200, json!({ "document": line.document })),
        Again::Other(_) => error(409, "E022", "REFERENCE USED BEFORE WITH OTHER DATA"),
        Again::New => {
            let line = Line::new(now, kind, kept.next(&format!("{}/", order.number), 3), Some(reference), asked);
            Reply::new(201, json!({ "document": line.document })).writing(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::LegacyErp, Offices, tests::Asked};
    use andon_model::span::Span;

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn get(offices: &mut Offices, target: &str, minute: i64) -> Reply {
        offices.ask(LegacyErp, "GET", target, "", at(minute))
    }

    fn put(offices: &mut Offices, target: &str, body: &str) -> Reply {
        offices.ask(LegacyErp, "PUT", target, body, at(20))
    }

    #[test]
    fn orders_have_local_times_and_are_found_by_what_changed() {
        let mut offices = Offices::new(at(0));
        let found = get(&mut offices, "/api/orders?changed_from=2026-11-26 00:40:00", 0).body;
        let seen = |row: &Json| format!("{} {} {}", row["order_no"], row["stat"], row["changed_at"]).replace('"', "");
        let rows: Vec<String> = found["orders"].as_array().unwrap().iter().map(seen).collect();
        assert_eq!(rows, ["70410 T 2026-11-26 00:40:00", "70411 F 2026-11-26 01:00:00", "70414 P 2026-11-26 01:00:00"]);
        assert_eq!(found["orders"][1]["finish"], "2026-11-26 04:40:00");
    }

    #[test]
    fn a_flag_and_a_schedule_are_taken_once_for_each_reference() {
        let mut offices = Offices::new(at(0));
        let flag = r#"{"flag":"RISK","reason":"VIBRATION"}"#;
        let first = put(&mut offices, "/api/orders/70411/flags/R1", flag);
        assert_eq!((first.status, &first.body), (201, &json!({ "document": "70411/001" })));
        let again = put(&mut offices, "/api/orders/70411/flags/R1", flag);
        assert_eq!((again.status, again.body), (200, first.body));
        let other = put(&mut offices, "/api/orders/70411/flags/R1", r#"{"flag":"OK","reason":"REPAIRED"}"#);
        assert_eq!((other.status, &other.body["error"]), (409, &json!("E022")));
        let moved = put(&mut offices, "/api/orders/70411/schedule/R2", r#"{"finish":"2026-11-26 05:25:00"}"#);
        assert_eq!((moved.status, &moved.body["document"]), (201, &json!("70411/002")));
        let order = get(&mut offices, "/api/orders/70411", 21).body;
        assert_eq!((&order["flag"], &order["flag_reason"]), (&json!("RISK"), &json!("VIBRATION")));
        assert_eq!(
            (&order["finish"], &order["changed_at"]),
            (&json!("2026-11-26 05:25:00"), &json!("2026-11-26 02:20:00"))
        );
        assert_eq!(offices.kept(LegacyErp).lines().len(), 2);
    }

    #[test]
    fn errors_are_short_and_have_codes() {
        let mut offices = Offices::new(at(0));
        let flag = r#"{"flag":"RISK","reason":"VIBRATION"}"#;
        let long = format!(r#"{{"flag":"RISK","reason":"{}"}}"#, "x".repeat(31));
        let mut codes = Vec::new();
        for (target, body) in [
            ("/api/orders/70411/flags/R1", long.as_str()),
            ("/api/orders/70411/flags/R1", r#"{"flag":"RED","reason":"x"}"#),
            ("/api/orders/70411/flags/7K3QF0ZT9M2RX4B8X", flag),
            ("/api/orders/4711/flags/R1", flag),
            ("/api/orders/70411/schedule/R1", r#"{"finish":"2026-11-26T05:25:00Z"}"#),
            ("/api/orders/70411/schedule/R1", r#"{"finish":"2026-11-25 05:25:00"}"#),
            ("/api/parts", flag),
        ] {
            codes.push(put(&mut offices, target, body).body["error"].as_str().unwrap().to_owned());
        }
        assert_eq!(codes, ["E010", "E010", "E012", "E020", "E010", "E021", "E404"]);
        assert_eq!(get(&mut offices, "/api/orders?changed_from=yesterday", 0).body["error"], "E011");
        assert!(offices.kept(LegacyErp).lines().is_empty());
    }
}
