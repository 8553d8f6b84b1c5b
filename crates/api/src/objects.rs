//! Business objects: what is asked for and given, and how systems are read.

use crate::problem::Problem;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// What names an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its type: `ProductionOrder`.
    pub kind: String,
    /// Its site.
    pub site: String,
    /// Its number in the system of record.
    pub number: String,
}

/// An object that is given.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectPut {
    /// Which one.
    pub of: ObjectRef,
    /// What is told of it: an [`ObjectBody`].
    pub body: Json,
    /// The revision of the version that must be the newest; 0: there must be none. `None`: whatever is there.
    pub expected: Option<u64>,
    /// Who gives it; claimed and not proven.
    pub actor: Option<String>,
}

/// What is told of an object. Without `from` it always was valid, null says that it is not valid yet; without `assets`
/// those in the object count.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ObjectBody {
    /// Its fields, as its schema names them; `number` and `site` are added.
    #[schema(value_type = Object)]
    pub object: Json,
    /// From when it is valid for its assets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until when; null or absent: it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The assets that it is valid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<Vec<String>>,
    /// The line for whose assets it is valid besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// What became of an object that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectGiven {
    /// `<Type>/<site>/<number>`.
    pub name: String,
    /// The revision that brought its newest version; the entity tag.
    pub revision: u64,
    /// Whether anything was new.
    pub changed: bool,
    /// The event that tells of it.
    pub event: Option<String>,
}

/// A version of an object.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ObjectVersion {
    /// Its site.
    pub site: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its number in the system of record.
    pub number: String,
    /// The revision of the context that brought this version.
    pub revision: u64,
    /// When it became known.
    pub known: String,
    /// From when it is valid for its assets; absent: always before `to`.
    pub from: Option<String>,
    /// Until when it is valid; absent: it is open.
    pub to: Option<String>,
    /// The assets that it is valid for.
    #[serde(default)]
    pub assets: Vec<String>,
    /// The line for whose assets it is valid besides.
    pub line: Option<String>,
    /// Who told it.
    pub origin: String,
    /// Its fields.
    #[schema(value_type = Object)]
    pub data: Json,
}

/// An object with its history.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ObjectHistory {
    /// `<Type>/<site>/<number>`.
    pub name: String,
    /// Its newest version.
    #[schema(value_type = Object)]
    pub object: Json,
    /// All its versions, oldest first, at most 1,000.
    #[schema(value_type = Vec<ObjectVersion>)]
    pub versions: Vec<Json>,
}

/// A read of a system, for a site or for all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Read {
    /// `<system>.<read>`.
    pub read: String,
    /// The site that it asks for; absent: all at once.
    pub site: Option<String>,
    /// The schema of its objects.
    pub object: String,
    /// `poll`: the system is asked; `webhook`: it posts.
    pub by: String,
    /// `ok`, `failing` (the last poll was not answered), `stale` (not for longer than `max-age`) or `waiting` (for its
    /// first answer).
    pub state: String,
    /// Why, where it is not well.
    pub detail: String,
    /// What to do next; empty where there is nothing.
    pub remedy: String,
    /// When the last answer was whole.
    pub answered: Option<String>,
    /// How long ago that is, in seconds.
    pub age_seconds: Option<u64>,
    /// Objects that the last poll changed; of a webhook, all posts.
    pub changed: u64,
    /// Items that the last poll set aside; of a webhook, all posts.
    pub aside: u64,
    /// Of a webhook: posts that were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posts: Option<u64>,
    /// Of a webhook: posts that were sent again, by their id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// In how many seconds it is asked again; absent: it is being asked, or the instance is stopped.
    pub next_seconds: Option<u64>,
    /// What the next poll begins with.
    #[schema(value_type = Object)]
    pub cursor: Json,
}

/// The revision that a request expects, by `If-Match` or `If-None-Match: *`.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let wrong = |what: &str| {
        Problem::request(format!("{what} is none of ours"))
            .remedy("send `If-Match: \"8812\"` with the ETag of an answer, or `If-None-Match: *`")
    };
    match (text("if-match"), text("if-none-match")) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(0)),
        (Some(tag), None) => {
            let number = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|n| n.parse().ok());
            number.filter(|number| *number > 0).map(Some).ok_or_else(|| wrong("If-Match"))
        }
        _ => Err(wrong("If-None-Match")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_a_revision_or_nothing() {
        let of = |name: &'static str, value: &str| {
            let headers = [(axum::http::HeaderName::from_static(name), value.parse().unwrap())];
            expected(&headers.into_iter().collect()).map_err(|problem| problem.status)
        };
        assert_eq!(of("if-match", "\"8812\""), Ok(Some(8812)));
        assert_eq!(of("if-none-match", "*"), Ok(Some(0)));
        assert_eq!(of("accept", "*"), Ok(None));
        for wrong in ["8812", "\"x\"", "\"0\"", "*", ""] {
            assert_eq!(of("if-match", wrong), Err(400), "{wrong}");
        }
        assert_eq!(of("if-none-match", "\"1\""), Err(400));
    }
}
