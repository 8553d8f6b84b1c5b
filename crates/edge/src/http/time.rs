//! The form of time that programs write, read by hand; everything else is left to the library of calendars.

use andon_model::Time;

/// A time like `2026-11-22T08:05:00.25Z`; `None` for every other text, right or wrong.
pub(super) fn quick(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        bytes
            .get(from..to)?
            .iter()
            .try_fold(0_i64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':') && bytes.last() == Some(&b'Z')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_time = (1_970..=2_200).contains(&year) && (1..=days).contains(&day) && hour < 24 && minute < 60;
    if !is_time || second >= 60 {
        return None;
    }
    let digits = bytes.len() - 20;
    let nanos = match (digits, is(19, b'.')) {
        (0, _) => 0,
        (2..=10, true) => {
            let scale = u32::try_from(10 - digits).ok()?;
            number(20, 19 + digits)? * 10_i64.pow(scale)
        }
        _ => return None,
    };
    // Days since 1970 of a year that begins in March, so that the leap day is its last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * m + 2) / 5 + day - 1;
    let since = y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719_468;
    Some(Time((((since * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + nanos))
}

/// What is read by hand is what the library reads.
pub(super) fn fuzz(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(time) = quick(text)
    {
        assert_eq!(Time::parse(text), Ok(time), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_by_hand() {
        for text in [
            "2026-11-22T08:05:00.25Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.999999999Z",
            "2100-03-01T00:00:00.0Z",
        ] {
            assert_eq!(quick(text), Some(Time::parse(text).unwrap()), "{text}");
        }
        for text in
            ["2023-02-29T00:00:00Z", "2026-11-22T08:05:00+01:00", "2026-11-22T08:05:60Z", "", "2026-11-22T08:05:00.Z"]
        {
            assert_eq!(quick(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn by_hand_is_as_by_the_library(
            date in "(19|20|21)[0-9]{2}-[0-1][0-9]-[0-3][0-9]",
            time in "T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,10})?Z",
        ) {
            fuzz(format!("{date}{time}").as_bytes());
        }

        #[test]
        fn every_moment_is_read(nanos in 0_i64..7_000_000_000_000_000_000) {
            let text = Time(nanos).to_string();
            prop_assert_eq!(quick(&text), Some(Time(nanos)));
        }
    }
}
