//! How systems fare: what rows say of their breakers, and what a running instance knows of their places.

use crate::page::page_of;
use andon_api::{
    Page, Query,
    answers::{Fares as Told, OperationRow},
};
use andon_contract::{
    Contract,
    contract::{Breaker as Settings, Operation, System},
    operation_guarantee,
};
use andon_model::{Name, Time, span::Span};
use andon_observe::metrics::SystemMeasured;
use andon_store::{Store, StoreError};
use andon_workflows::resilience::{Fares, Kept, breaker::Breaker};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// So often the loop of runs says how systems fare, while it works.
const TOLD_EVERY: Span = Span::from_millis(100);

/// What the loop of runs said last of how systems fare; to look at it holds no step up.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<Name, Fares>>>);

/// When the board was written last, and whether it tells what is.
#[derive(Default)]
pub(crate) struct Written {
    at: Option<Span>,
    old: bool,
}

impl Board {
    /// What it says at this moment.
    pub(crate) fn read(&self) -> BTreeMap<Name, Fares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what the loop says, not more often than is of use; `worked`: it has just done something. When it has to be
    /// asked again although nothing happens.
    pub(crate) fn write(
        &self,
        written: &mut Written,
        (worked, now): (bool, Span),
        runs: &andon_workflows::Loop,
    ) -> Option<Span> {
        written.old |= worked || written.at.is_none();
        let passed = written.at.map_or(TOLD_EVERY, |at| Span::from_nanos(now.nanos().saturating_sub(at.nanos())));
        if passed >= TOLD_EVERY && written.old {
            (written.at, written.old) = (Some(now), false);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = runs.fares();
        }
        written.old.then_some(TOLD_EVERY)
    }
}

/// What is known of systems: of a project nothing, of a stopped folder its rows, of an instance more.
#[derive(Default)]
pub(crate) struct Seen {
    kept: BTreeMap<Name, Kept>,
    now: Option<BTreeMap<Name, Fares>>,
}

impl Seen {
    /// What rows say, and what the instance does where it runs.
    pub(crate) fn of(store: &Store, now: Option<BTreeMap<Name, Fares>>) -> Result<Self, StoreError> {
        let rows = store.system_rows()?.into_iter();
        let kept = rows.map(|row| (row.system, serde_json::from_value(row.state).unwrap_or_default())).collect();
        Ok(Self { kept, now })
    }

    fn fares(&self, system: &Name) -> Option<&Fares> {
        self.now.as_ref()?.get(system)
    }

    /// A breaker; what a running instance says is newer than its rows, which tell no success.
    fn breaker(&self, system: &Name, operation: Option<&Name>) -> Breaker {
        let kept = self.fares(system).map(|fares| &fares.kept).or_else(|| self.kept.get(system));
        let found = kept.and_then(|kept| match operation {
            None => Some(&kept.breaker),
            Some(operation) => kept.operations.get(operation),
        });
        found.cloned().unwrap_or_default()
    }
}

/// A page of the operations of systems.
pub(crate) fn page(contract: &Contract, seen: &Seen, query: &Query, now: Time) -> Page {
    let mut rows = Vec::new();
    for (name, system) in &contract.systems {
        for (operation, of) in &system.operations {
            let narrow = of.narrow.breaker.as_ref();
            let bare = row((name, system), (narrow.map(|_| operation), narrow.or(system.breaker.as_ref())), seen, now);
            rows.push(of_operation(bare, system, operation, of));
        }
        if system.operations.is_empty() {
            rows.push(row((name, system), (None, system.breaker.as_ref()), seen, now));
        }
    }
    page_of(rows.iter().map(|row| json!(row)), query)
}

fn of_operation(bare: OperationRow, system: &System, operation: &Name, of: &Operation) -> OperationRow {
    OperationRow {
        operation: Some(operation.to_string()),
        implements: Some(of.implements.clone()),
        idempotency: Some(of.idempotency.word().to_owned()),
        guarantee: Some(operation_guarantee(system, of).text),
        timeout: system.timeout_of(of).to_string(),
        ..bare
    }
}

fn row(
    (name, system): (&Name, &System),
    (own, settings): (Option<&Name>, Option<&Settings>),
    seen: &Seen,
    now: Time,
) -> OperationRow {
    let breaker = seen.breaker(name, own);
    let (attempts, failed) = settings.map_or((0, 0), |settings| breaker.counted_at(settings.window, now));
    OperationRow {
        system: name.to_string(),
        operation: None,
        implements: None,
        idempotency: None,
        guarantee: None,
        zone: system.zone.to_string(),
        test: system.test,
        maturity: system.maturity.map(|maturity| maturity.word().to_owned()),
        concurrent: system.concurrent,
        timeout: system.timeout.to_string(),
        breaker: settings.map_or("off", |_| breaker.state.word()).to_owned(),
        since: breaker.since.filter(|_| settings.is_some()).map(|since| since.to_string()),
        failed,
        attempts,
        failure: Some(breaker.detail).filter(|detail| !detail.is_empty()),
        probe: breaker.probe.map(|probe| probe.to_string()),
        now: seen.fares(name).map(|fares| Told {
            under_way: fares.under_way,
            places: fares.places,
            queued: fares.queued as u64,
            held: fares.held as u64,
            wait_ms: fares.wait.map(|wait| u64::try_from(wait.millis()).unwrap_or(0)),
        }),
    }
}

/// Systems as `/metrics` tells them.
pub(crate) fn measured(contract: &Contract, seen: &Seen) -> Vec<SystemMeasured> {
    let of = |name: &Name| {
        let fares = seen.fares(name);
        let number = |of: fn(&Fares) -> u64| fares.map_or(0, of);
        SystemMeasured {
            system: name.to_string(),
            breaker: seen.breaker(name, None).state.word(),
            under_way: number(|fares| u64::from(fares.under_way)),
            places: number(|fares| u64::from(fares.places)),
            queued: number(|fares| fares.queued as u64),
            held: number(|fares| fares.held as u64),
            wait_micros: number(|fares| fares.wait.map_or(0, |wait| u64::try_from(wait.nanos() / 1_000).unwrap_or(0))),
        }
    };
    contract.systems.keys().map(of).collect()
}
