//! The polls of a read: what is asked for next, what a page makes of it, and what is kept of it.

use andon_contract::contract::{Read, Retry};
use andon_model::{
    ExceptionId, Name, Outcome, SiteName, Time,
    object::{Ask, Item, More, Page, Since, Told, type_of},
    span::Span,
};
use andon_store::{
    Query, Store, StoreError,
    rows::{ExceptionState, IntakeRow, Write},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};

use super::{Objects, Taken, Teller, aside};

/// Items whose bytes are known to tell nothing: a poll that brings them again makes nothing of them.
const ASIDE_MAX: usize = 1_000;
/// Objects of a page that are looked through for those that are absent.
const OBJECTS_PAGE: usize = 500;

/// What is kept of a read from one poll to the next, also through a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The version of the read that made this; another one begins anew.
    pub version: String,
    /// What the last answer left: a cursor, or the address or token of a delta.
    pub cursor: Json,
    /// Why everything was, or is, read again: the system does not know its delta any more.
    pub anew: Option<Anew>,
    /// When the last poll that was answered whole began.
    pub since: Option<Time>,
    /// When the last answer was whole.
    pub answered: Option<Time>,
    /// Objects that the last poll changed.
    pub changed: u64,
    /// Items that the last poll set aside.
    pub aside: u64,
    /// Hashes of items that were set aside, the newest last.
    pub known: VecDeque<String>,
}

/// A delta that the system did not know any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anew {
    /// When it said so.
    pub at: Time,
    /// In its words.
    pub why: String,
}

/// What became of the last poll.
#[derive(Debug, Clone, PartialEq)]
pub enum Went {
    /// Nothing was asked yet.
    NotYet,
    /// It was answered.
    Well,
    /// It was not; how often in a row, and the last outcome.
    Badly(u32, Box<Outcome>),
}

/// A read of a system for a site, or for all of them at once. Pure: whoever drives it asks the system.
#[derive(Debug)]
pub struct Poll {
    /// The system.
    pub system: Name,
    /// The read.
    pub name: Name,
    /// The site it asks for; `None`: all at once.
    pub site: Option<SiteName>,
    read: Read,
    retry: Retry,
    teller: Teller,
    kept: Kept,
    went: Went,
    /// The page that is asked for next, of a poll under way.
    next: Option<Ask>,
    /// Objects that the pages of this poll told of, where absent ones are closed.
    seen: BTreeSet<(String, String)>,
    changed: u64,
    aside: u64,
    /// When the next request is due, by a clock that never jumps.
    due: Span,
}

impl Poll {
    /// The polls of a read: one for each of its sites, or one for all. `None` where the contract has no such read.
    pub fn all(objects: &Objects) -> Result<Vec<Self>, StoreError> {
        let mut polls = Vec::new();
        for (system, settings) in &objects.contract.systems {
            // Without a site there is nobody to read for.
            // Where the system only posts, nobody is asked.
            let asked = |read: &&Read| read.request.is_some() && !read.sites.is_empty();
            for (name, read) in settings.reads.iter().filter(|(_, read)| asked(read)) {
                let sites: Vec<Option<SiteName>> =
                    if read.site.is_some() { vec![None] } else { read.sites.iter().cloned().map(Some).collect() };
                for site in sites {
                    polls.push(Self::new(objects, (system, &settings.retry), (name, read), site)?);
                }
            }
        }
        Ok(polls)
    }

    fn new(
        objects: &Objects,
        (system, retry): (&Name, &Retry),
        (name, read): (&Name, &Read),
        site: Option<SiteName>,
    ) -> Result<Self, StoreError> {
        let home = site.clone().or_else(|| read.sites.first().cloned()).expect("a read serves a site");
        let of = teller_of(system, name, site.as_ref());
        let known = kept(&objects.store, system, &of)?;
        if known.as_ref().is_some_and(|kept| kept.version != read.version) {
            resolve(&objects.store, &of)?;
        }
        let kept = known.filter(|kept| kept.version == read.version);
        Ok(Self {
            system: system.clone(),
            name: name.clone(),
            site,
            retry: retry.clone(),
            teller: Teller { of, max_age: read.max_age, home },
            kept: kept.unwrap_or_else(|| Kept { version: read.version.clone(), ..Kept::default() }),
            read: read.clone(),
            went: Went::NotYet,
            next: None,
            seen: BTreeSet::new(),
            changed: 0,
            aside: 0,
            due: Span::ZERO,
        })
    }

    /// Who tells: the name of its versions and revisions.
    pub fn of(&self) -> &str {
        &self.teller.of
    }

    /// Its settings.
    pub fn read(&self) -> &Read {
        &self.read
    }

    /// What is kept of it.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What became of the last poll.
    pub fn went(&self) -> &Went {
        &self.went
    }

    /// How long until the next request is due; zero: now.
    pub fn due(&self, monotonic: Span) -> Span {
        Span::from_nanos(self.due.nanos().saturating_sub(monotonic.nanos()).max(0))
    }

    /// The request that is due.
    pub fn ask(&mut self, now: Time) -> Ask {
        let first = || {
            self.seen.clear();
            (self.changed, self.aside) = (0, 0);
            let link =
                self.kept.cursor.as_str().filter(|_| self.read.delta.as_ref().is_some_and(|delta| delta.is_link));
            let link = link.map(str::to_owned);
            Ask { link, ..Ask::first(self.kept.cursor.clone(), self.kept.since, self.site.clone(), now) }
        };
        self.next.take().unwrap_or_else(first)
    }

    /// What comes of a page is durable when this returns: versions, events, exceptions, revision, and how far it was
    /// read. After an error the same page is asked for again. Whether the poll goes on.
    pub fn page(
        &mut self,
        objects: &Objects,
        ask: &Ask,
        page: Page,
        now: Time,
        monotonic: Span,
    ) -> Result<bool, StoreError> {
        let Page { items, cursor, more } = page;
        let count = items.len();
        // What belongs to a site that is not served is not ours to keep.
        let served = |item: &Item| match &item.told {
            Ok(told) => self.site.is_some() || self.read.sites.iter().any(|site| site.as_str() == told.site),
            Err(_) => true,
        };
        let mut items: Vec<Item> = items.into_iter().filter(served).collect();
        let moved = cursor.as_ref().is_some_and(|cursor| *cursor != self.kept.cursor);
        let is_cut = more != More::Last && ask.page >= self.read.pages;
        let is_last = more == More::Last || is_cut;
        let mut kept = self.kept.clone();
        kept.cursor = cursor.clone().unwrap_or(kept.cursor);
        // Behind a delta only changes are told.
        let is_whole = self.read.delta.is_none() || ask.cursor.is_null();
        if self.read.close_absent && is_whole {
            let named = |item: &Item| item.told.as_ref().ok().map(|told| (told.site.clone(), told.number.clone()));
            self.seen.extend(items.iter().filter_map(named));
            let has_unfit = self.aside > 0 || items.iter().any(|item| item.told.is_err());
            if is_last && !is_cut && !has_unfit {
                items.extend(self.absent(&objects.store, ask.now, now)?);
            }
        }
        let (place, source, contract) = (self.teller.of.clone(), self.system.clone(), objects.contract.clone());
        let before = (self.changed, self.aside);
        let commit = |taken: &Taken| {
            let mut writes = Vec::new();
            for (unfit, bytes) in &taken.unfit {
                let hash = hash(bytes);
                if !kept.known.contains(&hash) {
                    writes.extend(aside(&contract, &place, &source, unfit, bytes, now));
                    kept.known.push_back(hash);
                }
            }
            while kept.known.len() > ASIDE_MAX {
                kept.known.pop_front();
            }
            if is_last {
                kept.answered = Some(now);
                kept.changed = before.0 + taken.changed.len() as u64;
                kept.aside = before.1 + taken.unfit.len() as u64;
                kept.since = if is_cut { kept.since } else { Some(ask.now) };
            }
            writes.push(write(&objects.store, &source, &place, &kept, now));
            writes
        };
        let taken = objects.take(&self.teller, items, false, now, commit)?;
        self.kept = kept;
        self.changed += taken.changed.len() as u64;
        self.aside += taken.unfit.len() as u64;
        self.went = Went::Well;
        if !is_last {
            self.next = Some(ask.next(count, more));
            return Ok(true);
        }
        // Behind a cursor that moved the rest is asked for at once.
        let pause = if is_cut && moved { Span::ZERO } else { self.read.every };
        self.due = later(monotonic, pause);
        Ok(false)
    }

    /// Whether an outcome says that the system does not know the delta any more that it was asked by. Then the next
    /// poll reads everything again, at once.
    pub fn expired(&mut self, outcome: &Outcome, now: Time, monotonic: Span) -> bool {
        let Some(delta) = &self.read.delta else { return false };
        if self.kept.cursor.is_null() || !outcome.status.is_some_and(|status| delta.expired.contains(&status)) {
            return false;
        }
        self.kept.cursor = Json::Null;
        self.kept.anew = Some(Anew { at: now, why: outcome.detail.clone() });
        self.next = None;
        self.due = monotonic;
        true
    }

    /// A request that told nothing: the poll begins again after a pause that grows, and is not shorter than the system
    /// asks for. `chance` is from 0 to 1.
    pub fn failed(&mut self, outcome: Outcome, monotonic: Span, chance: f64) {
        let times = if let Went::Badly(times, _) = &self.went { times.saturating_add(1) } else { 1 };
        let floor = outcome.retry_after.unwrap_or(Span::ZERO);
        self.due = later(monotonic, pause(&self.retry, times, chance).max(floor));
        self.went = Went::Badly(times, Box::new(outcome));
        self.next = None;
    }

    /// The store refused: what was read is asked for again.
    pub fn again(&mut self, objects: &Objects) -> Result<(), StoreError> {
        self.next = None;
        let kept = kept(&objects.store, &self.system, &self.teller.of)?;
        self.kept = kept
            .filter(|kept| kept.version == self.read.version)
            .unwrap_or_else(|| Kept { version: self.read.version.clone(), ..Kept::default() });
        Ok(())
    }

    /// Objects that this read told of and does not tell of any more. What the system posted since the poll began may be
    /// missing from its answer.
    fn absent(&self, store: &Store, began: Time, now: Time) -> Result<Vec<Item>, StoreError> {
        let sites = self.site.as_ref().map_or_else(|| self.read.sites.clone(), |site| vec![site.clone()]);
        let mut absent = Vec::new();
        for site in sites {
            let mut after = String::new();
            loop {
                let rows = store.objects(&site, type_of(&self.read.object), &after, OBJECTS_PAGE)?;
                let Some(last) = rows.last() else { break };
                after.clone_from(&last.number);
                let open = rows.into_iter().filter(|row| {
                    row.origin == self.teller.of && row.known <= began && row.to.is_none_or(|to| to > now)
                });
                absent.extend(open.filter(|row| !self.seen.contains(&(site.to_string(), row.number.clone()))).map(
                    |row| Item {
                        bytes: Vec::new(),
                        told: Ok(Told {
                            object: self.read.object.clone(),
                            site: site.to_string(),
                            number: row.number,
                            from: Since::Always,
                            to: None,
                            assets: Vec::new(),
                            line: None,
                            data: Json::Null,
                            gone: true,
                        }),
                    },
                ));
            }
        }
        Ok(absent)
    }
}

/// Who tells in a read: of a site, or of all at once.
pub fn teller_of(system: &Name, read: &Name, site: Option<&SiteName>) -> String {
    match site {
        Some(site) => format!("reads/{system}/{read}/{site}"),
        None => format!("reads/{system}/{read}"),
    }
}

fn later(monotonic: Span, by: Span) -> Span {
    Span::from_nanos(monotonic.nanos().saturating_add(by.nanos()))
}

/// The pause after so many failures: grows by the system's factor up to its longest, a quarter of it by chance.
fn pause(retry: &Retry, times: u32, chance: f64) -> Span {
    let mut pause = retry.first.std();
    for _ in 1..times.min(64) {
        pause = pause.mul_f64(retry.factor).min(retry.max.std());
    }
    let pause = pause.mul_f64(0.75 + 0.25 * chance.clamp(0.0, 1.0));
    i64::try_from(pause.as_nanos()).map_or(retry.max, Span::from_nanos)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(12).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A read that begins anew reads everything again: what it set aside is done with, and comes back where it is not.
fn resolve(store: &Store, of: &str) -> Result<(), StoreError> {
    let where_ =
        [("kind", "input"), ("state", "open")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut query = Query { where_, after: None, limit: OBJECTS_PAGE, ascending: true };
    loop {
        let page = store.list("exceptions", &query)?;
        let text = |row: &Json, field: &str| row.get(field).and_then(Json::as_str).map(str::to_owned);
        let ours = |row: &&Json| text(row, "fingerprint").is_some_and(|of_row| of_row.starts_with(&format!("{of}:")));
        let ids = page.rows.iter().filter(ours).filter_map(|row| ExceptionId::parse(&text(row, "id")?).ok());
        let writes: Vec<Write> = ids.map(|id| Write::ExceptionState(id, ExceptionState::Resolved)).collect();
        if !writes.is_empty() {
            store.commit(writes)?;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// What is kept of a read; `None` where there is nothing, or nothing that reads back: then it begins anew.
pub fn kept(store: &Store, system: &Name, of: &str) -> Result<Option<Kept>, StoreError> {
    Ok(store.intake(system, of)?.and_then(|row| serde_json::from_value(row.state).ok()))
}

fn write(store: &Store, system: &Name, of: &str, kept: &Kept, now: Time) -> Write {
    Write::Intake(Box::new(IntakeRow {
        source: system.clone(),
        of: of.to_owned(),
        position: store.log_end(),
        open: false,
        updated: now,
        state: serde_json::to_value(kept).unwrap_or_default(),
    }))
}
