//! The loop of a file source, in a thread of its own: looks at the folder, reads what is whole, makes it durable, and
//! only then moves or deletes it.

mod disk;
mod memory;

use disk::{ended_with_line, look_through, move_file, seen};
use memory::{Ended, Progress, Taken};

use super::{
    Broken, Next, Rows,
    progress::{FILES_MAX, Seen, Watch, marker},
    read::{FileCore, Place, file_source},
    xml,
};
use crate::{
    duplicates::Duplicates,
    given::{Chance, Clock, Env, draw_key},
    history,
    mqtt::Waker,
    problem::Problem,
    run::{Shared, SourceHandle},
};
use andon_contract::contract::{After, Contract, FileFormat, FileSource};
use andon_model::{Mark, Name, Time, sample::Counts};
use andon_store::{
    Store,
    rows::{SourceRow, Write},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

/// How often a full disk is looked at again.
const RETRY_STORE: Duration = Duration::from_secs(1);
/// Rows after which what was read is made durable.
const ROWS_AT_ONCE: u64 = 5_000;
/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Bytes that are kept of a file that cannot be read.
const HEAD_MAX: usize = 4_096;
/// What was taken is remembered this long after the file is gone from the folder.
const REMEMBER: andon_model::span::Span = andon_model::span::Span::from_secs(90 * 86_400);

/// Starts the loop of a file source. Errors are those of the operating system (threads, files), and a name that is no
/// file source of the contract.
pub fn start_file(
    contract: &Arc<Contract>,
    name: &Name,
    store: Store,
    _env: Env,
    clock: Arc<dyn Clock>,
    mut chance: Chance,
) -> io::Result<SourceHandle> {
    let no_source = || io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is no file source of the project"));
    let core = FileCore::new(contract, name, Duplicates::new(draw_key(&mut chance))).ok_or_else(no_source)?;
    let (_, source) = file_source(contract, name).ok_or_else(no_source)?;
    let shared = Arc::new(Shared::new(Some(Waker::new()?), clock.now()));
    let source_loop = Loop {
        name: name.clone(),
        folder: PathBuf::from(&source.folder),
        source: source.clone(),
        store,
        clock,
        chance,
        shared: Arc::clone(&shared),
        core,
        watch: Watch::default(),
        taken: HashMap::new(),
        by_hash: HashMap::new(),
        held: BTreeSet::new(),
        trouble: None,
        row: None,
        connected: false,
        rows: 0,
    };
    let thread = thread::Builder::new().name(format!("source {name}")).spawn(move || source_loop.run())?;
    Ok(SourceHandle { shared, thread: Some(thread) })
}

struct Loop {
    name: Name,
    folder: PathBuf,
    source: FileSource,
    store: Store,
    clock: Arc<dyn Clock>,
    chance: Chance,
    shared: Arc<Shared>,
    core: FileCore,
    watch: Watch,
    /// By name: what was taken of it last.
    taken: HashMap<String, Taken>,
    /// By hash of the whole: the name under which it was taken.
    by_hash: HashMap<String, String>,
    /// Files that are over and still there, because they could not be moved or deleted, or have changed meanwhile.
    held: BTreeSet<String>,
    /// What is wrong with the folder or a file in it, since it was looked at.
    trouble: Option<String>,
    row: Option<SourceRow>,
    connected: bool,
    rows: u64,
}

/// What is known of a file before it is read.
struct Known {
    seen: Seen,
    hash: String,
    /// The hash of as many bytes as were taken of a file of this name before.
    prefix: Option<String>,
}

impl Loop {
    fn run(mut self) {
        self.remember();
        while !self.shared.stopped() {
            match self.look() {
                Ok(files) => {
                    self.connect();
                    self.trouble = None;
                    if files.len() >= FILES_MAX {
                        let many = format!("{FILES_MAX} files or more lie in the folder, and no more are looked at");
                        self.troubled(&format!("{many}: take away those that are done, or say `after: move`"));
                    }
                    self.held.retain(|name| files.contains_key(name));
                    self.gone(&files);
                    let ready = self.watch.look(&self.source, &files, self.clock.monotonic());
                    for name in ready {
                        if self.shared.stopped() {
                            break;
                        }
                        if let Some(seen) = files.get(&name) {
                            self.file(&name, *seen);
                        }
                    }
                    if self.trouble.is_none() && !self.shared.stopped() {
                        self.tell(true, "");
                    }
                }
                Err(error) => {
                    let remedy = "make the folder, or correct `folder` of the source and its permissions";
                    self.disconnect(&format!("{} cannot be read: {error}; {remedy}", self.folder.display()));
                }
            }
            if !self.shared.stopped() {
                self.shared.wait(self.source.every.std());
            }
        }
        self.disconnect("stopped");
    }

    /// Files that were taken away while they were being read: nobody can read the rest.
    fn gone(&mut self, files: &BTreeMap<String, Seen>) {
        let gone: Vec<Taken> = self
            .taken
            .values()
            .filter(|taken| taken.result == Ended::Reading && !files.contains_key(&taken.name))
            .cloned()
            .collect();
        for taken in gone {
            let Some(rows) = self.rows_in_log(&taken) else { return };
            let cause = "a file was taken away before all its rows were taken";
            let detail = format!("{}: {rows} rows were taken", taken.name);
            let remedy = "drop the file again: rows that were taken are known";
            let path = self.folder.join(&taken.name);
            self.fail(&taken.name, &path, &taken.was(), rows, &problem("gone", cause, &detail, remedy));
        }
    }

    /// Reads what the store knows of the source, until that succeeds.
    fn remember(&mut self) {
        loop {
            let key = draw_key(&mut self.chance);
            let read = history::read(&self.store, &self.name, key).and_then(|history| {
                let row = self.store.source_rows()?.into_iter().find(|row| row.source == self.name);
                Ok((history, row, self.store.intakes(&self.name)?))
            });
            match read {
                Ok(((window, _), row, intakes)) => {
                    self.core.intake.set_window(window);
                    self.row = row;
                    for intake in intakes {
                        if let Ok(taken) = serde_json::from_value::<Taken>(intake.state) {
                            self.know(taken);
                        }
                    }
                    return;
                }
                Err(error) => self.tell(false, &error.to_string()),
            }
            if self.shared.stopped() {
                return;
            }
            self.shared.wait(RETRY_STORE);
        }
    }

    fn know(&mut self, taken: Taken) {
        if taken.result == Ended::Whole && self.source.rows.time.is_some() {
            self.by_hash.insert(taken.hash.clone(), taken.name.clone());
        }
        self.taken.insert(taken.name.clone(), taken);
    }

    /// The files of the folder.
    fn look(&self) -> io::Result<BTreeMap<String, Seen>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What has no text as its name matches no pattern.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // It may be gone already.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            if meta.is_file() {
                files.insert(name, seen(&meta));
            }
            if files.len() > FILES_MAX {
                files.pop_last();
            }
        }
        Ok(files)
    }

    /// Takes a file that is whole.
    fn file(&mut self, name: &str, seen: Seen) {
        let path = self.folder.join(name);
        let before = self.taken.get(name).cloned();
        if let Some(taken) = &before
            && taken.result != Ended::Reading
            && (taken.size, taken.changed) == (seen.size, seen.changed)
        {
            return self.finish(name, seen, taken.result);
        }
        let known = match look_through(&path, seen, before.as_ref().map_or(0, |taken| taken.size)) {
            Ok(Some(known)) => known,
            // It changed meanwhile.
            Ok(None) => return self.watch.again(name),
            Err(error) => {
                self.watch.again(name);
                return self.troubled(&format!("{} cannot be read: {error}", path.display()));
            }
        };
        if let Some(other) = self.by_hash.get(&known.hash)
            && before.as_ref().is_none_or(|taken| taken.hash != known.hash || taken.result == Ended::Whole)
        {
            let result = if other == name { Ended::Whole } else { Ended::Copy };
            let rows = self.taken.get(other).map_or(0, |taken| taken.rows);
            if self.close(name, &known, rows, result) {
                self.finish(name, seen, result);
            }
            return;
        }
        let start = match before {
            None => match self.begun(&known) {
                Some(rows) => rows,
                // The same content is being read under another name: this one is its copy once that is over.
                None => return self.watch.again(name),
            },
            // The same file, at which a crash or a stop came between, or which could not be read to its end.
            Some(taken) if taken.hash == known.hash => 0,
            Some(taken) if known.prefix.as_ref() == Some(&taken.hash) && self.is_still_there(name, taken.result) => {
                // It has grown. What was being read of it ends here, and the rest goes on under its new name.
                let Some(rows) = self.ended(&taken, Ended::Whole) else { return };
                if rows > 0 && !ended_with_line(&path, taken.size) { rows - 1 } else { rows }
            }
            Some(taken) => {
                let Some(rows) = self.ended(&taken, Ended::Failed) else { return };
                // A file that was moved or deleted by us, or could not be read, has left its name to others.
                if self.source.after == After::Keep && taken.result != Ended::Failed {
                    let cause = "a file was changed after it was taken";
                    let detail = format!("{name}: {rows} rows were taken of what it was");
                    let remedy = "let each file have a name of its own, or say `after: move` or `after: delete`";
                    // None of its rows are taken as it is now.
                    if self.fail(name, &path, &known, 0, &problem("changed", cause, &detail, remedy)) {
                        self.finish(name, seen, Ended::Failed);
                    }
                    return;
                }
                0
            }
        };
        self.read(name, &path, &known, start);
    }

    /// Whether a file of this name is the one that was taken so far, and not another one after it was moved or deleted.
    fn is_still_there(&self, name: &str, result: Ended) -> bool {
        match result {
            Ended::Reading => true,
            Ended::Whole | Ended::Copy => self.source.after == After::Keep || self.held.contains(name),
            Ended::Failed => false,
        }
    }

    /// The rows that were taken of the same file under another name, which it had when a crash came; `None`: it is
    /// being read under another name that it still has.
    fn begun(&self, known: &Known) -> Option<u64> {
        let is_same = |taken: &&Taken| {
            taken.hash == known.hash && (self.source.rows.time.is_some() || taken.changed == known.seen.changed)
        };
        let mut rows = 0;
        for taken in self.taken.values().filter(is_same) {
            match taken.result {
                Ended::Reading => return None,
                Ended::Failed => rows = rows.max(taken.rows),
                Ended::Whole | Ended::Copy => {}
            }
        }
        Some(rows)
    }

    /// Reads a file from a row on.
    fn read(&mut self, name: &str, path: &Path, known: &Known, start: u64) {
        let of = self.of(name, known);
        let opened = File::open(path).and_then(|file| Ok((disk::seen(&file.metadata()?) == known.seen, file)));
        let opened = opened.and_then(|(same, file)| same.then(|| self.rows_of(file, known.seen.size)).transpose());
        let mut rows = match opened {
            Ok(Some(rows)) => rows,
            // It changed since it was looked through.
            Ok(None) => return self.watch.again(name),
            Err(error) => {
                self.watch.again(name);
                return self.troubled(&format!("{} cannot be read: {error}", path.display()));
            }
        };
        let Some(mut progress) = self.progress(name, &of, known, start) else { return };
        let from = progress.from;
        let (mut number, mut begun) = (0, from);
        let failed = loop {
            if self.shared.stopped() {
                // The log says how far it came; what has no mark there was never read.
                return self.core.intake.clear();
            }
            let row = match rows.next() {
                Next::Row(row) => row,
                Next::End => break None,
                Next::Failed { line, broken } => break Some((line, broken)),
                Next::Disk(error) => {
                    self.watch.again(name);
                    return self.drop_unstored(&format!("{} cannot be read: {error}", path.display()));
                }
            };
            if number >= from {
                let (durable, aside) = (&progress.durable, progress.aside);
                let place = Place { file: name, number, durable, aside, head: rows.head() };
                let received = self.clock.now();
                let Self { core, store, .. } = self;
                let mut numbers = |asset: &_, signal: &_| store.signal(asset, signal);
                // A signal without a number: the row is read again with its file.
                if let Err(error) = core.row(&row, place, received, &mut numbers) {
                    self.watch.again(name);
                    return self.drop_unstored(&error.to_string());
                }
            }
            number += 1;
            self.rows += u64::from(number > from);
            if self.core.intake.is_full() || number.saturating_sub(begun.max(from)) >= ROWS_AT_ONCE {
                if !self.store_rows(name, &of, known, &mut progress, (begun, number)) {
                    return;
                }
                begun = number;
            }
        };
        if number > begun && number > from && !self.store_rows(name, &of, known, &mut progress, (begun, number)) {
            return;
        }
        let rows = number.max(from);
        match failed {
            None => {
                if self.close(name, known, rows, Ended::Whole) {
                    self.finish(name, known.seen, Ended::Whole);
                }
            }
            Some((line, Broken { code, cause, found })) => {
                let detail = format!("{name}, line {line}: {rows} rows were taken before it; found {found}");
                let remedy = "mend the file or the source, and drop it again: rows that were taken are known";
                if self.fail(name, path, known, rows, &problem(code, &cause, &detail, remedy)) {
                    self.finish(name, known.seen, Ended::Failed);
                }
            }
        }
    }

    /// The rows of a file up to a size: what is put behind it meanwhile may be half a row, and is read once it settles.
    fn rows_of(&self, mut file: File, size: u64) -> io::Result<Rows<Box<dyn Read>>> {
        let mut source = self.source.clone();
        if matches!(source.format, FileFormat::Xml { .. }) {
            let mut head = [0; 256];
            let n = file.read(&mut head)?;
            file.seek(SeekFrom::Start(0))?;
            if let Some(label) = xml::declared(head.get(..n).unwrap_or(&[])) {
                source.encoding = label;
            }
        }
        Ok(Rows::new(&source, &self.core.columns, Box::new(BufReader::with_capacity(PIECE, file.take(size)))))
    }

    /// What the log and the rows call it: name and content; where rows carry no time the same content may come again,
    /// so then also when it was changed.
    fn of(&self, name: &str, known: &Known) -> String {
        let short = known.hash.get(..16).unwrap_or_default();
        match self.source.rows.time {
            Some(_) => format!("{name}#{short}"),
            None => format!("{name}#{short}@{}", known.seen.changed / 1_000_000),
        }
    }

    /// Makes rows durable with the mark that says which they are; false where the source was stopped before.
    fn store_rows(
        &mut self,
        name: &str,
        of: &str,
        known: &Known,
        progress: &mut Progress,
        (from, to): (u64, u64),
    ) -> bool {
        if self.core.intake.has_quarantine() {
            // What is set aside is durable before its mark is; after a crash between the two it is not set aside again.
            progress.aside = to;
            let write = self.reading(of, name, known, progress);
            self.core.intake.write(write);
        }
        self.core.intake.rows(of, from, to);
        self.make_durable()
    }

    /// Sets a file aside that cannot be read; what it began with is kept. False where the source was stopped before.
    fn fail(&mut self, name: &str, path: &Path, known: &Known, rows: u64, problem: &Problem) -> bool {
        let mut head = vec![0; HEAD_MAX];
        let n = File::open(path).and_then(|mut file| file.read(&mut head)).unwrap_or(0);
        head.truncate(n);
        let problem = Problem { place: self.source.pattern.0.clone(), ..problem.clone() };
        self.core.intake.problem(None, &problem, name, &head, self.clock.now());
        self.close(name, known, rows, Ended::Failed)
    }

    /// What becomes of a file that is over. Where that fails it is tried again.
    fn finish(&mut self, name: &str, seen: Seen, result: Ended) {
        let from = self.folder.join(name);
        if fs::metadata(&from).is_ok_and(|meta| disk::seen(&meta) != seen) {
            // What came meanwhile is not taken yet.
            self.held.insert(name.to_owned());
            return self.watch.again(name);
        }
        let into = match (result, &self.source.after) {
            (Ended::Failed, _) => self.source.failed.clone(),
            (_, After::Move(folder)) => Some(folder.clone()),
            (_, After::Keep) => None,
            (_, After::Delete) => {
                let gone = fs::remove_file(&from).and_then(|()| match marker(&self.source, name) {
                    Some(marker) => fs::remove_file(self.folder.join(marker)),
                    None => Ok(()),
                });
                return self.after(name, seen, gone, "deleted");
            }
        };
        let Some(into) = into else { return self.watch.done(name, seen) };
        let into = self.folder.join(into);
        let moved = fs::create_dir_all(&into).and_then(|()| {
            move_file(&from, &into, name)?;
            match marker(&self.source, name) {
                Some(marker) => move_file(&self.folder.join(&marker), &into, &marker),
                None => Ok(()),
            }
        });
        self.after(name, seen, moved, "moved");
    }

    fn after(&mut self, name: &str, seen: Seen, done: io::Result<()>, word: &str) {
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.watch.again(name);
                self.held.insert(name.to_owned());
                self.troubled(&format!("{name} is taken and cannot be {word}: {error}"));
            }
            _ => {
                self.held.remove(name);
                self.watch.done(name, seen);
            }
        }
    }

    /// Something is wrong that concerns a file; the others are read.
    fn troubled(&mut self, what: &str) {
        let what = self.trouble.get_or_insert_with(|| what.to_owned()).clone();
        self.tell(self.connected, &what);
    }

    fn connect(&mut self) {
        if !self.connected {
            self.connected = true;
            self.core.intake.mark(Mark::Connected);
            self.record(true, self.clock.now(), String::new());
            self.make_durable();
            self.forget();
            self.tell(true, "");
        }
    }

    fn disconnect(&mut self, reason: &str) {
        if std::mem::take(&mut self.connected) {
            self.core.intake.mark(Mark::Disconnected(reason.to_owned()));
        }
        let since = self.row.as_ref().filter(|row| !row.connected).map_or(self.clock.now(), |row| row.since);
        self.record(false, since, reason.to_owned());
        self.make_durable();
        self.tell(false, reason);
    }

    fn record(&mut self, connected: bool, since: Time, reason: String) {
        let source = self.name.clone();
        let row = SourceRow { source, connected, since, reason, code: None, in_doubt: false, filters: Vec::new() };
        if self.row.as_ref() != Some(&row) {
            self.core.intake.write(Write::Source(row.clone()));
            self.row = Some(row);
        }
    }

    /// Forgets files that were taken long ago and are gone from the folder.
    fn forget(&mut self) {
        let (Ok(files), Ok(intakes)) = (self.look(), self.store.intakes(&self.name)) else { return };
        let old = self.clock.now().minus(REMEMBER);
        for row in intakes.into_iter().filter(|row| row.updated < old) {
            let Ok(taken) = serde_json::from_value::<Taken>(row.state) else { continue };
            if !files.contains_key(&taken.name) {
                self.core.intake.write(Write::IntakeRemove(self.name.clone(), row.of));
                self.by_hash.remove(&taken.hash);
                self.taken.remove(&taken.name);
            }
        }
        self.make_durable();
    }

    /// What was read and not stored is read again later: the log decides what is known.
    fn drop_unstored(&mut self, reason: &str) {
        self.troubled(reason);
        self.core.intake.clear();
        self.remember();
    }

    /// Makes durable what was read; returns only when it is, or false when the handle asks for the end.
    fn make_durable(&mut self) -> bool {
        loop {
            if self.core.intake.is_empty() {
                return true;
            }
            match self.core.intake.store(&self.store) {
                Ok(counts) => {
                    self.count(&counts);
                    return true;
                }
                Err(error) => self.tell(self.connected, &error.to_string()),
            }
            if self.shared.stopped() {
                self.core.intake.clear();
                return false;
            }
            self.shared.wait(RETRY_STORE);
        }
    }

    fn count(&self, counts: &Counts) {
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.counts.add(counts);
        status.messages = self.rows;
    }

    fn tell(&self, connected: bool, reason: &str) {
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.connected != connected || status.reason != reason {
            if connected && reason.is_empty() {
                tracing::info!(source = %self.name, folder = %self.folder.display(), "reads the folder");
            } else {
                tracing::warn!(source = %self.name, %reason, connected, "not as it should be");
            }
        }
        if status.connected != connected {
            status.since = self.clock.now();
        }
        status.connected = connected;
        reason.clone_into(&mut status.reason);
    }
}

fn problem(code: &'static str, cause: &str, detail: &str, remedy: &str) -> Problem {
    Problem { code, place: String::new(), cause: cause.to_owned(), detail: quote_long(detail), remedy: remedy.into() }
}

fn quote_long(text: &str) -> String {
    text.chars().take(1_000).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests;
