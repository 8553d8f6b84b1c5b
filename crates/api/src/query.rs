//! Reads what stands behind the question mark: one place for every question, each fault named with its remedy.

use crate::{
    backend::{LIMIT_DEFAULT, LIMIT_MAX, Query},
    problem::Problem,
    samples::{
        BUCKETS_MAX, CountQuery, Cursor, LAST_MAX, LastQuery, Moment, POINTS_DEFAULT, RangeQuery, ReplayQuery,
        SAMPLES_DEFAULT, SAMPLES_MAX, SeriesQuery,
    },
};

/// Names and values of a query, decoded.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((name.to_owned(), decode(value)?))
    };
    text.split('&').filter(|p| !p.is_empty()).map(pair).collect()
}

/// Reads `where=field=value` (repeated), `after`, `limit` and `order=asc`.
pub(crate) fn list(pairs: &[(String, String)]) -> Result<Query, Problem> {
    let mut query = Query { limit: LIMIT_DEFAULT, ..Query::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "where" => {
                let (field, wanted) = value.split_once('=').ok_or_else(|| {
                    Problem::request(format!("`where={value}` has no value")).remedy("write where=field=value")
                })?;
                query.filters.push((field.to_owned(), wanted.to_owned()));
            }
            "after" => query.after = Some(number(name, value)?),
            "limit" => query.limit = limited(name, value, LIMIT_MAX, "read on with `after`")?,
            "order" if value == "asc" => query.ascending = true,
            "order" if value == "desc" => query.ascending = false,
            _ => return Err(strange(name, value, "where=field=value, after=N, limit=N, order=asc|desc")),
        }
    }
    Ok(query)
}

/// Reads the question for a range of samples.
pub(crate) fn range(pairs: &[(String, String)]) -> Result<RangeQuery, Problem> {
    let mut query = RangeQuery { limit: SAMPLES_DEFAULT, ..RangeQuery::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "asset" => query.asset.clone_from(value),
            "signal" => query.signal = Some(value.clone()),
            "from" => query.from = Moment::parse(name, value)?,
            "to" => query.to = Moment::parse(name, value)?,
            "after" => query.after = Some(Cursor::parse(value)?),
            "limit" => query.limit = limited(name, value, SAMPLES_MAX, "read on with `after`")?,
            _ => {
                return Err(strange(
                    name,
                    value,
                    "asset=, signal=, from=, to=, limit=N, after=<next of the page before>",
                ));
            }
        }
    }
    Ok(query)
}

/// Reads the question for last values.
pub(crate) fn last(pairs: &[(String, String)]) -> Result<LastQuery, Problem> {
    let mut query = LastQuery { limit: LIMIT_DEFAULT, ..LastQuery::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "asset" => query.asset = Some(value.clone()),
            "site" => query.site = Some(value.clone()),
            "after" => query.after = Some(value.clone()),
            "limit" => query.limit = limited(name, value, LAST_MAX, "read on with `after`")?,
            _ => return Err(strange(name, value, "asset=, site=, limit=N, after=<next of the page before>")),
        }
    }
    Ok(query)
}

/// Reads the question for a range as a chart shows it.
pub(crate) fn series(pairs: &[(String, String)]) -> Result<SeriesQuery, Problem> {
    let mut query = SeriesQuery { points: POINTS_DEFAULT, ..SeriesQuery::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "asset" => query.asset.clone_from(value),
            "signal" => query.signal.clone_from(value),
            "from" => query.from = Moment::parse(name, value)?,
            "to" => query.to = Moment::parse(name, value)?,
            "points" => query.points = limited(name, value, BUCKETS_MAX, "ask for shorter ranges one after the other")?,
            _ => return Err(strange(name, value, "asset=, signal=, from=, to=, points=N")),
        }
    }
    for (name, value) in [("asset", &query.asset), ("signal", &query.signal)] {
        if value.is_empty() {
            return Err(
                Problem::request(format!("`{name}` is missing")).remedy("a series is of one signal of one asset")
            );
        }
    }
    Ok(query)
}

/// Reads the question how many samples there are.
pub(crate) fn count(pairs: &[(String, String)]) -> Result<CountQuery, Problem> {
    let mut query = CountQuery::default();
    for (name, value) in pairs {
        match name.as_str() {
            "asset" => query.asset = Some(value.clone()),
            "signal" => query.signal = Some(value.clone()),
            "by-signal" => query.by_signal = value != "false",
            _ => return Err(strange(name, value, "asset=, signal=, by-signal=true")),
        }
    }
    Ok(query)
}

/// Reads how a replay is wanted: `dry-run`, `limit`, `after`.
pub(crate) fn replay(pairs: &[(String, String)]) -> Result<ReplayQuery, Problem> {
    let mut query = ReplayQuery { dry_run: false, limit: LIMIT_DEFAULT, after: None };
    for (name, value) in pairs {
        match (name.as_str(), value.as_str()) {
            ("dry-run", "" | "true") => query.dry_run = true,
            ("dry-run", "false") => query.dry_run = false,
            ("limit", value) => query.limit = limited(name, value, LIMIT_MAX, "go on with `after`")?,
            ("after", value) => query.after = Some(number(name, value)?),
            _ => return Err(strange(name, value, "dry-run=true, limit=N, after=<next of the request before>")),
        }
    }
    Ok(query)
}

pub(crate) fn strange(name: &str, value: &str, known: &str) -> Problem {
    Problem::request(format!("`{name}={value}` is not understood")).remedy(known)
}

fn limited(name: &str, value: &str, most: usize, remedy: &str) -> Result<usize, Problem> {
    let limit = usize::try_from(number(name, value)?).unwrap_or(usize::MAX);
    if limit == 0 || limit > most {
        return Err(Problem::request(format!("`{name}={value}` is not between 1 and {most}")).remedy(remedy));
    }
    Ok(limit)
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| Problem::request(format!("`{name}={value}` is no whole number")))
}

/// Undoes the percent-encoding of a value in a query.
pub(crate) fn decode(text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or(b'?'),
                    _ => return Err(Problem::request(format!("{text:?} is not percent-encoded"))),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Problem::request(format!("{text:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{Position, Time, span::Span};

    fn read<T>(text: &str, of: impl Fn(&[(String, String)]) -> Result<T, Problem>) -> Result<T, Problem> {
        of(&pairs(text)?)
    }

    #[test]
    fn a_query_is_read_or_its_fault_is_named() {
        let query =
            read("where=type%3Dasset.alarm&where=data.change=activated&limit=5&after=7&order=asc", list).unwrap();
        assert_eq!(query.filters, [("type".into(), "asset.alarm".into()), ("data.change".into(), "activated".into())]);
        assert_eq!((query.limit, query.after, query.ascending), (5, Some(7), true));
        for wrong in ["limit=0", "limit=1001", "limit=x", "where=type", "colour=red", "where=a%3", "where=a=%FF"] {
            assert_eq!(read(wrong, list).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for text in ["now", "-1h", "-1 h", "-1h 30min", "2026-01-01T00:00:00Z", "2026-01-01"] {
            let moment = Moment::parse("from", text).unwrap();
            assert_eq!(Moment::parse("from", &moment.to_string()).unwrap(), moment, "{text}");
        }
        for wrong in ["", "-", "--1h", "1h", "2026-13-01", "2026-1-1", "yesterday"] {
            assert!(Moment::parse("from", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_read_with_times_of_both_forms() {
        let query = read("asset=m-1&signal=heat&from=-2h&to=2026-01-01T00:00:00Z&limit=3", range).unwrap();
        assert_eq!((query.asset.as_str(), query.signal.as_deref(), query.limit), ("m-1", Some("heat"), 3));
        let now = Time::parse("2026-01-02T00:00:00Z").unwrap();
        assert_eq!(query.from.at(now), now.minus(Span::from_secs(7200)));
        assert_eq!(query.to.at(now).to_string(), "2026-01-01T00:00:00Z");
        assert_eq!((query.from.to_string(), query.to.to_string()), ("-2h".into(), "2026-01-01T00:00:00Z".into()));
        let query = read("asset=m-1", range).unwrap();
        assert_eq!((query.from.at(now), query.to.at(now)), (now.minus(Span::from_secs(3600)), now));
        for wrong in ["from=yesterday", "from=-", "to=-1x", "limit=10001", "limit=0", "after=zz", "points=3", "to=--1h"]
        {
            let problem = read(wrong, range).unwrap_err();
            assert_eq!(problem.status, 400, "{wrong}");
            assert!(problem.remedy.is_some(), "{wrong}");
        }
        assert!(read("asset=a&points=100001&signal=s", series).is_err());
        assert!(read("asset=a", series).unwrap_err().detail.contains("signal"));
        let wanted = ReplayQuery { dry_run: true, limit: 2, after: Some(9) };
        assert_eq!(read("limit=2&dry-run=true&after=9", replay).unwrap(), wanted);
        assert!(read("dry-run=maybe", replay).is_err());
    }

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor { time: Time(-5), position: Position { epoch: 3, offset: u64::MAX } };
        assert_eq!(Cursor::parse(&cursor.to_string()).unwrap(), cursor);
        for wrong in ["", "1-2", "x-1-1", "1_2_3", "0.0.0.0", "0000000000000001.00000001.00000000000000zz"] {
            assert!(Cursor::parse(wrong).is_err(), "{wrong}");
        }
    }
}
