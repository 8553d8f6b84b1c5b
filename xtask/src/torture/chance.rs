//! All that is drawn comes from here: the same seed draws the same faults.

use std::time::Duration;

/// A stream of chance (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1))
    }

    /// A stream of its own, for what goes on beside the others.
    pub(super) fn of(seed: u64, part: &str) -> Self {
        let mixed = part.bytes().fold(seed, |sum, byte| sum.wrapping_mul(0x0100_0000_01B3) ^ u64::from(byte));
        Self::new(mixed)
    }

    /// Any number.
    pub(super) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From the first number up to the second, which is included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.any() % (most.saturating_sub(least) + 1)
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.any() % 100 < percent
    }

    /// Between two numbers of milliseconds.
    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// One of several.
    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = self.any() % (of.len().max(1) as u64);
        of.get(usize::try_from(at).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_one_does_not() {
        let draw = |mut chance: Chance| (0..20).map(|_| chance.between(3, 9)).collect::<Vec<_>>();
        assert_eq!(draw(Chance::new(7)), draw(Chance::new(7)));
        assert_ne!(draw(Chance::new(7)), draw(Chance::new(8)));
        assert_ne!(draw(Chance::of(7, "links")), draw(Chance::of(7, "disk")));
        assert!(draw(Chance::new(7)).iter().all(|number| (3..=9).contains(number)));
        assert!(draw(Chance::new(7)).contains(&3) && draw(Chance::new(7)).contains(&9));
    }
}
