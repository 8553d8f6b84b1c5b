//! The repairs. Each loses nothing, and is checked by looking again.

use super::{Examination, Repair};
use crate::{StoreError, db, disk::Disk, folder};
use std::path::Path;

/// Mends what can be mended, with the folder's lock in hand.
pub(super) fn repair(seen: &mut Examination) -> Result<(), StoreError> {
    let dir = seen.dir.clone();
    let _held = folder::lock(&Disk::System, &dir)?;
    for ailment in &mut seen.ailments {
        let Some(repair) = &ailment.repair else { continue };
        match one(&dir, repair) {
            Ok(done) => ailment.repaired = Some(done),
            // Where it cannot be mended so, it stays as it is, and the others are mended.
            Err(StoreError::Corrupt { what, .. }) => {
                ailment.can_repair = false;
                ailment.remedy = format!("{}; a repair was tried and undone: {what}", super::COPY);
            }
            Err(error @ StoreError::Full { .. }) => ailment.remedy = error.to_string(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn one(dir: &Path, repair: &Repair) -> Result<String, StoreError> {
    let database = dir.join("andon.db");
    match repair {
        Repair::Format(format) => {
            folder::write_format(&Disk::System, dir, format)?;
            Ok(format!("written anew: instance {}, epoch {}, as the log names them", format.instance, format.epoch))
        }
        Repair::Indexes => {
            db::reindex(&database)?;
            Ok("all indexes were made anew from the rows, and the database is whole".to_owned())
        }
        Repair::Remove(files) => {
            for path in files {
                std::fs::remove_file(path).map_err(|e| StoreError::io(path, "remove", e))?;
            }
            Ok(format!("files removed: {}", files.len()))
        }
        Repair::Groups => {
            db::recount(&database)?;
            Ok("all groups were counted anew from their exceptions".to_owned())
        }
        Repair::Column(column) => {
            let rows = db::rewrite(&database, *column)?;
            Ok(format!("{} of {rows} rows of {} was written anew from the row", column.name(), column.table()))
        }
        Repair::Reserve => {
            folder::take_reserve(&Disk::System, dir)?;
            Ok("64 MiB were taken".to_owned())
        }
    }
}
