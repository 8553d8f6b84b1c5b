//! `cargo xtask fuzz`: runs the targets of `fuzz/` for a while; without the tools for it, says how to get them.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{command, root};

/// Which target and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The target; all of them, one after the other, when none is named.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let manifest = root::root().join("fuzz/Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let known = targets(&text)?;
    let chosen = match &arguments.target {
        None => known,
        Some(name) if known.contains(name) => vec![name.clone()],
        Some(name) => bail!("no fuzz target `{name}`; there are: {}", known.join(", ")),
    };
    tools()?;
    let mut failed = Vec::new();
    for target in &chosen {
        println!("== {target}, {} s", arguments.seconds);
        // What widens the coverage goes where git does not look: the corpus holds what people chose.
        let found = format!("fuzz/target/found/{target}");
        fs::create_dir_all(root::root().join(&found)).with_context(|| format!("making {found}"))?;
        let seeds = format!("fuzz/corpus/{target}");
        let seconds = format!("-max_total_time={}", arguments.seconds);
        let mut fuzz = nightly();
        fuzz.args(["run", target, &found, &seeds, "--", &seconds]);
        if !fuzz.status().context("starting cargo fuzz")?.success() {
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("found something: {}; the inputs are in fuzz/artifacts", failed.join(", "))
}

/// The names of the fuzz targets.
fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("reading fuzz/Cargo.toml")?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array);
    let names = programs.into_iter().flatten().filter_map(|program| program.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Cargo-fuzz on the nightly toolchain, which has the sanitizers.
fn nightly() -> Command {
    let mut command = Command::new("cargo");
    // Both name the toolchain that started us.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command.args(["+nightly", "fuzz"]).current_dir(root::root());
    command
}

fn tools() -> Result<()> {
    let mut toolchains = Command::new("rustup");
    toolchains.args(["toolchain", "list"]);
    let listed = command::output(toolchains).unwrap_or_default();
    if !listed.lines().any(|line| line.starts_with("nightly")) {
        bail!("fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal");
    }
    let mut version = nightly();
    version.arg("--version");
    if command::output(version).is_err() {
        bail!("fuzzing needs cargo-fuzz: cargo install cargo-fuzz");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_programs_of_the_fuzz_crate() {
        let manifest = "[package]\nname = 'fuzz'\n[[bin]]\nname = 'json'\npath = 'a.rs'\n[[bin]]\nname = 'frame'\n";
        assert_eq!(targets(manifest).unwrap(), ["json", "frame"]);
        assert!(targets("[package]\nname = 'fuzz'").unwrap().is_empty());
    }
}
