//! The translation by tables: what is sent, and what answers mean.

use super::*;
use andon_contract::{
    contract::{Content, FieldMap, Identifiers, NameHeld, NameTable, Narrow, Response, Validity, ValueMap},
    expr::Program,
};
use andon_model::{Key, RunId, Time};
use serde_json::json;

fn program(text: &str) -> Program {
    Program::compile(text, &["key", "reference", "site"]).unwrap()
}

fn field(text: &str) -> FieldMap {
    FieldMap::Expression(program(text))
}

fn object(fields: &[(&str, &str)]) -> FieldMap {
    FieldMap::Object(fields.iter().map(|(name, text)| ((*name).to_owned(), field(text))).collect())
}

/// The operation of the example.
fn create() -> Operation {
    let search = Request {
        method: "GET".into(),
        path: vec![PathPiece::Text("/requests".into())],
        query: vec![("reference".into(), field("$reference"))],
        headers: Vec::new(),
        body: None,
        content: Content::default(),
    };
    Operation {
        implements: "maintenance.request-work".into(),
        narrow: Narrow::default(),
        idempotency: Idempotency::Lookup(Box::new(Lookup {
            by: "reference".into(),
            settle: Span::from_secs(1),
            request: search,
            found: program(".requests[0]"),
            paging: None,
        })),
        request: Request {
            method: "post".into(),
            path: vec![PathPiece::Text("/requests".into())],
            query: Vec::new(),
            headers: Vec::new(),
            body: Some(object(&[
                ("reference", "$reference"),
                ("description", ".title"),
                ("equipment", r#"id("eam"; .asset)"#),
                ("plant", r#"id("eam"; $site)"#),
                ("priority", r#"value("eam"; "priority"; .priority)"#),
                ("reportedAt", ".reportedAt"),
            ])),
            content: Content::default(),
        },
        response: Response {
            document: Some(program(".number")),
            output: object(&[("document", ".number"), ("state", ".status")]),
            content: Body::Json,
        },
        paging: None,
    }
}

fn identifiers() -> Identifiers {
    let table = |ours: &str, theirs: &str| {
        let mut table = NameTable::default();
        table.add(ours, NameHeld { name: theirs.into(), valid: Validity::ALWAYS });
        table
    };
    let names = [("asset".into(), table("machine-01", "EQ-100042")), ("site".into(), table("foundry", "1010"))];
    let priority = ValueMap { to: [("1".into(), json!("high"))].into(), ..ValueMap::default() };
    let eam: andon_model::Name = "eam".parse().unwrap();
    Identifiers {
        names: BTreeMap::from([(eam.clone(), names.into())]),
        values: BTreeMap::from([(eam, [("priority".into(), priority)].into())]),
    }
}

fn call(step: Step, input: Json) -> CallRequest {
    let key = Key::of_task(RunId::derived(&[b"r"]), "/do/0/request", "", 0);
    CallRequest {
        call: key.call_id(),
        attempt: 1,
        step,
        site: "foundry".parse().unwrap(),
        system: "eam".parse().unwrap(),
        operation: "create-request".parse().unwrap(),
        input,
        key,
        at: Time(0),
    }
}

fn prepared(operation: &Operation, step: Step, input: Json) -> Result<Prepared, Box<Outcome>> {
    let identifiers = identifiers();
    prepare("http://eam:8741/api/", operation, &call(step, input), identifiers.at(Time(0)))
}

fn outcome_of(operation: &Operation, step: Step, answer: &Answer) -> Outcome {
    let identifiers = identifiers();
    read(operation, &call(step, json!({})), identifiers.at(Time(0)), answer, &Secrets::default())
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
}

fn sent(status: u16, body: &str) -> Outcome {
    outcome_of(&create(), Step::Send, &answer(status, body))
}

fn searched(status: u16, body: &str) -> Outcome {
    outcome_of(&create(), Step::Search, &answer(status, body))
}

fn good() -> Json {
    json!({ "title": "too hot", "asset": "machine-01", "priority": 1 })
}

#[test]
fn a_call_becomes_the_request_of_its_system() {
    let reference = call(Step::Send, json!({})).key.reference();
    let request = prepared(&create(), Step::Send, good()).unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "http://eam:8741/api/requests"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(
        request.body,
        format!(
            concat!(
                r#"{{"reference":"{reference}","description":"too hot","#,
                r#""equipment":"EQ-100042","plant":"1010","priority":"high"}}"#
            ),
            reference = reference
        )
    );
    assert_eq!(request.hash(), prepared(&create(), Step::Send, good()).unwrap().hash());
    let search = prepared(&create(), Step::Search, good()).unwrap();
    assert_eq!(search.url, format!("http://eam:8741/api/requests?reference={reference}"));
    assert_eq!((search.method.as_str(), search.body.as_str()), ("GET", ""));
}

#[test]
fn what_cannot_be_made_names_its_place() {
    let refused = *prepared(&create(), Step::Send, json!({ "asset": "machine-02", "priority": 1 })).unwrap_err();
    assert_eq!((refused.class, refused.sent), (OutcomeClass::Validation, false));
    assert!(refused.detail.starts_with("eam.create-request: request.body.equipment: "), "{}", refused.detail);
    assert!(refused.detail.contains("machine-02"), "{}", refused.detail);
    let refused = *prepared(&create(), Step::Send, json!({ "asset": "machine-01", "priority": 9 })).unwrap_err();
    assert!(refused.detail.contains("request.body.priority"), "{}", refused.detail);
    let mut none = create();
    none.idempotency = Idempotency::None;
    assert!(prepared(&none, Step::Search, good()).is_err());
    let huge = json!({ "title": "x".repeat(REQUEST_MAX_BYTES), "asset": "machine-01", "priority": 1 });
    assert!(prepared(&create(), Step::Send, huge).unwrap_err().detail.contains("request.body"));
}

#[test]
fn a_segment_stays_one_segment() {
    let mut operation = create();
    operation.request.path = vec![
        PathPiece::Text("/Notification('".into()),
        PathPiece::Expression(program(".id")),
        PathPiece::Text("')/x".into()),
    ];
    operation.request.body = None;
    let url = |id: Json| prepared(&operation, Step::Send, json!({ "id": id })).map(|request| request.url);
    assert_eq!(url(json!("a b/c?d#e&ä")).unwrap(), "http://eam:8741/api/Notification('a%20b%2Fc%3Fd%23e%26%C3%A4')/x");
    assert_eq!(url(json!(42)).unwrap(), "http://eam:8741/api/Notification('42')/x");
    for wrong in [json!(""), json!(null), json!({}), json!("a\r\nb"), json!("\u{0}")] {
        assert!(url(wrong.clone()).is_err(), "{wrong}");
    }
    operation.request.path = vec![PathPiece::Text("/a/".into()), PathPiece::Expression(program(".id"))];
    let url = |id: &str| prepared(&operation, Step::Send, json!({ "id": id })).map(|request| request.url);
    for wrong in [".", ".."] {
        assert!(url(wrong).is_err(), "{wrong}");
    }
    assert_eq!(url("../b").unwrap(), "http://eam:8741/api/a/..%2Fb");
    assert_eq!(url("%2e%2e").unwrap(), "http://eam:8741/api/a/%252e%252e");
    for text in ["/../x", "/a/%2e%2E/x", "/a?b=c", "/a#b", "/.\u{9}./x"] {
        operation.request.path = vec![PathPiece::Text(text.into())];
        let made = prepared(&operation, Step::Send, json!({}));
        assert!(made.is_err() || made.as_ref().unwrap().url.starts_with("http://eam:8741/api/"), "{text}: {made:?}");
    }
}

#[test]
fn headers_and_queries_carry_values_and_nothing_else() {
    let mut operation = create();
    operation.request.body = None;
    operation.request.headers = vec![("Idempotency-Key".into(), field(".h"))];
    operation.request.query = vec![("q".into(), field(".q")), ("$top".into(), FieldMap::Constant(json!(1)))];
    let made = |input: Json| prepared(&operation, Step::Send, input);
    let request = made(json!({ "h": "a-1", "q": "a&b=c\r\n" })).unwrap();
    assert_eq!(request.headers["idempotency-key"], "a-1");
    assert_eq!(request.url, "http://eam:8741/api/requests?q=a%26b%3Dc%0D%0A&%24top=1");
    assert!(!request.headers.contains_key("content-type"));
    let request = made(json!({ "h": null, "q": ["x", 2, true] })).unwrap();
    assert!(!request.headers.contains_key("idempotency-key"));
    assert_eq!(request.url, "http://eam:8741/api/requests?q=x&q=2&q=true&%24top=1");
    for wrong in [json!("a\r\nx-evil: 1"), json!("ä"), json!(" a"), json!([]), json!("\u{0}")] {
        assert!(made(json!({ "h": wrong, "q": "" })).unwrap_err().detail.contains("request.headers"), "{wrong}");
    }
    assert!(made(json!({ "h": "a", "q": { "a": 1 } })).is_err());
    for name in ["Host", "authorization", "Transfer-Encoding", "a b", ""] {
        operation.request.headers = vec![(name.into(), FieldMap::Constant(json!("x")))];
        assert!(prepared(&operation, Step::Send, json!({ "q": "" })).is_err(), "{name}");
    }
}

#[test]
fn a_success_gives_document_and_output() {
    let outcome = sent(201, r#"{"number":"MR-000001","status":"open"}"#);
    assert_eq!((outcome.class, outcome.sent, outcome.status), (OutcomeClass::Ok, true, Some(201)));
    assert_eq!(outcome.document.as_deref(), Some("MR-000001"));
    assert_eq!(outcome.output, json!({ "document": "MR-000001", "state": "open" }));
    assert_eq!(outcome.detail, "201 Created: MR-000001");
    assert_eq!(sent(200, "\u{feff}{\"number\":42}").document.as_deref(), Some("42"));
}

#[test]
fn a_success_that_cannot_be_read_is_unknown_and_never_done() {
    let deep = "[".repeat(1_000);
    for body in ["", "null", "{}", r#"{"number":""}"#, r#"{"number":{}}"#, "<html></html>", "{", "[]", &deep] {
        let outcome = sent(201, body);
        assert_eq!(outcome.class, OutcomeClass::Unknown, "{body}");
        assert!(outcome.detail.starts_with("201 Created: the answer cannot be read: "), "{}", outcome.detail);
        assert_eq!(searched(200, "<html>").class, OutcomeClass::Transient);
    }
    let mut half = answer(201, r#"{"number":"MR-1"}"#);
    half.broken = Some("it broke off".into());
    assert_eq!(outcome_of(&create(), Step::Send, &half).class, OutcomeClass::Unknown);
    let latin = Answer { status: 200, body: b"{\"number\":\"\xE4\"}".to_vec(), ..Answer::default() };
    assert!(outcome_of(&create(), Step::Send, &latin).detail.contains("no text in UTF-8"));
    let mut zipped = answer(200, "{}");
    zipped.headers.insert("content-encoding".into(), "gzip".into());
    assert!(outcome_of(&create(), Step::Send, &zipped).detail.contains("compressed"));
}

#[test]
fn a_search_finds_the_document_or_nothing() {
    let found = searched(200, r#"{"requests":[{"number":"MR-1","status":"open"},{"number":"MR-2"}]}"#);
    assert_eq!((found.class, found.document.as_deref()), (OutcomeClass::Ok, Some("MR-1")));
    assert_eq!(found.output["state"], "open");
    let nothing = searched(200, r#"{"requests":[]}"#);
    assert_eq!((nothing.class, &nothing.output, nothing.document), (OutcomeClass::Ok, &Json::Null, None));
    assert!(nothing.detail.contains("nothing has the reference "), "{}", nothing.detail);
    assert_eq!(searched(404, "").class, OutcomeClass::NotFound);
    assert_eq!(searched(502, "").class, OutcomeClass::Transient);
}

#[test]
fn a_search_never_says_nothing_by_accident() {
    let mut without_number = create();
    without_number.response = Response { document: None, output: field(".result"), content: Body::Json };
    let found = outcome_of(&without_number, Step::Search, &answer(200, r#"{"requests":[{"number":"MR-1"}]}"#));
    assert_eq!(found.class, OutcomeClass::Transient, "it is there, so it must not be sent again");
    assert!(found.detail.contains("response.output"), "{}", found.detail);
    assert_eq!(searched(200, "").class, OutcomeClass::Transient, "no answer at all is not `nothing`");
    assert_eq!(searched(204, "").class, OutcomeClass::Ok);
}

#[test]
fn a_failure_speaks_in_the_words_of_the_system() {
    let refused = sent(422, r#"{"title":"Unprocessable Content","status":422,"detail":"plant is missing"}"#);
    assert_eq!(refused.class, OutcomeClass::Validation);
    assert_eq!(refused.detail, "422 Unprocessable Entity: plant is missing");
    assert_eq!(sent(404, "").detail, "404 Not Found: what the request names does not exist");
    let limit = r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
    let limit = sent(403, limit);
    assert_eq!((limit.class, limit.retry_after), (OutcomeClass::Limit, Some(BUDGET_PAUSE)));
    assert_eq!(sent(403, r#"[{"message":"no","errorCode":"INSUFFICIENT_ACCESS"}]"#).class, OutcomeClass::Permission);
    assert_eq!(sent(500, "").class, OutcomeClass::Unknown);
    let long = sent(400, &format!(r#"{{"message":"{}"}}"#, "word ".repeat(1_000)));
    assert_eq!(long.detail.chars().count(), DETAIL_MAX_CHARS);
}

#[test]
fn an_error_inside_of_a_success_is_an_error() {
    let body =
        |name: &str| format!(r#"{{"jsonrpc":"2.0","error":{{"code":200,"data":{{"name":"{name}","message":"no"}}}}}}"#);
    for (name, class) in [
        ("odoo.exceptions.UserError", OutcomeClass::Validation),
        ("odoo.exceptions.AccessError", OutcomeClass::Permission),
        ("odoo.exceptions.AccessDenied", OutcomeClass::Auth),
        ("odoo.exceptions.MissingError", OutcomeClass::NotFound),
        ("psycopg2.errors.SerializationFailure", OutcomeClass::Conflict),
    ] {
        let outcome = sent(200, &body(name));
        assert_eq!((outcome.class, outcome.detail.as_str()), (class, "200 OK: no"));
    }
}

#[test]
fn an_operation_that_reads_is_never_unknown() {
    let mut operation = create();
    operation.idempotency = Idempotency::Read;
    operation.response.document = None;
    for status in [500, 502, 504] {
        assert_eq!(outcome_of(&operation, Step::Send, &answer(status, "")).class, OutcomeClass::Transient);
    }
    assert_eq!(outcome_of(&operation, Step::Send, &answer(200, "{")).class, OutcomeClass::Transient);
    assert_eq!(outcome_of(&operation, Step::Send, &answer(200, "{}")).output, json!({}));
}

#[test]
fn a_wait_is_read_in_seconds_and_as_a_date() {
    let wait = |after: &str, date: Option<&str>| {
        let mut headers = BTreeMap::from([("retry-after".to_owned(), after.to_owned())]);
        headers.extend(date.map(|date| ("date".to_owned(), date.to_owned())));
        retry_after(&headers)
    };
    let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(wait("120", None), Some(Span::from_secs(120)));
    assert_eq!(wait(" 0 ", None), Some(Span::ZERO));
    assert_eq!(wait("99999999999999999999999", None), Some(Span::from_secs(RETRY_AFTER_MAX_SECS)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT", date), Some(Span::from_secs(30)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", date), Some(Span::ZERO));
    for (after, date) in
        [("Sun, 06 Nov 1994 08:50:07 GMT", None), ("soon", date), ("-1", date), ("", date), ("1.5", None)]
    {
        assert_eq!(wait(after, date), None, "{after}");
    }
    let mut limited = answer(429, "");
    limited.headers.insert("retry-after".into(), "7".into());
    let outcome = outcome_of(&create(), Step::Send, &limited);
    assert_eq!((outcome.class, outcome.retry_after), (OutcomeClass::Limit, Some(Span::from_secs(7))));
    limited.status = 422;
    assert_eq!(outcome_of(&create(), Step::Send, &limited).retry_after, None);
}

#[test]
fn what_is_kept_is_redacted() {
    let outcome = sent(401, r#"{"message":"bad","access_token":"abc"}"#);
    assert_eq!(outcome.response, r#"{"message":"bad","access_token":"[redacted]"}"#);
    let identifiers = identifiers();
    let secrets = Secrets::new(vec!["s3cret".into()]);
    let body = answer(401, r#"{"message":"the key s3cret is wrong"}"#);
    let outcome = read(&create(), &call(Step::Send, json!({})), identifiers.at(Time(0)), &body, &secrets);
    assert_eq!(outcome.detail, "401 Unauthorized: the key [redacted] is wrong");
    assert!(!outcome.response.contains("s3cret"));
}
