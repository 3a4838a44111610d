//! The store of the node under test: in memory, with every write in the trace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alys_sync::{
    adapters::memory::{MemoryChain, MemoryJournal},
    checkpoint::{Checkpoint, CheckpointKind},
    consensus::{LinkPoint, VerifiedBlock},
    ports::{BlockSource, Chain, ChainError, Journal},
    reputation::StoredPeer,
    types::{BlockRef, BlockRoot, Height, PeerId},
};
use bytes::Bytes;

use super::Turnstile;
use crate::trace::{Event, Trace};

/// What is wrong with the store: planted bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// Every write is done twice as far as the trace can tell.
    WritesTwice,
    /// The first write that reaches this height is forgotten again.
    Forgets(Height),
}

/// A chain that reports what is appended to it. Clones share it.
#[derive(Clone)]
pub struct RecordingChain {
    chain: MemoryChain,
    trace: Trace,
    turnstile: Turnstile,
    write_takes: Duration,
    fault: Option<StoreFault>,
    forgot: Arc<AtomicBool>,
}

impl RecordingChain {
    /// Reports to `trace` what `chain` is asked to store. Each write takes that long.
    pub fn new(
        chain: MemoryChain,
        trace: Trace,
        turnstile: Turnstile,
        write_takes: Duration,
        fault: Option<StoreFault>,
    ) -> Self {
        Self { chain, trace, turnstile, write_takes, fault, forgot: Arc::default() }
    }

    fn spoil(&self, before: Height, first: Height, last: Height) -> Result<(), ChainError> {
        match self.fault {
            Some(StoreFault::WritesTwice) => self.trace.record(Event::Appended { first, last }),
            Some(StoreFault::Forgets(height))
                if last >= height && !self.forgot.swap(true, Ordering::Relaxed) =>
            {
                self.chain.truncate_to(before.checked_sub(1).unwrap_or(before))?;
            }
            Some(StoreFault::Forgets(_)) | None => {}
        }
        Ok(())
    }
}

impl BlockSource for RecordingChain {
    fn head(&self) -> BlockRef {
        self.chain.head()
    }

    fn oldest(&self) -> Height {
        self.chain.oldest()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        self.chain.read(start, blocks_max, bytes_max)
    }
}

impl Chain for RecordingChain {
    fn genesis(&self) -> BlockRoot {
        self.chain.genesis()
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        self.turnstile.pass();
        self.chain.tip()
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        self.turnstile.pass();
        self.chain.link_point(height)
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        self.turnstile.pass_after(self.write_takes);
        let before = self.chain.head().height;
        let ends = blocks.first().zip(blocks.last());
        let ends = ends.map(|(first, last)| (first.height(), last.height()));
        let head = self.chain.append(blocks);
        match (&head, ends) {
            (Ok(_), Some((first, last))) => {
                self.trace.record(Event::Appended { first, last });
                self.spoil(before, first, last)?;
            }
            (Ok(_), None) => {}
            (Err(_), _) => {
                self.trace.record(Event::AppendRefused { first: ends.map(|(first, _)| first) });
            }
        }
        head
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        self.turnstile.pass();
        self.chain.truncate_to(height)
    }
}

/// A journal whose calls wait for their turn. Clones share it.
#[derive(Clone)]
pub struct RecordingJournal {
    journal: MemoryJournal,
    turnstile: Turnstile,
}

impl RecordingJournal {
    /// An empty journal.
    pub fn new(turnstile: Turnstile) -> Self {
        Self { journal: MemoryJournal::default(), turnstile }
    }
}

impl Journal for RecordingJournal {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        self.turnstile.pass();
        self.journal.put_checkpoint(checkpoint)
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        self.turnstile.pass();
        self.journal.checkpoints()
    }

    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError> {
        self.turnstile.pass();
        self.journal.remove_checkpoint(height, kind)
    }

    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError> {
        self.turnstile.pass();
        self.journal.set_aside_damaged()
    }

    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError> {
        self.turnstile.pass();
        self.journal.set_aside(height, kind)
    }

    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError> {
        self.turnstile.pass();
        self.journal.store_peers(changed, forgotten)
    }

    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError> {
        self.turnstile.pass();
        self.journal.peers()
    }
}
