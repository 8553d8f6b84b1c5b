//! Random answers and inputs against the codec: whatever comes, there is a tidy outcome.

mod around;

pub use around::{fuzz_around, fuzz_project};

use super::{
    DETAIL_MAX_CHARS, RESPONSE_MAX_BYTES,
    codec::{self, Answer},
    paging::{After, Pages},
    reads,
    redact::Secrets,
};
use crate::names::Names;
use andon_contract::{
    contract::{
        Body, Content, Delta, FieldMap, HttpSource, Idempotency, Identifiers, Lookup, Narrow, Operation, Paged, Paging,
        PathPiece, Read, Request, Response, Webhook,
    },
    expr::Program,
};
use andon_model::{
    Key, OutcomeClass, RunId, Time,
    call::{CallRequest, Prepared, Step},
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
        headers.insert("link".into(), value.clone());
        headers.insert("content-type".into(), value);
    }
    let broken = (choice & 4 != 0).then(|| "it broke off".to_owned());
    let answer = Answer { status, headers, body: body.to_vec(), broken, redirect: None };
    let input = serde_json::from_slice(body).unwrap_or_else(|_| Json::from(String::from_utf8_lossy(body)));
    let request = request(step, input);
    let identifiers = Identifiers::default();
    let names = identifiers.at(Time(0));

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
    fuzz_pages(&answer, &request, names, &secrets);
}

/// The same answer as each page of an operation, by every way that pages follow each other: it ends, and asks nobody
/// else.
fn fuzz_pages(answer: &Answer, request: &CallRequest, names: Names<'_>, secrets: &Secrets) {
    let program = |text: &str| Program::compile(text, &[]).expect("an expression");
    let ways = [
        Paging::Next(program(".name?")),
        Paging::Link("next".into()),
        Paging::Token(program(".token?")),
        Paging::Size(1),
    ];
    for by in ways {
        let paged = Paged { by, pages: 5, items: Some(program(".requests? // .errors? // .")) };
        let mut operation = OPERATION.clone();
        operation.paging = Some(paged.clone());
        let first = Prepared {
            method: "GET".into(),
            url: "http://host:8080/base/requests".into(),
            headers: BTreeMap::new(),
            body: String::new(),
        };
        let of = (&operation, request);
        let mut turns = Pages::new("http://host:8080/base", of, names, secrets, (&paged, &first));
        let mut asked = 0;
        while let After::Ask(prepared) = turns.take(answer) {
            asked += 1;
            assert!(asked < 5 && prepared.url.starts_with("http://host:8080/"), "{}", prepared.url);
        }
    }
    // A post is read like a page of a read.
    if let Ok(Some(items)) = reads::posted(&POSTED, None, names, &answer.body) {
        for item in &items {
            assert!(serde_json::from_slice::<Json>(&item.bytes).is_ok());
        }
    }
}

/// The same answer as a page of a read: each item tells something or says why not, and a link leads nowhere else.
fn fuzz_read(answer: &Answer, names: Names<'_>, secrets: &Secrets) {
    let site = "foundry".parse().expect("a name");
    let ask = Ask::first(Json::Null, None, Some(site), Time(0));
    if let Ok(page) = reads::read(&POSTED, &ask, names, answer, secrets) {
        assert!(page.more != More::Last || page.cursor.is_some(), "the end of a delta says where to go on");
    }
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
                let next = ask.next(page.items.len(), More::Link(link));
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

static POSTED: LazyLock<Read> = LazyLock::new(|| {
    let program = |text: &str| Program::compile(text, &[]).expect("an expression");
    let (when, items) = (Some(program(".name? != \"x\"")), Some(program(".requests? // .")));
    let webhook = Some(Webhook { door: HttpSource::open(), when, items });
    let delta = Some(Delta { next: program(".token?"), is_link: true, expired: vec![410] });
    Read { webhook, delta, cursor: None, ..READ.clone() }
});

static READ: LazyLock<Read> = LazyLock::new(|| {
    let program = |text: &str| Program::compile(text, &[]).expect("an expression");
    let request = Request {
        method: "GET".into(),
        path: vec![PathPiece::Text("/orders".into())],
        query: vec![("since".into(), FieldMap::Expression(program(".cursor")))],
        headers: Vec::new(),
        body: None,
        content: Content::default(),
    };
    Read {
        object: "ProductionOrder/1".into(),
        every: Span::from_secs(30),
        max_age: Some(Span::from_secs(60)),
        sites: Vec::new(),
        request: Some(request),
        webhook: None,
        items: Some(program(".requests? // .")),
        cursor: Some(program(".last.name?")),
        delta: None,
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
        at: Time(0),
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
        content: Content::default(),
    };
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
            settle: Span::ZERO,
            request: search,
            found: program(".requests[0]"),
            paging: None,
        })),
        request: send,
        response: Response {
            document: Some(program(".number")),
            output: FieldMap::Object(vec![("document".into(), field(".number")), ("state".into(), field(".status"))]),
            content: Body::Json,
        },
        paging: None,
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
