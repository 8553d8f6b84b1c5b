//! Branches side by side: they begin, join, win, and are given up.

use super::memory::{Block, Branch, Frame, STRANDS_MAX, Strand, Waiting};
use super::undo::Awaited;
use super::{Action, Machine, stranger};
use crate::fault::{Fault, Standard};
use andon_contract::workflow::TaskKind;
use serde_json::Value as Json;

impl Machine<'_> {
    /// The current task begins its branches, each with the task's input, and waits for them.
    pub(super) fn fork(&mut self, branches: usize) -> Result<(), Fault> {
        let strand = self.strand;
        let raw = self.frames().last().ok_or_else(stranger)?.input().clone();
        if self.memory.strands.len() + branches > STRANDS_MAX {
            let text = format!("the run would do more than {STRANDS_MAX} things at once");
            return Err(Fault::of(Standard::Runtime, text));
        }
        self.set_waiting(Waiting::Branches);
        let since = self.memory.tasks;
        for number in 0..branches {
            let frame = Frame::new(Block::Branch, raw.clone(), self.given.now);
            self.memory.strands.push(Strand::new(Some(Branch { strand, number, since }), frame));
        }
        Ok(())
    }

    /// The current branch gave `output`; its one frame has been left.
    pub(super) fn join(&mut self, output: Json, left: Frame) {
        let Some(of) = self.memory.strands.get(self.strand).and_then(|strand| strand.of) else {
            return self.fault(stranger());
        };
        if self.competes(of.strand) == Some(true) {
            let (won, fork) = (self.strand, of.strand);
            let is_other = |place: usize| {
                let branch = self.memory.strands.get(place).and_then(|strand| strand.of);
                place != won && branch.is_some_and(|branch| branch.strand == fork)
            };
            let lost = self.branches(is_other);
            self.strand = of.strand;
            self.give_up_branches();
            self.undo_branches(&lost);
            self.wake_up();
            return self.finish(output, None, None);
        }
        if let Some(strand) = self.memory.strands.get_mut(self.strand) {
            strand.frames.push(left);
            strand.waiting = Waiting::Done;
            strand.output = Some(output);
        }
        let mut branches: Vec<&Strand> =
            self.memory.strands.iter().filter(|strand| strand.of.is_some_and(|b| b.strand == of.strand)).collect();
        if branches.iter().any(|branch| branch.waiting != Waiting::Done) {
            return;
        }
        branches.sort_by_key(|branch| branch.of.map(|of| of.number));
        let outputs = branches.into_iter().map(|branch| branch.output.clone().unwrap_or(Json::Null)).collect();
        self.strand = of.strand;
        self.give_up_branches();
        self.wake_up();
        self.finish(Json::Array(outputs), None, None);
    }

    /// Whether the first branch of the `fork` a strand waits for wins; `None`: it waits for none.
    pub(super) fn competes(&self, strand: usize) -> Option<bool> {
        let depth = self.memory.strands.get(strand)?.frames.len().checked_sub(1)?;
        match &self.memory.task_of(self.given.definition, strand, depth)?.kind {
            TaskKind::Fork { compete, .. } => Some(*compete),
            _ => None,
        }
    }

    /// Whether a branch has others beside it that may still win.
    pub(super) fn has_rivals(&self, strand: usize) -> bool {
        let Some(of) = self.memory.strands.get(strand).and_then(|strand| strand.of) else { return false };
        self.competes(of.strand) == Some(true)
            && self.memory.strands.iter().enumerate().any(|(other, branch)| {
                other != strand && branch.of.is_some_and(|b| b.strand == of.strand) && branch.waiting != Waiting::Done
            })
    }

    /// Everything inside the current task of the current strand is given up: the frames behind `depth`, their
    /// branches, and what they wait for.
    pub(super) fn give_up_inside(&mut self, depth: usize) {
        self.give_up_branches();
        let strand = self.strand;
        self.give_up_waiting(strand);
        if let Some(strand) = self.memory.strands.get_mut(strand) {
            strand.frames.truncate(depth + 1);
        }
    }

    /// The branches of the current strand, and theirs, are given up.
    pub(super) fn give_up_branches(&mut self) {
        let mut gone = vec![false; self.memory.strands.len()];
        for (place, strand) in self.memory.strands.iter().enumerate() {
            let of = strand.of.map(|of| of.strand);
            let inside = of.is_some_and(|of| of == self.strand || gone.get(of).copied().unwrap_or(false));
            if let Some(gone) = gone.get_mut(place) {
                *gone = inside;
            }
        }
        self.remove(&gone);
    }

    /// A branch and its own are gone; others go on.
    pub(super) fn drop_out(&mut self) {
        self.give_up_branches();
        let mut gone = vec![false; self.memory.strands.len()];
        if let Some(gone) = gone.get_mut(self.strand) {
            *gone = true;
        }
        self.remove(&gone);
    }

    pub(super) fn remove(&mut self, gone: &[bool]) {
        for place in 0..gone.len() {
            if gone.get(place).copied().unwrap_or(false) {
                self.give_up_waiting(place);
            }
        }
        // Where each strand stands when those before it have gone.
        let mut places = Vec::with_capacity(gone.len());
        let mut next = 0;
        for gone in gone {
            places.push(next);
            next += usize::from(!gone);
        }
        let mut at = 0;
        self.memory.strands.retain(|_| {
            at += 1;
            !gone.get(at - 1).copied().unwrap_or(false)
        });
        for strand in &mut self.memory.strands {
            if let Some(of) = &mut strand.of {
                of.strand = places.get(of.strand).copied().unwrap_or(of.strand);
            }
        }
        self.strand = places.get(self.strand).copied().unwrap_or(0);
    }

    /// Nobody waits any more for what a strand waits for.
    fn give_up_waiting(&mut self, place: usize) {
        let Some(of) = self.memory.awaited_by(self.given.run.id, self.given.definition, place) else { return };
        self.actions.push(match &of {
            Awaited::Call(key) => Action::GiveUp(key.clone()),
            Awaited::Run(run) => Action::GiveUpRun(*run),
        });
        self.owe(place, of);
    }
}
