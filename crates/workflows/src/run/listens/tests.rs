//! Listening, planned and deciding runs over the store, the process ending at every commit.

use crate::run::world::{Maker, World, no_load};
use crate::run::{End, Loop};
use crate::testing::plant::contract;
use andon_contract::Contract;
use andon_contract::contract::Site;
use andon_contract::workflow::HUMAN_DECISION;
use andon_model::{Event, EventId, Name, SiteName, Time, span::Span, time::Zone};
use andon_store::rows::{ExceptionRow, ExceptionState, RunState, Write};
use andon_store::{ANY_TYPE, ListenRow};
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn here() -> SiteName {
    SiteName::new("home").unwrap()
}

fn event(world: &World, number: u64, kind: &str, data: Json) -> Event {
    let id = EventId::derived(&[b"listen", &number.to_le_bytes()]);
    Event {
        id,
        kind: kind.into(),
        source: "/home/test".into(),
        time: world.now,
        subject: "m-1".into(),
        schema: format!("andon:{kind}/1.0"),
        site: here(),
        key: "m-1".into(),
        correlation: id,
        causation: None,
        recorded: world.now,
        data,
    }
}

fn tell(world: &World, number: u64, kind: &str, data: Json) {
    world.store.commit(vec![Write::Event(Box::new(event(world, number, kind, data)), None)]).unwrap();
}

/// Begins with an event `begin` and then listens for `go` of the same order.
fn by_order(tasks: &Json) -> Json {
    json!({"schedule": {"on": {"one": {"with": {"type": "begin"}}}}, "do": tasks})
}

fn go() -> Json {
    json!({"one": {"with": {"type": "go"},
        "correlate": {"order": {"from": ".data.order", "expect": "$workflow.input[0].data.order"}}}})
}

fn waits() -> Contract {
    contract(&[("waits", by_order(&json!([{"wait": {"listen": {"to": go()}}}])))])
}

/// Tells the story while the process ends at the given commit; the runs at the end.
fn with_end(contract: impl Fn() -> Contract, story: &dyn Fn(&mut World), end: Option<(u32, End)>) -> World {
    let mut world = World::new(contract());
    world.runner.ends = end;
    story(&mut world);
    world
}

/// Whatever commit the process ends at, the outputs of the runs are the same.
fn same_at_every_commit(contract: impl Fn() -> Contract, story: &dyn Fn(&mut World)) -> Vec<(RunState, Option<Json>)> {
    let of = |world: &World| {
        let mut runs: Vec<_> = world.runs().into_iter().map(|run| (run.id, run.state, run.output)).collect();
        runs.sort_by_key(|(id, ..)| *id);
        runs
    };
    let plain = of(&with_end(&contract, story, None));
    for number in 1..60 {
        let mut crashed = 0;
        for end in [End::Before, End::After] {
            let world = with_end(&contract, story, Some((number, end)));
            crashed += world.crashes;
            assert_eq!(of(&world), plain, "the process ended at commit {number}, {end:?}");
        }
        if crashed == 0 {
            assert!(number > 1, "the process has ended nowhere");
            return plain.into_iter().map(|(_, state, output)| (state, output)).collect();
        }
    }
    panic!("there are commits without end");
}

#[test]
fn nothing_is_missed_and_nothing_consumed_twice_whatever_is_lost() {
    let listens = || {
        contract(&[(
            "waits",
            by_order(&json!([
                {"first": {"listen": {"to": go()}, "output": {"as": "${ .[0].n }"},
                    "export": {"as": "${ {first: .} }"}}},
                {"all": {
                    "listen": {"to": {"any": [{"with": {"type": "go"}}], "until": "${ .n >= 6 }"}},
                    "foreach": {"do": [{"pause": {"wait": "1 s"}}], "output": {"as": "${ .n }"}},
                    "output": {"as": "${ {first: $context.first, all: .} }"},
                }},
            ])),
        )])
    };
    let ends = same_at_every_commit(listens, &|world| {
        tell(world, 1, "go", json!({"order": "A", "n": 0}));
        tell(world, 2, "begin", json!({"order": "A"}));
        tell(world, 3, "go", json!({"order": "B", "n": 2}));
        world.settle();
        tell(world, 4, "go", json!({"order": "A", "n": 3}));
        tell(world, 5, "other", json!({}));
        tell(world, 6, "go", json!({"order": "A", "n": 4}));
        world.finish();
        tell(world, 7, "go", json!({"order": "B", "n": 5}));
        world.finish();
        tell(world, 8, "go", json!({"order": "A", "n": 6}));
        world.finish();
    });
    let output = json!({"first": 3, "all": [2, 3, 4, 5, 6]});
    assert_eq!(ends, [(RunState::Completed, Some(output))]);
}

#[test]
fn an_event_wakes_the_run_it_is_meant_for_and_touches_no_other() {
    const RUNS: u64 = 10_000;
    let mut world = World::new(waits());
    for number in 0..RUNS {
        tell(&world, number, "begin", json!({"order": number}));
    }
    world.finish();
    // None is in memory, and the row of each says when it was last written.
    world.runner = Loop::new(world.store.clone(), Arc::clone(&world.contract), world.dialect.clone(), no_load());
    world.settle();
    let before = world.now;
    world.pass(Span::from_secs(10));
    tell(&world, RUNS, "go", json!({"order": 4_711.0}));
    let row =
        |value: &str| ListenRow { site: here(), kind: "go".into(), by: ".data.order".into(), value: value.into() };
    assert_eq!(world.store.listeners(&row("4711")).unwrap().len(), 1);
    world.settle();
    assert_eq!(world.runner.open.len(), 0, "the run has ended, and no other was looked at");
    let touched: Vec<_> = world.runs().into_iter().filter(|run| run.updated > before).collect();
    assert_eq!(touched.len(), 1);
    assert_eq!((touched[0].state, &touched[0].output), (RunState::Completed, &Some(json!([{"order": 4_711.0}]))));
    assert_eq!(world.store.listeners(&row("4711")).unwrap(), []);
    assert_eq!(world.store.listeners(&row("4712")).unwrap().len(), 1);
    assert_eq!(world.store.listeners(&ListenRow { kind: ANY_TYPE.into(), ..row("4712") }).unwrap(), []);
}

#[test]
fn events_start_a_run_one_by_one_or_together() {
    let with = |kind: &str| json!({"with": {"type": kind}, "correlate": {"order": {"from": ".data.order"}}});
    let several = || {
        let tasks = json!([{"tell": {"set": "${ [$workflow.input[].data.n] }"}}]);
        let on = |to: Json| json!({"schedule": {"on": to}, "do": tasks});
        contract(&[
            ("each", on(json!({"any": [{"with": {"type": "a"}}, {"with": {"type": "b"}}]}))),
            ("together", on(json!({"all": [with("a"), with("b")]}))),
        ])
    };
    let mut ends = same_at_every_commit(several, &|world| {
        for (n, kind, order) in [(1, "a", "X"), (2, "a", "X"), (3, "b", "Y"), (4, "b", "X")] {
            tell(world, n, kind, json!({"order": order, "n": n}));
        }
        world.finish();
        for (n, kind, order) in [(5, "b", "X"), (6, "c", "Y"), (7, "a", "Y")] {
            tell(world, n, kind, json!({"order": order, "n": n}));
        }
        world.finish();
    });
    ends.sort_by_key(|(_, output)| output.as_ref().map(ToString::to_string));
    let outputs: Vec<_> = ends.into_iter().filter_map(|(_, output)| output).collect();
    let each: Vec<_> = [1, 2, 3, 4, 5, 7].iter().map(|n| json!([n])).collect();
    let together = [json!([1, 4]), json!([2, 5]), json!([3, 7])];
    let mut wanted: Vec<_> = each.into_iter().chain(together).collect();
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(outputs, wanted);
}

/// The workflows and order numbers of the events that wait for others.
fn gathered(world: &World) -> Vec<(String, u64)> {
    let rows = world.store.gathers_after(None, 10_000).unwrap();
    rows.into_iter().map(|(key, _, number)| (key.workflow, number)).collect()
}

#[test]
fn events_that_wait_together_are_forgotten_with_what_they_would_begin_a_bounded_number_in_a_step() {
    let with = |kind: &str| json!({"with": {"type": kind}, "correlate": {"order": {"from": ".data.order"}}});
    let all = |kinds: &[&str]| -> Json {
        let filters: Vec<Json> = kinds.iter().map(|kind| with(kind)).collect();
        json!({"schedule": {"on": {"all": filters}}, "do": [{"tell": {"set": "${ [$workflow.input[].data.n] }"}}]})
    };
    let of = |revision: &'static str, workflows: Vec<(&'static str, Json)>| -> Maker {
        Arc::new(move || Contract { revision: revision.into(), ..contract(&workflows) })
    };
    let (kept, many) = (("kept", all(&["a", "b"])), 2_500);
    for after in [vec![kept.clone()], vec![kept.clone(), ("other", all(&["a", "c"]))]] {
        for crashes in [false, true] {
            let mut world = World::of(of("r1", vec![kept.clone(), ("other", all(&["a", "d"]))]));
            let tell_a = |n: u64| Write::Event(Box::new(event(&world, n, "a", json!({"order": n, "n": n}))), None);
            world.store.commit((1..=many).map(tell_a).collect()).unwrap();
            world.finish();
            assert_eq!(gathered(&world).len() as u64, 2 * many);
            world.change(of("r2", after.clone()));
            world.runner.step(world.now).unwrap();
            assert_eq!(gathered(&world).len() as u64, 2 * many, "those of the first workflow were looked at");
            if crashes {
                world.crash(&[]);
            }
            world.finish();
            assert!(gathered(&world).iter().all(|(workflow, _)| workflow == "kept"));
            assert_eq!(gathered(&world).len() as u64, many, "what waits for a workflow that is there is kept");
            tell(&world, many + 1, "b", json!({"order": 7, "n": 0}));
            world.finish();
            assert_eq!(world.runs().iter().map(|run| run.output.clone()).collect::<Vec<_>>(), [Some(json!([7, 0]))]);
        }
    }
}

/// A workflow with a schedule at a site in Berlin.
fn planned(schedule: &Json, metadata: &Json) -> Contract {
    let tasks = json!([{"tell": {"set": "${ $workflow.input.planned }"}}]);
    let workflow = json!({"schedule": schedule, "metadata": metadata, "do": tasks});
    let site = Site { timezone: Zone::named("Europe/Berlin").unwrap(), ..site() };
    Contract { sites: [(here(), site)].into(), ..contract(&[("planned", workflow)]) }
}

fn site() -> Site {
    Site { zone: Name::new("plant").unwrap(), timezone: Zone::named("UTC").unwrap() }
}

/// Goes from wake to wake until a time.
fn until(world: &mut World, time: &str) {
    let time = Time::parse(time).unwrap();
    for _ in 0..10_000 {
        world.settle();
        let wake = world.runner.step(world.now).ok().and_then(|progress| progress.wake);
        match wake.filter(|wake| *wake <= time) {
            Some(wake) => world.now = wake.max(world.now),
            None => break,
        }
    }
    world.now = time;
    world.settle();
}

fn instants(world: &World) -> Vec<String> {
    let mut all: Vec<_> = world.runs().into_iter().filter_map(|run| Some(run.output?.as_str()?.to_owned())).collect();
    all.sort();
    all
}

#[test]
fn a_schedule_begins_a_run_at_each_instant_once_whatever_is_lost() {
    let cron = || planned(&json!({"cron": "0 2 * * *"}), &json!({}));
    let story = |world: &mut World| {
        world.now = Time::parse("2026-10-23T12:00:00Z").unwrap();
        until(world, "2026-10-26T12:00:00Z");
    };
    same_at_every_commit(cron, &story);
    let world = with_end(cron, &story, None);
    // Also on the day on which the clocks go back.
    let wanted = ["2026-10-24T00:00:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"];
    assert_eq!(instants(&world), wanted);
    let mut world = World::new(planned(&json!({"every": "PT20M"}), &json!({})));
    until(&mut world, "2026-11-22T09:00:00Z");
    assert_eq!(instants(&world), ["2026-11-22T08:20:00Z", "2026-11-22T08:40:00Z", "2026-11-22T09:00:00Z"]);
}

#[test]
fn missed_instants_are_made_up_for_as_the_workflow_says() {
    for (catchup, wanted) in [
        ("last", vec!["2026-11-22T09:00:00Z", "2026-11-22T13:00:00Z", "2026-11-22T14:00:00Z"]),
        ("none", vec!["2026-11-22T09:00:00Z", "2026-11-22T14:00:00Z"]),
        (
            "all",
            vec![
                "2026-11-22T09:00:00Z",
                "2026-11-22T10:00:00Z",
                "2026-11-22T11:00:00Z",
                "2026-11-22T12:00:00Z",
                "2026-11-22T13:00:00Z",
                "2026-11-22T14:00:00Z",
            ],
        ),
    ] {
        for schedule in [json!({"cron": "0 * * * *"}), json!({"every": "PT1H"})] {
            let mut world = World::new(planned(&schedule, &json!({"catchup": catchup})));
            until(&mut world, "2026-11-22T09:30:00Z");
            // Nobody was there for four hours; then the clock is set back, and goes on.
            world.crash(&[]);
            world.now = Time::parse("2026-11-22T13:30:00Z").unwrap();
            world.settle();
            world.now = Time::parse("2026-11-22T12:10:00Z").unwrap();
            until(&mut world, "2026-11-22T14:20:00Z");
            assert_eq!(instants(&world), wanted, "{catchup} {schedule}");
        }
    }
}

#[test]
fn after_waits_for_the_end_of_the_last_run() {
    let tasks = json!([{"work": {"wait": "PT5M"}}, {"tell": {"set": "${ $workflow.input.planned }"}}]);
    let of = || {
        let workflow = json!({"schedule": {"after": "PT10M"}, "do": tasks});
        Contract { sites: [(here(), site())].into(), ..contract(&[("planned", workflow)]) }
    };
    let story = |world: &mut World| until(world, "2026-11-22T08:50:00Z");
    same_at_every_commit(of, &story);
    let world = with_end(of, &story, None);
    assert_eq!(instants(&world), ["2026-11-22T08:10:00Z", "2026-11-22T08:25:00Z", "2026-11-22T08:40:00Z"]);
}

/// Answers the open question, as the API does.
fn decide(world: &World, row: &ExceptionRow, answer: &Json) {
    let mut event = event(world, 900, HUMAN_DECISION, json!({"exception": row.id, "answer": answer}));
    event.id = crate::machine::listen::decision_event(row.id);
    let edited = ExceptionRow { state: ExceptionState::Resolved, ..row.clone() };
    world.store.commit(vec![Write::Event(Box::new(event), None), Write::ExceptionEdit(Box::new(edited))]).unwrap();
}

fn asks(timeout: Option<&str>) -> Json {
    let mut task = json!({
        "metadata": {"owner": "planning", "question": "May it go on?", "form": {"type": "object"}, "due": "4 h",
            "escalate": {"after": "8 h", "to": "integration"}},
        "listen": {"to": {"one": {"with": {"type": HUMAN_DECISION}}}},
    });
    if let Some(timeout) = timeout {
        task["timeout"] = json!({"after": timeout});
    }
    by_order(&json!([{"ask": {"try": [{"approve": task}], "catch": {}}}]))
}

#[test]
fn a_decision_is_an_exception_until_somebody_answers() {
    let of = || contract(&[("asks", asks(None))]);
    let story = |world: &mut World| {
        tell(world, 1, "begin", json!({"order": 1}));
        world.settle();
        world.pass(Span::from_secs(9 * 3600));
        world.settle();
        let rows = world.exceptions();
        assert_eq!(rows.len(), 1, "{rows:?}");
        let row = &rows[0];
        let decision = row.decision.as_ref().unwrap();
        assert_eq!((row.owner.as_str(), row.cause.as_str(), row.count), ("integration", "May it go on?", 1));
        assert_eq!(decision.escalated.as_ref().map(|(_, before)| before.as_str()), Some("planning"));
        assert_eq!(row.due, Some(world.now.plus(Span::from_secs(-5 * 3600))));
        decide(world, row, &json!({"yes": true}));
        world.finish();
        assert_eq!(world.exceptions()[0].state, ExceptionState::Resolved);
    };
    let ends = same_at_every_commit(of, &story);
    assert_eq!(ends[0].0, RunState::Completed);
    assert_eq!(ends[0].1.as_ref().unwrap()[0]["answer"], json!({"yes": true}));
}

#[test]
fn a_question_that_needs_no_answer_any_more_is_closed() {
    let mut world = World::new(contract(&[("asks", asks(Some("1 h")))]));
    tell(&world, 1, "begin", json!({"order": 1}));
    world.finish();
    assert_eq!(world.runs()[0].state, RunState::Completed);
    assert_eq!(world.exceptions()[0].state, ExceptionState::Resolved);
    assert_eq!(world.exceptions()[0].owner.as_str(), "planning");
}
