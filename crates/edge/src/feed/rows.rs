//! Recorded data as rows: CSV, whose header gives the keys, or one JSON object a line.

use super::FeedError;
use crate::{payload, problem::quote};
use serde_json::{Map, Value as Json};
use std::io::{self, BufRead, BufReader, Read};

/// The longest line of a file.
pub const LINE_MAX: usize = 1 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, then rows; the header gives the keys.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of_name(name: &str) -> Result<Self, FeedError> {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => Err(FeedError::new(name, "the ending does not tell the format", "name it .csv, .jsonl or .ndjson")),
        }
    }
}

/// A row with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its line, from 1.
    pub line: u64,
    /// Its fields.
    pub fields: Map<String, Json>,
}

/// The rows of a file; `name` is shown where something is wrong.
pub fn rows<'a>(
    name: &str,
    format: Format,
    file: impl Read + 'a,
) -> Box<dyn Iterator<Item = Result<Row, FeedError>> + 'a> {
    let file = BufReader::with_capacity(1 << 16, LineLimit { inner: file, line: 0 });
    match format {
        Format::Csv => Box::new(CsvRows::new(name, file)),
        Format::JsonLines => Box::new(JsonRows { name: name.to_owned(), file, line: 0, failed: false }),
    }
}

/// Refuses lines that do not end, before they fill the memory.
struct LineLimit<R> {
    inner: R,
    line: usize,
}

impl<R: Read> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let read = buffer.get(..n).unwrap_or(&[]);
        for (nth, piece) in read.split(|b| *b == b'\n').enumerate() {
            self.line = if nth == 0 { self.line + piece.len() } else { piece.len() };
            if self.line > LINE_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 1 MiB"));
            }
        }
        Ok(n)
    }
}

struct JsonRows<R> {
    name: String,
    file: R,
    line: u64,
    failed: bool,
}

impl<R: BufRead> Iterator for JsonRows<R> {
    type Item = Result<Row, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = Vec::new();
        while !self.failed {
            text.clear();
            self.line += 1;
            let place = format!("{}:{}", self.name, self.line);
            match self.file.read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) if text.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let row = match payload::parse(text.trim_ascii()) {
                        Ok(Json::Object(fields)) => Ok(Row { line: self.line, fields }),
                        Ok(_) => Err(FeedError::new(place, "the line is no JSON object", "write one object a line")),
                        Err(not) => Err(FeedError::new(
                            place,
                            format!("{}: {}", not.cause, not.detail),
                            "write one JSON object a line",
                        )),
                    };
                    self.failed = row.is_err();
                    return Some(row);
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(FeedError::new(place, error.to_string(), "check the file")));
                }
            }
        }
        None
    }
}

struct CsvRows<R> {
    name: String,
    reader: csv::Reader<R>,
    header: Option<Vec<String>>,
    failed: bool,
}

impl<R: Read> CsvRows<R> {
    fn new(name: &str, file: R) -> Self {
        let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        Self { name: name.to_owned(), reader, header: None, failed: false }
    }

    fn record(&mut self) -> Result<Option<(u64, csv::StringRecord)>, FeedError> {
        let mut record = csv::StringRecord::new();
        let found = self.reader.read_record(&mut record).map_err(|error| {
            let line = error.position().map_or_else(|| self.reader.position().line(), csv::Position::line);
            FeedError::new(
                format!("{}:{line}", self.name),
                csv_cause(&error),
                "check the file: UTF-8, as many fields in each row as in the header",
            )
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        Ok(found.then_some((line, record)))
    }

    fn read_header(&mut self) -> Result<Option<Vec<String>>, FeedError> {
        let Some((line, record)) = self.record()? else { return Ok(None) };
        let mut keys: Vec<String> = record.iter().map(|key| key.trim().to_owned()).collect();
        if let Some(first) = keys.first_mut()
            && let Some(rest) = first.strip_prefix('\u{FEFF}')
        {
            *first = rest.to_owned();
        }
        for (at, key) in keys.iter().enumerate() {
            let place = format!("{}:{line}", self.name);
            if key.is_empty() {
                return Err(FeedError::new(
                    place,
                    format!("field {} of the header is empty", at + 1),
                    "name every column",
                ));
            }
            if keys.iter().take(at).any(|earlier| earlier == key) {
                return Err(FeedError::new(
                    place,
                    format!("the header names `{}` twice", quote(key)),
                    "name every column once",
                ));
            }
        }
        Ok(Some(keys))
    }

    fn read(&mut self) -> Result<Option<Row>, FeedError> {
        if self.header.is_none() {
            self.header = self.read_header()?;
        }
        let Some((line, record)) = self.record()? else { return Ok(None) };
        let header = self.header.as_deref().unwrap_or(&[]);
        let filled = header.iter().zip(record.iter()).filter(|(_, text)| !text.is_empty());
        let fields = filled.map(|(key, text)| (key.clone(), field(text))).collect();
        Ok(Some(Row { line, fields }))
    }
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<Row, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.read().transpose();
        self.failed = !matches!(row, Some(Ok(_)));
        row
    }
}

fn csv_cause(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is no UTF-8".into(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A number where JSON would write it so, else a text.
fn field(text: &str) -> Json {
    let plain = text.trim();
    let numeric = plain.bytes().next().is_some_and(|b| b == b'-' || b.is_ascii_digit());
    match serde_json::from_str::<serde_json::Number>(plain) {
        Ok(number) if numeric => Json::Number(number),
        _ => Json::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, text: &str) -> Vec<Result<Row, FeedError>> {
        rows("data.csv", format, text.as_bytes()).collect()
    }

    #[test]
    fn csv_becomes_objects() {
        let rows = read(
            Format::Csv,
            "\u{FEFF}timestamp,value,note\n2013-12-02 21:15:00,73.96,\n\"a\",007,\"x,y\"\n-5,1e3,t\n",
        );
        let json: Vec<String> = rows.into_iter().map(|r| serde_json::to_string(&r.unwrap().fields).unwrap()).collect();
        assert_eq!(
            json,
            [
                r#"{"timestamp":"2013-12-02 21:15:00","value":73.96}"#,
                r#"{"timestamp":"a","value":"007","note":"x,y"}"#,
                r#"{"timestamp":-5,"value":1000.0,"note":"t"}"#,
            ]
        );
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let last = |format, text: &str| read(format, text).pop().unwrap().unwrap_err().to_string();
        assert!(last(Format::Csv, "a,b\n1,2\n3\n").starts_with("data.csv:3: the row has 1 fields, the header 2"));
        assert!(last(Format::Csv, "a,a\n").contains("twice"));
        assert!(last(Format::Csv, "a,\n1,2\n").contains("field 2 of the header is empty"));
        assert!(last(Format::JsonLines, "{\"a\":1}\n\n[1]\n").starts_with("data.csv:3: the line is no JSON object"));
        assert!(last(Format::JsonLines, "{\"a\":1}\n{\"a\":\n").starts_with("data.csv:2: the payload is no JSON"));
        let long = format!("a\n{}\n", "x".repeat(LINE_MAX + 1));
        assert!(last(Format::Csv, &long).contains("1 MiB"));
        assert!(last(Format::JsonLines, &long).contains("no JSON") || last(Format::JsonLines, &long).contains("1 MiB"));
        assert!(read(Format::Csv, "").is_empty());
        assert!(Format::of_name("x.txt").is_err());
    }
}
