//! One file of the log: its header, the way through its frames, and where it ends after a crash.

use super::frame::{self, Bytes, HEAD_BYTES, Head, MAGIC, NoFrame};
use crate::{
    StoreError,
    disk::{Disk, File, Mode},
};
use andon_model::{InstanceId, Name, Offset, Position, sample::Counts};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The first bytes of a segment.
const SEGMENT: [u8; 8] = *b"andonlog";

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// Magic, version, length, checksum.
const FIXED_BYTES: usize = 20;

/// The most bytes of a header that are believed: some ten thousand sources.
const HEADER_BYTES_MAX: usize = 4 << 20;

/// Bytes read from a file at once.
const WINDOW_BYTES: usize = 256 << 10;

/// What a segment says of itself and of all that came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// The instance that wrote it.
    pub(crate) instance: InstanceId,
    /// The place of its first entry.
    pub(crate) first: Position,
    /// What was received before it, per source, so that older segments may go.
    pub(crate) counts: BTreeMap<Name, Counts>,
}

impl Header {
    /// Its bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut to = SEGMENT.to_vec();
        to.extend_from_slice(&VERSION.to_le_bytes());
        to.extend_from_slice(&[0; 8]);
        to.extend_from_slice(self.instance.code().as_bytes());
        to.extend_from_slice(&self.first.epoch.to_le_bytes());
        to.extend_from_slice(&self.first.offset.to_le_bytes());
        frame::varint(&mut to, self.counts.len() as u64);
        for (source, counts) in &self.counts {
            frame::varint(&mut to, source.as_str().len() as u64);
            to.extend_from_slice(source.as_str().as_bytes());
            let Counts { received, stored, duplicate, quarantined, refused } = *counts;
            for count in [received, stored, duplicate, quarantined, refused] {
                frame::varint(&mut to, count);
            }
        }
        let length = u32::try_from(to.len()).expect("a header is bounded by the number of sources");
        to.iter_mut().skip(12).zip(length.to_le_bytes()).for_each(|(to, from)| *to = from);
        let crc = sum(&to);
        to.iter_mut().skip(16).zip(crc.to_le_bytes()).for_each(|(to, from)| *to = from);
        to
    }

    /// Reads a header; with the number of its bytes.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, usize), NotAHeader> {
        let mut from = Bytes(bytes);
        if from.take(8)? != SEGMENT {
            return Err(NotAHeader::Damaged("it does not begin as a segment of the log"));
        }
        let version = from.u32()?;
        if version > VERSION {
            return Err(NotAHeader::Newer(version));
        }
        let (length, crc) = (from.u32()? as usize, from.u32()?);
        let whole = bytes.get(..length).filter(|header| header.len() >= FIXED_BYTES);
        let whole = whole.ok_or(NotAHeader::Damaged("its header is cut short"))?;
        if sum(whole) != crc {
            return Err(NotAHeader::Damaged("the checksum of its header does not fit"));
        }
        let mut from = Bytes(whole.get(FIXED_BYTES..).unwrap_or_default());
        let code = std::str::from_utf8(from.take(16)?).unwrap_or_default();
        let instance = InstanceId::parse(&format!("{}_{code}", InstanceId::KIND))
            .map_err(|_| NotAHeader::Damaged("its header names no instance"))?;
        let first = Position { epoch: from.u32()?, offset: from.u64()? };
        let mut counts = BTreeMap::new();
        for _ in 0..from.varint()? {
            let source = Name::new(from.text()?).map_err(|_| NotAHeader::Damaged("its header has a wrong name"))?;
            counts.insert(source, from.counts()?);
        }
        Ok((Self { instance, first, counts }, length))
    }
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAHeader {
    /// It was written by a newer version.
    Newer(u32),
    /// It is not what was written.
    Damaged(&'static str),
}

impl From<NoFrame> for NotAHeader {
    fn from(_: NoFrame) -> Self {
        Self::Damaged("its header is cut short")
    }
}

fn sum(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header.get(..16).unwrap_or_default());
    crc.update(header.get(FIXED_BYTES..).unwrap_or_default());
    crc.finalize()
}

/// The file of the segment that begins at an offset.
pub(crate) fn path(log: &Path, first: Offset) -> PathBuf {
    log.join(format!("{first:020}.seg"))
}

/// The offsets at which segments begin, in order; other files are not ours and left alone.
pub(crate) fn list(disk: &Disk, log: &Path) -> Result<Vec<Offset>, StoreError> {
    let names = disk.list(log)?;
    let mut firsts: Vec<_> = names.iter().filter_map(|name| offset(name.strip_suffix(".seg")?)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Removes what a crash left before it had its name: a segment takes the room of a whole one.
pub(crate) fn tidy(disk: &Disk, log: &Path) -> Result<(), StoreError> {
    leftovers(disk, log)?.iter().try_for_each(|path| disk.remove(path))
}

/// What a crash left before it had its name.
pub(crate) fn leftovers(disk: &Disk, log: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let ours = |name: &str| name == super::window::ASIDE || name.strip_suffix(".seg.new").and_then(offset).is_some();
    Ok(disk.list(log)?.iter().filter(|name| ours(name)).map(|name| log.join(name)).collect())
}

/// The offset in the name of a segment: 20 digits, and not the sign that a number may have besides.
fn offset(digits: &str) -> Option<Offset> {
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// A segment that is read.
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// The byte at which the first frame begins.
    pub(crate) begin: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Segment {
    /// Opens a segment and reads its header.
    pub(crate) fn open(disk: &Disk, log: &Path, first: Offset, mode: Mode) -> Result<Self, StoreError> {
        let segment = Self::open_path(disk, path(log, first), mode)?;
        let found = segment.header.first.offset;
        if found == first {
            return Ok(segment);
        }
        Err(StoreError::corrupt(&segment.path, 0, format!("its header says that it begins at {found}")))
    }

    /// Opens a file that begins as a segment does.
    pub(crate) fn open_path(disk: &Disk, path: PathBuf, mode: Mode) -> Result<Self, StoreError> {
        let file = disk.open(&path, mode).map_err(|e| StoreError::io(&path, "open", e))?;
        let mut bytes = vec![0; FIXED_BYTES];
        let io = |e| StoreError::io(&path, "read", e);
        let load = |bytes: &mut Vec<u8>| -> Result<(), StoreError> {
            let count = file.read_at(bytes, 0).map_err(io)?;
            bytes.truncate(count);
            Ok(())
        };
        load(&mut bytes)?;
        let length = bytes.get(12..16).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes);
        if (FIXED_BYTES..=HEADER_BYTES_MAX).contains(&(length as usize)) {
            bytes = vec![0; length as usize];
            load(&mut bytes)?;
        }
        let (header, length) = Header::read(&bytes).map_err(|wrong| match wrong {
            NotAHeader::Newer(found) => StoreError::Newer { path: path.clone(), found, known: VERSION },
            NotAHeader::Damaged(what) => StoreError::corrupt(&path, 0, what),
        })?;
        Ok(Self { file, path, header, begin: length as u64, window: Vec::new(), window_at: 0 })
    }

    /// The bytes at a place, fewer than asked for at the end of the file.
    fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8], StoreError> {
        let inside = |window: &[u8], window_at: u64| {
            let from = usize::try_from(at.checked_sub(window_at)?).ok()?;
            window.get(from..from.checked_add(count)?).map(|_| from)
        };
        let from = if let Some(from) = inside(&self.window, self.window_at) {
            from
        } else {
            self.window.clear();
            self.window.resize(count.max(WINDOW_BYTES), 0);
            // A large frame must not keep its memory for ever.
            self.window.shrink_to(count.max(WINDOW_BYTES));
            self.window_at = at;
            let read = self.file.read_at(&mut self.window, at).map_err(|e| StoreError::io(&self.path, "read", e))?;
            self.window.truncate(read);
            0
        };
        let rest = self.window.get(from..).unwrap_or_default();
        Ok(rest.get(..count).unwrap_or(rest))
    }

    /// Forgets what was read, because more may have been written since.
    pub(crate) fn refresh(&mut self) {
        self.window.clear();
    }

    /// The fixed part of the frame at a byte.
    pub(crate) fn head(&mut self, at: u64) -> Result<Result<Head, NoFrame>, StoreError> {
        self.bytes(at, HEAD_BYTES).map(Head::read)
    }

    /// The whole frame at a byte, its checksum checked.
    pub(crate) fn frame(&mut self, at: u64, head: &Head) -> Result<Result<&[u8], NoFrame>, StoreError> {
        let frame = self.bytes(at, head.bytes())?;
        Ok(head.check(frame).map(|()| frame))
    }

    /// Follows the frames from a byte on, as long as they are whole and follow each other.
    pub(crate) fn follow(&mut self, mut tail: Tail) -> Result<(Tail, NoFrame), StoreError> {
        loop {
            let head = match self.head(tail.at)? {
                Ok(head) if head.first != tail.end => return Ok((tail, NoFrame("the frame does not follow the last"))),
                Ok(head) => head,
                Err(stop) => return Ok((tail, stop)),
            };
            let counts = match self.frame(tail.at, &head)? {
                Ok(frame) => frame::read_counts(&head, frame),
                Err(stop) => return Ok((tail, stop)),
            };
            match counts {
                Ok(Some(part)) => super::add(&mut tail.counts, &part),
                Ok(None) => {}
                Err(stop) => return Ok((tail, stop)),
            }
            tail.at += head.bytes() as u64;
            tail.end.offset = head.end();
        }
    }

    /// The tail of a segment of which nothing was followed yet.
    pub(crate) fn tail(&self) -> Tail {
        Tail { at: self.begin, end: self.header.first, counts: self.header.counts.clone() }
    }

    /// Searches behind the tail, where no frame begins, for one that proves that this place was durable: then
    /// something is damaged, and it is not the torn end of a write that nobody was told of.
    pub(crate) fn proof_behind(&mut self, tail: &Tail) -> Result<Option<u64>, StoreError> {
        let mut from = tail.at + 1;
        loop {
            let bytes = self.bytes(from, WINDOW_BYTES)?;
            let Some(found) = memchr::memmem::find(bytes, &MAGIC) else {
                if bytes.len() < WINDOW_BYTES {
                    return Ok(None);
                }
                // The magic may lie across the border of two windows.
                from += (WINDOW_BYTES - MAGIC.len() + 1) as u64;
                continue;
            };
            from += found as u64;
            if let Ok(head) = self.head(from)?
                && could_follow(&head, from, tail)
                && self.frame(from, &head)?.is_ok()
            {
                return Ok(Some(from));
            }
            from += 1;
        }
    }
}

/// Whether a head at a byte can be one of this segment behind the tail, and proves the tail's end. A sample may hold
/// whole frames as bytes, of another log or made up: those say nothing of this one, and are not even summed.
fn could_follow(head: &Head, at: u64, tail: &Tail) -> bool {
    let durable = u64::from(head.durable);
    let ours = head.first.epoch == tail.end.epoch && head.first.offset >= tail.end.offset;
    ours && durable > tail.at && durable <= at
}

/// How far a segment was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The byte behind the last whole frame.
    pub(crate) at: u64,
    /// The place of the next entry.
    pub(crate) end: Position,
    /// What was received up to there, per source.
    pub(crate) counts: BTreeMap<Name, Counts>,
}

/// Reads any bytes as a segment: what is no segment is refused, and nothing else happens.
pub fn fuzz(data: &[u8]) {
    let mut rest = match Header::read(data) {
        Ok((header, length)) => {
            assert_eq!(Header::read(&header.write()).map(|(again, _)| again), Ok(header));
            data.get(length..).unwrap_or_default()
        }
        Err(_) => data,
    };
    while let Ok(head) = Head::read(rest) {
        let sound = head.check(rest).is_ok();
        // The decoder must hold against bytes whose checksum fits by chance, too.
        if let Ok(Some(batch)) = frame::read(&head, rest) {
            let mut again = Vec::new();
            frame::write(&mut again, &batch, head.durable);
            let head = Head::read(&again).expect("what was written is a frame");
            let read = frame::read(&head, &again).expect("what was written reads back");
            // A NaN is not equal to itself; its bytes are.
            let mut third = Vec::new();
            frame::write(&mut third, &read.expect("it is no end frame"), head.durable);
            assert_eq!(again, third);
        }
        rest = match rest.get(head.bytes()..) {
            Some(behind) if sound => behind,
            _ => rest.get(1..).unwrap_or_default(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::part;
    use andon_model::sample::Batch;
    use proptest::prelude::*;

    fn header() -> Header {
        let counts = Counts { received: 300, stored: 299, duplicate: 1, ..Counts::default() };
        Header {
            instance: InstanceId::from_bits([3; 10]),
            first: Position { epoch: 2, offset: 70_000 },
            counts: BTreeMap::from([(Name::new("line-1").unwrap(), counts)]),
        }
    }

    /// A segment with some frames.
    fn bytes() -> Vec<u8> {
        let mut bytes = header().write();
        let mut first = header().first;
        for seed in 0..9 {
            let batch = Batch { first, part: part("line-1", seed, seed) };
            first = batch.end();
            let durable = u32::try_from(bytes.len()).unwrap();
            frame::write(&mut bytes, &batch, durable);
        }
        bytes
    }

    #[test]
    fn a_header_reads_back_and_refuses_every_flipped_bit() {
        let good = header().write();
        assert_eq!(Header::read(&good), Ok((header(), good.len())));
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1u8 << bit;
                assert!(Header::read(&bad).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert_eq!(Header::read(&[]), Err(NotAHeader::Damaged("its header is cut short")));
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            fuzz(&bytes);
        }
    }
}
