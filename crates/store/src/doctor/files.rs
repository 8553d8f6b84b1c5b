//! The files beside the database and the log: states of rules, samples, what a crash left, the reserve.

use super::{Ailment, COPY, Examination, Repair, TOLD_MAX};
use crate::{
    StoreError, db,
    disk::Disk,
    folder,
    historian::{
        catalog::{FileRow, Kind},
        recover::{leftover, look_through},
    },
    log, states,
};
use andon_model::Position;
use std::path::{Path, PathBuf};

/// The file of rule states; how far each state in it has read.
pub(super) fn states(disk: &Disk, dir: &Path, seen: &mut Examination) -> Result<Vec<(String, Position)>, StoreError> {
    let path = states::path(dir);
    let mut read = Vec::new();
    let found = states::Image::read(disk, &path).and_then(|image| {
        image.each(&path, |row| {
            read.push((format!("the rule {} of {} in the file of states", row.rule, row.asset), row.position));
            Ok(())
        })
    });
    match found {
        Ok(()) => seen.looked("states of rules", format!("{} states, every checksum fits", read.len())),
        Err(error) => seen.damage("A7109", error)?,
    }
    Ok(read)
}

/// The files of samples that the database lists.
pub(super) fn historian(disk: &Disk, dir: &Path, rows: &db::Rows, seen: &mut Examination) -> Result<(), StoreError> {
    let (mut files, mut samples, mut wrong) = (0_u64, 0_u64, 0_usize);
    for row in &rows.sealed.files {
        let path = row.path(dir);
        let told = match disk.length(&path) {
            Err(_) => Some(("A7107", "it is listed in the database and is not there".to_owned())),
            Ok(found) if found != row.facts.bytes => {
                let listed = row.facts.bytes;
                Some(("A7107", format!("it has {found} bytes, and {listed} are listed")))
            }
            Ok(_) => whole(disk, &path, row)?.map(|what| ("A7108", what)),
        };
        files += 1;
        match told {
            // Somebody merges and removes files meanwhile: what is not listed any more has gone as it should.
            Some(_) if seen.running && !is_listed(disk, dir, row)? => {}
            Some((code, what)) => {
                wrong += 1;
                if wrong <= TOLD_MAX {
                    let remedy = format!("bring {} back from a copy of the data folder", row.name);
                    seen.tell(Ailment::new(code, path.display().to_string(), what).remedy(remedy));
                }
            }
            None if row.kind == Kind::Samples => samples += row.facts.rows,
            None => {}
        }
    }
    if wrong > TOLD_MAX {
        let detail = format!("{wrong} files are missing or damaged");
        seen.tell(Ailment::new("A7107", dir.join("historian").display().to_string(), detail).remedy(COPY));
    } else if wrong == 0 {
        seen.looked("historian", format!("{files} files, {samples} samples, every one was read"));
    }
    Ok(())
}

fn is_listed(disk: &Disk, dir: &Path, row: &FileRow) -> Result<bool, StoreError> {
    Ok(db::rows_sealed(disk, &dir.join("andon.db"))?.files.contains(row))
}

/// What is wrong with a file that is there.
fn whole(disk: &Disk, path: &Path, row: &FileRow) -> Result<Option<String>, StoreError> {
    match look_through(disk, path, row.kind) {
        Ok(rows) if rows == row.facts.rows => Ok(None),
        Ok(rows) => Ok(Some(format!("it holds {rows} rows, and {} are listed", row.facts.rows))),
        Err(StoreError::Corrupt { what, .. }) => Ok(Some(what)),
        Err(StoreError::Io { doing, cause, .. }) => Ok(Some(format!("cannot {doing} it: {cause}"))),
        Err(error) => Err(error),
    }
}

/// What a crash left before it had its name, and files of samples that nobody lists: what they hold stands elsewhere.
pub(super) fn leftovers(disk: &Disk, dir: &Path, seen: &mut Examination) -> Result<(), StoreError> {
    // A running instance is about to name what it writes.
    if seen.running {
        return Ok(());
    }
    let mut left = log::leftovers(disk, &dir.join("log"))?;
    left.extend(["states.new", "format.new"].map(|name| dir.join(name)).into_iter().filter(|path| disk.exists(path)));
    // Without a list nobody knows which files are not on it.
    if let Ok(sealed) = db::rows_sealed(disk, &dir.join("andon.db")) {
        left.extend(leftover(disk, dir, &sealed)?);
    }
    if left.is_empty() {
        seen.looked("leftovers", "no file is left that nothing names");
        return Ok(());
    }
    let bytes: u64 = left.iter().filter_map(|path| disk.length(path).ok()).sum();
    let shown = |path: &PathBuf| path.strip_prefix(dir).unwrap_or(path).display().to_string();
    let names = super::some(&left.iter().map(shown).collect::<Vec<_>>());
    let detail = format!("{bytes} bytes that a crash left and nothing names: {names}");
    seen.tell(Ailment::new("A7106", "leftovers", detail).mild().with(Repair::Remove(left)));
    Ok(())
}

/// The room that is kept back for a full disk.
pub(super) fn reserve(disk: &Disk, dir: &Path, seen: &mut Examination) {
    if folder::has_reserve(disk, dir) {
        seen.looked("reserve", "64 MiB are kept back for a full disk");
        return;
    }
    let detail = "no room is kept back for a full disk: outcomes of calls could not be written on one";
    seen.tell(Ailment::new("A7116", dir.join("reserve").display().to_string(), detail).mild().with(Repair::Reserve));
}
