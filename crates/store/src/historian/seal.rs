//! Sealing: a stretch of the log becomes files, one for each site and UTC day of source time.

use super::{
    Policy,
    catalog::{Changes, FileRow},
    last::Newest,
    minutes,
    parquet::{self, Row},
    reduce,
    work::Work,
};
use crate::{StoreError, log::Readers};
use andon_model::{
    AssetName, Entry, Name, Offset, Position, SignalName, SignalNo, SiteName, Time, Value, sample::Batch, span::Span,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

/// Samples that are sealed at once at most, give or take those of one batch: about 100 MB of memory.
pub(crate) const CHUNK_SAMPLES_MAX: usize = 1_000_000;

/// Bytes of texts and bytes among them.
const CHUNK_BYTES_MAX: usize = 128 << 20;

/// A UTC day.
pub(crate) const DAY: Span = Span::from_secs(24 * 3_600);

/// The names of signals.
#[derive(Default)]
pub(crate) struct Names(HashMap<SignalNo, Named>);

struct Named {
    asset: AssetName,
    signal: SignalName,
    /// `asset/signal`.
    text: Arc<str>,
    /// Its place in the order of texts.
    rank: usize,
}

impl Names {
    pub(crate) fn new(signals: Vec<(SignalNo, AssetName, SignalName)>) -> Self {
        let mut named: Vec<_> = signals
            .into_iter()
            .map(|(number, asset, signal)| (Arc::<str>::from(format!("{asset}/{signal}")), number, asset, signal))
            .collect();
        named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let named = named.into_iter().enumerate();
        Self(named.map(|(rank, (text, number, asset, signal))| (number, Named { asset, signal, text, rank })).collect())
    }

    pub(crate) fn knows(&self, batch: &Batch) -> bool {
        batch.part.entries.iter().all(|entry| match entry {
            Entry::Sample(sample) => self.0.contains_key(&sample.signal),
            Entry::Mark(_) => true,
        })
    }

    fn get(&self, number: SignalNo) -> Result<&Named, StoreError> {
        self.0.get(&number).ok_or_else(|| {
            let what = format!("the log names the signal {}, which has no name", number.0);
            StoreError::corrupt(Path::new("andon.db"), 0, what)
        })
    }
}

/// A row with what the file does not say.
struct Pending {
    signal: SignalNo,
    source: u32,
    row: Row,
}

/// A stretch of the log, its samples by site and day.
pub(crate) struct Chunk {
    from: Position,
    to: Position,
    sources: Vec<Name>,
    groups: BTreeMap<(SiteName, i64), Vec<Pending>>,
    newest: Newest,
    samples: usize,
    bytes: usize,
}

impl Chunk {
    /// Reads the log from a place on up to `end`, or to where a chunk is full or another epoch begins. `learn` gives
    /// the names of signals anew.
    pub(crate) fn read(
        readers: &Readers,
        from: Position,
        end: Position,
        most: usize,
        names: &mut Names,
        learn: impl Fn() -> Result<Names, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut chunk = Self {
            from,
            to: from,
            sources: Vec::new(),
            groups: BTreeMap::new(),
            newest: Newest::default(),
            samples: 0,
            bytes: 0,
        };
        let mut at: Offset = from.offset;
        let mut epoch = None;
        while chunk.samples < most && chunk.bytes < CHUNK_BYTES_MAX {
            let batch = if at < end.offset { readers.read(at, end.offset)? } else { None };
            let Some(batch) = batch else {
                chunk.to = Position { epoch: epoch.unwrap_or(end.epoch), ..end };
                break;
            };
            if *epoch.get_or_insert(batch.first.epoch) != batch.first.epoch {
                break;
            }
            if !names.knows(&batch) {
                *names = learn()?;
            }
            chunk.to = batch.end();
            at = batch.end().offset;
            chunk.newest.take(&batch);
            chunk.take(batch, names)?;
        }
        Ok(chunk)
    }

    fn take(&mut self, batch: Batch, names: &Names) -> Result<(), StoreError> {
        let source = self.sources.iter().rposition(|known| *known == batch.part.source).unwrap_or_else(|| {
            self.sources.push(batch.part.source.clone());
            self.sources.len() - 1
        });
        let source = u32::try_from(source).unwrap_or(u32::MAX);
        let (first, site) = (batch.first, batch.part.site);
        for (ahead, entry) in (0..).zip(batch.part.entries) {
            let Entry::Sample(sample) = entry else { continue };
            self.samples += 1;
            self.bytes += match &sample.value {
                Value::Text(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                Value::Bool(_) | Value::I64(_) | Value::F64(_) => 0,
            };
            let row = Row {
                signal: Arc::clone(&names.get(sample.signal)?.text),
                time: sample.time,
                received: sample.received,
                quality: sample.quality,
                value: sample.value,
                position: Position { offset: first.offset + ahead, ..first },
                origin: sample.origin,
            };
            let key = (site.clone(), sample.time.0.div_euclid(DAY.nanos()));
            self.groups.entry(key).or_default().push(Pending { signal: sample.signal, source, row });
        }
        Ok(())
    }

    /// Whether it leads on.
    pub(crate) fn is_empty(&self) -> bool {
        self.to <= self.from
    }

    /// Writes the files, all of them durable; what the database must say of them.
    pub(crate) fn write(self, work: &mut Work<'_>, names: &Names, policy: &Policy) -> Result<Changes, StoreError> {
        let mut changes = Changes { sealed: Some((self.from, self.to)), newest: self.newest, ..Changes::default() };
        let mut reduced: HashMap<u32, u64> = HashMap::new();
        for ((site, number), group) in self.groups {
            let day = day(number);
            let mut group = group;
            let rank = |pending: &Pending| names.get(pending.signal).map_or(usize::MAX, |named| named.rank);
            group.sort_unstable_by_key(|pending| (rank(pending), pending.row.time, pending.row.position));
            let (tags, rows): (Vec<_>, Vec<_>) =
                group.into_iter().map(|pending| ((pending.signal, pending.source), pending.row)).unzip();
            let minutes = minutes::of(&rows);
            let kept = thinned(&rows, &tags, names, policy, &mut reduced)?;
            let rows = rows.into_iter().zip(kept).filter_map(|(row, kept)| kept.then_some(row));
            let samples = work.samples(&site, &day, |disk, aside| parquet::write(disk, aside, rows))?;
            let about = samples.facts.clone();
            changes.add.push(samples);
            if !minutes.is_empty() {
                changes
                    .add
                    .push(work.minutes(&site, &day, &[&about], |disk, aside| minutes::write(disk, aside, minutes))?);
            }
        }
        for (source, samples) in reduced {
            if let Some(source) = self.sources.get(source as usize) {
                changes.reduced.insert(source.clone(), samples);
            }
        }
        Ok(changes)
    }
}

/// Which of the rows, sorted by signal, are kept; the others are counted by source.
fn thinned(
    rows: &[Row],
    tags: &[(SignalNo, u32)],
    names: &Names,
    policy: &Policy,
    reduced: &mut HashMap<u32, u64>,
) -> Result<Vec<bool>, StoreError> {
    let mut kept = Vec::with_capacity(rows.len());
    let mut rest = rows;
    for of in tags.chunk_by(|a, b| a.0 == b.0) {
        let (rows, behind) = rest.split_at_checked(of.len()).unwrap_or_default();
        rest = behind;
        let Some((signal, _)) = of.first() else { continue };
        let name = names.get(*signal)?;
        match (policy.reduce)(&name.asset, &name.signal) {
            None => kept.resize(kept.len() + rows.len(), true),
            Some(by) => {
                let stays = reduce::kept(rows, &by);
                for ((_, source), _) in of.iter().zip(&stays).filter(|(_, stays)| !**stays) {
                    *reduced.entry(*source).or_default() += 1;
                }
                kept.extend(stays);
            }
        }
    }
    Ok(kept)
}

/// `2026-11-25` of the number of a day since 1970.
fn day(number: i64) -> String {
    let text = Time(number.saturating_mul(DAY.nanos())).to_string();
    text.get(..10).map_or(text.clone(), ToOwned::to_owned)
}

/// When a day ends.
pub(crate) fn day_end(row: &FileRow) -> Time {
    let number = row.facts.first_time.0.div_euclid(DAY.nanos());
    Time(number.saturating_add(1).saturating_mul(DAY.nanos()))
}
