//! The window in which a repeated sample is known: the last 65,536 samples of a source with a time of
//! their source.
//!
//! A sample is remembered by a 64-bit hash of signal, time, value and quality under a key that is drawn at
//! each start. Two different samples in one window collide with a chance of 65,536 in 2^64, that is once in
//! 2.8 * 10^14 samples: 36,000 a second for 250 years. Who sends samples does not know the key, so nobody
//! can provoke it. A full window takes 1.7 MB.

use andon_model::{
    Entry, Name, Quality, Sample, SignalNo, Time, Value,
    sample::{Batch, Origin},
};
use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher as _, BuildHasherDefault, Hash as _, Hasher},
};

/// Samples in the window of a source.
pub const WINDOW: usize = 65_536;

/// A hasher of hashes: they are evenly spread already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// What a sample is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted(u64);

/// The window of one source.
pub struct Duplicates {
    key: ahash::RandomState,
    order: VecDeque<u64>,
    known: HashSet<u64, BuildHasherDefault<Same>>,
    /// Of those that came too early: known as good, and as uncertain besides.
    early: HashSet<u64, BuildHasherDefault<Same>>,
}

impl Duplicates {
    /// An empty window under a key that the caller draws by chance.
    pub fn new(key: [u64; 4]) -> Self {
        let [a, b, c, d] = key;
        Self {
            key: ahash::RandomState::with_seeds(a, b, c, d),
            order: VecDeque::new(),
            known: HashSet::default(),
            early: HashSet::default(),
        }
    }

    /// A window filled from what the log holds of the source, oldest first.
    pub fn rebuild<'a>(key: [u64; 4], source: &Name, batches: impl IntoIterator<Item = &'a Batch>) -> Self {
        let mut window = Self::new(key);
        for batch in batches {
            if batch.part.source == *source {
                window.remember_batch(batch);
            }
        }
        window
    }

    /// Takes up the samples of a batch of the log.
    pub fn remember_batch(&mut self, batch: &Batch) {
        for entry in &batch.part.entries {
            if let Entry::Sample(sample) = entry {
                self.remember(sample);
            }
        }
    }

    fn remember(&mut self, sample: &Sample) {
        let claimed = match sample.origin {
            Origin::RetainedUntimed => return,
            Origin::Ahead(claimed) | Origin::RetainedAhead(claimed) => claimed,
            // A sample without a time of its own is stored at its receive time; nothing is compared with it.
            Origin::Live | Origin::Retained => sample.time,
        };
        self.see(sample, claimed);
    }

    /// A sample with the time that its source gives it; what a new one is remembered by, `None` where it is known. One
    /// that came too early is stored as uncertain, whether it was good or not; when it comes again its time may be
    /// believed, and then it is the same sample still.
    pub(crate) fn see(&mut self, sample: &Sample, claimed: Time) -> Option<Noted> {
        let Sample { signal, quality, value, .. } = sample;
        let early = matches!(sample.origin, Origin::Ahead(_) | Origin::RetainedAhead(_));
        if !early || *quality != Quality::UNCERTAIN {
            return self.note(*signal, claimed, *quality, value);
        }
        let uncertain = self.hash(*signal, claimed, Quality::UNCERTAIN, value);
        if self.known.contains(&uncertain) {
            return None;
        }
        let noted = self.note(*signal, claimed, Quality::GOOD, value)?;
        self.known.insert(uncertain);
        self.early.insert(noted.0);
        Some(noted)
    }

    /// Whether a sample is none of the window; it is one from now on.
    pub fn is_new(&mut self, signal: SignalNo, time: Time, quality: Quality, value: &Value) -> bool {
        self.note(signal, time, quality, value).is_some()
    }

    /// The same; gives what a new one is remembered by, so that it can be forgotten alone.
    pub(crate) fn note(&mut self, signal: SignalNo, time: Time, quality: Quality, value: &Value) -> Option<Noted> {
        let hash = self.hash(signal, time, quality, value);
        if !self.known.insert(hash) {
            return None;
        }
        if self.order.len() >= WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.leave(oldest);
        }
        self.order.push_back(hash);
        Some(Noted(hash))
    }

    /// Forgets samples that were not stored after all, wherever they stand.
    pub(crate) fn forget(&mut self, noted: &[Noted]) {
        for Noted(hash) in noted {
            self.leave(*hash);
        }
        let known = &self.known;
        self.order.retain(|hash| known.contains(hash));
    }

    /// Forgets the newest samples: they were not stored after all.
    pub fn forget_newest(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(hash) = self.order.pop_back() {
                self.leave(hash);
            }
        }
    }

    fn leave(&mut self, hash: u64) {
        self.known.remove(&hash);
        if self.early.remove(&hash) {
            self.known.remove(&(hash ^ of_quality(Quality::GOOD) ^ of_quality(Quality::UNCERTAIN)));
        }
    }

    /// Samples in the window.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether the window holds none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn hash(&self, signal: SignalNo, time: Time, quality: Quality, value: &Value) -> u64 {
        let mut hasher = self.key.build_hasher();
        (signal.0, time.0).hash(&mut hasher);
        match value {
            Value::Bool(b) => (0_u8, *b).hash(&mut hasher),
            Value::I64(n) => (1_u8, *n).hash(&mut hasher),
            Value::F64(x) => (2_u8, x.to_bits()).hash(&mut hasher),
            Value::Text(text) => (3_u8, &**text).hash(&mut hasher),
            Value::Bytes(bytes) => (4_u8, &**bytes).hash(&mut hasher),
        }
        hasher.finish() ^ of_quality(quality)
    }
}

/// What a quality adds to a hash: another one for each, so that hashes of one sample lead to each other.
fn of_quality(quality: Quality) -> u64 {
    u64::from(quality.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl std::fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} samples", self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{Position, SiteName, sample::Part};
    use proptest::prelude::*;

    fn window() -> Duplicates {
        Duplicates::new([1, 2, 3, 4])
    }

    #[test]
    fn a_repeat_is_known_until_it_leaves_the_window() {
        let mut window = window();
        let mut see = |n: i64| window.is_new(SignalNo(1), Time(n), Quality::GOOD, &Value::F64(1.5));
        for n in 0..65_536 {
            assert!(see(n));
        }
        assert!(!see(0));
        assert!(see(65_536));
        assert!(see(0), "the oldest has left");
        assert!(!see(65_536));
        assert_eq!(window.len(), WINDOW);
    }

    #[test]
    fn signal_time_value_and_quality_all_count() {
        let mut window = window();
        assert!(window.is_new(SignalNo(1), Time(1), Quality::GOOD, &Value::F64(1.0)));
        assert!(window.is_new(SignalNo(2), Time(1), Quality::GOOD, &Value::F64(1.0)));
        assert!(window.is_new(SignalNo(1), Time(2), Quality::GOOD, &Value::F64(1.0)));
        assert!(window.is_new(SignalNo(1), Time(1), Quality::BAD, &Value::F64(1.0)));
        assert!(window.is_new(SignalNo(1), Time(1), Quality::GOOD, &Value::I64(1)));
        assert!(!window.is_new(SignalNo(1), Time(1), Quality::GOOD, &Value::F64(1.0)));
        window.forget_newest(1);
        let noted = window.note(SignalNo(1), Time(1), Quality::GOOD, &Value::I64(1)).expect("it was forgotten");
        assert!(window.is_new(SignalNo(3), Time(1), Quality::GOOD, &Value::I64(1)));
        window.forget(&[noted]);
        assert!(window.is_new(SignalNo(1), Time(1), Quality::GOOD, &Value::I64(1)));
        assert!(!window.is_new(SignalNo(3), Time(1), Quality::GOOD, &Value::I64(1)));
    }

    #[test]
    fn what_came_too_early_is_the_same_sample_whether_it_was_good_or_uncertain() {
        let sample = |origin, quality| Sample {
            signal: SignalNo(1),
            time: Time(1),
            received: Time(0),
            quality,
            value: Value::F64(1.0),
            origin,
        };
        let early = sample(Origin::Ahead(Time(9)), Quality::UNCERTAIN);
        for believed in [Quality::GOOD, Quality::UNCERTAIN] {
            let believed = sample(Origin::Live, believed);
            for (first, second) in [(&early, &believed), (&believed, &early), (&early, &early)] {
                let mut window = window();
                let noted = window.see(first, Time(9)).expect("it is new");
                assert!(window.see(second, Time(9)).is_none());
                window.forget(&[noted]);
                assert!(window.is_empty() && window.see(second, Time(9)).is_some());
                window.forget_newest(1);
                assert!(window.see(first, Time(9)).is_some());
            }
        }
        let mut window = window();
        assert!(window.see(&early, Time(9)).is_some());
        assert!(window.see(&sample(Origin::Live, Quality::BAD), Time(9)).is_some(), "that is another one");
    }

    #[test]
    fn a_window_is_read_from_the_log_again() {
        let (ours, other) = (Name::new("ours").unwrap(), Name::new("other").unwrap());
        let sample = |time, origin| {
            Entry::Sample(Sample {
                signal: SignalNo(1),
                time: Time(time),
                received: Time(5),
                quality: Quality::GOOD,
                value: Value::Bool(true),
                origin,
            })
        };
        let batch = |source: &Name, entries| {
            let mut part = Part::new(SiteName::new("home").unwrap(), source.clone());
            part.entries = entries;
            Batch { first: Position::default(), part }
        };
        let batches = [
            batch(
                &ours,
                vec![
                    sample(1, Origin::Live),
                    sample(5, Origin::Ahead(Time(9))),
                    sample(5, Origin::RetainedAhead(Time(7))),
                ],
            ),
            batch(&other, vec![sample(2, Origin::Live)]),
        ];
        let mut window = Duplicates::rebuild([1, 2, 3, 4], &ours, &batches);
        let mut see = |time| window.is_new(SignalNo(1), Time(time), Quality::GOOD, &Value::Bool(true));
        assert_eq!([see(1), see(9), see(7), see(2)], [false, false, false, true]);
    }

    proptest! {
        #[test]
        fn it_knows_what_a_list_knows(times in prop::collection::vec(0_i64..50, 0..300)) {
            let mut window = window();
            let mut list = HashSet::new();
            for time in times {
                let new = window.is_new(SignalNo(1), Time(time), Quality::GOOD, &Value::I64(0));
                prop_assert_eq!(new, list.insert(time));
            }
        }
    }
}
