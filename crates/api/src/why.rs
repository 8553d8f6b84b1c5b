//! Why a rule had not fired for an asset at a time.

use crate::{problem::Problem, query::strange, samples::Moment};
use andon_model::span::Span;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyQuery {
    /// The rule.
    pub rule: String,
    /// The asset.
    pub asset: String,
    /// The time, in the time of the asset's samples.
    pub at: Moment,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyNot {
    /// The rule.
    pub rule: String,
    /// The asset.
    pub asset: String,
    /// The time that was asked about.
    pub at: String,
    /// The event, where the rule had fired.
    pub fired: Option<String>,
    /// The revision of the contract that was in force.
    pub contract: String,
    /// The version of the rule.
    pub version: Option<String>,
    /// From where the rule was replayed.
    pub from: Option<String>,
    /// Samples that were replayed.
    pub samples: u64,
    /// Whether the log still had its marks there; else connections and ticks are not known.
    pub marks: bool,
    /// The signals the rule reads, `<asset>/<signal>`.
    pub signals: Vec<String>,
    /// The answers, the most decisive first.
    pub findings: Vec<WhyFinding>,
}

/// One answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyFinding {
    /// fired, no-rule, disabled, shelved, suppressed, no-sample, disconnected, no-setpoint, learning, unreadable,
    /// bad-quality, condition-failed, condition-unknown, context-unknown, context-stale, delay-runs, late, waits,
    /// not-beyond, silent, or told.
    pub reason: String,
    /// In words, with values and times.
    pub text: String,
    /// The time it is about: of the sample, the beginning, the deadline.
    pub time: Option<String>,
    /// The values it is about, by name.
    #[schema(value_type = Object)]
    pub values: serde_json::Value,
    /// The event, where it is about one.
    pub event: Option<String>,
    /// What to look at next.
    pub next: String,
}

/// Reads `rule`, `asset` and `at` (default: now).
pub(crate) fn query(pairs: &[(String, String)]) -> Result<WhyQuery, Problem> {
    let mut query = WhyQuery { rule: String::new(), asset: String::new(), at: Moment::Ago(Span::ZERO) };
    for (name, value) in pairs {
        match name.as_str() {
            "rule" => query.rule.clone_from(value),
            "asset" => query.asset.clone_from(value),
            "at" => query.at = Moment::parse(name, value)?,
            _ => return Err(strange(name, value, "rule=, asset=, at=")),
        }
    }
    for (name, value) in [("rule", &query.rule), ("asset", &query.asset)] {
        if value.is_empty() {
            let missing = Problem::request(format!("`{name}` is missing"));
            return Err(missing.remedy("the question is about one rule and one asset"));
        }
    }
    Ok(query)
}
