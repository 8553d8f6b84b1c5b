//! `cargo xtask setup`: looks for the programs the tests drive, and installs what is missing where it can.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// A program of another project that ours is tested with.
struct Tool {
    program: &'static str,
    /// Its package in Debian.
    package: &'static str,
    /// What it is needed for.
    why: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool { program: "mosquitto", package: "mosquitto", why: "the broker that the tests and the example talk to" },
    Tool {
        program: "mosquitto_pub",
        package: "mosquitto-clients",
        why: "speaks to the broker as a machine of somebody else",
    },
    Tool { program: "curl", package: "curl", why: "asks the API and the office as somebody else would" },
    Tool { program: "strace", package: "strace", why: "proves that data is on the disk before it is acknowledged" },
    Tool { program: "gcc", package: "gcc", why: "compiles SQLite and the load generator" },
];

/// The command: brings the machine into a state in which the tests can run, and says so.
pub(crate) fn run() -> Result<()> {
    ensure()?;
    for tool in &TOOLS {
        if let Some(place) = command::find(tool.program) {
            println!("{:<14} {} ({})", tool.program, place.display(), tool.why);
        }
    }
    Ok(())
}

/// Returns at once when all is there; otherwise installs it, or says what is missing and how to get it.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing(command::find);
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() || command::find("apt-get").is_none() {
        bail!("{}", remedy(&missing));
    }
    install(&missing)?;
    let still = self::missing(command::find);
    if still.is_empty() {
        return Ok(());
    }
    bail!("apt-get has run, but {}", remedy(&still))
}

fn missing(find: impl Fn(&str) -> Option<PathBuf>) -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| find(tool.program).is_none()).collect()
}

fn packages(missing: &[&Tool]) -> Vec<&'static str> {
    missing.iter().map(|tool| tool.package).collect()
}

fn remedy(missing: &[&Tool]) -> String {
    let named: Vec<String> = missing.iter().map(|tool| format!("`{}` ({})", tool.program, tool.why)).collect();
    format!(
        "missing on this machine: {}; on Debian: sudo apt-get install {}",
        named.join(", "),
        packages(missing).join(" ")
    )
}

fn install(missing: &[&Tool]) -> Result<()> {
    let packages = packages(missing);
    println!("installing {} with apt-get", packages.join(" "));
    apt(&["update", "--quiet"])?;
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let mut last = String::new();
    let status = command::stream(command, |line| line.clone_into(&mut last)).context("running apt-get")?;
    if status.success() {
        return Ok(());
    }
    bail!("apt-get {} ended with {status}: {last}", arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let missing = missing(|program| (program != "mosquitto_pub").then(|| PathBuf::from("/usr/bin")));
        let text = remedy(&missing);
        assert!(text.contains("`mosquitto_pub`"), "{text}");
        assert!(text.ends_with("sudo apt-get install mosquitto-clients"), "{text}");
    }

    #[test]
    fn nothing_is_missing_where_everything_is_found() {
        assert!(missing(|_| Some(PathBuf::from("/usr/bin"))).is_empty());
    }
}
