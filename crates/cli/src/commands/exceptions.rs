//! `andon exceptions`: what is open; `decide` answers what a run asks, `replay` tries messages again.

use crate::{
    args::{Decide, Exceptions, ExceptionsCommand, Replay, Where},
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{
    Kind, Query, decisions as request,
    samples::{self, ReplayQuery},
};
use andon_model::Time;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use std::process::ExitCode;

/// Actions that are to come.
const NOT_BUILT: [&str; 6] = ["assign", "retry", "edit", "reroute", "skip", "discard"];
/// Messages that are tried with one request.
const STEP: usize = 100;
/// Exceptions of a page.
const PAGE: usize = 500;

pub(super) fn run(args: &Exceptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => open(&args.instance),
        Some(ExceptionsCommand::Replay(args)) => replay(args),
        Some(ExceptionsCommand::Decide(args)) => decide(args),
        Some(ExceptionsCommand::Other(words)) => Err(other(words.first().map_or("", String::as_str))),
    }
}

/// An action that is none, or none yet.
fn other(word: &str) -> anyhow::Error {
    if NOT_BUILT.contains(&word) {
        return failure(
            2,
            format!("`andon exceptions {word}` is not built yet"),
            "mend the cause as `andon show` says",
        );
    }
    let known = ["decide", "replay"].join(", ");
    failure(2, format!("`andon exceptions {word}` is no action"), format!("the actions are {known}"))
}

/// Lists what is open: by its due time, then what has none, newest first.
fn open(instance: &Where) -> anyhow::Result<ExitCode> {
    let target = Target::find(instance)?;
    let filters = vec![("state".to_owned(), "open".to_owned())];
    let mut query = Query { filters, after: None, limit: PAGE, ascending: false };
    let mut rows = Vec::new();
    loop {
        let page = target.list(Kind::Exceptions, &query)?;
        rows.extend(page.rows);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    if instance.json {
        for row in &rows {
            output::line(serde_json::to_string(row)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let due = |row: &Json| row.get("due").and_then(Json::as_str).and_then(|due| Time::parse(due).ok());
    rows.sort_by_key(|row| due(row).unwrap_or(Time::MAX));
    for line in rows.iter().map(|row| told_open(row, due(row), andon_node::clock::now())) {
        output::line(line);
    }
    if rows.is_empty() {
        output::line("no exception is open");
    }
    Ok(ExitCode::SUCCESS)
}

/// One open exception.
fn told_open(row: &Json, due: Option<Time>, now: Time) -> String {
    let text = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or("-").to_owned();
    let due = match due {
        Some(due) if due < now => format!("OVERDUE since {due}"),
        Some(due) => format!("due {due}"),
        None => "no due time".to_owned(),
    };
    format!("{}  {}  {}  {due}  {}", text("id"), text("kind"), text("owner"), text("cause"))
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
    let user = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let by = args.by.clone().or_else(user).filter(|by| !by.trim().is_empty());
    let done = target.decide(&args.id, &request::Decide { answer, by })?;
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
