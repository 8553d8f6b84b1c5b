//! Learns the lines of a chart from its first samples.

use andon_contract::contract::{Learn, Lines, SigmaFrom};
use serde::{Deserialize, Serialize};

/// The expected range of so many normal values, in standard deviations: d2 of 2 to 10 (ISO 7870-2, table 2).
const D2: [f64; 9] = [1.128, 1.693, 2.059, 2.326, 2.534, 2.704, 2.847, 2.970, 3.078];

/// What has been learned from so far: sums only, however many samples there are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    count: u32,
    mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
    ranges: u32,
    range_sum: f64,
    /// The newest sample.
    last: Option<f64>,
}

impl Learning {
    /// Samples that were learned from so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The samples of a point; the lines once there are enough of them.
    ///
    /// Where all samples are equal nothing can be said of their deviation: learning goes on.
    pub fn point(&mut self, learn: Learn, samples: impl Iterator<Item = f64>) -> Option<(Lines, u32)> {
        let (mut low, mut high, mut size) = (f64::INFINITY, f64::NEG_INFINITY, 0_usize);
        let before = self.last;
        for sample in samples {
            self.count = self.count.saturating_add(1);
            let off = sample - self.mean;
            self.mean += off / f64::from(self.count);
            self.squares += off * (sample - self.mean);
            (low, high, size) = (low.min(sample), high.max(sample), size + 1);
            self.last = Some(sample);
        }
        if size == 1 {
            if let (Some(before), Some(now)) = (before, self.last) {
                self.range((now - before).abs());
            }
        } else if size > 1 {
            self.range(high - low);
        }
        if !self.mean.is_finite() || !self.squares.is_finite() || !self.range_sum.is_finite() {
            // Values near the end of what f64 holds: what overflowed would stay so for ever.
            *self = Self::default();
            return None;
        }
        if self.count < learn.samples {
            return None;
        }
        let points = u32::try_from(size).map_or(1.0, f64::from);
        let of_samples = match learn.sigma {
            SigmaFrom::Range => self.range_sum / f64::from(self.ranges.max(1)) / d2(size),
            SigmaFrom::Sample => (self.squares / f64::from(self.count.saturating_sub(1).max(1))).sqrt(),
        };
        let sigma = of_samples / points.sqrt();
        // A sigma that vanishes beside the mean is rounding, not a deviation.
        (sigma > self.mean.abs() * f64::EPSILON).then_some((Lines { centre: self.mean, sigma }, self.count))
    }

    fn range(&mut self, range: f64) {
        self.ranges = self.ranges.saturating_add(1);
        self.range_sum += range;
    }
}

/// d2 of a range of so many samples; of single ones that of neighbours.
fn d2(size: usize) -> f64 {
    D2.get(size.saturating_sub(2)).copied().unwrap_or(f64::INFINITY)
}
