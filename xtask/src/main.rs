//! The commands of this project's developers: `cargo xtask --help` lists them, each stands in a file of its own.
//!
//! What a command finds goes to standard output, and whatever failed is said again at the very end, because the
//! reader of a CI log sees only the end.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer's command speaks to its terminal")]

mod bench;
mod check;
mod ci;
mod clock;
mod command;
mod demo;
mod fuzz;
mod mutants;
mod parts;
mod process;
mod root;
mod setup;
mod sim;
mod test;
mod torture;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of this project's developers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what the tests need and this machine lacks (Debian, root); elsewhere names it.
    Setup,
    /// Runs every test of the workspace.
    Test(test::Arguments),
    /// Format, lints, arrows, dependencies, tidiness and generated files; never the tests.
    Check(check::Arguments),
    /// What CI runs: setup, check and test, with a limit on the time they take.
    Ci,
    /// Runs fuzz targets at low priority, one after the other.
    Fuzz(fuzz::Arguments),
    /// Builds Andon and starts its demonstration.
    Demo(demo::Arguments),
    /// Runs the simulation over many seeds.
    Sim(sim::Arguments),
    /// Breaks one promise after the other and looks that a test finds each.
    Mutants(mutants::Arguments),
    /// Kills the product again and again while everything else goes wrong, and looks whether anything was lost.
    Torture(torture::Arguments),
    /// Lets the release before write a data folder under load, kills it, and goes on with the folder.
    Upgrade(upgrade::Arguments),
    /// Measures: all there is, or one.
    Bench {
        #[command(subcommand)]
        command: Option<bench::Command>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Setup => setup::run(),
        Command::Test(arguments) => test::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ci => ci::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Torture(arguments) => torture::run(&arguments),
        Command::Upgrade(arguments) => upgrade::run(&arguments),
        Command::Bench { command } => bench::run(&command.unwrap_or_default()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
