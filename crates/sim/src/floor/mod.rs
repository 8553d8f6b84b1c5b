//! The floor of a simulated plant: machines, the broker they publish to, and the network between the broker and the
//! sources of the process.
//!
//! Whoever simulates lets machines [`speak`](Floor::speak), lets bytes travel by [`step`](Floor::step), does harm
//! with a [`Mishap`], and drives each [`Source`] of the process by its own `step`. At the end [`Floor::heal`] undoes
//! all harm, and once everything has come to rest [`check`] compares what machines said with what the store holds.

pub mod broker;
pub mod check;
pub mod ledger;
pub mod machines;
pub mod network;
pub mod packets;
mod source;

pub use source::{Rest, Source};

use crate::chance::Chance;
use andon_edge::mqtt::Ended;
use andon_model::{Time, span::Span};
use broker::Broker;
use check::Terms;
use ledger::Ledger;
use machines::{Machines, Signal};
use network::{Network, Pipe};
use std::{fmt, time::Duration};

/// The longest that a byte takes, in milliseconds.
const LATENCY: i64 = 80;

/// Machines, broker and network.
#[derive(Debug)]
pub struct Floor {
    machines: Machines,
    broker: Broker,
    network: Network,
}

/// Something that goes wrong on the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Connections are cut behind the next so many bytes, down to the clients or up to the broker; each side hears of
    /// it so much later.
    Cut {
        /// In the direction of the clients.
        down: bool,
        /// Bytes that still pass.
        after: usize,
        /// Until the clients hear of it.
        clients: Span,
        /// Until the broker does.
        broker: Span,
    },
    /// No byte arrives for so long.
    Stall(Span),
    /// No connection is made for so long.
    Refuse(Span),
    /// The broker ends and is back so much later, with all sessions.
    Restart(Span),
    /// The broker ends and is back so much later, and has lost all sessions.
    Forget(Span),
}

impl Mishap {
    /// One by chance, sessions kept.
    pub fn draw(chance: &mut Chance) -> Self {
        match chance.below(10) {
            0..6 => {
                let spans = [0, 0, 500, 20_000, 90_000];
                let (clients, broker) = (*chance.one(&spans), *chance.one(&spans));
                let after = usize::try_from(chance.below(3_000)).unwrap_or(0);
                let (clients, broker) = (Span::from_millis(clients), Span::from_millis(broker));
                Self::Cut { down: chance.percent(60), after, clients, broker }
            }
            6 | 7 => Self::Stall(chance.millis(10, 70_000)),
            8 => Self::Refuse(chance.millis(100, 60_000)),
            _ => Self::Restart(chance.millis(0, 60_000)),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { down, after, clients, broker } => {
                let way = if *down { "down" } else { "up" };
                write!(f, "connections are cut behind {after} bytes {way}; ")?;
                write!(f, "clients hear of it after {clients}, the broker after {broker}")
            }
            Self::Stall(span) => write!(f, "no byte arrives for {span}"),
            Self::Refuse(span) => write!(f, "no connection is made for {span}"),
            Self::Restart(span) => write!(f, "the broker ends and is back after {span}"),
            Self::Forget(span) => write!(f, "the broker ends, is back after {span}, and has lost its sessions"),
        }
    }
}

impl Floor {
    /// A floor on which nothing has happened.
    pub fn new(seed: u64, devices: Vec<Vec<Signal>>, utc: Time) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            machines: Machines::new(devices),
            broker: Broker::new(Chance::new(chance.draw()), utc),
            network: Network::new(LATENCY, Chance::new(chance.draw())),
        }
    }

    /// Machines say something, and some of what they have said is published.
    pub fn speak(&mut self, chance: &mut Chance, utc: Time) {
        self.machines.speak(chance, utc, &mut self.broker);
        self.publish(chance);
    }

    /// Some of what machines have said is published.
    pub fn publish(&mut self, chance: &mut Chance) {
        self.machines.publish(chance, &mut self.broker, &mut self.network);
    }

    /// Bytes travel, and the broker does what it can; whether anything came to it.
    pub fn step(&mut self, utc: Time, monotonic: Duration) -> bool {
        self.network.pass(monotonic);
        self.broker.pass(utc, monotonic);
        self.broker.work(&mut self.network)
    }

    /// A connection to the broker.
    pub fn connect(&mut self) -> Result<Pipe, Ended> {
        if self.broker.is_up() {
            return self.network.connect();
        }
        let reason = "the broker cannot be reached: connection refused";
        Err(Ended::new(reason, "check the address, the network, and that the broker runs"))
    }

    /// Something goes wrong.
    pub fn suffer(&mut self, mishap: Mishap, monotonic: Duration) {
        match mishap {
            Mishap::Cut { down, after, clients, broker } => {
                for line in self.network.lines() {
                    self.network.cut(line, down, after, clients.std(), broker.std());
                }
            }
            Mishap::Stall(span) => self.network.stall(monotonic + span.std()),
            Mishap::Refuse(span) => self.network.refuse(monotonic + span.std()),
            Mishap::Restart(span) => self.broker.restart(span.std(), false, &mut self.network),
            Mishap::Forget(span) => self.broker.restart(span.std(), true, &mut self.network),
        }
    }

    /// Nothing goes wrong any more, and all that machines have said is published.
    pub fn heal(&mut self) {
        self.network.heal();
        self.broker.heal();
        self.machines.publish_all(&mut self.broker, &mut self.network);
    }

    /// The next moment at which something happens by itself.
    pub fn next(&self) -> Option<Duration> {
        [self.network.next(), self.broker.next()].into_iter().flatten().min()
    }

    /// Whether everything that was said is delivered and acknowledged.
    pub fn is_quiet(&self) -> bool {
        self.machines.is_empty() && self.broker.is_empty() && self.network.is_quiet()
    }

    /// What is on its way, for whoever looks for the mistake.
    pub fn unrest(&self) -> String {
        let (machines, broker, network) = (self.machines.is_empty(), self.broker.is_empty(), self.network.is_quiet());
        format!("machines have nothing left: {machines}, nor the broker: {broker}, nor the network: {network}")
    }

    /// On which terms the checks hold for a client: a gap begins when something was heard last, and that may have been
    /// on its way for long.
    pub fn terms(&self, client: &str) -> Terms {
        let took = self.broker.took(client, &self.network).as_nanos();
        let took = Span::from_nanos(i64::try_from(took).unwrap_or(i64::MAX));
        let slack = Terms::default().slack;
        Terms { slack: Span::from_nanos(slack.nanos().saturating_add(took.nanos())), ..Terms::default() }
    }

    /// What was published and delivered.
    pub fn ledger(&self) -> &Ledger {
        &self.broker.ledger
    }

    /// The same, for broken worlds.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.broker.ledger
    }
}
