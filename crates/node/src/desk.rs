//! What people do with exceptions: assign, retry, edit, agree, skip, reroute, compensate, discard; one, or all that
//! match.
//!
//! What touches a run or a call is done by the loop of workflows, which alone knows where they stand. The rest is done
//! here, with its row of the audit in the same commit.

use crate::{
    acts::Ask,
    audit::NOBODY,
    backend::StoreBackend,
    clock,
    edits::{changed, difference, restored},
    hidden::Hidden,
    history::fault,
    stuck::edits_of,
};
use andon_api::{
    Problem,
    exceptions::{Asked, BulkAsked, BulkDone, ExceptionDone, Refused, Wanted},
};
use andon_contract::contract::OperationRef;
use andon_model::{ExceptionId, Name, Time};
use andon_observe::notices::due_for;
use andon_store::{
    Query,
    rows::{AuditRow, CallRow, ExceptionChange, ExceptionKind, ExceptionRow, ExceptionState, Proposal, Write},
};
use andon_workflows::run::{Acted, What};
use serde_json::{Value as Json, json};

/// How an act is carried out.
enum Plan {
    /// By the loop of workflows.
    Loop(What),
    /// Here: the exception alone changes.
    Here { change: Box<ExceptionChange>, detail: Json },
}

impl StoreBackend {
    /// Does something with an exception; returns once it is durable.
    pub(crate) fn act_on(&self, exception: &str, asked: &Asked) -> Result<ExceptionDone, Problem> {
        self.at_work()?;
        let unknown = || {
            Problem::not_found(format!("there is no exception {exception:?}"))
                .remedy("`andon exceptions` lists those that are unfinished")
        };
        let id = ExceptionId::parse(exception.trim()).map_err(|_| unknown())?;
        let row = self.store.exception(id).map_err(|e| fault(&e))?.ok_or_else(unknown)?;
        let plan = self.plan(&row, asked, clock::now())?;
        let proposed = matches!(&plan, Plan::Here { change, .. } if change.proposal.is_some());
        let acted = self.carried_out(vec![(&row, plan)], asked).pop().unwrap_or_else(|| Err(unknown()))?;
        let now = self.store.exception(id).map_err(|e| fault(&e))?.unwrap_or(row);
        let (run, call, stands) = match acted {
            Some(acted) => (acted.run.or(now.run), acted.call.or(now.call), Some(acted.state)),
            None => (now.run, now.call, None),
        };
        Ok(ExceptionDone {
            exception: id.to_string(),
            action: asked.wanted.word().to_owned(),
            state: now.state.word().to_owned(),
            owner: now.owner.to_string(),
            assignee: now.assignee,
            run: run.map(|run| run.to_string()),
            call: call.map(|call| call.to_string()),
            stands,
            proposed,
        })
    }

    /// Does something with a page of the exceptions that match, oldest first; each is looked at once.
    pub(crate) fn act_on_all(&self, asked: &BulkAsked) -> Result<BulkDone, Problem> {
        self.at_work()?;
        let now = clock::now();
        let until = match &asked.until {
            Some(text) => Time::parse(text).map_err(|e| {
                Problem::request(format!("`until` is no time: {e}")).remedy("give `until` of the first page")
            })?,
            None => now,
        };
        let (rows, next) = self.matching(asked)?;
        let is_meant = |row: &ExceptionRow| {
            !row.state.has_ended() && row.state != ExceptionState::Resubmitted && row.first <= until
        };
        let rows: Vec<ExceptionRow> = rows.into_iter().filter(is_meant).collect();
        let mut page = BulkDone {
            action: asked.asked.wanted.word().to_owned(),
            dry_run: asked.dry_run,
            matched: rows.len() as u64,
            until: until.to_string(),
            next,
            ..BulkDone::default()
        };
        let mut plans = Vec::new();
        for row in &rows {
            match self.plan(row, &asked.asked, now) {
                Ok(plan) => plans.push((row, plan)),
                Err(problem) => refuse(&mut page, row.id, problem),
            }
        }
        if asked.dry_run {
            page.done = plans.len() as u64;
            return Ok(page);
        }
        let ids: Vec<ExceptionId> = plans.iter().map(|(row, _)| row.id).collect();
        for (id, acted) in ids.into_iter().zip(self.carried_out(plans, &asked.asked)) {
            match acted {
                Ok(_) => page.done += 1,
                Err(problem) => refuse(&mut page, id, problem),
            }
        }
        Ok(page)
    }

    /// Unfinished exceptions behind a place, oldest first, and where the next page begins.
    fn matching(&self, asked: &BulkAsked) -> Result<(Vec<ExceptionRow>, Option<u64>), Problem> {
        if let (Some(group), []) = (&asked.group, asked.filters.as_slice()) {
            let after = asked.after.unwrap_or(0);
            let mut rows =
                self.store.exceptions_of_group(group, after, asked.limit.saturating_add(1)).map_err(|e| fault(&e))?;
            let more = rows.len() > asked.limit;
            rows.truncate(asked.limit);
            let next = rows.last().map(|(number, _)| *number).filter(|_| more);
            return Ok((rows.into_iter().map(|(_, row)| row).collect(), next));
        }
        let mut filters = asked.filters.clone();
        filters.push(("unfinished".to_owned(), "yes".to_owned()));
        filters.extend(asked.group.iter().map(|group| ("fingerprint".to_owned(), group.clone())));
        let query = Query { where_: filters, after: asked.after, limit: asked.limit, ascending: true };
        let page = self.store.list("exceptions", &query).map_err(|e| crate::backend::listed(&e))?;
        let rows: Result<Vec<ExceptionRow>, _> = page.rows.into_iter().map(serde_json::from_value).collect();
        Ok((rows.map_err(|e| Problem::fault(format!("an exception does not read back: {e}")))?, page.next))
    }

    /// What is to be done with an exception, as far as its row says; the loop looks once more at what it is about.
    fn plan(&self, row: &ExceptionRow, asked: &Asked, now: Time) -> Result<Plan, Problem> {
        let id = row.id;
        if row.state.has_ended() {
            return Err(Problem::conflict(format!("{id} has ended: it is {}", row.state.word()))
                .remedy(format!("`andon show {id}` says what became of it; nothing was changed")));
        }
        match &asked.wanted {
            Wanted::Assign { to } => Ok(self.assigned(row, to, asked, now)),
            Wanted::Discard {} if is_alone(row) => {
                let mut change = ExceptionChange::of(id, now).to(ExceptionState::Discarded);
                change.reason.clone_from(&asked.reason);
                Ok(Plan::Here { change: Box::new(change), detail: json!({ "before": row.state }) })
            }
            Wanted::Edit { .. }
            | Wanted::Agree {}
            | Wanted::Retry { .. }
            | Wanted::Skip { .. }
            | Wanted::Reroute { .. }
            | Wanted::Compensate {}
            | Wanted::Discard {}
                if row.state == ExceptionState::Resubmitted =>
            {
                Err(Problem::conflict(format!("{id} is on its way already"))
                    .remedy(format!("`andon show {id}` says how it stands; it opens again if it fails again")))
            }
            _ if is_alone(row) => Err(without(row, asked.wanted.word())),
            Wanted::Retry { not_there } => Ok(Plan::Loop(What::Retry { exception: id, not_there: *not_there })),
            Wanted::Edit { input, set } => self.edited(row, (input.as_ref(), set), asked, now),
            Wanted::Agree {} => agreed(row, asked),
            Wanted::Skip { output, document } => {
                Ok(Plan::Loop(What::Skip { exception: id, output: output.clone(), document: document.clone() }))
            }
            Wanted::Reroute { to } => {
                let operation = operation(to).ok_or_else(|| {
                    Problem::content(format!("{to:?} is no operation"))
                        .remedy("write system.operation; `andon list systems` names them")
                })?;
                Ok(Plan::Loop(What::Reroute { exception: id, operation }))
            }
            Wanted::Compensate {} => Ok(Plan::Loop(What::Compensate { exception: id })),
            Wanted::Discard {} => Ok(Plan::Loop(What::Discard { exception: id })),
        }
    }

    /// A team or a person takes care of it. What is on its way, or waits for a system, stays so.
    fn assigned(&self, row: &ExceptionRow, to: &str, asked: &Asked, now: Time) -> Plan {
        let mut change = ExceptionChange::of(row.id, now);
        if matches!(row.state, ExceptionState::Open | ExceptionState::Assigned) {
            change.state = Some(ExceptionState::Assigned);
        }
        change.reason.clone_from(&asked.reason);
        let to = to.trim();
        let team = Name::new(to).ok().filter(|name| self.contract.ownership.teams.contains_key(name));
        let detail = json!({
            "to": to,
            "is": if team.is_some() { "team" } else { "person" },
            "before": { "owner": row.owner, "assignee": row.assignee, "state": row.state },
        });
        match team {
            Some(team) => {
                // Another team's time begins now, in its hours.
                if team != row.owner {
                    let call = row.call.and_then(|call| self.store.call(call).ok().flatten());
                    let input = call.as_ref().map(|call| &call.input);
                    change.due = Some(due_for(&self.contract, row, &team, input, now));
                }
                (change.owner, change.assignee) = (Some(team), Some(None));
            }
            None => change.assignee = Some(Some(to.to_owned())),
        }
        Plan::Here { change: Box::new(change), detail }
    }

    /// Another input for a call, or the proposal of one where two must agree.
    fn edited(
        &self,
        row: &ExceptionRow,
        (input, set): (Option<&Json>, &std::collections::BTreeMap<String, Json>),
        asked: &Asked,
        now: Time,
    ) -> Result<Plan, Problem> {
        let call = self.call_of(row)?;
        let edited = match input {
            Some(input) => {
                let shown = Hidden::new(&self.store).call(&call).map_err(|e| fault(&e))?;
                restored(&call.input, shown.get("input").unwrap_or(&Json::Null), input)
            }
            None => changed(&call.input, set)?,
        };
        if edited == call.input {
            return Err(Problem::content(format!("the edit changes nothing: the input of {} is like that", call.id))
                .remedy(format!("`andon exceptions retry {}` sends it again as it is", row.id)));
        }
        if !self.needs_two(row) {
            return Ok(Plan::Loop(What::Edit { exception: row.id, input: edited, agreed_by: None }));
        }
        // Whoever agrees later should not be told then that it never fitted.
        let declared = self.contract.capabilities.get(&call.capability).map(|declared| declared.input.as_str());
        if let Some(Err(problem)) = declared.map(|schema| self.contract.schemas.check(schema, &edited)) {
            return Err(Problem::content(format!("the input of {} {problem}", call.capability)).remedy(format!(
                "`andon list capabilities` names its schema; `andon show {}` tells the input",
                row.id
            )));
        }
        let Some(by) = asked.by.clone() else {
            return Err(Problem::content("this edit needs two people, and nobody says who the first is")
                .remedy("say `by`; another person agrees with `andon exceptions agree`"));
        };
        let mut change = ExceptionChange::of(row.id, now);
        let detail = json!({ "call": call.id, "changes": difference(&call.input, &edited) });
        let reason = asked.reason.clone().unwrap_or_default();
        change.proposal = Some(Some(Box::new(Proposal { input: edited, by, at: now, reason })));
        Ok(Plan::Here { change: Box::new(change), detail })
    }

    fn call_of(&self, row: &ExceptionRow) -> Result<CallRow, Problem> {
        let none = || {
            Problem::content(format!("{} is about no call, so that there is no input to edit", row.id))
                .remedy(row.remedy.clone())
        };
        let call = row.call.ok_or_else(none)?;
        edits_of(&self.store, call).map_err(|e| fault(&e))?.pop().ok_or_else(none)
    }

    /// Whether the project wants two people for an edit of it.
    fn needs_two(&self, row: &ExceptionRow) -> bool {
        self.contract.exceptions.needs_two(row.domain.as_deref(), row.site.as_ref())
    }

    /// Carries out what was planned, in this order; where runs and calls stand afterwards.
    fn carried_out(
        &self,
        plans: Vec<(&ExceptionRow, Plan)>,
        asked: &Asked,
    ) -> Vec<Result<Option<andon_workflows::run::Standing>, Problem>> {
        let by = asked.by.clone().unwrap_or_else(|| NOBODY.to_owned());
        let reason = asked.reason.clone().unwrap_or_default();
        let mut answers: Vec<Option<Result<Option<_>, Problem>>> = plans.iter().map(|_| None).collect();
        let (mut asks, mut here) = (Vec::new(), Vec::new());
        for (place, (row, plan)) in plans.into_iter().enumerate() {
            match plan {
                Plan::Loop(what) => {
                    let (by, reason) = match (&what, &row.proposal) {
                        (What::Edit { agreed_by: Some(_), .. }, Some(of)) => (of.by.clone(), of.reason.clone()),
                        _ => (by.clone(), reason.clone()),
                    };
                    asks.push((place, row.id, Ask { by, reason, what }));
                }
                Plan::Here { change, mut detail } => {
                    if let (Some(detail), false) = (detail.as_object_mut(), reason.is_empty()) {
                        detail.insert("reason".to_owned(), Json::from(reason.as_str()));
                    }
                    let act = if change.proposal.is_some() { "propose" } else { asked.wanted.word() };
                    let audit = AuditRow {
                        at: change.at,
                        actor: by.clone(),
                        act: format!("exception.{act}"),
                        subject: row.id.to_string(),
                        detail,
                    };
                    here.push((place, row.id, change, audit));
                }
            }
        }
        let (places, asks): (Vec<_>, Vec<_>) = asks.into_iter().map(|(place, id, ask)| ((place, id), ask)).unzip();
        let acted = match self.at_work() {
            Ok(running) if !asks.is_empty() => running.starts().acts.act_all(&self.store, asks),
            Ok(_) => Vec::new(),
            Err(problem) => places.iter().map(|_| Err(problem.clone())).collect(),
        };
        for ((place, id), acted) in places.into_iter().zip(acted) {
            if let Some(answer) = answers.get_mut(place) {
                *answer = Some(acted.and_then(|acted| told(id, acted)).map(Some));
            }
        }
        self.change_here(here, &mut answers);
        let lost = || Problem::fault("an act was not carried out").remedy("look at the exception, and ask again");
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(lost()))).collect()
    }

    /// Changes exceptions alone, all of them in one commit.
    fn change_here<T>(
        &self,
        here: Vec<(usize, ExceptionId, Box<ExceptionChange>, AuditRow)>,
        answers: &mut [Option<Result<Option<T>, Problem>>],
    ) {
        if here.is_empty() {
            return;
        }
        let mut writes = Vec::new();
        let mut rows = Vec::new();
        for (place, id, change, audit) in here {
            writes.push(Write::ExceptionChange(change));
            writes.push(Write::Audit(Box::new(audit.clone())));
            rows.push((place, id, audit));
        }
        let committed = self.store.commit(writes).map_err(|e| match e {
            full if full.is_full() => Problem::unavailable(full.to_string()).remedy("free space, and ask again"),
            other => fault(&other),
        });
        let mut void = Vec::new();
        for (place, id, audit) in rows {
            let answer = match &committed {
                Err(problem) => Err(problem.clone()),
                Ok(done) if done.changed.iter().any(|(of, applied)| *of == id && *applied) => Ok(None),
                Ok(_) => {
                    // It ended between the look and the act: the chain says that nothing came of it.
                    let detail = json!({ "void": "it had ended before" });
                    void.push(Write::Audit(Box::new(AuditRow { detail, ..audit })));
                    Err(Problem::conflict(format!("{id} has ended meanwhile"))
                        .remedy(format!("`andon show {id}` says what became of it")))
                }
            };
            if let Some(place) = answers.get_mut(place) {
                *place = Some(answer);
            }
        }
        if !void.is_empty()
            && let Err(error) = self.store.commit(void)
        {
            tracing::warn!(%error, "that nothing came of an act is not in the audit");
        }
    }
}

/// `system.operation`.
fn operation(text: &str) -> Option<OperationRef> {
    let (system, operation) = text.trim().split_once('.')?;
    Some(OperationRef { system: Name::new(system).ok()?, operation: Name::new(operation).ok()? })
}

/// An exception that no call and no run stands behind.
fn is_alone(row: &ExceptionRow) -> bool {
    row.call.is_none() && row.run.is_none()
}

/// What cannot be done with an exception because of what it is.
fn without(row: &ExceptionRow, word: &str) -> Problem {
    let problem = Problem::content(format!("{} has no call and no run that could be taken up: `{word}`", row.id));
    match row.kind {
        ExceptionKind::Input => problem.remedy(format!(
            "mend the mapping and start the project, then `andon exceptions replay {}` tries its messages again",
            row.id
        )),
        _ => problem.remedy(row.remedy.clone()),
    }
}

/// A second person agrees with an edit.
fn agreed(row: &ExceptionRow, asked: &Asked) -> Result<Plan, Problem> {
    let id = row.id;
    let Some(proposal) = &row.proposal else {
        return Err(Problem::conflict(format!("nobody has proposed an edit of {id}"))
            .remedy(format!("`andon exceptions edit {id}` makes or proposes one")));
    };
    let Some(by) = asked.by.as_ref().map(|by| by.trim()) else {
        return Err(Problem::content("nobody says who agrees").remedy("say `by`"));
    };
    if by.to_lowercase() == proposal.by.trim().to_lowercase() {
        return Err(Problem::conflict(format!("{by} has proposed this edit; another person must agree"))
            .remedy(format!("let somebody else look at `andon show {id}` and agree")));
    }
    Ok(Plan::Loop(What::Edit { exception: id, input: proposal.input.clone(), agreed_by: Some(by.to_owned()) }))
}

/// What the loop said, for people.
fn told(id: ExceptionId, acted: Acted) -> Result<andon_workflows::run::Standing, Problem> {
    match acted {
        Acted::Done(standing) => Ok(standing),
        Acted::Ended(state) => Err(Problem::conflict(format!("the run of {id} has ended: it is {}", state.word()))
            .remedy(format!("`andon show {id}` says what it has done; nothing was changed"))),
        Acted::Unknown => Err(Problem::conflict(format!("what {id} is about is not there any more"))
            .remedy(format!("`andon show {id}` says what is known"))),
        Acted::Refused(why) => {
            Err(Problem::conflict(why).remedy(format!("`andon show {id}` says how it stands; nothing was changed")))
        }
    }
}

fn refuse(page: &mut BulkDone, id: ExceptionId, problem: Problem) {
    page.refused += 1;
    page.problems.push(Refused { exception: id.to_string(), detail: problem.detail, remedy: problem.remedy });
}
