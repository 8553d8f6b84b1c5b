//! What is pinned to a run and what is live: the project changes while runs and calls wait.

use super::world::{Maker, World, answer};
use crate::testing::plant::{contract, name, route};
use andon_contract::Contract;
use andon_contract::contract::{Address, OwnershipLine};
use andon_model::{OutcomeClass, Schemas, span::Span};
use andon_store::rows::RunState;
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn on_alarm(tasks: &Json) -> Json {
    json!({"schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}}, "input": {"from": "{ n: .[0].data.n }"},
    "do": tasks})
}

fn waits_and_asks(more: i64) -> Json {
    on_alarm(&json!([
        {"pause": {"wait": "1 h"}},
        {"ask": {"call": "work.key", "with": {"n": format!("${{ .n + {more} }}"), "asset": "m-1"}}},
        {"gave": {"set": {"more": more}}}]))
}

fn of(revision: &'static str, story: Json, change: fn(&mut Contract)) -> Maker {
    Arc::new(move || {
        let mut contract = Contract { revision: revision.into(), ..contract(&[("story", story.clone())]) };
        change(&mut contract);
        contract
    })
}

fn activated(n: u64) -> Json {
    json!({"change": "activated", "n": n})
}

#[test]
fn a_thousand_runs_that_wait_end_on_the_definition_they_began_with() {
    const RUNS: u64 = 1_000;
    let mut world = World::of(of("r1", waits_and_asks(1_000), |_| {}));
    for n in 0..RUNS {
        world.event(n, &format!("m-{n}"), activated(n));
    }
    assert!(world.settle().is_empty());
    world.change(of("r2", waits_and_asks(2_000), |contract| {
        // The address is mended, and what the old runs need of schemas and capabilities is gone from the project.
        contract.systems.get_mut(&name("eam")).unwrap().base = Address { env: None, default: "http://mended".into() };
        let capability = contract.capabilities.remove("work.key").unwrap();
        contract
            .capabilities
            .insert("work.key@2".into(), andon_contract::contract::Capability { version: 2, ..capability });
        let key = name("key");
        contract.systems.get_mut(&name("eam")).unwrap().operations.get_mut(&key).unwrap().implements =
            "work.key".into();
        contract.schemas = Schemas::with(vec![
            ("Work".into(), "1.0".into(), json!({"type": "object"})),
            ("work.done".into(), "1.0".into(), json!({"type": "object"})),
        ])
        .unwrap();
    }));
    world.crash(&[]);
    for n in RUNS..2 * RUNS {
        world.event(n, &format!("m-{n}"), activated(n));
    }
    world.finish();
    let runs = world.runs();
    let (old, new): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.revision == "r1");
    assert_eq!(old.len(), 1_000);
    assert!(old.iter().all(|run| run.state == RunState::Completed && run.output == Some(json!({"more": 1_000}))));
    assert_eq!(new.len(), 1_000);
    // The new definition names a capability that the new contract has no longer: its runs say so.
    assert!(new.iter().all(|run| run.state == RunState::Faulted));
    assert_eq!(world.office.effects.len(), 1_000);
}

#[test]
fn the_next_attempt_of_an_old_run_goes_where_the_project_says_now() {
    let mut world = World::of(of("r1", waits_and_asks(0), |_| {}));
    world.event(1, "m-1", activated(1));
    world.settle();
    world.pass(Span::from_secs(3_600));
    let sent = world.settle();
    assert_eq!(sent[0].prepared.url, "http://eam/key");
    world.reply(&sent[0], answer(OutcomeClass::Transient, false, None, "no connection"));
    world.settle();
    // While the call waits for its next attempt, its route leads elsewhere.
    world.change(of("r2", waits_and_asks(9), |contract| {
        contract.routes.retain(|route| route.capability != "work.key");
        contract.routes.push(route("work.key", "second.key", &[]));
    }));
    world.pass(Span::from_secs(60));
    let sent = world.settle();
    assert_eq!(sent[0].prepared.url, "http://second/key");
    // An answer that comes under yet another contract counts; nothing is stranded.
    world.change(of("r3", on_alarm(&json!([{"other": {"set": {"n": 1}}}])), |contract| contract.routes.clear()));
    world.serve(&sent);
    world.finish();
    assert_eq!(world.runs()[0].output, Some(json!({"more": 0})));
}

#[test]
fn an_owner_that_is_named_while_a_run_waits_is_told() {
    let story = on_alarm(&json!([{"pause": {"wait": "1 h"}},
        {"bad": {"raise": {"error": {"type": "t", "status": 500}}}}]));
    let mut world = World::of(of("r1", story.clone(), |_| {}));
    world.event(1, "m-1", activated(1));
    world.settle();
    world.change(of("r2", story, |contract| {
        contract.ownership.lines = vec![OwnershipLine::everything(name("planning"))];
    }));
    world.finish();
    assert_eq!(world.exceptions()[0].owner, name("planning"));
}

#[test]
fn a_workflow_that_is_gone_from_the_project_ends_the_runs_it_has_begun() {
    let mut world = World::of(of("r1", waits_and_asks(3), |_| {}));
    world.event(1, "m-1", activated(1));
    world.settle();
    world.change(of("r2", waits_and_asks(3), |contract| contract.workflows.clear()));
    world.event(2, "m-2", activated(2));
    world.crash(&[]);
    world.finish();
    assert_eq!(world.runs().len(), 1);
    assert_eq!(world.runs()[0].output, Some(json!({"more": 3})));
}
