//! Items of reads that were set aside are told again: `andon exceptions replay`.

use crate::{backend::StoreBackend, clock, history::fault};
use andon_api::{
    Problem,
    samples::{Replay, ReplayQuery},
};
use andon_contract::contract::Read;
use andon_events::objects::{Again, Objects, Teller};
use andon_model::{Name, SiteName};
use andon_store::rows::{ExceptionRow, ExceptionState, QuarantineRow, Write};
use andon_systems::Connectors;

/// Items of one step at most.
const ITEMS_MAX: usize = 1_000;
/// Causes that are told of one step.
const PROBLEMS_MAX: usize = 20;

impl StoreBackend {
    /// Tells the items of an exception of a read again.
    pub(crate) fn replay_items(
        &self,
        objects: &Objects,
        exception: &ExceptionRow,
        query: &ReplayQuery,
    ) -> Result<Replay, Problem> {
        let env = crate::given::env();
        let connectors = Connectors::new(self.contract.clone(), move |name| env(name));
        let limit = query.limit.clamp(1, ITEMS_MAX);
        let mut after = query.after.unwrap_or(0);
        let mut done = Replay { dry_run: query.dry_run, ..Replay::default() };
        let rows = self.store.quarantined(Some(exception.id), after, limit + 1).map_err(|e| fault(&e))?;
        for (number, row) in &rows {
            if done.messages == limit as u64 {
                done.next = Some(after);
                break;
            }
            after = *number;
            done.messages += 1;
            match self.told_again(objects, &connectors, (*number, row), query.dry_run)? {
                Again::Changed => (done.mended, done.stored) = (done.mended + 1, done.stored + 1),
                Again::Same | Again::Overtaken => {
                    (done.mended, done.duplicate) = (done.mended + 1, done.duplicate + 1);
                }
                Again::Wrong(problem) => {
                    done.wrong += 1;
                    if done.problems.len() < PROBLEMS_MAX && !done.problems.contains(&problem) {
                        done.problems.push(problem);
                    }
                }
            }
        }
        let is_empty = || self.store.quarantined(Some(exception.id), 0, 1).map(|rows| rows.is_empty());
        if !query.dry_run && is_empty().map_err(|e| fault(&e))? {
            let resolved = Write::ExceptionState(exception.id, ExceptionState::Resolved);
            self.store.commit(vec![resolved]).map_err(|e| fault(&e))?;
            done.resolved = true;
        }
        Ok(done)
    }

    fn told_again(
        &self,
        objects: &Objects,
        connectors: &Connectors,
        (number, row): (u64, &QuarantineRow),
        dry_run: bool,
    ) -> Result<Again, Problem> {
        let Some((system, name, site)) = read_of(&row.topic) else {
            return Ok(Again::Wrong(format!("{:?} names no read", row.topic)));
        };
        let Some(read) = self.contract.systems.get(&system).and_then(|of| of.reads.get(&name)) else {
            return Ok(Again::Wrong(format!("the project has no read {system}.{name} any more")));
        };
        let now = clock::now();
        let item = match connectors.again(&system, &name, site.as_ref(), &row.bytes, now) {
            Ok(item) => item,
            Err(cause) => return Ok(Again::Wrong(cause)),
        };
        let Some(home) = site.clone().or_else(|| read.sites.first().cloned()) else {
            return Ok(Again::Wrong("the read serves no site".to_owned()));
        };
        // That it is told again says nothing about whether the system is silent.
        let teller = Teller { of: row.topic.clone(), max_age: None, home };
        objects.again((&teller, served(read, site.as_ref())), (number, row.received), item, dry_run, now).map_err(|e| {
            if e.is_full() {
                return Problem::unavailable(e.to_string()).remedy("free space, and replay again");
            }
            fault(&e)
        })
    }
}

/// The sites that a read serves: the one that it was asked for is among them.
fn served<'a>(read: &'a Read, site: Option<&SiteName>) -> &'a [SiteName] {
    let one = site.and_then(|site| read.sites.iter().position(|of| of == site));
    one.and_then(|at| read.sites.get(at..=at)).unwrap_or(&read.sites)
}

/// Who told: `reads/erp/orders/hamburg`, or without a site.
fn read_of(teller: &str) -> Option<(Name, Name, Option<SiteName>)> {
    let mut parts = teller.strip_prefix("reads/")?.split('/');
    let (system, read) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let site = match parts.next() {
        Some(site) => Some(SiteName::new(site).ok()?),
        None => None,
    };
    parts.next().is_none().then_some((system, read, site))
}
