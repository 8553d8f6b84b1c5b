//! What somebody tells of a business object: a system that is read, a caller of the API, an event.

use crate::time::Time;
use serde_json::Value as Json;

/// The longest number of an object, in characters.
pub const NUMBER_MAX_CHARS: usize = 200;

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
