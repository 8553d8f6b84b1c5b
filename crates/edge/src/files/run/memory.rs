//! What the store and the log remember of files.

use super::{Known, Loop, RETRY_STORE, Seen};
use andon_model::{Entry, Mark, Position, SiteName};
use andon_store::{
    StoreError,
    rows::{IntakeRow, Write},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the store remembers of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    /// Its name.
    pub(super) name: String,
    /// Its bytes.
    pub(super) size: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub(super) changed: i128,
    /// SHA-256 of its bytes, hexadecimal.
    pub(super) hash: String,
    /// Rows that were taken, from the first of the file.
    pub(super) rows: u64,
    /// Rows before this are set aside where they were to be.
    pub(super) aside: u64,
    /// How it ended.
    pub(super) result: Ended,
    /// Its entries lie in the log from here on.
    #[serde(default)]
    pub(super) from: Position,
    /// Before this; the same place while it is read.
    #[serde(default)]
    pub(super) to: Position,
}

impl Taken {
    /// The file as it was.
    pub(super) fn was(&self) -> Known {
        let seen = Seen { size: self.size, changed: self.changed };
        Known { seen, hash: self.hash.clone(), prefix: None }
    }
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ended {
    /// It is being read.
    Reading,
    /// All its rows are durable.
    Whole,
    /// The same bytes were taken under another name.
    Copy,
    /// It cannot be read to its end.
    Failed,
}

/// How far a file was taken.
pub(super) struct Progress {
    /// The row at which this began.
    pub(super) start: u64,
    /// From here on the log says more of it.
    pub(super) position: Position,
    /// The first row that is not durable.
    pub(super) from: u64,
    /// By site: the row behind the last durable one.
    pub(super) durable: BTreeMap<SiteName, u64>,
    /// Rows before this are set aside where they are to be.
    pub(super) aside: u64,
}

impl Progress {
    fn new(start: u64, position: Position) -> Self {
        Self { start, position, from: start, durable: BTreeMap::new(), aside: 0 }
    }
}

impl Loop {
    /// How far a file was taken, from the log; a file that is begun is written down. `None`: the source was stopped.
    pub(super) fn progress(&mut self, name: &str, of: &str, known: &Known, start: u64) -> Option<Progress> {
        loop {
            let read = self.store.intake(&self.name, of).and_then(|row| match row {
                // Its place stays: what the log says behind it of other sites is needed until the file is over.
                Some(row) if row.open => self.in_log(&row),
                row => {
                    let before = row.and_then(|row| serde_json::from_value::<Taken>(row.state).ok());
                    let rows = before.map_or(start, |taken| taken.rows.max(start));
                    let progress = Progress::new(rows, self.store.log_end());
                    self.store.commit(vec![self.reading(of, name, known, &progress)])?;
                    Ok(progress)
                }
            });
            match read {
                Ok(progress) => {
                    self.know(taken_of(name, known, progress.start, progress.aside, Ended::Reading));
                    return Some(progress);
                }
                Err(error) => self.tell(self.connected, &error.to_string()),
            }
            if self.shared.stopped() {
                return None;
            }
            self.shared.wait(RETRY_STORE);
        }
    }

    /// The rows that were taken of a file that is not what it was any more; what was being read of it is over, as the
    /// result says. `None`: the store does not say, or the source was stopped.
    pub(super) fn ended(&mut self, taken: &Taken, result: Ended) -> Option<u64> {
        let rows = self.rows_in_log(taken)?;
        if taken.result != Ended::Reading {
            return Some(rows);
        }
        self.close(&taken.name, &taken.was(), rows, result).then_some(rows)
    }

    /// The rows that are durable of a file; `None`: the store does not say.
    pub(super) fn rows_in_log(&self, taken: &Taken) -> Option<u64> {
        if taken.result != Ended::Reading {
            return Some(taken.rows);
        }
        let of = self.of(&taken.name, &taken.was());
        match self.store.intake(&self.name, &of).ok()? {
            Some(row) => Some(self.in_log(&row).ok()?.from),
            None => Some(taken.rows),
        }
    }

    /// How far the log says that a file was taken that is being read.
    fn in_log(&self, row: &IntakeRow) -> Result<Progress, StoreError> {
        let taken = serde_json::from_value::<Taken>(row.state.clone()).ok();
        let mut progress = Progress::new(taken.as_ref().map_or(0, |taken| taken.rows), row.position);
        progress.aside = taken.map_or(0, |taken| taken.aside);
        let mut at = row.position.max(self.store.log_start());
        let home = self.core.intake.home_name();
        while let Some(batch) = self.store.read(at)? {
            if batch.part.source == self.name {
                for entry in &batch.part.entries {
                    let Entry::Mark(Mark::Rows { of, to, .. }) = entry else { continue };
                    if *of != row.of {
                        continue;
                    }
                    let durable = progress.durable.entry(batch.part.site.clone()).or_default();
                    *durable = (*durable).max(*to);
                    if Some(&batch.part.site) == home {
                        progress.from = progress.from.max(*to);
                    }
                }
            }
            if batch.end() <= at {
                break;
            }
            at = batch.end();
        }
        Ok(progress)
    }

    /// The row of a file that is being read.
    pub(super) fn reading(&self, of: &str, name: &str, known: &Known, progress: &Progress) -> Write {
        let taken = taken_of(name, known, progress.start, progress.aside, Ended::Reading);
        self.intake(of, progress.position, Taken { from: progress.position, to: progress.position, ..taken })
    }

    fn intake(&self, of: &str, position: Position, taken: Taken) -> Write {
        Write::Intake(Box::new(IntakeRow {
            source: self.name.clone(),
            of: of.to_owned(),
            position,
            open: taken.result == Ended::Reading,
            updated: self.clock.now(),
            state: serde_json::to_value(taken).unwrap_or_default(),
        }))
    }

    /// Writes down how a file ended; false where the source was stopped before.
    pub(super) fn close(&mut self, name: &str, known: &Known, rows: u64, result: Ended) -> bool {
        let of = self.of(name, known);
        let to = self.store.log_end();
        let before = self.store.intake(&self.name, &of).ok().flatten();
        let from =
            before.and_then(|row| serde_json::from_value::<Taken>(row.state).ok()).map_or(to, |taken| taken.from);
        let taken = Taken { from, to, ..taken_of(name, known, rows, rows, result) };
        let write = self.intake(&of, to, taken.clone());
        self.core.intake.write(write);
        let durable = self.make_durable();
        if durable {
            self.know(taken);
        }
        durable
    }
}

fn taken_of(name: &str, known: &Known, rows: u64, aside: u64, result: Ended) -> Taken {
    let Seen { size, changed } = known.seen;
    let hash = known.hash.clone();
    let places = Position::default();
    Taken { name: name.to_owned(), size, changed, hash, rows, aside, result, from: places, to: places }
}
