//! Overall equipment effectiveness of an asset, with every part of its formula.

use crate::{
    problem::Problem,
    query::strange,
    samples::{FROM_DEFAULT, Moment},
};
use andon_model::span::Span;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// By what an answer may be divided.
pub const BY: [&str; 4] = ["all", "order", "batch", "shift"];

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct OeeQuery {
    /// The asset.
    pub asset: String,
    /// From here on; default one hour ago.
    pub from: Moment,
    /// Up to here, exclusive; default now.
    pub to: Moment,
    /// By what the answer is divided: one of [`BY`]; default `all`.
    pub by: String,
    /// The rule whose states count, where several tell states of the asset.
    pub rule: Option<String>,
}

impl Default for OeeQuery {
    fn default() -> Self {
        let (from, to) = (Moment::Ago(FROM_DEFAULT), Moment::Ago(Span::ZERO));
        Self { asset: String::new(), from, to, by: "all".to_owned(), rule: None }
    }
}

/// An answer, part by part in the order of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OeePage {
    /// The asset.
    pub asset: String,
    /// By what it is divided: all, order, batch or shift.
    pub by: String,
    /// The parts.
    pub parts: Vec<OeePart>,
}

/// OEE of an interval. Times are in seconds; what cannot be known is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OeePart {
    /// The object of this part: `ProductionOrder/hamburg/1000123`; null where nothing divides.
    pub of: Option<String>,
    /// From this time on.
    pub from: String,
    /// Before this time.
    pub to: String,
    /// Times by what they count as; together the whole interval.
    pub times: OeeTimes,
    /// Planned busy time (PBT): all times that are known, without planned downtime.
    pub planned_busy: f64,
    /// Produced quantity (PQ).
    pub produced: Option<u64>,
    /// Good quantity (GQ).
    pub good: Option<u64>,
    /// Rejected.
    pub reject: Option<u64>,
    /// How many of all of them were counted over a gap, so that their time is not known.
    pub over_gaps: u64,
    /// Planned run time of what was produced (PRI x PQ).
    pub planned_run: Option<f64>,
    /// APT / PBT.
    pub availability: Option<f64>,
    /// PRI x PQ / APT; it may exceed 1.
    pub effectiveness: Option<f64>,
    /// GQ / PQ.
    pub quality: Option<f64>,
    /// Availability x effectiveness x quality.
    pub oee: Option<f64>,
    /// (APT + AUST) / PBT x effectiveness x quality.
    pub nee: Option<f64>,
    /// Why something is null, and what to do.
    pub missing: Vec<String>,
}

/// Times by what they count as (ISO 22400-2), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OeeTimes {
    /// Actual production time (APT).
    pub production: f64,
    /// Actual unit setup time (AUST).
    pub setup: f64,
    /// Actual unit delay time (ADET).
    pub delay: f64,
    /// Without work (ADOT).
    pub idle: f64,
    /// Planned downtime (PDOT).
    pub planned_down: f64,
    /// Nobody knows: no state yet, or the source was away.
    pub unknown: f64,
}

/// Reads what is asked.
pub(crate) fn query(pairs: &[(String, String)]) -> Result<OeeQuery, Problem> {
    let mut query = OeeQuery::default();
    for (name, value) in pairs {
        match name.as_str() {
            "asset" => query.asset.clone_from(value),
            "from" => query.from = Moment::parse(name, value)?,
            "to" => query.to = Moment::parse(name, value)?,
            "by" if BY.contains(&value.as_str()) => query.by.clone_from(value),
            "by" => {
                return Err(Problem::request(format!("`by={value}` divides nothing"))
                    .remedy(format!("ask for one of: {}", BY.join(", "))));
            }
            "rule" => query.rule = Some(value.clone()),
            _ => return Err(strange(name, value, "asset=, from=, to=, by=, rule=")),
        }
    }
    if query.asset.is_empty() {
        return Err(Problem::request("`asset` is missing").remedy("OEE is of one asset"));
    }
    Ok(query)
}
