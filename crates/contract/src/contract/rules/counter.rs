//! Settings of rules that follow counters.

use andon_model::span::Span;
use serde::{Deserialize, Serialize};

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountKind {
    /// Everything that was made.
    Produced,
    /// What was made well.
    Good,
    /// What was not.
    Reject,
}

impl CountKind {
    /// The word of `data.kind` and of the key `counts`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Produced => "produced",
            Self::Good => "good",
            Self::Reject => "reject",
        }
    }
}

/// How counters are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterSettings {
    /// What the counter of each input counts, by the number of the input.
    pub counts: Vec<CountKind>,
    /// The number of values of the counters: behind `rollover - 1` comes 0. At least 2. `None`: they never go round.
    pub rollover: Option<i64>,
    /// A step of more than this is none. At least 1. `None`: every step may be.
    pub max_step: Option<i64>,
    /// A step after a longer silence of the counter is one over a gap. `None`: only where the source was away.
    pub gap: Option<Span>,
    /// When counts are told.
    pub every: Every,
    /// The planned run time of one item. `None`: it is not told.
    pub run_time: Option<Span>,
}

/// When counts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// As soon as so many are together, and at the latest so long after the first of them.
    Count(i64, Span),
    /// So long after the first that is not told yet.
    Time(Span),
}
