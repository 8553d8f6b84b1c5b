//! Runs that go over to the definition in force.

use crate::{cancel::TEXT_MAX, problem::Problem, routes::own_origin};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a run is to go over to the definition in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateRun {
    /// Why.
    pub reason: String,
    /// Who says so. Nobody proves it: until there are users it is what the caller claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Only say whether it can; nothing is changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// A run that has gone over, which is durable; or that can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigratedRun {
    /// The run.
    pub id: String,
    /// Where it stands: `waiting`, or `faulted` as before: then a `retry` of its exception takes it up.
    pub state: String,
    /// The revision of the contract whose definition it had.
    pub from: String,
    /// The revision in force.
    pub to: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Reads why a run is to go over.
pub(crate) fn migrate(headers: &HeaderMap, body: &[u8]) -> Result<MigrateRun, Problem> {
    own_origin(headers)?;
    let migrate: MigrateRun = serde_json::from_slice(body).map_err(|e| {
        Problem::request(format!("the body does not say why the run is to go over: {e}"))
            .remedy(r#"send {"reason": "...", "by": "NAME", "dry_run": true}"#)
    })?;
    for (name, text) in [("reason", Some(&migrate.reason)), ("by", migrate.by.as_ref())] {
        if text.is_some_and(|text| text.trim().is_empty() || text.chars().count() > TEXT_MAX) {
            let problem = Problem::request(format!("`{name}` has 1 to {TEXT_MAX} characters"));
            return Err(problem.remedy("say it in words that others understand a year later"));
        }
    }
    Ok(migrate)
}
