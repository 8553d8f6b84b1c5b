//! Systems, notices, and what is processed alone, as SQL.

use super::{
    read::{count, many, one},
    write::{run_sql, text},
};
use crate::{
    StoreError,
    rows::{InProcessRow, NoticeRow, SystemRow},
};
use andon_model::Time;
use rusqlite::{Connection, params};

pub(crate) fn notice(connection: &Connection, row: &NoticeRow) -> Result<(), StoreError> {
    run_sql(
        connection,
        "INSERT INTO notices (id, team, state, due, row) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET team = excluded.team, state = excluded.state, due = excluded.due,
             row = excluded.row",
        params![row.id, row.team.as_str(), row.state, row.due.map(|time| time.0), text(row)?],
    )
}

pub(crate) fn system(connection: &Connection, row: &SystemRow) -> Result<(), StoreError> {
    run_sql(
        connection,
        "INSERT INTO systems (system, row) VALUES (?1, ?2) ON CONFLICT (system) DO UPDATE SET row = excluded.row",
        params![row.system.as_str(), text(row)?],
    )
}

pub(crate) fn in_process(connection: &Connection, row: &InProcessRow) -> Result<(), StoreError> {
    run_sql(
        connection,
        "INSERT INTO in_process (part, item, row) VALUES (?1, ?2, ?3)
         ON CONFLICT (part, item) DO UPDATE SET row = excluded.row",
        params![row.part, row.item, text(row)?],
    )
}

pub(crate) fn notice_of(c: &Connection, id: &str) -> Result<Option<NoticeRow>, StoreError> {
    one(c, "notices", "SELECT row FROM notices WHERE id = ?1", params![id])
}

/// Those that are to be tried by then, the oldest first.
pub(crate) fn notices_due(c: &Connection, now: Time, limit: usize) -> Result<Vec<NoticeRow>, StoreError> {
    let sql = "SELECT row FROM notices WHERE due IS NOT NULL AND due <= ?1 ORDER BY due, no LIMIT ?2";
    many(c, "notices", sql, params![now.0, count(limit)])
}

pub(crate) fn systems(c: &Connection) -> Result<Vec<SystemRow>, StoreError> {
    many(c, "systems", "SELECT row FROM systems ORDER BY system", params![])
}

pub(crate) fn processed_alone(c: &Connection) -> Result<Vec<InProcessRow>, StoreError> {
    many(c, "in_process", "SELECT row FROM in_process ORDER BY part, item", params![])
}
