//! The data folder: who it belongs to, who holds it, and the room it keeps back.

use crate::{
    StoreError, backup,
    disk::{Disk, File, Mode},
    error::is_full,
    hand,
};
use andon_model::InstanceId;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
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
    /// Held by the backup that is being made.
    backing_up: Mutex<()>,
    /// Held by whoever removes files that others may be reading.
    removing: Mutex<()>,
}

/// While it is there nobody removes files of the folder.
pub(crate) struct Resting<'a> {
    _backing_up: MutexGuard<'a, ()>,
    _removing: MutexGuard<'a, ()>,
}

impl Folder {
    /// Lets no file go until the guard does; `None`: somebody does so already.
    pub(crate) fn rest(&self) -> Option<Resting<'_>> {
        let backing_up = match self.backing_up.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let removing = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Resting { _backing_up: backing_up, _removing: removing })
    }

    /// The right to remove files; `None`: not now.
    pub(crate) fn may_remove(&self) -> Option<MutexGuard<'_, ()>> {
        match self.removing.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes a folder, or makes one.
    pub(crate) fn open(disk: Disk, dir: &Path, chance: &mut dyn FnMut(&mut [u8])) -> Result<Self, StoreError> {
        disk.make_dir(dir)?;
        let lock = lock(&disk, dir)?;
        let format = if let Some(mut format) = read_format(&disk, dir)? {
            if format.version < VERSION {
                // Before anything is written that an older version would not understand.
                format.version = VERSION;
                write_format(&disk, dir, &format)?;
            }
            format
        } else {
            if disk.exists(&dir.join("andon.db")) || disk.exists(&dir.join("log")) {
                return Err(StoreError::corrupt(
                    &dir.join("format"),
                    0,
                    "the file is missing, yet there is a database or a log",
                ));
            }
            settle(&disk, dir)?;
            let format = Format { version: VERSION, instance: crate::store::drawn(chance), epoch: FIRST_EPOCH };
            write_format(&disk, dir, &format)?;
            format
        };
        let ended_uncleanly = at_work(&disk, dir)?;
        // Also what a killed process has named and not made durable, before anybody reads it.
        disk.sync_dir(dir)?;
        let (room, lock) = (Room::open(&disk, dir), Mutex::new(lock));
        let (backing_up, removing) = (Mutex::default(), Mutex::default());
        Ok(Self { dir: dir.to_owned(), format, room, disk, ended_uncleanly, lock, backing_up, removing })
    }

    /// What was at hand is done or written down.
    pub(crate) fn end_cleanly(&self) -> Result<(), StoreError> {
        let path = self.dir.join(AT_WORK);
        match self.disk.unlink(&path) {
            Ok(()) => self.disk.sync_dir(&self.dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io(&path, "remove", error)),
        }
    }

    /// Looks at a folder of somebody else.
    pub(crate) fn look(dir: &Path) -> Result<Format, StoreError> {
        read_format(&Disk::System, dir)?.ok_or_else(|| {
            StoreError::Refused(format!(
                "{} is no data folder: it has no file `format`. Name the folder an instance runs on",
                dir.display()
            ))
        })
    }

    /// Writes into the lock what others shall know of the running instance. On a full disk the reserve makes room for
    /// it; without one it starts all the same, and commands do not find it.
    pub(crate) fn announce(&self, text: &str) -> Result<(), StoreError> {
        let path = self.dir.join("lock");
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || lock.set_len(0).and_then(|()| lock.write_all_at(text.as_bytes(), 0));
        let written = write().or_else(|e| if is_full(&e) && self.room.exhausted() { write() } else { Err(e) });
        match written {
            Err(error) if is_full(&error) => {
                tracing::warn!(text, "the disk is full: commands are not told where the instance answers");
                Ok(())
            }
            written => written.map_err(|e| StoreError::io(&path, "write", e)),
        }
    }
}

/// Makes the name of a new folder durable: a process that was killed may have made it. Where we may not look at the
/// folder above, it is not ours to do.
fn settle(disk: &Disk, dir: &Path) -> Result<(), StoreError> {
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match disk.sync_dir(above) {
        Err(StoreError::Io { cause, .. }) if cause.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}

/// Leaves the sign that somebody is at work; whether it was there before.
fn at_work(disk: &Disk, dir: &Path) -> Result<bool, StoreError> {
    let path = dir.join(AT_WORK);
    match disk.open(&path, Mode::New) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        // On a full disk it starts all the same: how it ends is then not known afterwards.
        Err(error) if is_full(&error) => Ok(false),
        Err(error) => Err(StoreError::io(&path, "make", error)),
    }
}

/// What the instance that runs on a data folder says of itself; `None` when none runs there.
pub fn announced(dir: &Path) -> Option<String> {
    let file = std::fs::File::open(dir.join("lock")).ok()?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut text = String::new();
    file.take(ANNOUNCED_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Takes the lock of a folder, or says who has it.
pub(crate) fn lock(disk: &Disk, dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = disk.open(&path, Mode::Keep).map_err(|e| StoreError::io(&path, "open", e))?;
    for _ in 0..LOCK_TRIES {
        if file.lock().map_err(|e| StoreError::io(&path, "lock", e))? {
            // What an earlier holder said is no longer true.
            file.set_len(0).map_err(|e| StoreError::io(&path, "write", e))?;
            return Ok(file);
        }
        if matches!(disk, Disk::Simulated(_)) {
            return Err(StoreError::Locked { dir: dir.to_owned(), announced: None });
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(StoreError::Locked { dir: dir.to_owned(), announced: announced(dir).filter(|text| !text.is_empty()) })
}

/// What the file `format` says; `None` where there is none.
pub(crate) fn read_format(disk: &Disk, dir: &Path) -> Result<Option<Format>, StoreError> {
    let path = dir.join("format");
    let bytes = match disk.read(&path, FORMAT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path, "open", error)),
    };
    parse_format(&path, &bytes).map(Some)
}

fn parse_format(path: &Path, bytes: &[u8]) -> Result<Format, StoreError> {
    // A newer version may have other fields: its number is read first.
    let json: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| StoreError::corrupt(path, 0, format!("it is no JSON: {e}")))?;
    let version = json.get("version").and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let version = version.ok_or_else(|| StoreError::corrupt(path, 0, "it names no version"))?;
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    serde_json::from_value(json).map_err(|e| StoreError::corrupt(path, 0, e.to_string()))
}

/// Reads bytes as one of the small files of a data folder or a backup, which the first byte chooses: `format`,
/// `at-hand`, the manifest. What is accepted is written as it was read. For fuzzing.
pub fn fuzz(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            let path = Path::new("format");
            if let Ok(format) = parse_format(path, bytes) {
                assert_eq!(parse_format(path, format_text(&format).as_bytes()).ok(), Some(format));
            }
        }
        1 => hand::fuzz(bytes),
        _ => backup::fuzz(bytes),
    }
}

/// What the file says in this version.
pub(crate) fn of_version(instance: InstanceId, epoch: u32) -> Format {
    Format { version: VERSION, instance, epoch }
}

/// Whether the reserve is there.
pub(crate) fn has_reserve(disk: &Disk, dir: &Path) -> bool {
    disk.length(&dir.join("reserve")).is_ok_and(|length| length >= RESERVE_BYTES)
}

/// Takes the reserve where it is not taken yet.
pub(crate) fn take_reserve(disk: &Disk, dir: &Path) -> Result<(), StoreError> {
    if has_reserve(disk, dir) {
        return Ok(());
    }
    let path = dir.join("reserve");
    let file = disk.open(&path, Mode::Anew).map_err(|e| StoreError::io(&path, "make", e))?;
    file.take_room(RESERVE_BYTES).map_err(|e| {
        drop(disk.unlink(&path));
        StoreError::io(&path, "take room for", e)
    })
}

/// Writes the file anew.
pub(crate) fn write_format(disk: &Disk, dir: &Path, format: &Format) -> Result<(), StoreError> {
    disk.replace(&dir.join("format"), format_text(format).as_bytes())
}

fn format_text(format: &Format) -> String {
    let mut text = serde_json::to_string_pretty(format).expect("three plain fields are JSON");
    text.push('\n');
    text
}

/// The room on the disk of a data folder: a reserve that is released for control writes when the disk is full, and
/// whether samples may be written.
pub(crate) struct Room {
    disk: Disk,
    dir: PathBuf,
    full: AtomicBool,
}

impl Room {
    /// Takes the reserve where it is not taken yet.
    pub(crate) fn open(disk: &Disk, dir: &Path) -> Self {
        let room = Self { disk: disk.clone(), dir: dir.to_owned(), full: AtomicBool::new(false) };
        if let Err(error) = room.take() {
            tracing::warn!(%error, "no reserve could be kept back for a full disk");
        }
        room
    }

    fn take(&self) -> Result<(), StoreError> {
        take_reserve(&self.disk, &self.dir)
    }

    /// The disk is full: samples are refused from now on, and the reserve is released. Whether that made room.
    pub(crate) fn exhausted(&self) -> bool {
        if !self.full.swap(true, Ordering::SeqCst) {
            tracing::error!(dir = %self.dir.display(), "the disk is full: intake stops, the reserve is released");
        }
        self.disk.unlink(&self.dir.join("reserve")).is_ok()
    }

    /// Whether the disk was full and does not have the room yet with which intake goes on.
    pub(crate) fn is_short(&self) -> bool {
        self.is_full() && self.free() < FREE_BYTES
    }

    /// Bytes that are free on the disk.
    pub(crate) fn free(&self) -> u64 {
        self.disk.free(&self.dir)
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
        let again = self.free() >= FREE_BYTES && self.take().is_ok();
        if again {
            self.full.store(false, Ordering::SeqCst);
            tracing::info!(dir = %self.dir.display(), "the disk has room again: intake goes on");
        }
        again
    }
}
