//! What is done about exceptions by themselves, and what needs two people.

use andon_model::{Name, OutcomeClass, SiteName, span::Span};

/// `policies/exceptions.yaml`. Without it nothing is done by itself, and one person is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// Which are retried by themselves; the first that matches counts.
    pub replay: Vec<Replay>,
    /// On which edits two people must agree.
    pub agree: Vec<Agree>,
}

/// Exceptions about calls that are retried by themselves; what is `None` matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// At this system.
    pub system: Option<Name>,
    /// Of this capability.
    pub capability: Option<String>,
    /// At this site.
    pub site: Option<SiteName>,
    /// With one of these outcomes.
    pub outcomes: Vec<OutcomeClass>,
    /// When.
    pub when: ReplayWhen,
}

/// When exceptions are retried by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayWhen {
    /// Once the breaker of their system closes.
    BreakerCloses,
    /// So long after they failed last, so often; then they wait for a person.
    Every(Span, u32),
}

/// Edits on which two people must agree; what is `None` matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agree {
    /// Of exceptions about capabilities of this domain.
    pub domain: Option<String>,
    /// At this site.
    pub site: Option<SiteName>,
}

/// What is looked at of an exception about a call.
#[derive(Debug, Clone, Copy)]
pub struct Failing<'a> {
    /// The system.
    pub system: Option<&'a Name>,
    /// The capability.
    pub capability: Option<&'a str>,
    /// The site.
    pub site: Option<&'a SiteName>,
    /// The last outcome.
    pub outcome: Option<OutcomeClass>,
}

impl Exceptions {
    /// The shortest and the longest time after which something is retried by itself.
    pub const EVERY: (Span, Span) = (Span::from_secs(10), Span::from_secs(7 * 86_400));
    /// The most times.
    pub const TIMES_MAX: u32 = 100;
    /// The outcomes that are retried by themselves where a rule names none: the system was away, or full.
    pub const OUTCOMES: [OutcomeClass; 2] = [OutcomeClass::Limit, OutcomeClass::Transient];

    /// The rule by which an exception about a call is retried by itself.
    pub fn replay_of(&self, told: &Failing<'_>) -> Option<&Replay> {
        self.replay.iter().find(|rule| {
            rule.system.as_ref().is_none_or(|system| told.system == Some(system))
                && rule.capability.as_ref().is_none_or(|capability| told.capability == Some(capability))
                && rule.site.as_ref().is_none_or(|site| told.site == Some(site))
                && told.outcome.is_some_and(|outcome| rule.outcomes.contains(&outcome))
        })
    }

    /// Whether two people must agree on an edit.
    pub fn needs_two(&self, domain: Option<&str>, site: Option<&SiteName>) -> bool {
        self.agree.iter().any(|rule| {
            rule.domain.as_ref().is_none_or(|of| domain == Some(of))
                && rule.site.as_ref().is_none_or(|of| site == Some(of))
        })
    }
}
