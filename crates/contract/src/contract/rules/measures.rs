//! Settings of rules that derive a number from samples and judge it by levels.

use super::LimitSettings;
use andon_model::span::Span;
use serde::{Deserialize, Serialize};

/// A rate of change that is judged by levels.
#[derive(Debug, Clone, PartialEq)]
pub struct RateSettings {
    /// The unit of time of the rate.
    pub per: Span,
    /// The two samples lie at least so far apart; `None`: they are two good ones in a row.
    pub over: Option<Span>,
    /// The levels, in the unit of the rate.
    pub levels: LimitSettings,
}

/// A number of all samples of a stretch of plant time, judged by levels.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSettings {
    /// What is worked out.
    pub function: WindowFunction,
    /// How long a window is: a whole multiple of `every`, [`WINDOW_PARTS_MAX`] times at most.
    pub over: Span,
    /// How often one ends.
    pub every: Span,
    /// So long after its end a window takes late samples, and is judged then.
    pub lateness: Span,
    /// With fewer good samples it has no number.
    pub at_least: u64,
    /// The levels, in the unit of the number.
    pub levels: LimitSettings,
}

/// Times that `every` fits into `over` and `lateness` together at most.
pub const WINDOW_PARTS_MAX: i64 = 1_000;

/// What is worked out of the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowFunction {
    /// The arithmetic mean.
    Mean,
    /// The root of the mean of the squares.
    Rms,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// The standard deviation, of a sample.
    Stddev,
    /// The slope of the straight line of least squares, per this unit of time.
    Slope(Span),
    /// How many there are.
    Count,
    /// The percentile, 0 to 100, with a straight line between neighbours.
    Percentile(f64),
}
