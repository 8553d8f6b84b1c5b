//! Kinds of rules, one file each: a pure machine from samples and passed deadlines to changes.

pub mod counter;
pub mod deviation;
pub mod judge;
pub mod limit;
pub mod rate;
pub mod spc;
pub mod spectrum;
pub mod stale;
pub mod state;
pub mod table;
mod tagged;
pub mod window;

use crate::{
    diagram::Diagram,
    gate::Suppression,
    identity::{Cause, ChangeKind, EventType, Identity, level_word},
    why::{Finding, Look},
};
use andon_contract::contract::{LimitLevel, RuleKind};
use andon_model::{EventId, Position, Sample, Time, Value};
use andon_store::rows::Evidence;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// The states of all kinds, one for each page of `docs/rules`.
pub fn diagrams() -> Vec<Diagram> {
    vec![
        limit::DIAGRAM,
        deviation::DIAGRAM,
        rate::DIAGRAM,
        window::DIAGRAM,
        stale::DIAGRAM,
        spc::DIAGRAM,
        spectrum::DIAGRAM,
        crate::gate::DIAGRAM,
        state::DIAGRAM,
        counter::DIAGRAM,
        table::DIAGRAM,
    ]
}

/// Something that a machine found, before it is dressed as an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The id of its event.
    pub id: EventId,
    /// The id of the first event of its story, such as an alarm's activation; its own where it is the first.
    pub story: EventId,
    /// When it happened, in plant time.
    pub time: Time,
    /// What happened, by the type of event it becomes.
    pub fact: Fact,
    /// The samples it was made from.
    pub evidence: Evidence,
}

/// What happened, by the type of event it becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// To an alarm: `asset.alarm`.
    Alarm(Alarm),
    /// To an alarm that is not raised: `asset.alarm.suppressed`. Only the gate makes it.
    Suppressed(Alarm, Suppression),
    /// Anything else: the type, and the fields of its data beside `change`, `evidence` and `context`.
    Other(EventType, Map<String, Json>),
}

impl Change {
    /// The same with a reason, where it is an alarm's.
    #[must_use]
    pub fn because(mut self, reason: Option<&str>) -> Self {
        if let Fact::Alarm(alarm) = &mut self.fact {
            alarm.reason = reason.map(str::to_owned);
        }
        self
    }
}

impl Fact {
    /// The type of its event.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::Alarm(_) => EventType::Alarm,
            Self::Suppressed(..) => EventType::Suppressed,
            Self::Other(of, _) => *of,
        }
    }
}

/// An alarm after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// The kind of rule that found it, the word of `data.condition`.
    pub condition: Condition,
    /// The level, of limits.
    pub level: Option<LimitLevel>,
    /// What else tells alarms of one rule apart: an outcome of a table, a run rule of a control chart.
    pub outcome: Option<String>,
    /// 1 to 1000.
    pub severity: u16,
    /// In words, where the rule has a table that says it.
    pub priority: Option<String>,
    /// When the condition began.
    pub since: Time,
    /// The value that decided.
    pub value: Option<Value>,
    /// The limit in force.
    pub setting: Option<f64>,
    /// Why it ended, where it was not the value.
    pub reason: Option<String>,
}

/// The kinds of rules that make alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// A value beyond a limit.
    Limit,
    /// A value too far from its setpoint.
    Deviation,
    /// A value that changes too fast.
    RateOfChange,
    /// A number of a stretch of time beyond a limit.
    Window,
    /// A silence.
    Stale,
    /// A pattern on a control chart.
    Spc,
    /// A feature of a waveform beyond a limit.
    Spectrum,
    /// Several signals that mean something together.
    Table,
}

impl Condition {
    /// The word of `data.condition`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Deviation => "deviation",
            Self::RateOfChange => "rate-of-change",
            Self::Window => "window",
            Self::Stale => "stale",
            Self::Spc => "spc",
            Self::Spectrum => "spectrum",
            Self::Table => "table",
        }
    }
}

/// What a machine works with besides its settings.
pub struct Bench<'a> {
    /// What its ids are derived from.
    pub identity: &'a Identity,
    /// `<asset>/<signal>` of its inputs; the first is the one it stands on.
    pub signals: &'a [String],
    /// Whether the conditions of its rule hold: where they do not, nothing begins.
    pub holds: bool,
    /// Where its changes go.
    pub out: &'a mut Vec<Change>,
}

impl Bench<'_> {
    /// `<asset>/<signal>` of the signal it stands on.
    pub fn signal(&self) -> &str {
        self.signals.first().map_or("", String::as_str)
    }

    /// The name of the signal of an input, without the asset.
    pub fn name(&self, input: u8) -> &str {
        let signal = self.signals.get(usize::from(input)).map_or("", String::as_str);
        signal.split_once('/').map_or(signal, |(_, name)| name)
    }

    /// The id of a change of an alarm.
    pub fn alarm_id(&self, change: ChangeKind, level: Option<LimitLevel>, cause: Cause) -> EventId {
        self.identity.event_id(EventType::Alarm, change, level.map_or("", level_word), cause)
    }
}

/// Whether a timer may now end earlier than all that were running before.
pub type Armed = bool;

/// The same, of a machine that wanted to be asked at one time before and now wants to be at another.
fn is_sooner(before: Option<Time>, now: Option<Time>) -> Armed {
    now.is_some_and(|now| before.is_none_or(|before| now < before))
}

/// Lets a judge work, and says of the alarms it finds which kind of rule found them.
fn alarms_are<T>(condition: Condition, bench: &mut Bench, work: impl FnOnce(&mut Bench) -> T) -> T {
    let before = bench.out.len();
    let found = work(bench);
    for change in bench.out.iter_mut().skip(before) {
        if let Fact::Alarm(alarm) = &mut change.fact {
            alarm.condition = condition;
        }
    }
    found
}

/// The state of a rule for an asset, in the shape of its kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum State {
    /// Of a limit.
    Limit(limit::State),
    /// Of a deviation.
    Deviation(deviation::State),
    /// Of a rate of change.
    #[serde(rename = "rate-of-change")]
    RateOfChange(rate::State),
    /// Of a window.
    Window(window::State),
    /// Of a silence.
    Stale(stale::State),
    /// Of a control chart.
    Spc(spc::State),
    /// Of a spectrum.
    Spectrum(spectrum::State),
    /// Of states.
    State(state::State),
    /// Of counters.
    Counter(counter::State),
    /// Of a decision table.
    Table(table::State),
}

/// Settings with the state they work on: never of different kinds.
#[derive(Debug, Clone)]
pub enum Machine {
    /// A limit.
    Limit(limit::Settings, limit::State),
    /// A deviation.
    Deviation(Box<judge::Settings>, Box<deviation::State>),
    /// A rate of change.
    RateOfChange(Box<rate::Settings>, Box<rate::State>),
    /// A window.
    Window(Box<window::Settings>, Box<window::State>),
    /// A silence.
    Stale(stale::Settings, stale::State),
    /// A control chart.
    Spc(Box<spc::Settings>, Box<spc::State>),
    /// A spectrum.
    Spectrum(Box<spectrum::Settings>, Box<spectrum::State>),
    /// States.
    State(state::Settings, state::State),
    /// Counters.
    Counter(counter::Settings, counter::State),
    /// A decision table.
    Table(table::Settings, Box<table::State>),
}

impl Machine {
    /// A machine that has seen nothing.
    pub fn new(settings: &RuleKind) -> Self {
        match settings {
            RuleKind::Limit(s) => Self::Limit(limit::Settings::new(s), limit::State::default()),
            RuleKind::Deviation(s) => Self::Deviation(Box::new(judge::Settings::new(s)), Box::default()),
            RuleKind::RateOfChange(s) => {
                let settings = rate::Settings::new(s);
                let state = rate::State::new(&settings);
                Self::RateOfChange(Box::new(settings), Box::new(state))
            }
            RuleKind::Window(s) => {
                let settings = window::Settings::new(s);
                let state = window::State::new(&settings);
                Self::Window(Box::new(settings), Box::new(state))
            }
            RuleKind::Stale(s) => Self::Stale(stale::Settings::new(s), stale::State::default()),
            RuleKind::Spc(s) => {
                let settings = spc::Settings::new(s);
                let state = spc::State::new(&settings);
                Self::Spc(Box::new(settings), Box::new(state))
            }
            RuleKind::Spectrum(s) => Self::Spectrum(Box::new(spectrum::Settings::new(s)), Box::default()),
            RuleKind::State(s) => Self::State(Arc::clone(s), state::State::default()),
            RuleKind::Counter(s) => Self::Counter(Arc::clone(s), counter::State::default()),
            RuleKind::Table(s) => Self::Table(Arc::clone(s), Box::new(table::State::new(s))),
        }
    }

    /// A machine that takes up this state; `None` when the state is of another kind.
    pub fn resume(settings: &RuleKind, state: State) -> Option<Self> {
        match (settings, state) {
            (RuleKind::Limit(s), State::Limit(state)) => Some(Self::Limit(limit::Settings::new(s), state)),
            (RuleKind::Deviation(s), State::Deviation(state)) => {
                Some(Self::Deviation(Box::new(judge::Settings::new(s)), Box::new(state)))
            }
            (RuleKind::RateOfChange(s), State::RateOfChange(state)) => {
                let settings = rate::Settings::new(s);
                state.fits(&settings).then(|| Self::RateOfChange(Box::new(settings), Box::new(state)))
            }
            (RuleKind::Window(s), State::Window(state)) => {
                let settings = window::Settings::new(s);
                state.fits(&settings).then(|| Self::Window(Box::new(settings), Box::new(state)))
            }
            (RuleKind::Stale(s), State::Stale(state)) => Some(Self::Stale(stale::Settings::new(s), state)),
            (RuleKind::Spc(s), State::Spc(state)) => Some(Self::Spc(Box::new(spc::Settings::new(s)), Box::new(state))),
            (RuleKind::Spectrum(s), State::Spectrum(state)) => {
                Some(Self::Spectrum(Box::new(spectrum::Settings::new(s)), Box::new(state)))
            }
            (RuleKind::State(s), State::State(state)) => Some(Self::State(Arc::clone(s), state)),
            (RuleKind::Counter(s), State::Counter(state)) => Some(Self::Counter(Arc::clone(s), state)),
            (RuleKind::Table(s), State::Table(state)) => {
                state.fits(s).then(|| Self::Table(Arc::clone(s), Box::new(state)))
            }
            (_, _) => None,
        }
    }

    /// A copy of its state.
    pub fn state(&self) -> State {
        match self {
            Self::Limit(_, state) => State::Limit(state.clone()),
            Self::Deviation(_, state) => State::Deviation((**state).clone()),
            Self::RateOfChange(_, state) => State::RateOfChange((**state).clone()),
            Self::Window(_, state) => State::Window((**state).clone()),
            Self::Stale(_, state) => State::Stale(state.clone()),
            Self::Spc(_, state) => State::Spc((**state).clone()),
            Self::Spectrum(_, state) => State::Spectrum((**state).clone()),
            Self::State(_, state) => State::State(state.clone()),
            Self::Counter(_, state) => State::Counter(state.clone()),
            Self::Table(_, state) => State::Table((**state).clone()),
        }
    }

    /// The next sample of one of its inputs, 0 being the signal it stands on. A late one is skipped by a limit; a
    /// silence is ended by it, a window that is open takes it.
    #[inline]
    pub fn sample(&mut self, input: u8, at: Position, sample: &Sample, late: bool, bench: &mut Bench) -> Armed {
        match self {
            Self::Window(settings, state) => state.sample(settings, at, sample, late, bench),
            Self::Stale(settings, state) => state.sample(settings, at, sample, late, bench),
            _ if late => false,
            Self::Deviation(settings, state) => state.sample(settings, input, at, sample, bench),
            Self::RateOfChange(settings, state) => state.sample(settings, at, sample, bench),
            Self::Limit(settings, state) => state.sample(settings, at, sample, bench),
            Self::Spc(settings, state) => state.sample(settings, at, sample, bench),
            Self::Spectrum(settings, state) => state.sample(settings, at, sample, bench),
            Self::State(settings, state) => state.sample(settings, input, at, sample, bench),
            Self::Counter(settings, state) => {
                counter::telling_run_time(settings, bench, |bench| state.sample(settings, input, at, sample, bench))
            }
            Self::Table(settings, state) => state.sample(settings, input, at, sample, bench),
        }
    }

    /// The source of the signal it stands on is away; what it said last of the asset was of this time.
    pub fn away(&mut self, from: Time) {
        match self {
            Self::State(_, state) => state.away(from),
            Self::Counter(_, state) => state.away(),
            _ => {}
        }
    }

    /// Whether it waits for its source to be back.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::State(_, state) if state.is_away())
    }

    /// Its source is back, and says something of the asset at this time.
    pub fn back(&mut self, to: Time) {
        if let Self::State(_, state) = self {
            state.back(to);
        }
    }

    /// The conditions of its rule hold again, or do not any more (`bench.holds`); `by` is the place and the time of
    /// what changed them, where something may begin by it.
    pub fn guard(&mut self, by: Option<(Position, Time)>, bench: &mut Bench) -> Armed {
        match self {
            Self::Limit(settings, state) => state.guard(settings, by, bench),
            Self::Deviation(settings, state) => state.guard(settings, by, bench),
            Self::RateOfChange(_, state) => state.guard(bench),
            Self::Window(_, state) => state.guard(bench),
            Self::Spectrum(settings, state) => state.guard(settings, by, bench),
            Self::State(settings, state) => state.guard(settings, by, bench),
            Self::Table(settings, state) => state.guard(settings, by, bench),
            // A silence has no other conditions; steps are counted, and points of a chart taken, or not as they come.
            Self::Stale(..) | Self::Counter(..) | Self::Spc(..) => false,
        }
    }

    /// The plant time at which it wants to be asked again.
    pub fn plant_deadline(&self) -> Option<Time> {
        match self {
            Self::Limit(settings, state) => state.deadline(settings),
            Self::Deviation(settings, state) => state.deadline(settings),
            Self::RateOfChange(settings, state) => state.deadline(settings),
            Self::Window(settings, state) => state.deadline(settings),
            Self::State(settings, state) => state.deadline(settings),
            Self::Counter(_, state) => state.deadline(),
            Self::Table(settings, state) => state.deadline(settings),
            Self::Spectrum(settings, state) => state.deadline(settings),
            Self::Stale(..) | Self::Spc(..) => None,
        }
    }

    /// The receive time at which it wants to be asked again.
    pub fn utc_deadline(&self) -> Option<Time> {
        match self {
            Self::Stale(settings, state) => state.deadline(settings),
            // All others run by plant time.
            _ => None,
        }
    }

    /// Why it has not fired.
    pub(crate) fn why(&self, look: &Look) -> Vec<Finding> {
        match self {
            Self::Limit(settings, state) => state.why(settings, look, look.name(0), look.number()),
            Self::Deviation(settings, state) => state.why(settings, look),
            Self::RateOfChange(settings, state) => state.why(settings, look),
            Self::Window(settings, state) => state.why(settings, look),
            Self::Stale(settings, state) => state.why(settings, look),
            Self::Spc(settings, state) => state.why(settings, look),
            Self::Spectrum(settings, state) => state.why(settings, look),
            Self::State(settings, state) => state.why(settings, look),
            Self::Counter(settings, state) => state.why(settings, look),
            Self::Table(settings, state) => state.why(settings, look),
        }
    }

    /// What is in force beside its settings: learned lines, rows that hold; `signals` are those it reads.
    pub(crate) fn shown(&self, signals: &[String]) -> Map<String, Json> {
        match self {
            Self::Spc(settings, state) => state.shown(settings),
            Self::Table(settings, state) => state.shown(settings, signals),
            _ => Map::new(),
        }
    }

    /// Lets every timer fire whose deadline lies before these times.
    pub fn fire(&mut self, plant: Time, utc: Time, bench: &mut Bench) {
        match self {
            Self::Limit(settings, state) => state.fire(settings, plant, bench),
            Self::Deviation(settings, state) => state.fire(settings, plant, bench),
            Self::RateOfChange(settings, state) => state.fire(settings, plant, bench),
            Self::Window(settings, state) => state.fire(settings, plant, bench),
            Self::Stale(settings, state) => state.fire(settings, utc, bench),
            Self::Spc(..) => {}
            Self::Spectrum(settings, state) => state.fire(settings, plant, bench),
            Self::State(settings, state) => state.fire(settings, plant, bench),
            Self::Counter(settings, state) => {
                counter::telling_run_time(settings, bench, |bench| state.fire(plant, bench));
            }
            Self::Table(settings, state) => state.fire(settings, plant, bench),
        }
    }

    /// Reads where it lies in memory, and nothing of what it means.
    #[inline]
    pub(crate) fn look(&self) -> usize {
        match self {
            Self::Limit(settings, state) => usize::from(settings.look() > state.look()) + state.phase.look(),
            _ => 0,
        }
    }

    /// Where its clock stood at an edit: what was not told again by then counts from there.
    pub fn edited_at(&mut self, clock: Time) {
        match self {
            Self::Limit(settings, state) => state.phase.edited_at(settings, clock),
            Self::Deviation(settings, state) => state.phase.edited_at(settings, clock),
            Self::RateOfChange(settings, state) => state.phase.edited_at(&settings.levels, clock),
            Self::Window(settings, state) => state.phase.edited_at(&settings.levels, clock),
            Self::Spectrum(settings, state) => state.judge.phase.edited_at(&settings.limit, clock),
            // Nothing of them is told again.
            Self::Stale(..) | Self::Spc(..) | Self::State(..) | Self::Counter(..) | Self::Table(..) => {}
        }
    }

    /// Ends an active alarm that these settings no longer hold; `now` is the present moment, `clock` where the clock of
    /// its source stands.
    pub fn after_edit(&mut self, at: Position, (now, clock): (Time, Time), reason: &str, bench: &mut Bench) {
        match self {
            Self::Limit(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::Deviation(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::RateOfChange(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::Window(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::Stale(settings, state) => state.after_edit(settings, at, now, reason, bench),
            Self::Spc(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::Spectrum(settings, state) => state.after_edit(settings, at, reason, bench),
            Self::State(settings, state) => state.after_edit(settings, at, clock, reason, bench),
            Self::Table(settings, state) => state.after_edit(settings, at, reason, bench),
            // What is pending is told by the new settings, or by its timer.
            Self::Counter(..) => {}
        }
    }
}

impl State {
    /// Ends an active alarm whose rule is gone; `clock` is where the clock of its source stands.
    pub fn removed(&mut self, at: Position, clock: Time, reason: &str, bench: &mut Bench) {
        match self {
            Self::Limit(state) => state.end(at, reason, bench),
            Self::Deviation(state) => state.end(at, reason, bench),
            Self::RateOfChange(state) => state.end(at, reason, bench),
            Self::Window(state) => state.end(at, reason, bench),
            Self::Stale(state) => state.end(at, reason, bench),
            Self::Spc(state) => state.end(at, reason, bench),
            Self::Spectrum(state) => state.end(at, reason, bench),
            Self::State(state) => state.removed(at, clock, reason, bench),
            Self::Counter(state) => state.removed(at, bench),
            Self::Table(state) => state.end(at, reason, bench),
        }
    }
}
