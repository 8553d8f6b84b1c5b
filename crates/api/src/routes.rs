//! Everything that is served: one list of routes, each a few lines.

use crate::{
    alarms,
    backend::Backend,
    backups, cancel, decisions, exceptions,
    kind::{KINDS, Kind},
    lanes::{self, Lanes},
    objects::{self, ObjectPut, ObjectRef},
    oee, openapi, posts,
    problem::Problem,
    query, runs, why,
};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
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
        .route("/v1/why-not", get(why_not))
        .route("/v1/samples", get(samples))
        .route("/v1/samples/last", get(last))
        .route("/v1/samples/series", get(series))
        .route("/v1/samples/count", get(count))
        .route("/v1/historian/seal", post(seal))
        .route("/v1/backups", get(backup).post(back_up))
        .route("/v1/exceptions/{id}/replay", post(replay))
        .route("/v1/exceptions/{id}/decide", post(decide))
        .route("/v1/runs/{id}/cancel", post(cancel_run))
        .route("/v1/runs/{id}/migrate", post(migrate_run))
        .route("/v1/oee", get(oee_of))
        .route("/v1/objects/{type}/{site}/{number}", get(object).put(put_object))
        .route("/v1/alarms/{rule}/{asset}/{act}", post(control))
        .route("/v1/workflows/{name}/runs/{key}", post(runs::start))
        .route("/v1/sources/{source}/samples", post(posts::samples))
        .route("/v1/sources/{source}/events", post(posts::events))
        .route("/v1/systems/{system}/reads/{read}", post(posts::objects));
    // Samples have a question of their own beside that of a list.
    for listed in KINDS.iter().filter(|k| k.kind != Kind::Samples) {
        let kind = listed.kind;
        let path = format!("/v1/{}", listed.word);
        router = router.route(&path, get(move |state, uri| list(state, uri, kind)));
    }
    for action in &exceptions::ACTIONS {
        let one = move |state, path, headers, body| act(state, path, headers, body, action);
        let many = move |state, headers, body| act_all(state, headers, body, action);
        router = router
            .route(&format!("/v1/exceptions/{{id}}/{}", action.word), post(one))
            .route(&format!("/v1/exceptions/{}", action.word), post(many));
    }
    router
        .fallback(|uri: Uri| async move {
            Problem::not_found(format!("nothing is served at {}", uri.path())).remedy("GET /openapi.json lists what is")
        })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let remedy = "the header Allow names the methods; GET /openapi.json lists all there is";
            Problem::method(format!("{method} is not served at {}", uri.path())).remedy(remedy)
        })
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(Arc::new(Lanes::default()), lanes::sort))
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

/// Asks the backend on a thread that may block, when the lane of the request has a place.
pub(crate) async fn ask<T: Send + 'static>(
    backend: Shared,
    question: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    lanes::run(move || question(&*backend)).await
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
    let query = query::list(&pairs(&uri)?)?;
    let page = ask(backend, move |b| b.list(kind, &query)).await?;
    Ok(Json(json!({ "rows": page.rows, "next": page.next })).into_response())
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    query::pairs(uri.query().unwrap_or(""))
}

/// With `asset` a range in the order of time, over the log and the historian; else the rows of the log.
async fn samples(State(backend): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let pairs = pairs(&uri)?;
    if !pairs.iter().any(|(name, _)| name == "asset") {
        return list(State(backend), uri, Kind::Samples).await;
    }
    let query = query::range(&pairs)?;
    Ok(Json(ask(backend, move |b| b.range(&query)).await?).into_response())
}

async fn last(State(backend): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let query = query::last(&pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.last(&query)).await?).into_response())
}

async fn series(State(backend): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let query = query::series(&pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.series(&query)).await?).into_response())
}

async fn count(State(backend): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let query = query::count(&pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.count(&query)).await?).into_response())
}

async fn oee_of(State(backend): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let query = oee::query(&pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.oee(&query)).await?).into_response())
}

async fn why_not(State(backend): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let query = why::query(&pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.why_not(&query)).await?).into_response())
}

async fn seal(State(backend): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    own_origin(&headers)?;
    Ok(Json(ask(backend, <dyn Backend>::seal).await?).into_response())
}

async fn back_up(
    State(backend): State<Shared>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let asked = backups::back_up(&headers, &body)?;
    Ok(Json(ask(backend, move |b| b.back_up(&asked)).await?).into_response())
}

async fn backup(State(backend): State<Shared>) -> Result<Response, Problem> {
    Ok(Json(ask(backend, <dyn Backend>::backup).await?).into_response())
}

async fn replay(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    own_origin(&headers)?;
    let query = query::replay(&pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.replay(&id, &query)).await?).into_response())
}

async fn decide(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let decide = decisions::decide(&headers, &body)?;
    Ok(Json(ask(backend, move |b| b.decide(&id, &decide)).await?).into_response())
}

async fn act(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
    action: &'static exceptions::Action,
) -> Result<Response, Problem> {
    let asked = exceptions::asked(action, &headers, &body)?;
    Ok(Json(ask(backend, move |b| b.act(&id, &asked)).await?).into_response())
}

async fn act_all(
    State(backend): State<Shared>,
    headers: HeaderMap,
    body: axum::body::Bytes,
    action: &'static exceptions::Action,
) -> Result<Response, Problem> {
    let asked = exceptions::bulk(action, &headers, &body)?;
    Ok(Json(ask(backend, move |b| b.act_all(&asked)).await?).into_response())
}

async fn cancel_run(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let cancel = cancel::cancel(&headers, &body)?;
    Ok(Json(ask(backend, move |b| b.cancel_run(&id, &cancel)).await?).into_response())
}

async fn migrate_run(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let migrate = crate::migrate::migrate(&headers, &body)?;
    Ok(Json(ask(backend, move |b| b.migrate_run(&id, &migrate)).await?).into_response())
}

async fn object(
    State(backend): State<Shared>,
    Path((kind, site, number)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let of = ObjectRef { kind, site, number };
    let found = ask(backend, move |b| b.object(&of)).await?;
    let revision = found.object.get("revision").and_then(serde_json::Value::as_u64).unwrap_or(0);
    Ok(([(header::ETAG, format!("\"{revision}\""))], Json(found)).into_response())
}

async fn put_object(
    State(backend): State<Shared>,
    Path((kind, site, number)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    own_origin(&headers)?;
    let expected = objects::expected(&headers)?;
    let body = serde_json::from_slice(&body)
        .map_err(|e| Problem::request(format!("the body is not JSON: {e}")).remedy("send `{\"object\": { ... }}`"))?;
    let actor = alarms::actor(&headers)?;
    let actor = (!actor.is_empty()).then(|| actor.chars().take(alarms::ACTOR_MAX).collect());
    let put = ObjectPut { of: ObjectRef { kind, site, number }, body, expected, actor };
    let given = ask(backend, move |b| b.put_object(&put)).await?;
    Ok(([(header::ETAG, format!("\"{}\"", given.revision))], Json(given)).into_response())
}

async fn control(
    State(backend): State<Shared>,
    Path((rule, asset, act)): Path<(String, String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    own_origin(&headers)?;
    let query = alarms::control(rule, asset, &act, &headers, &pairs(&uri)?)?;
    Ok(Json(ask(backend, move |b| b.control(&query)).await?).into_response())
}

/// A page of somebody else may send a browser here; what changes something is refused to it.
pub(crate) fn own_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = origin.to_str().ok().and_then(|o| o.split_once("://")).map_or("", |(_, host)| host);
    if is_loopback(host) {
        return Ok(());
    }
    Err(Problem::misdirected(format!("the page {origin:?} is not of this machine")).remedy("ask without a browser"))
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
}
