//! The files of the log: the one that grows, and all that can be read.

use super::{
    frame,
    segment::{self, Header, Segment, Tail},
};
use crate::{
    StoreError,
    disk::{Disk, File, Mode},
    folder::Folder,
};
use andon_model::{
    InstanceId, Name, Offset, Position,
    sample::{Batch, Counts},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Segments that are kept open for reading.
const OPEN_MAX: usize = 4;

/// Bytes between two places of a segment that are remembered.
const POINT_BYTES: u64 = 64 << 10;

/// Readers of one segment whose place is remembered exactly.
const READERS_MAX: usize = 8;

/// Memory of the buffer of a group that is kept for the next.
const BUFFER_BYTES: usize = 8 << 20;

/// The file that grows.
pub(crate) struct Active {
    log: PathBuf,
    path: PathBuf,
    file: File,
    instance: InstanceId,
    first: Position,
    /// The byte behind the last durable frame.
    at: u64,
    /// The byte at which the first frame begins.
    begin: u64,
    /// The place of the next entry.
    end: Position,
    limit: u64,
    /// A write failed: what lies behind `at` must go before the next one.
    dirty: bool,
    buffer: Vec<u8>,
    folder: Arc<Folder>,
}

/// What was found when the log was opened.
pub(crate) struct Opened {
    pub(crate) active: Active,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) counts: BTreeMap<Name, Counts>,
}

impl Active {
    /// Opens the log in a folder, or begins one: takes up the last segment behind its last whole frame. Nothing of it
    /// is changed where `accept` refuses the end that was found: then a person needs what lies there.
    pub(crate) fn open(
        log: &Path,
        limit: u64,
        folder: Arc<Folder>,
        accept: impl FnOnce(Position) -> Result<(), StoreError>,
    ) -> Result<Opened, StoreError> {
        let (instance, epoch) = (folder.format.instance, folder.format.epoch);
        let disk = &folder.disk;
        disk.make_dir(log)?;
        segment::tidy(disk, log)?;
        let firsts = segment::list(disk, log)?;
        let Some((&oldest, &newest)) = firsts.first().zip(firsts.last()) else {
            let end = Position { epoch, offset: 0 };
            accept(end)?;
            let active = Self::begin(log, instance, end, &BTreeMap::new(), limit, folder)?;
            return Ok(Opened { active, start: end, end, counts: BTreeMap::new() });
        };
        let start = Segment::open(disk, log, oldest, Mode::Read)?.header.first;
        let mut segment = Segment::open(disk, log, newest, Mode::Write)?;
        if segment.header.instance != instance {
            let what = format!("it belongs to the instance {}, the folder to {instance}", segment.header.instance);
            return Err(StoreError::corrupt(&segment.path, 20, what));
        }
        // What a failed sync was to write is in the system's memory and never on the disk, and no later sync tells.
        segment.file.sync_data().map_err(|e| StoreError::io(&segment.path, "sync", e))?;
        segment.file.forget_memory();
        segment.refresh();
        let tail = whole(&mut segment)?;
        let mut active = Self {
            log: log.to_owned(),
            path: segment.path,
            file: segment.file,
            instance,
            first: segment.header.first,
            at: tail.at,
            begin: segment.begin,
            end: tail.end,
            limit,
            dirty: true,
            buffer: Vec::new(),
            folder,
        };
        if active.end.epoch > epoch {
            let what =
                format!("it is of epoch {}, the folder of {epoch}: they do not belong together", active.end.epoch);
            return Err(StoreError::corrupt(&active.path, 36, what));
        }
        accept(active.end)?;
        active.settle()?;
        if active.end.epoch != epoch {
            // A restore has raised the epoch: its entries have places of their own from here on.
            active.end.epoch = epoch;
            active.roll(&tail.counts)?;
        }
        let end = active.end;
        Ok(Opened { active, start, end, counts: tail.counts })
    }

    /// Begins a segment: it has its name only once its header is durable.
    fn begin(
        log: &Path,
        instance: InstanceId,
        first: Position,
        counts: &BTreeMap<Name, Counts>,
        limit: u64,
        folder: Arc<Folder>,
    ) -> Result<Self, StoreError> {
        let path = segment::path(log, first.offset);
        let aside = path.with_extension("seg.new");
        let io = |doing| move |e| StoreError::io(&aside_of(log, first), doing, e);
        let file = folder.disk.open(&aside, Mode::Anew).map_err(io("make"))?;
        let header = Header { instance, first, counts: counts.clone() }.write();
        let make = || {
            reserve(&file, &aside, limit)?;
            file.write_all_at(&header, 0).map_err(io("write"))?;
            file.sync_all().map_err(io("sync"))?;
            folder.disk.rename(&aside, &path)
        };
        make().map_err(|error| {
            // On a full disk nothing is left that only takes room.
            drop(folder.disk.unlink(&aside));
            // It has its name, but for how long: what went on in the segment before would be hidden behind it.
            if folder.disk.exists(&path) { StoreError::Stopped(error.to_string()) } else { error }
        })?;
        let at = header.len() as u64;
        Ok(Self {
            log: log.to_owned(),
            path,
            file,
            instance,
            first,
            at,
            begin: at,
            end: first,
            limit,
            dirty: false,
            buffer: Vec::new(),
            folder,
        })
    }

    /// Writes the batches as one group and syncs them. `counts` is what was received before them. When this fails
    /// nothing of the group is there.
    pub(crate) fn write(
        &mut self,
        group: &[Arc<Batch>],
        counts: impl FnOnce() -> BTreeMap<Name, Counts>,
    ) -> Result<(), StoreError> {
        if !self.folder.room.may_write() {
            return Err(StoreError::Full { path: self.log.clone() });
        }
        self.clean()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        self.encode(&mut buffer, group);
        if self.at > self.begin && self.at + buffer.len() as u64 > self.limit {
            self.roll(&counts())?;
            self.encode(&mut buffer, group);
        }
        let written = self.put(&buffer);
        if buffer.capacity() <= BUFFER_BYTES {
            self.buffer = buffer;
        }
        written?;
        if let Some(last) = group.last() {
            self.end = last.end();
        }
        Ok(())
    }

    fn encode(&self, buffer: &mut Vec<u8>, group: &[Arc<Batch>]) {
        buffer.clear();
        let durable = u32::try_from(self.at).expect("a segment is far smaller than 4 GiB");
        for batch in group {
            frame::write(buffer, batch, durable);
        }
    }

    /// Removes what a failed or torn write left behind, and makes room ahead, so that a sync need not change the
    /// file's size.
    fn clean(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            self.cut()?;
            reserve(&self.file, &self.path, self.limit)?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Makes durable what a start has found, before anybody reads it: a process that was killed between writing and
    /// syncing leaves whole frames that the disk has not seen yet, and the loss of power would still take them from
    /// under the positions of those who had read them.
    fn settle(&self) -> Result<(), StoreError> {
        self.cut()?;
        self.file.sync_all().map_err(|e| StoreError::io(&self.path, "sync", e))?;
        self.folder.disk.sync_dir(&self.log)
    }

    fn cut(&self) -> Result<(), StoreError> {
        self.file.set_len(self.at).map_err(|e| StoreError::io(&self.path, "cut", e))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.dirty = true;
        self.file.write_all_at(bytes, self.at).map_err(|e| StoreError::io(&self.path, "write", e))?;
        self.file.sync_data().map_err(|e| {
            // After a failed sync nobody knows which pages are on the disk; trying again would only hide it.
            StoreError::Stopped(format!("cannot sync {}: {e}", self.path.display()))
        })?;
        self.at += bytes.len() as u64;
        self.dirty = false;
        Ok(())
    }

    /// Ends this segment and begins the next.
    fn roll(&mut self, counts: &BTreeMap<Name, Counts>) -> Result<(), StoreError> {
        self.seal()?;
        let next = Self::begin(&self.log, self.instance, self.end, counts, self.limit, Arc::clone(&self.folder))?;
        let buffer = std::mem::take(&mut self.buffer);
        *self = Self { buffer, ..next };
        Ok(())
    }

    /// Ends the file behind its last frame with a frame that proves everything before it.
    pub(crate) fn seal(&mut self) -> Result<(), StoreError> {
        self.cut()?;
        let mut end = Vec::new();
        let durable = u32::try_from(self.at).expect("a segment is far smaller than 4 GiB");
        frame::write_end(&mut end, Position { epoch: self.first.epoch, ..self.end }, durable);
        self.put(&end)?;
        self.cut()?;
        // Should it go on after all, it must take room again.
        self.dirty = true;
        self.file.sync_all().map_err(|e| StoreError::io(&self.path, "sync", e))
    }
}

fn aside_of(log: &Path, first: Position) -> PathBuf {
    segment::path(log, first.offset).with_extension("seg.new")
}

/// Takes room for a segment ahead. Where the file system cannot, the file grows as it is written.
fn reserve(file: &File, path: &Path, limit: u64) -> Result<(), StoreError> {
    match file.take_room(limit) {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(StoreError::io(path, "take room for", error)),
        _ => Ok(()),
    }
}

/// Follows the last segment to its end. A torn end, which nobody was told of, is left out; damage before it is not.
fn whole(segment: &mut Segment) -> Result<Tail, StoreError> {
    let (tail, stop) = segment.follow(segment.tail())?;
    if let Some(proof) = segment.proof_behind(&tail)? {
        let what = format!("{} here, yet byte {proof} proves that this place was durable", stop.0);
        return Err(StoreError::corrupt(&segment.path, tail.at, what));
    }
    Ok(tail)
}

/// A segment that is open for reading, with the places that are known.
struct Reader {
    first: Offset,
    segment: Segment,
    /// Offset and byte of some frames, in order.
    points: Vec<(Offset, u64)>,
    /// Offset and byte at which readers stopped.
    stops: VecDeque<(Offset, u64)>,
    /// Up to this offset the log was durable when what is in memory was read.
    durable: Offset,
}

/// All segments, for reading.
pub(crate) struct Readers {
    disk: Disk,
    log: PathBuf,
    state: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    firsts: Vec<Offset>,
    readers: Vec<Reader>,
}

impl Readers {
    /// The segments in a folder.
    pub(crate) fn new(disk: Disk, log: &Path) -> Self {
        Self { disk, log: log.to_owned(), state: Mutex::default() }
    }

    /// The batch that holds the entry at `from`, or the first one behind it. `end` is the durable end, behind `from`.
    pub(crate) fn read(&self, from: Offset, end: Offset) -> Result<Option<Batch>, StoreError> {
        let mut open = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = from;
        while from < end {
            let (first, next) = open.around(&self.disk, &self.log, from)?;
            // A segment behind a hole begins later than what was asked for.
            from = from.max(first);
            let stop = next.unwrap_or(end).min(end);
            let reader = match open.reader(&self.disk, &self.log, first) {
                // It went since the segments were listed.
                Err(error) if error.is_gone() => {
                    open.firsts = segment::list(&self.disk, &self.log)?;
                    if open.firsts.contains(&first) || open.firsts.is_empty() {
                        return Err(error);
                    }
                    continue;
                }
                reader => reader?,
            };
            if let Some(batch) = reader.read(from, stop)? {
                return Ok(Some(batch));
            }
            let Some(next) = next else { break };
            from = from.max(next);
        }
        Ok(None)
    }

    /// Forgets the segments before this one: they are about to go.
    pub(crate) fn forget(&self, first: Offset) {
        let mut open = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        open.firsts.retain(|known| *known >= first);
        open.readers.retain(|reader| reader.first >= first);
    }
}

impl Open {
    /// The segment that holds an offset, and the one behind it.
    fn around(&mut self, disk: &Disk, log: &Path, offset: Offset) -> Result<(Offset, Option<Offset>), StoreError> {
        let find = |firsts: &[Offset]| {
            let behind = firsts.partition_point(|first| *first <= offset);
            let first = firsts.get(behind.saturating_sub(1)).copied();
            first.map(|first| (first, firsts.get(behind.max(1)).copied()))
        };
        if let Some((first, Some(next))) = find(&self.firsts) {
            return Ok((first, Some(next)));
        }
        // The last one that is known may not be the last any more.
        self.firsts = segment::list(disk, log)?;
        find(&self.firsts).ok_or_else(|| StoreError::corrupt(log, 0, "the segments of the log are gone"))
    }

    fn reader(&mut self, disk: &Disk, log: &Path, first: Offset) -> Result<&mut Reader, StoreError> {
        let reader = if let Some(at) = self.readers.iter().position(|reader| reader.first == first) {
            self.readers.remove(at)
        } else {
            let segment = Segment::open(disk, log, first, Mode::Read)?;
            let points = vec![(first, segment.begin)];
            Reader { first, segment, points, stops: VecDeque::new(), durable: first }
        };
        // The one used last stands last; the first one goes.
        if self.readers.len() >= OPEN_MAX {
            self.readers.remove(0);
        }
        self.readers.push(reader);
        Ok(self.readers.last_mut().expect("it was just put there"))
    }
}

impl Reader {
    /// The first batch with an entry at or behind `from`; `None` when the segment holds nothing there. Its entries
    /// end at `end`.
    fn read(&mut self, from: Offset, end: Offset) -> Result<Option<Batch>, StoreError> {
        match self.walk(from, end) {
            // Somebody else's log may be another than it was read.
            Err(StoreError::Corrupt { .. }) => {
                self.segment.refresh();
                self.walk(from, end)
            }
            found => found,
        }
    }

    /// The way there, frame by frame.
    fn walk(&mut self, from: Offset, end: Offset) -> Result<Option<Batch>, StoreError> {
        let point = self.points.partition_point(|(offset, _)| *offset <= from).saturating_sub(1);
        let (mut offset, mut at) = self.points.get(point).copied().unwrap_or((self.first, self.segment.begin));
        if let Some(stop) = self.stops.iter().filter(|(stop, _)| *stop <= from).max().filter(|stop| stop.0 >= offset) {
            (offset, at) = *stop;
        }
        while offset < end {
            if offset >= self.durable {
                // What was read ahead may lie before what was written since, or be what a failed write has left there:
                // it may even be whole.
                self.segment.refresh();
                self.durable = end;
            }
            let head = match self.segment.head(at)? {
                Ok(head) if head.first.offset == offset => head,
                _ => {
                    let what = format!("the frame with entry {offset} is expected here and not there");
                    return Err(StoreError::corrupt(&self.segment.path, at, what));
                }
            };
            if self.points.last().is_some_and(|(_, last)| at >= last + POINT_BYTES) {
                self.points.push((offset, at));
            }
            let next = at + head.bytes() as u64;
            if head.end() > from {
                let read = self.segment.frame(at, &head)?.and_then(|bytes| frame::read(&head, bytes));
                let read = read.and_then(|batch| batch.ok_or(frame::NoFrame("an end frame has entries")));
                let batch = read.map_err(|wrong| StoreError::corrupt(&self.segment.path, at, wrong.0))?;
                self.stops.push_back((head.end(), next));
                if self.stops.len() > READERS_MAX {
                    self.stops.pop_front();
                }
                return Ok(Some(batch));
            }
            (offset, at) = (head.end(), next);
        }
        Ok(None)
    }
}

/// The log of somebody else: followed as it grows.
pub(crate) struct Follower {
    disk: Disk,
    log: PathBuf,
    state: Mutex<Following>,
}

struct Following {
    segment: Segment,
    tail: Tail,
}

impl Follower {
    /// Finds the end of the log; `None` where there is no segment yet.
    pub(crate) fn open(disk: Disk, log: &Path) -> Result<Option<(Self, Position)>, StoreError> {
        let firsts = if disk.is_dir(log) { segment::list(&disk, log)? } else { Vec::new() };
        let Some((&oldest, &newest)) = firsts.first().zip(firsts.last()) else { return Ok(None) };
        let start = Segment::open(&disk, log, oldest, Mode::Read)?.header.first;
        let segment = Segment::open(&disk, log, newest, Mode::Read)?;
        let tail = segment.tail();
        let follower = Self { disk, log: log.to_owned(), state: Mutex::new(Following { segment, tail }) };
        follower.tail()?;
        Ok(Some((follower, start)))
    }

    /// How far the log reaches now.
    pub(crate) fn tail(&self) -> Result<Tail, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            state.segment.refresh();
            let tail = state.tail.clone();
            state.tail = state.segment.follow(tail)?.0;
            let newest = segment::list(&self.disk, &self.log)?.last().copied();
            match newest.filter(|newest| *newest > state.segment.header.first.offset) {
                None => return Ok(state.tail.clone()),
                Some(newest) => {
                    let segment = Segment::open(&self.disk, &self.log, newest, Mode::Read)?;
                    let tail = segment.tail();
                    *state = Following { segment, tail };
                }
            }
        }
    }
}
