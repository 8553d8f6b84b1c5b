//! The types of the answers, as the `OpenAPI` document shows them.

use crate::samples::Historian;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Whether the instance does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether everything that is needed is there.
    pub ready: bool,
    /// What is missing, one sentence each.
    pub waiting_for: Vec<String>,
}

/// Health of an instance, with reasons and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Name of the project.
    pub project: String,
    /// Revision of the active contract.
    pub revision: String,
    /// Id of the instance.
    pub instance: String,
    /// Whether it runs; false on a stopped data folder.
    pub running: bool,
    /// `ok`, `degraded` or `down`.
    pub health: String,
    /// What is not as it should be, worst first.
    pub findings: Vec<Finding>,
    /// Sources with their condition.
    pub sources: Vec<Source>,
    /// What is read from systems, and how that stands.
    #[serde(default)]
    pub reads: Vec<crate::objects::Read>,
    /// What is kept, by kind and state.
    pub counts: BTreeMap<String, u64>,
    /// How the historian stands.
    pub historian: Historian,
    /// The conservation of each seam.
    pub seams: Vec<Seam>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// `warning` or `error`.
    pub level: String,
    /// What it is about: a source, a system, an exception.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
    /// Since when, where it is known.
    pub since: Option<String>,
    /// What to do next.
    pub remedy: String,
}

/// The conservation of a seam: what came in is what came out, is set aside, or waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seam {
    /// The seam: `source -> historian`.
    pub seam: String,
    /// The terms with their numbers; the first equals the sum of the others.
    pub terms: Vec<Term>,
    /// Whether the equation holds.
    pub holds: bool,
}

/// A term of a seam's equation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Term {
    /// Its word.
    pub name: String,
    /// Its number.
    pub count: u64,
}

/// A source with its condition and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// What it speaks.
    pub kind: String,
    /// `connected`, `silent`, `degraded` or `disconnected`.
    pub state: String,
    /// Why, as a word: `ok`, `silent`, `quarantining`, ...; the page on operations has them all.
    pub reason: String,
    /// Since when, where it is known.
    pub since: Option<String>,
    /// The particulars; empty where all is well.
    pub detail: String,
    /// What to do next; empty where there is nothing.
    pub remedy: String,
    /// Connected and subscribed, whether or not it says anything.
    pub connected: bool,
    /// Since when it is connected and subscribed: another time after each new connection; null while it is not.
    pub connected_since: Option<String>,
    /// When its newest sample was received.
    pub last: Option<String>,
    /// Assets of it that fell silent while others speak, the first twenty.
    pub silent_assets: Vec<String>,
    /// Samples received since the data folder exists.
    pub received: u64,
    /// Stored.
    pub stored: u64,
    /// Known already.
    pub duplicate: u64,
    /// Set aside with their bytes.
    pub quarantined: u64,
    /// Refused towards the source.
    pub refused: u64,
}

/// A canonical event: `CloudEvents` 1.0 in structured JSON.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// `ev_` and 16 characters.
    pub id: String,
    /// What made it.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub time: String,
    /// What it is about.
    pub subject: String,
    /// The schema of `data`.
    pub dataschema: String,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// Its site.
    pub site: String,
    /// Events with the same key keep their order.
    pub partitionkey: String,
    /// Order number in the event log of the owning instance.
    pub sequence: String,
    /// The first event of the story.
    pub correlationid: String,
    /// The direct cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causationid: Option<String>,
    /// When it was recorded.
    pub recordedtime: String,
    /// What happened, as `dataschema` says.
    pub data: Json,
}

/// A report that confirms an event that another origin told before.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The id that it would have as an event.
    pub id: String,
    /// The event that it confirms.
    pub confirms: String,
    /// The first report of this fact by the same origin.
    pub report: String,
    /// Its site.
    pub site: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Who told it: the `source` of the event.
    pub origin: String,
    /// When the fact began, as this report says.
    pub from: String,
    /// When it ended, as this report says; absent where it says no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// When it was recorded.
    pub recorded: String,
    /// How much later than the event this origin says that it began and ended, in seconds; negative: earlier.
    pub differs: Json,
    /// The report as it would be an event.
    pub event: Json,
    /// The samples it was made from; absent where it was made from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

/// A run of a workflow.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// `ru_` and 16 characters.
    pub id: String,
    /// Its site.
    pub site: String,
    /// The workflow.
    pub workflow: String,
    /// Hash of the pinned definition.
    pub definition: String,
    /// Revision of the contract that holds it.
    pub revision: String,
    /// The event that started it.
    pub event: Option<String>,
    /// The first event of the story.
    pub correlation: Option<String>,
    /// The key under which it was started by hand; absent where something else started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who started it by hand, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The run that has started it, and the task by which; absent where something else started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentRun>,
    /// Who wants it to end, and why; absent where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelAsked>,
    /// `running`, `waiting`, `queued`, `held`, `completed`, `faulted` or `cancelled`.
    pub state: String,
    /// When it was started.
    pub started: String,
    /// When it last went on.
    pub updated: String,
    /// When it goes on by itself.
    pub wake: Option<String>,
    /// Its input.
    pub input: Json,
    /// Its output; null until completed.
    pub output: Json,
    /// The error it faulted with; null where it did not.
    pub error: Json,
}

/// The run that has started another one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParentRun {
    /// The run.
    pub run: String,
    /// JSON pointer of its task.
    pub pointer: String,
    /// The task's iteration without passes of `retry`.
    pub iteration: String,
    /// Whether the task waits for the end of the run it has started.
    pub wait: bool,
    /// How many runs stand above the one that was started.
    pub depth: u32,
}

/// Somebody wants a run to end.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelAsked {
    /// When it was asked for.
    pub at: String,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether what the run has done is undone.
    pub compensate: bool,
}

/// A completed task of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The run.
    pub run: String,
    /// JSON pointer in the definition.
    pub pointer: String,
    /// Loop indexes, entries and passes.
    pub iteration: String,
    /// When it completed.
    pub completed: String,
    /// Its input; absent unless something may have to undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// Its output.
    pub output: Json,
    /// The context after it.
    pub context: Json,
    /// The task that follows.
    pub next: Option<String>,
    /// Why nothing was done, where nothing was.
    pub note: Option<String>,
}

/// A call to a system of record.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// `ca_` and 16 characters.
    pub id: String,
    /// Its site.
    pub site: String,
    /// The run that makes it.
    pub run: String,
    /// The task that makes it.
    pub pointer: String,
    /// The task's iteration.
    pub iteration: String,
    /// What makes it the same call.
    pub key: String,
    /// The short form of the key.
    pub reference: String,
    /// The capability.
    pub capability: String,
    /// The system it was routed to last.
    pub system: Option<String>,
    /// The operation it was routed to last.
    pub operation: Option<String>,
    /// `waiting`, `in-flight`, `delivered`, `refused`, `parked` or `skipped`.
    pub state: String,
    /// The capability's input.
    pub input: Json,
    /// The capability's output; null until delivered.
    pub output: Json,
    /// The number of the document at the system.
    pub document: Option<String>,
    /// When it was made.
    pub created: String,
    /// When it last changed.
    pub updated: String,
    /// When its next attempt is due.
    pub due: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Class of the last outcome.
    pub class: Option<String>,
    /// What the last outcome said.
    pub detail: Option<String>,
}

/// One try of a call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The call.
    pub call: String,
    /// From 1.
    pub number: u32,
    /// `send` or `search`.
    pub step: String,
    /// The system asked.
    pub system: String,
    /// Its operation.
    pub operation: String,
    /// Hash of the request.
    pub hash: String,
    /// Method and address.
    pub request: String,
    /// Its headers, without credentials, redacted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The request's body.
    pub body: String,
    /// When it began.
    pub started: String,
    /// When its outcome was known.
    pub ended: Option<String>,
    /// Its outcome; null while it is under way, or where a crash left it unknown.
    pub outcome: Json,
    /// Only to compare: sent after the delivery, and nothing follows from its outcome.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// Something that needs a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// `ex_` and 16 characters.
    pub id: String,
    /// Its site.
    pub site: Option<String>,
    /// `input`, `output`, `decision`, `drift` or `objective`.
    pub kind: String,
    /// The team that owns it.
    pub owner: String,
    /// Groups by cause.
    pub fingerprint: String,
    /// What is wrong.
    pub cause: String,
    /// Particulars of the last occurrence.
    pub detail: String,
    /// What to do next.
    pub remedy: String,
    /// Occurrences.
    pub count: u64,
    /// First seen.
    pub first: String,
    /// Last seen.
    pub last: String,
    /// `open`, `assigned`, `waiting` (for its system), `resubmitted`, `resolved` or `discarded`.
    pub state: String,
    /// The source, of an `input` exception.
    pub source: Option<String>,
    /// The run.
    pub run: Option<String>,
    /// The call.
    pub call: Option<String>,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// What is asked, of a `decision` that a run waits for: the form of the answer, and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Json>,
    /// The system that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The capability, of an exception about a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// Its domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The class of the last outcome, of an exception about a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The business key: that of the event behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What a person is advised to do: `retry`, `edit`, `skip`, `reroute`, `decide`, `replay`, `discard`,
    /// `compensate` or `look`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The person who has taken it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Why it was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// An edit that waits for a second person: `input`, `by`, `at`, `reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Json>,
    /// When it passed to another team because it was overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated: Option<String>,
}

/// Exceptions of one cause at one place, counted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionGroup {
    /// What they share.
    pub fingerprint: String,
    /// Their kind.
    pub kind: String,
    /// Their site.
    pub site: Option<String>,
    /// The team that owns the newest.
    pub owner: String,
    /// The system.
    pub system: Option<String>,
    /// The capability, of calls.
    pub capability: Option<String>,
    /// The class of the outcome, of calls.
    pub outcome: Option<String>,
    /// What is wrong.
    pub cause: String,
    /// What to do next.
    pub remedy: String,
    /// What a person is advised to do.
    pub action: Option<String>,
    /// `open` while one of them is unfinished, else `ended`.
    pub state: String,
    /// Since when some are unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<String>,
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
    pub first: String,
    /// Last seen.
    pub last: String,
    /// The newest of them.
    pub newest: String,
}

/// What somebody, or a policy, has done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Audited {
    /// Its number, from 1, without holes.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who, as they say, or `policy`.
    pub actor: String,
    /// What: `exception.retry`, `run.cancel`.
    pub act: String,
    /// To what.
    pub subject: String,
    /// The particulars: the reason, what was before and after.
    pub detail: Json,
    /// SHA-256 over the hash before, the number and the row, hexadecimal.
    pub hash: String,
}

/// A message that was set aside.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// Its number; those that were set aside earlier have lower ones.
    pub number: u64,
    /// The exception it belongs to.
    pub exception: String,
    /// When it was received.
    pub received: String,
    /// The source.
    pub source: String,
    /// The topic, path or file it came by.
    pub topic: String,
    /// How many bytes it has; `/v1/show/{exception}` gives them.
    pub size: u64,
    /// What is wrong with it.
    pub detail: String,
}

/// A sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Instance, epoch and offset.
    pub position: String,
    /// The source that delivered it; a range in the order of time does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its site.
    pub site: String,
    /// `<asset>/<signal>`.
    pub signal: String,
    /// Time of the source.
    pub time: String,
    /// When it was received.
    pub received: String,
    /// `good`, `uncertain` or `bad`.
    pub quality: String,
    /// OPC UA `StatusCode`.
    pub status: u32,
    /// Its value.
    pub value: Json,
}

/// An interval in which samples of a source may be missing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The source.
    pub source: String,
    /// From here.
    pub from: String,
    /// To here.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// A contract that was activated.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContractRevision {
    /// Its revision.
    pub revision: String,
    /// When it was activated last.
    pub activated: String,
    /// The paths of its files.
    pub files: Vec<String>,
}
