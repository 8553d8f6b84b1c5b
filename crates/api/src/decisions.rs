//! Decisions that runs wait for: a person answers what an exception asks.

use crate::{problem::Problem, routes::own_origin};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// Characters of the name of who decides at most.
pub const BY_MAX: usize = 200;

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// The answer, as the form of the exception demands it.
    pub answer: Json,
    /// Who decides. Nobody proves it: until there are users it is what the caller claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A decision that was taken; it is durable, and the run that waits for it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The exception that asked.
    pub exception: String,
    /// The run that waits.
    pub run: Option<String>,
    /// The answer.
    pub answer: Json,
    /// Who says to have decided.
    pub by: Option<String>,
    /// When, UTC.
    pub at: String,
    /// The event `human.decision` that tells it.
    pub event: String,
}

/// Reads an answer.
pub(crate) fn decide(headers: &HeaderMap, body: &[u8]) -> Result<Decide, Problem> {
    own_origin(headers)?;
    let decide: Decide = serde_json::from_slice(body).map_err(|e| {
        Problem::request(format!("the body is no decision: {e}"))
            .remedy(r#"send {"answer": ..., "by": "NAME"}; the exception shows the form of the answer"#)
    })?;
    if let Some(by) = &decide.by
        && (by.trim().is_empty() || by.chars().count() > BY_MAX)
    {
        let problem = Problem::request(format!("`by` has 1 to {BY_MAX} characters"));
        return Err(problem.remedy("name who decides, or leave it out"));
    }
    Ok(decide)
}
