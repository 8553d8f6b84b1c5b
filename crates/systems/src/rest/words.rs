//! What a system says about a failure, in its own words and in one line.
//!
//! Understood are the errors of SAP (`OData` V2 and V4), Maximo, Salesforce, `ServiceNow`, Odoo, problems (RFC 9457)
//! with the fields at fault as ASP.NET names them, JSON:API, `FastAPI`, and what gateways and smaller systems commonly
//! answer.

use super::redact;
use serde_json::Value as Json;
use std::fmt::Write;

/// Details of one error that are told beside its message.
const DETAILS_MAX: usize = 5;
/// The part of a text in which words are looked for.
const TEXT_MAX_BYTES: usize = 16 << 10;

/// The words and codes of a failure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// For people; may be empty.
    pub(super) text: String,
    /// For the table of classes.
    pub(super) codes: Vec<String>,
}

/// The words of an answer, read from its JSON or else from its text.
pub(super) fn of(json: Option<&Json>, body: &[u8]) -> Words {
    let mut words = json.map(of_json).unwrap_or_default();
    if words.text.is_empty() {
        let body = String::from_utf8_lossy(body.get(..TEXT_MAX_BYTES).unwrap_or(body));
        words.text = of_text(&body);
    }
    words.text = redact::text(&words.text);
    words
}

/// The text in one line without control characters, at most so many characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut space = false;
    for c in text.chars() {
        // Marks that change the direction of a text would let it be read as another.
        let hidden =
            c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        if hidden || c.is_whitespace() {
            space = count > 0;
            continue;
        }
        if count + usize::from(space) + 1 > max {
            // The last character makes room for the sign that something is missing.
            line.pop();
            line.push('…');
            return line;
        }
        if space {
            line.push(' ');
            count += 1;
            space = false;
        }
        line.push(c);
        count += 1;
    }
    line
}

fn of_json(json: &Json) -> Words {
    match json {
        Json::Array(items) => salesforce(items),
        Json::Object(_) => of_object(json),
        Json::String(text) => Words { text: text.clone(), codes: Vec::new() },
        Json::Null | Json::Bool(_) | Json::Number(_) => Words::default(),
    }
}

fn of_object(json: &Json) -> Words {
    let mut words = Words::default();
    if let Some(error) = json.get("error").filter(|e| e.is_object()) {
        error_object(error, &mut words);
    } else if let Some(error) = json.get("Error") {
        // Maximo: the message mostly begins with its code already.
        words.add(text_at(error, "/message"));
        words.code(text_at(error, "/reasonCode"));
    } else if let Some(fault) = json.pointer("/fault/faultstring") {
        words.add(fault.as_str());
    } else if let Some(text) = text_at(json, "/error_description") {
        words.add(Some(text));
        words.code(text_at(json, "/error"));
    } else if json.get("title").is_some() || json.get("detail").is_some() {
        words.add(text_at(json, "/title").filter(|_| text_at(json, "/detail").is_none()));
        words.add(text_at(json, "/detail"));
        words.details(json.get("detail"));
        words.details(json.get("errors"));
    } else {
        // Odoo names its class of error beside the message.
        words.add(text_at(json, "/message").or(text_at(json, "/error")).or(text_at(json, "/error_message")));
        words.code(text_at(json, "/name"));
        words.details(json.get("errors"));
    }
    words
}

/// `{"error": {...}}` as SAP, other `OData` services, `ServiceNow` and Odoo's JSON-RPC write it.
fn error_object(error: &Json, words: &mut Words) {
    if let Some(data) = error.get("data") {
        words.add(text_at(data, "/message"));
        words.code(text_at(data, "/name"));
    }
    if words.text.is_empty() {
        words.add(text_at(error, "/message/value").or(text_at(error, "/message")));
    }
    words.add(text_at(error, "/detail"));
    words.code(text_at(error, "/code"));
    if let Some(target) = text_at(error, "/target").filter(|target| !target.is_empty() && !words.text.is_empty()) {
        let _ = write!(words.text, " ({target})");
    }
    words.details(error.pointer("/innererror/errordetails"));
    words.details(error.get("details"));
    words.codes.retain(|code| !code.is_empty());
    if let Some(code) = text_at(error, "/code").filter(|code| !code.is_empty())
        && !words.text.is_empty()
    {
        let _ = write!(words.text, " ({code})");
    }
}

/// `[{"message", "errorCode", "fields"}]`
fn salesforce(items: &[Json]) -> Words {
    let mut words = Words::default();
    for item in items.iter().take(DETAILS_MAX) {
        let code = text_at(item, "/errorCode");
        words.code(code);
        let Some(message) = text_at(item, "/message") else { continue };
        let fields: Vec<&str> =
            item.get("fields").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let told = match (code, fields.is_empty()) {
            (Some(code), true) => format!("{message} ({code})"),
            (Some(code), false) => format!("{message} ({code}: {})", fields.join(", ")),
            (None, _) => message.to_owned(),
        };
        words.add(Some(&told));
    }
    words
}

impl Words {
    /// Adds a text that does not only repeat.
    fn add(&mut self, text: Option<&str>) {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty() && !self.text.contains(text)) else {
            return;
        };
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        self.text.push_str(text);
    }

    fn code(&mut self, code: Option<&str>) {
        self.codes.extend(code.map(str::to_owned));
    }

    /// Adds the problems of single fields: `message (place)`.
    fn details(&mut self, list: Option<&Json>) {
        // `{"field": ["message"]}`, as ASP.NET writes it.
        for (field, told) in list.and_then(Json::as_object).into_iter().flatten().take(DETAILS_MAX) {
            let one = told.as_array().and_then(|all| all.first()).unwrap_or(told);
            if let Some(message) = one.as_str().filter(|message| !self.text.contains(message)) {
                let told = if field.is_empty() { message.to_owned() } else { format!("{message} ({field})") };
                self.add(Some(&told));
            }
        }
        for item in list.and_then(Json::as_array).into_iter().flatten().take(DETAILS_MAX) {
            let at = |names: &[&str]| names.iter().find_map(|name| text_at(item, name)).filter(|text| !text.is_empty());
            if matches!(at(&["/severity"]), Some("info" | "warning" | "success")) {
                continue;
            }
            let message =
                item.as_str().or(at(&["/detail", "/message", "/defaultMessage", "/msg", "/reason", "/title"]));
            let Some(message) = message.filter(|message| !self.text.contains(message)) else { continue };
            // `FastAPI` gives the place as a list.
            let listed = item.get("loc").and_then(Json::as_array).map(|parts| {
                let parts = parts.iter().filter_map(super::fields::scalar).take(10);
                parts.collect::<Vec<_>>().join(".")
            });
            let names =
                ["/pointer", "/source/pointer", "/source/parameter", "/propertyref", "/target", "/field", "/name"];
            match at(&names).map(str::to_owned).or(listed) {
                Some(place) => self.add(Some(&format!("{message} ({place})"))),
                None => self.add(Some(message)),
            }
        }
    }
}

fn text_at<'a>(json: &'a Json, pointer: &str) -> Option<&'a str> {
    json.pointer(pointer).and_then(Json::as_str)
}

/// Of a page its title or its text without the tags; of other texts all of it.
fn of_text(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with('<') {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let from = at + lower.get(at..)?.find('>')? + 1;
        let to = from + lower.get(from..)?.find('<')?;
        text.get(from..to).map(str::trim)
    });
    if let Some(title) = title.filter(|title| !title.is_empty()) {
        return title.to_owned();
    }
    let mut plain = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                plain.push(' ');
            }
            _ if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(body: &Json) -> String {
        of(Some(body), b"").text
    }

    #[test]
    fn sap_says_its_message_and_the_details_that_add_to_it() {
        let value = "Pers.no. 7 is blocked by user X";
        let body = json!({ "error": { "code": "56/393", "message": { "lang": "en", "value": value },
            "innererror": { "transactionid": "4A5F", "errordetails": [
                { "code": "56/393", "message": "Pers.no. 7 is blocked by user X", "severity": "error" },
                {
                    "code": "Z/1", "message": "Plant 9 does not exist",
                    "propertyref": "to_Item/Plant", "severity": "error"
                },
                { "code": "Z/2", "message": "All else is fine", "severity": "info" } ] } } });
        assert_eq!(told(&body), "Pers.no. 7 is blocked by user X; Plant 9 does not exist (to_Item/Plant) (56/393)");
        assert_eq!(of(Some(&body), b"").codes, ["56/393"]);
    }

    #[test]
    fn other_systems_say_theirs() {
        let details = json!([{ "message": "too long", "target": "title" }]);
        let v4 = json!({ "error": { "code": "400", "message": "Bad value", "details": details } });
        assert_eq!(told(&v4), "Bad value; too long (title) (400)");
        let no_asset = "BMXAA8727E - No asset.";
        let maximo = json!({ "Error": { "reasonCode": "BMXAA8727E", "message": no_asset, "statusCode": "404" } });
        assert_eq!(
            of(Some(&maximo), b""),
            Words { text: "BMXAA8727E - No asset.".into(), codes: vec!["BMXAA8727E".into()] }
        );
        let (message, code) = ("Required fields are missing", "REQUIRED_FIELD_MISSING");
        let salesforce = json!([{ "message": message, "errorCode": code, "fields": ["Name"] }]);
        assert_eq!(told(&salesforce), "Required fields are missing (REQUIRED_FIELD_MISSING: Name)");
        let servicenow = json!({ "error": { "message": "Invalid table x", "detail": null }, "status": "failure" });
        assert_eq!(told(&servicenow), "Invalid table x");
        let odoo =
            json!({ "name": "odoo.exceptions.UserError", "message": "No team", "arguments": [], "debug": "Traceback" });
        assert_eq!(
            of(Some(&odoo), b""),
            Words { text: "No team".into(), codes: vec!["odoo.exceptions.UserError".into()] }
        );
        let rpc = json!({ "jsonrpc": "2.0", "error": { "code": 200, "message": "Odoo Server Error",
            "data": { "name": "odoo.exceptions.AccessError", "message": "Not for you", "debug": "Traceback" } } });
        assert_eq!(of(Some(&rpc), b"").codes, ["odoo.exceptions.AccessError"]);
        assert_eq!(told(&rpc), "Not for you");
    }

    #[test]
    fn problems_and_plain_messages_are_understood() {
        let problem = json!({ "title": "Unprocessable Content", "status": 422, "detail": "plant is missing",
            "errors": [
                { "pointer": "/plant", "detail": "plant is missing" },
                { "pointer": "/x", "detail": "no field" }
            ] });
        assert_eq!(told(&problem), "plant is missing; no field (/x)");
        assert_eq!(told(&json!({ "title": "Not Found", "status": 404 })), "Not Found");
        assert_eq!(told(&json!({ "error": "invalid_token", "error_description": "expired" })), "expired");
        assert_eq!(told(&json!({ "fault": { "faultstring": "Quota exceeded" } })), "Quota exceeded");
        assert_eq!(told(&json!({ "message": "no", "errors": ["a", { "field": "b", "reason": "c" }] })), "no; a; c (b)");
        assert_eq!(
            of(None, b"<html><head><TITLE> 502 Bad Gateway </TITLE></head><body>x</body></html>").text,
            "502 Bad Gateway"
        );
        assert_eq!(one_line(&of(None, b"<h1>Out</h1> of <b>order</b>").text, 80), "Out of order");
        assert_eq!(of(None, b"upstream connect error").text, "upstream connect error");
        assert_eq!(of(None, b"failed with password=abc").text, "failed with password=[redacted]");
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let aspnet = json!({ "title": "One or more validation errors occurred.", "status": 400,
            "errors": { "Plant": ["The Plant field is required."], "$": ["no"] } });
        assert_eq!(
            told(&aspnet),
            "One or more validation errors occurred.; The Plant field is required. (Plant); no ($)"
        );
        let api = json!({ "errors": [{ "status": "422", "title": "Invalid", "detail": "too long",
            "source": { "pointer": "/data/attributes/title" } }] });
        assert_eq!(told(&api), "too long (/data/attributes/title)");
        let fast =
            json!({ "detail": [{ "loc": ["body", "lines", 0, "qty"], "msg": "field required", "type": "missing" }] });
        assert_eq!(told(&fast), "field required (body.lines.0.qty)");
        let v4 = json!({ "error": { "code": "X/1", "message": "Bad plant", "target": "Plant" } });
        assert_eq!(told(&v4), "Bad plant (Plant) (X/1)");
        let spring = json!({ "error": "Bad Request", "message": "Validation failed",
            "errors": [{ "field": "plant", "defaultMessage": "must not be null" }] });
        assert_eq!(told(&spring), "Validation failed; must not be null (plant)");
    }

    #[test]
    fn a_line_is_one_line_and_is_cut_where_it_is_too_long() {
        assert_eq!(one_line(" a\r\n\tb\u{0}c\u{202e}d ", 80), "a b c d");
        assert_eq!(one_line(&"ä".repeat(600), 500).chars().count(), 500);
        assert_eq!(one_line("ab cd", 4), "ab …");
        assert_eq!(one_line("abcd", 4), "abcd");
        assert_eq!(one_line("", 4), "");
    }
}
