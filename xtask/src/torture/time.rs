//! Times as machines write them and as the program prints them.

use std::fmt::Write as _;

/// A time as machines write it.
pub(super) fn rfc3339(time_us: i64) -> String {
    let (seconds, micros) = (time_us.div_euclid(1_000_000), time_us.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, as months are counted from March.
    let from_march = days + 719_468;
    let era = from_march.div_euclid(146_097);
    let of_era = from_march.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    let year = year_of_era + era * 400 + year;
    let mut text = format!("{year:04}-{month:02}-{day:02}T");
    let _ = write!(text, "{:02}:{:02}:{:02}.{micros:06}Z", second / 3_600, second / 60 % 60, second % 60);
    text
}

/// Microseconds since 1970 of a time in UTC; what is finer than a microsecond is left out.
pub(super) fn micros(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (date, time) = whole.split_once('T')?;
    let number = |text: &str| text.parse::<i64>().ok();
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let micros = number(&format!("{fraction:0<6}").chars().take(6).collect::<String>())?;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_era = year.rem_euclid(400);
    let days =
        year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1;
    let seconds = (days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_machines_do() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(1_709_164_799_000_001), "2024-02-28T23:59:59.000001Z");
        assert_eq!(rfc3339(1_709_164_800_000_000), "2024-02-29T00:00:00.000000Z");
        assert_eq!(rfc3339(1_798_675_200_500_000), "2026-12-31T00:00:00.500000Z");
    }

    #[test]
    fn times_are_read_as_they_were_written() {
        for at in [0, 1_709_164_799_000_001, 1_709_164_800_000_000, 1_798_675_200_500_000, 951_825_600_000_000] {
            assert_eq!(micros(&rfc3339(at)), Some(at));
        }
        assert_eq!(micros("2026-12-31T00:00:00.5Z"), Some(1_798_675_200_500_000));
        assert_eq!(micros("2026-12-31T00:00:00Z"), Some(1_798_675_200_000_000));
        assert_eq!(micros("yesterday"), None);
    }
}
