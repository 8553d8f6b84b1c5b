//! `andon historian seal`: everything that is in the log goes to Parquet files now.

use crate::{
    args::{Historian, HistorianCommand},
    output,
    target::Target,
};
use std::process::ExitCode;

pub(super) fn run(args: &Historian) -> anyhow::Result<ExitCode> {
    let HistorianCommand::Seal(args) = &args.command;
    let historian = Target::find(&args.instance)?.seal()?;
    if args.instance.json {
        output::line(serde_json::to_string(&historian)?);
    } else {
        let (files, samples, bytes) = (historian.files, historian.samples, historian.bytes);
        output::line(format!(
            "{samples} samples in {files} files, {bytes} bytes; everything before {}",
            historian.sealed
        ));
    }
    Ok(ExitCode::SUCCESS)
}
