//! The workflows of the examples: the process ends at every commit of their runs, and they end alike all the same.

use super::End;
use super::constructs::told;
use super::schedules::run_of_event;
use super::world::World;
use andon_contract::Contract;
use andon_model::{Event, EventId, Key, SiteName, Time};
use andon_store::rows::{RunState, Write};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
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

/// An event of an asset, or of something else of its site.
fn event(id: EventId, kind: &str, subject: &str, (site, now): (&SiteName, Time), data: Json) -> Write {
    let event = Event {
        id,
        kind: kind.into(),
        source: format!("/{site}/plant"),
        time: now,
        subject: subject.into(),
        schema: format!("andon:{kind}/1.0"),
        site: site.clone(),
        key: subject.into(),
        correlation: id,
        causation: None,
        recorded: now,
        data,
    };
    Write::Event(Box::new(event), None)
}

/// What the systems of the packaging line answer, as far as its workflow goes by it.
fn answers() -> BTreeMap<&'static str, Json> {
    let order = json!({"number": "1000123", "batch": "B-1", "material": "pouch", "customer": "c-1"});
    let plan = json!({"late": true, "promised": "2026-11-22T12:00:00Z", "finish": "2026-11-22T14:00:00Z"});
    let stock = json!({"available": {"value": "1", "unit": "1"}});
    BTreeMap::from([
        ("s4.read-order", order.clone()),
        ("legacy-erp.read-order", order),
        ("wms.stock", stock),
        ("planning.disrupt", plan.clone()),
        ("planning.reschedule", plan),
    ])
}

/// An alarm for every asset of an example, and what comes of it in time: the repair, the return, the result.
fn world(contract: Contract) -> World {
    let mut world = World::new(contract);
    world.office.answers = answers();
    let assets = world.contract.assets.clone();
    for (number, (name, asset)) in assets.iter().enumerate() {
        let shakes = world.contract.classes.get(&asset.class).is_some_and(|of| of.signals.contains_key("vibration"));
        let signal = if shakes { "vibration" } else { "temperature" };
        let id = EventId::derived(&[b"alarm", &number.to_le_bytes()]);
        let evidence = json!({"rule": "r", "version": "9f2c", "samples": {
            "from": "1:0", "to": "1:12", "count": 13, "hash": "00"}});
        let at = (&asset.site, world.now);
        let data = json!({"change": "activated", "state": "active", "condition": "limit", "limit": "High",
            "severity": 700, "signal": signal, "since": "2026-11-22T07:00:00Z", "evidence": evidence,
            "value": {"value": "106.2", "unit": "Cel"}, "setting": {"value": "105", "unit": "Cel"},
            "context": {"order": format!("ProductionOrder/{}/1000123", asset.site), "revision": 1}});
        let run = run_of_event("line-at-risk", id);
        let request = Key::of_task(run, "/do/0/request", "", 0).reference();
        let derived = |what: &str| EventId::derived(&[what.as_bytes(), &number.to_le_bytes()]);
        let done = json!({"object": {"state": "completed"}});
        let subject = format!("MaintenanceRequest/{}/{request}", asset.site);
        let result = json!({"object": {"lot": "B-1", "number": "R-1", "verdict": "pass"}});
        world
            .store
            .commit(vec![
                event(id, "asset.alarm", name.as_str(), at, data),
                event(derived("done"), "maintenance-request.changed", &subject, at, done),
                event(
                    derived("returned"),
                    "asset.alarm",
                    name.as_str(),
                    at,
                    json!({"change": "returned", "signal": signal}),
                ),
                event(derived("result"), "inspection-result.changed", "InspectionResult/R-1", at, result),
            ])
            .unwrap();
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
        assert!(plain.runs().iter().all(|run| run.state == RunState::Completed), "{name}: {:#?}", plain.exceptions());
        let called: BTreeSet<String> = plain.calls().into_iter().map(|call| call.capability).collect();
        let last = name != "packaging-line" || called.contains("supply.tell-supplier");
        assert!(last, "it does not come to its last task: {called:?}");
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
