//! Cron expressions: which instants they name in a zone, also on the days on which its clocks change.
//!
//! Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday), each `*`, a number, a
//! range `1-5`, a step `*/15` or `0-30/10`, or a list of them; months and days also by their first three letters. Where
//! both days are limited, one of the two is enough. `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` and
//! `@yearly` (`@annually`) stand for what they say.
//!
//! On the days on which clocks change, an expression with a fixed hour names each of its times once: one that is left
//! out is the moment of the change, one that comes twice is the first. With `*` or `*/n` for the hour the clock is
//! followed: nothing in the hour that is left out, both passes of the hour that comes twice.

use andon_model::{Time, time::Zone};
use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

/// Days that are looked at for the next instant: the 29th of February may be missing for eight years.
const DAYS_MAX: usize = 8 * 366 + 2;
/// How far a clock is moved at most when it is changed, generously.
const CHANGE_MAX: i64 = 3;

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether either of the two days is limited.
    by_day: bool,
    by_weekday: bool,
    /// Whether the hour is `*` or `*/n`.
    follows: bool,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotCron {
    /// What is wrong.
    pub message: String,
    /// What was expected.
    pub expected: String,
}

/// A field: its name, its least and greatest number, the names of its numbers from the least on.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of the month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    Field { name: "day of the week", min: 0, max: 7, names: &WEEKDAYS },
];
/// The greatest day of each month.
const LAST_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads an expression.
    ///
    /// ```
    /// use andon_contract::cron::Cron;
    /// use andon_model::{Time, time::Zone};
    ///
    /// let nightly = Cron::parse("0 2 * * *").unwrap();
    /// let berlin = Zone::named("Europe/Berlin").unwrap();
    /// let next = nightly.next(Time::parse("2026-11-26T12:00:00Z").unwrap(), &berlin).unwrap();
    /// assert_eq!(next.to_string(), "2026-11-27T01:00:00Z");
    /// ```
    pub fn parse(text: &str) -> Result<Self, NotCron> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            word if word.starts_with('@') => {
                return Err(NotCron {
                    message: format!("`{word}` is not known"),
                    expected: "one of @hourly, @daily, @weekly, @monthly, @yearly".to_owned(),
                });
            }
            text => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let seconds = if fields.len() == 6 { "; there are no seconds" } else { "" };
            return Err(NotCron {
                message: format!("it has {} fields{seconds}", fields.len()),
                expected: "five fields: minute, hour, day of the month, month, day of the week".to_owned(),
            });
        };
        let [of_minute, of_hour, of_day, of_month, of_weekday] = &FIELDS;
        let weekdays = of_weekday.read(weekday)?;
        let cron = Self {
            minutes: of_minute.read(minute)?,
            hours: of_hour.read(hour)?,
            days: of_day.read(day)?,
            months: of_month.read(month)?,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            by_day: !day.starts_with('*'),
            by_weekday: !weekday.starts_with('*'),
            follows: hour.starts_with('*'),
        };
        cron.exists().then_some(cron).ok_or_else(|| NotCron {
            message: "there is no such day".to_owned(),
            expected: "a day that a month has".to_owned(),
        })
    }

    /// Whether there is a day it names.
    fn exists(&self) -> bool {
        self.by_weekday
            || (1..).zip(LAST_DAYS).any(|(month, last)| has(self.months, month) && self.days.trailing_zeros() <= last)
    }

    /// The first instant it names after another; `None` beyond the times that can be written.
    pub fn next(&self, after: Time, zone: &Zone) -> Option<Time> {
        let zone = TimeZone::get(zone.name()).unwrap_or(TimeZone::UTC);
        let after = Timestamp::from_nanosecond(i128::from(after.0)).ok()?;
        let local = zone.to_datetime(after);
        let mut day = local.date().yesterday().ok()?;
        let earliest = local.checked_sub(CHANGE_MAX.hours()).ok()?;
        for _ in 0..DAYS_MAX {
            if self.is_on(day)
                && let Some(found) = self.on_day(day, after, earliest, &zone)
            {
                return i64::try_from(found.as_nanosecond()).ok().map(Time);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    fn is_on(&self, day: Date) -> bool {
        let number = |n: i8| u32::try_from(n).unwrap_or(0);
        if !has(self.months, number(day.month())) {
            return false;
        }
        let by_day = has(self.days, number(day.day()));
        let by_weekday = has(self.weekdays, number(day.weekday().to_sunday_zero_offset()));
        if self.by_day && self.by_weekday { by_day || by_weekday } else { by_day && by_weekday }
    }

    /// The first instant of a day after another.
    fn on_day(&self, day: Date, after: Timestamp, earliest: DateTime, zone: &TimeZone) -> Option<Timestamp> {
        let mut best: Option<(Timestamp, DateTime)> = None;
        for hour in (0..24_i8).filter(|hour| has(self.hours, u32::from(hour.unsigned_abs()))) {
            for minute in (0..60_i8).filter(|minute| has(self.minutes, u32::from(minute.unsigned_abs()))) {
                let at = day.at(hour, minute, 0, 0);
                if at < earliest {
                    continue;
                }
                // What comes much later on the clock comes later.
                if best.is_some_and(|(_, limit)| at > limit) {
                    return best.map(|(found, _)| found);
                }
                for found in self.instants(at, zone).into_iter().flatten().filter(|found| *found > after) {
                    if best.is_none_or(|(earlier, _)| found < earlier) {
                        best = Some((found, at.checked_add(CHANGE_MAX.hours()).unwrap_or(at)));
                    }
                }
            }
        }
        best.map(|(found, _)| found)
    }

    /// The instants that a time on the clock means.
    fn instants(&self, at: DateTime, zone: &TimeZone) -> [Option<Timestamp>; 2] {
        match zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(at).ok(), None],
            AmbiguousOffset::Fold { before, after } => {
                [before.to_timestamp(at).ok(), after.to_timestamp(at).ok().filter(|_| self.follows)]
            }
            AmbiguousOffset::Gap { .. } if self.follows => [None, None],
            AmbiguousOffset::Gap { after, .. } => {
                // By the offset behind the change the time stands before it, so the change is the next one.
                let before = after.to_timestamp(at).ok();
                [before.and_then(|before| zone.following(before).next()).map(|change| change.timestamp()), None]
            }
        }
    }
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

impl Field {
    /// The numbers of a field, as bits.
    fn read(&self, text: &str) -> Result<u64, NotCron> {
        text.split(',').try_fold(0, |set, part| Ok(set | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, NotCron> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => (range, Some(step)),
        };
        let every = match step {
            None => 1,
            Some(step) => step
                .parse::<u32>()
                .ok()
                .filter(|n| (1..=self.max).contains(n))
                .ok_or_else(|| self.wrong(format!("`{step}` is no step of the {}", self.name)))?,
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max.min(self.min + self.numbers() - 1)),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None => {
                let from = self.number(range)?;
                (from, if step.is_some() { self.max } else { from })
            }
        };
        if from > to {
            return Err(self.wrong(format!("the {} goes from {from} back to {to}", self.name)));
        }
        let step = usize::try_from(every).unwrap_or(usize::MAX);
        Ok((from..=to).step_by(step).fold(0, |set, number| set | 1 << number))
    }

    /// How many different numbers it has.
    fn numbers(&self) -> u32 {
        if self.max == 7 { 7 } else { self.max - self.min + 1 }
    }

    fn number(&self, text: &str) -> Result<u32, NotCron> {
        let named = || {
            let at = self.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
            Some(self.min + u32::try_from(at).ok()?)
        };
        let is_number = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number = if is_number { text.parse().ok() } else { named() };
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| self.wrong(format!("`{text}` is no {}", self.name)))
    }

    fn wrong(&self, message: String) -> NotCron {
        let names = match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!(", or {first} to {last}"),
            _ => String::new(),
        };
        NotCron { message, expected: format!("{} to {}{names}; `*`, `1-5`, `*/15` or `1,15`", self.min, self.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, after: &str, zone: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(text).unwrap();
        let zone = Zone::named(zone).unwrap();
        let mut at = Time::parse(after).unwrap();
        (0..count)
            .map(|_| {
                at = cron.next(at, &zone).unwrap();
                at.to_string()
            })
            .collect()
    }

    #[test]
    fn fields_mean_what_crontab_means() {
        assert_eq!(
            next("*/20 8-9 * * *", "2026-11-26T08:30:00Z", "UTC", 4),
            ["2026-11-26T08:40:00Z", "2026-11-26T09:00:00Z", "2026-11-26T09:20:00Z", "2026-11-26T09:40:00Z"]
        );
        assert_eq!(next("30 6 * * mon-fri", "2026-11-27T06:30:00Z", "UTC", 1), ["2026-11-30T06:30:00Z"]);
        assert_eq!(next("0 0 * * 7", "2026-11-26T00:00:00Z", "UTC", 1), ["2026-11-29T00:00:00Z"]);
        assert_eq!(next("0 0 29 2 *", "2097-01-01T00:00:00Z", "UTC", 1), ["2104-02-29T00:00:00Z"]);
        // Where both days are limited, one of the two is enough.
        assert_eq!(
            next("0 0 1 * fri", "2026-11-26T00:00:00Z", "UTC", 2),
            ["2026-11-27T00:00:00Z", "2026-12-01T00:00:00Z"]
        );
        assert_eq!(next("@monthly", "2026-11-26T00:00:00Z", "UTC", 1), ["2026-12-01T00:00:00Z"]);
        assert_eq!(next("59 23 31 12 *", "2026-12-31T23:59:00Z", "UTC", 1), ["2027-12-31T23:59:00Z"]);
    }

    #[test]
    fn a_fixed_hour_comes_once_on_both_days_on_which_clocks_change() {
        // Forward on 2027-03-28 at 02:00, which is 01:00Z: the time that is left out is the moment of the change.
        assert_eq!(
            next("0 2 * * *", "2027-03-27T02:00:00Z", "Europe/Berlin", 2),
            ["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"]
        );
        assert_eq!(
            next("30 2 * * *", "2027-03-27T02:00:00Z", "Europe/Berlin", 2),
            ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
        );
        // Back on 2026-10-25 at 03:00, which is 01:00Z: of two times the first.
        assert_eq!(
            next("0 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin", 2),
            ["2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"]
        );
        // Several times in the hour that is left out are one moment.
        assert_eq!(
            next("0,30 2 * * *", "2027-03-27T02:00:00Z", "Europe/Berlin", 2),
            ["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"]
        );
    }

    #[test]
    fn every_hour_follows_the_clock_through_both_passes() {
        assert_eq!(
            next("30 * * * *", "2026-10-24T23:45:00Z", "Europe/Berlin", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]
        );
        assert_eq!(
            next("30 * * * *", "2027-03-28T00:00:00Z", "Europe/Berlin", 2),
            ["2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z"]
        );
        // At midnight, in a zone whose clocks change then.
        assert_eq!(
            next("0 0 * * *", "2018-11-03T12:00:00Z", "America/Sao_Paulo", 2),
            ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]
        );
    }

    #[test]
    fn what_is_no_expression_says_why() {
        for (text, told) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("0 * * * * *", "no seconds"),
            ("60 * * * *", "`60` is no minute"),
            ("* * * * 8", "`8` is no day of the week"),
            ("*/0 * * * *", "no step"),
            ("5-1 * * * *", "from 5 back to 1"),
            ("0 0 30 2 *", "no such day"),
            ("0 0 L * *", "`L` is no day of the month"),
            ("@reboot", "`@reboot` is not known"),
            ("1,, * * * *", "`` is no minute"),
        ] {
            let error = Cron::parse(text).unwrap_err();
            assert!(error.message.contains(told), "{text}: {error}");
        }
    }
}
