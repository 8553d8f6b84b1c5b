//! How long a route or a name holds.

use andon_model::Time;

/// A stretch of time: from `from` on, before `until`; `None` has no end on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first moment.
    pub from: Option<Time>,
    /// The first moment behind it.
    pub until: Option<Time>,
}

impl Validity {
    /// Without end on either side.
    pub const ALWAYS: Self = Self { from: None, until: None };

    /// Whether a moment lies in it.
    pub fn holds(&self, at: Time) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether a moment lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |a: &Self, b: &Self| matches!((a.until, b.from), (Some(until), Some(from)) if until <= from);
        !before(self, other) && !before(other, self)
    }

    /// The moments at which it begins or ends.
    pub fn edges(&self) -> impl Iterator<Item = Time> {
        self.from.into_iter().chain(self.until)
    }

    /// Whether the others together hold at every moment at which it does.
    pub fn is_covered(&self, others: &[Self]) -> bool {
        // At its first moment, and wherever one of the others ends within it: whether the others hold at all of these
        // decides it, since nothing changes between.
        let first = self.from.unwrap_or(Time(i64::MIN));
        let ends = others.iter().filter_map(|other| other.until).filter(|end| *end > first && self.holds(*end));
        std::iter::once(first).chain(ends).all(|at| others.iter().any(|other| other.holds(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn validity() -> impl Strategy<Value = Validity> {
        let edge = || proptest::option::of((0_i64..8).prop_map(Time));
        (edge(), edge()).prop_map(|(from, until)| Validity { from, until })
    }

    proptest! {
        #[test]
        fn it_is_what_its_moments_say(it in validity(), others in proptest::collection::vec(validity(), 0..4)) {
            let moments: Vec<Time> = std::iter::once(i64::MIN).chain(-1..10).map(Time).collect();
            prop_assume!(it.from.zip(it.until).is_none_or(|(from, until)| from < until));
            let covered = moments.iter().filter(|at| it.holds(**at)).all(|at| others.iter().any(|o| o.holds(*at)));
            prop_assert_eq!(it.is_covered(&others), covered);
            for other in others.iter().filter(|o| o.from.zip(o.until).is_none_or(|(from, until)| from < until)) {
                prop_assert_eq!(it.overlaps(other), moments.iter().any(|at| it.holds(*at) && other.holds(*at)));
            }
        }
    }
}
