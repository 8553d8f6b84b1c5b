//! Mosquitto on a free port, with the configuration of the bench.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clock::Stopwatch;
use crate::command;

/// How long a broker may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);

/// A running broker; it ends with this value.
pub(super) struct Broker {
    child: Child,
    /// The port it listens on, on loopback.
    pub(super) port: u16,
}

impl Broker {
    /// Starts Mosquitto with a configuration in which only the port is replaced.
    pub(super) fn start(configuration: &Path, folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let text = fs::read_to_string(configuration).with_context(|| format!("reading {}", configuration.display()))?;
        let own = folder.join("mosquitto.conf");
        fs::write(&own, with_port(&text, port)?).with_context(|| format!("writing {}", own.display()))?;
        let program = command::find("mosquitto").context("mosquitto is missing: cargo xtask setup")?;
        let log = File::create(folder.join("mosquitto.log")).context("making the broker's log")?;
        let mut start = Command::new(program);
        start.arg("-c").arg(&own).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut broker = Self { child: start.spawn().context("starting mosquitto")?, port };
        let stopwatch = Stopwatch::start();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = broker.child.try_wait()? {
                let said = fs::read_to_string(folder.join("mosquitto.log")).unwrap_or_default();
                bail!("mosquitto ended with {status}: {}", said.trim());
            }
            if stopwatch.elapsed() > START_MAX {
                bail!("mosquitto does not listen on port {port} after {} s", START_MAX.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("looking for a free port")?.port())
}

/// A Mosquitto configuration with another port in its one listener.
fn with_port(configuration: &str, port: u16) -> Result<String> {
    let mut listeners = 0;
    let mut lines = Vec::new();
    for line in configuration.lines() {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let number = port.to_string();
        if let ["listener", old, ..] = words.as_mut_slice() {
            *old = &number;
            listeners += 1;
            lines.push(words.join(" "));
        } else {
            lines.push(line.to_owned());
        }
    }
    if listeners != 1 {
        bail!("the broker's configuration has {listeners} listeners; expected one");
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_is_replaced() {
        let text = "# loopback\nlistener 18830 127.0.0.1\nallow_anonymous true\n";
        let expected = "# loopback\nlistener 4711 127.0.0.1\nallow_anonymous true\n";
        assert_eq!(with_port(text, 4711).unwrap(), expected);
        assert!(with_port("allow_anonymous true\n", 4711).is_err());
    }
}
