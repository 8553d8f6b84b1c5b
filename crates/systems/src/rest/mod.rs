//! The REST connector: JSON over HTTP, described by the field maps of a system's operations.
//!
//! Its limits: a request and an answer hold at most 1 MiB; an answer is JSON or a text in UTF-8, plain or by gzip;
//! HTTP/1.1 is spoken; a redirect is followed only within the same scheme, host and port, and only where that cannot
//! make a second effect; proxies of the environment are not used, because where a request goes is said by the project.
//! Which requests may share a connection says `connection`.
//!
//! What a status code means stands in `status`, in one table.

mod codec;
pub(crate) mod config;
pub(crate) mod connection;
mod content;
mod fields;
mod fuzz;
mod gzip;
pub(crate) mod http;
mod kept;
mod line;
mod links;
mod oauth;
mod paging;
mod proxy;
mod rate;
pub(crate) mod reach;
pub mod reads;
pub(crate) mod redact;
mod session;
mod status;
pub(crate) mod tls;
pub(crate) mod words;

pub use fuzz::{fuzz, fuzz_around, fuzz_project};
pub use redact::{MARK, Shown};
pub use status::{Row, TABLE};

use crate::names::Names;
use andon_contract::contract::{Operation, Read, Reply, System};
use andon_model::{
    Name, Outcome, OutcomeClass,
    call::{CallRequest, Prepared},
    object::{Ask, Page},
};
use line::{Caller, Line};
use session::Failure;
use std::collections::BTreeMap;

pub(crate) use codec::prepare;
pub(crate) use line::Clients;

/// The longest body of a request.
pub const REQUEST_MAX_BYTES: usize = 1 << 20;
/// The longest body of an answer; what is longer is not read to its end.
pub const ANSWER_MAX_BYTES: usize = 1 << 20;
/// The longest bodies of all pages of an answer together.
pub const PAGES_MAX_BYTES: usize = 8 << 20;
/// The longest detail of an outcome, in characters.
pub const DETAIL_MAX_CHARS: usize = 500;
/// What an outcome keeps of an answer's body.
pub const RESPONSE_MAX_BYTES: usize = 16 << 10;

/// What an attempt needs beside the contract.
pub(crate) struct Shell<'a> {
    pub(crate) names: Names<'a>,
    pub(crate) env: &'a (dyn Fn(&str) -> Option<String> + Send + Sync),
    pub(crate) clients: &'a Clients,
}

impl<'a> Shell<'a> {
    fn caller(&self, name: &'a Name, system: &'a System) -> Caller<'a> {
        Caller { clients: self.clients, name, system, env: self.env }
    }
}

/// Makes one attempt.
pub(crate) async fn send(
    system: &System,
    operation: &Operation,
    request: &CallRequest,
    prepared: &Prepared,
    shell: &Shell<'_>,
) -> Outcome {
    let effect = status::has_effect(operation, request.step);
    let base = system.base.resolve(shell.env);
    let url = match config::allowed(&prepared.url, &base) {
        Ok(url) => url,
        Err(cause) => return Outcome::not_sent(OutcomeClass::Validation, cause),
    };
    let kept = status::is_harmless(operation, request.step);
    let mut line = match Line::open(shell.caller(&request.system, system), &base, None, kept).await {
        Ok(line) => line,
        Err(outcome) => return *outcome,
    };
    line.limit = system.timeout_of(operation);
    let answered = session::exchange(&line, &session::Attempt::new(prepared, url, ANSWER_MAX_BYTES)).await;
    let outcome = match (answered, codec::paging(operation, request.step)) {
        (Ok(answer), None) => codec::read(operation, request, shell.names, &answer, &line.secrets),
        (Ok(answer), Some(paged)) => {
            let of = (operation, request);
            let turns = paging::Pages::new(&base, of, shell.names, &line.secrets, (paged, prepared));
            Box::pin(go_through(turns, answer, &line)).await
        }
        (Err(failure), _) => failed(failure, effect),
    };
    line.told(outcome)
}

/// Goes through the pages of an answer whose first one is there, each within the time of an attempt.
async fn go_through(mut pages: paging::Pages<'_>, mut answer: codec::Answer, line: &Line<'_>) -> Outcome {
    loop {
        let prepared = match pages.take(&answer) {
            paging::After::Done(outcome) => return *outcome,
            paging::After::Ask(prepared) => prepared,
        };
        let url = match config::allowed(&prepared.url, pages.base) {
            Ok(url) => url,
            Err(cause) => return *pages.with_pages(Outcome::not_sent(OutcomeClass::Validation, cause)),
        };
        answer = match session::exchange(line, &session::Attempt::new(&prepared, url, ANSWER_MAX_BYTES)).await {
            Ok(answer) => answer,
            Err(failure) => return *pages.with_pages(Outcome { sent: true, ..failed(failure, false) }),
        };
    }
}

/// Reads one page of a read of a system; `Err` is the outcome of a request that told nothing.
pub(crate) async fn read(
    (name, system): (&Name, &System),
    read: &Read,
    ask: &Ask,
    shell: &Shell<'_>,
) -> Result<Page, Box<Outcome>> {
    let not_sent = |class, cause: String| Box::new(Outcome::not_sent(class, cause));
    let base = system.base.resolve(shell.env);
    let prepared = &reads::prepare(&base, read, ask, shell.names)?;
    let url = config::allowed(&prepared.url, &base).map_err(|cause| not_sent(OutcomeClass::Validation, cause))?;
    let line = Line::open(shell.caller(name, system), &base, None, true).await?;
    match session::exchange(&line, &session::Attempt::new(prepared, url, reads::PAGE_MAX_BYTES)).await {
        Ok(answer) => reads::read(read, ask, shell.names, &answer, &line.secrets),
        Err(failure) => Err(Box::new(line.told(failed(failure, false)))),
    }
}

/// What becomes of an attempt that is played, not made: read as if the system had said it.
pub(crate) fn play(operation: &Operation, request: &CallRequest, names: Names<'_>, reply: &Reply) -> Outcome {
    let effect = status::has_effect(operation, request.step);
    match reply {
        Reply::Http { status, headers, body } => {
            let body = body.as_ref().map_or_else(Vec::new, |body| body.to_string().into_bytes());
            let mut headers = headers.clone();
            headers.entry("content-type".to_owned()).or_insert_with(|| "application/json".to_owned());
            let answer = codec::Answer { status: *status, headers, body, ..codec::Answer::default() };
            let secrets = redact::Secrets::default();
            let Some(paged) = codec::paging(operation, request.step) else {
                return codec::read(operation, request, names, &answer, &secrets);
            };
            let first = Prepared {
                method: "GET".into(),
                url: "http://played".into(),
                headers: BTreeMap::new(),
                body: String::new(),
            };
            let of = (operation, request);
            match paging::Pages::new("http://played", of, names, &secrets, (paged, &first)).take(&answer) {
                paging::After::Done(outcome) => *outcome,
                paging::After::Ask(_) => Outcome::not_sent(
                    OutcomeClass::Validation,
                    "the answer says that another page follows; a scenario tells one page",
                ),
            }
        }
        Reply::Lost => failed(Failure::Lost("no answer came".to_owned()), effect),
        Reply::Refused => failed(Failure::NotSent { cause: "no connection".to_owned(), sent: false }, effect),
    }
}

/// The outcome of an attempt without an answer.
fn failed(failure: Failure, effect: bool) -> Outcome {
    match failure {
        Failure::Kept(outcome) => *outcome,
        Failure::Senseless(cause) => Outcome::not_sent(OutcomeClass::Validation, cause),
        Failure::NotSent { cause, sent } => Outcome { sent, ..Outcome::not_sent(OutcomeClass::Transient, cause) },
        Failure::Lost(cause) if effect => {
            let detail = format!("{cause}; it was sent, and nobody knows whether it had its effect");
            Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Unknown, detail) }
        }
        Failure::Lost(cause) => Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Transient, cause) },
    }
}
