//! What a system posts of objects: taken once, whole and durable before it is answered.
//!
//! What a post tells becomes versions and events as the pages of a read do, by the same teller. A post with an id, that
//! of a webhook or an `Idempotency-Key`, leaves its id and its answer in the same commit: sent again, it is answered
//! and not taken, also after a crash and also when something newer has come in between.

use super::{Objects, Teller, aside, poll::teller_of};
use andon_contract::contract::Read;
use andon_model::{ExceptionId, Name, SiteName, Time, object::Item, span::Span};
use andon_store::{
    Store, StoreError,
    rows::{IntakeRow, Write},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

/// How long the id of a post is remembered: as long as one that is signed may be late.
pub const KEPT: Span = Span::from_secs(86_400);
/// Ids of a read that are remembered; of more, the oldest are forgotten.
pub const KEPT_MAX: usize = 100_000;
/// Ids that are forgotten with one post.
const FORGET_MAX: usize = 100;

/// What became of a post.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Objects that are another than they were, or new.
    pub changed: u64,
    /// Items that told what was known.
    pub same: u64,
    /// Exceptions of items that told of no object; their bytes are kept there.
    pub set_aside: Vec<String>,
    /// It was taken before, by its id; the rest is its first answer.
    #[serde(skip)]
    pub replayed: bool,
}

/// What a read was posted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Posts that were taken.
    pub posts: u64,
    /// Posts that were sent again, by their id.
    pub duplicates: u64,
    /// Objects that changed by them.
    pub changed: u64,
    /// Items that were set aside.
    pub aside: u64,
    /// When the last one came.
    pub last: Option<Time>,
}

/// Why a post is not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// Another post with this id, and another body, was taken before.
    OtherBody,
    /// A post with this id is under way.
    UnderWay,
    /// Nothing is stored; the same may be sent again.
    Store(StoreError),
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Takes what a system posts for one read.
#[derive(Debug)]
pub struct Posted {
    objects: Objects,
    system: Name,
    teller: Teller,
    /// The beginning of the names of its ids in the database.
    ids: String,
    sites: Vec<SiteName>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    /// Ids with their times, oldest first.
    known: VecDeque<(Time, String)>,
    busy: HashSet<String>,
}

/// What is kept of an id.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    hash: String,
    answer: Told,
}

impl Posted {
    /// For a read that takes posts. Reads the ids that are remembered.
    pub fn new(objects: Objects, (system, name, read): (&Name, &Name, &Read)) -> Result<Self, StoreError> {
        // A read without an expression for the site serves one, or nobody posts.
        let site = if read.site.is_some() { None } else { read.sites.first() };
        let home = read.sites.first().cloned().unwrap_or_else(|| SiteName::new("none").expect("it is a name"));
        let teller = Teller { of: teller_of(system, name, site), max_age: read.max_age, home };
        let ids = format!("posted/{name}/");
        let mut known: Vec<(Time, String)> = Vec::new();
        for row in objects.store.intakes(system)? {
            if row.of.starts_with(&ids) {
                known.push((row.updated, row.of));
            }
        }
        known.sort();
        let tally = tally(&objects.store, system, name)?.unwrap_or_default();
        let state = State { tally, known: known.into(), busy: HashSet::new() };
        Ok(Self { objects, system: system.clone(), teller, ids, sites: read.sites.clone(), state: Mutex::new(state) })
    }

    /// Takes a post. What it brought is durable when this returns.
    pub fn take(&self, id: Option<&str>, body: &[u8], items: Vec<Item>, now: Time) -> Result<Told, NotTaken> {
        let of = id.map(|id| format!("{}{id}", self.ids));
        let hash = hex(&Sha256::digest(body));
        let Some(of) = of else { return self.commit(None, &hash, items, now) };
        if !self.lock().busy.insert(of.clone()) {
            return Err(NotTaken::UnderWay);
        }
        let taken = self.once(&of, &hash, items, now);
        self.lock().busy.remove(&of);
        taken
    }

    /// How many came.
    pub fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    fn once(&self, of: &str, hash: &str, items: Vec<Item>, now: Time) -> Result<Told, NotTaken> {
        let row = self.objects.store.intake(&self.system, of)?.filter(|row| now.since(row.updated) <= KEPT);
        if let Some(kept) = row.and_then(|row| serde_json::from_value::<Kept>(row.state).ok()) {
            if kept.hash != hash {
                return Err(NotTaken::OtherBody);
            }
            let mut tally = self.lock().tally.clone();
            tally.duplicates += 1;
            self.objects.store.commit(vec![self.tally_row(&tally, now)])?;
            self.lock().tally = tally;
            return Ok(Told { replayed: true, ..kept.answer });
        }
        self.commit(Some(of), hash, items, now)
    }

    fn commit(&self, of: Option<&str>, hash: &str, items: Vec<Item>, now: Time) -> Result<Told, NotTaken> {
        // What belongs to a site that is not served is not ours to keep.
        let served = |item: &Item| match &item.told {
            Ok(told) => self.sites.iter().any(|site| site.as_str() == told.site),
            Err(_) => true,
        };
        let items: Vec<Item> = items.into_iter().filter(served).collect();
        let count = items.len() as u64;
        let mut told = Told::default();
        // Two posts that are counted at once must not count one of them.
        let mut state = self.lock();
        let mut tally = state.tally.clone();
        let forgotten = old(&state.known, now);
        let (contract, place) = (self.objects.contract.clone(), self.teller.of.clone());
        self.objects.take(&self.teller, items, false, now, |taken| {
            let mut writes = Vec::new();
            for (unfit, bytes) in &taken.unfit {
                let made = aside(&contract, &place, &self.system, unfit, bytes, now);
                told.set_aside.extend(made.iter().filter_map(exception).map(|id| id.to_string()));
                writes.extend(made);
            }
            told.changed = taken.changed.len() as u64;
            told.same = count.saturating_sub(told.changed).saturating_sub(taken.unfit.len() as u64);
            tally.posts += 1;
            tally.changed += told.changed;
            tally.aside += taken.unfit.len() as u64;
            tally.last = Some(now);
            writes.push(self.tally_row(&tally, now));
            if let Some(of) = of {
                let kept = Kept { hash: hash.to_owned(), answer: told.clone() };
                writes.push(self.row(of, serde_json::to_value(kept).unwrap_or_default(), now));
            }
            let forget = state.known.iter().take(forgotten);
            writes.extend(forget.map(|(_, of)| Write::IntakeRemove(self.system.clone(), of.clone())));
            writes
        })?;
        state.known.drain(..forgotten);
        state.known.extend(of.map(|of| (now, of.to_owned())));
        state.tally = tally;
        Ok(told)
    }

    fn tally_row(&self, tally: &Tally, now: Time) -> Write {
        let of = format!("tally/{}", self.ids.trim_start_matches("posted/").trim_end_matches('/'));
        self.row(&of, serde_json::to_value(tally).unwrap_or_default(), now)
    }

    fn row(&self, of: &str, state: serde_json::Value, now: Time) -> Write {
        Write::Intake(Box::new(IntakeRow {
            source: self.system.clone(),
            of: of.to_owned(),
            position: self.objects.store.log_end(),
            open: false,
            updated: now,
            state,
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a read was posted so far, also of a stopped instance; `None` where nothing was.
pub fn tally(store: &Store, system: &Name, read: &Name) -> Result<Option<Tally>, StoreError> {
    Ok(store.intake(system, &format!("tally/{read}"))?.and_then(|row| serde_json::from_value(row.state).ok()))
}

/// How many of the oldest ids are forgotten now.
fn old(known: &VecDeque<(Time, String)>, now: Time) -> usize {
    let surplus = known.len().saturating_sub(KEPT_MAX - 1);
    let aged = known.iter().take_while(|(at, _)| now.since(*at) > KEPT).count();
    surplus.max(aged).min(FORGET_MAX).min(known.len())
}

fn exception(write: &Write) -> Option<ExceptionId> {
    if let Write::Exception(row) = write { Some(row.id) } else { None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
