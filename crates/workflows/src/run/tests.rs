//! Stories of whole runs: exactly once in effect whatever is lost, and what people are told.

use super::world::{World, answer, no_load};
use super::{End, Loop, Ready};
use crate::testing::plant::{contract, route};
use andon_contract::Contract;
use andon_contract::contract::{Route, Target};
use andon_model::call::Step;
use andon_model::{OutcomeClass, span::Span};
use andon_store::rows::{Action, CallState, ExceptionKind, ExceptionRow, RunState};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) fn on_alarm(tasks: &Json) -> Json {
    json!({
        "schedule": {"on": {"one": {"with": {"type": "asset.alarm", "data": "${ .change == \"activated\" }"}}}},
        "input": {"from": "${ .[0] }"},
        "do": tasks,
    })
}

fn call(capability: &str) -> Json {
    json!({"call": capability, "with": {
        "n": "${ $workflow.input[0].data.n }", "asset": "${ $workflow.input[0].subject }"}})
}

/// All classes that survive a lost answer by themselves, a wait and an event.
fn story() -> Contract {
    contract(&[(
        "story",
        on_alarm(&json!([
            {"search": call("work.lookup")},
            {"keyed": call("work.key")},
            {"pause": {"wait": "1 s"}},
            {"written": call("work.upsert")},
            {"read": call("work.read")},
            {"tell": {"emit": {"event": {"with": {
                "type": "work.done", "data": {"n": "${ $workflow.input[0].data.n }"}
            }}}}},
        ])),
    )])
}

pub(super) fn one_call(class: &str) -> World {
    World::new(contract(&[("story", on_alarm(&json!([{"ask": call(&format!("work.{class}"))}])))]))
}

pub(super) fn activated(n: u64) -> Json {
    json!({"change": "activated", "n": n})
}

/// Starts one run and takes its first request.
pub(super) fn first(world: &mut World) -> Ready {
    world.event(1, "m-1", activated(1));
    let mut requests = world.settle();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn told(rows: &[ExceptionRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let (kind, cause, detail, remedy) = (row.kind.word(), &row.cause, &row.detail, &row.remedy);
        writeln!(text, "{kind} {} {}", row.owner, row.count).unwrap();
        writeln!(text, "cause: {cause}\ndetail: {detail}\nremedy: {remedy}").unwrap();
    }
    text
}

#[test]
fn a_run_goes_from_its_event_to_its_end() {
    let mut world = World::new(story());
    let event = world.event(1, "m-1", activated(1));
    world.event(2, "m-1", json!({"change": "returned", "n": 2}));
    world.finish();
    world.assert_exactly_once(1, 3, "plain");
    let run = &world.runs()[0];
    assert_eq!((run.event, run.correlation), (Some(event), Some(event)));
    let tasks: Vec<_> = world.tasks().iter().map(|task| task.pointer.clone()).collect();
    assert_eq!(tasks, ["/do/0/search", "/do/1/keyed", "/do/2/pause", "/do/3/written", "/do/4/read", "/do/5/tell"]);
    let events = world.store.events_after(0, 10).unwrap();
    let emitted = &events.last().unwrap().event;
    assert_eq!((emitted.kind.as_str(), emitted.subject.as_str()), ("work.done", "m-1"));
    assert_eq!((emitted.correlation, emitted.causation.clone()), (event, Some(run.id.to_string())));
    assert_eq!(emitted.source, "/home/workflows/story");
    assert_eq!(world.store.cursor(super::CURSOR).unwrap(), Some(3));
}

#[test]
fn exactly_once_when_the_process_ends_after_any_commit() {
    let (mut commits, mut searches) = (0, 0);
    for (seed, side) in (0..4).flat_map(|seed| [(seed, End::Before), (seed, End::After)]) {
        for end in 1.. {
            let mut world = World::new(story());
            world.chance = seed;
            world.event(1, "m-1", activated(1));
            world.event(2, "m-2", activated(2));
            world.runner.ends = Some((end, side));
            world.finish();
            world.assert_exactly_once(2, 6, &format!("seed {seed}, end {side:?} commit {end}"));
            assert_eq!(world.store.events_after(0, 10).unwrap().len(), 4, "each event is emitted once");
            searches += world.office.seen.iter().filter(|(_, step)| *step == Step::Search).count();
            commits = end;
            if world.crashes == 0 {
                break;
            }
        }
    }
    assert!(commits > 6 && searches > 0, "there were only {commits} commits, {searches} searches");
}

#[test]
fn exactly_once_whatever_is_lost() {
    for seed in 0..60 {
        let mut world = World::new(story());
        world.chance = seed;
        for n in 1..=6 {
            world.event(n, &format!("m-{}", n % 3), activated(n));
        }
        let mut held: Vec<Ready> = Vec::new();
        for _ in 0..400 {
            held.extend(world.settle());
            for ready in std::mem::take(&mut held) {
                match world.draw(12) {
                    0..4 => world.serve(&[ready]),
                    4 => {
                        world.office.serve(&ready);
                        world.reply(&ready, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
                    }
                    5 => world.reply(&ready, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s")),
                    6 => world.reply(&ready, answer(OutcomeClass::Transient, false, None, "connection refused")),
                    7 => world.reply(&ready, answer(OutcomeClass::Transient, true, Some(503), "come back later")),
                    8 => world.reply(&ready, answer(OutcomeClass::Limit, true, Some(429), "too many")),
                    _ => held.push(ready),
                }
            }
            if world.draw(10) == 0 {
                world.crash(&std::mem::take(&mut held));
            }
            let pause = i64::try_from(world.draw(20)).unwrap();
            world.pass(Span::from_secs(pause));
        }
        world.serve(&held);
        world.finish();
        world.assert_exactly_once(6, 18, &format!("seed {seed}"));
    }
}

#[test]
fn calls_of_one_key_keep_their_order_and_other_keys_pass() {
    let mut world = one_call("key");
    for n in 1..=6 {
        world.event(n, if n % 2 == 0 { "even" } else { "odd" }, activated(n));
    }
    let requests = world.settle();
    let assets: Vec<_> = requests.iter().map(|r| r.request.input["n"].as_u64().unwrap()).collect();
    assert_eq!(assets, [1, 2], "the first of each key");
    world.reply(&requests[0], answer(OutcomeClass::Transient, false, None, "connection refused"));
    world.serve(&requests[1..]);
    let next: Vec<_> = world.settle().iter().map(|r| r.request.input["n"].as_u64().unwrap()).collect();
    assert_eq!(next, [4], "the key that waits for its repetition holds only itself up");
}

#[test]
fn a_system_never_has_more_attempts_under_way_than_it_takes() {
    let mut world = one_call("key");
    for n in 1..=10 {
        world.event(n, &format!("m-{n}"), activated(n));
    }
    let requests = world.settle();
    assert_eq!(requests.len(), 4);
    world.serve(&requests[..1]);
    assert_eq!(world.settle().len(), 1);
}

#[test]
fn a_lookup_searches_after_settle_and_sends_again_only_what_is_not_there() {
    for happened in [true, false] {
        let mut world = one_call("lookup");
        let sent = first(&mut world);
        if happened {
            world.office.serve(&sent);
        }
        world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
        assert!(world.settle().is_empty(), "not before it has settled");
        world.pass(Span::from_secs(60));
        let search = world.settle();
        assert_eq!(search[0].request.step, Step::Search);
        world.serve(&search);
        let again = world.settle();
        assert_eq!(again.len(), usize::from(!happened));
        world.serve(&again);
        world.finish();
        world.assert_exactly_once(1, 1, "lookup");
        let steps: Vec<_> = world.attempts(sent.request.call).iter().map(|a| a.step).collect();
        assert_eq!(steps.len(), if happened { 2 } else { 3 });
    }
}

#[test]
fn a_resend_that_is_held_up_for_longer_than_settle_is_searched_again() {
    let mut world = one_call("lookup");
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
    world.settle();
    world.pass(Span::from_secs(60));
    let search = world.settle();
    world.serve(&search);
    let again = world.settle();
    let late = Span::from_secs(90);
    let held_up = andon_model::Outcome {
        retry_after: Some(late),
        ..answer(OutcomeClass::Limit, true, Some(429), "too many requests")
    };
    world.reply(&again[0], held_up);
    assert!(world.settle().is_empty());
    world.pass(late);
    world.pass(Span::from_secs(1));
    assert_eq!(world.settle()[0].request.step, Step::Search);
}

#[test]
fn a_system_that_swallows_every_sending_is_told_when_time_is_up() {
    let mut world = one_call("lookup");
    let mut sent = first(&mut world);
    let start = world.now;
    for _ in 0..200 {
        world.reply(&sent, answer(OutcomeClass::Unknown, true, Some(500), "failed"));
        world.settle();
        world.pass(Span::from_secs(60));
        let search = world.settle();
        world.serve(&search);
        let mut again = world.settle();
        if again.is_empty() {
            break;
        }
        sent = again.remove(0);
    }
    assert_eq!(world.now.since(start), Span::from_secs(3600), "the time of its system's `within`");
    let run = &world.runs()[0];
    assert_eq!((run.state, &run.error.as_ref().unwrap()["status"]), (RunState::Faulted, &json!(503)));
    let call = world.store.call(sent.request.call).unwrap().unwrap();
    assert_eq!((call.state, call.class), (CallState::Refused, Some(OutcomeClass::Transient)));
    assert!(world.exceptions()[0].detail.contains("nothing of it is there"), "{}", told(&world.exceptions()));
}

#[test]
fn at_a_clean_stop_outcomes_that_have_come_are_kept_and_nothing_is_begun() {
    let mut world = World::new(story());
    let sent = first(&mut world);
    world.event(2, "m-2", json!({"change": "returned", "n": 2}));
    world.runner.step(world.now).unwrap();
    world.serve(std::slice::from_ref(&sent));
    world.runner.close(world.now).unwrap();
    assert!(world.runner.take_requests().is_empty(), "the next call of the run waits for the next start");
    assert_eq!(world.store.call(sent.request.call).unwrap().unwrap().state, CallState::Delivered);
    assert_eq!(world.store.cursor(super::CURSOR).unwrap(), Some(2), "nothing is said to wait that does not");
    world.crash(&[]);
    world.finish();
    world.assert_exactly_once(1, 3, "after a clean stop");
    assert_eq!(world.office.seen.iter().filter(|(_, step)| *step == Step::Search).count(), 0, "nothing was unknown");
}

#[test]
fn what_was_not_sent_because_we_stop_is_sent_by_the_same_operation_after_the_next_start() {
    let mut plant = contract(&[("story", on_alarm(&json!([{"ask": call("work.none")}])))]);
    plant.routes.retain(|route| route.capability != "work.none");
    plant.routes.push(route("work.none", "eam.none", &["second.none"]));
    let mut world = World::new(plant);
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::Transient, false, None, "andon stops"));
    world.runner.close(world.now).unwrap();
    world.crash(&[]);
    let again = world.settle();
    assert_eq!(again.iter().map(|ready| ready.request.system.as_str()).collect::<Vec<_>>(), ["eam"]);
    world.serve(&again);
    world.finish();
    world.assert_exactly_once(1, 1, "after a stop");
}

#[test]
fn after_a_restart_settle_counts_from_it() {
    let mut world = one_call("lookup");
    let sent = first(&mut world);
    world.office.serve(&sent);
    world.pass(Span::from_secs(45));
    world.crash(&[]);
    assert!(world.settle().is_empty());
    world.pass(Span::from_secs(59));
    assert!(world.settle().is_empty(), "its last byte may have been sent just before the process ended");
    world.pass(Span::from_secs(1));
    assert_eq!(world.settle()[0].request.step, Step::Search);
    let lost = &world.attempts(sent.request.call)[0];
    assert_eq!(lost.outcome.as_ref().unwrap().class, OutcomeClass::Unknown);
}

#[test]
fn an_unknown_outcome_that_nobody_can_settle_is_told_and_its_run_waits() {
    let mut world = one_call("none");
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
    world.finish();
    assert_eq!(world.runs()[0].state, RunState::Waiting);
    assert_eq!(world.calls()[0].state, CallState::Parked);
    insta::assert_snapshot!(told(&world.exceptions()));
    world.crash(&[]);
    world.pass(Span::from_secs(100_000));
    assert!(world.settle().is_empty(), "nothing is sent again");
}

#[test]
fn an_unknown_outcome_is_never_raised_even_when_its_repetition_is_refused() {
    for class in ["key", "upsert", "lookup"] {
        let mut world = one_call(class);
        let sent = first(&mut world);
        world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
        world.settle();
        world.pass(Span::from_secs(60));
        let again = world.settle();
        world.reply(&again[0], answer(OutcomeClass::Auth, true, Some(401), "token expired"));
        world.finish();
        assert_eq!(world.runs()[0].state, RunState::Waiting, "{class}");
        assert_eq!(world.calls()[0].state, CallState::Parked, "{class}");
    }
}

#[test]
fn a_definite_failure_faults_the_run_and_is_told_by_cause() {
    let mut world = one_call("lookup");
    for n in 1..=2 {
        world.event(n, &format!("m-{n}"), activated(n));
    }
    for ready in world.settle() {
        let detail = format!("the asset {} does not exist", ready.request.input["n"]);
        world.reply(&ready, answer(OutcomeClass::Validation, true, Some(422), &detail));
    }
    world.finish();
    let run = &world.runs()[0];
    assert_eq!(run.state, RunState::Faulted);
    let error = run.error.as_ref().unwrap();
    assert_eq!((error["status"].as_u64(), error["instance"].as_str()), (Some(422), Some("/do/0/ask")));
    let exceptions = world.exceptions();
    assert_eq!(exceptions.len(), 2, "each call has its own");
    assert_eq!(exceptions[0].fingerprint, exceptions[1].fingerprint, "the same cause is one group");
    for (row, call) in exceptions.iter().zip(world.calls()) {
        assert_eq!((row.call, row.run, row.count), (Some(call.id), Some(call.run), 1));
        assert_eq!((row.system.as_ref(), row.capability.as_deref()), (call.system.as_ref(), Some("work.lookup")));
        assert_eq!((row.outcome, row.action), (Some(OutcomeClass::Validation), Some(Action::Edit)));
    }
    let keys: Vec<_> = exceptions.iter().map(|row| row.key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["m-1", "m-2"]);
    insta::assert_snapshot!(told(&exceptions));
}

#[test]
fn a_failure_that_is_caught_is_nobodys_exception() {
    let guarded = json!([{"guard": {"try": [{"ask": call("work.lookup")}],
        "catch": {"as": "e", "do": [{"note": {"set": {"status": "${ $e.status }", "type": "${ $e.type }"}}}]}}}]);
    let mut world = World::new(contract(&[("story", on_alarm(&guarded))]));
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::NotFound, true, Some(404), "no such asset"));
    world.finish();
    assert_eq!(world.runs()[0].output.as_ref().unwrap()["status"], 404);
    assert!(world.exceptions().is_empty());
}

#[test]
fn a_block_repeated_by_retry_makes_the_same_calls() {
    let guarded = json!([{"guard": {
        "try": [{"one": call("work.none")}, {"two": call("work.lookup")}],
        "catch": {"retry": {"delay": "10 s", "limit": {"attempt": {"count": 3}}}}}}]);
    let mut world = World::new(contract(&[("story", on_alarm(&guarded))]));
    let sent = first(&mut world);
    world.serve(&[sent]);
    let second = world.settle();
    world.reply(&second[0], answer(OutcomeClass::Conflict, true, Some(409), "locked by KLAUS"));
    world.finish();
    world.assert_exactly_once(1, 2, "retry");
    assert_eq!(world.calls().len(), 2);
    assert_eq!(world.attempts(second[0].request.call).len(), 2);
    assert_eq!(world.office.seen.len(), 2, "the delivered call is not sent again");
}

#[test]
fn an_answer_to_an_earlier_attempt_is_left_aside() {
    let mut world = one_call("key");
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
    world.settle();
    world.pass(Span::from_secs(3_600));
    let again = world.settle();
    assert_eq!(again[0].request.attempt, 2);
    // What the first one is answered at last says nothing about the second one, which is under way.
    world.reply(&sent, answer(OutcomeClass::Validation, true, Some(400), "no such asset"));
    assert!(world.settle().is_empty());
    assert_eq!(world.calls()[0].state, CallState::InFlight);
    world.serve(&again);
    world.finish();
    world.assert_exactly_once(1, 1, "a late answer");
}

#[test]
fn a_shadow_is_sent_once_behind_the_delivery_and_nothing_follows_from_it() {
    let mut plant = contract(&[("story", on_alarm(&json!([{"ask": call("work.key")}])))]);
    let shadow = route("work.key", "second.key", &[]);
    let Target::Operation(target) = shadow.target else { panic!("an operation") };
    plant.routes = vec![Route { shadow: vec![target], ..route("work.key", "eam.key", &[]) }];
    let mut world = World::new(plant);
    let sent = first(&mut world);
    world.serve(std::slice::from_ref(&sent));
    let shadows = world.settle();
    assert_eq!(shadows.len(), 1);
    assert_eq!((shadows[0].request.system.as_str(), shadows[0].request.attempt), ("second", 2));
    assert_eq!(world.runs()[0].state, RunState::Completed, "the run does not wait for it");
    world.reply(&shadows[0], answer(OutcomeClass::Conflict, true, Some(409), "it is locked there"));
    world.finish();
    let attempts = world.attempts(sent.request.call);
    assert_eq!(attempts.iter().map(|attempt| attempt.shadow).collect::<Vec<_>>(), [false, true]);
    assert_eq!(attempts[1].outcome.as_ref().map(|outcome| outcome.class), Some(OutcomeClass::Conflict));
    world.assert_exactly_once(1, 1, "shadow");
}

#[test]
fn a_fallback_is_asked_only_when_certainly_nothing_happened() {
    let with_fallback = || {
        let mut world = contract(&[("story", on_alarm(&json!([{"ask": call("work.lookup")}])))]);
        world.routes = vec![route("work.lookup", "eam.lookup", &["second.lookup"])];
        World::new(world)
    };
    let cases = [
        (answer(OutcomeClass::Transient, false, None, "connection refused"), true),
        (answer(OutcomeClass::Limit, true, Some(429), "too many"), true),
        (answer(OutcomeClass::Transient, true, Some(503), "later"), false),
        (answer(OutcomeClass::Validation, false, None, "no identifier"), false),
        (answer(OutcomeClass::Conflict, true, Some(409), "locked"), false),
        (answer(OutcomeClass::NotFound, true, Some(404), "no"), false),
        (answer(OutcomeClass::Unknown, true, None, "no answer"), false),
    ];
    for (outcome, falls_back) in cases {
        let mut world = with_fallback();
        let sent = first(&mut world);
        let why = format!("{outcome:?}");
        world.reply(&sent, outcome);
        let next = world.settle();
        assert_eq!(next.first().map(|r| r.request.system.as_str()), falls_back.then_some("second"), "{why}");
    }
    let mut world = with_fallback();
    let mut sent = vec![first(&mut world)];
    for expected in ["eam", "second", "eam"] {
        assert_eq!(sent[0].request.system.as_str(), expected);
        world.reply(&sent[0], answer(OutcomeClass::Transient, false, None, "connection refused"));
        sent = world.settle();
        if sent.is_empty() {
            world.pass(Span::from_secs(10));
            sent = world.settle();
        }
    }
}

#[test]
fn repeats_grow_apart_keep_the_floor_and_end_with_the_time_of_the_call() {
    let mut world = one_call("lookup");
    let mut sent = first(&mut world);
    let mut pauses = Vec::new();
    let start = world.now;
    for attempt in 0.. {
        let mut outcome = answer(OutcomeClass::Transient, true, Some(503), "later");
        if attempt == 1 {
            outcome.retry_after = Some(Span::from_secs(120));
        }
        world.reply(&sent, outcome);
        world.settle();
        let Some(wake) = world.runner.step(world.now).unwrap().wake else { break };
        pauses.push(wake.since(world.now).nanos());
        world.now = wake;
        sent = world.settle().remove(0);
    }
    let second = 1_000_000_000;
    assert!((second / 2..=second).contains(&pauses[0]), "{pauses:?}");
    assert!((120 * second..=121 * second).contains(&pauses[1]), "a floor, to which chance only adds: {pauses:?}");
    assert!(pauses[2..].iter().all(|pause| *pause <= 8 * second));
    assert_eq!(world.now.since(start), Span::from_secs(3600), "the last attempt is made when time is up");
    assert_eq!(world.runs()[0].state, RunState::Faulted);
    assert_eq!(world.runs()[0].error.as_ref().unwrap()["status"], 503);
}

#[test]
fn what_nobody_answers_for_is_skipped_with_its_reason() {
    let mut plant =
        contract(&[("story", on_alarm(&json!([{"ask": call("work.none")}, {"after": {"set": {"got": "${ . }"}}}])))]);
    plant.routes = vec![route("work.none", "none", &[])];
    let mut world = World::new(plant);
    world.event(1, "m-1", activated(1));
    world.finish();
    assert_eq!(world.runs()[0].output, Some(json!({"got": null})));
    assert_eq!(world.calls()[0].state, CallState::Skipped);
    insta::assert_snapshot!(world.tasks()[0].note.as_deref().unwrap());
}

#[test]
fn calls_wait_for_a_route_that_an_edit_removed_and_go_when_it_is_back() {
    let mut world = one_call("key");
    let mut edited = contract(&[]);
    edited.revision = "r2".into();
    edited.routes.clear();
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::Transient, false, None, "connection refused"));
    world.settle();
    let whole = Arc::clone(&world.contract);
    world.runner.set_contract(Arc::new(edited), world.dialect.clone());
    world.pass(Span::from_secs(600));
    assert!(world.settle().is_empty());
    world.pass(Span::from_secs(600));
    assert!(world.settle().is_empty());
    insta::assert_snapshot!(told(&world.exceptions()));
    world.runner.set_contract(whole, world.dialect.clone());
    world.pass(Span::from_secs(60));
    world.finish();
    assert_eq!(world.runs()[0].state, RunState::Completed);
    assert_eq!(world.office.effects.len(), 1);
}

#[test]
fn a_run_keeps_its_definition_while_routes_are_live() {
    let steps = |what: &str| on_alarm(&json!([{"ask": call("work.key")}, {"name": {"set": {"by": what}}}]));
    let mut world = World::new(contract(&[("story", steps("old"))]));
    let sent = first(&mut world);
    world.reply(&sent, answer(OutcomeClass::Transient, false, None, "connection refused"));
    world.settle();
    let mut edited = contract(&[("story", steps("new"))]);
    edited.revision = "r2".into();
    edited.routes = vec![route("work.key", "second.key", &[])];
    world.runner.set_contract(Arc::new(edited), world.dialect.clone());
    world.event(2, "m-2", activated(2));
    world.pass(Span::from_secs(10));
    let sent = world.settle();
    assert!(sent.iter().all(|r| r.request.system.as_str() == "second"));
    assert_eq!(sent.len(), 2);
    world.serve(&sent);
    world.finish();
    let outputs: Vec<_> = world.runs().iter().map(|run| run.output.clone().unwrap()["by"].clone()).collect();
    assert_eq!(outputs, ["old", "new"]);
}

#[test]
fn a_request_in_the_air_survives_another_contract() {
    let mut world = one_call("none");
    let sent = first(&mut world);
    let same = Arc::clone(&world.contract);
    world.runner.set_contract(same, world.dialect.clone());
    assert!(world.settle().is_empty());
    world.serve(&[sent]);
    world.finish();
    world.assert_exactly_once(1, 1, "it was not taken for lost");
}

#[test]
fn a_run_whose_contract_cannot_be_read_waits_and_goes_on_when_it_can() {
    let mut world = one_call("key");
    let sent = first(&mut world);
    let mut edited = contract(&[]);
    edited.revision = "r2".into();
    let edited = Arc::new(edited);
    world.runner = Loop::new(world.store.clone(), edited, world.dialect.clone(), no_load());
    // The call is repeated and delivered under the live contract, the run waits for the one it began with.
    let again = world.settle();
    assert_eq!((again.len(), again[0].request.key.clone()), (1, sent.request.key));
    world.serve(&again);
    world.settle();
    assert_eq!(world.runs()[0].state, RunState::Waiting);
    insta::assert_snapshot!(told(&world.exceptions()));
    world.crash(&[]);
    world.pass(Span::from_secs(600));
    world.finish();
    assert_eq!(world.runs()[0].state, RunState::Completed);
    assert_eq!(world.office.effects.len(), 1);
}

#[test]
fn input_that_does_not_fit_is_refused_before_anything_is_sent() {
    let mut world = one_call("none");
    world.event(1, "m-1", json!({"change": "activated", "n": "seven"}));
    world.finish();
    assert!(world.office.seen.is_empty());
    assert_eq!(world.runs()[0].state, RunState::Faulted);
    insta::assert_snapshot!(told(&world.exceptions()));
}

#[test]
fn a_request_that_cannot_be_said_is_refused_without_being_sent() {
    let mut world = one_call("lookup");
    let outcome = answer(OutcomeClass::Validation, false, None, "eam has no name for the asset m-1");
    *world.dialect.refuses.lock().unwrap() = Some(outcome);
    world.event(1, "m-1", activated(1));
    world.finish();
    assert_eq!(world.calls()[0].state, CallState::Refused);
    assert_eq!(world.attempts(world.calls()[0].id).len(), 1);
    assert_eq!(world.exceptions()[0].kind, ExceptionKind::Output);
}

#[test]
fn an_answer_that_is_not_what_was_declared_is_drift_and_the_call_stays_delivered() {
    let mut world = one_call("key");
    let sent = first(&mut world);
    let mut outcome = world.office.serve(&sent);
    outcome.output = json!({"document": 7});
    world.reply(&sent, outcome);
    world.finish();
    assert_eq!(world.calls()[0].state, CallState::Delivered);
    assert_eq!(world.runs()[0].state, RunState::Completed);
    insta::assert_snapshot!(told(&world.exceptions()));
}

#[test]
fn a_filter_that_fails_is_told_once_and_others_go_on() {
    let mut bad = on_alarm(&json!([{"x": {"set": {"a": 1}}}]));
    bad["schedule"]["on"]["one"]["with"]["data"] = json!("${ .change.level > 3 }");
    let good = on_alarm(&json!([{"x": {"set": {"a": 1}}}]));
    let mut world = World::new(contract(&[("bad", bad), ("good", good)]));
    for n in 1..=3 {
        world.event(n, "m-1", activated(n));
    }
    world.finish();
    assert_eq!(world.runs().len(), 3);
    insta::assert_snapshot!(told(&world.exceptions()));
}

#[test]
fn an_error_that_no_call_is_to_blame_for_is_a_decision() {
    let raise = json!([{"stop": {"raise": {"error": {
        "type": "https://example.com/errors/halt", "status": 500, "title": "Halt", "detail": "order 4711 is closed"}}}}]);
    let mut world = World::new(contract(&[("story", on_alarm(&raise))]));
    world.event(1, "m-1", activated(1));
    world.finish();
    assert_eq!(world.runs()[0].state, RunState::Faulted);
    insta::assert_snapshot!(told(&world.exceptions()));
}
