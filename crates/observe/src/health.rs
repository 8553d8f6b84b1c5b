//! Health: what is not as it should be, since when, and what to do next.

use crate::{
    condition::{self, Condition, Seen, State},
    seams::Seam,
};
use andon_contract::Contract;
use andon_model::{Name, Time, span::Span};
use andon_store::{Query, Store, StoreError, historian::Activity, rows::GapRow};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

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

/// What is wrong with an instance, worst first. A stopped folder has no connected sources, and that is no finding.
pub fn findings(
    store: &Store,
    sources: &[Observed],
    seams: &[Seam],
    running: bool,
) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    if running {
        findings.extend(sources.iter().filter_map(source_finding));
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
    findings.extend(store.holdings()?.missing.iter().map(|file| missing_file(file)));
    findings.extend(open_exceptions(store)?);
    findings.sort_by_key(|f| f.level);
    Ok(findings)
}

/// A file of the historian that is listed and not there.
fn missing_file(file: &std::path::Path) -> Finding {
    Finding {
        level: Level::Error,
        subject: format!("historian {}", file.display()),
        detail: "this file of samples is listed in the database and is not there".to_owned(),
        since: None,
        remedy: "bring it back from a copy of the data folder; until then questions that need it are refused"
            .to_owned(),
    }
}

/// What a running instance knows besides rows: it compares rows of now with those of a while ago.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// Since when it runs; `None`: it is stopped.
    pub running: Option<Time>,
    /// Whether the disk is full.
    pub full: bool,
    /// Sources that are not connected at this moment, with the reason.
    pub away: BTreeMap<Name, String>,
    /// Messages refused lately, by source.
    pub refused: BTreeMap<Name, u64>,
    /// How often a source was connected anew lately.
    pub reconnects: BTreeMap<Name, u32>,
    /// Samples whose time was not believed lately, and the furthest that one was ahead, by source.
    pub ahead: BTreeMap<Name, (u64, Span)>,
}

/// A source, its condition, and when it was heard last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The source.
    pub source: Name,
    /// Its condition.
    pub condition: Condition,
    /// Since when it is connected, whether or not it says anything; `None`: it is not.
    pub connected: Option<Time>,
    /// The receive time of its newest sample.
    pub last: Option<Time>,
}

/// The condition of every source of the contract, in the order of their names.
pub fn sources(
    store: &Store,
    contract: &Contract,
    activity: &BTreeMap<Name, Activity>,
    live: &Live,
    now: Time,
) -> Result<Vec<Observed>, StoreError> {
    let rows = store.source_rows()?;
    let mut observed = Vec::new();
    for (name, source) in &contract.sources {
        let gaps = gaps(store, name, now)?;
        let quarantined = quarantined(store, name)?;
        let seen = Seen {
            running: live.running,
            full: live.full,
            row: rows.iter().find(|row| row.source == *name),
            away: live.away.get(name).map(String::as_str),
            activity: activity.get(name),
            quarantined: quarantined.as_ref().map(|(last, cause)| (*last, cause.as_str())),
            refused: live.refused.get(name).copied().unwrap_or(0),
            gaps: &gaps,
            reconnects: live.reconnects.get(name).copied().unwrap_or(0),
            ahead: live.ahead.get(name).copied(),
        };
        let condition = condition::condition(contract, name, source, &seen, now);
        // A source that the instance serves itself is there as long as the instance is.
        let since = seen.row.filter(|row| row.connected).map(|row| row.since).max(live.running);
        let connected = since.filter(|_| condition.state != State::Disconnected);
        let last = activity.get(name).and_then(|activity| activity.received);
        observed.push(Observed { source: name.clone(), condition, connected, last });
    }
    Ok(observed)
}

/// Rows of a list that are looked at to judge a source.
const LOOKED_AT: usize = 100;

/// The gaps of a source that ended lately, newest first.
fn gaps(store: &Store, source: &Name, now: Time) -> Result<Vec<GapRow>, StoreError> {
    let page = store.list("gaps", &of_source(source, &[]))?;
    let read = |row: &Json| serde_json::from_value::<GapRow>(row.clone()).ok();
    Ok(page.rows.iter().filter_map(read).filter(|gap| now.since(gap.to) <= condition::RECENT).collect())
}

/// When a message of a source was set aside last, and why; of the exceptions that are still open.
fn quarantined(store: &Store, source: &Name) -> Result<Option<(Time, String)>, StoreError> {
    let page = store.list("exceptions", &of_source(source, &[("state", "open"), ("kind", "input")]))?;
    let text = |row: &Json, name: &str| row.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
    let last = page.rows.iter().filter_map(|row| Some((Time::parse(&text(row, "last")).ok()?, text(row, "cause"))));
    Ok(last.max_by_key(|(last, _)| *last))
}

fn of_source(source: &Name, more: &[(&str, &str)]) -> Query {
    let mut where_ = vec![("source".to_owned(), source.to_string())];
    where_.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Query { where_, after: None, limit: LOOKED_AT, ascending: false }
}

fn source_finding(observed: &Observed) -> Option<Finding> {
    let condition = &observed.condition;
    let level = match condition.state {
        State::Connected => return None,
        State::Disconnected => Level::Error,
        State::Silent | State::Degraded => Level::Warning,
    };
    Some(Finding {
        level,
        subject: format!("source {}", observed.source),
        detail: condition.detail.clone(),
        since: condition.since.map(|since| since.to_string()),
        remedy: condition.remedy.clone(),
    })
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
