//! The conversation: one request, one answer, within a time, over the line to a system.

use super::{
    codec::Answer,
    config,
    connection::Lost,
    gzip,
    line::{Line, Road},
    status,
};
use andon_model::{Outcome, OutcomeClass, call::Prepared, span::Span};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Uri, body::Incoming};
use reqwest::{
    Method, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use std::{collections::BTreeMap, time::Duration};

/// Redirects that are followed before we take it for a circle.
const REDIRECTS_MAX: usize = 3;
/// A connection that is not there after this long does not come.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The headers that somebody reads.
const HEADERS_READ: [HeaderName; 10] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::RETRY_AFTER,
    header::DATE,
    header::LOCATION,
    header::ETAG,
    header::LINK,
    HeaderName::from_static("sforce-limit-info"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-request-id"),
];
/// The longest value of such a header, in characters: an address.
const HEADER_MAX_CHARS: usize = 8 << 10;
/// The longest headers together, where all of them are given.
const HEADERS_MAX_BYTES: usize = 32 << 10;
/// How we are called.
static AGENT: HeaderValue = HeaderValue::from_static(concat!("andon/", env!("CARGO_PKG_VERSION")));

/// One attempt.
pub(super) struct Attempt<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) url: Url,
    /// The longest body of an answer, also after it was expanded.
    pub(super) most: usize,
    /// Whether redirects are followed where that is safe; otherwise they are answers.
    pub(super) follow: bool,
    /// Whether all headers of the answer are kept, and not only those that somebody reads.
    pub(super) whole: bool,
}

impl<'a> Attempt<'a> {
    /// One that follows redirects and keeps the headers that somebody reads.
    pub(super) fn new(prepared: &'a Prepared, url: Url, most: usize) -> Self {
        Self { prepared, url, most, follow: true, whole: false }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is no request of HTTP.
    Senseless(String),
    /// No connection: the request surely had no effect.
    NotSent {
        /// What happened.
        cause: String,
        /// Whether a first host was reached, which redirected.
        sent: bool,
    },
    /// Nothing was sent, and this is what became of it: no token, a certificate of ours that is refused, a stop.
    Kept(Box<Outcome>),
    /// Sent, and nothing readable came back.
    Lost(String),
}

/// Sends a request and reads the answer. Waits for its turn where the system bears only so many in a time, which does
/// not count as time of the attempt. A token that the system does not accept is got anew, once, and the request sent
/// again: a 401 surely had no effect.
pub(super) async fn exchange(line: &Line<'_>, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
    line.turn().await?;
    let who = line.who();
    let answer = within(line, attempt, who.as_ref()).await?;
    if answer.status != 401 || !line.renew(who.as_ref()).await? {
        return Ok(answer);
    }
    line.turn().await?;
    within(line, attempt, line.who().as_ref()).await
}

/// Who we are, as a header.
pub(super) type Who = (HeaderName, HeaderValue);

async fn within(line: &Line<'_>, attempt: &Attempt<'_>, who: Option<&Who>) -> Result<Answer, Failure> {
    let mut answer = None;
    let talk = Box::pin(converse(line, attempt, who, &mut answer));
    let ended = tokio::time::timeout(line.limit.std(), talk).await;
    let mut answer = match (ended, answer) {
        (Ok(Ok(())), Some(answer)) => answer,
        // The head of the answer came and says how it went; only the body did not.
        (Err(_), Some(mut answer)) => {
            answer.broken = Some(format!("it did not end within {}", line.limit));
            answer
        }
        (Ok(Err(failure)), _) => return Err(failure),
        (Err(_) | Ok(Ok(())), None) => return Err(Failure::Lost(format!("no answer within {}", line.limit))),
    };
    gzip::expand(&mut answer, attempt.most);
    Ok(answer)
}

async fn converse(
    line: &Line<'_>,
    attempt: &Attempt<'_>,
    who: Option<&Who>,
    answer: &mut Option<Answer>,
) -> Result<(), Failure> {
    let mut url = attempt.url.clone();
    let mut hop = 0;
    loop {
        let request = build(attempt.prepared, &url, who)?;
        let (response, road) = ask(&line.road, &url, request, hop > 0, line.limit).await?;
        let code = response.status().as_u16();
        let headers = headers(response.headers(), attempt.whole);
        let mut head = Answer { status: code, headers, ..Answer::default() };
        let location = response.headers().get(header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let next = status::redirect(code, attempt.prepared.method == "GET", &url, location.as_deref());
        match next.filter(|_| attempt.follow) {
            Some(Ok(to)) if hop < REDIRECTS_MAX => {
                url = to;
                hop += 1;
                continue;
            }
            Some(Ok(_)) => head.redirect = Some(format!("it redirects more than {REDIRECTS_MAX} times")),
            Some(Err(cause)) => head.redirect = Some(cause),
            None => {}
        }
        let answer = answer.insert(head);
        body(response.into_body(), attempt.most, answer).await;
        if answer.broken.is_none() {
            road.keep();
        }
        return Ok(());
    }
}

/// A connection on which an answer is under way.
pub(super) struct Used<'a> {
    road: &'a Road<'a>,
    connection: super::connection::Connection,
}

impl Used<'_> {
    /// Its answer was read to the end: it may carry another request.
    pub(super) fn keep(self) {
        if self.road.kept {
            self.road.idle.put(self.road.way.clone(), self.connection);
        }
    }
}

/// Sends a request on the way and waits for the head of its answer. `sent`: an earlier one of this attempt was.
pub(super) async fn ask<'a>(
    road: &'a Road<'a>,
    url: &Url,
    mut request: Request<Full<Bytes>>,
    sent: bool,
    limit: Span,
) -> Result<(Response<Incoming>, Used<'a>), Failure> {
    let host = config::host(url);
    let plain_proxy = road.way.proxy.as_ref().filter(|_| road.way.tls.is_none());
    if let Some(proxy) = plain_proxy {
        // Without TLS the proxy reads the request itself, and is told the whole address (RFC 9112, section 3.2.2).
        *request.uri_mut() = uri(&format!("{}://{}{}", url.scheme(), url.authority(), target(url)))?;
        if let Some(value) = &proxy.credentials {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value.clone());
        }
    }
    if road.kept {
        if let Some(mut connection) = road.idle.take(&road.way).await {
            match connection.send(request.clone()).await {
                Ok(response) => return Ok((response, Used { road, connection })),
                // It had closed the connection, or was closing it: asked once more on one of our own.
                Err(Lost::NotSent(..) | Lost::Perhaps { closed: true, .. }) => {}
                Err(Lost::Perhaps { cause, .. }) => {
                    return Err(Failure::Lost(format!("the connection to {host} ended without an answer: {cause}")));
                }
            }
        }
    } else {
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Shorter than the limit, so that a time that runs out is never in doubt about the connection.
    let wait = (limit.std() / 2).min(CONNECT_MAX);
    let not_sent = |class: OutcomeClass, cause: String| {
        let cause = format!("no connection to {host}: {cause}");
        if class == OutcomeClass::Transient {
            Failure::NotSent { cause, sent }
        } else {
            Failure::Kept(Box::new(Outcome { sent, ..Outcome::not_sent(class, cause) }))
        }
    };
    let Ok(opened) = tokio::time::timeout(wait, road.open()).await else {
        let through = road.way.proxy.as_ref().map(|proxy| format!(" through {}", proxy.shown()));
        let cause = format!("nobody answered{} within {} ms", through.unwrap_or_default(), wait.as_millis());
        return Err(not_sent(OutcomeClass::Transient, cause));
    };
    let mut connection = opened.map_err(|(class, cause)| not_sent(class, cause))?;
    match connection.send(request).await {
        Ok(response) => Ok((response, Used { road, connection })),
        Err(Lost::NotSent(class, cause)) => Err(not_sent(class, cause)),
        Err(Lost::Perhaps { cause, .. }) => {
            Err(Failure::Lost(format!("the connection to {host} ended without an answer: {cause}")))
        }
    }
}

/// Path and query.
fn target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn uri(text: &str) -> Result<Uri, Failure> {
    Uri::try_from(text).map_err(|error| Failure::Senseless(format!("the address cannot be sent: {error}")))
}

fn build(prepared: &Prepared, url: &Url, who: Option<&Who>) -> Result<Request<Full<Bytes>>, Failure> {
    let senseless = |cause: String| Failure::Senseless(cause);
    let method = Method::from_bytes(prepared.method.as_bytes())
        .map_err(|_| senseless(format!("{:?} is no method of HTTP", prepared.method)))?;
    let host =
        HeaderValue::from_str(url.authority()).map_err(|_| senseless("the host cannot be named in a header".into()))?;
    let with_body = !matches!(method, Method::GET | Method::DELETE) || !prepared.body.is_empty();
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(prepared.body.as_bytes())));
    *request.method_mut() = method;
    *request.uri_mut() = uri(&target(url))?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, AGENT.clone());
    headers.insert(header::ACCEPT_ENCODING, gzip::ACCEPTED.clone());
    for (name, value) in &prepared.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| senseless(format!("{name:?} is no name of a header")))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| senseless(format!("the header {name} has characters that no header carries")))?;
        headers.insert(name, value);
    }
    if with_body {
        headers.insert(header::CONTENT_LENGTH, prepared.body.len().into());
    }
    if let Some((name, value)) = who {
        headers.insert(name, value.clone());
    }
    Ok(request)
}

/// A request with a form, for the server of a token.
pub(super) fn form(url: &Url, form: String, who: Option<&HeaderValue>) -> Result<Request<Full<Bytes>>, Failure> {
    let kind = "application/x-www-form-urlencoded".to_owned();
    let headers = [("content-type".to_owned(), kind), ("accept".to_owned(), "application/json".to_owned())];
    let prepared = Prepared { method: "POST".into(), url: url.to_string(), headers: headers.into(), body: form };
    let who = who.map(|value| (header::AUTHORIZATION, value.clone()));
    build(&prepared, url, who.as_ref())
}

/// Reads the body up to its limit, and notes why it is not whole.
pub(super) async fn body(mut body: Incoming, most: usize, answer: &mut Answer) {
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                let Ok(chunk) = frame.into_data() else { continue };
                let room = most.saturating_sub(answer.body.len());
                if chunk.len() > room {
                    answer.body.extend_from_slice(chunk.get(..room).unwrap_or_default());
                    answer.broken = Some(format!("it is longer than {most} bytes"));
                    return;
                }
                answer.body.extend_from_slice(&chunk);
            }
            None => return,
            Some(Err(error)) => {
                answer.broken = Some(format!("it broke off: {}", super::connection::causes(&error)));
                return;
            }
        }
    }
}

/// The headers of an answer, by their names: those that somebody reads, or all of them.
pub(super) fn headers(all: &HeaderMap, whole: bool) -> BTreeMap<String, String> {
    let one = |name: &HeaderName| {
        let mut lines = all.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
        let mut value = lines.next()?.into_owned();
        // Links may stand in several lines (RFC 9110, section 5.3); of the others the first one counts.
        if *name == header::LINK {
            lines.for_each(|line| value = format!("{value}, {line}"));
        }
        Some((name.as_str().to_owned(), value.chars().take(HEADER_MAX_CHARS).collect()))
    };
    if whole { every(all) } else { HEADERS_READ.iter().filter_map(one).collect() }
}

fn every(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all = BTreeMap::<String, String>::new();
    let mut room = HEADERS_MAX_BYTES;
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { break };
        room = left;
        match all.get_mut(name.as_str()) {
            Some(lines) => *lines = format!("{lines}, {value}"),
            None => drop(all.insert(name.as_str().to_owned(), value.into_owned())),
        }
    }
    all
}
