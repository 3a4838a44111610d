//! Ports whose calls wait until a test lets them go on.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc::{Receiver, Sender, channel},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::ChainDouble;
use crate::{
    adapters::memory::MemoryJournal,
    checkpoint::{Checkpoint, CheckpointKind},
    consensus::{LinkPoint, VerifiedBlock},
    ports::{BlockSource, Chain, ChainError, Journal},
    reputation::StoredPeer,
    types::{BlockRef, BlockRoot, Height, PeerId},
};

/// Lets one call wait, and notes the calls in order.
#[derive(Default)]
pub(crate) struct Door {
    wait: Mutex<Option<Receiver<()>>>,
    /// Notified when a call waits.
    pub(crate) waits: Notify,
    calls: Mutex<Vec<&'static str>>,
}

impl Door {
    /// The next call that passes waits until the sender is used or dropped.
    pub(crate) fn close(&self) -> Sender<()> {
        let (open, wait) = channel();
        *self.wait.lock().unwrap() = Some(wait);
        open
    }

    fn pass(&self, call: &'static str) {
        let wait = self.wait.lock().unwrap().take();
        if let Some(wait) = wait {
            self.waits.notify_one();
            // Opened, or the test has ended.
            let _ = wait.recv();
        }
        self.calls.lock().unwrap().push(call);
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }
}

/// A journal that writes when it is let.
#[derive(Default)]
pub(crate) struct SlowJournal {
    journal: MemoryJournal,
    pub(crate) door: Door,
}

impl Journal for SlowJournal {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        self.door.pass("put");
        self.journal.put_checkpoint(checkpoint)
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        self.door.calls.lock().unwrap().push("read");
        self.journal.checkpoints()
    }

    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError> {
        self.journal.remove_checkpoint(height, kind)
    }

    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError> {
        self.journal.set_aside_damaged()
    }

    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError> {
        self.journal.set_aside(height, kind)
    }

    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError> {
        self.journal.store_peers(changed, forgotten)
    }

    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError> {
        self.journal.peers()
    }
}

/// A chain that writes when it is let, and answers what its tip is meanwhile.
pub(crate) struct SlowChain {
    pub(crate) chain: ChainDouble,
    pub(crate) door: Door,
    /// Whether reads of blocks and roots wait, too.
    pub(crate) reads: AtomicBool,
}

impl SlowChain {
    pub(crate) fn new() -> Arc<Self> {
        let (chain, door) = (ChainDouble::new([]), Door::default());
        Arc::new(Self { chain, door, reads: AtomicBool::default() })
    }
}

impl BlockSource for SlowChain {
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
        if self.reads.load(Ordering::SeqCst) {
            self.door.pass("read");
        }
        self.chain.read(start, blocks_max, bytes_max)
    }
}

impl Chain for SlowChain {
    fn genesis(&self) -> BlockRoot {
        self.chain.genesis()
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        self.door.calls.lock().unwrap().push("tip");
        self.chain.tip()
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        if self.reads.load(Ordering::SeqCst) {
            self.door.pass("link_point");
        }
        self.chain.link_point(height)
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        self.door.pass("append");
        self.chain.append(blocks)
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        self.chain.truncate_to(height)
    }
}
