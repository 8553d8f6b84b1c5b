//! The commands, one file each.

mod alarms;
mod backup;
mod check;
mod completions;
mod demo;
mod doctor;
mod exceptions;
mod explain;
mod feed;
mod historian;
mod init;
mod list;
mod objects;
mod oee;
mod office;
mod run;
mod runs;
mod samples;
mod show;
mod status;
mod test;
mod why;
mod world;

use crate::args::{Args, Command};
use std::process::ExitCode;

/// Does what was typed.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Feed(args) => feed::run(&args),
        Command::Office(args) => office::run(&args),
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::WhyNot(args) => why::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Backup(args) => backup::back_up(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Alarms(args) => alarms::run(&args),
        Command::Objects(args) => objects::run(&args),
        Command::Oee(args) => oee::run(&args),
        Command::Exceptions(args) => exceptions::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Historian(args) => historian::run(&args),
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::World(args) => world::run(&args),
    }
}
