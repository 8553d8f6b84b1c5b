//! Errors of a run: which `try` takes one, whether it repeats its block, and what is done otherwise.

use super::memory::{Block, Frame, Waiting};
use super::{Machine, eval::Scene, stranger};
use crate::fault::Fault;
use andon_contract::workflow::{Backoff, RetryPolicy, Task, TaskKind, Try};
use andon_model::id::derive;
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
    /// An error came from the current task: the innermost `try` that takes it goes on, a branch of a `fork` that
    /// competes drops out, otherwise the run faults where it stands.
    pub(super) fn raise(&mut self, fault: Fault) {
        let definition = self.given.definition;
        let pointer = self.task().map_or("/do", |task| task.pointer.as_str());
        let mut fault = fault.at(pointer);
        let mut strand = self.strand;
        let mut depth = self.frames().len();
        loop {
            let frames = self.memory.strands.get(strand).map_or(&[][..], |strand| strand.frames.as_slice());
            // The next guarded list outwards; its `try` is the current task of the frame around it.
            let inner = (1..depth).rev().find(|i| frames.get(*i).is_some_and(|f| f.block == Block::Try));
            let Some(inner) = inner else {
                if self.has_rivals(strand) {
                    self.strand = strand;
                    let lost = self.branches(|place| place == strand);
                    self.drop_out();
                    return self.undo_branches(&lost);
                }
                let Some(of) = self.memory.strands.get(strand).and_then(|strand| strand.of) else {
                    return if self.memory.undoes(strand) { self.not_undone(fault) } else { self.fault(fault) };
                };
                if of.strand >= strand {
                    return self.fault(stranger());
                }
                strand = of.strand;
                depth = self.memory.strands.get(strand).map_or(0, |strand| strand.frames.len());
                continue;
            };
            depth = inner;
            let outer = inner - 1;
            let Some((task, guarded)) = self.memory.task_of(definition, strand, outer).and_then(guarded) else {
                return self.fault(stranger());
            };
            match self.answer(guarded, strand, outer, &fault) {
                Ok(None | Some(Answer::Outwards)) => {}
                Ok(Some(answer)) => {
                    self.strand = strand;
                    return self.caught(guarded, outer, fault, &answer);
                }
                // The expression that should have decided failed: that is an error of the `try` itself.
                Err(other) => fault = other.at(&task.pointer),
            }
        }
    }

    /// What the `try` at `outer` of a strand does with an error; `None`: it does not catch it.
    fn answer(&self, guarded: &Try, strand: usize, outer: usize, fault: &Fault) -> Result<Option<Answer>, Fault> {
        if !fault.passes(&guarded.errors) {
            return Ok(None);
        }
        let Some(frame) = self.memory.strands.get(strand).and_then(|strand| strand.frames.get(outer)) else {
            return Ok(None);
        };
        let scene = Scene::task(self.given, self.memory, strand, outer).caught(fault);
        let holds = |program: &Option<_>, otherwise: bool| {
            program.as_ref().map_or(Ok(otherwise), |program| scene.holds(program, frame.input()))
        };
        if !holds(&guarded.when, true)? || holds(&guarded.except_when, false)? {
            return Ok(None);
        }
        let Some(policy) = &guarded.retry else { return Ok(Some(Answer::Handle)) };
        if holds(&policy.when, true)? && !holds(&policy.except_when, false)? {
            if let Some(pause) = self.next_pass(policy, &scene, frame, strand, outer)? {
                return Ok(Some(Answer::Again(pause)));
            }
            if guarded.handler.is_empty() {
                return Ok(Some(Answer::Outwards));
            }
        }
        Ok(Some(Answer::Handle))
    }

    /// The pause before the next pass; `None` when passes or time are used up.
    fn next_pass(
        &self,
        policy: &RetryPolicy,
        scene: &Scene<'_>,
        frame: &Frame,
        strand: usize,
        outer: usize,
    ) -> Result<Option<Span>, Fault> {
        // Passes that are over, the one that just failed included.
        let over = frame.pass.saturating_add(1);
        if policy.attempts.is_some_and(|attempts| over >= attempts) {
            return Ok(None);
        }
        let span = |delay: &_| scene.span(delay, frame.input());
        let delay = policy.delay.as_ref().map_or(Ok(Span::ZERO), span)?;
        let factor = match policy.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => i64::from(over),
            Backoff::Exponential => 1_i64.checked_shl(over - 1).filter(|f| *f > 0).unwrap_or(i64::MAX),
        };
        let mut pause = delay.nanos().saturating_mul(factor);
        if let Some((from, to)) = &policy.jitter {
            let (from, to) = (span(from)?.nanos(), span(to)?.nanos());
            let wide = to.saturating_sub(from).max(0);
            pause = pause.saturating_add(from).saturating_add(self.chance(strand, outer, over, wide));
        }
        let pause = Span::from_nanos(pause.max(0));
        let limit = policy.duration.as_ref().map(span).transpose()?;
        let end = self.given.now.plus(pause).since(frame.started);
        Ok(limit.is_none_or(|limit| end <= limit).then_some(pause))
    }

    /// A number from 0 to `most` that is the same for the same pass of the same task of the same run.
    fn chance(&self, strand: usize, depth: usize, pass: u32, most: i64) -> i64 {
        let run = self.given.run.id.to_string();
        let pointer = self.memory.task_of(self.given.definition, strand, depth).map_or("", |task| &task.pointer);
        let iteration = self.memory.iteration(strand, depth);
        let bits = derive(&[b"jitter", run.as_bytes(), pointer.as_bytes(), iteration.as_bytes(), &pass.to_le_bytes()]);
        let number = bits.iter().take(8).fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let wide = u64::try_from(most).unwrap_or(0).saturating_add(1);
        i64::try_from(number % wide).unwrap_or(0)
    }

    /// Begins the next pass of the current `try`.
    pub(super) fn guard(&mut self) -> Result<(), Fault> {
        self.wake_up();
        let policy = match self.task().and_then(guarded) {
            Some((_, guarded)) => guarded.retry.as_ref(),
            None => return Err(stranger()),
        };
        let attempt = policy.and_then(|policy| policy.attempt.as_ref());
        let input = self.frames().last().ok_or_else(stranger)?.input();
        let limit = attempt.map(|delay| self.scene().span(delay, input)).transpose()?;
        let limit = limit.map(|span| self.given.now.plus(span));
        self.push(Block::Try);
        if let Some(frame) = self.top() {
            frame.limit = limit;
        }
        Ok(())
    }

    fn caught(&mut self, guarded: &Try, outer: usize, fault: Fault, answer: &Answer) {
        self.give_up_inside(outer);
        self.wake_up();
        let Some(frame) = self.top() else { return self.fault(stranger()) };
        if let Answer::Again(pause) = answer {
            frame.pass = frame.pass.saturating_add(1);
            let until = self.given.now.plus(*pause);
            if until > self.given.now {
                return self.set_waiting(Waiting::Retry(until));
            }
            if let Err(other) = self.guard() {
                self.raise(other);
            }
            return;
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
