//! What is newest: the last value of every signal and when every source was heard of, by reading the log on.

use super::{Activity, Stored, hot::Hot};
use crate::{LastValue, Store, StoreError, db};
use ahash::AHashMap;
use andon_model::{
    AssetName, Entry, Name, Offset, Position, Quality, SignalName, SignalNo, Time, Value, sample::Batch,
};
use rusqlite::{Connection, params, types::ValueRef};
use std::{
    collections::BTreeMap,
    fmt::Display,
    ops::Range,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// The tables that keep what is newest in sealed samples: a part of the second version of the database.
/// `value` is of the type of its kind: a bool is 0 or 1.
pub(crate) const TABLES: &str = "
CREATE TABLE last_values (
    signal INTEGER PRIMARY KEY,
    time INTEGER NOT NULL, epoch INTEGER NOT NULL, offset INTEGER NOT NULL, received INTEGER NOT NULL,
    quality INTEGER NOT NULL, kind TEXT NOT NULL, value ANY NOT NULL
) STRICT;
CREATE TABLE heard (
    source TEXT NOT NULL, asset TEXT NOT NULL, received INTEGER NOT NULL, PRIMARY KEY (source, asset)
) STRICT, WITHOUT ROWID;
";

/// The newest of a stretch of the log; as large as there are signals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Newest {
    /// The newest sample of each signal by source time, then by place; retained ones left out.
    pub(crate) values: AHashMap<SignalNo, Stored>,
    /// The newest receive time by source and signal; retained ones left out: a broker sends them again to whoever
    /// subscribes, so they are no sign of life.
    pub(crate) heard: BTreeMap<Name, AHashMap<SignalNo, Time>>,
}

impl Newest {
    /// Takes over what a batch says. Sealing calls it with every batch it seals, before reduction.
    pub(crate) fn take(&mut self, batch: &Batch) {
        for (entry, offset) in batch.part.entries.iter().zip(batch.first.offset..) {
            let Entry::Sample(sample) = entry else { continue };
            if sample.origin.is_retained() {
                continue;
            }
            let position = Position { epoch: batch.first.epoch, offset };
            if self
                .values
                .get(&sample.signal)
                .is_none_or(|known| (known.time, known.position) < (sample.time, position))
            {
                let (time, received, quality) = (sample.time, sample.received, sample.quality);
                let value = sample.value.clone();
                self.values.insert(sample.signal, Stored { position, time, received, quality, value });
            }
            if !self.heard.contains_key(&batch.part.source) {
                self.heard.insert(batch.part.source.clone(), AHashMap::new());
            }
            if let Some(heard) = self.heard.get_mut(&batch.part.source) {
                let newest = heard.entry(sample.signal).or_insert(sample.received);
                *newest = sample.received.max(*newest);
            }
        }
    }
}

fn damaged(error: impl Display) -> StoreError {
    StoreError::corrupt(Path::new("andon.db"), 0, format!("a row of last values does not read back: {error}"))
}

/// Keeps what is newer than what is kept, within the transaction that moves the watermark of sealing.
pub(crate) fn keep(
    transaction: &Connection,
    newest: &Newest,
    asset_of: &dyn Fn(SignalNo) -> Option<AssetName>,
) -> Result<(), StoreError> {
    let mut value = transaction.prepare_cached(
        "INSERT INTO last_values (signal, time, epoch, offset, received, quality, kind, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (signal) DO UPDATE SET time = excluded.time, epoch = excluded.epoch, offset = excluded.offset,
             received = excluded.received, quality = excluded.quality, kind = excluded.kind, value = excluded.value
         WHERE (excluded.time, excluded.epoch, excluded.offset) > (time, epoch, offset)",
    )?;
    for (signal, last) in &newest.values {
        let (kind, stored): (&str, &dyn rusqlite::ToSql) = match &last.value {
            Value::Bool(of) => ("bool", of),
            Value::I64(of) => ("i64", of),
            Value::F64(of) => ("f64", of),
            Value::Text(of) => ("text", of),
            Value::Bytes(of) => ("bytes", &&**of),
        };
        value.execute(params![
            signal.0,
            last.time.0,
            last.position.epoch,
            last.position.offset.cast_signed(),
            last.received.0,
            last.quality.0,
            kind,
            stored
        ])?;
    }
    let mut heard = transaction.prepare_cached(
        "INSERT INTO heard (source, asset, received) VALUES (?1, ?2, ?3)
         ON CONFLICT (source, asset) DO UPDATE SET received = max(received, excluded.received)",
    )?;
    for (source, signals) in &newest.heard {
        let mut assets: BTreeMap<AssetName, Time> = BTreeMap::new();
        for (signal, received) in signals {
            let Some(asset) = asset_of(*signal) else { continue };
            later(&mut assets, asset, *received);
        }
        for (asset, received) in &assets {
            heard.execute(params![source.as_str(), asset.as_str(), received.0])?;
        }
    }
    Ok(())
}

fn later(assets: &mut BTreeMap<AssetName, Time>, asset: AssetName, received: Time) {
    let newest = assets.entry(asset).or_insert(received);
    *newest = received.max(*newest);
}

/// What follows the log, from one question to the next.
#[derive(Default)]
pub(crate) struct Follower(Mutex<Followed>);

#[derive(Default)]
struct Followed {
    /// Everything before this place of the log is in `newest` and `sealed`; `None`: nothing was asked yet.
    at: Option<Position>,
    /// Whether it has once come to the end of the log.
    was_whole: bool,
    newest: Newest,
    /// What was heard of in samples that are sealed.
    sealed: BTreeMap<Name, BTreeMap<AssetName, Time>>,
    hot: Hot,
    names: Names,
}

/// The signals by number, as far as somebody asked.
type Names = AHashMap<SignalNo, (AssetName, SignalName)>;

/// Entries that a question about who was heard of reads, once all were read; where more came since, half of them: who
/// floods the log holds up nobody who asks how it is, and what is behind does not grow.
const HEARD_ENTRIES_MAX: u64 = 500_000;

impl Followed {
    /// Reads the log on, to its present end.
    fn catch_up(&mut self, store: &Store) -> Result<(), StoreError> {
        self.read_on(store, store.log_end())?;
        self.was_whole = true;
        Ok(())
    }

    /// Reads the log on, and not everything at once where very much has come since; whether it has come to its end.
    fn look(&mut self, store: &Store) -> Result<bool, StoreError> {
        let end = store.log_end();
        let Some(at) = self.at.filter(|_| self.was_whole) else { return self.catch_up(store).map(|()| true) };
        let step = HEARD_ENTRIES_MAX.max(end.offset.saturating_sub(at.offset) / 2);
        let far = at.offset.saturating_add(step);
        self.read_on(store, Position { offset: end.offset.min(far), ..end })?;
        Ok(self.at.is_some_and(|at| at.offset >= end.offset))
    }

    fn read_on(&mut self, store: &Store, end: Position) -> Result<(), StoreError> {
        let mut at = match self.at {
            Some(at) => at,
            None => self.begin(store)?,
        };
        while at.offset < end.offset {
            let Some(batch) = store.read(at)? else { break };
            if batch.first.offset > at.offset {
                // What lay between has been sealed and removed: what is kept of it is in the database.
                let begun = self.begin(store)?;
                if begun == at {
                    let what =
                        format!("the entries from {at} on are in no segment, and nothing says that they are sealed");
                    return Err(StoreError::corrupt(&store.dir().unwrap_or(Path::new("")).join("log"), 0, what));
                }
                at = begun;
                continue;
            }
            self.newest.take(&batch);
            self.hot.take(&batch);
            at = batch.end();
            self.at = Some(at);
        }
        Ok(())
    }

    /// Begins anew with what is kept in the database.
    fn begin(&mut self, store: &Store) -> Result<Position, StoreError> {
        // In this order: where nothing was sealed by then, nothing had gone from the log before.
        let start = store.log_start();
        let (place, values, heard) = store.ask(kept)?;
        let at = place.unwrap_or(start);
        self.newest = Newest { values, heard: BTreeMap::new() };
        self.sealed = heard;
        self.hot = Hot::default();
        self.at = Some(at);
        Ok(at)
    }

    fn learn_names(&mut self, store: &Store) -> Result<(), StoreError> {
        let heard = self.newest.heard.values().flat_map(|signals| signals.keys());
        if self.newest.values.keys().chain(heard).any(|number| !self.names.contains_key(number)) {
            self.names = store.signals()?.into_iter().map(|(number, asset, name)| (number, (asset, name))).collect();
        }
        Ok(())
    }
}

type Kept = (Option<Position>, AHashMap<SignalNo, Stored>, BTreeMap<Name, BTreeMap<AssetName, Time>>);

/// What is newest in sealed samples, with the place up to which they reach.
fn kept(c: &Connection) -> Result<Kept, StoreError> {
    let transaction = c.unchecked_transaction()?;
    let place = db::place(&transaction)?;
    let mut statement = transaction
        .prepare_cached("SELECT signal, time, epoch, offset, received, quality, kind, value FROM last_values")?;
    let mut rows = statement.query([])?;
    let mut values = AHashMap::new();
    while let Some(row) = rows.next()? {
        let offset: i64 = row.get(3)?;
        let value = match (row.get_ref(6)?.as_str().map_err(damaged)?, row.get_ref(7)?) {
            ("bool", ValueRef::Integer(of)) => Value::Bool(of != 0),
            ("i64", ValueRef::Integer(of)) => Value::I64(of),
            ("f64", ValueRef::Real(of)) => Value::F64(of),
            ("text", ValueRef::Text(of)) => Value::Text(std::str::from_utf8(of).map_err(damaged)?.into()),
            ("bytes", ValueRef::Blob(of)) => Value::Bytes(of.into()),
            (kind, of) => return Err(damaged(format!("{kind} is kept as {}", of.data_type()))),
        };
        let last = Stored {
            position: Position { epoch: row.get(2)?, offset: offset.cast_unsigned() },
            time: Time(row.get(1)?),
            received: Time(row.get(4)?),
            quality: Quality(row.get(5)?),
            value,
        };
        values.insert(SignalNo(row.get(0)?), last);
    }
    let mut heard: BTreeMap<Name, BTreeMap<AssetName, Time>> = BTreeMap::new();
    let mut statement = transaction.prepare_cached("SELECT source, asset, received FROM heard")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let source = Name::new(row.get_ref(0)?.as_str().map_err(damaged)?).map_err(damaged)?;
        let asset = AssetName::new(row.get_ref(1)?.as_str().map_err(damaged)?).map_err(damaged)?;
        heard.entry(source).or_default().insert(asset, Time(row.get(2)?));
    }
    Ok((place, values, heard))
}

/// The number of a signal; `None`: it never had a sample.
pub(crate) fn number(store: &Store, asset: &AssetName, signal: &SignalName) -> Result<Option<SignalNo>, StoreError> {
    store.ask(|c| {
        let mut statement = c.prepare_cached("SELECT no FROM signals WHERE asset = ?1 AND signal = ?2")?;
        let mut rows = statement.query([asset.as_str(), signal.as_str()])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?.map(SignalNo))
    })
}

impl Store {
    fn followed<T>(&self, ask: impl FnOnce(&mut Followed) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut followed = self.follower().0.lock().unwrap_or_else(PoisonError::into_inner);
        followed.catch_up(self)?;
        ask(&mut followed)
    }

    /// The parts of the log between two places that may hold samples of a signal at or after `first` and before `end`.
    /// Who only looks and never asked for what is newest reads all, once, instead of twice.
    pub(crate) fn parts(
        &self,
        log: Range<Offset>,
        signal: SignalNo,
        first: Time,
        end: Time,
    ) -> Result<Vec<Range<Offset>>, StoreError> {
        let mut followed = self.follower().0.lock().unwrap_or_else(PoisonError::into_inner);
        if followed.at.is_none() && self.is_look() {
            return Ok(std::iter::once(log).collect());
        }
        followed.catch_up(self)?;
        followed.hot.forget(log.start);
        Ok(followed.hot.parts(log, signal, first, end))
    }

    /// The newest sample of a signal by source time, among equal times the later in the log. A retained message is
    /// history and none.
    pub fn last(&self, asset: &AssetName, signal: &SignalName) -> Result<Option<Stored>, StoreError> {
        let Some(number) = number(self, asset, signal)? else { return Ok(None) };
        self.followed(|followed| Ok(followed.newest.values.get(&number).cloned()))
    }

    /// The newest sample of every signal of the assets that are wanted, by the names of the signals.
    pub fn last_values(&self, wanted: &dyn Fn(&AssetName) -> bool) -> Result<Vec<LastValue>, StoreError> {
        self.followed(|followed| {
            followed.learn_names(self)?;
            let mut found = Vec::new();
            for (number, last) in &followed.newest.values {
                let Some((asset, signal)) = followed.names.get(number) else { continue };
                if wanted(asset) {
                    found.push(LastValue {
                        signal: format!("{asset}/{signal}"),
                        position: last.position,
                        time: last.time,
                        quality: last.quality,
                        value: last.value.clone(),
                    });
                }
            }
            found.sort_by(|a, b| a.signal.cmp(&b.signal));
            Ok(found)
        })
    }

    /// When each source was heard of last, from its samples; retained messages do not count.
    pub fn activity(&self) -> Result<BTreeMap<Name, Activity>, StoreError> {
        let mut followed = self.follower().0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_whole = followed.look(self)?;
        followed.learn_names(self)?;
        let mut sources: BTreeMap<Name, Activity> = BTreeMap::new();
        {
            for (source, assets) in &followed.sealed {
                sources.entry(source.clone()).or_default().assets.clone_from(assets);
            }
            for (source, signals) in &followed.newest.heard {
                let activity = sources.entry(source.clone()).or_default();
                for (number, received) in signals {
                    let Some((asset, _)) = followed.names.get(number) else { continue };
                    later(&mut activity.assets, asset.clone(), *received);
                }
            }
        }
        if !is_whole {
            self.hear_newest(&followed, &mut sources)?;
        }
        for activity in sources.values_mut() {
            activity.received = activity.assets.values().max().copied();
        }
        Ok(sources)
    }

    /// What each source has said last stands in memory, however much of the log is not read yet.
    fn hear_newest(&self, followed: &Followed, sources: &mut BTreeMap<Name, Activity>) -> Result<(), StoreError> {
        for source in self.source_counts().into_keys() {
            let activity = sources.entry(source.clone()).or_default();
            for batch in self.newest(&source, 1)? {
                for entry in &batch.part.entries {
                    let andon_model::Entry::Sample(sample) = entry else { continue };
                    if let Some((asset, _)) = followed.names.get(&sample.signal) {
                        later(&mut activity.assets, asset.clone(), sample.received);
                    }
                }
            }
        }
        Ok(())
    }
}
