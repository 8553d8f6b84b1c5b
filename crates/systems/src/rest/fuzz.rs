//! Random answers and inputs against the codec: whatever comes, there is a tidy outcome.

use super::{
    DETAIL_MAX_CHARS, RESPONSE_MAX_BYTES,
    codec::{self, Answer},
    reads,
    redact::Secrets,
};
use crate::names::Names;
use andon_contract::{
    contract::{FieldMap, Idempotency, Identifiers, Lookup, Operation, Paging, PathPiece, Read, Request, Response},
    expr::Program,
};
use andon_model::{
    Key, OutcomeClass, RunId, Time,
    call::{CallRequest, Step},
    object::{Ask, More},
    span::Span,
    time::Zone,
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::LazyLock};

static OPERATION: LazyLock<Operation> = LazyLock::new(operation);

/// Reads arbitrary bytes as an answer and as the input of a request. Panics when a promise of the codec is broken: a
/// detail of one short line, a response of at most 16 KiB, no effect taken for certain that is not, no secret shown.
pub fn fuzz(data: &[u8]) {
    let [high, low, choice, body @ ..] = data else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let step = if choice & 1 == 0 { Step::Send } else { Step::Search };
    let mut headers = BTreeMap::new();
    if choice & 2 != 0 {
        let line = body.split(|b| *b == b'\n').next().unwrap_or_default();
        let value: String = String::from_utf8_lossy(line).chars().take(100).collect();
        headers.insert("retry-after".into(), value.clone());
        headers.insert("date".into(), "Sun, 06 Nov 1994 08:49:37 GMT".into());
        headers.insert("content-type".into(), value);
    }
    let broken = (choice & 4 != 0).then(|| "it broke off".to_owned());
    let answer = Answer { status, headers, body: body.to_vec(), broken, redirect: None };
    let input = serde_json::from_slice(body).unwrap_or_else(|_| Json::from(String::from_utf8_lossy(body)));
    let request = request(step, input);
    let identifiers = Identifiers::default();
    let names = Names::new(&identifiers);

    let secrets = Secrets::new(vec!["s3cret-of-fuzz".into()]);
    let outcome = codec::read(&OPERATION, &request, names, &answer, &secrets);
    assert!(outcome.detail.chars().count() <= DETAIL_MAX_CHARS && !outcome.detail.contains(['\r', '\n']));
    assert!(outcome.response.len() <= RESPONSE_MAX_BYTES && !outcome.response.contains("s3cret-of-fuzz"));
    assert!(outcome.sent && outcome.status == Some(status));
    let done = (200..=299).contains(&status);
    if outcome.class == OutcomeClass::Ok {
        assert!(done && answer.broken.is_none());
        assert!(step == Step::Search || outcome.document.is_some());
    }
    assert!(step == Step::Send || outcome.class != OutcomeClass::Unknown);

    if let Ok(prepared) = codec::prepare("http://host:8080/base", &OPERATION, &request, names) {
        assert!(prepared.url.starts_with("http://host:8080/base/requests"), "{}", prepared.url);
        assert!(prepared.headers.values().all(|value| !value.contains(['\r', '\n', '\0'])));
    }
    fuzz_read(&answer, names, &secrets);
}

/// The same answer as a page of a read: each item tells something or says why not, and a link leads nowhere else.
fn fuzz_read(answer: &Answer, names: Names<'_>, secrets: &Secrets) {
    let site = "foundry".parse().expect("a name");
    let ask = Ask::first(Json::Null, None, Some(site), Time(0));
    match reads::read(&READ, &ask, names, answer, secrets) {
        Ok(page) => {
            assert!((200..=299).contains(&answer.status) && answer.broken.is_none());
            for item in &page.items {
                assert!(serde_json::from_slice::<Json>(&item.bytes).is_ok());
                if let Err(unfit) = &item.told {
                    assert!(!unfit.cause.is_empty() && !unfit.remedy.is_empty());
                }
            }
            if let More::Link(link) = page.more {
                let next = ask.next(page.items.len(), Some(link), page.cursor);
                if let Ok(prepared) = reads::prepare("http://host:8080/base", &READ, &next, names) {
                    assert!(prepared.url.starts_with("http://host:8080/"), "{}", prepared.url);
                }
            }
        }
        Err(outcome) => {
            assert!(outcome.class != OutcomeClass::Ok && outcome.class != OutcomeClass::Unknown);
            assert!(outcome.detail.chars().count() <= DETAIL_MAX_CHARS && !outcome.detail.contains("s3cret-of-fuzz"));
        }
    }
}

static READ: LazyLock<Read> = LazyLock::new(|| {
    let program = |text: &str| Program::compile(text, &[]).expect("an expression");
    let request = Request {
        method: "GET".into(),
        path: vec![PathPiece::Text("/orders".into())],
        query: vec![("since".into(), FieldMap::Expression(program(".cursor")))],
        headers: Vec::new(),
        body: None,
    };
    Read {
        object: "ProductionOrder/1".into(),
        every: Span::from_secs(30),
        max_age: Span::from_secs(60),
        sites: Vec::new(),
        request,
        items: Some(program(".requests? // .")),
        cursor: Some(program(".last.name?")),
        paging: Paging::Next(program(".name?")),
        pages: 2,
        close_absent: false,
        gone: Some(program(".detail? == null")),
        zone: Zone::utc(),
        number: program(".number? // .detail"),
        site: None,
        from: Some(program(".title?")),
        to: Some(program(".error?")),
        assets: Some(program(".errors? // [name(\"eam\"; \"asset\"; .name)]")),
        line: Some(program(".name?")),
        mapping: FieldMap::Object(vec![("all".into(), FieldMap::Expression(program(".")))]),
        added: vec!["number", "site", "assets"],
        version: String::new(),
    }
});

fn request(step: Step, input: Json) -> CallRequest {
    let key = Key::of_task(RunId::derived(&[b"fuzz"]), "/do/0/request", "", 0);
    CallRequest {
        call: key.call_id(),
        attempt: 1,
        step,
        site: "foundry".parse().expect("a name"),
        system: "eam".parse().expect("a name"),
        operation: "create".parse().expect("a name"),
        input,
        key,
    }
}

/// An operation that puts the input everywhere.
fn operation() -> Operation {
    let program = |text: &str| Program::compile(text, &["key", "reference", "site"]).expect("an expression");
    let field = |text: &str| FieldMap::Expression(program(text));
    let send = Request {
        method: "POST".into(),
        path: vec![PathPiece::Text("/requests/".into()), PathPiece::Expression(program(".name? // \"x\""))],
        query: vec![("q".into(), field(".query? // ."))],
        headers: vec![("x-trace".into(), field(".header? // null"))],
        body: Some(FieldMap::Object(vec![("all".into(), field(".")), ("ref".into(), field("$reference"))])),
    };
    let search = Request {
        method: "GET".into(),
        path: vec![PathPiece::Text("/requests".into())],
        query: vec![("reference".into(), field("$reference"))],
        headers: Vec::new(),
        body: None,
    };
    Operation {
        implements: "maintenance.request-work".into(),
        idempotency: Idempotency::Lookup(Box::new(Lookup {
            by: "reference".into(),
            settle: Span::ZERO,
            request: search,
            found: program(".requests[0]"),
        })),
        request: send,
        response: Response {
            document: Some(program(".number")),
            output: FieldMap::Object(vec![("document".into(), field(".number")), ("state".into(), field(".status"))]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strange_answers_have_outcomes() {
        let bodies: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"{}".to_vec(),
            b"{\"number\":1}".to_vec(),
            b"{\"requests\":[{\"number\":\"MR-1\"}]}".to_vec(),
            b"{\"error\":{\"message\":{\"value\":\"s3cret-of-fuzz\"}}}".to_vec(),
            b"[[{}]]".to_vec(),
            b"[{\"number\":1,\"detail\":2},{\"number\":[],\"detail\":1},7,null]".to_vec(),
            b"{\"requests\":[{\"number\":\"1\"}],\"name\":\"//evil.example/x\"}".to_vec(),
            vec![b'['; 100_000],
            vec![0xFF; 100],
            "é".repeat(20_000).into_bytes(),
            b"{\"name\":\"../..\",\"header\":\"a\\r\\nb: c\",\"query\":[1,{}]}".to_vec(),
        ];
        for body in bodies {
            for status in [100_u16, 101, 200, 204, 302, 400, 403, 500, 503, 599] {
                for choice in 0..8 {
                    let mut data = (status - 100).to_be_bytes().to_vec();
                    data.push(choice);
                    data.extend(&body);
                    fuzz(&data);
                }
            }
        }
    }

    /// Almost JSON: objects with the words systems use, lists, anything.
    const BODY: &str = concat!(
        r#"(\{("(number|error|message|title|errors|requests|name|token|jsonrpc)":"#,
        r#"("[^"\\]{0,20}"|[0-9]{1,20}|null|\[\]|\{\}|\[\{"detail":"x"\}\]),?){0,4}\}|\[.{0,20}\]|.{0,50})"#
    );

    proptest! {
        #[test]
        fn random_bytes_have_outcomes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&data);
        }

        #[test]
        fn random_answers_have_outcomes(
            status in 0_u16..500,
            choice in 0_u8..8,
            body in BODY,
        ) {
            let mut data = status.to_be_bytes().to_vec();
            data.push(choice);
            data.extend(body.replace(",}", "}").bytes());
            fuzz(&data);
        }
    }
}
