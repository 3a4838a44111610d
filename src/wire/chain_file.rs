//! Chain files: blocks one after another, each with four bytes of little-endian length in front.
//!
//! Owns the records: their limits, and saying which one is broken and where. Does not decode the
//! blocks in them, nor ask whether they are a chain. Reads from and writes to whatever it is
//! given, one record at a time.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;

use super::block::BLOCK_BYTES_MAX;

/// The length in front of a block. Unit: bytes.
const LENGTH_BYTES: usize = 4;

/// A record that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("record {record} at byte {offset}: {fault}")]
pub struct ChainFileError {
    /// Which record, from 0.
    pub record: u64,
    /// Where it begins, its length included. Unit: bytes from the start.
    pub offset: u64,
    /// What is wrong with it.
    pub fault: RecordFault,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// The file ends inside the record.
    #[error("the file ends after {found} of {expected} bytes of the {part}")]
    Cut {
        /// In which part.
        part: RecordPart,
        /// How long that part is. Unit: bytes.
        expected: usize,
        /// How much of it is there. Unit: bytes.
        found: usize,
    },
    /// A length that no block has.
    #[error("length {found}, a block has 1 to {BLOCK_BYTES_MAX} bytes")]
    LengthOutOfRange {
        /// The length. Unit: bytes.
        found: usize,
    },
    /// There is no record where one was expected.
    #[error("the file holds no block")]
    Missing,
    /// There is a record where none was expected.
    #[error("the file holds more than one block")]
    Superfluous,
    /// Reading or writing failed.
    #[error("input or output failed")]
    Io(#[source] io::Error),
}

/// The parts of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPart {
    /// The length of the block.
    Length,
    /// The block.
    Block,
}

impl std::fmt::Display for RecordPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Length => "length",
            Self::Block => "block",
        })
    }
}

/// The blocks of a chain file in order, as they stand there. Ends after the first error.
///
/// It reads in small pieces: give it a buffered reader or a slice.
#[derive(Debug)]
pub struct ChainFileReader<R> {
    source: R,
    record: u64,
    offset: u64,
    failed: bool,
}

impl<R: Read> ChainFileReader<R> {
    /// A reader of the file that `source` is at the start of.
    pub const fn new(source: R) -> Self {
        Self { source, record: 0, offset: 0, failed: false }
    }

    /// The only block of a file: of one that holds a genesis block, for example.
    ///
    /// # Errors
    /// A broken record, [`RecordFault::Missing`] or [`RecordFault::Superfluous`].
    pub fn only(source: R) -> Result<Bytes, ChainFileError> {
        let mut reader = Self::new(source);
        let block = reader.next().unwrap_or_else(|| Err(reader.error(RecordFault::Missing)))?;
        match reader.next() {
            None => Ok(block),
            Some(Ok(_)) => Err(ChainFileError {
                record: 1,
                offset: u64::try_from(LENGTH_BYTES + block.len()).unwrap_or(u64::MAX),
                fault: RecordFault::Superfluous,
            }),
            Some(Err(error)) => Err(error),
        }
    }

    fn read_record(&mut self) -> Result<Option<Bytes>, RecordFault> {
        let mut length = [0; LENGTH_BYTES];
        match read_full(&mut self.source, &mut length)? {
            0 => return Ok(None),
            LENGTH_BYTES => {}
            found => return Err(cut(RecordPart::Length, LENGTH_BYTES, found)),
        }
        let expected = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        check_length(expected)?;
        let mut block = vec![0; expected];
        let found = read_full(&mut self.source, &mut block)?;
        if found < expected {
            return Err(cut(RecordPart::Block, expected, found));
        }
        Ok(Some(block.into()))
    }

    const fn error(&self, fault: RecordFault) -> ChainFileError {
        ChainFileError { record: self.record, offset: self.offset, fault }
    }
}

impl<R: Read> Iterator for ChainFileReader<R> {
    type Item = Result<Bytes, ChainFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.read_record() {
            Ok(block) => {
                let block = block?;
                self.record += 1;
                self.offset += u64::try_from(LENGTH_BYTES + block.len()).unwrap_or(u64::MAX);
                Some(Ok(block))
            }
            Err(fault) => {
                self.failed = true;
                Some(Err(self.error(fault)))
            }
        }
    }
}

/// Writes a chain file. Neither buffers nor flushes: that is up to what it writes to.
#[derive(Debug)]
pub struct ChainFileWriter<W> {
    sink: W,
    record: u64,
    offset: u64,
}

impl<W: Write> ChainFileWriter<W> {
    /// A writer of a file that begins here.
    pub const fn new(sink: W) -> Self {
        Self { sink, record: 0, offset: 0 }
    }

    /// Writes one record.
    ///
    /// # Errors
    /// A length that no block has (nothing is written then), or the sink's failure.
    pub fn write(&mut self, block: &[u8]) -> Result<(), ChainFileError> {
        self.write_record(block).map_err(|fault| ChainFileError {
            record: self.record,
            offset: self.offset,
            fault,
        })?;
        self.record += 1;
        self.offset += u64::try_from(LENGTH_BYTES + block.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// What it wrote to.
    pub fn into_inner(self) -> W {
        self.sink
    }

    fn write_record(&mut self, block: &[u8]) -> Result<(), RecordFault> {
        let found = block.len();
        check_length(found)?;
        let length = u32::try_from(found).map_err(|_| RecordFault::LengthOutOfRange { found })?;
        self.sink.write_all(&length.to_le_bytes()).map_err(RecordFault::Io)?;
        self.sink.write_all(block).map_err(RecordFault::Io)
    }
}

const fn check_length(found: usize) -> Result<(), RecordFault> {
    match found {
        1..=BLOCK_BYTES_MAX => Ok(()),
        _ => Err(RecordFault::LengthOutOfRange { found }),
    }
}

const fn cut(part: RecordPart, expected: usize, found: usize) -> RecordFault {
    RecordFault::Cut { part, expected, found }
}

/// Fills `buffer` as far as the source goes. How far that was.
fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize, RecordFault> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match source.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(RecordFault::Io(error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
