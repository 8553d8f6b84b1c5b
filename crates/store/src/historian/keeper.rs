//! The loop of the historian: seals the log into files, merges them, removes what is too old, and lets segments go.

use super::{
    Policy,
    catalog::{Changes, FileRow, Which},
    compact, retain,
    seal::{CHUNK_SAMPLES_MAX, Chunk, Names},
    work::Work,
};
use crate::{
    GapRow, Store, StoreError,
    db::{self, Db},
    folder::Folder,
    log::{Log, Readers},
};
use andon_model::{Entry, Name, Position, Time, sample::Batch, span::Span};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Segments of the log that go in one step at most.
const REMOVED_SEGMENTS_MAX: usize = 4;

/// Batches that are looked through in one step for the first sample that is not sealed.
const PROBED_BATCHES_MAX: usize = 10_000;

/// Room that must be left beside a merged file: more than intake needs to go on, so that merging never stops it.
const MERGE_ROOM_BYTES: u64 = 256 << 20;

/// So often a keeper looks whether the log has filled a segment, and whether rules need one no more.
const LOOK_AGAIN: Span = Span::from_secs(10);

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something; there may be more at once.
    Worked,
    /// Nothing: all is kept as it should be.
    Idle {
        /// Look again then, also when no row changes: the log may have filled a segment. `None`: there is never
        /// anything to do.
        until: Option<Time>,
    },
}

/// The loop. Dropping it at any moment loses nothing; there is one for a store.
pub struct Keeper {
    store: Store,
    policy: Policy,
    now: SealNow,
    /// Seal up to here, however young the samples are.
    target: Option<Position>,
    /// Read once, then kept as it is changed.
    known: Option<Known>,
    names: Names,
    /// Of its own, so that it holds nobody up; `None` in memory.
    readers: Option<Readers>,
    most: usize,
    /// What failed steps may have left; what is listed of it stays.
    litter: Vec<PathBuf>,
    /// Files that could not be read when they were to be merged: they stay as they lie, and hold up no others.
    spoiled: BTreeSet<PathBuf>,
}

/// What the database lists.
struct Known {
    place: Position,
    files: Vec<FileRow>,
    /// The oldest sample that is not sealed is not before this place; when it was received, once it is found.
    probe: (Position, Option<Time>),
}

/// Asks a keeper from elsewhere to seal what is there.
#[derive(Debug, Clone, Default)]
pub struct SealNow(Arc<AtomicBool>);

impl SealNow {
    /// The next steps seal everything that is in the log by then.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The parts of a store that has files.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) log: &'a Log,
    pub(crate) db: &'a Db,
}

impl Keeper {
    /// The keeper of a store. In memory there is nothing for it to do: everything stays in the log.
    pub fn new(store: Store, policy: Policy) -> Self {
        let readers = store.ground().and_then(|ground| ground.log.readers());
        Self {
            store,
            policy,
            now: SealNow::default(),
            target: None,
            known: None,
            names: Names::default(),
            readers,
            most: CHUNK_SAMPLES_MAX,
            litter: Vec::new(),
            spoiled: BTreeSet::new(),
        }
    }

    /// The way to ask this keeper to seal at once.
    pub fn seal_now(&self) -> SealNow {
        self.now.clone()
    }

    /// From the next step on this holds.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Seals so many samples in one step, give or take those of a batch; for tests.
    pub fn set_chunk(&mut self, samples: usize) {
        self.most = samples.clamp(1, CHUNK_SAMPLES_MAX);
    }

    /// One bounded piece of work: up to a million samples are sealed, or up to 128 MiB of files merged. `now` is UTC.
    /// After an error nothing is lost, and the same step can be tried again.
    pub fn step(&mut self, now: Time) -> Result<Progress, StoreError> {
        let store = self.store.clone();
        let Some(ground) = store.ground() else { return Ok(Progress::Idle { until: None }) };
        let Some(_removing) = ground.folder.may_remove() else {
            return Ok(Progress::Idle { until: Some(now.plus(LOOK_AGAIN)) });
        };
        if self.known.is_none() {
            self.known = Some(look(ground)?);
        }
        // What cannot be removed is told and holds up nothing else.
        let swept = self.sweep(ground);
        let progress = self.work(ground, now)?;
        swept.map(|()| progress)
    }

    fn work(&mut self, ground: Ground<'_>, now: Time) -> Result<Progress, StoreError> {
        if self.shrink(ground)? || self.expire(ground, now)? {
            return Ok(Progress::Worked);
        }
        let seal = self.seal(ground, now);
        if seal.as_ref().is_err_and(StoreError::is_full) && self.make_room(ground)? {
            return Ok(Progress::Worked);
        }
        let seal = match seal? {
            Progress::Worked => return Ok(Progress::Worked),
            Progress::Idle { until } => until,
        };
        let merge = match self.merge(ground, now)? {
            Progress::Worked => return Ok(Progress::Worked),
            Progress::Idle { until } => until,
        };
        if self.make_room(ground)? {
            return Ok(Progress::Worked);
        }
        let expiry = self.known().and_then(|known| retain::plan(&known.files, &self.policy, now).next);
        let again = Some(now.plus(LOOK_AGAIN));
        Ok(Progress::Idle { until: [seal, merge, expiry, again].into_iter().flatten().min() })
    }

    fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Removes what steps left that is not listed; what cannot be removed stays for the next time.
    fn sweep(&mut self, ground: Ground<'_>) -> Result<(), StoreError> {
        let Some(known) = &self.known else { return Ok(()) };
        let mut swept = Ok(());
        self.litter.retain(|path| {
            if known.files.iter().any(|row| row.path(&ground.folder.dir) == *path) {
                return false;
            }
            let removed = ground.folder.disk.remove(path);
            let stays = removed.is_err();
            swept = std::mem::replace(&mut swept, Ok(())).and(removed);
            stays
        });
        swept
    }

    /// Lets the segments go that nobody needs any more.
    fn shrink(&self, ground: Ground<'_>) -> Result<bool, StoreError> {
        let Some(known) = &self.known else { return Ok(false) };
        // The segment that grows and one before it at least, or there is nothing to ask.
        if ground.log.segments()?.get(1).is_none_or(|second| *second > known.place.offset) {
            return Ok(false);
        }
        let intakes = ground.db.read(db::oldest_intake)?;
        let needed = [Some(self.unread(ground)?), intakes].into_iter().flatten().fold(known.place, Position::min);
        self.let_go(ground, needed, REMOVED_SEGMENTS_MAX)
    }

    fn let_go(&self, ground: Ground<'_>, needed: Position, most: usize) -> Result<bool, StoreError> {
        let went = ground.log.remove(needed, most, ground.folder)? > 0;
        if let Some(readers) = &self.readers {
            // A file that is open takes its room although it has no name any more.
            readers.forget(ground.log.start().offset);
        }
        Ok(went)
    }

    /// The place from which on rules need the log: they go on from the oldest of their states. While they have none
    /// they begin where the log does.
    fn unread(&self, ground: Ground<'_>) -> Result<Position, StoreError> {
        Ok(self.store.oldest_state()?.unwrap_or_else(|| ground.log.start()))
    }

    /// Removes files that are too old or too many: first from the list, then from the disk.
    fn expire(&mut self, ground: Ground<'_>, now: Time) -> Result<bool, StoreError> {
        let Some(known) = &self.known else { return Ok(false) };
        let remove = retain::plan(&known.files, &self.policy, now).remove;
        if remove.is_empty() {
            return Ok(false);
        }
        tracing::debug!(files = remove.len(), "samples have reached the end of their time");
        self.apply(ground, retain::changes(remove))?;
        Ok(true)
    }

    fn seal(&mut self, ground: Ground<'_>, now: Time) -> Result<Progress, StoreError> {
        let end = ground.log.end();
        if self.now.0.swap(false, Ordering::SeqCst) {
            self.target = Some(end);
        }
        let (Some(known), Some(readers)) = (&mut self.known, &self.readers) else {
            return Ok(Progress::Idle { until: None });
        };
        let from = known.place;
        if from.offset >= end.offset {
            self.target = None;
            return Ok(Progress::Idle { until: None });
        }
        let oldest = probe(readers, &mut known.probe, end)?;
        let due = oldest.map(|received| received.plus(self.policy.seal_after));
        let whole = ground.log.segments()?.last().copied().unwrap_or(0);
        let to = match self.target.filter(|target| target.offset > from.offset) {
            Some(target) => target,
            None if due.is_some_and(|due| due <= now) => end,
            None if whole > from.offset => Position { offset: whole, ..end },
            None => return Ok(Progress::Idle { until: due }),
        };
        let learn = || ground.db.read(db::signals).map(Names::new);
        let chunk = Chunk::read(readers, from, to, self.most, &mut self.names, learn)?;
        if chunk.is_empty() {
            return Ok(Progress::Idle { until: due });
        }
        let mut work = Work::new(&ground.folder.dir, &ground.folder.disk, &known.files, now);
        let changes = chunk.write(&mut work, &self.names, &self.policy);
        let litter = work.into_litter();
        self.finish(ground, changes, litter)?;
        Ok(Progress::Worked)
    }

    fn merge(&mut self, ground: Ground<'_>, now: Time) -> Result<Progress, StoreError> {
        let Some(known) = &self.known else { return Ok(Progress::Idle { until: None }) };
        if ground.folder.room.is_full() {
            return Ok(Progress::Idle { until: None });
        }
        // What is missing cannot be merged; what is left of its day stays as it lies.
        let missing = self.store.missing_files();
        let whole = |row: &FileRow| {
            let path = row.path(&ground.folder.dir);
            !missing.contains(&path) && !self.spoiled.contains(&path)
        };
        let files: Vec<FileRow> = known.files.iter().filter(|row| whole(row)).cloned().collect();
        let compact::Plan { merge, next } = compact::plan(&files, self.policy.seal_after, now);
        let Some(merge) = merge else { return Ok(Progress::Idle { until: next }) };
        let bytes: u64 = merge.iter().map(|row| row.facts.bytes).sum();
        if ground.folder.room.free() < bytes.saturating_add(MERGE_ROOM_BYTES) {
            return Ok(Progress::Idle { until: None });
        }
        let mut work = Work::new(&ground.folder.dir, &ground.folder.disk, &known.files, now);
        let inputs: Vec<PathBuf> = merge.iter().map(|row| row.path(&ground.folder.dir)).collect();
        let changes = compact::merge(merge, &ground.folder.dir, &mut work);
        let litter = work.into_litter();
        if let Err(StoreError::Corrupt { path, .. } | StoreError::Io { path, .. }) = &changes
            && inputs.contains(path)
        {
            self.spoiled.insert(path.clone());
        }
        self.finish(ground, changes, litter)?;
        Ok(Progress::Worked)
    }

    /// Lists the files of a step, or removes them where it failed.
    fn finish(
        &mut self,
        ground: Ground<'_>,
        changes: Result<Changes, StoreError>,
        litter: Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        match changes.and_then(|changes| self.apply(ground, changes)) {
            Ok(()) => Ok(()),
            Err(error) => {
                // Whether a commit that failed is there after all only the database knows. The room is needed at once;
                // what cannot be removed now is before the next step.
                self.litter.extend(litter);
                self.known = look(ground).ok();
                drop(self.sweep(ground));
                Err(error)
            }
        }
    }

    /// Commits what a step changed; then the files go that are not listed any more.
    fn apply(&mut self, ground: Ground<'_>, changes: Changes) -> Result<(), StoreError> {
        let remove: Vec<FileRow> = changes.remove.clone();
        let disk = &ground.folder.disk;
        let outcome = ground.db.change_files(changes);
        self.known = None;
        outcome?;
        self.known = Some(look(ground)?);
        // Whoever reads the whole folder must not find them for longer than it takes.
        self.litter.extend(remove.iter().map(|row| row.path(&ground.folder.dir)));
        self.sweep(ground)?;
        let folders: BTreeSet<PathBuf> = remove.iter().map(|row| row.folder(&ground.folder.dir)).collect();
        for folder in folders.iter().filter(|folder| disk.is_dir(folder)) {
            disk.sync_dir(folder)?;
            // The folder of a day goes with its last file; one that is not empty stays.
            let _ = disk.remove_empty_dir(folder);
        }
        Ok(())
    }

    /// The last resort of a full disk, when all that may go is gone: the oldest segment that is sealed goes although
    /// rules have not read it. Its samples are kept in the files; that rules miss them is a gap, and counted. What an
    /// open intake needs stays: without it the same would be taken in twice.
    fn make_room(&mut self, ground: Ground<'_>) -> Result<bool, StoreError> {
        let (Some(known), Some(readers)) = (&self.known, &self.readers) else { return Ok(false) };
        if !ground.folder.room.is_short() {
            return Ok(false);
        }
        let firsts = ground.log.segments()?;
        let Some((&first, &next)) = firsts.first().zip(firsts.get(1)).filter(|(_, next)| **next <= known.place.offset)
        else {
            return Ok(false);
        };
        if ground.db.read(db::oldest_intake)?.is_some_and(|intake| intake.offset < next) {
            return Ok(false);
        }
        // A crash between the count and the removal counts nothing twice.
        let counted = ground.db.read(db::missed)?.map_or(first, |place| place.offset);
        let next = Position { offset: next, ..known.place };
        let changes = unread(readers, first.max(self.unread(ground)?.offset).max(counted), next)?;
        let dropped: u64 = changes.dropped.values().sum();
        if dropped > 0 {
            tracing::error!(
                dropped,
                "the disk is full: samples go that rules have not read; they are in the historian"
            );
        }
        self.apply(ground, changes)?;
        self.let_go(ground, next, 1)
    }
}

/// What the database lists now.
fn look(ground: Ground<'_>) -> Result<Known, StoreError> {
    let sealed = ground.db.read(|c| db::sealed(c, &Which::default()))?;
    let place = sealed.place.unwrap_or_else(|| ground.log.start());
    Ok(Known { place, files: sealed.files, probe: (place, None) })
}

/// When the oldest sample was received that is not sealed; looks on from where it looked last.
fn probe(readers: &Readers, at: &mut (Position, Option<Time>), end: Position) -> Result<Option<Time>, StoreError> {
    for _ in 0..PROBED_BATCHES_MAX {
        if at.1.is_some() || at.0.offset >= end.offset {
            break;
        }
        let Some(batch) = readers.read(at.0.offset, end.offset)? else { break };
        at.1 = received(&batch).min();
        at.0 = batch.end();
    }
    Ok(at.1)
}

fn received(batch: &Batch) -> impl Iterator<Item = Time> {
    batch.part.entries.iter().filter_map(|entry| match entry {
        Entry::Sample(sample) => Some(sample.received),
        Entry::Mark(_) => None,
    })
}

/// The samples of a stretch, by source, as gaps and counts.
fn unread(readers: &Readers, from: u64, to: Position) -> Result<Changes, StoreError> {
    let mut spans: BTreeMap<Name, (Time, Time, u64)> = BTreeMap::new();
    let mut at = from;
    while at < to.offset
        && let Some(batch) = readers.read(at, to.offset)?
    {
        at = batch.end().offset;
        for time in received(&batch) {
            let span = spans.entry(batch.part.source.clone()).or_insert((time, time, 0));
            *span = (span.0.min(time), span.1.max(time), span.2 + 1);
        }
    }
    let mut changes = Changes { missed: Some(to), ..Changes::default() };
    for (source, (from, to, samples)) in spans {
        let reason = "retention: the disk was full before rules had read these samples".to_owned();
        changes.gaps.push(GapRow { source: source.clone(), from, to, reason });
        changes.dropped.insert(source, samples);
    }
    Ok(changes)
}
