//! `andon exceptions replay`: messages that were set aside are tried again.

use crate::{
    args::{Exceptions, ExceptionsCommand, Replay},
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{
    Kind, Query,
    samples::{self, ReplayQuery},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use std::process::ExitCode;

/// Messages that are tried with one request.
const STEP: usize = 100;
/// Exceptions of a page.
const PAGE: usize = 500;

pub(super) fn run(args: &Exceptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        ExceptionsCommand::Replay(args) => replay(args),
    }
}

fn replay(args: &Replay) -> anyhow::Result<ExitCode> {
    let target = Target::find(&args.instance)?;
    let ids = match (&args.id, &args.source) {
        (Some(id), _) => vec![id.clone()],
        (None, Some(source)) => of_source(&target, source)?,
        (None, None) => return Err(failure(2, "nothing is named", "name an exception, or --source NAME")),
    };
    let mut total = samples::Replay { dry_run: args.dry_run, ..samples::Replay::default() };
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg}: {pos} messages tried, {per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    for id in &ids {
        one(&target, id, args.dry_run, &bar, &mut total)?;
    }
    bar.finish_and_clear();
    if args.instance.json {
        output::line(serde_json::to_string(&total)?);
    } else {
        told(&total, ids.len());
    }
    Ok(if total.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The open exceptions of a source, oldest first.
fn of_source(target: &Target, source: &str) -> anyhow::Result<Vec<String>> {
    let filters = [("kind", "input"), ("state", "open"), ("source", source)];
    let filters = filters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut query = Query { filters, after: None, limit: PAGE, ascending: true };
    let mut ids = Vec::new();
    loop {
        let page = target.list(Kind::Exceptions, &query)?;
        ids.extend(page.rows.iter().filter_map(|row| row.get("id").and_then(Json::as_str).map(str::to_owned)));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(ids),
        }
    }
}

/// One exception, step by step, until all of it was tried. What is still wrong stays and is not tried again.
fn one(target: &Target, id: &str, dry_run: bool, bar: &ProgressBar, total: &mut samples::Replay) -> anyhow::Result<()> {
    bar.set_message(id.to_owned());
    let mut after = None;
    loop {
        let step = target.replay(id, &ReplayQuery { dry_run, limit: STEP, after })?;
        bar.inc(step.messages);
        total.messages += step.messages;
        total.mended += step.mended;
        total.stored += step.stored;
        total.duplicate += step.duplicate;
        total.wrong += step.wrong;
        total.resolved = step.resolved;
        for problem in step.problems {
            if total.problems.len() < 20 && !total.problems.contains(&problem) {
                total.problems.push(problem);
            }
        }
        match step.next {
            Some(next) if step.messages > 0 => after = Some(next),
            _ => return Ok(()),
        }
    }
}

fn told(total: &samples::Replay, exceptions: usize) {
    let samples::Replay { messages, mended, stored, duplicate, wrong, .. } = total;
    let would = if total.dry_run { " would be" } else { "" };
    output::line(format!(
        "{messages} messages of {exceptions} exceptions tried: {mended}{would} mended ({stored} samples{would} stored, \
         {duplicate} there already), {wrong} still wrong"
    ));
    for problem in &total.problems {
        output::line(format!("  {problem}"));
    }
    if *wrong > 0 {
        output::hint("mend the mapping or the units in the project, start it with `andon run`, and replay again");
    }
}
