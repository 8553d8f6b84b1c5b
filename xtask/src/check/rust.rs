//! What the tidiness check reads out of one Rust file; it leans on the file being formatted.

use std::collections::BTreeSet;

/// The headings of every `lib.rs`, so that a reader finds the same answers at the same place.
const HEADINGS: [&str; 5] = [
    "## What comes in",
    "## What goes out",
    "## What never happens here",
    "## Where to start reading",
    "## How it is tested",
];

/// The widest line, in characters.
const COLUMNS_MAX: usize = 120;

/// The file without the tests at its end.
pub(super) fn product(text: &str) -> &str {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("#[cfg(test)]\n")) {
        let start = at + found;
        let after = start + "#[cfg(test)]\n".len();
        let item = text.get(after..).unwrap_or_default().lines().find(|line| !line.trim_start().starts_with('#'));
        let at_margin = start == 0 || text.as_bytes().get(start - 1) == Some(&b'\n');
        if at_margin && item.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{')) {
            return text.get(..start).unwrap_or(text);
        }
        at = after;
    }
    text
}

/// Whether the file opens by saying what it is for.
pub(super) fn opens(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    lines.next().is_some_and(|line| line.starts_with("//! ") || line.contains("@generated"))
}

/// The headings a `lib.rs` lacks.
pub(super) fn headings_missing(text: &str) -> Vec<&'static str> {
    let docs: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
    HEADINGS.into_iter().filter(|heading| !docs.iter().any(|line| line.trim_end() == *heading)).collect()
}

/// The lines that are too wide, by number with their width; a line with an address cannot be broken.
pub(super) fn wide(text: &str) -> Vec<(usize, usize)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.contains("://"));
    lines.map(|(number, line)| (number + 1, line.chars().count())).filter(|(_, width)| *width > COLUMNS_MAX).collect()
}

/// The functions with the number of their lines, from the signature to the closing brace.
pub(super) fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines.iter().skip(start).position(|line| *line == end);
        found.extend(length.map(|length| (name.to_owned(), length + 1)));
    }
    found
}

/// The name of the function that starts in a line and has a body there or below.
fn function(line: &str) -> Option<&str> {
    let mut text = line.trim_start();
    loop {
        let (word, rest) = text.split_once(' ')?;
        match word {
            "fn" => return rest.split(['(', '<']).next().filter(|_| !line.ends_with(['}', ';'])),
            "async" | "const" | "extern" => text = rest,
            word if word.starts_with("pub") => text = rest,
            _ => return None,
        }
    }
}

/// The error codes a file names: `A` and four digits.
pub(super) fn codes(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| is_code(word)).map(str::to_owned).collect()
}

/// Whether a word is an error code.
pub(super) fn is_code(word: &str) -> bool {
    word.strip_prefix('A').is_some_and(|number| number.len() == 4 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_at_the_end_are_not_the_product() {
        let text = "//! X.\n\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(product(text), "//! X.\n\nfn a() {}\n\n");
        let apart = "//! X.\n\n#[cfg(test)]\nmod tests;\n\nfn a() {}\n";
        assert_eq!(product(apart), apart);
        let helper =
            "//! X.\n\n#[cfg(test)]\nfn only_tests() {}\n\n#[cfg(test)]\n#[expect(dead_code)]\nmod tests {\n}\n";
        assert!(product(helper).ends_with("only_tests() {}\n\n"));
    }

    #[test]
    fn a_file_opens_with_its_sentence() {
        assert!(opens("//! Reads a thing.\n"));
        assert!(opens("#![no_main]\n//! Reads a thing.\n"));
        assert!(!opens("use std::fs;\n//! late\n"));
        assert!(!opens(""));
    }

    #[test]
    fn a_missing_heading_is_named() {
        let text = format!("//! {}\n//! text\n", HEADINGS.split_first().unwrap().1.join("\n//! "));
        assert_eq!(headings_missing(&text), ["## What comes in"]);
    }

    #[test]
    fn wide_lines_are_counted_in_characters_and_addresses_may_be_wide() {
        let wide_line = "ä".repeat(121);
        assert_eq!(wide(&format!("ok\n{wide_line}\n// https://example.org/{wide_line}\n")), [(2, 121)]);
        assert!(wide(&"ä".repeat(120)).is_empty());
    }

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let text = concat!(
            "pub(crate) async fn first<T>(\n    a: u8,\n) -> u8 {\n    a\n}\n\n",
            "impl X {\n    fn second(&self) {\n        loop {\n        }\n    }\n}\n\n",
            "trait Y {\n    fn third(&self);\n}\nfn fourth() {}\n",
        );
        assert_eq!(functions(text), [("first".to_owned(), 5), ("second".to_owned(), 4)]);
    }

    #[test]
    fn codes_are_whole_words() {
        let text = concat!("\"A", "0123\" A", "0123 A", "01234 XA", "0123 A", "_0123 A", "4567.");
        assert_eq!(codes(text).into_iter().collect::<Vec<_>>(), [concat!("A", "0123"), concat!("A", "4567")]);
    }
}
