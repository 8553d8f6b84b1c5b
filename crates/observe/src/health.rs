//! Health: what is not as it should be, since when, and what to do next.

use crate::{
    condition::{self, Condition, Seen, State},
    seams::Seam,
};
use andon_contract::Contract;
use andon_model::{Name, Time, span::Span};
use andon_store::{
    Query, Store, StoreError,
    historian::Activity,
    rows::{GapRow, GroupRow, SystemRow},
};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Groups of exceptions that are looked at in one question, and how many questions are asked at most.
const GROUPS_AT_ONCE: usize = 1_000;
const GROUP_PAGES_MAX: usize = 50;

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
    if running {
        findings.extend(store.system_rows()?.iter().flat_map(breakers));
    }
    findings.extend(owners(store)?.iter().map(of_owner));
    findings.sort_by_key(|f| f.level);
    Ok(findings)
}

/// The disk of the data folder, where it is full, with the time since when.
pub fn disk(store: &Store, since: Option<Time>) -> Option<Finding> {
    if !store.is_full() {
        return None;
    }
    let free = store.free_bytes().unwrap_or(0) >> 20;
    let dir = store.dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    Some(Finding {
        level: Level::Error,
        subject: DISK.to_owned(),
        detail: format!(
            "the data folder has {free} MiB left: nothing more is acknowledged to sources; outcomes of calls and what \
             people do are still written"
        ),
        since: since.map(|since| since.to_string()),
        remedy: format!("free at least 128 MiB at {dir}; everything goes on by itself then, and nothing is lost"),
    })
}

/// What a finding about the disk is about.
pub const DISK: &str = "the disk";

/// The breakers of a system that are not closed, from the row that is committed with the outcome that moved them.
fn breakers(row: &SystemRow) -> Vec<Finding> {
    let own = row.state.get("breaker").map(|of| (format!("system {}", row.system), of));
    let operations = row.state.get("operations").and_then(Json::as_object).into_iter().flatten();
    let operations = operations.map(|(name, of)| (format!("system {}.{name}", row.system), of));
    let text = |of: &Json, name: &str| of.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let told = |(subject, of): (String, &Json)| {
        let state = text(of, "state");
        let calls = match state.as_str() {
            "open" => "calls to it wait",
            "half-open" => "single calls try it, the others wait",
            _ => return None,
        };
        let (detail, probe) = (text(of, "detail"), text(of, "probe"));
        let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let next = if probe.is_empty() { String::new() } else { format!("; it is tried at {probe}") };
        let opened = of.get("opened").or_else(|| of.get("since")).and_then(Json::as_str);
        Some(Finding {
            level: Level::Warning,
            subject,
            detail: format!("its breaker is {state}, {calls}{why}"),
            since: Some(opened.map_or_else(|| row.changed.to_string(), str::to_owned)),
            remedy: format!("bring it back{next}, and what waits goes on by itself: andon list systems"),
        })
    };
    own.into_iter().chain(operations).filter_map(told).collect()
}

/// The exceptions of a team that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The team.
    pub owner: Name,
    /// By state: open, assigned, waiting for their system, on their way again.
    pub states: [(&'static str, u64); 4],
    /// Causes.
    pub groups: u64,
    /// The cause with the most, and how many they are.
    pub most: (String, u64),
    /// When the oldest group was seen first.
    pub since: Time,
}

impl Owned {
    /// All of them.
    pub fn unfinished(&self) -> u64 {
        self.states.iter().map(|(_, count)| count).sum()
    }
}

/// The teams with exceptions that have not ended, by name.
pub fn owners(store: &Store) -> Result<Vec<Owned>, StoreError> {
    let mut owners: BTreeMap<Name, Owned> = BTreeMap::new();
    let mut query = Query {
        where_: vec![("state".to_owned(), "open".to_owned())],
        after: None,
        limit: GROUPS_AT_ONCE,
        ascending: true,
    };
    for _ in 0..GROUP_PAGES_MAX {
        let page = store.list("exception-groups", &query)?;
        for group in page.rows.into_iter().filter_map(|row| serde_json::from_value::<GroupRow>(row).ok()) {
            let of = owners.entry(group.owner.clone()).or_insert_with(|| Owned {
                owner: group.owner.clone(),
                states: ["open", "assigned", "waiting", "resubmitted"].map(|state| (state, 0)),
                groups: 0,
                most: (String::new(), 0),
                since: group.first,
            });
            let counts = [group.open, group.assigned, group.waiting, group.resubmitted];
            of.states.iter_mut().zip(counts).for_each(|((_, sum), count)| *sum += count);
            of.groups += 1;
            of.since = of.since.min(group.first);
            if group.unfinished > of.most.1 {
                of.most = (group.cause, group.unfinished);
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(owners.into_values().collect())
}

fn of_owner(of: &Owned) -> Finding {
    let words = [
        ("open", "open"),
        ("assigned", "assigned"),
        ("waiting", "wait for their system"),
        ("resubmitted", "on their way again"),
    ];
    let states = of.states.iter().zip(words).filter(|((_, count), _)| *count > 0);
    let states: Vec<String> = states.map(|((_, count), (_, word))| format!("{count} {word}")).collect();
    let (cause, most) = &of.most;
    let others = if of.groups > 1 { format!(" ({most}), and {} other causes", of.groups - 1) } else { String::new() };
    Finding {
        level: Level::Warning,
        subject: format!("exceptions of {}", of.owner),
        detail: format!("{}: {cause}{others}", states.join(", ")),
        since: Some(of.since.to_string()),
        remedy: format!("andon list exception-groups --where state=open --where owner={}", of.owner),
    }
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
    /// Since when it is, as far as somebody has looked.
    pub full_since: Option<Time>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::ExceptionId;
    use andon_store::rows::{ExceptionKind, ExceptionRow, ExceptionState, Write};
    use serde_json::json;
    use std::fmt::Write as _;

    fn told(findings: &[Finding]) -> String {
        let mut text = String::new();
        for Finding { level, subject, detail, since, remedy } in findings {
            let since = since.as_deref().unwrap_or("nobody knows when");
            writeln!(text, "{level:?} {subject}: {detail}, since {since}\n  next: {remedy}").unwrap();
        }
        text
    }

    #[test]
    fn what_is_degraded_is_told_with_why_since_when_and_what_to_do() {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let at = |seconds: i64| Time(1_790_000_000_000_000_000 + seconds * 1_000_000_000);
        let exception = |number: u8, owner: &str, cause: &str, state| {
            let id = ExceptionId::derived(&[&[number]]);
            let owner = Name::new(owner).unwrap();
            let row = ExceptionRow::new(id, ExceptionKind::Output, owner, cause.to_owned(), at(number.into()));
            Write::Exception(Box::new(ExceptionRow { state, cause: cause.to_owned(), ..row }))
        };
        let system = |name: &str, state: Json| {
            let system = Name::new(name).unwrap();
            Write::System(Box::new(SystemRow { system, changed: at(0), state }))
        };
        let opened =
            json!({"state": "open", "since": at(9), "opened": at(5), "probe": at(70), "detail": "no connection"});
        store
            .commit(vec![
                exception(1, "planning", "the order is not there", ExceptionState::Open),
                exception(2, "planning", "the order is not there", ExceptionState::Assigned),
                exception(3, "planning", "calls to erp wait: its breaker is open", ExceptionState::Waiting),
                exception(4, "planning", "an old story", ExceptionState::Resolved),
                exception(5, "quality", "a file of no form", ExceptionState::Resubmitted),
                system("erp", json!({"breaker": opened})),
                system("mes", json!({"breaker": {"state": "closed"}})),
                system("qms", json!({"breaker": {"state": "closed"}, "operations": {"post": {"state": "half-open"}}})),
            ])
            .unwrap();
        insta::assert_snapshot!("degraded", told(&findings(&store, &[], &[], true).unwrap()));
        let stopped = told(&findings(&store, &[], &[], false).unwrap());
        assert!(!stopped.contains("breaker is open, calls"), "nobody calls while it is stopped: {stopped}");
        assert_eq!(disk(&store, None), None);
        assert_eq!(owners(&store).unwrap().iter().map(Owned::unfinished).collect::<Vec<_>>(), [3, 1]);
    }
}
