//! The states of rules in the file beside the log.

use super::{Place, Store, looking};
use crate::{
    StoreError,
    disk::Disk,
    rows::RuleStateRow,
    states::{self, Image, KeptState, StatesFile, Target},
};
use andon_model::Position;
use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

impl Store {
    /// Keeps all rule states in a file beside the log, replacing those before as a whole; durable when it returns.
    pub fn write_states(&self, states: &[RuleStateRow]) -> Result<(), StoreError> {
        let from = states.iter().map(|row| row.position).min().unwrap_or_else(|| self.log_start());
        let write = || {
            let mut file = self.begin_states(from)?;
            for row in states {
                file.put(&row.rule, &row.asset, &row.version, row.position, |bytes| {
                    bytes.extend_from_slice(row.state.to_string().as_bytes());
                });
            }
            self.finish_states(file)
        };
        match write() {
            // The reserve was released: there is room now.
            Err(error) if error.is_full() && self.data().is_some() => write(),
            outcome => outcome,
        }
    }

    /// Begins a file of states beside the one that counts: no state in it will have read less than `from`.
    pub fn begin_states(&self, from: Position) -> Result<StatesFile, StoreError> {
        let target = match &self.0.place {
            Place::Memory(kept, _) => Target::Memory(kept.clone()),
            Place::Folder(folder) => Target::Folder(Arc::clone(folder)),
            Place::Look(_) => return Err(looking()),
        };
        self.released(StatesFile::begin(target, from))
    }

    /// Hands over a slice, waiting where the disk is behind; see [`StatesFile::is_ready`].
    pub fn add_states(&self, file: &mut StatesFile) -> Result<(), StoreError> {
        self.released(file.flush())
    }

    /// Hands over what is left; see [`StatesFile::close`].
    pub fn close_states(&self, file: &mut StatesFile) -> Result<(), StoreError> {
        self.released(file.close())
    }

    /// Lets the file of states replace the one before; durable when it returns.
    pub fn finish_states(&self, file: StatesFile) -> Result<(), StoreError> {
        let finished = self.faulty(|| file.finish());
        self.released(finished)
    }

    /// States are a control write: the reserve is there for them, and the next try finds it.
    fn released<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let (Err(error), Place::Folder(folder)) = (&outcome, &self.0.place)
            && error.is_full()
        {
            folder.room.exhausted();
        }
        outcome
    }

    /// The rule states kept last, as they lie in the file; none where there are none.
    pub fn kept_states(&self) -> Result<Vec<KeptState>, StoreError> {
        if let Some((disk, dir)) = self.data() {
            let path = states::path(dir);
            return Image::read(disk, &path)?.states(&path);
        }
        let Place::Memory(kept, _) = &self.0.place else { return Ok(Vec::new()) };
        let bytes = kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let path = Path::new("the states in memory");
        Image::of(path, bytes)?.states(path)
    }

    /// The rule states kept last, as the database keeps them; none where there are none.
    pub fn read_states(&self) -> Result<Vec<RuleStateRow>, StoreError> {
        let row = |kept: KeptState| {
            let what = format!("the rule {} of {}", kept.rule, kept.asset);
            let path = self.data().map_or_else(|| "states".into(), |(_, dir)| states::path(dir));
            kept.into_row().map_err(|e| StoreError::corrupt(&path, 0, format!("{what}: {e}")))
        };
        self.kept_states()?.into_iter().map(row).collect()
    }

    /// The place from which on the log is needed by rules: their oldest state in the file; `None` where there is none.
    pub(crate) fn oldest_state(&self) -> Result<Option<Position>, StoreError> {
        match self.data() {
            Some((disk, dir)) => states::oldest(disk, &states::path(dir)),
            None => Ok(self.kept_states()?.iter().map(|kept| kept.position).min()),
        }
    }
}

/// How far the states of rules have read, each with its name; of those of the file the farthest.
pub(super) fn read_so_far(
    database: &[RuleStateRow],
    disk: &Disk,
    dir: &Path,
) -> Result<Vec<(String, Position)>, StoreError> {
    let named = |rule: &str, asset: &str| format!("the rule {rule} of {asset}");
    let mut read: Vec<_> =
        database.iter().map(|row| (named(row.rule.as_str(), row.asset.as_str()), row.position)).collect();
    let path = states::path(dir);
    let mut farthest = Position::default();
    Image::read(disk, &path)?.each(&path, |row| {
        // Of an epoch or at an offset that none before had.
        if row.position.epoch > farthest.epoch || row.position.offset > farthest.offset {
            farthest.epoch = farthest.epoch.max(row.position.epoch);
            farthest.offset = farthest.offset.max(row.position.offset);
            read.push((named(row.rule, row.asset), row.position));
        }
        Ok(())
    })?;
    Ok(read)
}
