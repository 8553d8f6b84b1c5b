//! The statistics of a stretch of samples, one sample at a time (Welford) and joined with those of another (Chan).
//!
//! Nothing is the difference of two large sums: means and squared distances from them are carried on, so a small
//! spread on a large value keeps its digits.

use serde::{Deserialize, Serialize};

/// Of a stretch: how many samples, their means, their squared distances from them, their extremes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Samples.
    pub count: u64,
    #[serde(deserialize_with = "number")]
    mean: f64,
    /// Sum of the squared distances of the values from their mean.
    #[serde(deserialize_with = "number")]
    spread: f64,
    /// Mean of the times, in seconds from the beginning of the stretch.
    #[serde(deserialize_with = "number")]
    mean_time: f64,
    /// Sum of the squared distances of the times from their mean.
    #[serde(deserialize_with = "number")]
    spread_time: f64,
    /// Sum of the products of both distances.
    #[serde(deserialize_with = "number")]
    together: f64,
    /// The lowest value.
    #[serde(deserialize_with = "number")]
    pub min: f64,
    /// The highest value.
    #[serde(deserialize_with = "number")]
    pub max: f64,
}

/// A number that has grown beyond all bounds stands in JSON as nothing; it must not cost the whole state.
fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Stats {
    /// Of one sample, so many seconds behind the beginning of the stretch.
    pub fn of(value: f64, seconds: f64) -> Self {
        Self {
            count: 1,
            mean: value,
            spread: 0.0,
            mean_time: seconds,
            spread_time: 0.0,
            together: 0.0,
            min: value,
            max: value,
        }
    }

    /// The same in a stretch that begins so many seconds earlier.
    #[must_use]
    pub fn after(self, earlier: f64) -> Self {
        Self { mean_time: self.mean_time + earlier, ..self }
    }

    /// Both stretches as one that begins with this one; the other begins so many seconds later.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^53 samples")]
    pub fn join(self, other: &Self, later: f64) -> Self {
        let (a, b) = (self.count as f64, other.count as f64);
        let count = a + b;
        let step = other.mean - self.mean;
        let step_time = other.mean_time + later - self.mean_time;
        let weight = a * b / count;
        Self {
            count: self.count.saturating_add(other.count),
            mean: self.mean + step * b / count,
            spread: self.spread + other.spread + step * step * weight,
            mean_time: self.mean_time + step_time * b / count,
            spread_time: self.spread_time + other.spread_time + step_time * step_time * weight,
            together: self.together + other.together + step * step_time * weight,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The root of the mean of the squares.
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^53 samples")]
    pub fn rms(&self) -> f64 {
        self.mean.hypot((self.spread / self.count as f64).sqrt())
    }

    /// The standard deviation of a sample (divided by one less than the count); of one value there is none.
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^53 samples")]
    pub fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.spread / (self.count - 1) as f64).sqrt())
    }

    /// The slope of the straight line of least squares, per second; of one moment there is none.
    pub fn slope(&self) -> Option<f64> {
        (self.spread_time > 0.0).then(|| self.together / self.spread_time)
    }
}

/// The percentile of values, 0 to 100, with a straight line between the two that it falls between (the inclusive way
/// of spreadsheets). `None` of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a list that fits into memory, and it is never negative"
)]
pub fn percentile(mut values: Vec<f64>, percent: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = (percent.clamp(0.0, 100.0) / 100.0) * last as f64;
    let (_, low, above) = values.select_nth_unstable_by((place.floor() as usize).min(last), f64::total_cmp);
    let low = *low;
    let part = place.fract();
    match above.iter().copied().min_by(f64::total_cmp) {
        Some(high) if part > 0.0 => Some(low + (high - low) * part),
        _ => Some(low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[f64]) -> Stats {
        let mut all = values.iter().zip(0_u32..).map(|(value, second)| Stats::of(*value, f64::from(second)));
        let first = all.next().unwrap();
        all.fold(first, |sum, one| sum.join(&one, 0.0))
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9), "{a} {b}");
    }

    #[test]
    fn they_are_those_of_the_books() {
        let stats = all(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        near(stats.mean(), 5.0);
        near(stats.stddev().unwrap(), (32.0_f64 / 7.0).sqrt());
        near(stats.rms(), 29.0_f64.sqrt());
        assert_eq!((stats.min, stats.max, stats.count), (2.0, 9.0, 8));
        near(all(&[1.0, 3.0, 5.0, 7.0]).slope().unwrap(), 2.0);
        assert_eq!(all(&[1.0]).stddev(), None);
        assert_eq!(all(&[1.0]).slope(), None);
    }

    #[test]
    fn a_small_spread_on_a_large_value_keeps_its_digits() {
        let stats = all(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        near(stats.stddev().unwrap(), 30.0_f64.sqrt());
    }

    #[test]
    fn stretches_are_joined_as_one() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i * i % 37) * 0.1).collect();
        let (a, b) = values.split_at(33);
        let (whole, joined) = (all(&values), all(a).join(&all(b), 33.0));
        near(whole.mean(), joined.mean());
        near(whole.stddev().unwrap(), joined.stddev().unwrap());
        near(whole.slope().unwrap(), joined.slope().unwrap());
        assert_eq!((whole.count, whole.min, whole.max), (joined.count, joined.min, joined.max));
    }

    #[test]
    fn percentiles_are_the_inclusive_ones() {
        let values = vec![15.0, 20.0, 35.0, 40.0, 50.0];
        for (percent, expected) in [(0.0, 15.0), (25.0, 20.0), (40.0, 29.0), (50.0, 35.0), (95.0, 48.0), (100.0, 50.0)]
        {
            near(percentile(values.clone(), percent).unwrap(), expected);
        }
        assert_eq!(percentile(vec![7.0], 99.0), Some(7.0));
        assert_eq!(percentile(Vec::new(), 99.0), None);
    }
}
