//! What is posted to sources: who asks is looked at before a body is read, and a body is read within limits.

use crate::{backend::Backend, lanes, problem::Problem, routes::ask};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use std::{any::Any, sync::Arc, time::Duration};

/// The largest body of a post as it is sent, in bytes.
pub const POST_MAX_BYTES: usize = 16 << 20;
/// A body that takes longer to arrive is given up, so that nobody keeps a place by being slow.
pub const BODY_WAIT: Duration = Duration::from_mins(1);
/// Says that the answer is that of an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What comes before the body of a post.
#[derive(Debug, Clone)]
pub struct Post {
    /// The source it is for, or the read: `system/read`.
    pub source: String,
    /// What is posted.
    pub what: What,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What stands behind the `?`.
    pub query: String,
}

/// What is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Samples.
    Samples,
    /// Events that somebody else has found.
    Events,
    /// Business objects that a system tells of.
    Objects,
}

/// A place for a post; it is free again once this is gone.
pub struct Admission(pub Box<dyn Any + Send>);

/// What became of a post; all of it is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// [`Accepted`] or [`Raised`].
    pub answer: Value,
    /// It is the answer to an earlier request with the same key.
    pub replayed: bool,
}

/// What became of posted samples; all of them are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Accepted {
    /// Samples stored.
    pub stored: u64,
    /// Samples that were there already.
    pub duplicate: u64,
}

/// What became of posted events; all of it is durable.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Raised {
    /// The ids of the events, in their order, also of those that were there already.
    pub events: Vec<String>,
    /// Events that were there already.
    pub duplicate: u64,
    /// Posts of which a mapping of the source makes nothing.
    pub ignored: u64,
    /// The exceptions of what could not become an event; its bytes are kept there.
    pub set_aside: Vec<String>,
}

/// What became of objects that a system posted; all of it is durable.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ObjectsTold {
    /// Objects that are another than they were, or new.
    pub changed: u64,
    /// Items that told what was known.
    pub same: u64,
    /// The exceptions of what told of no object; its bytes are kept there.
    pub set_aside: Vec<String>,
}

type Shared = Arc<dyn Backend>;

/// `POST /v1/sources/{source}/samples`.
pub(crate) async fn samples(
    state: State<Shared>,
    path: Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    take(What::Samples, state, path, &headers, &uri, body).await
}

/// `POST /v1/sources/{source}/events`.
pub(crate) async fn events(
    state: State<Shared>,
    path: Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    take(What::Events, state, path, &headers, &uri, body).await
}

/// `POST /v1/systems/{system}/reads/{read}`.
pub(crate) async fn objects(
    State(backend): State<Shared>,
    Path((system, read)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    take(What::Objects, State(backend), Path(format!("{system}/{read}")), &headers, &uri, body).await
}

async fn take(
    what: What,
    State(backend): State<Shared>,
    Path(source): Path<String>,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<Response, Problem> {
    let named = |(name, value): (&HeaderName, &header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let post = Post {
        source,
        what,
        headers: headers.iter().map(named).collect(),
        query: uri.query().unwrap_or_default().to_owned(),
    };
    let (post, admission) = ask(backend.clone(), move |b| {
        let admission = b.admit(&post)?;
        Ok((post, admission))
    })
    .await?;
    let length = announced(headers);
    let room = lanes::room(length.map_or(POST_MAX_BYTES, |length| {
        usize::try_from(length).map_or(POST_MAX_BYTES, |length| length.min(POST_MAX_BYTES))
    }))?;
    let body = read(length, body).await?;
    let taken = ask(backend, move |b| {
        let _room = room;
        b.take(&post, admission, body)
    })
    .await?;
    let mut response = (StatusCode::ACCEPTED, Json(taken.answer)).into_response();
    if taken.replayed {
        response.headers_mut().insert(REPLAYED, header::HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// How long a body says it is.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
}

async fn read(length: Option<u64>, body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::too_large(format!("at most {POST_MAX_BYTES} bytes are taken at once"))
            .remedy("send smaller batches, or compress them (gzip, zstd)")
    };
    if length.is_some_and(|length| length > POST_MAX_BYTES as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_WAIT, axum::body::to_bytes(body, POST_MAX_BYTES)).await {
        Err(_) => Err(Problem::late(format!("the body did not arrive within {} s", BODY_WAIT.as_secs()))
            .remedy("send smaller batches")),
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large()),
        Ok(Err(error)) => Err(Problem::request(format!("the body could not be read: {error}")).remedy("send it again")),
    }
}

/// Whether the limit ended the reading of a body, and not the network.
fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}
