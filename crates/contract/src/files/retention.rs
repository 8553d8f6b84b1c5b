//! `policies/retention.yaml`: how long samples are kept, and how many of them.

use super::words::{Duration, Named, Size};
use crate::read::{At, Entries};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is removed, when; without this file everything is kept. Ages count from the receipt of a sample.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "policies/retention.yaml")]
pub(crate) struct RetentionFile {
    /// Samples leave the log for files when the oldest is so old, or when they fill a segment of the log (64 MiB);
    /// default 1 h, from 1 min to 1 d. Only files are read by other programs.
    #[serde(default)]
    pub(crate) seal: Option<At<Duration>>,
    /// Samples of every site that is not named below; default: all are kept for ever.
    #[serde(default)]
    pub(crate) samples: Option<KeepFile>,
    /// Samples of a site; what stands here holds instead of `samples`, not beside it.
    #[serde(default)]
    pub(crate) sites: Entries<Named, KeepFile>,
    /// One-minute summaries (lowest, highest, mean, count), which charts of long times read; default: kept for ever.
    #[serde(default)]
    pub(crate) minutes: Option<KeepFile>,
}

/// How much is kept: what is older, or beyond the size, goes, the oldest first.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepFile {
    /// So long after receipt, at least 1 h: `90 d`.
    #[serde(default)]
    pub(crate) keep: Option<At<Duration>>,
    /// At most so many bytes on disk, at least 16 MiB: `20 GiB`.
    #[serde(default)]
    pub(crate) size: Option<At<Size>>,
}
