//! What somebody tells of business objects: a system that is read page by page, a caller of the API, an event.

use crate::{name::SiteName, time::Time};
use serde_json::Value as Json;

/// The longest number of an object, in characters.
pub const NUMBER_MAX_CHARS: usize = 200;

/// What an asset may be doing: the name of it in rules and events, and the type of the objects that say it.
pub const CONTEXT: [(&str, &str); 4] =
    [("order", "ProductionOrder"), ("batch", "MaterialLot"), ("shift", "Shift"), ("maintenance", "MaintenanceState")];

/// What is told of an object, as it was told: names are not yet known to exist, and fields not yet to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The schema of the object: `ProductionOrder/1`.
    pub object: String,
    /// Our name of its site.
    pub site: String,
    /// Its number in its system of record.
    pub number: String,
    /// From when it is valid.
    pub from: Since,
    /// Until when; `None`: it is open.
    pub to: Option<Time>,
    /// Our names of the assets that it is valid for.
    pub assets: Vec<String>,
    /// The line for whose assets it is valid besides.
    pub line: Option<String>,
    /// Its fields. Of one that is gone they do not count: it stays what it was.
    pub data: Json,
    /// It is not there any more: it is valid no longer.
    pub gone: bool,
}

/// The beginning of an object's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// It is not valid yet, for nothing.
    NotYet,
    /// It always was.
    Always,
    /// From this time on.
    Time(Time),
}

/// What one request of a poll depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What the last answer left; null at the beginning.
    pub cursor: Json,
    /// When the last poll that was answered whole began.
    pub since: Option<Time>,
    /// The site that is asked for; `None` where the read asks for all at once.
    pub site: Option<SiteName>,
    /// When this poll began.
    pub now: Time,
    /// The number of the page, from 1.
    pub page: u32,
    /// Items of the pages before.
    pub skip: u64,
    /// The address of the page, where the one before named it; of a first page, where the last answer left it.
    pub link: Option<String>,
    /// The token of the page, where the one before had it.
    pub token: Option<String>,
}

impl Ask {
    /// The first page of a poll.
    pub fn first(cursor: Json, since: Option<Time>, site: Option<SiteName>, now: Time) -> Self {
        Self { cursor, since, site, now, page: 1, skip: 0, link: None, token: None }
    }

    /// The page behind one with so many items, which said what follows it.
    #[must_use]
    pub fn next(&self, items: usize, more: More) -> Self {
        let (link, token) = match more {
            More::Link(link) => (Some(link), None),
            More::Token(token) => (None, Some(token)),
            More::Last | More::Number => (None, None),
        };
        Self { page: self.page + 1, skip: self.skip + items as u64, link, token, ..self.clone() }
    }
}

/// A page of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Its items in their order.
    pub items: Vec<Item>,
    /// What the next poll shall know, where the page says so.
    pub cursor: Option<Json>,
    /// Whether another page follows.
    pub more: More,
}

/// What follows a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum More {
    /// Nothing: it is the last one.
    Last,
    /// The page at this address.
    Link(String),
    /// The page with the next number.
    Number,
    /// The page of this token.
    Token(String),
}

/// An item of a page, or whatever else tells of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its bytes, as JSON.
    pub bytes: Vec<u8>,
    /// What it tells of an object, or why it tells nothing.
    pub told: Result<Told, Unfit>,
}

/// Why an item tells of no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The cause in one word.
    pub code: &'static str,
    /// The place in the read: `mapping.material`.
    pub place: String,
    /// What is wrong, in one line.
    pub cause: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

/// The type of objects of a schema, which is its name: `ProductionOrder` of `ProductionOrder/1`.
pub fn type_of(schema: &str) -> &str {
    schema.split('/').next().unwrap_or(schema)
}

/// Whether a text is the number of an object: not empty, in one line, without blanks around it, at most
/// [`NUMBER_MAX_CHARS`] characters.
pub fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.chars().any(char::is_control)
        && text.chars().count() <= NUMBER_MAX_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_line_without_blanks_around_it() {
        for good in ["1000123", "4500/10 a", "Ä-7"] {
            assert!(is_number(good), "{good}");
        }
        for wrong in ["", " 1", "1\n2", &"9".repeat(201)] {
            assert!(!is_number(wrong), "{wrong}");
        }
    }
}
