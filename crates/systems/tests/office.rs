//! Pages, contents and charsets against the server of Python's standard library.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{Contract, from_files};
use andon_model::{
    Key, Outcome, OutcomeClass, RunId, Time,
    call::{CallRequest, Prepare, Step},
};
use andon_systems::Connectors;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

struct Office(Child, String);

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn office() -> Office {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/office.py");
    let mut child = Command::new("python3").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let base = format!("http://127.0.0.1:{}", port.trim());
    Office(child, base)
}

/// The contract of a system with these operations; each file of the smallest project stands beside it.
fn contract(base: &str, operations: &str) -> Arc<Contract> {
    let read = "version: 1\ndomain: maintenance\nowner: people\neffect: reads\ninput: { schema: MaintenanceRequest/1 \
    }\n\
                output: { result: string }\n";
    let made = "version: 1\ndomain: maintenance\nowner: people\neffect: creates MaintenanceRequest\n\
                input: { schema: MaintenanceRequest/1 }\noutput: { document: string }\n";
    let system = format!(
        "protocol: rest\nbase: {base}\nzone: z\ncredentials: {{ bearer: env:TOKEN }}\noperations:\n{operations}"
    );
    let files = [
        ("andon.yaml", "format: 1\nname: p\ninstances: { plant: { role: both, zone: z } }\n"),
        ("assets/home.yaml", "site: home\nzone: z\ntimezone: UTC\nassets: { press: { class: press } }\n"),
        ("classes/press.yaml", "signals: { heat: { kind: f64, unit: Cel } }\n"),
        ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
        ("capabilities/maintenance.find-work.yaml", read),
        ("capabilities/maintenance.request-work.yaml", made),
        ("systems/eam.yaml", &system),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let loaded = from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Arc::new(loaded.contract)
}

fn call(operation: &str, step: Step, reference: &str) -> CallRequest {
    let key = Key::of_task(RunId::derived(&[b"run"]), "/do/0/request", "", 0);
    CallRequest {
        call: key.call_id(),
        attempt: 1,
        step,
        site: "home".parse().unwrap(),
        system: "eam".parse().unwrap(),
        operation: operation.parse().unwrap(),
        input: json!({ "title": reference, "description": "a&b <c>" }),
        key,
        at: Time(0),
    }
}

async fn asked(contract: &Arc<Contract>, operation: &str, step: Step, title: &str) -> Outcome {
    let connectors = Connectors::new(contract.clone(), |name| (name == "TOKEN").then(|| "s3cret-of-office".to_owned()));
    let request = call(operation, step, title);
    match connectors.prepare(&request) {
        Ok(prepared) => connectors.send(&request, &prepared).await,
        Err(outcome) => outcome,
    }
}

fn reading(name: &str, request: &str, rest: &str) -> String {
    format!("  {name}:\n    implements: maintenance.find-work\n    request: {request}\n{rest}\n")
}

const NUMBERS: &str = "    response: { output: { result: \"${ [.[] | .number] | join(\\\",\\\") }\" } }";

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_reads_all_pages_however_they_follow_each_other() {
    let office = office();
    let get = |path: &str, query: &str| format!("{{ method: GET, path: {path}, query: {{ {query} }} }}");
    let paged = |paging: &str| format!("    paging: {{ {paging} }}\n{NUMBERS}");
    let operations = [
        reading("next", &get("/next", ""), &paged("next: '${ .nextLink }', items: '${ .value }'")),
        reading("link", &get("/link", ""), &paged("link: next")),
        reading("token", &get("/token", "token: '${ $token }'"), &paged("token: '${ .token }', items: '${ .value }'")),
        reading("size", &get("/size", "skip: '${ $skip }'"), &paged("size: 3, items: '${ .value }'")),
        reading("elsewhere", &get("/elsewhere", ""), &paged("next: '${ .nextLink }', items: '${ .value }'")),
        reading("circle", &get("/circle", ""), &paged("next: '${ .nextLink }', items: '${ .value }'")),
        reading("endless", &get("/endless", ""), &paged("next: '${ .nextLink }', items: '${ .value }', pages: 4")),
        reading("breaks", &get("/breaks", ""), &paged("next: '${ .nextLink }', items: '${ .value }'")),
        reading("no-list", &get("/next", ""), &paged("next: '${ .nextLink }'")),
    ];
    let contract = contract(&office.1, &operations.concat());
    for operation in ["next", "link", "token", "size"] {
        let outcome = asked(&contract, operation, Step::Send, "x").await;
        assert_eq!(
            outcome.output,
            json!({ "result": "MR-0,MR-1,MR-2,MR-3,MR-4,MR-5,MR-6" }),
            "{operation}: {outcome:?}"
        );
        let others: Vec<&str> = outcome.exchanges.iter().map(|exchange| exchange.what.as_str()).collect();
        assert_eq!(others, ["page 2", "page 3"], "{operation}");
        assert!(outcome.exchanges[1].request.starts_with("GET http://127.0.0.1:"), "{:?}", outcome.exchanges);
        assert!(outcome.exchanges[1].response.contains("MR-6"));
    }
    let failed = async |operation: &str| asked(&contract, operation, Step::Send, "x").await;
    let elsewhere = failed("elsewhere").await;
    assert_eq!(elsewhere.class, OutcomeClass::Transient);
    assert!(elsewhere.detail.contains("paging.next"), "{}", elsewhere.detail);
    assert!(failed("circle").await.detail.contains("leads back to the page it stands on"));
    let endless = failed("endless").await;
    assert_eq!((endless.class, endless.exchanges.len()), (OutcomeClass::Validation, 3), "{endless:?}");
    assert!(endless.detail.contains("more than 4 pages"), "{}", endless.detail);
    let breaks = failed("breaks").await;
    assert_eq!(breaks.detail, "page 2: 500 Internal Server Error: the token [redacted] is old");
    let shown = serde_json::to_string(&breaks).unwrap();
    assert!(!shown.contains("s3cret-of-office") && !shown.contains("api_key=abc"), "{shown}");
    assert!(failed("no-list").await.detail.contains("paging.items: needs a list, found an object"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_through_the_pages_until_the_document_is_there() {
    let office = office();
    let lookup = |name: &str, path: &str, rest: &str| {
        format!(
            "  {name}:\n    implements: maintenance.request-work\n    idempotency:\n      lookup:\n        by: \
            reference\n        \
             request: {{ method: GET, path: {path}, query: {{ reference: '${{ $reference }}', skip: '${{ $skip }}' \
             }} }}\n        \
             paging: {{ size: 3, items: '${{ .value }}'{rest} }}\n        \
             found: '${{ [.value[] | select(.reference == \"R5\")][0] }}'\n    \
             request: {{ method: POST, path: /requests, body: {{ reference: '${{ $reference }}' }} }}\n    \
             response: {{ document: '${{ .number }}', output: {{ document: '${{ .number }}' }} }}\n"
        )
    };
    let text = [lookup("find", "/size", ""), lookup("cut", "/size", ", pages: 1")].concat();
    let contract = contract(&office.1, &text);
    let found = asked(&contract, "find", Step::Search, "x").await;
    assert_eq!((found.class, found.document.as_deref()), (OutcomeClass::Ok, Some("MR-5")), "{found:?}");
    // One that was cut off has not found out that there is nothing.
    let cut = asked(&contract, "cut", Step::Search, "x").await;
    assert_eq!((cut.class, cut.document), (OutcomeClass::Transient, None), "{}", cut.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_written_and_read_as_they_are_declared() {
    let office = office();
    let post = |name: &str, rest: &str, response: &str| {
        format!(
            "  {name}:\n    implements: maintenance.request-work\n    idempotency: none\n    request: {{ method: \
            POST, {rest} }}\n    \
             response: {response}\n"
        )
    };
    let number = "{ document: '${ .number }', output: { document: '${ .number }' } }";
    let get = |path: &str| format!("{{ method: GET, path: {path} }}");
    let operations = [
        post("form", "path: /x, content: form, body: { a: '${ .description }', list: [1, 2], none: null }", number),
        post("xml", "path: /x, content: text/xml, body: '${ \"<a>\" + (.description | @html) + \"</a>\" }'", number),
        post("merge", "path: /x, content: application/merge-patch+json, body: { a: 1 }", number),
        post(
            "empty",
            "path: /empty, body: { a: 1 }",
            "{ document: '${ $headers.location | split(\"/\") | last }', output: { document: '${ $status | tostring \
            }' } }",
        ),
        reading("posted", &get("/posted"), "    response: { output: { result: '${ . }' } }"),
        reading("latin", &get("/latin"), "    response: { output: { result: '${ .value[0] }' } }"),
        reading("html", &get("/html"), "    response: { output: { result: '${ . }' } }"),
        reading("html-503", &get("/html-503"), "    response: { output: { result: '${ . }' } }"),
        reading("text", &get("/text"), "    response: { content: text, output: { result: '${ split(\"=\")[1] }' } }"),
    ];
    let contract = contract(&office.1, &operations.concat());
    let read = async |operation: &str| asked(&contract, operation, Step::Send, "x").await;
    for (operation, media, body) in [
        ("form", "application/x-www-form-urlencoded", "a=a%26b+%3Cc%3E&list=1&list=2"),
        ("xml", "text/xml; charset=utf-8", "<a>a&amp;b &lt;c&gt;</a>"),
        ("merge", "application/merge-patch+json", "{\"a\":1}"),
    ] {
        let outcome = read(operation).await;
        assert_eq!((outcome.class, outcome.document.as_deref()), (OutcomeClass::Ok, Some("MR-1")), "{outcome:?}");
        let posted: Value = read("posted").await.output;
        assert_eq!(posted["result"], json!({ "type": media, "body": body }));
    }
    let empty = read("empty").await;
    assert_eq!((empty.document.as_deref(), &empty.output), (Some("MR-77"), &json!({ "document": "201" })), "{empty:?}");
    assert_eq!(empty.headers["location"], "/requests/MR-77");
    assert_eq!(read("latin").await.output, json!({ "result": "Prüfstand" }));
    assert_eq!(read("text").await.output, json!({ "result": "MR-9" }));
    let html = read("html").await;
    assert_eq!(html.class, OutcomeClass::Transient);
    assert!(html.detail.contains("a page of HTML and no JSON: \"Sign in\""), "{}", html.detail);
    let down = read("html-503").await;
    assert_eq!(down.class, OutcomeClass::Transient);
    assert_eq!(down.detail, "503 Service Unavailable: a page of HTML: Down for maintenance");
}
