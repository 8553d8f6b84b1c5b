//! How long samples are kept, and how many of them.

use andon_model::{SiteName, span::Span};
use std::collections::BTreeMap;

/// `policies/retention.yaml`: what is removed, when. Without it everything is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retention {
    /// Samples of every site that is not named.
    pub samples: Keep,
    /// Samples of a site.
    pub sites: BTreeMap<SiteName, Keep>,
    /// One-minute summaries; by default they outlive the samples.
    pub minutes: Keep,
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
