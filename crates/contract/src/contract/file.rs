//! Sources that are folders into which files are dropped.

use super::Template;
use andon_model::{span::Span, time::Unit};

/// A drop folder.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// The folder.
    pub folder: String,
    /// Which files of the folder, by their names.
    pub pattern: Pattern,
    /// How they are written.
    pub format: FileFormat,
    /// The label of their encoding (WHATWG Encoding Standard); a byte order mark decides before it. Default UTF-8.
    pub encoding: String,
    /// The character between whole and fraction of numbers.
    pub decimal: char,
    /// A character between thousands that is left out of numbers.
    pub thousands: Option<char>,
    /// When a file is whole.
    pub ready: Ready,
    /// How often the folder is looked at; default 1 s.
    pub every: Span,
    /// What becomes of a file whose rows are durable.
    pub after: After,
    /// The folder for files that cannot be read; `None`: they stay.
    pub failed: Option<String>,
    /// What the rows mean.
    pub rows: RowMapping,
}

/// A pattern of names: `*` is any text, `?` any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let name: Vec<char> = name.chars().collect();
        // Where the last star stands, and how much of the name it has taken.
        let (mut p, mut n, mut star) = (0, 0, None);
        while n < name.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(c) if *c == '?' || Some(c) == name.get(n) => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((at, taken)) = star else { return false };
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
            }
        }
        pattern.iter().skip(p).all(|c| *c == '*')
    }
}

/// How files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormat {
    /// Rows of fields.
    Csv(CsvFormat),
    /// One JSON object a line; a column is a JSON pointer or a key.
    JsonLines,
    /// Elements; a column is an attribute (`@name`), a child element (`name`, `name/name`) or the text itself (`.`).
    Xml {
        /// The path of the elements that are rows, from the root.
        row: Vec<String>,
    },
}

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvFormat {
    /// Between fields; default a comma.
    pub delimiter: char,
    /// Around fields that hold delimiters, quotes or line ends; `None`: no quotes. Default a quotation mark.
    pub quote: Option<char>,
    /// Whether the first line names the columns; else they are called `1`, `2` and so on.
    pub header: bool,
    /// Lines before the header that are left out.
    pub skip: u32,
    /// Lines that begin with it are left out.
    pub comment: Option<char>,
}

/// When a file is whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Ready {
    /// Its size and time have not changed for this long; default 2 s.
    Settled(Span),
    /// Another file with the name this gives for `{name}` is there.
    Marker(Template),
}

/// What becomes of a file whose rows are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// It stays; if it grows, the new rows are taken.
    Keep,
    /// It is moved into this folder.
    Move(String),
    /// It is deleted.
    Delete,
}

/// What the rows of a file mean.
#[derive(Debug, Clone)]
pub struct RowMapping {
    /// The text that names the asset in this source, over the columns and `file`, the name of the file without its
    /// ending.
    pub asset: Template,
    /// When a row is; `None`: when it is received.
    pub time: Option<RowTime>,
    /// The samples a row holds.
    pub signals: Vec<ColumnMapping>,
}

impl RowMapping {
    /// The columns that are read, each once.
    pub fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        let places = |template: &Template| {
            let places = template.pieces.iter().filter_map(|piece| match piece {
                super::Piece::Place(name) if name != FILE => Some(name.clone()),
                _ => None,
            });
            places.collect::<Vec<_>>()
        };
        let of_signal = |signal: &ColumnMapping| {
            let mut own = places(&signal.signal);
            own.push(signal.value.clone());
            own.extend(signal.quality.clone());
            own
        };
        let all = places(&self.asset)
            .into_iter()
            .chain(self.time.iter().flat_map(|time| time.columns.clone()))
            .chain(self.signals.iter().flat_map(of_signal));
        for column in all {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }
}

/// The place in templates that stands for the file's name without its ending.
pub const FILE: &str = "file";

/// When a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowTime {
    /// The columns; several are read with a blank between them.
    pub columns: Vec<String>,
    /// How it is written.
    pub form: RowTimeForm,
}

/// How the time of a row is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowTimeForm {
    /// A number in this unit since 1970 UTC.
    Number(Unit),
    /// RFC 3339, or a date and time in the zone of the source.
    Text,
    /// As a format of `strptime` says, such as `%d.%m.%Y %H:%M:%S`; without `%z` in the zone of the source.
    Format(String),
}

/// How one sample is read from a row.
#[derive(Debug, Clone)]
pub struct ColumnMapping {
    /// The signal's name over the columns.
    pub signal: Template,
    /// The column of the value.
    pub value: String,
    /// The column of the quality: an OPC UA status code as number, or `good`, `uncertain`, `bad`.
    pub quality: Option<String>,
    /// The unit in which the file has it, UCUM; `None`: that of the signal.
    pub unit: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_match_whole_names() {
        let matches = |pattern: &str, name| Pattern(pattern.into()).matches(name);
        assert!(matches("*.csv", "a.csv") && matches("a*b*c", "a-b-b-c") && matches("?.x", "ä.x") && matches("*", ""));
        assert!(!matches("*.csv", "a.csv.tmp") && !matches("a?", "a") && !matches("", "a") && matches("**", "a"));
    }
}
