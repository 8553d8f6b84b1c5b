//! How the process ends and begins.

use super::{Broken, World, disk, fault, intake};
use crate::{
    chance::Chance,
    check::Era,
    office::Dialect,
    project::{self, Variant},
};
use andon_contract::Contract;
use andon_events::StartError;
use andon_model::Time;
use andon_store::{
    Store, StoreError,
    rows::{ContractRow, Write},
};
use std::sync::Arc;

/// A start may fail like every write; it is then tried again so often.
const STARTS_MAX: u32 = 10;

impl World {
    /// The process ends without a word and starts again.
    pub(super) fn kill(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        self.seen.count("crash: killed");
        self.tell(format_args!("the process is killed"));
        self.disk.kill();
        self.end(chance);
        self.begin()
    }

    /// The power fails, and the process starts again.
    pub(super) fn power_cut(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        self.seen.count("crash: power cut");
        self.tell(format_args!("the power fails"));
        self.disk.power_cut(chance.draw());
        self.end(chance);
        self.begin()
    }

    /// Where the process has ended in an operation of its disk, or ends because its log has stopped, another starts.
    pub(super) fn revive(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        if self.disk.crashes() == self.process {
            let Some(why) = self.store.stopped() else { return Ok(()) };
            self.seen.count("end: the log has stopped");
            self.tell(format_args!("the process ends itself: {why}"));
            self.disk.kill();
        } else {
            self.tell(format_args!("the process has ended"));
        }
        self.end(chance);
        self.begin()
    }

    /// The process stops cleanly, as far as it gets, and starts again.
    pub(super) fn stop(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        self.seen.count("clean stop");
        self.tell(format_args!("the process stops"));
        self.close(chance);
        self.begin()
    }

    /// The project is another from here on; what was is stopped cleanly or killed.
    pub(super) fn take_up(&mut self, variant: Variant, chance: &mut Chance) -> Result<(), Broken> {
        if chance.percent(70) {
            self.close(chance);
        } else {
            self.tell(format_args!("the process is killed"));
            self.disk.kill();
            self.end(chance);
        }
        self.contract = project::contract(variant).map_err(fault)?;
        self.variant = variant;
        self.variants.push(variant);
        self.open()?;
        let era = Era::next(&self.store)?;
        let mut begun = Vec::new();
        let done = self.begin_noting(&mut begun);
        self.eras.push(era.under(&self.contract, begun));
        done
    }

    /// Nobody hears of what is on its way any more.
    pub(super) fn end(&mut self, chance: &mut Chance) {
        self.office.hang_up(chance, self.truth);
    }

    /// Whatever fails here is as if the process had been killed.
    fn close(&mut self, chance: &mut Chance) {
        self.bring_answers();
        self.store.settle();
        self.stop_source();
        let now = self.now();
        let done = self.events.stop().and_then(|()| self.workflows.close(now)).and_then(|()| self.store.end_cleanly());
        if let Err(error) = done {
            self.tell(format_args!("the stop fails: {error}"));
        }
        self.disk.kill();
        self.end(chance);
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.open()?;
        self.begin_noting(&mut Vec::new())
    }

    /// Another process takes the data folder.
    pub(super) fn open(&mut self) -> Result<(), Broken> {
        let mut last = None;
        for _ in 0..STARTS_MAX {
            self.process = self.disk.crashes();
            match disk::open(&self.disk, &mut self.lives) {
                Ok(store) => {
                    self.store = store;
                    return self.nothing_vanished();
                }
                Err(error @ (StoreError::Full { .. } | StoreError::Stopped(_) | StoreError::Io { .. })) => {
                    self.tell(format_args!("the process does not start: {error}"));
                    last = Some(error);
                    self.disk.kill();
                }
                Err(error) => return Err(fault(format_args!("the data folder does not open: {error}"))),
            }
        }
        if std::mem::take(&mut self.full) {
            // A person makes room.
            self.disk.set_capacity(None);
            return self.open();
        }
        Err(fault(format_args!("the data folder does not open: {last:?}")))
    }

    pub(super) fn begin_noting(&mut self, begun: &mut Vec<Time>) -> Result<(), Broken> {
        let now = self.now();
        for _ in 0..STARTS_MAX {
            if self.disk.crashes() != self.process {
                self.open()?;
            }
            begun.push(now);
            let started = self
                .store
                .take_up(now)
                .and_then(|_| activate(&self.store, &self.contract, now))
                .map_err(StartError::Store)
                .and_then(|()| rules(&self.store, &self.contract, now));
            match started {
                Ok(events) => {
                    self.events = events;
                    self.workflows = runs(&self.store, &self.contract);
                    self.keeper = disk::keeper(&self.store, self.kept);
                    let started = intake::start(&self.store, &self.contract, &mut self.sources, now);
                    if self.disk.crashes() != self.process {
                        continue;
                    }
                    self.source = started?;
                    let at = self.events.position().offset;
                    self.tell(format_args!("the process starts; the rules go on at {at}"));
                    return Ok(());
                }
                Err(StartError::Store(
                    error @ (StoreError::Full { .. } | StoreError::Stopped(_) | StoreError::Io { .. }),
                )) => self.tell(format_args!("the process does not start: {error}")),
                Err(error) => return Err(fault(format_args!("the rules do not start: {error}"))),
            }
        }
        if std::mem::take(&mut self.full) {
            self.disk.set_capacity(None);
            return self.begin_noting(begun);
        }
        Err(fault("the rules do not start"))
    }
}

/// Keeps the contract, unless it is the active one already, as an instance does it.
pub(super) fn activate(store: &Store, contract: &Contract, now: Time) -> Result<(), StoreError> {
    if store.active_contract()?.is_some_and(|row| row.revision == contract.revision) {
        return Ok(());
    }
    let (revision, files) = (contract.revision.clone(), contract.files.clone());
    store.commit(vec![Write::Contract(Box::new(ContractRow { revision, activated: now, files }))]).map(drop)
}

pub(super) fn rules(store: &Store, contract: &Arc<Contract>, now: Time) -> Result<andon_events::Loop, StartError> {
    andon_events::Loop::new(store.clone(), Arc::clone(contract), now)
}

pub(super) fn runs(store: &Store, contract: &Arc<Contract>) -> andon_workflows::Loop {
    andon_workflows::Loop::new(store.clone(), Arc::clone(contract), Arc::new(Dialect), Box::new(project::of_files))
}
