//! What can be typed.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// The governed layer between a plant and its enterprise.
#[derive(Debug, Parser)]
#[command(name = "andon", version, about, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays the machine-temperature example: broker, machine, instance and maintenance system
    Demo(Demo),
    /// Makes a new, commented project
    Init(Init),
    /// Reads a project: problems with place and remedy, or what it promises
    Check(Check),
    /// Runs an instance of a project
    Run(Run),
    /// Publishes recorded data as the plant would
    Feed(Feed),
    /// Runs one simulated system of the example
    Office(Office),
    /// Lists events, runs, calls, exceptions, samples and more
    List(List),
    /// Shows one thing, whole
    Show(Show),
    /// Explains a thing: backwards to the samples, forwards to every effect
    Explain(Show),
    /// Health with reasons and what to do next
    Status(Status),
    /// Prints the completions of a shell
    Completions(Completions),
}

/// Which instance or data folder is asked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Where {
    /// Data folder of an instance, running or stopped [default: .andon in the present folder]
    #[arg(long, env = "ANDON_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address of a running instance [default: 127.0.0.1:8730]
    #[arg(long, env = "ANDON_API", value_name = "HOST:PORT", conflicts_with = "data")]
    pub(crate) api: Option<String>,
    /// Prints JSON, one value a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Ends when the first work request is explained; this is the default
    #[arg(long, conflicts_with = "stay")]
    pub(crate) once: bool,
    /// Goes on until Ctrl-C, so that the other commands can look at it
    #[arg(long)]
    pub(crate) stay: bool,
    /// Keeps the data in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Prints one JSON line at the end
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The folder of the new project; it must be empty or not exist
    pub(crate) dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The folder of the project
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Prints JSON, one problem a line, or the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The folder of the project
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Data folder [default: .andon in the folder of the project]
    #[arg(long, env = "ANDON_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address of the API [default: as the project says]; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) api: Option<String>,
    /// Which instance of the project, where it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Feed {
    /// CSV (header line first) or JSON lines
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The project whose MQTT source is fed
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) project: PathBuf,
    /// The source, where the project has several
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// The topic, where the source has several or many assets
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// max, real, or xN: N times as fast as recorded
    #[arg(long, default_value = "max", value_name = "SPEED")]
    pub(crate) speed: String,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Office {
    /// Which one; `andon office list` names them
    pub(crate) name: String,
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8741", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Its own file
    #[arg(long, default_value = "office.jsonl", value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// events, runs, tasks, calls, attempts, exceptions, quarantine, samples, gaps, sources, contracts
    pub(crate) kind: String,
    /// Only rows whose field has this value; fields of objects with dots; may be repeated
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Rows at most [default: 50; all with --json]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Oldest first
    #[arg(long)]
    pub(crate) oldest: bool,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// An id (ev_, ru_, ca_, ex_), a call's reference, a document's number, or a sample's epoch/offset
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
