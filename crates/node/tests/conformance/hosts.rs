//! The two hosts that the scenarios name, on loopback: a shop for pets and a mirror of requests.
//!
//! They answer as the scenarios need it and know nothing of what asks. The document of the shop is Swagger 2.0, as
//! that of the real one is, and was written for these tests.

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::net::TcpListener;

/// Where the hosts answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hosts {
    /// In place of petstore.swagger.io.
    pub(crate) petstore: SocketAddr,
    /// In place of httpbin.org.
    pub(crate) httpbin: SocketAddr,
}

/// Both hosts, each at a free port of this machine; they answer as long as the runtime lives.
pub(crate) async fn start() -> Hosts {
    Hosts { petstore: serve(petstore()).await, httpbin: serve(httpbin()).await }
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("this machine has a free port");
    let at = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    at
}

type Answer = (StatusCode, Json<serde_json::Value>);

fn petstore() -> Router {
    Router::new()
        .route("/v2/swagger.json", get(async || Json(document())))
        .route("/v2/pet/findByStatus", get(by_status))
        .route("/v2/pet/getPetByName/{name}", get(nobody))
        .route("/v2/pet/{id}", get(by_id))
}

fn pet(id: u64, status: &str) -> serde_json::Value {
    serde_json::json!({ "id": id, "name": format!("pet {id}"), "photoUrls": [], "tags": [], "status": status })
}

async fn by_status(Query(query): Query<BTreeMap<String, String>>) -> Answer {
    match query.get("status").map(String::as_str) {
        Some(status @ ("available" | "pending" | "sold")) => {
            (StatusCode::OK, Json([1, 2].map(|id| pet(id, status)).into()))
        }
        _ => (StatusCode::BAD_REQUEST, Json(serde_json::json!({ "code": 400, "message": "Invalid status" }))),
    }
}

async fn by_id(Path(id): Path<String>) -> Answer {
    match id.parse() {
        Ok(id @ 1..=2) => (StatusCode::OK, Json(pet(id, "available"))),
        _ => nobody().await,
    }
}

async fn nobody() -> Answer {
    (StatusCode::NOT_FOUND, Json(serde_json::json!({ "code": 1, "type": "error", "message": "Pet not found" })))
}

/// What the shop can do, in Swagger 2.0.
fn document() -> serde_json::Value {
    serde_json::json!({
        "swagger": "2.0",
        "info": { "title": "Pets", "version": "1.0" },
        "host": "petstore.swagger.io",
        "basePath": "/v2",
        "schemes": ["https", "http"],
        "paths": {
            "/pet/findByStatus": {
                "get": {
                    "operationId": "findPetsByStatus",
                    "produces": ["application/json"],
                    "parameters": [{
                        "name": "status", "in": "query", "required": true, "type": "array",
                        "items": { "type": "string", "enum": ["available", "pending", "sold"] },
                        "collectionFormat": "multi"
                    }],
                    "responses": { "200": { "description": "the pets" } }
                }
            },
            "/pet/{petId}": {
                "parameters": [{ "$ref": "#/parameters/petId" }],
                "get": {
                    "operationId": "getPetById",
                    "produces": ["application/json"],
                    "responses": { "200": { "description": "the pet" }, "404": { "description": "no pet" } }
                }
            }
        },
        "parameters": {
            "petId": { "name": "petId", "in": "path", "required": true, "type": "integer", "format": "int64" }
        }
    })
}

fn httpbin() -> Router {
    Router::new().route("/basic-auth/{user}/{password}", get(basic))
}

async fn basic(Path((user, password)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let told = headers.get("authorization").and_then(|value| value.to_str().ok());
    if told == Some(wanted.as_str()) {
        (StatusCode::OK, Json(serde_json::json!({ "authenticated": true, "user": user })))
    } else {
        (StatusCode::UNAUTHORIZED, Json(serde_json::Value::Null))
    }
}
