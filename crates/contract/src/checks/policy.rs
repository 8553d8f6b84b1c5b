//! The policy of a system: a retry that ends, two clocks of which the second is the slower, a breaker that can open and
//! close; and operations that narrow it and never widen it.

use crate::{
    codes,
    contract::{Breaker, Narrow, Outage, Retry},
    files::{
        policy::{BreakerFile, OffWord, RetryFile},
        systems::{OperationFile, SystemFile},
        words::Duration,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, Raw, read},
};
use andon_model::span::Span;
use std::fmt;

/// How long an attempt may take unless told.
const TIMEOUT: Span = Span::from_secs(30);
/// The shortest first pause, and the shortest time that a breaker is open.
const PAUSE_MIN: Span = Span::from_millis(10);
/// The shortest and the longest window of a breaker.
const WINDOW: (Span, Span) = (Span::from_secs(1), Span::from_secs(3_600));
/// The most attempts that a breaker may wait for before it opens.
const CALLS_MAX: u32 = 10_000;
/// The most attempts that try a system.
const PROBES_MAX: u32 = 100;

/// What a system does when attempts fail.
pub(crate) struct Policy {
    pub(crate) timeout: Span,
    pub(crate) retry: Retry,
    pub(crate) breaker: Option<Breaker>,
}

/// The policy of a system.
pub(crate) fn policy(project: &Project, file: &SystemFile) -> Policy {
    Policy {
        timeout: timeout(project, file.timeout.as_ref()).unwrap_or(TIMEOUT),
        retry: retry(project, file.retry.as_ref(), &Retry::DEFAULT),
        breaker: file.breaker.map_or(Some(Breaker::DEFAULT), |raw| breaker(project, raw, &Breaker::DEFAULT)),
    }
}

/// What an operation narrows of it.
pub(crate) fn narrow(project: &Project, file: &OperationFile, policy: &Policy) -> Narrow {
    let wider = |spot: Spot, what: &str, own: &dyn fmt::Display, of_system: &dyn fmt::Display, expected: &str| {
        let message = format!("{what} of {own} is more than its system allows, which says {of_system}");
        let finding = Finding::error(codes::WIDER, spot, message).expected(expected);
        project.push(finding.help("an operation narrows what its system says; widen it there, or leave it out here"));
    };
    let own_timeout = timeout(project, file.timeout.as_ref());
    if let (Some(own), Some(at)) = (own_timeout, &file.timeout)
        && own > policy.timeout
    {
        wider(at.spot, "a timeout", &own, &policy.timeout, "a shorter time");
    }
    let own_retry = file.retry.as_ref().map(|of| retry(project, Some(of), &policy.retry));
    if let (Some(own), Some(of)) = (&own_retry, &file.retry) {
        if let Some(at) = of.within.as_ref().filter(|_| own.within > policy.retry.within) {
            wider(at.spot, "a time for repeats", &own.within, &policy.retry.within, "a shorter `within`");
        }
        if let Some(at) = of.first.as_ref().filter(|_| own.first < policy.retry.first) {
            let message = format!(
                "a first pause of {} is more haste than its system allows, which says {}",
                own.first, policy.retry.first
            );
            let finding = Finding::error(codes::WIDER, at.spot, message).expected("a longer pause");
            project.push(finding.help("an operation narrows what its system says; change it there, or leave it out"));
        }
    }
    let own_breaker = file.breaker.and_then(|raw| {
        let own = breaker(project, raw, &policy.breaker.unwrap_or(Breaker::DEFAULT));
        if own.is_none() && is_word(project, raw) {
            let message = "an operation without `breaker` has none of its own, and that of its system stays";
            let finding = Finding::error(codes::WIDER, raw.spot, message);
            project.push(finding.expected("the settings of a breaker").help("write `breaker: off` at the system"));
        }
        own
    });
    Narrow { timeout: own_timeout, retry: own_retry, breaker: own_breaker }
}

fn timeout(project: &Project, at: Option<&At<Duration>>) -> Option<Span> {
    let at = at?;
    if at.0 <= Span::ZERO {
        let finding = Finding::error(codes::RETRY, at.spot, "an attempt of no time never succeeds");
        project.push(finding.expected("a duration longer than 0 s").help("correct the duration"));
    }
    Some(at.0)
}

fn span(at: Option<&At<Duration>>, default: Span) -> Span {
    at.map_or(default, |at| at.0)
}

fn retry(project: &Project, file: Option<&RetryFile>, default: &Retry) -> Retry {
    let Some(file) = file else { return default.clone() };
    let max = span(file.max.as_ref(), default.max);
    let of_outage = file.outage.as_ref();
    let retry = Retry {
        first: span(file.first.as_ref(), default.first),
        max,
        factor: file.factor.as_ref().map_or(default.factor, |factor| factor.value),
        within: span(file.within.as_ref(), default.within),
        outage: Outage {
            after: span(of_outage.and_then(|of| of.after.as_ref()), default.outage.after),
            every: span(of_outage.and_then(|of| of.every.as_ref()), default.outage.every.max(max)),
        },
    };
    let refuse = |spot: Option<Spot>, message: String, expected: &str| {
        let Some(spot) = spot else { return };
        let finding = Finding::error(codes::RETRY, spot, message).expected(expected);
        project.push(finding.help("an endless or breathless retry hurts the system it waits for"));
    };
    let (first, longest) = (file.first.as_ref().map(|s| s.spot), file.max.as_ref().map(|s| s.spot));
    if retry.first < PAUSE_MIN {
        refuse(first, format!("a first pause of {} is none", retry.first), "at least 10 ms");
    }
    if retry.max < retry.first {
        let message = format!("the longest pause ({}) is shorter than the first ({})", retry.max, retry.first);
        refuse(longest.or(first), message, "`max` not shorter than `first`");
    }
    if !(1.0..=100.0).contains(&retry.factor) {
        let spot = file.factor.as_ref().map(|factor| factor.spot);
        refuse(spot, format!("pauses grow by a factor of {}", retry.factor), "1 to 100");
    }
    if retry.within < retry.first {
        let spot = file.within.as_ref().map(|within| within.spot).or(first);
        refuse(spot, format!("after {} nothing has been repeated yet", retry.within), "`within` longer than `first`");
    }
    if let Some(of) = of_outage {
        outage(project, of.spot, &retry);
    }
    retry
}

fn outage(project: &Project, spot: Spot, retry: &Retry) {
    let Outage { after, every } = retry.outage;
    let refuse = |message: String, expected: &str, help: &str| {
        project.push(Finding::error(codes::OUTAGE, spot, message).expected(expected).help(help));
    };
    if every < retry.max {
        let message = format!("in an outage a call would be repeated sooner ({every}) than before it ({})", retry.max);
        refuse(message, "`every` not shorter than `max`", "the clock of an outage is the slower one");
    }
    if after >= retry.within {
        let message =
            format!("after {} the call is given up, so that an outage after {after} never begins", retry.within);
        refuse(message, "`after` shorter than `within`", "let it begin sooner, or leave it out");
    }
}

fn is_word(project: &Project, raw: Raw) -> bool {
    project.findings.tree(raw.spot.file).is_some_and(|tree| tree.scalar(raw.spot.node).is_some())
}

/// `None`: off, or not readable, which is told.
fn breaker(project: &Project, raw: Raw, default: &Breaker) -> Option<Breaker> {
    if is_word(project, raw) {
        let _off: OffWord = read(&project.findings, raw.spot)?;
        return None;
    }
    let file: BreakerFile = read(&project.findings, raw.spot)?;
    let open = span(file.open.as_ref(), default.open);
    let breaker = Breaker {
        window: span(file.window.as_ref(), default.window),
        calls: file.calls.as_ref().map_or(default.calls, |calls| calls.value),
        failures: file.failures.as_ref().map_or(default.failures, |failures| failures.0),
        open,
        max: span(file.max.as_ref(), default.max.max(open)),
        probes: file.probes.as_ref().map_or(default.probes, |probes| probes.value),
    };
    let refuse = |spot: Option<Spot>, message: String, expected: &str, help: &str| {
        let finding = Finding::error(codes::BREAKER, spot.unwrap_or(raw.spot), message);
        project.push(finding.expected(expected).help(help));
    };
    if !(WINDOW.0..=WINDOW.1).contains(&breaker.window) {
        let spot = file.window.as_ref().map(|at| at.spot);
        let message = format!("a window of {} says nothing about how the system is now", breaker.window);
        refuse(spot, message, "1 s to 1 h", "the default of 1 min fits most systems");
    }
    if !(1..=CALLS_MAX).contains(&breaker.calls) {
        let spot = file.calls.as_ref().map(|at| at.spot);
        let message = format!("it would open by the word of {} attempts", breaker.calls);
        refuse(spot, message, "1 to 10000", "a small number opens soon, a large one never where little is called");
    }
    if breaker.open < PAUSE_MIN {
        let spot = file.open.as_ref().map(|at| at.spot);
        refuse(spot, format!("it would be open for {}", breaker.open), "at least 10 ms", "the system needs a rest");
    }
    if breaker.max < breaker.open {
        let spot = file.max.as_ref().map(|at| at.spot);
        let message = format!("at most {} is shorter than the first {}", breaker.max, breaker.open);
        refuse(spot, message, "`max` not shorter than `open`", "correct one of them");
    }
    if !(1..=PROBES_MAX).contains(&breaker.probes) {
        let spot = file.probes.as_ref().map(|at| at.spot);
        let message = format!("{} attempts would try the system", breaker.probes);
        refuse(spot, message, "1 to 100", "it is closed by attempts that are answered; 1 is enough for most systems");
    }
    Some(breaker)
}
