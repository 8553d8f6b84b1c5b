//! Settings of control charts.

use serde::{Deserialize, Serialize};

/// A control chart of a signal: run rules on single values or on means of subgroups.
#[derive(Debug, Clone, PartialEq)]
pub struct SpcSettings {
    /// The run rules that are looked for, each once, with their severities (1 to 1000).
    pub rules: Vec<(RunRule, u16)>,
    /// Samples that make a point: 1, or 2 to [`SUBGROUP_MAX`] whose mean it is.
    pub subgroup: usize,
    /// The lines in force from the start; until others are learned, where some are.
    pub given: Option<Lines>,
    /// How lines are learned; `None`: the given ones stay.
    pub learn: Option<Learn>,
    /// The unit of the signal, for what is told of learned lines.
    pub unit: String,
}

/// Samples of a subgroup at most.
pub const SUBGROUP_MAX: usize = 10;

/// The lines of a chart, in the unit of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// The centre.
    pub centre: f64,
    /// The standard deviation of the points: of single values, or of means of subgroups. Above 0.
    pub sigma: f64,
}

/// How the lines are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learn {
    /// Good samples that are learned from.
    pub samples: u32,
    /// What the standard deviation is worked out from.
    pub sigma: SigmaFrom,
}

/// What a standard deviation is worked out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SigmaFrom {
    /// The mean range, over the constant d2 of its size: of neighbours, or of the samples of a subgroup.
    Range,
    /// All samples together.
    Sample,
}

/// A pattern of points that chance hardly makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunRule {
    /// A point beyond 3 sigma.
    #[serde(rename = "western-electric-1")]
    WesternElectric1,
    /// 2 of 3 points beyond 2 sigma on one side.
    #[serde(rename = "western-electric-2")]
    WesternElectric2,
    /// 4 of 5 points beyond 1 sigma on one side.
    #[serde(rename = "western-electric-3")]
    WesternElectric3,
    /// 8 points in a row on one side of the centre.
    #[serde(rename = "western-electric-4")]
    WesternElectric4,
    /// A point beyond 3 sigma.
    #[serde(rename = "nelson-1")]
    Nelson1,
    /// 9 points in a row on one side of the centre.
    #[serde(rename = "nelson-2")]
    Nelson2,
    /// 6 points in a row that rise, or fall, all the time.
    #[serde(rename = "nelson-3")]
    Nelson3,
    /// 14 points in a row that rise and fall in turn.
    #[serde(rename = "nelson-4")]
    Nelson4,
    /// 2 of 3 points beyond 2 sigma on one side.
    #[serde(rename = "nelson-5")]
    Nelson5,
    /// 4 of 5 points beyond 1 sigma on one side.
    #[serde(rename = "nelson-6")]
    Nelson6,
    /// 15 points in a row within 1 sigma.
    #[serde(rename = "nelson-7")]
    Nelson7,
    /// 8 points in a row beyond 1 sigma, some on either side.
    #[serde(rename = "nelson-8")]
    Nelson8,
}

impl RunRule {
    /// All of them; the four of Western Electric first.
    pub const ALL: [Self; 12] = [
        Self::WesternElectric1,
        Self::WesternElectric2,
        Self::WesternElectric3,
        Self::WesternElectric4,
        Self::Nelson1,
        Self::Nelson2,
        Self::Nelson3,
        Self::Nelson4,
        Self::Nelson5,
        Self::Nelson6,
        Self::Nelson7,
        Self::Nelson8,
    ];

    /// Its word in files and events.
    pub fn word(self) -> &'static str {
        match self {
            Self::WesternElectric1 => "western-electric-1",
            Self::WesternElectric2 => "western-electric-2",
            Self::WesternElectric3 => "western-electric-3",
            Self::WesternElectric4 => "western-electric-4",
            Self::Nelson1 => "nelson-1",
            Self::Nelson2 => "nelson-2",
            Self::Nelson3 => "nelson-3",
            Self::Nelson4 => "nelson-4",
            Self::Nelson5 => "nelson-5",
            Self::Nelson6 => "nelson-6",
            Self::Nelson7 => "nelson-7",
            Self::Nelson8 => "nelson-8",
        }
    }

    /// What it finds.
    pub fn pattern(self) -> RunPattern {
        match self {
            Self::WesternElectric1 | Self::Nelson1 => RunPattern::Beyond { points: 1, of: 1, sigma: 3.0 },
            Self::WesternElectric2 | Self::Nelson5 => RunPattern::Beyond { points: 2, of: 3, sigma: 2.0 },
            Self::WesternElectric3 | Self::Nelson6 => RunPattern::Beyond { points: 4, of: 5, sigma: 1.0 },
            Self::WesternElectric4 => RunPattern::Beyond { points: 8, of: 8, sigma: 0.0 },
            Self::Nelson2 => RunPattern::Beyond { points: 9, of: 9, sigma: 0.0 },
            Self::Nelson3 => RunPattern::Trend(6),
            Self::Nelson4 => RunPattern::Alternating(14),
            Self::Nelson7 => RunPattern::Within(15),
            Self::Nelson8 => RunPattern::Without(8),
        }
    }
}

/// What a run rule finds in the newest points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunPattern {
    /// The newest point and others, this many of so many, beyond `sigma` on the same side of the centre.
    Beyond {
        /// How many.
        points: usize,
        /// Of how many.
        of: usize,
        /// Beyond how many sigma.
        sigma: f64,
    },
    /// So many that rise all the time, or fall all the time.
    Trend(usize),
    /// So many that rise and fall in turn.
    Alternating(usize),
    /// So many within 1 sigma.
    Within(usize),
    /// So many beyond 1 sigma, at least one on either side.
    Without(usize),
}

impl RunPattern {
    /// The points it looks at.
    pub fn points(self) -> usize {
        match self {
            Self::Beyond { of, .. } => of,
            Self::Trend(points) | Self::Alternating(points) | Self::Within(points) | Self::Without(points) => points,
        }
    }
}
