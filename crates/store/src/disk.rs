//! The disk under a data folder: the operating system's, or a simulated one in memory. Everything that is read or
//! written in a data folder goes through it; the database of the system's disk has a way of its own.

mod simulated;

pub(crate) use simulated::{Ended, FOLDER, Process};
pub use simulated::{SimDisk, Trouble};

use crate::StoreError;
use rustix::fs::{FallocateFlags, FlockOperation};
use std::{
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// A disk; clones are the same one.
#[derive(Clone)]
pub(crate) enum Disk {
    /// The operating system's.
    System,
    /// One in memory, as one process has it.
    Simulated(Process),
}

/// A file that is open.
pub(crate) enum File {
    System(std::fs::File),
    Simulated(simulated::Open),
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To read it.
    Read,
    /// To read and write it.
    Write,
    /// The same; it is made where there is none.
    Keep,
    /// The same; what was in it goes.
    Anew,
    /// To make it; there must be none.
    New,
}

impl Disk {
    /// Opens a file.
    pub(crate) fn open(&self, path: &Path, mode: Mode) -> io::Result<File> {
        match self {
            Self::System => {
                let mut options = std::fs::File::options();
                options.read(true).write(mode != Mode::Read);
                options.create(matches!(mode, Mode::Keep | Mode::Anew)).create_new(mode == Mode::New);
                options.truncate(mode == Mode::Anew).open(path).map(File::System)
            }
            Self::Simulated(process) => process.open(path, mode).map(File::Simulated),
        }
    }

    /// The bytes of a file, of a longer one the first `most`.
    pub(crate) fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.open(path, Mode::Read)? {
            File::System(file) => drop(file.take(most).read_to_end(&mut bytes)?),
            File::Simulated(file) => {
                bytes.resize(usize::try_from(file.length()?.min(most)).unwrap_or(usize::MAX), 0);
                file.read_at(&mut bytes, 0)?;
            }
        }
        Ok(bytes)
    }

    /// The length of a file.
    pub(crate) fn length(&self, path: &Path) -> io::Result<u64> {
        match self {
            Self::System => std::fs::metadata(path).map(|file| file.len()),
            Self::Simulated(process) => process.length(path),
        }
    }

    /// Whether there is a folder.
    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        match self {
            Self::System => path.is_dir(),
            Self::Simulated(process) => process.is_folder(path),
        }
    }

    /// Whether there is anything of that name.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        match self {
            Self::System => path.exists(),
            Self::Simulated(process) => process.exists(path),
        }
    }

    /// The names in a folder, in no order; those that are no text are not ours and left out.
    pub(crate) fn list(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        let list = || match self {
            Self::System => {
                let mut names = Vec::new();
                for entry in std::fs::read_dir(dir)? {
                    names.extend(entry?.file_name().into_string().ok());
                }
                Ok(names)
            }
            Self::Simulated(process) => process.list(dir),
        };
        list().map_err(|e| StoreError::io(dir, "list", e))
    }

    /// Bytes that are free.
    pub(crate) fn free(&self, dir: &Path) -> u64 {
        match self {
            Self::System => rustix::fs::statvfs(dir).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            Self::Simulated(process) => process.free(),
        }
    }

    /// Makes the bytes of a file durable, gives it its name and makes that durable, too.
    pub(crate) fn publish(&self, aside: &Path, path: &Path) -> Result<(), StoreError> {
        self.open(aside, Mode::Read).and_then(|file| file.sync_all()).map_err(|e| StoreError::io(aside, "sync", e))?;
        self.rename(aside, path)
    }

    /// Replaces a file as a whole: written aside, synced, renamed.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let aside = path.with_extension("new");
        let write = || {
            let file = self.open(&aside, Mode::Anew)?;
            file.write_all_at(bytes, 0)?;
            file.sync_all()
        };
        write().map_err(|e| StoreError::io(&aside, "write", e))?;
        self.rename(&aside, path)
    }

    /// Gives a file another name, instead of what has it; durable when it returns.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let renamed = match self {
            Self::System => std::fs::rename(from, to),
            Self::Simulated(process) => process.rename(from, to),
        };
        renamed.map_err(|e| StoreError::io(to, "name", e))?;
        to.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }

    /// Removes a file; one that is not there is removed already. Durable only once its folder is synced.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.unlink(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path, "remove", error)),
            _ => Ok(()),
        }
    }

    /// Removes a file that is there.
    pub(crate) fn unlink(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::System => std::fs::remove_file(path),
            Self::Simulated(process) => process.remove(path),
        }
    }

    /// Removes a folder, unless there is something in it.
    pub(crate) fn remove_empty_dir(&self, dir: &Path) -> io::Result<()> {
        match self {
            Self::System => std::fs::remove_dir(dir),
            Self::Simulated(process) => process.remove_folder(dir),
        }
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        let synced = match self {
            Self::System => std::fs::File::open(dir).and_then(|dir| dir.sync_all()),
            Self::Simulated(process) => process.sync_folder(dir),
        };
        synced.map_err(|e| StoreError::io(dir, "sync", e))
    }

    /// Makes a folder with those above it, all durable.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<(), StoreError> {
        if self.is_dir(dir) {
            return Ok(());
        }
        let above = match dir.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        self.make_dir(above)?;
        let made = match self {
            Self::System => std::fs::create_dir(dir),
            Self::Simulated(process) => process.make_folder(dir),
        };
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StoreError::io(dir, "make", error)),
            _ => self.sync_dir(above),
        }
    }
}

impl File {
    /// Fills `bytes` as far as the file goes.
    pub(crate) fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let file = match self {
            Self::System(file) => file,
            Self::Simulated(file) => return file.read_at(bytes, at),
        };
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Fills all of `bytes`.
    pub(crate) fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        if self.read_at(bytes, at)? == bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Writes all bytes at a place.
    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self {
            Self::System(file) => file.write_all_at(bytes, at),
            Self::Simulated(file) => file.write_all_at(bytes, at),
        }
    }

    /// Cuts the file, or lengthens it with zeros.
    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        match self {
            Self::System(file) => file.set_len(length),
            Self::Simulated(file) => file.set_length(length),
        }
    }

    /// The length.
    pub(crate) fn length(&self) -> io::Result<u64> {
        match self {
            Self::System(file) => file.metadata().map(|file| file.len()),
            Self::Simulated(file) => file.length(),
        }
    }

    /// Makes the bytes durable.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::System(file) => file.sync_data(),
            Self::Simulated(file) => file.sync(),
        }
    }

    /// Makes the bytes durable, and all that the system knows of the file.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::System(file) => file.sync_all(),
            Self::Simulated(file) => file.sync(),
        }
    }

    /// Lets the system forget what it has in memory of the file and the disk has, too, so that what is read next is
    /// what the disk has. A system that cannot goes on as it was.
    pub(crate) fn forget_memory(&self) {
        match self {
            Self::System(file) => drop(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)),
            Self::Simulated(file) => file.forget_memory(),
        }
    }

    /// Takes room up to a length ahead. Refused as unsupported where the file system cannot.
    pub(crate) fn take_room(&self, length: u64) -> io::Result<()> {
        match self {
            Self::System(file) => Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length)?),
            Self::Simulated(file) => file.take_room(length),
        }
    }

    /// Takes the lock that others see, until the file is closed; whether nobody had it.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        match self {
            Self::System(file) => match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
                Err(error) => Err(error.into()),
            },
            Self::Simulated(file) => file.lock(),
        }
    }
}

impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::System(file) => file.write(bytes),
            Self::Simulated(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
