//! Entry of the fuzz target of workflows: whatever stands in a file, it is refused or it runs, and whatever happens to
//! its run, it goes on by the rules.

use super::{Json, NoNames, RunRow, go_on, json, run};
use crate::fault::{Fault, Standard};
use crate::machine::{Given, Input, memory::Memory};
use andon_contract::workflow::{Definition, read};
use andon_model::{Event, EventId, Schemas, Time, span::Span};
use andon_store::rows::StoredEvent;

/// Things that happen to a run at most.
const HAPPENINGS_MAX: usize = 24;
/// Tasks after which nothing more happens to it.
const TASKS_MAX: u32 = 3_000;

/// Reads what stands before a zero byte as a workflow and runs it; each byte behind it is something that happens.
pub fn fuzz_definition(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, happens) = data.split_at(at);
    let Ok(text) = std::str::from_utf8(text) else { return };
    match read("fuzz", text) {
        Ok(definition) => {
            // Its version is its meaning: the same document in another notation is the same workflow.
            let again = read("fuzz", &definition.document.to_string());
            assert_eq!(again.map(|again| again.hash), Ok(definition.hash.clone()), "{}", definition.document);
            interpret(&definition, happens.get(1..).unwrap_or_default());
        }
        Err(told) => assert!(!told.is_empty(), "who refuses says why"),
    }
}

fn interpret(definition: &Definition, happens: &[u8]) {
    let choice = happens.first().copied().unwrap_or(0);
    let run = RunRow { input: odd(choice), ..run() };
    let schemas = Schemas::built_in();
    let mut given = Given {
        definition,
        run: &run,
        schemas: &schemas,
        lookup: &NoNames,
        journal: &|pointer, _| (pointer.len() % 2 == 1).then(|| json!({"input": {}, "output": odd(choice)})),
        now: Time::parse("2026-11-22T08:00:00Z").unwrap_or_default(),
    };
    let mut memory = Memory::default();
    go_on(&given, &mut memory, Input::Turn);
    // Without a word it goes on well, as most runs do.
    let well = [2, 1, 4, 5, 2, 1, 4, 2];
    for (number, byte) in happens.iter().chain(&well).take(HAPPENINGS_MAX).enumerate() {
        if memory.has_ended() || memory.tasks > TASKS_MAX {
            return;
        }
        for input in happening(&mut given, &mut memory, number, *byte) {
            go_on(&given, &mut memory, input);
        }
    }
}

/// What a byte says that happens now.
fn happening(given: &mut Given<'_>, memory: &mut Memory, number: usize, byte: u8) -> Vec<Input> {
    let (what, how) = (byte & 7, byte >> 3);
    let (run, definition) = (given.run.id, given.definition);
    let fault = || Fault::of(if how & 1 == 0 { Standard::Communication } else { Standard::Timeout }, "it failed");
    match what {
        1 => {
            let next = memory.wake().unwrap_or(given.now).max(given.now);
            given.now = if how & 1 == 0 { next } else { next.plus(Span::from_secs(1 << how)) };
            vec![Input::Turn]
        }
        2 | 3 => {
            let keys =
                memory.calls(run, definition).into_iter().map(|(_, key)| key).chain(memory.owed_calls().cloned());
            keys.map(|key| Input::Called(key, if what == 2 { Ok((odd(how), None)) } else { Err(fault()) })).collect()
        }
        4 => {
            let runs = memory.children(run, definition).into_iter().chain(memory.owed_runs());
            runs.map(|run| Input::Ended(run, if how & 16 == 0 { Ok(odd(how)) } else { Err(fault()) })).collect()
        }
        5 => {
            let sequence = number as u64 + 1;
            vec![Input::Events(vec![StoredEvent { sequence, event: event(given, sequence, how) }], sequence)]
        }
        6 => vec![Input::Cancel(how & 1 == 0)],
        7 => {
            // The process ends and another goes on.
            let stored = serde_json::to_vec(memory).expect("a memory is JSON");
            let again: Memory = serde_json::from_slice(&stored).expect("what was stored reads back");
            assert_eq!(again, *memory, "a run remembers after a restart what it knew");
            *memory = again;
            Vec::new()
        }
        _ => vec![Input::Turn],
    }
}

fn event(given: &Given<'_>, number: u64, how: u8) -> Event {
    let id = EventId::derived(&[b"fuzz", &number.to_be_bytes()]);
    let kind = ["asset.alarm", "asset.state", "test.happened"].get(usize::from(how) % 3).copied().unwrap_or_default();
    Event {
        id,
        kind: kind.to_owned(),
        source: "/home/rules/fuzz".to_owned(),
        time: given.now,
        subject: "m-1".to_owned(),
        schema: format!("andon:{kind}/1.0"),
        site: given.run.site.clone(),
        key: "m-1".to_owned(),
        correlation: id,
        causation: None,
        recorded: given.now,
        data: odd(how),
    }
}

/// Values that people do not think of.
fn odd(choice: u8) -> Json {
    match choice % 14 {
        0 => json!({"n": 1, "asset": "m-1", "change": "activated"}),
        1 => Json::Null,
        2 => json!([]),
        3 => json!({}),
        4 => json!(""),
        5 => json!(-0.0),
        6 => json!(i64::MIN),
        7 => json!(u64::MAX),
        8 => json!(1e308),
        9 => json!("${ . }"),
        10 => (0..90).fold(json!(1), |inner, _| json!([inner])),
        11 => json!((0..300).collect::<Vec<_>>()),
        12 => json!("é".repeat(40_000)),
        _ => json!({"a": {"b": [{"c": null}, true, "2026-11-22T08:00:00Z", "PT1H"]}, "": {"/": "~0"}}),
    }
}
