//! Answers in pages, pure: what follows a page, and how an operation goes through them.

use super::{
    PAGES_MAX_BYTES,
    codec::{self, Answer, Turn},
    config,
    fields::{Scope, Wrong, kind, scalar},
    links, redact,
    redact::Secrets,
    words::one_line,
};
use crate::names::Names;
use andon_contract::{
    contract::{Body, Operation, Paged, Paging},
    expr::Program,
};
use andon_model::{
    Outcome, OutcomeClass,
    call::{CallRequest, Exchange, Prepared, Step},
    object::More,
};
use reqwest::Url;
use serde_json::Value as Json;

/// Items of all pages of an answer at most.
pub(super) const ITEMS_MAX: usize = 100_000;
/// The longest token of a page, in bytes.
const TOKEN_MAX_BYTES: usize = 4 << 10;
/// Pages whose requests and answers are kept of one attempt; of more, the last ones are.
const EXCHANGES_MAX: usize = 20;
/// What is kept of the body of each of them.
const EXCHANGE_MAX_BYTES: usize = 2 << 10;
/// What is shown of a foreign address, in characters.
const SHOWN_MAX_CHARS: usize = 120;

/// What follows a page with so many items. `eval` evaluates over the answer.
pub(super) fn more(
    by: &Paging,
    answer: &Answer,
    count: usize,
    eval: impl FnOnce(&Program, &'static str) -> Result<Json, Wrong>,
) -> Result<More, Wrong> {
    match by {
        Paging::Size(size) if count as u64 >= u64::from(*size) => Ok(More::Number),
        Paging::None | Paging::Size(_) => Ok(More::Last),
        Paging::Link(relation) => {
            let header = answer.headers.get("link").map_or("", String::as_str);
            Ok(links::find(header, relation).filter(|link| !link.is_empty()).map_or(More::Last, More::Link))
        }
        Paging::Next(next) => match eval(next, "paging.next")? {
            Json::Null => Ok(More::Last),
            Json::String(link) if link.is_empty() => Ok(More::Last),
            Json::String(link) => Ok(More::Link(link)),
            other => Err(Wrong::new("paging.next", format!("needs an address, found {}", kind(&other)))),
        },
        Paging::Token(token) => {
            let found = eval(token, "paging.token")?;
            match scalar(&found) {
                None if found.is_null() => Ok(More::Last),
                Some(token) if token.is_empty() => Ok(More::Last),
                Some(token) if token.len() <= TOKEN_MAX_BYTES => Ok(More::Token(token)),
                Some(_) => Err(Wrong::new("paging.token", format!("is longer than {TOKEN_MAX_BYTES} bytes"))),
                None => Err(Wrong::new("paging.token", format!("needs a text, found {}", kind(&found)))),
            }
        }
    }
}

/// The address of another page: credentials go nowhere else than to the system.
pub(super) fn follow(base: &str, from: &str, link: &str, place: &str) -> Result<String, Wrong> {
    let shown = || one_line(link, SHOWN_MAX_CHARS);
    let from = Url::parse(from).map_err(|e| Wrong::new(place, e.to_string()))?;
    let to = from.join(link).map_err(|e| Wrong::new(place, format!("{:?} is no address: {e}", shown())))?;
    config::allowed(to.as_str(), base).map_err(|cause| Wrong::new(place, cause))?;
    if to == from {
        return Err(Wrong::new(place, "leads back to the page it stands on"));
    }
    Ok(to.into())
}

/// An operation on its way through the pages of an answer.
pub(super) struct Pages<'a> {
    pub(super) base: &'a str,
    pub(super) operation: &'a Operation,
    pub(super) request: &'a CallRequest,
    pub(super) names: Names<'a>,
    pub(super) secrets: &'a Secrets,
    paged: &'a Paged,
    turn: Turn,
    /// The request that is under way.
    asked: Prepared,
    items: Vec<Json>,
    bytes: usize,
    exchanges: Vec<Exchange>,
}

/// What comes after a page.
#[derive(Debug)]
pub(super) enum After {
    /// The outcome.
    Done(Box<Outcome>),
    /// Another page.
    Ask(Prepared),
}

impl<'a> Pages<'a> {
    /// Before its first page, which is asked for by this request.
    pub(super) fn new(
        base: &'a str,
        (operation, request): (&'a Operation, &'a CallRequest),
        names: Names<'a>,
        secrets: &'a Secrets,
        (paged, first): (&'a Paged, &Prepared),
    ) -> Self {
        let (turn, asked) = (Turn::default(), first.clone());
        let (items, exchanges) = (Vec::new(), Vec::new());
        Self { base, operation, request, names, secrets, paged, turn, asked, items, bytes: 0, exchanges }
    }

    /// The outcome with what was asked on the way to it.
    pub(super) fn with_pages(&mut self, mut outcome: Outcome) -> Box<Outcome> {
        if self.turn.page > 1 && outcome.class != OutcomeClass::Ok {
            let detail = format!("page {}: {}", self.turn.page, outcome.detail);
            outcome.detail = one_line(&detail, super::DETAIL_MAX_CHARS);
        }
        outcome.exchanges.append(&mut self.exchanges);
        Box::new(outcome)
    }

    /// What an answer leads to.
    pub(super) fn take(&mut self, answer: &Answer) -> After {
        if self.turn.page > 1 {
            if self.exchanges.len() >= EXCHANGES_MAX {
                self.exchanges.remove(0);
            }
            self.exchanges.push(exchange(&format!("page {}", self.turn.page), &self.asked, answer, self.secrets));
        }
        let taken = match self.request.step {
            Step::Search => self.search(answer),
            Step::Send => self.gather(answer),
        };
        match taken {
            Ok(after) => after,
            Err(outcome) => After::Done(self.with_pages(*outcome)),
        }
    }

    /// A search ends with the page on which the document is.
    fn search(&mut self, answer: &Answer) -> Result<After, Box<Outcome>> {
        let outcome = codec::read(self.operation, self.request, self.names, answer, self.secrets);
        let is_absent = outcome.class == OutcomeClass::Ok && outcome.output.is_null() && outcome.document.is_none();
        if !is_absent {
            return Err(Box::new(outcome));
        }
        let body = codec::succeeded(answer, Body::Json, self.secrets)?;
        let more = self.more(&body, answer)?;
        // Nothing stands behind the last page.
        if more == More::Last { Err(Box::new(outcome)) } else { self.next(more, answer) }
    }

    /// A reading needs all of them.
    fn gather(&mut self, answer: &Answer) -> Result<After, Box<Outcome>> {
        let body = codec::succeeded(answer, Body::Json, self.secrets)?;
        self.bytes = self.bytes.saturating_add(answer.body.len());
        let before = self.items.len();
        match self.list(&body).map_err(|wrong| self.unreadable(&wrong, answer))? {
            Json::Array(items) => self.items.extend(items),
            Json::Null => {}
            other => {
                let cause = format!("needs a list, found {}", kind(&other));
                return Err(self.unreadable(&Wrong::new("paging.items", cause), answer));
            }
        }
        let count = self.items.len() - before;
        if self.items.len() > ITEMS_MAX || self.bytes > PAGES_MAX_BYTES {
            let cause =
                format!("the answer has more than {ITEMS_MAX} items, or {PAGES_MAX_BYTES} bytes; ask for less at once");
            return Err(self.too_much(&cause, answer));
        }
        let more = self.counted(&body, answer, count)?;
        if more == More::Last {
            let items = std::mem::take(&mut self.items);
            let outcome = codec::read_all(self.operation, self.request, self.names, (items, answer), self.secrets);
            return Err(Box::new(outcome));
        }
        self.turn.skip = self.items.len() as u64;
        self.next(more, answer)
    }

    fn list(&self, body: &Json) -> Result<Json, Wrong> {
        match &self.paged.items {
            None => Ok(body.clone()),
            Some(items) => self.scope(body).eval(items, "paging.items"),
        }
    }

    fn more(&mut self, body: &Json, answer: &Answer) -> Result<More, Box<Outcome>> {
        let count = match (&self.paged.by, self.list(body)) {
            (Paging::Size(_), Err(wrong)) => return Err(self.unreadable(&wrong, answer)),
            (Paging::Size(_), Ok(Json::Array(items))) => items.len(),
            (Paging::Size(_), Ok(other)) if !other.is_null() => {
                let cause = format!("needs a list, found {}", kind(&other));
                return Err(self.unreadable(&Wrong::new("paging.items", cause), answer));
            }
            _ => 0,
        };
        self.turn.skip += count as u64;
        self.counted(body, answer, count)
    }

    fn counted(&self, body: &Json, answer: &Answer, count: usize) -> Result<More, Box<Outcome>> {
        more(&self.paged.by, answer, count, |program, place| self.scope(body).eval(program, place))
            .map_err(|wrong| self.unreadable(&wrong, answer))
    }

    fn scope<'b>(&'b self, input: &'b Json) -> Scope<'b> {
        Scope { input, request: Some(self.request), names: self.names, others: &[] }
    }

    fn next(&mut self, more: More, answer: &Answer) -> Result<After, Box<Outcome>> {
        if self.turn.page >= self.paged.pages {
            let cause = format!("the answer has more than {} pages; raise `pages`, or ask for less", self.paged.pages);
            return Err(self.too_much(&cause, answer));
        }
        self.turn.page += 1;
        self.turn.token = if let More::Token(token) = &more { Some(token.clone()) } else { None };
        self.asked = match more {
            More::Link(link) => {
                let url = follow(self.base, &self.asked.url, &link, "paging.next")
                    .map_err(|wrong| self.unreadable(&wrong, answer))?;
                Prepared { url, body: String::new(), ..self.asked.clone() }
            }
            _ => codec::page(self.base, self.operation, self.request, self.names, &self.turn)?,
        };
        Ok(After::Ask(self.asked.clone()))
    }

    fn unreadable(&self, wrong: &Wrong, answer: &Answer) -> Box<Outcome> {
        let cause = format!("the answer cannot be read: {}: {}", wrong.place, wrong.cause);
        self.told(OutcomeClass::Transient, &cause, answer)
    }

    /// A search that did not end has not found out whether there is nothing.
    fn too_much(&self, cause: &str, answer: &Answer) -> Box<Outcome> {
        let class = if self.request.step == Step::Send { OutcomeClass::Validation } else { OutcomeClass::Transient };
        self.told(class, cause, answer)
    }

    fn told(&self, class: OutcomeClass, cause: &str, answer: &Answer) -> Box<Outcome> {
        let detail = one_line(&self.secrets.hide(cause), super::DETAIL_MAX_CHARS);
        let outcome = Outcome::not_sent(class, detail);
        Box::new(Outcome { sent: true, status: Some(answer.status), ..outcome })
    }
}

/// A request and its answer, as they are kept beside the first of an attempt.
pub(super) fn exchange(what: &str, prepared: &Prepared, answer: &Answer, secrets: &Secrets) -> Exchange {
    Exchange {
        what: what.to_owned(),
        request: redact::request_line(prepared, secrets),
        body: redact::body(prepared, secrets, EXCHANGE_MAX_BYTES),
        status: Some(answer.status),
        response: redact::cut(&redact::kept_bytes(&answer.body, secrets, EXCHANGE_MAX_BYTES), EXCHANGE_MAX_BYTES),
    }
}
