//! What a doctor asks the database: whether its pages are whole, and whether its rows agree.

use super::{
    AuditCheck, Db, Readers,
    exceptions::count_groups,
    read::{column, many, parse},
};
use crate::{
    StoreError,
    disk::Disk,
    historian::catalog::{Sealed, Which},
    rows::{AuditVerdict, CallRow, ExceptionRow, GroupRow},
};
use andon_model::Position;
use rusqlite::{Connection, OpenFlags, params};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Places of damage that are told.
const WRONG_MAX: u32 = 100;

/// Rows of the chain in one read transaction.
const CHAIN_ROWS: usize = 5_000;

/// A column by which rows are found, and where the row says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column(usize);

/// Table, what names a row, column, and its place in the row.
const COLUMNS: [(&str, &str, &str, &str); 9] = [
    ("runs", "id", "state", "$.state"),
    ("runs", "id", "workflow", "$.workflow"),
    ("calls", "id", "state", "$.state"),
    ("calls", "id", "capability", "$.capability"),
    ("exceptions", "id", "state", "$.state"),
    ("exceptions", "id", "owner", "$.owner"),
    ("exceptions", "id", "kind", "$.kind"),
    ("exceptions", "id", "fingerprint", "$.fingerprint"),
    ("exceptions", "id", "call", "$.call"),
];

impl Column {
    fn of(self) -> (&'static str, &'static str, &'static str, &'static str) {
        *COLUMNS.get(self.0).expect("it is one of them")
    }

    /// Its table.
    pub(crate) fn table(self) -> &'static str {
        self.of().0
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.of().2
    }
}

/// Whether the pages of the database are whole.
pub(crate) struct Integrity {
    pub(crate) version: u32,
    pub(crate) bytes: u64,
    /// What is wrong, as `SQLite` says it.
    pub(crate) wrong: Vec<String>,
    /// Whether all rows can be read without the indexes.
    pub(crate) tables_are_whole: bool,
}

/// Looks at all pages. Beside a running instance table by table, so that no read lasts long.
pub(crate) fn integrity(disk: &Disk, path: &Path, running: bool) -> Result<Integrity, StoreError> {
    if let Disk::Simulated(process) = disk {
        return looked_at(&*process.database()?, path, 0, running);
    }
    if !path.exists() {
        return Err(StoreError::corrupt(path, 0, "the file is missing"));
    }
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    Readers::new(path, true).with(|c| looked_at(c, path, bytes, running))
}

fn looked_at(c: &Connection, path: &Path, bytes: u64, running: bool) -> Result<Integrity, StoreError> {
    let version: u32 = c.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > super::schema::VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: super::schema::VERSION });
    }
    let wrong = if running {
        let mut wrong = Vec::new();
        for table in tables(c)? {
            wrong.extend(check(c, &format!("PRAGMA integrity_check('{table}')"))?);
        }
        wrong
    } else {
        check(c, &format!("PRAGMA integrity_check({WRONG_MAX})"))?
    };
    let tables_are_whole = wrong.is_empty() || tables_are_whole(c);
    Ok(Integrity { version, bytes, wrong, tables_are_whole })
}

fn tables(c: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement =
        c.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn check(c: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = c.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut wrong = Vec::new();
    loop {
        match rows.next() {
            Ok(Some(row)) => wrong.push(row.get::<_, String>(0)?),
            Ok(None) => break,
            // The check itself found no way on.
            Err(error) => {
                wrong.push(error.to_string());
                break;
            }
        }
    }
    wrong.retain(|line| line != "ok");
    Ok(wrong)
}

/// Whether every row of every table can be read where the tables keep them.
fn tables_are_whole(c: &Connection) -> bool {
    let read = |table: &String| -> Result<(), rusqlite::Error> {
        let mut statement = c.prepare(&format!("SELECT * FROM \"{table}\" NOT INDEXED"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            (0..columns).try_for_each(|at| row.get_ref(at).map(drop))?;
        }
        Ok(())
    };
    tables(c).is_ok_and(|names| names.iter().all(|name| read(name).is_ok()))
}

/// Makes all indexes anew; refused where the database is not whole afterwards, and then nothing is changed.
pub(crate) fn reindex(path: &Path) -> Result<(), StoreError> {
    let c = super::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    c.execute_batch("BEGIN IMMEDIATE; REINDEX")?;
    let left = check(&c, &format!("PRAGMA integrity_check({WRONG_MAX})"))?;
    match left.first() {
        None => Ok(c.execute_batch("COMMIT")?),
        Some(first) => {
            c.execute_batch("ROLLBACK")?;
            Err(StoreError::corrupt(path, 0, first.clone()))
        }
    }
}

/// Counts the groups of exceptions anew.
pub(crate) fn recount(path: &Path) -> Result<(), StoreError> {
    let mut c = super::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let transaction = c.transaction()?;
    count_groups(&transaction)?;
    Ok(transaction.commit()?)
}

/// Writes a column anew from its rows; how many were wrong.
pub(crate) fn rewrite(path: &Path, of: Column) -> Result<usize, StoreError> {
    let (table, _, column, place) = of.of();
    let c = super::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = format!("UPDATE {table} SET {column} = row ->> ?1 WHERE {column} IS NOT row ->> ?1");
    Ok(c.execute(&sql, [place])?)
}

/// What rows say, and where they do not agree.
pub(crate) struct Rows {
    pub(crate) chain: AuditVerdict,
    pub(crate) exceptions: u64,
    /// Groups that are not counted as their exceptions stand.
    pub(crate) groups: Vec<String>,
    /// Columns that do not say what the row says, with the rows.
    pub(crate) columns: Vec<(Column, Vec<String>)>,
    /// Rows that belong to something that is not there.
    pub(crate) strays: Vec<(&'static str, Vec<String>)>,
    /// Runs that wait, and those of them that wait for nothing.
    pub(crate) waiting: u64,
    pub(crate) stranded: Vec<String>,
    pub(crate) sealed: Sealed,
    /// How far the log was read, by whom.
    pub(crate) read: Vec<(String, Position)>,
}

/// What belongs to what: what is told, and the rows for which it is not so.
const STRAYS: [(&str, &str); 5] = [
    (
        "calls whose run is not there",
        "SELECT id FROM calls c WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.no = c.run)",
    ),
    (
        "tasks whose run is not there",
        "SELECT pointer FROM tasks t WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.no = t.run)",
    ),
    (
        "attempts whose call is not there",
        "SELECT 'attempt ' || number || ' at ' || system FROM attempts a
         WHERE NOT EXISTS (SELECT 1 FROM calls c WHERE c.no = a.call)",
    ),
    (
        "evidence whose event is not there",
        "SELECT 'of event ' || sequence FROM evidence e
         WHERE NOT EXISTS (SELECT 1 FROM events v WHERE v.sequence = e.sequence)",
    ),
    (
        "what runs listen for that are not there",
        "SELECT run FROM listens l
         WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.site IN (SELECT site FROM sites) AND r.id = l.run)",
    ),
];

/// Runs that wait, and have no time, call, event, person or other run to wait for.
const STRANDED: &str = "SELECT id FROM runs r WHERE state = 'waiting' AND due IS NULL
    AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.site = r.site AND c.run = r.no
        AND c.state IN ('waiting', 'in-flight', 'parked'))
    AND NOT EXISTS (SELECT 1 FROM listens l WHERE l.run = r.id)
    AND NOT EXISTS (SELECT 1 FROM exceptions e WHERE e.run = r.id
        AND e.state IN ('open', 'assigned', 'waiting', 'resubmitted'))
    AND NOT EXISTS (SELECT 1 FROM runs k WHERE k.parent = r.id
        AND k.state NOT IN ('completed', 'faulted', 'cancelled'))";

/// Asks all of it.
pub(crate) fn rows(disk: &Disk, path: &Path) -> Result<Rows, StoreError> {
    let db = look(disk, path)?;
    let mut check = AuditCheck::begin();
    let chain = loop {
        if let Some(verdict) = db.read(|c| check.step(c, CHAIN_ROWS))? {
            break verdict;
        }
    };
    let (exceptions, groups) = db.read(groups)?;
    let mut columns = Vec::new();
    for (number, (table, name, column, place)) in COLUMNS.iter().enumerate() {
        let sql = format!("SELECT {name} FROM {table} WHERE {column} IS NOT row ->> '{place}'");
        let ids = db.read(|c| texts(c, &sql))?;
        if !ids.is_empty() {
            columns.push((Column(number), ids));
        }
    }
    let mut strays = Vec::new();
    for (what, sql) in STRAYS {
        let ids = db.read(|c| texts(c, sql))?;
        if !ids.is_empty() {
            strays.push((what, ids));
        }
    }
    let waiting = "SELECT count(*) FROM runs WHERE state = 'waiting'";
    let waiting = db.read(|c| Ok(c.query_row(waiting, [], |row| row.get(0))?))?;
    let stranded = db.read(|c| texts(c, STRANDED))?;
    let sealed = db.read(|c| super::sealed(c, &Which::default()))?;
    let mut read: Vec<(String, Position)> = db
        .read(super::rule_states)?
        .into_iter()
        .map(|row| (format!("the rule {} of {}", row.rule, row.asset), row.position))
        .collect();
    read.extend(sealed.place.map(|place| ("the historian".to_owned(), place)));
    Ok(Rows { chain, exceptions, groups, columns, strays, waiting, stranded, sealed, read })
}

/// The files that are listed.
pub(crate) fn sealed_of(disk: &Disk, path: &Path) -> Result<Sealed, StoreError> {
    look(disk, path)?.read(|c| super::sealed(c, &Which::default()))
}

fn look(disk: &Disk, path: &Path) -> Result<Db, StoreError> {
    match disk {
        Disk::System => Db::look(path),
        Disk::Simulated(process) => Ok(Db::simulated(process.clone(), Arc::default(), Box::new(|| false))),
    }
}

fn texts(c: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = c.prepare(sql)?;
    let found = statement.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// How many exceptions there are, and the groups that are not counted as they stand.
fn groups(c: &Connection) -> Result<(u64, Vec<String>), StoreError> {
    let transaction = c.unchecked_transaction()?;
    let mut counted: BTreeMap<String, GroupRow> = BTreeMap::new();
    let mut exceptions = 0;
    let mut statement = transaction.prepare("SELECT row FROM exceptions ORDER BY no")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row: ExceptionRow = parse("exceptions", column(row, 0)?)?;
        exceptions += 1;
        counted.entry(row.fingerprint.clone()).or_insert_with(|| GroupRow::of(&row)).join(&row);
    }
    let mut statement = transaction.prepare("SELECT fingerprint, row FROM exception_groups ORDER BY no")?;
    let mut rows = statement.query([])?;
    let mut wrong = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let kept = parse::<GroupRow>("exception_groups", column(row, 1)?).ok();
        let is_so = counted.remove(&name).zip(kept).is_some_and(|(so, kept)| numbers(&so) == numbers(&kept));
        if !is_so {
            wrong.push(name);
        }
    }
    wrong.extend(counted.into_keys());
    Ok((exceptions, wrong))
}

fn numbers(row: &GroupRow) -> ([u64; 8], &str) {
    let GroupRow { open, assigned, waiting, resubmitted, resolved, discarded, unfinished, count, .. } = *row;
    ([open, assigned, waiting, resubmitted, resolved, discarded, unfinished, count], &row.state)
}

/// The calls that a person is needed for and nobody is told of.
pub(crate) fn untold(c: &Connection) -> Result<Vec<CallRow>, StoreError> {
    let sql = "SELECT row FROM calls c WHERE state = 'parked' AND NOT EXISTS (SELECT 1 FROM exceptions e
        WHERE e.call = c.id AND e.state IN ('open', 'assigned', 'waiting', 'resubmitted')) ORDER BY no";
    many(c, "calls", sql, params![])
}

/// Changes rows from outside, as no part of the store would.
#[cfg(test)]
pub(crate) fn spoil(path: &Path, sql: &str) {
    let c = super::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    assert!(c.execute(sql, []).unwrap() > 0, "{sql}");
}
