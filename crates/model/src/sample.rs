//! Samples, marks and their places in the log.

use crate::{
    name::{AssetName, Name, SiteName},
    time::Time,
    value::{Quality, Value},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of a signal in one data folder; given once and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalNo(pub u32);

/// The ordinal number of an entry in the log of one instance, from 0.
pub type Offset = u64;

/// A place in the log: entries before `offset` lie behind it. The epoch rises with every restore,
/// so that a place is never used twice for different entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The epoch of the data folder when the entry was written.
    pub epoch: u32,
    /// The ordinal number of the entry.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.offset)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One value of one signal at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The signal.
    pub signal: SignalNo,
    /// The time the source gave, or the receive time where it gave none.
    pub time: Time,
    /// When it was received; whole milliseconds.
    pub received: Time,
    /// How far the value may be trusted.
    pub quality: Quality,
    /// The value.
    pub value: Value,
    /// What is known of its time.
    pub origin: Origin,
}

/// Where the time of a sample comes from, which decides whether rules read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Live, with a time of its source, or without one at its receive time.
    #[default]
    Live,
    /// The source claimed this time, more than `ahead` after the receive time: stored at the
    /// receive time with quality uncertain.
    Ahead(Time),
    /// A retained message: history. It sets no newer last value and does not reset `stale`.
    Retained,
    /// A retained message without a time of its source: kept and never evaluated.
    RetainedUntimed,
    /// A retained message whose source claimed this time, more than `ahead` after the receive time: stored at the
    /// receive time with quality uncertain, kept and never evaluated.
    RetainedAhead(Time),
}

impl Origin {
    /// Whether it is history: it sets no newer last value.
    pub fn is_retained(self) -> bool {
        matches!(self, Self::Retained | Self::RetainedUntimed | Self::RetainedAhead(_))
    }

    /// Whether it is history of which nobody knows when it happened: it is never evaluated.
    pub fn is_untimed(self) -> bool {
        matches!(self, Self::RetainedUntimed | Self::RetainedAhead(_))
    }
}

/// Something rules must know of besides samples, durable in the log before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The source of the batch is connected and subscribed.
    Connected,
    /// The source of the batch is disconnected; the text says why.
    Disconnected(String),
    /// The clock of an asset for the source of the batch has reached these times without a sample.
    Tick {
        /// Whose clock.
        asset: AssetName,
        /// Plant time.
        plant: Time,
        /// UTC, by which `stale` runs.
        utc: Time,
    },
    /// From here on this revision of the contract holds.
    Contract(String),
    /// From here on this revision of the context holds.
    Context(u64),
    /// The samples behind it in the batch are these rows of a file, a request or a set-aside message. It becomes
    /// durable with them, so after a crash the log tells how far they were taken.
    Rows {
        /// Which one, in the words of its source: name and hash of a file, key and hash of a request.
        of: String,
        /// The first row, from 0.
        from: u64,
        /// The row behind the last one.
        to: u64,
    },
    /// A person took an alarm out of sight, or out of work, or put it back.
    Control(Box<Control>),
}

/// What a person did to the alarms of a rule for an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The rule.
    pub rule: Name,
    /// The asset.
    pub asset: AssetName,
    /// What was done.
    pub act: ControlAct,
    /// When it was asked for, UTC.
    pub at: Time,
    /// Who says to have done it.
    pub actor: String,
    /// Why, in the person's words.
    pub reason: String,
}

/// What can be done to the alarms of a rule for an asset; names as in OPC UA Part 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAct {
    /// Alarms are recorded and not raised.
    Shelve {
        /// Before this time, UTC.
        until: Time,
        /// And only until an alarm returns.
        once: bool,
    },
    /// Alarms are raised again.
    Unshelve,
    /// The rule is not evaluated for the asset.
    Disable,
    /// It is evaluated again.
    Enable,
}

impl ControlAct {
    /// The word of the API and of commands.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shelve { .. } => "shelve",
            Self::Unshelve => "unshelve",
            Self::Disable => "disable",
            Self::Enable => "enable",
        }
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A sample.
    Sample(Sample),
    /// A mark.
    Mark(Mark),
}

/// What became of the samples that were received with a batch. A message that gives no sample
/// counts as one refused or quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Received; equal to the sum of the others.
    pub received: u64,
    /// Stored in the log.
    pub stored: u64,
    /// Known already: same time, value and quality as one of the last 65,536 of the source.
    pub duplicate: u64,
    /// Set aside with their bytes.
    pub quarantined: u64,
    /// Refused towards the source with a reason.
    pub refused: u64,
}

impl Counts {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        self.refused += other.refused;
    }

    /// Whether nothing is lost: received is the sum of what became of it.
    pub fn is_whole(&self) -> bool {
        self.received == self.stored + self.duplicate + self.quarantined + self.refused
    }
}

/// Entries of one source and one site that become durable together, without places yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The site whose samples these are.
    pub site: SiteName,
    /// The source that delivered them.
    pub source: Name,
    /// What was received with them.
    pub counts: Counts,
    /// The entries in the order of their receipt.
    pub entries: Vec<Entry>,
}

impl Part {
    /// An empty part.
    pub fn new(site: SiteName, source: Name) -> Self {
        Self { site, source, counts: Counts::default(), entries: Vec::new() }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.counts == Counts::default()
    }
}

/// A part with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The place of its first entry; the others follow by one.
    pub first: Position,
    /// What it holds.
    pub part: Part,
}

impl Batch {
    /// The place behind its last entry.
    pub fn end(&self) -> Position {
        Position { epoch: self.first.epoch, offset: self.first.offset + self.part.entries.len() as u64 }
    }
}
