//! The historian's part of an instance: what is kept how, as the contract says, and sealing at once.

use crate::{
    clock,
    drive::{Reads, Turn, Worker},
    history::fault,
};
use andon_api::Problem;
use andon_contract::{
    Contract,
    contract::{Keep, ReduceBy},
};
use andon_model::span::Span;
use andon_store::{
    Store,
    historian::{Keeper, Kept, Policy, Progress, Reduce, SealNow},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Sealing at once that takes longer is told as not done.
const SEAL_PATIENCE: Span = Span::from_secs(540);
/// How often the wait for it looks.
const LOOK: Duration = Duration::from_millis(50);

/// What is kept how.
pub(crate) fn policy(contract: &Arc<Contract>) -> Policy {
    let kept = |keep: Keep| Kept { age: keep.age, bytes: keep.bytes };
    let (of_site, of_signal) = (contract.clone(), contract.clone());
    Policy {
        seal_after: contract.retention.seal,
        samples: Arc::new(move |site| kept(of_site.keep(site))),
        minutes: kept(contract.retention.minutes),
        reduce: Arc::new(move |asset, signal| {
            let reduction = of_signal.reduction(asset, signal)?;
            let (deadband, door) = match reduction.by {
                ReduceBy::Deadband(by) => (Some(by), None),
                ReduceBy::SwingingDoor(by) => (None, Some(by)),
            };
            Some(Reduce { deadband, door, heartbeat: reduction.heartbeat })
        }),
    }
}

/// Seals, merges and expires on a thread of its own; the way to ask it to seal at once.
pub(crate) fn keep(store: &Store, contract: &Arc<Contract>) -> std::io::Result<(Worker, SealNow)> {
    let keeper = Keeper::new(store.clone(), policy(contract));
    let seal = keeper.seal_now();
    let keeper = Mutex::new(keeper);
    let step = move || {
        let now = clock::now();
        Ok(match keeper.lock().unwrap_or_else(PoisonError::into_inner).step(now)? {
            Progress::Worked => Turn::Worked,
            Progress::Idle { until } => Turn::Idle(until.map(|until| until.since(now))),
        })
    };
    // What is written down is safe at any moment; a clean stop has nothing to add.
    Ok((Worker::start("historian", (store.clone(), Reads::Rows), step, || {})?, seal))
}

/// Asks for everything that is in the log to be sealed, and waits until it is.
pub(crate) fn seal(store: &Store, asked: &SealNow, alive: &dyn Fn() -> bool) -> Result<(), Problem> {
    let end = store.log_end();
    let until = clock::monotonic().nanos().saturating_add(SEAL_PATIENCE.nanos());
    asked.ask();
    store.wake();
    while store.holdings().map_err(|e| fault(&e))?.sealed.offset < end.offset {
        if !alive() || clock::monotonic().nanos() > until {
            return Err(
                Problem::unavailable("sealing did not come to its end").remedy("the log of the instance says why")
            );
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
