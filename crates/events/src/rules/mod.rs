//! Kinds of rules, one file each: a pure machine from samples and passed deadlines to changes.

pub mod limit;
pub mod stale;

use crate::identity::{ChangeKind, Identity};
use andon_contract::contract::{LimitLevel, RuleSettings};
use andon_model::{EventId, Position, Sample, Time, Value};
use andon_store::rows::Evidence;
use serde::{Deserialize, Serialize};

/// Something that happened to an alarm, before it is dressed as an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The id of its event.
    pub id: EventId,
    /// The id of the activation it belongs to; its own where it is the activation.
    pub activation: EventId,
    /// The level, of a limit.
    pub level: Option<LimitLevel>,
    /// 1 to 1000.
    pub severity: u16,
    /// When it happened, in plant time.
    pub time: Time,
    /// When the condition began.
    pub since: Time,
    /// The value that decided.
    pub value: Option<Value>,
    /// The limit in force.
    pub setting: Option<f64>,
    /// Why it ended, where it was an edit.
    pub reason: Option<String>,
    /// The samples it was made from.
    pub evidence: Evidence,
}

/// What a machine works with besides its settings.
pub struct Bench<'a> {
    /// What its ids are derived from.
    pub identity: &'a Identity,
    /// `<asset>/<signal>`.
    pub signal: &'a str,
    /// Where its changes go.
    pub out: &'a mut Vec<Change>,
}

/// Whether a timer may now end earlier than all that were running before.
pub type Armed = bool;

/// The state of a rule for an asset, in the shape of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum State {
    /// Of a limit.
    Limit(limit::State),
    /// Of a silence.
    Stale(stale::State),
}

/// Settings with the state they work on: never of different kinds.
#[derive(Debug, Clone)]
pub enum Machine {
    /// A limit.
    Limit(limit::Settings, limit::State),
    /// A silence.
    Stale(stale::Settings, stale::State),
}

impl Machine {
    /// A machine that has seen nothing.
    pub fn new(settings: &RuleSettings) -> Self {
        match settings {
            RuleSettings::Limit(s) => Self::Limit(limit::Settings::new(s), limit::State::default()),
            RuleSettings::Stale(s) => Self::Stale(stale::Settings::new(s), stale::State::default()),
        }
    }

    /// A machine that takes up this state; `None` when the state is of another kind.
    pub fn resume(settings: &RuleSettings, state: State) -> Option<Self> {
        match (settings, state) {
            (RuleSettings::Limit(s), State::Limit(state)) => Some(Self::Limit(limit::Settings::new(s), state)),
            (RuleSettings::Stale(s), State::Stale(state)) => Some(Self::Stale(stale::Settings::new(s), state)),
            (RuleSettings::Limit(_) | RuleSettings::Stale(_), _) => None,
        }
    }

    /// A copy of its state.
    pub fn state(&self) -> State {
        match self {
            Self::Limit(_, state) => State::Limit(state.clone()),
            Self::Stale(_, state) => State::Stale(state.clone()),
        }
    }

    /// The next sample of its signal. A late one is skipped by a limit; a silence is ended by it.
    #[inline]
    pub fn sample(&mut self, at: Position, sample: &Sample, late: bool, bench: &mut Bench) -> Armed {
        match self {
            Self::Limit(_, _) if late => false,
            Self::Limit(settings, state) => state.sample(settings, at, sample, bench),
            Self::Stale(settings, state) => state.sample(settings, at, sample, late, bench),
        }
    }

    /// The plant time at which it wants to be asked again.
    pub fn plant_deadline(&self) -> Option<Time> {
        match self {
            Self::Limit(settings, state) => state.deadline(settings),
            Self::Stale(..) => None,
        }
    }

    /// The receive time at which it wants to be asked again.
    pub fn utc_deadline(&self) -> Option<Time> {
        match self {
            Self::Limit(..) => None,
            Self::Stale(settings, state) => state.deadline(settings),
        }
    }

    /// Lets every timer fire whose deadline lies before these times.
    pub fn fire(&mut self, plant: Time, utc: Time, bench: &mut Bench) {
        match self {
            Self::Limit(settings, state) => state.fire(settings, plant, bench),
            Self::Stale(settings, state) => state.fire(settings, utc, bench),
        }
    }

    /// Ends an active alarm that these settings no longer hold; `now` is the present moment.
    pub fn after_edit(&mut self, at: Position, now: Time, reason: &str, bench: &mut Bench) {
        match self {
            Self::Limit(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::Stale(settings, state) => state.after_edit(settings, at, now, reason, bench),
        }
    }
}

impl State {
    /// Ends an active alarm whose rule is gone.
    pub fn removed(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        match self {
            Self::Limit(state) => state.end(at, reason, bench),
            Self::Stale(state) => state.end(at, reason, bench),
        }
    }
}
