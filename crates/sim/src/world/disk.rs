//! The disk of the world, and what befalls it.

use super::{Broken, World, fault};
use crate::chance::Chance;
use andon_model::span::Span;
use andon_store::{
    Limits, SimDisk, Store, StoreError, Trouble,
    historian::{Keeper, Kept, Policy},
};
use std::sync::Arc;

/// Small enough for a world to fill several.
const SEGMENT_BYTES: u64 = 24 << 10;
/// Batches in memory.
const RING_BYTES: usize = 16 << 10;
/// Samples are sealed when they are so old.
const SEAL_AFTER: Span = Span::from_secs(120);

/// Opens what lies on a disk as another process.
pub(super) fn open(disk: &SimDisk, chance: &mut Chance) -> Result<Store, StoreError> {
    let limits = Limits { segment_bytes: SEGMENT_BYTES, ring_bytes: RING_BYTES };
    Store::simulated(disk, &limits, &mut |bytes| bytes.fill_with(|| chance.draw().to_le_bytes()[0]))
}

/// The keeper of a store: what it seals it keeps.
pub(super) fn keeper(store: &Store) -> Keeper {
    let policy = Policy {
        seal_after: SEAL_AFTER,
        samples: Arc::new(|_| Kept::default()),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    };
    Keeper::new(store.clone(), policy)
}

impl World {
    /// Something befalls one of the next operations.
    pub(super) fn plan_trouble(&mut self, chance: &mut Chance) {
        let (skipped, seed) = (chance.below(24), chance.draw());
        let (trouble, what) = match chance.below(10) {
            0..4 => (Trouble::Kill(seed), "crash: killed in an operation of the disk"),
            4..7 => (Trouble::PowerCut(seed), "crash: power cut in an operation of the disk"),
            7 => (Trouble::Error(seed), "fault: an operation of the disk fails"),
            _ => (Trouble::Full(seed), "fault: an operation of the disk finds no room"),
        };
        self.seen.count(what);
        self.tell(format_args!("after {skipped} operations of the disk: {trouble:?}"));
        self.disk.plan(skipped, trouble);
    }

    /// The disk has little room left, or all again.
    pub(super) fn fill_disk(&mut self, chance: &mut Chance) {
        if std::mem::take(&mut self.full) {
            self.disk.set_capacity(None);
            self.tell(format_args!("the disk has room again"));
            return;
        }
        let all = 1 << 40;
        self.disk.set_capacity(Some(all));
        let used = all - self.disk.free_bytes();
        let left = chance.below(400_000);
        self.disk.set_capacity(Some(used + left));
        self.full = true;
        self.seen.count("fault: the disk is full");
        self.tell(format_args!("the disk has {left} bytes left"));
    }

    /// Nothing befalls it any more.
    pub(super) fn heal_disk(&mut self) {
        self.disk.forget_plans();
        self.disk.set_capacity(None);
        self.full = false;
        self.disk.hold_submissions(false);
        self.store.settle();
    }

    /// The keeper does a step; what it will remove from the log is kept for the checks.
    pub(super) fn step_keeper(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        if let Err(error) = self.remember() {
            return self.failed("log", &error, chance);
        }
        let now = self.now();
        match self.keeper.step(now) {
            Ok(_) => Ok(()),
            Err(error) => self.failed("keeper", &error, chance),
        }
    }

    /// Reads what is durable in the log and was not read yet.
    pub(crate) fn remember(&mut self) -> Result<(), StoreError> {
        let mut at = self.archive.last().map_or(self.store.log_start(), |batch| batch.end());
        while let Some(batch) = self.store.read(at)? {
            at = batch.end();
            self.archive.push(batch);
        }
        Ok(())
    }

    /// What was durable is there after a start, and what follows it follows it.
    pub(super) fn nothing_vanished(&self) -> Result<(), Broken> {
        let Some(last) = self.archive.last() else { return Ok(()) };
        if self.store.log_end() < last.end() {
            let (end, before) = (self.store.log_end(), last.end());
            return Err(Broken::new("durable", format!("the log ended at {before} and ends at {end}")));
        }
        match self.store.read(last.first).map_err(fault)? {
            Some(batch) if batch.first == last.first && batch.part.entries != last.part.entries => {
                Err(Broken::new("durable", format!("the entries at {} are others than they were", last.first)))
            }
            _ => Ok(()),
        }
    }

    /// A step has failed: where that was planned it is tried again, by this process or the next.
    pub(super) fn failed(&mut self, what: &str, error: &StoreError, chance: &mut Chance) -> Result<(), Broken> {
        match error {
            StoreError::Full { .. } | StoreError::Stopped(_) | StoreError::Io { .. } => {}
            other => return Err(fault(format_args!("a step of the {what}: {other}"))),
        }
        self.tell(format_args!("a step of the {what} fails: {error}"));
        if self.disk.crashes() != self.process || !chance.percent(30) {
            return Ok(());
        }
        self.kill(chance)
    }
}
