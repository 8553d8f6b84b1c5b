//! What waits for events and times: listening runs, events that wait for others, schedules.

use andon_model::{Name, RunId, SiteName, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The type under which runs are found that listen for events of any type.
pub const ANY_TYPE: &str = "*";

/// For which events a run listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenRow {
    /// The site of the events.
    pub site: SiteName,
    /// Their type; [`ANY_TYPE`]: whichever.
    pub kind: String,
    /// The expression over an event that gives the value by which the run is found; empty: by none.
    pub by: String,
    /// That value, in the words of who writes and asks.
    pub value: String,
}

/// The events that wait together for others of the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatherKey {
    /// Their site.
    pub site: SiteName,
    /// The workflow that they are to start.
    pub workflow: String,
    /// What they have in common.
    pub key: String,
}

/// How far the planned instants of a workflow at a site are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// The site.
    pub site: SiteName,
    /// The workflow.
    pub workflow: Name,
    /// The schedule as written: another one begins anew.
    pub schedule: String,
    /// The last instant that is done, or from which on instants are planned.
    pub planned: Time,
    /// The run that must end before the next one is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// A decision that is asked of a person, as far as an exception shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// JSON pointer of the task that waits for it.
    pub task: String,
    /// The JSON Schema that the answer must fit.
    pub form: Json,
    /// When it passes to which team, if nobody has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<(Time, Name)>,
    /// When it passed on, and who owned it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated: Option<(Time, Name)>,
    /// What was decided; `None`: nothing yet, or nobody needs it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Json>,
    /// Who has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}
