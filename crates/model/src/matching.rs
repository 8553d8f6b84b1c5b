//! When two reports tell one fact: what an event type names as its match, and the interval of a fact.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The keyword of a schema that names a match. Validators of JSON Schema leave it alone.
pub const KEYWORD: &str = "x-andon-match";

/// Steps of a pointer, and references that are followed, at most.
const DEPTH_MAX: usize = 16;

/// The match that an event type names: events about the same subject whose intervals overlap tell the same fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// JSON pointer into the data: when the fact began.
    pub from: String,
    /// JSON pointer into the data: when it ended; nothing there: it has not ended.
    pub to: String,
}

/// The interval of a fact, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// When it began.
    pub from: Time,
    /// When it ended; `None`: it has not ended, as far as this report knows.
    pub to: Option<Time>,
}

/// A match that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct NotAMatch {
    /// JSON pointer within the schema of the key that is wrong.
    pub at: String,
    /// What is wrong with it.
    pub cause: String,
    /// What would be right.
    pub expected: String,
    /// Of a name that nothing has: the name, and those that there are.
    pub known: Option<(String, Vec<String>)>,
}

impl NotAMatch {
    fn new(key: &str, cause: impl Into<String>, expected: &str) -> Self {
        let at = if key.is_empty() { format!("/{KEYWORD}") } else { format!("/{KEYWORD}/{key}") };
        Self { at, cause: cause.into(), expected: expected.to_owned(), known: None }
    }
}

impl Match {
    /// Reads the match of a schema; `None` where it names none.
    pub fn of(schema: &Json) -> Result<Option<Self>, NotAMatch> {
        let Some(named) = schema.get(KEYWORD) else { return Ok(None) };
        let shape = "`{\"subject\": true, \"from\": \"/<field>\", \"to\": \"/<field>\"}`";
        let Some(keys) = named.as_object() else {
            return Err(NotAMatch::new("", format!("`{KEYWORD}` is no object"), shape));
        };
        if let Some(key) = keys.keys().find(|key| !matches!(key.as_str(), "subject" | "from" | "to")) {
            let wrong = NotAMatch::new(key, format!("a match has no key `{key}`"), "`subject`, `from` and `to`");
            let known = ["subject", "from", "to"].map(str::to_owned).to_vec();
            return Err(NotAMatch { known: Some((key.clone(), known)), ..wrong });
        }
        if keys.get("subject") != Some(&Json::Bool(true)) {
            let cause = "a match is of events about the same subject";
            return Err(NotAMatch::new("subject", cause, "`\"subject\": true`"));
        }
        let pointer = |key: &str, always: bool| {
            let pointer = keys.get(key).and_then(Json::as_str).unwrap_or_default();
            time_at(schema, pointer, always).map_err(|(cause, fields)| {
                let expected = if always {
                    "a JSON pointer to a required field with `\"type\": \"string\", \"format\": \"date-time\"`"
                } else {
                    "a JSON pointer to a field with `\"type\": \"string\", \"format\": \"date-time\"`"
                };
                let known = fields.map(|fields| (pointer.to_owned(), fields));
                NotAMatch { known, ..NotAMatch::new(key, format!("`{key}`: {cause}"), expected) }
            })?;
            Ok(pointer.to_owned())
        };
        Ok(Some(Self { from: pointer("from", true)?, to: pointer("to", false)? }))
    }

    /// The interval that the data of an event tell; `None` where they tell no beginning.
    pub fn interval(&self, data: &Json) -> Option<Interval> {
        let time = |pointer: &str| Time::parse(data.pointer(pointer)?.as_str()?).ok();
        Some(Interval { from: time(&self.from)?, to: time(&self.to) })
    }
}

/// Whether a pointer leads to a time of the data; with `always` only by fields that are required. Where there is no
/// such field, the error has those that there are.
fn time_at(schema: &Json, pointer: &str, always: bool) -> Result<(), (String, Option<Vec<String>>)> {
    let Some(path) = pointer.strip_prefix('/') else {
        return Err(("this is no JSON pointer".to_owned(), None));
    };
    let mut walked = String::new();
    let mut at = resolved(schema, schema);
    for step in path.split('/').take(DEPTH_MAX) {
        let name = step.replace("~1", "/").replace("~0", "~");
        let Some(field) = at.get("properties").and_then(|fields| fields.get(&name)) else {
            let fields = at.get("properties").and_then(Json::as_object).into_iter().flat_map(|fields| fields.keys());
            let fields = fields.map(|field| format!("{walked}/{}", field.replace('~', "~0").replace('/', "~1")));
            return Err((format!("the schema has no field `{pointer}`"), Some(fields.collect())));
        };
        walked = format!("{walked}/{step}");
        let required = at.get("required").and_then(Json::as_array).into_iter().flatten();
        if always && !required.into_iter().any(|required| *required == *name) {
            return Err((format!("the field `{pointer}` is not required, so an event may not say it"), None));
        }
        at = resolved(schema, field);
    }
    let says = |key: &str, value: &str| at.get(key).and_then(Json::as_str) == Some(value);
    if says("type", "string") && says("format", "date-time") {
        return Ok(());
    }
    Err((format!("the field `{pointer}` is no date-time"), None))
}

/// What a reference within the schema stands for; anything else itself.
fn resolved<'a>(schema: &'a Json, mut at: &'a Json) -> &'a Json {
    for _ in 0..DEPTH_MAX {
        let reference = at.get("$ref").and_then(Json::as_str).and_then(|reference| reference.strip_prefix('#'));
        match reference.and_then(|pointer| schema.pointer(pointer)) {
            Some(other) => at = other,
            None => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schemas;
    use serde_json::json;

    fn schema(named: &Json) -> Json {
        json!({
            KEYWORD: named,
            "type": "object",
            "required": ["from", "when", "said"],
            "properties": {
                "from": {"type": "string", "format": "date-time"},
                "to": {"$ref": "#/$defs/time"},
                "text": {"type": "string"},
                "when": {"$ref": "#/$defs/when"},
                "loop": {"$ref": "#/properties/loop"},
            },
            "$defs": {
                "time": {"type": "string", "format": "date-time"},
                "when": {"required": ["a/b"], "properties": {"a/b": {"$ref": "#/$defs/time"}}},
            }
        })
    }

    #[test]
    fn a_match_leads_to_times() {
        let of = |from: &str, to: &str| Match::of(&schema(&json!({"subject": true, "from": from, "to": to})));
        let good = of("/from", "/to").unwrap().unwrap();
        assert_eq!(good, Match { from: "/from".into(), to: "/to".into() });
        assert!(of("/when/a~1b", "/to").unwrap().is_some(), "through objects and references");
        assert_eq!(Match::of(&json!({"type": "object"})), Ok(None));
        for (from, to, cause) in [
            ("", "/to", "no JSON pointer"),
            ("from", "/to", "no JSON pointer"),
            ("/form", "/to", "no field `/form`"),
            ("/to", "/from", "not required"),
            ("/from", "/text", "no date-time"),
            ("/from", "/loop", "no date-time"),
            ("/from", "", "no JSON pointer"),
        ] {
            let error = of(from, to).unwrap_err();
            assert!(error.cause.contains(cause), "{from} {to}: {error}");
        }
        let (written, known) = of("/when/a", "/to").unwrap_err().known.unwrap();
        assert_eq!((written.as_str(), known), ("/when/a", vec!["/when/a~1b".to_owned()]));
    }

    #[test]
    fn a_match_of_another_shape_says_which_key_is_wrong() {
        for (named, at) in [
            (json!(true), "/x-andon-match"),
            (json!({"subject": false, "from": "/from", "to": "/to"}), "/x-andon-match/subject"),
            (json!({"from": "/from", "to": "/to"}), "/x-andon-match/subject"),
            (json!({"subject": true, "from": 7, "to": "/to"}), "/x-andon-match/from"),
            (json!({"subject": true, "from": "/from", "to": "/to", "within": "5 min"}), "/x-andon-match/within"),
        ] {
            assert_eq!(Match::of(&schema(&named)).unwrap_err().at, at, "{named}");
        }
    }

    #[test]
    fn data_tell_an_interval() {
        let of = Match { from: "/from".into(), to: "/to".into() };
        let time = |text: &str| Time::parse(text).unwrap();
        let (from, to) = ("2026-11-22T08:00:00Z", "2026-11-22T08:10:00+01:00");
        let whole = Interval { from: time(from), to: Some(time("2026-11-22T07:10:00Z")) };
        assert_eq!(of.interval(&json!({"from": from, "to": to})), Some(whole));
        assert_eq!(of.interval(&json!({"from": from})), Some(Interval { from: time(from), to: None }));
        assert_eq!(of.interval(&json!({"from": from, "to": "soon"})), Some(Interval { from: time(from), to: None }));
        assert_eq!(of.interval(&json!({"to": to})), None);
        assert_eq!(of.interval(&json!(null)), None);
    }

    #[test]
    fn a_downtime_has_a_match_and_an_alarm_has_none() {
        let schemas = Schemas::built_in();
        let data = json!({"change": "started", "from": "2026-11-22T08:00:00Z", "planned": false});
        assert!(schemas.interval("andon:asset.downtime/1.0", &data).is_some());
        assert!(schemas.interval("asset.alarm", &json!({"since": "2026-11-22T08:00:00Z"})).is_none());
        assert!(schemas.interval("nothing.at.all", &data).is_none());
    }
}
