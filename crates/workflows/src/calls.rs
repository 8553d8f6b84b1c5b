//! The machine of calls: what is to be done next for a call, and what an outcome means for it.
//!
//! An attempt whose outcome is unknown leaves a *doubt*, and nothing is sent anywhere else until the doubt is
//! settled in the way of its operation's class. An unknown outcome is never turned into an error of the run.

mod restored;

pub use restored::doubt_restored;

use crate::clocks::{meant, moved};
use crate::fault::Fault;
use crate::http;
use andon_contract::Contract;
use andon_contract::contract::{Capability, Idempotency, OperationRef, Retry, Target};
use andon_contract::http::DOCUMENT;
use andon_model::call::Step;
use andon_model::id::derive;
use andon_model::span::Span;
use andon_model::{Key, Outcome, OutcomeClass, Schemas, Time};
use andon_store::rows::CallRow;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What the machine needs to go on with a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CallMemory {
    /// Calls of the same lane and system are made one after the other: the key of the event behind them.
    pub lane: String,
    /// The order number of that event: the place among calls made at the same moment.
    pub place: u64,
    /// When its first attempt began, or a breaker first kept it away; from here the span of its system's `within`
    /// counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<Time>,
    /// Failed attempts in a row, for the pause before the next.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub failures: u32,
    /// Not attempted before this, whatever becomes of its system: the system said so, or a search needs it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub floor: Option<Time>,
    /// Where certainly nothing happened since the route was last begun with: the next of the route is asked. Kept by
    /// name, since the route may be another by then.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub passed: Vec<String>,
    /// An attempt whose effect nobody knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<Doubt>,
    /// What its run was told, once refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Fault>,
    /// Why nothing was done, once skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// Of a call by `openapi`: the request that it is, once its document was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub described: Option<Json>,
    /// The operation that a person has sent it to, instead of those of its route.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rerouted: Option<String>,
    /// Whether an exception about it waits for its end.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub excepted: bool,
    /// Whether somebody was told that nobody answers.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub told: bool,
    /// The epoch of the last restore whose doubts about it were looked at.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub restored: u32,
    /// Where it may have been made besides in the time that a restore has lost; the last one is searched next.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub suspected: Vec<String>,
    /// It could not be read back: what was known of earlier attempts is gone.
    #[serde(skip)]
    pub damaged: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An attempt whose effect nobody knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// The number of the attempt.
    pub attempt: u32,
    /// The operation that was asked.
    pub target: String,
    /// No byte was sent later than this.
    pub last_byte: Time,
    /// What is known of it.
    pub detail: String,
    /// When a search found nothing; for so long as `settle` this stays true.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_found: Option<Time>,
}

impl CallMemory {
    /// The clock was set by so many nanoseconds, negative: back.
    pub(crate) fn clock_was_set(&mut self, by: i64) {
        let mut times = vec![&mut self.first, &mut self.floor];
        if let Some(doubt) = &mut self.doubt {
            doubt.last_byte = moved(doubt.last_byte, by);
            times.push(&mut doubt.not_found);
        }
        for time in times.into_iter().flatten() {
            *time = moved(*time, by);
        }
    }

    /// A new process finds it in a row that was written at `written` by a clock of which nobody knows anything.
    pub(crate) fn found(&mut self, written: Time, now: Time) {
        self.floor = self.floor.map(|floor| meant(floor, written, now));
        self.first = self.first.map(|first| first.min(now));
        if let Some(doubt) = &mut self.doubt {
            doubt.not_found = doubt.not_found.filter(|at| *at <= now);
            if doubt.not_found.is_none() {
                doubt.last_byte = now;
            }
        }
    }
}

/// What is to be done next for a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// An attempt at this operation.
    Attempt {
        /// Send or search.
        step: Step,
        /// Who is asked.
        target: OperationRef,
        /// Whether its row may share the commit of the preceding task: repeats do no harm.
        shares: bool,
    },
    /// Nothing before this moment.
    Wait(Time),
    /// Nothing at all: the site has nobody who answers, for this reason.
    Skip(String),
    /// Nothing as long as the contract stays as it is.
    Nobody(String),
    /// A person must look; what is unknown, in words.
    Park(String),
}

/// Whether breakers let nothing go to a target now.
pub type Away<'a> = &'a dyn Fn(&OperationRef) -> bool;

/// What an outcome means for a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The effect is there.
    Deliver,
    /// The next attempt is due then.
    Again(Time),
    /// Refused for good, certainly without effect; the run is told.
    Refuse(Fault),
    /// A person must look; what is unknown, in words.
    Park(String),
}

/// An attempt with its outcome.
#[derive(Debug, Clone)]
pub struct Answered<'a> {
    /// The number of the attempt.
    pub attempt: u32,
    /// Send or search.
    pub step: Step,
    /// Who was asked.
    pub target: OperationRef,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// Whether the process ended before the outcome came.
    pub lost: bool,
}

/// What is to be done next for a call by the contract in force.
pub fn decide(contract: &Contract, call: &CallRow, memory: &CallMemory, away: Away<'_>, now: Time) -> Decision {
    if memory.damaged && call.attempts > 0 {
        return Decision::Park(format!(
            "what was remembered of its {} attempts cannot be read, so that one of them may have had its effect",
            call.attempts
        ));
    }
    if let Some(doubt) = &memory.doubt {
        match settle_doubt(contract, call, memory, doubt, now) {
            Ok(()) => {}
            Err(decision) => return decision,
        }
    }
    if http::is_over_http(call) {
        return match http::target(contract, call, memory) {
            Ok((target, repeats)) => attempt(Step::Send, &target, http::class(repeats)),
            Err(why) => Decision::Nobody(why),
        };
    }
    if let Some(to) = rerouted(memory)
        && let Some((_, operation)) = contract.operation(&to)
    {
        return attempt(Step::Send, &to, &operation.idempotency);
    }
    let Some(route) = contract.route(&call.capability, &call.site, now) else {
        return Decision::Nobody(format!("no route leads from {} at {} to a system", call.capability, call.site));
    };
    let first = match &route.target {
        Target::None { reason } => return Decision::Skip(reason.clone()),
        Target::Operation(first) => first,
    };
    // Where a breaker is open certainly nothing happens: others of the route are asked. Who has no other waits there.
    let mut open = not_passed(first, &route.fallback, memory);
    let target = open.find(|to| !away(to)).or_else(|| not_passed(first, &route.fallback, memory).next());
    let target = target.unwrap_or(first);
    match contract.operation(target) {
        Some((_, operation)) => attempt(Step::Send, target, &operation.idempotency),
        None => Decision::Nobody(format!("the route of {} leads to {target}, which does not exist", call.capability)),
    }
}

/// What is asked: the system, and what repeats do there.
#[derive(Clone, Copy)]
struct Asked<'c> {
    retry: &'c Retry,
    idempotency: &'c Idempotency,
}

/// Where a person has sent a call, whatever its route says.
fn rerouted(memory: &CallMemory) -> Option<OperationRef> {
    memory.rerouted.as_deref().and_then(parse_target)
}

/// What a call asks at a target; `None` where an edit removed it.
fn asked<'c>(contract: &'c Contract, call: &CallRow, memory: &CallMemory, target: &OperationRef) -> Option<Asked<'c>> {
    if http::is_over_http(call) {
        let repeats = http::target(contract, call, memory).ok()?.1;
        let system = contract.systems.get(&target.system)?;
        return Some(Asked { retry: &system.retry, idempotency: http::class(repeats) });
    }
    let (system, operation) = contract.operation(target)?;
    Some(Asked { retry: system.retry_of(operation), idempotency: &operation.idempotency })
}

fn attempt(step: Step, target: &OperationRef, idempotency: &Idempotency) -> Decision {
    let shares = matches!(idempotency, Idempotency::Key | Idempotency::Upsert | Idempotency::Read);
    Decision::Attempt { step, target: target.clone(), shares }
}

/// `Ok` when the doubt does not stand in the way of a new attempt anywhere.
fn settle_doubt(
    contract: &Contract,
    call: &CallRow,
    memory: &CallMemory,
    doubt: &Doubt,
    now: Time,
) -> Result<(), Decision> {
    let found = parse_target(&doubt.target).and_then(|target| {
        let idempotency = asked(contract, call, memory, &target)?.idempotency;
        Some((target, idempotency))
    });
    let Some((target, idempotency)) = found else {
        return Err(Decision::Park(unknown(doubt, "its operation is no longer in the project")));
    };
    match idempotency {
        Idempotency::Key | Idempotency::Upsert | Idempotency::Read => Err(attempt(Step::Send, &target, idempotency)),
        Idempotency::None => Err(Decision::Park(unknown(doubt, "the system can neither be searched nor asked again"))),
        Idempotency::Lookup(lookup) => match doubt.not_found {
            Some(at) if now <= at.plus(lookup.settle) => Ok(()),
            _ if now < doubt.last_byte.plus(lookup.settle) => Err(Decision::Wait(doubt.last_byte.plus(lookup.settle))),
            _ => Err(attempt(Step::Search, &target, idempotency)),
        },
    }
}

/// An operation by the text of a doubt.
fn parse_target(text: &str) -> Option<OperationRef> {
    let (system, operation) = text.split_once('.')?;
    Some(OperationRef { system: system.parse().ok()?, operation: operation.parse().ok()? })
}

/// What exactly is unknown.
fn unknown(doubt: &Doubt, why: &str) -> String {
    if doubt.attempt == 0 {
        return format!("it is unknown whether it was done at {}: {}; {why}", doubt.target, doubt.detail);
    }
    format!(
        "it is unknown whether attempt {} had its effect at {}: {}; {why}",
        doubt.attempt, doubt.target, doubt.detail
    )
}

/// What an outcome means, and what the call remembers of it.
pub fn settle(
    contract: &Contract,
    call: &CallRow,
    memory: &mut CallMemory,
    answered: &Answered<'_>,
    away: Away<'_>,
    now: Time,
) -> Verdict {
    let known = asked(contract, call, memory, &answered.target);
    memory.floor = None;
    if answered.target.operation.as_str() == DOCUMENT && answered.outcome.class == OutcomeClass::Ok {
        // What the document says is the request that the call is.
        (memory.described, memory.failures) = (Some(answered.outcome.output.clone()), 0);
        return Verdict::Again(now);
    }
    let verdict = match answered.step {
        Step::Search => settle_search(known, call, memory, answered, now),
        Step::Send => settle_send((contract, away), known, call, memory, answered, now),
    };
    match verdict {
        Verdict::Refuse(_) if http::is_over_http(call) => Verdict::Refuse(http::fault(answered.outcome)),
        verdict => verdict,
    }
}

fn settle_search(
    known: Option<Asked<'_>>,
    call: &CallRow,
    memory: &mut CallMemory,
    answered: &Answered<'_>,
    now: Time,
) -> Verdict {
    let outcome = answered.outcome;
    let park = |memory: &CallMemory, why: &str| {
        let text = memory.doubt.as_ref().map(|doubt| unknown(doubt, why));
        Verdict::Park(text.unwrap_or_else(|| format!("the search failed: {}", outcome.detail)))
    };
    match outcome.class {
        OutcomeClass::Ok if !outcome.output.is_null() || outcome.document.is_some() => Verdict::Deliver,
        OutcomeClass::Ok if restored::suspect_next(memory) => Verdict::Again(now),
        OutcomeClass::Ok => {
            if let Some(doubt) = &mut memory.doubt {
                doubt.not_found = Some(now);
            }
            // A system that swallows every sending would otherwise be asked for ever, and nobody told.
            if now >= end_of(retry_of(known), memory, now) {
                let last = memory.doubt.as_ref().map_or("", |doubt| doubt.detail.as_str());
                let detail = format!("nothing of it is there, and time is up; the last attempt: {last}");
                return Verdict::Refuse(Fault::of_outcome(&Outcome::not_sent(OutcomeClass::Transient, detail)));
            }
            // Certainly nothing happened, so the route is asked from its beginning again.
            memory.passed.clear();
            Verdict::Again(now)
        }
        _ if answered.lost => Verdict::Again(now),
        OutcomeClass::Limit | OutcomeClass::Transient | OutcomeClass::Unknown => {
            match again(retry_of(known), call, memory, answered, now) {
                Some(due) => Verdict::Again(due),
                None => park(memory, &format!("the search for it failed until time was up: {}", outcome.detail)),
            }
        }
        class => park(memory, &format!("the search for it was refused ({class}): {}", outcome.detail)),
    }
}

fn settle_send(
    (contract, away): (&Contract, Away<'_>),
    known: Option<Asked<'_>>,
    call: &CallRow,
    memory: &mut CallMemory,
    answered: &Answered<'_>,
    now: Time,
) -> Verdict {
    let outcome = answered.outcome;
    let reads = known.is_some_and(|asked| matches!(asked.idempotency, Idempotency::Read));
    match outcome.class {
        OutcomeClass::Ok => Verdict::Deliver,
        OutcomeClass::Unknown if !reads => settle_unknown(known, call, memory, answered, now),
        OutcomeClass::Limit | OutcomeClass::Transient | OutcomeClass::Unknown => {
            if answered.lost {
                return Verdict::Again(now);
            }
            let nothing_happened =
                outcome.class == OutcomeClass::Limit || (outcome.class == OutcomeClass::Transient && !outcome.sent);
            if nothing_happened && !in_doubt(memory) {
                memory.passed.push(answered.target.to_string());
                if has_another((contract, away), call, memory, now) {
                    return Verdict::Again(now);
                }
            }
            memory.passed.clear();
            match again(retry_of(known), call, memory, answered, now) {
                Some(due) => Verdict::Again(due),
                None => refuse(memory, outcome, "it did not succeed until time was up"),
            }
        }
        OutcomeClass::Auth
        | OutcomeClass::Permission
        | OutcomeClass::Conflict
        | OutcomeClass::Validation
        | OutcomeClass::NotFound => refuse(memory, outcome, "the repetition was refused"),
    }
}

/// Whether an earlier attempt may still have had its effect.
fn in_doubt(memory: &CallMemory) -> bool {
    memory.doubt.as_ref().is_some_and(|doubt| doubt.not_found.is_none())
}

/// Whether the route in force leads to somebody who was not asked yet and may be.
fn has_another((contract, away): (&Contract, Away<'_>), call: &CallRow, memory: &CallMemory, now: Time) -> bool {
    // Where a person has sent it there is nobody else.
    let route = contract.route(&call.capability, &call.site, now).filter(|_| memory.rerouted.is_none());
    route.is_some_and(|route| match &route.target {
        Target::Operation(first) => not_passed(first, &route.fallback, memory).any(|to| !away(to)),
        // Nobody: the call is skipped at once.
        Target::None { .. } => true,
    })
}

/// Those of a route where the call was not in vain yet, in order.
fn not_passed<'r>(
    first: &'r OperationRef,
    fallback: &'r [OperationRef],
    memory: &CallMemory,
) -> impl Iterator<Item = &'r OperationRef> {
    std::iter::once(first).chain(fallback).filter(|to| !memory.passed.contains(&to.to_string()))
}

/// Refused for good, unless an earlier attempt may have had its effect: an error would say that nothing happened.
fn refuse(memory: &CallMemory, outcome: &Outcome, why: &str) -> Verdict {
    match &memory.doubt {
        Some(doubt) if in_doubt(memory) => {
            Verdict::Park(unknown(doubt, &format!("{why} ({}): {}", outcome.class, outcome.detail)))
        }
        _ => Verdict::Refuse(Fault::of_outcome(outcome)),
    }
}

fn settle_unknown(
    known: Option<Asked<'_>>,
    call: &CallRow,
    memory: &mut CallMemory,
    answered: &Answered<'_>,
    now: Time,
) -> Verdict {
    let doubt = Doubt {
        attempt: answered.attempt,
        target: answered.target.to_string(),
        // What a process before this one had sent may have waited for its wire until that one ended.
        last_byte: now,
        detail: answered.outcome.detail.clone(),
        not_found: None,
    };
    memory.doubt = Some(doubt.clone());
    let Some(Asked { idempotency, .. }) = known else {
        return Verdict::Park(unknown(&doubt, "its operation is no longer in the project"));
    };
    match idempotency {
        Idempotency::None => {
            Verdict::Park(unknown(&doubt, "the system can neither be searched nor asked again without doing it twice"))
        }
        Idempotency::Lookup(lookup) => {
            let due = doubt.last_byte.plus(lookup.settle);
            memory.floor = Some(due);
            Verdict::Again(due)
        }
        Idempotency::Key | Idempotency::Upsert | Idempotency::Read => {
            if answered.lost {
                return Verdict::Again(now);
            }
            match again(retry_of(known), call, memory, answered, now) {
                Some(due) => Verdict::Again(due),
                None => Verdict::Park(unknown(&doubt, "no repetition was answered until time was up")),
            }
        }
    }
}

/// When failed attempts are repeated; the default where the system has left the project.
fn retry_of(known: Option<Asked<'_>>) -> &Retry {
    known.map_or(&Retry::DEFAULT, |asked| asked.retry)
}

/// When the time of a call is used up that a breaker keeps away from this target.
pub fn end_of_waiting(
    contract: &Contract,
    call: &CallRow,
    memory: &CallMemory,
    target: &OperationRef,
    now: Time,
) -> Time {
    end_of(retry_of(asked(contract, call, memory, target)), memory, now)
}

/// A call whose time is used up before its system came back: what is said of it, and what that means.
pub fn give_up(call: &CallRow, memory: &CallMemory, why: String) -> (Outcome, Verdict) {
    let outcome = Outcome::not_sent(OutcomeClass::Transient, why);
    let verdict = match refuse(memory, &outcome, "its system did not come back until time was up") {
        Verdict::Refuse(_) if http::is_over_http(call) => Verdict::Refuse(http::fault(&outcome)),
        verdict => verdict,
    };
    (outcome, verdict)
}

/// The moment of the next attempt; `None` when the time of the call is used up.
fn again(retry: &Retry, call: &CallRow, memory: &mut CallMemory, answered: &Answered<'_>, now: Time) -> Option<Time> {
    let end = end_of(retry, memory, now);
    if now >= end {
        return None;
    }
    memory.failures = memory.failures.saturating_add(1);
    let chance = chance(&call.key, answered.attempt);
    let failing = now.since(memory.first.unwrap_or(now));
    let longest = pause(retry, memory.failures, failing);
    let due = now.plus(part(longest, 0.5 + chance / 2.0)).min(end);
    let Some(span) = answered.outcome.retry_after else { return Some(due) };
    // What the system says is the least, and chance only adds to it: not all that were told the same come at once.
    let floor = now.plus(span);
    (floor <= end).then(|| {
        memory.floor = Some(floor);
        due.max(floor.plus(part(retry.first, chance)).min(end))
    })
}

/// When the time of a call is used up.
fn end_of(retry: &Retry, memory: &CallMemory, now: Time) -> Time {
    memory.first.unwrap_or(now).plus(retry.within)
}

/// The longest pause after so many failures in a row of a call that has failed for so long: it grows up to the longest,
/// and is that of an outage once it has failed for long.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "spans of hours are far from both")]
fn pause(retry: &Retry, failures: u32, failing: Span) -> Span {
    if failing >= retry.outage.after {
        return retry.outage.every;
    }
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    Span::from_nanos((retry.max.nanos() as f64).min(retry.first.nanos() as f64 * retry.factor.powi(exponent)) as i64)
}

/// A part of a span, from 0 to 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "spans of hours are far from both")]
fn part(span: Span, of: f64) -> Span {
    Span::from_nanos((span.nanos() as f64 * of) as i64)
}

/// The chance of an attempt, from 0 to 1: derived from the call's key, so that a repeated simulation gives the same,
/// and different for every call, so that they do not come back all at once.
pub fn chance(key: &Key, attempt: u32) -> f64 {
    let [a, b, ..] = derive(&[b"chance", key.as_str().as_bytes(), &attempt.to_le_bytes()]);
    f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX)
}

/// What an output lacks of what its capability declares: its schema, or fields with their JSON types; `None`: nothing.
pub fn drift(declared: &Capability, schemas: &Schemas, output: &Json) -> Option<String> {
    if let Some(schema) = &declared.output_schema {
        return schemas.check(schema, output).err().map(|mismatch| mismatch.to_string());
    }
    let wrong: Vec<String> = declared
        .output
        .iter()
        .filter_map(|(field, kind)| {
            let found = output.get(field);
            let fits = found.is_some_and(|value| match kind.as_str() {
                "string" => value.is_string(),
                "number" => value.is_number(),
                "integer" => value.is_i64() || value.is_u64(),
                "boolean" => value.is_boolean(),
                "object" => value.is_object(),
                "array" => value.is_array(),
                _ => true,
            });
            (!fits).then(|| format!("`{field}` should be {kind} and is {}", found.map_or("missing", word)))
        })
        .collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

fn word(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plant::{contract, name, route};
    use andon_model::RunId;
    use andon_store::rows::CallState;
    use serde_json::json;
    use std::fmt::Write as _;

    const NOW: Time = Time(1_800_000_000_000_000_000);

    fn call(class: &str) -> CallRow {
        let key = Key::of_task(RunId::derived(&[b"r"]), "/do/0/ask", "", 0);
        CallRow {
            id: key.call_id(),
            site: "home".parse().unwrap(),
            run: RunId::derived(&[b"r"]),
            pointer: "/do/0/ask".into(),
            iteration: String::new(),
            reference: key.reference(),
            edit: 0,
            supersedes: None,
            key,
            capability: format!("work.{class}"),
            system: None,
            operation: None,
            state: CallState::InFlight,
            input: json!({"n": 1}),
            output: None,
            document: None,
            created: NOW,
            updated: NOW,
            due: None,
            attempts: 1,
            class: None,
            detail: None,
            memory: Json::Null,
        }
    }

    fn outcome(class: OutcomeClass, sent: bool) -> Outcome {
        Outcome { sent, ..Outcome::not_sent(class, "as it came") }
    }

    /// The verdict in a word, and what comes next.
    fn judged(class: &str, outcome: &Outcome, lost: bool) -> String {
        let mut contract = contract(&[]);
        contract.routes = vec![route(&format!("work.{class}"), &format!("eam.{class}"), &[&format!("second.{class}")])];
        let (call, mut memory) = (call(class), CallMemory { first: Some(NOW), ..CallMemory::default() });
        let target = OperationRef { system: name("eam"), operation: name(class) };
        let answered = Answered { attempt: 1, step: Step::Send, target, outcome, lost };
        match settle(&contract, &call, &mut memory, &answered, &|_| false, NOW) {
            Verdict::Deliver => "delivered".into(),
            Verdict::Refuse(fault) => format!("raised {}", fault.kind.rsplit('/').next().unwrap_or_default()),
            Verdict::Park(_) => "parked".into(),
            Verdict::Again(due) => {
                let when = if due == NOW { "at once" } else { "later" };
                match decide(&contract, &call, &memory, &|_| false, due) {
                    Decision::Attempt { step, target, .. } => {
                        format!("{step:?} {} {when}", target.system).to_lowercase()
                    }
                    other => format!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_an_outcome_means_for_each_class_of_operation() {
        use OutcomeClass::{Auth, Conflict, Limit, NotFound, Ok, Permission, Transient, Unknown, Validation};
        let outcomes = [
            (Ok, true, false),
            (Auth, true, false),
            (Permission, true, false),
            (Conflict, true, false),
            (Validation, true, false),
            (NotFound, true, false),
            (Limit, true, false),
            (Transient, false, false),
            (Transient, true, false),
            (Unknown, true, false),
            (Unknown, true, true),
        ];
        let mut table = String::new();
        for (class, sent, lost) in outcomes {
            let how = match (sent, lost) {
                (false, _) => " (not sent)",
                (_, true) => " (restart)",
                _ => "",
            };
            write!(table, "{:<22}", format!("{class}{how}")).unwrap();
            for operation in ["key", "upsert", "lookup", "none", "read"] {
                write!(table, " | {operation}: {}", judged(operation, &outcome(class, sent), lost)).unwrap();
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn an_output_is_compared_with_what_is_declared() {
        let declared = [("a", "string"), ("b", "integer"), ("c", "array")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let any = contract(&[]);
        let of = any.capabilities["work.key"].clone();
        let declared = Capability { output: declared.into_iter().collect(), ..of.clone() };
        assert_eq!(drift(&declared, &any.schemas, &json!({"a": "x", "b": 1, "c": [], "more": 1})), None);
        assert_eq!(
            drift(&declared, &any.schemas, &json!({"a": null, "b": 1.5})).as_deref(),
            Some(
                "`a` should be string and is null, `b` should be integer and is number, \
                 `c` should be array and is missing"
            )
        );
        let declared = Capability { output_schema: Some("Work/1".into()), ..of };
        assert_eq!(drift(&declared, &any.schemas, &json!({"n": 1})), None);
        assert!(drift(&declared, &any.schemas, &json!({"n": "one"})).is_some());
    }

    #[test]
    fn pauses_grow_to_the_longest_and_are_those_of_an_outage_once_it_lasts() {
        let retry = Retry { max: Span::from_secs(5), ..Retry::DEFAULT };
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (4, 5), (400, 5)] {
            assert_eq!(pause(&retry, failures, Span::from_secs(3_599)), Span::from_secs(longest));
        }
        assert_eq!(pause(&retry, 400, Span::from_secs(3_600)), Span::from_secs(900));
        assert_eq!([0.0, 0.5, 1.0].map(|of| part(Span::from_secs(2), of).millis()), [0, 1_000, 2_000]);
        let key = Key::of_task(RunId::derived(&[b"r"]), "/do/0/ask", "", 0);
        assert!((0.0..=1.0).contains(&chance(&key, 1)));
        assert!((chance(&key, 1) - chance(&key, 2)).abs() > f64::EPSILON);
    }
}
