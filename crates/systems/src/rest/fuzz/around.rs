//! What comes from systems beside the answers to calls, and the answers that the operations of a project read.

use super::request;
use crate::rest::{
    DETAIL_MAX_CHARS, RESPONSE_MAX_BYTES,
    codec::{self, Answer},
    gzip, links, oauth, proxy, reads,
    redact::Secrets,
    status, tls,
};
use andon_contract::{
    Contract,
    contract::{Idempotency, Operation, Read},
};
use andon_model::{
    OutcomeClass, Time,
    call::{CallRequest, Step},
    object::Ask,
};
use reqwest::Url;
use serde_json::Value as Json;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The longest answer, expanded.
const MOST_BYTES: usize = 64 << 10;

/// Headers and bodies of servers that stand before a system: of tokens, of proxies, of redirects, of certificates. The
/// first byte chooses.
pub fn fuzz_around(data: &[u8]) {
    let [choice, high, low, body @ ..] = data else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let secrets = Secrets::new(vec!["s3cret-of-fuzz".into()]);
    match choice % 6 {
        0 => {
            let answer = Answer { status, body: body.to_vec(), ..Answer::default() };
            match oauth::read(&answer, "host", Instant::now(), &secrets) {
                Ok(token) => {
                    assert!((200..=299).contains(&status) && !token.access.is_empty());
                    // Short ones would be found in every text.
                    if token.access.len() >= 16 {
                        assert!(!secrets.hide(&format!("got {}", token.access)).contains(&token.access));
                    }
                }
                Err(outcome) => {
                    assert!(
                        !outcome.sent && outcome.class != OutcomeClass::Ok && outcome.class != OutcomeClass::Unknown
                    );
                    assert!(!outcome.detail.contains("s3cret-of-fuzz"), "{}", outcome.detail);
                }
            }
        }
        1 => {
            let headers = BTreeMap::from([("content-encoding".to_owned(), "gzip".to_owned())]);
            let mut answer = Answer { status, headers, body: body.to_vec(), ..Answer::default() };
            gzip::expand(&mut answer, MOST_BYTES);
            assert!(answer.body.len() <= MOST_BYTES);
        }
        2 => drop(proxy::status(body)),
        3 => {
            let from = Url::parse("https://host.example:8443/base/x").expect("an address");
            let text = String::from_utf8_lossy(body);
            for get in [true, false] {
                if let Some(Ok(to)) = status::redirect(status, get, &from, Some(&text)) {
                    assert_eq!((to.host_str(), to.port()), (from.host_str(), from.port()), "no other host is asked");
                    assert_eq!(to.scheme(), "https", "what was protected stays so");
                }
            }
            if let Some(link) = links::find(&text, "next") {
                assert!(text.contains(&link), "{link}");
            }
        }
        4 => {
            drop(tls::parse("a.pem", body));
            drop(tls::authorities("a.pem", body));
            drop(tls::parse_key(&String::from_utf8_lossy(body)));
        }
        _ => {
            let text = String::from_utf8_lossy(body).into_owned();
            let headers = BTreeMap::from([("retry-after".to_owned(), text)]);
            if let Some(span) = codec::retry_after(&headers) {
                assert!(span.std() >= Duration::ZERO);
            }
        }
    }
}

/// Reads an answer as the operations and reads of a project do; the first byte chooses which, two more the status.
pub fn fuzz_project(contract: &Contract, data: &[u8]) {
    let [choice, high, low, flags, body @ ..] = data else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let mut headers = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    if flags & 1 != 0 {
        headers.insert("etag".to_owned(), "W/\"1\"".to_owned());
    }
    let broken = (flags & 2 != 0).then(|| "it broke off".to_owned());
    let answer = Answer { status, headers, body: body.to_vec(), broken, redirect: None };
    let systems = contract.systems.values();
    let operations: Vec<&Operation> = systems.clone().flat_map(|system| system.operations.values()).collect();
    let all: Vec<&Read> = systems.flat_map(|system| system.reads.values()).collect();
    let choice = usize::from(*choice) % (operations.len() + all.len()).max(1);
    if let Some(operation) = operations.get(choice) {
        let is_lookup = matches!(operation.idempotency, Idempotency::Lookup(_));
        let step = if is_lookup && flags & 4 != 0 { Step::Search } else { Step::Send };
        let input = serde_json::from_slice(body).unwrap_or(Json::Null);
        call(contract, operation, &request(step, input), &answer);
    } else if let Some(of) = all.get(choice - operations.len()) {
        read(contract, of, &answer);
    }
}

fn call(contract: &Contract, operation: &Operation, request: &CallRequest, answer: &Answer) {
    let names = contract.identifiers.at(Time(0));
    let secrets = Secrets::new(Vec::new());
    let outcome = codec::read(operation, request, names, answer, &secrets);
    assert!(outcome.detail.chars().count() <= DETAIL_MAX_CHARS && !outcome.detail.contains(['\r', '\n']));
    assert!(outcome.response.len() <= RESPONSE_MAX_BYTES && outcome.sent);
    if outcome.class == OutcomeClass::Ok {
        assert!((200..=299).contains(&answer.status) && answer.broken.is_none());
    }
    if let Ok(prepared) = codec::prepare("http://host:8080/base", operation, request, names) {
        assert!(prepared.url.starts_with("http://host:8080/base/"), "{}", prepared.url);
        assert!(prepared.headers.values().all(|value| !value.contains(['\r', '\n', '\0'])));
    }
}

fn read(contract: &Contract, read: &Read, answer: &Answer) {
    let names = contract.identifiers.at(Time(0));
    let secrets = Secrets::new(Vec::new());
    let site = contract.sites.keys().next().cloned();
    let ask = Ask::first(Json::Null, None, site.clone(), Time(0));
    match reads::read(read, &ask, names, answer, &secrets) {
        Ok(page) => {
            assert!((200..=299).contains(&answer.status) && answer.broken.is_none());
            for item in &page.items {
                // What was set aside is read again one day, and then means what it meant.
                let again = reads::again(read, site.as_ref(), names, &item.bytes).map(|item| item.told);
                assert_eq!(again.as_ref(), Ok(&item.told), "an item says something else when it is read again");
            }
        }
        Err(outcome) => assert!(outcome.class != OutcomeClass::Ok && outcome.class != OutcomeClass::Unknown),
    }
    drop(reads::posted(read, site.as_ref(), names, &answer.body));
}
