//! The warehouse: what is there, what is reserved, what is missing, and what was taken.

use super::{
    Documents, Line, Reply, Request,
    documents::Again,
    fields::{self, Field, Refusal, Shape, needed, possible},
    format::short,
};
use andon_model::{Time, span::Span};
use serde_json::{Map, Value as Json, json};

const RESERVATION: &str = "reservation";
const SHORTAGE: &str = "shortage";
const MOVEMENT: &str = "movement";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[RESERVATION, SHORTAGE, MOVEMENT];
/// How long the courier takes who brings what was reported short.
const COURIER: Span = Span::from_secs(10 * 60);
/// The goods issue for maintenance.
const ISSUE: &str = "261";
/// What is in stock at first: material, warehouse, bin, pieces. The second site has no bearing.
const STOCK: [(&str, &str, &str, i64); 4] = [
    ("4000-6205", "HH01", "A-07-03", 12),
    ("4000-6205", "MT01", "R2-114", 0),
    ("4000-9310", "HH01", "A-02-11", 40),
    ("4000-9310", "MT01", "R1-020", 40),
];

const WANTED: [Field; 6] = [
    needed("material", Shape::Text(18)),
    needed("quantity", Shape::Whole(1, 9_999)),
    needed("unit", Shape::OneOf(&["PCE"])),
    needed("warehouse", Shape::Text(4)),
    possible("purpose", Shape::Line(40)),
    possible("order", Shape::Text(20)),
];
const TAKEN: [Field; 7] = [
    needed("movementType", Shape::OneOf(&[ISSUE])),
    possible("reservation", Shape::Text(20)),
    possible("material", Shape::Text(18)),
    possible("quantity", Shape::Whole(1, 9_999)),
    possible("unit", Shape::OneOf(&["PCE"])),
    possible("warehouse", Shape::Text(4)),
    possible("order", Shape::Text(20)),
];

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    let answer = match (request.method.as_str(), &request.target().1[..]) {
        ("GET", ["api", "stock"]) => Ok(stock(kept, request, now)),
        ("PUT", ["api", "reservations", reference]) => reserve(kept, reference, request, now),
        ("PUT", ["api", "shortages", reference]) => report(kept, reference, request, now),
        ("PUT", ["api", "movements", reference]) => take(kept, reference, request, now),
        ("GET", ["api", "reservations" | "shortages" | "movements", document]) => match kept.document(document) {
            Some(line) => Ok(Reply::new(200, row(line))),
            None => Err(error(404, "NOT_FOUND", &format!("there is no {}", short(document))).into()),
        },
        _ => Err(error(404, "NOT_FOUND", &format!("there is nothing at {}", request.place())).into()),
    };
    answer.unwrap_or_else(|reply| *reply)
}

/// An error as this warehouse writes it.
fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status, json!({ "code": code, "message": message }))
}

fn asked(request: &Request, known: &[Field]) -> Result<Map<String, Json>, Box<Reply>> {
    fields::of(request, known).map_err(|refusal| {
        let mut reply = error(400, "INVALID", &refusal.text());
        if let (Refusal::Fields(wrong), Some(body)) = (&refusal, reply.body.as_object_mut()) {
            body.insert("fields".into(), wrong.iter().map(|w| w.name.as_str()).collect());
        }
        reply.into()
    })
}

fn row(line: &Line) -> Json {
    let (kind, document) = (line.kind.as_str(), &line.document);
    let mut row = json!({ kind: document, "document": document, "at": line.at, "reference": line.reference });
    if let Some(row) = row.as_object_mut() {
        row.extend(line.fields.clone());
    }
    row
}

/// How much of a material there is in a warehouse, and how much of it is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    on_hand: i64,
    reserved: i64,
}

impl Level {
    fn available(self) -> i64 {
        self.on_hand - self.reserved
    }

    /// From all that ever happened to it.
    fn of(kept: &Documents, material: &str, warehouse: &str, now: Time) -> Option<Self> {
        let (.., first) = STOCK.into_iter().find(|(m, w, ..)| *m == material && *w == warehouse)?;
        let mut level = Self { on_hand: first, reserved: 0 };
        let is_of = |line: &&Line| line.text("material") == material && line.text("warehouse") == warehouse;
        for line in kept.lines().iter().filter(is_of) {
            let quantity = line.whole("quantity");
            match line.kind.as_str() {
                RESERVATION => level.reserved += quantity,
                SHORTAGE if line.at.plus(COURIER) <= now => level.on_hand += quantity,
                MOVEMENT => {
                    level.on_hand -= quantity;
                    // What is taken ends its reservation, also where less was taken than was reserved.
                    let reservation = kept.document(line.text("reservation"));
                    level.reserved -= reservation.map_or(0, |reservation| reservation.whole("quantity"));
                }
                _ => {}
            }
        }
        Some(level)
    }
}

fn level(kept: &Documents, asked: &Map<String, Json>, now: Time) -> Result<Level, Box<Reply>> {
    let text = |name: &str| asked.get(name).and_then(Json::as_str).unwrap_or_default();
    Level::of(kept, text("material"), text("warehouse"), now).ok_or_else(|| {
        let message = format!("{} is no material of warehouse {}", text("material"), text("warehouse"));
        error(404, "UNKNOWN_MATERIAL", &message).into()
    })
}

fn stock(kept: &Documents, request: &Request, now: Time) -> Reply {
    let is_asked = |name: &str, value: &str| request.asked(name).is_none_or(|asked| asked == value);
    let rows = STOCK.into_iter().filter(|(m, w, ..)| is_asked("material", m) && is_asked("warehouse", w));
    let row = |(material, warehouse, bin, _): (&str, &str, &str, i64)| {
        let level = Level::of(kept, material, warehouse, now)?;
        Some(json!({
            "material": material, "warehouse": warehouse, "bin": bin, "unit": "PCE",
            "onHand": level.on_hand, "reserved": level.reserved, "available": level.available(),
        }))
    };
    Reply::new(200, json!({ "stock": rows.filter_map(row).collect::<Vec<_>>() }))
}

/// The document that a reference already stands for, if any.
fn before(
    kept: &Documents,
    kind: &str,
    reference: &str,
    asked: &Map<String, Json>,
) -> Result<Option<Reply>, Box<Reply>> {
    if reference.chars().count() > 32 {
        return Err(error(400, "INVALID", "the reference has more than 32 characters").into());
    }
    match kept.again(kind, reference, asked) {
        Again::New => Ok(None),
        Again::Same(line) => Ok(Some(Reply::new(200, row(line)))),
        Again::Other(line) => {
            Err(error(409, "REFERENCE_USED", &format!("the reference stands for {} with other content", line.document))
                .into())
        }
    }
}

fn short_of(level: Level, quantity: i64) -> Reply {
    let mut reply = error(409, "SHORTAGE", &format!("{quantity} are wanted, {} are available", level.available()));
    if let Some(body) = reply.body.as_object_mut() {
        body.insert("available".into(), level.available().into());
        body.insert("missing".into(), (quantity - level.available()).into());
    }
    reply
}

fn made(line: Line) -> Reply {
    Reply::new(201, row(&line)).writing(line)
}

fn reserve(kept: &Documents, reference: &str, request: &Request, now: Time) -> Result<Reply, Box<Reply>> {
    let asked = asked(request, &WANTED)?;
    if let Some(reply) = before(kept, RESERVATION, reference, &asked)? {
        return Ok(reply);
    }
    let level = level(kept, &asked, now)?;
    let quantity = asked.get("quantity").and_then(Json::as_i64).unwrap_or_default();
    if level.available() < quantity {
        return Err(short_of(level, quantity).into());
    }
    Ok(made(Line::new(now, RESERVATION, kept.next("RES-", 6), Some(reference), asked)))
}

fn report(kept: &Documents, reference: &str, request: &Request, now: Time) -> Result<Reply, Box<Reply>> {
    let mut asked = asked(request, &WANTED)?;
    if let Some(reply) = before(kept, SHORTAGE, reference, &asked)? {
        return Ok(reply);
    }
    level(kept, &asked, now)?;
    asked.insert("expected".into(), now.plus(COURIER).to_string().into());
    Ok(made(Line::new(now, SHORTAGE, kept.next("SHO-", 6), Some(reference), asked)))
}

fn take(kept: &Documents, reference: &str, request: &Request, now: Time) -> Result<Reply, Box<Reply>> {
    let mut asked = asked(request, &TAKEN)?;
    if let Some(reply) = before(kept, MOVEMENT, reference, &asked)? {
        return Ok(reply);
    }
    let reserved = match asked.get("reservation").and_then(Json::as_str) {
        None => None,
        Some(number) => {
            let found = kept.document(number).filter(|line| line.kind == RESERVATION);
            Some(found.ok_or_else(|| {
                error(404, "UNKNOWN_RESERVATION", &format!("there is no reservation {}", short(number)))
            })?)
        }
    };
    if let Some(reserved) = reserved {
        if kept.of(MOVEMENT).any(|line| line.text("reservation") == reserved.document) {
            return Err(error(409, "RESERVATION_CLOSED", &format!("{} was taken already", reserved.document)).into());
        }
        for name in ["material", "quantity", "unit", "warehouse"] {
            if let Some(value) = reserved.fields.get(name) {
                asked.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    let missing: Vec<&str> =
        ["material", "quantity", "unit", "warehouse"].into_iter().filter(|name| !asked.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(
            error(400, "INVALID", &format!("without a reservation these are needed: {}", missing.join(", "))).into()
        );
    }
    let mut level = level(kept, &asked, now)?;
    // What was reserved for this is not kept from it.
    level.reserved -= reserved.map_or(0, |line| line.whole("quantity"));
    let quantity = asked.get("quantity").and_then(Json::as_i64).unwrap_or_default();
    if level.available() < quantity {
        return Err(short_of(level, quantity).into());
    }
    Ok(made(Line::new(now, MOVEMENT, kept.next("MVT-", 6), Some(reference), asked)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind, Offices, tests::Asked};

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn put(offices: &mut Offices, target: &str, body: &str, minute: i64) -> Reply {
        offices.ask(OfficeKind::Wms, "PUT", target, body, at(minute))
    }

    fn wanted(warehouse: &str, quantity: i64) -> String {
        json!({ "material": "4000-6205", "quantity": quantity, "unit": "PCE", "warehouse": warehouse }).to_string()
    }

    /// On hand, reserved, available.
    fn stock(offices: &mut Offices, warehouse: &str, minute: i64) -> [i64; 3] {
        let target = format!("/api/stock?material=4000-6205&warehouse={warehouse}");
        let found = offices.ask(OfficeKind::Wms, "GET", &target, "", at(minute)).body;
        ["onHand", "reserved", "available"].map(|name| found["stock"][0][name].as_i64().unwrap())
    }

    #[test]
    fn what_is_reserved_is_taken_once() {
        let mut offices = Offices::new(at(0));
        let made = put(&mut offices, "/api/reservations/R1", &wanted("HH01", 2), 0);
        assert_eq!((made.status, &made.body["reservation"]), (201, &json!("RES-000001")));
        let again = put(&mut offices, "/api/reservations/R1", &wanted("HH01", 2), 1);
        assert_eq!((again.status, again.body), (200, made.body));
        assert_eq!(stock(&mut offices, "HH01", 1), [12, 2, 10]);
        let take = r#"{"movementType":"261","reservation":"RES-000001","order":"SR1001"}"#;
        let taken = put(&mut offices, "/api/movements/R2", take, 20);
        assert_eq!(
            (taken.status, &taken.body["document"], &taken.body["quantity"]),
            (201, &json!("MVT-000001"), &json!(2))
        );
        assert_eq!(put(&mut offices, "/api/movements/R2", take, 21).status, 200);
        assert_eq!(stock(&mut offices, "HH01", 21), [10, 0, 10]);
        let closed = put(&mut offices, "/api/movements/R3", take, 22);
        assert_eq!((closed.status, &closed.body["code"]), (409, &json!("RESERVATION_CLOSED")));
        assert_eq!(offices.kept(OfficeKind::Wms).lines().len(), 2);
    }

    #[test]
    fn what_is_missing_is_reported_and_comes_by_courier() {
        let mut offices = Offices::new(at(0));
        let refused = put(&mut offices, "/api/reservations/R1", &wanted("MT01", 1), 0);
        assert_eq!(
            (refused.status, &refused.body["code"], &refused.body["available"]),
            (409, &json!("SHORTAGE"), &json!(0))
        );
        let reported = put(&mut offices, "/api/shortages/R2", &wanted("MT01", 1), 0);
        assert_eq!((reported.status, &reported.body["expected"]), (201, &json!("2026-11-26T08:10:00Z")));
        let take = r#"{"movementType":"261","material":"4000-6205","quantity":1,"unit":"PCE","warehouse":"MT01"}"#;
        assert_eq!(put(&mut offices, "/api/movements/R3", take, 9).body["code"], "SHORTAGE");
        assert_eq!(stock(&mut offices, "MT01", 10), [1, 0, 1]);
        assert_eq!(put(&mut offices, "/api/movements/R3", take, 10).status, 201);
        assert_eq!(stock(&mut offices, "MT01", 10), [0, 0, 0]);
    }

    #[test]
    fn what_others_have_reserved_is_not_taken() {
        let mut offices = Offices::new(at(0));
        put(&mut offices, "/api/reservations/R1", &wanted("HH01", 11), 0);
        let take = |quantity: i64| wanted("HH01", quantity).replace('{', r#"{"movementType":"261","#);
        assert_eq!(put(&mut offices, "/api/movements/R2", &take(2), 0).body["missing"], 1);
        assert_eq!(put(&mut offices, "/api/movements/R2", &take(1), 0).status, 201);
    }

    #[test]
    fn errors_have_codes() {
        let mut offices = Offices::new(at(0));
        put(&mut offices, "/api/reservations/R1", &wanted("HH01", 1), 0);
        let unknown = wanted("HH01", 1).replace("4000-6205", "4711");
        let mut codes = Vec::new();
        for (target, body) in [
            ("/api/reservations/R1", wanted("HH01", 2)),
            ("/api/reservations/R2", wanted("HH01", 0)),
            ("/api/reservations/R2", unknown),
            ("/api/reservations/R23456789012345678901234567890123", wanted("HH01", 1)),
            ("/api/movements/R2", r#"{"movementType":"261","reservation":"RES-000009"}"#.into()),
            ("/api/movements/R2", r#"{"movementType":"261","material":"4000-6205"}"#.into()),
            ("/api/movements/R2", r#"{"movementType":"999"}"#.into()),
            ("/api/moves/R2", "{}".into()),
        ] {
            codes.push(put(&mut offices, target, &body, 0).body["code"].as_str().unwrap().to_owned());
        }
        let expected = [
            "REFERENCE_USED",
            "INVALID",
            "UNKNOWN_MATERIAL",
            "INVALID",
            "UNKNOWN_RESERVATION",
            "INVALID",
            "INVALID",
            "NOT_FOUND",
        ];
        assert_eq!(codes, expected);
        assert_eq!(offices.kept(OfficeKind::Wms).lines().len(), 1);
        assert_eq!(offices.ask(OfficeKind::Wms, "GET", "/api/reservations/RES-000001", "", at(0)).status, 200);
    }
}
