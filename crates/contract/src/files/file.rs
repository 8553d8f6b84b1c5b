//! `sources/<source>.yaml` of kind `file`: folders into which files are dropped.

use super::words::{Duration, Silence};
use crate::{
    contract::Clock,
    read::{At, Entries, Items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A folder into which files of rows are dropped.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSourceFile {
    /// `file`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: FileWord,
    /// The folder; a path that does not begin with `/` is one below the folder in which Andon was started.
    pub(crate) folder: At<String>,
    /// Which files, by their names: `*` is any text, `?` any character; default `*`. Hidden files and names that end
    /// with `.tmp`, `.part`, `.partial`, `.filepart`, `.crdownload` or `~` are never taken.
    #[serde(default)]
    pub(crate) pattern: Option<At<String>>,
    /// How the files are written: `csv`, `jsonl` or `xml`.
    pub(crate) format: At<FormatWord>,
    /// How CSV is written.
    #[serde(default)]
    pub(crate) csv: Option<CsvFile>,
    /// Which elements of XML are rows.
    #[serde(default)]
    pub(crate) xml: Option<XmlFile>,
    /// The encoding, such as `windows-1252`; default UTF-8. A byte order mark decides before it.
    #[serde(default)]
    pub(crate) encoding: Option<At<String>>,
    /// The character between whole and fraction of numbers: `.` (default) or `,`.
    #[serde(default)]
    pub(crate) decimal: Option<At<String>>,
    /// The character between thousands, where there is one.
    #[serde(default)]
    pub(crate) thousands: Option<At<String>>,
    /// A file is whole when its size and time have not changed for this long; default 2 s.
    #[serde(default)]
    pub(crate) settle: Option<At<Duration>>,
    /// A file is whole when another one with this name is there, such as `{name}.ok`; instead of `settle`.
    #[serde(default, rename = "done-marker")]
    pub(crate) done_marker: Option<At<String>>,
    /// How often the folder is looked at, 100 ms to 1 h; default 1 s.
    #[serde(default)]
    pub(crate) every: Option<At<Duration>>,
    /// What becomes of a file whose rows are durable: `keep` (default), `move` (to `moved-to`) or `delete`.
    #[serde(default)]
    pub(crate) after: Option<At<AfterWord>>,
    /// The folder into which files are moved: a path, or a name below `folder`.
    #[serde(default, rename = "moved-to")]
    pub(crate) moved_to: Option<At<String>>,
    /// The folder for files that cannot be read; without it they stay.
    #[serde(default, rename = "failed-to")]
    pub(crate) failed_to: Option<At<String>>,
    /// What the rows mean.
    pub(crate) rows: RowsFile,
    /// `live` (default), or `recorded` for a replay: no time passes between its samples.
    #[serde(default)]
    pub(crate) clock: Option<Clock>,
    /// The zone of times that name none, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
    /// A time this much later than the receive time is not believed; default 5 min.
    #[serde(default)]
    pub(crate) ahead: Option<At<Duration>>,
    /// How long the source may say nothing while all is well, or `never`; default 10 min, with `clock: recorded` any
    /// time.
    #[serde(default)]
    pub(crate) silence: Option<At<Silence>>,
}

/// The word `file`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum FileWord {
    /// Files.
    File,
}

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FormatWord {
    /// Rows of fields.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Elements.
    Xml,
}

/// What becomes of a file whose rows are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AfterWord {
    /// It stays.
    Keep,
    /// It is moved.
    Move,
    /// It is deleted.
    Delete,
}

/// How CSV is written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsvFile {
    /// Between fields; default a comma; `tab` for a tabulator.
    #[serde(default)]
    pub(crate) delimiter: Option<At<String>>,
    /// Around fields that hold delimiters, quotes or line ends; `none` where there are no quotes; default `"`.
    #[serde(default)]
    pub(crate) quote: Option<At<String>>,
    /// Whether the first line names the columns (default); else they are called `1`, `2` and so on.
    #[serde(default)]
    pub(crate) header: Option<bool>,
    /// Lines before the header that are left out; default 0.
    #[serde(default)]
    pub(crate) skip: Option<At<u32>>,
    /// Lines that begin with it are left out.
    #[serde(default)]
    pub(crate) comment: Option<At<String>>,
}

/// Which elements of XML are rows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct XmlFile {
    /// The path of the elements that are rows, such as `/report/sample`; namespaces are left out.
    pub(crate) row: At<String>,
}

/// What the rows of a file mean.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowsFile {
    /// What the source calls the asset, over the columns and `{file}`, the name of the file without its ending.
    pub(crate) asset: At<String>,
    /// When a row is; without it the receive time is taken.
    #[serde(default)]
    pub(crate) time: Option<RowTimeFile>,
    /// How each signal is read from a row; the signal's name may hold columns.
    pub(crate) signals: Entries<String, ColumnFile>,
}

/// When a row is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowTimeFile {
    /// The columns; several are read with a blank between them.
    pub(crate) columns: Items<At<String>>,
    /// `text` (RFC 3339, or date and time in the zone of the source), the unit of a number since 1970 (`s`, `ms`, `us`,
    /// `ns`), or a format like `%d.%m.%Y %H:%M:%S`.
    pub(crate) form: At<String>,
}

/// How a sample is read from a row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnFile {
    /// The column of the value.
    pub(crate) value: At<String>,
    /// The column of the quality: an OPC UA status code, or `good`, `uncertain`, `bad`; without it a value is good.
    #[serde(default)]
    pub(crate) quality: Option<At<String>>,
    /// The unit in which the file has it, UCUM; without it that of the signal.
    #[serde(default)]
    pub(crate) unit: Option<At<String>>,
}
