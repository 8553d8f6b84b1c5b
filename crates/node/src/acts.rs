//! Acts of people on runs, on their way from the API to the loop of workflows: whoever asks waits until it is durable.

use crate::clock;
use andon_api::{
    Problem,
    cancel::{CancelRun, CancelledRun},
};
use andon_model::RunId;
use andon_store::{Store, rows::Cancel};
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
/// Who acts where nobody is named.
const NOBODY: &str = "somebody";

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
        let what = What::Cancel(Cancel {
            at: clock::now(),
            by: cancel.by.clone().unwrap_or_else(|| NOBODY.to_owned()),
            reason: cancel.reason.clone(),
            compensate: cancel.compensate,
        });
        let (told, answer) = channel();
        let token = {
            let mut desk = self.desk();
            if desk.closed {
                return Err(Problem::unavailable("the instance is stopping").remedy("ask again once it runs"));
            }
            if desk.waiting.len() >= WAITING_MAX {
                return Err(Problem::busy(format!("{WAITING_MAX} acts wait already")).header("retry-after", "1"));
            }
            let token = desk.next;
            desk.next += 1;
            desk.asked.push(Act { token, run, what });
            desk.waiting.insert(token, told);
            token
        };
        store.wake_runs();
        let acted = answer.recv_timeout(DURABLE_WAIT);
        self.desk().waiting.remove(&token);
        match acted {
            Ok(Acted::Done(state)) => Ok(CancelledRun { id: run.to_string(), state: state.word().to_owned() }),
            Ok(Acted::Ended(state)) => {
                Err(Problem::conflict(format!("the run {id} has ended: it is {}", state.word()))
                    .remedy(format!("`andon show {id}` says what it has done; nothing was changed")))
            }
            Ok(Acted::Unknown) => Err(unknown()),
            Ok(Acted::Refused(why)) => Err(Problem::conflict(format!("the run {id} was not cancelled: {why}"))),
            Err(_) => Err(Problem::unavailable(format!("it was not durable within {} s", DURABLE_WAIT.as_secs()))
                .remedy(format!("`andon show {id}` says whether the run is cancelled after all"))),
        }
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
