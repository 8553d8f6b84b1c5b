//! The part of the `OpenAPI` document about what people do with exceptions.

use crate::{
    cancel::TEXT_MAX,
    decisions::BY_MAX,
    exceptions::{Action, BULK_DEFAULT, BULK_MAX, CHANGES_MAX},
    openapi::parameter,
};
use serde_json::{Map, Value as Json, json};

/// `/v1/exceptions/{id}/{action}`.
pub(crate) fn one(action: &Action) -> Json {
    let id = parameter("id", "path", "The exception.", &json!({"type": "string"}));
    json!({"post": {
        "summary": action.about,
        "operationId": format!("{}-exception", action.word),
        "description": "It is durable, and stands in the audit, before this is answered.",
        "parameters": [id],
        "requestBody": body(action, Map::new()),
        "responses": {
            "200": answer("It is done.", "ExceptionDone"),
            "404": problem("There is no such exception."),
            "409": problem("The exception has ended, or stands where this cannot be done."),
            "422": problem("What was given does not fit."),
            "default": problem("Why not, and what to do next.")
        }
    }})
}

/// `/v1/exceptions/{action}`.
pub(crate) fn bulk(action: &Action) -> Json {
    let fields = json!({
        "where": {
            "type": "object", "additionalProperties": {"type": "string"},
            "description": "Fields of the exception and the values they must have; fields of objects with dots."
        },
        "group": {"type": "string", "description": "The fingerprint of a group."},
        "until": {
            "type": "string",
            "description": "`until` of the first page: what is first seen later is left alone."
        },
        "after": {"type": "integer", "minimum": 0, "description": "`next` of the page before."},
        "limit": {
            "type": "integer", "minimum": 1, "maximum": BULK_MAX, "default": BULK_DEFAULT,
            "description": "Exceptions of this page at most."
        },
        "dry_run": {"type": "boolean", "default": false, "description": "Changes nothing."}
    });
    let fields = fields.as_object().cloned().unwrap_or_default();
    json!({"post": {
        "summary": format!("The same for all unfinished exceptions that match: {}", action.about),
        "operationId": format!("{}-exceptions", action.word),
        "description": "A page, oldest first; go on with `after` and `until` until `next` is null. Needs `where` or \
            `group`. What has ended, or is on its way already, does not match. An exception is looked at once, and \
            each that is refused is told: `matched` is the sum of `done` and `refused`.",
        "requestBody": body(action, fields),
        "responses": {
            "200": answer("What became of this page.", "BulkDone"),
            "default": problem("Why not, and what to do next.")
        }
    }})
}

fn body(action: &Action, mut fields: Map<String, Json>) -> Json {
    let is_bulk = !fields.is_empty();
    let mut required: Vec<&str> = Vec::new();
    for (name, about, needed) in action.fields {
        if is_bulk && about.ends_with("only.") {
            continue;
        }
        let schema = match *name {
            "not_there" => json!({"type": "boolean", "default": false}),
            "input" => json!({"type": "object"}),
            "set" => json!({"type": "object", "maxProperties": CHANGES_MAX}),
            "output" => json!({}),
            _ => json!({"type": "string", "minLength": 1, "maxLength": BY_MAX}),
        };
        fields.insert((*name).to_owned(), with(schema, "description", json!(about)));
        required.extend(needed.then_some(*name));
    }
    let by = "Who says so; claimed and not proven.";
    fields.insert("by".into(), json!({"type": "string", "minLength": 1, "maxLength": BY_MAX, "description": by}));
    fields.insert(
        "reason".into(),
        json!({"type": "string", "minLength": 1, "maxLength": TEXT_MAX, "description": "Why."}),
    );
    required.extend(action.reasoned.then_some("reason"));
    let needed = is_bulk || !required.is_empty() || action.word == "edit";
    let mut schema = json!({"type": "object", "properties": fields, "additionalProperties": false});
    if !required.is_empty() {
        schema = with(schema, "required", json!(required));
    }
    json!({"required": needed, "content": {"application/json": {"schema": schema}}})
}

fn with(mut schema: Json, name: &str, value: Json) -> Json {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(name.to_owned(), value);
    }
    schema
}

fn answer(about: &str, schema: &str) -> Json {
    json!({
        "description": about,
        "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}}
    })
}

fn problem(about: &str) -> Json {
    json!({
        "description": about,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    })
}
