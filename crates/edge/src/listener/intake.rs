//! From messages to the log: which sources a topic belongs to, the group that is being collected, and the groups on
//! their way to the disk, several at a time. What the disk does not take is tried again and never acknowledged.

use super::{handle::Shared, session::Message, subscriptions::ClientNo, wire::code};
use crate::{
    careful::Careful,
    given::{Chance, draw_key},
    history,
    mapping::{About, Incoming, TOPIC_BYTES_MAX, TOPICS_MAX},
    mqtt::Ack,
    source::{self, Before, Group, SourceCore},
};
use andon_contract::contract::{Contract, SourceKind};
use andon_model::{
    Mark, Name, SiteName, Time,
    sample::{Counts, Part},
};
use andon_store::{
    Store, StoreError,
    rows::{GapRow, RetainedRow, SourceRow, Write},
};
use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// Groups on their way to the disk at once.
pub const FLIGHTS_MAX: usize = 8;
/// Messages in all groups on their way at once; beyond, the next group waits.
pub const FLYING_MESSAGES_MAX: u64 = 60_000;
/// Messages of a group, of all sources together; nothing more is read until it is on its way.
pub const GROUP_MESSAGES_MAX: usize = 20_000;
/// Bytes of messages for subscribers and of retained ones in a group; nothing more is read until it is on its way.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// At QoS 0 nobody waits for durability: groups are collected at least this long.
pub const COALESCE: Duration = Duration::from_millis(10);
/// How often a disk that takes nothing is tried again.
pub const RETRY_STORE: Duration = Duration::from_secs(1);
/// Why there may be a gap before a start.
const WAS_AWAY: &str = "the listener did not run: clients that do not keep what they cannot send have lost it";

/// What a topic is about: its sources, and its site in each.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topic: Arc<str>,
    targets: Vec<(usize, Option<usize>)>,
}

impl Plan {
    /// The sites of its assets; `None` stands for an asset that is not known.
    pub(super) fn sites(&self) -> impl Iterator<Item = Option<usize>> {
        self.targets.iter().map(|(_, site)| *site)
    }

    /// The site of its assets where they are of one; with an asset that is not known, or of several sites, `None`.
    pub(super) fn site(&self) -> Option<usize> {
        let mut sites = self.sites();
        let first = sites.next().flatten();
        first.filter(|_| sites.all(|site| site == first))
    }

    /// Whether no source maps the topic.
    pub(super) fn is_nobodys(&self) -> bool {
        self.targets.is_empty()
    }
}

/// A message for subscribers, on its way with its group.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) message: Arc<Message>,
    pub(super) qos: u8,
    /// It is kept for those who subscribe later.
    pub(super) retain: bool,
    pub(super) site: Option<usize>,
    /// Who published it; 0 is the instance itself.
    pub(super) from: ClientNo,
}

/// What one client is told once a group is durable: acknowledgements with their codes, in order. Without packet id
/// it is a refused message of QoS 0.
#[derive(Debug)]
pub(super) struct Acks {
    pub(super) client: ClientNo,
    pub(super) list: Vec<(Option<Ack>, u8)>,
}

/// What has become durable.
#[derive(Debug, Default)]
pub(super) struct Landed {
    pub(super) acks: Vec<Acks>,
    pub(super) posts: Vec<Post>,
}

struct Source {
    name: Name,
    core: SourceCore,
    careful: Careful,
    row: Option<SourceRow>,
    /// The newest receive time in the log at the start.
    last_received: Option<Time>,
}

/// A group on its way to the disk.
struct Flight {
    number: u64,
    /// Rows that are durable before the parts.
    writes: Vec<Write>,
    /// Parts that are not durable, and whether they are on their way.
    parts: Vec<Option<(Part, bool)>>,
    landed: Landed,
    messages: u64,
    counts: Vec<(usize, u64, Counts)>,
}

impl Flight {
    fn is_over(&self) -> bool {
        self.writes.is_empty() && self.parts.iter().all(Option::is_none)
    }
}

/// The way of messages into the log.
pub(super) struct Intake {
    store: Store,
    listener: Name,
    sites: Vec<SiteName>,
    sources: Vec<Source>,
    plans: HashMap<Box<str>, Arc<Plan>, ahash::RandomState>,
    plan_bytes: usize,
    /// What goes with the group that is being collected.
    next: Landed,
    next_messages: usize,
    next_bytes: usize,
    flights: VecDeque<Flight>,
    flown: u64,
    submitted: Duration,
    /// The disk takes nothing; when it is tried again.
    stalled: Option<Duration>,
}

impl Intake {
    /// The sources of a listener with what the log holds of them.
    pub(super) fn open(
        contract: &Arc<Contract>,
        listener: &Name,
        store: &Store,
        chance: &mut Chance,
    ) -> Result<Self, StoreError> {
        let rows = store.source_rows()?;
        let mut sources = Vec::new();
        for (name, source) in &contract.sources {
            let SourceKind::Listener(settings) = &source.kind else { continue };
            if settings.listener != *listener {
                continue;
            }
            let (window, last_received) = history::read(store, name, draw_key(chance))?;
            let Some(core) = SourceCore::new(Arc::clone(contract), name, window) else { continue };
            let row = rows.iter().find(|row| row.source == *name).cloned();
            let careful = Careful::new(store, name);
            sources.push(Source { name: name.clone(), core, careful, row, last_received });
        }
        Ok(Self {
            store: store.clone(),
            listener: listener.clone(),
            sites: contract.sites.keys().cloned().collect(),
            sources,
            plans: HashMap::default(),
            plan_bytes: 0,
            next: Landed::default(),
            next_messages: 0,
            next_bytes: 0,
            flights: VecDeque::new(),
            flown: 0,
            submitted: Duration::ZERO,
            stalled: None,
        })
    }

    /// The sites by number.
    pub(super) fn sites(&self) -> &[SiteName] {
        &self.sites
    }

    /// The sources by number.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.sources.iter().map(|source| &source.name)
    }

    /// Marks the sources as connected: the listener listens.
    pub(super) fn connected(&mut self, now: Time) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        for source in &mut self.sources {
            source.core.mark(Mark::Connected);
            let before = Before { row: source.row.as_ref(), last_received: source.last_received };
            if let Some(gap) = source::gap(&source.name, before, now, false, true) {
                writes.push(Write::Gap(GapRow { reason: WAS_AWAY.into(), ..gap }));
            }
            let row = row(&source.name, true, now, String::new());
            writes.push(Write::Source(row.clone()));
            source.row = Some(row);
        }
        if writes.is_empty() { Ok(()) } else { self.store.commit(writes).map(drop) }
    }

    /// Marks the sources as disconnected, durably.
    pub(super) fn disconnected(&mut self, now: Time, reason: &str) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        let mut writes = Vec::new();
        for source in &mut self.sources {
            let mut part = Part::new(source.core.home(), source.name.clone());
            part.entries.push(andon_model::Entry::Mark(Mark::Disconnected(reason.to_owned())));
            parts.push(part);
            writes.push(Write::Source(row(&source.name, false, now, reason.to_owned())));
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.store.append(parts)?;
        self.store.commit(writes).map(drop)
    }

    /// What a topic is about. An error of the store: a signal could not be given its number.
    pub(super) fn plan(&mut self, topic: &str) -> Result<Arc<Plan>, StoreError> {
        if let Some(plan) = self.plans.get(topic) {
            return Ok(Arc::clone(plan));
        }
        let store = &self.store;
        let mut targets = Vec::new();
        for (at, source) in self.sources.iter_mut().enumerate() {
            match source.core.about(topic, &mut |asset, signal| store.signal(asset, signal))? {
                About::Nothing => {}
                About::Unclear => targets.push((at, None)),
                About::Site(site) => targets.push((at, Some(site))),
            }
        }
        let plan = Arc::new(Plan { topic: topic.into(), targets });
        if !plan.targets.is_empty() {
            if self.plans.len() >= TOPICS_MAX || self.plan_bytes + topic.len() > TOPIC_BYTES_MAX {
                self.plans.clear();
                self.plan_bytes = 0;
            }
            self.plan_bytes += topic.len();
            self.plans.insert(topic.into(), Arc::clone(&plan));
        }
        Ok(plan)
    }

    /// Takes a message. An error of the store leaves the group without it.
    pub(super) fn take(&mut self, plan: &Plan, message: Incoming<'_>) -> Result<(), StoreError> {
        let store = &self.store;
        for (at, _) in &plan.targets {
            let Some(source) = self.sources.get_mut(*at) else { continue };
            source.careful.begin();
            let numbers = &mut |asset: &_, signal: &_| store.signal(asset, signal);
            source.careful.message(&mut source.core, message, None, numbers)?;
        }
        self.next_messages += 1;
        Ok(())
    }

    /// Sets a message aside whose topic no source maps, at the first source of the listener; false where there is none.
    pub(super) fn set_aside(&mut self, client: &str, message: Incoming<'_>) -> bool {
        let Some(source) = self.sources.first_mut() else { return false };
        source.core.unmapped(client, message);
        self.next_messages += 1;
        true
    }

    /// Counts a refused message where it belongs; one of nobody at the first source of the listener.
    pub(super) fn refuse(&mut self, plan: Option<&Plan>) {
        let (at, site) = plan.and_then(|plan| plan.targets.first()).copied().unwrap_or((0, None));
        if let Some(source) = self.sources.get_mut(at) {
            source.core.refused(site);
        }
        self.next_messages += 1;
    }

    /// What a client is told once what was taken so far is durable.
    pub(super) fn ack(&mut self, client: ClientNo, ack: Option<Ack>, code: u8) {
        if ack.is_none() && code == code::SUCCESS {
            return;
        }
        match self.next.acks.last_mut().filter(|acks| acks.client == client) {
            Some(acks) => acks.list.push((ack, code)),
            None => self.next.acks.push(Acks { client, list: vec![(ack, code)] }),
        }
    }

    /// A message for subscribers, once what was taken so far is durable.
    pub(super) fn post(&mut self, post: Post) {
        self.next_bytes += post.message.size();
        self.next_messages += 1;
        self.next.posts.push(post);
    }

    /// Whether nothing more is to be read until the group is on its way.
    pub(super) fn is_full(&self) -> bool {
        self.next_messages >= GROUP_MESSAGES_MAX
            || self.next_bytes >= GROUP_BYTES_MAX
            || self.sources.iter().any(|source| source.core.group().is_full())
    }

    /// Whether nothing is on its way and nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty() && !self.has_next()
    }

    fn has_next(&self) -> bool {
        self.next_messages > 0
            || !self.next.acks.is_empty()
            || self.sources.iter().any(|source| !source.core.group().is_empty())
    }

    /// When the group goes on its way by itself, where nobody waits for it; or when the disk is tried again.
    pub(super) fn due(&self) -> Option<Duration> {
        self.stalled.or_else(|| (self.has_next() && self.has_room()).then(|| self.submitted + COALESCE))
    }

    fn has_room(&self) -> bool {
        let flying: u64 = self.flights.iter().map(|flight| flight.messages).sum();
        self.flights.len() < FLIGHTS_MAX && flying < FLYING_MESSAGES_MAX
    }

    /// Sends the group on its way, when somebody waits for it or long enough has passed; the error with which the
    /// disk takes nothing at present.
    pub(super) fn send(&mut self, now: Duration, hurry: bool, shared: &Arc<Shared>) -> Result<(), StoreError> {
        self.sources.iter_mut().for_each(|source| source.careful.end());
        if let Some(again) = self.stalled {
            if now < again {
                return Ok(());
            }
            self.stalled = None;
            self.fly(now, shared)?;
        }
        let early = self.next.acks.is_empty() && !self.is_full() && now < self.submitted + COALESCE;
        if !self.has_next() || !self.has_room() || (early && !hurry) {
            return Ok(());
        }
        self.collect(now);
        self.fly(now, shared)
    }

    /// Makes a flight of what was collected.
    fn collect(&mut self, now: Duration) {
        self.submitted = now;
        self.flown += 1;
        let landed = mem::take(&mut self.next);
        let mut flight = Flight {
            number: self.flown,
            writes: self.retained(&landed.posts),
            parts: Vec::new(),
            landed,
            messages: mem::take(&mut self.next_messages) as u64,
            counts: Vec::new(),
        };
        self.next_bytes = 0;
        for (at, source) in self.sources.iter_mut().enumerate() {
            let group = source.core.take_group();
            if group.is_empty() {
                continue;
            }
            let counts = group.counts();
            let Group { parts, quarantine, messages, .. } = group;
            flight.writes.extend(quarantine.into_writes());
            flight.parts.extend(parts.into_iter().map(|part| Some((part, false))));
            flight.counts.push((at, messages, counts));
        }
        self.flights.push_back(flight);
    }

    /// The rows of the last retained message of each topic.
    fn retained(&self, posts: &[Post]) -> Vec<Write> {
        let mut last: HashMap<&str, &Post> = HashMap::new();
        for post in posts.iter().filter(|post| post.retain) {
            last.insert(&post.message.topic, post);
        }
        let row = |post: &Post| {
            Write::Retain(Box::new(RetainedRow {
                listener: self.listener.clone(),
                topic: post.message.topic.to_string(),
                payload: post.message.payload.to_vec(),
                properties: post.message.properties.to_vec(),
                received: post.message.received,
                expires: post.message.expires,
                site: post.site.and_then(|site| self.sites.get(site)).cloned(),
            }))
        };
        last.into_values().map(row).collect()
    }

    /// Hands what is not on its way to the store, in order; stops at the first thing that it does not take.
    fn fly(&mut self, now: Duration, shared: &Arc<Shared>) -> Result<(), StoreError> {
        for flight in &mut self.flights {
            if !flight.writes.is_empty() {
                if let Err(error) = self.store.commit(flight.writes.clone()) {
                    self.stalled = Some(now + RETRY_STORE);
                    return Err(error);
                }
                flight.writes.clear();
            }
            for (at, part) in flight.parts.iter_mut().enumerate() {
                let Some((part, is_flying)) = part.as_mut().filter(|(_, is_flying)| !is_flying) else { continue };
                *is_flying = true;
                let (shared, number) = (Arc::clone(shared), flight.number);
                self.store.submit(part.clone(), Box::new(move |result| shared.part_done(number, at, result)));
            }
        }
        Ok(())
    }

    /// Takes note of parts that are over; the next group that is durable now, in order. An error: the disk takes
    /// nothing at present.
    pub(super) fn landed(&mut self, now: Duration, shared: &Shared) -> (Vec<Landed>, Option<StoreError>) {
        let mut error = None;
        for (number, at, result) in shared.take_done() {
            let Some(flight) = self.flights.iter_mut().find(|flight| flight.number == number) else { continue };
            let Some(part) = flight.parts.get_mut(at) else { continue };
            match result {
                Ok(()) => *part = None,
                Err(why) => {
                    if let Some((_, is_flying)) = part {
                        *is_flying = false;
                    }
                    self.stalled = Some(now + RETRY_STORE);
                    error = Some(why);
                }
            }
        }
        let mut landed = Vec::new();
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.is_over()) {
            let mut status = shared.status.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, messages, counts) in &flight.counts {
                if let Some((_, source)) = status.sources.get_mut(*at) {
                    source.messages += messages;
                    source.counts.add(counts);
                }
            }
            drop(status);
            landed.push(flight.landed);
        }
        (landed, error)
    }

    /// Whether the disk takes nothing at present.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }
}

fn row(source: &Name, connected: bool, since: Time, reason: String) -> SourceRow {
    SourceRow { source: source.clone(), connected, since, reason, code: None, in_doubt: false, filters: Vec::new() }
}
