//! What people do with runs, calls and exceptions. An act is durable before it is answered.

use super::Loop;
use crate::machine::Input;
use andon_contract::contract::OperationRef;
use andon_model::{CallId, ExceptionId, RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{AuditRow, CallState, Cancel, RunRow, RunState, Write};
use serde_json::{Value as Json, json};
use std::collections::VecDeque;

/// Acts taken in one step at most.
const ACTS_STEP_MAX: usize = 512;

/// Something that a person wants done.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// By this number its answer is found; who asks gives each another.
    pub token: u64,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What is to be done.
    pub what: What,
}

/// What is to be done. Acts on an exception are acts on the call or the run that it is about.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A run ends where it stands; where this is true, what it has done is undone first.
    Cancel {
        /// The run.
        run: RunId,
        /// Whether what it has done is undone.
        compensate: bool,
    },
    /// A run goes over to the definition in force.
    Migrate {
        /// The run.
        run: RunId,
        /// Only say whether it can; nothing is changed.
        dry_run: bool,
    },
    /// The call is made again with the same key, or the faulted run goes on at its task.
    Retry {
        /// The exception.
        exception: ExceptionId,
        /// Of an unknown outcome: a person has looked, and the effect is not there.
        not_there: bool,
    },
    /// The call is made with another input, as an edit with a key of its own.
    Edit {
        /// The exception.
        exception: ExceptionId,
        /// The whole input.
        input: Json,
        /// The second person, where a policy wants two.
        agreed_by: Option<String>,
    },
    /// The task counts as done with this output, and nothing is sent.
    Skip {
        /// The exception.
        exception: ExceptionId,
        /// What the task gives.
        output: Json,
        /// The number of the document at the system: the effect is there after all.
        document: Option<String>,
    },
    /// The call is made at another operation that implements its capability, with the same key.
    Reroute {
        /// The exception.
        exception: ExceptionId,
        /// The operation.
        operation: OperationRef,
    },
    /// The fault of a run is final; a run that waits is cancelled, and nothing is undone.
    Discard {
        /// The exception.
        exception: ExceptionId,
    },
    /// What the run has done is undone, then it is cancelled.
    Compensate {
        /// The exception.
        exception: ExceptionId,
    },
}

/// Where that stands which an act was about.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The run.
    pub run: Option<RunId>,
    /// The call; after an edit the new one.
    pub call: Option<CallId>,
    /// The state of the call or else of the run, in the word that is shown. A run that undoes what it has done is not
    /// yet cancelled.
    pub state: String,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq)]
pub enum Acted {
    /// It is done, and durable.
    Done(Standing),
    /// The run had ended before.
    Ended(RunState),
    /// There is no such run, or exception.
    Unknown,
    /// It cannot be done, for this reason.
    Refused(String),
}

impl Acted {
    /// Done; the run stands so.
    pub(super) fn run(run: RunId, state: RunState) -> Self {
        Self::Done(Standing { run: Some(run), call: None, state: state.word().to_owned() })
    }
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
            self.acts.taken.push((act.clone(), Acted::Unknown));
            let acted = self.take_act(&act, tried, now)?;
            if let Some((_, told)) = self.acts.taken.last_mut() {
                *told = acted;
            }
        }
        Ok(!self.acts.asked.is_empty())
    }

    fn take_act(&mut self, act: &Act, tried: bool, now: Time) -> Result<Acted, StoreError> {
        match &act.what {
            What::Cancel { run, compensate } => {
                let (by, reason) = (act.by.clone(), act.reason.clone());
                let cancel = Cancel { at: now, by, reason, compensate: *compensate };
                let acted = self.cancel_run(*run, &cancel, now)?;
                if let Acted::Done(_) = &acted {
                    let detail = json!({"reason": act.reason, "compensate": compensate});
                    self.audit(&act.by, "run.cancel", run.to_string(), detail, now);
                }
                // A commit that seemed to fail may be durable after all: then the run has ended because it was to.
                if tried && let Acted::Ended(state @ RunState::Cancelled) = acted {
                    let by = self.find_run(*run)?.and_then(|row| row.cancel);
                    if by.is_some_and(|other| (other.by, other.reason) == (cancel.by, cancel.reason)) {
                        return Ok(Acted::run(*run, state));
                    }
                }
                Ok(acted)
            }
            What::Migrate { run, dry_run } => self.migrate(act, *run, *dry_run, now),
            What::Retry { exception, .. }
            | What::Edit { exception, .. }
            | What::Skip { exception, .. }
            | What::Reroute { exception, .. }
            | What::Discard { exception }
            | What::Compensate { exception } => self.remedy(act, *exception, tried, now),
        }
    }

    /// Who did what goes into the chain, in the commit of the step.
    pub(super) fn audit(&mut self, actor: &str, act: &str, subject: String, detail: Json, now: Time) {
        let row = AuditRow { at: now, actor: actor.to_owned(), act: act.to_owned(), subject, detail };
        self.batch.also(Write::Audit(Box::new(row)));
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
        Ok(Acted::run(id, self.find_run(id)?.map_or(RunState::Cancelled, |row| row.state)))
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
        self.over(&row, begun);
        Ok(Acted::run(row.id, RunState::Cancelled))
    }
}
