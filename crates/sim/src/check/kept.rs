//! The historian answers with every sample there was, whatever was sealed, merged, moved and restored meanwhile; what
//! it does not keep any more is old enough, and counted.

use crate::world::{Broken, FINDS_NO_ROOM, FULL, World, fault};
use andon_model::{AssetName, Entry, Position, Quality, SignalName, SignalNo, Time, Value};
use andon_store::{
    Query,
    historian::{Range, Stored},
};

/// Samples that are asked for at once: fewer than there are, so that answers come in pages.
const PAGE: usize = 150;

/// Width of what charts are made from.
const MINUTE: i64 = 60_000_000_000;

/// What is known of one sample beside its signal: when it was received comes back in whole milliseconds.
type Known = (Time, Position, Quality, Value);

/// Every signal is asked for whole, by its samples and as a chart.
pub(crate) fn every_sample(world: &World) -> Result<(), Broken> {
    let mut gone = 0;
    for (number, asset, signal) in world.store.signals().map_err(fault)? {
        let mut wanted = archived(world, number);
        wanted.sort_by_key(|(known, _)| (known.0, known.1));
        let found = asked(world, &asset, &signal)?;
        let mut found = found.into_iter().peekable();
        for (sample, received) in &wanted {
            if found.next_if(|next| next == sample).is_some() {
                continue;
            }
            if let Some(more) = found.peek().filter(|more| (more.0, more.1) <= (sample.0, sample.1)) {
                return Err(Broken::new("historian", format!("{asset}/{signal}: nobody stored {more:?}")));
            }
            if world.gone.is_none_or(|gone| *received > gone) {
                let text =
                    format!("{asset}/{signal}: {sample:?} of {received} is not there; next is {:?}", found.peek());
                return Err(Broken::new("historian", text));
            }
            gone += 1;
        }
        if let Some(sample) = found.next() {
            return Err(Broken::new("historian", format!("{asset}/{signal}: nobody stored {sample:?}")));
        }
        chart(world, &asset, &signal, &wanted)?;
    }
    let holdings = world.store.holdings().map_err(fault)?;
    let told: u64 = holdings.expired.values().sum();
    if told != gone || !holdings.missing.is_empty() {
        let text = format!("{gone} samples are gone, {told} are told of; files that miss: {:?}", holdings.missing);
        return Err(Broken::new("historian", text));
    }
    Ok(())
}

/// Whether a full disk has taken what rules had not read: then the disk was full, no more is counted than lay there,
/// and a gap tells of it.
pub(crate) fn has_dropped(world: &World) -> Result<bool, Broken> {
    let dropped: u64 = world.store.holdings().map_err(fault)?.dropped.values().sum();
    if dropped == 0 {
        return Ok(false);
    }
    let was_full = world.seen.of(FULL) + world.seen.of(FINDS_NO_ROOM) > 0;
    let before = world.archive.iter().filter(|batch| batch.end().offset <= world.store.log_start().offset);
    let samples = before.flat_map(|batch| &batch.part.entries).filter(|entry| matches!(entry, Entry::Sample(_)));
    let (there, query) = (samples.count() as u64, Query { limit: 10_000, ..Query::default() });
    let gaps = world.store.list("gaps", &query).map_err(fault)?.rows;
    let told = gaps.iter().any(|gap| gap.to_string().contains("retention: the disk was full"));
    if was_full && dropped <= there && told {
        return Ok(true);
    }
    let text = format!("{dropped} samples of {there} went before rules had read them; full: {was_full}, {gaps:?}");
    Err(Broken::new("dropped", text))
}

/// The samples of a signal that ever were in the log, with when they were received.
fn archived(world: &World, number: SignalNo) -> Vec<(Known, Time)> {
    let mut found = Vec::new();
    for batch in &world.archive {
        for (offset, entry) in (batch.first.offset..).zip(&batch.part.entries) {
            if let Entry::Sample(sample) = entry
                && sample.signal == number
            {
                let position = Position { offset, ..batch.first };
                found.push(((sample.time, position, sample.quality, sample.value.clone()), sample.received));
            }
        }
    }
    found
}

/// What the historian answers, page by page.
fn asked(world: &World, asset: &AssetName, signal: &SignalName) -> Result<Vec<Known>, Broken> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let (asset, signal) = (asset.clone(), signal.clone());
        let range = Range { asset, signal, from: Time::MIN, to: Time::MAX, after, limit: PAGE };
        let (page, more) = world.store.range(&range).map_err(fault)?;
        after = page.last().map(|last| (last.time, last.position));
        found.extend(
            page.into_iter().map(|Stored { position, time, quality, value, .. }| (time, position, quality, value)),
        );
        if !more {
            return Ok(found);
        }
    }
}

/// A chart has counted every sample that is a number and not bad, and has seen its extremes; also of those that are
/// gone, since the minutes are kept.
fn chart(world: &World, asset: &AssetName, signal: &SignalName, wanted: &[(Known, Time)]) -> Result<(), Broken> {
    let Some(((first, ..), (last, ..))) = wanted.first().map(|first| &first.0).zip(wanted.last().map(|last| &last.0))
    else {
        return Ok(());
    };
    let (from, to) = (Time(first.0 - first.0.rem_euclid(MINUTE)), Time(last.0 - last.0.rem_euclid(MINUTE) + MINUTE));
    let buckets = world.store.downsample(asset, signal, from, to, 1).map_err(fault)?;
    let numbers: Vec<f64> = wanted
        .iter()
        .filter(|((_, _, quality, _), _)| !quality.is_bad())
        .filter_map(|((.., value), _)| value.number())
        .collect();
    let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let lowest = |of: &mut dyn Iterator<Item = f64>| of.fold(f64::INFINITY, f64::min).to_bits();
    let highest = |of: &mut dyn Iterator<Item = f64>| of.fold(f64::NEG_INFINITY, f64::max).to_bits();
    let told = (
        count,
        lowest(&mut buckets.iter().map(|bucket| bucket.min)),
        highest(&mut buckets.iter().map(|bucket| bucket.max)),
    );
    let there = (numbers.len() as u64, lowest(&mut numbers.iter().copied()), highest(&mut numbers.iter().copied()));
    if told != there {
        let text = format!("a chart of {asset}/{signal} shows {buckets:?}, and should show {} samples", numbers.len());
        return Err(Broken::new("historian", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use std::sync::Arc;

    /// A world that has merged files of samples.
    fn merged() -> World {
        for seed in 0..100 {
            let plan = Plan::of(seed).with_only(&[]);
            let mut world = World::new(&plan).unwrap();
            plan.actions.iter().try_for_each(|planned| world.act(planned)).unwrap();
            if world.seen.of("files of samples merged or removed") == 0 || world.gone.is_some() {
                continue;
            }
            world.finish(&plan).unwrap();
            return world;
        }
        panic!("no world merges files");
    }

    #[test]
    fn a_sample_that_is_not_there_or_that_nobody_stored_is_found() {
        let mut world = merged();
        every_sample(&world).unwrap();
        let archive = world.archive.clone();
        let is_sample = |entry: &Entry| matches!(entry, Entry::Sample(_));
        let at = archive.iter().position(|batch| batch.part.entries.iter().any(is_sample)).unwrap();
        world.archive.remove(at);
        let nobody = every_sample(&world).unwrap_err();
        assert!(nobody.check == "historian" && nobody.what.contains("nobody stored"), "{nobody}");
        world.archive.clone_from(&archive);
        let mut more = (*archive[at]).clone();
        more.first = world.store.log_end();
        world.archive.push(Arc::new(more));
        let missing = every_sample(&world).unwrap_err();
        assert!(missing.check == "historian" && missing.what.contains("is not there"), "{missing}");
        // Were it old enough to be gone, it would have been counted.
        world.gone = Some(Time::MAX);
        let uncounted = every_sample(&world).unwrap_err();
        assert_eq!(uncounted.check, "historian", "{uncounted}");
    }
}
