//! Every construct of the language in a whole run: once undisturbed, and once for each commit at which the process can
//! end. The runs must end alike, with the same effects.

use super::End;
use super::world::World;
use crate::testing::plant::contract;
use andon_model::call::Step;
use andon_model::{Event, EventId};
use andon_store::rows::{CallState, RunState, TaskRow};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What a story did, in terms that do not depend on how often the process ended.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    /// Of each run: its workflow, state, output and error.
    pub(super) runs: Vec<(String, RunState, Option<Json>, Option<Json>)>,
    /// Effects by task and iteration.
    effects: BTreeMap<(String, String), u32>,
    /// Completed tasks with their iterations, sorted: what goes on side by side may complete in another order.
    tasks: Vec<(String, String)>,
    /// Types and data of events that were emitted.
    events: Vec<(String, Json)>,
    /// Fingerprints' first parts of exceptions.
    pub(super) exceptions: Vec<String>,
    /// Where they stand.
    pub(super) states: Vec<&'static str>,
}

pub(super) fn told(world: &World) -> Told {
    let mut runs: Vec<_> =
        world.runs().into_iter().map(|run| (run.workflow, run.state, run.output, run.error)).collect();
    runs.sort_by_key(|(name, _, output, _)| (name.clone(), output.as_ref().map(Json::to_string)));
    let calls = world.calls();
    let place = |reference: &andon_model::Reference| {
        let call = calls.iter().find(|call| call.reference == *reference).expect("an effect of a call");
        (call.pointer.clone(), call.iteration.clone())
    };
    let mut effects = BTreeMap::new();
    for (reference, count) in &world.office.effects {
        *effects.entry(place(reference)).or_insert(0) += count;
    }
    let rows = world.tasks();
    let of = |task: &TaskRow| EventId::emitted(task.run, &task.pointer, &task.iteration);
    let derived: Vec<EventId> = rows.iter().map(of).collect();
    let mut tasks: Vec<_> = rows.into_iter().map(|task| (task.pointer, task.iteration)).collect();
    tasks.sort();
    let emitted = world.store.events_after(0, 1_000).unwrap().into_iter().map(|stored| stored.event);
    let emitted: Vec<_> = emitted.filter(|event| event.causation.is_some()).collect();
    let is_found = |event: &Event| derived.contains(&event.id);
    assert!(emitted.iter().all(is_found), "what a run has emitted is found by its tasks: {emitted:?}");
    let mut events: Vec<_> = emitted.into_iter().map(|event| (event.kind, event.data)).collect();
    events.sort_by_key(|(kind, data)| (kind.clone(), data.to_string()));
    let mut exceptions: Vec<_> = world
        .exceptions()
        .into_iter()
        .map(|row| row.fingerprint.split('/').next().unwrap_or_default().to_owned())
        .collect();
    exceptions.sort();
    let mut states: Vec<_> = world.exceptions().into_iter().map(|row| row.state.word()).collect();
    states.sort_unstable();
    Told { runs, effects, tasks, events, exceptions, states }
}

/// A construct, the workflow that shows it, and what its one run gives.
struct Case {
    construct: &'static str,
    tasks: Json,
    gives: Result<Json, u16>,
    /// How many effects it has.
    effects: usize,
}

fn case(construct: &'static str, tasks: Json, gives: Result<Json, u16>, effects: usize) -> Case {
    Case { construct, tasks, gives, effects }
}

/// A call with this `n`; its output is the task's input.
fn ask(class: &str, n: &str) -> Json {
    json!({"call": format!("work.{class}"), "with": {"n": n, "asset": "m-1"}, "output": {"as": "{ n: $input.n }"}})
}

/// Requests that a workflow makes itself.
fn requests() -> Vec<Case> {
    let out = json!({"as": "{ n: $input.n }"});
    let web = |with: Json| json!({"call": "http", "with": with, "output": out});
    vec![
        case(
            "call: http",
            json!([
                {"put": web(json!({"method": "put", "endpoint": "http://office/jobs/{n}", "body": {"n": "${ .n }"}}))},
                {"get": web(json!({"method": "get", "endpoint": "http://office/work"}))}]),
            Ok(json!({"n": 1})),
            1,
        ),
        case(
            "call: openapi",
            json!([{"make": {"call": "openapi", "output": out, "with": {
                "document": {"endpoint": "http://office/openapi.json"}, "operationId": "make"}}}]),
            Ok(json!({"n": 1})),
            1,
        ),
    ]
}

fn cases() -> Vec<Case> {
    let keyed = || ask("key", "${ .n }");
    vec![
        case(
            "do",
            json!([{"both": {"do": [{"a": keyed()}, {"b": {"set": {"n": "${ .n + 1 }"}}}]}}]),
            Ok(json!({"n": 2})),
            1,
        ),
        case("set", json!([{"a": {"set": {"n": "${ .n + 1 }"}}}, {"b": keyed()}]), Ok(json!({"n": 2})), 1),
        case(
            "if, then, input, output, export",
            json!([
                {"a": {"if": ".n == 2", "call": "work.key"}},
                {"b": {"input": {"from": "{ n: (.n + 4) }"}, "if": ".n == 5", "set": "${ . }", "output": {"as": ".n"},
                       "export": {"as": "{ kept: $output }"}, "then": "d"}},
                {"c": {"set": {"never": true}}},
                {"d": {"set": {"n": "${ $context.kept }"}}},
                {"e": keyed()}]),
            Ok(json!({"n": 5})),
            1,
        ),
        case(
            "switch",
            json!([
                {"which": {"switch": [{"two": {"when": ".n == 2", "then": "x"}}, {"other": {"then": "y"}}]}},
                {"x": ask("upsert", "${ .n }")},
                {"y": keyed()}]),
            Ok(json!({"n": 1})),
            1,
        ),
        case(
            "call",
            json!([{"l": ask("lookup", "${ .n }")}, {"k": keyed()}, {"u": ask("upsert", "${ .n }")},
                   {"r": ask("read", "${ .n }")}]),
            Ok(json!({"n": 1})),
            3,
        ),
        case(
            "emit",
            json!([{"tell": {"emit": {"event": {"with": {
                "type": "work.done", "source": "https://plant/x", "data": {"n": "${ .n }"}}}},
                "output": {"as": ".data"}}}, {"k": keyed()}]),
            Ok(json!({"n": 1})),
            1,
        ),
        case(
            "for",
            json!([{"each": {"for": {"each": "x", "in": "[10, 20, 30]"}, "while": "$index < 2", "do": [
                {"k": ask("key", "${ $x + $index }")}]}}]),
            Ok(json!({"n": 1})),
            2,
        ),
        case(
            "fork",
            json!([{"side": {"fork": {"branches": [
                {"a": {"do": [{"k": keyed()}, {"pause": {"wait": "3 s"}}, {"l": ask("lookup", "${ .n + 1 }")}]}},
                {"b": ask("upsert", "${ .n + 5 }")},
                {"c": {"set": {"n": 0}}}]}}}]),
            Ok(json!([{"n": 1}, {"n": 1}, {"n": 0}])),
            3,
        ),
        case(
            "fork with compete",
            json!([{"race": {"fork": {"compete": true, "branches": [
                {"slow": {"do": [{"pause": {"wait": "3 s"}}, {"k": keyed()}]}},
                {"quick": {"do": [{"pause": {"wait": "1 s"}}, {"r": ask("read", "${ .n }")},
                {"won": {"set": {"n": 7}}}]}}]}}}]),
            Ok(json!({"n": 7})),
            0,
        ),
        case("wait", json!([{"pause": {"wait": "${ { seconds: .n } }"}}, {"k": keyed()}]), Ok(json!({"n": 1})), 1),
    ]
}

/// What ends badly, or would.
fn troubled() -> Vec<Case> {
    let keyed = || ask("key", "${ .n }");
    vec![
        case(
            "raise",
            json!([{"k": keyed()}, {"bad": {"raise": {"error": {"type": "https://plant/errors/bad", "status": 418}}}}]),
            Err(418),
            1,
        ),
        case(
            "try and catch",
            json!([{"guard": {
                "try": [{"k": keyed()}, {"bad": {"raise": {"error": {"type": "t", "status": 503}}}}],
                "catch": {"errors": {"with": {"status": 503}}, "as": "e", "do": [
                    {"u": ask("upsert", "${ $e.status }")}]}}}]),
            Ok(json!({"n": 1})),
            2,
        ),
        case(
            "retry",
            json!([{"guard": {
                "try": [{"k": keyed()}, {"l": ask("lookup", "${ .n }")},
                        {"bad": {"raise": {"error": {"type": "t", "status": 503}}}}],
                "catch": {"retry": {"delay": "2 s", "backoff": {"exponential": {}}, "jitter": {"from": "0 s",
                "to": "1 s"},
                                    "limit": {"attempt": {"count": 3}}},
                          "do": [{"last": {"set": {"n": 9}}}]}}}]),
            Ok(json!({"n": 9})),
            2,
        ),
        case(
            "use",
            json!([
                {"guard": {
                    "try": [{"f": {"call": "keep", "with": {"n": "${ .n }"}}}, {"bad": {"raise": {"error": "gone"}}}],
                    "catch": {"retry": "thrice", "do": [{"last": {"set": {"n": 9}}}]}}},
                {"late": {
                    "try": [{"long": {"timeout": "short", "wait": "1 h"}}],
                    "catch": {"do": [{"k": keyed()}]}}}]),
            Ok(json!({"n": 9})),
            2,
        ),
        case(
            "timeout",
            json!([{"guard": {
                "try": [{"long": {"timeout": {"after": "5 s"}, "do": [{"k": keyed()}, {"pause": {"wait": "1 h"}}]}}],
                "catch": {"do": [{"late": ask("upsert", "${ $error.status }")}]}}}]),
            Ok(json!({"n": 1})),
            2,
        ),
    ]
}

fn world(case: &Case) -> World {
    let mut world = World::new(contract(&[(
        "story",
        json!({
            "schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}},
            "input": {"from": "{ n: .[0].data.n }"},
            "use": {
                "functions": {"keep": ask("key", "${ .n }")},
                "errors": {"gone": {"type": "https://plant/errors/gone", "status": 503}},
                "retries": {"thrice": {"delay": "1 s", "limit": {"attempt": {"count": 3}}}},
                "timeouts": {"short": {"after": "5 s"}},
            },
            "do": case.tasks,
        }),
    )]));
    world.event(1, "m-1", json!({"change": "activated", "n": 1}));
    world
}

#[test]
fn every_construct_runs_and_survives_the_end_of_its_process_at_every_commit() {
    for case in cases().into_iter().chain(requests()).chain(troubled()) {
        let mut plain = world(&case);
        plain.finish();
        let expected = told(&plain);
        let (_, state, output, error) = &expected.runs[0];
        match &case.gives {
            Ok(output_due) => {
                assert_eq!((state, output), (&RunState::Completed, &Some(output_due.clone())), "{}", case.construct);
            }
            Err(status) => {
                let found = error.as_ref().map(|error| error["status"].clone());
                assert_eq!((state, found), (&RunState::Faulted, Some(json!(status))), "{}", case.construct);
            }
        }
        assert_eq!(expected.effects.len(), case.effects, "{}: {expected:?}", case.construct);
        for seed in 0..3 {
            for side in [End::Before, End::After] {
                for end in 1.. {
                    let mut world = world(&case);
                    world.chance = seed;
                    world.runner.ends = Some((end, side));
                    world.finish();
                    let why = format!("{}: seed {seed}, the process ends {side:?} commit {end}", case.construct);
                    assert_eq!(told(&world), expected, "{why}");
                    assert!(world.office.effects.values().all(|count| *count == 1), "{why}");
                    assert!(world.calls().iter().all(|c| !matches!(c.state, CallState::Parked)), "{why}");
                    if world.crashes == 0 {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn a_search_is_made_only_after_an_unknown_outcome() {
    let cases = cases();
    let case = cases.iter().find(|case| case.construct == "call").expect("it is in the table");
    let mut world = world(case);
    world.finish();
    assert!(world.office.seen.iter().all(|(_, step)| *step == Step::Send));
}
