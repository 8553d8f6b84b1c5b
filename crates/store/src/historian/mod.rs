//! The historian: samples that were sealed from the log into Parquet, and the questions that are asked of both.

pub(crate) mod catalog;
mod compact;
#[cfg(test)]
mod crash;
mod hot;
pub(crate) mod keeper;
pub(crate) mod last;
mod minutes;
pub(crate) mod parquet;
mod range;
pub(crate) mod recover;
mod reduce;
mod retain;
mod seal;
mod work;

pub use keeper::{Keeper, Progress, SealNow};

pub use range::{BUCKETS_MAX, RANGE_BYTES_MAX, RANGE_SAMPLES_MAX};

use andon_model::{AssetName, Name, Position, Quality, SignalName, SiteName, Time, Value, sample::Origin, span::Span};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Which samples are asked for: of one signal, by source time.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The asset.
    pub asset: AssetName,
    /// Its signal.
    pub signal: SignalName,
    /// From this time on.
    pub from: Time,
    /// Up to this time, exclusive.
    pub to: Time,
    /// Only samples behind this one, in the order of time and place: the last one of the page before.
    pub after: Option<(Time, Position)>,
    /// Samples at most.
    pub limit: usize,
}

/// A sample as the historian keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its place in the log when it was received.
    pub position: Position,
    /// Source time.
    pub time: Time,
    /// When it was received; whole milliseconds.
    pub received: Time,
    /// Quality.
    pub quality: Quality,
    /// Value.
    pub value: Value,
}

/// A sample at a place, with whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The site.
    pub site: SiteName,
    /// The source that delivered it; `None` once it is sealed.
    pub source: Option<Name>,
    /// The asset.
    pub asset: AssetName,
    /// Its signal.
    pub signal: SignalName,
    /// What is known of its time.
    pub origin: Origin,
    /// The sample.
    pub sample: Stored,
}

/// A stretch of a signal as a chart shows it: nothing beyond its extremes happened in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Where it begins; it ends where the next one may begin.
    pub from: Time,
    /// Samples in it.
    pub count: u64,
    /// The lowest value.
    pub min: f64,
    /// The highest value.
    pub max: f64,
    /// The mean of the values.
    pub mean: f64,
}

/// When a source was heard of last, from its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// The newest receive time of all its samples.
    pub received: Option<Time>,
    /// The newest receive time by asset.
    pub assets: BTreeMap<AssetName, Time>,
}

/// How the historian stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holdings {
    /// Files of samples.
    pub files: u64,
    /// Their bytes, summaries included.
    pub bytes: u64,
    /// Samples in them.
    pub samples: u64,
    /// Everything before this place of the log is in them.
    pub sealed: Position,
    /// Samples that were not kept because a later one says as much, by source.
    pub reduced: BTreeMap<Name, u64>,
    /// Samples that were removed by age or size, by site.
    pub expired: BTreeMap<SiteName, u64>,
    /// Samples that rules have not read since a full disk took their segment, by source; each with a gap. They are in
    /// the files.
    pub dropped: BTreeMap<Name, u64>,
    /// Files that are listed and not there, or not whole.
    pub missing: Vec<PathBuf>,
}

/// How the samples of a signal are reduced; `None`: not at all.
pub type Reducing = Arc<dyn Fn(&AssetName, &SignalName) -> Option<Reduce> + Send + Sync>;

/// What is kept how, as far as the historian must know it.
#[derive(Clone)]
pub struct Policy {
    /// Sealed at the latest when the oldest unsealed sample is so old; default 1 h.
    pub seal_after: Span,
    /// Samples by site: how old by receive time, and how many bytes.
    pub samples: Arc<dyn Fn(&SiteName) -> Kept + Send + Sync>,
    /// One-minute summaries.
    pub minutes: Kept,
    /// Which samples of a signal need not be kept.
    pub reduce: Reducing,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// So long after receipt; `None`: for ever.
    pub age: Option<Span>,
    /// So many bytes on disk; `None`: all.
    pub bytes: Option<u64>,
}

/// How samples are found that say nothing new; the first and the last of a stretch are always kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reduce {
    /// Values within this of the last kept one go.
    pub deadband: Option<f64>,
    /// Values within this of the line between their kept neighbours go (swinging door).
    pub door: Option<f64>,
    /// One at least is kept in each such stretch of source time.
    pub heartbeat: Option<Span>,
}

/// Reads any bytes as a file of samples and as one of minutes: what is none is refused, and nothing else happens.
pub fn fuzz(data: &[u8]) {
    parquet::fuzz(data);
    minutes::fuzz(data);
}
