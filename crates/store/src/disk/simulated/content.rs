//! The bytes of a file: those that are seen, those that are durable, and what lies between.

use super::chance::Chance;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// Bytes, and zeros behind them up to the length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    bytes: Vec<u8>,
    length: u64,
}

/// What was done to a file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write {
        at: u64,
        bytes: Vec<u8>,
    },
    /// The file has this length now.
    Length(u64),
    /// The file is at least so long.
    Room(u64),
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    now: Image,
    durable: Image,
    /// What is done and not durable yet, in its order.
    pending: Vec<Change>,
}

impl Image {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let start = place(at);
        let end = start + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(to) = self.bytes.get_mut(start..end) {
            to.copy_from_slice(bytes);
        }
        self.length = self.length.max(end as u64);
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Write { at, bytes } => self.write(*at, bytes),
            Change::Length(length) => {
                self.bytes.truncate(place(*length));
                self.length = *length;
            }
            Change::Room(length) => self.length = self.length.max(*length),
        }
    }

    /// All bytes.
    pub(super) fn whole(&self) -> Vec<u8> {
        let mut bytes = vec![0; place(self.length)];
        self.read(0, &mut bytes);
        bytes
    }

    /// Fills `to` as far as the file goes.
    pub(super) fn read(&self, at: u64, to: &mut [u8]) -> usize {
        let count = place(self.length.saturating_sub(at)).min(to.len());
        let there = self.bytes.get(place(at)..).unwrap_or_default();
        let (bytes, zeros) = to.split_at_mut(count.min(there.len()));
        bytes.copy_from_slice(there.get(..bytes.len()).unwrap_or_default());
        if let Some(zeros) = zeros.get_mut(..count - bytes.len()) {
            zeros.fill(0);
        }
        count
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

impl Change {
    /// What a change does to the disk when the power fails before it is synced: all of it, nothing, or parts of it.
    fn lose(&self, image: &mut Image, chance: &mut Chance) {
        let Self::Write { at, bytes } = self else {
            if chance.coin() {
                image.change(self);
            }
            return;
        };
        match chance.below(3) {
            0 => image.write(*at, bytes),
            // Of what is lost the length may be there.
            1 if chance.coin() => image.change(&Self::Room(at + bytes.len() as u64)),
            1 => {}
            _ => tear(image, *at, bytes, chance),
        }
    }
}

/// Some sectors of a write reach the disk, in any order; one may be garbage as far as the write goes.
fn tear(image: &mut Image, at: u64, bytes: &[u8], chance: &mut Chance) {
    let end = at + bytes.len() as u64;
    let sectors = end.div_ceil(SECTOR) - at / SECTOR;
    let garbage = chance.coin().then(|| chance.below(sectors));
    let mut from = at;
    for number in 0..sectors {
        let to = (from / SECTOR + 1).saturating_mul(SECTOR).min(end);
        let of = bytes.get(place(from - at)..place(to - at)).unwrap_or_default();
        if garbage == Some(number) {
            image.write(from, &of.iter().map(|_| chance.byte()).collect::<Vec<_>>());
        } else if chance.coin() {
            image.write(from, of);
        }
        from = to;
    }
}

impl Content {
    /// What is seen.
    pub(super) fn now(&self) -> &Image {
        &self.now
    }

    pub(super) fn change(&mut self, change: Change) {
        self.now.change(&change);
        self.pending.push(change);
    }

    /// How many bytes more a change takes on the disk.
    pub(super) fn growth(&self, change: &Change) -> u64 {
        let length = match change {
            Change::Write { at, bytes } => at + bytes.len() as u64,
            Change::Length(length) | Change::Room(length) => *length,
        };
        length.saturating_sub(self.now.length)
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            self.durable.change(&change);
        }
    }

    /// A sync that failed: the system takes what was not synced for clean from then on, and may show it or not.
    pub(super) fn fail(&mut self, chance: &mut Chance) {
        for change in std::mem::take(&mut self.pending) {
            change.lose(&mut self.durable, chance);
        }
        if chance.coin() {
            self.now = self.durable.clone();
        }
    }

    /// What is durable is seen from now on, where nothing waits to become so.
    pub(super) fn forget_memory(&mut self) {
        if self.pending.is_empty() {
            self.now = self.durable.clone();
        }
    }

    /// The power has failed.
    pub(super) fn lose(&mut self, chance: &mut Chance) {
        for change in std::mem::take(&mut self.pending) {
            change.lose(&mut self.durable, chance);
        }
        self.now = self.durable.clone();
    }

    /// What is durable, as a file of its own.
    pub(super) fn kept(&self) -> Self {
        Self { now: self.durable.clone(), durable: self.durable.clone(), pending: Vec::new() }
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
