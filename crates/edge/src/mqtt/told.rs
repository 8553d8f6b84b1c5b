//! What a conversation tells its caller: what happened in it, and why it is over.

use super::{
    codes::Explained,
    message::{Ack, Message},
};
use mqtt_protocol_core::mqtt::result_code::MqttError;

/// What happened in a conversation.
#[derive(Debug)]
pub enum Happened {
    /// The broker let us in.
    Connected {
        /// It remembers us: subscriptions are in force and missed messages follow.
        session_present: bool,
    },
    /// The broker answered the subscription.
    Subscribed {
        /// The filters it refused, with code and meaning.
        refused: Vec<(String, u8, Explained)>,
        /// The filters it grants only a lower QoS than asked for, with that QoS.
        lowered: Vec<(String, u8)>,
    },
    /// The broker answered the end of a subscription.
    Unsubscribed {
        /// The filters it holds on to, with code and meaning.
        refused: Vec<(String, u8, Explained)>,
    },
    /// A message came.
    Message(Message),
    /// A message came that was too large to be read.
    TooLarge {
        /// Its topic, where it could be read.
        topic: String,
        /// Its size in bytes.
        size: usize,
        /// The first bytes of its payload.
        head: Vec<u8>,
        /// How it is acknowledged.
        ack: Option<Ack>,
    },
    /// A publish of ours was acknowledged.
    Published {
        /// Its packet id.
        id: u16,
        /// The broker's reason, when it refused it.
        refused: Option<(u8, Explained)>,
    },
}

impl Happened {
    /// How it is acknowledged, where it is a message that wants that.
    pub fn ack(&self) -> Option<Ack> {
        match self {
            Self::Message(message) => message.ack(),
            Self::TooLarge { ack, .. } => *ack,
            _ => None,
        }
    }
}

/// Why a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {remedy}")]
pub struct Ended {
    /// What happened.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// The broker's reason code, where it gave one: that of MQTT 5, also where it spoke 3.1.1.
    pub code: Option<u8>,
}

impl Ended {
    /// An end with its reason and remedy.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into(), code: None }
    }

    pub(super) fn explained(before: &str, code: u8, explained: Explained, said: &str) -> Self {
        let said = if said.is_empty() { String::new() } else { format!(", in its words: {said}") };
        let reason = format!("{before}: {} (0x{code:02X}{said})", explained.cause);
        Self { code: Some(code), ..Self::new(reason, explained.remedy) }
    }

    pub(super) fn protocol(error: MqttError) -> Self {
        Self::new(
            format!("the broker sent what the protocol does not allow: {error:?}"),
            "check that the address is that of an MQTT broker; if it is one, report it with name and version",
        )
    }
}

/// A publish that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The window or the output is full; try again after an acknowledgement.
    #[error("too many publishes wait for their acknowledgement")]
    Full,
    /// The conversation does not stand.
    #[error("not connected")]
    NotConnected,
    /// It can never be sent like this.
    #[error("{0}")]
    Impossible(String),
}
