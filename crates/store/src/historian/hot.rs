//! Where in the log a signal may have samples of a time, so that a question about last month does not read this hour.

use ahash::AHashMap;
use andon_model::{Entry, Offset, SignalNo, Time, sample::Batch};
use std::{collections::VecDeque, ops::Range};

/// Entries of a stretch of the log, give or take those of a batch.
const STRETCH_ENTRIES: usize = 128 << 10;

/// Stretches that are told apart at most; with more, the oldest become one.
const STRETCHES_MAX: usize = 64;

/// The earliest and latest source time of each signal by stretch of the log; as large as signals times stretches.
#[derive(Default)]
pub(super) struct Hot(VecDeque<Stretch>);

struct Stretch {
    from: Offset,
    to: Offset,
    signals: AHashMap<SignalNo, (Time, Time)>,
}

impl Stretch {
    fn see(&mut self, signal: SignalNo, (first, last): (Time, Time)) {
        let seen = self.signals.entry(signal).or_insert((first, last));
        *seen = (seen.0.min(first), seen.1.max(last));
    }
}

impl Hot {
    /// Takes over a batch; it begins where the one before ended.
    pub(super) fn take(&mut self, batch: &Batch) {
        let (from, to) = (batch.first.offset, batch.end().offset);
        let full = |stretch: &Stretch| stretch.to - stretch.from >= STRETCH_ENTRIES as u64 || stretch.to != from;
        if self.0.back().is_none_or(full) {
            self.0.push_back(Stretch { from, to, signals: AHashMap::new() });
        }
        if self.0.len() > STRETCHES_MAX
            && let (Some(oldest), Some(next)) = (self.0.pop_front(), self.0.front_mut())
        {
            next.from = oldest.from;
            oldest.signals.into_iter().for_each(|(signal, times)| next.see(signal, times));
        }
        let Some(stretch) = self.0.back_mut() else { return };
        stretch.to = to;
        for entry in &batch.part.entries {
            if let Entry::Sample(sample) = entry {
                stretch.see(sample.signal, (sample.time, sample.time));
            }
        }
    }

    /// Forgets what lies before a place: it is sealed.
    pub(super) fn forget(&mut self, place: Offset) {
        while self.0.front().is_some_and(|oldest| oldest.to <= place) {
            self.0.pop_front();
        }
    }

    /// The parts of the log between two places that may hold samples of a signal at or after `first` and before
    /// `end`. What is not known here may.
    pub(super) fn parts(&self, log: Range<Offset>, signal: SignalNo, first: Time, end: Time) -> Vec<Range<Offset>> {
        let mut parts: Vec<Range<Offset>> = Vec::new();
        let mut add = |part: Range<Offset>| match parts.last_mut() {
            Some(before) if before.end == part.start => before.end = part.end,
            _ if part.is_empty() => {}
            _ => parts.push(part),
        };
        let mut at = log.start;
        for stretch in self.0.iter().filter(|stretch| stretch.to > log.start && stretch.from < log.end) {
            let known = stretch.from.max(at)..stretch.to.min(log.end);
            add(at..known.start);
            let times = stretch.signals.get(&signal);
            if times.is_some_and(|(earliest, latest)| *earliest < end && *latest >= first) {
                add(known.clone());
            }
            at = known.end;
        }
        add(at..log.end);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{
        Name, Position, Quality, Sample, SiteName, Value,
        sample::{Origin, Part},
    };

    fn batch(from: Offset, signal: u32, times: std::ops::Range<i64>) -> Batch {
        let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new("line-1").unwrap());
        part.entries = times
            .map(|time| {
                Entry::Sample(Sample {
                    signal: SignalNo(signal),
                    time: Time(time),
                    received: Time(0),
                    quality: Quality::GOOD,
                    value: Value::Bool(true),
                    origin: Origin::Live,
                })
            })
            .collect();
        Batch { first: Position { epoch: 1, offset: from }, part }
    }

    #[test]
    fn only_what_may_hold_the_times_is_read() {
        let size = i64::try_from(STRETCH_ENTRIES).unwrap();
        let entries = STRETCH_ENTRIES as u64;
        let mut hot = Hot::default();
        hot.take(&batch(1_000, 1, 0..size));
        hot.take(&batch(1_000 + entries, 2, 0..size));
        hot.take(&batch(1_000 + 2 * entries, 1, size..size + 10));
        let end = 1_000 + 2 * entries + 10;
        let ask = |hot: &Hot, signal, from, to| hot.parts(0..end + 5, SignalNo(signal), Time(from), Time(to));
        // What lies before and behind what is known is always read.
        assert_eq!(ask(&hot, 3, 0, 10), [0..1_000, end..end + 5]);
        assert_eq!(ask(&hot, 1, 0, 10), [0..1_000 + entries, end..end + 5]);
        assert_eq!(ask(&hot, 1, size, size + 1), [0..1_000, 1_000 + 2 * entries..end + 5]);
        assert_eq!(ask(&hot, 2, 5, 6), [0..1_000, 1_000 + entries..1_000 + 2 * entries, end..end + 5]);
        assert_eq!(hot.parts(1_100..1_200, SignalNo(1), Time(0), Time(9)).first(), Some(&(1_100..1_200)));
        assert_eq!(hot.parts(1_100..1_200, SignalNo(2), Time(0), Time(9)), []);
        hot.forget(1_000 + entries);
        assert_eq!(ask(&hot, 3, 0, 10), [0..1_000 + entries, end..end + 5]);
    }

    #[test]
    fn many_stretches_stay_few() {
        let mut hot = Hot::default();
        let entries = STRETCH_ENTRIES as u64;
        for n in 0..STRETCHES_MAX as u64 + 9 {
            // A stretch is full by its places, whatever it holds.
            hot.take(&batch(n * entries, 1, 0..1));
            hot.0.back_mut().unwrap().to = (n + 1) * entries;
        }
        assert_eq!(hot.0.len(), STRETCHES_MAX);
        assert_eq!(hot.parts(0..entries, SignalNo(1), Time(0), Time(1)).first(), Some(&(0..entries)));
    }
}
