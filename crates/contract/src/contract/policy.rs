//! What a system can bear, and what is done when it fails: one policy for each system, which operations may narrow.

use super::{Operation, System};
use andon_model::span::Span;

/// When failed attempts are repeated: `first`, then longer by `factor`, never longer than `max`, until `within` is used
/// up. Once a call has failed for long, its pauses are those of an outage.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The first pause; default 1 s.
    pub first: Span,
    /// The longest pause; default 5 min.
    pub max: Span,
    /// How much longer each pause is; default 2.
    pub factor: f64,
    /// After this long the call is given up; default 24 h.
    pub within: Span,
    /// The second clock.
    pub outage: Outage,
}

/// The clock of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// From so long after the first attempt on; default 1 h.
    pub after: Span,
    /// The pauses then; default 15 min, or the longest pause of the first clock where that is longer.
    pub every: Span,
}

impl Retry {
    /// What holds where a system says nothing.
    pub const DEFAULT: Self = Self {
        first: Span::from_secs(1),
        max: Span::from_secs(300),
        factor: 2.0,
        within: Span::from_secs(86_400),
        outage: Outage::DEFAULT,
    };
}

impl Outage {
    /// What holds where a system says nothing.
    pub const DEFAULT: Self = Self { after: Span::from_secs(3_600), every: Span::from_secs(900) };
}

/// When calls to a system that fails are held back, and how it is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    /// Attempts of so long a time are looked at; default 1 min.
    pub window: Span,
    /// With fewer attempts in the window it never opens; default 5.
    pub calls: u32,
    /// So many of a hundred must have failed, above 0 to 100; default 50.
    pub failures: f64,
    /// How long it is open before the system is tried; twice as long each time it opens again; default 10 s.
    pub open: Span,
    /// The longest that it is open before the next try; default 5 min.
    pub max: Span,
    /// So many attempts try the system, and all must be answered for it to close; default 1.
    pub probes: u32,
}

impl Breaker {
    /// What holds where a system says nothing.
    pub const DEFAULT: Self = Self {
        window: Span::from_secs(60),
        calls: 5,
        failures: 50.0,
        open: Span::from_secs(10),
        max: Span::from_secs(300),
        probes: 1,
    };
}

/// What an operation narrows of the policy of its system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Narrow {
    /// An attempt takes at most this.
    pub timeout: Option<Span>,
    /// When its failed attempts are repeated.
    pub retry: Option<Retry>,
    /// A breaker of its own, beside that of the system: it holds back the calls of this operation only.
    pub breaker: Option<Breaker>,
}

impl System {
    /// How long an attempt at an operation may take.
    pub fn timeout_of(&self, operation: &Operation) -> Span {
        operation.narrow.timeout.unwrap_or(self.timeout)
    }

    /// When failed attempts at an operation are repeated.
    pub fn retry_of<'a>(&'a self, operation: &'a Operation) -> &'a Retry {
        operation.narrow.retry.as_ref().unwrap_or(&self.retry)
    }
}
