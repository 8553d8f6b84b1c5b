//! `cargo xtask check`: everything about the code that is not a test. Each part reports all it finds; all findings
//! are repeated at the end.

mod arrows;
mod dependencies;
mod generated;
mod markdown;
mod ratchet;
mod rust;
mod tidy;

use anyhow::Result;

use crate::command;
use crate::parts::{Parts, Problems};

/// The command.
pub(crate) fn run() -> Result<()> {
    let mut parts = Parts::default();
    all(&mut parts);
    parts.finish()
}

/// Runs every part, the quick ones first.
pub(crate) fn all(parts: &mut Parts) {
    parts.run("tidy", tidy::check);
    parts.run("arrows", arrows::check);
    parts.run("dependencies", dependencies::check);
    parts.run("fmt", fmt);
    parts.run("clippy", clippy);
    parts.run("generated", generated::check);
}

fn fmt() -> Result<Problems> {
    let mut cargo = command::cargo();
    cargo.args(["fmt", "--all", "--check", "--", "-l"]);
    let mut said = Vec::new();
    let status = command::stream(cargo, |line| said.push(line.to_owned()))?;
    if status.success() {
        return Ok(Problems::new());
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
