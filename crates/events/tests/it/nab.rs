//! The recorded temperature of a real machine (NAB), against what was worked out by hand.

use crate::common::{asset, contract, limit, part, sample, signal};
use andon_contract::contract::{Clock, RuleKind};
use andon_events::{Loop, Progress};
use andon_model::{Entry, Event, Quality, Time, span::Span, time::Zone};
use andon_store::Store;
use std::{path::PathBuf, sync::Arc};

/// The recording, where it lies: `ANDON_TESTDATA`, else `../shared/data` beside the workspace.
fn folder() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root.join("../shared/data"), |d| root.join(d));
    let folder = data.join("nab-machine-temperature");
    folder.is_dir().then_some(folder)
}

fn activations(text: &str, rule: &str) -> Vec<Event> {
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    let number = store.signal(&asset("machine-01"), &signal("t")).unwrap();
    let rules = [("machine-temperature", RuleKind::Limit(limit(rule)))];
    let contract = Arc::new(contract(&["machine-01"], &rules, Clock::Recorded));
    let mut rules = Loop::new(store.clone(), contract, Time(0)).unwrap();
    let entries: Vec<Entry> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (time, value) = line.split_once(',').unwrap();
            let time = Time::parse_in(time, &Zone::utc()).unwrap();
            Entry::Sample(sample(number.0, time.0, 0, Quality::GOOD, value.parse().unwrap()))
        })
        .collect();
    for chunk in entries.chunks(997) {
        store.append(vec![part(chunk.to_vec())]).unwrap();
        while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
    }
    let counts = rules.counts();
    assert_eq!(counts.evaluated + counts.late, entries.len() as u64);
    assert_eq!(counts.late, 11, "the recording goes back once");
    let events = store.events_after(0, 1_000).unwrap();
    events.into_iter().map(|stored| stored.event).filter(|event| event.data["change"] == "activated").collect()
}

#[test]
fn the_recorded_machine_is_told_nine_times() {
    let Some(folder) = folder() else {
        println!("skipped: no recording under ANDON_TESTDATA; the other tests use made-up series");
        return;
    };
    println!("used the recording in {}", folder.display());
    let text = std::fs::read_to_string(folder.join("machine_temperature_system_failure.csv")).unwrap();
    let labels = std::fs::read_to_string(folder.join("labels.json")).unwrap();
    let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
    let windows: Vec<(Time, Time)> = labels["combined_windows"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|list| list.as_array().unwrap())
        .map(|window| {
            let at = |i: usize| Time::parse_in(window[i].as_str().unwrap(), &Zone::utc()).unwrap();
            (at(0), at(1))
        })
        .collect();
    assert_eq!(windows.len(), 4);

    let found = activations(&text, "Low 55, High 105, Deadband 5, OnDelay 60 min");
    let times: Vec<String> = found.iter().map(|event| event.time.to_string()).collect();
    assert_eq!(
        times,
        [
            "2013-12-10T07:50:00Z",
            "2013-12-16T06:45:00Z",
            "2013-12-26T16:20:00Z",
            "2014-01-05T16:45:00Z",
            "2014-01-28T14:15:00Z",
            "2014-01-29T14:55:00Z",
            "2014-01-30T18:00:00Z",
            "2014-02-03T07:00:00Z",
            "2014-02-07T18:40:00Z",
        ]
    );
    let inside = |event: &&Event| windows.iter().any(|(from, to)| (*from..=*to).contains(&event.time));
    assert_eq!(found.iter().filter(inside).count(), 4);
    for (from, to) in &windows {
        assert!(found.iter().any(|event| (*from..=*to).contains(&event.time)), "{from} to {to}");
    }

    assert_eq!(activations(&text, "Low 55, High 105, Deadband 5").len(), 12);
}
