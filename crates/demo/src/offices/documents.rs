//! What an office keeps: lines, found by document and by reference.

use super::format::short;
use andon_model::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Lines an office keeps; beyond that it refuses with 503.
const LINES_MAX: usize = 1_000_000;

/// One line of an office's file: a document, or a change of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When the office took it.
    pub at: Time,
    /// Its number here: `SR1001`, `QI-000001`.
    pub document: String,
    /// What the caller calls it.
    pub reference: Option<String>,
    /// What it is: `service-request`, `reservation`, ...
    pub kind: String,
    /// What was asked for, as the office names it.
    #[serde(flatten)]
    pub fields: Map<String, Json>,
}

impl Line {
    /// A line of a kind.
    pub(crate) fn new(
        at: Time,
        kind: &str,
        document: String,
        reference: Option<&str>,
        fields: Map<String, Json>,
    ) -> Self {
        Self { at, document, reference: reference.map(str::to_owned), kind: kind.to_owned(), fields }
    }

    /// A field that is a text, or an empty one.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    /// A field that is a whole number, or 0.
    pub(crate) fn whole(&self, name: &str) -> i64 {
        self.fields.get(name).and_then(Json::as_i64).unwrap_or_default()
    }

    /// A field that is a moment.
    pub(crate) fn time(&self, name: &str) -> Option<Time> {
        Time::parse(self.text(name)).ok()
    }
}

/// The lines of an office.
#[derive(Debug, Default)]
pub struct Documents {
    lines: Vec<Line>,
    by_document: BTreeMap<String, usize>,
    by_reference: BTreeMap<String, Vec<usize>>,
    /// The highest number that was given behind each prefix.
    highest: BTreeMap<String, u64>,
}

impl Documents {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            lines: Vec::new(),
            by_document: BTreeMap::new(),
            by_reference: BTreeMap::new(),
            highest: BTreeMap::new(),
        }
    }

    /// Keeps a line; `Err` says why it cannot be one of this office.
    pub fn keep(&mut self, line: Line) -> Result<(), String> {
        let Some((prefix, number)) = parts(&line.document) else {
            return Err(format!("{:?} is no number of a document", short(&line.document)));
        };
        if self.by_document.contains_key(&line.document) {
            return Err(format!("the number {} is there twice", line.document));
        }
        let highest = self.highest.entry(prefix.to_owned()).or_default();
        *highest = number.max(*highest);
        let at = self.lines.len();
        self.by_document.insert(line.document.clone(), at);
        if let Some(reference) = &line.reference {
            self.by_reference.entry(reference.clone()).or_default().push(at);
        }
        self.lines.push(line);
        Ok(())
    }

    /// The next number behind a prefix: `next("QI-", 6)` is `QI-000001` at first.
    pub(crate) fn next(&self, prefix: &str, digits: usize) -> String {
        self.coming(prefix, digits, 1)
    }

    /// The `nth` next number, from 1, for several lines at once.
    pub(crate) fn coming(&self, prefix: &str, digits: usize, nth: u64) -> String {
        format!("{prefix}{:0digits$}", self.highest.get(prefix).copied().unwrap_or_default() + nth)
    }

    /// Like [`Documents::next`], for numbers that begin above `base`.
    pub(crate) fn next_above(&self, prefix: &str, base: u64) -> String {
        format!("{prefix}{}", self.highest.get(prefix).copied().unwrap_or_default().max(base) + 1)
    }

    /// Everything, in the order of writing.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines of a kind, in the order of writing.
    pub(crate) fn of(&self, kind: &str) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.kind == kind)
    }

    /// The line of a document.
    pub fn document(&self, document: &str) -> Option<&Line> {
        self.lines.get(*self.by_document.get(document)?)
    }

    /// The lines of a reference, oldest first.
    pub fn references(&self, reference: &str) -> impl Iterator<Item = &Line> {
        let found = self.by_reference.get(reference).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|at| self.lines.get(*at))
    }

    /// The line of a kind that has this reference.
    pub(crate) fn reference(&self, kind: &str, reference: &str) -> Option<&Line> {
        self.references(reference).find(|line| line.kind == kind)
    }

    /// What a reference already stands for, where whoever sends it with other content is refused.
    pub(crate) fn again(&self, kind: &str, reference: &str, asked: &Map<String, Json>) -> Again<'_> {
        match self.reference(kind, reference) {
            None => Again::New,
            Some(line) if asked.iter().all(|(name, value)| line.fields.get(name) == Some(value)) => Again::Same(line),
            Some(line) => Again::Other(line),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }
}

/// Whether a reference was there before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Again<'a> {
    /// It was not.
    New,
    /// With the same content: this document.
    Same(&'a Line),
    /// With other content: that document.
    Other(&'a Line),
}

/// The prefix and the number of a document: `("QI-", 1)` of `QI-000001`. Letters behind the number do not count.
fn parts(document: &str) -> Option<(&str, u64)> {
    let numbered = document.trim_end_matches(|c: char| !c.is_ascii_digit());
    let prefix = numbered.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = numbered.get(prefix.len()..)?.parse().ok()?;
    Some((prefix, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(document: &str, reference: Option<&str>) -> Line {
        Line::new(Time(0), "thing", document.into(), reference, Map::new())
    }

    #[test]
    fn numbers_go_on_behind_each_prefix() {
        let mut kept = Documents::default();
        assert_eq!(kept.next("QI-", 6), "QI-000001");
        for document in ["QI-000001", "QI-000007", "1000123/0002", "5005g0000000004AAA"] {
            kept.keep(line(document, None)).unwrap();
        }
        assert_eq!(kept.next("QI-", 6), "QI-000008");
        assert_eq!(kept.next("1000123/", 4), "1000123/0003");
        assert_eq!(kept.next("5005g", 10), "5005g0000000005");
        assert_eq!(kept.next_above("SR", 1000), "SR1001");
        assert!(kept.keep(line("QI-000007", None)).unwrap_err().contains("twice"));
        assert!(kept.keep(line("QI-", None)).unwrap_err().contains("no number"));
    }

    #[test]
    fn a_line_reads_back_and_is_found_by_its_reference() {
        let mut kept = Documents::default();
        let mut first = line("QI-000001", Some("R"));
        first.fields.insert("batch".into(), "B1".into());
        let text = serde_json::to_string(&first).unwrap();
        assert_eq!(
            text,
            r#"{"at":"1970-01-01T00:00:00Z","document":"QI-000001","reference":"R","kind":"thing","batch":"B1"}"#
        );
        kept.keep(serde_json::from_str(&text).unwrap()).unwrap();
        kept.keep(line("QI-000002", Some("R"))).unwrap();
        assert_eq!(kept.lines()[0], first);
        assert_eq!(kept.references("R").count(), 2);
        assert_eq!(kept.again("thing", "R", &first.fields), Again::Same(&first));
        assert_eq!(kept.again("thing", "S", &first.fields), Again::New);
        let other = [("batch".to_owned(), Json::from("B2"))].into_iter().collect();
        assert_eq!(kept.again("thing", "R", &other), Again::Other(&first));
    }
}
