//! The chain of what people and policies have done, as SQL.

use super::{
    read::{column, count, parse},
    write::{number, run_sql, text},
};
use crate::{
    StoreError,
    rows::{AuditHead, AuditRow, AuditVerdict, Audited, Broken},
};
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What stands before the first row.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The hash of a row: over the hash before it, its number and its text.
fn hash(previous: &str, number: u64, row: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(previous.as_bytes());
    hash.update(number.to_le_bytes());
    hash.update(row.as_bytes());
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The next link.
pub(crate) fn write(connection: &Connection, row: &AuditRow) -> Result<(), StoreError> {
    let head = head(connection)?;
    let (place, previous) = head.map_or((1, NOTHING.to_owned()), |head| (head.number + 1, head.hash));
    let text = text(row)?;
    let hash = hash(&previous, place, &text);
    run_sql(
        connection,
        "INSERT INTO audit (no, at, actor, act, subject, previous, hash, row)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![number(place)?, row.at.0, row.actor, row.act, row.subject, previous, hash, text],
    )?;
    run_sql(
        connection,
        "INSERT INTO audit_head (one, no, hash) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET no = excluded.no, hash = excluded.hash",
        params![number(place)?, hash],
    )
}

/// The end of the chain as it is kept beside it.
pub(crate) fn head(connection: &Connection) -> Result<Option<AuditHead>, StoreError> {
    let sql = "SELECT no, hash FROM audit_head WHERE one = 1";
    let read = |row: &rusqlite::Row<'_>| Ok(AuditHead { number: row.get(0)?, hash: row.get(1)? });
    Ok(connection.prepare_cached(sql)?.query_row([], read).optional()?)
}

const ROWS: &str = "SELECT no, row, previous, hash FROM audit";

fn read(row: &rusqlite::Row<'_>) -> Result<Audited, StoreError> {
    Ok(Audited { number: row.get(0)?, row: parse("audit", column(row, 1)?)?, previous: row.get(2)?, hash: row.get(3)? })
}

/// Rows behind a number, oldest first.
pub(crate) fn after(c: &Connection, after: u64, limit: usize) -> Result<Vec<Audited>, StoreError> {
    let mut statement = c.prepare_cached(&format!("{ROWS} WHERE no > ?1 ORDER BY no LIMIT ?2"))?;
    let mut rows = statement.query(params![number(after)?, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// What was done to one thing, oldest first.
pub(crate) fn of(c: &Connection, subject: &str, limit: usize) -> Result<Vec<Audited>, StoreError> {
    let mut statement = c.prepare_cached(&format!("{ROWS} WHERE subject = ?1 ORDER BY no LIMIT ?2"))?;
    let mut rows = statement.query(params![subject, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// One stretch of a check of the chain.
pub(crate) struct Check {
    verdict: AuditVerdict,
    hash: String,
}

impl Check {
    /// A check from the beginning.
    pub(crate) fn begin() -> Self {
        Self { verdict: AuditVerdict { rows: 0, head: None, broken: None }, hash: NOTHING.to_owned() }
    }

    /// Looks at so many rows more; the verdict once all were looked at, or one does not fit.
    pub(crate) fn step(&mut self, c: &Connection, rows_max: usize) -> Result<Option<AuditVerdict>, StoreError> {
        let sql =
            "SELECT no, at, actor, act, subject, previous, hash, row FROM audit WHERE no > ?1 ORDER BY no LIMIT ?2";
        let mut statement = c.prepare_cached(sql)?;
        let mut rows = statement.query(params![number(self.verdict.rows)?, count(rows_max)])?;
        let mut any = false;
        while let Some(row) = rows.next()? {
            any = true;
            let found: u64 = row.get(0)?;
            let place = self.verdict.rows + 1;
            if found != place {
                return Ok(Some(self.broken(place, format!("row {place} is missing: the next one is row {found}"))));
            }
            let text = column(row, 7)?;
            let (previous, stored) = (column(row, 5)?, column(row, 6)?);
            if previous != self.hash {
                return Ok(Some(self.broken(place, "it does not follow the row before it".to_owned())));
            }
            let hash = hash(&self.hash, place, text);
            if stored != hash {
                return Ok(Some(self.broken(place, "its text is not the one that was written".to_owned())));
            }
            let shown = (row.get::<_, i64>(1)?, column(row, 2)?, column(row, 3)?, column(row, 4)?);
            let fits = parse::<AuditRow>("audit", text)
                .is_ok_and(|row| (row.at.0, row.actor.as_str(), row.act.as_str(), row.subject.as_str()) == shown);
            if !fits {
                return Ok(Some(self.broken(place, "its columns do not say what its text says".to_owned())));
            }
            (self.verdict.rows, self.hash) = (place, hash);
        }
        if any {
            return Ok(None);
        }
        let head = head(c)?;
        let (kept, known) = head.as_ref().map_or((0, NOTHING), |head| (head.number, head.hash.as_str()));
        let (rows, fits) = (self.verdict.rows, known == self.hash);
        if kept != rows || !fits {
            let what = format!("the chain ends at row {rows}, and {kept} rows were written");
            return Ok(Some(self.broken(rows + 1, what)));
        }
        self.verdict.head = head;
        Ok(Some(self.verdict.clone()))
    }

    fn broken(&mut self, number: u64, what: String) -> AuditVerdict {
        self.verdict.broken = Some(Broken { number, what });
        self.verdict.clone()
    }
}
