//! The conversation: one request, one answer, within a time, on a connection of its own.

use super::{
    codec::Answer,
    config::{self, Credentials},
    reach::Way,
    status,
};
use andon_model::{call::Prepared, span::Span};
use reqwest::{Client, Method, Response, Url, header, redirect::Policy};
use std::{error::Error, time::Duration};

/// Redirects that are followed before we take it for a circle.
const REDIRECTS_MAX: usize = 3;
/// A connection that is not there after this long does not come.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The headers that somebody reads.
const HEADERS_READ: [header::HeaderName; 10] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::RETRY_AFTER,
    header::DATE,
    header::LOCATION,
    header::ETAG,
    header::LINK,
    header::HeaderName::from_static("sforce-limit-info"),
    header::HeaderName::from_static("x-correlation-id"),
    header::HeaderName::from_static("x-request-id"),
];
/// The longest value of such a header, in characters: an address.
const HEADER_MAX_CHARS: usize = 8 << 10;

/// Names and values of all headers of an answer together that are given.
const HEADERS_MAX_BYTES: usize = 32 << 10;

/// One attempt.
pub(super) struct Attempt<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) url: Url,
    /// Where the connection goes.
    pub(super) way: Way,
    pub(super) credentials: &'a Credentials,
    pub(super) limit: Span,
    /// The longest body of an answer.
    pub(super) most: usize,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
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
    /// Sent, and nothing readable came back.
    Lost(String),
}

/// A client for a system whose attempts take at most `limit`.
pub(super) fn client(limit: Span, tls: bool) -> Result<Client, String> {
    crate::install_crypto();
    let mut builder = Client::builder()
        .user_agent(concat!("andon/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .pool_max_idle_per_host(0)
        // Shorter than the limit, so that a time that runs out is never in doubt about the connection.
        .connect_timeout((limit.std() / 2).min(CONNECT_MAX));
    if !tls {
        builder = builder.tls_certs_only(std::iter::empty());
    }
    builder.build().map_err(|e| causes(&e))
}

/// What is done with redirects and headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// Redirects are followed, where that does no harm.
    pub(super) follow: bool,
    /// All headers of the answer are given, not only those that somebody here reads.
    pub(super) whole: bool,
}

/// Sends a request and reads the answer.
pub(super) async fn exchange(client: &Client, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
    exchange_so(client, attempt, Manners { follow: true, whole: false }).await
}

/// The same, with other manners.
pub(super) async fn exchange_so(
    client: &Client,
    attempt: &Attempt<'_>,
    manners: Manners,
) -> Result<Answer, Failure> {
    let mut answer = None;
    let talk = Box::pin(converse(client, attempt, manners, &mut answer));
    let ended = tokio::time::timeout(attempt.limit.std(), talk).await;
    match (ended, answer) {
        (Ok(Ok(())), Some(answer)) => Ok(answer),
        // The head of the answer came and says how it went; only the body did not.
        (Err(_), Some(mut answer)) => {
            answer.broken = Some(format!("it did not end within {}", attempt.limit));
            Ok(answer)
        }
        (Ok(Err(failure)), _) => Err(failure),
        (Err(_) | Ok(Ok(())), None) => Err(Failure::Lost(format!("no answer within {}", attempt.limit))),
    }
}

async fn converse(
    client: &Client,
    attempt: &Attempt<'_>,
    manners: Manners,
    answer: &mut Option<Answer>,
) -> Result<(), Failure> {
    let mut url = attempt.url.clone();
    let mut hop = 0;
    loop {
        let request = build(client, attempt, url.clone())?;
        let response = client.execute(request).await.map_err(|error| failure(error, &url, hop > 0))?;
        let code = response.status().as_u16();
        let headers = if manners.whole { all_headers(&response) } else { headers(&response) };
        let mut head = Answer { status: code, headers, ..Answer::default() };
        let location = response.headers().get(header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let next = status::redirect(code, attempt.prepared.method == "GET", &url, location.as_deref());
        match next.filter(|_| manners.follow) {
            Some(Ok(to)) if hop < REDIRECTS_MAX => {
                url = to;
                hop += 1;
                continue;
            }
            Some(Ok(_)) => head.redirect = Some(format!("it redirects more than {REDIRECTS_MAX} times")),
            Some(Err(cause)) => head.redirect = Some(cause),
            None => {}
        }
        body(response, attempt.most, answer.insert(head)).await;
        return Ok(());
    }
}

fn build(client: &Client, attempt: &Attempt<'_>, url: Url) -> Result<reqwest::Request, Failure> {
    let senseless = |cause: String| Failure::Senseless(cause);
    let method = Method::from_bytes(attempt.prepared.method.as_bytes())
        .map_err(|_| senseless(format!("{:?} is no method of HTTP", attempt.prepared.method)))?;
    let mut to = url.clone();
    let named = to.set_host(Some(&attempt.way.host)).is_ok() && to.set_port(Some(attempt.way.port)).is_ok();
    let scheme = if attempt.way.tls { "https" } else { "http" };
    if !named || to.set_scheme(scheme).is_err() {
        return Err(senseless(format!("a connection cannot go to {}:{}", attempt.way.host, attempt.way.port)));
    }
    let authority = url.authority().to_owned();
    let mut builder = client.request(method, to).header(header::HOST, authority);
    for (name, value) in &attempt.prepared.headers {
        let name = header::HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| senseless(format!("{name:?} is no name of a header")))?;
        let value = header::HeaderValue::from_str(value)
            .map_err(|_| senseless(format!("the header {name} has characters that no header carries")))?;
        builder = builder.header(name, value);
    }
    if let Some((name, value)) = &attempt.credentials.header {
        builder = builder.header(name, value.clone());
    }
    if !attempt.prepared.body.is_empty() {
        builder = builder.body(attempt.prepared.body.clone());
    }
    builder.build().map_err(|error| senseless(causes(&error.without_url())))
}

/// Reads the body up to its limit, and notes why it is not whole.
async fn body(mut response: Response, most: usize, answer: &mut Answer) {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = most.saturating_sub(answer.body.len());
                if chunk.len() > room {
                    answer.body.extend_from_slice(chunk.get(..room).unwrap_or_default());
                    answer.broken = Some(format!("it is longer than {most} bytes"));
                    return;
                }
                answer.body.extend_from_slice(&chunk);
            }
            Ok(None) => return,
            Err(error) => {
                answer.broken = Some(format!("it broke off: {}", causes(&error.without_url())));
                return;
            }
        }
    }
}

fn headers(response: &Response) -> std::collections::BTreeMap<String, String> {
    let one = |name: &header::HeaderName| {
        let mut lines = response.headers().get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
        let mut value = lines.next()?.into_owned();
        // Links may stand in several lines (RFC 9110, section 5.3); of the others the first one counts.
        if *name == header::LINK {
            lines.for_each(|line| value = format!("{value}, {line}"));
        }
        Some((name.as_str().to_owned(), value.chars().take(HEADER_MAX_CHARS).collect()))
    };
    HEADERS_READ.iter().filter_map(one).collect()
}

/// All headers, as far as there is room for them; of one that stands in several lines the lines together.
fn all_headers(response: &Response) -> std::collections::BTreeMap<String, String> {
    let mut all = std::collections::BTreeMap::<String, String>::new();
    let mut room = HEADERS_MAX_BYTES;
    for (name, value) in response.headers() {
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

fn failure(error: reqwest::Error, url: &Url, sent: bool) -> Failure {
    let error = error.without_url();
    if error.is_builder() {
        return Failure::Senseless(causes(&error));
    }
    let host = config::host(url);
    if error.is_connect() {
        return Failure::NotSent { cause: format!("no connection to {host}: {}", causes(&error)), sent };
    }
    Failure::Lost(format!("the connection to {host} ended without an answer: {}", causes(&error)))
}

/// An error and its causes; what an outer one only repeats is left out.
fn causes(error: &reqwest::Error) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next: Option<&dyn Error> = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if told.last().is_none_or(|last| !last.contains(&text)) {
            told.push(text);
        }
        next = cause.source();
    }
    if told.is_empty() { error.to_string() } else { told.join(": ") }
}
