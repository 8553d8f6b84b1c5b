//! Errors of a run: which `try` takes one, whether it repeats its block, and what is done otherwise.

use super::memory::{Block, Frame, Waiting};
use super::{Action, Machine, eval::Scene, stranger};
use crate::fault::Fault;
use andon_contract::workflow::{Backoff, RetryPolicy, Task, TaskKind, Try};
use andon_model::span::Span;

/// What a `try` does with an error it has caught.
enum Answer {
    /// Another pass after this pause.
    Again(Span),
    /// Its `catch.do`, or nothing.
    Handle,
    /// Passes are used up and there is nothing else to do: it goes on outwards.
    Outwards,
}

impl Machine<'_> {
    /// An error came from the current task: the innermost `try` that takes it goes on, otherwise the run faults.
    pub(super) fn raise(&mut self, fault: Fault) {
        let definition = self.given.definition;
        let pointer = self.memory.task(definition).map_or("/do", |task| task.pointer.as_str());
        let mut fault = fault.at(pointer);
        let mut depth = self.memory.frames.len();
        loop {
            // The next guarded list outwards; its `try` is the current task of the frame around it.
            let inner = (1..depth).rev().find(|i| self.memory.frames.get(*i).is_some_and(|f| f.block == Block::Try));
            let Some(inner) = inner else { return self.fault(fault) };
            depth = inner;
            let outer = inner - 1;
            let Some((task, guarded)) = self.memory.task_of(definition, outer).and_then(guarded) else {
                return self.fault(stranger());
            };
            match self.answer(guarded, outer, &fault) {
                Ok(None | Some(Answer::Outwards)) => {}
                Ok(Some(answer)) => return self.caught(guarded, outer, fault, &answer),
                // The expression that should have decided failed: that is an error of the `try` itself.
                Err(other) => fault = other.at(&task.pointer),
            }
        }
    }

    /// What the `try` at `outer` does with an error; `None`: it does not catch it.
    fn answer(&self, guarded: &Try, outer: usize, fault: &Fault) -> Result<Option<Answer>, Fault> {
        if !fault.passes(&guarded.errors) {
            return Ok(None);
        }
        let Some(frame) = self.memory.frames.get(outer) else { return Ok(None) };
        let scene = Scene::task(self.given, self.memory, outer).caught(fault);
        let holds = |program: &Option<_>, otherwise: bool| {
            program.as_ref().map_or(Ok(otherwise), |program| scene.holds(program, frame.input()))
        };
        if !holds(&guarded.when, true)? || holds(&guarded.except_when, false)? {
            return Ok(None);
        }
        let Some(policy) = &guarded.retry else { return Ok(Some(Answer::Handle)) };
        if holds(&policy.when, true)? && !holds(&policy.except_when, false)? {
            if let Some(pause) = next_pass(policy, frame, self.given.now) {
                return Ok(Some(Answer::Again(pause)));
            }
            if guarded.handler.is_empty() {
                return Ok(Some(Answer::Outwards));
            }
        }
        Ok(Some(Answer::Handle))
    }

    fn caught(&mut self, guarded: &Try, outer: usize, fault: Fault, answer: &Answer) {
        self.memory.frames.truncate(outer + 1);
        let Some(frame) = self.memory.frames.last_mut() else { return self.fault(stranger()) };
        if let Answer::Again(pause) = answer {
            frame.pass = frame.pass.saturating_add(1);
            let until = self.given.now.plus(*pause);
            if until <= self.given.now {
                return self.guard();
            }
            self.memory.waiting = Waiting::Retry(until);
            return self.actions.push(Action::Wait(until));
        }
        if guarded.handler.is_empty() {
            let input = frame.input().clone();
            return self.finish(input, None, Some(format!("caught: {} {}", fault.kind, fault.status)));
        }
        frame.error = Some(fault);
        self.push(Block::Catch);
    }
}

fn guarded(task: &Task) -> Option<(&Task, &Try)> {
    match &task.kind {
        TaskKind::Try(guarded) => Some((task, guarded)),
        _ => None,
    }
}

/// The pause before the next pass; `None` when passes or time are used up.
fn next_pass(policy: &RetryPolicy, frame: &Frame, now: andon_model::Time) -> Option<Span> {
    // Passes that are over, the one that just failed included.
    let over = frame.pass.saturating_add(1);
    if policy.attempts.is_some_and(|attempts| over >= attempts) {
        return None;
    }
    let factor = match policy.backoff {
        Backoff::Constant => 1,
        Backoff::Linear => i64::from(over),
        Backoff::Exponential => 1_i64.checked_shl(over - 1).filter(|f| *f > 0).unwrap_or(i64::MAX),
    };
    let pause = Span::from_nanos(policy.delay.nanos().saturating_mul(factor));
    let end = now.plus(pause).since(frame.started);
    policy.duration.is_none_or(|limit| end <= limit).then_some(pause)
}
