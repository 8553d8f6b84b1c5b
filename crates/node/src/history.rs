//! Questions about samples and the historian, answered from the store.

use crate::{backend::StoreBackend, clock};
use andon_api::{
    Problem,
    samples::{
        Bucket, CountQuery, Cursor, Last, LastPage, LastQuery, RangeQuery, SampleCount, SamplePage, Series, SeriesQuery,
    },
    types::Sample,
};
use andon_model::{AssetName, Entry, Position, SignalName, SiteName, Time};
use andon_store::{Store, StoreError, historian::Range};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Entries between two places whose samples are remembered.
const STRIDE: u64 = 65_536;

/// Entries of the log that one question counts, once all were counted; where more came since, half of them: who floods
/// the log holds up nobody who asks how it is, and what is behind does not grow.
const COUNTED_ENTRIES_MAX: u64 = 500_000;

/// Counts the samples at the end of the log; every entry is read once, however often is asked.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    /// Samples before a place, counted from the first one that was asked for.
    before: BTreeMap<Position, u64>,
    /// Where reading goes on, and the samples before it.
    read: Option<(Position, u64)>,
}

impl Counted {
    /// Samples between two places of the log, and whether all were counted; what was not is taken for samples.
    pub(crate) fn count(&self, store: &Store, (from, to): (Position, Position)) -> Result<(u64, bool), StoreError> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let far = places.read.map_or(u64::MAX, |(at, _)| {
            at.offset.saturating_add(COUNTED_ENTRIES_MAX.max(to.offset.saturating_sub(at.offset) / 2))
        });
        let known = places.before.range(..=from).next_back().map(|(at, before)| (*at, *before));
        // Before everything that was counted: that was another log, or another question.
        let (at, before, to_read) = if let Some((at, before)) = known {
            (at, before, Position { offset: to.offset.min(far), ..to })
        } else {
            *places = Places { before: [(from, 0)].into(), read: Some((from, 0)) };
            (from, 0, to)
        };
        places.read_on(store, to_read)?;
        let between = samples(store, at, Some(from), &mut |_, _| {})?;
        let all = match places.read {
            Some((end, all)) if end <= to => all,
            // Somebody else has read farther meanwhile.
            _ => {
                let (at, before) = places.before.range(..=to).next_back().map_or((at, before), |(at, all)| (*at, *all));
                before + samples(store, at, Some(to), &mut |_, _| {})?
            }
        };
        // What lies before is asked for no more: the place goes on only.
        places.before = places.before.split_off(&at);
        let rest = places.read.map_or(0, |(end, _)| to.offset.saturating_sub(end.offset));
        Ok((all.saturating_sub(before + between) + rest, rest == 0))
    }
}

impl Places {
    fn read_on(&mut self, store: &Store, to: Position) -> Result<(), StoreError> {
        let Some((at, before)) = self.read else { return Ok(()) };
        let mut end = at;
        let mut last = self.before.last_key_value().map_or(0, |(at, _)| at.offset);
        let known = &mut self.before;
        let more = samples(store, at, Some(to), &mut |place, count| {
            end = place;
            if place.offset >= last + STRIDE {
                known.insert(place, before + count);
                last = place.offset;
            }
        })?;
        self.read = Some((end, before + more));
        Ok(())
    }
}

/// Samples from one place of the log to another, or to its end; `passed` hears of the end of each batch and the samples
/// up to there.
fn samples(
    store: &Store,
    from: Position,
    to: Option<Position>,
    passed: &mut dyn FnMut(Position, u64),
) -> Result<u64, StoreError> {
    let mut at = from;
    let mut count = 0;
    while to.is_none_or(|to| at < to)
        && let Some(batch) = store.read(at)?
    {
        let entries = batch.part.entries.iter().zip(batch.first.offset..);
        let within = |offset: u64| offset >= at.offset && to.is_none_or(|to| offset < to.offset);
        count += entries.filter(|(e, offset)| within(*offset) && matches!(e, Entry::Sample(_))).count() as u64;
        at = batch.end();
        passed(at, count);
    }
    Ok(count)
}

/// How often the end of the log is read until nothing was stored in between.
const END_TRIES: u32 = 1_000;

/// Samples that are stored, and the end of the log at the same moment.
pub(crate) fn stored(store: &Store) -> Option<(u64, Position)> {
    let stored = || store.source_counts().values().map(|counts| counts.stored).sum::<u64>();
    (0..END_TRIES).find_map(|_| {
        let (before, end) = (stored(), store.log_end());
        (stored() == before).then_some((before, end))
    })
}

/// A failure of the store as a problem of the API.
pub(crate) fn fault(error: &StoreError) -> Problem {
    Problem::fault(error.to_string()).remedy("the log of the instance says more")
}

impl StoreBackend {
    /// An asset that is known, to the contract or to the store of earlier ones, with its signals.
    pub(crate) fn asset(&self, name: &str) -> Result<(AssetName, Vec<SignalName>), Problem> {
        let unknown = || {
            let near = near(name, self.contract.assets.keys().map(AssetName::as_str));
            let remedy = near.map_or_else(
                || "andon list last --json names every asset that was heard".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            Problem::not_found(format!("there is no asset {name:?}")).remedy(remedy)
        };
        let asset = AssetName::new(name).map_err(|_| unknown())?;
        let mut signals: Vec<SignalName> = self
            .store
            .signals()
            .map_err(|e| fault(&e))?
            .into_iter()
            .filter(|(_, of, _)| *of == asset)
            .map(|(.., signal)| signal)
            .collect();
        let declared = self.contract.assets.get(&asset).and_then(|asset| self.contract.classes.get(&asset.class));
        if signals.is_empty() && declared.is_none() {
            return Err(unknown());
        }
        signals.extend(declared.into_iter().flat_map(|class| class.signals.keys().cloned()));
        signals.sort();
        signals.dedup();
        Ok((asset, signals))
    }

    /// The signals that are asked for.
    fn signals(&self, asset: &str, signal: Option<&str>) -> Result<(AssetName, Vec<SignalName>), Problem> {
        let (asset, mut signals) = self.asset(asset)?;
        if let Some(wanted) = signal {
            if !signals.iter().any(|s| s.as_str() == wanted) {
                let near = near(wanted, signals.iter().map(SignalName::as_str));
                let known: Vec<&str> = signals.iter().take(20).map(SignalName::as_str).collect();
                let remedy = near.map_or_else(
                    || format!("it has: {}", known.join(", ")),
                    |near| format!("did you mean {near}? It has: {}", known.join(", ")),
                );
                return Err(Problem::not_found(format!("{asset} has no signal {wanted:?}")).remedy(remedy));
            }
            signals.retain(|s| s.as_str() == wanted);
        }
        Ok((asset, signals))
    }

    fn site(&self, asset: &AssetName) -> String {
        self.contract.assets.get(asset).map_or_else(String::new, |asset| asset.site.to_string())
    }

    fn unit(&self, asset: &AssetName, signal: &SignalName) -> Option<String> {
        let class = self.contract.classes.get(&self.contract.assets.get(asset)?.class)?;
        class.signals.get(signal).map(|signal| signal.unit.clone()).filter(|unit| unit != "1")
    }

    /// Samples in the order of time and place; several signals are merged.
    pub(crate) fn range_of(&self, query: &RangeQuery) -> Result<SamplePage, Problem> {
        let (asset, signals) = self.signals(&query.asset, query.signal.as_deref())?;
        let (from, to) = stretch(query.from.at(clock::now()), query.to.at(clock::now()))?;
        let after = query.after.map(|after| (after.time, after.position));
        let Some(first) = signals.first().cloned() else { return Ok(SamplePage { rows: Vec::new(), next: None }) };
        let range = Range { asset: asset.clone(), signal: first, from, to, after, limit: query.limit };
        let (found, more) = self.store.range_of(&range, &signals).map_err(|e| fault(&e))?;
        let next = found.last().filter(|_| more);
        let next = next.map(|(_, sample)| Cursor { time: sample.time, position: sample.position }.to_string());
        let (instance, site) = (self.store.instance(), self.site(&asset));
        let rows = found.into_iter().map(|(index, sample)| Sample {
            position: format!("{instance}/{}", sample.position),
            source: None,
            site: site.clone(),
            signal: signals.get(index).map_or_else(String::new, |signal| format!("{asset}/{signal}")),
            time: sample.time.to_string(),
            received: sample.received.to_string(),
            quality: sample.quality.word().to_owned(),
            status: sample.quality.0,
            value: sample.value.to_json(),
        });
        Ok(SamplePage { rows: rows.collect(), next })
    }

    /// The newest value of each signal, in the order of their names.
    pub(crate) fn last_of(&self, query: &LastQuery) -> Result<LastPage, Problem> {
        if let Some(asset) = &query.asset {
            self.asset(asset)?;
        }
        if let Some(site) = &query.site
            && !self.contract.sites.keys().any(|known| known.as_str() == site)
        {
            let known: Vec<&str> = self.contract.sites.keys().map(SiteName::as_str).collect();
            return Err(Problem::not_found(format!("there is no site {site:?}"))
                .remedy(format!("the project has: {}", known.join(", "))));
        }
        let mut rows = Vec::new();
        let mut next = None;
        let wanted = |asset: &AssetName| {
            query.asset.as_ref().is_none_or(|wanted| asset.as_str() == wanted)
                && query.site.as_ref().is_none_or(|wanted| self.site(asset) == *wanted)
        };
        for value in self.store.last_values(&wanted).map_err(|e| fault(&e))? {
            let Some((asset, signal)) = value.signal.split_once('/') else { continue };
            let (Ok(asset), Ok(signal)) = (AssetName::new(asset), SignalName::new(signal)) else { continue };
            let site = self.site(&asset);
            if query.after.as_ref().is_some_and(|after| value.signal <= *after) {
                continue;
            }
            if rows.len() == query.limit {
                next = rows.last().map(|row: &Last| row.signal.clone());
                break;
            }
            rows.push(Last {
                unit: self.unit(&asset, &signal),
                site,
                signal: value.signal,
                time: value.time.to_string(),
                quality: value.quality.word().to_owned(),
                status: value.quality.0,
                value: value.value.to_json(),
                position: value.position.to_string(),
            });
        }
        Ok(LastPage { rows, next })
    }

    /// A range of a signal in few buckets.
    pub(crate) fn series_of(&self, query: &SeriesQuery) -> Result<Series, Problem> {
        let (asset, signals) = self.signals(&query.asset, Some(&query.signal))?;
        let signal = signals.into_iter().next().expect("one was asked for and is there");
        let (from, to) = stretch(query.from.at(clock::now()), query.to.at(clock::now()))?;
        let buckets = self.store.downsample(&asset, &signal, from, to, query.points).map_err(|e| fault(&e))?;
        Ok(Series {
            signal: format!("{asset}/{signal}"),
            unit: self.unit(&asset, &signal),
            from: from.to_string(),
            to: to.to_string(),
            buckets: buckets
                .into_iter()
                .map(|b| Bucket { from: b.from.to_string(), count: b.count, min: b.min, max: b.max, mean: b.mean })
                .collect(),
        })
    }

    /// How many samples are kept: all of them from what is listed, those of a signal by counting.
    pub(crate) fn count_of(&self, query: &CountQuery) -> Result<SampleCount, Problem> {
        let mut count = SampleCount::default();
        if query.asset.is_none() && query.signal.is_none() {
            let (cold, hot) = self.kept().map_err(|e| fault(&e))?;
            count = SampleCount { samples: cold + hot, cold: Some(cold), hot: Some(hot), ..count };
            if !query.by_signal {
                return Ok(count);
            }
        }
        if let Some(asset) = &query.asset {
            self.signals(asset, query.signal.as_deref())?;
        }
        let named = |asset: &AssetName, signal: &SignalName| {
            query.asset.as_ref().is_none_or(|wanted| asset.as_str() == wanted)
                && query.signal.as_ref().is_none_or(|wanted| signal.as_str() == wanted)
        };
        count.signals = self.store.count(&named).map_err(|e| fault(&e))?;
        count.samples = count.signals.values().sum();
        Ok(count)
    }

    /// Samples in files, and those that are in the log only; counted anew where samples were sealed meanwhile.
    pub(crate) fn kept(&self) -> Result<(u64, u64), StoreError> {
        loop {
            let before = self.store.holdings()?;
            let (hot, is_whole) = self.hot(before.sealed)?;
            if is_whole && self.store.holdings()?.sealed == before.sealed {
                return Ok((before.samples, hot));
            }
        }
    }

    /// When the first sample from a place of the log on was received.
    pub(crate) fn first_received(&self, mut at: Position) -> Result<Option<Time>, StoreError> {
        while let Some(batch) = self.store.read(at)? {
            let skip = usize::try_from(at.offset.saturating_sub(batch.first.offset)).unwrap_or(usize::MAX);
            let sample = batch.part.entries.iter().skip(skip).find_map(|entry| match entry {
                Entry::Sample(sample) => Some(sample.received),
                Entry::Mark(_) => None,
            });
            if sample.is_some() {
                return Ok(sample);
            }
            at = batch.end();
        }
        Ok(None)
    }

    /// Samples from a place of the log on, and whether all were counted.
    pub(crate) fn hot(&self, sealed: Position) -> Result<(u64, bool), StoreError> {
        let start = self.store.log_start();
        let from = if sealed.offset > start.offset { sealed } else { start };
        self.counted.count(&self.store, (from, self.store.log_end()))
    }
}

/// A range that has a length.
pub(crate) fn stretch(from: Time, to: Time) -> Result<(Time, Time), Problem> {
    if from < to {
        return Ok((from, to));
    }
    Err(Problem::request(format!("the range ends at {to}, which is not after its begin {from}"))
        .remedy("name an earlier `from` or a later `to`"))
}

/// The name that differs least, where one is near.
pub(crate) fn near<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wanted.chars().count() / 3).max(1);
    known.map(|name| (distance(wanted, name), name)).filter(|(far, _)| *far <= most).min().map(|(_, name)| name)
}

/// Letters that must be changed, added or left out to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let changed = before + usize::from(x != *y);
            before = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_near_is_found() {
        assert_eq!(near("cartonr-07", ["cartoner-07", "palletizer-01"].into_iter()), Some("cartoner-07"));
        assert_eq!(near("kettle", ["cartoner-07"].into_iter()), None);
        assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("abc", "acb")), (3, 0, 2));
    }
}
