//! The breaker: whether calls go to a system, by what became of those before.
//!
//! *Closed*, all go, and what becomes of them is counted over a window. Once enough were made and enough of them
//! failed it is *open*: none goes. After a pause it is *half-open*: a few go as probes. Answered, they close it;
//! the first that fails opens it again, for twice as long. The settings are an argument: those in force count.

use crate::clocks::{meant, moved};
use andon_contract::contract::Breaker as Settings;
use andon_model::{Time, span::Span};
use serde::{Deserialize, Serialize};

/// The parts of a window: so coarsely an attempt grows old.
const SLOTS: i64 = 10;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// All calls go.
    #[default]
    Closed,
    /// None goes.
    Open,
    /// Probes go.
    HalfOpen,
}

impl Standing {
    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A breaker, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaker {
    /// Where it stands.
    pub state: Standing,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Since when it is not closed: the beginning of this outage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Time>,
    /// While open: when the system is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Time>,
    /// How often in a row it opened.
    #[serde(default, skip_serializing_if = "is_none")]
    pub times: u32,
    /// Probes that were answered.
    #[serde(default, skip_serializing_if = "is_none")]
    pub answered: u32,
    /// When it closed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Time>,
    /// What the last failure said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// While closed: attempts of the window, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<Slot>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(number: &u32) -> bool {
    *number == 0
}

/// Attempts that ended in one part of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// When the part begins.
    pub at: Time,
    /// Attempts that were made.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
}

/// Whether a call goes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// As any other.
    Pass,
    /// As one that tries the system.
    Probe,
    /// It does not.
    Away,
}

/// How a breaker moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Not at all, and what it keeps is as it was.
    No,
    /// Not, but what it keeps has changed.
    Counted,
    /// From closed to open.
    Opened,
    /// From half-open back to open.
    OpenedAgain,
    /// From half-open to closed.
    Closed,
}

impl Breaker {
    /// Whether a call goes now, while so many probes are under way.
    pub fn admit(&self, settings: &Settings, flying: u32, now: Time) -> Admission {
        match self.state {
            Standing::Closed => Admission::Pass,
            Standing::Open if self.probe.is_some_and(|probe| now < probe) => Admission::Away,
            Standing::Open => Admission::Probe,
            Standing::HalfOpen if self.answered.saturating_add(flying) < settings.probes.max(1) => Admission::Probe,
            Standing::HalfOpen => Admission::Away,
        }
    }

    /// A probe begins; whether that moved it.
    pub fn try_it(&mut self, now: Time) -> bool {
        if self.state != Standing::Open {
            return false;
        }
        (self.state, self.since, self.probe, self.answered) = (Standing::HalfOpen, Some(now), None, 0);
        true
    }

    /// An attempt that began at `started` has ended; `failed` says what it died of.
    pub fn settle(&mut self, settings: &Settings, failed: Option<&str>, started: Time, now: Time) -> Moved {
        match self.state {
            // It began before the breaker opened, or it would not have.
            Standing::Open => Moved::No,
            Standing::HalfOpen if self.since.is_some_and(|since| started < since) => Moved::No,
            Standing::HalfOpen => self.settle_probe(settings, failed, now),
            Standing::Closed => self.count(settings, failed, now),
        }
    }

    fn settle_probe(&mut self, settings: &Settings, failed: Option<&str>, now: Time) -> Moved {
        if let Some(detail) = failed {
            detail.clone_into(&mut self.detail);
            self.open(settings, now);
            return Moved::OpenedAgain;
        }
        self.answered = self.answered.saturating_add(1);
        if self.answered < settings.probes {
            return Moved::Counted;
        }
        self.close(now);
        Moved::Closed
    }

    /// All calls go again.
    pub fn close(&mut self, now: Time) {
        let detail = std::mem::take(&mut self.detail);
        *self = Self { since: Some(now), closed: Some(now), detail, ..Self::default() };
    }

    fn count(&mut self, settings: &Settings, failed: Option<&str>, now: Time) -> Moved {
        let part = (settings.window.nanos() / SLOTS).max(1);
        let at = Time(now.0 - now.0.rem_euclid(part));
        self.forget(settings.window, now);
        match self.window.last_mut().filter(|slot| slot.at == at) {
            Some(slot) => slot.calls = slot.calls.saturating_add(1),
            None => self.window.push(Slot { at, calls: 1, failures: 0 }),
        }
        let Some(detail) = failed else { return Moved::No };
        if let Some(slot) = self.window.last_mut() {
            slot.failures = slot.failures.saturating_add(1);
        }
        detail.clone_into(&mut self.detail);
        let (calls, failures) = self.counted();
        if calls < u64::from(settings.calls) || !reaches(failures, calls, settings.failures) {
            return Moved::Counted;
        }
        self.opened = Some(now);
        self.open(settings, now);
        Moved::Opened
    }

    /// What is older than the window counts no more.
    fn forget(&mut self, window: Span, now: Time) {
        self.window.retain(|slot| now.since(slot.at) < window);
    }

    /// Attempts of the window, and those that failed.
    pub fn counted(&self) -> (u64, u64) {
        let sum = |of: fn(&Slot) -> u32| self.window.iter().map(|slot| u64::from(of(slot))).sum();
        (sum(|slot| slot.calls), sum(|slot| slot.failures))
    }

    /// The same, of the window that ends now.
    pub fn counted_at(&self, window: Span, now: Time) -> (u64, u64) {
        let mut of_now = self.clone();
        of_now.forget(window, now);
        of_now.counted()
    }

    /// Its clock was set by so many nanoseconds, negative: back. It rests and counts as if it had not been.
    pub fn clock_was_set(&mut self, by: i64) {
        let times = [&mut self.since, &mut self.opened, &mut self.probe, &mut self.closed].into_iter().flatten();
        for time in times.chain(self.window.iter_mut().map(|slot| &mut slot.at)) {
            *time = moved(*time, by);
        }
    }

    /// A new process finds it, which knows nothing of the clock that it was written by: it rests no longer than it was
    /// meant to. Whether that changed anything.
    pub fn found(&mut self, now: Time) -> bool {
        let before = self.clone();
        if let Some((probe, since)) = self.probe.as_mut().zip(self.since) {
            *probe = meant(*probe, since, now);
        }
        for time in [&mut self.since, &mut self.opened].into_iter().flatten() {
            *time = (*time).min(now);
        }
        // By such a clock nobody can say which calls were touched before it closed, or when the attempts of its window
        // ended.
        self.closed = self.closed.filter(|closed| *closed <= now);
        self.window.retain(|slot| slot.at <= now);
        *self != before
    }

    fn open(&mut self, settings: &Settings, now: Time) {
        self.times = self.times.saturating_add(1);
        let pause = pause(settings, self.times);
        (self.state, self.since, self.probe, self.answered) = (Standing::Open, Some(now), Some(now.plus(pause)), 0);
        self.window.clear();
    }
}

#[expect(clippy::cast_precision_loss, reason = "attempts of a window are far from 2^52")]
fn reaches(failures: u64, calls: u64, percent: f64) -> bool {
    failures as f64 * 100.0 >= calls as f64 * percent
}

/// How long it is open the n-th time in a row: twice as long each time, up to the longest.
fn pause(settings: &Settings, times: u32) -> Span {
    let doubled = 1_i64.checked_shl(times.saturating_sub(1).min(62)).unwrap_or(i64::MAX);
    Span::from_nanos(settings.open.nanos().saturating_mul(doubled)).min(settings.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time(1_800_000_000_000_000_000);
    const SETTINGS: Settings = Settings { probes: 2, ..Settings::DEFAULT };

    fn at(secs: i64) -> Time {
        NOW.plus(Span::from_secs(secs))
    }

    /// What becomes of attempts that end one a second: `.` is answered, `x` fails.
    fn told(breaker: &mut Breaker, from: i64, outcomes: &str) -> Vec<Moved> {
        let one = |(second, outcome)| {
            let now = at(from + second);
            breaker.settle(&SETTINGS, (outcome == 'x').then_some("refused"), now, now)
        };
        (0..).zip(outcomes.chars()).map(one).collect()
    }

    #[test]
    fn it_opens_once_enough_were_made_and_enough_of_them_failed() {
        for (outcomes, opens) in [
            ("xxxx", false),
            ("xxxxx", true),
            ("....xxx", false),
            ("...xxx", true),
            (".x.x.x", true),
            (".x..x..x..", false),
            (".........", false),
        ] {
            let moved = told(&mut Breaker::default(), 0, outcomes);
            let opened = moved.iter().position(|moved| *moved == Moved::Opened);
            assert_eq!(opened.is_some(), opens, "{outcomes}: {moved:?}");
            if opens {
                assert_eq!(opened, Some(outcomes.len() - 1), "{outcomes}");
            }
        }
    }

    #[test]
    fn failures_beyond_the_window_count_no_more() {
        let mut breaker = Breaker::default();
        told(&mut breaker, 0, "xxxx");
        assert_eq!(breaker.counted_at(SETTINGS.window, at(30)), (4, 4));
        assert_eq!(breaker.counted_at(SETTINGS.window, at(70)), (0, 0));
        assert_eq!(told(&mut breaker, 70, "xxxx"), [Moved::Counted; 4]);
    }

    #[test]
    fn a_breaker_opens_rests_tries_and_closes() {
        let mut breaker = Breaker::default();
        told(&mut breaker, 0, "xxxxx");
        assert_eq!((breaker.state, breaker.probe), (Standing::Open, Some(at(14))));
        assert_eq!(breaker.admit(&SETTINGS, 0, at(13)), Admission::Away);
        assert_eq!(breaker.admit(&SETTINGS, 0, at(14)), Admission::Probe);
        // What was under way when it opened changes nothing, however it ends.
        assert_eq!(breaker.settle(&SETTINGS, None, at(1), at(12)), Moved::No);
        assert!(breaker.try_it(at(14)));
        assert_eq!(breaker.settle(&SETTINGS, Some("late"), at(1), at(15)), Moved::No);
        assert_eq!(breaker.admit(&SETTINGS, 1, at(14)), Admission::Probe, "two may try it");
        assert_eq!(breaker.admit(&SETTINGS, 2, at(14)), Admission::Away);
        assert_eq!(breaker.settle(&SETTINGS, Some("no"), at(14), at(16)), Moved::OpenedAgain);
        assert_eq!(breaker.probe, Some(at(36)), "twice as long");
        assert_eq!(breaker.opened, Some(at(4)), "it is still the same outage");
        assert!(breaker.try_it(at(40)));
        assert_eq!(breaker.settle(&SETTINGS, None, at(40), at(41)), Moved::Counted);
        assert_eq!(breaker.admit(&SETTINGS, 0, at(41)), Admission::Probe);
        assert_eq!(breaker.admit(&SETTINGS, 1, at(41)), Admission::Away, "one is answered, one is under way");
        assert_eq!(breaker.settle(&SETTINGS, None, at(41), at(42)), Moved::Closed);
        assert_eq!((breaker.state, breaker.closed, breaker.times), (Standing::Closed, Some(at(42)), 0));
        assert_eq!(breaker.counted(), (0, 0), "it begins anew");
    }

    #[test]
    fn it_is_open_for_longer_each_time_up_to_the_longest() {
        for (times, secs) in [(1, 10), (2, 20), (3, 40), (6, 300), (200, 300), (u32::MAX, 300)] {
            assert_eq!(pause(&SETTINGS, times), Span::from_secs(secs), "{times}");
        }
    }

    /// Seconds by which clocks are set here.
    const SETS: [i64; 4] = [-86_400, -5, 5, 86_400];

    #[test]
    fn a_clock_that_is_set_neither_shortens_nor_prolongs_the_rest() {
        for set in SETS {
            let mut breaker = Breaker::default();
            told(&mut breaker, 0, "xxxxx");
            breaker.clock_was_set(set * 1_000_000_000);
            assert_eq!(breaker.admit(&SETTINGS, 0, at(set + 13)), Admission::Away, "{set}");
            assert_eq!(breaker.admit(&SETTINGS, 0, at(set + 14)), Admission::Probe, "{set}");
            // A probe that is under way when the clock is set is one afterwards.
            assert!(breaker.try_it(at(set + 14)));
            breaker.clock_was_set(set * 1_000_000_000);
            let begun = at(2 * set + 14);
            assert_eq!(breaker.settle(&SETTINGS, None, at(2 * set), at(2 * set + 15)), Moved::No, "{set}: long before");
            assert_eq!(breaker.settle(&SETTINGS, None, begun, at(2 * set + 15)), Moved::Counted, "{set}");
        }
    }

    #[test]
    fn a_clock_that_is_set_neither_forgets_nor_keeps_what_was_counted() {
        for set in SETS {
            let mut breaker = Breaker::default();
            told(&mut breaker, 0, "xxxx");
            breaker.clock_was_set(set * 1_000_000_000);
            assert_eq!(breaker.counted_at(SETTINGS.window, at(set + 50)), (4, 4), "{set}");
            assert_eq!(breaker.counted_at(SETTINGS.window, at(set + 70)), (0, 0), "{set}");
            assert_eq!(told(&mut breaker, set + 20, "x"), [Moved::Opened], "{set}");
        }
    }

    #[test]
    fn a_new_process_lets_it_rest_no_longer_than_it_was_meant_to() {
        let mut rests = Breaker::default();
        told(&mut rests, 0, "xxxxx");
        let tried_after = |found: i64| {
            let mut breaker = rests.clone();
            let changed = breaker.found(at(found));
            (changed, breaker.probe.map(|probe| probe.since(at(found)).millis() / 1_000))
        };
        assert_eq!(tried_after(6), (false, Some(8)), "no clock was set");
        assert_eq!(tried_after(-86_400), (true, Some(10)), "set back by a day");
        assert_eq!(tried_after(86_400), (false, Some(14 - 86_400)), "set on by a day");
        let mut half_open = rests.clone();
        assert!(half_open.try_it(at(14)) && half_open.found(at(-100)));
        assert_eq!(half_open.settle(&SETTINGS, None, at(-100), at(-99)), Moved::Counted, "it is tried");
        let mut counts = Breaker::default();
        told(&mut counts, 0, "xxxx");
        assert!(counts.found(at(-100)));
        assert_eq!(counts.counted(), (0, 0));
    }

    /// What may happen to a breaker.
    #[derive(Debug, Clone)]
    enum Step {
        Pass(u16),
        Begin,
        /// The oldest, or the newest, that is under way ends; whether it failed.
        End(bool, bool),
        Crash,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0_u16..20_000).prop_map(Step::Pass),
            Just(Step::Begin),
            Just(Step::Begin),
            (any::<bool>(), prop::bool::weighted(0.7)).prop_map(|(oldest, failed)| Step::End(oldest, failed)),
            Just(Step::Crash),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        /// Whatever comes: it opens only by enough attempts of which enough failed, lets nothing go while it rests,
        /// never more probes than it may, closes only when all it needs were answered, and is the same after a restart.
        #[test]
        fn whatever_comes_it_keeps_its_word(steps in steps(), calls in 1_u32..8, probes in 1_u32..4) {
            let settings = Settings { calls, probes, failures: 60.0, ..Settings::DEFAULT };
            let mut breaker = Breaker::default();
            let (mut now, mut flying): (Time, Vec<(Time, bool)>) = (NOW, Vec::new());
            let (mut ended, mut failed, mut answered) = (0, 0, 0);
            for step in steps {
                let tried = flying.iter().filter(|(_, probe)| *probe).count();
                match step {
                    Step::Pass(millis) => now = now.plus(Span::from_millis(i64::from(millis))),
                    Step::Begin => match breaker.admit(&settings, u32::try_from(tried).unwrap(), now) {
                        Admission::Pass => {
                            prop_assert_eq!(breaker.state, Standing::Closed);
                            flying.push((now, false));
                        }
                        Admission::Probe => {
                            prop_assert!(breaker.probe.is_none_or(|probe| probe <= now), "it rests");
                            if breaker.try_it(now) {
                                answered = 0;
                            }
                            prop_assert!(tried < probes as usize, "{tried} try it already");
                            flying.push((now, true));
                        }
                        Admission::Away => prop_assert_ne!(breaker.state, Standing::Closed),
                    },
                    Step::End(oldest, fails) => {
                        if flying.is_empty() {
                            continue;
                        }
                        let at = if oldest { 0 } else { flying.len() - 1 };
                        let (started, probe) = flying.remove(at);
                        let before = breaker.clone();
                        let moved = breaker.settle(&settings, fails.then_some("no"), started, now);
                        if before.state == Standing::Closed {
                            (ended, failed) = (ended + 1, failed + u32::from(fails));
                        }
                        answered += u32::from(probe && !fails);
                        match moved {
                            Moved::Opened => {
                                prop_assert!(ended >= calls && failed * 100 >= calls * 60, "{ended} {failed}");
                                (ended, failed) = (0, 0);
                            }
                            Moved::Closed => {
                                prop_assert!(answered >= probes, "{answered}");
                                (ended, failed) = (0, 0);
                            }
                            Moved::OpenedAgain => prop_assert!(probe && fails),
                            Moved::No | Moved::Counted => prop_assert_eq!(breaker.state, before.state),
                        }
                        if breaker.state != Standing::HalfOpen {
                            for (_, probe) in &mut flying {
                                *probe = false;
                            }
                        }
                    }
                    Step::Crash => {
                        let kept = serde_json::to_value(&breaker).unwrap();
                        prop_assert_eq!(&serde_json::from_value::<Breaker>(kept).unwrap(), &breaker);
                        flying.clear();
                    }
                }
            }
        }
    }
}
