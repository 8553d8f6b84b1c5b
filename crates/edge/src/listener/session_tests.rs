//! The conversation, clause by clause of MQTT 3.1.1 and 5.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { receive_max: 3, keep_alive: 60 };

fn at(seconds: u64) -> Now {
    Now { utc: Time(i64::try_from(seconds).unwrap() * 1_000_000_000), monotonic: Duration::from_secs(seconds) }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_binary(&mut bytes, text.as_bytes());
    bytes
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_packet(&mut bytes, first, body);
    bytes
}

/// A CONNECT with these flags, keep-alive, properties and what follows the client id.
fn connect(level: u8, flags: u8, keep_alive: u16, properties: &[u8], id: &str, rest: &[u8]) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([level, flags]);
    body.extend(keep_alive.to_be_bytes());
    if level == 5 {
        wire::write_properties(&mut body, properties);
    }
    body.extend(text(id));
    body.extend_from_slice(rest);
    packet(0x10, &body)
}

fn publish(v5: bool, flags: u8, topic: &str, id: u16, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 6 > 0 {
        body.extend(id.to_be_bytes());
    }
    if v5 {
        wire::write_properties(&mut body, properties);
    }
    body.extend_from_slice(payload);
    packet(0x30 | flags, &body)
}

/// What is asked for, as text, and the fault that ends it.
fn hear(session: &mut Session, bytes: &[u8]) -> (Vec<String>, Option<u8>) {
    let mut rest = bytes;
    let mut asked = Vec::new();
    loop {
        match session.next(&mut rest, at(1)) {
            Ok(None) => return (asked, None),
            Ok(Some(Asked::Publish(p))) => {
                asked.push(format!("publish {} {} {} {}", p.topic, p.qos, p.id, p.payload.escape_ascii()));
            }
            Ok(Some(Asked::Connect(hello))) => {
                asked.push(format!("connect {}", hello.client_id));
                session.welcome(*hello, None, at(0));
            }
            Ok(Some(Asked::Subscribe(id, wishes))) => {
                let wishes: Vec<String> = wishes.iter().map(|w| format!("{}:{}", w.filter, w.options.qos)).collect();
                asked.push(format!("subscribe {id} {}", wishes.join(" ")));
            }
            Ok(Some(Asked::Unsubscribe(id, filters))) => asked.push(format!("unsubscribe {id} {}", filters.join(" "))),
            Ok(Some(Asked::Disconnect(will))) => asked.push(format!("disconnect {will}")),
            Err(fault) => {
                session.end(fault.code, fault.why);
                return (asked, Some(fault.code));
            }
        }
    }
}

fn open(v5: bool) -> Session {
    let mut session = Session::new(LIMITS, at(0));
    let hello = connect(if v5 { 5 } else { 4 }, 2, 10, &[], "c", &[]);
    assert_eq!(hear(&mut session, &hello), (vec!["connect c".into()], None));
    session.output().clear();
    session
}

fn said(session: &mut Session) -> Vec<u8> {
    std::mem::take(session.output())
}

const ACK: fn(u16, bool) -> Ack = |id, exactly_once| Ack { id, exactly_once };

#[test]
fn mqtt_3_1_0_1_the_first_packet_is_connect() {
    for bytes in [packet(0xC0, &[]), publish(false, 0, "a", 0, &[], b""), packet(0x40, &[0, 1])] {
        let mut session = Session::new(LIMITS, at(0));
        assert_eq!(hear(&mut session, &bytes), (vec![], Some(code::PROTOCOL)));
        assert!(said(&mut session).is_empty() && session.is_over());
    }
}

#[test]
fn mqtt_3_1_0_2_a_second_connect_ends_the_conversation() {
    for v5 in [false, true] {
        let mut session = open(v5);
        let again = connect(if v5 { 5 } else { 4 }, 2, 10, &[], "c", &[]);
        assert_eq!(hear(&mut session, &again).1, Some(code::PROTOCOL));
        assert_eq!(said(&mut session).first(), v5.then_some(&0xE0), "only MQTT 5 has a DISCONNECT of the server");
    }
}

#[test]
fn mqtt_3_1_2_other_protocols_and_versions_are_told_so() {
    let mut old = text("MQIsdp");
    old.extend([3, 2, 0, 10, 0, 1, b'c']);
    for (bytes, answer) in [
        (packet(0x10, &old), vec![0x20, 2, 0, 1]),
        (connect(3, 2, 10, &[], "c", &[]), vec![0x20, 2, 0, 1]),
        (connect(6, 2, 10, &[], "c", &[]), vec![0x20, 3, 0, 0x84, 0]),
        (packet(0x10, &[0, 4, b'H', b'T', b'T', b'P', 4, 2, 0, 0, 0, 0]), vec![]),
    ] {
        let mut session = Session::new(LIMITS, at(0));
        assert!(hear(&mut session, &bytes).1.is_some());
        assert_eq!(said(&mut session), answer);
    }
}

#[test]
fn mqtt_3_1_2_flags_that_contradict_each_other_are_malformed() {
    // The reserved flag [3.1.2-3], a QoS or retain of a will that is not there [-11, -13, -15], QoS 3 [-14].
    for flags in [0x03, 0x0A, 0x22, 0x1E] {
        let rest = [text("w"), text("p")].concat();
        for level in [4, 5] {
            let mut session = Session::new(LIMITS, at(0));
            let bytes = connect(level, flags, 10, &[], "c", &rest);
            assert_eq!(hear(&mut session, &bytes).1, Some(code::MALFORMED), "{flags:02X}");
            assert_eq!(said(&mut session).is_empty(), level == 4);
        }
    }
    // A password without a user: 3.1.1 only [3.1.2-22].
    let mut session = Session::new(LIMITS, at(0));
    assert!(hear(&mut session, &connect(4, 0x42, 10, &[], "c", &text("pw"))).1.is_some());
}

#[test]
fn connack_tells_a_client_of_5_our_limits_and_one_of_3_nothing() {
    // 3.2.2.3: receive maximum 3, packet size, no subscription ids, no shared subscriptions, keep-alive 60 for none.
    let mut session = Session::new(LIMITS, at(0));
    hear(&mut session, &connect(5, 2, 0, &[17, 0, 0, 1, 0], "c", &[]));
    let size = u32::try_from(PACKET_MAX).unwrap().to_be_bytes();
    let mut expected = vec![0x20, 23, 0, 0, 20, 17, 0, 0, 0, 0, 33, 0, 3, 39];
    expected.extend(size);
    expected.extend([41, 0, 42, 0, 19, 0, 60]);
    assert_eq!(said(&mut session), expected);
    let mut session = Session::new(LIMITS, at(0));
    hear(&mut session, &connect(4, 0, 0, &[], "c", &[]));
    assert_eq!(said(&mut session), [0x20, 2, 0, 0], "session present is 0, whatever is asked for");
}

#[test]
fn mqtt_3_1_2_24_the_deadline_is_one_and_a_half_times_the_keep_alive() {
    for (asked, deadline) in [(10, 15), (0, 90), (600, 90)] {
        let mut session = Session::new(LIMITS, at(0));
        hear(&mut session, &connect(4, 2, asked, &[], "c", &[]));
        assert_eq!(session.deadline(), Duration::from_secs(deadline), "{asked}");
        hear(&mut session, &packet(0xC0, &[]));
        assert_eq!(session.deadline(), Duration::from_secs(deadline + 1));
        assert!(said(&mut session).ends_with(&wire::PINGRESP), "[MQTT-3.12.4-1]");
    }
}

#[test]
fn publishes_of_every_quality_are_asked_for_and_acknowledged_in_order() {
    for v5 in [false, true] {
        let mut session = open(v5);
        let bytes =
            [publish(v5, 0, "a", 0, &[], b"0"), publish(v5, 2, "a", 1, &[], b"1"), publish(v5, 4, "a", 2, &[], b"2")];
        let (asked, fault) = hear(&mut session, &bytes.concat());
        assert_eq!(
            (asked, fault),
            (vec!["publish a 0 0 0".into(), "publish a 1 1 1".into(), "publish a 2 2 2".into()], None)
        );
        assert!(said(&mut session).is_empty(), "nothing is acknowledged before it is durable");
        session.acknowledge(ACK(1, false), 0);
        session.acknowledge(ACK(2, true), 0);
        assert_eq!(said(&mut session), [0x40, 2, 0, 1, 0x50, 2, 0, 2]);
        hear(&mut session, &packet(0x62, &[0, 2]));
        assert_eq!(said(&mut session), [0x70, 2, 0, 2]);
        assert_eq!(session.in_flight, 0);
    }
}

#[test]
fn mqtt_4_3_3_a_message_of_qos_2_is_taken_once_until_it_is_released() {
    let mut session = open(true);
    let message = publish(true, 4, "a", 2, &[], b"x");
    let again = publish(true, 0x0C, "a", 2, &[], b"x");
    assert_eq!(hear(&mut session, &message).0.len(), 1);
    assert_eq!(hear(&mut session, &again).0.len(), 0);
    assert!(said(&mut session).is_empty(), "its PUBREC waits for the disk");
    session.acknowledge(ACK(2, true), 0);
    said(&mut session);
    assert_eq!(hear(&mut session, &again).0.len(), 0);
    assert_eq!(said(&mut session), [0x50, 2, 0, 2]);
    hear(&mut session, &packet(0x62, &[0, 2]));
    assert_eq!(hear(&mut session, &message).0.len(), 1, "the id is free again");
    // A PUBREL of what nobody knows: 0x92 [4.3.3], without which 3.1.1 goes on.
    said(&mut session);
    hear(&mut session, &packet(0x62, &[0, 9]));
    assert_eq!(said(&mut session), [0x70, 3, 0, 9, 0x92]);
    let mut session = open(false);
    hear(&mut session, &packet(0x62, &[0, 9]));
    assert_eq!(said(&mut session), [0x70, 2, 0, 9]);
}

#[test]
fn a_refused_message_of_qos_2_needs_no_release() {
    let mut session = open(true);
    hear(&mut session, &publish(true, 4, "a", 2, &[], b"x"));
    session.acknowledge(ACK(2, true), code::TOPIC);
    assert_eq!(said(&mut session), [0x50, 3, 0, 2, 0x90]);
    assert_eq!(session.in_flight, 0);
}

#[test]
fn mqtt_3_3_4_9_more_than_the_receive_maximum_is_a_fault_of_mqtt_5() {
    let three: Vec<u8> = (1..=3).flat_map(|id| publish(true, if id == 2 { 4 } else { 2 }, "a", id, &[], b"")).collect();
    let mut session = open(true);
    assert_eq!(hear(&mut session, &three).1, None);
    // PUBREC does not give the place back, PUBCOMP does.
    session.acknowledge(ACK(2, true), 0);
    hear(&mut session, &packet(0x62, &[0, 2]));
    assert_eq!(hear(&mut session, &publish(true, 2, "a", 4, &[], b"")).1, None);
    assert_eq!(hear(&mut session, &publish(true, 0, "a", 0, &[], b"")).1, None, "QoS 0 does not count");
    said(&mut session);
    assert_eq!(hear(&mut session, &publish(true, 2, "a", 5, &[], b"")).1, Some(code::RECEIVE_MAX));
    assert_eq!(said(&mut session).get(..3).map(|b| (b[0], b[2])), Some((0xE0, 0x93)));
}

#[test]
fn a_client_of_3_1_1_with_too_much_under_way_is_not_read_for_a_while() {
    let mut session = open(false);
    let four: Vec<u8> = (1..=4).flat_map(|id| publish(false, 2, "a", id, &[], b"")).collect();
    let mut rest = four.as_slice();
    for _ in 0..3 {
        assert!(session.next(&mut rest, at(1)).unwrap().is_some());
    }
    assert!(session.next(&mut rest, at(1)).unwrap().is_none());
    assert!(!rest.is_empty() && !session.is_reading());
    session.acknowledge(ACK(1, false), 0);
    assert!(matches!(session.next(&mut rest, at(1)), Ok(Some(Asked::Publish(p))) if p.id == 4));
}

#[test]
fn publishes_that_the_standard_forbids_end_the_conversation() {
    let faults = [
        (publish(true, 6, "a", 1, &[], b""), code::MALFORMED, "QoS 3 [MQTT-3.3.1-4]"),
        (publish(true, 8, "a", 1, &[], b""), code::MALFORMED, "DUP at QoS 0 [MQTT-3.3.1-2]"),
        (publish(true, 0, "a/+", 0, &[], b""), code::TOPIC, "a wildcard [MQTT-3.3.2-2]"),
        (publish(true, 0, "", 0, &[], b""), code::PROTOCOL, "no topic and no alias"),
        (publish(true, 0, "a\0", 0, &[], b""), code::MALFORMED, "a zero byte [MQTT-1.5.4-2]"),
        (publish(true, 2, "a", 0, &[], b""), code::PROTOCOL, "id 0 [MQTT-2.2.1-3]"),
        (publish(true, 0, "a", 0, &[35, 0, 1], b""), code::TOPIC_ALIAS, "an alias beyond the maximum of 0"),
        (publish(true, 0, "a", 0, &[11, 1], b""), code::PROTOCOL, "a subscription id [MQTT-3.3.4-6]"),
        (publish(true, 0, "a", 0, &[1, 2], b""), code::PROTOCOL, "payload format 2"),
        (publish(true, 0, "a", 0, &[2, 0, 0, 0, 1, 2, 0, 0, 0, 1], b""), code::PROTOCOL, "a property twice"),
        (publish(true, 0, "a", 0, &[17, 0, 0, 0, 1], b""), code::MALFORMED, "a property of CONNECT"),
        (packet(0x30, &[0, 9, b'a']), code::MALFORMED, "cut off"),
        (vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01], code::MALFORMED, "a length without end [MQTT-1.5.5-1]"),
        (vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], code::TOO_LARGE, "256 MiB"),
        (vec![0x82, 0xFF, 0xFF, 0x3F], code::TOO_LARGE, "a SUBSCRIBE of a megabyte"),
        (packet(0x80, &[0, 1, 0, 0, 1, b'a', 0]), code::MALFORMED, "flags of SUBSCRIBE [MQTT-3.8.1-1]"),
        (packet(0x82, &[0, 1, 0]), code::PROTOCOL, "no filter [MQTT-3.8.3-2]"),
        (packet(0x82, &[0, 1, 2, 11, 5, 0, 1, b'a', 0]), code::SUBSCRIPTION_ID, "a subscription id"),
        (packet(0x60, &[0, 1]), code::MALFORMED, "flags of PUBREL [MQTT-3.6.1-1]"),
        (packet(0x50, &[0, 1]), code::PROTOCOL, "PUBREC of nothing"),
        (packet(0xF0, &[]), code::PROTOCOL, "AUTH without a method"),
        (packet(0x00, &[]), code::PROTOCOL, "a reserved type"),
        (packet(0x20, &[0, 0]), code::PROTOCOL, "CONNACK of a client"),
    ];
    for (bytes, expected, what) in faults {
        let mut session = open(true);
        // Enough of the body that the size decides, not what is missing.
        assert_eq!(hear(&mut session, &bytes), (vec![], Some(expected)), "{what}");
        assert_eq!(said(&mut session).first(), Some(&0xE0), "{what}");
    }
}

#[test]
fn suback_and_unsuback_say_what_became_of_each_filter() {
    let subscribe = |v5: bool| {
        let properties: &[u8] = if v5 { &[0] } else { &[] };
        packet(0x82, &[&[0, 7], properties, &text("a/+"), &[1], &text("b"), &[2]].concat())
    };
    for v5 in [false, true] {
        let mut session = open(v5);
        assert_eq!(hear(&mut session, &subscribe(v5)).0, ["subscribe 7 a/+:1 b:1"], "QoS 2 is granted as 1");
        session.subscribed(7, &[1, code::SHARED]);
        session.unsubscribed(8, &[true, false]);
        let expected: &[u8] = if v5 {
            &[0x90, 5, 0, 7, 0, 1, 0x9E, 0xB0, 5, 0, 8, 0, 0, 0x11]
        } else {
            &[0x90, 4, 0, 7, 1, 0x80, 0xB0, 2, 0, 8]
        };
        assert_eq!(said(&mut session), expected);
    }
}

#[test]
fn mqtt_3_14_4_3_a_clean_end_takes_the_will_away() {
    let with_will = |level| {
        connect(
            level,
            0x06,
            10,
            &[],
            "c",
            &if level == 5 { [vec![0], text("w"), text("gone")].concat() } else { [text("w"), text("gone")].concat() },
        )
    };
    for (level, goodbye, is_kept) in [
        (4, packet(0xE0, &[]), false),
        (5, packet(0xE0, &[]), false),
        (5, packet(0xE0, &[0]), false),
        (5, packet(0xE0, &[4, 0]), true),
    ] {
        let mut session = Session::new(LIMITS, at(0));
        hear(&mut session, &with_will(level));
        hear(&mut session, &goodbye);
        assert!(session.is_over());
        assert_eq!(session.take_will().map(|will| will.payload), is_kept.then(|| b"gone".to_vec()), "{goodbye:02X?}");
    }
    let mut session = Session::new(LIMITS, at(0));
    hear(&mut session, &with_will(5));
    session.end(code::KEEP_ALIVE, "");
    assert!(session.take_will().is_some(), "an end that the client did not ask for [MQTT-3.1.2-8]");
}

#[test]
fn mqtt_3_2_2_refusals_are_told_in_the_codes_of_the_version() {
    for (code, three) in
        [(code::USER, 4), (code::NOT_AUTHORIZED, 5), (code::CLIENT_ID, 2), (code::BUSY, 3), (code::TOPIC, 5)]
    {
        for level in [4, 5] {
            let mut session = Session::new(LIMITS, at(0));
            let bytes = connect(level, 2, 10, &[], "c", &[]);
            assert!(matches!(session.next(&mut bytes.as_slice(), at(0)), Ok(Some(Asked::Connect(_)))));
            session.end(code, "why");
            let expected = if level == 4 {
                vec![0x20, 2, 0, three]
            } else {
                vec![0x20, 9, 0, code, 6, 31, 0, 3, b'w', b'h', b'y']
            };
            assert_eq!(said(&mut session), expected);
            assert!(session.is_over() && session.take_will().is_none());
        }
    }
}

fn message(payload: &[u8]) -> Arc<Message> {
    Arc::new(Message {
        topic: "t".into(),
        payload: payload.into(),
        properties: [].into(),
        received: Time(0),
        expires: Some(Time(10_500_000_000)),
    })
}

#[test]
fn mqtt_3_3_4_7_the_receive_maximum_of_a_subscriber_is_kept() {
    let mut session = Session::new(LIMITS, at(0));
    hear(&mut session, &connect(5, 2, 10, &[33, 0, 2], "c", &[]));
    said(&mut session);
    for n in 0..4 {
        assert!(session.deliver(&message(&[n]), 1, false, at(0)));
    }
    let first = said(&mut session);
    assert_eq!(
        first,
        [0x32, 12, 0, 1, b't', 0, 1, 5, 2, 0, 0, 0, 11, 0, 0x32, 12, 0, 1, b't', 0, 2, 5, 2, 0, 0, 0, 11, 1]
    );
    hear(&mut session, &packet(0x40, &[0, 1]));
    assert_eq!(said(&mut session).last(), Some(&2));
    assert_eq!(session.waiting(), 1);
    // What is acknowledged later than it expires is not sent any more [MQTT-3.3.2-5].
    let mut rest = &packet(0x40, &[0, 2])[..];
    session.next(&mut rest, at(11)).unwrap();
    assert_eq!((said(&mut session), session.waiting()), (vec![], 0));
}

#[test]
fn mqtt_3_1_2_24_what_is_too_large_for_the_client_is_not_sent() {
    let mut session = Session::new(LIMITS, at(0));
    hear(&mut session, &connect(5, 2, 10, &[39, 0, 0, 0, 20], "c", &[]));
    said(&mut session);
    assert!(session.deliver(&message(&[0; 100]), 1, false, at(0)));
    assert!(session.deliver(&message(b"x"), 0, true, at(0)));
    let sent = said(&mut session);
    assert_eq!(sent.first(), Some(&0x31));
    session.end(code::QUOTA, "a reason of more than twenty bytes");
    assert_eq!(said(&mut session), [0xE0, 1, 0x97], "[MQTT-3.14.2-3]");
}

#[test]
fn a_slow_subscriber_is_told_from_a_full_queue() {
    let mut session = open(false);
    let large = message(&vec![0; 1 << 20]);
    let taken = (0..100).take_while(|_| session.deliver(&large, 1, false, at(0))).count();
    assert!((63..=66).contains(&taken), "{taken} of 1 MiB");
    assert!(session.output().len() <= OUTPUT_MAX + (1 << 20) + 100);
}

#[test]
fn properties_go_on_unaltered_but_for_the_expiry() {
    let properties =
        [&[1, 1, 2, 0, 0, 0, 9, 3][..], &text("json"), &[38], &text("k"), &text("v"), &[38], &text("k"), &text("w")]
            .concat();
    let mut session = open(true);
    let bytes = publish(true, 0, "a", 0, &properties, b"");
    let mut rest = bytes.as_slice();
    let Ok(Some(Asked::Publish(publish))) = session.next(&mut rest, at(0)) else { panic!("a publish") };
    assert_eq!(publish.expiry, Some(9));
    let kept = wire::forwarded(publish.properties);
    assert_eq!(kept, [&properties[..2], &properties[7..]].concat());
}

proptest! {
    #[test]
    fn bytes_are_heard_the_same_way_however_they_are_cut(
        packets in prop::collection::vec(prop_oneof![
            (0_u8..3, 1_u16..5, "[ab]{1,3}")
                .prop_map(|(qos, id, topic)| publish(true, qos << 1, &topic, id, &[], b"x")),
            Just(packet(0xC0, &[])),
            (1_u16..5).prop_map(|id| packet(0x62, &id.to_be_bytes())),
            prop::collection::vec(any::<u8>(), 1..6),
        ], 0..12),
        step in 1_usize..9,
    ) {
        let stream = packets.concat();
        let whole = hear(&mut open(true), &stream);
        let mut session = open(true);
        let (mut pending, mut asked, mut fault) = (Vec::new(), Vec::new(), None);
        for piece in stream.chunks(step) {
            pending.extend_from_slice(piece);
            let mut rest = pending.as_slice();
            while fault.is_none() {
                match session.next(&mut rest, at(1)) {
                    Ok(None) => break,
                    Ok(Some(Asked::Publish(p))) => {
                        asked.push(format!("publish {} {} {} {}", p.topic, p.qos, p.id, p.payload.escape_ascii()));
                    }
                    Ok(Some(Asked::Disconnect(will))) => asked.push(format!("disconnect {will}")),
                    Ok(Some(Asked::Subscribe(..) | Asked::Unsubscribe(..) | Asked::Connect(_))) => {
                        asked.push("other".into());
                    }
                    Err(f) => fault = Some(f.code),
                }
            }
            let read = pending.len() - rest.len();
            pending.drain(..read);
        }
        if !whole.0.iter().any(|a| a.starts_with("sub") || a.starts_with("unsub")) {
            prop_assert_eq!((asked, fault), whole);
        }
    }
}
