//! Checksums of a Parquet file: every block of it has one, in a table at the end of its footer, where other readers
//! pass over it. So no damaged byte is ever decoded, whoever reads.
//!
//! The file is `[Parquet][footer][table][length of footer and table]PAR1`. The table, little endian: a CRC-32 for each
//! block of everything before it, then the end of that (8 bytes), the length of the footer (4), the CRC-32 of the
//! table so far (4) and [`MAGIC`]. That bytes may follow the footer within its length is how Parquet itself keeps
//! signatures.

use crate::{
    StoreError,
    disk::{Disk, File, Mode},
};
use ::parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};
use bytes::{Buf, Bytes, buf::Reader};
use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes of a block.
const BLOCK_BYTES: usize = 16 << 10;

/// The same as a number of the file.
const BLOCK: u64 = BLOCK_BYTES as u64;

/// The last bytes of the table; the digit is its version.
const MAGIC: [u8; 8] = *b"andonS1\n";

/// End of what is summed, length of the footer, checksum of the table, magic.
const FIXED_BYTES: usize = 24;

/// How every Parquet file ends: the length of its footer, and these bytes.
const PARQUET: [u8; 4] = *b"PAR1";

/// The length of the footer and the bytes behind it.
const END_BYTES: usize = 8;

/// The most bytes of a file that are believed: a day of a site.
const FILE_BYTES_MAX: u64 = 1 << 40;

/// The most bytes that are asked for at once: a row group of the longest values fits.
const READ_BYTES_MAX: usize = 256 << 20;

/// A new file that sums what is written into it.
pub(crate) struct Summing {
    file: BufWriter<File>,
    /// The last bytes are held back: they may turn out to be the end that is replaced.
    held: Vec<u8>,
    sums: Vec<u32>,
    block: crc32fast::Hasher,
    /// Bytes in the block so far.
    filled: usize,
    written: u64,
}

impl Summing {
    /// Makes the file; an older one of that name goes.
    pub(crate) fn create(disk: &Disk, path: &Path) -> Result<Self, StoreError> {
        let file = disk.open(path, Mode::Anew).map_err(|e| StoreError::io(path, "make", e))?;
        Ok(Self {
            file: BufWriter::with_capacity(256 << 10, file),
            held: Vec::with_capacity(END_BYTES * 2),
            sums: Vec::new(),
            block: crc32fast::Hasher::new(),
            filled: 0,
            written: 0,
        })
    }

    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.block.update(now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.close_block();
            }
            bytes = later;
        }
        Ok(())
    }

    fn close_block(&mut self) {
        self.sums.push(std::mem::take(&mut self.block).finalize());
        self.filled = 0;
    }

    /// Writes the table behind the finished Parquet file and closes it; all its bytes.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        let end = std::mem::take(&mut self.held);
        let length = match end.split_first_chunk::<4>() {
            Some((length, magic)) if magic == PARQUET => u32::from_le_bytes(*length),
            _ => return Err(io::Error::other("the file was not finished as Parquet")),
        };
        if self.filled > 0 {
            self.close_block();
        }
        let mut table: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        table.extend_from_slice(&self.written.to_le_bytes());
        table.extend_from_slice(&length.to_le_bytes());
        table.extend_from_slice(&crc32fast::hash(&table).to_le_bytes());
        table.extend_from_slice(&MAGIC);
        let all = u32::try_from(table.len()).ok().and_then(|table| length.checked_add(table));
        table.extend_from_slice(&all.ok_or_else(|| io::Error::other("the footer is too long"))?.to_le_bytes());
        table.extend_from_slice(&PARQUET);
        self.file.write_all(&table)?;
        self.file.flush()?;
        Ok(self.written + table.len() as u64)
    }
}

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let ready = self.held.len().saturating_sub(END_BYTES);
        let mut held = std::mem::take(&mut self.held);
        let passed = self.pass(held.get(..ready).unwrap_or_default());
        held.drain(..ready);
        self.held = held;
        passed.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where bytes are read from.
enum Source {
    File(File),
    Memory(Bytes),
}

/// A file whose blocks are checked before anybody sees them; it looks as Parquet wrote it, without the table.
pub(crate) struct Checked {
    path: PathBuf,
    source: Source,
    /// The end of what is summed.
    end: u64,
    /// The length of the footer.
    footer: u32,
    /// A checksum for each block; `None`: the bytes are as foreign as can be.
    sums: Option<Vec<u32>>,
}

impl Checked {
    /// Opens a file.
    pub(crate) fn open(disk: &Disk, path: &Path) -> Result<Self, StoreError> {
        let io = |doing| move |e| StoreError::io(path, doing, e);
        let file = disk.open(path, Mode::Read).map_err(io("open"))?;
        let length = file.length().map_err(io("read"))?;
        Self::new(path, Source::File(file), length)
    }

    /// The same of bytes in memory.
    pub(crate) fn memory(bytes: Bytes) -> Result<Self, StoreError> {
        let length = bytes.len() as u64;
        Self::new(Path::new("memory"), Source::Memory(bytes), length)
    }

    /// Bytes that nothing vouches for: whole Parquet without a table.
    #[cfg(test)]
    pub(crate) fn unchecked(bytes: Bytes) -> Result<Self, StoreError> {
        let path = PathBuf::from("memory");
        let end = (bytes.len() as u64).checked_sub(END_BYTES as u64);
        let end = end.ok_or_else(|| StoreError::corrupt(&path, 0, "it is cut short"))?;
        let mut file = Self { path, source: Source::Memory(bytes), end, footer: 0, sums: None };
        let mut length = [0; 4];
        file.fill(end, &mut length).map_err(|e| StoreError::corrupt(&file.path, end, e.to_string()))?;
        file.footer = u32::from_le_bytes(length);
        Ok(file)
    }

    fn new(path: &Path, source: Source, length: u64) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::corrupt(path, length, what);
        let fixed_at = length.checked_sub((FIXED_BYTES + END_BYTES) as u64).filter(|_| length <= FILE_BYTES_MAX);
        let fixed_at = fixed_at.ok_or_else(|| damaged("its length is that of no file of the historian"))?;
        let mut file = Self { path: path.to_owned(), source, end: 0, footer: 0, sums: None };
        let mut last = [0; FIXED_BYTES + END_BYTES];
        file.fill(fixed_at, &mut last).map_err(|e| StoreError::io(path, "read", e))?;
        let number = |at: usize| -> u32 {
            last.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        if !last.ends_with(&PARQUET) || last.get(16..24) != Some(&MAGIC[..]) {
            return Err(damaged("it does not end as a file of the historian; it is cut short or of something else"));
        }
        let end = u64::from(number(0)) | (u64::from(number(4)) << 32);
        let (footer, sum, all) = (number(8), number(12), number(24));
        let blocks = end.div_ceil(BLOCK_BYTES as u64);
        let whole = u64::from(all) == u64::from(footer) + blocks.saturating_mul(4) + FIXED_BYTES as u64
            && Some(fixed_at) == blocks.checked_mul(4).and_then(|table| end.checked_add(table))
            && u64::from(footer) <= end;
        if !whole {
            return Err(damaged("the table of its checksums does not fit its length"));
        }
        let bytes = usize::try_from(fixed_at - end).map_err(|_| damaged("the table of its checksums is too long"))?;
        let mut table = vec![0; bytes];
        file.fill(end, &mut table).map_err(|e| StoreError::io(path, "read", e))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&table);
        crc.update(last.get(..12).unwrap_or_default());
        if crc.finalize() != sum {
            return Err(damaged("the table of its checksums is damaged"));
        }
        let (sums, _) = table.as_chunks::<4>();
        file.sums = Some(sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect());
        (file.end, file.footer) = (end, footer);
        Ok(file)
    }

    fn fill(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        match &self.source {
            Source::File(file) => file.read_exact_at(to, at),
            Source::Memory(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let from = bytes.get(start..start.saturating_add(to.len()));
                from.map(|from| to.copy_from_slice(from)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }

    /// Bytes of what is summed, checked.
    fn blocks(&self, start: u64, length: usize) -> Result<Bytes, StoreError> {
        let io = |e| StoreError::io(&self.path, "read", e);
        let Some(sums) = &self.sums else {
            let mut bytes = vec![0; length];
            self.fill(start, &mut bytes).map_err(io)?;
            return Ok(bytes.into());
        };
        let first = start / BLOCK;
        let from = first * BLOCK;
        let to = (start + length as u64).div_ceil(BLOCK).saturating_mul(BLOCK).min(self.end);
        let whole = usize::try_from(to - from).map_err(|_| StoreError::corrupt(&self.path, start, "it is too long"))?;
        let mut bytes = vec![0; whole];
        self.fill(from, &mut bytes).map_err(io)?;
        let known = sums.iter().skip(usize::try_from(first).unwrap_or(usize::MAX));
        for ((block, sum), number) in bytes.chunks(BLOCK_BYTES).zip(known).zip(first..) {
            if crc32fast::hash(block) != *sum {
                let what = format!("the checksum of the {} bytes from there on does not fit", block.len());
                return Err(StoreError::corrupt(&self.path, number * BLOCK, what));
            }
        }
        let skip = usize::try_from(start - from).unwrap_or(usize::MAX);
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }

    fn bytes(&self, start: u64, length: usize) -> Result<Bytes, StoreError> {
        let outside = || StoreError::corrupt(&self.path, start, "it refers to bytes behind its end");
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len() && length <= READ_BYTES_MAX);
        let end = end.ok_or_else(outside)?;
        if end <= self.end {
            return self.blocks(start, length);
        }
        // What Parquet wrote at its end is made anew.
        let summed = usize::try_from(self.end.saturating_sub(start)).map_err(|_| outside())?;
        let mut bytes = self.blocks(start.min(self.end), summed)?.to_vec();
        let mut closing = self.footer.to_le_bytes().to_vec();
        closing.extend_from_slice(&PARQUET);
        let skip = usize::try_from(start.saturating_sub(self.end)).map_err(|_| outside())?;
        bytes.extend(closing.iter().skip(skip).take(length - summed));
        Ok(bytes.into())
    }
}

impl Length for Checked {
    fn len(&self) -> u64 {
        self.end + END_BYTES as u64
    }
}

impl ChunkReader for Checked {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        // Used for the end of the file only: pages are read by the places that the index names.
        let length = usize::try_from(self.len().saturating_sub(start)).unwrap_or(usize::MAX);
        self.get_bytes(start, length.min(BLOCK_BYTES)).map(Buf::reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.bytes(start, length).map_err(|e| ParquetError::External(Box::new(e)))
    }
}

/// What the library says of a file, as an error of the store; `doing` is what was tried.
pub(crate) fn failed(path: &Path, doing: &'static str, error: ParquetError) -> StoreError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<StoreError>() {
            Ok(error) => *error,
            Err(cause) => match cause.downcast::<io::Error>() {
                Ok(error) => StoreError::io(path, doing, *error),
                Err(cause) => StoreError::corrupt(path, 0, cause.to_string()),
            },
        },
        error => StoreError::corrupt(path, 0, error.to_string()),
    }
}

/// Runs the library's decoders: bytes that were damaged before they were summed might make them panic, and no reader of
/// history may take the instance down. The one place where a panic is caught.
pub(crate) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::corrupt(path, 0, "it cannot be decoded")))
}

/// A file that is shared by the readers of its columns.
pub(crate) type Shared = Arc<Checked>;
