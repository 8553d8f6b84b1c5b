//! What is shown of runs without the secrets that their workflows made by expressions.
//!
//! A call keeps such a secret in its input, since it may have to be sent again after a crash. Whoever looks at the
//! call, at its run, or at anything else of the run does not see it: neither where it stands nor where others repeat
//! it.

use crate::show::public;
use andon_api::Kind;
use andon_contract::http::{Identity, Part};
use andon_model::{CallId, ExceptionId, RunId};
use andon_observe::Lineage;
use andon_store::{
    Store, StoreError,
    rows::{CallRow, TaskRow},
};
use andon_systems::{MARK, Shown};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value as Json, json};
use std::{collections::BTreeMap, sync::Arc};

type Row = Map<String, Json>;

/// Rows as they are shown.
pub(crate) struct Hidden<'a> {
    store: &'a Store,
    /// What is hidden of a run, once it was looked for.
    of: BTreeMap<RunId, Arc<Shown>>,
}

impl<'a> Hidden<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, of: BTreeMap::new() }
    }

    /// A row of a list without secrets, and without what only the layers need.
    pub(crate) fn row(&mut self, kind: Kind, row: Json) -> Result<Json, StoreError> {
        let mut row = match public(kind, row) {
            Json::Object(row) => row,
            other => return Ok(other),
        };
        let of = match kind {
            Kind::Runs => "id",
            Kind::Tasks | Kind::Calls | Kind::Exceptions => "run",
            Kind::Attempts => "call",
            Kind::Audit => "subject",
            _ => return Ok(Json::Object(row)),
        };
        let of = row.get(of).and_then(Json::as_str).unwrap_or_default();
        let run = match (kind, CallId::parse(of)) {
            (Kind::Attempts | Kind::Audit, Ok(call)) => self.store.call(call)?.map(|call| call.run),
            (Kind::Audit, Err(_)) => match ExceptionId::parse(of) {
                Ok(exception) => self.store.exception(exception)?.and_then(|row| row.run),
                Err(_) => RunId::parse(of).ok(),
            },
            _ => RunId::parse(of).ok(),
        };
        // An exception that belongs to no run.
        let Some(run) = run else { return Ok(Json::Object(row)) };
        clean(kind, &mut row, &*self.of_run(run)?);
        Ok(Json::Object(row))
    }

    /// A call, whole.
    pub(crate) fn call(&mut self, call: &CallRow) -> Result<Json, StoreError> {
        self.row(Kind::Calls, json!(call))
    }

    /// A task.
    pub(crate) fn task(&mut self, task: &TaskRow) -> Result<Json, StoreError> {
        self.row(Kind::Tasks, json!(task))
    }

    /// Anything else that was found of a run.
    pub(crate) fn told(&mut self, run: RunId, json: &Json) -> Result<Json, StoreError> {
        Ok(self.of_run(run)?.value(json))
    }

    fn of_run(&mut self, run: RunId) -> Result<Arc<Shown>, StoreError> {
        if let Some(shown) = self.of.get(&run) {
            return Ok(Arc::clone(shown));
        }
        let secrets = self.store.calls_of(run)?.iter().flat_map(secrets_of).collect();
        let shown = Arc::new(Shown::without(secrets));
        self.of.insert(run, Arc::clone(&shown));
        Ok(shown)
    }
}

/// A story without the secrets of all its runs: what one of them gives to another is hidden in both.
pub(crate) fn story(lineage: &Lineage) -> Result<Json, serde_json::Error> {
    let runs = lineage.all_runs();
    let secrets = runs.iter().flat_map(|node| &node.calls).flat_map(|node| secrets_of(&node.call)).collect();
    let shown = Shown::without(secrets);
    let mut story = serde_json::to_value(lineage)?;
    for node in items(&mut story, "runs").into_iter().flatten() {
        clean_run(node, &shown);
    }
    for event in items(&mut story, "events").into_iter().flatten() {
        for node in items(event, "runs").into_iter().flatten() {
            clean_run(node, &shown);
        }
    }
    for row in items(&mut story, "exceptions").into_iter().flatten().filter_map(Json::as_object_mut) {
        clean(Kind::Exceptions, row, &shown);
    }
    for act in items(&mut story, "acts").into_iter().flatten().filter_map(Json::as_object_mut) {
        change_all(act, &["reason"], &shown);
    }
    Ok(story)
}

fn items<'j>(of: &'j mut Json, name: &str) -> Option<&'j mut Vec<Json>> {
    of.get_mut(name)?.as_array_mut()
}

/// A run of a story with all that stands under it.
fn clean_run(node: &mut Json, shown: &Shown) {
    if let Some(run) = node.get_mut("run").and_then(Json::as_object_mut) {
        clean(Kind::Runs, run, shown);
    }
    for task in items(node, "tasks").into_iter().flatten().filter_map(Json::as_object_mut) {
        clean(Kind::Tasks, task, shown);
    }
    for call in items(node, "calls").into_iter().flatten() {
        if let Some(row) = call.get_mut("call").and_then(Json::as_object_mut) {
            clean(Kind::Calls, row, shown);
        }
        for attempt in items(call, "attempts").into_iter().flatten().filter_map(Json::as_object_mut) {
            clean(Kind::Attempts, attempt, shown);
        }
        for compared in items(call, "shadows").into_iter().flatten().filter_map(Json::as_object_mut) {
            change(compared, "differences", |told| shown.value(told));
        }
    }
    for child in items(node, "children").into_iter().flatten() {
        clean_run(child, shown);
    }
}

/// The secrets in the input of a call: those that an expression gave it to identify us with.
fn secrets_of(call: &CallRow) -> Vec<String> {
    let identity = call.input.get("identity").and_then(|identity| serde_json::from_value(identity.clone()).ok());
    let text = |part: &Part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::Env(_) | Part::File(_) => None,
    };
    match identity {
        Some(Identity::Bearer { token }) => text(&token).into_iter().collect(),
        Some(Identity::Basic { username, password }) => {
            let pair = text(&password).zip(named(&username));
            let coded = pair.map(|(password, user)| BASE64_STANDARD.encode(format!("{user}:{password}")));
            text(&password).into_iter().chain(coded).collect()
        }
        None => Vec::new(),
    }
}

/// A user's name where it is known here.
fn named(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        Part::Env(_) | Part::File(_) => None,
    }
}

/// Takes the secrets out of the fields of a row that hold what was given, answered or said.
fn clean(kind: Kind, row: &mut Row, shown: &Shown) {
    match kind {
        Kind::Runs => {
            // What only the layers need holds the values of its tasks once more.
            change(row, "memory", |_| Json::Null);
            change(row, "input", |input| shown.given(input));
            change_all(row, &["output", "error"], shown);
        }
        Kind::Tasks => {
            change(row, "input", |input| shown.given(input));
            change_all(row, &["output", "context", "note"], shown);
        }
        Kind::Calls => {
            change(row, "memory", |_| Json::Null);
            change(row, "input", |input| request(input, |rest| shown.given(rest)));
            change_all(row, &["output", "detail"], shown);
        }
        Kind::Attempts => {
            change_all(row, &["request", "headers", "body"], shown);
            let Some(outcome) = row.get_mut("outcome").and_then(Json::as_object_mut) else { return };
            // The outcome of reading a document is the request that follows.
            change(outcome, "output", |output| request(output, |rest| shown.value(rest)));
            change_all(outcome, &["detail", "response", "headers", "exchanges"], shown);
        }
        Kind::Exceptions => {
            change_all(row, &["cause", "detail", "remedy", "reason"], shown);
            let Some(proposal) = row.get_mut("proposal").and_then(Json::as_object_mut) else { return };
            change(proposal, "input", |input| request(input, |rest| shown.given(rest)));
        }
        Kind::Audit => {
            change(row, "detail", |detail| shown.given(detail));
            let changes = row.get_mut("detail").and_then(|detail| detail.get_mut("changes"));
            for one in changes.and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut) {
                placed(one, shown);
            }
        }
        _ => {}
    }
}

/// Takes the secrets out of these fields.
fn change_all(row: &mut Row, names: &[&str], shown: &Shown) {
    for name in names {
        change(row, name, |json| shown.value(json));
    }
}

fn change(row: &mut Row, name: &str, to: impl FnOnce(&Json) -> Json) {
    if let Some(field) = row.get_mut(name).filter(|field| !field.is_null()) {
        *field = to(field);
    }
}

/// Where an input was edited: what stands there has the name at the end of its place.
fn placed(difference: &mut Row, shown: &Shown) {
    let at = difference.get("at").and_then(Json::as_str).unwrap_or_default();
    let name = at.rsplit('/').next().unwrap_or_default().to_owned();
    for side in ["from", "to"] {
        change(difference, side, |value| {
            let mut named = shown.given(&json!({ name.as_str(): value }));
            named.get_mut(&name).map(Json::take).unwrap_or_default()
        });
    }
}

/// A request that a workflow makes itself: of how it identifies us, references and users are shown.
fn request(input: &Json, clean: impl FnOnce(&Json) -> Json) -> Json {
    let mut rest = input.clone();
    let identity = rest.as_object_mut().and_then(|fields| fields.remove("identity"));
    let mut shown = clean(&rest);
    if let (Some(identity), Some(fields)) = (identity, shown.as_object_mut()) {
        fields.insert("identity".to_owned(), marked(&identity));
    }
    shown
}

/// How a request identifies us, without secrets; what is no such thing is not shown at all.
fn marked(identity: &Json) -> Json {
    let hide = |part: Part| match part {
        Part::Text(_) => Part::Text(MARK.to_owned()),
        reference => reference,
    };
    match serde_json::from_value(identity.clone()) {
        Ok(Identity::Bearer { token }) => json!(Identity::Bearer { token: hide(token) }),
        Ok(Identity::Basic { username, password }) => json!(Identity::Basic { username, password: hide(password) }),
        Err(_) => Json::from(MARK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_store::{conformance as given, rows::CallState, rows::Write};

    /// A run with a call that identifies itself so.
    fn world(identity: &Json) -> (Store, Json, CallRow) {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let mut run = given::run(1, None);
        run.input = json!({"user": "clerk", "key": "s3cret-of-a", "password": "p", "note": {"Api-Key": "k", "n": 1}});
        run.output = Some(json!({"echo": "it was s3cret-of-a", "token": "public"}));
        let mut call = given::call(1, CallState::Delivered, None);
        call.run = run.id;
        call.input = json!({"method": "GET", "url": "http://office/a?k=s3cret-of-a", "identity": identity});
        (call.detail, call.output) = (Some("s3cret-of-a is known".into()), Some(json!(["s3cret-of-a"])));
        let task = TaskRow { run: run.id, output: json!({"k": "s3cret-of-a"}), ..given::task(1, "/do/0/a") };
        let mut exception = given::exception("of this run", 3);
        (exception.run, exception.detail) = (Some(run.id), "s3cret-of-a?".into());
        let row = json!(run);
        let writes = [
            Write::Run(Box::new(run)),
            Write::Call(Box::new(call.clone())),
            Write::Task(Box::new(task)),
            Write::Exception(Box::new(exception)),
        ];
        store.commit(writes.into()).unwrap();
        (store, row, call)
    }

    #[test]
    fn what_an_expression_gave_is_hidden_in_all_that_is_shown_of_its_run() {
        let coded = BASE64_STANDARD.encode("clerk:s3cret-of-a");
        for (identity, expected) in [
            (
                json!({"basic": {"username": {"text": "clerk"}, "password": {"text": "s3cret-of-a"}}}),
                json!({"basic": {"username": {"text": "clerk"}, "password": {"text": MARK}}}),
            ),
            (json!({"bearer": {"token": {"text": "s3cret-of-a"}}}), json!({"bearer": {"token": {"text": MARK}}})),
        ] {
            let (store, run, call) = world(&identity);
            let mut hidden = Hidden::new(&store);
            let shown = hidden.call(&call).unwrap();
            assert_eq!(shown["input"]["identity"], expected);
            assert_eq!(shown["input"]["url"], "http://office/a?k=[redacted]");
            let shown_run = hidden.row(Kind::Runs, run).unwrap();
            assert_eq!(shown_run["input"]["note"], json!({"Api-Key": MARK, "n": 1}));
            assert_eq!(shown_run["output"], json!({"echo": "it was [redacted]", "token": "public"}));
            let task = hidden.task(&store.tasks(call.run).unwrap()[0]).unwrap();
            assert_eq!(task["output"]["k"], MARK);
            let text = format!("{shown} {shown_run} {task}");
            assert!(!text.contains("s3cret") && !text.contains(&coded), "{text}");
        }
    }

    #[test]
    fn a_reference_is_shown_and_what_is_no_identity_is_not() {
        let reference = json!({"bearer": {"token": {"env": "CLERK"}}});
        let (store, _, call) = world(&reference);
        assert_eq!(Hidden::new(&store).call(&call).unwrap()["input"]["identity"], reference);
        let strange = json!({"bearer": "s3cret-of-a"});
        let (store, _, call) = world(&strange);
        assert_eq!(Hidden::new(&store).call(&call).unwrap()["input"]["identity"], MARK);
    }

    #[test]
    fn a_story_is_told_without_the_secrets_of_its_runs() {
        let (store, ..) = world(&json!({"bearer": {"token": {"text": "s3cret-of-a"}}}));
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/machine-temperature");
        let contract = andon_contract::load(std::path::Path::new(example)).unwrap().contract;
        let run = given::run(1, None).id.to_string();
        let lineage = andon_observe::explain(&store, &contract, &run).unwrap().unwrap();
        let told = story(&lineage).unwrap();
        assert!(!told.to_string().contains("s3cret"), "{told}");
        let read: Lineage = serde_json::from_value(told).unwrap();
        let node = read.all_runs()[0];
        assert_eq!((node.tasks.len(), node.calls.len(), read.exceptions.len()), (1, 1, 1));
    }
}
