//! A chain and a journal in memory, for embedders' tests and simulations: nothing survives the last
//! clone.
//!
//! They keep the contracts of [`Chain`] and [`Journal`] as the store on disk does, except that
//! there is no disk to fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;

use crate::{
    checkpoint::{Checkpoint, CheckpointKind},
    consensus::{Genesis, LinkPoint, VerifiedBlock, links},
    ports::{BlockSource, Chain, ChainError, Journal},
    reputation::StoredPeer,
    types::{BlockRef, BlockRoot, Height, PeerId},
};

/// A chain in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryChain {
    genesis: Stored,
    above: Arc<RwLock<Vec<Stored>>>,
}

#[derive(Debug, Clone)]
struct Stored {
    raw: Bytes,
    link: LinkPoint,
}

impl MemoryChain {
    /// A chain of its genesis block.
    pub fn new(genesis: &Genesis) -> Self {
        let genesis = Stored { raw: genesis.raw().clone(), link: genesis.link_point() };
        Self { genesis, above: Arc::default() }
    }

    fn above(&self) -> RwLockReadGuard<'_, Vec<Stored>> {
        // Writers change the list in one call, so a panic elsewhere cannot have left half of it.
        self.above.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn above_mut(&self) -> RwLockWriteGuard<'_, Vec<Stored>> {
        self.above.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn head_of(&self, above: &[Stored]) -> LinkPoint {
        above.last().unwrap_or(&self.genesis).link
    }

    /// How many blocks above genesis a chain has whose head is at `height`, where it is stored.
    fn count_to(&self, above: &[Stored], height: Height) -> Result<usize, ChainError> {
        let count = usize::try_from(height.get()).ok().filter(|count| *count <= above.len());
        let head = self.head_of(above).height;
        count.ok_or(ChainError::OutOfRange { height, oldest: Height::GENESIS, head })
    }
}

impl BlockSource for MemoryChain {
    fn head(&self) -> BlockRef {
        self.head_of(&self.above()).block_ref()
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let above = self.above();
        let start = usize::try_from(start.get()).unwrap_or(usize::MAX);
        let stored = std::iter::once(&self.genesis).chain(above.iter()).skip(start);
        let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
        for block in stored.take(blocks_max) {
            blocks.push(block.raw.clone());
            bytes = bytes.saturating_add(block.raw.len());
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(blocks)
    }
}

impl Chain for MemoryChain {
    fn genesis(&self) -> BlockRoot {
        self.genesis.link.root
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        Ok(self.head_of(&self.above()))
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        let above = self.above();
        let count = self.count_to(&above, height)?;
        Ok(self.head_of(above.get(..count).unwrap_or_default()))
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        let mut above = self.above_mut();
        let durable = self.head_of(&above);
        let mut head = durable;
        for block in blocks {
            if links(&head, block).is_err() {
                let (head, offered) = (durable.block_ref(), block.block_ref());
                return Err(ChainError::NotNext { head, offered });
            }
            head = block.link_point();
        }
        let stored =
            |block: &VerifiedBlock| Stored { raw: block.raw().clone(), link: block.link_point() };
        above.extend(blocks.iter().map(stored));
        Ok(head.block_ref())
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        let mut above = self.above_mut();
        let count = self.count_to(&above, height)?;
        above.truncate(count);
        Ok(self.head_of(&above).block_ref())
    }
}

/// A journal in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    records: Arc<Mutex<Records>>,
}

#[derive(Debug, Default)]
struct Records {
    checkpoints: BTreeMap<(Height, CheckpointKind), Checkpoint>,
    set_aside: Vec<Checkpoint>,
    peers: BTreeMap<PeerId, StoredPeer>,
}

impl MemoryJournal {
    fn records(&self) -> MutexGuard<'_, Records> {
        // Each call changes one record whole, so a panic elsewhere cannot have left half of one.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        let key = (checkpoint.height, checkpoint.kind);
        self.records().checkpoints.insert(key, checkpoint.clone());
        Ok(())
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        Ok((self.records().checkpoints.values().cloned().collect(), Vec::new()))
    }

    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError> {
        Ok(self.records().checkpoints.remove(&(height, kind)).is_some())
    }

    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError> {
        Ok(Vec::new())
    }

    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError> {
        let mut records = self.records();
        let moved = records.checkpoints.remove(&(height, kind));
        records.set_aside.extend(moved);
        Ok(())
    }

    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError> {
        let peers = &mut self.records().peers;
        peers.extend(changed.iter().filter_map(|stored| Some((stored.peer()?, stored.clone()))));
        forgotten.iter().for_each(|peer| drop(peers.remove(peer)));
        Ok(())
    }

    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError> {
        Ok((self.records().peers.values().cloned().collect(), Vec::new()))
    }
}
