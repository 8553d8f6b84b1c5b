//! The retained messages of listeners.

use super::write::run_sql;
use crate::{StoreError, rows::RetainedRow};
use andon_model::{Name, SiteName, Time};
use rusqlite::{Connection, params};

/// Keeps a message as the last one of its topic; one without payload only forgets the one before.
pub(crate) fn retain(c: &Connection, row: &RetainedRow) -> Result<(), StoreError> {
    if row.payload.is_empty() {
        return run_sql(
            c,
            "DELETE FROM retained WHERE listener = ?1 AND topic = ?2",
            params![row.listener.as_str(), row.topic],
        );
    }
    run_sql(
        c,
        "INSERT OR REPLACE INTO retained (listener, topic, payload, properties, received, expires, site)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.listener.as_str(),
            row.topic,
            row.payload,
            row.properties,
            row.received.0,
            row.expires.map(|at| at.0),
            row.site.as_ref().map(SiteName::as_str)
        ],
    )
}

/// The retained messages of a listener, by topic.
pub(crate) fn retained(c: &Connection, listener: &Name) -> Result<Vec<RetainedRow>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT topic, payload, properties, received, expires, site FROM retained WHERE listener = ?1 ORDER BY topic",
    )?;
    let mut rows = statement.query(params![listener.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let site: Option<String> = row.get(5)?;
        found.push(RetainedRow {
            listener: listener.clone(),
            topic: row.get(0)?,
            payload: row.get(1)?,
            properties: row.get(2)?,
            received: Time(row.get(3)?),
            expires: row.get::<_, Option<i64>>(4)?.map(Time),
            // A site that is no name any more is none that anybody sees.
            site: site.and_then(|site| SiteName::new(&site).ok()),
        });
    }
    Ok(found)
}
