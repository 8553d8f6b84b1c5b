//! `cargo xtask setup`: looks for the programs the tests drive, and installs what is missing where it can.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{command, root};

/// A program of another project that ours is tested with.
struct Tool {
    program: &'static str,
    /// Its package in Debian.
    package: &'static str,
    /// What it is needed for.
    why: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool { program: "mosquitto", package: "mosquitto", why: "the broker that the tests and the example talk to" },
    Tool {
        program: "mosquitto_pub",
        package: "mosquitto-clients",
        why: "speaks to the broker as a machine of somebody else",
    },
    Tool { program: "curl", package: "curl", why: "asks the API and the office as somebody else would" },
    Tool { program: "strace", package: "strace", why: "proves that data is on the disk before it is acknowledged" },
    Tool { program: "python3", package: "python3-venv", why: "runs Paho, a client that the listener is tested with" },
    Tool { program: "npm", package: "npm", why: "installs MQTT.js, another one, and what checks signed webhooks" },
    Tool { program: "aiosmtpd", package: "python3-aiosmtpd", why: "the mail server that notices are handed to" },
    Tool { program: "faketime", package: "faketime", why: "lets the product believe that its clock has jumped" },
    Tool { program: "gcc", package: "gcc", why: "compiles SQLite and the load generator" },
];

/// A client or a receiver that is no package of Debian: how it is installed in a folder below `target/clients`, step by
/// step.
struct Client {
    name: &'static str,
    folder: &'static str,
    /// What is there once it is installed.
    proof: &'static str,
    steps: [&'static [&'static str]; 2],
    /// What to do when a step fails.
    remedy: &'static str,
}

const CLIENTS: [Client; 3] = [
    Client {
        name: "paho-mqtt 2.1.0",
        folder: "python",
        proof: "bin/paho-mqtt-2.1.0",
        steps: [
            &["python3", "-m", "venv", "."],
            &["bin/pip", "install", "--quiet", "--disable-pip-version-check", "paho-mqtt==2.1.0"],
        ],
        remedy: "it takes Python's venv (on Debian: sudo apt-get install python3-venv) and PyPI, or a mirror of it \
                 that PIP_INDEX_URL names",
    },
    Client {
        name: "mqtt 5.16.0 (MQTT.js)",
        folder: "node",
        proof: "mqtt-5.16.0",
        steps: [
            &["npm", "init", "--yes", "--silent"],
            &["npm", "install", "--silent", "--no-fund", "--no-audit", "mqtt@5.16.0"],
        ],
        remedy: "it takes npm (on Debian: sudo apt-get install npm) and the registry of npm, or a mirror of it that \
                 npm_config_registry names",
    },
    Client {
        name: "standardwebhooks 1.1.1",
        folder: "webhooks",
        proof: "standardwebhooks-1.1.1",
        steps: [
            &["npm", "init", "--yes", "--silent"],
            &["npm", "install", "--silent", "--no-fund", "--no-audit", "standardwebhooks@1.1.1"],
        ],
        remedy: "it takes npm (on Debian: sudo apt-get install npm) and the registry of npm, or a mirror of it that \
                 npm_config_registry names",
    },
];

/// Everything that the tests drive: programs of the system and clients of others.
pub(crate) fn all() -> Result<()> {
    ensure()?;
    clients()
}

/// Installs the clients that are missing.
fn clients() -> Result<()> {
    for client in &CLIENTS {
        let folder = root::root().join("target/clients").join(client.folder);
        let proof = folder.join(client.proof);
        if !proof.exists() {
            println!("installing {} into {}", client.name, folder.display());
            std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
            for step in client.steps {
                let [program, arguments @ ..] = step else { continue };
                // A program of the folder itself, or one of the machine.
                let own = folder.join(program);
                let program = if own.exists() { own } else { PathBuf::from(program) };
                let mut command = Command::new(&program);
                let status = command.args(arguments).current_dir(&folder).stdout(Stdio::null()).status();
                let status = status.with_context(|| format!("running {}; {}", program.display(), client.remedy))?;
                if !status.success() {
                    let step = step.join(" ");
                    bail!("{} cannot be installed: {step} ended with {status}; {}", client.name, client.remedy);
                }
            }
            std::fs::write(&proof, "").with_context(|| format!("writing {}", proof.display()))?;
        }
        println!("{:<14} {}", client.folder, client.name);
    }
    Ok(())
}

/// The command: brings the machine into a state in which the tests can run, and says so.
pub(crate) fn run() -> Result<()> {
    ensure()?;
    for tool in &TOOLS {
        if let Some(place) = command::find(tool.program) {
            println!("{:<14} {} ({})", tool.program, place.display(), tool.why);
        }
    }
    clients()
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
