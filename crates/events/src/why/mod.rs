//! Why a rule had not fired for an asset at a time: the rule is replayed alone over what is stored, and what then
//! stands around it is asked.
//!
//! The parts: [`Finding`] is one answer, [`Look`] is what a machine is asked with, `story` reads what the stored events
//! say, `replay` goes through the samples again, `ask` joins them.

mod around;
mod ask;
mod replay;
mod story;

pub use ask::{Answer, why_not};

use crate::evidence::Raw;
use andon_model::{EventId, Time};
use serde::Serialize;
use serde_json::{Map, Value as Json};

/// What kept a rule from firing, the most decisive first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing did: it had fired.
    Fired,
    /// The rule did not exist.
    NoRule,
    /// A person disabled it for the asset.
    Disabled,
    /// A person shelved its alarms.
    Shelved,
    /// Its conditions suppress its alarms.
    Suppressed,
    /// A signal it needs was never there.
    NoSample,
    /// The source was away: its clock stood.
    Disconnected,
    /// No good setpoint is known.
    NoSetpoint,
    /// Lines, or a first number, are still to be made.
    Learning,
    /// What it reads cannot be read.
    Unreadable,
    /// The newest sample is not good.
    BadQuality,
    /// A condition does not hold.
    ConditionFailed,
    /// What a condition looks at is not known.
    ConditionUnknown,
    /// No object of the context is known for it.
    ContextUnknown,
    /// Whoever tells the context was silent for too long, and it counts as unknown.
    ContextStale,
    /// A delay had not passed.
    DelayRuns,
    /// A sample came late and was skipped.
    Late,
    /// It waits for the clock to pass a moment, or for a window to close.
    Waits,
    /// What it looks for was not there.
    NotBeyond,
    /// No sample came since.
    Silent,
    /// The last thing it told.
    Told,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What kept it from firing.
    pub reason: Reason,
    /// In words, with values and times.
    pub text: String,
    /// The time it is about: of the sample, the beginning, the deadline.
    pub time: Option<Time>,
    /// The values it is about, by name.
    pub values: Map<String, Json>,
    /// The event, where it is about one.
    pub event: Option<EventId>,
}

impl Finding {
    pub(crate) fn new(reason: Reason, text: String) -> Self {
        Self { reason, text, time: None, values: Map::new(), event: None }
    }

    pub(crate) fn at(self, time: Time) -> Self {
        Self { time: Some(time), ..self }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }
}

/// What a machine is asked with.
pub(crate) struct Look<'a> {
    /// The plant time that is asked about.
    pub(crate) at: Time,
    /// The same by receive time.
    pub(crate) utc: Time,
    /// The unit of its values, with a space before it; empty where there is none.
    pub(crate) unit: String,
    /// `<asset>/<signal>` of its inputs.
    pub(crate) signals: &'a [String],
    /// The samples of the signal it stands on, up to then, in the order of their time.
    pub(crate) samples: &'a [Raw],
}

impl Look<'_> {
    /// The name of an input, without the asset.
    pub(crate) fn name(&self, input: u8) -> &str {
        crate::saw::bare(self.signals.get(usize::from(input)).map_or("", String::as_str))
    }

    /// The newest good number of the signal it stands on.
    pub(crate) fn number(&self) -> Option<(f64, Time)> {
        let good = |raw: &&Raw| raw.quality.is_good() && raw.value.number().is_some_and(f64::is_finite);
        let raw = self.samples.iter().rev().find(good)?;
        Some((raw.value.number()?, raw.time))
    }

    /// A delay that runs: when it began and when it is over.
    pub(crate) fn runs(&self, name: &str, what: &str, since: Time, to: Time) -> Finding {
        let left = to.since(since);
        let passed = if self.at > to { ", but the clock of its source had not passed that" } else { "" };
        let text = format!("{what} since {since}; {name} {left} had not passed: it would have fired at {to}{passed}");
        Finding::new(Reason::DelayRuns, text).at(to).with("since", since.to_string()).with(name, left.to_string())
    }
}
