//! `andon feed`: publishes recorded data as the plant would.

use crate::args::Feed;
use std::process::ExitCode;

pub(super) fn run(_args: &Feed) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
