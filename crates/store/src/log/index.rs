//! Where the batches of each source lie in a file of frames, so that one source is read without reading the others.

use super::{
    frame::{self, Head},
    segment::Segment,
};
use crate::StoreError;
use andon_model::{Name, Offset, sample::Batch};
use std::{collections::BTreeMap, sync::Arc};

/// A batch in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The byte of its frame.
    pub(crate) at: u64,
    /// The place behind its last entry.
    pub(crate) end: Offset,
    /// Samples that were stored with it.
    pub(crate) samples: u64,
}

/// The batches of a file by source, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// The file was looked through up to this byte.
    at: u64,
    /// The batches that hold entries.
    pub(crate) spots: BTreeMap<Name, Vec<Spot>>,
}

impl Index {
    /// Of a file that was not looked through yet.
    pub(crate) fn new(segment: &Segment) -> Self {
        Self { at: segment.begin, spots: BTreeMap::new() }
    }

    /// Looks through what is behind the last look and before the entry at `end`, which must be durable; without `end`
    /// up to the end of the file.
    pub(crate) fn grow(&mut self, segment: &mut Segment, end: Option<Offset>) -> Result<(), StoreError> {
        segment.refresh();
        let length = segment.file.length().map_err(|e| StoreError::io(&segment.path, "read", e))?;
        while self.at < length {
            let head = match segment.head(self.at)? {
                Ok(head) if end.is_some_and(|end| head.first.offset >= end) => break,
                Ok(head) => head,
                // Room that was taken ahead.
                Err(_) if end.is_some() => break,
                Err(wrong) => return Err(StoreError::corrupt(&segment.path, self.at, wrong.0)),
            };
            let part = match segment.frame(self.at, &head)?.and_then(|bytes| frame::read_counts(&head, bytes)) {
                Ok(part) => part,
                Err(wrong) => return Err(StoreError::corrupt(&segment.path, self.at, wrong.0)),
            };
            if let Some(part) = part.filter(|_| head.entries > 0) {
                let spot = Spot { at: self.at, end: head.end(), samples: part.counts.stored };
                self.spots.entry(part.source).or_default().push(spot);
            }
            self.at += head.bytes() as u64;
        }
        Ok(())
    }
}

/// Of batches in their order, the newest ones that hold at least so many samples together; and how many are missing.
pub(crate) fn newest(spots: &[Spot], samples: u64) -> (&[Spot], u64) {
    let mut missing = samples;
    let mut from = spots.len();
    for spot in spots.iter().rev() {
        if missing == 0 {
            break;
        }
        missing = missing.saturating_sub(spot.samples);
        from -= 1;
    }
    (spots.get(from..).unwrap_or_default(), missing)
}

/// Reads the batch of a spot.
pub(crate) fn batch(segment: &mut Segment, spot: Spot) -> Result<Arc<Batch>, StoreError> {
    let read = match whole(segment, spot)? {
        (head, Ok(bytes)) => frame::read(&head, bytes),
        (_, Err(wrong)) => Err(wrong),
    };
    match read {
        Ok(Some(batch)) => Ok(Arc::new(batch)),
        Ok(None) => Err(StoreError::corrupt(&segment.path, spot.at, "an end frame has entries")),
        Err(wrong) => Err(StoreError::corrupt(&segment.path, spot.at, wrong.0)),
    }
}

/// The frame of a spot as it lies there, its checksum checked.
pub(crate) fn bytes(segment: &mut Segment, spot: Spot) -> Result<&[u8], StoreError> {
    let path = segment.path.clone();
    whole(segment, spot)?.1.map_err(|wrong| StoreError::corrupt(&path, spot.at, wrong.0))
}

type Whole<'a> = (Head, Result<&'a [u8], frame::NoFrame>);

fn whole(segment: &mut Segment, spot: Spot) -> Result<Whole<'_>, StoreError> {
    let head = segment.head(spot.at)?.map_err(|wrong| StoreError::corrupt(&segment.path, spot.at, wrong.0))?;
    Ok((head, segment.frame(spot.at, &head)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_taken_from_the_end() {
        let spots: Vec<Spot> = [3, 0, 5, 2].iter().map(|&samples| Spot { at: samples, end: 0, samples }).collect();
        assert_eq!(newest(&spots, 0), (&spots[4..], 0));
        assert_eq!(newest(&spots, 2), (&spots[3..], 0));
        assert_eq!(newest(&spots, 3), (&spots[2..], 0));
        assert_eq!(newest(&spots, 8), (&spots[..], 0));
        assert_eq!(newest(&spots, 11), (&spots[..], 1));
    }
}
