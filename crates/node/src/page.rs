//! Pages of rows and of samples as they lie in the log.

use andon_api::{Page, Query};
use andon_model::{
    Position, SignalNo,
    sample::{Batch, Entry},
};
use andon_store::{Store, StoreError};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Entries of the log looked through for one page of samples.
const SCAN_MAX: u64 = 5_000_000;

/// Entries of a step backwards.
const STEP: u64 = 20_000;

/// A page of samples from the hot log; `after` is the offset behind which it begins.
pub(crate) fn samples(store: &Store, query: &Query) -> Result<Page, StoreError> {
    let names = names_of(store)?;
    let instance = store.instance();
    let start = store.log_start();
    let end = store.log_end();
    let mut rows = Vec::new();
    if query.ascending {
        let mut at = start;
        if let Some(after) = query.after {
            at.offset = at.offset.max(after.saturating_add(1));
        }
        let first = at.offset;
        while let Some(batch) = store.read(at)? {
            for (place, row) in rows_of(&batch, &names, &instance.to_string()) {
                if place >= at.offset && matches(&row, query) {
                    rows.push(row);
                    if rows.len() == query.limit {
                        return Ok(Page { rows, next: Some(place) });
                    }
                }
            }
            at = batch.end();
            if at.offset - first > SCAN_MAX {
                return Ok(Page { rows, next: Some(at.offset - 1) });
            }
        }
        return Ok(Page { rows, next: None });
    }
    // Newest first: the log is read in steps backwards, each step forwards.
    let mut upper = query.after.unwrap_or(end.offset).min(end.offset);
    let first = upper;
    while upper > start.offset && rows.len() < query.limit && first - upper < SCAN_MAX {
        let lower = upper.saturating_sub(STEP).max(start.offset);
        let mut found = Vec::new();
        let mut at = Position { epoch: start.epoch, offset: lower };
        while at.offset < upper {
            let Some(batch) = store.read(at)? else { break };
            for (place, row) in rows_of(&batch, &names, &instance.to_string()) {
                if place >= lower && place < upper && matches(&row, query) {
                    found.push((place, row));
                }
            }
            at = batch.end();
        }
        for (place, row) in found.into_iter().rev() {
            rows.push(row);
            if rows.len() == query.limit {
                let next = (place > start.offset).then_some(place);
                return Ok(Page { rows, next });
            }
        }
        upper = lower;
    }
    Ok(Page { rows, next: (upper > start.offset).then_some(upper) })
}

/// `<asset>/<signal>` by number.
fn names_of(store: &Store) -> Result<BTreeMap<SignalNo, String>, StoreError> {
    Ok(store.signals()?.into_iter().map(|(number, asset, signal)| (number, format!("{asset}/{signal}"))).collect())
}

fn rows_of<'a>(
    batch: &'a Batch,
    names: &'a BTreeMap<SignalNo, String>,
    instance: &'a str,
) -> impl Iterator<Item = (u64, Json)> + 'a {
    batch.part.entries.iter().zip(batch.first.offset..).filter_map(move |(entry, offset)| {
        let Entry::Sample(sample) = entry else { return None };
        let row = json!({
            "position": format!("{instance}/{}/{offset}", batch.first.epoch),
            "source": batch.part.source,
            "site": batch.part.site,
            "signal": names.get(&sample.signal),
            "time": sample.time,
            "received": sample.received,
            "quality": sample.quality.word(),
            "status": sample.quality.0,
            "value": sample.value.to_json(),
        });
        Some((offset, row))
    })
}

fn matches(row: &Json, query: &Query) -> bool {
    query.filters.iter().all(|(field, wanted)| {
        let mut value = row;
        for part in field.split('.') {
            value = value.get(part).unwrap_or(&Json::Null);
        }
        match value {
            Json::String(text) => text == wanted,
            // A number or a bool is compared as it is written.
            other => format!("{other}") == *wanted,
        }
    })
}

/// A page of rows that have no place of their own: `after` counts those that were passed.
pub(crate) fn page_of(all: impl Iterator<Item = Json>, query: &Query) -> Page {
    let passed = query.after.and_then(|after| usize::try_from(after).ok()).unwrap_or(0);
    let mut found = all.zip(1_u64..).skip(passed).filter(|(row, _)| matches(row, query));
    let (rows, places): (Vec<Json>, Vec<u64>) = found.by_ref().take(query.limit).unzip();
    let more = found.next().is_some();
    Page { rows, next: places.last().copied().filter(|_| more) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_places_are_read_page_by_page() {
        let all = || (0..5).map(|n| json!({ "n": n, "odd": n % 2 == 1 }));
        let query = |after, limit| Query { after, limit, ..Query::default() };
        let first = page_of(all(), &query(None, 3));
        assert_eq!((first.rows.len(), first.next), (3, Some(3)));
        let rest = page_of(all(), &query(first.next, 3));
        assert_eq!((rest.rows.len(), rest.next), (2, None));
        let odd = Query { filters: vec![("odd".into(), "true".into())], ..query(None, 1) };
        assert_eq!(page_of(all(), &odd), Page { rows: vec![json!({ "n": 1, "odd": true })], next: Some(2) });
        assert_eq!(page_of(all(), &Query { after: Some(2), ..odd }).rows, [json!({ "n": 3, "odd": true })]);
        assert_eq!(page_of(all(), &query(Some(u64::MAX), 3)), Page { rows: Vec::new(), next: None });
    }
}
