//! The loop of a source as the simulation drives it.

use super::{Floor, network::Pipe};
use crate::chance::Chance;
use andon_contract::Contract;
use andon_edge::run::{Loop, Next, SourceStatus};
use andon_model::{Name, Time};
use andon_store::Store;
use std::{sync::Arc, time::Duration};

/// What a source does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It goes on at once.
    None,
    /// It goes on when something comes, at the latest at this moment of the monotonic time.
    Until(Option<Duration>),
    /// It has stopped.
    Over,
}

/// A source of the process that is simulated. Dropping it is the end of the process, without a word.
pub struct Source {
    inner: Loop<Pipe>,
    name: Name,
}

impl Source {
    /// The source of a process that starts now. Its chance follows from the seed.
    pub fn start(store: &Store, contract: &Arc<Contract>, name: &Name, seed: u64, utc: Time) -> Result<Self, String> {
        let mut chance = Chance::new(seed);
        let fill = move |bytes: &mut [u8]| bytes.fill_with(|| chance.draw().to_le_bytes()[0]);
        let inner = Loop::new(contract, name, store.clone(), Arc::new(|_: &str| None), Box::new(fill), utc);
        let inner = inner.ok_or_else(|| format!("the contract has no MQTT source {name}"))?;
        Ok(Self { inner, name: name.clone() })
    }

    /// One step of its loop.
    pub fn step(&mut self, floor: &mut Floor, utc: Time, monotonic: Duration) -> Rest {
        match self.inner.step(utc, monotonic) {
            Next::Again | Next::Wire { to_write: true, .. } => Rest::None,
            Next::Connect(..) => {
                self.inner.connected(floor.connect());
                Rest::None
            }
            Next::Pace => Rest::Until(Some(monotonic + andon_edge::mqtt::transport::PACE)),
            Next::Wire { until, .. } => Rest::Until(until),
            Next::Durable(until) | Next::Pause(until) => Rest::Until(Some(until)),
            Next::Over => Rest::Over,
        }
    }

    /// Asks it to stop; it has when a step says so.
    pub fn stop(&self) {
        self.inner.stop();
    }

    /// Its condition.
    pub fn status(&self) -> SourceStatus {
        self.inner.status()
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }
}
