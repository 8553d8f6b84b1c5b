//! The pure core of a source: messages go in, groups of what is to become durable come out. A message is
//! acknowledged once its group is durable: first the quarantine, then the samples and marks.

use crate::{
    duplicates::Duplicates,
    mapping::{About, Incoming, Numbers, Read, TopicTable, UNKNOWN_TOPIC},
    mqtt::Ack,
    problem::{Problem, quote},
};
use andon_contract::contract::{self, Answerable, Contract, Matter, MqttSource, Source, SourceKind, matter};
use andon_model::{
    Entry, Mark, Name, SiteName, Time,
    sample::{Counts, Part},
};
use andon_store::{
    StoreError,
    rows::{Action, ExceptionKind, ExceptionRow, GapRow, QuarantineRow, SourceRow, Write},
};
use std::{collections::HashMap, sync::Arc};

/// Entries of a group; nothing more is read until it is on its way.
pub const GROUP_ENTRIES_MAX: usize = 20_000;
/// Messages of a group, also those that bring no entry and no byte; nothing more is read until it is on its way.
pub const GROUP_MESSAGES_MAX: u64 = 20_000;
/// Bytes of payloads and quarantined messages of a group; nothing more is read until it is on its way.
pub const GROUP_BYTES_MAX: usize = 8 << 20;

/// What becomes durable together.
#[derive(Debug, Default)]
pub struct Group {
    /// Entries and counts, in the order of the sites' first appearance.
    pub parts: Vec<Part>,
    /// Messages set aside; durable before the parts.
    pub quarantine: Quarantine,
    /// What is acknowledged afterwards, in order of receipt.
    pub acks: Vec<Ack>,
    /// Messages in the group.
    pub messages: u64,
    bytes: usize,
    entries: usize,
}

impl Group {
    /// Whether there is nothing to make durable and nothing to acknowledge.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.acks.is_empty() && self.quarantine.is_empty()
    }

    /// Whether no more is to be read until this group is on its way.
    pub fn is_full(&self) -> bool {
        self.entries >= GROUP_ENTRIES_MAX || self.messages >= GROUP_MESSAGES_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    /// What was received with it.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.parts.iter().for_each(|part| counts.add(&part.counts));
        counts
    }
}

/// Messages set aside, grouped by cause.
#[derive(Debug, Default)]
pub struct Quarantine {
    exceptions: Vec<ExceptionRow>,
    by_fingerprint: HashMap<String, usize>,
    rows: Vec<QuarantineRow>,
}

impl Quarantine {
    /// Whether nothing was set aside.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that keep it, exceptions before the messages that belong to them.
    pub fn into_writes(self) -> Vec<Write> {
        let exceptions = self.exceptions.into_iter().map(|row| Write::Exception(Box::new(row)));
        let messages = self.rows.into_iter().map(|row| Write::Quarantine(Box::new(row)));
        exceptions.chain(messages).collect()
    }

    /// Sets a message aside.
    pub fn add(
        &mut self,
        contract: &Contract,
        source: &Name,
        site: Option<&SiteName>,
        problem: &Problem,
        message: Incoming<'_>,
    ) {
        let Incoming { topic, payload, received, retained } = message;
        let fingerprint = problem.fingerprint(source, site);
        let exception = Problem::exception(&fingerprint);
        let known = self.by_fingerprint.get(&fingerprint).and_then(|at| self.exceptions.get_mut(*at));
        if let Some(row) = known {
            row.count += 1;
            row.last = received;
            row.detail.clone_from(&problem.detail);
        } else {
            self.by_fingerprint.insert(fingerprint.clone(), self.exceptions.len());
            let known = matter(&Matter { site, detail: Some(&problem.detail), ..Matter::default() });
            let about = contract::About { content: &known, ..contract::About::of("input", Some("ingest"), site) };
            let Answerable { owner, due } = contract.answerable(&about, received);
            self.exceptions.push(ExceptionRow {
                site: site.cloned(),
                domain: Some("ingest".to_owned()),
                action: Some(Action::Replay),
                cause: format!("{}: {}", problem.place, problem.cause).trim_start_matches(": ").to_owned(),
                detail: problem.detail.clone(),
                remedy: problem.remedy.clone(),
                source: Some(source.clone()),
                due,
                ..ExceptionRow::new(exception, ExceptionKind::Input, owner, fingerprint, received)
            });
        }
        self.rows.push(QuarantineRow {
            exception,
            received,
            source: source.clone(),
            topic: quote_topic(topic),
            bytes: payload.to_vec(),
            detail: problem.detail.clone(),
            retained,
        });
    }
}

/// A topic as it is kept: at most 1,000 characters.
fn quote_topic(topic: &str) -> String {
    topic.chars().take(1_000).collect()
}

/// The core of one source that speaks MQTT, with a broker or through a listener.
pub struct SourceCore {
    contract: Arc<Contract>,
    name: Name,
    table: TopicTable,
    sites: Vec<SiteName>,
    window: Duplicates,
    group: Group,
    /// By site: the place of its part in the group.
    places: Vec<Option<usize>>,
}

impl SourceCore {
    /// The core of a source of this name, with the window as the log has it; `None` where the contract has no
    /// source of the name that speaks MQTT, or no site.
    pub fn new(contract: Arc<Contract>, name: &Name, window: Duplicates) -> Option<Self> {
        let source = contract.sources.get(name)?;
        let table = TopicTable::new(&contract, name, source, source.kind.topics()?);
        let sites = table.sites().to_vec();
        let places = vec![None; sites.len()];
        (!sites.is_empty()).then_some(())?;
        Some(Self { contract, name: name.clone(), table, sites, window, group: Group::default(), places })
    }

    /// Takes a message. An error of the store leaves the group as it was, without the message.
    pub fn message(
        &mut self,
        message: Incoming<'_>,
        ack: Option<Ack>,
        numbers: &mut Numbers<'_>,
    ) -> Result<(), StoreError> {
        let Self { contract, name, table, sites, window, group, places } = self;
        let home = table.home();
        let mut target = Target { sites, home, name, group, places };
        let mut problems = Vec::new();
        table.read(
            contract,
            message,
            numbers,
            &mut |site, Read { sample, claimed }| {
                let part = target.part(site);
                part.counts.received += 1;
                let is_new = claimed.is_none_or(|time| window.see(&sample, time).is_some());
                if is_new {
                    part.counts.stored += 1;
                    part.entries.push(Entry::Sample(sample));
                    target.group.entries += 1;
                } else {
                    part.counts.duplicate += 1;
                }
            },
            &mut |site, problem| problems.push((site, problem)),
        )?;
        for (site, problem) in problems {
            let counts = &mut target.part(site.unwrap_or(home)).counts;
            counts.received += 1;
            counts.quarantined += 1;
            let site = site.and_then(|site| sites.get(site));
            target.group.quarantine.add(contract, name, site, &problem, message);
            target.group.bytes += message.payload.len();
        }
        group.messages += 1;
        group.bytes += message.payload.len();
        group.acks.extend(ack);
        Ok(())
    }

    /// What a topic is about in this source.
    pub fn about(&mut self, topic: &str, numbers: &mut Numbers<'_>) -> Result<About, StoreError> {
        self.table.about(&self.contract, topic, numbers)
    }

    /// Counts a message that was refused; the site is that of its asset, where it is known.
    pub fn refused(&mut self, site: Option<usize>) {
        let home = self.table.home();
        let counts = &mut self.part(site.unwrap_or(home)).counts;
        counts.received += 1;
        counts.refused += 1;
        self.group.messages += 1;
    }

    /// Takes a message that was too large to be read; the first bytes of its payload are kept.
    pub fn too_large(&mut self, topic: &str, size: usize, head: &[u8], ack: Option<Ack>, received: Time) {
        let problem = Problem {
            code: "too-large",
            place: self.table.filter_of(topic).to_owned(),
            cause: "the payload is larger than 1 MiB".into(),
            detail: format!("topic {}: {size} bytes, of which the first {} are kept", quote(topic), head.len()),
            remedy: "send less at once".into(),
        };
        let home = self.table.home();
        let counts = &mut self.part(home).counts;
        counts.received += 1;
        counts.quarantined += 1;
        let message = Incoming { topic, payload: head, retained: false, received };
        self.group.quarantine.add(&self.contract, &self.name, None, &problem, message);
        self.group.bytes += head.len();
        self.group.messages += 1;
        self.group.acks.extend(ack);
    }

    /// Sets aside a message that ended the process each time it was read alone.
    pub(crate) fn poison(&mut self, message: Incoming<'_>, ack: Option<Ack>) {
        let problem = Problem {
            code: "poison",
            place: self.table.filter_of(message.topic).to_owned(),
            cause: "the message ended the process".into(),
            detail: format!("topic {}: it ended the process each time it was read alone", quote(message.topic)),
            remedy: "tell the makers of andon, and replay it once that is mended; a replay before that ends the \
                     process again"
                .into(),
        };
        let home = self.table.home();
        let counts = &mut self.part(home).counts;
        counts.received += 1;
        counts.quarantined += 1;
        self.group.quarantine.add(&self.contract, &self.name, None, &problem, message);
        self.group.bytes += message.payload.len();
        self.group.messages += 1;
        self.group.acks.extend(ack);
    }

    /// Sets aside a message that a client published to a topic that no source of its listener maps.
    pub fn unmapped(&mut self, client: &str, message: Incoming<'_>) {
        let problem = Problem {
            code: UNKNOWN_TOPIC,
            place: String::new(),
            cause: "no source maps this topic".into(),
            detail: format!("topic {}, published by {client}", quote(message.topic)),
            remedy: "add the topic to a source of the listener and replay the messages, or let the client leave it out"
                .into(),
        };
        let home = self.table.home();
        let counts = &mut self.part(home).counts;
        counts.received += 1;
        counts.quarantined += 1;
        self.group.quarantine.add(&self.contract, &self.name, None, &problem, message);
        self.group.bytes += message.payload.len();
        self.group.messages += 1;
    }

    /// Puts a mark of the source behind what was received so far.
    pub fn mark(&mut self, mark: Mark) {
        let home = self.table.home();
        self.part(home).entries.push(Entry::Mark(mark));
        self.group.entries += 1;
    }

    /// What was received since the last call.
    pub fn take_group(&mut self) -> Group {
        self.places.iter_mut().for_each(|place| *place = None);
        std::mem::take(&mut self.group)
    }

    /// The site that the marks of the source are counted for.
    pub fn home(&self) -> SiteName {
        self.sites.get(self.table.home()).expect("a contract has a site").clone()
    }

    /// The group so far.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Begins the window anew: what the log holds decides, after a group could not be made durable.
    pub fn reset(&mut self, window: Duplicates) {
        self.take_group();
        self.window = window;
    }

    fn part(&mut self, site: usize) -> &mut Part {
        let Self { name, table, sites, group, places, .. } = self;
        let at = Target { sites, home: table.home(), name, group, places }.place(site);
        group.parts.get_mut(at).expect("a part was put at its place")
    }
}

/// Where the entries of a message go.
struct Target<'a> {
    sites: &'a [SiteName],
    home: usize,
    name: &'a Name,
    group: &'a mut Group,
    places: &'a mut Vec<Option<usize>>,
}

impl Target<'_> {
    fn place(&mut self, site: usize) -> usize {
        let Some(place) = self.places.get_mut(site) else { return self.place(self.home) };
        *place.get_or_insert_with(|| {
            let site = self.sites.get(site).expect("there is a place for each site").clone();
            self.group.parts.push(Part::new(site, self.name.clone()));
            self.group.parts.len() - 1
        })
    }

    fn part(&mut self, site: usize) -> &mut Part {
        let at = self.place(site);
        self.group.parts.get_mut(at).expect("a part was put at its place")
    }
}

/// The MQTT source of a name.
pub(crate) fn mqtt_source<'a>(contract: &'a Contract, name: &Name) -> Option<(&'a Source, &'a MqttSource)> {
    let source = contract.sources.get(name)?;
    match &source.kind {
        SourceKind::Mqtt(mqtt) => Some((source, mqtt)),
        SourceKind::Listener(_) | SourceKind::Http(_) | SourceKind::Shdr(_) | SourceKind::File(_) => None,
    }
}

/// The filters of a source, each once, at the highest QoS asked for.
pub(crate) fn filters(mqtt: &MqttSource) -> Vec<(String, u8)> {
    let mut filters: Vec<(String, u8)> = Vec::new();
    for topic in &mqtt.topics {
        let filter = topic.filter();
        match filters.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, qos)) => *qos = topic.qos.max(*qos),
            None => filters.push((filter, topic.qos)),
        }
    }
    filters
}

/// What is known of the last connection when a new one is subscribed.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The recorded condition of the source; `None`: it was never connected.
    pub row: Option<&'a SourceRow>,
    /// The newest receive time of the source in the log.
    pub last_received: Option<Time>,
}

/// The interval in which samples may be missing when a source is connected again, with the reason: its
/// broker forgot us or may have, or some of its topics are not kept for us while we are away.
pub fn gap(source: &Name, before: Before<'_>, now: Time, session_present: bool, at_most_once: bool) -> Option<GapRow> {
    let row = before.row?;
    let reason = match (session_present, row.in_doubt, at_most_once) {
        (false, ..) => "the broker kept no session for us: messages of the meantime were not delivered",
        (true, true, _) => {
            "it is not known whether the broker kept our session all the time: an answer of it did not come, or the \
             folder was put back"
        }
        (true, false, true) => "topics of QoS 0 are not kept while the source is disconnected",
        (true, false, false) => return None,
    };
    // After a crash the row still says connected: then the newest receipt tells how far we came.
    let from =
        if row.connected { before.last_received.map_or(row.since, |last| last.max(row.since)) } else { row.since };
    Some(GapRow { source: source.clone(), from: from.min(now), to: now, reason: reason.into() })
}
