//! A small noise from a seed: the same seed, the same numbers.

/// A stream of numbers (`splitmix64`).
#[derive(Debug, Clone)]
pub(super) struct Noise(u64);

impl Noise {
    /// The stream of a seed and a name, so that no two machines tremble alike.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a: far enough apart for names that differ in one letter, after the first number is mixed.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(seed ^ hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to 1.
    pub(super) fn share(&mut self) -> f64 {
        // 32 bits are exact in a double.
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) / 4_294_967_296.0
    }

    /// A number around 0, most often near it, never further than 1.
    pub(super) fn around(&mut self) -> f64 {
        (self.share() + self.share() + self.share()) / 1.5 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_name_others() {
        let of = |seed, name| {
            let mut noise = Noise::new(seed, name);
            std::iter::from_fn(|| Some(noise.around())).take(1_000).collect::<Vec<_>>()
        };
        assert_eq!(of(1, "cartoner-07"), of(1, "cartoner-07"));
        assert_ne!(of(1, "cartoner-07"), of(1, "cartoner-21"));
        assert_ne!(of(1, "cartoner-07"), of(2, "cartoner-07"));
        let numbers = of(7, "x");
        assert!(numbers.iter().all(|n| (-1.0..=1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 1_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
    }
}
