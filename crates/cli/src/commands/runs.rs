//! `andon runs`: what people do with runs; `cancel` ends them.

use crate::{
    args::{CancelRuns, Runs, RunsCommand},
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{Kind, Query, cancel::CancelRun};
use serde_json::Value as Json;
use std::process::ExitCode;

/// Runs of a page.
const PAGE: usize = 500;
/// States of runs that have ended.
const ENDED: [&str; 3] = ["completed", "faulted", "cancelled"];

pub(super) fn run(args: &Runs) -> anyhow::Result<ExitCode> {
    match &args.command {
        RunsCommand::Cancel(args) => cancel(args),
    }
}

fn cancel(args: &CancelRuns) -> anyhow::Result<ExitCode> {
    let target = Target::find(&args.instance)?;
    if !target.is_running() {
        return Err(failure(
            3,
            "the instance is stopped",
            "start it with `andon run`: it ends the runs and what they wait for",
        ));
    }
    let mut ids = args.ids.clone();
    if !args.filters.is_empty() {
        ids.extend(matching(&target, &args.filters)?);
    }
    ids.dedup();
    let user = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let by = args.by.clone().or_else(user).filter(|by| !by.trim().is_empty());
    let cancel = CancelRun { reason: args.reason.clone(), by, compensate: args.compensate };
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

/// The runs with these fields that have not ended, oldest first.
fn matching(target: &Target, filters: &[String]) -> anyhow::Result<Vec<String>> {
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
            if text("state").is_none_or(|state| ENDED.contains(&state)) {
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
