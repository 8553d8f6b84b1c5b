//! Looks at every frame of every segment.

use super::{
    index::Index,
    segment::{self, Segment, Tail},
};
use crate::{
    StoreError,
    disk::{Disk, Mode},
};
use andon_model::{InstanceId, Position};
use std::path::{Path, PathBuf};

/// How often the end of a segment that grows is followed again.
const TRIES: u32 = 16;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Segments that were looked at.
    pub(crate) segments: u64,
    /// Frames with whole checksums.
    pub(crate) frames: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Whether the last segment ends in a write that did not reach the disk whole.
    pub(crate) torn: bool,
    /// The place of the oldest entry.
    pub(crate) start: Option<Position>,
    /// The place behind the newest one; `None` where damage hides it.
    pub(crate) end: Option<Position>,
    /// What is not as it was written.
    pub(crate) damages: Vec<Damage>,
}

/// Damage of a segment.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) code: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) what: String,
    /// Everything that is hidden by it lies before this place, where that is known.
    pub(crate) until: Option<Position>,
}

/// The instance and epoch that the newest segment names.
pub(crate) fn named_by_newest(disk: &Disk, log: &Path) -> Result<Option<(InstanceId, u32)>, StoreError> {
    let Some(newest) = list(disk, log)?.pop() else { return Ok(None) };
    let header = Segment::open(disk, log, newest, Mode::Read).map(|segment| segment.header);
    Ok(header.ok().map(|header| (header.instance, header.first.epoch)))
}

fn list(disk: &Disk, log: &Path) -> Result<Vec<u64>, StoreError> {
    if disk.is_dir(log) { segment::list(disk, log) } else { Ok(Vec::new()) }
}

/// Looks at all segments of a log. One that an instance writes to may grow and lose its oldest segments meanwhile.
pub(crate) fn examine(
    disk: &Disk,
    log: &Path,
    instance: Option<InstanceId>,
    running: bool,
) -> Result<Walk, StoreError> {
    let mut walk = Walk::default();
    let firsts = list(disk, log)?;
    let mut before: Option<Tail> = None;
    let mut hidden = false;
    for (number, first) in firsts.iter().enumerate() {
        let path = segment::path(log, *first);
        let next = firsts.get(number + 1);
        let until = next.map(|next| Position { epoch: u32::MAX, offset: *next });
        let damage = |code, what: String| Damage { code, path: path.clone(), what, until };
        let mut segment = match Segment::open(disk, log, *first, Mode::Read) {
            Err(error) if running && error.is_gone() => continue,
            Err(error) => {
                walk.damages.push(damage("A7104", told(&error)?));
                (before, hidden) = (None, true);
                continue;
            }
            Ok(segment) => segment,
        };
        walk.segments += 1;
        if let Some(instance) = instance.filter(|instance| *instance != segment.header.instance) {
            let of = segment.header.instance;
            walk.damages.push(damage("A7117", format!("it belongs to the instance {of}, the folder to {instance}")));
        }
        if number == 0 {
            walk.start = Some(segment.header.first);
        }
        walk.damages.extend(follows(before.take(), &segment, &path));
        let length = segment.file.length().map_err(|e| StoreError::io(&path, "read", e))?;
        let begin = segment.tail();
        let (mut tail, mut frames, mut stop) = each(&mut segment, begin)?;
        let mut is_whole = if next.is_some() { tail.at == length } else { segment.proof_behind(&tail)?.is_none() };
        // What lies behind the end may have been written since: it is followed again before it counts as damage.
        for _ in 0..TRIES {
            if is_whole || !running || next.is_some() {
                break;
            }
            segment.refresh();
            let (again, more, why) = each(&mut segment, tail)?;
            (tail, frames, stop) = (again, frames + more, why);
            is_whole = segment.proof_behind(&tail)?.is_none();
        }
        walk.frames += frames;
        walk.bytes += tail.at;
        if !is_whole {
            let what = format!("at byte {}: {stop}; the entries from {} on are hidden", tail.at, tail.end);
            walk.damages.push(damage("A7104", what));
            hidden = hidden || next.is_none();
            continue;
        }
        if next.is_none() && !running {
            walk.torn = torn(&mut segment, tail.at)?;
        }
        (hidden, walk.end) = (false, Some(tail.end));
        before = Some(tail);
    }
    if hidden {
        walk.end = None;
    }
    if let Err(error) = window(disk, log, running) {
        walk.damages.push(Damage { code: "A7104", path: log.join("window"), what: told(&error)?, until: None });
    }
    Ok(walk)
}

/// Follows frame after frame; the tail, how many there were, and why it ends.
fn each(segment: &mut Segment, begin: Tail) -> Result<(Tail, u64, &'static str), StoreError> {
    let mut frames = 0;
    let mut at = begin.at;
    let (tail, stop) = segment.follow(begin)?;
    while at < tail.at {
        let Ok(head) = segment.head(at)? else { break };
        at += head.bytes() as u64;
        frames += 1;
    }
    Ok((tail, frames, stop.0))
}

/// Whether a segment goes on where the one before it ends, with what was received by then.
fn follows(before: Option<Tail>, segment: &Segment, path: &Path) -> Option<Damage> {
    let before = before?;
    let header = &segment.header;
    let damage = |code, what| Some(Damage { code, path: path.to_owned(), what, until: None });
    if header.first.offset != before.end.offset || header.first.epoch < before.end.epoch {
        let (end, first) = (before.end, header.first);
        return damage("A7105", format!("it begins at {first}, and the segment before it ends at {end}"));
    }
    if header.counts != before.counts {
        return damage("A7104", "it was begun with other counts than the segments before it hold".to_owned());
    }
    None
}

/// Whether there is anything behind the last whole frame.
fn torn(segment: &mut Segment, at: u64) -> Result<bool, StoreError> {
    segment.refresh();
    Ok(segment.head(at)?.is_ok())
}

/// The batches that are kept of segments that are gone.
fn window(disk: &Disk, log: &Path, running: bool) -> Result<(), StoreError> {
    let path = log.join("window");
    if !disk.exists(&path) {
        return Ok(());
    }
    let looked = Segment::open_path(disk, path, Mode::Read)
        .and_then(|mut segment| Index::new(&segment).grow(&mut segment, None));
    match looked {
        Err(error) if running && error.is_gone() => Ok(()),
        looked => looked,
    }
}

/// What the store says of damage; what says nothing about the file stays an error.
fn told(error: &StoreError) -> Result<String, StoreError> {
    match error {
        StoreError::Corrupt { place, what, .. } => Ok(format!("at byte {place}: {what}")),
        StoreError::Newer { found, known, .. } => {
            Ok(format!("it has format {found}, this version knows up to {known}"))
        }
        StoreError::Io { doing, cause, .. } => Ok(format!("cannot {doing} it: {cause}")),
        other => Err(other.clone()),
    }
}
