//! Entry of the fuzz target: a stored memory of a run, whatever its bytes are, ends in actions and never in a panic.

use crate::machine::{Given, Input, memory::Memory, step};
use andon_contract::expr::{NoNames, Program};
use andon_contract::workflow::{
    Backoff, Definition, Delay, ErrorFilter, For, Mapping, RetryPolicy, Schemas as AtTask, Settings, Task, TaskKind,
    Then, Try, VARIABLES,
};
use andon_model::{RunId, Schemas, SiteName, Time, span::Span};
use andon_store::rows::{RunRow, RunState};
use serde_json::Value as Json;

/// Goes on with a run whose memory is these bytes.
pub fn fuzz(data: &[u8]) {
    let Ok(mut memory) = serde_json::from_slice::<Memory>(data) else { return };
    let (definition, run, schemas) = (definition(), run(), Schemas::built_in());
    let given = Given {
        definition: &definition,
        run: &run,
        schemas: &schemas,
        lookup: &NoNames,
        journal: &|_, _| None,
        now: Time(1 << 60),
    };
    let calls =
        memory.calls(run.id, &definition).into_iter().map(|(_, key)| Input::Called(key, Ok((Json::Null, None))));
    for input in [Input::Turn].into_iter().chain(calls.collect::<Vec<_>>()).chain([Input::Turn]) {
        let _ = step(&given, &mut memory, input);
    }
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

/// A `do` in a `try` that repeats, a wait, a loop by `then`, branches, and a `for`.
fn definition() -> Definition {
    let expression = Program::compile(". as $x | [$x, $context, $task.name, $input]", &VARIABLES).expect("jq");
    let call = TaskKind::Call { capability: "x".into(), with: None };
    let set = TaskKind::Set(Mapping::Expression(expression));
    let block = TaskKind::Do(vec![
        task("ask", "/do/0/guard/try/0/block/do/0/ask", Then::Continue, call.clone()),
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
        task(
            "a",
            "/do/1/side/fork/branches/0/a",
            Then::Continue,
            TaskKind::Call { capability: "x".into(), with: None },
        ),
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
            task("pause", "/do/3/pause", Then::Task("guard".into()), TaskKind::Wait(Delay::Fixed(Span::from_secs(1)))),
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
    use proptest::prelude::*;
    use serde_json::json;

    /// Memories as they are stored, whose places do not fit the definition.
    fn memory() -> impl Strategy<Value = Vec<u8>> {
        let block = prop::sample::select(vec!["root", "branch", "do", "try", "catch", "for", "function"]);
        let frame = (block, 0..5_usize, prop::collection::vec(0..5_u32, 0..4), 0..40_u32).prop_map(
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
        (prop::collection::vec(strand, 0..4), phase, any::<u32>()).prop_map(|(strands, phase, tasks)| {
            json!({"context": {}, "strands": strands, "phase": phase, "tasks": tasks}).to_string().into_bytes()
        })
    }

    #[test]
    fn the_corpus_ends_without_a_panic() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/run_memory");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            super::fuzz(&std::fs::read(entry.unwrap().path()).unwrap());
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
