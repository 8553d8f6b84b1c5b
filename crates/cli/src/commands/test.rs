//! `andon test`: plays the scenarios of a project and tells every difference.

use super::check::problems;
use crate::{
    args::Test,
    output::{self, NO, USAGE, painted},
};
use andon_contract::load;
use andon_node::scenario::{Line, LineKind, Report, play};
use std::{process::ExitCode, sync::Arc};

pub(super) fn run(args: &Test) -> anyhow::Result<ExitCode> {
    let loaded = match load(&args.dir) {
        Ok(loaded) => loaded,
        Err(found) => {
            problems(&found, args.json);
            output::hint("the project is refused; see what is wrong with: andon check");
            return Ok(ExitCode::from(NO));
        }
    };
    let contract = Arc::new(loaded.contract);
    if let Some(name) = args.only.iter().find(|name| !contract.scenarios.contains_key(name.as_str())) {
        let known: Vec<&str> = contract.scenarios.keys().map(andon_model::Name::as_str).collect();
        output::hint(format!("there is no scenario {name:?}; there are: {}", known.join(", ")));
        return Ok(ExitCode::from(USAGE));
    }
    if contract.scenarios.is_empty() {
        output::hint("the project has no scenarios; write tests/<name>.yaml with `given` and `expect`");
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, scenario) in &contract.scenarios {
        if !args.only.is_empty() && !args.only.iter().any(|wanted| wanted == name.as_str()) {
            continue;
        }
        let report = play(&contract, name.as_str(), scenario);
        if report.passed {
            passed += 1;
        } else {
            failed += 1;
        }
        if args.json {
            output::line(serde_json::to_string(&report)?);
        } else {
            page(&report, args.all, output::colour()).into_iter().for_each(output::line);
        }
    }
    if !args.json {
        output::line(format!("{passed} as expected, {failed} not"));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The page a person reads of one scenario.
fn page(report: &Report, all: bool, colour: bool) -> Vec<String> {
    let word = if report.passed { painted("ok", 32, colour) } else { painted("NO", 31, colour) };
    let said = report.description.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let mut lines =
        vec![format!("{word} {}{said} ({} played, {} samples)", report.scenario, report.played, report.samples)];
    if let Some(cause) = &report.stopped {
        lines.push(format!("   it could not be played to its end: {cause}"));
    }
    for part in &report.parts {
        if part.lines.is_empty() || (part.passed() && !all) {
            continue;
        }
        lines.push(format!("   {}", part.of));
        for line in &part.lines {
            lines.extend(told(report, line, colour));
        }
    }
    lines
}

fn told(report: &Report, line: &Line, colour: bool) -> Vec<String> {
    let place = line.line.map(|line| format!("  ({}:{line})", report.file)).unwrap_or_default();
    let (sign, code, note) = match line.kind {
        LineKind::Ok => ("=", 32, ""),
        LineKind::Differs => ("~", 33, ""),
        LineKind::Missing => ("-", 31, "  is missing"),
        LineKind::Unexpected => ("+", 31, "  was not expected"),
    };
    let place = if line.kind == LineKind::Ok { String::new() } else { place };
    let mut lines = vec![format!("     {} {}{note}{place}", painted(sign, code, colour), line.what)];
    for (field, expected, found) in &line.differences {
        let found = if found.is_null() { "nothing".to_owned() } else { found.to_string() };
        lines.push(format!("         {field}: expected {expected}, found {found}"));
    }
    lines
}
