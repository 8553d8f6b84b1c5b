//! The limit rule of the cartoners, written once more from its description and from nothing else: which activations
//! must there be of these samples?

use std::collections::BTreeSet;

/// Limits of the example, and the delay of the torture.
const HIGH: f64 = 4.5;
const DEADBAND: f64 = 0.5;
const DELAY_US: i64 = 2_000_000;

/// The times of the activations of one asset, from its samples in the order of the log: its time, and its vibration
/// where it is one. Every sample moves the clock of the asset; one that is older than the newest is late and does not.
pub(super) fn activations(samples: &[(i64, Option<f64>)]) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    let (mut clock, mut newest) = (i64::MIN, i64::MIN);
    let (mut since, mut active) = (None, false);
    for (time, vibration) in samples {
        // A delay that ended before this sample ended without it.
        if *time > clock {
            clock = *time;
            if let Some(begin) = since.filter(|begin| begin + DELAY_US < clock) {
                found.insert(begin + DELAY_US);
                (since, active) = (None, true);
            }
        }
        let Some(value) = vibration else { continue };
        if *time < newest {
            continue;
        }
        newest = *time;
        if active {
            active = *value > HIGH - DEADBAND;
        } else if *value > HIGH {
            since = since.or(Some(*time));
        } else {
            since = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(samples: &[(i64, f64)]) -> Vec<i64> {
        let samples: Vec<_> = samples.iter().map(|(second, value)| (second * 1_000_000, Some(*value))).collect();
        activations(&samples).into_iter().map(|time| time / 1_000_000).collect()
    }

    #[test]
    fn it_is_activated_once_the_delay_has_passed_and_again_only_after_its_return() {
        assert_eq!(at(&[(0, 2.0), (1, 5.0), (2, 5.1), (3, 5.2), (4, 8.0), (9, 8.0)]), [3]);
        // The delay ends with a sample of the same time: that one is not later.
        assert_eq!(at(&[(1, 5.0), (3, 2.0), (4, 5.0)]), [0; 0]);
        assert_eq!(at(&[(1, 5.0), (4, 4.2), (5, 5.0), (9, 5.0)]), [3]);
        assert_eq!(at(&[(1, 5.0), (4, 2.0), (5, 5.0), (9, 5.0)]), [3, 7]);
        // Late ones decide nothing.
        assert_eq!(at(&[(1, 5.0), (2, 5.0), (0, 2.0), (4, 5.0)]), [3]);
    }
}
