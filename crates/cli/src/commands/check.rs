//! `andon check`: the problems of a project, or what it promises.

use crate::{
    args::Check,
    output::{self, NO},
};
use andon_contract::{Contract, Problem, Resolved, Severity, load, summary};
use std::process::ExitCode;

pub(super) fn run(args: &Check) -> anyhow::Result<ExitCode> {
    match load(&args.dir) {
        Ok(loaded) => {
            problems(&loaded.warnings, args.json);
            if args.parameters {
                parameters(&loaded.contract, args.json)?;
                return Ok(ExitCode::SUCCESS);
            }
            let summary = summary(&loaded.contract);
            if args.json {
                output::line(serde_json::to_string(&summary)?);
            } else {
                output::line(summary.to_string().trim_end());
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(found) => {
            problems(&found, args.json);
            let errors = found.iter().filter(|p| p.severity == Severity::Error).count();
            if !args.json {
                output::line(format!("{errors} problem{}", if errors == 1 { "" } else { "s" }));
            }
            Ok(ExitCode::from(NO))
        }
    }
}

/// Prints the parameters of all assets with the place where each was set.
fn parameters(contract: &Contract, json: bool) -> anyhow::Result<()> {
    let found = andon_contract::parameters(contract);
    if json {
        for parameter in &found {
            output::line(serde_json::to_string(parameter)?);
        }
        return Ok(());
    }
    let row = |is: &Resolved| {
        let value = is.unit.as_ref().map_or_else(|| is.value.clone(), |unit| format!("{} {unit}", is.value));
        vec![is.asset.clone(), is.parameter.clone(), value, is.from.clone()]
    };
    output::table(&["asset", "parameter", "value", "set at"], &found.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// Prints problems, each with its place.
pub(super) fn problems(found: &[Problem], json: bool) {
    for problem in found {
        if json {
            output::line(serde_json::to_string(problem).unwrap_or_default());
        } else {
            output::line(problem.render(output::colour()).trim_end());
            output::line("");
        }
    }
}
