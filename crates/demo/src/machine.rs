//! A synthetic recording of a machine's temperature: ten days, one hour too hot, hours too cold, and half an hour that
//! must alarm nobody.

use andon_model::{Time, span::Span};
use std::fmt::Write;

/// The seed of the recording that is checked in with the example.
pub const SEED: u64 = 42;
/// The first sample: 2026-03-02 21:15:00 UTC.
pub const START: Time = Time(1_772_486_100_000_000_000);
/// The time between two samples.
pub const STEP: Span = Span::from_secs(300);
/// The number of samples: ten days.
pub const COUNT: usize = 10 * 24 * 12;

/// The temperature is above the high limit of the example (105 degF) in these samples, for 30 minutes: no alarm.
pub const BRIEFLY_HOT: std::ops::Range<usize> = 700..706;
/// The temperature is above the high limit of the example in these samples, for 2.5 hours: an alarm.
pub const HOT: std::ops::Range<usize> = 1_300..1_330;
/// The temperature is below the low limit of the example (55 degF) in these samples, for 4 hours: an alarm.
pub const COLD: std::ops::Range<usize> = 2_200..2_248;

/// The course without day and noise, in hundredths of a degree Fahrenheit at a sample; straight lines between.
const COURSE: [(usize, i64); 15] = [
    (0, 7_800),
    (688, 8_400),
    (700, 10_700),
    (705, 10_700),
    (712, 8_600),
    (1_280, 8_200),
    (1_300, 10_700),
    (1_315, 11_900),
    (1_329, 10_900),
    (1_350, 8_300),
    (2_180, 7_700),
    (2_200, 5_200),
    (2_230, 4_600),
    (2_260, 6_900),
    (COUNT, 8_000),
];

/// One sample of the recording. Whole numbers, so that every machine computes the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When it was taken.
    pub time: Time,
    /// Hundredths of a degree Fahrenheit.
    pub hundredths: i64,
}

/// The recording of a seed. Only the noise differs between seeds; when it is too hot or too cold is the same for all.
pub fn temperature(seed: u64) -> Vec<Reading> {
    let mut chance = seed;
    let mut noise = 0;
    let mut time = START;
    let mut readings = Vec::with_capacity(COUNT);
    for sample in 0..COUNT {
        // Half of the last deviation remains, so that the line wanders instead of trembling.
        noise = noise / 2 + draw(&mut chance, 120);
        let value = course(sample) + day(sample) + noise;
        let hundredths = if BRIEFLY_HOT.contains(&sample) || HOT.contains(&sample) {
            value.max(10_560)
        } else if COLD.contains(&sample) {
            value.min(5_440)
        } else {
            // Between the excursions the noise never crosses a limit.
            value.clamp(5_560, 10_440)
        };
        readings.push(Reading { time, hundredths });
        time = time.plus(STEP);
    }
    readings
}

/// The recording as CSV with the columns `timestamp,value`; times without zone, as such recordings have them.
pub fn csv(readings: &[Reading]) -> String {
    let mut text = String::from("timestamp,value\n");
    for reading in readings {
        let time = reading.time.to_string().replace('T', " ").replace('Z', "");
        let (whole, rest) = (reading.hundredths / 100, reading.hundredths % 100);
        writeln!(text, "{time},{whole}.{rest:02}").expect("a String takes every text");
    }
    text
}

/// The course at a sample.
fn course(sample: usize) -> i64 {
    let at = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    for pair in COURSE.windows(2) {
        if let [(from, low), (to, high)] = *pair
            && (from..to).contains(&sample)
        {
            return low + (high - low) * at(sample - from) / at(to - from);
        }
    }
    8_000
}

/// The day: three degrees up and down in straight lines, warmest in the middle.
fn day(sample: usize) -> i64 {
    let of_day = i64::try_from(sample % 288).unwrap_or(0);
    300 - (of_day - 144).abs() * 600 / 144
}

/// A whole number from -`width` to `width` (`SplitMix64`).
fn draw(state: &mut u64, width: i64) -> i64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    i64::try_from(z >> 33).unwrap_or(0) % (2 * width + 1) - width
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    const FILE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/machine-temperature/data/machine_temperature_synthetic.csv"
    );

    fn ranges(readings: &[Reading], beyond: impl Fn(i64) -> bool) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (sample, _) in readings.iter().enumerate().filter(|(_, r)| beyond(r.hundredths)) {
            match ranges.last_mut() {
                Some(last) if last.end == sample => last.end += 1,
                _ => ranges.push(sample..sample + 1),
            }
        }
        ranges
    }

    #[test]
    fn it_is_beyond_the_limits_exactly_when_it_says_so_whatever_the_seed() {
        for seed in 0..50 {
            let readings = temperature(seed);
            assert_eq!(readings.len(), COUNT);
            assert_eq!(ranges(&readings, |v| v > 10_500), [BRIEFLY_HOT, HOT]);
            assert_eq!(ranges(&readings, |v| v < 5_500), [COLD]);
        }
    }

    #[test]
    fn the_excursions_are_long_and_short_enough() {
        let minutes = |range: Range<usize>| range.len() * 5;
        assert!(minutes(BRIEFLY_HOT) <= 30);
        assert!(minutes(HOT) > 70 && minutes(COLD) > 70);
        let first = temperature(SEED)[0].time;
        assert_eq!(first.to_string(), "2026-03-02T21:15:00Z");
    }

    /// `ANDON_REGENERATE=1 cargo test -p andon-demo machine` writes the file again.
    #[test]
    fn the_checked_in_recording_is_the_one_of_the_seed() {
        let fresh = csv(&temperature(SEED));
        if std::env::var_os("ANDON_REGENERATE").is_some() {
            std::fs::write(FILE, &fresh).unwrap();
        }
        let found = std::fs::read_to_string(FILE).unwrap();
        assert!(found == fresh, "{FILE} differs; ANDON_REGENERATE=1 cargo test -p andon-demo machine writes it again");
        assert!(fresh.starts_with("timestamp,value\n2026-03-02 21:15:00,"));
        assert_eq!(fresh.lines().count(), COUNT + 1);
    }
}
