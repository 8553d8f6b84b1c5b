//! Exceptions that a policy retries by itself, with the process ending at every commit: in order, and once.

use super::{effects, on_alarm};
use crate::run::End;
use crate::run::world::{World, answer};
use crate::testing::plant::contract;
use andon_contract::Contract;
use andon_contract::contract::{Breaker, Exceptions, Replay, ReplayWhen};
use andon_model::{OutcomeClass, span::Span};
use andon_store::rows::{ExceptionState, RunState};
use serde_json::json;

fn plant(when: ReplayWhen) -> Contract {
    let story = on_alarm(&json!([{"a": {"call": "work.lookup", "with": {"n": "${ .n }", "asset": "m-1"}}}]));
    let mut contract = contract(&[("story", story)]);
    for system in contract.systems.values_mut() {
        system.breaker = Some(Breaker { calls: 3, max: Span::from_secs(10), ..Breaker::DEFAULT });
        system.retry.within = Span::from_secs(90);
    }
    let outcomes = Exceptions::OUTCOMES.to_vec();
    let rule = Replay { system: None, capability: None, site: None, outcomes, when };
    contract.exceptions = Exceptions { replay: vec![rule], agree: Vec::new() };
    contract
}

/// The office is away until the time of these calls is up.
fn away(when: ReplayWhen, count: u64) -> World {
    let mut world = World::new(plant(when));
    for n in 1..=count {
        world.event(n, &format!("m-{}", n % 3), json!({"change": "activated", "n": n}));
        world.office.refuses.insert(i64::try_from(n).unwrap(), answer(OutcomeClass::Transient, false, None, "away"));
        world.pass(Span::from_millis(1));
    }
    world
}

/// Everything goes on until the time of each call is up.
fn give_up(world: &mut World) {
    for _ in 0..10_000 {
        let sent = world.settle();
        world.serve(&sent);
        if sent.is_empty() && world.runs().iter().all(|run| run.state == RunState::Faulted) {
            return;
        }
        world.pass(Span::from_secs(1));
    }
    panic!("they wait for ever: {:?}", world.runs());
}

#[test]
fn where_no_call_waits_any_more_the_oldest_that_was_given_up_finds_out_that_the_system_is_back() {
    let live = |ends: Option<(u32, End)>| {
        let mut world = away(ReplayWhen::BreakerCloses, 7);
        give_up(&mut world);
        world.pass(Span::from_secs(7_200));
        world.runner.ends = ends;
        let sent = world.settle();
        assert!(sent.len() <= 1, "one tries it: {sent:?}");
        world.office.refuses.clear();
        world.serve(&sent);
        world.finish();
        assert!(world.runs().iter().all(|run| run.state == RunState::Completed), "{ends:?}: {:?}", world.runs());
        assert!(world.office.effects.values().all(|count| *count == 1), "each once: {ends:?}");
        assert!(world.exceptions().iter().all(|row| row.state == ExceptionState::Resolved), "{ends:?}");
        world
    };
    for side in [End::Before, End::After] {
        for end in 1.. {
            if live(Some((end, side))).crashes == 0 {
                break;
            }
        }
    }
    let plain = live(None);
    let mut calls = plain.calls();
    calls.sort_by_key(|call| plain.attempts(call.id).iter().map(|of| of.ended).max());
    assert_eq!(calls[0].input["n"], 1, "the oldest first");
    for key in 0..3 {
        let of = calls.iter().filter_map(|call| call.input["n"].as_u64()).filter(|n| n % 3 == key);
        assert!(of.is_sorted(), "{calls:?}");
    }
}

#[test]
fn the_group_is_replayed_in_the_order_of_its_keys_once_the_breaker_closes() {
    let live = |ends: Option<(u32, End)>| {
        let mut world = away(ReplayWhen::BreakerCloses, 7);
        give_up(&mut world);
        world.office.refuses.clear();
        world.event(100, "m-9", json!({"change": "activated", "n": 100}));
        world.runner.ends = ends;
        world.finish();
        assert!(world.runs().iter().all(|run| run.state == RunState::Completed), "{ends:?}: {:?}", world.runs());
        let mut done = effects(&world);
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3, 4, 5, 6, 7, 100], "{ends:?}");
        assert!(world.office.effects.values().all(|count| *count == 1), "each once: {ends:?}");
        assert!(world.exceptions().iter().all(|row| row.state == ExceptionState::Resolved), "{ends:?}");
        world
    };
    for side in [End::Before, End::After] {
        for end in 1.. {
            if live(Some((end, side))).crashes == 0 {
                break;
            }
        }
    }
    let plain = live(None);
    let audited = plain.store.audit(0, 100).unwrap();
    assert_eq!(audited.len(), 7);
    assert!(audited.iter().all(|row| row.row.actor == "policy" && row.row.act == "exception.retry"));
    assert_eq!(audited[0].row.detail["reason"], "the breaker of eam has closed");
    // Of each key the older first.
    let mut calls = plain.calls();
    calls.retain(|call| call.input["n"] != 100);
    calls.sort_by_key(|call| plain.attempts(call.id).iter().map(|of| of.ended).max());
    for key in 0..3 {
        let of = calls.iter().filter_map(|call| call.input["n"].as_u64()).filter(|n| n % 3 == key);
        assert!(of.is_sorted(), "{calls:?}");
    }
    assert_eq!(plain.store.cursor("replay/eam").unwrap(), Some(0), "it is done");
}

#[test]
fn what_fails_is_retried_after_its_time_so_often_and_then_waits_for_a_person() {
    let when = ReplayWhen::Every(Span::from_secs(3_600), 2);
    let mut plain = away(when, 2);
    plain.finish();
    assert!(plain.runs().iter().all(|run| run.state == RunState::Faulted), "{:?}", plain.runs());
    let failed: Vec<_> = plain
        .exceptions()
        .into_iter()
        .filter(|row| row.call.is_some() && !row.fingerprint.starts_with("breaker/"))
        .collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|row| (row.count, row.state) == (3, ExceptionState::Open)), "{failed:?}");
    let mut world = away(when, 2);
    while world.exceptions().iter().all(|row| row.call.is_none() || row.fingerprint.starts_with("breaker/")) {
        world.pass(Span::from_secs(1));
        let sent = world.settle();
        world.serve(&sent);
    }
    world.office.refuses.clear();
    world.crash(&[]);
    world.finish();
    assert!(world.runs().iter().all(|run| run.state == RunState::Completed), "{:?}", world.runs());
    let reasons: Vec<_> =
        world.store.audit(0, 9).unwrap().into_iter().map(|of| of.row.detail["reason"].clone()).collect();
    assert_eq!(reasons.first(), Some(&json!("1 h after it failed, the 1st of 2 times")), "{reasons:?}");
}

#[test]
fn what_no_rule_is_meant_for_waits_for_a_person() {
    let mut world = away(ReplayWhen::BreakerCloses, 1);
    world.office.refuses.insert(1, answer(OutcomeClass::Validation, true, Some(422), "no"));
    world.finish();
    for (number, n) in (50..).zip([101, 102, 103, 104]) {
        world.office.refuses.insert(n, answer(OutcomeClass::Transient, false, None, "away"));
        world.event(number, "m-8", json!({"change": "activated", "n": n}));
    }
    give_up(&mut world);
    world.office.refuses.clear();
    world.event(100, "m-9", json!({"change": "activated", "n": 100}));
    world.finish();
    assert_eq!(effects(&world).len(), 5);
    let open: Vec<_> = world.exceptions().into_iter().filter(|row| !row.state.has_ended()).collect();
    assert_eq!((open.len(), open[0].outcome), (1, Some(OutcomeClass::Validation)));
}
