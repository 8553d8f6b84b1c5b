//! `cargo xtask demo`: builds Andon and becomes `andon demo` with the remaining arguments.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, root, setup};

/// What `andon demo` is given.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments of `andon demo`, for example `--once`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// The command; returns only when something went wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let mut build = command::cargo();
    build.args(["build", "--package", "andon"]);
    if !build.status()?.success() {
        bail!("andon does not build");
    }
    let program = root::target()?.join("debug/andon");
    let failed = Command::new(&program).arg("demo").args(&arguments.rest).current_dir(root::root()).exec();
    bail!("starting {}: {failed}", program.display())
}
