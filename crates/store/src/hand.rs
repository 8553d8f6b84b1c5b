//! What is at hand: each loop says what it works on, so that after an end that nobody planned it is known what the
//! process had at hand.
//!
//! A hand is a place of fixed size in a file beside the database. It is written without waiting for the disk: it
//! outlives the process and not the machine, and nothing that is processed can cut the power. What was at hand when a
//! process ended is a *suspect*, a row of the database. It is processed alone: while it is at hand no other loop has
//! anything at hand. When the process ends [`ENDS_MAX`] further times with it alone at hand it is *poison*, and its
//! loop sets it aside as an exception instead of taking it up again.

use crate::{
    Store, StoreError,
    disk::{Disk, File, Mode},
    error::is_full,
    rows::{InProcessRow, Write},
};
use andon_model::Time;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Ends of the process with a suspect alone at hand after which it is poison.
pub const ENDS_MAX: u32 = 2;
/// Hands of one instance; a loop beyond says nothing of what it has at hand.
pub const HANDS_MAX: usize = 1_024;
/// Bytes of one hand: part and item are cut to fit.
pub const HAND_BYTES: usize = 256;

/// The name of the file.
pub(crate) const FILE: &str = "at-hand";
/// Length, and whether it is alone.
const HEAD_BYTES: usize = 3;

/// All hands of an instance.
pub(crate) struct Hands {
    /// `None`: they are in memory, as the store is.
    file: Option<File>,
    slots: Mutex<Slots>,
    /// Loops that have something at hand are inside together, a suspect is inside alone.
    gate: RwLock<()>,
}

#[derive(Default)]
struct Slots {
    taken: Vec<bool>,
    /// What lies in each hand of a store in memory.
    memory: BTreeMap<usize, Found>,
    /// What the process before had at hand.
    found: Vec<Found>,
}

/// What lay in a hand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    part: String,
    item: String,
    alone: bool,
}

impl Hands {
    pub(crate) fn memory() -> Arc<Self> {
        Arc::new(Self { file: None, slots: Mutex::default(), gate: RwLock::default() })
    }

    /// Opens the file of a data folder; what lies in it stays until somebody takes it up.
    pub(crate) fn open(disk: &Disk, dir: &Path) -> Result<Arc<Self>, StoreError> {
        let path = dir.join(FILE);
        let fail = |error| StoreError::io(&path, "open", error);
        let file = match disk.open(&path, Mode::Keep) {
            Ok(file) => file,
            // On a full disk it starts all the same: what is at hand is then not known afterwards.
            Err(error) if is_full(&error) => return Ok(Self::memory()),
            Err(error) => return Err(fail(error)),
        };
        let bytes = disk.read(&path, (HAND_BYTES * HANDS_MAX) as u64).map_err(fail)?;
        if bytes.len() < HAND_BYTES * HANDS_MAX {
            // Without room on the disk nothing is said of what is at hand, and all goes on.
            let _ = file.write_all_at(&vec![0; HAND_BYTES * HANDS_MAX - bytes.len()], bytes.len() as u64);
        }
        let found = bytes.chunks(HAND_BYTES).take(HANDS_MAX).filter_map(read).collect();
        let slots = Mutex::new(Slots { found, ..Slots::default() });
        Ok(Arc::new(Self { file: Some(file), slots, gate: RwLock::default() }))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self) -> Vec<Found> {
        let slots = self.slots();
        if self.file.is_some() { slots.found.clone() } else { slots.memory.values().cloned().collect() }
    }

    fn forget_found(&self) {
        let mut slots = self.slots();
        slots.found.clear();
        slots.memory.clear();
        if let Some(file) = &self.file {
            // What stays is taken up once more, which harms nobody.
            let _ = file.write_all_at(&vec![0; HAND_BYTES * HANDS_MAX], 0);
        }
    }

    fn write(&self, slot: usize, found: Option<&Found>) {
        let Some(file) = &self.file else {
            let mut slots = self.slots();
            match found {
                Some(found) => slots.memory.insert(slot, found.clone()),
                None => slots.memory.remove(&slot),
            };
            return;
        };
        let bytes = found.map_or_else(|| vec![0; HEAD_BYTES], write);
        // A disk that fails here is told of by everything else that writes to it.
        let _ = file.write_all_at(&bytes, (slot * HAND_BYTES) as u64);
    }
}

fn write(found: &Found) -> Vec<u8> {
    let text = format!("{}\n{}", found.part, found.item);
    let text = text.get(..text.floor_char_boundary(HAND_BYTES - HEAD_BYTES)).unwrap_or_default();
    let length = u16::try_from(text.len()).unwrap_or(0).to_be_bytes();
    [&length[..], &[u8::from(found.alone)], text.as_bytes()].concat()
}

fn read(bytes: &[u8]) -> Option<Found> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let [high, low, alone] = head else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let text = std::str::from_utf8(rest.get(..length)?).ok().filter(|text| !text.is_empty())?;
    let (part, item) = text.split_once('\n')?;
    Some(Found { part: part.to_owned(), item: item.to_owned(), alone: *alone == 1 })
}

/// Reads bytes as a hand; what is one is written as it was read.
pub(crate) fn fuzz(bytes: &[u8]) {
    // As much as the file has room for in one hand.
    if let Some(found) = read(bytes.get(..HAND_BYTES).unwrap_or(bytes)) {
        assert_eq!(read(&write(&found)), Some(found));
    }
}

/// The hand of a loop.
pub struct Hand {
    hands: Arc<Hands>,
    slot: Option<usize>,
    part: String,
    alone: bool,
    full: bool,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand").field("part", &self.part).field("full", &self.full).finish_non_exhaustive()
    }
}

impl Hand {
    /// Takes something into the hand, instead of what was there. An item has no line breaks. It is worked on inside
    /// the gate, and nowhere else.
    pub fn take(&mut self, item: &str) {
        let Some(slot) = self.slot else { return };
        let found = Found { part: self.part.clone(), item: item.to_owned(), alone: self.alone };
        self.hands.write(slot, Some(&found));
        self.full = true;
    }

    /// Nothing is at hand any more.
    pub fn free(&mut self) {
        if let Some(slot) = self.slot.filter(|_| self.full) {
            self.hands.write(slot, None);
            self.full = false;
        }
    }

    /// The way in, for as long as something is at hand. With `alone` nobody else is inside, and what is taken from
    /// here on is alone at hand.
    pub fn gate(&mut self, alone: bool) -> Gate {
        self.alone = alone;
        Gate { hands: Arc::clone(&self.hands), alone }
    }
}

impl Drop for Hand {
    /// What is at hand stays: whoever drops a hand that is full ends in the middle of something.
    fn drop(&mut self) {
        if let Some(slot) = self.slot.filter(|_| !self.full)
            && let Some(taken) = self.hands.slots().taken.get_mut(slot)
        {
            *taken = false;
        }
    }
}

/// The way in.
pub struct Gate {
    hands: Arc<Hands>,
    alone: bool,
}

impl Gate {
    /// Waits until there is room, and is inside until it is dropped.
    pub fn enter(&self) -> Inside<'_> {
        let gate = &self.hands.gate;
        if self.alone {
            Inside::Alone(gate.write().unwrap_or_else(PoisonError::into_inner))
        } else {
            Inside::Beside(gate.read().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

/// Somebody is inside.
pub enum Inside<'a> {
    /// With others.
    Beside(RwLockReadGuard<'a, ()>),
    /// Alone.
    Alone(RwLockWriteGuard<'a, ()>),
}

/// The suspects of a part.
#[derive(Debug, Default)]
pub struct Suspects {
    part: String,
    ends: BTreeMap<String, u32>,
    /// Those that were met since they were asked for last.
    met: Vec<String>,
}

impl Suspects {
    /// Whether nobody is suspected.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Unclean ends with an item alone at hand; `None`: it is no suspect.
    pub fn ends(&self, item: &str) -> Option<u32> {
        self.ends.get(item).copied()
    }

    /// The items that are suspected.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(String::as_str)
    }

    /// An item is about to be processed; whether it is poison, and is to be set aside instead.
    pub fn meets(&mut self, item: &str) -> bool {
        let Some(ends) = self.ends(item) else { return false };
        self.met.push(item.to_owned());
        ends >= ENDS_MAX
    }

    /// What was met is done and durable, or set aside: the rows that say so.
    pub fn acquit(&mut self) -> Vec<Write> {
        let met = std::mem::take(&mut self.met);
        met.into_iter().filter_map(|item| self.forget(&item)).collect()
    }

    /// What was met is not durable: it is met again.
    pub fn again(&mut self) {
        self.met.clear();
    }

    /// There is nothing left that could be one of them: the rows that say so.
    pub fn acquit_all(&mut self) -> Vec<Write> {
        self.met = self.ends.keys().cloned().collect();
        self.acquit()
    }

    fn forget(&mut self, item: &str) -> Option<Write> {
        self.ends.remove(item).map(|_| Write::InProcessRemove(self.part.clone(), item.to_owned()))
    }
}

impl Store {
    /// A hand for a part: `workflows`, `rules`, `source/<name>`.
    pub fn hand(&self, part: &str) -> Hand {
        let hands = Arc::clone(self.hands());
        let mut slots = hands.slots();
        let slot = match slots.taken.iter().position(|taken| !taken) {
            Some(free) => Some(free),
            None if slots.taken.len() < HANDS_MAX => {
                slots.taken.push(true);
                Some(slots.taken.len() - 1)
            }
            None => None,
        };
        if let Some(taken) = slot.and_then(|slot| slots.taken.get_mut(slot)) {
            *taken = true;
        }
        drop(slots);
        Hand { hands, slot, part: part.to_owned(), alone: false, full: false }
    }

    /// The suspects of a part.
    pub fn suspects(&self, part: &str) -> Result<Suspects, StoreError> {
        let rows = self.in_process()?.into_iter().filter(|row| row.part == part);
        Ok(Suspects { part: part.to_owned(), ends: rows.map(|row| (row.item, row.ends)).collect(), met: Vec::new() })
    }

    /// Before anything is processed: what the process before had at hand becomes suspect, and what it had alone at
    /// hand has seen one end more. Durable when it returns.
    pub fn take_up(&self, now: Time) -> Result<Vec<InProcessRow>, StoreError> {
        let found = self.hands().found();
        let known = self.in_process()?;
        // Beside one who is alone nobody is inside: what lies in other hands was not worked on.
        let is_alone = found.iter().any(|found| found.alone);
        let rows: Vec<InProcessRow> = found
            .into_iter()
            .filter(|found| found.alone || !is_alone)
            .map(|Found { part, item, alone }| {
                let before = known.iter().find(|row| row.part == part && row.item == item);
                // Only after an unclean end is anything alone at hand: this end is a further one.
                let ends = before.map_or(0, |row| row.ends).saturating_add(u32::from(alone));
                InProcessRow { part, item, ends, at: now }
            })
            .collect();
        if !rows.is_empty() {
            self.commit(rows.iter().map(|row| Write::InProcess(Box::new(row.clone()))).collect())?;
            self.hands().forget_found();
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::MIN;

    fn chance(bytes: &mut [u8]) {
        bytes.fill(7);
    }

    /// What is suspected, with its ends.
    fn suspected(store: &Store) -> Vec<(String, String, u32)> {
        store.in_process().unwrap().into_iter().map(|row| (row.part, row.item, row.ends)).collect()
    }

    #[test]
    fn what_was_at_hand_is_suspected_and_only_ends_alone_count() {
        let dir = tempfile::tempdir().unwrap();
        let one = |part: &str, item: &str, ends| vec![(part.to_owned(), item.to_owned(), ends)];

        // A process that ends with nothing at hand leaves no suspect.
        let store = Store::open(dir.path(), &mut chance).unwrap();
        let mut hand = store.hand("workflows");
        hand.take("run/a");
        hand.free();
        drop((hand, store));
        let store = Store::open(dir.path(), &mut chance).unwrap();
        assert_eq!(store.take_up(NOW).unwrap(), []);

        // Two hands are full at the end: both are suspected, and neither has seen an end alone.
        let (mut runs, mut rules) = (store.hand("workflows"), store.hand("rules"));
        runs.take("run/a");
        rules.take("log/1/7");
        drop((runs, rules, store));
        let store = Store::open(dir.path(), &mut chance).unwrap();
        store.take_up(NOW).unwrap();
        let both = [one("rules", "log/1/7", 0), one("workflows", "run/a", 0)].concat();
        assert_eq!(suspected(&store), both);
        assert_eq!(store.take_up(NOW).unwrap(), [], "it is taken up once");

        // One survives alone; the other ends the process twice.
        let mut suspects = store.suspects("rules").unwrap();
        assert!(!suspects.meets("log/1/7") && !suspects.meets("log/1/8"));
        store.commit(suspects.acquit()).unwrap();
        assert!(suspects.is_empty());
        let mut store = store;
        for ends in 1..=ENDS_MAX {
            assert!(!store.suspects("workflows").unwrap().meets("run/a"));
            let mut runs = store.hand("workflows");
            let gate = runs.gate(true);
            let inside = gate.enter();
            runs.take("run/a");
            drop(inside);
            drop((runs, gate, store));
            store = Store::open(dir.path(), &mut chance).unwrap();
            store.take_up(NOW).unwrap();
            assert_eq!(suspected(&store), one("workflows", "run/a", ends));
        }
        let mut suspects = store.suspects("workflows").unwrap();
        assert!(suspects.meets("run/a"), "now it is poison");
        store.commit(suspects.acquit()).unwrap();
        assert_eq!(suspected(&store), []);
    }

    #[test]
    fn nobody_is_inside_beside_one_who_is_alone() {
        let store = Store::memory(&mut chance);
        let (mut first, mut second) = (store.hand("a"), store.hand("b"));
        let (beside, too) = (first.gate(false), second.gate(false));
        drop((beside.enter(), too.enter()));
        let alone = first.gate(true);
        let inside = alone.enter();
        let (sent, came) = std::sync::mpsc::channel();
        let waits = std::thread::spawn(move || {
            let _inside = too.enter();
            sent.send(()).unwrap();
        });
        assert!(came.try_recv().is_err());
        drop(inside);
        came.recv().unwrap();
        waits.join().unwrap();
    }

    #[test]
    fn a_hand_holds_what_fits_and_a_torn_file_holds_nothing() {
        let found = Found { part: "source/a".to_owned(), item: "ä".repeat(400), alone: true };
        let bytes = write(&found);
        assert!(bytes.len() <= HAND_BYTES);
        let back = read(&bytes).unwrap();
        assert!(back.alone && found.item.starts_with(&back.item) && back.item.len() > 200);
        for torn in [&bytes[..2], &[0; HAND_BYTES][..], &[0xff; HAND_BYTES][..], b"\0\x03\0abc"] {
            assert_eq!(read(torn), None);
        }
        let store = Store::memory(&mut chance);
        let all: Vec<Hand> = (0..HANDS_MAX).map(|_| store.hand("a")).collect();
        let mut beyond = store.hand("a");
        beyond.take("nothing is said of it");
        assert_eq!(store.take_up(NOW).unwrap(), []);
        drop(all);
        assert!(store.hand("a").slot.is_some());
    }
}
