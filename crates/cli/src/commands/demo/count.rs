//! What the demo has brought about, counted from what the instance keeps.

use crate::target::Target;
use andon_api::{Kind, Query, backend::LIMIT_MAX};
use andon_demo::{OfficeKind, world::Stand};
use serde_json::{Map, Value as Json, json};

/// The kinds of systems that are counted.
const KINDS: [&str; 6] = ["eam", "erp", "wms", "qms", "crm", "planning"];

/// The kind of a system of the project, by its name; `None`: it is none of those that are counted.
fn kind(system: &str) -> Option<&'static str> {
    Some(match OfficeKind::named(system)? {
        OfficeKind::Maximo | OfficeKind::Eam => "eam",
        OfficeKind::S4 | OfficeKind::LegacyErp => "erp",
        OfficeKind::Wms => "wms",
        OfficeKind::Qms => "qms",
        OfficeKind::Crm => "crm",
        OfficeKind::Planning => "planning",
        OfficeKind::Lab | OfficeKind::Supplier => return None,
    })
}

/// All rows of a kind, oldest first.
pub(super) fn rows(target: &Target, kind: Kind, filters: &[(&str, &str)]) -> anyhow::Result<Vec<Json>> {
    let filters = filters.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect();
    let mut query = Query { filters, after: None, limit: LIMIT_MAX, ascending: true };
    let mut rows = Vec::new();
    loop {
        let page = target.list(kind, &query)?;
        rows.extend(page.rows);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(rows),
        }
    }
}

/// A text of a row, or an empty one.
pub(super) fn text<'a>(row: &'a Json, pointer: &str) -> &'a str {
    row.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

/// The line that `--json` prints.
pub(super) fn summary(target: &Target, stand: &Stand) -> anyhow::Result<Json> {
    let events = rows(target, Kind::Events, &[])?;
    let runs = rows(target, Kind::Runs, &[])?;
    let calls = rows(target, Kind::Calls, &[("state", "delivered")])?;
    let exceptions = rows(target, Kind::Exceptions, &[])?.len();
    let mut by_kind: Map<String, Json> = KINDS.iter().map(|kind| ((*kind).to_owned(), json!(0))).collect();
    for kind in calls.iter().filter_map(|call| kind(text(call, "/system"))) {
        if let Some(count) = by_kind.get_mut(kind) {
            *count = json!(count.as_u64().unwrap_or_default() + 1);
        }
    }
    let documents: Vec<&Json> = calls.iter().filter(|call| !text(call, "/document").is_empty()).collect();
    let mut complete = 0;
    for call in &documents {
        complete += usize::from(leads_to_samples(&target.explain(text(call, "/reference"))?));
    }
    let of_site = |rows: &[Json], site: &str| rows.iter().filter(|row| text(row, "/site") == site).count();
    let site = |line: &andon_demo::world::LineStand| {
        let site = &line.site;
        let documents = documents.iter().filter(|call| text(call, "/site") == site).count();
        let value = json!({
            "events": of_site(&events, site), "runs": of_site(&runs, site), "documents": documents, "line": line.chapter
        });
        (site.clone(), value)
    };
    let in_state = |state: &str| runs.iter().filter(|run| text(run, "/state") == state).count();
    let begun = |event: &&Json| text(event, "/data/change") == "activated";
    let suppressed = events.iter().filter(|event| text(event, "/type") == "asset.alarm.suppressed").filter(begun);
    Ok(json!({
        "sites": stand.lines.iter().map(site).collect::<Map<String, Json>>(),
        "events": events.len(),
        "runs": { "completed": in_state("completed"), "faulted": in_state("faulted") },
        "calls": by_kind,
        "exceptions": exceptions,
        "lineage": { "documents": documents.len(), "complete": complete },
        "suppressed_in_maintenance": suppressed.count(),
    }))
}

/// Whether a lineage leads back to a sample at least.
fn leads_to_samples(lineage: &Json) -> bool {
    let events = lineage.get("events").and_then(Json::as_array);
    events.into_iter().flatten().any(|event| {
        event.pointer("/evidence/samples").and_then(Json::as_array).is_some_and(|samples| !samples.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_of_the_example_is_counted_where_it_belongs() {
        let kinds: Vec<&str> = andon_demo::offices().iter().filter_map(|office| kind(office.name())).collect();
        assert_eq!(kinds, ["eam", "eam", "erp", "erp", "wms", "qms", "crm", "planning"]);
        assert_eq!(kind("somebody"), None);
    }

    #[test]
    fn a_lineage_without_samples_is_not_complete() {
        assert!(leads_to_samples(&json!({ "events": [{}, { "evidence": { "samples": [{ "value": 5 }] } }] })));
        assert!(!leads_to_samples(&json!({ "events": [{ "evidence": { "samples": [] } }, {}] })));
        assert!(!leads_to_samples(&json!({ "runs": [] })));
    }
}
