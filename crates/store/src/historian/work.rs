//! One step's work on files: each is written aside, synced, named and its folder synced; then the database lists it.

use super::{
    catalog::{FileRow, Kind, folder, name},
    minutes::MinuteFacts,
    parquet::Facts,
};
use crate::{StoreError, disk::Disk};
use andon_model::{SiteName, Time};
use std::path::{Path, PathBuf};

/// The name of a file while it is written.
pub(crate) const ASIDE: &str = "file.parquet.new";

/// The files of a step that the database does not list yet.
pub(crate) struct Work<'a> {
    /// The data folder.
    data: &'a Path,
    disk: &'a Disk,
    /// What is listed.
    listed: &'a [FileRow],
    now: Time,
    /// What was begun: it goes where the step fails.
    begun: Vec<PathBuf>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(data: &'a Path, disk: &'a Disk, listed: &'a [FileRow], now: Time) -> Self {
        Self { data, disk, listed, now, begun: Vec::new() }
    }

    /// Makes a file of samples.
    pub(crate) fn samples(
        &mut self,
        site: &SiteName,
        day: &str,
        write: impl FnOnce(&Disk, &Path) -> Result<Facts, StoreError>,
    ) -> Result<FileRow, StoreError> {
        self.make(Kind::Samples, site, day, write)
    }

    /// Makes a file of minutes out of those of samples with these facts.
    pub(crate) fn minutes(
        &mut self,
        site: &SiteName,
        day: &str,
        of: &[&Facts],
        write: impl FnOnce(&Disk, &Path) -> Result<MinuteFacts, StoreError>,
    ) -> Result<FileRow, StoreError> {
        self.make(Kind::Minutes, site, day, |disk, aside| {
            let MinuteFacts { rows, bytes } = write(disk, aside)?;
            Ok(Facts { rows, bytes, ..joined(of) })
        })
    }

    fn make(
        &mut self,
        kind: Kind,
        site: &SiteName,
        day: &str,
        write: impl FnOnce(&Disk, &Path) -> Result<Facts, StoreError>,
    ) -> Result<FileRow, StoreError> {
        let dir = folder(self.data, kind, site, day);
        let is_listed = |row: &FileRow| row.kind == kind && row.site == *site && row.day == day;
        if !self.listed.iter().any(is_listed) {
            self.make_dir(&dir)?;
        }
        // What is in the file gives it its name, and is known only once it is written.
        let aside = dir.join(ASIDE);
        self.begun.push(aside.clone());
        let facts = write(self.disk, &aside)?;
        let taken = |name: &str| {
            self.listed.iter().any(|row| row.kind == kind && row.site == *site && row.day == day && row.name == name)
        };
        let names = (0..=u32::MAX).map(|again| name(facts.first_position, facts.last_position, again));
        // Of a day with a missing file it lies there what nobody lists: it may be what a person needs.
        let name = names
            .into_iter()
            .find(|name| !taken(name) && !self.disk.exists(&dir.join(name)))
            .expect("there are fewer files than numbers");
        let path = dir.join(&name);
        self.begun.push(path.clone());
        self.disk.publish(&aside, &path)?;
        Ok(FileRow { kind, site: site.clone(), day: day.to_owned(), name, made: self.now, facts })
    }

    /// Makes a folder with those above it, all durable: one that is there may have been made by a process that ended
    /// before it was. That of a listed file is durable.
    fn make_dir(&self, dir: &Path) -> Result<(), StoreError> {
        self.disk.make_dir(dir)?;
        let mut above = dir.ancestors().skip(1).take_while(|above| above.starts_with(self.data));
        above.try_for_each(|above| self.disk.sync_dir(above))
    }

    /// The step has failed: what it began is to go.
    pub(crate) fn into_litter(self) -> Vec<PathBuf> {
        self.begun
    }
}

/// What several files hold together.
pub(crate) fn joined(of: &[&Facts]) -> Facts {
    let mut all: Option<Facts> = None;
    for facts in of {
        all = Some(match all {
            None => (*facts).clone(),
            Some(all) => Facts {
                rows: all.rows + facts.rows,
                bytes: all.bytes + facts.bytes,
                first_time: all.first_time.min(facts.first_time),
                last_time: all.last_time.max(facts.last_time),
                newest_received: all.newest_received.max(facts.newest_received),
                first_signal: all.first_signal.min(facts.first_signal.clone()),
                last_signal: all.last_signal.max(facts.last_signal.clone()),
                first_position: all.first_position.min(facts.first_position),
                last_position: all.last_position.max(facts.last_position),
            },
        });
    }
    all.unwrap_or_default()
}
