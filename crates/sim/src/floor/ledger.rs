//! What machines have published and what the broker has done with it: all that the checks know of the floor.

use andon_model::{Quality, Time};
use std::collections::BTreeSet;

/// Something that a machine published.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The quality of service with which it is delivered at most.
    pub qos: u8,
    /// Whether the broker keeps it for those who subscribe later.
    pub retain: bool,
    /// What it says.
    pub says: Says,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Says {
    /// A value of a signal.
    Sample(Said),
    /// Nothing that can be read: it is to be set aside.
    Nothing,
}

/// A value as a machine says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// `<asset>/<signal>`.
    pub signal: String,
    /// When it was, where the machine says so.
    pub time: Option<Time>,
    /// The value.
    pub value: f64,
    /// How far it may be trusted.
    pub quality: Quality,
}

/// One message on its way to one client of the broker. A machine that did not hear that its message was taken
/// publishes it again, and then it is on its way twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The number of the message.
    pub message: usize,
    /// The client.
    pub client: String,
    /// The quality of service with which it is delivered.
    pub qos: u8,
    /// When the broker took it, in UTC.
    pub taken: Time,
    /// When the client was connected first since then, in UTC.
    pub met: Option<Time>,
    /// How often the broker sent it.
    pub sent: u32,
    /// How often of these to a client that was restored since: its acknowledgement may still be on its way, and is
    /// worth nothing.
    pub sent_before: u32,
    /// Where a restore has lost it: the gap that says so begins then at the latest, in UTC.
    pub since: Time,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it still, or has sent it and knows no more.
    Waiting,
    /// The client acknowledged it; nobody acknowledges what is sent at most once.
    Acknowledged,
    /// The broker does not have it any more, since then in UTC: the session of the client was lost; or it was to be
    /// sent at most once, and the client was away, or its connection has ended and may have swallowed it.
    Lost(Time),
    /// The client acknowledged it, and what it held then was lost with the time since its last backup.
    Undone,
}

/// Everything that was published and delivered.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The messages, in the order in which machines made them.
    pub messages: Vec<Message>,
    /// How often the broker told a machine that it has taken its message, by message.
    pub acknowledged: Vec<u32>,
    /// The deliveries, in the order in which they began.
    pub deliveries: Vec<Delivery>,
    /// What clients did against the protocol, or against what is promised of them.
    pub complaints: Vec<String>,
}

impl Ledger {
    /// Adds a message; its number.
    pub fn add(&mut self, message: Message) -> usize {
        self.messages.push(message);
        self.acknowledged.push(0);
        self.messages.len() - 1
    }

    /// The machine hears that the broker has taken its message.
    pub fn acknowledge(&mut self, message: usize) {
        if let Some(count) = self.acknowledged.get_mut(message) {
            *count += 1;
        }
    }

    /// A delivery begins; its number.
    pub fn deliver(&mut self, message: usize, client: &str, qos: u8, taken: Time, away: bool) -> usize {
        let met = (!away).then_some(taken);
        let client = client.to_owned();
        let fate = Fate::Waiting;
        self.deliveries.push(Delivery {
            message,
            client,
            qos,
            taken,
            met,
            sent: 0,
            sent_before: 0,
            since: taken,
            fate,
        });
        self.deliveries.len() - 1
    }

    /// A delivery was sent once more.
    pub fn sent(&mut self, delivery: usize) {
        if let Some(delivery) = self.deliveries.get_mut(delivery) {
            delivery.sent += 1;
        }
    }

    /// The deliveries that a client has acknowledged and holds.
    pub fn acknowledged_by(&self, client: &str) -> BTreeSet<usize> {
        let is = |delivery: &Delivery| delivery.client == client && delivery.fate == Fate::Acknowledged;
        self.deliveries.iter().enumerate().filter(|(_, delivery)| is(delivery)).map(|(at, _)| at).collect()
    }

    /// The client has a connection for a delivery that waits.
    pub fn met(&mut self, delivery: usize, now: Time) {
        if let Some(delivery) = self.deliveries.get_mut(delivery) {
            delivery.met.get_or_insert(now);
        }
    }

    /// A client is what it was when a backup was taken, in UTC, and it held these: what it acknowledged besides is
    /// undone.
    pub fn restored(&mut self, client: &str, held: &BTreeSet<usize>, taken: Time) {
        for (at, delivery) in self.deliveries.iter_mut().enumerate().filter(|(_, of)| of.client == client) {
            delivery.sent_before = delivery.sent;
            // What a broker has held up for one that was connected is as late as what the network has.
            delivery.since = if delivery.met.is_none_or(|met| met > taken) { delivery.taken } else { taken };
            if matches!(delivery.fate, Fate::Acknowledged | Fate::Undone) {
                delivery.fate = if held.contains(&at) { Fate::Acknowledged } else { Fate::Undone };
            }
        }
    }

    /// Something became of a delivery.
    pub fn end(&mut self, delivery: usize, fate: Fate) {
        if let Some(delivery) = self.deliveries.get_mut(delivery) {
            let is_undone = fate == Fate::Acknowledged && delivery.sent <= delivery.sent_before;
            delivery.fate = if is_undone { Fate::Undone } else { fate };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restored_client_acknowledged_after_its_backup_is_undone_also_where_that_was_on_its_way() {
        let mut ledger = Ledger::default();
        let numbers: Vec<usize> = (0..4).map(|message| ledger.deliver(message, "client", 1, Time(0), false)).collect();
        let other = ledger.deliver(4, "other", 1, Time(0), false);
        numbers.iter().chain([&other]).for_each(|number| ledger.sent(*number));
        ledger.end(numbers[0], Fate::Acknowledged);
        let held = ledger.acknowledged_by("client");
        ledger.end(numbers[1], Fate::Acknowledged);
        ledger.end(other, Fate::Acknowledged);
        ledger.restored("client", &held, Time(0));
        // The one arrives from the lost time, the other is sent again and acknowledged.
        ledger.end(numbers[2], Fate::Acknowledged);
        ledger.sent(numbers[3]);
        ledger.end(numbers[3], Fate::Acknowledged);
        let fates: Vec<Fate> = ledger.deliveries.iter().map(|delivery| delivery.fate).collect();
        let (is, was) = (Fate::Acknowledged, Fate::Undone);
        assert_eq!(fates, [is, was, was, is, is]);
        // A backup of the lost time has it after all.
        ledger.restored("client", &numbers.iter().copied().take(2).collect(), Time(0));
        let fates: Vec<Fate> = ledger.deliveries.iter().map(|delivery| delivery.fate).collect();
        assert_eq!(fates, [is, is, was, was, is]);
    }
}
