//! What must hold between the floor and the store. Nothing here knows how a source works: only what machines said and
//! the broker did with it, and what the store lists.

use super::ledger::{Delivery, Fate, Ledger, Message, Said, Says};
use andon_model::{
    Entry, Name, Quality, Sample, Time,
    sample::{Counts, Origin},
    span::Span,
};
use andon_store::{Query, Store};
use std::collections::{BTreeMap, BTreeSet};

/// What the reason of a gap says that a restore has left.
const RESTORED: &str = "restored from a backup";

/// What the store has of one source.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The client that the source is at its broker.
    pub client: String,
    /// Its samples in the log, with `<asset>/<signal>`.
    pub samples: Vec<(String, Sample)>,
    /// Topic and bytes of the messages that were set aside.
    pub quarantined: Vec<(String, Vec<u8>)>,
    /// The bytes of those that were set aside because the process ended with them at hand: they may be readable.
    pub suspected: BTreeSet<Vec<u8>>,
    /// Its gaps, from and to.
    pub gaps: Vec<(Time, Time)>,
    /// Those of them that say that the folder was restored.
    pub restored: Vec<(Time, Time)>,
    /// What became of all that was received.
    pub counts: Counts,
}

impl Held {
    /// Reads what a store lists of a source, as far as it is in the log.
    pub fn read(store: &Store, source: &Name) -> Result<Self, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let signals = store.signals().map_err(|e| text(&e))?;
        let names: BTreeMap<_, _> =
            signals.iter().map(|(no, asset, signal)| (*no, format!("{asset}/{signal}"))).collect();
        let mut held = Self {
            client: format!("andon-{}-{source}", store.instance()),
            counts: store.source_counts().get(source).copied().unwrap_or_default(),
            ..Self::default()
        };
        let mut at = store.log_start();
        while let Some(batch) = store.read(at).map_err(|e| text(&e))? {
            at = batch.end();
            for entry in batch.part.entries.iter().filter(|_| batch.part.source == *source) {
                if let Entry::Sample(sample) = entry {
                    let name = names.get(&sample.signal).ok_or("a sample of a signal without a name")?;
                    held.samples.push((name.clone(), sample.clone()));
                }
            }
        }
        let mut after = 0;
        loop {
            let page = store.quarantined(None, after, 1_000).map_err(|e| text(&e))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let ours = page.into_iter().map(|(_, row)| row).filter(|row| row.source == *source);
            let ours: Vec<_> = ours.collect();
            let ended = ours.iter().filter(|row| row.detail.contains("ended the process"));
            held.suspected.extend(ended.map(|row| row.bytes.clone()));
            held.quarantined.extend(ours.into_iter().map(|row| (row.topic, row.bytes)));
        }
        let of = vec![("source".to_owned(), source.to_string())];
        let page =
            store.list("gaps", &Query { where_: of, limit: 10_000, ..Query::default() }).map_err(|e| text(&e))?;
        for row in page.rows {
            let time = |key: &str| row.get(key).and_then(|t| t.as_str()).map(Time::parse);
            let (Some(Ok(from)), Some(Ok(to))) = (time("from"), time("to")) else {
                return Err(format!("a gap without its times: {row}"));
            };
            held.gaps.push((from, to));
            if row.get("reason").and_then(|reason| reason.as_str()).is_some_and(|reason| reason.contains(RESTORED)) {
                held.restored.push((from, to));
            }
        }
        Ok(held)
    }
}

/// On which terms the checks hold.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How far a gap may lie beside what it excuses: the time that bytes take, and how far the clock was moved.
    pub slack: Span,
    /// The clock of the process was moved: what could be read may have seemed to come from another century.
    pub clock_moved: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { slack: Span::from_millis(1_000), clock_moved: false }
    }
}

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were on their way to the source.
    pub deliveries: u64,
    /// Samples that are stored.
    pub stored: u64,
    /// What was received and known already.
    pub duplicates: u64,
    /// Messages that were set aside.
    pub quarantined: u64,
    /// Messages that are not there, and a gap says so.
    pub excused: u64,
    /// Those of them that a restore has lost.
    pub undone: u64,
    /// Messages that were sent more than once.
    pub repeated: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.quarantined += other.quarantined;
        self.excused += other.excused;
        self.undone += other.undone;
        self.repeated += other.repeated;
    }
}

/// A sample as everybody knows it: signal, time where the machine said it, value.
type Key<'a> = (&'a str, Option<Time>, u64);

fn key(said: &Said) -> Key<'_> {
    (said.signal.as_str(), said.time, said.value.to_bits())
}

/// What was sent to the source of one sample or one message.
#[derive(Debug, Clone, Copy)]
struct Sent {
    times: u32,
    quality: Quality,
}

/// All promises of a source at rest; the first that is broken.
pub fn all(ledger: &Ledger, held: &Held, terms: Terms) -> Result<Tally, String> {
    if let Some(complaint) = ledger.complaints.first() {
        return Err(complaint.clone());
    }
    let mut said: BTreeMap<Key<'_>, Sent> = BTreeMap::new();
    let mut odd: BTreeMap<(&str, &[u8]), u32> = BTreeMap::new();
    for (delivery, message) in deliveries(ledger, held) {
        if let Says::Sample(sample) = &message.says {
            let sent = said.entry(key(sample)).or_insert(Sent { times: 0, quality: sample.quality });
            sent.times += delivery.sent;
        }
        *odd.entry((message.topic.as_str(), message.payload.as_slice())).or_default() += delivery.sent;
    }
    each_once(held, &said)?;
    set_aside(ledger, held, &odd, terms)?;
    add_up(held)?;
    nothing_lost(ledger, held, terms)
}

fn deliveries<'a>(ledger: &'a Ledger, held: &'a Held) -> impl Iterator<Item = (&'a Delivery, &'a Message)> {
    let ours = ledger.deliveries.iter().filter(|delivery| delivery.client == held.client);
    ours.filter_map(|delivery| Some((delivery, ledger.messages.get(delivery.message)?)))
}

/// The time that the machine said.
fn claimed(sample: &Sample) -> Time {
    match sample.origin {
        Origin::Ahead(claimed) | Origin::RetainedAhead(claimed) => claimed,
        Origin::Live | Origin::Retained | Origin::RetainedUntimed => sample.time,
    }
}

fn bits(sample: &Sample) -> u64 {
    sample.value.number().unwrap_or(f64::NAN).to_bits()
}

/// Every stored sample was said and sent, means what it meant, and is stored once; one without a time of its own at
/// most as often as it was sent.
fn each_once(held: &Held, said: &BTreeMap<Key<'_>, Sent>) -> Result<(), String> {
    let mut seen: BTreeMap<Key<'_>, u32> = BTreeMap::new();
    for (signal, sample) in &held.samples {
        let timed = (signal.as_str(), Some(claimed(sample)), bits(sample));
        let plain = (signal.as_str(), None, bits(sample));
        let Some((key, sent)) = said.get_key_value(&timed).or_else(|| said.get_key_value(&plain)) else {
            return Err(format!("a sample that nobody sent: {signal} {sample:?}"));
        };
        let stored = seen.entry(*key).or_default();
        *stored += 1;
        let most = if key.1.is_some() { sent.times.min(1) } else { sent.times };
        if *stored > most {
            return Err(format!("stored {stored} times, and sent {} times: {signal} {sample:?}", sent.times));
        }
        let doubted = sent.quality.is_good() && sample.quality == Quality::UNCERTAIN;
        let is_odd = sample.origin != Origin::Live && sample.origin != Origin::Retained;
        if sample.quality != sent.quality && !(doubted && is_odd) {
            return Err(format!("a sample of quality {:?} is stored otherwise: {signal} {sample:?}", sent.quality));
        }
    }
    Ok(())
}

/// What is set aside could not be read, and has the bytes with which it was sent.
fn set_aside(ledger: &Ledger, held: &Held, sent: &BTreeMap<(&str, &[u8]), u32>, terms: Terms) -> Result<(), String> {
    let mut seen: BTreeMap<(&str, &[u8]), u32> = BTreeMap::new();
    for (topic, bytes) in &held.quarantined {
        let key = (topic.as_str(), bytes.as_slice());
        let shown = String::from_utf8_lossy(bytes);
        let times = seen.entry(key).or_default();
        *times += 1;
        if *times > sent.get(&key).copied().unwrap_or(0) {
            return Err(format!("set aside {times} times, which is more than it was sent: {topic} {shown}"));
        }
    }
    for (_, message) in deliveries(ledger, held).filter(|_| !terms.clock_moved) {
        let aside = seen.contains_key(&(message.topic.as_str(), message.payload.as_slice()));
        if aside && message.says != Says::Nothing && !held.suspected.contains(&message.payload) {
            return Err(format!("can be read and is set aside: {message:?}"));
        }
    }
    Ok(())
}

/// received = stored + duplicate + quarantined + refused, and the rows are there.
fn add_up(held: &Held) -> Result<(), String> {
    let Counts { received, stored, duplicate, quarantined, refused } = held.counts;
    let samples = held.samples.len() as u64;
    let rows = held.quarantined.len() as u64;
    if received != stored + duplicate + quarantined + refused || stored != samples || quarantined > rows {
        return Err(format!("{:?}, and there are {samples} samples and {rows} messages set aside", held.counts));
    }
    Ok(())
}

/// Whether a gap says that a message may be missing that the broker took then: it begins at this moment at the latest.
fn is_told(taken: Time, begin: Time, gaps: &[(Time, Time)], slack: Span) -> bool {
    let (last, first) = (begin.plus(slack), taken.minus(slack));
    gaps.iter().any(|(from, to)| *from <= last && first <= *to)
}

/// What is said of a message that nobody finds, with what there is of its signal.
fn lost(delivery: &Delivery, message: &Message, held: &Held) -> String {
    let of = match &message.says {
        Says::Sample(said) => said.signal.as_str(),
        Says::Nothing => "",
    };
    let there: Vec<&Sample> =
        held.samples.iter().filter(|(signal, _)| signal == of).map(|(_, sample)| sample).collect();
    let Held { gaps, counts, .. } = held;
    format!("lost without a gap: {delivery:?} {message:?}\ngaps: {gaps:?}\n{counts:?}; of its signal: {there:#?}")
}

/// What the broker handed over is there; what it did not is there, or lies in a gap.
fn nothing_lost(ledger: &Ledger, held: &Held, terms: Terms) -> Result<Tally, String> {
    let mut there: BTreeSet<Key<'_>> = BTreeSet::new();
    for (signal, sample) in &held.samples {
        there.insert((signal.as_str(), Some(claimed(sample)), bits(sample)));
        there.insert((signal.as_str(), None, bits(sample)));
    }
    let aside: BTreeSet<(&str, &[u8])> =
        held.quarantined.iter().map(|(topic, bytes)| (topic.as_str(), bytes.as_slice())).collect();
    let mut tally = Tally {
        stored: held.counts.stored,
        duplicates: held.counts.duplicate,
        quarantined: held.counts.quarantined,
        ..Tally::default()
    };
    for (delivery, message) in deliveries(ledger, held) {
        tally.deliveries += 1;
        tally.repeated += u64::from(delivery.sent > 1);
        let is_aside = aside.contains(&(message.topic.as_str(), message.payload.as_slice()));
        let is_there = is_aside
            || match &message.says {
                Says::Sample(said) => there.contains(&key(said)),
                Says::Nothing => false,
            };
        if is_there {
            continue;
        }
        let excused = match delivery.fate {
            Fate::Acknowledged | Fate::Waiting => false,
            // What a broker has held up for one that was connected is as late as what the network has.
            Fate::Lost(at) => {
                let begin = if delivery.met.is_none() { delivery.taken } else { at };
                is_told(delivery.taken, begin, &held.gaps, terms.slack)
            }
            Fate::Undone => is_told(delivery.taken, delivery.since, &held.restored, terms.slack),
        };
        if !excused {
            return Err(lost(delivery, message, held));
        }
        tally.excused += 1;
        tally.undone += u64::from(delivery.fate == Fate::Undone);
    }
    Ok(tally)
}
