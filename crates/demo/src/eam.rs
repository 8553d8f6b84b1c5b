//! The maintenance system of the example as a pure state machine: requests in, answers and new rows out.

use andon_model::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Maintenance requests an office keeps; beyond that it refuses with 503.
pub const ROWS_MAX: usize = 1_000_000;
/// Rows of one answer to `GET /requests`.
pub const PAGE_MAX: usize = 1_000;
/// Rows of one answer when the caller names no limit.
pub const PAGE_DEFAULT: usize = 100;
/// The longest reference, in characters; the width of the field in the systems this office stands for.
pub const REFERENCE_MAX_CHARS: usize = 20;
/// The longest description, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 200;
/// The longest long description, in characters.
pub const LONG_DESCRIPTION_MAX_CHARS: usize = 20_000;

const PRIORITIES: [&str; 3] = ["high", "medium", "low"];

/// A maintenance request as the office keeps it: one line of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// `MR-` and a number of six digits, given in the order of arrival.
    pub number: String,
    /// `open`; the office of the example works on nothing.
    pub status: String,
    /// What the caller calls it. Not unique: whoever sends twice has two.
    pub reference: Option<String>,
    /// One line.
    pub description: String,
    /// The whole story.
    pub long_description: Option<String>,
    /// The equipment in this office's own numbers: `EQ-100042`.
    pub equipment: String,
    /// The plant, four digits.
    pub plant: String,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// When the trouble was seen.
    pub reported_at: Time,
    /// When the office took it.
    pub received_at: Time,
}

/// An HTTP request, taken apart.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// The path, still percent-encoded.
    pub path: &'a str,
    /// The query, decoded.
    pub query: &'a [(String, String)],
    /// The content type without its parameters, where one is named.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What the office answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body; from 400 on a problem (RFC 9457).
    pub body: Json,
    /// The row that this answer promises: durable before the answer is sent.
    pub row: Option<Row>,
}

/// The office.
#[derive(Debug, Default)]
pub struct Office {
    rows: Vec<Row>,
    by_number: BTreeMap<String, usize>,
    by_reference: BTreeMap<String, Vec<usize>>,
    highest: u64,
}

impl Office {
    /// Answers a request and keeps what it wrote.
    pub fn apply(&mut self, request: &Request<'_>, now: Time) -> Reply {
        let reply = self.decide(request, now);
        if let Some(row) = &reply.row {
            // A number that `decide` gave is new, so it is never refused.
            let _ = self.keep(row.clone());
        }
        reply
    }

    /// The answer to a request. Nothing changes yet, so that the row can be made durable first.
    pub fn decide(&self, request: &Request<'_>, now: Time) -> Reply {
        match (request.method, request.path, request.path.strip_prefix("/requests/")) {
            ("POST", "/requests", _) => self.create(request, now),
            ("GET", "/requests", _) => self.search(request.query),
            ("GET", _, Some(number)) => match self.by_number.get(number).and_then(|at| self.rows.get(*at)) {
                Some(row) => reply(200, json!(row)),
                None => problem(404, "Not Found", &format!("there is no request {}", short(number))),
            },
            (_, "/requests", _) | (_, _, Some(_)) => {
                problem(405, "Method Not Allowed", &format!("{} is not possible here", short(request.method)))
            }
            _ => problem(404, "Not Found", &format!("there is nothing at {}", short(request.path))),
        }
    }

    /// Keeps a row, new or read from the office's file; `Err` says why it cannot be one of this office.
    pub fn keep(&mut self, row: Row) -> Result<(), String> {
        let digits = row.number.strip_prefix("MR-").unwrap_or_default();
        let number: u64 = digits.parse().map_err(|_| format!("{:?} is no number of a request", short(&row.number)))?;
        if self.by_number.contains_key(&row.number) {
            return Err(format!("the number {} is there twice", row.number));
        }
        let at = self.rows.len();
        self.highest = self.highest.max(number);
        self.by_number.insert(row.number.clone(), at);
        if let Some(reference) = &row.reference {
            self.by_reference.entry(reference.clone()).or_default().push(at);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Everything the office keeps, in the order of arrival.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn create(&self, request: &Request<'_>, now: Time) -> Reply {
        if self.rows.len() >= ROWS_MAX {
            return problem(503, "Service Unavailable", "the office is full");
        }
        if request.content_type != Some("application/json") {
            return problem(415, "Unsupported Media Type", "send application/json");
        }
        let body: Json = match serde_json::from_slice(request.body) {
            Ok(body) => body,
            Err(cause) => return problem(400, "Bad Request", &format!("the body is no JSON: {cause}")),
        };
        match read(&body, now) {
            Ok(mut row) => {
                row.number = format!("MR-{:06}", self.highest + 1);
                let mut answer = reply(201, json!(row));
                answer.row = Some(row);
                answer
            }
            Err(errors) => {
                let detail: Vec<&str> = errors.iter().map(|(_, message)| message.as_str()).collect();
                let mut answer = problem(422, "Unprocessable Content", &detail.join("; "));
                let list: Vec<Json> = errors.iter().map(|(at, m)| json!({ "pointer": at, "detail": m })).collect();
                if let Some(body) = answer.body.as_object_mut() {
                    body.insert("errors".into(), list.into());
                }
                answer
            }
        }
    }

    fn search(&self, query: &[(String, String)]) -> Reply {
        let mut limit = PAGE_DEFAULT;
        let mut offset = 0;
        let mut reference = None;
        for (name, value) in query {
            match (name.as_str(), value.parse::<usize>()) {
                ("reference", _) => reference = Some(value),
                ("limit", Ok(n)) if (1..=PAGE_MAX).contains(&n) => limit = n,
                ("offset", Ok(n)) => offset = n,
                _ => {
                    let detail = format!(
                        "the query knows reference, limit (1 to {PAGE_MAX}) and offset, not {}={}",
                        short(name),
                        short(value)
                    );
                    return problem(400, "Bad Request", &detail);
                }
            }
        }
        let (total, page): (usize, Vec<&Row>) = match reference {
            Some(reference) => {
                let found = self.by_reference.get(reference).map(Vec::as_slice).unwrap_or_default();
                let page = found.iter().skip(offset).take(limit).filter_map(|at| self.rows.get(*at));
                (found.len(), page.collect())
            }
            None => (self.rows.len(), self.rows.iter().skip(offset).take(limit).collect()),
        };
        reply(200, json!({ "requests": page, "total": total }))
    }
}

/// A problem as every office answers it (RFC 9457).
pub fn problem(status: u16, title: &str, detail: &str) -> Reply {
    reply(status, json!({ "type": "about:blank", "title": title, "status": status, "detail": detail }))
}

fn reply(status: u16, body: Json) -> Reply {
    Reply { status, body, row: None }
}

/// A foreign text, short enough to be repeated.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Reads the row a body asks for, still without its number; or every problem with its place.
fn read(body: &Json, now: Time) -> Result<Row, Vec<(String, String)>> {
    let Some(fields) = body.as_object() else {
        return Err(vec![(String::new(), "the body must be an object".into())]);
    };
    let mut errors = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, value) in fields {
        match (Field::named(name), value) {
            (Some(_), Json::Null) => {}
            (Some(field), Json::String(text)) => match field.check(text) {
                Ok(()) => {
                    seen.insert(field, text.clone());
                }
                Err(expected) => errors.push((format!("/{name}"), format!("{name} must be {expected}"))),
            },
            (Some(_), _) => errors.push((format!("/{name}"), format!("{name} must be a text"))),
            (None, _) => errors.push((format!("/{}", short(name)), format!("{} is not a field", short(name)))),
        }
    }
    for field in Field::REQUIRED {
        let name = field.name();
        if !seen.contains_key(&field) && !errors.iter().any(|(at, _)| at.strip_prefix('/') == Some(name)) {
            errors.push((format!("/{name}"), format!("{name} is missing")));
        }
    }
    let mut take = |field| seen.remove(&field);
    let reported = take(Field::ReportedAt).and_then(|text| Time::parse(&text).ok());
    let row = Row {
        number: String::new(),
        status: "open".into(),
        reference: take(Field::Reference),
        description: take(Field::Description).unwrap_or_default(),
        long_description: take(Field::LongDescription),
        equipment: take(Field::Equipment).unwrap_or_default(),
        plant: take(Field::Plant).unwrap_or_default(),
        priority: take(Field::Priority).unwrap_or_else(|| "medium".into()),
        reported_at: reported.unwrap_or(now),
        received_at: now,
    };
    if errors.is_empty() { Ok(row) } else { Err(errors) }
}

/// The fields of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Reference,
    Description,
    LongDescription,
    Equipment,
    Plant,
    Priority,
    ReportedAt,
}

impl Field {
    const ALL: [Self; 7] = [
        Self::Reference,
        Self::Description,
        Self::LongDescription,
        Self::Equipment,
        Self::Plant,
        Self::Priority,
        Self::ReportedAt,
    ];
    const REQUIRED: [Self; 3] = [Self::Description, Self::Equipment, Self::Plant];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Description => "description",
            Self::LongDescription => "longDescription",
            Self::Equipment => "equipment",
            Self::Plant => "plant",
            Self::Priority => "priority",
            Self::ReportedAt => "reportedAt",
        }
    }

    /// `Err` says what the text must be.
    fn check(self, text: &str) -> Result<(), String> {
        let between = |max: usize| !text.is_empty() && text.chars().count() <= max;
        let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        let (good, expected) = match self {
            Self::Reference => (between(REFERENCE_MAX_CHARS), format!("1 to {REFERENCE_MAX_CHARS} characters")),
            Self::Description => (
                between(DESCRIPTION_MAX_CHARS) && !text.contains(['\r', '\n']),
                format!("one line of 1 to {DESCRIPTION_MAX_CHARS} characters"),
            ),
            Self::LongDescription => (
                text.chars().count() <= LONG_DESCRIPTION_MAX_CHARS,
                format!("at most {LONG_DESCRIPTION_MAX_CHARS} characters"),
            ),
            Self::Equipment => (
                text.strip_prefix("EQ-").is_some_and(|rest| digits(rest, 6)),
                "an equipment of this office, EQ- and six digits".into(),
            ),
            Self::Plant => (digits(text, 4), "a plant of four digits".into()),
            Self::Priority => (PRIORITIES.contains(&text), format!("one of {}", PRIORITIES.join(", "))),
            Self::ReportedAt => (Time::parse(text).is_ok(), "a time like 2026-11-22T08:05:00Z".into()),
        };
        if good { Ok(()) } else { Err(expected) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Time {
        Time::parse("2026-03-02T10:00:00Z").unwrap()
    }

    fn post(office: &mut Office, body: &str) -> Reply {
        let request = Request {
            method: "POST",
            path: "/requests",
            query: &[],
            content_type: Some("application/json"),
            body: body.as_bytes(),
        };
        office.apply(&request, now())
    }

    fn get(office: &mut Office, path: &str, query: &[(&str, &str)]) -> Reply {
        let query: Vec<(String, String)> = query.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        office.apply(&Request { method: "GET", path, query: &query, content_type: None, body: b"" }, now())
    }

    const GOOD: &str = r#"{"reference":"7K3QF0ZT9M2RX4B8","description":"too hot","equipment":"EQ-100042",
        "plant":"1010","priority":"high","reportedAt":"2026-03-02T09:00:00+01:00"}"#;

    #[test]
    fn a_request_gets_the_next_number_and_is_found_by_it_and_by_its_reference() {
        let mut office = Office::default();
        let first = post(&mut office, GOOD);
        assert_eq!((first.status, &first.body["number"]), (201, &json!("MR-000001")));
        assert_eq!(first.body["status"], "open");
        assert_eq!(first.body["reportedAt"], "2026-03-02T08:00:00Z");
        assert_eq!(get(&mut office, "/requests/MR-000001", &[]).body, first.body);
        let found = get(&mut office, "/requests", &[("reference", "7K3QF0ZT9M2RX4B8")]);
        assert_eq!(found.body["requests"][0], first.body);
        assert_eq!(get(&mut office, "/requests", &[("reference", "other")]).body["requests"], json!([]));
        assert_eq!(get(&mut office, "/requests/MR-000002", &[]).status, 404);
    }

    #[test]
    fn the_same_reference_twice_makes_two_requests() {
        let mut office = Office::default();
        post(&mut office, GOOD);
        assert_eq!(post(&mut office, GOOD).body["number"], "MR-000002");
        assert_eq!(get(&mut office, "/requests", &[("reference", "7K3QF0ZT9M2RX4B8")]).body["total"], 2);
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let mut office = Office::default();
        let refused = post(
            &mut office,
            r#"{"description":"a\nb","equipment":"machine-01","priority":1,"colour":"red","reference":""}"#,
        );
        assert_eq!(refused.status, 422);
        let places: Vec<&str> =
            refused.body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(places, ["/description", "/equipment", "/priority", "/colour", "/reference", "/plant"]);
        assert!(refused.body["detail"].as_str().unwrap().contains("equipment must be an equipment of this office"));
        assert!(office.rows().is_empty());
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_status() {
        let mut office = Office::default();
        assert_eq!(post(&mut office, "{").status, 400);
        assert_eq!(post(&mut office, "[]").status, 422);
        assert_eq!(post(&mut office, &"[".repeat(10_000)).status, 400);
        assert_eq!(get(&mut office, "/requests", &[("limit", "0")]).status, 400);
        assert_eq!(get(&mut office, "/requests", &[("refrence", "x")]).status, 400);
        assert_eq!(get(&mut office, "/", &[]).status, 404);
        let wrong =
            Request { method: "DELETE", path: "/requests/MR-000001", query: &[], content_type: None, body: b"" };
        assert_eq!(office.apply(&wrong, now()).status, 405);
        let text = Request { method: "POST", path: "/requests", query: &[], content_type: None, body: b"{}" };
        assert_eq!(office.apply(&text, now()).status, 415);
    }

    #[test]
    fn a_row_reads_back_and_numbers_go_on_after_it() {
        let mut office = Office::default();
        let row = post(&mut office, GOOD).row.unwrap();
        let line = serde_json::to_string(&row).unwrap();
        let mut again = Office::default();
        again.keep(serde_json::from_str(&line).unwrap()).unwrap();
        assert_eq!(again.rows(), office.rows());
        assert!(again.keep(row.clone()).unwrap_err().contains("twice"));
        assert!(again.keep(Row { number: "MR-x".into(), ..row }).is_err());
        assert_eq!(post(&mut again, GOOD).body["number"], "MR-000002");
    }

    #[test]
    fn pages_are_cut_and_say_how_many_there_are() {
        let mut office = Office::default();
        for _ in 0..5 {
            post(&mut office, GOOD);
        }
        let page = get(&mut office, "/requests", &[("limit", "2"), ("offset", "3")]);
        assert_eq!(page.body["total"], 5);
        assert_eq!(page.body["requests"][0]["number"], "MR-000004");
        assert_eq!(page.body["requests"].as_array().unwrap().len(), 2);
    }
}
