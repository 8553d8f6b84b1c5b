//! The story's clock: behind the wall at first, faster than it until it has caught up, then with it.
//!
//! So the times of samples are never ahead of their receipt, and a story of an hour is over in a minute.

use andon_model::{Time, span::Span};
use serde::{Deserialize, Serialize};

/// The fastest a story runs: a thousand times the wall.
pub const SPEED_MAX: u32 = 1_000;

/// The clock of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoryClock {
    /// Where the story begins; it stands there until somebody begins it.
    first: Time,
    /// The time of the wall at which it was begun.
    begun: Option<Time>,
    /// How many times as fast as the wall it runs until it has caught up; at least 1.
    speed: u32,
}

impl StoryClock {
    /// A story that stands so far behind the wall that it will have caught up once this much of it has passed, where it
    /// is begun now. At speed 1 it never was behind.
    pub fn new(wall: Time, length: Span, speed: u32) -> Self {
        let speed = speed.clamp(1, SPEED_MAX);
        let behind = length.millis().max(0) / i64::from(speed) * (i64::from(speed) - 1);
        Self { first: wall.minus(Span::from_millis(behind)), begun: None, speed }
    }

    /// Lets it run, where it does not yet; says whether it did not.
    pub fn begin(&mut self, wall: Time) -> bool {
        let stood = self.begun.is_none();
        self.begun.get_or_insert(wall);
        stood
    }

    /// Whether it was begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Where the story begins.
    pub fn first(&self) -> Time {
        self.first
    }

    /// The time of the story at a time of the wall; never later than that, and never earlier than its beginning, also
    /// where somebody has set the wall back.
    pub fn at(&self, wall: Time) -> Time {
        let Some(begun) = self.begun else { return self.first };
        let passed = wall.since(begun).nanos().max(0);
        let story = self.first.plus(Span::from_nanos(passed.saturating_mul(i64::from(self.speed))));
        story.min(wall).max(self.first)
    }

    /// How many times as fast as the wall it runs at a time of the wall; 0 while it stands.
    pub fn speed(&self, wall: Time) -> u32 {
        match self.begun {
            None => 0,
            Some(_) if self.at(wall) >= wall => 1,
            Some(_) => self.speed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    fn begun(wall: Time, length: Span, speed: u32) -> StoryClock {
        let mut clock = StoryClock::new(wall, length, speed);
        assert!(clock.begin(wall) && !clock.begin(wall.plus(Span::from_secs(9))));
        clock
    }

    #[test]
    fn it_begins_behind_and_catches_up_when_its_length_has_passed() {
        let wall = time("2026-11-26T10:00:00Z");
        let clock = begun(wall, Span::from_secs(3_600), 60);
        assert_eq!(clock.first(), time("2026-11-26T09:01:00Z"));
        assert_eq!(clock.at(wall), clock.first());
        assert_eq!(clock.at(wall.plus(Span::from_secs(10))), time("2026-11-26T09:11:00Z"));
        assert_eq!(clock.speed(wall.plus(Span::from_secs(59))), 60);
        let met = wall.plus(Span::from_secs(60));
        assert_eq!((clock.at(met), clock.speed(met)), (met, 1));
        let later = wall.plus(Span::from_secs(86_400));
        assert_eq!((clock.at(later), clock.speed(later)), (later, 1));
    }

    #[test]
    fn it_stands_until_it_is_begun() {
        let wall = time("2026-11-26T10:00:00Z");
        let mut clock = StoryClock::new(wall, Span::from_secs(3_600), 60);
        let later = wall.plus(Span::from_secs(100));
        assert_eq!((clock.at(later), clock.speed(later), clock.has_begun()), (clock.first(), 0, false));
        clock.begin(later);
        assert_eq!(clock.at(later.plus(Span::from_secs(1))), clock.first().plus(Span::from_secs(60)));
        assert!(clock.has_begun());
    }

    #[test]
    fn it_is_never_ahead_of_the_wall_and_never_goes_back() {
        let wall = time("2026-11-26T10:00:00Z");
        for speed in [0, 1, 2, 20, 60, u32::MAX] {
            let clock = begun(wall, Span::from_secs(2_000), speed);
            let mut last = Time::MIN;
            for second in 0..3_000 {
                let now = wall.plus(Span::from_secs(second));
                let story = clock.at(now);
                assert!(story <= now && story >= last, "{speed} {second}");
                last = story;
            }
            assert_eq!(clock.at(wall.minus(Span::from_secs(100))), clock.first());
        }
    }

    #[test]
    fn at_speed_one_it_is_the_wall() {
        let wall = time("2026-11-26T10:00:00Z");
        let clock = begun(wall, Span::from_secs(3_600), 1);
        assert_eq!(clock.at(wall.plus(Span::from_secs(7))), wall.plus(Span::from_secs(7)));
    }

    #[test]
    fn what_is_written_goes_on() {
        let clock = begun(time("2026-11-26T10:00:00.123Z"), Span::from_secs(3_600), 60);
        let text = serde_json::to_string(&clock).unwrap();
        assert_eq!(serde_json::from_str::<StoryClock>(&text).unwrap(), clock, "{text}");
    }
}
