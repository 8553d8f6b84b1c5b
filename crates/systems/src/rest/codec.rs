//! The whole translation, pure: a call to a request, an answer to an outcome.

use super::{
    DETAIL_MAX_CHARS, REQUEST_MAX_BYTES, config, content,
    fields::{Scope, Wrong, kind, scalar},
    redact::{self, Secrets},
    status,
    words::{self, one_line},
};
use crate::names::Names;
use andon_contract::{
    contract::{Body, Idempotency, Lookup, Operation, Paged, PathPiece, Request},
    http::{ENCODED, HEADERS_REFUSED},
};
use andon_model::{
    Outcome, OutcomeClass,
    call::{CallRequest, Prepared, Step},
    span::Span,
};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use reqwest::{StatusCode, Url};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The longest address of a request.
const URL_MAX_BYTES: usize = 8 << 10;
/// The longest number of a document, in characters.
const DOCUMENT_MAX_CHARS: usize = 200;
/// No system makes us wait longer than a day.
const RETRY_AFTER_MAX_SECS: i64 = 24 * 3600;
/// Salesforce's budget of a day is used up and comes back bit by bit.
const BUDGET_PAUSE: Span = Span::from_secs(15 * 60);

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
    page(base, operation, request, names, &Turn::default())
}

/// Which page of an answer is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turn {
    /// Its number, from 1.
    pub(super) page: u32,
    /// Items of the pages before.
    pub(super) skip: u64,
    /// Its token, where the page before had one.
    pub(super) token: Option<String>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { page: 1, skip: 0, token: None }
    }
}

/// The request of a page of an answer, by its number or its token.
pub(super) fn page(
    base: &str,
    operation: &Operation,
    request: &CallRequest,
    names: Names<'_>,
    turn: &Turn,
) -> Result<Prepared, Box<Outcome>> {
    let others = match paging(operation, request.step) {
        None => Vec::new(),
        Some(_) => vec![
            ("page", Json::from(turn.page)),
            ("skip", turn.skip.into()),
            ("token", turn.token.clone().map_or(Json::Null, Json::String)),
        ],
    };
    let scope = Scope { input: &request.input, request: Some(request), names, others: &others };
    let made = match (request.step, &operation.idempotency) {
        (Step::Send, _) => build(base, &operation.request, &scope, "request"),
        (Step::Search, Idempotency::Lookup(lookup)) => {
            build(base, &lookup.request, &scope, "idempotency.lookup.request")
        }
        (Step::Search, _) => Err(Wrong::new("idempotency", "it has no lookup any more, so nothing can be searched")),
    };
    let any = request.step == Step::Send && operation.response.content != Body::Json;
    made.map(|prepared| if any { of_any_type(prepared, operation) } else { prepared }).map_err(|wrong| {
        let detail = format!("{}.{}: {}: {}", request.system, request.operation, wrong.place, wrong.cause);
        Box::new(Outcome::not_sent(OutcomeClass::Validation, one_line(&detail, DETAIL_MAX_CHARS)))
    })
}

/// How the answer to a step comes in pages; `None`: it does not.
pub(super) fn paging(operation: &Operation, step: Step) -> Option<&Paged> {
    match (step, &operation.idempotency) {
        (Step::Send, _) => operation.paging.as_ref(),
        (Step::Search, Idempotency::Lookup(lookup)) => lookup.paging.as_ref(),
        (Step::Search, _) => None,
    }
}

/// A request whose answer is no JSON says so, where its headers do not say more.
fn of_any_type(mut prepared: Prepared, operation: &Operation) -> Prepared {
    let says = operation.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept"));
    if !says {
        prepared.headers.insert("accept".into(), "*/*".into());
    }
    prepared
}

pub(super) fn build(base: &str, request: &Request, scope: &Scope<'_>, place: &str) -> Result<Prepared, Wrong> {
    let url = address(base, request, scope, place)?;
    let mut headers = BTreeMap::from([("accept".to_owned(), "application/json".to_owned())]);
    let mut body = String::new();
    if let Some(map) = &request.body {
        let place = format!("{place}.body");
        let value = scope.build(map, &place)?;
        if !value.is_null() {
            let (text, media) = content::written(&request.content, &value, &place)?;
            body = text;
            headers.insert("content-type".into(), media);
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
    Ok(utf8_percent_encode(&text, ENCODED).to_string())
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
            let encoded = utf8_percent_encode(&text, ENCODED);
            pairs.push(format!("{}={encoded}", utf8_percent_encode(name, ENCODED)));
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

/// The outcome that an answer means.
pub(super) fn read(
    operation: &Operation,
    request: &CallRequest,
    names: Names<'_>,
    answer: &Answer,
    secrets: &Secrets,
) -> Outcome {
    let effect = status::has_effect(operation, request.step);
    let of = if request.step == Step::Send { operation.response.content } else { Body::Json };
    let (body, mut outcome) = opened(answer, of, secrets);
    let json = body.as_ref().ok();
    if (200..=299).contains(&answer.status) {
        let done = match body {
            Ok(body) => match refused_inside(&body) {
                Some((class, text)) => {
                    outcome.class = class;
                    outcome.detail = text;
                    Ok(())
                }
                None => succeed(operation, request, names, (&body, answer), &mut outcome),
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

/// The body of an answer, and an outcome that says no more than that it came. Of an answer without success the body is
/// JSON, or none.
fn opened(answer: &Answer, of: Body, secrets: &Secrets) -> (Result<Json, String>, Outcome) {
    let is_done = (200..=299).contains(&answer.status);
    let body = content::parse(answer, if is_done { of } else { Body::Json });
    let json = body.as_ref().ok().filter(|json| !json.is_string() && !json.is_null());
    let outcome = Outcome {
        sent: true,
        status: Some(answer.status),
        response: redact::kept(&answer.body, json, secrets),
        headers: redact::headers(&answer.headers, secrets),
        ..Outcome::not_sent(OutcomeClass::Unknown, "")
    };
    (body, outcome)
}

/// The body of an answer that only reads; `Err` is the outcome of one without success.
pub(super) fn succeeded(answer: &Answer, of: Body, secrets: &Secrets) -> Result<Json, Box<Outcome>> {
    let (body, mut outcome) = opened(answer, of, secrets);
    outcome.class = OutcomeClass::Transient;
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
    (body, answer): (&Json, &Answer),
    outcome: &mut Outcome,
) -> Result<(), String> {
    let others = others(answer);
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
        found = search(lookup, request, names, (body, &others)).map_err(told)?;
        if found.is_null() {
            outcome.class = OutcomeClass::Ok;
            outcome.detail = format!("nothing has the {} {}", lookup.by, request.key.reference());
            return Ok(());
        }
        document = &found;
    }
    let scope = Scope { input: document, request: Some(request), names, others: &others };
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
fn search(
    lookup: &Lookup,
    request: &CallRequest,
    names: Names<'_>,
    (body, others): (&Json, &[(&'static str, Json)]),
) -> Result<Json, Wrong> {
    Scope { input: body, request: Some(request), names, others }.eval(&lookup.found, "idempotency.lookup.found")
}

/// What of an answer is not its body: `$status` and `$headers`.
fn others(answer: &Answer) -> [(&'static str, Json); 2] {
    [("status", answer.status.into()), ("headers", json!(answer.headers))]
}

/// The outcome of an operation whose answer came in pages: all their items are one list, the last answer says the rest.
pub(super) fn read_all(
    operation: &Operation,
    request: &CallRequest,
    names: Names<'_>,
    (items, answer): (Vec<Json>, &Answer),
    secrets: &Secrets,
) -> Outcome {
    let (_, mut outcome) = opened(answer, Body::Json, secrets);
    if let Err(cause) = succeed(operation, request, names, (&Json::Array(items), answer), &mut outcome) {
        outcome.class = OutcomeClass::Transient;
        outcome.detail = format!("the answer cannot be read: {cause}");
    }
    outcome.detail = one_line(&format!("{}: {}", name(answer.status), secrets.hide(&outcome.detail)), DETAIL_MAX_CHARS);
    outcome
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
pub(super) fn fail(answer: &Answer, json: Option<&Json>, effect: bool, outcome: &mut Outcome) {
    let words = words::of(json, &answer.body);
    let wait = retry_after(&answer.headers);
    outcome.class = status::class(answer.status, effect, wait.is_some(), &words.codes, &words.text);
    let page = content::is_html(answer).then(|| match words.text.trim() {
        "" => "a page of HTML".to_owned(),
        text => format!("a page of HTML: {text}"),
    });
    outcome.detail = answer.redirect.clone().or(page).unwrap_or(words.text);
    if outcome.detail.trim().is_empty() {
        status::of(answer.status).reason.clone_into(&mut outcome.detail);
    }
    if matches!(outcome.class, OutcomeClass::Limit | OutcomeClass::Transient | OutcomeClass::Unknown) {
        let budget = outcome.class == OutcomeClass::Limit && outcome.detail.contains("TotalRequests Limit");
        outcome.retry_after = wait.or(budget.then_some(BUDGET_PAUSE));
    }
}

/// `422 Unprocessable Entity`
pub(super) fn name(code: u16) -> String {
    match StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{code} {reason}"),
        None => code.to_string(),
    }
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
