//! Block bodies in append-only files: `00000001.seg`, `00000002.seg`, and so on.
//!
//! Owns the layout of the files and their durability. Does not know heights, roots or which record
//! is the last one that counts: the index says so, and what lies behind it is cut. Readers use
//! positioned reads on handles of their own, so they never disturb the writer. Every length is
//! checked before memory is taken for it and every record against its checksum.
//!
//! Layout: a header of magic `ALYS-SEG`, version `u32` LE, file number `u32` LE; then records of
//! length `u32` LE, crc32 `u32` LE over the block, the block as it was received. No record crosses
//! into the next file.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

pub(super) use reader::SegmentReader;
pub(super) use writer::{SegmentLimits, SegmentWriter};

/// What a segment file starts with.
const MAGIC: [u8; 8] = *b"ALYS-SEG";

/// The layout described above. A reader refuses any other.
const VERSION: u32 = 1;

/// Bytes before the first record.
pub(super) const HEADER_BYTES: u64 = 16;

/// Bytes of a record before the block.
pub(super) const RECORD_HEADER_BYTES: u64 = 8;

/// The number of the first file. Zero is never used, so that zeroed bytes name no file.
pub(super) const FIRST_SEGMENT: u32 = 1;

/// Where a record lies. The end of one is the start of the next in the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// The number of the file.
    pub(super) segment: u32,
    /// Where the record starts, in bytes from the start of the file.
    pub(super) offset: u64,
    /// Bytes of the block, without the record's header.
    pub(super) length: u32,
}

impl Location {
    /// Where the record ends. Saturates: no file is that long, so such a location is not found.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(RECORD_HEADER_BYTES).saturating_add(self.length.into())
    }
}

/// Why a segment file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The operating system refused.
    #[error("{action} {} failed", file.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file that the index names is not there.
    #[error("{} is missing", file.display())]
    Missing {
        /// Which file.
        file: PathBuf,
    },
    /// The file does not start as a segment with its number does.
    #[error("{} has no valid segment header", file.display())]
    BadHeader {
        /// Which file.
        file: PathBuf,
    },
    /// Another release wrote the file.
    #[error("{} has segment version {found}, this release knows {known}", file.display())]
    OtherVersion {
        /// Which file.
        file: PathBuf,
        /// The version of the file.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// The file ends before a record that the index names does.
    #[error("{} ends before byte {end}", file.display())]
    Cut {
        /// Which file.
        file: PathBuf,
        /// Where the record ends by the index.
        end: u64,
    },
    /// The length of a record is over the limit or not what the index says.
    #[error("record at byte {offset} of {} states length {found}, not {indexed}", file.display())]
    BadLength {
        /// Which file.
        file: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// The length in the file, in bytes.
        found: u32,
        /// The length in the index, in bytes.
        indexed: u32,
    },
    /// The bytes of a block changed after they were written.
    #[error("record at byte {offset} of {} fails its checksum", file.display())]
    BadChecksum {
        /// Which file.
        file: PathBuf,
        /// Where the record starts.
        offset: u64,
    },
    /// A block of this length cannot be stored. Nothing was written.
    #[error("a block of {length} bytes cannot be stored: 1 to {max} bytes can")]
    Unstorable {
        /// The length of the block, in bytes.
        length: usize,
        /// The limit, in bytes.
        max: u32,
    },
    /// A store is to be made where blocks of another one lie.
    #[error("{} holds blocks that no index knows", file.display())]
    Leftover {
        /// Which file.
        file: PathBuf,
    },
    /// Every file number is used.
    #[error("no segment can follow {}", file.display())]
    Exhausted {
        /// The last file.
        file: PathBuf,
    },
}

impl SegmentError {
    fn io(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, file: file.to_path_buf(), source }
    }
}

fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

fn header(number: u32) -> [u8; 16] {
    let [m0, m1, m2, m3, m4, m5, m6, m7] = MAGIC;
    let [v0, v1, v2, v3] = VERSION.to_le_bytes();
    let [n0, n1, n2, n3] = number.to_le_bytes();
    [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, n0, n1, n2, n3]
}

fn check_header(file: &File, path: &Path, number: u32) -> Result<(), SegmentError> {
    use std::os::unix::fs::FileExt;

    let mut found = [0; 16];
    match file.read_exact_at(&mut found, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(SegmentError::BadHeader { file: path.to_path_buf() });
        }
        Err(error) => return Err(SegmentError::io("reading", path)(error)),
    }
    if found == header(number) {
        return Ok(());
    }
    let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, ..] = found;
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    if [m0, m1, m2, m3, m4, m5, m6, m7] == MAGIC && version != VERSION {
        let file = path.to_path_buf();
        return Err(SegmentError::OtherVersion { file, found: version, known: VERSION });
    }
    Err(SegmentError::BadHeader { file: path.to_path_buf() })
}

fn open_error(path: &Path) -> impl FnOnce(io::Error) -> SegmentError {
    move |source| {
        if source.kind() == io::ErrorKind::NotFound {
            SegmentError::Missing { file: path.to_path_buf() }
        } else {
            SegmentError::io("opening", path)(source)
        }
    }
}

fn sync_dir(dir: &Path) -> Result<(), SegmentError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(SegmentError::io("syncing", dir))
}
