//! Runs that have faulted are taken up: the run itself, and the one that it had waited for, down to the call to blame.
//!
//! Everything is looked at before anything is changed, so that an act that is refused has changed nothing.

use super::family::RUNS_DEEP_MAX;
use super::recall::Recall;
use super::{Loop, Open};
use crate::exceptions;
use crate::machine::memory::Memory;
use crate::machine::{Ask, Blamed, Given, TakeUp, take_up};
use andon_model::span::Span;
use andon_model::{RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{CallRow, CallState, ExceptionChange, ExceptionKind, ExceptionState, RunRow, RunState, Write};
use std::collections::VecDeque;
use std::sync::Arc;

/// A run that is ready to go on.
pub(super) struct Up {
    pub(super) open: Open,
    /// What its branches ask people again.
    pub(super) asks: Vec<Ask>,
}

impl Loop {
    /// The runs that a fault went through, the outermost first, and the refused call that it came from.
    pub(super) fn blamed_by(&self, top: &RunRow) -> Result<(Vec<RunId>, Option<CallRow>), StoreError> {
        let mut path = vec![top.id];
        let mut row = top.clone();
        for _ in 0..=RUNS_DEEP_MAX {
            let memory = serde_json::from_value::<Memory>(row.memory).ok();
            match memory.and_then(|memory| memory.blamed()) {
                Some(Blamed::Call(key)) => {
                    let call = self.find_call(&key)?.filter(|call| call.state == CallState::Refused);
                    return Ok((path, call));
                }
                Some(Blamed::Run(child)) => match self.find_run(child)? {
                    Some(found) if found.state == RunState::Faulted => {
                        path.push(child);
                        row = found;
                    }
                    _ => break,
                },
                None => break,
            }
        }
        Ok((path, None))
    }

    /// A run that has faulted, with what is pinned to it; or why it cannot go on. Nothing is changed.
    pub(super) fn faulted(&mut self, id: RunId) -> Result<Result<Open, String>, StoreError> {
        let Some(row) = self.find_run(id)? else { return Ok(Err(format!("there is no run {id}"))) };
        if row.state != RunState::Faulted {
            return Ok(Err(format!("the run {id} is {}, not faulted", row.state.word())));
        }
        let (pinned, definition) = match self.pinned_of(&row)?.0 {
            Ok(found) => found,
            Err(why) => return Ok(Err(format!("the contract that the run {id} began with cannot be read: {why}"))),
        };
        let Ok(memory) = serde_json::from_value::<Memory>(row.memory.clone()) else {
            return Ok(Err(format!("the stored memory of the run {id} cannot be read")));
        };
        if let Err(why) = memory.can_be_taken_up() {
            return Ok(Err(format!("the run {id} cannot be taken up: {why}")));
        }
        let open = Open { row, memory, pinned, definition, is_new: false, told: VecDeque::new() };
        match self.revoked(&open) {
            Some(reason) => Ok(Err(format!("the definition of the run {id} is revoked: {reason}"))),
            None => Ok(Ok(open)),
        }
    }

    /// A faulted run stands where it can go on; nothing of it is written yet.
    pub(super) fn raise_up(
        &mut self,
        mut open: Open,
        how: TakeUp,
        now: Time,
    ) -> Result<Result<Up, String>, StoreError> {
        let stood = if open.row.updated < now { now.since(open.row.updated) } else { Span::ZERO };
        let contract = Arc::clone(&self.contract);
        let recall = Recall::new(&self.store, &self.batch, open.row.id);
        let given = Given {
            definition: &open.definition,
            run: &open.row,
            schemas: &open.pinned.schemas,
            lookup: &contract.identifiers.at(now),
            journal: &|pointer, iteration| recall.of(pointer, iteration),
            now,
        };
        let done = take_up(&given, &mut open.memory, how, stood);
        recall.end()?;
        let asks = match done {
            Ok(asks) => asks,
            Err(why) => return Ok(Err(format!("the run {} cannot be taken up: {why}", open.row.id))),
        };
        (open.row.state, open.row.error, open.row.wake) = (RunState::Running, None, None);
        Ok(Ok(Up { open, asks }))
    }

    /// The runs of a path, the innermost first, each ready to go on: that one in this way, the others by waiting for
    /// it.
    pub(super) fn raise_path(
        &mut self,
        path: &[RunId],
        how: TakeUp,
        now: Time,
    ) -> Result<Result<Vec<Up>, String>, StoreError> {
        let mut ups = Vec::new();
        let mut how = Some(how);
        for id in path.iter().rev() {
            let open = match self.faulted(*id)? {
                Ok(open) => open,
                Err(why) => return Ok(Err(why)),
            };
            match self.raise_up(open, how.take().unwrap_or(TakeUp::Wait), now)? {
                Ok(mut up) => {
                    up.open.row.taken_up = up.open.row.taken_up.saturating_add(1);
                    ups.push(up);
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(ups))
    }

    /// Runs that were raised go on, the innermost first.
    pub(super) fn go_on(&mut self, ups: Vec<Up>, now: Time) -> Result<(), StoreError> {
        for Up { mut open, asks } in ups {
            self.places.enter(&open.row.workflow);
            for ask in asks {
                self.ask(&open, &ask, now);
            }
            self.listen_again(&open);
            let results = self.find_results(&open)?;
            let children = self.find_children(&open)?;
            open.told.extend(children);
            self.advance(open, results, now)?;
        }
        Ok(())
    }

    /// Writes for what a run listens, whatever was written before.
    pub(super) fn listen_again(&mut self, open: &Open) {
        let rows = open.memory.listening(&open.row, &open.definition).rows;
        if !rows.is_empty() {
            self.hears(&rows);
            self.batch.also(Write::Listen(open.row.id, rows));
        }
    }

    /// A run has ended well, or was cancelled: what people were told about it is over. Whether a parked call had its
    /// effect is still unknown.
    pub(super) fn settle_told(&mut self, run: RunId, now: Time) -> Result<(), StoreError> {
        let mut rows = self.store.exceptions_of_run(run)?;
        rows.extend(self.batch.told_of(run).cloned());
        for row in rows {
            let is_of_call = row.kind == ExceptionKind::Output && row.call.is_some();
            if row.state.has_ended() || !(is_of_call || row.id == exceptions::of_run_id(run)) {
                continue;
            }
            let call = row.call.map(|call| self.find_call_by_id(call)).transpose()?.flatten();
            if call.is_some_and(|call| call.state == CallState::Parked) {
                continue;
            }
            self.batch.change(ExceptionChange::of(row.id, now).to(ExceptionState::Resolved));
        }
        Ok(())
    }
}
