//! Comma-separated tables of a project (RFC 4180, UTF-8), cell by cell with their places.

use std::{borrow::Cow, ops::Range};

/// A cell and where it stands in the file, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) at: Range<usize>,
}

/// A quote that is not closed, or text behind a closed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: Range<usize>,
    pub(crate) message: &'static str,
}

/// The rows of a table, one after the other; empty lines and those that begin with `#` are left out.
pub(crate) struct Rows<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        // A byte order mark, as spreadsheets write it, is no part of the first name.
        Self { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn cell(&mut self) -> Result<Cell<'a>, Broken> {
        let start = self.at;
        if !self.rest().starts_with('"') {
            let length = self.rest().find([',', '\n']).unwrap_or(self.rest().len());
            let raw = self.rest().get(..length).unwrap_or_default();
            let text = raw.trim();
            let at = start + (raw.len() - raw.trim_start().len());
            self.at += length;
            return Ok(Cell { text: text.into(), at: at..at + text.len() });
        }
        let mut text = String::new();
        self.at += 1;
        loop {
            let Some(length) = self.rest().find('"') else {
                let at = start..start + 1;
                self.at = self.text.len();
                return Err(Broken { at, message: "this quote is not closed" });
            };
            text.push_str(self.rest().get(..length).unwrap_or_default());
            self.at += length + 1;
            if !self.rest().starts_with('"') {
                break;
            }
            text.push('"');
            self.at += 1;
        }
        let at = start..self.at;
        let behind = self.rest().find([',', '\n']).unwrap_or(self.rest().len());
        let begins = self.at;
        self.at += behind;
        if self.text.get(begins..self.at).is_some_and(|text| !text.trim().is_empty()) {
            return Err(Broken { at: begins..self.at, message: "text stands behind a quoted cell" });
        }
        Ok(Cell { text: text.into(), at })
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').map_or(self.rest().len(), |length| length + 1);
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Vec<Cell<'a>>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.rest().split('\n').next().unwrap_or_default().trim();
            if self.rest().is_empty() {
                return None;
            }
            if !line.is_empty() && !line.starts_with('#') {
                break;
            }
            self.skip_line();
        }
        let mut cells = Vec::new();
        loop {
            match self.cell() {
                Ok(cell) => cells.push(cell),
                Err(broken) => {
                    self.skip_line();
                    return Some(Err(broken));
                }
            }
            if !self.rest().starts_with(',') {
                self.skip_line();
                return Some(Ok(cells));
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<Result<Vec<(String, &str)>, &'static str>> {
        let cell = |cell: Cell<'_>| (cell.text.into_owned(), text.get(cell.at).unwrap());
        let row = |row: Result<Vec<Cell<'_>>, Broken>| match row {
            Ok(cells) => Ok(cells.into_iter().map(cell).collect()),
            Err(broken) => Err(broken.message),
        };
        Rows::new(text).map(row).collect()
    }

    #[test]
    fn cells_know_their_places() {
        let rows = read("\u{feff}kind,ours\r\n\n# a remark\nasset, m-1 ,\n\"a, \"\"b\"\"\nc\",d");
        let told = |texts: &[(&str, &'static str)]| {
            Ok::<_, &str>(texts.iter().map(|(text, at)| ((*text).to_owned(), *at)).collect::<Vec<_>>())
        };
        assert_eq!(
            rows,
            [
                told(&[("kind", "kind"), ("ours", "ours")]),
                told(&[("asset", "asset"), ("m-1", "m-1"), ("", "")]),
                told(&[("a, \"b\"\nc", "\"a, \"\"b\"\"\nc\""), ("d", "d")]),
            ]
        );
        assert_eq!(read("a,\"b"), [Err("this quote is not closed")]);
        let broken = read("a,\"b\"c,d\ne");
        assert_eq!(broken, [Err("text stands behind a quoted cell"), told(&[("e", "e")])]);
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a,\"\n\r# é]{0,40}") {
            for row in Rows::new(&text).flatten() {
                for cell in row {
                    prop_assert!(text.get(cell.at).is_some());
                }
            }
        }
    }
}
