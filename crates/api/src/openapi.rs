//! The `OpenAPI` document, made from the types and the table of kinds.

use crate::{backend, kind::KINDS, problem, types};
use serde_json::{Value as Json, json};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Andon",
        description = "Events, runs, calls and their lineage; samples in. Served on loopback.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(
        types::Readiness,
        types::Status,
        types::Finding,
        types::Source,
        types::Seam,
        types::Term,
        types::Event,
        types::Run,
        types::Task,
        types::Call,
        types::Attempt,
        types::Exception,
        types::Quarantine,
        types::Sample,
        types::Gap,
        types::ContractRevision,
        problem::Problem,
        problem::Placed,
        backend::Accepted,
    ))
)]
struct Schemas;

/// The document of everything that is served.
pub fn document() -> Json {
    let mut document = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
    let mut paths = serde_json::Map::new();
    let mut put = |path: &str, item: Json| paths.insert(path.to_owned(), item);
    put("/healthz", text("Whether the process answers.", "health", "The process answers."));
    put(
        "/readyz",
        json!({"get": {
            "summary": "Whether the instance does its work.", "operationId": "readiness",
            "responses": {"200": answer("It does.", "Readiness"), "503": answer("Something is missing.", "Readiness")}
        }}),
    );
    put("/metrics", text("Metrics in the text format of Prometheus.", "metrics", "The metrics."));
    put(
        "/v1/status",
        json!({"get": {
            "summary": "Health with reasons and what to do next.", "operationId": "status",
            "responses": {"200": answer("The health.", "Status"), "default": problem()}
        }}),
    );
    for listed in KINDS {
        put(&format!("/v1/{}", listed.word), list(listed.word, listed.about, listed.schema));
    }
    let id = parameter(
        "id",
        "path",
        "An id, a reference of a call, or the number of a document.",
        &json!({"type": "string"}),
    );
    for (word, about) in
        [("show", "One thing, whole."), ("explain", "Lineage: backwards to the samples, forwards to every effect.")]
    {
        put(
            &format!("/v1/{word}/{{id}}"),
            json!({"get": {
                "summary": about, "operationId": word, "parameters": [id],
                "responses": {
                    "200": {
                        "description": "The answer.",
                        "content": {"application/json": {"schema": {"type": "object"}}}
                    },
                    "default": problem()
                }
            }}),
        );
    }
    put("/v1/sources/{source}/samples", samples());
    if let Some(object) = document.as_object_mut() {
        object.insert("paths".to_owned(), Json::Object(paths));
        object.insert("servers".to_owned(), json!([{"url": "http://127.0.0.1:8730"}]));
    }
    document
}

fn answer(about: &str, schema: &str) -> Json {
    json!({
        "description": about,
        "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}}
    })
}

fn problem() -> Json {
    json!({
        "description": "Why not, and what to do next.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    })
}

fn text(summary: &str, id: &str, about: &str) -> Json {
    json!({"get": {
        "summary": summary, "operationId": id,
        "responses": {"200": {"description": about, "content": {"text/plain": {"schema": {"type": "string"}}}}}
    }})
}

fn parameter(name: &str, place: &str, about: &str, schema: &Json) -> Json {
    json!({"name": name, "in": place, "required": place == "path", "description": about, "schema": schema})
}

fn list(word: &str, about: &str, schema: &str) -> Json {
    json!({"get": {
        "summary": about, "operationId": format!("list-{word}"),
        "parameters": [
            parameter("where", "query", "`field=value`, repeated; fields of objects with dots.",
                &json!({"type": "array", "items": {"type": "string"}})),
            parameter("after", "query", "`next` of the page before.", &json!({"type": "integer", "minimum": 0})),
            parameter("limit", "query", "Rows at most.",
                &json!({
                    "type": "integer", "minimum": 1,
                    "maximum": backend::LIMIT_MAX, "default": backend::LIMIT_DEFAULT
                })),
            parameter("order", "query", "Newest or oldest first.",
                &json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"})),
        ],
        "responses": {
            "200": {"description": "A page.", "content": {"application/json": {"schema": {
                "type": "object", "required": ["rows", "next"], "additionalProperties": false,
                "properties": {
                    "rows": {"type": "array", "items": {"$ref": format!("#/components/schemas/{schema}")}},
                    "next": {"type": ["integer", "null"], "description": "`after` of the next page."}
                }
            }}}},
            "default": problem()
        }
    }})
}

fn samples() -> Json {
    let sample = json!({
        "type": "object", "required": ["asset", "signal", "value"], "additionalProperties": false,
        "properties": {
            "asset": {"type": "string", "description": "Our name of the asset, or its address in this source."},
            "signal": {"type": "string"},
            "value": {"type": ["boolean", "number", "string"]},
            "time": {
                "type": "string",
                "description": "RFC 3339, or naive in the zone of the source; absent: the receive time."
            },
            "quality": {"type": "integer", "description": "OPC UA StatusCode; absent: good."}
        }
    });
    json!({"post": {
        "summary": "Takes samples; answers once they are durable.", "operationId": "post-samples",
        "parameters": [parameter("source", "path", "A source of kind http.", &json!({"type": "string"}))],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "oneOf": [sample, {"type": "array", "maxItems": 1000, "items": sample}]
        }}}},
        "responses": {"202": answer("Durable.", "Accepted"), "default": problem()}
    }})
}
