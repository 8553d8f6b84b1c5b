//! Elements as rows: attributes and child elements are columns. Entities that a document declares itself are not
//! known and a document type is passed over, so nothing can be blown up or fetched by them.

use super::{Broken, COLUMNS_MAX, Cell, Next, ROW_MAX, Row, decode::Text};
use crate::problem::quote;
use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};
use std::{
    collections::HashMap,
    io::{self, BufReader, Read},
};

/// How deep elements may lie.
pub(crate) const DEPTH_MAX: usize = 64;
/// Bytes between two places where an element, its text or its end begins.
const EVENT_MAX: usize = ROW_MAX + (64 << 10);

/// The rows of a file of XML.
pub(crate) struct XmlRows<R> {
    reader: Reader<BufReader<Utf8<R>>>,
    buffer: Vec<u8>,
    wanted: Vec<String>,
    row: Vec<String>,
    /// The elements around the present place.
    path: Vec<String>,
    line: u64,
    open: Option<Open>,
    ended: bool,
}

/// A row whose end has not come.
struct Open {
    line: u64,
    raw: String,
    values: HashMap<String, String>,
    broken: Option<Broken>,
}

/// The text of a file as bytes of UTF-8; refuses more than an event may have.
struct Utf8<R> {
    text: Text<R>,
    buffer: String,
    at: usize,
    since: usize,
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            if !self.text.more(&mut self.buffer)? {
                return Ok(0);
            }
        }
        let rest = self.buffer.as_bytes().get(self.at..).unwrap_or(&[]);
        let n = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        self.since += n;
        if self.since > EVENT_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an element or a text is longer than 1 MiB"));
        }
        Ok(n)
    }
}

/// What a step of reading gave.
enum Step {
    Nothing,
    Row(Row),
    End,
    Failed(Broken),
    Disk(io::Error),
}

impl<R: Read> XmlRows<R> {
    pub(crate) fn new(row: &[String], wanted: &[String], text: Text<R>) -> Self {
        let utf8 = Utf8 { text, buffer: String::new(), at: 0, since: 0 };
        let mut reader = Reader::from_reader(BufReader::with_capacity(16 << 10, utf8));
        reader.config_mut().check_end_names = true;
        Self {
            reader,
            buffer: Vec::new(),
            wanted: wanted.to_vec(),
            row: row.to_vec(),
            path: Vec::new(),
            line: 1,
            open: None,
            ended: false,
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        while !self.ended {
            match self.step() {
                Step::Nothing => {}
                Step::Row(row) => return Next::Row(row),
                Step::End => self.ended = true,
                Step::Failed(broken) => {
                    self.ended = true;
                    return Next::Failed { line: self.line, broken };
                }
                Step::Disk(error) => {
                    self.ended = true;
                    return Next::Disk(error);
                }
            }
        }
        Next::End
    }

    fn step(&mut self) -> Step {
        self.reader.get_mut().get_mut().since = 0;
        self.buffer.clear();
        let mut buffer = std::mem::take(&mut self.buffer);
        let step = match self.reader.read_event_into(&mut buffer) {
            Ok(event) => {
                let step = take(&mut self.path, &mut self.open, &self.row, self.line, &event);
                self.line += event.bytes().filter(|b| *b == b'\n').count() as u64;
                step
            }
            // What is too long is the file's fault, everything else the disk's.
            Err(quick_xml::Error::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
                Step::Disk(io::Error::new(error.kind(), error.to_string()))
            }
            Err(error) => Step::Failed(Broken::new("not-xml", "the XML cannot be read", quote(&error.to_string()))),
        };
        self.buffer = buffer;
        match step {
            Step::Row(mut row) => {
                if let (Ok(cells), Some(open)) = (&mut row.cells, self.open.take()) {
                    let cell = |name: &String| match open.values.get(name).map(|text| text.trim()) {
                        Some("") | None => Cell::Absent,
                        Some(text) => Cell::Text(text.to_owned()),
                    };
                    *cells = self.wanted.iter().map(cell).collect();
                }
                self.open = None;
                Step::Row(row)
            }
            step => step,
        }
    }
}

/// Takes an event; at the end of a row it is given without its cells.
fn take(path: &mut Vec<String>, open: &mut Option<Open>, row: &[String], line: u64, event: &Event<'_>) -> Step {
    match event {
        Event::Start(start) => {
            if path.len() >= DEPTH_MAX {
                return Step::Failed(Broken::new("too-deep", "the XML is deeper than 64 elements", quote(start)));
            }
            path.push(start.local_name().as_ref().to_owned());
            begin(path, open, row, line, start);
            note(open, &["<", start, ">"]);
            Step::Nothing
        }
        Event::Empty(start) => {
            path.push(start.local_name().as_ref().to_owned());
            begin(path, open, row, line, start);
            note(open, &["<", start, "/>"]);
            let step = end(path, open, row);
            path.pop();
            step
        }
        Event::End(name) => {
            note(open, &["</", name, ">"]);
            let step = end(path, open, row);
            path.pop();
            step
        }
        Event::Text(text) => {
            note(open, &[text]);
            add(path, open, row, text);
            Step::Nothing
        }
        Event::CData(text) => {
            note(open, &["<![CDATA[", text, "]]>"]);
            add(path, open, row, text);
            Step::Nothing
        }
        Event::GeneralRef(name) => {
            note(open, &["&", name, ";"]);
            let resolved = match name.resolve_char_ref() {
                Ok(Some(c)) => Some(c.to_string()),
                _ => resolve_predefined_entity(name).map(str::to_owned),
            };
            match (resolved, open.as_mut()) {
                (Some(text), _) => add(path, open, row, &text),
                (None, Some(open)) => {
                    let cause = "the row refers to something that its document declares; such entities are not read";
                    open.broken.get_or_insert_with(|| Broken::new("entity", cause, quote(name)));
                }
                (None, None) => {}
            }
            Step::Nothing
        }
        Event::Eof if path.is_empty() => Step::End,
        Event::Eof => {
            let found = format!("inside /{}", quote(&path.join("/")));
            Step::Failed(Broken::new("cut-off", "the XML ends before its elements do", found))
        }
        Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => Step::Nothing,
    }
}

/// A row begins, or an element in one.
fn begin(path: &[String], open: &mut Option<Open>, row: &[String], line: u64, start: &BytesStart<'_>) {
    if open.is_none() && path == row {
        *open = Some(Open { line, raw: String::new(), values: HashMap::new(), broken: None });
    }
    let Some(open) = open else { return };
    let within = path.get(row.len()..).unwrap_or(&[]).join("/");
    for attribute in start.attributes() {
        let Ok(attribute) = attribute else {
            open.broken.get_or_insert_with(|| Broken::new("not-xml", "an attribute cannot be read", quote(start)));
            return;
        };
        let name = attribute.key.local_name().as_ref().to_owned();
        match attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0) {
            Ok(value) => {
                let key = if within.is_empty() { format!("@{name}") } else { format!("{within}/@{name}") };
                put(open, key, &value);
            }
            Err(error) => {
                let cause = "an attribute refers to something that its document declares; such entities are not read";
                open.broken.get_or_insert_with(|| Broken::new("entity", cause, quote(&error.to_string())));
            }
        }
    }
}

fn put(open: &mut Open, key: String, value: &str) {
    if open.values.len() >= COLUMNS_MAX {
        open.broken.get_or_insert_with(|| Broken::new("too-many-columns", "a row has more than 4,096 columns", key));
    } else {
        // Of several elements of one name the first counts.
        open.values.entry(key).or_insert_with(|| value.to_owned());
    }
}

/// Text at the present place.
fn add(path: &[String], open: &mut Option<Open>, row: &[String], text: &str) {
    let Some(open) = open else { return };
    let within = path.get(row.len()..).unwrap_or(&[]).join("/");
    let key = if within.is_empty() { ".".to_owned() } else { within };
    match open.values.get_mut(&key) {
        Some(value) if open.raw.len() <= ROW_MAX => value.push_str(text),
        Some(_) => {}
        None => put(open, key, text),
    }
}

/// Keeps the text of a row.
fn note(open: &mut Option<Open>, pieces: &[&str]) {
    let Some(open) = open else { return };
    let more: usize = pieces.iter().map(|piece| piece.len()).sum();
    if open.raw.len() + more > ROW_MAX {
        let cause = "a row is longer than 1 MiB";
        open.broken.get_or_insert_with(|| Broken::new("too-long", cause, "its end is left out"));
        return;
    }
    open.raw.extend(pieces.iter().copied());
}

/// The end of an element; the row, where it is one.
fn end(path: &[String], open: &mut Option<Open>, row: &[String]) -> Step {
    if path != row {
        return Step::Nothing;
    }
    let Some(found) = open else { return Step::Nothing };
    let raw = std::mem::take(&mut found.raw);
    let undecoded = raw.contains(char::REPLACEMENT_CHARACTER);
    let broken = found.broken.take().or_else(|| {
        undecoded.then(|| Broken::new("encoding", "the row holds bytes that are no text in the encoding", quote(&raw)))
    });
    Step::Row(Row { line: found.line, raw, cells: broken.map_or_else(|| Ok(Vec::new()), Err) })
}

/// The encoding that the first bytes of a document name, where they do.
pub(crate) fn declared(head: &[u8]) -> Option<String> {
    let text: String = head.iter().map(|b| char::from(*b)).collect();
    let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, after) = declaration.split_once("encoding")?;
    let after = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    after.get(1..)?.split_once(quote).map(|(label, _)| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let columns = ["@id", "temp", "at/time", "temp/@unit", "."].map(str::to_owned);
        let mut rows = XmlRows::new(&["r".to_owned(), "s".to_owned()], &columns, Text::new("utf-8", text.as_bytes()));
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
                Next::Row(Row { line, cells: Err(broken), raw }) => all.push(format!("{line}! {} {raw}", broken.code)),
                Next::Failed { line, broken } => {
                    all.push(format!("{line}!! {}", broken.code));
                    return all;
                }
                Next::End => return all,
                Next::Disk(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn attributes_and_elements_are_columns() {
        let text = "<?xml version=\"1.0\"?>\n<x:r xmlns:x=\"u\">\n <s id=\"a&amp;b\"><temp unit='C'>1&lt;2</temp>\n\
                    <at><time>T1</time></at>note</s>\n <other><s id=\"no\"/></other>\n \
                    <x:s id='2'/><s><temp><![CDATA[<3>]]></temp></s>\n</x:r>";
        assert_eq!(read(text), ["3: a&b|1<2|T1|C|note", "6: 2|-|-|-|-", "6: -|<3>|-|-|-"]);
    }

    #[test]
    fn what_a_document_declares_is_not_read() {
        let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b SYSTEM \"file:///etc/passwd\">]>\n\
                    <r><s>&a;</s><s id='&b;'/><s id='1'/></r>";
        let found = read(bomb);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("2! entity <s>&a;</s>"), "{found:?}");
        assert!(found[1].starts_with("2! entity"), "{found:?}");
        assert_eq!(found[2], "2: 1|-|-|-|-");
    }

    #[test]
    fn a_broken_document_gives_its_first_rows() {
        assert_eq!(read("<r><s id='1'/>\n<s id='2'>"), ["1: 1|-|-|-|-", "2!! cut-off"]);
        assert_eq!(read("<r><s id='1'/></q>"), ["1: 1|-|-|-|-", "1!! not-xml"]);
        let deep = "<r>".repeat(DEPTH_MAX + 1);
        assert_eq!(read(&deep), ["1!! too-deep"]);
        let long = format!("<r><s>{}</s></r>", "x".repeat(3 * ROW_MAX));
        assert!(read(&long).first().is_some_and(|found| found.contains('!')));
    }

    #[test]
    fn a_disk_that_fails_is_no_fault_of_the_file() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("it is gone"))
            }
        }
        let text = Text::new("utf-8", b"<r><s/>".chain(Broken));
        let mut rows = XmlRows::new(&["r".to_owned(), "s".to_owned()], &[], text);
        assert!(matches!(rows.next(), Next::Row(_)));
        assert!(matches!(rows.next(), Next::Disk(_)));
    }

    #[test]
    fn a_document_may_name_its_encoding() {
        assert_eq!(declared(b"<?xml version='1.0' encoding = \"ISO-8859-1\" ?><r/>").unwrap(), "ISO-8859-1");
        assert!(declared(b"<?xml version='1.0'?><r encoding='x'/>").is_none());
    }
}
