//! Drop folders: patterns, encodings, characters, columns, and what becomes of a file.

use super::{
    Known,
    sources::Scope,
    topics::{constant, template},
};
use crate::{
    codes,
    contract::{
        After, ColumnMapping, CsvFormat, FILE, FileFormat, FileSource, Pattern, Piece, Ready, RowMapping, RowTime,
        RowTimeForm, Template,
    },
    files::file::{AfterWord, ColumnFile, CsvFile, FileSourceFile, FormatWord, RowTimeFile},
    load::Project,
    problem::{Finding, Spot},
    read::At,
};
use andon_model::{SignalName, span::Span, time::Unit};

/// How long a file must not change unless told.
const SETTLE: Span = Span::from_secs(2);
/// How often the folder is looked at unless told.
const EVERY: Span = Span::from_secs(1);
/// The longest path of a row element, in steps; XML is read no deeper.
const ROW_STEPS_MAX: usize = 32;
/// What stands for a file's name in its marker.
const NAME: &str = "name";

/// What a drop folder is, as far as it is right.
pub(crate) fn file(project: &Project, file: &FileSourceFile, scope: &Scope<'_>) -> Option<FileSource> {
    if file.folder.trim().is_empty() {
        refuse(project, codes::FILE_PLACE, file.folder.spot, "the folder has no name", "a path", "name the folder");
    }
    let pattern = file.pattern.as_ref().map_or("*", |pattern| pattern.as_str());
    if let Some(at) = file.pattern.as_ref().filter(|pattern| pattern.contains('/') || pattern.is_empty()) {
        let message = "a pattern is of names, not of paths";
        let help = "leave the folders out; files below `folder` are not looked at";
        refuse(project, codes::FILE_PLACE, at.spot, message, "a pattern such as `*.csv`", help);
    }
    let format = format(project, file);
    let decimal = decimal(project, file);
    let thousands = file.thousands.as_ref().and_then(|text| one_char(project, text, "thousands"));
    if let (Some(at), Some(thousands)) = (&file.thousands, thousands)
        && (Some(thousands) == decimal || thousands.is_ascii_digit())
    {
        let message = "the same character cannot stand between thousands and before the fraction";
        refuse(project, codes::FILE_CHARACTER, at.spot, message, "another character", "say what the files write");
    }
    let encoding = encoding(project, file);
    let ready = ready(project, file);
    let after = after(project, file);
    let every = file.every.as_ref().map_or(EVERY, |every| every.0);
    if let Some(at) = file.every.as_ref().filter(|_| every < Span::from_millis(100) || every > Span::from_secs(3_600)) {
        let message = format!("a folder cannot be looked at every {every}");
        refuse(project, codes::FILE_PACE, at.spot, &message, "100 ms to 1 h", "correct the duration");
    }
    let rows = rows(project, file, scope);
    Some(FileSource {
        folder: file.folder.value.clone(),
        pattern: Pattern(pattern.to_owned()),
        format: format?,
        encoding: encoding?,
        decimal: decimal?,
        thousands,
        ready: ready?,
        every,
        after: after?,
        failed: file.failed_to.as_ref().map(|folder| folder.value.clone()),
        rows: rows?,
    })
}

fn refuse(project: &Project, code: &'static str, spot: Spot, message: &str, expected: &str, help: &str) {
    project.push(Finding::error(code, spot, message).expected(expected).help(help));
}

fn one_char(project: &Project, text: &At<String>, what: &str) -> Option<char> {
    let named = match text.as_str() {
        "tab" | "\\t" => Some('\t'),
        "space" => Some(' '),
        _ => None,
    };
    let mut chars = text.chars();
    match (named, chars.next(), chars.next()) {
        (Some(c), ..) | (None, Some(c), None) if !matches!(c, '\n' | '\r') => Some(c),
        _ => {
            let message = format!("`{what}` is one character");
            refuse(project, codes::FILE_CHARACTER, text.spot, &message, "one character, or `tab`", "write only it");
            None
        }
    }
}

fn decimal(project: &Project, file: &FileSourceFile) -> Option<char> {
    let Some(text) = &file.decimal else { return Some('.') };
    let found = text.chars().next().filter(|c| text.chars().count() == 1 && matches!(c, '.' | ','));
    if found.is_none() {
        let message = format!("`{}` cannot stand before a fraction", text.value);
        refuse(project, codes::FILE_CHARACTER, text.spot, &message, "`.` or `,`", "say what the files write");
    }
    found
}

fn encoding(project: &Project, file: &FileSourceFile) -> Option<String> {
    let Some(text) = &file.encoding else { return Some("utf-8".to_owned()) };
    if encoding_rs::Encoding::for_label(text.as_bytes()).is_some() {
        return Some(text.value.clone());
    }
    let message = format!("nobody knows the encoding `{}`", text.value);
    let expected = "a label of the WHATWG Encoding Standard, such as `windows-1252`, `iso-8859-15`, `utf-16le`";
    refuse(project, codes::FILE_ENCODING, text.spot, &message, expected, "correct the label");
    None
}

fn format(project: &Project, file: &FileSourceFile) -> Option<FileFormat> {
    let foreign = match file.format.value {
        FormatWord::Csv => file.xml.as_ref().map(|xml| ("xml", xml.row.spot)),
        FormatWord::Xml | FormatWord::Jsonl if file.csv.is_some() => Some(("csv", file.format.spot)),
        FormatWord::Jsonl => file.xml.as_ref().map(|xml| ("xml", xml.row.spot)),
        FormatWord::Xml => None,
    };
    if let Some((key, spot)) = foreign {
        let message = format!("`{key}` says how a format is written that these files do not have");
        refuse(project, codes::FILE_FORMAT, spot, &message, "settings of the files' own format", "leave it out");
        return None;
    }
    match file.format.value {
        FormatWord::Csv => csv(project, &file.csv.clone().unwrap_or_default()).map(FileFormat::Csv),
        FormatWord::Jsonl => Some(FileFormat::JsonLines),
        FormatWord::Xml => {
            let Some(xml) = &file.xml else {
                let message = "nothing says which elements of the XML are rows";
                let help = "add `xml: { row: /report/sample }`";
                refuse(project, codes::FILE_FORMAT, file.format.spot, message, "`xml: { row: <path> }`", help);
                return None;
            };
            let row: Vec<String> = xml.row.trim_matches('/').split('/').map(str::to_owned).collect();
            let is_path = row.len() <= ROW_STEPS_MAX && row.iter().all(|step| is_element(step));
            if !is_path {
                let message = format!("`{}` is no path of elements", xml.row.value);
                let help = "write the names of the elements from the root to the row, without namespaces";
                refuse(project, codes::FILE_FORMAT, xml.row.spot, &message, "a path such as `/report/sample`", help);
            }
            is_path.then_some(FileFormat::Xml { row })
        }
    }
}

fn is_element(step: &str) -> bool {
    !step.is_empty() && !step.contains([':', '@', '*', '[', ' ', '.'])
}

fn csv(project: &Project, file: &CsvFile) -> Option<CsvFormat> {
    let delimiter = file.delimiter.as_ref().map_or(Some(','), |text| one_char(project, text, "delimiter"));
    let quote = match &file.quote {
        None => Some(Some('"')),
        Some(text) if text.as_str() == "none" => Some(None),
        Some(text) => one_char(project, text, "quote").map(Some),
    };
    let comment = match &file.comment {
        None => Some(None),
        Some(text) => one_char(project, text, "comment").map(Some),
    };
    let format = CsvFormat {
        delimiter: delimiter?,
        quote: quote?,
        header: file.header.unwrap_or(true),
        skip: file.skip.as_ref().map_or(0, |skip| skip.value),
        comment: comment?,
    };
    if Some(format.delimiter) == format.quote {
        let spot = file.delimiter.as_ref().or(file.quote.as_ref()).map(|text| text.spot)?;
        let message = "the same character cannot stand between fields and around them";
        refuse(project, codes::FILE_CHARACTER, spot, message, "two characters", "say what the files write");
        return None;
    }
    Some(format)
}

fn ready(project: &Project, file: &FileSourceFile) -> Option<Ready> {
    match (&file.done_marker, &file.settle) {
        (Some(marker), Some(_)) => {
            let message = "a file is whole either by its marker or by time";
            refuse(
                project,
                codes::FILE_READY,
                marker.spot,
                message,
                "`done-marker` or `settle`",
                "leave one of them out",
            );
            None
        }
        (Some(marker), None) => {
            let known = Known([NAME.to_owned()].into());
            let found = template(project, marker, &known)?;
            let names_it = found.pieces.iter().any(|piece| matches!(piece, Piece::Place(_)));
            if !names_it || marker.contains('/') || marker.as_str() == "{name}" {
                let message = "the marker does not tell which file it is for";
                let help = "write what the program that drops the files makes when one is whole";
                refuse(project, codes::FILE_READY, marker.spot, message, "a name such as `{name}.ok`", help);
                return None;
            }
            Some(Ready::Marker(found))
        }
        (None, settle) => Some(Ready::Settled(settle.as_ref().map_or(SETTLE, |settle| settle.0))),
    }
}

fn after(project: &Project, file: &FileSourceFile) -> Option<After> {
    let word = file.after.as_ref().map_or(AfterWord::Keep, |word| word.value);
    match (word, &file.moved_to) {
        (AfterWord::Move, Some(folder)) if !folder.trim().is_empty() => Some(After::Move(folder.value.clone())),
        (AfterWord::Move, _) => {
            let spot = file.after.as_ref().map_or(file.folder.spot, |word| word.spot);
            let message = "nothing says where files are moved to";
            refuse(project, codes::FILE_PLACE, spot, message, "`moved-to: done`", "add `moved-to`, or keep the files");
            None
        }
        (_, Some(folder)) => {
            let message = "files are not moved";
            let help = "say `after: move`, or leave `moved-to` out";
            refuse(project, codes::FILE_PLACE, folder.spot, message, "`after: move` beside it", help);
            None
        }
        (AfterWord::Keep, None) => Some(After::Keep),
        (AfterWord::Delete, None) => Some(After::Delete),
    }
}

fn rows(project: &Project, file: &FileSourceFile, scope: &Scope<'_>) -> Option<RowMapping> {
    let asset = columns_of(project, &file.rows.asset, true)?;
    let time = match &file.rows.time {
        None => None,
        Some(time) => Some(row_time(project, time)?),
    };
    let mut signals = Vec::new();
    for (name, column) in &file.rows.signals.good {
        if let Some(mapping) = column_mapping(project, name, column, scope) {
            signals.push(mapping);
        }
    }
    if file.rows.signals.good.is_empty() && file.rows.signals.spoilt.is_empty() {
        let finding = Finding::error(codes::NO_TOPIC, file.rows.asset.spot, "no signal is read from these files");
        project.push(finding.help("add `signals: { <signal>: { value: <column> } }`"));
    }
    if file.rows.time.is_none() {
        let message = "these rows carry no time, so all rows of a file are stored at the time it is read";
        let finding = Finding::warning(codes::FILE_TIME, file.rows.asset.spot, message);
        project.push(finding.help("read the machine's own time with `time: { columns: [...], form: ... }`"));
    }
    let mapping = RowMapping { asset, time, signals };
    if let (FileFormat::Csv(csv), Some(spot)) = (format_of(file), Some(file.rows.asset.spot))
        && !csv.header
        && let Some(column) = mapping.columns().iter().find(|column| column.parse::<u16>().ok().is_none_or(|n| n == 0))
    {
        let message = format!("`{column}` is no column of files without a header");
        refuse(project, codes::FILE_COLUMN, spot, &message, "the number of the column, from 1", "write numbers");
    }
    Some(mapping)
}

/// The format as far as it matters for columns.
fn format_of(file: &FileSourceFile) -> FileFormat {
    let header = file.csv.as_ref().and_then(|csv| csv.header).unwrap_or(true);
    match file.format.value {
        FormatWord::Csv => FileFormat::Csv(CsvFormat { delimiter: ',', quote: None, header, skip: 0, comment: None }),
        FormatWord::Jsonl => FileFormat::JsonLines,
        FormatWord::Xml => FileFormat::Xml { row: Vec::new() },
    }
}

/// A text over columns, which are known only when a file is read.
fn columns_of(project: &Project, text: &At<String>, file_too: bool) -> Option<Template> {
    let mut pieces = Vec::new();
    let mut rest = text.value.as_str();
    while let Some(open) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(open);
        let place = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((name, tail)) = place.filter(|(name, _)| !name.is_empty() && !name.contains('{')) else {
            let finding = Finding::error(codes::TEMPLATE, text.spot, "a bracket stands alone in this text");
            project.push(finding.expected("columns like `{machine}`").help("close the bracket, or leave it out"));
            return None;
        };
        if name == FILE && !file_too {
            let finding = Finding::error(codes::TEMPLATE, text.spot, "the name of a file is no signal");
            project.push(finding.help("name a column"));
            return None;
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Place(name.to_owned()));
        rest = tail;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(Template { pieces })
}

fn row_time(project: &Project, file: &RowTimeFile) -> Option<RowTime> {
    let columns: Vec<String> = file.columns.iter().map(|column| column.value.clone()).collect();
    let form = match file.form.as_str() {
        "text" => Some(RowTimeForm::Text),
        "s" => Some(RowTimeForm::Number(Unit::S)),
        "ms" => Some(RowTimeForm::Number(Unit::Ms)),
        "us" => Some(RowTimeForm::Number(Unit::Us)),
        "ns" => Some(RowTimeForm::Number(Unit::Ns)),
        format if format.contains('%') && andon_model::time::is_format(format) => {
            Some(RowTimeForm::Format(format.to_owned()))
        }
        _ => None,
    };
    if form.is_none() {
        let message = format!("`{}` is no form of a time", file.form.value);
        let expected = "`text`, `s`, `ms`, `us`, `ns`, or a format such as `%d.%m.%Y %H:%M:%S`";
        refuse(project, codes::FILE_TIME, file.form.spot, &message, expected, "say how the files write times");
    }
    if columns.is_empty() && file.columns.spoilt == 0 {
        let message = "a time without a column";
        refuse(project, codes::FILE_TIME, file.form.spot, message, "`columns: [Time]`", "name the column of the time");
        return None;
    }
    Some(RowTime { columns, form: form? })
}

fn column_mapping(project: &Project, name: &At<String>, file: &ColumnFile, scope: &Scope<'_>) -> Option<ColumnMapping> {
    let signal = columns_of(project, name, false)?;
    if let Some(text) = constant(&signal) {
        let is_whole = scope.classes.good.len() == scope.classes.known.0.len();
        if SignalName::new(text).is_err() || (is_whole && !scope.signals.has(text)) {
            project.push(scope.signals.unknown(codes::UNKNOWN_SIGNAL, name.spot, "signal", text));
            return None;
        }
        if let Some(unit) = &file.unit {
            unit_fits(project, unit, text, scope)?;
        }
    } else if let Some(unit) = &file.unit
        && let Err(error) = crate::units::valid(unit)
    {
        refuse(project, codes::UNIT, unit.spot, &error.to_string(), "a unit of UCUM", "correct the unit");
        return None;
    }
    Some(ColumnMapping {
        signal,
        value: file.value.value.clone(),
        quality: file.quality.as_ref().map(|column| column.value.clone()),
        unit: file.unit.as_ref().map(|unit| unit.value.clone()),
    })
}

/// The unit of a column must become that of the signal in each class that has it.
fn unit_fits(project: &Project, unit: &At<String>, signal: &str, scope: &Scope<'_>) -> Option<()> {
    for (class, info) in &scope.classes.good {
        let Some(of) = info.class.signals.get(signal) else { continue };
        if let Err(error) = crate::units::conversion(unit, &of.unit) {
            let message = format!("{error} (signal `{signal}` of the class `{class}`)");
            let finding = Finding::error(codes::UNIT_MISMATCH, unit.spot, message);
            project.push(finding.help("correct the unit here, or that of the signal in its class"));
            return None;
        }
    }
    Some(())
}
