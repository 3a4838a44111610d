//! Opening a data directory: whose it is, whether its head is whole, and what a crash left to cut.
//!
//! Takes the same time for every length of chain: only what lies behind the head is looked at,
//! which is nothing unless the process died in the middle of an append, or the index was lost.
//! Nothing that was committed is removed, whatever is found, unless the caller said so: then by
//! [`super::recovering`], into a quarantine, or by lowering the head.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    OpenError, StoreOptions, data_dir,
    data_dir::{DirLock, FORMAT},
    database::{Database, IndexError},
    index::{Entry, Identity, Index},
    open_error::BlockDamage,
    quarantine::{self, Room},
    segments::{
        HEADER_BYTES, Location, RECORD_HEADER_BYTES, SegmentError, SegmentLimits, SegmentReader,
        SegmentWriter,
    },
    tail::{Tail, TailError},
};
use crate::{
    checkpoint::{NEAR_BLOCKS_MAX, Recovery},
    consensus::{Genesis, LinkPoint},
    types::{BlockRef, Height},
    wire::block::{BLOCK_BYTES_MAX, EncodedBlock},
};

/// The longest block stored. Source: the longest that can be received.
#[expect(clippy::cast_possible_truncation, reason = "a mebibyte, checked by the assertion below")]
pub(super) const BLOCK_MAX: u32 = BLOCK_BYTES_MAX as u32;
const _: () = assert!(BLOCK_BYTES_MAX < 1 << 31);

/// Where a data directory is to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At its head, which has to be whole.
    AtHead,
    /// At its head, or where a recovery finds a whole block.
    Recovering,
    /// At this height: what is above it is forgotten.
    LoweredTo(Height),
}

/// An open data directory, checked.
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) reader: SegmentReader,
    pub(super) writer: SegmentWriter,
    pub(super) head: LinkPoint,
    pub(super) oldest: Height,
    /// What was done about a damaged head.
    pub(super) recovery: Option<Recovery>,
}

/// Opens or makes the data directory `dir`.
///
/// # Errors
/// Each [`OpenError`].
pub(super) fn open(
    dir: &Path,
    genesis: &Genesis,
    options: StoreOptions,
    start: Start,
) -> Result<Opened, OpenError> {
    let lock = data_dir::claim(dir, genesis.root())?;
    let opening = Opening::of(dir, options);
    let index = opening.open_index(lock)?;
    if let Some(identity) = index.identity().map_err(|error| opening.index_error(error))? {
        opening.check_identity(identity, genesis)?;
    } else if opening.index_genesis(&index, genesis)? {
        // All blocks are behind what the new index knows: take them in before any is cut.
        drop(opening.resume(index.clone(), Start::AtHead)?);
    } else {
        opening.create(&index, genesis)?;
    }
    opening.resume(index, start)
}

/// Opens the data directory `dir` with an index that is made anew from the blocks; what was the
/// index goes to the quarantine, and where that is comes back with it.
///
/// # Errors
/// Each [`OpenError`]; nothing was changed where the blocks do not begin with `genesis`.
pub(super) fn reindex(
    dir: &Path,
    genesis: &Genesis,
    options: StoreOptions,
) -> Result<(Opened, Option<PathBuf>), OpenError> {
    let lock = data_dir::claim(dir, genesis.root())?;
    let opening = Opening::of(dir, options);
    let Some(location) = opening.first_block(genesis)? else {
        let file = opening.blocks_dir.clone();
        return Err(opening.segment_error(SegmentError::Leftover { file }));
    };
    let moved = quarantine::move_index(dir, &opening.index_dir)?;
    let index = opening.open_index(lock)?;
    opening.start_over(&index, genesis, location)?;
    Ok((opening.resume(index, Start::AtHead)?, moved))
}

/// A data directory being opened.
pub(super) struct Opening<'a> {
    pub(super) dir: &'a Path,
    index_dir: PathBuf,
    pub(super) blocks_dir: PathBuf,
    limits: SegmentLimits,
}

impl<'a> Opening<'a> {
    fn of(dir: &'a Path, options: StoreOptions) -> Self {
        Self {
            dir,
            index_dir: dir.join("index"),
            blocks_dir: dir.join("blocks"),
            limits: SegmentLimits {
                block_bytes_max: BLOCK_MAX,
                segment_bytes_max: options.segment_bytes_max,
            },
        }
    }

    fn open_index(&self, lock: DirLock) -> Result<Index, OpenError> {
        let database = Database::open(&self.index_dir, lock);
        let index = database.and_then(Index::open).map_err(|error| self.index_error(error))?;
        data_dir::sync_dir(self.dir)?;
        Ok(index)
    }

    /// Where the genesis block is, if the blocks begin with it.
    fn first_block(&self, genesis: &Genesis) -> Result<Option<Location>, OpenError> {
        let first = self.reader().first().map_err(|error| self.segment_error(error))?;
        let root = |raw| EncodedBlock::decode(raw).map(|block| block.root()).ok();
        let ours = first.filter(|(_, raw)| root(raw.clone()) == Some(genesis.root()));
        Ok(ours.map(|(location, _)| location))
    }

    /// Starts an index where bodies already lie, and says whether that was so.
    fn index_genesis(&self, index: &Index, genesis: &Genesis) -> Result<bool, OpenError> {
        let Some(location) = self.first_block(genesis)? else { return Ok(false) };
        self.start_over(index, genesis, location)?;
        Ok(true)
    }

    /// Starts an index of bodies that begin at `location`. What does not follow from there is not
    /// cut but set aside: behind a block that is damaged there may be any number of good ones.
    fn start_over(
        &self,
        index: &Index,
        genesis: &Genesis,
        location: Location,
    ) -> Result<(), OpenError> {
        tracing::warn!(dir = %self.index_dir.display(), "making the index anew from the blocks");
        let head = genesis.link_point().block_ref();
        // First, so that an index with an identity has the mark.
        index.begin_recovery(head).map_err(|error| self.index_error(error))?;
        self.start_index(index, genesis, location)
    }

    fn create(&self, index: &Index, genesis: &Genesis) -> Result<(), OpenError> {
        let segments = |error| self.segment_error(error);
        let length = u64::try_from(genesis.raw().len()).unwrap_or(u64::MAX);
        let leftover = (HEADER_BYTES + RECORD_HEADER_BYTES).saturating_add(length);
        let mut writer = SegmentWriter::create(self.blocks_dir.clone(), self.limits, leftover)
            .map_err(segments)?;
        data_dir::sync_dir(self.dir)?;
        let stored = writer.append(std::iter::once(genesis.raw().as_ref())).map_err(segments)?;
        writer.sync().map_err(segments)?;
        stored.into_iter().try_for_each(|location| self.start_index(index, genesis, location))
    }

    fn start_index(
        &self,
        index: &Index,
        genesis: &Genesis,
        location: Location,
    ) -> Result<(), OpenError> {
        let identity = Identity { format: FORMAT, genesis: genesis.root() };
        let entry = Entry::of(location, &genesis.link_point());
        index.create(identity, entry).map_err(|error| self.index_error(error))
    }

    fn resume(&self, index: Index, start: Start) -> Result<Opened, OpenError> {
        let failed = |error| self.index_error(error);
        let oldest = index.oldest().map_err(failed)?;
        let reader = self.reader();
        let mut recovery = match start {
            Start::AtHead => None,
            Start::Recovering => self.recover(&index, &reader, oldest)?,
            Start::LoweredTo(height) => {
                self.lower(&index, &reader, height, oldest)?;
                None
            }
        };
        let head = index.head().map_err(failed)?;
        let entry = self.check_head(&index, &reader, head.height, oldest)?;
        if entry.root != head.root {
            return Err(failed(IndexError::BadEntry { height: head.height }));
        }
        index.forget_above(head.height).map_err(failed)?;
        let cutting = index.is_cutting().map_err(failed)?;
        let mut tail = Tail { head: entry.link_point(head.height), location: entry.location };
        if !cutting {
            let indexed = tail.take_in(&index, &reader);
            indexed.map_err(|error| match error {
                TailError::Index(error) => self.index_error(error),
                TailError::Segment(error) => self.segment_error(error),
            })?;
        }
        let recovering = index.recovering_from().map_err(failed)?;
        if let Some(from) = recovering {
            // From genesis on an index is made anew.
            let anew = from.height == Height::GENESIS;
            let room = if anew { Room::ForAll } else { Room::Limited };
            let moved = quarantine::move_behind(self.dir, &self.blocks_dir, &tail.location, room)?;
            if let Some(recovery) = &mut recovery {
                (recovery.to, recovery.quarantine) = (tail.head.block_ref(), moved);
            } else if let Some(moved) = moved {
                tracing::warn!(
                    head = %tail.head.block_ref(), moved_to = moved.dir,
                    bytes_kept = moved.bytes_kept, bytes_dropped = moved.bytes_dropped,
                    "what does not continue the chain was set aside"
                );
            }
        }
        let writer = SegmentWriter::open(self.blocks_dir.clone(), self.limits, &tail.location);
        let (writer, cut) = writer.map_err(|error| self.segment_error(error))?;
        // It may hold files that were just removed.
        reader.forget_files();
        if cutting {
            index.end_cut().map_err(failed)?;
        }
        if recovering.is_some() {
            index.end_recovery().map_err(failed)?;
        }
        // What was cut on purpose was not left by a crash.
        if !cutting && recovering.is_none() {
            tail.report(head.height, cut);
        }
        Ok(Opened { head: tail.head, index, reader, writer, oldest, recovery })
    }

    fn lower(
        &self,
        index: &Index,
        reader: &SegmentReader,
        height: Height,
        oldest: Height,
    ) -> Result<(), OpenError> {
        let head = index.head().map_err(|error| self.index_error(error))?.height;
        if height < oldest || height > head {
            return Err(OpenError::OutOfRange { height, oldest, head });
        }
        let entry = self.check_head(index, reader, height, oldest)?;
        let lowered = index.lower_head(BlockRef { height, root: entry.root });
        lowered.map_err(|error| self.index_error(error))
    }

    fn check_identity(&self, identity: Identity, genesis: &Genesis) -> Result<(), OpenError> {
        let dir = self.dir.to_path_buf();
        if identity.format != FORMAT {
            return Err(OpenError::OtherVersion { dir, found: identity.format, known: FORMAT });
        }
        if identity.genesis != genesis.root() {
            let (stored, given) = (identity.genesis, genesis.root());
            return Err(OpenError::OtherChain { dir, stored, given });
        }
        Ok(())
    }

    /// The entry of the block that is to be the head, when all of it is whole.
    fn check_head(
        &self,
        index: &Index,
        reader: &SegmentReader,
        height: Height,
        oldest: Height,
    ) -> Result<Entry, OpenError> {
        let damage = match check_block(index, reader, height) {
            Ok((entry, _)) => return Ok(entry),
            Err(damage) => self.unless_unreadable(damage)?,
        };
        let below = (1..=NEAR_BLOCKS_MAX).map_while(|down| height.checked_sub(down));
        let good = below
            .take_while(|below| *below >= oldest)
            .find(|below| check_block(index, reader, *below).is_ok());
        Err(self.corrupt_block(index, reader, height, good, damage))
    }

    /// The damage, if it is one: what the system cannot read need not be damaged.
    pub(super) fn unless_unreadable(&self, damage: BlockDamage) -> Result<BlockDamage, OpenError> {
        match damage {
            BlockDamage::Record(error @ SegmentError::Io { .. }) => Err(self.segment_error(error)),
            BlockDamage::Entry(error @ IndexError::Io { .. }) => Err(self.index_error(error)),
            BlockDamage::Entry(_)
            | BlockDamage::Record(_)
            | BlockDamage::Encoding(_)
            | BlockDamage::OtherBlock { .. } => Ok(damage),
        }
    }

    pub(super) fn corrupt_block(
        &self,
        index: &Index,
        reader: &SegmentReader,
        height: Height,
        good: Option<Height>,
        damage: BlockDamage,
    ) -> OpenError {
        let file = index.entry(height).map(|entry| reader.path(&entry.location));
        let file = file.unwrap_or_else(|_| self.index_dir.clone());
        OpenError::CorruptBlock { height, file, good, damage: Box::new(damage) }
    }

    fn reader(&self) -> SegmentReader {
        SegmentReader::new(self.blocks_dir.clone(), BLOCK_MAX)
    }

    pub(super) fn index_error(&self, error: IndexError) -> OpenError {
        match error {
            IndexError::Io { action, source } => {
                OpenError::Io { action, path: self.index_dir.clone(), source }
            }
            source @ (IndexError::Damaged { .. }
            | IndexError::Missing { .. }
            | IndexError::BadRecord { .. }
            | IndexError::BadEntry { .. }
            | IndexError::BadRoot) => {
                OpenError::CorruptIndex { dir: self.index_dir.clone(), source }
            }
            poisoned @ IndexError::Poisoned => OpenError::Io {
                action: "writing",
                path: self.index_dir.clone(),
                source: io::Error::other(poisoned),
            },
        }
    }

    pub(super) fn segment_error(&self, error: SegmentError) -> OpenError {
        match error {
            SegmentError::Io { action, file, source } => {
                OpenError::Io { action, path: file, source }
            }
            source @ (SegmentError::Missing { .. }
            | SegmentError::BadHeader { .. }
            | SegmentError::OtherVersion { .. }
            | SegmentError::Cut { .. }
            | SegmentError::BadLength { .. }
            | SegmentError::BadChecksum { .. }
            | SegmentError::Unstorable { .. }
            | SegmentError::Leftover { .. }
            | SegmentError::Exhausted { .. }) => {
                OpenError::CorruptSegments { dir: self.blocks_dir.clone(), source }
            }
        }
    }
}

/// The block at `height` with its entry, after everything that can be checked about it was: the
/// entry, the record, the encoding, and that the root is the one the index names.
///
/// # Errors
/// [`BlockDamage`] by what is wrong first.
pub(super) fn check_block(
    index: &Index,
    reader: &SegmentReader,
    height: Height,
) -> Result<(Entry, EncodedBlock), BlockDamage> {
    let entry = index.entry(height)?;
    let raw = reader.read(&[entry.location])?.into_iter().next();
    // One location has one record; without it there would be no bytes, and so no block.
    let block = EncodedBlock::decode(raw.unwrap_or_default())?;
    let indexed = BlockRef { height, root: entry.root };
    if block.block_ref() != indexed {
        return Err(BlockDamage::OtherBlock { found: block.block_ref(), indexed });
    }
    Ok((entry, block))
}
