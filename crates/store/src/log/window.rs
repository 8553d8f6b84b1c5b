//! The file `log/window`: of each source its newest batches that are in no segment any more.
//!
//! A source that repeats what it said is found out by its last 65,536 samples. They are read from the log at a start,
//! also when the segments they came in are gone: before a segment goes, what is needed of it is copied here. The file
//! begins like a segment; its frames are those of the segments, in their order, with holes between.

use super::{
    index::{self, Index, Spot},
    segment::{Header, Segment},
};
use crate::{
    StoreError,
    disk::{Disk, Mode},
};
use andon_model::{InstanceId, Name, Offset, Position, sample::Batch};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Samples of a source that are kept when their segments go.
pub(crate) const SAMPLES: u64 = 65_536;

/// The name of the file while it is written.
pub(crate) const ASIDE: &str = "window.new";

/// Segments whose indexes are remembered.
const INDEXES_MAX: usize = 4;

/// How often the segments are listed anew because one of them has gone.
const TRIES: u32 = 16;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 256 << 10;

/// The newest batches of sources: in segments, and in the file beside them.
pub(crate) struct Newest {
    disk: Disk,
    log: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Of the newest segments that were asked for, by their first entry.
    segments: VecDeque<(Offset, Index)>,
    /// Of the file, with the place that its header names; `None`: not read yet.
    window: Option<(Position, Index)>,
}

/// Where the log stands when its newest batches are asked for.
pub(crate) struct Standing {
    /// The place of the next entry.
    pub(crate) end: Offset,
    /// Samples stored per source since the folder exists.
    pub(crate) stored: BTreeMap<Name, u64>,
}

impl Newest {
    /// In a folder of segments.
    pub(crate) fn new(disk: Disk, log: &Path) -> Self {
        Self { disk, log: log.to_owned(), known: Mutex::default() }
    }

    /// The newest batches of a source that hold at least so many samples, oldest first; fewer where there are no more.
    pub(crate) fn read(&self, source: &Name, samples: u64, standing: &Standing) -> Result<Vec<Arc<Batch>>, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_read(source, samples, standing) {
                // A segment went since they were listed: what is needed of it is in the file now.
                Err(error) if error.is_gone() && tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    fn try_read(&self, source: &Name, samples: u64, standing: &Standing) -> Result<Vec<Arc<Batch>>, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stored = standing.stored.get(source).copied().unwrap_or(0);
        let firsts = super::segment::list(&self.disk, &self.log)?;
        let mut missing = samples;
        let mut found = VecDeque::new();
        for &first in firsts.iter().rev() {
            if missing == 0 || stored == 0 {
                break;
            }
            let mut segment = Segment::open(&self.disk, &self.log, first, Mode::Read)?;
            let before = segment.header.counts.get(source).map_or(0, |counts| counts.stored);
            // Nothing of this source came in it.
            if std::mem::replace(&mut stored, before) == before {
                continue;
            }
            let spots = known.spots(&mut segment, first, standing.end, source)?;
            missing = prepend(&mut found, &mut segment, &spots, missing)?;
        }
        if missing > 0
            && let Some(mut segment) = open(&self.disk, &self.log)?
        {
            let first = firsts.first().copied().unwrap_or(standing.end);
            // A crash may have left the segments that the file was to stand for.
            let mut spots = known.window(&mut segment)?.spots.get(source).cloned().unwrap_or_default();
            spots.retain(|spot| spot.end <= first);
            prepend(&mut found, &mut segment, &spots, missing)?;
        }
        Ok(found.into())
    }

    /// Copies what is needed of the segments `gone`, the oldest ones, beside the log. `next` is the place at which the
    /// segment behind them begins, `behind` the samples that each source has stored since.
    pub(crate) fn keep(
        &self,
        gone: &[Offset],
        next: Position,
        instance: InstanceId,
        behind: &BTreeMap<Name, u64>,
    ) -> Result<(), StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = gone.first().copied().unwrap_or(next.offset);
        let mut parts = Vec::new();
        if let Some(mut segment) = open(&self.disk, &self.log)? {
            let mut index = known.window(&mut segment)?.clone();
            index.spots.values_mut().for_each(|spots| spots.retain(|spot| spot.end <= oldest));
            parts.push((segment, index));
        }
        for &first in gone {
            let mut segment = Segment::open(&self.disk, &self.log, first, Mode::Read)?;
            let mut index = Index::new(&segment);
            index.grow(&mut segment, None)?;
            parts.push((segment, index));
        }
        let aside = self.log.join(ASIDE);
        let header = Header { instance, first: next, counts: BTreeMap::new() };
        let written = write(&self.disk, &aside, &mut parts, &header, behind);
        if let Err(error) = written.and_then(|()| self.disk.publish(&aside, &path(&self.log))) {
            // On a full disk it would only take more room.
            drop(self.disk.remove(&aside));
            return Err(error);
        }
        known.window = None;
        known.segments.retain(|(first, _)| *first >= next.offset);
        Ok(())
    }
}

impl Known {
    fn spots(
        &mut self,
        segment: &mut Segment,
        first: Offset,
        end: Offset,
        source: &Name,
    ) -> Result<Vec<Spot>, StoreError> {
        let mut index = match self.segments.iter().position(|(known, _)| *known == first) {
            Some(at) => self.segments.remove(at).expect("it was just found there").1,
            None => Index::new(segment),
        };
        index.grow(segment, Some(end))?;
        let spots = index.spots.get(source).cloned().unwrap_or_default();
        self.segments.push_back((first, index));
        if self.segments.len() > INDEXES_MAX {
            self.segments.pop_front();
        }
        Ok(spots)
    }

    fn window(&mut self, segment: &mut Segment) -> Result<&Index, StoreError> {
        // Who only looks is not told when the file is replaced; its place rises each time.
        let place = segment.header.first;
        if self.window.as_ref().is_none_or(|(of, _)| *of != place) {
            let mut index = Index::new(segment);
            index.grow(segment, None)?;
            self.window = Some((place, index));
        }
        Ok(&self.window.as_ref().expect("it was just read").1)
    }
}

/// Puts the newest of these batches before those that were found; how many samples are missing then.
fn prepend(
    found: &mut VecDeque<Arc<Batch>>,
    segment: &mut Segment,
    spots: &[Spot],
    missing: u64,
) -> Result<u64, StoreError> {
    let (taken, missing) = index::newest(spots, missing);
    // In the order of the file, which is read in windows.
    let batches = taken.iter().map(|spot| index::batch(segment, *spot)).collect::<Result<Vec<_>, _>>()?;
    batches.into_iter().rev().for_each(|batch| found.push_front(batch));
    Ok(missing)
}

pub(super) fn path(log: &Path) -> PathBuf {
    log.join("window")
}

fn open(disk: &Disk, log: &Path) -> Result<Option<Segment>, StoreError> {
    let path = path(log);
    if disk.exists(&path) { Segment::open_path(disk, path, Mode::Read).map(Some) } else { Ok(None) }
}

fn write(
    disk: &Disk,
    aside: &Path,
    parts: &mut [(Segment, Index)],
    header: &Header,
    behind: &BTreeMap<Name, u64>,
) -> Result<(), StoreError> {
    let mut missing: BTreeMap<Name, u64> = BTreeMap::new();
    // From the newest to the oldest: what of each is still wanted.
    let mut wanted = Vec::new();
    for (_, index) in parts.iter().rev() {
        let mut of = Vec::new();
        for (source, spots) in &index.spots {
            let missing = missing
                .entry(source.clone())
                .or_insert_with(|| SAMPLES.saturating_sub(behind.get(source).copied().unwrap_or(0)));
            let (taken, rest) = index::newest(spots, *missing);
            *missing = rest;
            of.extend_from_slice(taken);
        }
        of.sort_unstable_by_key(|spot| spot.at);
        wanted.push(of);
    }
    let io = |e| StoreError::io(aside, "write", e);
    let mut out = BufWriter::with_capacity(COPY_BYTES, disk.open(aside, Mode::Anew).map_err(io)?);
    out.write_all(&header.write()).map_err(io)?;
    for ((segment, _), spots) in parts.iter_mut().zip(wanted.iter().rev()) {
        for spot in spots {
            out.write_all(index::bytes(segment, *spot)?).map_err(io)?;
        }
    }
    out.flush().map_err(io)
}
