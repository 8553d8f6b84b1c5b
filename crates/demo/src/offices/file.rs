//! An office's own file: one JSON line a document, appended and synced before anybody hears of it.

use super::Line;
use crate::OfficeError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The largest file that is read at a start: 1 GiB.
const FILE_MAX_BYTES: u64 = 1 << 30;

/// The file, open and locked.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    file: File,
    /// The end of the last line that is surely there.
    length: u64,
    /// An append failed and what it left could not be taken back.
    broken: bool,
}

impl Book {
    /// Opens the file and gives `keep` the lines it holds. A last line without its end was never answered: it is cut
    /// off.
    pub(super) fn open(path: &Path, mut keep: impl FnMut(Line) -> Result<(), String>) -> Result<Self, OfficeError> {
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
        for (number, line) in text.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let read = serde_json::from_slice::<Line>(line).map_err(|e| format!("is no document: {e}"));
            read.and_then(&mut keep).map_err(|cause| OfficeError::Line {
                path: path.to_owned(),
                line: number + 1,
                cause,
            })?;
        }
        Ok(Self { path: path.to_owned(), file, length: length as u64, broken: false })
    }

    /// Appends lines; all are durable when this returns `Ok`, and surely none is there when it returns `Err`.
    pub(super) fn append(&mut self, lines: &[Line]) -> Result<(), OfficeError> {
        let failed = |cause| OfficeError::File { path: self.path.clone(), cause };
        if self.broken {
            return Err(failed(std::io::Error::other("an earlier write failed; start the office again")));
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).map_err(|e| failed(e.into()))?;
            text.push(b'\n');
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&text))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += text.len() as u64;
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

    fn line(document: &str) -> Line {
        Line::new(Time(0), "maintenance-request", document.into(), Some("R"), serde_json::Map::new())
    }

    fn open(path: &Path) -> Result<(Book, Vec<Line>), OfficeError> {
        let mut lines = Vec::new();
        let book = Book::open(path, |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok((book, lines))
    }

    #[test]
    fn what_was_appended_is_read_again_and_a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.jsonl");
        let (mut book, _) = open(&path).unwrap();
        book.append(&[line("MR-000001")]).unwrap();
        book.append(&[line("MR-000002")]).unwrap();
        drop(book);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();

        let (mut book, lines) = open(&path).unwrap();
        assert_eq!(lines, [line("MR-000001")]);
        book.append(&[line("MR-000002")]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_foreign_line_and_a_second_office_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.jsonl");
        let text = serde_json::to_string(&line("MR-000001")).unwrap();
        std::fs::write(&path, format!("{text}\n{{}}\n")).unwrap();
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains("requests.jsonl:2: is no document"), "{refused}");

        std::fs::write(&path, format!("{text}\n")).unwrap();
        let _open = open(&path).unwrap();
        assert!(matches!(open(&path), Err(OfficeError::InUse { .. })));
        assert!(matches!(open(&folder.path().join("no/where")), Err(OfficeError::File { .. })));
    }
}
