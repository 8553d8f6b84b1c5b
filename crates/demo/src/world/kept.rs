//! The small files of a world: whole or not there, also after a crash.

use crate::world::WorldError;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

/// Writes a value as JSON: aside first, then in its place.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), WorldError> {
    let failed = |cause| WorldError::File { path: path.to_owned(), cause };
    let aside = path.with_extension("new");
    let text = serde_json::to_vec(value).map_err(|e| failed(e.into()))?;
    File::create(&aside)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&aside, path))
        .map_err(failed)
}

/// Reads it again; `None` where it never was.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, WorldError> {
    let failed = |cause| WorldError::File { path: path.to_owned(), cause };
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed(e.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Holds a folder for one world alone, as long as the file is open.
pub(super) fn hold(dir: &Path) -> Result<File, WorldError> {
    let path = dir.join("lock");
    let failed = |cause| WorldError::File { path: path.clone(), cause };
    fs::create_dir_all(dir).map_err(failed)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WorldError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}
