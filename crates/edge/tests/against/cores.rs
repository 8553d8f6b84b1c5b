//! The pure cores over the small contract: what becomes of each kind of message and body.

use crate::common::*;
use andon_contract::Contract;
use andon_contract::contract::{Level, MqttVersion, SourceKind};
use andon_edge::duplicates::Duplicates;
use andon_edge::mapping::Incoming;
use andon_edge::mqtt::Ack;
use andon_edge::source::{Before, GROUP_MESSAGES_MAX, Group, SourceCore, gap};
use andon_model::sample::{Counts, Origin};
use andon_model::{Entry, Mark, Sample, SignalNo, Time, Value};
use andon_store::{SourceRow, Write};
use proptest::prelude::*;
use std::sync::Arc;

const NOW: Time = Time(1_764_000_000_000_400_000);

fn core(change: impl FnOnce(&mut Contract)) -> SourceCore {
    let mut contract = contract("mqtt://127.0.0.1", MqttVersion::V5, 1, 3);
    change(&mut contract);
    SourceCore::new(Arc::new(contract), &name("machines"), Duplicates::new([1, 2, 3, 4])).expect("a source")
}

fn message(core: &mut SourceCore, topic: &str, payload: &str, retained: bool) {
    let incoming = Incoming { topic, payload: payload.as_bytes(), retained, received: NOW };
    let mut numbers = |_: &andon_model::AssetName, _: &andon_model::SignalName| Ok(SignalNo(7));
    core.message(incoming, Some(Ack { id: 1, exactly_once: false }), &mut numbers).expect("no store is asked");
}

fn one(payload: &str, retained: bool) -> Group {
    let mut core = core(|_| {});
    message(&mut core, "machines/machine-001/temperature", payload, retained);
    core.take_group()
}

fn sample(group: &Group) -> Sample {
    match group.parts[0].entries.as_slice() {
        [Entry::Sample(sample)] => sample.clone(),
        other => panic!("{other:?}"),
    }
}

/// Cause and detail of the one problem.
fn problem(group: Group) -> String {
    assert_eq!(group.counts().quarantined, 1, "{group:?}");
    let writes = group.quarantine.into_writes();
    let [Write::Exception(row), Write::Quarantine(bytes)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(row.id, bytes.exception);
    assert_eq!(row.owner, name("plant"));
    format!("{}; {}; {}", row.cause, row.detail, row.remedy)
}

#[test]
fn a_message_becomes_a_sample() {
    let group = one("{\"ts\":1763999999123,\"v\":71.5}", false);
    let sample = sample(&group);
    assert_eq!((sample.time, sample.value.clone()), (Time(1_763_999_999_123_000_000), Value::F64(71.5)));
    assert_eq!(sample.received, Time(1_764_000_000_000_000_000), "whole milliseconds");
    assert!(sample.quality.is_good() && sample.origin == Origin::Live);
    assert_eq!(group.counts(), Counts { received: 1, stored: 1, ..Counts::default() });
    assert_eq!(group.acks.len(), 1);
}

#[test]
fn what_is_doubtful_is_stored_as_such() {
    let far = sample(&one("{\"ts\":1763999999123,\"v\":-51}", false));
    assert_eq!(far.quality.word(), "uncertain");
    let bad = sample(&one("{\"ts\":1763999999123,\"v\":-51,\"q\":2147483648}", false));
    assert!(bad.quality.is_bad());
    let ahead = sample(&one("{\"ts\":1764000301000,\"v\":1}", false));
    assert_eq!(ahead.origin, Origin::Ahead(Time(1_764_000_301_000_000_000)));
    assert_eq!((ahead.time, ahead.quality.word()), (ahead.received, "uncertain"));
    let kept = sample(&one("{\"ts\":1763999999123,\"v\":1}", true));
    assert_eq!((kept.origin, kept.quality.word()), (Origin::Retained, "good"));
}

#[test]
fn a_sample_that_came_too_early_is_the_same_when_its_time_is_believed() {
    let mut core = core(|_| {});
    let mut numbers = |_: &andon_model::AssetName, _: &andon_model::SignalName| Ok(SignalNo(7));
    for received in [NOW, Time(NOW.0 + 240_000_000_000)] {
        let payload = "{\"ts\":1764000400000,\"v\":1}".as_bytes();
        let incoming = Incoming { topic: "machines/machine-001/temperature", payload, retained: false, received };
        core.message(incoming, None, &mut numbers).expect("no store is asked");
    }
    let group = core.take_group();
    assert_eq!(group.counts(), Counts { received: 2, stored: 1, duplicate: 1, ..Counts::default() });
}

#[test]
fn what_cannot_be_read_says_why_where_and_what_to_do() {
    for (payload, words) in [
        (
            "{\"ts\":1763999999123,\"v\":}",
            "no JSON; topic machines/machine-001/temperature (signal temperature): found",
        ),
        ("{\"ts\":1763999999123,\"v\":NaN}", "NaN and Infinity are no values"),
        ("{\"ts\":1763999999123}", "machines/+/temperature/v: nothing stands at its pointer"),
        ("{\"ts\":1763999999123,\"v\":null}", "found null"),
        ("{\"ts\":1763999999123,\"v\":\"5\"}", "found the text \"5\""),
        ("{\"v\":5}", "machines/+/temperature/ts: the time is no number"),
        ("{\"ts\":\"2025-11-24\",\"v\":5}", "set `time.form` to text"),
        ("{\"ts\":1763999999,\"v\":5}", "before the year 2000"),
        ("{\"ts\":1763999999123000,\"v\":5}", "does not fit its unit: is the unit wrong?"),
        ("{\"ts\":1764186400001,\"v\":5}", "more than a day after it was received: is its unit wrong?"),
        ("{\"ts\":1763999999123,\"v\":5,\"q\":\"good\"}", "no OPC UA StatusCode"),
        ("", "the payload is empty"),
    ] {
        let told = problem(one(payload, false));
        assert!(told.contains(words), "{payload}: {told}");
    }
    for (topic, words) in [
        ("machines/machine-001/pressure", "no topic of the source matches"),
        (
            "machines/nobody/temperature",
            "no asset has this name in the source; topic machines/nobody/temperature, asset nobody",
        ),
        ("machines/machine-001/temperature/x", "no topic of the source matches"),
    ] {
        let mut core = core(|_| {});
        message(&mut core, topic, "{}", false);
        let told = problem(core.take_group());
        assert!(told.contains(words), "{topic}: {told}");
    }
}

#[test]
fn the_same_cause_is_one_exception_and_every_message_is_kept() {
    let mut core = core(|_| {});
    for n in 0..50 {
        message(&mut core, &format!("machines/machine-{:03}/temperature", n % 3), "no JSON", false);
    }
    let group = core.take_group();
    assert_eq!(group.counts(), Counts { received: 50, quarantined: 50, ..Counts::default() });
    let writes = group.quarantine.into_writes();
    let exceptions = writes.iter().filter_map(|w| match w {
        Write::Exception(row) => Some(row.count),
        _ => None,
    });
    assert_eq!(exceptions.collect::<Vec<_>>(), [50]);
    assert_eq!(writes.len(), 51);
}

#[test]
fn a_group_of_messages_that_bring_nothing_is_full_too() {
    for payload in ["", "x", "{\"ts\":1763999999123,\"v\":71.5}"] {
        let mut core = core(|_| {});
        for _ in 0..GROUP_MESSAGES_MAX {
            assert!(!core.group().is_full(), "{payload}: {}", core.group().messages);
            message(&mut core, "machines/machine-001/temperature", payload, false);
        }
        assert!(core.group().is_full(), "{payload}");
    }
}

#[test]
fn a_topic_may_name_the_signal_and_a_payload_may_be_the_value() {
    let mut core = core(|contract| {
        let SourceKind::Mqtt(mqtt) = &mut contract.sources.get_mut("machines").expect("it is there").kind else {
            panic!()
        };
        let topic = &mut mqtt.topics[0];
        topic.levels = vec![Level::Capture("asset".into()), Level::Capture("signal".into())];
        topic.signals[0].signal = template("{signal}");
        topic.signals[0].value = pointer("");
        topic.signals[0].time = None;
        topic.signals[0].quality = None;
        contract.assets.get_mut("machine-001").expect("it is there").addresses.insert(name("machines"), "M1".into());
    });
    message(&mut core, "M1/temperature", "71.5", false);
    message(&mut core, "M1/temperature", "71.5", false);
    let group = core.take_group();
    assert_eq!(group.counts().stored, 2, "without a time of its source a repeat is stored again");
    message(&mut core, "machine-001/temperature", "71.5", false);
    message(&mut core, "M1/pressure", "71.5", false);
    message(&mut core, "M1/temperature", "Infinity", false);
    assert_eq!(core.take_group().counts(), Counts { received: 3, quarantined: 3, ..Counts::default() });
    message(&mut core, "M1/temperature", "5", true);
    let kept = sample(&core.take_group());
    assert_eq!((kept.origin, kept.quality.word()), (Origin::RetainedUntimed, "uncertain"));
}

#[test]
fn marks_keep_their_place_between_samples() {
    let mut core = core(|_| {});
    core.mark(Mark::Connected);
    message(&mut core, "machines/machine-001/temperature", "{\"ts\":1763999999123,\"v\":1}", false);
    let group = core.take_group();
    assert_eq!(group.parts[0].entries[0], Entry::Mark(Mark::Connected));
    assert_eq!(group.parts[0].entries.len(), 2);
    assert!(core.take_group().is_empty());
}

#[test]
fn a_gap_is_told_where_the_broker_kept_nothing() {
    let row = |connected| SourceRow {
        source: name("machines"),
        connected,
        since: Time(100),
        reason: String::new(),
        code: None,
        in_doubt: false,
        filters: Vec::new(),
    };
    let told = |row: Option<&SourceRow>, last, session, zero| {
        gap(&name("machines"), Before { row, last_received: last }, Time(900), session, zero)
            .map(|g| (g.from.0, g.to.0))
    };
    assert_eq!(told(None, None, false, false), None, "never connected before");
    assert_eq!(told(Some(&row(false)), None, true, false), None);
    assert_eq!(told(Some(&row(false)), Some(Time(50)), false, false), Some((100, 900)));
    assert_eq!(told(Some(&row(false)), None, true, true), Some((100, 900)));
    assert_eq!(told(Some(&row(true)), Some(Time(500)), false, false), Some((500, 900)), "after a crash");
}

proptest! {
    #[test]
    fn whatever_comes_nothing_is_lost(
        payloads in prop::collection::vec(("[a-z/]{0,6}", prop::collection::vec(any::<u8>(), 0..30), 0_i64..4), 0..40),
    ) {
        let mut core = core(|_| {});
        let mut numbers = |_: &andon_model::AssetName, _: &andon_model::SignalName| Ok(SignalNo(7));
        let total = payloads.len() as u64;
        for (topic, bytes, n) in payloads {
            let good = format!("{{\"ts\":{},\"v\":1}}", 1_763_999_999_000 + n);
            let (topic, payload) = match n {
                0 => (topic.as_str(), bytes.as_slice()),
                1 => ("machines/machine-000/temperature", bytes.as_slice()),
                _ => ("machines/machine-000/temperature", good.as_bytes()),
            };
            let incoming = Incoming { topic, payload, retained: false, received: NOW };
            core.message(incoming, None, &mut numbers).expect("no store is asked");
        }
        let group = core.take_group();
        let counts = group.counts();
        prop_assert!(counts.is_whole());
        prop_assert_eq!(counts.received, total);
        let entries: usize = group.parts.iter().map(|part| part.entries.len()).sum();
        prop_assert_eq!(counts.stored, entries as u64);
    }
}
