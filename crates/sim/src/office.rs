//! The office: systems of record that lose answers, commit late, refuse, go down, and remember every effect.
//!
//! It lives by true time, which no clock of a machine changes.

use crate::chance::Chance;
use andon_model::{
    CallId, Outcome, OutcomeClass, Reference,
    call::{CallRequest, Prepare, Prepared, Step},
    span::Span,
};
use andon_workflows::Ready;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// An effect comes at most this long after its request was there; with what a wire holds of a process that is gone
/// ([`WIRE`]) that is less than the `settle` of the project.
const LATE: Span = Span::from_millis(1_500);
/// So long after its process has ended a request may still arrive.
const WIRE: Span = Span::from_millis(300);
/// Who asked waits for an answer so long, as the project says.
const TIMEOUT: Span = Span::from_secs(10);
/// An office that breaks its assumption finds by our reference only what is so old.
const FINDS_LATE: Span = Span::from_secs(90);
/// Likewise: it forgets our key after so long.
const FORGETS: Span = Span::from_secs(4);

/// What repeats do at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A repeat under our key does nothing.
    Key,
    /// A repeat sets again what is set.
    Upsert,
    /// It can be searched by our reference, and does everything that is asked.
    Lookup,
    /// It does everything that is asked.
    None,
}

/// The operations of all systems: what repeats do there, and what they are for.
const OPERATIONS: [(&str, &str, Class, &str); 6] = [
    ("eam", "create-request", Class::Lookup, "maintenance.request-work"),
    ("cmms", "create-order", Class::Key, "maintenance.request-work"),
    ("cmms", "note", Class::Key, "maintenance.note"),
    ("desk", "note", Class::Key, "maintenance.note"),
    ("registry", "set", Class::Upsert, "maintenance.register"),
    ("pager", "page", Class::None, "maintenance.page"),
];

/// The systems.
pub const SYSTEMS: [&str; 5] = ["eam", "cmms", "desk", "registry", "pager"];

/// What an operation is for, and what repeats do there.
fn operation(system: &str, name: &str) -> (&'static str, Class) {
    let found = OPERATIONS.iter().find(|(of, operation, ..)| (*of, *operation) == (system, name));
    found.map_or(("", Class::None), |(_, _, class, capability)| (capability, *class))
}

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
    /// What it is for.
    pub capability: &'static str,
    /// Under which reference.
    pub reference: Reference,
    /// When, in true time.
    pub at: Span,
    /// The event the request names.
    pub event: String,
    /// Whether it is there twice only because its system does not keep what is assumed of it.
    pub breach: bool,
}

/// What is on its way to a system.
#[derive(Debug, Clone)]
struct Coming {
    at: Span,
    number: u64,
    ready: Ready,
    fate: Fate,
    /// Nobody is told any more.
    unheard: bool,
}

/// An answer on its way.
#[derive(Debug, Clone)]
struct Answer {
    due: Span,
    number: u64,
    call: CallId,
    attempt: u32,
    outcome: Outcome,
}

/// What a system does with a request that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// The connection is lost before the answer.
    Unanswered,
    /// It is done after the connection was lost.
    Late(Span),
    /// It never arrives, and nobody says so.
    Lost,
    NotSent,
    Busy,
    Limited,
    /// Done, with an answer that nobody understands.
    Garbled,
    /// Done, with an answer that is not what was declared.
    Odd,
    Failed,
    Refused(OutcomeClass),
}

/// What is assumed of a system and not true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// What was done is found only much later.
    FindsLate,
    /// Keys are forgotten soon.
    Forgets,
}

/// All systems of record.
#[derive(Debug, Default)]
pub struct Office {
    effects: Vec<Effect>,
    coming: Vec<Coming>,
    late: Vec<(Span, u64, Ready)>,
    answers: Vec<Answer>,
    number: u64,
    /// Systems that are down.
    down: BTreeMap<&'static str, bool>,
    /// What a system refuses as long as nobody has edited the input.
    refuses: BTreeMap<&'static str, OutcomeClass>,
    /// What is assumed of systems and not true.
    pub breaches: BTreeMap<&'static str, Breach>,
    /// From now on every request is done and answered at once.
    pub healed: bool,
    /// Requests that arrived, searches too.
    pub served: u64,
    /// What became of them, by word.
    pub fates: BTreeMap<&'static str, u64>,
}

impl Office {
    /// Every effect in the order in which they came about.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Does the first effect once more, which must never happen; `false` when there is none.
    pub fn repeat_first(&mut self) -> bool {
        let first = self.effects.first().cloned();
        first.map(|effect| self.effects.push(Effect { breach: false, ..effect })).is_some()
    }

    /// Takes away the last effect of this capability; `false` when there is none.
    pub fn lose_last(&mut self, capability: &str) -> bool {
        let last = self.effects.iter().rposition(|effect| effect.capability == capability);
        last.map(|at| self.effects.remove(at)).is_some()
    }

    /// Exchanges the order of the first two effects for one system and two events; `false` when there are none.
    pub fn exchange(&mut self, of: impl Fn(&Effect, &Effect) -> bool) -> bool {
        for later in 0..self.effects.len() {
            for earlier in 0..later {
                let pair = self.effects.get(earlier).zip(self.effects.get(later));
                if pair.is_some_and(|(a, b)| of(a, b)) {
                    self.effects.swap(earlier, later);
                    return true;
                }
            }
        }
        false
    }

    /// A system goes down or comes back; the word of what it is now.
    pub fn outage(&mut self, chance: &mut Chance) -> (&'static str, &'static str) {
        let system = *chance.one(&SYSTEMS);
        let down = self.down.entry(system).or_default();
        *down = !*down;
        (system, if *down { "goes down" } else { "is back" })
    }

    /// A system begins to refuse, or ends it; what it refuses now.
    pub fn mood(&mut self, chance: &mut Chance) -> (&'static str, Option<OutcomeClass>) {
        use OutcomeClass::{Auth, Conflict, NotFound, Permission, Validation};
        let system = *chance.one(&SYSTEMS);
        if self.refuses.remove(system).is_some() {
            return (system, None);
        }
        let class = *chance.one(&[Auth, Permission, Conflict, Validation, NotFound]);
        self.refuses.insert(system, class);
        (system, Some(class))
    }

    /// Everything works from now on.
    pub fn heal(&mut self) {
        self.healed = true;
        self.down.clear();
        self.refuses.clear();
    }

    /// Whether an effect under this reference is there; `None` while one may still come.
    pub fn look(&self, reference: &Reference) -> Option<bool> {
        let pending = self.coming.iter().map(|coming| &coming.ready).chain(self.late.iter().map(|(_, _, ready)| ready));
        if pending.into_iter().any(|ready| ready.request.key.reference() == *reference) {
            return None;
        }
        Some(self.effects.iter().any(|effect| effect.reference == *reference))
    }

    /// Takes a request; what becomes of it, in words.
    pub fn take(&mut self, ready: Ready, chance: &mut Chance, now: Span) -> &'static str {
        let system = ready.request.system.to_string();
        let fate = self.fate(&system, &ready, chance);
        let word = word(fate);
        *self.fates.entry(word).or_default() += 1;
        self.number += 1;
        let (number, soon) = (self.number, now.nanos_plus(chance.millis(1, 400)));
        let (call, attempt) = (ready.request.call, ready.request.attempt);
        let answer = |due, outcome| Answer { due, number, call, attempt, outcome };
        match fate {
            Fate::Lost => self.answers.push(answer(now.nanos_plus(TIMEOUT), unsure("no answer within 10 s"))),
            Fate::NotSent => {
                self.answers.push(answer(soon, Outcome::not_sent(OutcomeClass::Transient, "no connection")));
            }
            _ => {
                // Most wires are quick; on some a request takes nearly as long as anybody waits for it.
                let slow = !self.healed && chance.percent(8);
                let at = if slow { now.nanos_plus(chance.millis(400, 9_500)) } else { soon };
                self.coming.push(Coming { at, number, ready, fate, unheard: false });
                if !self.healed {
                    self.answers.push(answer(now.nanos_plus(TIMEOUT), unsure("no answer within 10 s")));
                }
            }
        }
        word
    }

    fn fate(&self, system: &str, ready: &Ready, chance: &mut Chance) -> Fate {
        let drawn = chance.below(100);
        let late = chance.millis(1, LATE.millis());
        let edited = ready.request.input.get("priority").and_then(Json::as_i64) != Some(2);
        if self.healed {
            return Fate::Done;
        }
        if self.down.get(system).copied().unwrap_or(false) {
            return if drawn < 70 { Fate::NotSent } else { Fate::Busy };
        }
        if let Some(class) = self.refuses.get(system)
            && !(edited && *class == OutcomeClass::Validation)
        {
            return Fate::Refused(*class);
        }
        match drawn {
            0..58 => Fate::Done,
            58..64 => Fate::Unanswered,
            64..71 => Fate::Late(late),
            71..77 => Fate::Lost,
            77..83 => Fate::NotSent,
            83..87 => Fate::Busy,
            87..92 => Fate::Limited,
            92..95 => Fate::Garbled,
            95 => Fate::Odd,
            96..98 => Fate::Failed,
            _ => Fate::Refused(OutcomeClass::Conflict),
        }
    }

    /// Time has come so far: requests arrive, late effects happen; the answers that have arrived.
    pub fn pass(&mut self, now: Span) -> Vec<(CallId, u32, Outcome)> {
        loop {
            let coming = self.coming.iter().map(|coming| (coming.at, coming.number)).min();
            let late = self.late.iter().map(|(at, number, _)| (*at, *number)).min();
            let next = [coming, late].into_iter().flatten().min();
            let Some((at, number)) = next.filter(|(at, _)| *at <= now) else { break };
            if let Some(found) = self.late.iter().position(|(_, of, _)| *of == number) {
                let (_, _, ready) = self.late.remove(found);
                self.serve(&ready, at);
            } else if let Some(found) = self.coming.iter().position(|coming| coming.number == number) {
                let coming = self.coming.remove(found);
                self.arrive(coming, at);
            }
        }
        let (mut due, wait): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.answers).into_iter().partition(|answer| answer.due <= now);
        self.answers = wait;
        due.sort_by_key(|answer| (answer.due, answer.number));
        due.into_iter().map(|answer| (answer.call, answer.attempt, answer.outcome)).collect()
    }

    fn arrive(&mut self, coming: Coming, at: Span) {
        let Coming { number, ready, fate, unheard, .. } = coming;
        self.served += 1;
        let outcome = match fate {
            Fate::Done | Fate::Lost | Fate::NotSent => self.serve(&ready, at),
            Fate::Unanswered => {
                self.serve(&ready, at);
                return;
            }
            Fate::Late(span) => {
                self.late.push((at.nanos_plus(span), number, ready.clone()));
                unsure("the connection was reset")
            }
            Fate::Busy => answered(OutcomeClass::Transient, 503, None),
            Fate::Limited => answered(OutcomeClass::Limit, 429, Some(Span::from_secs(3))),
            Fate::Garbled => {
                self.serve(&ready, at);
                unsure("the answer is no JSON")
            }
            Fate::Odd => {
                let done = self.serve(&ready, at);
                if ready.request.step == Step::Search {
                    done
                } else {
                    Outcome { output: json!({"document": 7}), ..done }
                }
            }
            // A search has no effect: what it does not say is asked again.
            Fate::Failed => unsure("the server failed at some point of its work"),
            Fate::Refused(class) => answered(class, 400, None),
        };
        self.answers.retain(|answer| answer.number != number);
        if !unheard {
            let (call, attempt) = (ready.request.call, ready.request.attempt);
            self.answers.push(Answer { due: at, number, call, attempt, outcome });
        }
    }

    /// When something happens next by itself.
    pub fn next(&self) -> Option<Span> {
        let coming = self.coming.iter().map(|coming| coming.at);
        let late = self.late.iter().map(|(at, ..)| *at);
        coming.chain(late).chain(self.answers.iter().map(|answer| answer.due)).min()
    }

    /// The process that asked is gone: its answers reach nobody, and of its requests only what the wire holds arrives.
    pub fn hang_up(&mut self, chance: &mut Chance, now: Span) {
        self.answers.clear();
        for mut coming in std::mem::take(&mut self.coming) {
            let in_time = coming.at <= now.nanos_plus(WIRE);
            if in_time || chance.percent(30) {
                coming.at = if in_time { coming.at } else { now.nanos_plus(chance.millis(1, WIRE.millis())) };
                coming.unheard = true;
                self.coming.push(coming);
            }
        }
    }

    fn serve(&mut self, ready: &Ready, at: Span) -> Outcome {
        let request = &ready.request;
        let reference = request.key.reference();
        let (capability, class) = operation(request.system.as_str(), request.operation.as_str());
        let breach = self.breaches.get(request.system.as_str()).copied();
        let old = |span: Span| move |effect: &&Effect| effect.at.nanos().saturating_add(span.nanos()) <= at.nanos();
        let mut here = self.effects.iter().filter(|effect| {
            effect.system == request.system.as_str() && effect.capability == capability && effect.reference == reference
        });
        let there = here.clone().next().is_some();
        let seen = match breach {
            Some(Breach::FindsLate) if class == Class::Lookup => here.any(|effect| old(FINDS_LATE)(&effect)),
            Some(Breach::Forgets) if class == Class::Key => !here.all(|effect| old(FORGETS)(&effect)),
            _ => there,
        };
        let found = match (request.step, class) {
            (Step::Search, _) => seen,
            (Step::Send, Class::Key | Class::Upsert) if seen => true,
            (Step::Send, _) => {
                let event = request.input.get("event").and_then(Json::as_str).unwrap_or_default().to_owned();
                let system = request.system.to_string();
                let breach = there && breach.is_some();
                self.effects.push(Effect { system, capability, reference: reference.clone(), at, event, breach });
                true
            }
        };
        let document = found.then(|| format!("D-{reference}"));
        let output = document.as_ref().map_or(Json::Null, |number| json!({"document": number}));
        Outcome { output, document, ..answered(OutcomeClass::Ok, 200, None) }
    }
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Done => "done",
        Fate::Unanswered => "done, the answer is lost",
        Fate::Late(_) => "done after the connection was reset",
        Fate::Lost => "lost",
        Fate::NotSent => "not sent",
        Fate::Busy => "busy (503)",
        Fate::Limited => "limited (429)",
        Fate::Garbled => "done, the answer is garbage",
        Fate::Odd => "done, the answer is odd",
        Fate::Failed => "failed (500)",
        Fate::Refused(class) => class.word(),
    }
}

fn unsure(detail: &str) -> Outcome {
    Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Unknown, detail) }
}

fn answered(class: OutcomeClass, status: u16, retry_after: Option<Span>) -> Outcome {
    Outcome { sent: true, status: Some(status), retry_after, ..Outcome::not_sent(class, class.word()) }
}

/// Spans are added as often as they are compared here.
trait Later {
    fn nanos_plus(self, other: Span) -> Span;
}

impl Later for Span {
    fn nanos_plus(self, other: Span) -> Span {
        Span::from_nanos(self.nanos().saturating_add(other.nanos()))
    }
}
