//! Exceptions and their groups as SQL.

use super::{
    read::{count, many, one, parse},
    write::{number, run_sql, site, text},
};
use crate::{
    StoreError,
    rows::{ExceptionChange, ExceptionRow, ExceptionState, GroupRow},
};
use andon_model::{CallId, ExceptionId, RunId, Time};
use rusqlite::{Connection, params};

/// Those that have not ended.
const UNFINISHED: &str = "state IN ('open', 'assigned', 'waiting', 'resubmitted')";

/// A new one, or one more of one that is known.
pub(crate) fn write(connection: &Connection, row: &ExceptionRow) -> Result<(), StoreError> {
    let old = exception(connection, row.id)?;
    let row = match &old {
        None => row.clone(),
        Some(old) => row.clone().seen_before(old),
    };
    put(connection, old.as_ref(), &row)
}

/// Who comes second finds it ended, and changes nothing.
pub(crate) fn edit(connection: &Connection, row: &ExceptionRow) -> Result<(), StoreError> {
    let old = known(connection, row.id)?;
    if old.state.has_ended() {
        return Ok(());
    }
    let row = ExceptionRow { count: old.count, first: old.first, last: old.last, ..row.clone() };
    put(connection, Some(&old), &row)
}

/// Its state, whatever it was.
pub(crate) fn state(connection: &Connection, id: ExceptionId, state: ExceptionState) -> Result<(), StoreError> {
    let old = known(connection, id)?;
    let row = ExceptionRow { state, ..old.clone() };
    put(connection, Some(&old), &row)
}

/// Whether the change was applied: one that has ended is left as it is.
pub(crate) fn change(connection: &Connection, change: &ExceptionChange) -> Result<bool, StoreError> {
    let Some(old) = exception(connection, change.id)?.filter(|old| !old.state.has_ended()) else { return Ok(false) };
    let row = change.apply(old.clone());
    put(connection, Some(&old), &row)?;
    Ok(true)
}

/// What a run has asked needs no answer once it has ended.
pub(crate) fn ended(connection: &Connection, run: RunId) -> Result<(), StoreError> {
    let sql = format!("SELECT row FROM exceptions WHERE run = ?1 AND {UNFINISHED} AND row -> '$.decision' IS NOT NULL");
    let asked: Vec<ExceptionRow> = many(connection, "exceptions", &sql, params![run.to_string()])?;
    for old in asked {
        let row = ExceptionRow { state: ExceptionState::Resolved, ..old.clone() };
        put(connection, Some(&old), &row)?;
    }
    Ok(())
}

fn known(connection: &Connection, id: ExceptionId) -> Result<ExceptionRow, StoreError> {
    exception(connection, id)?.ok_or_else(|| StoreError::Refused(format!("there is no exception {id}")))
}

fn put(connection: &Connection, old: Option<&ExceptionRow>, row: &ExceptionRow) -> Result<(), StoreError> {
    if let Some(of) = &row.site {
        site(connection, of.as_str())?;
    }
    run_sql(
        connection,
        "INSERT INTO exceptions (id, site, kind, owner, state, source, run, call, fingerprint, due, row)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET site = excluded.site, kind = excluded.kind, owner = excluded.owner,
             state = excluded.state, source = excluded.source, run = excluded.run, call = excluded.call,
             fingerprint = excluded.fingerprint, due = excluded.due, row = excluded.row",
        params![
            row.id.to_string(),
            row.site.as_ref().map(andon_model::SiteName::as_str),
            row.kind.word(),
            row.owner.as_str(),
            row.state.word(),
            row.source.as_ref().map(andon_model::Name::as_str),
            row.run.map(|id| id.to_string()),
            row.call.map(|id| id.to_string()),
            row.fingerprint,
            row.due.map(|time| time.0),
            text(row)?
        ],
    )?;
    regroup(connection, old, row)
}

/// Counts an exception in its group, and no longer where or as it was counted before.
fn regroup(connection: &Connection, old: Option<&ExceptionRow>, row: &ExceptionRow) -> Result<(), StoreError> {
    let elsewhere = old.filter(|old| old.fingerprint != row.fingerprint);
    if let Some(old) = elsewhere
        && let Some(mut left) = group(connection, &old.fingerprint)?
    {
        if left.leave(old) {
            let sql = "DELETE FROM exception_groups WHERE fingerprint = ?1";
            run_sql(connection, sql, params![old.fingerprint])?;
        } else {
            put_group(connection, &left)?;
        }
    }
    let mut group = group(connection, &row.fingerprint)?.unwrap_or_else(|| GroupRow::of(row));
    let had = group.unfinished > 0;
    if let (Some(old), None) = (old, elsewhere) {
        group.leave(old);
    }
    group.join(row);
    if group.unfinished > 0 && !(had && group.opened.is_some()) {
        group.opened = Some(row.last);
    }
    put_group(connection, &group)
}

fn put_group(connection: &Connection, row: &GroupRow) -> Result<(), StoreError> {
    run_sql(
        connection,
        "INSERT INTO exception_groups (fingerprint, kind, site, owner, state, row) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (fingerprint) DO UPDATE SET owner = excluded.owner, state = excluded.state, row = excluded.row",
        params![
            row.fingerprint,
            row.kind.word(),
            row.site.as_ref().map(andon_model::SiteName::as_str),
            row.owner.as_str(),
            row.state,
            text(row)?
        ],
    )
}

/// Counts all groups anew.
pub(crate) fn count_groups(connection: &Connection) -> Result<(), StoreError> {
    run_sql(connection, "DELETE FROM exception_groups", params![])?;
    let mut statement = connection.prepare("SELECT row FROM exceptions ORDER BY no")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // What does not read back is told by who reads it.
        if let Ok(row) = parse::<ExceptionRow>("exceptions", super::read::column(row, 0)?) {
            regroup(connection, None, &row)?;
        }
    }
    Ok(())
}

pub(crate) fn exception(c: &Connection, id: ExceptionId) -> Result<Option<ExceptionRow>, StoreError> {
    one(c, "exceptions", "SELECT row FROM exceptions WHERE id = ?1", params![id.to_string()])
}

pub(crate) fn exceptions_of_run(c: &Connection, run: RunId) -> Result<Vec<ExceptionRow>, StoreError> {
    many(c, "exceptions", "SELECT row FROM exceptions WHERE run = ?1 ORDER BY no", params![run.to_string()])
}

pub(crate) fn exceptions_of_call(c: &Connection, call: CallId) -> Result<Vec<ExceptionRow>, StoreError> {
    many(c, "exceptions", "SELECT row FROM exceptions WHERE call = ?1 ORDER BY no", params![call.to_string()])
}

pub(crate) fn group(c: &Connection, fingerprint: &str) -> Result<Option<GroupRow>, StoreError> {
    one(c, "exception_groups", "SELECT row FROM exception_groups WHERE fingerprint = ?1", params![fingerprint])
}

/// Unfinished ones of a group with their row numbers, oldest first.
pub(crate) fn of_group(
    c: &Connection,
    fingerprint: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, ExceptionRow)>, StoreError> {
    let sql = format!(
        "SELECT no, row FROM exceptions WHERE fingerprint = ?1 AND no > ?2 AND {UNFINISHED} ORDER BY no LIMIT ?3"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params![fingerprint, number(after)?, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, parse("exceptions", super::read::column(row, 1)?)?));
    }
    Ok(found)
}

/// Unfinished ones that are due by then, the oldest due first.
pub(crate) fn due(c: &Connection, now: Time, limit: usize) -> Result<Vec<ExceptionRow>, StoreError> {
    let sql = format!(
        "SELECT row FROM exceptions WHERE due IS NOT NULL AND due <= ?1 AND {UNFINISHED} ORDER BY due, no LIMIT ?2"
    );
    many(c, "exceptions", &sql, params![now.0, count(limit)])
}

/// Unfinished ones that are due behind a place and at or before a time, with their row numbers, the oldest due first.
pub(crate) fn due_behind(
    c: &Connection,
    (due, no): (Time, u64),
    until: Time,
    limit: usize,
) -> Result<Vec<(u64, ExceptionRow)>, StoreError> {
    let sql = format!(
        "SELECT no, row FROM exceptions WHERE due IS NOT NULL AND due >= ?1 AND (due > ?1 OR no > ?2) AND due <= ?3
         AND {UNFINISHED} ORDER BY due, no LIMIT ?4"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params![due.0, number(no)?, until.0, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, parse("exceptions", super::read::column(row, 1)?)?));
    }
    Ok(found)
}
