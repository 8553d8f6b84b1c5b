//! What people do about exceptions, with the process ending at every commit: what was done stays done, and once.

use super::cancelled::settle;
use super::{ask, effects, on_alarm, plain, run, same_whatever_ends, undone, with_settings, world};
use crate::run::world::{World, answer};
use crate::run::{Act, Acted, What};
use crate::testing::plant::{contract, name};
use andon_contract::contract::{Breaker, OperationRef};
use andon_contract::workflow::HUMAN_DECISION;
use andon_model::{ExceptionId, OutcomeClass, Time, span::Span};
use andon_store::rows::{CallState, ExceptionRow, ExceptionState, RunState};
use serde_json::{Value as Json, json};

/// Makes the act on an exception.
pub(in crate::run) type Does<'a> = &'a dyn Fn(ExceptionId) -> What;

pub(in crate::run) fn retry(exception: ExceptionId) -> What {
    What::Retry { exception, not_there: false }
}

pub(in crate::run) fn skip(exception: ExceptionId) -> What {
    What::Skip { exception, output: json!({"document": "by hand"}), document: None }
}

fn row(world: &World, id: ExceptionId) -> ExceptionRow {
    world.exceptions().into_iter().find(|row| row.id == id).unwrap()
}

/// The answer to an act that nothing disturbs.
pub(in crate::run) fn asked(world: &mut World, what: What) -> Acted {
    world.runner.act(Act { token: 9, by: "eva".into(), reason: "as agreed".into(), what });
    let sent = world.settle();
    world.serve(&sent);
    world.runner.take_acted().pop().expect("it was answered").1
}

/// Acts on every exception that is open, in their order. An act that was lost with its process is asked for again.
pub(in crate::run) fn remedy(world: &mut World, reason: &str, does: Does<'_>) {
    let mut in_the_air = Vec::new();
    let mut open: Vec<_> = world.exceptions().into_iter().filter(|row| !row.state.has_ended()).collect();
    open.sort_by_key(|row| (row.first, row.id));
    for exception in open {
        let id = exception.id;
        let is_done =
            |world: &World| row(world, id).reason.as_deref() == Some(reason) || row(world, id).state.has_ended();
        while !is_done(world) {
            world.runner.act(Act { token: 9, by: "eva".into(), reason: reason.into(), what: does(id) });
            settle(world, &mut in_the_air);
            if let Some((_, Acted::Refused(why))) = world.runner.take_acted().pop() {
                assert!(reason.starts_with("perhaps"), "{why}");
                break;
            }
        }
    }
    world.serve(&in_the_air);
    world.finish();
}

fn refusal() -> andon_model::Outcome {
    answer(OutcomeClass::Conflict, true, Some(409), "it is locked")
}

/// The office refuses calls with this `n` at first.
fn refusing(n: i64, make: &dyn Fn() -> World) -> World {
    let mut world = make();
    world.office.refuses.insert(n, refusal());
    world
}

/// It ends by a fault; the office is mended, and somebody does this.
fn mended(world: &mut World, does: Does<'_>) {
    world.finish();
    world.office.refuses.clear();
    remedy(world, "it is unlocked", does);
}

fn of(tasks: &Json) -> World {
    let child = plain(&json!([{"k": ask("key", "${ .n + 1 }")}, {"l": ask("lookup", "${ .n + 2 }")}]));
    let between = plain(&json!([{"sub": run("child", true)}, {"m": ask("upsert", "${ .n + 3 }")}]));
    world(contract(&[("story", on_alarm(tasks)), ("child", child), ("between", between)]))
}

#[test]
fn a_refused_call_is_made_again_and_its_run_goes_on_as_if_nothing_had_been() {
    let stories = [
        (
            "in a row",
            json!([{"a": ask("key", "${ .n }")}, {"b": ask("lookup", "${ .n + 2 }")},
                {"c": ask("key", "${ .n + 4 }")}]),
        ),
        (
            "side by side",
            json!([{"side": {"fork": {"branches": [
            {"x": {"do": [{"a": ask("key", "${ .n }")}, {"pause": {"wait": "1 s"}}, {"c": ask("key", "${ .n + 4 }")}]}},
            {"y": {"do": [{"b": ask("lookup", "${ .n + 2 }")}, {"d": ask("key", "${ .n + 5 }")}]}}]}}}]),
        ),
        (
            "in a loop",
            json!([{"each": {"for": {"in": "[0, 1, 2, 3]"}, "do": [{"b": ask("lookup", "${ $item + 1 }")}]}}]),
        ),
        (
            "in a block that catches others",
            json!([{"guard": {"try": [{"a": ask("key", "${ .n }")}, {"b": ask("lookup", "${ .n + 2 }")}],
            "catch": {"errors": {"with": {"status": 503}},
                "retry": {"delay": "1 s", "limit": {"attempt": {"count": 2}}}}}}]),
        ),
        ("in a child", json!([{"a": ask("key", "${ .n }")}, {"sub": run("child", true)}])),
        ("in a child of a child", json!([{"sub": run("between", true)}, {"z": ask("key", "${ .n + 9 }")}])),
    ];
    for (what, tasks) in stories {
        let mut undisturbed = of(&tasks);
        undisturbed.finish();
        let live = |world: &mut World| mended(world, &retry);
        let (plain, told) = same_whatever_ends(&|| refusing(3, &|| of(&tasks)), &live);
        assert_eq!(plain.runs()[0].output, undisturbed.runs()[0].output, "{what}");
        assert!(
            told.runs.iter().all(|(_, state, _, error)| *state == RunState::Completed && error.is_none()),
            "{what}"
        );
        let done = |world: &World| {
            let mut effects = effects(world);
            effects.sort_unstable();
            effects
        };
        assert_eq!(done(&plain), done(&undisturbed), "{what}: each once");
        assert_eq!(told.states, ["resolved"], "{what}");
        let exception = &plain.exceptions()[0];
        let call = plain.calls().into_iter().find(|call| call.input["n"] == 3).unwrap();
        assert_eq!((exception.call, exception.count), (Some(call.id), 1), "{what}");
        assert_eq!(exception.run, Some(plain.runs()[0].id), "{what}: the run that everything waits for");
        assert_eq!((call.state, call.attempts), (CallState::Delivered, 2), "{what}");
        assert!(plain.runs().iter().all(|run| run.taken_up <= 1) && plain.runs()[0].taken_up == 1, "{what}");
        let audited = plain.store.audit(0, 10).unwrap();
        assert_eq!((audited.len(), audited[0].row.act.as_str()), (1, "exception.retry"), "{what}");
        assert_eq!((audited[0].row.actor.as_str(), &audited[0].row.subject), ("eva", &exception.id.to_string()));
        assert_eq!(audited[0].row.detail["reason"], "it is unlocked");
    }
}

#[test]
fn a_call_that_fails_again_opens_its_exception_again_and_attempts_go_on() {
    let make = || refusing(1, &|| of(&json!([{"a": ask("lookup", "${ .n }")}])));
    let live = |world: &mut World| {
        world.finish();
        remedy(world, "once more", &retry);
        world.office.refuses.clear();
        remedy(world, "it is unlocked", &retry);
    };
    let (plain, _) = same_whatever_ends(&make, &live);
    let row = &plain.exceptions()[0];
    assert_eq!((row.count, row.state, plain.exceptions().len()), (2, ExceptionState::Resolved, 1));
    let call = &plain.calls()[0];
    let attempts: Vec<_> = plain.attempts(call.id).iter().map(|of| of.outcome.as_ref().unwrap().class).collect();
    assert_eq!(attempts, [OutcomeClass::Conflict, OutcomeClass::Conflict, OutcomeClass::Ok]);
    assert_eq!(plain.runs()[0].taken_up, 2);
}

#[test]
fn an_edited_call_is_another_call_with_the_place_of_the_old_one() {
    for (what, tasks, n, done) in [
        ("in a row", json!([{"a": ask("lookup", "${ .n }")}, {"b": ask("key", "${ .n + 3 }")}]), 1, [40, 4]),
        ("in a child", json!([{"sub": run("child", true)}]), 3, [2, 40]),
    ] {
        let make = || refusing(n, &|| of(&tasks));
        let edit = |exception| What::Edit {
            exception,
            input: json!({"n": 40, "asset": "m-1"}),
            agreed_by: Some("jan".into()),
        };
        let live = |world: &mut World| {
            world.finish();
            remedy(world, "the number was wrong", &edit);
        };
        let (plain, told) = same_whatever_ends(&make, &live);
        assert_eq!(told.states, ["resolved"], "{what}");
        assert_eq!(effects(&plain), done, "{what}");
        let calls = plain.calls();
        let of = |n: i64| calls.iter().find(|call| call.input["n"] == n).unwrap();
        let (old, new) = (of(n), of(40));
        assert_eq!((old.state, new.state, new.supersedes), (CallState::Refused, CallState::Delivered, Some(old.id)));
        assert_eq!((new.created, new.attempts), (old.created, 1));
        assert_ne!(new.reference, old.reference, "{what}: another key");
        let audited = &plain.store.audit(0, 10).unwrap()[0].row;
        let from = &old.input["n"];
        assert_eq!(audited.detail["changes"], json!([{"at": "/n", "from": from, "to": 40}]), "{what}");
        assert_eq!((&audited.detail["agreed_by"], &audited.detail["edit"]), (&json!("jan"), &json!(1)));
    }
}

#[test]
fn an_edit_that_does_not_fit_or_could_do_it_twice_is_refused() {
    let edit = |exception, n: Json| What::Edit { exception, input: json!({"n": n}), agreed_by: None };
    let mut world = refusing(1, &|| of(&json!([{"a": ask("key", "${ .n }")}])));
    world.finish();
    let id = world.exceptions()[0].id;
    let Acted::Refused(why) = asked(&mut world, edit(id, json!("one"))) else { panic!("it is no number") };
    assert!(why.contains("/n"), "{why}");
    assert_eq!(world.exceptions()[0].state, ExceptionState::Open);
    assert!(world.store.audit_head().unwrap().is_none(), "nothing was done");
    let mut world = of(&json!([{"a": ask("none", "${ .n }")}]));
    let sent = world.settle();
    world.reply(&sent[0], answer(OutcomeClass::Unknown, true, None, "no answer"));
    world.finish();
    let id = world.exceptions()[0].id;
    assert!(matches!(asked(&mut world, edit(id, json!(2))), Acted::Refused(_)), "it may have been done");
    assert!(matches!(asked(&mut world, retry(id)), Acted::Refused(_)), "nobody has looked");
    let to = OperationRef { system: name("second"), operation: name("none") };
    let elsewhere = What::Reroute { exception: id, operation: to };
    assert!(matches!(asked(&mut world, elsewhere), Acted::Refused(_)), "it would be a second one");
    assert_eq!(asked(&mut world, retry(ExceptionId::derived(&[b"x"]))), Acted::Unknown);
}

#[test]
fn what_nobody_knows_is_settled_by_who_has_looked() {
    let unknown = || {
        let mut world = of(&json!([{"a": ask("none", "${ .n }")}, {"b": ask("key", "${ .n + 2 }")}]));
        world.office.refuses.insert(1, answer(OutcomeClass::Unknown, true, None, "no answer"));
        world
    };
    // What the process that ended had sent is there, or is not.
    let looked = |world: &mut World| {
        world.finish();
        world.office.refuses.clear();
        while world.runs()[0].state == RunState::Waiting {
            let call = &world.calls()[0];
            let document = world.office.effects.contains_key(&call.reference).then(|| call.reference.to_string());
            remedy(world, &format!("attempt {}", call.attempts), &|exception| match &document {
                Some(document) => {
                    let output = json!({"document": document});
                    What::Skip { exception, output, document: Some(document.clone()) }
                }
                None => What::Retry { exception, not_there: true },
            });
        }
    };
    let (plain, told) = same_whatever_ends(&unknown, &looked);
    assert_eq!((effects(&plain), told.states.as_slice()), (vec![1, 3], &["resolved"][..]));
    assert_eq!(plain.calls()[0].attempts, 2);
    let there =
        |exception| What::Skip { exception, output: json!({"document": "4711"}), document: Some("4711".into()) };
    let (plain, told) = same_whatever_ends(&unknown, &|world| mended(world, &there));
    assert_eq!((effects(&plain), told.states.as_slice()), (vec![3], &["resolved"][..]));
    let call = &plain.calls()[0];
    assert_eq!((call.state, call.document.as_deref()), (CallState::Delivered, Some("4711")));
    let (plain, told) = same_whatever_ends(&unknown, &|world| {
        mended(world, &|exception| What::Discard { exception });
    });
    assert_eq!((plain.runs()[0].state, told.states.as_slice()), (RunState::Cancelled, &["discarded"][..]));
    assert_eq!(plain.runs()[0].cancel.as_ref().unwrap().reason, "it is unlocked");
    assert_eq!(plain.calls()[0].state, CallState::Skipped, "nobody is asked about it any more");
}

#[test]
fn a_skipped_task_gives_what_a_person_says() {
    for tasks in [
        json!([{"a": {"call": "work.lookup", "with": {"n": 3, "asset": "m-1"}}}]),
        json!([{"a": {"do": [{"in": {"call": "work.lookup", "with": {"n": 3, "asset": "m-1"}}}]}}]),
    ] {
        let (plain, told) = same_whatever_ends(&|| refusing(3, &|| of(&tasks)), &|world| mended(world, &skip));
        assert_eq!(plain.runs()[0].output, Some(json!({"document": "by hand"})));
        assert_eq!((plain.calls()[0].state, told.states.as_slice()), (CallState::Skipped, &["resolved"][..]));
        assert!(effects(&plain).is_empty());
    }
    // A task without a call gives it as its output.
    let (plain, told) = same_whatever_ends(
        &|| {
            of(&json!([{"a": ask("key", "${ .n }")}, {"bad": {"set": "${ error(\"no\") }"}},
                    {"b": ask("key", "${ .m }")}]))
        },
        &|world| {
            let output = json!({"m": 8});
            mended(world, &|exception| What::Skip { exception, output: output.clone(), document: None });
        },
    );
    assert_eq!((effects(&plain), told.states.as_slice()), (vec![1, 8], &["resolved"][..]));
    let task = plain.tasks().into_iter().find(|task| task.pointer == "/do/1/bad").unwrap();
    assert_eq!(task.note.as_deref(), Some("skipped by eva: it is unlocked"));
}

#[test]
fn a_call_goes_where_a_person_sends_it() {
    let to = || OperationRef { system: name("second"), operation: name("lookup") };
    let make = || refusing(1, &|| of(&json!([{"a": ask("lookup", "${ .n }")}, {"b": ask("key", "${ .n + 2 }")}])));
    let live = |world: &mut World| mended(world, &|exception| What::Reroute { exception, operation: to() });
    let (plain, _) = same_whatever_ends(&make, &live);
    let calls = plain.calls();
    assert_eq!((calls[0].system.as_ref(), calls[1].system.as_ref()), (Some(&name("second")), Some(&name("eam"))));
    assert_eq!(effects(&plain), [1, 3]);
    let mut world = make();
    world.finish();
    let id = world.exceptions()[0].id;
    let wrong = OperationRef { system: name("second"), operation: name("upsert") };
    let Acted::Refused(why) = asked(&mut world, What::Reroute { exception: id, operation: wrong }) else { panic!() };
    assert_eq!(why, "second.upsert implements work.upsert, not work.lookup");
}

#[test]
fn a_discarded_fault_is_final_and_a_compensated_run_is_undone() {
    let tasks = json!([{"a": undone("key", "${ .n }")}, {"sub": {"run": {"await": true, "workflow":
        {"namespace": "test", "name": "far", "version": "1.0.0", "input": {"n": "${ .n }"}}}}}]);
    let make = || {
        let far = plain(&json!([{"u": undone("upsert", "${ .n + 30 }")}, {"bad": ask("lookup", "${ .n + 60 }")}]));
        let mut world = world(contract(&[("story", on_alarm(&tasks)), ("far", far)]));
        world.office.refuses.insert(61, refusal());
        world
    };
    let (plain, told) = same_whatever_ends(&make, &|world| mended(world, &|exception| What::Discard { exception }));
    assert!(plain.runs().iter().all(|run| run.state == RunState::Faulted));
    assert_eq!((effects(&plain), told.states.as_slice()), (vec![1, 31], &["discarded"][..]));
    let mut plain = plain;
    let id = plain.exceptions()[0].id;
    assert!(matches!(asked(&mut plain, retry(id)), Acted::Refused(_)));
    let (plain, told) = same_whatever_ends(&make, &|world| mended(world, &|exception| What::Compensate { exception }));
    assert!(plain.runs().iter().all(|run| run.state == RunState::Cancelled), "{:?}", plain.runs());
    let mut all = effects(&plain);
    all.sort_unstable();
    assert_eq!((all, told.states.as_slice()), (vec![1, 31, 101, 101], &["resolved"][..]));
}

#[test]
fn what_was_undone_by_the_fault_itself_cannot_be_taken_up() {
    let story = on_alarm(&json!([{"a": undone("key", "${ .n }")}, {"b": ask("key", "${ .n + 2 }")}]));
    let contract = with_settings(contract(&[("story", story)]), "story", |d| d.settings.compensate = true);
    let mut world = world(contract);
    world.office.refuses.insert(3, refusal());
    world.finish();
    let id = world.exceptions()[0].id;
    let Acted::Refused(why) = asked(&mut world, retry(id)) else { panic!("it has undone it") };
    assert!(why.contains("it has undone what it had done"), "{why}");
}

#[test]
fn what_goes_on_beside_a_fault_is_there_when_the_run_is_taken_up() {
    // A branch listens, another asks, a third waits: what comes meanwhile is heard, and timeouts stand still.
    let tasks = json!([{"side": {"fork": {"branches": [
        {"x": {"do": [{"a": ask("lookup", "${ .n }")}, {"c": ask("key", "${ .n + 4 }")}]}},
        {"y": {"do": [{"heard": {"listen": {"to": {"one": {"with": {"type": "asset.alarm", "subject": "m-9"}}}}}},
            {"d": {"call": "work.key", "with": {"n": 5, "asset": "m-1"}}}]}},
        {"z": {"timeout": {"after": "1 h"}, "do": [{"pause": {"wait": "30 m"}}, {"e": ask("key", "${ 6 }")}]}}]}}}]);
    let make = || refusing(1, &|| of(&tasks));
    let live = |world: &mut World| {
        world.finish();
        world.event(2, "m-9", json!({"change": "returned", "n": 9}));
        world.pass(Span::from_secs(36_000));
        world.finish();
        world.office.refuses.clear();
        remedy(world, "it is unlocked", &retry);
    };
    let (plain, told) = same_whatever_ends(&make, &live);
    assert!(plain.runs().iter().any(|run| run.state == RunState::Completed), "{:?}", plain.runs());
    let mut all = effects(&plain);
    all.sort_unstable();
    assert_eq!(all, [1, 5, 5, 6, 6, 9, 13], "{told:?}");
}

#[test]
fn a_question_that_a_fault_has_closed_is_asked_again() {
    let tasks = json!([{"side": {"fork": {"branches": [
        {"x": {"do": [{"a": ask("lookup", "${ .n }")}]}},
        {"y": {"do": [{"asked": {
            "metadata": {"owner": "planning", "question": "May it go on?", "form": {"type": "object"}, "due": "4 h"},
            "listen": {"to": {"one": {"with": {"type": HUMAN_DECISION}}}}}}]}}]}}}]);
    let mut world = refusing(1, &|| of(&tasks));
    world.finish();
    let question = |world: &World| world.exceptions().into_iter().find(|row| row.decision.is_some()).unwrap();
    assert_eq!(question(&world).state, ExceptionState::Resolved);
    world.office.refuses.clear();
    let id = world.exceptions().into_iter().find(|row| row.decision.is_none()).unwrap().id;
    assert!(matches!(asked(&mut world, retry(id)), Acted::Done(_)));
    assert_eq!(question(&world).state, ExceptionState::Open);
    assert_eq!(world.runs()[0].state, RunState::Waiting);
}

#[test]
fn a_group_is_retried_in_the_order_of_each_key() {
    const RUNS: u64 = 10_000;
    const KEYS: u64 = 7;
    let mut world =
        World::new(contract(&[("story", on_alarm(&json!([{"a": {"call": "work.lookup", "with": {"n": 1}}}])))]));
    for n in 1..=RUNS {
        world.event(n, &format!("m-{}", n % KEYS), json!({"change": "activated", "n": n}));
    }
    world.office.refuses.insert(1, refusal());
    world.finish();
    let group = world.exceptions()[0].fingerprint.clone();
    world.office.refuses.clear();
    let seen = world.office.seen.len();
    let page = world.store.exceptions_of_group(&group, 0, 10_000).unwrap();
    assert_eq!(page.len(), 10_000);
    for (token, (_, row)) in (0..).zip(&page) {
        let (by, reason) = ("eva".to_owned(), "it is unlocked".to_owned());
        world.runner.act(Act { token, by, reason, what: retry(row.id) });
    }
    let mut order: Vec<(Time, String)> = Vec::new();
    loop {
        let sent = world.settle();
        if sent.is_empty() {
            break;
        }
        for ready in &sent {
            let call = world.store.call(ready.request.call).unwrap().unwrap();
            order.push((call.created, call.memory["lane"].as_str().unwrap().to_owned()));
            let place = call.memory["place"].as_u64().unwrap();
            order.last_mut().unwrap().0 = Time(i64::try_from(place).unwrap());
        }
        world.serve(&sent);
    }
    assert_eq!(world.office.seen.len() - seen, 10_000, "no more than the calls");
    for key in 0..KEYS {
        let lane = format!("m-{key}");
        let places: Vec<_> = order.iter().filter(|(_, of)| *of == lane).map(|(place, _)| *place).collect();
        assert!(places.is_sorted() && places.len() > 400, "{lane}");
    }
    assert!(world.exceptions().iter().all(|row| row.state == ExceptionState::Resolved));
}

/// Two alarms of m-1, of which the office has refused the first, and people know.
fn first_refused(plant: andon_contract::Contract) -> (World, ExceptionId) {
    let mut world = world(plant);
    world.event(50, "m-1", json!({"change": "activated", "n": 50}));
    world.office.refuses.insert(50, refusal());
    world.finish();
    let id = world.exceptions().into_iter().find(|row| row.call.is_some()).unwrap().id;
    world.office.refuses.clear();
    world.event(51, "m-1", json!({"change": "activated", "n": 51}));
    (world, id)
}

fn numbers(requests: &[crate::run::Ready]) -> Vec<i64> {
    requests.iter().map(|ready| ready.request.input["n"].as_i64().unwrap()).collect()
}

/// Found by `cargo xtask torture --seed 101`: it waited for the end of its time instead.
#[test]
fn a_call_that_a_breaker_kept_away_goes_on_behind_an_older_one_that_people_have_retried() {
    let mut plant = contract(&[("story", on_alarm(&json!([{"a": ask("key", "${ .n }")}])))]);
    let breaker = Breaker { calls: 1, ..Breaker::DEFAULT };
    plant.systems.get_mut(&name("eam")).unwrap().breaker = Some(breaker);
    let (mut world, refused) = first_refused(plant);
    // What was answered before does not count any more.
    world.pass(Span::from_secs(120));
    let sent = world.settle();
    assert_eq!(numbers(&sent), [51]);
    world.reply(&sent[0], answer(OutcomeClass::Transient, true, Some(503), "busy"));
    world.pass(Span::from_secs(1));
    assert!(world.settle().is_empty(), "its breaker keeps it away");
    assert_eq!(world.runner.fares()[&name("eam")].held, 1);
    world.runner.act(Act { token: 9, by: "eva".into(), reason: "it is unlocked".into(), what: retry(refused) });
    let start = world.now;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let sent = world.settle();
        seen.extend(numbers(&sent));
        world.serve(&sent);
        world.pass(Span::from_secs(1));
        assert!(world.now.since(start) < Span::from_secs(60), "after {seen:?}: {:?}", world.calls());
    }
    assert_eq!(seen, [50, 51], "the older one first, and the other at once behind it");
}

#[test]
fn an_older_call_that_people_have_retried_waits_for_the_one_under_way_whatever_is_read_again() {
    let (mut world, refused) = first_refused(contract(&[("story", on_alarm(&json!([{"a": ask("key", "${ .n }")}])))]));
    let sent = world.settle();
    assert_eq!(numbers(&sent), [51]);
    world.runner.act(Act { token: 9, by: "eva".into(), reason: "it is unlocked".into(), what: retry(refused) });
    assert!(world.settle().is_empty(), "it waits for the one that is under way");
    world.set_clock(Span::from_secs(3_600));
    assert!(world.settle().is_empty(), "it still does");
    world.serve(&sent);
    let again = world.settle();
    assert_eq!(numbers(&again), [50]);
    world.serve(&again);
    world.finish();
}
