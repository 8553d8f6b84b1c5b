//! What tells of events, runs and calls together, at one instant: the terms of equations that must hold.

use crate::{Store, StoreError, db};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Rows that are committed together, read together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// The highest order number of an event.
    pub last: u64,
    /// All readers by name, with what they count of their own.
    pub cursors: BTreeMap<String, u64>,
    /// Runs that an event has started.
    pub runs: u64,
    /// Events that wait for others with which they start a run, each once for every workflow it waits for.
    pub gathered: u64,
    /// The highest number a call was given: they are given one after the other, and no call is ever removed.
    pub made: u64,
    /// Calls by state.
    pub calls: BTreeMap<String, u64>,
}

impl Store {
    /// What tells of events, runs and calls, at one instant.
    pub fn passed(&self) -> Result<Passed, StoreError> {
        self.ask(passed)
    }
}

fn passed(connection: &Connection) -> Result<Passed, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let number = |sql: &str| transaction.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0));
    let mut by_state = transaction.prepare_cached("SELECT state, count(*) FROM calls GROUP BY state")?;
    let calls = by_state.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(Passed {
        last: db::last_sequence(&transaction)?,
        cursors: db::cursors(&transaction)?.into_iter().collect(),
        runs: number("SELECT count(*) FROM runs WHERE event IS NOT NULL")?,
        gathered: number("SELECT count(*) FROM gathers")?,
        made: number("SELECT coalesce(max(no), 0) FROM calls")?,
        calls,
    })
}
