//! What a JSON Schema says about a path: whether a value of that shape can have it.

use crate::expr::Step;
use serde_json::Value as Json;

/// References followed at most; a schema may refer to itself.
const REFERENCES_MAX: usize = 16;

/// A step that leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nowhere {
    /// The key that no value of the schema has.
    pub(crate) key: String,
    /// The keys it has there; none where the value has no keys at all.
    pub(crate) known: Vec<String>,
}

/// Follows a path through a schema; `Err` only where no value of the schema can have it.
pub(crate) fn follow(schema: &Json, path: &[Step]) -> Result<(), Nowhere> {
    let mut at = resolved(schema, schema);
    for step in path {
        let Some(here) = at else { return Ok(()) };
        at = match step {
            Step::Key(key) => match field(here, key)? {
                Some(next) => resolved(schema, next),
                None => return Ok(()),
            },
            Step::Index(_) | Step::Each => match here.get("items") {
                Some(items) => resolved(schema, items),
                None => return Ok(()),
            },
        };
    }
    Ok(())
}

/// What stands one step further in a part of a schema; `Ok(None)` where the schema does not tell.
pub(crate) fn step<'s>(root: &'s Json, here: &'s Json, step: &Step) -> Result<Option<&'s Json>, Nowhere> {
    let next = match step {
        Step::Key(key) => field(here, key)?,
        Step::Index(_) | Step::Each => here.get("items"),
    };
    Ok(next.and_then(|next| resolved(root, next)))
}

/// The schema of what stands at a path; `None` where the schema does not tell.
pub(crate) fn at<'s>(schema: &'s Json, path: &[Step]) -> Option<&'s Json> {
    path.iter().try_fold(resolved(schema, schema)?, |here, step| {
        let next = match step {
            Step::Key(key) => here.get("properties")?.get(key)?,
            Step::Index(_) | Step::Each => here.get("items")?,
        };
        resolved(schema, next)
    })
}

fn field<'s>(here: &'s Json, key: &str) -> Result<Option<&'s Json>, Nowhere> {
    let properties = here.get("properties").and_then(Json::as_object);
    if let Some(found) = properties.and_then(|properties| properties.get(key)) {
        return Ok(Some(found));
    }
    let is_closed =
        here.get("additionalProperties") == Some(&Json::Bool(false)) && here.get("patternProperties").is_none();
    let is_plain = matches!(here.get("type").and_then(Json::as_str), Some("string" | "number" | "integer" | "boolean"));
    if is_closed || is_plain {
        let known = properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default();
        return Err(Nowhere { key: key.to_owned(), known });
    }
    Ok(None)
}

/// A schema with its reference followed; `None` where that cannot be done here.
pub(crate) fn resolved<'s>(root: &'s Json, schema: &'s Json) -> Option<&'s Json> {
    let mut at = schema;
    for _ in 0..REFERENCES_MAX {
        match at.get("$ref").and_then(Json::as_str) {
            None => return Some(at),
            Some(reference) => at = root.pointer(reference.strip_prefix('#')?)?,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_nowhere_only_where_the_schema_is_closed() {
        let schema = json!({
            "additionalProperties": false,
            "properties": {
                "open": { "type": "object" },
                "text": { "type": "string" },
                "list": { "type": "array", "items": { "$ref": "#/$defs/item" } }
            },
            "$defs": { "item": { "additionalProperties": false, "properties": { "a": {} } } }
        });
        let key = |key: &str| Step::Key(key.to_owned());
        assert!(follow(&schema, &[key("open"), key("anything"), key("below")]).is_ok());
        assert!(follow(&schema, &[key("list"), Step::Index(0), key("a"), key("b")]).is_ok());
        assert_eq!(follow(&schema, &[key("list"), Step::Each, key("b")]).unwrap_err().known, ["a"]);
        assert!(follow(&schema, &[key("text"), key("x")]).is_err());
        assert_eq!(follow(&schema, &[key("opne")]).unwrap_err().known, ["open", "text", "list"]);
    }
}
