//! Entries for fuzzing: projects, small texts that people and machines write, schemas, and the settings of a broker.

use crate::{cron::Cron, csv, from_files, hours, http, mosquitto, summary, units};
use andon_model::{
    EventId, Name, Schemas, Time,
    span::{Span, parse_size},
    time::Zone,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The beginning of the times that are written with four digits of a year, and their end.
const YEARS: [&str; 2] = ["1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"];

/// Reads bytes as the files of a project: a line `== path` begins a file. Never panics.
pub fn project(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut files = BTreeMap::new();
    let mut path = "andon.yaml";
    let mut body = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix("== ") {
            files.insert(path.to_owned(), std::mem::take(&mut body));
            path = next.trim();
        } else {
            body.push_str(line);
        }
    }
    files.insert(path.to_owned(), body);
    match from_files(files) {
        Ok(loaded) => drop(summary(&loaded.contract).to_string()),
        Err(problems) => {
            for problem in problems.iter().take(20) {
                drop(problem.render(false));
                drop(problem.render(true));
            }
        }
    }
}

/// Reads a line as everything that is one word or a few; a second line is what some are read with: a format, another
/// unit, a zone, an input. What is read means the same when it is written and read again.
pub fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, other) = text.split_once('\n').unwrap_or((text, ""));
    times(text, other);
    if let Ok(span) = Span::parse(text) {
        assert_eq!(Span::parse(&span.to_string()), Ok(span), "{text}");
    }
    let _ = parse_size(text);
    if let Ok(id) = EventId::parse(text) {
        assert_eq!(EventId::parse(&id.to_string()), Ok(id));
    }
    if let Ok(name) = Name::new(text) {
        assert_eq!(name.as_str(), text);
    }
    calendars(text, other);
    let _ = units::valid(text);
    if let Ok(Some(conversion)) = units::conversion(text, other) {
        for value in [0.0, -0.0, 1.0, f64::MAX, f64::MIN_POSITIVE] {
            let _ = (conversion.apply_f64(value), conversion.back_f64(value), conversion.apply_whole(value));
        }
        let _ = (conversion.apply_i64(i64::MIN), conversion.apply_i64(i64::MAX));
    }
    addresses(text, other);
    for (qos, session) in [(0, None), (1, None), (2, Some(Span::from_secs(3_600)))] {
        drop(mosquitto::look([text, other], mosquitto::Needs { qos, session }));
    }
    let cells = csv::Rows::new(text).take(1_000);
    for cell in cells.flatten().flatten() {
        assert!(text.get(cell.at).is_some(), "a cell stands in its file");
    }
}

fn times(text: &str, other: &str) {
    let zone = Zone::named("America/Sao_Paulo").unwrap_or_else(Zone::utc);
    let read = [Time::parse(text), Time::parse_in(text, &zone), Time::parse_format(text, other, &zone)];
    for time in read.into_iter().flatten() {
        assert_eq!(Time::parse(&time.to_string()), Ok(time), "{text}");
    }
    if andon_model::time::is_format(other) {
        // Its author was told that it can be read, so that it is read or refused.
        let _ = Time::parse_format(text, other, &zone);
    }
}

fn calendars(text: &str, other: &str) {
    let zone = Zone::named(other).unwrap_or_else(|| Zone::named("Europe/Berlin").unwrap_or_else(Zone::utc));
    let starts = YEARS.iter().filter_map(|year| Time::parse(year).ok());
    if let Ok(cron) = Cron::parse(text) {
        for start in starts.clone() {
            if let Some(next) = cron.next(start, &zone) {
                assert!(next > start, "{text}: {next} is not after {start}");
            }
        }
    }
    if let Ok(Some(windows)) = hours::Window::parse(text) {
        let hours = hours::Hours::Windows(windows, zone);
        for start in starts {
            if let Some(end) = hours.after(start, Span::from_secs(7_200)) {
                assert!(end.since(start) >= Span::from_secs(7_200), "{text}: {end} comes before its time");
                assert!(!hours.shown(end).is_empty());
            }
        }
    }
}

fn addresses(text: &str, other: &str) {
    if let Ok(web) = http::Web::split(text) {
        let origin = web.origin();
        let again = http::Web::split(&origin).map(|again| (again.host.to_owned(), again.port, again.scheme.to_owned()));
        assert_eq!(again, Ok((web.host.to_owned(), web.port, web.scheme.to_owned())), "{text}");
    }
    let input: Json = serde_json::from_str(other).unwrap_or(Json::Null);
    if http::names(text).is_ok() {
        let _ = http::expand(text, &input);
    }
    let _ = http::with_query(text, &input);
    if let Ok(headers) = http::headers(&input) {
        for (name, value) in headers {
            assert!(!name.contains([':', '\r', '\n']) && !value.contains(['\r', '\n']), "{name:?}: {value:?}");
        }
    }
}

/// A schema of a project, a zero byte, and a value that is held against it.
pub fn schema(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (schema, value) = data.split_at(at);
    let Ok(schema) = serde_json::from_slice::<Json>(schema) else { return };
    let value: Json = serde_json::from_slice(value.get(1..).unwrap_or_default()).unwrap_or(Json::Null);
    if let Ok(schemas) = Schemas::with(vec![("Fuzz".to_owned(), "1.0".to_owned(), schema.clone())]) {
        if let Err(mismatch) = schemas.check("Fuzz", &value) {
            assert!(!mismatch.problems.is_empty(), "{schema}: {value} is refused without a reason");
        }
        let _ = schemas.interval("Fuzz", &value);
    }
}
