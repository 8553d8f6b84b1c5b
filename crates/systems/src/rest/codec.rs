//! The whole translation, pure: a call to a request, an answer to an outcome.

use super::{
    DETAIL_MAX_CHARS, REQUEST_MAX_BYTES, config,
    fields::{Scope, Wrong, scalar},
    redact::{self, Secrets},
    status,
    words::{self, one_line},
};
use crate::names::Names;
use andon_contract::contract::{Idempotency, Lookup, Operation, PathPiece, Request};
use andon_model::{
    Outcome, OutcomeClass,
    call::{CallRequest, Prepared, Step},
    span::Span,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::{StatusCode, Url};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The longest address of a request.
const URL_MAX_BYTES: usize = 8 << 10;
/// The longest number of a document, in characters.
const DOCUMENT_MAX_CHARS: usize = 200;
/// No system makes us wait longer than a day.
const RETRY_AFTER_MAX_SECS: i64 = 24 * 3600;
/// Salesforce's budget of a day is used up and comes back bit by bit.
const BUDGET_PAUSE: Span = Span::from_secs(15 * 60);

/// All but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers that belong to the connection or to the credentials.
const HEADERS_REFUSED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An answer as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The headers that are read, by their lower-case names.
    pub(super) headers: BTreeMap<String, String>,
    /// The body, as far as it came and at most as long as the attempt allows.
    pub(super) body: Vec<u8>,
    /// Why the body is not whole.
    pub(super) broken: Option<String>,
    /// Why a redirect was not followed.
    pub(super) redirect: Option<String>,
}

/// The request of an attempt, without credentials; `Err` is the outcome of one that cannot be made.
pub(crate) fn prepare(
    base: &str,
    operation: &Operation,
    request: &CallRequest,
    names: Names<'_>,
) -> Result<Prepared, Box<Outcome>> {
    let scope = Scope { input: &request.input, request: Some(request), names };
    let made = match (request.step, &operation.idempotency) {
        (Step::Send, _) => build(base, &operation.request, &scope, "request"),
        (Step::Search, Idempotency::Lookup(lookup)) => {
            build(base, &lookup.request, &scope, "idempotency.lookup.request")
        }
        (Step::Search, _) => Err(Wrong::new("idempotency", "it has no lookup any more, so nothing can be searched")),
    };
    made.map_err(|wrong| {
        let detail = format!("{}.{}: {}: {}", request.system, request.operation, wrong.place, wrong.cause);
        Box::new(Outcome::not_sent(OutcomeClass::Validation, one_line(&detail, DETAIL_MAX_CHARS)))
    })
}

pub(super) fn build(base: &str, request: &Request, scope: &Scope<'_>, place: &str) -> Result<Prepared, Wrong> {
    let url = address(base, request, scope, place)?;
    let mut headers = BTreeMap::from([("accept".to_owned(), "application/json".to_owned())]);
    let mut body = String::new();
    if let Some(map) = &request.body {
        let place = format!("{place}.body");
        let value = scope.build(map, &place)?;
        if !value.is_null() {
            body = value.to_string();
            headers.insert("content-type".into(), "application/json".into());
        }
        if body.len() > REQUEST_MAX_BYTES {
            return Err(Wrong::new(&place, format!("has {} bytes; at most {REQUEST_MAX_BYTES} are sent", body.len())));
        }
    }
    for (name, map) in &request.headers {
        let place = format!("{place}.headers.{name}");
        let value = scope.build(map, &place)?;
        if value.is_null() {
            continue;
        }
        let name = header_name(name, &place)?;
        headers.insert(name, header_value(&value, &place)?);
    }
    Ok(Prepared { method: request.method.to_ascii_uppercase(), url, headers, body })
}

/// The address: the base, the path below it, the query.
fn address(base: &str, request: &Request, scope: &Scope<'_>, place: &str) -> Result<String, Wrong> {
    let at_path = format!("{place}.path");
    let base = config::base(base).map_err(|cause| Wrong::new("base", cause))?;
    let mut path = String::new();
    for piece in &request.path {
        match piece {
            PathPiece::Text(text) => path.push_str(text),
            PathPiece::Expression(program) => path.push_str(&segment(&scope.eval(program, &at_path)?, &at_path)?),
        }
    }
    if path.contains(|c: char| c.is_control() || c == '\\') {
        return Err(Wrong::new(&at_path, "has a character that an address drops or takes for a slash"));
    }
    for part in path.split('/') {
        let plain = percent_decode_str(part).decode_utf8_lossy();
        if matches!(plain.as_ref(), "." | "..") {
            return Err(Wrong::new(&at_path, "a segment of dots leads to another place than it says"));
        }
    }
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let whole = format!("{}{slash}{path}", base.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&whole).map_err(|e| Wrong::new(&at_path, format!("makes no address: {e}")))?;
    if !config::same_origin(&url, &base) || url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new(&at_path, "must stay a path below the base; a query belongs to `query`"));
    }
    let query = query(request, scope, place)?;
    if !query.is_empty() {
        url.set_query(Some(&query));
    }
    if url.as_str().len() > URL_MAX_BYTES {
        let cause = format!("makes an address of {} bytes; at most {URL_MAX_BYTES} are sent", url.as_str().len());
        return Err(Wrong::new(place, cause));
    }
    Ok(url.into())
}

/// A value as one segment of a path.
fn segment(value: &Json, place: &str) -> Result<String, Wrong> {
    let text = scalar(value).ok_or_else(|| Wrong::new(place, format!("needs a text, found {}", kind(value))))?;
    if text.is_empty() {
        return Err(Wrong::new(place, "an empty text would name something else"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(place, "has a control character, which no segment of a path carries"));
    }
    Ok(utf8_percent_encode(&text, SEGMENT).to_string())
}

fn query(request: &Request, scope: &Scope<'_>, place: &str) -> Result<String, Wrong> {
    let mut pairs = Vec::new();
    for (name, map) in &request.query {
        let place = format!("{place}.query.{name}");
        let values = match scope.build(map, &place)? {
            Json::Null => continue,
            Json::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = scalar(&value).ok_or_else(|| {
                Wrong::new(&place, format!("needs a text or a list of texts, found {}", kind(&value)))
            })?;
            let encoded = utf8_percent_encode(&text, SEGMENT);
            pairs.push(format!("{}={encoded}", utf8_percent_encode(name, SEGMENT)));
        }
    }
    Ok(pairs.join("&"))
}

fn header_name(name: &str, place: &str) -> Result<String, Wrong> {
    let lower = name.to_ascii_lowercase();
    if lower.parse::<reqwest::header::HeaderName>().is_err() {
        return Err(Wrong::new(place, "is no name of a header"));
    }
    if HEADERS_REFUSED.contains(&lower.as_str()) {
        return Err(Wrong::new(place, "is set by the connection or by `credentials`"));
    }
    Ok(lower)
}

fn header_value(value: &Json, place: &str) -> Result<String, Wrong> {
    let text = scalar(value).ok_or_else(|| Wrong::new(place, format!("needs a text, found {}", kind(value))))?;
    // A line break would begin a header of somebody else.
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text && text.len() <= URL_MAX_BYTES {
        return Ok(text);
    }
    Err(Wrong::new(place, "a header carries printable ASCII in one line only; encode it, or send it in the body"))
}

pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// The outcome that an answer means.
pub(super) fn read(
    operation: &Operation,
    request: &CallRequest,
    names: Names<'_>,
    answer: &Answer,
    secrets: &Secrets,
) -> Outcome {
    let effect = status::has_effect(operation, request.step);
    let body = parse(answer);
    let json = body.as_ref().ok();
    let mut outcome = Outcome {
        sent: true,
        status: Some(answer.status),
        response: redact::kept(&answer.body, json, secrets),
        ..Outcome::not_sent(OutcomeClass::Unknown, "")
    };
    if (200..=299).contains(&answer.status) {
        let done = match body {
            Ok(body) => match refused_inside(&body) {
                Some((class, text)) => {
                    outcome.class = class;
                    outcome.detail = text;
                    Ok(())
                }
                None => succeed(operation, request, names, &body, &mut outcome),
            },
            Err(cause) => Err(cause),
        };
        if let Err(cause) = done {
            outcome.class = if effect { OutcomeClass::Unknown } else { OutcomeClass::Transient };
            outcome.detail = format!("the answer cannot be read: {cause}");
        }
    } else {
        fail(answer, json, effect, &mut outcome);
    }
    outcome.detail = one_line(&format!("{}: {}", name(answer.status), secrets.hide(&outcome.detail)), DETAIL_MAX_CHARS);
    outcome
}

/// The body of an answer that only reads; `Err` is the outcome of one without success.
pub(super) fn succeeded(answer: &Answer, secrets: &Secrets) -> Result<Json, Box<Outcome>> {
    let body = parse(answer);
    let json = body.as_ref().ok();
    let mut outcome = Outcome {
        sent: true,
        status: Some(answer.status),
        response: redact::kept(&answer.body, json, secrets),
        ..Outcome::not_sent(OutcomeClass::Transient, "")
    };
    match body {
        Ok(body) if (200..=299).contains(&answer.status) => match refused_inside(&body) {
            None => return Ok(body),
            Some((class, text)) => {
                outcome.class = class;
                outcome.detail = text;
            }
        },
        Err(cause) if (200..=299).contains(&answer.status) => {
            outcome.detail = format!("the answer cannot be read: {cause}");
        }
        other => fail(answer, other.as_ref().ok(), false, &mut outcome),
    }
    outcome.detail = one_line(&format!("{}: {}", name(answer.status), secrets.hide(&outcome.detail)), DETAIL_MAX_CHARS);
    Err(Box::new(outcome))
}

/// Reads a success by the operation's mappings.
fn succeed(
    operation: &Operation,
    request: &CallRequest,
    names: Names<'_>,
    body: &Json,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let told = |wrong: Wrong| format!("{}: {}", wrong.place, wrong.cause);
    let found;
    let mut document = body;
    if request.step == Step::Search {
        let Idempotency::Lookup(lookup) = &operation.idempotency else {
            return Err("the operation has no lookup any more".into());
        };
        // An empty list says that nothing is there; an answer without any body says nothing at all, unless by its code.
        if body.is_null() && outcome.status != Some(204) {
            return Err("a search is answered with a body, and it is empty".into());
        }
        found = search(lookup, request, names, body).map_err(told)?;
        if found.is_null() {
            outcome.class = OutcomeClass::Ok;
            outcome.detail = format!("nothing has the {} {}", lookup.by, request.key.reference());
            return Ok(());
        }
        document = &found;
    }
    let scope = Scope { input: document, request: Some(request), names };
    let output = scope.build(&operation.response.output, "response.output").map_err(told)?;
    if let Some(program) = &operation.response.document {
        let number = scope.eval(program, "response.document").map_err(told)?;
        let number = scalar(&number).filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            format!("response.document: `{}` gives {}, not the number of a document", program.source(), kind(&number))
        })?;
        if number.chars().count() > DOCUMENT_MAX_CHARS {
            return Err(format!("response.document: a number of more than {DOCUMENT_MAX_CHARS} characters"));
        }
        outcome.document = Some(number);
    }
    // An outcome without both would say that nothing was found, and the call would be made a second time.
    if request.step == Step::Search && output.is_null() && outcome.document.is_none() {
        return Err("response.output: gives nothing for what the search has found".into());
    }
    outcome.class = OutcomeClass::Ok;
    outcome.output = output;
    outcome.detail = match (&outcome.document, request.step) {
        (Some(number), Step::Send) => number.clone(),
        (Some(number), Step::Search) => format!("found {number}"),
        (None, Step::Send) => "done".into(),
        (None, Step::Search) => "found".into(),
    };
    Ok(())
}

/// The document that a search found, or null.
fn search(lookup: &Lookup, request: &CallRequest, names: Names<'_>, body: &Json) -> Result<Json, Wrong> {
    Scope { input: body, request: Some(request), names }.eval(&lookup.found, "idempotency.lookup.found")
}

/// An error that came with a status of success: JSON-RPC does so. Its transaction was rolled back.
fn refused_inside(body: &Json) -> Option<(OutcomeClass, String)> {
    let error = body.get("jsonrpc").and_then(|_| body.get("error")).filter(|error| error.is_object())?;
    let words = words::of(Some(body), b"");
    let has = |name: &str| words.codes.iter().any(|code| code.ends_with(name));
    let class = if has("AccessDenied") || has("SessionExpiredException") {
        OutcomeClass::Auth
    } else if has("AccessError") {
        OutcomeClass::Permission
    } else if has("MissingError") {
        OutcomeClass::NotFound
    } else if has("SerializationFailure") || has("LockNotAvailable") {
        OutcomeClass::Conflict
    } else {
        OutcomeClass::Validation
    };
    let text = if words.text.is_empty() { error.to_string() } else { words.text };
    Some((class, text))
}

/// Reads a failure by the table and the words of the system.
fn fail(answer: &Answer, json: Option<&Json>, effect: bool, outcome: &mut Outcome) {
    let words = words::of(json, &answer.body);
    let wait = retry_after(&answer.headers);
    outcome.class = status::class(answer.status, effect, wait.is_some(), &words.codes, &words.text);
    outcome.detail = answer.redirect.clone().unwrap_or(words.text);
    if outcome.detail.trim().is_empty() {
        status::of(answer.status).reason.clone_into(&mut outcome.detail);
    }
    if matches!(outcome.class, OutcomeClass::Limit | OutcomeClass::Transient | OutcomeClass::Unknown) {
        let budget = outcome.class == OutcomeClass::Limit && outcome.detail.contains("TotalRequests Limit");
        outcome.retry_after = wait.or(budget.then_some(BUDGET_PAUSE));
    }
}

/// `422 Unprocessable Entity`
fn name(code: u16) -> String {
    match StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{code} {reason}"),
        None => code.to_string(),
    }
}

/// The body as JSON; no body is null. `Err` says why it is none.
fn parse(answer: &Answer) -> Result<Json, String> {
    if let Some(cause) = &answer.broken {
        return Err(cause.clone());
    }
    if let Some(coding) = answer.headers.get("content-encoding").filter(|c| !c.eq_ignore_ascii_case("identity")) {
        return Err(format!("it is compressed ({coding}), which was not asked for"));
    }
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    if body.trim_ascii().is_empty() {
        return Ok(Json::Null);
    }
    serde_json::from_slice(body).map_err(|cause| {
        let kind = answer.headers.get("content-type").map_or("of no named type", String::as_str);
        match std::str::from_utf8(body) {
            Ok(_) => format!("it is no JSON ({kind}): {cause}"),
            Err(_) => format!("it is no text in UTF-8 ({kind})"),
        }
    })
}

/// How long a system wants us to wait, at most a day. A date counts from the `Date` of the same answer, so that two
/// clocks that differ do no harm; without one it says nothing.
pub(super) fn retry_after(headers: &BTreeMap<String, String>) -> Option<Span> {
    let text = headers.get("retry-after")?.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().unwrap_or(i64::MAX)
    } else {
        date(text)?.saturating_sub(date(headers.get("date")?)?).max(0)
    };
    Some(Span::from_secs(seconds.min(RETRY_AFTER_MAX_SECS)))
}

/// A date of HTTP in seconds since 1970.
fn date(text: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    Some(parser.parse_timestamp(text.trim()).ok()?.as_second())
}

#[cfg(test)]
mod tests;
