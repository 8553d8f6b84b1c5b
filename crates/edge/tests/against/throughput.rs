//! How many messages pass through a source, and what each costs; printed, not asserted.

use crate::common::*;
use andon_contract::contract::MqttVersion;
use andon_edge::run::start_mqtt;
use andon_edge::subscriber::{Hubs, start_subscriber};
use andon_store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const MESSAGES: u64 = 100_000;

#[test]
fn ten_thousand_events() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &mut chance(3)).unwrap();
    let clock = Machine::clock();
    let contract =
        crate::subscribers::with_subscriber(&broker.address(), MqttVersion::V5, 1, "andon/{site}/{type}/{asset}");
    let subscriber = start_subscriber(
        contract,
        &name("alarms"),
        &Hubs::default(),
        store.clone(),
        no_env(),
        Arc::clone(&clock),
        chance(5),
    );
    let subscriber = subscriber.unwrap();
    until("connected", || subscriber.status().connected);
    let (before, began) = (threads(), clock.monotonic());
    (0..100).for_each(|n| crate::subscribers::add(&store, n * 100..(n + 1) * 100));
    until("all of them", || subscriber.status().cursor == 10_000);
    let took = clock.monotonic().saturating_sub(began);
    println!("events: {:.0}/s; CPU an event: {}", 1e4 / took.as_secs_f64(), costs(&before, 1e4));
}

/// CPU time of this process's threads in nanoseconds, by name.
fn threads() -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let time = read("schedstat").split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        *times.entry(read("comm").trim().to_owned()).or_default() += time;
    }
    times
}

/// What each thread has cost since then for one of so many things.
fn costs(before: &BTreeMap<String, u64>, things: f64) -> String {
    let cost = |(name, time): (String, u64)| {
        let used = time.saturating_sub(before.get(&name).copied().unwrap_or(0));
        (used > 1_000_000).then(|| format!("{name} {:.2} us", Duration::from_nanos(used).as_secs_f64() * 1e6 / things))
    };
    threads().into_iter().filter_map(cost).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_hundred_thousand_messages() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    for qos in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &mut chance(u64::from(qos) + 3)).unwrap();
        let contract = Arc::new(contract(&broker.address(), MqttVersion::V5, qos, 100));
        let clock = Machine::clock();
        let source =
            start_mqtt(&contract, &name("machines"), store.clone(), no_env(), Arc::clone(&clock), chance(1)).unwrap();
        until("connected", || source.status().connected);
        let before = threads();
        let began = clock.monotonic();
        let port = broker.port;
        let publishing = std::thread::Builder::new().name("plant".into()).spawn(move || {
            let mut publisher = publisher(port, "plant", 200);
            for n in 0..MESSAGES {
                let topic = format!("machines/machine-{:03}/temperature", n % 100);
                let payload = format!("{{\"ts\":{},\"v\":{}.5}}", 1_764_000_000_000 + n, n % 90);
                publisher.publish(&topic, payload.as_bytes(), &mut |_| false).unwrap();
            }
            publisher.flush(&mut |_| false).unwrap();
        });
        let publishing = publishing.unwrap();
        until("all of them", || source.status().counts.received >= MESSAGES);
        let took = clock.monotonic().saturating_sub(began);
        let costs = costs(&before, 1e5);
        publishing.join().unwrap();
        let status = source.status();
        assert!(status.counts.is_whole() && status.counts.stored == MESSAGES, "{status:?}");
        println!("QoS {qos}: {:.0} messages/s; CPU a message: {}", 1e5 / took.as_secs_f64(), costs);
    }
}
