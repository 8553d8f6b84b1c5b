//! Rows for people: filtered, in pages, and counted.

use super::write::number;
use crate::StoreError;
use rusqlite::{Connection, types::Value as Sql};
use serde_json::Value as Json;
use std::{collections::BTreeMap, fmt::Write as _};

/// The most rows of a page.
pub(crate) const PAGE_ROWS_MAX: usize = 10_000;

/// Row numbers that are looked through in one read transaction, so that none lasts long.
const WINDOW_ROWS: u64 = 20_000;

/// Which rows are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Pairs of a field of the row's JSON (`a.b` for a field within) and the text its value must have.
    pub where_: Vec<(String, String)>,
    /// Go on behind this row number: [`Page::next`] of the page before.
    pub after: Option<u64>,
    /// The most rows; 0 stands for 100, more than 10,000 for 10,000.
    pub limit: usize,
    /// Oldest first instead of newest first.
    pub ascending: bool,
}

/// Rows of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The rows as JSON.
    pub rows: Vec<Json>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<u64>,
}

/// How a kind of rows is found in its table.
struct Kind {
    name: &'static str,
    table: &'static str,
    number: &'static str,
    json: &'static str,
    /// Fields with their column, or with a condition in which `?` is the value.
    columns: &'static [(&'static str, &'static str)],
}

/// Rows of a run, or a call, hold its number.
const OF_RUN: &str = "run = (SELECT no FROM runs WHERE site IN (SELECT site FROM sites) AND id = ?)";
const OF_CALL: &str = "call = (SELECT no FROM calls WHERE site IN (SELECT site FROM sites) AND id = ?)";
/// A call's id is its reference.
const OF_REFERENCE: &str = "id = 'ca_' || ?";

/// Whether somebody still has something to do about it: `yes` or `no`.
const IS_UNFINISHED: &str = "(state IN ('open', 'assigned', 'waiting', 'resubmitted')) = (? = 'yes')";

const KINDS: [Kind; 21] = [
    Kind {
        name: "events",
        table: "events",
        number: "sequence",
        json: "json_set(row, '$.sequence', printf('%020d', sequence))",
        columns: &[("id", "id"), ("type", "type"), ("subject", "subject"), ("site", "site"), ("partitionkey", "key")],
    },
    kind(
        "runs",
        "runs",
        &[("id", "id"), ("site", "site"), ("workflow", "workflow"), ("state", "state"), ("event", "event")],
    ),
    kind("tasks", "tasks", &[("site", "site"), ("run", OF_RUN), ("pointer", "pointer")]),
    kind(
        "calls",
        "calls",
        &[
            ("id", "id"),
            ("site", "site"),
            ("run", OF_RUN),
            ("reference", OF_REFERENCE),
            ("capability", "capability"),
            ("system", "system"),
            ("state", "state"),
            ("document", "document"),
        ],
    ),
    kind("attempts", "attempts", &[("site", "site"), ("call", OF_CALL), ("system", "system"), ("class", "class")]),
    kind(
        "exceptions",
        "exceptions",
        &[
            ("id", "id"),
            ("site", "site"),
            ("kind", "kind"),
            ("owner", "owner"),
            ("state", "state"),
            ("source", "source"),
            ("run", "run"),
            ("call", "call"),
            ("fingerprint", "fingerprint"),
            ("unfinished", IS_UNFINISHED),
        ],
    ),
    kind(
        "exception-groups",
        "exception_groups",
        &[("fingerprint", "fingerprint"), ("kind", "kind"), ("site", "site"), ("owner", "owner"), ("state", "state")],
    ),
    Kind {
        name: "audit",
        table: "audit",
        number: "no",
        json: "json_set(row, '$.number', no, '$.hash', hash)",
        columns: &[("actor", "actor"), ("act", "act"), ("subject", "subject")],
    },
    kind("notices", "notices", &[("id", "id"), ("team", "team"), ("state", "state")]),
    kind("systems", "systems", &[("system", "system")]),
    Kind {
        name: "quarantine",
        table: "quarantine",
        number: "no",
        json: "json_set(row, '$.number', no)",
        columns: &[("exception", "exception"), ("source", "source"), ("topic", "topic"), ("number", "no")],
    },
    kind("gaps", "gaps", &[("source", "source"), ("reason", "reason")]),
    kind("contracts", "contracts", &[("revision", "revision")]),
    Kind {
        name: "cursors",
        table: "cursors",
        number: "no",
        json: "json_object('name', name, 'place', place)",
        columns: &[("name", "name")],
    },
    kind("sources", "sources", &[("source", "source")]),
    Kind {
        name: "historian",
        table: "(SELECT * FROM files WHERE kind = 'samples')",
        number: "no",
        json: "json_object('path', 'historian/site=' || site || '/date=' || day || '/' || name, 'site', site, \
               'date', day, 'samples', rows, 'bytes', bytes)",
        columns: &[("site", "site"), ("date", "day")],
    },
    kind("rule-states", "rule_states", &[("rule", "rule"), ("asset", "asset")]),
    kind("objects", "(SELECT * FROM objects WHERE newest = 1)", OBJECT_COLUMNS),
    kind("object-versions", "objects", OBJECT_COLUMNS),
    Kind {
        name: "context-revisions",
        table: "context_revisions",
        number: "revision",
        json: "row",
        columns: &[("of", "of")],
    },
    Kind {
        name: "confirmations",
        table: "confirmations",
        number: "no",
        json: super::confirmations::ROW,
        columns: &[
            ("id", "id"),
            ("confirms", "event"),
            ("site", "site"),
            ("type", "type"),
            ("subject", "subject"),
            ("origin", "origin"),
        ],
    },
];

const OBJECT_COLUMNS: &[(&str, &str)] =
    &[("site", "site"), ("type", "type"), ("number", "number"), ("origin", "origin")];

const fn kind(name: &'static str, table: &'static str, columns: &'static [(&'static str, &'static str)]) -> Kind {
    Kind { name, table, number: "no", json: "row", columns }
}

/// The question of one page, ready to be asked window by window.
pub(crate) struct Listing {
    sql: String,
    bounds: String,
    values: Vec<Sql>,
    query: Query,
    limit: usize,
    /// Up to here all rows were looked at.
    scanned: Option<u64>,
    /// The last row of the page.
    last: Option<u64>,
    page: Page,
}

impl Listing {
    /// Checks the kind and the fields.
    pub(crate) fn new(kind: &str, query: &Query) -> Result<Self, StoreError> {
        let Some(kind) = KINDS.iter().find(|known| known.name == kind) else {
            let known: Vec<&str> = KINDS.iter().map(|known| known.name).collect();
            return Err(StoreError::Refused(format!("there is no list of {kind:?}; there is {}", known.join(", "))));
        };
        let Kind { table, number, json, .. } = kind;
        let mut sql = format!("SELECT {number}, {json} FROM {table} WHERE {number} >= ?1 AND {number} <= ?2");
        let mut values = Vec::new();
        for (field, value) in &query.where_ {
            let known = kind.columns.iter().find(|(name, _)| name == field);
            let at = values.len() + 3;
            // Writing to a string cannot fail.
            let _ = match known {
                Some((_, column)) if column.contains('?') => {
                    write!(sql, " AND {}", column.replace('?', &format!("?{at}")))
                }
                Some((_, column)) => write!(sql, " AND {column} = ?{at}"),
                None => {
                    write!(sql, " AND (({json} ->> ?{path}) = ?{at} OR ({json} -> ?{path}) = ?{at})", path = at + 1)
                }
            };
            values.push(Sql::Text(value.clone()));
            if known.is_none() {
                values.push(Sql::Text(path(field)?));
            }
        }
        let order = if query.ascending { "ASC" } else { "DESC" };
        let _ = write!(sql, " ORDER BY {number} {order} LIMIT {}", PAGE_ROWS_MAX + 1);
        Ok(Self {
            sql,
            bounds: format!("SELECT min({number}), max({number}) FROM {table}"),
            values,
            limit: if query.limit == 0 { 100 } else { query.limit.min(PAGE_ROWS_MAX) },
            query: query.clone(),
            scanned: query.after,
            last: None,
            page: Page::default(),
        })
    }

    /// Looks through one window; the page once it is full or nothing is left.
    pub(crate) fn step(&mut self, connection: &Connection) -> Result<Option<Page>, StoreError> {
        let (first, last): (Option<u64>, Option<u64>) =
            connection.prepare_cached(&self.bounds)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(Some(std::mem::take(&mut self.page))) };
        let (low, high) = if self.query.ascending {
            let low = self.scanned.map_or(first, |scanned| scanned.saturating_add(1)).max(first);
            (low, low.saturating_add(WINDOW_ROWS - 1).min(last))
        } else {
            let high = self.scanned.map_or(last, |scanned| scanned.saturating_sub(1)).min(last);
            (high.saturating_sub(WINDOW_ROWS - 1).max(first), high)
        };
        if low > high {
            return Ok(Some(std::mem::take(&mut self.page)));
        }
        let mut values = vec![Sql::Integer(number(low)?), Sql::Integer(number(high)?)];
        values.extend(self.values.iter().cloned());
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if self.page.rows.len() == self.limit {
                self.page.next = self.last;
                return Ok(Some(std::mem::take(&mut self.page)));
            }
            let text = row.get_ref(1)?.as_str().map_err(damaged)?;
            self.page.rows.push(serde_json::from_str(text).map_err(damaged)?);
            self.last = Some(row.get(0)?);
        }
        self.scanned = Some(if self.query.ascending { high } else { low });
        Ok(None)
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(std::path::Path::new("andon.db"), 0, format!("a row does not read back: {error}"))
}

/// A field as a path of `SQLite`'s JSON functions.
fn path(field: &str) -> Result<String, StoreError> {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_#".contains(c));
    if !field.split('.').all(plain) {
        return Err(StoreError::Refused(format!(
            "{field:?} is no field of a row; a field is written like `state` or `data.change`"
        )));
    }
    Ok(field.split('.').fold("$".to_owned(), |path, part| format!("{path}.\"{part}\"")))
}

/// Rows by kind and state.
pub(crate) fn counts(connection: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut counts = BTreeMap::new();
    for (kind, of) in [
        ("events", "SELECT '', count(*) FROM events"),
        ("runs", "SELECT state, count(*) FROM runs GROUP BY state"),
        ("tasks", "SELECT '', count(*) FROM tasks"),
        ("calls", "SELECT state, count(*) FROM calls GROUP BY state"),
        ("attempts", "SELECT coalesce(class, 'open'), count(*) FROM attempts GROUP BY class"),
        ("exceptions", "SELECT state, count(*) FROM exceptions GROUP BY state"),
        ("quarantine", "SELECT '', count(*) FROM quarantine"),
        ("audit", "SELECT '', count(*) FROM audit"),
        ("notices", "SELECT state, count(*) FROM notices GROUP BY state"),
        ("gaps", "SELECT '', count(*) FROM gaps"),
        ("contracts", "SELECT '', count(*) FROM contracts"),
        ("signals", "SELECT '', count(*) FROM signals"),
        ("objects", "SELECT type, count(*) FROM objects WHERE newest = 1 GROUP BY type"),
        ("context-revisions", "SELECT '', count(*) FROM context_revisions"),
        ("confirmations", "SELECT '', count(*) FROM confirmations"),
    ] {
        let mut statement = connection.prepare_cached(of)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let state: String = row.get(0)?;
            let name = if state.is_empty() { kind.to_owned() } else { format!("{kind}.{state}") };
            counts.insert(name, row.get(1)?);
        }
    }
    Ok(counts)
}
