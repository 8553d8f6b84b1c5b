//! Reads: objects that are taken from a system of record again and again.

use super::{FieldMap, HttpSource, Request};
use crate::expr::Program;
use andon_model::{SiteName, span::Span, time::Zone};

/// Objects that are taken from a system. The expressions of the request see
/// `{cursor, delta, since, site, now, page, skip, token}`, those of an item the item; none has variables.
#[derive(Debug, Clone)]
pub struct Read {
    /// The schema of the objects: `name/major`.
    pub object: String,
    /// How often the system is asked, where it is asked.
    pub every: Span,
    /// After this long without an answer what was read is stale; default twice `every`; `None`, where nobody is asked:
    /// never by itself.
    pub max_age: Option<Span>,
    /// The sites it serves.
    pub sites: Vec<SiteName>,
    /// The request; `None`: the system is not asked, it posts.
    pub request: Option<Request>,
    /// What the system posts.
    pub webhook: Option<Webhook>,
    /// The list of items in an answer; `None`: the answer is the list.
    pub items: Option<Program>,
    /// What the next request shall know, over `{answer, last, cursor}`.
    pub cursor: Option<Program>,
    /// How the system is asked for changes only.
    pub delta: Option<Delta>,
    /// How an answer in pages is read.
    pub paging: Paging,
    /// Pages of one answer at most.
    pub pages: u32,
    /// Whether objects that a whole answer does not hold any more are closed.
    pub close_absent: bool,
    /// Whether an item says that its object is gone.
    pub gone: Option<Program>,
    /// The zone of times that name none.
    pub zone: Zone,
    /// The object's number.
    pub number: Program,
    /// Our name of the object's site; `None`: the system is asked once for each site.
    pub site: Option<Program>,
    /// From when it is valid, null: not yet; `None`: always.
    pub from: Option<Program>,
    /// Until when it is valid; `None`: it is open.
    pub to: Option<Program>,
    /// The assets it is for.
    pub assets: Option<Program>,
    /// The line for whose assets it is besides.
    pub line: Option<Program>,
    /// The fields of the object.
    pub mapping: FieldMap,
    /// Those of `number`, `site` and `assets` that the schema has and the mapping does not give.
    pub added: Vec<&'static str>,
    /// The hash of its resolved meaning and of the names it looks up: under another one everything is read anew.
    pub version: String,
}

impl Read {
    /// Pages of one answer unless told.
    pub const PAGES: u32 = 100;
    /// Pages of one answer at most.
    pub const PAGES_MAX: u32 = 10_000;
    /// The shortest pause between two polls.
    pub const EVERY_MIN: Span = Span::from_secs(1);
    /// The longest.
    pub const EVERY_MAX: Span = Span::from_secs(7 * 86_400);
}

/// How a system that keeps count of changes is asked for those since the last answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// Over the last page of an answer: the address or the token to go on from.
    pub next: Program,
    /// It is an address, asked for in place of the request's; else a token that the request sees as `.delta`.
    pub is_link: bool,
    /// The status codes that say it is not known any more: then everything is read again.
    pub expired: Vec<u16>,
}

impl Delta {
    /// Says that what the system had kept of us is gone.
    pub const EXPIRED: u16 = 410;
}

/// What a system posts of objects: `POST /v1/systems/{system}/reads/{read}`.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Who may post, and how many at once; it has no events.
    pub door: HttpSource,
    /// Which posts tell something, over the body; `None`: every one.
    pub when: Option<Program>,
    /// The list of items in the body, or the one; `None`: the body.
    pub items: Option<Program>,
}

/// Pages of an answer to an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Paged {
    /// How they follow each other.
    pub by: Paging,
    /// So many at most; an answer with more is not read.
    pub pages: u32,
    /// The list of items of a page; `None`: the page is the list.
    pub items: Option<Program>,
}

/// How an answer in pages is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Paging {
    /// It is one page.
    None,
    /// Each page names the address of the next one, or null.
    Next(Program),
    /// The header `Link` of each page names the next one by this relation (RFC 8288).
    Link(String),
    /// Each page has the token of the next one, or null; the request sees it.
    Token(Program),
    /// A page with so many items has one behind it.
    Size(u32),
}
