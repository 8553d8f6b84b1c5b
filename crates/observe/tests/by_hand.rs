//! Stories that no event has begun: runs that were started by hand or by a schedule, the runs that these have started,
//! and the events that they have emitted.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use andon_contract::Contract;
use andon_model::{EventId, RunId, Time};
use andon_observe::{
    Lineage, explain,
    lineage::{Asked, CHILDREN_MAX},
    narrate::narrate,
    runs_of_key,
};
use andon_store::{
    Store, conformance as given,
    rows::{CallRow, CallState, Cancel, Parent, RunRow, RunState, TaskRow, Write},
};
use serde_json::json;

const KEY: &str = "order 10/4711";

fn contract() -> Contract {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/machine-temperature");
    andon_contract::load(std::path::Path::new(example)).unwrap().contract
}

/// A run that no event has started.
fn run(number: u32, workflow: &str) -> RunRow {
    RunRow { workflow: workflow.into(), event: None, correlation: None, ..given::run(number, None) }
}

/// One that was started by hand.
fn root(workflow: &str) -> RunRow {
    RunRow {
        id: RunId::of_key(workflow, KEY),
        key: Some(KEY.into()),
        by: Some("ann".into()),
        input: json!({"asset": "machine-01", "hours": 2}),
        state: RunState::Waiting,
        started: Time::parse("2026-03-02T08:00:00Z").unwrap(),
        ..run(0, workflow)
    }
}

/// A run that another one has started.
fn child(number: u32, of: &RunRow, state: RunState) -> RunRow {
    let depth = of.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
    let (pointer, iteration) = ("/do/1/part".to_owned(), format!("{number}"));
    let parent = Parent { run: of.id, pointer, iteration, wait: true, depth };
    RunRow { parent: Some(parent), state, ..run(number, "part") }
}

fn call_of(number: u32, run: &RunRow, document: &str) -> CallRow {
    let mut call = given::call(number, CallState::Delivered, None);
    (call.run, call.document) = (run.id, Some(document.into()));
    call
}

/// A run by hand, the runs that it and these have started, an event that the last of them has emitted, the run that
/// this event has started, and what all of them have called.
struct Story {
    store: Store,
    root: RunRow,
    child: RunRow,
    grandchild: RunRow,
    event: EventId,
    follower: RunRow,
}

fn story() -> Story {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let root = root("open-repair");
    let child = child(1, &root, RunState::Waiting);
    let grandchild = self::child(2, &child, RunState::Completed);
    let cancel = Cancel { at: Time(5), by: "andon".into(), reason: "it was given up".into(), compensate: false };
    let cancelled = RunRow { cancel: Some(cancel), ..self::child(3, &root, RunState::Cancelled) };
    let emit = TaskRow { iteration: "1".into(), ..given::task(2, "/do/0/tell") };
    let emit = TaskRow { run: grandchild.id, ..emit };
    let mut event = given::event(7);
    event.id = EventId::emitted(grandchild.id, &emit.pointer, &emit.iteration);
    (event.correlation, event.causation) = (event.id, Some(grandchild.id.to_string()));
    event.kind = "repair.ordered".into();
    event.data = json!({});
    let follower = RunRow { event: Some(event.id), correlation: Some(event.id), ..run(4, "tell-others") };
    let mut exception = given::exception("a task of the child", 3);
    exception.run = Some(child.id);
    let calls = [call_of(1, &root, "MR-1"), call_of(2, &grandchild, "MR-2"), call_of(3, &follower, "MR-3")];
    let runs = [&root, &child, &grandchild, &cancelled, &follower];
    let mut writes: Vec<Write> = runs.map(|run| Write::Run(Box::new(run.clone()))).into();
    writes.extend([Write::Event(Box::new(event.clone()), None), Write::Task(Box::new(emit))]);
    writes.extend(calls.map(|call| Write::Call(Box::new(call))));
    writes.push(Write::Exception(Box::new(exception)));
    store.commit(writes).unwrap();
    Story { store, root, child, grandchild, event: event.id, follower }
}

fn told(story: &Story, asked: &str) -> Lineage {
    explain(&story.store, &contract(), asked).unwrap().unwrap_or_else(|| panic!("nothing is known of {asked}"))
}

#[test]
fn each_end_of_a_story_that_began_by_hand_leads_to_the_whole() {
    let story = story();
    let reference = |number: u32| given::call(number, CallState::Delivered, None).reference.to_string();
    let call = given::call(3, CallState::Delivered, None).id.to_string();
    let exception = given::exception("a task of the child", 3).id.to_string();
    let ends = [
        (story.root.id.to_string(), Asked::Run),
        (story.child.id.to_string(), Asked::Run),
        (story.grandchild.id.to_string(), Asked::Run),
        (story.follower.id.to_string(), Asked::Run),
        (KEY.to_owned(), Asked::Key),
        (format!(" {KEY} "), Asked::Key),
        (reference(1), Asked::Call),
        (reference(2).to_lowercase(), Asked::Call),
        (call, Asked::Call),
        ("MR-1".into(), Asked::Document),
        ("MR-3".into(), Asked::Document),
        (story.event.to_string(), Asked::Event),
        (exception, Asked::Exception),
    ];
    for (end, kind) in ends {
        let lineage = told(&story, &end);
        assert_eq!(lineage.kind, kind, "{end}");
        let runs: Vec<RunId> = lineage.all_runs().iter().map(|node| node.run.id).collect();
        assert_eq!((lineage.runs.len(), lineage.runs[0].run.id), (1, story.root.id), "{end}: it begins with the start");
        assert!(runs.len() == 5 && runs.contains(&story.grandchild.id), "{end}: {runs:?}");
        assert_eq!(lineage.events.len(), 1, "{end}: forward to what was emitted");
        let follower = &lineage.events[0].runs[0];
        assert_eq!((follower.run.id, follower.calls.len()), (story.follower.id, 1), "{end}: and to what it started");
        assert_eq!(lineage.exceptions.len(), 1, "{end}");
    }
    for nothing in ["order", "", &RunId::of_key("open-repair", "order").to_string(), "MR-4"] {
        assert!(explain(&story.store, &contract(), nothing).unwrap().is_none(), "{nothing}");
    }
}

#[test]
fn a_story_that_began_by_hand_reads_well() {
    insta::assert_snapshot!(narrate(&told(&story(), "MR-3")));
}

#[test]
fn a_key_is_found_in_every_workflow_and_after_the_workflow_is_gone_from_the_project() {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let gone = root("gone");
    store.commit(vec![Write::Run(Box::new(gone.clone()))]).unwrap();
    let found = |key: &str| -> Vec<String> {
        runs_of_key(&store, &contract(), key).unwrap().into_iter().map(|run| run.workflow).collect()
    };
    assert_eq!(found(KEY), ["gone"]);
    let contract = contract();
    let there = contract.workflows.keys().next().unwrap().as_str();
    store.commit(vec![Write::Run(Box::new(root(there)))]).unwrap();
    assert_eq!(found(KEY), [there], "what is in force is meant");
    assert!(found("order").is_empty() && found("").is_empty());
}

#[test]
fn what_began_a_run_is_told_although_it_is_not_kept() {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let planned = RunRow { input: json!({"planned": "2026-03-02T02:00:00Z"}), ..run(1, "nightly") };
    let of_event = RunRow { event: Some(given::event(9).id), ..run(2, "repair") };
    let of_run = child(3, &run(8, "lost"), RunState::Completed);
    let mut lines = Vec::new();
    for row in [planned, of_event, of_run] {
        store.commit(vec![Write::Run(Box::new(row.clone()))]).unwrap();
        let lineage = explain(&store, &contract(), &row.id.to_string()).unwrap().unwrap();
        let text = narrate(&lineage);
        lines.extend(text.lines().filter(|line| line.starts_with("started")).map(str::to_owned));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_run_that_is_asked_for_is_told_where_its_parent_has_started_too_many() {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let root = root("open-repair");
    let many = u32::try_from(CHILDREN_MAX).unwrap() + 5;
    let children: Vec<RunRow> = (1..=many).map(|number| child(number, &root, RunState::Completed)).collect();
    let rows = std::iter::once(&root).chain(&children);
    store.commit(rows.map(|row| Write::Run(Box::new(row.clone()))).collect()).unwrap();
    let last = children.last().unwrap();
    let lineage = explain(&store, &contract(), &last.id.to_string()).unwrap().unwrap();
    let told = &lineage.runs[0];
    assert_eq!((told.children.len(), told.untold), (CHILDREN_MAX + 1, 4));
    assert_eq!(told.children.last().unwrap().run.id, last.id);
    assert!(narrate(&lineage).ends_with("    and 4 more runs that it has started\n"));
}
