//! Corrections: what was known about an asset at the time of events that were already made is known otherwise now.
//!
//! Which stretches of time are answered otherwise is found where a revision becomes known, by comparing what was known
//! before and after. Which events lie in them the store knows; the loop asks it once everything that was made before
//! is committed. An event is never changed: `context.corrected` names those it touches.

use crate::context::{Valid, latest};
use andon_contract::Contract;
use andon_model::{AssetName, Event, EventId, SiteName, Time, object::CONTEXT};
use andon_store::{Store, StoreError, StoredEvent};
use serde_json::{Map, Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The type of the event.
const CORRECTED: &str = "context.corrected";

/// Events that one correction names at most.
pub const NAMED_EVENTS_MAX: usize = 100;

/// Events that are looked at for one correction at most; where there are more, it says so.
pub const READ_EVENTS_MAX: usize = 10_000;

/// Events read at once.
const PAGE_EVENTS: usize = 1_000;

/// A version of an object that changes what was valid for an asset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Correction {
    /// `<Type>/<site>/<number>`.
    object: String,
    /// The number of its name.
    name: usize,
    revision: u64,
    /// When the revision was told.
    at: Time,
    asset: AssetName,
    stretches: Vec<Stretch>,
}

/// A stretch of time, and what is valid in it now.
#[derive(Debug, Clone, PartialEq)]
struct Stretch {
    from: Time,
    to: Time,
    is: Option<String>,
}

/// What a revision corrects for an asset under one name: the stretches of time whose answer is another one now, by the
/// object that makes it so.
pub(crate) fn corrections(
    asset: &AssetName,
    name: usize,
    (revision, at): (u64, Time),
    before: &[Arc<Valid>],
    after: &[Arc<Valid>],
    changed: &BTreeSet<String>,
    all: &mut Vec<Correction>,
) {
    let both = || before.iter().chain(after);
    let touched = || both().filter(|valid| changed.contains(&valid.object));
    let (Some(first), Some(last)) = (touched().map(|v| v.from).min(), touched().map(|v| v.to).max()) else { return };
    let mut edges: Vec<Time> = both().flat_map(|valid| [valid.from, valid.to]).collect();
    edges.retain(|edge| (first..=last).contains(edge));
    edges.sort_unstable();
    edges.dedup();
    let mut found: BTreeMap<&str, Vec<Stretch>> = BTreeMap::new();
    for (from, to) in edges.iter().zip(edges.iter().skip(1)) {
        let (was, is) = (latest(before, *from), latest(after, *from));
        let (was, is) = (was.map(|valid| valid.object.as_str()), is.map(|valid| valid.object.as_str()));
        if was == is {
            continue;
        }
        let Some(by) = [is, was].into_iter().flatten().find(|object| changed.contains(*object)) else { continue };
        let stretches = found.entry(by).or_default();
        match stretches.last_mut().filter(|last| last.to == *from && last.is.as_deref() == is) {
            Some(last) => last.to = *to,
            None => stretches.push(Stretch { from: *from, to: *to, is: is.map(str::to_owned) }),
        }
    }
    all.extend(found.into_iter().map(|(object, stretches)| Correction {
        object: object.to_owned(),
        name,
        revision,
        at,
        asset: asset.clone(),
        stretches,
    }));
}

impl Correction {
    /// The event that tells of it, if it touches any; everything that was made before its revision must be committed.
    pub(crate) fn event(&self, store: &Store, contract: &Contract, now: Time) -> Result<Option<Event>, StoreError> {
        let Some(site) = contract.assets.get(&self.asset).map(|asset| &asset.site) else { return Ok(None) };
        let (name, _) = CONTEXT.get(self.name).copied().unwrap_or_default();
        let source = format!("/{site}/rules/");
        let (mut named, mut count, mut read) = (Vec::new(), 0_u64, 0);
        let mut span: Option<(Time, Time)> = None;
        for stretch in &self.stretches {
            let mut after = None;
            while read < READ_EVENTS_MAX {
                let page = self.page(store, site, stretch, after)?;
                read += page.len();
                for stored in &page {
                    after = Some((stored.event.time, stored.sequence));
                    let event = &stored.event;
                    let was = event.data.pointer(&format!("/context/{name}")).and_then(Json::as_str);
                    let revision = event.data.pointer("/context/revision").and_then(Json::as_u64).unwrap_or(0);
                    if !event.source.starts_with(&source) || revision >= self.revision || was == stretch.is.as_deref() {
                        continue;
                    }
                    count += 1;
                    span = Some(span.map_or((event.time, event.time), |(from, _)| (from, event.time)));
                    if named.len() < NAMED_EVENTS_MAX {
                        named.push(touched(event, was, stretch.is.as_deref()));
                    }
                }
                if page.len() < PAGE_EVENTS {
                    break;
                }
            }
        }
        let Some((from, to)) = span else { return Ok(None) };
        let mut data = json!({
            "object": self.object, "context": name, "revision": self.revision, "asset": self.asset,
            "from": from, "to": to, "events": named, "count": count,
        });
        if let (true, Some(data)) = (read >= READ_EVENTS_MAX, data.as_object_mut()) {
            data.insert("more".to_owned(), true.into());
        }
        Ok(Some(self.dress(contract, site, data, now)))
    }

    fn page(
        &self,
        store: &Store,
        site: &SiteName,
        stretch: &Stretch,
        after: Option<(Time, u64)>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        store.events_about(site, self.asset.as_str(), stretch.from, stretch.to, after, PAGE_EVENTS)
    }

    fn dress(&self, contract: &Contract, site: &SiteName, data: Json, now: Time) -> Event {
        let revision = self.revision.to_le_bytes();
        let parts = [CORRECTED.as_bytes(), self.object.as_bytes(), &revision, self.asset.as_str().as_bytes()];
        let id = EventId::derived(&parts);
        Event {
            id,
            kind: CORRECTED.to_owned(),
            source: format!("/{site}/context"),
            time: self.at,
            subject: self.asset.to_string(),
            schema: contract.schemas.full_name(CORRECTED).unwrap_or_else(|| format!("andon:{CORRECTED}/1.0")),
            site: site.clone(),
            key: self.asset.to_string(),
            correlation: id,
            causation: None,
            recorded: now,
            data,
        }
    }
}

fn touched(event: &Event, was: Option<&str>, is: Option<&str>) -> Json {
    let mut one = Map::new();
    one.insert("event".to_owned(), event.id.to_string().into());
    for (key, value) in [("was", was), ("is", is)] {
        if let Some(value) = value {
            one.insert(key.to_owned(), value.into());
        }
    }
    Json::Object(one)
}
