//! Runs that a person ends.

use crate::{problem::Problem, routes::own_origin};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Characters of a reason, and of a name, at most.
pub const TEXT_MAX: usize = 1_000;

/// Why a run is to end, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRun {
    /// Why.
    pub reason: String,
    /// Who says so. Nobody proves it: until there are users it is what the caller claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether what the run has done is undone: the `metadata.compensate` of its completed tasks, the last one first.
    #[serde(default)]
    pub compensate: bool,
}

/// A run that is to end; that is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelledRun {
    /// The run.
    pub id: String,
    /// `cancelled`, or `waiting` and `running` while it undoes what it has done.
    pub state: String,
}

/// Reads why a run is to end.
pub(crate) fn cancel(headers: &HeaderMap, body: &[u8]) -> Result<CancelRun, Problem> {
    own_origin(headers)?;
    let cancel: CancelRun = serde_json::from_slice(body).map_err(|e| {
        Problem::request(format!("the body does not say why the run is to end: {e}"))
            .remedy(r#"send {"reason": "...", "by": "NAME", "compensate": true}"#)
    })?;
    for (name, text) in [("reason", Some(&cancel.reason)), ("by", cancel.by.as_ref())] {
        if text.is_some_and(|text| text.trim().is_empty() || text.chars().count() > TEXT_MAX) {
            let problem = Problem::request(format!("`{name}` has 1 to {TEXT_MAX} characters"));
            return Err(problem.remedy("say it in words that others understand a year later"));
        }
    }
    Ok(cancel)
}
