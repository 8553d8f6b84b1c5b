//! What every provider must answer about samples, wherever they are kept: the same as a plain list of them.

use crate::{
    Store,
    historian::{Bucket, Found, RANGE_BYTES_MAX, Range, Stored},
};
use andon_model::{
    AssetName, Entry, Name, Position, Quality, Sample, SignalName, SiteName, Time, Value,
    sample::{Batch, Counts, Origin, Part},
};
use std::{collections::BTreeMap, sync::Arc};

/// A sample that was appended, with whose it is.
#[derive(Debug, Clone)]
pub struct Told {
    /// The site.
    pub site: SiteName,
    /// The source.
    pub source: Name,
    /// The asset.
    pub asset: AssetName,
    /// The signal.
    pub signal: SignalName,
    /// Its place.
    pub position: Position,
    /// The sample.
    pub sample: Sample,
}

/// Numbers that look random and are the same every time (an xorshift).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Numbers that depend on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % limit
    }

    fn signed(&mut self, limit: u64) -> i64 {
        i64::try_from(self.below(limit)).unwrap()
    }
}

const SECOND: i64 = 1_000_000_000;

/// Half an hour before a UTC day ends: what comes then lies on two days.
pub const BEGIN: Time = Time(1_764_113_400 * SECOND);

/// A part of samples of three signals and all kinds, some late, some at equal times, some of times far apart.
pub fn some_samples(store: &Store, count: usize, chance: &mut Chance) -> (Part, Vec<(AssetName, SignalName)>) {
    let names = [("press-01", "force"), ("press-01", "state"), ("oven-02", "temperature")];
    let (site, source) = if chance.below(3) == 0 { ("monterrey", "line-2") } else { ("hamburg", "line-1") };
    let mut part = Part::new(SiteName::new(site).unwrap(), Name::new(source).unwrap());
    let mut signals = Vec::new();
    for _ in 0..count {
        let (asset, signal) = names[usize::try_from(chance.below(3)).unwrap()];
        let (asset, signal) = (AssetName::new(asset).unwrap(), SignalName::new(signal).unwrap());
        let number = store.signal(&asset, &signal).unwrap();
        let time = match chance.below(10) {
            0 => BEGIN.0 + chance.signed(40) * SECOND,
            1 => BEGIN.0 + chance.signed(3 * 86_400) * SECOND,
            _ => BEGIN.0 + chance.signed(3_600_000) * 1_000_000,
        };
        let value = match chance.below(12) {
            0 => Value::Bool(chance.below(2) == 0),
            1 => Value::Text(format!("text {}", chance.below(5)).into()),
            2 => Value::Bytes(vec![7; usize::try_from(chance.below(9)).unwrap()].into()),
            3..=5 => Value::I64(chance.signed(2_000) - 1_000),
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            _ => Value::F64(chance.signed(2_000_000) as f64 / 1_000.0 - 1_000.0),
        };
        let quality = [Quality::GOOD, Quality::GOOD, Quality::UNCERTAIN, Quality::BAD];
        let origin = match chance.below(20) {
            0 => Origin::Ahead(Time(time + SECOND)),
            1 => Origin::Retained,
            2 => Origin::RetainedUntimed,
            _ => Origin::Live,
        };
        part.entries.push(Entry::Sample(Sample {
            signal: number,
            time: Time(time),
            received: Time::from_millis(BEGIN.millis() + chance.signed(9_000_000)),
            quality: quality[usize::try_from(chance.below(4)).unwrap()],
            value,
            origin,
        }));
        signals.push((asset, signal));
    }
    let count = u64::try_from(count).unwrap();
    part.counts = Counts { received: count, stored: count, ..Counts::default() };
    (part, signals)
}

/// Takes over what was appended; `signals` are those of its entries.
pub fn tell(to: &mut Vec<Told>, batches: &[Arc<Batch>], signals: Vec<(AssetName, SignalName)>) {
    let mut signals = signals.into_iter();
    for batch in batches {
        for (entry, offset) in batch.part.entries.iter().zip(batch.first.offset..) {
            let Entry::Sample(sample) = entry else { continue };
            let (asset, signal) = signals.next().unwrap();
            to.push(Told {
                site: batch.part.site.clone(),
                source: batch.part.source.clone(),
                asset,
                signal,
                position: Position { epoch: batch.first.epoch, offset },
                sample: sample.clone(),
            });
        }
    }
}

fn stored(told: &Told) -> Stored {
    let Sample { time, received, quality, .. } = told.sample;
    Stored { position: told.position, time, received, quality, value: told.sample.value.clone() }
}

/// Asks everything that can be asked about samples, and compares with the plain list; panics where they differ.
pub fn agrees(store: &Store, told: &[Told], chance: &mut Chance) {
    let mut by_signal: BTreeMap<(AssetName, SignalName), Vec<&Told>> = BTreeMap::new();
    for one in told {
        by_signal.entry((one.asset.clone(), one.signal.clone())).or_default().push(one);
    }
    for samples in by_signal.values_mut() {
        samples.sort_by_key(|one| (one.sample.time, one.position));
    }
    for ((asset, signal), samples) in &by_signal {
        for _ in 0..4 {
            let from = Time(BEGIN.0 + chance.signed(4_000) * SECOND - 100 * SECOND);
            let to = Time(from.0 + chance.signed(5_000_000) * 1_000_000);
            ranges_agree(store, asset, signal, samples, (from, to), usize::try_from(1 + chance.below(50)).unwrap());
            buckets_agree(store, asset, signal, samples, (from, to), usize::try_from(1 + chance.below(40)).unwrap());
        }
        let all = (Time(BEGIN.0 - SECOND), Time(BEGIN.0 + 5 * 86_400 * SECOND));
        ranges_agree(store, asset, signal, samples, all, 10_000);
        buckets_agree(store, asset, signal, samples, all, 100);
        let live = |one: &&&Told| !one.sample.origin.is_retained();
        let last = samples.iter().rfind(live).map(|one| stored(one));
        assert_eq!(store.last(asset, signal).unwrap(), last, "the last value of {asset}/{signal}");
        let listed = store.last_values(&|of| of == asset).unwrap();
        let listed = listed.into_iter().find(|value| value.signal == format!("{asset}/{signal}"));
        assert_eq!(listed.map(|value| (value.position, value.value)), last.map(|last| (last.position, last.value)));
    }
    let counted: BTreeMap<String, u64> =
        by_signal.iter().map(|((asset, signal), all)| (format!("{asset}/{signal}"), all.len() as u64)).collect();
    assert_eq!(store.count(&|_, _| true).unwrap(), counted);
    let force = SignalName::new("force").unwrap();
    let of_force = store.count(&|_, signal| *signal == force).unwrap();
    assert_eq!(of_force.get("press-01/force"), counted.get("press-01/force"));
    assert!(of_force.len() <= 1);
    several_agree(store, told, usize::try_from(1 + chance.below(60)).unwrap());
    let mut heard: BTreeMap<Name, BTreeMap<AssetName, Time>> = BTreeMap::new();
    for one in told.iter().filter(|one| !one.sample.origin.is_retained()) {
        let newest = heard.entry(one.source.clone()).or_default().entry(one.asset.clone()).or_insert(Time::MIN);
        *newest = one.sample.received.max(*newest);
    }
    let activity = store.activity().unwrap();
    assert_eq!(activity.iter().map(|(name, of)| (name.clone(), of.assets.clone())).collect::<BTreeMap<_, _>>(), heard);
    assert!(activity.values().all(|of| of.received == of.assets.values().max().copied()));
    for one in told.iter().skip(usize::try_from(chance.below(7)).unwrap()).step_by(told.len() / 10 + 1) {
        let found = store.sample_at(one.position).unwrap().expect("what was appended is somewhere");
        let Found { site, source, asset, signal, origin, sample } = found;
        assert_eq!((&site, &asset, &signal, origin), (&one.site, &one.asset, &one.signal, one.sample.origin));
        assert!(source.is_none_or(|source| source == one.source));
        assert_eq!(sample, stored(one));
    }
    assert_eq!(store.sample_at(store.log_end()).unwrap(), None);
}

fn ranges_agree(
    store: &Store,
    asset: &AssetName,
    signal: &SignalName,
    samples: &[&Told],
    (from, to): (Time, Time),
    limit: usize,
) {
    let within = samples.iter().filter(|one| one.sample.time >= from && one.sample.time < to);
    let expected: Vec<Stored> = within.map(|one| stored(one)).collect();
    let mut range = Range { asset: asset.clone(), signal: signal.clone(), from, to, after: None, limit };
    let mut found = Vec::new();
    loop {
        let (page, more) = store.range(&range).unwrap();
        assert!(page.len() <= limit && (page.len() == limit || !more));
        range.after = page.last().map(|last| (last.time, last.position));
        found.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(found, expected, "{asset}/{signal} from {from} to {to} in pages of {limit}");
}

/// Both signals of an asset in one order, and one of which nothing was ever said.
fn several_agree(store: &Store, told: &[Told], limit: usize) {
    let asset = AssetName::new("press-01").unwrap();
    let signals = ["force", "never", "state"].map(|signal| SignalName::new(signal).unwrap());
    let mut expected: Vec<(&SignalName, Stored)> =
        told.iter().filter(|one| one.asset == asset).map(|one| (&one.signal, stored(one))).collect();
    expected.sort_by_key(|(_, sample)| (sample.time, sample.position));
    let (from, to) = (Time::MIN, Time::MAX);
    let mut range = Range { asset, signal: signals[1].clone(), from, to, after: None, limit };
    let mut found = Vec::new();
    loop {
        let (page, more) = store.range_of(&range, &signals).unwrap();
        assert!(page.len() <= limit && (page.len() == limit || !more));
        range.after = page.last().map(|(_, last)| (last.time, last.position));
        found.extend(page.into_iter().map(|(index, sample)| (&signals[index], sample)));
        if !more {
            break;
        }
    }
    assert_eq!(found, expected, "in pages of {limit}");
}

fn buckets_agree(
    store: &Store,
    asset: &AssetName,
    signal: &SignalName,
    samples: &[&Told],
    (from, to): (Time, Time),
    points: usize,
) {
    let buckets = store.downsample(asset, signal, from, to, points).unwrap();
    let what = format!("{asset}/{signal} from {from} to {to} in {points}: {buckets:?}");
    assert!(buckets.len() <= points && buckets.iter().all(|bucket| bucket.count > 0), "{what}");
    let ends = buckets.iter().skip(1).map(|bucket| bucket.from).chain([to]);
    let mut counted = 0;
    for (Bucket { from, count, min, max, mean }, end) in buckets.iter().zip(ends) {
        let within = |one: &&&Told| one.sample.time >= *from && one.sample.time < end && !one.sample.quality.is_bad();
        let values: Vec<f64> = samples.iter().filter(within).filter_map(|one| one.sample.value.number()).collect();
        assert_eq!(*count, values.len() as u64, "{what}");
        assert_eq!(Some(*min), values.iter().copied().reduce(f64::min), "{what}");
        assert_eq!(Some(*max), values.iter().copied().reduce(f64::max), "{what}");
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let expected = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - expected).abs() < 1e-6, "{mean} is not {expected}: {what}");
        counted += values.len();
    }
    let all = samples.iter().filter(|one| one.sample.time >= from && one.sample.time < to);
    let all = all.filter(|one| !one.sample.quality.is_bad() && one.sample.value.number().is_some()).count();
    assert_eq!(counted, all, "{what}");
}

/// Everything that can be asked, of samples that came in groups of several sizes.
pub(super) fn samples_are_found(store: &Store) {
    let mut chance = Chance::new(42);
    let mut told = Vec::new();
    agrees(store, &told, &mut chance);
    for group in [1, 40, 700] {
        for _ in 0..3 {
            let (part, signals) = some_samples(store, group, &mut chance);
            tell(&mut told, &store.append(vec![part]).unwrap(), signals);
        }
        agrees(store, &told, &mut chance);
    }
    let nowhere = Range {
        asset: AssetName::new("nowhere").unwrap(),
        signal: SignalName::new("nothing").unwrap(),
        from: Time::MIN,
        to: Time::MAX,
        after: None,
        limit: 10,
    };
    assert_eq!(store.range(&nowhere).unwrap(), (Vec::new(), false));
    assert_eq!(store.last(&nowhere.asset, &nowhere.signal).unwrap(), None);
    assert_eq!(store.downsample(&nowhere.asset, &nowhere.signal, Time::MIN, Time::MAX, 10).unwrap(), []);
    assert_eq!(store.holdings().unwrap().sealed, store.log_start());
    questions_have_ends(store, &told);
    large_samples_come_in_pages(store);
}

/// Questions that ask for everything, for nothing, or the wrong way round.
fn questions_have_ends(store: &Store, told: &[Told]) {
    let (asset, signal) = (AssetName::new("press-01").unwrap(), SignalName::new("force").unwrap());
    let mut samples: Vec<&Told> = told.iter().filter(|one| one.asset == asset && one.signal == signal).collect();
    samples.sort_by_key(|one| (one.sample.time, one.position));
    ranges_agree(store, &asset, &signal, &samples, (Time::MIN, Time::MAX), 77);
    for points in [1, 2, 1_000, usize::MAX] {
        buckets_agree(store, &asset, &signal, &samples, (Time::MIN, Time::MAX), points);
    }
    let (first, last) = (samples[0].sample.time, samples[samples.len() - 1].sample.time);
    let ask = |from, to, after, limit| {
        store.range(&Range { asset: asset.clone(), signal: signal.clone(), from, to, after, limit }).unwrap()
    };
    for (from, to) in [(first, first), (last, first), (Time::MAX, Time::MIN), (Time::MIN, first)] {
        assert_eq!(ask(from, to, None, 10), (Vec::new(), false));
        assert_eq!(store.downsample(&asset, &signal, from, to, 10).unwrap(), []);
    }
    assert_eq!(ask(Time::MIN, Time::MAX, None, 0).0, []);
    assert_eq!(ask(Time::MIN, Time::MAX, Some((Time::MAX, store.log_end())), 10), (Vec::new(), false));
    assert_eq!(ask(Time::MIN, Time::MAX, None, usize::MAX).0.len(), samples.len());
    assert_eq!(store.downsample(&asset, &signal, Time::MIN, Time::MAX, 0).unwrap(), []);
    // Among samples of one time their places decide, also where a page ends between them.
    let same = samples.windows(2).find(|two| two[0].sample.time == two[1].sample.time).expect("some are equal");
    let time = same[0].sample.time;
    let (found, more) = ask(time, Time(time.0 + 1), Some((time, same[0].position)), 1);
    assert_eq!(found, [stored(same[1])]);
    assert_eq!(more, samples.iter().filter(|one| one.sample.time == time).count() > 2);
    let beyond = Position { offset: u64::MAX >> 1, ..store.log_end() };
    assert_eq!(store.sample_at(beyond).unwrap(), None);
    let elsewhere = Position { epoch: 99, offset: 0 };
    assert_eq!(store.sample_at(elsewhere).unwrap(), None);
}

/// An answer ends before it takes all the memory.
fn large_samples_come_in_pages(store: &Store) {
    let (asset, signal) = (AssetName::new("camera-03").unwrap(), SignalName::new("picture").unwrap());
    let number = store.signal(&asset, &signal).unwrap();
    let picture: Value = Value::Bytes(vec![9; 1 << 20].into());
    let mut told = Vec::new();
    for n in 0..70 {
        let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new("line-1").unwrap());
        part.entries.push(Entry::Sample(Sample {
            signal: number,
            // The later in the log, the earlier.
            time: Time(BEGIN.0 - n * SECOND),
            received: BEGIN,
            quality: Quality::GOOD,
            value: picture.clone(),
            origin: Origin::Live,
        }));
        part.counts = Counts { received: 1, stored: 1, ..Counts::default() };
        tell(&mut told, &store.append(vec![part]).unwrap(), vec![(asset.clone(), signal.clone())]);
    }
    let mut range = Range { asset, signal, from: Time::MIN, to: Time::MAX, after: None, limit: 1_000 };
    let mut pages = Vec::new();
    let mut times = Vec::new();
    loop {
        let (page, more) = store.range(&range).unwrap();
        range.after = page.last().map(|last| (last.time, last.position));
        pages.push(page.len());
        times.extend(page.into_iter().map(|sample| sample.time));
        if !more {
            break;
        }
    }
    assert_eq!(times, told.iter().rev().map(|one| one.sample.time).collect::<Vec<_>>());
    assert!(pages.len() > 1 && pages.iter().all(|samples| *samples <= RANGE_BYTES_MAX >> 20), "{pages:?}");
}
