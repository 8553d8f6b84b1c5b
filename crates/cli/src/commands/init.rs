//! `andon init`: a new, commented project.

use crate::args::Init;
use std::process::ExitCode;

pub(super) fn run(_args: &Init) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
