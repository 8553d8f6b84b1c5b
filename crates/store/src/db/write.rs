//! How each write becomes SQL, inside the one writer's transaction.

use super::{Committed, audit, exceptions, objects, watch};
use crate::{
    StoreError,
    rows::{
        AttemptRow, CallRow, ContractRow, Evidence, GapRow, IntakeRow, QuarantineRow, RunRow, RunState, TaskRow, Write,
    },
};
use andon_model::{AssetName, Event, SignalName, SignalNo};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use serde::Serialize;
use serde_json::json;
use std::io::Write as _;

/// Rows that one write removes at most.
const REMOVED_ROWS_MAX: u32 = 1_000;

/// Applies the writes in order; the caller's savepoint undoes them when one fails.
pub(crate) fn apply(connection: &Connection, writes: &[Write]) -> Result<Committed, StoreError> {
    let mut committed = Committed::default();
    for write in writes {
        one(connection, write, &mut committed)?;
    }
    Ok(committed)
}

fn one(connection: &Connection, write: &Write, committed: &mut Committed) -> Result<(), StoreError> {
    match write {
        Write::Event(row, evidence) => {
            let (sequence, new) = event(connection, row, evidence.as_deref())?;
            committed.events.push((row.id, sequence, new));
            Ok(())
        }
        Write::Report(row, evidence, interval) => {
            super::confirmations::report(connection, row, evidence.as_deref(), *interval, committed)
        }
        Write::RuleState(row) => run_sql(
            connection,
            "INSERT INTO rule_states (rule, asset, row) VALUES (?1, ?2, ?3)
             ON CONFLICT (rule, asset) DO UPDATE SET row = excluded.row",
            params![row.rule.as_str(), row.asset.as_str(), text(row)?],
        ),
        Write::Cursor(name, place) => run_sql(
            connection,
            "INSERT INTO cursors (name, place) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET place = excluded.place",
            params![name, number(*place)?],
        ),
        Write::Run(row) => run(connection, row),
        Write::StartRun(row) => {
            committed.runs.push((row.id, start_run(connection, row)?));
            Ok(())
        }
        Write::Task(row) => task(connection, row),
        Write::Call(row) => call(connection, row),
        Write::Attempt(row) => attempt(connection, row),
        Write::Exception(row) => exceptions::write(connection, row),
        Write::ExceptionEdit(row) => exceptions::edit(connection, row),
        Write::ExceptionState(id, state) => exceptions::state(connection, *id, *state),
        Write::ExceptionChange(change) => {
            committed.changed.push((change.id, exceptions::change(connection, change)?));
            Ok(())
        }
        Write::CountGroups => exceptions::count_groups(connection),
        Write::Audit(row) => audit::write(connection, row),
        Write::Notice(row) => watch::notice(connection, row),
        Write::System(row) => watch::system(connection, row),
        Write::InProcess(row) => watch::in_process(connection, row),
        Write::InProcessRemove(part, item) => {
            run_sql(connection, "DELETE FROM in_process WHERE part = ?1 AND item = ?2", params![part, item])
        }
        Write::Quarantine(row) => quarantine(connection, row),
        Write::Contract(row) => contract(connection, row),
        Write::Gap(row) => gap(connection, row),
        Write::Source(row) => run_sql(
            connection,
            "INSERT INTO sources (source, row) VALUES (?1, ?2) ON CONFLICT (source) DO UPDATE SET row = excluded.row",
            params![row.source.as_str(), text(row)?],
        ),
        Write::Intake(row) => intake(connection, row),
        Write::IntakeRemove(source, of) => {
            run_sql(connection, "DELETE FROM intakes WHERE source = ?1 AND of = ?2", params![source.as_str(), of])
        }
        Write::IntakesBefore(source, of, time) => run_sql(
            connection,
            "DELETE FROM intakes WHERE no IN (
                 SELECT no FROM intakes
                 WHERE source = ?1 AND updated < ?2 AND open = 0 AND substr(of, 1, length(?4)) = ?4
                 ORDER BY updated LIMIT ?3
             )",
            params![source.as_str(), time.0, REMOVED_ROWS_MAX, of],
        ),
        Write::ContextRevision(row) => {
            committed.context = Some(objects::revision(connection, row)?);
            Ok(())
        }
        Write::Object(row) => objects::write_object(connection, row, committed),
        Write::ForgetRevisions(revision, time) => objects::forget_revisions(connection, *revision, *time),
        Write::Retain(row) => super::retained::retain(connection, row),
        Write::Listen(run, rows) => super::waits::listen(connection, *run, rows),
        Write::Gather(key, slot, sequence, waits) => super::waits::gather(connection, key, (*slot, *sequence), *waits),
        Write::Schedule(row) => super::waits::put_schedule(connection, row),
        Write::ScheduleRemove(site, workflow) => run_sql(
            connection,
            "DELETE FROM schedules WHERE site = ?1 AND workflow = ?2",
            params![site.as_str(), workflow.as_str()],
        ),
        Write::Restore(row) => super::restores::write(connection, row),
        Write::QuarantineRemove(no) => {
            run_sql(connection, "DELETE FROM quarantine WHERE no = ?1", params![number(*no)?])
        }
    }
}

/// An interval in which samples may be missing; the same one twice is one.
pub(crate) fn gap(connection: &Connection, row: &GapRow) -> Result<(), StoreError> {
    run_sql(
        connection,
        "INSERT OR IGNORE INTO gaps (source, since, until, reason, row) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![row.source.as_str(), row.from.0, row.to.0, row.reason, text(row)?],
    )
}

fn intake(connection: &Connection, row: &IntakeRow) -> Result<(), StoreError> {
    run_sql(
        connection,
        "INSERT INTO intakes (source, of, epoch, place, open, updated, row) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (source, of) DO UPDATE SET epoch = excluded.epoch, place = excluded.place,
             open = excluded.open, updated = excluded.updated, row = excluded.row",
        params![
            row.source.as_str(),
            row.of,
            row.position.epoch,
            number(row.position.offset)?,
            row.open,
            row.updated.0,
            row.state.to_string()
        ],
    )
}

/// The number of a signal; a new one follows the highest.
pub(crate) fn signal(connection: &Connection, asset: &AssetName, signal: &SignalName) -> Result<SignalNo, StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO signals (asset, signal) VALUES (?1, ?2)")?
        .execute(params![asset.as_str(), signal.as_str()])?;
    let number: u32 = connection
        .prepare_cached("SELECT no FROM signals WHERE asset = ?1 AND signal = ?2")?
        .query_row(params![asset.as_str(), signal.as_str()], |row| row.get(0))?;
    Ok(SignalNo(number))
}

pub(crate) fn run_sql(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn text<T: Serialize>(row: &T) -> Result<String, StoreError> {
    serde_json::to_string(row).map_err(|e| StoreError::Refused(format!("the row cannot be written as JSON: {e}")))
}

/// `SQLite` counts in signed numbers.
pub(crate) fn number(place: u64) -> Result<i64, StoreError> {
    i64::try_from(place).map_err(|_| StoreError::Refused(format!("the number {place} is larger than 2^63")))
}

pub(super) fn site(connection: &Connection, site: &str) -> Result<(), StoreError> {
    run_sql(connection, "INSERT OR IGNORE INTO sites (site) VALUES (?1)", params![site])
}

pub(super) fn event(
    connection: &Connection,
    event: &Event,
    evidence: Option<&Evidence>,
) -> Result<(u64, bool), StoreError> {
    let id = event.id.to_string();
    let known: Option<u64> = connection
        .prepare_cached("SELECT sequence FROM events WHERE site IN (SELECT site FROM sites) AND id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    if let Some(sequence) = known {
        return Ok((sequence, false));
    }
    site(connection, event.site.as_str())?;
    let sequence = super::read::last_sequence(connection)? + 1;
    run_sql(
        connection,
        "INSERT INTO events (sequence, site, id, type, subject, key, time, recorded, correlation, row)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            number(sequence)?,
            event.site.as_str(),
            id,
            event.kind,
            event.subject,
            event.key,
            event.time.0,
            event.recorded.0,
            event.correlation.to_string(),
            event.to_json(None).to_string()
        ],
    )?;
    if let Some(evidence) = evidence {
        run_sql(
            connection,
            "INSERT INTO evidence (sequence, row) VALUES (?1, ?2)",
            params![number(sequence)?, text(evidence)?],
        )?;
    }
    Ok((sequence, true))
}

/// A run that can go on is due since it last went on; one that waits, at its time.
fn due(row: &RunRow) -> Option<i64> {
    match row.state {
        RunState::Running => Some(row.updated.0),
        RunState::Waiting => row.wake.map(|time| time.0),
        RunState::Completed | RunState::Faulted | RunState::Cancelled | RunState::Queued | RunState::Held => None,
    }
}

/// Most steps of a run leave its state and its time as they are: then no index is touched.
fn run(connection: &Connection, row: &RunRow) -> Result<(), StoreError> {
    let text = text(row)?;
    let (site_, id, state, due) = (row.site.as_str(), row.id.to_string(), row.state.word(), due(row));
    let same = "UPDATE runs SET row = ?5 WHERE site = ?1 AND id = ?2 AND state = ?3 AND due IS ?4";
    if connection.prepare_cached(same)?.execute(params![site_, id, state, due, text])? > 0 {
        return Ok(());
    }
    if row.state.has_ended() {
        super::waits::ended(connection, row.id)?;
    }
    let other = "UPDATE runs SET state = ?3, due = ?4, row = ?5 WHERE site = ?1 AND id = ?2";
    if connection.prepare_cached(other)?.execute(params![site_, id, state, due, text])? > 0 {
        return Ok(());
    }
    put_run(
        connection,
        row,
        &text,
        "INSERT INTO runs (site, id, workflow, event, state, due, row, parent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .map(drop)
}

/// Whether the run is new.
fn start_run(connection: &Connection, row: &RunRow) -> Result<bool, StoreError> {
    put_run(
        connection,
        row,
        &text(row)?,
        "INSERT INTO runs (site, id, workflow, event, state, due, row, parent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (site, id) DO NOTHING",
    )
}

fn put_run(connection: &Connection, row: &RunRow, text: &str, sql: &str) -> Result<bool, StoreError> {
    site(connection, row.site.as_str())?;
    let changed = connection.prepare_cached(sql)?.execute(params![
        row.site.as_str(),
        row.id.to_string(),
        row.workflow,
        row.event.map(|id| id.to_string()),
        row.state.word(),
        due(row),
        text,
        row.parent.as_ref().map(|parent| parent.run.to_string())
    ])?;
    Ok(changed > 0)
}

fn task(connection: &Connection, row: &TaskRow) -> Result<(), StoreError> {
    let run = row.run.to_string();
    let inserted = connection
        .prepare_cached(
            "INSERT INTO tasks (site, run, pointer, iteration, row)
             VALUES ((SELECT site FROM runs WHERE site IN (SELECT site FROM sites) AND id = ?1),
                 (SELECT no FROM runs WHERE site IN (SELECT site FROM sites) AND id = ?1), ?2, ?3, ?4)",
        )?
        .execute(params![run, row.pointer, row.iteration, text(row)?]);
    match inserted {
        Ok(_) => return Ok(()),
        Err(error) if !is_constraint(&error) => return Err(error.into()),
        Err(_) => {}
    }
    Err(StoreError::Refused(if super::read::run(connection, row.run)?.is_none() {
        format!("the task {} belongs to the run {run}, which does not exist; write the run first", row.pointer)
    } else {
        format!(
            "the task {} (iteration {:?}) of the run {run} is completed already; a task completes once",
            row.pointer, row.iteration
        )
    }))
}

/// Whether a row was refused for what it says: its site is not known, or it is there already.
fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

/// What makes a call the same call never changes: only what does is written again, with its indexes.
fn call(connection: &Connection, row: &CallRow) -> Result<(), StoreError> {
    let (site_, id, text) = (row.site.as_str(), row.id.to_string(), text(row)?);
    let system = row.system.as_ref().map(andon_model::Name::as_str);
    let (state, due) = (row.state.word(), row.due.map(|time| time.0));
    let known = "UPDATE calls SET capability = ?3, system = ?4, state = ?5, document = ?6, due = ?7, row = ?8
                 WHERE site = ?1 AND id = ?2";
    let values = params![site_, id, row.capability, system, state, row.document, due, text];
    if connection.prepare_cached(known)?.execute(values)? > 0 {
        return Ok(());
    }
    let new = "INSERT INTO calls (site, id, run, capability, system, state, document, due, row)
               VALUES (?1, ?2, (SELECT no FROM runs WHERE site = ?1 AND id = ?9), ?3, ?4, ?5, ?6, ?7, ?8)";
    let run = row.run.to_string();
    let values = params![site_, id, row.capability, system, state, row.document, due, text, run];
    match connection.prepare_cached(new)?.execute(values) {
        Ok(_) => Ok(()),
        Err(error) if !is_constraint(&error) => Err(error.into()),
        Err(_) => Err(StoreError::Refused(format!(
            "the call {id} belongs to the run {run}, which does not exist at {site_}; write the run first"
        ))),
    }
}

fn attempt(connection: &Connection, row: &AttemptRow) -> Result<(), StoreError> {
    let call = row.call.to_string();
    // A subquery and not a select: the latter would copy every page it touches, in case it inserts more rows than one.
    let written = connection
        .prepare_cached(
            "INSERT INTO attempts (site, call, number, system, class, row)
             VALUES ((SELECT site FROM calls WHERE site IN (SELECT site FROM sites) AND id = ?1),
                 (SELECT no FROM calls WHERE site IN (SELECT site FROM sites) AND id = ?1), ?2, ?3, ?4, ?5)
             ON CONFLICT (site, call, number) DO UPDATE SET class = excluded.class, row = excluded.row,
                 system = excluded.system",
        )?
        .execute(params![
            call,
            row.number,
            row.system.as_str(),
            row.outcome.as_ref().map(|outcome| outcome.class.word()),
            text(row)?
        ]);
    match written {
        Ok(_) => return Ok(()),
        Err(error) if !is_constraint(&error) => return Err(error.into()),
        Err(_) => {}
    }
    Err(StoreError::Refused(format!(
        "attempt {} belongs to the call {call}, which does not exist; write the call first",
        row.number
    )))
}

fn quarantine(connection: &Connection, row: &QuarantineRow) -> Result<(), StoreError> {
    let mut shown = json!({
        "exception": row.exception,
        "received": row.received,
        "source": row.source,
        "topic": row.topic,
        "size": row.bytes.len(),
        "detail": row.detail,
    });
    // Rows of earlier versions do not say it, and are taken as not retained.
    if let (true, Some(shown)) = (row.retained, shown.as_object_mut()) {
        shown.insert("retained".into(), true.into());
    }
    run_sql(
        connection,
        "INSERT INTO quarantine (exception, received, source, topic, detail, row, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.exception.to_string(),
            row.received.0,
            row.source.as_str(),
            row.topic,
            row.detail,
            shown.to_string(),
            row.bytes
        ],
    )
}

fn contract(connection: &Connection, row: &ContractRow) -> Result<(), StoreError> {
    let shown = json!({
        "revision": row.revision,
        "activated": row.activated,
        "files": row.files.keys().collect::<Vec<_>>(),
    });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let files = gzip.write_all(text(&row.files)?.as_bytes()).and_then(|()| gzip.finish());
    let files = files.map_err(|e| StoreError::Refused(format!("the contract cannot be compressed: {e}")))?;
    run_sql(connection, "UPDATE contracts SET active = 0 WHERE active = 1", params![])?;
    run_sql(
        connection,
        "INSERT INTO contracts (revision, activated, active, row, files) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT (revision) DO UPDATE SET activated = excluded.activated, active = 1, row = excluded.row,
             files = excluded.files",
        params![row.revision, row.activated.0, shown.to_string(), files],
    )
}
