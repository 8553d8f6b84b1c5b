//! What a person does to alarms: shelves them, disables their rule, and takes that back.

use crate::{
    problem::Problem,
    query::{decode, strange},
};
use andon_model::span::Span;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The header that says who asks. Nobody proves it: until there are users it is what the caller claims.
pub const ACTOR: &str = "x-andon-actor";
/// Characters of an actor's name at most.
pub const ACTOR_MAX: usize = 200;
/// Characters of a reason at most.
pub const REASON_MAX: usize = 1_000;

/// What is asked to be done to the alarms of a rule for an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlQuery {
    /// The rule.
    pub rule: String,
    /// The asset.
    pub asset: String,
    /// What to do.
    pub act: Act,
    /// Who asks, 1 to [`ACTOR_MAX`] characters.
    pub actor: String,
    /// Why, 1 to [`REASON_MAX`] characters.
    pub reason: String,
}

/// What can be done to alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Alarms are recorded and not raised.
    Shelve {
        /// So long; `None`: as long as the project allows.
        within: Option<Span>,
        /// And only until an alarm returns.
        once: bool,
    },
    /// They are raised again.
    Unshelve,
    /// The rule is not evaluated for the asset.
    Disable,
    /// It is evaluated again.
    Enable,
}

/// The words of the acts, in paths and commands.
pub const ACTS: [&str; 4] = ["shelve", "unshelve", "disable", "enable"];

impl Act {
    /// The word of paths and commands.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shelve { .. } => "shelve",
            Self::Unshelve => "unshelve",
            Self::Disable => "disable",
            Self::Enable => "enable",
        }
    }
}

/// What was done to the alarms of a rule for an asset; it is durable, and holds from its place in the log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The rule.
    pub rule: String,
    /// The asset.
    pub asset: String,
    /// What was done: shelve, unshelve, disable or enable.
    pub act: String,
    /// Who says to have done it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, UTC.
    pub at: String,
    /// When a shelving ends at the latest, UTC.
    pub until: Option<String>,
    /// Whether a shelving ends with the return of an alarm.
    pub once: bool,
    /// Its place in the log.
    pub position: String,
}

/// A rule for an asset that has an alarm, or whose alarms are shelved, suppressed or not looked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// The rule.
    pub rule: String,
    /// The asset.
    pub asset: String,
    /// The asset's site.
    pub site: String,
    /// Whether an alarm stands.
    pub active: bool,
    /// Whether the alarm that stands was raised; otherwise it is only recorded.
    pub raised: bool,
    /// What keeps alarms from being raised: open (nothing), shelved, suppressed, or disabled.
    pub gate: String,
    /// The kind of rule of the alarm that stands.
    pub condition: Option<String>,
    /// Its level, of a limit.
    pub limit: Option<String>,
    /// What else tells alarms of one rule apart.
    pub outcome: Option<String>,
    /// 1 to 1000.
    pub severity: Option<u16>,
    /// When its condition began.
    pub since: Option<String>,
    /// The event of its beginning.
    pub event: Option<String>,
    /// Who says to have shelved or disabled it.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When a shelving ends at the latest.
    pub until: Option<String>,
    /// Whether a shelving ends with the next return.
    pub once: bool,
}

/// Reads what is asked: `act` of the path, `for`, `once` and `reason` of the query, the actor of the header.
pub(crate) fn control(
    rule: String,
    asset: String,
    act: &str,
    headers: &HeaderMap,
    pairs: &[(String, String)],
) -> Result<ControlQuery, Problem> {
    let (mut within, mut once, mut reason) = (None, false, String::new());
    for (name, value) in pairs {
        match (name.as_str(), value.as_str()) {
            ("reason", value) => value.trim().clone_into(&mut reason),
            ("for", value) if act == "shelve" => {
                let span = Span::parse(value).ok().filter(|span| *span > Span::ZERO);
                let wrong =
                    || Problem::request(format!("`for={value}` is no time")).remedy("write for=8h or for=30min");
                within = Some(span.ok_or_else(wrong)?);
            }
            ("once", "" | "true") if act == "shelve" => once = true,
            ("once", "false") if act == "shelve" => once = false,
            _ if act == "shelve" => return Err(strange(name, value, "reason=, for=<duration>, once=true")),
            _ => return Err(strange(name, value, "reason=")),
        }
    }
    let act = match act {
        "shelve" if within.is_none() && !once => {
            let missing = Problem::request("nothing says for how long alarms are shelved");
            return Err(missing.remedy("add for=8h, or once=true: until the alarm returns"));
        }
        "shelve" => Act::Shelve { within, once },
        "unshelve" => Act::Unshelve,
        "disable" => Act::Disable,
        "enable" => Act::Enable,
        other => {
            return Err(Problem::not_found(format!("nothing is done to alarms by {other:?}")).remedy(ACTS.join(", ")));
        }
    };
    let actor = actor(headers)?;
    for (text, most, what, remedy) in [
        (&actor, ACTOR_MAX, "the header X-Andon-Actor", "say who asks, percent-encoded where it is not ASCII"),
        (&reason, REASON_MAX, "`reason`", "say why, for those who look at the alarm next"),
    ] {
        if text.is_empty() {
            return Err(Problem::request(format!("{what} is missing or empty")).remedy(remedy));
        }
        if text.chars().count() > most || text.chars().any(char::is_control) {
            let wrong = format!("{what} is longer than {most} characters, or more than one line");
            return Err(Problem::request(wrong).remedy("shorten it"));
        }
    }
    Ok(ControlQuery { rule, asset, act, actor, reason })
}

/// Who asks, as the header says; empty where it says nothing.
pub(crate) fn actor(headers: &HeaderMap) -> Result<String, Problem> {
    let actor = headers.get(ACTOR).and_then(|value| value.to_str().ok()).unwrap_or("");
    Ok(decode(&actor.replace('+', "%2B"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(act: &str, actor: &'static str, query: &str) -> Result<ControlQuery, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(ACTOR, HeaderValue::from_static(actor));
        control("hot".into(), "m".into(), act, &headers, &crate::query::pairs(query)?)
    }

    #[test]
    fn an_act_is_read_or_its_fault_is_named() {
        let done = read("shelve", "J%C3%BCrgen+1", "for=1h+30min&reason=belt%20change").unwrap();
        assert_eq!(done.act, Act::Shelve { within: Some(Span::from_secs(5_400)), once: false });
        assert_eq!((done.actor.as_str(), done.reason.as_str()), ("Jürgen+1", "belt change"));
        let once = read("shelve", "ann", "once&reason=x").unwrap();
        assert_eq!(once.act, Act::Shelve { within: None, once: true });
        for (word, act) in [("unshelve", Act::Unshelve), ("disable", Act::Disable), ("enable", Act::Enable)] {
            assert_eq!(read(word, "ann", "reason=x").unwrap().act, act);
            assert_eq!(act.word(), word);
            assert!(ACTS.contains(&word));
        }
        for (act, actor, query, status) in [
            ("shelve", "ann", "reason=x", 400),
            ("shelve", "ann", "for=0s&reason=x", 400),
            ("shelve", "ann", "for=soon&reason=x", 400),
            ("shelve", "ann", "once=maybe&reason=x", 400),
            ("shelve", "ann", "for=1h", 400),
            ("shelve", "ann", "for=1h&reason=%20", 400),
            ("shelve", "ann", "for=1h&reason=a%0Ab", 400),
            ("shelve", "", "for=1h&reason=x", 400),
            ("unshelve", "ann", "for=1h&reason=x", 400),
            ("silence", "ann", "reason=x", 404),
        ] {
            let problem = read(act, actor, query).unwrap_err();
            assert_eq!(problem.status, status, "{act} {actor} {query}");
            assert!(problem.remedy.is_some(), "{act} {actor} {query}");
        }
    }
}
