//! The log: samples and marks in the order in which they became durable.

mod cut;
mod examine;
mod files;
mod frame;
mod index;
mod ring;
mod segment;
mod window;
mod writer;

pub(crate) use cut::up_to;
pub(crate) use examine::{Walk, examine, named_by_newest};
pub(crate) use files::Readers;
pub use frame::PART_BYTES_MAX;
pub use segment::fuzz;

use crate::{
    StoreError,
    change::Change,
    disk::{Disk, Mode},
    folder::Folder,
    store::Limits,
};
use andon_model::{
    Name, Offset, Position,
    sample::{Batch, Counts, Part},
};
use files::{Active, Follower, Opened};
use ring::Ring;
use segment::Segment;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use window::{Newest, Standing};
use writer::{Job, Writer};

/// What is called once a part is durable, or has failed.
pub(crate) type Done = Box<dyn FnOnce(Result<Arc<Batch>, StoreError>) + Send>;

/// The log of a store.
pub(crate) struct Log {
    known: Arc<Mutex<Known>>,
    place: Place,
}

/// Where the log is.
enum Place {
    /// In memory only.
    Memory(Arc<Change>),
    /// In files of ours.
    Files { writer: Writer, readers: Readers, newest: Newest, disk: Disk, dir: PathBuf },
    /// In files of somebody else; `None` while there are none.
    Look { follower: Option<Follower>, readers: Readers, newest: Newest },
}

/// What is known of the durable part of the log.
struct Known {
    ring: Ring,
    start: Position,
    end: Position,
    counts: BTreeMap<Name, Counts>,
    /// Why nothing more is written.
    stopped: Option<String>,
}

impl Log {
    /// A log that is gone with the process.
    pub(crate) fn memory(epoch: u32, change: Arc<Change>) -> Self {
        let place = Position { epoch, offset: 0 };
        let known = Known::new(Ring::new(usize::MAX), (place, place), BTreeMap::new());
        Self { known: Arc::new(Mutex::new(known)), place: Place::Memory(change) }
    }

    /// Opens or begins the log in a folder; `accept` may refuse the end that is found.
    pub(crate) fn open(
        dir: &Path,
        limits: &Limits,
        folder: Arc<Folder>,
        change: Arc<Change>,
        accept: impl FnOnce(Position) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let opened = Active::open(dir, limits.segment_bytes, Arc::clone(&folder), accept);
        let Opened { active, start, end, counts } = opened?;
        let known = Arc::new(Mutex::new(Known::new(Ring::new(limits.ring_bytes), (start, end), counts)));
        let disk = folder.disk.clone();
        let writer = Writer::start(active, Arc::clone(&known), folder, change);
        let (readers, newest) = (Readers::new(disk.clone(), dir), Newest::new(disk.clone(), dir));
        let place = Place::Files { writer, readers, newest, disk, dir: dir.to_owned() };
        Ok(Self { known, place })
    }

    /// Looks at the log of somebody else.
    pub(crate) fn look(disk: &Disk, dir: &Path, epoch: u32) -> Result<Self, StoreError> {
        let opened = Follower::open(disk.clone(), dir)?;
        let start = opened.as_ref().map_or(Position { epoch, offset: 0 }, |(_, start)| *start);
        let known = Known::new(Ring::new(0), (start, start), BTreeMap::new());
        let follower = opened.map(|(follower, _)| follower);
        let (readers, newest) = (Readers::new(disk.clone(), dir), Newest::new(disk.clone(), dir));
        let place = Place::Look { follower, readers, newest };
        Ok(Self { known: Arc::new(Mutex::new(known)), place })
    }

    /// Appends the parts as one group; returns when they are durable.
    pub(crate) fn append(&self, parts: Vec<Part>) -> Result<Vec<Arc<Batch>>, StoreError> {
        check(&parts)?;
        match &self.place {
            Place::Memory(change) => {
                let batches = {
                    let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                    let batches = placed(parts, known.end);
                    known.keep(&batches);
                    batches
                };
                change.rise();
                Ok(batches)
            }
            Place::Files { writer, .. } => writer.append(parts),
            Place::Look { .. } => Err(crate::store::looking()),
        }
    }

    /// Appends a part; `done` is called once it is durable.
    pub(crate) fn submit(&self, part: Part, done: Done) {
        match &self.place {
            Place::Files { writer, .. } => match check(std::slice::from_ref(&part)) {
                Ok(()) => writer.submit(Job::one(part, done)),
                Err(error) => done(Err(error)),
            },
            Place::Memory(_) | Place::Look { .. } => {
                let batch = self.append(vec![part]);
                done(batch.map(|batches| batches.into_iter().next().expect("one part makes one batch")));
            }
        }
    }

    /// Lets what is held become durable; nothing is held but in a simulation that asks for it.
    pub(crate) fn settle(&self) {
        if let Place::Files { writer, .. } = &self.place {
            writer.settle();
        }
    }

    /// The batch that holds the entry at `from`, or the first one behind it.
    pub(crate) fn read(&self, from: Position) -> Result<Option<Arc<Batch>>, StoreError> {
        let (readers, end) = match &self.place {
            Place::Memory(_) => {
                return Ok(self.known.lock().unwrap_or_else(PoisonError::into_inner).ring.find(from.offset));
            }
            Place::Files { readers, .. } => {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                if from.offset >= known.end.offset || known.ring.reaches(from.offset) {
                    return Ok(known.ring.find(from.offset));
                }
                (readers, known.end)
            }
            Place::Look { readers, .. } => (readers, self.end()),
        };
        Ok(readers.read(from.offset, end.offset)?.map(Arc::new))
    }

    /// The newest batches of a source that hold at least so many samples, oldest first; fewer where there are no more.
    /// They are known also once their segments are gone, up to [`window::SAMPLES`] samples.
    pub(crate) fn newest(&self, source: &Name, samples: u64) -> Result<Vec<Arc<Batch>>, StoreError> {
        self.refresh();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = match &self.place {
            Place::Memory(_) => return Ok(known.ring.newest(source, samples)),
            Place::Files { newest, .. } | Place::Look { newest, .. } => newest,
        };
        let standing = known.standing();
        drop(known);
        newest.read(source, samples, &standing)
    }

    /// The places at which segments begin, in order, the one that grows last; none in memory.
    pub(crate) fn segments(&self) -> Result<Vec<Offset>, StoreError> {
        match &self.place {
            Place::Files { disk, dir, .. } => segment::list(disk, dir),
            Place::Memory(_) | Place::Look { .. } => Ok(Vec::new()),
        }
    }

    /// Readers of an own for files of ours, so that who reads for long never holds up others.
    pub(crate) fn readers(&self) -> Option<Readers> {
        match &self.place {
            Place::Files { disk, dir, .. } => Some(Readers::new(disk.clone(), dir)),
            Place::Memory(_) | Place::Look { .. } => None,
        }
    }

    /// Removes segments that hold nothing at or behind `needed`, the oldest first, at most `most`; never the one that
    /// grows. What is needed of them to know duplicates is kept before. How many went.
    pub(crate) fn remove(&self, needed: Position, most: usize, folder: &Folder) -> Result<usize, StoreError> {
        let Place::Files { readers, newest, disk, dir, .. } = &self.place else { return Ok(0) };
        let firsts = segment::list(disk, dir)?;
        let ends = firsts.iter().skip(1);
        let count = ends.take_while(|end| **end <= needed.offset).count().min(most);
        let Some((gone, Some(next))) = firsts.split_at_checked(count).map(|(gone, rest)| (gone, rest.first())) else {
            return Ok(0);
        };
        if gone.is_empty() {
            return Ok(0);
        }
        let header = Segment::open(disk, dir, *next, Mode::Read)?.header;
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut behind = known().standing().stored;
        for (source, stored) in &mut behind {
            *stored = stored.saturating_sub(header.counts.get(source).map_or(0, |counts| counts.stored));
        }
        newest.keep(gone, header.first, folder.format.instance, &behind)?;
        known().start = header.first;
        readers.forget(*next);
        for first in gone {
            disk.remove(&segment::path(dir, *first))?;
            // One by one, so that the loss of power leaves no hole.
            disk.sync_dir(dir)?;
        }
        Ok(count)
    }

    /// The place of the next entry.
    pub(crate) fn end(&self) -> Position {
        self.refresh();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).end
    }

    /// The place of the oldest entry.
    pub(crate) fn start(&self) -> Position {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).start
    }

    /// Why nothing more is written, where that is so.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).stopped.clone()
    }

    /// What was received per source since the folder exists.
    pub(crate) fn counts(&self) -> BTreeMap<Name, Counts> {
        self.refresh();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }

    /// Looks how far somebody else's log reaches now; what was known stays where that fails.
    fn refresh(&self) {
        if let Place::Look { follower: Some(follower), .. } = &self.place {
            match follower.tail() {
                Ok(tail) => {
                    let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.end = tail.end;
                    known.counts = tail.counts;
                }
                Err(error) => tracing::warn!(%error, "the end of the log cannot be read"),
            }
        }
    }
}

impl Known {
    fn new(ring: Ring, (start, end): (Position, Position), counts: BTreeMap<Name, Counts>) -> Self {
        Self { ring, start, end, counts, stopped: None }
    }

    fn standing(&self) -> Standing {
        let stored = self.counts.iter().map(|(source, counts)| (source.clone(), counts.stored)).collect();
        Standing { end: self.end.offset, stored }
    }

    /// Takes over batches that are durable now.
    fn keep(&mut self, batches: &[Arc<Batch>]) {
        for batch in batches {
            self.end = batch.end();
            add(&mut self.counts, &batch.part);
            self.ring.push(Arc::clone(batch));
        }
    }
}

/// What a crash left in the folder of a log before it had its name.
pub(crate) fn leftovers(disk: &Disk, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if disk.is_dir(dir) { segment::leftovers(disk, dir) } else { Ok(Vec::new()) }
}

fn ended() -> StoreError {
    StoreError::Stopped("the thread that writes the log has ended".into())
}

fn add(counts: &mut BTreeMap<Name, Counts>, part: &Part) {
    if let Some(known) = counts.get_mut(&part.source) {
        known.add(&part.counts);
    } else {
        counts.insert(part.source.clone(), part.counts);
    }
}

/// Refuses parts that are too large to be read back with bounded memory.
fn check(parts: &[Part]) -> Result<(), StoreError> {
    for part in parts {
        let bytes = frame::estimate(part);
        if bytes > PART_BYTES_MAX {
            return Err(StoreError::Refused(format!(
                "a part of the source {} takes {bytes} bytes in the log, {PART_BYTES_MAX} is the limit; split it",
                part.source
            )));
        }
    }
    Ok(())
}

/// Gives the parts their places.
fn placed(parts: Vec<Part>, end: Position) -> Vec<Arc<Batch>> {
    let mut first = end;
    let place = |part: Part| {
        let batch = Batch { first, part };
        first = batch.end();
        Arc::new(batch)
    };
    parts.into_iter().map(place).collect()
}
