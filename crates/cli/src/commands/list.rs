//! `andon list`: rows of a kind, as a table or as JSON lines.

use super::samples;
use crate::{
    args::{List, Where},
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{Kind, Page, Query, kind::KINDS};
use andon_contract::Contract;
use serde_json::Value as Json;
use std::process::ExitCode;

/// Rows shown to a person where nothing else is asked for.
const SHOWN: usize = 50;
/// Rows of a page.
const PAGE: usize = 500;
/// A cell is cut at so many characters.
const CELL_MAX: usize = 60;

pub(super) fn run(args: &List) -> anyhow::Result<ExitCode> {
    samples::misplaced(args)?;
    if let Some(answered) = samples::run(args) {
        return answered;
    }
    let Some(kind) = Kind::of(&args.kind) else {
        let words: Vec<&str> = KINDS.iter().map(|k| k.word).chain(["last", "series"]).collect();
        return Err(failure(2, format!("nothing is listed as {:?}", args.kind), words.join(", ")));
    };
    let mut filters = Vec::new();
    for filter in &args.filters {
        let Some((field, value)) = filter.split_once('=') else {
            return Err(failure(2, format!("--where {filter} has no value"), "write --where field=value"));
        };
        filters.push((field.to_owned(), value.to_owned()));
    }
    let asked = Asked::find(&args.instance, kind)?;
    let wanted = args.limit.unwrap_or(if args.instance.json { usize::MAX } else { SHOWN });
    let mut query = Query { filters, after: None, limit: PAGE.min(wanted).max(1), ascending: args.oldest };
    let mut rows = Vec::new();
    let mut count = 0;
    let more = loop {
        let page = asked.list(kind, &query)?;
        for row in page.rows {
            if count == wanted {
                break;
            }
            count += 1;
            if args.instance.json {
                output::line(&row);
            } else {
                rows.push(row);
            }
        }
        match page.next {
            Some(next) if count < wanted => query.after = Some(next),
            next => break next.is_some(),
        }
    };
    if !args.instance.json {
        let columns = columns(kind);
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
        output::table(columns, &cells);
        if more {
            output::hint(format!("{count} shown; --limit N shows more, --json all"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who is asked for rows.
enum Asked {
    /// An instance, or its folder.
    Instance(Target),
    /// A project that does not run: it has only what its contract says by itself.
    Project(Box<Contract>),
}

impl Asked {
    fn find(place: &Where, kind: Kind) -> anyhow::Result<Self> {
        let is_said = matches!(kind, Kind::Routes | Kind::Capabilities | Kind::Systems);
        let Some(dir) = place.data.as_ref().filter(|dir| is_said && dir.join("andon.yaml").is_file()) else {
            return Target::find(place).map(Self::Instance);
        };
        let loaded = andon_contract::load(dir).map_err(|_| {
            failure(NO, format!("the project {} does not pass", dir.display()), "`andon check` on it says why")
        })?;
        Ok(Self::Project(Box::new(loaded.contract)))
    }

    fn list(&self, kind: Kind, query: &Query) -> anyhow::Result<Page> {
        match self {
            Self::Instance(target) => target.list(kind, query),
            Self::Project(contract) => {
                let page = andon_node::answers(contract, kind, query, andon_node::clock::now());
                Ok(page.unwrap_or(Page { rows: Vec::new(), next: None }))
            }
        }
    }
}

/// Those of systems: what is kept of them, then how they fare now.
const SYSTEMS: &[&str] = &[
    "system",
    "operation",
    "implements",
    "idempotency",
    "zone",
    "test",
    "maturity",
    "timeout",
    "breaker",
    "since",
    "failed",
    "probe",
    "concurrent",
    "now.places",
    "now.under_way",
    "now.held",
    "now.wait_ms",
];

/// Those of groups of exceptions.
const GROUPS: &[&str] =
    &["unfinished", "open", "assigned", "waiting", "resubmitted", "owner", "last", "action", "cause", "fingerprint"];

/// Those of sources.
const SOURCES: &[&str] = &[
    "source",
    "kind",
    "state",
    "reason",
    "connected_since",
    "last",
    "received",
    "stored",
    "duplicate",
    "quarantined",
    "refused",
    "detail",
];

/// Those of what rules cost.
const RULES: &[&str] = &[
    "of",
    "rule",
    "kind",
    "class",
    "signal",
    "assets",
    "active",
    "evaluations",
    "ns_per_evaluation",
    "share_percent",
    "core_percent",
    "state_bytes",
];

/// The columns a person sees first.
fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Events => &["id", "time", "type", "subject", "data.change", "data.limit", "data.value.value"],
        Kind::Confirmations => {
            &["id", "confirms", "recorded", "type", "subject", "origin", "differs.from.value", "differs.to.value"]
        }
        Kind::Runs => &["id", "workflow", "state", "event", "started", "wake"],
        Kind::Tasks => &["run", "pointer", "iteration", "completed", "note"],
        Kind::Calls => &["id", "reference", "capability", "state", "system", "document", "attempts", "detail"],
        Kind::Attempts => {
            &["call", "number", "step", "shadow", "request", "started", "outcome.class", "outcome.detail"]
        }
        Kind::Exceptions => &["id", "kind", "state", "owner", "assignee", "count", "last", "due", "cause"],
        Kind::ExceptionGroups => GROUPS,
        Kind::Audit => &["number", "at", "actor", "act", "subject", "detail"],
        Kind::Notices => {
            &["team", "by", "what", "state", "created", "sent", "attempts", "body.data.cause", "detail", "id"]
        }
        Kind::Quarantine => &["exception", "received", "source", "topic", "detail"],
        Kind::Samples => &["position", "time", "signal", "value", "quality", "source"],
        Kind::Gaps => &["source", "from", "to", "reason"],
        Kind::Sources => SOURCES,
        Kind::Rules => RULES,
        Kind::Alarms => &[
            "rule",
            "asset",
            "gate",
            "raised",
            "condition",
            "limit",
            "outcome",
            "severity",
            "since",
            "actor",
            "until",
            "reason",
        ],
        Kind::Objects => &["type", "site", "number", "data.state", "assets", "from", "to", "known", "origin"],
        Kind::Reads => &[
            "read",
            "site",
            "state",
            "answered",
            "age_seconds",
            "changed",
            "aside",
            "next_seconds",
            "cursor",
            "detail",
        ],
        Kind::Routes => {
            &["capability", "site", "answers", "fallback", "shadow", "line", "idempotency", "reason", "changes", "then"]
        }
        Kind::Capabilities => {
            &["capability", "domain", "owner", "effect", "input", "output", "objective", "operations", "deprecated"]
        }
        Kind::Systems => SYSTEMS,
        Kind::Historian => &["path", "samples", "bytes"],
        Kind::Contracts => &["revision", "activated"],
    }
}

fn cell(row: &Json, column: &str) -> String {
    let mut value = row;
    for part in column.split('.') {
        value = value.get(part).unwrap_or(&Json::Null);
    }
    let text = match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(list) if list.iter().all(Json::is_string) => {
            list.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    cut(text)
}

/// A text that fits a cell.
pub(super) fn cut(text: String) -> String {
    if text.chars().count() > CELL_MAX {
        return text.chars().take(CELL_MAX - 3).chain("...".chars()).collect();
    }
    text
}
