//! Requests that workflows make themselves (`call: http`), and the documents that describe them (`call: openapi`).
//!
//! They go to systems, under their credentials, time limits and places; what the codes of an answer mean stands in
//! the same table. The answer is not mapped: the workflow gets it as the task says.

use super::{
    ANSWER_MAX_BYTES, DETAIL_MAX_CHARS, REQUEST_MAX_BYTES, Shell,
    codec::{self, Answer},
    config::{self, Credentials},
    failed,
    line::Line,
    redact, session, words,
};
use andon_contract::{
    contract::{Secret, System, UserPassword},
    http::{DOCUMENT, Described, Found, HttpRequest, Identity, Part, Repeats, SEND, Web, find},
    openapi::{DOCUMENT_MAX_BYTES, Document},
    workflow::HttpOutput,
};
use andon_model::{
    Name, Outcome, OutcomeClass,
    call::{CallRequest, Prepared},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Documents kept at most.
const DOCUMENTS_MAX: usize = 32;
/// How long a document is kept before it is read again.
const DOCUMENT_AGE_MAX: Duration = Duration::from_mins(10);
/// Headers of an answer whose values are not given.
const HIDDEN: [&str; 2] = ["set-cookie", "set-cookie2"];

/// The documents that were read, by their addresses.
#[derive(Default)]
pub(crate) struct Documents(Mutex<BTreeMap<String, (Instant, Arc<Document>)>>);

impl Documents {
    fn get(&self, url: &str) -> Option<Arc<Document>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, document) = kept.get(url)?;
        (since.elapsed() < DOCUMENT_AGE_MAX).then(|| Arc::clone(document))
    }

    fn put(&self, url: &str, document: Arc<Document>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= DOCUMENTS_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, (since, _))| *since).map(|(url, _)| url.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(url.to_owned(), (Instant::now(), document));
    }

    fn forget(&self, url: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(url);
    }
}

/// What an attempt of a call over HTTP is.
pub(crate) enum Kind {
    /// The request itself.
    Send(Box<HttpRequest>),
    /// The reading of the document that describes it.
    Describe(Box<Described>),
    /// What is stored cannot be read.
    Broken(String),
}

/// What an attempt is; `None`: one of an operation of the project.
pub(crate) fn kind(call: &CallRequest) -> Option<Kind> {
    let broken = |e: serde_json::Error| Kind::Broken(format!("the stored request cannot be read: {e}"));
    let input = call.input.clone();
    Some(match call.operation.as_str() {
        SEND => serde_json::from_value(input).map_or_else(broken, |http| Kind::Send(Box::new(http))),
        DOCUMENT => serde_json::from_value(input).map_or_else(broken, |described| Kind::Describe(Box::new(described))),
        _ => return None,
    })
}

fn refused(cause: impl AsRef<str>) -> Box<Outcome> {
    Box::new(Outcome::not_sent(OutcomeClass::Validation, words::one_line(cause.as_ref(), DETAIL_MAX_CHARS)))
}

/// Where a request goes: to the system that was asked for, as long as its address still leads there.
fn place(
    systems: &BTreeMap<Name, System>,
    name: &Name,
    url: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Box<Outcome>> {
    let web = Web::split(url).map_err(|cause| refused(format!("the endpoint: {cause}")))?;
    let found: Found<'_> = find(systems, &web).map_err(refused)?;
    if found.name != name {
        return Err(refused(format!("{} is the system `{}` by now, not `{name}`", web.origin(), found.name)));
    }
    let base = found.system.base.resolve(env);
    config::base(&base).map_err(refused)?;
    Ok(found.below(&base, &web))
}

/// The request of an attempt, without credentials.
pub(crate) fn prepare(
    systems: &BTreeMap<Name, System>,
    call: &CallRequest,
    kind: &Kind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Prepared, Box<Outcome>> {
    match kind {
        Kind::Send(http) => prepare_request(systems, call, http, env),
        Kind::Describe(described) => prepare_document(systems, call, described, env),
        Kind::Broken(cause) => Err(refused(cause)),
    }
}

fn prepare_request(
    systems: &BTreeMap<Name, System>,
    call: &CallRequest,
    http: &HttpRequest,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Prepared, Box<Outcome>> {
    let url = place(systems, &call.system, &http.url, env)?;
    let mut headers = http.headers.clone();
    headers.entry("accept".into()).or_insert_with(|| "application/json, */*;q=0.8".into());
    if http.repeats == Repeats::Key {
        headers.insert("idempotency-key".into(), call.key.reference().to_string());
    }
    let mut body = String::new();
    if !http.body.is_null() {
        let kind = headers.entry("content-type".into()).or_insert_with(|| "application/json".into());
        body = match &http.body {
            Json::String(text) if !is_json(kind) => text.clone(),
            value if is_json(kind) => value.to_string(),
            _ => return Err(refused(format!("a body of the type {kind} is a text; make one of it"))),
        };
    }
    if body.len() > REQUEST_MAX_BYTES {
        return Err(refused(format!("the body has {} bytes; at most {REQUEST_MAX_BYTES} are sent", body.len())));
    }
    Ok(Prepared { method: http.method.clone(), url, headers, body })
}

/// The request that reads a document.
fn prepare_document(
    systems: &BTreeMap<Name, System>,
    call: &CallRequest,
    described: &Described,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Prepared, Box<Outcome>> {
    let url = place(systems, &call.system, &described.document, env)?;
    let accept = "application/json, application/yaml, */*;q=0.8".to_owned();
    Ok(Prepared {
        method: "GET".into(),
        url,
        headers: BTreeMap::from([("accept".into(), accept)]),
        body: String::new(),
    })
}

/// Makes one attempt.
pub(crate) async fn send(
    (name, system): (&Name, &System),
    http: &HttpRequest,
    prepared: &Prepared,
    shell: &Shell<'_>,
) -> Outcome {
    let effect = http.repeats != Repeats::Read;
    let ways = Ways { follow: http.redirect, most: ANSWER_MAX_BYTES };
    let identity = http.identity.as_ref();
    let (answer, line) = match exchange((name, system), prepared, identity, &ways, shell).await {
        Ok(found) => found,
        Err(Unanswered::Not(outcome)) => return *outcome,
        Err(Unanswered::Failed(failure, line)) => return line.told(failed(failure, effect)),
    };
    line.told(read(http, prepared, &answer, &line.secrets))
}

/// Reads a document, or takes the one that was read before, and gives the request that the call is.
pub(crate) async fn describe(
    systems: &BTreeMap<Name, System>,
    (name, system): (&Name, &System),
    described: &Described,
    prepared: &Prepared,
    shell: &Shell<'_>,
    documents: &Documents,
) -> Outcome {
    if let Some(document) = documents.get(&prepared.url) {
        let outcome = compiled(systems, described, &document);
        if outcome.class == OutcomeClass::Ok {
            return outcome;
        }
        // It may have changed meanwhile.
        documents.forget(&prepared.url);
    }
    let ways = Ways { follow: true, most: DOCUMENT_MAX_BYTES };
    let (answer, line) = match exchange((name, system), prepared, None, &ways, shell).await {
        Ok(found) => found,
        Err(Unanswered::Not(outcome)) => return *outcome,
        Err(Unanswered::Failed(failure, line)) => return line.told(failed(failure, false)),
    };
    if let Err(outcome) = went_well(&answer, false, &line.secrets) {
        return line.told(*outcome);
    }
    let sent = |class, detail: String| Outcome {
        sent: true,
        status: Some(answer.status),
        ..Outcome::not_sent(class, words::one_line(&detail, DETAIL_MAX_CHARS))
    };
    if let Some(cause) = &answer.broken {
        return sent(OutcomeClass::Transient, format!("the document cannot be read: {cause}"));
    }
    let document = match std::str::from_utf8(&answer.body).map_err(|_| "it is no text in UTF-8".to_owned()) {
        Ok(text) => Document::read(text),
        Err(cause) => Err(cause),
    };
    match document {
        Ok(document) => {
            let document = Arc::new(document);
            documents.put(&prepared.url, Arc::clone(&document));
            let outcome = compiled(systems, described, &document);
            Outcome {
                sent: true,
                status: outcome.status.or((outcome.class == OutcomeClass::Ok).then_some(answer.status)),
                ..outcome
            }
        }
        Err(cause) => {
            Outcome { status: None, ..sent(OutcomeClass::Validation, format!("the document of the call: {cause}")) }
        }
    }
}

/// The request that a call is by a document, as the output of an outcome.
fn compiled(systems: &BTreeMap<Name, System>, described: &Described, document: &Document) -> Outcome {
    let declared = |url: &str| Web::split(url).is_ok_and(|web| find(systems, &web).is_ok());
    let from = Web::split(&described.document).ok();
    match document.request(described, from.as_ref(), &declared) {
        Ok(request) => Outcome {
            output: serde_json::to_value(&request).unwrap_or_default(),
            ..Outcome::not_sent(
                OutcomeClass::Ok,
                format!("{} is {} {}", described.operation, request.method, request.url),
            )
        },
        Err(cause) => *refused(cause),
    }
}

struct Ways {
    follow: bool,
    most: usize,
}

enum Unanswered<'a> {
    /// Nothing was sent, and this is what became of it.
    Not(Box<Outcome>),
    /// There is no answer.
    Failed(session::Failure, Box<Line<'a>>),
}

async fn exchange<'a>(
    (name, system): (&'a Name, &'a System),
    prepared: &Prepared,
    identity: Option<&Identity>,
    ways: &Ways,
    shell: &Shell<'a>,
) -> Result<(Answer, Line<'a>), Unanswered<'a>> {
    let not = |class, cause: String| Unanswered::Not(Box::new(Outcome::not_sent(class, cause)));
    let base = system.base.resolve(shell.env);
    let url = config::allowed(&prepared.url, &base).map_err(|cause| not(OutcomeClass::Validation, cause))?;
    let given = match identity {
        None => None,
        Some(identity) => {
            Some(identify(name, identity, shell.env).await.map_err(|cause| not(OutcomeClass::Auth, cause))?)
        }
    };
    // Only what is surely repeatable may meet the closing of a kept connection.
    let kept = prepared.method == "GET";
    let line = Line::open(shell.caller(name, system), &base, given, kept).await.map_err(Unanswered::Not)?;
    let attempt =
        session::Attempt { follow: ways.follow, whole: true, ..session::Attempt::new(prepared, url, ways.most) };
    match session::exchange(&line, &attempt).await {
        Ok(answer) => Ok((answer, line)),
        Err(failure) => Err(Unanswered::Failed(failure, Box::new(line))),
    }
}

/// The header that identifies us, of the parts that the task names.
async fn identify(
    system: &Name,
    identity: &Identity,
    env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
) -> Result<Credentials, String> {
    use andon_contract::contract::Credentials as Declared;
    let part = async |what: &str, part: &Part| match part {
        Part::Text(text) => Ok(text.clone()),
        Part::Env(name) => config::read(system, what, &Secret::Env(name.clone()), env).await,
        Part::File(path) => config::read(system, what, &Secret::File(path.clone()), env).await,
    };
    // What an expression gave is put where the credentials of systems look for theirs.
    let given = |text: &str| {
        let text = text.to_owned();
        move |_: &str| Some(text.clone())
    };
    match identity {
        Identity::Bearer { token } => {
            let token = part("token", token).await?;
            config::credentials(system, &Declared::Bearer(Secret::Env(String::new())), &given(&token)).await
        }
        Identity::Basic { username, password } => {
            let (user, password) = (part("user", username).await?, part("password", password).await?);
            let declared = Declared::Basic(UserPassword { user, password: Secret::Env(String::new()) });
            config::credentials(system, &declared, &given(&password)).await
        }
    }
}

/// The outcome that an answer means.
fn read(http: &HttpRequest, prepared: &Prepared, answer: &Answer, secrets: &redact::Secrets) -> Outcome {
    let effect = http.repeats != Repeats::Read;
    let elsewhere = (300..=399).contains(&answer.status);
    if !(elsewhere && http.redirect)
        && let Err(mut outcome) = went_well(answer, effect, secrets)
    {
        if elsewhere && !effect {
            // Asked again, it would say the same.
            outcome.class = OutcomeClass::NotFound;
        }
        return *outcome;
    }
    let content = content(answer);
    let mut outcome = Outcome {
        sent: true,
        status: Some(answer.status),
        response: redact::kept(
            &answer.body,
            Some(&content).filter(|content| content.is_object() || content.is_array()),
            secrets,
        ),
        ..Outcome::not_sent(OutcomeClass::Ok, codec::name(answer.status))
    };
    if let Some(cause) = &answer.broken {
        outcome.class = if effect { OutcomeClass::Unknown } else { OutcomeClass::Transient };
        outcome.detail = format!("{}: the answer cannot be read: {cause}", outcome.detail);
        return outcome;
    }
    outcome.output = match http.output {
        HttpOutput::Raw => Json::String(BASE64_STANDARD.encode(&answer.body)),
        HttpOutput::Content => content,
        HttpOutput::Response => {
            let shown = |(name, value): (&String, &String)| {
                let value = if HIDDEN.contains(&name.as_str()) { "[redacted]" } else { value };
                (name.clone(), Json::from(value))
            };
            json!({
                "request": { "method": prepared.method, "uri": prepared.url, "headers": prepared.headers },
                "statusCode": answer.status,
                "headers": answer.headers.iter().map(shown).collect::<serde_json::Map<_, _>>(),
                "content": content,
            })
        }
    };
    outcome
}

/// Whether an answer says that it was done; `Err` is the outcome of one that says something else.
fn went_well(answer: &Answer, effect: bool, secrets: &redact::Secrets) -> Result<(), Box<Outcome>> {
    if (200..=299).contains(&answer.status) {
        return Ok(());
    }
    let json: Option<Json> = serde_json::from_slice(&answer.body).ok();
    let mut outcome = Outcome {
        sent: true,
        status: Some(answer.status),
        response: redact::kept(&answer.body, json.as_ref(), secrets),
        ..Outcome::not_sent(OutcomeClass::Unknown, "")
    };
    codec::fail(answer, json.as_ref(), effect, &mut outcome);
    outcome.detail = format!("{}: {}", codec::name(answer.status), outcome.detail);
    Err(Box::new(outcome))
}

/// The body by its type: JSON as a value, other texts as they are, the rest in base64; no body is null.
fn content(answer: &Answer) -> Json {
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    if body.is_empty() {
        return Json::Null;
    }
    if answer.headers.get("content-type").is_none_or(|kind| is_json(kind))
        && let Ok(json) = serde_json::from_slice(body)
    {
        return json;
    }
    match std::str::from_utf8(body) {
        Ok(text) => text.into(),
        Err(_) => BASE64_STANDARD.encode(body).into(),
    }
}

/// Whether a content type is JSON.
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or(kind).trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}
