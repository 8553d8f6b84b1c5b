//! What the loop of a file source asks of the disk.

use super::{Known, PIECE, Seen};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

pub(super) fn seen(meta: &fs::Metadata) -> Seen {
    use std::os::unix::fs::MetadataExt as _;
    Seen { size: meta.len(), changed: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()) }
}

/// Reads a file once for its hash; `None` where it is not any more what was seen.
pub(super) fn look_through(path: &Path, as_seen: Seen, before: u64) -> io::Result<Option<Known>> {
    let mut file = File::open(path)?;
    let (mut hash, mut prefix) = (Sha256::new(), None);
    let mut piece = vec![0; PIECE];
    let mut read = 0_u64;
    loop {
        // The place up to which the file was taken before lies between two pieces.
        let most = match before.checked_sub(read) {
            Some(left @ 1..) => usize::try_from(left).unwrap_or(PIECE).min(PIECE),
            _ => PIECE,
        };
        let n = match file.read(piece.get_mut(..most).unwrap_or_default()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        };
        if n == 0 {
            break;
        }
        let bytes = piece.get(..n).unwrap_or(&[]);
        hash.update(bytes);
        read += n as u64;
        if read == before {
            prefix = Some(hex(hash.clone()));
        }
    }
    let same = read == as_seen.size && seen(&file.metadata()?) == as_seen && seen(&fs::metadata(path)?) == as_seen;
    Ok(same.then(|| Known { seen: as_seen, hash: hex(hash), prefix }))
}

fn hex(hash: Sha256) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    hash.finalize().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Whether a line ends at a place: before it, or with what follows it.
pub(super) fn ended_with_line(path: &Path, place: u64) -> bool {
    let mut bytes = [0; 2];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(place.saturating_sub(1)))?;
        file.read_exact(&mut bytes)
    });
    let [before, behind] = bytes;
    read.is_ok() && (before == b'\n' || matches!(behind, b'\n' | b'\r'))
}

/// Moves a file; where its name is taken there, under one that is not.
pub(super) fn move_file(from: &Path, into: &Path, name: &str) -> io::Result<()> {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) => (stem, format!(".{ending}")),
        None => (name, String::new()),
    };
    let mut to = into.join(name);
    for n in 2..10_000 {
        if !to.exists() {
            break;
        }
        to = into.join(format!("{stem}.{n}{ending}"));
    }
    match fs::rename(from, &to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, &to)?;
            File::open(&to)?.sync_all()?;
            fs::remove_file(from)
        }
        outcome => outcome,
    }
}
