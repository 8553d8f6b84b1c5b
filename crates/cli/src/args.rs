//! What can be typed.

mod backup;
mod exceptions;

pub(crate) use backup::{Backup, Restore};
pub(crate) use exceptions::{Decide, Edit, Exceptions, ExceptionsCommand, Groups, Replay, Skip, Which};

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
    /// Plays the packaging-line example: two plants, their machines and their systems, and what happens when a bearing
    /// wears
    Demo(Demo),
    /// Makes a new, commented project
    Init(Init),
    /// Reads a project: problems with place and remedy, or what it promises
    Check(Check),
    /// Runs an instance of a project
    Run(Run),
    /// Plays the scenarios of a project, offline, on a time of their own
    Test(Test),
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
    /// Says what kept a rule from firing for an asset at a time
    WhyNot(Why),
    /// Health with reasons and what to do next
    Status(Status),
    /// Looks whether a data folder is whole and its parts belong together, and mends what loses nothing
    Doctor(Doctor),
    /// Copies the data folder while everything goes on, and looks whether the copy is whole
    Backup(Backup),
    /// Puts a backup back: under an epoch of its own, with a gap for each source
    Restore(Restore),
    /// Shelves alarms, disables rules for assets, and takes that back
    Alarms(Alarms),
    /// Gives business objects: orders, lots, requests that no system is read for
    Objects(Objects),
    /// Overall equipment effectiveness of an asset, with every part of its formula
    Oee(Oee),
    /// Takes care of exceptions
    Exceptions(Exceptions),
    /// Ends runs of workflows, or takes them to the definition in force
    Runs(Runs),
    /// Takes care of the files of samples
    Historian(Historian),
    /// Prints the completions of a shell
    Completions(Completions),
    /// The machines and systems of the demo, as a process of their own
    #[command(hide = true)]
    World(World),
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
    /// Plays both stories on compressed time and ends; otherwise ordinary production goes on until Ctrl-C
    #[arg(long)]
    pub(crate) once: bool,
    /// Keeps everything in this folder instead of a temporary one; what lives there goes on
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Sets a parameter of a class, for example cartoner.vibration.High=6; may be repeated
    #[arg(long = "set", value_name = "CLASS.PARAMETER=VALUE")]
    pub(crate) set: Vec<String>,
    /// Prints one JSON line at the end and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// The world of a demo.
#[derive(Debug, clap::Args)]
pub(crate) struct World {
    /// Its folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Of a new story: how many times as fast as the wall it runs until it has caught up
    #[arg(long, default_value_t = 20)]
    pub(crate) speed: u32,
    /// Of a new story: after so many seconds of it, it has caught up
    #[arg(long, default_value_t = 2_700)]
    pub(crate) length: u32,
    /// Ends when nobody holds its stdin any more
    #[arg(long)]
    pub(crate) attached: bool,
    /// At the usual ports where they are free, else at any
    #[arg(long)]
    pub(crate) usual: bool,
    /// Without a broker, as if Mosquitto were not installed
    #[arg(long)]
    pub(crate) no_broker: bool,
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
    /// Prints the parameters of all assets instead of the summary, each with the place where it was set
    #[arg(long)]
    pub(crate) parameters: bool,
    /// Prints JSON, one problem or parameter a line, or the summary
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
pub(crate) struct Oee {
    #[command(flatten)]
    pub(crate) instance: Where,
    /// The asset
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: String,
    /// From here on, RFC 3339 or before now (-8h, -7d) [default: -1h]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Up to here, exclusive [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// Divided by the orders, batches or shifts that are valid for the asset
    #[arg(long, value_name = "WHAT", value_parser = ["all", "order", "batch", "shift"], default_value = "all")]
    pub(crate) by: String,
    /// The rule whose states count, where several tell states of the asset
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    #[command(flatten)]
    pub(crate) instance: Where,
    /// The rule
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: String,
    /// The asset
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: String,
    /// The time of the samples, RFC 3339 or before now (-8h, -7d) [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The folder of the project
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Only the scenarios of these names; default all
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Tells what came of every scenario, also where it is as expected
    #[arg(long)]
    pub(crate) all: bool,
    /// Prints JSON, one scenario a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Feed {
    /// CSV (header line first), JSON lines, or what an MTConnect adapter said (.shdr, .shdr.txt)
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The project whose source is fed
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
    /// Of recordings of an adapter: which one comes first
    #[arg(long, value_enum, default_value_t = Order::Time)]
    pub(crate) order: Order,
    /// Of a recording of an adapter: where the source is waited for [default: the adapter of the source]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

/// The order in which recordings are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// The oldest first
    Time,
    /// As they stand in the files; older ones behind newer ones come late
    File,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Office {
    /// Which one; `andon office list` names them
    #[arg(required_unless_present = "all")]
    pub(crate) name: Option<String>,
    /// All of them at one address, each under its name, with a file each in --dir
    #[arg(long, conflicts_with_all = ["name", "file"])]
    pub(crate) all: bool,
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8741", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Its own file
    #[arg(long, default_value = "office.jsonl", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The orders are those of the demonstration: the first ones run for an hour already
    #[arg(long)]
    pub(crate) story: bool,
    /// Of --all: the folder of their files
    #[arg(long, default_value = "offices", value_name = "DIR", conflicts_with = "name")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// events, runs, tasks, calls, attempts, exceptions, exception-groups, audit, notices, quarantine, samples, last,
    /// series, gaps, sources, objects, reads, contracts, historian, alarms, rules, routes, capabilities, systems; the
    /// last three also of a project that does not run (--data DIR)
    pub(crate) kind: String,
    /// Of samples, last and series: of this asset, in the order of time, over log and historian
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: Option<String>,
    /// Of samples and series: of this signal
    #[arg(long, value_name = "NAME")]
    pub(crate) signal: Option<String>,
    /// Of last: of the assets of this site
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,
    /// Of samples and series of an asset: from here on, RFC 3339 or before now (-1h, -7d) [default: -1h]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Of samples and series of an asset: up to here, exclusive [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// Of series: in at most so many buckets, each with its extremes [default: as many as the chart has columns; 1000
    /// with --json]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub(crate) points: Option<usize>,
    /// Of samples: how many are kept, in files and in the log, after reduction; by signal with --json
    #[arg(long)]
    pub(crate) count: bool,
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
    /// An id (ev_, ru_, ca_, ex_), a call's reference, a document's number, the key of a run, an object's name, or a
    /// sample's epoch/offset
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
pub(crate) struct Doctor {
    /// Data folder of an instance, stopped or running [default: .andon in the present folder]
    #[arg(long, env = "ANDON_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Mends what can be mended without losing anything; the instance must be stopped
    #[arg(long)]
    pub(crate) repair: bool,
    /// Prints one JSON value
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Objects {
    #[command(subcommand)]
    pub(crate) command: ObjectsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ObjectsCommand {
    /// Gives the objects of a file to a running instance; the same twice is one version
    Put(ObjectsPut),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ObjectsPut {
    /// JSON: an object `{"name": "ProductionOrder/hamburg/1000123", "object": {...}, "assets": [...]}`, a list of them,
    /// or one a line; - reads from stdin
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Alarms {
    #[command(subcommand)]
    pub(crate) command: AlarmsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlarmsCommand {
    /// Alarms of a rule for an asset are recorded and not raised, for a time or until one returns
    Shelve(Shelve),
    /// They are raised again; what stands and was not raised is raised now
    Unshelve(AlarmsOf),
    /// A rule is not evaluated for an asset; an alarm that stands ends
    Disable(AlarmsOf),
    /// It is evaluated again, and begins empty
    Enable(AlarmsOf),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shelve {
    /// So long, at most `MaxTimeShelved` of policies/shelving.yaml; as long as that with --once alone
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "once")]
    pub(crate) within: Option<String>,
    /// Only until an alarm returns
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) of: AlarmsOf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AlarmsOf {
    /// The rule
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: String,
    /// The asset
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: String,
    /// Why, for those who look at the alarm next
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who asks; claimed and not proven [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Runs {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Ends runs, and the runs they have started; attempts under way come to their end and are recorded
    Cancel(CancelRuns),
    /// Takes runs to the definition in force, where it fits what they have done and where they stand
    Migrate(MigrateRuns),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CancelRuns {
    /// The runs (ru_...)
    #[arg(required_unless_present = "filters")]
    pub(crate) ids: Vec<String>,
    /// Runs that have not ended and in which this field has this value; may be repeated, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Undoes what the runs have done: `metadata.compensate` of their tasks, the last completed first
    #[arg(long)]
    pub(crate) compensate: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who says so [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateRuns {
    /// The runs (ru_...)
    #[arg(required_unless_present = "filters")]
    pub(crate) ids: Vec<String>,
    /// Runs that wait or have faulted and in which this field has this value; may be repeated, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Only say which can; nothing is changed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who says so [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Historian {
    #[command(subcommand)]
    pub(crate) command: HistorianCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HistorianCommand {
    /// Writes everything that is in the log of the running instance to Parquet files now
    Seal(Seal),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Seal {
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
