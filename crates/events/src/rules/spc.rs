//! Control charts: patterns of points that chance hardly makes, as Western Electric and Nelson listed them.
//!
//! - A point is a good sample, or the mean of so many good samples in a row that make a subgroup. A sample that is not
//!   good, late, or taken while the conditions of the rule do not hold is no point: it neither begins nor ends
//!   anything.
//! - Lines that are learned are in force from the point that completes the learning on, that point included. Until
//!   then the given ones are, where some are given; else nothing is judged.
//! - Every run rule has an alarm of its own: active from the point that completes the pattern, until the first point
//!   at which the newest points do not make it any more.
//! - What is kept are the points that the longest pattern looks at, 15 at most, with their samples.

mod learning;
mod runs;
mod why;

pub use learning::Learning;
pub use runs::{run, setting};

use super::{Alarm, Armed, Bench, Change, Condition, Fact, limit::good};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind, EventType},
};
use andon_contract::contract::{Learn, Lines, RunRule, SpcSettings};
use andon_model::{EventId, Position, Quantity, Sample, Time, Value};
use andon_store::rows::Evidence;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

/// Its states, of each run rule by itself once lines are in force.
pub const DIAGRAM: Diagram = Diagram {
    kind: "spc",
    begins: "Learning",
    steps: &[
        ("Learning", "Learning", "a good sample, too few so far"),
        ("Learning", "Normal", "lines are given, or enough samples are learned from (learned)"),
        ("Normal", "Active", "the newest points make the pattern (activated)"),
        ("Active", "Active", "the newest points still make it"),
        ("Active", "Normal", "the newest points do not make it, or an edit (returned)"),
        ("Normal", "Learning", "an edit of learn or subgroup"),
    ],
};

/// The settings of the contract.
#[derive(Debug, Clone)]
pub struct Settings {
    rules: Vec<(RunRule, u16)>,
    subgroup: usize,
    given: Option<Lines>,
    learn: Option<Learn>,
    /// Points that are kept: those of the longest pattern, and the one before the newest.
    keep: usize,
    unit: String,
}

impl Settings {
    /// From the contract.
    pub fn new(settings: &SpcSettings) -> Self {
        let longest = settings.rules.iter().map(|(rule, _)| rule.pattern().points()).max();
        Self {
            rules: settings.rules.clone(),
            subgroup: settings.subgroup.max(1),
            given: settings.given,
            learn: settings.learn,
            keep: longest.unwrap_or(0).max(2),
            unit: settings.unit.clone(),
        }
    }

    fn basis(&self) -> Basis {
        Basis { subgroup: self.subgroup, learn: self.learn }
    }
}

/// What points and learned lines belong to: of other settings they mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Basis {
    subgroup: usize,
    learn: Option<Learn>,
}

/// What a chart remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    basis: Basis,
    /// The newest points, the newest last.
    points: Vec<f64>,
    /// The samples they were made of, and behind them those of a subgroup that is not whole yet.
    samples: Vec<Raw>,
    /// What was learned from so far, while lines are learned.
    learning: Learning,
    learned: Option<Lines>,
    active: Vec<Active>,
}

/// An alarm of a run rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Active {
    rule: RunRule,
    severity: u16,
    activation: EventId,
    /// The time of the first sample of the pattern.
    since: Time,
    /// The line that was passed.
    setting: f64,
    /// The newest point.
    value: f64,
}

impl Active {
    fn change(&self, kind: ChangeKind, id: EventId, time: Time, evidence: Evidence) -> Change {
        Change {
            kind,
            id,
            story: self.activation,
            time,
            fact: Fact::Alarm(Alarm {
                condition: Condition::Spc,
                level: None,
                outcome: Some(self.rule.word().to_owned()),
                severity: self.severity,
                priority: None,
                since: self.since,
                value: Some(Value::F64(self.value)),
                setting: Some(self.setting),
                reason: None,
            }),
            evidence,
        }
    }
}

impl State {
    /// One that has seen nothing.
    pub fn new(set: &Settings) -> Self {
        Self {
            basis: set.basis(),
            points: Vec::new(),
            samples: Vec::new(),
            learning: Learning::default(),
            learned: None,
            active: Vec::new(),
        }
    }

    /// The lines in force.
    pub fn lines(&self, set: &Settings) -> Option<Lines> {
        self.learned.or(set.given)
    }

    /// The next sample of the signal that is not late.
    pub fn sample(&mut self, set: &Settings, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        if !bench.holds || good(sample).is_none() {
            return false;
        }
        self.samples.push(Raw::new(at, sample));
        if self.samples.len() < (self.points.len() + 1).saturating_mul(set.subgroup) {
            return false;
        }
        let Some(point) = mean(self.newest(set.subgroup)) else {
            // A sum beyond what f64 holds makes no point.
            self.samples.truncate(self.points.len().saturating_mul(set.subgroup));
            return false;
        };
        self.points.push(point);
        self.forget(set);
        self.learn(set, at, sample.time, bench);
        if let Some(lines) = self.lines(set) {
            self.judge(set, lines, point, at, sample.time, bench);
        }
        false
    }

    /// The samples of the newest points, so many samples in all.
    fn newest(&self, samples: usize) -> &[Raw] {
        self.samples.get(self.samples.len().saturating_sub(samples)..).unwrap_or_default()
    }

    fn learn(&mut self, set: &Settings, at: Position, time: Time, bench: &mut Bench) {
        let Some(learn) = set.learn.filter(|_| self.learned.is_none()) else { return };
        let samples = self.samples.iter().skip(self.samples.len().saturating_sub(set.subgroup));
        let numbers = samples.filter_map(|raw| raw.value.number());
        let Some((lines, count)) = self.learning.point(learn, numbers) else { return };
        self.learned = Some(lines);
        self.learning = Learning::default();
        let id = bench.identity.event_id(EventType::Condition, ChangeKind::Learned, "", Cause::Sample(at));
        let Some(evidence) = gathered(self.newest(1), bench.signal()) else { return };
        let mut fields = Map::new();
        fields.insert("condition".to_owned(), Condition::Spc.word().into());
        fields.insert("signal".to_owned(), bench.name(0).into());
        fields.insert("lines".to_owned(), told(lines, &set.unit));
        fields.insert("samples".to_owned(), count.into());
        bench.out.push(Change {
            kind: ChangeKind::Learned,
            id,
            story: id,
            time,
            fact: Fact::Other(EventType::Condition, fields),
            evidence,
        });
    }

    fn judge(&mut self, set: &Settings, lines: Lines, point: f64, at: Position, time: Time, bench: &mut Bench) {
        for (rule, severity) in &set.rules {
            let pattern = rule.pattern();
            let known = self.active.iter().position(|active| active.rule == *rule);
            match (known, run(pattern, lines, &self.points)) {
                (Some(known), Some(_)) => {
                    if let Some(active) = self.active.get_mut(known) {
                        active.value = point;
                    }
                }
                (Some(known), None) => {
                    let mut active = self.active.remove(known);
                    active.value = point;
                    let cause = Cause::Sample(at);
                    let id = bench.identity.event_id(EventType::Alarm, ChangeKind::Returned, rule.word(), cause);
                    let two = gathered(self.newest(set.subgroup.saturating_mul(2)), bench.signal());
                    let Some(evidence) = two else { continue };
                    bench.out.push(active.change(ChangeKind::Returned, id, time, evidence));
                }
                (None, Some(length)) => {
                    let cause = Cause::Sample(at);
                    let id = bench.identity.event_id(EventType::Alarm, ChangeKind::Activated, rule.word(), cause);
                    let run = self.newest(length.saturating_mul(set.subgroup));
                    let active = Active {
                        rule: *rule,
                        severity: *severity,
                        activation: id,
                        since: run.first().map_or(time, |raw| raw.time),
                        setting: setting(pattern, lines, point),
                        value: point,
                    };
                    let Some(evidence) = gathered(run, bench.signal()) else { continue };
                    bench.out.push(active.change(ChangeKind::Activated, id, time, evidence));
                    self.active.push(active);
                }
                (None, None) => {}
            }
        }
    }

    /// Takes up other settings: learns anew where it is to learn otherwise, and ends the alarms that do not hold.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        let same = self.basis.subgroup == set.subgroup;
        if self.basis != set.basis() {
            self.learned = None;
            self.learning = Learning::default();
            self.basis = set.basis();
        }
        let lines = self.lines(set).filter(|_| same);
        let mut ended = Vec::new();
        for mut active in std::mem::take(&mut self.active) {
            let pattern = active.rule.pattern();
            let severity = set.rules.iter().find(|(rule, _)| *rule == active.rule).map(|(_, severity)| *severity);
            match (severity, lines.filter(|lines| run(pattern, *lines, &self.points).is_some())) {
                (Some(severity), Some(lines)) => {
                    active.severity = severity;
                    active.setting = setting(pattern, lines, active.value);
                    self.active.push(active);
                }
                _ => ended.push(active),
            }
        }
        self.end_all(ended, at, reason, bench);
        if same {
            self.forget(set);
        } else {
            self.points.clear();
            self.samples.clear();
        }
    }

    /// Keeps no more points than the patterns look at.
    fn forget(&mut self, set: &Settings) {
        let gone = self.points.len().saturating_sub(set.keep);
        self.points.drain(..gone);
        self.samples.drain(..gone.saturating_mul(set.subgroup).min(self.samples.len()));
    }

    /// Ends its alarms because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        let ended = std::mem::take(&mut self.active);
        self.end_all(ended, at, reason, bench);
    }

    fn end_all(&self, ended: Vec<Active>, at: Position, reason: &str, bench: &mut Bench) {
        for active in ended {
            let cause = Cause::Edit(at);
            let id = bench.identity.event_id(EventType::Alarm, ChangeKind::Returned, active.rule.word(), cause);
            let time = self.samples.last().map_or(active.since, |raw| raw.time);
            // There is no alarm without samples.
            let Some(evidence) = gathered(self.newest(1), bench.signal()) else { continue };
            bench.out.push(active.change(ChangeKind::Returned, id, time, evidence).because(Some(reason)));
        }
    }
}

/// The mean of samples; `None` where it is no number.
fn mean(samples: &[Raw]) -> Option<f64> {
    let mut mean = 0.0;
    let mut count = 0.0;
    for value in samples.iter().filter_map(|raw| raw.value.number()) {
        count += 1.0;
        mean += (value - mean) / count;
    }
    (count > 0.0 && f64::is_finite(mean)).then_some(mean)
}

fn gathered(samples: &[Raw], signal: &str) -> Option<Evidence> {
    Some(Gather::of(samples)?.finish(signal))
}

fn told(lines: Lines, unit: &str) -> Json {
    let at = |times: f64| Quantity::from_f64(lines.centre + times * lines.sigma, unit);
    json!({ "UCL": at(3.0), "centre": at(0.0), "LCL": at(-3.0), "sigma": Quantity::from_f64(lines.sigma, unit) })
}
