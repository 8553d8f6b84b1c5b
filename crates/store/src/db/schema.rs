//! The tables of the database and the steps that lead to them, forward only.

use crate::{StoreError, historian::last};
use rusqlite::Connection;
use std::path::Path;

/// Marks a `SQLite` file as ours: "Ando".
pub(crate) const APPLICATION_ID: i32 = 0x416E_646F;

/// The version of the schema; older ones are taken here step by step.
pub(crate) const VERSION: u32 = 6;

/// From this version on the groups of exceptions are counted as they change.
const GROUPS_FROM: u32 = 5;

/// Each step leads from the version of its index to the next.
const STEPS: [&[&str]; VERSION as usize] = [
    &[include_str!("v1.sql")],
    &[include_str!("v2.sql"), last::TABLES],
    &[include_str!("v3.sql")],
    &[include_str!("v4.sql")],
    &[include_str!("v5.sql")],
    &[include_str!("v6.sql")],
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
    if version > 0 && version < GROUPS_FROM {
        super::exceptions::count_groups(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Copies the database aside and checks the copy.
pub(crate) fn copy(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        std::fs::remove_file(to).map_err(|e| StoreError::io(to, "replace", e))?;
    }
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    let copy = Connection::open_with_flags(to, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let verdict: String = copy.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::corrupt(to, 0, verdict)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_has_done_is_found_by_numbers_from_version_4_on() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in STEPS[..3].iter().copied().flatten() {
            connection.execute_batch(step).unwrap();
        }
        let rows = r#"
            INSERT INTO sites VALUES ('hamburg');
            INSERT INTO runs (no, site, id, workflow, state, row) VALUES (7, 'hamburg', 'ru_A', 'w', 'waiting', '{}');
            INSERT INTO tasks (no, site, run, pointer, iteration, row)
                VALUES (3, 'hamburg', 'ru_A', '/do/0/a', '', '{"n":1}');
            INSERT INTO calls (no, site, id, run, reference, capability, state, row)
                VALUES (9, 'hamburg', 'ca_OLD', 'ru_A', 'REF', 'c', 'parked', '{"id":"ca_OLD","reference":"REF"}');
            INSERT INTO attempts (no, site, call, number, system, row)
                VALUES (5, 'hamburg', 'ca_OLD', 1, 's', '{"call":"ca_OLD"}');
            INSERT INTO exceptions (no, id, kind, owner, state, run, call, row)
                VALUES (1, 'ex_A', 'output', 'o', 'open', 'ru_A', 'ca_OLD', '{"call":"ca_OLD"}');
        "#;
        connection.execute_batch(rows).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 3).unwrap();
        migrate(&mut connection, None).unwrap();
        let ask = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(ask("SELECT no || run || pointer || row FROM tasks"), r#"37/do/0/a{"n":1}"#);
        assert_eq!(ask("SELECT no || run || id || row FROM calls"), r#"97ca_REF{"id":"ca_REF","reference":"REF"}"#);
        assert_eq!(ask("SELECT no || call || row FROM attempts"), r#"59{"call":"ca_REF"}"#);
        assert_eq!(ask("SELECT call || row FROM exceptions"), r#"ca_REF{"call":"ca_REF"}"#);
        let left = "SELECT count(*) || '' FROM sqlite_schema WHERE name LIKE '%by_number%'";
        assert_eq!(ask(left), "0", "nothing is left of the way there");
    }
}
