//! Recorded data through a real broker into a running source.

use crate::common::*;
use andon_contract::contract::MqttVersion;
use andon_edge::feed::{Caller, Format, Progress, Speed, Wanted, destination, feed, publisher, rows};
use andon_edge::run::start_mqtt;
use andon_model::Value;
use andon_store::Store;
use std::sync::Arc;

#[test]
fn a_file_arrives_whole_and_the_feed_waits_for_the_instance() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let contract = Arc::new(contract(&broker.address(), MqttVersion::V5, 1, 1));
    let store = Store::memory(&mut chance(3));
    let clock = Machine::clock();
    let source =
        start_mqtt(&contract, &name("machines"), store.clone(), no_env(), Arc::clone(&clock), chance(1)).unwrap();
    until("connected", || source.status().connected);
    let lines: Vec<String> = (0..3_000).map(|n| format!("{},{n}.5", 1_764_000_000_000_i64 + n)).collect();
    let file = format!("ts,v\n{}\n", lines.join("\n"));
    let to = destination(&contract, &Wanted::default()).expect("one source, one topic, one asset");
    let mut publisher = publisher(&to, &no_env(), Arc::clone(&clock), chance(9)).unwrap();
    let (mut asked, mut furthest) = (0, 0);
    let mut received = || {
        asked += 1;
        // Away for a while: the feed waits.
        (!(5..=15).contains(&asked)).then(|| source.status().counts.received)
    };
    let mut progress = |p: Progress| furthest = furthest.max(p.published.saturating_sub(p.received));
    let caller = Caller { received: &mut received, progress: &mut progress, stop: &|| false };
    let read = rows("data.csv", Format::Csv, file.as_bytes());
    let done = feed(read, &to, Speed::Max, &mut publisher, &*clock, caller).unwrap();
    assert_eq!((done.published, done.acknowledged, done.received), (3_000, 3_000, 3_000));
    assert!(furthest <= 500, "{furthest}");
    let values: Vec<Value> = samples(&store).into_iter().map(|s| s.value).collect();
    assert_eq!(values.len(), 3_000);
    assert_eq!(values.last(), Some(&Value::F64(2_999.5)));
}

#[test]
fn rows_come_as_they_were_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let contract = contract(&broker.address(), MqttVersion::V5, 1, 2);
    let clock = Machine::clock();
    assert!(
        destination(&contract, &Wanted::default()).unwrap().topic(&row("{}")).unwrap_err().cause.contains("{asset}")
    );
    let wanted = Wanted { asset: Some("machine-001".into()), ..Wanted::default() };
    let to = destination(&contract, &wanted).unwrap();
    assert_eq!(to.topic(&row("{}")).unwrap(), "machines/machine-001/temperature");
    let lines: Vec<String> =
        (0..5).map(|n| format!("{{\"ts\":{},\"v\":1}}", 1_764_000_000_000_i64 + n * 1_000)).collect();
    let file = lines.join("\n");
    let mut publisher = publisher(&to, &no_env(), Arc::clone(&clock), chance(9)).unwrap();
    let began = clock.monotonic();
    let mut count = 0;
    let mut received = || {
        count += 5;
        Some(count)
    };
    let caller = Caller { received: &mut received, progress: &mut |_| {}, stop: &|| false };
    let read = rows("data.jsonl", Format::JsonLines, file.as_bytes());
    feed(read, &to, Speed::Times(20.0), &mut publisher, &*clock, caller).unwrap();
    assert!(clock.monotonic().saturating_sub(began).as_millis() >= 200, "four seconds at twenty times the speed");
}

fn row(json: &str) -> andon_edge::feed::Row {
    rows("row", Format::JsonLines, json.as_bytes()).next().expect("a row").expect("an object")
}
