//! The pure core of an SHDR source: lines go in, samples and what is set aside come out.

use super::{
    codec::{Data, Heard, Said, Stamp, data_set, parse},
    config::{Binding, Table},
};
use crate::{
    duplicates::Duplicates,
    intake::Intake,
    mapping::{Numbers, Read},
    problem::{Problem, quote},
    source::Quarantine,
    value::{self, Wrong},
};
use andon_contract::contract::{Contract, ItemForm, Others, ShdrSource, Source, SourceKind};
use andon_model::{Name, Quality, Sample, Time, Value, sample::Part, span::Span, time::Zone, value::Kind};
use andon_store::StoreError;
use serde_json::{Map, Value as Json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What an adapter says when it knows no value.
const UNAVAILABLE: &str = "UNAVAILABLE";
/// OPC UA `Bad_NoCommunication`: the adapter knows no value, mostly because the machine is off.
const NO_COMMUNICATION: Quality = Quality(0x8031_0000);
/// OPC UA `Bad_NoData`: the adapter sends the item without a value.
const NO_DATA: Quality = Quality(0x809B_0000);
/// Values of a time series.
const SERIES_MAX: usize = 100_000;
/// Native codes of conditions that are active at once for an item; more are not told apart.
const ACTIVE_MAX: usize = 1_000;
/// Items whose active conditions are remembered.
const CONDITIONS_MAX: usize = 10_000;
/// Fields of a condition behind its item.
const CONDITION_FIELDS: usize = 5;

/// The core of one SHDR source.
pub struct ShdrCore {
    pub(super) intake: Intake,
    table: Table,
    others: Others,
    zone: Zone,
    ahead: Span,
    /// The device that the adapter has named for what follows.
    device: Option<String>,
    /// The first relative time of the connection, and when it came.
    base: Option<(f64, Time)>,
    /// By item: the active native codes with their levels.
    active: HashMap<String, BTreeMap<String, i64>>,
    /// Lines since the core was made.
    pub(super) lines: u64,
}

/// The SHDR source of a name.
pub(super) fn shdr_source<'a>(contract: &'a Contract, name: &Name) -> Option<(&'a Source, &'a ShdrSource)> {
    let source = contract.sources.get(name)?;
    match &source.kind {
        SourceKind::Shdr(shdr) => Some((source, shdr)),
        _ => None,
    }
}

impl ShdrCore {
    /// The core of a source of this name; `None` where the contract has no SHDR source of the name, or no site.
    pub fn new(contract: &Arc<Contract>, name: &Name, window: Duplicates) -> Option<Self> {
        let (source, shdr) = shdr_source(contract, name)?;
        Some(Self {
            intake: Intake::new(Arc::clone(contract), name, window)?,
            table: Table::new(contract, name, shdr),
            others: shdr.others,
            zone: source.zone.clone(),
            ahead: source.ahead,
            device: None,
            base: None,
            active: HashMap::new(),
            lines: 0,
        })
    }

    /// A new connection: what the last one said of devices, relative times and conditions holds no more.
    pub fn begin(&mut self) {
        self.device = None;
        self.base = None;
        self.active.clear();
    }

    /// Takes what was heard. An error of the store leaves out what was not taken yet of the line.
    pub fn heard(&mut self, heard: Heard<'_>, received: Time, numbers: &mut Numbers<'_>) -> Result<(), StoreError> {
        self.lines += 1;
        let received = Time::from_millis(received.millis());
        match heard {
            Heard::Line(line) => self.line(line, received, numbers),
            Heard::TooLong(begin, size) => {
                let detail = format!("{size} bytes, of which the first {} are kept", begin.len());
                self.set_aside("too-long", "a line is longer than 1 MiB", detail, begin, received);
                Ok(())
            }
            Heard::NotText(bytes) => {
                let detail = format!("{} bytes", bytes.len());
                self.set_aside("not-utf8", "a line is no UTF-8", detail, bytes, received);
                Ok(())
            }
        }
    }

    /// What was taken since the last call, for a caller that stores it by itself.
    pub(crate) fn take(&mut self) -> (Vec<Part>, Quarantine) {
        self.intake.take()
    }

    /// Takes what was begun and cut off by the end of the connection.
    pub fn cut_off(&mut self, bytes: &[u8], received: Time) {
        let detail = format!("{} bytes without their end", bytes.len());
        self.set_aside("cut-off", "the connection ended within a line", detail, bytes, received);
    }

    /// Sets a line aside that can be read again, with the device that it is of where the adapter has named one before.
    fn line_aside(&mut self, code: &'static str, cause: &str, detail: String, line: &str, received: Time) {
        let bytes = match &self.device {
            Some(device) => format!("* device: {device}\n{line}"),
            None => line.to_owned(),
        };
        self.set_aside(code, cause, detail, bytes.as_bytes(), received);
    }

    /// Takes a line again that was set aside: what stands before it says of which device it is.
    pub(crate) fn again(&mut self, bytes: &[u8], received: Time, numbers: &mut Numbers<'_>) -> Result<(), StoreError> {
        self.begin();
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.heard(Heard::NotText(bytes), received, numbers);
        };
        let line = match text.split_once('\n') {
            Some((device, line)) if device.starts_with("* ") => {
                self.heard(Heard::Line(device), received, numbers)?;
                line
            }
            _ => text,
        };
        self.heard(Heard::Line(line), received, numbers)
    }

    fn set_aside(&mut self, code: &'static str, cause: &str, detail: String, bytes: &[u8], received: Time) {
        let remedy = "look at what the adapter sends; it speaks SHDR in lines of UTF-8";
        let problem = Problem { code, place: String::new(), cause: cause.into(), detail, remedy: remedy.into() };
        self.intake.problem(None, &problem, "", bytes, received);
    }

    fn line(&mut self, line: &str, received: Time, numbers: &mut Numbers<'_>) -> Result<(), StoreError> {
        match parse(line) {
            Ok(Said::Data(data)) => return self.data(line, &data, received, numbers),
            Ok(Said::Asset { command, rest, .. }) => self.asset(command, rest, line, received),
            Ok(Said::Command(key, value)) => self.command(key, value),
            Ok(Said::Pong(_) | Said::Ping) => {}
            Err(malformed) => {
                self.line_aside(malformed.code, malformed.cause, quote(line), line, received);
            }
        }
        Ok(())
    }

    fn command(&mut self, key: &str, value: &str) {
        if key.eq_ignore_ascii_case("device") {
            self.device = (!value.is_empty()).then(|| value.to_owned());
        }
        tracing::debug!(key, value, "the adapter says of itself");
    }

    /// Documents about tools are no values of a signal.
    fn asset(&mut self, command: &str, rest: &str, line: &str, received: Time) {
        if self.others == Others::Ignore {
            return self.intake.refused(1);
        }
        let problem = Problem {
            code: "asset-document",
            place: format!("@{}@", quote(command)),
            cause: "a document about a tool or another asset of MTConnect is no value of a signal".into(),
            detail: quote(rest),
            remedy: "nothing takes these documents; say `others: ignore` in the source to leave them out".into(),
        };
        self.intake.problem(None, &problem, "", line.as_bytes(), received);
    }

    fn data(
        &mut self,
        line: &str,
        data: &Data<'_>,
        received: Time,
        numbers: &mut Numbers<'_>,
    ) -> Result<(), StoreError> {
        let moment = self
            .claimed(data.stamp, received)
            .and_then(|claimed| value::moment(claimed, received, self.ahead, false).map(|moment| (claimed, moment)));
        let (claimed, moment) = match moment {
            Ok(both) => both,
            Err(wrong) => {
                let detail = format!("{}; found {}", quote(line), wrong.found);
                self.line_aside(wrong.code, &wrong.cause, detail, line, received);
                return Ok(());
            }
        };
        // A relative time means nothing without its connection: what is set aside has the time that it stands for.
        let absolute =
            matches!(data.stamp, Stamp::Relative(_)).then_some(claimed).flatten().map(|time| time.to_string());
        let stamp = absolute.as_deref().unwrap_or_else(|| stamp_of(line));
        let at = At { stamp, moment, claimed, received };
        let mut rest = data.fields.as_slice();
        let mut first = true;
        while let Some((key, values)) = rest.split_first() {
            // An adapter may end its line with a pipe.
            if key.is_empty() && values.iter().all(|value| value.is_empty()) {
                break;
            }
            let alone = std::mem::take(&mut first) && self.is_condition(values, numbers)?;
            let used = self.item(key, values, alone, at, numbers)?;
            rest = values.get(used..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Whether what stands behind the first item of a line is a condition: its level, and four fields more, the first
    /// of which is no item.
    fn is_condition(&mut self, values: &[Cow<'_, str>], numbers: &mut Numbers<'_>) -> Result<bool, StoreError> {
        let [state, code, others @ ..] = values else { return Ok(false) };
        if values.len() != CONDITION_FIELDS {
            return Ok(false);
        }
        if level(state).is_none() {
            let empty = code.is_empty() && others.iter().all(|field| field.is_empty());
            return Ok(is_unavailable(state) && empty);
        }
        let Self { table, intake, device, .. } = self;
        Ok(code.is_empty() || table.find(intake.contract(), code, device.as_deref(), numbers)?.is_err())
    }

    /// Takes one item; how many of the values behind it belong to it.
    fn item(
        &mut self,
        key: &str,
        values: &[Cow<'_, str>],
        is_condition: bool,
        at: At<'_>,
        numbers: &mut Numbers<'_>,
    ) -> Result<usize, StoreError> {
        let Self { table, intake, device, .. } = self;
        let found = table.find(intake.contract(), key, device.as_deref(), numbers)?.clone();
        let declared = found.as_ref().ok().and_then(|binding| binding.form);
        let form = declared.or(is_condition.then_some(ItemForm::Condition));
        let wanted = match form {
            None | Some(ItemForm::DataSet) => 1,
            Some(ItemForm::Message) => 2,
            Some(ItemForm::TimeSeries) => 3,
            Some(ItemForm::Condition) => CONDITION_FIELDS,
        };
        let own = values.get(..wanted.min(values.len())).unwrap_or(&[]);
        let binding = match found {
            Ok(binding) => binding,
            Err(problem) => {
                match self.others {
                    Others::Ignore => self.intake.refused(1),
                    Others::Quarantine => {
                        let line = at.line(self.device.as_deref(), key, own);
                        self.intake.problem(None, &problem, key, &line, at.received);
                    }
                }
                return Ok(own.len());
            }
        };
        let site = self.intake.site(&binding.site);
        let read = if own.is_empty() {
            Err(Wrong::new("no-value", "the data item stands without a value", "nothing", CHECK))
        } else {
            self.values(key, own, form, &binding, at)
        };
        match read {
            Ok(samples) => samples.into_iter().for_each(|read| self.intake.sample(site, read)),
            Err(wrong) => {
                let problem = Problem {
                    code: wrong.code,
                    place: quote(key),
                    cause: wrong.cause,
                    detail: format!("data item {}: found {}", quote(key), wrong.found),
                    remedy: wrong.remedy,
                };
                let line = at.line(self.device.as_deref(), key, own);
                self.intake.problem(Some(site), &problem, key, &line, at.received);
            }
        }
        Ok(own.len())
    }

    fn values(
        &mut self,
        key: &str,
        own: &[Cow<'_, str>],
        form: Option<ItemForm>,
        binding: &Binding,
        at: At<'_>,
    ) -> Result<Vec<Read>, Wrong> {
        let field = |nth: usize| own.get(nth).map_or("", |field| field.as_ref());
        let one = |(value, quality)| Ok(vec![at.sample(binding, value, quality)]);
        match form {
            None => one(plain(field(0), binding.kind)?),
            Some(ItemForm::Condition) => one(self.condition(key, own, binding.kind)?),
            Some(ItemForm::Message) if is_unavailable(field(1)) => one(absent(Kind::Text, NO_COMMUNICATION)),
            Some(ItemForm::Message) => one((json_text([("code", field(0)), ("text", field(1))])?, Quality::GOOD)),
            Some(ItemForm::DataSet) if is_unavailable(field(0)) => one(absent(Kind::Text, NO_COMMUNICATION)),
            Some(ItemForm::DataSet) => one((set_text(field(0))?, Quality::GOOD)),
            Some(ItemForm::TimeSeries) => series(field(0), field(1), field(2), binding, at),
        }
    }

    /// A condition: all that is said of it for a text; for a number the worst level that is active.
    fn condition(&mut self, key: &str, own: &[Cow<'_, str>], kind: Kind) -> Result<(Value, Quality), Wrong> {
        let field = |nth: usize| own.get(nth).map_or("", |field| field.as_ref());
        let (state, code) = (field(0), field(1));
        let Some(level) = level(state) else {
            if is_unavailable(state) {
                self.active.remove(key);
                return Ok(absent(kind, NO_COMMUNICATION));
            }
            let expected = "the level of a condition is NORMAL, WARNING, FAULT or UNAVAILABLE";
            return Err(Wrong::new("no-level", expected, quote(state), CHECK));
        };
        if self.active.len() >= CONDITIONS_MAX && !self.active.contains_key(key) {
            self.active.clear();
        }
        let active = self.active.entry(key.to_owned()).or_default();
        if level == 0 && code.is_empty() {
            active.clear();
        } else if level == 0 {
            active.remove(code);
        } else if active.len() < ACTIVE_MAX || active.contains_key(code) {
            active.insert(code.to_owned(), level);
        }
        let worst = active.values().copied().max().unwrap_or(0);
        let word = state.to_ascii_uppercase();
        let said = [("level", word.as_str()), ("code", code), ("severity", field(2)), ("qualifier", field(3))];
        match kind {
            Kind::Text => Ok((json_text(said.into_iter().chain([("text", field(4))]))?, Quality::GOOD)),
            Kind::I64 => Ok((Value::I64(worst), Quality::GOOD)),
            #[expect(clippy::cast_precision_loss, reason = "0, 1 or 2")]
            Kind::F64 => Ok((Value::F64(worst as f64), Quality::GOOD)),
            Kind::Bool | Kind::Bytes => {
                let cause = "a condition does not fit the kind of its signal";
                Err(Wrong::new("wrong-kind", cause, quote(state), "give the signal the kind `text` or `i64`"))
            }
        }
    }

    fn claimed(&mut self, stamp: Stamp<'_>, received: Time) -> Result<Option<Time>, Wrong> {
        match stamp {
            Stamp::None => Ok(None),
            Stamp::Text(text) => Time::parse_in(text, &self.zone).map(Some).map_err(|e| {
                let remedy = "look at what the adapter writes before the first pipe of a line: a date and time, \
                              milliseconds, or nothing";
                Wrong::new("no-time", "the time of a line cannot be read", quote(&e.found), remedy)
            }),
            Stamp::Relative(millis) => {
                let (first, began) = *self.base.get_or_insert((millis, received));
                Ok(Some(began.plus(span_of_millis(millis - first))))
            }
        }
    }
}

const CHECK: &str = "look at what the adapter sends for this item, and at `forms` of the source";

#[expect(clippy::cast_possible_truncation, reason = "what is out of range stays at its ends and is refused as a time")]
fn span_of_millis(millis: f64) -> Span {
    Span::from_nanos((millis * 1e6) as i64)
}

/// What stands before the first pipe of a line.
fn stamp_of(line: &str) -> &str {
    line.split_once('|').map_or("", |(stamp, _)| stamp)
}

/// When a line's values are, and how its beginning was written.
#[derive(Clone, Copy)]
struct At<'a> {
    stamp: &'a str,
    moment: value::Moment,
    claimed: Option<Time>,
    received: Time,
}

impl At<'_> {
    fn sample(&self, binding: &Binding, value: Value, quality: Quality) -> Read {
        let value::Moment { time, origin, doubtful, .. } = self.moment;
        let quality = value::doubted(quality, &value, binding.range, doubtful);
        let sample = Sample { signal: binding.no, time, received: self.received, quality, value, origin };
        Read { sample, claimed: self.claimed }
    }

    /// A line that says only this item, as it can be read again; `device` is what the adapter has named for it.
    fn line(&self, device: Option<&str>, key: &str, own: &[Cow<'_, str>]) -> Vec<u8> {
        let mut line = self.stamp.to_owned();
        let full = device.filter(|_| !key.contains(':')).map(|device| format!("{device}:{key}"));
        for field in std::iter::once(full.as_deref().unwrap_or(key)).chain(own.iter().map(AsRef::as_ref)) {
            line.push('|');
            if field.contains(['|', '"']) {
                let escaped = field.replace('\\', "\\\\").replace('|', "\\|").replace('"', "\\\"");
                line.extend(["\"", &escaped, "\""]);
            } else {
                line.push_str(field);
            }
        }
        line.into_bytes()
    }
}

fn is_unavailable(text: &str) -> bool {
    text.eq_ignore_ascii_case(UNAVAILABLE)
}

/// The level of a condition: 0 normal, 1 warning, 2 fault.
fn level(text: &str) -> Option<i64> {
    let levels = ["NORMAL", "WARNING", "FAULT"];
    levels.iter().zip(0..).find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, level)| level)
}

/// What is stored where there is no value: it must not be used, and it is the same however often it is said.
fn absent(kind: Kind, quality: Quality) -> (Value, Quality) {
    let value = match kind {
        Kind::Bool => Value::Bool(false),
        Kind::I64 => Value::I64(0),
        Kind::F64 => Value::F64(0.0),
        Kind::Text if quality == NO_COMMUNICATION => Value::Text(UNAVAILABLE.into()),
        Kind::Text => Value::Text("".into()),
        Kind::Bytes => Value::Bytes([].into()),
    };
    (value, quality)
}

fn plain(text: &str, kind: Kind) -> Result<(Value, Quality), Wrong> {
    if is_unavailable(text) {
        return Ok(absent(kind, NO_COMMUNICATION));
    }
    let value = match kind {
        Kind::Text | Kind::Bytes => value::value_of_payload(text.as_bytes(), kind)?,
        _ if text.is_empty() => return Ok(absent(kind, NO_DATA)),
        Kind::Bool if ["on", "yes", "active"].iter().any(|word| text.eq_ignore_ascii_case(word)) => Value::Bool(true),
        Kind::Bool if ["off", "no", "inactive"].iter().any(|word| text.eq_ignore_ascii_case(word)) => {
            Value::Bool(false)
        }
        _ => match value::value_of_payload(text.as_bytes(), kind) {
            Ok(value) => value,
            // A counter that was reset says why: `0:MANUAL`.
            Err(wrong) => match text.split_once(':') {
                Some((number, why)) if why.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => {
                    value::value_of_payload(number.as_bytes(), kind).map_err(|_| wrong)?
                }
                _ => return Err(wrong),
            },
        },
    };
    Ok((value, Quality::GOOD))
}

/// A JSON object of texts, without those that are empty.
fn json_text<'a>(said: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Value, Wrong> {
    let said = said.into_iter().filter(|(_, text)| !text.is_empty());
    let object: Map<String, Json> = said.map(|(key, text)| (key.to_owned(), text.into())).collect();
    value::value_of_payload(Json::Object(object).to_string().as_bytes(), Kind::Text)
}

fn set_text(text: &str) -> Result<Value, Wrong> {
    let Some((reset, entries)) = data_set(text) else {
        let cause = "the value is no data set";
        return Err(Wrong::new("no-data-set", cause, quote(text), "send `key=value key=value`"));
    };
    let mut object = Map::new();
    if let Some(reset) = reset {
        object.insert(":reset".into(), reset.into());
    }
    for (key, value) in entries {
        object.insert(key.to_owned(), value.map_or(Json::Null, |value| value.as_ref().into()));
    }
    value::value_of_payload(Json::Object(object).to_string().as_bytes(), Kind::Text)
}

/// The values of a time series: the line's time is that of the last one, the others lie a period each before it.
fn series(count: &str, rate: &str, values: &str, binding: &Binding, at: At<'_>) -> Result<Vec<Read>, Wrong> {
    if is_unavailable(values) || is_unavailable(count) {
        let (value, quality) = absent(binding.kind, NO_COMMUNICATION);
        return Ok(vec![at.sample(binding, value, quality)]);
    }
    let wrong = |cause: &str, found: &str| Wrong::new("no-series", cause, quote(found), CHECK);
    let texts: Vec<&str> = values.split_ascii_whitespace().take(SERIES_MAX + 1).collect();
    if texts.len() > SERIES_MAX {
        return Err(wrong("a time series has more than 100,000 values", count));
    }
    if count.parse().ok() != Some(texts.len()) {
        return Err(wrong("a time series has another number of values than it says", count));
    }
    let rate = rate.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    let period = rate.ok_or_else(|| wrong("a time series needs its rate, in values a second", values))?.recip();
    let mut samples = Vec::with_capacity(texts.len());
    for (behind, text) in (0..texts.len()).rev().zip(texts) {
        #[expect(clippy::cast_precision_loss, reason = "at most 100,000")]
        let back = span_of_millis(period * 1e3 * behind as f64);
        let value = value::value_of_payload(text.as_bytes(), binding.kind)?;
        let mut read = at.sample(binding, value, Quality::GOOD);
        read.sample.time = read.sample.time.minus(back);
        read.claimed = read.claimed.map(|time| time.minus(back));
        samples.push(read);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests;
