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
