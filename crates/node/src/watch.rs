//! Compares rows of now with those of a while ago: what was refused lately, and what came and went.

use crate::clock;
use andon_model::{
    Name, Time,
    sample::{Entry, Origin},
    span::Span,
};
use andon_observe::{condition::RECENT, health::Live};
use andon_store::{Store, StoreError};
use std::collections::{BTreeMap, VecDeque};

/// Looks are at least this far apart, so that [`RECENT`] holds few of them.
const EVERY: Span = Span::from_secs(10);
/// Entries at the end of the log that are looked through for times that were not believed.
const TAIL_ENTRIES: u64 = 20_000;

/// Rows at one moment.
#[derive(Debug, Clone)]
struct Look {
    at: Time,
    refused: BTreeMap<Name, u64>,
    since: BTreeMap<Name, Time>,
}

/// The looks of the last while.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Time,
    looks: VecDeque<Look>,
    /// Since when the disk is full.
    full_since: Option<Time>,
}

impl Watch {
    pub(crate) fn new(started: Time) -> Self {
        Self { started, looks: VecDeque::new(), full_since: None }
    }

    /// Looks again; in how long it wants to.
    pub(crate) fn step(&mut self, store: &Store, now: Time) -> Result<Span, StoreError> {
        self.full_since = store.is_full().then(|| self.full_since.unwrap_or(now));
        if let Some(last) = self.looks.back()
            && now.since(last.at) < EVERY
            && now >= last.at
        {
            return Ok(EVERY);
        }
        self.looks.push_back(look(store, now)?);
        while self.looks.front().is_some_and(|look| now.since(look.at) > RECENT || look.at > now) {
            self.looks.pop_front();
        }
        Ok(EVERY)
    }

    /// What happened lately.
    pub(crate) fn live(&self, store: &Store) -> Result<Live, StoreError> {
        let now = look(store, clock::now())?;
        let (full, ahead) = (store.is_full(), ahead(store, now.at)?);
        let full_since = full.then(|| self.full_since.unwrap_or(now.at));
        let mut live = Live { running: Some(self.started), full, full_since, ahead, ..Live::default() };
        if let Some(first) = self.looks.front() {
            for (name, refused) in &now.refused {
                let before = first.refused.get(name).copied().unwrap_or(0);
                live.refused.insert(name.clone(), refused.saturating_sub(before));
            }
        }
        for name in now.since.keys() {
            let seen = self.looks.iter().chain([&now]).filter_map(|look| look.since.get(name));
            let mut changes = seen.fold((0, None), |(count, last), since| match last {
                Some(last) if last != since => (count + 1, Some(since)),
                _ => (count, Some(since)),
            });
            // A row changes when it goes and when it comes again; one look may see only the second.
            changes.0 = u32::div_ceil(changes.0, 2);
            live.reconnects.insert(name.clone(), changes.0);
        }
        Ok(live)
    }
}

fn look(store: &Store, at: Time) -> Result<Look, StoreError> {
    let refused = store.source_counts().into_iter().map(|(name, counts)| (name, counts.refused)).collect();
    let since = store.source_rows()?.into_iter().map(|row| (row.source, row.since)).collect();
    Ok(Look { at, refused, since })
}

/// Samples at the end of the log whose time was not believed, and the furthest that one was ahead, by source.
fn ahead(store: &Store, now: Time) -> Result<BTreeMap<Name, (u64, Span)>, StoreError> {
    let mut found: BTreeMap<Name, (u64, Span)> = BTreeMap::new();
    let mut at = store.log_end();
    at.offset = at.offset.saturating_sub(TAIL_ENTRIES).max(store.log_start().offset);
    while let Some(batch) = store.read(at)? {
        for entry in &batch.part.entries {
            if let Entry::Sample(sample) = entry
                && let Origin::Ahead(claimed) = sample.origin
                && now.since(sample.received) <= RECENT
            {
                let of = found.entry(batch.part.source.clone()).or_default();
                *of = (of.0 + 1, of.1.max(claimed.since(sample.received)));
            }
        }
        at = batch.end();
    }
    Ok(found)
}
