//! The part of the `OpenAPI` document about runs that people start and end.

use crate::{openapi::parameter, runs};
use serde_json::{Value as Json, json};

/// `/v1/workflows/{name}/runs/{key}`.
pub(crate) fn start() -> Json {
    let text = json!({"type": "string"});
    let key = json!({"type": "string", "minLength": 1, "maxLength": runs::KEY_MAX_BYTES});
    let place = json!({"Location": {"description": "Where the run is shown, whole.", "schema": {"type": "string"}}});
    let run = |about: &str| {
        json!({
            "description": about, "headers": place,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/StartedRun"}}}
        })
    };
    let refused = |about: &str, headers: &Json| {
        json!({
            "description": about, "headers": headers,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        })
    };
    let none = json!({});
    let later = json!({"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}});
    json!({"post": {
        "summary": "Starts the run of a workflow and a key; with `wait` answers at its end.",
        "operationId": "start-run",
        "description": "One run for each key of a workflow: asked again, also after a crash, it is answered with 409 \
            and where the run is. The answer is given once the start is durable.",
        "parameters": [
            parameter("name", "path", "The workflow.", &text),
            parameter("key", "path", "What the run is about; a slash in it is written `%2F`.", &key),
            parameter("site", "query", "The site of the run; needed where the project has several.", &text),
            parameter("by", "query", "Who starts it; it is kept with the run and nobody proves it.", &text),
            parameter(
                "wait",
                "query",
                &format!(
                    "So long the answer waits for the end of the run (`30s`), at most {} s.",
                    runs::WAIT_MAX.as_secs()
                ),
                &text,
            )
        ],
        "requestBody": {
            "required": false,
            "description": format!(
                "The input of the run, at most {} KiB; without body an empty object.", runs::INPUT_MAX_BYTES >> 10
            ),
            "content": {"application/json": {"schema": {}}}
        },
        "responses": {
            "200": run("With `wait`: the run has ended, completed or faulted."),
            "201": run("Without `wait`: the run has begun, or is `queued` for a place."),
            "202": run("With `wait`: the time is over, and the run as it stands."),
            "400": refused("The body is no JSON, or the site is not clear.", &none),
            "404": refused("The project has no such workflow.", &none),
            "409": refused("There is a run of this workflow and key.", &place),
            "413": refused("The input is larger than is taken, or than the limit `payload` of the workflow.", &none),
            "421": refused("The workflow is placed at another instance; the remedy says at which.", &none),
            "422": refused("The input is not what the workflow's input schema takes.", &none),
            "429": refused("More wait, or are unfinished, than is served at once; nothing was started.", &later),
            "503": refused("Nothing can be started now; the same may be asked again.", &none),
            "default": refused("Why not, and what to do next.", &none)
        }
    }})
}

/// An answer that says what is wrong.
fn problem(about: &str) -> Json {
    json!({
        "description": about,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    })
}

/// `/v1/runs/{id}/cancel`.
pub(crate) fn cancel() -> Json {
    let id = parameter("id", "path", "The run.", &json!({"type": "string"}));
    json!({"post": {
        "summary": "Ends a run, and the runs it has started.",
        "operationId": "cancel-run",
        "description": "Calls that were never attempted are not made; attempts under way are brought to their end and \
            recorded. With `compensate` the run first undoes what it has done, the last completed task first.",
        "parameters": [id],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/CancelRun"}}}},
        "responses": {
            "200": {
                "description": "It is durable.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CancelledRun"}}}
            },
            "404": problem("There is no such run."),
            "409": problem("The run has ended before."),
            "default": problem("Why not, and what to do next.")
        }
    }})
}

/// `/v1/runs/{id}/migrate`.
pub(crate) fn migrate() -> Json {
    let id = parameter("id", "path", "The run.", &json!({"type": "string"}));
    json!({"post": {
        "summary": "Takes a run to the definition in force.",
        "operationId": "migrate-run",
        "description": "Every place where the run stands must exist there with the same kind of task, and every task \
            that it has completed. With `dry_run` nothing is changed. A run that has faulted is taken up by a retry of \
            its exception, and then makes its call as the new definition says.",
        "parameters": [id],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/MigrateRun"}}}},
        "responses": {
            "200": {
                "description": "It is durable.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MigratedRun"}}}
            },
            "404": problem("There is no such run."),
            "409": problem("It has ended before, or the definition in force does not fit."),
            "default": problem("Why not, and what to do next.")
        }
    }})
}
