//! Samples on their way from the machines into the log.

use super::{Broken, World, fault};
use crate::{
    chance::Chance,
    floor::{
        Rest, Source,
        machines::{Form, Signal},
    },
    project::ASSETS,
};
use andon_contract::Contract;
use andon_model::{Name, Time, span::Span};
use andon_store::Store;
use std::{sync::Arc, time::Duration};

/// Steps of the source and the floor at one moment.
const STEPS_MAX: u32 = 400;

/// One device for each press.
pub(super) fn devices() -> Vec<Vec<Signal>> {
    let device = |asset: &&str| {
        [("temperature", 0, 140, 1), ("speed", 0, 80, 2)]
            .map(|(signal, low, high, qos)| Signal {
                name: format!("{asset}/{signal}"),
                topic: format!("plant/{asset}/{signal}"),
                qos,
                form: Form::Qualified,
                low,
                high,
            })
            .to_vec()
    };
    ASSETS.iter().map(device).collect()
}

/// The name of the source.
pub(crate) fn source_name() -> Name {
    Name::new("plc").expect("it is a name")
}

pub(super) fn start(store: &Store, contract: &Arc<Contract>, chance: &mut Chance, utc: Time) -> Result<Source, Broken> {
    Source::start(store, contract, &source_name(), chance.draw(), utc).map_err(fault)
}

impl World {
    /// Bytes travel, and the source does what it can at this moment; whether anything came, and when it goes on by
    /// itself.
    pub(super) fn take_in(&mut self) -> (bool, Option<Duration>) {
        // What was submitted before becomes durable now: between the two the process may have ended.
        self.store.settle();
        let (before, monotonic, now) = (self.store.log_end(), self.truth.std(), self.now());
        let mut until = None;
        for _ in 0..STEPS_MAX {
            let moved = self.floor.step(self.utc.plus(self.truth), monotonic);
            let rest = self.source.step(&mut self.floor, now, monotonic);
            until = match rest {
                Rest::Until(until) => until,
                Rest::None | Rest::Over => None,
            };
            let is_due = until.is_some_and(|until| until <= monotonic) || rest == Rest::None;
            if !moved && !is_due {
                break;
            }
        }
        let end = self.store.log_end();
        if end == before {
            return (false, until);
        }
        self.tell(format_args!("the source brings {} entries; the log ends at {end}", end.offset - before.offset));
        (true, until)
    }

    /// For up to two seconds bytes travel as fast as they do, and the source does all it can.
    pub(super) fn flow(&mut self, chance: &mut Chance) {
        let end = self.truth.std() + chance.millis(50, 2_000).std();
        for _ in 0..STEPS_MAX {
            if self.disk.crashes() != self.process {
                return;
            }
            let (_, source) = self.take_in();
            let next = [self.floor.next(), source].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { return };
            self.pass(Span::from_nanos(self.until(next)));
        }
    }

    /// The source stops as it does when it is asked to, as far as it gets.
    pub(super) fn stop_source(&mut self) {
        self.source.stop();
        let now = self.now();
        for _ in 0..STEPS_MAX {
            let (utc, monotonic) = (self.utc.plus(self.truth), self.truth.std());
            self.floor.step(utc, monotonic);
            if self.source.step(&mut self.floor, now, monotonic) == Rest::Over {
                return;
            }
        }
    }

    /// From now until a moment of the monotonic time.
    pub(super) fn until(&self, at: Duration) -> i64 {
        let nanos = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        nanos.saturating_sub(self.truth.nanos()).max(1)
    }
}
