//! Retention: which files are too old or too many.

use super::{
    Policy,
    catalog::{Changes, FileRow, Kind},
};
use andon_model::{SiteName, Time};
use std::collections::BTreeMap;

/// Files that go in one step at most.
const REMOVED_FILES_MAX: usize = 64;

/// What there is to remove.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// These, now; the oldest first.
    pub(crate) remove: Vec<FileRow>,
    /// Look again then.
    pub(crate) next: Option<Time>,
}

/// Finds the files whose newest sample was received too long ago, and the oldest of those that are too many. The size
/// of samples counts by site, that of minutes together.
pub(crate) fn plan(files: &[FileRow], policy: &Policy, now: Time) -> Plan {
    let mut plan = Plan::default();
    let mut oldest: Vec<&FileRow> = files.iter().collect();
    oldest.sort_by_key(|row| (row.facts.newest_received, row.facts.first_position));
    let mut bytes: BTreeMap<(Kind, Option<&SiteName>), u64> = BTreeMap::new();
    for row in files {
        *bytes.entry(heap(row)).or_default() += row.facts.bytes;
    }
    for row in oldest {
        let kept = match row.kind {
            Kind::Samples => (policy.samples)(&row.site),
            Kind::Minutes => policy.minutes,
        };
        let expiry = kept.age.map(|age| row.facts.newest_received.plus(age));
        let all = bytes.entry(heap(row)).or_default();
        let too_many = kept.bytes.is_some_and(|most| *all > most);
        if too_many || expiry.is_some_and(|expiry| expiry <= now) {
            *all -= row.facts.bytes;
            plan.remove.push(row.clone());
            if plan.remove.len() >= REMOVED_FILES_MAX {
                break;
            }
        } else if let Some(expiry) = expiry {
            plan.next = Some(plan.next.map_or(expiry, |next| next.min(expiry)));
        }
    }
    plan
}

/// What counts together.
fn heap(row: &FileRow) -> (Kind, Option<&SiteName>) {
    (row.kind, (row.kind == Kind::Samples).then_some(&row.site))
}

/// What the database must say once these files are gone.
pub(crate) fn changes(remove: Vec<FileRow>) -> Changes {
    let mut changes = Changes::default();
    for row in remove.iter().filter(|row| row.kind == Kind::Samples) {
        *changes.expired.entry(row.site.clone()).or_default() += row.facts.rows;
    }
    Changes { remove, ..changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::historian::{Kept, parquet::Facts};
    use andon_model::span::Span;
    use std::sync::Arc;

    fn file(kind: Kind, site: &str, received: i64, bytes: u64) -> FileRow {
        FileRow {
            kind,
            site: SiteName::new(site).unwrap(),
            day: "1970-01-01".into(),
            name: format!("1-{received}-{received}.parquet"),
            made: Time(received),
            facts: Facts { rows: 10, bytes, newest_received: Time(received), ..Facts::default() },
        }
    }

    fn policy(samples: Kept, minutes: Kept) -> Policy {
        Policy {
            seal_after: Span::from_secs(3_600),
            samples: Arc::new(move |site| if site.as_str() == "hamburg" { samples } else { Kept::default() }),
            minutes,
            reduce: Arc::new(|_, _| None),
        }
    }

    fn received(plan: &Plan) -> Vec<i64> {
        plan.remove.iter().map(|row| row.facts.newest_received.0).collect()
    }

    #[test]
    fn age_counts_from_the_newest_receipt_of_a_file() {
        let files: Vec<_> = [30, 10, 20].map(|at| file(Kind::Samples, "hamburg", at, 1)).into();
        let policy = policy(Kept { age: Some(Span::from_nanos(100)), bytes: None }, Kept::default());
        assert_eq!(plan(&files, &policy, Time(109)), Plan { remove: Vec::new(), next: Some(Time(110)) });
        let at_120 = plan(&files, &policy, Time(120));
        assert_eq!((received(&at_120), at_120.next), (vec![10, 20], Some(Time(130))));
        let other = [file(Kind::Samples, "monterrey", 1, 1), file(Kind::Minutes, "hamburg", 1, 1)];
        assert_eq!(plan(&other, &policy, Time(999)), Plan::default());
    }

    #[test]
    fn the_oldest_of_too_many_go_by_site_and_kind() {
        let mut files: Vec<_> = [30, 10, 20].map(|at| file(Kind::Samples, "hamburg", at, 100)).into();
        files.extend([5, 6].map(|at| file(Kind::Minutes, "hamburg", at, 100)));
        files.push(file(Kind::Minutes, "monterrey", 4, 100));
        let bytes = |most| Kept { age: None, bytes: Some(most) };
        assert_eq!(received(&plan(&files, &policy(bytes(200), Kept::default()), Time(0))), [10]);
        assert_eq!(received(&plan(&files, &policy(Kept::default(), bytes(150)), Time(0))), [4, 5]);
        let all = changes(plan(&files, &policy(bytes(0), bytes(0)), Time(0)).remove);
        assert_eq!((all.remove.len(), all.expired.len()), (6, 1));
        assert_eq!(all.expired[&SiteName::new("hamburg").unwrap()], 30);
    }
}
