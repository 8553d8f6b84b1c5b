//! The parts of an instance that are at work, alike in how one asks whether they are ready and how they stop.

use crate::drive::Worker;
use andon_edge::{listener::ListenerHandle, run::SourceHandle, subscriber::SubscriberHandle};
use andon_model::Name;

/// A part at work.
pub(crate) enum Part {
    /// It asks, reads or subscribes, and writes to the log.
    Source(Name, SourceHandle),
    /// Machines publish to it, clients subscribe to it.
    Listener(ListenerHandle),
    /// It publishes events.
    Subscriber(SubscriberHandle),
    /// A loop over the store.
    Worker(Worker),
}

impl Part {
    /// What is missing until it does its work. A listener listens from its start on; a subscriber keeps its events
    /// until its broker is there, and nobody needs to wait for that.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match self {
            Self::Source(name, source) => {
                let status = source.status();
                (!status.connected).then(|| format!("source {name} is not connected: {}", status.reason))
            }
            Self::Worker(worker) => (!worker.is_alive())
                .then(|| format!("the loop {} has ended by a fault: restart the instance", worker.name())),
            Self::Listener(_) | Self::Subscriber(_) => None,
        }
    }

    /// A source that is not connected at this moment, with the reason.
    pub(crate) fn away(&self) -> Option<(Name, String)> {
        let Self::Source(name, source) = self else { return None };
        let status = source.status();
        (!status.connected).then(|| (name.clone(), status.reason))
    }

    /// Whether it goes on; a loop ends only by a stop or by a fault of ours.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self, Self::Worker(worker) if !worker.is_alive())
    }

    /// Asks a loop to begin nothing new; the store must be woken for it. The others are asked when they are stopped.
    pub(crate) fn ask_to_stop(&self) {
        if let Self::Worker(worker) = self {
            worker.ask_to_stop();
        }
    }

    /// Stops it, which was asked to; returns when it has stopped, and whether it had not ended by a fault before.
    pub(crate) fn stop(self) -> bool {
        match self {
            Self::Source(_, mut source) => source.stop(),
            Self::Listener(mut listener) => listener.stop(),
            Self::Subscriber(mut subscriber) => subscriber.stop(),
            Self::Worker(worker) => return worker.join(),
        }
        true
    }
}
