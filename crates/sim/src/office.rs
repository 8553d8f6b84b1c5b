//! The office: systems of record that lose answers, commit late, refuse for a while, and remember every effect.

use crate::chance::Chance;
use andon_model::{
    CallId, Outcome, OutcomeClass, Reference, Time,
    call::{CallRequest, Prepare, Prepared, Step},
    span::Span,
};
use andon_workflows::Ready;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// An effect comes at most this long after its request; the `settle` of the project is longer.
const LATE: Span = Span::from_millis(1_500);

/// Says requests as they are: what is asked stands in the request itself.
#[derive(Debug, Default)]
pub struct Dialect;

impl Prepare for Dialect {
    fn prepare(&self, request: &CallRequest) -> Result<Prepared, Outcome> {
        let method = if request.step == Step::Search { "GET" } else { "POST" };
        Ok(Prepared {
            method: method.to_owned(),
            url: format!("http://{}.example/{}", request.system, request.operation),
            headers: BTreeMap::new(),
            body: request.key.reference().to_string(),
        })
    }
}

/// Something a system of record did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// By whom.
    pub system: String,
    /// When.
    pub at: Time,
    /// The event the request names.
    pub event: String,
}

/// An answer on its way.
#[derive(Debug, Clone)]
struct Answer {
    due: Time,
    call: CallId,
    attempt: u32,
    outcome: Outcome,
}

/// All systems of record.
#[derive(Debug, Default)]
pub struct Office {
    effects: BTreeMap<Reference, Vec<Effect>>,
    /// Effects that come later: when, whose.
    late: Vec<(Time, Ready)>,
    answers: Vec<Answer>,
    /// From now on every request is done and answered at once.
    pub healed: bool,
    /// Requests served.
    pub served: u64,
}

/// What becomes of a request.
enum Fate {
    Done,
    DoneUnanswered,
    DoneLate,
    Lost,
    NotSent,
    Busy,
    Limited,
}

impl Office {
    /// The effects by reference.
    pub fn effects(&self) -> &BTreeMap<Reference, Vec<Effect>> {
        &self.effects
    }

    /// Does the first effect once more, which must never happen; `false` when there is none.
    pub fn repeat_first(&mut self) -> bool {
        let first = self.effects.values_mut().next();
        let effect = first.and_then(|list| list.first().cloned().map(|effect| list.push(effect)));
        effect.is_some()
    }

    /// Takes a request.
    pub fn take(&mut self, ready: &Ready, chance: &mut Chance, now: Time) {
        self.served += 1;
        self.come_late(now);
        let soon = now.plus(chance.millis(1, 800));
        let timeout = now.plus(Span::from_secs(10));
        let fate = self.fate(chance);
        let (due, outcome) = match fate {
            Fate::Done => (soon, self.serve(ready, now)),
            Fate::DoneUnanswered => {
                self.serve(ready, now);
                (timeout, unsure("no answer within 10 s"))
            }
            Fate::DoneLate => {
                self.late.push((now.plus(chance.millis(1, LATE.millis())), ready.clone()));
                (soon, unsure("the connection was reset"))
            }
            Fate::Lost => (timeout, unsure("no answer within 10 s")),
            Fate::NotSent => (soon, Outcome::not_sent(OutcomeClass::Transient, "no connection")),
            Fate::Busy => (soon, answered(OutcomeClass::Transient, 503, None)),
            Fate::Limited => (soon, answered(OutcomeClass::Limit, 429, Some(Span::from_secs(3)))),
        };
        let request = &ready.request;
        self.answers.push(Answer { due, call: request.call, attempt: request.attempt, outcome });
    }

    fn fate(&self, chance: &mut Chance) -> Fate {
        let drawn = chance.below(100);
        match drawn {
            _ if self.healed => Fate::Done,
            0..60 => Fate::Done,
            60..68 => Fate::DoneUnanswered,
            68..74 => Fate::DoneLate,
            74..82 => Fate::Lost,
            82..90 => Fate::NotSent,
            90..95 => Fate::Busy,
            _ => Fate::Limited,
        }
    }

    /// Lets late effects happen, and gives the answers that have arrived.
    pub fn pass(&mut self, now: Time) -> Vec<(CallId, u32, Outcome)> {
        self.come_late(now);
        let (due, wait): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.answers).into_iter().partition(|answer| answer.due <= now);
        self.answers = wait;
        due.into_iter().map(|answer| (answer.call, answer.attempt, answer.outcome)).collect()
    }

    /// Late effects happen before anything that is asked or told after them.
    fn come_late(&mut self, now: Time) {
        let (come, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = wait;
        for (at, ready) in come {
            self.serve(&ready, at);
        }
    }

    /// When something happens next by itself.
    pub fn next(&self) -> Option<Time> {
        self.answers.iter().map(|answer| answer.due).chain(self.late.iter().map(|(at, _)| *at)).min()
    }

    /// The process that asked is gone: its answers reach nobody.
    pub fn hang_up(&mut self) {
        self.answers.clear();
    }

    fn serve(&mut self, ready: &Ready, at: Time) -> Outcome {
        let request = &ready.request;
        let reference = request.key.reference();
        let effects = self.effects.entry(reference.clone()).or_default();
        let here = effects.iter().any(|effect| effect.system == request.system.as_str());
        let found = match (request.step, request.operation.as_str()) {
            (Step::Search, _) => here,
            (Step::Send, "create-request") => {
                effects.push(effect(request, at));
                true
            }
            (Step::Send, _) => {
                if !here {
                    effects.push(effect(request, at));
                }
                true
            }
        };
        if effects.is_empty() {
            self.effects.remove(&reference);
        }
        let document = found.then(|| format!("D-{reference}"));
        let output = document.as_ref().map_or(Json::Null, |number| json!({"document": number}));
        Outcome { output, document, ..answered(OutcomeClass::Ok, 200, None) }
    }
}

fn effect(request: &CallRequest, at: Time) -> Effect {
    let event = request.input.get("event").and_then(Json::as_str).unwrap_or_default().to_owned();
    Effect { system: request.system.to_string(), at, event }
}

fn unsure(detail: &str) -> Outcome {
    Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Unknown, detail) }
}

fn answered(class: OutcomeClass, status: u16, retry_after: Option<Span>) -> Outcome {
    Outcome { sent: true, status: Some(status), retry_after, ..Outcome::not_sent(class, class.word()) }
}
