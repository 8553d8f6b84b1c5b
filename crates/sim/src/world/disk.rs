//! The disk of the world, and what befalls it.

use super::{Broken, World, fault};
use crate::{chance::Chance, check};
use andon_model::{Time, span::Span};
use andon_store::{
    Limits, SimDisk, Store, StoreError, Trouble,
    historian::{Keeper, Kept, Policy, Progress},
};
use std::sync::Arc;

/// Small enough for a world to fill several.
const SEGMENT_BYTES: u64 = 24 << 10;
/// Batches in memory.
const RING_BYTES: usize = 16 << 10;
/// What is counted where the disk has little room.
pub(crate) const FULL: &str = "fault: the disk is full";
/// What is counted where one operation is to find no room.
pub(crate) const FINDS_NO_ROOM: &str = "fault: an operation of the disk finds no room";

/// Samples are sealed when they are so old.
const SEAL_AFTER: Span = Span::from_secs(120);

/// Opens what lies on a disk as another process.
pub(super) fn open(disk: &SimDisk, chance: &mut Chance) -> Result<Store, StoreError> {
    let limits = Limits { segment_bytes: SEGMENT_BYTES, ring_bytes: RING_BYTES };
    Store::simulated(disk, &limits, &mut |bytes| bytes.fill_with(|| chance.draw().to_le_bytes()[0]))
}

/// The keeper of a store, that keeps samples so long.
pub(super) fn keeper(store: &Store, kept: Kept) -> Keeper {
    Keeper::new(store.clone(), policy(kept))
}

fn policy(kept: Kept) -> Policy {
    Policy {
        seal_after: SEAL_AFTER,
        samples: Arc::new(move |_| kept),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    }
}

impl World {
    /// Something befalls one of the next operations.
    pub(super) fn plan_trouble(&mut self, chance: &mut Chance) {
        let (skipped, seed) = (chance.below(24), chance.draw());
        let (trouble, what) = match chance.below(10) {
            0..4 => (Trouble::Kill(seed), "crash: killed in an operation of the disk"),
            4..7 => (Trouble::PowerCut(seed), "crash: power cut in an operation of the disk"),
            7 => (Trouble::Error(seed), "fault: an operation of the disk fails"),
            _ => (Trouble::Full(seed), FINDS_NO_ROOM),
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
        self.seen.count(FULL);
        self.tell(format_args!("the disk has {left} bytes left"));
    }

    /// Nothing befalls it any more.
    pub(super) fn heal_disk(&mut self) {
        self.disk.forget_plans();
        self.disk.set_capacity(None);
        self.full = false;
        self.holds = false;
        self.disk.hold_submissions(false);
        self.store.settle();
    }

    /// Samples are kept for so long from now on, or for ever.
    pub(super) fn keep_for(&mut self, chance: &mut Chance) {
        let minutes = *chance.one(&[None, Some(3), Some(10), Some(40)]);
        let bytes = *chance.one(&[None, None, None, Some(20_000)]);
        let kept = Kept { age: minutes.map(|minutes| Span::from_secs(60 * minutes)), bytes };
        self.kept = kept;
        self.seen.count("fault: samples are kept for another time");
        self.tell(format_args!("samples are kept: {kept:?}"));
        self.keeper.set_policy(policy(self.kept));
    }

    /// The keeper does a step; what it will remove from the log is kept for the checks.
    pub(super) fn step_keeper(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        if let Err(error) = self.remember() {
            return self.failed("log", &error, chance);
        }
        let now = self.now();
        // What is too much goes whenever it came.
        let old = self.kept.age.map(|age| now.minus(age)).max(self.kept.bytes.map(|_| Time::MAX));
        self.gone = self.gone.max(old);
        match self.keeper.step(now) {
            Ok(Progress::Idle { .. }) => Ok(()),
            Ok(Progress::Worked) => {
                let files = self.store.holdings().map_or(self.files, |holdings| holdings.files);
                let before = std::mem::replace(&mut self.files, files);
                if files < before {
                    self.tell(format_args!("the historian has {files} files instead of {before}"));
                    self.seen.count("files of samples merged or removed");
                }
                Ok(())
            }
            Err(error) => self.failed("keeper", &error, chance),
        }
    }

    /// Somebody asks the historian for everything.
    pub(super) fn ask_historian(&mut self) -> Result<(), Broken> {
        if self.disk.crashes() != self.process || self.remember().is_err() {
            return Ok(());
        }
        check::every_sample(self)
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
        if self.store.log_end().offset < last.end().offset {
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
