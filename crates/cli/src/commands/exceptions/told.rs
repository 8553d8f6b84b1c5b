//! Exceptions, groups and what became of acts, in words.

use andon_api::exceptions::{BulkDone, ExceptionDone};
use andon_model::Time;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Reasons for refusals that are told of a bulk action, the most frequent first.
const REASONS_MAX: usize = 10;
/// Exceptions named beside a reason.
const NAMED_MAX: usize = 3;

fn text<'a>(row: &'a Json, name: &str) -> &'a str {
    row.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn number(row: &Json, name: &str) -> u64 {
    row.get(name).and_then(Json::as_u64).unwrap_or_default()
}

/// When it should be done, in words.
pub(crate) fn due(due: Option<Time>, now: Time) -> String {
    match due {
        Some(due) if due < now => format!("OVERDUE since {due}"),
        Some(due) => format!("due {due}"),
        None => "no due time".to_owned(),
    }
}

/// Who takes care of it: the team, and the person where there is one.
pub(crate) fn who(row: &Json) -> String {
    match text(row, "assignee") {
        "" => text(row, "owner").to_owned(),
        person => format!("{person} ({})", text(row, "owner")),
    }
}

/// One unfinished exception.
pub(super) fn unfinished(row: &Json, due_at: Option<Time>, now: Time) -> String {
    let due = due(due_at, now);
    let (id, kind, state, cause) = (text(row, "id"), text(row, "kind"), text(row, "state"), text(row, "cause"));
    format!("{id}  {kind}  {state}  {}  {due}  {cause}", who(row))
}

/// A group with its counts.
pub(super) fn group(row: &Json) -> Vec<String> {
    let states = ["open", "assigned", "waiting", "resubmitted", "resolved", "discarded"];
    let states = states.iter().map(|state| (number(row, state), *state)).filter(|(count, _)| *count > 0);
    let states: Vec<String> = states.map(|(count, state)| format!("{count} {state}")).collect();
    let place: Vec<&str> = ["kind", "site", "system", "capability", "outcome"]
        .map(|name| text(row, name))
        .into_iter()
        .filter(|t| !t.is_empty())
        .collect();
    let action = match text(row, "action") {
        "" => String::new(),
        action => format!("{action}: "),
    };
    vec![
        format!("{} unfinished  {}  {}", number(row, "unfinished"), text(row, "owner"), text(row, "cause")),
        format!("  group   {}", text(row, "fingerprint")),
        format!("  what    {}", place.join(", ")),
        format!("  stand   {}", states.join(", ")),
        format!("  seen    {} times, first {}, last {}", number(row, "count"), text(row, "first"), text(row, "last")),
        format!("  do      {action}{}", text(row, "remedy")),
    ]
}

/// What became of one.
pub(super) fn done(done: &ExceptionDone) -> String {
    let id = &done.exception;
    let stands = match (&done.call, &done.run, &done.stands) {
        (Some(call), _, Some(state)) => format!(": the call {call} is {state}"),
        (None, Some(run), Some(state)) => format!(": the run {run} is {state}"),
        _ => String::new(),
    };
    match (done.action.as_str(), &done.assignee) {
        ("assign", Some(person)) => format!("{id} is with {person}; the team {} still answers for it", done.owner),
        ("assign", None) => format!("{id} is with the team {}", done.owner),
        _ if done.proposed => format!(
            "the edit of {id} is proposed and nothing is sent yet; another person agrees with `andon exceptions agree \
             {id}`"
        ),
        ("skip", _) => format!("{id} is skipped{stands}"),
        ("compensate", _) => format!("what the run of {id} has done is undone{stands}"),
        ("discard", _) => format!("{id} is discarded{stands}"),
        ("edit" | "agree", _) => format!("{id} is tried again with the other input{stands}"),
        ("reroute", _) => format!("{id} is tried again elsewhere{stands}"),
        _ => format!("{id} is tried again{stands}"),
    }
}

/// What became of all that matched.
pub(super) fn bulk(total: &BulkDone) -> Vec<String> {
    let past = match total.action.as_str() {
        "assign" => "assigned",
        "edit" => "edited",
        "agree" => "agreed to",
        "skip" => "skipped",
        "reroute" => "rerouted",
        "compensate" => "compensated",
        "discard" => "discarded",
        _ => "tried again",
    };
    let (matched, done, refused) = (total.matched, total.done, total.refused);
    let exceptions = if matched == 1 { "exception" } else { "exceptions" };
    let mut lines = vec![if total.dry_run {
        let verb = if matched == 1 { "matches" } else { "match" };
        format!(
            "{matched} {exceptions} {verb}: {done} would be {past}, {refused} would be refused; nothing was changed"
        )
    } else {
        format!("{matched} {exceptions}: {done} {past}, {refused} refused")
    }];
    let mut reasons: BTreeMap<String, (u64, Vec<&str>, Option<String>)> = BTreeMap::new();
    for problem in &total.problems {
        let same = |text: &str| text.replace(&problem.exception, "ex_...");
        let of = reasons.entry(same(&problem.detail)).or_default();
        of.0 += 1;
        of.2 = problem.remedy.as_deref().map(same);
        if of.1.len() < NAMED_MAX {
            of.1.push(&problem.exception);
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, ..))| std::cmp::Reverse(*count));
    let untold = reasons.len().saturating_sub(REASONS_MAX);
    for (reason, (count, named, remedy)) in reasons.into_iter().take(REASONS_MAX) {
        let more = if count > named.len() as u64 { ", ..." } else { "" };
        lines.push(format!("  {count} refused: {reason} ({}{more})", named.join(", ")));
        lines.extend(remedy.map(|remedy| format!("    help: {remedy}")));
    }
    if untold > 0 {
        lines.push(format!("  and for {untold} other reasons; --json tells each"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_api::exceptions::Refused;
    use serde_json::json;

    #[test]
    fn exceptions_groups_and_acts_are_told() {
        let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
        let row = json!({"id": "ex_0123456789ABCDEF", "kind": "output", "state": "assigned", "owner": "maintenance",
            "assignee": "mia", "cause": "maintenance.request-work was refused by eam (validation)"});
        let of = json!({
            "fingerprint": "refused/hamburg/maintenance.request-work/eam/validation/#", "kind": "output",
            "site": "hamburg", "owner": "maintenance", "system": "eam", "capability": "maintenance.request-work",
            "outcome": "validation", "cause": "maintenance.request-work was refused by eam (validation)",
            "remedy": "correct what it sends", "action": "edit", "state": "open", "open": 7, "assigned": 2,
            "waiting": 0, "resubmitted": 1, "resolved": 3, "discarded": 0, "unfinished": 10, "count": 14,
            "first": "2026-11-22T06:00:00Z", "last": "2026-11-22T07:00:00Z", "newest": "ex_0123456789ABCDEF",
        });
        let one = |action: &str| ExceptionDone {
            exception: "ex_0123456789ABCDEF".into(),
            action: action.into(),
            state: "resubmitted".into(),
            owner: "maintenance".into(),
            assignee: None,
            run: Some("ru_0123456789ABCDEF".into()),
            call: Some("ca_0123456789ABCDEF".into()),
            stands: Some("waiting".into()),
            proposed: false,
        };
        let mut lines = vec![unfinished(&row, Some(now), now), unfinished(&row, Some(Time(0)), now)];
        lines.extend(group(&of));
        for action in ["retry", "edit", "agree", "skip", "reroute", "compensate", "discard"] {
            lines.push(done(&one(action)));
        }
        lines.push(done(&ExceptionDone { stands: None, ..one("assign") }));
        lines.push(done(&ExceptionDone { assignee: Some("mia".into()), stands: None, ..one("assign") }));
        lines.push(done(&ExceptionDone { proposed: true, stands: None, ..one("edit") }));
        lines.push(done(&ExceptionDone { call: None, ..one("discard") }));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_bulk_action_is_told_with_exact_counts_and_why_some_were_refused() {
        let refused = |number: u64, detail: &str| Refused {
            exception: format!("ex_{number:016}"),
            detail: detail.replace("ID", &format!("ex_{number:016}")),
            remedy: Some(format!("`andon show ex_{number:016}` says how it stands")),
        };
        let mut total =
            BulkDone { action: "retry".into(), matched: 10_000, done: 9_995, refused: 5, ..Default::default() };
        total.problems = (0..4).map(|n| refused(n, "ID has ended meanwhile")).collect();
        total.problems.push(refused(9, "the outcome of ID is unknown"));
        let dry = BulkDone { dry_run: true, ..total.clone() };
        let none = BulkDone { action: "discard".into(), dry_run: true, ..BulkDone::default() };
        let one = BulkDone { action: "discard".into(), matched: 1, done: 1, ..BulkDone::default() };
        let lines = [bulk(&total), bulk(&dry), bulk(&none), bulk(&one)].concat();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
