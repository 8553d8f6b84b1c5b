//! Which rows of a file, or which request, a sample came from.

use andon_model::{Entry, Mark, Name, Position};
use andon_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// Where a sample came from, where its source reads files or requests that are taken once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Which file or request: its name and the beginning of the hash of its content.
    pub of: String,
    /// The first row of the group that the sample came with, from 0; absent once the log is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The row behind the last one of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// What the sample at a place of the log was read from: the mark before it in its batch; where the log is gone, the
/// file that its source read when the log was there; of a source that is not known any more, only where no other source
/// read a file meanwhile. `None` for samples that came otherwise.
pub fn rows_of(store: &Store, source: Option<&Name>, place: Position) -> Result<Option<Rows>, StoreError> {
    if let Some(batch) = store.read(place)?.filter(|batch| batch.first.epoch == place.epoch)
        && batch.first <= place
    {
        let before = usize::try_from(place.offset - batch.first.offset).unwrap_or(usize::MAX);
        return Ok(batch.part.entries.iter().take(before).rev().find_map(|entry| match entry {
            Entry::Mark(Mark::Rows { of, from, to }) => Some(Rows { of: of.clone(), from: Some(*from), to: Some(*to) }),
            _ => None,
        }));
    }
    let within = |state: &serde_json::Value| {
        let end = |name| serde_json::from_value::<Position>(state.get(name)?.clone()).ok();
        matches!((end("from"), end("to")), (Some(from), Some(to)) if from <= place && place < to)
    };
    let sources = match source {
        Some(source) => vec![source.clone()],
        None => store.source_rows()?.into_iter().map(|row| row.source).collect(),
    };
    let mut found = Vec::new();
    for source in sources {
        found.extend(store.intakes(&source)?.into_iter().find(|row| within(&row.state)));
    }
    let only = if found.len() == 1 { found.pop() } else { None };
    Ok(only.map(|row| Rows { of: row.of, from: None, to: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{Quality, Sample, SignalNo, SiteName, Time, Value, sample::Part};
    use andon_store::rows::{IntakeRow, Write};

    #[test]
    fn a_sample_knows_its_file() {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let source = Name::new("drop").unwrap();
        let sample = Entry::Sample(Sample {
            signal: SignalNo(1),
            time: Time(1),
            received: Time(2),
            quality: Quality::GOOD,
            value: Value::I64(3),
            origin: andon_model::sample::Origin::Live,
        });
        let mut part = Part::new(SiteName::new("a").unwrap(), source.clone());
        let mark = Mark::Rows { of: "a.csv#12".into(), from: 5, to: 9 };
        part.entries = vec![sample.clone(), Entry::Mark(mark), sample.clone(), sample];
        let first = store.append(vec![part]).unwrap().remove(0).first;
        let at = |offset| Position { epoch: first.epoch, offset: first.offset + offset };
        let found = rows_of(&store, Some(&source), at(3)).unwrap().unwrap();
        assert_eq!((found.of.as_str(), found.from, found.to), ("a.csv#12", Some(5), Some(9)));
        assert_eq!(rows_of(&store, Some(&source), at(0)).unwrap(), None);
        // A place behind the log stands for one whose log is gone.
        let state = serde_json::json!({ "from": at(10), "to": at(20) });
        let row = IntakeRow {
            source: source.clone(),
            of: "b.csv#34".into(),
            position: at(20),
            open: false,
            updated: Time(1),
            state,
        };
        store.commit(vec![Write::Intake(Box::new(row))]).unwrap();
        assert_eq!(rows_of(&store, Some(&source), at(15)).unwrap().unwrap().of, "b.csv#34");
        assert_eq!(rows_of(&store, Some(&source), at(25)).unwrap(), None);
    }
}
