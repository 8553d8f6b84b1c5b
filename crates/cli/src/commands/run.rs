//! `andon run`: an instance of a project.

use crate::{
    args::Run,
    commands::check::problems,
    output::{NO, failure},
};
use andon_node::{Node, Options, StartError, StopSignal};
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::EnvFilter;

pub(super) fn run(args: &Run) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let options = Options {
        project: args.dir.clone(),
        data: args.data.clone().unwrap_or_else(|| args.dir.join(".andon")),
        api: args.api.clone(),
        instance: args.instance.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = runtime.block_on(async { StopSignal::listen() })?;
    let node = start(&options)?;
    let stopped = runtime.block_on(async {
        tokio::select! {
            () = stop.wait() => None,
            why = node.stopped_by_itself() => Some(why),
        }
    });
    node.stop();
    let Some(why) = stopped else { return Ok(ExitCode::SUCCESS) };
    let help = "look at the disk, then start the instance again: it reads what is really there, and what was not \
                acknowledged comes again. A service manager that restarts what fails does so by itself";
    Err(failure(NO, format!("the log has stopped: {why}"), help))
}

/// Starts an instance; what it is refused for is told.
pub(super) fn start(options: &Options) -> anyhow::Result<Node> {
    Node::start(options).map_err(|error| match error {
        StartError::Project(found) => {
            problems(&found, false);
            failure(NO, "the project is refused", "mend the problems above")
        }
        error => {
            let help = error.remedy();
            failure(error.exit_code(), error, help)
        }
    })
}

/// Log lines go to stderr: readable on a terminal, JSON lines otherwise. `ANDON_LOG` chooses what is logged.
pub(super) fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("ANDON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
