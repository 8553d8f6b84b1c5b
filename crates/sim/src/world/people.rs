//! People: they look at exceptions and act on them. They are honest: of what is unknown they say only what they have
//! seen at the office.

use super::{Broken, World, fault};
use crate::chance::Chance;
use andon_contract::contract::OperationRef;
use andon_model::{CallId, ExceptionId};
use andon_store::{
    Query,
    rows::{CallRow, CallState, ExceptionKind, ExceptionRow},
};
use andon_workflows::run::{Act, Acted, What};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds after which people have dealt with everything.
const ROUNDS_MAX: u32 = 60;

/// What people had a hand in.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    /// Exceptions that somebody acted upon: their calls may overtake others, or never be made.
    pub exceptions: BTreeSet<ExceptionId>,
    /// Acts that wait for their answer, by token.
    asked: BTreeMap<u64, (ExceptionId, &'static str)>,
}

impl World {
    /// A person deals with some exception as well as anybody can.
    pub(super) fn person(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        let open = self.unfinished()?;
        if open.is_empty() {
            return Ok(());
        }
        let row = chance.one(&open).clone();
        let Some((word, what)) = self.choose(&row, chance)? else { return Ok(()) };
        self.ask(&row, word, what);
        Ok(())
    }

    fn ask(&mut self, row: &ExceptionRow, word: &'static str, what: What) {
        self.acts += 1;
        let token = self.acts;
        self.touched.exceptions.insert(row.id);
        self.touched.asked.insert(token, (row.id, word));
        self.seen.count(word);
        self.tell(format_args!("a person asks for {word} of {} ({}: {})", row.id, row.cause, row.detail));
        let (by, reason) = (format!("person-{token}"), format!("act {token}"));
        self.workflows.act(Act { token, by, reason, what });
    }

    /// What became of acts.
    pub(super) fn hear_of_acts(&mut self) {
        for (token, acted) in self.workflows.take_acted() {
            let Some((id, word)) = self.touched.asked.remove(&token) else { continue };
            let refused = !matches!(acted, Acted::Done(_));
            if refused {
                self.seen.count("act that was refused");
            }
            self.tell(format_args!("{word} of {id}: {acted:?}"));
        }
    }

    /// Exceptions that nobody has finished, oldest first.
    pub(crate) fn unfinished(&self) -> Result<Vec<ExceptionRow>, Broken> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let query = Query { after, limit: 1_000, ascending: true, ..Query::default() };
            let page = self.store.list("exceptions", &query).map_err(fault)?;
            for row in page.rows {
                let row: ExceptionRow = serde_json::from_value(row).map_err(fault)?;
                if !row.state.has_ended() {
                    found.push(row);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// The call that an exception is about, in its last edit.
    fn call_of(&self, row: &ExceptionRow) -> Result<Option<CallRow>, Broken> {
        let Some(id) = row.call.filter(|_| row.kind == ExceptionKind::Output) else { return Ok(None) };
        let Some(call) = self.store.call(id).map_err(fault)? else { return Ok(None) };
        let edits = self.store.calls_of(call.run).map_err(fault)?;
        let same = |other: &CallRow| (&other.pointer, &other.iteration) == (&call.pointer, &call.iteration);
        Ok(edits.into_iter().filter(same).max_by_key(|call| call.edit))
    }

    /// What a person does about an exception; `None`: nothing for now.
    fn choose(&self, row: &ExceptionRow, chance: &mut Chance) -> Result<Option<(&'static str, What)>, Broken> {
        let exception = row.id;
        let discard = Ok(Some(("discard", What::Discard { exception })));
        let retry = Ok(Some(("retry", What::Retry { exception, not_there: false })));
        let Some(call) = self.call_of(row)? else {
            return if row.run.is_some() && chance.percent(80) { retry } else { discard };
        };
        match call.state {
            CallState::Parked => Ok(self.look(&call, exception, chance)),
            CallState::Refused | CallState::Waiting => match chance.below(10) {
                0..5 => retry,
                5 | 6 => Ok(Some(("edit", What::Edit { exception, input: edited(&call.input), agreed_by: None }))),
                7 => Ok(Some(("reroute", What::Reroute { exception, operation: other(&call, chance) }))),
                8 => {
                    let output = if chance.percent(50) { Json::Null } else { json!({"document": "none"}) };
                    Ok(Some(("skip", What::Skip { exception, output, document: None })))
                }
                _ => discard,
            },
            CallState::InFlight | CallState::Delivered | CallState::Skipped => {
                if chance.percent(50) {
                    discard
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// Of what is unknown a person looks at the office, and waits as long as it may still come.
    fn look(&self, call: &CallRow, exception: ExceptionId, chance: &mut Chance) -> Option<(&'static str, What)> {
        let there = self.office.look(&call.reference);
        match (chance.below(10), there) {
            (0, _) => Some(("discard", What::Discard { exception })),
            // Who has not looked is refused.
            (1, _) => Some(("retry", What::Retry { exception, not_there: false })),
            (2, _) => Some(("edit", What::Edit { exception, input: edited(&call.input), agreed_by: None })),
            (_, Some(true)) => {
                let document = format!("D-{}", call.reference);
                let output = json!({"document": document});
                Some(("skip", What::Skip { exception, output, document: Some(document) }))
            }
            (_, Some(false)) => Some(("retry", What::Retry { exception, not_there: true })),
            (_, None) => None,
        }
    }

    /// People deal with everything that is left, one after the other, until nothing is.
    pub(super) fn deal_with_all(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        for _ in 0..ROUNDS_MAX {
            let open = self.unfinished()?;
            if open.is_empty() {
                return Ok(());
            }
            for row in &open {
                if let Some((word, what)) = self.choose(row, chance)? {
                    self.ask(row, word, what);
                }
            }
            self.rest(chance)?;
        }
        let left = self.unfinished()?;
        let first = left.first().map_or_else(String::new, |row| format!("{row:?}"));
        Err(Broken::new("people", format!("people cannot deal with {} exceptions, the first: {first}", left.len())))
    }
}

/// The input with something else in it that makes it another.
fn edited(input: &Json) -> Json {
    let mut input = input.clone();
    if let Some(fields) = input.as_object_mut() {
        let priority = fields.get("priority").and_then(Json::as_i64).unwrap_or(2);
        fields.insert("priority".to_owned(), json!(if priority == 3 { 4 } else { 3 }));
    }
    input
}

/// Some operation, that may or may not do what is wanted.
fn other(call: &CallRow, chance: &mut Chance) -> OperationRef {
    let to: &[(&str, &str)] = match call.capability.as_str() {
        "maintenance.request-work" => &[("eam", "create-request"), ("cmms", "create-order")],
        _ => &[("cmms", "note"), ("desk", "note"), ("registry", "set")],
    };
    let (system, operation) = *chance.one(to);
    let name = |text: &str| text.parse().expect("it is a name");
    OperationRef { system: name(system), operation: name(operation) }
}

/// The calls of a run that is about an exception a person had a hand in.
pub(crate) fn is_touched(world: &World, call: CallId) -> Result<bool, Broken> {
    let rows = world.store.exceptions_of_call(call).map_err(fault)?;
    Ok(rows.iter().any(|row| world.touched.exceptions.contains(&row.id)))
}
