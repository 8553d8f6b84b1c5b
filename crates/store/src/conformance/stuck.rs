//! What every store keeps of exceptions, of what people do about them, and of what else is watched.

use super::{exception, name};
use crate::{
    AuditRow, Committed, ExceptionChange, ExceptionRow, ExceptionState, GroupRow, InProcessRow, NoticeRow, Query,
    Store, SystemRow, Write,
};
use andon_model::{ExceptionId, Time};
use serde_json::json;

/// An exception of a group.
fn of_group(group: &str, number: u32) -> ExceptionRow {
    let id = ExceptionId::derived(&[b"one", group.as_bytes(), &number.to_le_bytes()]);
    ExceptionRow { id, ..exception(group, i64::from(number)) }
}

fn write(store: &Store, row: &ExceptionRow) {
    store.commit(vec![Write::Exception(Box::new(row.clone()))]).unwrap();
}

fn change(store: &Store, change: ExceptionChange) -> Committed {
    store.commit(vec![Write::ExceptionChange(Box::new(change))]).unwrap()
}

pub(super) fn what_people_do_about_an_exception_stays(store: &Store) {
    let row = exception("a", 10);
    write(store, &row);
    let assigned = ExceptionChange {
        owner: Some(name("quality")),
        assignee: Some(Some("Ada".into())),
        due: Some(Some(Time(90))),
        reason: Some("mine".into()),
        ..ExceptionChange::of(row.id, Time(11)).to(ExceptionState::Assigned)
    };
    assert_eq!(change(store, assigned).changed, [(row.id, true)]);
    write(store, &exception("a", 20));
    let found = store.exception(row.id).unwrap().unwrap();
    assert_eq!((found.state, found.owner.as_str(), found.count), (ExceptionState::Assigned, "quality", 2));
    assert_eq!(
        (found.assignee.as_deref(), found.due, found.reason.as_deref()),
        (Some("Ada"), Some(Time(90)), Some("mine"))
    );
    assert_eq!(found.detail, "seen at 20", "what it says is what was seen last");
    // What was on its way again has failed again.
    change(store, ExceptionChange::of(row.id, Time(21)).to(ExceptionState::Resubmitted));
    write(store, &exception("a", 30));
    let found = store.exception(row.id).unwrap().unwrap();
    assert_eq!((found.state, found.owner.as_str(), found.count), (ExceptionState::Open, "quality", 3));
    // What has ended changes no more, and opens again as new.
    change(store, ExceptionChange::of(row.id, Time(31)).to(ExceptionState::Discarded));
    let late = ExceptionChange { assignee: Some(None), ..ExceptionChange::of(row.id, Time(32)) };
    assert_eq!(change(store, late).changed, [(row.id, false)]);
    assert_eq!(change(store, ExceptionChange::of(exception("nowhere", 0).id, Time(0))).changed.len(), 1);
    write(store, &exception("a", 40));
    let found = store.exception(row.id).unwrap().unwrap();
    assert_eq!((found.state, found.owner.as_str(), found.assignee), (ExceptionState::Open, "automation", None));
    assert_eq!((found.count, found.first, found.last), (4, Time(10), Time(40)));
}

pub(super) fn groups_count_their_exceptions(store: &Store) {
    for number in 1..=5 {
        write(store, &of_group("down", number));
    }
    write(store, &of_group("other", 1));
    write(store, &of_group("down", 2));
    let group = |fingerprint: &str| store.exception_group(fingerprint).unwrap();
    let counts = |row: &GroupRow| (row.unfinished, row.open, row.resubmitted, row.resolved, row.count);
    assert_eq!(counts(&group("down").unwrap()), (5, 5, 0, 0, 6));
    assert_eq!((group("down").unwrap().first, group("down").unwrap().last), (Time(1), Time(5)));
    let id = |number| of_group("down", number).id;
    change(store, ExceptionChange::of(id(1), Time(9)).to(ExceptionState::Resubmitted));
    change(store, ExceptionChange::of(id(2), Time(9)).to(ExceptionState::Resolved));
    assert_eq!(counts(&group("down").unwrap()), (4, 3, 1, 1, 6));
    // The same exception of another cause belongs to the other group, and an empty group is gone.
    write(store, &ExceptionRow { fingerprint: "elsewhere".into(), ..of_group("other", 1) });
    assert_eq!(group("other"), None);
    assert_eq!(counts(&group("elsewhere").unwrap()), (1, 1, 0, 0, 2));
    let numbers = |after, limit| -> Vec<ExceptionId> {
        store.exceptions_of_group("down", after, limit).unwrap().into_iter().map(|(_, row)| row.id).collect()
    };
    assert_eq!(numbers(0, 9), [id(1), id(3), id(4), id(5)], "without those that have ended, oldest first");
    let first = store.exceptions_of_group("down", 0, 2).unwrap();
    assert_eq!(numbers(first[1].0, 9), [id(4), id(5)]);
    let list = |field: &str, value: &str| {
        let query = Query { where_: vec![(field.into(), value.into())], ..Query::default() };
        store.list("exception-groups", &query).unwrap().rows.len()
    };
    assert_eq!((list("state", "open"), list("state", "ended"), list("fingerprint", "down")), (2, 0, 1));
    let unfinished = |word: &str| {
        let query = Query { where_: vec![("unfinished".into(), word.into())], ..Query::default() };
        store.list("exceptions", &query).unwrap().rows.len()
    };
    assert_eq!((unfinished("yes"), unfinished("no")), (5, 1));
    // A group that had ended begins anew with the next of it, and with no other change.
    assert_eq!(group("elsewhere").unwrap().opened, Some(Time(1)));
    change(store, ExceptionChange::of(of_group("other", 1).id, Time(9)).to(ExceptionState::Resolved));
    let again = ExceptionRow { fingerprint: "elsewhere".into(), last: Time(20), ..of_group("other", 1) };
    write(store, &again);
    assert_eq!(group("elsewhere").unwrap().opened, Some(Time(20)));
    write(store, &ExceptionRow { last: Time(30), ..again });
    assert_eq!((group("elsewhere").unwrap().opened, group("down").unwrap().opened), (Some(Time(20)), Some(Time(1))));
    let before = group("down");
    store.commit(vec![Write::CountGroups]).unwrap();
    assert_eq!(group("down").map(|row| counts(&row)), before.map(|row| counts(&row)));
}

pub(super) fn what_is_due_is_found_while_it_has_not_ended(store: &Store) {
    for (number, due) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20))] {
        write(store, &ExceptionRow { due: due.map(Time), ..of_group("due", number) });
    }
    let due = |now| -> Vec<ExceptionId> {
        store.exceptions_due(Time(now), 9).unwrap().into_iter().map(|row| row.id).collect()
    };
    let id = |number| of_group("due", number).id;
    assert_eq!((due(9), due(20), due(99)), (vec![], vec![id(2), id(4)], vec![id(2), id(4), id(1)]));
    let behind = |place, until, limit| -> Vec<ExceptionId> {
        let found = store.exceptions_due_behind(place, Time(until), limit).unwrap();
        found.into_iter().map(|(_, row)| row.id).collect()
    };
    let first = store.exceptions_due_behind((Time::MIN, 0), Time(99), 1).unwrap();
    assert_eq!((first[0].1.id, behind((Time(10), first[0].0), 99, 9)), (id(2), vec![id(4), id(1)]));
    assert_eq!(
        (behind((Time(10), 0), 20, 9), behind((Time(30), u64::from(u32::MAX)), 99, 9)),
        (vec![id(2), id(4)], vec![])
    );
    change(store, ExceptionChange::of(id(4), Time(1)).to(ExceptionState::Resolved));
    change(store, ExceptionChange { due: Some(None), ..ExceptionChange::of(id(2), Time(1)) });
    assert_eq!(due(99), [id(1)]);
}

pub(super) fn what_was_done_is_a_chain(store: &Store) {
    assert_eq!((store.audit_head().unwrap(), store.verify_audit().unwrap().broken), (None, None));
    let row = |number: i64, subject: &str| AuditRow {
        at: Time(number),
        actor: "Ada".into(),
        act: "exception.assign".into(),
        subject: subject.into(),
        detail: json!({ "reason": "mine", "number": number }),
    };
    let write = |number, subject: &str| Write::Audit(Box::new(row(number, subject)));
    store.commit(vec![write(1, "ex_A"), write(2, "ex_B")]).unwrap();
    store.commit(vec![write(3, "ex_A")]).unwrap();
    let rows = store.audit(0, 9).unwrap();
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((rows[1].previous.as_str(), rows[1].row.clone()), (rows[0].hash.as_str(), row(2, "ex_B")));
    assert_eq!(rows[0].previous, "0".repeat(64));
    let of: Vec<_> = store.audit_of("ex_A", 9).unwrap().into_iter().map(|row| row.number).collect();
    assert_eq!((of, store.audit(2, 9).unwrap().len()), (vec![1, 3], 1));
    let verdict = store.verify_audit().unwrap();
    assert_eq!(
        (verdict.rows, verdict.head.map(|head| head.hash), verdict.broken),
        (3, Some(rows[2].hash.clone()), None)
    );
    let query = Query { where_: vec![("act".into(), "exception.assign".into())], ..Query::default() };
    let listed = store.list("audit", &query).unwrap().rows;
    assert_eq!(
        (listed.len(), listed[0]["number"].clone(), listed[0]["hash"].clone()),
        (3, 3.into(), rows[2].hash.clone().into())
    );
}

pub(super) fn notices_systems_and_suspects_are_kept(store: &Store) {
    let notice = |id: &str, due: Option<i64>, state: &str| NoticeRow {
        id: id.into(),
        team: name("quality"),
        by: "mail".into(),
        what: "assigned".into(),
        state: state.into(),
        created: Time(1),
        due: due.map(Time),
        attempts: 0,
        sent: None,
        detail: None,
        body: json!({ "groups": 1 }),
    };
    let write = |row: &NoticeRow| Write::Notice(Box::new(row.clone()));
    let (a, b) = (notice("a", Some(5), "waiting"), notice("b", Some(3), "waiting"));
    store.commit(vec![write(&a), write(&b)]).unwrap();
    assert_eq!(store.notices_due(Time(5), 9).unwrap(), [b.clone(), a.clone()]);
    store.commit(vec![write(&notice("b", None, "sent"))]).unwrap();
    assert_eq!(
        (store.notices_due(Time(9), 9).unwrap(), store.notice("b").unwrap().unwrap().state.as_str()),
        (vec![a], "sent")
    );
    let system = |changed| SystemRow { system: name("erp"), changed: Time(changed), state: json!({ "is": "open" }) };
    store.commit(vec![Write::System(Box::new(system(1))), Write::System(Box::new(system(2)))]).unwrap();
    assert_eq!(store.system_rows().unwrap(), [system(2)]);
    let alone = |ends| InProcessRow { part: "workflows".into(), item: "ru_A".into(), ends, at: Time(1) };
    store.commit(vec![Write::InProcess(Box::new(alone(0))), Write::InProcess(Box::new(alone(1)))]).unwrap();
    assert_eq!(store.in_process().unwrap(), [alone(1)]);
    store.commit(vec![Write::InProcessRemove("workflows".into(), "ru_A".into())]).unwrap();
    assert_eq!(store.in_process().unwrap(), []);
}
