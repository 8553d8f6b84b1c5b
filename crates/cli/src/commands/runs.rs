//! `andon runs`: what people do with runs; `cancel` ends them, `migrate` takes them to the definition in force.

use crate::{
    args::{CancelRuns, MigrateRuns, Runs, RunsCommand, Where},
    commands::exceptions::by,
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{Kind, Query, cancel::CancelRun, migrate::MigrateRun};
use serde_json::Value as Json;
use std::process::ExitCode;

/// Runs of a page.
const PAGE: usize = 500;
/// States of runs that have ended.
const ENDED: [&str; 3] = ["completed", "faulted", "cancelled"];
/// States of runs that keep their definition.
const SETTLED: [&str; 3] = ["completed", "cancelled", "queued"];

pub(super) fn run(args: &Runs) -> anyhow::Result<ExitCode> {
    match &args.command {
        RunsCommand::Cancel(args) => cancel(args),
        RunsCommand::Migrate(args) => migrate(args),
    }
}

fn cancel(args: &CancelRuns) -> anyhow::Result<ExitCode> {
    let target = running(&args.instance, "it ends the runs and what they wait for")?;
    let ids = meant(&target, &args.ids, &args.filters, &ENDED)?;
    let cancel = CancelRun { reason: args.reason.clone(), by: by(args.by.as_ref()), compensate: args.compensate };
    let mut refused = 0;
    for id in &ids {
        match target.cancel_run(id, &cancel) {
            Ok(done) if args.instance.json => output::line(serde_json::to_string(&done)?),
            Ok(done) if done.state == "cancelled" => output::line(format!("{id} is cancelled")),
            Ok(done) => output::line(format!("{id} undoes what it has done ({})", done.state)),
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                refused += 1;
                output::hint(format!("{id}: {error}"));
            }
        }
    }
    if ids.is_empty() {
        output::line("no run matches that has not ended");
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

fn migrate(args: &MigrateRuns) -> anyhow::Result<ExitCode> {
    let target = running(&args.instance, "it reads what the runs began with")?;
    let ids = meant(&target, &args.ids, &args.filters, &SETTLED)?;
    let migrate = MigrateRun { reason: args.reason.clone(), by: by(args.by.as_ref()), dry_run: args.dry_run };
    let (mut done, mut refused) = (0, 0);
    for id in &ids {
        match target.migrate_run(id, &migrate) {
            Ok(of) => {
                done += 1;
                let text = match (args.dry_run, of.state.as_str()) {
                    (true, state) => format!("{id} fits ({state})"),
                    (false, "faulted") => format!("{id} has gone over; retry its exception to take it up"),
                    (false, state) => format!("{id} has gone over ({state})"),
                };
                output::line(if args.instance.json { serde_json::to_string(&of)? } else { text });
            }
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                refused += 1;
                output::hint(format!("{id}: {error}"));
            }
        }
    }
    if ids.len() != 1 && !args.instance.json {
        let can = if args.dry_run { "can go over" } else { "have gone over" };
        output::line(format!("{} runs: {done} {can}, {refused} do not fit", ids.len()));
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The running instance, which does it.
fn running(instance: &Where, what: &str) -> anyhow::Result<Target> {
    let target = Target::find(instance)?;
    if target.is_running() {
        return Ok(target);
    }
    Err(failure(3, "the instance is stopped", format!("start it with `andon run`: {what}")))
}

/// The runs that are named, and those with these fields that stand in none of these states.
fn meant(target: &Target, ids: &[String], filters: &[String], without: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut ids = ids.to_vec();
    if !filters.is_empty() {
        ids.extend(matching(target, filters, without)?);
    }
    ids.dedup();
    Ok(ids)
}

/// The runs with these fields that stand in none of these states, oldest first.
fn matching(target: &Target, filters: &[String], without: &[&str]) -> anyhow::Result<Vec<String>> {
    let pairs: Result<Vec<_>, _> = filters
        .iter()
        .map(|filter| {
            let pair = filter.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            pair.ok_or_else(|| failure(2, format!("--where {filter} names no value"), "write --where FIELD=VALUE"))
        })
        .collect();
    let mut query = Query { filters: pairs?, after: None, limit: PAGE, ascending: true };
    let mut ids = Vec::new();
    loop {
        let page = target.list(Kind::Runs, &query)?;
        for row in &page.rows {
            let text = |name: &str| row.get(name).and_then(Json::as_str);
            if text("state").is_none_or(|state| without.contains(&state)) {
                continue;
            }
            ids.extend(text("id").map(str::to_owned));
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(ids),
        }
    }
}
