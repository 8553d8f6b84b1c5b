//! The REST connector: JSON over HTTP, described by the field maps of a system's operations.
//!
//! Its limits: a request and an answer hold at most 1 MiB; an answer is JSON in UTF-8, not compressed; a redirect is
//! followed only within the same scheme, host and port, and only where that cannot make a second effect; proxies of
//! the environment are not used, because where a request goes is said by the project. Each attempt opens a connection
//! of its own: on one that was kept open, a request can meet the server's closing of it, and then nobody knows whether
//! it was read.
//!
//! What a status code means stands in `status`, in one table.

mod codec;
mod config;
mod content;
mod fields;
mod fuzz;
pub(crate) mod http;
mod kept;
mod links;
mod paging;
mod reach;
pub mod reads;
mod redact;
mod session;
mod status;
mod words;

pub use fuzz::fuzz;
pub use status::{Row, TABLE};

use crate::names::Names;
use andon_contract::contract::{Operation, Read, Reply, System};
use andon_model::{
    Name, Outcome, OutcomeClass,
    call::{CallRequest, Prepared},
    object::{Ask, Page},
};
use reqwest::Client;
use session::Failure;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use codec::prepare;
pub(crate) use kept::Known;

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
    let credentials = match config::credentials(&request.system, &system.credentials, shell.env).await {
        Ok(credentials) => credentials,
        Err(cause) => return Outcome::not_sent(OutcomeClass::Auth, cause),
    };
    let way = match reach::way(&url, &system.reach, shell.env) {
        Ok(way) => way,
        Err(cause) => return Outcome::not_sent(OutcomeClass::Validation, cause),
    };
    let client = match shell.clients.get(system, &way) {
        Ok(client) => client,
        Err(cause) => return Outcome::not_sent(OutcomeClass::Transient, cause),
    };
    let (limit, most) = (system.timeout, ANSWER_MAX_BYTES);
    let attempt = session::Attempt { prepared, url, way, credentials: &credentials, limit, most };
    let _place = shell.clients.place().await;
    let answered = session::exchange(&client, &attempt).await;
    let mut outcome = match (answered, codec::paging(operation, request.step)) {
        (Ok(answer), None) => codec::read(operation, request, shell.names, &answer, &credentials.secrets),
        (Ok(answer), Some(paged)) => {
            let of = (operation, request);
            let pages = paging::Pages::new(&base, of, shell.names, &credentials.secrets, (paged, prepared));
            Box::pin(go_through(pages, answer, &client, &attempt)).await
        }
        (Err(failure), _) => failed(failure, effect),
    };
    outcome.detail = words::one_line(&credentials.secrets.hide(&outcome.detail), DETAIL_MAX_CHARS);
    outcome
}

/// Goes through the pages of an answer whose first one is there, each within the time of an attempt.
async fn go_through(
    mut pages: paging::Pages<'_>,
    mut answer: codec::Answer,
    client: &Client,
    first: &session::Attempt<'_>,
) -> Outcome {
    loop {
        let prepared = match pages.take(&answer) {
            paging::After::Done(outcome) => return *outcome,
            paging::After::Ask(prepared) => prepared,
        };
        let url = match config::allowed(&prepared.url, pages.base) {
            Ok(url) => url,
            Err(cause) => return *pages.with_pages(Outcome::not_sent(OutcomeClass::Validation, cause)),
        };
        let attempt = session::Attempt { prepared: &prepared, url, way: first.way.clone(), ..*first };
        answer = match session::exchange(client, &attempt).await {
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
    let credentials = config::credentials(name, &system.credentials, shell.env).await;
    let credentials = credentials.map_err(|cause| not_sent(OutcomeClass::Auth, cause))?;
    let way = reach::way(&url, &system.reach, shell.env).map_err(|cause| not_sent(OutcomeClass::Validation, cause))?;
    let client = shell.clients.get(system, &way).map_err(|cause| not_sent(OutcomeClass::Transient, cause))?;
    let (limit, most) = (system.timeout, reads::PAGE_MAX_BYTES);
    let attempt = session::Attempt { prepared, url, way, credentials: &credentials, limit, most };
    let _place = shell.clients.place().await;
    match session::exchange(&client, &attempt).await {
        Ok(answer) => reads::read(read, ask, shell.names, &answer, &credentials.secrets),
        Err(failure) => {
            let mut outcome = failed(failure, false);
            outcome.detail = words::one_line(&credentials.secrets.hide(&outcome.detail), DETAIL_MAX_CHARS);
            Err(Box::new(outcome))
        }
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
        Failure::Senseless(cause) => Outcome::not_sent(OutcomeClass::Validation, cause),
        Failure::NotSent { cause, sent } => Outcome { sent, ..Outcome::not_sent(OutcomeClass::Transient, cause) },
        Failure::Lost(cause) if effect => {
            let detail = format!("{cause}; it was sent, and nobody knows whether it had its effect");
            Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Unknown, detail) }
        }
        Failure::Lost(cause) => Outcome { sent: true, ..Outcome::not_sent(OutcomeClass::Transient, cause) },
    }
}

/// The HTTP clients of a system, made when first needed: one without and one with TLS, because only the second needs
/// the certificates of the machine. A request needs one of its places.
pub(crate) struct Clients {
    plain: Mutex<Option<Client>>,
    tls: Mutex<Option<Client>>,
    /// So many requests of calls and reads together are under way at most; who waits is served in the order of asking.
    places: Semaphore,
}

impl Clients {
    /// None yet, with so many places.
    pub(crate) fn new(places: u32) -> Self {
        let places = Semaphore::new(usize::try_from(places.max(1)).unwrap_or(1));
        Self { plain: Mutex::default(), tls: Mutex::default(), places }
    }

    /// Waits for a place; it is free again when it is dropped.
    async fn place(&self) -> SemaphorePermit<'_> {
        self.places.acquire().await.expect("nobody closes it")
    }

    fn get(&self, system: &System, way: &reach::Way) -> Result<Client, String> {
        let tls = way.tls;
        let mut place = if tls { &self.tls } else { &self.plain }.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*place {
            return Ok(client.clone());
        }
        let client = session::client(system.timeout, tls)
            .map_err(|cause| format!("no TLS is possible on this machine: {cause}; install its root certificates"))?;
        Ok(place.insert(client).clone())
    }
}
