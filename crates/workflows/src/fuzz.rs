//! Entry of the fuzz target: a stored memory of a run, whatever its bytes are, ends in actions and never in a panic.

mod definition;

pub use definition::fuzz_definition;

use crate::fault::{Fault, Standard};
use crate::machine::{Action, Given, Input, TakeUp, child_id, memory::Memory, step, take_up};
use andon_contract::expr::{NoNames, Program};
use andon_contract::workflow::{
    Backoff, Definition, Delay, ErrorFilter, For, Mapping, RetryPolicy, RunWorkflow, Schemas as AtTask, Settings, Task,
    TaskKind, Then, Try, VARIABLES,
};
use andon_model::{RunId, Schemas, SiteName, Time, span::Span};
use andon_store::rows::{RunRow, RunState};
use serde_json::{Value as Json, json};

/// Goes on with a run whose memory is these bytes: by itself and with all that it waits for, well or badly ended; and
/// ends it, with and without undoing what it has done, before that and after.
pub fn fuzz(data: &[u8]) {
    let Ok(memory) = serde_json::from_slice::<Memory>(data) else { return };
    let (definition, run, schemas) = (definition(), run(), Schemas::built_in());
    let given = Given {
        definition: &definition,
        run: &run,
        schemas: &schemas,
        lookup: &NoNames,
        // What some tasks had and gave does not stand in the journal.
        journal: &|pointer, _| (pointer.len() % 2 == 1).then(|| json!({"input": {}, "output": {}})),
        now: Time(1 << 60),
    };
    for (cancel, well) in [(None, true), (None, false), (Some(false), true), (Some(true), true), (Some(true), false)] {
        let mut early = memory.clone();
        if let Some(compensate) = cancel {
            go_on(&given, &mut early, Input::Cancel(compensate));
            settle(&given, &mut early, well);
        }
        let mut late = memory.clone();
        settle(&given, &mut late, well);
        if let Some(compensate) = cancel {
            go_on(&given, &mut late, Input::Cancel(compensate));
            settle(&given, &mut late, well);
        } else {
            let skip = TakeUp::Skip(Json::Null, "somebody says so".to_owned());
            for how in [TakeUp::Wait, TakeUp::Anew(1), TakeUp::Edited(2), skip] {
                let mut again = late.clone();
                if take_up(&given, &mut again, how, Span::from_secs(60)).is_ok() {
                    settle(&given, &mut again, well);
                }
            }
        }
    }
}

/// The run has its turn, and all that it waits for comes to an end, once.
fn settle(given: &Given<'_>, memory: &mut Memory, well: bool) {
    go_on(given, memory, Input::Turn);
    let (run, definition) = (given.run.id, given.definition);
    let fault = || Fault::of(Standard::Runtime, "it failed");
    let calls = memory.calls(run, definition).into_iter().map(|(_, key)| key).chain(memory.owed_calls().cloned());
    let calls = calls.map(|key| Input::Called(key, if well { Ok((Json::Null, None)) } else { Err(fault()) }));
    // The last is a run that nobody waits for.
    let stranger = child_id(run, "/do/9/nothing", "");
    let runs = memory.children(run, definition).into_iter().chain(memory.owed_runs()).chain([stranger]);
    let runs = runs.map(|run| Input::Ended(run, if well { Ok(Json::Null) } else { Err(fault()) }));
    for input in calls.chain(runs).collect::<Vec<_>>() {
        go_on(given, memory, input);
    }
    go_on(given, memory, Input::Turn);
}

/// One step. A run ends once, and what it remembers can be stored.
fn go_on(given: &Given<'_>, memory: &mut Memory, input: Input) {
    let had_ended = memory.has_ended();
    let actions = step(given, memory, input);
    let is_end = |action: &&Action| matches!(action, Action::Complete(_) | Action::Fault(_) | Action::Cancelled);
    let ends = actions.iter().filter(is_end).count();
    assert_eq!(ends, usize::from(memory.has_ended() && !had_ended), "a run ends once and says so: {actions:?}");
    let stored = serde_json::to_vec(&memory).expect("a memory is JSON");
    assert!(serde_json::from_slice::<Memory>(&stored).is_ok(), "what was stored reads back");
}

fn task(name: &str, pointer: &str, then: Then, kind: TaskKind) -> Task {
    Task {
        name: name.into(),
        pointer: pointer.into(),
        condition: None,
        input: None,
        output: None,
        export: None,
        schemas: AtTask::default(),
        timeout: None,
        compensate: Vec::new(),
        then,
        kind,
    }
}

fn run_of(wait: bool) -> TaskKind {
    TaskKind::Run(RunWorkflow { name: "other".into(), version: None, input: None, wait })
}

/// The same task with a call that undoes it.
fn undone(mut task: Task) -> Task {
    let pointer = format!("{}/metadata/compensate/0/undo", task.pointer);
    let call = TaskKind::Call { capability: "x".into(), with: None };
    task.compensate = vec![self::task("undo", &pointer, Then::Continue, call)];
    task
}

/// A `do` in a `try` that repeats, a wait, a loop by `then`, branches, a `for`, other runs, and what undoes tasks.
fn definition() -> Definition {
    let expression = Program::compile(". as $x | [$x, $context, $task.name, $input]", &VARIABLES).expect("jq");
    let call = TaskKind::Call { capability: "x".into(), with: None };
    let set = TaskKind::Set(Mapping::Expression(expression));
    let block = TaskKind::Do(vec![
        undone(task("ask", "/do/0/guard/try/0/block/do/0/ask", Then::Continue, call.clone())),
        task("make", "/do/0/guard/try/0/block/do/1/make", Then::Exit, set),
    ]);
    let policy = RetryPolicy {
        when: None,
        except_when: None,
        delay: Some(Delay::Fixed(Span::from_secs(1))),
        backoff: Backoff::Exponential,
        jitter: None,
        attempts: None,
        attempt: Some(Delay::Fixed(Span::from_secs(5))),
        duration: Some(Delay::Fixed(Span::from_secs(60))),
    };
    let guard = TaskKind::Try(Box::new(Try {
        tasks: vec![task("block", "/do/0/guard/try/0/block", Then::Continue, block)],
        errors: ErrorFilter::default(),
        variable: "error".into(),
        when: None,
        except_when: None,
        retry: Some(policy),
        handler: vec![task("again", "/do/0/guard/catch/do/0/again", Then::End, call)],
    }));
    let branches = vec![
        undone(task(
            "a",
            "/do/1/side/fork/branches/0/a",
            Then::Continue,
            TaskKind::Call { capability: "x".into(), with: None },
        )),
        task("b", "/do/1/side/fork/branches/1/b", Then::End, TaskKind::Wait(Delay::Fixed(Span::from_secs(9)))),
    ];
    let each = TaskKind::For(Box::new(For {
        each: "item".into(),
        at: "index".into(),
        list: Program::compile("[1, 2]", &VARIABLES).expect("jq"),
        condition: None,
        tasks: vec![task(
            "ask",
            "/do/2/each/do/0/ask",
            Then::Exit,
            TaskKind::Call { capability: "x".into(), with: None },
        )],
    }));
    Definition {
        name: "fuzz".into(),
        version: "1.0.0".into(),
        hash: String::new(),
        document: Json::Null,
        schedule: None,
        input: None,
        output: None,
        schemas: AtTask::default(),
        timeout: None,
        settings: Settings::default(),
        tasks: vec![
            task("guard", "/do/0/guard", Then::Continue, guard),
            task("side", "/do/1/side", Then::Continue, TaskKind::Fork { branches, compete: true }),
            task("each", "/do/2/each", Then::Continue, each),
            undone(task("sub", "/do/3/sub", Then::Continue, run_of(true))),
            task("free", "/do/4/free", Then::Continue, run_of(false)),
            task("pause", "/do/5/pause", Then::Task("guard".into()), TaskKind::Wait(Delay::Fixed(Span::from_secs(1)))),
        ],
    }
}

fn run() -> RunRow {
    RunRow {
        id: RunId::derived(&[b"fuzz"]),
        site: SiteName::new("home").expect("a name"),
        workflow: "fuzz".into(),
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
        started: Time(0),
        updated: Time(0),
        wake: None,
        input: Json::Null,
        memory: Json::Null,
        output: None,
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, Memory, child_id, json};
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    /// Memories as they are stored, whose places do not fit the definition.
    fn memory() -> impl Strategy<Value = Vec<u8>> {
        let block = prop::sample::select(vec!["root", "branch", "do", "try", "catch", "for", "function", "undo"]);
        let frame = (block, 0..6_usize, prop::collection::vec(0..5_u32, 0..4), 0..40_u32).prop_map(
            |(block, at, entries, pass)| {
                json!({"block": block, "at": at, "entries": entries, "raw": {"a": 1}, "pass": pass,
                "turns": {"items": [1], "index": at}, "deadline": "1990-01-01T00:00:00Z",
                "started": "2026-11-22T08:00:00Z", "error": {"type": "x", "status": 400}})
            },
        );
        let waiting = prop::sample::select(vec![
            json!("nothing"),
            json!("call"),
            json!("branches"),
            json!("events"),
            json!("run"),
            json!("done"),
            json!({"until": "1990-01-01T00:00:00Z"}),
            json!({"retry": "1990-01-01T00:00:00Z"}),
        ]);
        let of = prop::option::of((0..4_usize, 0..3_usize));
        let strand = (of, prop::collection::vec(frame, 0..6), waiting).prop_map(|(of, frames, waiting)| {
            let of = of.map(|(strand, number)| json!({"strand": strand, "number": number}));
            json!({"of": of, "frames": frames, "waiting": waiting})
        });
        let phase = prop::sample::select(vec!["start", "going", "ended"]);
        (prop::collection::vec(strand, 0..4), phase, any::<u32>(), ledger()).prop_map(
            |(strands, phase, tasks, ledger)| {
                let memory =
                    json!({"context": {}, "strands": strands, "phase": phase, "tasks": tasks, "ledger": ledger});
                memory.to_string().into_bytes()
            },
        )
    }

    /// What a run may have to undo, whether it has done it or not.
    fn ledger() -> impl Strategy<Value = Json> {
        let pointer = prop::sample::select(vec![
            "/do/0/guard/try/0/block/do/0/ask",
            "/do/1/side/fork/branches/0/a",
            "/do/3/sub",
            "/do/5/pause",
            "/do/9/nothing",
        ]);
        let iteration = prop::sample::select(vec!["", "0r1/0/0", "0/0u1", "r/u/"]);
        let undo = (pointer, iteration, 0..9_u32).prop_map(
            |(pointer, iteration, number)| json!({"pointer": pointer, "iteration": iteration, "number": number}),
        );
        let list = prop::collection::vec(undo.clone(), 0..3);
        let owed = (undo.clone(), any::<bool>()).prop_map(|(of, undo)| {
            let (pointer, iteration) = (of["pointer"].as_str().unwrap(), of["iteration"].as_str().unwrap());
            let run = child_id(super::run().id, pointer, iteration);
            json!({"of": {"run": run}, "pointer": pointer, "iteration": iteration, "input": {}, "undo": undo})
        });
        let end = prop::option::of(prop::sample::select(vec![
            json!("cancel"),
            json!({"complete": {}}),
            json!({"fault": {"type": "x", "status": 400}}),
        ]));
        let turned = undo
            .clone()
            .prop_map(|of| json!({"pointer": of["pointer"], "iteration": of["iteration"], "times": of["number"]}));
        (
            list.clone(),
            list,
            prop::option::of(undo),
            prop::collection::vec(owed, 0..3),
            end,
            prop::option::of(0..4_usize),
            prop::collection::vec(turned, 0..2),
        )
            .prop_map(|(done, undo, current, owed, end, faulted, turned)| {
                json!({"done": done, "undo": undo, "current": current, "owed": owed, "end": end, "faulted": faulted,
                "turned": turned})
            })
    }

    #[test]
    fn what_the_generated_memories_remember_is_read() {
        // Otherwise the properties below would look at nothing.
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let read = |_| {
            let memory = memory().new_tree(&mut runner).unwrap().current();
            serde_json::from_slice::<Memory>(&memory).is_ok()
        };
        assert!((0..100).all(read));
    }

    #[test]
    fn the_corpus_ends_without_a_panic() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/run_memory");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            // The others are no memories, or such as no step has made.
            let is_memory = path.extension().is_some_and(|of| of == "json");
            assert!(!is_memory || serde_json::from_slice::<Memory>(&data).is_ok(), "{}", path.display());
            super::fuzz(&data);
            read += 1;
        }
        assert!(read > 0, "the corpus has seeds");
    }

    proptest! {
        #[test]
        fn a_memory_that_does_not_fit_ends_without_a_panic(data in memory()) {
            super::fuzz(&data);
        }

        #[test]
        fn any_bytes_end_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::fuzz(&data);
        }
    }
}
