//! `cargo xtask mutants`: breaks one promise after the other and looks that a test finds each.
//!
//! A mutant is a patch under `xtask/mutants/` that breaks one promise on purpose, with the test that must then fail.
//! They are built in a copy of the tree within the build folder, so that nobody's work is touched, and the build is
//! incremental from one mutant to the next. A mutant that its test does not find is a hole in the tests.

mod copy;
mod patch;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::clock::{Stopwatch, spoken};
use crate::command;
use crate::parts::Problems;
use copy::Copy;
pub(crate) use patch::{FOLDER, Mutant};

/// What cargo ends a test program with that has failed.
const FAILED: i32 = 101;

/// A test that has not ended by then hangs, which is found as well.
const TEST_MAX: Duration = Duration::from_mins(5);

/// Which mutants.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only those whose names contain one of these; all when none is given.
    #[arg(value_name = "NAME")]
    only: Vec<String>,
    /// Lists them with the promises they break and the tests that find them.
    #[arg(long)]
    list: bool,
    /// One JSON line for each.
    #[arg(long)]
    json: bool,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    /// Its test failed, as it must.
    Caught,
    /// Its test did not end.
    Hung,
    /// Its test passed: nobody would notice.
    Survived,
    /// It cannot be built, or the test is not there; what was said.
    Broken(String),
}

/// A line of the report.
#[derive(Debug, Serialize)]
struct Line<'a> {
    mutant: &'a str,
    promise: &'a str,
    test: &'a str,
    fate: Fate,
    seconds: u64,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = patch::all()?;
    let chosen: Vec<&Mutant> = all.iter().filter(|mutant| is_wanted(mutant, &arguments.only)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|mutant| mutant.name.as_str()).collect();
        bail!("no mutant is named so; there are: {}", names.join(", "));
    }
    if arguments.list {
        for mutant in chosen {
            println!("{}", listed(mutant));
        }
        return Ok(());
    }
    let stopwatch = Stopwatch::start();
    let copy = Copy::make()?;
    let mut bad = Vec::new();
    // Without a mutant each of the tests passes, or its failure would say nothing.
    for (package, target) in programs(&chosen) {
        let of_program = chosen.iter().filter(|mutant| mutant.package == package && mutant.target == target);
        let mut tests: Vec<&str> = of_program.map(|mutant| mutant.test.as_str()).collect();
        tests.sort_unstable();
        tests.dedup();
        eprintln!("== without a mutant: {package} {target}");
        let fate = outcome(&copy, &package, &target, &tests)?;
        if fate != Fate::Survived {
            bad.push(format!("without a mutant, the tests of {package} ({target}) must pass: {fate:?}"));
        }
    }
    if bad.is_empty() {
        for (number, mutant) in chosen.iter().enumerate() {
            eprintln!("== {} of {}: {}", number + 1, chosen.len(), mutant.name);
            let line = one(&copy, mutant)?;
            if !matches!(line.fate, Fate::Caught | Fate::Hung) {
                bad.push(format!("{}: {}", mutant.name, told(&line.fate)));
            }
            if arguments.json {
                println!("{}", serde_json::to_string(&line).context("a line of the report is JSON")?);
            } else {
                println!("{:<9} {:<40} {:>4} s  {}", word(&line.fate), mutant.name, line.seconds, mutant.test);
            }
        }
    }
    eprintln!("{} mutants in {}", chosen.len(), spoken(stopwatch.elapsed()));
    if bad.is_empty() {
        return Ok(());
    }
    bail!("{} of {} are not found:\n{}", bad.len(), chosen.len(), bad.join("\n"))
}

/// Each patch applies, breaks something that is said, and names a test that is there.
pub(crate) fn check() -> Result<Problems> {
    let mut problems = Problems::new();
    for path in patch::files()? {
        match patch::read(&path).and_then(|mutant| patch::fits(&mutant)) {
            Ok(found) => problems.extend(found),
            Err(error) => problems.push(format!("{FOLDER}/{}: {error:#}", path.display())),
        }
    }
    Ok(problems)
}

fn is_wanted(mutant: &Mutant, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| mutant.name.contains(part.as_str()))
}

fn listed(mutant: &Mutant) -> String {
    let Mutant { name, promise, package, target, test, .. } = mutant;
    let mut text = name.clone();
    let _ = write!(text, "\n    breaks: {promise}\n    found by: {test} ({package}, {target})");
    text
}

/// The test programs of these mutants, each once, in their order.
fn programs(mutants: &[&Mutant]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for mutant in mutants {
        let program = (mutant.package.clone(), mutant.target.clone());
        if !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

fn one<'a>(copy: &Copy, mutant: &'a Mutant) -> Result<Line<'a>> {
    let stopwatch = Stopwatch::start();
    let fate = match copy.apply(mutant) {
        Ok(()) => outcome(copy, &mutant.package, &mutant.target, &[&mutant.test])?,
        Err(error) => Fate::Broken(format!("{error:#}")),
    };
    copy.restore(mutant)?;
    let Mutant { name, promise, test, .. } = mutant;
    Ok(Line { mutant: name, promise, test, fate, seconds: stopwatch.elapsed().as_secs() })
}

/// Builds a test program of the copy and runs these tests of it.
fn outcome(copy: &Copy, package: &str, target: &str, tests: &[&str]) -> Result<Fate> {
    let mut build = copy.cargo();
    build.args(["test", "--quiet", "--no-run"]).args(program_arguments(package, target));
    if let Err(error) = command::output(build) {
        return Ok(Fate::Broken(format!("it cannot be built: {error:#}")));
    }
    let mut cargo = copy.cargo();
    cargo.arg("test").args(program_arguments(package, target));
    cargo.args(["--", "--exact"]).args(tests);
    let ran = Copy::within(cargo, TEST_MAX)?;
    Ok(match ran {
        None => Fate::Hung,
        Some(ran) if ran.passed + ran.failed < tests.len() => {
            Fate::Broken(format!("of {tests:?} only {} were run: {}", ran.passed + ran.failed, ran.said))
        }
        Some(ran) if ran.code == Some(0) => Fate::Survived,
        Some(ran) if ran.code == Some(FAILED) && ran.failed > 0 => Fate::Caught,
        Some(ran) => Fate::Broken(format!("cargo ended with {:?}: {}", ran.code, ran.said)),
    })
}

/// A test program as arguments of cargo: its target is `lib`, `bin NAME` or `test NAME`.
fn program_arguments<'a>(package: &'a str, target: &'a str) -> Vec<&'a str> {
    match target.split_once(' ') {
        // With the features of the whole workspace, as it is built for all tests: nothing else is built again.
        Some(("test", name)) => vec!["--workspace", "--test", name],
        Some((_, name)) => vec!["--package", package, "--bin", name],
        None => vec!["--package", package, "--lib"],
    }
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Caught => "caught",
        Fate::Hung => "hung",
        Fate::Survived => "SURVIVED",
        Fate::Broken(_) => "BROKEN",
    }
}

fn told(fate: &Fate) -> String {
    match fate {
        Fate::Caught | Fate::Hung => word(fate).to_owned(),
        Fate::Survived => "its test passes although the promise is broken".to_owned(),
        Fate::Broken(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_fits_the_code_and_names_a_test_that_is_there() {
        assert_eq!(check().unwrap(), Problems::new());
    }

    #[test]
    fn a_target_is_the_library_or_a_program_of_tests() {
        assert_eq!(program_arguments("andon-store", "lib"), ["--package", "andon-store", "--lib"]);
        assert_eq!(program_arguments("andon", "test product"), ["--workspace", "--test", "product"]);
    }
}
