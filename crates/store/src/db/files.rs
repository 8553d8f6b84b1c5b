//! The historian's files in the database: listed, counted and changed together with the place that is sealed.

use super::write::{gap, number, run_sql};
use crate::{
    StoreError,
    historian::{
        Holdings,
        catalog::{Changes, FileRow, Kind, Sealed, Which},
        last,
        parquet::Facts,
    },
};
use andon_model::{AssetName, Name, Position, SignalNo, SiteName, Time};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::{collections::HashMap, fmt::Display, path::Path};

fn damaged(error: impl Display) -> StoreError {
    StoreError::corrupt(Path::new("andon.db"), 0, format!("a row of files does not read back: {error}"))
}

/// Applies what a step of the historian changed; the caller's savepoint undoes it when it fails.
pub(crate) fn change(connection: &Connection, changes: &Changes) -> Result<(), StoreError> {
    if let Some((from, to)) = changes.sealed {
        if place(connection)?.is_some_and(|place| place != from) || to < from {
            return Err(StoreError::Refused(format!(
                "the log cannot be sealed from {from} to {to}: it is sealed up to another place already"
            )));
        }
        run_sql(
            connection,
            "INSERT INTO sealed (no, epoch, place) VALUES (1, ?1, ?2)
             ON CONFLICT (no) DO UPDATE SET epoch = excluded.epoch, place = excluded.place",
            params![to.epoch, number(to.offset)?],
        )?;
        let names: HashMap<SignalNo, AssetName> =
            super::read::signals(connection)?.into_iter().map(|(number, asset, _)| (number, asset)).collect();
        last::keep(connection, &changes.newest, &|number| names.get(&number).cloned())?;
    }
    if let Some(to) = changes.missed {
        run_sql(
            connection,
            "INSERT INTO missed (no, epoch, place) VALUES (1, ?1, ?2)
             ON CONFLICT (no) DO UPDATE SET epoch = excluded.epoch, place = excluded.place",
            params![to.epoch, number(to.offset)?],
        )?;
    }
    for row in &changes.remove {
        let removed = connection
            .prepare_cached("DELETE FROM files WHERE kind = ?1 AND site = ?2 AND day = ?3 AND name = ?4")?
            .execute(params![row.kind.word(), row.site.as_str(), row.day, row.name])?;
        if removed != 1 {
            return Err(StoreError::Refused(format!("the file {} of {} is not listed", row.name, row.day)));
        }
    }
    for row in &changes.add {
        add(connection, row)?;
    }
    let reduced = changes.reduced.iter().map(|(name, samples)| ("reduced", name.as_str(), samples));
    let expired = changes.expired.iter().map(|(name, samples)| ("expired", name.as_str(), samples));
    let dropped = changes.dropped.iter().map(|(name, samples)| ("dropped", name.as_str(), samples));
    for (why, name, samples) in reduced.chain(expired).chain(dropped) {
        run_sql(
            connection,
            "INSERT INTO unkept (why, name, samples) VALUES (?1, ?2, ?3)
             ON CONFLICT (why, name) DO UPDATE SET samples = samples + excluded.samples",
            params![why, name, number(*samples)?],
        )?;
    }
    changes.gaps.iter().try_for_each(|row| gap(connection, row))
}

fn add(connection: &Connection, row: &FileRow) -> Result<(), StoreError> {
    let Facts { rows, bytes, first_time, last_time, newest_received, .. } = row.facts;
    let (first, last) = (row.facts.first_position, row.facts.last_position);
    run_sql(
        connection,
        "INSERT INTO files (kind, site, day, name, made, rows, bytes, first_time, last_time, newest_received,
             first_signal, last_signal, first_epoch, first_offset, last_epoch, last_offset)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        params![
            row.kind.word(),
            row.site.as_str(),
            row.day,
            row.name,
            row.made.0,
            number(rows)?,
            number(bytes)?,
            first_time.0,
            last_time.0,
            newest_received.0,
            &*row.facts.first_signal,
            &*row.facts.last_signal,
            first.epoch,
            number(first.offset)?,
            last.epoch,
            number(last.offset)?
        ],
    )
}

/// The place up to which the log is sealed; `None` before the first time.
pub(crate) fn place(c: &Connection) -> Result<Option<Position>, StoreError> {
    Ok(c.prepare_cached("SELECT epoch, place FROM sealed")?.query_row([], position).optional()?)
}

/// The place up to which it is counted what rules missed; `None` while they have missed nothing.
pub(crate) fn missed(c: &Connection) -> Result<Option<Position>, StoreError> {
    Ok(c.prepare_cached("SELECT epoch, place FROM missed")?.query_row([], position).optional()?)
}

fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position { epoch: row.get(0)?, offset: row.get(1)? })
}

/// What is sealed, at one instant: the place and the files, those that nothing of the question rules out.
pub(crate) fn sealed(c: &Connection, which: &Which<'_>) -> Result<Sealed, StoreError> {
    // Both questions see the same state.
    let transaction = c.unchecked_transaction()?;
    let place = place(&transaction)?;
    let at = which.position.map(|at| number(at.offset).map(|offset| (at.epoch, offset))).transpose()?;
    let mut statement = transaction.prepare_cached(
        "SELECT kind, site, day, name, made, rows, bytes, first_time, last_time, newest_received,
             first_signal, last_signal, first_epoch, first_offset, last_epoch, last_offset
         FROM files
         WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR (first_signal <= ?2 AND last_signal >= ?2))
             AND (?3 IS NULL OR last_time >= ?3) AND (?4 IS NULL OR first_time < ?4)
             AND (?5 IS NULL OR ((first_epoch, first_offset) <= (?5, ?6) AND (last_epoch, last_offset) >= (?5, ?6)))
         ORDER BY kind, site, day, first_epoch, first_offset, no",
    )?;
    let mut rows = statement.query(params![
        which.kind.map(Kind::word),
        which.signal,
        which.from.map(|time| time.0),
        which.to.map(|time| time.0),
        at.map(|(epoch, _)| epoch),
        at.map(|(_, offset)| offset)
    ])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        files.push(file(row)?);
    }
    Ok(Sealed { place, files })
}

fn file(row: &Row<'_>) -> Result<FileRow, StoreError> {
    let text = |index| row.get_ref(index)?.as_str().map_err(damaged);
    let word = text(0)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    Ok(FileRow {
        kind: kind.ok_or_else(|| damaged(format!("there is no kind {word:?}")))?,
        site: SiteName::new(text(1)?).map_err(damaged)?,
        day: row.get(2)?,
        name: row.get(3)?,
        made: Time(row.get(4)?),
        facts: Facts {
            rows: row.get(5)?,
            bytes: row.get(6)?,
            first_time: Time(row.get(7)?),
            last_time: Time(row.get(8)?),
            newest_received: Time(row.get(9)?),
            first_signal: text(10)?.into(),
            last_signal: text(11)?.into(),
            first_position: Position { epoch: row.get(12)?, offset: row.get(13)? },
            last_position: Position { epoch: row.get(14)?, offset: row.get(15)? },
        },
    })
}

/// How the historian stands. `start` is where sealing begins that has not begun yet.
pub(crate) fn holdings(c: &Connection, start: Position) -> Result<Holdings, StoreError> {
    let mut holdings = Holdings { sealed: start, ..Holdings::default() };
    let transaction = c.unchecked_transaction()?;
    if let Some(place) = place(&transaction)? {
        holdings.sealed = place;
    }
    let sums = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    (holdings.files, holdings.samples, holdings.bytes) = transaction
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE kind = 'samples'),
                 coalesce(sum(rows) FILTER (WHERE kind = 'samples'), 0), coalesce(sum(bytes), 0)
             FROM files",
        )?
        .query_row([], sums)?;
    let mut statement = transaction.prepare_cached("SELECT why, name, samples FROM unkept")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(1)?.as_str().map_err(damaged)?;
        let samples = row.get(2)?;
        match row.get_ref(0)?.as_str().map_err(damaged)? {
            "expired" => drop(holdings.expired.insert(SiteName::new(name).map_err(damaged)?, samples)),
            "reduced" => drop(holdings.reduced.insert(Name::new(name).map_err(damaged)?, samples)),
            _ => drop(holdings.dropped.insert(Name::new(name).map_err(damaged)?, samples)),
        }
    }
    Ok(holdings)
}
