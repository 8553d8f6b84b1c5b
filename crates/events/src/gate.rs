//! The gate of alarms: what a rule finds for an asset is raised, recorded without being raised, or not looked for.
//!
//! - It is closed while the alarms are *shelved* by a person, until a time or until one returns, or *suppressed* by the
//!   conditions of the rule. What begins then is recorded, and raised once the gate is open and it still lasts.
//! - What was raised before is ended by its return as ever, for whatever it opened must be closed.
//! - While the rule is *disabled* for the asset nothing is evaluated; what was active ends.
//!
//! It also knows which alarms stand, so that a list of them needs to know no kind of rule.

use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind, EventType, Identity},
    rules::{Alarm, Change, Condition, Fact},
};
use andon_contract::contract::{LimitLevel, What};
use andon_model::{
    EventId, Position, Quality, Sample, Time, Value,
    sample::{Control, ControlAct},
};
use andon_store::rows::Evidence;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

/// The states of an alarm and its gate. Closed is shelved or suppressed.
pub(crate) const DIAGRAM: Diagram = Diagram {
    kind: "shelving",
    begins: "Open",
    steps: &[
        ("Open", "Raised", "the rule finds an alarm (activated)"),
        ("Raised", "Open", "it ends (returned)"),
        ("Open", "Closed", "shelved, or suppressed by conditions"),
        ("Closed", "Open", "unshelved, its time is over, or conditions hold no more"),
        ("Closed", "Recorded", "the rule finds an alarm (suppressed activated)"),
        ("Recorded", "Closed", "it ends (suppressed returned)"),
        ("Recorded", "Raised", "the gate opens (activated, late)"),
        ("Recorded", "Open", "it ends and was shelved once (suppressed returned)"),
        ("Raised", "RaisedBefore", "shelved, or suppressed by conditions"),
        ("RaisedBefore", "Raised", "the gate opens"),
        ("RaisedBefore", "Closed", "it ends (returned)"),
        ("RaisedBefore", "Open", "it ends and was shelved once (returned)"),
        ("Open", "Disabled", "disabled"),
        ("Closed", "Disabled", "disabled"),
        ("Raised", "Disabled", "disabled (returned)"),
        ("RaisedBefore", "Disabled", "disabled (returned)"),
        ("Recorded", "Disabled", "disabled (suppressed returned)"),
        ("Disabled", "Open", "enabled"),
        ("Disabled", "Closed", "enabled, and still shelved"),
    ],
};

/// What stands between what a rule finds for an asset and those who are told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shelved: Option<Shelved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<By>,
    /// Whether all `suppress` conditions held when they were last asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) suppressed: bool,
    /// The alarms that stand, raised or not, in the order in which they began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) standing: Vec<Standing>,
    /// The newest sample of the rule's signal, while an alarm stands that was not raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Raw>,
}

/// Who did something, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) at: Time,
    /// The place of the mark.
    place: Position,
}

/// A shelving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shelved {
    pub(crate) by: By,
    /// It ends once this time has passed, UTC.
    pub(crate) until: Time,
    /// And with the next return.
    pub(crate) once: bool,
}

/// An alarm that began and has not returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    /// The event of its beginning, whether it was raised or only recorded.
    pub(crate) story: EventId,
    pub(crate) condition: Condition,
    pub(crate) level: Option<LimitLevel>,
    pub(crate) outcome: Option<String>,
    pub(crate) severity: u16,
    pub(crate) since: Time,
    setting: Option<f64>,
    value: Option<Raw>,
    /// Of its last change.
    time: Time,
    /// The newest sample of its last change.
    place: Position,
    /// Why it was not raised; `None`: it was.
    pub(crate) withheld: Option<Suppression>,
}

/// Why an alarm is recorded and not raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// By what.
    pub kind: SuppressionKind,
    /// The person who shelved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The person's words, or the conditions that hold.
    pub reason: String,
    /// When a shelving ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// By what an alarm is kept from being raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuppressionKind {
    /// By a person.
    Shelved,
    /// By the conditions of its rule.
    Suppressed,
}

/// Why a gate may be open now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Opening<'a> {
    /// A person opened it.
    Act(&'a Control, Position),
    /// The shelving's time is over.
    Time(&'a Shelved),
    /// The one alarm that was shelved has returned, at this time.
    Return(&'a Shelved, Time),
    /// The conditions were asked about this time, because of a sample.
    Sample(Position, Time),
    /// Likewise, because of a timer.
    Timer(Time),
}

impl Gate {
    /// Whether there is an alarm among the changes from `from` on.
    pub(crate) fn concerns(out: &[Change], from: usize) -> bool {
        out.iter().skip(from).any(|change| matches!(change.fact, Fact::Alarm(_)))
    }

    /// Whether what begins now is not raised.
    pub(crate) fn is_closed(&self) -> bool {
        self.suppressed || self.shelved.is_some()
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_closed() && self.disabled.is_none() && self.standing.is_empty()
    }

    /// What persons did, for a rule that is made anew; nothing stands any more.
    pub(crate) fn acts(self) -> Option<Box<Self>> {
        let acts = Self { shelved: self.shelved, disabled: self.disabled, ..Self::default() };
        (!acts.is_idle()).then(|| Box::new(acts))
    }

    /// Whether an alarm stands that was not raised.
    pub(crate) fn withholds(&self) -> bool {
        self.standing.iter().any(|standing| standing.withheld.is_some())
    }

    /// The next sample of the rule's signal that is not late.
    pub(crate) fn sample(&mut self, at: Position, sample: &Sample) {
        if self.withholds() {
            self.newest = Some(Raw::new(at, sample));
        }
    }

    /// Decides about the changes of alarms from `from` on: raised, recorded, or left out. `conditions` are the words
    /// of the rule's own; `signal` is the one it stands on.
    pub(crate) fn pass(
        &mut self,
        identity: &Identity,
        signal: &str,
        conditions: &dyn Fn() -> String,
        out: &mut Vec<Change>,
        from: usize,
    ) {
        let mut returned = None;
        let mut index = from;
        while let Some(change) = out.get_mut(index) {
            index += 1;
            let Fact::Alarm(alarm) = &change.fact else { continue };
            let found = self.standing.iter().position(|standing| standing.story == change.story);
            let suppression = match change.kind {
                ChangeKind::Activated => {
                    let withheld = self.is_closed().then(|| self.suppression(conditions));
                    if withheld.is_some() && !self.withholds() {
                        self.newest = newest_of(&change.evidence, signal);
                    }
                    self.standing.push(Standing::new(change, alarm, withheld.clone()));
                    withheld
                }
                ChangeKind::Realarmed => {
                    let raised = found.and_then(|found| self.standing.get(found)?.withheld.as_ref()).is_none();
                    if !raised || self.is_closed() {
                        index -= 1;
                        out.remove(index);
                    }
                    continue;
                }
                ChangeKind::Returned => {
                    returned = Some((change.id, change.time));
                    let withheld = found.and_then(|found| self.standing.remove(found).withheld);
                    withheld.map(|was| if self.is_closed() { self.suppression(conditions) } else { was })
                }
                _ => {
                    let closed = self.is_closed().then(|| self.suppression(conditions));
                    let now = Standing::new(change, alarm, None);
                    let withheld = if let Some(standing) = found.and_then(|found| self.standing.get_mut(found)) {
                        *standing = Standing { withheld: standing.withheld.take(), ..now };
                        standing.withheld.clone()
                    } else {
                        // It began before gates were known, and was raised.
                        self.standing.push(now);
                        None
                    };
                    closed.or(withheld)
                }
            };
            if let Some(suppression) = suppression {
                change.fact = Fact::Suppressed(alarm.clone(), suppression);
            }
        }
        let Some((id, time)) = returned else { return };
        if let Some(shelved) = self.shelved.take_if(|shelved| shelved.once) {
            out.push(shelved.ended(identity, "return", time, &id.to_string(), Cause::Mark(shelved.by.place)));
            self.settle(identity, signal, Opening::Return(&shelved, time), out);
        }
    }

    /// What keeps alarms from being raised now.
    fn suppression(&self, conditions: &dyn Fn() -> String) -> Suppression {
        match &self.shelved {
            Some(shelved) => Suppression {
                kind: SuppressionKind::Shelved,
                by: Some(shelved.by.actor.clone()),
                reason: shelved.by.reason.clone(),
                until: Some(shelved.until),
            },
            None => Suppression { kind: SuppressionKind::Suppressed, by: None, reason: conditions(), until: None },
        }
    }

    /// Raises what stands and was not raised, if the gate is open.
    pub(crate) fn settle(&mut self, identity: &Identity, signal: &str, opening: Opening, out: &mut Vec<Change>) {
        if self.is_closed() || !self.withholds() {
            return;
        }
        let newest = self.newest.take();
        for standing in &mut self.standing {
            let Some(withheld) = standing.withheld.take() else { continue };
            let (time, cause) = opening.moment(standing);
            let mut change = standing.raised(time, identity, cause, newest.as_ref(), signal);
            change = change.because(Some(&format!("raised late: {}, and {}", withheld.words(), opening.words())));
            standing.time = change.time;
            out.push(change);
        }
    }

    /// Ends a shelving whose time was over before this time, UTC.
    pub(crate) fn expire(&mut self, identity: &Identity, signal: &str, utc: Time, out: &mut Vec<Change>) {
        if let Some(shelved) = self.shelved.take_if(|shelved| shelved.until < utc) {
            let cause = Cause::Timer { start: shelved.by.place, deadline: shelved.until };
            out.push(shelved.ended(identity, "time", shelved.until, "", cause));
            self.settle(identity, signal, Opening::Time(&shelved), out);
        }
    }

    /// When a shelving ends, UTC.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.shelved.as_ref().map(|shelved| shelved.until)
    }

    /// Takes in what a person did, without the rule's machine: it is told first, then what comes of it.
    pub(crate) fn act(&mut self, identity: &Identity, at: Position, done: &Control, out: &mut Vec<Change>) {
        let by = By { actor: done.actor.clone(), reason: done.reason.clone(), at: done.at, place: at };
        let mut fields = by.fields(identity, "person", &done.reason);
        let kind = match done.act {
            ControlAct::Shelve { until, once } => {
                fields.insert("until".to_owned(), json!(until));
                fields.insert("once".to_owned(), once.into());
                self.shelved = Some(Shelved { by, until, once });
                ChangeKind::Shelved
            }
            ControlAct::Unshelve => {
                self.shelved = None;
                ChangeKind::Unshelved
            }
            ControlAct::Disable => {
                self.disabled = Some(by);
                ChangeKind::Disabled
            }
            ControlAct::Enable => {
                self.disabled = None;
                ChangeKind::Enabled
            }
        };
        out.push(told(identity, kind, done.at, "", Cause::Mark(at), fields));
    }

    /// Tells that what persons did is forgotten, because their rule is gone.
    pub(crate) fn forget(&mut self, identity: &Identity, at: Position, now: Time, reason: &str, out: &mut Vec<Change>) {
        let shelved = self.shelved.take().map(|shelved| (ChangeKind::Unshelved, shelved.by));
        let disabled = self.disabled.take().map(|by| (ChangeKind::Enabled, by));
        for (kind, by) in shelved.into_iter().chain(disabled) {
            out.push(told(identity, kind, now, "", Cause::Edit(at), by.fields(identity, "rule", reason)));
        }
    }
}

impl By {
    fn fields(&self, identity: &Identity, by: &str, reason: &str) -> Map<String, Json> {
        let mut fields = Map::new();
        fields.insert("rule".to_owned(), identity.rule.as_str().into());
        fields.insert("by".to_owned(), by.into());
        fields.insert("actor".to_owned(), self.actor.as_str().into());
        fields.insert("reason".to_owned(), reason.into());
        fields
    }
}

impl Shelved {
    fn ended(&self, identity: &Identity, by: &str, time: Time, apart: &str, cause: Cause) -> Change {
        let mut fields = self.by.fields(identity, by, &self.by.reason);
        fields.insert("until".to_owned(), json!(self.until));
        fields.insert("once".to_owned(), self.once.into());
        told(identity, ChangeKind::Unshelved, time, apart, cause, fields)
    }
}

/// That something was done to the alarms of a rule for an asset.
fn told(
    identity: &Identity,
    kind: ChangeKind,
    time: Time,
    apart: &str,
    cause: Cause,
    fields: Map<String, Json>,
) -> Change {
    let id = identity.event_id(EventType::Control, kind, apart, cause);
    let (Cause::Mark(place) | Cause::Sample(place) | Cause::Timer { start: place, .. } | Cause::Edit(place)) = cause;
    let fact = Fact::Other(EventType::Control, fields);
    Change { kind, id, story: id, time, fact, evidence: nothing(place) }
}

/// Evidence without samples: the place of the mark.
fn nothing(at: Position) -> Evidence {
    Evidence { from: at, to: at, count: 0, hash: "0".repeat(64), samples: Vec::new(), saw: Json::Null }
}

/// The newest sample of a signal in an evidence.
fn newest_of(evidence: &Evidence, signal: &str) -> Option<Raw> {
    let last = evidence.samples.iter().rev().find(|sample| sample.signal == signal)?;
    let value = match &last.value {
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map(Value::F64), |whole| Some(Value::I64(whole)))?,
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    };
    let (time, received) = (last.time, last.received);
    Some(Raw { position: last.position, time, received, quality: Quality(last.quality), value, input: 0 })
}

impl Standing {
    fn new(change: &Change, alarm: &Alarm, withheld: Option<Suppression>) -> Self {
        let (time, place) = (change.time, change.evidence.to);
        let raw = |value: &Value| {
            let value = value.clone();
            Raw { position: place, time, received: time, quality: Quality::GOOD, value, input: 0 }
        };
        Self {
            story: change.story,
            condition: alarm.condition,
            level: alarm.level,
            outcome: alarm.outcome.clone(),
            severity: alarm.severity,
            since: alarm.since,
            setting: alarm.setting.filter(|setting| setting.is_finite()),
            value: alarm.value.as_ref().map(raw),
            time,
            place,
            withheld,
        }
    }

    /// The event that raises it now.
    fn raised(&self, time: Time, identity: &Identity, cause: Cause, newest: Option<&Raw>, signal: &str) -> Change {
        let alarm = Alarm {
            condition: self.condition,
            level: self.level,
            outcome: self.outcome.clone(),
            severity: self.severity,
            priority: None,
            since: self.since,
            value: self.value.as_ref().map(|raw| raw.value.clone()),
            setting: self.setting,
            reason: None,
        };
        Change {
            kind: ChangeKind::Activated,
            // The story tells apart what one opening raises.
            id: identity.event_id(EventType::Alarm, ChangeKind::Activated, &self.story.to_string(), cause),
            story: self.story,
            time: time.max(self.time),
            fact: Fact::Alarm(alarm),
            evidence: newest.map_or_else(|| nothing(self.place), |raw| Gather::from(raw.clone()).finish(signal)),
        }
    }
}

impl Suppression {
    fn words(&self) -> String {
        match (self.kind, &self.by) {
            (SuppressionKind::Shelved, Some(by)) => format!("it was shelved by {by} ({})", self.reason),
            _ => format!("it was suppressed by conditions ({})", self.reason),
        }
    }
}

impl Opening<'_> {
    /// When, and by what the event that raises an alarm is told from others.
    fn moment(self, standing: &Standing) -> (Time, Cause) {
        match self {
            Self::Act(done, at) => (done.at, Cause::Mark(at)),
            Self::Time(shelved) => (shelved.until, Cause::Timer { start: shelved.by.place, deadline: shelved.until }),
            Self::Return(shelved, time) => (time, Cause::Timer { start: shelved.by.place, deadline: time }),
            Self::Sample(at, time) => (time, Cause::Sample(at)),
            Self::Timer(deadline) => (deadline, Cause::Timer { start: standing.place, deadline }),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Act(done, _) => format!("{} ended that ({})", done.actor, done.reason),
            Self::Time(_) => "the time of that is over".to_owned(),
            Self::Return(..) => "the one alarm it was for has returned".to_owned(),
            Self::Sample(..) | Self::Timer(_) => "they hold no more".to_owned(),
        }
    }
}

/// What conditions look at, for a person.
pub(crate) fn words(conditions: &[andon_contract::contract::Condition]) -> String {
    let word = |condition: &andon_contract::contract::Condition| match &condition.what {
        What::Signal(signal) => signal.to_string(),
        What::Context { name, field } => format!("{name}.{}", field.join(".")),
    };
    conditions.iter().map(word).collect::<Vec<_>>().join(", ")
}
