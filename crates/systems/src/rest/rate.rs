//! The pace that a system can bear: who comes too soon is told how long to wait.

use andon_contract::contract::Rate;
use std::time::Duration;

/// A bucket of requests as the time at which the next one is due (generic cell rate algorithm): pure, and no thread
/// has to fill it. Who has asked has its turn, in the order of asking, also where it then goes away.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Between two requests.
    pause: Duration,
    /// How far requests may be ahead of their turns.
    ahead: Duration,
    /// When the next request is due, on the clock of the caller.
    due: Duration,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let pause = rate.per.std() / rate.number.max(1);
        Self { pause, ahead: pause * rate.burst.saturating_sub(1), due: Duration::ZERO }
    }

    /// Takes a turn; how long to wait for it. `now` is the time of a clock that never goes back.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        let due = self.due.max(now);
        self.due = due + self.pause;
        due.saturating_sub(self.ahead).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::span::Span;
    use proptest::prelude::*;

    fn bucket(number: u32, secs: i64, burst: u32) -> Bucket {
        Bucket::new(Rate { number, per: Span::from_secs(secs), burst })
    }

    #[test]
    fn requests_are_spaced_evenly_and_a_pause_is_no_credit() {
        let (mut bucket, ms) = (bucket(10, 1, 1), Duration::from_millis);
        assert_eq!([(); 3].map(|()| bucket.take(ms(1_000))), [ms(0), ms(100), ms(200)]);
        assert_eq!(bucket.take(ms(1_250)), ms(50));
        assert_eq!([(); 2].map(|()| bucket.take(ms(9_000))), [ms(0), ms(100)]);
    }

    #[test]
    fn a_burst_goes_at_once_after_a_pause() {
        let (mut bucket, secs) = (bucket(60, 60, 3), Duration::from_secs);
        assert_eq!([(); 5].map(|()| bucket.take(secs(100))), [secs(0), secs(0), secs(0), secs(1), secs(2)]);
        assert_eq!([(); 4].map(|()| bucket.take(secs(1_000))), [secs(0), secs(0), secs(0), secs(1)]);
    }

    proptest! {
        #[test]
        fn in_no_window_are_more_than_rate_and_burst(
            burst in 1_u32..5, gaps in prop::collection::vec(0_u64..2_000, 1..60)
        ) {
            let mut bucket = bucket(2, 1, burst);
            let (mut now, mut goes) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                goes.push(now + bucket.take(now));
            }
            for (at, first) in goes.iter().enumerate() {
                let within = goes[at..].iter().filter(|go| **go < *first + Duration::from_secs(3)).count();
                prop_assert!(within <= 6 + burst as usize, "{goes:?}");
            }
        }
    }
}
