//! What every provider must do with the log: what was appended is read from any place, counted,
//! and found by its source.

use super::{PATIENCE, name, part, site};
use crate::{Store, StoreError};
use andon_model::{
    Position,
    sample::{Counts, Part},
};
use std::sync::mpsc;

/// All entries from a place on, as batches, following their ends.
pub fn read_all(store: &Store, from: Position) -> Vec<std::sync::Arc<andon_model::sample::Batch>> {
    let mut at = from;
    let mut batches = Vec::new();
    while let Some(batch) = store.read(at).unwrap() {
        assert!(batch.end().offset > at.offset, "a batch must lead on");
        at = batch.end();
        batches.push(batch);
    }
    batches
}

pub(super) fn the_log_reads_back(store: &Store) {
    let start = store.log_end();
    assert_eq!((start.offset, store.log_start()), (0, start));
    assert!(store.read(start).unwrap().is_none());
    let group = store.append(vec![part("line-1", 3, 0), part("line-2", 0, 1), part("line-2", 4, 2)]).unwrap();
    assert_eq!(group.iter().map(|batch| batch.first.offset).collect::<Vec<_>>(), [0, 5, 5]);
    assert!(group.iter().all(|batch| batch.first.epoch == store.epoch()));
    assert_eq!(group[0].part, part("line-1", 3, 0));
    assert_eq!(store.log_end().offset, 9);
    // Parts that are submitted keep their order, and those that are appended meanwhile find their place.
    let (done, outcomes) = mpsc::channel();
    for n in 0..50 {
        let done = done.clone();
        store.submit(part("line-1", 1, 10 + n), Box::new(move |batch| done.send((n, batch.unwrap())).unwrap()));
    }
    let mut last = 8;
    for expected in 0..50 {
        let (n, batch) = outcomes.recv_timeout(PATIENCE).unwrap();
        assert_eq!(n, expected);
        assert!(batch.first.offset > last);
        last = batch.first.offset;
    }
    let read = read_all(store, start);
    assert_eq!(read.len(), 52, "a batch without entries has no place");
    let mut place = 0;
    for batch in &read {
        assert_eq!(batch.first.offset, place);
        place = batch.end().offset;
    }
    assert_eq!(place, store.log_end().offset);
    assert_eq!(store.read(Position { offset: 6, ..start }).unwrap().unwrap(), group[2]);
    store.check_positions(&[("a rule".into(), store.log_end())]).unwrap();
    let beyond = Position { offset: place + 1, ..start };
    let refused = store.check_positions(&[("the rule vibration".into(), beyond)]).unwrap_err();
    assert!(matches!(refused, StoreError::Beyond { .. }), "{refused}");
}

pub(super) fn old_entries_are_read_from_any_place(store: &Store) {
    let start = store.log_end();
    let mut written = Vec::new();
    for n in 0..60 {
        written.extend(store.append(vec![part("line-1", 40 + n, n * 100), part("line-2", n % 4, n)]).unwrap());
    }
    written.retain(|batch| !batch.part.entries.is_empty());
    assert_eq!(read_all(store, start), written);
    for batch in written.iter().rev() {
        for offset in [batch.first.offset, batch.end().offset - 1] {
            let found = store.read(Position { offset, ..start }).unwrap().unwrap();
            assert_eq!(&found, batch, "the batch at {offset}");
        }
    }
    assert!(store.read(store.log_end()).unwrap().is_none());
}

pub(super) fn what_was_received_is_counted(store: &Store) {
    let mut refused = Part::new(site("hamburg"), name("line-2"));
    refused.counts = Counts { received: 5, quarantined: 2, refused: 3, ..Counts::default() };
    store.append(vec![part("line-1", 3, 1), refused, part("line-1", 2, 2)]).unwrap();
    let counts = store.source_counts();
    assert!(counts.values().all(Counts::is_whole));
    let (one, two) = (counts[&name("line-1")], counts[&name("line-2")]);
    assert_eq!((one.received, one.stored, one.duplicate), (7, 5, 2));
    assert_eq!((two.received, two.quarantined, two.refused), (5, 2, 3));
}

pub(super) fn the_newest_of_a_source_are_found(store: &Store) {
    let mut written = Vec::new();
    for n in 0..40 {
        written.extend(store.append(vec![part("line-1", 30, n), part(&format!("line-{}", 2 + n % 2), 10, n)]).unwrap());
    }
    let of =
        |source: &str| written.iter().filter(|batch| batch.part.source == name(source)).cloned().collect::<Vec<_>>();
    for source in ["line-1", "line-2", "line-3", "line-4"] {
        let all = of(source);
        assert_eq!(store.newest(&name(source), 65_536).unwrap(), all);
        for samples in [1, 30, 31, 95] {
            let found = store.newest(&name(source), samples).unwrap();
            assert_eq!(found, all[all.len() - found.len()..], "{samples} of {source}");
            let stored = |batches: &[std::sync::Arc<andon_model::sample::Batch>]| {
                batches.iter().map(|batch| batch.part.counts.stored).sum::<u64>()
            };
            let enough = found.is_empty() || stored(&found) >= samples && stored(&found[1..]) < samples;
            assert!(enough, "{samples} of {source}");
        }
    }
    assert_eq!(store.newest(&name("line-1"), 0).unwrap(), []);
}
