//! A chain file as a source of blocks to serve, and its blocks with their places in the file.
//!
//! Owns: an index of the records, and reading them where they stand, so that a chain of any length
//! is served without being held. Does not own: the format ([`crate::wire::chain_file`]), or whether
//! anybody signed the blocks: opening checks that each one is canonical and follows the one before,
//! and leaves signatures to whoever syncs from it.
//!
//! Failure: a file that is no chain is refused whole, with the place of the first fault. A file
//! that changes while it is served ends the reply under way with an error, or hands out bytes that
//! every peer refuses.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{
    consensus::{LinkFault, LinkPoint, links},
    ports::{BlockSource, ChainError},
    types::{BlockRef, Height},
    wire::{
        block::{BlockError, EncodedBlock},
        chain_file::{ChainFileError, ChainFileReader, RecordFault},
    },
};

#[cfg(test)]
mod tests;

/// The length in front of each block. Unit: bytes. Source: the format.
const LENGTH_BYTES: u64 = 4;

/// Read at once while a file is opened. Unit: bytes. Too low: many calls. Too high: memory.
const BUFFER_BYTES: usize = 1 << 20;

/// Where a record stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Which record, from 0.
    pub record: u64,
    /// Where it begins, its length included. Unit: bytes from the start.
    pub offset: u64,
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} at byte {}", self.record, self.offset)
    }
}

/// Why a file is no chain that can be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenChainFileError {
    /// It cannot be opened.
    #[error("cannot open the chain file {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// One of its records is broken, or there is none.
    #[error("the chain file {} is broken", path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Where and how.
        #[source]
        source: ChainFileError,
    },
    /// A record holds no block.
    #[error("{place} of the chain file {} holds no block", path.display())]
    Block {
        /// Which file.
        path: PathBuf,
        /// Where.
        place: RecordPlace,
        /// Why not.
        #[source]
        source: BlockError,
    },
    /// A block does not follow the one before.
    #[error("the chain in {} breaks off: {place} does not follow the one before", path.display())]
    Link {
        /// Which file.
        path: PathBuf,
        /// Where.
        place: RecordPlace,
        /// Why not.
        #[source]
        source: Box<LinkFault>,
    },
}

/// The blocks of a chain file with their places, undecoded. Ends after the first error.
#[derive(Debug)]
pub struct PlacedBlocks<R> {
    reader: ChainFileReader<R>,
    next: RecordPlace,
}

impl<R: Read> PlacedBlocks<R> {
    /// The blocks of the file that `source` is at the start of. It is read in small pieces.
    pub const fn new(source: R) -> Self {
        let next = RecordPlace { record: 0, offset: 0 };
        Self { reader: ChainFileReader::new(source), next }
    }
}

impl PlacedBlocks<BufReader<File>> {
    /// The blocks of the file at `path`.
    ///
    /// # Errors
    /// [`OpenChainFileError::Open`].
    pub fn open(path: &Path) -> Result<Self, OpenChainFileError> {
        Ok(Self::new(BufReader::with_capacity(BUFFER_BYTES, open(path)?)))
    }
}

impl<R: Read> Iterator for PlacedBlocks<R> {
    type Item = Result<(RecordPlace, Bytes), ChainFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = match self.reader.next()? {
            Ok(raw) => raw,
            Err(error) => return Some(Err(error)),
        };
        let place = self.next;
        self.next.record += 1;
        self.next.offset += LENGTH_BYTES + raw.len() as u64;
        Some(Ok((place, raw)))
    }
}

/// A chain in a file.
#[derive(Debug)]
pub struct ChainFile {
    path: PathBuf,
    file: File,
    records: Vec<Record>,
    first: EncodedBlock,
    last: EncodedBlock,
}

/// Where a block's bytes are. 16 bytes a block of memory.
#[derive(Debug, Clone, Copy)]
struct Record {
    start: u64,
    length: usize,
}

impl ChainFile {
    /// Reads the file at `path` through once: each block is canonical and follows the one before.
    /// The first may have any height. Blocks on disk, about 0.1 ms a block of ordinary size.
    ///
    /// # Errors
    /// [`OpenChainFileError`], for the first fault.
    pub fn open(path: &Path) -> Result<Self, OpenChainFileError> {
        let mut records = Vec::new();
        let mut ends: Option<(EncodedBlock, EncodedBlock)> = None;
        for placed in PlacedBlocks::open(path)? {
            let (place, raw) = placed.map_err(|error| broken(path, error))?;
            let length = raw.len();
            let block = EncodedBlock::decode(raw).map_err(|source| OpenChainFileError::Block {
                path: path.to_owned(),
                place,
                source,
            })?;
            if let Some((_, last)) = &ends {
                links(&LinkPoint::of(last), &block).map_err(|source| {
                    let source = Box::new(source);
                    OpenChainFileError::Link { path: path.to_owned(), place, source }
                })?;
            }
            records.push(Record { start: place.offset + LENGTH_BYTES, length });
            let first = ends.map_or_else(|| block.clone(), |(first, _)| first);
            ends = Some((first, block));
        }
        let Some((first, last)) = ends else {
            let fault = RecordFault::Missing;
            return Err(broken(path, ChainFileError { record: 0, offset: 0, fault }));
        };
        Ok(Self { path: path.to_owned(), file: open(path)?, records, first, last })
    }

    /// The block of the lowest height.
    pub const fn first(&self) -> &EncodedBlock {
        &self.first
    }

    /// The block of the greatest height.
    pub const fn last(&self) -> &EncodedBlock {
        &self.last
    }

    /// How many blocks there are, at least 1.
    pub const fn count(&self) -> usize {
        self.records.len()
    }

    /// What the blocks take, without their lengths in front. Unit: bytes.
    pub fn block_bytes(&self) -> u64 {
        self.records.iter().map(|record| record.length as u64).sum()
    }

    fn read_record(&self, record: Record) -> Result<Bytes, ChainError> {
        let mut block = vec![0; record.length];
        self.file.read_exact_at(&mut block, record.start).map_err(|source| {
            let action = format!("reading byte {} of {}", record.start, self.path.display());
            ChainError::Io { action, source }
        })?;
        Ok(block.into())
    }
}

impl BlockSource for ChainFile {
    fn head(&self) -> BlockRef {
        self.last.block_ref()
    }

    fn oldest(&self) -> Height {
        self.first.height()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let skipped = start.get().checked_sub(self.oldest().get());
        let Some(skipped) = skipped.and_then(|blocks| usize::try_from(blocks).ok()) else {
            return Ok(Vec::new());
        };
        let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
        for record in self.records.iter().skip(skipped).take(blocks_max) {
            blocks.push(self.read_record(*record)?);
            bytes = bytes.saturating_add(record.length);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(blocks)
    }
}

fn open(path: &Path) -> Result<File, OpenChainFileError> {
    File::open(path).map_err(|source| OpenChainFileError::Open { path: path.to_owned(), source })
}

fn broken(path: &Path, source: ChainFileError) -> OpenChainFileError {
    OpenChainFileError::Record { path: path.to_owned(), source }
}
