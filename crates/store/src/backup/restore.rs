//! A backup is put back: copied beside what is there, opened under its new epoch, looked through, and only then moved
//! to its place. The file `format` goes first and comes last: between the two nobody can start on the folder.

use super::{
    BackupError, Manifest, Restored, Told,
    copy::{self, Count},
    next_epoch,
};
use crate::{
    Limits, Store, StoreError,
    disk::Disk,
    examine,
    folder::{self, Format},
    rows::RestoreRow,
};
use andon_model::Time;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the folder grows before it gets its place.
const RESTORING: &str = "restoring";

/// How the name begins under which what was there is kept.
const REPLACED: &str = "replaced-";

/// What belongs to a data folder, beside its lock and the room it keeps back. Copies of the database of an earlier
/// version begin as the database does.
const OURS: [&str; 7] = ["format", "log", "historian", "minutes", "states", "at-work", "at-hand"];

/// Where a backup is restored to, and by whom.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The data folder.
    pub dir: &'a Path,
    /// Moves what is there aside.
    pub replace: bool,
    /// The present time.
    pub at: Time,
    /// Who restores.
    pub actor: &'a str,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The backup.
    pub manifest: Manifest,
    /// What the folder knows of it.
    pub row: RestoreRow,
    /// Where what was there lies now.
    pub replaced: Option<PathBuf>,
}

/// Whether every file of a backup is the one that was copied.
pub fn verify(from: &Path, told: Told<'_>) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(from)?;
    let mut count = Count::new(told, "checking", manifest.bytes());
    for file in &manifest.files {
        let path = file.within(from);
        let found = copy::hash(&path, &mut count).map_err(|error| missing(error, &path))?;
        copy::same(file, &path, &found)?;
    }
    Ok(manifest)
}

fn missing(error: StoreError, path: &Path) -> BackupError {
    if error.is_gone() {
        return BackupError::Differs { path: path.to_owned(), what: "it is missing".to_owned() };
    }
    error.into()
}

/// Puts a backup back. Before everything of it is found good nothing that is there is touched.
pub fn restore(from: &Path, target: &Target<'_>, told: Told<'_>) -> Result<Outcome, BackupError> {
    let manifest = verify(from, told)?;
    let dir = target.dir;
    fs::create_dir_all(dir).map_err(|e| StoreError::io(dir, "make", e))?;
    let _lock = folder::lock(&Disk::System, dir)?;
    let there = names(dir)?;
    if !target.replace && there.iter().any(|name| !is_nothing(name)) {
        return Err(BackupError::NotEmpty(dir.to_owned()));
    }
    let grows = dir.join(RESTORING);
    if grows.exists() {
        fs::remove_dir_all(&grows).map_err(|e| StoreError::io(&grows, "remove", e))?;
    }
    let row = grow(from, &grows, &manifest, target, told).inspect_err(|_| drop(fs::remove_dir_all(&grows)))?;
    let replaced = aside(dir, &there, target.at)?;
    put(dir, &grows)?;
    Ok(Outcome { manifest, row, replaced })
}

/// What does not stand in the way of a restore.
fn is_nothing(name: &str) -> bool {
    name == "lock" || name == "lost+found" || name == RESTORING || name.starts_with(REPLACED)
}

fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| StoreError::io(dir, "list", e))? {
        let entry = entry.map_err(|e| StoreError::io(dir, "list", e))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Copies the backup, and makes of the copy a folder that an instance can start on.
fn grow(
    from: &Path,
    grows: &Path,
    manifest: &Manifest,
    target: &Target<'_>,
    told: Told<'_>,
) -> Result<RestoreRow, BackupError> {
    let mut count = Count::new(told, "files", manifest.bytes());
    for file in &manifest.files {
        let (path, to) = (file.within(from), file.within(grows));
        let found = copy::copy(&path, &to, u64::MAX, &mut count).map_err(|error| missing(error, &path))?;
        copy::same(file, &path, &found)?;
    }
    let no_format = || BackupError::NoBackup { from: from.to_owned(), what: "its file `format` says nothing".into() };
    let format = folder::read_format(&Disk::System, grows)?.ok_or_else(no_format)?;
    // What cannot be read names no epoch; the time is above it all the same.
    let before = folder::read_format(&Disk::System, target.dir).ok().flatten().map(|format| format.epoch);
    let epoch = next_epoch([format.epoch, manifest.epoch, manifest.end.epoch].into_iter().chain(before), target.at);
    folder::write_format(&Disk::System, grows, &Format { epoch, ..format })?;
    let store = Store::open_with(grows, &Limits::default(), &mut |bytes| bytes.fill(0))?;
    let detail = json!({
        "from": from, "taken": manifest.taken, "epoch": epoch, "before": manifest.epoch,
        "events": manifest.sequence, "end": manifest.end.to_string(), "replaced": before,
    });
    let restored = Restored { at: target.at, taken: manifest.taken, actor: target.actor.to_owned(), detail };
    let row = store.mark_restored(&restored)?;
    store.end_cleanly()?;
    drop(store);
    let seen = examine(grows)?;
    if let Some(first) = seen.ailments.first() {
        let what = format!("{} {}: {}", first.code, first.subject, first.detail);
        return Err(BackupError::Unwell { dir: target.dir.to_owned(), what });
    }
    copy::sync_tree(grows)?;
    Ok(row)
}

/// Moves what is there aside, the file `format` first.
fn aside(dir: &Path, there: &[String], at: Time) -> Result<Option<PathBuf>, StoreError> {
    let is_ours = |name: &&String| OURS.contains(&name.trim_end_matches(".new")) || name.starts_with("andon.db");
    let mut ours: Vec<&String> = there.iter().filter(is_ours).collect();
    if ours.is_empty() {
        return Ok(None);
    }
    ours.sort_by_key(|name| name.as_str() != "format");
    let to = dir.join(format!("{REPLACED}{}", at.to_string().replace([':', '.'], "-")));
    fs::create_dir(&to).map_err(|e| StoreError::io(&to, "make", e))?;
    for name in ours {
        let from = dir.join(name);
        fs::rename(&from, to.join(name)).map_err(|e| StoreError::io(&from, "move", e))?;
        Disk::System.sync_dir(dir)?;
    }
    Disk::System.sync_dir(&to)?;
    Ok(Some(to))
}

/// Gives what has grown its place, the file `format` last.
fn put(dir: &Path, grows: &Path) -> Result<(), StoreError> {
    let mut names = names(grows)?;
    names.retain(|name| name != "lock" && !(name == "reserve" && dir.join(name).exists()));
    names.sort_by_key(|name| name == "format");
    for name in &names {
        let from = grows.join(name);
        if name == "format" {
            Disk::System.sync_dir(dir)?;
        }
        fs::rename(&from, dir.join(name)).map_err(|e| StoreError::io(&from, "move", e))?;
    }
    Disk::System.sync_dir(dir)?;
    fs::remove_dir_all(grows).map_err(|e| StoreError::io(grows, "remove", e))
}
