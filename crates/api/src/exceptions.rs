//! What people do with exceptions: with one, or with all that match, page by page.

use crate::{cancel::TEXT_MAX, decisions::BY_MAX, problem::Problem, routes::own_origin};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Exceptions of one page of a bulk action at most.
pub const BULK_MAX: usize = 500;
/// Exceptions of one page of a bulk action where nothing else is said.
pub const BULK_DEFAULT: usize = 100;
/// Changes of one edit at most.
pub const CHANGES_MAX: usize = 100;

/// An action with its word in paths and commands.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// The word.
    pub word: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Whether a reason must be given.
    pub reasoned: bool,
    /// Its own fields with what they say, and whether they must be given.
    pub fields: &'static [(&'static str, &'static str, bool)],
}

/// All actions that are done alike with one exception or with many. `decide` and `replay` have forms of their own.
pub const ACTIONS: [Action; 8] = [
    Action {
        word: "assign",
        about: "Gives the exception to a team of the project, or to a person.",
        reasoned: false,
        fields: &[("to", "A team of policies/ownership.yaml, or the name of a person.", true)],
    },
    Action {
        word: "retry",
        about: "Makes the call again, or takes up the run again at the task that faulted.",
        reasoned: false,
        fields: &[(
            "not_there",
            "Of a call whose outcome is unknown: somebody looked, and its effect is not there. Without it such a \
             call is not repeated.",
            false,
        )],
    },
    Action {
        word: "edit",
        about: "Makes the call again with another input; the input is checked and the difference is kept.",
        reasoned: false,
        fields: &[
            ("input", "The whole input; of one exception only.", false),
            (
                "set",
                "Changes of the input: a JSON pointer (`/lines/0/unit`) or a path with dots, and the new value; \
                 `null` removes a field.",
                false,
            ),
        ],
    },
    Action {
        word: "agree",
        about: "Applies an edit that somebody else has proposed, where the project asks for two.",
        reasoned: false,
        fields: &[],
    },
    Action {
        word: "skip",
        about: "Goes on without the call, with an output that is given.",
        reasoned: true,
        fields: &[
            ("output", "The output of the task.", false),
            (
                "document",
                "The number of the document at the system, where its effect is there; of one exception only.",
                false,
            ),
        ],
    },
    Action {
        word: "reroute",
        about: "Makes the same call by another operation that implements its capability.",
        reasoned: false,
        fields: &[("to", "The operation: `system.operation`.", true)],
    },
    Action {
        word: "compensate",
        about: "Undoes what the run has done, the last completed task first; then the run is cancelled.",
        reasoned: true,
        fields: &[],
    },
    Action { word: "discard", about: "Gives it up: the fault of its run is final.", reasoned: true, fields: &[] },
];

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wanted {
    /// A team or a person takes care of it.
    Assign {
        /// The team, or the person.
        to: String,
    },
    /// Once more.
    Retry {
        /// Somebody looked: the effect is not there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_there: bool,
    },
    /// Once more with another input.
    Edit {
        /// All of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Json>,
        /// Or single places.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        set: BTreeMap<String, Json>,
    },
    /// A second person says that a proposed edit is right.
    Agree {},
    /// Without it.
    Skip {
        /// The output of the task.
        #[serde(default, skip_serializing_if = "Json::is_null")]
        output: Json,
        /// The number of its document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<String>,
    },
    /// By another operation.
    Reroute {
        /// `system.operation`.
        to: String,
    },
    /// Back to where it began.
    Compensate {},
    /// Never.
    Discard {},
}

impl Wanted {
    /// The word of the action.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Assign { .. } => "assign",
            Self::Retry { .. } => "retry",
            Self::Edit { .. } => "edit",
            Self::Agree {} => "agree",
            Self::Skip { .. } => "skip",
            Self::Reroute { .. } => "reroute",
            Self::Compensate {} => "compensate",
            Self::Discard {} => "discard",
        }
    }
}

/// What somebody wants, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Who says so. Nobody proves it: until there are users it is what the caller claims.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What.
    pub wanted: Wanted,
}

/// What somebody wants of all exceptions that match.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkAsked {
    /// What, and why.
    pub asked: Asked,
    /// Fields and the values they must have; a path into an object is written with dots.
    pub filters: Vec<(String, String)>,
    /// Only those of this group.
    pub group: Option<String>,
    /// Only those first seen up to this moment: what comes while one page follows the other is left alone.
    pub until: Option<String>,
    /// Only those behind this one; `next` of the page before.
    pub after: Option<u64>,
    /// Exceptions of this page at most.
    pub limit: usize,
    /// Changes nothing, and says what would be tried.
    pub dry_run: bool,
}

/// Something was done with an exception; it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionDone {
    /// The exception.
    pub exception: String,
    /// What was done.
    pub action: String,
    /// Where the exception stands now.
    pub state: String,
    /// The team that owns it.
    pub owner: String,
    /// The person who takes care of it.
    pub assignee: Option<String>,
    /// Its run.
    pub run: Option<String>,
    /// The call that is made now; of an edit a new one.
    pub call: Option<String>,
    /// Where the call stands, or the run where there is no call.
    pub stands: Option<String>,
    /// The edit is only proposed: another person must agree.
    pub proposed: bool,
}

/// A page of a bulk action; what is done is durable. `matched` is always the sum of `done` and `refused`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkDone {
    /// What was asked for.
    pub action: String,
    /// Nothing was changed: `done` is what would be tried.
    pub dry_run: bool,
    /// Exceptions of this page.
    pub matched: u64,
    /// Done.
    pub done: u64,
    /// Not done; each is told.
    pub refused: u64,
    /// Why not, for each that was refused.
    pub problems: Vec<Refused>,
    /// The moment up to which an exception must have been seen first; to be given with the next page.
    pub until: String,
    /// `after` of the next page; `null`: that was all.
    pub next: Option<u64>,
}

/// An exception of a bulk action that nothing was done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The exception.
    pub exception: String,
    /// Why not.
    pub detail: String,
    /// What to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The fields of a bulk action beside those of its action.
pub(crate) const BULK_FIELDS: [&str; 6] = ["where", "group", "until", "after", "limit", "dry_run"];

/// Reads what is wanted of one exception.
pub(crate) fn asked(action: &'static Action, headers: &HeaderMap, body: &[u8]) -> Result<Asked, Problem> {
    own_origin(headers)?;
    asked_of(action, object(action, body)?)
}

/// Reads what is wanted of all that match.
pub(crate) fn bulk(action: &'static Action, headers: &HeaderMap, body: &[u8]) -> Result<BulkAsked, Problem> {
    own_origin(headers)?;
    let mut of = object(action, body)?;
    let [filters, group, until, after, limit, dry_run] = BULK_FIELDS.map(|name| of.remove(name).unwrap_or_default());
    let filters: BTreeMap<String, String> = read("where", filters, r#"write {"site": "hamburg", "outcome": "auth"}"#)?;
    let group: Option<String> = read("group", group, "give the fingerprint of a group")?;
    if filters.is_empty() && group.is_none() {
        let problem = Problem::request(format!("nothing says which exceptions `{}` is for", action.word));
        return Err(problem.remedy("give `where` or `group`; POST /v1/exceptions/{id}/ACTION is for one"));
    }
    let limit: Option<usize> = read("limit", limit, "give a whole number")?;
    let limit = limit.unwrap_or(BULK_DEFAULT);
    if limit == 0 || limit > BULK_MAX {
        let problem = Problem::request(format!("`limit` is {limit}, and not between 1 and {BULK_MAX}"));
        return Err(problem.remedy("go on with `after`"));
    }
    let asked = asked_of(action, of)?;
    let alone = match &asked.wanted {
        Wanted::Edit { input: Some(_), .. } => Some("input"),
        Wanted::Skip { document: Some(_), .. } => Some("document"),
        _ => None,
    };
    if let Some(field) = alone {
        let problem = Problem::request(format!("`{field}` is of one exception, and not of all that match"));
        return Err(problem.remedy(format!("POST /v1/exceptions/{{id}}/{} takes it", action.word)));
    }
    Ok(BulkAsked {
        asked,
        filters: filters.into_iter().collect(),
        group,
        until: read("until", until, "give `until` of the first page")?,
        after: read("after", after, "give `next` of the page before")?,
        limit,
        dry_run: read::<Option<bool>>("dry_run", dry_run, "give true or false")?.unwrap_or(false),
    })
}

fn object(action: &'static Action, body: &[u8]) -> Result<Map<String, Json>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|e| {
        Problem::request(format!("the body says nothing to `{}`: {e}", action.word)).remedy("send a JSON object")
    })
}

fn read<T: serde::de::DeserializeOwned + Default>(name: &str, json: Json, remedy: &str) -> Result<T, Problem> {
    if json.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(json)
        .map_err(|e| Problem::request(format!("`{name}` is not understood: {e}")).remedy(remedy))
}

fn asked_of(action: &'static Action, mut of: Map<String, Json>) -> Result<Asked, Problem> {
    let by = text(&mut of, "by", BY_MAX)?;
    let reason = text(&mut of, "reason", TEXT_MAX)?;
    if action.reasoned && reason.is_none() {
        let problem = Problem::request(format!("`{}` has no reason", action.word));
        return Err(problem.remedy(r#"send {"reason": "...", ...}: others must understand it a year later"#));
    }
    of.insert("action".to_owned(), Json::from(action.word));
    let wanted: Wanted = serde_json::from_value(Json::Object(of)).map_err(|e| {
        let fields: Vec<&str> = action.fields.iter().map(|(name, ..)| *name).chain(["by", "reason"]).collect();
        Problem::request(format!("the body says nothing to `{}`: {e}", action.word))
            .remedy(format!("its fields are {}", fields.join(", ")))
    })?;
    match &wanted {
        Wanted::Edit { input, set } if input.is_some() != set.is_empty() => {
            Err(Problem::request("an edit has either `input` or `set`")
                .remedy(r#"send {"set": {"/unit": "KG"}}, or the whole {"input": {...}}"#))
        }
        Wanted::Edit { set, .. } if set.len() > CHANGES_MAX => {
            Err(Problem::request(format!("an edit changes {CHANGES_MAX} places at most, not {}", set.len()))
                .remedy("give the whole `input`"))
        }
        Wanted::Assign { to } | Wanted::Reroute { to } | Wanted::Skip { document: Some(to), .. }
            if to.trim().is_empty() || to.chars().count() > BY_MAX =>
        {
            Err(Problem::request(format!("a name has 1 to {BY_MAX} characters")).remedy("give the whole name"))
        }
        _ => Ok(Asked { by, reason, wanted }),
    }
}

fn text(of: &mut Map<String, Json>, name: &str, most: usize) -> Result<Option<String>, Problem> {
    let text: Option<String> = read(name, of.remove(name).unwrap_or_default(), "write a text")?;
    if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > most) {
        let problem = Problem::request(format!("`{name}` has 1 to {most} characters"));
        return Err(problem.remedy("say it in words that others understand a year later, or leave it out"));
    }
    Ok(text)
}

impl Asked {
    /// The body that says it.
    pub fn body(&self) -> Json {
        let mut of = serde_json::to_value(&self.wanted).unwrap_or_default();
        if let Some(of) = of.as_object_mut() {
            of.remove("action");
            for (name, text) in [("by", &self.by), ("reason", &self.reason)] {
                of.extend(text.as_ref().map(|text| (name.to_owned(), Json::from(text.as_str()))));
            }
        }
        of
    }
}

impl BulkAsked {
    /// The body that says it.
    pub fn body(&self) -> Json {
        let mut of = self.asked.body();
        if let Some(of) = of.as_object_mut() {
            let mut put = |name: &str, value: Option<Json>| of.extend(value.map(|value| (name.to_owned(), value)));
            let filters: Map<String, Json> =
                self.filters.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
            put("where", (!filters.is_empty()).then_some(Json::Object(filters)));
            put("group", self.group.as_deref().map(Json::from));
            put("until", self.until.as_deref().map(Json::from));
            put("after", self.after.map(Json::from));
            put("limit", Some(Json::from(self.limit)));
            put("dry_run", self.dry_run.then_some(Json::from(true)));
        }
        of
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(word: &str) -> &'static Action {
        ACTIONS.iter().find(|action| action.word == word).unwrap()
    }

    fn one(word: &str, body: &Json) -> Result<Asked, Problem> {
        asked(of(word), &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn every_action_reads_back_and_knows_its_word() {
        for (word, body) in [
            ("assign", json!({"to": "quality"})),
            ("retry", json!({"not_there": true, "by": "mia"})),
            ("edit", json!({"set": {"/unit": "KG"}, "reason": "the unit was wrong"})),
            ("edit", json!({"input": {"unit": "KG"}})),
            ("agree", json!({})),
            ("skip", json!({"output": {"a": 1}, "document": "MR-7", "reason": "it is there"})),
            ("reroute", json!({"to": "eam.create"})),
            ("compensate", json!({"reason": "the order is gone"})),
            ("discard", json!({"reason": "a test"})),
        ] {
            let asked = one(word, &body).unwrap();
            assert_eq!((asked.wanted.word(), asked.body()), (word, body));
        }
        assert_eq!(ACTIONS.len(), 8);
        assert!(asked(of("retry"), &HeaderMap::new(), b"").is_ok(), "an empty body says enough");
    }

    #[test]
    fn what_says_nothing_to_an_action_is_refused_with_its_remedy() {
        for (word, body, said) in [
            ("assign", json!({}), "to"),
            ("assign", json!({"to": " "}), "1 to 200"),
            ("retry", json!({"output": 1}), "output"),
            ("edit", json!({}), "either `input` or `set`"),
            ("edit", json!({"input": {}, "set": {"a": 1}}), "either `input` or `set`"),
            ("skip", json!({"output": 1}), "no reason"),
            ("discard", json!({"reason": "  "}), "1 to 1000"),
            ("discard", json!({"reason": "x", "by": ""}), "1 to 200"),
            ("retry", json!([]), "says nothing"),
        ] {
            let problem = one(word, &body).unwrap_err();
            assert_eq!(problem.status, 400, "{word} {body}");
            assert!(problem.detail.contains(said) && problem.remedy.is_some(), "{word} {body}: {problem:?}");
        }
    }

    #[test]
    fn a_bulk_action_names_what_it_is_for() {
        let many = |word: &str, body: &Json| bulk(of(word), &HeaderMap::new(), body.to_string().as_bytes());
        let body = json!({"where": {"site": "hamburg"}, "group": "refused/x", "until": "2026-01-01T00:00:00Z",
            "after": 7, "limit": 3, "dry_run": true, "by": "mia"});
        let read = many("retry", &body).unwrap();
        assert_eq!((read.filters.len(), read.after, read.limit, read.dry_run), (1, Some(7), 3, true));
        assert_eq!(read.body(), body);
        for (word, body, said) in [
            ("retry", json!({}), "nothing says which"),
            ("retry", json!({"group": "x", "limit": 501}), "between 1 and 500"),
            ("retry", json!({"where": ["a"]}), "`where`"),
            ("edit", json!({"group": "x", "input": {}}), "of one exception"),
            ("skip", json!({"group": "x", "document": "1", "reason": "y"}), "of one exception"),
            ("discard", json!({"group": "x"}), "no reason"),
        ] {
            let problem = many(word, &body).unwrap_err();
            assert!(problem.detail.contains(said) && problem.remedy.is_some(), "{word} {body}: {problem:?}");
        }
    }
}
