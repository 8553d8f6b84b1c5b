//! How many attempts a system bears at once, found out by how it answers: more by one as long as all places are used
//! and it answers as usual, fewer by a part as soon as it does not (additive increase, multiplicative decrease).
//!
//! What is usual is an average of the times of its answers over minutes, how it is now one over a few answers. It is
//! judged at most once in such a time, so that one bad moment counts once.

use crate::clocks::moved;
use andon_model::{Time, span::Span};

/// What a new answer weighs in the quick average: about the last ten count, so that a single slow one is none of load.
const QUICK: f64 = 0.1;
/// So long it takes until what is usual has become another.
const USUAL: Span = Span::from_secs(300);
/// The first answers count alike.
const FIRST: u32 = 50;
/// Answers that are slower than usual by this factor, and by this time, are a sign of load.
const SLOWER: f64 = 2.0;
const SLACK_NANOS: f64 = 50e6;
/// What is left of the places when there is a sign of load.
const LEFT: f64 = 0.7;
/// Between two judgements, at least and at most.
const JUDGE_MIN: Span = Span::from_millis(1);
const JUDGE_MAX: Span = Span::from_secs(10);

/// The places of a system.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    places: f64,
    /// Averages of the times of answers, in nanoseconds; 0: none has come.
    quick: f64,
    usual: f64,
    /// How many came, up to [`FIRST`], and when the last one did.
    seen: u32,
    last: Time,
    /// Not judged before.
    next: Time,
    /// Since it was judged: whether there was a sign of load, and whether all places were taken.
    loaded: bool,
    used: bool,
}

/// How an attempt ended, as far as load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It was answered, after so long where that says something.
    Answered(Option<Span>),
    /// Refused for load, or failed.
    Pressure,
}

impl Adaptive {
    /// All places, and nothing known.
    pub fn new(most: u32) -> Self {
        Self {
            places: f64::from(most.max(1)),
            quick: 0.0,
            usual: 0.0,
            seen: 0,
            last: Time(0),
            next: Time(0),
            loaded: false,
            used: false,
        }
    }

    /// How many attempts may be under way, from 1 to `most`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 1 and a u32")]
    pub fn places(&self, most: u32) -> u32 {
        (self.places.clamp(1.0, f64::from(most.max(1))) + 1e-9).floor() as u32
    }

    /// From one place on: what has just come back is not run over.
    pub fn begin_anew(&mut self) {
        (self.places, self.loaded, self.used) = (1.0, false, false);
    }

    /// An attempt begins, with which so many are under way.
    pub fn begun(&mut self, under_way: u32, most: u32) {
        self.used |= under_way >= self.places(most);
    }

    /// An attempt has ended.
    pub fn settle(&mut self, sign: Sign, most: u32, now: Time) {
        match sign {
            Sign::Pressure => self.loaded = true,
            Sign::Answered(Some(took)) => self.average(took, now),
            Sign::Answered(None) => {}
        }
        if now < self.next {
            return;
        }
        let most = f64::from(most.max(1));
        self.places = self.places.clamp(1.0, most);
        if self.loaded || self.is_slow() {
            self.places = (self.places * LEFT).max(1.0);
        } else if self.used {
            self.places = (self.places + 1.0).min(most);
        }
        (self.loaded, self.used) = (false, false);
        self.next = now.plus(self.quick_span().clamp(JUDGE_MIN, JUDGE_MAX));
    }

    /// Its clock was set by so many nanoseconds, negative: back.
    pub fn clock_was_set(&mut self, by: i64) {
        (self.last, self.next) = (moved(self.last, by), moved(self.next, by));
    }

    fn is_slow(&self) -> bool {
        self.quick > self.usual * SLOWER + SLACK_NANOS
    }

    #[expect(clippy::cast_precision_loss, reason = "a time of an answer is far from 2^52 ns")]
    fn average(&mut self, took: Span, now: Time) {
        let took = took.nanos().max(0) as f64;
        self.seen = self.seen.saturating_add(1).min(FIRST);
        let alike = if self.seen < FIRST { 1.0 / f64::from(self.seen) } else { 0.0 };
        let passed = now.since(self.last).nanos().max(0) as f64 / USUAL.nanos() as f64;
        self.usual += (took - self.usual) * alike.max(passed).min(1.0);
        self.quick += (took - self.quick) * alike.max(QUICK);
        self.last = now;
    }

    #[expect(clippy::cast_possible_truncation, reason = "a time of an answer is far from both")]
    fn quick_span(&self) -> Span {
        Span::from_nanos(self.quick as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time(1_800_000_000_000_000_000);

    /// A system that answers after `took` of what is under way, until so many attempts were made.
    fn drive(adaptive: &mut Adaptive, from: Time, attempts: u32, took: impl Fn(u32) -> Span) -> Time {
        let mut now = from;
        for _ in 0..attempts {
            let under_way = adaptive.places(32);
            adaptive.begun(under_way, 32);
            let took = took(under_way);
            now = now.plus(Span::from_nanos(took.nanos() / i64::from(under_way)));
            adaptive.settle(Sign::Answered(Some(took)), 32, now);
        }
        now
    }

    #[test]
    fn a_system_that_answers_as_usual_keeps_all_its_places() {
        let mut adaptive = Adaptive::new(32);
        drive(&mut adaptive, NOW, 2_000, |_| Span::from_millis(20));
        assert_eq!(adaptive.places(32), 32);
    }

    #[test]
    fn a_system_that_gets_slow_under_load_gets_as_much_as_it_bears() {
        let mut adaptive = Adaptive::new(32);
        let now = drive(&mut adaptive, NOW, 500, |_| Span::from_millis(20));
        // From now on it works on eight at once; what comes on top waits there.
        let slow = |under_way: u32| Span::from_millis(20 + 40 * i64::from(under_way.saturating_sub(8)));
        let now = drive(&mut adaptive, now, 400, slow);
        assert!((4..=16).contains(&adaptive.places(32)), "{adaptive:?}");
        drive(&mut adaptive, now, 20_000, |_| Span::from_millis(20));
        assert_eq!(adaptive.places(32), 32, "it recovers");
    }

    #[test]
    fn what_is_refused_for_load_takes_places_away_once_in_a_time() {
        let mut adaptive = Adaptive::new(10);
        for _ in 0..5 {
            adaptive.settle(Sign::Pressure, 10, NOW);
        }
        assert_eq!(adaptive.places(10), 7, "five in one moment are one sign");
        adaptive.settle(Sign::Pressure, 10, NOW.plus(Span::from_secs(1)));
        assert_eq!(adaptive.places(10), 4);
        adaptive.begin_anew();
        assert_eq!(adaptive.places(10), 1);
    }

    #[test]
    fn a_clock_that_is_set_changes_nothing_about_what_is_usual_and_when_it_is_judged() {
        for set in [-86_400, 0, 86_400] {
            let mut adaptive = Adaptive::new(10);
            let now = drive(&mut adaptive, NOW, 100, |_| Span::from_millis(20));
            adaptive.settle(Sign::Pressure, 10, now.plus(Span::from_millis(100)));
            assert_eq!(adaptive.places(10), 7, "{set}");
            adaptive.clock_was_set(set * 1_000_000_000);
            let later = |millis: i64| now.plus(Span::from_millis(set * 1_000 + millis));
            adaptive.settle(Sign::Pressure, 10, later(101));
            assert_eq!(adaptive.places(10), 7, "{set}: it was judged just now");
            adaptive.settle(Sign::Answered(Some(Span::from_secs(2))), 10, later(300));
            assert_eq!(adaptive.places(10), 4, "{set}: one slow answer does not make that usual");
            adaptive.settle(Sign::Answered(Some(Span::from_millis(20))), 10, later(900));
            assert_eq!(adaptive.places(10), 3, "{set}: it is still slow");
        }
    }

    #[test]
    fn places_that_nobody_uses_are_not_added() {
        let mut adaptive = Adaptive::new(10);
        adaptive.begin_anew();
        for second in 0..100 {
            adaptive.begun(0, 10);
            adaptive.settle(Sign::Answered(None), 10, NOW.plus(Span::from_secs(second)));
        }
        assert_eq!(adaptive.places(10), 1);
    }

    proptest! {
        #[test]
        fn there_is_always_a_place_and_never_more_than_the_most(
            most in 1_u32..50,
            signs in prop::collection::vec((0_i64..2_000, prop::option::of(0_i64..5_000), any::<bool>()), 1..300)
        ) {
            let (mut adaptive, mut now) = (Adaptive::new(most), NOW);
            for (pause, took, full) in signs {
                now = now.plus(Span::from_millis(pause));
                adaptive.begun(if full { most } else { 0 }, most);
                let sign = took.map_or(Sign::Pressure, |took| Sign::Answered(Some(Span::from_millis(took))));
                adaptive.settle(sign, most, now);
                prop_assert!((1..=most).contains(&adaptive.places(most)));
            }
        }
    }
}
