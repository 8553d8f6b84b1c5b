//! What a start finds in the folders of the historian: what a crash left is removed, what is missing is named.

use super::{
    catalog::{FileRow, Kind, Sealed, folder, is_ours},
    minutes, parquet,
};
use crate::{StoreError, disk::Disk};
use andon_model::{Position, SiteName, Time};
use std::{
    collections::HashSet,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Brings the folders to what the database lists. `start` is the place of the oldest entry of the log. The files that
/// are listed and not there, or not whole, are returned; what belongs to their days is left as it lies, for a person.
pub(crate) fn recover(disk: &Disk, data: &Path, sealed: &Sealed, start: Position) -> Result<Vec<PathBuf>, StoreError> {
    // Segments go only once they are sealed: before the first sealing the log is whole.
    if sealed.place.map_or(0, |place| place.offset) < start.offset {
        let sealed =
            sealed.place.map_or_else(|| "nothing was".to_owned(), |place| format!("only what is before {place} was"));
        let what = format!(
            "the log begins at {start}, but {sealed} sealed: what is between is in neither the log nor the historian. \
             The database is older than the log"
        );
        return Err(StoreError::corrupt(&data.join("andon.db"), 0, what));
    }
    let missing: Vec<&FileRow> = sealed.files.iter().filter(|row| !is_there(disk, data, row)).collect();
    let listed: HashSet<PathBuf> = sealed.files.iter().map(|row| row.path(data)).collect();
    for kind in Kind::ALL {
        for (site, dir) in named(disk, &data.join(kind.folder()), "site=") {
            let Ok(site) = SiteName::new(&site) else { continue };
            for (day, _) in named(disk, &dir, "date=") {
                let dir = folder(data, kind, &site, &day);
                if missing.iter().any(|row| row.kind == kind && row.site == site && row.day == day) {
                    continue;
                }
                tidy(disk, &dir, &listed)?;
            }
        }
    }
    Ok(missing.into_iter().map(|row| row.path(data)).collect())
}

/// The files that are listed and not there, or not whole, by now. Somebody may be merging and removing them meanwhile:
/// what is not listed any more, by `list`, has gone as it should.
pub(crate) fn missing(
    disk: &Disk,
    data: &Path,
    list: impl Fn() -> Result<Sealed, StoreError>,
) -> Result<Vec<PathBuf>, StoreError> {
    let mut missing = list()?.files;
    missing.retain(|row| !is_there(disk, data, row));
    if !missing.is_empty() {
        let listed = list()?.files;
        missing.retain(|row| listed.contains(row));
    }
    Ok(missing.iter().map(|row| row.path(data)).collect())
}

/// Files of ours that nobody lists, and what was being written: what they hold stands elsewhere, unless a listed file
/// of their day is missing.
pub(crate) fn leftover(disk: &Disk, data: &Path, sealed: &Sealed) -> Result<Vec<PathBuf>, StoreError> {
    let missing: Vec<&FileRow> = sealed.files.iter().filter(|row| !is_there(disk, data, row)).collect();
    let listed: HashSet<PathBuf> = sealed.files.iter().map(|row| row.path(data)).collect();
    let mut left = Vec::new();
    for kind in Kind::ALL {
        for (site, dir) in named(disk, &data.join(kind.folder()), "site=") {
            let Ok(site) = SiteName::new(&site) else { continue };
            for (day, _) in named(disk, &dir, "date=") {
                if missing.iter().any(|row| row.kind == kind && row.site == site && row.day == day) {
                    continue;
                }
                left.extend(unlisted(disk, &folder(data, kind, &site, &day), &listed)?);
            }
        }
    }
    Ok(left)
}

/// How many rows a file holds, each of them read.
pub(crate) fn look_through(disk: &Disk, path: &Path, kind: Kind) -> Result<u64, StoreError> {
    let mut rows = 0;
    match kind {
        Kind::Samples => parquet::read(disk, path, &parquet::Filter::default(), &mut |_| {
            rows += 1;
            ControlFlow::Continue(())
        })?,
        Kind::Minutes => minutes::read(disk, path, None, Time(i64::MIN), Time(i64::MAX), &mut |_| {
            rows += 1;
            ControlFlow::Continue(())
        })?,
    }
    Ok(rows)
}

fn is_there(disk: &Disk, data: &Path, row: &FileRow) -> bool {
    disk.length(&row.path(data)).is_ok_and(|length| length == row.facts.bytes)
}

/// The folders in a folder that are named so, with what follows.
fn named(disk: &Disk, dir: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let names = disk.list(dir).unwrap_or_default();
    names.iter().filter_map(|name| Some((name.strip_prefix(prefix)?.to_owned(), dir.join(name)))).collect()
}

/// Removes files of ours that are not listed: the log, or the files they were merged from, hold the same. Others stay.
fn tidy(disk: &Disk, dir: &Path, listed: &HashSet<PathBuf>) -> Result<(), StoreError> {
    let left = unlisted(disk, dir, listed)?;
    left.iter().try_for_each(|path| disk.remove(path))?;
    if left.is_empty() { Ok(()) } else { disk.sync_dir(dir) }
}

fn unlisted(disk: &Disk, dir: &Path, listed: &HashSet<PathBuf>) -> Result<Vec<PathBuf>, StoreError> {
    let is_left = |name: &String| name == super::work::ASIDE || (is_ours(name) && !listed.contains(&dir.join(name)));
    Ok(disk.list(dir)?.iter().filter(|name| is_left(name)).map(|name| dir.join(name)).collect())
}
