//! Everything that is served: one list of routes, each a few lines.

use crate::{
    backend::{Backend, Ingest, LIMIT_DEFAULT, LIMIT_MAX, Query},
    kind::{KINDS, Kind},
    openapi,
    problem::Problem,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use std::sync::Arc;

/// The largest body that is taken.
pub const BODY_MAX_BYTES: usize = 1 << 20;

type Shared = Arc<dyn Backend>;

/// The routes of the surface over a backend.
pub fn router(backend: Shared) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(|| async { Json(openapi::document()) }))
        .route("/v1/status", get(status))
        .route("/v1/explain/{id}", get(explain))
        .route("/v1/show/{id}", get(show))
        .route("/v1/sources/{source}/samples", post(ingest));
    for listed in KINDS {
        let kind = listed.kind;
        let path = format!("/v1/{}", listed.word);
        router = router.route(&path, get(move |state, uri| list(state, uri, kind)));
    }
    router
        .fallback(|uri: Uri| async move {
            Problem::not_found(format!("nothing is served at {}", uri.path())).remedy("GET /openapi.json lists what is")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn(loopback_only))
        .with_state(backend)
}

/// Refuses requests that a browser was tricked into sending: until there are keys and roles, only
/// a loopback name is a name of this surface.
async fn loopback_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if is_loopback(host) {
        return next.run(request).await;
    }
    Problem::misdirected(format!("the host {host:?} is not this machine"))
        .remedy("ask 127.0.0.1 or localhost")
        .into_response()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Asks the backend on a thread that may block.
async fn ask<T: Send + 'static>(
    backend: Shared,
    question: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(move || question(&*backend))
        .await
        .unwrap_or_else(|_| Err(Problem::fault("the answer could not be made").remedy("the log says why")))
}

async fn readyz(State(backend): State<Shared>) -> Result<Response, Problem> {
    let readiness = ask(backend, |b| Ok(b.readiness())).await?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}

async fn metrics(State(backend): State<Shared>) -> Result<Response, Problem> {
    let text = ask(backend, <dyn Backend>::metrics).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn status(State(backend): State<Shared>) -> Result<Response, Problem> {
    Ok(Json(ask(backend, <dyn Backend>::status).await?).into_response())
}

async fn explain(State(backend): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(Json(ask(backend, move |b| b.explain(&id)).await?).into_response())
}

async fn show(State(backend): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(Json(ask(backend, move |b| b.show(&id)).await?).into_response())
}

async fn list(State(backend): State<Shared>, uri: Uri, kind: Kind) -> Result<Response, Problem> {
    let query = read_query(uri.query().unwrap_or(""))?;
    let page = ask(backend, move |b| b.list(kind, &query)).await?;
    Ok(Json(json!({ "rows": page.rows, "next": page.next })).into_response())
}

async fn ingest(
    State(backend): State<Shared>,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|e| {
        if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::too_large(format!("at most {BODY_MAX_BYTES} bytes are taken at once"))
                .remedy("send smaller batches")
        } else {
            Problem::request(e.to_string())
        }
    })?;
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let ingest =
        Ingest { source, content_type: text(header::CONTENT_TYPE), authorization: text(header::AUTHORIZATION), body };
    let accepted = ask(backend, move |b| b.ingest(ingest)).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// Reads `where=field=value` (repeated), `after`, `limit` and `order=asc`.
fn read_query(text: &str) -> Result<Query, Problem> {
    let mut query = Query { limit: LIMIT_DEFAULT, ..Query::default() };
    for pair in text.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value)?;
        match name {
            "where" => {
                let (field, wanted) = value.split_once('=').ok_or_else(|| {
                    Problem::request(format!("`where={value}` has no value")).remedy("write where=field=value")
                })?;
                query.filters.push((field.to_owned(), wanted.to_owned()));
            }
            "after" => query.after = Some(number(name, &value)?),
            "limit" => {
                let limit = usize::try_from(number(name, &value)?).unwrap_or(usize::MAX);
                if limit == 0 || limit > LIMIT_MAX {
                    return Err(Problem::request(format!("`limit={value}` is not between 1 and {LIMIT_MAX}"))
                        .remedy("read on with `after`"));
                }
                query.limit = limit;
            }
            "order" if value == "asc" => query.ascending = true,
            "order" if value == "desc" => query.ascending = false,
            _ => {
                return Err(Problem::request(format!("`{name}={value}` is not understood"))
                    .remedy("where=field=value, after=N, limit=N, order=asc|desc"));
            }
        }
    }
    Ok(query)
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| Problem::request(format!("`{name}={value}` is no whole number")))
}

/// Undoes the percent-encoding of a value in a query.
fn decode(text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or(b'?'),
                    _ => return Err(Problem::request(format!("{text:?} is not percent-encoded"))),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Problem::request(format!("{text:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_ours() {
        for ours in ["127.0.0.1:8730", "localhost", "localhost:1", "[::1]:8730", "127.8.0.1"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in ["", "example.org", "10.0.0.1:8730", "[fe80::1]", "localhost.example.org"] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_query_is_read_or_its_fault_is_named() {
        let query =
            read_query("where=type%3Dasset.alarm&where=data.change=activated&limit=5&after=7&order=asc").unwrap();
        assert_eq!(query.filters, [("type".into(), "asset.alarm".into()), ("data.change".into(), "activated".into())]);
        assert_eq!((query.limit, query.after, query.ascending), (5, Some(7), true));
        for wrong in ["limit=0", "limit=1001", "limit=x", "where=type", "colour=red", "where=a%3", "where=a=%FF"] {
            assert_eq!(read_query(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
