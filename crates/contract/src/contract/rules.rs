//! Rules with everything resolved per asset.

mod counter;
mod state;
mod table;

pub use counter::{CountKind, CounterSettings, Every};
pub use state::{CyclePart, CycleSettings, ReasonSettings, STANDARD_STATES, StandardState, StateSettings, TimeClass};
pub use table::{TableForm, TableRow, TableSettings, TableTest, TableValue, TableWhat};

mod measures;
mod spc;
mod spectrum;

pub use measures::{RateSettings, WINDOW_PARTS_MAX, WindowFunction, WindowSettings};
pub use spc::{Learn, Lines, RunPattern, RunRule, SUBGROUP_MAX, SigmaFrom, SpcSettings};
pub use spectrum::{Band, Feature, SpectrumSettings, Waveform, WaveformFormat};

use andon_model::{AssetName, Name, SignalName, span::Span};
use std::{collections::BTreeMap, sync::Arc};

/// A rule with everything resolved per asset.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its class.
    pub class: Name,
    /// The signal it stands on: the clock of its source is the rule's clock.
    pub signal: SignalName,
    /// The assets it holds for, with the settings in force there; those that are equal are shared.
    pub assets: BTreeMap<AssetName, Arc<RuleSettings>>,
}

/// What a rule does for one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSettings {
    /// What it looks for.
    pub kind: RuleKind,
    /// The signals it reads beside the one it stands on, in the order in which its kind numbers them from 1.
    pub inputs: Vec<SignalName>,
    /// What else must hold.
    pub guard: Guard,
    /// The unit of the values in its events.
    pub unit: String,
    /// Hash of the resolved meaning: changes when, and only when, the rule means something else here.
    pub version: String,
}

impl RuleSettings {
    /// Settings of a kind that reads one signal and asks for nothing else.
    pub fn plain(kind: RuleKind, unit: &str, version: &str) -> Self {
        Self { kind, inputs: Vec::new(), guard: Guard::default(), unit: unit.to_owned(), version: version.to_owned() }
    }
}

/// What a rule looks for.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    /// Values beyond a limit.
    Limit(LimitSettings),
    /// A value too far from its setpoint, which is input 1.
    Deviation(LimitSettings),
    /// A value that changes too fast.
    RateOfChange(RateSettings),
    /// A number of a stretch of time beyond a limit.
    Window(WindowSettings),
    /// A silent source.
    Stale(StaleSettings),
    /// Patterns on a control chart.
    Spc(SpcSettings),
    /// A feature of a waveform beyond a limit.
    Spectrum(SpectrumSettings),
    /// The states of an asset.
    State(Arc<StateSettings>),
    /// Counters.
    Counter(Arc<CounterSettings>),
    /// Several signals that mean something together.
    Table(Arc<TableSettings>),
}

impl RuleKind {
    /// The word of the key `kind`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Limit(_) => "limit",
            Self::Deviation(_) => "deviation",
            Self::RateOfChange(_) => "rate-of-change",
            Self::Window(_) => "window",
            Self::Stale(_) => "stale",
            Self::Spc(_) => "spc",
            Self::Spectrum(_) => "spectrum",
            Self::State(_) => "state",
            Self::Counter(_) => "counter",
            Self::Table(_) => "table",
        }
    }
}

/// What must hold besides what a rule looks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guard {
    /// All must hold while a condition begins; where one does not, nothing begins.
    pub when: Vec<Condition>,
    /// While all hold (and there is one), an alarm is recorded and not raised.
    pub suppress: Vec<Condition>,
    /// What happens with context whose reading system is silent.
    pub when_stale: WhenStale,
    /// Silent for longer than this is stale; `None`: the default of what is read.
    pub max_age: Option<Span>,
    /// How bad an alarm is: the first line that matches counts; where none does, what its kind says.
    pub severities: Vec<SeverityLine>,
}

/// How bad an alarm is under conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct SeverityLine {
    /// The level it is for; `None`: every one.
    pub limit: Option<LimitLevel>,
    /// All must hold.
    pub when: Vec<Condition>,
    /// 1 to 1000.
    pub severity: u16,
    /// In words: `low`, `medium`, `high`, `urgent`.
    pub priority: Option<String>,
}

impl Guard {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.when.is_empty() && self.suppress.is_empty() && self.severities.is_empty()
    }

    /// The signals that its conditions read, each once, in the order of their first mention.
    pub fn signals(&self) -> Vec<SignalName> {
        let mut all: Vec<SignalName> = Vec::new();
        for condition in self.conditions() {
            if let What::Signal(signal) = &condition.what
                && !all.contains(signal)
            {
                all.push(signal.clone());
            }
        }
        all
    }

    /// Whether a condition reads the context.
    pub fn reads_context(&self) -> bool {
        self.conditions().any(|condition| matches!(condition.what, What::Context { .. }))
    }

    /// All its conditions.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let of_lines = self.severities.iter().flat_map(|line| &line.when);
        self.when.iter().chain(&self.suppress).chain(of_lines)
    }
}

/// What is done with context whose reading system is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// It counts, and the event says that it is stale.
    #[default]
    Use,
    /// The event waits so long for newer context, then it counts as it is.
    Wait(Span),
    /// It counts as unknown.
    Ignore,
}

/// One condition: something and a test of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub what: What,
    /// What must be true of it.
    pub test: Test,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The newest good value of a signal of the same asset.
    Signal(SignalName),
    /// A field of an object that is valid for the asset: `order.status`.
    Context {
        /// Which one: `order`, `batch`, `shift`, `maintenance`.
        name: String,
        /// The field of its data, by its path.
        field: Vec<String>,
    },
}

/// A test. A value that is not known passes none but `exists: false`.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Equal.
    Is(Word),
    /// Known and not equal.
    Not(Word),
    /// Equal to one of them.
    In(Vec<Word>),
    /// A number above this.
    Above(f64),
    /// A number below this.
    Below(f64),
    /// Known, or not known.
    Exists(bool),
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// A truth.
    Bool(bool),
    /// A number; names of states are resolved to theirs.
    Number(f64),
    /// A text.
    Text(String),
}

/// The four exclusive levels of a limit rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum LimitLevel {
    /// Above the highest limit.
    HighHigh,
    /// Above the high limit.
    High,
    /// Below the low limit.
    Low,
    /// Below the lowest limit.
    LowLow,
}

/// Four exclusive levels; names as in OPC UA Part 9.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSettings {
    /// The limits that are set, with their severities (1 to 1000).
    pub limits: BTreeMap<LimitLevel, Limit>,
    /// The return is delayed until the value is back by this much.
    pub deadband: f64,
    /// The condition must hold this long in plant time before the alarm is active.
    pub on_delay: Span,
    /// The value must be back this long before the alarm ends.
    pub off_delay: Span,
    /// An alarm that stays active is told again after this long; `None`: never.
    pub realarm: Option<Span>,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// In the unit of the signal.
    pub value: f64,
    /// 1 to 1000.
    pub severity: u16,
}

/// A stale rule for one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct StaleSettings {
    /// Without a sample for this long, by receive time, the alarm is active.
    pub after: Span,
    /// 1 to 1000.
    pub severity: u16,
}
