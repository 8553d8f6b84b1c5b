//! Edits of an input: changes at places, what differs, and what was hidden from whoever edited it.

use andon_api::Problem;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The deepest place that is changed.
const DEPTH_MAX: usize = 32;

/// An input with changes: a place is a JSON pointer, or a path with dots; `null` removes a field.
pub(crate) fn changed(input: &Json, set: &BTreeMap<String, Json>) -> Result<Json, Problem> {
    let mut edited = input.clone();
    for (place, value) in set {
        put(&mut edited, place, value)?;
    }
    Ok(edited)
}

fn parts(place: &str) -> Vec<String> {
    match place.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect(),
        None => place.split('.').map(str::to_owned).collect(),
    }
}

fn put(input: &mut Json, place: &str, value: &Json) -> Result<(), Problem> {
    let wrong = |why: &str| {
        Problem::content(format!("{place:?} is no place of the input: {why}")).remedy(
            "write a JSON pointer like /lines/0/unit, or a path like lines.0.unit; `andon show` tells the input",
        )
    };
    let parts = parts(place);
    if parts.len() > DEPTH_MAX {
        return Err(wrong(&format!("it has more than {DEPTH_MAX} parts")));
    }
    let Some((name, way)) = parts.split_last() else { return Err(wrong("it is empty")) };
    let mut at = input;
    for part in way {
        at = match at {
            Json::Object(object) => object.entry(part.clone()).or_insert_with(|| json!({})),
            Json::Array(list) => {
                let many = list.len();
                let found = part.parse::<usize>().ok().and_then(|index| list.get_mut(index));
                found.ok_or_else(|| wrong(&format!("{part:?} is none of {many} items")))?
            }
            _ => return Err(wrong(&format!("there is nothing below {part:?}"))),
        };
    }
    match at {
        Json::Object(object) if value.is_null() => {
            object.remove(name).ok_or_else(|| wrong("there is no such field to remove"))?;
        }
        Json::Object(object) => {
            object.insert(name.clone(), value.clone());
        }
        Json::Array(list) => {
            let many = list.len();
            let found = name.parse::<usize>().ok().and_then(|index| list.get_mut(index));
            *found.ok_or_else(|| wrong(&format!("{name:?} is none of {many} items")))? = value.clone();
        }
        _ => return Err(wrong(&format!("there is nothing below {name:?}"))),
    }
    Ok(())
}

/// An input that somebody edited as it was shown: where it still says what was shown, what was hidden there stays.
pub(crate) fn restored(original: &Json, shown: &Json, edited: &Json) -> Json {
    if edited == shown {
        return original.clone();
    }
    match (original, shown, edited) {
        (Json::Object(original), Json::Object(shown), Json::Object(edited)) => {
            let field = |(name, value): (&String, &Json)| {
                let value = match (original.get(name), shown.get(name)) {
                    (Some(original), Some(shown)) => restored(original, shown, value),
                    _ => value.clone(),
                };
                (name.clone(), value)
            };
            Json::Object(edited.iter().map(field).collect())
        }
        (Json::Array(original), Json::Array(shown), Json::Array(edited)) => {
            let item = |(at, value): (usize, &Json)| match (original.get(at), shown.get(at)) {
                (Some(original), Some(shown)) => restored(original, shown, value),
                _ => value.clone(),
            };
            Json::Array(edited.iter().enumerate().map(item).collect())
        }
        _ => edited.clone(),
    }
}

/// Where two inputs differ: JSON pointer, before and after; a field that is not there is left out.
pub(crate) fn difference(before: &Json, after: &Json) -> Vec<Json> {
    let mut all = Vec::new();
    differ("", Some(before), Some(after), &mut all);
    all
}

fn differ(at: &str, before: Option<&Json>, after: Option<&Json>, all: &mut Vec<Json>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Json::Object(before)), Some(Json::Object(after))) => {
            let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
            for name in names {
                let below = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                differ(&below, before.get(name), after.get(name), all);
            }
        }
        (Some(Json::Array(before)), Some(Json::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                differ(&format!("{at}/{index}"), before.get(index), after.get(index), all);
            }
        }
        _ => {
            let mut one = json!({ "at": at });
            for (name, value) in [("from", before), ("to", after)] {
                if let (Some(one), Some(value)) = (one.as_object_mut(), value) {
                    one.insert(name.to_owned(), value.clone());
                }
            }
            all.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, Json)]) -> BTreeMap<String, Json> {
        pairs.iter().map(|(place, value)| ((*place).to_owned(), value.clone())).collect()
    }

    #[test]
    fn places_are_pointers_or_paths() {
        let input = json!({"unit": "kg", "lines": [{"n": 1}, {"n": 2}], "a/b": 1, "gone": true});
        let changes = [
            ("/lines/1/n", json!(7)),
            ("lines.0.n", json!("x")),
            ("/a~1b", json!(2)),
            ("gone", Json::Null),
            ("new.deep", json!([1])),
        ];
        let wanted = json!({"unit": "kg", "lines": [{"n": "x"}, {"n": 7}], "a/b": 2, "new": {"deep": [1]}});
        assert_eq!(changed(&input, &set(&changes)).unwrap(), wanted);
        for (place, said) in [("lines.2.n", "none of 2"), ("/unit/x", "nothing below"), ("/not", "no such field")] {
            let problem = changed(&input, &set(&[(place, Json::Null)])).unwrap_err();
            assert!(problem.detail.contains(said) && problem.remedy.is_some(), "{problem:?}");
        }
    }

    #[test]
    fn what_was_hidden_stays_where_nobody_changed_it() {
        let original = json!({"url": "/a?k=s3cret", "identity": {"token": "s3cret"}, "n": [1, "s3cret"]});
        let shown = json!({"url": "/a?k=[redacted]", "identity": {"token": "[redacted]"}, "n": [1, "[redacted]"]});
        let mut edited = shown.clone();
        edited["n"][0] = json!(2);
        edited["more"] = json!("[redacted]");
        let back = restored(&original, &shown, &edited);
        let wanted = json!({"url": "/a?k=s3cret", "identity": {"token": "s3cret"}, "n": [2, "s3cret"],
            "more": "[redacted]"});
        assert_eq!(back, wanted);
        assert_eq!(restored(&original, &shown, &shown), original);
    }

    #[test]
    fn a_difference_names_each_place() {
        let (before, after) = (json!({"a": 1, "b": [1, 2], "c": {}}), json!({"a": 2, "b": [1], "c": {}, "d/e": null}));
        let wanted = json!([
            {"at": "/a", "from": 1, "to": 2}, {"at": "/b/1", "from": 2}, {"at": "/d~1e", "to": null}
        ]);
        assert_eq!(json!(difference(&before, &after)), wanted);
        assert!(difference(&before, &before).is_empty());
    }
}
