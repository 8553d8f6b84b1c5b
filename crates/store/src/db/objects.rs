//! Objects and revisions of the context in the database.

use super::{
    Committed,
    read::{count, many, one, stored},
    write::{number, run_sql, site, text},
};
use crate::{
    StoreError,
    objects::{ObjectName, ObjectRow, RevisionRow, place_of_asset, place_of_line},
    rows::StoredEvent,
};
use andon_model::{AssetName, SiteName, Time};
use rusqlite::{Connection, OptionalExtension, params};

/// Rows that one write removes at most.
const REMOVED_ROWS_MAX: u32 = 1_000;

/// A revision; its number follows the last one's.
pub(crate) fn revision(c: &Connection, row: &RevisionRow) -> Result<u64, StoreError> {
    let revision = context_revision(c)? + 1;
    let row = RevisionRow { revision, changed: false, ..row.clone() };
    run_sql(
        c,
        "INSERT INTO context_revisions (revision, at, of, changed, row) VALUES (?1, ?2, ?3, 0, ?4)",
        params![number(revision)?, row.at.0, row.of, text(&row)?],
    )?;
    Ok(revision)
}

/// A version of an object under the revision of the same commit. One that says nothing new is none.
pub(crate) fn write_object(c: &Connection, row: &ObjectRow, committed: &Committed) -> Result<(), StoreError> {
    let Some(revision) = committed.context else {
        return Err(StoreError::Refused(format!(
            "the object {} belongs to no revision of the context; write the revision first, in the same commit",
            row.name()
        )));
    };
    let name = ObjectName { kind: row.kind.clone(), site: row.site.clone(), number: row.number.clone() };
    let key = params![row.site.as_str(), row.kind, row.number];
    if let Some(newest) = object(c, &name)? {
        if newest.says_the_same(row) {
            return Ok(());
        }
        if newest.revision == revision {
            remove(c, &newest)?;
        }
        run_sql(c, "UPDATE objects SET newest = 0 WHERE site = ?1 AND type = ?2 AND number = ?3 AND newest = 1", key)?;
    }
    site(c, row.site.as_str())?;
    let known: i64 = c
        .prepare_cached("SELECT at FROM context_revisions WHERE revision = ?1")?
        .query_row([number(revision)?], |row| row.get(0))?;
    let row = ObjectRow { revision, known: Time(known), ..row.clone() };
    run_sql(
        c,
        "INSERT INTO objects (site, type, number, revision, known, since, until, newest, origin, row)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9)",
        params![
            row.site.as_str(),
            row.kind,
            row.number,
            number(revision)?,
            known,
            row.from.map(|time| time.0),
            row.to.map(|time| time.0),
            row.origin,
            text(&row)?
        ],
    )?;
    let no = c.last_insert_rowid();
    for place in row.places() {
        let sql = "INSERT OR IGNORE INTO object_places (site, place, no) VALUES (?1, ?2, ?3)";
        run_sql(c, sql, params![row.site.as_str(), place, no])?;
    }
    run_sql(
        c,
        "UPDATE context_revisions SET changed = 1, row = json_set(row, '$.changed', json('true'))
         WHERE revision = ?1 AND changed = 0",
        params![number(revision)?],
    )
}

fn remove(c: &Connection, row: &ObjectRow) -> Result<(), StoreError> {
    let key = params![row.site.as_str(), row.kind, row.number, number(row.revision)?];
    let no: Option<i64> = c
        .prepare_cached("SELECT no FROM objects WHERE site = ?1 AND type = ?2 AND number = ?3 AND revision = ?4")?
        .query_row(key, |row| row.get(0))
        .optional()?;
    for place in row.places() {
        let sql = "DELETE FROM object_places WHERE site = ?1 AND place = ?2 AND no = ?3";
        run_sql(c, sql, params![row.site.as_str(), place, no])?;
    }
    run_sql(c, "DELETE FROM objects WHERE no = ?1", params![no])
}

/// Revisions that changed nothing, are older than both bounds and not the last of who told them up to the bound.
const OLD_REVISIONS: &str = "SELECT revision FROM context_revisions AS old
     WHERE revision < ?1 AND at < ?2 AND changed = 0 AND revision < (
         SELECT max(revision) FROM context_revisions AS new WHERE new.of = old.of AND new.revision <= ?1
     )";

pub(crate) fn has_old_revisions(c: &Connection, before: u64, time: Time) -> Result<bool, StoreError> {
    let sql = format!("SELECT EXISTS ({OLD_REVISIONS})");
    Ok(c.prepare_cached(&sql)?.query_row(params![number(before)?, time.0], |row| row.get(0))?)
}

/// Removes revisions that changed nothing, are older than both bounds and not the last of who told them up to the
/// bound: nobody who has read so far asks for them.
pub(crate) fn forget_revisions(c: &Connection, before: u64, time: Time) -> Result<(), StoreError> {
    run_sql(
        c,
        &format!("DELETE FROM context_revisions WHERE revision IN ({OLD_REVISIONS} ORDER BY revision LIMIT ?3)"),
        params![number(before)?, time.0, REMOVED_ROWS_MAX],
    )
}

pub(crate) fn context_revision(c: &Connection) -> Result<u64, StoreError> {
    let last: Option<u64> =
        c.prepare_cached("SELECT max(revision) FROM context_revisions")?.query_row([], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

pub(crate) fn context_revisions(c: &Connection, after: u64, to: u64, n: usize) -> Result<Vec<RevisionRow>, StoreError> {
    let sql = "SELECT row FROM context_revisions WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3";
    many(c, "context_revisions", sql, params![number(after)?, number(to)?, count(n)])
}

pub(crate) fn context_tellers(c: &Connection, to: u64) -> Result<Vec<RevisionRow>, StoreError> {
    let sql = "SELECT row FROM context_revisions WHERE revision IN (
                   SELECT max(revision) FROM context_revisions WHERE revision <= ?1 GROUP BY of
               ) ORDER BY revision";
    many(c, "context_revisions", sql, params![number(to)?])
}

pub(crate) fn object(c: &Connection, name: &ObjectName) -> Result<Option<ObjectRow>, StoreError> {
    let sql = "SELECT row FROM objects WHERE site = ?1 AND type = ?2 AND number = ?3 AND newest = 1";
    one(c, "objects", sql, params![name.site.as_str(), name.kind, name.number])
}

pub(crate) fn object_versions(
    c: &Connection,
    name: &ObjectName,
    after: u64,
    limit: usize,
) -> Result<Vec<ObjectRow>, StoreError> {
    let sql = "SELECT row FROM objects WHERE site = ?1 AND type = ?2 AND number = ?3 AND revision > ?4
               ORDER BY revision LIMIT ?5";
    many(c, "objects", sql, params![name.site.as_str(), name.kind, name.number, number(after)?, count(limit)])
}

pub(crate) fn objects(
    c: &Connection,
    site: &SiteName,
    kind: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<ObjectRow>, StoreError> {
    let sql = "SELECT row FROM objects WHERE site = ?1 AND type = ?2 AND number > ?3 AND newest = 1
               ORDER BY number LIMIT ?4";
    many(c, "objects", sql, params![site.as_str(), kind, after, count(limit)])
}

pub(crate) fn objects_since(c: &Connection, after: u64, to: u64, limit: usize) -> Result<Vec<ObjectRow>, StoreError> {
    // A revision is read whole: the bound is that of the row at the limit.
    let sql = "SELECT row FROM objects WHERE revision > ?1 AND revision <= min(?2, ifnull((
                   SELECT revision FROM objects WHERE revision > ?1 ORDER BY revision LIMIT 1 OFFSET ?3
               ), ?2)) ORDER BY revision, no";
    many(c, "objects", sql, params![number(after)?, number(to)?, count(limit.saturating_sub(1))])
}

pub(crate) fn objects_known(
    c: &Connection,
    revision: u64,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, ObjectRow)>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT no, row FROM objects AS of WHERE no > ?1 AND revision <= ?2 AND NOT EXISTS (
             SELECT 1 FROM objects AS new WHERE new.site = of.site AND new.type = of.type AND new.number = of.number
                 AND new.revision > of.revision AND new.revision <= ?2
         ) ORDER BY no LIMIT ?3",
    )?;
    let mut rows = statement.query(params![number(after)?, number(revision)?, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, super::read::parse("objects", super::read::column(row, 1)?)?));
    }
    Ok(found)
}

pub(crate) fn objects_at(
    c: &Connection,
    site: &SiteName,
    asset: &AssetName,
    line: Option<&str>,
    time: Time,
    revision: u64,
) -> Result<Vec<ObjectRow>, StoreError> {
    let sql = "SELECT DISTINCT of.row FROM object_places AS at JOIN objects AS of ON of.no = at.no
               WHERE at.site = ?1 AND at.place IN (?2, ?3)
                   AND of.revision <= ?5 AND ifnull(of.since <= ?4, 1) AND ifnull(?4 < of.until, 1)
                   AND NOT EXISTS (
                       SELECT 1 FROM objects AS new WHERE new.site = of.site AND new.type = of.type
                           AND new.number = of.number AND new.revision > of.revision AND new.revision <= ?5
                   )
               ORDER BY of.since, of.no";
    let (asset, line) = (place_of_asset(asset), line.map(place_of_line));
    many(c, "objects", sql, params![site.as_str(), asset, line, time.0, number(revision)?])
}

pub(crate) fn events_about(
    c: &Connection,
    site: &SiteName,
    subject: &str,
    (from, to): (Time, Time),
    after: Option<(Time, u64)>,
    limit: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let (time, sequence) = after.unwrap_or((Time::MIN, 0));
    let mut statement = c.prepare_cached(
        "SELECT sequence, row FROM events
         WHERE site = ?1 AND subject = ?2 AND time >= max(?3, ?5) AND time < ?4 AND (time, sequence) > (?5, ?6)
         ORDER BY time, sequence LIMIT ?7",
    )?;
    let values = params![site.as_str(), subject, from.0, to.0, time.0, number(sequence)?, count(limit)];
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored(row.get(0)?, super::read::column(row, 1)?)?);
    }
    Ok(found)
}

pub(crate) fn last_event_about(
    c: &Connection,
    site: &SiteName,
    subject: &str,
    (kind, source): (&str, Option<&str>),
    before: Time,
) -> Result<Option<StoredEvent>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT sequence, row FROM events
         WHERE site = ?1 AND subject = ?2 AND time < ?3 AND type = ?4 AND ifnull(row ->> '$.source' = ?5, 1)
         ORDER BY time DESC, sequence DESC LIMIT 1",
    )?;
    let mut rows = statement.query(params![site.as_str(), subject, before.0, kind, source])?;
    match rows.next()? {
        Some(row) => stored(row.get(0)?, super::read::column(row, 1)?).map(Some),
        None => Ok(None),
    }
}
