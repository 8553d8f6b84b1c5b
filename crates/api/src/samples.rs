//! Questions about samples and the historian, and their answers.

use crate::problem::Problem;
use andon_model::{Position, Time, span::Span};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use utoipa::ToSchema;

/// Samples of a page where nothing else is asked for.
pub const SAMPLES_DEFAULT: usize = 1_000;
/// Samples of a page at most.
pub const SAMPLES_MAX: usize = 10_000;
/// Last values of a page at most.
pub const LAST_MAX: usize = 10_000;
/// Buckets of a series where nothing else is asked for.
pub const POINTS_DEFAULT: usize = 1_000;
/// Buckets of a series at most.
pub const BUCKETS_MAX: usize = 10_000;
/// A question without `from` is about so long before now.
pub const FROM_DEFAULT: Span = Span::from_secs(3_600);

/// The form of a day.
const DAY: &str = "2026-11-22";

/// A moment as people name it: itself, or so long before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    At(Time),
    /// So long ago.
    Ago(Span),
}

impl Moment {
    /// Reads RFC 3339, a day (UTC), `now`, or a duration before now with a minus: `-1h`. `name` says what it is for.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        let read = match text.strip_prefix('-') {
            Some(span) => Span::parse(span).ok().filter(|s| *s >= Span::ZERO).map(Self::Ago),
            None if text == "now" => Some(Self::Ago(Span::ZERO)),
            None if text.len() == DAY.len() => Time::parse(&format!("{text}T00:00:00Z")).ok().map(Self::At),
            // A `+` that was not percent-encoded became a space; it can only stand before an offset.
            None => Time::parse(&text.replace(' ', "+")).ok().map(Self::At),
        };
        read.ok_or_else(|| {
            Problem::request(format!("`{name}={text}` is no time")).remedy(
                "write RFC 3339 (2026-11-22T08:05:00Z), a day (2026-11-22), a duration before now (-1h, -30min, -7d), \
                 or now",
            )
        })
    }

    /// The moment, seen from now.
    pub fn at(self, now: Time) -> Time {
        match self {
            Self::At(time) => time,
            Self::Ago(span) => now.minus(span),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => time.fmt(f),
            Self::Ago(span) if *span == Span::ZERO => f.write_str("now"),
            Self::Ago(span) => write!(f, "-{}", span.to_string().replace(' ', "")),
        }
    }
}

/// The place of a sample in the order of time; opaque to those who page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Its time.
    pub time: Time,
    /// Its place in the log.
    pub position: Position,
}

impl Cursor {
    /// Reads what a page gave as `next`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let read = || {
            let mut parts = text.split('.');
            let mut part = |digits: usize| {
                let part = parts.next().filter(|p| p.len() == digits)?;
                u64::from_str_radix(part, 16).ok()
            };
            let time = Time(part(16)?.cast_signed());
            let (epoch, offset) = (u32::try_from(part(8)?).ok()?, part(16)?);
            parts.next().is_none().then_some(Self { time, position: Position { epoch, offset } })
        };
        read().ok_or_else(|| {
            Problem::request(format!("`after={text}` is no place in a range of samples"))
                .remedy("give `next` of the page before, unchanged")
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{:08x}.{:016x}", self.time.0.cast_unsigned(), self.position.epoch, self.position.offset)
    }
}

/// Which samples are asked for: of one asset, by the time of their source.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeQuery {
    /// The asset.
    pub asset: String,
    /// One of its signals; `None`: all, in one order of time.
    pub signal: Option<String>,
    /// From here on; default one hour ago.
    pub from: Moment,
    /// Up to here, exclusive; default now.
    pub to: Moment,
    /// Only behind this one.
    pub after: Option<Cursor>,
    /// At most so many, up to [`SAMPLES_MAX`].
    pub limit: usize,
}

impl Default for RangeQuery {
    fn default() -> Self {
        Self {
            asset: String::new(),
            signal: None,
            from: Moment::Ago(FROM_DEFAULT),
            to: Moment::Ago(Span::ZERO),
            after: None,
            limit: SAMPLES_DEFAULT,
        }
    }
}

/// Which last values are asked for; without asset and site: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastQuery {
    /// Of this asset.
    pub asset: Option<String>,
    /// Of the assets of this site.
    pub site: Option<String>,
    /// Only signals behind this one, as `<asset>/<signal>`.
    pub after: Option<String>,
    /// At most so many, up to [`LAST_MAX`].
    pub limit: usize,
}

/// A range of a signal as a chart shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesQuery {
    /// The asset.
    pub asset: String,
    /// Its signal.
    pub signal: String,
    /// From here on; default one hour ago.
    pub from: Moment,
    /// Up to here, exclusive; default now.
    pub to: Moment,
    /// In at most so many buckets, up to [`BUCKETS_MAX`].
    pub points: usize,
}

impl Default for SeriesQuery {
    fn default() -> Self {
        let RangeQuery { from, to, .. } = RangeQuery::default();
        Self { asset: String::new(), signal: String::new(), from, to, points: POINTS_DEFAULT }
    }
}

/// Which samples are counted; without asset and signal: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountQuery {
    /// Of this asset.
    pub asset: Option<String>,
    /// Of this signal.
    pub signal: Option<String>,
    /// Each signal by itself; this reads them all.
    pub by_signal: bool,
}

/// A page of samples in the order of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplePage {
    /// The samples.
    pub rows: Vec<crate::types::Sample>,
    /// `after` of the next page; null: there is none.
    pub next: Option<String>,
}

/// The newest value of a signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// `<asset>/<signal>`.
    pub signal: String,
    /// Its site.
    pub site: String,
    /// Its unit, UCUM; null where it has none.
    pub unit: Option<String>,
    /// Time of the source.
    pub time: String,
    /// `good`, `uncertain` or `bad`.
    pub quality: String,
    /// OPC UA `StatusCode`.
    pub status: u32,
    /// Its value.
    pub value: serde_json::Value,
    /// Epoch and offset.
    pub position: String,
}

/// Last values, in the order of their signals' names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LastPage {
    /// The values.
    pub rows: Vec<Last>,
    /// `after` of the next page; null: there is none.
    pub next: Option<String>,
}

/// A range of a signal as a chart shows it: nothing beyond the extremes of a bucket happened in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// `<asset>/<signal>`.
    pub signal: String,
    /// Its unit, UCUM; null where it has none.
    pub unit: Option<String>,
    /// Where the range begins.
    pub from: String,
    /// Where it ends, exclusive.
    pub to: String,
    /// Stretches with samples, in the order of time; one without samples is left out.
    pub buckets: Vec<Bucket>,
}

/// A stretch of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Where it begins; it ends where the next one may begin.
    pub from: String,
    /// Samples in it.
    pub count: u64,
    /// The lowest value.
    pub min: f64,
    /// The highest value.
    pub max: f64,
    /// The mean of the values.
    pub mean: f64,
}

/// How many samples are kept, after reduction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleCount {
    /// All that were asked for.
    pub samples: u64,
    /// Of them in files of the historian; null where only some were asked for.
    pub cold: Option<u64>,
    /// Of them only in the log so far; null where only some were asked for.
    pub hot: Option<u64>,
    /// By `<asset>/<signal>`, where only some were asked for, or `by-signal`.
    pub signals: BTreeMap<String, u64>,
}

/// How the historian stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Historian {
    /// Files of samples.
    pub files: u64,
    /// Their bytes, summaries included.
    pub bytes: u64,
    /// Samples in them.
    pub samples: u64,
    /// Samples that are only in the log so far.
    pub hot: u64,
    /// Everything before this place of the log is in the files: epoch and offset.
    pub sealed: String,
    /// So many seconds ago the oldest sample was received that is not in a file yet.
    pub lag_seconds: u64,
    /// Samples that were not kept because a later one says as much, by source.
    pub reduced: BTreeMap<String, u64>,
    /// Samples that were removed by age or size, by site.
    pub expired: BTreeMap<String, u64>,
    /// Samples that a full disk removed before rules had read them, by source; each with a gap.
    pub dropped: BTreeMap<String, u64>,
}

/// A file of the historian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistorianFile {
    /// Its path below the data folder.
    pub path: String,
    /// Its site.
    pub site: String,
    /// The UTC day of its samples' times.
    pub date: String,
    /// Samples in it.
    pub samples: u64,
    /// Bytes of it.
    pub bytes: u64,
}

/// What became of messages that were set aside and tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Messages that were tried.
    pub messages: u64,
    /// Messages that are samples now, and set aside no longer.
    pub mended: u64,
    /// Samples stored.
    pub stored: u64,
    /// Samples that were there already.
    pub duplicate: u64,
    /// Messages that are still set aside, under this exception or under that of their new cause.
    pub wrong: u64,
    /// What is still wrong, each cause once, the first twenty.
    pub problems: Vec<String>,
    /// Whether the exception is resolved: nothing is set aside under it any more.
    pub resolved: bool,
    /// `after` of the next request; null: all were tried.
    pub next: Option<u64>,
}

/// How messages that were set aside are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayQuery {
    /// Says what would come of it and changes nothing.
    pub dry_run: bool,
    /// Messages at most.
    pub limit: usize,
    /// Only messages behind this one; `next` of the request before.
    pub after: Option<u64>,
}
