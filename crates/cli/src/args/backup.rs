//! What can be typed about backups.

use super::Where;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The folder of the backup; it must not exist, or be empty. Of a running instance: on its machine
    pub(crate) to: PathBuf,
    /// Who says so [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Where,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The folder that `andon backup` has written
    pub(crate) from: PathBuf,
    /// Data folder that nobody runs on; it must not exist, or be empty
    #[arg(long, env = "ANDON_DATA", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Moves what is in the data folder aside, into a folder within it
    #[arg(long)]
    pub(crate) replace: bool,
    /// Who says so [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Prints one JSON value
    #[arg(long)]
    pub(crate) json: bool,
}
