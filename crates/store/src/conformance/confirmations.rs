//! What every provider does with reports of one fact from several origins.

use super::{event, site};
use crate::{Query, Store, Write};
use andon_model::{Event, EventId, Interval, Time};
use serde_json::json;

const MINUTE: i64 = 60_000_000_000;
/// A morning, so that nothing begins before 1970.
const DAWN: i64 = 1_700_000_000_000_000_000;

fn at(minute: i64) -> Time {
    Time(DAWN + minute * MINUTE)
}

/// A report of a standstill in minutes, by an origin; its story is its own.
#[derive(Clone, Copy)]
struct Report {
    origin: &'static str,
    from: i64,
    to: Option<i64>,
}

impl Report {
    /// As an event with this number.
    fn event(self, number: u32) -> Event {
        Event {
            kind: "asset.downtime".into(),
            source: format!("/hamburg/{}", self.origin),
            subject: "press-01".into(),
            site: site("hamburg"),
            data: json!({ "n": number }),
            ..event(number)
        }
    }

    fn interval(self) -> Interval {
        Interval { from: at(self.from), to: self.to.map(at) }
    }

    fn write(self, number: u32) -> Write {
        self.of(self.event(number))
    }

    fn of(self, event: Event) -> Write {
        Write::event(Box::new(event), None, Some(self.interval()))
    }
}

const fn machine(from: i64, to: Option<i64>) -> Report {
    Report { origin: "rules/press", from, to }
}

const fn mes(from: i64, to: Option<i64>) -> Report {
    Report { origin: "sources/mes", from, to }
}

const fn shop(from: i64, to: Option<i64>) -> Report {
    Report { origin: "sources/shop", from, to }
}

fn id(number: u32) -> EventId {
    event(number).id
}

pub(super) fn a_fact_is_told_once(store: &Store) {
    let first = store.commit(vec![machine(0, None).write(1)]).unwrap();
    assert_eq!((first.events, first.confirmations), (vec![(id(1), 1, true)], Vec::new()));
    // The other order within one commit, and the same again, as after a crash.
    let reports = || vec![mes(1, Some(9)).write(2), machine(0, None).write(1)];
    let second = store.commit(reports()).unwrap();
    assert_eq!((second.events, second.confirmations), (vec![(id(1), 1, false)], vec![(id(2), id(1), true)]));
    let again = store.commit(reports()).unwrap();
    assert_eq!((again.events, again.confirmations), (vec![(id(1), 1, false)], vec![(id(2), id(1), false)]));

    assert_eq!(store.last_sequence().unwrap(), 1);
    assert_eq!(store.events_after(0, 9).unwrap().len(), 1);
    assert!(store.event(id(2)).unwrap().is_none());
    assert_eq!(store.confirmation(id(1)).unwrap(), None);
    let row = store.confirmation(id(2)).unwrap().unwrap();
    assert_eq!(store.confirmations(id(1)).unwrap(), std::slice::from_ref(&row));
    assert_eq!((row.confirms, row.report, row.from, row.to), (id(1), id(2), at(1), Some(at(9))));
    assert_eq!((row.event, row.origin.as_str()), (mes(1, None).event(2).to_json(None), "/hamburg/sources/mes"));
    let differs = row.differs.unwrap();
    assert_eq!((differs.from.value.as_str(), differs.from.unit.as_str(), differs.to), ("60.000", "s", None));
    // Once both have told an end they can be compared.
    let mut end = machine(0, Some(10)).event(3);
    end.correlation = id(1);
    let ended = store.commit(vec![machine(0, Some(10)).of(end)]).unwrap();
    assert_eq!(ended.events, [(id(3), 2, true)], "the end of what was told first is an event");
    let differs = store.confirmation(id(2)).unwrap().unwrap().differs.unwrap();
    assert_eq!((differs.from.value.as_str(), differs.to.unwrap().value.as_str()), ("60.000", "-60.000"));

    let listed = |field: &str, value: &str| {
        let query = Query { where_: vec![(field.into(), value.into())], ..Query::default() };
        store.list("confirmations", &query).unwrap().rows
    };
    let of_event = listed("confirms", &id(1).to_string());
    assert_eq!(of_event.len(), 1);
    assert_eq!(of_event[0]["differs"]["to"], json!({ "value": "-60.000", "unit": "s" }));
    assert_eq!(listed("origin", "/hamburg/sources/mes"), of_event);
    assert_eq!(listed("subject", "press-02").len(), 0);
    assert_eq!(store.counts().unwrap()["confirmations"], 1);

    // Another subject, site or type is another fact.
    let other = |number: u32, change: fn(&mut Event)| {
        let mut event = mes(1, None).event(number);
        change(&mut event);
        mes(1, None).of(event)
    };
    let others = vec![
        other(5, |event| event.subject = "press-02".into()),
        other(6, |event| event.site = site("monterrey")),
        other(7, |event| event.kind = "asset.downtime.v2".into()),
    ];
    assert_eq!(store.commit(others).unwrap().confirmations, []);
}

/// What is told, one commit each, and which of these each report confirms; `None`: it is an event itself.
type Case = (&'static str, &'static [Report], &'static [Option<u32>]);

const DAY: i64 = 24 * 60;

const CASES: &[Case] = &[
    ("one within the other", &[machine(0, Some(9)), mes(2, Some(5))], &[None, Some(0)]),
    ("in the other order", &[mes(2, Some(5)), machine(0, Some(9))], &[None, Some(0)]),
    ("they overlap at an end", &[machine(0, Some(9)), mes(8, Some(15))], &[None, Some(0)]),
    ("they touch", &[machine(0, Some(9)), mes(9, Some(15))], &[None, None]),
    ("they touch in the other order", &[mes(9, Some(15)), machine(0, Some(9))], &[None, None]),
    ("one after the other", &[machine(0, Some(9)), mes(20, Some(25))], &[None, None]),
    ("both have no end", &[machine(0, None), mes(3, None)], &[None, Some(0)]),
    ("the first has no end", &[machine(0, None), mes(3, Some(5))], &[None, Some(0)]),
    ("the first has no end and began later", &[machine(6, None), mes(3, Some(5))], &[None, None]),
    ("the second has no end", &[machine(4, Some(6)), mes(3, None)], &[None, Some(0)]),
    ("the second began after the end", &[machine(0, Some(3)), mes(3, None)], &[None, None]),
    ("the same origin", &[machine(0, Some(9)), machine(2, Some(5))], &[None, None]),
    ("the same origin, the same beginning", &[machine(0, None), machine(0, Some(5))], &[None, None]),
    (
        "an open one ends where its origin tells the next",
        &[mes(0, None), mes(30, None), machine(10, Some(20)), machine(40, None)],
        &[None, None, Some(0), Some(1)],
    ),
    (
        "an open one that comes late ends where its origin tells the next",
        &[machine(30, Some(50)), mes(20, Some(25)), mes(10, None)],
        &[None, None, None],
    ),
    (
        "the longest overlap, and not the nearest beginning",
        &[machine(0, Some(3)), machine(5, Some(30)), mes(1, Some(30))],
        &[None, None, Some(1)],
    ),
    (
        "without an end the nearest beginning",
        &[machine(10, Some(12)), machine(60, Some(90)), mes(9, None)],
        &[None, None, Some(0)],
    ),
    (
        "of equals the one that was told first",
        &[shop(0, Some(4)), mes(5, Some(9)), machine(0, Some(9))],
        &[None, None, Some(0)],
    ),
    ("a third confirms the first", &[machine(0, None), mes(1, None), shop(2, None)], &[None, Some(0), Some(0)]),
    (
        "one report of several stops confirms one of them",
        &[machine(0, Some(3)), machine(5, Some(9)), mes(0, Some(9))],
        &[None, None, Some(1)],
    ),
    (
        "several stops confirm one report",
        &[mes(0, Some(9)), machine(0, Some(3)), machine(5, Some(8)), machine(9, None)],
        &[None, Some(0), Some(0), None],
    ),
    (
        "whoever forgets to tell an end swallows one stop and no more",
        &[mes(0, None), machine(1, Some(3)), machine(5, Some(8)), machine(90, None)],
        &[None, Some(0), None, None],
    ),
    (
        "an end that is told late counts",
        &[mes(0, None), machine(1, Some(3)), mes(0, Some(9)), machine(5, Some(8)), machine(9, None)],
        &[None, Some(0), None, Some(0), None],
    ),
    ("begun 30 DAYs before", &[machine(0, None), mes(30 * DAY, None)], &[None, Some(0)]),
    ("begun longer before", &[machine(0, None), mes(30 * DAY + 1, None)], &[None, None]),
    ("an instant within", &[machine(0, Some(9)), mes(4, Some(4))], &[None, Some(0)]),
    ("an end before its beginning", &[machine(0, Some(9)), mes(12, Some(4))], &[None, None]),
];

pub(super) fn intervals_decide_what_is_one_fact(store: &Store) {
    for (case, (what, reports, expected)) in CASES.iter().enumerate() {
        // Each case on a subject of its own.
        let base = u32::try_from(case * 10).unwrap();
        let mut found = Vec::new();
        for (report, n) in reports.iter().zip(base..) {
            let mut event = report.event(n);
            event.subject = format!("press-{case}");
            let committed = store.commit(vec![report.of(event)]).unwrap();
            let confirms = committed.confirmations.first().map(|(_, of, _)| *of);
            found.push(confirms.map(|of| (0..10).find(|n| id(base + n) == of).unwrap()));
        }
        assert_eq!(found, *expected, "{what}");
    }
}

pub(super) fn the_first_report_decides_for_all(store: &Store) {
    // The system of record was first, and tells each step as an event of its own; the machine tells a story.
    let told = |number: u32, of: u32, to: Option<i64>| {
        let report = machine(1, to);
        let mut event = report.event(number);
        event.correlation = id(of);
        report.of(event)
    };
    let writes = vec![
        mes(0, None).write(1),
        told(2, 2, None),
        told(3, 2, None),
        mes(0, Some(8)).write(4),
        told(5, 2, Some(9)),
        told(6, 6, None),
    ];
    let committed = store.commit(writes.clone()).unwrap();
    assert_eq!(committed.events, [(id(1), 1, true), (id(4), 2, true)]);
    // The last one begins where the machine has told a beginning before: it belongs to the same fact.
    let confirming = [2, 3, 5, 6].map(|n| (id(n), id(1), true));
    assert_eq!(committed.confirmations, confirming);
    let rows = store.confirmations(id(1)).unwrap();
    assert_eq!(rows.iter().map(|row| row.report).collect::<Vec<_>>(), [id(2); 4]);
    let differs = rows[0].differs.clone().unwrap();
    assert_eq!((differs.from.value.as_str(), differs.to.unwrap().value.as_str()), ("60.000", "60.000"));
    // In pieces, with each piece twice, it comes to the same.
    for write in writes {
        let again = store.commit(vec![write]).unwrap();
        assert!(again.events.iter().all(|(_, _, new)| !new) && again.confirmations.iter().all(|(_, _, new)| !new));
    }
    assert_eq!(store.confirmations(id(1)).unwrap(), rows);
    // A later stop is another fact.
    let later = store.commit(vec![machine(20, Some(25)).write(7), mes(21, Some(26)).write(8)]).unwrap();
    assert_eq!((later.events.len(), later.confirmations), (1, vec![(id(8), id(7), true)]));
}

pub(super) fn what_follows_from_a_fact_is_no_report_of_it(store: &Store) {
    store.commit(vec![machine(0, None).write(1)]).unwrap();
    let follows = Report { origin: "workflows/stop", from: 0, to: Some(5) };
    let mut event = follows.event(2);
    event.correlation = id(1);
    assert_eq!(store.commit(vec![follows.of(event)]).unwrap().confirmations, []);
    // A story that began before its type named a match goes on in the event log, whatever somebody else has told.
    let began = Report { origin: "rules/old", from: 100, to: None };
    store.commit(vec![Write::Event(Box::new(began.event(3)), None), mes(100, None).write(4)]).unwrap();
    let ends = Report { to: Some(110), ..began };
    let mut event = ends.event(5);
    event.correlation = id(3);
    assert_eq!(store.commit(vec![ends.of(event)]).unwrap().events.len(), 1);
    // A commit that fails leaves nothing behind of what it decided.
    store.commit(vec![machine(0, Some(5)).write(9), mes(100, Some(110)).write(10)]).unwrap();
    let fails = vec![
        shop(200, None).write(7),
        mes(201, None).write(8),
        Write::ExceptionState(super::exception("nowhere", 0).id, crate::ExceptionState::Resolved),
    ];
    assert!(store.commit(fails).is_err());
    let committed = store.commit(vec![mes(201, None).write(8), shop(200, None).write(7)]).unwrap();
    assert_eq!(committed.confirmations, [(id(7), id(8), true)], "now the other one is first");
}
