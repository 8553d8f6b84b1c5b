//! The example project, as it is loaded: an alarm asks for maintenance, and a run outlives an edit of its workflow.

use andon_contract::{Contract, from_files, load};
use andon_model::call::{CallRequest, Prepare, Prepared};
use andon_model::{Event, EventId, Outcome, OutcomeClass, SiteName, Time};
use andon_store::Store;
use andon_store::rows::{ContractRow, RunRow, RunState, Write};
use andon_workflows::run::Load;
use andon_workflows::{Loop, Ready};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Requests that only carry their reference.
struct Plain;

impl Prepare for Plain {
    fn prepare(&self, request: &CallRequest) -> Result<Prepared, Outcome> {
        Ok(Prepared {
            method: "POST".into(),
            url: format!("http://office/{}", request.operation),
            headers: BTreeMap::new(),
            body: request.key.reference().to_string(),
        })
    }
}

fn example() -> Contract {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/machine-temperature");
    load(&dir).expect("the example is a project").contract
}

fn reload() -> Load {
    Box::new(|files| {
        from_files(files.clone())
            .map(|loaded| loaded.contract)
            .map_err(|problems| format!("{} problems", problems.len()))
    })
}

fn alarm() -> Event {
    let (id, time) = (EventId::derived(&[b"alarm"]), Time::parse("2013-12-16T17:25:00Z").expect("a time"));
    let evidence = json!({"rule": "machine-temperature", "version": "9f2c", "samples": {
        "from": "1:0", "to": "1:12", "count": 13, "hash": "00"}});
    Event {
        id,
        kind: "asset.alarm".into(),
        source: "/foundry/rules/machine-temperature".into(),
        time,
        subject: "machine-1".into(),
        schema: "andon:asset.alarm/1.0".into(),
        site: SiteName::new("foundry").expect("a name"),
        key: "machine-1".into(),
        correlation: id,
        causation: None,
        recorded: time,
        data: json!({"change": "activated", "state": "active", "condition": "limit", "limit": "High", "severity": 500,
            "signal": "temperature", "since": "2013-12-16T16:25:00Z", "evidence": evidence,
            "value": {"value": "106.2", "unit": "Cel"}, "setting": {"value": "105", "unit": "Cel"}}),
    }
}

fn rest(runner: &mut Loop, now: Time) -> Vec<Ready> {
    let mut ready = Vec::new();
    while runner.step(now).expect("a store in memory").worked {
        ready.extend(runner.take_requests());
    }
    ready
}

fn run(store: &Store) -> RunRow {
    let rows = store.runs_of_event(EventId::derived(&[b"alarm"])).expect("a store in memory");
    rows.into_iter().next().expect("a run")
}

fn row(contract: &Contract, now: Time) -> Write {
    Write::Contract(Box::new(ContractRow {
        revision: contract.revision.clone(),
        activated: now,
        files: contract.files.clone(),
    }))
}

#[test]
fn an_alarm_asks_for_maintenance_and_its_run_outlives_an_edit() {
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
    let first = Arc::new(example());
    store.commit(vec![row(&first, now), Write::Event(Box::new(alarm()), None)]).unwrap();
    let mut runner = Loop::new(store.clone(), Arc::clone(&first), Arc::new(Plain), reload());
    let requests = rest(&mut runner, now);
    let [request] = requests.as_slice() else { panic!("{requests:?}, {:?}", run(&store)) };
    let input = &request.request.input;
    assert_eq!(input["title"], "Temperature of machine-1 too hot");
    assert_eq!((input["priority"].as_u64(), input["asset"].as_str()), (Some(1), Some("machine-1")));

    // The process ends with the request under way; it starts again with an edited workflow.
    let mut files = first.files.clone();
    let workflow = files.get_mut("workflows/request-maintenance.yaml").unwrap();
    *workflow = workflow
        .replace("too hot", "much too hot")
        .replace("- request:", "- ask:")
        .replace("then: request", "then: ask");
    let edited = Arc::new(from_files(files).unwrap().contract);
    assert_ne!(edited.revision, first.revision);
    let mut runner = Loop::new(store.clone(), edited, Arc::new(Plain), reload());
    assert!(rest(&mut runner, now).is_empty(), "the system needs time to settle");
    let later = now.plus(andon_model::span::Span::from_secs(1));
    let search = rest(&mut runner, later);
    let found = Outcome {
        sent: true,
        output: json!({"document": "MR-1", "state": "new"}),
        document: Some("MR-1".into()),
        ..Outcome::not_sent(OutcomeClass::Ok, "found MR-1")
    };
    runner.complete(search[0].request.call, search[0].request.attempt, found);
    assert!(rest(&mut runner, later).is_empty());
    let run = run(&store);
    assert_eq!((run.state, run.revision), (RunState::Completed, first.revision.clone()));
    assert_eq!(run.output, Some(json!({"document": "MR-1", "state": "new"})));
    let tasks: Vec<_> = store.tasks(run.id).unwrap().into_iter().map(|task| task.pointer).collect();
    assert_eq!(tasks, ["/do/0/weigh", "/do/1/urgent", "/do/3/request"]);
}
