//! Spans of time and sizes as people write them: `60 min`, `1h 30m`, `PT1H`, `64 MiB`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A length of time in nanoseconds; negative only between two moments in the wrong order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

/// A text that is not a span or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct NotASpan {
    /// The form that was expected.
    pub expected: &'static str,
    /// What stood there.
    pub found: String,
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// For interfaces of the standard library; a negative span is zero there.
    pub fn std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads `60 min`, `1h 30m`, `250 ms`, `7 d` or ISO 8601 (`PT1H30M`, `P7D`).
    pub fn parse(text: &str) -> Result<Self, NotASpan> {
        let wrong = || NotASpan {
            expected: "a duration like 60 min, 1h 30m, 250 ms, 7 d or PT1H",
            found: text.chars().take(64).collect(),
        };
        let trimmed = text.trim();
        if trimmed.starts_with('P') {
            return iso(trimmed).ok_or_else(wrong);
        }
        let mut rest = trimmed;
        let mut total: i64 = 0;
        let mut any = false;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let tail = tail.trim_start();
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let nanos = match unit {
                "ns" => 1,
                "us" => 1_000,
                "ms" => 1_000_000,
                "s" | "sec" | "second" | "seconds" => 1_000_000_000,
                "m" | "min" | "minute" | "minutes" => 60_000_000_000,
                "h" | "hour" | "hours" => 3_600_000_000_000,
                "d" | "day" | "days" => 86_400_000_000_000,
                _ => return Err(wrong()),
            };
            total = scaled(number, nanos).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            any = true;
            rest = tail.trim_start();
        }
        if any { Ok(Self(total)) } else { Err(wrong()) }
    }
}

/// A decimal number of a unit, exactly; `None` when it does not fit or is no number.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // A sign is no digit: no duration of ours runs backwards.
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let mut total = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let tenths = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = i128::from(fraction.parse::<i64>().ok()?) * i128::from(unit) / i128::from(tenths);
        total = total.checked_add(i64::try_from(part).ok()?)?;
    }
    Some(total)
}

/// ISO 8601 without years and months, whose lengths differ.
fn iso(text: &str) -> Option<Span> {
    let body = text.strip_prefix('P')?;
    let (date, time) = body.split_once('T').map_or((body, None), |(d, t)| (d, Some(t)));
    let mut total: i64 = 0;
    let mut any = false;
    for (part, units) in [(date, "WD"), (time.unwrap_or(""), "HMS")] {
        let mut rest = part;
        let mut from = 0;
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (number, tail) = rest.split_at(at);
            let letter = tail.chars().next()?;
            let place = units.get(from..)?.find(letter)?;
            from += place + 1;
            let nanos = match letter {
                'W' => 604_800_000_000_000,
                'D' => 86_400_000_000_000,
                'H' => 3_600_000_000_000,
                'M' => 60_000_000_000,
                _ => 1_000_000_000,
            };
            total = total.checked_add(scaled(number, nanos)?)?;
            any = true;
            rest = tail.get(1..)?;
        }
    }
    (any && time != Some("")).then_some(Span(total))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        if n == 0 {
            return f.write_str("0 s");
        }
        for (unit, nanos) in [
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("min", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
        ] {
            if n % nanos == 0 {
                return write!(f, "{} {unit}", n / nanos);
            }
        }
        write!(f, "{n} ns")
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads a size in bytes: `64 MiB`, `100 kB`, `512 B`, `1 GiB`.
pub fn parse_size(text: &str) -> Result<u64, NotASpan> {
    let wrong = || NotASpan { expected: "a size like 64 MiB, 100 kB or 512 B", found: text.chars().take(64).collect() };
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, secs) in [
            ("60 min", 3600),
            ("1h 30m", 5400),
            ("1 h 30 min", 5400),
            ("PT1H30M", 5400),
            ("P7D", 604_800),
            ("7 d", 604_800),
            ("0 s", 0),
            ("PT0S", 0),
        ] {
            assert_eq!(Span::parse(text).unwrap(), Span::from_secs(secs), "{text}");
        }
        assert_eq!(Span::parse("1.5 s").unwrap(), Span::from_millis(1500));
        for wrong in [
            "",
            "5",
            "5 x",
            "-5 s",
            "P",
            "PT",
            "P1Y",
            "PT1M1H",
            "1..5 s",
            "999999999999 d",
            "min",
            "PT-5S",
            "P-1D",
            "PT+5S",
            "PT1.-5S",
        ] {
            assert!(Span::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_say_their_unit() {
        assert_eq!(parse_size("64 MiB").unwrap(), 64 << 20);
        assert!(parse_size("64").is_err());
    }
}
