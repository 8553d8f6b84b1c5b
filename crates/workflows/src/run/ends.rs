//! Stories of runs that start others, that are cancelled, that undo what they have done, and that wait for a place or
//! for their definition: with the process ending at every commit.

use super::constructs::{Told, told};
use super::world::{Maker, World, answer};
use super::{Act, Acted, End, What};
use crate::testing::plant::contract;
use andon_contract::Contract;
use andon_contract::workflow::Definition;
use andon_model::{OutcomeClass, RunId, span::Span};
use andon_store::rows::RunState;
use serde_json::{Value as Json, json};
use std::sync::Arc;

mod cancelled;
mod migrated;
pub(super) mod remedied;
mod replayed;

fn on_alarm(tasks: &Json) -> Json {
    json!({
        "schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}},
        "input": {"from": "{ n: .[0].data.n }"},
        "do": tasks,
    })
}

fn plain(tasks: &Json) -> Json {
    json!({"do": tasks})
}

fn ask(class: &str, n: &str) -> Json {
    json!({"call": format!("work.{class}"), "with": {"n": n, "asset": "m-1"}, "output": {"as": "{ n: $input.n }"}})
}

/// A call that something undoes: with 100 more than what it had.
fn undone(class: &str, n: &str) -> Json {
    let mut task = ask(class, n);
    task["metadata"] = json!({"compensate": [{"undo": ask("key", "${ .input.n + 100 }")}]});
    task
}

fn run(name: &str, wait: bool) -> Json {
    json!({"run": {"await": wait, "workflow": {"namespace": "test", "name": name, "version": "1.0.0",
    "input": {"n": "${ .n }"}}}})
}

fn with_settings(mut contract: Contract, name: &str, change: impl Fn(&mut Definition)) -> Contract {
    let name = crate::testing::plant::name(name);
    let definition = contract.workflows.get_mut(&name).unwrap();
    change(Arc::make_mut(definition));
    contract
}

fn world(contract: Contract) -> World {
    let mut world = World::new(contract);
    world.event(1, "m-1", json!({"change": "activated", "n": 1}));
    world
}

fn cancel(world: &mut World, run: RunId, compensate: bool) {
    let (by, reason) = ("eva".to_owned(), "the order was withdrawn".to_owned());
    world.runner.act(Act { token: 7, by, reason, what: What::Cancel { run, compensate } });
}

/// What the story did, undisturbed and with the process ending at each commit: always the same.
fn same_whatever_ends(make: &dyn Fn() -> World, live: &dyn Fn(&mut World)) -> (World, Told) {
    let mut plain = make();
    live(&mut plain);
    let expected = told(&plain);
    for seed in 0..2 {
        for side in [End::Before, End::After] {
            for end in 1.. {
                let mut world = make();
                world.chance = seed;
                world.runner.ends = Some((end, side));
                live(&mut world);
                let why = format!("seed {seed}, the process ends {side:?} commit {end}");
                assert_eq!(told(&world), expected, "{why}");
                assert!(world.office.effects.values().all(|count| *count == 1), "{why}");
                if world.crashes == 0 {
                    break;
                }
            }
        }
    }
    (plain, expected)
}

fn state_of(world: &World, workflow: &str) -> RunState {
    world.runs().iter().find(|run| run.workflow == workflow).unwrap().state
}

/// The values of `n` of all calls that had an effect, in the order in which they were made.
fn effects(world: &World) -> Vec<i64> {
    let mut calls = world.calls();
    calls.retain(|call| world.office.effects.contains_key(&call.reference));
    calls.sort_by_key(|call| call.created);
    calls.iter().map(|call| call.input["n"].as_i64().unwrap()).collect()
}

#[test]
fn a_child_runs_in_its_parent_and_gives_its_output() {
    let make = || {
        let parent = on_alarm(&json!([{"sub": run("child", true)}, {"k": ask("key", "${ .n }")}]));
        let child = plain(&json!([{"l": ask("lookup", "${ .n }")}, {"more": {"set": {"n": "${ .n + 10 }"}}}]));
        world(contract(&[("parent", parent), ("child", child)]))
    };
    let (plain, told) = same_whatever_ends(&make, &World::finish);
    assert_eq!(effects(&plain), [1, 11]);
    assert_eq!(
        (told.runs.len(), state_of(&plain, "parent"), state_of(&plain, "child")),
        (2, RunState::Completed, RunState::Completed)
    );
    let runs = plain.runs();
    let (parent, child) = (&runs[0], &runs[1]);
    assert_eq!(parent.output, Some(json!({"n": 11})));
    let of = child.parent.clone().unwrap();
    assert_eq!((of.run, of.pointer.as_str(), of.wait, of.depth), (parent.id, "/do/0/sub", true, 1));
    assert_eq!((child.correlation, &child.revision), (parent.correlation, &parent.revision));
}

#[test]
fn nobody_waits_for_a_child_that_is_not_awaited() {
    let make = || {
        let parent = on_alarm(&json!([{"sub": run("child", false)}, {"k": ask("key", "${ .n }")}]));
        let child = plain(&json!([{"pause": {"wait": "1 h"}}, {"l": ask("lookup", "${ .n + 5 }")}]));
        world(contract(&[("parent", parent), ("child", child)]))
    };
    let (plain, _) = same_whatever_ends(&make, &World::finish);
    assert_eq!(effects(&plain), [1, 6]);
    let runs = plain.runs();
    assert_eq!(runs[0].output, Some(json!({"n": 1})), "the input goes on");
    assert!(runs[0].updated < runs[1].updated);
}

#[test]
fn the_error_of_a_child_is_raised_in_its_parent_and_a_repeated_task_takes_the_same_child_up_again() {
    let make = || {
        let parent = on_alarm(&json!([{"guard": {
            "try": [{"sub": run("child", true)}],
            "catch": {"as": "e", "retry": {"delay": "1 s", "limit": {"attempt": {"count": 3}}},
                      "do": [{"late": ask("upsert", "${ $e.status }")}]}}}]));
        let child = plain(&json!([{"k": ask("key", "${ .n }")},
            {"bad": {"raise": {"error": {"type": "t", "status": 503, "detail": "no"}}}}]));
        world(contract(&[("parent", parent), ("child", child)]))
    };
    let (plain, _) = same_whatever_ends(&make, &World::finish);
    assert_eq!(effects(&plain), [1, 503], "what the child has done is done once, whatever the passes");
    assert_eq!(plain.runs().len(), 2);
    assert!(plain.exceptions().is_empty(), "the parent has caught it");
    let error = plain.runs()[1].error.clone().unwrap();
    assert_eq!(error["instance"], "/do/1/bad");
}

#[test]
fn runs_that_start_themselves_end_at_the_limit() {
    let parent = on_alarm(&json!([{"sub": run("child", true)}]));
    let child = plain(&json!([{"sub": run("child", true)}]));
    let mut world = world(contract(&[("parent", parent), ("child", child)]));
    world.finish();
    assert_eq!(world.runs().len(), 17);
    assert!(world.runs().iter().all(|run| run.state == RunState::Faulted));
    assert_eq!(world.exceptions().len(), 1, "only the outermost is told");
    assert!(world.exceptions()[0].detail.contains("16 runs stand above this one"), "{:?}", world.exceptions());
}

#[test]
fn a_cancelled_run_ends_with_its_children_and_makes_no_further_call() {
    let make = || {
        let parent = on_alarm(&json!([{"side": {"fork": {"branches": [
            {"sub": run("child", true)}, {"later": {"do": [{"pause": {"wait": "2 h"}}, {"k": ask("key",
            "${ .n }")}]}}]}}}]));
        let child =
            plain(&json!([{"l": ask("lookup", "${ .n }")}, {"pause": {"wait": "1 h"}}, {"k": ask("key", "${ .n }")}]));
        world(contract(&[("parent", parent), ("child", child)]))
    };
    let mut plain = make();
    let requests = plain.settle();
    plain.serve(&requests);
    plain.settle();
    let run = plain.runs()[0].id;
    cancel(&mut plain, run, false);
    plain.settle();
    assert_eq!(plain.runner.take_acted(), [(7, Acted::run(run, RunState::Cancelled))]);
    cancel(&mut plain, run, false);
    plain.settle();
    assert_eq!(plain.runner.take_acted(), [(7, Acted::Ended(RunState::Cancelled))]);
    plain.finish();
    assert_eq!(effects(&plain), [1]);
    assert!(plain.runs().iter().all(|run| run.state == RunState::Cancelled && run.cancel.is_some()));
}

#[test]
fn what_is_under_way_when_a_run_is_cancelled_comes_to_its_end_and_is_recorded() {
    let mut world = world(contract(&[("story", on_alarm(&json!([{"l": ask("lookup", "${ .n }")}])))]));
    let requests = world.settle();
    let run = world.runs()[0].id;
    cancel(&mut world, run, false);
    assert!(world.settle().is_empty());
    assert_eq!(world.runs()[0].state, RunState::Cancelled);
    world.serve(&requests);
    world.finish();
    assert_eq!(world.calls()[0].state.word(), "delivered");
    assert_eq!(world.runs()[0].state, RunState::Cancelled);
}

fn saga() -> Contract {
    contract(&[(
        "story",
        on_alarm(&json!([
            {"a": undone("key", "${ .n }")},
            {"each": {"for": {"in": "[20, 30]"}, "do": [{"b": undone("lookup", "${ $item }")}]}},
            {"c": undone("upsert", "${ .n + 3 }")},
            {"pause": {"wait": "1 h"}},
            {"bad": {"raise": {"error": {"type": "t", "status": 418}}}}])),
    )])
}

#[test]
fn a_fault_undoes_what_was_done_the_last_first() {
    let make = || world(with_settings(saga(), "story", |definition| definition.settings.compensate = true));
    let (plain, told) = same_whatever_ends(&make, &World::finish);
    // The input of `b` is that of the task, not what its call was given.
    assert_eq!(effects(&plain), [1, 20, 30, 4, 101, 101, 101, 101]);
    assert_eq!(told.exceptions, ["faulted"]);
    let undo: Vec<_> = plain.tasks().into_iter().filter(|task| task.pointer.contains("compensate")).collect();
    let places: Vec<_> = undo.iter().map(|task| (task.pointer.as_str(), task.iteration.as_str())).collect();
    assert_eq!(
        places,
        [
            ("/do/2/c/metadata/compensate/0/undo", ""),
            ("/do/1/each/do/0/b/metadata/compensate/0/undo", "0i1/0/0"),
            ("/do/1/each/do/0/b/metadata/compensate/0/undo", ""),
            ("/do/0/a/metadata/compensate/0/undo", ""),
        ]
    );
}

#[test]
fn the_effects_of_branches_that_lost_are_undone_also_those_that_come_later() {
    let make = || {
        world(contract(&[(
            "story",
            on_alarm(&json!([{"race": {"fork": {"compete": true, "branches": [
                {"quick": {"do": [{"pause": {"wait": "1 s"}}, {"won": {"set": {"n": 7}}}]}},
                {"done": {"do": [{"a": undone("key", "${ .n + 1 }")}, {"pause": {"wait": "1 h"}}]}}]}}},
                {"pause": {"wait": "1 h"}}])),
        )]))
    };
    let (plain, _) = same_whatever_ends(&make, &World::finish);
    assert_eq!(effects(&plain), [2, 101]);
    assert_eq!((plain.runs()[0].state, &plain.runs()[0].output), (RunState::Completed, &Some(json!({"n": 7}))));
    // The answer comes after the race is over, and after the run could have ended.
    let mut late = world(contract(&[(
        "story",
        on_alarm(&json!([{"race": {"fork": {"compete": true, "branches": [
            {"quick": {"do": [{"pause": {"wait": "1 s"}}, {"won": {"set": {"n": 7}}}]}},
            {"slow": undone("key", "${ .n + 1 }")}]}}}])),
    )]));
    let requests = late.settle();
    assert_eq!(requests.len(), 1);
    late.pass(Span::from_secs(2));
    assert!(late.settle().is_empty());
    assert_eq!(late.runs()[0].state, RunState::Waiting, "it waits for what it may have to undo");
    late.serve(&requests);
    late.finish();
    assert_eq!((late.runs()[0].state, &late.runs()[0].output), (RunState::Completed, &Some(json!({"n": 7}))));
    assert_eq!(effects(&late), [2, 101]);
}

#[test]
fn what_was_undone_and_is_repeated_is_done_again_and_undone_again() {
    let mut packed = json!({"do": [{"a": ask("key", "${ .n + 1 }")}]});
    packed["metadata"] = json!({"compensate": [{"undo": ask("key", "${ .input.n + 200 }")}]});
    let make = || {
        world(contract(&[(
            "story",
            on_alarm(&json!([{"guard": {
                "try": [
                    {"race": {"fork": {"compete": true, "branches": [
                        {"quick": {"do": [{"pause": {"wait": "1 s"}}, {"won": {"set": {"n": 7}}}]}},
                        {"done": {"do": [
                            {"pack": packed},
                            {"b": undone("upsert", "${ .n + 2 }")},
                            {"long": {"wait": "1 h"}}]}}]}}},
                    {"bad": {"raise": {"error": {"type": "t", "status": 503}}}}],
                "catch": {"retry": {"delay": "1 m", "limit": {"attempt": {"count": 3}}},
                          "do": [{"last": {"set": {"n": 9}}}]}}}])),
        )]))
    };
    let (plain, _) = same_whatever_ends(&make, &World::finish);
    assert_eq!(plain.runs()[0].output, Some(json!({"n": 9})));
    assert_eq!(effects(&plain), [2, 3, 101, 201].repeat(3));
    let again: Vec<_> =
        plain.calls().into_iter().filter(|call| call.input["n"] == 2).map(|call| call.iteration).collect();
    assert_eq!(again, ["", "0/0/0/0u1/0", "0/0/0/0u2/0"], "the tasks inside are others too");
}

#[test]
fn a_run_that_is_taken_up_makes_the_next_attempt_of_its_call() {
    let parent = on_alarm(&json!([{"guard": {"try": [{"sub": run("child", true)}],
        "catch": {"retry": {"delay": "1 s", "limit": {"attempt": {"count": 3}}}}}}]));
    let child = plain(&json!([{"k": ask("lookup", "${ .n }")}]));
    let mut world = world(contract(&[("parent", parent), ("child", child)]));
    let sent = world.settle();
    world.reply(&sent[0], answer(OutcomeClass::Conflict, true, Some(409), "it is locked"));
    world.finish();
    assert!(world.runs().iter().all(|run| run.state == RunState::Completed), "{:?}", world.runs());
    let attempts: Vec<_> =
        world.attempts(sent[0].request.call).iter().map(|of| (of.number, of.outcome.is_some())).collect();
    assert_eq!(attempts, [(1, true), (2, true)]);
    assert_eq!(effects(&world), [1]);
}

#[test]
fn what_cannot_be_undone_is_told_and_the_others_go_on() {
    let mut task = ask("key", "${ .n }");
    task["metadata"] =
        json!({"compensate": [{"no": {"raise": {"error": {"type": "t", "status": 409, "detail": "it is shipped"}}}}]});
    let story = on_alarm(&json!([{"a": undone("key", "${ .n }")}, {"b": task},
        {"bad": {"raise": {"error": {"type": "t", "status": 418}}}}]));
    let make =
        || world(with_settings(contract(&[("story", story.clone())]), "story", |d| d.settings.compensate = true));
    let (plain, told) = same_whatever_ends(&make, &World::finish);
    assert_eq!(told.exceptions, ["faulted", "not-undone"]);
    let row = plain.exceptions().into_iter().find(|row| row.fingerprint.starts_with("not-undone")).unwrap();
    assert_eq!(row.cause, "what the task /do/1/b of story has done is not undone");
    assert!(row.detail.contains("it is shipped"));
    assert_eq!(effects(&plain), [1, 1, 101]);
}

#[test]
fn runs_beyond_the_limit_wait_in_the_store_and_begin_in_their_order() {
    let make = || {
        let story = on_alarm(&json!([{"k": ask("key", "${ .n }")}, {"pause": {"wait": "1 h"}}]));
        let mut world =
            World::new(with_settings(contract(&[("story", story)]), "story", |d| d.settings.runs = Some(2)));
        for n in 1..=5 {
            world.event(n, "m-1", json!({"change": "activated", "n": n}));
        }
        world
    };
    let mut plain = make();
    plain.settle();
    let states: Vec<_> = plain.runs().iter().map(|run| run.state.word()).collect();
    assert_eq!(states, ["waiting", "waiting", "queued", "queued", "queued"]);
    assert!(plain.runs()[2].memory.is_null());
    let (plain, _) = same_whatever_ends(&make, &World::finish);
    assert!(plain.runs().iter().all(|run| run.state == RunState::Completed));
    assert_eq!(effects(&plain), [1, 2, 3, 4, 5]);
    let started: Vec<_> = plain.runs().iter().map(|run| run.started).collect();
    assert!(started.is_sorted() && started[0] < started[2] && started[2] < started[4]);
}

#[test]
fn a_revoked_definition_holds_its_runs_before_the_next_task_until_the_mark_is_gone() {
    let of = |revision: &'static str, reason: Option<&'static str>| -> Maker {
        Arc::new(move || {
            let story = on_alarm(&json!([{"a": ask("key", "${ .n }")}, {"b": ask("key", "${ .n + 1 }")}]));
            let contract = Contract { revision: revision.into(), ..contract(&[("story", story)]) };
            with_settings(contract, "story", |d| d.settings.revoked = reason.map(str::to_owned))
        })
    };
    let mut world = World::of(of("r1", None));
    world.event(1, "m-1", json!({"change": "activated", "n": 1}));
    world.event(2, "m-2", json!({"change": "activated", "n": 1}));
    let requests = world.settle();
    world.change(of("r2", Some("it books twice")));
    world.serve(&requests);
    assert!(world.settle().is_empty(), "nothing further is called");
    assert!(world.runs().iter().all(|run| run.state == RunState::Held));
    let told = world.exceptions();
    assert_eq!((told.len(), told[0].count, told[0].detail.as_str()), (1, 2, "it books twice"));
    // It stays so over a restart, and a person may end one of them.
    world.crash(&[]);
    assert!(world.settle().is_empty());
    let run = world.runs()[0].id;
    cancel(&mut world, run, false);
    world.settle();
    assert_eq!(world.runs()[0].state, RunState::Cancelled);
    world.change(of("r3", None));
    world.finish();
    assert_eq!(world.runs()[1].state, RunState::Completed);
    assert_eq!(effects(&world), [1, 1, 2]);
    assert!(world.calls().iter().all(|call| call.class == Some(OutcomeClass::Ok)));
}
