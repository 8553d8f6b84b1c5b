//! The typed questions to the database.

use super::write::number;
use crate::{
    StoreError,
    rows::{
        AttemptRow, CallRow, ContractRow, DueRun, Evidence, IntakeRow, QuarantineRow, RuleStateRow, RunRow, RunState,
        SourceRow, StoredEvent, TaskRow,
    },
};
use andon_model::{AssetName, CallId, Event, EventId, ExceptionId, Name, Position, RunId, SignalName, SignalNo, Time};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, io::Read as _, path::Path};

/// The most bytes a contract's files may have once unpacked.
const CONTRACT_BYTES_MAX: u64 = 256 << 20;

/// A row that does not read back.
pub(super) fn damaged(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(Path::new("andon.db"), 0, format!("a row of {what} does not read back: {error}"))
}

pub(super) fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| damaged(what, e))
}

/// All rows of a question whose first column is the row as JSON.
pub(super) fn many<T: DeserializeOwned>(
    connection: &Connection,
    what: &str,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(parse(what, column(row, 0)?)?);
    }
    Ok(found)
}

pub(super) fn one<T: DeserializeOwned>(
    connection: &Connection,
    what: &str,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Option<T>, StoreError> {
    Ok(many(connection, what, sql, values)?.pop())
}

pub(super) fn column<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a str, StoreError> {
    row.get_ref(index)?.as_str().map_err(|e| damaged("text", e))
}

pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn stored(sequence: u64, text: &str) -> Result<StoredEvent, StoreError> {
    let event = Event::from_json(&parse("events", text)?).map_err(|e| damaged("events", e))?;
    Ok(StoredEvent { sequence, event })
}

pub(crate) fn last_sequence(connection: &Connection) -> Result<u64, StoreError> {
    let last: Option<u64> =
        connection.prepare_cached("SELECT max(sequence) FROM events")?.query_row([], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

pub(crate) fn events_after(c: &Connection, sequence: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT sequence, row FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2")?;
    let mut rows = statement.query(params![number(sequence)?, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored(row.get(0)?, column(row, 1)?)?);
    }
    Ok(found)
}

/// The events of a story in their order. The one that is the story's name is found by its id, the others by the index
/// that leaves such events out.
pub(crate) fn story(c: &Connection, correlation: EventId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT sequence, row FROM events WHERE site IN (SELECT site FROM sites) AND id = ?1
         UNION
         SELECT sequence, row FROM events
         WHERE site IN (SELECT site FROM sites) AND correlation = ?1 AND correlation <> id
         ORDER BY sequence LIMIT ?2",
    )?;
    let mut rows = statement.query(params![correlation.to_string(), count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored(row.get(0)?, column(row, 1)?)?);
    }
    Ok(found)
}

pub(crate) fn event(c: &Connection, id: EventId) -> Result<Option<(StoredEvent, Option<Evidence>)>, StoreError> {
    let found: Option<(u64, String)> = c
        .prepare_cached("SELECT sequence, row FROM events WHERE site IN (SELECT site FROM sites) AND id = ?1")?
        .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((sequence, text)) = found else { return Ok(None) };
    let evidence = one(c, "evidence", "SELECT row FROM evidence WHERE sequence = ?1", params![number(sequence)?])?;
    Ok(Some((stored(sequence, &text)?, evidence)))
}

pub(crate) fn cursor(c: &Connection, name: &str) -> Result<Option<u64>, StoreError> {
    Ok(c.prepare_cached("SELECT place FROM cursors WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?)
}

pub(crate) fn cursors(c: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = c.prepare_cached("SELECT name, place FROM cursors ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn rule_states(c: &Connection) -> Result<Vec<RuleStateRow>, StoreError> {
    many(c, "rule_states", "SELECT row FROM rule_states ORDER BY rule, asset", params![])
}

pub(crate) fn run(c: &Connection, id: RunId) -> Result<Option<RunRow>, StoreError> {
    let sql = "SELECT row FROM runs WHERE site IN (SELECT site FROM sites) AND id = ?1";
    one(c, "runs", sql, params![id.to_string()])
}

pub(crate) fn runs_due(c: &Connection, now: Time, limit: usize) -> Result<Vec<DueRun>, StoreError> {
    // Two looks into one index: a run that can go on is due whatever its time says.
    let running = "SELECT id, NULL FROM runs WHERE state = 'running' AND due <= ?1 ORDER BY due, no LIMIT ?2";
    let waiting = "SELECT id, due FROM runs WHERE state = 'waiting' AND due <= ?1 ORDER BY due, no LIMIT ?2";
    let mut found = Vec::new();
    for (sql, until) in [(running, Time::MAX), (waiting, now)] {
        let mut statement = c.prepare_cached(sql)?;
        let mut rows = statement.query(params![until.0, count(limit - found.len())])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let id = id.parse().map_err(|e| damaged("runs", e))?;
            found.push(DueRun { id, wake: row.get::<_, Option<i64>>(1)?.map(Time) });
        }
    }
    Ok(found)
}

/// The runs that a run has started, in their order.
pub(crate) fn runs_of_parent(c: &Connection, parent: RunId) -> Result<Vec<RunRow>, StoreError> {
    many(c, "runs", "SELECT row FROM runs WHERE parent = ?1 ORDER BY no", params![parent.to_string()])
}

/// The runs of a workflow that wait for a place, in their order.
pub(crate) fn runs_queued(c: &Connection, workflow: &str, limit: usize) -> Result<Vec<RunRow>, StoreError> {
    let sql = "SELECT row FROM runs WHERE workflow = ?1 AND state = 'queued' ORDER BY no LIMIT ?2";
    many(c, "runs", sql, params![workflow, count(limit)])
}

/// The workflows of the runs in a state, with how many there are.
pub(crate) fn runs_in(c: &Connection, state: RunState) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT workflow, count(*) FROM runs WHERE state = ?1 GROUP BY workflow ORDER BY workflow";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map([state.word()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The runs of a workflow that are held, in their order.
pub(crate) fn runs_held(c: &Connection, workflow: &str, limit: usize) -> Result<Vec<RunId>, StoreError> {
    let sql = "SELECT row FROM runs WHERE state = 'held' AND workflow = ?1 ORDER BY no LIMIT ?2";
    let rows: Vec<RunRow> = many(c, "runs", sql, params![workflow, count(limit)])?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

pub(crate) fn next_wake(c: &Connection) -> Result<Option<Time>, StoreError> {
    let earliest: Option<i64> = c
        .prepare_cached(
            "SELECT min(due) FROM (SELECT min(due) AS due FROM runs WHERE state = 'waiting' AND due IS NOT NULL
             UNION ALL SELECT min(due) FROM calls WHERE state = 'waiting' AND due IS NOT NULL)",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(earliest.map(Time))
}

/// A completed task.
pub(crate) fn task(c: &Connection, run: RunId, at: (&str, &str)) -> Result<Option<TaskRow>, StoreError> {
    let sql = "SELECT tasks.row FROM runs JOIN tasks ON tasks.site = runs.site AND tasks.run = runs.no
               WHERE runs.site IN (SELECT site FROM sites) AND runs.id = ?1 AND pointer = ?2 AND iteration = ?3";
    one(c, "tasks", sql, params![run.to_string(), at.0, at.1])
}

pub(crate) fn tasks(c: &Connection, run: RunId) -> Result<Vec<TaskRow>, StoreError> {
    let sql = "SELECT tasks.row FROM runs JOIN tasks ON tasks.site = runs.site AND tasks.run = runs.no
               WHERE runs.site IN (SELECT site FROM sites) AND runs.id = ?1 ORDER BY tasks.no";
    many(c, "tasks", sql, params![run.to_string()])
}

pub(crate) fn call(c: &Connection, id: CallId) -> Result<Option<CallRow>, StoreError> {
    let sql = "SELECT row FROM calls WHERE site IN (SELECT site FROM sites) AND id = ?1";
    one(c, "calls", sql, params![id.to_string()])
}

pub(crate) fn calls_of(c: &Connection, run: RunId) -> Result<Vec<CallRow>, StoreError> {
    let sql = "SELECT calls.row FROM runs JOIN calls ON calls.site = runs.site AND calls.run = runs.no
               WHERE runs.site IN (SELECT site FROM sites) AND runs.id = ?1 ORDER BY calls.no";
    many(c, "calls", sql, params![run.to_string()])
}

pub(crate) fn calls_by_document(c: &Connection, document: &str) -> Result<Vec<CallRow>, StoreError> {
    let sql = "SELECT row FROM calls WHERE site IN (SELECT site FROM sites) AND document = ?1 ORDER BY no";
    many(c, "calls", sql, params![document])
}

pub(crate) fn calls_due(c: &Connection, now: Time, limit: usize) -> Result<Vec<CallRow>, StoreError> {
    let sql = "SELECT row FROM calls WHERE state = 'waiting' AND due <= ?1 ORDER BY due, no LIMIT ?2";
    many(c, "calls", sql, params![now.0, count(limit)])
}

pub(crate) fn calls_in_flight(c: &Connection) -> Result<Vec<CallRow>, StoreError> {
    many(c, "calls", "SELECT row FROM calls WHERE state = 'in-flight' ORDER BY no", params![])
}

pub(crate) fn attempts(c: &Connection, call: CallId) -> Result<Vec<AttemptRow>, StoreError> {
    let sql = "SELECT attempts.row FROM calls JOIN attempts ON attempts.site = calls.site AND attempts.call = calls.no
               WHERE calls.site IN (SELECT site FROM sites) AND calls.id = ?1 ORDER BY number";
    many(c, "attempts", sql, params![call.to_string()])
}

pub(crate) fn runs_of_event(c: &Connection, event: EventId) -> Result<Vec<RunRow>, StoreError> {
    let sql = "SELECT row FROM runs WHERE site IN (SELECT site FROM sites) AND event = ?1 ORDER BY no";
    many(c, "runs", sql, params![event.to_string()])
}

pub(crate) fn quarantine(c: &Connection, of: ExceptionId, limit: usize) -> Result<Vec<QuarantineRow>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT received, source, topic, bytes, detail, ifnull(row ->> 'retained', 0) FROM quarantine
         WHERE exception = ?1 ORDER BY no DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![of.to_string(), count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(QuarantineRow {
            exception: of,
            received: Time(row.get(0)?),
            source: Name::new(column(row, 1)?).map_err(|e| damaged("quarantine", e))?,
            topic: row.get(2)?,
            bytes: row.get(3)?,
            detail: row.get(4)?,
            retained: row.get(5)?,
        });
    }
    Ok(found)
}

const QUARANTINED: &str = "SELECT no, exception, received, source, topic, bytes, detail, \
                           ifnull(row ->> 'retained', 0) FROM quarantine";

fn quarantined_row(row: &Row<'_>) -> Result<(u64, QuarantineRow), StoreError> {
    let row_ = QuarantineRow {
        exception: ExceptionId::parse(column(row, 1)?).map_err(|e| damaged("quarantine", e))?,
        received: Time(row.get(2)?),
        source: Name::new(column(row, 3)?).map_err(|e| damaged("quarantine", e))?,
        topic: row.get(4)?,
        bytes: row.get(5)?,
        detail: row.get(6)?,
        retained: row.get(7)?,
    };
    Ok((row.get(0)?, row_))
}

pub(crate) fn quarantined(
    c: &Connection,
    of: Option<ExceptionId>,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, QuarantineRow)>, StoreError> {
    let sql = format!("{QUARANTINED} WHERE (?1 IS NULL OR exception = ?1) AND no > ?2 ORDER BY no LIMIT ?3");
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params![of.map(|id| id.to_string()), number(after)?, count(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(quarantined_row(row)?);
    }
    Ok(found)
}

pub(crate) fn quarantined_message(c: &Connection, no: u64) -> Result<Option<QuarantineRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("{QUARANTINED} WHERE no = ?1"))?;
    let mut rows = statement.query(params![number(no)?])?;
    rows.next()?.map(|row| quarantined_row(row).map(|(_, row)| row)).transpose()
}

const INTAKES: &str = "SELECT source, of, epoch, place, open, updated, row FROM intakes";

fn intake_rows(c: &Connection, rest: &str, values: &[&dyn ToSql]) -> Result<Vec<IntakeRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("{INTAKES} {rest}"))?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(IntakeRow {
            source: Name::new(column(row, 0)?).map_err(|e| damaged("intakes", e))?,
            of: row.get(1)?,
            position: Position { epoch: row.get(2)?, offset: row.get(3)? },
            open: row.get(4)?,
            updated: Time(row.get(5)?),
            state: parse("intakes", column(row, 6)?)?,
        });
    }
    Ok(found)
}

pub(crate) fn intake(c: &Connection, source: &Name, of: &str) -> Result<Option<IntakeRow>, StoreError> {
    Ok(intake_rows(c, "WHERE source = ?1 AND of = ?2", params![source.as_str(), of])?.pop())
}

pub(crate) fn intakes(c: &Connection, source: &Name) -> Result<Vec<IntakeRow>, StoreError> {
    intake_rows(c, "WHERE source = ?1 ORDER BY no", params![source.as_str()])
}

/// The lowest place from which on an open intake needs the log.
pub(crate) fn oldest_intake(c: &Connection) -> Result<Option<Position>, StoreError> {
    Ok(intake_rows(c, "WHERE open = 1 ORDER BY epoch, place LIMIT 1", params![])?.pop().map(|row| row.position))
}

pub(crate) fn contract(c: &Connection, revision: &str) -> Result<Option<ContractRow>, StoreError> {
    contract_row(c, "SELECT revision, activated, files FROM contracts WHERE revision = ?1", params![revision])
}

pub(crate) fn active_contract(c: &Connection) -> Result<Option<ContractRow>, StoreError> {
    contract_row(c, "SELECT revision, activated, files FROM contracts WHERE active = 1", params![])
}

fn contract_row(c: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Option<ContractRow>, StoreError> {
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let packed = row.get_ref(2)?.as_blob().map_err(|e| damaged("contracts", e))?;
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(packed)
        .take(CONTRACT_BYTES_MAX)
        .read_to_string(&mut unpacked)
        .map_err(|e| damaged("contracts", e))?;
    let files: BTreeMap<String, String> = parse("contracts", &unpacked)?;
    Ok(Some(ContractRow { revision: row.get(0)?, activated: Time(row.get(1)?), files }))
}

pub(crate) fn source_rows(c: &Connection) -> Result<Vec<SourceRow>, StoreError> {
    many(c, "sources", "SELECT row FROM sources ORDER BY source", params![])
}

pub(crate) fn signals(c: &Connection) -> Result<Vec<(SignalNo, AssetName, SignalName)>, StoreError> {
    signals_from(c, SignalNo(0))
}

/// The signals with this number or a higher one.
pub(crate) fn signals_from(
    c: &Connection,
    from: SignalNo,
) -> Result<Vec<(SignalNo, AssetName, SignalName)>, StoreError> {
    let mut statement = c.prepare_cached("SELECT no, asset, signal FROM signals WHERE no >= ?1 ORDER BY no")?;
    let mut rows = statement.query([from.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let asset = AssetName::new(column(row, 1)?).map_err(|e| damaged("signals", e))?;
        let signal = SignalName::new(column(row, 2)?).map_err(|e| damaged("signals", e))?;
        found.push((SignalNo(row.get(0)?), asset, signal));
    }
    Ok(found)
}
