//! Compaction: the files of a site and a UTC day become one, so that a question opens few.

use super::{
    catalog::{Changes, FileRow, Kind},
    minutes, parquet,
    seal::day_end,
    work::Work,
};
use crate::StoreError;
use andon_model::{Time, span::Span};
use std::path::{Path, PathBuf};

/// A file of a day grows up to this; what would be more becomes a second one.
pub(crate) const FILE_BYTES_MAX: u64 = 128 << 20;

/// Files that are merged at once at most: each holds some buffers.
const MERGE_FILES_MAX: usize = 64;

/// Files of like size of an open day that are merged.
const LIKE_FILES: usize = 8;

/// Files up to so many bytes are of like size.
const SMALL_BYTES: u64 = 32 << 10;

/// A closed day is merged once no file came for it for so long.
const QUIET: Span = Span::from_secs(10 * 60);

/// A day closes so long after its end, besides the time after which samples are sealed.
const CLOSING: Span = Span::from_secs(10 * 60);

/// Late files that are small beside what is there wait so long for more of them.
const LATE: Span = Span::from_secs(24 * 3_600);

/// So many times larger than the late files may be what is rewritten for them without waiting.
const REWRITE_MAX: u64 = 8;

/// What there is to merge.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// These, now.
    pub(crate) merge: Option<Vec<FileRow>>,
    /// Look again then.
    pub(crate) next: Option<Time>,
}

/// Finds what is to be merged; `files` are in the order of kind, site and day.
pub(crate) fn plan(files: &[FileRow], seal_after: Span, now: Time) -> Plan {
    let mut plan = Plan::default();
    let day = |a: &FileRow, b: &FileRow| a.kind == b.kind && a.site == b.site && a.day == b.day;
    for of in files.chunk_by(day) {
        match of_day(of, seal_after, now) {
            None => {}
            Some(Due::Now(merge)) => return Plan { merge: Some(merge), next: None },
            Some(Due::At(time)) => plan.next = Some(plan.next.map_or(time, |next| next.min(time))),
        }
    }
    plan
}

enum Due {
    Now(Vec<FileRow>),
    At(Time),
}

fn of_day(files: &[FileRow], seal_after: Span, now: Time) -> Option<Due> {
    // A file that is more than half full is left as it is.
    let mut open: Vec<&FileRow> = files.iter().filter(|row| row.facts.bytes < FILE_BYTES_MAX / 2).collect();
    if open.len() < 2 {
        return None;
    }
    open.sort_by_key(|row| row.facts.first_position);
    let newest = open.iter().map(|row| row.made).max()?;
    let end = files.iter().map(day_end).max()?;
    let largest = *open.iter().max_by_key(|row| row.facts.bytes)?;
    let rest = || open.iter().filter(|row| !std::ptr::eq(**row, largest));
    let rest_bytes: u64 = rest().map(|row| row.facts.bytes).sum();
    let mut due = end.plus(seal_after).plus(CLOSING).max(newest.plus(QUIET));
    if rest_bytes.saturating_mul(REWRITE_MAX) < largest.facts.bytes {
        due = due.max(rest().map(|row| row.made).min()?.plus(LATE));
    }
    if due <= now {
        return Some(Due::Now(bounded(open.into_iter())));
    }
    // Before that: files of like size, so that no sample is rewritten often.
    for size in 0..u64::BITS {
        let like: Vec<&FileRow> = open.iter().copied().filter(|row| size_of(row) == size).collect();
        if like.len() >= LIKE_FILES {
            return Some(Due::Now(bounded(like.into_iter())));
        }
    }
    Some(Due::At(due))
}

/// Files of one size differ by less than eight times.
fn size_of(row: &FileRow) -> u32 {
    (row.facts.bytes / SMALL_BYTES).checked_ilog2().map_or(0, |log| 1 + log / 3)
}

/// The first ones that fit into a file; two at least always do.
fn bounded<'a>(files: impl Iterator<Item = &'a FileRow>) -> Vec<FileRow> {
    let mut bytes = 0;
    files
        .take(MERGE_FILES_MAX)
        .take_while(|row| {
            bytes += row.facts.bytes;
            bytes <= FILE_BYTES_MAX
        })
        .cloned()
        .collect()
}

/// Writes the merged file, durable; what the database must say of it. The merged ones go after that.
pub(crate) fn merge(files: Vec<FileRow>, data: &Path, work: &mut Work<'_>) -> Result<Changes, StoreError> {
    let Some(one) = files.first() else { return Ok(Changes::default()) };
    let paths: Vec<PathBuf> = files.iter().map(|row| row.path(data)).collect();
    let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let facts: Vec<_> = files.iter().map(|row| &row.facts).collect();
    let merged = match one.kind {
        Kind::Samples => {
            let rows: u64 = facts.iter().map(|facts| facts.rows).sum();
            work.samples(&one.site, &one.day, |disk, aside| {
                let facts = parquet::merge(disk, &inputs, aside)?;
                // Before the merged ones go for ever.
                if facts.rows == rows {
                    return Ok(facts);
                }
                let what = format!("the files merged in it hold {rows} samples, it holds {}", facts.rows);
                Err(StoreError::corrupt(aside, 0, what))
            })?
        }
        Kind::Minutes => {
            work.minutes(&one.site, &one.day, &facts, |disk, aside| minutes::merge(disk, &inputs, aside))?
        }
    };
    Ok(Changes { add: vec![merged], remove: files, ..Changes::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::historian::parquet::Facts;
    use andon_model::{Position, SiteName};

    const HOUR: Span = Span::from_secs(3_600);

    fn at(hours: i64) -> Time {
        Time(0).plus(Span::from_secs(hours * 3_600))
    }

    fn file(number: u64, bytes: u64, made: Time) -> FileRow {
        let place = |offset| Position { epoch: 1, offset };
        FileRow {
            kind: Kind::Samples,
            site: SiteName::new("hamburg").unwrap(),
            day: "1970-01-01".into(),
            name: format!("1-{number}-{number}.parquet"),
            made,
            facts: Facts {
                rows: 1,
                bytes,
                first_time: at(1),
                last_time: at(2),
                first_position: place(number),
                last_position: place(number),
                ..Facts::default()
            },
        }
    }

    fn merged(files: &[FileRow], now: Time) -> Option<usize> {
        plan(files, HOUR, now).merge.map(|files| files.len())
    }

    #[test]
    fn a_closed_day_becomes_one_file_once_it_is_quiet() {
        let files: Vec<_> = (0..3).map(|n| file(n, 1_000, at(20))).collect();
        assert_eq!(merged(&files, at(24)), None);
        let next = plan(&files, HOUR, at(24)).next.unwrap();
        assert_eq!(next, at(25).plus(CLOSING));
        assert_eq!((merged(&files, next.minus(Span::from_nanos(1))), merged(&files, next)), (None, Some(3)));
        assert_eq!(plan(&files[..1], HOUR, at(99)), Plan::default());
        let fresh = [file(0, 1_000, at(20)), file(1, 1_000, at(40))];
        assert_eq!((merged(&fresh, at(40)), plan(&fresh, HOUR, at(40)).next), (None, Some(at(40).plus(QUIET))));
    }

    #[test]
    fn a_few_late_samples_wait_for_more() {
        let files = [file(0, 1 << 20, at(26)), file(1, 900, at(30))];
        assert_eq!((merged(&files, at(32)), merged(&files, at(54))), (None, Some(2)));
        let more = [file(0, 1 << 20, at(26)), file(1, 200_000, at(30))];
        assert_eq!(merged(&more, at(32)), Some(2));
    }

    #[test]
    fn like_files_of_an_open_day_are_merged_and_large_ones_left() {
        let mut files: Vec<_> = (0..7).map(|n| file(n, 1_000, at(2))).collect();
        assert_eq!(merged(&files, at(3)), None);
        files.push(file(7, 31_000, at(3)));
        assert_eq!(merged(&files, at(3)), Some(8));
        files.push(file(8, 900_000, at(3)));
        assert_eq!(merged(&files, at(3)), Some(8));
        let large = [file(0, FILE_BYTES_MAX / 2, at(2)), file(1, 9, at(2))];
        assert_eq!(plan(&large, HOUR, at(99)), Plan::default());
        let halves: Vec<_> = (0..3).map(|n| file(n, FILE_BYTES_MAX / 2 - 1, at(2))).collect();
        assert_eq!(merged(&halves, at(99)), Some(2));
    }
}
