//! The machine is lost, and its folder is put back from a backup: what came after the backup is gone here, and was done
//! out there.

use super::{Broken, World, disk, fault};
use crate::{
    chance::Chance,
    check::{self, Era},
    project::{Edit, Variant},
};
use andon_model::{CallId, Event, EventId, Reference, Time, sample::Batch, span::Span};
use andon_store::{
    SimDisk,
    backup::{Restored, back_up_simulated, next_epoch_of},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Backups that are kept.
const BACKUPS_MAX: usize = 3;

/// A backup, and what the world knows of the moment in which it was taken.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    disk: SimDisk,
    /// By the clock of the machine.
    taken: Time,
    /// The same by the clock that nobody sets.
    moment: Time,
    archive: Vec<Arc<Batch>>,
    eras: Vec<Era>,
    /// The epochs that had begun with a restore.
    epochs: Vec<u32>,
    /// The number of variants by then; the last of them was in force.
    variants: usize,
    /// Deliveries that the source had acknowledged.
    acknowledged: BTreeSet<usize>,
    /// How often it was restored.
    restored: u32,
}

/// What restored worlds have lost: it was there, and offices may have seen it.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    /// The epochs that began with those restores of which the folder knows, in their order.
    pub(crate) epochs: Vec<u32>,
    /// The epochs of all restores.
    pub(crate) used: BTreeSet<u32>,
    /// The events of every lost time.
    pub(crate) events: BTreeMap<EventId, Event>,
    /// The calls of their runs.
    pub(crate) calls: BTreeSet<Reference>,
    /// Those of them that were sent in a lost time: what came of it out there has an order that the folder does not
    /// know.
    pub(crate) sent: BTreeSet<Reference>,
    /// The events about whose runs somebody was told in a lost time.
    pub(crate) told: BTreeSet<EventId>,
    /// Those on whose exceptions somebody acted in a lost time.
    pub(crate) acted: BTreeSet<EventId>,
    /// The first of all variants of the project that was in force when a backup was taken that was restored.
    since: Option<usize>,
}

impl Lost {
    /// Whether a call was sent in a lost time.
    pub fn has_sent(&self, call: &Reference) -> bool {
        self.sent.contains(call)
    }

    /// Whether the routes of a capability have been others since a backup that was restored: a call may have gone by
    /// one in the lost time that the folder does not know.
    pub(crate) fn has_moved(&self, capability: &str, variants: &[Variant]) -> bool {
        let since = self.since.and_then(|since| variants.get(since..)).unwrap_or_default();
        Edit::ALL.iter().any(|edit| {
            let of = match edit {
                Edit::NoRoute => "maintenance.request-work",
                Edit::Replaced => "maintenance.note",
                Edit::Threshold | Edit::Renamed | Edit::Workflow => return false,
            };
            let has = |variant: &Variant| variant.has(*edit);
            of == capability && since.iter().any(has) && !since.iter().all(has)
        })
    }
}

impl World {
    /// Somebody backs the folder up while everything goes on.
    pub(super) fn back_up(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        let (begun, process) = (self.disk.snapshot().map_err(fault)?, self.process);
        // It takes a while, and everything but the keeper goes on.
        for _ in 0..chance.below(4) {
            self.flow(chance);
            self.step_events(chance)?;
            self.step_workflows(chance)?;
        }
        if self.disk.crashes() != process || self.process != process {
            // A backup that is not whole is none.
            return Ok(());
        }
        if let Err(error) = self.remember() {
            return self.failed("log", &error, chance);
        }
        let taken = back_up_simulated(&self.disk, &begun).map_err(fault)?;
        let end = self.archive.last().map_or(0, |batch| batch.end().offset);
        // A real one is cut where the log ends, and leaves out what a write that failed has left behind that.
        let copy = taken.snapshot().and_then(|copy| disk::open(&copy, &mut Chance::new(0))).map_err(fault)?;
        if copy.log_end().offset != end {
            return Ok(());
        }
        let client = self.client();
        let backup = Backup {
            disk: taken,
            taken: self.now(),
            moment: self.utc.plus(self.truth),
            archive: self.archive.clone(),
            eras: self.eras.clone(),
            epochs: self.lost.epochs.clone(),
            variants: self.variants.len(),
            acknowledged: self.floor.ledger().acknowledged_by(&client),
            restored: 0,
        };
        self.seen.count("backup");
        self.tell(format_args!("a backup is taken, of the log up to {end}"));
        if self.backups.len() == BACKUPS_MAX {
            self.backups.remove(0);
        }
        self.backups.push(backup);
        Ok(())
    }

    /// The process ends and its disk is lost or replaced; some time later a backup is put back, mostly the newest.
    pub(super) fn restore(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        let newest = self.backups.len().saturating_sub(1);
        let at = if chance.percent(80) { newest } else { usize::try_from(chance.below(3)).unwrap_or(0).min(newest) };
        let Some(backup) = self.backups.get_mut(at) else { return Ok(()) };
        backup.restored += 1;
        let backup = backup.clone();
        self.seen.count("crash: restored from a backup");
        if backup.restored > 1 {
            self.seen.count("restored again from the same backup");
        }
        let sent = self.lose(&backup)?;
        self.disk.kill();
        self.end(chance);
        // Epochs are told apart by the second, and nobody replaces a machine in less.
        self.pass(chance.millis(1, 600_000).max(Span::from_secs(1)));
        let replaced = self.store.epoch();
        // A disk that is gone tells nobody its epoch; the time is above it unless the clock was set back.
        let is_known = chance.percent(50) || self.moved.nanos() > 0;
        let disk = backup.disk.snapshot().map_err(fault)?;
        let at = self.now();
        let epoch = next_epoch_of(&disk, if is_known { replaced } else { 0 }, at).map_err(fault)?;
        self.tell(format_args!("the machine is lost; the backup of {} is put back under epoch {epoch}", backup.taken));
        if !self.lost.used.insert(epoch) {
            return Err(Broken::new("restored", format!("the epoch {epoch} was there before")));
        }
        let store = disk::open(&disk, &mut self.lives).map_err(fault)?;
        let restored = Restored { at, taken: backup.taken, actor: "person".to_owned(), detail: json!({}) };
        store.mark_restored(&restored).and_then(|_| store.end_cleanly()).map_err(fault)?;
        drop(store);
        disk.kill();
        disk.set_capacity(None);
        disk.hold_submissions(self.holds);
        self.full = false;
        self.disk = disk;
        self.archive = backup.archive;
        self.eras = backup.eras;
        self.lost.epochs = backup.epochs;
        self.lost.epochs.push(epoch);
        let client = self.client();
        self.floor.ledger_mut().restored(&client, &backup.acknowledged, backup.moment);
        self.open()?;
        self.is_as_backed_up()?;
        for (call, reference, attempts) in sent {
            if self.store.attempts(call).map_err(fault)?.len() < attempts {
                self.lost.sent.insert(reference);
            }
        }
        let era = Era::next(&self.store)?;
        let mut begun = Vec::new();
        let done = self.begin_noting(&mut begun);
        self.eras.push(era.under(&self.contract, begun));
        done
    }

    /// The log ends where it ended in the backup, and goes on under the new epoch.
    fn is_as_backed_up(&self) -> Result<(), Broken> {
        let end = self.store.log_end();
        let held = self.archive.last().map_or(0, |batch| batch.end().offset);
        let epoch = self.lost.epochs.last().copied();
        if end.offset == held && Some(end.epoch) == epoch {
            return Ok(());
        }
        Err(Broken::new("restored", format!("the backup ended at {held}, and what was restored ends at {end}")))
    }

    /// Notes what is going to be lost: what came after the backup. All calls, with the number of their attempts.
    fn lose(&mut self, backup: &Backup) -> Result<Vec<(CallId, Reference, usize)>, Broken> {
        let mut sent = Vec::new();
        let told = check::events(&self.store)?;
        let since = backup.variants.saturating_sub(1);
        self.lost.since = Some(self.lost.since.map_or(since, |before| before.min(since)));
        for told in told {
            for run in self.store.runs_of_event(told.event.id).map_err(fault)? {
                let calls = self.store.calls_of(run.id).map_err(fault)?;
                for call in calls {
                    self.lost.calls.insert(call.reference.clone());
                    sent.push((call.id, call.reference, self.store.attempts(call.id).map_err(fault)?.len()));
                }
                let exceptions = self.store.exceptions_of_run(run.id).map_err(fault)?;
                if !exceptions.is_empty() {
                    self.lost.told.insert(told.event.id);
                }
                if exceptions.iter().any(|row| self.touched.exceptions.contains(&row.id)) {
                    self.lost.acted.insert(told.event.id);
                }
            }
            self.lost.events.insert(told.event.id, told.event);
        }
        Ok(sent)
    }

    /// Who the source is at its broker.
    pub(crate) fn client(&self) -> String {
        format!("andon-{}-{}", self.store.instance(), super::intake::source_name())
    }
}
