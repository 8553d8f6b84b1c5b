//! Plant time: one clock per asset and source.
//!
//! A clock stands at the time of the newest sample of its source that is not late. With a live
//! source it goes on from there with the monotonic time since that sample was read from the log,
//! which is never earlier than its receipt: a clock may be a little behind the plant, never ahead
//! of it. It stands still while its source is disconnected, and from a start or a reconnect until the next
//! sample: what was missed is on its way then, and its times decide.

use andon_model::{Time, span::Span};

/// The clock of an asset for one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantClock {
    newest: Time,
    /// Time that went by since the newest sample, without what `since` adds.
    elapsed: Span,
    /// The monotonic time from which on the clock goes; `None`: it stands.
    since: Option<Span>,
    /// Whether a sample has come since the start or the last disconnect, so that the clock may go.
    started: bool,
}

impl PlantClock {
    /// A clock as it stands after a start: at the newest durable sample.
    pub fn standing(newest: Time) -> Self {
        Self { newest, elapsed: Span::ZERO, since: None, started: false }
    }

    /// The time of the newest sample that is not late.
    pub fn newest(&self) -> Time {
        self.newest
    }

    /// A sample that is not late. `monotonic` is `None` where the clock must not go by itself: a
    /// recorded source, a disconnected one, or a sample from before the start.
    #[inline]
    pub fn sample(&mut self, time: Time, monotonic: Option<Span>) {
        if time > self.newest {
            self.newest = time;
            self.elapsed = Span::ZERO;
            self.since = monotonic;
        } else if !self.started {
            self.since = monotonic;
        }
        self.started |= monotonic.is_some();
    }

    /// The source is disconnected: the clock keeps what it has and stands until the next sample.
    pub fn stop(&mut self, monotonic: Span) {
        self.elapsed = self.elapsed_at(monotonic);
        self.since = None;
        self.started = false;
    }

    /// Whether it goes by itself.
    pub fn is_going(&self) -> bool {
        self.since.is_some()
    }

    /// Plant time.
    pub fn plant(&self, monotonic: Span) -> Time {
        self.newest.plus(self.elapsed_at(monotonic))
    }

    /// The monotonic time at which it shows this time; before all where it is beyond already, `None` where it stands
    /// before it.
    pub fn reaches(&self, time: Time) -> Option<Span> {
        let ahead = time.since(self.newest).nanos().saturating_sub(self.elapsed.nanos());
        match self.since {
            Some(since) => Some(Span::from_nanos(since.nanos().saturating_add(ahead))),
            None if ahead < 0 => Some(Span::from_nanos(i64::MIN)),
            None => None,
        }
    }

    fn elapsed_at(&self, monotonic: Span) -> Span {
        let running = self.since.map_or(0, |since| monotonic.nanos().saturating_sub(since.nanos()).max(0));
        Span::from_nanos(self.elapsed.nanos().saturating_add(running))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn it_goes_with_the_time_since_the_newest_sample() {
        let mut clock = PlantClock::standing(at(100));
        assert_eq!(clock.plant(Span::from_secs(9)), at(100), "it stands after a start");
        clock.sample(at(110), Some(Span::from_secs(10)));
        assert_eq!(clock.plant(Span::from_secs(13)), at(113));
        clock.sample(at(105), Some(Span::from_secs(14)));
        assert_eq!(clock.plant(Span::from_secs(15)), at(115), "an older sample of another signal moves nothing");
        clock.sample(at(110), Some(Span::from_secs(16)));
        assert_eq!(clock.plant(Span::from_secs(16)), at(116), "nor does one of the same time");
    }

    #[test]
    fn it_stands_from_a_disconnect_until_the_next_sample() {
        let mut clock = PlantClock::standing(at(0));
        clock.sample(at(100), Some(Span::from_secs(0)));
        clock.stop(Span::from_secs(5));
        assert_eq!(
            clock.plant(Span::from_secs(500)),
            at(105),
            "also when it is connected again: the backlog comes first"
        );
        clock.sample(at(99), Some(Span::from_secs(500)));
        assert_eq!(clock.plant(Span::from_secs(501)), at(106), "an older sample moves nothing and lets it go on");
        clock.sample(at(110), Some(Span::from_secs(502)));
        assert_eq!(clock.plant(Span::from_secs(503)), at(111));
    }

    #[test]
    fn a_recorded_clock_never_goes() {
        let mut clock = PlantClock::standing(at(0));
        clock.sample(at(100), None);
        assert!(!clock.is_going());
        assert_eq!(clock.plant(Span::from_secs(1_000)), at(100));
    }
}
