//! Maintenance in the dialect of IBM Maximo (Manage): service requests by the object structure `mxapisr`.

use super::{
    Documents, Line, Reply, Request,
    fields::{self, Field, Refusal, Shape, Trouble, needed, possible},
    format::{short, with_offset},
    life::{ASSETS, Stage},
};
use andon_model::Time;
use serde_json::{Map, Value as Json, json};

/// The key that callers show in the header `apikey`.
pub const API_KEY: &str = "demo-maximo-apikey";

const KIND: &str = "service-request";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[KIND];
const FIELDS: [Field; 7] = [
    needed("description", Shape::Line(100)),
    possible("description_longdescription", Shape::Long(32_000)),
    needed("siteid", Shape::Text(8)),
    possible("assetnum", Shape::Text(25)),
    possible("reportedpriority", Shape::Whole(1, 4)),
    possible("externalrefid", Shape::Text(30)),
    possible("reportdate", Shape::Moment),
];
/// Rows of one answer when the caller names no size, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    if request.header("apikey") != Some(API_KEY) {
        return error(401, "BMXAA0021E", "User name and password combination are not valid. Try again.");
    }
    let (method, path) = request.target();
    let ["api" | "oslc", "os", rest @ ..] = &path[..] else { return missing() };
    if request.asked("lean") != Some("1") {
        return error(400, "BMXAA8742E", "The names of attributes have the prefix spi: here. Ask with lean=1.");
    }
    match (method, rest) {
        ("POST", ["mxapisr"]) => create(kept, request, now),
        ("GET", ["mxapisr"]) => search(kept, request, now).unwrap_or_else(|reply| *reply),
        ("GET", ["mxapisr", number]) => match kept.document(number) {
            Some(line) => match select(&record(line, request, now), request.asked("oslc.select")) {
                Ok(record) => Reply::new(200, record),
                Err(reply) => *reply,
            },
            None => missing(),
        },
        (_, ["mxapisr", ..]) => error(405, "BMXAA8728E", "The method is not supported for the resource."),
        _ => missing(),
    }
}

/// An error as Maximo writes it: `statusCode` is a text.
fn error(status: u16, code: &str, message: &str) -> Reply {
    let more = json!({ "moreInfo": { "href": format!("/maximo/api/error/messages/{code}") } });
    let text = format!("{code} - {message}");
    let body = json!({
        "Error": { "extendedError": more, "reasonCode": code, "message": text, "statusCode": status.to_string() }
    });
    Reply::new(status, body)
}

fn missing() -> Reply {
    error(404, "BMXAA8727E", "The OSLC resource was not found.")
}

/// The first of what is wrong; Maximo tells no more than one.
fn refused(refusal: &Refusal) -> Reply {
    let Refusal::Fields(wrong) = refusal else { return error(400, "BMXAA8742E", &refusal.text()) };
    let Some(first) = wrong.first() else { return error(400, "BMXAA8742E", "The body is not valid.") };
    let name = &first.name;
    match first.trouble {
        Trouble::TooLong(max) => {
            let message = format!("The value specified for {name} exceeds the maximum field length of {max}.");
            error(400, "BMXAA4049E", &message)
        }
        Trouble::Missing => {
            error(400, "BMXAA4195E", &format!("A value is required for the {name} field on the SR object."))
        }
        Trouble::Unknown => error(400, "BMXAA8743E", &format!("The attribute {name} is not found on the SR object.")),
        Trouble::Value => error(
            400,
            "BMXAA4121E",
            &format!("The value {:?} is not valid for {name}: {}.", first.found, first.message),
        ),
    }
}

fn create(kept: &Documents, request: &Request, now: Time) -> Reply {
    let mut asked = match fields::of(request, &FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refused(&refusal),
    };
    let text = |name: &str| asked.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (siteid, assetnum) = (text("siteid"), text("assetnum"));
    if !ASSETS.iter().any(|asset| asset.siteid == siteid) {
        let message = format!(
            "{siteid} is not a valid site. Enter a valid Site value as defined in the Organization application."
        );
        return error(400, "BMXAA4153E", &message);
    }
    if !assetnum.is_empty() && !ASSETS.iter().any(|asset| asset.siteid == siteid && asset.assetnum == assetnum) {
        let message = format!("Asset {assetnum} is not a valid asset, or its status is not an operating status.");
        return error(400, "BMXAA2661E", &message);
    }
    let reference = asked.shift_remove("externalrefid");
    asked.entry("reportdate").or_insert_with(|| now.to_string().into());
    // Nothing keeps two requests from having the same external reference.
    let line = Line::new(now, KIND, kept.next_above("SR", 1_000), reference.as_ref().and_then(Json::as_str), asked);
    let record = record(&line, request, now);
    let href = record.get("href").and_then(Json::as_str).unwrap_or_default().to_owned();
    // Maximo answers with the record only where somebody asks for it.
    let body = match request.header("properties") {
        None => Json::Null,
        Some(properties) => match select(&record, Some(properties)) {
            Ok(body) => body,
            Err(reply) => return *reply,
        },
    };
    Reply::new(201, body).with("location", href).writing(line)
}

/// A service request as it is answered.
fn record(line: &Line, request: &Request, now: Time) -> Map<String, Json> {
    let (stage, since) = Stage::of(line.at, now);
    let status = match stage {
        Stage::New => "NEW",
        Stage::Queued => "QUEUED",
        Stage::InProgress => "INPROG",
        Stage::Done => "RESOLVED",
    };
    let root = request.header("x-forwarded-prefix").unwrap_or_default();
    let host = request.header("host").unwrap_or("localhost");
    let mut record = Map::new();
    let mut put = |name: &str, value: Json| record.insert(name.to_owned(), value);
    put("href", format!("http://{host}{root}/api/os/mxapisr/{}", line.document).into());
    put("ticketid", line.document.clone().into());
    put("class", "SR".into());
    put("status", status.into());
    put("statusdate", with_offset(since).into());
    put("changedate", with_offset(since).into());
    if let Some(reference) = &line.reference {
        put("externalrefid", reference.clone().into());
    }
    for (name, value) in &line.fields {
        put(name, value.clone());
    }
    if let Some(reported) = line.time("reportdate") {
        put("reportdate", with_offset(reported).into());
    }
    for (name, stage) in [("actualstart", Stage::InProgress), ("actualfinish", Stage::Done)] {
        if let Some(at) = stage.reached(line.at, now) {
            put(name, with_offset(at).into());
        }
    }
    record
}

/// The attributes of a service request that may be selected, compared and sorted by.
const ATTRIBUTES: [&str; 15] = [
    "href",
    "ticketid",
    "class",
    "status",
    "statusdate",
    "changedate",
    "externalrefid",
    "description",
    "description_longdescription",
    "siteid",
    "assetnum",
    "reportedpriority",
    "reportdate",
    "actualstart",
    "actualfinish",
];

fn known(name: &str) -> Result<&str, Box<Reply>> {
    if ATTRIBUTES.contains(&name) {
        return Ok(name);
    }
    Err(Box::new(error(400, "BMXAA8743E", &format!("The attribute {} is not found on the SR object.", short(name)))))
}

/// The selected attributes of a record; without a word, as Maximo does, only where it is.
fn select(record: &Map<String, Json>, properties: Option<&str>) -> Result<Json, Box<Reply>> {
    let mut selected = Map::new();
    for name in properties.unwrap_or("href").split(',').map(str::trim) {
        if name == "*" {
            return Ok(record.clone().into());
        }
        if let Some(value) = record.get(known(name)?) {
            selected.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(href) = record.get("href") {
        selected.entry("href").or_insert_with(|| href.clone());
    }
    Ok(selected.into())
}

/// A comparison of `oslc.where`.
#[derive(Debug, PartialEq, Eq)]
struct Comparison {
    name: String,
    operator: &'static str,
    value: String,
}

impl Comparison {
    /// Reads `externalrefid="A" and statusdate>="2026-11-26T08:00:00+00:00"`.
    fn all(text: &str) -> Option<Vec<Self>> {
        let mut rest = text.trim();
        let mut all = Vec::new();
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            let (name, after) = rest.split_at(end);
            let operator = [">=", "<=", "!=", "=", ">", "<"].into_iter().find(|op| after.starts_with(op))?;
            let after = after.strip_prefix(operator)?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(' ').unwrap_or(after.len())),
            };
            all.push(Self { name: name.to_owned(), operator, value: value.to_owned() });
            rest = match after.trim_start() {
                "" => "",
                more => more.strip_prefix("and ")?.trim_start(),
            };
        }
        Some(all)
    }

    fn holds(&self, record: &Map<String, Json>) -> bool {
        let found = match record.get(&self.name) {
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return self.operator == "!=",
        };
        // Moments may be written with any offset.
        let order = match (Time::parse(&found), Time::parse(&self.value)) {
            (Ok(found), Ok(value)) => found.cmp(&value),
            _ => found.as_str().cmp(&self.value),
        };
        match self.operator {
            "=" => order.is_eq(),
            "!=" => order.is_ne(),
            ">=" => order.is_ge(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            _ => order.is_lt(),
        }
    }
}

fn search(kept: &Documents, request: &Request, now: Time) -> Result<Reply, Box<Reply>> {
    let filter = request.asked("oslc.where").unwrap_or_default();
    let wrong = |what: &str, value: &str| {
        Box::new(error(400, "BMXAA8742E", &format!("The query parameter {what} is not valid: {}.", short(value))))
    };
    let filter = Comparison::all(filter).ok_or_else(|| wrong("oslc.where", filter))?;
    for comparison in &filter {
        known(&comparison.name)?;
    }
    let number = |name: &str, default: usize| match request.asked(name) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number) if (1..=PAGE_MAX).contains(&number) => Ok(number),
            _ => Err(wrong(name, text)),
        },
    };
    let (size, page) = (number("oslc.pageSize", PAGE_DEFAULT)?, number("pageno", 1)?);
    // What is looked for by its reference is not searched for among everything.
    let by_reference = filter.iter().find(|c| c.name == "externalrefid" && c.operator == "=");
    let lines: Vec<&Line> = match by_reference {
        Some(comparison) => kept.references(&comparison.value).collect(),
        None => kept.lines().iter().collect(),
    };
    let mut records: Vec<Map<String, Json>> = lines.into_iter().map(|line| record(line, request, now)).collect();
    records.retain(|record| filter.iter().all(|comparison| comparison.holds(record)));
    if let Some(order) = request.asked("oslc.orderBy") {
        // `+` is a blank in a query that nobody has encoded.
        let name = known(order.trim_start_matches(['+', '-', ' ']))?;
        let key = |record: &Map<String, Json>| record.get(name).map(ToString::to_string);
        records.sort_by_key(key);
        if order.starts_with('-') {
            records.reverse();
        }
    }
    let mut info = json!({ "totalCount": records.len(), "pagenum": page });
    if records.len() > page * size
        && let Some(info) = info.as_object_mut()
    {
        info.insert("nextPage".into(), json!({ "href": next_page(request, page + 1) }));
    }
    let selected = request.asked("oslc.select");
    let page = records.iter().skip((page - 1) * size).take(size);
    let members = page.map(|record| select(record, selected)).collect::<Result<Vec<Json>, _>>()?;
    Ok(Reply::new(200, json!({ "member": members, "responseInfo": info })))
}

/// The address of the next page: the same query with the next number.
fn next_page(request: &Request, page: usize) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let root = request.header("x-forwarded-prefix").unwrap_or_default();
    let host = request.header("host").unwrap_or("localhost");
    let others = request.query.iter().filter(|(name, _)| name != "pageno");
    let encoded = others.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    let query: Vec<String> = encoded.chain([format!("pageno={page}")]).collect();
    format!("http://{host}{root}/api/os/mxapisr?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::Maximo, Offices, tests::Asked};
    use andon_model::span::Span;

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn ask(offices: &mut Offices, method: &str, target: &str, body: &str, now: Time) -> Reply {
        offices.ask_with(Maximo, method, target, body, &[("apikey", API_KEY), ("properties", "*")], now)
    }

    const GOOD: &str = r#"{"description":"Vibration high","description_longdescription":"7.3 mm/s","siteid":"HAM",
        "assetnum":"11072","reportedpriority":2,"externalrefid":"7K3QF0ZT9M2RX4B8",
        "reportdate":"2026-11-26T08:55:00+01:00"}"#;

    #[test]
    fn a_service_request_is_created_found_and_lives() {
        let mut offices = Offices::new(at(0));
        let made = ask(&mut offices, "POST", "/api/os/mxapisr?lean=1", GOOD, at(0));
        assert_eq!((made.status, &made.body["ticketid"], &made.body["status"]), (201, &json!("SR1001"), &json!("NEW")));
        assert_eq!(made.body["reportdate"], "2026-11-26T07:55:00+00:00");
        assert_eq!(made.headers[0].1, "http://localhost/api/os/mxapisr/SR1001");
        let find = "/api/os/mxapisr?lean=1&oslc.where=externalrefid=%227K3QF0ZT9M2RX4B8%22&oslc.select=ticketid,status";
        let mut seen = Vec::new();
        for minute in [0, 1, 6, 18] {
            let found = ask(&mut offices, "GET", find, "", at(minute));
            assert_eq!(found.body["member"][0]["ticketid"], "SR1001");
            seen.push(found.body["member"][0]["status"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, ["NEW", "QUEUED", "INPROG", "RESOLVED"]);
        let whole = ask(&mut offices, "GET", "/api/os/mxapisr/SR1001?lean=1&oslc.select=*", "", at(20)).body;
        assert_eq!(
            (&whole["actualstart"], &whole["actualfinish"]),
            (&json!(with_offset(at(6))), &json!(with_offset(at(18))))
        );
    }

    #[test]
    fn the_same_reference_twice_makes_two_and_without_properties_there_is_no_body() {
        let mut offices = Offices::new(at(0));
        let target = "/api/os/mxapisr?lean=1";
        let made = offices.ask_with(Maximo, "POST", target, GOOD, &[("apikey", API_KEY)], at(0));
        assert_eq!((made.status, made.body), (201, Json::Null));
        assert_eq!(ask(&mut offices, "POST", target, GOOD, at(0)).body["ticketid"], "SR1002");
    }

    #[test]
    fn changes_come_in_their_order_and_in_pages() {
        let mut offices = Offices::new(at(0));
        for minute in [0, 2, 4] {
            ask(&mut offices, "POST", "/api/os/mxapisr?lean=1", GOOD, at(minute));
        }
        let target = "/api/os/mxapisr?lean=1&oslc.where=statusdate>=\"2026-11-26T08:03:00Z\" and siteid=\"HAM\"\
                      &oslc.select=ticketid&oslc.orderBy=%2Bstatusdate&oslc.pageSize=1";
        let first = ask(&mut offices, "GET", target, "", at(6)).body;
        assert_eq!(
            (&first["member"][0]["ticketid"], &first["responseInfo"]["totalCount"]),
            (&json!("SR1002"), &json!(3))
        );
        let next =
            first["responseInfo"]["nextPage"]["href"].as_str().unwrap().strip_prefix("http://localhost").unwrap();
        let second = ask(&mut offices, "GET", next, "", at(6)).body;
        assert_eq!(second["member"][0]["ticketid"], "SR1003");
        assert_eq!(second["responseInfo"]["pagenum"], 2);
    }

    #[test]
    fn errors_are_those_of_the_system() {
        let mut offices = Offices::new(at(0));
        let target = "/api/os/mxapisr?lean=1";
        let mut codes = Vec::new();
        for (from, to) in [
            ("Vibration high", "x".repeat(101).as_str()),
            ("\"siteid\":\"HAM\",", ""),
            ("HAM", "BERLIN"),
            ("11072", "99"),
            ("\"reportedpriority\":2", "\"reportedpriority\":9"),
            ("reportdate", "colour"),
            ("7K3QF0ZT9M2RX4B8", "7K3QF0ZT9M2RX4B87K3QF0ZT9M2RX4B8"),
        ] {
            let refused = ask(&mut offices, "POST", target, &GOOD.replace(from, to), at(0));
            assert_eq!((refused.status, &refused.body["Error"]["statusCode"]), (400, &json!("400")));
            codes.push(refused.body["Error"]["reasonCode"].as_str().unwrap().to_owned());
        }
        let expected =
            ["BMXAA4049E", "BMXAA4195E", "BMXAA4153E", "BMXAA2661E", "BMXAA4121E", "BMXAA8743E", "BMXAA4049E"];
        assert_eq!(codes, expected);
        assert_eq!(offices.ask(Maximo, "GET", target, "", at(0)).status, 401);
        assert_eq!(ask(&mut offices, "GET", "/api/os/mxapiwo?lean=1", "", at(0)).status, 404);
        assert_eq!(ask(&mut offices, "GET", "/api/os/mxapisr", "", at(0)).status, 400);
        for wrong in
            ["oslc.where=status", "oslc.where=colour=1", "oslc.pageSize=0", "oslc.select=colour", "oslc.orderBy=x"]
        {
            offices.keep(Maximo, Line::new(at(0), KIND, format!("SR{}", wrong.len()), None, Map::new())).ok();
            assert_eq!(ask(&mut offices, "GET", &format!("{target}&{wrong}"), "", at(0)).status, 400, "{wrong}");
        }
        assert_eq!(offices.kept(Maximo).references("7K3QF0ZT9M2RX4B8").count(), 0);
    }
}
