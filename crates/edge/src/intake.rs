//! What a source without acknowledgements has read and not yet made durable: parts of the log by site, messages set
//! aside, and the window of duplicates. What could not be stored stays and is tried again.

use crate::{
    duplicates::Duplicates,
    mapping::{Incoming, Read},
    problem::Problem,
    source::{GROUP_BYTES_MAX, GROUP_ENTRIES_MAX, Quarantine},
};
use andon_contract::contract::Contract;
use andon_model::{
    Entry, Mark, Name, SiteName, Time,
    sample::{Counts, Part},
};
use andon_store::{Store, StoreError, rows::Write};
use std::sync::Arc;

/// What was read and is not durable.
pub(crate) struct Intake {
    contract: Arc<Contract>,
    name: Name,
    sites: Vec<SiteName>,
    home: usize,
    window: Duplicates,
    parts: Vec<Part>,
    quarantine: Quarantine,
    /// Further rows that become durable with the quarantine.
    writes: Vec<Write>,
    entries: usize,
    bytes: usize,
}

impl Intake {
    /// An empty one for a source; `None` where the contract has no site.
    pub(crate) fn new(contract: Arc<Contract>, name: &Name, window: Duplicates) -> Option<Self> {
        let sites: Vec<SiteName> = contract.sites.keys().cloned().collect();
        let first = contract.assets.values().find(|asset| asset.addresses.contains_key(name));
        let site = first.or_else(|| contract.assets.values().next()).map(|asset| &asset.site);
        let home = site.and_then(|site| sites.iter().position(|s| s == site)).unwrap_or(0);
        (!sites.is_empty()).then_some(())?;
        Some(Self {
            contract,
            name: name.clone(),
            sites,
            home,
            window,
            parts: Vec::new(),
            quarantine: Quarantine::default(),
            writes: Vec::new(),
            entries: 0,
            bytes: 0,
        })
    }

    /// The number of a site.
    pub(crate) fn site(&self, site: &SiteName) -> usize {
        self.sites.iter().position(|s| s == site).unwrap_or(self.home)
    }

    /// The site that is meant where nothing says which.
    pub(crate) fn home_name(&self) -> Option<&SiteName> {
        self.sites.get(self.home)
    }

    /// Whether something is set aside that is not durable.
    pub(crate) fn has_quarantine(&self) -> bool {
        !self.quarantine.is_empty()
    }

    /// The contract.
    pub(crate) fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    /// Begins the window anew, and nothing else.
    pub(crate) fn set_window(&mut self, window: Duplicates) {
        self.window = window;
    }

    /// Takes a sample of a site.
    pub(crate) fn sample(&mut self, site: usize, read: Read) {
        let Read { sample, claimed } = read;
        let is_new = claimed.is_none_or(|time| self.window.see(&sample, time).is_some());
        let part = self.part(site);
        part.counts.received += 1;
        if is_new {
            part.counts.stored += 1;
            part.entries.push(Entry::Sample(sample));
            self.entries += 1;
        } else {
            part.counts.duplicate += 1;
        }
    }

    /// Sets something aside.
    pub(crate) fn problem(
        &mut self,
        site: Option<usize>,
        problem: &Problem,
        place: &str,
        bytes: &[u8],
        received: Time,
    ) {
        let counts = &mut self.part(site.unwrap_or(self.home)).counts;
        counts.received += 1;
        counts.quarantined += 1;
        let name = site.and_then(|site| self.sites.get(site));
        let message = Incoming { topic: place, payload: bytes, retained: false, received };
        self.quarantine.add(&self.contract, &self.name, name, problem, message);
        self.bytes += bytes.len();
    }

    /// Counts what is not wanted.
    pub(crate) fn refused(&mut self, count: u64) {
        let counts = &mut self.part(self.home).counts;
        counts.received += count;
        counts.refused += count;
    }

    /// Puts a mark behind what was taken so far, for the site that is meant where nothing says which.
    pub(crate) fn mark(&mut self, mark: Mark) {
        let home = self.home;
        self.part(home).entries.push(Entry::Mark(mark));
        self.entries += 1;
    }

    /// Says which rows what was taken so far comes from: the mark stands before the samples of each site, and the site
    /// that is meant where nothing says which comes last, so that its mark stands for all of them.
    pub(crate) fn rows(&mut self, of: &str, from: u64, to: u64) {
        let home = self.home;
        self.part(home);
        for part in &mut self.parts {
            part.entries.insert(0, Entry::Mark(Mark::Rows { of: of.to_owned(), from, to }));
            self.entries += 1;
        }
        let home = self.sites.get(home).cloned();
        if let Some(at) = self.parts.iter().position(|part| Some(&part.site) == home.as_ref()) {
            let last = self.parts.remove(at);
            self.parts.push(last);
        }
    }

    /// Counts what was set aside before a crash and is durable already.
    pub(crate) fn known_problem(&mut self, site: Option<usize>) {
        let counts = &mut self.part(site.unwrap_or(self.home)).counts;
        counts.received += 1;
        counts.quarantined += 1;
    }

    /// A row that becomes durable before the samples.
    pub(crate) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Forgets everything that is not durable: it will be read again.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.quarantine = Quarantine::default();
        self.writes.clear();
        self.entries = 0;
        self.bytes = 0;
    }

    /// Whether there is nothing to store.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.quarantine.is_empty() && self.writes.is_empty()
    }

    /// Whether it is to be stored before more is read.
    pub(crate) fn is_full(&self) -> bool {
        self.entries >= GROUP_ENTRIES_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    /// Makes everything durable: first what is set aside, then marks and samples. After an error what is not durable
    /// is still here, and the same call tries again.
    pub(crate) fn store(&mut self, store: &Store) -> Result<Counts, StoreError> {
        if !self.quarantine.is_empty() || !self.writes.is_empty() {
            let mut writes = std::mem::take(&mut self.quarantine).into_writes();
            writes.append(&mut self.writes);
            if let Err(error) = store.commit(writes.clone()) {
                self.writes = writes;
                return Err(error);
            }
        }
        let mut counts = Counts::default();
        if !self.parts.is_empty() {
            store.append(self.parts.clone())?;
            self.parts.iter().for_each(|part| counts.add(&part.counts));
            self.parts.clear();
        }
        self.entries = 0;
        self.bytes = 0;
        Ok(counts)
    }

    /// What was taken since the last call, for a caller that stores it by itself; rows to be written are left out.
    pub(crate) fn take(&mut self) -> (Vec<Part>, Quarantine) {
        self.entries = 0;
        self.bytes = 0;
        self.writes.clear();
        (std::mem::take(&mut self.parts), std::mem::take(&mut self.quarantine))
    }

    fn part(&mut self, site: usize) -> &mut Part {
        let site = self.sites.get(site).or_else(|| self.sites.get(self.home)).expect("a contract has a site");
        let at = self.parts.iter().position(|part| part.site == *site).unwrap_or_else(|| {
            self.parts.push(Part::new(site.clone(), self.name.clone()));
            self.parts.len() - 1
        });
        self.parts.get_mut(at).expect("a part was put at its place")
    }
}
