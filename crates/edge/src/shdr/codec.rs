//! Foreign bytes to lines, and lines to what they say. Pure; the limits are here.

use std::borrow::Cow;

/// The longest line, and the longest multi-line document.
pub const LINE_MAX: usize = 1 << 20;
/// Fields of a line.
pub const FIELDS_MAX: usize = 4_096;
/// Bytes that are kept of a line that is too long.
pub const HEAD_MAX: usize = 4_096;
/// Entries of a data set.
pub const ENTRIES_MAX: usize = 4_096;
/// What begins a document of several lines; with what follows it, it ends it too.
const MULTILINE: &str = "--multiline--";

/// What came in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A line, or a document of several lines as one, without its end.
    Line(&'a str),
    /// A line of so many bytes, too long to be read, with its beginning.
    TooLong(&'a [u8], usize),
    /// A line that is no UTF-8.
    NotText(&'a [u8]),
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Bytes of the line that are not kept, because it is too long.
    skipped: usize,
    /// The document of several lines that is open: its end, its bytes so far, and those that are not kept.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    end: String,
    body: String,
    skipped: usize,
}

impl Lines {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8], heard: &mut dyn FnMut(Heard<'_>)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            if self.partial.len() + piece.len() > LINE_MAX || self.skipped > 0 {
                let kept = LINE_MAX.saturating_sub(self.partial.len()).min(piece.len());
                let kept = if self.skipped > 0 { 0 } else { kept };
                self.partial.extend_from_slice(piece.get(..kept).unwrap_or(&[]));
                self.skipped += piece.len() - kept;
                if piece.ends_with(b"\n") {
                    let size = self.partial.len() + std::mem::take(&mut self.skipped);
                    let line = std::mem::take(&mut self.partial);
                    heard(Heard::TooLong(head(&line), size));
                }
            } else if !piece.ends_with(b"\n") {
                self.partial.extend_from_slice(piece);
            } else if self.partial.is_empty() {
                self.line(piece, heard);
            } else {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(piece);
                self.line(&line, heard);
                line.clear();
                self.partial = line;
            }
        }
    }

    /// What was begun and never ended, when the stream is over.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        let open = self.open.take().map(|open| open.body.into_bytes());
        let partial = std::mem::take(&mut self.partial);
        self.skipped = 0;
        let rest = open.unwrap_or(partial);
        (!rest.trim_ascii().is_empty()).then(|| head(&rest).to_vec())
    }

    fn line(&mut self, bytes: &[u8], heard: &mut dyn FnMut(Heard<'_>)) {
        let bytes = bytes.trim_ascii_end();
        if bytes.is_empty() && self.open.is_none() {
            return;
        }
        let Ok(line) = std::str::from_utf8(bytes) else {
            self.open = None;
            heard(Heard::NotText(bytes));
            return;
        };
        // A sign of life may come between the lines of a document.
        if line.starts_with("* PONG") {
            heard(Heard::Line(line));
            return;
        }
        if let Some(open) = &mut self.open {
            if line == open.end {
                if open.skipped > 0 {
                    heard(Heard::TooLong(head(open.body.as_bytes()), open.body.len() + open.skipped));
                } else {
                    heard(Heard::Line(&open.body));
                }
                self.open = None;
            } else if open.skipped > 0 || open.body.len() + line.len() + 1 > LINE_MAX {
                open.skipped += line.len() + 1;
            } else {
                open.body.push('\n');
                open.body.push_str(line);
            }
            return;
        }
        match line.find(MULTILINE) {
            Some(at) if !line.starts_with('*') => {
                let (before, end) = line.split_at(at);
                self.open = Some(Open { end: end.to_owned(), body: before.to_owned(), skipped: 0 });
            }
            _ => heard(Heard::Line(line)),
        }
    }
}

fn head(bytes: &[u8]) -> &[u8] {
    bytes.get(..HEAD_MAX).unwrap_or(bytes)
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said<'a> {
    /// `* PONG 10000`: the adapter is alive and wants to be asked that often, in milliseconds.
    Pong(Option<u32>),
    /// `* PING`: the other side asks; only a client does.
    Ping,
    /// `* key: value`.
    Command(&'a str, &'a str),
    /// Values of data items.
    Data(Data<'a>),
    /// `@ASSET@` and its relatives: a document about a tool or another asset of `MTConnect`.
    Asset {
        /// When.
        stamp: Stamp<'a>,
        /// `ASSET`, `REMOVE_ASSET`, `UPDATE_ASSET`, `REMOVE_ALL_ASSETS`.
        command: &'a str,
        /// The rest of the line.
        rest: &'a str,
    },
}

/// A line of data.
#[derive(Debug, Clone, PartialEq)]
pub struct Data<'a> {
    /// When.
    pub stamp: Stamp<'a>,
    /// Names and values in turn; a condition has five values, a message two, a time series three.
    pub fields: Vec<Cow<'a, str>>,
}

/// The time before a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stamp<'a> {
    /// None: the receive time.
    None,
    /// Date and time.
    Text(&'a str),
    /// Milliseconds since some moment of the adapter.
    Relative(f64),
}

/// A line that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// The cause in one word.
    pub code: &'static str,
    /// What is wrong.
    pub cause: &'static str,
}

/// Reads a line.
pub fn parse(line: &str) -> Result<Said<'_>, Malformed> {
    if let Some(command) = line.strip_prefix('*') {
        return Ok(parse_command(command.trim()));
    }
    let (stamp, rest) = line.split_once('|').ok_or(Malformed { code: "no-pipe", cause: "a line without a pipe" })?;
    let stamp = parse_stamp(stamp.trim());
    if let Some((command, after)) = rest.trim_start().strip_prefix('@').and_then(|rest| rest.split_once('@')) {
        return Ok(Said::Asset { stamp, command, rest: after.strip_prefix('|').unwrap_or(after) });
    }
    Ok(Said::Data(Data { stamp, fields: fields(rest)? }))
}

fn parse_command(command: &str) -> Said<'_> {
    if let Some(rest) = command.strip_prefix("PONG") {
        return Said::Pong(rest.trim().parse().ok());
    }
    if command == "PING" {
        return Said::Ping;
    }
    let (key, value) = command.split_once(':').unwrap_or((command, ""));
    Said::Command(key.trim(), value.trim())
}

/// `2022-08-08T13:51:34Z`, `...Z@12.5` with a duration in seconds, milliseconds, or nothing.
fn parse_stamp(text: &str) -> Stamp<'_> {
    let time = text.split_once('@').map_or(text, |(time, _)| time).trim();
    if time.is_empty() {
        return Stamp::None;
    }
    match time.parse::<f64>() {
        Ok(millis) if millis.is_finite() => Stamp::Relative(millis),
        _ => Stamp::Text(time),
    }
}

/// The fields of a line, without the blanks around them. In quotes a field may hold pipes, written `\|`, and quotes;
/// outside of quotes a backslash is a backslash.
pub fn fields(line: &str) -> Result<Vec<Cow<'_, str>>, Malformed> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        if fields.len() >= FIELDS_MAX {
            return Err(Malformed { code: "too-many-fields", cause: "a line of more than 4,096 fields" });
        }
        let start = text.trim_start();
        let (field, after) = quoted(start).unwrap_or_else(|| match start.split_once('|') {
            Some((field, after)) => (Cow::Borrowed(field.trim_end()), Some(after)),
            None => (Cow::Borrowed(start.trim_end()), None),
        });
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

/// A field in quotes and what follows its pipe; `None` where it does not end with a quote.
fn quoted(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let body = text.strip_prefix('"')?;
    let mut plain: Option<String> = None;
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next()?;
                plain.get_or_insert_with(|| body.get(..at).unwrap_or_default().to_owned()).push(escaped);
                continue;
            }
            '|' => return None,
            '"' => {
                let after = body.get(at + 1..).unwrap_or_default().trim_start();
                if after.is_empty() || after.starts_with('|') {
                    let field = plain.map_or_else(|| Cow::Borrowed(body.get(..at).unwrap_or_default()), Cow::Owned);
                    return Some((field, after.strip_prefix('|')));
                }
            }
            _ => {}
        }
        if let Some(plain) = &mut plain {
            plain.push(c);
        }
    }
    None
}

/// One entry of a data set: its key, and its value where it has one; a key alone is removed.
pub type SetEntry<'a> = (&'a str, Option<Cow<'a, str>>);

/// The entries of a data set or table: `key=value key="two words" key={a=1 b=2} gone`. A reset (`:CODE` before the
/// first) is given beside them. `None` where it does not read so.
pub fn data_set(text: &str) -> Option<(Option<&str>, Vec<SetEntry<'_>>)> {
    let mut rest = text.trim();
    let mut trigger = None;
    if let Some(after) = rest.strip_prefix(':') {
        let (code, others) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        trigger = Some(code);
        rest = others.trim_start();
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        if entries.len() >= ENTRIES_MAX {
            return None;
        }
        let key_end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(key_end);
        if key.is_empty() {
            return None;
        }
        let Some(value) = after.strip_prefix('=') else {
            entries.push((key, None));
            rest = after.trim_start();
            continue;
        };
        let (value, after) = set_value(value)?;
        entries.push((key, Some(value)));
        rest = after.trim_start();
    }
    Some((trigger, entries))
}

/// A value of a data set and what follows it.
fn set_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (open, close) = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => (quote, quote),
        Some('{') => ('{', '}'),
        _ => {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (value, after) = text.split_at(end);
            return Some((Cow::Borrowed(value), after));
        }
    };
    let body = text.strip_prefix(open)?;
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            c if c == close => return Some((Cow::Owned(value), body.get(at + c.len_utf8()..)?)),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heard(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for piece in pieces {
            lines.push(piece, &mut |heard| {
                all.push(match heard {
                    Heard::Line(line) => line.to_owned(),
                    Heard::TooLong(head, size) => format!("too long: {} of {size}", head.len()),
                    Heard::NotText(bytes) => format!("no text: {}", bytes.len()),
                });
            });
        }
        if let Some(rest) = lines.end() {
            all.push(format!("cut off: {}", String::from_utf8_lossy(&rest)));
        }
        all
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        assert_eq!(heard(&[b"a|b|1\r\n\n", b"c|", b"d", b"|2\ne|f"]), ["a|b|1", "c|d|2", "cut off: e|f"]);
        let asset =
            [&b"t|@ASSET@|id|Tool|--multiline--AB\n<Tool>\n* PONG 5000\n\n</Tool>\n--multiline--AB\nt|a|1\n"[..]];
        assert_eq!(heard(&asset), ["* PONG 5000", "t|@ASSET@|id|Tool|\n<Tool>\n\n</Tool>", "t|a|1"]);
        assert_eq!(heard(&[b"t|a|\xE4\nt|b|2\n"]), ["no text: 5", "t|b|2"]);
        let long = [vec![b'x'; LINE_MAX + 10], b"\nt|a|1\n".to_vec()].concat();
        assert_eq!(heard(&[&long]), [format!("too long: {HEAD_MAX} of {}", LINE_MAX + 11), "t|a|1".to_owned()]);
    }

    #[test]
    fn fields_are_those_between_the_pipes() {
        let of = |line| fields(line).unwrap().join("~");
        assert_eq!(of("a| 1 |b||"), "a~1~b~~");
        assert_eq!(of(r#"m|"two \| one"|x"#), "m~two | one~x");
        assert_eq!(of(r#"m|"say "hello" now" |x"#), r#"m~say "hello" now~x"#);
        assert_eq!(of(r"path|C:\dir\|x"), r"path~C:\dir\~x");
        assert_eq!(of(r#"m|"never ends|x"#), r#"m~"never ends~x"#);
        assert!(fields(&"|".repeat(FIELDS_MAX)).is_err());
    }

    #[test]
    fn a_line_says_what_it_says() {
        assert_eq!(parse("* PONG 10000").unwrap(), Said::Pong(Some(10_000)));
        assert_eq!(parse("*adapterVersion:UNAVAILABLE").unwrap(), Said::Command("adapterVersion", "UNAVAILABLE"));
        let Said::Data(data) = parse("2022-08-08T13:51:34.7Z@12.5|a|1").unwrap() else { panic!("data") };
        assert_eq!((data.stamp, data.fields.len()), (Stamp::Text("2022-08-08T13:51:34.7Z"), 2));
        let Said::Data(data) = parse("|a|1").unwrap() else { panic!("data") };
        assert_eq!(data.stamp, Stamp::None);
        let Said::Data(data) = parse("1500.5|a|1").unwrap() else { panic!("data") };
        assert_eq!(data.stamp, Stamp::Relative(1_500.5));
        let Said::Asset { command, rest, .. } = parse("t|@REMOVE_ASSET@|123456.20").unwrap() else { panic!("asset") };
        assert_eq!((command, rest), ("REMOVE_ASSET", "123456.20"));
        assert!(parse("nothing").is_err());
    }

    #[test]
    fn a_data_set_has_entries() {
        let (reset, entries) = data_set(r#":MANUAL a=1 b="x \" y" gone c={d=1 e=2} f='z'"#).unwrap();
        assert_eq!(reset, Some("MANUAL"));
        let shown: Vec<String> = entries.iter().map(|(k, v)| format!("{k}:{}", v.as_deref().unwrap_or("-"))).collect();
        assert_eq!(shown, ["a:1", "b:x \" y", "gone:-", "c:d=1 e=2", "f:z"]);
        assert!(data_set("a=\"open").is_none());
        assert!(data_set("=1").is_none());
    }

    proptest! {
        #[test]
        fn what_is_cut_differently_reads_the_same(
            text in "[a-c|\\\\\"\n\r*@-]{0,80}",
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = text.as_bytes();
            let at = cut.index(bytes.len() + 1);
            prop_assert_eq!(heard(&[bytes]), heard(&[&bytes[..at], &bytes[at..]]));
        }

        #[test]
        fn quoted_fields_read_back(texts in prop::collection::vec("[a-z|\\\\\" ]{0,12}", 1..6)) {
            let escaped = |text: &String| text.replace('\\', "\\\\").replace('|', "\\|").replace('"', "\\\"");
            let quote = |text: &String| format!("\"{}\"", escaped(text));
            let line = texts.iter().map(quote).collect::<Vec<_>>().join("|");
            let read = fields(&line).unwrap();
            prop_assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
        }
    }
}
