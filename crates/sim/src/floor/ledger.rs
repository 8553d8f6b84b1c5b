//! What machines have published and what the broker has done with it: all that the checks know of the floor.

use andon_model::{Quality, Time};

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
    /// How often the broker sent it.
    pub sent: u32,
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
    pub fn deliver(&mut self, message: usize, client: &str, qos: u8, taken: Time) -> usize {
        let client = client.to_owned();
        self.deliveries.push(Delivery { message, client, qos, taken, sent: 0, fate: Fate::Waiting });
        self.deliveries.len() - 1
    }

    /// A delivery was sent once more.
    pub fn sent(&mut self, delivery: usize) {
        if let Some(delivery) = self.deliveries.get_mut(delivery) {
            delivery.sent += 1;
        }
    }

    /// Something became of a delivery.
    pub fn end(&mut self, delivery: usize, fate: Fate) {
        if let Some(delivery) = self.deliveries.get_mut(delivery) {
            delivery.fate = fate;
        }
    }
}
