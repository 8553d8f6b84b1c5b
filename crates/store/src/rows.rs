//! The rows of business state: what layers write, all or nothing, and read back.

mod audit;
mod exceptions;
mod plant;
mod restored;
mod watch;

pub use audit::{AuditHead, AuditRow, AuditVerdict, Audited, Broken};
pub use exceptions::{
    Action, ExceptionChange, ExceptionKind, ExceptionRow, ExceptionState, GroupRow, Proposal, QuarantineRow,
};
pub use plant::{GapRow, IntakeRow, LastValue, RetainedRow, SourceRow};
pub use restored::RestoreRow;
pub use watch::{InProcessRow, NoticeRow, SystemRow};

use crate::{
    objects::{ObjectRow, RevisionRow},
    waits::{GatherKey, ListenRow, ScheduleRow},
};
use andon_model::{
    AssetName, CallId, Event, EventId, ExceptionId, Interval, Key, Name, Outcome, OutcomeClass, Position, Reference,
    RunId, SiteName, Time, call::Step,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// One change of business state. A list of writes is committed as a whole or not at all.
#[derive(Debug, Clone)]
pub enum Write {
    /// An event, inserted by its id: one that exists already is left as it is. Its order number is
    /// given inside the transaction.
    Event(Box<Event>, Option<Box<Evidence>>),
    /// An event whose type names a match, with the interval of its fact: the same, or a confirmation of what another
    /// origin has told before. [`Write::event`] chooses.
    Report(Box<Event>, Option<Box<Evidence>>, Interval),
    /// The state of a rule for an asset, with the place up to which it has read the log.
    RuleState(RuleStateRow),
    /// How far a reader has come, by its name.
    Cursor(String, u64),
    /// A run, inserted or replaced by its id.
    Run(Box<RunRow>),
    /// A run that is started: inserted by its id, one that exists is left as it is.
    StartRun(Box<RunRow>),
    /// A completed task; the same key twice is an error of ours and refused.
    Task(Box<TaskRow>),
    /// A call, inserted or replaced by its id.
    Call(Box<CallRow>),
    /// An attempt, inserted or replaced by call and number.
    Attempt(Box<AttemptRow>),
    /// An exception: a new one, or one more of the same fingerprint (count and last seen rise, an
    /// exception that was resolved opens again).
    Exception(Box<ExceptionRow>),
    /// An open exception as somebody has changed it; its occurrences stay as they were counted. One that is resolved is
    /// left as it is.
    ExceptionEdit(Box<ExceptionRow>),
    /// The state of an exception.
    ExceptionState(ExceptionId, ExceptionState),
    /// What changes about an exception, whatever else changed meanwhile; one that has ended is left as it is.
    /// [`Committed::changed`](crate::Committed::changed) says which it was.
    ExceptionChange(Box<ExceptionChange>),
    /// The groups of exceptions, counted anew from the exceptions: a repair.
    CountGroups,
    /// Who did what: the next link of the chain.
    Audit(Box<AuditRow>),
    /// A notice to a team, inserted or replaced by its id.
    Notice(Box<NoticeRow>),
    /// How a system fares, inserted or replaced by its name.
    System(Box<SystemRow>),
    /// What is about to be processed alone, inserted or replaced by part and item.
    InProcess(Box<InProcessRow>),
    /// It was processed; one that is not there is forgotten already.
    InProcessRemove(String, String),
    /// A message set aside with its bytes, belonging to an exception.
    Quarantine(Box<QuarantineRow>),
    /// An activated contract, kept whole under its revision.
    Contract(Box<ContractRow>),
    /// An interval in which samples of a source may be missing.
    Gap(GapRow),
    /// The condition of a source, replaced by its name.
    Source(SourceRow),
    /// How far a file was taken in, or that a request was answered; inserted or replaced by source and `of`.
    Intake(Box<IntakeRow>),
    /// Forgets an intake; one that is not there is forgotten already.
    IntakeRemove(Name, String),
    /// Forgets intakes of a source whose `of` begins so, that are not open and were last written before this time, at
    /// most 1,000 of them. A system may have the name of a source, and what is kept of its reads stays.
    IntakesBefore(Name, &'static str, Time),
    /// Removes a message that was set aside, by its number; one that is not there is removed already.
    QuarantineRemove(u64),
    /// A revision of the context; its number is given inside the transaction.
    ContextRevision(RevisionRow),
    /// A version of an object, told by the revision before it in the same commit. Where it says what the last version
    /// says, it is left out.
    Object(Box<ObjectRow>),
    /// Forgets revisions before this one and before this time that changed nothing, at most 1,000 of them. Of each
    /// that tells something the last one up to the revision stays.
    ForgetRevisions(u64, Time),
    /// The last retained message of a topic of a listener; without payload the topic has none any more.
    Retain(Box<RetainedRow>),
    /// For which events a run listens, instead of those before. Of a run that has ended nothing is left.
    Listen(RunId, Vec<ListenRow>),
    /// An event waits in a slot, by its order number, for others of its key; or does so no more.
    Gather(GatherKey, u32, u64, bool),
    /// How far the planned instants of a workflow at a site are done.
    Schedule(Box<ScheduleRow>),
    /// There is no such schedule any more.
    ScheduleRemove(SiteName, Name),
    /// The folder was restored from a backup.
    Restore(Box<RestoreRow>),
}

impl Write {
    /// Whether it belongs to the journal of runs, or says how far a reader has come: only its writer goes by it.
    pub(crate) fn is_journal(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::StartRun(_)
                | Self::Task(_)
                | Self::Call(_)
                | Self::Attempt(_)
                | Self::Cursor(..)
                | Self::Listen(..)
                | Self::Gather(..)
                | Self::Schedule(_)
                | Self::ScheduleRemove(..)
                | Self::System(_)
                | Self::InProcess(_)
                | Self::InProcessRemove(..)
        )
    }
}

/// The samples an event was made from, copied at its birth; lives as long as the event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Position of the first sample of the full range.
    pub from: Position,
    /// Position of the last sample of the full range.
    pub to: Position,
    /// Samples in the full range.
    pub count: u64,
    /// Chain over the full range: `h = SHA-256(h, position, time, quality, value)`, hexadecimal.
    pub hash: String,
    /// At most 500 of them: first, last, and the extremes of equal stretches between.
    pub samples: Vec<EvidenceSample>,
    /// What the rule looked at beside them: its settings in force, timers, conditions with their values, what kept its
    /// alarms quiet, the context with its age. `null`: it was made before this was kept, or by something else.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub saw: Json,
}

/// Most samples an evidence copies.
pub const EVIDENCE_SAMPLES_MAX: usize = 500;

/// A copied sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceSample {
    /// Its place in the log.
    pub position: Position,
    /// `<asset>/<signal>`.
    pub signal: String,
    /// The time of the source.
    pub time: Time,
    /// When it was received.
    pub received: Time,
    /// Its quality, as a `StatusCode`.
    pub quality: u32,
    /// Its value.
    pub value: Json,
}

impl EvidenceSample {
    /// A copy of a sample.
    pub fn new(position: Position, signal: String, sample: &andon_model::Sample) -> Self {
        Self {
            position,
            signal,
            time: sample.time,
            received: sample.received,
            quality: sample.quality.0,
            value: sample.value.to_json(),
        }
    }
}

/// An event with its order number.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its order number in the event log of this instance, from 1.
    pub sequence: u64,
    /// The event.
    pub event: Event,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The state of a rule for an asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleStateRow {
    /// The rule.
    pub rule: Name,
    /// The asset.
    pub asset: AssetName,
    /// Version of the rule that made the state.
    pub version: String,
    /// The state has read every entry before this place.
    pub position: Position,
    /// The state in the form of its kind of rule.
    pub state: Json,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Can go on at once.
    Running,
    /// Waits for a time, a call or a person.
    Waiting,
    /// Ended with an output.
    Completed,
    /// Ended with an error.
    Faulted,
    /// Has not begun: its workflow has as many runs in flight as it may have.
    Queued,
    /// Stopped before its next task: its definition is revoked.
    Held,
    /// Ended because a person, or the run that had started it, gave it up.
    Cancelled,
}

impl RunState {
    /// Whether nothing more becomes of the run by itself.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Faulted | Self::Cancelled)
    }

    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The run that has started another one, and the task by which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run.
    pub run: RunId,
    /// JSON pointer of its task.
    pub pointer: String,
    /// The task's iteration without passes of `retry`.
    pub iteration: String,
    /// Whether the task waits for the end of the child.
    pub wait: bool,
    /// How many runs stand above the child.
    pub depth: u32,
}

/// Somebody wants a run to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// When it was asked for.
    pub at: Time,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether what the run has done is undone.
    pub compensate: bool,
}

/// One execution of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Derived from the workflow's name and the event, or the key under which it was started.
    pub id: RunId,
    /// Its site.
    pub site: SiteName,
    /// The workflow's name.
    pub workflow: String,
    /// Hash of the pinned definition.
    pub definition: String,
    /// Revision of the contract that holds the pinned definition.
    pub revision: String,
    /// The event that started it.
    pub event: Option<EventId>,
    /// The first event of the story.
    pub correlation: Option<EventId>,
    /// The key under which it was started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who started it by hand, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The run that has started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Who wants it to end, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
    /// How often somebody took it up again after it had faulted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taken_up: u32,
    /// Where it stands.
    pub state: RunState,
    /// When it was started.
    pub started: Time,
    /// When it last went on.
    pub updated: Time,
    /// When it is to go on by itself; `None`: not by time.
    pub wake: Option<Time>,
    /// Its input.
    pub input: Json,
    /// What the interpreter needs to go on.
    pub memory: Json,
    /// Its output, once completed.
    pub output: Option<Json>,
    /// The error it faulted with.
    pub error: Option<Json>,
}

/// A run that can go on, or goes on by itself at a time: no more of it than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueRun {
    /// The run.
    pub id: RunId,
    /// When it goes on by itself; `None`: it can at once.
    pub wake: Option<Time>,
}

/// A completed task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The run.
    pub run: RunId,
    /// JSON pointer of the task in the definition.
    pub pointer: String,
    /// The path of loop indexes, entries by `then` and passes of `retry`; empty for the first.
    pub iteration: String,
    /// When it completed.
    pub completed: Time,
    /// Its input, kept where something may have to undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// Its output after `output.as`.
    pub output: Json,
    /// The context after `export.as`.
    pub context: Json,
    /// The pointer of the task that follows; `None`: the list, or the run, ends.
    pub next: Option<String>,
    /// In words, where nothing was done: skipped by `if`, or nobody answers for the capability there.
    pub note: Option<String>,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Waits for its time, its turn or its system.
    Waiting,
    /// An attempt is under way.
    InFlight,
    /// Its effect is there, exactly once.
    Delivered,
    /// Refused for good; its run knows.
    Refused,
    /// A person is needed.
    Parked,
    /// Nobody answers for the capability at the site.
    Skipped,
}

impl CallState {
    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "in-flight",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Parked => "parked",
            Self::Skipped => "skipped",
        }
    }
}

/// One request to a system of record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRow {
    /// Derived from its key.
    pub id: CallId,
    /// Its site.
    pub site: SiteName,
    /// The run that makes it.
    pub run: RunId,
    /// The task that makes it.
    pub pointer: String,
    /// The task's iteration without passes of `retry`.
    pub iteration: String,
    /// What makes it the same call.
    pub key: Key,
    /// The short form of the key.
    pub reference: Reference,
    /// Which edit of its input it is; 0: the input is that of its run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edit: u32,
    /// The call whose input a person has edited, and which surely had no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<CallId>,
    /// The capability.
    pub capability: String,
    /// The system it was routed to last.
    pub system: Option<Name>,
    /// The operation it was routed to last.
    pub operation: Option<Name>,
    /// Where it stands.
    pub state: CallState,
    /// The capability's input.
    pub input: Json,
    /// The capability's output, once delivered.
    pub output: Option<Json>,
    /// The number of the document at the system, once delivered.
    pub document: Option<String>,
    /// When it was made.
    pub created: Time,
    /// When it last changed.
    pub updated: Time,
    /// When its next attempt is due.
    pub due: Option<Time>,
    /// Attempts so far.
    pub attempts: u32,
    /// The class of the last outcome.
    pub class: Option<OutcomeClass>,
    /// What the last outcome said.
    pub detail: Option<String>,
    /// What the machine of calls needs to go on.
    pub memory: Json,
}

/// One try of a call. Durable before the first byte is sent; its outcome before the next task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// The call.
    pub call: CallId,
    /// From 1.
    pub number: u32,
    /// Send or search.
    pub step: Step,
    /// The system asked.
    pub system: Name,
    /// Its operation.
    pub operation: Name,
    /// Hash of the request.
    pub hash: String,
    /// Method and address of the request, without credentials, redacted.
    pub request: String,
    /// Its headers, without credentials, redacted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The request's body, redacted and cut to 16 KiB.
    pub body: String,
    /// When it began.
    pub started: Time,
    /// When its outcome was known; `None`: under way, or unknown after a crash.
    pub ended: Option<Time>,
    /// Its outcome.
    pub outcome: Option<Outcome>,
    /// Only to compare: sent after the delivery, and nothing follows from its outcome.
    #[serde(default, skip_serializing_if = "is_not")]
    pub shadow: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

/// An activated contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractRow {
    /// Its revision.
    pub revision: String,
    /// When it was activated last.
    pub activated: Time,
    /// The files of the project by path.
    pub files: BTreeMap<String, String>,
}
