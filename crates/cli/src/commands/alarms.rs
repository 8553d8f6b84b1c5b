//! `andon alarms shelve|unshelve|disable|enable`: what a person does to the alarms of a rule for an asset.

use crate::{
    args::{Alarms, AlarmsCommand, AlarmsOf},
    output::{self, failure},
    target::Target,
};
use andon_api::alarms::{Act, ControlQuery};
use andon_model::span::Span;
use std::process::ExitCode;

pub(super) fn run(args: &Alarms) -> anyhow::Result<ExitCode> {
    let (act, of) = match &args.command {
        AlarmsCommand::Shelve(args) => {
            let within = args.within.as_deref().map(span).transpose()?;
            (Act::Shelve { within, once: args.once }, &args.of)
        }
        AlarmsCommand::Unshelve(of) => (Act::Unshelve, of),
        AlarmsCommand::Disable(of) => (Act::Disable, of),
        AlarmsCommand::Enable(of) => (Act::Enable, of),
    };
    let (rule, asset, reason) = (of.rule.clone(), of.asset.clone(), of.reason.trim().to_owned());
    if reason.is_empty() {
        return Err(failure(2, "--reason is empty", "say why, for those who look at the alarm next"));
    }
    let query = ControlQuery { rule, asset, act, actor: actor(of)?, reason };
    let target = Target::find(&of.instance)?;
    let done = target.control(&query)?;
    if of.instance.json {
        output::line(serde_json::to_string(&done)?);
        return Ok(ExitCode::SUCCESS);
    }
    let what = match act {
        Act::Shelve { once: true, .. } => {
            format!("shelved until the next return, until {} at the latest", done.until.unwrap_or_default())
        }
        Act::Shelve { .. } => format!("shelved until {}", done.until.unwrap_or_default()),
        Act::Unshelve => "no longer shelved".to_owned(),
        Act::Disable => "disabled: the rule is not evaluated".to_owned(),
        Act::Enable => "enabled".to_owned(),
    };
    output::line(format!("{} of {}: {what} (as {})", done.rule, done.asset, done.actor));
    if !target.is_running() {
        output::hint("the instance is stopped; its rules see this when it is started");
    }
    Ok(ExitCode::SUCCESS)
}

fn span(text: &str) -> anyhow::Result<Span> {
    let wrong = || failure(2, format!("--for {text} is no time"), "write --for 8h or --for '1h 30min'");
    Span::parse(text).ok().filter(|span| *span > Span::ZERO).ok_or_else(wrong)
}

/// Who asks: named, or the user of the operating system.
fn actor(of: &AlarmsOf) -> anyhow::Result<String> {
    let user = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let actor = of.actor.clone().or_else(user).unwrap_or_default().trim().to_owned();
    if actor.is_empty() {
        return Err(failure(2, "nobody knows who asks: the environment names no user", "say it with --actor NAME"));
    }
    Ok(actor)
}
