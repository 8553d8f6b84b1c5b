//! What every provider does with what waits for events, times and people.

use super::{event, exception, name, run, site};
use crate::{
    Decision, ExceptionRow, ExceptionState, GatherKey, ListenRow, RunRow, RunState, ScheduleRow, Store, StoreError,
    Write,
};
use andon_model::Time;
use serde_json::json;

fn listens(kind: &str, by: &str, value: &str) -> ListenRow {
    ListenRow { site: site("hamburg"), kind: kind.into(), by: by.into(), value: value.into() }
}

pub(super) fn listening_runs_are_found_until_they_end(store: &Store) {
    let (one, two) = (run(1, None), run(2, None));
    let start = |row: &RunRow| Write::Run(Box::new(row.clone()));
    let (first, second) = (listens("a", ".data.order", "\"1\""), listens("a", "", ""));
    store
        .commit(vec![
            start(&one),
            start(&two),
            Write::Listen(one.id, vec![first.clone(), second.clone()]),
            Write::Listen(two.id, vec![first.clone()]),
        ])
        .unwrap();
    let mut found = store.listeners(&first).unwrap();
    found.sort_unstable();
    let mut both = vec![one.id, two.id];
    both.sort_unstable();
    assert_eq!((found, store.listeners(&second).unwrap()), (both, vec![one.id]));
    assert_eq!(store.listeners(&listens("a", ".data.order", "\"2\"")).unwrap(), []);
    let ways = store.listened().unwrap();
    let wanted = [("a", ""), ("a", ".data.order")].map(|(kind, by)| (site("hamburg"), kind.to_owned(), by.to_owned()));
    assert_eq!(ways, wanted);
    store.commit(vec![Write::Listen(two.id, vec![second.clone()])]).unwrap();
    assert_eq!(store.listeners(&first).unwrap(), [one.id]);
    // What a run has asked needs no answer once it has ended; other exceptions of it stay.
    let decision = Decision {
        task: "/do/0/ask".into(),
        form: json!({ "type": "object" }),
        escalate: None,
        escalated: None,
        answer: None,
        by: None,
    };
    let asked = ExceptionRow { run: Some(one.id), decision: Some(Box::new(decision)), ..exception("asked", 1) };
    let other = ExceptionRow { run: Some(one.id), ..exception("other", 1) };
    let write = |row: &ExceptionRow| Write::Exception(Box::new(row.clone()));
    store.commit(vec![write(&asked), write(&other)]).unwrap();
    assert_eq!(store.exception(asked.id).unwrap().as_ref(), Some(&asked));
    store.commit(vec![start(&RunRow { state: RunState::Completed, ..one.clone() })]).unwrap();
    assert_eq!(store.listeners(&second).unwrap(), [two.id]);
    let state = |row: &ExceptionRow| store.exception(row.id).unwrap().unwrap().state;
    assert_eq!((state(&asked), state(&other)), (ExceptionState::Resolved, ExceptionState::Open));
}

pub(super) fn an_edit_of_an_exception_counts_nothing_and_comes_too_late_when_resolved(store: &Store) {
    let row = exception("asked", 1);
    let write = |row: &ExceptionRow| Write::Exception(Box::new(row.clone()));
    store.commit(vec![write(&row), write(&ExceptionRow { last: Time(9), ..row.clone() })]).unwrap();
    let edit = |owner: &str, state| ExceptionRow { owner: name(owner), state, due: Some(Time(5)), ..row.clone() };
    let commit = |row| store.commit(vec![Write::ExceptionEdit(Box::new(row))]);
    commit(edit("quality", ExceptionState::Resolved)).unwrap();
    commit(edit("late", ExceptionState::Open)).unwrap();
    let found = store.exception(row.id).unwrap().unwrap();
    assert_eq!((found.owner.as_str(), found.count, found.last), ("quality", 2, Time(9)));
    assert_eq!((found.state, found.due), (ExceptionState::Resolved, Some(Time(5))));
    let refused = commit(exception("nowhere", 1)).unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
}

pub(super) fn events_of_a_type_are_found_between_two_places(store: &Store) {
    let of = |number: u32, kind: &str| {
        let event = andon_model::Event { kind: kind.into(), site: site("hamburg"), ..event(number) };
        Write::Event(Box::new(event), None)
    };
    store.commit((0..9).map(|n| of(n, if n % 3 == 0 { "a" } else { "b" })).collect()).unwrap();
    let numbers = |kind, within, limit| -> Vec<u64> {
        let found = store.events_of((&site("hamburg"), kind), within, limit).unwrap();
        found.into_iter().map(|stored| stored.sequence).collect()
    };
    assert_eq!(numbers(Some("a"), (0, 9), 9), [1, 4, 7]);
    assert_eq!(numbers(Some("a"), (1, 6), 9), [4]);
    assert_eq!(numbers(Some("b"), (2, 9), 2), [3, 5]);
    assert_eq!(numbers(None, (6, 8), 9), [7, 8]);
    assert_eq!(store.events_of((&site("bremen"), Some("a")), (0, 9), 9).unwrap(), []);
}

pub(super) fn what_waits_for_others_and_for_times_is_kept(store: &Store) {
    let key = |key: &str| GatherKey { site: site("hamburg"), workflow: "together".into(), key: key.into() };
    let gather = |at: &str, slot, number, waits| Write::Gather(key(at), slot, number, waits);
    store.commit(vec![gather("x", 0, 7, true), gather("x", 0, 3, true), gather("y", 0, 1, true)]).unwrap();
    assert_eq!(store.gathered(&key("x"), 0, 9).unwrap(), [3, 7]);
    assert!(store.gathered(&key("x"), 1, 9).unwrap().is_empty());
    store.commit(vec![gather("x", 0, 3, false)]).unwrap();
    assert_eq!(store.gathered(&key("x"), 0, 9).unwrap(), [7]);
    store.commit(vec![gather("x", 1, 2, true)]).unwrap();
    let all = [(key("x"), 0, 7), (key("x"), 1, 2), (key("y"), 0, 1)];
    assert_eq!(store.gathers_after(None, 9).unwrap(), all);
    assert_eq!(store.gathers_after(None, 2).unwrap(), all[..2]);
    assert_eq!(store.gathers_after(Some(&all[0]), 9).unwrap(), all[1..]);
    assert_eq!(store.gathers_after(Some(&all[2]), 9).unwrap(), []);
    let row = |planned| ScheduleRow {
        site: site("hamburg"),
        workflow: name("nightly"),
        schedule: "cron 0 2 * * *".into(),
        planned: Time(planned),
        run: None,
    };
    store.commit(vec![Write::Schedule(Box::new(row(1))), Write::Schedule(Box::new(row(2)))]).unwrap();
    assert_eq!(store.schedules().unwrap(), [row(2)]);
    store.commit(vec![Write::ScheduleRemove(site("hamburg"), name("nightly"))]).unwrap();
    assert_eq!(store.schedules().unwrap(), []);
}
