//! Works features out of the samples of a block.

use super::block::Refusal;
use andon_contract::contract::{Band, Feature};
use realfft::{RealFftPlanner, RealToComplex};
use std::{f64::consts::TAU, fmt, sync::Arc};

/// Periods of the lowest frequency that a block must last: two, so that the window keeps it apart from the mean.
pub const PERIODS_MIN: f64 = 2.0;

/// The transform of blocks of the length of the newest one; it is worked out anew where the length changes.
#[derive(Clone, Default)]
pub struct Plan {
    forward: Option<Arc<dyn RealToComplex<f64>>>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("length", &self.forward.as_ref().map(|plan| plan.len())).finish()
    }
}

impl Plan {
    fn of(&mut self, length: usize) -> Arc<dyn RealToComplex<f64>> {
        match &self.forward {
            Some(plan) if plan.len() == length => Arc::clone(plan),
            _ => Arc::clone(self.forward.insert(RealFftPlanner::new().plan_fft_forward(length))),
        }
    }
}

/// The feature of a block whose waveform has so many samples in a second.
///
/// # Errors
/// The block does not have this feature.
pub fn feature(of: Feature, rate: f64, mut samples: Vec<f64>, plan: &mut Plan) -> Result<f64, Refusal> {
    let count = count(samples.len());
    let mean = samples.iter().sum::<f64>() / count;
    if !mean.is_finite() {
        return Err(Refusal::TooLarge);
    }
    for sample in &mut samples {
        *sample -= mean;
    }
    let moment = |power: i32| samples.iter().map(|x| x.powi(power)).sum::<f64>() / count;
    let peak = || samples.iter().fold(0.0_f64, |peak, x| peak.max(x.abs()));
    let is_flat = || samples.windows(2).all(|pair| pair.first() == pair.last());
    let found = match of {
        Feature::Rms => moment(2).sqrt(),
        Feature::Peak => peak(),
        Feature::CrestFactor | Feature::Kurtosis if is_flat() => return Err(Refusal::Flat),
        Feature::CrestFactor => peak() / moment(2).sqrt(),
        Feature::Kurtosis => moment(4) / moment(2).powi(2),
        Feature::VelocityRms(band) => {
            // From m/s to mm/s.
            let to_velocity = |frequency: f64| (1e3 / (TAU * frequency)).powi(2);
            mean_square(&samples, rate, band, plan, to_velocity)?.sqrt()
        }
        Feature::Band(band) => mean_square(&samples, rate, band, plan, |_| 1.0)?.sqrt(),
    };
    if found.is_finite() { Ok(found) } else { Err(Refusal::TooLarge) }
}

/// The mean square of the part of a waveform in a band, each frequency weighed.
///
/// The window is Hann's, and its own mean square is taken out again: that is its correction of amplitude (2) over its
/// width in noise (1.5). So the squares of all frequencies together are the mean square of the waveform (Parseval), and
/// those around a sine are its.
fn mean_square(
    samples: &[f64],
    rate: f64,
    band: Band,
    plan: &mut Plan,
    weight: impl Fn(f64) -> f64,
) -> Result<f64, Refusal> {
    let length = count(samples.len());
    let (lasts, needed) = (length / rate, PERIODS_MIN / band.from);
    if lasts < needed {
        return Err(Refusal::TooShort { lasts, from: band.from, needed });
    }
    let forward = plan.of(samples.len());
    let mut squares = 0.0;
    let mut windowed = forward.make_input_vec();
    for (number, (to, from)) in windowed.iter_mut().zip(samples).enumerate() {
        let window = 0.5 - 0.5 * (TAU * count(number) / length).cos();
        squares += window * window;
        *to = from * window;
    }
    let mut spectrum = forward.make_output_vec();
    let mut scratch = forward.make_scratch_vec();
    // The vectors are those that the transform made for itself: it cannot refuse them.
    forward.process_with_scratch(&mut windowed, &mut spectrum, &mut scratch).map_err(|_| Refusal::TooLarge)?;
    let mut sum = 0.0;
    for (number, line) in spectrum.iter().enumerate() {
        let frequency = count(number) * rate / length;
        if frequency >= band.from && frequency <= band.to {
            // Every line but the one at half the rate stands for its mirror, too.
            let sides = if 2 * number == samples.len() { 1.0 } else { 2.0 };
            sum += sides * line.norm_sqr() * weight(frequency);
        }
    }
    Ok(sum / (length * squares))
}

#[expect(clippy::cast_precision_loss, reason = "a block has at most a million samples")]
fn count(number: usize) -> f64 {
    number as f64
}
