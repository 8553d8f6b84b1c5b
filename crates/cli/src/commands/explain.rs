//! `andon explain`: lineage, backwards to the samples and forwards to every effect.

use crate::{args::Show, output, target::Target};
use andon_observe::{Lineage, narrate::narrate};
use std::process::ExitCode;

pub(super) fn run(args: &Show) -> anyhow::Result<ExitCode> {
    let json = Target::find(&args.instance)?.explain(&args.id)?;
    if args.instance.json {
        output::line(json);
    } else {
        let lineage: Lineage = serde_json::from_value(json)?;
        output::line(narrate(&lineage).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
