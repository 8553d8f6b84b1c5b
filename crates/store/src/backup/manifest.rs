//! `backup.json`: what belongs to a backup.

use super::BackupError;
use andon_model::{InstanceId, Position, Time};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

/// The name of the file.
pub const MANIFEST: &str = "backup.json";

/// The version of its format.
const VERSION: u32 = 1;

/// The most bytes of it that are read.
pub const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Files of a backup at most.
pub const FILES_MAX: usize = 1_000_000;

/// What a backup is, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this file.
    pub version: u32,
    /// The version of Andon that wrote it.
    pub andon: String,
    /// The version of the data folder.
    pub folder: u32,
    /// The version of the database.
    pub database: u32,
    /// The instance.
    pub instance: InstanceId,
    /// The epoch of the folder.
    pub epoch: u32,
    /// When it was begun.
    pub begun: Time,
    /// What is later than this may not be in it.
    pub taken: Time,
    /// The order number of the last event in it.
    pub sequence: u64,
    /// The end of the log in it.
    pub end: Position,
    /// Its files, in the order of their paths.
    pub files: Vec<Held>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its path within the backup, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

impl Held {
    /// Its path in a folder.
    pub(super) fn within(&self, dir: &Path) -> PathBuf {
        dir.join(&self.path)
    }

    /// Whether the path stays within its folder and is none that the folder of an instance needs for itself.
    fn is_plain(&self) -> bool {
        let parts: Vec<Component<'_>> = Path::new(&self.path).components().collect();
        let plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
        // `log//1.seg` and `log/./1.seg` are second names of one file.
        let only = parts.iter().collect::<PathBuf>().as_os_str() == self.path.as_str();
        plain
            && only
            && !self.path.is_empty()
            && !["lock", "at-work", "reserve", MANIFEST].contains(&self.path.as_str())
    }
}

impl Manifest {
    /// The version of this format.
    pub(super) const VERSION: u32 = VERSION;

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// The text of the file.
    pub(super) fn write(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("texts and numbers are JSON");
        text.push('\n');
        text
    }

    /// Reads the text; the error says why it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // A newer version may have other fields: its number is read first.
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
        let version = json.get("version").and_then(serde_json::Value::as_u64).ok_or("it names no version")?;
        if version > u64::from(VERSION) {
            return Err(format!("it has format {version}, this version knows up to {VERSION}: use a newer Andon"));
        }
        let manifest: Self = serde_json::from_value(json).map_err(|e| e.to_string())?;
        if manifest.files.len() > FILES_MAX {
            return Err(format!("it names {} files, {FILES_MAX} are the limit", manifest.files.len()));
        }
        if let Some(file) = manifest.files.iter().find(|file| !file.is_plain()) {
            return Err(format!("it names {:?}, which is no file of a backup", file.path));
        }
        let mut paths: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        if paths.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err("it names a file twice".to_owned());
        }
        for needed in ["format", "andon.db"] {
            if !paths.contains(&needed) {
                return Err(format!("it names no file {needed}"));
            }
        }
        Ok(manifest)
    }

    /// Reads that of a backup.
    pub fn read(from: &Path) -> Result<Self, BackupError> {
        let path = from.join(MANIFEST);
        let none = |what: String| BackupError::NoBackup { from: from.to_owned(), what };
        let mut text = String::new();
        let file = File::open(&path).map_err(|e| none(format!("{MANIFEST} cannot be opened: {e}")))?;
        let read = file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|e| none(format!("{MANIFEST} cannot be read: {e}")))?;
        Self::parse(&text).map_err(|e| none(format!("{MANIFEST}: {e}")))
    }
}

/// Reads any bytes as a manifest: what is none is refused, and what is one is written as it was read.
pub fn fuzz(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(Manifest::parse(&manifest.write()), Ok(manifest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: u32, paths: &[&str]) -> String {
        let file = |path: &&str| Held { path: (*path).to_owned(), bytes: 1, sha256: String::new() };
        let manifest = Manifest {
            version,
            andon: "1.0.0".into(),
            folder: 3,
            database: 6,
            instance: InstanceId::from_bits([3; 10]),
            epoch: 1,
            begun: Time(1),
            taken: Time(2),
            sequence: 3,
            end: Position { epoch: 1, offset: 4 },
            files: paths.iter().map(file).collect(),
        };
        manifest.write()
    }

    #[test]
    fn what_leads_out_of_the_folder_or_is_not_ours_is_refused() {
        let parse = |version, paths: &[&str]| Manifest::parse(&text(version, paths));
        assert!(parse(1, &["format", "andon.db", "log/1.seg"]).is_ok());
        for foreign in ["../x", "/etc/passwd", "log/../../x", "log//1.seg", "log/", "", "lock", "reserve", MANIFEST] {
            let refused = parse(1, &["format", "andon.db", foreign]).unwrap_err();
            assert!(refused.contains("no file of a backup"), "{foreign}: {refused}");
        }
        assert!(parse(1, &["format", "andon.db", "format"]).unwrap_err().contains("twice"));
        assert!(parse(1, &["format"]).unwrap_err().contains("andon.db"));
        assert!(parse(2, &["format", "andon.db"]).unwrap_err().contains("newer Andon"));
        assert!(Manifest::parse("[]").is_err() && Manifest::parse("").is_err());
        fuzz(text(1, &["format", "andon.db"]).as_bytes());
    }
}
