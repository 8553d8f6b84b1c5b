//! The tables of the database and the steps that lead to them, forward only.

use crate::{StoreError, historian::last};
use rusqlite::Connection;
use std::path::Path;

/// Marks a `SQLite` file as ours: "Ando".
pub(crate) const APPLICATION_ID: i32 = 0x416E_646F;

/// The version of the schema; older ones are taken here step by step.
pub(crate) const VERSION: u32 = 4;

/// Each step leads from the version of its index to the next.
const STEPS: [&[&str]; VERSION as usize] = [
    &[include_str!("v1.sql")],
    &[include_str!("v2.sql"), last::TABLES],
    &[include_str!("v3.sql")],
    &[include_str!("v4.sql")],
];

/// Brings the database to the present version; a copy is made beforehand where there is something to lose.
pub(crate) fn migrate(connection: &mut Connection, path: Option<&Path>) -> Result<(), StoreError> {
    let shown = path.unwrap_or(Path::new("andon.db"));
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if version > VERSION {
        return Err(StoreError::Newer { path: shown.to_owned(), found: version, known: VERSION });
    }
    if version > 0 && application != APPLICATION_ID {
        return Err(StoreError::corrupt(shown, 68, "it is a database of another program"));
    }
    if version == VERSION {
        return Ok(());
    }
    if let (Some(path), true) = (path, version > 0) {
        copy(connection, &path.with_extension(format!("db.v{version}")))?;
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    for step in STEPS.iter().skip(version as usize).copied().flatten() {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Copies the database aside and checks the copy.
fn copy(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        std::fs::remove_file(to).map_err(|e| StoreError::io(to, "replace", e))?;
    }
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    let copy = Connection::open_with_flags(to, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let verdict: String = copy.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::corrupt(to, 0, verdict)) }
}
