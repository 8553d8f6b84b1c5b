//! What people do that does not change a run or an exception: told in the audit, too.

use crate::{clock, history::fault};
use andon_api::Problem;
use andon_store::{
    Store,
    rows::{AuditRow, ContractRow, Write},
};
use serde_json::{Value as Json, json};

/// Who acts where nobody is named.
pub(crate) const NOBODY: &str = "somebody";

/// Adds an act to the chain. What was done is durable already.
pub(crate) fn audited(store: &Store, actor: &str, act: &str, subject: String, detail: Json) -> Result<(), Problem> {
    let row = AuditRow { at: clock::now(), actor: actor.to_owned(), act: act.to_owned(), subject, detail };
    store.commit(vec![Write::Audit(Box::new(row))]).map(drop).map_err(|e| match e {
        full if full.is_full() => Problem::unavailable(format!("it is done, but the audit has no room for it: {full}"))
            .remedy("free space; the log of samples holds what was done"),
        other => fault(&other),
    })
}

/// The act of the user of the operating system who starts an instance with another contract.
pub(crate) fn activated(row: &ContractRow, before: Option<&str>) -> Write {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| crate::given::variable(name)).unwrap_or_default();
    Write::Audit(Box::new(AuditRow {
        at: row.activated,
        actor: if user.trim().is_empty() { NOBODY.to_owned() } else { user },
        act: "contract.activate".to_owned(),
        subject: row.revision.clone(),
        detail: json!({ "before": before, "files": row.files.len() }),
    }))
}
