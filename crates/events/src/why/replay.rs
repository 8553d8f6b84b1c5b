//! Goes through the stored samples of a rule for an asset once more, in the order in which they came.
//!
//! Where the log still holds them it is read as it is, with its marks; what is only in files of the historian has no
//! marks. Before the stretch each signal has its newest good sample from before, so that what changes seldom is known.

use crate::{Engine, context::Context, engine::Moment, evidence::Raw};
use andon_contract::Contract;
use andon_model::{
    AssetName, Entry, Name, Position, Quality, Sample, SignalName, SignalNo, SiteName, Time,
    sample::{Batch, Origin, Part},
    span::Span,
};
use andon_store::{
    Store, StoreError,
    historian::{Range, Stored},
};
use std::{collections::BTreeMap, sync::Arc};

/// Samples of a replay at most.
pub(super) const SAMPLES_MAX: usize = 500_000;
/// Entries of the log that are read for it at most; beyond that the samples alone are.
const LOG_MAX: u64 = 5_000_000;
const PAGE: usize = 50_000;
/// So far back the newest sample of a signal is looked for.
const BACK: [Span; 4] =
    [Span::from_secs(3_600), Span::from_secs(86_400), Span::from_secs(30 * 86_400), Span::from_secs(3_660 * 86_400)];
/// Samples behind the time that are looked at, to find the first of them that came.
const NEXT: usize = 1_000;
/// So far behind the time it is looked for.
const NEXT_SPAN: Span = Span::from_secs(86_400);

/// What is replayed.
pub(super) struct Of<'a> {
    pub(super) store: &'a Store,
    pub(super) contract: &'a Arc<Contract>,
    pub(super) rule: &'a Name,
    pub(super) asset: &'a AssetName,
    pub(super) site: &'a SiteName,
    /// What its machine and its conditions read; the first is the signal it stands on.
    pub(super) signals: &'a [SignalName],
    pub(super) at: Time,
    /// The same by receive time.
    pub(super) utc: Time,
}

/// A sample that was skipped, since a newer one had come before.
#[derive(Debug, Clone)]
pub(super) struct Late {
    pub(super) raw: Raw,
    /// The time of the newest before it.
    pub(super) newest: Time,
}

/// Where a replay has come to.
pub(super) struct Replayed {
    pub(super) engine: Engine,
    pub(super) from: Time,
    /// By signal, up to the time and not late, in the order of the log.
    pub(super) samples: Vec<Vec<Raw>>,
    pub(super) late: Vec<Late>,
    /// The first sample of the rule's own signal behind the time.
    pub(super) next: Option<Raw>,
    /// The newest receive time of what was read.
    pub(super) received: Time,
    /// Whether the log with its marks was read.
    pub(super) with_marks: bool,
    /// Whether nothing older is there, or may be read.
    pub(super) at_limit: bool,
}

/// Everything that is stored for it.
struct Found {
    all: Vec<Raw>,
    next: Option<Raw>,
    cut: bool,
}

impl Of<'_> {
    /// Replays from a time on, up to the one that is asked about.
    pub(super) fn replay(&self, from: Time, context: Context) -> Result<Option<Replayed>, StoreError> {
        let numbers = self.numbers()?;
        let found = self.find(from)?;
        let stop = found.next.as_ref().map(|raw| raw.position);
        let (samples, late) = self.sorted(&found);
        let read: Vec<&Raw> = found.all.iter().filter(|raw| stop.is_none_or(|stop| raw.position < stop)).collect();
        let first = read.first().map_or_else(|| self.store.log_end(), |raw| raw.position);
        let context = if context.revision() == 0 { Context::of(self.contract) } else { context };
        let instance = self.store.instance();
        let of = (self.rule, self.asset);
        let Some(mut engine) = Engine::alone(self.contract, instance, of, &numbers, (first, context)) else {
            return Ok(None);
        };
        let with_marks = self.apply(&mut engine, &read, from, stop, &numbers)?;
        let received = read.iter().map(|raw| raw.received).max().unwrap_or(Time::MIN);
        Ok(Some(Replayed { engine, from, samples, late, next: found.next, received, with_marks, at_limit: found.cut }))
    }

    fn numbers(&self) -> Result<Vec<(SignalNo, AssetName, SignalName)>, StoreError> {
        let all = self.store.signals()?;
        Ok(all.into_iter().filter(|(_, asset, signal)| asset == self.asset && self.signals.contains(signal)).collect())
    }

    /// The samples of all its signals in the order of the log, each signal with its newest good one from before.
    fn find(&self, from: Time) -> Result<Found, StoreError> {
        let mut all = Vec::new();
        let mut cut = false;
        for (signal, number) in self.signals.iter().zip(0_u8..) {
            let known = all.len();
            cut |= self.page(signal, (from, self.at.plus(Span::from_nanos(1))), SAMPLES_MAX, &mut |stored| {
                all.push(raw(number, stored));
            })?;
            if let Some(before) = before(self.store, (self.asset, signal), from, &|stored| stored.quality.is_good())? {
                all.insert(known, raw(number, before));
            }
        }
        let mut next: Option<Raw> = None;
        let behind = self.at.plus(Span::from_nanos(1));
        if let Some(signal) = self.signals.first() {
            self.page(signal, (behind, behind.plus(NEXT_SPAN)), NEXT, &mut |stored| {
                if next.as_ref().is_none_or(|next| stored.position < next.position) {
                    next = Some(raw(0, stored));
                }
            })?;
        }
        all.sort_by_key(|raw| raw.position);
        all.dedup_by_key(|raw| raw.position);
        Ok(Found { all, next, cut })
    }

    fn page(
        &self,
        signal: &SignalName,
        stretch: (Time, Time),
        most: usize,
        take: &mut dyn FnMut(Stored),
    ) -> Result<bool, StoreError> {
        page(self.store, (self.asset, signal), stretch, most, take)
    }

    /// By signal those that count, and those that came late.
    fn sorted(&self, found: &Found) -> (Vec<Vec<Raw>>, Vec<Late>) {
        let mut samples = vec![Vec::new(); self.signals.len()];
        let mut late = Vec::new();
        let mut newest: BTreeMap<u8, Time> = BTreeMap::new();
        let mut all: Vec<&Raw> = found.all.iter().chain(&found.next).collect();
        all.sort_by_key(|raw| raw.position);
        for raw in all {
            let known = newest.entry(raw.input).or_insert(Time::MIN);
            if raw.time < *known {
                late.push(Late { raw: raw.clone(), newest: *known });
                continue;
            }
            *known = raw.time;
            if raw.time <= self.at
                && let Some(list) = samples.get_mut(usize::from(raw.input))
            {
                list.push(raw.clone());
            }
        }
        late.sort_by_key(|late| late.raw.time);
        (samples, late)
    }

    /// Lets the engine read; says whether it was the log with its marks.
    fn apply(
        &self,
        engine: &mut Engine,
        read: &[&Raw],
        from: Time,
        stop: Option<Position>,
        numbers: &[(SignalNo, AssetName, SignalName)],
    ) -> Result<bool, StoreError> {
        let end = stop.unwrap_or_else(|| self.store.log_end());
        // What is from before the stretch is given by itself: it may be far back.
        let first = read.iter().find(|raw| raw.time >= from).map(|raw| raw.position);
        let start = self.store.log_start();
        let in_log = first.filter(|first| {
            first.epoch == end.epoch && *first >= start && end.offset.saturating_sub(first.offset) <= LOG_MAX
        });
        let (before, rest): (Vec<&Raw>, Vec<&Raw>) =
            read.iter().partition(|raw| in_log.is_none_or(|first| raw.position < first));
        self.apply_samples(engine, &before, numbers);
        let Some(first) = in_log.filter(|_| !rest.is_empty()) else { return Ok(false) };
        let mut place = first;
        while place < end {
            let Some(batch) = self.store.read(place)? else { break };
            place = batch.end();
            let mut out = Vec::new();
            let moment = Moment { now: self.at, monotonic: None };
            if place > end {
                let keep = usize::try_from(end.offset.saturating_sub(batch.first.offset)).unwrap_or(usize::MAX);
                let mut cut = (*batch).clone();
                cut.part.entries.truncate(keep);
                engine.apply(&cut, moment, &mut out);
            } else {
                engine.apply(&batch, moment, &mut out);
            }
        }
        Ok(true)
    }

    fn apply_samples(&self, engine: &mut Engine, read: &[&Raw], numbers: &[(SignalNo, AssetName, SignalName)]) {
        let number = |input: u8| {
            let signal = self.signals.get(usize::from(input))?;
            numbers.iter().find(|(_, _, known)| known == signal).map(|(number, ..)| *number)
        };
        let mut rest = read;
        while let Some(first) = rest.first() {
            // What stands together in the log came together.
            let together = rest.iter().zip(first.position.offset..).take_while(|(raw, offset)| {
                raw.position.offset == *offset && raw.position.epoch == first.position.epoch
            });
            let (now, later) = rest.split_at(together.count().max(1));
            let mut part = Part::new(self.site.clone(), self.source());
            part.entries.extend(now.iter().filter_map(|raw| {
                Some(Entry::Sample(Sample {
                    signal: number(raw.input)?,
                    time: raw.time,
                    received: raw.received,
                    quality: raw.quality,
                    value: raw.value.clone(),
                    origin: Origin::Live,
                }))
            }));
            let batch = Batch { first: first.position, part };
            engine.apply(&batch, Moment { now: self.at, monotonic: None }, &mut Vec::new());
            rest = later;
        }
    }

    /// The source that tells of the asset, as far as the project says it.
    fn source(&self) -> Name {
        let of = self.contract.assets.get(self.asset);
        let named = of.and_then(|asset| asset.addresses.keys().next());
        let any = || self.contract.sources.keys().next();
        named.or_else(any).cloned().unwrap_or_else(|| Name::new("historian").expect("it is a name"))
    }
}

/// The newest sample of a signal up to a time, be it good or not.
pub(super) fn newest(
    store: &Store,
    asset: &AssetName,
    signal: &SignalName,
    at: Time,
) -> Result<Option<Stored>, StoreError> {
    before(store, (asset, signal), at.plus(Span::from_nanos(1)), &|_| true)
}

/// The newest sample of a signal before a time that is wanted.
fn before(
    store: &Store,
    of: (&AssetName, &SignalName),
    from: Time,
    wanted: &dyn Fn(&Stored) -> bool,
) -> Result<Option<Stored>, StoreError> {
    for back in BACK {
        let mut newest = None;
        page(store, of, (from.minus(back), from), SAMPLES_MAX, &mut |stored| {
            if wanted(&stored) {
                newest = Some(stored);
            }
        })?;
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}

/// Reads a stretch of a signal; says whether there is more than the most.
fn page(
    store: &Store,
    (asset, signal): (&AssetName, &SignalName),
    (from, to): (Time, Time),
    most: usize,
    take: &mut dyn FnMut(Stored),
) -> Result<bool, StoreError> {
    let mut after = None;
    let mut left = most;
    loop {
        let (asset, signal) = (asset.clone(), signal.clone());
        let range = Range { asset, signal, from, to, after, limit: PAGE.min(left) };
        let (found, more) = store.range(&range)?;
        left = left.saturating_sub(found.len());
        after = found.last().map(|last| (last.time, last.position));
        found.into_iter().for_each(&mut *take);
        if !more || left == 0 {
            return Ok(more);
        }
    }
}

fn raw(input: u8, stored: Stored) -> Raw {
    let Stored { position, time, received, quality, value } = stored;
    Raw { position, time, received, quality: Quality(quality.0), value, input }
}
