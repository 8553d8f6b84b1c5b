//! Health: what is not as it should be, since when, and what to do next.

use crate::seams::Seam;
use andon_contract::{
    Contract,
    contract::{Source, SourceKind},
};
use andon_store::{Query, Store, StoreError, rows::SourceRow};
use serde::Serialize;
use serde_json::Value as Json;

/// Findings of one kind that are told one by one; more are told as a number.
const TOLD_MAX: usize = 20;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
    /// Since when, where it is known.
    pub since: Option<String>,
    /// What to do next.
    pub remedy: String,
}

/// How bad a finding is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Work stands still.
    Error,
    /// Somebody should look.
    Warning,
}

/// What is wrong with an instance, worst first. `running` tells whether it is at work: a stopped
/// folder has no connected sources, and that is no finding.
pub fn findings(store: &Store, contract: &Contract, seams: &[Seam], running: bool) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    if running {
        let rows = store.source_rows()?;
        for (name, source) in &contract.sources {
            findings.extend(source_finding(name.as_str(), source, rows.iter().find(|r| r.source == *name)));
        }
    }
    for seam in seams.iter().filter(|s| !s.holds) {
        let terms: Vec<String> = seam.terms.iter().map(|t| format!("{} {}", t.name, t.count)).collect();
        findings.push(Finding {
            level: Level::Error,
            subject: seam.seam.clone(),
            detail: format!("the numbers do not add up: {}", terms.join(", ")),
            since: None,
            remedy: "keep the data folder and report this: something was lost or counted twice".to_owned(),
        });
    }
    findings.extend(open_exceptions(store)?);
    findings.sort_by_key(|f| f.level);
    Ok(findings)
}

fn source_finding(name: &str, source: &Source, row: Option<&SourceRow>) -> Option<Finding> {
    let SourceKind::Mqtt(mqtt) = &source.kind else { return None };
    match row {
        Some(row) if row.connected => None,
        Some(row) => Some(Finding {
            level: Level::Error,
            subject: format!("source {name}"),
            detail: row.reason.clone(),
            since: Some(row.since.to_string()),
            remedy: format!("look at the broker {} and its log", mqtt.broker.address.default),
        }),
        None => Some(Finding {
            level: Level::Error,
            subject: format!("source {name}"),
            detail: "has not been connected yet".to_owned(),
            since: None,
            remedy: format!("look whether the broker {} runs", mqtt.broker.address.default),
        }),
    }
}

fn open_exceptions(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let query =
        Query { where_: vec![("state".to_owned(), "open".to_owned())], after: None, limit: TOLD_MAX, ascending: false };
    let page = store.list("exceptions", &query)?;
    let text = |row: &Json, name: &str| row.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
    let mut findings: Vec<Finding> = page
        .rows
        .iter()
        .map(|row| Finding {
            level: Level::Warning,
            subject: format!("exception {}", text(row, "id")),
            detail: format!(
                "{} ({} times, owner {})",
                text(row, "cause"),
                row.get("count").unwrap_or(&Json::Null),
                text(row, "owner")
            ),
            since: Some(text(row, "first")),
            remedy: text(row, "remedy"),
        })
        .collect();
    if page.next.is_some() {
        findings.push(Finding {
            level: Level::Warning,
            subject: "exceptions".to_owned(),
            detail: format!("more than {TOLD_MAX} are open"),
            since: None,
            remedy: "andon list exceptions --where state=open".to_owned(),
        });
    }
    Ok(findings)
}
