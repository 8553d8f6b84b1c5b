//! Brokers of our own making: one that looks at the log when it is acknowledged, and many that do wrong.

use crate::common::*;
use andon_contract::contract::MqttVersion;
use andon_edge::run::{SourceHandle, start_mqtt};
use andon_store::{Query, Store};
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

fn start(port: u16, version: MqttVersion, store: &Store) -> SourceHandle {
    let contract = Arc::new(contract(&format!("mqtt://127.0.0.1:{port}"), version, 1, 1));
    let clock = Machine::clock();
    start_mqtt(&contract, &name("machines"), store.clone(), no_env(), clock, chance(1)).expect("it starts")
}

/// A packet of a client: its first byte and its body.
pub(crate) fn packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let first = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn connack(version: MqttVersion) -> Vec<u8> {
    match version {
        MqttVersion::V3 => vec![0x20, 2, 0, 0],
        MqttVersion::V5 => vec![0x20, 3, 0, 0, 0],
    }
}

/// Lets the client in and grants its subscription.
fn welcome(stream: &mut TcpStream, version: MqttVersion) {
    welcome_with(stream, version, 1);
}

/// Lets the client in and answers its subscription with this code.
fn welcome_with(stream: &mut TcpStream, version: MqttVersion, code: u8) {
    let (first, _) = packet(stream).expect("a connect");
    assert_eq!(first, 0x10);
    stream.write_all(&connack(version)).expect("it reads");
    let (first, body) = packet(stream).expect("a subscription");
    assert_eq!(first, 0x82);
    let mut suback = match version {
        MqttVersion::V3 => vec![0x90, 3],
        MqttVersion::V5 => vec![0x90, 4],
    };
    suback.extend(&body[..2]);
    if version == MqttVersion::V5 {
        suback.push(0);
    }
    suback.push(code);
    stream.write_all(&suback).expect("it reads");
}

fn publish(version: MqttVersion, id: u16, payload: &str) -> Vec<u8> {
    let topic = b"machines/machine-000/temperature";
    let mut body = vec![0, u8::try_from(topic.len()).expect("short")];
    body.extend(topic);
    body.extend(id.to_be_bytes());
    if version == MqttVersion::V5 {
        body.push(0);
    }
    body.extend(payload.as_bytes());
    let mut packet = vec![0x32, u8::try_from(body.len()).expect("short")];
    packet.extend(body);
    packet
}

#[test]
fn a_message_is_acknowledged_only_when_it_is_durable_and_in_order() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &mut chance(3)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut source = start(listener.local_addr().unwrap().port(), version, &store);
        let (mut stream, _) = listener.accept().unwrap();
        welcome(&mut stream, version);
        let mut writer = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            for id in 1..=900_u16 {
                let payload = match id % 10 {
                    0 => "{\"v\":".to_owned(),
                    _ => format!("{{\"ts\":{},\"v\":{id}}}", 1_764_000_000_000_u64 + u64::from(id)),
                };
                writer.write_all(&publish(version, id, &payload)).expect("it reads");
            }
        });
        // What was durable at the last acknowledgement, so that the log is not read anew each time.
        for id in 1..=900_u64 {
            let (first, body) = packet(&mut stream).expect("an acknowledgement");
            assert_eq!((first, &body[..2]), (0x40, &u16::try_from(id).unwrap().to_be_bytes()[..]), "in order");
            let bad = id / 10;
            // One mark and the good ones lie in the log, the bad ones in quarantine.
            let end = store.log_end().offset;
            assert!(end > id - bad, "{id} was acknowledged before it was durable: the log ends at {end}");
            if id % 10 == 0 {
                let query = Query { limit: 1_000, ..Query::default() };
                let rows = store.list("quarantine", &query).unwrap().rows.len() as u64;
                assert!(rows >= bad, "{id} was acknowledged before its quarantine was durable: {rows}");
            }
        }
        sender.join().unwrap();
        source.stop();
        let counts = source.status().counts;
        assert_eq!((counts.received, counts.stored, counts.quarantined), (900, 810, 90));
        assert_eq!(store.source_counts().get("machines").copied(), Some(counts), "the same from the stored batches");
    }
}

#[test]
fn what_a_broker_grants_less_or_not_is_told() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        for (code, words) in
            [(0, "grants only QoS 0 for machines/+/temperature"), (0x80, "refused machines/+/temperature")]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let store = Store::memory(&mut chance(3));
            let source = start(listener.local_addr().unwrap().port(), version, &store);
            let (mut stream, _) = listener.accept().unwrap();
            welcome_with(&mut stream, version, code);
            until(words, || source.status().reason.contains(words));
            assert_eq!(source.status().connected, code == 0);
        }
    }
}

#[test]
fn what_cannot_be_stored_is_never_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &mut chance(3)).unwrap());
    // A store that is only looked at refuses everything, as a full disk does.
    let store = Store::look(dir.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut source = start(listener.local_addr().unwrap().port(), MqttVersion::V5, &store);
    let (mut stream, _) = listener.accept().unwrap();
    packet(&mut stream).expect("a connect");
    // A session that is resumed: the message comes with the welcome.
    let message = publish(MqttVersion::V5, 1, "{\"ts\":1764000000000,\"v\":1}");
    stream.write_all(&[&[0x20, 3, 1, 0, 0][..], &message].concat()).unwrap();
    let mut kinds = Vec::new();
    while let Some((first, _)) = packet(&mut stream) {
        kinds.push(first);
    }
    assert!(!kinds.contains(&0x40), "{kinds:?}");
    until("the reason", || !source.status().connected && source.status().reason != "starting");
    source.stop();
    let status = source.status();
    assert_eq!(status.counts.received, 0, "{status:?}");
}

#[test]
fn what_a_lost_conversation_left_untaken_is_not_acknowledged_when_it_comes_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = Store::memory(&mut chance(3));
    let source = start(listener.local_addr().unwrap().port(), MqttVersion::V5, &store);
    // A session that is resumed: a message of QoS 2 follows the answer to the subscription at once.
    let serve = |code: u8, first: u8| {
        let (mut stream, _) = listener.accept().unwrap();
        packet(&mut stream).expect("a connect");
        stream.write_all(&[0x20, 3, 1, 0, 0]).unwrap();
        let (kind, body) = packet(&mut stream).expect("a subscription");
        assert_eq!(kind, 0x82);
        let mut message = publish(MqttVersion::V5, 7, "{\"ts\":1764000000000,\"v\":1}");
        message[0] = first;
        stream.write_all(&[&[0x90, 4, body[0], body[1], 0, code][..], &message].concat()).unwrap();
        stream
    };
    // The subscription is refused, so that the conversation ends before the message has its turn.
    let mut stream = serve(0x87, 0x34);
    assert_eq!(packet(&mut stream), None);
    drop(stream);
    let mut stream = serve(2, 0x3C);
    let (kind, body) = packet(&mut stream).expect("an acknowledgement");
    assert_eq!((kind, &body[..2]), (0x50, &[0, 7][..]));
    assert_eq!(samples(&store).len(), 1, "it was acknowledged and is not there");
    drop(source);
}

#[test]
fn no_broker_brings_the_client_down() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let hello = connack(version);
        let after = |bytes: &[u8]| [hello.as_slice(), bytes].concat();
        let scripts: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", vec![]),
            ("a web server", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            ("garbage", (0..200_u8).map(|n| n.wrapping_mul(37)).collect()),
            ("half a packet", hello[..2].to_vec()),
            ("a length without end", vec![0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
            ("a huge length", vec![0x20, 0xFF, 0xFF, 0xFF, 0x7F]),
            ("a message before the welcome", publish(version, 1, "1")),
            ("two welcomes", after(&hello)),
            ("an acknowledgement of nothing", after(&[0x40, 2, 0, 9])),
            ("a connect", after(&[0x10, 0])),
            ("quality of service 3", after(&[0x36, 5, 0, 1, b'a', 0, 1])),
            ("a topic that is no text", after(&[0x30, 3, 0, 1, 0xFF])),
            ("a packet id of zero", after(&[0x32, 5, 0, 1, b'a', 0, 0])),
            ("a packet id of zero, twice", after(&[0x34, 5, 0, 1, b'a', 0, 0].repeat(2))),
            ("a subscription for more than was asked", after(&[0x90, 4, 0, 1, 1, 1])),
            ("a huge message that ends", after(&[0x30, 0xFF, 0xFF, 0x7F, 0, 1, b'a'])),
            (
                "a refusal",
                match version {
                    MqttVersion::V3 => vec![0x20, 2, 0, 5],
                    MqttVersion::V5 => vec![0x20, 3, 0, 0x87, 0],
                },
            ),
        ];
        for (what, script) in scripts {
            let store = Store::memory(&mut chance(3));
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let source = start(listener.local_addr().unwrap().port(), version, &store);
            let (mut stream, _) = listener.accept().unwrap();
            packet(&mut stream).expect("a connect");
            for piece in script.chunks(3) {
                // A client that has seen enough closes.
                if stream.write_all(piece).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            drop(stream);
            // It tells the reason, comes again, and takes what a good broker says.
            let (mut stream, _) = listener.accept().unwrap();
            let reason = source.status().reason;
            assert!(reason.contains(';') && reason != "starting", "{what}: {reason:?} has no remedy");
            welcome(&mut stream, version);
            until(what, || source.status().connected);
            stream.write_all(&publish(version, 1, "{\"ts\":1764000000000,\"v\":1}")).unwrap();
            assert_eq!(packet(&mut stream).expect("an acknowledgement").0, 0x40, "{what}");
        }
    }
}
