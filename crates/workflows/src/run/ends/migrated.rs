//! Runs that go over to the definition in force: nothing is done twice, and what does not fit is refused.

use super::remedied::{asked, remedy, retry};
use super::{ask, effects, on_alarm, same_whatever_ends, with_settings};
use crate::run::world::{Maker, World, answer};
use crate::run::{Acted, What};
use crate::testing::plant::contract;
use andon_contract::Contract;
use andon_model::OutcomeClass;
use andon_store::rows::{CallState, RunState};
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn maker(revision: &'static str, tasks: Json) -> Maker {
    Arc::new(move || {
        let contract = Contract { revision: revision.into(), ..contract(&[("story", on_alarm(&tasks))]) };
        with_settings(contract, "story", |definition| definition.hash = revision.into())
    })
}

fn world(tasks: &Json) -> World {
    let mut world = World::of(maker("r1", tasks.clone()));
    world.event(1, "m-1", json!({"change": "activated", "n": 1}));
    world
}

fn migrate(world: &mut World, dry_run: bool) -> Acted {
    let run = world.runs()[0].id;
    asked(world, What::Migrate { run, dry_run })
}

#[test]
fn a_fault_of_the_workflow_is_corrected_and_the_run_goes_on_where_it_stood() {
    let bad = |expression: &str| {
        json!([{"a": ask("key", "${ .n }")},
            {"b": {"do": [{"k": ask("lookup", "${ .n + 1 }")}], "output": {"as": expression}}},
            {"c": ask("key", "${ .n + 5 }")}])
    };
    let live = |world: &mut World| {
        world.finish();
        world.change(maker("r2", bad("{ n: 10 }")));
        while world.runs()[0].revision != "r2" {
            let run = world.runs()[0].id;
            let (by, reason) = ("eva".into(), "corrected".into());
            world.runner.act(crate::run::Act { token: 1, by, reason, what: What::Migrate { run, dry_run: false } });
            world.settle();
        }
        remedy(world, "corrected", &retry);
    };
    let (plain, told) = same_whatever_ends(&|| world(&bad("${ error(\"no\") }")), &live);
    assert_eq!((plain.runs()[0].state, told.states.as_slice()), (RunState::Completed, &["resolved"][..]));
    assert_eq!(effects(&plain), [1, 2, 15]);
    let acts: Vec<_> = plain.store.audit(0, 10).unwrap().into_iter().map(|audited| audited.row.act).collect();
    assert_eq!(acts, ["run.migrate", "exception.retry"]);
}

#[test]
fn a_call_that_the_workflow_made_wrongly_is_made_anew_after_the_run_went_over() {
    let of = |n: &str| json!([{"a": ask("key", "${ .n }")}, {"b": ask("lookup", n)}]);
    let make = || {
        let mut world = world(&of("${ .n + 1 }"));
        world.office.refuses.insert(2, answer(OutcomeClass::Validation, true, Some(422), "no such thing"));
        world
    };
    let live = |world: &mut World| {
        world.finish();
        world.change(maker("r2", of("${ .n + 50 }")));
        while world.runs()[0].revision != "r2" {
            let run = world.runs()[0].id;
            let (by, reason) = ("eva".into(), "corrected".into());
            world.runner.act(crate::run::Act { token: 1, by, reason, what: What::Migrate { run, dry_run: false } });
            world.settle();
        }
        remedy(world, "corrected", &retry);
    };
    let (plain, told) = same_whatever_ends(&make, &live);
    assert_eq!((plain.runs()[0].state, told.states.as_slice()), (RunState::Completed, &["resolved"][..]));
    assert_eq!(effects(&plain), [1, 51]);
    let new = plain.calls().into_iter().find(|call| call.edit == 1).unwrap();
    let old = plain.calls().into_iter().find(|call| call.input["n"] == 2).unwrap();
    assert_eq!((new.supersedes, old.state), (Some(old.id), CallState::Refused));
}

#[test]
fn a_run_that_waits_goes_over_and_what_does_not_fit_is_named() {
    let first = json!([{"a": ask("key", "${ .n }")}, {"pause": {"wait": "1 h"}}, {"b": ask("key", "${ .n + 1 }")}]);
    let mut world = world(&first);
    let sent = world.settle();
    world.serve(&sent);
    world.settle();
    assert!(matches!(migrate(&mut world, false), Acted::Refused(why) if why.contains("in force already")));
    let cases = [
        (json!([{"a": ask("key", "${ .n }")}, {"pause": {"set": {"n": 1}}}]), "is `set` in it, and was `wait`"),
        (json!([{"z": ask("key", "${ .n }")}, {"pause": {"wait": "1 h"}}]), "there is no task /do/0/a in it"),
        (json!([{"a": ask("key", "${ .n }")}]), "there is no task /do/1/pause in it"),
    ];
    for (revision, (tasks, why)) in ["r2", "r3", "r4"].into_iter().zip(cases) {
        world.change(maker(revision, tasks));
        let Acted::Refused(text) = migrate(&mut world, false) else { panic!("{why}") };
        assert!(text.contains(why), "{text}");
    }
    let fits = json!([{"a": ask("key", "${ .n }")}, {"pause": {"wait": "2 h"}}, {"b": ask("key", "${ .n + 7 }")}]);
    world.change(maker("r5", fits));
    let waiting = world.runs();
    assert!(matches!(migrate(&mut world, true), Acted::Done(_)));
    assert_eq!(world.runs(), waiting, "nothing is changed");
    assert!(matches!(migrate(&mut world, false), Acted::Done(_)));
    world.crash(&[]);
    world.finish();
    assert_eq!((world.runs()[0].state, effects(&world)), (RunState::Completed, vec![1, 8]));
}
