//! Entries for fuzzing: foreign bytes on every path into this crate. They must return.

mod sources;

pub use sources::{adapter, certificate, message, post};

use crate::{
    feed::{Format, rows},
    mqtt::{Client, Settings, client::CORE_FAILED},
    payload::{Leaf, Places},
};
use andon_contract::contract::{MqttVersion, Pointer};
use std::time::Duration;

/// A conversation in which the broker says this; the first byte chooses the version and how it is cut.
pub fn mqtt(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let version = if first & 1 == 0 { MqttVersion::V3 } else { MqttVersion::V5 };
    let settings = Settings {
        client_id: "fuzz".into(),
        version,
        clean_start: first & 2 == 0,
        session_expiry: 60,
        keep_alive: 10,
        credentials: None,
        window: 10,
    };
    let mut client = Client::new(settings, [1, 2]);
    if client.connect(Duration::ZERO).is_err() {
        return;
    }
    let mut happened = Vec::new();
    let mut now = Duration::ZERO;
    for piece in bytes.chunks(usize::from(first >> 2) + 1) {
        now += Duration::from_secs(1);
        let received = client.receive(piece, now, &mut happened);
        assert!(received.as_ref().err().is_none_or(|ended| ended.reason != CORE_FAILED), "{received:?}");
        if received.is_err() || client.tick(now).is_err() {
            return;
        }
        for what in happened.drain(..) {
            match what {
                crate::mqtt::Happened::Connected { .. } => {
                    let _ = client.subscribe(&[("a/+".into(), 1)], now);
                    let _ = client.publish("a/b", b"x", 1, now);
                }
                crate::mqtt::Happened::Message(message) => {
                    if let Some(ack) = message.ack() {
                        let _ = client.acknowledge(ack, now);
                    }
                }
                _ => {}
            }
        }
        client.output().clear();
    }
    client.disconnect(now);
}

/// A stream of an adapter; the first byte chooses how it is cut. What can be read of a line is taken apart wholly.
pub fn shdr(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let mut session = crate::shdr::session::Session::new(Duration::from_secs(10), Duration::ZERO);
    for piece in bytes.chunks(usize::from(*first) + 1) {
        session.receive(piece, Duration::from_secs(1), &mut |heard| {
            if let crate::shdr::codec::Heard::Line(line) = heard {
                let _ = crate::shdr::codec::parse(line);
                let _ = crate::shdr::codec::data_set(line);
            }
        });
    }
    let _ = session.tick(Duration::from_secs(30));
    session.end();
    let zone = andon_model::time::Zone::utc();
    let _ = crate::feed::shdr::recording("fuzz", bytes, &zone);
}

/// A file of rows, read as CSV, JSON lines and XML; the first byte chooses how it is written.
pub fn file_rows(data: &[u8]) {
    crate::files::fuzz(data);
}

/// What a client says to a listener; the first byte chooses how it is cut.
pub fn listener_packets(data: &[u8]) {
    crate::listener::fuzz::fuzz(data);
}

/// A payload, read by hand and by its tree: where the quick way does not decline, both must give the same.
pub fn payload(data: &[u8]) {
    let mut places = Places::default();
    for tokens in [vec!["v"], vec!["ts"], vec!["a", "0"]] {
        places.add(&Pointer { tokens: tokens.into_iter().map(str::to_owned).collect() });
    }
    let room = || vec![Leaf::Absent; places.len()];
    let (mut flat, mut tree) = (room(), room());
    let by_hand = places.read_flat(data, &mut flat);
    let by_tree = places.read_any(data, &mut tree);
    if by_hand.is_some() {
        // As texts, because only there the two zeroes differ.
        assert_eq!((Ok(()), format!("{flat:?}")), (by_tree, format!("{tree:?}")), "the two ways differ");
    }
    for kind in [
        andon_model::value::Kind::F64,
        andon_model::value::Kind::I64,
        andon_model::value::Kind::Bool,
        andon_model::value::Kind::Text,
    ] {
        let _ = crate::value::value_of_payload(data, kind);
    }
}

/// A file of recorded data.
pub fn feed_csv(data: &[u8]) {
    for format in [Format::Csv, Format::JsonLines] {
        rows("fuzz", format, data).take(1_000).for_each(drop);
    }
}

/// The body of a request.
pub fn http(data: &[u8]) {
    crate::http::fuzz(data);
}

/// An event, a batch of them, or the data of one; the first byte chooses.
pub fn cloud_events(data: &[u8]) {
    crate::http::fuzz_cloud(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const CONNACK_V3: [u8; 4] = [0x20, 2, 1, 0];
    const CONNACK_V5: [u8; 5] = [0x20, 3, 0, 0, 0];

    /// Packets as a broker sends them, with garbage inside.
    fn packet() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            Just(0x30_u8),
            Just(0x32),
            Just(0x34),
            Just(0x3D),
            Just(0x40),
            Just(0x62),
            Just(0x90),
            Just(0xD0),
            Just(0xE0),
            any::<u8>()
        ];
        (first, prop::collection::vec(any::<u8>(), 0..40), any::<bool>()).prop_map(|(first, mut body, topic)| {
            if topic && first >> 4 == 3 {
                let mut with_topic = vec![0, 3, b'a', b'/', b'b', 0, 7, 0];
                with_topic.extend(body);
                body = with_topic;
            }
            let mut packet = vec![first, u8::try_from(body.len()).unwrap_or(0)];
            packet.extend(body);
            packet
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_broker_can_make_the_client_panic(
            flags in any::<u8>(),
            packets in prop::collection::vec(packet(), 0..12),
        ) {
            let mut data = vec![flags];
            if flags & 1 == 0 { data.extend(CONNACK_V3) } else { data.extend(CONNACK_V5) }
            data.extend(packets.concat());
            super::mqtt(&data);
        }

        #[test]
        fn garbage_returns(data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::mqtt(&data);
            super::payload(&data);
            super::listener_packets(&data);
            super::shdr(&data);
            super::file_rows(&data);
            super::feed_csv(&data);
            super::http(&data);
            super::cloud_events(&data);
        }
    }
}
