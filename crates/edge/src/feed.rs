//! Recorded data on its way to a broker, as a plant would publish it: rows of CSV or JSON lines, a topic, a
//! speed, and no more ahead of the instance than it can be asked to bear.

use crate::{
    given::{self, Chance, Clock, Env, draw},
    mqtt::{BrokerAddress, Settings},
    payload::{self, Leaf},
    problem::quote,
    publish::Publisher,
    value,
};
use andon_contract::contract::{Broker, Contract, Level, Piece, Source, SourceKind, Template, TimeForm, TopicMapping};
use andon_model::{Name, Time, time::Zone};
use serde_json::{Map, Value as Json};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
    time::Duration,
};

/// The longest line of a file.
pub const LINE_MAX: usize = 1 << 20;
/// Messages ahead of what the instance says it has received, at most.
pub const AHEAD_MAX: u64 = 500;
/// An instance that is there and receives nothing more for this long has what it gets.
const STANDSTILL: Duration = Duration::from_secs(3);
/// Between two questions to the instance.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Publishes without acknowledgement at most.
const WINDOW: u16 = 100;
/// Between two reports.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is wrong with a file, or with the way it is to be fed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}; {remedy}")]
pub struct FeedError {
    /// `file:line`, or what is meant.
    pub place: String,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl FeedError {
    fn new(place: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.into(), cause: cause.into(), remedy: remedy.into() }
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, then rows; the header gives the keys.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of_name(name: &str) -> Result<Self, FeedError> {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => Err(FeedError::new(name, "the ending does not tell the format", "name it .csv, .jsonl or .ndjson")),
        }
    }
}

/// A row with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its line, from 1.
    pub line: u64,
    /// Its fields.
    pub fields: Map<String, Json>,
}

/// The rows of a file; `name` is shown where something is wrong.
pub fn rows<'a>(
    name: &str,
    format: Format,
    file: impl Read + 'a,
) -> Box<dyn Iterator<Item = Result<Row, FeedError>> + 'a> {
    let file = BufReader::with_capacity(1 << 16, LineLimit { inner: file, line: 0 });
    match format {
        Format::Csv => Box::new(CsvRows::new(name, file)),
        Format::JsonLines => Box::new(JsonRows { name: name.to_owned(), file, line: 0, failed: false }),
    }
}

/// Refuses lines that do not end, before they fill the memory.
struct LineLimit<R> {
    inner: R,
    line: usize,
}

impl<R: Read> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let read = buffer.get(..n).unwrap_or(&[]);
        for (nth, piece) in read.split(|b| *b == b'\n').enumerate() {
            self.line = if nth == 0 { self.line + piece.len() } else { piece.len() };
            if self.line > LINE_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 1 MiB"));
            }
        }
        Ok(n)
    }
}

struct JsonRows<R> {
    name: String,
    file: R,
    line: u64,
    failed: bool,
}

impl<R: BufRead> Iterator for JsonRows<R> {
    type Item = Result<Row, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = Vec::new();
        while !self.failed {
            text.clear();
            self.line += 1;
            let place = format!("{}:{}", self.name, self.line);
            match self.file.read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) if text.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let row = match payload::parse(text.trim_ascii()) {
                        Ok(Json::Object(fields)) => Ok(Row { line: self.line, fields }),
                        Ok(_) => Err(FeedError::new(place, "the line is no JSON object", "write one object a line")),
                        Err(not) => Err(FeedError::new(
                            place,
                            format!("{}: {}", not.cause, not.detail),
                            "write one JSON object a line",
                        )),
                    };
                    self.failed = row.is_err();
                    return Some(row);
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(FeedError::new(place, error.to_string(), "check the file")));
                }
            }
        }
        None
    }
}

struct CsvRows<R> {
    name: String,
    reader: csv::Reader<R>,
    header: Option<Vec<String>>,
    failed: bool,
}

impl<R: Read> CsvRows<R> {
    fn new(name: &str, file: R) -> Self {
        let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        Self { name: name.to_owned(), reader, header: None, failed: false }
    }

    fn record(&mut self) -> Result<Option<(u64, csv::StringRecord)>, FeedError> {
        let mut record = csv::StringRecord::new();
        let found = self.reader.read_record(&mut record).map_err(|error| {
            let line = error.position().map_or_else(|| self.reader.position().line(), csv::Position::line);
            FeedError::new(
                format!("{}:{line}", self.name),
                csv_cause(&error),
                "check the file: UTF-8, as many fields in each row as in the header",
            )
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        Ok(found.then_some((line, record)))
    }

    fn read_header(&mut self) -> Result<Option<Vec<String>>, FeedError> {
        let Some((line, record)) = self.record()? else { return Ok(None) };
        let mut keys: Vec<String> = record.iter().map(|key| key.trim().to_owned()).collect();
        if let Some(first) = keys.first_mut()
            && let Some(rest) = first.strip_prefix('\u{FEFF}')
        {
            *first = rest.to_owned();
        }
        for (at, key) in keys.iter().enumerate() {
            let place = format!("{}:{line}", self.name);
            if key.is_empty() {
                return Err(FeedError::new(
                    place,
                    format!("field {} of the header is empty", at + 1),
                    "name every column",
                ));
            }
            if keys.iter().take(at).any(|earlier| earlier == key) {
                return Err(FeedError::new(
                    place,
                    format!("the header names `{}` twice", quote(key)),
                    "name every column once",
                ));
            }
        }
        Ok(Some(keys))
    }

    fn read(&mut self) -> Result<Option<Row>, FeedError> {
        if self.header.is_none() {
            self.header = self.read_header()?;
        }
        let Some((line, record)) = self.record()? else { return Ok(None) };
        let header = self.header.as_deref().unwrap_or(&[]);
        let filled = header.iter().zip(record.iter()).filter(|(_, text)| !text.is_empty());
        let fields = filled.map(|(key, text)| (key.clone(), field(text))).collect();
        Ok(Some(Row { line, fields }))
    }
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<Row, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.read().transpose();
        self.failed = !matches!(row, Some(Ok(_)));
        row
    }
}

fn csv_cause(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is no UTF-8".into(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A number where JSON would write it so, else a text.
fn field(text: &str) -> Json {
    let plain = text.trim();
    let numeric = plain.bytes().next().is_some_and(|b| b == b'-' || b.is_ascii_digit());
    match serde_json::from_str::<serde_json::Number>(plain) {
        Ok(number) if numeric => Json::Number(number),
        _ => Json::String(text.to_owned()),
    }
}

/// Where rows go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The source of the project that reads it; its client tells how many it has received.
    pub source: Name,
    /// Its broker.
    pub broker: Broker,
    /// The topic over names that `fixed` gives, or a field of the row.
    topic: Template,
    fixed: BTreeMap<String, String>,
    time: Option<(Vec<String>, TimeForm, Zone)>,
}

/// What the caller says of the destination; what is not said must be clear from the project.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The source.
    pub source: Option<Name>,
    /// The topic, with `{name}` for the asset or a field of the row.
    pub topic: Option<String>,
    /// The asset, by its name in the project.
    pub asset: Option<String>,
}

/// Finds where rows go; an error says what the caller has to name.
pub fn destination(contract: &Contract, wanted: &Wanted) -> Result<Destination, FeedError> {
    let mqtt = contract.sources.iter().filter_map(|(name, source)| match &source.kind {
        SourceKind::Mqtt(mqtt) if wanted.source.as_ref().is_none_or(|w| w == name) => Some((name, source, mqtt)),
        _ => None,
    });
    let (name, source, mqtt) = only(mqtt, "source", "MQTT source", "--source")?;
    let asset = match &wanted.asset {
        Some(asset) => contract.assets.get_key_value(asset.as_str()).map(Some).ok_or_else(|| {
            FeedError::new("asset", format!("the project has no asset `{}`", quote(asset)), "name one that it has")
        })?,
        // One asset alone needs no word; of several, a field of each row may name its asset.
        None if contract.assets.len() == 1 => contract.assets.iter().next(),
        None => None,
    };
    let called = asset.map(|(asset, is)| is.addresses.get(name).cloned().unwrap_or_else(|| asset.to_string()));
    let mut fixed: BTreeMap<String, String> = called.iter().map(|c| ("asset".to_owned(), c.clone())).collect();
    let (mapping, topic) = if let Some(text) = &wanted.topic {
        (mqtt.topics.first(), template(text)?)
    } else {
        let mapping = only(mqtt.topics.iter(), "topic", "topic of the source", "--topic")?;
        if let (Some(called), [Piece::Place(capture)]) = (&called, mapping.asset.pieces.as_slice()) {
            fixed.insert(capture.clone(), called.clone());
        }
        (Some(mapping), topic_of(mapping))
    };
    let time = mapping.and_then(|m| time_of(m, source));
    Ok(Destination { source: name.clone(), broker: mqtt.broker.clone(), topic, fixed, time })
}

fn only<T>(mut all: impl Iterator<Item = T>, place: &str, what: &str, option: &str) -> Result<T, FeedError> {
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(FeedError::new(place, format!("the project has no such {what}"), "look into `sources/`")),
        (Some(_), Some(_)) => {
            Err(FeedError::new(place, format!("the project has several: which {what}?"), format!("say {option}")))
        }
    }
}

/// Reads a topic with `{name}` places.
fn template(text: &str) -> Result<Template, FeedError> {
    let wrong = || {
        FeedError::new(
            "topic",
            format!("{:?} has a brace without its other half", quote(text)),
            "write places as {name}",
        )
    };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or_else(wrong)?;
        pieces.extend([Piece::Text(before.into()), Piece::Place(place.into())]);
        rest = after;
    }
    if rest.contains('}') {
        return Err(wrong());
    }
    pieces.push(Piece::Text(rest.into()));
    Ok(Template { pieces })
}

fn topic_of(mapping: &TopicMapping) -> Template {
    let mut pieces = Vec::new();
    for (nth, level) in mapping.levels.iter().enumerate() {
        if nth > 0 {
            pieces.push(Piece::Text("/".into()));
        }
        pieces.push(match level {
            Level::Text(text) => Piece::Text(text.clone()),
            Level::Capture(name) => Piece::Place(name.clone()),
        });
    }
    Template { pieces }
}

fn time_of(mapping: &TopicMapping, source: &Source) -> Option<(Vec<String>, TimeForm, Zone)> {
    let time = mapping.signals.iter().find_map(|signal| signal.time.as_ref())?;
    Some((time.at.tokens.clone(), time.form, source.zone.clone()))
}

impl Destination {
    /// The topic of a row; an error names the place that neither the project nor the row fills.
    pub fn topic(&self, row: &Row) -> Result<String, FeedError> {
        let numbers: BTreeMap<&str, String> = row
            .fields
            .iter()
            .filter(|(_, value)| value.is_number())
            .map(|(key, value)| (key.as_str(), value.to_string()))
            .collect();
        let known = |place: &str| {
            let fixed = self.fixed.get(place).map(String::as_str);
            fixed.or_else(|| row.fields.get(place)?.as_str()).or_else(|| numbers.get(place).map(String::as_str))
        };
        self.topic.fill(&known).map_err(|place| {
            let cause = format!("nothing says what `{{{place}}}` of the topic is");
            FeedError::new(format!("line {}", row.line), cause, "say --asset or --topic, or add a column of this name")
        })
    }

    /// The time of a row, where the source says where it stands.
    pub fn time(&self, row: &Row) -> Option<Time> {
        let (tokens, form, zone) = self.time.as_ref()?;
        let (first, rest) = tokens.split_first()?;
        let json = rest.iter().try_fold(row.fields.get(first)?, |json, token| json.get(token))?;
        let leaf: Leaf<'_> = payload::leaf_of(json);
        value::time_of(&leaf, *form, zone).ok()
    }
}

/// How fast rows are fed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as they are received.
    Max,
    /// As they were recorded.
    Real,
    /// So many times as fast.
    Times(f64),
}

/// How far a feed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Rows that were published.
    pub published: u64,
    /// Publishes that the broker has acknowledged.
    pub acknowledged: u64,
    /// What the instance has received of them.
    pub received: u64,
    /// The time of the last row.
    pub time: Option<Time>,
    /// The instance does not answer.
    pub instance_away: bool,
}

/// What a feed asks its caller while it runs.
pub struct Caller<'a> {
    /// How many samples the instance has received from the source so far; `None`: it does not answer.
    pub received: &'a mut dyn FnMut() -> Option<u64>,
    /// Is told how far the feed has come.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
}

/// A publisher for a destination, with a client id of its own that is drawn by chance.
pub fn publisher(
    to: &Destination,
    env: &Env,
    clock: Arc<dyn Clock>,
    mut chance: Chance,
) -> Result<Publisher, FeedError> {
    let wrong =
        |cause: String| FeedError::new("broker", cause, "correct `broker` of the source, or the variable it names");
    let address = BrokerAddress::parse(&to.broker.address.resolve(&|name| env(name))).map_err(wrong)?;
    let settings = Settings {
        client_id: format!("andon-feed-{:016x}", draw(&mut chance)),
        version: to.broker.version,
        clean_start: true,
        session_expiry: 0,
        keep_alive: given::keep_alive(&to.broker),
        credentials: given::credentials(&to.broker, env).map_err(ended)?,
        window: WINDOW,
    };
    Publisher::new(address, settings, clock, chance)
        .map_err(|e| FeedError::new("broker", e.to_string(), "close other programs"))
}

/// Publishes rows; returns when the instance has received all of them, or the caller stops it.
pub fn feed(
    rows: impl Iterator<Item = Result<Row, FeedError>>,
    to: &Destination,
    speed: Speed,
    publisher: &mut Publisher,
    clock: &dyn Clock,
    caller: Caller<'_>,
) -> Result<Progress, FeedError> {
    let mut feeding = Feeding {
        to,
        speed,
        publisher,
        clock,
        caller,
        progress: Progress::default(),
        last: None,
        moved: clock.monotonic(),
        asked: None,
        told: None,
        first: None,
    };
    feeding.ask();
    for row in rows {
        let row = row?;
        feeding.pace(&row)?;
        feeding.publish(&row)?;
        if (feeding.caller.stop)() {
            break;
        }
    }
    feeding.finish()?;
    Ok(feeding.progress)
}

struct Feeding<'a, 'b> {
    to: &'a Destination,
    speed: Speed,
    publisher: &'a mut Publisher,
    clock: &'a dyn Clock,
    caller: Caller<'b>,
    progress: Progress,
    /// The instance's last answer.
    last: Option<u64>,
    /// When it last received something, or was away.
    moved: Duration,
    asked: Option<Duration>,
    told: Option<Duration>,
    /// The time of the first row, and when it was fed.
    first: Option<(Time, Duration)>,
}

impl Feeding<'_, '_> {
    /// Asks the instance how far it is. One that was started anew counts from zero.
    fn ask(&mut self) {
        let now = self.clock.monotonic();
        self.asked = Some(now);
        let answer = (self.caller.received)();
        self.progress.instance_away = answer.is_none();
        let Some(count) = answer else {
            self.moved = now;
            return;
        };
        let new = match self.last {
            None => 0,
            Some(last) if count >= last => count - last,
            Some(_) => count,
        };
        self.last = Some(count);
        self.progress.received += new;
        if new > 0 {
            self.moved = now;
        } else if now.saturating_sub(self.moved) > STANDSTILL
            && self.publisher.acknowledged() >= self.progress.published
        {
            // What it received before it was started anew it does not count.
            self.progress.received = self.progress.published;
        }
    }

    fn ahead(&self) -> u64 {
        self.progress.published.saturating_sub(self.progress.received)
    }

    /// Lets time pass, asks and tells.
    fn wait(&mut self, time: Duration) -> Result<(), FeedError> {
        let stop = self.caller.stop;
        self.publisher.wait(time, &mut |_| stop()).map_err(ended)?;
        let now = self.clock.monotonic();
        if self.asked.is_none_or(|at| now >= at + ASK_EVERY) {
            self.ask();
        }
        self.tell(now, false);
        Ok(())
    }

    fn tell(&mut self, now: Duration, at_once: bool) {
        if at_once || self.told.is_none_or(|at| now >= at + TELL_EVERY) {
            self.told = Some(now);
            self.progress.acknowledged = self.publisher.acknowledged();
            (self.caller.progress)(self.progress);
        }
    }

    /// Waits until a row is due and the instance is not too far behind.
    fn pace(&mut self, row: &Row) -> Result<(), FeedError> {
        let time = self.to.time(row);
        self.progress.time = time.or(self.progress.time);
        while self.ahead() >= AHEAD_MAX && !(self.caller.stop)() {
            self.wait(ASK_EVERY / 5)?;
        }
        let factor = match self.speed {
            Speed::Max => return Ok(()),
            Speed::Real => 1.0,
            Speed::Times(factor) => factor.max(f64::MIN_POSITIVE),
        };
        let Some(time) = time else { return Ok(()) };
        let (first, began) = *self.first.get_or_insert((time, self.clock.monotonic()));
        let due = time.since(first).std().as_secs_f64() / factor;
        let due = began + Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX / 2);
        loop {
            let left = due.saturating_sub(self.clock.monotonic());
            if left.is_zero() || (self.caller.stop)() {
                return Ok(());
            }
            self.wait(left.min(TELL_EVERY))?;
        }
    }

    fn publish(&mut self, row: &Row) -> Result<(), FeedError> {
        let topic = self.to.topic(row)?;
        let payload = serde_json::to_vec(&row.fields)
            .map_err(|e| FeedError::new(format!("line {}", row.line), e.to_string(), "check the file"))?;
        let stop = self.caller.stop;
        self.publisher.publish(&topic, &payload, &mut |_| stop()).map_err(ended)?;
        self.progress.published += 1;
        for refused in self.publisher.take_refused() {
            let cause = format!("the broker refused a publish: {} (0x{:02X})", refused.why.cause, refused.code);
            return Err(FeedError::new(refused.topic, cause, refused.why.remedy));
        }
        let now = self.clock.monotonic();
        self.tell(now, false);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), FeedError> {
        let stop = self.caller.stop;
        self.publisher.flush(&mut |_| stop()).map_err(ended)?;
        self.moved = self.clock.monotonic();
        while self.ahead() > 0 && !stop() {
            self.wait(ASK_EVERY / 5)?;
        }
        let now = self.clock.monotonic();
        self.tell(now, true);
        Ok(())
    }
}

fn ended(ended: crate::mqtt::Ended) -> FeedError {
    FeedError::new("broker", ended.reason, ended.remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, text: &str) -> Vec<Result<Row, FeedError>> {
        rows("data.csv", format, text.as_bytes()).collect()
    }

    #[test]
    fn csv_becomes_objects() {
        let rows = read(
            Format::Csv,
            "\u{FEFF}timestamp,value,note\n2013-12-02 21:15:00,73.96,\n\"a\",007,\"x,y\"\n-5,1e3,t\n",
        );
        let json: Vec<String> = rows.into_iter().map(|r| serde_json::to_string(&r.unwrap().fields).unwrap()).collect();
        assert_eq!(
            json,
            [
                r#"{"timestamp":"2013-12-02 21:15:00","value":73.96}"#,
                r#"{"timestamp":"a","value":"007","note":"x,y"}"#,
                r#"{"timestamp":-5,"value":1000.0,"note":"t"}"#,
            ]
        );
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let last = |format, text: &str| read(format, text).pop().unwrap().unwrap_err().to_string();
        assert!(last(Format::Csv, "a,b\n1,2\n3\n").starts_with("data.csv:3: the row has 1 fields, the header 2"));
        assert!(last(Format::Csv, "a,a\n").contains("twice"));
        assert!(last(Format::Csv, "a,\n1,2\n").contains("field 2 of the header is empty"));
        assert!(last(Format::JsonLines, "{\"a\":1}\n\n[1]\n").starts_with("data.csv:3: the line is no JSON object"));
        assert!(last(Format::JsonLines, "{\"a\":1}\n{\"a\":\n").starts_with("data.csv:2: the payload is no JSON"));
        let long = format!("a\n{}\n", "x".repeat(LINE_MAX + 1));
        assert!(last(Format::Csv, &long).contains("1 MiB"));
        assert!(last(Format::JsonLines, &long).contains("no JSON") || last(Format::JsonLines, &long).contains("1 MiB"));
        assert!(read(Format::Csv, "").is_empty());
        assert!(Format::of_name("x.txt").is_err());
    }

    #[test]
    fn a_topic_has_places() {
        let topic = template("m/{asset}/{signal}").unwrap();
        assert_eq!(topic.pieces.len(), 5);
        assert!(template("m/{asset").is_err());
        assert!(template("m/asset}").is_err());
    }
}
