//! `cargo xtask check`: everything about the code that is not a test. Each part reports all it finds; all findings
//! are repeated at the end.

mod arrows;
mod dependencies;
mod fuzz;
mod generated;
mod guarantees;
mod limits;
mod markdown;
mod ratchet;
mod rust;
mod tidy;

use anyhow::{Result, bail};

use crate::parts::{Parts, Problems};
use crate::{command, mutants, root};

/// Which parts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these parts; all when none is named.
    #[arg(value_name = "PART")]
    only: Vec<String>,
}

/// A part of the check.
type Part = (&'static str, fn() -> Result<Problems>);

/// All parts, the quick ones first.
const PARTS: [Part; 10] = [
    ("tidy", tidy::check),
    ("limits", limits::check),
    ("guarantees", guarantees::check),
    ("mutants", mutants::check),
    ("fuzz", fuzz::check),
    ("arrows", arrows::check),
    ("dependencies", dependencies::check),
    ("fmt", fmt),
    ("clippy", clippy),
    ("generated", generated::check),
];

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(unknown) = arguments.only.iter().find(|name| !PARTS.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!("no part `{unknown}`; there are: {}", known.join(", "));
    }
    let mut parts = Parts::default();
    for (name, work) in PARTS {
        if arguments.only.is_empty() || arguments.only.iter().any(|wanted| wanted == name) {
            parts.run(name, work);
        }
    }
    parts.finish()
}

/// Runs every part.
pub(crate) fn all(parts: &mut Parts) {
    for (name, work) in PARTS {
        parts.run(name, work);
    }
}

fn fmt() -> Result<Problems> {
    let mut cargo = command::cargo();
    cargo.args(["fmt", "--all", "--check", "--", "-l"]);
    let mut said = Vec::new();
    let status = command::stream(cargo, |line| said.push(line.to_owned()))?;
    if status.success() {
        return Ok(Problems::new());
    }
    let root = format!("{}/", root::root().display());
    for line in &mut said {
        *line = line.replace(&root, "");
    }
    said.sort();
    said.dedup();
    Ok(vec![format!("not formatted (remedy: cargo fmt --all):\n{}", said.join("\n"))])
}

fn clippy() -> Result<Problems> {
    let mut cargo = command::cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--keep-going", "--color", command::colour()]);
    cargo.args(["--", "-D", "warnings"]);
    let mut said = Vec::new();
    let status = command::stream(cargo, |line| said.push(line.to_owned()))?;
    if status.success() {
        return Ok(Problems::new());
    }
    let findings = without_progress(&said);
    Ok(if findings.is_empty() { vec![format!("cargo clippy ended with {status}")] } else { findings })
}

/// What a compiler said, one entry per paragraph, without the lines that only tell how far it is.
fn without_progress(lines: &[String]) -> Problems {
    const PROGRESS: [&str; 9] = [
        "Checking ",
        "Compiling ",
        "Finished ",
        "Blocking ",
        "Downloading ",
        "Downloaded ",
        "Updating ",
        "Locking ",
        "Adding ",
    ];
    let mut findings: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        let text = line.trim_start();
        if text.is_empty() {
            open = false;
        } else if !PROGRESS.iter().any(|word| text.starts_with(word)) {
            match findings.last_mut().filter(|_| open) {
                Some(finding) => {
                    finding.push('\n');
                    finding.push_str(line);
                }
                None => findings.push(line.clone()),
            }
            open = true;
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_paragraphs_without_progress() {
        let said = "    Checking a v0.1.0\nerror: unused\n  --> a.rs:1:1\n\nerror: other\n    Finished dev\n";
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        assert_eq!(without_progress(&lines), ["error: unused\n  --> a.rs:1:1", "error: other"]);
    }
}
