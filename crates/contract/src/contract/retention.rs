//! How long samples are kept, and how many of them.

use super::Contract;
use andon_model::{AssetName, SignalName, SiteName, span::Span};
use std::collections::BTreeMap;

/// `policies/retention.yaml`: what is removed, when. Without it everything is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Retention {
    /// Samples leave the log for files at the latest when the oldest of them is so old, [`Retention::SEAL_MIN`] to
    /// [`Retention::SEAL_MAX`].
    pub seal: Span,
    /// Samples of every site that is not named.
    pub samples: Keep,
    /// Samples of a site.
    pub sites: BTreeMap<SiteName, Keep>,
    /// One-minute summaries; by default they outlive the samples.
    pub minutes: Keep,
}

impl Retention {
    /// Samples are sealed so old unless told.
    pub const SEAL: Span = Span::from_secs(3_600);
    /// Sealed more often, files would be too small to be worth their names.
    pub const SEAL_MIN: Span = Span::from_secs(60);
    /// Sealed more seldom, the log would grow without need.
    pub const SEAL_MAX: Span = Span::from_secs(86_400);
}

impl Default for Retention {
    fn default() -> Self {
        Self { seal: Self::SEAL, samples: Keep::default(), sites: BTreeMap::new(), minutes: Keep::default() }
    }
}

/// What is kept; what is older by receive time, or beyond the size, goes, the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Keep {
    /// For so long after receipt; `None`: for ever.
    pub age: Option<Span>,
    /// At most so many bytes on disk; `None`: as many as there are.
    pub bytes: Option<u64>,
}

/// Which samples of a signal need not be kept once a later one is durable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reduction {
    /// How samples are found that say nothing new.
    pub by: ReduceBy,
    /// One sample at least is kept in each such stretch of source time.
    pub heartbeat: Option<Span>,
}

/// How samples are found that say nothing new.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReduceBy {
    /// Values that differ from the last kept one by no more than this, in the unit of the signal.
    Deadband(f64),
    /// Values that lie within this of the line between their kept neighbours (swinging door).
    SwingingDoor(f64),
}

impl Contract {
    /// How much is kept of the samples of a site. What is told of a site holds instead of what is told of all, also
    /// where it says less.
    pub fn keep(&self, site: &SiteName) -> Keep {
        self.retention.sites.get(site).copied().unwrap_or(self.retention.samples)
    }

    /// Which samples of a signal need not be kept; `None`: all are, also those of a signal that is not declared.
    pub fn reduction(&self, asset: &AssetName, signal: &SignalName) -> Option<Reduction> {
        let class = &self.assets.get(asset)?.class;
        self.classes.get(class)?.signals.get(signal)?.reduce
    }
}
