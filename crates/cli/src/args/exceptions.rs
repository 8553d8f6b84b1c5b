//! What can be typed behind `andon exceptions`.

use super::Where;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Exceptions {
    /// What to do; without it the unfinished exceptions are listed, those that are due first
    #[command(subcommand)]
    pub(crate) command: Option<ExceptionsCommand>,
    /// Of the list: only exceptions whose field has this value; may be repeated, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExceptionsCommand {
    /// Lists the unfinished exceptions by their cause: each group with its counts and what to do
    Groups(Groups),
    /// Gives exceptions to a team, or to a person
    Assign(Assign),
    /// Makes calls again, or takes up faulted runs again at the task that faulted
    Retry(Retry),
    /// Makes calls again with another input, which is checked; the difference is kept
    Edit(Edit),
    /// Agrees with edits that somebody else has proposed, where the project asks for two
    Agree(Plain),
    /// Goes on without the calls, with an output that is given
    Skip(Skip),
    /// Makes the same calls by another operation that implements their capability
    Reroute(Reroute),
    /// Undoes what the runs have done, the last completed task first; then the runs are cancelled
    Compensate(Plain),
    /// Gives the exceptions up: the faults of their runs are final
    Discard(Plain),
    /// Answers what a run asks: the answer must fit the form that `andon show` shows
    Decide(Decide),
    /// Tries messages again that were set aside, with the mapping that the running instance has now
    Replay(Replay),
}

/// Which exceptions are meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Which {
    /// The exceptions (ex_...)
    #[arg(required_unless_present_any = ["filters", "group"], conflicts_with_all = ["filters", "group"])]
    pub(crate) ids: Vec<String>,
    /// All unfinished exceptions whose field has this value; may be repeated, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// All unfinished exceptions of this group; `andon exceptions groups` names them
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) group: Option<String>,
    /// Says how many match and what would be refused, and changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Who says so; claimed and not proven [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Groups {
    /// Only groups whose field has this value (owner, site, kind, system, outcome); may be repeated, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

/// What needs nothing but the exceptions, and a reason.
#[derive(Debug, clap::Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Assign {
    /// A team of policies/ownership.yaml, or the name of a person
    #[arg(long, value_name = "NAME")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// Of calls whose outcome is unknown: somebody looked at the system, and their effect is not there
    #[arg(long)]
    pub(crate) not_there: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// A change: a JSON pointer (/lines/0/unit) or a path with dots, and the new value; may be repeated. An empty value
    /// removes the field. Without --set and --input the input is opened in $EDITOR
    #[arg(long, value_name = "PLACE=VALUE")]
    pub(crate) set: Vec<String>,
    /// The whole input, from a file of JSON; - reads from stdin. Of one exception only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "filters", "group"])]
    pub(crate) input: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Skip {
    /// The output of the task, as JSON [default: null]
    #[arg(long, value_name = "JSON")]
    pub(crate) output: Option<String>,
    /// The number of the document at the system: the effect is there after all. Of one exception only
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["filters", "group"])]
    pub(crate) document: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reroute {
    /// The operation
    #[arg(long, value_name = "SYSTEM.OPERATION")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Decide {
    /// The exception (ex_...)
    pub(crate) id: String,
    /// The answer as JSON
    #[arg(long, value_name = "JSON", required_unless_present = "field")]
    pub(crate) answer: Option<String>,
    /// A field of the answer; may be repeated
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "answer")]
    pub(crate) field: Vec<String>,
    /// Who decides [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The exception (ex_...)
    #[arg(required_unless_present = "source")]
    pub(crate) id: Option<String>,
    /// All open exceptions of this source
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub(crate) source: Option<String>,
    /// Says what would come of it and changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) instance: Where,
}
