//! What needs a person: exceptions, what changes about them, and the messages that were set aside.

use crate::waits::Decision;
use andon_model::{CallId, ExceptionId, Name, OutcomeClass, RunId, SiteName, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The kind of an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionKind {
    /// Bytes that could not become samples or events.
    Input,
    /// A call that could not be delivered, or whose outcome is unknown.
    Output,
    /// A decision a person must take.
    Decision,
    /// Something is not what was declared.
    Drift,
    /// A promise about time is broken.
    Objective,
}

impl ExceptionKind {
    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Decision => "decision",
            Self::Drift => "drift",
            Self::Objective => "objective",
        }
    }
}

/// Where an exception stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionState {
    /// Somebody has to do something.
    Open,
    /// Somebody has taken it on.
    Assigned,
    /// It waits for a system to come back, and goes on by itself.
    Waiting,
    /// What was stuck is on its way again.
    Resubmitted,
    /// Done.
    Resolved,
    /// Given up by a person, with the reason.
    Discarded,
}

impl ExceptionState {
    /// All of them, in the order of their words here.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Assigned, Self::Waiting, Self::Resubmitted, Self::Resolved, Self::Discarded];

    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Assigned => "assigned",
            Self::Waiting => "waiting",
            Self::Resubmitted => "resubmitted",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }

    /// Whether nobody has to do anything any more.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Resolved | Self::Discarded)
    }
}

/// What a person is advised to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Mend the cause, then let it be tried again.
    Retry,
    /// Correct what is sent, then send it.
    Edit,
    /// Go on without it, with an output that a person gives.
    Skip,
    /// Let another operation do it.
    Reroute,
    /// Answer what is asked.
    Decide,
    /// Mend the mapping, then try the messages again.
    Replay,
    /// Give it up.
    Discard,
    /// Undo what the run has done.
    Compensate,
    /// Look at the system, then say what is there.
    Look,
}

impl Action {
    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Edit => "edit",
            Self::Skip => "skip",
            Self::Reroute => "reroute",
            Self::Decide => "decide",
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Compensate => "compensate",
            Self::Look => "look",
        }
    }
}

/// An edit that waits for a second person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The input that is to be sent instead.
    pub input: Json,
    /// Who proposes it.
    pub by: String,
    /// When.
    pub at: Time,
    /// Why.
    pub reason: String,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExceptionRow {
    /// Derived: of a call or a run from that, of everything else from the fingerprint.
    pub id: ExceptionId,
    /// Its site, where it has one.
    pub site: Option<SiteName>,
    /// Its kind.
    pub kind: ExceptionKind,
    /// The team that owns it.
    pub owner: Name,
    /// The group: exceptions of the same cause at the same place share it.
    pub fingerprint: String,
    /// What is wrong, in one line.
    pub cause: String,
    /// The particulars of the last occurrence.
    pub detail: String,
    /// What to do next.
    pub remedy: String,
    /// Occurrences.
    pub count: u64,
    /// First seen.
    pub first: Time,
    /// Last seen.
    pub last: Time,
    /// Where it stands.
    pub state: ExceptionState,
    /// The source, of an `input` exception.
    pub source: Option<Name>,
    /// The run, where there is one.
    pub run: Option<RunId>,
    /// The call, of an `output` exception.
    pub call: Option<CallId>,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// What is asked, of a `decision` that a run waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Box<Decision>>,
    /// The system that was asked, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Name>,
    /// The capability, of an exception about a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// Its domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The class of the last outcome, of an exception about a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeClass>,
    /// The business key: that of the event behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What a person is advised to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The person who has taken it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Why it was last acted upon, in the words of who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// An edit that waits for a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Box<Proposal>>,
    /// When it passed to another team because it was overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated: Option<Time>,
}

impl ExceptionRow {
    /// An open exception that was seen once, with nothing else said of it.
    pub fn new(id: ExceptionId, kind: ExceptionKind, owner: Name, fingerprint: String, now: Time) -> Self {
        Self {
            id,
            site: None,
            kind,
            owner,
            fingerprint,
            cause: String::new(),
            detail: String::new(),
            remedy: String::new(),
            count: 1,
            first: now,
            last: now,
            state: ExceptionState::Open,
            source: None,
            run: None,
            call: None,
            due: None,
            decision: None,
            system: None,
            capability: None,
            domain: None,
            outcome: None,
            key: None,
            action: None,
            assignee: None,
            reason: None,
            proposal: None,
            escalated: None,
        }
    }

    /// One more of an exception that is known: what somebody has done about it stays, unless it had ended or was on its
    /// way again.
    #[must_use]
    pub(crate) fn seen_before(self, old: &Self) -> Self {
        let row = Self {
            count: old.count.saturating_add(self.count.max(1)),
            first: old.first.min(self.first),
            last: old.last.max(self.last),
            ..self
        };
        if old.state.has_ended() {
            return row;
        }
        let is_new = matches!(old.state, ExceptionState::Waiting | ExceptionState::Resubmitted);
        Self {
            state: if is_new { row.state } else { old.state },
            owner: old.owner.clone(),
            assignee: old.assignee.clone(),
            due: old.due.or(row.due),
            escalated: old.escalated,
            proposal: old.proposal.clone(),
            reason: old.reason.clone(),
            ..row
        }
    }
}

/// What changes about an exception; what is not named stays.
#[derive(Debug, Clone, PartialEq)]
pub struct ExceptionChange {
    /// The exception.
    pub id: ExceptionId,
    /// When.
    pub at: Time,
    /// Where it stands from now on.
    pub state: Option<ExceptionState>,
    /// The team that owns it from now on.
    pub owner: Option<Name>,
    /// Who has taken it on; `Some(None)`: nobody any more.
    pub assignee: Option<Option<String>>,
    /// When it should be done; `Some(None)`: at no time.
    pub due: Option<Option<Time>>,
    /// When it passed to another team.
    pub escalated: Option<Time>,
    /// Why, in the words of who acts.
    pub reason: Option<String>,
    /// The particulars from now on.
    pub detail: Option<String>,
    /// The edit that waits for a second person; `Some(None)`: none any more.
    pub proposal: Option<Option<Box<Proposal>>>,
}

impl ExceptionChange {
    /// A change in which nothing is named yet.
    pub fn of(id: ExceptionId, at: Time) -> Self {
        Self {
            id,
            at,
            state: None,
            owner: None,
            assignee: None,
            due: None,
            escalated: None,
            reason: None,
            detail: None,
            proposal: None,
        }
    }

    /// The same with a state.
    #[must_use]
    pub fn to(self, state: ExceptionState) -> Self {
        Self { state: Some(state), ..self }
    }

    /// The exception as it is afterwards.
    pub(crate) fn apply(&self, row: ExceptionRow) -> ExceptionRow {
        ExceptionRow {
            state: self.state.unwrap_or(row.state),
            owner: self.owner.clone().unwrap_or(row.owner),
            assignee: self.assignee.clone().unwrap_or(row.assignee),
            due: self.due.unwrap_or(row.due),
            escalated: self.escalated.or(row.escalated),
            reason: self.reason.clone().or(row.reason),
            detail: self.detail.clone().unwrap_or(row.detail),
            proposal: self.proposal.clone().unwrap_or(row.proposal),
            ..row
        }
    }
}

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// The exception it belongs to.
    pub exception: ExceptionId,
    /// When it was received.
    pub received: Time,
    /// The source.
    pub source: Name,
    /// The topic, path or file it came by.
    pub topic: String,
    /// Its bytes, as they came.
    pub bytes: Vec<u8>,
    /// What is wrong with it, with its place.
    pub detail: String,
    /// Whether its broker had kept it: then it is history, also when it is read again.
    pub retained: bool,
}

/// The exceptions of one cause, counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRow {
    /// What they share.
    pub fingerprint: String,
    /// Their kind.
    pub kind: ExceptionKind,
    /// Their site, where they have one.
    pub site: Option<SiteName>,
    /// The team that owns the newest.
    pub owner: Name,
    /// The system, where there is one.
    pub system: Option<Name>,
    /// The capability, of calls.
    pub capability: Option<String>,
    /// The class of the outcome, of calls.
    pub outcome: Option<OutcomeClass>,
    /// What is wrong, in one line.
    pub cause: String,
    /// What to do next.
    pub remedy: String,
    /// What a person is advised to do.
    pub action: Option<Action>,
    /// `open` while one of them has not ended, else `ended`.
    pub state: String,
    /// Since when there are some that have not ended; a group that had ended begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Time>,
    /// Those that have not ended.
    pub unfinished: u64,
    /// Open ones.
    pub open: u64,
    /// Assigned ones.
    pub assigned: u64,
    /// Those that wait for their system.
    pub waiting: u64,
    /// Those on their way again.
    pub resubmitted: u64,
    /// Resolved ones.
    pub resolved: u64,
    /// Discarded ones.
    pub discarded: u64,
    /// Occurrences of all of them.
    pub count: u64,
    /// First seen.
    pub first: Time,
    /// Last seen.
    pub last: Time,
    /// The newest of them.
    pub newest: ExceptionId,
}

impl GroupRow {
    /// The group of an exception, which is not counted yet.
    pub(crate) fn of(row: &ExceptionRow) -> Self {
        Self {
            fingerprint: row.fingerprint.clone(),
            kind: row.kind,
            site: row.site.clone(),
            owner: row.owner.clone(),
            system: row.system.clone(),
            capability: row.capability.clone(),
            outcome: row.outcome,
            cause: row.cause.clone(),
            remedy: row.remedy.clone(),
            action: row.action,
            state: String::new(),
            opened: None,
            unfinished: 0,
            open: 0,
            assigned: 0,
            waiting: 0,
            resubmitted: 0,
            resolved: 0,
            discarded: 0,
            count: 0,
            first: row.first,
            last: row.last,
            newest: row.id,
        }
    }

    fn place(&mut self, state: ExceptionState) -> &mut u64 {
        match state {
            ExceptionState::Open => &mut self.open,
            ExceptionState::Assigned => &mut self.assigned,
            ExceptionState::Waiting => &mut self.waiting,
            ExceptionState::Resubmitted => &mut self.resubmitted,
            ExceptionState::Resolved => &mut self.resolved,
            ExceptionState::Discarded => &mut self.discarded,
        }
    }

    fn counted(&mut self) {
        self.unfinished = self.open + self.assigned + self.waiting + self.resubmitted;
        let state = if self.unfinished > 0 { "open" } else { "ended" };
        state.clone_into(&mut self.state);
    }

    /// An exception belongs to it.
    pub(crate) fn join(&mut self, row: &ExceptionRow) {
        *self.place(row.state) += 1;
        self.count = self.count.saturating_add(row.count);
        (self.first, self.last) = (self.first.min(row.first), self.last.max(row.last));
        self.owner.clone_from(&row.owner);
        self.cause.clone_from(&row.cause);
        self.remedy.clone_from(&row.remedy);
        self.action = row.action;
        self.newest = row.id;
        self.counted();
    }

    /// An exception does not belong to it any more, or not as it was; whether none is left.
    pub(crate) fn leave(&mut self, row: &ExceptionRow) -> bool {
        let place = self.place(row.state);
        *place = place.saturating_sub(1);
        self.count = self.count.saturating_sub(row.count);
        self.counted();
        self.unfinished + self.resolved + self.discarded == 0
    }
}
