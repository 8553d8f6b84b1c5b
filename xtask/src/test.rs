//! `cargo xtask test`: runs the tests of the workspace and says at the end, in one line, what came of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::Package;

use crate::clock::{Stopwatch, spoken};
use crate::{command, root, setup, torture};

/// A test program that says nothing for so long hangs: the longest test takes a third of it on a busy machine.
const QUIET_MAX: Duration = Duration::from_mins(12);

/// The most lines kept of one program's account of its failed tests; the rest is further up in the output.
const REASON_LINES_MAX: usize = 300;

/// Which tests.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leaves out the tests that start the product or other people's programs, and the examples in docs.
    #[arg(long)]
    quick: bool,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // The quick tests drive nothing of others.
    if arguments.quick { setup::ensure() } else { setup::all() }?;
    let tally = tests(arguments.quick)?;
    if tally.failures.is_empty() {
        return Ok(());
    }
    println!();
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    bail!("{} failures, named above", tally.failures.len())
}

/// Runs the tests, shows their output, and prints the line that sums them up.
pub(crate) fn tests(quick: bool) -> Result<Tally> {
    let stopwatch = Stopwatch::start();
    let mut cargo = command::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast", "--color", command::colour()]);
    if quick {
        cargo.args(["--lib", "--bins"]);
        for name in quick_targets()? {
            cargo.args(["--test", &name]);
        }
    }
    let mut tally = Tally::default();
    let status = command::stream_awake(cargo, QUIET_MAX, |line| tally.line(line))?;
    if !status.success() && tally.failures.is_empty() {
        tally.failures.push(format!("cargo test ended with {status}"));
    }
    if !quick && let Err(error) = torture::of_tests() {
        tally.failures.push(format!("{error:#} (torture)"));
        tally.reasons.push(format!("in the torture, whose table is further up: {error:#}"));
    }
    println!("\n{}", tally.summary(stopwatch.elapsed(), &data()));
    Ok(tally)
}

/// What cargo's output says about the tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The names of the failed tests, each with its program, and errors of the compiler.
    pub(crate) failures: Vec<String>,
    /// What the failed tests and the compiler said.
    pub(crate) reasons: Vec<String>,
    passed: u64,
    failed: u64,
    ignored: u64,
    programs: u64,
    program: String,
    within: Within,
    kept: usize,
    /// The tests of the current program that take long and have not ended.
    long: Vec<String>,
}

/// Of what the current line is a part.
#[derive(Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    /// A program's account of its failed tests.
    Account,
    /// An error of the compiler or of cargo.
    Error,
}

impl Tally {
    fn line(&mut self, line: &str) {
        if let Some(program) = program(line) {
            self.program = program;
            self.long.clear();
            self.within = Within::Nothing;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.within = Within::Nothing;
            self.programs += 1;
            self.passed += count(counts, " passed");
            self.failed += count(counts, " failed");
            self.ignored += count(counts, " ignored");
        } else if let Some(name) = long_test(line) {
            self.long.push(name.to_owned());
        } else if let Some(name) = failed_test(line) {
            self.failures.push(format!("{} ({})", name, self.program));
        } else if line == "failures:" && self.within == Within::Nothing {
            self.within = Within::Account;
            self.kept = 0;
            self.reasons.push(format!("in {}:", self.program));
        } else if self.within != Within::Account && line.starts_with("error") {
            self.within = Within::Error;
            let unfinished = self.long.drain(..).map(|name| format!("{name} ({}), which did not end", self.program));
            self.failures.extend(unfinished);
            self.kept = 0;
            self.failures.push(line.to_owned());
        } else if self.within == Within::Error && line.trim().is_empty() {
            self.within = Within::Nothing;
        }
        if let Some(name) = ended_test(line) {
            self.long.retain(|long| long != name);
        }
        self.keep(line);
    }

    fn keep(&mut self, line: &str) {
        if self.within == Within::Nothing || self.kept > REASON_LINES_MAX {
            return;
        }
        self.kept += 1;
        let cut = self.kept > REASON_LINES_MAX;
        self.reasons.push(if cut { "(the rest is further up)".to_owned() } else { line.to_owned() });
    }

    fn summary(&self, time: Duration, data: &str) -> String {
        format!(
            "tests: {} passed, {} failed, {} ignored in {} test programs, {}, data: {data}",
            self.passed,
            self.failed,
            self.ignored,
            self.programs,
            spoken(time)
        )
    }
}

/// The program that the following lines come from, when the line announces one.
fn program(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(library) = line.strip_prefix("Doc-tests ") {
        return Some(format!("examples in the docs of {library}"));
    }
    let (source, binary) = line.strip_prefix("Running ")?.strip_suffix(')')?.split_once(" (")?;
    let name = binary.rsplit('/').next()?;
    let name = name.rsplit_once('-').map_or(name, |(name, _hash)| name);
    Some(format!("{name}, {}", source.trim_start_matches("unittests ")))
}

fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// The test that takes long, when the line says so.
fn long_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.split_once(" has been running for over ").map(|(name, _)| name)
}

/// The test whose end the line tells.
fn ended_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.split_once(" ... ").map(|(name, _)| name)
}

/// The number before a word, as in `3 passed; 1 failed`.
fn count(counts: &str, word: &str) -> u64 {
    let Some((before, _)) = counts.split_once(word) else { return 0 };
    before.rsplit([' ', ';']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The integration tests that a quick run includes: all but those that drive the product or other programs.
fn quick_targets() -> Result<Vec<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo for the test programs")?;
    let members = metadata.packages.iter().filter(|package| is_quick(package, &root::root()));
    let mut names: Vec<String> = members
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_test())
        .map(|target| target.name.clone())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn is_quick(package: &Package, root: &Path) -> bool {
    let against = package.manifest_path.as_std_path().starts_with(root.join("tests/against"));
    package.name.as_str() != "andon" && !against
}

/// Which data the tests found: the recorded ones outside the repository, or only the synthetic sample within it.
fn data() -> String {
    let folder = root::outside("ANDON_TESTDATA", "../shared/data");
    if folder.join("nab-machine-temperature").is_dir() {
        return format!("recorded, {}", folder.canonicalize().unwrap_or(folder).display());
    }
    "synthetic".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.line(line));
        tally
    }

    #[test]
    fn counts_of_all_programs_are_added() {
        let tally = tally(concat!(
            "   Compiling andon-model v0.1.0\n",
            "     Running unittests src/lib.rs (target/debug/deps/andon_model-0a1b2c)\n\nrunning 3 tests\n",
            "test ids::round_trip ... ok\n",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\n",
            "   Doc-tests andon_model\n\n",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
        ));
        assert!(tally.failures.is_empty() && tally.reasons.is_empty());
        assert_eq!(
            tally.summary(Duration::from_secs(14), "synthetic"),
            "tests: 15 passed, 0 failed, 1 ignored in 2 test programs, 14 s, data: synthetic"
        );
    }

    #[test]
    fn a_failed_test_is_named_with_its_program_and_its_reason() {
        let tally = tally(concat!(
            "     Running tests/crash.rs (target/debug/deps/crash-0a1b2c)\n\nrunning 2 tests\n",
            "test kill ... FAILED\ntest stop ... ok\n\nfailures:\n\n---- kill stdout ----\n",
            "assertion `left == right` failed\n\nfailures:\n    kill\n\n",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
            "\nerror: test failed, to rerun pass `-p andon --test crash`\n",
        ));
        assert_eq!(
            tally.failures,
            ["kill (crash, tests/crash.rs)", "error: test failed, to rerun pass `-p andon --test crash`"]
        );
        assert!(tally.reasons.iter().any(|line| line.contains("left == right")));
        assert!(!tally.reasons.iter().any(|line| line.contains("stop")));
    }

    #[test]
    fn tests_that_do_not_end_are_named() {
        let tally = tally(concat!(
            "     Running unittests src/lib.rs (target/debug/deps/andon_api-0a1b2c)\n\nrunning 3 tests\n",
            "test slow has been running for over 60 seconds\ntest hangs has been running for over 60 seconds\n",
            "test slow ... ok\nerror: test failed, to rerun pass `-p andon-api --lib`\n",
        ));
        assert_eq!(
            tally.failures,
            [
                "hangs (andon_api, src/lib.rs), which did not end",
                "error: test failed, to rerun pass `-p andon-api --lib`"
            ]
        );
    }

    #[test]
    fn an_error_of_the_compiler_is_a_failure_with_its_place() {
        let tally = tally("error[E0308]: mismatched types\n  --> crates/model/src/ids.rs:3:5\n\nwarning: x\n");
        assert_eq!(tally.failures, ["error[E0308]: mismatched types"]);
        assert_eq!(tally.reasons.len(), 2);
    }

    #[test]
    fn a_long_account_is_cut() {
        let long = "line\n".repeat(REASON_LINES_MAX * 2);
        let tally = tally(&format!("failures:\n{long}"));
        assert!(tally.reasons.len() < REASON_LINES_MAX + 5);
        assert_eq!(tally.reasons.last().map(String::as_str), Some("(the rest is further up)"));
    }
}
