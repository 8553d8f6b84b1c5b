//! Backups: of the running instance on a thread of its own, of a stopped folder, and back again.

use crate::{
    audit::{NOBODY, audited},
    backend::StoreBackend,
    clock,
};
use andon_api::{
    Problem,
    backups::{BackUp, Backup, BackupStand},
};
use andon_model::span::Span;
use andon_store::backup::{self, BackupError, Manifest, Outcome, Target};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

pub use andon_store::backup::{Progress, Told};

/// The backup that was asked for last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backups(Arc<Mutex<BackupStand>>);

impl Backups {
    fn lock(&self) -> MutexGuard<'_, BackupStand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, progress: Progress) {
        let mut stand = self.lock();
        progress.step.clone_into(&mut stand.step);
        (stand.done, stand.total) = (progress.done, progress.total);
    }
}

impl StoreBackend {
    /// Begins a backup of the running instance.
    pub(crate) fn begin_backup(&self, asked: &BackUp) -> Result<BackupStand, Problem> {
        self.at_work()?;
        let begun = {
            let mut stand = self.backups.lock();
            if stand.state == "running" {
                return Err(Problem::conflict(BackupError::Busy.to_string()).remedy(BackupError::Busy.remedy()));
            }
            *stand = BackupStand { state: "running".into(), to: asked.to.clone(), ..BackupStand::default() };
            stand.clone()
        };
        let (store, stands, asked) = (self.store.clone(), self.backups.clone(), asked.clone());
        let work = move || {
            let to = PathBuf::from(&asked.to);
            let told = |progress| stands.told(progress);
            let made = store.back_up(&to, &clock::now, &told);
            let mut stand = stands.lock();
            match made {
                Ok(manifest) => {
                    let made = told_of(&to, &manifest);
                    let detail = json!({"taken": made.taken, "events": made.events, "bytes": made.bytes});
                    let by = asked.by.as_deref().unwrap_or(NOBODY);
                    if let Err(error) = audited(&store, by, "folder.backup", made.to.clone(), detail) {
                        tracing::warn!(%error, "the backup is made, but the audit does not tell of it");
                    }
                    (stand.state, stand.backup) = ("done".into(), Some(made));
                }
                Err(error) => {
                    tracing::error!(%error, to = %to.display(), "the backup failed");
                    stand.state = "failed".into();
                    stand.problem = Some(error.to_string());
                    stand.remedy = Some(error.remedy().to_owned()).filter(|remedy| !remedy.is_empty());
                }
            }
        };
        let started = thread::Builder::new().name("backup".into()).spawn(work);
        if let Err(error) = started {
            self.backups.lock().state = "failed".into();
            return Err(Problem::unavailable(format!("no thread can be started: {error}")));
        }
        Ok(begun)
    }

    /// How the backup stands that was asked for last.
    pub(crate) fn backup_stand(&self) -> BackupStand {
        let stand = self.backups.lock().clone();
        if stand.state.is_empty() { BackupStand { state: "none".into(), ..stand } } else { stand }
    }
}

/// What is told of a backup.
fn told_of(to: &Path, manifest: &Manifest) -> Backup {
    Backup {
        to: to.display().to_string(),
        instance: manifest.instance.to_string(),
        epoch: manifest.epoch,
        taken: manifest.taken.to_string(),
        events: manifest.sequence,
        end: manifest.end.to_string(),
        files: manifest.files.len() as u64,
        bytes: manifest.bytes(),
    }
}

/// Backs up a folder that nobody runs on.
pub fn back_up_stopped(dir: &Path, to: &Path, told: Told<'_>) -> Result<Backup, BackupError> {
    backup::back_up_stopped(dir, to, clock::now(), told).map(|manifest| told_of(to, &manifest))
}

/// Puts a backup back. It lasts until the next second at least: the epoch is that of the second, and no two restores
/// one after the other share one.
pub fn restore(from: &Path, dir: &Path, replace: bool, actor: &str, told: Told<'_>) -> Result<Outcome, BackupError> {
    let at = clock::now();
    let outcome = backup::restore(from, &Target { dir, replace, at, actor }, told)?;
    let next = at.plus(Span::from_secs(1));
    let left = next.since(clock::now());
    if left > Span::from_secs(0) {
        thread::sleep(left.std());
    }
    Ok(outcome)
}
