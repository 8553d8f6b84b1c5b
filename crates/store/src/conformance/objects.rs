//! What every provider does with objects and the revisions in which they become known.

use super::{asset, event, insert, name, site};
use crate::{ObjectName, ObjectRow, Query, RevisionRow, Store, Write};
use andon_model::{Entry, EventId, Mark, Time, span::Span};
use serde_json::json;

/// An order at a site that is valid for an asset from a time on.
fn order(number: &str, status: &str, from: i64) -> ObjectRow {
    ObjectRow {
        site: site("hamburg"),
        kind: "ProductionOrder".into(),
        number: number.into(),
        revision: 0,
        known: Time::default(),
        from: Some(Time(from)),
        to: None,
        assets: vec![asset("cartoner-07")],
        line: None,
        origin: "maximo/orders".into(),
        data: json!({ "status": status }),
    }
}

fn told(at: i64) -> Write {
    Write::ContextRevision(RevisionRow::new(Time(at), "maximo/orders", Some(Span::from_secs(60))))
}

fn object(row: &ObjectRow) -> Write {
    Write::Object(Box::new(row.clone()))
}

/// What an order says after some steps: now one changes, now another.
fn stage(step: i64, n: i64) -> String {
    format!("step {}", i64::midpoint(step, n))
}

/// The row as it is read back.
fn as_of(row: &ObjectRow, revision: u64, known: i64) -> ObjectRow {
    ObjectRow { revision, known: Time(known), ..row.clone() }
}

fn named(number: &str) -> ObjectName {
    ObjectName::parse(&format!("ProductionOrder/hamburg/{number}")).unwrap()
}

pub(super) fn versions_have_the_revision_that_brought_them(store: &Store) {
    assert_eq!(store.context_revision().unwrap(), 0);
    let refused = store.commit(vec![object(&order("1", "Waiting", 5))]).unwrap_err().to_string();
    assert!(refused.contains("write the revision first"), "{refused}");
    let (waiting, running) = (order("1", "Waiting", 5), order("1", "Running", 7));
    assert_eq!(store.commit(vec![told(10), object(&waiting)]).unwrap().context, Some(1));
    assert_eq!(store.commit(vec![told(20), object(&waiting)]).unwrap().context, Some(2), "also where nothing is new");
    let from_another = ObjectRow { origin: "api".into(), ..waiting.clone() };
    let third = vec![told(30), object(&from_another), object(&order("2", "Waiting", 5)), object(&running)];
    assert_eq!(store.commit(third).unwrap().context, Some(3));
    // The last of a revision counts, and both of a commit have theirs.
    let twice = vec![told(40), object(&order("2", "Ready", 5)), object(&order("2", "Running", 5)), told(50)];
    assert_eq!(store.commit(twice).unwrap().context, Some(5));
    assert_eq!(store.context_revision().unwrap(), 5);
    let versions = store.object_versions(&named("1"), 0, 9).unwrap();
    assert_eq!(versions, [as_of(&waiting, 1, 10), as_of(&running, 3, 30)]);
    assert_eq!(store.object_versions(&named("1"), 1, 9).unwrap(), [as_of(&running, 3, 30)]);
    assert_eq!(store.object(&named("1")).unwrap(), Some(as_of(&running, 3, 30)));
    assert_eq!(store.object(&named("2")).unwrap(), Some(as_of(&order("2", "Running", 5), 4, 40)));
    assert_eq!(store.object(&named("3")).unwrap(), None);
    let newest = |after| store.objects(&site("hamburg"), "ProductionOrder", after, 9).unwrap();
    assert_eq!(newest("").iter().map(|row| row.number.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(newest("1").len(), 1);
    assert_eq!(store.objects(&site("hamburg"), "MaterialLot", "", 9).unwrap(), []);
    let revisions = store.context_revisions(1, 4, 9).unwrap();
    let shown: Vec<_> = revisions.iter().map(|row| (row.revision, row.at.0, row.changed)).collect();
    assert_eq!(shown, [(2, 20, false), (3, 30, true), (4, 40, true)]);
    let listed = |kind: &str| store.list(kind, &Query { ascending: true, ..Query::default() }).unwrap().rows;
    assert_eq!(listed("objects")[1]["data"]["status"], "Running");
    assert_eq!(listed("object-versions").len(), 4);
    assert_eq!(listed("context-revisions")[4]["revision"], 5);
    let counts = store.counts().unwrap();
    assert_eq!((counts["objects.ProductionOrder"], counts["context-revisions"]), (2, 5));
    let mark = store.tell_context(&site("hamburg"), RevisionRow::new(Time(60), "api", None), Vec::new(), Vec::new());
    assert_eq!((mark.unwrap(), store.context_in_log(store.log_start()).unwrap()), (6, 6));
    let batch = store.read(store.log_start()).unwrap().unwrap();
    assert_eq!((&batch.part.source, &batch.part.entries[..]), (&name("andon"), &[Entry::Mark(Mark::Context(6))][..]));
    assert_eq!(store.context_in_log(store.log_end()).unwrap(), 0);
}

pub(super) fn what_was_known_is_known_as_it_was(store: &Store) {
    for step in 0..6_i64 {
        let rows = (0..3).map(|n| order(&n.to_string(), &stage(step, n), n));
        let writes = std::iter::once(told(step)).chain(rows.map(|row| object(&row))).collect();
        store.commit(writes).unwrap();
    }
    for step in 0..6_i64 {
        let revision = step.unsigned_abs() + 1;
        let mut known = store.objects_known(revision, 0, 2).unwrap();
        known.extend(store.objects_known(revision, known.last().unwrap().0, 2).unwrap());
        let mut shown: Vec<_> = known.iter().map(|(_, row)| (row.number.clone(), row.data["status"].clone())).collect();
        shown.sort_by(|a, b| a.0.cmp(&b.0));
        let expected: Vec<_> = (0..3).map(|n| (n.to_string(), json!(stage(step, n)))).collect();
        assert_eq!(shown, expected);
    }
    // Read in pieces, no revision is cut in two.
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let some = store.objects_since(after, 5, 2).unwrap();
        let Some(last) = some.last() else { break };
        after = last.revision;
        all.extend(some);
    }
    let by_versions = (0..3).flat_map(|n| store.object_versions(&named(&n.to_string()), 0, 9).unwrap());
    assert_eq!(all.len(), by_versions.filter(|row| row.revision <= 5).count());
    assert!(all.is_sorted_by_key(|row| row.revision));
}

pub(super) fn what_is_valid_for_an_asset_is_found(store: &Store) {
    let line = ObjectRow { assets: Vec::new(), line: Some("packaging-2".into()), ..order("line", "Running", 50) };
    let ended = ObjectRow { to: Some(Time(60)), ..order("ended", "Completed", 10) };
    let always =
        ObjectRow { from: None, assets: vec![asset("cartoner-07"), asset("case-1")], ..order("ever", "Held", 0) };
    let rows = [order("old", "Waiting", 20), line, ended, always];
    store.commit(std::iter::once(told(1)).chain(rows.iter().map(object)).collect()).unwrap();
    let moved = ObjectRow { assets: vec![asset("case-1")], ..order("old", "Waiting", 20) };
    store.commit(vec![told(2), object(&moved)]).unwrap();
    let at = |of: &str, line: Option<&str>, time: i64, revision: u64| -> Vec<String> {
        let found = store.objects_at(&site("hamburg"), &asset(of), line, Time(time), revision).unwrap();
        found.into_iter().map(|row| row.number).collect()
    };
    assert_eq!(at("cartoner-07", Some("packaging-2"), 55, 1), ["ever", "ended", "old", "line"]);
    assert_eq!(at("cartoner-07", Some("packaging-1"), 55, 1), ["ever", "ended", "old"]);
    assert_eq!(at("cartoner-07", None, 60, 1), ["ever", "old"], "it ends before its end");
    assert_eq!(at("cartoner-07", None, 10, 1), ["ever", "ended"], "and begins with its beginning");
    assert_eq!(at("cartoner-07", None, 55, 2), ["ever", "ended"]);
    assert_eq!(at("case-1", None, 55, 2), ["ever", "old"]);
    assert_eq!(at("cartoner-07", None, 55, 0), [""; 0]);
}

pub(super) fn revisions_that_changed_nothing_are_forgotten(store: &Store) {
    let row = order("1", "Running", 1);
    for at in 1..=6 {
        store.commit(vec![told(at), object(&row)]).unwrap();
    }
    store.commit(vec![Write::ContextRevision(RevisionRow::new(Time(7), "api", None)), told(8)]).unwrap();
    let left = || store.context_revisions(0, 99, 99).unwrap().iter().map(|row| row.revision).collect::<Vec<_>>();
    store.commit(vec![Write::ForgetRevisions(5, Time(3))]).unwrap();
    assert_eq!(left(), [1, 3, 4, 5, 6, 7, 8], "what is not old enough stays, and what changed something");
    store.commit(vec![Write::ForgetRevisions(5, Time(99))]).unwrap();
    assert_eq!(left(), [1, 5, 6, 7, 8], "the last one up to the bound stays");
    store.commit(vec![Write::ForgetRevisions(99, Time(99))]).unwrap();
    assert_eq!(left(), [1, 7, 8], "of each that told something the last stays");
    let tellers: Vec<_> = store.context_tellers(99).unwrap().into_iter().map(|row| (row.of, row.revision)).collect();
    assert_eq!(tellers, [("api".to_owned(), 7), ("maximo/orders".to_owned(), 8)]);
    assert_eq!(store.context_tellers(7).unwrap().len(), 2);
    assert_eq!(store.commit(vec![told(9)]).unwrap().context, Some(9));
}

pub(super) fn events_about_a_thing_are_found(store: &Store) {
    store.commit((0..12).map(insert).collect()).unwrap();
    let mut elsewhere = event(0);
    elsewhere.id = EventId::derived(&[b"elsewhere"]);
    elsewhere.site = site("monterrey");
    store.commit(vec![Write::Event(Box::new(elsewhere), None)]).unwrap();
    let start = event(0).time;
    let about = |from: i64, to: i64, after: Option<i64>, limit: usize| -> Vec<u64> {
        let (from, to) = (Time(start.0 + from), Time(start.0 + to));
        let after = after.map(|sequence| (Time(start.0 + sequence - 1), sequence.unsigned_abs()));
        let found = store.events_about(&site("hamburg"), "cartoner-00", from, to, after, limit).unwrap();
        found.iter().map(|stored| stored.sequence).collect()
    };
    assert_eq!(about(0, 99, None, 9), [1, 7], "those of one site and one thing");
    assert_eq!(about(1, 6, None, 9), [0; 0]);
    assert_eq!(about(6, 7, None, 9), [7]);
    assert_eq!((about(0, 99, Some(1), 9), about(0, 99, None, 1)), (vec![7], vec![1]));
}
