//! The `OpenAPI` document, made from the types and the table of kinds.

use crate::{
    alarms, answers, backend, backups, cancel, cost, decisions, exceptions,
    kind::{KINDS, Kind},
    migrate, objects, oee, openapi_exceptions, openapi_posts, openapi_runs, posts, problem, runs, samples, types, why,
};
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
        types::Confirmation,
        types::Run,
        types::ParentRun,
        types::CancelAsked,
        types::Task,
        types::Call,
        types::Attempt,
        types::Exception,
        types::ExceptionGroup,
        types::Audited,
        crate::notices::Notice,
        types::Quarantine,
        types::Sample,
        types::Gap,
        types::ContractRevision,
        oee::OeePage,
        oee::OeePart,
        oee::OeeTimes,
        objects::ObjectVersion,
        objects::ObjectBody,
        objects::ObjectGiven,
        objects::ObjectHistory,
        objects::Read,
        alarms::Alarm,
        alarms::Control,
        backups::BackUp,
        backups::BackupStand,
        backups::Backup,
        cancel::CancelRun,
        cancel::CancelledRun,
        migrate::MigrateRun,
        migrate::MigratedRun,
        decisions::Decide,
        decisions::Decided,
        exceptions::ExceptionDone,
        exceptions::BulkDone,
        exceptions::Refused,
        cost::RuleCost,
        answers::Answer,
        answers::CapabilityRow,
        answers::OperationRow,
        samples::SamplePage,
        samples::Last,
        samples::LastPage,
        samples::Series,
        samples::Bucket,
        samples::SampleCount,
        samples::Historian,
        samples::HistorianFile,
        samples::Replay,
        problem::Problem,
        problem::Placed,
        posts::Accepted,
        posts::ObjectsTold,
        posts::Raised,
        runs::StartedRun,
        why::WhyNot,
        why::WhyFinding,
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
    for listed in KINDS.iter().filter(|k| k.kind != Kind::Samples) {
        put(&format!("/v1/{}", listed.word), list(listed.word, listed.about, listed.schema));
    }
    let id = parameter(
        "id",
        "path",
        "An id, a reference of a call, the number of a document, or the key of a run.",
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
    put("/v1/why-not", why_not());
    put("/v1/samples", range());
    put("/v1/samples/last", last());
    put("/v1/samples/series", series());
    put("/v1/samples/count", count());
    put("/v1/historian/seal", seal());
    put("/v1/backups", backups::openapi());
    put("/v1/exceptions/{id}/replay", replay());
    put("/v1/exceptions/{id}/decide", decide());
    for action in &exceptions::ACTIONS {
        put(&format!("/v1/exceptions/{{id}}/{}", action.word), openapi_exceptions::one(action));
        put(&format!("/v1/exceptions/{}", action.word), openapi_exceptions::bulk(action));
    }
    put("/v1/runs/{id}/cancel", openapi_runs::cancel());
    put("/v1/runs/{id}/migrate", openapi_runs::migrate());
    put("/v1/oee", effectiveness());
    put("/v1/objects/{type}/{site}/{number}", object());
    put("/v1/alarms/{rule}/{asset}/{act}", control());
    put("/v1/workflows/{name}/runs/{key}", openapi_runs::start());
    put("/v1/sources/{source}/samples", openapi_posts::samples());
    put("/v1/sources/{source}/events", openapi_posts::events());
    put("/v1/systems/{system}/reads/{read}", openapi_posts::objects());
    if let Some(object) = document.as_object_mut() {
        object.insert("paths".to_owned(), Json::Object(paths));
        object.insert("servers".to_owned(), json!([{"url": "http://127.0.0.1:8730"}]));
    }
    document
}

/// One object: asked for, and given.
fn object() -> Json {
    let text = json!({"type": "string"});
    let parameters = [
        parameter("type", "path", "The type: `ProductionOrder`.", &text),
        parameter("site", "path", "The site.", &text),
        parameter("number", "path", "Its number in the system of record; a slash in it is written `%2F`.", &text),
    ];
    let mut conditions = parameters.to_vec();
    conditions.push(parameter("If-Match", "header", "The ETag of the version that is to be replaced.", &text));
    conditions.push(parameter(
        "X-Andon-Actor",
        "header",
        "Who gives it, percent-encoded; claimed and not proven.",
        &text,
    ));
    conditions.push(parameter("If-None-Match", "header", "`*`: only where there is no such object yet.", &text));
    json!({
        "get": {
            "summary": "An object with its versions.", "operationId": "object", "parameters": parameters,
            "responses": {"200": answer("The object; its ETag is the revision.", "ObjectHistory"), "default": problem()}
        },
        "put": {
            "summary": "Gives an object. The same twice is one version, one event.", "operationId": "put-object",
            "parameters": conditions,
            "requestBody": {"required": true, "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/ObjectBody"}}}},
            "responses": {
                "200": answer("It is durable.", "ObjectGiven"),
                "412": problem(), "422": problem(), "default": problem()
            }
        }
    })
}

/// A decision that a run waits for.
fn decide() -> Json {
    let id = parameter("id", "path", "The exception that asks.", &json!({"type": "string"}));
    json!({"post": {
        "summary": "Answers what an exception of kind `decision` asks; once.",
        "operationId": "decide",
        "description": "The answer must fit the form that the exception shows. It becomes an event `human.decision`, \
            durable before this is answered, and the run goes on.",
        "parameters": [id],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/Decide"}}}},
        "responses": {
            "200": answer("It is durable.", "Decided"),
            "409": problem(), "422": problem(), "default": problem()
        }
    }})
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

pub(crate) fn parameter(name: &str, place: &str, about: &str, schema: &Json) -> Json {
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

fn asset(required: bool) -> Json {
    let mut parameter = parameter("asset", "query", "The asset.", &json!({"type": "string"}));
    if let Some(object) = parameter.as_object_mut().filter(|_| required) {
        object.insert("required".to_owned(), json!(true));
    }
    parameter
}

fn optional(name: &str, about: &str) -> Json {
    parameter(name, "query", about, &json!({"type": "string"}))
}

fn number(name: &str, about: &str, default: usize, most: usize) -> Json {
    parameter(name, "query", about, &json!({"type": "integer", "minimum": 1, "maximum": most, "default": default}))
}

/// `from` and `to`.
fn stretch() -> [Json; 2] {
    let moment = |name: &str, about: &str, default: &str| {
        parameter(name, "query", about, &json!({"type": "string", "default": default}))
    };
    [
        moment("from", "From here on: RFC 3339, a duration before now (`-1h`), or `now`.", "-1h"),
        moment("to", "Up to here, exclusive; written like `from`.", "now"),
    ]
}

/// Samples have two questions under one path: the list of the log, and a range.
fn range() -> Json {
    let mut item = list(
        "samples",
        "Without `asset` the samples of the log as they came; with it a range in the order of time, over log and \
         historian.",
        "Sample",
    );
    let [from, to] = stretch();
    let more = [asset(false), optional("signal", "With `asset`: one of its signals, else all."), from, to];
    if let Some(parameters) = item.pointer_mut("/get/parameters").and_then(Json::as_array_mut) {
        parameters.retain(|p| p.get("name") != Some(&json!("after")) && p.get("name") != Some(&json!("limit")));
        parameters.push(optional("after", "`next` of the page before, unchanged."));
        parameters.push(number(
            "limit",
            "Rows at most; up to 1,000 without `asset`, where 100 are the default.",
            samples::SAMPLES_DEFAULT,
            samples::SAMPLES_MAX,
        ));
        parameters.extend(more);
    }
    if let Some(next) = item.pointer_mut("/get/responses/200/content/application~1json/schema/properties/next") {
        *next = json!({"type": ["integer", "string", "null"], "description": "`after` of the next page."});
    }
    item
}

fn asked(summary: &str, id: &str, parameters: &[Json], about: &str, schema: &str) -> Json {
    json!({"get": {
        "summary": summary, "operationId": id, "parameters": parameters,
        "responses": {"200": answer(about, schema), "default": problem()}
    }})
}

fn last() -> Json {
    let parameters = [
        asset(false),
        optional("site", "Only the assets of this site."),
        optional("after", "`next` of the page before."),
        number("limit", "Rows at most.", backend::LIMIT_DEFAULT, samples::LAST_MAX),
    ];
    asked("The newest value of each signal.", "last-values", &parameters, "The values.", "LastPage")
}

fn series() -> Json {
    let [from, to] = stretch();
    let mut signal = optional("signal", "The signal.");
    if let Some(object) = signal.as_object_mut() {
        object.insert("required".to_owned(), json!(true));
    }
    let points = number("points", "Buckets at most.", samples::POINTS_DEFAULT, samples::BUCKETS_MAX);
    let parameters = [asset(true), signal, from, to, points];
    asked(
        "A range of a signal as a chart shows it; the extremes of each bucket are kept.",
        "series",
        &parameters,
        "The buckets.",
        "Series",
    )
}

fn effectiveness() -> Json {
    let [from, to] = stretch();
    let by = parameter(
        "by",
        "query",
        "By what the answer is divided: objects that are valid for the asset.",
        &json!({"type": "string", "enum": oee::BY, "default": "all"}),
    );
    let parameters =
        [asset(true), from, to, by, optional("rule", "The rule whose states count, where several tell states.")];
    asked(
        "Overall equipment effectiveness of an asset from its events, with every part of the formula (ISO 22400-2).",
        "oee",
        &parameters,
        "The answer, part by part.",
        "OeePage",
    )
}

fn count() -> Json {
    let by = parameter(
        "by-signal",
        "query",
        "Each signal by itself; this reads them all.",
        &json!({"type": "boolean", "default": false}),
    );
    let parameters = [asset(false), optional("signal", "Only this signal."), by];
    asked("How many samples are kept, after reduction.", "count-samples", &parameters, "The count.", "SampleCount")
}

fn why_not() -> Json {
    let required = |name: &str, about: &str| {
        let mut parameter = optional(name, about);
        if let Some(object) = parameter.as_object_mut() {
            object.insert("required".to_owned(), json!(true));
        }
        parameter
    };
    let at = "The time, of the samples: RFC 3339, a duration before now (`-1h`), or `now`, which is the default.";
    let parameters = [required("rule", "The rule."), required("asset", "The asset."), optional("at", at)];
    asked("Why a rule had not fired for an asset at a time.", "why-not", &parameters, "The answers.", "WhyNot")
}

fn seal() -> Json {
    json!({"post": {
        "summary": "Writes everything that is in the log to files of the historian now.", "operationId": "seal",
        "responses": {"200": answer("How the historian stands then.", "Historian"), "default": problem()}
    }})
}

fn replay() -> Json {
    let dry_run = parameter(
        "dry-run",
        "query",
        "Says what would come of it and changes nothing.",
        &json!({"type": "boolean", "default": false}),
    );
    let limit = number("limit", "Messages at most.", backend::LIMIT_DEFAULT, backend::LIMIT_MAX);
    let after = parameter("after", "query", "`next` of the request before.", &json!({"type": "integer", "minimum": 0}));
    let id = parameter("id", "path", "The exception.", &json!({"type": "string"}));
    json!({"post": {
        "summary": "Tries messages again that were set aside, with the mapping that is active now.",
        "operationId": "replay", "parameters": [id, dry_run, limit, after],
        "responses": {"200": answer("What became of them.", "Replay"), "default": problem()}
    }})
}

fn control() -> Json {
    let path = |name: &str, about: &str| parameter(name, "path", about, &json!({"type": "string"}));
    let text = |name: &str, place: &str, about: &str, most: usize| {
        let mut parameter =
            parameter(name, place, about, &json!({"type": "string", "minLength": 1, "maxLength": most}));
        if let Some(object) = parameter.as_object_mut() {
            object.insert("required".to_owned(), json!(true));
        }
        parameter
    };
    let act = parameter(
        "act",
        "path",
        "Shelved alarms are recorded and not raised; a disabled rule is not evaluated.",
        &json!({"type": "string", "enum": alarms::ACTS}),
    );
    let parameters = [
        path("rule", "The rule."),
        path("asset", "The asset."),
        act,
        text("X-Andon-Actor", "header", "Who asks, percent-encoded; claimed and not proven.", alarms::ACTOR_MAX),
        text("reason", "query", "Why.", alarms::REASON_MAX),
        optional("for", "Of shelve: so long (`8h`), at most what the project allows."),
        parameter(
            "once",
            "query",
            "Of shelve: only until an alarm returns.",
            &json!({"type": "boolean", "default": false}),
        ),
    ];
    json!({"post": {
        "summary": "Shelves the alarms of a rule for an asset, disables the rule there, or takes that back.",
        "operationId": "control", "parameters": parameters,
        "responses": {"200": answer("What was done.", "Control"), "default": problem()}
    }})
}
