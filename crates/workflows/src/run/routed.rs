//! Who answers while calls wait and the days of routes begin: the line in force at each attempt, others only where
//! certainly nothing happened, nobody with a reason; and what shadows must not touch.

use super::world::{World, answer};
use super::{End, Ready};
use crate::testing::plant::{contract, route};
use andon_contract::Contract;
use andon_contract::contract::{Route, Target, Validity};
use andon_model::call::Step;
use andon_model::{Outcome, OutcomeClass, Time, span::Span};
use andon_store::rows::{AttemptRow, CallState, RunState};
use serde_json::json;

/// Tasks of a story that asks once and goes on.
fn asks(class: &str) -> Contract {
    contract(&[(
        "story",
        json!({
            "schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}},
            "input": {"from": "${ .[0] }"},
            "do": [
                {"ask": {"call": format!("work.{class}"), "with": {"n": "${ .data.n }", "asset": "${ .subject }"}}},
                {"behind": {"set": {"got": "${ . }"}}},
            ],
        }),
    )])
}

const START: &str = "2026-11-22T08:00:00Z";

/// A world in which this line answers for ten minutes, and then that one.
fn first_then(class: &str, then: Route) -> World {
    let day = Time::parse(START).unwrap().plus(Span::from_secs(600));
    let capability = format!("work.{class}");
    let until = Validity { from: None, until: Some(day) };
    let first = Route { valid: until, line: 1, ..route(&capability, &format!("eam.{class}"), &[]) };
    let then = Route { valid: Validity { from: Some(day), until: None }, line: 2, ..then };
    World::new(Contract { routes: vec![first, then], ..asks(class) })
}

fn first(world: &mut World) -> Ready {
    world.event(1, "m-1", json!({"change": "activated", "n": 1}));
    let [ready] = world.settle().try_into().unwrap_or_else(|all: Vec<Ready>| panic!("{} requests", all.len()));
    ready
}

fn asked(requests: &[Ready]) -> Vec<(&str, Step)> {
    requests.iter().map(|ready| (ready.request.system.as_str(), ready.request.step)).collect()
}

fn refused() -> Outcome {
    answer(OutcomeClass::Transient, false, None, "connection refused")
}

#[test]
fn a_line_whose_day_begins_while_calls_wait_is_asked_at_the_next_attempt() {
    let mut world = first_then("lookup", route("work.lookup", "second.lookup", &[]));
    let sent = first(&mut world);
    assert_eq!(sent.request.system.as_str(), "eam");
    world.reply(&sent, refused());
    assert!(world.settle().is_empty(), "it waits, and nobody else is asked");
    world.pass(Span::from_secs(601));
    let sent = world.settle();
    assert_eq!(asked(&sent), [("second", Step::Send)]);
    world.serve(&sent);
    world.finish();
    world.assert_exactly_once(1, 1, "the day has begun");
}

#[test]
fn a_line_that_came_into_force_in_between_is_asked_from_its_beginning() {
    let mut world = first_then("lookup", route("work.lookup", "second.lookup", &["eam.lookup"]));
    let sent = first(&mut world);
    world.pass(Span::from_secs(601));
    world.reply(&sent, refused());
    let sent = world.settle();
    assert_eq!(asked(&sent), [("second", Step::Send)], "not its fallback, which is the one that failed");
    world.reply(&sent[0], refused());
    assert!(world.settle().is_empty(), "the fallback was asked already; all pause");
    world.pass(Span::from_secs(60));
    let sent = world.settle();
    assert_eq!(asked(&sent), [("second", Step::Send)], "and begin again");
    world.serve(&sent);
    world.finish();
    world.assert_exactly_once(1, 1, "in between");
}

#[test]
fn an_unknown_outcome_is_settled_where_it_was_made_although_another_answers_now() {
    for found in [true, false] {
        let mut world = first_then("lookup", route("work.lookup", "second.lookup", &[]));
        let sent = first(&mut world);
        if found {
            world.office.serve(&sent);
        }
        world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
        assert!(world.settle().is_empty());
        world.pass(Span::from_secs(601));
        world.crash(&[]);
        assert!(world.settle().is_empty(), "a new process trusts no clock");
        world.pass(Span::from_secs(60));
        let search = world.settle();
        assert_eq!(asked(&search), [("eam", Step::Search)], "found: {found}");
        world.serve(&search);
        let sent = world.settle();
        assert_eq!(asked(&sent), if found { vec![] } else { vec![("second", Step::Send)] });
        world.serve(&sent);
        world.finish();
        world.assert_exactly_once(1, 1, "settled");
    }
}

#[test]
fn where_nobody_answers_any_more_a_waiting_call_is_skipped_and_says_why() {
    for in_the_air in [false, true] {
        let mut world = first_then("key", route("work.key", "none", &[]));
        let sent = first(&mut world);
        if in_the_air {
            world.pass(Span::from_secs(601));
            world.reply(&sent, refused());
        } else {
            world.reply(&sent, refused());
            assert!(world.settle().is_empty());
            world.pass(Span::from_secs(601));
        }
        assert!(world.settle().is_empty(), "nothing is sent");
        world.finish();
        let (runs, calls) = (world.runs(), world.calls());
        assert_eq!((runs[0].state, calls[0].state), (RunState::Completed, CallState::Skipped));
        assert!(world.exceptions().is_empty());
        let note = world.tasks().into_iter().find(|task| task.pointer == "/do/0/ask").unwrap().note;
        assert!(note.is_some_and(|note| note.contains("there is no such system here")));
    }
}

fn with_shadow(class: &str) -> Contract {
    let capability = format!("work.{class}");
    let Target::Operation(shadow) = route(&capability, &format!("second.{class}"), &[]).target else { panic!("one") };
    let line = Route { shadow: vec![shadow], ..route(&capability, &format!("eam.{class}"), &[]) };
    Contract { routes: vec![line], ..asks(class) }
}

/// Everything to its end; the requests to the shadow that were let go, each answered with this.
fn to_the_end(world: &mut World, outcome: Option<&Outcome>) -> Vec<Ready> {
    let mut shadows = Vec::new();
    for _ in 0..1_000 {
        let requests = world.settle();
        if requests.is_empty() {
            let Ok(progress) = world.runner.step(world.now) else {
                world.crash(&[]);
                continue;
            };
            match progress.wake {
                Some(wake) => world.now = wake.max(world.now),
                None if !progress.worked => return shadows,
                None => {}
            }
        }
        for ready in requests {
            if ready.request.system.as_str() == "eam" {
                world.serve(&[ready]);
                continue;
            }
            if let Some(outcome) = outcome {
                world.reply(&ready, outcome.clone());
            }
            shadows.push(ready);
        }
    }
    panic!("it does not end");
}

fn shadows_of(world: &World) -> Vec<AttemptRow> {
    let call = world.calls()[0].id;
    world.attempts(call).into_iter().filter(|attempt| attempt.shadow).collect()
}

#[test]
fn whatever_a_shadow_says_the_run_and_its_call_are_as_without_it() {
    let plain = {
        let mut world = World::new(asks("key"));
        world.event(1, "m-1", json!({"n": 1}));
        world.finish();
        (world.runs()[0].output.clone(), world.calls()[0].output.clone(), world.calls()[0].document.clone())
    };
    let other = Outcome { output: json!({"document": "X", "more": 1}), document: Some("X".into()), ..refused() };
    let outcomes = [
        None,
        Some(refused()),
        Some(answer(OutcomeClass::Limit, true, Some(429), "too many")),
        Some(answer(OutcomeClass::Validation, true, Some(422), "no")),
        Some(answer(OutcomeClass::Unknown, true, None, "no answer")),
        Some(Outcome { class: OutcomeClass::Ok, sent: true, ..other }),
    ];
    for outcome in outcomes {
        let mut world = World::new(with_shadow("key"));
        world.event(1, "m-1", json!({"n": 1}));
        let sent = to_the_end(&mut world, outcome.as_ref());
        assert_eq!(sent.len(), 1, "{outcome:?}");
        world.pass(Span::from_secs(100_000));
        assert!(world.settle().is_empty(), "a shadow is not repeated: {outcome:?}");
        world.assert_exactly_once(1, 1, "shadowed");
        let call = &world.calls()[0];
        assert_eq!((world.runs()[0].output.clone(), call.output.clone(), call.document.clone()), plain);
        assert_eq!((call.state, call.system.as_ref().unwrap().as_str()), (CallState::Delivered, "eam"));
        let rows = shadows_of(&world);
        assert_eq!(rows.iter().map(|row| row.outcome.clone()).collect::<Vec<_>>(), [outcome]);
    }
}

#[test]
fn a_shadow_is_sent_once_at_most_wherever_the_process_ends() {
    // Of these the office does twice what reaches it twice, shadow or not, only once.
    for class in ["key", "upsert"] {
        for end in [End::Before, End::After] {
            for commit in 1..12 {
                let mut world = World::new(with_shadow(class));
                world.runner.ends = Some((commit, end));
                world.event(1, "m-1", json!({"n": 1}));
                let sent = to_the_end(&mut world, Some(&refused()));
                let why = format!("{class}, {end:?} commit {commit}");
                assert!(sent.len() <= 1, "{why}: sent {} times", sent.len());
                world.assert_exactly_once(1, 1, &why);
                let rows = shadows_of(&world);
                assert_eq!(rows.len(), 1, "{why}: it is recorded");
                assert!(sent.len() == 1 || rows[0].outcome.is_none(), "{why}: {rows:?}");
            }
        }
    }
}

#[test]
fn a_shadow_under_way_at_a_restart_is_not_sent_again_and_stays_without_an_outcome() {
    let mut world = World::new(with_shadow("key"));
    world.event(1, "m-1", json!({"n": 1}));
    let sent = to_the_end(&mut world, None);
    world.crash(&[]);
    world.reply(&sent[0], answer(OutcomeClass::Conflict, true, Some(409), "from before"));
    assert!(to_the_end(&mut world, None).is_empty());
    world.assert_exactly_once(1, 1, "restart");
    assert_eq!(shadows_of(&world)[0].outcome, None);
}
