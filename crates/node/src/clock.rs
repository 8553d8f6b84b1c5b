//! The one place where the present time is read.

use andon_model::{Time, span::Span};
use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

static START: LazyLock<Instant> = LazyLock::new(started);

#[expect(clippy::disallowed_methods, reason = "this is where the monotonic clock is read")]
fn started() -> Instant {
    Instant::now()
}

/// UTC now.
#[expect(clippy::disallowed_methods, reason = "this is where the time is read")]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Monotonic time since the process began to look at its clock; unmoved by changes of the clock.
pub fn monotonic() -> Span {
    let start = *LazyLock::force(&START);
    Span::from_nanos(i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX))
}

/// UTC that goes on otherwise than monotonic time by more than this was set; less is the drift of a quartz.
const SET: i64 = 250_000_000;

/// UTC beside a clock that never jumps: sees when somebody sets it.
#[derive(Debug)]
pub struct Watched {
    now: Time,
    monotonic: Span,
}

impl Watched {
    /// From here on.
    pub fn new() -> Self {
        Self { now: now(), monotonic: monotonic() }
    }

    /// By how many nanoseconds UTC was set since it was asked last; negative: back.
    pub fn was_set(&mut self) -> Option<i64> {
        let set = self.compare(now(), monotonic());
        if let Some(by) = set {
            tracing::warn!(ms = by / 1_000_000, "the clock was set; what waits waits as long as it would have");
        }
        set
    }

    fn compare(&mut self, now: Time, monotonic: Span) -> Option<i64> {
        let by =
            now.0.saturating_sub(self.now.0).saturating_sub(monotonic.nanos().saturating_sub(self.monotonic.nanos()));
        if by.unsigned_abs() <= SET.unsigned_abs() {
            return None;
        }
        (self.now, self.monotonic) = (now, monotonic);
        Some(by)
    }
}

impl Default for Watched {
    fn default() -> Self {
        Self::new()
    }
}

/// The real clock, as the loops of layer 1 take it.
#[derive(Debug, Clone, Copy)]
pub struct Real;

impl andon_edge::given::Clock for Real {
    fn now(&self) -> Time {
        now()
    }

    fn monotonic(&self) -> std::time::Duration {
        monotonic().std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_seen_once_and_drift_is_not() {
        let (second, start) = (1_000_000_000, Time(1_700_000_000_000_000_000));
        let mut watched = Watched { now: start, monotonic: Span::ZERO };
        assert_eq!(watched.compare(Time(start.0 + second + 1_000_000), Span::from_secs(1)), None);
        assert_eq!(watched.compare(Time(start.0 - 7_198 * second), Span::from_secs(2)), Some(-7_200 * second));
        assert_eq!(watched.compare(Time(start.0 - 7_197 * second), Span::from_secs(3)), None);
        assert_eq!(watched.compare(Time(start.0 - 97 * second), Span::from_secs(3)), Some(7_100 * second));
    }
}
