//! What becomes known: revisions of the context, from their marks in the log on.

use super::{Engine, Output, birth_all};
use crate::{
    context::{Context, Known},
    corrections::Correction,
};
use andon_model::{Entry, Mark, Position, Time, sample::Batch};
use andon_store::{ObjectRow, RevisionRow};

impl Engine {
    /// What is known at the place up to which the log was read.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The highest revision of the context that a batch tells of and that is not known yet: the rows up to it are to be
    /// brought before the batch is applied.
    pub fn asks_for(&self, batch: &Batch) -> Option<u64> {
        // Such marks stand alone: a batch that begins with a sample has none.
        let Some(Entry::Mark(Mark::Context(_))) = batch.part.entries.first() else { return None };
        let told = |entry: &Entry| if let Entry::Mark(Mark::Context(told)) = entry { Some(*told) } else { None };
        batch.part.entries.iter().filter_map(told).max().filter(|told| *told > self.context.revision())
    }

    /// Takes the rows of the revisions behind the one that is known and up to `to`.
    pub fn bring(&mut self, to: u64, revisions: Vec<RevisionRow>, objects: Vec<ObjectRow>) {
        self.context.bring(to, revisions, objects);
    }

    /// What was corrected and is not told yet, the oldest first.
    pub(crate) fn correction(&self) -> Option<&Correction> {
        self.corrections.front()
    }

    /// The oldest was told.
    pub(crate) fn corrected(&mut self) {
        self.corrections.pop_front();
    }

    /// From here on a revision of the context holds: events that waited for it go out, and conditions are asked again.
    pub(super) fn reach(&mut self, at: Position, revision: u64, now: Time, out: &mut Vec<Output>) {
        if revision <= self.context.revision() {
            return;
        }
        self.corrections.extend(self.context.reach(revision));
        let known = Known { context: &self.context, utc: self.context.told_at() };
        let mut again = Vec::new();
        for (index, slot) in (0_u32..).zip(&mut self.states) {
            if at < slot.position || !(slot.waits() || slot.reads_context()) {
                continue;
            }
            self.work += 1;
            let mut touched = slot.let_go(&self.contract, known, now, out);
            let asset = self.assets.get(slot.asset as usize);
            let clock = asset.and_then(|asset| asset.clocks.iter().find(|of| of.source == slot.source));
            let newest = clock.map_or(Time::MIN, |of| of.clock.newest());
            if newest != Time::MIN {
                slot.reconsider(at, newest, known, &mut self.changes);
            }
            if !self.changes.is_empty() || slot.take_moved() {
                birth_all(&self.contract, slot, &mut self.changes, known, now, out);
                touched = true;
            }
            if touched && !slot.touched {
                slot.touched = true;
                self.touched.push(index);
            }
            again.push(index);
        }
        for index in again {
            self.arm(index);
        }
    }
}
