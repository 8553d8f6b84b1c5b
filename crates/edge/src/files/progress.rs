//! Which files of a folder are whole and not taken yet. Pure: the folder as it was seen, and the time, are arguments.

use andon_contract::contract::{FileSource, Ready};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Files of a folder that are looked at at once; the first by name.
pub(crate) const FILES_MAX: usize = 100_000;
/// Endings of files that are still being written, by the programs that write them.
const UNFINISHED: [&str; 6] = [".tmp", ".part", ".partial", ".filepart", ".crdownload", "~"];

/// A file as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bytes.
    pub(crate) size: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub(crate) changed: i128,
}

/// What is remembered of the files of a folder.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Files that wait: how they were seen last, and since when they are so.
    waiting: BTreeMap<String, (Seen, Duration)>,
    /// Files that need nothing more as long as they stay so.
    done: BTreeMap<String, Seen>,
}

/// Whether a name is one that a source takes.
pub(crate) fn is_wanted(source: &FileSource, name: &str) -> bool {
    !name.starts_with('.') && !UNFINISHED.iter().any(|end| name.ends_with(end)) && source.pattern.matches(name)
}

/// The name of the file that says that another is whole.
pub(crate) fn marker(source: &FileSource, name: &str) -> Option<String> {
    match &source.ready {
        Ready::Settled(_) => None,
        Ready::Marker(template) => template.fill(&|_| Some(name)).ok(),
    }
}

impl Watch {
    /// Takes the folder as it is seen now; the names of the files that are to be read, the oldest first.
    pub(crate) fn look(&mut self, source: &FileSource, files: &BTreeMap<String, Seen>, now: Duration) -> Vec<String> {
        self.done.retain(|name, _| files.contains_key(name));
        self.waiting.retain(|name, _| files.contains_key(name));
        let mut ready: Vec<(i128, String)> = Vec::new();
        let markers: BTreeSet<String> = files.keys().filter_map(|name| marker(source, name)).collect();
        for (name, seen) in files {
            if !is_wanted(source, name) || markers.contains(name) || self.done.get(name) == Some(seen) {
                continue;
            }
            let since = match self.waiting.get(name) {
                Some((before, since)) if before == seen => *since,
                _ => {
                    self.waiting.insert(name.clone(), (*seen, now));
                    now
                }
            };
            let whole = match (&source.ready, marker(source, name)) {
                (Ready::Settled(settle), _) => now.saturating_sub(since) >= settle.std(),
                (Ready::Marker(_), Some(marker)) => files.contains_key(&marker),
                (Ready::Marker(_), None) => false,
            };
            if whole {
                ready.push((seen.changed, name.clone()));
            }
        }
        ready.sort();
        ready.into_iter().map(|(_, name)| name).collect()
    }

    /// A file needs nothing more as long as it stays as it was seen.
    pub(crate) fn done(&mut self, name: &str, seen: Seen) {
        self.waiting.remove(name);
        self.done.insert(name.to_owned(), seen);
    }

    /// A file is to be looked at again after it has settled anew.
    pub(crate) fn again(&mut self, name: &str) {
        self.waiting.remove(name);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use andon_contract::contract::{After, CsvFormat, FileFormat, Pattern, Piece, RowMapping, Template};
    use andon_model::span::Span;

    pub(crate) fn source(ready: Ready) -> FileSource {
        FileSource {
            folder: "drop".into(),
            pattern: Pattern("*.csv".into()),
            format: FileFormat::Csv(CsvFormat {
                delimiter: ',',
                quote: Some('"'),
                header: true,
                skip: 0,
                comment: None,
            }),
            encoding: "utf-8".into(),
            decimal: '.',
            thousands: None,
            ready,
            every: Span::from_secs(1),
            after: After::Keep,
            failed: None,
            rows: RowMapping { asset: Template { pieces: Vec::new() }, time: None, signals: Vec::new() },
        }
    }

    fn folder(files: &[(&str, u64, i128)]) -> BTreeMap<String, Seen> {
        files
            .iter()
            .map(|(name, size, changed)| ((*name).to_owned(), Seen { size: *size, changed: *changed }))
            .collect()
    }

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_file_is_taken_when_it_has_settled_and_the_oldest_first() {
        let source = source(Ready::Settled(Span::from_secs(2)));
        let mut watch = Watch::default();
        let all = folder(&[("b.csv", 5, 1), ("a.csv", 5, 2), (".c.csv", 5, 0), ("d.csv.tmp", 5, 0), ("e.txt", 5, 0)]);
        assert!(watch.look(&source, &all, S(0)).is_empty());
        assert!(watch.look(&source, &all, S(1)).is_empty());
        let grown = folder(&[("b.csv", 6, 3), ("a.csv", 5, 2)]);
        assert_eq!(watch.look(&source, &grown, S(2)), ["a.csv"]);
        watch.done("a.csv", Seen { size: 5, changed: 2 });
        assert_eq!(watch.look(&source, &grown, S(4)), ["b.csv"]);
        watch.done("b.csv", Seen { size: 6, changed: 3 });
        assert!(watch.look(&source, &grown, S(9)).is_empty());
        // One that grows is looked at again, and one that was gone.
        assert!(watch.look(&source, &folder(&[("b.csv", 7, 4)]), S(10)).is_empty());
        assert_eq!(watch.look(&source, &folder(&[("b.csv", 7, 4), ("a.csv", 5, 2)]), S(12)), ["b.csv"]);
        assert_eq!(watch.look(&source, &folder(&[("a.csv", 5, 2)]), S(14)), ["a.csv"]);
    }

    #[test]
    fn a_file_with_a_marker_waits_for_it() {
        let pieces = vec![Piece::Place("name".into()), Piece::Text(".ok".into())];
        let source = source(Ready::Marker(Template { pieces }));
        let mut watch = Watch::default();
        assert!(watch.look(&source, &folder(&[("a.csv", 5, 1)]), S(0)).is_empty());
        assert_eq!(watch.look(&source, &folder(&[("a.csv", 5, 1), ("a.csv.ok", 0, 1)]), S(0)), ["a.csv"]);
    }
}
