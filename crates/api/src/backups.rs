//! Backups of the data folder of a running instance.

use crate::{cancel::TEXT_MAX, problem::Problem, routes::own_origin};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

/// Where a backup is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackUp {
    /// An absolute path on the machine of the instance; a folder that does not exist, or is empty.
    pub to: String,
    /// Who says so. Nobody proves it: until there are users it is what the caller claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How the backup stands that was asked for last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupStand {
    /// `none`, `running`, `done` or `failed`.
    pub state: String,
    /// Where it is written.
    pub to: String,
    /// What is done at the moment: `database`, `files` or `checking`.
    pub step: String,
    /// Bytes of this step that are done.
    pub done: u64,
    /// Bytes of this step.
    pub total: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What to do next, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The backup, once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

/// A backup that was looked through and found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Its folder.
    pub to: String,
    /// The instance.
    pub instance: String,
    /// The epoch of the data folder.
    pub epoch: u32,
    /// What came before this is in it.
    pub taken: String,
    /// The order number of the last event in it.
    pub events: u64,
    /// The end of the log in it: epoch and offset.
    pub end: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads where a backup is to be written.
pub(crate) fn back_up(headers: &HeaderMap, body: &[u8]) -> Result<BackUp, Problem> {
    own_origin(headers)?;
    let asked: BackUp = serde_json::from_slice(body).map_err(|e| {
        Problem::request(format!("the body does not say where the backup is to be written: {e}"))
            .remedy(r#"send {"to": "/backups/2026-11-26", "by": "NAME"}"#)
    })?;
    if !std::path::Path::new(&asked.to).is_absolute() {
        let problem = Problem::request("`to` is no absolute path");
        return Err(problem.remedy("the instance has a working folder of its own: say the whole path"));
    }
    if asked.by.as_ref().is_some_and(|by| by.trim().is_empty() || by.chars().count() > TEXT_MAX) {
        return Err(Problem::request(format!("`by` has 1 to {TEXT_MAX} characters")));
    }
    Ok(asked)
}

/// `/v1/backups` in the document of the API.
pub(crate) fn openapi() -> Json {
    let answer = |about: &str, schema: &str| {
        let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
        json!({"description": about, "content": {"application/json": {"schema": schema}}})
    };
    let problem = |about: &str| {
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        json!({"description": about, "content": {"application/problem+json": {"schema": schema}}})
    };
    json!({
        "get": {
            "summary": "How the backup stands that was asked for last.",
            "operationId": "backup",
            "responses": {
                "200": answer("How it stands.", "BackupStand"),
                "default": problem("Why not, and what to do next.")
            }
        },
        "post": {
            "summary": "Backs the data folder up while everything goes on.",
            "operationId": "back-up",
            "description": "It goes on after the answer; GET says how it stands. A backup that was looked through and \
                found whole is a folder with this name and `backup.json`; there is no folder of this name before.",
            "requestBody": {"required": true, "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/BackUp"}}}},
            "responses": {
                "200": answer("It has begun.", "BackupStand"),
                "409": problem("Another one is being made."),
                "default": problem("Why not, and what to do next.")
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_says_where_it_is_to_be_written() {
        let read = |body: &str| back_up(&HeaderMap::new(), body.as_bytes());
        assert_eq!(read(r#"{"to": "/b"}"#).unwrap(), BackUp { to: "/b".into(), by: None });
        for wrong in ["", "{}", r#"{"to": "b"}"#, r#"{"to": "/b", "by": " "}"#, r#"{"to": "/b", "more": 1}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
