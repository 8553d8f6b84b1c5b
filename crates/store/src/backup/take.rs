//! A backup is taken: of a running instance between its commits, or of a folder that nobody runs on.

use super::{
    BackupError, Held, MANIFEST, Manifest, Progress, Told,
    copy::{self, Count},
};
use crate::{
    SimDisk, Store, StoreError, db,
    disk::{Disk, FOLDER},
    examine,
    folder::{self, Format},
    log,
};
use andon_model::{Position, Time};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Added to the name of a backup until it is whole.
const ASIDE: &str = "unfinished";

/// The file of the states of rules.
const STATES: &str = "states";

/// What is not a lack of a copy: it has no reserve.
const NO_RESERVE: &str = "A7116";

impl Store {
    /// Backs the folder up to another one, which must not exist or be empty, while everything goes on. `clock` gives
    /// the time. The keeper rests until it returns.
    pub fn back_up(
        &self,
        to: &Path,
        clock: &(dyn Fn() -> Time + Sync),
        told: Told<'_>,
    ) -> Result<Manifest, BackupError> {
        let ground = self.ground().filter(|ground| matches!(ground.folder.disk, Disk::System));
        let Some(ground) = ground else {
            return Err(
                StoreError::Refused("only an instance that runs on a data folder can be backed up".into()).into()
            );
        };
        let Some(_resting) = ground.folder.rest() else { return Err(BackupError::Busy) };
        let begun = clock();
        let aside = begin(to)?;
        let take = || {
            states(&ground.folder.dir, &aside)?;
            let log_end = self.clone();
            let taken = clock();
            let end = ground.db.copy_to(&aside.join("andon.db"), told, move || log_end.log_end())?;
            let format = ground.folder.format;
            let held = Copied { format, begun, taken, end };
            finish(&ground.folder.dir, &aside, to, &held, told)
        };
        take().inspect_err(|_| drop(std::fs::remove_dir_all(&aside)))
    }
}

/// Backs up a folder that nobody runs on, to another one, which must not exist or be empty. Nobody can start meanwhile.
pub fn back_up_stopped(dir: &Path, to: &Path, now: Time, told: Told<'_>) -> Result<Manifest, BackupError> {
    let format = folder::Folder::look(dir)?;
    let _lock = folder::lock(&Disk::System, dir)?;
    let aside = begin(to)?;
    let take = || {
        states(dir, &aside)?;
        db::copy_file(&dir.join("andon.db"), &aside.join("andon.db"), told)?;
        // With the lock held, what is there is all there is.
        let end = log::examine(&Disk::System, &dir.join("log"), Some(format.instance), false)?.end;
        let end = end.unwrap_or(Position { epoch: format.epoch, offset: 0 });
        let held = Copied { format, begun: now, taken: now, end };
        finish(dir, &aside, to, &held, told)
    };
    take().inspect_err(|_| drop(std::fs::remove_dir_all(&aside)))
}

/// A backup of a simulated disk that was begun with this snapshot of it and ends now, with everything in the order of a
/// backup: the states of rules are those of the beginning. For simulations, which let no keeper do anything meanwhile.
pub fn back_up_simulated(disk: &SimDisk, begun: &SimDisk) -> Result<SimDisk, StoreError> {
    let backup = disk.snapshot()?;
    backup.set_capacity(None);
    let (target, path) = (Disk::Simulated(backup.process()), Path::new(FOLDER).join(STATES));
    match begun.file(Path::new(STATES)) {
        Some(bytes) => target.replace(&path, &bytes)?,
        None if target.exists(&path) => {
            target.remove(&path)?;
            target.sync_dir(Path::new(FOLDER))?;
        }
        None => {}
    }
    Ok(backup)
}

/// What is known once the database is copied.
struct Copied {
    format: Format,
    begun: Time,
    taken: Time,
    end: Position,
}

/// Makes the folder in which the backup grows.
fn begin(to: &Path) -> Result<PathBuf, BackupError> {
    let is_free = match std::fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    let Some(name) = to.file_name().filter(|_| is_free) else { return Err(BackupError::Taken(to.to_owned())) };
    let aside = to.with_file_name(format!("{}.{ASIDE}", name.to_string_lossy()));
    // One that a crash has left is of no use to anybody.
    if aside.join(ASIDE).exists() {
        std::fs::remove_dir_all(&aside).map_err(|e| StoreError::io(&aside, "remove", e))?;
    }
    if let Some(above) = to.parent().filter(|above| !above.as_os_str().is_empty()) {
        std::fs::create_dir_all(above).map_err(|e| StoreError::io(above, "make", e))?;
    }
    std::fs::create_dir(&aside).map_err(|e| StoreError::io(&aside, "make", e))?;
    std::fs::write(aside.join(ASIDE), "").map_err(|e| StoreError::io(&aside, "write", e))?;
    Ok(aside)
}

/// The states of rules, before everything else. The file is replaced as a whole: what was opened stays as it was.
fn states(dir: &Path, aside: &Path) -> Result<(), StoreError> {
    let from = dir.join(STATES);
    if !from.exists() {
        return Ok(());
    }
    let nobody = |_: Progress| {};
    copy::copy(&from, &aside.join(STATES), u64::MAX, &mut Count::new(&nobody, "files", 0)).map(drop)
}

/// Copies the files that belong to the copied database, looks through all of it, and gives it its name.
fn finish(dir: &Path, aside: &Path, to: &Path, held: &Copied, told: Told<'_>) -> Result<Manifest, BackupError> {
    folder::write_format(&Disk::System, aside, &held.format)?;
    let database = aside.join("andon.db");
    let sealed = db::rows_sealed(&Disk::System, &database)?;
    let mut sources: Vec<(PathBuf, u64)> = sealed.files.iter().map(|row| (row.path(dir), u64::MAX)).collect();
    sources.extend(log::up_to(&dir.join("log"), held.end)?);
    let size = |(path, most): &(PathBuf, u64)| std::fs::metadata(path).map_or(0, |file| file.len()).min(*most);
    let mut count = Count::new(told, "files", sources.iter().map(size).sum());
    let mut copied = BTreeMap::new();
    for (path, most) in &sources {
        let within = path.strip_prefix(dir).unwrap_or(path);
        let found = copy::copy(path, &aside.join(within), *most, &mut count)?;
        copied.insert(within.to_string_lossy().into_owned(), found);
    }
    let _ = std::fs::remove_file(aside.join(ASIDE));
    let files = hashed(aside, told)?;
    let differs = |file: &&Held| copied.get(&file.path).is_some_and(|of| *of != (file.bytes, file.sha256.clone()));
    if let Some(file) = files.iter().find(differs) {
        let what = format!("{} is not what was copied when it is read again", file.path);
        return Err(BackupError::NotGood { to: to.to_owned(), what, ailments: Vec::new() });
    }
    let (sequence, version) = db::facts(&database)?;
    let manifest = Manifest {
        version: Manifest::VERSION,
        andon: env!("CARGO_PKG_VERSION").to_owned(),
        folder: held.format.version,
        database: version,
        instance: held.format.instance,
        epoch: held.format.epoch,
        begun: held.begun,
        taken: held.taken,
        sequence,
        end: held.end,
        files,
    };
    check(aside, to, &manifest, held.end)?;
    Disk::System.replace(&aside.join(MANIFEST), manifest.write().as_bytes())?;
    copy::sync_tree(aside)?;
    // An empty folder is taken over.
    std::fs::rename(aside, to).map_err(|e| StoreError::io(to, "name", e))?;
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Disk::System.sync_dir(above)?;
    Ok(manifest)
}

/// All files that lie in the folder by now, read again from the disk.
fn hashed(aside: &Path, told: Told<'_>) -> Result<Vec<Held>, StoreError> {
    let mut paths = Vec::new();
    below(aside, &mut paths)?;
    paths.sort();
    let total = paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum();
    let mut count = Count::new(told, "checking", total);
    let held = |path: PathBuf| {
        let (bytes, sha256) = copy::hash(&path, &mut count)?;
        let path = path.strip_prefix(aside).unwrap_or(&path).to_string_lossy().into_owned();
        Ok(Held { path, bytes, sha256 })
    };
    paths.into_iter().map(held).collect()
}

fn below(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(dir).map_err(|e| StoreError::io(dir, "list", e))? {
        let path = entry.map_err(|e| StoreError::io(dir, "list", e))?.path();
        if path.is_dir() {
            below(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Opens the copy and looks through it as a doctor does; and that this has changed nothing of it.
fn check(aside: &Path, to: &Path, manifest: &Manifest, end: Position) -> Result<(), BackupError> {
    let not_good = |what: String, ailments| BackupError::NotGood { to: to.to_owned(), what, ailments };
    let mut seen = examine(aside)?;
    seen.ailments.retain(|of| of.code != NO_RESERVE);
    if let Some(first) = seen.ailments.first() {
        let what = format!("{} {}: {}", first.code, first.subject, first.detail);
        return Err(not_good(what, seen.ailments));
    }
    let found = Store::look(aside)?.log_end();
    if found.offset != end.offset {
        return Err(not_good(format!("the log of the copy ends at {found} instead of {end}"), Vec::new()));
    }
    let mut paths = Vec::new();
    below(aside, &mut paths)?;
    paths.sort();
    let there: Vec<String> =
        paths.iter().map(|path| path.strip_prefix(aside).unwrap_or(path).to_string_lossy().into_owned()).collect();
    let listed: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    if there != listed {
        return Err(not_good("looking at the copy has left other files in it".to_owned(), Vec::new()));
    }
    Ok(())
}
