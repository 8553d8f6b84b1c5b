//! Runs that are cancelled and undo what they have done, with the process ending at every commit; and what becomes of
//! the calls that nobody waits for any more.

use super::{ask, cancel, effects, on_alarm, plain, run, saga, same_whatever_ends, undone, world};
use crate::run::Ready;
use crate::run::world::{World, answer};
use crate::testing::plant::contract;
use andon_model::{OutcomeClass, span::Span};
use andon_store::rows::{CallRow, CallState, RunState};
use serde_json::json;

/// Steps until nothing is left to do. Where the process ends meanwhile, some of the requests that were in the air have
/// reached the office, and their answers find nobody.
pub(super) fn settle(world: &mut World, in_the_air: &mut Vec<Ready>) {
    let crashes = world.crashes;
    let new = world.settle();
    if world.crashes > crashes {
        for ready in in_the_air.drain(..) {
            if world.draw(2) == 0 {
                world.office.serve(&ready);
            }
        }
    }
    in_the_air.extend(new);
}

/// Goes on until all stands so, and cancels the first run there, with what it has done undone. Calls with this `n` are
/// answered only after that. A cancel that was lost with its process is asked for again.
fn cancelled_where(world: &mut World, held: i64, stands: &dyn Fn(&World) -> bool) {
    let mut in_the_air = Vec::new();
    for _ in 0..1_000 {
        settle(world, &mut in_the_air);
        if stands(world) {
            break;
        }
        let is_held = |ready: &Ready| ready.request.input["n"] == held;
        let answered: Vec<Ready> = in_the_air.extract_if(.., |ready| !is_held(ready)).collect();
        world.serve(&answered);
        if answered.is_empty() {
            match world.runner.step(world.now) {
                Ok(progress) => world.now = progress.wake.map_or(world.now, |wake| wake.max(world.now)),
                Err(_) => world.crash(&std::mem::take(&mut in_the_air)),
            }
        }
    }
    assert!(stands(world), "{:?}", world.calls());
    while world.runs()[0].cancel.is_none() {
        let run = world.runs()[0].id;
        cancel(world, run, true);
        settle(world, &mut in_the_air);
    }
    world.serve(&in_the_air);
    world.finish();
}

/// The call with this `n`.
fn call_of(world: &World, n: i64) -> Option<CallRow> {
    world.calls().into_iter().find(|call| call.input["n"] == n)
}

fn is_delivered(world: &World, n: i64) -> bool {
    call_of(world, n).is_some_and(|call| call.state == CallState::Delivered)
}

#[test]
fn a_cancel_undoes_what_was_done_where_that_is_asked_for() {
    let live = |world: &mut World| cancelled_where(world, 0, &|world| is_delivered(world, 4));
    let (plain, _) = same_whatever_ends(&|| world(saga()), &live);
    assert_eq!(plain.runs()[0].state, RunState::Cancelled);
    assert_eq!(effects(&plain), [1, 20, 30, 4, 101, 101, 101, 101]);
}

#[test]
fn a_cancel_undoes_what_is_under_way_and_withdraws_what_stands_in_line() {
    for class in ["key", "upsert", "lookup"] {
        let make = || {
            let story = on_alarm(&json!([{"a": undone("key", "${ .n }")}, {"side": {"fork": {"branches": [
                {"b": undone(class, "${ .n + 1 }")},
                {"c": {"do": [{"pause": {"wait": "1 s"}}, {"d": undone(class, "${ .n + 2 }")}]}}]}}}]));
            world(contract(&[("story", story)]))
        };
        let live = |world: &mut World| cancelled_where(world, 2, &|world| call_of(world, 3).is_some());
        let (plain, _) = same_whatever_ends(&make, &live);
        assert_eq!(plain.runs()[0].state, RunState::Cancelled, "{class}");
        assert_eq!(effects(&plain), [1, 2, 101, 101], "{class}");
        let withdrawn = call_of(&plain, 3).unwrap();
        assert_eq!((withdrawn.state, withdrawn.attempts), (CallState::Skipped, 0), "{class}");
    }
}

#[test]
fn a_cancel_undoes_what_the_runs_have_done_that_the_run_has_started() {
    let make = || {
        let parent = on_alarm(
            &json!([{"a": undone("key", "${ .n }")}, {"free": run("other", false)}, {"sub": run("child", true)}]),
        );
        let child = plain(&json!([
            {"k": undone("key", "${ .n + 10 }")},
            {"l": undone("lookup", "${ .n + 20 }")},
            {"pause": {"wait": "1 h"}}]));
        let other = plain(&json!([{"u": undone("upsert", "${ .n + 30 }")}, {"pause": {"wait": "1 h"}}]));
        world(contract(&[("parent", parent), ("child", child), ("other", other)]))
    };
    let live = |world: &mut World| {
        cancelled_where(world, 0, &|world| [1, 11, 21, 31].iter().all(|n| is_delivered(world, *n)));
    };
    let (plain, told) = same_whatever_ends(&make, &live);
    assert!(told.runs.iter().all(|(_, state, _, _)| *state == RunState::Cancelled), "{told:?}");
    let mut effects = effects(&plain);
    effects.sort_unstable();
    assert_eq!(effects, [1, 11, 21, 31, 101, 101, 101, 101]);
}

#[test]
fn a_call_that_surely_had_no_effect_is_withdrawn_with_its_run() {
    let nothing = [
        answer(OutcomeClass::Transient, false, None, "connection refused"),
        answer(OutcomeClass::Transient, true, Some(503), "come back later"),
        answer(OutcomeClass::Limit, true, Some(429), "too many"),
    ];
    for (class, compensate) in ["key", "lookup", "none"].into_iter().flat_map(|class| [(class, true), (class, false)]) {
        for outcome in &nothing {
            let mut world = world(contract(&[("story", on_alarm(&json!([{"a": undone(class, "${ .n }")}])))]));
            let sent = world.settle();
            world.reply(&sent[0], outcome.clone());
            assert!(world.settle().is_empty());
            let run = world.runs()[0].id;
            cancel(&mut world, run, compensate);
            assert!(world.settle().is_empty());
            let why = format!("{class}, {compensate}, {outcome:?}");
            assert_eq!(world.runs()[0].state, RunState::Cancelled, "at once: {why}");
            let call = &world.calls()[0];
            assert_eq!((call.state, call.attempts), (CallState::Skipped, 1), "{why}");
            world.pass(Span::from_secs(100_000));
            assert!(world.settle().is_empty(), "nothing is sent any more: {why}");
            world.crash(&[]);
            assert!(world.settle().is_empty(), "nor after the next start: {why}");
        }
    }
}

#[test]
fn a_call_that_may_have_had_its_effect_is_brought_to_its_end_although_its_run_was_cancelled() {
    for (class, compensate) in ["key", "lookup"].into_iter().flat_map(|class| [(class, true), (class, false)]) {
        for has_effect in [true, false] {
            let mut world = world(contract(&[("story", on_alarm(&json!([{"a": undone(class, "${ .n }")}])))]));
            let sent = world.settle();
            if has_effect {
                world.office.serve(&sent[0]);
            }
            world.reply(&sent[0], answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
            assert!(world.settle().is_empty());
            let run = world.runs()[0].id;
            cancel(&mut world, run, compensate);
            world.finish();
            let why = format!("{class}, {compensate}, {has_effect}");
            assert_eq!(world.runs()[0].state, RunState::Cancelled, "{why}");
            assert_eq!(call_of(&world, 1).map(|call| call.state), Some(CallState::Delivered), "{why}");
            assert_eq!(effects(&world), if compensate { vec![1, 101] } else { vec![1] }, "{why}");
            assert!(world.office.effects.values().all(|count| *count == 1), "{why}");
        }
    }
}

#[test]
fn a_call_that_was_withdrawn_holds_up_no_end() {
    let story = on_alarm(&json!([{"race": {"fork": {"compete": true, "branches": [
        {"first": {"do": [{"k": ask("key", "${ .n }")}, {"long": {"wait": "1 h"}}]}},
        {"behind": {"do": [{"pause": {"wait": "1 s"}}, {"u": undone("key", "${ .n + 1 }")}]}},
        {"quick": {"do": [{"pause": {"wait": "2 s"}}, {"won": {"set": {"n": 7}}}]}}]}}}]));
    let mut world = world(contract(&[("story", story)]));
    let sent = world.settle();
    for _ in 0..2 {
        world.pass(Span::from_secs(1));
        assert!(world.settle().is_empty(), "it stands in line");
    }
    let run = &world.runs()[0];
    assert_eq!((run.state, &run.output), (RunState::Completed, &Some(json!({"n": 7}))));
    world.serve(&sent);
    world.finish();
    assert_eq!(effects(&world), [1]);
}

#[test]
fn a_task_that_is_repeated_while_its_call_is_under_way_waits_for_the_same_attempt() {
    for class in ["key", "lookup", "none"] {
        let mut task = undone(class, "${ .n }");
        task["timeout"] = json!({"after": "2 s"});
        let story = on_alarm(&json!([{"guard": {"try": [{"k": task}],
            "catch": {"retry": {"delay": "1 s", "limit": {"attempt": {"count": 4}}}}}}, {"pause": {"wait": "1 h"}}]));
        let mut world = world(contract(&[("story", story)]));
        let sent = world.settle();
        assert_eq!(sent.len(), 1);
        for _ in 0..7 {
            world.pass(Span::from_secs(1));
            assert!(world.settle().is_empty(), "{class}: it is under way");
        }
        world.serve(&sent);
        assert!(world.settle().is_empty());
        assert!(is_delivered(&world, 1), "{class}");
        assert_eq!(world.calls()[0].attempts, 1, "{class}");
        let run = world.runs()[0].id;
        cancel(&mut world, run, true);
        world.finish();
        assert_eq!(
            (effects(&world), world.runs()[0].state),
            (vec![1, 101], RunState::Cancelled),
            "undone once: {class}"
        );
    }
}

#[test]
fn what_is_owed_by_several_passes_of_a_task_comes_to_its_end_once() {
    let mut task = undone("key", "${ .n }");
    task["timeout"] = json!({"after": "2 s"});
    let story = on_alarm(&json!([{"race": {"fork": {"compete": true, "branches": [
        {"slow": {"do": [{"guard": {"try": [{"k": task}],
            "catch": {"retry": {"delay": "1 s", "limit": {"attempt": {"count": 4}}}}}}]}},
        {"quick": {"do": [{"pause": {"wait": "6 s"}}, {"won": {"set": {"n": 7}}}]}}]}}}]));
    let mut world = world(contract(&[("story", story)]));
    let sent = world.settle();
    for _ in 0..6 {
        world.pass(Span::from_secs(1));
        assert!(world.settle().is_empty());
    }
    assert_eq!(world.runs()[0].state, RunState::Waiting, "it waits for what it may have to undo");
    world.serve(&sent);
    world.finish();
    assert_eq!((effects(&world), world.runs()[0].state), (vec![1, 101], RunState::Completed));
}
