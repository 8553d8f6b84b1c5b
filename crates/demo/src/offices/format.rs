//! Moments as the systems write them, and foreign texts short enough to be repeated.

use andon_model::{Time, span::Span};

/// A foreign text, short enough to be repeated.
pub(super) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Date and time of day of a moment in UTC: `2026-11-26` and `08:05:00`.
fn civil(time: Time) -> (String, String) {
    let text = Time::from_millis(time.millis().div_euclid(1_000) * 1_000).to_string();
    let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
    (date.to_owned(), rest.trim_end_matches('Z').to_owned())
}

/// `2026-11-26T08:05:00+00:00`: Maximo.
pub(super) fn with_offset(time: Time) -> String {
    let (date, clock) = civil(time);
    format!("{date}T{clock}+00:00")
}

/// `2026-11-26T08:05:00.000+0000`: Salesforce.
pub(super) fn with_millis(time: Time) -> String {
    let (date, clock) = civil(time);
    format!("{date}T{clock}.000+0000")
}

/// `20261126080500`: a time stamp of ABAP, in UTC.
pub(super) fn stamp(time: Time) -> String {
    let (date, clock) = civil(time);
    format!("{date}{clock}").replace(['-', ':'], "")
}

/// `/Date(1795651200000)/`: the day of a moment in `OData` 2 (`Edm.DateTime`).
pub(super) fn odata_date(time: Time) -> String {
    const DAY_MS: i64 = 86_400_000;
    format!("/Date({})/", time.millis().div_euclid(DAY_MS) * DAY_MS)
}

/// `PT08H05M00S`: the time of day of a moment in `OData` 2 (`Edm.Time`).
pub(super) fn odata_time(time: Time) -> String {
    let (_, clock) = civil(time);
    let mut parts = clock.split(':');
    let mut next = || parts.next().unwrap_or("00").to_owned();
    format!("PT{}H{}M{}S", next(), next(), next())
}

/// A day as [`odata_date`] writes it, or with milliseconds of the day behind it; `None` for any other text.
pub(super) fn read_odata_date(text: &str) -> Option<Time> {
    let number = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let number = number.strip_suffix("+0000").unwrap_or(number);
    number.parse().ok().map(Time::from_millis)
}

/// A time of day as [`odata_time`] writes it; `None` for any other text.
pub(super) fn read_odata_time(text: &str) -> Option<Span> {
    let rest = text.strip_prefix("PT")?.strip_suffix('S')?;
    let (hours, rest) = rest.split_once('H')?;
    let (minutes, seconds) = rest.split_once('M')?;
    let number = |text: &str, below: i64| text.parse::<i64>().ok().filter(|n| (0..below).contains(n));
    Some(Span::from_secs(number(hours, 24)? * 3_600 + number(minutes, 60)? * 60 + number(seconds, 60)?))
}

/// The clocks of Monterrey are six hours behind UTC all the year.
const MONTERREY: Span = Span::from_secs(6 * 3_600);

/// `2026-11-26 02:05:00`: local time of Monterrey, which says nothing of its zone.
pub(super) fn local(time: Time) -> String {
    let (date, clock) = civil(time.minus(MONTERREY));
    format!("{date} {clock}")
}

/// A moment as [`local`] writes it; `None` for any other text.
pub(super) fn read_local(text: &str) -> Option<Time> {
    let is_plain = text.len() == 19 && text.is_ascii() && text.as_bytes().get(10) == Some(&b' ');
    let time = Time::parse(&format!("{}Z", text.replace(' ', "T"))).ok()?;
    is_plain.then(|| time.plus(MONTERREY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_each_system_writes_them_and_read_back() {
        let time = Time::parse("2026-11-26T08:05:09.75Z").unwrap();
        assert_eq!(with_offset(time), "2026-11-26T08:05:09+00:00");
        assert_eq!(with_millis(time), "2026-11-26T08:05:09.000+0000");
        assert_eq!(stamp(time), "20261126080509");
        assert_eq!((odata_date(time).as_str(), odata_time(time).as_str()), ("/Date(1795651200000)/", "PT08H05M09S"));
        assert_eq!(local(time), "2026-11-26 02:05:09");
        let whole = Time::parse("2026-11-26T08:05:09Z").unwrap();
        assert_eq!(read_local("2026-11-26 02:05:09"), Some(whole));
        let day = read_odata_date("/Date(1795651200000)/").unwrap();
        assert_eq!(day.plus(read_odata_time("PT08H05M09S").unwrap()), whole);
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["", "2026-11-26", "2026-11-26T02:05:09", "2026-11-26 02:05:09Z", "2026-11-26 25:05:09", "ä026"] {
            assert_eq!(read_local(text), None, "{text}");
        }
        for text in ["", "PT8H", "PT24H00M00S", "PT-1H00M00S", "08:05:00"] {
            assert_eq!(read_odata_time(text), None, "{text}");
        }
        assert_eq!(read_odata_date("2026-11-26"), None);
    }
}
