//! Silence: no sample of a signal for too long, by receive time.
//!
//! - Every live sample that is not bad is heard, a late one too: it was received. Retained messages
//!   are history and bad ones never delay a condition; neither is heard.
//! - The alarm is active when more than the limit has passed since the last was heard, by UTC:
//!   through disconnection and restart. Its event's time is the newest sample's time plus the limit.
//! - The next sample that is heard ends it. A signal that was never heard is never stale.

mod why;

use super::{Alarm, Armed, Bench, Change, Condition, Fact};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind},
};
use andon_contract::contract::StaleSettings;
use andon_model::{EventId, Position, Sample, Time, sample::Origin, span::Span};
use andon_store::rows::Evidence;
use serde::{Deserialize, Serialize};

/// Its states.
pub const DIAGRAM: Diagram = Diagram {
    kind: "stale",
    begins: "Unheard",
    steps: &[
        ("Unheard", "Heard", "the first live sample that is not bad"),
        ("Heard", "Heard", "a live sample that is not bad"),
        ("Heard", "Active", "the time of after has passed since it was received (activated)"),
        ("Active", "Heard", "a live sample that is not bad, or an edit (returned)"),
    ],
};

/// The settings of the contract.
#[derive(Debug, Clone)]
pub struct Settings {
    after: Span,
    severity: u16,
}

impl Settings {
    /// From the contract.
    pub fn new(settings: &StaleSettings) -> Self {
        Self { after: settings.after, severity: settings.severity }
    }
}

/// What a silence remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    heard: Option<Heard>,
    active: Option<Active>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Heard {
    /// The last sample that was heard, in the order of the log.
    last: Raw,
    /// The newest time of all that were heard.
    newest: Time,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Active {
    activation: EventId,
    severity: u16,
    since: Time,
    /// The time of the activation.
    time: Time,
}

impl Active {
    fn change(&self, kind: ChangeKind, id: EventId, time: Time, evidence: Evidence) -> Change {
        Change {
            kind,
            id,
            story: self.activation,
            time,
            fact: Fact::Alarm(Alarm {
                condition: Condition::Stale,
                level: None,
                outcome: None,
                severity: self.severity,
                priority: None,
                since: self.since,
                value: None,
                setting: None,
                reason: None,
            }),
            evidence,
        }
    }
}

impl State {
    /// The next sample of the signal.
    #[inline]
    pub fn sample(&mut self, _set: &Settings, at: Position, sample: &Sample, late: bool, bench: &mut Bench) -> Armed {
        let live = matches!(sample.origin, Origin::Live | Origin::Ahead(_));
        if !live || sample.quality.is_bad() {
            return false;
        }
        let raw = Raw::new(at, sample);
        if let Some(active) = self.active.take() {
            let id = bench.alarm_id(ChangeKind::Returned, None, Cause::Sample(at));
            let evidence = match &self.heard {
                Some(heard) => {
                    let mut gather = Gather::from(heard.last.clone());
                    gather.push(raw.clone());
                    gather.finish(bench.signal())
                }
                None => Gather::from(raw.clone()).finish(bench.signal()),
            };
            bench.out.push(active.change(ChangeKind::Returned, id, sample.time, evidence));
            self.hear(raw, late);
            return true;
        }
        // Where the clock was set back its time comes earlier than it was to come.
        let sooner = self.heard.as_ref().is_none_or(|heard| sample.received < heard.last.received);
        self.hear(raw, late);
        sooner
    }

    fn hear(&mut self, raw: Raw, late: bool) {
        let newest = match &self.heard {
            Some(heard) if late => heard.newest,
            Some(heard) => heard.newest.max(raw.time),
            None => raw.time,
        };
        self.heard = Some(Heard { last: raw, newest });
    }

    /// The receive time at which the silence is too long.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        match (&self.active, &self.heard) {
            (None, Some(heard)) => Some(heard.last.received.plus(set.after)),
            _ => None,
        }
    }

    /// Lets the timer fire when its deadline lies before this receive time.
    pub fn fire(&mut self, set: &Settings, utc: Time, bench: &mut Bench) {
        let Some(deadline) = self.deadline(set).filter(|deadline| *deadline < utc) else { return };
        let Some(heard) = &self.heard else { return };
        let cause = Cause::Timer { start: heard.last.position, deadline };
        let id = bench.alarm_id(ChangeKind::Activated, None, cause);
        let time = heard.newest.plus(set.after);
        let active = Active { activation: id, severity: set.severity, since: heard.newest, time };
        let evidence = Gather::from(heard.last.clone()).finish(bench.signal());
        bench.out.push(active.change(ChangeKind::Activated, id, time, evidence));
        self.active = Some(active);
    }

    /// Ends an active alarm when the silence is not too long under these settings.
    pub fn after_edit(&mut self, set: &Settings, at: Position, now: Time, reason: &str, bench: &mut Bench) {
        let holds = self.heard.as_ref().is_some_and(|heard| heard.last.received.plus(set.after) < now);
        if !holds {
            self.end(at, reason, bench);
        }
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        let (Some(active), Some(heard)) = (self.active.take(), &self.heard) else { return };
        let id = bench.alarm_id(ChangeKind::Returned, None, Cause::Edit(at));
        let evidence = Gather::from(heard.last.clone()).finish(bench.signal());
        bench.out.push(active.change(ChangeKind::Returned, id, active.time, evidence).because(Some(reason)));
    }
}
