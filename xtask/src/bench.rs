//! `cargo xtask bench`: measures; figures are compared with a target or with a rival in the same run.

use anyhow::{Result, bail};

/// What is measured.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// From a signal to the event it causes, beside the broker alone.
    Signal,
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Signal => bail!("not yet"),
    }
}
