//! Production orders in the dialect of SAP S/4HANA: `OData` 2, as `API_PRODUCTION_ORDER_2_SRV` speaks it. All its times
//! are in UTC.

use super::{
    Documents, Line, Plan, Reply, Request,
    fields::{self, Field, Refusal, Shape, Trouble, Wrong, possible},
    format::{odata_date, odata_time, read_odata_date, read_odata_time, short, stamp},
    plan::{HAMBURG, Moved, Order, State},
};
use andon_model::Time;
use serde_json::{Map, Value as Json, json};

const KIND: &str = "order-change";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[KIND];
const SERVICE: &str = "API_PRODUCTION_ORDER_2_SRV";
const ENTITY: &str = "A_ProductionOrder_2";
const FIELDS: [Field; 5] = [
    possible("YY1_RiskState_ORD", Shape::OneOf(&["", "A"])),
    possible("YY1_RiskReason_ORD", Shape::Long(40)),
    possible("YY1_Reference_ORD", Shape::Text(20)),
    possible(
        "MfgOrderScheduledEndDate",
        Shape::Form(|t| read_odata_date(t).is_some(), "a date like /Date(1795651200000)/"),
    ),
    possible("MfgOrderScheduledEndTime", Shape::Form(|t| read_odata_time(t).is_some(), "a time like PT08H05M00S")),
];
/// Orders of one answer at most.
const PAGE_MAX: usize = 1_000;

/// The answer to a request.
pub(super) fn decide(kept: &Documents, plan: Plan, request: &Request, now: Time) -> Reply {
    let (method, path) = request.target();
    let ["sap", "opu", "odata", "sap", SERVICE, resource, rest @ ..] = &path[..] else {
        return error(404, "/IWFND/MED/170", "No service found for namespace '', name '', version '0001'");
    };
    let number = resource.strip_prefix(ENTITY).and_then(key);
    let orders = || orders(kept, plan, now);
    match (method, number, rest) {
        ("GET", None, []) if *resource == ENTITY => {
            search(kept, &orders(), request, now).unwrap_or_else(|reply| *reply)
        }
        (_, None, _) => {
            error(404, "/IWFND/CM_CONSUMER/101", &format!("Resource not found for segment '{}'", short(resource)))
        }
        (method, Some(number), rest) => {
            let Some(order) = orders().into_iter().find(|order| order.number == number) else {
                return error(404, "CO/017", &format!("Order {} does not exist", short(number)));
            };
            match (method, rest) {
                ("GET", []) => match Options::of(request) {
                    Ok(options) => {
                        let entity = entity(kept, &order, request, &options, now);
                        Reply::new(200, json!({ "d": entity })).with("etag", etag(kept, &order, now))
                    }
                    Err(reply) => *reply,
                },
                ("GET", [change]) => match change.strip_prefix("to_YY1_Change").and_then(key) {
                    Some(change) => show_change(kept, &format!("{number}/{change}")),
                    None => error(
                        404,
                        "/IWFND/CM_CONSUMER/101",
                        &format!("Resource not found for segment '{}'", short(change)),
                    ),
                },
                ("PATCH" | "MERGE", []) => patch(kept, &order, request, now),
                _ => error(405, "/IWFND/CM_CONSUMER/105", "Method not allowed for this resource"),
            }
        }
    }
}

/// The key of `('1000123')`, with or without the name of the only key.
fn key(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    inner.strip_prefix("ManufacturingOrder=").unwrap_or(inner).strip_prefix('\'')?.strip_suffix('\'')
}

/// An error as the gateway writes it.
fn error(status: u16, code: &str, message: &str) -> Reply {
    detailed(status, code, message, &json!([{ "code": code, "message": message, "severity": "error" }]))
}

fn detailed(status: u16, code: &str, message: &str, details: &Json) -> Reply {
    let inner = json!({
        "application": {
            "component_id": "PP-SFC", "service_namespace": "/SAP/", "service_id": SERVICE, "service_version": "0001"
        },
        "errordetails": details,
    });
    let body = json!({ "error": { "code": code, "message": { "lang": "en", "value": message }, "innererror": inner } });
    Reply::new(status, body)
}

/// What is wrong: the first in the message, all with their property in `errordetails`.
fn refused(refusal: &Refusal) -> Reply {
    let wrong = match refusal {
        Refusal::Fields(wrong) => wrong.as_slice(),
        Refusal::Type | Refusal::Body(_) => &[],
    };
    let Some(first) = wrong.first() else { return error(400, "CX_SXML_PARSE_ERROR/001", &refusal.text()) };
    let (code, message) = match first.trouble {
        Trouble::TooLong(max) => {
            ("/IWBEP/CM_MGW_RT/176", format!("Property '{}' exceeds its maximum length of {max}", first.name))
        }
        Trouble::Unknown => ("/IWBEP/CM_MGW_RT/175", format!("Property '{}' is invalid", first.name)),
        Trouble::Missing | Trouble::Value => {
            ("/IWBEP/CM_MGW_RT/004", format!("Property '{}' has invalid value '{}'", first.name, first.found))
        }
    };
    let detail = |w: &Wrong| json!({ "code": code, "message": w.message, "propertyref": w.name, "severity": "error" });
    detailed(400, code, &message, &wrong.iter().map(detail).collect())
}

/// The changes of an order, oldest first.
fn changes<'a>(kept: &'a Documents, number: &'a str) -> impl DoubleEndedIterator<Item = &'a Line> {
    kept.of(KIND).filter(move |line| line.text("ManufacturingOrder") == number)
}

/// The orders with the ends that were moved here.
fn orders(kept: &Documents, plan: Plan, now: Time) -> Vec<Order> {
    let moved =
        |number: &str| changes(kept, number).rev().find_map(|line| Some(Moved { at: line.at, end: line.time("end")? }));
    plan.orders(&HAMBURG, now, moved)
}

/// When an order last changed.
fn changed(kept: &Documents, order: &Order, now: Time) -> Time {
    order.changed(changes(kept, &order.number).next_back().map(|line| line.at), now)
}

fn etag(kept: &Documents, order: &Order, now: Time) -> String {
    format!("W/\"'{}'\"", stamp(changed(kept, order, now)))
}

/// How a GET is to be answered.
struct Options {
    expand_items: bool,
    select: Option<Vec<String>>,
}

impl Options {
    fn of(request: &Request) -> Result<Self, Box<Reply>> {
        let known =
            ["$filter", "$orderby", "$top", "$skip", "$inlinecount", "$format", "$select", "$expand", "sap-client"];
        if let Some((name, _)) = request.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(Box::new(error(
                400,
                "/IWFND/CM_MGW/510",
                &format!("Query option '{}' is not supported", short(name)),
            )));
        }
        let expand_items = match request.asked("$expand") {
            None | Some("") => false,
            Some("to_ProductionOrderItem") => true,
            Some(other) => {
                return Err(Box::new(error(
                    400,
                    "/IWFND/CM_MGW/510",
                    &format!("$expand '{}' is not supported", short(other)),
                )));
            }
        };
        let select = request.asked("$select").map(|text| text.split(',').map(|name| name.trim().to_owned()).collect());
        Ok(Self { expand_items, select })
    }
}

/// An order as an entity.
fn entity(kept: &Documents, order: &Order, request: &Request, options: &Options, now: Time) -> Map<String, Json> {
    let host = request.header("host").unwrap_or("localhost");
    let root = request.header("x-forwarded-prefix").unwrap_or_default();
    let uri = format!("http://{host}{root}/sap/opu/odata/sap/{SERVICE}/{ENTITY}('{}')", order.number);
    let (state, _) = order.state(now);
    let flag = |is: bool| if is { "X" } else { "" };
    let custom = |name: &str| changes(kept, &order.number).rev().find_map(|line| line.fields.get(name).cloned());
    let reference = changes(kept, &order.number).next_back().and_then(|line| line.reference.clone());
    let yielded = if state == State::Completed { order.making.quantity } else { 0 };
    let items = if options.expand_items {
        json!({ "results": [item(order, &yielded.to_string())] })
    } else {
        json!({ "__deferred": { "uri": format!("{uri}/to_ProductionOrderItem") } })
    };
    let all = json!({
        "__metadata": {
            "id": uri, "uri": uri, "type": format!("{SERVICE}.{ENTITY}Type"), "etag": etag(kept, order, now)
        },
        "ManufacturingOrder": order.number,
        "ManufacturingOrderCategory": "10",
        "ManufacturingOrderType": "YBM1",
        "OrderIsCreated": flag(state == State::Created),
        "OrderIsReleased": flag(state >= State::Released),
        "OrderIsPartiallyConfirmed": flag(state == State::Running),
        "OrderIsConfirmed": flag(state == State::Completed),
        "OrderIsTechnicallyCompleted": flag(state == State::Completed),
        "MfgOrderCreationDate": odata_date(order.created),
        "MfgOrderCreationTime": odata_time(order.created),
        "LastChangeDateTime": stamp(changed(kept, order, now)),
        "Material": order.making.material,
        "ProductionPlant": order.making.plant,
        "ProductionSupervisor": order.making.line,
        "MfgOrderPlannedStartDate": odata_date(order.begin),
        "MfgOrderPlannedStartTime": odata_time(order.begin),
        "MfgOrderPlannedEndDate": odata_date(order.planned),
        "MfgOrderPlannedEndTime": odata_time(order.planned),
        "MfgOrderScheduledStartDate": odata_date(order.begin),
        "MfgOrderScheduledStartTime": odata_time(order.begin),
        "MfgOrderScheduledEndDate": odata_date(order.end),
        "MfgOrderScheduledEndTime": odata_time(order.end),
        "ProductionUnit": "ST",
        "ProductionUnitISOCode": "PCE",
        "TotalQuantity": order.making.quantity.to_string(),
        "MfgOrderConfirmedYieldQty": yielded.to_string(),
        "CustomerName": order.making.customer.1,
        "YY1_RiskState_ORD": custom("YY1_RiskState_ORD").unwrap_or_else(|| "".into()),
        "YY1_RiskReason_ORD": custom("YY1_RiskReason_ORD").unwrap_or_else(|| "".into()),
        "YY1_Reference_ORD": reference.unwrap_or_default(),
        "to_ProductionOrderItem": items,
    });
    let mut all = match all {
        Json::Object(all) => all,
        _ => Map::new(),
    };
    if let Some(select) = &options.select {
        all.retain(|name, _| name == "__metadata" || select.contains(name));
    }
    all
}

/// The only item of an order: what is made, and in which batch.
fn item(order: &Order, yielded: &str) -> Json {
    json!({
        "ManufacturingOrder": order.number,
        "ManufacturingOrderItem": "0001",
        "Material": order.making.material,
        "ProductionPlant": order.making.plant,
        "Batch": order.batch,
        "ProductionUnit": "ST",
        "MfgOrderItemPlannedTotalQty": order.making.quantity.to_string(),
        "MfgOrderItemGoodsReceiptQty": yielded,
    })
}

/// What `$filter` may compare, and how it is answered.
fn property(kept: &Documents, order: &Order, name: &str, now: Time) -> Option<String> {
    Some(match name {
        "ManufacturingOrder" => order.number.clone(),
        "LastChangeDateTime" => stamp(changed(kept, order, now)),
        "Material" => order.making.material.to_owned(),
        "ProductionPlant" => order.making.plant.to_owned(),
        "ProductionSupervisor" => order.making.line.to_owned(),
        _ => return None,
    })
}

/// Whether an order passes one comparison, `LastChangeDateTime ge '20261126080000'`; `None` where it is none.
fn passes(kept: &Documents, order: &Order, comparison: &str, now: Time) -> Option<bool> {
    let mut words = comparison.split_whitespace();
    let (name, operator, value) = (words.next()?, words.next()?, words.next()?);
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    let found = property(kept, order, name, now)?;
    let ordering = found.as_str().cmp(value);
    let holds = match operator {
        "eq" => ordering.is_eq(),
        "ne" => ordering.is_ne(),
        "ge" => ordering.is_ge(),
        "gt" => ordering.is_gt(),
        "le" => ordering.is_le(),
        "lt" => ordering.is_lt(),
        _ => return None,
    };
    words.next().is_none().then_some(holds)
}

fn search(kept: &Documents, orders: &[Order], request: &Request, now: Time) -> Result<Reply, Box<Reply>> {
    let options = Options::of(request)?;
    let wrong = |name: &str| {
        let value = short(request.asked(name).unwrap_or_default());
        Box::new(error(400, "/IWFND/CM_MGW/510", &format!("Invalid value '{value}' of the query option '{name}'")))
    };
    let mut found: Vec<&Order> = Vec::new();
    for order in orders {
        let filter = request.asked("$filter").unwrap_or_default();
        let comparisons = filter.split(" and ").filter(|text| !text.trim().is_empty());
        let passed: Option<Vec<bool>> = comparisons.map(|text| passes(kept, order, text, now)).collect();
        if passed.ok_or_else(|| wrong("$filter"))?.into_iter().all(|passed| passed) {
            found.push(order);
        }
    }
    if let Some(order_by) = request.asked("$orderby") {
        let (name, direction) = order_by.trim().split_once(' ').unwrap_or((order_by.trim(), "asc"));
        if !matches!(direction, "asc" | "desc") || orders.iter().any(|o| property(kept, o, name, now).is_none()) {
            return Err(wrong("$orderby"));
        }
        found.sort_by_key(|order| property(kept, order, name, now));
        if direction == "desc" {
            found.reverse();
        }
    }
    let number = |name: &str, default: usize| match request.asked(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| wrong(name)),
    };
    let (top, skip) = (number("$top", PAGE_MAX)?.min(PAGE_MAX), number("$skip", 0)?);
    let page = found.iter().skip(skip).take(top);
    let results: Vec<Json> = page.map(|order| entity(kept, order, request, &options, now).into()).collect();
    let mut answer = Map::new();
    if request.asked("$inlinecount") == Some("allpages") {
        answer.insert("__count".into(), found.len().to_string().into());
    }
    answer.insert("results".into(), results.into());
    Ok(Reply::new(200, json!({ "d": answer })))
}

/// A change of an order; where the same reference brings the same again, nothing.
fn patch(kept: &Documents, order: &Order, request: &Request, now: Time) -> Reply {
    let current = etag(kept, order, now);
    match request.header("if-match") {
        None => return error(428, "/IWFND/CM_MGW/529", "The request requires an If-Match header"),
        Some("*") => {}
        Some(tag) if tag == current => {}
        Some(_) => {
            return error(412, "/IWBEP/CM_MGW_RT/022", "Precondition failed; the order was changed in the meantime");
        }
    }
    let mut asked = match fields::of(request, &FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refused(&refusal),
    };
    let reference = asked.shift_remove("YY1_Reference_ORD");
    let reference = reference.as_ref().and_then(Json::as_str);
    let text = |name: &str| asked.get(name).and_then(Json::as_str);
    let (day, clock) = (text("MfgOrderScheduledEndDate"), text("MfgOrderScheduledEndTime"));
    let end = match (day.and_then(read_odata_date), clock.and_then(read_odata_time)) {
        (None, None) => None,
        (Some(day), Some(clock)) => Some(day.plus(clock)),
        _ => return error(400, "CO/062", "Enter MfgOrderScheduledEndDate and MfgOrderScheduledEndTime together"),
    };
    if end.is_some_and(|end| end <= order.begin) {
        return error(400, "CO/063", &format!("The finish of order {} lies before its start", order.number));
    }
    if let Some(end) = end {
        asked.insert("end".into(), end.to_string().into());
    }
    let again = reference.into_iter().flat_map(|reference| kept.references(reference));
    let again = again.filter(|line| line.text("ManufacturingOrder") == order.number);
    let mut same = again.filter(|line| asked.iter().all(|(name, value)| line.fields.get(name) == Some(value)));
    if let Some(line) = same.next() {
        return Reply::new(204, Json::Null).with("etag", current).with("location", place(request, &line.document));
    }
    let document = kept.next(&format!("{}/", order.number), 4);
    asked.insert("ManufacturingOrder".into(), order.number.clone().into());
    let place = place(request, &document);
    let tag = format!("W/\"'{}'\"", stamp(now));
    let line = Line::new(now, KIND, document, reference, asked);
    Reply::new(204, Json::Null).with("etag", tag).with("location", place).writing(line)
}

/// Where a change can be read: what a customer of SAP adds to the service to know who changed an order.
fn place(request: &Request, document: &str) -> String {
    let root = request.header("x-forwarded-prefix").unwrap_or_default();
    let (order, change) = document.split_once('/').unwrap_or((document, ""));
    format!("{root}/sap/opu/odata/sap/{SERVICE}/{ENTITY}('{order}')/to_YY1_Change('{change}')")
}

fn show_change(kept: &Documents, document: &str) -> Reply {
    let Some(line) = kept.document(document) else {
        return error(404, "/IWBEP/CM_MGW_RT/020", &format!("Resource not found: change {}", short(document)));
    };
    let mut entity = line.fields.clone();
    entity.insert("YY1_Reference_ORD".into(), json!(line.reference));
    entity.insert("YY1_ChangedAt_ORD".into(), stamp(line.at).into());
    Reply::new(200, json!({ "d": entity }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::S4, Offices, tests::Asked};
    use andon_model::span::Span;

    const SET: &str = "/sap/opu/odata/sap/API_PRODUCTION_ORDER_2_SRV/A_ProductionOrder_2";

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn get(offices: &mut Offices, target: &str, minute: i64) -> Reply {
        offices.ask(S4, "GET", &format!("{SET}{target}"), "", at(minute))
    }

    fn patch(offices: &mut Offices, body: &str, tag: &str, minute: i64) -> Reply {
        offices.ask_with(S4, "PATCH", &format!("{SET}('1000123')"), body, &[("if-match", tag)], at(minute))
    }

    fn numbers(reply: &Reply) -> Vec<&str> {
        let results = reply.body["d"]["results"].as_array().unwrap();
        results.iter().map(|order| order["ManufacturingOrder"].as_str().unwrap()).collect()
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
        &reply.headers.iter().find(|(found, _)| *found == name).unwrap().1
    }

    #[test]
    fn orders_are_found_by_what_changed_and_dates_are_those_of_odata() {
        let mut offices = Offices::new(at(0));
        let target = "?$filter=LastChangeDateTime ge '20261126064000'&$orderby=LastChangeDateTime\
                      &$expand=to_ProductionOrderItem";
        let found = get(&mut offices, target, 0);
        assert_eq!(numbers(&found), ["1000122", "1000123", "1000126"]);
        let running = &found.body["d"]["results"][1];
        assert_eq!((&running["OrderIsReleased"], &running["OrderIsPartiallyConfirmed"]), (&json!("X"), &json!("X")));
        assert_eq!(running["MfgOrderScheduledEndDate"], "/Date(1795651200000)/");
        assert_eq!(running["MfgOrderScheduledEndTime"], "PT10H40M00S");
        assert_eq!(running["TotalQuantity"], "24000");
        assert_eq!(running["to_ProductionOrderItem"]["results"][0]["Batch"], "B001000123");
        let one = get(&mut offices, "('1000123')", 0);
        assert_eq!(header(&one, "etag"), one.body["d"]["__metadata"]["etag"]);
        assert!(one.body["d"]["to_ProductionOrderItem"]["__deferred"].is_object());
    }

    #[test]
    fn a_change_is_made_once_for_its_reference() {
        let mut offices = Offices::new(at(0));
        let body =
            r#"{"YY1_RiskState_ORD":"A","YY1_RiskReason_ORD":"vibration","YY1_Reference_ORD":"7K3QF0ZT9M2RX4B8"}"#;
        let first = patch(&mut offices, body, "*", 20);
        assert_eq!((first.status, &first.body), (204, &Json::Null));
        assert_eq!(header(&first, "location"), format!("{SET}('1000123')/to_YY1_Change('0001')"));
        assert_eq!(header(&first, "etag"), "W/\"'20261126082000'\"");
        let again = patch(&mut offices, body, "*", 25);
        assert_eq!((again.status, header(&again, "location")), (204, header(&first, "location")));
        let [line] = offices.kept(S4).lines() else { panic!("one line") };
        assert_eq!((line.document.as_str(), line.reference.as_deref()), ("1000123/0001", Some("7K3QF0ZT9M2RX4B8")));
        let order = get(&mut offices, "('1000123')", 30).body;
        assert_eq!(
            (&order["d"]["YY1_RiskState_ORD"], &order["d"]["LastChangeDateTime"]),
            (&json!("A"), &json!("20261126082000"))
        );
        let change = get(&mut offices, "('1000123')/to_YY1_Change('0001')", 30).body;
        assert_eq!(change["d"]["YY1_Reference_ORD"], "7K3QF0ZT9M2RX4B8");
    }

    #[test]
    fn a_moved_end_is_seen_and_moves_the_next_order() {
        let mut offices = Offices::new(at(0));
        let body = r#"{"MfgOrderScheduledEndDate":"/Date(1795651200000)/","MfgOrderScheduledEndTime":"PT11H25M00S",
            "YY1_Reference_ORD":"R"}"#;
        let tag = header(&get(&mut offices, "('1000123')", 40), "etag").to_owned();
        assert_eq!(patch(&mut offices, body, &tag, 40).status, 204);
        let order = get(&mut offices, "('1000123')", 41).body;
        assert_eq!(order["d"]["MfgOrderScheduledEndTime"], "PT11H25M00S");
        assert_eq!(order["d"]["MfgOrderPlannedEndTime"], "PT10H40M00S");
        let moved = get(&mut offices, "?$filter=LastChangeDateTime ge '20261126084000'&$select=ManufacturingOrder", 41);
        assert_eq!(numbers(&moved), ["1000123", "1000124", "1000125"]);
    }

    #[test]
    fn errors_are_those_of_the_gateway() {
        let mut offices = Offices::new(at(0));
        let flag = r#"{"YY1_RiskState_ORD":"A"}"#;
        let missing = offices.ask(S4, "PATCH", &format!("{SET}('1000123')"), flag, at(0));
        assert_eq!((missing.status, patch(&mut offices, flag, "W/\"'20250101000000'\"", 0).status), (428, 412));
        let long = format!(r#"{{"YY1_RiskReason_ORD":"{}","Colour":1}}"#, "x".repeat(41));
        let refused = patch(&mut offices, &long, "*", 0);
        assert_eq!(refused.status, 400);
        let details = refused.body["error"]["innererror"]["errordetails"].as_array().unwrap();
        assert_eq!(
            (&details[0]["propertyref"], &details[1]["propertyref"]),
            (&json!("YY1_RiskReason_ORD"), &json!("Colour"))
        );
        for body in [
            r#"{"YY1_RiskState_ORD":"red"}"#,
            r#"{"MfgOrderScheduledEndDate":"/Date(1795651200000)/"}"#,
            r#"{"MfgOrderScheduledEndDate":"2026-11-26","MfgOrderScheduledEndTime":"PT11H25M00S"}"#,
            r#"{"MfgOrderScheduledEndDate":"/Date(0)/","MfgOrderScheduledEndTime":"PT11H25M00S"}"#,
            "{",
        ] {
            assert_eq!(patch(&mut offices, body, "*", 0).status, 400, "{body}");
        }
        assert!(offices.kept(S4).lines().is_empty());
        let unknown = get(&mut offices, "('4711')", 0);
        assert_eq!((unknown.status, &unknown.body["error"]["code"]), (404, &json!("CO/017")));
        for wrong in [
            "?$filter=Colour eq '1'",
            "?$filter=ManufacturingOrder",
            "?$orderby=Colour",
            "?$top=x",
            "?$expand=to_X",
            "?top=1",
        ] {
            assert_eq!(get(&mut offices, wrong, 0).status, 400, "{wrong}");
        }
        assert_eq!(offices.ask(S4, "GET", "/sap/opu/odata/sap/API_EQUIPMENT/Equipment", "", at(0)).status, 404);
        assert_eq!(offices.ask(S4, "DELETE", &format!("{SET}('1000123')"), "", at(0)).status, 405);
    }

    #[test]
    fn pages_are_cut_and_counted() {
        let mut offices = Offices::new(at(0));
        let page = get(&mut offices, "?$top=2&$skip=1&$orderby=ManufacturingOrder desc&$inlinecount=allpages", 0);
        assert_eq!((numbers(&page), &page.body["d"]["__count"]), (vec!["1000125", "1000124"], &json!("12")));
    }
}
