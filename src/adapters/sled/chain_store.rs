//! The chain on disk, as the ports see it.
//!
//! Owns the order of commits and who may write. The handle is cheap to clone and outlives any actor
//! that uses it. One writer at a time: the others wait. After a write that failed the store refuses
//! all writes until the directory is opened again, because nobody knows what the disk holds; it
//! can still be read. So it does after a failed write of the records beside the chain.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;

use super::{
    IndexError, OpenError, RecordStore,
    index::{Entry, Index},
    opening::{self, Opened, Start, check_block},
    segments::{SegmentReader, SegmentWriter},
};
use crate::{
    checkpoint::Recovery,
    consensus::{Genesis, LinkPoint, VerifiedBlock, links},
    ports::{BlockSource, Chain, ChainError},
    types::{BlockRef, BlockRoot, Height},
};

/// What may differ from one use of a store to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// The length at which a segment file is left for the next one. Unit: bytes. Too low: many
    /// files. Too high: what is not needed any more is freed in large pieces only.
    pub segment_bytes_max: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { segment_bytes_max: 256 << 20 }
    }
}

/// A chain in a data directory, which is in use until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ChainStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    genesis: BlockRoot,
    index: Index,
    reader: SegmentReader,
    published: RwLock<Published>,
    /// Held shared while bodies are read and alone while they are cut, so that a reader never finds
    /// another block where the index sent it.
    layout: RwLock<()>,
    writer: Mutex<WriterSlot>,
}

/// What readers see.
#[derive(Debug, Clone, Copy)]
struct Published {
    head: LinkPoint,
    oldest: Height,
}

/// The writer, unless a write failed or is under way.
#[derive(Debug)]
struct WriterSlot(Option<SegmentWriter>);

impl ChainStore {
    /// Opens the data directory `dir`, or makes it when it is missing or empty.
    ///
    /// # Errors
    /// Each [`OpenError`]; nothing that was committed was changed or removed then.
    pub fn open(dir: &Path, genesis: &Genesis, options: StoreOptions) -> Result<Self, OpenError> {
        Ok(Self::with(genesis, opening::open(dir, genesis, options, Start::AtHead)?))
    }

    /// Opens a data directory like [`ChainStore::open`], and goes on from a whole block where the
    /// head is damaged: what was done then is the second value. What the head no longer covers was
    /// moved to `quarantine/` in the directory.
    ///
    /// # Errors
    /// Each [`OpenError`] when there is nothing to go on from; nothing that was committed was
    /// changed or removed then.
    pub fn open_recovering(
        dir: &Path,
        genesis: &Genesis,
        options: StoreOptions,
    ) -> Result<(Self, Option<Recovery>), OpenError> {
        let mut opened = opening::open(dir, genesis, options, Start::Recovering)?;
        let recovery = opened.recovery.take();
        Ok((Self::with(genesis, opened), recovery))
    }

    /// Opens a data directory with the block at `head` as its head and forgets everything above,
    /// durably: the way on after [`OpenError::CorruptBlock`].
    ///
    /// # Errors
    /// [`OpenError::OutOfRange`] when `head` is not stored; others as for [`ChainStore::open`].
    pub fn open_truncated(
        dir: &Path,
        genesis: &Genesis,
        options: StoreOptions,
        head: Height,
    ) -> Result<Self, OpenError> {
        Ok(Self::with(genesis, opening::open(dir, genesis, options, Start::LoweredTo(head))?))
    }

    /// Opens a data directory with an index that is made anew from the blocks, which reads each of
    /// them once: the way on after [`OpenError::CorruptIndex`]. What was the index is moved to
    /// where the second value says. Checkpoints and what is known of peers were in it.
    ///
    /// # Errors
    /// Each [`OpenError`]; nothing was changed where the blocks do not begin with `genesis`.
    pub fn open_reindexed(
        dir: &Path,
        genesis: &Genesis,
        options: StoreOptions,
    ) -> Result<(Self, Option<PathBuf>), OpenError> {
        let (opened, moved) = opening::reindex(dir, genesis, options)?;
        Ok((Self::with(genesis, opened), moved))
    }

    /// The small records kept beside the chain.
    ///
    /// # Errors
    /// [`IndexError::Io`] and [`IndexError::Damaged`].
    pub fn records(&self) -> Result<RecordStore, IndexError> {
        RecordStore::open(self.shared.index.database())
    }

    /// The height of the stored block with this root, if it is stored.
    ///
    /// # Errors
    /// [`ChainError::Io`] and [`ChainError::Corrupt`].
    pub fn find(&self, root: BlockRoot) -> Result<Option<Height>, ChainError> {
        let _unchanged = self.shared.readable();
        let head = self.shared.published().head.height;
        let found = self.shared.index.height_of(root)?.filter(|height| *height <= head);
        let Some(height) = found else { return Ok(None) };
        if self.shared.index.entry(height)?.root != root {
            return Err(IndexError::BadRoot.into());
        }
        Ok(Some(height))
    }

    fn with(genesis: &Genesis, opened: Opened) -> Self {
        let Opened { index, reader, writer, head, oldest, recovery: _ } = opened;
        let shared = Shared {
            genesis: genesis.root(),
            index,
            reader,
            published: RwLock::new(Published { head, oldest }),
            layout: RwLock::new(()),
            writer: Mutex::new(WriterSlot(Some(writer))),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    fn published(&self) -> Published {
        // The value is replaced whole, so a panic elsewhere cannot have left half of one.
        *self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, head: LinkPoint) {
        self.published.write().unwrap_or_else(PoisonError::into_inner).head = head;
    }

    fn readable(&self) -> RwLockReadGuard<'_, ()> {
        self.layout.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.layout.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a write under way. A writer that panicked left the slot empty, which says all.
    fn writer(&self) -> MutexGuard<'_, WriterSlot> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_range(&self, height: Height) -> Result<(), ChainError> {
        let Published { head: LinkPoint { height: head, .. }, oldest } = self.published();
        if height < oldest || height > head {
            return Err(ChainError::OutOfRange { height, oldest, head });
        }
        Ok(())
    }

    /// First half of an append: the bodies, durably. Nobody sees them yet.
    fn store_bodies(
        writer: &mut SegmentWriter,
        blocks: &[VerifiedBlock],
    ) -> Result<Vec<Entry>, ChainError> {
        let locations = writer.append(blocks.iter().map(|block| block.raw().as_ref()))?;
        writer.sync()?;
        let with_links = locations.into_iter().zip(blocks);
        Ok(with_links.map(|(location, block)| Entry::of(location, &block.link_point())).collect())
    }
}

impl WriterSlot {
    fn ready(&self) -> Result<(), ChainError> {
        if self.0.is_some() { Ok(()) } else { Err(ChainError::Poisoned) }
    }

    /// Runs `write` and keeps the writer only if it succeeds: neither an error nor a panic leaves
    /// a writer behind that could write on from an unknown place.
    fn write<T>(
        &mut self,
        write: impl FnOnce(&mut SegmentWriter) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        let mut writer = self.0.take().ok_or(ChainError::Poisoned)?;
        let written = write(&mut writer)?;
        self.0 = Some(writer);
        Ok(written)
    }
}

impl BlockSource for ChainStore {
    fn head(&self) -> BlockRef {
        self.shared.published().head.block_ref()
    }

    fn oldest(&self) -> Height {
        self.shared.published().oldest
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let _unchanged = self.shared.readable();
        let Published { head, oldest } = self.shared.published();
        if start < oldest {
            return Ok(Vec::new());
        }
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let (mut locations, mut bytes) = (Vec::new(), 0_u64);
        for entry in self.shared.index.entries(start, head.height).take(blocks_max) {
            let location = entry?.location;
            locations.push(location);
            bytes = bytes.saturating_add(location.length.into());
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(self.shared.reader.read(&locations)?)
    }
}

impl Chain for ChainStore {
    fn genesis(&self) -> BlockRoot {
        self.shared.genesis
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        let slot = self.shared.writer();
        slot.ready()?;
        Ok(self.shared.published().head)
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        let _unchanged = self.shared.readable();
        self.shared.in_range(height)?;
        Ok(self.shared.index.entry(height)?.link_point(height))
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        let mut slot = self.shared.writer();
        slot.ready()?;
        let durable = self.shared.published().head;
        let mut head = durable;
        for block in blocks {
            if links(&head, block).is_err() {
                let (head, offered) = (durable.block_ref(), block.block_ref());
                return Err(ChainError::NotNext { head, offered });
            }
            head = block.link_point();
        }
        if let Some(first) = blocks.first() {
            slot.write(|writer| {
                let entries = Shared::store_bodies(writer, blocks)?;
                Ok(self.shared.index.append(first.height(), &entries)?)
            })?;
            self.shared.publish(head);
        }
        Ok(head.block_ref())
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        let mut slot = self.shared.writer();
        slot.ready()?;
        self.shared.in_range(height)?;
        // The directory opens at this block from now on, so it has to be whole.
        let (entry, _) = check_block(&self.shared.index, &self.shared.reader, height)?;
        let head = entry.link_point(height);
        if height < self.shared.published().head.height {
            let _alone = self.shared.alone();
            slot.write(|writer| {
                self.shared.index.lower_head(head.block_ref())?;
                self.shared.publish(head);
                self.shared.index.forget_above(height)?;
                self.shared.reader.forget_files();
                writer.cut_to(&entry.location)?;
                Ok(self.shared.index.end_cut()?)
            })?;
        }
        Ok(head.block_ref())
    }
}

#[cfg(test)]
impl ChainStore {
    /// An append that ends where a power loss between its two halves would end it.
    pub(super) fn store_bodies_only(&self, blocks: &[VerifiedBlock]) {
        let mut slot = self.shared.writer();
        slot.write(|writer| Shared::store_bodies(writer, blocks)).unwrap();
    }

    /// A truncation that ends where a power loss after its first step would end it.
    pub(super) fn lower_head_only(&self, height: Height) {
        let root = self.shared.index.entry(height).unwrap().root;
        self.shared.index.lower_head(BlockRef { height, root }).unwrap();
    }
}
