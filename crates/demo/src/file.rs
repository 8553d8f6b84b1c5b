//! The office's own file: one JSON line a document, appended and synced before anybody hears of it.

use crate::{
    OfficeError,
    eam::{Office, Row},
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The largest file that is read at a start: 1 GiB.
const FILE_MAX_BYTES: u64 = 1 << 30;

/// The file, open and locked.
pub(crate) struct Rows {
    path: PathBuf,
    file: File,
    /// The end of the last line that is surely there.
    length: u64,
    /// An append failed and what it left could not be taken back.
    broken: bool,
}

impl Rows {
    /// Opens the file and reads the office it holds. A last line without its end was never answered: it is cut off.
    pub(crate) fn open(path: &Path) -> Result<(Self, Office), OfficeError> {
        let failed = |cause| OfficeError::File { path: path.to_owned(), cause };
        let new = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OfficeError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        if new {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let mut text = Vec::new();
        (&file).take(FILE_MAX_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_MAX_BYTES {
            return Err(failed(std::io::Error::other(format!("is larger than {FILE_MAX_BYTES} bytes"))));
        }
        let length = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if length < text.len() {
            tracing::warn!(file = %path.display(), bytes = text.len() - length, "cut off a torn last line");
            text.truncate(length);
            file.set_len(length as u64).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        let mut office = Office::default();
        for (number, line) in text.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let row = serde_json::from_slice::<Row>(line).map_err(|e| format!("is no request: {e}"));
            row.and_then(|row| office.keep(row)).map_err(|cause| OfficeError::Line {
                path: path.to_owned(),
                line: number + 1,
                cause,
            })?;
        }
        Ok((Self { path: path.to_owned(), file, length: length as u64, broken: false }, office))
    }

    /// Appends a row; it is durable when this returns `Ok`, and surely not there when it returns `Err`.
    pub(crate) fn append(&mut self, row: &Row) -> Result<(), OfficeError> {
        let failed = |cause| OfficeError::File { path: self.path.clone(), cause };
        if self.broken {
            return Err(failed(std::io::Error::other("an earlier write failed; start the office again")));
        }
        let mut line = serde_json::to_vec(row).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&line))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(cause) => {
                let back = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
                self.broken = back.is_err();
                Err(OfficeError::File { path: self.path.clone(), cause })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::Time;

    fn row(number: &str) -> Row {
        Row {
            number: number.into(),
            status: "open".into(),
            reference: Some("R".into()),
            description: "too hot".into(),
            long_description: None,
            equipment: "EQ-100042".into(),
            plant: "1010".into(),
            priority: "high".into(),
            reported_at: Time(0),
            received_at: Time(0),
        }
    }

    #[test]
    fn what_was_appended_is_read_again_and_a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.jsonl");
        let (mut rows, _) = Rows::open(&path).unwrap();
        rows.append(&row("MR-000001")).unwrap();
        rows.append(&row("MR-000002")).unwrap();
        drop(rows);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();

        let (mut rows, office) = Rows::open(&path).unwrap();
        assert_eq!(office.rows(), [row("MR-000001")]);
        rows.append(&row("MR-000002")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_foreign_line_and_a_second_office_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.jsonl");
        let line = serde_json::to_string(&row("MR-000001")).unwrap();
        std::fs::write(&path, format!("{line}\n{{}}\n")).unwrap();
        let refused = Rows::open(&path).err().unwrap().to_string();
        assert!(refused.contains("requests.jsonl:2: is no request"), "{refused}");

        std::fs::write(&path, format!("{line}\n")).unwrap();
        let (_rows, _) = Rows::open(&path).unwrap();
        assert!(matches!(Rows::open(&path), Err(OfficeError::InUse { .. })));
        assert!(matches!(Rows::open(&folder.path().join("no/where")), Err(OfficeError::File { .. })));
    }
}
