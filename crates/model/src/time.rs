//! Time: nanoseconds since 1970 UTC inside, RFC 3339 with `Z` outside.

use crate::span::Span;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A moment, in nanoseconds since 1970-01-01T00:00:00Z; ranges over the years 1677 to 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

/// A text or number that is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct NotATime {
    /// The form that was expected.
    pub expected: &'static str,
    /// What stood there.
    pub found: String,
}

/// The unit of a number that stands for a moment since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl Unit {
    /// Nanoseconds in one of this unit.
    pub fn nanos(self) -> i64 {
        match self {
            Self::S => 1_000_000_000,
            Self::Ms => 1_000_000,
            Self::Us => 1_000,
            Self::Ns => 1,
        }
    }
}

/// The zone of texts that name none.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(jiff::tz::TimeZone, String);

impl Zone {
    /// UTC, the zone of a source that declares none.
    pub fn utc() -> Self {
        Self(jiff::tz::TimeZone::UTC, "UTC".into())
    }

    /// A zone by its IANA name, such as `Europe/Berlin`; `None` where there is none of that name.
    pub fn named(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::utc());
        }
        jiff::tz::TimeZone::get(name).ok().map(|zone| Self(zone, name.to_owned()))
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.1
    }
}

/// Whether a text is a format of `strptime` that holds a date.
pub fn is_format(format: &str) -> bool {
    let Ok(some) = jiff::Timestamp::from_second(1_795_350_896) else { return false };
    let zoned = some.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let Ok(text) = jiff::fmt::strtime::format(format, &zoned) else { return false };
    jiff::fmt::strtime::parse(format, &text).is_ok_and(|parts| parts.to_date().is_ok() || parts.to_timestamp().is_ok())
}

impl Time {
    /// The earliest moment that exists here.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment that exists here.
    pub const MAX: Self = Self(i64::MAX);

    /// Reads RFC 3339 with an offset or `Z`.
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        let wrong =
            || NotATime { expected: "a time like 2026-11-22T08:05:00.25Z", found: text.chars().take(64).collect() };
        let stamp: jiff::Timestamp = text.trim().parse().map_err(|_| wrong())?;
        i64::try_from(stamp.as_nanosecond()).map(Self).map_err(|_| wrong())
    }

    /// Reads a date and time with or without offset (`T` or a space between them); one without
    /// offset is read in `zone`. A time that a clock change repeats is read as its first occurrence.
    pub fn parse_in(text: &str, zone: &Zone) -> Result<Self, NotATime> {
        if let Ok(time) = Self::parse(text) {
            return Ok(time);
        }
        let wrong = || NotATime {
            expected: "a time like 2026-11-22T08:05:00.25Z, or 2026-11-22 08:05:00 in the zone of the source",
            found: text.chars().take(64).collect(),
        };
        let civil: jiff::civil::DateTime = text.trim().parse().map_err(|_| wrong())?;
        let stamp = zone.0.to_ambiguous_zoned_datetime(civil).compatible().map_err(|_| wrong())?.timestamp();
        i64::try_from(stamp.as_nanosecond()).map(Self).map_err(|_| wrong())
    }

    /// Reads a text by a format of `strptime`, such as `%d.%m.%Y %H:%M:%S`; one without `%z` is read in `zone`, a clock
    /// change's repeated time as its first occurrence.
    pub fn parse_format(text: &str, format: &str, zone: &Zone) -> Result<Self, NotATime> {
        let wrong = || NotATime { expected: "a time as its format says", found: text.chars().take(64).collect() };
        let parts = jiff::fmt::strtime::parse(format, text.trim()).map_err(|_| wrong())?;
        let stamp = if let Ok(stamp) = parts.to_timestamp() {
            stamp
        } else {
            let date = parts.to_date().map_err(|_| wrong())?;
            let time = parts.to_time().unwrap_or(jiff::civil::Time::midnight());
            let civil = date.to_datetime(time);
            zone.0.to_ambiguous_zoned_datetime(civil).compatible().map_err(|_| wrong())?.timestamp()
        };
        i64::try_from(stamp.as_nanosecond()).map(Self).map_err(|_| wrong())
    }

    /// A number in a unit since 1970; `None` when it does not fit.
    pub fn from_unit(number: i64, unit: Unit) -> Option<Self> {
        number.checked_mul(unit.nanos()).map(Self)
    }

    /// Later by a span; stays at the ends of the range.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.nanos()))
    }

    /// Earlier by a span; stays at the ends of the range.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.nanos()))
    }

    /// The span from an earlier moment to this one; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> Span {
        Span::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since 1970, rounded down.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From whole milliseconds since 1970; stays at the ends of the range.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["2026-11-22T08:05:00.25Z", "1970-01-01T00:00:00Z", "2013-12-02T21:15:00Z"] {
            assert_eq!(Time::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Time::parse("2026-11-22T09:05:00+01:00").unwrap().to_string(), "2026-11-22T08:05:00Z");
        assert!(Time::parse("2026-11-22 08:05:00").is_err());
    }

    #[test]
    fn a_naive_time_is_read_in_its_zone() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(Time::parse_in("2026-07-01 10:00:00", &berlin).unwrap().to_string(), "2026-07-01T08:00:00Z");
        assert_eq!(Time::parse_in("2026-07-01 10:00:00", &Zone::utc()).unwrap().to_string(), "2026-07-01T10:00:00Z");
        assert_eq!(Time::parse_in("2026-07-01T10:00:00Z", &berlin).unwrap().to_string(), "2026-07-01T10:00:00Z");
        assert_eq!(Time::parse_in("2026-10-25 02:30:00", &berlin).unwrap().to_string(), "2026-10-25T00:30:00Z");
        assert!(Zone::named("Europe/Berlinn").is_none());
    }

    #[test]
    fn a_time_is_read_as_its_format_says() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let read = |text, format| Time::parse_format(text, format, &berlin).map(|time| time.to_string());
        assert_eq!(read("01.07.2026 10:00:00", "%d.%m.%Y %H:%M:%S").unwrap(), "2026-07-01T08:00:00Z");
        assert_eq!(read("20260701100000.5+0200", "%Y%m%d%H%M%S%.f%z").unwrap(), "2026-07-01T08:00:00.5Z");
        assert_eq!(read("7/1/26", "%m/%d/%y").unwrap(), "2026-06-30T22:00:00Z");
        assert!(read("32.07.2026 10:00:00", "%d.%m.%Y %H:%M:%S").is_err());
        assert!(
            is_format("%d.%m.%Y %H:%M")
                && is_format("%s")
                && !is_format("%H:%M")
                && !is_format("%Q!")
                && !is_format("x")
        );
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(Time::from_unit(1_700_000_000, Unit::S).unwrap().to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Time::from_unit(i64::MAX, Unit::S), None);
    }
}
