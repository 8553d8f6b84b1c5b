//! What every provider must do, as one suite that each of them runs.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is its verdict")]

mod confirmations;
pub mod history;
mod log;
mod objects;
mod signals;
mod stuck;
mod waits;

pub use log::read_all;

use crate::{
    AttemptRow, CallRow, CallState, ContractRow, Evidence, ExceptionKind, ExceptionRow, ExceptionState, GapRow,
    IntakeRow, QuarantineRow, Query, RuleStateRow, RunRow, RunState, SourceRow, Store, StoreError, TaskRow, Write,
};
use andon_model::{
    AssetName, Entry, Event, EventId, ExceptionId, Key, Name, Outcome, OutcomeClass, Position, Quality, RunId, Sample,
    SignalNo, SiteName, Time, Value,
    call::Step,
    sample::{Counts, Mark, Origin, Part},
};
use serde_json::{Value as Json, json};
use std::{any::Any, collections::BTreeMap, time::Duration};

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes an empty store, and what must live as long as it.
pub type Make<'a> = &'a dyn Fn() -> (Store, Box<dyn Any>);

/// Runs every behaviour on a store of its own; panics at the first that does not hold. The log's segments should be
/// small enough that a few thousand samples fill several.
pub fn suite(make: Make<'_>) {
    let behaviours: [fn(&Store); 35] = [
        an_event_exists_once,
        a_story_is_found_whole,
        order_numbers_have_no_holes,
        a_commit_is_all_or_nothing,
        an_exception_counts_up_and_opens_again,
        intakes_are_kept_until_they_are_forgotten,
        what_is_due_comes_in_order,
        rows_are_found_by_what_names_them,
        the_last_contract_is_active,
        lists_are_filtered_and_paged,
        signals::signals_keep_their_numbers,
        log::the_log_reads_back,
        log::old_entries_are_read_from_any_place,
        log::what_was_received_is_counted,
        log::the_newest_of_a_source_are_found,
        changes_wake_and_states_return,
        history::samples_are_found,
        objects::versions_have_the_revision_that_brought_them,
        objects::what_was_known_is_known_as_it_was,
        objects::what_is_valid_for_an_asset_is_found,
        objects::revisions_that_changed_nothing_are_forgotten,
        objects::events_about_a_thing_are_found,
        confirmations::a_fact_is_told_once,
        confirmations::intervals_decide_what_is_one_fact,
        confirmations::the_first_report_decides_for_all,
        confirmations::what_follows_from_a_fact_is_no_report_of_it,
        waits::listening_runs_are_found_until_they_end,
        waits::an_edit_of_an_exception_counts_nothing_and_comes_too_late_when_resolved,
        waits::events_of_a_type_are_found_between_two_places,
        waits::what_waits_for_others_and_for_times_is_kept,
        stuck::what_people_do_about_an_exception_stays,
        stuck::groups_count_their_exceptions,
        stuck::what_is_due_is_found_while_it_has_not_ended,
        stuck::what_was_done_is_a_chain,
        stuck::notices_systems_and_suspects_are_kept,
    ];
    for behaviour in behaviours {
        let (store, keep) = make();
        behaviour(&store);
        drop((store, keep));
    }
}

/// An event with an id of its own.
pub fn event(number: u32) -> Event {
    let id = EventId::derived(&[b"event", &number.to_le_bytes()]);
    Event {
        id,
        kind: "asset.alarm".into(),
        source: "/hamburg/rules/vibration".into(),
        time: Time(1_700_000_000_000_000_000 + i64::from(number)),
        subject: format!("cartoner-{:02}", number % 3),
        schema: "andon:asset.alarm/1.0".into(),
        site: site(if number.is_multiple_of(2) { "hamburg" } else { "monterrey" }),
        key: format!("cartoner-{:02}", number % 3),
        correlation: id,
        causation: None,
        recorded: Time(1_700_000_000_000_000_000),
        data: json!({ "change": if number.is_multiple_of(5) { "returned" } else { "activated" }, "number": number,
            "last": number == 9, "value": { "value": "7.4", "unit": "mm/s" } }),
    }
}

/// A run that waits, or can go on where `wake` is none.
pub fn run(number: u32, wake: Option<i64>) -> RunRow {
    RunRow {
        id: RunId::derived(&[b"run", &number.to_le_bytes()]),
        site: site("hamburg"),
        workflow: "inspect".into(),
        definition: "d1".into(),
        revision: "r1".into(),
        event: Some(event(number).id),
        correlation: None,
        key: None,
        by: None,
        parent: None,
        cancel: None,
        taken_up: 0,
        state: if wake.is_some() { RunState::Waiting } else { RunState::Running },
        started: Time(0),
        updated: Time(i64::from(number)),
        wake: wake.map(Time),
        input: json!({ "n": number }),
        memory: Json::Null,
        output: None,
        error: None,
    }
}

/// A call of a run.
pub fn call(number: u32, state: CallState, due: Option<i64>) -> CallRow {
    let run = run(number, None).id;
    let key = Key::of_task(run, "/do/0/request", "", 0);
    CallRow {
        id: key.call_id(),
        site: site("hamburg"),
        run,
        pointer: "/do/0/request".into(),
        iteration: String::new(),
        reference: key.reference(),
        key,
        edit: 0,
        supersedes: None,
        capability: "maintenance.request-work".into(),
        system: Some(name("maximo")),
        operation: Some(name("create-sr")),
        state,
        input: json!({ "asset": "cartoner-07" }),
        output: None,
        document: None,
        created: Time(0),
        updated: Time(0),
        due: due.map(Time),
        attempts: 0,
        class: None,
        detail: None,
        memory: Json::Null,
    }
}

/// A completed task of a run.
pub fn task(of: u32, pointer: &str) -> TaskRow {
    TaskRow {
        run: run(of, None).id,
        pointer: pointer.into(),
        iteration: String::new(),
        completed: Time(5),
        input: None,
        output: json!({ "done": true }),
        context: Json::Null,
        next: None,
        note: None,
    }
}

/// An exception by its fingerprint.
pub fn exception(fingerprint: &str, at: i64) -> ExceptionRow {
    let id = ExceptionId::derived(&[fingerprint.as_bytes()]);
    ExceptionRow {
        site: Some(site("hamburg")),
        cause: "no signal is bound to the topic".into(),
        detail: format!("seen at {at}"),
        remedy: "bind it in assets/hamburg.yaml".into(),
        source: Some(name("line-1")),
        ..ExceptionRow::new(id, ExceptionKind::Input, name("automation"), fingerprint.into(), Time(at))
    }
}

/// A part with samples of every kind of value, and a mark.
pub fn part(source: &str, samples: u32, seed: u32) -> Part {
    let mut part = Part::new(site("hamburg"), name(source));
    part.counts =
        Counts { received: u64::from(samples) + 1, stored: samples.into(), duplicate: 1, ..Counts::default() };
    part.entries = (0..samples).map(|n| Entry::Sample(sample(seed.wrapping_add(n)))).collect();
    if seed.is_multiple_of(3) {
        part.entries.push(Entry::Mark(Mark::Disconnected("the broker closed the connection".into())));
        part.entries.push(Entry::Mark(Mark::Tick { asset: asset("cartoner-07"), plant: Time(-5), utc: Time(7) }));
    }
    part
}

fn sample(n: u32) -> Sample {
    let time = Time(1_700_000_000_000_000_000 + i64::from(n) * 7_919_000);
    Sample {
        signal: SignalNo(n % 700),
        time,
        received: Time::from_millis(time.millis() + 40),
        quality: if n.is_multiple_of(7) { Quality::BAD } else { Quality::GOOD },
        value: match n % 5 {
            0 => Value::Bool(n.is_multiple_of(2)),
            1 => Value::I64(-i64::from(n)),
            2 => Value::Text(format!("state {n}").into()),
            3 => Value::Bytes(n.to_le_bytes().to_vec().into()),
            _ => Value::F64(f64::from(n) / 3.0),
        },
        origin: match n % 11 {
            0 => Origin::Ahead(Time(i64::MAX - i64::from(n))),
            1 => Origin::Retained,
            2 => Origin::RetainedUntimed,
            _ => Origin::Live,
        },
    }
}

fn site(text: &str) -> SiteName {
    SiteName::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn asset(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

fn insert(number: u32) -> Write {
    Write::Event(Box::new(event(number)), None)
}

fn a_story_is_found_whole(store: &Store) {
    let of = |number: u32, story: u32| {
        let mut event = event(number);
        event.correlation = self::event(story).id;
        Write::Event(Box::new(event), None)
    };
    store.commit(vec![of(1, 1), of(2, 1), of(3, 3), of(4, 1), of(5, 3)]).unwrap();
    let found = |story: u32, limit: usize| -> Vec<u64> {
        store.story(event(story).id, limit).unwrap().iter().map(|stored| stored.sequence).collect()
    };
    assert_eq!(found(1, 10), [1, 2, 4]);
    assert_eq!(found(1, 2), [1, 2]);
    assert_eq!(found(3, 10), [3, 5]);
    assert_eq!(found(2, 10), [2], "an event is found by its own id, whatever its story");
}

fn an_event_exists_once(store: &Store) {
    let evidence = Evidence {
        from: Position { epoch: 1, offset: 3 },
        to: Position { epoch: 1, offset: 9 },
        count: 7,
        hash: "ab".into(),
        samples: Vec::new(),
        saw: serde_json::json!({"settings": {"kind": "limit"}}),
    };
    assert_eq!(store.last_sequence().unwrap(), 0);
    let first =
        store.commit(vec![Write::Event(Box::new(event(1)), Some(Box::new(evidence.clone()))), insert(2)]).unwrap();
    assert_eq!(first.events, [(event(1).id, 1, true), (event(2).id, 2, true)]);
    let again = store.commit(vec![insert(2), insert(3), insert(1), insert(3)]).unwrap();
    let expected = [(event(2).id, 2, false), (event(3).id, 3, true), (event(1).id, 1, false), (event(3).id, 3, false)];
    assert_eq!(again.events, expected);
    let (stored, found) = store.event(event(1).id).unwrap().unwrap();
    assert_eq!((stored.sequence, stored.event, found), (1, event(1), Some(evidence)));
    assert_eq!(store.event(event(3).id).unwrap().unwrap().1, None);
    assert!(store.event(event(4).id).unwrap().is_none());
    assert_eq!(store.counts().unwrap()["events"], 3);
}

fn order_numbers_have_no_holes(store: &Store) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..25 {
                    let mine = insert(thread * 1_000 + number);
                    let mut writes = vec![mine, insert(number)];
                    if number % 5 == 4 {
                        // Fails as a whole: it must leave no hole behind.
                        writes.push(Write::ExceptionState(exception("nowhere", 0).id, ExceptionState::Resolved));
                        assert!(store.commit(writes).is_err());
                    } else {
                        store.commit(writes).unwrap();
                    }
                }
            });
        }
    });
    let mut after = 0;
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let page = store.events_after(after, 7).unwrap();
        assert!(page.len() <= 7);
        for stored in &page {
            assert_eq!(stored.sequence, after + 1);
            assert!(seen.insert(stored.event.id), "an event appears twice");
            after = stored.sequence;
        }
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(after, 80);
    assert_eq!(store.last_sequence().unwrap(), after);
}

fn a_commit_is_all_or_nothing(store: &Store) {
    let start = vec![Write::StartRun(Box::new(run(1, None))), Write::Task(Box::new(task(1, "/do/0/a")))];
    assert_eq!(store.commit(start).unwrap().runs, [(run(1, None).id, true)]);
    let twice = vec![insert(1), Write::Cursor("events".into(), 9), Write::Task(Box::new(task(1, "/do/0/a")))];
    let refused = store.commit(twice).unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("completed already"), "{refused}");
    assert_eq!(store.last_sequence().unwrap(), 0);
    assert_eq!(store.cursor("events").unwrap(), None);
    let orphan = store.commit(vec![Write::Task(Box::new(task(2, "/do/0/a")))]).unwrap_err();
    assert!(orphan.to_string().contains("does not exist"), "{orphan}");
    // A run that exists is left as it is by a start, and replaced by a write.
    let other = RunRow { state: RunState::Completed, ..run(1, None) };
    let started = store.commit(vec![Write::StartRun(Box::new(other.clone()))]).unwrap();
    assert_eq!(started.runs, [(other.id, false)]);
    assert_eq!(store.run(other.id).unwrap().unwrap().state, RunState::Running);
    store.commit(vec![Write::Run(Box::new(other.clone())), Write::Cursor("events".into(), 4)]).unwrap();
    assert_eq!(store.run(other.id).unwrap(), Some(other));
    store.commit(vec![Write::Cursor("events".into(), 5)]).unwrap();
    assert_eq!(store.cursors().unwrap(), [("events".to_owned(), 5)]);
    assert_eq!(store.commit(Vec::new()).unwrap(), crate::Committed::default());
}

fn an_exception_counts_up_and_opens_again(store: &Store) {
    let id = exception("a", 0).id;
    store.commit(vec![Write::Exception(Box::new(exception("a", 10)))]).unwrap();
    store.commit(vec![Write::ExceptionState(id, ExceptionState::Resolved)]).unwrap();
    assert_eq!(store.exception(id).unwrap().unwrap().state, ExceptionState::Resolved);
    store
        .commit(vec![Write::Exception(Box::new(exception("a", 30))), Write::Exception(Box::new(exception("a", 20)))])
        .unwrap();
    let found = store.exception(id).unwrap().unwrap();
    assert_eq!((found.count, found.first, found.last), (3, Time(10), Time(30)));
    assert_eq!(found.state, ExceptionState::Open);
    assert_eq!(store.counts().unwrap().get("exceptions.open"), Some(&1));
    let bytes = |n: u8| QuarantineRow {
        exception: id,
        received: Time(i64::from(n)),
        source: name("line-1"),
        topic: "plant/x".into(),
        bytes: vec![n, 0, 255],
        detail: "byte 0: no JSON".into(),
        retained: n == 3,
    };
    store.commit((0..5).map(|n| Write::Quarantine(Box::new(bytes(n)))).collect()).unwrap();
    assert_eq!(store.quarantine(id, 2).unwrap(), [bytes(4), bytes(3)]);
    let numbered = store.quarantined(Some(id), 0, 3).unwrap();
    assert_eq!(numbered.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>(), [bytes(0), bytes(1), bytes(2)]);
    let (second, third) = (numbered[1].0, numbered[2].0);
    store.commit(vec![Write::QuarantineRemove(second), Write::QuarantineRemove(second)]).unwrap();
    assert_eq!(store.quarantined_message(second).unwrap(), None);
    assert_eq!(store.quarantined_message(third).unwrap(), Some(bytes(2)));
    let behind: Vec<_> = store.quarantined(None, third, 9).unwrap().into_iter().map(|(_, row)| row).collect();
    assert_eq!(behind, [bytes(3), bytes(4)]);
    let query = Query { where_: vec![("number".into(), third.to_string())], ..Query::default() };
    let listed = store.list("quarantine", &query).unwrap().rows;
    assert_eq!(listed.iter().map(|row| row["number"].as_u64()).collect::<Vec<_>>(), [Some(third)]);
    assert!(store.commit(vec![Write::ExceptionState(exception("b", 0).id, ExceptionState::Open)]).is_err());
}

fn intakes_are_kept_until_they_are_forgotten(store: &Store) {
    let intake = |of: &str, offset, open, updated| IntakeRow {
        source: name("drop-folder"),
        of: of.into(),
        position: Position { epoch: 1, offset },
        open,
        updated: Time(updated),
        state: json!({ "rows": offset }),
    };
    let put = |row: &IntakeRow| store.commit(vec![Write::Intake(Box::new(row.clone()))]).unwrap();
    let (first, second) = (intake("a.csv", 5, true, 10), intake("b.csv", 9, true, 20));
    put(&first);
    put(&second);
    let done = intake("a.csv", 40, false, 30);
    put(&done);
    assert_eq!(store.intake(&name("drop-folder"), "a.csv").unwrap(), Some(done.clone()));
    assert_eq!(store.intake(&name("other"), "a.csv").unwrap(), None);
    assert_eq!(store.intakes(&name("drop-folder")).unwrap(), [done.clone(), second.clone()]);
    // What is open stays, however old it is; what is not goes once it was not written for long.
    store.commit(vec![Write::IntakesBefore(name("drop-folder"), "a.", Time(30))]).unwrap();
    assert_eq!(store.intakes(&name("drop-folder")).unwrap(), [done, second.clone()]);
    // What begins otherwise is somebody else's.
    store.commit(vec![Write::IntakesBefore(name("drop-folder"), "c.", Time(31))]).unwrap();
    assert_eq!(store.intakes(&name("drop-folder")).unwrap().len(), 2);
    store.commit(vec![Write::IntakesBefore(name("drop-folder"), "a.", Time(31))]).unwrap();
    assert_eq!(store.intakes(&name("drop-folder")).unwrap(), [second]);
    let remove = || Write::IntakeRemove(name("drop-folder"), "b.csv".into());
    store.commit(vec![remove(), remove()]).unwrap();
    assert_eq!(store.intakes(&name("drop-folder")).unwrap(), []);
}

fn what_is_due_comes_in_order(store: &Store) {
    let writes = [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(200)), (5, Some(900))];
    store.commit(writes.iter().map(|(n, wake)| Write::Run(Box::new(run(*n, *wake)))).collect()).unwrap();
    let due = |now, limit| {
        let rows = store.runs_due(Time(now), limit).unwrap();
        let number = |id| store.run(id).unwrap().unwrap().input["n"].as_u64().unwrap();
        rows.iter().map(|row| number(row.id)).collect::<Vec<_>>()
    };
    assert_eq!(due(300, 10), [3, 2, 4, 1]);
    assert_eq!(due(299, 2), [3, 2]);
    assert_eq!(store.next_wake().unwrap(), Some(Time(100)));
    store
        .commit(vec![
            Write::Call(Box::new(call(1, CallState::Waiting, Some(50)))),
            Write::Call(Box::new(call(2, CallState::Waiting, Some(40)))),
            Write::Call(Box::new(call(3, CallState::InFlight, Some(10)))),
            Write::Call(Box::new(call(4, CallState::Waiting, None))),
        ])
        .unwrap();
    let calls = |rows: Vec<CallRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let id = |n| call(n, CallState::Waiting, None).id;
    assert_eq!(calls(store.calls_due(Time(50), 10).unwrap()), [id(2), id(1)]);
    assert_eq!(calls(store.calls_due(Time(49), 10).unwrap()), [id(2)]);
    assert_eq!(calls(store.calls_in_flight().unwrap()), [id(3)]);
    assert_eq!(store.next_wake().unwrap(), Some(Time(40)));
    let counts = store.counts().unwrap();
    assert_eq!((counts["runs.waiting"], counts["runs.running"], counts["calls.waiting"]), (4, 1, 3));
}

fn rows_are_found_by_what_names_them(store: &Store) {
    let mut delivered = call(1, CallState::Delivered, None);
    delivered.document = Some("SR-1001".into());
    let attempt = |number| AttemptRow {
        call: delivered.id,
        number,
        step: Step::Send,
        system: name("maximo"),
        operation: name("create-sr"),
        hash: "0A".into(),
        request: "POST http://maximo/sr".into(),
        headers: std::collections::BTreeMap::new(),
        body: "{}".into(),
        started: Time(1),
        ended: (number == 1).then_some(Time(2)),
        outcome: (number == 1).then(|| Outcome::not_sent(OutcomeClass::Transient, "refused")),
        shadow: false,
    };
    let failed = ExceptionRow { run: Some(delivered.run), call: Some(delivered.id), ..exception("call", 4) };
    store
        .commit(vec![
            Write::Run(Box::new(run(1, None))),
            Write::Task(Box::new(task(1, "/do/1/b"))),
            Write::Task(Box::new(task(1, "/do/0/a"))),
            Write::Call(Box::new(delivered.clone())),
            Write::Attempt(Box::new(attempt(2))),
            Write::Attempt(Box::new(AttemptRow { outcome: None, ..attempt(1) })),
            Write::Attempt(Box::new(attempt(1))),
            Write::Exception(Box::new(failed.clone())),
            Write::RuleState(rule_state(1)),
            Write::RuleState(rule_state(2)),
            Write::Source(source_row(false, 1, "off")),
            Write::Source(source_row(true, 2, "")),
            Write::Gap(GapRow { source: name("line-1"), from: Time(1), to: Time(2), reason: "off".into() }),
        ])
        .unwrap();
    let id = delivered.run;
    assert_eq!(store.tasks(id).unwrap(), [task(1, "/do/1/b"), task(1, "/do/0/a")]);
    assert_eq!(store.call(delivered.id).unwrap().as_ref(), Some(&delivered));
    assert_eq!(store.calls_of(id).unwrap(), [delivered.clone()]);
    assert_eq!(store.call_by_reference(&delivered.reference).unwrap(), Some(delivered.clone()));
    assert_eq!(store.calls_by_document("SR-1001").unwrap(), [delivered.clone()]);
    assert!(store.calls_by_document("SR-1002").unwrap().is_empty());
    assert_eq!(store.attempts(delivered.id).unwrap(), [attempt(1), attempt(2)]);
    assert_eq!(store.runs_of_event(event(1).id).unwrap(), [run(1, None)]);
    assert_eq!(store.exceptions_of_run(id).unwrap(), [failed]);
    assert_eq!(store.rule_states().unwrap(), [rule_state(2)]);
    assert_eq!(store.source_rows().unwrap(), [source_row(true, 2, "")]);
    assert_eq!(store.counts().unwrap()["attempts.transient"], 1);
}

fn source_row(connected: bool, since: i64, reason: &str) -> SourceRow {
    let filters = vec!["plant/+/state".to_owned()];
    SourceRow {
        source: name("line-1"),
        connected,
        since: Time(since),
        reason: reason.into(),
        code: None,
        in_doubt: false,
        filters,
    }
}

fn rule_state(offset: u64) -> RuleStateRow {
    RuleStateRow {
        rule: name("vibration"),
        asset: asset("cartoner-07"),
        version: "v1".into(),
        position: Position { epoch: 1, offset },
        state: json!({ "active": true, "since": 0.1 + 0.2 }),
    }
}

fn the_last_contract_is_active(store: &Store) {
    assert_eq!(store.active_contract().unwrap(), None);
    let contract = |revision: &str, at| ContractRow {
        revision: revision.into(),
        activated: Time(at),
        files: BTreeMap::from([("andon.yaml".into(), format!("name: {revision}\n").repeat(50))]),
    };
    for (revision, at) in [("one", 1), ("two", 2), ("one", 3)] {
        store.commit(vec![Write::Contract(Box::new(contract(revision, at)))]).unwrap();
        assert_eq!(store.active_contract().unwrap(), Some(contract(revision, at)));
    }
    assert_eq!(store.contract("two").unwrap(), Some(contract("two", 2)));
    assert_eq!(store.contract("three").unwrap(), None);
    assert_eq!(store.counts().unwrap()["contracts"], 2);
}

fn lists_are_filtered_and_paged(store: &Store) {
    store.commit((0..40).map(insert).collect()).unwrap();
    let ask = |pairs: &[(&str, &str)], ascending| Query {
        where_: pairs.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect(),
        limit: 6,
        ascending,
        after: None,
    };
    let all = |mut query: Query| {
        let mut numbers = Vec::new();
        loop {
            let page = store.list("events", &query).unwrap();
            assert!(page.rows.len() <= 6);
            numbers.extend(page.rows.iter().map(|row| row["data"]["number"].as_u64().unwrap()));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return numbers,
            }
        }
    };
    assert_eq!(all(ask(&[], true)), (0..40).collect::<Vec<_>>());
    assert_eq!(all(ask(&[], false)), (0..40).rev().collect::<Vec<_>>());
    assert_eq!(all(ask(&[("site", "monterrey")], true)), (0..40).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    assert_eq!(all(ask(&[("data.change", "returned"), ("subject", "cartoner-00")], true)), [0, 15, 30]);
    assert_eq!(all(ask(&[("data.number", "17")], true)), [17]);
    assert_eq!(all(ask(&[("data.last", "true")], true)), [9]);
    assert_eq!(all(ask(&[("data.value.unit", "mm/s"), ("site", "nowhere")], true)), Vec::<u64>::new());
    let newest = store.list("events", &Query { limit: 1, ..Query::default() }).unwrap();
    assert_eq!(newest.rows[0]["sequence"], "00000000000000000040");
    store.commit(vec![Write::Exception(Box::new(exception("a", 1))), Write::Cursor("hub".into(), 3)]).unwrap();
    let kinds = ["runs", "tasks", "calls", "attempts", "exceptions", "quarantine", "gaps", "contracts", "cursors"];
    let more = ["sources", "rule-states", "objects", "object-versions", "context-revisions", "confirmations"];
    for kind in kinds.into_iter().chain(more) {
        let rows = store.list(kind, &Query::default()).unwrap().rows;
        assert_eq!(rows.len(), usize::from(matches!(kind, "exceptions" | "cursors")), "{kind}");
    }
    assert_eq!(store.list("cursors", &Query::default()).unwrap().rows[0], json!({ "name": "hub", "place": 3 }));
    assert!(store.list("widgets", &Query::default()).unwrap_err().to_string().contains("rule-states"));
    assert!(store.list("runs", &ask(&[("a' OR 1=1 --", "x")], true)).is_err());
}

fn changes_wake_and_states_return(store: &Store) {
    let seen = store.change();
    assert_eq!(store.wait_change(seen, Duration::ZERO), seen);
    store.commit(vec![insert(1)]).unwrap();
    let committed = store.wait_change(seen, PATIENCE);
    assert!(committed > seen);
    store.append(vec![part("line-1", 1, 1)]).unwrap();
    assert!(store.wait_change(committed, PATIENCE) > committed);
    let seen = store.change();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.wait_change(seen, PATIENCE));
        store.wake();
        assert!(waiter.join().unwrap() > seen);
    });
    // The journal of runs tells nobody anything; who waits for runs is woken alone.
    let (any, rows, runs) = (store.change(), store.change_of_rows(), store.change_of_runs());
    store.commit(vec![Write::Run(Box::new(run(9_000, None)))]).unwrap();
    assert_eq!((store.change(), store.change_of_rows(), store.change_of_runs()), (any, rows, runs));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.wait_runs(runs, PATIENCE));
        store.wake_runs();
        assert!(waiter.join().unwrap() > runs);
    });
    assert_eq!((store.change(), store.change_of_rows()), (any, rows));
    assert_eq!(store.read_states().unwrap(), []);
    store.write_states(&[rule_state(1), rule_state(2)]).unwrap();
    store.write_states(&[rule_state(1)]).unwrap();
    assert_eq!(store.read_states().unwrap(), [rule_state(1)]);
}
