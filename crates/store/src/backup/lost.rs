//! What a restore notes: the epoch that begins with it, and what may be lost, or may have been done meanwhile.

use crate::{
    SimDisk, Store, StoreError, db,
    disk::{Disk, FOLDER},
    folder::{self, Format},
    rows::{AuditRow, GapRow, RestoreRow, SourceRow, Write},
};
use andon_model::{Name, Time};
use serde_json::Value as Json;
use std::{collections::BTreeMap, path::Path};

/// Why a source has a gap.
const REASON: &str = "the data folder was restored from a backup: what came after the backup is not in it";

/// Where a project says what its sources are, one file for each.
const SOURCES: &str = "sources/";

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Revisions of the context that a second of lost time is believed to have used up at most.
const REVISIONS_A_SECOND: u64 = 1_000;

/// Who restored what, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// When.
    pub at: Time,
    /// When the backup was taken.
    pub taken: Time,
    /// Who says so.
    pub actor: String,
    /// The particulars, for the chain of what people did.
    pub detail: Json,
}

/// The epoch of a folder that is restored at a time: above those of the backup and of what it replaces, and no other
/// restore at another second has it.
pub fn next_epoch(before: impl IntoIterator<Item = u32>, at: Time) -> u32 {
    let second = u32::try_from(at.0.div_euclid(SECOND)).unwrap_or(0);
    before.into_iter().map(|epoch| epoch.saturating_add(1)).max().unwrap_or(1).max(second)
}

/// Gives a simulated disk that is put back its next epoch, above that of the disk it replaces: for simulations. Open it
/// then, and [note](Store::mark_restored) what was restored.
pub fn next_epoch_of(disk: &SimDisk, replaced: u32, at: Time) -> Result<u32, StoreError> {
    let (disk, dir) = (Disk::Simulated(disk.process()), Path::new(FOLDER));
    let refused = || StoreError::Refused("there is no data folder on the disk".into());
    let format = folder::read_format(&disk, dir)?.ok_or_else(refused)?;
    let epoch = next_epoch([format.epoch, replaced], at);
    folder::write_format(&disk, dir, &Format { epoch, ..format })?;
    Ok(epoch)
}

impl Store {
    /// Notes that the folder was restored, when it is opened for the first time under its new epoch: what it holds
    /// until now may have led to effects that it does not know, and from each source samples may be missing.
    pub fn mark_restored(&self, restored: &Restored) -> Result<RestoreRow, StoreError> {
        let Restored { at, taken, actor, detail } = restored.clone();
        let seconds = u64::try_from(at.0 / SECOND).unwrap_or(0);
        let row = RestoreRow {
            epoch: self.epoch(),
            at,
            taken,
            sequence: self.last_sequence()?,
            end: self.log_end(),
            revision: (self.context_revision()? + 1).max(seconds.saturating_mul(REVISIONS_A_SECOND)),
        };
        let mut writes = vec![Write::Restore(Box::new(row))];
        let mut rows: BTreeMap<Name, SourceRow> =
            self.source_rows()?.into_iter().map(|row| (row.source.clone(), row)).collect();
        for (source, since) in self.since(taken)? {
            let (from, to) = (since.min(taken), at.max(taken));
            // A broker may have forgotten our session in the lost time and made another: what comes from now on until
            // we are connected would be in none, and the answer to our connect would not tell.
            let row = rows.remove(&source).unwrap_or_else(|| never_connected(&source, from));
            writes.push(Write::Source(SourceRow { in_doubt: true, ..row }));
            writes.push(Write::Gap(GapRow { source, from, to, reason: REASON.to_owned() }));
        }
        let (act, subject) = ("folder.restore".to_owned(), self.instance().to_string());
        writes.push(Write::Audit(Box::new(AuditRow { at, actor, act, subject, detail })));
        self.commit(writes)?;
        Ok(row)
    }

    /// All sources, those too that had sent nothing before the backup, each with the time since when something of it
    /// may be missing: what it had not delivered by then came after the backup. That is the time since when it was not
    /// connected, or that of the last that it had brought; of one that keeps no connection that of the backup.
    fn since(&self, taken: Time) -> Result<BTreeMap<Name, Time>, StoreError> {
        let files = self.active_contract()?.map(|row| row.files).unwrap_or_default();
        let named = |path: &String| Name::new(path.strip_prefix(SOURCES)?.strip_suffix(".yaml")?).ok();
        let told = self.source_counts().into_iter().filter(|(_, counts)| counts.received > 0).map(|(source, _)| source);
        let mut since: BTreeMap<Name, Time> =
            files.keys().filter_map(named).chain(told).map(|source| (source, taken)).collect();
        let activity = self.activity()?;
        for row in self.source_rows()? {
            let heard = activity.get(&row.source).and_then(|activity| activity.received).filter(|_| row.connected);
            since.insert(row.source, heard.map_or(row.since, |heard| heard.max(row.since)));
        }
        Ok(since)
    }

    /// The last restore of this folder; `None`: it was never restored.
    pub fn restored(&self) -> Result<Option<RestoreRow>, StoreError> {
        self.ask(db::restored)
    }
}

/// The row of a source that had none when the backup was taken.
fn never_connected(source: &Name, since: Time) -> SourceRow {
    let (source, reason) = (source.clone(), REASON.to_owned());
    SourceRow { source, connected: false, since, reason, code: None, in_doubt: true, filters: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_above_all_before_and_another_each_second() {
        let at = |seconds: i64| Time(seconds * SECOND);
        assert_eq!(next_epoch([1], at(1_800_000_000)), 1_800_000_000);
        assert_eq!(next_epoch([1, 1_900_000_000], at(1_800_000_000)), 1_900_000_001, "a clock that was set back");
        assert_ne!(next_epoch([1], at(1_800_000_000)), next_epoch([1], at(1_800_000_001)));
        assert_eq!(next_epoch([4, 2], at(-5)), 5);
    }
}
