//! The hours of a team: when so much of its time has passed, also over the night and where clocks change.
//!
//! `always`, or windows such as `06:00 to 22:00`, `Mon-Fri 06:00 to 22:00`, `Mon,Wed 08:00 to 12:00`, several of them
//! with commas between. A window that ends at or before its beginning goes over the night: `Fri 22:00 to 06:00` ends on
//! Saturday. `24:00` is the end of a day.
//!
//! A window is the time between two readings of the clock of the team's zone. What passes in it is real time: where the
//! clock is put forward within it, it is an hour shorter, and where it is put back, an hour longer. A reading that is
//! left out is the moment of the change; of one that comes twice, a window begins at the first and ends at the second.

use andon_model::{Time, span::Span, time::Zone};
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

/// Windows of a team at most.
pub const WINDOWS_MAX: usize = 14;
/// Days that are looked at: 30 days of an hour a week take fourteen years.
const DAYS_MAX: usize = 15 * 366;
/// Minutes of a day.
const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// When a team is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Hours {
    /// At any time.
    #[default]
    Always,
    /// In these windows, by the clock of this zone.
    Windows(Vec<Window>, Zone),
}

/// A window of some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    days: u8,
    /// Minutes of the day at which it begins.
    from: u16,
    /// Minutes of the day at which it ends; at most `from`: of the day after.
    to: u16,
}

/// Why a text is no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotHours {
    /// What is wrong.
    pub message: String,
}

impl Window {
    /// Reads windows; `None` for `always`.
    ///
    /// ```
    /// use andon_contract::hours::Window;
    ///
    /// assert_eq!(Window::parse("always").unwrap(), None);
    /// assert_eq!(Window::parse("Mon-Fri 06:00 to 22:00, Sat 08:00 to 12:00").unwrap().unwrap().len(), 2);
    /// assert!(Window::parse("Mon-Fri 6-22").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Option<Vec<Self>>, NotHours> {
        if text.trim() == "always" {
            return Ok(None);
        }
        let mut windows = Vec::new();
        let mut days = 0;
        for part in text.split(',').map(str::trim) {
            let Some((begin, to)) = part.split_once(" to ") else {
                // A day before the last of its list.
                days |= days_of(part)?;
                continue;
            };
            let (named, from) = match begin.trim().rsplit_once(' ') {
                Some((named, from)) => (days | days_of(named.trim())?, from),
                None if days == 0 => (0x7f, begin.trim()),
                None => return Err(wrong(format!("`{part}` names no day behind a list of days"))),
            };
            windows.push(Self { days: named, from: minutes(from)?, to: minutes(to.trim())? });
            days = 0;
        }
        if days != 0 || windows.is_empty() {
            return Err(wrong("days without a time of day".to_owned()));
        }
        if windows.len() > WINDOWS_MAX {
            return Err(wrong(format!("{} windows; {WINDOWS_MAX} are the most", windows.len())));
        }
        if let Some(none) = windows.iter().find(|window| window.from == window.to || window.from == DAY) {
            let at = none.from;
            return Err(wrong(format!("a window from {:02}:{:02} on has no time in it", at / 60, at % 60)));
        }
        Ok(Some(windows))
    }

    /// When it begins and ends, begun on this day.
    fn on(self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let weekday = u32::from(day.weekday().to_monday_zero_offset().unsigned_abs());
        if self.days >> weekday & 1 == 0 {
            return None;
        }
        let end = if self.to <= self.from { day.tomorrow().ok()? } else { day };
        Some((instant(at(day, self.from)?, zone, false)?, instant(at(end, self.to)?, zone, true)?))
    }
}

impl Hours {
    /// The moment at which this much of the team's time has passed, counted from another; `None` where it does not come
    /// within fifteen years.
    pub fn after(&self, from: Time, span: Span) -> Option<Time> {
        let Self::Windows(windows, zone) = self else { return Some(from.plus(span)) };
        let zone = TimeZone::get(zone.name()).unwrap_or(TimeZone::UTC);
        let mut at = Timestamp::from_nanosecond(i128::from(from.0)).ok()?;
        let mut left = i128::from(span.nanos().max(0));
        // What began yesterday may go on; its end may be over two changes of the clock from here, so one day more.
        let mut day = zone.to_datetime(at).date().yesterday().ok()?.yesterday().ok()?;
        let mut ordered = windows.clone();
        ordered.sort_by_key(|window| window.from);
        for _ in 0..DAYS_MAX {
            for (begin, end) in ordered.iter().filter_map(|window| window.on(day, &zone)) {
                let begin = begin.max(at);
                if end <= begin {
                    continue;
                }
                let lasts = end.as_nanosecond() - begin.as_nanosecond();
                if left <= lasts {
                    return i64::try_from(begin.as_nanosecond() + left).ok().map(Time);
                }
                left -= lasts;
                at = end;
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

impl Hours {
    /// A moment as the team's clock shows it: `Mon 2026-11-30 07:00 Europe/Berlin`; in UTC where it is always there.
    pub fn shown(&self, at: Time) -> String {
        let (zone, name) = match self {
            Self::Always => (TimeZone::UTC, "UTC"),
            Self::Windows(_, zone) => (TimeZone::get(zone.name()).unwrap_or(TimeZone::UTC), zone.name()),
        };
        let Ok(stamp) = Timestamp::from_nanosecond(i128::from(at.0)) else { return at.to_string() };
        format!("{} {name}", zone.to_datetime(stamp).strftime("%a %Y-%m-%d %H:%M"))
    }
}

fn wrong(message: String) -> NotHours {
    NotHours { message }
}

/// Days as bits: `Mon`, `Mon-Fri`, `Fri-Mon`.
fn days_of(text: &str) -> Result<u8, NotHours> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let unknown = || wrong(format!("`{text}` is no day; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = number(first).zip(number(last)).ok_or_else(unknown)?;
    let count = (last + DAYS.len() - first) % DAYS.len();
    Ok((0..=count).fold(0, |days, n| days | 1 << ((first + n) % DAYS.len())))
}

/// Minutes of a day: `06:00`, `24:00`.
fn minutes(text: &str) -> Result<u16, NotHours> {
    let number = |digits: &str| {
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let parts = text.split_once(':').filter(|(_, minute)| minute.len() == 2);
    let read = parts.and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    read.filter(|(hour, minute)| *minute < 60 && (*hour < 24 || (*hour == 24 && *minute == 0)))
        .map(|(hour, minute)| hour * 60 + minute)
        .ok_or_else(|| wrong(format!("`{text}` is no time of day like 06:00")))
}

/// A reading of the clock on a day.
fn at(day: Date, minutes: u16) -> Option<DateTime> {
    let day = if minutes == DAY { day.tomorrow().ok()? } else { day };
    let minutes = minutes % DAY;
    Some(day.at(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0))
}

/// The moment of a reading: the second of two where it is the last of a window.
fn instant(at: DateTime, zone: &TimeZone, last: bool) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok(),
        AmbiguousOffset::Fold { before, after } => if last { after } else { before }.to_timestamp(at).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // By the offset behind the change the reading stands before it, so the change is the next one.
            let before = after.to_timestamp(at).ok()?;
            zone.following(before).next().map(|change| change.timestamp())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str, zone: &str) -> Hours {
        match Window::parse(text).unwrap() {
            Some(windows) => Hours::Windows(windows, Zone::named(zone).unwrap()),
            None => Hours::Always,
        }
    }

    #[test]
    fn time_passes_only_in_the_hours_of_the_team() {
        // Hours, zone, from, span, then. 2026-11-26 is a Thursday.
        let table = [
            ("always", "UTC", "2026-11-26T21:00:00Z", "8 h", "2026-11-27T05:00:00Z"),
            // Within one day; up to its very end; over the night; begun before and after the hours.
            ("06:00 to 22:00", "UTC", "2026-11-26T08:00:00Z", "8 h", "2026-11-26T16:00:00Z"),
            ("06:00 to 22:00", "UTC", "2026-11-26T14:00:00Z", "8 h", "2026-11-26T22:00:00Z"),
            ("06:00 to 22:00", "UTC", "2026-11-26T15:00:00Z", "8 h", "2026-11-27T07:00:00Z"),
            ("06:00 to 22:00", "UTC", "2026-11-26T03:00:00Z", "1 h", "2026-11-26T07:00:00Z"),
            ("06:00 to 22:00", "UTC", "2026-11-26T23:30:00Z", "1 h", "2026-11-27T07:00:00Z"),
            ("06:00 to 22:00", "UTC", "2026-11-26T22:00:00Z", "1 s", "2026-11-27T06:00:01Z"),
            // Weekends.
            ("Mon-Fri 06:00 to 22:00", "UTC", "2026-11-27T21:00:00Z", "2 h", "2026-11-30T07:00:00Z"),
            ("Mon-Fri 06:00 to 22:00", "UTC", "2026-11-28T12:00:00Z", "8 h", "2026-11-30T14:00:00Z"),
            ("Mon-Fri 06:00 to 22:00", "UTC", "2026-11-26T12:00:00Z", "80 h", "2026-12-03T12:00:00Z"),
            ("Sat-Sun 10:00 to 11:00", "UTC", "2026-11-26T12:00:00Z", "90 min", "2026-11-29T10:30:00Z"),
            ("Fri-Mon 10:00 to 11:00", "UTC", "2026-11-24T12:00:00Z", "3h 30m", "2026-11-30T10:30:00Z"),
            ("Tue,Thu 10:00 to 11:00", "UTC", "2026-11-26T10:30:00Z", "1 h", "2026-12-01T10:30:00Z"),
            ("Mon,Wed-Fri 10:00 to 11:00", "UTC", "2026-11-23T10:30:00Z", "1 h", "2026-11-25T10:30:00Z"),
            // A zone of its own: 06:00 in Monterrey is 12:00 UTC, in Hamburg 05:00.
            ("06:00 to 22:00", "America/Monterrey", "2026-11-26T08:00:00Z", "1 h", "2026-11-26T13:00:00Z"),
            ("Mon-Fri 06:00 to 22:00", "Europe/Berlin", "2026-11-27T20:30:00Z", "1 h", "2026-11-30T05:30:00Z"),
            // Over the night, also from one week into the next, and on the day after the last.
            ("22:00 to 06:00", "UTC", "2026-11-26T23:00:00Z", "8 h", "2026-11-27T23:00:00Z"),
            ("Fri 22:00 to 06:00", "UTC", "2026-11-28T05:00:00Z", "2 h", "2026-12-04T23:00:00Z"),
            ("Sun 22:00 to 06:00", "UTC", "2026-11-30T01:00:00Z", "4 h", "2026-11-30T05:00:00Z"),
            // Several windows, also when they overlap: what passes in two passes once.
            ("06:00 to 08:00, 12:00 to 14:00", "UTC", "2026-11-26T07:00:00Z", "2 h", "2026-11-26T13:00:00Z"),
            ("06:00 to 12:00, 10:00 to 14:00", "UTC", "2026-11-26T09:00:00Z", "4 h", "2026-11-26T13:00:00Z"),
            (
                "Mon-Fri 06:00 to 22:00, Sat 08:00 to 12:00",
                "UTC",
                "2026-11-27T21:00:00Z",
                "2 h",
                "2026-11-28T09:00:00Z",
            ),
            ("00:00 to 24:00", "UTC", "2026-11-26T23:00:00Z", "8 h", "2026-11-27T07:00:00Z"),
            ("Mon-Fri 00:00 to 24:00", "UTC", "2026-11-27T23:00:00Z", "2 h", "2026-11-30T01:00:00Z"),
        ];
        for (text, zone, from, span, then) in table {
            let found = hours(text, zone).after(Time::parse(from).unwrap(), Span::parse(span).unwrap());
            assert_eq!(found.unwrap().to_string(), then, "{text} {zone} from {from} for {span}");
        }
    }

    #[test]
    fn a_day_on_which_clocks_change_is_counted_as_it_passes() {
        // In Berlin, 2026-03-29 leaves out 02:00 to 03:00; 2026-10-25 has it twice.
        let table = [
            ("00:00 to 24:00", "2026-03-28T23:00:00Z", "23 h", "2026-03-29T22:00:00Z"),
            ("00:00 to 06:00", "2026-03-28T22:00:00Z", "5 h", "2026-03-29T04:00:00Z"),
            ("00:00 to 06:00", "2026-03-28T22:00:00Z", "6 h", "2026-03-29T23:00:00Z"),
            // A window that begins at what is left out begins at the change.
            ("02:30 to 06:00", "2026-03-28T22:00:00Z", "1 h", "2026-03-29T02:00:00Z"),
            ("22:00 to 02:30", "2026-03-28T20:00:00Z", "4 h", "2026-03-29T01:00:00Z"),
            // The hour that comes twice: begun at the first, ended at the second.
            ("00:00 to 06:00", "2026-10-24T20:00:00Z", "7 h", "2026-10-25T05:00:00Z"),
            ("02:30 to 06:00", "2026-10-24T20:00:00Z", "30 min", "2026-10-25T01:00:00Z"),
            ("22:00 to 02:30", "2026-10-24T20:00:00Z", "330 min", "2026-10-25T01:30:00Z"),
            ("22:00 to 06:00", "2026-10-24T19:00:00Z", "9 h", "2026-10-25T05:00:00Z"),
        ];
        for (text, from, span, then) in table {
            let found = hours(text, "Europe/Berlin").after(Time::parse(from).unwrap(), Span::parse(span).unwrap());
            assert_eq!(found.unwrap().to_string(), then, "{text} from {from} for {span}");
        }
        // Samoa had no 30 December 2011 at all.
        let samoa = hours("06:00 to 22:00", "Pacific/Apia");
        let from = Time::parse("2011-12-30T08:00:00Z").unwrap(); // Thursday, 22:00
        assert_eq!(samoa.after(from, Span::from_secs(3_600)).unwrap().to_string(), "2011-12-30T17:00:00Z");
    }

    #[test]
    fn what_is_no_hours_is_refused_and_says_why() {
        for wrong in [
            "",
            "Mon-Fri",
            "Mon-Fri 6-22",
            "Mo-Fr 06:00 to 22:00",
            "06:00 to 06:00",
            "24:00 to 06:00",
            "06:00 to 25:00",
            "06:00 to 22:60",
            "06:00 to",
            "6 to 22",
            "Mon, 06:00 to 22:00",
            "06:00 to 22:00,",
            "Mon Tue 06:00 to 22:00",
            "+6:00 to 22:00",
            "06:00 to 08:00 to 10:00",
        ] {
            let error = Window::parse(wrong).expect_err(wrong);
            assert!(!error.message.is_empty());
        }
        let many = vec!["06:00 to 07:00"; WINDOWS_MAX + 1].join(", ");
        assert!(Window::parse(&many).is_err());
    }

    #[test]
    fn what_takes_longer_than_a_life_of_a_plant_never_comes() {
        let rare = hours("Mon 10:00 to 10:01", "UTC");
        assert_eq!(rare.after(Time::parse("2026-11-26T12:00:00Z").unwrap(), Span::parse("30 d").unwrap()), None);
        let hourly = hours("Mon 10:00 to 11:00", "UTC");
        assert!(hourly.after(Time::parse("2026-11-26T12:00:00Z").unwrap(), Span::parse("30 d").unwrap()).is_some());
    }

    #[test]
    fn a_moment_is_shown_by_the_clock_of_the_team() {
        let at = Time::parse("2026-11-30T06:00:00Z").unwrap();
        assert_eq!(hours("always", "UTC").shown(at), "Mon 2026-11-30 06:00 UTC");
        assert_eq!(hours("06:00 to 22:00", "Europe/Berlin").shown(at), "Mon 2026-11-30 07:00 Europe/Berlin");
    }

    proptest::proptest! {
        #[test]
        fn more_time_is_never_earlier_and_parts_add_up(
            from in 0_i64..4_000_000_000, first in 0_i64..400_000, second in 0_i64..400_000, which in 0_usize..4,
        ) {
            let two = "Sat 08:00 to 12:00, 11:00 to 13:00";
            let texts = ["Mon-Fri 06:00 to 22:00", "22:00 to 06:00", "02:30 to 03:30", two];
            let hours = hours(texts[which], "Europe/Berlin");
            let from = Time(from * 1_000_000_000);
            let half = hours.after(from, Span::from_secs(first)).unwrap();
            let whole = hours.after(from, Span::from_secs(first + second)).unwrap();
            proptest::prop_assert!(from <= half && half <= whole);
            if second > 0 {
                proptest::prop_assert_eq!(hours.after(half, Span::from_secs(second)).unwrap(), whole);
            }
        }
    }
}
