//! Why bytes did not become a sample: the cause, its place, what to do, and what groups it with others.

use andon_model::{ExceptionId, Name, SiteName};

/// The longest piece of foreign text that a problem quotes, in characters.
pub const QUOTE_MAX: usize = 80;

/// Why a message, or one of its samples, was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The cause in one word; with the place it makes the fingerprint.
    pub code: &'static str,
    /// The place that is the same for all messages with this problem: topic filter and JSON pointer.
    pub place: String,
    /// What is wrong, in one line.
    pub cause: String,
    /// The particulars: topic, offset, what was found.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// What groups problems of one cause at one place: the same text for the same cause.
    pub fn fingerprint(&self, source: &Name, site: Option<&SiteName>) -> String {
        let site = site.map_or("", SiteName::as_str);
        format!("input:{source}:{}:{}:{site}", self.code, self.place)
    }

    /// The exception of a fingerprint.
    pub fn exception(fingerprint: &str) -> ExceptionId {
        ExceptionId::derived(&[b"exception", fingerprint.as_bytes()])
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.cause, self.detail, self.remedy)
    }
}

/// Foreign text, shortened and without control characters.
pub(crate) fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_MAX).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().nth(QUOTE_MAX).is_some() {
        short.push('…');
    }
    short
}
