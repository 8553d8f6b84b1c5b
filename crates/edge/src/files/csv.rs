//! Rows of fields between delimiters, with quotes around those that hold some. Pure but for its reader.

use super::{
    Broken, COLUMNS_MAX, Cell, Next, ROW_MAX, Row,
    decode::{Lines, Text},
};
use crate::problem::quote;
use andon_contract::contract::CsvFormat;
use std::io::{self, Read};

/// Lines of a quoted field: it is taken apart anew with each line that could end it.
const LINES_MAX: usize = 200;

/// The rows of a file of CSV.
pub(crate) struct CsvRows<R> {
    format: CsvFormat,
    wanted: Vec<String>,
    lines: Lines<R>,
    /// The line that was read last.
    line: u64,
    /// The header, where the file has one.
    head: String,
    /// By wanted column: which field it is.
    columns: Option<Vec<usize>>,
    /// Lines that were read on for a field whose quote never ends: they are rows of their own.
    again: Vec<String>,
    ended: bool,
}

/// How a line, or several, come apart.
enum Fields {
    Whole(Vec<String>),
    /// A quote is open at the end.
    Open,
    TooMany,
}

impl<R: Read> CsvRows<R> {
    pub(crate) fn new(format: &CsvFormat, wanted: &[String], text: Text<R>) -> Self {
        Self {
            format: format.clone(),
            wanted: wanted.to_vec(),
            lines: Lines::new(text, ROW_MAX),
            line: 0,
            head: String::new(),
            columns: None,
            again: Vec::new(),
            ended: false,
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        match self.try_next() {
            Ok(next) => next,
            Err(error) => Next::Disk(error),
        }
    }

    fn try_next(&mut self) -> io::Result<Next> {
        if self.ended {
            return Ok(Next::End);
        }
        if self.columns.is_none()
            && let Some(failed) = self.begin()?
        {
            self.ended = true;
            return Ok(failed);
        }
        let mut raw = String::new();
        loop {
            let line = self.line + 1;
            raw.clear();
            if !self.read_line(&mut raw)? {
                self.ended = true;
                return Ok(Next::End);
            }
            if self.is_nothing(&raw) {
                continue;
            }
            let fields = self.fields_of(&mut raw)?;
            let cells = fields.and_then(|fields| self.cells(&fields, &raw));
            raw.truncate(raw.trim_end_matches(['\r', '\n']).len());
            return Ok(Next::Row(Row { line, raw, cells }));
        }
    }

    /// Reads what stands before the rows; what comes of it where that cannot be read.
    fn begin(&mut self) -> io::Result<Option<Next>> {
        let mut line = String::new();
        for _ in 0..self.format.skip {
            line.clear();
            if !self.read_line(&mut line)? {
                return Ok(Some(Next::End));
            }
        }
        if !self.format.header {
            let number = |column: &String| column.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            self.columns = Some(self.wanted.iter().map(|column| number(column).unwrap_or(usize::MAX)).collect());
            return Ok(None);
        }
        loop {
            line.clear();
            if !self.read_line(&mut line)? {
                return Ok(Some(Next::End));
            }
            if !self.is_nothing(&line) {
                break;
            }
        }
        let failed = |line, broken| Ok(Some(Next::Failed { line, broken }));
        let at = self.line;
        let names: Vec<String> = match self.fields_of(&mut line)? {
            Ok(names) => names.iter().map(|name| name.trim().to_owned()).collect(),
            Err(broken) => return failed(at, broken),
        };
        let mut columns = Vec::with_capacity(self.wanted.len());
        for wanted in &self.wanted {
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(at, _)| at);
            match (places.next(), places.next()) {
                (Some(at), None) => columns.push(at),
                (None, _) => {
                    let known: Vec<&str> = names.iter().map(String::as_str).take(20).collect();
                    let cause = format!("the file has no column `{}`", quote(wanted));
                    return failed(at, Broken::new("no-column", cause, quote(&known.join(", "))));
                }
                (Some(_), Some(_)) => {
                    let cause = format!("the file has the column `{}` twice", quote(wanted));
                    return failed(at, Broken::new("no-column", cause, quote(line.trim_end())));
                }
            }
        }
        self.columns = Some(columns);
        line.trim_end_matches(['\r', '\n']).clone_into(&mut self.head);
        Ok(None)
    }

    /// The header, once a row was read; empty where the file has none.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    fn read_line(&mut self, line: &mut String) -> io::Result<bool> {
        let found = match self.again.pop() {
            Some(again) => {
                line.push_str(&again);
                true
            }
            None => self.lines.next(line)?,
        };
        self.line += u64::from(found);
        Ok(found)
    }

    fn is_nothing(&self, line: &str) -> bool {
        line.trim().is_empty() || self.format.comment.is_some_and(|comment| line.starts_with(comment))
    }

    /// The fields of a row that begins with a line; further lines are read while a quote is open. A quote that does not
    /// end within the limit spoils its own line only.
    fn fields_of(&mut self, raw: &mut String) -> io::Result<Result<Vec<String>, Broken>> {
        let first = raw.len();
        let mut lengths = Vec::new();
        let mut may_end = true;
        loop {
            if raw.len() > ROW_MAX - 4 && !raw.ends_with('\n') && !self.lines.at_end() {
                self.pass_over_line()?;
                raw.truncate(floor_char(raw, ROW_MAX));
                return Ok(Err(Broken::new("too-long", "a row is longer than 1 MiB", "its end is left out")));
            }
            match if may_end { split(raw, &self.format) } else { Fields::Open } {
                Fields::Whole(fields) => return Ok(Ok(fields)),
                Fields::TooMany => {
                    return Ok(Err(Broken::new("too-many-columns", "a row has more than 4,096 columns", quote(raw))));
                }
                Fields::Open => {}
            }
            let before = raw.len();
            let more = lengths.len() < LINES_MAX && raw.len() < ROW_MAX && self.read_line(raw)?;
            if more {
                lengths.push(raw.len() - before);
                may_end = self.format.quote.is_none_or(|q| raw.get(before..).is_some_and(|line| line.contains(q)));
                continue;
            }
            // The lines behind the first one are rows of their own.
            let mut rest = raw.split_off(first);
            self.line -= lengths.len() as u64;
            while let Some(length) = lengths.pop() {
                self.again.push(rest.split_off(rest.len() - length));
            }
            return Ok(Err(Broken::new("open-quote", "a quote is opened and never closed", quote(raw.trim_end()))));
        }
    }

    fn pass_over_line(&mut self) -> io::Result<()> {
        let mut line = String::new();
        while self.lines.next(&mut line)? && !line.ends_with('\n') {
            line.clear();
        }
        Ok(())
    }

    fn cells(&self, fields: &[String], raw: &str) -> Result<Vec<Cell>, Broken> {
        if raw.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Broken::new("encoding", "the row holds bytes that are no text in the encoding", quote(raw)));
        }
        let columns = self.columns.as_deref().unwrap_or(&[]);
        let short = columns.iter().zip(&self.wanted).find(|(at, _)| **at >= fields.len());
        if let Some((_, name)) = short {
            let found = format!("{} columns: {}", fields.len(), quote(raw.trim_end()));
            let cause = format!("the row ends before the column `{}`", quote(name));
            return Err(Broken::new("short-row", cause, found));
        }
        let cell = |at: &usize| match fields.get(*at).map(|field| field.trim()) {
            Some("") | None => Cell::Absent,
            Some(text) => Cell::Text(text.to_owned()),
        };
        Ok(columns.iter().map(cell).collect())
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Takes a row apart. A field that begins with a quote ends with one; a doubled quote stands for one.
fn split(raw: &str, format: &CsvFormat) -> Fields {
    let text = raw.strip_suffix('\n').unwrap_or(raw);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    let mut begins = true;
    while let Some(c) = chars.next() {
        if quoted {
            if Some(c) != format.quote || chars.next_if(|next| Some(*next) == format.quote).is_some() {
                field.push(c);
            } else {
                quoted = false;
            }
        } else if c == format.delimiter {
            fields.push(std::mem::take(&mut field));
            begins = true;
            if fields.len() >= COLUMNS_MAX {
                return Fields::TooMany;
            }
        } else if begins && Some(c) == format.quote {
            field.clear();
            quoted = true;
            begins = false;
        } else {
            begins &= c.is_whitespace();
            field.push(c);
        }
    }
    if quoted {
        return Fields::Open;
    }
    fields.push(field);
    Fields::Whole(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn format() -> CsvFormat {
        CsvFormat { delimiter: ';', quote: Some('"'), header: true, skip: 0, comment: Some('#') }
    }

    fn read(format: &CsvFormat, columns: &[&str], text: &str) -> Vec<String> {
        let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        let mut rows = CsvRows::new(format, &columns, Text::new("utf-8", text.as_bytes()));
        let mut all = Vec::new();
        loop {
            match rows.next() {
                Next::Row(Row { line, cells: Ok(cells), .. }) => {
                    let shown: Vec<&str> = cells
                        .iter()
                        .map(|cell| match cell {
                            Cell::Text(text) => text.as_str(),
                            _ => "-",
                        })
                        .collect();
                    all.push(format!("{line}: {}", shown.join("|")));
                }
                Next::Row(Row { line, cells: Err(broken), .. }) => all.push(format!("{line}! {}", broken.code)),
                Next::Failed { line, broken } => {
                    all.push(format!("{line}!! {}", broken.cause));
                    return all;
                }
                Next::End => return all,
                Next::Disk(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn rows_are_found_between_comments_quotes_and_blank_lines() {
        let text = "# made by X\nb; a ;c\n1;2;3\n\n\"x;\ny\";\"say \"\"no\"\"\";\n#;;\n4;5\n \"6\" ;7;8";
        assert_eq!(
            read(&format(), &["a", "b", "c"], text),
            ["3: 2|1|3", "5: say \"no\"|x;\ny|-", "8! short-row", "9: 7|6|8"]
        );
    }

    #[test]
    fn a_quote_that_never_ends_spoils_its_line_only() {
        assert_eq!(read(&format(), &["a"], "a;b\n1;\"2\n3;4\n5;6\n"), ["2! open-quote", "3: 3", "4: 5"]);
    }

    #[test]
    fn what_the_header_lacks_fails_the_file() {
        assert_eq!(read(&format(), &["x"], "a;b\n1;2\n"), ["1!! the file has no column `x`"]);
        assert_eq!(read(&format(), &["a"], "a;a\n1;2\n"), ["1!! the file has the column `a` twice"]);
        assert!(read(&format(), &["a"], "").is_empty());
    }

    #[test]
    fn columns_have_numbers_without_a_header() {
        let plain = CsvFormat { header: false, skip: 1, quote: None, ..format() };
        assert_eq!(read(&plain, &["2", "1"], "title\n1;\"2\n"), ["2: \"2|1"]);
    }

    #[test]
    fn a_long_row_is_passed_over() {
        let text = format!("a;b\n{};1\n3;4\n", "x".repeat(ROW_MAX + 5));
        assert_eq!(read(&format(), &["a"], &text), ["2! too-long", "3: 3"]);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(rows in prop::collection::vec(("[a-z \"';\n,]{1,8}", "[0-9]{1,4}"), 0..20)) {
            let mut text = "a;b\n".to_owned();
            for (a, b) in &rows {
                text.extend(["\"", &a.replace('"', "\"\""), "\";", b, "\n"]);
            }
            let columns = ["a".to_owned(), "b".to_owned()];
            let mut found = CsvRows::new(&format(), &columns, Text::new("utf-8", text.as_bytes()));
            for (a, b) in rows {
                let Next::Row(Row { cells: Ok(cells), .. }) = found.next() else { panic!("a row") };
                let cell = |text: &str| if text.is_empty() { Cell::Absent } else { Cell::Text(text.to_owned()) };
                prop_assert_eq!(cells, vec![cell(a.trim()), cell(&b)]);
            }
            prop_assert!(matches!(found.next(), Next::End));
        }
    }
}
