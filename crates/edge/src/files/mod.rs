//! Files of rows that are dropped into a folder: each is read once, when it is whole, row by row.
//!
//! A group of rows stands in the log behind a mark that says which rows of which file they are, and becomes durable
//! with it; so after a crash the log tells how far the file was taken. Only when all its rows are durable the file is
//! moved or deleted.
//!
//! Limits: a row of 1 MiB, 4,096 columns, XML 64 deep, 100,000 files of a folder at once; a file has any size.

mod again;
mod csv;
mod decode;
mod jsonl;
mod progress;
mod read;
mod run;
mod xml;

pub use run::start_file;

pub(crate) use again::{Again, again};
pub(crate) use read::FileCore;

/// The longest row, in bytes of UTF-8.
pub const ROW_MAX: usize = 1 << 20;
/// Columns of a row.
pub const COLUMNS_MAX: usize = 4_096;

use crate::payload::Leaf;
use andon_contract::contract::{FileFormat, FileSource};
use std::io::Read;

/// What stands in a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// The row has no such column, or nothing in it.
    Absent,
    /// A text.
    Text(String),
    /// A value of JSON.
    Json(Leaf<'static>),
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The line where it begins, from 1.
    pub(crate) line: u64,
    /// Its text.
    pub(crate) raw: String,
    /// What stands in the wanted columns, in their order; or why the row is none.
    pub(crate) cells: Result<Vec<Cell>, Broken>,
}

/// Why a row is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The cause in one word.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) cause: String,
    /// What was found, with its column.
    pub(crate) found: String,
}

impl Broken {
    pub(crate) fn new(code: &'static str, cause: impl Into<String>, found: impl Into<String>) -> Self {
        Self { code, cause: cause.into(), found: found.into() }
    }
}

/// What comes next of a file.
#[derive(Debug)]
pub(crate) enum Next {
    /// A row, good or not.
    Row(Row),
    /// The end.
    End,
    /// From here on the file cannot be read.
    Failed {
        /// The line.
        line: u64,
        /// Why.
        broken: Broken,
    },
    /// The disk does not give the bytes; the same file is tried again later.
    Disk(std::io::Error),
}

/// The rows of a file, from its beginning.
pub(crate) enum Rows<R> {
    Csv(csv::CsvRows<R>),
    Json(jsonl::JsonRows<R>),
    Xml(Box<xml::XmlRows<R>>),
}

impl<R: Read> Rows<R> {
    /// Reads these columns from a file in the form that a source says.
    pub(crate) fn new(source: &FileSource, columns: &[String], file: R) -> Self {
        let text = decode::Text::new(&source.encoding, file);
        match &source.format {
            FileFormat::Csv(format) => Self::Csv(csv::CsvRows::new(format, columns, text)),
            FileFormat::JsonLines => Self::Json(jsonl::JsonRows::new(columns, text)),
            FileFormat::Xml { row } => Self::Xml(Box::new(xml::XmlRows::new(row, columns, text))),
        }
    }

    /// What a row cannot be understood without, once one was read: the header of CSV. Empty where there is nothing.
    pub(crate) fn head(&self) -> &str {
        match self {
            Self::Csv(rows) => rows.head(),
            Self::Json(_) | Self::Xml(_) => "",
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        match self {
            Self::Csv(rows) => rows.next(),
            Self::Json(rows) => rows.next(),
            Self::Xml(rows) => rows.next(),
        }
    }
}

/// Stores the rows of a file, and what is set aside of them, without a folder.
#[cfg(test)]
pub(crate) fn take_rows(
    contract: &std::sync::Arc<andon_contract::contract::Contract>,
    name: &andon_model::Name,
    file: &str,
    numbers: &mut crate::mapping::Numbers<'_>,
    store: &andon_store::Store,
) {
    let window = crate::duplicates::Duplicates::new([1; 4]);
    let mut core = FileCore::new(contract, name, window).expect("a source");
    let (_, source) = read::file_source(contract, name).expect("a source");
    let mut rows = Rows::new(source, &core.columns, file.as_bytes());
    let mut number = 0;
    while let Next::Row(row) = rows.next() {
        let durable = std::collections::BTreeMap::new();
        let place = read::Place { file: "o:1.dat", number, durable: &durable, aside: 0, head: rows.head() };
        core.row(&row, place, andon_model::Time::from_millis(1_700_000_000_000), numbers).expect("a store");
        number += 1;
    }
    core.intake.store(store).expect("a store");
}

/// Reads bytes as files of every form; for fuzzing.
pub(crate) fn fuzz(data: &[u8]) {
    use andon_contract::contract::CsvFormat;
    let Some((first, bytes)) = data.split_first() else { return };
    let encoding = ["utf-8", "windows-1252", "utf-16le", "shift_jis"].get(usize::from(first & 3)).copied();
    let columns: Vec<String> = ["a", "2", "@b", "c/d", ".", "/x/0"].map(str::to_owned).into();
    let text = || decode::Text::new(encoding.unwrap_or("utf-8"), bytes);
    let csv = CsvFormat {
        delimiter: if first & 4 == 0 { ',' } else { 'ä' },
        quote: (first & 8 == 0).then_some('"'),
        header: first & 16 == 0,
        skip: u32::from(first >> 6),
        comment: (first & 32 != 0).then_some('#'),
    };
    let all: [Rows<&[u8]>; 3] = [
        Rows::Csv(csv::CsvRows::new(&csv, &columns, text())),
        Rows::Json(jsonl::JsonRows::new(&columns, text())),
        Rows::Xml(Box::new(xml::XmlRows::new(&["r".to_owned(), "s".to_owned()], &columns, text()))),
    ];
    for mut rows in all {
        while let Next::Row(row) = rows.next() {
            assert!(row.raw.len() <= 2 * ROW_MAX + 8, "a row is never longer than its limit");
        }
    }
}
