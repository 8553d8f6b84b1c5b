//! Lineage: from any id to the whole story it belongs to, from what began it to the last document.

use crate::{
    confirmed::{self, Confirmed},
    origin::Search,
    shadow::{Compared, compared},
};
use andon_contract::{Contract, contract::Target};
use andon_model::{EventId, RunId, Time};
use andon_store::{
    Store, StoreError,
    rows::{AttemptRow, AuditRow, Audited, CallRow, CallState, Evidence, ExceptionRow, RunRow, StoredEvent, TaskRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Events of one story at most; a story that is longer is told from its beginning.
pub const EVENTS_MAX: usize = 1_000;
/// Runs of one story that other runs have started, at most; those that are left out are counted.
pub const CHILDREN_MAX: usize = 1_000;

/// A story: what was seen, what was concluded, what was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lineage {
    /// What was asked for.
    pub asked: String,
    /// What that is.
    pub kind: Asked,
    /// The runs that began the story, where no event did: they were started by hand, or by a schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunNode>,
    /// The events of the story in their order.
    pub events: Vec<EventNode>,
    /// Exceptions of the story.
    pub exceptions: Vec<ExceptionRow>,
    /// What was done about its runs and exceptions, in the order in which it was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<ActNode>,
}

/// What somebody, or a policy, has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActNode {
    /// Its number in the chain of all acts.
    pub number: u64,
    /// When.
    pub at: Time,
    /// Who: as they say, or `policy`.
    pub actor: String,
    /// What: `exception.retry`, `run.cancel`.
    pub act: String,
    /// To what: its id.
    pub subject: String,
    /// Why, where they said so.
    pub reason: Option<String>,
}

impl Lineage {
    /// Every run of the story once, each before those that it has started.
    pub fn all_runs(&self) -> Vec<&RunNode> {
        let mut all: Vec<&RunNode> = self.runs.iter().chain(self.events.iter().flat_map(|event| &event.runs)).collect();
        let mut at = 0;
        while let Some(node) = all.get(at).copied() {
            all.extend(&node.children);
            at += 1;
        }
        all
    }
}

/// What a lineage was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// An event by its id.
    Event,
    /// A run by its id.
    Run,
    /// Runs by the key under which they were started.
    Key,
    /// A call by its id or reference.
    Call,
    /// A document by its number at the system of record.
    Document,
    /// An exception by its id.
    Exception,
    /// A sample by its position.
    Sample,
}

impl Asked {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Run => "run",
            Self::Key => "key",
            Self::Call => "call",
            Self::Document => "document",
            Self::Exception => "exception",
            Self::Sample => "sample",
        }
    }
}

/// An event with what led to it and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventNode {
    /// The event as it is stored.
    pub event: Json,
    /// The samples it was made from; absent where it was made from none.
    pub evidence: Option<Evidence>,
    /// Who else told it; of the first event of a story.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmations: Vec<Confirmed>,
    /// The runs it started.
    pub runs: Vec<RunNode>,
}

/// A run with its tasks and calls, and the runs it has started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunNode {
    /// The run.
    pub run: RunRow,
    /// Its completed tasks in order.
    pub tasks: Vec<TaskRow>,
    /// Its calls.
    pub calls: Vec<CallNode>,
    /// The runs it has started, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<RunNode>,
    /// How many runs it has started beside them, which are left out since the story has too many.
    #[serde(default, skip_serializing_if = "is_none")]
    pub untold: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// A call with its attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallNode {
    /// The call; its document is what the system made of it.
    pub call: CallRow,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRow>,
    /// Its shadows, each compared with what the call gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<Compared>,
    /// Why it waits, where a breaker keeps it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// Acts that are told of one run or exception at most.
const ACTS_MAX: usize = 100;

/// The story of an event, run, call, exception, reference, document, sample (`epoch/offset`), or of the key under which
/// runs were started; `None` when nothing of this name is kept.
pub fn explain(store: &Store, contract: &Contract, asked: &str) -> Result<Option<Lineage>, StoreError> {
    let asked = asked.trim();
    let mut search = Search::new(store, contract);
    let Some(kind) = search.find(asked)? else { return Ok(None) };
    let Search { begun, stories, exception, path, .. } = search;
    let mut teller = Teller { store, contract, path, left: CHILDREN_MAX, told: BTreeSet::new() };
    let mut lineage = Lineage {
        asked: asked.to_owned(),
        kind,
        runs: Vec::new(),
        events: Vec::new(),
        exceptions: exception.into_iter().collect(),
        acts: Vec::new(),
    };
    for run in begun {
        lineage.runs.push(teller.run(run)?);
    }
    let mut stories: Vec<EventId> = stories.into_iter().collect();
    teller.emitted(&lineage, &mut stories)?;
    let mut events = Vec::new();
    for first in stories {
        events.extend(store.story(first, EVENTS_MAX)?);
    }
    events.sort_by_key(|stored| stored.sequence);
    events.dedup_by_key(|stored| stored.sequence);
    events.truncate(EVENTS_MAX);
    for stored in &events {
        lineage.events.push(teller.event(stored)?);
    }
    let runs: Vec<RunId> = lineage.all_runs().iter().map(|node| node.run.id).collect();
    for run in runs {
        for row in store.exceptions_of_run(run)? {
            if !lineage.exceptions.iter().any(|known| known.id == row.id) {
                lineage.exceptions.push(row);
            }
        }
    }
    let runs = lineage.all_runs().into_iter().map(|node| node.run.id.to_string());
    let subjects: Vec<String> = runs.chain(lineage.exceptions.iter().map(|row| row.id.to_string())).collect();
    for subject in subjects {
        lineage.acts.extend(store.audit_of(&subject, ACTS_MAX)?.into_iter().map(act));
    }
    lineage.acts.sort_by_key(|act| act.number);
    Ok(Some(lineage))
}

fn act(of: Audited) -> ActNode {
    let AuditRow { at, actor, act, subject, detail } = of.row;
    let reason = detail.get("reason").and_then(serde_json::Value::as_str).map(str::to_owned);
    ActNode { number: of.number, at, actor, act, subject, reason }
}

/// Reads `epoch/offset`, with or without the instance before it.
pub fn sample_offset(asked: &str) -> Option<(u32, u64)> {
    let mut parts = asked.rsplit('/');
    let offset = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    Some((epoch, offset))
}

/// Reads what belongs to a story.
struct Teller<'a> {
    store: &'a Store,
    contract: &'a Contract,
    /// Runs that are told even where a story has too many.
    path: BTreeSet<RunId>,
    /// How many further runs that others have started may be told.
    left: usize,
    told: BTreeSet<RunId>,
}

impl Teller<'_> {
    fn event(&mut self, stored: &StoredEvent) -> Result<EventNode, StoreError> {
        let id = stored.event.id;
        let evidence = self.store.event(id)?.and_then(|(_, evidence)| evidence);
        let mut runs = Vec::new();
        for run in self.store.runs_of_event(id)? {
            runs.push(self.run(run)?);
        }
        let confirmations = confirmed::join(self.store.confirmations(id)?);
        Ok(EventNode { event: stored.event.to_json(Some(stored.sequence)), evidence, confirmations, runs })
    }

    /// Why a call waits: the breaker of its system, or of its operation, is not closed.
    fn waits(&self, call: &CallRow) -> Result<Option<String>, StoreError> {
        if call.state != CallState::Waiting {
            return Ok(None);
        }
        let asked = || Some((call.system.clone()?, call.operation.clone()?));
        let route = self.contract.route(&call.capability, &call.site, call.updated);
        let by_route = route.and_then(|route| match &route.target {
            Target::Operation(first) => Some((first.system.clone(), first.operation.clone())),
            Target::None { .. } => None,
        });
        let Some((system, operation)) = by_route.or_else(asked) else { return Ok(None) };
        let Some(row) = self.store.system_rows()?.into_iter().find(|row| row.system == system) else { return Ok(None) };
        let text = |breaker: &Json, of: &str| breaker.get(of).and_then(Json::as_str).map(str::to_owned);
        let told = |gate: String, breaker: &Json| {
            let state = text(breaker, "state").filter(|state| state != "closed")?;
            let since = text(breaker, "opened").map(|since| format!(" since {since}")).unwrap_or_default();
            let probe = text(breaker, "probe").map(|probe| format!(", tried next at {probe}")).unwrap_or_default();
            Some(format!("waits: the breaker of {gate} is {state}{since}{probe}"))
        };
        let of_system = row.state.get("breaker").and_then(|breaker| told(system.to_string(), breaker));
        let own = row.state.get("operations").and_then(|all| all.get(operation.as_str()));
        Ok(of_system.or_else(|| own.and_then(|breaker| told(format!("{system}.{operation}"), breaker))))
    }

    /// A run with all that it has started: no deeper than runs may stand above a run.
    fn run(&mut self, run: RunRow) -> Result<RunNode, StoreError> {
        self.told.insert(run.id);
        let mut calls = Vec::new();
        for call in self.store.calls_of(run.id)? {
            let attempts = self.store.attempts(call.id)?;
            let shadows = compared(&call, &attempts);
            let waits = self.waits(&call)?;
            calls.push(CallNode { call, attempts, shadows, waits });
        }
        let (mut children, mut untold) = (Vec::new(), 0);
        for child in self.store.runs_of_parent(run.id)? {
            if self.told.contains(&child.id) {
                continue;
            }
            if self.left == 0 && !self.path.contains(&child.id) {
                untold += 1;
                continue;
            }
            self.left = self.left.saturating_sub(1);
            children.push(self.run(child)?);
        }
        Ok(RunNode { tasks: self.store.tasks(run.id)?, calls, children, untold, run })
    }

    /// The stories that begin with an event that one of these runs has emitted.
    fn emitted(&self, lineage: &Lineage, stories: &mut Vec<EventId>) -> Result<(), StoreError> {
        for node in lineage.all_runs() {
            for task in &node.tasks {
                // A row does not say what its task was: the id is that of an event where it has emitted one.
                let id = EventId::emitted(node.run.id, &task.pointer, &task.iteration);
                let Some((stored, _)) = self.store.event(id)? else { continue };
                if !stories.contains(&stored.event.correlation) {
                    stories.push(stored.event.correlation);
                }
                if stories.len() >= EVENTS_MAX {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_named_by_epoch_and_offset() {
        assert_eq!(sample_offset("0/17"), Some((0, 17)));
        assert_eq!(sample_offset("in_7K3QF0ZT9M2RX4B8/2/17"), Some((2, 17)));
        assert_eq!(sample_offset("MR-000001"), None);
        assert_eq!(sample_offset("17"), None);
    }
}
