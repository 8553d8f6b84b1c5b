//! An exception, whole: what it is about, as it came in and as it went out, and what was done about it.

use crate::{
    hidden::Hidden,
    show::{message, show_call},
};
use andon_api::Kind;
use andon_model::{CallId, Key};
use andon_store::{
    Query, Store, StoreError,
    rows::{CallRow, ExceptionRow, RunRow},
};
use serde_json::{Map, Value as Json, json};

/// Messages shown of an exception, the newest first.
const MESSAGES_SHOWN: usize = 20;
/// Acts shown of an exception, the first ones.
const ACTS_SHOWN: usize = 1_000;
/// Edits of a call that are looked through.
const EDITS_MAX: usize = 1_000;
/// Runs above a run that are looked through for the event which began it all.
const PARENTS_MAX: usize = 64;

/// An exception with its group, the event or the messages behind it, its run, its call with the attempts, the edit that
/// is proposed, and all that was done about it.
pub(crate) fn show_exception(store: &Store, row: &ExceptionRow) -> Result<Json, StoreError> {
    let mut hidden = Hidden::new(store);
    let mut shown = Map::new();
    let mut put = |name: &str, json: Json| shown.insert(name.to_owned(), json);
    put("exception", hidden.row(Kind::Exceptions, json!(row))?);
    put("quarantine", store.quarantine(row.id, MESSAGES_SHOWN)?.iter().map(message).collect());
    if let Some(group) = group_of(store, row)? {
        put("group", group);
    }
    let run = row.run.map(|run| store.run(run)).transpose()?.flatten();
    if let Some(run) = &run {
        if let Some(event) = begun_by(store, run)? {
            put("event", event);
        }
        put(
            "run",
            json!({
                "id": run.id, "workflow": run.workflow, "site": run.site, "state": run.state, "started": run.started,
                "updated": run.updated, "key": run.key, "error": hidden.told(run.id, &json!(run.error))?,
            }),
        );
    }
    let mut calls = row.call.map(|call| edits_of(store, call)).transpose()?.unwrap_or_default();
    if let Some(newest) = calls.pop() {
        if let Json::Object(call) = show_call(store, &newest)? {
            shown.extend(call);
        }
        let before: Result<Vec<Json>, _> = calls.iter().map(|call| show_call(store, call)).collect();
        if let Some(before) = Some(before?).filter(|before| !before.is_empty()) {
            shown.insert("superseded".to_owned(), Json::Array(before));
        }
    }
    if let (Some(proposal), Some(before)) = (&row.proposal, shown.get("call").and_then(|call| call.get("input"))) {
        let after = shown.get("exception").and_then(|row| row.pointer("/proposal/input"));
        let difference = crate::edits::difference(before, after.unwrap_or(&proposal.input));
        shown.insert("proposed".to_owned(), json!(difference));
    }
    shown.insert("history".to_owned(), Json::Array(history(store, row, &mut hidden)?));
    Ok(Json::Object(shown))
}

/// A call and those that stand for it since its input was edited, oldest first.
pub(crate) fn edits_of(store: &Store, call: CallId) -> Result<Vec<CallRow>, StoreError> {
    let mut calls: Vec<CallRow> = store.call(call)?.into_iter().collect();
    while let Some(last) = calls.last().filter(|_| calls.len() <= EDITS_MAX) {
        let next = Key::of_task(last.run, &last.pointer, &last.iteration, last.edit + 1);
        match store.call(next.call_id())? {
            Some(edited) => calls.push(edited),
            None => break,
        }
    }
    Ok(calls)
}

fn group_of(store: &Store, row: &ExceptionRow) -> Result<Option<Json>, StoreError> {
    let where_ = vec![("fingerprint".to_owned(), row.fingerprint.clone())];
    let page = store.list("exception-groups", &Query { where_, after: None, limit: 1, ascending: true })?;
    Ok(page.rows.into_iter().next())
}

/// The event that began a run, or the run that has started it.
fn begun_by(store: &Store, run: &RunRow) -> Result<Option<Json>, StoreError> {
    let mut at = run.clone();
    for _ in 0..PARENTS_MAX {
        if let Some(event) = at.event {
            return Ok(store.event(event)?.map(|(stored, _)| stored.event.to_json(Some(stored.sequence))));
        }
        let Some(parent) = at.parent.as_ref() else { return Ok(None) };
        let Some(above) = store.run(parent.run)? else { return Ok(None) };
        at = above;
    }
    Ok(None)
}

/// What was done about it, oldest first.
fn history(store: &Store, row: &ExceptionRow, hidden: &mut Hidden) -> Result<Vec<Json>, StoreError> {
    let acts = store.audit_of(&row.id.to_string(), ACTS_SHOWN)?;
    let told = acts.into_iter().map(|act| {
        let mut told = json!(act.row);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("number".to_owned(), json!(act.number));
        }
        hidden.row(Kind::Audit, told)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_store::{
        conformance as given,
        rows::{AuditRow, CallState, Write},
    };

    #[test]
    fn an_exception_is_shown_with_all_that_is_known_of_it() {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let (event, run) = (given::event(1), given::run(1, None));
        let run = RunRow { event: Some(event.id), ..run };
        let mut call = given::call(1, CallState::Refused, None);
        call.run = run.id;
        call.input = json!({"unit": "kg", "password": "s3cret"});
        let mut row = given::exception("refused/home/a", 3);
        (row.run, row.call) = (Some(run.id), Some(call.id));
        let proposal = json!({"input": {"unit": "KG", "password": "s3cret"}, "by": "mia", "at": row.last,
            "reason": "the unit"});
        row.proposal = Some(serde_json::from_value(proposal).unwrap());
        let act = AuditRow {
            at: row.last,
            actor: "mia".into(),
            act: "exception.propose".into(),
            subject: row.id.to_string(),
            detail: json!({"changes": [{"at": "/password", "to": "s3cret"}]}),
        };
        store
            .commit(vec![
                Write::Event(Box::new(event.clone()), None),
                Write::Run(Box::new(run.clone())),
                Write::Call(Box::new(call.clone())),
                Write::Exception(Box::new(row.clone())),
                Write::Audit(Box::new(act)),
            ])
            .unwrap();
        let shown = show_exception(&store, &row).unwrap();
        assert_eq!(shown["event"]["id"], json!(event.id));
        assert_eq!((&shown["run"]["id"], &shown["call"]["id"]), (&json!(run.id), &json!(call.id)));
        assert_eq!(shown["group"]["unfinished"], 1);
        assert_eq!(shown["proposed"], json!([{"at": "/unit", "from": "kg", "to": "KG"}]));
        assert_eq!(shown["history"][0]["act"], "exception.propose");
        assert!(!shown.to_string().contains("s3cret"), "{shown}");
    }
}
