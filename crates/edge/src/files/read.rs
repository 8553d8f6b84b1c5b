//! The pure core of a file source: rows go in, samples and what is set aside come out.

use super::{Cell, Row};
use crate::{
    duplicates::Duplicates,
    intake::Intake,
    mapping::{Numbers, Read},
    payload::Leaf,
    problem::{Problem, quote},
    value::{self, Moment, Wrong},
};
use andon_contract::{
    contract::{Contract, FILE, FileSource, RowTimeForm, Source, SourceKind, Template, TimeForm},
    units::{Conversion, conversion},
};
use andon_model::{
    AssetName, Name, Quality, Sample, SignalNo, SiteName, Time, Value, span::Span, time::Zone, value::Kind,
};
use andon_store::StoreError;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Pairs of an asset and a signal that are remembered; one more, and all are looked up anew.
pub(crate) const PAIRS_MAX: usize = 100_000;

/// The file source of a name.
pub(crate) fn file_source<'a>(contract: &'a Contract, name: &Name) -> Option<(&'a Source, &'a FileSource)> {
    let source = contract.sources.get(name)?;
    match &source.kind {
        SourceKind::File(file) => Some((source, file)),
        _ => None,
    }
}

/// The core of one file source.
pub(crate) struct FileCore {
    pub(crate) intake: Intake,
    source: FileSource,
    /// The wanted columns, each once.
    pub(crate) columns: Vec<String>,
    /// Assets by what the source calls them.
    assets: HashMap<String, AssetName>,
    known: HashMap<(String, String, usize), Result<Bound, Problem>>,
    zone: Zone,
    ahead: Span,
}

/// What a column of an asset is bound to.
#[derive(Debug, Clone)]
struct Bound {
    site: SiteName,
    no: SignalNo,
    kind: Kind,
    range: Option<(f64, f64)>,
    unit: Option<Conversion>,
}

/// Where a row stands, and what is known of it from before a crash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The name of the file.
    pub(crate) file: &'a str,
    /// The number of the row, from 0.
    pub(crate) number: u64,
    /// By site: rows before this are durable. Those of no site are behind the row.
    pub(crate) durable: &'a BTreeMap<SiteName, u64>,
    /// Rows before this are set aside already, where they are to be.
    pub(crate) aside: u64,
    /// What the row cannot be understood without: the header of CSV. It is set aside with the row.
    pub(crate) head: &'a str,
}

impl FileCore {
    /// The core of a source of this name; `None` where the contract has no file source of the name, or no site.
    pub(crate) fn new(contract: &Arc<Contract>, name: &Name, window: Duplicates) -> Option<Self> {
        let (source, file) = file_source(contract, name)?;
        let called = |(asset, is): (&AssetName, &andon_contract::contract::Asset)| {
            (is.addresses.get(name).cloned().unwrap_or_else(|| asset.to_string()), asset.clone())
        };
        Some(Self {
            intake: Intake::new(Arc::clone(contract), name, window)?,
            source: file.clone(),
            columns: file.rows.columns(),
            assets: contract.assets.iter().map(called).collect(),
            known: HashMap::new(),
            zone: source.zone.clone(),
            ahead: source.ahead,
        })
    }

    /// Takes a row. An error of the store leaves out what was not taken yet of the row.
    pub(crate) fn row(
        &mut self,
        row: &Row,
        place: Place<'_>,
        received: Time,
        numbers: &mut Numbers<'_>,
    ) -> Result<(), StoreError> {
        let received = Time::from_millis(received.millis());
        let cells = match &row.cells {
            Ok(cells) => cells.as_slice(),
            Err(broken) => {
                let wrong = Wrong::new(broken.code, &broken.cause, &broken.found, REMEDY);
                self.aside(None, wrong, "", row, place, received);
                return Ok(());
            }
        };
        let moment = match self.moment(cells, received) {
            Ok(moment) => moment,
            Err((wrong, column)) => {
                self.aside(None, wrong, &column, row, place, received);
                return Ok(());
            }
        };
        let asset = match self.fill(&self.source.rows.asset, cells, place.file) {
            Ok(asset) => asset,
            Err(column) => {
                let wrong = Wrong::new("no-asset", "nothing says which asset the row is of", "nothing", REMEDY);
                self.aside(None, wrong, &column, row, place, received);
                return Ok(());
            }
        };
        let mut gives = false;
        for at in 0..self.source.rows.signals.len() {
            gives |= self.signal(at, &asset, cells, moment, row, place, received, numbers)?;
        }
        if !gives {
            self.intake.refused(1);
        }
        Ok(())
    }

    /// Takes one signal of a row; whether the row has something for it.
    #[expect(clippy::too_many_arguments, reason = "a row and what is known of it")]
    fn signal(
        &mut self,
        at: usize,
        asset: &str,
        cells: &[Cell],
        moment: Moment,
        row: &Row,
        place: Place<'_>,
        received: Time,
        numbers: &mut Numbers<'_>,
    ) -> Result<bool, StoreError> {
        let Some(mapping) = self.source.rows.signals.get(at) else { return Ok(false) };
        let column = mapping.value.clone();
        let cell = self.cell(&column, cells);
        if *cell == Cell::Absent {
            return Ok(false);
        }
        let (cell, quality) = (cell.clone(), mapping.quality.as_ref().map(|column| self.cell(column, cells).clone()));
        let name = match self.fill(&mapping.signal, cells, place.file) {
            Ok(name) => name,
            Err(column) => {
                let wrong = Wrong::new("no-signal", "nothing says which signal the row is of", "nothing", REMEDY);
                self.aside(None, wrong, &column, row, place, received);
                return Ok(true);
            }
        };
        let bound = match self.bound(asset, &name, at, numbers)? {
            Ok(bound) => bound,
            Err(problem) => {
                self.aside_as(None, problem, row, place, received);
                return Ok(true);
            }
        };
        let site = self.intake.site(&bound.site);
        // It was durable before a crash that came between two sites.
        if place.durable.get(&bound.site).is_some_and(|durable| place.number < *durable) {
            return Ok(true);
        }
        let value = self.value(&cell, &bound).and_then(|value| Ok((value, quality_of(quality.as_ref())?)));
        match value {
            Ok((value, quality)) => {
                let quality = value::doubted(quality, &value, bound.range, moment.doubtful);
                let Moment { time, origin, claimed, .. } = moment;
                let sample = Sample { signal: bound.no, time, received, quality, value, origin };
                self.intake.sample(site, Read { sample, claimed });
            }
            Err(wrong) => self.aside(Some(site), wrong, &column, row, place, received),
        }
        Ok(true)
    }

    fn cell<'a>(&self, column: &str, cells: &'a [Cell]) -> &'a Cell {
        let at = self.columns.iter().position(|known| known == column);
        at.and_then(|at| cells.get(at)).unwrap_or(&Cell::Absent)
    }

    /// A text over columns; the column that has nothing in it otherwise.
    fn fill(&self, template: &Template, cells: &[Cell], file: &str) -> Result<String, String> {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let texts: Vec<Option<String>> = cells
            .iter()
            .map(|cell| match cell {
                Cell::Text(text) => Some(text.clone()),
                Cell::Json(Leaf::Text(text)) => Some(text.to_string()),
                Cell::Json(Leaf::Int(n)) => Some(n.to_string()),
                _ => None,
            })
            .collect();
        let known = |place: &str| {
            if place == FILE {
                return Some(stem);
            }
            let at = self.columns.iter().position(|column| column == place)?;
            texts.get(at)?.as_deref()
        };
        template.fill(&known)
    }

    fn moment(&self, cells: &[Cell], received: Time) -> Result<Moment, (Wrong, String)> {
        let Some(time) = &self.source.rows.time else {
            return value::moment(None, received, self.ahead, false).map_err(|wrong| (wrong, String::new()));
        };
        let shown = || time.columns.join(" ");
        let wrong = |found: &str| {
            let remedy = "look at `time` of the source: its columns, its form and the zone";
            (Wrong::new("no-time", "the time of the row cannot be read", quote(found), remedy), shown())
        };
        let mut texts = Vec::new();
        for column in &time.columns {
            match self.cell(column, cells) {
                Cell::Text(text) => texts.push(text.clone()),
                Cell::Json(Leaf::Text(text)) => texts.push(text.to_string()),
                Cell::Json(Leaf::Int(n)) => texts.push(n.to_string()),
                Cell::Json(Leaf::Float(x)) => texts.push(x.to_string()),
                _ => return Err(wrong("nothing")),
            }
        }
        let text = texts.join(" ");
        let claimed = match &time.form {
            RowTimeForm::Text => Time::parse_in(&text, &self.zone).map_err(|_| wrong(&text))?,
            RowTimeForm::Format(format) => Time::parse_format(&text, format, &self.zone).map_err(|_| wrong(&text))?,
            RowTimeForm::Number(unit) => {
                let number =
                    number_text(&text, self.source.decimal, self.source.thousands).ok_or_else(|| wrong(&text))?;
                let leaf = match (number.parse::<i64>(), number.parse::<f64>()) {
                    (Ok(n), _) => Leaf::Int(n),
                    (_, Ok(x)) if x.is_finite() => Leaf::Float(x),
                    _ => return Err(wrong(&text)),
                };
                value::time_of(&leaf, TimeForm::Number(*unit), &self.zone).map_err(|wrong| (wrong, shown()))?
            }
        };
        value::moment(Some(claimed), received, self.ahead, false).map_err(|wrong| (wrong, shown()))
    }

    fn bound(
        &mut self,
        asset: &str,
        signal: &str,
        at: usize,
        numbers: &mut Numbers<'_>,
    ) -> Result<Result<Bound, Problem>, StoreError> {
        let key = (asset.to_owned(), signal.to_owned(), at);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        if self.known.len() >= PAIRS_MAX {
            self.known.clear();
        }
        let found = self.bind(asset, signal, at, numbers)?;
        self.known.insert(key, found.clone());
        Ok(found)
    }

    fn bind(
        &self,
        called: &str,
        name: &str,
        at: usize,
        numbers: &mut Numbers<'_>,
    ) -> Result<Result<Bound, Problem>, StoreError> {
        let contract = self.intake.contract();
        let problem = |code, what: &str, cause: String, remedy: &str| {
            let detail = format!("{what} {}", quote(if what == "asset" { called } else { name }));
            Ok(Err(Problem { code, place: self.source.pattern.0.clone(), cause, detail, remedy: remedy.into() }))
        };
        let found = self.assets.get(called).and_then(|name| contract.assets.get_key_value(name));
        let Some((asset, is)) = found else {
            let remedy = "declare the asset, or give an asset this address in the source";
            return problem("unknown-asset", "asset", "no asset has this name in the source".into(), remedy);
        };
        let class = contract.classes.get(&is.class);
        let Some((signal, of)) = class.and_then(|class| class.signals.get_key_value(name)) else {
            let cause = format!("the class `{}` has no such signal", is.class);
            return problem("unknown-signal", "signal", cause, "add the signal to the class, or correct the source");
        };
        let unit = self.source.rows.signals.get(at).and_then(|mapping| mapping.unit.as_ref());
        // Texts and truth values that a capture names are taken as they are.
        let unit = unit.filter(|_| matches!(of.kind, Kind::F64 | Kind::I64));
        let unit = match unit.map(|unit| conversion(unit, &of.unit)).transpose() {
            Ok(unit) => unit.flatten(),
            Err(error) => {
                let remedy = "correct the unit of the column in the source, or that of the signal in its class";
                return problem("wrong-unit", "signal", error.to_string(), remedy);
            }
        };
        let no = numbers(asset, signal)?;
        Ok(Ok(Bound { site: is.site.clone(), no, kind: of.kind, range: of.range, unit }))
    }

    fn value(&self, cell: &Cell, bound: &Bound) -> Result<Value, Wrong> {
        let unit = bound.unit.as_ref();
        match cell {
            Cell::Absent => Err(Wrong::new("empty", "the column is empty", "nothing", REMEDY)),
            Cell::Json(leaf) => value::value_in(leaf.clone(), bound.kind, unit),
            Cell::Text(text) if !matches!(bound.kind, Kind::I64 | Kind::F64) => {
                value::value_of_payload(text.as_bytes(), bound.kind)
            }
            Cell::Text(text) => {
                let number = number_text(text, self.source.decimal, self.source.thousands).ok_or_else(|| {
                    let remedy = "look at `decimal` and `thousands` of the source, and at what the file holds";
                    Wrong::new("wrong-kind", "the value is not a number", format!("{:?}", quote(text)), remedy)
                })?;
                value::value_of_payload_in(number.as_bytes(), bound.kind, unit)
            }
        }
    }

    fn aside(&mut self, site: Option<usize>, wrong: Wrong, column: &str, row: &Row, at: Place<'_>, received: Time) {
        let place = match column {
            "" => self.source.pattern.0.clone(),
            column => format!("{} {}", self.source.pattern.0, quote(column)),
        };
        let column = if column.is_empty() { String::new() } else { format!("column {}, ", quote(column)) };
        let detail = format!("{column}found {}", wrong.found);
        let problem = Problem { code: wrong.code, place, cause: wrong.cause, detail, remedy: wrong.remedy };
        self.aside_as(site, problem, row, at, received);
    }

    fn aside_as(&mut self, site: Option<usize>, problem: Problem, row: &Row, at: Place<'_>, received: Time) {
        if at.number < at.aside {
            return self.intake.known_problem(site);
        }
        let file = quote(at.file);
        let detail = format!("{file}, row {}, line {}: {}", at.number + 1, row.line, problem.detail);
        let problem = Problem { detail, ..problem };
        let bytes = if at.head.is_empty() { row.raw.clone() } else { format!("{}\n{}", at.head, row.raw) };
        self.intake.problem(site, &problem, &format!("{}:{}", at.file, row.line), bytes.as_bytes(), received);
    }
}

const REMEDY: &str = "look at the row in the file, and at `rows` of the source";

/// A number as it is written in the file, as one with a point and nothing between thousands.
fn number_text(text: &str, decimal: char, thousands: Option<char>) -> Option<String> {
    let mut number = String::with_capacity(text.len());
    let mut fraction = false;
    for c in text.trim().chars() {
        let is_gap = Some(c) == thousands || (thousands == Some(' ') && matches!(c, '\u{A0}' | '\u{202F}'));
        if c == decimal && !fraction {
            fraction = true;
            number.push('.');
        } else if is_gap && !fraction {
        } else if matches!(c, '.' | ',') || (c.is_whitespace()) {
            return None;
        } else {
            number.push(c);
        }
    }
    Some(number)
}

/// A quality: a status code or a word.
fn quality_of(cell: Option<&Cell>) -> Result<Quality, Wrong> {
    match cell {
        None | Some(Cell::Absent) => Ok(Quality::GOOD),
        Some(Cell::Json(Leaf::Text(text))) => quality_word(text),
        Some(Cell::Json(leaf)) => value::quality_of(leaf),
        Some(Cell::Text(text)) => quality_word(text),
    }
}

fn quality_word(text: &str) -> Result<Quality, Wrong> {
    match text.trim().to_ascii_lowercase().as_str() {
        "good" => Ok(Quality::GOOD),
        "uncertain" => Ok(Quality::UNCERTAIN),
        "bad" => Ok(Quality::BAD),
        number => number.parse::<u32>().map(Quality).map_err(|_| {
            let remedy = "write good, uncertain, bad, or a number from 0 to 4294967295";
            Wrong::new("wrong-quality", "the quality is no OPC UA StatusCode", quote(text), remedy)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        assert_eq!(number_text(" 1.234.567,5 ", ',', Some('.')).unwrap(), "1234567.5");
        assert_eq!(number_text("1\u{A0}234,5", ',', Some(' ')).unwrap(), "1234.5");
        assert_eq!(number_text("-1.5e3", '.', None).unwrap(), "-1.5e3");
        for (text, decimal, thousands) in
            [("1,5", '.', None), ("1.5", ',', None), ("1,5,0", ',', None), ("1 5", '.', None)]
        {
            assert!(number_text(text, decimal, thousands).is_none(), "{text}");
        }
    }

    #[test]
    fn qualities_are_words_or_codes() {
        let of = |text: &str| quality_of(Some(&Cell::Text(text.into())));
        assert_eq!(of("BAD").unwrap(), Quality::BAD);
        assert_eq!(of("1073741824").unwrap(), Quality::UNCERTAIN);
        assert!(of("so-so").is_err());
        assert_eq!(quality_of(None).unwrap(), Quality::GOOD);
    }
}
