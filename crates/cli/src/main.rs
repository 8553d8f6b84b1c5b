//! The command line of Andon: one file per command.

mod args;
mod chart;
mod commands;
mod output;
#[cfg(test)]
mod reference;
mod target;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match commands::run(args) {
        Ok(code) => code,
        Err(error) => output::failed(&error),
    }
}
