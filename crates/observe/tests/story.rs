//! A story written to a store in memory is explained from each of its ends.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it stands")]

use andon_contract::Contract;
use andon_model::{
    AssetName, EventId, Name, Outcome, OutcomeClass, Position, SignalName, Time, Value,
    call::Step,
    sample::{Entry, Part},
    span::Span,
};
use andon_observe::{explain, narrate::narrate};
use andon_store::{
    Store, conformance as given,
    rows::{AttemptRow, CallState, Evidence, EvidenceSample, Write},
};
use serde_json::json;

fn contract() -> Contract {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/machine-temperature");
    andon_contract::load(std::path::Path::new(example)).unwrap().contract
}

fn at(second: i64) -> Time {
    Time::parse("2026-03-02T08:00:00Z").unwrap().plus(Span::from_secs(second))
}

/// What a rule with conditions looked at, as it is written down.
fn saw() -> serde_json::Value {
    json!({
        "settings": {
            "kind": "limit", "signal": "vibration", "unit": "mm/s", "High": {"value": 5.0, "severity": 700},
            "Deadband": 0.5, "OnDelay": "3 s"
        },
        "timers": [{"timer": "OnDelay", "lasts": "3 s", "from": at(6), "to": at(9), "state": "passed"}],
        "conditions": [
            {"of": "when", "condition": "state is Execute", "held": true, "value": "Execute", "time": at(0)},
            {"of": "suppress", "condition": "order.kind is trial", "held": false, "value": "series",
             "object": "ProductionOrder/hamburg/1000123", "time": at(-60)},
            {"of": "severity 900", "condition": "speed is above 100", "held": false}
        ],
        "gate": {"shelved": {"actor": "ann", "reason": "belt change", "at": at(1), "until": at(60)}},
        "context": {"revision": 7, "told": at(-30), "objects": [
            {"name": "order", "object": "ProductionOrder/hamburg/1000123", "from": at(-60), "origin": "erp",
             "told": at(-30), "age": "39 s", "max-age": "20 s", "stale": true},
            {"name": "shift", "object": "Shift/hamburg/early", "from": at(-600), "to": at(600), "origin": "mes",
             "told": at(-40), "age": "49 s", "max-age": "2 min", "stale": false}
        ]}
    })
}

/// Ten samples, an alarm that was made from them, its run, and the call that became a document.
fn story() -> Store {
    story_beside(&[])
}

/// The same, where some of the ten are samples of another machine that came in between, and some of the others were
/// not copied.
fn story_beside(foreign: &[i64]) -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let signal = store.signal(&AssetName::new("cartoner-07").unwrap(), &SignalName::new("vibration").unwrap()).unwrap();
    let other = store.signal(&AssetName::new("filler-01").unwrap(), &SignalName::new("vibration").unwrap()).unwrap();
    let mut part = Part::new(andon_model::SiteName::new("hamburg").unwrap(), Name::new("machines").unwrap());
    for second in 0..10 {
        part.entries.push(Entry::Sample(andon_model::Sample {
            signal: if foreign.contains(&second) { other } else { signal },
            time: at(second),
            received: at(second),
            quality: andon_model::Quality::GOOD,
            value: Value::I64(second),
            origin: andon_model::sample::Origin::Live,
        }));
    }
    store.append(vec![part]).unwrap();
    let mut event = given::event(1);
    event.time = at(9);
    let (from, to) = (Position { epoch: 1, offset: 0 }, Position { epoch: 1, offset: 9 });
    let place = |p: Position| format!("{}/{p}", store.instance());
    event.data = json!({
        "change": "activated", "state": "active", "condition": "limit", "limit": "High", "signal": "vibration",
        "severity": 700, "value": {"value": "9", "unit": "mm/s"}, "setting": {"value": "5", "unit": "mm/s"},
        "since": at(6),
        "evidence": {"rule": "vibration", "version": "9f2c9f2c9f2c", "samples": {
            "from": place(from), "to": place(to), "count": 10, "hash": "ab".repeat(32)
        }}
    });
    let is_copied = |second: &i64| foreign.is_empty() || !(1..9).contains(second);
    let samples = (0..10).filter(is_copied).map(|second| EvidenceSample {
        position: Position { epoch: 1, offset: u64::try_from(second).unwrap() },
        signal: "cartoner-07/vibration".into(),
        time: at(second),
        received: at(second),
        quality: 0,
        value: json!(second),
    });
    let evidence = Evidence { from, to, count: 10, hash: "ab".repeat(32), samples: samples.collect(), saw: saw() };
    let mut run = given::run(1, None);
    (run.event, run.correlation) = (Some(event.id), Some(event.id));
    let mut call = given::call(1, CallState::Delivered, None);
    (call.document, call.attempts) = (Some("MR-000001".into()), 1);
    let attempt = AttemptRow {
        call: call.id,
        number: 1,
        step: Step::Send,
        system: Name::new("eam").unwrap(),
        operation: Name::new("create-request").unwrap(),
        hash: "0".repeat(16),
        request: "POST http://eam/requests".into(),
        headers: std::collections::BTreeMap::new(),
        body: "{}".into(),
        started: at(10),
        ended: Some(at(11)),
        outcome: Some(Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Ok, "201 Created: MR-000001") }),
        shadow: false,
    };
    let mut exception = given::exception("something else of this run", 3);
    exception.run = Some(run.id);
    store
        .commit(vec![
            Write::Event(Box::new(event), Some(Box::new(evidence))),
            Write::Run(Box::new(run)),
            Write::Call(Box::new(call)),
            Write::Attempt(Box::new(attempt)),
            Write::Exception(Box::new(exception)),
        ])
        .unwrap();
    store
}

#[test]
fn each_end_of_a_story_leads_to_the_whole() {
    let store = story();
    let event = given::event(1).id.to_string();
    let call = given::call(1, CallState::Delivered, None);
    let contract = contract();
    let ends = [
        event.clone(),
        given::run(1, None).id.to_string(),
        call.id.to_string(),
        call.reference.to_string(),
        call.reference.to_string().to_lowercase(),
        "MR-000001".to_owned(),
        given::exception("something else of this run", 3).id.to_string(),
        "1/4".to_owned(),
    ];
    for end in ends {
        let lineage = explain(&store, &contract, &end).unwrap().unwrap_or_else(|| panic!("nothing is known of {end}"));
        assert_eq!(lineage.events.len(), 1, "{end}");
        let node = lineage.events.first().unwrap();
        assert_eq!(node.event.get("id").unwrap(), &json!(event), "{end}");
        assert_eq!(node.runs.first().unwrap().calls.first().unwrap().attempts.len(), 1, "{end}");
        assert_eq!(lineage.exceptions.len(), 1, "{end}");
    }
    for nothing in ["1/10", "9/4", "MR-000002", "", &EventId::derived(&[b"nobody"]).to_string()] {
        assert!(explain(&store, &contract, nothing).unwrap().is_none(), "{nothing}");
    }
}

#[test]
fn a_sample_of_another_machine_in_the_same_range_is_no_evidence() {
    let store = story_beside(&[4]);
    assert!(explain(&store, &contract(), "1/4").unwrap().is_none(), "it came from another machine");
    for own in ["1/0", "1/5", "1/9"] {
        assert!(explain(&store, &contract(), own).unwrap().is_some(), "{own} is evidence, copied or not");
    }
}

#[test]
fn a_document_may_be_numbered_like_a_place() {
    let store = story();
    let mut call = given::call(1, CallState::Delivered, None);
    call.document = Some("INV/2026/00012".into());
    store.commit(vec![Write::Call(Box::new(call))]).unwrap();
    assert_eq!(explain(&store, &contract(), "INV/2026/00012").unwrap().unwrap().events.len(), 1);
}

#[test]
fn a_story_reads_well() {
    let lineage = explain(&story(), &contract(), "MR-000001").unwrap().unwrap();
    insta::assert_snapshot!(narrate(&lineage));
}

/// The story with these shadows of its call: an operation of the test system, and what became of it.
fn shadowed() -> Store {
    let store = story();
    let mut call = given::call(1, CallState::Delivered, None);
    (call.document, call.attempts) = (Some("MR-000001".into()), 6);
    call.output = Some(json!({"document": "MR-000001", "state": "WAPPR", "by": {"name": "A"}}));
    let ok = |output: serde_json::Value| Outcome {
        sent: true,
        document: output["document"].as_str().map(str::to_owned),
        output,
        ..Outcome::not_sent(OutcomeClass::Ok, "201 Created")
    };
    let refused = Outcome::not_sent(OutcomeClass::Validation, "no identifier of cartoner-07 in eam-next");
    let outcomes = [
        Some(ok(json!({"document": "17", "state": "WAPPR", "by": {"name": "A"}}))),
        Some(ok(json!({"document": "SR-2", "state": "NEW", "by": {}}))),
        Some(refused),
        None,
    ];
    let mut writes = vec![Write::Call(Box::new(call.clone()))];
    for (number, outcome) in (2..).zip(outcomes) {
        let mut attempt = store.attempts(call.id).unwrap().remove(0);
        (attempt.number, attempt.shadow) = (number, true);
        attempt.system = Name::new("eam-next").unwrap();
        attempt.request = "POST http://eam-next/requests".into();
        (attempt.ended, attempt.outcome) = (outcome.as_ref().map(|_| at(12)), outcome);
        writes.push(Write::Attempt(Box::new(attempt)));
    }
    store.commit(writes).unwrap();
    store
}

#[test]
fn shadows_are_told_beside_the_call() {
    let lineage = explain(&shadowed(), &contract(), "MR-000001").unwrap().unwrap();
    let told = narrate(&lineage);
    let call: Vec<&str> = told.lines().skip_while(|line| !line.starts_with("      call ")).collect();
    insta::assert_snapshot!(call.join("\n"));
    let shadows = &lineage.events[0].runs[0].calls[0].shadows;
    let verdicts: Vec<&str> = shadows.iter().map(|shadow| shadow.verdict.as_str()).collect();
    assert_eq!(verdicts, ["same", "differs", "failed", "unknown"]);
}
