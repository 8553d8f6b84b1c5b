//! What a status code means for a call: one table.
//!
//! The question behind each row is whether the request may have had its effect. Where a server or a gateway cannot have
//! worked on it, the class is a definite one; where it can, the class is `unknown` and a search decides.

use super::config::{host, same_origin};
use andon_contract::contract::{Idempotency, Operation};
use andon_model::{OutcomeClass, call::Step};
use reqwest::Url;

/// Requests that only read can be repeated, so nothing is unknown about them.
pub(super) fn has_effect(operation: &Operation, step: Step) -> bool {
    step == Step::Send
        && !matches!(operation.idempotency, Idempotency::Read)
        && !operation.request.method.eq_ignore_ascii_case("GET")
}

/// Whether a second sending has no second effect, so that a connection that was kept open may carry the request.
pub(super) fn is_harmless(operation: &Operation, step: Step) -> bool {
    !has_effect(operation, step) || matches!(operation.idempotency, Idempotency::Key | Idempotency::Upsert)
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The first code of the row.
    pub from: u16,
    /// The last code of the row.
    pub to: u16,
    /// What it means for a request with an effect.
    pub effect: OutcomeClass,
    /// What it means for a request that only reads.
    pub read: OutcomeClass,
    /// Why.
    pub reason: &'static str,
}

use OutcomeClass::{Auth, Conflict, Limit, NotFound, Ok as Done, Permission, Transient, Unknown, Validation};

const fn row(from: u16, to: u16, effect: OutcomeClass, read: OutcomeClass, reason: &'static str) -> Row {
    Row { from, to, effect, read, reason }
}

/// What each status code means. The rows stand in the order of their codes and leave none out.
pub const TABLE: &[Row] = &[
    row(0, 199, Unknown, Transient, "no final answer"),
    row(200, 299, Done, Done, "done; the body decides the rest"),
    row(300, 300, Conflict, Conflict, "several objects match the key (Salesforce upsert); nothing was changed"),
    row(301, 301, NotFound, NotFound, "it lives elsewhere; the server did nothing, and the project's address is wrong"),
    row(302, 303, Unknown, NotFound, "many servers answer a form they have taken with one of these"),
    row(304, 306, Unknown, Transient, "senseless without a condition; a cache is in between"),
    row(307, 308, NotFound, NotFound, "the same request is wanted elsewhere, so nothing was done here"),
    row(309, 399, Unknown, Transient, "nobody knows this code"),
    row(400, 400, Validation, Validation, "the content is refused"),
    row(401, 401, Auth, Auth, "the credentials are not accepted"),
    row(402, 403, Permission, Permission, "the credentials may not do this"),
    row(404, 404, NotFound, NotFound, "what the request names does not exist"),
    row(405, 406, Validation, Validation, "the method or the format is refused"),
    row(407, 407, Auth, Auth, "a proxy in between wants credentials; it passed nothing on"),
    row(408, 408, Limit, Limit, "the server gave up before it had the whole request"),
    row(409, 409, Conflict, Conflict, "the object is in another state"),
    row(410, 410, NotFound, NotFound, "what the request names exists no more"),
    row(411, 411, Validation, Validation, "the form of the request is refused"),
    row(412, 412, Conflict, Conflict, "the object was changed since it was read"),
    row(413, 420, Validation, Validation, "the form or the size of the request is refused"),
    row(421, 421, Transient, Transient, "it reached the wrong server, which did nothing"),
    row(422, 422, Validation, Validation, "the content is refused"),
    row(423, 423, Conflict, Conflict, "the object is locked"),
    row(424, 424, Validation, Validation, "what it depends on is refused"),
    row(425, 425, Limit, Limit, "the server will not take it so early"),
    row(426, 427, Validation, Validation, "the protocol is refused"),
    row(428, 428, Conflict, Conflict, "the version that was read must be named"),
    row(429, 429, Limit, Limit, "too many requests"),
    row(430, 450, Validation, Validation, "the request is refused as it is"),
    row(451, 451, Permission, Permission, "forbidden by law"),
    row(452, 499, Validation, Validation, "the request is refused as it is"),
    row(500, 500, Unknown, Transient, "the server failed at some point of its work"),
    row(501, 501, Validation, Validation, "the server cannot do this at all"),
    row(502, 502, Unknown, Transient, "a gateway may have passed the request on"),
    row(503, 503, Transient, Transient, "turned away before any work; with Retry-After it is `limit`"),
    row(504, 504, Unknown, Transient, "a gateway passed the request on and did not wait for the answer"),
    row(505, 505, Validation, Validation, "the protocol is refused"),
    row(506, 510, Unknown, Transient, "the server failed at some point of its work"),
    row(511, 511, Auth, Auth, "a network in between wants a login; it passed nothing on"),
    row(512, 520, Unknown, Transient, "a gateway did not understand the server's answer"),
    row(521, 521, Transient, Transient, "a gateway could not connect"),
    row(522, 522, Unknown, Transient, "a gateway waited in vain, perhaps after it had connected"),
    row(523, 523, Transient, Transient, "a gateway could not reach the server"),
    row(524, 528, Unknown, Transient, "a gateway passed the request on and did not wait for the answer"),
    row(529, 529, Limit, Limit, "the system is overloaded"),
    row(530, u16::MAX, Unknown, Transient, "nobody knows this code"),
];

/// The row of a code.
pub(super) fn of(code: u16) -> &'static Row {
    const LAST: &Row = &row(0, u16::MAX, Unknown, Transient, "nobody knows this code");
    TABLE.iter().find(|row| (row.from..=row.to).contains(&code)).unwrap_or(LAST)
}

/// The class of an answer without success: the table, and then what the words of the system say more exactly.
pub(super) fn class(code: u16, effect: bool, retry_after: bool, codes: &[String], text: &str) -> OutcomeClass {
    let row = of(code);
    let has = |wanted: &[&str]| codes.iter().any(|code| wanted.contains(&code.as_str()));
    // Salesforce says both with a status that means something else.
    if has(&["REQUEST_LIMIT_EXCEEDED"]) {
        return Limit;
    }
    if has(&["UNABLE_TO_LOCK_ROW"]) {
        return Conflict;
    }
    if has(&["INVALID_SESSION_ID"]) {
        return Auth;
    }
    if code == 503 {
        // Envoy answers so too when the server broke off after it had got the request.
        if text.contains("disconnect/reset before headers") {
            return if effect { Unknown } else { Transient };
        }
        if retry_after {
            return Limit;
        }
    }
    // SAP says with 400 that somebody is editing the object.
    if code == 400 && ["locked by", "blocked by user", "being processed by"].iter().any(|lock| text.contains(lock)) {
        return Conflict;
    }
    if effect { row.effect } else { row.read }
}

/// Whether a redirect is followed: `Ok` with the address, or `Err` with the reason, or `None` when it is no redirect.
pub(super) fn redirect(code: u16, get: bool, from: &Url, location: Option<&str>) -> Option<Result<Url, String>> {
    if !matches!(code, 301..=303 | 307..=308) {
        return None;
    }
    let Some(location) = location else { return Some(Err("a redirect without a place".into())) };
    let Ok(to) = from.join(location) else { return Some(Err("a redirect to something that is no address".into())) };
    if !same_origin(&to, from) || !to.username().is_empty() || to.password().is_some() {
        let to = host(&to);
        let remedy = "correct `base`; when it is a login page, check the credentials";
        return Some(Err(format!("it redirects to {to}, another host, which is not followed; {remedy}")));
    }
    // The others allow to turn a request into a GET, whose answer would look like success.
    if get || matches!(code, 307..=308) {
        return Some(Ok(to));
    }
    Some(Err(format!("it redirects to {}; correct the path of the request", to.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_exactly_one_row() {
        let mut next = 0_u32;
        for row in TABLE {
            assert_eq!(u32::from(row.from), next, "{row:?}");
            assert!(row.to >= row.from && !row.reason.is_empty());
            next = u32::from(row.to) + 1;
        }
        assert_eq!(next, u32::from(u16::MAX) + 1);
    }

    #[test]
    fn only_an_effect_can_be_unknown() {
        assert!(TABLE.iter().all(|row| row.read != Unknown));
        for code in [500, 502, 504, 520, 302, 599] {
            assert_eq!(class(code, true, false, &[], ""), Unknown, "{code}");
            assert_ne!(class(code, false, false, &[], ""), Unknown, "{code}");
        }
    }

    #[test]
    fn codes_mean_what_the_taxonomy_says() {
        for (code, expected) in [
            (400, Validation),
            (401, Auth),
            (403, Permission),
            (404, NotFound),
            (408, Limit),
            (409, Conflict),
            (410, NotFound),
            (412, Conflict),
            (422, Validation),
            (425, Limit),
            (428, Conflict),
            (429, Limit),
            (503, Transient),
        ] {
            assert_eq!(class(code, true, false, &[], ""), expected, "{code}");
            assert_eq!(class(code, false, false, &[], ""), expected, "{code}");
        }
        assert_eq!(class(503, true, true, &[], ""), Limit);
    }

    #[test]
    fn words_say_it_more_exactly() {
        let codes = |code: &str| vec![code.to_owned()];
        assert_eq!(class(403, true, false, &codes("REQUEST_LIMIT_EXCEEDED"), ""), Limit);
        assert_eq!(class(400, true, false, &codes("UNABLE_TO_LOCK_ROW"), ""), Conflict);
        assert_eq!(class(500, true, false, &codes("UNABLE_TO_LOCK_ROW"), ""), Conflict);
        assert_eq!(class(400, true, false, &[], "Order 42 is locked by USER1"), Conflict);
        let envoy = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
        assert_eq!(class(503, true, true, &[], envoy), Unknown);
        assert_eq!(class(503, false, true, &[], envoy), Transient);
    }

    #[test]
    fn redirects_stay_with_the_host_and_never_change_a_request() {
        let from = Url::parse("https://host/a/b").unwrap();
        let go = |code, get, to: &str| redirect(code, get, &from, Some(to)).unwrap().map(|url| url.to_string());
        assert_eq!(go(302, true, "c").unwrap(), "https://host/a/c");
        assert_eq!(go(307, false, "/c").unwrap(), "https://host/c");
        assert_eq!(go(308, false, "https://host:443/c").unwrap(), "https://host/c");
        for (code, get, to) in [
            (302, false, "/c"),
            (301, false, "/c"),
            (307, true, "https://other/c"),
            (307, true, "http://host/c"),
            (307, true, "//other/c"),
            (307, true, "https://user@host/c"),
            (307, true, "http://["),
        ] {
            assert!(go(code, get, to).is_err(), "{code} {to}");
        }
        assert!(redirect(307, true, &from, None).unwrap().is_err());
        assert!(redirect(304, true, &from, Some("/c")).is_none());
    }
}
