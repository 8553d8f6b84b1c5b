//! The files of the historian as the database lists them: what is listed is there, and nothing else counts.

use super::{last::Newest, parquet::Facts};
use crate::GapRow;
use andon_model::{Name, Position, SiteName, Time};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Samples.
    Samples,
    /// One-minute summaries.
    Minutes,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Samples, Self::Minutes];

    /// The word in the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Minutes => "minutes",
        }
    }

    /// The folder of such files within the data folder. They are apart so that whoever reads all of `historian/` finds
    /// samples only.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Samples => "historian",
            Self::Minutes => "minutes",
        }
    }
}

/// A file that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileRow {
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whose samples.
    pub(crate) site: SiteName,
    /// The UTC day of their source times, `2026-11-25`.
    pub(crate) day: String,
    /// The name of the file: `<epoch>-<first offset>-<last offset>.parquet`.
    pub(crate) name: String,
    /// When it was written.
    pub(crate) made: Time,
    /// What is in it. Those of minutes are of the samples they were made of, but for rows and bytes.
    pub(crate) facts: Facts,
}

impl FileRow {
    /// Its folder.
    pub(crate) fn folder(&self, data: &Path) -> PathBuf {
        folder(data, self.kind, &self.site, &self.day)
    }

    /// Its path.
    pub(crate) fn path(&self, data: &Path) -> PathBuf {
        self.folder(data).join(&self.name)
    }
}

/// The folder of a day of a site.
pub(crate) fn folder(data: &Path, kind: Kind, site: &SiteName, day: &str) -> PathBuf {
    data.join(kind.folder()).join(format!("site={site}")).join(format!("date={day}"))
}

/// The name of a file that holds these places; `again` tells apart files for which that is not enough.
pub(crate) fn name(first: Position, last: Position, again: u32) -> String {
    let Position { epoch, offset } = first;
    match again {
        0 => format!("{epoch}-{offset}-{}.parquet", last.offset),
        _ => format!("{epoch}-{offset}-{}-{again}.parquet", last.offset),
    }
}

/// Whether a name is one that [`name`] gives.
pub(crate) fn is_ours(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".parquet") else { return false };
    let number = |part: &str| !part.is_empty() && part.len() <= 20 && part.bytes().all(|byte| byte.is_ascii_digit());
    (3..=4).contains(&stem.split('-').count()) && stem.split('-').all(number)
}

/// What one step of the historian changes in the database, all or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// Files that are there from now on.
    pub(crate) add: Vec<FileRow>,
    /// Files that are not there any more.
    pub(crate) remove: Vec<FileRow>,
    /// The log is sealed from the one place to the other.
    pub(crate) sealed: Option<(Position, Position)>,
    /// What is newest in the samples that were sealed.
    pub(crate) newest: Newest,
    /// Samples that are not kept since a later one says as much, by source.
    pub(crate) reduced: BTreeMap<Name, u64>,
    /// Samples that age or size removed, by site.
    pub(crate) expired: BTreeMap<SiteName, u64>,
    /// Samples that a full disk removed before rules had read them, by source.
    pub(crate) dropped: BTreeMap<Name, u64>,
    /// Everything before this place of the log that rules have not read is among the dropped.
    pub(crate) missed: Option<Position>,
    /// What is missing from now on.
    pub(crate) gaps: Vec<GapRow>,
}

/// Which files are asked for; the default is all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Which<'a> {
    /// Of this kind.
    pub(crate) kind: Option<Kind>,
    /// That may hold this signal, `asset/signal`.
    pub(crate) signal: Option<&'a str>,
    /// With source times at or after this.
    pub(crate) from: Option<Time>,
    /// With source times before this.
    pub(crate) to: Option<Time>,
    /// That may hold this place.
    pub(crate) position: Option<Position>,
}

/// What is sealed, at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Everything before this place of the log is in the files, and nothing behind it. `None`: nothing is sealed yet.
    pub(crate) place: Option<Position>,
    /// The files that were asked for, by day and name.
    pub(crate) files: Vec<FileRow>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_again_and_others_are_not_ours() {
        let at = |offset| Position { epoch: 2, offset };
        assert_eq!(name(at(0), at(41), 0), "2-0-41.parquet");
        for ours in [name(at(0), at(41), 0), name(at(7), at(u64::MAX), 3)] {
            assert!(is_ours(&ours), "{ours}");
        }
        for foreign in ["2-0.parquet", "a-0-41.parquet", "2-0-41.csv", "2--41.parquet", "1-2-3-4-5.parquet", ".parquet"]
        {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }
}
