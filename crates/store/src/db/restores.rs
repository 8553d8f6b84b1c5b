//! Restores of the folder, as SQL.

use super::{
    read::parse,
    write::{number, run_sql, text},
};
use crate::{StoreError, objects::RevisionRow, rows::RestoreRow};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Who tells the revision with which numbers leap.
const TELLER: &str = "restore";

/// A restore; and the numbers of revisions leap, so that none is given a second time: ids derive from them.
pub(crate) fn write(c: &Connection, row: &RestoreRow) -> Result<(), StoreError> {
    run_sql(
        c,
        "INSERT INTO restores (epoch, at, row) VALUES (?1, ?2, ?3)
         ON CONFLICT (epoch) DO UPDATE SET at = excluded.at, row = excluded.row",
        params![row.epoch, row.at.0, text(row)?],
    )?;
    let told = RevisionRow { revision: row.revision, ..RevisionRow::new(row.at, TELLER, None) };
    run_sql(
        c,
        "INSERT INTO context_revisions (revision, at, of, changed, row) VALUES (?1, ?2, ?3, 0, ?4)",
        params![number(row.revision)?, row.at.0, told.of, text(&told)?],
    )
}

/// The last restore; `None`: there was none.
pub(crate) fn last(c: &Connection) -> Result<Option<RestoreRow>, StoreError> {
    let sql = "SELECT row FROM restores ORDER BY epoch DESC LIMIT 1";
    let text = c.prepare_cached(sql)?.query_row([], |row| row.get::<_, String>(0)).optional()?;
    text.map(|text| parse("restores", &text)).transpose()
}
