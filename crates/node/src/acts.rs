//! Acts of people on runs, calls and exceptions, on their way from the API to the loop of workflows: whoever asks waits
//! until it is durable.

use crate::{audit::NOBODY, clock};
use andon_api::{
    Problem,
    cancel::{CancelRun, CancelledRun},
    migrate::{MigrateRun, MigratedRun},
};
use andon_model::RunId;
use andon_store::Store;
use andon_workflows::run::{Act, Acted, What};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

/// An act that is not durable after this long is told as such; it may still become so.
const DURABLE_WAIT: Duration = Duration::from_secs(30);
/// Acts that wait at once; further ones are refused.
const WAITING_MAX: usize = 1_024;

/// What somebody asks of the loop.
pub(crate) struct Ask {
    /// Who.
    pub(crate) by: String,
    /// Why; empty where nothing is said.
    pub(crate) reason: String,
    /// What.
    pub(crate) what: What,
}

/// The desk between the API and the loop.
#[derive(Default)]
pub(crate) struct Acts {
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    closed: bool,
    next: u64,
    /// Not yet fetched by the loop.
    asked: Vec<Act>,
    waiting: HashMap<u64, Sender<Acted>>,
}

impl Acts {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a run; returns once that is durable.
    pub(crate) fn cancel(&self, store: &Store, id: &str, cancel: &CancelRun) -> Result<CancelledRun, Problem> {
        let unknown = || Problem::not_found(format!("there is no run {id}")).remedy("`andon list runs` names them");
        let run: RunId = id.parse().map_err(|_| unknown())?;
        let by = cancel.by.clone().unwrap_or_else(|| NOBODY.to_owned());
        match self.act(store, by, cancel.reason.clone(), What::Cancel { run, compensate: cancel.compensate })? {
            Acted::Done(standing) => Ok(CancelledRun { id: run.to_string(), state: standing.state }),
            Acted::Ended(state) => Err(Problem::conflict(format!("the run {id} has ended: it is {}", state.word()))
                .remedy(format!("`andon show {id}` says what it has done; nothing was changed"))),
            Acted::Unknown => Err(unknown()),
            Acted::Refused(why) => Err(Problem::conflict(format!("the run {id} was not cancelled: {why}"))),
        }
    }

    /// Takes a run to the definition in force; returns once that is durable.
    pub(crate) fn migrate(&self, store: &Store, id: &str, migrate: &MigrateRun) -> Result<MigratedRun, Problem> {
        let unknown = || Problem::not_found(format!("there is no run {id}")).remedy("`andon list runs` names them");
        let run: RunId = id.parse().map_err(|_| unknown())?;
        let from = store.run(run).map_err(|e| crate::history::fault(&e))?.ok_or_else(unknown)?.revision;
        let to = store
            .active_contract()
            .map_err(|e| crate::history::fault(&e))?
            .map_or_else(String::new, |row| row.revision);
        let by = migrate.by.clone().unwrap_or_else(|| NOBODY.to_owned());
        let dry_run = migrate.dry_run;
        match self.act(store, by, migrate.reason.clone(), What::Migrate { run, dry_run })? {
            Acted::Done(standing) => Ok(MigratedRun { id: run.to_string(), state: standing.state, from, to, dry_run }),
            Acted::Ended(state) => Err(Problem::conflict(format!("the run {id} has ended: it is {}", state.word()))
                .remedy(format!("`andon show {id}` says what it has done; nothing was changed"))),
            Acted::Unknown => Err(unknown()),
            Acted::Refused(why) => Err(Problem::conflict(format!("the run {id} stays as it is: {why}"))
                .remedy("correct the workflow so that it fits, or cancel the run")),
        }
    }

    /// Lets the loop act; returns what became of it once that is durable.
    pub(crate) fn act(&self, store: &Store, by: String, reason: String, what: What) -> Result<Acted, Problem> {
        let lost = || Problem::fault("an act got no answer").remedy("look before you ask again");
        self.act_all(store, vec![Ask { by, reason, what }]).pop().unwrap_or_else(|| Err(lost()))
    }

    /// Lets the loop do several things, in this order; it does as many in one step as it can.
    pub(crate) fn act_all(&self, store: &Store, asks: Vec<Ask>) -> Vec<Result<Acted, Problem>> {
        let mut waits = Vec::with_capacity(asks.len());
        {
            let mut desk = self.desk();
            for Ask { by, reason, what } in asks {
                if desk.closed {
                    waits.push(Err(Problem::unavailable("the instance is stopping").remedy("ask again once it runs")));
                    continue;
                }
                if desk.waiting.len() >= WAITING_MAX {
                    let full = Problem::busy(format!("{WAITING_MAX} acts wait already"));
                    waits.push(Err(full.remedy("ask again in a moment").header("retry-after", "1")));
                    continue;
                }
                let (told, answer) = channel();
                let token = desk.next;
                desk.next += 1;
                desk.asked.push(Act { token, by, reason, what });
                desk.waiting.insert(token, told);
                waits.push(Ok((token, answer)));
            }
        }
        store.wake_runs();
        // All of them together have so long.
        let begun = clock::monotonic().std();
        let told = waits.into_iter().map(|wait| {
            let (token, answer) = wait?;
            let left = DURABLE_WAIT.saturating_sub(clock::monotonic().std().saturating_sub(begun));
            let acted = answer.recv_timeout(left);
            self.desk().waiting.remove(&token);
            acted.map_err(|_| {
                Problem::unavailable(format!("it was not durable within {} s", DURABLE_WAIT.as_secs()))
                    .remedy("`andon show` says whether it is done after all; look before you ask again")
            })
        });
        told.collect()
    }

    /// What was asked for since; for the loop.
    pub(crate) fn take_asked(&self) -> Vec<Act> {
        std::mem::take(&mut self.desk().asked)
    }

    /// Tells who asked what became of it.
    pub(crate) fn tell(&self, acted: Vec<(u64, Acted)>) {
        if acted.is_empty() {
            return;
        }
        let mut desk = self.desk();
        for (token, acted) in acted {
            if let Some(told) = desk.waiting.remove(&token) {
                // Who no longer waits has no use for the answer.
                let _ = told.send(acted);
            }
        }
    }

    /// Nothing is taken any more; who waits is told that the instance stops.
    pub(crate) fn close(&self) {
        let mut desk = self.desk();
        desk.closed = true;
        desk.asked.clear();
        desk.waiting.clear();
    }
}
