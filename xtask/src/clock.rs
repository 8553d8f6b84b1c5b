//! The one place of these commands that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A stopwatch that started when it was made.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the rule protects the product's cores; a stopwatch needs a clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The time of day in microseconds since 1970, as machines put it into their messages.
#[expect(clippy::disallowed_methods, reason = "the rule protects the product's cores; a machine has a clock")]
pub(crate) fn unix_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}

/// A duration as a person says it: `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_in_the_unit_that_fits() {
        assert_eq!(spoken(Duration::from_millis(440)), "0.4 s");
        assert_eq!(spoken(Duration::from_secs(75)), "75 s");
        assert_eq!(spoken(Duration::from_secs(200)), "3 min 20 s");
    }
}
