//! The data folder: who it belongs to, who holds it, and the room it keeps back.

use crate::{StoreError, disk::Disk};
use andon_model::InstanceId;
use rustix::fs::{FallocateFlags, FlockOperation};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// The version of the folder.
const VERSION: u32 = 3;

/// The epoch of a new folder.
pub(crate) const FIRST_EPOCH: u32 = 1;

/// Room that is kept back for control writes on a full disk.
const RESERVE_BYTES: u64 = 64 << 20;

/// Intake goes on once this much is free: the reserve and as much again.
const FREE_BYTES: u64 = 2 * RESERVE_BYTES;

/// The longest text a running instance says of itself.
const ANNOUNCED_BYTES_MAX: u64 = 4 << 10;

/// Tries to take the lock; a look holds it for an instant.
const LOCK_TRIES: u32 = 10;

/// The most bytes of the `format` file that are read.
const FORMAT_BYTES_MAX: u64 = 64 << 10;

/// The sign that a process is at work, or has ended uncleanly.
const AT_WORK: &str = "at-work";

/// What the file `format` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    /// The version of the folder.
    pub(crate) version: u32,
    /// The instance it belongs to.
    pub(crate) instance: InstanceId,
    /// Rises with every restore.
    pub(crate) epoch: u32,
}

/// A folder that is held.
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) format: Format,
    pub(crate) room: Room,
    pub(crate) disk: Disk,
    /// Whether the process before did not come to a clean stop.
    pub(crate) ended_uncleanly: bool,
    lock: Mutex<File>,
}

impl Folder {
    /// Takes a folder, or makes one.
    pub(crate) fn open(dir: &Path, chance: &mut dyn FnMut(&mut [u8])) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| StoreError::io(dir, "make", e))?;
        let lock = lock(dir)?;
        let format = if let Some(mut format) = read_format(dir)? {
            if format.version < VERSION {
                // Before anything is written that an older version would not understand.
                format.version = VERSION;
                write_format(dir, &format)?;
            }
            format
        } else {
            if dir.join("andon.db").exists() || dir.join("log").exists() {
                return Err(StoreError::corrupt(
                    &dir.join("format"),
                    0,
                    "the file is missing, yet there is a database or a log",
                ));
            }
            let format = Format { version: VERSION, instance: crate::store::drawn(chance), epoch: FIRST_EPOCH };
            write_format(dir, &format)?;
            format
        };
        let ended_uncleanly = at_work(dir)?;
        let (room, disk, lock) = (Room::open(dir), Disk::default(), Mutex::new(lock));
        Ok(Self { dir: dir.to_owned(), format, room, disk, ended_uncleanly, lock })
    }

    /// What was at hand is done or written down.
    pub(crate) fn end_cleanly(&self) -> Result<(), StoreError> {
        let path = self.dir.join(AT_WORK);
        match std::fs::remove_file(&path) {
            Ok(()) => sync_dir(&self.dir),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io(&path, "remove", error)),
        }
    }

    /// Looks at a folder of somebody else.
    pub(crate) fn look(dir: &Path) -> Result<Format, StoreError> {
        read_format(dir)?.ok_or_else(|| {
            StoreError::Refused(format!(
                "{} is no data folder: it has no file `format`. Name the folder an instance runs on",
                dir.display()
            ))
        })
    }

    /// Writes into the lock what others shall know of the running instance.
    pub(crate) fn announce(&self, text: &str) -> Result<(), StoreError> {
        let path = self.dir.join("lock");
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            lock.write_all(text.as_bytes())
        };
        write(&mut lock).map_err(|e| StoreError::io(&path, "write", e))
    }
}

/// Leaves the sign that somebody is at work; whether it was there before.
fn at_work(dir: &Path) -> Result<bool, StoreError> {
    let path = dir.join(AT_WORK);
    match File::options().write(true).create_new(true).open(&path) {
        Ok(_) => sync_dir(dir).map(|()| false),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(true),
        // On a full disk it starts all the same: how it ends is then not known afterwards.
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(false),
        Err(error) => Err(StoreError::io(&path, "make", error)),
    }
}

/// What the instance that runs on a data folder says of itself; `None` when none runs there.
pub fn announced(dir: &Path) -> Option<String> {
    let file = File::open(dir.join("lock")).ok()?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut text = String::new();
    file.take(ANNOUNCED_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Takes the lock of a folder, or says who has it.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| StoreError::io(&path, "open", e))?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // What an earlier holder said is no longer true.
                file.set_len(0).map_err(|e| StoreError::io(&path, "write", e))?;
                return Ok(file);
            }
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(StoreError::io(&path, "lock", error.into())),
        }
    }
    Err(StoreError::Locked { dir: dir.to_owned(), announced: announced(dir).filter(|text| !text.is_empty()) })
}

/// What the file `format` says; `None` where there is none.
pub(crate) fn read_format(dir: &Path) -> Result<Option<Format>, StoreError> {
    let path = dir.join("format");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path, "open", error)),
    };
    let mut text = String::new();
    file.take(FORMAT_BYTES_MAX).read_to_string(&mut text).map_err(|e| StoreError::io(&path, "read", e))?;
    // A newer version may have other fields: its number is read first.
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| StoreError::corrupt(&path, 0, format!("it is no JSON: {e}")))?;
    let version = json.get("version").and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let version = version.ok_or_else(|| StoreError::corrupt(&path, 0, "it names no version"))?;
    if version > VERSION {
        return Err(StoreError::Newer { path, found: version, known: VERSION });
    }
    serde_json::from_value(json).map(Some).map_err(|e| StoreError::corrupt(&path, 0, e.to_string()))
}

/// What the file says in this version.
pub(crate) fn of_version(instance: InstanceId, epoch: u32) -> Format {
    Format { version: VERSION, instance, epoch }
}

/// Whether the reserve is there.
pub(crate) fn has_reserve(dir: &Path) -> bool {
    std::fs::metadata(dir.join("reserve")).is_ok_and(|file| file.len() >= RESERVE_BYTES)
}

/// Takes the reserve where it is not taken yet.
pub(crate) fn take_reserve(dir: &Path) -> Result<(), StoreError> {
    if has_reserve(dir) {
        return Ok(());
    }
    let path = dir.join("reserve");
    let file = File::create(&path).map_err(|e| StoreError::io(&path, "make", e))?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        Ok(()) => Ok(()),
        Err(error) => {
            drop(std::fs::remove_file(&path));
            Err(StoreError::io(&path, "take room for", error.into()))
        }
    }
}

/// Writes the file anew.
pub(crate) fn write_format(dir: &Path, format: &Format) -> Result<(), StoreError> {
    let mut text = serde_json::to_string_pretty(format).expect("three plain fields are JSON");
    text.push('\n');
    replace(&dir.join("format"), text.as_bytes())
}

/// Replaces a file as a whole: written aside, synced, renamed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let aside = path.with_extension("new");
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| StoreError::io(&aside, "write", e))?;
    std::fs::rename(&aside, path).map_err(|e| StoreError::io(path, "replace", e))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| StoreError::io(dir, "sync", e))
}

/// The room on the disk of a data folder: a reserve that is released for control writes when the disk is full, and
/// whether samples may be written.
pub(crate) struct Room {
    dir: PathBuf,
    full: AtomicBool,
    /// The bytes the log may still write before the disk counts as full.
    #[cfg(test)]
    budget: std::sync::atomic::AtomicU64,
}

impl Room {
    /// Takes the reserve where it is not taken yet.
    pub(crate) fn open(dir: &Path) -> Self {
        let room = Self {
            dir: dir.to_owned(),
            full: AtomicBool::new(false),
            #[cfg(test)]
            budget: u64::MAX.into(),
        };
        if let Err(error) = room.take() {
            tracing::warn!(%error, "no reserve could be kept back for a full disk");
        }
        room
    }

    fn take(&self) -> Result<(), StoreError> {
        take_reserve(&self.dir)
    }

    /// The disk is full: samples are refused from now on, and the reserve is released. Whether that made room.
    pub(crate) fn exhausted(&self) -> bool {
        if !self.full.swap(true, Ordering::SeqCst) {
            tracing::error!(dir = %self.dir.display(), "the disk is full: intake stops, the reserve is released");
        }
        std::fs::remove_file(self.dir.join("reserve")).is_ok()
    }

    /// Whether the disk was full and does not have the room yet with which intake goes on.
    pub(crate) fn is_short(&self) -> bool {
        self.is_full() && self.free() < FREE_BYTES
    }

    /// Bytes that are free on the disk.
    pub(crate) fn free(&self) -> u64 {
        #[cfg(test)]
        if self.budget.load(Ordering::SeqCst) < u64::MAX {
            return self.budget.load(Ordering::SeqCst);
        }
        rustix::fs::statvfs(&self.dir).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether the disk was full and has no room again yet.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Whether samples may be written; after a full disk only once the reserve is back and as much again is free.
    pub(crate) fn may_write(&self) -> bool {
        if !self.full.load(Ordering::SeqCst) {
            return true;
        }
        let again = self.free() >= FREE_BYTES && self.charge(&self.dir, 1).is_ok() && self.take().is_ok();
        if again {
            self.full.store(false, Ordering::SeqCst);
            tracing::info!(dir = %self.dir.display(), "the disk has room again: intake goes on");
        }
        again
    }

    /// Lets the log write so many more bytes, then none.
    #[cfg(test)]
    pub(crate) fn budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::SeqCst);
    }

    /// Takes bytes from what the log may write; a seam for tests of full disks.
    #[cfg(test)]
    pub(crate) fn charge(&self, path: &Path, bytes: usize) -> Result<(), StoreError> {
        let left = self.budget.load(Ordering::SeqCst);
        let rest = if left == u64::MAX { Some(left) } else { left.checked_sub(bytes as u64) };
        self.budget.store(rest.unwrap_or(0), Ordering::SeqCst);
        rest.map(|_| ()).ok_or_else(|| StoreError::Full { path: path.to_owned() })
    }

    /// The system itself says when the disk is full.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the seam of the tests")]
    pub(crate) fn charge(&self, _path: &Path, _bytes: usize) -> Result<(), StoreError> {
        Ok(())
    }
}
