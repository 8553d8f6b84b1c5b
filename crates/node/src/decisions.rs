//! Decisions of people: an answer is checked against its form, and becomes the event that a run waits for.

use crate::{audit::NOBODY, backend::StoreBackend, clock, given, history::fault};
use andon_api::{
    Problem,
    decisions::{Decide, Decided},
};
use andon_contract::workflow::{HUMAN_DECISION, ValueSchema};
use andon_model::{Event, ExceptionId, Time};
use andon_store::{
    Decision, Store,
    rows::{AuditRow, ExceptionRow, ExceptionState, Write},
};
use andon_workflows::machine::listen::decision_event;
use serde_json::{Value as Json, json};
use std::path::Path;

impl StoreBackend {
    /// Takes a decision; returns once it is durable. `stopped` is the folder, where no instance runs.
    pub(crate) fn decide_exception(
        &self,
        exception: &str,
        decide: &Decide,
        stopped: Option<&Path>,
    ) -> Result<Decided, Problem> {
        let unknown = || {
            Problem::not_found(format!("there is no exception {exception:?}"))
                .remedy("`andon exceptions` lists those that are open")
        };
        let id = ExceptionId::parse(exception).map_err(|_| unknown())?;
        let opened = stopped.map(|dir| Store::open(dir, &mut given::chance)).transpose();
        let opened =
            opened.map_err(|e| Problem::unavailable(e.to_string()).remedy("ask the instance that holds it"))?;
        let store = opened.as_ref().unwrap_or(&self.store);
        let row = store.exception(id).map_err(|e| fault(&e))?.ok_or_else(unknown)?;
        let Some(asked) = row.decision.clone() else {
            return Err(Problem::content(format!("{id} asks for no decision: it is of kind {}", row.kind.word()))
                .remedy("`andon show` says what to do instead"));
        };
        if row.state.has_ended() {
            return Err(taken(&row, &asked));
        }
        let fits = ValueSchema::compile(asked.form.clone()).and_then(|form| form.check(&decide.answer));
        fits.map_err(|why| {
            Problem::content(format!("the answer does not fit the form of {id}: {why}"))
                .remedy(format!("the form is {}", asked.form))
        })?;
        let at = clock::now();
        let event = self.decision(store, &row, decide, at)?;
        let event_id = event.id;
        let by = decide.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        let edited = ExceptionRow {
            state: ExceptionState::Resolved,
            detail: format!("{}; decided{by} at {at}", row.detail),
            decision: Some(Box::new(Decision {
                answer: Some(decide.answer.clone()),
                by: decide.by.clone(),
                ..*asked.clone()
            })),
            ..row.clone()
        };
        let act = AuditRow {
            at,
            actor: decide.by.clone().unwrap_or_else(|| NOBODY.to_owned()),
            act: "exception.decide".to_owned(),
            subject: id.to_string(),
            detail: json!({ "answer": decide.answer, "question": row.cause, "event": event_id }),
        };
        let writes = vec![
            Write::Event(Box::new(event), None),
            Write::ExceptionEdit(Box::new(edited)),
            Write::Audit(Box::new(act)),
        ];
        let committed = store.commit(writes).map_err(|e| match e {
            full if full.is_full() => Problem::unavailable(full.to_string()).remedy("free space, and ask again"),
            other => fault(&other),
        })?;
        // Of two who answer at the same moment, one was first.
        if committed.events.iter().any(|(of, _, is_new)| *of == event_id && !is_new) {
            return Err(taken(&row, &asked));
        }
        Ok(Decided {
            exception: id.to_string(),
            run: row.run.map(|run| run.to_string()),
            answer: decide.answer.clone(),
            by: decide.by.clone(),
            at: at.to_string(),
            event: event_id.to_string(),
        })
    }

    /// The event that tells a decision; a second one of the same exception has the same id.
    fn decision(&self, store: &Store, row: &ExceptionRow, decide: &Decide, at: Time) -> Result<Event, Problem> {
        let id = decision_event(row.id);
        let run = match row.run {
            Some(run) => store.run(run).map_err(|e| fault(&e))?,
            None => None,
        };
        let Some(site) = row.site.clone() else {
            return Err(Problem::fault(format!("the exception {} has no site", row.id)));
        };
        let schema = self.contract.schemas.full_name(&format!("{HUMAN_DECISION}/1"));
        let mut data = json!({ "exception": row.id, "answer": decide.answer, "question": row.cause });
        if let (Some(by), Some(data)) = (&decide.by, data.as_object_mut()) {
            data.insert("by".to_owned(), Json::from(by.as_str()));
        }
        Ok(Event {
            id,
            kind: HUMAN_DECISION.to_owned(),
            source: format!("/{site}/people"),
            time: at,
            subject: row.id.to_string(),
            schema: schema.unwrap_or_else(|| format!("andon:{HUMAN_DECISION}/1.0")),
            site,
            key: row.id.to_string(),
            correlation: run.as_ref().and_then(|run| run.correlation).unwrap_or(id),
            causation: row.run.map(|run| run.to_string()),
            recorded: at,
            data,
        })
    }
}

/// Nothing is left to decide.
fn taken(row: &ExceptionRow, asked: &Decision) -> Problem {
    let id = row.id;
    match (&asked.answer, &asked.by) {
        (Some(_), Some(by)) => Problem::conflict(format!("{id} was decided before, by {by}")),
        (Some(_), None) => Problem::conflict(format!("{id} was decided before")),
        (None, _) => Problem::conflict(format!("{id} needs no decision any more")),
    }
    .remedy(format!("`andon show {id}` says what became of it"))
}
