//! The scenarios of the DSL's conformance kit that need no HTTP, and what they leave open.

use super::*;
use crate::testing::definition;
use andon_contract::expr::NoNames;
use andon_model::{RunId, SiteName, span::Span};
use andon_store::rows::RunState;
use serde_json::json;

/// A run outside any store.
struct Bench {
    definition: Definition,
    row: RunRow,
    memory: Memory,
    now: Time,
    /// What happened, in order.
    done: Vec<Action>,
}

impl Bench {
    fn new(document: Json, input: Json) -> Self {
        let start = Time::parse("2026-11-22T08:00:00Z").unwrap();
        let row = RunRow {
            id: RunId::derived(&[b"test"]),
            site: SiteName::new("home").unwrap(),
            workflow: "test".into(),
            definition: String::new(),
            revision: String::new(),
            event: None,
            correlation: None,
            key: None,
            by: None,
            parent: None,
            cancel: None,
            taken_up: 0,
            state: RunState::Running,
            started: start,
            updated: start,
            wake: None,
            input,
            memory: Json::Null,
            output: None,
            error: None,
        };
        Self { definition: definition("test", document), row, memory: Memory::default(), now: start, done: Vec::new() }
    }

    /// One step. The memory goes through its stored form each time.
    fn step(&mut self, input: Input) -> Option<Action> {
        let stored = serde_json::to_string(&self.memory).unwrap();
        self.memory = serde_json::from_str(&stored).unwrap();
        let schemas = Schemas::built_in();
        let given = Given {
            definition: &self.definition,
            run: &self.row,
            schemas: &schemas,
            lookup: &NoNames,
            journal: &|_, _| None,
            now: self.now,
        };
        let actions = step(&given, &mut self.memory, input);
        let last = actions.last().cloned();
        self.done.extend(actions);
        last
    }

    /// To the end, over all waits, with this answer to each call.
    fn finish(&mut self, answer: &mut dyn FnMut(&MakeCall) -> Result<Json, Fault>) -> Result<Json, Fault> {
        let mut input = Input::Turn;
        let mut calls = std::collections::VecDeque::new();
        for _ in 0..100_000 {
            let before = self.done.len();
            self.step(input);
            for action in &self.done[before..] {
                match action {
                    Action::Complete(output) => return Ok(output.clone()),
                    Action::Fault(fault) => return Err(fault.clone()),
                    Action::Call(call) => calls.push_back(call.clone()),
                    Action::GiveUp(key) => calls.retain(|call| self.key(call) != *key),
                    _ => {}
                }
            }
            input = Input::Turn;
            if let Some(call) = calls.pop_front() {
                input = Input::Called(self.key(&call), answer(&call).map(|output| (output, None)));
            } else if !self.memory.is_ready() {
                let until = self.memory.wake().expect("it waits for a time");
                assert!(until > self.now);
                self.now = until;
            }
        }
        panic!("it does not end");
    }

    fn key(&self, call: &MakeCall) -> Key {
        Key::of_task(self.row.id, &call.pointer, &call.iteration, 0)
    }

    fn order(&self) -> Vec<String> {
        let name = |pointer: &str| pointer.rsplit('/').next().unwrap_or_default().to_owned();
        self.done.iter().filter_map(|a| if let Action::Task(d) = a { Some(name(&d.pointer)) } else { None }).collect()
    }

    fn iterations(&self, task: &str) -> Vec<String> {
        let of = |a: &Action| match a {
            Action::Task(d) if d.pointer.ends_with(&format!("/{task}")) => Some(d.iteration.clone()),
            _ => None,
        };
        self.done.iter().filter_map(of).collect()
    }
}

fn run(document: Json, input: Json) -> Result<Json, Fault> {
    Bench::new(document, input).finish(&mut |_| panic!("there is no call"))
}

fn down(status: u16) -> Fault {
    Fault { status, ..Fault::of(Standard::Communication, "it is down") }
}

#[test]
fn input_is_filtered() {
    let document = json!({"do": [{"setPlayerId": {
        "input": {"from": ".user.claims.subject"}, "set": {"playerId": "${ . }"}}}]});
    let output = run(document, json!({"user": {"claims": {"subject": "6AsnRg"}}}));
    assert_eq!(output, Ok(json!({"playerId": "6AsnRg"})));
}

#[test]
fn output_is_filtered_and_may_be_no_object() {
    let document = json!({"do": [
        {"first": {"call": "pets.find", "output": {"as": ".id"}}},
        {"second": {"call": "pets.find", "output": {"as": "{ ids: [ $input, .id ] }"}}},
    ]});
    let mut bench = Bench::new(document, json!({"petId": 1}));
    let mut id = 0;
    let output = bench.finish(&mut |_| {
        id += 1;
        Ok(json!({"id": id}))
    });
    assert_eq!(output, Ok(json!({"ids": [1, 2]})));
}

#[test]
fn a_composite_task_runs_its_tasks_in_order() {
    let add = |color: &str| json!({"set": {"colors": format!("${{ .colors + [\"{color}\"] }}")}});
    let document = json!({"do": [{"composite": {"do": [
        {"setRed": add("red")}, {"setGreen": add("green")}, {"setBlue": add("blue")}]}}]});
    let mut bench = Bench::new(document, Json::Null);
    let output = bench.finish(&mut |_| panic!());
    assert_eq!(output, Ok(json!({"colors": ["red", "green", "blue"]})));
    assert_eq!(bench.order(), ["setRed", "setGreen", "setBlue", "composite"]);
}

#[test]
fn then_leads_the_flow() {
    let add =
        |color: &str, then: &str| json!({"set": {"colors": format!("${{ .colors + [\"{color}\"] }}")}, "then": then});
    let document = json!({"do": [
        {"setRed": add("red", "setGreen")}, {"setBlue": add("blue", "end")}, {"setGreen": add("green", "setBlue")}]});
    let mut bench = Bench::new(document, Json::Null);
    let output = bench.finish(&mut |_| panic!());
    assert_eq!(output, Ok(json!({"colors": ["red", "green", "blue"]})));
    assert_eq!(bench.order(), ["setRed", "setGreen", "setBlue"]);
}

#[test]
fn set_makes_a_value() {
    let document = json!({"do": [{"setShape": {"set": {
        "shape": "circle", "size": "${ .configuration.size }", "fill": "${ .configuration.fill }"}}}]});
    let configuration = json!({"size": {"width": 6, "height": 6}, "fill": {"red": 69}});
    assert_eq!(
        run(document, json!({"configuration": configuration})),
        Ok(json!({"shape": "circle", "size": {"width": 6, "height": 6}, "fill": {"red": 69}}))
    );
}

fn colors(last: &Json) -> Json {
    let mut cases = json!([
        {"red": {"when": ".color == \"red\"", "then": "setRed"}},
        {"green": {"when": ".color == \"green\"", "then": "setGreen"}},
    ]);
    let mut tasks = vec![
        json!({"setRed": {"set": {"colors": "${ .colors + [ \"red\" ] }"}, "then": "end"}}),
        json!({"setGreen": {"set": {"colors": "${ .colors + [ \"green\" ] }"}, "then": "end"}}),
    ];
    if let Some(last) = last.as_object() {
        cases.as_array_mut().unwrap().push(json!({"other": {"then": "setCustomColor"}}));
        tasks.push(json!({"setCustomColor": last}));
    }
    tasks.insert(0, json!({"switchColor": {"switch": cases, "then": "end"}}));
    json!({"do": tasks})
}

#[test]
fn switch_takes_the_first_case_that_holds_else_its_own_then() {
    assert_eq!(run(colors(&Json::Null), json!({"color": "red"})), Ok(json!({"colors": ["red"]})));
    assert_eq!(run(colors(&Json::Null), json!({"color": "yellow"})), Ok(json!({"color": "yellow"})));
    let custom = json!({"set": {"colors": "${ .colors + [ $input.color ] }"}});
    assert_eq!(run(colors(&custom), json!({"color": "yellow"})), Ok(json!({"colors": ["yellow"]})));
}

#[test]
fn raise_ends_a_run_with_its_error_and_the_place() {
    let document = json!({"do": [{"raiseError": {"raise": {"error": {
        "status": 400, "type": "https://serverlessworkflow.io/errors/types/compliance", "title": "Compliance Error"}}}}]});
    assert_eq!(
        run(document, Json::Null).unwrap_err().to_json(),
        json!({"type": "https://serverlessworkflow.io/errors/types/compliance", "status": 400,
               "title": "Compliance Error", "instance": "/do/0/raiseError"})
    );
}

fn try_pet(status: u16) -> Json {
    json!({"do": [{"tryGetPet": {
        "try": [{"getPet": {"call": "pets.find"}}],
        "catch": {
            "errors": {"with": {
                "type": "https://serverlessworkflow.io/dsl/errors/types/communication", "status": status}},
            "as": "err",
            "do": [{"setError": {"set": {"error": "${ $err }"}}}]}}}]})
}

#[test]
fn try_hands_a_caught_error_to_its_handler_and_lets_others_pass() {
    let output = Bench::new(try_pet(404), json!({"petName": "Milou"})).finish(&mut |_| Err(down(404))).unwrap();
    assert_eq!(output["error"]["instance"], "/do/0/tryGetPet/try/0/getPet");
    assert_eq!(output["error"]["status"], 404);
    assert!(output["error"]["title"].is_string() && output["error"]["type"].is_string());
    let fault = Bench::new(try_pet(503), Json::Null).finish(&mut |_| Err(down(404))).unwrap_err();
    assert_eq!((fault.status, fault.instance.as_deref()), (404, Some("/do/0/tryGetPet/try/0/getPet")));
}

#[test]
fn emit_gives_the_event_and_a_wrong_one_is_an_error() {
    let emit = |data: Json| {
        json!({"do": [{"tell": {"emit": {"event": {"with": {
            "type": "asset.alarm", "subject": "${ .asset }", "data": data}}}}}]})
    };
    let fault = run(emit(json!("${ { change: .change } }")), json!({"asset": "m-1", "change": 7})).unwrap_err();
    assert!(fault.kind.ends_with("/validation"), "{fault:?}");
    assert_eq!(fault.instance.as_deref(), Some("/do/0/tell"));
    let unknown = json!({"do": [{"tell": {"emit": {"event": {"with": {"type": "no.such", "data": {}}}}}}]});
    assert!(run(unknown, Json::Null).unwrap_err().detail.unwrap().contains("no.such"));
}

#[test]
fn a_skipped_task_hands_its_raw_input_on_and_its_then_is_not_followed() {
    let document = json!({"do": [
        {"skipped": {"if": ".a == 2", "input": {"from": "{ a: .a }"}, "set": {"b": 1}, "then": "end"}},
        {"after": {"set": {"got": "${ . }"}}},
    ]});
    let mut bench = Bench::new(document, json!({"a": 1, "c": 3}));
    assert_eq!(bench.finish(&mut |_| panic!()), Ok(json!({"got": {"a": 1, "c": 3}})));
    let Action::Task(done) = &bench.done[0] else { panic!() };
    assert_eq!(done.note.as_deref(), Some("skipped: its `if` is not true"));
}

#[test]
fn export_makes_the_context_and_every_variable_is_there() {
    let document = json!({
    "input": {"from": ".[0]"},
    "output": {"as": "{ out: ., context: $context }"},
    "do": [
        {"a": {"set": {"n": "${ .n + 1 }"}, "output": {"as": ".n"},
               "export": {"as": "{ n: $output, was: $input.n, raw: $task.output.n, name: $task.name }"}}},
        {"b": {"set": {"reference": "${ $task.reference }", "id": "${ $workflow.id }",
               "input": "${ $workflow.input[0].n }", "since": "${ $workflow.startedAt.epoch.seconds }",
               "runtime": "${ $runtime.name }", "kind": "${ $task.definition | keys[0] }"}}},
    ]});
    let output = run(document, json!([{"n": 1}])).unwrap();
    assert_eq!(output["context"], json!({"n": 2, "was": 1, "raw": 2, "name": "a"}));
    let id = RunId::derived(&[b"test"]);
    assert_eq!(
        output["out"],
        json!({"reference": "/do/1/b", "id": id, "input": 1, "since": 1_795_334_400, "runtime": "andon", "kind": "set"})
    );
}

#[test]
fn exit_leaves_its_list_and_end_leaves_all() {
    let inner = |then: &str| {
        json!({"do": [
            {"block": {"do": [{"x": {"if": ".y == null", "set": {"x": 1}, "then": then}}, {"y": {"set": {"y": 1}}}],
                       "output": {"as": ". + { block: true }"}}},
            {"after": {"set": "${ . + { after: true } }"}}]})
    };
    assert_eq!(run(inner("exit"), Json::Null), Ok(json!({"x": 1, "block": true, "after": true})));
    assert_eq!(run(inner("end"), Json::Null), Ok(json!({"x": 1, "block": true})));
}

#[test]
fn retry_repeats_with_growing_pauses_until_it_succeeds() {
    for (backoff, pauses) in [("constant", [2, 2, 2]), ("linear", [2, 4, 6]), ("exponential", [2, 4, 8])] {
        let document = json!({"do": [{"guard": {
            "try": [{"ask": {"call": "pets.find"}}],
            "catch": {"errors": {"with": {"status": 503}},
                      "retry": {"delay": "2 s", "backoff": {backoff: {}}, "limit": {"attempt": {"count": 4}}}}}}]});
        let mut bench = Bench::new(document, Json::Null);
        let (mut calls, start) = (Vec::new(), bench.now);
        let output = bench.finish(&mut |call| {
            calls.push((call.iteration.clone(), call.repeated));
            if calls.len() < 4 { Err(down(503)) } else { Ok(json!("done")) }
        });
        assert_eq!(output, Ok(json!("done")));
        assert_eq!(bench.now.since(start), Span::from_secs(pauses.iter().sum()), "{backoff}");
        assert_eq!(calls[0], (String::new(), false));
        assert_eq!(calls[3], (String::new(), true), "a repeated task makes the same call");
        assert_eq!(bench.iterations("ask"), ["0r3/0"]);
        assert_eq!(bench.iterations("guard"), [""]);
    }
}

#[test]
fn retry_that_is_used_up_is_handled_or_goes_on_outwards() {
    let document = |catch: Json| json!({"do": [{"guard": {"try": [{"ask": {"call": "x"}}], "catch": catch}}]});
    let limit = json!({"delay": "1 s", "limit": {"attempt": {"count": 3}}});
    let mut bench = Bench::new(document(json!({"retry": limit})), Json::Null);
    let mut calls = 0;
    let fault = bench.finish(&mut |_| {
        calls += 1;
        Err(down(503))
    });
    assert_eq!((calls, fault.unwrap_err().status), (3, 503));
    let handled = document(json!({"retry": limit, "do": [{"h": {"set": {"s": "${ $error.status }"}}}]}));
    assert_eq!(Bench::new(handled, Json::Null).finish(&mut |_| Err(down(503))), Ok(json!({"s": 503})));
    let short = document(json!({"retry": {"delay": "2 s", "limit": {"duration": "5 s"}}}));
    let mut bench = Bench::new(short, Json::Null);
    let start = bench.now;
    bench.finish(&mut |_| Err(down(503))).unwrap_err();
    assert_eq!(bench.now.since(start), Span::from_secs(4));
    let swallowed = document(json!({"errors": {"with": {"status": 503}}}));
    assert_eq!(Bench::new(swallowed, json!({"a": 1})).finish(&mut |_| Err(down(503))), Ok(json!({"a": 1})));
}

#[test]
fn conditions_of_a_catch_decide_and_an_outer_try_takes_what_an_inner_leaves() {
    let document = json!({"do": [{"outer": {
        "try": [{"inner": {
            "try": [{"ask": {"call": "x"}}],
            "catch": {"as": "e", "when": "$e.status == 404", "do": [{"h": {"set": {"by": "inner"}}}]}}}],
        "catch": {"exceptWhen": "$error.status == 500", "do": [
            {"again": {"try": [{"r": {"raise": {"error": {"type": "t", "status": "${ $error.status + 1 }"}}}}],
                       "catch": {"as": "late", "do": [
                            {"h2": {"set": {"by": "outer", "was": "${ [$error.status, $late.status] }"}}}]}}}]}}}]});
    let ask = |status| Bench::new(document.clone(), Json::Null).finish(&mut |_| Err(down(status)));
    assert_eq!(ask(404), Ok(json!({"by": "inner"})));
    assert_eq!(ask(503), Ok(json!({"by": "outer", "was": [503, 504]})));
    assert_eq!(ask(500).unwrap_err().status, 500);
}

#[test]
fn an_expression_that_fails_is_an_error_that_can_be_caught() {
    let document = json!({"do": [{"guard": {
        "try": [{"bad": {"set": {"x": "${ 1 / 0 }"}}}],
        "catch": {"errors": {"with": {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/expression"}},
                  "do": [{"h": {"set": {"at": "${ $error.instance }", "why": "${ $error.detail }"}}}]}}}]});
    let output = run(document, Json::Null).unwrap();
    assert_eq!(output["at"], "/do/0/guard/try/0/bad");
    assert!(output["why"].as_str().unwrap().contains("1 / 0"), "{output}");
}

#[test]
fn wait_waits_for_its_time_and_no_longer() {
    let document = json!({"do": [{"pause": {"wait": "5 s"}}, {"after": {"set": {"x": "${ .a }"}}}]});
    let mut bench = Bench::new(document, json!({"a": 1}));
    let until = bench.now.plus(Span::from_secs(5));
    assert_eq!((bench.step(Input::Turn), bench.memory.wake()), (None, Some(until)));
    assert_eq!((bench.step(Input::Turn), bench.memory.wake()), (None, Some(until)), "too early");
    bench.now = until;
    assert_eq!(bench.step(Input::Turn), Some(Action::Complete(json!({"x": 1}))));
}

#[test]
fn a_loop_without_end_lets_others_go_first_and_ends() {
    let document = json!({"do": [{"round": {"set": {"n": "${ .n + 1 }"}, "then": "round"}}]});
    let mut bench = Bench::new(document, Json::Null);
    bench.step(Input::Turn);
    assert_eq!(bench.done.len(), STEP_TASKS_MAX as usize);
    assert!(bench.memory.is_ready());
    let fault = bench.finish(&mut |_| panic!()).unwrap_err();
    assert!(fault.detail.as_deref().unwrap().contains("10000 entries"), "{fault:?}");
    assert_eq!(bench.iterations("round").len(), ENTRIES_MAX as usize);
    assert_eq!(bench.iterations("round")[..3], ["", "1", "2"]);
}

#[test]
fn a_memory_that_grows_too_big_faults_the_run() {
    let document = json!({"do": [
        {"grow": {"set": {"a": "${ [range(20000) | \"0123456789012345678901234567890\"] }"}}},
        {"more": {"set": {"b": "${ .a + .a }"}, "export": {"as": "."}}},
        {"ask": {"call": "x"}}]});
    let mut bench = Bench::new(document, Json::Null);
    let fault = bench.finish(&mut |_| panic!("nothing is asked")).unwrap_err();
    assert!(fault.detail.as_deref().unwrap().contains("1048576 are allowed"), "{fault:?}");
    assert!(bench.memory.bytes() < 1_000);
}

#[test]
fn for_goes_over_a_list_and_hands_each_output_to_the_next() {
    let document = json!({"do": [{"loop": {
        "for": {"each": "color", "in": ".colors"},
        "do": [{"mark": {"set": {"processed":
            "${ { colors: (.processed.colors + [ $color ]), indexes: (.processed.indexes + [ $index ])} }"}}}]}}]});
    let mut bench = Bench::new(document, json!({"colors": ["red", "green", "blue"]}));
    assert_eq!(
        bench.finish(&mut |_| panic!()),
        Ok(json!({"processed": {"colors": ["red", "green", "blue"], "indexes": [0, 1, 2]}}))
    );
    assert_eq!(bench.iterations("mark"), ["", "0i1/0", "0i2/0"]);
    assert_eq!(bench.iterations("loop"), [""]);
}

#[test]
fn for_ends_by_while_by_exit_and_without_items() {
    let document = |extra: Json, then: &str| {
        let mut task = json!({"for": {"in": ".list", "at": "i"}, "do": [
            {"add": {"if": "$item > 0", "set": {"list": "${ .list }", "sum": "${ .sum + $item }"}, "then": then}},
            {"more": {"set": "${ . + { more: true } }"}}]});
        task.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"output": {"as": "{ sum: .sum, more: .more }"}, "do": [{"loop": task}]})
    };
    let input = json!({"list": [1, 2, 3], "sum": 0});
    let sum = |document: Json, input: &Json| run(document, input.clone()).unwrap();
    let while_small = json!({"while": "$i < 2 and .sum < 100"});
    assert_eq!(sum(document(while_small, "continue"), &input), json!({"sum": 3, "more": true}));
    assert_eq!(sum(document(json!({}), "exit"), &input), json!({"sum": 1, "more": null}), "exit ends the loop");
    assert_eq!(sum(document(json!({}), "continue"), &json!({"list": [], "sum": 5})), json!({"sum": 5, "more": null}));
    let fault = run(document(json!({}), "continue"), json!({"list": 7})).unwrap_err();
    assert!(fault.detail.unwrap().contains("`in` must give a list, it gave `7`"));
}

#[test]
fn calls_in_a_for_are_calls_of_their_own() {
    let document = json!({"do": [{"loop": {"for": {"in": ".list"}, "do": [{"ask": {"call": "x"}}]}}]});
    let mut iterations = Vec::new();
    let output = Bench::new(document, json!({"list": [1, 2]})).finish(&mut |call| {
        iterations.push((call.iteration.clone(), call.repeated));
        Ok(json!(iterations.len()))
    });
    assert_eq!(output, Ok(json!(2)));
    assert_eq!(iterations, [(String::new(), false), ("0i1/0".to_owned(), false)]);
}

fn branches(compete: bool, branches: &Json) -> Json {
    json!({"do": [{"side": {"fork": {"compete": compete, "branches": branches}}}]})
}

#[test]
fn fork_runs_branches_side_by_side_and_gives_their_outputs_in_order() {
    let document = branches(
        false,
        &json!([
            {"slow": {"do": [{"pause": {"wait": "9 s"}}, {"a": {"call": "x", "with": {"of": "slow"}}}]}},
            {"fast": {"call": "x", "with": {"of": "fast"}}},
            {"pure": {"set": {"of": "pure"}}},
        ]),
    );
    let mut bench = Bench::new(document, Json::Null);
    let mut asked = Vec::new();
    let output = bench.finish(&mut |call| {
        asked.push(call.pointer.clone());
        Ok(call.input.clone())
    });
    assert_eq!(output, Ok(json!([{"of": "slow"}, {"of": "fast"}, {"of": "pure"}])));
    assert_eq!(asked, ["/do/0/side/fork/branches/1/fast", "/do/0/side/fork/branches/0/slow/do/1/a"]);
    assert_eq!(bench.memory.strands.len(), 1);
}

#[test]
fn in_a_race_the_first_branch_wins_and_the_others_are_given_up() {
    let document = branches(
        true,
        &json!([
            {"late": {"do": [{"pause": {"wait": "9 s"}}, {"ask": {"call": "x"}}]}},
            {"one": {"call": "x", "with": {"n": 1}}},
            {"two": {"call": "x", "with": {"n": 2}}},
        ]),
    );
    let mut bench = Bench::new(document.clone(), Json::Null);
    assert_eq!(bench.finish(&mut |call| Ok(call.input.clone())), Ok(json!({"n": 1})));
    let two = Key::of_task(bench.row.id, "/do/0/side/fork/branches/2/two", "", 0);
    assert!(bench.done.contains(&Action::GiveUp(two)));
    // A branch that fails drops out; the error of the last one is that of the fork.
    let mut bench = Bench::new(document.clone(), Json::Null);
    let first = |call: &MakeCall| if call.input["n"] == 1 { Err(down(503)) } else { Ok(call.input.clone()) };
    assert_eq!(bench.finish(&mut |call| first(call)), Ok(json!({"n": 2})));
    let mut bench = Bench::new(document, Json::Null);
    let fault = bench.finish(&mut |_| Err(down(503))).unwrap_err();
    assert_eq!(fault.instance.as_deref(), Some("/do/0/side/fork/branches/0/late/do/1/ask"));
}

#[test]
fn an_error_in_a_branch_is_caught_around_the_fork_or_faults_the_run_where_it_stands() {
    let fork = json!([{"bad": {"call": "x"}}, {"long": {"do": [{"pause": {"wait": "1 h"}}]}}]);
    let bare = branches(false, &fork);
    let caught = json!({"do": [{"guard": {"try": [{"side": {"fork": {"branches": fork}}}],
        "catch": {"do": [{"h": {"set": {"at": "${ $error.instance }"}}}]}}}]});
    let output = Bench::new(caught, Json::Null).finish(&mut |_| Err(down(503))).unwrap();
    assert_eq!(output["at"], "/do/0/guard/try/0/side/fork/branches/0/bad");
    let mut bench = Bench::new(bare, Json::Null);
    assert_eq!(bench.finish(&mut |_| Err(down(503))).unwrap_err().status, 503);
    assert_eq!(bench.memory.strands.len(), 3, "its strands stay, so that it can go on");
}

#[test]
fn a_timeout_ends_a_task_a_pass_and_the_whole_run() {
    let long = json!([{"pause": {"wait": "1 h"}}]);
    let caught = |task: Json| {
        json!({"do": [{"guard": {"try": [{"long": task}],
        "catch": {"do": [{"h": {"set": {"status": "${ $error.status }", "at": "${ $error.instance }"}}}]}}}]})
    };
    for task in [
        json!({"timeout": {"after": "5 s"}, "do": long}),
        json!({"timeout": {"after": "${ { seconds: .s } }"}, "fork": {"branches": [{"b": {"do": long}}]}}),
        json!({"timeout": {"after": "PT5S"}, "for": {"in": "[1]"}, "do": long}),
        json!({"timeout": {"after": "5 s"}, "wait": "1 h"}),
    ] {
        let mut bench = Bench::new(caught(task), json!({"s": 5}));
        let start = bench.now;
        let output = bench.finish(&mut |_| panic!()).unwrap();
        assert_eq!(output, json!({"status": 408, "at": "/do/0/guard/try/0/long"}));
        assert_eq!(bench.now.since(start), Span::from_secs(5));
    }
    let mut bench = Bench::new(json!({"timeout": {"after": "7 s"}, "do": long}), Json::Null);
    let (start, fault) = (bench.now, bench.finish(&mut |_| panic!()).unwrap_err());
    assert_eq!((fault.status, bench.now.since(start)), (408, Span::from_secs(7)));
    let retried = json!({"do": [{"guard": {"try": long, "catch": {"retry": {
        "delay": "1 s", "limit": {"attempt": {"count": 3, "duration": "5 s"}}}}}}]});
    let mut bench = Bench::new(retried, Json::Null);
    let (start, fault) = (bench.now, bench.finish(&mut |_| panic!()).unwrap_err());
    assert_eq!((fault.status, bench.now.since(start)), (408, Span::from_secs(17)));
}

#[test]
fn a_call_whose_task_ran_out_of_time_is_given_up_and_its_late_result_changes_nothing() {
    let document = json!({"do": [{"guard": {"try": [{"ask": {"call": "x", "timeout": {"after": "5 s"}}}],
        "catch": {"do": [{"pause": {"wait": "1 h"}}]}}}]});
    let mut bench = Bench::new(document, json!({"a": 1}));
    bench.step(Input::Turn);
    let key = Key::of_task(bench.row.id, "/do/0/guard/try/0/ask", "", 0);
    assert_eq!(bench.memory.calls(bench.row.id, &bench.definition), [(0, key.clone())]);
    bench.now = bench.now.plus(Span::from_secs(5));
    bench.step(Input::Turn);
    assert!(bench.done.contains(&Action::GiveUp(key.clone())));
    let before = bench.memory.clone();
    assert_eq!(bench.step(Input::Called(key, Ok((json!("late"), None)))), None);
    assert_eq!(bench.memory, before);
}

#[test]
fn jitter_adds_what_is_the_same_for_the_same_pass() {
    let document = json!({"do": [{"guard": {"try": [{"ask": {"call": "x"}}], "catch": {"retry": {
        "delay": "10 s", "jitter": {"from": "1 s", "to": "3 s"}, "limit": {"attempt": {"count": 2}}}}}}]});
    let pause = || {
        let mut bench = Bench::new(document.clone(), Json::Null);
        let start = bench.now;
        bench.finish(&mut |_| Err(down(503))).unwrap_err();
        bench.now.since(start)
    };
    assert!(pause() >= Span::from_secs(11) && pause() <= Span::from_secs(13), "{}", pause());
    assert_eq!(pause(), pause());
}

#[test]
fn a_memory_from_before_runs_had_strands_is_read() {
    let old = json!({"context": {"c": 1}, "tasks": 1, "waiting": "call", "frames": [
        {"block": "root", "at": 0, "entries": [1], "raw": {"a": 1}, "started": "2026-11-22T08:00:00Z"}]});
    let mut bench = Bench::new(json!({"do": [{"ask": {"call": "x"}}]}), Json::Null);
    bench.memory = serde_json::from_value(old).unwrap();
    let key = Key::of_task(bench.row.id, "/do/0/ask", "", 0);
    assert_eq!(bench.step(Input::Called(key, Ok((json!("done"), None)))), Some(Action::Complete(json!("done"))));
}
