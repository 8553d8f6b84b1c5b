//! A message that came, and how it is acknowledged.

use andon_contract::contract::MqttVersion;
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
pub struct Message(pub(super) Body);

/// As it was read.
pub(super) enum Body {
    /// By the protocol core.
    Packet(Packet),
    /// By [`plain`].
    Plain {
        /// Topic and payload, one behind the other.
        bytes: Box<[u8]>,
        /// The length of the topic.
        topic: usize,
        retained: bool,
        /// At QoS 1.
        id: Option<u16>,
    },
}

/// A whole PUBLISH of QoS 0 or 1 without properties, which is nearly every message of a machine, read without the
/// protocol core: with it a message costs five times as much. `None` for everything else, valid or not, which the core
/// then looks at.
pub(super) fn plain(packet: &[u8], version: MqttVersion) -> Option<Message> {
    let (first, rest) = packet.split_first()?;
    let (qos, retained) = (first >> 1 & 3, first & 1 == 1);
    let again = first & 0x08 != 0;
    if qos > 1 || (again && qos == 0) {
        return None;
    }
    // The remaining length: at most four bytes, of which the last has no high bit.
    let length = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let (topic_length, rest) = rest.get(length..)?.split_first_chunk::<2>()?;
    let (topic, mut rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*topic_length)))?;
    if topic.is_empty() || topic.iter().any(|byte| matches!(byte, b'+' | b'#' | 0)) {
        return None;
    }
    std::str::from_utf8(topic).ok()?;
    let mut id = None;
    if qos == 1 {
        let (number, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        id = Some(u16::from_be_bytes(*number)).filter(|id| *id != 0);
        id?;
    }
    let payload = match version {
        MqttVersion::V3 => rest,
        MqttVersion::V5 => rest.strip_prefix(&[0])?,
    };
    let mut bytes = Vec::with_capacity(topic.len() + payload.len());
    bytes.extend_from_slice(topic);
    bytes.extend_from_slice(payload);
    Some(Message(Body::Plain { bytes: bytes.into_boxed_slice(), topic: topic.len(), retained, id }))
}

impl Message {
    /// Its topic.
    pub fn topic(&self) -> &str {
        match &self.0 {
            Body::Packet(Packet::V3_1_1Publish(p)) => p.topic_name(),
            Body::Packet(Packet::V5_0Publish(p)) => p.topic_name(),
            Body::Packet(_) => "",
            Body::Plain { bytes, topic, .. } => {
                bytes.get(..*topic).and_then(|topic| std::str::from_utf8(topic).ok()).unwrap_or_default()
            }
        }
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        match &self.0 {
            Body::Packet(Packet::V3_1_1Publish(p)) => p.payload().as_slice(),
            Body::Packet(Packet::V5_0Publish(p)) => p.payload().as_slice(),
            Body::Packet(_) => &[],
            Body::Plain { bytes, topic, .. } => bytes.get(*topic..).unwrap_or_default(),
        }
    }

    /// Whether the broker kept it from before we subscribed.
    pub fn retained(&self) -> bool {
        match &self.0 {
            Body::Packet(Packet::V3_1_1Publish(p)) => p.retain(),
            Body::Packet(Packet::V5_0Publish(p)) => p.retain(),
            Body::Packet(_) => false,
            Body::Plain { retained, .. } => *retained,
        }
    }

    /// How it is acknowledged; `None` at QoS 0.
    pub fn ack(&self) -> Option<Ack> {
        let (id, qos) = match &self.0 {
            Body::Packet(Packet::V3_1_1Publish(p)) => (p.packet_id(), p.qos()),
            Body::Packet(Packet::V5_0Publish(p)) => (p.packet_id(), p.qos()),
            Body::Packet(_) => (None, Qos::AtMostOnce),
            Body::Plain { id, .. } => (*id, Qos::AtLeastOnce),
        };
        id.map(|id| Ack { id, exactly_once: qos == Qos::ExactlyOnce })
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes, {:?})", self.topic(), self.payload().len(), self.ack())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt_protocol_core::mqtt::packet::{v3_1_1 as v3, v5_0 as v5};
    use proptest::prelude::*;

    /// The same message as the protocol core reads it.
    fn by_core(packet: &[u8], version: MqttVersion) -> Option<Message> {
        let header = 1 + packet.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 1;
        let flags = packet.first()? & 0x0F;
        let body: std::sync::Arc<[u8]> = packet.get(header..)?.into();
        let packet = match version {
            MqttVersion::V3 => Packet::V3_1_1Publish(v3::Publish::parse(flags, body).ok()?.0),
            MqttVersion::V5 => Packet::V5_0Publish(v5::Publish::parse(flags, body).ok()?.0),
        };
        Some(Message(Body::Packet(packet)))
    }

    fn packet(flags: u8, topic: &str, id: Option<u16>, properties: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(id.into_iter().flat_map(u16::to_be_bytes));
        body.extend(properties);
        body.extend(payload);
        let mut packet = vec![0x30 | flags];
        let mut length = body.len();
        loop {
            let more = if length > 127 { 0x80 } else { 0 };
            packet.push(u8::try_from(length & 0x7F).unwrap() | more);
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        packet
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_core() {
        let v5 = MqttVersion::V5;
        assert!(plain(&packet(0, "a/b", None, &[0], b"1"), v5).is_some());
        assert!(plain(&packet(2, "a/b", Some(7), &[0], b"1"), v5).is_some());
        for odd in [
            packet(4, "a/b", Some(7), &[0], b"1"),
            packet(8, "a/b", None, &[0], b"1"),
            packet(2, "a/b", Some(0), &[0], b"1"),
            packet(0, "a/+", None, &[0], b"1"),
            packet(0, "", None, &[3, 0x23, 0, 1], b"1"),
            packet(0, "a/b", None, &[2, 1, 1], b"1"),
            vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01],
            vec![0x30],
        ] {
            assert!(plain(&odd, v5).is_none(), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_the_core_reads(
            flags in prop::sample::select(vec![0_u8, 1, 2, 3, 10, 11]),
            topic in "[a-zA-Z/äö+#\u{0}]{0,40}",
            id: u16,
            payload in prop::collection::vec(any::<u8>(), 0..300),
            v5: bool,
        ) {
            let version = if v5 { MqttVersion::V5 } else { MqttVersion::V3 };
            let id = (flags & 2 != 0).then_some(id);
            let bytes = packet(flags, &topic, id, if v5 { &[0] } else { &[] }, &payload);
            if let Some(message) = plain(&bytes, version) {
                let core = by_core(&bytes, version).expect("the core takes it too");
                prop_assert_eq!(message.topic(), core.topic());
                prop_assert_eq!(message.payload(), core.payload());
                prop_assert_eq!(message.retained(), core.retained());
                prop_assert_eq!(message.ack(), core.ack());
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), v5: bool) {
            plain(&bytes, if v5 { MqttVersion::V5 } else { MqttVersion::V3 });
        }
    }
}
