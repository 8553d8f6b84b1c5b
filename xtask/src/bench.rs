//! `cargo xtask bench`: measures; every figure stands beside its target and beside a rival of the same run.

mod all;
mod broker;
mod drain;
mod exceptions;
mod figure;
mod historian;
mod http;
mod listener;
mod load;
mod project;
mod publisher;
mod report;
mod rules;
mod sheet;
mod signal;
mod source;
mod start;
mod subject;
mod workflow;

use anyhow::Result;

/// What is measured.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// From a signal to the event it causes, beside the broker alone.
    Signal(signal::Arguments),
    /// An MQTT source alone, beside the broker alone.
    Source(source::Arguments),
    /// Ready again after `kill -9`, with many samples behind it.
    Start(start::Arguments),
    /// How fast rules read a backlog, and what is noticed of it.
    Drain(drain::Arguments),
    /// Batches that are posted, beside a server that drops them.
    Http(http::Arguments),
    /// Machines that publish to the listener, beside the limit of this machine and a broker.
    Listener(listener::Arguments),
    /// What samples take on disk, and how long a month of them takes to answer.
    Historian,
    /// Very many open exceptions: listed by their groups, and a large group retried.
    Exceptions(exceptions::Arguments),
    /// What rules cost when there are very many.
    Rules(rules::Arguments),
    /// One system of six hangs: what the others notice of it.
    Bulkhead(workflow::bulkhead::Arguments),
    /// Runs of workflows that call systems, beside what rivals reached.
    Workflow(workflow::Arguments),
    /// All of them, in one run: what is done without a name.
    All(all::Arguments),
}

impl Default for Command {
    fn default() -> Self {
        Self::All(all::Arguments::default())
    }
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Signal(arguments) => signal::run(arguments),
        Command::Source(arguments) => source::run(arguments),
        Command::Start(arguments) => start::run(arguments),
        Command::Drain(arguments) => drain::run(arguments),
        Command::Http(arguments) => http::run(arguments),
        Command::Listener(arguments) => listener::run(arguments),
        Command::Historian => historian::run(),
        Command::Exceptions(arguments) => exceptions::run(arguments),
        Command::Rules(arguments) => rules::run(arguments),
        Command::Bulkhead(arguments) => workflow::bulkhead::run(arguments),
        Command::Workflow(arguments) => workflow::run(arguments),
        Command::All(arguments) => all::run(arguments),
    }
}
