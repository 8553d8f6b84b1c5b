//! Moments that rows hold, by another clock than the one they were written by.

use andon_model::{Time, span::Span};

/// A moment by a clock that was set since by so many nanoseconds; negative: back.
pub(crate) fn moved(time: Time, by: i64) -> Time {
    time.plus(Span::from_nanos(by))
}

/// Until when a new process waits for what a row says that was written at `written` by a clock of which nobody knows
/// anything: no longer than was meant then.
pub(crate) fn meant(until: Time, written: Time, now: Time) -> Time {
    if until > written { until.min(now.plus(until.since(written))) } else { until.min(now) }
}
