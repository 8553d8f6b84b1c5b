//! Facts and confirmations in the database.

use super::{
    Committed,
    read::{count, many, one},
    write::{event, run_sql, site, text},
};
use crate::{
    StoreError,
    confirmations::{BACK, CONFIRMATIONS_MAX, ConfirmationRow},
    rows::Evidence,
};
use andon_model::{Event, EventId, Interval};
use rusqlite::{Connection, OptionalExtension, params};

/// Facts of another origin that are looked at, those that began last.
const FACTS_MAX: i64 = 1_000;

/// A row of `confirmations` with how its fact differs from the confirmed one, as far as both are told now.
pub(super) const ROW: &str = "json_set(row, '$.differs', json((
    SELECT json_patch('{}', json_object(
        'from', json_object('value', printf('%.3f', (mine.since - of.since) / 1e9), 'unit', 's'),
        'to', CASE WHEN mine.until - of.until IS NOT NULL
              THEN json_object('value', printf('%.3f', (mine.until - of.until) / 1e9), 'unit', 's') END
    )) FROM facts AS of, facts AS mine WHERE of.no = confirmations.fact AND mine.no = confirmations.mine
)))";

/// A fact as an origin tells it.
struct Fact {
    no: i64,
    /// Its first report.
    report: EventId,
    /// The fact it confirms.
    confirms: Option<i64>,
}

/// An event whose type names a match: inserted, or kept as a confirmation of what another origin told before.
pub(super) fn report(
    c: &Connection,
    told: &Event,
    evidence: Option<&Evidence>,
    interval: Interval,
    committed: &mut Committed,
) -> Result<(), StoreError> {
    let id = told.id.to_string();
    let known: Option<u64> = c
        .prepare_cached("SELECT sequence FROM events WHERE site IN (SELECT site FROM sites) AND id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    if let Some(sequence) = known {
        committed.events.push((told.id, sequence, false));
        return Ok(());
    }
    if let Some(row) = confirmation(c, told.id)? {
        committed.confirmations.push((told.id, row.confirms, false));
        return Ok(());
    }
    site(c, told.site.as_str())?;
    let fact = if let Some(fact) = own(c, told, interval)? {
        if let Some(to) = interval.to {
            run_sql(c, "UPDATE facts SET until = ?2 WHERE no = ?1", params![fact.no, to.0])?;
        }
        fact
    } else {
        // The story of an event from before its type named a match goes on in the event log.
        let confirms = if goes_on(c, told)? { None } else { told_before(c, told, interval)? };
        insert(c, told, interval, confirms)?
    };
    if let Some(of) = fact.confirms {
        return confirm(c, told, evidence, interval, (of, &fact), committed);
    }
    let (sequence, new) = event(c, told, evidence)?;
    committed.events.push((told.id, sequence, new));
    Ok(())
}

/// What the same origin told of the same fact: in the same story, or with the same beginning.
fn own(c: &Connection, told: &Event, interval: Interval) -> Result<Option<Fact>, StoreError> {
    let key = params![told.site.as_str(), told.kind, told.subject, told.source, told.correlation.to_string()];
    let by_story = "SELECT no, report, confirms FROM facts
                    WHERE site = ?1 AND story = ?5 AND type = ?2 AND subject = ?3 AND origin = ?4 ORDER BY no LIMIT 1";
    if let Some(fact) = fact(c, by_story, key)? {
        return Ok(Some(fact));
    }
    let by_beginning = "SELECT no, report, confirms FROM facts
                        WHERE site = ?1 AND type = ?2 AND subject = ?3 AND origin = ?4 AND since = ?5
                        ORDER BY no LIMIT 1";
    let key = params![told.site.as_str(), told.kind, told.subject, told.source, interval.from.0];
    fact(c, by_beginning, key)
}

fn fact(c: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Option<Fact>, StoreError> {
    let found: Option<(i64, String, Option<i64>)> =
        c.prepare_cached(sql)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((no, report, confirms)) = found else { return Ok(None) };
    let report = EventId::parse(&report).map_err(|e| super::read::damaged("facts", e))?;
    Ok(Some(Fact { no, report, confirms }))
}

/// Whether the first event of its story, by the same origin and of the same type, is in the event log.
fn goes_on(c: &Connection, told: &Event) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM events WHERE site = ?1 AND id = ?2 AND type = ?3 AND row ->> 'source' = ?4";
    let key = params![told.site.as_str(), told.correlation.to_string(), told.kind, told.source];
    Ok(c.prepare_cached(sql)?.exists(key)?)
}

/// The fact of another origin that overlaps and confirms none itself.
fn told_before(c: &Connection, told: &Event, interval: Interval) -> Result<Option<i64>, StoreError> {
    let from = interval.from;
    let key = params![told.site.as_str(), told.kind, told.subject, told.source, from.0];
    let next = "SELECT min(since) FROM facts
                WHERE site = ?1 AND type = ?2 AND subject = ?3 AND origin = ?4 AND since > ?5";
    // Without an end it reaches at most to what the same origin has told to begin later.
    let to: Option<i64> = match interval.to {
        Some(to) => Some(to.0),
        None => c.prepare_cached(next)?.query_row(key, |row| row.get(0))?,
    };
    let sql = "SELECT no, CASE WHEN ?8 THEN abs(since - ?5) ELSE max(since, ?5) - min(until, ?7) END AS far FROM (
                   SELECT no, since, story, confirms, ifnull(until, min(
                       ifnull((
                           SELECT min(next.since) FROM facts AS next
                           WHERE next.site = of.site AND next.type = of.type AND next.subject = of.subject
                               AND next.origin = of.origin AND next.since > of.since
                       ), ?10),
                       ifnull((SELECT max(other.until) FROM facts AS other WHERE other.confirms = of.no), ?10)
                   )) AS until
                   FROM facts AS of
                   WHERE site = ?1 AND type = ?2 AND subject = ?3 AND origin = ?4 AND since >= ?6 AND since < ?7
                   ORDER BY since DESC LIMIT ?11
               )
               WHERE until > ?5 AND story <> ?9 AND confirms IS NULL
               ORDER BY far, no LIMIT 1";
    let mut best: Option<(i64, i64)> = None;
    for origin in others(c, told)? {
        let key = params![
            told.site.as_str(),
            told.kind,
            told.subject,
            origin,
            from.0,
            from.minus(BACK).0,
            to.unwrap_or(i64::MAX),
            interval.to.is_none(),
            told.correlation.to_string(),
            i64::MAX,
            FACTS_MAX
        ];
        let found = c.prepare_cached(sql)?.query_row(key, |row| Ok((row.get(1)?, row.get(0)?))).optional()?;
        best = best.into_iter().chain(found).min();
    }
    Ok(best.map(|(_, no)| no))
}

/// The other origins that tell of the subject: each is found by one look into the index.
fn others(c: &Connection, told: &Event) -> Result<Vec<String>, StoreError> {
    let sql = "WITH RECURSIVE origins (origin) AS (
                   SELECT min(origin) FROM facts WHERE site = ?1 AND type = ?2 AND subject = ?3
                   UNION ALL
                   SELECT (
                       SELECT min(of.origin) FROM facts AS of
                       WHERE of.site = ?1 AND of.type = ?2 AND of.subject = ?3 AND of.origin > origins.origin
                   ) FROM origins WHERE origins.origin IS NOT NULL
               )
               SELECT origin FROM origins WHERE origin IS NOT NULL AND origin <> ?4";
    let mut statement = c.prepare_cached(sql)?;
    let key = params![told.site.as_str(), told.kind, told.subject, told.source];
    let rows = statement.query_map(key, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn insert(c: &Connection, told: &Event, interval: Interval, confirms: Option<i64>) -> Result<Fact, StoreError> {
    run_sql(
        c,
        "INSERT INTO facts (site, type, subject, origin, story, report, since, until, confirms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            told.site.as_str(),
            told.kind,
            told.subject,
            told.source,
            told.correlation.to_string(),
            told.id.to_string(),
            interval.from.0,
            interval.to.map(|to| to.0),
            confirms
        ],
    )?;
    Ok(Fact { no: c.last_insert_rowid(), report: told.id, confirms })
}

/// Keeps a report as a confirmation of the fact `of`.
fn confirm(
    c: &Connection,
    told: &Event,
    evidence: Option<&Evidence>,
    interval: Interval,
    (of, mine): (i64, &Fact),
    committed: &mut Committed,
) -> Result<(), StoreError> {
    let sql = "SELECT no, report, confirms FROM facts WHERE no = ?1";
    let Some(confirmed) = fact(c, sql, params![of])? else {
        return Err(super::read::damaged("facts", format!("the fact {of} is not there")));
    };
    let row = ConfirmationRow {
        id: told.id,
        confirms: confirmed.report,
        report: mine.report,
        site: told.site.clone(),
        kind: told.kind.clone(),
        subject: told.subject.clone(),
        origin: told.source.clone(),
        from: interval.from,
        to: interval.to,
        recorded: told.recorded,
        differs: None,
        event: told.to_json(None),
        evidence: evidence.cloned(),
    };
    run_sql(
        c,
        "INSERT INTO confirmations (site, id, event, type, subject, origin, fact, mine, row)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            row.site.as_str(),
            row.id.to_string(),
            row.confirms.to_string(),
            row.kind,
            row.subject,
            row.origin,
            of,
            mine.no,
            text(&row)?
        ],
    )?;
    committed.confirmations.push((row.id, row.confirms, true));
    Ok(())
}

pub(crate) fn confirmations(c: &Connection, event: EventId) -> Result<Vec<ConfirmationRow>, StoreError> {
    let sql = format!(
        "SELECT {ROW} FROM confirmations WHERE site IN (SELECT site FROM sites) AND event = ?1 ORDER BY no LIMIT ?2"
    );
    many(c, "confirmations", &sql, params![event.to_string(), count(CONFIRMATIONS_MAX)])
}

pub(crate) fn confirmation(c: &Connection, id: EventId) -> Result<Option<ConfirmationRow>, StoreError> {
    let sql = format!("SELECT {ROW} FROM confirmations WHERE site IN (SELECT site FROM sites) AND id = ?1");
    one(c, "confirmations", &sql, params![id.to_string()])
}
