//! What a loop is given by its caller: the clock, chance, the environment; and what is read with them.

use crate::{
    mqtt::{BrokerAddress, Ended},
    tls,
};
use andon_contract::contract::{Broker, ClientTls, Secret, UserPassword};
use andon_model::Time;
use andon_store::StoreError;
use rustls::ClientConfig;
use std::{io::Read as _, sync::Arc, time::Duration};

/// The clock of the caller.
pub trait Clock: Send + Sync {
    /// UTC.
    fn now(&self) -> Time;
    /// Time that only goes on, since some moment of the process.
    fn monotonic(&self) -> Duration;
}

/// The environment of the caller: the value of a variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Chance of the caller: fills bytes.
pub type Chance = Box<dyn FnMut(&mut [u8]) + Send>;

/// A number by chance.
pub(crate) fn draw(chance: &mut Chance) -> u64 {
    let mut bytes = [0; 8];
    chance(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A key for a window of duplicates, by chance.
pub(crate) fn draw_key(chance: &mut Chance) -> [u64; 4] {
    std::array::from_fn(|_| draw(chance))
}

/// The largest file that holds a secret.
const SECRET_MAX: u64 = 64 << 10;

/// Reads a secret where its reference points.
pub(crate) fn secret(secret: &Secret, env: &Env) -> Result<String, Ended> {
    match secret {
        Secret::Env(name) => env(name).ok_or_else(|| {
            Ended::new(format!("the environment variable {name} is not set"), "set it to the secret and start again")
        }),
        Secret::File(path) => {
            let cannot = |e: &dyn std::fmt::Display| {
                Ended::new(format!("the secret in {path} cannot be read: {e}"), "check the path and its permissions")
            };
            let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
            let mut text = String::new();
            // One byte more than is allowed tells whether there is more.
            file.take(SECRET_MAX + 1).read_to_string(&mut text).map_err(|e| cannot(&e))?;
            if text.len() as u64 > SECRET_MAX { Err(cannot(&"more than 64 KiB")) } else { Ok(text.trim().to_owned()) }
        }
    }
}

/// Where a secret stands, for messages.
pub(crate) fn place(secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => format!("the environment variable {name}"),
        Secret::File(path) => path.clone(),
    }
}

/// User and password of a broker, read where their reference points.
pub(crate) fn credentials(broker: &Broker, env: &Env) -> Result<Option<(String, Vec<u8>)>, Ended> {
    let Some(UserPassword { user, password }) = &broker.credentials else { return Ok(None) };
    Ok(Some((user.clone(), secret(password, env)?.into_bytes())))
}

/// Where a broker is, with the environment, and how TLS is spoken with it where its address says so. `of` names
/// what has the broker: `source`.
pub(crate) fn address(
    broker: &Broker,
    env: &Env,
    of: &str,
) -> Result<(BrokerAddress, Option<Arc<ClientConfig>>), Ended> {
    let address = BrokerAddress::parse(&broker.address.resolve(&|name| env(name)))
        .map_err(|reason| Ended::new(reason, format!("correct `broker` of the {of}, or the variable it names")))?;
    if !address.tls && broker.tls != ClientTls::default() {
        return Err(Ended::new(
            format!("the {of} has keys for TLS, and its address {address} is without"),
            "begin the address with mqtts://, in the project or in the variable it names",
        ));
    }
    let tls = if address.tls { Some(tls::client(&broker.tls, env)?) } else { None };
    Ok((address, tls))
}

/// Keep-alive in whole seconds, as far as MQTT can tell it.
pub(crate) fn keep_alive(broker: &Broker) -> u16 {
    u16::try_from(broker.keep_alive.std().as_secs()).unwrap_or(u16::MAX)
}

/// Why the conversation of a loop with its broker is over.
pub(crate) enum End {
    /// The handle asked for it.
    Stopped,
    /// The broker or the network.
    Ended(Ended),
    /// The disk.
    Store(StoreError),
}

impl End {
    /// In words, and the broker's reason code where it gave one.
    pub(crate) fn told(&self) -> (String, Option<u8>) {
        match self {
            Self::Stopped => ("stopped".to_owned(), None),
            Self::Ended(ended) => (ended.to_string(), ended.code),
            Self::Store(error) => (error.to_string(), None),
        }
    }
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Pauses between attempts to connect: longer each time, with jitter, short again after a connection that lasted.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The first pause at most.
    const FIRST: Duration = Duration::from_millis(250);
    /// The longest pause.
    const LONGEST: Duration = Duration::from_secs(30);
    /// A connection that lasted this long was a good one.
    const LASTED: Duration = Duration::from_secs(10);

    /// The next pause, after a connection that stood this long.
    pub(crate) fn pause(&mut self, stood: Duration, chance: u64) -> Duration {
        if stood >= Self::LASTED {
            self.failures = 0;
        }
        let full = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jitter = u32::try_from(chance % 1_000).unwrap_or(0);
        full / 2 + full / 2 * jitter / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_again() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..12).map(|_| backoff.pause(Duration::ZERO, 999).as_millis()).collect();
        assert!(pauses.is_sorted() && pauses.first().is_some_and(|p| *p < 250), "{pauses:?}");
        assert!(pauses.last().is_some_and(|p| (15_000..=30_000).contains(p)), "{pauses:?}");
        assert!(backoff.pause(Duration::from_secs(11), 0) <= Duration::from_millis(125));
    }

    #[test]
    fn a_secret_is_read_where_it_points() {
        let env: Env = Arc::new(|name| (name == "PLANT").then(|| "pw".to_owned()));
        assert_eq!(secret(&Secret::Env("PLANT".into()), &env).unwrap(), "pw");
        assert!(secret(&Secret::Env("OTHER".into()), &env).unwrap_err().reason.contains("OTHER"));
        assert!(secret(&Secret::File("/nonexistent/x".into()), &env).unwrap_err().reason.contains("/nonexistent/x"));
        // A file without an end is not read to its end.
        assert!(secret(&Secret::File("/dev/zero".into()), &env).unwrap_err().reason.contains("64 KiB"));
    }
}
