//! `andon completions`: what a shell needs to complete commands.

use crate::args::{Args, Completions};
use clap::CommandFactory;
use std::process::ExitCode;

pub(super) fn run(args: &Completions) -> ExitCode {
    clap_complete::generate(args.shell, &mut Args::command(), "andon", &mut std::io::stdout());
    ExitCode::SUCCESS
}
