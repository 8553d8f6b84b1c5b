//! The part of the `OpenAPI` document about what is posted to sources.

use crate::{openapi::parameter, posts};
use serde_json::{Value as Json, json};

/// `/v1/sources/{source}/samples`.
pub(crate) fn samples() -> Json {
    let sample = json!({
        "type": "object", "required": ["asset", "signal", "value"], "additionalProperties": false,
        "properties": {
            "asset": {"type": "string", "description": "What the source calls the asset: address or name."},
            "signal": {"type": "string", "description": "A signal of the asset's class."},
            "value": {
                "type": ["boolean", "number", "string"],
                "description": "Of the signal's kind; bytes as base64."
            },
            "time": {
                "type": ["string", "null"],
                "description": "RFC 3339, or naive in the zone of the source; absent: the receive time."
            },
            "quality": {
                "type": ["integer", "null"], "minimum": 0, "maximum": 4_294_967_295_u64,
                "description": "OPC UA StatusCode; absent: good."
            },
            "unit": {
                "type": ["string", "null"],
                "description": "UCUM; the value is converted into the unit of the signal. Absent: that of the signal."
            }
        }
    });
    let data = json!({"oneOf": [sample, {"type": "array", "minItems": 1, "items": sample}]});
    let event = event(&data, "Samples; one without `asset` is about `subject`, one without `time` happened at `time`.");
    let content = json!({
        "application/json": {"schema": {
            "oneOf": [sample, {"type": "array", "minItems": 1, "maxItems": 100_000, "items": sample}]
        }},
        "application/x-ndjson": {"schema": {"type": "string", "description": "A sample in each line."}},
        "application/cloudevents+json": {"schema": event},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "minItems": 1, "items": event}}
    });
    let about = "Stored as a whole or not at all: of a body with one wrong sample nothing is stored, and every problem \
                 is told with its place. At most 100,000 samples, 16 MiB as sent and 32 MiB decompressed. With the \
                 headers of CloudEvents' binary mode (`ce-specversion`, `ce-id`, `ce-source`, `ce-type`) the \
                 body is the data.";
    post("Takes samples; answers once they are durable.", "post-samples", about, &content, "Accepted")
}

/// `/v1/sources/{source}/events`.
pub(crate) fn events() -> Json {
    let event = event(&json!({"type": "object"}), "As the schema of `type` says.");
    let any = json!({"description": "What a mapping of the source makes an event of, or an array of such."});
    let content = json!({
        "application/json": {"schema": any},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One in each line."}},
        "application/cloudevents+json": {"schema": event},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "minItems": 1, "items": event}}
    });
    let about = "CloudEvents are taken as a whole or refused with every problem. Of other JSON, the first mapping of \
                 the source that takes it makes an event; what does not fit is set aside with its bytes, answered with \
                 202 and the exception that says why. An event is known by `source` and `id` of a CloudEvent, or by \
                 the `id` of its mapping: a repeat is the same event. At most 1,000 events and 4 MiB decompressed.";
    post("Takes events that another system has found.", "post-events", about, &content, "Raised")
}

/// `/v1/systems/{system}/reads/{read}`.
pub(crate) fn objects() -> Json {
    let any = json!({"description": "What the system says when something of it changes: the read's `webhook` finds \
    the items."});
    let content = json!({"application/json": {"schema": any}});
    let about = "Takes what a system posts to a read with a `webhook`: each item becomes a version of its object \
    where it \
                 tells something new. What tells of no object is set aside with its bytes, answered with 202 and the \
                 exception that says why. At most 10,000 items and 8 MiB decompressed. The `webhook-id`, or the \
                 `Idempotency-Key`, of a post that is sent again gets the first answer.";
    let mut document =
        post("Takes objects that a system of record tells of.", "post-objects", about, &content, "ObjectsTold");
    let text = json!({"type": "string"});
    if let Some(parameters) = document.pointer_mut("/post/parameters").and_then(Json::as_array_mut) {
        parameters.splice(
            0..1,
            [
                parameter("system", "path", "A system of the project.", &text),
                parameter("read", "path", "One of its reads that has a `webhook`.", &text),
            ],
        );
    }
    document
}

fn event(data: &Json, about: &str) -> Json {
    let mut data = data.clone();
    if let Some(data) = data.as_object_mut() {
        data.insert("description".to_owned(), about.into());
    }
    json!({
        "type": "object", "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1, "maxLength": 1024},
            "source": {"type": "string", "minLength": 1, "maxLength": 1024},
            "type": {"type": "string", "minLength": 1, "maxLength": 1024},
            "subject": {"type": "string"},
            "time": {"type": "string"},
            "datacontenttype": {"type": "string"},
            "data": data
        }
    })
}

fn post(summary: &str, id: &str, about: &str, content: &Json, answer: &str) -> Json {
    let header = |name: &str, about: &str| parameter(name, "header", about, &json!({"type": "string"}));
    let replayed = json!({
        "description": "`true`: the answer is that of an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"}
    });
    let text = |about: &str| json!({"description": about, "schema": {"type": "string"}});
    let refused = |about: &str, headers: Json| {
        json!({
            "description": about, "headers": headers,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        })
    };
    let later = json!({"Retry-After": text("Seconds.")});
    json!({"post": {
        "summary": summary, "operationId": id, "description": about,
        "parameters": [
            parameter("source", "path", "A source of kind http.", &json!({"type": "string"})),
            header("Authorization", "`Bearer` and the token or a key of the source, where it asks for one."),
            header("X-Api-Key", "The same without `Bearer`."),
            header("webhook-id", "With `webhook-timestamp` and `webhook-signature` (Standard Webhooks), where the \
                    source has a `signature`; the first part of the names is a setting of the source."),
            header("webhook-timestamp", "Seconds since 1970."),
            header("webhook-signature", "`v1,` and the base64 of the HMAC-SHA256 of id, time and body."),
            header("Idempotency-Key", "The same key and body again within 24 h get the first answer, and nothing is \
                    stored twice."),
            header("Content-Encoding", "`gzip`, `zstd` or `identity`.")
        ],
        "requestBody": {"required": true, "content": content},
        "responses": {
            "202": {
                "description": "All of it is durable.", "headers": {"Idempotent-Replayed": replayed},
                "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{answer}")}}}
            },
            "400": refused("The body is no JSON, or a header says nothing.", json!({})),
            "401": refused("Key or signature are missing or wrong.", json!({
                "WWW-Authenticate": text("What is asked for.")
            })),
            "404": refused("The project has no such source.", json!({})),
            "408": refused(
                &format!("The body took longer than {} s.", posts::BODY_WAIT.as_secs()), json!({})),
            "409": refused("A request with this key is under way.", later.clone()),
            "413": refused("More than is taken at once, as it was sent or decompressed.", json!({})),
            "415": refused("A form or a compression that is not read.", json!({
                "Accept": text("Forms that are read."), "Accept-Encoding": text("Compressions that are read.")
            })),
            "422": refused(
                "The content is refused, each problem with a pointer; or the key stands for another body.", json!({})),
            "429": refused("As many posts of the source are under way as it allows.", later.clone()),
            "503": refused("Nothing can be stored now; the same may be sent again.", later),
            "default": refused("Why not, and what to do next.", json!({}))
        }
    }})
}
