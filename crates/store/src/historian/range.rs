//! Samples of a signal by time, and stretches of it for charts, from the log and from sealed files as one answer.
//!
//! What is sealed is asked first, at one instant; everything at or behind that place is then read from the log. A file
//! that has gone meanwhile was merged or has expired, and a place of the log that has gone was sealed: then the
//! question is asked again.

use super::{
    Bucket, Found, Range, Stored,
    catalog::{FileRow, Kind, Sealed, Which},
    last,
    minutes::{self, MINUTE},
    parquet::{self, Filter, Row, Rows},
};
use crate::{Store, StoreError, disk::Disk};
use ahash::{AHashMap, AHashSet};
use andon_model::{AssetName, Entry, Position, SignalName, SignalNo, Time, Value, sample::Sample};
use std::{
    collections::{BTreeMap, BinaryHeap},
    io,
    ops::{ControlFlow, Range as Span},
    path::Path,
};

/// Samples of an answer at most; a longer one is asked for in pages.
pub const RANGE_SAMPLES_MAX: usize = 100_000;

/// Bytes of memory after which an answer ends, one sample at least being in it.
pub const RANGE_BYTES_MAX: usize = 64 << 20;

/// Buckets of an answer at most.
pub const BUCKETS_MAX: usize = 10_000;

/// How often a question is asked anew because what it reads has gone.
const TRIES: u32 = 16;

impl Store {
    /// Samples of a signal in the order of their time and place, and whether there are more. At most
    /// [`RANGE_SAMPLES_MAX`] are given, and fewer where they are large ([`RANGE_BYTES_MAX`]).
    pub fn range(&self, range: &Range) -> Result<(Vec<Stored>, bool), StoreError> {
        let (found, more) = self.range_of(range, std::slice::from_ref(&range.signal))?;
        Ok((found.into_iter().map(|(_, sample)| sample).collect(), more))
    }

    /// The same of several signals of the asset, whatever the range names, each sample with the place of its signal
    /// among them: the log is read once for all.
    pub fn range_of(&self, range: &Range, signals: &[SignalName]) -> Result<(Vec<(usize, Stored)>, bool), StoreError> {
        let mut wanted = Vec::new();
        for (index, signal) in signals.iter().enumerate() {
            if let Some(number) = last::number(self, &range.asset, signal)? {
                wanted.push((number, index, format!("{}/{signal}", range.asset)));
            }
        }
        let limit = range.limit.min(RANGE_SAMPLES_MAX);
        let from = range.after.map_or(range.from, |(time, _)| time.max(range.from));
        if from >= range.to || wanted.is_empty() {
            return Ok((Vec::new(), false));
        }
        let which = Which {
            kind: Some(Kind::Samples),
            signal: wanted.first().filter(|_| wanted.len() == 1).map(|(.., name)| name.as_str()),
            from: Some(from),
            to: Some(range.to),
            ..Which::default()
        };
        let is = |time: Time, at: Position| time < range.to && range.after.is_none_or(|after| (time, at) > after);
        let numbers: AHashMap<SignalNo, usize> = wanted.iter().map(|(number, index, _)| (*number, *index)).collect();
        self.again(&which, |asked| {
            let mut earliest = Earliest { limit, ..Earliest::default() };
            self.hot(asked.hot, &numbers, (from, range.to), &mut |position, sample| {
                if let Some(index) = numbers.get(&sample.signal).filter(|_| is(sample.time, position)) {
                    earliest.push(*index, stored(position, sample));
                }
            })?;
            for (_, index, name) in &wanted {
                let mut cold = Cold::new(self, &asked.files, name, from, range.to);
                while let Some(sample) = cold.next(&is)? {
                    if !earliest.wants(&sample) {
                        break;
                    }
                    earliest.push(*index, sample);
                }
            }
            let Earliest { samples, cut, .. } = earliest;
            let found = samples.into_sorted_vec().into_iter().map(|ByPlace(sample, index)| (index, sample));
            Ok((found.collect(), cut))
        })
    }

    /// How many samples there are of each signal that is wanted, in the log and in files, by `asset/signal`; a signal
    /// without samples is left out. The log is read once, and of files the signals alone.
    pub fn count(&self, wanted: &dyn Fn(&AssetName, &SignalName) -> bool) -> Result<BTreeMap<String, u64>, StoreError> {
        let signals = self.signals()?.into_iter().filter(|(_, asset, signal)| wanted(asset, signal));
        let names: AHashMap<SignalNo, String> =
            signals.map(|(number, asset, signal)| (number, format!("{asset}/{signal}"))).collect();
        let known: AHashSet<&str> = names.values().map(String::as_str).collect();
        let which = Which { kind: Some(Kind::Samples), ..Which::default() };
        self.again(&which, |asked| {
            let mut of_log: AHashMap<SignalNo, u64> = AHashMap::new();
            self.hot(asked.hot, &names, (Time::MIN, Time::MAX), &mut |_, sample| {
                *of_log.entry(sample.signal).or_default() += 1;
            })?;
            let of_log = of_log.into_iter().filter_map(|(number, count)| Some((names.get(&number)?.clone(), count)));
            let mut counts: BTreeMap<String, u64> = of_log.collect();
            for file in &asked.files {
                let facts = &file.facts;
                let mut add = |name: &str, count| {
                    if known.contains(name) {
                        *counts.entry(name.to_owned()).or_default() += count;
                    }
                };
                if facts.first_signal == facts.last_signal {
                    add(&facts.first_signal, facts.rows);
                } else {
                    parquet::signals(self.disk(), &self.path(file), &mut add)?;
                }
            }
            Ok(counts)
        })
    }

    /// A stretch of a signal in at most `points` buckets ([`BUCKETS_MAX`]) of equal width, in which lowest and highest
    /// value, count and mean are those of the samples; buckets without samples are left out. Samples count whose value
    /// is a number (a bool is 0 or 1) and not bad. Buckets of a minute or more are whole minutes, but for the first and
    /// the last one.
    pub fn downsample(
        &self,
        asset: &AssetName,
        signal: &SignalName,
        from: Time,
        to: Time,
        points: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        let Some(number) = last::number(self, asset, signal)? else { return Ok(Vec::new()) };
        let Some(grid) = Grid::new(from, to, points.min(BUCKETS_MAX)) else { return Ok(Vec::new()) };
        let name = format!("{asset}/{signal}");
        let (start, end) = (minutes::begin(from), Some(to));
        let which = Which { signal: Some(&name), from: Some(start), to: end, ..Which::default() };
        self.again(&which, |asked| {
            let mut buckets = Buckets { grid, of: BTreeMap::new() };
            self.hot(asked.hot, &[(number, ())].into(), (from, to), &mut |_, sample| {
                if !sample.quality.is_bad() {
                    buckets.sample(sample.time, sample.value.number());
                }
            })?;
            let whole = grid.minutes(from, to);
            for file in &asked.files {
                let path = self.path(file);
                let at = (self.disk(), &*path);
                match file.kind {
                    Kind::Minutes if !whole.is_empty() => {
                        let (from, to) = (Time(whole.start), Time(whole.end));
                        minutes::read(at.0, at.1, Some(&name), from, to, &mut |minute| {
                            buckets.add(minute.time, minute.count, minute.min, minute.max, minute.mean);
                            ControlFlow::Continue(())
                        })?;
                    }
                    Kind::Minutes => {}
                    Kind::Samples if whole.is_empty() => buckets.samples(at, file, &name, (from, to))?,
                    Kind::Samples => {
                        buckets.samples(at, file, &name, (from, Time(whole.start)))?;
                        buckets.samples(at, file, &name, (Time(whole.end), to))?;
                    }
                }
            }
            Ok(buckets.of.into_values().collect())
        })
    }

    /// The sample at a place of the log, wherever it is kept now.
    pub fn sample_at(&self, position: Position) -> Result<Option<Found>, StoreError> {
        let which = Which { kind: Some(Kind::Samples), position: Some(position), ..Which::default() };
        self.again(&which, |asked| {
            if position.offset >= asked.hot.offset {
                let at = self.read(position)?;
                if at.is_some_and(|batch| batch.first.offset > position.offset) {
                    // It was sealed meanwhile.
                    return Err(self.gone());
                }
                return self.sample_in_log(position);
            }
            for file in &asked.files {
                let filter = Filter { position: Some(position), ..Filter::default() };
                let mut rows = Rows::open(self.disk(), &self.path(file), &filter)?;
                let Some(row) = rows.next()? else { continue };
                let Some((asset, signal)) = named(&row.signal) else { continue };
                let origin = row.origin;
                return Ok(Some(Found {
                    site: file.site.clone(),
                    source: None,
                    asset,
                    signal,
                    origin,
                    sample: of_row(row),
                }));
            }
            // What was reduced may still lie in a segment that is kept for other reasons.
            self.sample_in_log(position)
        })
    }

    fn sample_in_log(&self, position: Position) -> Result<Option<Found>, StoreError> {
        let Some(batch) = self.read(position)? else { return Ok(None) };
        let index = position.offset.checked_sub(batch.first.offset).and_then(|index| usize::try_from(index).ok());
        let entry = index.and_then(|index| batch.part.entries.get(index));
        let Some(Entry::Sample(sample)) = entry.filter(|_| batch.first.epoch == position.epoch) else {
            return Ok(None);
        };
        let signals = self.signals()?;
        let Some((_, asset, signal)) = signals.into_iter().find(|(number, ..)| *number == sample.signal) else {
            return Ok(None);
        };
        let (site, source) = (batch.part.site.clone(), Some(batch.part.source.clone()));
        let origin = sample.origin;
        Ok(Some(Found { site, source, asset, signal, origin, sample: stored(position, sample) }))
    }

    /// The path of a listed file.
    fn path(&self, file: &FileRow) -> std::path::PathBuf {
        file.path(self.data().map_or(Path::new(""), |(_, dir)| dir))
    }

    /// What is to be read of the log has gone.
    fn gone(&self) -> StoreError {
        let log = self.data().map_or(Path::new(""), |(_, dir)| dir).join("log");
        StoreError::io(&log, "read all of", io::ErrorKind::NotFound.into())
    }

    /// Asks, and asks again when something it reads has gone meanwhile.
    fn again<T>(
        &self,
        which: &Which<'_>,
        mut ask: impl FnMut(&Asked) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            // In this order: where nothing was sealed by then, nothing had gone from the log before.
            let start = self.log_start();
            let Sealed { place, files } = self.sealed(which)?;
            let asked = Asked { sealed: place, hot: place.unwrap_or(start), files };
            match ask(&asked) {
                Err(error) if tries < TRIES && error.is_gone() && !asked.is(&self.sealed(which)?) => {}
                answer => return answer,
            }
        }
    }

    /// Passes over the samples of signals in the log that are not sealed and in a range of source time.
    fn hot<T>(
        &self,
        start: Position,
        signals: &AHashMap<SignalNo, T>,
        (first, end): (Time, Time),
        each: &mut dyn FnMut(Position, &Sample),
    ) -> Result<(), StoreError> {
        let log = start.offset..self.log_end().offset.max(start.offset);
        let mut parts = Vec::new();
        for signal in signals.keys() {
            parts.extend(self.parts(log.clone(), *signal, first, end)?);
        }
        for part in joined(parts) {
            let mut at = Position { offset: part.start, ..start };
            while at.offset < part.end {
                let Some(batch) = self.read(at)? else { break };
                if batch.first.offset > at.offset {
                    return Err(self.gone());
                }
                let skip = at.offset.saturating_sub(batch.first.offset);
                let entries = batch.part.entries.iter().zip(batch.first.offset..);
                for (entry, offset) in entries.skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
                    if let Entry::Sample(sample) = entry
                        && signals.contains_key(&sample.signal)
                        && sample.time >= first
                        && sample.time < end
                        && offset < part.end
                    {
                        each(Position { epoch: batch.first.epoch, offset }, sample);
                    }
                }
                at = batch.end();
            }
        }
        Ok(())
    }
}

/// Where the answer to a question lies, at one instant.
struct Asked {
    sealed: Option<Position>,
    /// From here on in the log.
    hot: Position,
    /// Before that in these files.
    files: Vec<FileRow>,
}

impl Asked {
    fn is(&self, now: &Sealed) -> bool {
        (self.sealed, &self.files) == (now.place, &now.files)
    }
}

/// Parts of the log in their order, none of it twice.
fn joined(mut parts: Vec<Span<u64>>) -> Vec<Span<u64>> {
    parts.sort_by_key(|part| part.start);
    let mut all: Vec<Span<u64>> = Vec::new();
    for part in parts {
        match all.last_mut() {
            Some(before) if part.start <= before.end => before.end = before.end.max(part.end),
            _ => all.push(part),
        }
    }
    all
}

fn named(signal: &str) -> Option<(AssetName, SignalName)> {
    let (asset, signal) = signal.split_once('/')?;
    Some((AssetName::new(asset).ok()?, SignalName::new(signal).ok()?))
}

fn stored(position: Position, sample: &Sample) -> Stored {
    let Sample { time, received, quality, .. } = *sample;
    Stored { position, time, received, quality, value: sample.value.clone() }
}

fn of_row(row: Row) -> Stored {
    let Row { position, time, received, quality, value, .. } = row;
    Stored { position, time, received, quality, value }
}

/// The bytes of a sample in memory.
fn size(sample: &Stored) -> usize {
    let heap = match &sample.value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Bool(_) | Value::I64(_) | Value::F64(_) => 0,
    };
    size_of::<Stored>() + heap
}

/// The earliest of the samples that pass by, at most `limit` and not many more bytes than an answer may have.
#[derive(Default)]
struct Earliest {
    limit: usize,
    samples: BinaryHeap<ByPlace>,
    bytes: usize,
    /// Later ones were left out.
    cut: bool,
}

impl Earliest {
    /// Whether a sample is among the earliest so far; those behind one that is not are not either.
    fn wants(&mut self, sample: &Stored) -> bool {
        let full = self.cut || self.samples.len() >= self.limit;
        let latest = self.samples.peek().map(ByPlace::key);
        let wants = !full || latest.is_some_and(|latest| (sample.time, sample.position) < latest);
        self.cut |= !wants;
        wants
    }

    fn push(&mut self, index: usize, sample: Stored) {
        self.bytes += size(&sample);
        self.samples.push(ByPlace(sample, index));
        while self.samples.len() > self.limit || self.bytes > RANGE_BYTES_MAX && self.samples.len() > 1 {
            let Some(ByPlace(latest, _)) = self.samples.pop() else { break };
            self.bytes -= size(&latest);
            self.cut = true;
        }
    }
}

/// A sample in the order of time and place, with that of its signal among those that are asked for.
struct ByPlace(Stored, usize);

impl ByPlace {
    fn key(&self) -> (Time, Position) {
        (self.0.time, self.0.position)
    }
}

impl PartialEq for ByPlace {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByPlace {}

impl PartialOrd for ByPlace {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByPlace {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The samples of a signal in sealed files, in order; a file is opened once its time has come.
struct Cold<'a> {
    store: &'a Store,
    filter: Filter<'a>,
    /// Files by their first time, the earliest last.
    ahead: Vec<&'a FileRow>,
    /// Open files with their next sample; there are as many as overlap at a time.
    open: Vec<(Stored, Rows)>,
}

impl<'a> Cold<'a> {
    fn new(store: &'a Store, files: &'a [FileRow], name: &'a str, from: Time, to: Time) -> Self {
        let holds = |file: &&FileRow| (&*file.facts.first_signal..=&*file.facts.last_signal).contains(&name);
        let mut ahead: Vec<&FileRow> = files.iter().filter(holds).collect();
        ahead.sort_by_key(|file| std::cmp::Reverse(file.facts.first_time));
        let filter = Filter { signal: Some(name), from: Some(from), to: Some(to), position: None };
        Self { store, filter, ahead, open: Vec::new() }
    }

    fn next(&mut self, is: &dyn Fn(Time, Position) -> bool) -> Result<Option<Stored>, StoreError> {
        loop {
            let earliest = self.open.iter().enumerate().min_by_key(|(_, (next, _))| (next.time, next.position));
            let earliest = earliest.map(|(index, (next, _))| (index, next.time));
            if let Some(file) = self.ahead.pop_if(|file| earliest.is_none_or(|(_, time)| file.facts.first_time <= time))
            {
                let mut rows = Rows::open(self.store.disk(), &self.store.path(file), &self.filter)?;
                if let Some(row) = rows.next()? {
                    self.open.push((of_row(row), rows));
                }
                continue;
            }
            let Some((index, _)) = earliest else { return Ok(None) };
            let Some((next, rows)) = self.open.get_mut(index) else { return Ok(None) };
            let found = match rows.next()? {
                Some(row) => std::mem::replace(next, of_row(row)),
                None => self.open.swap_remove(index).0,
            };
            if is(found.time, found.position) {
                return Ok(Some(found));
            }
        }
    }
}

/// Where the buckets of a chart begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    /// Where the first one is asked for.
    from: i64,
    /// Where the first one would begin.
    base: i64,
    /// Nanoseconds of each.
    width: i64,
}

impl Grid {
    /// Buckets of whole minutes where they are as wide; `None`: there is nothing between the two, or no bucket for it.
    fn new(from: Time, to: Time, points: usize) -> Option<Self> {
        let span = i128::from(to.0) - i128::from(from.0);
        let points = i128::try_from(points).ok().filter(|points| *points > 0 && span > 0)?;
        let narrow = |width: i128| i64::try_from(width).unwrap_or(i64::MAX);
        let width = span.div_ceil_to(points);
        if width < i128::from(MINUTE) {
            return Some(Self { from: from.0, base: from.0, width: narrow(width) });
        }
        let base = minutes::begin(from).0;
        let span = i128::from(to.0) - i128::from(base);
        let minutes = span.div_ceil_to(points).div_ceil_to(i128::from(MINUTE));
        Some(Self { from: from.0, base, width: narrow(minutes * i128::from(MINUTE)) })
    }

    /// Where the bucket of a time begins.
    fn begin(&self, time: Time) -> i64 {
        let behind = i128::from(time.0) - i128::from(self.base);
        let begin = i128::from(self.base) + behind - behind.rem_euclid(i128::from(self.width));
        i64::try_from(begin).unwrap_or(i64::MIN).max(self.from)
    }

    /// The whole minutes between two times; none where buckets are narrower.
    fn minutes(&self, from: Time, to: Time) -> Span<i64> {
        let first = minutes::begin(Time(from.0.saturating_add(MINUTE - 1))).0;
        let last = minutes::begin(to).0;
        if self.width < MINUTE || self.width % MINUTE != 0 || first >= last { from.0..from.0 } else { first..last }
    }
}

/// Division that rounds up.
trait DivCeil {
    fn div_ceil_to(self, by: Self) -> Self;
}

impl DivCeil for i128 {
    fn div_ceil_to(self, by: Self) -> Self {
        (self + by - 1).div_euclid(by)
    }
}

/// The buckets of a chart by their beginning.
struct Buckets {
    grid: Grid,
    of: BTreeMap<i64, Bucket>,
}

impl Buckets {
    fn sample(&mut self, time: Time, value: Option<f64>) {
        if let Some(value) = value {
            self.add(time, 1, value, value, value);
        }
    }

    fn add(&mut self, time: Time, count: u64, min: f64, max: f64, mean: f64) {
        let begin = self.grid.begin(time);
        let bucket = self.of.entry(begin).or_insert(Bucket { from: Time(begin), count: 0, min, max, mean });
        bucket.min = bucket.min.min(min);
        bucket.max = bucket.max.max(max);
        (bucket.count, bucket.mean) = minutes::joined((bucket.count, bucket.mean), (count, mean));
    }

    /// The samples of a file between two times.
    fn samples(
        &mut self,
        (disk, path): (&Disk, &Path),
        file: &FileRow,
        name: &str,
        (from, to): (Time, Time),
    ) -> Result<(), StoreError> {
        if from >= to || file.facts.last_time < from || file.facts.first_time >= to {
            return Ok(());
        }
        let filter = Filter { signal: Some(name), from: Some(from), to: Some(to), position: None };
        parquet::read(disk, path, &filter, &mut |row| {
            if !row.quality.is_bad() {
                self.sample(row.time, row.value.number());
            }
            ControlFlow::Continue(())
        })
    }
}
