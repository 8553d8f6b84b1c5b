//! A source against a real broker: every version and quality of service, refusals, restarts, bad payloads.

use crate::common::*;
use andon_contract::contract::{Level, MqttVersion, Secret, SourceKind, UserPassword};
use andon_edge::run::{SourceHandle, SourceStatus, start_mqtt};
use andon_model::{Entry, Mark, Value};
use andon_store::{Query, Store, Write};
use std::sync::Arc;

fn start(contract: andon_contract::Contract, store: &Store) -> SourceHandle {
    start_mqtt(&Arc::new(contract), &name("machines"), store.clone(), no_env(), Machine::clock(), chance(1)).unwrap()
}

/// Waits for a condition of a source, and shows the source when it waits in vain.
fn until_told(what: &str, source: &SourceHandle, condition: impl Fn(&SourceStatus) -> bool) {
    let mut last = source.status();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(what, || {
            last = source.status();
            condition(&last)
        });
    }));
    assert!(result.is_ok(), "{what}: {:?}", source.status());
}

fn never(_: &str) -> bool {
    false
}

fn payload(n: i64) -> Vec<u8> {
    format!("{{\"ts\":{},\"v\":{n}}}", 1_764_000_000_000 + n).into_bytes()
}

#[test]
fn every_version_and_quality_of_service_delivers_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    for version in [MqttVersion::V3, MqttVersion::V5] {
        for qos in [0, 1, 2] {
            let store = Store::memory(&mut chance(3));
            let mut source = start(contract(&broker.address(), version, qos, 3), &store);
            until("connected", || source.status().connected);
            let mut publisher = publisher(broker.port, "pub", 20);
            for n in 0..300 {
                let topic = format!("machines/machine-{:03}/temperature", n % 3);
                publisher.publish(&topic, &payload(n), &mut never).unwrap();
            }
            publisher.flush(&mut never).unwrap();
            until_told(&format!("all samples {version:?} {qos}"), &source, |s| s.counts.received == 300);
            source.stop();
            let status = source.status();
            assert!(status.counts.is_whole() && status.counts.stored == 300, "{version:?} {qos}: {status:?}");
            let values: Vec<Value> = samples(&store).into_iter().map(|s| s.value).collect();
            let sent: Vec<Value> = (0..300_i32).map(|n| Value::F64(f64::from(n))).collect();
            assert_eq!(values, sent, "{version:?} {qos}");
            let all = entries(&store);
            assert_eq!(all.first(), Some(&Entry::Mark(Mark::Connected)));
            assert_eq!(all.last(), Some(&Entry::Mark(Mark::Disconnected("stopped".into()))));
        }
    }
}

#[test]
fn wrong_credentials_are_told_with_code_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    std::fs::write(&file, "").unwrap();
    let made = std::process::Command::new("mosquitto_passwd").arg("-b").arg(&file).args(["plant", "right"]).status();
    assert!(made.unwrap().success());
    let broker = Mosquitto::start(dir.path(), &format!("password_file {}\nallow_anonymous false", file.display()));
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let with = |password: &str| {
            let secret = dir.path().join("secret");
            std::fs::write(&secret, password).unwrap();
            let mut contract = contract(&broker.address(), version, 1, 1);
            let SourceKind::Mqtt(mqtt) = &mut contract.sources.get_mut("machines").unwrap().kind else { panic!() };
            let password = Secret::File(secret.display().to_string());
            mqtt.broker.credentials = Some(UserPassword { user: "plant".into(), password });
            start(contract, &Store::memory(&mut chance(3)))
        };
        let wrong = with("wrong");
        until("refused", || wrong.status().reason.contains("refused us"));
        let reason = wrong.status().reason;
        assert!(reason.contains("user or password is wrong") || reason.contains("not authorized"), "{reason}");
        drop(wrong);
        let right = with("right\n");
        until("connected", || right.status().connected);
    }
}

#[test]
fn a_broker_that_is_killed_loses_nothing_at_qos_1() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path(), REMEMBERS);
    let store = Store::memory(&mut chance(3));
    let mut source = start(contract(&broker.address(), MqttVersion::V5, 1, 1), &store);
    until("connected", || source.status().connected);
    let mut publisher = publisher(broker.port, "pub", 20);
    for n in 0..2_000 {
        if n % 500 == 250 {
            // The broker writes its queue to disk at each change; what it acknowledged before, it knows.
            publisher.flush(&mut never).unwrap();
            until("all so far", || source.status().counts.stored >= u64::try_from(n).unwrap());
            broker.kill();
            until("disconnected", || !source.status().connected);
            broker.begin();
        }
        publisher.publish("machines/machine-000/temperature", &payload(n), &mut never).unwrap();
    }
    publisher.flush(&mut never).unwrap();
    until_told("all samples", &source, |s| s.counts.stored == 2_000);
    source.stop();
    assert!(source.status().counts.is_whole());
    let marks = entries(&store).into_iter().filter(|entry| matches!(entry, Entry::Mark(_))).count();
    assert!(marks >= 10, "{marks}");
}

#[test]
fn a_source_that_was_away_gets_what_it_missed_and_no_gap_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let store = Store::memory(&mut chance(3));
    let mut source = start(contract(&broker.address(), MqttVersion::V5, 1, 1), &store);
    until("connected", || source.status().connected);
    source.stop();
    let mut publisher = publisher(broker.port, "pub", 20);
    (0..100).for_each(|n| publisher.publish("machines/machine-000/temperature", &payload(n), &mut never).unwrap());
    publisher.flush(&mut never).unwrap();
    let again = start(contract(&broker.address(), MqttVersion::V5, 1, 1), &store);
    until("the backlog", || samples(&store).len() == 100);
    let gaps = |store: &Store| store.list("gaps", &Query { limit: 10, ..Query::default() }).unwrap().rows.len();
    assert_eq!(gaps(&store), 0);
    drop(again);
    // At QoS 0 the broker keeps nothing for us.
    let zero = start(contract(&broker.address(), MqttVersion::V5, 0, 1), &store);
    until("connected", || zero.status().connected);
    assert_eq!(gaps(&store), 1);
}

#[test]
fn bad_payloads_are_set_aside_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let store = Store::memory(&mut chance(3));
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let source = start(contract(&broker.address(), version, 1, 1), &store);
        until("connected", || source.status().connected);
        let before = samples(&store).len();
        let mut publisher = publisher(broker.port, "pub", 20);
        let offset = i64::try_from(before).unwrap();
        let large = vec![b'x'; 2 << 20];
        let bad: [(&str, &[u8]); 5] = [
            ("machines/machine-000/temperature", b"{\"ts\":1764000000000,\"v\":NaN}"),
            ("machines/machine-000/temperature", b"\xFF\xFE"),
            ("machines/nobody/temperature", b"{\"ts\":1764000000000,\"v\":1}"),
            ("machines/machine-000/temperature", b"{\"ts\":1764000000,\"v\":1}"),
            ("machines/machine-000/temperature", &large),
        ];
        for (n, (topic, bytes)) in (0..).zip(bad) {
            publisher.publish("machines/machine-000/temperature", &payload(offset + n), &mut never).unwrap();
            publisher.publish(topic, bytes, &mut never).unwrap();
        }
        publisher.flush(&mut never).unwrap();
        // With MQTT 5 the broker is told the largest packet and keeps larger ones to itself.
        let expected = if version == MqttVersion::V3 { 10 } else { 9 };
        until_told("all messages", &source, |s| s.messages == expected);
        let status = source.status();
        assert!(status.connected && status.counts.is_whole(), "{status:?}");
        assert_eq!(status.counts.stored, 5, "{status:?}");
        assert_eq!(status.counts.quarantined, expected - 5, "{status:?}");
    }
    let rows = store.list("exceptions", &Query { limit: 20, ..Query::default() }).unwrap().rows;
    let text = serde_json::to_string(&rows).unwrap();
    for word in ["NaN and Infinity", "no JSON", "no asset", "unit wrong", "1 MiB"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// The contract after an edit: its one topic begins with this level instead of `machines`.
fn under(first: &str, broker: &Mosquitto, version: MqttVersion) -> andon_contract::Contract {
    let mut contract = contract(&broker.address(), version, 1, 1);
    let SourceKind::Mqtt(mqtt) = &mut contract.sources.get_mut("machines").unwrap().kind else { panic!() };
    mqtt.topics[0].levels[0] = Level::Text(first.into());
    contract
}

#[test]
fn a_topic_that_an_edit_removed_comes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let store = Store::memory(&mut chance(3));
        let filters = |store: &Store| store.source_rows().unwrap().remove(0).filters;
        let mut source = start(under("old", &broker, version), &store);
        until("connected", || source.status().connected);
        source.stop();
        assert_eq!(filters(&store), ["old/+/temperature"]);
        let mut publisher = publisher(broker.port, "pub", 20);
        // This one waits at the broker: it was asked for, and nothing that was asked for is lost.
        publisher.publish("old/machine-000/temperature", &payload(0), &mut never).unwrap();
        publisher.flush(&mut never).unwrap();
        let mut source = start(under("new", &broker, version), &store);
        until_told("connected", &source, |s| s.connected);
        assert_eq!(filters(&store), ["new/+/temperature"]);
        for n in 1..=20 {
            publisher.publish("old/machine-000/temperature", &payload(n), &mut never).unwrap();
            publisher.publish("new/machine-000/temperature", &payload(n), &mut never).unwrap();
        }
        publisher.flush(&mut never).unwrap();
        until_told("the new topic", &source, |s| s.counts.stored == 20);
        source.stop();
        let counts = source.status().counts;
        assert_eq!((counts.received, counts.quarantined), (21, 1), "{version:?} {counts:?}");
        assert_eq!(filters(&store), ["new/+/temperature"]);
    }
}

#[test]
fn a_subscription_that_was_asked_for_before_a_crash_is_ended_too() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let store = Store::memory(&mut chance(3));
    // The rows as they stand when the process ends after the broker took `old` and before that was recorded.
    let mut source = start(under("old", &broker, MqttVersion::V5), &store);
    until("connected", || source.status().connected);
    source.stop();
    let mut row = store.source_rows().unwrap().remove(0);
    row.filters = vec!["older/+/temperature".into(), "old/+/temperature".into()];
    store.commit(vec![Write::Source(row)]).unwrap();
    let mut source = start(under("new", &broker, MqttVersion::V5), &store);
    until_told("connected", &source, |s| s.connected && s.reason.is_empty());
    let mut publisher = publisher(broker.port, "pub", 20);
    publisher.publish("old/machine-000/temperature", &payload(1), &mut never).unwrap();
    publisher.publish("new/machine-000/temperature", &payload(2), &mut never).unwrap();
    publisher.flush(&mut never).unwrap();
    until_told("the new topic", &source, |s| s.counts.stored == 1);
    source.stop();
    assert_eq!(source.status().counts.received, 1);
    assert_eq!(store.source_rows().unwrap().remove(0).filters, ["new/+/temperature"]);
}
