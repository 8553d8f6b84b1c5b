//! Listening runs, gathering events and schedules as SQL.

use super::{
    read::{column, count, damaged, many, stored},
    write::{number, run_sql, text},
};
use crate::{
    StoreError,
    rows::StoredEvent,
    waits::{GatherKey, ListenRow, ScheduleRow},
};
use andon_model::{RunId, SiteName};
use rusqlite::{Connection, params};

/// A run listens for these events and no others.
pub(crate) fn listen(c: &Connection, run: RunId, rows: &[ListenRow]) -> Result<(), StoreError> {
    let id = run.to_string();
    run_sql(c, "DELETE FROM listens WHERE run = ?1", params![id])?;
    for row in rows {
        super::write::site(c, row.site.as_str())?;
        run_sql(
            c,
            "INSERT OR IGNORE INTO listens (site, type, by, value, run) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row.site.as_str(), row.kind, row.by, row.value, id],
        )?;
    }
    Ok(())
}

/// A run that has ended listens for nothing, and what it has asked needs no answer.
pub(crate) fn ended(c: &Connection, run: RunId) -> Result<(), StoreError> {
    let id = run.to_string();
    run_sql(c, "DELETE FROM listens WHERE run = ?1", params![id])?;
    super::exceptions::ended(c, run)
}

/// The runs that listen for this.
pub(crate) fn listeners(c: &Connection, row: &ListenRow) -> Result<Vec<RunId>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT run FROM listens WHERE site = ?1 AND type = ?2 AND by = ?3 AND value = ?4")?;
    let mut rows = statement.query(params![row.site.as_str(), row.kind, row.by, row.value])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(RunId::parse(column(row, 0)?).map_err(|e| damaged("listens", e))?);
    }
    Ok(found)
}

/// In which ways runs are found by events: site, type and `by`, each once.
pub(crate) fn listened(c: &Connection) -> Result<Vec<(SiteName, String, String)>, StoreError> {
    let mut statement = c.prepare_cached("SELECT DISTINCT site, type, by FROM listens")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let site = SiteName::new(column(row, 0)?).map_err(|e| damaged("listens", e))?;
        found.push((site, row.get(1)?, row.get(2)?));
    }
    Ok(found)
}

/// Events of a site and type (`None`: of any) with an order number above `after` and up to `to`, in order.
pub(crate) fn events_of(
    c: &Connection,
    (site, kind): (&SiteName, Option<&str>),
    (after, to): (u64, u64),
    limit: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = if kind.is_some() {
        "SELECT sequence, row FROM events WHERE site = ?1 AND type = ?2 AND sequence > ?3 AND sequence <= ?4
         ORDER BY sequence LIMIT ?5"
    } else {
        // The plus keeps the question on the order numbers.
        "SELECT sequence, row FROM events WHERE +site = ?1 AND ?2 IS NULL AND sequence > ?3 AND sequence <= ?4
         ORDER BY sequence LIMIT ?5"
    };
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query(params![site.as_str(), kind, number(after)?, number(to)?, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored(row.get(0)?, column(row, 1)?)?);
    }
    Ok(found)
}

/// An event waits for others, or does so no more.
pub(crate) fn gather(
    c: &Connection,
    GatherKey { site, workflow, key }: &GatherKey,
    (slot, sequence): (u32, u64),
    waits: bool,
) -> Result<(), StoreError> {
    let sql = if waits {
        "INSERT OR IGNORE INTO gathers (site, workflow, key, slot, sequence) VALUES (?1, ?2, ?3, ?4, ?5)"
    } else {
        "DELETE FROM gathers WHERE site = ?1 AND workflow = ?2 AND key = ?3 AND slot = ?4 AND sequence = ?5"
    };
    run_sql(c, sql, params![site.as_str(), workflow, key, slot, number(sequence)?])
}

/// The order numbers of the events that wait in a slot, oldest first.
pub(crate) fn gathered(
    c: &Connection,
    GatherKey { site, workflow, key }: &GatherKey,
    slot: u32,
    limit: usize,
) -> Result<Vec<u64>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT sequence FROM gathers WHERE site = ?1 AND workflow = ?2 AND key = ?3 AND slot = ?4
         ORDER BY sequence LIMIT ?5",
    )?;
    let rows = statement.query_map(params![site.as_str(), workflow, key, slot, count(limit)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Events that wait for others: their keys, slots and order numbers, in this order, those behind one of them.
pub(crate) fn gathers_after(
    c: &Connection,
    after: Option<&(GatherKey, u32, u64)>,
    limit: usize,
) -> Result<Vec<(GatherKey, u32, u64)>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT site, workflow, key, slot, sequence FROM gathers
         WHERE (site, workflow, key, slot, sequence) > (?1, ?2, ?3, ?4, ?5)
         ORDER BY site, workflow, key, slot, sequence LIMIT ?6",
    )?;
    let (site, workflow, key, slot, sequence) = match after {
        Some((key, slot, sequence)) => {
            (key.site.as_str(), key.workflow.as_str(), key.key.as_str(), i64::from(*slot), number(*sequence)?)
        }
        None => ("", "", "", -1, -1),
    };
    let mut rows = statement.query(params![site, workflow, key, slot, sequence, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let site = SiteName::new(column(row, 0)?).map_err(|e| damaged("gathers", e))?;
        found.push((GatherKey { site, workflow: row.get(1)?, key: row.get(2)? }, row.get(3)?, row.get(4)?));
    }
    Ok(found)
}

/// How far a schedule is done.
pub(crate) fn put_schedule(c: &Connection, row: &ScheduleRow) -> Result<(), StoreError> {
    run_sql(
        c,
        "INSERT OR REPLACE INTO schedules (site, workflow, row) VALUES (?1, ?2, ?3)",
        params![row.site.as_str(), row.workflow.as_str(), text(row)?],
    )
}

/// How far all schedules are done.
pub(crate) fn schedules(c: &Connection) -> Result<Vec<ScheduleRow>, StoreError> {
    many(c, "schedules", "SELECT row FROM schedules ORDER BY workflow, site", params![])
}
