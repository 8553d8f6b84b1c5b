//! What the sources, as they are now, make of messages that were set aside.

use crate::{
    duplicates::Duplicates,
    files::{Again, again},
    given::{Chance, draw_key},
    http::PostsAgain,
    mapping::{About, Incoming, TopicTable, UNKNOWN_TOPIC},
    problem::Problem,
    shdr::ShdrCore,
    source::Quarantine,
};
use andon_contract::contract::{Contract, SourceKind};
use andon_model::{AssetName, Entry, Name, SignalName, SignalNo, Time, sample::Part};
use andon_store::{
    Store, StoreError,
    rows::{QuarantineRow, Write},
};
use std::{collections::HashMap, sync::Arc};

/// What a message gives now.
#[derive(Default)]
pub(super) struct Read {
    pub(super) parts: Vec<Part>,
    /// What is set aside of it.
    pub(super) aside: Vec<Write>,
    /// Events, which are known by their ids.
    pub(super) events: Vec<Write>,
}

impl From<(Vec<Part>, Quarantine)> for Read {
    fn from((parts, quarantine): (Vec<Part>, Quarantine)) -> Self {
        Self { parts, aside: quarantine.into_writes(), events: Vec::new() }
    }
}

/// How messages of a source are read.
enum Reader {
    Topics(Box<TopicTable>),
    Shdr(Box<ShdrCore>),
    Rows(Box<Again>),
    Posts(Box<PostsAgain>),
    /// They are not, for this reason.
    Not(&'static str),
}

/// Reads messages of all sources.
pub(super) struct Readers<'a> {
    contract: &'a Arc<Contract>,
    store: &'a Store,
    by_source: HashMap<Name, Reader>,
    /// The time of the caller's clock.
    now: Time,
}

impl<'a> Readers<'a> {
    pub(super) fn new(contract: &'a Arc<Contract>, store: &'a Store, now: Time) -> Self {
        Self { contract, store, by_source: HashMap::new(), now }
    }

    /// Whether messages of a source are rows of files.
    pub(super) fn are_rows(&self, source: &Name) -> bool {
        matches!(self.by_source.get(source), Some(Reader::Rows(_)))
    }

    /// Whether the payload of a message is itself the value of all its signals.
    pub(super) fn is_plain(&self, source: &Name, topic: &str) -> bool {
        matches!(self.by_source.get(source), Some(Reader::Topics(table)) if table.is_plain(topic))
    }

    /// What the present mapping makes of a message that was set aside for a cause; an error says why it cannot say.
    pub(super) fn read(
        &mut self,
        code: &str,
        row: &QuarantineRow,
        chance: &mut Chance,
    ) -> Result<Result<Read, String>, StoreError> {
        let sources = self.sources(code, row, chance)?;
        let mut all = Read::default();
        for name in &sources {
            match self.read_by(name, row)? {
                Ok(Read { parts, aside, events }) => {
                    all.parts.extend(parts);
                    all.aside.extend(aside);
                    all.events.extend(events);
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(all))
    }

    /// The sources that read a message: its own; but all of its listener that map its topic now, where none did.
    fn sources(&mut self, code: &str, row: &QuarantineRow, chance: &mut Chance) -> Result<Vec<Name>, StoreError> {
        let Self { contract, store, by_source: readers, .. } = self;
        let mut reader_of = |name: &Name| {
            if !readers.contains_key(name) {
                readers.insert(name.clone(), Reader::new(contract, name, chance));
            }
        };
        let listener = |name: &Name| match contract.sources.get(name).map(|source| &source.kind) {
            Some(SourceKind::Listener(of)) => Some(of.listener.clone()),
            _ => None,
        };
        reader_of(&row.source);
        let Some(own) = listener(&row.source).filter(|_| code == UNKNOWN_TOPIC) else {
            return Ok(vec![row.source.clone()]);
        };
        let names: Vec<Name> =
            contract.sources.keys().filter(|name| listener(name).as_ref() == Some(&own)).cloned().collect();
        names.iter().for_each(reader_of);
        let mut found = Vec::new();
        for name in names {
            let Some(Reader::Topics(table)) = readers.get_mut(&name) else { continue };
            let mut numbers = |asset: &AssetName, signal: &SignalName| store.signal(asset, signal);
            if !matches!(table.about(contract, &row.topic, &mut numbers)?, About::Nothing) {
                found.push(name);
            }
        }
        Ok(if found.is_empty() { vec![row.source.clone()] } else { found })
    }

    fn read_by(&mut self, name: &Name, row: &QuarantineRow) -> Result<Result<Read, String>, StoreError> {
        let Self { contract, store, by_source: readers, now } = self;
        let mut numbers = |asset: &AssetName, signal: &SignalName| store.signal(asset, signal);
        match readers.get_mut(name) {
            None => Ok(Err("there is no such source".to_owned())),
            Some(Reader::Not(why)) => Ok(Err((*why).to_owned())),
            Some(Reader::Rows(rows)) => {
                let taken = again(rows, row, &mut numbers)?;
                Ok(taken.map(|()| rows.core.intake.take().into()))
            }
            Some(Reader::Posts(posts)) => {
                let (events, quarantine) = posts.read(store, row, *now)?;
                Ok(Ok(Read { parts: Vec::new(), aside: quarantine.into_writes(), events }))
            }
            Some(Reader::Topics(table)) => {
                of_topic(contract, table, name, row, &mut numbers).map(|read| Ok(read.into()))
            }
            Some(Reader::Shdr(core)) => {
                core.again(&row.bytes, row.received, &mut numbers)?;
                Ok(Ok(core.take().into()))
            }
        }
    }
}

impl Reader {
    fn new(contract: &Arc<Contract>, name: &Name, chance: &mut Chance) -> Self {
        let Some(source) = contract.sources.get(name) else {
            return Self::Not("the project has no such source any more");
        };
        match &source.kind {
            SourceKind::Mqtt(_) | SourceKind::Listener(_) => {
                let topics = source.kind.topics().unwrap_or_default();
                Self::Topics(Box::new(TopicTable::new(contract, name, source, topics)))
            }
            SourceKind::Shdr(_) => match ShdrCore::new(contract, name, Duplicates::new(draw_key(chance))) {
                Some(core) => Self::Shdr(Box::new(core)),
                None => Self::Not("the project has no site"),
            },
            SourceKind::File(_) => match Again::new(contract, name, Duplicates::new(draw_key(chance))) {
                Some(again) => Self::Rows(Box::new(again)),
                None => Self::Not("the project has no site"),
            },
            SourceKind::Http(_) => match PostsAgain::new(contract, name) {
                Some(posts) => Self::Posts(Box::new(posts)),
                None => Self::Not("the source takes no posts"),
            },
        }
    }
}

fn of_topic(
    contract: &Contract,
    table: &mut TopicTable,
    name: &Name,
    row: &QuarantineRow,
    numbers: &mut dyn FnMut(&AssetName, &SignalName) -> Result<SignalNo, StoreError>,
) -> Result<(Vec<Part>, Quarantine), StoreError> {
    let message = Incoming { topic: &row.topic, payload: &row.bytes, retained: row.retained, received: row.received };
    let mut samples = Vec::new();
    let mut problems: Vec<(Option<usize>, Problem)> = Vec::new();
    table.read(
        contract,
        message,
        numbers,
        &mut |site, read| samples.push((site, read.sample)),
        &mut |site, problem| problems.push((site, problem)),
    )?;
    let mut parts: Vec<Part> = Vec::new();
    for (site, sample) in samples {
        let Some(site) = table.sites().get(site).or_else(|| table.sites().get(table.home())) else { continue };
        let at = parts.iter().position(|part| part.site == *site).unwrap_or_else(|| {
            parts.push(Part::new(site.clone(), name.clone()));
            parts.len() - 1
        });
        let Some(part) = parts.get_mut(at) else { continue };
        part.counts.received += 1;
        part.counts.stored += 1;
        part.entries.push(Entry::Sample(sample));
    }
    let mut quarantine = Quarantine::default();
    for (site, problem) in problems {
        let site = site.and_then(|site| table.sites().get(site));
        quarantine.add(contract, name, site, &problem, message);
    }
    Ok((parts, quarantine))
}
