//! Documents as they are written, and what is read from them.

use super::*;
use crate::workflow::HttpOutput;
use serde_json::json;

fn call(operation: &str, parameters: Json) -> Described {
    Described {
        document: String::new(),
        operation: operation.into(),
        parameters,
        output: HttpOutput::Content,
        redirect: false,
        repeats: None,
        identity: None,
    }
}

fn document(json: &Json) -> Document {
    Document::read(&json.to_string()).unwrap()
}

fn made(document: &Document, operation: &str, parameters: Json) -> Result<HttpRequest, String> {
    let from = Web::split("https://docs.example/api/v1/openapi.json").unwrap();
    document.request(&call(operation, parameters), Some(&from), &|url| !url.contains("elsewhere"))
}

fn swagger() -> Document {
    document(&json!({
        "swagger": "2.0", "host": "pets.example", "basePath": "/v2", "schemes": ["http", "https"],
        "paths": {
            "/pet/{petId}": {
                "parameters": [{ "$ref": "#/parameters/petId" }],
                "get": { "operationId": "getPet" },
                "post": { "operationId": "form", "parameters": [
                    { "name": "name", "in": "formData", "type": "string" },
                    { "name": "photo", "in": "formData", "type": "array" },
                ] },
                "put": { "operationId": "put", "parameters": [{ "name": "pet", "in": "body", "required": true }] },
            },
            "/find": { "get": { "operationId": "find", "parameters": [
                { "name": "multi", "in": "query", "collectionFormat": "multi" },
                { "name": "pipes", "in": "query", "collectionFormat": "pipes" },
                { "name": "csv", "in": "query" },
                { "name": "X-Trace", "in": "header" },
            ] } },
        },
        "parameters": { "petId": { "name": "petId", "in": "path", "required": true } },
    }))
}

#[test]
fn swagger_is_read_with_its_parameters_in_their_places() {
    let pets = swagger();
    let get = made(&pets, "getPet", json!({ "petId": 7 })).unwrap();
    assert_eq!((get.method.as_str(), get.url.as_str()), ("GET", "https://pets.example/v2/pet/7"));
    assert_eq!(get.repeats, Repeats::Read);
    let list = json!(["a b", "c"]);
    let find = made(&pets, "find", json!({ "multi": list, "pipes": list, "csv": list, "X-Trace": "t" })).unwrap();
    assert_eq!(find.url, "https://pets.example/v2/find?multi=a%20b&multi=c&pipes=a%20b%7Cc&csv=a%20b,c");
    assert_eq!(find.headers["x-trace"], "t");
    let put = made(&pets, "put", json!({ "petId": "a/b", "pet": { "name": "x" } })).unwrap();
    assert_eq!((put.url.as_str(), &put.body), ("https://pets.example/v2/pet/a%2Fb", &json!({ "name": "x" })));
    assert_eq!(put.repeats, Repeats::Upsert);
    let form = made(&pets, "form", json!({ "petId": 1, "name": "a&b", "photo": [1, 2] })).unwrap();
    assert_eq!(form.body, json!("name=a%26b&photo=1,2"));
    assert_eq!(form.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(form.repeats, Repeats::None);
}

#[test]
fn what_does_not_fit_is_told() {
    let pets = swagger();
    let told = |operation: &str, parameters: Json| made(&pets, operation, parameters).unwrap_err();
    assert_eq!(told("getPets", json!({})), "the document has no operation `getPets`; did you mean `getPet`?");
    assert_eq!(told("getPet", json!({})), "the operation demands the parameter `petId`, which is missing");
    assert_eq!(
        told("getPet", json!({ "petId": 1, "pedId": 2 })),
        "the operation has no parameter `pedId`; did you mean `petId`?"
    );
    assert_eq!(
        told("getPet", json!({ "petId": "" })).as_str(),
        "the parameter `petId` is empty, so that the request would mean something else"
    );
    assert!(told("getPet", json!({ "petId": [{}] })).contains("no text and no number"));
    assert!(told("getPet", json!([])).contains("needs an object"));
    for wrong in ["", "x", "[]", "{}", r#"{"openapi":"4.0.0"}"#, "swagger: 1.2", "{"] {
        assert!(Document::read(wrong).is_err(), "{wrong}");
    }
    assert!(Document::read("swagger: '2.0'\npaths: {}\n").is_ok(), "YAML too");
}

#[test]
fn openapi_3_is_read_with_servers_styles_and_bodies() {
    let api = document(&json!({
        "openapi": "3.1.0",
        "servers": [
            { "url": "https://elsewhere.example" },
            { "url": "https://{stage}.example/{v}",
              "variables": { "stage": { "default": "live" }, "v": { "default": "v3" } } },
        ],
        "paths": {
            "/a/{list}": { "$ref": "#/components/pathItems/a" },
            "/b": { "post": { "operationId": "b", "servers": [{ "url": "../x" }, { "url": "v2/" }],
                "requestBody": { "$ref": "#/components/requestBodies/b" } } },
            "/c": { "get": { "operationId": "c", "servers": [{ "url": "https://elsewhere.example" }] } },
            "/d": { "post": { "operationId": "d",
                "requestBody": { "content": { "application/x-www-form-urlencoded": {} } } } },
            "/e": { "post": { "operationId": "e", "requestBody": { "content": { "image/png": {} } } } },
            "/f": { "get": { "operationId": "f", "parameters": [{ "$ref": "other.yaml#/x" }] } },
            "/g": { "get": { "operationId": "g", "parameters": [{ "$ref": "#/components/parameters/g" }] } },
        },
        "components": {
            "parameters": { "g": { "$ref": "#/components/parameters/g" } },
            "requestBodies": { "b": { "required": true, "content": { "application/merge-patch+json": {} } } },
            "pathItems": { "a": { "get": { "operationId": "a", "parameters": [
                { "name": "list", "in": "path", "required": true },
                { "name": "form", "in": "query" },
                { "name": "flat", "in": "query", "explode": false },
                { "name": "deep", "in": "query", "style": "deepObject" },
                { "name": "json", "in": "query", "content": { "application/json": {} } },
            ] } } },
        },
    }));
    let object = json!({ "k": "v w", "n": 1 });
    let parameters = json!({ "list": [1, "b,c"], "form": object, "flat": object, "deep": object, "json": [1] });
    assert_eq!(
        made(&api, "a", parameters).unwrap().url,
        "https://live.example/v3/a/1,b%2Cc?k=v%20w&n=1&flat=k,v%20w,n,1&deep%5Bk%5D=v%20w&deep%5Bn%5D=1&json=%5B1%5D"
    );
    let b = made(&api, "b", json!({ "body": { "x": 1 } }));
    // `../x` is not resolved: a segment of dots is no address of ours.
    assert_eq!(b.unwrap_err(), "a segment of dots leads to another place than it says");
    assert!(made(&api, "b", json!({})).unwrap_err().contains("demands a body"));
    assert!(made(&api, "c", json!({})).unwrap_err().contains("https://elsewhere.example, and no file in systems/"));
    assert_eq!(made(&api, "d", json!({ "body": { "a": "b c", "n": [1, 2] } })).unwrap().body, "a=b%20c&n=1&n=2");
    assert!(made(&api, "e", json!({ "body": "x" })).unwrap_err().contains("image/png, which is not supported"));
    assert!(made(&api, "f", json!({})).unwrap_err().contains("leads out of the document"));
    assert!(made(&api, "g", json!({})).unwrap_err().contains("references lead to one another"));
}

#[test]
fn the_server_is_that_of_the_document_where_none_is_named() {
    let get = json!({ "get": { "operationId": "x" } });
    let three = document(&json!({ "openapi": "3.0.3", "paths": { "/x": get } }));
    assert_eq!(made(&three, "x", Json::Null).unwrap().url, "https://docs.example/x");
    let two = document(&json!({ "swagger": "2.0", "paths": { "/x": get } }));
    assert_eq!(made(&two, "x", Json::Null).unwrap().url, "https://docs.example/x");
    assert!(three.request(&call("x", Json::Null), None, &|_| true).is_err());
    let beside = document(&json!({ "openapi": "3.0.3", "servers": [{ "url": "." }], "paths": { "/x": get } }));
    assert_eq!(made(&beside, "x", Json::Null).unwrap().url, "https://docs.example/api/v1/x");
    let below = document(&json!({ "openapi": "3.0.3", "servers": [{ "url": "./v2/" }], "paths": { "/x": get } }));
    assert_eq!(made(&below, "x", Json::Null).unwrap().url, "https://docs.example/api/v1/v2/x");
}

#[test]
fn whatever_a_document_says_nothing_panics() {
    for text in [
        r#"{"openapi":"3.0.0","paths":{"":{"get":{"operationId":"a"}},"/{":{"get":{"operationId":"b"}}}}"#,
        r##"{"openapi":"3.0.0","paths":{"/{x}":{"$ref":"#/paths/~1{x}"}}}"##,
        r#"{"swagger":"2.0","host":"a b","paths":{"/x":{"get":{"operationId":"c","parameters":[{"in":"query"}]}}}}"#,
        r#"{"openapi":"3.0.0","servers":[{"url":"{a}","variables":{"a":{"default":"{a}{a}"}}}],
            "paths":{"/x":{"get":{"operationId":"d"}}}}"#,
        "openapi: 3.0.0\npaths:\n  /x: [1]\n",
    ] {
        fuzz(text.as_bytes());
    }
}
