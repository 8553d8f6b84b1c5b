//! The workflows of the examples: the process ends at every commit of their runs, and they end alike all the same.

use super::End;
use super::constructs::told;
use super::world::World;
use andon_contract::Contract;
use andon_model::{Event, EventId};
use andon_store::rows::Write;
use serde_json::json;
use std::path::PathBuf;

/// The examples that have workflows, by name.
fn examples() -> Vec<(String, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let with = entries.filter(|entry| entry.path().join("workflows").is_dir());
    let mut found: Vec<_> = with.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path())).collect();
    found.sort();
    found
}

/// An alarm for every asset of an example.
fn world(contract: Contract) -> World {
    let world = World::new(contract);
    let assets = world.contract.assets.clone();
    for (number, (name, asset)) in assets.iter().enumerate() {
        let shakes = world.contract.classes.get(&asset.class).is_some_and(|of| of.signals.contains_key("vibration"));
        let signal = if shakes { "vibration" } else { "temperature" };
        let id = EventId::derived(&[b"alarm", &number.to_le_bytes()]);
        let evidence = json!({"rule": "r", "version": "9f2c", "samples": {
            "from": "1:0", "to": "1:12", "count": 13, "hash": "00"}});
        let event = Event {
            id,
            kind: "asset.alarm".into(),
            source: format!("/{}/rules/r", asset.site),
            time: world.now,
            subject: name.to_string(),
            schema: "andon:asset.alarm/1.0".into(),
            site: asset.site.clone(),
            key: name.to_string(),
            correlation: id,
            causation: None,
            recorded: world.now,
            data: json!({"change": "activated", "state": "active", "condition": "limit", "limit": "High",
                "severity": 700, "signal": signal, "since": "2026-11-22T07:00:00Z", "evidence": evidence,
                "value": {"value": "106.2", "unit": "Cel"}, "setting": {"value": "105", "unit": "Cel"}}),
        };
        world.store.commit(vec![Write::Event(Box::new(event), None)]).unwrap();
    }
    world
}

#[test]
fn the_workflows_of_the_examples_end_alike_wherever_their_process_ends() {
    let examples = examples();
    assert!(examples.len() >= 2, "{examples:?}");
    for (name, folder) in examples {
        let contract = || andon_contract::load(&folder).expect("an example is a project").contract;
        let mut plain = world(contract());
        plain.finish();
        let expected = told(&plain);
        assert!(!expected.runs.is_empty() && !plain.office.effects.is_empty(), "{name}: {expected:?}");
        for (seed, side) in (0..3).flat_map(|seed| [(seed, End::Before), (seed, End::After)]) {
            for end in 1.. {
                let mut world = world(contract());
                world.chance = seed;
                world.runner.ends = Some((end, side));
                world.finish();
                let why = format!("{name}: seed {seed}, the process ends {side:?} commit {end}");
                assert_eq!(told(&world), expected, "{why}");
                assert!(world.office.effects.values().all(|count| *count == 1), "{why}");
                if world.crashes == 0 {
                    break;
                }
            }
        }
    }
}
