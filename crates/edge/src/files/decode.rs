//! Bytes of a file to text: by its byte order mark, else by the encoding of the source; a piece at a time.

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use std::io::{self, Read};

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// The text of a file, character by character in pieces. Bytes that are no text in the encoding become
/// [`char::REPLACEMENT_CHARACTER`].
pub(crate) struct Text<R> {
    file: R,
    decoder: Decoder,
    bytes: Box<[u8]>,
    ended: bool,
}

impl<R: Read> Text<R> {
    pub(crate) fn new(encoding: &str, file: R) -> Self {
        let encoding = Encoding::for_label(encoding.as_bytes()).unwrap_or(UTF_8);
        // Takes a byte order mark as the encoding and leaves it out.
        let decoder = encoding.new_decoder();
        Self { file, decoder, bytes: vec![0; PIECE].into_boxed_slice(), ended: false }
    }

    /// Puts the next piece behind `text`; false at the end.
    pub(crate) fn more(&mut self, text: &mut String) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let n = loop {
            match self.file.read(&mut self.bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.ended = n == 0;
        let mut bytes = self.bytes.get(..n).unwrap_or(&[]);
        loop {
            let room = self.decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(PIECE * 4);
            text.reserve(room.max(16));
            let (result, read) = self.decoder.decode_to_string_without_replacement(bytes, text, self.ended);
            bytes = bytes.get(read..).unwrap_or(&[]);
            match result {
                DecoderResult::InputEmpty => return Ok(true),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
    }
}

/// Lines of a text, each with its end; a line longer than a limit comes in pieces.
pub(crate) struct Lines<R> {
    text: Text<R>,
    buffer: String,
    start: usize,
    ended: bool,
    most: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(text: Text<R>, most: usize) -> Self {
        Self { text, buffer: String::new(), start: 0, ended: false, most }
    }

    /// Whether everything was given.
    pub(crate) fn at_end(&self) -> bool {
        self.ended && self.start >= self.buffer.len()
    }

    /// Puts the next line behind `line`; false at the end of the file.
    pub(crate) fn next(&mut self, line: &mut String) -> io::Result<bool> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let end = rest.find('\n').map(|at| at + 1).filter(|end| *end <= self.most);
            let end = end.or_else(|| (rest.len() > self.most).then(|| floor(rest, self.most)));
            let end = end.or_else(|| (self.ended && !rest.is_empty()).then_some(rest.len()));
            if let Some(end) = end {
                line.push_str(rest.get(..end).unwrap_or_default());
                self.start += end;
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            self.ended = !self.text.more(&mut self.buffer)?;
        }
    }
}

/// The last border of a character at or before a place.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(encoding: &str, bytes: &[u8]) -> String {
        let mut text = Text::new(encoding, bytes);
        let mut all = String::new();
        while text.more(&mut all).unwrap() {}
        all
    }

    #[test]
    fn encodings_and_marks_are_read() {
        assert_eq!(all("utf-8", "Größe".as_bytes()), "Größe");
        assert_eq!(all("utf-8", b"\xEF\xBB\xBFa"), "a");
        assert_eq!(all("windows-1252", b"Gr\xF6\xDFe \x80"), "Größe €");
        let utf16: Vec<u8> =
            [0xFF, 0xFE].into_iter().chain("Größe".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(all("utf-8", &utf16), "Größe", "the mark decides");
        assert_eq!(all("utf-8", b"a\xFFb"), "a\u{FFFD}b");
    }

    #[test]
    fn lines_are_whole_or_cut_at_their_limit() {
        let mut lines = Lines::new(Text::new("utf-8", "ab\r\n\nlongäline\nend".as_bytes()), 6);
        let mut found = Vec::new();
        let mut line = String::new();
        while lines.next(&mut line).unwrap() {
            found.push(std::mem::take(&mut line));
        }
        assert_eq!(found, ["ab\r\n", "\n", "longä", "line\n", "end"]);
    }
}
