//! Customers' cases in the dialect of Salesforce: a token by OAuth 2, and upserts by an external id.

use super::{
    Documents, Line, Reply, Request,
    fields::{self, Field, Refusal, Shape, Trouble, possible},
    format::{short, with_millis},
};
use andon_model::{Time, span::Span};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};

/// The client that may have a token.
pub const CLIENT_ID: &str = "demo-crm-client";
/// The secret of the client.
pub const CLIENT_SECRET: &str = "demo-crm-secret";

const CASE: &str = "case";
const CHANGE: &str = "case-change";
/// The kinds of lines of this office.
pub(super) const KINDS: &[&str] = &[CASE, CHANGE];
/// How long a token is good.
const SESSION: Span = Span::from_secs(2 * 3_600);
const TOKEN_PREFIX: &str = "00Dandon!";
const EXTERNAL_ID: &str = "Andon_Reference__c";
const FIELDS: [Field; 9] = [
    possible("Subject", Shape::Text(255)),
    possible("Description", Shape::Long(32_000)),
    possible("Priority", Shape::OneOf(&["High", "Medium", "Low"])),
    possible("Origin", Shape::OneOf(&["Phone", "Email", "Web", "Plant"])),
    possible("Status", Shape::OneOf(&["New", "Working", "Escalated", "Closed"])),
    possible("Type", Shape::Text(40)),
    possible("Reason", Shape::Text(40)),
    possible("AccountId", Shape::Form(is_account, "an id of 15 or 18 characters that begins with 001")),
    possible("ContactId", Shape::Form(is_contact, "an id of 15 or 18 characters that begins with 003")),
];

fn is_id(text: &str, prefix: &str) -> bool {
    text.starts_with(prefix) && matches!(text.len(), 15 | 18) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_account(text: &str) -> bool {
    is_id(text, "001")
}

fn is_contact(text: &str) -> bool {
    is_id(text, "003")
}

/// The answer to a request.
pub(super) fn decide(kept: &Documents, request: &Request, now: Time) -> Reply {
    let (method, path) = request.target();
    if let ("POST", ["services", "oauth2", "token"]) = (method, &path[..]) {
        return token(request, now);
    }
    if !is_in_session(request, now) {
        return error(401, "INVALID_SESSION_ID", "Session expired or invalid", &[]);
    }
    let reply = match (method, &path[..]) {
        (method, ["services", "data", version, "sobjects", "Case", rest @ ..]) if is_version(version) => {
            match (method, rest) {
                ("PATCH", [EXTERNAL_ID, reference]) => upsert(kept, reference, request, now),
                ("GET", [EXTERNAL_ID, reference]) => match kept.reference(CASE, reference) {
                    Some(line) => Reply::new(200, record(kept, line)),
                    None => missing(),
                },
                ("GET", [id]) => match kept.document(id).filter(|line| line.kind == CASE) {
                    Some(line) => Reply::new(200, record(kept, line)),
                    None => missing(),
                },
                (_, [_] | [EXTERNAL_ID, _]) => {
                    error(405, "METHOD_NOT_ALLOWED", &format!("HTTP Method '{}' not allowed.", short(method)), &[])
                }
                _ => missing(),
            }
        }
        _ => missing(),
    };
    reply.with("sforce-limit-info", format!("api-usage={}/100000", kept.lines().len()))
}

fn is_version(text: &str) -> bool {
    text.strip_prefix('v').and_then(|v| v.strip_suffix(".0")).is_some_and(|v| v.parse::<u8>().is_ok_and(|v| v >= 50))
}

/// An error as Salesforce writes it: a list.
fn error(status: u16, code: &str, message: &str, fields: &[&str]) -> Reply {
    let mut entry = json!({ "message": message, "errorCode": code });
    if let (Some(entry), false) = (entry.as_object_mut(), fields.is_empty()) {
        entry.insert("fields".into(), json!(fields));
    }
    Reply::new(status, json!([entry]))
}

fn missing() -> Reply {
    error(404, "NOT_FOUND", "The requested resource does not exist", &[])
}

/// A token for the client, in the form or in the header.
fn token(request: &Request, now: Time) -> Reply {
    let refused = |code: &str, text: &str| Reply::new(400, json!({ "error": code, "error_description": text }));
    let form = fields::form(&request.body);
    let given = |name: &str| form.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    if given("grant_type").as_deref() != Some("client_credentials") {
        return refused("unsupported_grant_type", "grant type not supported");
    }
    let basic = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let basic = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let client = match basic.as_deref().and_then(|text| text.split_once(':')) {
        Some((id, secret)) => (Some(id.to_owned()), Some(secret.to_owned())),
        None => (given("client_id"), given("client_secret")),
    };
    match client {
        (Some(id), Some(secret)) if id == CLIENT_ID && secret == CLIENT_SECRET => {}
        (Some(id), _) if id == CLIENT_ID => return refused("invalid_client", "invalid client credentials"),
        _ => return refused("invalid_client_id", "client identifier invalid"),
    }
    let host = request.header("host").unwrap_or("localhost");
    Reply::new(
        200,
        json!({
            "access_token": format!("{TOKEN_PREFIX}{}", now.millis()),
            "instance_url": format!("http://{host}"),
            "id": format!("http://{host}/id/00Dandon/005andon"),
            "token_type": "Bearer",
            "issued_at": now.millis().to_string(),
        }),
    )
}

/// Whether the token is one of ours and not too old. It says itself when it was given, so nothing has to be kept.
fn is_in_session(request: &Request, now: Time) -> bool {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let issued = token.and_then(|token| token.strip_prefix(TOKEN_PREFIX)?.parse().ok()).map(Time::from_millis);
    issued.is_some_and(|issued| issued <= now && now.since(issued) < SESSION)
}

/// The first of what is wrong.
fn refused(refusal: &Refusal) -> Reply {
    let Refusal::Fields(wrong) = refusal else { return error(400, "JSON_PARSER_ERROR", &refusal.text(), &[]) };
    let Some(first) = wrong.first() else { return error(400, "JSON_PARSER_ERROR", "The body is not valid", &[]) };
    let name = first.name.as_str();
    match first.trouble {
        Trouble::TooLong(max) => {
            let message = format!("{name}: data value too large: {} (max length={max})", first.found);
            error(400, "STRING_TOO_LONG", &message, &[name])
        }
        Trouble::Unknown if name == EXTERNAL_ID => error(
            400,
            "INVALID_FIELD",
            "The external id field is given in the address and must not be in the body",
            &[name],
        ),
        Trouble::Unknown => {
            error(400, "INVALID_FIELD", &format!("No such column '{name}' on sobject of type Case"), &[])
        }
        Trouble::Value if name.ends_with("Id") => {
            error(400, "MALFORMED_ID", &format!("{name}: id value of incorrect type: {}", first.found), &[name])
        }
        Trouble::Value | Trouble::Missing => {
            let message = format!("{name}: bad value for restricted picklist field: {}", first.found);
            error(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", &message, &[name])
        }
    }
}

/// The changes of a case, oldest first.
fn changes<'a>(kept: &'a Documents, reference: &str) -> Vec<&'a Line> {
    kept.references(reference).filter(|line| line.kind == CHANGE).collect()
}

/// The fields of a case as they are now.
fn fields_of(kept: &Documents, line: &Line) -> Map<String, Json> {
    let mut fields = line.fields.clone();
    for change in line.reference.iter().flat_map(|reference| changes(kept, reference)) {
        fields.extend(change.fields.clone());
    }
    fields
}

fn record(kept: &Documents, line: &Line) -> Json {
    let number: u64 = line.document.trim_start_matches(PREFIX).trim_end_matches(SUFFIX).parse().unwrap_or_default();
    let changed = line.reference.iter().flat_map(|reference| changes(kept, reference)).next_back().unwrap_or(line);
    let mut record = json!({
        "attributes": { "type": "Case", "url": format!("/services/data/v66.0/sobjects/Case/{}", line.document) },
        "Id": line.document,
        "CaseNumber": format!("{number:08}"),
        "Status": "New",
        EXTERNAL_ID: line.reference,
        "CreatedDate": with_millis(line.at),
        "LastModifiedDate": with_millis(changed.at),
    });
    if let Some(record) = record.as_object_mut() {
        record.extend(fields_of(kept, line));
    }
    record
}

/// What ids of cases begin and end with.
const PREFIX: &str = "5005g";
const SUFFIX: &str = "AAA";

fn upsert(kept: &Documents, reference: &str, request: &Request, now: Time) -> Reply {
    let asked = match fields::of(request, &FIELDS) {
        Ok(asked) => asked,
        Err(refusal) => return refused(&refusal),
    };
    let length = reference.chars().count();
    if !(1..=20).contains(&length) {
        let message = format!("{EXTERNAL_ID}: data value too large: {} (max length=20)", short(reference));
        return error(400, "STRING_TOO_LONG", &message, &[EXTERNAL_ID]);
    }
    let answer = |id: &str, created: bool| json!({ "id": id, "errors": [], "success": true, "created": created });
    let Some(line) = kept.reference(CASE, reference) else {
        let document = format!("{}{SUFFIX}", kept.next(PREFIX, 10));
        let line = Line::new(now, CASE, document, Some(reference), asked);
        return Reply::new(201, answer(&line.document, true)).writing(line);
    };
    let reply = Reply::new(200, answer(&line.document, false));
    let current = fields_of(kept, line);
    if asked.iter().all(|(name, value)| current.get(name) == Some(value)) {
        return reply;
    }
    let document = kept.next(&format!("{}/", line.document), 1);
    reply.writing(Line::new(now, CHANGE, document, Some(reference), asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind::Crm, Offices, tests::Asked};

    const CASE: &str = "/services/data/v66.0/sobjects/Case/Andon_Reference__c/7K3QF0ZT9M2RX4B8";
    const GOOD: &str = r#"{"Subject":"late","Priority":"High","Origin":"Plant","AccountId":"0015g00000NrdL1AAA"}"#;

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:20:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    fn token(offices: &mut Offices, form: &str, basic: &str) -> Reply {
        offices.ask_with(Crm, "POST", "/services/oauth2/token", form, &[("authorization", basic)], at(0))
    }

    /// Asks with a token of the first minute.
    fn ask(offices: &mut Offices, method: &str, target: &str, body: &str, minute: i64) -> Reply {
        let form = format!("grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}");
        let given = token(offices, &form, "");
        let bearer = format!("Bearer {}", given.body["access_token"].as_str().unwrap());
        offices.ask_with(Crm, method, target, body, &[("authorization", &bearer)], at(minute))
    }

    #[test]
    fn a_case_is_created_once_and_changed_by_other_fields() {
        let mut offices = Offices::new(at(0));
        let made = ask(&mut offices, "PATCH", CASE, GOOD, 0);
        let answer = json!({ "id": "5005g0000000001AAA", "errors": [], "success": true, "created": true });
        assert_eq!((made.status, &made.body), (201, &answer));
        assert_eq!(made.headers[0], ("sforce-limit-info", "api-usage=0/100000".to_owned()));
        let again = ask(&mut offices, "PATCH", CASE, GOOD, 1);
        assert_eq!((again.status, &again.body["created"], again.lines.len()), (200, &json!(false), 0));
        let closing = r#"{"Status":"Closed"}"#;
        assert_eq!(ask(&mut offices, "PATCH", CASE, closing, 2).lines.len(), 1);
        assert_eq!(ask(&mut offices, "PATCH", CASE, closing, 3).lines.len(), 0);
        let case = ask(&mut offices, "GET", CASE, "", 4).body;
        assert_eq!(
            (&case["Status"], &case["Subject"], &case["CaseNumber"]),
            (&json!("Closed"), &json!("late"), &json!("00000001"))
        );
        assert_eq!(case["LastModifiedDate"], "2026-11-26T08:22:00.000+0000");
        let id = "/services/data/v66.0/sobjects/Case/5005g0000000001AAA";
        assert_eq!(ask(&mut offices, "GET", id, "", 4).body, case);
    }

    #[test]
    fn a_token_is_given_to_the_client_and_ends() {
        let mut offices = Offices::new(at(0));
        let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
        assert_eq!(token(&mut offices, "grant_type=client_credentials", &basic).status, 200);
        let mut refused = |form: &str| {
            let reply = token(&mut offices, form, "");
            assert_eq!(reply.status, 400);
            reply.body["error"].as_str().unwrap().to_owned()
        };
        assert_eq!(refused("grant_type=password"), "unsupported_grant_type");
        assert_eq!(refused("grant_type=client_credentials&client_id=x&client_secret=y"), "invalid_client_id");
        assert_eq!(refused(&format!("grant_type=client_credentials&client_id={CLIENT_ID}")), "invalid_client");
        assert_eq!(ask(&mut offices, "PATCH", CASE, GOOD, 119).status, 201);
        let ended = ask(&mut offices, "PATCH", CASE, GOOD, 120);
        assert_eq!((ended.status, &ended.body[0]["errorCode"]), (401, &json!("INVALID_SESSION_ID")));
        assert_eq!(offices.ask(Crm, "PATCH", CASE, GOOD, at(0)).status, 401);
    }

    #[test]
    fn errors_are_lists_with_codes() {
        let mut offices = Offices::new(at(0));
        let mut codes = Vec::new();
        for (from, to) in [
            ("late", "x".repeat(256).as_str()),
            ("Origin", "Colour"),
            ("Origin", "Andon_Reference__c"),
            ("High", "1"),
            ("0015g00000NrdL1AAA", "4711"),
            ("{", ""),
        ] {
            let refused = ask(&mut offices, "PATCH", CASE, &GOOD.replacen(from, to, 1), 0);
            assert_eq!(refused.status, 400);
            codes.push(refused.body[0]["errorCode"].as_str().unwrap().to_owned());
        }
        let expected = [
            "STRING_TOO_LONG",
            "INVALID_FIELD",
            "INVALID_FIELD",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "MALFORMED_ID",
            "JSON_PARSER_ERROR",
        ];
        assert_eq!(codes, expected);
        assert_eq!(
            ask(&mut offices, "PATCH", &format!("{CASE}XXXXX"), GOOD, 0).body[0]["errorCode"],
            "STRING_TOO_LONG"
        );
        assert_eq!(ask(&mut offices, "GET", CASE, "", 0).status, 404);
        assert_eq!(ask(&mut offices, "GET", "/services/data/v66.0/sobjects/Lead/x", "", 0).status, 404);
        assert_eq!(ask(&mut offices, "DELETE", CASE, "", 0).status, 405);
        assert!(offices.kept(Crm).lines().is_empty());
    }
}
