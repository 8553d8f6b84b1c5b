//! What people do with runs: cancel them. An act is durable before it is answered.

use super::Loop;
use crate::machine::Input;
use andon_model::{RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{CallState, Cancel, RunRow, RunState};
use std::collections::VecDeque;

/// Acts taken in one step at most.
const ACTS_STEP_MAX: usize = 512;

/// Something that a person wants done with a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// By this number its answer is found; who asks gives each another.
    pub token: u64,
    /// The run.
    pub run: RunId,
    /// What is to be done.
    pub what: What,
}

/// What is to be done with a run.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// It ends where it stands; `at` is set when it is taken.
    Cancel(Cancel),
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq)]
pub enum Acted {
    /// It is done, and durable; the run stands there. One that undoes what it has done is not yet cancelled.
    Done(RunState),
    /// The run had ended before.
    Ended(RunState),
    /// There is no such run.
    Unknown,
    /// It cannot be done, for this reason.
    Refused(String),
}

/// Acts on their way through a step.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// Asked for; those before `tried` were part of a step that failed.
    asked: VecDeque<Act>,
    tried: usize,
    taken: Vec<(Act, Acted)>,
    told: Vec<(u64, Acted)>,
}

impl Acts {
    /// After a failed step nobody knows what of it is durable: its acts are asked for again.
    pub(super) fn again(&mut self) {
        self.tried += self.taken.len();
        for (act, _) in self.taken.drain(..).rev() {
            self.asked.push_front(act);
        }
    }

    /// The step is durable.
    pub(super) fn durable(&mut self) {
        self.told.extend(self.taken.drain(..).map(|(act, acted)| (act.token, acted)));
    }
}

impl Loop {
    /// Asks for an act; what becomes of it is told by [`Loop::take_acted`] after one of the next steps.
    pub fn act(&mut self, act: Act) {
        self.acts.asked.push_back(act);
    }

    /// What became of acts since the last call, each durable.
    pub fn take_acted(&mut self) -> Vec<(u64, Acted)> {
        std::mem::take(&mut self.acts.told)
    }

    /// Does what people ask for; whether there is more.
    pub(super) fn take_acts(&mut self, now: Time) -> Result<bool, StoreError> {
        for _ in 0..ACTS_STEP_MAX {
            let Some(act) = self.acts.asked.pop_front() else { break };
            // It belongs to the step from here on, whatever comes.
            let tried = self.acts.tried > 0;
            self.acts.tried = self.acts.tried.saturating_sub(1);
            let (run, What::Cancel(cancel)) = (act.run, act.what.clone());
            self.acts.taken.push((act, Acted::Unknown));
            let mut acted = self.cancel_run(run, &Cancel { at: now, ..cancel.clone() }, now)?;
            // A commit that seemed to fail may be durable after all: then the run has ended because it was to.
            if tried && let Acted::Ended(state @ RunState::Cancelled) = acted {
                let by = self.find_run(run)?.and_then(|row| row.cancel);
                if by.is_some_and(|other| (other.by, other.reason) == (cancel.by, cancel.reason)) {
                    acted = Acted::Done(state);
                }
            }
            if let Some((_, told)) = self.acts.taken.last_mut() {
                *told = acted;
            }
        }
        Ok(!self.acts.asked.is_empty())
    }

    /// A run is to end: what it waits for is given up, and what it has done is undone where that is asked for.
    pub(super) fn cancel_run(&mut self, id: RunId, cancel: &Cancel, now: Time) -> Result<Acted, StoreError> {
        let Some(row) = self.find_run(id)? else { return Ok(Acted::Unknown) };
        if row.state.has_ended() {
            return Ok(Acted::Ended(row.state));
        }
        if row.state == RunState::Queued {
            return self.cancel_at_once(row, cancel, now);
        }
        match self.open_run(id, now)? {
            Some(mut open) => {
                open.row.cancel.get_or_insert_with(|| cancel.clone());
                // Before all else that it is told, so that it is as durable as the answer to who asked for it.
                open.told.push_front(Input::Cancel(cancel.compensate));
                self.advance(open, Vec::new(), now)?;
            }
            // Its definition cannot be read, so that nobody knows what would undo it.
            None if cancel.compensate => {
                let text =
                    "its definition cannot be read, so that nothing can be undone; cancel it without `compensate`";
                return Ok(Acted::Refused(text.to_owned()));
            }
            None => {
                let row = self.find_run(id)?.unwrap_or(row);
                if !row.state.has_ended() {
                    return self.cancel_at_once(row, cancel, now);
                }
            }
        }
        Ok(Acted::Done(self.find_run(id)?.map_or(RunState::Cancelled, |row| row.state)))
    }

    /// A run that has not begun, or that nobody can read, ends as its row says.
    fn cancel_at_once(&mut self, mut row: RunRow, cancel: &Cancel, now: Time) -> Result<Acted, StoreError> {
        let begun = row.state != RunState::Queued;
        row.cancel = Some(cancel.clone());
        (row.state, row.updated, row.wake) = (RunState::Cancelled, now, None);
        self.open.remove(&row.id);
        self.batch.run(row.clone(), false);
        if begun {
            for call in self.store.calls_of(row.id)? {
                if call.state == CallState::Waiting {
                    self.give_up(&call.key, now)?;
                }
            }
        } else {
            // It had no place to leave.
            self.places.enter(&row.workflow);
        }
        self.over(&row);
        Ok(Acted::Done(RunState::Cancelled))
    }
}
