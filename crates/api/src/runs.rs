//! Runs that are started by hand, by the name of the workflow and a key.

use crate::{backend::Backend, problem::Problem, query, routes::own_origin};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use utoipa::ToSchema;

/// The largest input of a run, in bytes of JSON.
pub const INPUT_MAX_BYTES: usize = 256 << 10;
/// The longest key, in bytes.
pub const KEY_MAX_BYTES: usize = 200;
/// Characters of a name at most.
pub const BY_MAX: usize = 200;
/// The longest time that an answer waits for the end of a run.
pub const WAIT_MAX: Duration = Duration::from_mins(5);

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStart {
    /// The workflow.
    pub workflow: String,
    /// The key: one run for each of a workflow.
    pub key: String,
    /// The site; `None`: the only one there is.
    pub site: Option<String>,
    /// The input.
    pub input: Value,
    /// Who asks. Nobody proves it: until there are users it is what the caller claims.
    pub by: Option<String>,
    /// How long the answer waits for the end of the run; `None`: not at all.
    pub wait: Option<Duration>,
}

/// A run that was started by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StartedRun {
    /// `ru_` and 16 characters.
    pub id: String,
    /// The workflow.
    pub workflow: String,
    /// The key.
    pub key: String,
    /// Its site.
    pub site: String,
    /// `running`, `waiting`, `queued`, `held`, `completed`, `faulted` or `cancelled`.
    pub state: String,
    /// When it was started.
    pub started: String,
    /// When it last went on.
    pub updated: String,
    /// Its output; null until completed.
    pub output: Value,
    /// The error it faulted with; null where it did not.
    pub error: Value,
}

impl StartedRun {
    fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "faulted" | "cancelled")
    }
}

/// An answer that comes later.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send>>;

/// `POST /v1/workflows/{name}/runs/{key}`.
pub(crate) async fn start(
    State(backend): State<Arc<dyn Backend>>,
    Path((workflow, key)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    own_origin(&headers)?;
    let Asked { site, wait, by } = asked(&query::pairs(uri.query().unwrap_or(""))?)?;
    check_key(&key)?;
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(None),
        _ => Problem::request(format!("the body could not be read: {refused}")).remedy("send it again"),
    })?;
    let input = input(&headers, &body)?;
    let run = backend.start_run(RunStart { workflow, key, site, input, by, wait }).await?;
    let status = match wait {
        Some(_) if run.has_ended() => StatusCode::OK,
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::CREATED,
    };
    let place = HeaderValue::from_str(&link(&run.id)).ok();
    let mut response = (status, Json(run)).into_response();
    if let Some(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Where a run is shown, whole.
pub fn link(run: &str) -> String {
    format!("/v1/show/{run}")
}

/// What stands in the question.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    site: Option<String>,
    wait: Option<Duration>,
    by: Option<String>,
}

/// Reads `site=`, `wait=` and `by=`.
fn asked(pairs: &[(String, String)]) -> Result<Asked, Problem> {
    let mut asked = Asked::default();
    for (name, value) in pairs {
        match name.as_str() {
            "site" => asked.site = Some(value.clone()),
            "by" if value.trim().is_empty()
                || value.chars().count() > BY_MAX
                || value.chars().any(char::is_control) =>
            {
                return Err(Problem::request(format!(
                    "`by` has 1 to {BY_MAX} characters, none of them a control character"
                ))
                .remedy("write by=NAME, or leave it out"));
            }
            "by" => asked.by = Some(value.trim().to_owned()),
            "wait" => {
                let span = andon_model::span::Span::parse(value)
                    .map_err(|e| Problem::request(format!("`wait={value}`: {e}")).remedy("write wait=30s"))?;
                if span.std() > WAIT_MAX {
                    return Err(Problem::request(format!("`wait={value}` is longer than {} s", WAIT_MAX.as_secs()))
                        .remedy("start the run without waiting, and look at it with GET /v1/show/{id}"));
                }
                asked.wait = Some(span.std());
            }
            _ => return Err(query::strange(name, value, "site=NAME, wait=30s, by=NAME")),
        }
    }
    Ok(asked)
}

fn check_key(key: &str) -> Result<(), Problem> {
    if key.trim().is_empty() || key.len() > KEY_MAX_BYTES || key.chars().any(char::is_control) {
        let detail = format!("the key of a run has 1 to {KEY_MAX_BYTES} bytes, none of them a control character");
        return Err(Problem::request(detail).remedy("name what the run is about, such as the number of an order"));
    }
    Ok(())
}

/// `size`: where it is known.
fn too_large(size: Option<usize>) -> Problem {
    let size = size.map(|size| format!(", this one has {size}")).unwrap_or_default();
    Problem::too_large(format!("the input of a run has at most {INPUT_MAX_BYTES} bytes{size}"))
        .remedy("put what is large elsewhere, and name it in the input")
}

/// The body as JSON; without body an empty object.
fn input(headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    if body.len() > INPUT_MAX_BYTES {
        return Err(too_large(Some(body.len())));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let form = headers.get(header::CONTENT_TYPE).and_then(|form| form.to_str().ok()).unwrap_or("application/json");
    let form = form.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    // What a form of a browser or curl sends without being told is read as what it is: JSON or nothing.
    if !(form.ends_with("json") || form == "application/x-www-form-urlencoded" || form == "text/plain") {
        return Err(Problem::form(format!("the input of a run is JSON, not {form}"))
            .remedy("send it with Content-Type: application/json"));
    }
    serde_json::from_slice(body)
        .map_err(|e| Problem::request(format!("the body is not JSON: {e}")).remedy("send the input of the run as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_wait_is_a_span_within_its_limit() {
        assert_eq!(asked(&pair("wait", "30s")).unwrap().wait, Some(Duration::from_secs(30)));
        let site = Asked { site: Some("home".to_owned()), ..Asked::default() };
        assert_eq!(asked(&pair("site", "home")).unwrap(), site);
        assert_eq!(asked(&pair("by", "ann ")).unwrap().by.as_deref(), Some("ann"));
        let long = "x".repeat(BY_MAX + 1);
        for (name, value) in
            [("wait", "6 min"), ("wait", "soon"), ("wat", "1s"), ("by", " "), ("by", &long), ("by", "a\nb")]
        {
            assert_eq!(asked(&pair(name, value)).unwrap_err().status, 400, "{name}={value}");
        }
    }

    #[test]
    fn a_key_is_a_short_text() {
        assert!(check_key("order 10/4711").is_ok());
        for key in ["", " ", "a\nb", &"x".repeat(KEY_MAX_BYTES + 1)] {
            assert_eq!(check_key(key).unwrap_err().status, 400, "{key:?}");
        }
    }

    #[test]
    fn the_input_is_json_or_nothing() {
        let none = HeaderMap::new();
        assert_eq!(input(&none, b" ").unwrap(), serde_json::json!({}));
        assert_eq!(input(&none, b"[1]").unwrap(), serde_json::json!([1]));
        assert_eq!(input(&none, b"{").unwrap_err().status, 400);
        assert_eq!(input(&none, &vec![b' '; INPUT_MAX_BYTES + 1]).unwrap_err().status, 413);
        let mut xml = HeaderMap::new();
        xml.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        assert_eq!(input(&xml, b"<a/>").unwrap_err().status, 415);
    }
}
