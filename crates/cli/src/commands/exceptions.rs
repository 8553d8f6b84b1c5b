//! `andon exceptions`: what is unfinished, by itself or in groups; what is done about it; `decide` answers what a run
//! asks, `replay` tries messages again.

mod acts;
mod editor;
pub(super) mod told;

use crate::{
    args::{Decide, Exceptions, ExceptionsCommand, Groups, Replay, Where},
    output::{self, NO, USAGE, failure},
    target::Target,
};
use andon_api::{
    Kind, Query, decisions as request,
    exceptions::Wanted,
    samples::{self, ReplayQuery},
};
use andon_model::Time;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use std::process::ExitCode;

/// Messages that are tried with one request.
const STEP: usize = 100;
/// Exceptions of a page.
const PAGE: usize = 500;
/// More exceptions than these are told in groups and not one by one.
const SINGLE_MAX: usize = 1_000;

pub(super) fn run(args: &Exceptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => unfinished(&args.filters, &args.instance),
        Some(ExceptionsCommand::Groups(args)) => groups(args),
        Some(ExceptionsCommand::Assign(args)) => acts::act(&args.which, Wanted::Assign { to: args.to.clone() }),
        Some(ExceptionsCommand::Retry(args)) => acts::act(&args.which, Wanted::Retry { not_there: args.not_there }),
        Some(ExceptionsCommand::Edit(args)) => acts::edit(args),
        Some(ExceptionsCommand::Agree(args)) => acts::act(&args.which, Wanted::Agree {}),
        Some(ExceptionsCommand::Skip(args)) => acts::skip(args),
        Some(ExceptionsCommand::Reroute(args)) => acts::act(&args.which, Wanted::Reroute { to: args.to.clone() }),
        Some(ExceptionsCommand::Compensate(args)) => acts::act(&args.which, Wanted::Compensate {}),
        Some(ExceptionsCommand::Discard(args)) => acts::act(&args.which, Wanted::Discard {}),
        Some(ExceptionsCommand::Replay(args)) => replay(args),
        Some(ExceptionsCommand::Decide(args)) => decide(args),
    }
}

/// `field=value` pairs of `--where`.
fn pairs(filters: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |filter: &String| {
        let pair = filter.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| failure(USAGE, format!("--where {filter} has no value"), "write --where field=value"))
    };
    filters.iter().map(pair).collect()
}

/// Who acts: as it is said, else the user of the operating system.
pub(super) fn by(said: Option<&String>) -> Option<String> {
    let user = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    said.cloned().or_else(user).filter(|by| !by.trim().is_empty())
}

/// Lists what is unfinished: by its due time, then what has none, newest first; in groups where there is much.
fn unfinished(filters: &[String], instance: &Where) -> anyhow::Result<ExitCode> {
    let mut filters = pairs(filters)?;
    filters.push(("unfinished".to_owned(), "yes".to_owned()));
    let target = Target::find(instance)?;
    let is_narrowed = filters.len() > 1;
    let mut query = Query { filters, after: None, limit: PAGE, ascending: false };
    let mut rows = Vec::new();
    loop {
        let page = target.list(Kind::Exceptions, &query)?;
        if instance.json {
            page.rows.iter().for_each(output::line);
        } else {
            rows.extend(page.rows);
        }
        query.after = page.next;
        if page.next.is_none() || rows.len() > SINGLE_MAX {
            break;
        }
    }
    if instance.json {
        return Ok(ExitCode::SUCCESS);
    }
    if query.after.is_some() && !is_narrowed {
        output::hint(format!("more than {SINGLE_MAX} are unfinished; these are their causes"));
        return told_groups(&target, Vec::new(), false);
    }
    let due = |row: &Json| row.get("due").and_then(Json::as_str).and_then(|due| Time::parse(due).ok());
    rows.sort_by_key(|row| due(row).unwrap_or(Time::MAX));
    for line in rows.iter().map(|row| told::unfinished(row, due(row), andon_node::clock::now())) {
        output::line(line);
    }
    if query.after.is_some() {
        output::hint(format!("the newest {} are shown; --json tells all", rows.len()));
    }
    if rows.is_empty() {
        output::line("no exception is unfinished");
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the groups of which something is unfinished, the newest first.
fn groups(args: &Groups) -> anyhow::Result<ExitCode> {
    told_groups(&Target::find(&args.instance)?, pairs(&args.filters)?, args.instance.json)
}

fn told_groups(target: &Target, mut filters: Vec<(String, String)>, json: bool) -> anyhow::Result<ExitCode> {
    if !filters.iter().any(|(name, _)| name == "state") {
        filters.push(("state".to_owned(), "open".to_owned()));
    }
    let mut query = Query { filters, after: None, limit: PAGE, ascending: false };
    let (mut groups, mut exceptions) = (0_u64, 0);
    loop {
        let page = target.list(Kind::ExceptionGroups, &query)?;
        for row in &page.rows {
            groups += 1;
            exceptions += row.get("unfinished").and_then(Json::as_u64).unwrap_or_default();
            if json {
                output::line(row);
            } else {
                told::group(row).into_iter().for_each(output::line);
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    match groups {
        _ if json => {}
        0 => output::line("no exception is unfinished"),
        _ => output::hint(format!("{exceptions} unfinished in {groups} groups")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers what a run asks.
fn decide(args: &Decide) -> anyhow::Result<ExitCode> {
    let target = Target::find(&args.instance)?;
    let answer = match &args.answer {
        Some(text) => serde_json::from_str(text).map_err(|e| {
            failure(2, format!("--answer is no JSON: {e}"), "write for example --answer '{\"approve\": true}'")
        })?,
        None => fields(&target.show(&args.id)?, &args.field)?,
    };
    let done = target.decide(&args.id, &request::Decide { answer, by: by(args.by.as_ref()) })?;
    if args.instance.json {
        output::line(serde_json::to_string(&done)?);
        return Ok(ExitCode::SUCCESS);
    }
    let by = done.by.map_or_else(String::new, |by| format!(" by {by}"));
    let run = done.run.map_or_else(String::new, |run| format!("; the run {run} goes on"));
    output::line(format!("{} is decided{by}: {}{run}", done.exception, done.answer));
    if !target.is_running() {
        output::hint("the instance is stopped; the run goes on when it is started");
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer of `name=value` pairs: JSON where it is some, but a text where the form wants one.
fn fields(shown: &Json, pairs: &[String]) -> anyhow::Result<Json> {
    let form = shown.pointer("/decision/form").or_else(|| shown.pointer("/exception/decision/form"));
    let mut answer = serde_json::Map::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(failure(2, format!("--field {pair} names no value"), "write --field name=value"));
        };
        let wants = form.and_then(|form| form.get("properties")?.get(name)?.get("type")?.as_str());
        let value = match serde_json::from_str(value) {
            Ok(value) if wants != Some("string") => value,
            _ => Json::from(value),
        };
        answer.insert(name.to_owned(), value);
    }
    Ok(Json::Object(answer))
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
        "{messages} messages of {exceptions} exceptions tried: {mended}{would} mended ({stored}{would} stored, \
        {duplicate} there \
         already), {wrong} still wrong"
    ));
    for problem in &total.problems {
        output::line(format!("  {problem}"));
    }
    if *wrong > 0 {
        output::hint(
            "mend the mapping, the names or the units in the project, start it with `andon run`, and replay again",
        );
    }
}
