//! The broker of the plant that has one: started with the world, or found alive where an earlier world left it.

use andon_demo::{
    broker::Mosquitto,
    world::{self, Found},
};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
};

/// Where brokers are.
const USUAL: u16 = 1883;
/// What it keeps while Andon is away has no limit: it waits in the machines' gateway otherwise.
const SETTINGS: &str = "max_queued_messages 0";

/// A broker that ends with this value.
pub(super) struct Broker {
    pub(super) known: world::Broker,
    /// `None`: an earlier world started it.
    own: Option<Mosquitto>,
}

impl Broker {
    /// The one of an earlier world where it still works, else a new one: at its port, or at the usual one where we may
    /// take that, if they are free. `None` where Mosquitto is not installed or does not start.
    pub(super) fn open(dir: &Path, former: Option<&Found>, usual: bool) -> Option<Self> {
        let former = former.and_then(|found| found.broker.clone());
        if let Some(known) = former.clone().filter(|known| works(known, dir)) {
            return Some(Self { known, own: None });
        }
        let ports = [former.and_then(|known| super::port_of(&known.address)), usual.then_some(USUAL)];
        let free = ports.into_iter().flatten().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let started = match free {
            Some(port) => Mosquitto::start_at(dir, SETTINGS, port),
            None => Mosquitto::start(dir, SETTINGS),
        };
        match started {
            Ok(own) => Some(Self { known: world::Broker { address: own.address(), pid: own.pid() }, own: Some(own) }),
            Err(error) => {
                tracing::warn!(%error, "no broker: the machines of both plants publish to Andon itself");
                None
            }
        }
    }
}

/// Whether a broker is the one that was started in this folder, and listens.
fn works(known: &world::Broker, dir: &Path) -> bool {
    let said = fs::read(format!("/proc/{}/cmdline", known.pid)).unwrap_or_default();
    let config = dir.join("mosquitto.conf").display().to_string();
    let ours = said.split(|byte| *byte == 0).any(|word| word == config.as_bytes());
    let address = known.address.strip_prefix("mqtt://").unwrap_or_default();
    ours && TcpStream::connect(address).is_ok()
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.own.is_none() {
            let _ = Command::new("kill").arg(self.known.pid.to_string()).status();
        }
    }
}
