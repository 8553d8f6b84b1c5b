//! `andon show`: one thing, whole.

use crate::{args::Show, output, target::Target};
use std::process::ExitCode;

pub(super) fn run(args: &Show) -> anyhow::Result<ExitCode> {
    let json = Target::find(&args.instance)?.show(&args.id)?;
    output::line(if args.instance.json { json.to_string() } else { serde_json::to_string_pretty(&json)? });
    Ok(ExitCode::SUCCESS)
}
