//! A message that came, and how it is acknowledged.

use mqtt_protocol_core::mqtt::packet::{Packet, Qos};

/// How a message of QoS 1 or 2 is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Its packet id.
    pub id: u16,
    /// Whether it is of QoS 2.
    pub exactly_once: bool,
}

/// A message that came.
pub struct Message(pub(super) Packet);

impl Message {
    /// Its topic.
    pub fn topic(&self) -> &str {
        match &self.0 {
            Packet::V3_1_1Publish(p) => p.topic_name(),
            Packet::V5_0Publish(p) => p.topic_name(),
            _ => "",
        }
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        match &self.0 {
            Packet::V3_1_1Publish(p) => p.payload().as_slice(),
            Packet::V5_0Publish(p) => p.payload().as_slice(),
            _ => &[],
        }
    }

    /// Whether the broker kept it from before we subscribed.
    pub fn retained(&self) -> bool {
        match &self.0 {
            Packet::V3_1_1Publish(p) => p.retain(),
            Packet::V5_0Publish(p) => p.retain(),
            _ => false,
        }
    }

    /// How it is acknowledged; `None` at QoS 0.
    pub fn ack(&self) -> Option<Ack> {
        let (id, qos) = match &self.0 {
            Packet::V3_1_1Publish(p) => (p.packet_id(), p.qos()),
            Packet::V5_0Publish(p) => (p.packet_id(), p.qos()),
            _ => (None, Qos::AtMostOnce),
        };
        id.map(|id| Ack { id, exactly_once: qos == Qos::ExactlyOnce })
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes, {:?})", self.topic(), self.payload().len(), self.ack())
    }
}
