//! What each way of consuming events does with a sequence of events.

use super::*;
use crate::machine::{Given, Input, step};
use crate::testing::definition;
use andon_contract::{expr::NoNames, workflow::HUMAN_DECISION};
use andon_model::{Event, RunId, Schemas, span::Span};
use andon_store::rows::RunState;

/// A run that listens.
struct Bench {
    definition: Definition,
    row: RunRow,
    memory: Memory,
    now: Time,
    actions: Vec<Action>,
    output: Option<Result<Json, Fault>>,
}

impl Bench {
    fn new(document: Json, input: Json) -> Self {
        let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
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
            started: now,
            updated: now,
            wake: None,
            input,
            memory: Json::Null,
            output: None,
            error: None,
        };
        let memory = Memory { since: 10, ..Memory::default() };
        let mut bench =
            Self { definition: definition("test", document), row, memory, now, actions: Vec::new(), output: None };
        bench.step(Input::Turn);
        bench
    }

    /// One step. The memory goes through its stored form each time.
    fn step(&mut self, input: Input) {
        let stored = serde_json::to_string(&self.memory).unwrap();
        self.memory = serde_json::from_str(&stored).unwrap();
        let schemas = Schemas::built_in();
        let given = Given {
            definition: &self.definition,
            run: &self.row,
            schemas: &schemas,
            lookup: &NoNames,
            now: self.now,
            journal: &|_, _| None,
        };
        for action in step(&given, &mut self.memory, input) {
            match action {
                Action::Complete(output) => self.output = Some(Ok(output)),
                Action::Fault(fault) => self.output = Some(Err(fault)),
                other => self.actions.push(other),
            }
        }
    }

    fn hear(&mut self, stored: StoredEvent) {
        let to = stored.sequence;
        self.step(Input::Events(vec![stored], to));
    }

    /// All events, as the loop looks back at them.
    fn hear_all(&mut self, events: &[StoredEvent]) {
        let to = events.last().map_or(0, |stored| stored.sequence);
        while let Some(after) = self.memory.listening(&self.row, &self.definition).after.filter(|after| *after < to) {
            let rest = events.iter().filter(|stored| stored.sequence > after).cloned().collect();
            self.step(Input::Events(rest, to));
        }
    }

    fn rows(&self) -> Vec<(String, String, String)> {
        let rows = self.memory.listening(&self.row, &self.definition).rows;
        rows.into_iter().map(|row| (row.kind, row.by, row.value)).collect()
    }
}

fn event(sequence: u64, kind: &str, subject: &str, data: Json) -> StoredEvent {
    let id = EventId::derived(&[&sequence.to_le_bytes()]);
    let time = Time::parse("2026-11-22T08:00:00Z").unwrap();
    let event = Event {
        id,
        kind: kind.into(),
        source: "/home/test".into(),
        time,
        subject: subject.into(),
        schema: format!("andon:{kind}/1.0"),
        site: SiteName::new("home").unwrap(),
        key: subject.into(),
        correlation: id,
        causation: None,
        recorded: time,
        data,
    };
    StoredEvent { sequence, event }
}

/// Events of the types `a`, `b` and `c` by their letters, numbered from 11; `n` is the place.
fn letters(text: &str) -> Vec<StoredEvent> {
    let of = |(n, letter): (u64, char)| event(11 + n, &letter.to_string(), &format!("m-{n}"), json!({ "n": n }));
    (0..).zip(text.chars()).map(of).collect()
}

fn with(kind: &str) -> Json {
    json!({"with": {"type": kind}})
}

#[test]
fn each_way_of_consuming_takes_what_it_should() {
    let until = |until: Json| json!({"any": [with("a"), with("b")], "until": until});
    for (to, events, output) in [
        (json!({"one": with("a")}), "cba", Some(json!([{"n": 2}]))),
        (json!({"one": with("a")}), "cbb", None),
        (json!({"any": [with("a"), with("b")]}), "cba", Some(json!([{"n": 1}]))),
        (json!({"any": []}), "c", Some(json!([{"n": 0}]))),
        (json!({"all": [with("a"), with("b")]}), "bcba", Some(json!([{"n": 0}, {"n": 3}]))),
        (json!({"all": [with("a"), with("a")]}), "aba", Some(json!([{"n": 0}, {"n": 2}]))),
        (json!({"all": [with("a"), with("b")]}), "aaa", None),
        (until(json!("${ .n >= 2 }")), "acba", Some(json!([{"n": 0}, {"n": 2}]))),
        (until(json!("${ .n >= 9 }")), "acba", None),
        (until(json!({"one": with("c")})), "abca", Some(json!([{"n": 0}, {"n": 1}]))),
        (until(json!({"all": [with("c"), with("b")]})), "acbb", Some(json!([{"n": 0}]))),
        (until(json!({"any": [with("c"), with("d")]})), "ad", Some(json!([{"n": 0}]))),
        (until(json!(false)), "ababab", None),
        (json!({"any": [], "until": {"one": with("c")}}), "abc", Some(json!([{"n": 0}, {"n": 1}]))),
        (json!({"one": {"with": {"type": "a", "subject": "m-2"}}}), "aaa", Some(json!([{"n": 2}]))),
        (json!({"one": {"with": {"type": "a", "data": {"n": 1.0}}}}), "aaa", Some(json!([{"n": 1}]))),
        (json!({"one": {"with": {"type": "a", "data": "${ .n > 0 }"}}}), "aaa", Some(json!([{"n": 1}]))),
        (json!({"one": {"with": {"type": "a", "site": "other"}}}), "aaa", None),
    ] {
        let told = format!("{to} over {events}");
        let mut bench = Bench::new(json!({"do": [{"wait": {"listen": {"to": to}}}]}), Json::Null);
        for stored in letters(events) {
            bench.hear(stored);
        }
        assert_eq!(bench.output, output.map(Ok), "{told}");
        // All at once is the same as one by one.
        let one_by_one = bench.output;
        let mut bench = Bench::new(json!({"do": [{"wait": {"listen": {"to": to}}}]}), Json::Null);
        bench.hear_all(&letters(events));
        assert_eq!(bench.output, one_by_one, "{told}");
    }
}

#[test]
fn what_is_given_is_data_or_the_whole_event() {
    let given = |read: &str| {
        let task = json!({"listen": {"to": {"one": with("a")}, "read": read}});
        let mut bench = Bench::new(json!({"do": [{"wait": task}]}), Json::Null);
        bench.hear(event(11, "a", "m-1", json!({"n": 1})));
        bench.output.unwrap().unwrap()[0].clone()
    };
    assert_eq!(given("data"), json!({"n": 1}));
    let envelope = given("envelope");
    assert_eq!((&envelope["type"], &envelope["data"]["n"]), (&json!("a"), &json!(1)));
    assert_eq!(envelope["sequence"], "00000000000000000011");
    assert_eq!(given("raw")["sequence"], Json::Null);
}

#[test]
fn an_event_before_the_run_is_not_heard_and_none_is_consumed_twice() {
    let listen = json!({"listen": {"to": {"one": with("a")}}});
    let twice = json!({"do": [
        {"first": listen}, {"again": {"switch": [{"more": {"when": "${ .[0].n < 3 }", "then": "first"}}]}}]});
    let mut bench = Bench::new(twice, Json::Null);
    for number in [10, 9, 11] {
        bench.hear(event(number, "a", "m-1", json!({"n": number % 10})));
    }
    bench.step(Input::Events(vec![event(11, "a", "m-1", json!({"n": 9}))], 11));
    assert_eq!(bench.output, None, "the event 11 was consumed by this task before");
    bench.hear(event(12, "a", "m-1", json!({"n": 3})));
    assert_eq!(bench.output, Some(Ok(json!([{"n": 3}]))));
    // Another task considers it for itself.
    let mut bench = Bench::new(json!({"do": [{"first": listen}, {"second": listen}]}), Json::Null);
    bench.hear(event(11, "a", "m-1", json!({"n": 1})));
    assert_eq!(bench.memory.listening(&bench.row, &bench.definition).after, Some(10));
    bench.step(Input::Events(vec![event(11, "a", "m-1", json!({"n": 1}))], 11));
    assert_eq!(bench.output, Some(Ok(json!([{"n": 1}]))));
}

#[test]
fn something_is_done_for_each_event_in_their_order() {
    let document = json!({"do": [{"all": {
        "listen": {"to": {"any": [with("a")], "until": "${ $context.sum > 3 }"}},
        "foreach": {"item": "e", "at": "i", "do": [
            {"pause": {"wait": "1 s"}},
            {"add": {"set": {"sum": "${ ($context.sum // 0) + $e.n }", "at": "${ $i }"}}},
        ], "output": {"as": "${ .sum }"}, "export": {"as": "${ {sum: ., last: $i} }"}},
    }}], "output": {"as": "${ {sums: ., last: $context.last} }"}});
    let mut bench = Bench::new(document, Json::Null);
    bench.step(Input::Events(letters("aaaa"), 14));
    // During a pass nothing is listened for: the rest waits in the event log.
    assert_eq!(bench.memory.listening(&bench.row, &bench.definition), Listening::default());
    for pass in 0..10 {
        if bench.output.is_some() {
            break;
        }
        bench.now = bench.now.plus(Span::from_secs(1));
        bench.step(Input::Turn);
        if let Some(after) = bench.memory.listening(&bench.row, &bench.definition).after {
            assert_eq!(after, 11 + pass, "it goes on behind the event it has done with");
            bench.step(Input::Events(letters("aaaa").into_iter().filter(|e| e.sequence > after).collect(), 14));
        }
    }
    assert_eq!(bench.output, Some(Ok(json!({"sums": [0, 1, 3, 6], "last": 3}))));
    let iterations = bench.actions.iter().filter_map(|action| match action {
        Action::Task(done) if done.pointer.ends_with("/add") => Some(done.iteration.clone()),
        _ => None,
    });
    assert_eq!(iterations.collect::<Vec<_>>(), ["", "0i1/0", "0i2/0", "0i3/0"]);
}

#[test]
fn a_loop_over_events_may_be_left_and_may_do_nothing() {
    let both = json!({"to": {"all": [with("a"), with("b")]}});
    let each = |foreach: Json| json!({"do": [{"all": {"listen": both, "foreach": foreach}}]});
    let mut bench = Bench::new(each(json!({"output": {"as": "${ .n + 1 }"}})), Json::Null);
    bench.hear_all(&letters("ba"));
    assert_eq!(bench.output, Some(Ok(json!([1, 2]))));
    let mut bench = Bench::new(each(json!({"do": [{"stop": {"set": {"x": 1}, "then": "exit"}}]})), Json::Null);
    bench.hear_all(&letters("ba"));
    assert_eq!(bench.output, Some(Ok(json!([{"x": 1}]))));
}

#[test]
fn events_belong_to_a_run_by_what_they_have_in_common() {
    let by = |expect: Json| {
        let mut correlate = json!({"order": {"from": ".data.order"}});
        if expect != Json::Null {
            correlate["order"]["expect"] = expect;
        }
        json!({"with": {"type": "a"}, "correlate": correlate})
    };
    let order = |number: u64, order: &str| event(number, "a", "m", json!({"order": order, "n": number}));
    let document = json!({"do": [{"wait": {"listen": {"to": {"one": by(json!("$workflow.input.order"))}}}}]});
    let mut bench = Bench::new(document, json!({"order": "B"}));
    assert_eq!(bench.rows(), [("a".into(), ".data.order".into(), "\"B\"".into())]);
    bench.hear(order(11, "A"));
    bench.hear(event(12, "a", "m", json!({})));
    assert_eq!(bench.output, None);
    bench.hear(order(13, "B"));
    assert_eq!(bench.output, Some(Ok(json!([{"order": "B", "n": 13}]))));
    // Without an expectation the first event says it.
    let document = json!({"do": [{"wait": {"listen": {"to": {"all": [by(Json::Null), by(Json::Null)]}}}}]});
    let mut bench = Bench::new(document, Json::Null);
    assert_eq!(bench.rows(), [("a".into(), String::new(), String::new())]);
    bench.hear(order(11, "A"));
    assert_eq!(bench.rows(), [("a".into(), ".data.order".into(), "\"A\"".into())]);
    bench.hear(order(12, "B"));
    bench.hear(order(13, "A"));
    assert_eq!(bench.output, Some(Ok(json!([{"order": "A", "n": 11}, {"order": "A", "n": 13}]))));
}

#[test]
fn a_filter_that_fails_passes_the_event_over_and_is_told() {
    let to = json!({"one": {"with": {"type": "a", "data": "${ .n + 1 > 0 }"}}});
    let mut bench = Bench::new(json!({"do": [{"wait": {"listen": {"to": to}}}]}), Json::Null);
    bench.hear(event(11, "a", "m", json!({"n": "x"})));
    assert!(matches!(bench.actions.as_slice(), [Action::Doubt(_, kind, _)] if kind == "a"), "{:?}", bench.actions);
    bench.hear(event(12, "a", "m", json!({"n": 1})));
    assert_eq!(bench.output, Some(Ok(json!([{"n": 1}]))));
}

#[test]
fn time_that_runs_out_ends_the_listening_and_its_passes() {
    let task = json!({"listen": {"to": {"any": [with("a")], "until": false}},
        "foreach": {"do": [{"pause": {"wait": "1 h"}}]}, "timeout": {"after": "10 s"}});
    let document =
        json!({"do": [{"guarded": {"try": [{"all": task}], "catch": {"do": [{"late": {"set": {"late": true}}}]}}}]});
    for events in ["", "a"] {
        let mut bench = Bench::new(document.clone(), Json::Null);
        bench.step(Input::Events(letters(events), 20));
        bench.now = bench.now.plus(Span::from_secs(10));
        bench.step(Input::Turn);
        assert_eq!(bench.output, Some(Ok(json!({"late": true}))), "{events:?}");
    }
}

#[test]
fn branches_listen_side_by_side_and_the_first_may_win() {
    let listen = |kind: &str| json!({"listen": {"to": {"one": with(kind)}}});
    let fork = |compete: bool| {
        json!({"do": [{"both": {"fork": {"compete": compete, "branches": [
        {"one": listen("a")}, {"other": listen("b")}]}}}]})
    };
    let mut bench = Bench::new(fork(false), Json::Null);
    bench.step(Input::Events(letters("cb"), 12));
    assert_eq!(bench.rows(), [("a".into(), String::new(), String::new())]);
    bench.hear(event(13, "a", "m", json!({"n": 2})));
    assert_eq!(bench.output, Some(Ok(json!([[{"n": 2}], [{"n": 1}]]))));
    let mut bench = Bench::new(fork(true), Json::Null);
    bench.step(Input::Events(letters("cba"), 13));
    assert_eq!(bench.output, Some(Ok(json!([{"n": 1}]))));
}

#[test]
fn a_decision_is_asked_escalated_and_taken() {
    let document = json!({"do": [{"approve": {
        "metadata": {"owner": "quality", "question": "${ \"May \" + $workflow.input.batch + \" go on?\" }",
            "form": {"type": "object"}, "due": "4 h", "escalate": {"after": "8 h", "to": "management"}},
        "listen": {"to": {"one": with(HUMAN_DECISION)}},
    }}]});
    let mut bench = Bench::new(document, json!({"batch": "B-1"}));
    let Some(Action::Ask(ask)) = bench.actions.first().cloned() else { panic!("{:?}", bench.actions) };
    assert_eq!((ask.question.as_str(), ask.owner.as_str()), ("May B-1 go on?", "quality"));
    assert_eq!(ask.due, Some(bench.now.plus(Span::from_secs(4 * 3600))));
    assert_eq!(bench.memory.asked(), [ask.exception]);
    assert_eq!(bench.memory.wake(), Some(bench.now.plus(Span::from_secs(8 * 3600))));
    bench.now = bench.memory.wake().unwrap();
    bench.step(Input::Turn);
    let team = Name::new("management").unwrap();
    assert_eq!(bench.actions.last(), Some(&Action::Escalate(ask.exception, team)));
    assert_eq!(bench.memory.wake(), None, "it passes on once");
    let answer = |of: ExceptionId| json!({"exception": of, "answer": {"yes": true}});
    bench.hear(event(11, HUMAN_DECISION, "x", answer(ExceptionId::derived(&[b"another"]))));
    assert_eq!(bench.output, None);
    bench.hear(event(12, HUMAN_DECISION, "x", json!({"exception": ask.exception, "answer": 7})));
    assert_eq!(bench.output, None, "it does not fit the form");
    bench.hear(event(13, HUMAN_DECISION, "x", answer(ask.exception)));
    assert_eq!(bench.output, Some(Ok(json!([answer(ask.exception)]))));
    assert_eq!(bench.memory.asked(), []);
}
